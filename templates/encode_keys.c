/* encode_keys.c - the coding of keys (design, section 3): lanes are tokens.
 * Where span = group the code is the one with the largest inner product, else
 * the nearest to k / r; strict comparison in rising order gives ties to the
 * lowest index. The radius is the least-squares one for the chosen codewords,
 * <k, c> / <c, c> over the span, never negative. */
#include <math.h>

#include "encode.h"

/* ---- codebook into f32, once per page ----------------------------------- */

/* Squared norms of W codewords at once, over groups. */
static void norms_in_turns(sk_enc *c, uint32_t groups)
{
    sk_builder *b = c->b;
    const uint32_t es = c->direct ? 2 : 4, n = groups * c->codes;
    const sk_val i0 = sk_op2(c, SK_OP_ADD, sk_enc_turns(c, n, c->w), c->lane);
    const sk_val inside = sk_opk(c, SK_OP_ULT, i0, n), code = sk_opk(c, SK_OP_AND, i0, c->codes - 1);
    const sk_val from = sk_times(c, sk_opk(c, SK_OP_SHR, i0, c->seg->b), c->seg->g * c->codes);
    const sk_val at = sk_times(c, sk_op2(c, SK_OP_ADD, from, code), es);
    sk_val sum = sk_ir_f32(b, 0.0f);
    for (uint32_t i = 0; i < c->seg->g; i++) {
        const sk_val y = sk_ir_ldg(b, c->direct ? SK_LD_F16 : SK_LD_F32, c->direct ? c->words : c->cb, at,
                                   i * c->codes * es, inside);
        sum = sk_ir_3(b, SK_OP_FMA, y, y, sum);
    }
    sk_ir_stg(b, c->n2, sk_times(c, i0, 4), 0, sum, inside);
    sk_ir_end(b);
    sk_enc_sync(c);
}

static void load_codebook(sk_enc *c, uint32_t groups)
{
    sk_builder *b = c->b;
    if (!c->direct) {
        const sk_val e = sk_enc_turns(c, c->to->dims * c->codes, c->w);
        const sk_val x = sk_ir_ldv(b, SK_LD_F16, c->words, sk_times(c, e, 2), 0);
        sk_ir_stv(b, c->cb, sk_times(c, e, 4), 0, x);
        sk_ir_end(b);
        sk_enc_sync(c);
    }
    if (c->gpu) {
        norms_in_turns(c, groups);
        return;
    }
    const sk_val j = sk_ir_for(b, c->zero, sk_u32(c, groups), 1);
    const sk_val from = sk_times(c, j, c->seg->g * c->codes * 4);
    const sk_val c0 = sk_ir_for(b, c->zero, sk_u32(c, c->codes), c->w);
    const sk_val at = sk_times(c, c0, 4);
    sk_val sum = sk_ir_f32(b, 0.0f);
    for (uint32_t i = 0; i < c->seg->g; i++) {
        const sk_val y =
            sk_ir_ldv(b, SK_LD_F32, c->cb, sk_op2(c, SK_OP_ADD, from, at), i * c->codes * 4);
        sum = sk_ir_3(b, SK_OP_FMA, y, y, sum);
    }
    const sk_val row = sk_times(c, j, c->codes * 4);
    sk_ir_stv(b, c->n2, sk_op2(c, SK_OP_ADD, row, at), 0, sum);
    sk_ir_end(b);
    sk_ir_end(b);
}

/* Where codeword `code` of group j begins, and element i of the one there. */
static sk_val codeword_at(sk_enc *c, sk_val j, sk_val code)
{
    const uint32_t es = c->direct ? 2 : 4;
    const sk_val row = sk_times(c, j, c->seg->g * c->codes * es), at = sk_times(c, code, es);
    return sk_op2(c, SK_OP_ADD, row, at);
}
static sk_val codeword(sk_enc *c, sk_val at, uint32_t i)
{
    if (c->direct) return sk_ir_ldu(c->b, SK_LD_F16, c->words, at, i * c->codes * 2);
    return sk_ir_ldu(c->b, SK_LD_F32, c->cb, at, i * c->codes * 4);
}

