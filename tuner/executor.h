/* executor.h - what kernels run on while they are checked and timed: a team of threads
 * of a CPU, or a stream of a GPU with the memory that host and device share.
 *
 * Lives in one process, at one place: make it after the fork, since neither threads nor
 * a CUDA context survive one. Memory that a GPU's executor gave out lies where it was
 * touched last; sk_executor_fetch moves all of it to the device, so that nothing moves
 * while something is timed. */
#ifndef SK_EXECUTOR_H
#define SK_EXECUTOR_H

#include "case.h"
#include "cuda_time.h"
#include "device.h"
#include "image_load.h"
#include "jit_nvrtc.h"
#include "team.h"

struct sk_executor_piece; /* of memory, given out */

typedef struct sk_executor {
    sk_team *team;                   /* of a CPU */
    sk_cuda *cuda;                   /* of a GPU, else NULL */
    sk_cuda_clock clock;             /* its stream is the one that everything runs on */
    sk_target target;
    char arch[16];
    struct sk_executor_piece *piece;
    size_t bytes, most;              /* given out; that may be, so that all fits on the device */
    sk_nvrtc nvrtc;                  /* of a GPU; see sk_executor_compiler */
    bool compiles;                   /* it is initialised */
    sk_code *sweep[2];               /* that reads, that copies; once they were needed */
} sk_executor;

/* threads: of a CPU. SPHKV_EDEVICE: the GPU cannot be had, with the reason. */
sk_status sk_executor_open(const sk_device *device, uint32_t threads, sk_executor *out,
                           sk_err *err);
void sk_executor_close(sk_executor *x); /* a zeroed one is fine */

/* For cases and workspaces: of zeros on a CPU. It ends before the executor does. */
sk_case_memory sk_executor_memory(sk_executor *x);
/* Everything that was given out to the device; a CPU: nothing. */
void sk_executor_fetch(sk_executor *x);

/* NVRTC in this process, opened on the first call: for what is ours and the same every
 * time, and for kernels that the store has proven. What is untried is compiled in a
 * process of its own (forge.h). */
sk_status sk_executor_compiler(sk_executor *x, const sk_nvrtc_api **api, sk_err *err);

#endif
