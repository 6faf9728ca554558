/* encode_dots.c - groups of unit vectors by dot products of 16-bit integers, two
 * multiply-adds a lane where f32 has one. Key and codewords are rounded, so the largest sum
 * is the best codeword only where no other comes near: the second largest is found beside
 * it, and where they are closer than all roundings together the group is searched anew in
 * f32 (encode_search.c), for the tokens of the chunk (high: one chunk of some sixteen).
 * The code is in the low bits of a sum, so that one maximum finds both; less than all
 * ones, ties go to the lowest. A codeword that is there twice would leave a doubt each time
 * it is the nearest: the later ones are made zero when a codebook is prepared, and a sum
 * that is not clear of zero is in doubt.
 *
 * Group by group, in three loops over the chunks of a page: keys into pairs of integers,
 * codes, radii. In one loop each step would wait for the norm, then for the code. */
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

/* x * by as an integer of 16 bits, in the low ones of a word: where f32 steps by 1. */
static sk_val rounded(sk_enc *c, sk_val x, sk_val by)
{
    return sk_ir_1(c->b, SK_OP_BITS, sk_ir_3(c->b, SK_OP_FMA, x, by, sk_ir_f32(c->b, 0x1.8p23f)));
}

/* Two dimensions in a word, rounded. */
static sk_val pair_of(sk_enc *c, sk_val x, sk_val y, sk_val by)
{
    const sk_val low = rounded(c, x, by), high = rounded(c, y, by);
    return sk_op2(c, SK_OP_OR, sk_opk(c, SK_OP_AND, low, 0xffff), sk_opk(c, SK_OP_SHL, high, 16));
}

/* ---- twins ------------------------------------------------------------------- */

/* W of a row of scratch, of the codewords from `code` on: as often as they fill a vector. */
static sk_val load_words(sk_enc *c, sk_val from, sk_val at, uint32_t disp)
{
    if (c->codes < c->w) return sk_ir_ldrows(c->b, SK_LD_F32, from, at, disp, c->codes);
    return sk_ir_ldv(c->b, SK_LD_F32, from, at, disp);
}

/* In row j, those of the codewords `mine`, and `maybe`, that are codeword `code` are made
 * zero, so that they are never found. */
static void drop_twins(sk_enc *c, sk_val j, sk_val code0, sk_val mine, sk_val code, sk_val maybe)
{
    sk_builder *b = c->b;
    const uint32_t g = c->seg->g, size = g * c->codes * 4;
    const sk_val row = sk_times(c, j, size), first = sk_times(c, j, size / 2);
    const sk_val same = sk_ir_var(b, SK_LANE, sk_pick(c, maybe, sk_u32(c, 1), c->zero));
    const sk_val i = sk_ir_for(b, row, sk_opk(c, SK_OP_ADD, row, size), c->codes * 4);
    const sk_val x = load_words(c, c->cb, sk_op2(c, SK_OP_ADD, i, sk_times(c, code0, 4)), 0);
    const sk_val y = sk_ir_ldu(b, SK_LD_F32, c->cb, sk_op2(c, SK_OP_ADD, i, sk_times(c, code, 4)), 0);
    sk_ir_set(b, same, sk_pick(c, sk_op2(c, SK_OP_FEQ, x, y), sk_ir_get(b, same), c->zero));
    sk_ir_end(b);
    const sk_val twin = sk_opk(c, SK_OP_NE, sk_ir_get(b, same), 0);
    const sk_val p = sk_ir_for(b, first, sk_opk(c, SK_OP_ADD, first, size / 2), c->codes * 4);
    sk_ir_stg(b, c->pair, sk_op2(c, SK_OP_ADD, p, sk_times(c, mine, 4)), 0, c->zero, twin);
    sk_ir_end(b);
}

#define NORMS_AT_ONCE 8u

