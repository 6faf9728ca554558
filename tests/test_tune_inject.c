/* test_tune_inject.c - a tuning run in which one thing fails: every allocation,
 * its workers' and its compiler's too, and every write to its database (with an
 * error, with a full disk, with the end of the process). However it ends, it ends
 * as documented: an exit code, one line, no process left, a sound database with
 * all that was in it before, and a run after it that succeeds.
 *
 * There are hundreds of those, of SQLite's own allocations thousands, and each costs
 * two runs: so a seed takes a share. SK_TEST_INJECT=NAME tries everything of that test. */
#include "tune_case.h"

#include <sys/mman.h>

#include "inject.h"

/* Two trials of the smallest kernel; the database holds another one already. */
static const char *const run_words[] = {"--kernels", "kv_append", "--quiet", "--effort", "quick",
                                        "--trials", "2", "--head-dim", "16", "--heads", "1",
                                        "--kv-heads", "1", "--page", "16", "--context", "16",
                                        "--tiers", "kf16:vf16", NULL};

typedef struct inject_case {
    tune_case *c;
    sk_inject *shared;
    char *before;       /* bytes of the database that each run begins with */
    size_t before_size;
    char (*hash)[65];   /* its trials */
    size_t trials;
    sk_rng rng;
} inject_case;

/* Whether fault `at` of the running test is tried: the first few always. */
static bool tried(inject_case *t, const char *test, uint64_t at, uint32_t share)
{
    const char *whole = getenv("SK_TEST_INJECT");
    bool chance = sk_rng_below(&t->rng, share) == 0;
    return chance || at <= 2 || (whole && strcmp(whole, test) == 0);
}

static void set_fault(inject_case *t, sk_inject_kind kind, uint64_t at, sk_inject_how how)
{
    for (int k = 0; k < SK_INJECT_KINDS; k++) {
        atomic_store(&t->shared->seen[k], 0);
        atomic_store(&t->shared->at[k], k == (int)kind ? at : 0);
    }
    atomic_store(&t->shared->hits, 0);
    atomic_store(&t->shared->how, how);
}

/* Runs with the fault; false when it was never reached. */
static bool run_with(inject_case *t, sk_inject_kind kind, uint64_t at, sk_inject_how how, int *code)
{
    set_fault(t, kind, at, how);
    *code = tune_case_wait(tune_case_start(t->c, TUNE_HOOKED, run_words));
    bool hit = atomic_load(&t->shared->hits) > 0;
    set_fault(t, kind, 0, how);
    return hit;
}

static void put_before(inject_case *t)
{
    char journal[4096];
    sk_err err = {0};
    sk_assert_ok(sk_file_write(t->c->db, t->before, t->before_size, &err), &err);
    snprintf(journal, sizeof journal, "%s-journal", t->c->db);
    (void)unlink(journal);
}

/* A run with other shapes, so that there is something to lose. */
static void make_before(inject_case *t)
{
    static const char *const words[] = {"--kernels", "kv_append", "--quiet", "--effort", "quick",
                                        "--trials", "1", "--head-dim", "32", "--heads", "1",
                                        "--kv-heads", "1", "--page", "16", "--context", "16",
                                        "--tiers", "kf16:vf16", NULL};
    sk_arena mem = {0};
    sk_db_trial *list;
    sk_err err = {0};
    tune_case_expect(t->c, tune_case_run(t->c, TUNE_HOOKED, words), 0);
    t->trials = tune_case_trials(t->c, &mem, &list);
    assert_true(t->trials >= 1);
    t->hash = sk_calloc(t->trials, sizeof *t->hash);
    for (size_t i = 0; i < t->trials; i++) memcpy(t->hash[i], list[i].trial_hash, 65);
    sk_arena_free(&mem);
    sk_assert_ok(sk_file_read(t->c->db, 1 << 24, &t->before, &t->before_size, &err), &err);
}

