/* extend_mask.c - which tokens of a page a row of attn_extend sees: by their places in the
 * list, a range of slots that moves on with the query token, or with the variant positions
 * by what the page stores, any set of them.
 *
 * Rows of a register tile are ordered by token, so by places the first one's range is the
 * first and the last one's the last. By positions what is asked first is how those of the
 * page and of the rows' queries lie to each other: where a context was not thinned out of
 * order most pages are seen whole or not at all. */
#include "extend.h"

static sk_val op(sk_extend *c, sk_op o, sk_val x, sk_val y) { return sk_ir_2(c->dec.b, o, x, y); }

static sk_val word_of(sk_extend *c, uint32_t word)
{
    return sk_ir_ldu(c->dec.b, SK_LD_U32, c->dec.item, c->dec.zero, word * 4);
}

void sk_extend_mask_scratch(sk_extend *c)
{
    if (sk_extend_by_position(c)) {
        c->where = sk_extend_area(c, "where", c->rows, false);
        c->places = sk_extend_area(c, "places", c->dec.p, false);
        return;
    }
    c->sees = sk_extend_area(c, "sees", c->rows, false);
    if (sk_extend_windowed(c)) c->begins = sk_extend_area(c, "begins", c->rows, false);
}

void sk_extend_mask_row(sk_extend *c, sk_val r, sk_val token)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_val at = sk_mul(d, r, 4);
    if (sk_extend_by_position(c)) {
        const sk_val from = sk_mul(d, sk_add(d, word_of(c, SK_EXT_TOKEN), token), 4);
        sk_ir_stu(b, c->where, at, 0, sk_ir_ldu(b, SK_LD_U32, d->var.q_positions, from, 0));
        return;
    }
    const sk_val more = op(c, SK_OP_MUL, token, word_of(c, SK_EXT_STEP));
    const sk_val sees = op(c, SK_OP_SMAX, sk_add(d, word_of(c, SK_EXT_SEES), more), d->zero);
    sk_ir_stu(b, c->sees, at, 0, sees);
    if (!sk_extend_windowed(c)) return;
    const sk_val begin = op(c, SK_OP_SMAX, sk_add(d, word_of(c, SK_EXT_BEGIN), token), d->zero);
    sk_ir_stu(b, c->begins, at, 0, begin);
}

/* ---- rows ----------------------------------------------------------------- */

/* Of row r0 + j: the slot of the page that stands at its place of the list, of the page at
 * most. */
static sk_val slot_of(sk_extend *c, const sk_extend_page *page, sk_val places, sk_val r0, uint32_t j)
{
    const sk_val place = sk_ir_ldu(c->dec.b, SK_LD_U32, places, sk_mul(&c->dec, r0, 4), j * 4);
    const sk_val less = op(c, SK_OP_UMIN, place, page->before);
    return op(c, SK_OP_UMIN, page->count, op(c, SK_OP_SUB, place, less));
}

static sk_val query_of(sk_extend *c, sk_val r0, uint32_t j)
{
    return sk_ir_ldu(c->dec.b, SK_LD_U32, c->where, sk_mul(&c->dec, r0, 4), j * 4);
}

sk_extend_seen sk_extend_row_seen(sk_extend *c, const sk_extend_page *page, sk_val r0, uint32_t j)
{
    sk_extend_seen seen = {.begin = SK_NONE, .end = page->count, .query = SK_NONE};
    if (sk_extend_by_position(c)) {
        seen.query = query_of(c, r0, j);
        return seen;
    }
    seen.end = slot_of(c, page, c->sees, r0, j);
    if (sk_extend_windowed(c)) seen.begin = slot_of(c, page, c->begins, r0, j);
    return seen;
}

sk_val sk_extend_is_seen(sk_extend *c, const sk_extend_seen *seen, sk_val t0)
{
    sk_dec *d = &c->dec;
    if (seen->query != SK_NONE) return sk_dec_sees(d, c->places, seen->query, t0, seen->end);
    const sk_val t = sk_add(d, t0, d->lane), yes = op(c, SK_OP_ULT, t, seen->end);
    return seen->begin == SK_NONE ? yes : op(c, SK_OP_PAND, yes, op(c, SK_OP_ULE, seen->begin, t));
}

/* ---- register tiles ---------------------------------------------------------- */

