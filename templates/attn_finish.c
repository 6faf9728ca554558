/* attn_finish.c - how an item of attn_decode ends: a whole list in rows of the
 * output and LSE, a part of one in a partial that the merge entry joins.
 * Several warps of a block share the heads.
 *
 * Partial, one a query token, f32 words, all heads of the KV head: [heads][16] (m in
 * log2, l, padding), then [heads][Cp] acc; a turn writes its heads' share. */
#include "decode.h"

/* What follows is the turn of one warp of those there are; ends with turn_end. */
static void turn(sk_dec *c, uint32_t i)
{
    if (c->warps > 1) sk_ir_if(c->b, sk_ir_2(c->b, SK_OP_EQ, c->warp, sk_k(c, i % c->warps)));
}

static void turn_end(sk_dec *c)
{
    if (c->warps > 1) sk_ir_end(c->b);
}

static sk_val stat_get(sk_dec *c, uint32_t at)
{
    return sk_ir_ldu(c->b, SK_LD_F32, c->stat, c->zero, at);
}

/* Takes the sink of head h into m, l; alpha is what acc is multiplied by. */
static void add_sink(sk_dec *c, uint32_t h)
{
    sk_builder *b = c->b;
    const sk_val at = sk_ir_ldu(b, SK_LD_U32, c->item, c->zero, SK_ITEM_SINK * 4);
    const sk_val m = stat_get(c, c->stat_m + h * 4), l = stat_get(c, c->stat_l + h * 4);
    const sk_dec_sum sum = sk_part_sink(c, at, h, m, l);
    sk_ir_stu(b, c->stat, c->zero, c->stat_m + h * 4, sum.m);
    sk_ir_stu(b, c->stat, c->zero, c->stat_l + h * 4, sum.l);
    sk_ir_stu(b, c->stat, c->zero, c->stat_alpha + h * 4, sum.keep);
}

/* What is left of acc beside the sink. */
static sk_val kept(sk_dec *c, uint32_t h)
{
    return sk_dec_has(c, SPHKV_VARIANT_SINK) ? stat_get(c, c->stat_alpha + h * 4)
                                             : sk_ir_f32(c->b, 1.0f);
}

/* LSE of all heads, when the item asks for it. */
static void finish_lse(sk_dec *c, sk_val lse)
{
    sk_builder *b = c->b;
    const sk_val at = sk_ir_ldu(b, SK_LD_U32, c->item, c->zero, SK_ITEM_LSE * 4);
    sk_ir_if(b, sk_ir_2(b, SK_OP_NE, at, sk_k(c, SK_ITEM_NONE)));
    lse = sk_dec_turn_row(c, lse, 4);
    for (uint32_t h = 0; h < c->h; h++) {
        turn(c, h);
        const sk_val m = stat_get(c, c->stat_m + h * 4), l = stat_get(c, c->stat_l + h * 4);
        sk_ir_stu(b, lse, at, h * 4, sk_part_lse(c, m, l));
        turn_end(c);
    }
    sk_ir_end(b);
}

/* acc of one head over l. */
typedef struct final_row {
    uint32_t h;
    sk_val inv;
} final_row;

static sk_val final_channels(sk_dec *c, const void *of, sk_val at)
{
    const final_row *r = of;
    const sk_val x = sk_part_row(c, c->acc, at, r->h * c->cp * 4, c->cp);
    return sk_ir_2(c->b, SK_OP_FMUL, x, r->inv);
}

/* The whole list: out = acc / l, 0 for an empty one. */
static void finish_list(sk_dec *c, sk_val out, sk_val out_stride)
{
    sk_builder *b = c->b;
    sk_val row =
        sk_ir_ptr_add(b, out, sk_ir_ldu(b, SK_LD_U32, c->item, c->zero, SK_ITEM_OUT * 4), 1);
    row = sk_dec_turn_row_by(c, row, out_stride);
    for (uint32_t h = 0; h < c->h; h++) {
        turn(c, h);
        if (sk_dec_has(c, SPHKV_VARIANT_SINK)) add_sink(c, h);
        const sk_val l = stat_get(c, c->stat_l + h * 4);
        const sk_val some = sk_ir_2(b, SK_OP_FLT, sk_ir_f32(b, 0.0f), l);
        const sk_val inv = sk_sel(c, some, sk_ir_2(b, SK_OP_FDIV, kept(c, h), l),
                                  sk_ir_f32(b, 0.0f));
        sk_part_out(c, row, final_channels, &(final_row){h, inv});
        turn_end(c);
        if (h + 1 < c->h) row = sk_ir_ptr_add(b, row, out_stride, 1);
    }
}

void sk_part_finish_partial(sk_dec *c, sk_val partials, sk_val slot)
{
    sk_builder *b = c->b;
    const sk_val to = sk_ir_ptr_add(b, partials, slot, sk_dec_partial_bytes(c->spec));
    const sk_val pairs = sk_dec_turn_row(c, to, 64), rows = sk_dec_turn_row(c, to, c->cp * 4);
    const uint32_t words = c->h * c->cp;
    for (uint32_t h = 0; h < c->h; h++) {
        turn(c, h);
        for (uint32_t k = 0; k < 2; k++) {
            const uint32_t from = (k ? c->stat_l : c->stat_m) + h * 4;
            sk_ir_stu(b, pairs, c->zero, (h * 16 + k) * 4, stat_get(c, from));
        }
        turn_end(c);
    }
    const sk_val first = c->warps > 1 ? sk_mul(c, c->warp, c->w) : c->zero;
    const sk_val at = sk_mul(c, sk_ir_for(b, first, sk_k(c, words), c->warps * c->w), 4);
    sk_part_row_put(c, rows, at, c->heads * 64, words, sk_part_row(c, c->acc, at, 0, words));
    sk_ir_end(b);
}

void sk_part_finish_list(sk_dec *c, const sk_dec_outputs *to)
{
    finish_list(c, to->out, to->out_stride);
    finish_lse(c, to->lse);
}

sk_dec_outputs sk_dec_query_outputs(sk_dec *c, const sk_dec_outputs *to)
{
    sk_dec_outputs of = *to;
    of.out = sk_dec_query_row(c, to->out, c->var.out_tok);
    of.lse = sk_dec_query_row(c, to->lse, c->var.lse_tok);
    return of;
}

void sk_part_finish(sk_dec *all, const sk_dec_outputs *to)
{
    sk_dec one, *c = &one;
    sk_builder *b = all->b;
    const sk_val slot = sk_ir_ldu(b, SK_LD_U32, all->item, all->zero, SK_ITEM_PARTIAL * 4);
    sk_dec_queries_begin(all, c);
    sk_ir_if(b, sk_ir_2(b, SK_OP_EQ, slot, sk_k(c, SK_ITEM_FINAL)));
    const sk_dec_outputs of = sk_dec_query_outputs(c, to);
    sk_part_finish_list(c, &of);
    sk_ir_else(b);
    sk_part_finish_partial(c, to->partials, sk_dec_query_index(c, slot));
    sk_ir_end(b);
    sk_dec_queries_end(all);
}
