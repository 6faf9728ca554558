/* test_kernel_mixed.c - keys of several segments whose dimensions a permutation or a
 * transform mixes, and that become the model's again: rotated, as values, as rows;
 * transforms of more dimensions than others have. */
#include "sk_test.h"

#include "kernel_cases.h"

int main(void)
{
    return kernel_table_run("mixed");
}