/* ---- keys of a chunk ---------------------------------------------------- */

/* The dimension of the model's key that is dimension d of the coded segment. A
 * permutation that points beyond the head reads its last dimension. */
static sk_val model_dim(sk_enc *c, sk_val d)
{
    if (c->to->dim0 > 0) d = sk_opk(c, SK_OP_ADD, d, c->to->dim0);
    const uint32_t order = sk_codebook_permutation_off(c->spec);
    if (order == SK_NO_FIELD) return d;
    const sk_val from = sk_ir_ldu(c->b, SK_LD_U32, c->book, sk_times(c, d, 4), order);
    return sk_opk(c, SK_OP_UMIN, from, c->spec->d - 1);
}

/* That dimension of vector u of the tokens from t0 on, with the mean off; zero beyond
 * count. */
static sk_val load_key(sk_enc *c, sk_val t0, uint32_t u, sk_val from)
{
    sk_builder *b = c->b;
    const sk_ld_kind kind = sk_rows_key_kind(c->spec->tier[1].seg[0].kind);
    const uint32_t es = sk_ld_bytes(kind), mean = sk_codebook_mean_off(c->spec);
    sk_val t = sk_opk(c, SK_OP_ADD, t0, u * c->w);
    if (c->gpu) t = sk_op2(c, SK_OP_ADD, t, c->lane); /* W tokens are two rows of 16 */
    const sk_val group = sk_times(c, sk_opk(c, SK_OP_SHR, t, 4), c->spec->d);
    const sk_val row = sk_times(c, sk_op2(c, SK_OP_ADD, group, from), 16 * es);
    const sk_val col = sk_times(c, sk_opk(c, SK_OP_AND, t, 15), es);
    const sk_val at = sk_op2(c, SK_OP_ADD, row, col);
    const sk_val used = sk_op2(c, SK_OP_ULT, c->gpu ? t : sk_op2(c, SK_OP_ADD, t, c->lane), c->count);
    sk_val x = c->gpu ? sk_ir_ldg(b, kind, c->src_page, at, c->src.seg[0].key_off, used)
                      : sk_ir_ldv(b, kind, c->src_page, at, c->src.seg[0].key_off);
    if (mean != SK_NO_FIELD)
        x = sk_op2(c, SK_OP_FSUB, x, sk_ir_ldu(b, SK_LD_F32, c->book, sk_times(c, from, 4), mean));
    return sk_pick(c, used, x, sk_ir_f32(b, 0.0f));
}

/* Norms r[u] of span p of T tokens; on a CPU its keys are in kn from then on. */
static void load_span(sk_enc *c, const sk_seg_layout *lay, sk_val t0, sk_val span, sk_val *r)
{
    sk_builder *b = c->b;
    const uint32_t nu = c->t / c->w;
    sk_val ss[4];
    for (uint32_t u = 0; u < nu; u++) ss[u] = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f));
    const sk_val first = sk_times(c, span, lay->span_dims);
    const sk_val i = sk_ir_for(b, c->zero, sk_u32(c, lay->span_dims), 1);
    const sk_val d = sk_op2(c, SK_OP_ADD, first, i), from = model_dim(c, d);
    for (uint32_t u = 0; u < nu; u++) {
        const sk_val x = load_key(c, t0, u, from);
        if (!c->gpu) sk_ir_stv(b, c->kn, sk_times(c, d, c->t * 4), u * c->w * 4, x);
        sk_ir_set(b, ss[u], sk_ir_3(b, SK_OP_FMA, x, x, sk_ir_get(b, ss[u])));
    }
    sk_ir_end(b);
    for (uint32_t u = 0; u < nu; u++) r[u] = sk_ir_1(b, SK_OP_FSQRT, sk_ir_get(b, ss[u]));
}

/* 1 / r, 0 where r is 0. */
static void invert_radii(sk_enc *c, const sk_val *r, sk_val *inv)
{
    sk_builder *b = c->b;
    const sk_val zero = sk_ir_f32(b, 0.0f);
    for (uint32_t u = 0; u < c->t / c->w; u++) {
        const sk_val some = sk_op2(c, SK_OP_FLT, zero, r[u]);
        inv[u] = sk_pick(c, some, sk_op2(c, SK_OP_FDIV, sk_ir_f32(b, 1.0f), r[u]), zero);
    }
}

