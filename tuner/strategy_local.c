/* strategy_local.c - the neighbours of the best so far: quick where a space is smooth, and
 * stuck where it is not, so every third point comes from the random order. */
#include "strategy_impl.h"

typedef struct local {
    uint32_t *near;  /* [n]: neighbours of `of`, shuffled */
    uint32_t nears, of, turn;
} local;

static sk_status local_make(sk_strategy *s, sk_err *err)
{
    local *l = s->own = sk_calloc(1, sizeof *l);
    if (l) l->near = sk_calloc(s->points.n, sizeof *l->near);
    if (!l || !l->near) return sk_fail(err, SPHKV_ENOMEM, "no memory for neighbours");
    l->of = SK_NONE;
    l->turn = 1; /* what is known at the start has neighbours already */
    return SPHKV_OK;
}

static void local_free(sk_strategy *s)
{
    local *l = s->own;
    if (l) sk_free(l->near);
    sk_free(l);
}

static void find_neighbours(sk_strategy *s)
{
    local *l = s->own;
    l->of = s->best;
    l->nears = 0;
    for (uint32_t i = 0; i < s->points.n; i++)
        if (s->state[i] == SK_POINT_FREE && sk_points_apart(&s->points, i, s->best) == 1)
            l->near[l->nears++] = i;
    for (uint32_t i = l->nears; i > 1; i--) {
        const uint32_t k = sk_rng_below(&s->rng, i), x = l->near[i - 1];
        l->near[i - 1] = l->near[k];
        l->near[k] = x;
    }
}

static uint32_t local_next(sk_strategy *s)
{
    local *l = s->own;
    if (s->best != l->of) find_neighbours(s);
    if (l->turn++ % 3 == 0) return SK_NONE;
    while (l->nears > 0) {
        const uint32_t i = l->near[--l->nears];
        if (s->state[i] == SK_POINT_FREE) return i;
    }
    return SK_NONE;
}

const sk_strategy_kind sk_strategy_local = {
    .name = "local", .make = local_make, .free = local_free, .next = local_next};
