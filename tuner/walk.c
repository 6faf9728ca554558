/* walk.c - see walk.h. */
#include "walk.h"

#include <math.h>
#include <string.h>

static bool tunes(const sk_space *space, uint32_t t)
{
    return sk_tunable_tunes(t, space->spec.kernel, space->target.backend);
}

/* The place of a tunable's value in its list, and the value when it is a number. */
static void fill_points(const sk_space *space, sk_points *p, sk_walk *w)
{
    uint32_t d = 0;
    for (uint32_t t = 0; t < SK_TUNABLE_COUNT; t++) {
        if (!tunes(space, t)) continue;
        const char first = sk_tunable_get(t)->values[0];
        w->levels[d] = (uint16_t)sk_tunable_count(t);
        for (uint32_t i = 0; i < space->count; i++) {
            const int32_t v = space->candidate[i].schedule.v[t];
            uint32_t k = 0;
            while (k + 1 < w->levels[d] && sk_tunable_value(t, k) != v) k++;
            w->at[(size_t)i * p->dims + d] = (uint16_t)k;
            w->number[(size_t)i * p->dims + d] = first >= '0' && first <= '9' ? v : (double)NAN;
        }
        d++;
    }
    p->at = w->at;
    p->levels = w->levels;
    p->number = w->number;
}

sk_status sk_walk_start(sk_space *space, const char *strategy, uint32_t trials, uint64_t seed,
                        sk_walk *out, sk_err *err)
{
    sk_points points = {.n = space->count};
    memset(out, 0, sizeof *out);
    out->space = space;
    for (uint32_t t = 0; t < SK_TUNABLE_COUNT; t++) points.dims += tunes(space, t);
    out->at = sk_calloc((size_t)points.n * points.dims + 1, sizeof *out->at);
    out->levels = sk_calloc(points.dims + 1, sizeof *out->levels);
    out->number = sk_calloc((size_t)points.n * points.dims + 1, sizeof *out->number);
    out->cost = sk_calloc(points.n, sizeof *out->cost);
    out->gone = sk_calloc(points.n, sizeof *out->gone);
    if (!out->at || !out->levels || !out->number || !out->cost || !out->gone) {
        sk_walk_free(out);
        return sk_fail(err, SPHKV_ENOMEM, "no memory for the order of trials");
    }
    fill_points(space, &points, out);
    sk_status st = sk_strategy_make(strategy, &points, trials, seed, &out->strategy, err);
    if (st != SPHKV_OK) sk_walk_free(out);
    return st;
}

void sk_walk_free(sk_walk *w)
{
    sk_strategy_free(w->strategy);
    sk_free(w->at);
    sk_free(w->levels);
    sk_free(w->number);
    sk_free(w->cost);
    sk_free(w->gone);
    sk_free(w->first);
    memset(w, 0, sizeof *w);
}

sk_status sk_walk_first(sk_walk *w, const uint32_t *index, uint32_t n, sk_err *err)
{
    uint32_t *more = sk_realloc(w->first, (w->firsts + n + 1) * sizeof *more);
    if (!more) return sk_fail(err, SPHKV_ENOMEM, "no memory for the first trials");
    w->first = more;
    for (uint32_t i = 0; i < n; i++) w->first[w->firsts++] = index[i];
    return SPHKV_OK;
}

void sk_walk_tell(sk_walk *w, uint32_t index, double cost)
{
    w->begun = w->begun || index == 0;
    w->gone[index] = true;
    w->cost[index] = cost;
    sk_strategy_tell(w->strategy, index, cost);
}

/* The default is not the strategy's to choose, nor are the first ones. */
static bool take_one(sk_walk *w, uint32_t *index)
{
    bool own = !w->begun;
    *index = 0;
    w->begun = true;
    while (!own && w->first_at < w->firsts) {
        *index = w->first[w->first_at++];
        own = !w->gone[*index];
    }
    if (!own) return sk_strategy_next(w->strategy, index);
    sk_strategy_skip(w->strategy, *index);
    return true;
}

sk_status sk_walk_next(sk_walk *w, uint32_t *index, bool *more, sk_err *err)
{
    for (;;) {
        uint32_t i;
        *more = take_one(w, &i);
        if (!*more) return SPHKV_OK;
        w->gone[i] = true;
        sk_status st = sk_space_resolve(w->space, i, err);
        if (st != SPHKV_OK) return st;
        const uint32_t same = w->space->candidate[i].same_as;
        *index = i;
        if (same == i) return SPHKV_OK;
        if (w->cost[same] > 0)
            sk_walk_tell(w, i, w->cost[same]);
        else
            sk_strategy_skip(w->strategy, i);
    }
}
