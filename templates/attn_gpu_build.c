/* attn_gpu_build.c - the programs of attn_decode on a GPU: one block from beginning
 * to end. */
#include "attn_gpu.h"
#include "part_rope.h"

#include <math.h>
#include <string.h>

/* ---- parameters ------------------------------------------------------------------ */

void sk_grid_params_read(sk_grid *g)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    c->q = sk_ir_param_ptr(b, "q", false);
    c->codebook = sk_ir_param_ptr(b, "codebook", false);
    c->arena = sk_ir_param_ptr(b, "arena", false);
    g->indptr = sk_ir_param_ptr(b, "indptr", false);
    g->refs = sk_ir_param_ptr(b, "refs", false);
}

void sk_grid_params_of_run(sk_grid *g)
{
    sk_builder *b = g->c->b;
    g->flags = sk_ir_param_u32(b, "flags");
    g->batch = sk_ir_param_u32(b, "batch");
    g->kv_heads = sk_ir_param_u32(b, "kv_heads");
    g->kv_first = sk_ir_param_u32(b, "kv_first");
    g->kv_count = sk_ir_param_u32(b, "kv_count");
    g->q_seq = sk_ir_param_u32(b, "q_seq_bytes");
    g->c->q_stride = sk_ir_param_u32(b, "q_head_bytes");
}

void sk_grid_params(sk_grid *g)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    sk_grid_params_read(g);
    g->out = sk_ir_param_ptr(b, "out", true);
    g->lse = sk_ir_param_ptr(b, "lse", true);
    g->page_ml = sk_ir_param_ptr(b, "page_ml", true);
    g->work = sk_ir_param_ptr(b, "work", false);
    g->counters = sk_ir_param_ptr(b, "counters", true);
    g->partials = sk_ir_param_ptr(b, "partials", true);
    c->tables = sk_ir_param_ptr(b, "tables", true);
    sk_grid_params_of_run(g);
    g->out_seq = sk_ir_param_u32(b, "out_seq_bytes");
    g->out_head = sk_ir_param_u32(b, "out_head_bytes");
    g->lse_seq = sk_ir_param_u32(b, "lse_seq");
    g->blocks = sk_ir_param_u32(b, "blocks");
    c->scale = sk_ir_param_f32(b, "scale_log2e");
    sk_dec_variant_params(c);
    sk_rope_params(c);
}

/* ---- what pieces have in common ------------------------------------------------------ */

static sk_val op(sk_grid *g, sk_op o, sk_val x, sk_val y) { return sk_ir_2(g->c->b, o, x, y); }

sk_val sk_grid_units(sk_grid *g, const sk_piece *piece, uint32_t tier_slot)
{
    sk_page_layout lay;
    sk_page_layout_get(g->c->spec, tier_slot, &lay);
    return sk_sel(g->c, g->shared, sk_mul(g->c, piece->head, lay.units), g->c->zero);
}

sk_grid_statistics sk_grid_statistics_of(sk_grid *g, const sk_piece *piece)
{
    sk_dec *c = g->c;
    const sk_val wanted = op(g, SK_OP_NE, sk_and(c, g->flags, SK_GPU_PAGE_ML), c->zero);
    const sk_val each = sk_sel(c, g->shared, g->kv_heads, sk_k(c, 1));
    return (sk_grid_statistics){.step = sk_sel(c, wanted, each, c->zero),
                                .add = sk_sel(c, g->shared, piece->head, c->zero)};
}

/* Where the rows of a pair go, as the parts read it from an item. */
static sk_val out_at(sk_grid *g, sk_val seq, sk_val head)
{
    const sk_val rows = op(g, SK_OP_MUL, sk_mul(g->c, head, g->c->heads), g->out_head);
    return sk_add(g->c, op(g, SK_OP_MUL, seq, g->out_seq), rows);
}

static sk_val lse_wanted(sk_grid *g)
{
    return op(g, SK_OP_NE, sk_and(g->c, g->flags, SK_GPU_LSE), g->c->zero);
}

