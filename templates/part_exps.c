/* part_exps.c - probabilities straight from logits, 32 at a time where floats would go 16
 * at a time: how far a logit (log2) is below the page's largest is rounded to a part of 1,
 * in 16 bits; six bits of its fraction look up 2^-fraction, its whole part a power of 2, and
 * one rounded product is the probability, in any execution the same bits.
 *   u8   steps of 1/256: within 0.8 % of itself and half a step of 1/255
 *   u16  steps of 1/2048, the last five bits by a straight line between entries: within
 *        0.03 % and half a step of 1/32767 */
#include "part_probs.h"

#include <math.h>

#define STEPS8 256.0f /* of a logit */
#define STEPS16 2048.0f
#define LINE 11u /* 2^15 ln 2 / STEPS16: what an entry loses in a step, of 2^15 */

/* top times 2^-(i / 64 + middle), as an integer: a Taylor series around 1/2 in operations
 * that are exact everywhere, so that a compiler makes constants of it. */
static sk_val fraction(sk_dec *c, sk_val i, float top, double middle)
{
    sk_builder *b = c->b;
    const sk_val x = sk_fma(c, sk_ir_1(b, SK_OP_I2F, i), sk_ir_f32(b, -1.0f / 64),
                            sk_ir_f32(b, (float)(0.5 - middle)));
    sk_val sum = sk_ir_f32(b, 0.0f);
    for (uint32_t k = 8; k-- > 0;)
        sum = sk_fma(c, sum, x, sk_ir_f32(b, (float)(pow(log(2.0), k) / tgamma(k + 1.0))));
    sum = sk_fma(c, sum, sk_ir_f32(b, (float)(top / sqrt(2.0))), sk_ir_f32(b, 0x1p23f));
    return sk_and(c, sk_ir_1(b, SK_OP_BITS, sum), 0xffff);
}

static sk_val negative(sk_dec *c, sk_val x)
{
    return sk_and(c, sk_ir_2(c->b, SK_OP_SUB, c->zero, x), 0xffff);
}

/* Of u8: the middle of the steps that share an entry; times whole steps of 256 / 2^15. */
static sk_val fraction8(sk_dec *c, sk_val i) { return fraction(c, i, 32640, 1.5 / STEPS8); }
static sk_val power8(sk_dec *c, sk_val i) { return sk_ir_2(c->b, SK_OP_SHR, sk_k(c, 256), i); }

/* Of u16 both are negative: so there is a factor of 1. Below half a step there is nothing. */
static sk_val fraction16(sk_dec *c, sk_val i) { return negative(c, fraction(c, i, 32767, 0)); }
static sk_val power16(sk_dec *c, sk_val i)
{
    const sk_val down = sk_ir_2(c->b, SK_OP_SHR, sk_k(c, 32768), i);
    return negative(c, sk_sel(c, sk_ir_2k(c->b, SK_OP_ULT, i, 16), down, c->zero));
}

/* Entries `from` on, two a lane. */
static sk_val table(sk_dec *c, sk_val (*entry)(sk_dec *c, sk_val i), uint32_t from)
{
    const sk_val i = sk_add(c, sk_shl(c, c->lane, 1), sk_k(c, from));
    return sk_or(c, entry(c, i), sk_shl(c, entry(c, sk_add(c, i, sk_k(c, 1))), 16));
}

sk_exps sk_exps_begin(sk_dec *c, sk_probs form)
{
    const bool bytes = form == SK_PROBS_U8;
    sk_val (*const part)(sk_dec *, sk_val) = bytes ? fraction8 : fraction16;
    return (sk_exps){.form = form,
                     .fraction = {table(c, part, 0), table(c, part, 2 * c->w)},
                     .power = table(c, bytes ? power8 : power16, 0)};
}

/* Steps below m in the low 16 bits, fewer than 32 whole ones: from there on all is 0. A NaN
 * counts as that. */
static sk_val steps_below(sk_dec *c, float steps, sk_val logit, sk_val m)
{
    sk_builder *b = c->b;
    const sk_val d = sk_ir_2(b, SK_OP_FSUB, logit, m);
    const sk_val y = sk_fma(c, d, sk_ir_f32(b, -steps), sk_ir_f32(b, 0x1p23f));
    return sk_ir_1(b, SK_OP_BITS, sk_ir_2(b, SK_OP_FMIN, y, sk_ir_f32(b, 0x1p23f + 32 * steps - 1)));
}

/* Integers of two vectors of logits, in the lower and the upper halves. */
static sk_val two_vectors(sk_dec *c, const sk_exps *x, sk_val low, sk_val high, sk_val m)
{
    sk_builder *b = c->b;
    const bool bytes = x->form == SK_PROBS_U8;
    const float steps = bytes ? STEPS8 : STEPS16;
    const sk_val first = sk_and(c, steps_below(c, steps, low, m), 0xffff);
    const sk_val both = sk_or(c, first, sk_shl(c, steps_below(c, steps, high, m), 16));
    sk_val part = sk_ir_3(b, SK_OP_PERM16X2, x->fraction[0], x->fraction[1],
                          sk_shr(c, both, bytes ? 2 : 5));
    if (!bytes) {
        const sk_val last = sk_and(c, both, 0x001f001fu);
        const sk_val line = sk_ir_2(b, SK_OP_MADD8, last, sk_k(c, (256 - LINE) * 0x00010001u));
        part = sk_ir_2(b, SK_OP_ADD16X2, part, sk_ir_2(b, SK_OP_MULR16X2, part, line));
    }
    const sk_val whole = sk_ir_2(b, SK_OP_PERM16, x->power, sk_shr(c, both, bytes ? 8 : 11));
    return sk_ir_2(b, SK_OP_MULR16X2, part, whole);
}

sk_probs_packed sk_exps_pack(sk_dec *c, const sk_exps *x, const sk_val logit[4], sk_val m)
{
    if (x->form != SK_PROBS_U8) {
        const sk_val low = two_vectors(c, x, logit[0], logit[1], m);
        return sk_probs_halves(c, low, two_vectors(c, x, logit[2], logit[3], m));
    }
    const sk_val even = two_vectors(c, x, logit[0], logit[2], m);
    const sk_val odd = two_vectors(c, x, logit[1], logit[3], m);
    return sk_probs_bytes(c, sk_or(c, even, sk_shl(c, odd, 8)));
}
