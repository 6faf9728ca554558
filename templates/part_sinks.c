/* part_sinks.c - what integer probabilities lose of a page, and heads that they lose too
 * much of. A few tokens that take nearly all of a page's weight often hold next to no
 * value: then the page gives what the others hold, and those must not be lost below the
 * steps of the page's largest probability.
 *
 * Probabilities p of n tokens become integers of steps of 1/one. Against values of size V
 * what the page gives is then wrong by
 *   D V, D = |sum of (p - what stands for it)|    where like values are rounded the same way:
 *                                                 like keys, or all below half a step
 *   N V, N = 0.5 sqrt(n) / one                    else: 0.29 of a step each (RMS), against
 *                                                 sum p|v|, 0.8 of V (the mean of normal
 *                                                 values over their RMS), times 1.4
 * and so is the sum of probabilities by D. All of it may be the class's share of the list's
 * sum p|v|, which is at least the size of the output so far, |acc|, with this page: so the
 * class is kept, whoever holds no value, where
 *   hypot(D, N) V weight <= class |acc|
 * weight being that of the page's largest probability in acc. Both sizes are added up by the
 * walk over the channels, squared (sk_value_sizes). D is at most half a step of each token;
 * what it is is looked at only where that is too much.
 *
 * A head of a page that fails is mended: what each token's integer lacks goes to s, in
 * f32, and part_value.c adds it. Where outputs cancel, so that |acc| is small, this is
 * not needed and costs time, no more. */
#include "part_value.h"

#include <math.h>

/* RMS of normal values over what a page's scale stands for, where the largest of 128 has the
 * largest code; of vi4 around the middle of their range. */
#define SIZE_I8 47.0f
#define SIZE_I4 2.85f
#define MIDDLE_I4 7.5f

/* What the heads of a page have in common. */
typedef struct sink_page {
    sk_probs form;
    const sk_page_layout *lay;
    uint32_t tier_slot;
    sk_val page, count;
    sk_val most2, noise2; /* hypot(D, N)^2 at most, and N^2 */
    float one;
    sk_val value2;        /* V^2 over that of the class, of a weight of 1 / one */
} sink_page;

/* One head of the page at work, by addresses. */
typedef struct sink_head {
    sk_val s, probs, stat, acc, ml;
    sk_val m; /* logit of a probability of 1 */
} sink_head;

static sk_val stat_get(sk_dec *c, const sink_head *a, uint32_t at)
{
    return sk_ir_ldu(c->b, SK_LD_F32, a->stat, c->zero, at);
}

static void stat_put(sk_dec *c, const sink_head *a, uint32_t at, sk_val x)
{
    sk_ir_stu(c->b, a->stat, c->zero, at, x);
}

static sk_val f32(sk_dec *c, float x) { return sk_ir_f32(c->b, x); }
static sk_val op(sk_dec *c, sk_op o, sk_val x, sk_val y) { return sk_ir_2(c->b, o, x, y); }
static sk_val lane_sum(sk_dec *c) { return sk_ir_var(c->b, SK_LANE, f32(c, 0.0f)); }

static void add_to(sk_dec *c, sk_val sum, sk_val x)
{
    sk_ir_set(c->b, sum, op(c, SK_OP_FADD, sk_ir_get(c->b, sum), x));
}

static void add_square(sk_dec *c, sk_val sum, sk_val x)
{
    sk_ir_set(c->b, sum, sk_fma(c, x, x, sk_ir_get(c->b, sum)));
}

static sk_val total(sk_dec *c, sk_val sum) { return sk_ir_1(c->b, SK_OP_RED_FADD, sk_ir_get(c->b, sum)); }

/* ---- sizes ---------------------------------------------------------------------- */

void sk_sizes_begin(sk_dec *c, const sk_value_form *f, uint32_t h0, uint32_t hn)
{
    if (!f->sizes) return;
    f->sizes->known = h0 > 0;
    if (!f->sizes->known) f->sizes->values = lane_sum(c);
    for (uint32_t h = h0; h < h0 + hn; h++) f->sizes->out[h] = lane_sum(c);
}

