/* page_mass_gpu.c - page_mass on a GPU, form "warp" of attn_decode: a block is one warp, and
 * logits are those of a CPU's parts. Two launches, so that each has more to share out than
 * lists:
 *   sum    that of a query's softmax over a list, by one block, into the workspace; left
 *          out where the caller has its LSE, unless there are biases: beside some an LSE
 *          says too little (sk_mass_knows)
 *   share  every slot's share under all queries, by blocks that take so many pages of a
 *          list each: rows of masses are theirs alone, and nothing is merged
 * Queries beyond those that the workspace has rows for are next ones' turn: further launches
 * add to the masses. Lists are read on the device. */
#include <string.h>

#include "attn_gpu.h"
#include "items.h"
#include "page_mass.h"
#include "part_rope.h"
#include "rows.h"
#include "variants.h"

#define QUERIES 64u /* whose sums the workspace has room for */

enum { ENTRY_SUM, ENTRY_SHARE, ENTRIES };

/* ---- schedules ---------------------------------------------------------------- */

/* Item and top. */
static uint32_t own_bytes(const sk_spec *spec)
{
    return sk_ir_area_bytes(SK_ITEM_WORDS_ALL * 4) + sk_ir_area_bytes(sk_mass_top_bytes(sk_dec_turn_heads(spec)));
}

static sk_status valid(const sk_spec *spec, const sk_schedule *s, const sk_target *target, sk_err *err)
{
    return sk_warp_valid(spec, s, own_bytes(spec), target, err);
}

static void default_schedule(const sk_spec *spec, const sk_target *target, sk_schedule *out)
{
    sk_warp_default(spec, own_bytes(spec), target, out);
}

/* ---- programs ------------------------------------------------------------------ */

/* A program under construction. */
typedef struct mass_grid {
    sk_grid grid;
    sk_mass mass;
    sk_val count;    /* query tokens of the launch, q_tok apart */
    sk_val first;    /* of the first one, among the q_len of its sequence */
    sk_val parts;    /* that a list is cut into */
    sk_val sums;     /* those found: [sequence][QUERIES][query head] m, l */
} mass_grid;

static sk_val op(mass_grid *g, sk_op o, sk_val x, sk_val y) { return sk_ir_2(g->grid.c->b, o, x, y); }

/* The same for both entries. */
static void params(mass_grid *m, bool shares)
{
    sk_grid *g = &m->grid;
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    sk_grid_params_read(g);
    m->mass.lse = sk_ir_param_ptr(b, "lse", false);
    m->sums = sk_ir_param_ptr(b, "sums", !shares);
    m->mass.out = sk_ir_param_ptr(b, "mass", shares);
    m->mass.sums = sk_ir_param_ptr(b, "page_mass", shares);
    c->tables = sk_ir_param_ptr(b, "tables", true);
    m->mass.sums_wanted = sk_ir_param_u32(b, "page_mass_wanted");
    m->mass.lse_given = sk_ir_param_u32(b, "lse_given");
    sk_grid_params_of_run(g);
    m->mass.q_tok = sk_ir_param_u32(b, "q_token_bytes");
    m->mass.q_len = sk_ir_param_u32(b, "q_len");
    m->first = sk_ir_param_u32(b, "q_first");
    m->count = sk_ir_param_u32(b, "q_count");
    g->lse_seq = sk_ir_param_u32(b, "lse_seq_bytes");
    m->mass.lse_tok = sk_ir_param_u32(b, "lse_token_bytes");
    m->parts = sk_ir_param_u32(b, "parts");
    g->blocks = sk_ir_param_u32(b, "blocks");
    c->scale = sk_ir_param_f32(b, "scale_log2e");
    sk_dec_variant_params(c);
    sk_rope_params(c);
}

/* Constants, scratch, and a loop over the units of the block, of which a list has `each`:
 * which list, and which unit of it. */
