/* attn_gpu_deal.c - which pages are a block's: its share of the row of all pages, or
 * its part of a work list, taken list by list; and who has the rest of a list that is
 * cut. What only one warp finds out it leaves in scratch. */
#include "attn_gpu.h"
#include "work.h"

static sk_val select(sk_grid *g, sk_val p, sk_val x, sk_val y) { return sk_sel(g->c, p, x, y); }

sk_val sk_grid_word(sk_grid *g, uint32_t i)
{
    return sk_ir_ldu(g->c->b, SK_LD_U32, g->deal, g->c->zero, i * 4);
}

void sk_grid_put(sk_grid *g, uint32_t i, sk_val x)
{
    sk_ir_stu(g->c->b, g->deal, g->c->zero, i * 4, x);
}

sk_val sk_grid_entry(sk_grid *g, sk_val array, sk_val i)
{
    return sk_ir_ldu(g->c->b, SK_LD_U32, sk_ir_ptr_add(g->c->b, array, i, 4), g->c->zero, 0);
}

/* ---- what run it is --------------------------------------------------------- */

static sk_val flag(sk_grid *g, uint32_t mask)
{
    return sk_grid_op(g, SK_OP_NE, sk_and(g->c, g->flags, mask), g->c->zero);
}

/* Whether the work list is one, of this run, with a part at most for each block. */
static sk_val list_fits(sk_grid *g)
{
    const struct {
        uint32_t word;
        sk_val want;
    } is[] = {
        {SK_WORK_MAGIC, sk_k(g->c, SK_WORK_MAGIC_WORD)},
        {SK_WORK_BATCH, g->batch},
        {SK_WORK_FIRST_HEAD, g->kv_first},
        {SK_WORK_HEADS, g->kv_count},
        {SK_WORK_SHARED, select(g, g->shared, sk_k(g->c, 1), g->c->zero)},
    };
    sk_val fits = sk_grid_op(g, SK_OP_ULE, sk_grid_entry(g, g->work, sk_k(g->c, SK_WORK_PARTS)), g->blocks);
    for (uint32_t i = 0; i < SK_COUNT(is); i++)
        fits = sk_grid_op(g, SK_OP_PAND, fits,
                  sk_grid_op(g, SK_OP_EQ, sk_grid_entry(g, g->work, sk_k(g->c, is[i].word)), is[i].want));
    return select(g, fits, sk_k(g->c, 1), g->c->zero);
}

void sk_grid_look(sk_grid *g)
{
    sk_builder *b = g->c->b;
    g->shared = flag(g, SK_GPU_SHARED);
    g->partly = sk_grid_op(g, SK_OP_PAND, sk_ir_1(b, SK_OP_PNOT, g->shared),
                   sk_grid_op(g, SK_OP_NE, g->kv_count, g->kv_heads));
    const sk_val listed = sk_ir_var(b, SK_BLOCK, g->c->zero);
    sk_ir_if(b, flag(g, SK_GPU_LISTED));
    sk_ir_set(b, listed, list_fits(g));
    sk_ir_end(b);
    g->listed = sk_grid_op(g, SK_OP_NE, sk_ir_get(b, listed), g->c->zero);
}

/* Shares differ by one page at most, the larger first. */
typedef struct share {
    sk_val each, more; /* pages of the smaller; how many are larger */
    sk_val lo, hi;     /* of the block at work */
} share;

static share share_of(sk_grid *g, sk_val total)
{
    share s = {sk_grid_op(g, SK_OP_UDIV, total, g->blocks), sk_grid_op(g, SK_OP_UREM, total, g->blocks), 0, 0};
    const sk_val extra = sk_grid_op(g, SK_OP_UMIN, g->block, s.more);
    s.lo = sk_add(g->c, sk_grid_op(g, SK_OP_MUL, g->block, s.each), extra);
    const sk_val large = sk_grid_op(g, SK_OP_ULT, g->block, s.more);
    s.hi = sk_add(g->c, sk_add(g->c, s.lo, s.each), select(g, large, sk_k(g->c, 1), g->c->zero));
    return s;
}

