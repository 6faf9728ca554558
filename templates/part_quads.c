/* part_quads.c - codes of ki8 and ki4 as quads: four dimensions of a token in a lane,
 * unsigned, for dot products of bytes with a query (part_short.c).
 *
 * 16 lanes: a look-up brings them there. Fewer: the vectors that 16 tokens take, at least
 * all of them, are made together. ki8: rows of 16 tokens of four dimensions are zipped by
 * bytes, then by halves; of 8 lanes a row and the next but one share a vector, in an order
 * of tokens that ends right. ki4: a look-up brings the byte of two tokens of four dimensions
 * to a lane, and the even tokens are one vector, the odd ones another, scales alike, until
 * the logits are there. */
#include "part_dense.h"
#include "rows.h"

/* W tokens of the dimensions d0 + i .. d0 + i + 3: a byte of a dimension of a token. */
static sk_val whole_quads(sk_dec *c, const sk_dense_keys *k, sk_val d0, uint32_t i, uint32_t u)
{
    sk_builder *b = c->b;
    const bool nibbles = k->kind == SK_KEY_I4; /* 64 bytes are 8 dimensions, else 4 */
    const sk_val off = sk_dense_row(c, k, d0, nibbles ? 8 : 16);
    const uint32_t at = sk_dense_element(c, u, i) / (nibbles ? 2 : 1);
    if (!nibbles) {
        const sk_val four = sk_ir_ldv(b, SK_LD_U32, k->keys, off, at);
        const sk_val order = sk_add(c, sk_mul(c, c->lane, 0x01010101u), sk_k(c, 0x30201000u));
        return sk_ir_2k(b, SK_OP_XOR, sk_ir_2(b, SK_OP_PERM8, four, order), 0x80808080u);
    }
    const sk_val eight = sk_ir_ldv(b, SK_LD_U32, k->keys, off, i % 8 ? at - 32 : at);
    const sk_val pair = sk_mul(c, sk_shr(c, c->lane, 1), 0x01010101u);
    const sk_val order = sk_add(c, pair, sk_k(c, i % 8 ? 0x38302820u : 0x18100800u));
    const sk_val by = sk_shl(c, sk_and(c, c->lane, 1), 2);
    const sk_val bytes = sk_ir_2(b, SK_OP_PERM8, eight, order);
    return sk_and(c, sk_ir_2(b, SK_OP_SHR, bytes, by), 0x0f0f0f0fu);
}


/* Tokens and vectors of ki8, from vector u on, 16 / W vectors. */
static void byte_quads(sk_dec *c, const sk_dense_keys *k, sk_val off, uint32_t at, sk_val *quad)
{
    sk_builder *b = c->b;
    sk_val row[4], two[4];
    if (c->w == 8) {
        const sk_val far = sk_sel(c, sk_ir_2(b, SK_OP_ULT, c->lane, sk_k(c, 4)), c->zero, sk_k(c, 32));
        const sk_val order = sk_or(c, sk_shl(c, sk_and(c, c->lane, 3), 1), sk_shr(c, c->lane, 2));
        for (uint32_t n = 0; n < 2; n++) {
            const sk_val x = sk_ir_ldrows(b, SK_LD_U32, k->keys, sk_add(c, off, far), at + n * 16, 4);
            row[n] = sk_shuf(c, x, order);
        }
        for (uint32_t n = 0; n < 2; n++) two[n] = sk_ir_zip8(b, row[0], row[1], n);
        for (uint32_t n = 0; n < 2; n++) quad[n] = sk_ir_zip16(b, two[0], two[1], n);
    } else {
        for (uint32_t n = 0; n < 4; n++) row[n] = sk_ir_ldv(b, SK_LD_U32, k->keys, off, at + n * 16);
        for (uint32_t n = 0; n < 4; n++)
            two[n] = sk_ir_zip8(b, row[n % 2 * 2], row[n % 2 * 2 + 1], n / 2);
        for (uint32_t n = 0; n < 4; n++)
            quad[n] = sk_ir_zip16(b, two[n / 2 * 2], two[n / 2 * 2 + 1], n % 2);
    }
    for (uint32_t n = 0; n < 16 / c->w; n++) quad[n] = sk_ir_2k(b, SK_OP_XOR, quad[n], 0x80808080u);
}

static void nibble_quads(sk_dec *c, const sk_dense_keys *k, sk_val off, uint32_t at, sk_val *quad)
{
    sk_builder *b = c->b;
    const sk_val low = sk_ir_ldv(b, SK_LD_U32, k->keys, off, at);
    const sk_val high = c->w < 8 ? sk_ir_ldv(b, SK_LD_U32, k->keys, off, at + 16) : SK_NONE;
    for (uint32_t n = 0; n < 16 / c->w; n += 2) {
        const sk_val byte = sk_add(c, c->lane, sk_k(c, n / 2 * c->w));
        const sk_val order = sk_add(c, sk_mul(c, byte, 0x01010101u), sk_k(c, 0x18100800u));
        const sk_val both = c->w < 8 ? sk_ir_3(b, SK_OP_PERM8X2, low, high, order)
                                     : sk_ir_2(b, SK_OP_PERM8, low, order);
        quad[n] = sk_and(c, both, 0x0f0f0f0fu);
        quad[n + 1] = sk_and(c, sk_shr(c, both, 4), 0x0f0f0f0fu);
    }
}

bool sk_dense_quads_apart(const sk_dec *c, const sk_dense_keys *k)
{
    return c->w < 16 && k->kind == SK_KEY_I4;
}

void sk_dense_quads(sk_dec *c, const sk_dense_keys *k, sk_val d0, uint32_t i, sk_val quad[4])
{
    const bool nibbles = k->kind == SK_KEY_I4;
    for (uint32_t u = 0; u < k->nu; u += 16 / c->w) {
        if (c->w == 16) {
            quad[u] = whole_quads(c, k, d0, i, u);
            continue;
        }
        const sk_val off = sk_dense_row(c, k, d0, nibbles ? 8 : 16);
        const uint32_t at = sk_dense_element(c, u, i) / (nibbles ? 2 : 1);
        (nibbles ? nibble_quads : byte_quads)(c, k, off, at, quad + u);
    }
}

sk_val sk_dense_quad_scales(sk_dec *c, const sk_dense_keys *k, sk_val d0, uint32_t u)
{
    if (!sk_dense_quads_apart(c, k)) return sk_dense_scales(c, k, d0, u);
    const sk_val at = sk_dense_scale_offset(c, k, d0);
    const uint32_t disp = k->lay->kscale_off + (u & ~1u) * c->w * 2;
    const sk_val two = sk_ir_ldv(c->b, SK_LD_U32, k->page, at, disp);
    return sk_ir_1(c->b, u % 2 ? SK_OP_F16HI : SK_OP_F16LO, two);
}
