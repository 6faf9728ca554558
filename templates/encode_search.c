/* encode_search.c - the codes of one group for a chunk of tokens: lanes are tokens, every
 * codeword is compared with all of them.
 *
 * Groups of one or two free dimensions have so few multiply-adds to a codeword that
 * finding the best costs more than they do: compares share their pipes, and indices
 * move along (Zen 4, good: six instructions a codeword, three cycles). There the distance
 * itself, which is not negative, carries the index in its low bits, and one integer
 * minimum does it all, ties to the lowest index with it. What the distance loses is a
 * share of itself, 2^-17 at most; of a score it would be a share of the key. The
 * codewords that were chosen are looked up afterwards. */
#include <math.h>

#include "encode.h"

/* ---- keys ------------------------------------------------------------------ */

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

/* Dimension `dim` of a segment s of the source, of the W tokens at t. */
static sk_val load_source(sk_enc *c, uint32_t s, sk_val dim, sk_val t, sk_val used)
{
    const sk_seg_layout *from = &c->src.seg[s];
    const sk_ld_kind kind = sk_rows_key_kind(c->spec->tier[1].seg[s].kind);
    const uint32_t es = sk_ld_bytes(kind);
    const sk_val group = sk_times(c, sk_opk(c, SK_OP_SHR, t, 4), from->dims);
    const sk_val row = sk_times(c, sk_op2(c, SK_OP_ADD, group, dim), 16 * es);
    const sk_val col = sk_times(c, sk_opk(c, SK_OP_AND, t, 15), es);
    const sk_val at = sk_op2(c, SK_OP_ADD, row, col);
    return c->gpu ? sk_ir_ldg(c->b, kind, c->src_page, at, from->key_off, used)
                  : sk_ir_ldv(c->b, kind, c->src_page, at, from->key_off);
}

/* Dimension `dim` of the model's key: which segment of the source it is in is known of
 * a segment that lies in one of them, and not permuted; else it is asked for each. */
static sk_val load_dim(sk_enc *c, sk_val dim, sk_val t, sk_val used)
{
    sk_builder *b = c->b;
    const bool inside = c->to->dim0 + c->to->dims <= c->from->dim0 + c->from->dims;
    if (c->src.nseg == 1) return load_source(c, 0, dim, t, used);
    if (inside && sk_codebook_permutation_off(c->spec) == SK_NO_FIELD)
        return load_source(c, (uint32_t)(c->from - c->src.seg),
                           sk_opk(c, SK_OP_SUB, dim, c->from->dim0), t, used);
    const sk_val x = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f));
    for (uint32_t s = 0; s < c->src.nseg; s++) {
        const sk_val at = sk_opk(c, SK_OP_SUB, dim, c->src.seg[s].dim0);
        sk_ir_if(b, sk_opk(c, SK_OP_ULT, at, c->src.seg[s].dims));
        sk_ir_set(b, x, load_source(c, s, at, t, used));
        sk_ir_end(b);
    }
    return sk_ir_get(b, x);
}

sk_val sk_encode_load_key(sk_enc *c, sk_val t0, uint32_t u, sk_val d)
{
    sk_builder *b = c->b;
    const sk_val from = model_dim(c, d);
    const uint32_t mean = sk_codebook_mean_off(c->spec);
    sk_val t = sk_opk(c, SK_OP_ADD, t0, u * c->w);
    if (c->gpu) t = sk_op2(c, SK_OP_ADD, t, c->lane); /* W tokens are two rows of 16 */
    const sk_val used = sk_op2(c, SK_OP_ULT, c->gpu ? t : sk_op2(c, SK_OP_ADD, t, c->lane), c->count);
    sk_val x = load_dim(c, from, t, used);
    if (mean != SK_NO_FIELD)
        x = sk_op2(c, SK_OP_FSUB, x, sk_ir_ldu(b, SK_LD_F32, c->book, sk_times(c, from, 4), mean));
    return sk_pick(c, used, x, sk_ir_f32(b, 0.0f));
}

/* Keys of the group at work, [dim][u], over their radius where vectors are free. */
static void hold_group(sk_enc *c, sk_enc_span *s, sk_val j)
{
    const uint32_t nu = c->t / c->w;
    for (uint32_t i = 0; i < c->seg->g; i++) {
        const sk_val d = sk_opk(c, SK_OP_ADD, sk_times(c, j, c->seg->g), i);
        for (uint32_t u = 0; u < nu; u++) {
            const sk_val x = sk_encode_load_key(c, s->t0, u, d);
            s->held[i * nu + u] = s->free_vectors ? sk_op2(c, SK_OP_FMUL, x, s->inv[u]) : x;
        }
    }
}

/* ---- codewords -------------------------------------------------------------- */

static uint32_t element_bytes(const sk_enc *c) { return c->direct ? 2 : 4; }

