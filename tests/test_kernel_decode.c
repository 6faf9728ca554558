/* test_kernel_decode.c - page_decode: every key and value format, all output types,
 * codebook sets with a mean and a permutation, pages and heads of odd sizes. */
#include "sk_test.h"

#include "kernel_cases.h"

int main(void)
{
    return kernel_table_run("decode");
}
