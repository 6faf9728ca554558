/* encode_ints.c - keys of a dense page into ki8 and ki4: per token and 32
 * dimensions one f16 scale, the largest magnitude over the largest code, and
 * codes to the nearest. Lanes are tokens, 16 of a dimension side by side;
 * elements go out in memory order, so that one lane owns each word. Slots from
 * count on are zeros: scale 0, and for ki4 the nibble 0 too, not the code 0. */
#include "encode.h"

/* Vector x of W consecutive key elements from element e (a multiple of 16) of
 * the 16 tokens from t0 on. */
static sk_val load_keys(sk_enc *c, sk_val e, sk_val token, uint32_t x)
{
    const sk_ld_kind from = sk_rows_key_kind(c->spec->tier[1].seg[0].kind);
    const uint32_t es = sk_ld_bytes(from);
    const sk_val k = sk_ir_ldv(c->b, from, c->src_page, sk_times(c, e, es),
                               c->src.seg[0].key_off + x * c->w * es);
    return sk_encode_masked(c, token, k);
}

/* Dimensions d0 .. d0 + dims - 1, one block, of 16 tokens. */
static void int_block(sk_enc *c, sk_val t0, sk_val d0, uint32_t dims)
{
    sk_builder *b = c->b;
    const bool bytes = c->seg->kind == SK_KEY_I8;
    const uint32_t n = 16 / c->w, top = bytes ? 127 : 7, out = bytes ? 4 : 8;
    sk_val token[4], most[4], inv[4];
    for (uint32_t x = 0; x < n; x++) {
        token[x] = sk_op2(c, SK_OP_ADD, t0, sk_opk(c, SK_OP_ADD, c->lane, x * c->w));
        most[x] = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f));
    }
    const sk_val row = sk_op2(c, SK_OP_ADD, sk_times(c, t0, c->spec->d), sk_times(c, d0, 16));
    sk_val i = sk_ir_for(b, c->zero, sk_u32(c, dims), 1);
    sk_val e = sk_op2(c, SK_OP_ADD, row, sk_times(c, i, 16));
    for (uint32_t x = 0; x < n; x++) {
        const sk_val k = sk_ir_1(b, SK_OP_FABS, load_keys(c, e, token[x], x));
        sk_ir_set(b, most[x], sk_op2(c, SK_OP_FMAX, sk_ir_get(b, most[x]), k));
    }
    sk_ir_end(b);
    const sk_val slot = sk_times(c, sk_opk(c, SK_OP_SHR, d0, 5), c->spec->page);
    for (uint32_t x = 0; x < n; x++) {
        sk_val bits;
        inv[x] = sk_encode_scale(c, sk_ir_get(b, most[x]), top, &bits);
        sk_ir_stv(b, c->ks, sk_times(c, sk_op2(c, SK_OP_ADD, slot, t0), 4), x * c->w * 4, bits);
    }
    i = sk_ir_for(b, c->zero, sk_u32(c, dims), out / n);
    e = sk_op2(c, SK_OP_ADD, row, sk_times(c, i, 16));
    sk_val q[8];
    for (uint32_t x = 0; x < out; x++) {
        q[x] = sk_encode_code(c, load_keys(c, e, token[x % n], x), inv[x % n], top);
        if (bytes) continue;
        const sk_val used = sk_op2(c, SK_OP_ULT, token[x % n], c->count);
        q[x] = sk_pick(c, used, sk_opk(c, SK_OP_ADD, q[x], 8), c->zero);
    }
    const sk_val at = bytes ? e : sk_opk(c, SK_OP_SHR, e, 1);
    sk_ir_stv(b, c->dst_page, at, c->dst.seg[0].key_off,
              bytes ? sk_rows_pack8(b, q) : sk_rows_pack4(b, q));
    sk_ir_end(b);
}

void sk_encode_int_keys(sk_enc *c)
{
    const uint32_t d = c->spec->d, whole = d & ~31u;
    const sk_val t0 = sk_ir_for(c->b, c->zero, sk_u32(c, c->spec->page), 16);
    if (whole > 0) {
        const sk_val d0 = sk_ir_for(c->b, c->zero, sk_u32(c, whole), 32);
        int_block(c, t0, d0, 32);
        sk_ir_end(c->b);
    }
    if (whole < d) int_block(c, t0, sk_u32(c, whole), d - whole);
    sk_ir_end(c->b);
    sk_encode_pack(c, c->ks, (d + 31) / 32 * c->spec->page, 16, c->dst.seg[0].kscale_off);
}
