/* part_bytes_index.c - codes and radii of 64 tokens as words of four groups, of 16 lanes
 * (part_bytes_logits.c).
 *
 * Codes of other widths than the 4 bits of row 1's blocks: a permute brings to each
 * eight bytes the bits of tokens 4L .. 4L+3 and 4L+16 .. 4L+19 (of the half), fields of
 * bits make bytes of them, and two zips end in order. */
#include "part_bytes.h"

#include "part_unpack.h"

/* Byte offset of the row of group k of the word, in a field of `bytes` a row. */
static sk_val group_row(sk_dec *c, const sk_bytes_loop *l, uint32_t k, uint32_t bytes)
{
    return sk_mul(c, sk_bytes_group(c, l, k), bytes);
}

/* x in the bits of codes, and which of the groups that share a table it is of. */
static sk_val masked(sk_dec *c, const sk_bytes_loop *l, sk_val x, uint32_t groups)
{
    const uint32_t codes = ((1u << l->seg->b) - 1) * 0x01010101u;
    return sk_or(c, sk_and(c, x, codes), sk_k(c, groups * l->t->slots));
}

/* Two loads have the four groups, each 32 bytes. */
void sk_bytes_blocked(sk_dec *c, const sk_bytes_loop *l, sk_val both[SK_BYTES_VECTORS / 2])
{
    sk_builder *b = c->b;
    const sk_val field = sk_ir_ptr_add(b, l->page, sk_k(c, l->lay->code_off), 1);
    sk_val x[2];
    for (uint32_t k = 0; k < 2; k++) {
        const sk_val low = group_row(c, l, 2 * k, c->p / 2), high = group_row(c, l, 2 * k + 1, c->p / 2);
        const sk_val row = sk_sel(c, sk_ir_2(b, SK_OP_ULT, c->lane, sk_k(c, 8)), low, high);
        x[k] = sk_ir_ldrows(b, SK_LD_U32, field, sk_add(c, row, sk_shr(c, l->t0, 1)), 0, 8);
    }
    const sk_val i = sk_and(c, c->lane, 7);
    sk_val at = sk_add(c, sk_shl(c, sk_shr(c, i, 2), 4), sk_shl(c, sk_and(c, i, 3), 1));
    at = sk_mul(c, sk_add(c, at, sk_shr(c, c->lane, 3)), 0x01010101u);
    for (uint32_t n = 0; n < l->nv / 2; n++) { /* vectors `half` and half + 2 */
        const uint32_t half = sk_bytes_vector(l, n * l->nv / 4);
        const sk_val which = sk_add(c, at, sk_k(c, 0x60402000u + half * 0x08080808u));
        both[n] = sk_ir_3(b, SK_OP_PERM8X2, x[0], x[1], which);
    }
}

void sk_bytes_of_blocked(sk_dec *c, const sk_bytes_loop *l, const sk_val both[SK_BYTES_VECTORS / 2],
                          sk_val index[SK_BYTES_VECTORS])
{
    for (uint32_t n = 0; n < l->nv / 2; n++) {
        index[n] = masked(c, l, both[n], 0x03020100u);
        index[n + l->nv / 2] = masked(c, l, sk_shr(c, both[n], 4), 0x03020100u);
    }
}

