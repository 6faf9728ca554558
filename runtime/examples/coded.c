/* coded.c - the whole path of a cache in C: 200 tokens of one KV head go into
 * dense pages, the full one is coded, and one step of attention runs over both.
 * What is made up here are keys, values and query; an engine brings its own,
 * and runs the parts of a call from its threads. cc coded.c -lsphkv -lm */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sphkv.h"

enum { D = 128, HEADS = 4, P = 128, TOKENS = 200 };
static float k[TOKENS * D], v[TOKENS * D], q[HEADS * D], out[HEADS * D];
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

static sphkv_spec_params spec_of(uint32_t kernel, const char *tiers)
{
    return (sphkv_spec_params){.size = sizeof(sphkv_spec_params), .kernel = kernel,
                               .head_dim = D, .heads_per_kv = HEADS, .tiers = tiers};
}

int main(void)
{
    for (int i = 0; i < TOKENS * D; i++)
        k[i] = cosf((float)(i * 7 % 311)), v[i] = sinf((float)(i * 5 % 173));
    for (int i = 0; i < HEADS * D; i++)
        q[i] = cosf((float)i * 0.37f);

    /* Plan once: this is where kernels are looked up, or compiled. */
    sphkv_context *ctx;
    sphkv_plan *append, *encode, *attn;
    sphkv_codebook *book;
    sphkv_spec_params tail = spec_of(SPHKV_KV_APPEND, "kf16:vf16");
    sphkv_spec_params coded = spec_of(SPHKV_KV_ENCODE, "good:vi8,kf16:vf16");
    sphkv_spec_params both = spec_of(SPHKV_ATTN_DECODE, "good:vi8,kf16:vf16");
    sphkv_maxima most = {.size = sizeof most, .batch = 2, .kv_heads = 1, .pages_per_list = 8};
    check(sphkv_open(NULL, &ctx, &err), "open");
    check(sphkv_plan_create(ctx, &tail, &most, &append, &err), "plan append");
    check(sphkv_plan_create(ctx, &coded, &most, &encode, &err), "plan encode");
    check(sphkv_plan_create(ctx, &both, &most, &attn, &err), "plan attention");
    check(sphkv_codebook_default(&both, 1, 1, &book, &err), "codebooks");

    /* One arena: two dense pages and a coded one, addressed in units. */
    sphkv_page_info good = {.size = sizeof good}, dense = {.size = sizeof dense};
    check(sphkv_page_info_get(&both, 0, &good, &err), "page size");
    check(sphkv_page_info_get(&both, 1, &dense, &err), "page size");
    size_t bytes = (size_t)(2 * dense.units + good.units) * SPHKV_UNIT_BYTES, book_bytes;
    char *arena = zeros(bytes);
    const void *codes = sphkv_codebook_data(book, NULL, &book_bytes);

    sphkv_append_item rows[2] = {{.unit = 0, .count = P},
                                 {.unit = dense.units, .count = TOKENS - P, .row = P}};
    sphkv_append_args a = {.size = sizeof a, .items_count = 2, .items = rows, .k = k, .v = v,
                           .arena = arena, .arena_bytes = bytes,
                           .workspace = zeros(sphkv_plan_workspace(append)),
                           .workspace_bytes = sphkv_plan_workspace(append)};
    check(sphkv_run(append, &a, 0, 1), "append");

    sphkv_encode_item full = {.src_unit = 0, .dst_unit = 2 * dense.units, .count = P};
    sphkv_encode_args e = {.size = sizeof e, .items_count = 1, .items = &full,
                           .src_arena = arena, .src_arena_bytes = bytes, .dst_arena = arena,
                           .dst_arena_bytes = bytes, .codebook = codes,
                           .codebook_bytes = book_bytes,
                           .workspace = zeros(sphkv_plan_workspace(encode)),
                           .workspace_bytes = sphkv_plan_workspace(encode)};
    check(sphkv_run(encode, &e, 0, 1), "encode");

    uint32_t indptr[2] = {0, 2};
    uint64_t refs[2] = {sphkv_page_ref(2 * dense.units, P, 0),
                        sphkv_page_ref(dense.units, TOKENS - P, 1)};
    sphkv_attn_args s = {.size = sizeof s, .batch = 1, .q = q, .out = out, .arena = arena,
                         .arena_bytes = bytes, .table = {indptr, refs, 1, 1}, .codebook = codes,
                         .codebook_bytes = book_bytes,
                         .workspace = zeros(sphkv_plan_workspace(attn)),
                         .workspace_bytes = sphkv_plan_workspace(attn)};
    check(sphkv_run(attn, &s, 0, 1), "attention");

    printf("%s\n%u bytes a token coded, %u dense; out = %.4f %.4f %.4f ...\n",
           sphkv_plan_describe(attn), (unsigned)good.bytes_per_token,
           (unsigned)dense.bytes_per_token, (double)out[0], (double)out[1], (double)out[2]);
    free(a.workspace), free(e.workspace), free(s.workspace), free(arena);
    sphkv_codebook_free(book);
    sphkv_plan_destroy(append), sphkv_plan_destroy(encode), sphkv_plan_destroy(attn);
    sphkv_close(ctx);
    return 0;
}
