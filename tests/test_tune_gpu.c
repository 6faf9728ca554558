/* test_tune_gpu.c - sphkv-tune and sphkv-bench on a GPU, whole, on the driver's double:
 * what is found, recorded and kept; a GPU that goes wrong at each of its calls. */
#include "gpu_tune_case.h"

#include <cjson/cJSON.h>

static cJSON *results_of(const tune_case *c)
{
    char *text = tune_case_read(c->out);
    cJSON *root = cJSON_Parse(text);
    if (!root) fail_msg("no JSON: %s", text);
    sk_free(text);
    return root;
}

static const char *text_of(const cJSON *object, const char *key)
{
    const cJSON *at = cJSON_GetObjectItemCaseSensitive(object, key);
    assert_true(cJSON_IsString(at));
    return at->valuestring;
}

static const cJSON *part_of(const cJSON *object, const char *key)
{
    const cJSON *at = cJSON_GetObjectItemCaseSensitive(object, key);
    assert_non_null(at);
    return at;
}

/* ---- whole runs ------------------------------------------------------------------- */

static void check_trials(const tune_case *c, size_t want)
{
    sk_arena mem = {0};
    sk_db_trial *list;
    assert_int_equal(tune_case_trials(c, &mem, &list), want);
    for (size_t i = 0; i < want; i++) {
        const sk_db_trial *t = &list[i];
        assert_string_equal(t->key.device->kind, "cuda");
        assert_string_equal(t->key.device->arch, "sm_90");
        assert_string_equal(t->compiler_version, "NVRTC 13.0");
        assert_string_equal(t->driver_version, "13.1");
        assert_int_equal(t->key.shape.threads, 1);
        if (t->outcome != SK_OUTCOME_OK) fail_msg("%s: %s", t->key.schedule, t->message);
        assert_true(t->sample_count >= 3 && t->samples[0] > 0);
    }
    sk_arena_free(&mem);
}

static void check_artifacts(const tune_case *c)
{
    sk_arena mem = {0};
    sk_db_winner *list;
    sk_db *db;
    sk_err err = {0};
    const size_t n = tune_case_winners(c, &mem, &list);
    sk_assert_ok(sk_db_open(c->db, SK_DB_READ_ONLY, &db, &err), &err);
    for (size_t i = 0; i < n; i++) {
        sk_db_artifact a;
        sk_assert_ok(sk_db_trial_artifact(db, list[i].trial_id, &mem, &a, &err), &err);
        assert_string_equal(a.kind, "cubin");
        assert_true(a.size > 4 && memcmp(a.bytes, "\177ELF", 4) == 0);
        assert_non_null(strstr(a.launch, "sm_90"));
    }
    sk_db_close(db);
    sk_arena_free(&mem);
}

static void tunes_on_a_gpu(void **state)
{
    const tune_case *c = *state;
    static const char *const words[] = {"--device", "cuda:0", "--kernels",
                                        "kv_append,page_gather,attn_merge", "--trials", "3",
                                        "--json", GPU_SMALL, NULL};
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, words), 0);
    cJSON *root = results_of(c);
    const cJSON *results = part_of(root, "results"), *r;
    assert_string_equal(text_of(part_of(root, "device"), "name"), "Double of sm_90");
    assert_int_equal(cJSON_GetArraySize(results), 3);
    cJSON_ArrayForEach(r, results) {
        assert_true(cJSON_IsTrue(part_of(r, "verified")));
        assert_true(part_of(r, "median_us")->valuedouble > 99); /* a launch of the double is 100 */
        assert_true(part_of(r, "roofline")->valuedouble > 0);
    }
    cJSON_Delete(root);
    check_trials(c, 9);
    tune_case_check_winners(c, 3);
    check_artifacts(c);
    tune_case_all_gone(c);
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, words), 0); /* all is known */
    check_trials(c, 9);
}

