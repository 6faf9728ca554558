/* test_simt_chunk.c - attn_extend: the second third of its table, see test_simt_extend.c. */
#include "sk_test.h"

#include "simt_tables.h"

SIMT_SHARE(second_third_of_the_table, 1, 3, "extend")
