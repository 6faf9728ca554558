/* tile_softmax.c - probabilities of a slab, and what runs along: base, sum, acc.
 *
 * A head's probabilities are 2^(logit - base), as halves. The base lies BELOW below
 * the largest logit seen when it was set, and is set again only when one comes that is
 * more than SLACK above it: so most slabs rescale nothing, the largest probability
 * lies between 2^BELOW and 2^SLACK, and halves keep full precision down to 2^-25 of
 * it and less: what sinks leave to the other tokens is theirs. Each head decides for
 * itself, so that no head's numbers depend on another's.
 *
 * Sums are made from the rounded probabilities, by a product with ones: what rounding
 * does to a token it does above and below the line. */
#include "tile_impl.h"

#include <math.h>

#define BELOW 11.0f
#define SLACK 15.0f
#define LN_2 0.69314718f

/* Logits in log2 units; tokens that are not valid: minus infinity. */
static void scale_and_mask(sk_tile *t, const sk_slab *s, sk_tile_logit x)
{
    sk_dec *c = t->c;
    sk_builder *b = c->b;
    const bool mean = s->seg->kind == SK_KEY_CODED && c->spec->book & SPHKV_BOOK_MEAN;
    const sk_val row = sk_tile_row(t, s), never = sk_ir_f32(b, -INFINITY);
    for (uint32_t i = 0; i < t->tiles; i++)
        for (uint32_t y = 0; y < 2; y++) {
            const sk_val token = sk_add(c, row, sk_k(c, sk_tile_base(t, s, i) + y));
            const sk_val valid = sk_ir_2(b, SK_OP_ULT, token, s->left);
            for (uint32_t n = 0; n < t->nt; n++)
                for (uint32_t e = 0; e < 2; e++) {
                    const sk_val old = x[n][i][2 * y + e], unit = t->unit_of[n][e];
                    const sk_val log2 = mean ? sk_fma(c, old, unit, t->mean_of[n][e])
                                             : sk_ir_2(b, SK_OP_FMUL, old, unit);
                    x[n][i][2 * y + e] = sk_sel(c, valid, log2, never);
                }
        }
}

/* op over the lanes that hold the same columns. */
static sk_val over_rows(sk_tile *t, sk_op op, sk_val x)
{
    for (uint32_t bit = 4; bit < 32; bit *= 2) {
        const sk_val other = sk_ir_2k(t->c->b, SK_OP_XOR, t->c->lane, bit);
        x = sk_ir_2(t->c->b, op, x, sk_shuf(t->c, x, other));
    }
    return x;
}

/* The largest logit of column e of columns n. */
static sk_val largest(sk_tile *t, sk_tile_logit x, uint32_t n, uint32_t e)
{
    sk_val most = SK_NONE;
    for (uint32_t i = 0; i < t->tiles; i++)
        for (uint32_t y = 0; y < 2; y++) {
            const sk_val one = x[n][i][2 * y + e];
            most = most == SK_NONE ? one : sk_ir_2(t->c->b, SK_OP_FMAX, most, one);
        }
    return over_rows(t, SK_OP_FMAX, most);
}

/* All of a quad times by[0], by[1] of its columns. */
static sk_val scale_columns(sk_tile *t, sk_val quad, const sk_val by[2])
{
    sk_val w[4];
    for (uint32_t k = 0; k < 4; k++)
        w[k] = sk_ir_2(t->c->b, SK_OP_FMUL, sk_quad_float(t, quad, k), by[k % 2]);
    return sk_ir_quad(t->c->b, w[0], w[1], w[2], w[3]);
}

