/* worker.c - see worker.h. The parent's end is one poll loop; the child's end
 * reads a request, calls the function, writes one byte. */
#define _GNU_SOURCE
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TICK_MS 100

void sk_desk_enter(sk_desk *desk, sk_phase phase, uint32_t subject)
{
    atomic_store(&desk->subject, subject);
    atomic_store(&desk->phase, (uint32_t)phase);
    atomic_fetch_add(&desk->stretch, 1);
}

void *sk_shared_alloc(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void sk_shared_free(void *p, size_t bytes)
{
    if (p) munmap(p, bytes);
}

static double now_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- the child's end ------------------------------------------------------ */

/* Address space: what is mapped already and `more`. Not under AddressSanitizer,
 * which maps terabytes. */
static void limit_memory(size_t more)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    unsigned long pages = 0;
    FILE *f = more ? fopen("/proc/self/statm", "re") : NULL;
    if (!f) return;
    if (fscanf(f, "%lu", &pages) == 1) {
        rlim_t most = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + more;
        (void)setrlimit(RLIMIT_AS, &(struct rlimit){most, most});
    }
    fclose(f);
#else
    (void)more;
#endif
}

/* When memory runs out the kernel shall take the worker, not the tuner. */
static void offer_to_oom_killer(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    ssize_t n = write(fd, "1000", 4);
    (void)n;
    close(fd);
}

static void child_setup(const sk_worker *w, pid_t parent, int words)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(0); /* it died before the line above */
    (void)prctl(PR_SET_NAME, "sphkv-worker");
    (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    limit_memory(w->limits.memory);
    offer_to_oom_killer();
    signal(SIGINT, SIG_IGN); /* Ctrl-C reaches the whole group; the parent decides */
    signal(SIGTERM, SIG_DFL);
    signal(SIGPIPE, SIG_DFL);
    int null = open("/dev/null", O_RDWR);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
    }
    dup2(words, STDERR_FILENO);
}

