/* extend_deal.c - the tiles of a block of attn_extend on a GPU: which ones are its, from
 * q_indptr alone, and the item of each, from the page table: what the host does for a CPU
 * (extend_run.c), W sequences or pages a step. */
#include "extend_gpu.h"
#include "gpu.h"

static sk_val op(sk_extend_grid *g, sk_op o, sk_val x, sk_val y) { return sk_ir_2(g->c->dec.b, o, x, y); }

static sk_val opk(sk_extend_grid *g, sk_op o, sk_val x, uint32_t y)
{
    return sk_ir_2k(g->c->dec.b, o, x, y);
}

static sk_val sel(sk_extend_grid *g, sk_val p, sk_val x, sk_val y) { return sk_sel(&g->c->dec, p, x, y); }

static sk_val number(sk_extend_grid *g, uint32_t x) { return sk_k(&g->c->dec, x); }

static sk_val sum_of(sk_extend_grid *g, sk_val x) { return sk_ir_1(g->c->dec.b, SK_OP_RED_UADD, x); }

static sk_val flag(sk_extend_grid *g, uint32_t mask)
{
    return op(g, SK_OP_NE, opk(g, SK_OP_AND, g->flags, mask), g->c->dec.zero);
}

static sk_val entry(sk_extend_grid *g, sk_val array, sk_val i, uint32_t more)
{
    sk_dec *d = &g->c->dec;
    return sk_ir_ldu(d->b, SK_LD_U32, sk_ir_ptr_add(d->b, array, i, 4), d->zero, more * 4);
}

static void put(sk_extend_grid *g, uint32_t word, sk_val x)
{
    sk_ir_stu(g->c->dec.b, g->c->dec.item, g->c->dec.zero, word * 4, x);
}

/* ---- the row of tiles --------------------------------------------------------- */

/* Tiles of so many query tokens of one KV head. */
static sk_val tiles(sk_extend_grid *g, sk_val tokens)
{
    const uint32_t each = g->c->tokens;
    return opk(g, SK_OP_UDIV, opk(g, SK_OP_ADD, tokens, each - 1), each);
}

/* Of sequences s0 .. s0+W-1, a lane each, of all KV heads; 0 behind the last. */
static sk_val sequence_tiles(sk_extend_grid *g, sk_val s0)
{
    sk_dec *d = &g->c->dec;
    const sk_val s = sk_add(d, s0, d->lane), here = op(g, SK_OP_ULT, s, g->batch), at = sk_shl(d, s, 2);
    const sk_val first = sk_ir_ldg(d->b, SK_LD_U32, g->q_indptr, at, 0, here);
    const sk_val end = sk_ir_ldg(d->b, SK_LD_U32, g->q_indptr, at, 4, here);
    return op(g, SK_OP_MUL, tiles(g, op(g, SK_OP_SUB, end, first)), g->kv_count);
}

static sk_val all_tiles(sk_extend_grid *g)
{
    sk_dec *d = &g->c->dec;
    sk_builder *b = d->b;
    const sk_val sum = sk_ir_var(b, SK_LANE, d->zero);
    const sk_val s0 = sk_ir_for(b, d->zero, g->batch, d->w);
    sk_ir_set(b, sum, sk_add(d, sk_ir_get(b, sum), sequence_tiles(g, s0)));
    sk_ir_end(b);
    return sum_of(g, sk_ir_get(b, sum));
}

/* The sequence that has tile n of the row, and its first tile: behind all whose last one
 * is before n. */
static void find(sk_extend_grid *g, sk_val n, sk_val *seq, sk_val *first)
{
    sk_dec *d = &g->c->dec;
    sk_builder *b = d->b;
    const sk_val sum = sk_ir_var(b, SK_WARP, d->zero), count = sk_ir_var(b, SK_WARP, d->zero);
    const sk_val begin = sk_ir_var(b, SK_WARP, d->zero);
    const sk_val s0 = sk_ir_for(b, d->zero, g->batch, d->w), inside = op(g, SK_OP_ULT, sk_add(d, s0, d->lane), g->batch);
    const sk_val own = sequence_tiles(g, s0), before = sk_ir_get(b, sum);
    const sk_val end = sk_add(d, before, sk_gpu_scan(b, d->w, own));
    const sk_val past = op(g, SK_OP_PAND, inside, op(g, SK_OP_ULE, end, n));
    const sk_val more = sum_of(g, sel(g, past, number(g, 1), d->zero));
    const sk_val most = sk_ir_1(b, SK_OP_RED_UMAX, sel(g, past, end, d->zero));
    sk_ir_set(b, count, sk_add(d, sk_ir_get(b, count), more));
    sk_ir_set(b, begin, op(g, SK_OP_UMAX, sk_ir_get(b, begin), most));
    sk_ir_set(b, sum, sk_add(d, before, sum_of(g, own)));
    sk_ir_end(b);
    *seq = sk_ir_get(b, count);
    *first = sk_ir_get(b, begin);
}

