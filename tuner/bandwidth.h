/* bandwidth.h - the yardstick: a plain sweep over as many bytes as a kernel
 * must move, by the same threads, over memory that is not in a cache.
 *
 * A roofline is only worth something when the sweep is hard to beat, so it
 * reads with whole vectors in 1, 2, 4 or 8 streams (which of them is best
 * differs between machines and is found out first), from huge pages when the
 * system has them. For kernels that write about as much as they read the sweep
 * copies, half of its bytes read and half written. */
#ifndef SK_BANDWIDTH_H
#define SK_BANDWIDTH_H

#include "team.h"

typedef struct sk_sweep {
    uint8_t *buffer;  /* mapped; twice the bytes of one pass and larger than the caches */
    size_t size;
    size_t offset;    /* where the next pass begins: passes rotate through the buffer */
    size_t bytes;     /* of one pass */
    uint32_t streams; /* 1, 2, 4, 8 */
    bool copy;
    uint32_t reps;    /* passes per sample, so that a sample is long enough to time */
    _Atomic uint64_t sink; /* what was read, so that reading cannot be left out */
} sk_sweep;

/* cold: bytes that surely fall out of the last-level cache. */
sk_status sk_sweep_make(size_t bytes, size_t cold, bool copy, sk_sweep *out, sk_err *err);
/* Whether the sweep beside a kernel copies: where it writes as much as matters. */
static inline bool sk_sweep_copies(double read, double write) { return write > read / 4; }
void sk_sweep_free(sk_sweep *sweep); /* a zeroed one is fine */

/* Sets reps and streams by trying them on this team. */
void sk_sweep_choose(sk_sweep *sweep, sk_team *team);

/* Microseconds of one pass, averaged over reps. */
double sk_sweep_time(sk_sweep *sweep, sk_team *team);

#endif
