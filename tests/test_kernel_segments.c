/* test_kernel_segments.c - keys of several segments: every form of logits in a part of
 * a key, dense ones beside coded ones, with means over all or some of the dimensions. */
#include "sk_test.h"

#include "kernel_cases.h"

int main(void)
{
    return kernel_table_run("segments");
}
