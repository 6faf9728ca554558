/* test_kernel_default.c - what a kernel says of itself, held against many specs
 * by chance: whatever `supported` takes has a default schedule that is valid for
 * any vector width, for every CPU by name and, where the kernel runs on GPUs, for
 * each of them; every valid schedule builds and verifies, and what the kernels cannot
 * do is refused with a reason. What is run of them is run by test_kernel_random.c. */
#include "sk_test.h"

#include "kernel_cases.h"
#include "spec_random.h"

static const uint32_t widths[] = {128, 256, 512};

/* What no kernel here does, whatever else a spec says. Kernels that see pages
 * from outside (copies, work lists) take all; without pages, rows are left. */
/* Whether a dimension is rotated when the key is read. */
static bool rotated(const sk_spec *s, uint32_t tier, uint32_t dim)
{
    const sk_tier *t = &s->tier[tier];
    uint32_t i = 0, end = t->seg[0].dims;
    while (i + 1 < t->nseg && dim >= end) end += t->seg[++i].dims;
    return t->seg[i].pre_rope;
}

/* Tiers of no one model: keys that are rotated in other dimensions, values from keys before
 * RoPE and after it. */
static bool beyond_models(const sk_spec *s)
{
    bool beyond = false;
    for (uint32_t a = 0; a < s->ntiers; a++)
        for (uint32_t b = 0; b < s->ntiers && sk_tier_pre_rope(&s->tier[a]); b++)
            for (uint32_t i = 0; i < s->d; i++) {
                const bool other = rotated(s, a, i) != rotated(s, b, i);
                const bool value = s->tier[b].value == SK_VAL_KEY && i < s->dv;
                beyond |= other && (value || sk_tier_pre_rope(&s->tier[b]));
            }
    return beyond;
}

static bool odd_segments(const sk_tier *tier)
{
    for (uint32_t i = 0; i < tier->nseg; i++)
        if (tier->seg[i].dims % 16) return true;
    return false;
}

/* Keys that page_retier would have to rotate by positions that it does not know; coded ones
 * that it cannot leave in the space of codes. */
static bool beyond_codes(const sk_spec *s)
{
    uint32_t coded[2] = {0, 0};
    for (uint32_t t = 0; t < 2; t++)
        for (uint32_t i = 0; i < s->tier[t].nseg; i++) coded[t] += s->tier[t].seg[i].kind == SK_KEY_CODED;
    const bool turned = sk_tier_pre_rope(&s->tier[0]) != sk_tier_pre_rope(&s->tier[1]);
    if (turned && !sk_tier_pre_rope(&s->tier[1]) && !(s->variants & SPHKV_VARIANT_POSITIONS)) return true;
    if (coded[1] == 0) return false;
    if (!turned && coded[0] == s->tier[0].nseg && coded[1] == s->tier[1].nseg) return false;
    return s->book & SPHKV_BOOK_MEAN && coded[0] > 0;
}

static bool beyond_kernels(const sk_spec *s)
{
    const sk_kernel_row *row = sk_kernel_row_get(s->kernel);
    if (row->mix == SPHKV_MIX_NONE) return s->dv % 16;
    if (row->mix == SPHKV_MIX_ANY && !(row->reads & ~(uint32_t)SPHKV_READS_POSITIONS)) return false;
    const bool codes = s->kernel == SPHKV_KV_ENCODE || s->kernel == SPHKV_PAGE_RETIER;
    bool beyond = s->d % 16 || s->dv % 16 || s->page % 16 || beyond_models(s);
    for (uint32_t t = 0; t < s->ntiers; t++) beyond |= odd_segments(&s->tier[t]);
    if (s->kernel == SPHKV_PAGE_RETIER) beyond |= beyond_codes(s);
    if (s->kernel == SPHKV_KV_ENCODE)
        beyond |= sk_tier_pre_rope(&s->tier[0]) != sk_tier_pre_rope(&s->tier[1]);
    if (codes) beyond |= s->tier[1].value == SK_VAL_KEY && s->tier[0].value != SK_VAL_KEY;
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
    if (sk_kernel_build(sk_kernel_get(spec->kernel), spec, s, &mem, &build, &err) != SPHKV_OK)
        fail_spec(spec, s, "a valid schedule does not build", err.message);
    sk_arena_free(&mem);
}

/* Of every CPU that has a name: some have wide vectors and not all that is done in them. */
static void check_named(const sk_spec *spec)
{
    const sk_kernel *kernel = sk_kernel_get(spec->kernel);
    for (uint32_t i = 0; sk_cpu_target_name(i); i++) {
        sk_target target;
        sk_schedule s;
        sk_err err = {0};
        sk_assert_ok(sk_cpu_target_named(sk_cpu_target_name(i), &target, &err), &err);
        sk_kernel_default(kernel, spec, &target, &s);
        if (sk_kernel_valid(kernel, spec, &s, &target, &err) != SPHKV_OK)
            fail_spec(spec, &s, "the default schedule is refused", err.message);
    }
}

