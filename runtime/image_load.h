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
 * sk_code is reference-counted: plans, the context's registry and whoever
 * loaded it hold one each, and the memory of the code goes with the last. */
#ifndef SK_IMAGE_LOAD_H
#define SK_IMAGE_LOAD_H

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
    sk_object *object;                     /* owns the memory behind entry[] */
    uint32_t nentry;
    sk_cpu_entry entry[SK_MAX_ENTRIES];
    uint32_t shared_bytes[SK_MAX_ENTRIES]; /* scratch of each entry */
    char ir_hash[65];
} sk_code;

/* Loads stored or fresh code, with one reference. ir may be NULL (nothing to
 * compare with). SPHKV_EDB: texts or bytes are not what sk_code_compile makes,
 * or not of this IR; SPHKV_EUNSUPPORTED: compiled for more than `host` has. */
sk_status sk_code_load(const sk_db_artifact *artifact, const sk_code_ir *ir,
                       const sk_target *host, sk_code **out, sk_err *err);
sk_code *sk_code_retain(sk_code *code);
void sk_code_release(sk_code *code); /* NULL is fine */

/* An image that calls the code; it must not outlive its reference. */
sk_status sk_code_image(const sk_code *code, const sk_spec *spec, const sk_schedule *schedule,
                        const sphkv_maxima *maxima, sk_image *out, sk_err *err);

/* Launch facts as stored with an artifact; one text has one meaning. */
typedef struct sk_launch {
    uint32_t nentry;
    uint32_t shared_bytes[SK_MAX_ENTRIES];
    sk_target target; /* triple, cpu, features and feature_text only */
} sk_launch;
void sk_launch_print(const sk_launch *launch, sk_text *out);
bool sk_launch_parse(const char *text, sk_launch *out);

#endif