/* The norm of codeword i + k of a row of numbers. */
static sk_val norm_at(sk_enc *c, sk_val row, sk_val i, uint32_t k)
{
    return sk_ir_ldu(c->b, SK_LD_F32, c->hn, sk_op2(c, SK_OP_ADD, row, sk_times(c, i, 4)), k * 4);
}

/* The same codeword twice would leave a doubt each time it is the nearest. It is looked for
 * where norms are equal: more than each to itself. */
static void look_for_twins(sk_enc *c, uint32_t rows)
{
    sk_builder *b = c->b;
    const uint32_t run = c->codes < c->w ? c->codes : c->w;
    const uint32_t step = run < NORMS_AT_ONCE ? run : NORMS_AT_ONCE;
    const sk_val j = sk_ir_for(b, c->zero, sk_u32(c, rows), 1), row = sk_times(c, j, c->codes * 4);
    const sk_val code0 = sk_ir_for(b, c->zero, sk_u32(c, c->codes), run);
    const sk_val norm = load_words(c, c->hn, sk_op2(c, SK_OP_ADD, row, sk_times(c, code0, 4)), 0);
    const sk_val end = sk_opk(c, SK_OP_ADD, code0, run), equal = sk_ir_var(b, SK_LANE, c->zero);
    sk_val i = sk_ir_for(b, c->zero, end, step);
    for (uint32_t k = 0; k < step; k++) {
        const sk_val now = sk_ir_get(b, equal), here = sk_op2(c, SK_OP_FEQ, norm, norm_at(c, row, i, k));
        sk_ir_set(b, equal, sk_pick(c, here, sk_opk(c, SK_OP_ADD, now, 1), now));
    }
    sk_ir_end(b);
    sk_ir_if(b, sk_ir_any(b, sk_op2(c, SK_OP_ULT, sk_u32(c, 1), sk_ir_get(b, equal))));
    i = sk_ir_for(b, c->zero, end, 1);
    const sk_val mine = sk_op2(c, SK_OP_ADD, code0, c->lane), behind = sk_op2(c, SK_OP_ULT, i, mine);
    const sk_val here = sk_op2(c, SK_OP_PAND, sk_op2(c, SK_OP_FEQ, norm, norm_at(c, row, i, 0)),
                               sk_op2(c, SK_OP_PAND, behind, sk_op2(c, SK_OP_ULT, mine, end)));
    sk_ir_if(b, sk_ir_any(b, here));
    drop_twins(c, j, code0, mine, i, here);
    for (uint32_t k = 0; k < 5; k++) sk_ir_end(b); /* all of these */
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
        x[i] = load_words(c, c->cb, at, i * c->codes * 4);
    const sk_val word = pair_of(c, x[0], x[1], by);
    if (run == c->w)
        sk_ir_stv(b, c->pair, sk_times(c, e, 4), 0, word);
    else
        sk_ir_stg(b, c->pair, sk_times(c, sk_op2(c, SK_OP_ADD, e, c->lane), 4), 0, word, inside);
    sk_ir_end(b);
    look_for_twins(c, rows);
}

/* ---- sums --------------------------------------------------------------------- */

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

/* Codes by the largest sums, of keys in pairs q, norms r; whether one of them is in doubt. */
static sk_val search_pairs(sk_enc *c, const sk_val *q, const sk_val *r, sk_val j, sk_val *index)
{
    sk_builder *b = c->b;
    const uint32_t nu = c->t / c->w, most = ROW / nu, row = c->codes < most ? c->codes : most;
    sk_val best[4], second[4], near = SK_NONE;
    for (uint32_t u = 0; u < nu; u++) {
        best[u] = sk_ir_var(b, SK_LANE, sk_u32(c, 0x80000000u));
        second[u] = sk_ir_var(b, SK_LANE, c->zero); /* what a twin has */
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
        const sk_val some = sk_op2(c, SK_OP_FLT, sk_ir_f32(b, 0.0f), r[u]);
        const sk_val close = sk_op2(c, SK_OP_SLT, gap, sk_u32(c, doubt(c)));
        const sk_val here = sk_op2(c, SK_OP_PAND, some, close);
        near = near == SK_NONE ? here : sk_op2(c, SK_OP_POR, near, here);
        index[u] = sk_opk(c, SK_OP_XOR, sk_opk(c, SK_OP_AND, all, c->codes - 1), c->codes - 1);
    }
    return sk_ir_any(b, near);
}

