/* strategy.h - which candidate of a space is tried next. A space is a list of points,
 * each with a value per dimension; a strategy knows nothing else of it, so that the
 * same one searches our schedules and spaces that others have recorded (simulate.h).
 *
 *   exhaustive  all of them in their order
 *   random      all of them in a seeded order
 *   local       the neighbours of the best so far (one dimension apart), shuffled, two of
 *               them to one of the random order
 *   model       a Gaussian process of what was seen (surrogate.h, coordinates.h); the
 *               point of the largest expected improvement
 *   auto        exhaustive where the trials are enough for the whole space, else model
 *
 * What a strategy gives depends on the seed and on what it was told, on nothing else. */
#ifndef SK_STRATEGY_H
#define SK_STRATEGY_H

#include "base.h"

/* Points, not copied: they outlive the strategy. */
typedef struct sk_points {
    uint32_t n, dims;
    const uint16_t *at;     /* [n][dims]: place among the values of the dimension */
    const uint16_t *levels; /* [dims]: how many values it has, at least 1 */
    const double *number;   /* [n][dims]: the value, NAN where it is a word; NULL: not known */
} sk_points;

typedef struct sk_strategy sk_strategy;

const char *sk_strategy_name(uint32_t i); /* NULL behind the last */
/* trials: how many will be asked for; 0 = not known. SPHKV_EINVAL: no such name. */
sk_status sk_strategy_make(const char *name, const sk_points *points, uint32_t trials,
                           uint64_t seed, sk_strategy **out, sk_err *err);
void sk_strategy_free(sk_strategy *s); /* NULL is fine */

/* The next point, none twice and none that it was told of; false: there is no other.
 * Several may be asked for before the first is told. */
bool sk_strategy_next(sk_strategy *s, uint32_t *point);
/* What a point costs, more than 0 (a time, or a time as a share of the default's);
 * INFINITY: it failed. Also of points that it did not give. */
void sk_strategy_tell(sk_strategy *s, uint32_t point, double cost);
/* This point is out of the question (it makes the code of another): never given. */
void sk_strategy_skip(sk_strategy *s, uint32_t point);

#endif
