/* attn_gpu_deal.c - which pages are a block's, found by one of its warps.
 *
 * The place in the row of all pages at which a list begins is a difference of two
 * entries of indptr, so place x is looked for in indptr: W entries a step. Lists that
 * all KV heads share count once for each of them. Of a run over some KV heads of lists
 * per head the entries are not one stretch: there the sequences are added up W at a
 * time, and only the heads of one sequence are searched. */
#include "attn_gpu.h"
#include "work.h"

static sk_val op(sk_grid *g, sk_op o, sk_val x, sk_val y) { return sk_ir_2(g->c->b, o, x, y); }

static sk_val select(sk_grid *g, sk_val p, sk_val x, sk_val y) { return sk_sel(g->c, p, x, y); }

void sk_grid_one(sk_grid *g)
{
    if (g->c->warps > 1) sk_ir_if(g->c->b, op(g, SK_OP_EQ, g->c->warp, g->c->zero));
}

void sk_grid_one_end(sk_grid *g)
{
    if (g->c->warps > 1) sk_ir_end(g->c->b);
}

void sk_grid_barrier(sk_grid *g)
{
    if (g->c->warps > 1) sk_ir_barrier(g->c->b);
}

sk_val sk_grid_word(sk_grid *g, uint32_t i)
{
    return sk_ir_ldu(g->c->b, SK_LD_U32, g->deal, g->c->zero, i * 4);
}

void sk_grid_put(sk_grid *g, uint32_t i, sk_val x)
{
    sk_ir_stu(g->c->b, g->deal, g->c->zero, i * 4, x);
}

/* Word i, a value, of an array of words. */
static sk_val entry(sk_grid *g, sk_val array, sk_val i)
{
    return sk_ir_ldu(g->c->b, SK_LD_U32, sk_ir_ptr_add(g->c->b, array, i, 4), g->c->zero, 0);
}

/* ---- what run it is --------------------------------------------------------- */

static sk_val flag(sk_grid *g, uint32_t mask)
{
    return op(g, SK_OP_NE, sk_and(g->c, g->flags, mask), g->c->zero);
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
    sk_val fits = op(g, SK_OP_ULE, entry(g, g->work, sk_k(g->c, SK_WORK_PARTS)), g->blocks);
    for (uint32_t i = 0; i < SK_COUNT(is); i++)
        fits = op(g, SK_OP_PAND, fits,
                  op(g, SK_OP_EQ, entry(g, g->work, sk_k(g->c, is[i].word)), is[i].want));
    return select(g, fits, sk_k(g->c, 1), g->c->zero);
}

void sk_grid_look(sk_grid *g)
{
    sk_builder *b = g->c->b;
    g->shared = flag(g, SK_GPU_SHARED);
    g->partly = op(g, SK_OP_PAND, sk_ir_1(b, SK_OP_PNOT, g->shared),
                   op(g, SK_OP_NE, g->kv_count, g->kv_heads));
    const sk_val listed = sk_ir_var(b, SK_BLOCK, g->c->zero);
    sk_ir_if(b, flag(g, SK_GPU_LISTED));
    sk_ir_set(b, listed, list_fits(g));
    sk_ir_end(b);
    g->listed = op(g, SK_OP_NE, sk_ir_get(b, listed), g->c->zero);
}

/* How many pairs share a list. */
static sk_val times(sk_grid *g) { return select(g, g->shared, g->kv_count, sk_k(g->c, 1)); }

/* ---- search ------------------------------------------------------------------- */

/* Keys that never fall: (word at base + i * stride, less `zero`) * times. */
typedef struct keys {
    sk_val base, zero, times;
    uint32_t stride;
} keys;

/* The last of n keys that is at most x, of which the first is: W candidates a
 * step, spread evenly. */
