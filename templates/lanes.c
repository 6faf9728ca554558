/* lanes.c - see lanes.h. */
#include "lanes.h"

#include "rows.h"

static sk_val op(sk_dec *d, sk_op o, sk_val x, sk_val y) { return sk_ir_2(d->b, o, x, y); }

static sk_val load(sk_dec *d, sk_ld_kind kind, sk_val from, sk_val off, uint32_t disp)
{
    return sk_ir_ldg(d->b, kind, from, off, disp, SK_NONE);
}

/* Those whose width does not divide a word may end in the next one. */
sk_val sk_lanes_numbers(sk_dec *d, sk_val page, uint32_t field, sk_val bit, uint32_t bits,
                        sk_val inside)
{
    sk_builder *b = d->b;
    if (bits == 8) return sk_ir_ldg(b, SK_LD_U8, page, sk_shr(d, bit, 3), field, inside);
    const sk_val at = sk_shl(d, sk_shr(d, bit, 5), 2), s = sk_and(d, bit, 31);
    sk_val x = op(d, SK_OP_SHR, sk_ir_ldg(b, SK_LD_U32, page, at, field, inside), s);
    if (32 % bits != 0) {
        sk_val far = op(d, SK_OP_ULT, sk_k(d, 32 - bits), s);
        if (inside != SK_NONE) far = op(d, SK_OP_PAND, far, inside);
        const sk_val next = sk_ir_ldg(b, SK_LD_U32, page, at, field + 4, far);
        x = sk_or(d, x, op(d, SK_OP_SHL, next, op(d, SK_OP_SUB, sk_k(d, 32), s)));
    }
    return sk_and(d, x, (1u << bits) - 1);
}

sk_lanes sk_lanes_begin(sk_dec *d, uint32_t tier_slot, const sk_page_layout *lay, sk_val page,
                        sk_val set, sk_val token)
{
    sk_lanes c = {.d = d, .tier_slot = tier_slot, .lay = lay, .page = page, .set = set,
                  .token = token, .seg = sk_dec_seg(d->spec, tier_slot), .blocked = SK_NONE};
    if (!sk_layout_codes_blocked(d->spec, c.seg)) return c;
    const sk_val u = sk_and(d, token, 63), i = sk_and(d, u, 7), q = sk_and(d, sk_shr(d, u, 3), 3);
    const sk_val half = sk_add(d, sk_shl(d, sk_shr(d, i, 2), 4), sk_shl(d, sk_shr(d, q, 1), 3));
    const sk_val byte = sk_add(d, sk_shl(d, sk_and(d, i, 3), 1), sk_and(d, q, 1));
    c.blocked = sk_add(d, sk_shl(d, sk_shr(d, token, 6), 5), sk_add(d, half, byte));
    c.shift = sk_shl(d, sk_shr(d, u, 5), 2);
    return c;
}

sk_val sk_lanes_codes(const sk_lanes *c, sk_val j)
{
    sk_dec *d = c->d;
    const uint32_t field = c->lay->seg[0].code_off, bits = c->seg->b;
    if (c->blocked != SK_NONE) {
        const sk_val at = sk_add(d, sk_mul(d, j, d->p / 2), c->blocked);
        return sk_and(d, op(d, SK_OP_SHR, load(d, SK_LD_U8, c->page, at, field), c->shift), 15);
    }
    return sk_lanes_numbers(d, c->page, field,
                            sk_add(d, sk_mul(d, j, d->p * bits), sk_mul(d, c->token, bits)), bits,
                            SK_NONE);
}

sk_val sk_lanes_radii(const sk_lanes *c, sk_val p)
{
    sk_dec *d = c->d;
    const sk_seg_layout *lay = &c->lay->seg[0];
    const uint32_t rb = c->seg->rb;
    const sk_val at = sk_add(d, sk_mul(d, p, d->p), c->token);
    if (rb == 16) return load(d, SK_LD_F16, c->page, sk_mul(d, at, 2), lay->radius_off);
    const sk_val stored = sk_ir_ldu(d->b, SK_LD_F16, c->page, sk_mul(d, p, 2), lay->rscale_off);
    const sk_val unit =
        op(d, SK_OP_FMUL, stored, sk_ir_f32(d->b, 1.0f / (float)((1u << rb) - 1)));
    const sk_val code = sk_lanes_numbers(d, c->page, lay->radius_off, sk_mul(d, at, rb), rb, SK_NONE);
    return op(d, SK_OP_FMUL, sk_ir_1(d->b, SK_OP_I2F, code), unit);
}

sk_val sk_lanes_codewords(const sk_lanes *c, sk_val dim, uint32_t plus, sk_val code)
{
    sk_dec *d = c->d;
    const uint32_t bytes = 2u << c->seg->b, off = sk_dec_words_off(d, c->tier_slot);
    const sk_val row = sk_ir_ptr_add(d->b, c->set, dim, bytes);
    return load(d, SK_LD_F16, row, sk_mul(d, code, 2), off + plus * bytes);
}

