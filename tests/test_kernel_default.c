/* test_kernel_default.c - what a kernel says of itself, held against many specs
 * by chance: whatever `supported` takes has a default schedule that is valid for
 * any vector width, every valid schedule builds and verifies, and what the
 * kernels cannot do is refused with a reason. Samples are run through the whole
 * check, interpreted and compiled; test_kernel_random.c runs more of them. */
#include "sk_test.h"

#include "kernel_cases.h"
#include "spec_random.h"

static const uint32_t widths[] = {128, 256, 512};

/* A tier, most often one that kernels take; dense when asked. */
static sk_tier draw_tier(sk_rng *rng, const sk_spec *s, bool dense)
{
    sk_tier tier = sk_random_tier(rng, s->d, s->dv <= s->d);
    if (sk_rng_below(rng, 24) == 0) return tier;
    while (tier.nseg > 1)
        tier = sk_random_tier(rng, s->d, false);
    tier.seg[0].pre_rope = false;
    tier.value = (uint8_t)sk_rng_below(rng, dense ? SK_VAL_BF16 + 1 : SK_VAL_I4 + 1);
    if (dense)
        tier.seg[0] = (sk_segment){.kind = (uint8_t)(SK_KEY_F32 + sk_rng_below(rng, 3))};
    return tier;
}

static sk_spec draw_spec(sk_rng *rng, bool small)
{
    sk_spec s = {.kernel = sk_rng_below(rng, SPHKV_KERNEL_COUNT), .layout = sk_rng_below(rng, SK_LAYOUT_ROWS)};
    uint32_t most = small ? 6 : sk_rng_below(rng, 8) ? 16 : 64;
    s.d = 16 * (1 + sk_rng_below(rng, most)) + (sk_rng_below(rng, 16) ? 0 : 8);
    s.dv = sk_rng_below(rng, 2) ? s.d : 16 * (1 + sk_rng_below(rng, most));
    s.page = 16 * (1 + sk_rng_below(rng, small ? 6 : 16)) - (sk_rng_below(rng, 16) ? 0 : 8);
    s.heads_per_kv = s.kernel == SPHKV_ATTN_DECODE ? 1 + sk_rng_below(rng, 16) : 1;
    s.ntiers = s.kernel == SPHKV_KV_APPEND ? 1 : s.kernel == SPHKV_KV_ENCODE ? 2 : 0;
    if (s.ntiers == 0) s.ntiers = 1 + sk_rng_below(rng, SK_MAX_TIERS);
    s.in_dtype = s.kernel == SPHKV_KV_APPEND ? sk_rng_below(rng, 3) : 0;
    if (s.kernel == SPHKV_ATTN_DECODE) {
        s.q_dtype = sk_rng_below(rng, 3);
        s.accuracy = sk_rng_below(rng, 3);
        s.out_dtype = sk_rng_below(rng, 3);
    }
    if (s.kernel == SPHKV_PAGE_DECODE) s.out_dtype = sk_rng_below(rng, 3);
    for (uint32_t t = 0; t < s.ntiers; t++)
        s.tier[t] = draw_tier(rng, &s, s.kernel != SPHKV_ATTN_DECODE && t + 1 == s.ntiers);
    s.book = sk_random_book(rng, &s);
    return s;
}

/* What no kernel here does, whatever else a spec says. Kernels that see pages
 * from outside (copies, work lists) take all; without pages, rows are left. */
static bool beyond_kernels(const sk_spec *s)
{
    const sk_kernel_row *row = sk_kernel_row_get(s->kernel);
    if (row->mix == SPHKV_MIX_NONE) return s->dv % 16;
    if (row->mix == SPHKV_MIX_ANY && row->reads == 0) return false;
    bool beyond = s->d % 16 || s->dv % 16 || s->page % 16;
    for (uint32_t t = 0; t < s->ntiers; t++) {
        const sk_tier *tier = &s->tier[t];
        beyond |= tier->nseg > 1 || tier->value == SK_VAL_KEY;
        for (uint32_t i = 0; i < tier->nseg; i++)
            beyond |= tier->seg[i].pre_rope;
    }
    return beyond;
}

static void fail_spec(const sk_spec *spec, const sk_schedule *s, const char *what, const char *why)
{
    sk_text text = {0};
    sk_spec_print(spec, &text);
    if (s) {
        sk_text_printf(&text, " ");
        sk_schedule_print(spec->kernel, s, &text);
    }
    fail_msg("%s: %s: %s", text.s, what, why);
}