static sk_val search(sk_grid *g, const keys *k, sk_val n, sk_val x)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    const uint32_t bits = (uint32_t)__builtin_ctz(c->w), steps = (30 + bits - 1) / bits;
    const sk_val lo = sk_ir_var(b, SK_WARP, c->zero), left = sk_ir_var(b, SK_WARP, n);
    (void)sk_ir_for(b, c->zero, sk_k(c, steps), 1);
    const sk_val len = sk_ir_get(b, left), from = sk_ir_get(b, lo);
    sk_ir_if(b, op(g, SK_OP_ULT, sk_k(c, 1), len));
    const sk_val step = sk_shr(c, sk_add(c, len, sk_k(c, c->w - 1)), bits);
    const sk_val i = op(g, SK_OP_MUL, c->lane, step), here = op(g, SK_OP_ULT, i, len);
    const sk_val word =
        sk_ir_ldg(b, SK_LD_U32, k->base, sk_mul(c, sk_add(c, from, i), k->stride), 0, here);
    const sk_val key = op(g, SK_OP_MUL, op(g, SK_OP_SUB, word, k->zero), k->times);
    const sk_val yes = op(g, SK_OP_PAND, here, op(g, SK_OP_ULE, key, x));
    const sk_val count = sk_ir_1(b, SK_OP_RED_UADD, select(g, yes, sk_k(c, 1), c->zero));
    const sk_val past = op(g, SK_OP_MUL, op(g, SK_OP_SUB, count, sk_k(c, 1)), step);
    sk_ir_set(b, lo, sk_add(c, from, past));
    sk_ir_set(b, left, op(g, SK_OP_UMIN, step, op(g, SK_OP_SUB, len, past)));
    sk_ir_end(b);
    sk_ir_end(b);
    return sk_ir_get(b, lo);
}

/* ---- sequences of a run over some KV heads --------------------------------------- */

/* Pages of sequences s0 .. s0+W-1, a lane each; 0 behind the last. */
static sk_val sequence_pages(sk_grid *g, sk_val s0)
{
    sk_dec *c = g->c;
    const sk_val s = sk_add(c, s0, c->lane), here = op(g, SK_OP_ULT, s, g->batch);
    const sk_val first = sk_add(c, op(g, SK_OP_MUL, s, g->kv_heads), g->kv_first);
    sk_val bound[2];
    for (uint32_t k = 0; k < 2; k++) {
        const sk_val i = k ? sk_add(c, first, g->kv_count) : first;
        bound[k] = sk_ir_ldg(c->b, SK_LD_U32, g->indptr, sk_mul(c, i, 4), 0, here);
    }
    return op(g, SK_OP_SUB, bound[1], bound[0]);
}

/* Sums of lanes 0 .. i in lane i. */
static sk_val running_sum(sk_grid *g, sk_val x)
{
    sk_dec *c = g->c;
    for (uint32_t d = 1; d < c->w; d *= 2) {
        const sk_val before = sk_shuf(c, x, op(g, SK_OP_SUB, c->lane, sk_k(c, d)));
        const sk_val some = op(g, SK_OP_ULE, sk_k(c, d), c->lane);
        x = sk_add(c, x, select(g, some, before, c->zero));
    }
    return x;
}

/* The sequence that holds place x, and the place at which it begins: behind all whose
 * end is at most x. */
static void find_sequence(sk_grid *g, sk_val x, sk_val seq, sk_val begin)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    const sk_val sum = sk_ir_var(b, SK_WARP, c->zero);
    const sk_val s0 = sk_ir_for(b, c->zero, g->batch, c->w);
    const sk_val pages = sequence_pages(g, s0), before = sk_ir_get(b, sum);
    const sk_val end = sk_add(c, before, running_sum(g, pages));
    const sk_val inside = op(g, SK_OP_ULT, sk_add(c, s0, c->lane), g->batch);
    const sk_val past = op(g, SK_OP_PAND, inside, op(g, SK_OP_ULE, end, x));
    const sk_val n = sk_ir_1(b, SK_OP_RED_UADD, select(g, past, sk_k(c, 1), c->zero));
    const sk_val most = sk_ir_1(b, SK_OP_RED_UMAX, select(g, past, end, c->zero));
    sk_ir_set(b, seq, sk_add(c, sk_ir_get(b, seq), n));
    sk_ir_set(b, begin, op(g, SK_OP_UMAX, sk_ir_get(b, begin), most));
    sk_ir_set(b, sum, sk_add(c, before, sk_ir_1(b, SK_OP_RED_UADD, pages)));
    sk_ir_end(b);
}

/* ---- the row --------------------------------------------------------------------- */

