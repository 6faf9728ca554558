/* tile_book.c - codewords in scratch as rebuilt keys want them: two dimensions of a
 * codeword are a word, the words of a codeword lie together:
 *   [group][code][pair of dimensions], of groups of one dimension [dimension][code].
 * They do not depend on the query, so one look-up serves all query heads. A group of
 * 16 codewords of two dimensions lies in 16 banks; of the four groups that the lanes
 * of a warp look at together two share banks, so two passes are the worst there is.
 *
 * Made once per piece of work for the tiers that occur in it: references are sorted
 * by tier, so the first and the last bound them. */
#include "tile_impl.h"

uint32_t sk_tile_book_bytes(const sk_spec *spec, uint32_t tier_slot)
{
    const sk_segment *seg = sk_dec_seg(spec, tier_slot);
    return seg->kind == SK_KEY_CODED ? (spec->d * 2) << seg->b : 0;
}

/* The word of pair-of-dimensions row r and code x: two rows of the set. */
static sk_val pair_word(sk_tile *t, sk_val set, sk_val r, sk_val x, uint32_t codes)
{
    sk_dec *c = t->c;
    const sk_val at = sk_add(c, sk_mul(c, r, codes * 4), sk_mul(c, x, 2));
    const sk_val low = sk_tile_load(t, SK_LD_U16, set, at, 0);
    return sk_or(c, low, sk_shl(c, sk_tile_load(t, SK_LD_U16, set, at, codes * 2), 16));
}

static void load_book(sk_tile *t, uint32_t tier_slot)
{
    sk_dec *c = t->c;
    sk_builder *b = c->b;
    const sk_segment *seg = sk_dec_seg(c->spec, tier_slot);
    const uint32_t codes = 1u << seg->b, words = sk_tile_book_bytes(c->spec, tier_slot) / 4;
    const sk_val set =
        sk_ir_ptr_add(b, t->work->book, sk_k(c, sk_codebook_tier_off(c->spec, tier_slot, 0)), 1);
    const sk_val i0 = sk_ir_for(b, sk_shl(c, t->warp, 5), sk_k(c, words), t->warps * 32);
    const sk_val i = sk_add(c, i0, c->lane);
    sk_val word, at = sk_mul(c, i, 4);
    if (seg->g == 1) {
        word = sk_tile_load(t, SK_LD_U32, set, at, 0);
    } else {
        const uint32_t pairs = seg->g / 2u;
        const sk_val r = sk_shr(c, i, seg->b), x = sk_and(c, i, codes - 1);
        word = pair_word(t, set, r, x, codes);
        const sk_val group = sk_shr(c, r, (uint32_t)__builtin_ctz(pairs));
        const sk_val row = sk_add(c, sk_shl(c, group, seg->b), x);
        at = sk_mul(c, sk_add(c, sk_mul(c, row, pairs), sk_and(c, r, pairs - 1)), 4);
    }
    sk_ir_stg(b, t->book[tier_slot], at, 0, word, SK_NONE);
    sk_ir_end(b);
}

/* Tier of reference i, a value. */
static sk_val tier_of(sk_tile *t, sk_val i)
{
    sk_dec *c = t->c;
    const sk_val ref = sk_ir_ptr_add(c->b, t->work->refs, i, 8);
    return sk_and(c, sk_shr(c, sk_ir_ldu(c->b, SK_LD_U32, ref, c->zero, 4), 16), 0xff);
}

void sk_tile_books(sk_tile *t)
{
    sk_dec *c = t->c;
    sk_builder *b = c->b;
    const sk_tile_work *work = t->work;
    const bool several = c->spec->ntiers > 1;
    sk_val first = c->zero, last = c->zero;
    sk_ir_if(b, sk_ir_2(b, SK_OP_ULT, work->lo, work->hi));
    if (several) {
        first = tier_of(t, work->lo);
        last = tier_of(t, sk_ir_2(b, SK_OP_SUB, work->hi, sk_k(c, 1)));
    }
    for (uint32_t k = 0; k < c->spec->ntiers; k++) {
        if (sk_tile_book_bytes(c->spec, k) == 0) continue;
        const sk_val tier = sk_k(c, k);
        if (several)
            sk_ir_if(b, sk_ir_2(b, SK_OP_PAND, sk_ir_2(b, SK_OP_ULE, first, tier),
                                sk_ir_2(b, SK_OP_ULE, tier, last)));
        load_book(t, k);
        if (several) sk_ir_end(b);
    }
    sk_ir_end(b);
}
