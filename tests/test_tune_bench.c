/* test_tune_bench.c - who uses the winners that sphkv-tune found: sphkv-bench, and
 * an engine on a machine with no compiler. */
#include <math.h>

#include "tune_case.h"

#include <cjson/cJSON.h>

#include "plan.h"

static void empty_database(const tune_case *c)
{
    sk_db *db;
    sk_err err = {0};
    sk_assert_ok(sk_db_open(c->db, SK_DB_CREATE, &db, &err), &err);
    sk_db_close(db);
}

/* The bench runs the winner that was just found, and says so. */
static void bench_uses_winners(void **state)
{
    tune_case *c = *state;
    static const char *const tune[] = {"--kernels", "attn_decode", "--quiet", "--effort", "quick",
                                       "--trials", "2", TUNE_SMALL, NULL};
    static const char *const bench[] = {"--json",   "--effort", "quick",    "--repeat", "2",
                                        "--limits", TUNE_SMALL, NULL};
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, tune), 0);
    tune_case_expect(c, tune_case_run(c, BENCH_PROGRAM, bench), 0);
    char *text = tune_case_read(c->out);
    cJSON *root = cJSON_Parse(text);
    const cJSON *results = cJSON_GetObjectItemCaseSensitive(root, "results"), *r;
    assert_int_equal(cJSON_GetArraySize(results), 2);
    cJSON_ArrayForEach(r, results) {
        static const char *const numbers[] = {"median_us", "ns_per_token_head",
                                              "bytes_per_token_head", "gbps", "bandwidth_gbps",
                                              "roofline", "vs_dense_f16", "max_rel_err",
                                              "ns_limit_bytes", "ns_limit_pages",
                                              "ns_limit_instructions"};
        const char *tiers = cJSON_GetObjectItemCaseSensitive(r, "tiers")->valuestring;
        const char *match = cJSON_GetObjectItemCaseSensitive(r, "match")->valuestring;
        bool dense = strcmp(tiers, "kf16:vf16") == 0;
        assert_string_equal(match, dense ? "default" : "exact");
        assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(r, "runs")), 2);
        for (size_t i = 0; i < SK_COUNT(numbers); i++) {
            const cJSON *x = cJSON_GetObjectItemCaseSensitive(r, numbers[i]);
            if (!cJSON_IsNumber(x) || !(x->valuedouble >= 0)) fail_msg("%s: %s", numbers[i], text);
        }
        if (dense) assert_true(cJSON_GetObjectItemCaseSensitive(r, "vs_dense_f16")->valuedouble == 1);
    }
    cJSON_Delete(root);
    sk_free(text);
    tune_case_all_gone(c);
}

static double number_of(const cJSON *object, const char *name)
{
    const cJSON *x = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!cJSON_IsNumber(x)) fail_msg("%s is missing", name);
    return x->valuedouble;
}

/* Beside the table of tiers one of whole tokens, its sums right; layers with a
 * window are measured for themselves. */
static void whole_tokens(void **state)
{
    tune_case *c = *state;
    static const char *const bench[] = {"--json", "--quiet", "--effort", "quick", "--repeat", "1",
                                        "--schedule", "default", "--model", "gemma-3-270m",
                                        "--weights", "q8_0", "--context", "768", NULL};
    empty_database(c);
    tune_case_expect(c, tune_case_run(c, BENCH_PROGRAM, bench), 0);
    char *text = tune_case_read(c->out);
    cJSON *root = cJSON_Parse(text);
    const cJSON *r, *results = cJSON_GetObjectItemCaseSensitive(root, "results");
    assert_int_equal(cJSON_GetArraySize(results), 3); /* two mixes, and dense in a window of 512 */
    assert_true(number_of(cJSON_GetArrayItem(results, 2), "context") == 512);
    const cJSON *tokens = cJSON_GetObjectItemCaseSensitive(root, "whole_token");
    assert_int_equal(cJSON_GetArraySize(tokens), 2);
    const double window = number_of(cJSON_GetArrayItem(results, 2), "median_us");
    uint32_t i = 0;
    cJSON_ArrayForEach(r, tokens) {
        const double full = number_of(cJSON_GetArrayItem(results, (int)i++), "median_us");
        const double attention = number_of(r, "attention_us"), weights = number_of(r, "weights_us");
        assert_true(fabs(attention / (3 * full + 15 * window) - 1) < 1e-6);
        assert_true(fabs(number_of(r, "token_us") / (attention + weights) - 1) < 1e-6);
        assert_true(fabs(number_of(r, "weight_bytes") / number_of(r, "bandwidth_gbps") * 1e-3 /
                         weights - 1) < 1e-6);
        assert_true(fabs(number_of(r, "weight_bytes") / (268e6 * 8.5 / 8) - 1) < 0.01);
    }
    cJSON_Delete(root);
    sk_free(text);
}

