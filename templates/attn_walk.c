/* attn_walk.c - the pages of an item: what comes before the first, each page for each
 * query token, and what is asked for of later ones. */
#include <math.h>

#include "part_probs.h"
#include "part_rebuild.h"
#include "part_segments.h"

/* One page for the query token at work, when it sees some of its tokens. */
static void decode_tokens(sk_dec *c, const sk_dec_at *at, sk_val lut)
{
    sk_builder *b = c->b;
    const uint32_t k = at->tier_slot;
    const sk_dec_seen seen = sk_part_seen(c, k, at->page, at->count);
    sk_ir_if(b, seen.any == SK_NONE ? sk_ir_2(b, SK_OP_NE, at->count, c->zero) : seen.any);
    sk_part_logits(c, k, at->page, seen.end, lut, at->next);
    sk_part_mask(c, k, at->page, &seen, at->bias);
    sk_part_softmax(c, k, seen.end, at->next);
    sk_part_values(c, k, at->page, seen.end, at->next);
    sk_ir_else(b);
    sk_part_empty_page(c);
    sk_ir_end(b);
}

/* The page `ahead` of refs[i], or the last of the item. */
static sk_val later_page(sk_dec *c, const sk_dec_pages *t, sk_val i, uint32_t ahead, sk_val last,
                         sk_val unit_add)
{
    sk_builder *b = c->b;
    const sk_val j = sk_ir_2(b, SK_OP_UMIN, sk_add(c, i, sk_k(c, ahead)), last);
    const sk_val unit = sk_ir_ldu(b, SK_LD_U32, sk_ir_ptr_add(b, t->refs, j, 8), c->zero, 0);
    return sk_ir_ptr_add(b, c->arena, sk_add(c, unit, unit_add), SPHKV_UNIT_BYTES);
}

/* Pages whose addresses are translated side by side. Where a page begins that nobody has
 * touched for long, the tables of its address come from memory, too, and even a prefetch
 * holds the core up for them: 150 ns a page (Zen 4 in a virtual machine, pages of 10 to
 * 64 KiB anywhere in huge pages), of which 8 pages that are touched together take one
 * (high:vi4 and high:vi8 0.95 of the time; 4 and 16 were no better). */
#define REACH 8u

/* Before every REACH pages of tier k, refs[lo] on: both ends of those that will be
 * prefetched after the next. */
static void reach_pages(sk_dec *c, uint32_t k, const sk_dec_pages *t, sk_val i, sk_val lo,
                        sk_val last, sk_val unit_add)
{
    sk_builder *b = c->b;
    const uint32_t ahead = (uint32_t)c->sched->v[SK_T_prefetch];
    sk_page_layout lay;
    if (ahead == 0) return;
    sk_page_layout_get(c->spec, k, &lay);
    const sk_val turn = sk_and(c, sk_ir_2(b, SK_OP_SUB, i, lo), REACH - 1);
    sk_ir_if(b, sk_ir_2(b, SK_OP_EQ, turn, c->zero));
    for (uint32_t n = 1; n <= REACH; n++) {
        const sk_val page = later_page(c, t, i, ahead + n, last, unit_add);
        sk_ir_prefetch(b, page, c->zero, 0);
        sk_ir_prefetch(b, page, c->zero, lay.units * SPHKV_UNIT_BYTES - 64);
    }
    sk_ir_end(b);
}

/* One page for every query token. */
static void decode_queries(sk_dec *c, const sk_dec_pages *t, const sk_dec_at *at)
{
    sk_dec one;
    sk_dec_queries_begin(c, &one);
    const sk_val rows = sk_ir_ptr_add(c->b, t->ml, sk_dec_query_index(&one, at->row), c->heads * 8);
    one.ml = sk_dec_turn_row(c, rows, 8);
    decode_tokens(&one, at, one.lut != c->lut ? one.lut : at->lut);
    sk_dec_queries_end(c);
}

/* One page of tier k, refs[i]. */
static void decode_page(sk_dec *c, uint32_t k, const sk_dec_pages *t, sk_val i, sk_val last,
                        sk_val unit_add, sk_val lut)
{
    sk_builder *b = c->b;
    const uint32_t ahead = (uint32_t)c->sched->v[SK_T_prefetch];
    const sk_val ref = sk_ir_ptr_add(b, t->refs, i, 8); /* tables may be larger than 4 GiB */
    const sk_val unit = sk_add(c, sk_ir_ldu(b, SK_LD_U32, ref, c->zero, 0), unit_add);
    const sk_val count = sk_and(c, sk_ir_ldu(b, SK_LD_U32, ref, c->zero, 4), 0xffff);
    const sk_val page = sk_ir_name(b, sk_ir_ptr_add(b, c->arena, unit, SPHKV_UNIT_BYTES), "page");
    const sk_val next = ahead > 0 ? later_page(c, t, i, ahead, last, unit_add) : SK_NONE;
    const sk_val row = sk_add(c, sk_ir_2(b, SK_OP_MUL, i, t->step), t->add);
    sk_dec_at at = {k, row, page, count, lut, next, SK_NONE};
    if (sk_dec_has(c, SPHKV_VARIANT_BIAS)) at.bias = sk_ir_ptr_add(b, c->var.bias, i, c->p * 4);
    if (c->page_step)
        c->page_step(c, &at);
    else
        decode_queries(c, t, &at);
    if (sk_dec_counts(c->spec))
        sk_ir_set(b, c->var.before, sk_add(c, sk_ir_get(b, c->var.before), count));
}

