/* shift.c - keys before RoPE (p tiers): rows go into the cache with their positions and
 * are not rotated; attention rotates them, by a table that the engine makes. So a context
 * is shifted by writing other positions into its pages, and no key is coded again: a page
 * of sharp and a tail of kf16p, whose tokens and query all move back by 1,000 positions,
 * must attend as before, for RoPE knows distances alone. Made-up numbers; cc shift.c
 * -lsphkv -lm */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sphkv.h"

enum { D = 64, HEADS = 4, P = 32, TOKENS = 40, FIRST = 1500, BACK = 1000, ROWS = 2048 };
static float k[TOKENS * D], v[TOKENS * D], q[HEADS * D], table[ROWS * D], out[2][HEADS * D];
static uint32_t positions[TOKENS];
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

/* Plan, and the run of it; workspaces are kept for no longer than a run here. */
static void run(sphkv_context *ctx, uint32_t kernel, const char *tiers, void *args, void **space,
                size_t *space_bytes)
{
    sphkv_spec_params spec = {.size = sizeof spec, .kernel = kernel, .head_dim = D, .heads_per_kv = HEADS,
                              .page_tokens = P, .tiers = tiers};
    sphkv_maxima most = {.size = sizeof most, .batch = 2, .kv_heads = 1, .pages_per_list = 2};
    sphkv_plan *plan;
    check(sphkv_plan_create(ctx, &spec, &most, &plan, &err), "plan");
    *space_bytes = sphkv_plan_workspace(plan);
    *space = zeros(*space_bytes);
    check(sphkv_run(plan, args, 0, 1), tiers);
    free(*space);
    sphkv_plan_destroy(plan);
}

/* The query is after RoPE, at the position of the last token. */
static void turned_query(uint32_t position, float *to)
{
    const float *c = table + position * D, *s = c + D / 2;
    for (int h = 0; h < HEADS; h++)
        for (int i = 0; i < D / 2; i++) {
            const float x = q[h * D + i], y = q[h * D + i + D / 2];
            to[h * D + i] = x * c[i] - y * s[i];
            to[h * D + i + D / 2] = y * c[i] + x * s[i];
        }
}

/* What a shift is: the positions of a page, and nothing else. */
static void move_back(char *page, const sphkv_page_info *info, uint32_t tokens)
{
    uint32_t *at = (uint32_t *)(void *)(page + info->positions);
    for (uint32_t t = 0; t < tokens; t++)
        at[t] -= BACK;
}

int main(void)
{
    for (int i = 0; i < TOKENS * D; i++)
        k[i] = cosf((float)(i * 7 % 311)), v[i] = sinf((float)(i * 5 % 173));
    for (int i = 0; i < HEADS * D; i++)
        q[i] = cosf((float)i * 0.37f);
    for (int x = 0; x < ROWS; x++)
        for (int i = 0; i < D / 2; i++) {
            table[x * D + i] = (float)cos(x * pow(10000, -2.0 * i / D));
            table[x * D + D / 2 + i] = (float)sin(x * pow(10000, -2.0 * i / D));
        }
    for (uint32_t t = 0; t < TOKENS; t++)
        positions[t] = FIRST + t;

    sphkv_context *ctx;
    sphkv_codebook *book;
    const char *mix = "sharp:vi8,kf16p:vf16";
    sphkv_spec_params spec = {.size = sizeof spec, .kernel = SPHKV_ATTN_DECODE, .head_dim = D,
                              .heads_per_kv = HEADS, .page_tokens = P, .tiers = mix};
    sphkv_page_info info[2] = {{.size = sizeof info[0]}, {.size = sizeof info[0]}};
    size_t book_bytes;
    check(sphkv_open(NULL, &ctx, &err), "open");
    check(sphkv_codebook_default(&spec, 1, 1, &book, &err), "codebooks");
    for (uint32_t i = 0; i < 2; i++)
        check(sphkv_page_info_get(&spec, i, &info[i], &err), "page size");
    const void *codes = sphkv_codebook_data(book, NULL, &book_bytes);
    const uint32_t tail = info[1].units, coded = 2 * info[1].units;
    const size_t bytes = (size_t)(coded + info[0].units) * SPHKV_UNIT_BYTES;
    char *arena = zeros(bytes);

    const sphkv_append_item rows[2] = {{.unit = 0, .count = P}, {.unit = tail, .count = TOKENS - P, .row = P}};
    sphkv_append_args a = {.size = sizeof a, .items_count = 2, .items = rows, .k = k, .v = v,
                           .positions = positions, .arena = arena, .arena_bytes = bytes};
    run(ctx, SPHKV_KV_APPEND, "kf16p:vf16", &a, &a.workspace, &a.workspace_bytes);

    const sphkv_encode_item full = {.src_unit = 0, .dst_unit = coded, .count = P};
    sphkv_encode_args e = {.size = sizeof e, .items_count = 1, .items = &full, .src_arena = arena,
                           .src_arena_bytes = bytes, .dst_arena = arena, .dst_arena_bytes = bytes,
                           .codebook = codes, .codebook_bytes = book_bytes};
    run(ctx, SPHKV_KV_ENCODE, mix, &e, &e.workspace, &e.workspace_bytes);

    const uint32_t indptr[2] = {0, 2};
    const uint64_t refs[2] = {sphkv_page_ref(coded, P, 0), sphkv_page_ref(tail, TOKENS - P, 1)};
    float turned[HEADS * D];
    sphkv_attn_args s = {.size = sizeof s, .batch = 1, .q = turned, .arena = arena, .arena_bytes = bytes,
                         .table = {indptr, refs, 1, 1}, .codebook = codes, .codebook_bytes = book_bytes,
                         .rope = {.table = table, .positions = ROWS}};
    for (uint32_t i = 0; i < 2; i++) {
        turned_query(FIRST + TOKENS - 1 - i * BACK, turned);
        s.out = out[i];
        run(ctx, SPHKV_ATTN_DECODE, mix, &s, &s.workspace, &s.workspace_bytes);
        move_back(arena + (size_t)coded * SPHKV_UNIT_BYTES, &info[0], i == 0 ? P : 0);
        move_back(arena + (size_t)tail * SPHKV_UNIT_BYTES, &info[1], i == 0 ? TOKENS - P : 0);
    }
    double far = 0;
    for (int i = 0; i < HEADS * D; i++)
        far = fmax(far, fabs((double)out[0][i] - (double)out[1][i]));
    printf("%d tokens moved back by %d positions: within %.1e of where they were\n", TOKENS, BACK, far);
    free(arena);
    sphkv_codebook_free(book);
    sphkv_close(ctx);
    return far < 1e-3 ? 0 : 1;
}
