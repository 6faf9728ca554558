/* test_tune_run.c - whole runs of sphkv-tune on small kernels: results and their
 * JSON, budgets, seeds, places. Nothing here depends on how fast the machine is. */
#include "tune_case.h"

#include <cjson/cJSON.h>

static void a_whole_run(void **state)
{
    tune_case *c = *state;
    static const char *const words[] = {"--kernels", "kv_append,kv_encode", "--effort", "quick",
                                        "--json", "--quiet", TUNE_ALL, TUNE_SMALL, NULL};
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, words), 0);
    char *text = tune_case_read(c->out);
    cJSON *root = cJSON_Parse(text);
    const cJSON *results = cJSON_GetObjectItemCaseSensitive(root, "results"), *r;
    assert_int_equal(cJSON_GetArraySize(results), 2);
    assert_true(cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(root, "device")));
    cJSON_ArrayForEach(r, results) {
        static const char *const numbers[] = {"median_us", "default_us", "speedup", "bytes",
                                              "bandwidth_gbps", "roofline", "max_rel_err",
                                              "trials", "failed", "seconds", "flip_risk",
                                              "noisy_rounds", "drift"};
        for (size_t i = 0; i < SK_COUNT(numbers); i++)
            if (!cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(r, numbers[i])))
                fail_msg("%s is no number in %s", numbers[i], text);
        assert_int_equal(
            cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(r, "speedup_ci")), 2);
        assert_true(cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(r, "ties")));
        assert_true(cJSON_IsString(cJSON_GetObjectItemCaseSensitive(r, "schedule")));
    }
    cJSON_Delete(root);
    sk_free(text);
    tune_case_check_winners(c, 2);
    tune_case_all_gone(c);
    /* Again: everything is known, nothing is repeated. */
    size_t before, after;
    (void)tune_case_count(c, SK_OUTCOME_OK, &before);
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, words), 0);
    (void)tune_case_count(c, SK_OUTCOME_OK, &after);
    assert_int_equal(before, after);
}

/* A trial budget that is used up by earlier runs leaves the winner to find. */
static void few_trials(void **state)
{
    tune_case *c = *state;
    static const char *const two[] = {TUNE_ENCODE, "--trials", "2", NULL};
    static const char *const three[] = {TUNE_ENCODE, "--trials", "3", NULL};
    size_t all;
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, two), 0);
    (void)tune_case_count(c, SK_OUTCOME_OK, &all);
    assert_int_equal(all, 2);
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, three), 0);
    (void)tune_case_count(c, SK_OUTCOME_OK, &all);
    assert_int_equal(all, 3);
    tune_case_check_winners(c, 1);
}

/* The winner's schedule and its ties, of a database with one winner. */
static void read_winner(const tune_case *c, char schedule[256], char ties[2048])
{
    sk_arena mem = {0};
    sk_db_winner *w;
    assert_int_equal(tune_case_winners(c, &mem, &w), 1);
    snprintf(schedule, 256, "%s", w->trial.key.schedule);
    snprintf(ties, 2048, "%s", w->ties);
    sk_arena_free(&mem);
}

/* The same seed twice: the same winner, or one that is recorded as tied with it.
 * A verdict at 95 % may err, so it may take another turn, but not always. */
static void same_seed(void **state)
{
    tune_case *c = *state;
    static const char *const words[] = {TUNE_ENCODE, "--seed", "77", "--fresh", NULL};
    char first[256], ties[2048], second[256], ties2[2048];
    bool agreed = false;
    for (int i = 0; i < 4 && !agreed; i++) {
        tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, words), 0);
        read_winner(c, first, ties);
        tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, words), 0);
        read_winner(c, second, ties2);
        agreed = strcmp(first, second) == 0 || strstr(ties, second) || strstr(ties2, first);
    }
    assert_true(agreed);
}

/* A place that cannot be written: results all the same, and one warning. */
static void nowhere_to_write(void **state)
{
    tune_case *c = *state;
    char *path = sk_test_path(c->dir, "file/kernels.db"), *file = sk_test_path(c->dir, "file");
    sk_err err = {0};
    sk_assert_ok(sk_file_write(file, "x", 1, &err), &err); /* a file where a folder should be */
    static const char *const words[] = {TUNE_ENCODE, "--trials", "1", NULL};
    char *keep = c->db;
    c->db = path; /* named: an error */
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, words), 4);
    c->db = keep;
    sk_free(path);
    sk_free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TUNE_CASE(a_whole_run),
        TUNE_CASE(few_trials),
        TUNE_CASE(same_seed),
        TUNE_CASE(nowhere_to_write),
    };
    const char *missing = tune_case_missing();
    if (missing) return sk_test_skip(missing);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
