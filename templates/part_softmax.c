/* part_softmax.c - softmax of one page, all heads: s[h][t] becomes
 * exp2(s - m_page), and the running (m, l) and the factors
 *   alpha = exp2(m_old - m_new)   for what is already accumulated,
 *   beta  = exp2(m_page - m_new)  for this page
 * are kept, and of 16-bit probabilities the mass, their sum in their own unit.
 * Probabilities are relative to the page's own maximum, so that their 16-bit form
 * (prob = i16) always uses its full range. That form goes to `pairs`, tokens 2k and
 * 2k + 1 in word k of a head's row; the logits in s stay, for part_sinks.c.
 *
 * A caller who asks gets each page's own pair, m in natural-log units, for the
 * cost of one branch per page and four heads; what leaves the kernel is in
 * natural logarithms, what stays inside in log2. */
#include "decode.h"

#include <math.h>

#define LN_2 0.69314718f

bool sk_dec_value_pairs(const sk_spec *spec, uint32_t tier_slot)
{
    const uint32_t value = spec->tier[tier_slot].value;
    return value == SK_VAL_I4 || sk_layout_values_paired(spec, value);
}

bool sk_dec_prob16(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot)
{
    return sched->v[SK_T_prob] == SK_PROB_I16 && sk_dec_value_pairs(spec, tier_slot) &&
           spec->accuracy != SPHKV_EXACT;
}

bool sk_dec_uses_prob16(const sk_spec *spec, const sk_schedule *sched)
{
    for (uint32_t i = 0; i < spec->ntiers; i++)
        if (sk_dec_prob16(spec, sched, i)) return true;
    return false;
}

static sk_val load_logits(sk_dec *c, sk_val t0, uint32_t h, uint32_t u, sk_val count, bool full)
{
    sk_builder *b = c->b;
    const uint32_t disp = (h * c->tp + u * c->w) * 4;
    const sk_val x = sk_ir_ldv(b, SK_LD_F32, c->s, sk_mul(c, t0, 4), disp);
    if (full) return x;
    const sk_val t = sk_add(c, sk_add(c, t0, c->lane), sk_k(c, u * c->w));
    return sk_sel(c, sk_ir_2(b, SK_OP_ULT, t, count), x, sk_ir_f32(b, -INFINITY));
}

/* Heads that go through a loop together: their chains of dependent steps
 * overlap, and the loop's start is paid once. */
#define HEAD_TILE 4

/* Largest logits of the heads h0 .. h0+hn-1, as uniform values. */
static void page_max(sk_dec *c, uint32_t h0, uint32_t hn, sk_val limit, sk_val count, bool full,
                     sk_val *m)
{
    sk_builder *b = c->b;
    sk_val top[HEAD_TILE];
    for (uint32_t h = 0; h < hn; h++) top[h] = sk_ir_var(b, SK_LANE, sk_ir_f32(b, -INFINITY));
    const sk_val t0 = sk_ir_for(b, c->zero, limit, c->w);
    for (uint32_t h = 0; h < hn; h++) {
        const sk_val x = load_logits(c, t0, h0 + h, 0, count, full);
        sk_ir_set(b, top[h], sk_ir_2(b, SK_OP_FMAX, sk_ir_get(b, top[h]), x));
    }
    sk_ir_end(b);
    for (uint32_t h = 0; h < hn; h++) m[h] = sk_ir_1(b, SK_OP_RED_FMAX, sk_ir_get(b, top[h]));
}

/* One vector of probabilities; masked lanes are 0. */
static sk_val probability(sk_dec *c, uint32_t h, sk_val t0, uint32_t u, sk_val base, sk_val count,
                          bool full, bool i16)
{
    sk_builder *b = c->b;
    const sk_val x = load_logits(c, t0, h, u, count, full);
    const bool fast = c->spec->accuracy == SPHKV_FAST;
    const sk_val p = sk_ir_exp2(b, sk_ir_2(b, SK_OP_FSUB, x, base), fast);
    if (i16) return sk_ir_1(b, SK_OP_F2I, p);
    if (full) return p;
    const sk_val t = sk_add(c, sk_add(c, t0, c->lane), sk_k(c, u * c->w));
    return sk_sel(c, sk_ir_2(b, SK_OP_ULT, t, count), p, sk_ir_f32(b, 0.0f));
}

