/* encode_sorted.c - single dimensions whose codewords are as many as lanes: of the pages of
 * a head they are sorted once, in a vector, and the nearest one is found by halving: a
 * shuffle, a difference and a shift of two words for each bit, instead of four instructions
 * for each codeword (turbo, 16 of them: a fifth). The bounds between neighbours lie as a tree:
 * lane 1 is the root, the lanes below i are 2 i and 2 i + 1. A leaf is a codeword with its code
 * in the low bits, which are zero in the f32 of a half. */
#include "encode.h"

bool sk_encode_is_sorted(const sk_enc *c, const sk_segment *seg)
{
    return c->search == SK_SEARCH_SORTED && seg->kind == SK_KEY_CODED && seg->g == 1 &&
           1u << seg->b == c->w;
}

/* Bitonic: x in rising order, unsigned. */
static sk_val sort_lanes(sk_enc *c, sk_val x)
{
    for (uint32_t k = 2; k <= c->w; k *= 2)
        for (uint32_t j = k / 2; j > 0; j /= 2) {
            const sk_val other = sk_op2(c, SK_OP_SHUFFLE, x, sk_opk(c, SK_OP_XOR, c->lane, j));
            const sk_val up = sk_opk(c, SK_OP_EQ, sk_opk(c, SK_OP_AND, c->lane, k & (c->w - 1)), 0);
            const sk_val first = sk_opk(c, SK_OP_EQ, sk_opk(c, SK_OP_AND, c->lane, j), 0);
            const sk_val both = sk_op2(c, SK_OP_PAND, up, first);
            const sk_val none = sk_ir_1(c->b, SK_OP_PNOT, sk_op2(c, SK_OP_POR, up, first));
            x = sk_pick(c, sk_op2(c, SK_OP_POR, both, none), sk_op2(c, SK_OP_UMIN, x, other),
                        sk_op2(c, SK_OP_UMAX, x, other));
        }
    return x;
}

/* The place of the bound that lane i of a tree holds. */
static sk_val tree_place(sk_enc *c)
{
    sk_val place = c->zero;
    for (uint32_t level = 1; level < c->w; level *= 2) {
        const sk_val in = sk_opk(c, SK_OP_SUB, c->lane, level);
        const sk_val odd = sk_opk(c, SK_OP_ADD, sk_times(c, in, 2), 1);
        const sk_val here = sk_opk(c, SK_OP_SUB, sk_times(c, odd, c->w / 2 / level), 1);
        place = sk_pick(c, sk_opk(c, SK_OP_ULT, c->lane, level), place, here);
    }
    return place;
}

/* Equal codewords, which are neighbours in the order: the lowest code of them for all. */
static void join_equals(sk_enc *c, sk_val sorted, sk_val code)
{
    sk_builder *b = c->b;
    const sk_val before = sk_opk(c, SK_OP_SUB, c->lane, 1), first = sk_opk(c, SK_OP_EQ, c->lane, 0);
    const sk_val same = sk_op2(c, SK_OP_FEQ, sk_op2(c, SK_OP_SHUFFLE, sorted, before), sorted);
    const sk_val more = sk_op2(c, SK_OP_PAND, same, sk_ir_1(b, SK_OP_PNOT, first));
    sk_ir_if(b, sk_ir_any(b, more));
    for (uint32_t d = 1; d < c->w; d *= 2) {
        const sk_val from = sk_opk(c, SK_OP_SUB, c->lane, d), now = sk_ir_get(b, code);
        const sk_val equal = sk_op2(c, SK_OP_FEQ, sk_op2(c, SK_OP_SHUFFLE, sorted, from), sorted);
        const sk_val behind = sk_ir_1(b, SK_OP_PNOT, sk_opk(c, SK_OP_ULT, c->lane, d));
        const sk_val low = sk_op2(c, SK_OP_UMIN, now, sk_op2(c, SK_OP_SHUFFLE, now, from));
        sk_ir_set(b, code, sk_pick(c, sk_op2(c, SK_OP_PAND, equal, behind), low, now));
    }
    sk_ir_end(b);
}

