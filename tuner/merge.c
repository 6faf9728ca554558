/* merge.c - see merge.h. */
#include "merge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "schedule.h"
#include "statistics.h"

/* ---- the fixed order ------------------------------------------------------------ */

static uint32_t place_of(uint32_t tunable, int32_t value)
{
    uint32_t i = 0;
    while (i < sk_tunable_count(tunable) && sk_tunable_value(tunable, i) != value) i++;
    return i;
}

/* As the search space counts; schedules of a generator that is no more stand behind. */
static int schedule_order(const sk_db_trial *a, const sk_db_trial *b)
{
    uint32_t kernel;
    sk_schedule x, y;
    const uint32_t backend =
        strcmp(a->key.device->kind, "cuda") == 0 ? SK_BACKEND_CUDA : SK_BACKEND_CPU;
    sk_schedule_begin(backend, &x);
    sk_schedule_begin(backend, &y);
    if (!sk_kernel_parse(a->key.kernel, &kernel)) return strcmp(a->key.schedule, b->key.schedule);
    const bool p = sk_schedule_parse(kernel, a->key.schedule, &x, NULL) == SPHKV_OK;
    const bool q = sk_schedule_parse(kernel, b->key.schedule, &y, NULL) == SPHKV_OK;
    if (p != q) return p ? -1 : 1;
    for (uint32_t t = 0; t < SK_TUNABLE_COUNT && p; t++) {
        const uint32_t i = place_of(t, x.v[t]), k = place_of(t, y.v[t]);
        if (i != k) return i < k ? -1 : 1;
    }
    return strcmp(a->key.schedule, b->key.schedule);
}

/* ---- who takes part ---------------------------------------------------------------- */

typedef struct entrant {
    const sk_db_trial *trial;
    double ratio;  /* of the default's times over its own */
    double *times; /* shares of the default's; lies in an arena */
} entrant;

static uint32_t pairs_of(const sk_db_trial *t)
{
    const size_t n = t->sample_count < t->baseline_count ? t->sample_count : t->baseline_count;
    return (uint32_t)(n < UINT32_MAX ? n : UINT32_MAX);
}

static bool of_final(const sk_db_trial *t)
{
    return t->outcome == SK_OUTCOME_OK && t->base[0] && pairs_of(t) >= SK_DB_FINAL &&
           strcmp(t->key.run_kind, SK_DB_MEASURE) == 0;
}

/* The default of the latest final: itself right, and measured in one. NULL: none. */
static const sk_db_trial *find_base(const sk_db_trial *const *trial, size_t count)
{
    const sk_db_trial *base = NULL;
    for (size_t i = 0; i < count; i++) {
        const sk_db_trial *t = trial[i];
        if (!of_final(t) || strcmp(t->base, t->trial_hash) != 0) continue;
        if (!base || t->unix_time > base->unix_time ||
            (t->unix_time == base->unix_time && strcmp(t->trial_hash, base->trial_hash) > 0))
            base = t;
    }
    return base;
}

static int by_order(const void *pa, const void *pb)
{
    return schedule_order(((const entrant *)pa)->trial, ((const entrant *)pb)->trial);
}

static int by_ratio(const void *pa, const void *pb)
{
    const entrant *a = pa, *b = pb;
    if (a->ratio < b->ratio || a->ratio > b->ratio) return a->ratio > b->ratio ? -1 : 1;
    return by_order(pa, pb);
}

static sk_status fill(entrant *e, const sk_db_trial *t, sk_arena *mem, sk_err *err)
{
    const uint32_t n = pairs_of(t);
    e->trial = t;
    e->times = sk_arena_alloc(mem, (n + 1) * sizeof *e->times);
    if (!e->times) return sk_fail(err, SPHKV_ENOMEM, "no memory for a final");
    for (uint32_t i = 0; i < n; i++)
        e->times[i] = t->baseline[i] > 0 ? t->samples[i] / t->baseline[i] : 0;
    e->ratio = sk_median(e->times, n);
    e->ratio = e->ratio > 0 ? 1 / e->ratio : 0;
    return SPHKV_OK;
}

/* Those who were put out of their final have fewer times than those who stayed. */
static bool stayed(const sk_db_trial *const *trial, size_t count, const sk_db_trial *t)
{
    for (size_t i = 0; i < count; i++)
        if (of_final(trial[i]) && strcmp(trial[i]->run_id, t->run_id) == 0 &&
            strcmp(trial[i]->base, t->base) == 0 && pairs_of(trial[i]) > pairs_of(t))
            return false;
    return true;
}

