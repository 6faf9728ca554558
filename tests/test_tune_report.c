/* test_tune_report.c - what sphkv-bench makes of its measurements, on measurements
 * that are made up: the time of a whole token, the tables; and the mixes that
 * "first-class" stands for. No clock is looked at. */
#include <math.h>

#include <cjson/cJSON.h>

#include "sk_test.h"

#include "bench_report.h"
#include "wish.h"

static bool near(double a, double b) { return fabs(a - b) <= 1e-9 * fabs(b); }

/* ---- rows ------------------------------------------------------------------------- */

/* A group of two lanes: a tier and dense f16, `us` microseconds each in run 0 and
 * twice as much in run 1, which has the better roofline of the tier. */
static void add_group(sk_bench_report *p, const char *tiers, sk_shape shape, bool local, double us,
                      double dense_us)
{
    sk_bench_lane lane[2];
    sk_bench b = {.shape = shape, .lane = lane, .lanes = 2, .dense = 1, .fp8 = SK_NONE,
                  .repeat = 2};
    sk_err err = {0};
    memset(lane, 0, sizeof lane);
    const char *names[2] = {tiers, "kf16:vf16"};
    for (uint32_t i = 0; i < 2; i++) {
        lane[i].spec = (sk_spec){.kernel = SPHKV_ATTN_DECODE, .d = 64, .dv = 64,
                                 .heads_per_kv = 4, .page = 128};
        lane[i].tiers = sk_strdup(names[i]);
        lane[i].schedule_text = sk_strdup("w=8");
        lane[i].dense = i == 1;
        b.bytes[i] = i ? 4e6 : 1e6;
        for (uint32_t r = 0; r < 2; r++)
            b.run[i][r] = (sk_bench_run){.median_us = (r + 1) * (i ? dense_us : us),
                                         .sweep_us = (r + 1) * (i ? 200 : 50),
                                         .roofline = i ? 0.9 - r * 0.1 : 0.5 + r * 0.1,
                                         .vs_dense = i ? 1 : dense_us / us};
    }
    b.token_heads = (double)shape.context * shape.kv_heads * shape.batch;
    sk_assert_ok(sk_report_add(p, &b, local, &err), &err);
    sk_bench_lane_free(&lane[0]);
    sk_bench_lane_free(&lane[1]);
}

/* 3 full layers; 100 M weights of 8 bits: 100 MB. The dense lane reads 4 MB in
 * 200 us beside its sweep: 20 GB/s, so 5 ms for the weights. */
static const sk_model model = {.name = "made-up", .heads = 8, .full = {3, 3, 2, 64, 64, 0}};

static void token_by_hand(void **state)
{
    (void)state;
    sk_token_time t = sk_token_time_get(&model, 100, 999, 1e8, 20, 1);
    assert_true(near(t.attention_us, 300) && near(t.weights_us, 5000) && near(t.us, 5300));
    assert_true(near(t.per_second, 1e6 / 5300));
    sk_model mixed = model;
    mixed.local = (sk_layers){5, 2, 2, 64, 64, 256};
    t = sk_token_time_get(&mixed, 100, 10, 1e8, 20, 4);
    assert_true(near(t.attention_us, 350) && near(t.us, 5350));
    assert_true(near(t.per_second, 4e6 / 5350));
}

