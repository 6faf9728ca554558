/* test_kernel_schedules.c - every value of every tunable that some spec accepts
 * is run, one departure from the default schedule at a time; and no value is
 * left over that nothing ever runs. */
#include "sk_test.h"

#include "kernel_cases.h"

#define A(h, tiers) "attn_decode d64 v64 h" h " p64 l1 qf32 of32 if32 tight " tiers
#define E(tiers) "kv_encode d64 v64 h1 p64 l1 qf32 of32 if32 tight " tiers
#define P(tier) "kv_append d64 v64 h1 p64 l1 qf32 of32 if32 tight " tier

static const char *const specs[] = {
    A("2", "good:vi8,kf16:vf16"),
    A("3", "high:vi8"),
    A("1", "low:vf16,lean:vi8"),
    E("good:vi8,kf16:vf16"),
    P("kf16:vf16"),
};

static const uint32_t vector_bits[] = {256, 512};

/* What was met: tunable values that ran, by kernel. */
typedef struct seen {
    bool ran[SPHKV_KV_ENCODE + 1][SK_TUNABLE_COUNT][16];
} seen;

/* Schedules that differ from the default in one tunable, or, where that alone
 * is refused, in one more. */
static bool find_schedule(const sk_kernel *kernel, const sk_spec *spec, const sk_target *target,
                          uint32_t tunable, int32_t value, sk_schedule *out)
{
    sk_schedule base;
    kernel->default_schedule(spec, target, &base);
    base.v[tunable] = value;
    *out = base;
    if (kernel->valid(spec, out, target, NULL) == SPHKV_OK) return true;
    for (uint32_t t = 0; t < SK_TUNABLE_COUNT; t++) {
        if (t == tunable || !(sk_tunable_get(t)->kernels & SK_FOR(spec->kernel))) continue;
        for (uint32_t i = 0; i < sk_tunable_count(t); i++) {
            *out = base;
            out->v[t] = sk_tunable_value(t, i);
            if (kernel->valid(spec, out, target, NULL) == SPHKV_OK) return true;
        }
    }
    return false;
}

static void run_value(kernel_lab *lab, const char *spec_text, uint32_t bits, uint32_t tunable,
                      uint32_t i, seen *s)
{
    sk_spec spec;
    sk_schedule schedule, normal;
    sk_target target = kernel_target(lab, bits);
    sk_text text = {0};
    assert_int_equal(sk_spec_parse(spec_text, &spec, NULL), SPHKV_OK);
    const sk_kernel *kernel = sk_kernel_get(spec.kernel);
    if (!(sk_tunable_get(tunable)->kernels & SK_FOR(spec.kernel))) return;
    if (s->ran[spec.kernel][tunable][i] && bits != 256) return;
    int32_t value = sk_tunable_value(tunable, i);
    if (!find_schedule(kernel, &spec, &target, tunable, value, &schedule)) return;
    kernel->default_schedule(&spec, &target, &normal);
    bool fresh = !s->ran[spec.kernel][tunable][i];
    s->ran[spec.kernel][tunable][i] = true;
    if (!fresh && memcmp(&normal, &schedule, sizeof normal) == 0) return; /* the default again */
    sk_schedule_print(spec.kernel, &schedule, &text);
    const kernel_row row = {spec_text, text.s, bits};
    print_message("%s %s\n", spec_text, text.s);
    kernel_row_run(lab, &row);
    sk_text_free(&text);
}

static void test_every_value(void **state)
{
    seen s = {0};
    for (uint32_t b = 0; b < SK_COUNT(vector_bits); b++)
        for (uint32_t k = 0; k < SK_COUNT(specs); k++)
            for (uint32_t t = 0; t < SK_TUNABLE_COUNT; t++)
                for (uint32_t i = 0; i < sk_tunable_count(t); i++)
                    run_value(*state, specs[k], vector_bits[b], t, i, &s);
    for (uint32_t kernel = 0; kernel <= SPHKV_KV_ENCODE; kernel++)
        for (uint32_t t = 0; t < SK_TUNABLE_COUNT; t++)
            for (uint32_t i = 0; i < sk_tunable_count(t); i++)
                if (sk_tunable_get(t)->kernels & SK_FOR(kernel) && !s.ran[kernel][t][i])
                    fail_msg("%s: no spec accepts value %u of %s", sk_kernel_name(kernel), i,
                             sk_tunable_get(t)->name);
}

int main(void)
{
    kernel_lab lab;
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(test_every_value, &lab)};
    kernel_lab_open(&lab);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kernel_lab_close(&lab);
    return failed;
}
