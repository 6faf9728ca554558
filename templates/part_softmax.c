/* part_softmax.c - softmax of one page, all heads: s[h][t] becomes
 * exp2(s - m_page), and the running (m, l) and the factors
 *   alpha = exp2(m_old - m_new)   for what is already accumulated,
 *   beta  = exp2(m_page - m_new)  for this page
 * are kept. Probabilities are relative to the page's own maximum, so that
 * their 16-bit form (prob = i16) always uses its full range. They are packed
 * in place: pair k of a head lies at word k of its row of s. */
#include "decode.h"

#include <math.h>

#define PROB16_ONE 32767.0f

bool sk_dec_prob16(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot)
{
    return sched->v[SK_T_prob] == SK_PROB_I16 &&
           sk_layout_values_paired(spec, spec->tier[tier_slot].value) &&
           spec->accuracy != SPHKV_EXACT;
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

/* Largest logit of a head, as a uniform value. */
static sk_val page_max(sk_dec *c, uint32_t h, sk_val limit, sk_val count, uint32_t unroll,
                       bool full)
{
    sk_builder *b = c->b;
    sk_val top[4] = {SK_NONE};
    for (uint32_t u = 0; u < unroll; u++)
        top[u] = sk_ir_var(b, SK_LANE, sk_ir_f32(b, -INFINITY));
    const sk_val t0 = sk_ir_for(b, c->zero, limit, unroll * c->w);
    for (uint32_t u = 0; u < unroll; u++) {
        const sk_val x = load_logits(c, t0, h, u, count, full);
        sk_ir_set(b, top[u], sk_ir_2(b, SK_OP_FMAX, sk_ir_get(b, top[u]), x));
    }
    sk_ir_end(b);
    sk_val m = sk_ir_get(b, top[0]);
    for (uint32_t u = 1; u < unroll; u++) m = sk_ir_2(b, SK_OP_FMAX, m, sk_ir_get(b, top[u]));
    return sk_ir_1(b, SK_OP_RED_FMAX, m);
}

/* Probabilities of a head, stored; returns their sum, uniform, in units of 1. */
static sk_val page_exp(sk_dec *c, uint32_t h, sk_val m, sk_val limit, sk_val count,
                       uint32_t unroll, bool full, bool i16)
{
    sk_builder *b = c->b;
    const bool fast = c->spec->accuracy == SPHKV_FAST;
    const sk_val sum = sk_ir_var(b, SK_LANE, i16 ? sk_k(c, 0) : sk_ir_f32(b, 0.0f));
    const sk_val base =
        i16 ? sk_ir_2(b, SK_OP_FSUB, m, sk_ir_f32(b, log2f(PROB16_ONE))) : m;
    const sk_val t0 = sk_ir_for(b, c->zero, limit, unroll * c->w);
    sk_val p[4];
    for (uint32_t u = 0; u < unroll; u++) {
        const sk_val x = load_logits(c, t0, h, u, count, full);
        p[u] = sk_ir_exp2(b, sk_ir_2(b, SK_OP_FSUB, x, base), fast);
        if (i16) p[u] = sk_ir_1(b, SK_OP_F2I, p[u]);
        if (!full && !i16) {
            const sk_val t = sk_add(c, sk_add(c, t0, c->lane), sk_k(c, u * c->w));
            p[u] = sk_sel(c, sk_ir_2(b, SK_OP_ULT, t, count), p[u], sk_ir_f32(b, 0.0f));
        }
        const sk_op plus = i16 ? SK_OP_ADD : SK_OP_FADD;
        sk_ir_set(b, sum, sk_ir_2(b, plus, sk_ir_get(b, sum), p[u]));
        if (!i16) sk_ir_stv(b, c->s, sk_mul(c, t0, 4), (h * c->tp + u * c->w) * 4, p[u]);
    }
    for (uint32_t u = 0; i16 && u < unroll; u += 2) {
        const sk_val pair = sk_ir_2(b, SK_OP_PACK16, p[u], p[u + 1]);
        sk_ir_stv(b, c->s, sk_mul(c, t0, 2), h * c->tp * 4 + u * c->w * 2, pair);
    }
    sk_ir_end(b);
    if (!i16) return sk_ir_1(b, SK_OP_RED_FADD, sk_ir_get(b, sum));
    const sk_val total = sk_ir_1(b, SK_OP_I2F, sk_ir_1(b, SK_OP_RED_UADD, sk_ir_get(b, sum)));
    return sk_ir_2(b, SK_OP_FMUL, total, sk_ir_f32(b, 1.0f / PROB16_ONE));
}

/* alpha, beta and the running pair of one head. beta carries 1/32767 when the
 * probabilities are integers, so that values need one factor only. */
static void update(sk_dec *c, uint32_t h, sk_val m_page, sk_val l_page, bool i16)
{
    sk_builder *b = c->b;
    const sk_val m_old = sk_ir_ldu(b, SK_LD_F32, c->stat, c->zero, c->stat_m + h * 4);
    const sk_val l_old = sk_ir_ldu(b, SK_LD_F32, c->stat, c->zero, c->stat_l + h * 4);
    const sk_val m = sk_ir_2(b, SK_OP_FMAX, m_old, m_page);
    const sk_val alpha = sk_ir_exp2(b, sk_ir_2(b, SK_OP_FSUB, m_old, m), false);
    sk_val beta = sk_ir_exp2(b, sk_ir_2(b, SK_OP_FSUB, m_page, m), false);
    const sk_val l = sk_fma(c, l_old, alpha, sk_ir_2(b, SK_OP_FMUL, l_page, beta));
    if (i16) beta = sk_ir_2(b, SK_OP_FMUL, beta, sk_ir_f32(b, 1.0f / PROB16_ONE));
    sk_ir_stu(b, c->stat, c->zero, c->stat_m + h * 4, m);
    sk_ir_stu(b, c->stat, c->zero, c->stat_l + h * 4, l);
    sk_ir_stu(b, c->stat, c->zero, c->stat_alpha + h * 4, alpha);
    sk_ir_stu(b, c->stat, c->zero, c->stat_beta + h * 4, beta);
}

static void softmax_heads(sk_dec *c, sk_val limit, sk_val count, uint32_t unroll, bool full,
                          bool i16)
{
    for (uint32_t h = 0; h < c->h; h++) {
        const sk_val m = page_max(c, h, limit, count, unroll, full);
        const sk_val l = page_exp(c, h, m, limit, count, unroll, full, i16);
        update(c, h, m, l, i16);
    }
}

void sk_part_softmax(sk_dec *c, uint32_t tier_slot, sk_val count)
{
    sk_builder *b = c->b;
    const bool i16 = sk_dec_prob16(c->spec, c->sched, tier_slot);
    const uint32_t block = sk_dec_token_block(c->spec, c->sched, tier_slot);
    uint32_t unroll = block / c->w;
    if (unroll > 4) unroll = 4;
    /* a full page needs no masks */
    sk_ir_if(b, sk_ir_2(b, SK_OP_EQ, count, sk_k(c, c->p)));
    softmax_heads(c, sk_k(c, c->p), count, unroll, true, i16);
    sk_ir_else(b);
    softmax_heads(c, sk_round_up(c, count, block), count, unroll, false, i16);
    sk_ir_end(b);
}
