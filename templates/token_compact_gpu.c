/* token_compact_gpu.c - token_compact on a GPU: a block is a sub-page of an item, its
 * warps take the words of each field in turns. */
#include "items.h"
#include "token_compact.h"

static void default_schedule(const sk_spec *spec, const sk_target *target, sk_schedule *out)
{
    (void)spec, (void)target;
    out->v[SK_T_warps] = 8;
}

static sk_status run(const sk_image *image, const void *args, uint32_t part, uint32_t parts,
                     sk_err *err)
{
    sphkv_compact_args a;
    sk_status st = sk_items_part(image, part, parts, err);
    if (st == SPHKV_OK) st = sk_compact_args(image, args, &a, err);
    if (st == SPHKV_OK) st = sk_gpu_items(a.items, a.items_count, err);
    if (st == SPHKV_OK) st = sk_gpu_items(a.tokens, a.items_count ? a.tokens_count : 0, err);
    if (st != SPHKV_OK || a.items_count == 0) return st;
    const sk_call call = sk_compact_call(&a);
    return sk_image_launch(image, 0, &call, a.items_count * a.sub_pages, a.stream, err);
}

const sk_kernel_form sk_compact_on_gpu = {
    .default_schedule = default_schedule,
    .valid = sk_gpu_valid,
    .build = sk_compact_build,
    .workspace = sk_gpu_no_workspace,
    .run = run,
};
