/* test_simt_extend.c - attn_extend: one half of its table as CUDA text on the harness; the
 * other is test_simt_chunk.c's. */
#include "sk_test.h"

#include "simt_tables.h"

SIMT_SHARE(even_rows_of_the_table, 0, 2, "extend")
