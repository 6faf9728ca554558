/* test_db_command - sphkv-db as a person or a script meets it: words, exit
 * codes, JSON that parses, and a stranger's texts that cannot reach the
 * terminal. */
#include "sk_test.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "db_case.h"
#include "db_impl.h"
#include "records.h"

typedef struct state {
    char *dir, *path, *out, *err; /* out, err: where a command's words go */
    char id[9];                   /* of the winner at context 1024 */
} state;

static void fill(sk_db *db, char id[9])
{
    static const struct {
        const char *schedule;
        sk_db_outcome outcome;
        const char *message;
    } other[] = {
        {"w=4,lut=perm", SK_OUTCOME_WRONG, "error 0.4 on input \033[31mpeaky"},
        {"w=16,lut=rows", SK_OUTCOME_CRASH, "signal 11"},
        {"w=16,lut=perm", SK_OUTCOME_CRASH, "signal 11 again"},
        {"w=4,lut=pair16", SK_OUTCOME_INVALID, "16-bit tables do not fit"},
    };
    sk_err err = {0};
    sk_db_trial t = db_case_trial(1, "w=8,lut=rows", "ir-default");
    int64_t default_id, best_id;
    t.median_us = 20;
    sk_assert_ok(sk_db_trial_put(db, &t, &default_id, &err), &err);
    sk_db_artifact code = db_case_code("ir-best", 100);
    double samples[2] = {10, 10.5};
    t = db_case_trial(1, "w=8,lut=perm", "ir-best");
    t.median_us = 10, t.artifact = &code, t.samples = samples, t.sample_count = 2;
    t.seed = UINT64_MAX;
    sk_assert_ok(sk_db_trial_put(db, &t, &best_id, &err), &err);
    for (size_t i = 0; i < SK_COUNT(other); i++) {
        sk_db_trial bad = db_case_trial(1, other[i].schedule, "ir-bad");
        bad.outcome = other[i].outcome, bad.message = other[i].message;
        bad.median_us = 0, bad.error = -1;
        sk_assert_ok(sk_db_trial_put(db, &bad, NULL, &err), &err);
    }
    sk_db_winner w = {.trial_id = best_id,
                      .default_trial_id = default_id,
                      .speedup = 2,
                      .speedup_lo = 1.9,
                      .flip_risk = 0.07,
                      .speedup_hi = 2.1,
                      .ties = "w=8,lut=perm;w=8,lut=pair16",
                      .default_us = 20,
                      .roofline = 0.75,
                      .run_id = "run-1"};
    sk_assert_ok(sk_db_winner_put(db, &w, NULL, &err), &err);
    sk_arena mem = {0};
    sk_assert_ok(sk_db_trial_find(db, &t.key, &mem, &t, &err), &err);
    memcpy(id, t.trial_hash, 8);
    sk_arena_free(&mem);
    /* A problem of which nothing passed. */
    t = db_case_trial(2, "w=8", "ir-x");
    t.key.spec = "attn_decode d64 v64 h1 p128 l1 qf32 of32 if32 exact lean:vi8";
    t.key.accuracy = "exact", t.outcome = SK_OUTCOME_HANG;
    sk_assert_ok(sk_db_trial_put(db, &t, NULL, &err), &err);
}

static int setup(void **out)
{
    state *s = sk_calloc(1, sizeof *s);
    sk_err err = {0};
    sk_db *db;
    s->dir = sk_test_dir();
    s->path = sk_test_path(s->dir, "kernels.db");
    s->out = sk_test_path(s->dir, "out");
    s->err = sk_test_path(s->dir, "err");
    sk_assert_ok(sk_db_open(s->path, SK_DB_CREATE, &db, &err), &err);
    fill(db, s->id);
    sk_db_close(db);
    *out = s;
    return 0;
}

static int teardown(void **in)
{
    state *s = *in;
    sk_free(s->path);
    sk_free(s->out);
    sk_free(s->err);
    sk_test_dir_remove(s->dir);
    sk_free(s);
    return 0;
}