/* The default in front, then the others in the fixed order; of too many the fastest. */
static sk_status gather(const sk_db_trial *const *trial, size_t count, const sk_db_trial *base,
                        sk_arena *mem, entrant **out, uint32_t *n, sk_err *err)
{
    entrant *e = sk_arena_alloc(mem, (count + 1) * sizeof *e);
    sk_status st = e ? fill(&e[0], base, mem, err) : sk_fail(err, SPHKV_ENOMEM, "no memory");
    uint32_t all = 1;
    for (size_t i = 0; i < count && st == SPHKV_OK; i++)
        if (trial[i] != base && of_final(trial[i]) &&
            strcmp(trial[i]->base, base->trial_hash) == 0 && stayed(trial, count, trial[i]))
            st = fill(&e[all++], trial[i], mem, err);
    if (st != SPHKV_OK) return st;
    qsort(e + 1, all - 1, sizeof *e, by_ratio);
    if (all > SK_MAX_ENTRANTS) all = SK_MAX_ENTRANTS;
    qsort(e + 1, all - 1, sizeof *e, by_order);
    *out = e;
    *n = all;
    return SPHKV_OK;
}

/* ---- the verdict --------------------------------------------------------------------- */

/* Only a winner's code is kept: among those tied with the fastest, one that has it comes
 * before one that has none. */
static sk_status prefer_code(const entrant *e, uint32_t n, uint32_t rounds, uint64_t seed,
                             sk_verdict *v, sk_err *err)
{
    sk_interval gain;
    if (v->winner == 0 || e[v->winner].trial->artifact_key[0]) return SPHKV_OK;
    for (uint32_t i = 1; i < n; i++) {
        if (!v->tied[i] || !e[i].trial->artifact_key[0]) continue;
        const sk_status st = sk_ratio_interval(e[0].times, e[i].times, rounds, seed, &gain, err);
        if (st != SPHKV_OK) return st;
        if (gain.lo <= 1) continue;
        v->winner = i;
        break;
    }
    return SPHKV_OK;
}

static sk_status name_ties(const entrant *e, uint32_t n, const sk_verdict *v, sk_arena *mem,
                           const char **out, sk_err *err)
{
    sk_text text = {0};
    for (uint32_t i = 0; i < n; i++)
        if (v->tied[i] && i != v->winner)
            sk_text_printf(&text, "%s%s", text.len ? ";" : "", e[i].trial->key.schedule);
    *out = text.failed ? NULL : sk_arena_strdup(mem, text.s ? text.s : "");
    sk_text_free(&text);
    return *out ? SPHKV_OK : sk_fail(err, SPHKV_ENOMEM, "no memory for ties");
}

sk_status sk_merge_judge(void *user, const sk_db_trial *const *trial, size_t count, sk_arena *mem,
                         sk_db_winner *out, sk_err *err)
{
    (void)user;
    entrant *e;
    uint32_t n, rounds = UINT32_MAX;
    sk_entrant at[SK_MAX_ENTRANTS];
    sk_verdict v;
    memset(out, 0, sizeof *out);
    const sk_db_trial *base = find_base(trial, count);
    if (!base) return SPHKV_OK;
    sk_status st = gather(trial, count, base, mem, &e, &n, err);
    for (uint32_t i = 0; i < n && st == SPHKV_OK; i++) {
        at[i] = (sk_entrant){i, e[i].times};
        if (pairs_of(e[i].trial) < rounds) rounds = pairs_of(e[i].trial);
    }
    if (st == SPHKV_OK) st = sk_verdict_find(at, n, rounds, base->seed, &v, err);
    if (st == SPHKV_OK) st = prefer_code(e, n, rounds, base->seed, &v, err);
    if (st == SPHKV_OK) st = name_ties(e, n, &v, mem, &out->ties, err);
    if (st != SPHKV_OK) return st;
    const sk_db_trial *win = e[v.winner].trial;
    if (v.winner != 0) /* in its own final, to the last bit */
        st = sk_ratio_interval(win->baseline, win->samples, pairs_of(win), base->seed, &v.speedup,
                               err);
    if (st != SPHKV_OK) return st;
    out->trial_id = win->id;
    out->default_trial_id = base->id;
    out->speedup = v.speedup.mid;
    out->speedup_lo = v.speedup.lo;
    out->speedup_hi = v.speedup.hi;
    out->flip_risk = v.flip_risk;
    out->noisy = out->drift = (double)NAN;
    out->default_us = base->median_us;
    out->roofline = win->roofline;
    out->run_id = win->run_id;
    out->unix_time = win->unix_time;
    return SPHKV_OK;
}