static void begin(mass_grid *m, const sk_schedule *sched, sk_val each, sk_val *unit, sk_grid_list *list)
{
    sk_grid *g = &m->grid;
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    c->zero = sk_ir_u32(b, 0);
    c->lane = sk_ir_lane(b);
    c->warps = 1;
    c->var.q_len = m->mass.q_len;
    g->block = sk_ir_block(b, 0);
    g->shared = op(m, SK_OP_NE, sk_and(c, g->flags, SK_GPU_SHARED), c->zero);
    c->item = sk_ir_name(b, sk_ir_shared(b, SK_ITEM_WORDS_ALL * 4), "item");
    m->mass.top = sk_ir_name(b, sk_ir_shared(b, sk_mass_top_bytes(c->h)), "top");
    sk_warp_begin(g, sched);
    const sk_val pairs = op(m, SK_OP_MUL, g->batch, g->kv_count);
    const sk_val all = op(m, SK_OP_MUL, pairs, each);
    const sk_val room = sk_add(c, op(m, SK_OP_SUB, all, g->block), op(m, SK_OP_SUB, g->blocks, sk_k(c, 1)));
    const sk_val mine = sk_sel(c, op(m, SK_OP_ULT, g->block, all), op(m, SK_OP_UDIV, room, g->blocks), c->zero);
    const sk_val k = sk_ir_for(b, c->zero, mine, 1);
    const sk_val n = sk_add(c, g->block, op(m, SK_OP_MUL, k, g->blocks));
    *unit = op(m, SK_OP_UREM, n, each);
    *list = sk_grid_pair(g, op(m, SK_OP_UDIV, n, each));
}

/* The item of pages lo .. hi-1 of a list, with where its LSE and its sinks are. */
static void put_item(mass_grid *m, const sk_grid_list *l, sk_val lo, sk_val hi)
{
    sk_grid *g = &m->grid;
    sk_dec *c = g->c;
    const sk_piece piece = {.pair = sk_add(c, op(m, SK_OP_MUL, l->seq, g->kv_count),
                                           op(m, SK_OP_SUB, l->head, g->kv_first)),
                            .seq = l->seq, .head = l->head, .lo = lo, .hi = hi};
    const sk_val head = sk_mul(c, l->head, c->heads * 4);
    const sk_val sinks = op(m, SK_OP_NE, sk_and(c, g->flags, SK_GPU_SINK), c->zero);
    sk_warp_item(g, &piece);
    sk_ir_stu(c->b, c->item, c->zero, SK_ITEM_LSE * 4, sk_add(c, op(m, SK_OP_MUL, l->seq, g->lse_seq), head));
    sk_ir_stu(c->b, c->item, c->zero, SK_ITEM_SINK * 4, sk_sel(c, sinks, head, sk_k(c, SK_ITEM_NONE)));
}

/* A query of the launch, of all that a sequence has, and its row of LSE. */
static void take_query(mass_grid *m, sk_val q, sk_val query)
{
    sk_mass_query(m->grid.c, &m->mass, q, sk_add(m->grid.c, m->first, query));
}

/* The sums of a query of the launch that are found, of the first head of the turn. */
static sk_val sums_row(mass_grid *m, const sk_grid_list *l, sk_val query)
{
    sk_dec *c = m->grid.c;
    const sk_val row = sk_add(c, sk_mul(c, l->seq, QUERIES), query);
    const sk_val rows = op(m, SK_OP_MUL, row, m->grid.kv_heads);
    return sk_dec_turn_row(c, sk_ir_ptr_add(c->b, m->sums, sk_add(c, rows, l->head), c->heads * 8), 8);
}

static void put_sums(sk_dec *c, sk_val row, const sk_dec_sum sum[SK_HEAD_TILE])
{
    for (uint32_t h = 0; h < c->h; h++) {
        sk_ir_stu(c->b, row, c->zero, h * 8, sum[h].m);
        sk_ir_stu(c->b, row, c->zero, h * 8 + 4, sum[h].l);
    }
}