/* Probabilities of the heads of a tile, stored; l: their sums, in units of 1. The
 * mass of integers is exact: at most 256 times 32767. */
static void page_exp(sk_dec *c, uint32_t h0, uint32_t hn, const sk_val *m, sk_val limit,
                     sk_val count, bool full, bool i16, sk_val *l)
{
    sk_builder *b = c->b;
    const sk_op plus = i16 ? SK_OP_ADD : SK_OP_FADD;
    const uint32_t unroll = i16 ? 2 : 1;
    sk_val sum[HEAD_TILE], base[HEAD_TILE];
    for (uint32_t h = 0; h < hn; h++) {
        sum[h] = sk_ir_var(b, SK_LANE, i16 ? sk_k(c, 0) : sk_ir_f32(b, 0.0f));
        base[h] = i16 ? sk_ir_2(b, SK_OP_FSUB, m[h], sk_ir_f32(b, log2f(SK_PROB16_ONE))) : m[h];
    }
    const sk_val t0 = sk_ir_for(b, c->zero, limit, unroll * c->w);
    for (uint32_t h = 0; h < hn; h++) {
        const uint32_t row = (h0 + h) * c->tp * 4;
        sk_val p[2];
        for (uint32_t u = 0; u < unroll; u++) {
            p[u] = probability(c, h0 + h, t0, u, base[h], count, full, i16);
            sk_ir_set(b, sum[h], sk_ir_2(b, plus, sk_ir_get(b, sum[h]), p[u]));
        }
        if (i16)
            sk_ir_stv(b, c->pairs, sk_mul(c, t0, 2), row / 2, sk_ir_2(b, SK_OP_PACK16, p[0], p[1]));
        else
            sk_ir_stv(b, c->s, sk_mul(c, t0, 4), row, p[0]);
    }
    sk_ir_end(b);
    for (uint32_t h = 0; h < hn; h++) {
        const sk_val all = sk_ir_get(b, sum[h]);
        if (!i16) {
            l[h] = sk_ir_1(b, SK_OP_RED_FADD, all);
            continue;
        }
        const sk_val total = sk_ir_1(b, SK_OP_I2F, sk_ir_1(b, SK_OP_RED_UADD, all));
        sk_ir_stu(b, c->stat, c->zero, c->stat_mass + (h0 + h) * 4, total);
        l[h] = sk_ir_2(b, SK_OP_FMUL, total, sk_ir_f32(b, 1.0f / SK_PROB16_ONE));
    }
}

/* alpha, beta and the running pair of one head. beta carries 1/32767 when
 * the probabilities are integers, and their scale, so that values need one factor
 * only; what sinks are multiplied by is beta itself, or 0 of none. */
static void update(sk_dec *c, uint32_t h, sk_val m_page, sk_val l_page, bool i16)
{
    sk_builder *b = c->b;
    const sk_val m_old = sk_ir_ldu(b, SK_LD_F32, c->stat, c->zero, c->stat_m + h * 4);
    const sk_val l_old = sk_ir_ldu(b, SK_LD_F32, c->stat, c->zero, c->stat_l + h * 4);
    const sk_val m = sk_ir_2(b, SK_OP_FMAX, m_old, m_page);
    const sk_val alpha = sk_ir_exp2(b, sk_ir_2(b, SK_OP_FSUB, m_old, m), false);
    sk_val beta = sk_ir_exp2(b, sk_ir_2(b, SK_OP_FSUB, m_page, m), false);
    const sk_val l = sk_fma(c, l_old, alpha, sk_ir_2(b, SK_OP_FMUL, l_page, beta));
    if (i16) {
        const uint32_t at = c->stat_sinks + h * 4;
        const sk_val sinks = sk_ir_ldu(b, SK_LD_F32, c->stat, c->zero, at);
        const sk_val scale = sk_ir_ldu(b, SK_LD_F32, c->stat, c->zero, c->stat_scale + h * 4);
        sk_ir_stu(b, c->stat, c->zero, at, sk_ir_2(b, SK_OP_FMUL, sinks, beta));
        beta = sk_ir_2(b, SK_OP_FMUL, beta, sk_ir_f32(b, 1.0f / SK_PROB16_ONE));
        beta = sk_ir_2(b, SK_OP_FMUL, beta, scale);
    }
    sk_ir_stu(b, c->stat, c->zero, c->stat_m + h * 4, m);
    sk_ir_stu(b, c->stat, c->zero, c->stat_l + h * 4, l);
    sk_ir_stu(b, c->stat, c->zero, c->stat_alpha + h * 4, alpha);
    sk_ir_stu(b, c->stat, c->zero, c->stat_beta + h * 4, beta);
}

