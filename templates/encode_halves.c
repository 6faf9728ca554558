/* encode_halves.c - bounds of the values of a full page of halves, on a CPU: two numbers a
 * word, compared as integers where f32 would have them converted first (Zen 4: 1.8 turns for
 * 16 values instead of 2.8). Of numbers with a sign bit in front of a magnitude the largest
 * unsigned one is the least value, if any is negative, the smallest unsigned one else; the
 * largest value is the largest as signed, if any is positive, else the smallest unsigned one.
 * Compared is a whole word, whose upper half decides; the lower halves are shifted up.
 *
 * Infinities and NaNs, which only floats treat as they should, are what they would be
 * taken for: then nothing of it holds. */
#include "encode.h"

bool sk_encode_in_halves(const sk_enc *c)
{
    return !c->gpu && c->w <= 16 && sk_rows_value_kind(c->spec->tier[1].value) == SK_LD_F16;
}

/* Bounds of one half of the words of a vector: variables. */
typedef struct extremes {
    sk_val high, unsigned_low, unsigned_high;
} extremes;

static void widen(sk_enc *c, sk_val var, sk_op op, sk_val x)
{
    sk_ir_set(c->b, var, sk_op2(c, op, sk_ir_get(c->b, var), x));
}

static extremes no_extremes(sk_enc *c, bool magnitudes)
{
    sk_builder *b = c->b;
    extremes all = {SK_NONE, SK_NONE, sk_ir_var(b, SK_LANE, c->zero)};
    if (magnitudes) return all;
    all.high = sk_ir_var(b, SK_LANE, sk_u32(c, 0x80000000u));
    all.unsigned_low = sk_ir_var(b, SK_LANE, sk_u32(c, UINT32_MAX));
    return all;
}

/* x: the half in the upper bits. */
static void add_half(sk_enc *c, const extremes *all, sk_val x)
{
    widen(c, all->unsigned_high, SK_OP_UMAX, x);
    if (all->high == SK_NONE) return;
    widen(c, all->high, SK_OP_SMAX, x);
    widen(c, all->unsigned_low, SK_OP_UMIN, x);
}

#define WORDS_AT_ONCE 4u /* vectors of words */

/* All tokens' values of the 16 channels from c0: all[v][k] of half k of the words of a token's
 * v-th vector, or of those of two tokens where that is one vector. */
static void scan_words(sk_enc *c, sk_val c0, extremes all[2][2])
{
    sk_builder *b = c->b;
    const uint32_t vectors = c->w < 8 ? 8 / c->w : 1, bytes = 4 * c->w;
    const bool magnitudes = all[0][0].high == SK_NONE;
    const sk_val from = sk_times(c, sk_encode_element(c, c0, c->zero), 2);
    const sk_val at = sk_ir_for(b, c->zero, sk_u32(c, c->spec->page * 32), WORDS_AT_ONCE * bytes);
    for (uint32_t i = 0; i < WORDS_AT_ONCE; i++) {
        const sk_val w = sk_ir_ldv(b, SK_LD_U32, c->src_page, sk_op2(c, SK_OP_ADD, from, at),
                                   c->src.value_off + i * bytes);
        add_half(c, &all[i % vectors][0], sk_opk(c, SK_OP_SHL, w, magnitudes ? 17 : 16));
        add_half(c, &all[i % vectors][1], magnitudes ? sk_opk(c, SK_OP_SHL, w, 1) : w);
    }
    sk_ir_end(b);
}

/* A variable's value; where a vector is two tokens', that of both in its lower half. */
static sk_val of_tokens(sk_enc *c, sk_val var, sk_op op)
{
    const sk_val x = sk_ir_get(c->b, var);
    if (c->w <= 8) return x;
    return sk_op2(c, op, x, sk_op2(c, SK_OP_SHUFFLE, x, sk_opk(c, SK_OP_ADD, c->lane, 8)));
}

/* Bits of the least and the largest, as halves in the upper bits, of what all says. */
static void bounds_of(sk_enc *c, const extremes *all, sk_val *least, sk_val *most)
{
    const sk_val high = of_tokens(c, all->unsigned_high, SK_OP_UMAX);
    *most = sk_opk(c, SK_OP_SHR, high, 1);
    if (all->high == SK_NONE) return;
    const sk_val low = of_tokens(c, all->unsigned_low, SK_OP_UMIN);
    const sk_val most_signed = of_tokens(c, all->high, SK_OP_SMAX);
    *least = sk_pick(c, sk_op2(c, SK_OP_SLT, high, c->zero), high, low);
    *most = sk_pick(c, sk_op2(c, SK_OP_SLT, most_signed, c->zero), low, most_signed);
}

/* Vectors of f32, channel by channel, from halves of words: [v][half]. Returns in which lanes
 * they are not finite. */
static sk_val to_floats(sk_enc *c, sk_val x[2][2], sk_val *to)
{
    sk_builder *b = c->b;
    sk_val odd = SK_NONE;
    for (uint32_t n = 0; n < 16 / c->w; n += 2) {
        sk_rows_interleave(b, c->w, x[n / 2]);
        for (uint32_t i = n; i < n + 2 && i < 16 / c->w; i++) {
            const sk_val bits = x[n / 2][i % 2];
            const sk_val size = sk_opk(c, SK_OP_AND, bits, 0x7c000000u);
            const sk_val here = sk_opk(c, SK_OP_EQ, size, 0x7c000000u);
            odd = odd == SK_NONE ? here : sk_op2(c, SK_OP_POR, odd, here);
            to[i] = sk_ir_1(b, SK_OP_F16HI, bits);
        }
    }
    return odd;
}

sk_val sk_encode_half_bounds(sk_enc *c, sk_val c0, sk_val *low, sk_val *high)
{
    extremes all[2][2];
    sk_val least[2][2], most[2][2];
    const uint32_t vectors = c->w < 8 ? 8 / c->w : 1;
    for (uint32_t i = 0; i < 2 * vectors; i++) all[i / 2][i % 2] = no_extremes(c, low == NULL);
    scan_words(c, c0, all);
    for (uint32_t i = 0; i < 2 * vectors; i++)
        bounds_of(c, &all[i / 2][i % 2], &least[i / 2][i % 2], &most[i / 2][i % 2]);
    const sk_val odd = to_floats(c, most, high);
    if (!low) return sk_ir_any(c->b, odd);
    return sk_ir_any(c->b, sk_op2(c, SK_OP_POR, odd, to_floats(c, least, low)));
}
