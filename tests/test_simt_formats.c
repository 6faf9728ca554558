/* test_simt_formats.c - attention over widths of codes and kinds of values: their
 * tables as CUDA text on the harness. */
#include "sk_test.h"

#include "simt_tables.h"

SIMT_TABLES(every_spec_of_the_tables, "formats", "values")
