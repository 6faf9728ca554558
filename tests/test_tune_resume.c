/* test_tune_resume.c - what happens to a run does not happen to its results: they
 * survive SIGKILL, SIGINT and SIGTERM, a second run goes on, two tuners share one
 * database, and no process is left. */
#include "tune_case.h"

/* Killed half way: what was finished is there and is not done again. */
static void killed(void **state)
{
    tune_case *c = *state;
    static const char *const words[] = {"--kernels", "attn_decode", "--quiet", "--effort", "quick",
                                        "--trials", "8", TUNE_SMALL, NULL};
    pid_t pid = tune_case_start(c, TUNE_PROGRAM, words);
    size_t done = 0;
    for (int i = 0; i < 3000 && done < 3; i++) {
        int status;
        usleep(20000);
        if (waitpid(pid, &status, WNOHANG) == pid) fail_msg("ended with status %d", status);
        (void)tune_case_count(c, SK_OUTCOME_OK, &done);
    }
    assert_true(done >= 3);
    assert_true(tune_case_processes(c) >= 1);
    kill(pid, SIGKILL);
    assert_int_equal(tune_case_wait(pid), 1000 + SIGKILL);
    tune_case_all_gone(c);
    sk_arena mem = {0};
    sk_db_trial *kept, *list;
    size_t n = tune_case_trials(c, &mem, &kept);
    assert_true(n >= done && n <= 8);
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, words), 0);
    size_t all = tune_case_trials(c, &mem, &list);
    assert_int_equal(all, 8); /* none lost, none repeated under another key */
    for (size_t i = 0; i < n; i++) {
        bool same = false;
        for (size_t k = 0; k < all; k++)
            if (strcmp(kept[i].trial_hash, list[k].trial_hash) == 0)
                same = kept[i].seconds == list[k].seconds; /* tried once, by the first run */
        assert_true(same);
    }
    sk_arena_free(&mem);
    tune_case_check_winners(c, 1);
    tune_case_all_gone(c);
}

static void interrupted(void **state)
{
    tune_case *c = *state;
    static const char *const words[] = {"--kernels", "attn_decode", "--quiet", TUNE_SMALL, NULL};
    static const int signals[] = {SIGINT, SIGTERM};
    for (size_t i = 0; i < SK_COUNT(signals); i++) {
        size_t done = 0, now;
        (void)tune_case_count(c, SK_OUTCOME_OK, &done);
        pid_t pid = tune_case_start(c, TUNE_PROGRAM, words);
        for (int k = 0; k < 3000; k++) {
            usleep(20000);
            (void)tune_case_count(c, SK_OUTCOME_OK, &now);
            if (now > done) break;
        }
        kill(pid, signals[i]);
        tune_case_expect(c, tune_case_wait(pid), 130);
        tune_case_all_gone(c);
        (void)tune_case_count(c, SK_OUTCOME_OK, &now);
        assert_true(now > done);
        char *out = tune_case_read(c->out);
        assert_string_equal(out, "");
        sk_free(out);
    }
}

/* Two at once on one database: both end well, and no trial stands there twice. */
static void two_tuners(void **state)
{
    tune_case *c = *state;
    static const char *const words[] = {TUNE_ENCODE, NULL};
    tune_case other = *c;
    other.out = sk_test_path(c->dir, "out2");
    other.err = sk_test_path(c->dir, "err2");
    pid_t a = tune_case_start(c, TUNE_PROGRAM, words);
    pid_t b = tune_case_start(&other, TUNE_PROGRAM, words);
    int first = tune_case_wait(a), second = tune_case_wait(b);
    tune_case_expect(c, first, 0);
    tune_case_expect(&other, second, 0);
    size_t all, right = tune_case_count(c, SK_OUTCOME_OK, &all);
    assert_true(all >= 1);
    assert_int_equal(right, all);
    tune_case_check_winners(c, 1);
    tune_case_all_gone(c);
    tune_case_tidy(c);
    sk_free(other.out);
    sk_free(other.err);
}

/* A worker of the process `parent`, or 0. */
static pid_t worker_of(pid_t parent)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    pid_t found = 0;
    assert_non_null(proc);
    while (!found && (entry = readdir(proc))) {
        char path[300], name[32] = "";
        int of = 0;
        if (!isdigit((unsigned char)entry->d_name[0])) continue;
        snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
        FILE *f = fopen(path, "r");
        if (!f) continue;
        if (fscanf(f, "%*d (%31[^)]) %*c %d", name, &of) == 2 && of == parent &&
            strcmp(name, "sphkv-worker") == 0)
            found = (pid_t)atoi(entry->d_name);
        fclose(f);
    }
    closedir(proc);
    return found;
}

/* Somebody kills workers at moments by chance: the run goes on and ends well, and what a
 * kill cost is tried again by the next run. */
static void workers_killed(void **state)
{
    tune_case *c = *state;
    static const char *const words[] = {"--kernels", "kv_encode,attn_decode", "--quiet", "--effort",
                                        "quick", "--trials", "4", TUNE_SMALL, NULL};
    sk_rng rng = sk_test_rng(29);
    uint32_t kills = 0;
    int status = 0;
    const pid_t pid = tune_case_start(c, TUNE_PROGRAM, words);
    while (waitpid(pid, &status, WNOHANG) == 0) {
        usleep(20000 + sk_rng_below(&rng, 300000));
        const pid_t worker = kills < 6 ? worker_of(pid) : 0;
        if (worker) kills += kill(worker, SIGKILL) == 0;
    }
    assert_true(kills > 0 && WIFEXITED(status));
    /* 1: the default schedule was killed twice, so there is nothing to compare with. */
    if (WEXITSTATUS(status) != 1) tune_case_expect(c, WEXITSTATUS(status), 0);
    tune_case_all_gone(c);
    tune_case_sound(c);
    tune_case_tidy(c);
    size_t all, right = tune_case_count(c, SK_OUTCOME_OK, &all);
    assert_int_equal(right + tune_case_count(c, SK_OUTCOME_OOM, NULL), all);
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, words), 0);
    right = tune_case_count(c, SK_OUTCOME_OK, &all);
    assert_int_equal(right, all);
    tune_case_check_winners(c, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TUNE_CASE(killed),
        TUNE_CASE(interrupted),
        TUNE_CASE(two_tuners),
        TUNE_CASE(workers_killed),
    };
    const char *missing = tune_case_missing();
    if (missing) return sk_test_skip(missing);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