static void token_rows(void **state)
{
    (void)state;
    sk_bench_report p = {.model = &model, .weights = "8", .bits = 8, .parameters = 1e8};
    const sk_shape shape = {.batch = 1, .kv_heads = 2, .context = 1024, .threads = 2};
    sk_token_row k;
    add_group(&p, "good:vi8,kf16:vf16", shape, false, 1000, 3000);
    assert_int_equal(p.n, 2);
    assert_int_equal(p.row[0].best, 1); /* better roofline */
    assert_int_equal(p.row[1].best, 0);
    assert_true(sk_report_token(&p, &p.row[0], &k));
    /* both of run 1: 2000 and 6000 us a layer, 4 MB in 400 us: 10 GB/s, 10 ms */
    assert_true(near(k.gbps, 10) && near(k.bytes, 1e8));
    assert_true(near(k.time.us, 6000 + 10000) && near(k.dense.us, 18000 + 10000));
    assert_true(sk_report_token(&p, &p.row[1], &k));
    assert_true(near(k.time.us, 9000 + 5000) && near(k.dense.us, k.time.us));
    snprintf(p.row[0].failed, sizeof p.row[0].failed, "no kernel");
    assert_false(sk_report_token(&p, &p.row[0], &k));
    p.row[0].failed[0] = '\0';
    snprintf(p.row[1].failed, sizeof p.row[1].failed, "nothing to compare to");
    assert_false(sk_report_token(&p, &p.row[0], &k));
    p.row[1].failed[0] = '\0';
    p.parameters = 0; /* and the model has no sizes */
    assert_false(sk_report_token(&p, &p.row[0], &k));
    sk_report_free(&p);
}

/* Layers with a window are dense rings whatever the tiers; chunks have the tiers. */
static void token_rows_with_local_layers(void **state)
{
    (void)state;
    for (uint32_t chunked = 0; chunked < 2; chunked++) {
        sk_model m = model;
        m.local = (sk_layers){5, 5, 2, 64, 64, 256};
        m.chunked = chunked;
        sk_bench_report p = {.model = &m, .weights = "8", .bits = 8, .parameters = 1e8};
        sk_shape shape = {.batch = 1, .kv_heads = 2, .context = 1024, .threads = 2};
        sk_token_row k;
        add_group(&p, "good:vi8,kf16:vf16", shape, false, 1000, 3000);
        assert_false(sk_report_token(&p, &p.row[0], &k)); /* not measured yet */
        shape.context = 256;
        add_group(&p, "good:vi8,kf16:vf16", shape, true, 100, 700);
        shape.threads = 1; /* of another run */
        add_group(&p, "good:vi8,kf16:vf16", shape, true, 1, 1);
        assert_true(sk_report_token(&p, &p.row[0], &k));
        /* good: run 1 of 100 us; dense: run 0 of 700 us */
        assert_true(near(k.time.attention_us, 3 * 2000 + 5 * (chunked ? 200 : 700)));
        assert_true(near(k.dense.attention_us, 3 * 6000 + 5 * 700));
        assert_false(sk_report_token(&p, &p.row[2], &k)); /* local rows have none of their own */
        m.full.n = 0; /* a model with nothing but windows or chunks */
        assert_true(sk_report_token(&p, &p.row[0], &k));
        assert_true(near(k.time.attention_us, 5 * (chunked ? 200 : 700)));
        sk_report_free(&p);
    }
}

/* A group of one lane of a kernel, `us` in its only run. */
static void add_lane(sk_bench_report *p, uint32_t kernel, const char *tiers, sk_shape shape,
                     double us)
{
    sk_bench_lane lane;
    sk_bench b = {.shape = shape, .lane = &lane, .lanes = 1, .dense = SK_NONE, .fp8 = SK_NONE,
                  .repeat = 1, .token_heads = 1};
    sk_err err = {0};
    memset(&lane, 0, sizeof lane);
    lane.spec = (sk_spec){.kernel = kernel, .d = 64, .dv = 64, .heads_per_kv = 4, .page = 128};
    lane.tiers = sk_strdup(tiers);
    lane.schedule_text = sk_strdup("w=8");
    b.run[0][0] = (sk_bench_run){.median_us = us, .sweep_us = us, .roofline = 1,
                                 .peak = {.fma = 10}};
    b.operations[0] = kernel == SPHKV_KV_ENCODE ? 4e3 * us : 0;
    sk_assert_ok(sk_report_add(p, &b, false, &err), &err);
    sk_bench_lane_free(&lane);
}

/* A row for both KV heads of both sequences takes 3 us, their four pages 256 us, once in
 * 128 steps: 5 us beside 200. */