static bool read_all(int fd, void *data, size_t bytes)
{
    char *p = data;
    while (bytes) {
        ssize_t n = read(fd, p, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        p += n;
        bytes -= (size_t)n;
    }
    return true;
}

_Noreturn static void child_main(const sk_worker *w, int requests, int replies)
{
    uint32_t request[SK_REQUEST_WORDS];
    while (read_all(requests, request, sizeof request)) {
        w->fn(w->user, w->desk, request);
        sk_desk_enter(w->desk, SK_PHASE_IDLE, 0);
        if (write(replies, "", 1) != 1) break;
    }
    _exit(0);
}

/* ---- the parent's end ----------------------------------------------------- */

static void close_end(int *fd)
{
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

static void close_pair(int pair[2])
{
    close_end(&pair[0]);
    close_end(&pair[1]);
}

static bool start(sk_worker *w)
{
    int to[2] = {-1, -1}, from[2] = {-1, -1}, words[2] = {-1, -1};
    pid_t parent = getpid(), pid = -1;
    if (pipe2(to, O_CLOEXEC) == 0 && pipe2(from, O_CLOEXEC) == 0 && pipe2(words, O_CLOEXEC) == 0) {
        sk_desk_enter(w->desk, SK_PHASE_IDLE, 0);
        fflush(NULL); /* or the child would print it again */
        pid = fork();
    }
    if (pid == 0) {
        close_end(&to[1]);
        close_end(&from[0]);
        close_end(&words[0]);
        child_setup(w, parent, words[1]);
        child_main(w, to[0], from[1]);
    }
    int code = errno;
    close_end(&to[0]);
    close_end(&from[1]);
    close_end(&words[1]);
    if (pid < 0) {
        close_pair(to);
        close_pair(from);
        close_pair(words);
        errno = code;
        return false;
    }
    (void)fcntl(words[0], F_SETFL, O_NONBLOCK);
    w->pid = pid;
    w->to = to[1];
    w->from = from[0];
    w->words = words[0];
    w->started++;
    w->served = 0;
    w->said[0] = '\0';
    w->said_len = 0;
    w->said_end = false;
    return true;
}

/* Reads what the worker wrote to stderr; keeps the first line with a letter. */
static void listen_words(sk_worker *w)
{
    char text[1024];
    ssize_t n = -1;
    while (w->words >= 0 && (n = read(w->words, text, sizeof text)) > 0)
        for (ssize_t i = 0; i < n; i++) {
            bool end = text[i] == '\n', room = w->said_len + 1 < sizeof w->said;
            if (w->said_end) continue;
            if (end && strpbrk(w->said, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))
                w->said_end = true;
            else if (end)
                w->said_len = 0;
            else if (room)
                w->said[w->said_len++] = text[i] >= ' ' && text[i] < 127 ? text[i] : ' ';
            w->said[w->said_len] = '\0';
        }
    if (w->words >= 0 && n == 0) close_end(&w->words);
}

static void forget(sk_worker *w)
{
    listen_words(w);
    close_end(&w->to);
    close_end(&w->from);
    close_end(&w->words);
    w->pid = 0;
    w->begun = false;
}

void sk_worker_kill(sk_worker *w)
{
    if (w->pid <= 0) return;
    kill(w->pid, SIGKILL);
    while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    forget(w);
}

/* The worker's end of the reply pipe is closed: it is ending, or a wild kernel
 * closed its files; then it is ended after a moment. */
static void tell_death(sk_worker *w, sk_report *report)
{
    int status = 0;
    pid_t got = 0;
    for (int i = 0; i < 100 && got == 0; i++) {
        got = waitpid(w->pid, &status, WNOHANG);
        if (got < 0 && errno == EINTR) got = 0;
        if (got == 0) nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    bool signalled = got > 0 && WIFSIGNALED(status);
    report->fate = signalled ? SK_FATE_SIGNAL : SK_FATE_EXIT;
    report->code = signalled ? WTERMSIG(status) : got > 0 ? WEXITSTATUS(status) : 0;
    if (got > 0)
        forget(w);
    else
        sk_worker_kill(w);
}

/* One worker that is waited for. */
typedef struct waiting {
    sk_worker *w;
    sk_report *report;
    uint32_t stretch; /* the last that was seen, and since when */
    double since;
    bool over;        /* the report is complete */
} waiting;

static void conclude(waiting *x, sk_fate fate)
{
    x->report->fate = fate;
    x->over = true;
}

/* The reply pipe has something to say. */
static void hear(waiting *x)
{
    char byte;
    ssize_t got = read(x->w->from, &byte, 1);
    if (got < 0 && errno == EINTR) return;
    if (got == 1) {
        x->w->served++;
        conclude(x, SK_FATE_DONE);
        return;
    }
    tell_death(x->w, x->report);
    x->over = true;
}

static void watch_clock(waiting *x)
{
    uint32_t seen = atomic_load(&x->w->desk->stretch), phase = atomic_load(&x->w->desk->phase);
    if (seen != x->stretch) {
        x->stretch = seen;
        x->since = now_seconds();
    }
    if (phase >= SK_PHASE_COUNT) phase = SK_PHASE_IDLE;
    if (now_seconds() - x->since <= x->w->limits.seconds[phase]) return;
    sk_worker_kill(x->w);
    conclude(x, SK_FATE_HANG);
}

/* One turn of the loop: sleeps until something happens, at most a tick. */
static void wait_turn(waiting *x, uint32_t n)
{
    struct pollfd fds[2 * SK_WORKERS_MOST];
    for (uint32_t i = 0; i < n; i++) {
        fds[2 * i] = (struct pollfd){x[i].over ? -1 : x[i].w->from, POLLIN, 0};
        fds[2 * i + 1] = (struct pollfd){x[i].over ? -1 : x[i].w->words, POLLIN, 0};
    }
    int ready = poll(fds, 2 * n, TICK_MS);
    for (uint32_t i = 0; i < n; i++) {
        if (x[i].over) continue;
        if (ready > 0 && fds[2 * i + 1].revents) listen_words(x[i].w);
        if (ready > 0 && fds[2 * i].revents)
            hear(&x[i]);
        else
            watch_clock(&x[i]);
    }
}

static bool any_left(const waiting *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!x[i].over) return true;
    return false;
}

/* Writing to a worker that just died must not kill the parent. */
static bool send_request(sk_worker *w, const uint32_t *request)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    sigaction(SIGPIPE, &ignore, &before);
    ssize_t want = SK_REQUEST_WORDS * sizeof *request; /* below PIPE_BUF: whole or not at all */
    ssize_t n;
    do {
        n = write(w->to, request, (size_t)want);
    } while (n < 0 && errno == EINTR);
    sigaction(SIGPIPE, &before, NULL);
    return n == want;
}

void sk_worker_begin(sk_worker *w, const uint32_t request[SK_REQUEST_WORDS])
{
    if (w->pid == 0 && !start(w)) return;
    w->begun = send_request(w, request);
    if (!w->begun) sk_worker_kill(w);
}

void sk_worker_ask_all(sk_worker *const *worker, const uint32_t (*request)[SK_REQUEST_WORDS],
                       uint32_t n, sk_tick_fn tick, void *tick_user, sk_report *report)
{
    waiting x[SK_WORKERS_MOST];
    for (uint32_t i = 0; i < n; i++) {
        sk_worker *w = worker[i];
        memset(&report[i], 0, sizeof report[i]);
        x[i] = (waiting){.w = w, .report = &report[i], .since = now_seconds()};
        const bool begun = w->begun;
        w->begun = false;
        if (begun) continue;
        if (w->pid == 0 && !start(w)) {
            report[i].code = errno;
            conclude(&x[i], SK_FATE_FAILED);
        } else if (!send_request(w, request[i])) {
            tell_death(w, &report[i]);
            x[i].over = true;
        }
    }
    while (any_left(x, n)) {
        wait_turn(x, n);
        if (!any_left(x, n) || !tick || tick(tick_user)) continue;
        for (uint32_t i = 0; i < n; i++) {
            if (x[i].over) continue;
            sk_worker_kill(x[i].w);
            conclude(&x[i], SK_FATE_STOPPED);
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        report[i].phase = atomic_load(&worker[i]->desk->phase);
        report[i].subject = atomic_load(&worker[i]->desk->subject);
        memcpy(report[i].said, worker[i]->said, sizeof report[i].said);
    }
}

void sk_worker_ask(sk_worker *w, const uint32_t request[SK_REQUEST_WORDS], sk_tick_fn tick,
                   void *tick_user, sk_report *report)
{
    uint32_t one[1][SK_REQUEST_WORDS];
    memcpy(one[0], request, sizeof one[0]);
    sk_worker_ask_all(&w, one, 1, tick, tick_user, report);
}

sk_status sk_worker_init(sk_worker *w, sk_worker_fn fn, void *user, const sk_limits *limits,
                         sk_err *err)
{
    memset(w, 0, sizeof *w);
    w->fn = fn;
    w->user = user;
    w->limits = *limits;
    w->to = w->from = w->words = -1;
    w->desk = sk_shared_alloc(sizeof *w->desk);
    return w->desk ? SPHKV_OK : sk_fail(err, SPHKV_ENOMEM, "no shared memory for a worker");
}

void sk_worker_free(sk_worker *w)
{
    sk_worker_kill(w);
    sk_shared_free(w->desk, sizeof *w->desk);
    w->desk = NULL;
}
