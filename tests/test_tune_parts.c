/* test_tune_parts.c - the small parts that a measurement stands on: a team runs
 * every part once and from its own thread, a sweep stays in its buffer and
 * chooses streams, a lane's workspace changes places, JSON is JSON, mixes are split,
 * efforts have rounds enough for a roofline. */
#include "sk_test.h"

#include <pthread.h>
#include <stdatomic.h>

#include <cjson/cJSON.h>

#include "bandwidth.h"
#include "job.h"
#include "json.h"
#include "wish.h"

typedef struct tally {
    _Atomic uint32_t ran[8];
    pthread_t by[8];
    uint32_t parts;
} tally;

static void count_part(void *user, uint32_t part, uint32_t parts)
{
    tally *t = user;
    atomic_fetch_add(&t->ran[part], 1);
    t->by[part] = pthread_self();
    if (part == 0) t->parts = parts;
}

static void teams(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 2, 5};
    for (size_t s = 0; s < SK_COUNT(sizes); s++) {
        sk_team *team;
        sk_err err;
        tally t;
        memset(&t, 0, sizeof t);
        sk_assert_ok(sk_team_start(sizes[s], &team, &err), &err);
        assert_int_equal(sk_team_size(team), sizes[s]);
        for (int i = 0; i < 300; i++) sk_team_run(team, count_part, &t);
        for (uint32_t p = 0; p < sizes[s]; p++) {
            assert_int_equal(t.ran[p], 300);
            for (uint32_t q = 0; q < p; q++) assert_false(pthread_equal(t.by[p], t.by[q]));
        }
        assert_int_equal(t.parts, sizes[s]);
        sk_team_stop(team);
    }
    sk_team *none;
    sk_err err;
    assert_int_equal(sk_team_start(0, &none, &err), SPHKV_EINVAL);
    assert_int_equal(sk_team_start(SK_TEAM_MOST + 1, &none, &err), SPHKV_EINVAL);
}

static void sweeps(void **state)
{
    (void)state;
    static const size_t bytes[] = {100, 4096, 70001, 3 << 20};
    for (size_t i = 0; i < SK_COUNT(bytes); i++)
        for (uint32_t threads = 1; threads <= 3; threads += 2)
            for (int copy = 0; copy < 2; copy++) {
                sk_executor x;
                sk_device device;
                sk_sweep sweep;
                sk_err err;
                double us;
                sk_device_host(&device);
                sk_assert_ok(sk_executor_open(&device, threads, &x, &err), &err);
                sk_assert_ok(sk_sweep_make(&x, bytes[i], 4 << 20, copy, &sweep, &err), &err);
                sk_assert_ok(sk_sweep_choose(&sweep, &err), &err);
                assert_true(sweep.streams == 1 || sweep.streams == 2 || sweep.streams == 4 ||
                            sweep.streams == 8);
                for (int r = 0; r < 5; r++) {
                    sk_assert_ok(sk_sweep_time(&sweep, &us, &err), &err);
                    assert_true(us > 0);
                }
                assert_true(sweep.size >= 2 * sweep.bytes && sweep.size >= 4 << 20);
                sk_sweep_free(&sweep);
                sk_executor_close(&x);
            }
}

static void copies(void **state)
{
    (void)state;
    size_t cold = sk_measure_cold_bytes(32u << 20);
    assert_true(cold >= (size_t)96 << 20);
    assert_true(sk_measure_cold_bytes(0) > 0);
    static const char *const mixes[] = {"good:vi8,kf16:vf16", "kf16:vf16", "good:vi8,kf16:vf16"};
    cold = (size_t)16 << 20;
    for (uint32_t kernel = 0; kernel < SK_COUNT(mixes); kernel++) {
        const sphkv_spec_params params = {.size = sizeof params, .kernel = kernel, .head_dim = 64,
                                          .tiers = mixes[kernel]};
        const sk_shape shape = {.batch = 16, .kv_heads = 2, .context = 512};
        sk_spec spec;
        sk_case kase;
        sk_err err;
        sk_assert_ok(sk_spec_from_params(&params, &spec, &err), &err);
        sk_assert_ok(sk_job_case(&spec, &shape, cold, 0, 1, &(sk_case_memory){0}, &kase, &err), &err);
        assert_true(kase.read_bytes > 0 && kase.write_bytes > 0);
        assert_true(kase.copies > 1);
        if (kernel != SPHKV_KV_APPEND) /* its rows are scattered, a line each and more */
            assert_true(kase.copies * (kase.read_bytes + kase.write_bytes) >= cold);
        sk_case_free(&kase);
    }
}

