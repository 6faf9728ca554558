/* test_tune_faults.c - candidates that hang, crash, abort in the compiler, write
 * out of bounds, take all memory or are wrong: each is recorded as what it is, costs only itself,
 * and is not tried again. With the hooked program of tuner/fault.h. */
#include <time.h>

#include "tune_case.h"

/* Trials 2 to 7 of kv_encode each suffer something else. */
static void faults(void **state)
{
    tune_case *c = *state;
    static const char *const words[] = {TUNE_ENCODE, "--trials", "7", NULL};
    static const sk_db_outcome want[] = {SK_OUTCOME_OK,    SK_OUTCOME_WRONG,
                                         SK_OUTCOME_CRASH, SK_OUTCOME_ILLEGAL,
                                         SK_OUTCOME_HANG,  SK_OUTCOME_COMPILE_ERROR,
                                         SK_OUTCOME_OOM};
    setenv("SPHKV_FAULT", "wrong:2,crash:3,oob:4,hang:5,abort:6,hog:7", 1);
    setenv("SPHKV_LIMIT", "8", 1);
    int code = tune_case_run(c, TUNE_HOOKED, words);
    unsetenv("SPHKV_FAULT");
    tune_case_expect(c, code, 0); /* the default is verified, so there is a winner */
    sk_arena mem = {0};
    sk_db_trial *list;
    assert_int_equal(tune_case_trials(c, &mem, &list), SK_COUNT(want));
    for (size_t i = 0; i < SK_COUNT(want); i++)
        if (list[i].outcome != want[i])
            fail_msg("trial %zu: %s (%s), not %s", i + 1, sk_db_outcome_text(list[i].outcome),
                     list[i].message, sk_db_outcome_text(want[i]));
    sk_arena_free(&mem);
    tune_case_check_winners(c, 1);
    tune_case_tidy(c);
    /* Once more without faults: a failure is remembered, not repeated; but for the one
     * that had no memory, which says nothing of the candidate. */
    size_t all;
    tune_case_expect(c, tune_case_run(c, TUNE_HOOKED, words), 0);
    assert_int_equal(tune_case_count(c, SK_OUTCOME_OK, &all), 2);
    assert_int_equal(all, SK_COUNT(want));
    unsetenv("SPHKV_LIMIT");
    tune_case_all_gone(c);
}

/* Faults of attention: its outputs are judged in another way. */
static void attention_faults(void **state)
{
    tune_case *c = *state;
    static const char *const words[] = {"--kernels", "attn_decode", "--quiet", "--effort", "quick",
                                        "--trials", "4", TUNE_SMALL, NULL};
    setenv("SPHKV_FAULT", "wrong:2,oob:3,illegal:4", 1);
    int code = tune_case_run(c, TUNE_HOOKED, words);
    unsetenv("SPHKV_FAULT");
    tune_case_expect(c, code, 0);
    assert_int_equal(tune_case_count(c, SK_OUTCOME_WRONG, NULL), 1);
    assert_int_equal(tune_case_count(c, SK_OUTCOME_ILLEGAL, NULL), 2);
    tune_case_check_winners(c, 1);
}

/* A wrong default: there is nothing to compare with, and the command says so. */
static void wrong_default(void **state)
{
    tune_case *c = *state;
    static const char *const words[] = {TUNE_ENCODE, "--json", NULL};
    setenv("SPHKV_FAULT", "wrong:1", 1);
    int code = tune_case_run(c, TUNE_HOOKED, words);
    unsetenv("SPHKV_FAULT");
    tune_case_expect(c, code, 1);
    char *out = tune_case_read(c->out);
    assert_non_null(strstr(out, "\"verified\":false"));
    assert_non_null(strstr(out, "the default schedule: wrong"));
    sk_free(out);
}

/* The wall clock jumps by years between any two looks at it: no limit, no budget and no
 * time of a kernel is taken from it. */
static void clock_jumps(void **state)
{
    tune_case *c = *state;
    static const char *const words[] = {TUNE_ENCODE, "--trials", "3", "--time", "60s", NULL};
    setenv("SPHKV_CLOCK", "jumps", 1);
    const int code = tune_case_run(c, TUNE_HOOKED, words);
    unsetenv("SPHKV_CLOCK");
    tune_case_expect(c, code, 0);
    sk_arena mem = {0};
    sk_db_trial *list;
    const size_t n = tune_case_trials(c, &mem, &list);
    assert_int_equal(n, 3);
    bool jumped = false;
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(list[i].outcome, SK_OUTCOME_OK);
        assert_true(list[i].seconds > 0 && list[i].seconds < 600);
        jumped |= llabs(list[i].unix_time - (int64_t)time(NULL)) > 86400;
    }
    assert_true(jumped); /* the clock did what this test is about */
    sk_arena_free(&mem);
    tune_case_check_winners(c, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TUNE_CASE(faults),
        TUNE_CASE(attention_faults),
        TUNE_CASE(wrong_default),
        TUNE_CASE(clock_jumps),
    };
    const char *missing = tune_case_missing();
    if (missing) return sk_test_skip(missing);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
