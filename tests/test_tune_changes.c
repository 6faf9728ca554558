/* test_tune_changes.c - what a change leaves true: new values of a tunable, a new tunable,
 * a new compiler. The database of a whole search is rewritten as if the program that made
 * it had been another, and the search is run again. */
#include "tune_case.h"

#define SEARCH "--kernels", "kv_encode", "--quiet", "--effort", "quick", "--trials", "9", TUNE_SMALL

static void tune(const tune_case *c)
{
    static const char *const words[] = {SEARCH, NULL};
    setenv("SPHKV_TIMES", "1", 1);
    const int code = tune_case_run(c, TUNE_HOOKED, words);
    unsetenv("SPHKV_TIMES");
    tune_case_expect(c, code, 0);
}

/* Runs of the database by SQL, with nothing else changed. */
static void execute(const tune_case *c, const char *sql)
{
    sqlite3 *raw;
    char *why = NULL;
    assert_int_equal(sqlite3_open(c->db, &raw), SQLITE_OK);
    if (sqlite3_exec(raw, sql, NULL, NULL, &why) != SQLITE_OK) fail_msg("%s: %s", sql, why);
    sqlite3_close(raw);
}

/* The same records in a new database, under other schedules or another compiler. */
static void rewrite(const tune_case *c, const char *without, const char *compiler)
{
    sk_arena mem = {0};
    sk_db_trial *list;
    sk_db *db;
    sk_err err = {0};
    const size_t n = tune_case_trials(c, &mem, &list);
    assert_int_equal(unlink(c->db), 0);
    sk_assert_ok(sk_db_open(c->db, SK_DB_CREATE, &db, &err), &err);
    for (size_t i = 0; i < n; i++) {
        sk_db_trial t = list[i];
        char schedule[256];
        snprintf(schedule, sizeof schedule, "%s", t.key.schedule);
        char *cut = without ? strstr(schedule, without) : NULL;
        if (without && !cut) continue; /* another value of the tunable: not tried at that time */
        if (cut) *cut = '\0';
        t.key.schedule = schedule;
        if (compiler) t.key.compiler = compiler;
        t.run_id = "before";
        sk_assert_ok(sk_db_trial_put(db, &t, NULL, &err), &err);
    }
    sk_db_close(db);
    sk_arena_free(&mem);
}

/* How many distinct schedules of trials were measured by runs other than "before". */
static size_t measured(const tune_case *c, size_t *all, size_t *kept)
{
    sk_arena mem = {0};
    sk_db_trial *list;
    size_t n = tune_case_trials(c, &mem, &list), fresh = 0;
    *all = n;
    *kept = 0;
    for (size_t i = 0; i < n; i++) {
        fresh += strcmp(list[i].run_id, "before") != 0;
        *kept += strcmp(list[i].run_id, "before") == 0;
    }
    sk_arena_free(&mem);
    return fresh;
}

static void new_values(void **state)
{
    tune_case *c = *state;
    size_t all, gone, after, kept;
    tune(c);
    (void)tune_case_count(c, SK_OUTCOME_OK, &all);
    execute(c, "DELETE FROM winner; DELETE FROM trial WHERE schedule_id IN"
               " (SELECT id FROM schedule WHERE text LIKE '%etok=4%');"
               "UPDATE trial SET seconds = 1234"); /* a mark that a new trial has not */
    (void)tune_case_count(c, SK_OUTCOME_OK, &gone);
    assert_true(gone > 1 && gone < all);
    tune(c);
    (void)tune_case_count(c, SK_OUTCOME_OK, &after);
    assert_int_equal(after, all);
    sk_arena mem = {0};
    sk_db_trial *list;
    const size_t n = tune_case_trials(c, &mem, &list);
    kept = 0;
    for (size_t i = 0; i < n; i++) {
        const bool marked = list[i].seconds == 1234;
        assert_int_equal(marked, strstr(list[i].key.schedule, "etok=4") == NULL);
        kept += marked;
    }
    assert_int_equal(kept, gone);
    sk_arena_free(&mem);
    tune_case_check_winners(c, 1);
}

/* Before, there was no etok, and the kernel did what etok=1 does: those trials are known. */
static void new_tunable(void **state)
{
    tune_case *c = *state;
    size_t all, old, kept, named = 0;
    tune(c);
    (void)tune_case_count(c, SK_OUTCOME_OK, &all);
    rewrite(c, ",etok=1", NULL);
    (void)tune_case_count(c, SK_OUTCOME_OK, &old);
    assert_true(old > 1 && old < all);
    execute(c, "UPDATE trial SET seconds = 1234");
    tune(c);
    sk_arena mem = {0};
    sk_db_trial *list;
    const size_t n = tune_case_trials(c, &mem, &list);
    kept = 0;
    for (size_t i = 0; i < n; i++) {
        kept += !strstr(list[i].key.schedule, "etok");
        if (!strstr(list[i].key.schedule, "etok=1")) continue;
        assert_true(list[i].seconds == 1234); /* not tried again */
        named++;
    }
    assert_int_equal(kept, old);
    assert_int_equal(named, old);
    assert_int_equal(n, all + old);
    sk_arena_free(&mem);
    tune_case_check_winners(c, 1);
}

/* Code of another compiler is another trial: all are measured, and what was stands beside. */
static void new_compiler(void **state)
{
    tune_case *c = *state;
    size_t all, both, kept;
    tune(c);
    (void)tune_case_count(c, SK_OUTCOME_OK, &all);
    rewrite(c, NULL, "LLVM 1.0");
    tune(c);
    assert_int_equal(measured(c, &both, &kept), all);
    assert_int_equal(both, 2 * all);
    assert_int_equal(kept, all);
    sk_arena mem = {0};
    sk_db_winner *w;
    assert_int_equal(tune_case_winners(c, &mem, &w), 1);
    assert_string_not_equal(w->trial.key.compiler, "LLVM 1.0");
    sk_arena_free(&mem);
    tune_case_check_winners(c, 1);
    /* And once more: all of it is known. */
    tune(c);
    assert_int_equal(measured(c, &both, &kept), all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TUNE_CASE(new_values), TUNE_CASE(new_tunable),
                                       TUNE_CASE(new_compiler)};
    const char *missing = tune_case_missing();
    if (missing) return sk_test_skip(missing);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
