/* encode_keys.c - the coding of keys (design, section 3): lanes are tokens.
 * Where span = group the code is the one with the largest inner product, else
 * the nearest to k / r, ties to the lowest index (encode_search.c). Of several codes
 * that add up, whatever the span, the first is the nearest to k / r, each further one to
 * what the ones before it leave of that. The radius is the least-squares one for the
 * chosen codewords, <k, c> / <c, c> over the span, c the sum where codes add up; never
 * negative. */
#include <math.h>

#include "encode.h"

/* ---- codebook into f32, once per head ------------------------------------ */

static sk_val minus_half(sk_enc *c, sk_val x)
{
    return sk_op2(c, SK_OP_FMUL, x, sk_ir_f32(c->b, -0.5f));
}

/* -<c, c> / 2 of W codewords at once, over rows of codes; most: a variable, the largest <c, c>. */
static void norms_in_turns(sk_enc *c, uint32_t rows, sk_val most)
{
    sk_builder *b = c->b;
    const uint32_t es = c->direct ? 2 : 4, n = rows * c->codes;
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
    if (most != SK_NONE) sk_ir_set(b, most, sk_op2(c, SK_OP_FMAX, sum, sk_ir_get(b, most)));
    sk_ir_stg(b, c->hn, sk_times(c, i0, 4), 0, minus_half(c, sum), inside);
    sk_ir_end(b);
    sk_enc_sync(c);
}

static void norms_in_rows(sk_enc *c, uint32_t rows, sk_val most)
{
    sk_builder *b = c->b;
    const sk_val j = sk_ir_for(b, c->zero, sk_u32(c, rows), 1);
    const sk_val from = sk_times(c, j, c->seg->g * c->codes * 4);
    const sk_val c0 = sk_ir_for(b, c->zero, sk_u32(c, c->codes), c->w);
    const sk_val at = sk_times(c, c0, 4);
    sk_val sum = sk_ir_f32(b, 0.0f);
    for (uint32_t i = 0; i < c->seg->g; i++) {
        const sk_val y =
            sk_ir_ldv(b, SK_LD_F32, c->cb, sk_op2(c, SK_OP_ADD, from, at), i * c->codes * 4);
        sum = sk_ir_3(b, SK_OP_FMA, y, y, sum);
    }
    if (most != SK_NONE) sk_ir_set(b, most, sk_op2(c, SK_OP_FMAX, sum, sk_ir_get(b, most)));
    const sk_val row = sk_times(c, j, c->codes * 4);
    sk_ir_stv(b, c->hn, sk_op2(c, SK_OP_ADD, row, at), 0, minus_half(c, sum));
    sk_ir_end(b);
    sk_ir_end(b);
}

static void make_codebook(sk_enc *c, uint32_t rows)
{
    sk_builder *b = c->b;
    if (!c->direct) {
        const sk_val e = sk_enc_turns(c, rows * c->seg->g * c->codes, c->w);
        const sk_val x = sk_ir_ldv(b, SK_LD_F16, c->words, sk_times(c, e, 2), 0);
        sk_ir_stv(b, c->cb, sk_times(c, e, 4), 0, x);
        sk_ir_end(b);
        sk_enc_sync(c);
    }
    if (sk_encode_is_sorted(c, c->seg)) {
        sk_encode_sort(c, rows); /* norms are not asked for */
        return;
    }
    const bool dots = sk_encode_is_dots(c, c->seg, c->to);
    const sk_val most = dots ? sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f)) : SK_NONE;
    if (c->gpu || c->codes < c->w)
        norms_in_turns(c, rows, most);
    else
        norms_in_rows(c, rows, most);
    if (dots) sk_encode_pair(c, rows, sk_ir_1(b, SK_OP_RED_FMAX, sk_ir_get(b, most)));
}

/* Unless what it makes is there already. */
static void load_codebook(sk_enc *c, uint32_t rows)
{
    if (c->fresh != SK_NONE) sk_ir_if(c->b, c->fresh);
    make_codebook(c, rows);
    if (c->fresh != SK_NONE) sk_ir_end(c->b);
}

/* ---- spans of a chunk ----------------------------------------------------- */

/* Norms of T tokens, from their squares in four sums, since each addition waits for the
 * one before it; or one. */
