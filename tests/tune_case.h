/* tune_case.h - running sphkv-tune and sphkv-bench as programs, for the tests of
 * the tuner. Static inline: included by the test_tune_ programs only. */
#ifndef TUNE_CASE_H
#define TUNE_CASE_H

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "db_impl.h"
#include "sk_test.h"

#define TUNE_PROGRAM SK_BUILD_DIR "/bin/sphkv-tune"
#define TUNE_HOOKED SK_BUILD_DIR "/hooked/bin/sphkv-tune" /* faults on demand */
#define BENCH_PROGRAM SK_BUILD_DIR "/bin/sphkv-bench"
#define DB_PROGRAM SK_BUILD_DIR "/bin/sphkv-db"
#define TUNE_ARGS 40

/* A small attention: 2 query heads on one KV head of 64 dimensions. */
#define TUNE_SMALL "--head-dim", "64", "--heads", "2", "--kv-heads", "1", "--context", "512"

/* A few small kernels that compile fast. */
#define TUNE_ENCODE "--kernels", "kv_encode", "--quiet", "--effort", "quick", TUNE_ALL, TUNE_SMALL
/* All there are, however slow the machine: without a number, an effort has a time. */
#define TUNE_ALL "--trials", "1000"

/* One trial of the smallest kernel. */
#define TUNE_TINY "--kernels", "kv_append", "--quiet", "--effort", "quick", "--trials", "1", \
    "--head-dim", "16", "--heads", "1", "--kv-heads", "1", "--page", "16", "--context", "16", \
    "--tiers", "kf16:vf16"

#define TUNE_CASE(name) \
    cmocka_unit_test_setup_teardown(name, tune_case_setup, tune_case_teardown)

/* A folder, a database in it, and where a program's words go. */
typedef struct tune_case {
    char *dir, *db, *out, *err; /* the folder's name is unique: also the tag of processes */
} tune_case;

static inline int tune_case_setup(void **state)
{
    tune_case *c = sk_calloc(1, sizeof *c);
    assert_non_null(c);
    c->dir = sk_test_dir();
    c->db = sk_test_path(c->dir, "kernels.db");
    c->out = sk_test_path(c->dir, "out");
    c->err = sk_test_path(c->dir, "err");
    *state = c;
    return 0;
}

static inline int tune_case_teardown(void **state)
{
    tune_case *c = *state;
    sk_test_dir_remove(c->dir);
    sk_free(c->db);
    sk_free(c->out);
    sk_free(c->err);
    sk_free(c);
    return 0;
}

/* Starts a program with the given words (NULL-ended), and --db behind them when
 * with_db. prepare, when there is one, runs before the program and in its process,
 * with stdout and stderr in place. */
static inline pid_t tune_case_start_in(const tune_case *c, const char *program,
                                       const char *const *words, bool with_db,
                                       void (*prepare)(void *), void *user)
{
    char *argv[TUNE_ARGS] = {(char *)(uintptr_t)program};
    int n = 1;
    for (; words[n - 1] && n < TUNE_ARGS - 4; n++) argv[n] = (char *)(uintptr_t)words[n - 1];
    if (with_db) {
        argv[n++] = (char *)(uintptr_t) "--db";
        argv[n++] = c->db;
    }
    argv[n] = NULL;
    fflush(NULL);
    /* here: a child that is killed at once has said nothing */
    int out = open(c->out, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    int err = open(c->err, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    pid_t pid = fork();
    if (pid != 0) {
        close(out);
        close(err);
        return pid;
    }
    if (dup2(out, 1) < 0 || dup2(err, 2) < 0) _exit(99);
    close(out);
    close(err);
    if (prepare) prepare(user);
    execv(program, argv);
    _exit(98);
}

static inline pid_t tune_case_start(const tune_case *c, const char *program,
                                    const char *const *words)
{
    return tune_case_start_in(c, program, words, true, NULL, NULL);
}

/* The exit code, or 1000 + the signal. */
static inline int tune_case_wait(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

static inline int tune_case_run(const tune_case *c, const char *program, const char *const *words)
{
    return tune_case_wait(tune_case_start(c, program, words));
}

/* What the program wrote; free with sk_free. */
static inline char *tune_case_read(const char *path)
{
    char *text = NULL;
    size_t bytes;
    sk_err err = {0};
    sk_assert_ok(sk_file_read(path, 16u << 20, &text, &bytes, &err), &err);
    return text;
}

/* Expects an exit code; shows what was said when it is another. */
static inline void tune_case_expect(const tune_case *c, int got, int want)
{
    if (got == want) return;
    char *said = tune_case_read(c->err);
    fail_msg("exit code %d, not %d: %s", got, want, said);
}

/* The last line, or one_line: the only one, of what a program said holds `says`,
 * and there are no control characters in it. */
static inline void tune_case_said(const tune_case *c, const char *says, bool one_line)
{
    char *err = tune_case_read(c->err);
    size_t line = 0, n = strlen(err);
    assert_true(n > 1 && err[n - 1] == '\n');
    for (size_t i = 0; i + 1 < n; i++)
        if (err[i] == '\n') line = i + 1;
    if (!strstr(err + line, says) || (one_line && line))
        fail_msg("'%s' is not the last%s line of: %s", says, one_line ? " and only" : "", err);
    assert_null(strchr(err, '\033'));
    sk_free(err);
}

/* The database is sound, to its last page. */
static inline void tune_case_sound(const tune_case *c)
{
    sqlite3 *raw;
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_open(c->db, &raw), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(raw, "PRAGMA integrity_check", -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(stmt, 0), "ok");
    sqlite3_finalize(stmt);
    sqlite3_close(raw);
}

/* Processes whose command line names this case's folder, the caller's own and
 * zombies left out. */
static inline int tune_case_processes(const tune_case *c)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    int n = 0;
    assert_non_null(proc);
    while ((entry = readdir(proc))) {
        char path[300], line[4096];
        if (!isdigit((unsigned char)entry->d_name[0]) || atoi(entry->d_name) == getpid()) continue;
        snprintf(path, sizeof path, "/proc/%s/cmdline", entry->d_name);
        int fd = open(path, O_RDONLY);
        ssize_t bytes = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
        if (fd >= 0) close(fd);
        for (ssize_t i = 0; i < bytes; i++)
            if (line[i] == '\0') line[i] = ' ';
        line[bytes > 0 ? bytes : 0] = '\0';
        n += strstr(line, c->dir) != NULL;
    }
    closedir(proc);
    return n;
}

/* Killed processes need a moment to go; a worker that stays is a failure. */
static inline void tune_case_all_gone(const tune_case *c)
{
    for (int i = 0; i < 250 && tune_case_processes(c) > 0; i++) usleep(20000);
    assert_int_equal(tune_case_processes(c), 0);
}

/* Nothing of a run that ended lies about: its folder holds the database and what this
 * test put there (out and err). */
static inline void tune_case_tidy(const tune_case *c)
{
    DIR *dir = opendir(c->dir);
    struct dirent *entry;
    assert_non_null(dir);
    while ((entry = readdir(dir)))
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, "kernels.db") != 0 &&
            strncmp(entry->d_name, "out", 3) != 0 && strncmp(entry->d_name, "err", 3) != 0)
            fail_msg("left behind: %s", entry->d_name);
    closedir(dir);
}