/* ---- the groups of a page --------------------------------------------------- */

/* Byte of the pairs, or of the numbers of a row of scratch, of the tokens from t0 on. */
static sk_val pairs_at(sk_enc *c, sk_val t0) { return sk_times(c, t0, c->seg->g / 2 * 4); }
static sk_val tokens_at(sk_enc *c, sk_val j, sk_val t0)
{
    return sk_times(c, sk_op2(c, SK_OP_ADD, sk_times(c, j, c->spec->page), t0), 4);
}

/* The keys of the tokens from t0 on of the group at work: [dimension][u]. */
static sk_val keys_at(sk_enc *c, sk_val t0) { return sk_ir_ptr_add(c->b, c->key, t0, c->seg->g * 4); }
static sk_val load_key(sk_enc *c, sk_val t0, uint32_t i, uint32_t u)
{
    return sk_ir_ldv(c->b, SK_LD_F32, keys_at(c, t0), c->zero, (i * c->t + u * c->w) * 4);
}

/* What makes the numbers that `squares` is the sum of the squares of at most TOP long, and at
 * least half of that: a power of two, but for the last step of an integer. A root and a
 * quotient would be waited for. */
static sk_val scale_of(sk_enc *c, sk_val squares)
{
    const sk_val bits = sk_ir_1(c->b, SK_OP_BITS, sk_ir_1(c->b, SK_OP_FABS, squares));
    const sk_val above = sk_opk(c, SK_OP_ADD, bits, 3u << 23); /* twice 64 and the exponent of the root */
    const sk_val root = sk_opk(c, SK_OP_AND, sk_opk(c, SK_OP_SHR, above, 1), 0xffu << 23);
    /* 2^15 - 1 over 2^(exponent of the root) */
    return sk_ir_1(c->b, SK_OP_FLOAT, sk_op2(c, SK_OP_SUB, sk_u32(c, (205u << 23) + 0x7ffe00u), root));
}

/* Norms of the tokens from t0 on, into rad, and their keys, as they are and in pairs. */
static void make_pairs(sk_enc *c, sk_val j, sk_val t0)
{
    sk_builder *b = c->b;
    const uint32_t nu = c->t / c->w, g = c->seg->g;
    sk_val x[32];
    for (uint32_t u = 0; u < nu; u++) {
        for (uint32_t i = 0; i < g; i++) {
            x[i] = sk_encode_load_key(c, t0, u, sk_opk(c, SK_OP_ADD, sk_times(c, j, g), i));
            sk_ir_stv(b, keys_at(c, t0), c->zero, (i * c->t + u * c->w) * 4, x[i]);
        }
        const sk_val squares = sk_encode_squares(c, x, g), by = scale_of(c, squares);
        sk_ir_stv(b, c->rad, tokens_at(c, j, t0), u * c->w * 4, sk_ir_1(b, SK_OP_FSQRT, squares));
        for (uint32_t i = 0; i < g; i += 2)
            sk_ir_stv(b, c->two, pairs_at(c, t0), (i / 2 * nu + u) * c->w * 4, pair_of(c, x[i], x[i + 1], by));
    }
}

/* The codes that f32 finds. */
static void search_anew(sk_enc *c, sk_val j, sk_val t0, const sk_val *r, const sk_val *code)
{
    const uint32_t nu = c->t / c->w;
    sk_enc here = *c;
    sk_enc_span s = {.t0 = t0};
    sk_enc_found anew;
    here.key = keys_at(c, t0);
    for (uint32_t u = 0; u < nu; u++) s.r[u] = r[u];
    if (!sk_encode_long(c))
        for (uint32_t i = 0; i < c->seg->g * nu; i++) s.held[i] = load_key(c, t0, i / nu, i % nu);
    sk_encode_search_scores(&here, &s, j, &anew);
    for (uint32_t u = 0; u < nu; u++) sk_ir_set(c->b, code[u], anew.index[0][u]);
}