static void attention_is_tuned_and_benched(void **state)
{
    const tune_case *c = *state;
    static const char *const tune[] = {"--device", "cuda:0", "--kernels", "attn_decode", "--trials",
                                       "2", GPU_SMALL, NULL};
    static const char *const bench[] = {"--device", "cuda:0", "--repeat", "1", "--json", GPU_SMALL,
                                        NULL};
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, tune), 0);
    tune_case_check_winners(c, 1);
    tune_case_expect(c, tune_case_run(c, BENCH_PROGRAM, bench), 0);
    cJSON *root = results_of(c);
    const cJSON *results = part_of(root, "results");
    assert_string_equal(text_of(part_of(root, "device"), "kind"), "cuda");
    assert_int_equal(cJSON_GetArraySize(results), 2); /* fp8 joins */
    const cJSON *dense = cJSON_GetArrayItem(results, 0), *fp8 = cJSON_GetArrayItem(results, 1);
    assert_string_equal(text_of(dense, "tiers"), "kf16:vf16");
    assert_string_equal(text_of(dense, "match"), "exact");
    assert_string_equal(text_of(fp8, "tiers"), "kf8:vf8");
    assert_true(part_of(dense, "vs_dense_f16")->valuedouble == 1);
    assert_true(part_of(fp8, "vs_dense_fp8")->valuedouble == 1);
    cJSON_Delete(root);
}

static void benches_as_text(void **state)
{
    const tune_case *c = *state;
    static const char *const tune[] = {"--device", "cuda:0", "--kernels", "page_gather",
                                       "--trials", "1", GPU_SMALL, NULL};
    static const char *const words[] = {"--device", "cuda:0", "--kernels", "page_gather",
                                        "--repeat", "1", GPU_SMALL, NULL};
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, tune), 0);
    tune_case_expect(c, tune_case_run(c, BENCH_PROGRAM, words), 0);
    char *text = tune_case_read(c->out);
    assert_int_equal(strncmp(text, "Double of sm_90, sm_90\n", 23), 0);
    assert_non_null(strstr(text, "vs fp8"));
    sk_free(text);
}

static void all_devices_in_turn(void **state)
{
    const tune_case *c = *state;
    static const char *const words[] = {"--device", "all", "--kernels", "kv_append", "--trials", "1",
                                        "--json", GPU_SMALL, NULL};
    if (tune_case_missing()) return; /* there is no compiler for the CPU */
    setenv("SK_FAKE_GPUS", "sm_90:2,sm_80:4", 1);
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, words), 0);
    cJSON *root = results_of(c);
    static const char *const kind[] = {"cpu", "cuda", "cuda"};
    assert_int_equal(cJSON_GetArraySize(root), 3);
    for (int i = 0; i < 3; i++)
        assert_string_equal(text_of(part_of(cJSON_GetArrayItem(root, i), "device"), "kind"), kind[i]);
    assert_string_equal(text_of(part_of(cJSON_GetArrayItem(root, 2), "device"), "arch"), "sm_80");
    cJSON_Delete(root);
    tune_case_check_winners(c, 3);
}

static void words_about_devices(void **state)
{
    const tune_case *c = *state;
    static const struct {
        const char *words[6];
        int code;
        const char *says;
    } asked[] = {
        {{"--device", "cuda:1", NULL}, 3, "no CUDA device 1"},
        {{"--device", "cuda:0", "--threads", "2", NULL}, 2, "--threads: a GPU has none"},
    };
    for (size_t i = 0; i < SK_COUNT(asked); i++) {
        tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, asked[i].words), asked[i].code);
        tune_case_said(c, asked[i].says, true);
    }
    static const char *const latency[] = {"--device", "cuda:0", "--latency", NULL};
    tune_case_expect(c, tune_case_run(c, BENCH_PROGRAM, latency), 2);
    setenv("SPHKV_NVRTC", "/nowhere/libnvrtc.so", 1);
    static const char *const tune[] = {"--device", "cuda:0", "--kernels", "kv_append", GPU_SMALL,
                                       NULL};
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, tune), 3);
    tune_case_said(c, "/nowhere/libnvrtc.so", true);
}

/* ---- a GPU that goes wrong ------------------------------------------------------------ */