/* 64 codes of a group as bytes with rubbish above, in the order of the file's head. */
static sk_val spread_codes(sk_dec *c, const sk_bytes_loop *l, sk_val field, uint32_t k)
{
    sk_builder *b = c->b;
    const uint32_t bits = l->seg->b;
    const uint32_t end = sk_unpack_end(c, l->tier_slot);
    const sk_val row = group_row(c, l, k, c->p * bits / 8);
    sk_val at = sk_add(c, row, sk_mul(c, sk_shr(c, l->t0, 3), bits)), past = SK_NONE;
    if (end > 0) { /* 64 bytes that end with the page: before the field there are as many */
        const sk_val here = sk_add(c, at, sk_k(c, l->lay->code_off));
        at = sk_ir_2k(b, SK_OP_UMIN, here, l->lay->code_off + end - 64);
        past = sk_ir_2(b, SK_OP_SUB, here, at);
        field = l->page;
    }
    const sk_val x = sk_ir_ldv(b, SK_LD_U32, field, at, 0);
    const sk_val odd = sk_and(c, c->lane, 1), half = sk_and(c, sk_shr(c, c->lane, 1), 1);
    const sk_val token = sk_add(c, sk_add(c, sk_shl(c, half, 5), sk_shl(c, odd, 4)),
                                sk_shl(c, sk_shr(c, c->lane, 2), 2));
    const sk_val bit = sk_mul(c, token, bits), every = sk_k(c, 0x01010101u);
    sk_val byte = sk_shr(c, bit, 3);
    if (past != SK_NONE) byte = sk_add(c, byte, past);
    const sk_val from = sk_add(c, sk_ir_2(b, SK_OP_MUL, byte, every), sk_k(c, 0x03020100u));
    const sk_val first = sk_add(c, sk_and(c, bit, 7), sk_shl(c, odd, 5));
    const sk_val fields = sk_add(c, sk_ir_2(b, SK_OP_MUL, first, every), sk_k(c, 0x03020100u * bits));
    const sk_val picked = sk_ir_2(b, SK_OP_PERM8, x, from);
    return bits == 8 ? picked : sk_ir_2(b, SK_OP_FIELD8, picked, fields);
}

void sk_bytes_zip8(sk_builder *b, sk_val x[4])
{
    const sk_val y[4] = {x[0], x[1], x[2], x[3]};
    for (uint32_t k = 0; k < 4; k++) x[k] = sk_ir_zip8(b, y[k / 2 * 2], y[k / 2 * 2 + 1], k % 2);
}

void sk_bytes_zip16(sk_builder *b, sk_val x[4])
{
    const sk_val y[4] = {x[0], x[1], x[2], x[3]};
    for (uint32_t k = 0; k < 4; k++) x[k] = sk_ir_zip16(b, y[k / 2], y[2 + k / 2], k % 2);
}

void sk_bytes_indices(sk_dec *c, const sk_bytes_loop *l, sk_val index[SK_BYTES_VECTORS])
{
    sk_builder *b = c->b;
    if (sk_layout_codes_blocked(c->spec, l->seg)) {
        sk_val both[SK_BYTES_VECTORS / 2];
        sk_bytes_blocked(c, l, both);
        sk_bytes_of_blocked(c, l, both, index);
        return;
    }
    const sk_val field = sk_ir_ptr_add(b, l->page, sk_k(c, l->lay->code_off), 1);
    for (uint32_t k = 0; k < 4; k++) index[k] = spread_codes(c, l, field, k);
    if (l->t->slots > 64) return; /* a table of its own ignores the rubbish */
    sk_bytes_zip8(b, index);
    if (l->t->slots < 64) sk_bytes_zip16(b, index);
    for (uint32_t k = 0; k < 4; k++)
        index[k] = masked(c, l, index[k], l->t->slots == 64 ? 0x01000100u : 0x03020100u);
}

void sk_bytes_radii(sk_dec *c, const sk_bytes_loop *l, sk_val radii[SK_BYTES_VECTORS])
{
    sk_builder *b = c->b;
    const uint32_t per_span = l->lay->span_dims / l->seg->g;
    const sk_val order = sk_add(c, sk_shl(c, sk_and(c, c->lane, 3), 2), sk_shr(c, c->lane, 2));
    for (uint32_t k = 0; k < 4; k++) {
        const sk_val span = sk_ir_2(b, SK_OP_UDIV, group_row(c, l, k, 1), sk_k(c, per_span));
        const sk_val at = sk_add(c, sk_mul(c, span, c->p), l->t0);
        radii[k] = sk_shuf(c, sk_ir_ldv(b, SK_LD_U32, l->page, at, l->lay->radius_off), order);
    }
    sk_bytes_zip8(b, radii);
    sk_bytes_zip16(b, radii);
}
