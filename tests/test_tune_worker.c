/* test_tune_worker.c - workers that do everything wrong: each fate is told
 * apart, the next request gets a fresh worker, inputs stay the parent's, and no
 * worker outlives its parent. */
#define _GNU_SOURCE
#include "sk_test.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker.h"

enum { FINE, HANG, SEGV, ILL, ABORT_COMPILE, LEAVE, OOM, SLOW, TALK, CLOSE_ALL };

typedef struct desk_user {
    uint32_t *shared; /* what workers answer */
    uint32_t own;     /* private to each worker */
} desk_user;

static void serve(void *user, sk_desk *desk, const uint32_t *request)
{
    desk_user *u = user;
    sk_desk_enter(desk, SK_PHASE_CHECK, request[1]);
    u->own++;
    switch (request[0]) {
    case FINE: break;
    case HANG:
        for (;;) pause();
    case SEGV:
        signal(SIGSEGV, SIG_DFL);
        raise(SIGSEGV);
        break;
    case ILL:
        signal(SIGILL, SIG_DFL);
        raise(SIGILL);
        break;
    case ABORT_COMPILE:
        sk_desk_enter(desk, SK_PHASE_COMPILE, request[1]);
        fputs("\nLLVM ERROR: cannot select: v16f32\nand more\n", stderr);
        fflush(stderr);
        abort();
    case LEAVE: _exit(9);
    case OOM: kill(getpid(), SIGKILL); break;
    case SLOW: /* longer than the limit in all, but every stretch is short */
        for (int i = 0; i < 6; i++) {
            usleep(150000);
            sk_desk_enter(desk, SK_PHASE_MEASURE, request[1]);
        }
        break;
    case TALK: /* more than a pipe holds: the parent has to listen */
        for (int i = 0; i < 20000; i++) fputs("a line of complaint\n", stderr);
        break;
    case CLOSE_ALL: /* what a wild kernel may do to its files */
        for (int fd = 3; fd < 256; fd++) close(fd);
        break;
    default: break;
    }
    u->shared[0] = request[1];
    u->shared[1] = u->own;
}

typedef struct bench {
    desk_user user;
    sk_worker worker;
    sk_limits limits;
} bench;

static int set_up(void **state)
{
    static bench b;
    sk_err err;
    memset(&b, 0, sizeof b);
    b.user.shared = sk_shared_alloc(4096);
    assert_non_null(b.user.shared);
    b.limits = sk_limits_default();
    for (int i = 0; i < SK_PHASE_COUNT; i++) b.limits.seconds[i] = 0.6;
    sk_assert_ok(sk_worker_init(&b.worker, serve, &b.user, &b.limits, &err), &err);
    *state = &b;
    return 0;
}

static int tear_down(void **state)
{
    bench *b = *state;
    sk_worker_free(&b->worker);
    sk_shared_free(b->user.shared, 4096);
    return 0;
}

static sk_report ask(bench *b, uint32_t what, uint32_t subject)
{
    const uint32_t request[SK_REQUEST_WORDS] = {what, subject};
    sk_report report;
    sk_worker_ask(&b->worker, request, NULL, NULL, &report);
    return report;
}

