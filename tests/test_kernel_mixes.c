/* test_kernel_mixes.c - attn_decode over mixes of two to four tiers, the default
 * mix in every accuracy class, keys and values of different sizes, queries and
 * output in 16 bits. */
#include "sk_test.h"

#include "kernel_cases.h"

int main(void)
{
    return kernel_table_run("mixes");
}
