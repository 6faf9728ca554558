/* test_run_args.c - what sphkv_run refuses: each wrong argument alone makes
 * SPHKV_EINVAL and changes neither output nor workspace; and the size rule of
 * structs that cross the border. */
#include <math.h>

#include "sk_test.h"

#include "run_case.h"

/* A call that is right, with tables of its own to spoil. */
typedef struct bench {
    run_spec spec;
    sphkv_plan *plan;
    sk_case c;
    run_call good, bad;
    uint64_t *refs;        /* attn, extend: copies of the case's, kept apart from it */
    uint32_t *indptr, *q_indptr;
    size_t nrefs;
    sphkv_append_item *rows;
    sphkv_encode_item *pages;
    sphkv_gather_item *moves;
    sphkv_decode_item *read;
    sphkv_compact_item *made;
    sphkv_compact_token *tokens;
    uint8_t *before;       /* outputs and workspace as they should stay */
    size_t out_bytes;
} bench;

static uint8_t *output_of(const bench *b)
{
    size_t bytes;
    return sk_case_result(&b->c, 0, &bytes);
}

/* A copy of the items of a call, which points at it then. */
static void *copy_items(const void *items, uint32_t n, size_t size, const void **at)
{
    void *copy = run_zeros(n * size);
    memcpy(copy, items, n * size);
    *at = copy;
    return copy;
}

static void copy_table(bench *b, sphkv_page_table *t)
{
    b->nrefs = t->indptr[t->lists];
    b->refs = run_zeros(b->nrefs * 8);
    b->indptr = run_zeros((t->lists + 1) * 4);
    memcpy(b->refs, t->refs, b->nrefs * 8);
    memcpy(b->indptr, t->indptr, (t->lists + 1) * 4);
    t->refs = b->refs;
    t->indptr = b->indptr;
}

static void copy_tables(bench *b)
{
    if (b->spec.params.kernel == SPHKV_ATTN_DECODE) {
        sphkv_attn_args *a = &b->good.args.attn;
        const uint32_t heads = b->spec.shape.kv_heads * b->spec.params.heads_per_kv;
        const uint32_t row = a->out_stride_head ? a->out_stride_head : b->spec.params.head_dim;
        const uint32_t seq = a->out_stride_seq ? a->out_stride_seq : heads * row;
        b->out_bytes = ((size_t)(a->batch - 1) * seq + (size_t)(heads - 1) * row +
                        b->spec.params.head_dim) * (b->spec.params.out_dtype == SPHKV_F32 ? 4 : 2);
        copy_table(b, &a->table);
    } else if (b->spec.params.kernel == SPHKV_ATTN_EXTEND) {
        sphkv_extend_args *a = &b->good.args.extend;
        (void)sk_case_result(&b->c, 0, &b->out_bytes);
        copy_table(b, &a->table);
        b->q_indptr = copy_items(a->q_indptr, a->batch + 1, sizeof *a->q_indptr,
                                 (const void **)&a->q_indptr);
    } else if (b->spec.params.kernel == SPHKV_KV_APPEND) {
        sphkv_append_args *a = &b->good.args.append;
        b->out_bytes = a->arena_bytes;
        b->rows = copy_items(a->items, a->items_count, sizeof *a->items, (const void **)&a->items);
    } else if (b->spec.params.kernel == SPHKV_PAGE_GATHER) {
        sphkv_gather_args *a = &b->good.args.gather;
        b->out_bytes = a->dst_arena_bytes;
        b->moves = copy_items(a->items, a->items_count, sizeof *a->items, (const void **)&a->items);
    } else if (b->spec.params.kernel == SPHKV_PAGE_DECODE) {
        sphkv_decode_args *a = &b->good.args.decode;
        (void)sk_case_result(&b->c, 0, &b->out_bytes);
        b->read = copy_items(a->items, a->items_count, sizeof *a->items, (const void **)&a->items);
    } else if (b->spec.params.kernel == SPHKV_PAGE_MASS) {
        sphkv_mass_args *a = &b->good.args.mass;
        (void)sk_case_result(&b->c, 0, &b->out_bytes);
        b->nrefs = a->table.indptr[a->table.lists];
        b->refs = copy_items(a->table.refs, (uint32_t)b->nrefs, 8, (const void **)&a->table.refs);
        b->indptr = copy_items(a->table.indptr, a->table.lists + 1, 4, (const void **)&a->table.indptr);
    } else if (b->spec.params.kernel == SPHKV_TOKEN_COMPACT) {
        sphkv_compact_args *a = &b->good.args.compact;
        b->out_bytes = a->dst_arena_bytes;
        b->made = copy_items(a->items, a->items_count, sizeof *a->items, (const void **)&a->items);
        b->tokens = copy_items(a->tokens, a->tokens_count, sizeof *a->tokens, (const void **)&a->tokens);
    } else {
        sphkv_encode_args *a = &b->good.args.encode;
        b->out_bytes = a->dst_arena_bytes;
        b->pages = copy_items(a->items, a->items_count, sizeof *a->items, (const void **)&a->items);
    }
}

