/* measure.h - times kernels as they are deployed: cold inputs, the same threads,
 * turn by turn.
 *
 * A lane is one image with its own workspace on a case; lanes of one case share
 * its copies and the cursor through them, so every run meets inputs that no
 * recent run has touched. A sample is a mean over `reps` runs when one run is too
 * short to time. Lanes take turns in an order that changes every round: a slow
 * stretch of the machine hits all of them, and the pairs of a round can be
 * compared. */
#ifndef SK_MEASURE_H
#define SK_MEASURE_H

#include "bandwidth.h"
#include "case.h"

typedef struct sk_lane {
    const sk_image *image;
    uint8_t *args;         /* [copies] args structs of the kernel, with our workspace */
    size_t args_size;
    uint32_t copies;
    uint32_t *cursor;      /* next copy; shared by the lanes of a case */
    uint32_t reps;         /* runs per sample */
    void *workspace;       /* 64-byte aligned, zeroed once */
    void *memory;          /* what it lies in */
    double bytes;          /* must be read or written once per run */
    _Atomic uint32_t fail; /* sk_status of a part that failed */
} sk_lane;

/* The case must outlive the lane. *cursor may start anywhere. */
sk_status sk_lane_make(const sk_image *image, const sk_case *kase, uint32_t *cursor, double bytes,
                       sk_lane *out, sk_err *err);
void sk_lane_free(sk_lane *lane); /* a zeroed one is fine */

/* One run on one copy, all parts. */
sk_status sk_lane_run(sk_lane *lane, sk_team *team, uint32_t copy, sk_err *err);
/* One sample, microseconds per run. */
sk_status sk_lane_time(sk_lane *lane, sk_team *team, double *us, sk_err *err);
/* Warms up (every copy once, within a time) and sets reps. */
sk_status sk_lane_settle(sk_lane *lane, sk_team *team, sk_err *err);

/* n samples of each lane and, where sweep[i] is not NULL, of its sweep, in
 * rounds. us[i] and sweep_us[i] hold `rounds` numbers; sweep_us[i] is only
 * written with a sweep. */
sk_status sk_measure_rounds(sk_lane *const *lane, sk_sweep *const *sweep, uint32_t n,
                            uint32_t rounds, sk_team *team, uint64_t seed, double *const *us,
                            double *const *sweep_us, sk_err *err);

/* Bytes that surely fall out of this machine's last-level cache when read. */
size_t sk_measure_cold_bytes(uint32_t last_level_bytes);

#endif
