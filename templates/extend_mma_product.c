/* extend_mma_product.c - what a warp does with a slab and its rows, 32 tokens a step: logits
 * by products; probabilities in registers, where they are factors of the next product as they
 * stand; output += probabilities times values.
 *
 * Probabilities are 2^(logit - base). A row's base is the largest logit when it was set, and
 * is set again only when one comes that is SLACK above it, so that most steps rescale
 * nothing. */
#include "extend_mma.h"

#include <math.h>

#define SLACK 8.0f

/* A step of a warp: logits, then probabilities, x[tile][columns][k], k as of the sums of a
 * product: rows g, g, g + 8, g + 8, columns 2t, 2t + 1. */
typedef struct step {
    sk_mma *m;
    const sk_mma_slab *slab;
    sk_val s0;                /* first token, of the slab */
    sk_val x[SK_MMA_ROWS][4][4];
} step;

static sk_val op(step *s, sk_op o, sk_val x, sk_val y) { return sk_ir_2(s->m->c->dec.b, o, x, y); }

sk_val sk_mma_turn(const sk_mma *x, sk_val channel)
{
    sk_dec *d = &x->c->dec;
    const sk_val low = sk_and(d, sk_shr(d, channel, 1), 3);
    if (x->slab < 64) return low;
    return sk_or(d, low, sk_shl(d, sk_and(d, channel, 1), 2));
}

/* sum + a times the words 2e, 2e + 1 of b, of numbers of one part or two. */
static sk_val multiply(const sk_mma *x, const sk_val a[2], const sk_val b[2], uint32_t e, sk_val sum)
{
    sk_builder *bld = x->c->dec.b;
    for (uint32_t p = x->parts; p-- > 0;) /* small ones first */
        for (uint32_t q = x->parts - p; q-- > 0;)
            sum = sk_ir_mma(bld, a[p], sk_ir_word(bld, b[q], 2 * e), sk_ir_word(bld, b[q], 2 * e + 1), sum, true);
    return sum;
}

/* ---- logits ---------------------------------------------------------------- */

/* Products of dimensions 32 j .. of all register tiles. */
static void logit_products(step *s, sk_val q_at, sk_val k_at, uint32_t j, sk_val sum[SK_MMA_ROWS][4])
{
    const sk_mma *m = s->m;
    sk_builder *b = m->c->dec.b;
    sk_val k[4][2];
    for (uint32_t i = 0; i < 4; i++)
        for (uint32_t p = 0; p < m->parts; p++)
            k[i][p] = sk_ir_ldq(b, m->k[p], k_at, (2 * i * m->row + 16 * j) * 4, SK_NONE);
    for (uint32_t n = 0; n < m->rows; n++) {
        sk_val a[2][2];
        for (uint32_t p = 0; p < m->parts; p++) {
            sk_val q[2];
            for (uint32_t y = 0; y < 2; y++)
                q[y] = sk_ir_ldq(b, m->q[p], q_at, ((16 * n + 8 * y) * m->row + 16 * j) * 4, SK_NONE);
            for (uint32_t e = 0; e < 2; e++)
                a[e][p] = sk_ir_quad(b, sk_ir_word(b, q[0], 2 * e), sk_ir_word(b, q[1], 2 * e),
                                     sk_ir_word(b, q[0], 2 * e + 1), sk_ir_word(b, q[1], 2 * e + 1));
        }
        for (uint32_t i = 0; i < 4; i++)
            for (uint32_t e = 0; e < 2; e++) sum[n][i] = multiply(m, a[e], k[i], e, sum[n][i]);
    }
}

static void logits(step *s)
{
    const sk_mma *m = s->m;
    sk_dec *d = &m->c->dec;
    sk_builder *b = d->b;
    const sk_val zero = sk_ir_f32(b, 0.0f);
    const sk_val chunk = sk_shl(d, m->t, 4);
    const sk_val token = sk_add(d, sk_shl(d, sk_shr(d, m->g, 1), 3), sk_and(d, m->g, 1));
    const sk_val k_at = sk_add(d, sk_mul(d, sk_add(d, s->s0, token), m->row * 4), chunk);
    const sk_val q_at = sk_add(d, sk_mul(d, sk_add(d, m->first, m->g), m->row * 4), chunk);
    sk_val sum[SK_MMA_ROWS][4];
    for (uint32_t n = 0; n < m->rows; n++)
        for (uint32_t i = 0; i < 4; i++) sum[n][i] = sk_ir_quad(b, zero, zero, zero, zero);
    for (uint32_t j = 0; 32 * j < d->d; j++) logit_products(s, q_at, k_at, j, sum);
    for (uint32_t n = 0; n < m->rows; n++)
        for (uint32_t i = 0; i < 16; i++)
            s->x[n][i / 4][i % 4] = sk_ir_1(b, SK_OP_FLOAT, sk_ir_word(b, sum[n][i / 4], i % 4));
}

