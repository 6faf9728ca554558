/* part_unpack.c - see part_unpack.h. Plain order: the word or the bytes a vector's
 * codes lie in are loaded for all lanes alike, and shifted by lane. Blocked
 * order: one vector load holds the codes of 64 tokens, a shuffle and a shift
 * pick W of them. */
#include "part_unpack.h"

uint32_t sk_unpack_end(const sk_dec *c, uint32_t tier_slot)
{
    const sk_segment *seg = sk_dec_seg(c->spec, tier_slot);
    const bool positions = c->spec->variants & SPHKV_VARIANT_POSITIONS || seg->pre_rope;
    if (positions || c->spec->tier[tier_slot].value != SK_VAL_KEY) return 0;
    return (c->d / seg->g * sk_segment_codes(seg) * c->p * seg->b / 8 + 15) / 16 * 16;
}

sk_unpack sk_unpack_begin(sk_dec *c, uint32_t tier_slot, sk_val t0)
{
    const uint32_t end = sk_unpack_end(c, tier_slot);
    sk_unpack u = {.t0 = t0, .last = end ? end - 16 : SK_NO_FIELD};
    u.blocked = sk_layout_codes_blocked(c->spec, sk_dec_seg(c->spec, tier_slot));
    if (!u.blocked) return u;
    const sk_val t = sk_add(c, t0, c->lane);
    const sk_val i = sk_and(c, t, 7);
    const sk_val q = sk_and(c, sk_shr(c, t, 3), 3);
    const sk_val nibble = sk_and(c, sk_shr(c, t, 5), 1);
    u.base = sk_mul(c, sk_shr(c, t0, 6), 32);
    u.index = sk_add(c, sk_shl(c, sk_shr(c, q, 1), 1), sk_shr(c, sk_and(c, i, 3), 1));
    const sk_val half = sk_shr(c, i, 2); /* which 16 bytes */
    if (c->w == 4) {
        const sk_val far = sk_and(c, sk_shr(c, t0, 2), 1);
        u.base = sk_add(c, u.base, sk_mul(c, far, 16));
    } else {
        u.index = sk_add(c, u.index, sk_shl(c, half, 2));
    }
    const sk_val byte = sk_add(c, sk_shl(c, sk_and(c, i, 1), 1), sk_and(c, q, 1));
    u.shift = sk_add(c, sk_shl(c, byte, 3), sk_shl(c, nibble, 2));
    return u;
}

static uint32_t gcd(uint32_t a, uint32_t b) { return b == 0 ? a : gcd(b, a % b); }

/* Words are aligned, so the first number may start inside one; how far is
 * known up to a multiple, which bounds how many words can be touched: one is
 * shifted as it is; of several, 16 bytes are loaded, and a byte look-up brings
 * to each lane the two that its number lies in. What is read beyond the field
 * is of the same page: they begin at byte `last` of the field at most, or anywhere
 * (SK_NO_FIELD). `row`: a byte offset to add, a multiple of 4. */
static sk_val unpack_row(sk_dec *c, sk_val field, sk_val row, sk_val bit, uint32_t bits, uint32_t last)
{
    sk_builder *b = c->b;
    if (bits == 8) return sk_ir_ldv(b, SK_LD_U8, field, sk_add(c, row, sk_shr(c, bit, 3)), 0);
    const uint32_t far = 32 - gcd(c->w * bits, 32);
    const sk_val word0 = sk_add(c, row, sk_shl(c, sk_shr(c, bit, 5), 2));
    sk_val s = sk_mul(c, c->lane, bits), x;
    if (far > 0) s = sk_add(c, s, sk_and(c, bit, 31));
    if (c->w * bits + far <= 32) {
        x = sk_ir_2(b, SK_OP_SHR, sk_ir_ldu(b, SK_LD_U32, field, word0, 0), s);
    } else {
        sk_val from = word0;
        if (last != SK_NO_FIELD) {
            from = sk_ir_2k(b, SK_OP_UMIN, word0, last);
            s = sk_add(c, s, sk_shl(c, sk_ir_2(b, SK_OP_SUB, word0, from), 3));
        }
        const sk_val all = sk_ir_ldrows(b, SK_LD_U32, field, from, 0, 4);
        const sk_val bytes = sk_add(c, sk_mul(c, sk_shr(c, s, 3), 0x0101), sk_k(c, 0x0100));
        x = sk_ir_2(b, SK_OP_SHR, sk_ir_2(b, SK_OP_LUT16, all, bytes), sk_and(c, s, 7));
    }
    return sk_and(c, x, (1u << bits) - 1);
}

