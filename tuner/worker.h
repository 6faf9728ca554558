/* worker.h - a child process that tries what may hang, crash or abort.
 *
 * Why fork and not a program of its own: the inputs of a trial are hundreds of
 * megabytes that the parent has made; a forked worker shares them read-only by
 * copy-on-write, and knows kernel, spec and space without a protocol. It is safe
 * because the parent has one thread, never opens a compiler and never runs a
 * kernel. A request is eight numbers; answers lie in shared memory (see
 * sk_shared_alloc), which the parent reads with suspicion.
 *
 * The desk is a little shared memory where the worker says what it is doing;
 * the parent keeps the clock. After any fate but DONE the worker is gone:
 * killed and reaped. Workers die with their parent (PR_SET_PDEATHSIG). */
#ifndef SK_WORKER_H
#define SK_WORKER_H

#include <stdatomic.h>
#include <sys/types.h>

#include "db.h"

typedef enum sk_phase {
    SK_PHASE_IDLE,
    SK_PHASE_COMPILE,
    SK_PHASE_LOAD,
    SK_PHASE_CHECK,
    SK_PHASE_MEASURE,
    SK_PHASE_COUNT
} sk_phase;
const char *sk_phase_text(uint32_t phase);

typedef struct sk_limits {
    double seconds[SK_PHASE_COUNT]; /* of each stretch of a phase; IDLE: until it is entered */
    size_t memory;                  /* bytes a worker may map beyond the parent's; 0 = any */
} sk_limits;
/* Generous ones: a limit is there for what never ends, not for what is slow. */
sk_limits sk_limits_default(void);
/* Of workers that open CUDA: it maps more than any machine has, and takes its time. */
sk_limits sk_limits_gpu(void);

/* What the worker shows. */
typedef struct sk_desk {
    _Atomic uint32_t phase;   /* sk_phase */
    _Atomic uint32_t stretch; /* changes when the clock starts again */
    _Atomic uint32_t subject; /* what is at work, for blame: index of a candidate */
} sk_desk;
/* In the worker: a new stretch of `phase` begins. */
void sk_desk_enter(sk_desk *desk, sk_phase phase, uint32_t subject);

#define SK_REQUEST_WORDS 8
/* Runs in the worker, once per request. `user` is the parent's memory as it was
 * at the fork, and private from then on: the worker may keep its state there. */
typedef void (*sk_worker_fn)(void *user, sk_desk *desk,
                             const uint32_t request[SK_REQUEST_WORDS]);

typedef struct sk_worker {
    sk_worker_fn fn;
    void *user;
    sk_limits limits;
    pid_t pid;           /* 0 = none running */
    int to, from, words; /* pipes: requests, replies, its stderr; -1 = closed */
    sk_desk *desk;       /* shared */
    uint64_t started;    /* workers started so far */
    uint32_t served;     /* requests done by the present one */
    bool begun;          /* a request was sent that nobody has waited for */
    char said[200];      /* first line the present one wrote to stderr */
    size_t said_len;
    bool said_end;
} sk_worker;

typedef enum sk_fate {
    SK_FATE_DONE,    /* the function returned */
    SK_FATE_SIGNAL,  /* died of a signal */
    SK_FATE_EXIT,    /* left on its own, as compilers do */
    SK_FATE_HANG,    /* over a limit, killed */
    SK_FATE_STOPPED, /* the caller's tick said so, killed */
    SK_FATE_FAILED   /* could not be started or asked */
} sk_fate;

typedef struct sk_report {
    sk_fate fate;
    int code;         /* signal, exit code, or errno */
    uint32_t phase;   /* where it was */
    uint32_t subject; /* with what */
    char said[200];   /* first line of its stderr, may be empty */
} sk_report;

/* Called every tenth of a second while waiting; false = stop. */
typedef bool (*sk_tick_fn)(void *user);

sk_status sk_worker_init(sk_worker *worker, sk_worker_fn fn, void *user, const sk_limits *limits,
                         sk_err *err);
/* Starts a worker when none is running, asks, and waits. */
void sk_worker_ask(sk_worker *worker, const uint32_t request[SK_REQUEST_WORDS], sk_tick_fn tick,
                   void *tick_user, sk_report *report);
/* Sends a request and does not wait: the next ask of this worker, which must be the same
 * request, waits for its end. When it could not be sent, that ask sends it. */
void sk_worker_begin(sk_worker *worker, const uint32_t request[SK_REQUEST_WORDS]);
/* Several workers at once, a request each; returns when all have a fate. */
void sk_worker_ask_all(sk_worker *const *worker, const uint32_t (*request)[SK_REQUEST_WORDS],
                       uint32_t n, sk_tick_fn tick, void *tick_user, sk_report *report);
#define SK_WORKERS_MOST 16u
void sk_worker_kill(sk_worker *worker); /* the present one; the next ask starts another */
void sk_worker_free(sk_worker *worker); /* a zeroed one is fine */

/* How a fate that is not DONE or STOPPED is recorded, and in which words. */
sk_db_outcome sk_report_outcome(const sk_report *report, const sk_limits *limits, char *message,
                                size_t size);

/* Zeroed memory that the parent and all workers share; NULL when there is none. */
void *sk_shared_alloc(size_t bytes);
void sk_shared_free(void *p, size_t bytes);

#endif