/* kn of span p times inv. */
static void normalise_span(sk_enc *c, const sk_seg_layout *lay, sk_val span, const sk_val *inv)
{
    sk_builder *b = c->b;
    const sk_val first = sk_times(c, span, lay->span_dims);
    const sk_val i = sk_ir_for(b, c->zero, sk_u32(c, lay->span_dims), 1);
    const sk_val at = sk_times(c, sk_op2(c, SK_OP_ADD, first, i), c->t * 4);
    for (uint32_t u = 0; u < c->t / c->w; u++) {
        const sk_val x = sk_ir_ldv(b, SK_LD_F32, c->kn, at, u * c->w * 4);
        sk_ir_stv(b, c->kn, at, u * c->w * 4, sk_op2(c, SK_OP_FMUL, x, inv[u]));
    }
    sk_ir_end(b);
}

/* A span of T tokens under coding. */
typedef struct span_at {
    sk_val t0;
    bool free_vectors;      /* it holds several groups */
    sk_val r[4], inv[4];    /* norms; inv: where vectors are free */
    sk_val num[4], den[4];  /* variables: sums of <k, c> and <c, c> */
    sk_val held[64];        /* GPU: keys of the group at work, [dim][u] */
} span_at;

static void hold_group(sk_enc *c, span_at *s, sk_val j)
{
    const uint32_t nu = c->t / c->w;
    for (uint32_t i = 0; i < c->seg->g; i++) {
        const sk_val d = sk_opk(c, SK_OP_ADD, sk_times(c, j, c->seg->g), i), from = model_dim(c, d);
        for (uint32_t u = 0; u < nu; u++) {
            const sk_val x = load_key(c, s->t0, u, from);
            s->held[i * nu + u] = s->free_vectors ? sk_op2(c, SK_OP_FMUL, x, s->inv[u]) : x;
        }
    }
}

/* The running best of T tokens in one group. */
typedef struct best {
    sk_val score[4], index[4], n2[4]; /* variables */
} best;

/* Compares one codeword with all tokens of the chunk. */
static void try_code(sk_enc *c, const span_at *s, sk_val j, sk_val code, best *to)
{
    sk_builder *b = c->b;
    const uint32_t nu = c->t / c->w, g = c->seg->g;
    const sk_val row = sk_op2(c, SK_OP_ADD, sk_times(c, j, c->codes * 4), sk_times(c, code, 4));
    const sk_val n2 = sk_ir_ldu(b, SK_LD_F32, c->n2, row, 0);
    sk_val score[4];
    for (uint32_t u = 0; u < nu; u++)
        score[u] = s->free_vectors ? sk_op2(c, SK_OP_FMUL, n2, sk_ir_f32(b, -0.5f))
                                   : sk_ir_f32(b, 0.0f);
    const sk_val word = codeword_at(c, j, code), key = sk_times(c, j, g * c->t * 4);
    for (uint32_t i = 0; i < g; i++) {
        const sk_val cw = codeword(c, word, i);
        for (uint32_t u = 0; u < nu; u++) {
            const sk_val x = c->gpu ? s->held[i * nu + u]
                                    : sk_ir_ldv(b, SK_LD_F32, c->kn, key, (i * c->t + u * c->w) * 4);
            score[u] = sk_ir_3(b, SK_OP_FMA, x, cw, score[u]);
        }
    }
    for (uint32_t u = 0; u < nu; u++) {
        const sk_val old = sk_ir_get(b, to->score[u]);
        const sk_val more = sk_op2(c, SK_OP_FLT, old, score[u]);
        sk_ir_set(b, to->score[u], sk_pick(c, more, score[u], old));
        sk_ir_set(b, to->index[u], sk_pick(c, more, code, sk_ir_get(b, to->index[u])));
        sk_ir_set(b, to->n2[u], sk_pick(c, more, n2, sk_ir_get(b, to->n2[u])));
    }
}

