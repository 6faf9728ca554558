/* encode_dots.c - groups of unit vectors by dot products of 16-bit integers, two
 * multiply-adds a lane where f32 has one. Key and codewords are rounded, so the largest sum
 * is the best codeword only where no other comes near: the second largest is found beside
 * it, and where they are closer than all roundings together the group is searched anew in
 * f32 (encode_search.c), for the tokens of the chunk (high: one chunk of some sixteen).
 * The code is in the low bits of a sum, so that one maximum finds both; less than all
 * ones, ties go to the lowest. */
#include <math.h>

#include "encode.h"

#define TOP 32767u /* of the longest key and codeword */
#define ROW 8u     /* codewords at once: sums that do not wait for each other */

bool sk_encode_is_dots(const sk_enc *c, const sk_segment *seg, const sk_seg_layout *lay)
{
    return c->search == SK_SEARCH_DOTS && seg->kind == SK_KEY_CODED && sk_layout_unit(seg, lay) &&
           seg->g % 2 == 0;
}

/* How much nearer to each other two sums can be, or come, than the products are: half a step
 * of each element, times the others' sum of magnitudes, twice; and the codes. */
static uint32_t doubt(const sk_enc *c)
{
    const double one = 0.52 * sqrt((double)c->seg->g) * 2 * TOP + c->seg->g;
    return (uint32_t)(2 * one) + c->codes;
}

/* Two dimensions in a word, rounded. */
static sk_val pair_of(sk_enc *c, sk_val x, sk_val y, sk_val by)
{
    const sk_val low = sk_ir_1(c->b, SK_OP_F2I, sk_op2(c, SK_OP_FMUL, x, by));
    const sk_val high = sk_ir_1(c->b, SK_OP_F2I, sk_op2(c, SK_OP_FMUL, y, by));
    return sk_op2(c, SK_OP_OR, sk_opk(c, SK_OP_AND, low, 0xffff), sk_opk(c, SK_OP_SHL, high, 16));
}

void sk_encode_pair(sk_enc *c, uint32_t rows, sk_val most)
{
    sk_builder *b = c->b;
    const uint32_t n = rows * c->seg->g / 2 * c->codes, run = c->codes < c->w ? c->codes : c->w;
    const sk_val longest = sk_ir_1(b, SK_OP_FSQRT, sk_op2(c, SK_OP_FMAX, most, sk_ir_f32(b, 1e-30f)));
    const sk_val by = sk_op2(c, SK_OP_FDIV, sk_ir_f32(b, (float)TOP), longest);
    const sk_val e = sk_ir_for(b, c->zero, sk_u32(c, n), run);
    const sk_val pair = sk_opk(c, SK_OP_SHR, e, c->seg->b), code = sk_opk(c, SK_OP_AND, e, c->codes - 1);
    const sk_val at = sk_times(c, sk_op2(c, SK_OP_ADD, sk_times(c, pair, 2 * c->codes), code), 4);
    const sk_val inside = sk_opk(c, SK_OP_ULT, c->lane, run);
    sk_val x[2];
    for (uint32_t i = 0; i < 2; i++)
        x[i] = run == c->w ? sk_ir_ldv(b, SK_LD_F32, c->cb, at, i * c->codes * 4)
                           : sk_ir_ldrows(b, SK_LD_F32, c->cb, at, i * c->codes * 4, run);
    const sk_val word = pair_of(c, x[0], x[1], by);
    if (run == c->w)
        sk_ir_stv(b, c->pair, sk_times(c, e, 4), 0, word);
    else
        sk_ir_stg(b, c->pair, sk_times(c, sk_op2(c, SK_OP_ADD, e, c->lane), 4), 0, word, inside);
    sk_ir_end(b);
}

/* Keys of the group in pairs, [pair][u]. */
static void pair_keys(sk_enc *c, const sk_enc_span *s, sk_val *q)
{
    const uint32_t nu = c->t / c->w;
    for (uint32_t u = 0; u < nu; u++) {
        /* a norm of which squares are lost would be too small: all is in doubt instead */
        const sk_val r = sk_op2(c, SK_OP_FMAX, s->r[u], sk_ir_f32(c->b, 1e-18f));
        const sk_val by = sk_op2(c, SK_OP_FDIV, sk_ir_f32(c->b, (float)TOP), r);
        for (uint32_t i = 0; i < c->seg->g; i += 2) {
            sk_val x[2];
            for (uint32_t k = 0; k < 2; k++)
                x[k] = sk_encode_long(c) ? sk_encode_kept(c, c->zero, i + k, u) : s->held[(i + k) * nu + u];
            q[i / 2 * nu + u] = pair_of(c, x[0], x[1], by);
        }
    }
}

/* The largest and the second largest sum, with their codes. */
typedef struct two {
    sk_val best, second;
} two;