/* What the keys of tier k need before its first page: tables, of every query token. */
static void begin_tier(sk_dec *c, uint32_t k, sk_val lut)
{
    for (sk_key_part p = {0}; sk_key_next_of(c->spec, c->sched, k, &p);) {
        sk_dec part, one = *c;
        uint32_t off;
        const sk_lut_form form = sk_dec_form(&p.spec, c->sched, p.slot);
        const bool tables = sk_form_looks_up(form) && sk_dec_fused(c->sched);
        if (tables) sk_dec_queries_begin(c, &one);
        const sk_val base = one.lut != c->lut ? one.lut : lut;
        sk_part_open(&one, &p, &part, &off);
        const sk_val at = off > 0 ? sk_ir_ptr_add(c->b, base, sk_k(c, off), 1) : base;
        if (tables) sk_part_tables(&part, p.slot, at);
        if (tables) sk_dec_queries_end(c);
        if (!sk_part_rebuilds(&p.spec, c->sched, p.slot)) continue;
        sk_part_open(c, &p, &part, &off);
        sk_part_rebuild_begin(&part, p.slot);
    }
}

void sk_dec_walk(sk_dec *c, sk_dec_pages *t)
{
    sk_builder *b = c->b;
    t->step = sk_ir_ldu(b, SK_LD_U32, c->item, c->zero, SK_ITEM_ML_STEP * 4);
    t->add = sk_ir_ldu(b, SK_LD_U32, c->item, c->zero, SK_ITEM_ML_ADD * 4);
    c->ml_wanted = sk_ir_2(b, SK_OP_NE, t->step, c->zero);
    const sk_val end =
        sk_ir_ldu(b, SK_LD_U32, c->item, c->zero, (SK_ITEM_TIER + c->spec->ntiers) * 4);
    const sk_val last = sk_ir_2(b, SK_OP_SUB, end, sk_k(c, 1));
    if (sk_dec_counts(c->spec))
        c->var.before =
            sk_ir_var(b, SK_WARP, sk_ir_ldu(b, SK_LD_U32, c->item, c->zero, SK_ITEM_BEFORE * 4));
    for (uint32_t k = 0; k < c->spec->ntiers; k++) {
        const sk_val lo = sk_ir_ldu(b, SK_LD_U32, c->item, c->zero, (SK_ITEM_TIER + k) * 4);
        const sk_val hi = sk_ir_ldu(b, SK_LD_U32, c->item, c->zero, (SK_ITEM_TIER + k + 1) * 4);
        const sk_val unit_add = sk_ir_ldu(b, SK_LD_U32, c->item, c->zero, (SK_ITEM_UNITS + k) * 4);
        sk_val lut = c->lut;
        if (sk_dec_lut_bytes(c->spec, c->sched, k) > 0 && !sk_dec_fused(c->sched))
            lut = sk_ir_ptr_add(b, c->tables, sk_k(c, sk_dec_lut_off(c->spec, c->sched, k)), 1);
        sk_ir_if(b, sk_ir_2(b, SK_OP_ULT, lo, hi));
        begin_tier(c, k, lut);
        const sk_val i = sk_ir_for(b, lo, hi, 1);
        reach_pages(c, k, t, i, lo, last, unit_add);
        decode_page(c, k, t, i, last, unit_add, lut);
        sk_ir_end(b);
        sk_ir_end(b);
    }
}

static void decode_clear(sk_dec *c)
{
    sk_builder *b = c->b;
    for (uint32_t h = 0; h < c->h; h++) {
        sk_ir_stu(b, c->stat, c->zero, c->stat_m + h * 4, sk_ir_f32(b, -INFINITY));
        sk_ir_stu(b, c->stat, c->zero, c->stat_l + h * 4, sk_ir_f32(b, 0.0f));
    }
    const sk_val i = sk_ir_for(b, c->zero, sk_k(c, c->h * c->cp), c->w);
    sk_ir_stv(b, c->acc, sk_mul(c, i, 4), 0, sk_ir_f32(b, 0.0f));
    sk_ir_end(b);
}

void sk_dec_start(sk_dec *all)
{
    sk_dec one, *c = &one;
    sk_dec_queries_begin(all, c);
    c->q = sk_dec_query_row(c, c->q, c->var.q_tok);
    sk_part_query(c, c->qt != SK_NONE);
    if (c->q16 != SK_NONE) sk_part_query16(c);
    if (c->qm != SK_NONE) sk_part_mean(c);
    sk_part_queries(c);
    decode_clear(c);
    sk_dec_queries_end(all);
}
