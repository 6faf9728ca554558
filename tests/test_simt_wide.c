/* test_simt_wide.c - many query heads, and heads of many dimensions: their table as
 * CUDA text on the harness. */
#include "sk_test.h"

#include "simt_tables.h"

SIMT_TABLES(every_spec_of_the_table, "wide")
