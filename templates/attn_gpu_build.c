/* attn_gpu_build.c - the programs of attn_decode on a GPU: one block from beginning
 * to end. */
#include "attn_gpu.h"

#include <string.h>

#include "rows.h"

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
    const sk_val cut = sk_grid_op(g, SK_OP_NE, piece.slot, sk_k(c, SK_ITEM_FINAL));
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
        sk_ir_if(b, sk_grid_op(g, SK_OP_NE, ready, c->zero));
        sk_dec_queries_begin(c, &one);
        sk_grid_merge(&token);
        sk_dec_queries_end(c);
        sk_ir_end(b);
    } else {
        sk_ir_set(b, whole, c->zero);
    }
    sk_ir_end(b);
    sk_ir_if(b, sk_grid_op(g, SK_OP_NE, sk_ir_get(b, whole), c->zero));
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
    sk_ir_if(b, sk_grid_op(g, SK_OP_NE, kept.slot, sk_k(c, SK_ITEM_FINAL)));
    sk_part_finish_partial(&one, g->partials, sk_dec_query_index(&one, kept.slot));
    sk_ir_else(b);
    put_rows(&token);
    sk_ir_end(b);
    sk_dec_queries_end(c);
    sk_dec_turns_end(c);
    if (!join) return;
    const sk_piece all = sk_grid_kept(g);
    sk_ir_if(b, sk_grid_op(g, SK_OP_NE, all.slot, sk_k(c, SK_ITEM_FINAL)));
    sk_grid_arrive(g, &all);
    sk_ir_if(b, sk_grid_op(g, SK_OP_NE, sk_grid_word(g, SK_DEAL_READY), c->zero));
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
    const sk_val rows = sk_grid_op(g, SK_OP_MUL, sk_mul(c, piece->head, c->heads), c->q_stride);
    const sk_val q = sk_add(c, sk_grid_op(g, SK_OP_MUL, piece->seq, g->q_seq), rows);
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
    sk_grid_put_item(g, &piece);
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
    sk_grid_clear_empty(g);
}

static sk_status build_warp(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena,
                            sk_program **out, sk_err *err)
{
    sk_builder builder;
    sk_dec dec;
    sk_schedule inner;
    sk_grid grid = {.c = &dec};
    sk_program *narrow;
    sk_warp_inner(spec, &inner);
    sk_status st = sk_rows_entry(&builder, spec, (uint32_t)inner.v[SK_T_w], 1, arena, "", err);
    if (st != SPHKV_OK) return st;
    sk_ir_occupancy(&builder, (uint32_t)sched->v[SK_T_blocks]);
    sk_dec_init(&dec, &builder, spec, &inner);
    begin_block(&grid, 1);
    block(&grid, sched);
    st = sk_ir_finish(&builder, &narrow, err);
    return st == SPHKV_OK ? sk_ir_widen(narrow, arena, out, err) : st;
}

static sk_status build_tile(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena,
                            sk_program **out, sk_err *err)
{
    sk_builder builder;
    sk_dec dec;
    sk_grid grid = {.c = &dec};
    const sk_status st = sk_rows_entry(&builder, spec, 32, sk_tile_warps(sched), arena, "", err);
    if (st != SPHKV_OK) return st;
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
    sk_ir_if(b, sk_grid_op(g, SK_OP_EQ, piece->slot, begun));
    sk_grid_put_item(g, piece);
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

static sk_status build_merge(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena,
                             sk_program **out, sk_err *err)
{
    sk_builder builder, *b = &builder;
    sk_dec dec, *c = &dec;
    sk_grid grid = {.c = c}, *g = &grid;
    sk_piece piece;
    const sk_status st = sk_rows_entry(b, spec, 32, MERGE_WARPS, arena, "merge", err);
    if (st != SPHKV_OK) return st;
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
    if (sched->v[SK_T_form] == SK_ATTN_RAW) return sk_raw_build(spec, sched, arena, out, err);
    memset(out, 0, sizeof *out);
    const bool tiles = sched->v[SK_T_form] == SK_ATTN_TILE;
    sk_status st = (tiles ? build_tile : build_warp)(spec, sched, arena, &out->program[0], err);
    out->n = 1;
    if (st == SPHKV_OK && sched->v[SK_T_merge] == SK_MERGE_SEPARATE) {
        st = build_merge(spec, sched, arena, &out->program[1], err);
        out->n = 2;
    }
    return st;
}
