/* verify.c - speculative decoding: a draft of four tokens is checked by one run of
 * attention with four queries, the cache being read once. Their rows are in the cache
 * already; each query sees itself and what stands before it. What is rejected is cut
 * off by the reference, and nothing moves. The same four steps one by one, as without
 * a draft, must give the same. Made-up numbers; cc verify.c -lsphkv -lm */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sphkv.h"

enum { D = 128, HEADS = 4, P = 128, TOKENS = 100, DRAFT = 4, ROW = HEADS * D };
static float k[TOKENS * D], v[TOKENS * D], q[DRAFT * ROW], once[DRAFT * ROW], steps[DRAFT * ROW];
static sphkv_error err;

static void check(sphkv_status st, const char *doing)
{
    if (st == SPHKV_OK)
        return;
    fprintf(stderr, "%s: %s: %s\n", doing, sphkv_status_text(st), err.message);
    exit(1);
}

static void *zeros(size_t bytes)
{
    bytes = (bytes + 127) / 128 * 128;
    void *p = aligned_alloc(128, bytes + 128);
    if (!p)
        exit(1);
    return memset(p, 0, bytes + 128);
}

/* One run: `tokens` of the page, as many queries as the plan is for. */
static void attend(const sphkv_plan *plan, const sphkv_attn_args *from, uint32_t tokens,
                   const float *query, float *out, uint32_t q_len)
{
    const uint32_t indptr[2] = {0, 1};
    const uint64_t refs[1] = {sphkv_page_ref(0, tokens, 0)};
    sphkv_attn_args a = *from;
    a.table = (sphkv_page_table){indptr, refs, 1, 1};
    a.q = query;
    a.out = out;
    a.q_len = q_len;
    a.workspace_bytes = sphkv_plan_workspace(plan);
    a.workspace = zeros(a.workspace_bytes);
    check(sphkv_run(plan, &a, 0, 1), "attention");
    free(a.workspace);
}

int main(void)
{
    for (int i = 0; i < TOKENS * D; i++)
        k[i] = cosf((float)(i * 7 % 311)), v[i] = sinf((float)(i * 5 % 173));
    for (int i = 0; i < DRAFT * ROW; i++)
        q[i] = cosf((float)i * 0.37f);

    sphkv_context *ctx;
    sphkv_plan *append, *verify, *step;
    sphkv_spec_params spec = {.size = sizeof spec, .kernel = SPHKV_KV_APPEND, .head_dim = D,
                              .heads_per_kv = HEADS, .tiers = "kf16:vf16"};
    sphkv_maxima most = {.size = sizeof most, .batch = 1, .kv_heads = 1, .pages_per_list = 1};
    check(sphkv_open(NULL, &ctx, &err), "open");
    check(sphkv_plan_create(ctx, &spec, &most, &append, &err), "plan append");
    spec.kernel = SPHKV_ATTN_DECODE;
    check(sphkv_plan_create(ctx, &spec, &most, &step, &err), "plan a step");
    spec.variants = SPHKV_VARIANT_QUERIES;
    most.q_len = DRAFT;
    check(sphkv_plan_create(ctx, &spec, &most, &verify, &err), "plan a draft");

    sphkv_page_info page = {.size = sizeof page};
    check(sphkv_page_info_get(&spec, 0, &page, &err), "page size");
    const size_t bytes = (size_t)page.units * SPHKV_UNIT_BYTES;
    char *arena = zeros(bytes);
    const sphkv_append_item rows = {.count = TOKENS};
    sphkv_append_args a = {.size = sizeof a, .items_count = 1, .items = &rows, .k = k, .v = v,
                           .arena = arena, .arena_bytes = bytes,
                           .workspace_bytes = sphkv_plan_workspace(append)};
    a.workspace = zeros(a.workspace_bytes);
    check(sphkv_run(append, &a, 0, 1), "append");

    const sphkv_attn_args over = {
        .size = sizeof over, .batch = 1, .arena = arena, .arena_bytes = bytes};
    attend(verify, &over, TOKENS, q, once, DRAFT);
    double far = 0;
    for (uint32_t i = 0; i < DRAFT; i++)
        attend(step, &over, TOKENS - DRAFT + 1 + i, q + i * ROW, steps + i * ROW, 0);
    for (int i = 0; i < DRAFT * ROW; i++)
        far = fmax(far, fabs((double)once[i] - (double)steps[i]));
    printf("%d tokens of a draft in one run: within %.1e of as many steps\n", DRAFT, far);
    free(a.workspace), free(arena);
    sphkv_plan_destroy(append), sphkv_plan_destroy(verify), sphkv_plan_destroy(step);
    sphkv_close(ctx);
    return far < 1e-5 ? 0 : 1;
}