static sk_val lse_at(sk_grid *g, sk_val seq, sk_val head)
{
    const sk_val rows = sk_mul(g->c, head, g->c->heads);
    return sk_shl(g->c, sk_add(g->c, op(g, SK_OP_MUL, seq, g->lse_seq), rows), 2);
}

/* Byte offset of the first query head's sink, or SK_ITEM_NONE. */
static sk_val sink_at(sk_grid *g, sk_val head)
{
    sk_dec *c = g->c;
    const sk_val wanted = op(g, SK_OP_NE, sk_and(c, g->flags, SK_GPU_SINK), c->zero);
    return sk_sel(c, wanted, sk_mul(c, head, c->heads * 4), sk_k(c, SK_ITEM_NONE));
}

static void put_item(sk_grid *g, const sk_piece *piece)
{
    sk_dec *c = g->c;
    const sk_val lse = lse_at(g, piece->seq, piece->head);
    sk_dec_barrier(g->c); /* nobody is at the last piece any more */
    sk_dec_one(g->c);
    sk_ir_stu(c->b, c->item, c->zero, SK_ITEM_OUT * 4, out_at(g, piece->seq, piece->head));
    sk_ir_stu(c->b, c->item, c->zero, SK_ITEM_LSE * 4,
              sk_sel(c, lse_wanted(g), lse, sk_k(c, SK_ITEM_NONE)));
    if (sk_dec_has(c, SPHKV_VARIANT_SINK))
        sk_ir_stu(c->b, c->item, c->zero, SK_ITEM_SINK * 4, sink_at(g, piece->head));
    sk_grid_keep(g, piece);
    sk_dec_one_end(g->c);
}

/* ---- empty lists ----------------------------------------------------------------------- */

static sk_val no_channels(sk_dec *c, const void *of, sk_val at)
{
    (void)of;
    (void)at;
    return sk_ir_f32(c->b, 0.0f);
}

/* LSE of head h of a list without tokens. */
static sk_val empty_lse(sk_grid *g, sk_val kv_head, sk_val h)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    if (!sk_dec_has(c, SPHKV_VARIANT_SINK)) return sk_ir_f32(b, -INFINITY);
    const sk_val x = sk_ir_var(b, SK_WARP, sk_ir_f32(b, -INFINITY)), at = sink_at(g, kv_head);
    sk_ir_if(b, op(g, SK_OP_NE, at, sk_k(c, SK_ITEM_NONE)));
    sk_ir_set(b, x, sk_ir_ldu(b, SK_LD_F32, c->var.sinks, sk_add(c, at, sk_shl(c, h, 2)), 0));
    sk_ir_end(b);
    return sk_ir_get(b, x);
}

/* Rows of one query token. */
static void clear_rows(sk_grid *g, const sk_grid_list *l, sk_val out, sk_val lse)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    const sk_val first = c->warps > 1 ? c->warp : c->zero;
    const sk_val rows = sk_ir_ptr_add(b, out, out_at(g, l->seq, l->head), 1);
    const sk_val h = sk_ir_for(b, first, sk_k(c, c->heads), c->warps);
    sk_part_out(c, sk_ir_ptr_add(b, rows, op(g, SK_OP_MUL, h, g->out_head), 1), no_channels, NULL);
    sk_ir_if(b, lse_wanted(g));
    const sk_val at = sk_add(c, lse_at(g, l->seq, l->head), sk_shl(c, h, 2));
    sk_ir_stu(b, lse, at, 0, empty_lse(g, l->head, h));
    sk_ir_end(b);
    sk_ir_end(b);
}

static void clear_pair(sk_grid *g, const sk_grid_list *l)
{
    sk_dec one;
    sk_dec_tokens_begin(g->c, &one);
    const sk_dec_outputs of =
        sk_dec_query_outputs(&one, &(sk_dec_outputs){.out = g->out, .lse = g->lse});
    clear_rows(g, l, of.out, of.lse);
    sk_dec_queries_end(g->c);
}

