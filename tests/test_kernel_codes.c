/* test_kernel_codes.c - groups of several codes that add up: every form of look-up and of
 * rebuilding, and all that writes, reads, moves or weighs pages of them. */
#include "sk_test.h"

#include "kernel_cases.h"

int main(void)
{
    return kernel_table_run("codes");
}
