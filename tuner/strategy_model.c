/* strategy_model.c - a Gaussian process says what is worth trying.
 *
 * It begins with points far from each other, then takes the point of the largest
 * expected improvement. What it models is not the time but the logarithm of the distance
 * to the best: near the best, where the choice is, small differences count, and far from
 * it none do. A failure counts as the worst that was seen. Points that were given and
 * not told yet count as middling, so that several at once are not neighbours. */
#include <math.h>
#include <stdlib.h>

#include "coordinates.h"
#include "statistics.h"
#include "strategy_impl.h"
#include "surrogate.h"

#define FIRST_TRIES 60  /* steps towards better lengths: at first, and every so many points */
#define LATER_TRIES 25
#define LEARN_EVERY 10
#define NEAR_BEST SK_TIE_SHARE /* relative distance to the best below which all is alike */
#define FAR_OF 8        /* first points: the farthest of so many by chance */
#define POOL_SHARE 0.9 /* of the pool is filled by chance: neighbours have room, too */
#define POOL_MOST 8192u /* points of a large space among which is chosen until it learns anew */

typedef struct model {
    sk_surrogate process;
    uint32_t first;      /* points before there is a model */
    uint32_t learned;    /* told points at the last learning; 0 = never */
    double *unit;        /* [n][process.dims]: coordinates in the unit cube */
    double *x, *y;       /* [SK_SURROGATE_POINTS]: what is fitted */
    uint32_t *picked;    /* [SK_SURROGATE_POINTS]: which points those are */
    uint32_t *pool;      /* the process's candidates */
    double *gain;        /* of each */
    uint32_t pool_best;  /* whose neighbours are in it */
} model;

static sk_status model_make(sk_strategy *s, sk_err *err)
{
    const sk_points *p = &s->points;
    uint32_t dims = 0;
    model *m = s->own = sk_calloc(1, sizeof *m);
    if (!m) return sk_fail(err, SPHKV_ENOMEM, "no memory for a model");
    const uint32_t pool = p->n < POOL_MOST ? p->n : POOL_MOST;
    sk_status st = sk_coordinates_make(p, &m->unit, &dims, err);
    if (st == SPHKV_OK) st = sk_surrogate_make(dims, pool, &m->process, err);
    if (st != SPHKV_OK) return st;
    m->first = 2 * dims + 6;
    if (s->trials && m->first > s->trials / 3) m->first = s->trials / 3;
    m->x = sk_malloc(SK_SURROGATE_POINTS * dims * sizeof *m->x);
    m->y = sk_malloc(SK_SURROGATE_POINTS * sizeof *m->y);
    m->picked = sk_malloc(SK_SURROGATE_POINTS * sizeof *m->picked);
    m->pool = sk_malloc(m->process.pool.most * sizeof *m->pool);
    m->gain = sk_malloc(m->process.pool.most * sizeof *m->gain);
    m->pool_best = SK_NONE;
    if (!m->x || !m->y || !m->picked || !m->pool || !m->gain)
        return sk_fail(err, SPHKV_ENOMEM, "no memory for a model of %u points", p->n);
    return SPHKV_OK;
}

static void model_free(sk_strategy *s)
{
    model *m = s->own;
    if (!m) return;
    sk_surrogate_free(&m->process);
    sk_free(m->unit);
    sk_free(m->x);
    sk_free(m->y);
    sk_free(m->picked);
    sk_free(m->pool);
    sk_free(m->gain);
    sk_free(m);
}

static const double *unit_of(const model *m, uint32_t point)
{
    return m->unit + (size_t)point * m->process.dims;
}

/* ---- the first points ------------------------------------------------------- */

static bool known(const sk_strategy *s, uint32_t point)
{
    return s->state[point] == SK_POINT_TOLD || s->state[point] == SK_POINT_GIVEN;
}

static double nearest(const sk_strategy *s, const model *m, uint32_t point)
{
    const double *a = unit_of(m, point);
    double least = INFINITY;
    for (uint32_t i = 0; i < s->points.n; i++) {
        if (!known(s, i)) continue;
        const double *b = unit_of(m, i);
        double sum = 0;
        for (uint32_t d = 0; d < m->process.dims; d++) sum += (a[d] - b[d]) * (a[d] - b[d]);
        least = fmin(least, sum);
    }
    return least;
}

static uint32_t free_by_chance(sk_strategy *s)
{
    for (int tries = 0; tries < 1000; tries++) {
        const uint32_t i = sk_rng_below(&s->rng, s->points.n);
        if (s->state[i] == SK_POINT_FREE) return i;
    }
    return SK_NONE; /* few are left: the order finds them */
}

static uint32_t far_point(sk_strategy *s, const model *m)
{
    uint32_t best = SK_NONE;
    double most = -1;
    for (uint32_t k = 0; k < FAR_OF; k++) {
        const uint32_t i = free_by_chance(s);
        const double away = i == SK_NONE ? -1 : nearest(s, m, i);
        if (away > most) most = away, best = i;
    }
    return best;
}

