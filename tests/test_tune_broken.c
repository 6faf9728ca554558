/* test_tune_broken.c - databases that are none, as the programs meet them: noise,
 * empty, another program's, of a newer version, cut, with wrong bytes anywhere.
 * Each is refused with exit code 4 and one line that names it, and is left as it
 * was; or it serves. (What the store makes of them: test_db_damage.c.) */
#include "tune_case.h"

static const char *const tiny[] = {TUNE_TINY, NULL};

static void put_database(const tune_case *c, const char *sql)
{
    sqlite3 *raw;
    (void)unlink(c->db);
    assert_int_equal(sqlite3_open(c->db, &raw), SQLITE_OK);
    assert_int_equal(sqlite3_exec(raw, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(raw);
}

/* Every program that takes --db, on a file that it must refuse: 4, one line that
 * names it, and the file as it was. */
static void expect_refused(const tune_case *c, const char *says, bool empty)
{
    static const char *const bench[] = {"--quiet", "--head-dim", "64", "--heads", "1",
                                        "--kv-heads", "1", "--context", "64", NULL};
    static const char *const ls[] = {"ls", NULL};
    static const char *const show[] = {"show", "kf16", "--json", NULL};
    const struct {
        const char *program, *const *words;
    } job[] = {{TUNE_PROGRAM, tiny}, {BENCH_PROGRAM, bench}, {DB_PROGRAM, ls},
               {DB_PROGRAM, show}};
    char *before = NULL, *after = NULL;
    size_t size, now;
    sk_err err = {0};
    sk_assert_ok(sk_file_read(c->db, 1 << 24, &before, &size, &err), &err);
    for (size_t i = empty ? 1 : 0; i < SK_COUNT(job); i++) { /* a tuner fills an empty one */
        tune_case_expect(c, tune_case_run(c, job[i].program, job[i].words), 4);
        tune_case_said(c, says, true);
        tune_case_said(c, c->db, true);
        sk_assert_ok(sk_file_read(c->db, 1 << 24, &after, &now, &err), &err);
        assert_true(now == size && memcmp(before, after, size) == 0);
        sk_free(after);
    }
    sk_free(before);
}

static void databases_that_are_none(void **state)
{
    tune_case *c = *state;
    sk_rng rng = sk_test_rng(9);
    sk_err err = {0};
    char noise[8192], *good, *copy;
    size_t size;
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, tiny), 0);
    sk_assert_ok(sk_file_read(c->db, 1 << 24, &good, &size, &err), &err);
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (char)sk_rng_u64(&rng);
    sk_assert_ok(sk_file_write(c->db, noise, sizeof noise, &err), &err);
    expect_refused(c, "not a kernel database", false);
    sk_assert_ok(sk_file_write(c->db, "", 0, &err), &err);
    expect_refused(c, "empty", true);
    put_database(c, "CREATE TABLE t (x)");
    expect_refused(c, "another program", false);
    char sql[96];
    snprintf(sql, sizeof sql, "PRAGMA application_id=%d; PRAGMA user_version=999", SK_DB_APPLICATION_ID);
    put_database(c, sql);
    expect_refused(c, "newer", false);
    sk_assert_ok(sk_file_write(c->db, good, size / 2, &err), &err);
    expect_refused(c, "damaged", false);
    /* Anything anywhere: whatever a program makes of it, it ends in order. */
    static const int bytes[] = {0, 0xff, 0x80, 0x7f, 1, -1, -2}; /* -1: any, -2: a flipped bit */
    static const char *const ls[] = {"ls", "--json", NULL};
    for (int round = 0; round < 42; round++) {
        copy = sk_malloc(size);
        memcpy(copy, good, size);
        for (uint32_t n = 1 + sk_rng_below(&rng, 40); n > 0; n--) {
            char *at = copy + sk_rng_below(&rng, round % 2 ? 4096 : (uint32_t)size);
            int byte = bytes[round % (int)SK_COUNT(bytes)];
            if (byte == -2) byte = *at ^ 1 << sk_rng_below(&rng, 8);
            if (byte == -1) byte = (int)sk_rng_below(&rng, 256);
            *at = (char)byte;
        }
        sk_assert_ok(sk_file_write(c->db, copy, size, &err), &err);
        sk_free(copy);
        bool tune = round % 6 == 0;
        int code = tune_case_run(c, tune ? TUNE_PROGRAM : DB_PROGRAM, tune ? tiny : ls);
        if (code != 0 && code != 4) tune_case_expect(c, code, 4);
        if (code == 4) tune_case_said(c, c->db, true);
    }
    sk_free(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TUNE_CASE(databases_that_are_none)};
    const char *missing = tune_case_missing();
    if (missing) return sk_test_skip(missing);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