/* ---- who is seen ------------------------------------------------------------- */

/* What a row sees of the slab: slots [begin, end), and where its query stands. */
typedef struct seen {
    sk_val begin, end, query;
} seen;

static sk_val row_word(const sk_mma *m, sk_val array, uint32_t n, uint32_t y)
{
    sk_dec *d = &m->c->dec;
    const sk_val row = sk_add(d, m->first, m->g);
    return sk_ir_ldg(d->b, SK_LD_U32, array, sk_shl(d, row, 2), (16 * n + 8 * y) * 4, SK_NONE);
}

/* The slot at a place of the list. */
static sk_val slot(const sk_mma *m, const sk_mma_slab *slab, sk_val place)
{
    sk_dec *d = &m->c->dec;
    const sk_val less = sk_ir_2(d->b, SK_OP_UMIN, place, slab->before);
    return sk_ir_2(d->b, SK_OP_UMIN, slab->count, sk_ir_2(d->b, SK_OP_SUB, place, less));
}

static seen row_seen(const sk_mma *m, const sk_mma_slab *slab, uint32_t n, uint32_t y)
{
    const sk_extend *c = m->c;
    if (sk_extend_by_position(c))
        return (seen){c->dec.zero, slab->count, row_word(m, c->where, n, y)};
    seen r = {c->dec.zero, slot(m, slab, row_word(m, c->sees, n, y)), SK_NONE};
    if (sk_extend_windowed(c)) r.begin = slot(m, slab, row_word(m, c->begins, n, y));
    return r;
}

/* A number of each of the lane's 8 tokens, 0 of those that do not count. */
static void token_words(step *s, sk_ld_kind kind, sk_val array, sk_val out[8])
{
    sk_dec *d = &s->m->c->dec;
    const sk_val first = sk_add(d, s->s0, sk_shl(d, s->m->t, 3));
    for (uint32_t i = 0; i < 8; i++) {
        const sk_val in = op(s, SK_OP_ULT, sk_add(d, first, sk_k(d, i)), s->slab->count);
        out[i] = sk_ir_ldg(d->b, kind, array, sk_shl(d, first, 2), 4 * i, in);
    }
}

/* Soft-cap and biases, where there are any. */
static void vary(step *s)
{
    sk_dec *d = &s->m->c->dec;
    sk_val bias[8];
    if (s->slab->bias != SK_NONE) token_words(s, SK_LD_F32, s->slab->bias, bias);
    for (uint32_t i = 0; i < 8; i++) {
        const sk_val add = s->slab->bias != SK_NONE ? sk_dec_bias_unit(d, bias[i]) : SK_NONE;
        for (uint32_t n = 0; n < s->m->rows; n++)
            for (uint32_t y = 0; y < 2; y++) {
                sk_val *x = &s->x[n][i / 2][2 * y + i % 2];
                *x = sk_dec_logit(d, *x, add);
            }
    }
}

/* Minus infinity of tokens that rows do not see. */
static void mask_rows(step *s, const seen r[SK_MMA_ROWS][2])
{
    sk_mma *m = s->m;
    sk_dec *d = &m->c->dec;
    const sk_val never = sk_ir_f32(d->b, -INFINITY), first = sk_add(d, s->s0, sk_shl(d, m->t, 3));
    const bool placed = !sk_extend_by_position(m->c);
    sk_val at[8];
    if (!placed) token_words(s, SK_LD_U32, s->slab->positions, at);
    for (uint32_t i = 0; i < 8; i++) {
        const sk_val token = sk_add(d, first, sk_k(d, i));
        for (uint32_t k = 0; k < 2 * m->rows; k++) {
            const seen *row = &r[k / 2][k % 2];
            sk_val *x = &s->x[k / 2][i / 2][2 * (k % 2) + i % 2];
            sk_val in = op(s, SK_OP_ULT, token, row->end);
            if (!placed) in = op(s, SK_OP_PAND, in, sk_dec_sees_position(d, at[i], row->query));
            if (sk_extend_windowed(m->c)) in = op(s, SK_OP_PAND, in, op(s, SK_OP_ULE, row->begin, token));
            *x = sk_sel(d, in, *x, never);
        }
    }
}

