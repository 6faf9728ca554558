/* test_simt_variants.c - variants of attention and several query tokens: their table as
 * CUDA text on the harness. */
#include "sk_test.h"

#include "simt_tables.h"

SIMT_TABLES(every_spec_of_the_table, "variants")