static void coding_by_hand(void **state)
{
    (void)state;
    sk_bench_report p = {.coding = true};
    sk_shape shape = {.batch = 2, .kv_heads = 2, .context = 1024, .threads = 1};
    const sk_shape step = {.batch = 4, .kv_heads = 2, .context = 128, .threads = 1};
    sk_coding_row k;
    sk_text text = {0};
    add_lane(&p, SPHKV_ATTN_DECODE, "good:vi8,kf16:vf16", shape, 200);
    add_lane(&p, SPHKV_KV_APPEND, "kf16:vf16", step, 3);
    add_lane(&p, SPHKV_KV_ENCODE, "low:vi8,kf16:vf16", step, 1);
    shape.batch = 32;
    add_lane(&p, SPHKV_KV_ENCODE, "good:vi8,kf16:vf16", shape, 1); /* of a prefill */
    assert_false(sk_report_coding(&p, &p.row[0], &k));
    add_lane(&p, SPHKV_KV_ENCODE, "good:vi8,kf16:vf16", step, 256);
    assert_true(sk_report_coding(&p, &p.row[0], &k));
    assert_true(near(k.append_us, 3) && near(k.pages_us, 256) && near(k.step_us, 5));
    assert_true(near(k.attention_us, 200) && near(k.share, 0.025));
    for (uint32_t i = 1; i < p.n; i++) assert_false(sk_report_coding(&p, &p.row[i], &k));
    sk_report_text(&p, &text);
    assert_non_null(strstr(text.s, " 2.50%     1024       1  good:vi8,kf16:vf16\n"));
    assert_non_null(strstr(text.s, " 4.0 G multiply-adds/s, 0.400 of the FMA peak (10.0)"));
    sk_text_free(&text);
    p.row[1].shape.threads = 2; /* of another run */
    assert_false(sk_report_coding(&p, &p.row[0], &k));
    sk_report_free(&p);
}

static void tables(void **state)
{
    (void)state;
    sk_bench_report p = {.model = &model, .weights = "q8_0", .bits = 8.5, .parameters = 1e8};
    sk_shape shape = {.batch = 1, .kv_heads = 2, .context = 1024, .threads = 1};
    sk_text text = {0};
    sk_json j = {0};
    for (shape.threads = 1; shape.threads <= 2; shape.threads++) {
        add_group(&p, "good:vi8,kf16:vf16", shape, false, 1000, 3000);
        add_group(&p, "low:vi8,kf16:vf16", shape, false, 500, 3000);
    }
    sk_report_markdown(&p, &text);
    assert_non_null(strstr(text.s, "\n|---|---|---|---|---|---|---|---|---|---|\n"));
    /* run 1: 1 MB in 2000 us and its sweep in 100, 2048 token-heads */
    assert_non_null(strstr(text.s, "| `good:vi8` | 488 | 976.6 | 0.5 of 10.0 | 0.60 | 3.00 | 976.6 |"));
    assert_non_null(strstr(text.s, "| `low:vi8` |"));
    const char *dense = strstr(text.s, "| `kf16:vf16` |");
    assert_non_null(dense); /* once, though it stood in both groups */
    assert_null(strstr(dense + 1, "| `kf16:vf16` | 1953"));
    assert_non_null(strstr(text.s, "gain of the token"));
    assert_non_null(strstr(text.s, "| 1024 | 2 | `low:vi8,kf16:vf16` |"));
    sk_text_free(&text);
    sk_report_text(&p, &text);
    assert_non_null(strstr(text.s, "whole token, made-up, weights q8_0: 0.11 GB"));
    sk_text_free(&text);
    sk_json_open(&j, NULL, '{');
    sk_report_json(&p, &j);
    sk_json_close(&j, '}');
    cJSON *root = cJSON_Parse(j.text.s);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(root, "results")), 8);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(root, "whole_token")), 8);
    cJSON_Delete(root);
    sk_text_free(&j.text);
    p.model = NULL;
    sk_report_text(&p, &text);
    assert_null(strstr(text.s, "whole token"));
    sk_text_free(&text);
    sk_report_free(&p);
}