/* The pairs of the page at work. */
static void page_statistics(sk_dec *c, const sk_val *m, const sk_val *l)
{
    sk_builder *b = c->b;
    sk_ir_if(b, c->ml_wanted);
    for (uint32_t h = 0; h < c->h; h++) {
        sk_ir_stu(b, c->ml, c->zero, h * 8, sk_ir_2(b, SK_OP_FMUL, m[h], sk_ir_f32(b, LN_2)));
        sk_ir_stu(b, c->ml, c->zero, h * 8 + 4, l[h]);
    }
    sk_ir_end(b);
}

void sk_part_empty_page(sk_dec *c)
{
    sk_val m[SK_HEAD_TILE], l[SK_HEAD_TILE];
    for (uint32_t h = 0; h < c->h; h++) {
        m[h] = sk_ir_f32(c->b, -INFINITY);
        l[h] = sk_ir_f32(c->b, 0.0f);
    }
    page_statistics(c, m, l);
}

sk_val sk_part_lse(sk_dec *c, sk_val m, sk_val l)
{
    sk_builder *b = c->b;
    const sk_val log2_sum = sk_ir_2(b, SK_OP_FADD, m, sk_ir_1(b, SK_OP_LOG2, l));
    return sk_sel(c, sk_ir_2(b, SK_OP_FLT, sk_ir_f32(b, 0.0f), l),
                  sk_ir_2(b, SK_OP_FMUL, log2_sum, sk_ir_f32(b, LN_2)), sk_ir_f32(b, -INFINITY));
}

/* m and l of the page, kept where the factors of each head will be. */
static void softmax_heads(sk_dec *c, sk_val limit, sk_val count, bool full, bool i16)
{
    sk_builder *b = c->b;
    for (uint32_t h0 = 0; h0 < c->h; h0 += HEAD_TILE) {
        const uint32_t hn = c->h - h0 < HEAD_TILE ? c->h - h0 : HEAD_TILE;
        sk_val m[HEAD_TILE], l[HEAD_TILE];
        page_max(c, h0, hn, limit, count, full, m);
        page_exp(c, h0, hn, m, limit, count, full, i16, l);
        for (uint32_t h = 0; h < hn; h++) {
            sk_ir_stu(b, c->stat, c->zero, c->stat_alpha + (h0 + h) * 4, m[h]);
            sk_ir_stu(b, c->stat, c->zero, c->stat_beta + (h0 + h) * 4, l[h]);
        }
    }
}

void sk_part_softmax(sk_dec *c, uint32_t tier_slot, sk_val count)
{
    sk_builder *b = c->b;
    const bool i16 = sk_dec_prob16(c->spec, c->sched, tier_slot);
    const uint32_t block = sk_dec_token_block(c->spec, c->sched, tier_slot);
    const sk_val limit = sk_round_up(c, count, block);
    sk_val m[SK_HEAD_TILE], l[SK_HEAD_TILE];
    /* a full page needs no masks */
    sk_ir_if(b, sk_ir_2(b, SK_OP_EQ, count, sk_k(c, c->p)));
    softmax_heads(c, sk_k(c, c->p), count, true, i16);
    sk_ir_else(b);
    softmax_heads(c, limit, count, false, i16);
    sk_ir_end(b);
    if (i16) sk_part_sinks(c, count, limit);
    for (uint32_t h = 0; h < c->h; h++) {
        m[h] = sk_ir_ldu(b, SK_LD_F32, c->stat, c->zero, c->stat_alpha + h * 4);
        l[h] = sk_ir_ldu(b, SK_LD_F32, c->stat, c->zero, c->stat_beta + h * 4);
    }
    page_statistics(c, m, l);
    for (uint32_t h = 0; h < c->h; h++) update(c, h, m[h], l[h], i16);
}
