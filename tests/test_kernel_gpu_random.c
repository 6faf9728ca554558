/* test_kernel_gpu_random.c - specs, schedules, shapes and inputs by chance, for GPUs:
 * whatever `supported` and `valid` say yes to on some architecture must build, run by
 * the interpreter and be right by the double reference. Case c (a number) repeats
 * alone. */
#include "sk_test.h"

#include "gpu_case.h"
#include "spec_random.h"

#define CASES 220u
#define CASES_ALL 4000u /* that meet every class */
#define DIMS 128u

static const uint32_t archs[] = {75, 80, 86, 90, 100, 120};

/* Longer programs take the interpreter seconds. */
#define LENGTH_MOST 12000u

static uint32_t length(const gpu_built *b)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->build.n; i++) n += b->build.program[i]->ninstr;
    return n;
}

static void run_case(sk_seen *seen, uint64_t number)
{
    sk_target target;
    sk_spec spec;
    sk_schedule schedule;
    gpu_built b;
    sk_rng rng;
    sk_err err = {0};
    sk_assert_ok(sk_target_cuda(archs[number % SK_COUNT(archs)], false, &target, &err), &err);
    (void)sk_random_sample(number, (uint32_t)number, &target, DIMS, &spec, &schedule);
    sk_assert_ok(gpu_make(&spec, &schedule, &b, &err), &err);
    sk_rng_seed(&rng, ~number);
    sk_case_params p = sk_random_case(&rng, &spec);
    if (length(&b) > LENGTH_MOST) p.shape.batch = 1;
    sk_seen_spec(seen, &spec, &schedule);
    sk_seen_case(seen, &p);
    const sk_status st = gpu_case(&b, &p, 1 + sk_rng_below(&rng, 4), &err);
    if (st != SPHKV_OK) {
        sk_text text = {0};
        sk_spec_print(&spec, &text);
        sk_text_printf(&text, " ");
        sk_schedule_print(spec.kernel, &schedule, &text);
        print_error("sm_%u %s\n", target.sm, text.s ? text.s : "");
        sk_text_free(&text);
    }
    sk_assert_ok(st, &err);
    gpu_built_free(&b);
}

static void test_random(void **state)
{
    (void)state;
    const uint64_t seed = sk_test_seed(0);
    sk_seen seen = {.backend = SK_BACKEND_CUDA};
    sk_text text = {0};
    uint32_t first, step;
    sk_test_shard(&first, &step);
    for (uint64_t c = seed + first; c < seed + sk_test_cases(CASES); c += step) {
        (void)sk_test_repeat(c);
        run_case(&seen, c);
    }
    sk_seen_print(&seen, &text);
    fputs(text.s ? text.s : "", stdout);
    sk_text_free(&text);
    const char *missing = sk_seen_missing(&seen);
    if (seen.cases >= CASES_ALL && missing) fail_msg("not met: %s", missing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
