/* test_simt_prefix.c - attn_extend: the last third of its table, see test_simt_extend.c. */
#include "sk_test.h"

#include "simt_tables.h"

SIMT_SHARE(last_third_of_the_table, 2, 3, "extend")
