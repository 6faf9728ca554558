/* test_kernel_spans.c - attn_decode, tiers with one radius for a whole head, as
 * test_kernel_keys.c; among them every number of query heads per KV head that
 * models use, and the formats of the grammar that have no name. */
#include "sk_test.h"

#include "kernel_cases.h"

int main(void)
{
    return kernel_table_run("spans");
}