sk_val sk_lanes_scales(const sk_lanes *c, sk_val dim)
{
    sk_dec *d = c->d;
    const sk_seg_layout *lay = &c->lay->seg[0];
    if (lay->kscale_off == SK_NO_FIELD) return SK_NONE;
    if (c->seg->kind == SK_KEY_F8) /* one of the page */
        return sk_ir_ldu(d->b, SK_LD_F16, c->page, d->zero, lay->kscale_off);
    const sk_val slot = sk_add(d, sk_mul(d, sk_shr(d, dim, 5), d->p), c->token);
    return load(d, SK_LD_F16, c->page, sk_mul(d, slot, 2), lay->kscale_off);
}

sk_val sk_lanes_dense(const sk_lanes *c, sk_val dim, uint32_t plus, sk_val scale)
{
    sk_dec *d = c->d;
    sk_builder *b = d->b;
    const uint32_t kind = c->seg->kind, field = c->lay->seg[0].key_off, more = plus * 16;
    const sk_val row = sk_add(d, sk_mul(d, sk_shr(d, c->token, 4), d->d), dim);
    const sk_val at = sk_add(d, sk_mul(d, row, 16), sk_and(d, c->token, 15));
    const sk_ld_kind wide = sk_rows_key_kind(kind);
    if (wide != SK_LD_KINDS) return load(d, wide, c->page, sk_mul(d, at, sk_ld_bytes(wide)),
                                              field + more * sk_ld_bytes(wide));
    if (kind != SK_KEY_I4) {
        const sk_val code = load(d, SK_LD_S8, c->page, at, field + more);
        return op(d, SK_OP_FMUL,
                  kind == SK_KEY_F8 ? sk_rows_float8(b, code) : sk_ir_1(b, SK_OP_I2F, code), scale);
    }
    const sk_val byte = load(d, SK_LD_U8, c->page, sk_shr(d, at, 1), field + more / 2);
    const sk_val nibble = op(d, SK_OP_SHR, byte, sk_shl(d, sk_and(d, at, 1), 2));
    const sk_val code = sk_ir_1(b, SK_OP_I2F, sk_and(d, nibble, 15));
    return sk_fma(d, code, scale, op(d, SK_OP_FMUL, scale, sk_ir_f32(b, -8.0f)));
}

/* ---- values ----------------------------------------------------------------- */

sk_lane_values sk_lane_values_begin(sk_dec *d, uint32_t tier_slot, const sk_page_layout *lay,
                                    sk_val page, sk_val channel, sk_val inside)
{
    sk_lane_values c = {.d = d, .kind = d->spec->tier[tier_slot].value, .lay = lay, .page = page,
                        .channel = channel, .scale = SK_NONE, .least = SK_NONE};
    const sk_val at = sk_mul(d, channel, 2);
    if (c.kind == SK_VAL_F8) c.scale = sk_ir_ldu(d->b, SK_LD_F16, page, d->zero, lay->vscale_off);
    if (c.kind == SK_VAL_I8 || c.kind == SK_VAL_I4)
        c.scale = sk_ir_ldg(d->b, SK_LD_F16, page, at, lay->vscale_off, inside);
    if (c.kind == SK_VAL_I4) c.least = sk_ir_ldg(d->b, SK_LD_F16, page, at, lay->vmin_off, inside);
    return c;
}

sk_val sk_lane_value(const sk_lane_values *c, sk_val t, sk_val inside)
{
    sk_dec *d = c->d;
    sk_builder *b = d->b;
    const uint32_t field = c->lay->value_off;
    const sk_ld_kind wide = sk_rows_value_kind(c->kind);
    const sk_val block = sk_mul(d, sk_shr(d, c->channel, 4), d->tp), in = sk_and(d, c->channel, 15);
    const sk_val at = sk_add(d, sk_mul(d, sk_add(d, block, t), 16), in);
    if (wide != SK_LD_KINDS)
        return sk_ir_ldg(b, wide, c->page, sk_mul(d, at, sk_ld_bytes(wide)), field, inside);
    if (c->kind == SK_VAL_I4) {
        const sk_val byte = sk_ir_ldg(b, SK_LD_U8, c->page, sk_shr(d, at, 1), field, inside);
        const sk_val nibble = op(d, SK_OP_SHR, byte, sk_shl(d, sk_and(d, at, 1), 2));
        return sk_fma(d, sk_ir_1(b, SK_OP_I2F, sk_and(d, nibble, 15)), c->scale, c->least);
    }
    sk_val byte = at;
    if (sk_layout_values_paired(d->spec, c->kind)) { /* bytes [token pair][16 channels][2] */
        const sk_val pair = sk_mul(d, sk_add(d, sk_shr(d, block, 1), sk_shr(d, t, 1)), 32);
        byte = sk_add(d, sk_add(d, pair, sk_shl(d, in, 1)), sk_and(d, t, 1));
    }
    const sk_val code = sk_ir_ldg(b, SK_LD_S8, c->page, byte, field, inside);
    const sk_val x = c->kind == SK_VAL_F8 ? sk_rows_float8(b, code) : sk_ir_1(b, SK_OP_I2F, code);
    return op(d, SK_OP_FMUL, x, c->scale);
}