/* The block whose share holds place x. */
static sk_val owner(sk_grid *g, const share *s, sk_val x)
{
    const sk_val large = sk_add(g->c, s->each, sk_k(g->c, 1));
    const sk_val border = sk_grid_op(g, SK_OP_MUL, s->more, large);
    const sk_val behind = sk_grid_op(g, SK_OP_UDIV, sk_grid_op(g, SK_OP_SUB, x, border), s->each);
    return select(g, sk_grid_op(g, SK_OP_ULT, x, border), sk_grid_op(g, SK_OP_UDIV, x, large),
                  sk_add(g->c, s->more, behind));
}

/* ---- the share of a block ---------------------------------------------------------- */

static void deal_listed(sk_grid *g)
{
    sk_builder *b = g->c->b;
    sk_ir_if(b, sk_grid_op(g, SK_OP_ULT, g->block, sk_grid_entry(g, g->work, sk_k(g->c, SK_WORK_PARTS))));
    const sk_val firsts = sk_ir_ptr_add(b, g->work, sk_k(g->c, SK_WORK_HEADER), 4);
    sk_grid_put(g, SK_DEAL_FIRST, sk_grid_entry(g, firsts, g->block));
    sk_grid_put(g, SK_DEAL_END, sk_grid_entry(g, firsts, sk_add(g->c, g->block, sk_k(g->c, 1))));
    sk_ir_end(b);
}

static void deal_even(sk_grid *g)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    const sk_val total = sk_grid_length(g);
    const share s = share_of(g, total);
    sk_grid_put(g, SK_DEAL_TOTAL, total);
    sk_grid_put(g, SK_DEAL_LO, s.lo);
    sk_grid_put(g, SK_DEAL_HI, s.hi);
    sk_ir_if(b, sk_grid_op(g, SK_OP_ULT, s.lo, s.hi));
    const sk_val x[2] = {s.lo, sk_grid_op(g, SK_OP_SUB, s.hi, sk_k(c, 1))}; /* its first page, its last */
    sk_val pair[2], at[2];
    sk_grid_find(g, x, pair, at);
    sk_grid_put(g, SK_DEAL_FIRST, pair[0]);
    sk_grid_put(g, SK_DEAL_AT, at[0]);
    sk_grid_put(g, SK_DEAL_END, sk_add(c, pair[1], sk_k(c, 1)));
    sk_ir_end(b);
}

void sk_grid_deal(sk_grid *g)
{
    sk_builder *b = g->c->b;
    sk_dec_one(g->c);
    for (uint32_t i = SK_DEAL_FIRST; i <= SK_DEAL_HI; i++) sk_grid_put(g, i, g->c->zero);
    sk_ir_if(b, g->listed);
    deal_listed(g);
    sk_ir_else(b);
    deal_even(g);
    sk_ir_end(b);
    sk_dec_one_end(g->c);
    sk_dec_barrier(g->c);
}

/* ---- pieces ------------------------------------------------------------------------ */

sk_grid_list sk_grid_pair(sk_grid *g, sk_val v)
{
    sk_dec *c = g->c;
    sk_grid_list l = {.seq = sk_grid_op(g, SK_OP_UDIV, v, g->kv_count)};
    l.head = sk_add(c, sk_grid_op(g, SK_OP_UREM, v, g->kv_count), g->kv_first);
    const sk_val own = sk_add(c, sk_grid_op(g, SK_OP_MUL, l.seq, g->kv_heads), l.head);
    const sk_val list = sk_ir_ptr_add(c->b, g->indptr, select(g, g->shared, l.seq, own), 4);
    l.begin = sk_ir_ldu(c->b, SK_LD_U32, list, c->zero, 0);
    l.end = sk_ir_ldu(c->b, SK_LD_U32, list, c->zero, 4);
    return l;
}

