/* test_tune_usage.c - the command lines of sphkv-tune and sphkv-bench: what is
 * wrong gets exit code 2 (or 3, or 4) and one line on stderr that names it,
 * stdout stays empty; help and the dry run need no compiler. */
#include "tune_case.h"

#include <cjson/cJSON.h>

typedef struct wrong {
    const char *words[TUNE_ARGS - 4];
    int code;
    const char *says; /* a part of the line */
} wrong;

static void expect_all(tune_case *c, const char *program, const wrong *list, size_t n,
                       bool with_db)
{
    for (size_t i = 0; i < n; i++) {
        pid_t pid = tune_case_start_in(c, program, list[i].words, with_db, NULL, NULL);
        tune_case_expect(c, tune_case_wait(pid), list[i].code);
        char *out = tune_case_read(c->out), *err = tune_case_read(c->err);
        if (!strstr(err, list[i].says)) fail_msg("%s: said %s", list[i].words[0], err);
        assert_string_equal(out, "");
        assert_ptr_equal(strchr(err, '\n'), err + strlen(err) - 1); /* one line */
        assert_null(strchr(err, '\033'));
        sk_free(out);
        sk_free(err);
    }
}

static void tune_wrong(void **state)
{
    static const wrong list[] = {
        {{"--frobnicate", NULL}, 2, "--frobnicate"},
        {{"words", NULL}, 2, "words"},
        {{"--trials", "0", NULL}, 2, "--trials"},
        {{"--trials", "-1", NULL}, 2, "--trials"},
        {{"--trials", "many", NULL}, 2, "many"},
        {{"--time", "soon", NULL}, 2, "soon"},
        {{"--seed", "1.5", NULL}, 2, "--seed"},
        {{"--effort", "heroic", NULL}, 2, "heroic"},
        {{"--kernels", "attn_decode,attn_encode", NULL}, 2, "attn_encode"},
        {{"--kernels", "", NULL}, 2, "--kernels"},
        {{"--device", "tpu", NULL}, 2, "tpu"},
        {{"--device", "cpu:i8080", NULL}, 2, "unknown CPU 'i8080'"},
        {{"--device", "cpu:", NULL}, 2, "unknown CPU ''"},
        {{"--device", "cuda:x", NULL}, 2, "neither cpu, cuda:N nor all"},
        {{"--device", "cuda:0", NULL}, 3, "no CUDA driver: /nowhere/libcuda.so.1"},
        {{"--tiers", "splendid:vi8", NULL}, 2, "splendid"},
        {{"--tiers", "good:vi8;;kf16:vf16", NULL}, 2, "empty"},
        {{"--tiers", "good:vi8;", NULL}, 2, "semicolon"},
        {{"--tiers", "kf16:vf16,kf16:vf16", NULL}, 2, "twice"},
        {{"--context", "0", NULL}, 2, "--context"},
        {{"--context", "64,", NULL}, 2, "--context"},
        {{"--context", "67108865", NULL}, 2, "from 1 to 67108864"},
        {{"--threads", "300", NULL}, 2, "--threads"},
        {{"--batch", "4x", NULL}, 2, "--batch"},
        {{"--model", "gpt-unknown", NULL}, 2, "gpt-unknown"},
        {{"--model", "phi-3-small", NULL}, 1, "sparse"}, /* understood, but no kernel */
        {{"--model", "/nowhere/config.json", NULL}, 2, "/nowhere/config.json"},
        {{"--head-dim", "60", NULL}, 2, "60"},
        {{"--head-dim", "64", "--heads", "3", "--kv-heads", "2", NULL}, 2, "3 query heads"},
        {{"--page", "100", NULL}, 2, "100"},
        {{"--dtype", "f64", NULL}, 2, "f64"},
        {{"--accuracy", "perfect", NULL}, 2, "perfect"},
        {{"--shard", "0/2", NULL}, 2, "count from 1 to 2"},
        {{"--shard", "3/2", NULL}, 2, "count from 1 to 2"},
        {{"--shard", "2", NULL}, 2, "no I/N"},
        {{"--shard", "1/0", NULL}, 2, "no I/N"},
        {{"--shard", "/2", NULL}, 2, "no I/N"},
        {{"--shard", "1/2x", NULL}, 2, "no I/N"},
        {{"--simulate", "/nowhere/x.json", NULL}, 2, "/nowhere/x.json cannot be opened: No such file"},
        {{"--simulate", "/", NULL}, 2, "/: Is a directory"},
        {{"--seeds", "5", NULL}, 2, "of a --simulate"},
        {{"--strategy", "magic", NULL}, 2, "'magic'"},
        {{"--keep", "speed=11", "--kernels", "kv_append", NULL}, 2, "speed"},
        {{"--fresh=yes", NULL}, 2, "--fresh"},
        {{"--report", "/nowhere/x.html", NULL}, 2, "/nowhere/x.html: No such file or directory; name"},
        {{"--report", "/", NULL}, 2, "--report"},
    };
    expect_all(*state, TUNE_PROGRAM, list, SK_COUNT(list), true);
}

