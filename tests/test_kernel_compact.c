/* test_kernel_compact.c - token_compact: every field of a page, moved or coded anew. */
#include "sk_test.h"

#include "kernel_cases.h"

int main(void)
{
    return kernel_table_run("compact");
}