void sk_sizes_channels(sk_dec *c, const sk_value_form *f, uint32_t x)
{
    if (!f->sizes || f->sizes->known) return;
    const bool four = f->value == SK_VAL_I4;
    add_square(c, f->sizes->values, op(c, SK_OP_FMUL, f->scale[x], f32(c, four ? SIZE_I4 : SIZE_I8)));
    if (four) add_square(c, f->sizes->values, sk_fma(c, f->scale[x], f32(c, MIDDLE_I4), f->least[x]));
}

void sk_sizes_out(sk_dec *c, const sk_value_form *f, uint32_t h, sk_val acc)
{
    if (f->sizes) add_square(c, f->sizes->out[h], acc);
}

void sk_sizes_end(sk_dec *c, const sk_value_form *f, uint32_t h0, uint32_t hn)
{
    if (!f->sizes) return;
    if (!f->sizes->known) f->sizes->values = total(c, f->sizes->values);
    for (uint32_t h = h0; h < h0 + hn; h++) f->sizes->out[h] = total(c, f->sizes->out[h]);
}

/* ---- tokens --------------------------------------------------------------------- */

/* Probabilities of one vector; 0 from count on. */
static sk_val probability(sk_dec *c, const sink_page *x, const sink_head *a, sk_val t0)
{
    sk_builder *b = c->b;
    const sk_val logit = sk_ir_ldv(b, SK_LD_F32, a->s, sk_mul(c, t0, 4), 0);
    const sk_val p = sk_ir_exp2(b, op(c, SK_OP_FSUB, logit, a->m), x->one < 256);
    return sk_sel(c, op(c, SK_OP_ULT, sk_add(c, t0, c->lane), x->count), p, f32(c, 0.0f));
}

/* D with its sign, of integers that are the nearest. */
static sk_val lost_mass(sk_dec *c, const sink_page *x, const sink_head *a)
{
    sk_builder *b = c->b;
    const sk_val sum = lane_sum(c);
    const sk_val t0 = sk_ir_for(b, c->zero, x->count, c->w);
    const sk_val p = probability(c, x, a, t0);
    const sk_val steps = sk_ir_1(b, SK_OP_FRINT, op(c, SK_OP_FMUL, p, f32(c, x->one)));
    add_to(c, sum, sk_fma(c, steps, f32(c, -1.0f / x->one), p));
    sk_ir_end(b);
    return total(c, sum);
}

/* Integers of one vector of tokens, as they were multiplied. */
static sk_val integer(sk_dec *c, const sink_page *x, const sink_head *a, sk_val t0)
{
    sk_builder *b = c->b;
    if (x->form == SK_PROBS_I16) return sk_ir_ldv(b, SK_LD_U16, a->probs, sk_mul(c, t0, 2), 0);
    const sk_val high = sk_ir_ldv(b, SK_LD_U8, a->probs, t0, 0);
    if (x->form != SK_PROBS_U16) return high;
    const uint32_t plane = c->h * sk_probs_row_bytes(c, x->form);
    return sk_or(c, sk_shl(c, high, 8), sk_ir_ldv(b, SK_LD_U8, a->probs, t0, plane));
}

/* What integers lack, to s; its sum. */
static sk_val put_rest(sk_dec *c, const sink_page *x, const sink_head *a)
{
    sk_builder *b = c->b;
    const sk_val sum = lane_sum(c);
    const sk_val t0 = sk_ir_for(b, c->zero, x->count, c->w);
    const sk_val steps = sk_ir_1(b, SK_OP_I2F, integer(c, x, a, t0));
    const sk_val rest = sk_fma(c, steps, f32(c, -1.0f / x->one), probability(c, x, a, t0));
    add_to(c, sum, rest);
    sk_ir_stv(b, a->s, sk_mul(c, t0, 4), 0, rest);
    sk_ir_end(b);
    return total(c, sum);
}

/* ---- heads ---------------------------------------------------------------------- */

