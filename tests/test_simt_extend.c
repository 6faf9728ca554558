/* test_simt_extend.c - attn_extend: a third of its table as CUDA text on the harness; the
 * others are test_simt_chunk.c's and test_simt_prefix.c's. */
#include "sk_test.h"

#include "simt_tables.h"

SIMT_SHARE(first_third_of_the_table, 0, 3, "extend")
