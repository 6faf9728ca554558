/* surrogate.h - a Gaussian process: what a few measured points of a space say of all the
 * others. Points lie in the unit cube; the covariance is Matern 5/2 with a length for
 * each dimension, the lengths and the noise found by the likelihood of what was seen
 * (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, sections 2.2,
 * 4.2, 5.4). Costs grow with the cube of the points: hundreds, not thousands. */
#ifndef SK_SURROGATE_H
#define SK_SURROGATE_H

#include "base.h"

#define SK_SURROGATE_DIMS 32u
#define SK_SURROGATE_POINTS 320u

typedef struct sk_surrogate {
    uint32_t dims, n;
    double length[SK_SURROGATE_DIMS], noise; /* noise: variance, of a signal of variance 1 */
    double signal;                           /* the signal's variance, by the last fit */
    double least;                            /* of y */
    double *x;      /* [n][dims] */
    double *y;      /* [n], mean 0, variance 1 */
    double *factor; /* [n][n], lower: Cholesky factor of the covariance */
    double *alpha;  /* [n]: covariance inverse times y */
    double *work;   /* [n] */
} sk_surrogate;

sk_status sk_surrogate_make(uint32_t dims, sk_surrogate *out, sk_err *err);
void sk_surrogate_free(sk_surrogate *s); /* a zeroed one is fine */

/* Takes n points (at most SK_SURROGATE_POINTS) with lengths and noise as they are. y is
 * copied, shifted and scaled. */
void sk_surrogate_fit(sk_surrogate *s, const double *x, const double *y, uint32_t n);
/* Better lengths and noise for these points: `tries` random steps that are kept when
 * they are likelier, under a wide prior. Leaves the fit of the best. */
void sk_surrogate_learn(sk_surrogate *s, uint32_t tries, sk_rng *rng);

/* Expected improvement on the least y at a point: the mean of max(0, least - value).
 * `least_wanted`: where even full uncertainty would give no more than that, anything
 * below it may be answered (it saves the cost of the variance). */
double sk_surrogate_improvement(const sk_surrogate *s, const double *at, double least_wanted);

#endif
