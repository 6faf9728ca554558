/* test_simt_dense.c - attention over keys that are not coded: their table as CUDA
 * text on the harness. */
#include "sk_test.h"

#include "simt_tables.h"

SIMT_TABLES(every_spec_of_the_tables, "dense")
