/* extend_product.c - what attn_extend does with a rebuilt page, a register tile of rows
 * at a time: logits = queries times keys, lanes = tokens; softmax with a running
 * maximum; output = output * alpha + probabilities times values, lanes = channels.
 *
 * Both products keep rows x vectors sums in registers, load a vector of keys (values)
 * once for all rows and broadcast a number of each row to all vectors: one load in
 * three or so instructions, so that multiply-adds are what limits. Rows of a tile are
 * ordered by token: the last one sees the most, and where the first one sees the whole
 * page nothing is masked. */
#include "extend.h"

#include <math.h>

#define MOST_ROWS 16
#define MOST_VECTORS 4

/* A register tile, its first row. */
typedef struct row_tile {
    sk_val r0;
    const sk_extend_page *page;
    sk_val limit; /* slots of the page behind the last one that a row sees */
} row_tile;

/* rows x nv sums. `x` + x_step * k: nv vectors; `y` + 4 * k: a word of the first row,
 * y_row bytes from a row to the next. k from 0 to `end`. */
static void multiply(sk_extend *c, sk_val x, uint32_t x_step, uint32_t nv, sk_val y, uint32_t y_row,
                     sk_val end, sk_val acc[MOST_ROWS][MOST_VECTORS])
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_val k = sk_ir_for(b, d->zero, end, 1);
    const sk_val x_at = sk_mul(d, k, x_step), y_at = sk_mul(d, k, 4);
    const sk_ld_kind kind = c->each == 2 ? SK_LD_U32 : SK_LD_F32;
    sk_val v[MOST_VECTORS];
    for (uint32_t i = 0; i < nv; i++) v[i] = sk_ir_ldv(b, kind, x, x_at, i * d->w * 4);
    for (uint32_t j = 0; j < c->group; j++) {
        const sk_val one = sk_ir_ldu(b, kind, y, y_at, j * y_row);
        for (uint32_t i = 0; i < nv; i++) {
            const sk_val old = sk_ir_get(b, acc[j][i]);
            sk_ir_set(b, acc[j][i], c->each == 2 ? sk_ir_3(b, SK_OP_BDOT2, old, v[i], one)
                                                 : sk_fma(d, v[i], one, old));
        }
    }
    sk_ir_end(b);
}

/* ---- logits -------------------------------------------------------------- */

static void logits(sk_extend *c, const row_tile *t)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const uint32_t nv = c->tokens_panel / d->w;
    const sk_val q = sk_ir_ptr_add(b, d->qs, t->r0, c->q_words * 4);
    const sk_val t0 = sk_ir_for(b, d->zero, t->limit, c->tokens_panel);
    const uint32_t words = d->d / c->each;
    const sk_val x = sk_ir_ptr_add(b, c->kx, t0, words * 4);
    sk_val acc[MOST_ROWS][MOST_VECTORS];
    for (uint32_t j = 0; j < c->group; j++)
        for (uint32_t i = 0; i < nv; i++) acc[j][i] = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f));
    multiply(c, x, c->tokens_panel * 4, nv, q, c->q_words * 4, sk_k(d, words), acc);
    for (uint32_t i = 0; i < nv; i++) {
        const sk_val add = sk_dec_bias(d, t->page->bias, sk_add(d, t0, sk_k(d, i * d->w)));
        for (uint32_t j = 0; j < c->group; j++)
            sk_ir_stv(b, d->s, sk_mul(d, t0, 4), (j * d->tp + i * d->w) * 4,
                      sk_dec_logit(d, sk_ir_get(b, acc[j][i]), add));
    }
    sk_ir_end(b);
}

/* ---- softmax ------------------------------------------------------------- */

/* Logits of row j, vector u of the tokens from t0 on; seen: NULL where all are. */
static sk_val load_logits(sk_extend *c, sk_val t0, uint32_t u, uint32_t j, const sk_extend_seen *seen)
{
    sk_dec *d = &c->dec;
    const uint32_t disp = (j * d->tp + u * d->w) * 4;
    const sk_val x = sk_ir_ldv(d->b, SK_LD_F32, d->s, sk_mul(d, t0, 4), disp);
    if (!seen) return x;
    const sk_val in = sk_extend_is_seen(c, seen, sk_add(d, t0, sk_k(d, u * d->w)));
    return sk_sel(d, in, x, sk_ir_f32(d->b, -INFINITY));
}

/* The new maximum of a row; what its sums shrink by, where it is kept; and what its
 * logits are relative to: 0 while it sees no token. */
static sk_val raise_top(sk_extend *c, const row_tile *t, uint32_t j, sk_val page_top)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_val at = sk_mul(d, t->r0, 4), none = sk_ir_f32(b, -INFINITY);
    const sk_val old = sk_ir_ldu(b, SK_LD_F32, c->top, at, j * 4);
    const sk_val top = sk_ir_2(b, SK_OP_FMAX, old, page_top);
    const sk_val base = sk_sel(d, sk_ir_2(b, SK_OP_FEQ, top, none), sk_ir_f32(b, 0.0f), top);
    const sk_val alpha = sk_ir_exp2(b, sk_ir_2(b, SK_OP_FSUB, old, base), false);
    sk_ir_stu(b, c->top, at, j * 4, top);
    sk_ir_stu(b, c->alpha, d->zero, j * 4, alpha);
    return base;
}

