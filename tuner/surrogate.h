/* surrogate.h - a Gaussian process: what a few measured points of a space say of all the
 * others. Points lie in the unit cube; the covariance is Matern 5/2 with a length for
 * each dimension, the lengths and the noise found by the likelihood of what was seen
 * (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, sections 2.2,
 * 4.2, 5.4).
 *
 * A new length costs the cube of the points, a further point their square, and its share
 * in what is said of each candidate (surrogate_pool.c) their number: what is known of the
 * earlier ones is kept. Hundreds of points, not thousands. */
#ifndef SK_SURROGATE_H
#define SK_SURROGATE_H

#include "base.h"

#define SK_SURROGATE_DIMS 128u
#define SK_SURROGATE_POINTS 320u
#define SK_SURROGATE_TILE 128u /* candidates that are worked on together */

/* Points that may be asked about, in tiles: [tile][..][SK_SURROGATE_TILE]. */
typedef struct sk_surrogate_pool {
    uint32_t n, most; /* most: what the arrays hold */
    uint32_t rows;    /* of v, that hold */
    double *x;        /* [tile][dims][]: coordinates */
    double *v;        /* [tile][SK_SURROGATE_POINTS][]: factor^-T times the covariance */
} sk_surrogate_pool;

typedef struct sk_surrogate {
    uint32_t dims, n;
    double length[SK_SURROGATE_DIMS], noise; /* noise: variance, of a signal of variance 1 */
    double signal;                           /* the signal's variance, by the last fit */
    double least;                            /* of y */
    double *x;      /* [SK_SURROGATE_POINTS][dims] */
    double *y;      /* [SK_SURROGATE_POINTS], mean 0, variance 1 */
    uint32_t rows;  /* leading points whose part of the factor holds */
    double *factor; /* [SK_SURROGATE_POINTS]^2, upper: factor^T factor is the covariance */
    double *z;      /* [SK_SURROGATE_POINTS]: factor^-T times y */
    sk_surrogate_pool pool;
} sk_surrogate;

/* pool: how many candidates at most. */
sk_status sk_surrogate_make(uint32_t dims, uint32_t pool, sk_surrogate *out, sk_err *err);
void sk_surrogate_free(sk_surrogate *s); /* a zeroed one is fine */

/* Takes n points (at most SK_SURROGATE_POINTS) with lengths and noise as they are. y is
 * copied, shifted and scaled. Points that lead the list as they did the last time cost
 * nothing again. */
void sk_surrogate_fit(sk_surrogate *s, const double *x, const double *y, uint32_t n);
/* Better lengths and noise for these points: `tries` random steps that are kept when
 * they are likelier, under a wide prior. Leaves the fit of the best. */
void sk_surrogate_learn(sk_surrogate *s, uint32_t tries, sk_rng *rng);

/* ---- candidates (surrogate_pool.c) -------------------------------------------- */

/* The candidates, from now on: none at first, then one after the other. */
void sk_surrogate_pool_clear(sk_surrogate *s);
bool sk_surrogate_pool_add(sk_surrogate *s, const double *at); /* false: the pool is full */
/* Expected improvement on the least y at each candidate: the mean of max(0, least -
 * value). gain [pool.n]. */
void sk_surrogate_improvements(sk_surrogate *s, double *gain);

/* Covariance of a point with up to SK_SURROGATE_TILE others, these as [dims][tile]. */
void sk_surrogate_covariance(const sk_surrogate *s, const double *point, const double *others,
                             uint32_t n, double *out);

#endif