static void bench_make(bench *b, sphkv_context *ctx, const run_spec *spec)
{
    memset(b, 0, sizeof *b);
    b->spec = *spec;
    b->plan = run_plan(ctx, &b->spec);
    run_case_make(&b->spec, SK_IN_S1, false, 9, &b->c);
    b->good = run_call_make(b->plan, &b->c);
    copy_tables(b);
    b->before = run_zeros(b->out_bytes + b->good.bytes);
    memcpy(b->before, output_of(b), b->out_bytes);
    memcpy(b->before + b->out_bytes, b->good.workspace, b->good.bytes);
    b->bad = b->good;
}

static void bench_free(bench *b)
{
    run_parts(b->plan, &b->good, b->spec.shape.threads);
    run_judge(&b->c); /* so the right call was right */
    free(b->refs);
    free(b->indptr);
    free(b->q_indptr);
    free(b->rows);
    free(b->pages);
    free(b->moves);
    free(b->read);
    free(b->made);
    free(b->tokens);
    free(b->before);
    run_call_free(&b->good);
    sk_case_free(&b->c);
    sphkv_plan_destroy(b->plan);
}

/* The bad call is refused, whatever the part, and becomes the good one again. */
static void refused(bench *b, const char *what)
{
    const uint32_t parts = b->spec.shape.threads;
    for (uint32_t part = 0; part < parts; part++) {
        sphkv_status st = sphkv_run(b->plan, &b->bad.args, part, parts);
        if (st != SPHKV_EINVAL)
            fail_msg("%s: status %d", what, (int)st);
    }
    if (memcmp(b->before, output_of(b), b->out_bytes) != 0)
        fail_msg("%s: the output was written", what);
    if (memcmp(b->before + b->out_bytes, b->good.workspace, b->good.bytes) != 0)
        fail_msg("%s: the workspace was written", what);
    b->bad = b->good;
}

