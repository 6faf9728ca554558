/* cuda_code.h - what compiled CUDA code says about itself: the resources of each
 * of its kernels, and the oldest driver that takes it. For code that was just
 * compiled and for code out of a database alike; needs no CUDA.
 *
 * Numbers of releases and drivers are those of cuDriverGetVersion and
 * nvrtcVersion in one: 1000 * major + 10 * minor, 13000 for CUDA 13.0. */
#ifndef SK_CUDA_CODE_H
#define SK_CUDA_CODE_H

#include "base.h"

#define SK_CUDA_UNKNOWN 0xffffffffu

/* What one kernel takes. SK_CUDA_UNKNOWN where nobody said. */
typedef struct sk_cuda_resources {
    uint32_t registers;    /* of a thread */
    uint32_t stack_bytes;  /* of a thread, in local memory: spills and arrays */
    uint32_t spill_stores; /* bytes; the compiler's log alone knows them */
    uint32_t spill_loads;
    uint32_t shared_bytes; /* static, without what the system keeps for itself */
    uint32_t barriers;     /* named barriers of a block */
} sk_cuda_resources;

/* Bytes spilled, stored and loaded; 0 when unknown. */
uint32_t sk_cuda_spilled(const sk_cuda_resources *r);

/* The resources of the `n` named kernels of a CUBIN, spills unknown. SPHKV_EINVAL:
 * the bytes are no CUBIN, damaged, or lack a kernel. Every offset in the bytes is
 * checked before it is followed. */
sk_status sk_cubin_resources(const void *bytes, size_t size, const char *const *entries, uint32_t n,
                             sk_cuda_resources *out, sk_err *err);

/* The oldest driver that loads a CUBIN for compute capability sm (90 = 9.0; exact:
 * sm_90a) made by the compiler of `release`: drivers take code of their own major
 * release whatever its minor one, once they know the chip. */
uint32_t sk_cubin_least_driver(uint32_t release, uint32_t sm, bool exact);

/* The oldest driver that compiles this PTX: the release that brought the version
 * in its first directive. 0: it has none. */
uint32_t sk_ptx_least_driver(const char *ptx);

#endif