static void mend(sk_dec *c, const sink_page *x, const sink_head *a, sk_val weight)
{
    sk_builder *b = c->b;
    const sk_val rest = put_rest(c, x, a);
    stat_put(c, a, c->stat_l, sk_fma(c, rest, weight, stat_get(c, a, c->stat_l)));
    stat_put(c, a, c->stat_rest, weight);
    sk_ir_if(b, c->ml_wanted);
    const sk_val l = sk_ir_ldu(b, SK_LD_F32, a->ml, c->zero, 4);
    sk_ir_stu(b, a->ml, c->zero, 4, op(c, SK_OP_FADD, l, rest));
    sk_ir_end(b);
    sk_dec one = *c;
    one.s = a->s;
    one.stat = a->stat;
    one.acc = a->acc;
    sk_part_values_rest(&one, x->tier_slot, x->lay, x->page, x->count);
}

/* (V weight / class)^2 of a head, by its beta. */
static sk_val at_stake(sk_dec *c, const sink_page *x, sk_val beta)
{
    return op(c, SK_OP_FMUL, x->value2, op(c, SK_OP_FMUL, beta, beta));
}

static sk_val too_much(sk_dec *c, sk_val wrong2, sk_val stake2, sk_val out2)
{
    return op(c, SK_OP_FLT, out2, op(c, SK_OP_FMUL, wrong2, stake2));
}

/* A head of a page that has one that may be too much for its integers. */
static void one_head(sk_dec *c, const sink_page *x, const sink_head *a)
{
    sk_builder *b = c->b;
    const sk_val beta = stat_get(c, a, c->stat_beta), out2 = stat_get(c, a, c->stat_size);
    const sk_val stake2 = at_stake(c, x, beta);
    sk_ir_if(b, too_much(c, x->most2, stake2, out2));
    const sk_val lost = lost_mass(c, x, a);
    sk_ir_if(b, too_much(c, sk_fma(c, lost, lost, x->noise2), stake2, out2));
    mend(c, x, a, op(c, SK_OP_FMUL, beta, f32(c, x->one)));
    sk_ir_end(b);
    sk_ir_end(b);
}

static void each_head(sk_dec *c, const sink_page *x)
{
    sk_builder *b = c->b;
    const sk_val h = sk_ir_for(b, c->zero, sk_k(c, c->h), 1);
    sink_head a = {.stat = sk_ir_ptr_add(b, c->stat, h, 4)};
    a.s = sk_ir_ptr_add(b, c->s, h, c->tp * 4);
    a.acc = sk_ir_ptr_add(b, c->acc, h, c->cp * 4);
    a.probs = sk_ir_ptr_add(b, c->probs, h, sk_probs_row_bytes(c, x->form));
    a.ml = sk_ir_ptr_add(b, c->ml, h, 8);
    a.m = stat_get(c, &a, c->stat_page);
    one_head(c, x, &a);
    sk_ir_end(b);
}

void sk_part_sinks(sk_dec *c, uint32_t tier_slot, sk_probs form, const sk_page_layout *lay,
                   const sk_value_sizes *sizes, sk_val page, sk_val count)
{
    sk_builder *b = c->b;
    const float one = (float)sk_probs_one(form), step = 0.5f / one;
    const float class = one / (float)sk_accuracy_bound(c->spec->accuracy);
    const sk_val n = sk_ir_1(b, SK_OP_I2F, count), noise2 = op(c, SK_OP_FMUL, n, f32(c, step * step));
    const sink_page x = {.form = form, .lay = lay, .tier_slot = tier_slot, .page = page, .count = count,
                         /* (n / 2)^2 + n / 4 steps at most */
                         .most2 = sk_fma(c, noise2, n, noise2), .noise2 = noise2, .one = one,
                         .value2 = op(c, SK_OP_FMUL, sizes->values, f32(c, class * class))};
    sk_val any = c->zero;
    for (uint32_t h = 0; h < c->h; h++) {
        const sk_val beta = sk_ir_ldu(b, SK_LD_F32, c->stat, c->zero, c->stat_beta + h * 4);
        any = sk_sel(c, too_much(c, x.most2, at_stake(c, &x, beta), sizes->out[h]), sk_k(c, 1), any);
    }
    sk_ir_if(b, op(c, SK_OP_NE, any, c->zero));
    for (uint32_t h = 0; h < c->h; h++)
        sk_ir_stu(b, c->stat, c->zero, c->stat_size + h * 4, sizes->out[h]);
    each_head(c, &x);
    sk_ir_end(b);
}