/* Element i of codeword `code` + k of group j. */
static sk_val codeword(sk_enc *c, sk_val j, sk_val code, uint32_t k, uint32_t i)
{
    const uint32_t es = element_bytes(c);
    const sk_val row = sk_times(c, j, c->seg->g * c->codes * es);
    const sk_val at = sk_op2(c, SK_OP_ADD, row, sk_times(c, code, es));
    const uint32_t disp = (i * c->codes + k) * es;
    if (c->direct) return sk_ir_ldu(c->b, SK_LD_F16, c->words, at, disp);
    return sk_ir_ldu(c->b, SK_LD_F32, c->cb, at, disp);
}

/* -<c, c> / 2 of codeword `code` + k. */
static sk_val half_norm(sk_enc *c, sk_val j, sk_val code, uint32_t k)
{
    const sk_val at = sk_op2(c, SK_OP_ADD, sk_times(c, j, c->codes * 4), sk_times(c, code, 4));
    return sk_ir_ldu(c->b, SK_LD_F32, c->hn, at, k * 4);
}

/* Element i of the codewords `index` of group j, a lane each: shuffles of up to four
 * vectors where that is all there are. */
static sk_val chosen(sk_enc *c, sk_val j, uint32_t i, sk_val index)
{
    sk_builder *b = c->b;
    const uint32_t n = c->codes / c->w, es = element_bytes(c), disp = i * c->codes * es;
    const sk_ld_kind kind = c->direct ? SK_LD_F16 : SK_LD_F32;
    const sk_val from = c->direct ? c->words : c->cb;
    const sk_val row = sk_times(c, j, c->seg->g * c->codes * es);
    if (c->gpu || n > 4 || n == 0)
        return sk_ir_ldg(b, kind, from, sk_op2(c, SK_OP_ADD, row, sk_times(c, index, es)), disp,
                         SK_NONE);
    sk_val x = SK_NONE;
    for (uint32_t v = n; v-- > 0;) {
        const sk_val table = sk_ir_ldv(b, kind, from, row, disp + v * c->w * es);
        const sk_val here = sk_ir_2(b, SK_OP_SHUFFLE, table, index);
        x = x == SK_NONE ? here : sk_pick(c, sk_opk(c, SK_OP_ULT, index, (v + 1) * c->w), here, x);
    }
    return x;
}

/* ---- by scores --------------------------------------------------------------- */

/* The running best of T tokens in one group. */
typedef struct best {
    sk_val score[4], index[4], hn[4]; /* variables */
} best;

/* Compares one codeword with all tokens of the chunk: <k, c>, of free vectors less
 * half of <c, c>. */
static void try_code(sk_enc *c, const sk_enc_span *s, sk_val j, sk_val code, best *to)
{
    sk_builder *b = c->b;
    const uint32_t nu = c->t / c->w;
    const sk_val hn = half_norm(c, j, code, 0);
    sk_val score[4];
    for (uint32_t u = 0; u < nu; u++) score[u] = s->free_vectors ? hn : sk_ir_f32(b, 0.0f);
    for (uint32_t i = 0; i < c->seg->g; i++) {
        const sk_val cw = codeword(c, j, code, 0, i);
        for (uint32_t u = 0; u < nu; u++)
            score[u] = sk_ir_3(b, SK_OP_FMA, s->held[i * nu + u], cw, score[u]);
    }
    for (uint32_t u = 0; u < nu; u++) {
        const sk_val old = sk_ir_get(b, to->score[u]);
        const sk_val more = sk_op2(c, SK_OP_FLT, old, score[u]);
        sk_ir_set(b, to->score[u], sk_pick(c, more, score[u], old));
        sk_ir_set(b, to->index[u], sk_pick(c, more, code, sk_ir_get(b, to->index[u])));
        sk_ir_set(b, to->hn[u], sk_pick(c, more, hn, sk_ir_get(b, to->hn[u])));
    }
}

static void search_scores(sk_enc *c, const sk_enc_span *s, sk_val j, sk_enc_found *to)
{
    sk_builder *b = c->b;
    const uint32_t nu = c->t / c->w;
    best top;
    for (uint32_t u = 0; u < nu; u++) {
        top.score[u] = sk_ir_var(b, SK_LANE, sk_ir_f32(b, -INFINITY));
        top.index[u] = sk_ir_var(b, SK_LANE, c->zero);
        top.hn[u] = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f));
    }
    const sk_val code = sk_ir_for(b, c->zero, sk_u32(c, c->codes), 1);
    try_code(c, s, j, code, &top);
    sk_ir_end(b);
    for (uint32_t u = 0; u < nu; u++) {
        const sk_val hn = sk_ir_get(b, top.hn[u]), score = sk_ir_get(b, top.score[u]);
        to->index[u] = sk_ir_get(b, top.index[u]);
        to->norm[u] = sk_op2(c, SK_OP_FMUL, hn, sk_ir_f32(b, -2.0f));
        to->dot[u] = s->free_vectors ? sk_op2(c, SK_OP_FSUB, score, hn) : score;
    }
}

