/* test_kernel_values.c - attn_decode over every value format, one tier at a
 * time: small values in every class and with every form of probability, vectors
 * of every width, blocks of channels of every size. */
#include "sk_test.h"

#include "kernel_cases.h"

int main(void)
{
    return kernel_table_run("values");
}