/* Errors of the driver while the default is tried: what is recorded of it. */
static void every_call_can_fail(void **state)
{
    const tune_case *c = *state;
    static const struct {
        const char *fault;
        sk_db_outcome outcome;
    } cases[] = {
        {"cuModuleLoadDataEx:1:209", SK_OUTCOME_COMPILE_ERROR}, {"cuModuleLoadDataEx:1:2", SK_OUTCOME_OOM},
        {"cuLaunchKernel:1:700", SK_OUTCOME_ILLEGAL},     {"cuLaunchKernel:1:2", SK_OUTCOME_OOM},
        {"cuStreamSynchronize:1:700", SK_OUTCOME_ILLEGAL}, /* the run at the timed shape */
        {"cuStreamSynchronize:2:700", SK_OUTCOME_ILLEGAL}, /* the first replay */
        {"cuGraphInstantiateWithFlags:1:700", SK_OUTCOME_ILLEGAL},
        {"cuGraphLaunch:1:700", SK_OUTCOME_ILLEGAL},       {"cuGraphLaunch:2:700", SK_OUTCOME_ILLEGAL},
        {"cuEventSynchronize:1:700", SK_OUTCOME_ILLEGAL},
    };
    static const char *const words[] = {"--device", "cuda:0", "--kernels", "page_gather",
                                        "--trials", "2", "--fresh", GPU_SMALL, NULL};
    for (size_t i = 0; i < SK_COUNT(cases); i++) {
        sk_arena mem = {0};
        sk_db_trial *list;
        setenv("SK_FAKE_FAULT", cases[i].fault, 1);
        tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, words), 1);
        assert_int_equal(tune_case_trials(c, &mem, &list), 1);
        if (list[0].outcome != cases[i].outcome)
            fail_msg("%s: %s (%s)", cases[i].fault, sk_db_outcome_text(list[0].outcome),
                     list[0].message);
        assert_non_null(strstr(list[0].message, "CUDA_ERROR"));
        sk_arena_free(&mem);
    }
    tune_case_all_gone(c);
}

/* The candidate after the default: its worker is replaced, the default's result stays. */
static void a_candidate_poisons_its_worker_only(void **state)
{
    const tune_case *c = *state;
    static const char *const words[] = {"--device", "cuda:0", "--kernels", "page_gather",
                                        "--trials", "3", GPU_SMALL, NULL};
    setenv("SK_FAKE_FAULT", "cuGraphInstantiateWithFlags:2:700", 1);
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, words), 1); /* the sweep's fails, too */
    assert_int_equal(tune_case_count(c, SK_OUTCOME_OK, NULL), 1);
    assert_int_equal(tune_case_count(c, SK_OUTCOME_ILLEGAL, NULL), 2);
    unsetenv("SK_FAKE_FAULT");
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, words), 0); /* the default is left */
    tune_case_check_winners(c, 1);
}

/* A GPU that cannot be opened is the machine's fault and no candidate's. */
static void a_gpu_that_is_taken(void **state)
{
    const tune_case *c = *state;
    static const char *const words[] = {"--device", "cuda:0", "--kernels", "page_gather", GPU_SMALL,
                                        NULL};
    setenv("SK_FAKE_FAULT", "cuDevicePrimaryCtxRetain:1:101", 1);
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, words), 3);
    tune_case_said(c, "the primary context", true);
    setenv("SK_FAKE_FAULT", "cuStreamCreate:1:46", 1); /* later: by who measures */
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, words), 3);
    tune_case_said(c, "a stream: ", true);
    sk_arena mem = {0};
    sk_db_trial *list;
    assert_int_equal(tune_case_trials(c, &mem, &list), 0);
    sk_arena_free(&mem);
}

/* What kernels do wrong is found in memory that both see as on a CPU. */
static void wrong_results_are_found(void **state)
{
    const tune_case *c = *state;
    static const char *const words[] = {"--device", "cuda:0", "--kernels", "page_gather",
                                        "--trials", "4", GPU_SMALL, NULL};
    setenv("SPHKV_FAULT", "wrong:2,crash:3,oob:4", 1);
    const int code = tune_case_run(c, TUNE_HOOKED, words);
    unsetenv("SPHKV_FAULT");
    tune_case_expect(c, code, 0);
    static const sk_db_outcome want[] = {SK_OUTCOME_OK, SK_OUTCOME_WRONG, SK_OUTCOME_CRASH,
                                         SK_OUTCOME_ILLEGAL};
    sk_arena mem = {0};
    sk_db_trial *list;
    assert_int_equal(tune_case_trials(c, &mem, &list), SK_COUNT(want));
    for (size_t i = 0; i < SK_COUNT(want); i++) assert_int_equal(list[i].outcome, want[i]);
    sk_arena_free(&mem);
    tune_case_check_winners(c, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GPU_CASE(tunes_on_a_gpu),      GPU_CASE(attention_is_tuned_and_benched),
        GPU_CASE(benches_as_text),     GPU_CASE(all_devices_in_turn),
        GPU_CASE(words_about_devices), GPU_CASE(every_call_can_fail),
        GPU_CASE(a_candidate_poisons_its_worker_only),
        GPU_CASE(a_gpu_that_is_taken), GPU_CASE(wrong_results_are_found),
    };
    if (access(TUNE_PROGRAM, X_OK) != 0 || access(BENCH_PROGRAM, X_OK) != 0)
        return sk_test_skip("sphkv-tune and sphkv-bench are not built");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
