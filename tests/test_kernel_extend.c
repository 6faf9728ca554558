/* test_kernel_extend.c - attn_extend: every key and value format, ragged query tokens,
 * tiles of rows and register tiles of all shapes, codebook sets with a mean and a
 * permutation, query and output types, pages and heads of odd sizes. */
#include "sk_test.h"

#include "kernel_cases.h"

int main(void)
{
    return kernel_table_run("extend");
}