static void find_codes(sk_enc *c, sk_val j, sk_val t0)
{
    sk_builder *b = c->b;
    const uint32_t nu = c->t / c->w;
    sk_val q[64], r[4], index[4], code[4];
    for (uint32_t i = 0; i < c->seg->g / 2 * nu; i++)
        q[i] = sk_ir_ldv(b, SK_LD_U32, c->two, pairs_at(c, t0), i * c->w * 4);
    for (uint32_t u = 0; u < nu; u++) r[u] = sk_ir_ldv(b, SK_LD_F32, c->rad, tokens_at(c, j, t0), u * c->w * 4);
    const sk_val again = search_pairs(c, q, r, j, index);
    for (uint32_t u = 0; u < nu; u++) code[u] = sk_ir_var(b, SK_LANE, index[u]);
    sk_ir_if(b, again);
    search_anew(c, j, t0, r, code);
    sk_ir_end(b);
    for (uint32_t u = 0; u < nu; u++) {
        const sk_val some = sk_op2(c, SK_OP_FLT, sk_ir_f32(b, 0.0f), r[u]);
        sk_ir_stv(b, c->code, tokens_at(c, j, t0), u * c->w * 4, sk_pick(c, some, sk_ir_get(b, code[u]), c->zero));
    }
}

/* <k, c> of keys and the codewords `index`, in sums that do not wait for each other. */
static sk_val product(sk_enc *c, sk_val j, sk_val t0, sk_val index, uint32_t u)
{
    const uint32_t g = c->seg->g, sums = g < 8 ? g / 2 : 4;
    sk_val sum[4];
    for (uint32_t i = 0; i < g; i++) {
        const sk_val x = load_key(c, t0, i, u), y = sk_encode_chosen(c, j, i, index);
        sum[i % sums] = i < sums ? sk_op2(c, SK_OP_FMUL, x, y) : sk_ir_3(c->b, SK_OP_FMA, x, y, sum[i % sums]);
    }
    for (uint32_t i = 1; i < sums; i++) sum[0] = sk_op2(c, SK_OP_FADD, sum[0], sum[i]);
    return sum[0];
}

/* Norms become radii. */
static void fit(sk_enc *c, sk_val j, sk_val t0)
{
    sk_builder *b = c->b;
    for (uint32_t u = 0; u < c->t / c->w; u++) {
        const sk_val r = sk_ir_ldv(b, SK_LD_F32, c->rad, tokens_at(c, j, t0), u * c->w * 4);
        const sk_val code = sk_ir_ldv(b, SK_LD_U32, c->code, tokens_at(c, j, t0), u * c->w * 4);
        const sk_val dot = product(c, j, t0, code, u), norm = sk_encode_chosen_norm(c, j, code);
        sk_ir_stv(b, c->rad, tokens_at(c, j, t0), u * c->w * 4, sk_encode_fit(c, dot, norm, r));
    }
}

void sk_encode_dots(sk_enc *c)
{
    sk_builder *b = c->b;
    const uint32_t page = c->spec->page;
    const sk_val j = sk_ir_for(b, c->zero, sk_u32(c, c->to->groups), 1);
    sk_val t0 = sk_ir_for(b, c->zero, sk_u32(c, page), c->t);
    sk_encode_ask_dst(c, t0, j);
    make_pairs(c, j, t0);
    sk_ir_end(b);
    t0 = sk_ir_for(b, c->zero, sk_u32(c, page), c->t);
    sk_encode_ask_next(c, t0, j);
    find_codes(c, j, t0);
    sk_ir_end(b);
    t0 = sk_ir_for(b, c->zero, sk_u32(c, page), c->t);
    fit(c, j, t0);
    sk_ir_end(b);
    sk_ir_end(b);
}
