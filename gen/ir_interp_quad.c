/* ir_interp_quad.c - quads, and the matrix product on fragments.
 *
 * Fragments as PTX lays them out for mma.m16n8k16, g = lane / 4, t = lane % 4;
 * a word of a factor holds two neighbours, the first in its low half:
 *   a, 16 x 16: word j: row g + 8 (j % 2), columns 2t + 8 (j / 2) and + 1
 *   b, 16 x 8:  word j: rows 2t + 8j and + 1, column g
 *   c, 16 x 8:  word j: row g + 8 (j / 2), column 2t + j % 2 */
#include <string.h>

#include "ir_interp.h"

static float as_float(uint32_t x)
{
    float f;
    memcpy(&f, &x, sizeof f);
    return f;
}

/* ---- matrix product --------------------------------------------------------------------- */

static double element(uint32_t pair, uint32_t which, bool bf16)
{
    const uint16_t bits = (uint16_t)(pair >> (16 * which));
    return (double)(bf16 ? sk_bf16_to_f32(bits) : sk_f16_to_f32(bits));
}

/* One element of d: c and then the products by rising k, added in double and
 * rounded to f32 at the end. */
static uint32_t mma_element(const interp_instr *in, const uint32_t *word, uint32_t row,
                            uint32_t column)
{
    const uint32_t w = SK_INTERP_LANES;
    const uint32_t at = row % 8 * 4 + column / 2; /* the lane that holds it */
    double sum = (double)as_float(
        sk_interp_part(in, w, word, 3, row / 8 * 2 + column % 2, at));
    for (uint32_t k = 0; k < 16; k++) {
        const uint32_t t = k % 8 / 2;
        const uint32_t a = sk_interp_part(in, w, word, 0, row / 8 + k / 8 * 2, row % 8 * 4 + t);
        const uint32_t b_arg = 1 + k / 8;
        const uint32_t b = word[in->src[b_arg] + in->stride[b_arg] * (column * 4 + t)];
        sum += element(a, k % 2, in->imm == 1) * element(b, k % 2, in->imm == 1);
    }
    const float rounded = (float)sum;
    uint32_t bits;
    memcpy(&bits, &rounded, sizeof bits);
    return bits;
}

static void mma(const interp_instr *in, uint32_t *word)
{
    for (uint32_t row = 0; row < 16; row++)
        for (uint32_t column = 0; column < 8; column++) {
            const uint32_t lane = row % 8 * 4 + column / 2, j = row / 8 * 2 + column % 2;
            word[in->dst + j * SK_INTERP_LANES + lane] = mma_element(in, word, row, column);
        }
}

/* ---- quads ------------------------------------------------------------------------------ */

/* The argument, or that of two which a predicate picks. */
static void move(const interp_instr *in, uint32_t w, uint32_t *word)
{
    for (uint32_t i = 0; i < in->n; i++) {
        uint32_t arg = 0;
        if (in->op == SK_OP_SELECT)
            arg = word[in->src[0] + i * in->stride[0]] ? 1 : 2;
        for (uint32_t k = 0; k < 4; k++)
            word[in->dst + k * in->n + i] = sk_interp_part(in, w, word, arg, k, i);
    }
}

bool sk_interp_quad(const interp_instr *in, uint32_t w, uint32_t *word)
{
    if (in->op == SK_OP_WORD) {
        for (uint32_t i = 0; i < in->n; i++)
            word[in->dst + i] = sk_interp_part(in, w, word, 0, in->imm, i);
        return true;
    }
    if (!in->is_quad)
        return false;
    switch (in->op) {
    case SK_OP_MMA: mma(in, word); return true;
    case SK_OP_QUAD:
        for (uint32_t k = 0; k < 4; k++)
            for (uint32_t i = 0; i < in->n; i++)
                word[in->dst + k * in->n + i] = word[in->src[k] + i * in->stride[k]];
        return true;
    default: move(in, w, word); return true; /* VAR, GET, SET, SELECT */
    }
}
