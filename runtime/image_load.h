/* image_load.h - from a spec and a schedule to code that can be called. Shared
 * by the runtime and the tuner's workers, so that what was checked and timed
 * is what an engine runs.
 *
 *   spec, schedule --sk_code_ir_build--> programs and their hash
 *                  --sk_code_compile---> artifact: bytes and launch facts
 *                  --sk_code_load------> sk_code: entries in executable memory
 *                  --sk_code_image-----> sk_image for given maxima
 *
 * The artifact's texts name everything that a load needs (symbols in entry
 * order, scratch bytes, the target it was compiled for), so stored code runs
 * with no IR and no compiler; with the IR at hand the two must agree.
 *
 * Code of a GPU is a module of its driver instead of memory of ours; loading and
 * launching it is in image_cuda.c, compiling it in compile_cuda.c.
 *
 * sk_code is reference-counted: plans, the context's registry and whoever
 * loaded it hold one each, and the memory of the code goes with the last. */
#ifndef SK_IMAGE_LOAD_H
#define SK_IMAGE_LOAD_H

#include "case.h"
#include "cuda_context.h"
#include "db.h"
#include "emit_llvm.h"
#include "kernel.h"
#include "object.h"

/* The programs of one (spec, schedule), in the arena they were built in. */
typedef struct sk_code_ir {
    sk_build build;
    char hash[65]; /* what records are keyed by */
} sk_code_ir;

/* Builds and hashes; needs no compiler. */
sk_status sk_code_ir_build(const sk_spec *spec, const sk_schedule *schedule, sk_arena *arena,
                           sk_code_ir *out, sk_err *err);

/* Compiles in this process (a compiler that aborts takes the process along:
 * untried schedules belong into a worker). Texts and bytes lie in `arena`. */
sk_status sk_code_compile(const sk_code_ir *ir, const sk_target *target,
                          const sk_jit_llvm_api *api, sk_arena *arena, sk_db_artifact *out,
                          sk_err *err);

typedef struct sk_code {
    _Atomic uint32_t refs;
    uint32_t nentry;
    uint32_t shared_bytes[SK_MAX_ENTRIES]; /* scratch of each entry */
    char ir_hash[65];
    /* on a CPU */
    sk_object *object;                     /* owns the memory behind entry[] */
    sk_cpu_entry entry[SK_MAX_ENTRIES];
    /* on a GPU */
    sk_cuda *cuda;                         /* a reference */
    sk_cu_module module;                   /* of its context */
    sk_cu_function function[SK_MAX_ENTRIES];
    uint32_t warps[SK_MAX_ENTRIES];        /* of a block */
    uint32_t sms;                          /* multiprocessors of the device */
} sk_code;

/* Loads stored or fresh code, with one reference. ir may be NULL (nothing to
 * compare with). SPHKV_EDB: texts or bytes are not what sk_code_compile makes,
 * or not of this IR; SPHKV_EUNSUPPORTED: compiled for more than `host` has. */
sk_status sk_code_load(const sk_db_artifact *artifact, const sk_code_ir *ir,
                       const sk_target *host, sk_code **out, sk_err *err);
/* The same for a CUBIN, or PTX, which the driver compiles: into the context of
 * `cuda`, whose GPU `device` is. SPHKV_EUNSUPPORTED: for other GPUs or a newer driver
 * than these, with what it is for; SPHKV_EDEVICE: the driver refuses. */
sk_status sk_code_load_cuda(const sk_db_artifact *artifact, const sk_code_ir *ir, sk_cuda *cuda,
                            const sk_target *device, sk_code **out, sk_err *err);
sk_code *sk_code_retain(sk_code *code);
void sk_code_release(sk_code *code); /* NULL is fine */

/* An image that calls, or launches, the code; it must not outlive its reference. */
sk_status sk_code_image(const sk_code *code, const sk_spec *spec, const sk_schedule *schedule,
                        const sphkv_maxima *maxima, sk_image *out, sk_err *err);

/* The check of sk_image_check, on the device that the code is loaded on: of small
 * cases in memory that both see, waited for before they are judged. */
sk_status sk_code_check(const sk_code *code, const sk_image *image, uint64_t seed, double *error,
                        sk_err *err);
/* Memory of a GPU for cases (case.h), and launches that wait: for who makes and
 * judges cases by itself. The image must not outlive the code. */
sk_case_memory sk_code_memory(const sk_code *code);
void sk_code_wait_for_launches(const sk_code *code, sk_image *image);
/* Launches that only enqueue: what sk_code_image sets. For code that is no kernel's, too. */
void sk_code_launches(const sk_code *code, sk_image *image);

/* Launch facts as stored with an artifact; one text has one meaning. */
typedef struct sk_launch {
    uint32_t nentry;
    uint32_t shared_bytes[SK_MAX_ENTRIES];
    sk_target target; /* backend; CPUs: triple, cpu, features and feature_text; GPUs: sm and
                         sm_exact; no more */
    /* GPUs */
    uint32_t warps[SK_MAX_ENTRIES];       /* of a block */
    uint32_t registers[SK_MAX_ENTRIES];   /* of a thread; 0: not known (PTX) */
    uint32_t spill_bytes[SK_MAX_ENTRIES]; /* of a thread, stored and loaded */
    uint32_t driver;                      /* the least: 12040 = CUDA 12.4 */
} sk_launch;
void sk_launch_print(const sk_launch *launch, sk_text *out);
bool sk_launch_parse(const char *text, sk_launch *out);

#endif
