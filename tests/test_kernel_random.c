/* test_kernel_random.c - specs and schedules by chance: whatever `supported` and
 * `valid` say yes to must build, run and be right. The tables of the other
 * test_kernel_ programs hold what somebody thought of; this holds the rest. */
#include "sk_test.h"

#include "kernel_cases.h"
#include "spec_random.h"

#define SPECS 24u
#define TRIES 2000u

static uint32_t one_of(sk_rng *rng, const uint32_t *from, uint32_t n)
{
    return from[sk_rng_below(rng, n)];
}

/* A spec that its kernel supports, or false after one try. */
static bool draw_spec(sk_rng *rng, sk_spec *out)
{
    static const uint32_t dims[] = {16, 32, 48, 64, 80, 96}, pages[] = {16, 32, 48, 64, 80, 128};
    static const uint32_t heads[] = {1, 2, 3, 4, 6, 9};
    sk_spec s = {.kernel = sk_rng_below(rng, 4) == 0 ? SPHKV_KV_ENCODE : SPHKV_ATTN_DECODE};
    s.d = one_of(rng, dims, SK_COUNT(dims));
    s.dv = sk_rng_below(rng, 3) ? s.d : one_of(rng, dims, SK_COUNT(dims));
    s.page = one_of(rng, pages, SK_COUNT(pages));
    s.heads_per_kv = s.kernel == SPHKV_ATTN_DECODE ? one_of(rng, heads, SK_COUNT(heads)) : 1;
    s.layout = sk_rng_below(rng, SK_LAYOUT_ROWS);
    s.out_dtype = s.kernel == SPHKV_ATTN_DECODE ? sk_rng_below(rng, 3) : SPHKV_F32;
    s.accuracy = s.kernel == SPHKV_ATTN_DECODE ? sk_rng_below(rng, 3) : SPHKV_TIGHT;
    s.ntiers = s.kernel == SPHKV_KV_ENCODE ? 2 : 1 + sk_rng_below(rng, 3);
    for (uint32_t t = 0; t < s.ntiers; t++)
        s.tier[t] = sk_random_tier(rng, s.d, false);
    s.book = sk_random_book(rng, &s);
    *out = s;
    return sk_spec_check(&s, NULL) == SPHKV_OK &&
           sk_kernel_get(s.kernel)->supported(&s, NULL) == SPHKV_OK;
}

/* Some valid schedule: the default, with as many tunables drawn as stay valid. */
static void draw_schedule(sk_rng *rng, const sk_spec *spec, const sk_target *target,
                          sk_schedule *out)
{
    const sk_kernel *kernel = sk_kernel_get(spec->kernel);
    kernel->default_schedule(spec, target, out);
    for (uint32_t n = 0; n < 24; n++) {
        sk_schedule s = *out;
        uint32_t t = sk_rng_below(rng, SK_TUNABLE_COUNT);
        if (!(sk_tunable_get(t)->kernels & SK_FOR(spec->kernel))) continue;
        s.v[t] = sk_tunable_value(t, sk_rng_below(rng, sk_tunable_count(t)));
        if (kernel->valid(spec, &s, target, NULL) == SPHKV_OK) *out = s;
    }
}

static void run_drawn(kernel_lab *lab, sk_rng *rng, const sk_spec *spec)
{
    static const uint32_t widths[] = {128, 256, 256, 512};
    const uint32_t bits = one_of(rng, widths, SK_COUNT(widths));
    sk_target target = kernel_target(lab, bits);
    sk_schedule schedule;
    sk_text spec_text = {0}, text = {0};
    kernel_built b;
    draw_schedule(rng, spec, &target, &schedule);
    sk_spec_print(spec, &spec_text);
    sk_schedule_print(spec->kernel, &schedule, &text);
    assert_false(spec_text.failed || text.failed);
    const kernel_row row = {spec_text.s, text.s, bits};
    print_message("%s %s\n", spec_text.s, text.s);
    kernel_build(lab, &row, &b);
    for (uint32_t n = 0; n < 2; n++) {
        sk_case_params p =
            kernel_params(&b, n ? (sk_input)sk_rng_below(rng, SK_INPUT_COUNT) : SK_IN_S1,
                          sk_rng_below(rng, 2), sk_rng_u64(rng));
        kernel_case_both(&b, &p, 1 + sk_rng_below(rng, KERNEL_PARTS));
    }
    kernel_built_free(&b);
    sk_text_free(&spec_text);
    sk_text_free(&text);
}

static void test_random(void **state)
{
    kernel_lab *lab = *state;
    sk_rng rng;
    uint32_t done = 0, tries = 0;
    sk_rng_seed(&rng, lab->seed);
    for (; done < SPECS && tries < TRIES; tries++) {
        sk_spec spec;
        if (!draw_spec(&rng, &spec)) continue;
        run_drawn(lab, &rng, &spec);
        done++;
    }
    print_message("%u specs of %u drawn\n", done, tries);
    assert_true(done == SPECS);
}

int main(void)
{
    kernel_lab lab;
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(test_random, &lab)};
    kernel_lab_open(&lab);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kernel_lab_close(&lab);
    return failed;
}
