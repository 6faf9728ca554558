/* statistics.h - what noisy times say: medians, paired ratios with a bootstrap
 * interval, and the verdict of a final round.
 *
 * Why paired: machines are shared, and a slow stretch slows both sides of a
 * pair; the ratio stays. Why a fixed order for ties: two machines of a kind
 * that measure the same noise must pick the same schedule. Everything is seeded
 * and plain C: the same samples give the same verdict anywhere. */
#ifndef SK_STATISTICS_H
#define SK_STATISTICS_H

#include "base.h"

/* Within this share two medians count as equal, whatever the interval says. */
#define SK_TIE_SHARE 0.01

/* 0 when n is 0; x is not changed. The lower middle and upper middle are
 * averaged when n is even. */
double sk_median(const double *x, size_t n);

typedef struct sk_interval {
    double mid;    /* median of the ratios */
    double lo, hi; /* 95 % by bootstrap */
} sk_interval;

/* Ratios top[i] / bottom[i] of n pairs. Pairs that are not positive and finite
 * are left out; SPHKV_EINVAL when none is left. */
sk_status sk_ratio_interval(const double *top, const double *bottom, size_t n, uint64_t seed,
                            sk_interval *out, sk_err *err);

/* One who takes part in a final round. */
typedef struct sk_entrant {
    uint32_t rank;         /* place in the fixed order; 0 = the default schedule */
    const double *samples; /* [rounds], microseconds; round i is paired with round i of all */
} sk_entrant;

#define SK_MAX_ENTRANTS 16

typedef struct sk_verdict {
    uint32_t winner;            /* index of an entrant */
    uint32_t fastest;           /* index of the largest paired ratio to the default */
    bool tied[SK_MAX_ENTRANTS]; /* not told apart from the fastest (itself included) */
    sk_interval speedup;        /* of the winner over the default; exactly 1 when that wins */
} sk_verdict;

/* The fastest by a paired test; among those tied with it the lowest rank that
 * is not slower than the default by the same test. Exactly one entrant has rank
 * 0. A winner other than the default beats it by an interval that excludes 1. */
sk_status sk_verdict_find(const sk_entrant *entrant, uint32_t n, size_t rounds, uint64_t seed,
                          sk_verdict *out, sk_err *err);

#endif
