/* test_tune_place.c - the programs in bad surroundings: no stdout, or one that
 * takes nothing; closed files; no home, no /tmp, one core, no huge pages; folders
 * that can only be read, disks that are full. Each ends with its documented code
 * and one line that says why, and nothing that was kept is lost. */
#define _GNU_SOURCE
#include "tune_case.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define BIN SK_BUILD_DIR "/bin/"
#define LOOP_PROGRAM BIN "decode_loop"

static const char *const tiny[] = {TUNE_TINY, NULL};
static const char *const tiny_again[] = {TUNE_TINY, "--fresh", NULL};

/* ---- surroundings: run in the child, before the program ---------------------------- */

static void close_stdout(void *user)
{
    (void)user;
    close(1);
}

static void close_all(void *user)
{
    (void)user;
    close(0);
    close(1);
    close(2);
}

static void full_stdout(void *user)
{
    (void)user;
    int fd = open("/dev/full", O_WRONLY);
    if (fd < 0 || dup2(fd, 1) < 0) _exit(97);
}

static void broken_pipe(void *user)
{
    int end[2];
    (void)user;
    if (pipe(end) != 0 || dup2(end[1], 1) < 0) _exit(97);
    close(end[0]);
    close(end[1]);
}

static void no_environment(void *user)
{
    (void)user;
    clearenv();
}

static void no_home(void *user)
{
    (void)user;
    unsetenv("SPHKV_DB");
    unsetenv("XDG_CACHE_HOME");
    setenv("HOME", "/dev/null/home", 1);
}

static void no_tmp(void *user)
{
    (void)user;
    setenv("TMPDIR", "/nonexistent", 1);
    setenv("SQLITE_TMPDIR", "/nonexistent", 1);
}

static void one_core(void *user)
{
    cpu_set_t all, one;
    size_t cpu = 0;
    (void)user;
    if (sched_getaffinity(0, sizeof all, &all) != 0) _exit(97);
    while (!CPU_ISSET(cpu, &all)) cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (sched_setaffinity(0, sizeof one, &one) != 0) _exit(97);
}

static void no_huge_pages(void *user)
{
    (void)user;
    if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0) _exit(97);
}

static void few_files(void *user)
{
    (void)user;
    for (int fd = 3; fd < 256; fd++) close(fd); /* what whoever started us left open */
    if (setrlimit(RLIMIT_NOFILE, &(struct rlimit){8, 8}) != 0) _exit(97);
}

/* A file may grow to *user bytes: what a full disk is, and can be looked at after. */
static void small_files(void *user)
{
    rlim_t most = *(rlim_t *)user;
    if (setrlimit(RLIMIT_FSIZE, &(struct rlimit){most, most}) != 0) _exit(97);
}

/* Permissions do not bind root. */
static void nobody(void *user)
{
    (void)user;
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) _exit(97);
}

/* A disk of 64 KiB over the case's folder, seen by this process only. */
static void full_disk(void *user)
{
    const tune_case *c = user;
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", c->dir, "tmpfs", 0, "size=64k") != 0)
        _exit(96);
}

/* ---- results that cannot be written -------------------------------------------------- */

static void results_that_go_nowhere(void **state)
{
    tune_case *c = *state;
    static void (*const place[])(void *) = {close_stdout, full_stdout, broken_pipe};
    static const struct {
        const char *program;
        const char *words[24];
    } job[] = {
        {TUNE_PROGRAM, {"--help"}}, {TUNE_PROGRAM, {TUNE_TINY}},
        {TUNE_PROGRAM, {TUNE_TINY, "--json"}}, {TUNE_PROGRAM, {TUNE_TINY, "--dry-run"}},
        {BENCH_PROGRAM, {"--help"}}, {DB_PROGRAM, {"--help"}},
        {DB_PROGRAM, {"ls"}}, {DB_PROGRAM, {"show", "kf16", "--json"}},
        {BIN "sphkv-gen", {"--help"}}, {BIN "sphkv-gen", {"--list"}},
        {LOOP_PROGRAM, {"--help"}},
    };
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, tiny), 0);
    for (size_t i = 0; i < SK_COUNT(job); i++)
        for (size_t k = 0; k < SK_COUNT(place); k++) {
            pid_t pid = tune_case_start_in(c, job[i].program, job[i].words,
                                           strcmp(job[i].program, BIN "sphkv-gen") != 0, place[k],
                                           NULL);
            tune_case_expect(c, tune_case_wait(pid), 1);
            tune_case_said(c, "cannot be written", false);
        }
    tune_case_sound(c);
}

/* With 0, 1 and 2 closed no file of the program's may get their numbers: results
 * would go into the database. */
static void closed_files(void **state)
{
    tune_case *c = *state;
    for (int again = 0; again < 2; again++) {
        pid_t pid = tune_case_start_in(c, TUNE_PROGRAM, tiny_again, true, close_all, NULL);
        assert_int_equal(tune_case_wait(pid), 1);
        tune_case_sound(c);
        tune_case_check_winners(c, 1);
    }
}

/* ---- what a run can do without ---------------------------------------------------------- */

