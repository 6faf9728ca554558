/* test_kernel_variants.c - variants of attention, each alone and together: soft-cap,
 * sinks, factors of heads, windows, biases, stored positions, several query tokens;
 * over forms of keys and values, classes and widths. */
#include "sk_test.h"

#include "kernel_cases.h"

int main(void)
{
    return kernel_table_run("variants");
}
