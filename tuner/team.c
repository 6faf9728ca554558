/* team.c - see team.h. A run is a generation number that the members watch:
 * first spinning, then on a condition variable. Members never spin when there
 * are more of them than CPUs: the spinner would hold the core that the worker
 * needs. */
#define _GNU_SOURCE
#include "team.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define SPINS 4000u

typedef struct member {
    struct sk_team *team;
    pthread_t thread;
    uint32_t part;
    int cpu; /* to be pinned to, -1 = nowhere */
} member;

struct sk_team {
    uint32_t size;
    uint32_t spins;
    member *members; /* [size]; 0 is the caller */
    uint32_t started;
    sk_team_fn fn;
    void *user;
    _Atomic uint32_t generation; /* one more for every run */
    _Atomic uint32_t running;    /* members that have not finished */
    _Atomic bool stop;
    pthread_mutex_t lock;        /* guards sleeping only */
    pthread_cond_t wake;
    uint32_t sleepers;
    cpu_set_t before;            /* where the caller could run before it was pinned */
};

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Whether this CPU is the first of the threads of its core. */
static bool first_of_core(int cpu)
{
    char path[96];
    int first = cpu;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    FILE *f = fopen(path, "re");
    if (!f) return true;
    if (fscanf(f, "%d", &first) != 1) first = cpu;
    fclose(f);
    return first == cpu;
}

uint32_t sk_team_cpus(int *cpu, uint32_t most)
{
    cpu_set_t set;
    uint32_t n = 0;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < CPU_SETSIZE && n < most; i++)
            if (CPU_ISSET((size_t)i, &set) && first_of_core(i) == (pass == 0)) cpu[n++] = i;
    return n;
}

static void pin(pthread_t thread, int cpu)
{
    cpu_set_t set;
    if (cpu < 0) return;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    (void)pthread_setaffinity_np(thread, sizeof set, &set); /* refused: run unpinned */
}

/* Waits for a generation other than `seen`; returns it. */
static uint32_t await_run(sk_team *t, uint32_t seen)
{
    for (uint32_t i = 0; i < t->spins; i++) {
        uint32_t now = atomic_load_explicit(&t->generation, memory_order_acquire);
        if (now != seen) return now;
        relax();
    }
    pthread_mutex_lock(&t->lock);
    t->sleepers++;
    while (atomic_load(&t->generation) == seen) pthread_cond_wait(&t->wake, &t->lock);
    t->sleepers--;
    pthread_mutex_unlock(&t->lock);
    return atomic_load(&t->generation);
}

static void *member_main(void *arg)
{
    member *m = arg;
    sk_team *t = m->team;
    uint32_t seen = 0;
    for (;;) {
        seen = await_run(t, seen);
        if (atomic_load(&t->stop)) return NULL;
        t->fn(t->user, m->part, t->size);
        atomic_fetch_sub_explicit(&t->running, 1, memory_order_release);
    }
}

static void next_generation(sk_team *t)
{
    pthread_mutex_lock(&t->lock);
    atomic_fetch_add_explicit(&t->generation, 1, memory_order_release);
    if (t->sleepers) pthread_cond_broadcast(&t->wake);
    pthread_mutex_unlock(&t->lock);
}

void sk_team_run(sk_team *t, sk_team_fn fn, void *user)
{
    if (t->size > 1) {
        t->fn = fn;
        t->user = user;
        atomic_store(&t->running, t->size - 1);
        next_generation(t);
    }
    fn(user, 0, t->size);
    for (uint32_t i = 0; t->size > 1; i++) {
        if (atomic_load_explicit(&t->running, memory_order_acquire) == 0) break;
        if (i < t->spins)
            relax();
        else
            sched_yield();
    }
}

uint32_t sk_team_size(const sk_team *t)
{
    return t->size;
}

void sk_team_stop(sk_team *t)
{
    if (!t) return;
    atomic_store(&t->stop, true);
    next_generation(t);
    for (uint32_t i = 1; i <= t->started; i++) pthread_join(t->members[i].thread, NULL);
    if (t->size > 1) (void)pthread_setaffinity_np(pthread_self(), sizeof t->before, &t->before);
    pthread_cond_destroy(&t->wake);
    pthread_mutex_destroy(&t->lock);
    sk_free(t->members);
    sk_free(t);
}

sk_status sk_team_start(uint32_t threads, sk_team **out, sk_err *err)
{
    int cpu[SK_TEAM_MOST];
    *out = NULL;
    if (threads < 1 || threads > SK_TEAM_MOST)
        return sk_fail(err, SPHKV_EINVAL, "%u threads: must be 1 to %u", threads, SK_TEAM_MOST);
    sk_team *t = sk_calloc(1, sizeof *t);
    member *members = sk_calloc(threads, sizeof *members);
    if (!t || !members) {
        sk_free(t);
        sk_free(members);
        return sk_fail(err, SPHKV_ENOMEM, "no memory for %u threads", threads);
    }
    uint32_t cpus = threads > 1 ? sk_team_cpus(cpu, SK_TEAM_MOST) : 0;
    t->size = threads;
    t->spins = cpus >= threads ? SPINS : 0;
    t->members = members;
    CPU_ZERO(&t->before);
    (void)sched_getaffinity(0, sizeof t->before, &t->before);
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->wake, NULL);
    for (uint32_t i = 0; i < threads; i++) {
        members[i] = (member){t, pthread_self(), i, cpus ? cpu[i % cpus] : -1};
        if (i > 0 && pthread_create(&members[i].thread, NULL, member_main, &members[i]) != 0) {
            sk_team_stop(t);
            return sk_fail(err, SPHKV_ENOMEM, "thread %u of %u could not be made", i + 1, threads);
        }
        t->started = i;
        pin(members[i].thread, members[i].cpu);
    }
    *out = t;
    return SPHKV_OK;
}
