/* test_kernel_schedules.c - every value of every tunable is run on the specs that
 * accept it, one departure from the default schedule at a time; a value that
 * nothing accepts is a defect of the table. Schedules for wider vectors than
 * this machine's are interpreted only. */
#include "sk_test.h"

#include "kernel_cases.h"

#define A(h, tiers) "attn_decode d64 v64 h" h " p64 l1 qf32 of32 if32 tight " tiers
#define E(tiers) "kv_encode d64 v64 h1 p64 l1 qf32 of32 if32 tight " tiers
#define P(tier) "kv_append d64 v64 h1 p64 l1 qf32 of32 if32 tight " tier

static const char *const specs[] = {
    A("2", "good:vi8,kf16:vf16"),
    A("3", "high:vi8"),
    A("1", "low:vf16,lean:vi8"),
    A("2", "ki8:vi8,ki4:vi8"),
    "attn_decode d64 v64 h2 p64 l1 qf32 of32 if32 fast high:vi8,kf16:vf16",
    "attn_decode d64 v64 h2 p64 l1 qf32 of32 if32 fast ki8:vi8,ki4:vi8",
    E("good:vi8,kf16:vf16"),
    E("turbo:vi8,kf16:vf16"),
    P("kf16:vf16"),
    "page_gather d64 v64 h1 p64 l1 qf32 of32 if32 tight good:vi8,kf16:vf16",
    "page_decode d64 v64 h1 p64 l1 qf32 of32 if32 tight good:vi8,kf16:vf16",
    "token_compact d64 v64 h1 p64 l1 qf32 of32 if32 tight good:vi8,kf16:vf16",
    "attn_extend d64 v64 h2 p64 l1 qf32 of32 if32 fast good:vi8,kf16:vf16",
    "page_mass d64 v64 h2 p64 l1 qf32 of32 if32 tight good:vi8,ki8:vi8",
    "page_retier d64 v64 h1 p64 l1 qf32 of32 if32 tight low:vi4,good:vi8",
};

static const uint32_t vector_bits[] = {256, 512};

/* What was met: the values that ran, and the texts of what ran. */
typedef struct seen {
    bool ran[SK_TUNABLE_COUNT][16];
    char *text[256];
    uint32_t texts;
} seen;

/* Whether this (spec, schedule) runs for the first time. */
static bool seen_add(seen *s, const char *spec, const char *schedule)
{
    sk_text both = {0};
    sk_text_printf(&both, "%s %s", spec, schedule);
    assert_false(both.failed);
    for (uint32_t i = 0; i < s->texts; i++)
        if (strcmp(s->text[i], both.s) == 0) {
            sk_text_free(&both);
            return false;
        }
    assert_true(s->texts < SK_COUNT(s->text));
    s->text[s->texts++] = both.s;
    return true;
}

/* Schedules that differ from the default in one tunable, or, where that alone
 * is refused, in one more. */
static bool find_schedule(const sk_kernel *kernel, const sk_spec *spec, const sk_target *target,
                          uint32_t tunable, int32_t value, sk_schedule *out)
{
    sk_schedule base;
    sk_kernel_default(kernel, spec, target, &base);
    base.v[tunable] = value;
    *out = base;
    if (sk_kernel_valid(kernel, spec, out, target, NULL) == SPHKV_OK) return true;
    for (uint32_t t = 0; t < SK_TUNABLE_COUNT; t++) {
        if (t == tunable || !sk_tunable_tunes(t, spec->kernel, SK_BACKEND_CPU)) continue;
        for (uint32_t i = 0; i < sk_tunable_count(t); i++) {
            *out = base;
            out->v[t] = sk_tunable_value(t, i);
            if (sk_kernel_valid(kernel, spec, out, target, NULL) == SPHKV_OK) return true;
        }
    }
    return false;
}

static void run_value(kernel_lab *lab, const char *spec_text, uint32_t bits, uint32_t tunable,
                      uint32_t i, seen *s)
{
    sk_spec spec;
    sk_schedule schedule;
    sk_target target = kernel_target(lab, bits);
    sk_text text = {0};
    assert_int_equal(sk_spec_parse(spec_text, &spec, NULL), SPHKV_OK);
    const sk_kernel *kernel = sk_kernel_get(spec.kernel);
    if (!sk_tunable_tunes(tunable, spec.kernel, SK_BACKEND_CPU)) return;
    int32_t value = sk_tunable_value(tunable, i);
    if (!find_schedule(kernel, &spec, &target, tunable, value, &schedule)) return;
    s->ran[tunable][i] = true;
    sk_schedule_print(spec.kernel, &schedule, &text);
    const kernel_row row = {spec_text, text.s, bits};
    if (seen_add(s, spec_text, text.s)) {
        print_message("%s %s\n", spec_text, text.s);
        kernel_row_run(lab, &row, false);
    }
    sk_text_free(&text);
}

static void test_every_value(void **state)
{
    seen s = {0};
    for (uint32_t b = 0; b < SK_COUNT(vector_bits); b++)
        for (uint32_t k = 0; k < SK_COUNT(specs); k++)
            for (uint32_t t = 0; t < SK_TUNABLE_COUNT; t++)
                for (uint32_t i = 0; i < sk_tunable_count(t); i++)
                    /* wide targets differ in w, and in what asks for it */
                    if (vector_bits[b] == 256 || t == SK_T_w || t == SK_T_prob || t == SK_T_lut ||
                        t == SK_T_query || t == SK_T_search)
                        run_value(*state, specs[k], vector_bits[b], t, i, &s);
    for (uint32_t t = 0; t < SK_TUNABLE_COUNT; t++)
        for (uint32_t i = 0; i < sk_tunable_count(t); i++)
            if (!s.ran[t][i] && (sk_tunable_get(t)->kernels & SK_FOR_ALL))
                fail_msg("no spec accepts value %u of %s", i, sk_tunable_get(t)->name);
    for (uint32_t i = 0; i < s.texts; i++)
        sk_free(s.text[i]);
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
