/* test_kernel_narrow.c - attn_decode by 8-bit tables of 8 lanes
 * (templates/part_bytes_narrow.c): every number of angle codes that it takes in both
 * layouts, one radius and one per group or per few of them, numbers of groups that fill no
 * word of four and words that make no block of four, numbers of heads that make one share
 * and several, tables in a program of their own, mixes with tiers that it does not fit. */
#include "sk_test.h"

#include "kernel_cases.h"

int main(void)
{
    return kernel_table_run("narrow");
}