/* ---- a tile --------------------------------------------------------------------- */

/* A list of one KV head, with the queries of its sequence, and a tile of them. */
typedef struct tile {
    sk_val seq, head;       /* KV head, of the plan */
    sk_val token, tokens;   /* index of its first query token, how many there are */
    sk_val lo, hi;          /* references of the list */
    sk_val all;             /* tokens of it */
    sk_val causal;          /* predicate */
    sk_val place;           /* signed: where the first query token stands */
} tile;

/* Tokens of references i0 .. i0+W-1, a lane each; 0 behind the last. */
static sk_val page_tokens(sk_extend_grid *g, const tile *t, sk_val i0)
{
    sk_dec *d = &g->c->dec;
    const sk_val inside = op(g, SK_OP_ULT, sk_add(d, i0, d->lane), t->hi);
    return sk_ir_ldg(d->b, SK_LD_U16, sk_ir_ptr_add(d->b, g->io.refs, i0, 8), sk_shl(d, d->lane, 3), 4,
                     inside);
}

static sk_val list_tokens(sk_extend_grid *g, const tile *t)
{
    sk_dec *d = &g->c->dec;
    sk_builder *b = d->b;
    const sk_val sum = sk_ir_var(b, SK_LANE, d->zero);
    const sk_val i0 = sk_ir_for(b, t->lo, t->hi, d->w);
    sk_ir_set(b, sum, sk_add(d, sk_ir_get(b, sum), page_tokens(g, t, i0)));
    sk_ir_end(b);
    return sum_of(g, sk_ir_get(b, sum));
}

static tile tile_of(sk_extend_grid *g, sk_val n)
{
    sk_dec *d = &g->c->dec;
    sk_val first;
    tile t;
    find(g, n, &t.seq, &first);
    const sk_val place = op(g, SK_OP_SUB, n, first), q0 = entry(g, g->q_indptr, t.seq, 0);
    const sk_val q_len = op(g, SK_OP_SUB, entry(g, g->q_indptr, t.seq, 1), q0);
    const sk_val later = sk_add(d, op(g, SK_OP_UDIV, place, g->kv_count), number(g, 1));
    const sk_val i = sk_mul(d, op(g, SK_OP_SUB, tiles(g, q_len), later), g->c->tokens);
    t.head = sk_add(d, op(g, SK_OP_UREM, place, g->kv_count), g->kv_first);
    t.token = sk_add(d, q0, i);
    t.tokens = opk(g, SK_OP_UMIN, op(g, SK_OP_SUB, q_len, i), g->c->tokens);
    const sk_val own = sk_add(d, op(g, SK_OP_MUL, t.seq, g->kv_heads), t.head);
    const sk_val list = sel(g, flag(g, SK_EXT_SHARED), t.seq, own);
    t.lo = entry(g, g->indptr, list, 0);
    t.hi = entry(g, g->indptr, list, 1);
    t.all = list_tokens(g, &t);
    t.causal = flag(g, SK_EXT_CAUSAL);
    const sk_val behind = sk_add(d, t.all, i);
    t.place = op(g, SK_OP_SUB, behind, sel(g, t.causal, q_len, d->zero));
    return t;
}

/* The pages that the tile sees anything of: those that begin before place `last` and
 * end behind place `begin`. */
static void put_pages(sk_extend_grid *g, const tile *t, sk_val begin, sk_val last)
{
    sk_dec *d = &g->c->dec;
    sk_builder *b = d->b;
    const sk_val sum = sk_ir_var(b, SK_WARP, d->zero), before = sk_ir_var(b, SK_WARP, d->zero);
    const sk_val hi = sk_ir_var(b, SK_WARP, t->lo), lo = sk_ir_var(b, SK_WARP, t->lo);
    const sk_val i0 = sk_ir_for(b, t->lo, t->hi, d->w), inside = op(g, SK_OP_ULT, sk_add(d, i0, d->lane), t->hi);
    const sk_val n = page_tokens(g, t, i0), old = sk_ir_get(b, sum);
    const sk_val end = sk_add(d, old, sk_gpu_scan(b, d->w, n)), from = op(g, SK_OP_SUB, end, n);
    const sk_val early = op(g, SK_OP_PAND, inside, op(g, SK_OP_ULT, from, last));
    const sk_val past = op(g, SK_OP_PAND, early, op(g, SK_OP_ULE, end, begin));
    const sk_val one = number(g, 1);
    sk_ir_set(b, hi, sk_add(d, sk_ir_get(b, hi), sum_of(g, sel(g, early, one, d->zero))));
    sk_ir_set(b, lo, sk_add(d, sk_ir_get(b, lo), sum_of(g, sel(g, past, one, d->zero))));
    const sk_val most = sk_ir_1(b, SK_OP_RED_UMAX, sel(g, past, end, d->zero));
    sk_ir_set(b, before, op(g, SK_OP_UMAX, sk_ir_get(b, before), most));
    sk_ir_set(b, sum, sk_add(d, old, sum_of(g, n)));
    sk_ir_end(b);
    put(g, SK_EXT_LO, sk_ir_get(b, lo));
    put(g, SK_EXT_HI, sk_ir_get(b, hi));
    put(g, SK_EXT_BEFORE, sk_ir_get(b, before));
}

