/* job.h - one kernel, one spec, one shape: what a search is about.
 *
 * Made by the parent before any worker is forked: spec, space, inputs for the
 * timed shape. Workers see it by copy-on-write and answer in shared memory. The
 * parent never runs a kernel and never opens a compiler, so everything that can
 * go wrong with a candidate goes wrong in a worker.
 *
 * Inputs of kernels that only read them are made by the parent once. Kernels
 * that write pages would turn every page into a private copy of the worker, with
 * small pages behind it: their inputs are made by each worker for itself. So are all of
 * a GPU's, in memory that ends with the worker's CUDA context. */
#ifndef SK_JOB_H
#define SK_JOB_H

#include "case.h"
#include "device.h"
#include "measure.h"
#include "space.h"
#include "statistics.h"

#define SK_SAMPLES_MOST 64  /* pairs of a trial */
#define SK_ROUNDS_MOST 256  /* of a final */
#define SK_CODE_MOST ((size_t)4 << 20)

/* Samples to take. */
typedef struct sk_effort {
    const char *name;
    uint32_t pairs;     /* candidate and default, per trial */
    uint32_t rounds;    /* of the final, at least 30 */
    uint32_t rounds_most; /* while it is not settled who is faster */
    uint32_t finalists; /* beside the default */
    uint32_t trials;    /* per job when neither --time nor --trials is given; 0 = all */
    double seconds;     /* likewise; 0 = any */
} sk_effort;
/* "quick", "normal", "full"; NULL when unknown. */
const sk_effort *sk_effort_find(const char *name);

/* What workers write and the parent reads. Sizes are checked on reading. */
typedef struct sk_answer {
    uint32_t status;       /* sk_status of the request */
    uint32_t outcome;      /* sk_db_outcome of a trial */
    char message[400];
    double error;          /* of a trial, relative; negative = not measured */
    char error_kind[24];
    uint32_t samples;      /* pairs taken */
    double sample[SK_SAMPLES_MOST], baseline[SK_SAMPLES_MOST];
    /* the final: entrants are given by the parent */
    uint32_t entrants, entrant[SK_MAX_ENTRANTS];
    uint32_t rounds, streams;
    double time[SK_MAX_ENTRANTS][SK_ROUNDS_MOST]; /* 0 from where one left the race */
    double sweep[SK_ROUNDS_MOST];
    double read_bytes, write_bytes; /* of the inputs that the worker made */
    /* the default's result at the timed shape, where outputs are compared */
    uint32_t base_ready;
    double magnitude;      /* RMS of sum p |v| */
} sk_answer;

/* Code on its way between processes, in shared memory: an sk_db_artifact whose
 * texts and bytes lie in place. */
typedef struct sk_code_slot {
    uint32_t status;       /* sk_status of a compile */
    uint32_t index;        /* of the candidate */
    char message[400];
    char kind[8];
    char entries[2048], launch[4096], ir_hash[65];
    uint64_t code_bytes;
    uint8_t code[SK_CODE_MOST]; /* last: touched as far as it is used */
} sk_code_slot;

typedef struct sk_job {
    const sk_kernel *kernel;
    sk_spec spec;
    char *spec_text;         /* canonical */
    sk_shape shape;
    sk_db_shape db_shape;
    sphkv_maxima maxima;
    const sk_device *device;
    const sk_effort *effort;
    uint64_t seed;
    sk_space space;
    double read_bytes, write_bytes; /* once per run at this shape; 0 until inputs are made */
    size_t cold;             /* bytes that fall out of the caches */
    sk_case kase;            /* inputs at the timed shape */
    sk_case_memory memory;   /* what they are made of; set by a worker on a GPU */
    bool case_made, case_by_worker;
    sk_answer *answer;       /* shared */
    sk_code_slot *code;      /* shared, [SK_MAX_ENTRANTS]: what the worker loads; 0 = the default */
    float *base;             /* shared: the default's outputs at the timed shape */
    size_t base_count;
    struct sk_rig *rig;      /* the worker's own; NULL in the parent */
} sk_job;

/* The shape a kernel is tuned at for a model's context and batch: decoding steps
 * for attn_decode and kv_append, full pages of a prefill for kv_encode. */
sk_shape sk_job_shape(const sk_spec *spec, uint32_t kv_heads, uint32_t context, uint32_t batch,
                      uint32_t threads);

/* Fills everything but the inputs. */
sk_status sk_job_make(const sk_spec *spec, const sk_shape *shape, const sk_device *device,
                      const sk_effort *effort, uint64_t seed, sk_job *out, sk_err *err);
/* Makes the inputs (in the parent, unless case_by_worker). */
sk_status sk_job_inputs(sk_job *job, sk_err *err);
void sk_job_free(sk_job *job); /* a zeroed one is fine */

/* Inputs of a timed shape, copies enough to be cold; or, of attention, with `cached` not
 * 0, one whose pages stay in so many bytes. memory: of the executor. */
sk_status sk_job_case(const sk_spec *spec, const sk_shape *shape, size_t cold, size_t cached,
                      uint64_t seed, const sk_case_memory *memory, sk_case *out, sk_err *err);

#endif
