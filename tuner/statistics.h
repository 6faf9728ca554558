/* statistics.h - what noisy times say: medians, paired ratios with a bootstrap
 * interval, and the verdict of a final round with the risk that it would be another.
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

/* The lower bound of the median of top[i] / bottom[i] at confidence 1 - alpha, one-sided,
 * by the sign test: exact for any shape of noise that leaves the pairs independent. 0 when
 * there are too few pairs (6 for an alpha of 0.025) to say anything. */
double sk_ratio_bound(const double *top, const double *bottom, size_t n, double alpha);

/* ---- the verdict of a final (statistics_verdict.c) ------------------------------- */

/* One who takes part in a final round. */
typedef struct sk_entrant {
    uint32_t rank;         /* place in the fixed order; 0 = the default schedule */
    const double *samples; /* [rounds], microseconds; round i is paired with round i of all */
} sk_entrant;

#define SK_MAX_ENTRANTS 16
#define SK_VERDICT_RISK 0.025 /* of calling someone faster who is not, in a whole final */
#define SK_TIES_MISS 0.05     /* of the finals to come: that name neither the winner nor a tie */

typedef struct sk_verdict {
    uint32_t winner;            /* index of an entrant */
    uint32_t fastest;           /* index of the largest paired ratio to the default */
    bool tied[SK_MAX_ENTRANTS]; /* not told apart from the fastest (itself included), or
                                 * likely enough to be named by the next final */
    sk_interval speedup;        /* of the winner over the default; exactly 1 when that wins */
    double flip_risk;           /* how often a final like this one names another winner */
} sk_verdict;

/* One of n entrants is faster than another when that is proven: the bound (sk_ratio_bound) of
 * the median of the paired ratios at this alpha lies above 1 + SK_TIE_SHARE. */
double sk_verdict_alpha(uint32_t n);

/* The rule: entrants of which neither is faster than the other are tied. The winner is the
 * one of lowest rank among those tied with the fastest that are faster than the default; the
 * default when it is tied itself. Exactly one entrant has rank 0.
 *
 * It is then applied to finals drawn from the rounds of this one (bootstrap, whole rounds, so
 * that pairs stay pairs): where more of them name another who is faster than the default, or
 * the default, that is the winner. flip_risk is the share that does not name the winner. Where
 * winner and ties together have less than 1 - SK_TIES_MISS of those finals, whoever else was
 * named most often joins the ties, the default too: what the next final names is the winner
 * of this one or one of its ties, but for that share. */
sk_status sk_verdict_find(const sk_entrant *entrant, uint32_t n, size_t rounds, uint64_t seed,
                          sk_verdict *out, sk_err *err);

/* How noisy the stretch was in which each round was taken: the middle one of its entrants'
 * times as shares of their usual ones, so 1 in a quiet round, and more when all of them
 * were slow together. us[i][r]; entries that are not positive are left out. */
#define SK_NOISY 1.15 /* above it a round is taken again */
void sk_round_moods(const double *const *us, uint32_t n, size_t rounds, double *mood);

#endif
