/* test_kernel_rope.c - keys that are kept before RoPE (p), in every kernel that touches
 * keys: coded and dense ones, beside tiers after RoPE, with mean and permutation, heads
 * of which only some dimensions are rotated (an input set of the cases), positions in
 * no order. */
#include "sk_test.h"

#include "kernel_cases.h"

int main(void)
{
    return kernel_table_run("rope");
}
