/* test_simt_chunk.c - attn_extend: the half of its table that test_simt_extend.c leaves
 * out, as CUDA text on the harness. */
#include "sk_test.h"

#include "simt_tables.h"

SIMT_SHARE(odd_rows_of_the_table, 1, 2, "extend")
