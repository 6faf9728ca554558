/* test_spec_schedule.c - schedules as text, over whatever the table holds. */
#include "sk_test.h"

#include "schedule.h"

static void test_table(void **state)
{
    (void)state;
    assert_null(sk_tunable_get(SK_TUNABLE_COUNT));
    assert_int_equal(sk_tunable_count(SK_TUNABLE_COUNT), 0);
    for (uint32_t t = 0; t < SK_TUNABLE_COUNT; t++) {
        const sk_tunable_info *info = sk_tunable_get(t);
        assert_non_null(info);
        assert_true(info->kernels != 0);
        char *words = sk_strdup(info->values);
        uint32_t n = 0;
        for (char *save, *w = strtok_r(words, "|", &save); w; w = strtok_r(NULL, "|", &save)) {
            int32_t v = -1;
            assert_true(sk_tunable_parse(t, w, &v));
            assert_int_equal(v, sk_tunable_value(t, n));
            assert_int_equal(sk_tunable_place(t, w), n);
            if (info->values[0] >= '0' && info->values[0] <= '9') {
                uint64_t number;
                assert_true(sk_parse_u64(w, 0, INT32_MAX, &number));
                assert_int_equal(v, (int32_t)number);
            } else {
                assert_int_equal(v, (int32_t)n);
            }
            n++;
        }
        assert_int_equal(sk_tunable_count(t), n);
        int32_t v;
        assert_int_equal(sk_tunable_find(info->name, strlen(info->name)), t);
        assert_int_equal(sk_tunable_place(t, ""), n);
        assert_false(sk_tunable_parse(t, "", &v));
        assert_false(sk_tunable_parse(t, info->values, &v) && n > 1);
        sk_free(words);
    }
    assert_int_equal(sk_tunable_value(SK_T_prob, SK_PROB_I16), SK_PROB_I16);
    assert_int_equal(sk_tunable_value(SK_T_lut, SK_LUT_PAIR16), SK_LUT_PAIR16);
    assert_int_equal(sk_tunable_value(SK_T_lut, SK_LUT_REBUILD), SK_LUT_REBUILD);
    assert_int_equal(sk_tunable_value(SK_T_lut_build, SK_LUT_SEPARATE), SK_LUT_SEPARATE);
}

static void test_round_trip(void **state)
{
    (void)state;
    sk_rng rng = sk_test_rng(21);
    for (uint32_t i = 0; i < 600; i++) {
        uint32_t kernel = i % 3;
        sk_schedule s = {.v = {0}}, again = {.v = {0}};
        sk_text text = {0};
        sk_err err = {0};
        for (uint32_t t = 0; t < SK_TUNABLE_COUNT; t++)
            if (sk_tunable_tunes(t, kernel, SK_BACKEND_CPU))
                s.v[t] = sk_tunable_value(t, sk_rng_below(&rng, sk_tunable_count(t)));
        sk_schedule_print(kernel, &s, &text);
        assert_non_null(text.s);
        sk_assert_ok(sk_schedule_parse(kernel, text.s, &again, &err), &err);
        assert_memory_equal(&s, &again, sizeof s);
        sk_text_free(&text);
    }
}

static void test_partial(void **state)
{
    (void)state;
    sk_schedule s = {.v = {0}};
    sk_err err = {0};
    s.v[SK_T_w] = 8;
    s.v[SK_T_prob] = SK_PROB_F32;
    sk_assert_ok(sk_schedule_parse(SPHKV_ATTN_DECODE, "prob=i16", &s, &err), &err);
    assert_int_equal(s.v[SK_T_w], 8);
    assert_int_equal(s.v[SK_T_prob], SK_PROB_I16);
    sk_assert_ok(sk_schedule_parse(SPHKV_ATTN_DECODE, "", &s, &err), &err);
    assert_int_equal(s.v[SK_T_w], 8);
}

static void test_refusals(void **state)
{
    static const struct {
        uint32_t kernel;
        const char *text, *reason;
    } bad[] = {
        {SPHKV_ATTN_DECODE, "w", "not name=value"},
        {SPHKV_ATTN_DECODE, "=8", "no tunable"},
        {SPHKV_ATTN_DECODE, "nope=8", "no tunable is called 'nope'"},
        {SPHKV_ATTN_DECODE, "W=8", "no tunable"},
        {SPHKV_ATTN_DECODE, "w=5", "it takes"},
        {SPHKV_ATTN_DECODE, "w=", "it takes"},
        {SPHKV_ATTN_DECODE, "w=8=8", "it takes"},
        {SPHKV_ATTN_DECODE, "prob=1", "it takes"},
        {SPHKV_ATTN_DECODE, "w=8,w=8", "given twice"},
        {SPHKV_ATTN_DECODE, "w=8,", "comma at the end"},
        {SPHKV_ATTN_DECODE, ",w=8", "not name=value"},
        {SPHKV_KV_APPEND, "prob=i16", "not a tunable of this kernel"},
        {77, "w=8", "not a tunable of this kernel"},
    };
    (void)state;
    for (size_t i = 0; i < SK_COUNT(bad); i++) {
        sk_schedule s = {.v = {0}}, before = {.v = {0}};
        sk_err err = {0};
        assert_int_equal(sk_schedule_parse(bad[i].kernel, bad[i].text, &s, &err), SPHKV_EINVAL);
        if (!strstr(err.message, bad[i].reason))
            fail_msg("'%s': \"%s\"", bad[i].text, err.message);
        assert_memory_equal(&s, &before, sizeof s); /* nothing half-done */
    }
    char longest[200];
    memset(longest, 'w', sizeof longest);
    longest[199] = '\0';
    sk_schedule s = {.v = {0}};
    assert_int_equal(sk_schedule_parse(SPHKV_ATTN_DECODE, longest, &s, NULL), SPHKV_EINVAL);
}

static void test_gpus(void **state)
{
    static const uint32_t known[] = {75, 80, 86, 87, 89, 90, 100, 103, 120};
    (void)state;
    sk_target t;
    sk_err err = {0};
    for (size_t i = 0; i < SK_COUNT(known); i++) {
        sk_assert_ok(sk_target_cuda(known[i], false, &t, &err), &err);
        assert_int_equal(t.backend, SK_BACKEND_CUDA);
        assert_int_equal(t.sm, known[i]);
        assert_true(t.sms > 0 && t.regs_sm == 65536 && t.threads_sm % 32 == 0);
        /* a block leaves the multiprocessor a KiB, but on the first */
        assert_true(t.shared_block + (known[i] > 75 ? 1024u : 0u) == t.shared_sm);
        assert_int_equal(sk_target_cuda(known[i], true, &t, NULL),
                         known[i] >= 90 ? SPHKV_OK : SPHKV_EUNSUPPORTED);
    }
    assert_int_equal(sk_target_cuda(61, false, &t, &err), SPHKV_EUNSUPPORTED);
    assert_non_null(strstr(err.message, "sm_61"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_partial),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_gpus),
    };
    return cmocka_run_group_tests_name("spec_schedule", tests, NULL, NULL);
}