static int setup(void **state)
{
    inject_case *t = sk_calloc(1, sizeof *t);
    tune_case_setup((void **)&t->c);
    char *path = sk_test_path(t->c->dir, "inject");
    const sk_inject none = {0};
    sk_err err = {0};
    sk_assert_ok(sk_file_write(path, &none, sizeof none, &err), &err);
    int fd = open(path, O_RDWR);
    t->shared = mmap(NULL, sizeof none, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(t->shared != MAP_FAILED);
    close(fd);
    setenv(SK_INJECT_VARIABLE, path, 1);
    sk_free(path);
    t->rng = sk_test_rng(5);
    make_before(t);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    inject_case *t = *state;
    unsetenv(SK_INJECT_VARIABLE);
    munmap(t->shared, sizeof *t->shared);
    tune_case_teardown((void **)&t->c);
    sk_free(t->before);
    sk_free(t->hash);
    sk_free(t);
    return 0;
}

/* ---- what must hold afterwards -------------------------------------------------- */

static void expect_kept(inject_case *t)
{
    sk_arena mem = {0};
    sk_db_trial *list;
    size_t n = tune_case_trials(t->c, &mem, &list);
    for (size_t i = 0; i < t->trials; i++) {
        bool found = false;
        for (size_t k = 0; k < n; k++) found = found || strcmp(t->hash[i], list[k].trial_hash) == 0;
        assert_true(found);
    }
    sk_arena_free(&mem);
}

/* Done, unverified, or a failed database; nothing else can come of a fault here.
 * What failed is said in one line; a run that came through says nothing. */
static void expect_end(inject_case *t, uint64_t at, int code)
{
    char *said = tune_case_read(t->c->err), *end = strchr(said, '\n');
    bool one = end && end[1] == '\0' && strncmp(said, "sphkv-tune: ", 12) == 0;
    if ((code != 0 && code != 1 && code != 4) || (code == 0 ? *said != '\0' : !one))
        fail_msg("fault %llu: exit code %d, said '%s'", (unsigned long long)at, code, said);
    sk_free(said);
}

static void expect_afterwards(inject_case *t, uint64_t at)
{
    tune_case_all_gone(t->c);
    tune_case_sound(t->c);
    expect_kept(t);
    int code = tune_case_run(t->c, TUNE_HOOKED, run_words);
    if (code != 0) print_error("after fault %llu:\n", (unsigned long long)at);
    tune_case_expect(t->c, code, 0);
    expect_kept(t);
}

/* Faults 1, 2, 3 ... until one is not reached; `share` of them by chance. */
static void fail_each(inject_case *t, const char *test, sk_inject_kind kind, uint32_t share)
{
    uint64_t done = 0, at = 1;
    for (;; at++) {
        int code;
        sk_inject_how how = sk_rng_below(&t->rng, 2) ? SK_INJECT_FULL : SK_INJECT_IOERR;
        if (!tried(t, test, at, share)) continue;
        put_before(t);
        if (!run_with(t, kind, at, how, &code)) {
            tune_case_expect(t->c, code, 0);
            break;
        }
        expect_end(t, at, code);
        expect_afterwards(t, at);
        done++;
    }
    print_message("%llu of about %llu faults tried\n", (unsigned long long)done,
                  (unsigned long long)at);
    assert_true(done > 3);
}

static void allocations(void **state)
{
    fail_each(*state, __func__, SK_INJECT_ALLOC, 12);
}

static void allocations_of_sqlite(void **state)
{
    fail_each(*state, __func__, SK_INJECT_SQL_ALLOC, 500);
}

static void writes(void **state)
{
    fail_each(*state, __func__, SK_INJECT_WRITE, 10);
}

/* The end of the process in the midst of a write, which is half done. */
static void killed_in_writes(void **state)
{
    inject_case *t = *state;
    for (uint64_t at = 1;; at++) {
        int code;
        if (!tried(t, __func__, at, 16)) continue;
        put_before(t);
        if (!run_with(t, SK_INJECT_WRITE, at, SK_INJECT_KILL, &code)) break;
        assert_int_equal(code, 1000 + SIGKILL);
        expect_afterwards(t, at);
    }
}

/* No database yet: the writes that make it. */
static void writes_of_creation(void **state)
{
    inject_case *t = *state;
    for (uint64_t at = 1; at <= 40; at++) {
        int code;
        bool killed = sk_rng_below(&t->rng, 2);
        if (!tried(t, __func__, at, 8)) continue;
        put_before(t);
        assert_int_equal(unlink(t->c->db), 0);
        assert_true(run_with(t, SK_INJECT_WRITE, at, killed ? SK_INJECT_KILL : SK_INJECT_FULL,
                             &code));
        if (killed)
            assert_int_equal(code, 1000 + SIGKILL);
        else
            expect_end(t, at, code);
        tune_case_all_gone(t->c);
        tune_case_sound(t->c);
        tune_case_expect(t->c, tune_case_run(t->c, TUNE_HOOKED, run_words), 0);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(allocations),      CASE(allocations_of_sqlite), CASE(writes),
        CASE(killed_in_writes), CASE(writes_of_creation),
    };
    const char *missing = tune_case_missing();
    if (missing) return sk_test_skip(missing);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