static sk_val probability(sk_extend *c, sk_val t0, uint32_t u, uint32_t j, sk_val base,
                          const sk_extend_seen *seen)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_val x = load_logits(c, t0, u, j, seen);
    const bool fast = d->spec->accuracy == SPHKV_FAST;
    const sk_val p = sk_ir_exp2(b, sk_ir_2(b, SK_OP_FSUB, x, base), fast);
    if (!seen) return p;
    const sk_val in = sk_extend_is_seen(c, seen, sk_add(d, t0, sk_k(d, u * d->w)));
    return sk_sel(d, in, p, sk_ir_f32(b, 0.0f));
}

/* s becomes probabilities relative to the maximum so far; 0 for tokens that a row
 * does not see. seen: of each row, NULL where all see everything; end: tokens. */
static void softmax(sk_extend *c, const row_tile *t, const sk_extend_seen *seen, sk_val end)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    sk_val var[MOST_ROWS], base[MOST_ROWS];
    for (uint32_t j = 0; j < c->group; j++) var[j] = sk_ir_var(b, SK_LANE, sk_ir_f32(b, -INFINITY));
    sk_val t0 = sk_ir_for(b, d->zero, end, d->w);
    for (uint32_t j = 0; j < c->group; j++)
        sk_ir_set(b, var[j], sk_ir_2(b, SK_OP_FMAX, sk_ir_get(b, var[j]),
                                     load_logits(c, t0, 0, j, seen ? &seen[j] : NULL)));
    sk_ir_end(b);
    for (uint32_t j = 0; j < c->group; j++) {
        base[j] = raise_top(c, t, j, sk_ir_1(b, SK_OP_RED_FMAX, sk_ir_get(b, var[j])));
        var[j] = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f));
    }
    t0 = sk_ir_for(b, d->zero, end, d->w * c->each);
    for (uint32_t j = 0; j < c->group; j++) {
        sk_val p[2];
        for (uint32_t u = 0; u < c->each; u++) {
            p[u] = probability(c, t0, u, j, base[j], seen ? &seen[j] : NULL);
            sk_ir_set(b, var[j], sk_ir_2(b, SK_OP_FADD, sk_ir_get(b, var[j]), p[u]));
        }
        sk_ir_stv(b, d->s, sk_mul(d, t0, 4 / c->each), j * d->tp * 4,
                  c->each == 2 ? sk_ir_2(b, SK_OP_PACKBF16, p[0], p[1]) : p[0]);
    }
    sk_ir_end(b);
    const sk_val at = sk_mul(d, t->r0, d->w * 4);
    for (uint32_t j = 0; j < c->group; j++) {
        const sk_val alpha = sk_ir_ldu(b, SK_LD_F32, c->alpha, d->zero, j * 4);
        const sk_val old = sk_ir_ldv(b, SK_LD_F32, c->sums, at, j * d->w * 4);
        sk_ir_stv(b, c->sums, at, j * d->w * 4, sk_fma(d, old, alpha, sk_ir_get(b, var[j])));
    }
}

/* ---- values -------------------------------------------------------------- */

static void values(sk_extend *c, const row_tile *t)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const uint32_t nv = c->channels_panel / d->w;
    const sk_val to = sk_ir_ptr_add(b, c->dec.acc, t->r0, d->cp * 4);
    const sk_val c0 = sk_ir_for(b, d->zero, sk_k(d, d->cp), c->channels_panel), at = sk_mul(d, c0, 4);
    const sk_val x = sk_ir_ptr_add(b, c->vx, c0, d->tp / c->each * 4);
    sk_val acc[MOST_ROWS][MOST_VECTORS];
    for (uint32_t j = 0; j < c->group; j++) {
        const sk_val alpha = sk_ir_ldu(b, SK_LD_F32, c->alpha, d->zero, j * 4);
        for (uint32_t i = 0; i < nv; i++) {
            const sk_val old = sk_ir_ldv(b, SK_LD_F32, to, at, (j * d->cp + i * d->w) * 4);
            acc[j][i] = sk_ir_var(b, SK_LANE, sk_ir_2(b, SK_OP_FMUL, old, alpha));
        }
    }
    multiply(c, x, c->channels_panel * 4, nv, d->s, d->tp * 4, sk_extend_words(c, t->limit), acc);
    for (uint32_t j = 0; j < c->group; j++)
        for (uint32_t i = 0; i < nv; i++)
            sk_ir_stv(b, to, at, (j * d->cp + i * d->w) * 4, sk_ir_get(b, acc[j][i]));
    sk_ir_end(b);
}

void sk_extend_rows(sk_extend *c, sk_val r0, const sk_extend_page *page)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const row_tile t = {.r0 = r0, .page = page, .limit = sk_extend_tile_end(c, page, r0)};
    sk_extend_seen seen[MOST_ROWS];
    sk_ir_if(b, sk_ir_2(b, SK_OP_NE, t.limit, d->zero));
    logits(c, &t);
    sk_ir_if(b, sk_extend_tile_whole(c, page, r0));
    softmax(c, &t, NULL, sk_k(d, d->p));
    sk_ir_else(b);
    for (uint32_t j = 0; j < c->group; j++) seen[j] = sk_extend_row_seen(c, page, r0, j);
    softmax(c, &t, seen, t.limit);
    sk_ir_end(b);
    values(c, &t);
    sk_ir_end(b);
}