/* Runs sphkv-db with these words, SPHKV_DB set to the test's database; *out
 * and *err are its words, to be freed. Returns its exit code. */
static int run(state *s, const char *words, char **out, char **err)
{
    char command[2048];
    snprintf(command, sizeof command, "SPHKV_DB='%s' '%s/bin/sphkv-db' %s >'%s' 2>'%s'", s->path,
             SK_BUILD_DIR, words, s->out, s->err);
    int status = system(command);
    assert_true(WIFEXITED(status));
    sk_err e = {0};
    size_t size;
    sk_assert_ok(sk_file_read(s->out, 1 << 22, out, &size, &e), &e);
    sk_assert_ok(sk_file_read(s->err, 1 << 22, err, &size, &e), &e);
    return WEXITSTATUS(status);
}

/* The command ends with `code`, and every one of `parts` is on stdout (or on
 * stderr, when it begins with '!'). */
static void expect(state *s, const char *words, int code, const char *const *parts)
{
    char *out, *err;
    int got = run(s, words, &out, &err);
    if (got != code)
        fail_msg("sphkv-db %s: exit %d, not %d; %s", words, got, code, err);
    for (size_t i = 0; parts[i]; i++) {
        bool on_err = parts[i][0] == '!';
        if (!strstr(on_err ? err : out, parts[i] + on_err))
            fail_msg("sphkv-db %s: no '%s' in\n%s%s", words, parts[i], out, err);
    }
    assert_null(strchr(out, '\033')); /* not a terminal, and texts are cleaned */
    sk_free(out);
    sk_free(err);
}
#define EXPECT(s, words, code, ...) expect(s, words, code, (const char *const[]){__VA_ARGS__, NULL})

static void words_for_people(void **in)
{
    state *s = *in;
    EXPECT(s, "ls", 0, "median us", s->id, "attn_decode", "good:vi8,kf16:vf16", "c1024", "first",
           "10.0", "2.00x", "other device");
    EXPECT(s, "show good:vi8", 0, "w=8,lut=perm", "w=16,lut=rows", "crash", "signal 11", "wrong",
           "input ?[31mpeaky", "2.00 times as fast", "20.0 us", "6 trials", "run-1",
           "seed 18446744073709551615");
    char words[64];
    snprintf(words, sizeof words, "explain %s", s->id);
    EXPECT(s, words, 0, "w=8,lut=perm", "among the fastest of the 2 that passed",
           "of 5 candidates tried", "interval 1.90 to 2.10", "7 % that the same final",
           "2 schedules could as well have won", "               lut=pair16\n",
           "lut=rows, else the same", "  words      w          lanes of a warp", "\n             lut        look-up",
           "0.00015 (S1 rms); class tight allows 1e-03", "3 of 5; 1 not tried", "2 crash",
           "first: signal 11 (w=16,lut=rows)", "75 % of the bandwidth of a plain sweep", "ready: its code is stored");
}

static void exit_codes(void **in)
{
    state *s = *in;
    EXPECT(s, "--help", 0, "examples:", "sphkv-db explain", "exit code");
    EXPECT(s, "", 2, "!say what to do");
    EXPECT(s, "ls a.db", 2, "!ls takes no");
    EXPECT(s, "show a b", 2, "!one word too many");
    EXPECT(s, "merge --help", 0, "usage: sphkv-db merge OUT IN...");
    EXPECT(s, "prune", 2, "!not prune");
    EXPECT(s, "ls --frobnicate", 2, "!--frobnicate");
    EXPECT(s, "show", 2, "!show needs an ID");
    EXPECT(s, "ls --db", 2, "!--db needs a file");
    EXPECT(s, "show no-such-thing", 1, "!no record matches no-such-thing");
    EXPECT(s, "explain lean", 1, "nothing: 0 of 1 candidates passed", "1 hang");
    EXPECT(s, "ls --db /no/such/file.db", 4, "!/no/such/file.db");
    EXPECT(s, "ls --db /dev/null", 4, "!/dev/null");
    assert_int_equal(unlink(s->path), 0); /* nothing tuned yet is no error */
    EXPECT(s, "ls", 0, "median us", "!sphkv-tune makes one");
    EXPECT(s, "ls --json", 0, "[]");
}