/* ---- by distances ------------------------------------------------------------ */

#define NEAR_CODES 16u /* tried in a row; what they are counted by are constants */

static bool by_distance(const sk_enc *c, const sk_enc_span *s)
{
    return s->free_vectors && c->seg->g <= 2 && c->seg->b <= 6;
}

/* Distance of vector u to codeword `code` + k: its bits, without the sign, which a rounding
 * may set, and without those of the index. start: half of <k, k>. */
static sk_val distance_bits(sk_enc *c, const sk_enc_span *s, sk_val j, sk_val code, uint32_t k,
                            uint32_t u, sk_val start)
{
    sk_builder *b = c->b;
    const uint32_t nu = c->t / c->w;
    sk_val x;
    if (c->seg->g == 1) {
        x = sk_op2(c, SK_OP_FSUB, s->held[u], codeword(c, j, code, k, 0));
    } else { /* half of its square; keys are held negated */
        x = sk_op2(c, SK_OP_FSUB, start, half_norm(c, j, code, k));
        for (uint32_t i = 0; i < 2; i++)
            x = sk_ir_3(b, SK_OP_FMA, s->held[i * nu + u], codeword(c, j, code, k, i), x);
    }
    return sk_opk(c, SK_OP_AND, sk_ir_1(b, SK_OP_BITS, x), 0x7fffffffu & ~(c->codes - 1));
}

static void search_distances(sk_enc *c, sk_enc_span *s, sk_val j, sk_enc_found *to)
{
    sk_builder *b = c->b;
    const uint32_t nu = c->t / c->w, g = c->seg->g;
    const uint32_t row = c->codes < NEAR_CODES ? c->codes : NEAR_CODES;
    const sk_val zero = sk_ir_f32(b, 0.0f), half = sk_ir_f32(b, 0.5f);
    sk_val nearest[4], start[4] = {SK_NONE, SK_NONE, SK_NONE, SK_NONE};
    for (uint32_t u = 0; u < nu; u++) {
        nearest[u] = sk_ir_var(b, SK_LANE, sk_u32(c, UINT32_MAX));
        if (g == 1) continue;
        const sk_val y0 = s->held[u], y1 = s->held[nu + u];
        start[u] = sk_op2(c, SK_OP_FMUL, half,
                          sk_ir_3(b, SK_OP_FMA, y1, y1, sk_op2(c, SK_OP_FMUL, y0, y0)));
        for (uint32_t i = 0; i < 2; i++)
            s->held[i * nu + u] = sk_ir_1(b, SK_OP_FNEG, s->held[i * nu + u]);
    }
    const sk_val code = sk_ir_for(b, c->zero, sk_u32(c, c->codes), row);
    sk_val least[4];
    for (uint32_t k = 0; k < row; k++)
        for (uint32_t u = 0; u < nu; u++) {
            const sk_val d = distance_bits(c, s, j, code, k, u, start[u]);
            const sk_val at = sk_opk(c, SK_OP_OR, d, k);
            least[u] = k == 0 ? at : sk_op2(c, SK_OP_UMIN, least[u], at);
        }
    for (uint32_t u = 0; u < nu; u++) {
        const sk_val all = sk_op2(c, SK_OP_OR, least[u], code);
        sk_ir_set(b, nearest[u], sk_op2(c, SK_OP_UMIN, sk_ir_get(b, nearest[u]), all));
    }
    sk_ir_end(b);
    for (uint32_t u = 0; u < nu; u++) {
        to->index[u] = sk_opk(c, SK_OP_AND, sk_ir_get(b, nearest[u]), c->codes - 1);
        to->dot[u] = to->norm[u] = zero;
        for (uint32_t i = 0; i < g; i++) {
            const sk_val cw = chosen(c, j, i, to->index[u]), y = s->held[i * nu + u];
            const sk_val x = g == 1 ? y : sk_ir_1(b, SK_OP_FNEG, y);
            to->dot[u] = sk_ir_3(b, SK_OP_FMA, x, cw, to->dot[u]);
            to->norm[u] = sk_ir_3(b, SK_OP_FMA, cw, cw, to->norm[u]);
        }
    }
}

/* ---- either ------------------------------------------------------------------ */

void sk_encode_search(sk_enc *c, sk_enc_span *s, sk_val j, sk_enc_found *to)
{
    hold_group(c, s, j);
    if (by_distance(c, s))
        search_distances(c, s, j, to);
    else
        search_scores(c, s, j, to);
    for (uint32_t u = 0; u < c->t / c->w && s->free_vectors; u++)
        to->dot[u] = sk_op2(c, SK_OP_FMUL, to->dot[u], s->r[u]);
}
