/* dl_team.c - see dl_team.h. Jobs of a decode step last microseconds, so both
 * sides look a while for the other before they sleep; the while is short, since
 * threads may outnumber cores. */
#define _GNU_SOURCE
#include "dl_team.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define LOOKS 4000 /* before sleeping */

typedef struct worker {
    dl_team *team;
    pthread_t thread;
    uint32_t part;
    sphkv_status status; /* of the last job */
} worker;

struct dl_team {
    uint32_t parts;
    uint32_t started;      /* workers that have a thread, from part 1 */
    worker *worker;        /* [parts]; 0 is the caller */
    pthread_mutex_t lock;  /* for sleeping only */
    pthread_cond_t begin, end;
    atomic_uint job;       /* counts jobs; a worker waits for a change */
    atomic_uint running;   /* parts of the job still at work */
    bool stop;             /* written before the last change of job */
    dl_task task;
    void *arg;
};

static void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void await_job(dl_team *team, unsigned seen)
{
    for (int i = 0; i < LOOKS; i++) {
        if (atomic_load_explicit(&team->job, memory_order_acquire) != seen)
            return;
        pause_briefly();
    }
    pthread_mutex_lock(&team->lock);
    while (atomic_load_explicit(&team->job, memory_order_acquire) == seen)
        pthread_cond_wait(&team->begin, &team->lock);
    pthread_mutex_unlock(&team->lock);
}

static void await_end(dl_team *team)
{
    for (int i = 0; i < LOOKS; i++) {
        if (atomic_load_explicit(&team->running, memory_order_acquire) == 0)
            return;
        pause_briefly();
    }
    pthread_mutex_lock(&team->lock);
    while (atomic_load_explicit(&team->running, memory_order_acquire) != 0)
        pthread_cond_wait(&team->end, &team->lock);
    pthread_mutex_unlock(&team->lock);
}

static void *work(void *arg)
{
    worker *w = arg;
    dl_team *team = w->team;
    for (unsigned seen = 0;; seen++) {
        await_job(team, seen);
        if (team->stop)
            return NULL;
        w->status = team->task(team->arg, w->part, team->parts);
        if (atomic_fetch_sub_explicit(&team->running, 1, memory_order_acq_rel) == 1) {
            pthread_mutex_lock(&team->lock);
            pthread_cond_signal(&team->end);
            pthread_mutex_unlock(&team->lock);
        }
    }
}

static void announce(dl_team *team)
{
    pthread_mutex_lock(&team->lock);
    atomic_fetch_add_explicit(&team->job, 1, memory_order_release);
    pthread_cond_broadcast(&team->begin);
    pthread_mutex_unlock(&team->lock);
}

sphkv_status dl_team_open(uint32_t threads, dl_team **out, sphkv_error *err)
{
    sphkv_status st = SPHKV_OK;
    dl_team *team = NULL;
    *out = NULL;
    if (!dl_new(&team, 1, sizeof *team, &st, err))
        return st;
    team->parts = threads ? threads : 1;
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->begin, NULL);
    pthread_cond_init(&team->end, NULL);
    dl_new(&team->worker, team->parts, sizeof *team->worker, &st, err);
    for (uint32_t i = 1; st == SPHKV_OK && i < team->parts; i++) {
        team->worker[i] = (worker){.team = team, .part = i};
        if (pthread_create(&team->worker[i].thread, NULL, work, &team->worker[i]) != 0)
            st = dl_fail(err, SPHKV_EIO, "no thread %u of %u", i + 1, team->parts);
        else
            team->started = i;
    }
    if (st == SPHKV_OK)
        *out = team;
    else
        dl_team_close(team);
    return st;
}

void dl_team_close(dl_team *team)
{
    if (!team)
        return;
    team->stop = true;
    announce(team);
    for (uint32_t i = 1; i <= team->started; i++)
        pthread_join(team->worker[i].thread, NULL);
    pthread_cond_destroy(&team->begin);
    pthread_cond_destroy(&team->end);
    pthread_mutex_destroy(&team->lock);
    free(team->worker);
    free(team);
}

uint32_t dl_team_size(const dl_team *team) { return team->parts; }

sphkv_status dl_team_run(dl_team *team, dl_task task, void *arg)
{
    team->task = task;
    team->arg = arg;
    if (team->parts == 1)
        return task(arg, 0, 1);
    atomic_store_explicit(&team->running, team->parts - 1, memory_order_relaxed);
    announce(team);
    sphkv_status st = task(arg, 0, team->parts);
    await_end(team);
    for (uint32_t i = 1; st == SPHKV_OK && i < team->parts; i++)
        st = team->worker[i].status;
    return st;
}