static sk_val row_length(sk_grid *g)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    const sk_val total = sk_ir_var(b, SK_WARP, c->zero);
    sk_ir_if(b, g->partly);
    const sk_val sum = sk_ir_var(b, SK_LANE, c->zero);
    const sk_val s0 = sk_ir_for(b, c->zero, g->batch, c->w);
    sk_ir_set(b, sum, sk_add(c, sk_ir_get(b, sum), sequence_pages(g, s0)));
    sk_ir_end(b);
    sk_ir_set(b, total, sk_ir_1(b, SK_OP_RED_UADD, sk_ir_get(b, sum)));
    sk_ir_else(b);
    const sk_val each = select(g, g->shared, sk_k(c, 1), g->kv_heads);
    const sk_val end = entry(g, g->indptr, op(g, SK_OP_MUL, g->batch, each));
    const sk_val all = op(g, SK_OP_SUB, end, entry(g, g->indptr, c->zero));
    sk_ir_set(b, total, op(g, SK_OP_MUL, all, times(g)));
    sk_ir_end(b);
    return sk_ir_get(b, total);
}

/* The pair that holds place x of the row, and the place at which it begins. */
static sk_val find_pair(sk_grid *g, sk_val x, sk_val *at)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    const sk_val seq = sk_ir_var(b, SK_WARP, c->zero), begin = sk_ir_var(b, SK_WARP, c->zero);
    sk_ir_if(b, g->partly);
    find_sequence(g, x, seq, begin);
    sk_ir_end(b);
    const sk_val s = sk_ir_get(b, seq), rest = op(g, SK_OP_SUB, x, sk_ir_get(b, begin));
    const sk_val whole = select(g, g->shared, g->batch, op(g, SK_OP_MUL, g->batch, g->kv_heads));
    const sk_val n = select(g, g->partly, g->kv_count, whole);
    const sk_val offset = sk_add(c, op(g, SK_OP_MUL, s, g->kv_heads), g->kv_first);
    const sk_val first = select(g, g->partly, offset, c->zero);
    const sk_val base = sk_ir_ptr_add(b, g->indptr, first, 4);
    const keys k = {.base = base, .zero = entry(g, base, c->zero), .times = times(g), .stride = 4};
    const sk_val list = search(g, &k, n, rest), lo = entry(g, base, list);
    const sk_val pages = op(g, SK_OP_SUB, entry(g, base, sk_add(c, list, sk_k(c, 1))), lo);
    const sk_val before = op(g, SK_OP_MUL, op(g, SK_OP_SUB, lo, k.zero), k.times);
    /* which of the pairs that share the list */
    const sk_val one = op(g, SK_OP_UDIV, op(g, SK_OP_SUB, rest, before), pages);
    *at = sk_add(c, sk_ir_get(b, begin), sk_add(c, before, op(g, SK_OP_MUL, one, pages)));
    const sk_val earlier = op(g, SK_OP_MUL, s, g->kv_count);
    return sk_add(c, sk_add(c, earlier, op(g, SK_OP_MUL, list, k.times)), one);
}

/* Shares differ by one page at most, the larger first. */
typedef struct share {
    sk_val each, more; /* pages of the smaller; how many are larger */
    sk_val lo, hi;     /* of the block at work */
} share;

static share share_of(sk_grid *g, sk_val total)
{
    share s = {op(g, SK_OP_UDIV, total, g->blocks), op(g, SK_OP_UREM, total, g->blocks), 0, 0};
    const sk_val extra = op(g, SK_OP_UMIN, g->block, s.more);
    s.lo = sk_add(g->c, op(g, SK_OP_MUL, g->block, s.each), extra);
    const sk_val large = op(g, SK_OP_ULT, g->block, s.more);
    s.hi = sk_add(g->c, sk_add(g->c, s.lo, s.each), select(g, large, sk_k(g->c, 1), g->c->zero));
    return s;
}

/* The block whose share holds place x. */
static sk_val owner(sk_grid *g, const share *s, sk_val x)
{
    const sk_val large = sk_add(g->c, s->each, sk_k(g->c, 1));
    const sk_val border = op(g, SK_OP_MUL, s->more, large);
    const sk_val behind = op(g, SK_OP_UDIV, op(g, SK_OP_SUB, x, border), s->each);
    return select(g, op(g, SK_OP_ULT, x, border), op(g, SK_OP_UDIV, x, large),
                  sk_add(g->c, s->more, behind));
}

