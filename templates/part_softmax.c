/* part_softmax.c - softmax of one page, all heads: s[h][t] becomes
 * exp2(s - m_page), and the running (m, l) and the factors
 *   alpha = exp2(m_old - m_new)   for what is already accumulated,
 *   beta  = exp2(m_page - m_new)  for this page
 * are kept, and of integer probabilities the mass, their sum in their own unit, and m_page.
 * Probabilities are relative to the page's own maximum, so that integers always use
 * their full range. Forms other than f32 go to `probs` (part_probs.c); the logits in
 * s stay then, for part_sinks.c.
 *
 * A caller who asks gets each page's own pair, m in natural-log units, for the
 * cost of one branch per page and four heads; what leaves the kernel is in
 * natural logarithms, what stays inside in log2. */
#include "part_probs.h"

#include <math.h>

#define LN_2 0.69314718f

bool sk_dec_value_pairs(const sk_spec *spec, uint32_t tier_slot)
{
    const uint32_t value = spec->tier[tier_slot].value;
    return value == SK_VAL_I4 || sk_layout_values_paired(spec, value);
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

/* What the pages of a tier have in common. */
typedef struct softmax {
    sk_probs form;
    uint32_t one;    /* integers: what stands for 1 */
    float up;        /* log2 of what stands for 1 */
    float unit;      /* what sums of products with values are multiplied by */
    sk_val count, limit; /* tokens; whole blocks of them */
    bool full;       /* a full page needs no masks */
    sk_exps exps;    /* of u8 and u16 */
    uint32_t tier_slot;
    sk_val next;     /* page that is prefetched, or SK_NONE */
} softmax;

/* Largest logits of the heads h0 .. h0+hn-1, as uniform values. */
static void page_max(sk_dec *c, const softmax *x, uint32_t h0, uint32_t hn, sk_val *m)
{
    sk_builder *b = c->b;
    sk_val top[HEAD_TILE];
    for (uint32_t h = 0; h < hn; h++) top[h] = sk_ir_var(b, SK_LANE, sk_ir_f32(b, -INFINITY));
    const sk_val t0 = sk_ir_for(b, c->zero, x->limit, c->w);
    if (h0 == 0) sk_prefetch_pause(c, x->tier_slot, x->next, 0, t0);
    for (uint32_t h = 0; h < hn; h++) {
        const sk_val v = load_logits(c, t0, h0 + h, 0, x->count, x->full);
        sk_ir_set(b, top[h], sk_ir_2(b, SK_OP_FMAX, sk_ir_get(b, top[h]), v));
    }
    sk_ir_end(b);
    for (uint32_t h = 0; h < hn; h++) m[h] = sk_ir_1(b, SK_OP_RED_FMAX, sk_ir_get(b, top[h]));
}

/* One vector of probabilities, of 2^up; masked lanes are 0. The largest logit comes off
 * first: beside one of -1e30 (a bias) `up` would be lost. */
static sk_val probability(sk_dec *c, const softmax *x, uint32_t h, sk_val t0, uint32_t u, sk_val m)
{
    sk_builder *b = c->b;
    const sk_val logit = load_logits(c, t0, h, u, x->count, x->full);
    const bool fast = c->spec->accuracy == SPHKV_FAST;
    sk_val below = sk_ir_2(b, SK_OP_FSUB, logit, m);
    if (x->up > 0) below = sk_ir_2(b, SK_OP_FADD, below, sk_ir_f32(b, x->up));
    const sk_val p = sk_ir_exp2(b, below, fast);
    if (x->one) return sk_ir_1(b, SK_OP_F2I, p);
    if (x->full) return p;
    const sk_val t = sk_add(c, sk_add(c, t0, c->lane), sk_k(c, u * c->w));
    return sk_sel(c, sk_ir_2(b, SK_OP_ULT, t, x->count), p, sk_ir_f32(b, 0.0f));
}

/* Vectors from t0 on, packed: bytes come of the logits as they are. */
static sk_probs_packed probabilities(sk_dec *c, const softmax *x, uint32_t h, sk_val t0, sk_val m)
{
    sk_val p[4];
    const bool of_logits = sk_probs_of_logits(c, x->form);
    for (uint32_t u = 0; u < sk_probs_vectors(x->form); u++)
        p[u] = of_logits ? load_logits(c, t0, h, u, x->count, x->full)
                         : probability(c, x, h, t0, u, m);
    if (of_logits) return sk_exps_pack(c, &x->exps, p, m);
    return sk_probs_pack(c, x->form, p);
}

/* Probabilities of the heads of a tile, stored; l: their sums, in units of 1. The
 * mass of integers is exact: at most 256 times 32767. */
static void page_exp(sk_dec *c, const softmax *x, uint32_t h0, uint32_t hn, const sk_val *m, sk_val *l)
{
    sk_builder *b = c->b;
    const uint32_t unroll = sk_probs_vectors(x->form), row = sk_probs_row_bytes(c, x->form);
    const sk_val rows = x->form == SK_PROBS_F32 ? c->s : c->probs;
    sk_val sum[HEAD_TILE][2];
    for (uint32_t h = 0; h < hn; h++) sk_probs_sum_begin(c, x->form, sum[h]);
    const sk_val t0 = sk_ir_for(b, c->zero, x->limit, unroll * c->w);
    if (h0 == 0) sk_prefetch_pause(c, x->tier_slot, x->next, 1, t0);
    for (uint32_t h = 0; h < hn; h++) {
        const sk_probs_packed packed = probabilities(c, x, h0 + h, t0, m[h]);
        sk_probs_sum(c, x->form, &packed, sum[h]);
        sk_probs_put(c, x->form, &packed, rows, t0, (h0 + h) * row);
    }
    sk_ir_end(b);
    for (uint32_t h = 0; h < hn; h++) {
        l[h] = sk_probs_sum_end(c, x->form, sum[h]);
        if (x->one) sk_ir_stu(b, c->stat, c->zero, c->stat_mass + (h0 + h) * 4, l[h]);
        const float one = x->one ? (float)x->one : exp2f(x->up);
        if (x->up > 0) l[h] = sk_ir_2(b, SK_OP_FMUL, l[h], sk_ir_f32(b, 1.0f / one));
    }
}

/* alpha, beta and the running pair of one head. beta carries the unit of what is
 * multiplied, so that values need one factor only. */
static void update(sk_dec *c, const softmax *x, uint32_t h, sk_val m_page, sk_val l_page)
{
    sk_builder *b = c->b;
    const sk_val m_old = sk_ir_ldu(b, SK_LD_F32, c->stat, c->zero, c->stat_m + h * 4);
    const sk_val l_old = sk_ir_ldu(b, SK_LD_F32, c->stat, c->zero, c->stat_l + h * 4);
    const sk_val m = sk_ir_2(b, SK_OP_FMAX, m_old, m_page);
    const sk_val alpha = sk_ir_exp2(b, sk_ir_2(b, SK_OP_FSUB, m_old, m), false);
    sk_val beta = sk_ir_exp2(b, sk_ir_2(b, SK_OP_FSUB, m_page, m), false);
    const sk_val l = sk_fma(c, l_old, alpha, sk_ir_2(b, SK_OP_FMUL, l_page, beta));
    if (x->one) sk_ir_stu(b, c->stat, c->zero, c->stat_page + h * 4, m_page);
    if (x->unit != 1.0f) beta = sk_ir_2(b, SK_OP_FMUL, beta, sk_ir_f32(b, x->unit));
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
static void softmax_heads(sk_dec *c, const softmax *x)
{
    sk_builder *b = c->b;
    for (uint32_t h0 = 0; h0 < c->h; h0 += HEAD_TILE) {
        const uint32_t hn = c->h - h0 < HEAD_TILE ? c->h - h0 : HEAD_TILE;
        sk_val m[HEAD_TILE], l[HEAD_TILE];
        page_max(c, x, h0, hn, m);
        page_exp(c, x, h0, hn, m, l);
        for (uint32_t h = 0; h < hn; h++) {
            sk_ir_stu(b, c->stat, c->zero, c->stat_alpha + (h0 + h) * 4, m[h]);
            sk_ir_stu(b, c->stat, c->zero, c->stat_beta + (h0 + h) * 4, l[h]);
        }
    }
}

void sk_part_softmax(sk_dec *c, uint32_t tier_slot, sk_val count, sk_val next)
{
    sk_builder *b = c->b;
    const sk_probs form = sk_probs_of(c->spec, c->sched, tier_slot);
    const uint32_t block = sk_dec_token_block(c->spec, c->sched, tier_slot);
    softmax some = {.form = form, .one = sk_probs_one(form), .count = count,
                    .tier_slot = tier_slot, .next = next};
    some.up = some.one ? log2f((float)some.one) : (float)sk_probs_scale(c->spec, tier_slot, form);
    some.unit = sk_probs_unit(c->spec, tier_slot, form);
    some.limit = sk_round_up(c, count, block);
    if (sk_probs_of_logits(c, form)) some.exps = sk_exps_begin(c, form);
    softmax all = some;
    all.limit = sk_k(c, c->p);
    all.full = true;
    sk_val m[SK_HEAD_TILE], l[SK_HEAD_TILE];
    sk_ir_if(b, sk_ir_2(b, SK_OP_EQ, count, sk_k(c, c->p)));
    softmax_heads(c, &all);
    sk_ir_else(b);
    softmax_heads(c, &some);
    sk_ir_end(b);
    for (uint32_t h = 0; h < c->h; h++) {
        m[h] = sk_ir_ldu(b, SK_LD_F32, c->stat, c->zero, c->stat_alpha + h * 4);
        l[h] = sk_ir_ldu(b, SK_LD_F32, c->stat, c->zero, c->stat_beta + h * 4);
    }
    page_statistics(c, m, l);
    for (uint32_t h = 0; h < c->h; h++) update(c, &some, h, m[h], l[h]);
}
