/* emit_cuda.h - the CUDA back end: lane IR to C that a CUDA programmer can read.
 *
 * A lane value is one scalar of each thread, a warp is 32 lanes, scratch is the
 * block's dynamic shared memory. The text has no header and uses nothing but the
 * vocabulary of prelude.cuh, so that it compiles in two surroundings:
 *   prelude + unit   CUDA C++ for NVRTC or nvcc, sm_75 and up
 *   twin + unit      C17 for the CPU, where tests run it lane by lane
 *
 * What the IR promises and a GPU does not is put in here: inside a warp memory
 * operations take effect in program order for all lanes, so `__syncwarp()` stands
 * wherever a lane could miss another's store, or overwrite what another has not
 * read yet (emit_cuda_sync.c). */
#ifndef SK_EMIT_CUDA_H
#define SK_EMIT_CUDA_H

#include "ir.h"

/* What stands on top of a unit as a comment; NULL: nothing. */
typedef struct sk_cuda_note {
    const char *spec, *schedule; /* canonical texts */
} sk_cuda_note;

/* prelude.cuh, NUL-terminated. */
const char *sk_cuda_prelude(void);

/* Appends one translation unit with one entry per program. SPHKV_EUNSUPPORTED: a
 * program of another width than 32. */
sk_status sk_emit_cuda(const sk_program *const *programs, uint32_t n, const sk_cuda_note *note,
                       sk_text *out, sk_err *err);

#endif
