/* test_simt_rows.c - the kernels beside attention: their tables as CUDA text on the
 * harness. */
#include "sk_test.h"

#include "simt_tables.h"

SIMT_TABLES(every_spec_of_the_tables, "rows", "compact", "decode", "gather", "merge",
            "schedule")
