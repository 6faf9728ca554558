/* test_kernel_books.c - kernels of specs whose codebook sets hold a mean, a
 * permutation or both: every form of look-up, both places where tables are made,
 * every width, with dense tiers beside (where a missing <q, mean> shows) and
 * without; and kv_encode over every span and radius. */
#include "sk_test.h"

#include "kernel_cases.h"

int main(void)
{
    return kernel_table_run("books");
}