static void build_sum(mass_grid *m, const sk_schedule *sched)
{
    sk_dec *c = m->grid.c;
    sk_builder *b = c->b;
    sk_val query;
    sk_dec_sum sum[SK_HEAD_TILE];
    sk_grid_list l;
    params(m, false);
    const bool may_know = sk_dec_has(c, SPHKV_VARIANT_BIAS);
    begin(m, sched, m->count, &query, &l);
    sk_dec_pages pages = {.refs = m->grid.refs, .ml = m->sums};
    m->mass.out = m->sums; /* nothing else is written */
    sk_ir_if(b, op(m, SK_OP_ULT, l.begin, l.end));
    put_item(m, &l, l.begin, l.end);
    const sk_val q = c->q;
    sk_dec_turns_begin(c);
    const sk_val row = sums_row(m, &l, query);
    if (may_know) {
        sk_ir_if(b, sk_mass_knows(c, &m->mass, query));
        sk_mass_given(c, &m->mass, query, sum);
        put_sums(c, row, sum);
        sk_ir_else(b);
    }
    take_query(m, q, query);
    sk_mass_sum(c, &m->mass, &pages, query, sum);
    put_sums(c, row, sum);
    if (may_know) sk_ir_end(b);
    c->q = q;
    sk_dec_turns_end(c);
    sk_ir_end(b);
    sk_ir_end(b);
}

/* Parts of a list differ by one page at most, the larger first. */
static void part_of(mass_grid *m, const sk_grid_list *l, sk_val part, sk_val *lo, sk_val *hi)
{
    sk_dec *c = m->grid.c;
    const sk_val n = op(m, SK_OP_SUB, l->end, l->begin);
    const sk_val each = op(m, SK_OP_UDIV, n, m->parts), more = op(m, SK_OP_UREM, n, m->parts);
    const sk_val before = sk_add(c, op(m, SK_OP_MUL, each, part), op(m, SK_OP_UMIN, part, more));
    const sk_val one = sk_sel(c, op(m, SK_OP_ULT, part, more), sk_k(c, 1), c->zero);
    *lo = sk_add(c, l->begin, before);
    *hi = sk_add(c, *lo, sk_add(c, each, one));
}

/* top, from what was found or is given. */
static void put_top(mass_grid *m, const sk_grid_list *l, sk_val query, sk_val had)
{
    sk_dec *c = m->grid.c;
    sk_dec_sum sum[SK_HEAD_TILE];
    sk_ir_if(c->b, op(m, SK_OP_NE, m->mass.lse_given, c->zero));
    sk_mass_given(c, &m->mass, query, sum);
    sk_mass_top(c, &m->mass, sum, had);
    sk_ir_else(c->b);
    const sk_val row = sums_row(m, l, query);
    for (uint32_t h = 0; h < c->h; h++)
        sum[h] = (sk_dec_sum){.m = sk_ir_ldu(c->b, SK_LD_F32, row, c->zero, h * 8),
                              .l = sk_ir_ldu(c->b, SK_LD_F32, row, c->zero, h * 8 + 4)};
    sk_mass_top(c, &m->mass, sum, had);
    sk_ir_end(c->b);
}

static void build_share(mass_grid *m, const sk_schedule *sched)
{
    sk_dec *c = m->grid.c;
    sk_builder *b = c->b;
    sk_val part, lo, hi;
    sk_grid_list l;
    params(m, true);
    begin(m, sched, m->parts, &part, &l);
    sk_dec_pages pages = {.refs = m->grid.refs, .ml = m->mass.out};
    part_of(m, &l, part, &lo, &hi);
    sk_ir_if(b, op(m, SK_OP_ULT, lo, hi));
    put_item(m, &l, lo, hi);
    sk_ir_if(b, op(m, SK_OP_EQ, m->first, c->zero));
    sk_mass_clear(c, &m->mass);
    sk_ir_end(b);
    const sk_val had = sk_ir_var(b, SK_BLOCK, c->zero), q = c->q;
    sk_dec_turns_begin(c);
    const sk_val query = sk_ir_for(b, c->zero, m->count, 1);
    take_query(m, q, query);
    put_top(m, &l, query, sk_ir_get(b, had));
    sk_mass_share(c, &m->mass, &pages);
    sk_ir_end(b);
    c->q = q;
    if (c->turns > 1) sk_ir_set(b, had, sk_add(c, c->h0, sk_k(c, c->h)));
    sk_dec_turns_end(c);
    sk_ir_end(b);
    sk_ir_end(b);
}