/* Calls on empty lists: a line for each number of threads, and something was timed. */
static void bench_latency(void **state)
{
    tune_case *c = *state;
    static const char *const bench[] = {"--latency", "--json", "--effort", "quick", "--threads", "1,2",
                                        "--tiers", "good:vi8,kf16:vf16;kf16:vf16", TUNE_SMALL, NULL};
    tune_case_expect(c, tune_case_run(c, BENCH_PROGRAM, bench), 0);
    char *text = tune_case_read(c->out);
    cJSON *root = cJSON_Parse(text);
    const cJSON *results = cJSON_GetObjectItemCaseSensitive(root, "results"), *r;
    uint32_t threads = 1;
    assert_int_equal(cJSON_GetArraySize(results), 4);
    cJSON_ArrayForEach(r, results) {
        const double ns = cJSON_GetObjectItemCaseSensitive(r, "ns_per_call")->valuedouble;
        const double best = cJSON_GetObjectItemCaseSensitive(r, "best_ns_per_call")->valuedouble;
        if (!(best > 0 && best <= ns)) fail_msg("%s", text);
        assert_true(cJSON_GetObjectItemCaseSensitive(r, "threads")->valuedouble == threads);
        threads = 3 - threads;
    }
    cJSON_Delete(root);
    sk_free(text);
    static const char *const wrong[] = {"--latency", "--tiers", "sharp:vi8,kf16p:vf16;good:vi8", "--page",
                                        "24", TUNE_SMALL, NULL};
    tune_case_expect(c, tune_case_run(c, BENCH_PROGRAM, wrong), 1);
    tune_case_said(c, "multiples of 16", false);
    static const char *const before_rope[] = {"--latency", "--effort", "quick", "--tiers",
                                              "sharp:vi8,kf16p:vf16", TUNE_SMALL, NULL};
    tune_case_expect(c, tune_case_run(c, BENCH_PROGRAM, before_rope), 0);
    static const char *const variants[] = {"--latency", "--variants", "softcap", TUNE_SMALL, NULL};
    tune_case_expect(c, tune_case_run(c, BENCH_PROGRAM, variants), 2);
}

/* A schedule that fits the mix that was asked for, and not dense f16 beside it. */
static void bench_takes_schedules(void **state)
{
    tune_case *c = *state;
    static const char *const bench[] = {"--schedule", "w=8,lut=perm,prob=i16", "--effort", "quick",
                                        "--repeat", "1", TUNE_SMALL, NULL};
    empty_database(c);
    tune_case_expect(c, tune_case_run(c, BENCH_PROGRAM, bench), 0);
    char *text = tune_case_read(c->out);
    assert_non_null(strstr(text, "lut=perm"));
    assert_non_null(strstr(text, "(given)"));
    assert_non_null(strstr(text, "(default)"));
    sk_free(text);
    tune_case_all_gone(c);
}