#define REFUSED(change) ((void)(change), refused(&b, #change))
/* The same for a table that the call points at: changed and put back. */
#define REFUSED_AT(place, value)                   \
    do {                                           \
        __typeof__(place) keep_ = (place);         \
        (place) = (__typeof__(place))(value);      \
        refused(&b, #place " = " #value);          \
        (place) = keep_;                           \
    } while (0)

static void parts_and_null(void **state)
{
    run_place *p = *state;
    sphkv_context *ctx = run_open(p, 0);
    run_spec r;
    for (uint32_t i = 0; (r = run_spec_get(i)).params.size; i++) {
        bench b;
        bench_make(&b, ctx, &r);
        const uint32_t most = r.shape.threads;
        const void *args = &b.good.args;
        assert_int_equal(sphkv_run(NULL, args, 0, 1), SPHKV_EINVAL);
        assert_int_equal(sphkv_run(b.plan, NULL, 0, 1), SPHKV_EINVAL);
        assert_int_equal(sphkv_run(b.plan, args, 0, 0), SPHKV_EINVAL);
        assert_int_equal(sphkv_run(b.plan, args, 1, 1), SPHKV_EINVAL);
        assert_int_equal(sphkv_run(b.plan, args, most, most), SPHKV_EINVAL);
        assert_int_equal(sphkv_run(b.plan, args, 0, most + 1), SPHKV_EINVAL);
        REFUSED(b.bad.args.size = 0);
        REFUSED(b.bad.args.size = 8);
        REFUSED(b.bad.args.size = 0xffffffffu);
        bench_free(&b);
    }
    sphkv_close(ctx);
}

/* A caller with a newer header: fine while what we do not know is zero. */
static void newer_callers(void **state)
{
    run_place *p = *state;
    sphkv_context *ctx = run_open(p, 0);
    run_spec r;
    for (uint32_t i = 0; (r = run_spec_get(i)).params.size; i++) {
        bench b;
        bench_make(&b, ctx, &r);
        const uint32_t known = (uint32_t)b.c.args_size;
        b.bad.args.size = known + 64;
        REFUSED(b.bad.args.raw[known] = 1);
        b.bad.args.size = known + 64;
        REFUSED(b.bad.args.raw[known + 63] = 1);
        b.good.args.size = known + 64; /* judged by bench_free */
        bench_free(&b);
    }
    sphkv_close(ctx);
}

/* A caller with an older header, which ends before lse: what it does not have counts
 * as zero, whatever lies there. */
static void older_callers(void **state)
{
    run_place *p = *state;
    sphkv_context *ctx = run_open(p, 0);
    const run_spec r = run_spec_get(0);
    const uint32_t size = offsetof(sphkv_attn_args, lse);
    bench b;
    bench_make(&b, ctx, &r);
    run_parts(b.plan, &b.good, r.shape.threads);
    uint8_t *right = run_zeros(b.out_bytes);
    memcpy(right, output_of(&b), b.out_bytes);
    memcpy(output_of(&b), b.before, b.out_bytes);
    b.bad.args.size = size;
    memset(&b.bad.args.raw[size], 0xff, b.c.args_size - size);
    run_parts(b.plan, &b.bad, r.shape.threads);
    assert_memory_equal(output_of(&b), right, b.out_bytes);
    free(right);
    bench_free(&b);
    sphkv_close(ctx);
}

static void attn_args(void **state)
{
    run_place *p = *state;
    sphkv_context *ctx = run_open(p, 0);
    bench b;
    const run_spec r = run_spec_get(0);
    bench_make(&b, ctx, &r);
    sphkv_attn_args *a = &b.bad.args.attn;
    REFUSED(a->q = NULL);
    REFUSED(a->out = NULL);
    REFUSED(a->arena = NULL);
    REFUSED(a->arena = (const char *)a->arena + 64);
    REFUSED(a->arena_bytes = 0);
    REFUSED(a->arena_bytes = SPHKV_UNIT_BYTES);
    REFUSED(a->codebook = NULL);
    REFUSED(a->codebook_bytes--);
    REFUSED(a->codebook = (const char *)a->codebook + 2);
    REFUSED(a->workspace = NULL);
    REFUSED(a->workspace_bytes--);
    REFUSED(a->workspace = (char *)a->workspace + 8);
    REFUSED(a->batch++);
    REFUSED(a->batch = 0xffffffffu);
    REFUSED(a->batch--); /* and the table as it was */
    REFUSED(a->table.lists++);
    REFUSED(a->table.lists_per_seq = 0);
    REFUSED(a->table.lists_per_seq = 7);
    REFUSED(a->table.indptr = NULL);
    REFUSED(a->table.indptr = (const void *)((const char *)a->table.indptr + 2));
    REFUSED(a->table.refs = (const void *)((const char *)a->table.refs + 4));
    REFUSED(a->table.refs = NULL);
    REFUSED(a->scale = 1.0f / 0.0f);
    REFUSED(a->lse = (float *)(void *)((char *)a->lse + 2));
    REFUSED(a->page_ml = (float *)(void *)((char *)a->page_ml + 1));
    REFUSED(a->lse_stride_seq = 1u << 30);
    REFUSED(a->reserved = 1);
    REFUSED(a->reserved2 = 1);
    REFUSED(a->q_len = 2); /* what no variant of the spec reads */
    REFUSED(a->q_stride_tok = 1);
    REFUSED(a->out_stride_tok = 1);
    REFUSED(a->lse_stride_tok = 1);
    REFUSED(a->window = 1);
    REFUSED(a->softcap = 1);
    REFUSED(a->head_scale = a->lse);
    REFUSED(a->sinks = a->lse);
    REFUSED(a->bias = a->lse);
    REFUSED(a->q_positions = a->table.indptr);
    REFUSED(a->kv_head_first = b.spec.shape.kv_heads);
    REFUSED(a->kv_head_count = b.spec.shape.kv_heads + 1);
    const uint64_t ref = b.refs[b.indptr[0]];
    const uint32_t unit = sphkv_ref_unit(ref), tokens = sphkv_ref_tokens(ref);
    uint64_t *first = &b.refs[b.indptr[0]];
    REFUSED_AT(*first, sphkv_page_ref(unit, tokens, 2));
    REFUSED_AT(*first, sphkv_page_ref(unit, tokens, 255));
    REFUSED_AT(*first, ref | 1ull << 56);
    REFUSED_AT(*first, ref | 1ull << 63);
    REFUSED_AT(*first, sphkv_page_ref(unit, b.spec.params.page_tokens + 1, 0));
    REFUSED_AT(*first, sphkv_page_ref(unit, 0xffff, 0));
    REFUSED_AT(*first, sphkv_page_ref(0xffffffffu, tokens, 0));
    REFUSED_AT(*first, sphkv_page_ref((uint32_t)(a->arena_bytes / SPHKV_UNIT_BYTES), tokens, 0));
    REFUSED_AT(*first, sphkv_page_ref(unit, tokens, 1)); /* not sorted: 1 before 0 */
    REFUSED_AT(b.indptr[1], 0xffffffffu);
    REFUSED_AT(b.indptr[0], b.indptr[1] + 1);
    bench_free(&b);
    sphkv_close(ctx);
}

/* What variants of the spec read must be there. */
#define VARIANTS_REFUSED(a)                                                                        \
    do {                                                                                           \
        REFUSED((a)->window = 0);                                                                  \
        REFUSED((a)->softcap = 0);                                                                 \
        REFUSED((a)->softcap = -1);                                                                \
        REFUSED((a)->softcap = 1.0f / 0.0f);                                                       \
        REFUSED((a)->head_scale = NULL);                                                           \
        REFUSED((a)->head_scale = (const float *)(const void *)((const char *)(a)->head_scale + 2)); \
        REFUSED((a)->bias = NULL);                                                                 \
        REFUSED((a)->q_positions = NULL);                                                          \
        REFUSED((a)->sinks = (const float *)(const void *)((const char *)(a)->head_scale + 1));    \
    } while (0)

/* And what none of them reads must not. */
#define VARIANTS_UNREAD(a)                                                                         \
    do {                                                                                           \
        REFUSED((a)->window = 1);                                                                  \
        REFUSED((a)->softcap = 1);                                                                 \
        REFUSED((a)->head_scale = (const float *)(a)->q);                                          \
        REFUSED((a)->bias = (const float *)(a)->q);                                                \
        REFUSED((a)->q_positions = (const uint32_t *)(a)->q);                                      \
        REFUSED((a)->sinks = (const float *)(a)->q);                                               \
    } while (0)

static void variant_args(void **state)
{
    run_place *p = *state;
    sphkv_context *ctx = run_open(p, 0);
    run_spec r = run_spec_get(0);
    bench b;
    r.params.variants = (1u << SK_VARIANTS) - 1;
    bench_make(&b, ctx, &r);
    REFUSED(b.bad.args.attn.q_len = 2); /* more than the plan is for */
    VARIANTS_REFUSED(&b.bad.args.attn);
    bench_free(&b);
    r = run_spec_get(8);
    r.params.variants = (1u << SK_VARIANTS) - 1;
    bench_make(&b, ctx, &r);
    REFUSED(b.bad.args.extend.mask = SPHKV_MASK_NONE); /* positions say who is seen */
    VARIANTS_REFUSED(&b.bad.args.extend);
    bench_free(&b);
    r = run_spec_get(9);
    r.params.variants = (1u << SK_VARIANTS) - 1;
    bench_make(&b, ctx, &r);
    VARIANTS_REFUSED(&b.bad.args.mass);
    bench_free(&b);
    sphkv_close(ctx);
}

/* Rows of a 16-bit output begin at 4 bytes. */
static void sixteen_bit_rows(void **state)
{
    run_place *p = *state;
    sphkv_context *ctx = run_open(p, 0);
    run_spec r = run_spec_get(0);
    bench b;
    r.params.out_dtype = SPHKV_F16;
    bench_make(&b, ctx, &r);
    sphkv_attn_args *a = &b.bad.args.attn;
    REFUSED(a->out = (char *)a->out + 2);
    REFUSED(a->out_stride_head++);
    REFUSED(a->out_stride_seq++);
    bench_free(&b);
    sphkv_close(ctx);
}

static void append_args(void **state)
{
    run_place *p = *state;
    sphkv_context *ctx = run_open(p, 0);
    bench b;
    const run_spec r = run_spec_get(3);
    bench_make(&b, ctx, &r);
    sphkv_append_args *a = &b.bad.args.append;
    REFUSED(a->items = NULL);
    REFUSED(a->items_count++);
    REFUSED(a->k = NULL);
    REFUSED(a->v = NULL);
    REFUSED(a->arena = NULL);
    REFUSED(a->arena = (char *)a->arena + 16);
    REFUSED(a->arena_bytes = SPHKV_UNIT_BYTES);
    if (b.good.bytes) { /* the kernel may need none */
        REFUSED(a->workspace = NULL);
        REFUSED(a->workspace_bytes--);
    }
    sphkv_append_item *item = &b.rows[b.good.args.append.items_count - 1];
    REFUSED_AT(item->unit, a->arena_bytes / SPHKV_UNIT_BYTES);
    REFUSED_AT(item->unit, 0xffffffffu);
    REFUSED_AT(item->slot, b.spec.params.page_tokens + 1);
    REFUSED_AT(item->slot, 0xffffffffu);
    REFUSED_AT(item->count, b.spec.params.page_tokens + 1);
    REFUSED_AT(item->count, 0xffffffffu);
    REFUSED_AT(item->kv_head, b.spec.shape.kv_heads);
    REFUSED_AT(item->reserved, 1);
    bench_free(&b);
    sphkv_close(ctx);
}

/* kv_encode and page_retier. */
static void refuse_encode_args(run_place *p, uint32_t spec)
{
    sphkv_context *ctx = run_open(p, 0);
    bench b;
    const run_spec r = run_spec_get(spec);
    bench_make(&b, ctx, &r);
    sphkv_encode_args *a = &b.bad.args.encode;
    REFUSED(a->items = NULL);
    REFUSED(a->items_count++);
    REFUSED(a->src_arena = NULL);
    REFUSED(a->dst_arena = NULL);
    REFUSED(a->src_arena = (const char *)a->src_arena + 16);
    REFUSED(a->dst_arena = (char *)a->dst_arena + 16);
    REFUSED(a->src_arena_bytes = SPHKV_UNIT_BYTES);
    REFUSED(a->dst_arena_bytes = SPHKV_UNIT_BYTES);
    REFUSED(a->codebook = NULL);
    REFUSED(a->codebook_bytes--);
    REFUSED(a->codebook = (const char *)a->codebook + 2);
    REFUSED(a->rope.table = (const float *)(const void *)a->codebook); /* of tiers that read none */
    REFUSED(a->rope.positions = 1);
    REFUSED(a->rope.dims = 16);
    if (b.good.bytes) {
        REFUSED(a->workspace = NULL);
        REFUSED(a->workspace_bytes--);
    }
    sphkv_encode_item *item = &b.pages[b.good.args.encode.items_count - 1];
    REFUSED_AT(item->src_unit, a->src_arena_bytes / SPHKV_UNIT_BYTES);
    REFUSED_AT(item->dst_unit, a->dst_arena_bytes / SPHKV_UNIT_BYTES);
    REFUSED_AT(item->dst_unit, 0xffffffffu);
    REFUSED_AT(item->count, b.spec.params.page_tokens + 1);
    REFUSED_AT(item->count, 0xffffffffu);
    REFUSED_AT(item->kv_head, b.spec.shape.kv_heads);
    bench_free(&b);
    sphkv_close(ctx);
}

static void encode_args(void **state) { refuse_encode_args(*state, 4); }
static void retier_args(void **state) { refuse_encode_args(*state, 10); }

static void gather_args(void **state)
{
    run_place *p = *state;
    sphkv_context *ctx = run_open(p, 0);
    bench b;
    const run_spec r = run_spec_get(5);
    bench_make(&b, ctx, &r);
    sphkv_gather_args *a = &b.bad.args.gather;
    REFUSED(a->items = NULL);
    REFUSED(a->items_count++);
    REFUSED(a->src_arena = NULL);
    REFUSED(a->dst_arena = NULL);
    REFUSED(a->src_arena = (const char *)a->src_arena + 16);
    REFUSED(a->dst_arena = (char *)a->dst_arena + 64);
    REFUSED(a->src_arena_bytes = SPHKV_UNIT_BYTES);
    REFUSED(a->dst_arena_bytes = SPHKV_UNIT_BYTES);
    REFUSED(a->workspace = NULL);
    REFUSED(a->workspace_bytes--);
    REFUSED(a->workspace = (char *)a->workspace + 8);
    sphkv_gather_item *item = &b.moves[b.good.args.gather.items_count - 1];
    REFUSED_AT(item->src_unit, a->src_arena_bytes / SPHKV_UNIT_BYTES);
    REFUSED_AT(item->src_unit, 0xffffffffu);
    REFUSED_AT(item->dst_unit, a->dst_arena_bytes / SPHKV_UNIT_BYTES);
    REFUSED_AT(item->dst_unit, 0xffffffffu);
    REFUSED_AT(item->tier_slot, 2);
    REFUSED_AT(item->tier_slot, 0xffffffffu);
    REFUSED_AT(item->sub_pages, a->dst_arena_bytes / SPHKV_UNIT_BYTES);
    REFUSED_AT(item->sub_pages, 0xffffffffu);
    bench_free(&b);
    sphkv_close(ctx);
}

static void compact_args(void **state)
{
    run_place *p = *state;
    sphkv_context *ctx = run_open(p, 0);
    bench b;
    const run_spec r = run_spec_get(7);
    bench_make(&b, ctx, &r);
    sphkv_compact_args *a = &b.bad.args.compact;
    REFUSED(a->items = NULL);
    REFUSED(a->items_count++);
    REFUSED(a->tokens = NULL);
    REFUSED(a->tokens_count = 1);
    REFUSED(a->src_arena = NULL);
    REFUSED(a->dst_arena = NULL);
    REFUSED(a->src_arena = (const char *)a->src_arena + 16);
    REFUSED(a->dst_arena = (char *)a->dst_arena + 64);
    REFUSED(a->src_arena_bytes = SPHKV_UNIT_BYTES);
    REFUSED(a->dst_arena_bytes = SPHKV_UNIT_BYTES);
    REFUSED(a->sub_pages = 0xffffffffu);
    REFUSED(a->workspace = NULL);
    REFUSED(a->workspace_bytes--);
    REFUSED(a->workspace = (char *)a->workspace + 8);
    sphkv_compact_item *item = &b.made[b.good.args.compact.items_count - 1];
    REFUSED_AT(item->dst_unit, a->dst_arena_bytes / SPHKV_UNIT_BYTES);
    REFUSED_AT(item->dst_unit, 0xffffffffu);
    REFUSED_AT(item->tier_slot, 2);
    REFUSED_AT(item->first, a->tokens_count);
    REFUSED_AT(item->first, 0xffffffffu);
    REFUSED_AT(item->count, b.spec.params.page_tokens + 1);
    REFUSED_AT(item->count, 0xffffffffu);
    sphkv_compact_token *token = &b.tokens[b.made[0].first + b.made[0].count - 1];
    REFUSED_AT(token->slot, b.spec.params.page_tokens);
    REFUSED_AT(token->slot, 0xffffffffu);
    REFUSED_AT(token->src_unit, a->src_arena_bytes / SPHKV_UNIT_BYTES);
    REFUSED_AT(token->src_unit, 0xffffffffu);
    bench_free(&b);
    sphkv_close(ctx);
}

static void mass_args(void **state)
{
    run_place *p = *state;
    sphkv_context *ctx = run_open(p, 0);
    bench b;
    const run_spec r = run_spec_get(9);
    bench_make(&b, ctx, &r);
    sphkv_mass_args *a = &b.bad.args.mass;
    REFUSED(a->q = NULL);
    REFUSED(a->mass = NULL);
    REFUSED(a->arena = NULL);
    REFUSED(a->codebook = NULL);
    REFUSED(a->codebook_bytes--);
    REFUSED(a->batch++);
    REFUSED(a->reserved = 1);
    REFUSED(a->scale = (float)INFINITY);
    REFUSED(a->q = (const char *)a->q + 2);
    REFUSED(a->mass = (float *)(void *)((char *)a->mass + 2));
    REFUSED(a->page_mass = (float *)(void *)((char *)a->page_mass + 1));
    REFUSED(a->lse = (const float *)(const void *)((const char *)a->q + 2));
    VARIANTS_UNREAD(a);
    REFUSED(a->q_stride_seq = 0xffffffffu);
    REFUSED(a->q_len = 0x40000000u);
    /* products of 2^62 elements, 2^64 bytes in f32 */
    REFUSED((a->q_len = 0x80000001u, a->q_stride_tok = a->lse_stride_tok = 0x80000000u));
    REFUSED(a->kv_head_first = 2);
    REFUSED(a->kv_head_count = 3);
    REFUSED(a->table.lists++);
    REFUSED(a->table.lists_per_seq = 3);
    REFUSED(a->arena = (const char *)a->arena + 16);
    REFUSED(a->arena_bytes = SPHKV_UNIT_BYTES);
    REFUSED(a->workspace = NULL);
    REFUSED(a->workspace_bytes--);
    REFUSED(a->workspace = (char *)a->workspace + 8);
    REFUSED_AT(b.refs[0], sphkv_page_ref(0xfffffff0u, 1, 0));
    REFUSED_AT(b.refs[0], sphkv_page_ref(1, 65, 0));
    REFUSED_AT(b.refs[0], sphkv_page_ref(1, 1, 2));
    bench_free(&b);
    sphkv_close(ctx);
}

static void decode_args(void **state)
{
    run_place *p = *state;
    sphkv_context *ctx = run_open(p, 0);
    bench b;
    const run_spec r = run_spec_get(6);
    bench_make(&b, ctx, &r);
    sphkv_decode_args *a = &b.bad.args.decode;
    REFUSED(a->items = NULL);
    REFUSED(a->items_count++);
    REFUSED((a->k = NULL, a->v = NULL));
    REFUSED(a->k = (char *)a->k + 2);
    REFUSED(a->v = (char *)a->v + 1);
    REFUSED(a->k_stride_row++);
    REFUSED(a->v_stride_head++);
    REFUSED(a->v_stride_row = 0xfffffffeu);
    REFUSED(a->rows = 0);
    REFUSED(a->reserved = 1);
    REFUSED(a->arena = NULL);
    REFUSED(a->arena = (const char *)a->arena + 64);
    REFUSED(a->arena_bytes = SPHKV_UNIT_BYTES);
    REFUSED(a->codebook = NULL);
    REFUSED(a->codebook_bytes--);
    REFUSED(a->codebook = (const char *)a->codebook + 2);
    REFUSED(a->workspace = NULL);
    REFUSED(a->workspace_bytes--);
    sphkv_decode_item *item = &b.read[b.good.args.decode.items_count - 1];
    REFUSED_AT(item->unit, a->arena_bytes / SPHKV_UNIT_BYTES);
    REFUSED_AT(item->unit, 0xffffffffu);
    REFUSED_AT(item->tier_slot, 2);
    REFUSED_AT(item->count, b.spec.params.page_tokens + 1);
    REFUSED_AT(item->count, 0xffffffffu);
    REFUSED_AT(item->row, a->rows + 1);
    REFUSED_AT(item->row, 0xffffffffu);
    REFUSED_AT(item->kv_head, b.spec.shape.kv_heads);
    REFUSED_AT(item->reserved, 1);
    bench_free(&b);
    sphkv_close(ctx);
}

static void extend_args(void **state)
{
    run_place *p = *state;
    sphkv_context *ctx = run_open(p, 0);
    bench b;
    const run_spec r = run_spec_get(8);
    bench_make(&b, ctx, &r);
    sphkv_extend_args *a = &b.bad.args.extend;
    REFUSED(a->q = NULL);
    REFUSED(a->out = NULL);
    REFUSED(a->out = (char *)a->out + 2);
    REFUSED(a->out_stride_head++);
    REFUSED(a->out_stride_tok++);
    REFUSED(a->q_stride_tok = 1u << 31);
    REFUSED(a->lse = (float *)(void *)((char *)a->lse + 2));
    REFUSED(a->q_indptr = NULL);
    REFUSED(a->q_indptr = (const void *)((const char *)a->q_indptr + 2));
    REFUSED_AT(b.q_indptr[1], 0xffffffffu);
    REFUSED_AT(b.q_indptr[0], b.q_indptr[1] + 1);
    REFUSED_AT(b.q_indptr[b.spec.shape.batch], 0xffffffffu);
    /* products of nearly 2^62 and 2^63 elements: 2^64 bytes and a few */
    a->q_stride_tok = a->lse_stride_tok = (1u << 30) + 1, a->out_stride_tok = (1u << 31) + 2;
    REFUSED_AT(b.q_indptr[b.spec.shape.batch], 0xfffffffdu);
    VARIANTS_UNREAD(a);
    REFUSED(a->mask = 2);
    REFUSED(a->scale = 1.0f / 0.0f);
    REFUSED(a->reserved = 1);
    REFUSED(a->batch++);
    REFUSED(a->table.lists_per_seq = 7);
    REFUSED(a->arena = NULL);
    REFUSED(a->arena = (const char *)a->arena + 64);
    REFUSED(a->arena_bytes = SPHKV_UNIT_BYTES);
    REFUSED(a->codebook = NULL);
    REFUSED(a->codebook_bytes--);
    REFUSED(a->workspace = NULL);
    REFUSED(a->workspace_bytes--);
    REFUSED(a->kv_head_first = b.spec.shape.kv_heads);
    REFUSED(a->kv_head_count = b.spec.shape.kv_heads + 1);
    uint64_t *first = &b.refs[b.indptr[0]];
    REFUSED_AT(*first, sphkv_page_ref(sphkv_ref_unit(*first), 1, 2));
    REFUSED_AT(*first, sphkv_page_ref(0xffffffffu, 1, 0));
    REFUSED_AT(b.indptr[1], 0xffffffffu);
    bench_free(&b);
    sphkv_close(ctx);
}

/* ---- planning ------------------------------------------------------------------ */

static void plan_refuses(sphkv_context *ctx, const sphkv_spec_params *spec,
                         const sphkv_maxima *maxima, sphkv_status want, const char *word)
{
    sphkv_plan *plan = (sphkv_plan *)&ctx;
    sphkv_error err = {0};
    sphkv_status st = sphkv_plan_create(ctx, spec, maxima, &plan, &err);
    if (st != want || plan || !strstr(err.message, word))
        fail_msg("status %d, not %d with '%s': %s", (int)st, (int)want, word, err.message);
}

static void plan_args(void **state)
{
    run_place *p = *state;
    sphkv_context *ctx = run_open(p, 0);
    const run_spec r = run_spec_get(0);
    const sphkv_maxima fine = run_maxima(&r);
    sphkv_plan *plan;
    assert_int_equal(sphkv_plan_create(NULL, &r.params, &fine, &plan, NULL), SPHKV_EINVAL);
    assert_int_equal(sphkv_plan_create(ctx, &r.params, &fine, NULL, NULL), SPHKV_EINVAL);
    plan_refuses(ctx, NULL, &fine, SPHKV_EINVAL, "sphkv_spec_params");
    plan_refuses(ctx, &r.params, NULL, SPHKV_EINVAL, "sphkv_maxima");
    sphkv_maxima m = fine;
    m.batch = 0;
    plan_refuses(ctx, &r.params, &m, SPHKV_EINVAL, "batch");
    m = fine, m.kv_heads = 0;
    plan_refuses(ctx, &r.params, &m, SPHKV_EINVAL, "kv_heads");
    m = fine, m.pages_per_list = 0;
    plan_refuses(ctx, &r.params, &m, SPHKV_EINVAL, "pages_per_list");
    m = fine, m.parts = 100000;
    plan_refuses(ctx, &r.params, &m, SPHKV_EINVAL, "parts");
    m = fine, m.batch = m.kv_heads = 65536;
    plan_refuses(ctx, &r.params, &m, SPHKV_EINVAL, "too large");
    sphkv_spec_params s = r.params;
    s.tiers = "good:vi8,nonsense:vi8";
    plan_refuses(ctx, &s, &fine, SPHKV_EINVAL, "nonsense");
    s = r.params, s.kernel = 77;
    plan_refuses(ctx, &s, &fine, SPHKV_EINVAL, "77");
    s = r.params, s.page_tokens = 24; /* not of 16 */
    plan_refuses(ctx, &s, &fine, SPHKV_EUNSUPPORTED, "16");
    sphkv_error err = {0};
    assert_int_equal(sphkv_supported(NULL, &s, &err), SPHKV_EUNSUPPORTED);
    assert_true(strlen(err.message) > 10);
    m = fine, m.parts = 0; /* means one */
    sk_assert_ok(sphkv_plan_create(ctx, &r.params, &m, &plan, &err), &err);
    assert_int_equal(plan->image.maxima.parts, 1);
    assert_int_equal(sphkv_plan_parts(plan), 1);
    assert_true(sphkv_plan_workspace(plan) > 0);
    sphkv_plan_destroy(plan);
    sphkv_plan_destroy(NULL);
    assert_int_equal(sphkv_plan_workspace(NULL), 0);
    assert_int_equal(sphkv_plan_parts(NULL), 0);
    sphkv_close(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(parts_and_null, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(newer_callers, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(older_callers, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(attn_args, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(variant_args, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(sixteen_bit_rows, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(append_args, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(encode_args, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(retier_args, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(gather_args, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(compact_args, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(mass_args, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(decode_args, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(extend_args, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(plan_args, run_place_make, run_place_free),
    };
    if (!run_has_compiler())
        return sk_test_skip("no compiler module: nothing can be planned from scratch");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
