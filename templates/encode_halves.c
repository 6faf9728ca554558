/* encode_halves.c - bounds of the values of a full page of halves, on a CPU: compared as
 * integers, two in a word, where f32 would have them converted first. Of numbers with a sign
 * bit in front of a magnitude the largest unsigned one is the least value, if any is negative,
 * the smallest unsigned one else; the largest value is the largest as signed, if any is
 * positive, else the smallest unsigned one.
 *
 * Infinities and NaNs, which only floats treat as they should, are what they would be
 * taken for: then nothing of it holds. */
#include "encode.h"

bool sk_encode_in_halves(const sk_enc *c)
{
    return !c->gpu && c->w <= 16 && sk_rows_value_kind(c->spec->tier[1].value) == SK_LD_F16;
}

/* Bounds of the halves of a vector of words: variables, of magnitudes the last one alone. */
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
    all.high = sk_ir_var(b, SK_LANE, sk_u32(c, 0x80008000u));
    all.unsigned_low = sk_ir_var(b, SK_LANE, sk_u32(c, UINT32_MAX));
    return all;
}

static void add_words(sk_enc *c, const extremes *all, sk_val x)
{
    if (all->high == SK_NONE) {
        widen(c, all->unsigned_high, SK_OP_UMAX16X2, sk_opk(c, SK_OP_AND, x, 0x7fff7fffu));
        return;
    }
    widen(c, all->unsigned_high, SK_OP_UMAX16X2, x);
    widen(c, all->high, SK_OP_SMAX16X2, x);
    widen(c, all->unsigned_low, SK_OP_UMIN16X2, x);
}

#define WORDS_AT_ONCE 4u /* vectors of words */

/* All tokens' values of the 16 channels from c0: all[v] of a token's v-th vector of words, or
 * of those of two tokens where that is one vector. */
static void scan_words(sk_enc *c, sk_val c0, const extremes all[2])
{
    sk_builder *b = c->b;
    const uint32_t vectors = c->w < 8 ? 8 / c->w : 1, bytes = 4 * c->w;
    const sk_val from = sk_times(c, sk_encode_element(c, c0, c->zero), 2);
    const sk_val at = sk_ir_for(b, c->zero, sk_u32(c, c->spec->page * 32), WORDS_AT_ONCE * bytes);
    for (uint32_t i = 0; i < WORDS_AT_ONCE; i++)
        add_words(c, &all[i % vectors],
                  sk_ir_ldv(b, SK_LD_U32, c->src_page, sk_op2(c, SK_OP_ADD, from, at),
                            c->src.value_off + i * bytes));
    sk_ir_end(b);
}

/* A variable's value; where a vector is two tokens', that of both in its lower half. */
static sk_val of_tokens(sk_enc *c, sk_val var, sk_op op)
{
    const sk_val x = sk_ir_get(c->b, var);
    if (c->w <= 8) return x;
    return sk_op2(c, op, x, sk_op2(c, SK_OP_SHUFFLE, x, sk_opk(c, SK_OP_ADD, c->lane, 8)));
}

/* Half k of words in the upper bits; what is below them is nothing. */
static sk_val half_of(sk_enc *c, sk_val x, uint32_t k) { return k ? x : sk_opk(c, SK_OP_SHL, x, 16); }

/* Bits of the least and the largest, as halves in the upper bits, of what all says. */
static void bounds_of(sk_enc *c, const extremes *all, sk_val least[2], sk_val most[2])
{
    const sk_val high = of_tokens(c, all->unsigned_high, SK_OP_UMAX16X2);
    for (uint32_t k = 0; k < 2; k++) most[k] = half_of(c, high, k);
    if (all->high == SK_NONE) return;
    const sk_val low = of_tokens(c, all->unsigned_low, SK_OP_UMIN16X2);
    const sk_val most_signed = of_tokens(c, all->high, SK_OP_SMAX16X2);
    for (uint32_t k = 0; k < 2; k++) {
        const sk_val lowest = half_of(c, low, k), up = half_of(c, most_signed, k);
        least[k] = sk_pick(c, sk_op2(c, SK_OP_SLT, most[k], c->zero), most[k], lowest);
        most[k] = sk_pick(c, sk_op2(c, SK_OP_SLT, up, c->zero), lowest, up);
    }
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
    extremes all[2];
    sk_val least[2][2], most[2][2];
    const uint32_t vectors = c->w < 8 ? 8 / c->w : 1;
    for (uint32_t i = 0; i < vectors; i++) all[i] = no_extremes(c, low == NULL);
    scan_words(c, c0, all);
    for (uint32_t i = 0; i < vectors; i++) bounds_of(c, &all[i], least[i], most[i]);
    const sk_val odd = to_floats(c, most, high);
    if (!low) return sk_ir_any(c->b, odd);
    return sk_ir_any(c->b, sk_op2(c, SK_OP_POR, odd, to_floats(c, least, low)));
}
