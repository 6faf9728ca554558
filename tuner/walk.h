/* walk.h - the order of trials of a job: the default schedule first, then what won in
 * similar jobs, then what a strategy asks for (strategy.h). Candidates whose code another one has are not handed out: the
 * strategy is told what that one costs. */
#ifndef SK_WALK_H
#define SK_WALK_H

#include "space.h"
#include "strategy.h"

typedef struct sk_walk {
    sk_space *space;
    sk_strategy *strategy;
    uint16_t *at, *levels; /* the strategy's points: a dimension for each tunable */
    double *number;        /* the same, the values themselves */
    double *cost;          /* [count]: what was told; 0 = nothing */
    bool *gone;            /* [count]: handed out, told or passed over */
    bool begun;            /* the default was handed out */
    uint32_t *first, firsts, first_at; /* after it, before the strategy's own; how far */
} sk_walk;

/* strategy: a name; trials: how many there will be, 0 = not known. Deterministic for a
 * seed and what it is told. */
sk_status sk_walk_start(sk_space *space, const char *strategy, uint32_t trials, uint64_t seed,
                        sk_walk *out, sk_err *err);
void sk_walk_free(sk_walk *walk); /* a zeroed one is fine */
/* n candidates that are to come right after the default, in this order, behind those of an
 * earlier call: what must be tried again, what won elsewhere. */
sk_status sk_walk_first(sk_walk *walk, const uint32_t *index, uint32_t n, sk_err *err);
/* What a candidate costs, as a share of the default's time; INFINITY: it failed. Also of
 * those that were not handed out, which then never are. */
void sk_walk_tell(sk_walk *walk, uint32_t index, double cost);
/* The next candidate, resolved and with code of its own (or without IR); false
 * when the space is exhausted. */
sk_status sk_walk_next(sk_walk *walk, uint32_t *index, bool *more, sk_err *err);

#endif
