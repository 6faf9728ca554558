/* cuda_build.h - from the programs of a kernel, or the text that was written by hand
 * for it, to CUDA text as the compiler takes it, and to code. */
#ifndef SK_CUDA_BUILD_H
#define SK_CUDA_BUILD_H

#include "emit_cuda.h"
#include "image_load.h"
#include "jit_nvrtc.h"

/* Appends the unit: one entry per program, under a comment with the spec and the
 * schedule. It wants the vocabulary of prelude.cuh in front. */
sk_status sk_cuda_unit(const sk_code_ir *ir, const sk_spec *spec, const sk_schedule *schedule,
                       sk_text *out, sk_err *err);

/* Appends the vocabulary and the unit; lines of errors are the unit's. */
sk_status sk_cuda_source(const sk_code_ir *ir, const sk_spec *spec, const sk_schedule *schedule,
                         sk_text *out, sk_err *err);

/* Compiles it for "sm_90". resources: of each entry, in their order. Errors are those
 * of sk_nvrtc_compile; limit_ms as there. */
sk_status sk_cuda_build(const sk_code_ir *ir, const sk_spec *spec, const sk_schedule *schedule,
                        const sk_nvrtc_api *api, const char *arch, uint32_t limit_ms,
                        sk_nvrtc_code *out, sk_cuda_resources resources[SK_MAX_ENTRIES],
                        sk_err *err);

#endif
