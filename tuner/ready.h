/* ready.h - one schedule on its way to code that may be timed: compiled or taken
 * from the store, loaded, checked. Used inside workers only: compiling may abort
 * and running may crash. The steps are apart because a worker tells its parent
 * which one it is in. */
#ifndef SK_READY_H
#define SK_READY_H

#include "executor.h"

typedef struct sk_ready {
    sk_arena mem;            /* IR, texts and bytes of the artifact */
    sk_code_ir ir;
    sk_db_artifact artifact;
    sk_code *code;           /* NULL until loaded */
    sk_image image;          /* for the maxima given to load */
    sk_spec spec;
    sk_schedule schedule;
    double error;            /* after the check */
    bool compiled, checked;
} sk_ready;

/* Builds the IR. */
sk_status sk_ready_start(const sk_spec *spec, const sk_schedule *schedule, sk_ready *out,
                         sk_err *err);
sk_status sk_ready_compile(sk_ready *r, const sk_target *target, const sk_jit_llvm_api *api,
                           sk_err *err);
/* For a GPU, to a CUBIN: arch "sm_90". */
sk_status sk_ready_compile_cuda(sk_ready *r, const char *arch, const sk_nvrtc_api *api,
                                sk_err *err);
/* Instead of compiling: stored code, copied. */
sk_status sk_ready_adopt(sk_ready *r, const sk_db_artifact *artifact, sk_err *err);
sk_status sk_ready_load(sk_ready *r, const sk_executor *x, const sphkv_maxima *maxima,
                        sk_err *err);
/* Small shapes that cover every path, against the double reference. set: of this
 * spec and seed, and of the executor's memory; or NULL on a CPU. */
sk_status sk_ready_check(sk_ready *r, uint64_t seed, sk_check_set *set, sk_err *err);
void sk_ready_free(sk_ready *r); /* a zeroed one is fine */

#endif
