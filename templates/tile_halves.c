/* tile_halves.c - small numbers as halves, exactly, two at a time: four bytes of
 * keys or values are two words of factors. Integers are put under the exponent of
 * 1024, and what that adds is taken off again; e4m3 has its bits moved, which gives
 * 2^-8 of its number, also where that is subnormal. */
#include "tile_impl.h"

/* Signed bytes: 2 * r and 2 * r + 1 of x. */
sk_val sk_tile_int8(sk_tile *t, sk_val x, uint32_t r)
{
    sk_dec *c = t->c;
    const sk_val up = sk_ir_2k(c->b, SK_OP_XOR, x, 0x80808080u); /* + 128 */
    const sk_val h = sk_ir_prmt(c->b, up, sk_k(c, 0x64646464u), sk_k(c, r ? 0x4342 : 0x4140));
    return sk_ir_hadd2(c->b, h, sk_k(c, 0xe480e480u)); /* - 1024 - 128 */
}

/* e4m3 bytes 2 * r and 2 * r + 1 of x, times 2^-8. */
sk_val sk_tile_float8(sk_tile *t, sk_val x, uint32_t r)
{
    sk_dec *c = t->c;
    const sk_val high = sk_ir_prmt(c->b, x, c->zero, sk_k(c, r ? 0x3424 : 0x1404));
    const sk_val size = sk_and(c, sk_shr(c, high, 1), 0x3f803f80u);
    return sk_or(c, sk_and(c, high, 0x80008000u), size);
}

/* Low (r = 0) or high nibbles of bytes 0 and 2 of x, less `less`. */
sk_val sk_tile_int4(sk_tile *t, sk_val x, uint32_t r, uint32_t less)
{
    sk_dec *c = t->c;
    const sk_val n = sk_and(c, r ? sk_shr(c, x, 4) : x, 0x000f000fu);
    const uint32_t off = 0xe400u + less; /* -1024 - less: steps of 1 */
    return sk_ir_hadd2(c->b, sk_or(c, n, sk_k(c, 0x64006400u)), sk_k(c, off << 16 | off));
}
