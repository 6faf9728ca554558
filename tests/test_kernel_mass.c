/* test_kernel_mass.c - page_mass: every form of logits, heads in turns, books, dtypes of
 * queries. */
#include "sk_test.h"

#include "kernel_cases.h"

int main(void)
{
    return kernel_table_run("mass");
}
