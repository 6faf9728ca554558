/* ir_interp_bytes.c - ops that move bytes and halves about the warp. The arguments
 * are laid out as bytes, lane after lane, least significant first, so that each
 * op is the one line that its definition is. */
#include "ir_interp.h"

typedef struct byte_args {
    uint8_t byte[3][4 * SK_INTERP_LANES]; /* of the arguments */
    uint32_t bytes;                       /* 4 W */
} byte_args;

static void take(const interp_instr *in, uint32_t w, const uint32_t *word, byte_args *a)
{
    a->bytes = 4 * w;
    for (uint32_t k = 0; k < in->nargs; k++)
        for (uint32_t i = 0; i < a->bytes; i++)
            a->byte[k][i] = (uint8_t)(word[in->src[k] + i / 4 * in->stride[k]] >> (i % 4 * 8));
}

static uint32_t half(const uint8_t *byte, uint32_t k)
{
    return byte[2 * k] | (uint32_t)byte[2 * k + 1] << 8;
}

/* Byte k of argument 0 and, behind it, argument 1. */
static uint8_t of_both(const byte_args *a, uint32_t k)
{
    return k < a->bytes ? a->byte[0][k] : a->byte[1][k - a->bytes];
}

static uint8_t saturated(uint32_t x)
{
    const int16_t s = (int16_t)x;
    return (uint8_t)(s < 0 ? 0 : s > 255 ? 255 : s);
}

/* 8 bits from bit s of the 64 that the byte is one of. */
static uint8_t field(const byte_args *a, uint32_t i, uint32_t s)
{
    uint64_t x = 0;
    for (uint32_t k = 0; k < 8; k++)
        x |= (uint64_t)a->byte[0][(i & ~7u) + k] << (8 * k);
    return (uint8_t)(s ? x >> s | x << (64 - s) : x);
}

/* Byte i of the result. */
static uint8_t result(const interp_instr *in, const byte_args *a, uint32_t i)
{
    const uint32_t n = a->bytes, high = in->imm * 8, k = i & 15;
    const uint8_t *const b = a->byte[1];
    switch (in->op) {
    case SK_OP_LUT16: return a->byte[0][(i & ~15u) + (b[i] & 15u)];
    case SK_OP_ZIP8: return a->byte[k % 2][(i & ~15u) + high + k / 2];
    case SK_OP_ZIP16: return a->byte[k / 2 % 2][(i & ~15u) + high + k / 4 * 2 + k % 2];
    case SK_OP_PERM8: return a->byte[0][b[i] % n];
    case SK_OP_PERM8X2: return of_both(a, a->byte[2][i] % (2 * n));
    case SK_OP_PERM16: return a->byte[0][half(b, i / 2) % (n / 2) * 2 + i % 2];
    case SK_OP_PERM16X2: return of_both(a, half(a->byte[2], i / 2) % n * 2 + i % 2);
    case SK_OP_FIELD8: return field(a, i, b[i] % 64);
    default: /* PACK8 */
        return saturated(i < n / 2 ? half(a->byte[0], i) : half(b, i - n / 2));
    }
}

bool sk_interp_bytes(const interp_instr *in, uint32_t w, uint32_t *word)
{
    byte_args a;
    switch (in->op) {
    case SK_OP_LUT16:
    case SK_OP_ZIP8:
    case SK_OP_ZIP16:
    case SK_OP_PERM8:
    case SK_OP_PERM8X2:
    case SK_OP_PERM16:
    case SK_OP_PERM16X2:
    case SK_OP_FIELD8:
    case SK_OP_PACK8: break;
    default: return false;
    }
    take(in, w, word, &a);
    for (uint32_t i = 0; i < w; i++)
        word[in->dst + i] = 0;
    for (uint32_t i = 0; i < a.bytes; i++)
        word[in->dst + i / 4] |= (uint32_t)result(in, &a, i) << (i % 4 * 8);
    return true;
}
