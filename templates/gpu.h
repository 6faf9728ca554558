/* gpu.h - the GPU forms of kernels (attn_decode's: attn_gpu.h), and what those share that
 * move rows and pages. There a block is as many warps as its schedule says; they take the words,
 * rows or pieces of its item in turns, so that a warp's accesses lie side by side
 * and the block has enough of them under way to cover the latency of memory. Items
 * lie in the device's memory: their programs read them, the host does not. */
#ifndef SK_GPU_H
#define SK_GPU_H

#include "kernel.h"

extern const sk_kernel_form sk_append_on_gpu, sk_compact_on_gpu, sk_encode_on_gpu, sk_extend_on_gpu,
    sk_gather_on_gpu, sk_mass_on_gpu, sk_merge_on_gpu, sk_plan_on_gpu, sk_retier_on_gpu, sk_unrow_on_gpu;

/* valid of forms for which any number of warps will do. */
sk_status sk_gpu_valid(const sk_spec *spec, const sk_schedule *schedule, const sk_target *target,
                       sk_err *err);
/* OK, or why `blocks` with so many bytes of scratch and threads are not at home on a
 * multiprocessor at once. */
sk_status sk_gpu_home(const sk_target *target, uint32_t blocks, uint32_t scratch,
                      uint32_t threads, sk_err *err);
size_t sk_gpu_no_workspace(const sk_image *image);

/* Starts a loop in which the warps of the block take turns: this warp has first ..
 * first + step - 1 of each turn (first: for lane 0), `step` elements at once. The
 * caller ends it. */
sk_val sk_gpu_turns(sk_builder *b, sk_val end, uint32_t step);
/* Sums of lanes 0 .. i in lane i, of a warp of w lanes. */
sk_val sk_gpu_scan(sk_builder *b, uint32_t w, sk_val x);

/* Items of a device: a list that is there and aligned, where there are any. */
sk_status sk_gpu_items(const void *items, uint32_t count, sk_err *err);
/* How far a pointer reaches when only the items say it: the caller vouches for it. */
#define SK_GPU_OPEN ((size_t)1 << 62)

#endif