static void root_of_sums(sk_enc *c, const sk_val ss[4][4], uint32_t sums, sk_val *r)
{
    for (uint32_t u = 0; u < c->t / c->w; u++) {
        sk_val all = ss[u][0];
        for (uint32_t k = 1; k < sums; k++) all = sk_op2(c, SK_OP_FADD, all, ss[u][k]);
        r[u] = sk_ir_1(c->b, SK_OP_FSQRT, all);
    }
}

static uint32_t norm_sums(const sk_seg_layout *lay) { return lay->span_dims % 4 == 0 ? 4 : 1; }

/* Norms of span p of T tokens, whose keys are kept where they are met again. */
static void span_norms(sk_enc *c, const sk_seg_layout *lay, sk_enc_span *s, sk_val span)
{
    sk_builder *b = c->b;
    const uint32_t nu = c->t / c->w, sums = norm_sums(lay);
    sk_val ss[4][4];
    for (uint32_t u = 0; u < nu; u++)
        for (uint32_t k = 0; k < sums; k++) ss[u][k] = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f));
    const sk_val first = sk_times(c, span, lay->span_dims);
    const sk_val i = sk_ir_for(b, c->zero, sk_u32(c, lay->span_dims), sums);
    for (uint32_t k = 0; k < sums; k++) {
        const sk_val d = sk_op2(c, SK_OP_ADD, first, sk_opk(c, SK_OP_ADD, i, k));
        for (uint32_t u = 0; u < nu; u++) {
            const sk_val x = sk_encode_load_key(c, s->t0, u, d);
            if (s->kept) sk_ir_stv(b, c->key, sk_times(c, i, c->t * 4), (k * c->t + u * c->w) * 4, x);
            sk_ir_set(b, ss[u][k], sk_ir_3(b, SK_OP_FMA, x, x, sk_ir_get(b, ss[u][k])));
        }
    }
    sk_ir_end(b);
    for (uint32_t u = 0; u < nu; u++)
        for (uint32_t k = 0; k < sums; k++) ss[u][k] = sk_ir_get(b, ss[u][k]);
    root_of_sums(c, ss, sums, s->r);
}

sk_val sk_encode_squares(sk_enc *c, const sk_val *x, uint32_t n)
{
    const uint32_t sums = n % 4 == 0 ? 4 : 1;
    sk_val ss[4];
    for (uint32_t i = 0; i < n; i++) {
        const sk_val sum = i < sums ? sk_ir_f32(c->b, 0.0f) : ss[i % sums];
        ss[i % sums] = sk_ir_3(c->b, SK_OP_FMA, x[i], x[i], sum);
    }
    for (uint32_t k = 1; k < sums; k++) ss[0] = sk_op2(c, SK_OP_FADD, ss[0], ss[k]);
    return ss[0];
}

