/* test_simt_codes.c - groups of several codes: their table as CUDA text on the harness. */
#include "sk_test.h"

#include "simt_tables.h"

SIMT_TABLES(every_spec_of_the_table, "codes")