static void check_spec(sk_rng *rng, const kernel_lab *lab, uint32_t n, const sk_spec *spec)
{
    const sk_kernel *kernel = sk_kernel_get(spec->kernel);
    for (uint32_t i = 0; i < SK_COUNT(widths); i++) {
        sk_target target = kernel_target(lab, widths[i]);
        sk_schedule s;
        sk_err err = {0};
        sk_kernel_default(kernel, spec, &target, &s);
        if (sk_kernel_valid(kernel, spec, &s, &target, &err) != SPHKV_OK)
            fail_spec(spec, &s, "the default schedule is refused", err.message);
        if (i == 0) check_builds(spec, &s);
        (void)sk_random_schedule(rng, n, spec, &target, &s);
        check_builds(spec, &s);
    }
}

/* Scratch of all programs fits where the schedule is valid. */
static void check_gpu_builds(const sk_spec *spec, const sk_schedule *s, const sk_target *target)
{
    sk_arena mem = {0};
    sk_build build;
    sk_err err = {0};
    if (sk_kernel_build(sk_kernel_get(spec->kernel), spec, s, &mem, &build, &err) != SPHKV_OK)
        fail_spec(spec, s, "a valid schedule does not build", err.message);
    for (uint32_t i = 0; i < build.n; i++) {
        if (build.program[i]->shared_bytes > target->shared_block)
            fail_spec(spec, s, "a valid schedule", "has more scratch than a block");
        assert_int_equal(build.program[i]->w, 32);
        assert_true(build.program[i]->nparams <= SK_MAX_SLOTS);
    }
    sk_arena_free(&mem);
}

static void check_gpus(sk_rng *rng, uint32_t n, const sk_spec *spec)
{
    const sk_kernel *kernel = sk_kernel_get(spec->kernel);
    uint32_t known = 0;
    while (sk_target_cuda_known(known)) known++;
    for (uint32_t i = 0; i < known; i++) {
        sk_target target;
        sk_schedule s;
        sk_err err = {0};
        sk_assert_ok(sk_target_cuda(sk_target_cuda_known(i), false, &target, &err), &err);
        sk_kernel_default(kernel, spec, &target, &s);
        if (sk_kernel_valid(kernel, spec, &s, &target, &err) != SPHKV_OK)
            fail_spec(spec, &s, "the default schedule is refused", err.message);
        if (n % known != i) continue;
        check_gpu_builds(spec, &s, &target);
        (void)sk_random_schedule(rng, n, spec, &target, &s);
        check_gpu_builds(spec, &s, &target);
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
        const sk_spec spec = sk_random_kernel_spec(&rng, n, n % 8 ? 256 : 1024);
        if (sk_kernel_get(spec.kernel)->supported(&spec, &err) != SPHKV_OK) {
            assert_int_equal(err.status, SPHKV_EUNSUPPORTED);
            assert_non_null(strchr(err.message, ':'));
            refused++;
            continue;
        }
        if (beyond_kernels(&spec)) fail_spec(&spec, NULL, "is taken", "no kernel does it");
        check_spec(&rng, lab, n, &spec);
        check_named(&spec);
        if (sk_kernel_get(spec.kernel)->form[SK_BACKEND_CUDA]) check_gpus(&rng, n, &spec);
        seen[spec.kernel]++;
    }
    for (uint32_t i = 0; i < SPHKV_KERNEL_COUNT; i++) {
        print_message("%u %s, ", seen[i], sk_kernel_name(i));
        assert_true(seen[i] > 20);
    }
    print_message("%u refused\n", refused);
    assert_true(refused > 100);
}

/* Of 8 lanes and one head 16-bit pairs are better than bytes, but not where other tiers of
 * the mix are then looked up in rows. */
static void test_mixed_tables(void **state)
{
    static const struct {
        const char *mix;
        int32_t lut;
    } row[] = {{"good:vi8,kf16:vf16", SK_LUT_PAIR16},
               {"high:vi8,kf16:vf16", SK_LUT_BYTE},
               {"good:vi8,high:vi8,kf16:vf16", SK_LUT_BYTE},
               {"high:vi8,good:vi8,kf16:vf16", SK_LUT_BYTE}};
    sk_target target;
    sk_err err = {0};
    (void)state;
    sk_assert_ok(sk_cpu_target_named("znver3", &target, &err), &err);
    for (uint32_t i = 0; i < SK_COUNT(row); i++) {
        char text[160];
        sk_spec spec;
        sk_schedule s;
        snprintf(text, sizeof text, "attn_decode d128 v128 h1 p128 l1 qf32 of32 if32 fast %s", row[i].mix);
        sk_assert_ok(sk_spec_parse(text, &spec, &err), &err);
        sk_kernel_default(sk_kernel_get(spec.kernel), &spec, &target, &s);
        assert_int_equal(s.v[SK_T_lut], row[i].lut);
    }
}

int main(void)
{
    kernel_lab lab;
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(test_defaults, &lab),
                                       cmocka_unit_test(test_mixed_tables)};
    kernel_lab_open(&lab);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kernel_lab_close(&lab);
    return failed;
}