static sk_status build_entry(const sk_spec *spec, const sk_schedule *sched, uint32_t entry,
                             sk_arena *arena, sk_program **out, sk_err *err)
{
    sk_builder builder;
    sk_dec dec;
    sk_schedule inner;
    mass_grid grid = {.grid = {.c = &dec}};
    sk_program *narrow;
    sk_warp_inner(spec, &inner);
    sk_status st = sk_rows_begin(&builder, spec, &inner, arena, entry == ENTRY_SUM ? "sum" : "", err);
    if (st != SPHKV_OK) return st;
    sk_ir_occupancy(&builder, (uint32_t)sched->v[SK_T_blocks]);
    sk_dec_init(&dec, &builder, spec, &inner);
    (entry == ENTRY_SUM ? build_sum : build_share)(&grid, sched);
    st = sk_ir_finish(&builder, &narrow, err);
    return st == SPHKV_OK ? sk_ir_widen(narrow, arena, out, err) : st;
}

static sk_status build(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena, sk_build *out,
                       sk_err *err)
{
    sk_status st = SPHKV_OK;
    memset(out, 0, sizeof *out);
    out->n = ENTRIES;
    for (uint32_t i = 0; i < ENTRIES && st == SPHKV_OK; i++)
        st = build_entry(spec, sched, i, arena, &out->program[i], err);
    return st;
}

/* ---- host side ------------------------------------------------------------------ */

/* Workspace: sums of the queries of a launch | tables of the blocks. */
typedef struct space {
    uint32_t blocks;
    size_t sums_bytes, tables, tables_bytes;
} space;

static void prepare(sk_image *image)
{
    const sphkv_maxima *m = &image->maxima;
    space *a = (space *)(void *)image->own;
    _Static_assert(sizeof *a <= sizeof image->own, "fits");
    const uint64_t home = (uint64_t)image->sms * (uint64_t)image->schedule.v[SK_T_blocks];
    const uint64_t pairs = (uint64_t)m->batch * m->kv_heads;
    const uint64_t most = pairs * (m->pages_per_list > QUERIES ? m->pages_per_list : QUERIES);
    a->blocks = (uint32_t)(home < most ? home : most > 0 ? most : 1);
    a->sums_bytes = (size_t)pairs * QUERIES * image->spec.heads_per_kv * 8;
    a->tables = (a->sums_bytes + 127) & ~(size_t)127;
    a->tables_bytes = (size_t)a->blocks * sk_warp_room_of(&image->spec, &image->schedule, 0).tables;
}

static size_t workspace(const sk_image *image)
{
    const space *a = sk_image_own(image);
    return a->tables + a->tables_bytes;
}

/* Queries of a launch, and their rows of LSE that are read; NULL: none. */
typedef struct turn {
    uint32_t first, count;
    const float *lse;
    size_t lse_bytes;
} turn;

static turn turn_of(const sk_mass_run *r, uint32_t first, bool reads_lse)
{
    const sphkv_mass_args *a = &r->a;
    const size_t off = (size_t)first * a->lse_stride_tok;
    turn t = {.first = first, .count = a->q_len - first < QUERIES ? a->q_len - first : QUERIES};
    if (!reads_lse) return t;
    t.lse = a->lse + off;
    t.lse_bytes = r->lse_bytes - off * 4;
    return t;
}

static uint32_t flags_of(const sk_mass_run *r)
{
    const bool sinks = r->a.sinks && !r->a.lse; /* an LSE has them */
    return SK_GPU_PAGE_ML | (r->look.shared ? SK_GPU_SHARED : 0) | (sinks ? SK_GPU_SINK : 0);
}

/* Parts of a list for as many blocks as there are. */
static uint32_t parts_of(const sk_mass_run *r, const space *at)
{
    const uint32_t pairs = r->a.batch * r->kv_count, pages = r->image->maxima.pages_per_list;
    const uint32_t parts = pairs ? at->blocks / pairs : 1;
    return parts == 0 || pages == 0 ? 1 : parts < pages ? parts : pages;
}