static void fates(void **state)
{
    bench *b = *state;
    static const struct {
        uint32_t what;
        sk_fate fate;
        int code;
        sk_db_outcome outcome;
        const char *says;
    } cases[] = {
        {HANG, SK_FATE_HANG, 0, SK_OUTCOME_HANG, "limit of 0.6 s in check"},
        {SEGV, SK_FATE_SIGNAL, SIGSEGV, SK_OUTCOME_CRASH, "in check"},
        {ILL, SK_FATE_SIGNAL, SIGILL, SK_OUTCOME_ILLEGAL, "in check"},
        {ABORT_COMPILE, SK_FATE_SIGNAL, SIGABRT, SK_OUTCOME_COMPILE_ERROR, "cannot select: v16f32"},
        {LEAVE, SK_FATE_EXIT, 9, SK_OUTCOME_CRASH, "exit 9 in check"},
        {OOM, SK_FATE_SIGNAL, SIGKILL, SK_OUTCOME_OOM, "in check"},
    };
    for (uint32_t i = 0; i < SK_COUNT(cases); i++) {
        char message[400] = "";
        sk_report r = ask(b, cases[i].what, 100 + i);
        assert_int_equal(r.fate, cases[i].fate);
        if (cases[i].fate != SK_FATE_HANG) assert_int_equal(r.code, cases[i].code);
        assert_int_equal(r.subject, 100 + i);
        assert_int_equal(sk_report_outcome(&r, &b->limits, message, sizeof message),
                         cases[i].outcome);
        if (!strstr(message, cases[i].says)) fail_msg("%s, not %s", message, cases[i].says);
        assert_int_equal(b->worker.pid, 0);
        r = ask(b, FINE, 7 + i); /* the next one is served by a fresh worker */
        assert_int_equal(r.fate, SK_FATE_DONE);
        assert_int_equal(b->user.shared[0], 7 + i);
        assert_int_equal(b->user.shared[1], 1);
    }
    assert_int_equal(b->worker.started, 2 + SK_COUNT(cases) - 1); /* a served one is used again */
}

static void same_worker_goes_on(void **state)
{
    bench *b = *state;
    for (uint32_t i = 1; i <= 5; i++) {
        assert_int_equal(ask(b, FINE, i).fate, SK_FATE_DONE);
        assert_int_equal(b->user.shared[1], i);
    }
    assert_int_equal(b->worker.started, 1);
    assert_int_equal(b->user.own, 0); /* the parent's memory is its own */
}

static void stretches_and_noise(void **state)
{
    bench *b = *state;
    assert_int_equal(ask(b, SLOW, 1).fate, SK_FATE_DONE);
    assert_int_equal(ask(b, TALK, 2).fate, SK_FATE_DONE);
    assert_int_equal(ask(b, CLOSE_ALL, 3).fate, SK_FATE_EXIT);
    assert_int_equal(ask(b, FINE, 4).fate, SK_FATE_DONE);
}

static bool say_stop(void *user)
{
    return ++*(int *)user < 3;
}

static void stop(void **state)
{
    bench *b = *state;
    int ticks = 0;
    const uint32_t request[SK_REQUEST_WORDS] = {HANG, 1};
    sk_report report;
    b->worker.limits.seconds[SK_PHASE_CHECK] = 60;
    sk_worker_ask(&b->worker, request, say_stop, &ticks, &report);
    assert_int_equal(report.fate, SK_FATE_STOPPED);
    assert_int_equal(b->worker.pid, 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* reaped */
}

/* A parent that is killed takes its worker along. */
static void orphans(void **state)
{
    bench *b = *state;
    pid_t *pids = sk_shared_alloc(4096);
    assert_non_null(pids);
    pid_t parent = fork();
    if (parent == 0) {
        sk_limits limits = sk_limits_default();
        sk_worker w;
        sk_report report;
        const uint32_t fine[SK_REQUEST_WORDS] = {FINE, 1};
        if (sk_worker_init(&w, serve, &b->user, &limits, NULL) != SPHKV_OK) _exit(1);
        sk_worker_ask(&w, fine, NULL, NULL, &report);
        pids[0] = w.pid;
        kill(getpid(), SIGKILL);
    }
    assert_true(parent > 0);
    assert_int_equal(waitpid(parent, NULL, 0), parent);
    assert_true(pids[0] > 0);
    for (int i = 0; i < 200 && kill(pids[0], 0) == 0; i++) usleep(20000);
    char name[64];
    snprintf(name, sizeof name, "/proc/%d/stat", (int)pids[0]);
    FILE *f = fopen(name, "r"); /* gone, or a zombie that init has not collected */
    char line[256] = "";
    if (f) {
        assert_non_null(fgets(line, sizeof line, f));
        fclose(f);
        assert_non_null(strstr(line, ") Z"));
    }
    sk_shared_free(pids, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fates, set_up, tear_down),
        cmocka_unit_test_setup_teardown(same_worker_goes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stretches_and_noise, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stop, set_up, tear_down),
        cmocka_unit_test_setup_teardown(orphans, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