static void check_builds(const sk_spec *spec, const sk_schedule *s)
{
    sk_arena mem = {0};
    sk_build build;
    sk_err err = {0};
    if (sk_kernel_get(spec->kernel)->build(spec, s, &mem, &build, &err) != SPHKV_OK)
        fail_spec(spec, s, "a valid schedule does not build", err.message);
    sk_arena_free(&mem);
}

/* Some schedule, valid or not. */
static void draw_schedule(sk_rng *rng, const sk_spec *spec, sk_schedule *out)
{
    memset(out, 0, sizeof *out);
    for (uint32_t t = 0; t < SK_TUNABLE_COUNT; t++)
        if (sk_tunable_get(t)->kernels & SK_FOR(spec->kernel))
            out->v[t] = sk_tunable_value(t, sk_rng_below(rng, sk_tunable_count(t)));
}

static void check_spec(sk_rng *rng, const kernel_lab *lab, const sk_spec *spec)
{
    const sk_kernel *kernel = sk_kernel_get(spec->kernel);
    for (uint32_t i = 0; i < SK_COUNT(widths); i++) {
        sk_target target = kernel_target(lab, widths[i]);
        sk_schedule s;
        sk_err err = {0};
        kernel->default_schedule(spec, &target, &s);
        if (kernel->valid(spec, &s, &target, &err) != SPHKV_OK)
            fail_spec(spec, &s, "the default schedule is refused", err.message);
        if (i == 0) check_builds(spec, &s);
        for (uint32_t n = 0; n < 64; n++) {
            draw_schedule(rng, spec, &s);
            if (kernel->valid(spec, &s, &target, NULL) != SPHKV_OK) continue;
            check_builds(spec, &s);
            break;
        }
    }
}

#define SPECS 2000u

static void test_defaults(void **state)
{
    kernel_lab *lab = *state;
    sk_rng rng;
    uint32_t seen[SPHKV_KERNEL_COUNT] = {0}, refused = 0;
    sk_rng_seed(&rng, lab->seed);
    for (uint32_t n = 0; n < SPECS; n++) {
        sk_err err = {0};
        sk_spec spec = draw_spec(&rng, false);
        if (sk_spec_check(&spec, NULL) != SPHKV_OK) continue;
        if (sk_kernel_get(spec.kernel)->supported(&spec, &err) != SPHKV_OK) {
            assert_int_equal(err.status, SPHKV_EUNSUPPORTED);
            assert_non_null(strchr(err.message, ':'));
            refused++;
            continue;
        }
        if (beyond_kernels(&spec)) fail_spec(&spec, NULL, "is taken", "no kernel does it");
        check_spec(&rng, lab, &spec);
        seen[spec.kernel]++;
    }
    for (uint32_t i = 0; i < SPHKV_KERNEL_COUNT; i++) {
        print_message("%u %s, ", seen[i], sk_kernel_name(i));
        assert_true(seen[i] > 20);
    }
    print_message("%u refused\n", refused);
    assert_true(refused > 100);
}

/* ---- samples run ---------------------------------------------------------------- */

#define SAMPLES 5u

static void check_image(const kernel_built *b, bool compiled, uint64_t seed)
{
    const sphkv_maxima maxima = {.size = sizeof maxima, .batch = 1, .kv_heads = 1,
                                 .pages_per_list = 1, .parts = 1};
    sk_image image;
    sk_err err = {0};
    kernel_image(b, compiled, &maxima, &image);
    if (sk_image_check(&image, seed, NULL, &err) != SPHKV_OK)
        fail_spec(&b->spec, &b->schedule, compiled ? "compiled" : "interpreted", err.message);
}

/* The whole check with the default schedule for this machine, both ways. */
static void test_samples(void **state)
{
    kernel_lab *lab = *state;
    sk_rng rng;
    sk_rng_seed(&rng, lab->seed + 1);
    for (uint32_t done = 0; done < SAMPLES;) {
        sk_spec spec = draw_spec(&rng, true);
        if (sk_spec_check(&spec, NULL) != SPHKV_OK ||
            sk_kernel_get(spec.kernel)->supported(&spec, NULL) != SPHKV_OK)
            continue;
        sk_text text = {0};
        kernel_built b;
        sk_spec_print(&spec, &text);
        const kernel_row row = {text.s, "", 0};
        print_message("%s\n", text.s);
        kernel_build(lab, &row, &b);
        check_image(&b, false, lab->seed);
        if (b.code) check_image(&b, true, lab->seed);
        kernel_built_free(&b);
        sk_text_free(&text);
        done++;
    }
}

int main(void)
{
    kernel_lab lab;
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(test_defaults, &lab),
                                       cmocka_unit_test_prestate(test_samples, &lab)};
    kernel_lab_open(&lab);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kernel_lab_close(&lab);
    return failed;
}