/* Address of the work list's items. */
static sk_val work_items(sk_grid *g)
{
    const sk_val parts = sk_grid_entry(g, g->work, sk_k(g->c, SK_WORK_PARTS));
    const sk_val firsts = sk_and(g->c, sk_add(g->c, parts, sk_k(g->c, 8)), ~7u);
    return sk_ir_ptr_add(g->c->b, g->work, sk_add(g->c, firsts, sk_k(g->c, SK_WORK_HEADER)), 4);
}

void sk_grid_pieces(sk_grid *g, sk_piece *piece)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    g->at = sk_ir_var(b, SK_BLOCK, sk_grid_word(g, SK_DEAL_AT));
    const sk_val first = sk_grid_word(g, SK_DEAL_FIRST), end = sk_grid_word(g, SK_DEAL_END);
    const sk_val k = sk_ir_for(b, first, end, 1);
    const sk_val pair = sk_ir_var(b, SK_BLOCK, k), slot = sk_ir_var(b, SK_BLOCK, c->zero);
    const sk_val lo = sk_ir_var(b, SK_BLOCK, c->zero), hi = sk_ir_var(b, SK_BLOCK, c->zero);
    sk_ir_if(b, g->listed);
    const sk_val item = sk_ir_ptr_add(b, work_items(g), k, sizeof(sk_work_item));
    sk_ir_set(b, pair, sk_ir_ldu(b, SK_LD_U32, item, c->zero, offsetof(sk_work_item, pair)));
    sk_ir_set(b, lo, sk_ir_ldu(b, SK_LD_U32, item, c->zero, offsetof(sk_work_item, lo)));
    sk_ir_set(b, hi, sk_ir_ldu(b, SK_LD_U32, item, c->zero, offsetof(sk_work_item, hi)));
    sk_ir_set(b, slot, sk_ir_ldu(b, SK_LD_U32, item, c->zero, offsetof(sk_work_item, slot)));
    sk_ir_end(b);
    piece->pair = sk_ir_get(b, pair);
    const sk_grid_list l = sk_grid_pair(g, piece->pair);
    piece->seq = l.seq;
    piece->head = l.head;
    piece->at = sk_ir_get(b, g->at);
    piece->pages = sk_grid_op(g, SK_OP_SUB, l.end, l.begin);
    sk_ir_set(b, g->at, sk_add(c, piece->at, piece->pages));
    sk_ir_if(b, sk_ir_1(b, SK_OP_PNOT, g->listed));
    const sk_val stop = sk_add(c, piece->at, piece->pages);
    const sk_val share_lo = sk_grid_word(g, SK_DEAL_LO), share_hi = sk_grid_word(g, SK_DEAL_HI);
    const sk_val from = sk_grid_op(g, SK_OP_UMAX, piece->at, share_lo);
    const sk_val to = sk_grid_op(g, SK_OP_UMIN, stop, share_hi);
    sk_ir_set(b, lo, sk_add(c, l.begin, sk_grid_op(g, SK_OP_SUB, from, piece->at)));
    sk_ir_set(b, hi, sk_add(c, l.begin, sk_grid_op(g, SK_OP_SUB, to, piece->at)));
    const sk_val all = sk_grid_op(g, SK_OP_EQ, sk_grid_op(g, SK_OP_SUB, to, from), piece->pages);
    const sk_val begun = sk_grid_op(g, SK_OP_ULT, piece->at, share_lo);
    const sk_val late = select(g, begun, c->zero, sk_k(c, 1));
    sk_ir_set(b, slot, select(g, all, sk_k(c, SK_ITEM_FINAL), sk_add(c, sk_shl(c, g->block, 1), late)));
    sk_ir_end(b);
    piece->lo = sk_ir_get(b, lo);
    piece->hi = sk_ir_get(b, hi);
    piece->slot = sk_ir_get(b, slot);
    sk_ir_if(b, sk_grid_op(g, SK_OP_ULT, piece->lo, piece->hi));
}

void sk_grid_next(sk_grid *g)
{
    sk_ir_end(g->c->b);
    sk_ir_end(g->c->b);
}

