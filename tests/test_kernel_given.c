/* test_kernel_given.c - schedules of which a part is given: the rest comes from a default
 * that goes with it, and one value that some valid schedule has is never refused. */
#include "sk_test.h"

#include "kernel_cases.h"
#include "spec_random.h"

/* A schedule of `given`, which has it and is valid, holds `rest`. */
typedef struct part_row {
    const char *spec, *given, *rest;
    uint32_t bits;
} part_row;

#define A(class, tiers) "attn_decode d128 v128 h4 p128 l1 qf32 of32 if32 " class " " tiers

static const part_row part_rows[] = {
    {A("tight", "good:vi8,kf16:vf16"), "w=8", "prob=i16", 512},
    {A("tight", "good:vi8,kf16:vf16"), "w=4", "prob=i16", 512},
    {A("tight", "good:vi8,kf16:vf16"), "lut=pair16", "w=8", 512},
    {A("tight", "good:vi8,kf16:vf16"), "prob=f32", "w=", 512},
    {A("fast", "kf16:vf16"), "w=8", "query=f32", 512},
    {A("fast", "ki8:vi8"), "query=f32,prob=f32", "w=", 512},
    {A("fast", "high:vi4"), "prob=i16", "w=", 512},
    {A("exact", "good:vi8"), "w=16", "prob=f32", 512},
    {A("tight", "sharp:vi8"), "w=8", "lut=rows", 512},
    {"attn_extend d64 v64 h4 p64 l1 qf32 of32 if32 fast good:vi8", "w=8", "qvec=", 512},
    {"attn_extend d64 v64 h4 p16 l1 qf32 of32 if32 fast good:vi8", "product=bf16", "w=8", 512},
    {"page_decode d128 v128 h1 p128 l1 qf32 of16 if32 tight good:vi8", "w=4", "lut=", 512},
};

#undef A

static bool has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

static void the_rest_goes_with_what_is_given(void **state)
{
    kernel_lab *lab = *state;
    for (size_t i = 0; i < SK_COUNT(part_rows); i++) {
        const part_row *row = &part_rows[i];
        const sk_target target = kernel_target(lab, row->bits);
        sk_spec spec;
        sk_schedule s;
        sk_err err = {0};
        sk_text text = {0};
        sk_assert_ok(sk_spec_parse(row->spec, &spec, &err), &err);
        const sk_kernel *kernel = sk_kernel_get(spec.kernel);
        if (sk_kernel_given(kernel, &spec, &target, row->given, &s, &err) != SPHKV_OK)
            fail_msg("%s, %s: %s", row->spec, row->given, err.message);
        sk_assert_ok(sk_kernel_valid(kernel, &spec, &s, &target, &err), &err);
        sk_schedule_print(spec.kernel, &s, &text);
        sk_schedule again = s;
        sk_assert_ok(sk_schedule_parse(spec.kernel, row->given, &again, &err), &err);
        assert_memory_equal(&again, &s, sizeof s);
        if (!has(text.s, row->rest)) fail_msg("%s, %s: %s", row->spec, row->given, text.s);
        sk_text_free(&text);
    }
}

/* One or two values of a schedule by chance, as text. */
static void draw_values(sk_rng *rng, const sk_schedule *s, const sk_spec *spec, sk_text *out)
{
    sk_text all = {0};
    sk_schedule_print(spec->kernel, s, &all);
    uint32_t n = 1;
    for (const char *c = all.s; *c; c++) n += *c == ',';
    const uint32_t one = sk_rng_below(rng, n), two = sk_rng_below(rng, n);
    const char *at = all.s;
    for (uint32_t i = 0; i < n; i++) {
        const size_t len = strcspn(at, ",");
        if (i == one || i == two) {
            if (out->len > 0) sk_text_printf(out, ",");
            sk_text_append(out, at, len);
        }
        at += len + (at[len] == ',');
    }
    sk_text_free(&all);
}

static void what_some_schedule_has_is_taken(void **state)
{
    kernel_lab *lab = *state;
    sk_rng rng = sk_test_rng(77);
    const uint32_t cases = sk_test_cases(300);
    for (uint32_t n = 0; n < cases; n++) {
        const sk_target target = kernel_target(lab, 128u << n % 3);
        sk_spec spec;
        sk_schedule s, out;
        sk_err err = {0};
        sk_text given = {0};
        (void)sk_random_sample(sk_rng_u64(&rng), n, &target, 128, &spec, &s);
        const sk_kernel *kernel = sk_kernel_get(spec.kernel);
        draw_values(&rng, &s, &spec, &given);
        if (sk_kernel_given(kernel, &spec, &target, given.s, &out, &err) != SPHKV_OK) {
            sk_text text = {0};
            sk_spec_print(&spec, &text);
            sk_text_printf(&text, " %s of ", given.s);
            sk_schedule_print(spec.kernel, &s, &text);
            fail_msg("%s: %s", text.s, err.message);
        }
        sk_text_free(&given);
    }
}

static void what_no_schedule_has_is_refused(void **state)
{
    kernel_lab *lab = *state;
    const sk_target target = kernel_target(lab, 256);
    sk_spec spec;
    sk_schedule s;
    sk_err err = {0};
    sk_assert_ok(sk_spec_parse("attn_decode d64 v64 h1 p64 l1 qf32 of32 if32 exact kf32:vf32", &spec, &err), &err);
    const sk_kernel *kernel = sk_kernel_get(spec.kernel);
    assert_int_equal(sk_kernel_given(kernel, &spec, &target, "prob=i16", &s, &err), SPHKV_EINVAL);
    assert_true(has(err.message, "prob fits no tier"));
    assert_int_equal(sk_kernel_given(kernel, &spec, &target, "w=16", &s, &err), SPHKV_EINVAL);
    assert_true(has(err.message, "256-bit"));
    assert_int_equal(sk_kernel_given(kernel, &spec, &target, "w=5", &s, &err), SPHKV_EINVAL);
    assert_int_equal(sk_kernel_given(kernel, &spec, &target, "warps=4", &s, &err), SPHKV_EINVAL);
    sk_assert_ok(sk_kernel_given(kernel, &spec, &target, NULL, &s, &err), &err);
}

int main(void)
{
    kernel_lab lab;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(the_rest_goes_with_what_is_given, &lab),
        cmocka_unit_test_prestate(what_some_schedule_has_is_taken, &lab),
        cmocka_unit_test_prestate(what_no_schedule_has_is_refused, &lab),
    };
    kernel_lab_open(&lab);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kernel_lab_close(&lab);
    return failed;
}