/* The same, where some row does not see all of the step. */
static void mask(step *s, const seen r[SK_MMA_ROWS][2])
{
    sk_mma *m = s->m;
    sk_dec *d = &m->c->dec;
    sk_builder *b = d->b;
    if (sk_extend_by_position(m->c)) {
        mask_rows(s, r);
        return;
    }
    const sk_val behind = sk_add(d, s->s0, sk_k(d, SK_MMA_STEP));
    sk_val some = SK_NONE, cell[SK_MMA_ROWS][16];
    for (uint32_t k = 0; k < 2 * m->rows; k++) {
        const seen *row = &r[k / 2][k % 2];
        sk_val not = op(s, SK_OP_ULT, row->end, behind);
        if (sk_extend_windowed(m->c)) not = op(s, SK_OP_POR, not, op(s, SK_OP_ULT, s->s0, row->begin));
        some = some == SK_NONE ? not : op(s, SK_OP_POR, some, not);
    }
    for (uint32_t k = 0; k < 16 * m->rows; k++)
        cell[k / 16][k % 16] = sk_ir_var(b, SK_LANE, s->x[k / 16][k % 16 / 4][k % 4]);
    sk_ir_if(b, sk_ir_any(b, some));
    mask_rows(s, r);
    for (uint32_t k = 0; k < 16 * m->rows; k++)
        sk_ir_set(b, cell[k / 16][k % 16], s->x[k / 16][k % 16 / 4][k % 4]);
    sk_ir_end(b);
    for (uint32_t k = 0; k < 16 * m->rows; k++)
        s->x[k / 16][k % 16 / 4][k % 4] = sk_ir_get(b, cell[k / 16][k % 16]);
}

/* ---- probabilities ------------------------------------------------------------ */

/* op over the lanes that share rows. */
static sk_val over_columns(step *s, sk_op o, sk_val x)
{
    sk_dec *d = &s->m->c->dec;
    for (uint32_t bit = 1; bit < 4; bit *= 2)
        x = op(s, o, x, sk_shuf(d, x, sk_ir_2k(d->b, SK_OP_XOR, d->lane, bit)));
    return x;
}

static sk_val largest(step *s, uint32_t n, uint32_t y)
{
    sk_val most = SK_NONE;
    for (uint32_t i = 0; i < 8; i++) {
        const sk_val x = s->x[n][i / 2][2 * y + i % 2];
        most = most == SK_NONE ? x : op(s, SK_OP_FMAX, most, x);
    }
    return over_columns(s, SK_OP_FMAX, most);
}

/* All that a row has is multiplied by alpha. */
static void rescale(step *s, uint32_t n, const sk_val alpha[2])
{
    sk_mma *m = s->m;
    sk_builder *b = m->c->dec.b;
    for (uint32_t y = 0; y < 2; y++)
        sk_ir_set(b, m->sum[n][y], op(s, SK_OP_FMUL, sk_ir_get(b, m->sum[n][y]), alpha[y]));
    for (uint32_t i = 0; 8 * i < m->c->dec.dv; i++) {
        const sk_val old = sk_ir_get(b, m->acc[n][i]);
        sk_val w[4];
        for (uint32_t k = 0; k < 4; k++)
            w[k] = op(s, SK_OP_FMUL, sk_ir_1(b, SK_OP_FLOAT, sk_ir_word(b, old, k)), alpha[k / 2]);
        sk_ir_set(b, m->acc[n][i], sk_ir_quad(b, w[0], w[1], w[2], w[3]));
    }
}

static void rebase(step *s)
{
    sk_mma *m = s->m;
    sk_dec *d = &m->c->dec;
    sk_builder *b = d->b;
    sk_val most[SK_MMA_ROWS][2], move[SK_MMA_ROWS][2], any = SK_NONE;
    for (uint32_t k = 0; k < 2 * m->rows; k++) {
        const uint32_t n = k / 2, y = k % 2;
        most[n][y] = largest(s, n, y);
        const sk_val top = op(s, SK_OP_FADD, sk_ir_get(b, m->base[n][y]), sk_ir_f32(b, SLACK));
        move[n][y] = op(s, SK_OP_FLT, top, most[n][y]);
        any = any == SK_NONE ? move[n][y] : op(s, SK_OP_POR, any, move[n][y]);
    }
    sk_ir_if(b, sk_ir_any(b, any));
    for (uint32_t n = 0; n < m->rows; n++) {
        sk_val alpha[2];
        for (uint32_t y = 0; y < 2; y++) {
            const sk_val old = sk_ir_get(b, m->base[n][y]), one = sk_ir_f32(b, 1.0f);
            const sk_val less = sk_ir_exp2(b, op(s, SK_OP_FSUB, old, most[n][y]), false);
            alpha[y] = sk_sel(d, move[n][y], less, one);
            sk_ir_set(b, m->base[n][y], sk_sel(d, move[n][y], most[n][y], old));
        }
        rescale(s, n, alpha);
    }
    sk_ir_end(b);
}

