/* test_simt_mixes.c - attention over mixes of tiers, codebook sets with a mean or a
 * permutation, and sinks: their tables as CUDA text on the harness. */
#include "sk_test.h"

#include "simt_tables.h"

SIMT_TABLES(every_spec_of_the_tables, "mixes", "books", "sinks")
