/* encode_vpack.c - codes of values into words of the page. A code comes as the bits of a
 * number that is code + SK_CODE8_ORIGIN, or code + SK_CODE4_ORIGIN and a rest: so it is there
 * without a conversion, in the lowest byte, or in the third one.
 *
 * On a CPU of 16 lanes one permute takes such bytes from two vectors, and a nibble is joined
 * to the next by a product of bytes; elsewhere codes are integers and meet in packs. */
#include "encode.h"

static bool by_bytes(const sk_enc *c) { return !c->gpu && c->w == 16; }

/* x in each byte. */
static sk_val bytes(sk_enc *c, sk_val x) { return sk_times(c, x, 0x01010101u); }

/* 32 bytes of x[0] and x[1], which `index` says for the lower half of the lanes, and behind
 * them the same of x[2] and x[3]. */
static sk_val pick_bytes(sk_enc *c, const sk_val x[4], sk_val index)
{
    index = sk_ir_1(c->b, SK_OP_HIDE, index);
    const sk_val low = sk_ir_3(c->b, SK_OP_PERM8X2, x[0], x[1], index);
    const sk_val high = sk_ir_3(c->b, SK_OP_PERM8X2, x[2], x[3], index);
    return sk_pick(c, sk_opk(c, SK_OP_ULT, c->lane, 8), low, high);
}

/* Byte `which` of each lane of four vectors. */
static sk_val one_byte(sk_enc *c, const sk_val x[4], uint32_t which)
{
    const sk_val first = bytes(c, sk_times(c, sk_opk(c, SK_OP_AND, c->lane, 7), 16));
    return pick_bytes(c, x, sk_opk(c, SK_OP_ADD, first, 0x0c080400u + which * 0x01010101u));
}

/* The code of vi8 as an integer with a sign. */
static sk_val integer8(sk_enc *c, sk_val bits)
{
    return sk_op2(c, SK_OP_SUB, bits, sk_ir_1(c->b, SK_OP_BITS, sk_ir_f32(c->b, SK_CODE8_ORIGIN)));
}

sk_val sk_encode_pack8(sk_enc *c, const sk_val bits[4])
{
    sk_val q[4];
    if (by_bytes(c)) return one_byte(c, bits, 0);
    for (uint32_t i = 0; i < 4; i++) q[i] = integer8(c, bits[i]);
    return sk_rows_pack8(c->b, q);
}

sk_val sk_encode_pack8_pairs(sk_enc *c, const sk_val even[2], const sk_val odd[2])
{
    sk_val both[2];
    if (by_bytes(c)) {
        const sk_val x[4] = {even[0], odd[0], even[1], odd[1]};
        const sk_val first = bytes(c, sk_times(c, sk_opk(c, SK_OP_AND, c->lane, 7), 8));
        return pick_bytes(c, x, sk_opk(c, SK_OP_ADD, first, 0x44044000u));
    }
    for (uint32_t i = 0; i < 2; i++) { /* of 16 bits with a sign, which a pack leaves as they are */
        const sk_val low = sk_opk(c, SK_OP_AND, even[i], 0xff);
        both[i] = sk_op2(c, SK_OP_OR, low, sk_opk(c, SK_OP_SHL, integer8(c, odd[i]), 8));
    }
    return sk_op2(c, SK_OP_PACK16, both[0], both[1]);
}

sk_val sk_encode_pack4(sk_enc *c, const sk_val bits[8])
{
    sk_val q[8], half[2];
    if (!by_bytes(c)) {
        for (uint32_t i = 0; i < 8; i++)
            q[i] = sk_opk(c, SK_OP_AND, sk_opk(c, SK_OP_SHR, bits[i], 16), 15);
        return sk_rows_pack4(c->b, q);
    }
    for (uint32_t k = 0; k < 2; k++) /* of a pair of channels the first, and 16 times the second */
        half[k] = sk_op2(c, SK_OP_MADD8, one_byte(c, bits + 4 * k, 2), sk_u32(c, 0x10011001u));
    const sk_val first = bytes(c, sk_times(c, c->lane, 8));
    return sk_ir_3(c->b, SK_OP_PERM8X2, half[0], half[1], sk_opk(c, SK_OP_ADD, first, 0x06040200u));
}