/* Of the codewords from `code` on, `row` of them, for vector u; words: byte of their pairs. */
static two try_row(sk_enc *c, const sk_val *q, sk_val words, uint32_t row, uint32_t u)
{
    const uint32_t nu = c->t / c->w, mask = c->codes - 1;
    two to = {SK_NONE, SK_NONE};
    sk_val sum[ROW];
    for (uint32_t k = 0; k < row; k++) sum[k] = c->zero;
    for (uint32_t i = 0; i < c->seg->g / 2; i++)
        for (uint32_t k = 0; k < row; k++) {
            const sk_val word = sk_ir_ldu(c->b, SK_LD_U32, c->pair, words, (i * c->codes + k) * 4);
            sum[k] = sk_ir_3(c->b, SK_OP_DOT2, sum[k], q[i * nu + u], word);
        }
    for (uint32_t k = 0; k < row; k++) {
        const sk_val x = sk_opk(c, SK_OP_OR, sk_opk(c, SK_OP_AND, sum[k], ~mask), mask - k);
        if (k == 0) {
            to.best = x;
            continue;
        }
        const sk_val less = sk_op2(c, SK_OP_SMIN, to.best, x);
        to.second = k == 1 ? less : sk_op2(c, SK_OP_SMAX, to.second, less);
        to.best = sk_op2(c, SK_OP_SMAX, to.best, x);
    }
    return to;
}

/* Codes by the largest sums; whether one of them is in doubt. */
static sk_val search_pairs(sk_enc *c, const sk_enc_span *s, sk_val j, sk_val *index)
{
    sk_builder *b = c->b;
    const uint32_t nu = c->t / c->w, most = ROW / nu, row = c->codes < most ? c->codes : most;
    const sk_val none = sk_u32(c, 0x80000000u);
    sk_val q[128], best[4], second[4], near = SK_NONE;
    pair_keys(c, s, q);
    for (uint32_t u = 0; u < nu; u++) {
        best[u] = sk_ir_var(b, SK_LANE, none);
        second[u] = sk_ir_var(b, SK_LANE, none);
    }
    const sk_val code = sk_ir_for(b, c->zero, sk_u32(c, c->codes), row);
    const sk_val words = sk_op2(c, SK_OP_ADD, sk_times(c, j, c->seg->g / 2 * c->codes), code);
    for (uint32_t u = 0; u < nu; u++) {
        const two x = try_row(c, q, sk_times(c, words, 4), row, u);
        const sk_val high = sk_op2(c, SK_OP_XOR, x.best, code), low = sk_op2(c, SK_OP_XOR, x.second, code);
        const sk_val old = sk_ir_get(b, best[u]), less = sk_op2(c, SK_OP_SMIN, old, high);
        const sk_val two = sk_op2(c, SK_OP_SMAX, sk_ir_get(b, second[u]), low);
        sk_ir_set(b, second[u], sk_op2(c, SK_OP_SMAX, two, less));
        sk_ir_set(b, best[u], sk_op2(c, SK_OP_SMAX, old, high));
    }
    sk_ir_end(b);
    for (uint32_t u = 0; u < nu; u++) {
        const sk_val all = sk_ir_get(b, best[u]);
        const sk_val gap = sk_op2(c, SK_OP_SUB, all, sk_ir_get(b, second[u]));
        const sk_val some = sk_op2(c, SK_OP_FLT, sk_ir_f32(b, 0.0f), s->r[u]);
        const sk_val here = sk_op2(c, SK_OP_PAND, some, sk_opk(c, SK_OP_ULT, gap, doubt(c)));
        near = near == SK_NONE ? here : sk_op2(c, SK_OP_POR, near, here);
        index[u] = sk_opk(c, SK_OP_XOR, sk_opk(c, SK_OP_AND, all, c->codes - 1), c->codes - 1);
    }
    return sk_ir_any(b, near);
}

/* <k, c> of vector u, in sums that do not wait for each other. */
static sk_val product(sk_enc *c, const sk_enc_span *s, sk_val j, sk_val index, uint32_t u)
{
    const uint32_t nu = c->t / c->w, g = c->seg->g, sums = g < 8 ? g / 2 : 4;
    sk_val sum[4];
    for (uint32_t i = 0; i < g; i++) {
        const sk_val x = sk_encode_long(c) ? sk_encode_kept(c, c->zero, i, u) : s->held[i * nu + u];
        const sk_val y = sk_encode_chosen(c, j, i, index);
        sum[i % sums] = i < sums ? sk_op2(c, SK_OP_FMUL, x, y) : sk_ir_3(c->b, SK_OP_FMA, x, y, sum[i % sums]);
    }
    for (uint32_t i = 1; i < sums; i++) sum[0] = sk_op2(c, SK_OP_FADD, sum[0], sum[i]);
    return sum[0];
}

void sk_encode_search_dots(sk_enc *c, const sk_enc_span *s, sk_val j, sk_enc_found *to)
{
    sk_builder *b = c->b;
    const uint32_t nu = c->t / c->w;
    sk_val index[4], code[4];
    const sk_val again = search_pairs(c, s, j, index);
    for (uint32_t u = 0; u < nu; u++) code[u] = sk_ir_var(b, SK_LANE, index[u]);
    sk_ir_if(b, again);
    sk_enc_found anew;
    sk_encode_search_scores(c, s, j, &anew);
    for (uint32_t u = 0; u < nu; u++) sk_ir_set(b, code[u], anew.index[0][u]);
    sk_ir_end(b);
    for (uint32_t u = 0; u < nu; u++) {
        to->index[0][u] = sk_ir_get(b, code[u]);
        to->norm[u] = sk_encode_chosen_norm(c, j, to->index[0][u]);
        to->dot[u] = product(c, s, j, to->index[0][u], u);
    }
}
