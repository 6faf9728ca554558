/* part_sinks.c - attention sinks against integer probabilities. A few tokens that
 * take nearly all of a page's weight often hold next to no value: then the page
 * gives what the others hold, and those must not be lost below the steps of
 * the page's largest probability.
 *
 * A step of 1/32767 rounds a probability by 8.8e-6 (RMS). n tokens whose values are of one
 * size are then wrong by 8.8e-6 sqrt(n) of it, against their part of sum p|v|, 0.8
 * of it (the mean of normal values over their RMS) times their sum of
 * probabilities R. R >= sqrt(n) / 64 keeps that below 7e-4, of the 1e-3 of class
 * tight; class fast is 50 times wider, u8 128 and u7 256 times as coarse. Who
 * is a sink is not known here: all probabilities of 1/16 and more may be, so R is the
 * sum of those below. A page whose sum is beyond that of four sinks and R has enough in
 * the others.
 *
 * What earlier pages have of R counts, too, as much as their weight against this page:
 * where logits deviate widely single pages often have little of it, all together much.
 *
 * A head of a page that fails this is split: what may be a sink gets f32
 * probabilities, in s, and part_value.c multiplies those few tokens on their own;
 * the others get integers relative to the largest of them. */
#include "part_probs.h"

#include <math.h>

#define SINKS 4.0f

/* One head of the page at work, by addresses. */
typedef struct sink_head {
    sk_probs form;
    sk_val s, probs, stat;
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

/* Integers of 1/16 of the largest and more, without the others' bits: the halves or
 * bytes (the high ones) where a sum with the rest to the next power of 2 overflows. */
static void drop_large(sk_dec *c, sk_probs form, sk_probs_packed *x)
{
    sk_builder *b = c->b;
    const sk_val top = x->plane[0];
    if (form == SK_PROBS_I16) {
        const sk_val large = sk_and(c, sk_add(c, top, sk_k(c, 0x78007800u)), 0x80008000u);
        const sk_val low = sk_ir_2(b, SK_OP_SUB, large, sk_shr(c, large, 15));
        const sk_val none = sk_ir_2k(b, SK_OP_XOR, sk_or(c, large, low), ~0u);
        x->plane[0] = sk_ir_2(b, SK_OP_AND, top, none);
        return;
    }
    const uint32_t rest = form == SK_PROBS_U7 ? 0x78787878u : 0x70707070u;
    const sk_val large = sk_or(c, top, sk_add(c, sk_and(c, top, 0x7f7f7f7fu), sk_k(c, rest)));
    for (uint32_t k = 0; k < sk_probs_planes(form); k++)
        x->plane[k] = sk_ir_3(b, SK_OP_SEL8, large, c->zero, x->plane[k]);
}

static float one_of(const sink_head *a) { return (float)sk_probs_one(a->form); }

/* Sum of the integers below 1/16 of the largest. */
static sk_val small_mass(sk_dec *c, const sink_head *a)
{
    sk_builder *b = c->b;
    sk_val sum[2];
    sk_probs_sum_begin(c, a->form, sum);
    const sk_val t0 = sk_ir_for(b, c->zero, a->limit, sk_probs_vectors(a->form) * c->w);
    sk_probs_packed x = sk_probs_get(c, a->form, a->probs, t0, 0);
    drop_large(c, a->form, &x);
    sk_probs_sum(c, a->form, &x, sum);
    sk_ir_end(b);
    const sk_val all = sk_probs_sum_end(c, a->form, sum);
    return sk_ir_2(b, SK_OP_FMUL, all, sk_ir_f32(b, 1.0f / one_of(a)));
}

/* R of this page and of those before that were looked at, and the weight of this page:
 * both against the largest logit so far. */
static sk_val small_so_far(sk_dec *c, const sink_head *a, sk_val *weight)
{
    sk_builder *b = c->b;
    const sk_val page = stat_get(c, a, c->stat_alpha);
    const sk_val m = sk_ir_2(b, SK_OP_FMAX, stat_get(c, a, c->stat_m), page);
    const sk_val since = sk_ir_2(b, SK_OP_FSUB, stat_get(c, a, c->stat_small_m), m);
    sk_val r = sk_ir_2(b, SK_OP_FMUL, stat_get(c, a, c->stat_small), sk_ir_exp2(b, since, false));
    *weight = sk_ir_exp2(b, sk_ir_2(b, SK_OP_FSUB, page, m), false);
    r = sk_fma(c, small_mass(c, a), *weight, sk_ir_2(b, SK_OP_FMAX, r, sk_ir_f32(b, 0.0f)));
    stat_put(c, a, c->stat_small, r);
    stat_put(c, a, c->stat_small_m, m);
    return r;
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

/* How the head is split. */
typedef struct sink_split {
    sk_val m, base; /* logits of what is 1: among the sinks; of the others' integers */
    sk_val few;     /* variable: sum of the sinks' probabilities */
} sink_split;

/* Probabilities of one vector: a sink's go to s; the others' integers are returned. */
static sk_val split_vector(sk_dec *c, const sink_head *a, const sink_split *x, sk_val t0, uint32_t u)
{
    sk_builder *b = c->b;
    const bool fast = c->spec->accuracy == SPHKV_FAST;
    const sk_val zero = sk_ir_f32(b, 0.0f);
    sk_val small;
    const sk_val logit = head_logits(c, a, t0, u, x->m, &small);
    const sk_val from = sk_sel(c, small, x->base, x->m);
    const sk_val p = sk_ir_exp2(b, sk_ir_2(b, SK_OP_FSUB, logit, from), fast);
    const sk_val sink = sk_sel(c, small, zero, p);
    sk_ir_set(b, x->few, sk_ir_2(b, SK_OP_FADD, sk_ir_get(b, x->few), sink));
    sk_ir_stv(b, a->s, sk_mul(c, t0, 4), u * c->w * 4, sink);
    return sk_ir_1(b, SK_OP_F2I, sk_sel(c, small, p, zero));
}

static void split_head(sk_dec *c, const sink_head *a)
{
    sk_builder *b = c->b;
    const uint32_t vectors = sk_probs_vectors(a->form);
    sink_split x = {.m = stat_get(c, a, c->stat_alpha)};
    const sk_val least = small_max(c, a, x.m);
    x.base = sk_ir_2(b, SK_OP_FSUB, least, sk_ir_f32(b, log2f(one_of(a))));
    x.few = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f));
    sk_val rest[2], code[4];
    sk_probs_sum_begin(c, a->form, rest);
    const sk_val t0 = sk_ir_for(b, c->zero, a->limit, vectors * c->w);
    for (uint32_t u = 0; u < vectors; u++) code[u] = split_vector(c, a, &x, t0, u);
    const sk_probs_packed packed = sk_probs_pack(c, a->form, code);
    sk_probs_sum(c, a->form, &packed, rest);
    sk_probs_put(c, a->form, &packed, a->probs, t0, 0);
    sk_ir_end(b);
    const sk_val scale = sk_ir_exp2(b, sk_ir_2(b, SK_OP_FSUB, least, x.m), false);
    const sk_val mass = sk_probs_sum_end(c, a->form, rest);
    const sk_val part = sk_ir_2(b, SK_OP_FMUL, mass, sk_ir_f32(b, 1.0f / one_of(a)));
    const sk_val few = sk_ir_1(b, SK_OP_RED_FADD, sk_ir_get(b, x.few));
    stat_put(c, a, c->stat_beta, sk_fma(c, part, scale, few));
    stat_put(c, a, c->stat_mass, mass);
    stat_put(c, a, c->stat_scale, scale);
    stat_put(c, a, c->stat_sinks, sk_ir_f32(b, 1.0f));
}

