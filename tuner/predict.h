/* predict.h - how long a GPU schedule would take on a card that is not here.
 *
 * What a program does is counted, not guessed: the interpreter runs it on two small
 * inputs and says how often each instruction ran, how many wavefronts of shared
 * memory its accesses took with their bank conflicts, and how many sectors of
 * global memory. The difference of the two inputs is the work per KV token, the
 * rest the work per block. From that, with u over the units of a multiprocessor
 * (gpu_model.h):
 *
 *   t[u]    = (blocks * fixed[u] + token_heads * per_token[u])
 *             / (per_clock[u] * clock * busy multiprocessors)
 *   t[mem]  = bytes / (bandwidth * min(1, bytes under way / bytes needed under way))
 *   us      = launch + (t[mem]^4 + sum t[u]^4)^(1/4)
 *
 * Instructions are issued by warps that wait for their own results: where w warps are
 * at home on a multiprocessor, at most w * SK_PREDICT_WARP_ISSUE a clock.
 *
 * bytes: what must be read and written once. Bytes under way: of the warps that
 * fit on a multiprocessor at once (registers, shared memory, threads), each with
 * what it copies ahead, or SK_PREDICT_WARP_BYTES; needed: bandwidth times
 * SK_PREDICT_LATENCY_US (Little). The fourth power stands for work that overlaps,
 * but not fully. Good for a ranking; recorded as predicted, never as tuned. */
#ifndef SK_PREDICT_H
#define SK_PREDICT_H

#include "case.h"
#include "gpu_model.h"

#define SK_PREDICT_LAUNCH_US 3.0
#define SK_PREDICT_LATENCY_US 0.8
#define SK_PREDICT_WARP_BYTES 1024.0
#define SK_PREDICT_WARP_ISSUE 0.3

/* What a (spec, schedule) does, whatever the card. */
typedef struct sk_work {
    double fixed[SK_UNIT_COUNT];     /* per block */
    double per_token[SK_UNIT_COUNT]; /* per KV token and KV head */
    double ahead;                    /* bytes a warp copies ahead at most; 0 = it does not */
    uint32_t nentry, shared[SK_MAX_ENTRIES], warps[SK_MAX_ENTRIES];
} sk_work;
/* Builds and interprets; milliseconds to a second. SPHKV_EUNSUPPORTED: text written
 * by hand, which nothing can count. */
sk_status sk_work_count(const sk_spec *spec, const sk_schedule *schedule, sk_work *out, sk_err *err);

/* A shape to predict for: arguments from which a kernel derives its grid. */
typedef struct sk_predict_at {
    sk_spec spec;
    sk_shape shape;
    sk_cost cost;
    sk_case kase; /* of that many lists or items, a page long */
} sk_predict_at;
sk_status sk_predict_at_make(const sk_spec *spec, const sk_shape *shape, sk_predict_at *out,
                             sk_err *err);
void sk_predict_at_free(sk_predict_at *at); /* a zeroed one is fine */

typedef struct sk_prediction {
    double us;
    double memory_us, unit_us[SK_UNIT_COUNT];
    uint32_t limit;         /* the unit that takes longest; SK_UNIT_COUNT: memory */
    uint32_t blocks;        /* of the grid that the kernel would launch */
    uint32_t blocks_per_sm; /* that fit at once */
} sk_prediction;
/* registers: of a thread, when the code is compiled; 0 = not known. */
sk_status sk_predict(const sk_gpu_model *model, const sk_target *target, const sk_predict_at *at,
                     const sk_schedule *schedule, const sk_work *work, uint32_t registers,
                     sk_prediction *out, sk_err *err);

#endif