/* ---- what is fitted ---------------------------------------------------------- */

/* Which told points: all, or the best half of what a model can hold and the newest. */
static uint32_t pick_told(const sk_strategy *s, model *m, uint32_t most)
{
    uint32_t n = 0;
    if (s->tolds <= most) {
        for (uint32_t i = 0; i < s->tolds; i++) m->picked[n++] = s->told[i];
        return n;
    }
    for (uint32_t i = s->tolds - most / 2; i < s->tolds; i++) m->picked[n++] = s->told[i];
    const uint32_t old = s->tolds - most / 2;
    double bar = INFINITY; /* the best of the old: by rising cost */
    for (double last = -1; n < most; last = bar) {
        uint32_t alike = 0;
        bar = INFINITY;
        for (uint32_t i = 0; i < old; i++)
            if (s->cost[s->told[i]] > last) bar = fmin(bar, s->cost[s->told[i]]);
        for (uint32_t i = 0; i < old && n < most && isfinite(bar); i++)
            if (s->cost[s->told[i]] == bar) m->picked[n++] = s->told[i], alike++;
        if (alike == 0) break;
    }
    return n;
}

static int rising(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_of(const double *y, uint32_t n, double *scratch)
{
    for (uint32_t i = 0; i < n; i++) scratch[i] = y[i];
    qsort(scratch, n, sizeof *scratch, rising);
    return scratch[n / 2];
}

static void fit(sk_strategy *s, model *m)
{
    const uint32_t dims = m->process.dims;
    double worst = 0, sorted[SK_SURROGATE_POINTS];
    uint32_t n = pick_told(s, m, SK_SURROGATE_POINTS - 32); /* room for those that are given */
    const double best = s->cost[s->best];
    for (uint32_t i = 0; i < n; i++)
        if (isfinite(s->cost[m->picked[i]])) worst = fmax(worst, s->cost[m->picked[i]]);
    for (uint32_t i = 0; i < n; i++) {
        const double cost = fmin(s->cost[m->picked[i]], worst);
        m->y[i] = log(log(cost / best) + NEAR_BEST);
    }
    const double middle = median_of(m->y, n, sorted);
    for (uint32_t i = 0; i < s->points.n && n < SK_SURROGATE_POINTS; i++)
        if (s->state[i] == SK_POINT_GIVEN) m->y[n] = middle, m->picked[n++] = i;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t d = 0; d < dims; d++) m->x[i * dims + d] = unit_of(m, m->picked[i])[d];
    sk_surrogate_fit(&m->process, m->x, m->y, n);
    if (m->learned && s->tolds < m->learned + LEARN_EVERY) return;
    sk_surrogate_learn(&m->process, m->learned ? LATER_TRIES : FIRST_TRIES, &s->rng);
    m->learned = s->tolds;
    m->pool_best = SK_NONE;
}

/* ---- the choice ----------------------------------------------------------------- */

/* The candidates: all of a small space; of a large one the neighbours of the best, and
 * others by chance, until the lengths are others or the best is. */
static void fill_pool(sk_strategy *s, model *m)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < s->points.n; i++) left += s->state[i] == SK_POINT_FREE;
    const bool all = left <= m->process.pool.most;
    if (m->pool_best == s->best || (all && m->pool_best != SK_NONE)) return;
    m->pool_best = s->best;
    sk_surrogate_pool_clear(&m->process);
    for (int near = 1; near >= 0; near--)
        for (uint32_t i = 0; i < s->points.n; i++) {
            if (s->state[i] != SK_POINT_FREE) continue;
            if ((sk_points_apart(&s->points, i, s->best) <= 1) != near) continue;
            if (!near && !all && sk_rng_unit(&s->rng) * left >= POOL_SHARE * m->process.pool.most)
                continue;
            const uint32_t at = m->process.pool.n;
            if (sk_surrogate_pool_add(&m->process, unit_of(m, i))) m->pool[at] = i;
        }
}

static uint32_t model_next(sk_strategy *s)
{
    model *m = s->own;
    uint32_t given = s->tolds, best = SK_NONE;
    for (uint32_t i = 0; i < s->points.n && given < m->first; i++)
        given += s->state[i] == SK_POINT_GIVEN;
    if (given < m->first || s->best == SK_NONE) return far_point(s, m);
    fit(s, m);
    fill_pool(s, m);
    sk_surrogate_improvements(&m->process, m->gain);
    for (uint32_t i = 0; i < m->process.pool.n; i++)
        if (s->state[m->pool[i]] == SK_POINT_FREE && (best == SK_NONE || m->gain[i] > m->gain[best]))
            best = i;
    return best == SK_NONE ? SK_NONE : m->pool[best];
}

const sk_strategy_kind sk_strategy_model = {
    .name = "model", .make = model_make, .free = model_free, .next = model_next};
