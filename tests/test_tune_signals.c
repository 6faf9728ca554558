/* test_tune_signals.c - SIGINT, SIGTERM, SIGHUP and SIGKILL at moments by chance in
 * the life of a run, the first ones while it starts: it ends as documented, leaves
 * no process and a sound database with all that was in it, and a run after all of
 * them ends well. (What such a run finds again: test_tune_resume.c.) */
#include "tune_case.h"

/* Trials of the case, by their hashes; free with sk_free. */
static char (*hashes(const tune_case *c, size_t *n))[65]
{
    sk_arena mem = {0};
    sk_db_trial *list;
    *n = tune_case_trials(c, &mem, &list);
    char(*hash)[65] = sk_calloc(*n + 1, sizeof *hash);
    for (size_t i = 0; i < *n; i++) memcpy(hash[i], list[i].trial_hash, 65);
    sk_arena_free(&mem);
    return hash;
}

static void expect_all_kept(char (*before)[65], size_t n, char (*now)[65], size_t m)
{
    for (size_t i = 0; i < n; i++) {
        bool found = false;
        for (size_t k = 0; k < m; k++) found = found || strcmp(before[i], now[k]) == 0;
        assert_true(found);
    }
}

/* The end of a run that was sent `number`: interrupted, or done before it came; or
 * ended by it before the program could do anything at all. */
static void expect_stopped(const tune_case *c, int number, int code)
{
    char *err = tune_case_read(c->err), *out = tune_case_read(c->out);
    if (code == 130)
        tune_case_said(c, "interrupted", true);
    else if (code == 1000 + number)
        assert_true(number == SIGKILL || (*err == '\0' && *out == '\0'));
    else
        tune_case_expect(c, code, 0);
    if (code != 0) assert_string_equal(out, "");
    sk_free(err);
    sk_free(out);
}

static void signals_at_any_moment(void **state)
{
    tune_case *c = *state;
    static const char *const words[] = {"--kernels", "kv_append,kv_encode,attn_decode", "--quiet",
                                        "--effort", "quick", "--trials", "3", TUNE_SMALL, NULL};
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGKILL};
    sk_rng rng = sk_test_rng(17);
    size_t n = 0, m;
    char(*before)[65] = hashes(c, &n), (*now)[65];
    const int moments = (int)sk_test_cases(12);
    for (int i = 0; i < moments; i++) {
        int number = numbers[i % (int)SK_COUNT(numbers)];
        pid_t pid = tune_case_start(c, TUNE_PROGRAM, words);
        usleep(sk_rng_below(&rng, i < 4 ? 20000 : 700000));
        kill(pid, number);
        int code = tune_case_wait(pid);
        expect_stopped(c, number, code);
        tune_case_all_gone(c);
        if (access(c->db, F_OK) == 0) tune_case_sound(c);
        now = hashes(c, &m);
        expect_all_kept(before, n, now, m);
        sk_free(before);
        before = now, n = m;
    }
    sk_free(before);
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, words), 0);
    assert_int_equal(tune_case_count(c, SK_OUTCOME_OK, &m), 9); /* three each: none lost, none twice */
    assert_int_equal(m, 9);
    tune_case_check_winners(c, 3);
    tune_case_tidy(c);
}

static void bench_at_any_moment(void **state)
{
    tune_case *c = *state;
    static const char *const words[] = {"--quiet", "--effort", "quick", TUNE_SMALL, NULL};
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    sk_rng rng = sk_test_rng(23);
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, (const char *const[]){TUNE_TINY, NULL}), 0);
    for (size_t i = 0; i < 2 * SK_COUNT(numbers); i++) {
        int number = numbers[i % SK_COUNT(numbers)];
        pid_t pid = tune_case_start(c, BENCH_PROGRAM, words);
        usleep(sk_rng_below(&rng, i < 2 ? 20000 : 800000));
        kill(pid, number);
        expect_stopped(c, number, tune_case_wait(pid));
        tune_case_all_gone(c);
        tune_case_sound(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {TUNE_CASE(signals_at_any_moment),
                                       TUNE_CASE(bench_at_any_moment)};
    const char *missing = tune_case_missing();
    if (missing) return sk_test_skip(missing);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
