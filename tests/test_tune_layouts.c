/* test_tune_layouts.c - layouts of pages tried side by side: which specs that makes,
 * and the advice, from winners that are made up. No clock is looked at. */
#include "sk_test.h"

#include "layouts.h"
#include "wish.h"

/* ---- what is tuned -------------------------------------------------------- */

/* Rows of the specs of a kernel, as digits in their order. */
static void rows_of(const char *tiers, uint32_t kernel, sk_list layouts, char *out)
{
    sk_options o = {.head_dim = 128, .heads = 32, .kv_heads = 8, .heads_per_kv = 4,
                    .layouts = layouts, .context = {1, {8192}}, .batch = {1, {1}},
                    .threads = {1, {1}}};
    sk_mixes mixes = {0};
    sk_wish wish = {0};
    sk_err err = {0};
    sk_assert_ok(sk_mixes_add(&mixes, tiers, &err), &err);
    sk_assert_ok(sk_wish_make(&o, &mixes, SK_FOR(kernel), &wish, &err), &err);
    for (uint32_t i = 0; i < wish.n; i++) *out++ = (char)('0' + wish.item[i].spec.layout);
    *out = '\0';
    sk_wish_free(&wish);
    sk_mixes_free(&mixes);
}

static void rows_that_move_something_are_specs(void **state)
{
    (void)state;
    static const struct {
        const char *tiers;
        uint32_t kernel;
        sk_list rows;
        const char *specs;
    } cases[] = {
        {"good:vi8,kf16:vf16", SPHKV_ATTN_DECODE, {2, {0, 1}}, "01"},
        {"good:vi8,kf16:vf16", SPHKV_ATTN_DECODE, {1, {0}}, "0"},
        {"good:vi8,kf16:vf16", SPHKV_ATTN_DECODE, {0, {0}}, "1"},
        {"high:vf16", SPHKV_ATTN_DECODE, {2, {0, 1}}, "1"}, /* lies alike in both */
        {"high:vi8", SPHKV_ATTN_DECODE, {2, {1, 0}}, "10"},
        {"mid:vf16", SPHKV_ATTN_DECODE, {2, {0, 1}}, "01"},
        {"good:vi8,kf16:vf16", SPHKV_KV_APPEND, {2, {0, 1}}, "1"},
        {"good:vi8,kf16:vf16", SPHKV_ATTN_MERGE, {1, {0}}, "1"},
    };
    for (size_t i = 0; i < SK_COUNT(cases); i++) {
        char specs[16];
        rows_of(cases[i].tiers, cases[i].kernel, cases[i].rows, specs);
        assert_string_equal(specs, cases[i].specs);
    }
}

/* ---- what is advised -------------------------------------------------------- */

static sk_result made_up(char *tiers, uint32_t layout, uint32_t context, double roofline)
{
    return (sk_result){.kernel = "attn_decode", .tiers = tiers, .accuracy = "tight",
                       .layout = layout, .verified = roofline > 0, .roofline = roofline,
                       .shape = {.batch = 1, .context = context, .kv_heads = 8, .q_heads = 32,
                                 .threads = 1}};
}

static void the_faster_row_is_advised(void **state)
{
    (void)state;
    char a[] = "a", b[] = "b", c[] = "c", d[] = "d";
    const sk_result r[] = {
        /* 0.5 and 0.2 against 0.4 and 0.4: 0.4 by the geometric mean of both shapes */
        made_up(a, 0, 1024, 0.5), made_up(a, 1, 1024, 0.4), made_up(a, 0, 8192, 0.2),
        made_up(a, 1, 8192, 0.4),
        /* one per cent more is not worth another row than the default */
        made_up(b, 0, 1024, 0.505), made_up(b, 1, 1024, 0.5),
        /* a shape with one winner says nothing */
        made_up(c, 0, 1024, 0.5), made_up(c, 1, 1024, 0.25), made_up(c, 0, 8192, 0.1),
        made_up(c, 1, 8192, 0),
        /* one row: nothing to advise */
        made_up(d, 1, 1024, 0.5)};
    static const struct {
        const char *tiers;
        uint32_t row;
        double speed;
    } expected[] = {{"a", 1, 0.4}, {"b", 1, 0.5}, {"c", 0, 0.5}};
    sk_layout_advice advice;
    uint32_t at = 0;
    for (size_t i = 0; i < SK_COUNT(expected); i++) {
        assert_true(sk_layouts_next(r, SK_COUNT(r), &at, &advice));
        assert_string_equal(advice.tiers, expected[i].tiers);
        assert_int_equal(advice.rows, 2);
        assert_int_equal(advice.row[advice.best], expected[i].row);
        assert_float_equal(advice.speed[advice.best], expected[i].speed, 1e-9);
    }
    assert_false(sk_layouts_next(r, SK_COUNT(r), &at, &advice));
}

static void no_winner_no_advice(void **state)
{
    (void)state;
    char a[] = "a";
    const sk_result r[] = {made_up(a, 0, 1024, 0), made_up(a, 1, 1024, 0.5)};
    sk_text out = {0};
    sk_layouts_print(r, SK_COUNT(r), &out);
    assert_non_null(strstr(out.s, "no shape with a verified result in each row"));
    sk_text_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_that_move_something_are_specs),
        cmocka_unit_test(the_faster_row_is_advised),
        cmocka_unit_test(no_winner_no_advice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
