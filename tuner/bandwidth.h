/* bandwidth.h - the yardstick: a plain sweep over as many bytes as a kernel
 * must move, by the same threads (or the same GPU), over memory that is not in a cache.
 *
 * A roofline is only worth something when the sweep is hard to beat, so it
 * reads with whole vectors in 1, 2, 4 or 8 streams (which of them is best
 * differs between machines and is found out first), from huge pages when the
 * system has them; on a GPU the shape of the grid is found out (bandwidth_gpu.c). For
 * kernels that write about as much as they read the sweep
 * copies, half of its bytes read and half written. */
#ifndef SK_BANDWIDTH_H
#define SK_BANDWIDTH_H

#include "executor.h"

#define SK_SWEEP_FORMS 4

typedef struct sk_sweep {
    sk_executor *x;
    uint8_t *buffer;  /* mapped; twice the bytes of one pass and larger than the caches; a
                         GPU's is no larger than what is not in its cache after a pass */
    size_t size;
    size_t offset;    /* where the next pass begins: passes rotate through the buffer */
    size_t bytes;     /* of one pass */
    uint32_t streams; /* 1, 2, 4, 8; of a GPU the form, from 0 */
    bool copy;
    uint32_t reps;    /* passes per sample, so that a sample is long enough to time; of a
                         GPU replays */
    _Atomic uint64_t sink; /* what was read, so that reading cannot be left out */
    /* of a GPU */
    void *lanes;      /* where a sum goes that nobody expects */
    uint32_t passes;  /* of a graph */
    sk_cuda_graph graph[SK_SWEEP_FORMS];
} sk_sweep;

/* cold: bytes that surely fall out of the last-level cache. */
sk_status sk_sweep_make(sk_executor *x, size_t bytes, size_t cold, bool copy, sk_sweep *out,
                        sk_err *err);
/* Whether the sweep beside a kernel copies: where it writes as much as matters. */
static inline bool sk_sweep_copies(double read, double write) { return write > read / 4; }
void sk_sweep_free(sk_sweep *sweep); /* a zeroed one is fine */

/* Sets reps and streams by trying them. */
sk_status sk_sweep_choose(sk_sweep *sweep, sk_err *err);

/* Which form, or number of streams, was the fastest, by medians of rounds. */
#define SK_SWEEP_ROUNDS 7u
uint32_t sk_sweep_best(double us[SK_SWEEP_FORMS][SK_SWEEP_ROUNDS]);

/* Microseconds of one pass, averaged over reps. */
sk_status sk_sweep_time(sk_sweep *sweep, double *us, sk_err *err);

#endif
