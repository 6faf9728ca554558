/* test_db_crash - several processes and threads, processes that are killed, and
 * memory that runs out. */
#include "sk_test.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "db_case.h"
#include "db_impl.h"

/* Put number n of a writer, the same in every run. Returns its status. */
static sk_status put_number(sk_db *db, int writer, int n)
{
    char schedule[64], ir[64];
    snprintf(schedule, sizeof schedule, "writer=%d,n=%d", writer, n);
    snprintf(ir, sizeof ir, "ir-%d-%d", writer, n);
    double samples[8] = {n, n + 1};
    sk_db_artifact code = db_case_code(ir, 2000 + (size_t)n);
    sk_db_trial t = db_case_trial(1 + writer % 3, schedule, ir);
    t.samples = samples, t.sample_count = 8;
    t.median_us = n;
    t.artifact = n % 3 == 0 ? &code : NULL;
    int64_t id;
    sk_status st = sk_db_trial_put(db, &t, &id, NULL);
    sk_db_winner w = {.trial_id = id, .speedup = 1};
    if (st == SPHKV_OK && n % 5 == 0)
        st = sk_db_winner_put(db, &w, NULL, NULL);
    return st;
}

static void expect_number(sk_db *db, int writer, int n)
{
    char schedule[64], ir[64];
    snprintf(schedule, sizeof schedule, "writer=%d,n=%d", writer, n);
    snprintf(ir, sizeof ir, "ir-%d-%d", writer, n);
    sk_db_trial like = db_case_trial(1 + writer % 3, schedule, ir), back;
    sk_arena mem = {0};
    sk_err err = {0};
    sk_assert_ok(sk_db_trial_find(db, &like.key, &mem, &back, &err), &err);
    assert_true(back.median_us == n);
    assert_int_equal(back.sample_count, 8);
    assert_true(back.samples[1] == n + 1);
    if (n % 3 == 0) {
        sk_db_artifact code;
        sk_assert_ok(sk_db_trial_artifact(db, back.id, &mem, &code, &err), &err);
        assert_int_equal(code.size, 2000 + n);
    }
    sk_arena_free(&mem);
}

static void expect_integrity(sk_db *db)
{
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_prepare_v2(db->handle, "PRAGMA integrity_check", -1, &stmt, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(stmt, 0), "ok");
    sqlite3_finalize(stmt);
}

