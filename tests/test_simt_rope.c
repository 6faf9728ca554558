/* test_simt_rope.c - keys that are kept before RoPE, in every kernel that touches keys:
 * their table as CUDA text on the harness. */
#include "sk_test.h"

#include "simt_tables.h"

SIMT_TABLES(every_spec_of_the_tables, "rope")
