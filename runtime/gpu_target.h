/* gpu_target.h - NVIDIA's GPUs as targets of code by the names that NVIDIA's compilers
 * give them, "sm_90", and "sm_90a" for code that only this one runs; and which code
 * runs on which. */
#ifndef SK_GPU_TARGET_H
#define SK_GPU_TARGET_H

#include "schedule.h"

/* A common card of an architecture, for who builds without one (sk_target_cuda).
 * SPHKV_EINVAL: no such name; SPHKV_EUNSUPPORTED with the known ones. */
sk_status sk_gpu_target_named(const char *arch, sk_target *out, sk_err *err);

/* "sm_90a" <-> sm and sm_exact. The reader takes nothing else; it sets no more. */
void sk_gpu_arch_text(const sk_target *target, char text[16]);
bool sk_gpu_arch_parse(const char *text, sk_target *target);

/* Whether code runs on a device, both by sm and sm_exact: machine code on its own
 * compute capability and on higher minor ones of the same generation, PTX on all
 * later ones; the exact kind on its own alone. */
bool sk_gpu_target_runs(const sk_target *code, bool ptx, const sk_target *device);

#endif
