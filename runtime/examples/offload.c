/* offload.c - a page leaves the arena, and attention still covers it: page_gather
 * copies it to a buffer, page_decode turns it to rows there, the engine's own
 * attention takes these, attn_merge joins the result with sphkv's over the page
 * that stayed. Prints how far that is from attention over both pages at once.
 * cc offload.c -lsphkv -lm (coded.c shows coded pages and codebooks) */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sphkv.h"

enum { D = 64, HEADS = 2, P = 128, TOKENS = 2 * P, ROW = HEADS * D };
static const char mix[] = "kf16:vf16";
static float k[TOKENS * D], v[TOKENS * D], q[ROW], whole[ROW], joined[ROW];
static sphkv_context *ctx;
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
    bytes = (bytes + 127) / 128 * 128 + 128;
    void *p = aligned_alloc(128, bytes);
    if (!p)
        exit(1);
    return memset(p, 0, bytes);
}

/* Plans, runs once, and forgets: an engine keeps its plans and workspaces. Every
 * args struct has its workspace, `work` says where. */
static void run_once(uint32_t kernel, void *args, void **work, size_t *work_bytes)
{
    const sphkv_spec_params spec = {.size = sizeof spec, .kernel = kernel, .head_dim = D,
                                    .heads_per_kv = HEADS, .tiers = mix,
                                    .accuracy = SPHKV_EXACT};
    const sphkv_maxima most = {.size = sizeof most, .batch = 2, .kv_heads = 1,
                               .pages_per_list = 2};
    sphkv_plan *plan;
    check(sphkv_plan_create(ctx, &spec, &most, &plan, &err), "plan");
    *work_bytes = sphkv_plan_workspace(plan);
    *work = zeros(*work_bytes);
    check(sphkv_run(plan, args, 0, 1), sphkv_plan_describe(plan));
    free(*work);
    sphkv_plan_destroy(plan);
}

/* sphkv's attention over `pages` pages from `refs` on. */
static void attend(const void *arena, size_t bytes, const uint64_t *refs, uint32_t pages, float *out,
                   float *lse)
{
    const uint32_t indptr[2] = {0, pages};
    sphkv_attn_args a = {.size = sizeof a, .batch = 1, .q = q, .out = out, .lse = lse,
                         .arena = arena, .arena_bytes = bytes, .table = {indptr, refs, 1, 1}};
    run_once(SPHKV_ATTN_DECODE, &a, &a.workspace, &a.workspace_bytes);
}

/* The engine's own: softmax over dense rows, its output and ln sum exp(logit). */
static void own_attention(const float *rows_k, const float *rows_v, float *out, float *lse)
{
    for (int h = 0; h < HEADS; h++) {
        double p[P], most = -INFINITY, sum = 0;
        for (int t = 0; t < P; t++) {
            p[t] = 0;
            for (int i = 0; i < D; i++)
                p[t] += (double)q[h * D + i] * (double)rows_k[t * D + i] / sqrt(D);
            most = fmax(most, p[t]);
        }
        for (int t = 0; t < P; t++)
            sum += p[t] = exp(p[t] - most);
        for (int i = 0; i < D; i++) {
            double x = 0;
            for (int t = 0; t < P; t++)
                x += p[t] * (double)rows_v[t * D + i];
            out[h * D + i] = (float)(x / sum);
        }
        lse[h] = (float)(most + log(sum));
    }
}

/* Page `unit` of the arena goes to the buffer, and from there to rows. */
static void take_out(const void *arena, size_t bytes, uint32_t unit, void *buffer, size_t buffer_bytes,
                     float *rows_k, float *rows_v)
{
    const sphkv_gather_item out = {.src_unit = unit};
    sphkv_gather_args g = {.size = sizeof g, .items_count = 1, .items = &out, .src_arena = arena,
                           .src_arena_bytes = bytes, .dst_arena = buffer,
                           .dst_arena_bytes = buffer_bytes};
    run_once(SPHKV_PAGE_GATHER, &g, &g.workspace, &g.workspace_bytes);
    const sphkv_decode_item page = {.count = P};
    sphkv_decode_args d = {.size = sizeof d, .items_count = 1, .items = &page, .k = rows_k,
                           .v = rows_v, .rows = P, .arena = buffer, .arena_bytes = buffer_bytes};
    run_once(SPHKV_PAGE_DECODE, &d, &d.workspace, &d.workspace_bytes);
}

int main(void)
{
    for (int i = 0; i < TOKENS * D; i++)
        k[i] = cosf((float)(i * 7 % 311)), v[i] = sinf((float)(i * 5 % 173));
    for (int i = 0; i < ROW; i++)
        q[i] = 2 * cosf((float)i * 0.37f);
    check(sphkv_open(NULL, &ctx, &err), "open");
    const sphkv_spec_params spec = {.size = sizeof spec, .head_dim = D, .tiers = mix};
    sphkv_page_info page = {.size = sizeof page};
    check(sphkv_page_info_get(&spec, 0, &page, &err), "page size");
    const size_t one = (size_t)page.units * SPHKV_UNIT_BYTES;
    void *arena = zeros(2 * one), *buffer = zeros(one);
    float *rows = zeros(2 * P * D * sizeof *rows);

    const sphkv_append_item in[2] = {{.count = P}, {.unit = page.units, .count = P, .row = P}};
    sphkv_append_args a = {.size = sizeof a, .items_count = 2, .items = in, .k = k, .v = v,
                           .arena = arena, .arena_bytes = 2 * one};
    run_once(SPHKV_KV_APPEND, &a, &a.workspace, &a.workspace_bytes);
    const uint64_t refs[2] = {sphkv_page_ref(0, P, 0), sphkv_page_ref(page.units, P, 0)};
    attend(arena, 2 * one, refs, 2, whole, NULL);

    float stayed[ROW], left[ROW], lse[2][HEADS];
    take_out(arena, 2 * one, page.units, buffer, one, rows, rows + P * D);
    attend(arena, 2 * one, refs, 1, stayed, lse[0]);
    own_attention(rows, rows + P * D, left, lse[1]);
    sphkv_merge_args m = {.size = sizeof m, .batch = 1, .sources_count = 2, .out = joined,
                          .sources = {{.out = stayed, .lse = lse[0]}, {.out = left, .lse = lse[1]}}};
    run_once(SPHKV_ATTN_MERGE, &m, &m.workspace, &m.workspace_bytes);

    double apart = 0;
    for (int i = 0; i < ROW; i++)
        apart = fmax(apart, fabs((double)joined[i] - (double)whole[i]));
    printf("one page here, one taken out: %.1e from both at once\n", apart);
    free(arena), free(buffer), free(rows);
    sphkv_close(ctx);
    return apart < 1e-5 ? 0 : 5;
}