/* Who sees what. A window of half of all that a list may have is one without an end. */
static void put_mask(sk_extend_grid *g, const tile *t)
{
    sk_dec *d = &g->c->dec;
    const sk_val next = sk_add(d, t->place, number(g, 1)), none = d->zero;
    sk_val sees = t->all, last = t->all, step = none, begin = none;
    if (!sk_extend_by_position(g->c)) {
        step = sel(g, t->causal, number(g, 1), none);
        sees = sel(g, t->causal, next, t->all);
        const sk_val end = sel(g, t->causal, sk_add(d, t->place, t->tokens), t->all);
        last = op(g, SK_OP_SMAX, end, none);
    }
    if (sk_extend_windowed(g->c))
        begin = op(g, SK_OP_SUB, next, opk(g, SK_OP_UMIN, d->var.window, SK_EXT_MOST_TOKENS / 2));
    put(g, SK_EXT_SEES, sees);
    put(g, SK_EXT_STEP, step);
    put(g, SK_EXT_BEGIN, begin);
    put_pages(g, t, op(g, SK_OP_SMAX, begin, none), last);
}

static void put_rows(sk_extend_grid *g, const tile *t)
{
    sk_dec *d = &g->c->dec;
    const sk_extend_tensor *of[] = {&g->io.q, &g->io.out, &g->io.lse};
    static const uint32_t word[] = {SK_EXT_Q, SK_EXT_OUT, SK_EXT_LSE};
    const sk_val head = sk_mul(d, t->head, d->h), none = number(g, SK_ITEM_NONE);
    for (uint32_t k = 0; k < SK_COUNT(of); k++) {
        const sk_val row = op(g, SK_OP_MUL, t->token, of[k]->tok_bytes);
        const sk_val at = sk_add(d, row, op(g, SK_OP_MUL, head, of[k]->head_bytes));
        put(g, word[k], word[k] == SK_EXT_LSE ? sel(g, flag(g, SK_EXT_WANTS_LSE), at, none) : at);
    }
    put(g, SK_EXT_HEAD, t->head);
    put(g, SK_EXT_TOKENS, t->tokens);
    put(g, SK_EXT_TOKEN, t->token);
    put(g, SK_EXT_SINK, sel(g, flag(g, SK_EXT_SINKS), sk_shl(d, head, 2), none));
    for (uint32_t k = 0; k < d->spec->ntiers; k++) {
        sk_page_layout lay;
        sk_page_layout_get(d->spec, k, &lay);
        put(g, SK_EXT_UNITS + k, sel(g, flag(g, SK_EXT_SHARED), sk_mul(d, t->head, lay.units), d->zero));
    }
}

static void put_share(sk_extend_grid *g)
{
    sk_dec *d = &g->c->dec;
    const sk_val room = op(g, SK_OP_SUB, g->blocks, number(g, 1));
    const sk_val rest = op(g, SK_OP_SUB, sk_add(d, all_tiles(g), room), g->block);
    put(g, SK_EXT_SHARE, op(g, SK_OP_UDIV, rest, g->blocks));
}

void sk_extend_deal(sk_extend_grid *g)
{
    sk_dec *d = &g->c->dec;
    sk_builder *b = d->b;
    sk_dec_one(d);
    put_share(g);
    sk_dec_one_end(d);
    sk_dec_barrier(d);
    const sk_val mine = sk_ir_ldu(b, SK_LD_U32, d->item, d->zero, SK_EXT_SHARE * 4);
    const sk_val k = sk_ir_for(b, d->zero, mine, 1);
    sk_dec_barrier(d); /* nobody is at the last tile any more */
    sk_dec_one(d);
    const tile t = tile_of(g, sk_add(d, g->block, op(g, SK_OP_MUL, k, g->blocks)));
    put_rows(g, &t);
    put_mask(g, &t);
    sk_dec_one_end(d);
    sk_dec_barrier(d);
}
