/* part_sinks.c - attention sinks against 16-bit probabilities. A few tokens that
 * take nearly all of a page's weight often hold next to no value: then the page
 * gives what the others hold, and those must not be lost below the steps of
 * 1/32767 of the page's largest probability.
 *
 * A step rounds a probability by 8.8e-6 (RMS). n tokens whose values are of one
 * size are then wrong by 8.8e-6 sqrt(n) of it, against their part of sum p|v|, 0.8
 * of it (the mean of normal values over their RMS) times their sum of
 * probabilities R. R >= sqrt(n) / 64 keeps that below 7e-4, of the 1e-3 of class
 * tight; class fast is 50 times wider. Who is a sink is not known here: all
 * probabilities of 1/16 and more may be, so R is the sum of those below. A page
 * whose sum is beyond that of four sinks and R has enough in the others.
 *
 * A head of a page that fails this is split: what may be a sink gets f32
 * probabilities, in s, and part_value.c multiplies those few tokens on their own;
 * the others get integers relative to the largest of them. */
#include "decode.h"

#include <math.h>

#define SINKS 4.0f

/* One head of the page at work, by addresses. */
typedef struct sink_head {
    sk_val s, pairs, stat;
    sk_val count, limit; /* tokens; whole blocks of them */
} sink_head;

static sk_val stat_get(sk_dec *c, const sink_head *a, uint32_t at)
{
    return sk_ir_ldu(c->b, SK_LD_F32, a->stat, c->zero, at);
}

static void stat_put(sk_dec *c, const sink_head *a, uint32_t at, sk_val x)
{
    sk_ir_stu(c->b, a->stat, c->zero, at, x);
}

/* Sum of the integers below 1/16 of the largest. */
static sk_val small_mass(sk_dec *c, const sink_head *a)
{
    sk_builder *b = c->b;
    const uint32_t sixteenth = (SK_PROB16_ONE + 1) / 16;
    const sk_val sum = sk_ir_var(b, SK_LANE, sk_k(c, 0));
    const sk_val i = sk_ir_for(b, c->zero, sk_shr(c, a->limit, 1), c->w);
    const sk_val pair = sk_ir_ldv(b, SK_LD_U32, a->pairs, sk_mul(c, i, 4), 0);
    for (uint32_t k = 0; k < 2; k++) {
        const sk_val p = k ? sk_shr(c, pair, 16) : sk_and(c, pair, 0xffff);
        const sk_val small = sk_ir_2(b, SK_OP_ULT, p, sk_k(c, sixteenth));
        sk_ir_set(b, sum, sk_add(c, sk_ir_get(b, sum), sk_sel(c, small, p, c->zero)));
    }
    sk_ir_end(b);
    const sk_val all = sk_ir_1(b, SK_OP_I2F, sk_ir_1(b, SK_OP_RED_UADD, sk_ir_get(b, sum)));
    return sk_ir_2(b, SK_OP_FMUL, all, sk_ir_f32(b, 1.0f / SK_PROB16_ONE));
}

/* log2 of 1/16 */
#define LOG_SMALL (-4.0f)

/* One vector of logits, -inf from count on; *small: those of no sink. */
static sk_val head_logits(sk_dec *c, const sink_head *a, sk_val t0, uint32_t u, sk_val m,
                          sk_val *small)
{
    sk_builder *b = c->b;
    const sk_val t = sk_add(c, sk_add(c, t0, c->lane), sk_k(c, u * c->w));
    sk_val x = sk_ir_ldv(b, SK_LD_F32, a->s, sk_mul(c, t0, 4), u * c->w * 4);
    x = sk_sel(c, sk_ir_2(b, SK_OP_ULT, t, a->count), x, sk_ir_f32(b, -INFINITY));
    *small = sk_ir_2(b, SK_OP_FLT, sk_ir_2(b, SK_OP_FSUB, x, m), sk_ir_f32(b, LOG_SMALL));
    return x;
}

/* The largest logit of no sink; far down where there is none. */
static sk_val small_max(sk_dec *c, const sink_head *a, sk_val m)
{
    sk_builder *b = c->b;
    const sk_val low = sk_ir_2(b, SK_OP_FADD, m, sk_ir_f32(b, -100.0f));
    const sk_val top = sk_ir_var(b, SK_LANE, low);
    const sk_val t0 = sk_ir_for(b, c->zero, a->limit, c->w);
    sk_val small;
    const sk_val x = head_logits(c, a, t0, 0, m, &small), old = sk_ir_get(b, top);
    sk_ir_set(b, top, sk_sel(c, small, sk_ir_2(b, SK_OP_FMAX, old, x), old));
    sk_ir_end(b);
    return sk_ir_1(b, SK_OP_RED_FMAX, sk_ir_get(b, top));
}