/* Winners of kernels that move pages, each beside itself on dense f16. */
static void bench_of_pages(void **state)
{
    tune_case *c = *state;
    static const char *const tune[] = {"--kernels", "page_gather", "--quiet", "--effort", "quick",
                                       "--trials", "2", TUNE_SMALL, NULL};
    static const char *const bench[] = {"--kernels", "page_decode,page_gather", "--json", "--effort",
                                        "quick", "--repeat", "1", "--tiers", "good:vi8,kf16:vf16",
                                        TUNE_SMALL, NULL};
    uint32_t seen = 0;
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, tune), 0);
    tune_case_expect(c, tune_case_run(c, BENCH_PROGRAM, bench), 0);
    char *text = tune_case_read(c->out);
    cJSON *root = cJSON_Parse(text);
    const cJSON *results = cJSON_GetObjectItemCaseSensitive(root, "results"), *r;
    assert_int_equal(cJSON_GetArraySize(results), 4);
    cJSON_ArrayForEach(r, results) {
        const char *kernel = cJSON_GetObjectItemCaseSensitive(r, "kernel")->valuestring;
        const char *tiers = cJSON_GetObjectItemCaseSensitive(r, "tiers")->valuestring;
        const char *match = cJSON_GetObjectItemCaseSensitive(r, "match")->valuestring;
        const bool gather = strcmp(kernel, "page_gather") == 0;
        if (!gather) assert_string_equal(kernel, "page_decode");
        const bool tuned = gather && strcmp(tiers, "kf16:vf16") != 0;
        if (strcmp(match, tuned ? "exact" : "default") != 0)
            fail_msg("%s %s: %s", kernel, tiers, match);
        assert_true(number_of(r, "roofline") > 0 && number_of(r, "vs_dense_f16") > 0);
        seen += gather;
    }
    assert_int_equal(seen, 2);
    cJSON_Delete(root);
    sk_free(text);
    tune_case_all_gone(c);
}

/* attn_extend is tuned, and shown beside what multiply-adds alone would take. */
static void bench_of_chunks(void **state)
{
    tune_case *c = *state;
    static const char *const tune[] = {"--kernels", "attn_extend", "--quiet", "--effort", "quick",
                                       "--trials", "2", TUNE_SMALL, NULL};
    static const char *const bench[] = {"--kernels", "attn_extend", "--json", "--effort", "quick",
                                        "--repeat", "1", TUNE_SMALL, NULL};
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, tune), 0);
    tune_case_expect(c, tune_case_run(c, BENCH_PROGRAM, bench), 0);
    char *text = tune_case_read(c->out);
    cJSON *root = cJSON_Parse(text);
    const cJSON *results = cJSON_GetObjectItemCaseSensitive(root, "results"), *r;
    assert_int_equal(cJSON_GetArraySize(results), 2);
    cJSON_ArrayForEach(r, results) {
        const char *tiers = cJSON_GetObjectItemCaseSensitive(r, "tiers")->valuestring;
        const char *match = cJSON_GetObjectItemCaseSensitive(r, "match")->valuestring;
        assert_string_equal(match, strcmp(tiers, "kf16:vf16") == 0 ? "default" : "exact");
        assert_int_equal((int)number_of(r, "q_len"), 512);
        assert_true(number_of(r, "gfma_per_second") > 0);
        assert_true(number_of(r, "fma_peak_gfma_per_second") > 0);
        assert_true(number_of(r, "bf16_dot_peak_gfma_per_second") >= 0);
    }
    cJSON_Delete(root);
    sk_free(text);
    tune_case_all_gone(c);
}

/* Kernels that keep a cache: multiply-adds of each coded tier for itself, and what a step
 * of decoding bears of both. */
