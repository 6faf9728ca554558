/* test_kernel_vk.c - values that are dimensions of keys: every form of logits, dense and
 * coded keys, in one and several segments, and the shape of latent attention. */
#include "sk_test.h"

#include "kernel_cases.h"

int main(void)
{
    return kernel_table_run("vk");
}
