/* test_kernel_keys.c - attn_decode, every kernel-supported key format with
 * values of both widths, in both layouts, one tier at a time; head counts, head
 * dimensions and page sizes go round with them. */
#include "sk_test.h"

#include "kernel_cases.h"

int main(void)
{
    return kernel_table_run("keys");
}