/* ---- the share of a block ---------------------------------------------------------- */

static void deal_listed(sk_grid *g)
{
    sk_builder *b = g->c->b;
    sk_ir_if(b, op(g, SK_OP_ULT, g->block, entry(g, g->work, sk_k(g->c, SK_WORK_PARTS))));
    const sk_val firsts = sk_ir_ptr_add(b, g->work, sk_k(g->c, SK_WORK_HEADER), 4);
    sk_grid_put(g, SK_DEAL_FIRST, entry(g, firsts, g->block));
    sk_grid_put(g, SK_DEAL_END, entry(g, firsts, sk_add(g->c, g->block, sk_k(g->c, 1))));
    sk_ir_end(b);
}

static void deal_even(sk_grid *g)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    const sk_val total = row_length(g);
    const share s = share_of(g, total);
    sk_grid_put(g, SK_DEAL_TOTAL, total);
    sk_ir_if(b, op(g, SK_OP_ULT, s.lo, s.hi));
    const sk_val last = sk_ir_for(b, c->zero, sk_k(c, 2), 1); /* its first page, its last */
    const sk_val first = op(g, SK_OP_EQ, last, c->zero);
    sk_val at;
    const sk_val v =
        find_pair(g, select(g, first, s.lo, op(g, SK_OP_SUB, s.hi, sk_k(c, 1))), &at);
    sk_ir_if(b, first);
    sk_grid_put(g, SK_DEAL_FIRST, v);
    sk_grid_put(g, SK_DEAL_AT, at);
    sk_ir_else(b);
    sk_grid_put(g, SK_DEAL_END, sk_add(c, v, sk_k(c, 1)));
    sk_ir_end(b);
    sk_ir_end(b);
    sk_ir_end(b);
}

void sk_grid_deal(sk_grid *g)
{
    sk_builder *b = g->c->b;
    sk_grid_one(g);
    for (uint32_t i = SK_DEAL_FIRST; i <= SK_DEAL_TOTAL; i++) sk_grid_put(g, i, g->c->zero);
    sk_ir_if(b, g->listed);
    deal_listed(g);
    sk_ir_else(b);
    deal_even(g);
    sk_ir_end(b);
    sk_grid_one_end(g);
    sk_grid_barrier(g);
}

/* ---- pieces ------------------------------------------------------------------------ */

sk_grid_list sk_grid_pair(sk_grid *g, sk_val v)
{
    sk_dec *c = g->c;
    sk_grid_list l = {.seq = op(g, SK_OP_UDIV, v, g->kv_count)};
    l.head = sk_add(c, op(g, SK_OP_UREM, v, g->kv_count), g->kv_first);
    const sk_val own = sk_add(c, op(g, SK_OP_MUL, l.seq, g->kv_heads), l.head);
    const sk_val list = sk_ir_ptr_add(c->b, g->indptr, select(g, g->shared, l.seq, own), 4);
    l.begin = sk_ir_ldu(c->b, SK_LD_U32, list, c->zero, 0);
    l.end = sk_ir_ldu(c->b, SK_LD_U32, list, c->zero, 4);
    return l;
}

/* Address of the work list's items. */
static sk_val work_items(sk_grid *g)
{
    const sk_val parts = entry(g, g->work, sk_k(g->c, SK_WORK_PARTS));
    const sk_val firsts = sk_and(g->c, sk_add(g->c, parts, sk_k(g->c, 8)), ~7u);
    return sk_ir_ptr_add(g->c->b, g->work, sk_add(g->c, firsts, sk_k(g->c, SK_WORK_HEADER)), 4);
}

