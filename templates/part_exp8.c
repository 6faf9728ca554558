/* part_exp8.c - probabilities of 8 bits straight from logits, 32 at a time where
 * floats would go 16 at a time: how far a logit (log2) is below the page's largest is
 * rounded to 1/256, in 16 bits; six bits of its fraction look up 2^-fraction, its
 * whole part a power of 2, and one rounded product is the probability. It is within
 * 0.8 % of itself and half a step of 1/255, in any execution the same bits. */
#include "part_probs.h"

#include <math.h>

#define STEPS 256.0f /* of a logit */

/* 32640 times 2^-f for entry i, f the middle of the steps that share it, as an
 * integer: a Taylor series around 1/2 in operations that are exact everywhere, so
 * that a compiler makes constants of it. */
static sk_val fraction_entry(sk_dec *c, sk_val i)
{
    sk_builder *b = c->b;
    const double each = 4 / (double)STEPS, middle = 1.5 / (double)STEPS;
    const sk_val x = sk_fma(c, sk_ir_1(b, SK_OP_I2F, i), sk_ir_f32(b, (float)-each),
                            sk_ir_f32(b, (float)(0.5 - middle)));
    sk_val sum = sk_ir_f32(b, 0.0f);
    for (uint32_t k = 8; k-- > 0;)
        sum = sk_fma(c, sum, x, sk_ir_f32(b, (float)(pow(log(2.0), k) / tgamma(k + 1.0))));
    const sk_val magic = sk_ir_f32(b, 0x1p23f);
    sum = sk_fma(c, sum, sk_ir_f32(b, (float)(32640 / sqrt(2.0))), magic);
    return sk_and(c, sk_ir_1(b, SK_OP_BITS, sum), 0xffff);
}

/* 256 times 2^-i: with entries of the other table as fractions of 2^15, whole steps. */
static sk_val power_entry(sk_dec *c, sk_val i)
{
    return sk_ir_2(c->b, SK_OP_SHR, sk_k(c, 256), i);
}

/* Entries `from` on, two a lane. */
static sk_val table(sk_dec *c, sk_val (*entry)(sk_dec *c, sk_val i), uint32_t from)
{
    const sk_val i = sk_add(c, sk_shl(c, c->lane, 1), sk_k(c, from));
    return sk_or(c, entry(c, i), sk_shl(c, entry(c, sk_add(c, i, sk_k(c, 1))), 16));
}

sk_exp8 sk_exp8_begin(sk_dec *c)
{
    return (sk_exp8){.fraction = {table(c, fraction_entry, 0), table(c, fraction_entry, 2 * c->w)},
                     .power = table(c, power_entry, 0)};
}

/* Steps below m in the low 16 bits, at most 31 whole ones: from there on all is 0. A NaN
 * counts as that. */
static sk_val steps_below(sk_dec *c, sk_val logit, sk_val m)
{
    sk_builder *b = c->b;
    const sk_val d = sk_ir_2(b, SK_OP_FSUB, logit, m);
    const sk_val y = sk_fma(c, d, sk_ir_f32(b, -STEPS), sk_ir_f32(b, 0x1p23f));
    return sk_ir_1(b, SK_OP_BITS, sk_ir_2(b, SK_OP_FMIN, y, sk_ir_f32(b, 0x1p23f + 32 * STEPS - 1)));
}

sk_probs_packed sk_exp8_pack(sk_dec *c, const sk_exp8 *x, const sk_val logit[4], sk_val m)
{
    sk_builder *b = c->b;
    sk_val half[2];
    for (uint32_t k = 0; k < 2; k++) {
        const sk_val low = sk_and(c, steps_below(c, logit[k], m), 0xffff);
        const sk_val both = sk_or(c, low, sk_shl(c, steps_below(c, logit[k + 2], m), 16));
        const sk_val part = sk_ir_3(b, SK_OP_PERM16X2, x->fraction[0], x->fraction[1], sk_shr(c, both, 2));
        const sk_val whole = sk_ir_2(b, SK_OP_PERM16, x->power, sk_shr(c, both, 8));
        half[k] = sk_ir_2(b, SK_OP_MULR16X2, part, whole);
    }
    return sk_probs_bytes(c, sk_or(c, half[0], sk_shl(c, half[1], 8)));
}
