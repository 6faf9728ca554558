/* strategy.c - see strategy.h: the interface, and the strategies that are an order. */
#include "strategy_impl.h"

#include <math.h>
#include <string.h>

static const sk_strategy_kind exhaustive = {.name = "exhaustive"}, by_chance = {.name = "random"};
static const sk_strategy_kind *const kinds[] = {&exhaustive, &by_chance, &sk_strategy_local,
                                                &sk_strategy_model};

const char *sk_strategy_name(uint32_t i)
{
    return i < SK_COUNT(kinds) ? kinds[i]->name : i == SK_COUNT(kinds) ? "auto" : NULL;
}

uint32_t sk_points_apart(const sk_points *p, uint32_t a, uint32_t b)
{
    const uint16_t *x = p->at + (size_t)a * p->dims, *y = p->at + (size_t)b * p->dims;
    uint32_t apart = 0;
    for (uint32_t d = 0; d < p->dims; d++) apart += x[d] != y[d];
    return apart;
}

static const sk_strategy_kind *find_kind(const char *name, const sk_points *points, uint32_t trials)
{
    if (strcmp(name, "auto") == 0)
        return trials >= points->n ? &exhaustive : &sk_strategy_model;
    for (size_t i = 0; i < SK_COUNT(kinds); i++)
        if (strcmp(kinds[i]->name, name) == 0) return kinds[i];
    return NULL;
}

sk_status sk_strategy_make(const char *name, const sk_points *points, uint32_t trials,
                           uint64_t seed, sk_strategy **out, sk_err *err)
{
    const uint32_t n = points->n;
    const sk_strategy_kind *kind = find_kind(name, points, trials);
    *out = NULL;
    if (!kind)
        return sk_fail(err, SPHKV_EINVAL, "'%.40s' is no strategy: there are exhaustive, random, "
                       "local, model and auto", name);
    sk_strategy *s = sk_calloc(1, sizeof *s);
    if (!s) return sk_fail(err, SPHKV_ENOMEM, "no memory for a strategy");
    *s = (sk_strategy){.kind = kind, .points = *points, .trials = trials, .best = SK_NONE};
    s->state = sk_calloc(n, sizeof *s->state);
    s->cost = sk_calloc(n, sizeof *s->cost);
    s->order = sk_calloc(n, sizeof *s->order);
    s->told = sk_calloc(n, sizeof *s->told);
    sk_status st = SPHKV_OK;
    if (!s->state || !s->cost || !s->order || !s->told)
        st = sk_fail(err, SPHKV_ENOMEM, "no memory for a strategy of %u points", n);
    sk_rng_seed(&s->rng, seed);
    for (uint32_t i = 0; i < n && st == SPHKV_OK; i++) s->order[i] = i;
    if (st == SPHKV_OK && kind != &exhaustive) sk_rng_order(&s->rng, s->order, n);
    if (st == SPHKV_OK && kind->make) st = kind->make(s, err);
    if (st == SPHKV_OK)
        *out = s;
    else
        sk_strategy_free(s);
    return st;
}

void sk_strategy_free(sk_strategy *s)
{
    if (!s) return;
    if (s->kind->free) s->kind->free(s);
    sk_free(s->state);
    sk_free(s->cost);
    sk_free(s->order);
    sk_free(s->told);
    sk_free(s);
}

static uint32_t next_of_order(sk_strategy *s)
{
    while (s->at < s->points.n && s->state[s->order[s->at]] != SK_POINT_FREE) s->at++;
    return s->at < s->points.n ? s->order[s->at] : SK_NONE;
}

bool sk_strategy_next(sk_strategy *s, uint32_t *point)
{
    uint32_t i = s->kind->next ? s->kind->next(s) : SK_NONE;
    if (i == SK_NONE) i = next_of_order(s);
    if (i == SK_NONE) return false;
    s->state[i] = SK_POINT_GIVEN;
    *point = i;
    return true;
}

void sk_strategy_tell(sk_strategy *s, uint32_t point, double cost)
{
    if (s->state[point] == SK_POINT_TOLD) return;
    s->state[point] = SK_POINT_TOLD;
    s->cost[point] = cost;
    s->told[s->tolds++] = point;
    if (isfinite(cost) && (s->best == SK_NONE || cost < s->cost[s->best])) s->best = point;
}

void sk_strategy_skip(sk_strategy *s, uint32_t point)
{
    if (s->state[point] != SK_POINT_TOLD) s->state[point] = SK_POINT_SKIPPED;
}