/* ---- mixes ------------------------------------------------------------------------- */

static bool has_mix(const sk_mixes *m, const char *mix)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < m->n; i++) found += strcmp(m->mix[i], mix) == 0;
    assert_true(found <= 1);
    return found == 1;
}

static void every_first_class_key(void **state)
{
    (void)state;
    sk_mixes m = {0};
    sk_err err = {0};
    uint32_t keys = 0;
    while (sk_first_class_key(keys)) keys++;
    assert_int_equal(keys, 13);
    sk_assert_ok(sk_mixes_add(&m, "first-class", &err), &err);
    assert_int_equal(m.n, keys);
    assert_true(has_mix(&m, "good:vi8,kf16:vf16") && has_mix(&m, "sharp:vi8,kf16:vf16"));
    assert_true(has_mix(&m, "kf16:vi8,kf16:vf16") && m.expanded[0]);
    sk_assert_ok(sk_mixes_add(&m, "first-class:vf16,kf16:vf16;kf32:vf32", &err), &err);
    assert_int_equal(m.n, 2 * keys + 1);
    assert_true(has_mix(&m, "kf16:vf16")); /* not the tier twice */
    assert_false(m.expanded[2 * keys]);
    sk_assert_ok(sk_mixes_add(&m, "first-class:vf16,kf16:vf16", &err), &err); /* again */
    assert_int_equal(m.n, 2 * keys + 1);
    sk_mixes_free(&m);
    sk_assert_ok(sk_mixes_add(&m, "first-class:vi8", &err), &err);
    assert_true(m.n == keys && has_mix(&m, "good:vi8"));
    sk_mixes_free(&m);
    sk_assert_ok(sk_mixes_add(&m, "first-classy:vi8", &err), &err); /* a key that is unknown */
    assert_true(m.n == 1 && !m.expanded[0]);
    for (uint32_t i = 0; i < 4; i++) {
        char text[64];
        snprintf(text, sizeof text, "first-class:vi%u,low:vf16,kf16:vf16", i); /* 13 each */
        sk_status st = sk_mixes_add(&m, text, &err);
        assert_int_equal(st, SPHKV_OK);
    }
    assert_int_equal(sk_mixes_add(&m, "first-class:vi9", &err), SPHKV_EINVAL);
    assert_non_null(strstr(err.message, "more than"));
    sk_mixes_free(&m);
}

/* What no kernel does is left out of expanded mixes and said; written out it stays. */
static void left_out_with_the_reason(void **state)
{
    (void)state;
    sk_options o = {.head_dim = 64, .heads = 4, .kv_heads = 2, .heads_per_kv = 2,
                    .context = {1, {512}}, .batch = {1, {1}}, .threads = {1, {1}}};
    sk_mixes m = {0};
    sk_wish w;
    sk_err err = {0};
    sk_assert_ok(sk_mixes_add(&m, "first-class", &err), &err);
    sk_assert_ok(sk_wish_make(&o, &m, SK_FOR(SPHKV_KV_ENCODE), &w, &err), &err);
    const uint32_t kept = w.n;
    assert_true(kept >= 7 && kept < m.n); /* keys before RoPE do not come from this tail */
    assert_non_null(strstr(w.skipped.s, "sharp:vi8,kf16:vf16 is left out: kv_encode:"));
    sk_wish_free(&w);
    sk_assert_ok(sk_mixes_add(&m, "sharp:vf16,kf16:vf16", &err), &err);
    sk_assert_ok(sk_wish_make(&o, &m, SK_FOR(SPHKV_KV_ENCODE), &w, &err), &err);
    assert_int_equal(w.n, kept + 1);
    sk_wish_free(&w);
    sk_mixes_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_by_hand),
        cmocka_unit_test(token_rows),
        cmocka_unit_test(token_rows_with_local_layers),
        cmocka_unit_test(coding_by_hand),
        cmocka_unit_test(tables),
        cmocka_unit_test(every_first_class_key),
        cmocka_unit_test(left_out_with_the_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
