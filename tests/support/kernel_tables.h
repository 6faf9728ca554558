/* kernel_tables.h - (spec, schedule) rows that kernels are tried on. The test_kernel_
 * programs run a table each on the CPU; what runs kernels in another way takes all
 * of them. */
#ifndef KERNEL_TABLES_H
#define KERNEL_TABLES_H

#include "base.h"

typedef struct kernel_row {
    const char *spec;     /* text of a spec */
    const char *schedule; /* overrides for the CPU, or "" */
    uint32_t vector_bits; /* of the target the schedule is for; 0 = this machine */
} kernel_row;

typedef struct kernel_table {
    const char *name;
    const kernel_row *row;
    uint32_t n;
} kernel_table;

extern const kernel_table kernel_tables[];
extern const uint32_t kernel_ntables;
const kernel_table *kernel_table_get(const char *name); /* NULL: no such table */

#endif
