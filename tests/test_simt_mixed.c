/* test_simt_mixed.c - keys of segments that a permutation or a transform mixes: their
 * table as CUDA text on the harness. */
#include "sk_test.h"

#include "simt_tables.h"

SIMT_TABLES(every_spec_of_the_table, "mixed")