/* sqrt(n) over the least R: steps of the form to the class. */
static float least_share(const sk_dec *c, sk_probs form)
{
    const float tight = form == SK_PROBS_U8 ? 0.5f : form == SK_PROBS_U7 ? 0.25f : 64.0f;
    return c->spec->accuracy == SPHKV_FAST ? 50 * tight : tight;
}

void sk_part_sinks(sk_dec *c, sk_probs form, sk_val count, sk_val limit)
{
    sk_builder *b = c->b;
    const float share = least_share(c, form);
    const sk_val root = sk_ir_1(b, SK_OP_FSQRT, sk_ir_1(b, SK_OP_I2F, count));
    const sk_val h = sk_ir_for(b, c->zero, sk_k(c, c->h), 1);
    const sink_head a = {.form = form,
                         .s = sk_ir_ptr_add(b, c->s, h, c->tp * 4),
                         .probs = sk_ir_ptr_add(b, c->probs, h, sk_probs_row_bytes(c, form)),
                         .stat = sk_ir_ptr_add(b, c->stat, h, 4),
                         .count = count,
                         .limit = limit};
    stat_put(c, &a, c->stat_sinks, sk_ir_f32(b, 0.0f));
    stat_put(c, &a, c->stat_scale, sk_ir_f32(b, 1.0f));
    /* the least R of 256 tokens, a page's most */
    const sk_val few = sk_ir_f32(b, SINKS + 16 / share);
    sk_ir_if(b, sk_ir_2(b, SK_OP_FLT, stat_get(c, &a, c->stat_beta), few));
    sk_val weight;
    const sk_val r = sk_ir_2(b, SK_OP_FMUL, small_so_far(c, &a, &weight), sk_ir_f32(b, share));
    sk_ir_if(b, sk_ir_2(b, SK_OP_FLT, r, sk_ir_2(b, SK_OP_FMUL, weight, root)));
    split_head(c, &a);
    sk_ir_end(b);
    sk_ir_end(b);
    sk_ir_end(b);
}