/* The same of a span that is one group, which is held. */
static void held_norms(sk_enc *c, const sk_seg_layout *lay, sk_enc_span *s)
{
    const uint32_t nu = c->t / c->w;
    sk_val x[128];
    for (uint32_t u = 0; u < nu; u++) {
        for (uint32_t i = 0; i < lay->span_dims; i++) x[i] = s->held[i * nu + u];
        s->r[u] = sk_ir_1(c->b, SK_OP_FSQRT, sk_encode_squares(c, x, lay->span_dims));
    }
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

/* Where values begin; the end where there are none. */
static uint32_t values_off(const sk_page_layout *lay)
{
    return lay->value_off == SK_NO_FIELD ? lay->bytes : lay->value_off;
}

/* Asks for the lines of a part of a page, bytes from .. to - 1 of it, that are to be there
 * after `steps` such calls: those of this step. */
static void ask_part(sk_enc *c, sk_val page, sk_val step, uint32_t steps, uint32_t from, uint32_t to)
{
    const uint32_t bytes = ((to - from) + steps - 1) / steps;
    const sk_val at = sk_times(c, step, bytes);
    for (uint32_t i = 0; i < bytes; i += 64) sk_ir_prefetch(c->b, page, at, from + i);
}

/* Asks, group by group, for the next chunk's keys (behind the last chunk the first of the
 * next item), the page's values and the lines of the destination: what a chunk needs has
 * arrived when its turn comes. */
static void ask_ahead(sk_enc *c, sk_val t0, sk_val j)
{
    sk_builder *b = c->b;
    const uint32_t keys = c->src.seg[0].key_off, values = values_off(&c->src);
    const uint32_t groups = c->to->groups, chunks = c->spec->page / c->t;
    const uint32_t steps = chunks * groups, size = (values - keys) / chunks;
    const sk_val chunk = sk_opk(c, SK_OP_UDIV, t0, c->t);
    const sk_val step = sk_op2(c, SK_OP_ADD, sk_times(c, chunk, groups), j);
    ask_part(c, c->dst_page, step, steps, 0, c->dst.bytes);
    if (c->rebuilt) return;
    ask_part(c, c->src_page, step, steps, values, c->src.bytes);
    const sk_val last = sk_opk(c, SK_OP_EQ, chunk, chunks - 1);
    const sk_val unit = sk_pick(c, last, c->next_unit, c->src_unit);
    const sk_val to = sk_pick(c, last, c->zero, sk_opk(c, SK_OP_ADD, chunk, 1));
    const sk_val page = sk_ir_ptr_add(b, c->src_arena, unit, SPHKV_UNIT_BYTES);
    ask_part(c, sk_ir_ptr_add(b, page, sk_times(c, to, size), 1), j, groups, keys, keys + size);
}

/* Which of all such steps of a page this is. */
static sk_val step_of(sk_enc *c, sk_val t0, sk_val j)
{
    return sk_op2(c, SK_OP_ADD, sk_times(c, j, c->spec->page / c->t), sk_opk(c, SK_OP_UDIV, t0, c->t));
}

void sk_encode_ask_dst(sk_enc *c, sk_val t0, sk_val j)
{
    const uint32_t steps = c->spec->page / c->t * c->to->groups;
    ask_part(c, c->dst_page, step_of(c, t0, j), steps, 0, c->dst.bytes);
    if (!c->rebuilt) ask_part(c, c->src_page, step_of(c, t0, j), steps, values_off(&c->src), c->src.bytes);
}

void sk_encode_ask_next(sk_enc *c, sk_val t0, sk_val j)
{
    const uint32_t steps = c->spec->page / c->t * c->to->groups;
    if (c->rebuilt) return;
    const sk_val page = sk_ir_ptr_add(c->b, c->src_arena, c->next_unit, SPHKV_UNIT_BYTES);
    ask_part(c, page, step_of(c, t0, j), steps, c->src.seg[0].key_off, values_off(&c->src));
}

/* Adds <k, c> and <c, c> of vector u to num and den. */
static void add_found(sk_enc *c, sk_enc_span *s, const sk_enc_found *found, uint32_t u)
{
    sk_builder *b = c->b;
    sk_val num = sk_ir_get(b, s->num[u]), den = sk_ir_get(b, s->den[u]);
    if (found->words) {
        num = sk_ir_3(b, SK_OP_FMA, s->held[u], found->word[u], num);
        den = sk_ir_3(b, SK_OP_FMA, found->word[u], found->word[u], den);
    } else {
        num = sk_op2(c, SK_OP_FADD, num, found->dot[u]);
        den = sk_op2(c, SK_OP_FADD, den, found->norm[u]);
    }
    sk_ir_set(b, s->num[u], num);
    sk_ir_set(b, s->den[u], den);
}

/* Codes of group j, which is held, for T tokens; adds <k, c> and <c, c> to num and den. */
static void code_group(sk_enc *c, sk_enc_span *s, sk_val j)
{
    sk_builder *b = c->b;
    sk_enc_found found = {.words = false};
    if (!c->gpu) ask_ahead(c, s->t0, j);
    sk_encode_search(c, s, j, &found);
    const sk_val zero = sk_ir_f32(b, 0.0f);
    const uint32_t codes = sk_segment_codes(c->seg);
    sk_val row[SK_MAX_CODES];
    for (uint32_t i = 0; i < codes; i++) {
        row[i] = sk_times(c, sk_encode_row(c, j, i), c->spec->page);
        row[i] = sk_times(c, sk_op2(c, SK_OP_ADD, row[i], s->t0), 4);
    }
    for (uint32_t u = 0; u < c->t / c->w; u++) {
        const sk_val some = sk_op2(c, SK_OP_FLT, zero, s->r[u]);
        for (uint32_t i = 0; i < codes; i++)
            sk_enc_put_tokens(c, c->code, row[i], s->t0, u,
                              sk_pick(c, some, found.index[i][u], c->zero));
        add_found(c, s, &found, u);
    }
}

/* All groups of a span that holds several. */
static void code_free(sk_enc *c, const sk_seg_layout *lay, sk_enc_span *s, sk_val span)
{
    const uint32_t per_span = lay->span_dims / c->seg->g;
    span_norms(c, lay, s, span);
    invert_radii(c, s->r, s->inv);
    const sk_val i = sk_ir_for(c->b, c->zero, sk_u32(c, per_span), 1);
    const sk_val j = sk_op2(c, SK_OP_ADD, sk_times(c, span, per_span), i);
    sk_encode_hold(c, s, j, i);
    code_group(c, s, j);
    sk_ir_end(c->b);
}

/* A span that is one group. */
static void code_unit(sk_enc *c, const sk_seg_layout *lay, sk_enc_span *s, sk_val span)
{
    if (s->kept) {
        span_norms(c, lay, s, span);
    } else {
        sk_encode_hold(c, s, span, c->zero);
        held_norms(c, lay, s);
    }
    code_group(c, s, span);
}

sk_val sk_encode_fit(sk_enc *c, sk_val dot, sk_val norm, sk_val r)
{
    const sk_val zero = sk_ir_f32(c->b, 0.0f), exact = sk_op2(c, SK_OP_FDIV, dot, norm);
    const sk_val some = sk_op2(c, SK_OP_PAND, sk_op2(c, SK_OP_FLT, zero, norm), sk_op2(c, SK_OP_FLT, zero, r));
    return sk_pick(c, some, sk_op2(c, SK_OP_FMAX, exact, zero), zero);
}

static void code_span(sk_enc *c, const sk_seg_layout *lay, sk_val t0, sk_val span)
{
    sk_builder *b = c->b;
    const uint32_t nu = c->t / c->w;
    const sk_val zero = sk_ir_f32(b, 0.0f);
    const bool free_vectors = !sk_layout_unit(c->seg, lay);
    sk_enc_span s = {.t0 = t0, .free_vectors = free_vectors,
                     .kept = !c->gpu && (free_vectors || sk_encode_long(c))};
    for (uint32_t u = 0; u < nu; u++) {
        s.num[u] = sk_ir_var(b, SK_LANE, zero);
        s.den[u] = sk_ir_var(b, SK_LANE, zero);
    }
    if (s.free_vectors)
        code_free(c, lay, &s, span);
    else
        code_unit(c, lay, &s, span);
    const sk_val row = sk_times(c, sk_op2(c, SK_OP_ADD, sk_times(c, span, c->spec->page), t0), 4);
    for (uint32_t u = 0; u < nu; u++) {
        sk_val dot = sk_ir_get(b, s.num[u]);
        if (s.free_vectors) dot = sk_op2(c, SK_OP_FMUL, dot, s.r[u]);
        sk_enc_put_tokens(c, c->rad, row, t0, u, sk_encode_fit(c, dot, sk_ir_get(b, s.den[u]), s.r[u]));
    }
}

/* ---- radii as stored ------------------------------------------------------- */

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
    load_codebook(c, lay->codes);
    if (sk_encode_is_dots(c, c->seg, lay)) {
        sk_encode_dots(c);
    } else {
        sk_enc_nest(c, page, c->t, lay->spans, 1, &t0, &span);
        code_span(c, lay, t0, span);
        sk_enc_nest_end(c);
    }
    sk_enc_sync(c);
    if (c->seg->rb == 16)
        half_radii(c, lay->spans);
    else
        scale_radii(c, lay->spans);
    sk_enc_sync(c);
    if (c->to == c->dst.seg) sk_encode_zeros(c);
    if (c->seg->rb != 16) sk_encode_pack(c, c->rs, lay->spans, 16, lay->rscale_off);
    sk_encode_pack(c, c->rad, lay->spans * page, c->seg->rb, lay->radius_off);
    if (sk_layout_codes_blocked(c->spec, c->seg))
        sk_encode_pack_blocked(c, lay->codes * page, lay->code_off);
    else
        sk_encode_pack(c, c->code, lay->codes * page, c->seg->b, lay->code_off);
}
