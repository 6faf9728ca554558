/* test_kernel_bytes.c - attn_decode by 8-bit and 16-bit tables (templates/part_bytes.h): every
 * width of angle codes that it takes in both layouts, one radius and one per group or
 * per few of them, groups of one dimension, groups that fill no word of four, numbers
 * of heads that make one share and several, tables in a program of their own, sets with
 * a mean and a permutation, mixes with tiers that it does not fit. Where the machine
 * lacks the instructions the interpreter alone runs them. */
#include "sk_test.h"

#include "kernel_cases.h"

int main(void)
{
    return kernel_table_run("bytes");
}