static void bench_wrong(void **state)
{
    static const wrong list[] = {
        {{"--frobnicate", NULL}, 2, "--frobnicate"},
        {{"--repeat", "0", NULL}, 2, "--repeat"},
        {{"--repeat", "1000", NULL}, 2, "--repeat"},
        {{"--device", "all", NULL}, 2, "neither cpu nor cuda:N"},
        {{"--device", "cuda:1", NULL}, 3, "no CUDA driver: /nowhere/libcuda.so.1"},
        {{"--tiers", "splendid:vi8", "--quiet", NULL}, 2, "splendid"},
        {{"--model", "phi-3-small", NULL}, 1, "sparse"},
        {{"--weights", "q9_z", NULL}, 2, "q9_z"},
        {{"--weights", "0.5", NULL}, 2, "0.5"},
        {{"--weights", "q8_0", "--head-dim", "64", NULL}, 2, "--model"},
        {{"--weights", "q8_0", "--model", "llama-3.1-8b", "--kv-heads", "4", NULL}, 2, "shape"},
        {{"--weights", "q8_0", "--model", "gemma-4-31b", NULL}, 2, "--parameters"},
        {{"--parameters", "8e9", NULL}, 2, "--weights"},
        {{"--weights", "q8_0", "--parameters", "-1", NULL}, 2, "--parameters"},
        {{"--tiers", "first-class:vi99", NULL}, 2, "vi99"},
        {{"--kernels", "page_turn", NULL}, 2, "page_turn"},
        {{"--kernels", "page_decode,attn_merge", NULL}, 2, "attn_merge"},
        {{"--kernels", "page_gather", "--markdown", NULL}, 2, "--markdown"},
        {{"--kernels", "page_gather", "--limits", NULL}, 2, "--limits"},
        {{"--latency", "--markdown", NULL}, 2, "--latency"},
        {{"--latency", "--schedule", "w=8", NULL}, 2, "--latency"},
        {{"--tiers", "first-class,kf16:vf16", NULL}, 2, "first-class"},
        {{"--quiet", TUNE_SMALL, NULL}, 4, "kernels.db"}, /* named, and not there */
    };
    static const wrong folder = {{"--quiet", TUNE_SMALL, "--db", "/", NULL},
                                 4,
                                 "/: a folder, not a kernel database; name a file\n"};
    expect_all(*state, BENCH_PROGRAM, list, SK_COUNT(list), true);
    expect_all(*state, BENCH_PROGRAM, &folder, 1, false);
}

/* Every option that takes a number, in every program, with what is none or none of
 * those; and without a value at all. */
static void numbers(void **state)
{
    static const char *const bad[] = {"-1", "-0", "+1", "1x", " 1", "1 ", "0x10", "1e400", "", "nan",
                                      "99999999999999999999999", "1\n", "\033[31m1"};
    static const struct {
        const char *program, *option[14];
    } list[] = {
        {TUNE_PROGRAM,
         {"--head-dim", "--value-dim", "--heads", "--kv-heads", "--heads-per-kv", "--page",
          "--layout", "--context", "--batch", "--threads", "--trials", "--seed"}},
        {BENCH_PROGRAM,
         {"--head-dim", "--page", "--layout", "--context", "--batch", "--threads", "--repeat",
          "--seed"}},
        {SK_BUILD_DIR "/bin/sphkv-gen", {"--head-dim", "--heads-per-kv", "--page", "--context"}},
        {SK_BUILD_DIR "/bin/decode_loop",
         {"--head-dim", "--heads", "--kv-heads", "--layers", "--context", "--steps", "--batch",
          "--threads", "--page", "--seed", "--check", "--windows", "--window"}},
    };
    for (size_t i = 0; i < SK_COUNT(list); i++)
        for (size_t k = 0; k < SK_COUNT(list[i].option) && list[i].option[k]; k++)
            for (size_t n = 0; n <= SK_COUNT(bad); n++) {
                const wrong one = {{list[i].option[k], n < SK_COUNT(bad) ? bad[n] : NULL},
                                   2, list[i].option[k]};
                expect_all(*state, list[i].program, &one, 1, n < SK_COUNT(bad));
            }
}

