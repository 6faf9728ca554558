/* test_simt_retier.c - page_retier: its table as CUDA text on the harness. */
#include "sk_test.h"

#include "simt_tables.h"

SIMT_TABLES(every_spec_of_the_table, "retier")