static sk_status launch(const sk_mass_run *r, const space *at, const turn *t, uint32_t entry, sk_err *err)
{
    const sphkv_mass_args *a = &r->a;
    const sk_image *image = r->image;
    const sk_variant_args v = SK_VARIANTS_OF(a);
    sk_call call = {0};
    sk_call_ptr(&call, a->q, r->q_bytes);
    sk_call_ptr(&call, a->codebook, a->codebook_bytes);
    sk_call_ptr(&call, a->arena, a->arena_bytes);
    sk_call_ptr(&call, a->table.indptr, ((size_t)a->table.lists + 1) * 4);
    sk_call_ptr(&call, a->table.refs, r->look.refs_end * 8);
    sk_call_ptr(&call, t->lse, t->lse_bytes);
    sk_call_ptr(&call, a->workspace, at->sums_bytes);
    sk_call_ptr(&call, a->mass, r->rows * image->spec.page * 4);
    sk_call_ptr(&call, a->page_mass, a->page_mass ? r->rows * 4 : 0);
    sk_call_ptr(&call, (uint8_t *)a->workspace + at->tables, at->tables_bytes);
    sk_call_u32(&call, a->page_mass != NULL);
    sk_call_u32(&call, t->lse != NULL);
    sk_call_u32(&call, flags_of(r));
    sk_call_u32(&call, a->batch);
    sk_call_u32(&call, image->maxima.kv_heads);
    sk_call_u32(&call, r->look.kv_first);
    sk_call_u32(&call, r->kv_count);
    sk_call_u32(&call, a->q_stride_seq * r->q_es);
    sk_call_u32(&call, a->q_stride_head * r->q_es);
    sk_call_u32(&call, a->q_stride_tok * r->q_es);
    sk_call_u32(&call, a->q_len);
    sk_call_u32(&call, t->first);
    sk_call_u32(&call, t->count);
    sk_call_u32(&call, a->lse_stride_seq * 4);
    sk_call_u32(&call, a->lse_stride_tok * 4);
    sk_call_u32(&call, parts_of(r, at));
    sk_call_u32(&call, at->blocks);
    sk_call_f32(&call, (float)(a->scale * 1.4426950408889634));
    sk_variants_call(&call, &image->spec, &v,
                     &(sk_variant_counts){.heads = r->heads, .refs = r->look.refs_end,
                                          .positions = (uint64_t)a->batch * a->q_len});
    sk_rope_call(&call, &image->spec, &a->rope);
    return sk_image_launch(image, entry, &call, at->blocks, a->stream, err);
}

static sk_status run(const sk_image *image, const void *args, uint32_t part, uint32_t parts, sk_err *err)
{
    const space *at = sk_image_own(image);
    sk_mass_run r;
    /* what runs on the host is held to bounds that only the table tells */
    const bool device = image->launch && !image->launch_here;
    sk_status st = sk_items_part(image, part, parts, err);
    if ((uint64_t)image->maxima.batch * image->maxima.kv_heads > UINT32_MAX / QUERIES)
        return sk_fail(err, SPHKV_EINVAL, "maxima: batch times KV heads is 2^26 or more");
    if (st == SPHKV_OK) st = sk_mass_read(&r, image, args, device, err);
    if (st != SPHKV_OK || r.a.batch == 0) return st;
    const bool given = r.a.lse != NULL, sums = !given || (image->spec.variants & SPHKV_VARIANT_BIAS);
    for (uint32_t first = 0; first < r.a.q_len && st == SPHKV_OK; first += QUERIES) {
        const turn of_sum = turn_of(&r, first, given), of_share = turn_of(&r, first, !sums);
        if (sums) st = launch(&r, at, &of_sum, ENTRY_SUM, err);
        if (st == SPHKV_OK) st = launch(&r, at, &of_share, ENTRY_SHARE, err);
    }
    return st;
}

const sk_kernel_form sk_mass_on_gpu = {
    .default_schedule = default_schedule,
    .valid = valid,
    .build = build,
    .prepare = prepare,
    .workspace = workspace,
    .run = run,
};
