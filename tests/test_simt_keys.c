/* test_simt_keys.c - attention over key formats: their tables as CUDA text on the
 * harness. */
#include "sk_test.h"

#include "simt_tables.h"

SIMT_TABLES(every_spec_of_the_tables, "keys", "spans")