/* All trials of the database, by row. */
static inline size_t tune_case_trials(const tune_case *c, sk_arena *mem, sk_db_trial **list)
{
    sk_db *db;
    size_t n = 0;
    sk_err err = {0};
    const sk_db_filter all = {0};
    *list = NULL;
    if (sk_db_open(c->db, SK_DB_READ_ONLY, &db, &err) != SPHKV_OK) return 0;
    sk_assert_ok(sk_db_trials(db, &all, mem, list, &n, &err), &err);
    sk_db_close(db);
    return n;
}

static inline size_t tune_case_winners(const tune_case *c, sk_arena *mem, sk_db_winner **list)
{
    sk_db *db;
    size_t n = 0;
    sk_err err = {0};
    const sk_db_filter all = {0};
    sk_assert_ok(sk_db_open(c->db, SK_DB_READ_ONLY, &db, &err), &err);
    sk_assert_ok(sk_db_winners(db, &all, mem, list, &n, &err), &err);
    sk_db_close(db);
    return n;
}

/* Every key once; how many are of that outcome. */
static inline size_t tune_case_count(const tune_case *c, sk_db_outcome outcome, size_t *all)
{
    sk_arena mem = {0};
    sk_db_trial *list;
    size_t n = tune_case_trials(c, &mem, &list), hits = 0;
    for (size_t i = 0; i < n; i++) {
        hits += list[i].outcome == outcome;
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(list[i].trial_hash, list[k].trial_hash);
    }
    if (all) *all = n;
    sk_arena_free(&mem);
    return hits;
}

/* What must hold of every winner: its trial is right, its code is stored, it is
 * not slower than the default. */
static inline void tune_case_check_winners(const tune_case *c, size_t want)
{
    sk_arena mem = {0};
    sk_db_winner *list;
    size_t n = tune_case_winners(c, &mem, &list);
    assert_int_equal(n, want);
    for (size_t i = 0; i < n; i++) {
        const sk_db_winner *w = &list[i];
        assert_string_equal(w->state, "ready");
        assert_int_equal(w->trial.outcome, SK_OUTCOME_OK);
        assert_true(w->trial.artifact_key[0] != '\0');
        assert_true(w->trial.sample_count >= 30);
        assert_true(w->speedup >= 1 && w->speedup_lo <= w->speedup && w->speedup <= w->speedup_hi);
        if (w->trial_id == w->default_trial_id)
            assert_true(w->speedup == 1);
        else
            assert_true(w->speedup_lo > 1);
        assert_true(w->roofline > 0 && w->trial.bytes > 0);
    }
    sk_arena_free(&mem);
}

/* The programs and the compiler module must be there. NULL, or why not. */
static inline const char *tune_case_missing(void)
{
    if (access(TUNE_PROGRAM, X_OK) != 0 || access(BENCH_PROGRAM, X_OK) != 0)
        return "sphkv-tune and sphkv-bench are not built";
    if (access(SK_BUILD_DIR "/lib/sphkv_llvm.so", R_OK) != 0) return "there is no compiler module";
    return NULL;
}

#endif
