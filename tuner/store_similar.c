/* store_similar.c - what won in problems like a job's: where its search may well begin. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "store.h"

/* A word of the spec that differs weighs as much as four times the context; another device
 * of the same architecture half of that, another architecture more than most else. */
#define WORD 2.0
#define OTHER_DEVICE 1.0
#define OTHER_ARCH 8.0

typedef struct near_one {
    const sk_db_winner *winner;
    double distance;
    size_t place; /* in the list: equals stay in its order */
} near_one;

static bool holds_word(const char *text, const char *word, size_t len)
{
    while (*text) {
        const size_t n = strcspn(text, " ");
        if (n == len && memcmp(text, word, len) == 0) return true;
        text += n;
        text += strspn(text, " ");
    }
    return false;
}

/* Words of one spec that the other has not. */
static double words_apart(const char *a, const char *b)
{
    double apart = 0;
    while (*a) {
        const size_t n = strcspn(a, " ");
        apart += !holds_word(b, a, n);
        a += n;
        a += strspn(a, " ");
    }
    return apart;
}

static double ratio_apart(uint32_t a, uint32_t b)
{
    return a && b ? fabs(log2((double)a / b)) : a != b;
}

static double distance(const sk_store *s, const sk_job *job, const sk_db_trial_key *k)
{
    const sk_db_shape *x = &job->db_shape, *y = &k->shape;
    double sum = WORD * words_apart(job->spec_text, k->spec);
    sum += strcmp(s->record.arch, k->device->arch) != 0 ? OTHER_ARCH
           : strcmp(s->record.fingerprint, k->device->fingerprint) != 0 ? OTHER_DEVICE : 0;
    sum += ratio_apart(x->batch, y->batch) + ratio_apart(x->context, y->context);
    sum += ratio_apart(x->kv_heads, y->kv_heads) + ratio_apart(x->q_heads, y->q_heads);
    return sum + ratio_apart(x->q_len, y->q_len) + ratio_apart(x->threads, y->threads);
}

static int by_distance(const void *a, const void *b)
{
    const near_one *x = a, *y = b;
    if (x->distance != y->distance) return x->distance < y->distance ? -1 : 1;
    return x->place < y->place ? -1 : 1;
}

/* The candidate with this schedule; SK_NONE: another generator's, or not in the space. */
static uint32_t candidate_of(const sk_job *job, const char *text)
{
    sk_schedule schedule;
    sk_schedule_begin(job->space.target.backend, &schedule);
    if (sk_schedule_parse(job->spec.kernel, text, &schedule, NULL) != SPHKV_OK) return SK_NONE;
    return sk_space_find(&job->space, &schedule);
}

static void choose(const sk_job *job, const near_one *list, size_t n, uint32_t most,
                   uint32_t *index, uint32_t *count)
{
    for (size_t i = 0; i < n && *count < most; i++) {
        const uint32_t at = candidate_of(job, list[i].winner->trial.key.schedule);
        bool there = at == SK_NONE || at == 0;
        for (uint32_t k = 0; k < *count; k++) there = there || index[k] == at;
        if (!there) index[(*count)++] = at;
    }
}

sk_status sk_store_similar(sk_store *s, const sk_job *job, uint32_t most, uint32_t *index,
                           uint32_t *count, sk_err *err)
{
    const sk_db_filter filter = {.kernel = sk_kernel_name(job->spec.kernel)};
    sk_arena mem = {0};
    sk_db_winner *winner;
    size_t n;
    *count = 0;
    if (s->fresh) return SPHKV_OK;
    sk_status st = sk_db_winners(s->db, &filter, &mem, &winner, &n, err);
    near_one *list = st == SPHKV_OK ? sk_malloc((n + 1) * sizeof *list) : NULL;
    if (st == SPHKV_OK && !list) st = sk_fail(err, SPHKV_ENOMEM, "no memory for %zu winners", n);
    for (size_t i = 0; i < n && st == SPHKV_OK; i++)
        list[i] = (near_one){&winner[i], distance(s, job, &winner[i].trial.key), i};
    if (st == SPHKV_OK) {
        qsort(list, n, sizeof *list, by_distance);
        choose(job, list, n, most, index, count);
    }
    sk_free(list);
    sk_arena_free(&mem);
    return st;
}
