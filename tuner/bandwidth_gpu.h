/* bandwidth_gpu.h - the sweep of a GPU: programs of our own in which all lanes read, or
 * copy, 16 bytes at a time, several loads under way in each. Which grid does it fastest
 * differs between GPUs and sizes: there are some forms, and they are tried.
 *
 * They are compiled where they are measured, unlike candidates: always the same few
 * lines, once per process. */
#ifndef SK_BANDWIDTH_GPU_H
#define SK_BANDWIDTH_GPU_H

#include "bandwidth.h"

/* The programs, an entry for each form; parameters: the first byte to read, and
 *   reading: where lanes leave their sums that equal `key`, 4 bytes for each lane of the
 *            grid; the number of 16-byte words; key
 *   copying: the first byte to write; the number of 16-byte words */
sk_status sk_gpu_sweep_build(uint32_t sms, bool copy, sk_arena *arena, sk_code_ir *out,
                             sk_err *err);
/* Blocks to launch for so many words; never more than need lanes for their sums. */
uint32_t sk_gpu_sweep_blocks(uint32_t form, uint32_t sms, uint32_t words);
size_t sk_gpu_sweep_lanes(uint32_t sms); /* bytes for sums, of any form */

/* Called by bandwidth.c, for the functions of that name. */
sk_status sk_gpu_sweep_make(sk_sweep *sweep, size_t cold, sk_err *err);
void sk_gpu_sweep_free(sk_sweep *sweep);
sk_status sk_gpu_sweep_choose(sk_sweep *sweep, sk_err *err);
sk_status sk_gpu_sweep_time(sk_sweep *sweep, double *us, sk_err *err);

#endif
