/* test_kernel_retier.c - page_retier: coded to coded, to dense and from dense; books, keys
 * before RoPE, segments, values from keys. */
#include "sk_test.h"

#include "kernel_cases.h"

int main(void)
{
    return kernel_table_run("retier");
}
