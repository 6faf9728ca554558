/* gpu.c - see gpu.h. */
#include "gpu.h"

sk_status sk_gpu_valid(const sk_spec *spec, const sk_schedule *schedule, const sk_target *target,
                       sk_err *err)
{
    (void)spec, (void)target;
    const int32_t warps = schedule->v[SK_T_warps];
    if (schedule->v[SK_T_w] == 32 && warps >= 1 && warps <= 32) return SPHKV_OK;
    return sk_fail(err, SPHKV_EINVAL, "w=%d, warps=%d: 32 lanes, 1 to 32 warps on a GPU",
                   schedule->v[SK_T_w], warps);
}

/* What a multiprocessor keeps of its shared memory for each block. */
#define BLOCK_KEEPS 1024u

sk_status sk_gpu_home(const sk_target *target, uint32_t blocks, uint32_t scratch,
                      uint32_t threads, sk_err *err)
{
    if (scratch > target->shared_block)
        return sk_fail(err, SPHKV_EINVAL, "%u bytes of scratch, a block has %u", scratch,
                       target->shared_block);
    if (blocks > 1 && (uint64_t)blocks * (scratch + BLOCK_KEEPS) > target->shared_sm)
        return sk_fail(err, SPHKV_EINVAL,
                       "blocks=%u of %u bytes of scratch: a multiprocessor has %u", blocks, scratch,
                       target->shared_sm);
    if (blocks * threads > target->threads_sm)
        return sk_fail(err, SPHKV_EINVAL, "blocks=%u of %u threads: a multiprocessor holds %u",
                       blocks, threads, target->threads_sm);
    return SPHKV_OK;
}

size_t sk_gpu_no_workspace(const sk_image *image)
{
    (void)image;
    return 0;
}

sk_val sk_gpu_turns(sk_builder *b, sk_val end, uint32_t step)
{
    const sk_val warp = sk_ir_0(b, SK_OP_WARP, 0);
    return sk_ir_for(b, sk_ir_2k(b, SK_OP_MUL, warp, step), end, step * b->program->warps);
}

sk_status sk_gpu_items(const void *items, uint32_t count, sk_err *err)
{
    if (count == 0 || (items != NULL && (uintptr_t)items % 4 == 0)) return SPHKV_OK;
    return sk_fail(err, SPHKV_EINVAL, "items is NULL or not aligned to 4 bytes");
}

sk_val sk_gpu_scan(sk_builder *b, uint32_t w, sk_val x)
{
    const sk_val lane = sk_ir_lane(b);
    for (uint32_t d = 1; d < w; d *= 2) {
        const sk_val below = sk_ir_2(b, SK_OP_SHUFFLE, x, sk_ir_2k(b, SK_OP_SUB, lane, d));
        const sk_val has = sk_ir_2(b, SK_OP_ULE, sk_ir_u32(b, d), lane);
        x = sk_ir_2(b, SK_OP_ADD, x, sk_ir_3(b, SK_OP_SELECT, has, below, sk_ir_u32(b, 0)));
    }
    return x;
}
