/* test_tune_twins.c - candidates of which the compiler makes equal code are one trial: the
 * second is not run, its record has the times of the first and says whose they are, it does
 * not win, and a second run leaves it alone. (Equal IR never gets that far: test_tune_space.c.)
 * With the hooked program of tuner/fault.h. */
#include "tune_case.h"

#define TWIN 3 /* number of the trial that gets the default's code */

/* The trial of that number, in the order in which they were tried. */
static void expect_twin(const tune_case *c, size_t all)
{
    sk_arena mem = {0};
    sk_db_trial *list;
    char says[400];
    assert_int_equal(tune_case_trials(c, &mem, &list), all);
    for (size_t i = 0; i < all; i++) {
        const sk_db_trial *t = &list[i];
        const bool same = t->sample_count == t->baseline_count &&
                          memcmp(t->samples, t->baseline, t->sample_count * sizeof *t->samples) == 0;
        assert_int_equal(t->outcome, SK_OUTCOME_OK);
        assert_true(t->sample_count > 0);
        assert_int_equal(same, i == 0 || i == TWIN - 1); /* the default's are its own baseline */
        snprintf(says, sizeof says, "its code is that of %s", list[0].key.schedule);
        assert_int_equal(strcmp(t->message, says) == 0, i == TWIN - 1);
    }
    assert_string_not_equal(list[TWIN - 1].key.schedule, list[0].key.schedule);
    sk_arena_free(&mem);
}

static void equal_code_is_one_trial(void **state)
{
    tune_case *c = *state;
    static const char *const words[] = {"--kernels", "kv_encode", "--quiet", "--effort", "quick",
                                        "--trials", "4", TUNE_SMALL, NULL};
    setenv("SPHKV_FAULT", "twin:3", 1);
    const int code = tune_case_run(c, TUNE_HOOKED, words);
    tune_case_expect(c, code, 0);
    expect_twin(c, 4);
    tune_case_check_winners(c, 1);
    tune_case_expect(c, tune_case_run(c, TUNE_HOOKED, words), 0);
    unsetenv("SPHKV_FAULT");
    expect_twin(c, 4);
    tune_case_all_gone(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TUNE_CASE(equal_code_is_one_trial)};
    const char *missing = tune_case_missing();
    if (missing) return sk_test_skip(missing);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
