/* test_tune_export.c - sphkv-db export --t4: what was tried, read again as a space, and
 * searched. */
#include <math.h>

#include <cjson/cJSON.h>

#include "db_case.h"
#include "t4.h"
#include "tune_case.h"

static int run_db(const tune_case *c, const char *const *words)
{
    return tune_case_wait(tune_case_start(c, DB_PROGRAM, words));
}

static void put(sk_db *db, const char *schedule, const char *compiler, sk_db_outcome outcome,
                double first, int64_t when)
{
    const double samples[3] = {first, first + 1, first + 5};
    sk_err err = {0};
    sk_db_trial t = db_case_trial(1, schedule, "ir");
    t.key.compiler = compiler;
    t.outcome = outcome;
    t.unix_time = when;
    t.seconds = 2;
    if (outcome == SK_OUTCOME_OK) t.samples = samples, t.sample_count = 3;
    sk_assert_ok(sk_db_trial_put(db, &t, NULL, &err), &err);
}

/* Each schedule once, failures as failures; what an older compiler or other tunables left is no
 * part of it. */
static void round_trip(void **state)
{
    tune_case *c = *state;
    sk_db *db;
    sk_err err = {0};
    sk_t4 t;
    char *file = sk_test_path(c->dir, "space.json");
    sk_assert_ok(sk_db_open(c->db, SK_DB_CREATE, &db, &err), &err);
    put(db, "w=4,lut=rows", "cc 1", SK_OUTCOME_OK, 99, 10);
    put(db, "w=4,lut=rows", "cc 2", SK_OUTCOME_OK, 10.125, 20);
    put(db, "w=8,lut=rows", "cc 2", SK_OUTCOME_OK, 7, 21);
    put(db, "w=16,lut=rows", "cc 1", SK_OUTCOME_OK, 1, 22);
    put(db, "w=8,lut=perm", "cc 2", SK_OUTCOME_CRASH, 0, 23);
    put(db, "w=4,lut=perm", "", SK_OUTCOME_INVALID, 0, 24);
    put(db, "w=4", "cc 2", SK_OUTCOME_OK, 1, 11);
    put(db, "w=16,lut=perm", "cc 2", SK_OUTCOME_SKIPPED, 0, 25);
    sk_db_close(db);
    const char *const words[] = {"export", "--t4", file, "--kernel", "attn_decode", "good:vi8",
                                 "--json", NULL};
    tune_case_expect(c, run_db(c, words), 0);
    char *said = tune_case_read(c->out);
    assert_non_null(strstr(said, "\"results\":4"));
    sk_free(said);
    sk_assert_ok(sk_t4_read(file, NULL, &t, &err), &err);
    assert_int_equal(t.points.n, 4);
    assert_int_equal(t.points.dims, 2);
    assert_int_equal(t.failed, 2);
    double best = INFINITY, sum = 0;
    for (uint32_t i = 0; i < t.points.n; i++) {
        if (!(fabs(t.seconds[i] - 2) < 1e-6)) fail_msg("%u: %.17g seconds", i, t.seconds[i]);
        best = fmin(best, t.cost[i]);
        if (isfinite(t.cost[i])) sum += t.cost[i];
    }
    assert_true(best == 9 && t.best == 9 && fabs(sum - 21.125) < 1e-9);
    sk_t4_free(&t);
    const char *const simulate[] = {"--simulate", file, "--trials", "4", "--json", NULL};
    tune_case_expect(c, tune_case_wait(tune_case_start_in(c, TUNE_PROGRAM, simulate, false, NULL,
                                                          NULL)), 0);
    said = tune_case_read(c->out);
    if (!strstr(said, "\"best\":9,\"optimum\":9,\"regret\":0,\"seconds\":")) fail_msg("%s", said);
    sk_free(said);
    sk_free(file);
}

/* A whole search of our own, exported and searched again. */
static void own_records(void **state)
{
    tune_case *c = *state;
    static const char *const tune[] = {TUNE_ENCODE, "--trials", "5", NULL};
    char *file = sk_test_path(c->dir, "own.json");
    const char *const words[] = {"export", "--t4", file, NULL};
    size_t all;
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, tune), 0);
    const size_t right = tune_case_count(c, SK_OUTCOME_OK, &all);
    tune_case_expect(c, run_db(c, words), 0);
    sk_t4 t;
    sk_err err = {0};
    sk_assert_ok(sk_t4_read(file, NULL, &t, &err), &err);
    assert_int_equal(t.points.n, all);
    assert_int_equal(t.points.n - t.failed, right);
    sk_t4_free(&t);
    sk_free(file);
}

static void refusals(void **state)
{
    tune_case *c = *state;
    sk_db *db;
    sk_err err = {0};
    char *file = sk_test_path(c->dir, "space.json");
    sk_assert_ok(sk_db_open(c->db, SK_DB_CREATE, &db, &err), &err);
    put(db, "w=4", "cc 1", SK_OUTCOME_OK, 99, 10);
    assert_true(db_case_winner(db, 2, 4096, "w=8", "ir", 64, 1.5) > 0);
    sk_db_close(db);
    const struct {
        const char *words[8];
        int code;
        const char *says;
    } cases[] = {
        {{"export", NULL}, 2, "--t4"},
        {{"export", "--t4", file, NULL}, 2, "2 records are meant"},
        {{"export", "--t4", file, "a", "b", NULL}, 2, "too many"},
        {{"export", "--t4", file, "--gzip", NULL}, 2, "--gzip"},
        {{"export", "--t4", file, "--kernel", "kv_append", NULL}, 1, "no record matches"},
        {{"export", "--t4", file, "--spec", "lean", NULL}, 1, "no record matches"},
    };
    for (size_t i = 0; i < SK_COUNT(cases); i++) {
        tune_case_expect(c, run_db(c, cases[i].words), cases[i].code);
        tune_case_said(c, cases[i].says, false);
        assert_int_not_equal(access(file, F_OK), 0);
    }
    sk_free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TUNE_CASE(round_trip), TUNE_CASE(own_records),
                                       TUNE_CASE(refusals)};
    const char *missing = tune_case_missing();
    if (missing) return sk_test_skip(missing);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