static void split_head(sk_dec *c, const sink_head *a)
{
    sk_builder *b = c->b;
    const sk_val m = stat_get(c, a, c->stat_alpha), zero = sk_ir_f32(b, 0.0f);
    const sk_val least = small_max(c, a, m);
    const sk_val base = sk_ir_2(b, SK_OP_FSUB, least, sk_ir_f32(b, log2f(SK_PROB16_ONE)));
    const sk_val few = sk_ir_var(b, SK_LANE, zero), rest = sk_ir_var(b, SK_LANE, c->zero);
    const sk_val t0 = sk_ir_for(b, c->zero, a->limit, 2 * c->w);
    sk_val code[2];
    for (uint32_t u = 0; u < 2; u++) {
        sk_val small;
        const sk_val x = head_logits(c, a, t0, u, m, &small);
        const sk_val from = sk_sel(c, small, base, m);
        const bool fast = c->spec->accuracy == SPHKV_FAST;
        const sk_val p = sk_ir_exp2(b, sk_ir_2(b, SK_OP_FSUB, x, from), fast);
        const sk_val sink = sk_sel(c, small, zero, p);
        code[u] = sk_ir_1(b, SK_OP_F2I, sk_sel(c, small, p, zero));
        sk_ir_set(b, few, sk_ir_2(b, SK_OP_FADD, sk_ir_get(b, few), sink));
        sk_ir_set(b, rest, sk_add(c, sk_ir_get(b, rest), code[u]));
        sk_ir_stv(b, a->s, sk_mul(c, t0, 4), u * c->w * 4, sink);
    }
    sk_ir_stv(b, a->pairs, sk_mul(c, t0, 2), 0, sk_ir_2(b, SK_OP_PACK16, code[0], code[1]));
    sk_ir_end(b);
    const sk_val scale = sk_ir_exp2(b, sk_ir_2(b, SK_OP_FSUB, least, m), false);
    const sk_val mass = sk_ir_1(b, SK_OP_I2F, sk_ir_1(b, SK_OP_RED_UADD, sk_ir_get(b, rest)));
    const sk_val part = sk_ir_2(b, SK_OP_FMUL, mass, sk_ir_f32(b, 1.0f / SK_PROB16_ONE));
    const sk_val l = sk_fma(c, part, scale, sk_ir_1(b, SK_OP_RED_FADD, sk_ir_get(b, few)));
    stat_put(c, a, c->stat_beta, l);
    stat_put(c, a, c->stat_mass, mass);
    stat_put(c, a, c->stat_scale, scale);
    stat_put(c, a, c->stat_sinks, sk_ir_f32(b, 1.0f));
}

void sk_part_sinks(sk_dec *c, sk_val count, sk_val limit)
{
    sk_builder *b = c->b;
    const float share = c->spec->accuracy == SPHKV_FAST ? 3200.0f : 64.0f;
    const sk_val n = sk_ir_1(b, SK_OP_I2F, count);
    const sk_val h = sk_ir_for(b, c->zero, sk_k(c, c->h), 1);
    const sink_head a = {.s = sk_ir_ptr_add(b, c->s, h, c->tp * 4),
                         .pairs = sk_ir_ptr_add(b, c->pairs, h, c->tp * 2),
                         .stat = sk_ir_ptr_add(b, c->stat, h, 4),
                         .count = count,
                         .limit = limit};
    stat_put(c, &a, c->stat_sinks, sk_ir_f32(b, 0.0f));
    stat_put(c, &a, c->stat_scale, sk_ir_f32(b, 1.0f));
    /* the least R of 256 tokens, a page's most */
    const sk_val few = sk_ir_f32(b, SINKS + 16 / share);
    sk_ir_if(b, sk_ir_2(b, SK_OP_FLT, stat_get(c, &a, c->stat_beta), few));
    const sk_val r = sk_ir_2(b, SK_OP_FMUL, small_mass(c, &a), sk_ir_f32(b, share));
    sk_ir_if(b, sk_ir_2(b, SK_OP_FLT, sk_ir_2(b, SK_OP_FMUL, r, r), n));
    split_head(c, &a);
    sk_ir_end(b);
    sk_ir_end(b);
    sk_ir_end(b);
}
