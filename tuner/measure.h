/* measure.h - times kernels as they are deployed: cold inputs, the same threads,
 * turn by turn.
 *
 * A lane is one image with its own workspace on a case; lanes of one case share
 * its copies and the cursor through them, so every run meets inputs that no
 * recent run has touched. A sample is a mean over `reps` runs when one run is too
 * short to time. Lanes take turns in an order that changes every round: a slow
 * stretch of the machine hits all of them, and the pairs of a round can be
 * compared. So do their workspaces change places: where one lies is worth some per cent
 * of a kernel's time (which of its pages and lines fall on the same sets of a cache),
 * the same ones in every pair of a lane that stays where it is.
 *
 * On a GPU the runs of a lane, one on each copy, are captured in a graph once; a sample
 * is a mean over replays between two events. What the first replay meets (memory that
 * must move, code that must load) is not timed. */
#ifndef SK_MEASURE_H
#define SK_MEASURE_H

#include "bandwidth.h"

typedef struct sk_lane {
    sk_executor *x;
    const sk_image *image;
    uint8_t *args;         /* [copies] args structs of the kernel, with our workspace */
    size_t args_size;
    uint32_t copies;
    uint32_t *cursor;      /* next copy; shared by the lanes of a case */
    uint32_t reps;         /* runs per sample; on a GPU replays */
    void *workspace;       /* 64-byte aligned, zeroed */
    size_t work;           /* its bytes */
    void *memory;          /* what it lies in, on a CPU somewhere */
    sk_cuda_graph graph;   /* on a GPU, once it has settled: a run on each copy */
    double bytes;          /* must be read or written once per run */
    _Atomic uint32_t fail; /* sk_status of a part that failed */
} sk_lane;

/* The case, made of the executor's memory, must outlive the lane. *cursor may start
 * anywhere. */
sk_status sk_lane_make(sk_executor *x, const sk_image *image, const sk_case *kase,
                       uint32_t *cursor, double bytes, sk_lane *out, sk_err *err);
void sk_lane_free(sk_lane *lane); /* a zeroed one is fine */

/* One run on one copy, all parts; it has ended on return. On a GPU SPHKV_EDEVICE: the
 * kernel went wrong there, and nothing more can be done in this process. */
sk_status sk_lane_run(sk_lane *lane, uint32_t copy, sk_err *err);
/* One sample, microseconds per run. */
sk_status sk_lane_time(sk_lane *lane, double *us, sk_err *err);
/* Warms up and sets reps. walked: another lane of this process has met every copy of the
 * case; else this one does, within a time. */
sk_status sk_lane_settle(sk_lane *lane, bool walked, sk_err *err);

/* Another place for the workspace, by chance, anew full of zeros; on a GPU, where graphs hold
 * it, none. */
void sk_lane_move(sk_lane *lane, sk_rng *rng);

/* n samples of each lane and, where sweep[i] is not NULL, of its sweep, in
 * rounds, before each of which all lanes move. us[i] and sweep_us[i] hold `rounds` numbers;
 * sweep_us[i] is only written with a sweep. */
sk_status sk_measure_rounds(sk_lane *const *lane, sk_sweep *const *sweep, uint32_t n,
                            uint32_t rounds, uint64_t seed, double *const *us,
                            double *const *sweep_us, sk_err *err);

/* Bytes that surely fall out of this machine's last-level cache when read. */
size_t sk_measure_cold_bytes(uint32_t last_level_bytes);
static inline size_t sk_device_cold_bytes(const sk_device *device)
{
    return sk_measure_cold_bytes(device->target.backend == SK_BACKEND_CUDA ? device->gpu.l2_bytes
                                                                           : device->facts.l3_bytes);
}
/* So many repetitions of what takes `us` make a sample of at least `least`. A sample meets
 * several copies of the inputs, since their places, too, are worth some per cent. Replays
 * follow each other without a gap only once a few are under way: a GPU's are longer. */
#define SK_SAMPLE_US 1000.0
#define SK_SAMPLE_GPU_US 2000.0
uint32_t sk_measure_reps(double us, double least);

#endif
