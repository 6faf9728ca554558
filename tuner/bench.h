/* bench.h - several kernels of attention at one shape, side by side: winners of
 * the database or given schedules, dense f16 always among them, each with a
 * sweep over as many bytes.
 *
 * One worker holds all of them (each lane has inputs of its own, in its own
 * tiers) and they take turns, so that their ratios survive a noisy machine. A
 * lane that cannot be built or is wrong is left out with its reason. */
#ifndef SK_BENCH_H
#define SK_BENCH_H

#include "job.h"
#include "peak.h"

#define SK_BENCH_LANES 17 /* mixes of a command and dense f16 */
#define SK_BENCH_RUNS 16

/* What one lane runs. Filled by sk_bench_pick. */
typedef struct sk_bench_lane {
    sk_spec spec;
    sk_schedule schedule;
    char *tiers, *schedule_text; /* own memory */
    char how[160];               /* "exact", "default", ... */
    sk_arena mem;                /* of the artifact */
    sk_db_artifact artifact;     /* bytes NULL: to be compiled */
    bool dense;                  /* the yardstick */
    char failed[400];            /* "" or why it was left out */
} sk_bench_lane;

/* Numbers of one run of one lane. */
typedef struct sk_bench_run {
    double median_us, sweep_us; /* medians over the rounds */
    double roofline;            /* median of sweep over kernel, round by round */
    double vs_dense;            /* median of dense over this; 0 = dense failed */
    double cached_us;           /* median on pages that stay in the cache: the limit that the
                                   instructions set; 0: not asked */
    double pages_us;            /* a plain read of the same pages (scatter.h); 0: not asked */
    sk_peak peak;               /* of the threads; zeros where arithmetic is not what limits */
    double vs_fp8;              /* the same of dense fp8, where it is a yardstick; else 0 */
} sk_bench_run;

typedef struct sk_bench {
    sk_shape shape;
    sk_bench_lane *lane;
    uint32_t lanes, dense;      /* dense: index of the yardstick; SK_NONE = there is none */
    uint32_t fp8;               /* of the second one, on a GPU; SK_NONE = there is none */
    const sk_device *device;
    uint32_t rounds, repeat;
    uint64_t seed;
    bool cached;                /* attention on a CPU: cached_us and pages_us, too */
    /* results */
    double bytes[SK_BENCH_LANES];       /* read and written once per run */
    double token_heads;                 /* KV tokens times KV heads */
    double operations[SK_BENCH_LANES];  /* multiply-adds, where they are what limits; else 0 */
    bool multiplies;                    /* they are, in a lane at least */
    double error[SK_BENCH_LANES];
    sk_bench_run run[SK_BENCH_LANES][SK_BENCH_RUNS];
} sk_bench;

/* schedule: NULL the database's best, else "default" or "k=v,..." over the
 * default. set may be NULL. A spec that no kernel does is a lane that failed.
 * SPHKV_EINVAL: a given schedule is wrong. */
sk_status sk_bench_pick(sk_db_set *set, const sk_device *device, const sk_spec *spec,
                        const sk_shape *shape, const char *schedule, sk_bench_lane *out,
                        sk_err *err);
/* The kernel that was written by hand for this spec and device: what generated code is
 * measured against. SPHKV_EUNSUPPORTED: there is none. */
sk_status sk_bench_pick_ceiling(const sk_device *device, const sk_spec *spec,
                                const sk_shape *shape, sk_bench_lane *out, sk_err *err);
void sk_bench_lane_free(sk_bench_lane *lane);

/* About how many bytes a lane of this shape needs, inputs and sweep; how many all
 * lanes of a bench may take together on this machine. */
double sk_bench_memory(const sk_spec *spec, const sk_shape *shape, const sk_device *device);
double sk_bench_memory_limit(const sk_device *device);

/* The run with the best roofline. */
uint32_t sk_bench_best(const sk_bench *bench, uint32_t lane);

/* shape, lane[], device, rounds, repeat and seed are given. *stop may be set by
 * a signal: SPHKV_EDEVICE with *stopped. SPHKV_ECOMPILE: there is no compiler
 * and something had to be compiled. */
sk_status sk_bench_measure(sk_bench *bench, const volatile int *stop, bool *stopped, sk_err *err);

#endif
