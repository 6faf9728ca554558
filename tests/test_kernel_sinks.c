/* test_kernel_sinks.c - attention sinks: a few tokens that take nearly all of
 * the weight of their page and hold next to no value, so that the output is made
 * of what the others keep. Value formats that are multiplied by 16-bit
 * probabilities must be right here as well, in every class, shape and width. */
#include "sk_test.h"

#include "kernel_cases.h"

#define A(d, h, p, l, class) "attn_decode d" d " v" d " h" h " p" p " l" l " qf32 of32 if32 " class " "

static const kernel_row rows[] = {
    {A("64", "4", "64", "1", "tight") "kf16:vi8", "", 0},
    {A("64", "4", "128", "1", "tight") "good:vi8,kf16:vf16", "", 0},
    {A("64", "1", "256", "1", "tight") "kf32:vi8", "w=8,vch=32,vtok=4", 256},
    {A("32", "7", "16", "1", "tight") "kf16:vi8", "w=4,vch=8", 0},
    {A("64", "2", "128", "1", "tight") "kf16:vi8", "w=16,vch=16", 512},
    {A("64", "4", "128", "0", "tight") "kf16:vi4", "", 0},
    {A("48", "16", "32", "1", "tight") "kf16:vi4", "w=4,vch=8", 0},
    {A("64", "2", "64", "1", "tight") "high:vi4,kf16:vi8", "w=16,vch=16", 512},
    {A("64", "4", "128", "1", "fast") "kf16:vi8,kf32:vi4", "", 0},
    {A("64", "4", "64", "1", "exact") "kf16:vi8,kf32:vi4", "", 0},
};

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
    for (uint32_t i = 0; i < SK_COUNT(rows); i++) {
        print_message("%s %s\n", rows[i].spec, rows[i].schedule);
        test_row(&rows[i], *state);
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