void sk_encode_sort(sk_enc *c, uint32_t rows)
{
    sk_builder *b = c->b;
    const sk_val j = sk_ir_for(b, c->zero, sk_u32(c, rows), 1), at = sk_times(c, j, c->w * 4);
    const sk_val read = sk_ir_ldv(b, SK_LD_U16, c->words, sk_times(c, j, c->w * 2), 0);
    /* minus zero is zero: of equal codewords the lowest code */
    const sk_val half = sk_pick(c, sk_opk(c, SK_OP_EQ, read, 0x8000u), c->zero, read);
    /* in the order of numbers: a negative one inverted, of others the sign set */
    const sk_val minus = sk_opk(c, SK_OP_SRA, sk_opk(c, SK_OP_SHL, half, 16), 31);
    const sk_val rank = sk_op2(c, SK_OP_XOR, half, sk_opk(c, SK_OP_OR, minus, 0x8000u));
    const sk_val key = sk_op2(c, SK_OP_OR, sk_opk(c, SK_OP_SHL, rank, 16), c->lane);
    const sk_val code = sk_opk(c, SK_OP_AND, sort_lanes(c, key), c->w - 1);
    const sk_val sorted = sk_op2(c, SK_OP_SHUFFLE, sk_ir_ldv(b, SK_LD_F32, c->cb, at, 0), code);
    const sk_val next = sk_op2(c, SK_OP_SHUFFLE, sorted, sk_opk(c, SK_OP_ADD, c->lane, 1));
    const sk_val bound = sk_op2(c, SK_OP_FMUL, sk_op2(c, SK_OP_FADD, sorted, next), sk_ir_f32(b, 0.5f));
    const sk_val lowest = sk_ir_var(b, SK_LANE, code);
    join_equals(c, sorted, lowest);
    sk_ir_stv(b, c->tree, at, 0, sk_op2(c, SK_OP_SHUFFLE, bound, tree_place(c)));
    sk_ir_stv(b, c->leaf, at, 0, sk_op2(c, SK_OP_OR, sk_ir_1(b, SK_OP_BITS, sorted), sk_ir_get(b, lowest)));
    sk_ir_end(b);
}

/* 1 where x is above a bound: the sign of a difference, which takes fewer turns than a
 * predicate. */
static sk_val above(sk_enc *c, sk_val x, sk_val bound)
{
    return sk_opk(c, SK_OP_SHR, sk_ir_1(c->b, SK_OP_BITS, sk_op2(c, SK_OP_FSUB, bound, x)), 31);
}

void sk_encode_search_sorted(sk_enc *c, const sk_enc_span *s, sk_val j, sk_enc_found *to)
{
    sk_builder *b = c->b;
    const sk_val at = sk_times(c, j, c->w * 4);
    const sk_val tree = sk_ir_ldv(b, SK_LD_F32, c->tree, at, 0);
    const sk_val root = sk_ir_ldu(b, SK_LD_F32, c->tree, at, 4);
    const sk_val leaves = sk_ir_ldv(b, SK_LD_U32, c->leaf, at, 0);
    for (uint32_t u = 0; u < c->t / c->w; u++) {
        sk_val i = sk_ir_1(b, SK_OP_HIDE, sk_u32(c, 1)); /* a shift of two words takes in a bit */
        for (uint32_t level = 1; level < c->w; level *= 2) {
            const sk_val bound = level == 1 ? root : sk_op2(c, SK_OP_SHUFFLE, tree, i);
            i = sk_op2(c, SK_OP_OR, sk_op2(c, SK_OP_ADD, i, i), above(c, s->held[u], bound));
        }
        const sk_val leaf = sk_op2(c, SK_OP_SHUFFLE, leaves, i); /* modulo W */
        to->index[0][u] = sk_opk(c, SK_OP_AND, leaf, c->w - 1);
        to->word[u] = sk_ir_1(b, SK_OP_FLOAT, sk_opk(c, SK_OP_AND, leaf, ~(c->w - 1)));
        to->words = true;
    }
}