/* The least or the most of the positions of its queries. */
static sk_val queries_to(sk_extend *c, sk_op least_or_most, sk_val r0)
{
    sk_val x = query_of(c, r0, 0);
    for (uint32_t j = 1; j < c->group; j++) x = op(c, least_or_most, x, query_of(c, r0, j));
    return x;
}

sk_val sk_extend_tile_end(sk_extend *c, const sk_extend_page *page, sk_val r0)
{
    sk_dec *d = &c->dec;
    if (!sk_extend_by_position(c)) {
        const sk_val end = slot_of(c, page, c->sees, r0, c->group - 1);
        if (!sk_extend_windowed(c)) return end;
        const sk_val first = slot_of(c, page, c->begins, r0, 0);
        return sk_sel(d, op(c, SK_OP_ULT, first, end), end, d->zero);
    }
    const sk_val most = queries_to(c, SK_OP_UMAX, r0);
    sk_val some = op(c, SK_OP_ULE, page->least, most);
    if (sk_dec_has(d, SPHKV_VARIANT_WINDOW)) {
        const sk_val least = queries_to(c, SK_OP_UMIN, r0);
        const sk_val over = op(c, SK_OP_UMIN, least, page->most); /* nothing where it is behind */
        const sk_val far = op(c, SK_OP_SUB, least, over);
        some = op(c, SK_OP_PAND, some, op(c, SK_OP_ULT, far, d->var.window));
    }
    return sk_sel(d, some, page->count, d->zero);
}

sk_val sk_extend_tile_whole(sk_extend *c, const sk_extend_page *page, sk_val r0)
{
    sk_dec *d = &c->dec;
    const sk_val p = sk_k(d, d->p);
    if (!sk_extend_by_position(c)) {
        const sk_val all = op(c, SK_OP_EQ, slot_of(c, page, c->sees, r0, 0), p);
        if (!sk_extend_windowed(c)) return all;
        const sk_val last = slot_of(c, page, c->begins, r0, c->group - 1);
        return op(c, SK_OP_PAND, all, op(c, SK_OP_EQ, last, d->zero));
    }
    const sk_val full = op(c, SK_OP_EQ, page->count, p);
    sk_val all = op(c, SK_OP_PAND, full, op(c, SK_OP_ULE, page->most, queries_to(c, SK_OP_UMIN, r0)));
    if (!sk_dec_has(d, SPHKV_VARIANT_WINDOW)) return all;
    const sk_val far = op(c, SK_OP_SUB, queries_to(c, SK_OP_UMAX, r0), page->least);
    return op(c, SK_OP_PAND, all, op(c, SK_OP_ULT, far, d->var.window));
}

void sk_extend_places(sk_extend *c, uint32_t tier_slot, sk_val page, sk_val count, sk_val least,
                      sk_val most)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    if (!sk_extend_by_position(c)) return;
    const sk_val from = sk_dec_positions(d, tier_slot, page), none = sk_k(d, UINT32_MAX);
    const sk_val low = sk_ir_var(b, SK_LANE, none), high = sk_ir_var(b, SK_LANE, d->zero);
    /* Products of pairs look at the vector behind the last one too, and leave it out. */
    const sk_val end = op(c, SK_OP_UMIN, sk_add(d, count, sk_k(d, (c->each - 1) * d->w)),
                          sk_k(d, d->p));
    const sk_val t0 = sk_ir_for(b, d->zero, end, d->w), at = sk_mul(d, t0, 4);
    const sk_val x = sk_ir_ldv(b, SK_LD_U32, from, at, 0);
    const sk_val in = op(c, SK_OP_ULT, sk_add(d, t0, d->lane), count);
    sk_ir_stv(b, c->places, at, 0, x);
    sk_ir_set(b, low, op(c, SK_OP_UMIN, sk_ir_get(b, low), sk_sel(d, in, x, none)));
    sk_ir_set(b, high, op(c, SK_OP_UMAX, sk_ir_get(b, high), sk_sel(d, in, x, d->zero)));
    sk_ir_end(b);
    sk_ir_set(b, least, sk_ir_1(b, SK_OP_RED_UMIN, sk_ir_get(b, low)));
    sk_ir_set(b, most, sk_ir_1(b, SK_OP_RED_UMAX, sk_ir_get(b, high)));
}
