/* test_tune_simulate.c - recorded spaces of others: what is read from a T4 file, plain and
 * compressed, what a damaged one gets to hear, and sphkv-tune --simulate. */
#include "tune_case.h"

#include <math.h>

#include <cjson/cJSON.h>
#include <zlib.h>

#include "simulate.h"

/* Four configurations of two parameters, one failed; in milliseconds. */
#define RESULT(x, word, time, outcome)                                                       \
    "{\"configuration\":{\"x\":" x ",\"mode\":\"" word "\"},"                                \
    "\"times\":{\"compilation\":500,\"runtimes\":[" time "]},\"invalidity\":\"" outcome "\"," \
    "\"measurements\":[{\"name\":\"time\",\"value\":" time "}],\"objectives\":[\"time\"]}"
#define SPACE                                                                          \
    "{\"metadata\":{\"timeunit\":\"miliseconds\"},\"results\":["                       \
    RESULT("16", "b", "4", "correct") "," RESULT("2", "b", "2", "correct") ","         \
    RESULT("16", "a", "3", "correct") "," RESULT("2", "a", "\"RuntimeFailedConfig\"", "runtime") "]}"

static void write_file(const tune_case *c, const char *name, const char *text, bool packed,
                       char path[300])
{
    snprintf(path, 300, "%.200s/%.80s", c->dir, name);
    gzFile file = gzopen(path, packed ? "wb9" : "wbT");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, text, (unsigned)strlen(text)), (int)strlen(text));
    assert_int_equal(gzclose(file), Z_OK);
}

static void what_is_read(void **state)
{
    for (int packed = 0; packed < 2; packed++) {
        char path[300];
        sk_t4 t;
        sk_err err = {0};
        write_file(*state, "space.json", SPACE, packed, path);
        sk_assert_ok(sk_t4_read(path, NULL, &t, &err), &err);
        assert_int_equal(t.points.n, 4);
        assert_int_equal(t.points.dims, 2);
        assert_int_equal(t.levels[0], 2);
        const uint16_t at[8] = {1, 1, 0, 1, 1, 0, 0, 0}; /* values in rising order */
        assert_memory_equal(t.at, at, sizeof at);
        assert_int_equal(t.failed, 1);
        assert_true(t.best == 2 && t.cost[0] == 4 && !isfinite(t.cost[3]));
        assert_true(fabs(t.seconds[0] - 0.504) < 1e-12 && fabs(t.seconds[3] - 0.5) < 1e-12);
        sk_t4_free(&t);
    }
}

static void what_is_wrong(void **state)
{
    static const struct {
        const char *text, *says;
    } wrong[] = {
        {"", "not JSON"},
        {"[1,2]", "no list"},
        {"{\"results\":[]}", "no list"},
        {"{\"results\":[{\"configuration\":{}}]}", "no \"configuration\""},
        {"{\"results\":[{\"configuration\":{\"x\":[]},\"invalidity\":\"correct\"}]}", "result 0"},
        {"{\"results\":[{\"configuration\":{\"x\":1}}]}", "no \"invalidity\""},
        {"{\"results\":[{\"configuration\":{\"x\":1},\"invalidity\":\"correct\"},"
         "{\"configuration\":{\"y\":1},\"invalidity\":\"correct\"}]}",
         "result 1: its parameters"},
        {"{\"results\":[{\"configuration\":{\"x\":1},\"invalidity\":\"runtime\"}]}",
         "none of 1 results is right"},
        {"{\"results\":[{\"configuration\":{\"x\":1e999},\"invalidity\":\"correct\"}]}",
         "result 0: a parameter that is no finite number"},
        {SPACE "]", "not JSON"},
    };
    for (size_t i = 0; i < SK_COUNT(wrong); i++) {
        char path[300];
        sk_t4 t;
        sk_err err = {0};
        write_file(*state, "wrong.json", wrong[i].text, false, path);
        assert_int_equal(sk_t4_read(path, NULL, &t, &err), SPHKV_EINVAL);
        if (!strstr(err.message, wrong[i].says)) fail_msg("%s", err.message);
    }
    sk_t4 t;
    assert_int_equal(sk_t4_read("/nowhere/space.json", NULL, &t, NULL), SPHKV_EIO);
}

