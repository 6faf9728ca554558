/* t4.h - a space that somebody tuned exhaustively and recorded, in the T4 format of the
 * auto-tuning community (one result per configuration: values of the parameters,
 * outcome, times). Plain or compressed by gzip. */
#ifndef SK_T4_H
#define SK_T4_H

#include "strategy.h"
#include "t1.h"

typedef struct sk_t4 {
    sk_points points;      /* its arrays are own memory: see at, levels, number */
    uint16_t *at, *levels;
    double *number;
    double *cost;          /* [n]: the objective's mean; INFINITY: it failed */
    double *seconds;       /* [n]: compile and run time on the device that was recorded */
    double best;           /* least cost */
    uint32_t failed;
    uint32_t forbidden;    /* left out: a constraint forbids them */
} sk_t4;

/* SPHKV_EIO: it cannot be read; SPHKV_EINVAL: it is no such file, with the place that is
 * wrong. The dimensions are the parameters in their order, the values of one in rising
 * order, or as the description has them. That must be of the same parameters and hold all
 * values; what its constraints forbid is left out, and must not have been right. */
sk_status sk_t4_read(const char *path, const sk_t1 *t1, sk_t4 *out, sk_err *err);
void sk_t4_free(sk_t4 *t); /* a zeroed one is fine */

#endif