static const cJSON *member(const cJSON *object, const char *name)
{
    const cJSON *found = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!found)
        fail_msg("no member %s", name);
    return found;
}

static void words_for_machines(void **in)
{
    state *s = *in;
    char *out, *err;
    assert_int_equal(run(s, "ls --json", &out, &err), 0);
    assert_string_equal(err, "");
    cJSON *root = cJSON_ParseWithOpts(out, NULL, 1);
    assert_int_equal(cJSON_GetArraySize(root), 1); /* winners only */
    const cJSON *winner = member(cJSON_GetArrayItem(root, 0), "winner");
    assert_true(member(winner, "speedup")->valuedouble == 2);
    assert_string_equal(member(winner, "state")->valuestring, "ready");
    assert_string_equal(member(winner, "seed")->valuestring, "18446744073709551615");
    cJSON_Delete(root);
    sk_free(out);
    sk_free(err);

    assert_int_equal(run(s, "show good --json", &out, &err), 0);
    root = cJSON_ParseWithOpts(out, NULL, 1);
    const cJSON *trials = member(cJSON_GetArrayItem(root, 0), "trials");
    assert_int_equal(cJSON_GetArraySize(trials), 6);
    const cJSON *best = cJSON_GetArrayItem(trials, 1);
    assert_true(cJSON_GetArrayItem(member(best, "samples_us"), 1)->valuedouble == 10.5);
    assert_true(cJSON_IsNull(member(cJSON_GetArrayItem(trials, 2), "error")));
    cJSON_Delete(root);
    sk_free(out);
    sk_free(err);

    assert_int_equal(run(s, "explain lean --json", &out, &err), 1);
    root = cJSON_ParseWithOpts(out, NULL, 1);
    const cJSON *record = cJSON_GetArrayItem(root, 0);
    assert_true(cJSON_IsNull(member(record, "winner")));
    assert_true(member(member(member(record, "sum"), "outcomes"), "hang")->valuedouble == 1);
    assert_true(member(member(record, "sum"), "error_bound")->valuedouble == 1e-5);
    cJSON_Delete(root);
    sk_free(out);
    sk_free(err);
}

/* Every form with every allocation failing once: an answer or none. */
static void memory_runs_out(void **in)
{
    state *s = *in;
    sk_err err = {0};
    sk_db *db;
    sk_assert_ok(sk_db_open(s->path, SK_DB_READ_ONLY, &db, &err), &err);
    for (uint64_t nth = 1;; nth++) {
        sk_records records = {0};
        sk_text out = {0};
        assert_true(nth < 5000);
        sk_alloc_fault(nth, false);
        bool good = sk_records_add(&records, db, db_case_device(1), NULL) == SPHKV_OK;
        for (int form = 0; form < 3 && good; form++)
            sk_records_text(&records, (sk_records_form)form, true, &out);
        good = good && !out.failed && sk_records_json(&records, SK_RECORDS_SHOW, &out);
        uint64_t seen = sk_alloc_fault(0, false);
        if (seen < nth)
            assert_true(good);
        sk_text_free(&out);
        sk_records_free(&records);
        if (seen < nth)
            break;
    }
    sk_db_close(db);
}

int main(void)
{
    if (access(SK_BUILD_DIR "/bin/sphkv-db", X_OK) != 0)
        return sk_test_skip("bin/sphkv-db is not built");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(words_for_people, setup, teardown),
        cmocka_unit_test_setup_teardown(exit_codes, setup, teardown),
        cmocka_unit_test_setup_teardown(words_for_machines, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_runs_out, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