/* What a download that broke off leaves: most of the text, or all of it without its end. */
static void cut_short(void **state)
{
    tune_case *c = *state;
    char path[300];
    size_t size;
    write_file(c, "space.json.gz", SPACE, true, path);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    size = (size_t)ftell(file);
    for (size_t left = size - 1; left > size / 2; left -= 7) {
        sk_t4 t;
        sk_err err = {0};
        assert_int_equal(ftruncate(fileno(file), (off_t)left), 0);
        assert_int_equal(sk_t4_read(path, NULL, &t, &err), SPHKV_EIO);
        if (!strstr(err.message, "cut or damaged")) fail_msg("%zu: %s", left, err.message);
    }
    assert_int_equal(fclose(file), 0);
    const char *const argv[] = {"--simulate", path, NULL};
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, argv), 2);
}

/* Times that no device takes are none. */
static void odd_times(void **state)
{
    static const char *const odd[] = {"1e999", "-5", "\"4\"", "null"};
    for (size_t i = 0; i < SK_COUNT(odd); i++) {
        char path[300], text[400];
        sk_t4 t;
        sk_err err = {0};
        snprintf(text, sizeof text, "{\"results\":[{\"configuration\":{\"x\":1},\"times\":"
                 "{\"compilation\":%s,\"runtimes\":[2,%s]},\"invalidity\":\"correct\","
                 "\"measurements\":[{\"name\":\"time\",\"value\":2}]}]}", odd[i], odd[i]);
        write_file(*state, "times.json", text, false, path);
        sk_assert_ok(sk_t4_read(path, NULL, &t, &err), &err);
        assert_true(t.cost[0] == 2 && fabs(t.seconds[0] - 0.002) < 1e-12);
        sk_t4_free(&t);
    }
}

/* Any damage to the bytes is an error or another space, never a crash. */
static void damage(void **state)
{
    char path[300], text[] = SPACE;
    sk_rng rng;
    sk_rng_seed(&rng, sk_test_seed(8));
    for (int round = 0; round < 400; round++) {
        char bad[sizeof text];
        sk_t4 t;
        memcpy(bad, text, sizeof text);
        for (int k = 0; k < 2; k++)
            bad[sk_rng_below(&rng, sizeof text - 1)] = (char)(1 + sk_rng_below(&rng, 127));
        write_file(*state, "damaged.json", bad, round % 2, path);
        if (sk_t4_read(path, NULL, &t, NULL) == SPHKV_OK) sk_t4_free(&t);
    }
}

static void the_command(void **state)
{
    tune_case *c = *state;
    char path[300];
    write_file(c, "space.json.gz", SPACE, true, path);
    const char *const argv[] = {"--simulate", path, "--trials", "3", "--seeds", "2", "--strategy",
                                "exhaustive", "--json", NULL};
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, argv), 0);
    char *text = tune_case_read(c->out);
    cJSON *root = cJSON_Parse(text);
    const char *const numbers[] = {"seed", "evaluations", "best", "optimum", "regret", "seconds",
                                   "mean_regret"};
    const double expected[] = {1, 3, 2, 2, 0, 1.509, 0};
    for (size_t i = 0; i < SK_COUNT(numbers); i++) {
        const cJSON *x = cJSON_GetObjectItemCaseSensitive(root, numbers[i]);
        if (!cJSON_IsNumber(x) || fabs(x->valuedouble - expected[i]) > 1e-9)
            fail_msg("%s: %s", numbers[i], text);
    }
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(root, "runs")), 2);
    cJSON_Delete(root);
    sk_free(text);
    const char *const missing[] = {"--simulate", "/nowhere/x.json", NULL};
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, missing), 2);
    const char *const report[] = {"--simulate", path, "--report", "/nowhere/x.html", NULL};
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, report), 2);
    tune_case_said(c, "--report is of a search on devices", true);
    const char *const alone[] = {"--seeds", "2", NULL};
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, alone), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TUNE_CASE(what_is_read), TUNE_CASE(what_is_wrong), TUNE_CASE(cut_short),
        TUNE_CASE(odd_times), TUNE_CASE(damage),
        TUNE_CASE(the_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