/* Codes of group j for T tokens; adds <k, c> and <c, c> to num and den. */
static void code_group(sk_enc *c, span_at *s, sk_val j)
{
    sk_builder *b = c->b;
    const uint32_t nu = c->t / c->w;
    best top;
    if (c->gpu) hold_group(c, s, j);
    for (uint32_t u = 0; u < nu; u++) {
        top.score[u] = sk_ir_var(b, SK_LANE, sk_ir_f32(b, -INFINITY));
        top.index[u] = sk_ir_var(b, SK_LANE, c->zero);
        top.n2[u] = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f));
    }
    const sk_val code = sk_ir_for(b, c->zero, sk_u32(c, c->codes), 1);
    try_code(c, s, j, code, &top);
    sk_ir_end(b);
    const sk_val zero = sk_ir_f32(b, 0.0f);
    const sk_val row = sk_times(c, sk_op2(c, SK_OP_ADD, sk_times(c, j, c->spec->page), s->t0), 4);
    for (uint32_t u = 0; u < nu; u++) {
        const sk_val some = sk_op2(c, SK_OP_FLT, zero, s->r[u]);
        const sk_val n2 = sk_ir_get(b, top.n2[u]);
        sk_val dot = sk_ir_get(b, top.score[u]);
        if (s->free_vectors) {
            dot = sk_ir_3(b, SK_OP_FMA, n2, sk_ir_f32(b, 0.5f), dot);
            dot = sk_op2(c, SK_OP_FMUL, dot, s->r[u]);
        }
        const sk_val index = sk_pick(c, some, sk_ir_get(b, top.index[u]), c->zero);
        sk_enc_put_tokens(c, c->code, row, s->t0, u, index);
        sk_ir_set(b, s->num[u], sk_op2(c, SK_OP_FADD, sk_ir_get(b, s->num[u]), dot));
        sk_ir_set(b, s->den[u], sk_op2(c, SK_OP_FADD, sk_ir_get(b, s->den[u]), n2));
    }
}

static void code_span(sk_enc *c, const sk_seg_layout *lay, sk_val t0, sk_val span)
{
    sk_builder *b = c->b;
    const uint32_t nu = c->t / c->w, per_span = lay->span_dims / c->seg->g;
    const sk_val zero = sk_ir_f32(b, 0.0f);
    span_at s = {.t0 = t0, .free_vectors = per_span > 1};
    load_span(c, lay, t0, span, s.r);
    if (s.free_vectors) invert_radii(c, s.r, s.inv);
    if (s.free_vectors && !c->gpu) normalise_span(c, lay, span, s.inv);
    for (uint32_t u = 0; u < nu; u++) {
        s.num[u] = sk_ir_var(b, SK_LANE, zero);
        s.den[u] = sk_ir_var(b, SK_LANE, zero);
    }
    const sk_val i = sk_ir_for(b, c->zero, sk_u32(c, per_span), 1);
    const sk_val j = sk_op2(c, SK_OP_ADD, sk_times(c, span, per_span), i);
    code_group(c, &s, j);
    sk_ir_end(b);
    const sk_val row = sk_times(c, sk_op2(c, SK_OP_ADD, sk_times(c, span, c->spec->page), t0), 4);
    for (uint32_t u = 0; u < nu; u++) {
        const sk_val below = sk_ir_get(b, s.den[u]);
        const sk_val fit = sk_op2(c, SK_OP_FDIV, sk_ir_get(b, s.num[u]), below);
        const sk_val some = sk_op2(c, SK_OP_PAND, sk_op2(c, SK_OP_FLT, zero, below),
                                   sk_op2(c, SK_OP_FLT, zero, s.r[u]));
        sk_enc_put_tokens(c, c->rad, row, t0, u,
                          sk_pick(c, some, sk_op2(c, SK_OP_FMAX, fit, zero), zero));
    }
}

/* ---- fields ------------------------------------------------------------- */

/* Codes that do not divide a word straddle: every code that touches word i is
 * shifted into place, up or down; shifts beyond 31 bits vanish. */