static void bad_database(void **state)
{
    tune_case *c = *state;
    static const char *const words[] = {"--quiet", TUNE_SMALL, "--trials", "1", NULL};
    sk_err err = {0};
    sk_assert_ok(sk_file_write(c->db, "this is no database, whatever its name says\n", 44, &err),
                 &err);
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, words), 4);
    char *out = tune_case_read(c->out);
    assert_string_equal(out, "");
    sk_free(out);
}

static void help_and_dry_run(void **state)
{
    tune_case *c = *state;
    static const char *const help[] = {"--help", NULL};
    static const char *const dry[] = {"--dry-run", "--kernels", "kv_append,kv_encode", TUNE_SMALL,
                                      NULL};
    assert_int_equal(tune_case_run(c, TUNE_PROGRAM, help), 0);
    char *out = tune_case_read(c->out);
    assert_non_null(strstr(out, "examples:"));
    assert_non_null(strstr(out, "--tiers"));
    sk_free(out);
    assert_int_equal(tune_case_run(c, BENCH_PROGRAM, help), 0);
    assert_int_equal(tune_case_run(c, TUNE_PROGRAM, dry), 0);
    out = tune_case_read(c->out);
    assert_non_null(strstr(out, "kv_encode good:vi8,kf16:vf16"));
    assert_non_null(strstr(out, "(default)"));
    sk_free(out);
    assert_int_equal(access(c->db, F_OK), -1); /* a dry run leaves nothing behind */
}

/* What --model knows; that is no run, and leaves nothing behind. */
static void model_list(void **state)
{
    tune_case *c = *state;
    static const char *const list[] = {"--model", "list", NULL};
    static const char *const json[] = {"--json", "--model", "list", NULL};
    static const char *const dry[] = {"--dry-run", "--kernels", "kv_append", "--model",
                                      "gemma-3-4b", NULL};
    assert_int_equal(tune_case_run(c, TUNE_PROGRAM, list), 0);
    char *out = tune_case_read(c->out);
    assert_non_null(strstr(out, "\nllama-3.1-8b "));
    assert_non_null(strstr(out, "no: no kernel does sparse attention"));
    sk_free(out);
    assert_int_equal(tune_case_run(c, BENCH_PROGRAM, json), 0);
    out = tune_case_read(c->out);
    cJSON *root = cJSON_Parse(out);
    assert_true(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(root, "models")) > 90);
    cJSON_Delete(root);
    sk_free(out);
    assert_int_equal(tune_case_run(c, TUNE_PROGRAM, dry), 0);
    char *err = tune_case_read(c->err);
    assert_non_null(strstr(err, "ring of 1024"));
    sk_free(err);
    assert_int_equal(access(c->db, F_OK), -1);
}

/* A kernel that a mix has no use for is said, not silently dropped. */
static void skipped_kernels(void **state)
{
    tune_case *c = *state;
    static const char *const dry[] = {"--dry-run", "--tiers", "good:vi8", "--kernels",
                                      "kv_append", TUNE_SMALL, NULL};
    assert_int_equal(tune_case_run(c, TUNE_PROGRAM, dry), 0);
    char *err = tune_case_read(c->err);
    assert_non_null(strstr(err, "kv_append is left out for good:vi8"));
    sk_free(err);
}

int main(void)
{
    setenv("SPHKV_CUDA_DRIVER", "/nowhere/libcuda.so.1", 1); /* whatever this machine has */
    const struct CMUnitTest tests[] = {
        TUNE_CASE(tune_wrong),       TUNE_CASE(bench_wrong),     TUNE_CASE(bad_database),
        TUNE_CASE(numbers),
        TUNE_CASE(help_and_dry_run), TUNE_CASE(skipped_kernels),
        TUNE_CASE(model_list),
    };
    if (access(TUNE_PROGRAM, X_OK) != 0 || access(BENCH_PROGRAM, X_OK) != 0)
        return sk_test_skip("sphkv-tune and sphkv-bench are not built");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