/* Row j of a field of P numbers a row, from token t0 on. Rows of whole words
 * keep what depends on t0 apart, so that it is computed once for all rows. */
static sk_val unpack_plain(sk_dec *c, sk_val field, sk_val j, sk_val t0, uint32_t bits, uint32_t last)
{
    const sk_val bit = sk_mul(c, t0, bits);
    if (c->p * bits % 32 == 0)
        return unpack_row(c, field, sk_mul(c, j, c->p * bits / 8), bit, bits, last);
    return unpack_row(c, field, c->zero, sk_add(c, sk_mul(c, j, c->p * bits), bit), bits, last);
}

sk_val sk_unpack_codes(sk_dec *c, const sk_unpack *u, const sk_segment *seg, sk_val codes,
                       sk_val j)
{
    if (!u->blocked) return unpack_plain(c, codes, j, u->t0, seg->b, u->last);
    const sk_val at = sk_add(c, sk_mul(c, j, c->p / 2), u->base);
    /* a block is 32 bytes: of 64 the second half is not looked at, and may not be there */
    const bool half = c->w == 16 && u->last != SK_NO_FIELD;
    const sk_val words = half ? sk_ir_ldrows(c->b, SK_LD_U32, codes, at, 0, 8)
                              : sk_ir_ldv(c->b, SK_LD_U32, codes, at, 0);
    return sk_and(c, sk_ir_2(c->b, SK_OP_SHR, sk_shuf(c, words, u->index), u->shift), 15);
}

void sk_unpack_radius_scales(sk_dec *c, const sk_segment *seg, const sk_seg_layout *lay,
                             sk_val page)
{
    if (seg->rb == 16) return;
    sk_builder *b = c->b;
    const sk_val unit = sk_ir_f32(b, 1.0f / (float)((1u << seg->rb) - 1));
    const sk_val i = sk_ir_for(b, c->zero, sk_k(c, lay->spans), 1);
    const sk_val x = sk_ir_ldu(b, SK_LD_F16, page, sk_mul(c, i, 2), lay->rscale_off);
    sk_ir_stu(b, c->rad, sk_mul(c, i, 4), 0, sk_ir_2(b, SK_OP_FMUL, x, unit));
    sk_ir_end(b);
}

sk_val sk_unpack_radii(sk_dec *c, const sk_segment *seg, const sk_seg_layout *lay, sk_val page,
                       sk_val span, sk_val t0)
{
    sk_builder *b = c->b;
    if (seg->rb == 16) {
        const sk_val first = sk_add(c, sk_mul(c, span, c->p), t0);
        return sk_ir_ldv(b, SK_LD_F16, page, sk_mul(c, first, 2), lay->radius_off);
    }
    const sk_val field = sk_ir_ptr_add(b, page, sk_k(c, lay->radius_off), 1);
    const sk_val code = unpack_plain(c, field, span, t0, seg->rb, SK_NO_FIELD);
    const sk_val unit = sk_ir_ldu(b, SK_LD_F32, c->rad, sk_mul(c, span, 4), 0);
    return sk_ir_2(b, SK_OP_FMUL, sk_ir_1(b, SK_OP_I2F, code), unit);
}

/* Index bits of vector and lane are exchanged one by one. */
void sk_transpose(sk_dec *c, sk_val *x, uint32_t n)
{
    sk_builder *b = c->b;
    for (uint32_t bit = 1; bit < n; bit *= 2) {
        const sk_val other = sk_ir_2(b, SK_OP_XOR, c->lane, sk_k(c, bit));
        const sk_val low = sk_ir_2(b, SK_OP_EQ, sk_and(c, c->lane, bit), c->zero);
        for (uint32_t v = 0; v < n; v++) {
            if (v & bit) continue;
            const sk_val even = x[v], odd = x[v | bit];
            x[v] = sk_sel(c, low, even, sk_shuf(c, odd, other));
            x[v | bit] = sk_sel(c, low, sk_shuf(c, even, other), odd);
        }
    }
}