static void poor_surroundings(void **state)
{
    tune_case *c = *state;
    static void (*const place[])(void *) = {no_environment, no_tmp, one_core, no_huge_pages};
    for (size_t i = 0; i < SK_COUNT(place); i++) {
        pid_t pid = tune_case_start_in(c, TUNE_PROGRAM, tiny_again, true, place[i], NULL);
        tune_case_expect(c, tune_case_wait(pid), 0);
        char *err = tune_case_read(c->err);
        assert_string_equal(err, "");
        sk_free(err);
        tune_case_check_winners(c, 1);
    }
}

/* Nowhere to keep results: they are shown, and one line says that they are lost. */
static void no_place_for_results(void **state)
{
    tune_case *c = *state;
    static void (*const place[])(void *) = {no_environment, no_home};
    for (size_t i = 0; i < SK_COUNT(place); i++) {
        pid_t pid = tune_case_start_in(c, TUNE_PROGRAM, tiny, false, place[i], NULL);
        tune_case_expect(c, tune_case_wait(pid), 0);
        tune_case_said(c, "results are not kept", true);
        char *out = tune_case_read(c->out);
        assert_non_null(strstr(out, "kv_append kf16:vf16"));
        sk_free(out);
    }
}

static void too_few_files(void **state)
{
    tune_case *c = *state;
    pid_t pid = tune_case_start_in(c, TUNE_PROGRAM, tiny, true, few_files, NULL);
    tune_case_expect(c, tune_case_wait(pid), 3);
    tune_case_said(c, "Too many open files", true);
    tune_case_sound(c);
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, tiny), 0);
}

/* ---- folders and disks ---------------------------------------------------------------- */

static void read_only_folder(void **state)
{
    tune_case *c = *state;
    tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, tiny), 0);
    assert_int_equal(chmod(c->dir, 0555), 0);
    assert_int_equal(chmod(c->db, 0444), 0);
    pid_t pid = tune_case_start_in(c, TUNE_PROGRAM, tiny_again, true, nobody, NULL);
    int code = tune_case_wait(pid);
    if (code == 98) skip(); /* the programs lie where nobody else may look */
    tune_case_expect(c, code, 4);
    tune_case_said(c, "cannot write in its folder", true);
    /* Not named, but by the variable: a place that is no place. */
    setenv("SPHKV_DB", c->db, 1);
    pid = tune_case_start_in(c, TUNE_PROGRAM, tiny, false, nobody, NULL);
    tune_case_expect(c, tune_case_wait(pid), 0);
    tune_case_said(c, "results are not kept", true);
    unsetenv("SPHKV_DB");
    static const char *const ls[] = {"ls", NULL};
    pid = tune_case_start_in(c, DB_PROGRAM, ls, true, nobody, NULL);
    tune_case_expect(c, tune_case_wait(pid), 0); /* to read it is enough */
    assert_int_equal(chmod(c->dir, 0755), 0);
    tune_case_check_winners(c, 1);
}

/* The disk is full, at any moment of the life of a database. */
static void files_that_cannot_grow(void **state)
{
    tune_case *c = *state;
    sk_rng rng = sk_test_rng(3);
    for (int i = 0; i < 12; i++) {
        rlim_t most = 2000 + sk_rng_below(&rng, 100000); /* its words are a file too */
        if (i % 3 == 0) (void)unlink(c->db); /* from nothing; else on what there is */
        pid_t pid = tune_case_start_in(c, TUNE_PROGRAM, tiny_again, true, small_files, &most);
        int code = tune_case_wait(pid);
        if (code != 0) {
            tune_case_expect(c, code, 4);
            tune_case_said(c, c->db, true);
        }
        tune_case_sound(c);
        tune_case_expect(c, tune_case_run(c, TUNE_PROGRAM, tiny), 0);
        tune_case_check_winners(c, 1);
    }
    /* A file of sphkv-gen in place of one that was there. */
    rlim_t little = 2000;
    static const char *words[] = {"--kernel", "kv_append", "--tiers", "kf16:vf16", "--out", NULL, NULL};
    words[5] = c->db;
    pid_t pid = tune_case_start_in(c, BIN "sphkv-gen", words, false, small_files, &little);
    tune_case_expect(c, tune_case_wait(pid), 1);
    tune_case_said(c, "File too large", false);
    tune_case_sound(c);
    tune_case_check_winners(c, 1);
}

static void full_file_system(void **state)
{
    tune_case *c = *state;
    pid_t pid = tune_case_start_in(c, TUNE_PROGRAM, tiny, true, full_disk, c);
    int code = tune_case_wait(pid);
    if (code == 96) {
        print_message("skipped: this process may not mount\n");
        skip();
    }
    tune_case_expect(c, code, 4);
    tune_case_said(c, "full", true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TUNE_CASE(results_that_go_nowhere), TUNE_CASE(closed_files),
        TUNE_CASE(poor_surroundings),       TUNE_CASE(no_place_for_results),
        TUNE_CASE(too_few_files),           TUNE_CASE(read_only_folder),
        TUNE_CASE(files_that_cannot_grow),  TUNE_CASE(full_file_system),
    };
    const char *missing = tune_case_missing();
    if (missing) return sk_test_skip(missing);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
