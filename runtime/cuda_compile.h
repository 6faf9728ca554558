/* cuda_compile.h - programs of a GPU to artifacts for a database: a CUBIN for one
 * architecture, and its PTX, which drivers of later ones compile. Needs no GPU. */
#ifndef SK_CUDA_COMPILE_H
#define SK_CUDA_COMPILE_H

#include "cuda_build.h"

typedef struct sk_cuda_built {
    uint32_t nentry;
    sk_cuda_resources resources[SK_MAX_ENTRIES]; /* of the CUBIN's entries, in order */
    sk_db_artifact cubin, ptx;                   /* texts and bytes lie in the arena */
} sk_cuda_built;

/* arch: "sm_90", "sm_90a". limit_ms and errors: those of sk_nvrtc_compile. */
sk_status sk_cuda_compile(const sk_code_ir *ir, const sk_spec *spec, const sk_schedule *schedule,
                          const char *arch, const sk_nvrtc_api *api, uint32_t limit_ms,
                          sk_arena *arena, sk_cuda_built *out, sk_err *err);

#endif