/* Factors of columns 2e, 2e + 1 of a register tile: two products' worth of one. */
static void factors(step *s, uint32_t n, uint32_t e, sk_val a[2])
{
    sk_mma *m = s->m;
    sk_dec *d = &m->c->dec;
    sk_val word[2][4];
    for (uint32_t k = 0; k < 4; k++) { /* rows g, g + 8 of one columns, then of the next */
        const sk_val *p = &s->x[n][2 * e + k / 2][2 * (k % 2)];
        word[0][k] = sk_ir_2(d->b, SK_OP_PACKBF16, p[0], p[1]);
        if (m->parts == 2) word[1][k] = sk_bf16_rest(d, p, word[0][k]);
    }
    for (uint32_t p = 0; p < m->parts; p++)
        a[p] = sk_ir_quad(d->b, word[p][0], word[p][1], word[p][2], word[p][3]);
}

/* Probabilities, and their sums: of rounded ones, where they are rounded to a part, so that
 * what rounding does to a token it does above and below the line. */
static void probabilities(step *s)
{
    sk_mma *m = s->m;
    sk_dec *d = &m->c->dec;
    sk_builder *b = d->b;
    const bool fast = d->spec->accuracy == SPHKV_FAST;
    const sk_val never = sk_ir_f32(b, -INFINITY), none = sk_ir_f32(b, 0.0f);
    for (uint32_t k = 0; k < 2 * m->rows; k++) {
        const uint32_t n = k / 2, y = k % 2;
        const sk_val base = sk_ir_get(b, m->base[n][y]);
        const sk_val from = sk_sel(d, op(s, SK_OP_FEQ, base, never), none, base);
        sk_val sum = sk_ir_get(b, m->sum[n][y]);
        for (uint32_t i = 0; i < 8; i++) {
            sk_val *x = &s->x[n][i / 2][2 * y + i % 2];
            *x = sk_ir_exp2(b, op(s, SK_OP_FSUB, *x, from), fast);
            if (m->parts == 1) {
                const sk_val word = sk_ir_2(b, SK_OP_PACKBF16, *x, *x);
                *x = sk_ir_1(b, SK_OP_FLOAT, sk_shl(d, word, 16));
            }
            sum = op(s, SK_OP_FADD, sum, *x);
        }
        sk_ir_set(b, m->sum[n][y], sum);
    }
}

/* ---- values ---------------------------------------------------------------- */

static void values(step *s)
{
    sk_mma *m = s->m;
    sk_dec *d = &m->c->dec;
    sk_builder *b = d->b;
    const sk_val place = op(s, SK_OP_XOR, sk_add(d, sk_shr(d, s->s0, 3), m->t), sk_mma_turn(m, m->g));
    const sk_val at = sk_add(d, sk_mul(d, m->g, 2 * m->slab), sk_shl(d, place, 4));
    sk_val a[SK_MMA_ROWS][2][2];
    for (uint32_t n = 0; n < m->rows; n++)
        for (uint32_t e = 0; e < 2; e++) factors(s, n, e, a[n][e]);
    for (uint32_t i = 0; 8 * i < d->dv; i++) {
        sk_val v[2];
        for (uint32_t p = 0; p < m->parts; p++)
            v[p] = sk_ir_ldq(b, m->v[p], at, 8 * i * 2 * m->slab, SK_NONE);
        for (uint32_t n = 0; n < m->rows; n++) {
            sk_val sum = sk_ir_get(b, m->acc[n][i]);
            for (uint32_t e = 0; e < 2; e++) sum = multiply(m, a[n][e], v, e, sum);
            sk_ir_set(b, m->acc[n][i], sum);
        }
    }
}

void sk_mma_products(sk_mma *m, const sk_mma_slab *slab)
{
    sk_dec *d = &m->c->dec;
    sk_builder *b = d->b;
    step s = {.m = m, .slab = slab};
    seen r[SK_MMA_ROWS][2];
    sk_val end = SK_NONE;
    for (uint32_t k = 0; k < 2 * m->rows; k++) {
        r[k / 2][k % 2] = row_seen(m, slab, k / 2, k % 2);
        const sk_val one = r[k / 2][k % 2].end;
        end = end == SK_NONE ? one : op(&s, SK_OP_UMAX, end, one);
    }
    s.s0 = sk_ir_for(b, d->zero, sk_ir_1(b, SK_OP_RED_UMAX, end), SK_MMA_STEP);
    logits(&s);
    vary(&s);
    mask(&s, r);
    rebase(&s);
    probabilities(&s);
    values(&s);
    sk_ir_end(b);
}