/* Pairs b, b + G, ... whose lists have no pages: they are in nobody's share. */
static void clear_empty(sk_grid *g)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    const sk_val pairs = op(g, SK_OP_MUL, g->batch, g->kv_count);
    const sk_val room = sk_add(c, op(g, SK_OP_SUB, pairs, g->block), g->blocks);
    const sk_val mine = op(g, SK_OP_UDIV, op(g, SK_OP_SUB, room, sk_k(c, 1)), g->blocks);
    const sk_val any = op(g, SK_OP_ULT, g->block, pairs);
    const sk_val i = sk_ir_for(b, c->zero, sk_sel(c, any, mine, c->zero), 1);
    const sk_grid_list l = sk_grid_pair(g, sk_add(c, g->block, op(g, SK_OP_MUL, i, g->blocks)));
    sk_ir_if(b, op(g, SK_OP_EQ, l.begin, l.end));
    clear_pair(g, &l);
    sk_ir_end(b);
    sk_ir_end(b);
}

/* ---- a block ------------------------------------------------------------------------------ */

/* Rows of the query token at work. */
static void put_rows(sk_grid *g)
{
    const sk_dec_outputs of = sk_dec_query_outputs(
        g->c, &(sk_dec_outputs){.out = g->out, .out_stride = g->out_head, .lse = g->lse});
    sk_part_finish_list(g->c, &of);
}

/* Rows of a list that is whole here, or becomes it. */
static void finish(sk_grid *g, bool join)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    const sk_piece piece = sk_grid_kept(g);
    const sk_val cut = op(g, SK_OP_NE, piece.slot, sk_k(c, SK_ITEM_FINAL));
    const sk_val whole = sk_ir_var(b, SK_BLOCK, sk_k(c, 1));
    sk_dec one;
    sk_grid token = *g;
    token.c = &one;
    sk_ir_if(b, cut);
    sk_dec_queries_begin(c, &one);
    sk_part_finish_partial(&one, g->partials, sk_dec_query_index(&one, piece.slot));
    sk_dec_queries_end(c);
    if (join) {
        sk_grid_arrive(g, &piece);
        const sk_val ready = sk_grid_word(g, SK_DEAL_READY);
        sk_ir_set(b, whole, ready);
        sk_ir_if(b, op(g, SK_OP_NE, ready, c->zero));
        sk_dec_queries_begin(c, &one);
        sk_grid_merge(&token);
        sk_dec_queries_end(c);
        sk_ir_end(b);
    } else {
        sk_ir_set(b, whole, c->zero);
    }
    sk_ir_end(b);
    sk_ir_if(b, op(g, SK_OP_NE, sk_ir_get(b, whole), c->zero));
    sk_dec_queries_begin(c, &one);
    put_rows(&token);
    sk_dec_queries_end(c);
    sk_ir_end(b);
}

/* The same where heads take turns: each turn puts what it has of the piece, and what
 * cut lists become is for when all have. */
static void take_turns(sk_grid *g, const sk_piece *piece, bool join)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    sk_dec_turns_begin(c);
    sk_warp_decode(g, piece);
    const sk_piece kept = sk_grid_kept(g);
    sk_dec one;
    sk_grid token = *g;
    token.c = &one;
    sk_dec_queries_begin(c, &one);
    sk_ir_if(b, op(g, SK_OP_NE, kept.slot, sk_k(c, SK_ITEM_FINAL)));
    sk_part_finish_partial(&one, g->partials, sk_dec_query_index(&one, kept.slot));
    sk_ir_else(b);
    put_rows(&token);
    sk_ir_end(b);
    sk_dec_queries_end(c);
    sk_dec_turns_end(c);
    if (!join) return;
    const sk_piece all = sk_grid_kept(g);
    sk_ir_if(b, op(g, SK_OP_NE, all.slot, sk_k(c, SK_ITEM_FINAL)));
    sk_grid_arrive(g, &all);
    sk_ir_if(b, op(g, SK_OP_NE, sk_grid_word(g, SK_DEAL_READY), c->zero));
    sk_dec_turns_begin(c);
    sk_dec_queries_begin(c, &one);
    sk_grid_merge(&token);
    put_rows(&token);
    sk_dec_queries_end(c);
    sk_dec_turns_end(c);
    sk_ir_end(b);
    sk_ir_end(b);
}

