/* test_kernel_rows.c - kv_append and kv_encode: every key and value format that
 * they write, both layouts, and every width they can run at. */
#include "sk_test.h"

#include "kernel_cases.h"

int main(void)
{
    return kernel_table_run("rows");
}
