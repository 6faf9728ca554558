/* test_kernel_dense.c - ki8, ki4 and kf8: attn_decode over them in every head dimension
 * that models use (a multiple of 32 or not), page sizes, head counts, and both
 * products (float and 16-bit queries) at every width; kv_encode into them. */
#include "sk_test.h"

#include "kernel_cases.h"

int main(void)
{
    return kernel_table_run("dense");
}