/* Form "tile": a piece as its warps take it. */
static void tile_decode(sk_grid *g, const sk_piece *piece)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    const sk_val rows = op(g, SK_OP_MUL, sk_mul(c, piece->head, c->heads), c->q_stride);
    const sk_val q = sk_add(c, op(g, SK_OP_MUL, piece->seq, g->q_seq), rows);
    const sk_grid_statistics ml = sk_grid_statistics_of(g, piece);
    sk_tile_work work = {.q = sk_ir_ptr_add(b, c->q, q, 1), .q_stride = c->q_stride,
                         .scale = c->scale, .arena = c->arena, .refs = g->refs, .lo = piece->lo,
                         .hi = piece->hi, .ml = g->page_ml, .ml_step = ml.step, .ml_add = ml.add};
    work.book = sk_ir_ptr_add(b, c->codebook, piece->head, sk_codebook_head_bytes(c->spec));
    for (uint32_t k = 0; k < c->spec->ntiers; k++) work.unit_add[k] = sk_grid_units(g, piece, k);
    sk_tile_decode(g->tile, &work);
}

/* Parameters, constants, and the scratch of every block. */
static void begin_block(sk_grid *g, uint32_t warps)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    sk_grid_params(g);
    c->zero = sk_ir_u32(b, 0);
    c->lane = sk_ir_lane(b);
    c->warps = warps;
    if (warps > 1) c->warp = sk_ir_0(b, SK_OP_WARP, 0);
    g->block = sk_ir_block(b, 0);
    g->deal = sk_ir_name(b, sk_ir_shared(b, SK_DEAL_WORDS * 4), "deal");
    c->item = sk_ir_name(b, sk_ir_shared(b, sk_item_words(c->spec) * 4), "item");
}

static void block(sk_grid *g, const sk_schedule *sched)
{
    sk_dec *c = g->c;
    sk_piece piece;
    const bool tiles = sched->v[SK_T_form] == SK_ATTN_TILE;
    if (tiles)
        g->tile = sk_tile_begin(c);
    else
        sk_warp_begin(g, sched);
    if (tiles && !g->tile) return; /* no memory, which the builder tells */
    sk_grid_look(g);
    sk_grid_deal(g);
    sk_grid_pieces(g, &piece);
    put_item(g, &piece);
    const bool join = sched->v[SK_T_merge] == SK_MERGE_LAST;
    if (c->turns > 1) {
        take_turns(g, &piece, join);
    } else {
        if (tiles)
            tile_decode(g, &piece);
        else
            sk_warp_decode(g, &piece);
        finish(g, join);
    }
    sk_grid_next(g);
    clear_empty(g);
}

static sk_status build_warp(const sk_spec *spec, const sk_schedule *sched, const char *symbol,
                            sk_arena *arena, sk_program **out, sk_err *err)
{
    sk_builder builder;
    sk_dec dec;
    sk_schedule inner;
    sk_grid grid = {.c = &dec};
    sk_program *narrow;
    sk_warp_inner(spec, &inner);
    sk_ir_begin(&builder, arena, symbol, (uint32_t)inner.v[SK_T_w], 1);
    sk_ir_occupancy(&builder, (uint32_t)sched->v[SK_T_blocks]);
    sk_dec_init(&dec, &builder, spec, &inner);
    begin_block(&grid, 1);
    block(&grid, sched);
    const sk_status st = sk_ir_finish(&builder, &narrow, err);
    return st == SPHKV_OK ? sk_ir_widen(narrow, arena, out, err) : st;
}