void sk_encode_pack(sk_enc *c, sk_val from, uint32_t n, uint32_t bits, uint32_t to)
{
    sk_builder *b = c->b;
    const uint32_t words = (n * bits + 31) / 32, per_word = (31 + bits) / bits + (32 % bits ? 1 : 0);
    const sk_val w0 = sk_enc_turns(c, words, c->w);
    const sk_val word = sk_op2(c, SK_OP_ADD, w0, c->lane);
    const sk_val inside = sk_opk(c, SK_OP_ULT, word, words);
    const sk_val first = sk_opk(c, SK_OP_UDIV, sk_times(c, word, 32), bits);
    sk_val all = c->zero;
    for (uint32_t i = 0; i < per_word; i++) {
        const sk_val e = sk_opk(c, SK_OP_ADD, first, i);
        const sk_val x =
            sk_ir_ldg(b, SK_LD_U32, from, sk_times(c, e, 4), 0, sk_opk(c, SK_OP_ULT, e, n));
        const sk_val up = sk_op2(c, SK_OP_SUB, sk_times(c, e, bits), sk_times(c, word, 32));
        const sk_val down = sk_op2(c, SK_OP_SUB, c->zero, up);
        const sk_val above = sk_op2(c, SK_OP_SHL, x, up), below = sk_op2(c, SK_OP_SHR, x, down);
        all = sk_op2(c, SK_OP_OR, all, sk_op2(c, SK_OP_OR, above, below));
    }
    sk_ir_stg(b, c->dst_page, sk_times(c, word, 4), to, all, inside);
    sk_ir_end(b);
}

/* 4-bit codes of row 1, see layout.h: word i of a block of 64 tokens. */
static void pack_blocked(sk_enc *c, uint32_t n, uint32_t to)
{
    sk_builder *b = c->b;
    const sk_val w0 = sk_enc_turns(c, n / 8, c->w);
    const sk_val word = sk_op2(c, SK_OP_ADD, w0, c->lane);
    const bool whole = n / 8 % c->w == 0; /* not: 16 lanes, an odd number of blocks */
    const sk_val inside = whole ? SK_NONE : sk_opk(c, SK_OP_ULT, word, n / 8);
    const sk_val block = sk_times(c, sk_opk(c, SK_OP_SHR, word, 3), 64);
    const sk_val i = sk_opk(c, SK_OP_AND, word, 7);
    const sk_val high = sk_opk(c, SK_OP_SHR, i, 2); /* which 16 bytes */
    const sk_val half = sk_opk(c, SK_OP_AND, sk_opk(c, SK_OP_SHR, i, 1), 1);
    const sk_val pair = sk_opk(c, SK_OP_AND, i, 1);
    sk_val token = sk_op2(c, SK_OP_ADD, block, sk_times(c, half, 16));
    token = sk_op2(c, SK_OP_ADD, token, sk_times(c, high, 4));
    token = sk_op2(c, SK_OP_ADD, token, sk_times(c, pair, 2));
    sk_val all = c->zero;
    for (uint32_t nib = 0; nib < 8; nib++) {
        const uint32_t byte = nib / 2, add = 8 * (byte % 2) + byte / 2 + 32 * (nib % 2);
        const sk_val x = sk_ir_ldg(b, SK_LD_U32, c->code, sk_times(c, token, 4), add * 4, inside);
        all = sk_op2(c, SK_OP_OR, all, sk_opk(c, SK_OP_SHL, x, nib * 4));
    }
    if (whole)
        sk_ir_stv(b, c->dst_page, sk_times(c, w0, 4), to, all);
    else
        sk_ir_stg(b, c->dst_page, sk_times(c, word, 4), to, all, inside);
    sk_ir_end(b);
}

