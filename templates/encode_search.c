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

sk_val sk_encode_kept(sk_enc *c, sk_val at, uint32_t i, uint32_t u)
{
    return sk_ir_ldv(c->b, SK_LD_F32, c->key, at, (i * c->t + u * c->w) * 4);
}

void sk_encode_hold(sk_enc *c, sk_enc_span *s, sk_val j, sk_val in_span)
{
    const uint32_t nu = c->t / c->w, g = c->seg->g;
    const sk_val first = sk_times(c, j, g), at = sk_times(c, in_span, g * c->t * 4);
    for (uint32_t i = 0; i < g; i++)
        for (uint32_t u = 0; u < nu; u++) {
            const sk_val x = s->kept ? sk_encode_kept(c, at, i, u)
                                     : sk_encode_load_key(c, s->t0, u, sk_opk(c, SK_OP_ADD, first, i));
            s->held[i * nu + u] = s->free_vectors ? sk_op2(c, SK_OP_FMUL, x, s->inv[u]) : x;
        }
}

/* ---- codewords -------------------------------------------------------------- */

static uint32_t element_bytes(const sk_enc *c) { return c->direct ? 2 : 4; }

/* Byte of codeword `code` of row j. */
static sk_val words_at(sk_enc *c, sk_val j, sk_val code)
{
    const uint32_t es = element_bytes(c);
    const sk_val row = sk_times(c, j, c->seg->g * c->codes * es);
    return sk_op2(c, SK_OP_ADD, row, sk_times(c, code, es));
}

/* Element i of the k-th codeword from that on. */
static sk_val codeword(sk_enc *c, sk_val at, uint32_t k, uint32_t i)
{
    const uint32_t disp = (i * c->codes + k) * element_bytes(c);
    return c->direct ? sk_ir_ldu(c->b, SK_LD_F16, c->words, at, disp)
                     : sk_ir_ldu(c->b, SK_LD_F32, c->cb, at, disp);
}

/* Numbers `index` of the 2^b at byte `row` + disp, a lane each: shuffles of up to four
 * vectors where that is all there are, of one that holds them several times where they are few. */
static sk_val look_up(sk_enc *c, sk_ld_kind kind, sk_val from, sk_val row, uint32_t disp, sk_val index)
{
    sk_builder *b = c->b;
    const uint32_t n = c->codes / c->w, es = sk_ld_bytes(kind);
    if (n == 0 && !c->gpu && kind == SK_LD_F32)
        return sk_ir_2(b, SK_OP_SHUFFLE, sk_ir_ldrows(b, kind, from, row, disp, c->codes), index);
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

/* -<c, c> / 2 of codeword `code` + k. */
static sk_val half_norm(sk_enc *c, sk_val j, sk_val code, uint32_t k)
{
    const sk_val at = sk_op2(c, SK_OP_ADD, sk_times(c, j, c->codes * 4), sk_times(c, code, 4));
    return sk_ir_ldu(c->b, SK_LD_F32, c->hn, at, k * 4);
}

sk_val sk_encode_chosen(sk_enc *c, sk_val j, uint32_t i, sk_val index)
{
    const uint32_t es = element_bytes(c);
    return look_up(c, c->direct ? SK_LD_F16 : SK_LD_F32, c->direct ? c->words : c->cb,
                   sk_times(c, j, c->seg->g * c->codes * es), i * c->codes * es, index);
}

sk_val sk_encode_chosen_norm(sk_enc *c, sk_val j, sk_val index)
{
    const sk_val hn = look_up(c, SK_LD_F32, c->hn, sk_times(c, j, c->codes * 4), 0, index);
    return sk_op2(c, SK_OP_FMUL, hn, sk_ir_f32(c->b, -2.0f));
}

/* ---- by scores --------------------------------------------------------------- */

#define SUMS 8u /* that do not wait for each other: a key that is loaded meets so many */

/* The running best of T tokens in one group. */
typedef struct best {
    sk_val score[4], index[4]; /* variables */
} best;

/* Adds dimensions i0 .. i0 + n - 1, or from `plus` on, of the products of `row` codewords
 * from `code` on. */
static void add_products(sk_enc *c, const sk_enc_span *s, sk_val words, uint32_t row, sk_val plus,
                         uint32_t n, sk_val *score)
{
    const uint32_t nu = c->t / c->w, es = element_bytes(c);
    const bool loaded = plus != SK_NONE;
    const sk_val at = loaded ? sk_op2(c, SK_OP_ADD, words, sk_times(c, plus, c->codes * es)) : words;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t u = 0; u < nu; u++) {
            const sk_val x = loaded ? sk_encode_kept(c, sk_times(c, plus, c->t * 4), i, u)
                                    : s->held[i * nu + u];
            for (uint32_t k = 0; k < row; k++)
                score[k * nu + u] = sk_ir_3(c->b, SK_OP_FMA, x, codeword(c, at, k, i),
                                            score[k * nu + u]);
        }
}