/* The database does not exist yet: all create it at once. */
static void processes_write_at_once(void **in)
{
    (void)in;
    enum { WRITERS = 3, PUTS = 40 };
    char *dir = sk_test_dir(), *path = sk_test_path(dir, "x/kernels.db");
    pid_t child[WRITERS];
    for (int w = 0; w < WRITERS; w++) {
        child[w] = fork();
        assert_true(child[w] >= 0);
        if (child[w] == 0) {
            sk_db *db;
            if (sk_db_open(path, SK_DB_CREATE, &db, NULL) != SPHKV_OK)
                _exit(1);
            for (int n = 0; n < PUTS; n++) /* one trial that all of them make */
                if (put_number(db, w, n) != SPHKV_OK || put_number(db, 7, n) != SPHKV_OK)
                    _exit(2);
            sk_db_close(db);
            _exit(0);
        }
    }
    for (int w = 0; w < WRITERS; w++) {
        int status = -1;
        assert_int_equal(waitpid(child[w], &status, 0), child[w]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    sk_err err = {0};
    sk_db *db;
    sk_assert_ok(sk_db_open(path, 0, &db, &err), &err);
    expect_integrity(db);
    for (int n = 0; n < PUTS; n++) {
        for (int w = 0; w < WRITERS; w++)
            expect_number(db, w, n);
        expect_number(db, 7, n);
    }
    int64_t trials;
    sk_assert_ok(sk_db_pragma_int(db, "SELECT count(*) FROM trial", &trials, &err), &err);
    assert_int_equal(trials, (WRITERS + 1) * PUTS);
    sk_db_close(db);
    sk_free(path);
    sk_test_dir_remove(dir);
}

/* Says every put that came back on the pipe, until it is killed. */
static void write_until_killed(const char *path, int from, int fd)
{
    sk_db *db;
    if (sk_db_open(path, SK_DB_CREATE, &db, NULL) != SPHKV_OK)
        _exit(1);
    for (int n = from;; n++) {
        if (put_number(db, 0, n) != SPHKV_OK)
            _exit(2);
        if (write(fd, &n, sizeof n) != sizeof n)
            _exit(3);
    }
}

static void killed_writers_lose_nothing(void **in)
{
    (void)in;
    enum { ROUNDS = 25 };
    sk_rng rng = sk_test_rng(77);
    char *dir = sk_test_dir(), *path = sk_test_path(dir, "kernels.db");
    int done = -1; /* the last number that a writer reported */
    for (int round = 0; round < ROUNDS; round++) {
        int fd[2], before = done;
        assert_int_equal(pipe(fd), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            close(fd[0]);
            write_until_killed(path, done + 1, fd[1]);
        }
        close(fd[1]);
        /* Killed in the midst of a put: some reports later, then some us. */
        uint32_t reports = sk_rng_below(&rng, 6);
        for (uint32_t i = 0; i < reports; i++)
            assert_int_equal(read(fd[0], &done, sizeof done), sizeof done);
        usleep(sk_rng_below(&rng, 8000));
        kill(child, SIGKILL);
        int status, n;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        while (read(fd[0], &n, sizeof n) == sizeof n)
            done = n;
        close(fd[0]);

        sk_err err = {0};
        sk_db *db;
        sk_assert_ok(sk_db_open(path, SK_DB_CREATE, &db, &err), &err);
        expect_integrity(db);
        for (int k = before + 1 > 3 ? before - 2 : 0; k <= done; k++)
            expect_number(db, 0, k);
        sk_db_close(db);
    }
    assert_true(done > ROUNDS / 2);
    sk_err err = {0};
    sk_db *db;
    sk_assert_ok(sk_db_open(path, 0, &db, &err), &err);
    for (int k = 0; k <= done; k++)
        expect_number(db, 0, k);
    sk_db_close(db);
    sk_free(path);
    sk_test_dir_remove(dir);
}

typedef struct shared {
    sk_db_set *set;
    int writer;
    bool good;
} shared;

static void *use_shared(void *in)
{
    shared *my = in;
    sk_db_trial like = db_case_trial(1, "", "");
    for (int n = 0; n < 20; n++) {
        sk_arena mem = {0};
        sk_db_best_result best;
        my->good = my->good && put_number(my->set->user, my->writer, n) == SPHKV_OK &&
                   sk_db_best(my->set, like.key.device, like.key.kernel, like.key.spec,
                              &like.key.shape, 0, &mem, &best, NULL) == SPHKV_OK &&
                   best.match != SK_MATCH_NONE;
        sk_arena_free(&mem);
    }
    return NULL;
}

static void threads_share_a_handle(void **in)
{
    (void)in;
    char *dir = sk_test_dir(), *path = sk_test_path(dir, "kernels.db");
    sk_err err = {0};
    sk_db_set *set;
    sk_assert_ok(sk_db_set_open(path, NULL, 0, &set, &err), &err);
    db_case_code("", 0); /* fills its bytes before the threads read them */
    /* what every thread looks up is there from the start, whoever runs first */
    sk_assert_ok(put_number(set->user, 0, 0), NULL);
    pthread_t thread[4];
    shared part[4];
    for (int i = 0; i < 4; i++) {
        part[i] = (shared){set, i, true};
        assert_int_equal(pthread_create(&thread[i], NULL, use_shared, &part[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
        assert_true(part[i].good);
    }
    for (int i = 0; i < 4; i++)
        for (int n = 0; n < 20; n++)
            expect_number(set->user, i, n);
    sk_db_set_close(set);
    sk_free(path);
    sk_test_dir_remove(dir);
}

/* Everything once; the first failure's status. Leaks are the sanitizer's to
 * find. */
static sk_status use_everything(const char *user, const char *system_dir)
{
    sk_db_set *set = NULL;
    sk_arena mem = {0};
    sk_status st = sk_db_set_open(user, system_dir, 0, &set, NULL);
    sk_db_trial t = db_case_trial(1, "w=8", "ir"), back, *trials;
    sk_db_artifact code = db_case_code("ir", 5000), found;
    sk_db_winner *winners;
    sk_db_best_result best;
    double samples[4] = {1, 2, 3, 4};
    size_t count;
    int64_t id = 0;
    t.samples = samples, t.sample_count = 4;
    t.artifact = &code;
    if (st == SPHKV_OK)
        st = sk_db_trial_put(set->user, &t, &id, NULL);
    sk_db_winner w = {.trial_id = id, .speedup = 2};
    if (st == SPHKV_OK)
        st = sk_db_winner_put(set->user, &w, NULL, NULL);
    if (st == SPHKV_OK)
        st = sk_db_trial_find(set->user, &t.key, &mem, &back, NULL);
    if (st == SPHKV_OK)
        st = sk_db_trials(set->user, NULL, &mem, &trials, &count, NULL);
    if (st == SPHKV_OK)
        st = sk_db_winners(set->user, NULL, &mem, &winners, &count, NULL);
    if (st == SPHKV_OK)
        st = sk_db_default_put(set, t.key.device, t.key.kernel, t.key.spec, "w=8", &code, NULL);
    if (st == SPHKV_OK)
        st = sk_db_default_get(set, t.key.device, t.key.kernel, t.key.spec, "ir", &mem, &found,
                               NULL);
    if (st == SPHKV_OK)
        st = sk_db_best(set, t.key.device, t.key.kernel, t.key.spec, &t.key.shape,
                        SK_BEST_NEED_CODE, &mem, &best, NULL);
    if (st == SPHKV_OK) {
        assert_int_equal(best.match, SK_MATCH_EXACT);
        assert_memory_equal(best.artifact.bytes, code.bytes, code.size);
    }
    sk_arena_free(&mem);
    sk_db_set_close(set);
    return st;
}

static void memory_runs_out(void **in)
{
    (void)in;
    char *dir = sk_test_dir(), *user = sk_test_path(dir, "kernels.db"),
         *system_path = sk_test_path(dir, "share/1.db"), *system_dir = sk_test_path(dir, "share");
    sk_err err = {0};
    sk_db *db;
    sk_assert_ok(sk_db_open(system_path, SK_DB_CREATE, &db, &err), &err);
    sk_db_close(db);
    for (int sticky = 0; sticky < 2; sticky++) {
        uint64_t nth = 1;
        for (;; nth++) {
            assert_true(nth < 2000);
            sk_alloc_fault(nth, sticky != 0);
            sk_status st = use_everything(user, system_dir);
            uint64_t seen = sk_alloc_fault(0, false);
            if (seen < nth) { /* it was never reached */
                assert_int_equal(st, SPHKV_OK);
                break;
            }
            assert_int_equal(st, SPHKV_ENOMEM);
        }
        assert_true(nth > 10); /* the fault was met on the way */
        sk_assert_ok(sk_db_open(user, 0, &db, &err), &err);
        expect_integrity(db);
        sk_db_close(db);
    }
    sk_free(system_dir);
    sk_free(system_path);
    sk_free(user);
    sk_test_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(processes_write_at_once),
        cmocka_unit_test(killed_writers_lose_nothing),
        cmocka_unit_test(threads_share_a_handle),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