/* r_scale: the largest radius of the page, as f16. Radii become codes. */
static void scale_radii(sk_enc *c, uint32_t spans)
{
    sk_builder *b = c->b;
    const float top = (float)((1u << c->seg->rb) - 1);
    const sk_val span = sk_enc_turns(c, spans, 1);
    const sk_val row = sk_times(c, span, c->spec->page * 4);
    const sk_val most = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f));
    sk_val t0 = sk_ir_for(b, c->zero, sk_u32(c, c->spec->page), c->w);
    sk_val at = sk_op2(c, SK_OP_ADD, row, sk_times(c, t0, 4));
    const sk_val r = sk_enc_get_tokens(c, c->rad, at, t0);
    sk_ir_set(b, most, sk_op2(c, SK_OP_FMAX, sk_ir_get(b, most), r));
    sk_ir_end(b);
    sk_val scale = sk_ir_1(b, SK_OP_RED_FMAX, sk_ir_get(b, most));
    scale = sk_op2(c, SK_OP_FMIN, scale, sk_ir_f32(b, 65504.0f));
    const sk_val bits = sk_op2(c, SK_OP_PACKF16, scale, sk_ir_f32(b, 0.0f));
    const sk_val stored = sk_ir_1(b, SK_OP_F16LO, bits);
    sk_ir_stu(b, c->rs, sk_times(c, span, 4), 0, bits);
    const sk_val some = sk_op2(c, SK_OP_FLT, sk_ir_f32(b, 0.0f), stored);
    t0 = sk_ir_for(b, c->zero, sk_u32(c, c->spec->page), c->w);
    at = sk_op2(c, SK_OP_ADD, row, sk_times(c, t0, 4));
    const sk_val part = sk_op2(c, SK_OP_FDIV, sk_enc_get_tokens(c, c->rad, at, t0), stored);
    const sk_val code = sk_ir_1(b, SK_OP_F2I, sk_op2(c, SK_OP_FMUL, part, sk_ir_f32(b, top)));
    const sk_val cut = sk_opk(c, SK_OP_UMIN, code, (1u << c->seg->rb) - 1);
    sk_enc_put_tokens(c, c->rad, at, t0, 0, sk_pick(c, some, cut, c->zero));
    sk_ir_end(b);
    sk_ir_end(b);
}

/* rb = 16: radii as f16 bits. */
static void half_radii(sk_enc *c, uint32_t spans)
{
    sk_builder *b = c->b;
    const uint32_t n = spans * c->spec->page;
    const sk_val i = sk_enc_turns(c, n, c->w), at = sk_times(c, i, 4);
    const bool whole = n % c->w == 0;
    const sk_val off = sk_op2(c, SK_OP_ADD, at, sk_times(c, c->lane, 4));
    const sk_val inside = sk_opk(c, SK_OP_ULT, sk_op2(c, SK_OP_ADD, i, c->lane), n);
    const sk_val x = whole ? sk_ir_ldv(b, SK_LD_F32, c->rad, at, 0)
                           : sk_ir_ldg(b, SK_LD_F32, c->rad, off, 0, inside);
    const sk_val cut = sk_op2(c, SK_OP_FMIN, x, sk_ir_f32(b, 65504.0f));
    const sk_val bits = sk_op2(c, SK_OP_PACKF16, cut, sk_ir_f32(b, 0.0f));
    if (whole)
        sk_ir_stv(b, c->rad, at, 0, bits);
    else
        sk_ir_stg(b, c->rad, off, 0, bits, inside);
    sk_ir_end(b);
}

void sk_encode_coded_keys(sk_enc *c)
{
    const sk_seg_layout *lay = c->to;
    const uint32_t page = c->spec->page;
    sk_val t0, span;
    load_codebook(c, lay->groups);
    sk_enc_nest(c, page, c->t, lay->spans, 1, &t0, &span);
    code_span(c, lay, t0, span);
    sk_enc_nest_end(c);
    sk_enc_sync(c);
    if (c->seg->rb == 16)
        half_radii(c, lay->spans);
    else
        scale_radii(c, lay->spans);
    sk_enc_sync(c);
    if (c->seg->rb != 16) sk_encode_pack(c, c->rs, lay->spans, 16, lay->rscale_off);
    sk_encode_pack(c, c->rad, lay->spans * page, c->seg->rb, lay->radius_off);
    if (sk_layout_codes_blocked(c->spec, c->seg))
        pack_blocked(c, lay->groups * page, lay->code_off);
    else
        sk_encode_pack(c, c->code, lay->groups * page, c->seg->b, lay->code_off);
}