/* Compares `row` codewords from `code` on with all tokens of the chunk: <k, c>, of free
 * vectors less half of <c, c>. */
static void try_codes(sk_enc *c, const sk_enc_span *s, sk_val j, sk_val code, uint32_t row, best *to)
{
    sk_builder *b = c->b;
    const uint32_t nu = c->t / c->w;
    const sk_val words = words_at(c, j, code);
    sk_val score[SUMS], sum[SUMS];
    for (uint32_t k = 0; k < row; k++) {
        const sk_val start = s->free_vectors ? half_norm(c, j, code, k) : sk_ir_f32(b, 0.0f);
        for (uint32_t u = 0; u < nu; u++) score[k * nu + u] = start;
    }
    if (!sk_encode_long(c)) {
        add_products(c, s, words, row, SK_NONE, c->seg->g, score);
    } else {
        for (uint32_t x = 0; x < row * nu; x++) sum[x] = sk_ir_var(b, SK_LANE, score[x]);
        const sk_val i = sk_ir_for(b, c->zero, sk_u32(c, c->seg->g), SK_ENCODE_DIMS);
        for (uint32_t x = 0; x < row * nu; x++) score[x] = sk_ir_get(b, sum[x]);
        add_products(c, s, words, row, i, SK_ENCODE_DIMS, score);
        for (uint32_t x = 0; x < row * nu; x++) sk_ir_set(b, sum[x], score[x]);
        sk_ir_end(b);
        for (uint32_t x = 0; x < row * nu; x++) score[x] = sk_ir_get(b, sum[x]);
    }
    for (uint32_t k = 0; k < row; k++)
        for (uint32_t u = 0; u < nu; u++) {
            const sk_val old = sk_ir_get(b, to->score[u]), x = score[k * nu + u];
            const sk_val more = sk_op2(c, SK_OP_FLT, old, x), here = sk_opk(c, SK_OP_ADD, code, k);
            sk_ir_set(b, to->score[u], sk_pick(c, more, x, old));
            sk_ir_set(b, to->index[u], sk_pick(c, more, here, sk_ir_get(b, to->index[u])));
        }
}

/* Codewords that are tried in a row. */
static uint32_t codes_in_row(const sk_enc *c)
{
    const uint32_t nu = c->t / c->w, most = sk_encode_long(c) ? SUMS : SUMS / 2;
    const uint32_t row = c->gpu || nu > most ? 1 : most / nu;
    return row < c->codes ? row : c->codes;
}

void sk_encode_search_scores(sk_enc *c, const sk_enc_span *s, sk_val j, sk_enc_found *to)
{
    sk_builder *b = c->b;
    const uint32_t nu = c->t / c->w, row = codes_in_row(c);
    best top;
    for (uint32_t u = 0; u < nu; u++) {
        top.score[u] = sk_ir_var(b, SK_LANE, sk_ir_f32(b, -INFINITY));
        top.index[u] = sk_ir_var(b, SK_LANE, c->zero);
    }
    const sk_val code = sk_ir_for(b, c->zero, sk_u32(c, c->codes), row);
    try_codes(c, s, j, code, row, &top);
    sk_ir_end(b);
    for (uint32_t u = 0; u < nu; u++) {
        to->index[0][u] = sk_ir_get(b, top.index[u]);
        const sk_val hn = look_up(c, SK_LD_F32, c->hn, sk_times(c, j, c->codes * 4), 0, to->index[0][u]);
        const sk_val score = sk_ir_get(b, top.score[u]);
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
        x = sk_op2(c, SK_OP_FSUB, s->held[u], codeword(c, words_at(c, j, code), k, 0));
    } else { /* half of its square */
        x = sk_op2(c, SK_OP_FSUB, start, half_norm(c, j, code, k));
        for (uint32_t i = 0; i < 2; i++)
            x = sk_ir_3(b, SK_OP_FMA, sk_ir_1(b, SK_OP_FNEG, s->held[i * nu + u]),
                        codeword(c, words_at(c, j, code), k, i), x);
    }
    return sk_opk(c, SK_OP_AND, sk_ir_1(b, SK_OP_BITS, x), 0x7fffffffu & ~(c->codes - 1));
}

