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
 * weight being that of the page's largest probability in acc. D is at most half a step of
 * each token; what it is is looked at only where that is too much. Pages are not asked
 * whose probabilities S add up to enough: beside four sinks, S >= 4.7, and for D to be in
 * the class, S class >= D. More sinks of one weight than four are not seen there.
 *
 * A head of a page that fails is mended: what each token's integer lacks goes to s, in
 * f32, and part_value.c adds it. Where outputs cancel, so that |acc| is small, this is
 * not needed and costs time, no more. */
#include "part_value.h"

#include <math.h>

/* A page's sum beside which four sinks leave enough. */
#define SINKS 4.7f
/* RMS of normal values over what a page's scale stands for, where the largest of 128 has the
 * largest code; of vi4 around the middle of their range. */
#define SIZE_I8 47.0f
#define SIZE_I4 2.85f
#define MIDDLE_I4 7.5f
#define UNKNOWN (-1.0f)

/* What the heads of a page have in common. */
typedef struct sink_page {
    sk_probs form;
    const sk_page_layout *lay;
    uint32_t tier_slot;
    sk_val page, count;
    sk_val most, noise2; /* hypot(D, N) at most, and N^2 */
    float one, class;
    sk_val size;         /* variable: V, or UNKNOWN: not asked yet */
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

/* V, all channels together. */
static sk_val value_size(sk_dec *c, const sink_page *x)
{
    sk_builder *b = c->b;
    const bool four = c->spec->tier[x->tier_slot].value == SK_VAL_I4;
    const sk_val sum = lane_sum(c);
    const sk_val c0 = sk_ir_for(b, c->zero, sk_k(c, c->cp), c->w), at = sk_mul(c, c0, 2);
    const sk_val scale = sk_ir_ldv(b, SK_LD_F16, x->page, at, x->lay->vscale_off);
    add_square(c, sum, op(c, SK_OP_FMUL, scale, f32(c, four ? SIZE_I4 : SIZE_I8)));
    if (four) {
        const sk_val least = sk_ir_ldv(b, SK_LD_F16, x->page, at, x->lay->vmin_off);
        add_square(c, sum, sk_fma(c, scale, f32(c, MIDDLE_I4), least));
    }
    sk_ir_end(b);
    return sk_ir_1(b, SK_OP_FSQRT, total(c, sum));
}

/* The same, of a page once. */
static sk_val value_size_once(sk_dec *c, const sink_page *x)
{
    sk_builder *b = c->b;
    sk_ir_if(b, op(c, SK_OP_FEQ, sk_ir_get(b, x->size), f32(c, UNKNOWN)));
    sk_ir_set(b, x->size, value_size(c, x));
    sk_ir_end(b);
    return sk_ir_get(b, x->size);
}

/* |acc| */
static sk_val output_size(sk_dec *c, const sink_head *a)
{
    sk_builder *b = c->b;
    const sk_val sum = lane_sum(c);
    const sk_val c0 = sk_ir_for(b, c->zero, sk_k(c, c->cp), c->w);
    add_square(c, sum, sk_ir_ldv(b, SK_LD_F32, a->acc, sk_mul(c, c0, 4), 0));
    sk_ir_end(b);
    return sk_ir_1(b, SK_OP_FSQRT, total(c, sum));
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

/* A head that may be too much for its integers. */
static void one_head(sk_dec *c, const sink_page *x, const sink_head *a)
{
    sk_builder *b = c->b;
    const sk_val weight = op(c, SK_OP_FMUL, stat_get(c, a, c->stat_beta), f32(c, x->one));
    const sk_val value = op(c, SK_OP_FMUL, value_size_once(c, x), weight);
    const sk_val allowed = op(c, SK_OP_FMUL, output_size(c, a), f32(c, x->class));
    sk_ir_if(b, op(c, SK_OP_FLT, allowed, op(c, SK_OP_FMUL, x->most, value)));
    const sk_val lost = lost_mass(c, x, a);
    const sk_val wrong = sk_ir_1(b, SK_OP_FSQRT, sk_fma(c, lost, lost, x->noise2));
    sk_ir_if(b, op(c, SK_OP_FLT, allowed, op(c, SK_OP_FMUL, wrong, value)));
    mend(c, x, a, weight);
    sk_ir_end(b);
    sk_ir_end(b);
}

void sk_part_sinks(sk_dec *c, uint32_t tier_slot, sk_probs form, const sk_page_layout *lay, sk_val page,
                   sk_val count)
{
    sk_builder *b = c->b;
    const float one = (float)sk_probs_one(form), noise = 0.5f / one;
    const float class = (float)sk_accuracy_bound(c->spec->accuracy);
    const sk_val n = sk_ir_1(b, SK_OP_I2F, count);
    const sink_page x = {.form = form, .lay = lay, .tier_slot = tier_slot, .page = page, .count = count,
                         /* hypot(n / 2, 0.5 sqrt(n)) at most */
                         .most = sk_fma(c, n, f32(c, 0.5f / one), f32(c, 0.25f / one)),
                         .noise2 = op(c, SK_OP_FMUL, n, f32(c, noise * noise)),
                         .one = one, .class = class,
                         .size = sk_ir_var(b, SK_WARP, f32(c, UNKNOWN))};
    const sk_val enough = op(c, SK_OP_FMAX, op(c, SK_OP_FMUL, x.most, f32(c, one / class)), f32(c, SINKS * one));
    const sk_val h = sk_ir_for(b, c->zero, sk_k(c, c->h), 1);
    sink_head a = {.stat = sk_ir_ptr_add(b, c->stat, h, 4)};
    sk_ir_if(b, op(c, SK_OP_FLT, stat_get(c, &a, c->stat_mass), enough));
    a.s = sk_ir_ptr_add(b, c->s, h, c->tp * 4);
    a.acc = sk_ir_ptr_add(b, c->acc, h, c->cp * 4);
    a.probs = sk_ir_ptr_add(b, c->probs, h, sk_probs_row_bytes(c, form));
    a.ml = sk_ir_ptr_add(b, c->ml, h, 8);
    a.m = stat_get(c, &a, c->stat_page);
    one_head(c, &x, &a);
    sk_ir_end(b);
    sk_ir_end(b);
}