static void bench_of_coding(void **state)
{
    tune_case *c = *state;
    static const char *const bench[] = {"--kernels", "kv_append,kv_encode", "--json", "--effort",
                                        "quick", "--repeat", "1", "--schedule", "default", "--tiers",
                                        "good:vi8,kf16:vf16;high:vi8,kf16:vf16", TUNE_SMALL, NULL};
    uint32_t encode = 0;
    double ratio = 0;
    empty_database(c);
    tune_case_expect(c, tune_case_run(c, BENCH_PROGRAM, bench), 0);
    char *text = tune_case_read(c->out);
    cJSON *root = cJSON_Parse(text);
    const cJSON *results = cJSON_GetObjectItemCaseSensitive(root, "results"), *r;
    assert_int_equal(cJSON_GetArraySize(results), 3 + 1 + 4); /* attention beside dense; two shapes */
    cJSON_ArrayForEach(r, results) {
        const char *kernel = cJSON_GetObjectItemCaseSensitive(r, "kernel")->valuestring;
        const bool codes = strcmp(kernel, "kv_encode") == 0;
        const bool peak = cJSON_HasObjectItem(r, "fma_peak_gfma_per_second");
        if (peak != codes) fail_msg("%s: %s", kernel, text);
        if (!codes) continue;
        const double work = number_of(r, "gfma_per_second") * number_of(r, "ns_per_token_head");
        ratio = encode++ % 2 ? work / ratio : work;
        if (encode % 2 == 0) assert_true(fabs(ratio - 4) < 1e-6); /* 64 codewords to 16 */
    }
    assert_int_equal(encode, 4);
    const cJSON *coding = cJSON_GetObjectItemCaseSensitive(root, "coding");
    assert_int_equal(cJSON_GetArraySize(coding), 2);
    cJSON_ArrayForEach(r, coding) {
        const double step = number_of(r, "append_us") + number_of(r, "pages_us") / 128;
        assert_true(fabs(number_of(r, "step_us") / step - 1) < 1e-6);
        assert_true(fabs(number_of(r, "share") * number_of(r, "attention_us") / step - 1) < 1e-6);
    }
    cJSON_Delete(root);
    sk_free(text);
    static const char *const none[] = {"--kernels", "attn_merge", TUNE_SMALL, NULL};
    tune_case_expect(c, tune_case_run(c, BENCH_PROGRAM, none), 2);
    tune_case_all_gone(c);
}

/* Code of the winner runs with no compiler: that is what it is stored for. */
static void engines_use_winners(void **state)
{
    tune_case *c = *state;
    static const char *const tune[] = {"--kernels", "attn_decode,kv_append", "--quiet", "--effort",
                                       "quick", "--trials", "2", TUNE_SMALL, NULL};
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, tune), 0);
    const sphkv_open_params open = {
        .size = sizeof open, .flags = SPHKV_OPEN_NO_JIT | SPHKV_OPEN_READ_ONLY, .db_path = c->db};
    sphkv_context *ctx;
    sphkv_error err = {0};
    sk_assert_ok(sphkv_open(&open, &ctx, &err), &err);
    for (uint32_t kernel = SPHKV_ATTN_DECODE; kernel <= SPHKV_KV_APPEND; kernel++) {
        const sphkv_spec_params spec = {.size = sizeof spec,
                                        .kernel = kernel,
                                        .head_dim = 64,
                                        .heads_per_kv = kernel == SPHKV_ATTN_DECODE ? 2 : 1};
        const sphkv_maxima maxima = {.size = sizeof maxima,
                                     .batch = 1,
                                     .kv_heads = 1,
                                     .pages_per_list = 8,
                                     .parts = 1,
                                     .context = 512};
        sphkv_plan *plan;
        sk_assert_ok(sphkv_plan_create(ctx, &spec, &maxima, &plan, &err), &err);
        assert_non_null(strstr(sphkv_plan_describe(plan), "exact"));
        sphkv_plan_destroy(plan);
    }
    sphkv_close(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TUNE_CASE(bench_uses_winners),
        TUNE_CASE(bench_takes_schedules),
        TUNE_CASE(bench_of_pages),
        TUNE_CASE(bench_of_chunks),
        TUNE_CASE(bench_of_coding),
        TUNE_CASE(whole_tokens),
        TUNE_CASE(bench_latency),
        TUNE_CASE(engines_use_winners),
    };
    const char *missing = tune_case_missing();
    if (missing) return sk_test_skip(missing);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