/* Sets bases anew where they have to be, and brings along what is relative to them. */
static void rebase(sk_tile *t, sk_val most[2][2])
{
    sk_builder *b = t->c->b;
    sk_val move[2][2], any = SK_NONE;
    for (uint32_t n = 0; n < t->nt; n++)
        for (uint32_t e = 0; e < 2; e++) {
            const sk_val base = sk_ir_get(b, t->base[n][e]);
            const sk_val top = sk_ir_2(b, SK_OP_FADD, base, sk_ir_f32(b, SLACK));
            move[n][e] = sk_ir_2(b, SK_OP_FLT, top, most[n][e]);
            any = any == SK_NONE ? move[n][e] : sk_ir_2(b, SK_OP_POR, any, move[n][e]);
        }
    sk_ir_if(b, sk_ir_any(b, any));
    for (uint32_t n = 0; n < t->nt; n++) {
        sk_val alpha[2];
        for (uint32_t e = 0; e < 2; e++) {
            const sk_val old = sk_ir_get(b, t->base[n][e]), one = sk_ir_f32(b, 1.0f);
            const sk_val lower = sk_ir_2(b, SK_OP_FSUB, most[n][e], sk_ir_f32(b, BELOW));
            alpha[e] = sk_ir_exp2(b, sk_ir_2(b, SK_OP_FSUB, old, lower), false);
            alpha[e] = sk_sel(t->c, move[n][e], alpha[e], one);
            sk_ir_set(b, t->base[n][e], sk_sel(t->c, move[n][e], lower, old));
        }
        sk_ir_set(b, t->sum[n], scale_columns(t, sk_ir_get(b, t->sum[n]), alpha));
        for (uint32_t i = 0; i < t->blocks; i++)
            sk_ir_set(b, t->acc[n][i], scale_columns(t, sk_ir_get(b, t->acc[n][i]), alpha));
    }
    sk_ir_end(b);
}

/* Rows g and g + 8 of two columns, packed by row, as words b0, b1 of the value product. */
static void turn(sk_tile *t, sk_val even, sk_val odd, sk_val out[2])
{
    const sk_val x = sk_ir_movm(t->c->b, even), y = sk_ir_movm(t->c->b, odd);
    out[0] = sk_prmt(t, x, y, 0x5410);
    out[1] = sk_prmt(t, x, y, 0x7632);
}

/* Factors of one tile; p: probabilities as x. */
static void tile_factors(sk_tile *t, const sk_val p[4], bool bf16, sk_val out[2], sk_val low[2])
{
    sk_dec *c = t->c;
    sk_builder *b = c->b;
    sk_val high[2], rest[2];
    for (uint32_t y = 0; y < 2; y++) {
        high[y] = sk_ir_2(b, bf16 ? SK_OP_PACKBF16 : SK_OP_PACKF16, p[2 * y], p[2 * y + 1]);
        if (!bf16) continue;
        const sk_val x0 = sk_ir_1(b, SK_OP_FLOAT, sk_shl(c, high[y], 16));
        const sk_val x1 = sk_ir_1(b, SK_OP_FLOAT, sk_and(c, high[y], 0xffff0000u));
        rest[y] = sk_ir_2(b, SK_OP_PACKBF16, sk_ir_2(b, SK_OP_FSUB, p[2 * y], x0),
                          sk_ir_2(b, SK_OP_FSUB, p[2 * y + 1], x1));
    }
    turn(t, high[0], high[1], out);
    if (bf16) turn(t, rest[0], rest[1], low);
}

/* The slab's sums, every row of them the same. */
static sk_val sums(sk_tile *t, const sk_tile_probs *p, uint32_t n, bool bf16)
{
    sk_builder *b = t->c->b;
    const sk_val one = sk_k(t->c, bf16 ? 0x3f803f80u : 0x3c003c00u);
    const sk_val ones = sk_ir_quad(b, one, one, one, one);
    sk_val sum = sk_zero_quad(t);
    for (uint32_t i = 0; i < t->tiles; i++) {
        if (bf16) sum = sk_ir_mma(b, ones, p->low[n][i][0], p->low[n][i][1], sum, true);
        sum = sk_ir_mma(b, ones, p->b[n][i][0], p->b[n][i][1], sum, bf16);
    }
    return sum;
}

