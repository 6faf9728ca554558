/* minimal.c - the library from C, at its shortest: three tokens into a page, one
 * step of attention over it. cc minimal.c -lsphkv (coded.c shows coded pages) */
#include <stdio.h>
#include "sphkv.h"

#define OK(call) if ((call) != SPHKV_OK) return fprintf(stderr, "%s: %s\n", #call, err.message), 1

/* All zeros at the start. Sizes are checked by sphkv_run; an engine asks
 * sphkv_page_info_get and sphkv_plan_workspace. */
static _Alignas(128) char arena[1 << 18], work[2][1 << 20];

int main(void)
{
    enum { D = 64, HEADS = 4, TOKENS = 3 }; /* four query heads share one KV head */
    float k[TOKENS * D] = {1}, v[TOKENS * D] = {1, 2, 3}, q[HEADS * D] = {4}, out[HEADS * D];
    sphkv_error err = {0};
    sphkv_context *ctx;
    sphkv_plan *append, *attn;
    sphkv_spec_params in = {.size = sizeof in, .kernel = SPHKV_KV_APPEND, .head_dim = D,
                            .tiers = "kf16:vf16"}, at = in;
    sphkv_maxima most = {.size = sizeof most, .batch = 1, .kv_heads = 1, .pages_per_list = 1};
    at.kernel = SPHKV_ATTN_DECODE, at.heads_per_kv = HEADS;
    OK(sphkv_open(NULL, &ctx, &err));
    OK(sphkv_plan_create(ctx, &in, &most, &append, &err)); /* finds or compiles the kernel */
    OK(sphkv_plan_create(ctx, &at, &most, &attn, &err));

    sphkv_append_item rows = {.unit = 0, .slot = 0, .count = TOKENS};
    sphkv_append_args a = {.size = sizeof a, .items_count = 1, .items = &rows, .k = k, .v = v,
                           .arena = arena, .arena_bytes = sizeof arena,
                           .workspace = work[0], .workspace_bytes = sizeof work[0]};
    OK(sphkv_run(append, &a, 0, 1)); /* one part, on this thread */

    uint32_t indptr[2] = {0, 1};
    uint64_t refs[1] = {sphkv_page_ref(0, TOKENS, 0)};
    sphkv_attn_args s = {.size = sizeof s, .batch = 1, .q = q, .out = out, .arena = arena,
                         .arena_bytes = sizeof arena, .table = {indptr, refs, 1, 1},
                         .workspace = work[1], .workspace_bytes = sizeof work[1]};
    OK(sphkv_run(attn, &s, 0, 1));
    printf("%s\nout = %.3f %.3f %.3f\n", sphkv_plan_describe(attn), (double)out[0],
           (double)out[1], (double)out[2]);
    sphkv_plan_destroy(append), sphkv_plan_destroy(attn), sphkv_close(ctx);
    return 0;
}