/* <k, c> and <c, c> of the codewords that were chosen, or these. Those of two dimensions are
 * not added one by one: what waits for the sums makes a page that no cache holds take longer
 * (Zen 4, good: 101 ns of a token for 91). */
static void fit_chosen(sk_enc *c, const sk_enc_span *s, sk_val j, sk_enc_found *to)
{
    const uint32_t nu = c->t / c->w;
    to->words = c->seg->g == 1;
    for (uint32_t u = 0; u < nu; u++) {
        to->word[u] = sk_encode_chosen(c, j, 0, to->index[0][u]);
        to->dot[u] = to->norm[u] = sk_ir_f32(c->b, 0.0f);
        for (uint32_t i = 0; i < c->seg->g && !to->words; i++) {
            const sk_val cw = i == 0 ? to->word[u] : sk_encode_chosen(c, j, i, to->index[0][u]);
            to->dot[u] = sk_ir_3(c->b, SK_OP_FMA, s->held[i * nu + u], cw, to->dot[u]);
            to->norm[u] = sk_ir_3(c->b, SK_OP_FMA, cw, cw, to->norm[u]);
        }
    }
}

static void search_distances(sk_enc *c, const sk_enc_span *s, sk_val j, sk_enc_found *to)
{
    sk_builder *b = c->b;
    const uint32_t nu = c->t / c->w, row = c->codes < NEAR_CODES ? c->codes : NEAR_CODES;
    sk_val nearest[4], least[4], start[4] = {SK_NONE, SK_NONE, SK_NONE, SK_NONE};
    for (uint32_t u = 0; u < nu; u++) {
        nearest[u] = sk_ir_var(b, SK_LANE, sk_u32(c, UINT32_MAX));
        if (c->seg->g == 1) continue;
        const sk_val y0 = s->held[u], y1 = s->held[nu + u];
        start[u] = sk_op2(c, SK_OP_FMUL, sk_ir_f32(b, 0.5f),
                          sk_ir_3(b, SK_OP_FMA, y1, y1, sk_op2(c, SK_OP_FMUL, y0, y0)));
    }
    const sk_val code = sk_ir_for(b, c->zero, sk_u32(c, c->codes), row);
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
    for (uint32_t u = 0; u < nu; u++)
        to->index[0][u] = sk_opk(c, SK_OP_AND, sk_ir_get(b, nearest[u]), c->codes - 1);
    fit_chosen(c, s, j, to);
}

/* ---- either ------------------------------------------------------------------ */

static void search(sk_enc *c, const sk_enc_span *s, sk_val row, sk_enc_found *to)
{
    if (sk_encode_is_sorted(c, c->seg)) {
        sk_encode_search_sorted(c, s, row, to);
    } else if (by_distance(c, s)) {
        search_distances(c, s, row, to);
    } else {
        sk_encode_search_scores(c, s, row, to);
    }
}

/* Codes that add up: each is the nearest to what the ones before it leave of the key. */
static void search_sum(sk_enc *c, const sk_enc_span *s, sk_val j, sk_enc_found *to)
{
    sk_builder *b = c->b;
    sk_enc_span left = *s;
    const uint32_t nu = c->t / c->w, n = c->seg->g * nu;
    const sk_val zero = sk_ir_f32(b, 0.0f);
    const sk_val *key = s->held;
    sk_val sum[128];
    for (uint32_t x = 0; x < sk_segment_codes(c->seg); x++) {
        sk_enc_found one;
        const sk_val row = sk_encode_row(c, j, x);
        for (uint32_t i = 0; i < n && x > 0; i++)
            left.held[i] = sk_op2(c, SK_OP_FSUB, key[i], sum[i]);
        search(c, &left, row, &one);
        for (uint32_t u = 0; u < nu; u++) to->index[x][u] = one.index[0][u];
        for (uint32_t i = 0; i < n; i++) {
            const sk_val cw = sk_encode_chosen(c, row, i / nu, one.index[0][i % nu]);
            sum[i] = x == 0 ? cw : sk_op2(c, SK_OP_FADD, sum[i], cw);
        }
    }
    for (uint32_t u = 0; u < nu; u++) {
        to->dot[u] = to->norm[u] = zero;
        for (uint32_t i = u; i < n; i += nu) {
            to->dot[u] = sk_ir_3(b, SK_OP_FMA, key[i], sum[i], to->dot[u]);
            to->norm[u] = sk_ir_3(b, SK_OP_FMA, sum[i], sum[i], to->norm[u]);
        }
    }
}

void sk_encode_search(sk_enc *c, const sk_enc_span *s, sk_val j, sk_enc_found *to)
{
    if (c->seg->more)
        search_sum(c, s, j, to);
    else
        search(c, s, j, to);
}