static sk_status build_tile(const sk_spec *spec, const sk_schedule *sched, const char *symbol,
                            sk_arena *arena, sk_program **out, sk_err *err)
{
    sk_builder builder;
    sk_dec dec;
    sk_grid grid = {.c = &dec};
    sk_ir_begin(&builder, arena, symbol, 32, sk_tile_warps(sched));
    sk_ir_occupancy(&builder, (uint32_t)sched->v[SK_T_blocks]);
    sk_dec_init(&dec, &builder, spec, sched);
    begin_block(&grid, sk_tile_warps(sched));
    block(&grid, sched);
    return sk_ir_finish(&builder, out, err);
}

/* ---- lists that blocks share, in a launch of their own ----------------------------------- */

#define MERGE_WARPS 4u

/* What begins in this block's share and goes on in others: of its partials, slot
 * 2b + 1. */
static void join_begun(sk_grid *g, const sk_piece *piece)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    const sk_val begun = sk_add(c, sk_shl(c, g->block, 1), sk_k(c, 1));
    sk_ir_if(b, op(g, SK_OP_EQ, piece->slot, begun));
    put_item(g, piece);
    sk_dec_one(g->c);
    sk_grid_cut(g, piece);
    sk_dec_one_end(g->c);
    sk_dec_barrier(g->c);
    sk_dec_turns_begin(c);
    sk_dec one;
    sk_grid token = *g;
    token.c = &one;
    sk_dec_tokens_begin(c, &one); /* in the one place that there is here for a sum */
    sk_grid_merge(&token);
    put_rows(&token);
    if (c->turns > 1 || sk_dec_has(c, SPHKV_VARIANT_QUERIES))
        sk_dec_barrier(g->c); /* all rows are read */
    sk_dec_queries_end(c);
    sk_dec_turns_end(c);
    sk_ir_end(b);
}

static sk_status build_merge(const sk_spec *spec, const sk_schedule *sched, const char *symbol,
                             sk_arena *arena, sk_program **out, sk_err *err)
{
    sk_builder builder, *b = &builder;
    sk_dec dec, *c = &dec;
    sk_grid grid = {.c = c}, *g = &grid;
    sk_piece piece;
    sk_ir_begin(b, arena, symbol, 32, MERGE_WARPS);
    sk_dec_init(c, b, spec, sched);
    begin_block(g, MERGE_WARPS);
    c->acc = sk_ir_name(b, sk_ir_shared(b, c->h * c->cp * 4), "acc");
    c->stat = sk_ir_name(b, sk_ir_shared(b, c->h * SK_STAT_BYTES), "stat");
    sk_grid_look(g);
    sk_grid_deal(g);
    sk_grid_pieces(g, &piece);
    join_begun(g, &piece);
    sk_grid_next(g);
    return sk_ir_finish(b, out, err);
}

sk_status sk_gpu_attn_build(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena,
                            sk_build *out, sk_err *err)
{
    sk_text symbol = {0}, merge = {0};
    if (sched->v[SK_T_form] == SK_ATTN_RAW) return sk_raw_build(spec, sched, arena, out, err);
    memset(out, 0, sizeof *out);
    sk_spec_symbol(spec, &symbol);
    sk_text_printf(&merge, "%s_merge", symbol.s ? symbol.s : "");
    const bool tiles = sched->v[SK_T_form] == SK_ATTN_TILE;
    sk_status st = symbol.failed || merge.failed ? sk_fail(err, SPHKV_ENOMEM, "out of memory")
                                                 : SPHKV_OK;
    if (st == SPHKV_OK)
        st = (tiles ? build_tile : build_warp)(spec, sched, symbol.s, arena, &out->program[0], err);
    out->n = 1;
    if (st == SPHKV_OK && sched->v[SK_T_merge] == SK_MERGE_SEPARATE) {
        st = build_merge(spec, sched, merge.s, arena, &out->program[1], err);
        out->n = 2;
    }
    sk_text_free(&symbol);
    sk_text_free(&merge);
    return st;
}