void sk_grid_keep(sk_grid *g, const sk_piece *piece)
{
    sk_grid_put(g, SK_DEAL_PAIR, piece->pair);
    sk_grid_put(g, SK_DEAL_SLOT, piece->slot);
    sk_grid_put(g, SK_DEAL_PLACE, piece->at);
    sk_grid_put(g, SK_DEAL_PAGES, piece->pages);
}

sk_piece sk_grid_kept(sk_grid *g)
{
    const sk_val none = SK_NONE;
    sk_piece p = {.seq = none, .head = none, .lo = none, .hi = none};
    p.pair = sk_grid_word(g, SK_DEAL_PAIR);
    p.slot = sk_grid_word(g, SK_DEAL_SLOT);
    p.at = sk_grid_word(g, SK_DEAL_PLACE);
    p.pages = sk_grid_word(g, SK_DEAL_PAGES);
    return p;
}

/* ---- lists that are cut -------------------------------------------------------------- */

/* The items of a pair follow each other, behind those of earlier pairs: they are
 * searched by pair. */
static void cut_listed(sk_grid *g, const sk_piece *piece)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    const sk_val base = work_items(g), one = sk_k(c, 1);
    const sk_val items = sk_grid_entry(g, g->work, sk_k(c, SK_WORK_ITEMS));
    const sk_grid_keys key = {.base = base, .zero = c->zero, .times = one, .stride = sizeof(sk_work_item)};
    const sk_grid_keys k[2] = {key, key};
    const sk_val n[2] = {items, items}, x[2] = {sk_grid_op(g, SK_OP_SUB, piece->pair, one), piece->pair};
    sk_val last[2];
    sk_grid_search(g, k, n, x, last);
    const sk_val behind = sk_add(c, last[0], one); /* what an earlier pair ends with */
    const sk_val first = select(g, sk_grid_op(g, SK_OP_EQ, piece->pair, c->zero), c->zero, behind);
    const sk_val item = sk_ir_ptr_add(b, base, first, sizeof(sk_work_item));
    const sk_val slot = sk_ir_ldu(b, SK_LD_U32, item, c->zero, offsetof(sk_work_item, slot));
    sk_grid_put(g, SK_DEAL_ITEM, first);
    sk_grid_put(g, SK_DEAL_COUNT, sk_grid_op(g, SK_OP_SUB, sk_add(c, last[1], one), first));
    sk_grid_put(g, SK_DEAL_BLOCK, sk_shr(c, slot, 1));
}

void sk_grid_cut(sk_grid *g, const sk_piece *piece)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    sk_ir_if(b, g->listed);
    cut_listed(g, piece);
    sk_ir_else(b);
    const share s = share_of(g, sk_grid_word(g, SK_DEAL_TOTAL));
    const sk_val last = sk_grid_op(g, SK_OP_SUB, sk_add(c, piece->at, piece->pages), sk_k(c, 1));
    const sk_val from = owner(g, &s, piece->at), to = owner(g, &s, last);
    sk_grid_put(g, SK_DEAL_BLOCK, from);
    sk_grid_put(g, SK_DEAL_COUNT, sk_add(c, sk_grid_op(g, SK_OP_SUB, to, from), sk_k(c, 1)));
    sk_ir_end(b);
}

sk_val sk_grid_slots(sk_grid *g, sk_val i, sk_val inside)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    const sk_val twice = sk_shl(c, sk_add(c, sk_grid_word(g, SK_DEAL_BLOCK), i), 1);
    const sk_val late = select(g, sk_grid_op(g, SK_OP_EQ, i, c->zero), sk_k(c, 1), c->zero);
    const sk_val slot = sk_ir_var(b, SK_LANE, sk_add(c, twice, late));
    sk_ir_if(b, g->listed);
    const sk_val at = sk_mul(c, sk_add(c, sk_grid_word(g, SK_DEAL_ITEM), i), sizeof(sk_work_item));
    sk_ir_set(b, slot,
              sk_ir_ldg(b, SK_LD_U32, work_items(g), at, offsetof(sk_work_item, slot), inside));
    sk_ir_end(b);
    return sk_ir_get(b, slot);
}