/* Every move is to an aligned place full of zeros, which all args of the lane name. */
static void lanes_move(void **state)
{
    (void)state;
    const sphkv_spec_params params = {.size = sizeof params, .kernel = SPHKV_ATTN_DECODE,
                                      .head_dim = 64, .tiers = "good:vi8"};
    const sk_shape shape = {.batch = 1, .kv_heads = 2, .context = 512};
    sk_image image = {.kernel = sk_kernel_get(SPHKV_ATTN_DECODE), .workspace = 5000};
    sk_device device;
    sk_executor x;
    sk_spec spec;
    sk_case kase;
    sk_lane lane;
    sk_err err;
    uint32_t cursor = 0, places = 0;
    sk_rng rng = sk_test_rng(31);
    sk_device_host(&device);
    sk_assert_ok(sk_executor_open(&device, 1, &x, &err), &err);
    sk_assert_ok(sk_spec_from_params(&params, &spec, &err), &err);
    sk_assert_ok(sk_job_case(&spec, &shape, 1 << 20, 0, 1, &(sk_case_memory){0}, &kase, &err), &err);
    sk_assert_ok(sk_lane_make(&x, &image, &kase, &cursor, 1, &lane, &err), &err);
    assert_true(lane.work >= image.workspace && kase.copies > 1);
    for (int i = 0; i < 50; i++) {
        const void *before = lane.workspace;
        memset(lane.workspace, 0xff, lane.work);
        sk_lane_move(&lane, &rng);
        places += lane.workspace != before;
        assert_int_equal((uintptr_t)lane.workspace % 64, 0);
        for (size_t b = 0; b < lane.work; b++) assert_int_equal(((uint8_t *)lane.workspace)[b], 0);
        for (uint32_t c = 0; c < kase.copies; c++) {
            sphkv_attn_args now, given;
            memcpy(&now, lane.args + c * lane.args_size, sizeof now);
            memcpy(&given, sk_case_args(&kase, c), sizeof given);
            assert_ptr_equal(now.workspace, lane.workspace);
            assert_int_equal(now.workspace_bytes, lane.work);
            assert_ptr_equal(now.q, given.q);
        }
    }
    assert_true(places > 40);
    sk_lane_free(&lane);
    sk_case_free(&kase);
    sk_executor_close(&x);
}

static void json(void **state)
{
    (void)state;
    sk_json j = {0};
    sk_json_open(&j, NULL, '{');
    sk_json_text(&j, "text", "a \"b\" \\ \n \x01 \xc3\xa9 \xff end");
    sk_json_text(&j, "none", NULL);
    sk_json_f64(&j, "nan", 0.0 / 0.0);
    sk_json_f64(&j, "x", 0.125);
    sk_json_open(&j, "list", '[');
    sk_json_u64(&j, NULL, 1);
    sk_json_open(&j, NULL, '{');
    sk_json_close(&j, '}');
    sk_json_bool(&j, NULL, true);
    sk_json_close(&j, ']');
    sk_json_close(&j, '}');
    assert_false(j.text.failed);
    cJSON *root = cJSON_ParseWithOpts(j.text.s, NULL, 1);
    assert_non_null(root);
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(root, "text")->valuestring,
                        "a \"b\" \\ \n \x01 \xc3\xa9 ? end");
    assert_true(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(root, "none")));
    assert_true(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(root, "nan")));
    assert_true(cJSON_GetObjectItemCaseSensitive(root, "x")->valuedouble == 0.125);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(root, "list")), 3);
    cJSON_Delete(root);
    sk_text_free(&j.text);
}

static void wishes(void **state)
{
    (void)state;
    sk_mixes mixes = {0};
    sk_wish wish;
    sk_err err;
    sk_options o = {.head_dim = 64, .heads = 8, .kv_heads = 2, .context = {2, {512, 1024}},
                    .batch = {1, {1}}, .threads = {2, {1, 2}}};
    sk_assert_ok(sk_options_finish(&o, &err), &err);
    sk_assert_ok(sk_mixes_add(&mixes, "good:vi8,fine:vi8,kf16:vf16;good:vi8", &err), &err);
    assert_int_equal(mixes.n, 2);
    assert_int_equal(sk_mixes_add(&mixes, ";", &err), SPHKV_EINVAL);
    sk_mixes_free(&mixes);
    sk_assert_ok(sk_mixes_add(&mixes, "good:vi8,fine:vi8,kf16:vf16;good:vi8", &err), &err);
    sk_assert_ok(sk_wish_make(&o, &mixes, ~0u, &wish, &err), &err);
    uint32_t count[SPHKV_KERNEL_COUNT] = {0};
    for (uint32_t i = 0; i < wish.n; i++) count[wish.item[i].spec.kernel]++;
    assert_int_equal(count[SPHKV_ATTN_DECODE], 2 * 4); /* mixes, contexts and threads */
    assert_int_equal(count[SPHKV_KV_APPEND], 2);       /* no context: threads only */
    assert_int_equal(count[SPHKV_KV_ENCODE], 2 * 4);   /* two coded tiers */
    assert_non_null(strstr(wish.skipped.s, "kv_append is left out for good:vi8"));
    sk_wish_free(&wish);
    sk_mixes_free(&mixes);
}

static void efforts(void **state)
{
    (void)state;
    static const char *const names[] = {"quick", "normal", "full"};
    for (size_t i = 0; i < SK_COUNT(names); i++) {
        const sk_effort *e = sk_effort_find(names[i]);
        assert_non_null(e);
        assert_true(e->rounds >= 30 && e->rounds <= SK_ROUNDS_MOST);
        assert_true(e->pairs >= 3 && e->pairs <= SK_SAMPLES_MOST);
        assert_true(e->finalists + 1 <= SK_MAX_ENTRANTS);
    }
    assert_null(sk_effort_find("none"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(teams), cmocka_unit_test(sweeps), cmocka_unit_test(copies),
        cmocka_unit_test(json),  cmocka_unit_test(wishes), cmocka_unit_test(efforts),
        cmocka_unit_test(lanes_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