/* The pair of the slab's own logits joins the page's. */
static void page_slab(sk_tile *t, sk_tile_logit x, sk_val most[2][2])
{
    sk_builder *b = t->c->b;
    sk_ir_if(b, t->wants_ml);
    for (uint32_t n = 0; n < t->nt; n++)
        for (uint32_t e = 0; e < 2; e++) {
            sk_val l = SK_NONE;
            for (uint32_t i = 0; i < 2 * t->tiles; i++) {
                const sk_val gap = sk_ir_2(b, SK_OP_FSUB, x[n][i / 2][i % 2 * 2 + e], most[n][e]);
                const sk_val p = sk_ir_exp2(b, gap, false);
                l = i == 0 ? p : sk_ir_2(b, SK_OP_FADD, l, p);
            }
            l = over_rows(t, SK_OP_FADD, l);
            const sk_val old = sk_ir_get(b, t->page_m[n][e]);
            const sk_val m = sk_ir_2(b, SK_OP_FMAX, old, most[n][e]);
            const sk_val keep = sk_ir_exp2(b, sk_ir_2(b, SK_OP_FSUB, old, m), false);
            const sk_val join = sk_ir_exp2(b, sk_ir_2(b, SK_OP_FSUB, most[n][e], m), false);
            const sk_val had = sk_ir_2(b, SK_OP_FMUL, sk_ir_get(b, t->page_l[n][e]), keep);
            sk_ir_set(b, t->page_l[n][e], sk_fma(t->c, l, join, had));
            sk_ir_set(b, t->page_m[n][e], m);
        }
    sk_ir_end(b);
}

void sk_tile_page_begin(sk_tile *t)
{
    for (uint32_t n = 0; n < t->nt; n++)
        for (uint32_t e = 0; e < 2; e++) {
            sk_ir_set(t->c->b, t->page_m[n][e], sk_ir_f32(t->c->b, -INFINITY));
            sk_ir_set(t->c->b, t->page_l[n][e], sk_ir_f32(t->c->b, 0.0f));
        }
}

void sk_tile_page_end(sk_tile *t, sk_val ref)
{
    sk_dec *c = t->c;
    sk_builder *b = c->b;
    const sk_val row = sk_add(c, sk_ir_2(b, SK_OP_MUL, ref, t->work->ml_step), t->work->ml_add);
    const sk_val to = sk_ir_ptr_add(b, t->work->ml, row, c->h * 8);
    const sk_val first = sk_ir_2k(b, SK_OP_ULT, c->lane, 4); /* g = 0 */
    for (uint32_t n = 0; n < t->nt; n++)
        for (uint32_t e = 0; e < 2; e++) {
            const sk_val head = sk_add(c, sk_shl(c, t->t, 1), sk_k(c, 8 * n + e));
            const sk_val some = sk_ir_2(b, SK_OP_PAND, first, sk_ir_2k(b, SK_OP_ULT, head, c->h));
            const sk_val m = sk_ir_2(b, SK_OP_FMUL, sk_ir_get(b, t->page_m[n][e]), sk_ir_f32(b, LN_2));
            sk_ir_stg(b, to, sk_mul(c, head, 8), 0, m, some);
            sk_ir_stg(b, to, sk_mul(c, head, 8), 4, sk_ir_get(b, t->page_l[n][e]), some);
        }
}

void sk_tile_softmax(sk_tile *t, const sk_slab *s, sk_tile_logit x, sk_tile_probs *p)
{
    sk_dec *c = t->c;
    sk_builder *b = c->b;
    const bool bf16 = c->spec->tier[s->tier].value == SK_VAL_BF16;
    const bool fast = c->spec->accuracy == SPHKV_FAST;
    sk_val most[2][2];
    scale_and_mask(t, s, x);
    for (uint32_t n = 0; n < t->nt; n++)
        for (uint32_t e = 0; e < 2; e++) most[n][e] = largest(t, x, n, e);
    rebase(t, most);
    page_slab(t, x, most);
    for (uint32_t n = 0; n < t->nt; n++) {
        const sk_val base[2] = {sk_ir_get(b, t->base[n][0]), sk_ir_get(b, t->base[n][1])};
        for (uint32_t i = 0; i < t->tiles; i++) {
            sk_val e[4];
            for (uint32_t k = 0; k < 4; k++)
                e[k] = sk_ir_exp2(b, sk_ir_2(b, SK_OP_FSUB, x[n][i][k], base[k % 2]), fast);
            tile_factors(t, e, bf16, p->b[n][i], p->low[n][i]);
        }
        p->slab_sum[n] = sums(t, p, n, bf16);
        sk_val all[4];
        const sk_val old = sk_ir_get(b, t->sum[n]);
        for (uint32_t k = 0; k < 4; k++)
            all[k] = sk_ir_2(b, SK_OP_FADD, sk_quad_float(t, old, k), sk_quad_float(t, p->slab_sum[n], k));
        sk_ir_set(b, t->sum[n], sk_ir_quad(b, all[0], all[1], all[2], all[3]));
    }
}