void sk_grid_pieces(sk_grid *g, sk_piece *piece)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    const share s = share_of(g, sk_grid_word(g, SK_DEAL_TOTAL));
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
    piece->pages = op(g, SK_OP_SUB, l.end, l.begin);
    sk_ir_if(b, sk_ir_1(b, SK_OP_PNOT, g->listed));
    const sk_val stop = sk_add(c, piece->at, piece->pages);
    const sk_val from = op(g, SK_OP_UMAX, piece->at, s.lo), to = op(g, SK_OP_UMIN, stop, s.hi);
    sk_ir_set(b, lo, sk_add(c, l.begin, op(g, SK_OP_SUB, from, piece->at)));
    sk_ir_set(b, hi, sk_add(c, l.begin, op(g, SK_OP_SUB, to, piece->at)));
    const sk_val all = op(g, SK_OP_EQ, op(g, SK_OP_SUB, to, from), piece->pages);
    const sk_val begun = op(g, SK_OP_ULT, piece->at, s.lo);
    const sk_val late = select(g, begun, c->zero, sk_k(c, 1));
    sk_ir_set(b, slot, select(g, all, sk_k(c, SK_ITEM_FINAL), sk_add(c, sk_shl(c, g->block, 1), late)));
    sk_ir_end(b);
    piece->lo = sk_ir_get(b, lo);
    piece->hi = sk_ir_get(b, hi);
    piece->slot = sk_ir_get(b, slot);
    sk_ir_if(b, op(g, SK_OP_ULT, piece->lo, piece->hi));
}

void sk_grid_next(sk_grid *g, const sk_piece *piece)
{
    sk_ir_end(g->c->b);
    sk_ir_set(g->c->b, g->at, sk_add(g->c, piece->at, piece->pages));
    sk_ir_end(g->c->b);
}

/* ---- lists that are cut -------------------------------------------------------------- */

/* The items of a pair follow each other, so they are searched by pair. */
static void cut_listed(sk_grid *g, const sk_piece *piece)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    const sk_val base = work_items(g), one = sk_k(c, 1);
    const sk_val n = entry(g, g->work, sk_k(c, SK_WORK_ITEMS));
    const keys k = {.base = base, .zero = c->zero, .times = one, .stride = sizeof(sk_work_item)};
    const sk_val first = sk_ir_var(b, SK_WARP, c->zero);
    const sk_val last = sk_ir_for(b, c->zero, sk_k(c, 2), 1); /* before its first; its last */
    const sk_val x = op(g, SK_OP_SUB, sk_add(c, piece->pair, last), one);
    const sk_val i = sk_add(c, search(g, &k, n, x), one); /* items up to there */
    const sk_val none = op(g, SK_OP_EQ, sk_add(c, piece->pair, last), c->zero);
    const sk_val items = select(g, none, c->zero, i);
    sk_grid_put(g, SK_DEAL_COUNT, op(g, SK_OP_SUB, items, sk_ir_get(b, first)));
    sk_ir_if(b, op(g, SK_OP_EQ, last, c->zero));
    sk_ir_set(b, first, items);
    sk_ir_end(b);
    sk_ir_end(b);
    const sk_val begin = sk_ir_get(b, first);
    const sk_val item = sk_ir_ptr_add(b, base, begin, sizeof(sk_work_item));
    const sk_val slot = sk_ir_ldu(b, SK_LD_U32, item, c->zero, offsetof(sk_work_item, slot));
    sk_grid_put(g, SK_DEAL_ITEM, begin);
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
    const sk_val last = op(g, SK_OP_SUB, sk_add(c, piece->at, piece->pages), sk_k(c, 1));
    const sk_val from = owner(g, &s, piece->at), to = owner(g, &s, last);
    sk_grid_put(g, SK_DEAL_BLOCK, from);
    sk_grid_put(g, SK_DEAL_COUNT, sk_add(c, op(g, SK_OP_SUB, to, from), sk_k(c, 1)));
    sk_ir_end(b);
}

sk_val sk_grid_slots(sk_grid *g, sk_val i, sk_val inside)
{
    sk_dec *c = g->c;
    sk_builder *b = c->b;
    const sk_val twice = sk_shl(c, sk_add(c, sk_grid_word(g, SK_DEAL_BLOCK), i), 1);
    const sk_val late = select(g, op(g, SK_OP_EQ, i, c->zero), sk_k(c, 1), c->zero);
    const sk_val slot = sk_ir_var(b, SK_LANE, sk_add(c, twice, late));
    sk_ir_if(b, g->listed);
    const sk_val at = sk_mul(c, sk_add(c, sk_grid_word(g, SK_DEAL_ITEM), i), sizeof(sk_work_item));
    sk_ir_set(b, slot,
              sk_ir_ldg(b, SK_LD_U32, work_items(g), at, offsetof(sk_work_item, slot), inside));
    sk_ir_end(b);
    return sk_ir_get(b, slot);
}
