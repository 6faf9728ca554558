/* test_kernel_sinks.c - attention sinks: a few tokens that take nearly all of
 * the weight of their page and hold next to no value, so that the output is made
 * of what the others keep. Value formats that are multiplied by 16-bit
 * probabilities must be right here as well, in every class, shape and width. */
#include "sk_test.h"

#include "kernel_cases.h"

static void test_row(const kernel_row *row, kernel_lab *lab)
{
    kernel_built b;
    sk_err err = {0};
    kernel_build(lab, row, &b);
    for (uint32_t n = 0; n < 4; n++) {
        sk_case_params p = kernel_params(&b, SK_IN_SINK, n % 2, lab->seed + n);
        p.uneven = n > 1;
        sk_assert_ok(kernel_case_both(&b, &p, 1 + n % KERNEL_PARTS, &err), &err);
    }
    kernel_built_free(&b);
}

static void test_sinks(void **state)
{
    const kernel_table *t = kernel_table_get("sinks");
    for (uint32_t i = 0; i < t->n; i++) {
        print_message("%s %s\n", t->row[i].spec, t->row[i].schedule);
        test_row(&t->row[i], *state);
    }
}

int main(void)
{
    kernel_lab lab;
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(test_sinks, &lab)};
    kernel_lab_open(&lab);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kernel_lab_close(&lab);
    return failed;
}
