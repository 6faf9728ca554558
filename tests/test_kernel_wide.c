/* test_kernel_wide.c - more query heads than a block has at work at once, which then
 * take turns, and heads of up to 576 dimensions, values of other dimensions. */
#include "sk_test.h"

#include "kernel_cases.h"

int main(void)
{
    return kernel_table_run("wide");
}
