/* encode_vcodes.c - values of a dense page as codes: vi8 (symmetric, one f16
 * scale per page and channel) and vi4 (a scale and a minimum). A first sweep finds the scales as they are stored, a second
 * one the codes against those. Largest and smallest values are found with the new
 * one first: a NaN then counts for nothing, and its token alone suffers. */
#include <math.h>

#include "encode.h"

/* The code of the largest value. */
#define I8_TOP 127u
#define I4_TOP 15u

static sk_val f32(sk_enc *c, float x) { return sk_ir_f32(c->b, x); }

/* First element of token t of the 16 channels from c0. */
static sk_val element(sk_enc *c, sk_val c0, sk_val t)
{
    return sk_op2(c, SK_OP_ADD, sk_times(c, c0, c->dst.tp), sk_times(c, t, 16));
}

/* Cut to [low, high]; NaN becomes low. */
static sk_val cut(sk_enc *c, sk_val x, float low, float high)
{
    return sk_op2(c, SK_OP_FMIN, sk_op2(c, SK_OP_FMAX, x, f32(c, low)), f32(c, high));
}

/* ---- vi8 ---------------------------------------------------------------- */

/* Scales of the 16 channels from c0: stored to vs, inverses returned. */
static void int8_scales(sk_enc *c, sk_val c0, sk_val *inv)
{
    sk_builder *b = c->b;
    const uint32_t n = 16 / c->w;
    sk_val most[4];
    for (uint32_t x = 0; x < n; x++) most[x] = sk_ir_var(b, SK_LANE, f32(c, 0.0f));
    const sk_val t = sk_ir_for(b, c->zero, c->count, 1);
    const sk_val e = element(c, c0, t);
    for (uint32_t x = 0; x < n; x++) {
        const sk_val v = sk_ir_1(b, SK_OP_FABS, sk_encode_load_values(c, e, t, x));
        sk_ir_set(b, most[x], sk_op2(c, SK_OP_FMAX, v, sk_ir_get(b, most[x])));
    }
    sk_ir_end(b);
    for (uint32_t x = 0; x < n; x++) {
        sk_val bits;
        inv[x] = sk_encode_scale(c, sk_ir_get(b, most[x]), I8_TOP, &bits);
        sk_ir_stv(b, c->vs, sk_times(c, c0, 4), x * c->w * 4, bits);
    }
}

/* Row 0: bytes [token][16 channels]. */
static void int8_plain(sk_enc *c, sk_val c0, const sk_val *inv)
{
    sk_builder *b = c->b;
    const sk_val t0 = sk_ir_for(b, c->zero, sk_u32(c, c->dst.tp), 4 * c->w / 16);
    const sk_val e = element(c, c0, t0);
    sk_val q[4];
    for (uint32_t x = 0; x < 4; x++)
        q[x] = sk_encode_code(c, sk_encode_load_values(c, e, t0, x), inv[x % (16 / c->w)], I8_TOP);
    sk_ir_stv(b, c->dst_page, e, c->dst.value_off, sk_rows_pack8(b, q));
    sk_ir_end(b);
}

/* Row 1: bytes [token pair][16 channels][2]. */
static void int8_pairs(sk_enc *c, sk_val c0, const sk_val *inv)
{
    sk_builder *b = c->b;
    const uint32_t per_token = 16 / c->w;              /* vectors of a token */
    const uint32_t n = per_token > 2 ? per_token : 2;  /* vectors of pairs a step */
    const sk_val t0 = sk_ir_for(b, c->zero, sk_u32(c, c->dst.tp), 2 * n / per_token);
    const sk_val e = element(c, c0, t0);
    sk_val both[4];
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t x = i % per_token, first = i / per_token * 2 * per_token + x;
        const sk_val v0 = sk_encode_load_values(c, e, t0, first);
        const sk_val v1 = sk_encode_load_values(c, e, t0, first + per_token);
        const sk_val even = sk_encode_code(c, v0, inv[x], I8_TOP);
        const sk_val odd = sk_encode_code(c, v1, inv[x], I8_TOP);
        const sk_val low = sk_opk(c, SK_OP_AND, even, 0xff);
        const sk_val pair = sk_op2(c, SK_OP_OR, low, sk_opk(c, SK_OP_SHL, odd, 8));
        const sk_val up = sk_opk(c, SK_OP_SHL, pair, 16);
        both[i] = sk_opk(c, SK_OP_SRA, up, 16);
    }
    for (uint32_t i = 0; i < n; i += 2)
        sk_ir_stv(b, c->dst_page, e, c->dst.value_off + i * c->w * 2,
                  sk_op2(c, SK_OP_PACK16, both[i], both[i + 1]));
    sk_ir_end(b);
}

static void int8_values(sk_enc *c)
{
    sk_val inv[4];
    const sk_val c0 = sk_ir_for(c->b, c->zero, sk_u32(c, c->dst.cp), 16);
    int8_scales(c, c0, inv);
    if (sk_layout_values_paired(c->spec, SK_VAL_I8))
        int8_pairs(c, c0, inv);
    else
        int8_plain(c, c0, inv);
    sk_ir_end(c->b);
    sk_encode_pack(c, c->vs, c->dst.cp, 16, c->dst.vscale_off);
}

/* ---- vi4 ---------------------------------------------------------------- */

/* Scales and minima of the 16 channels from c0, stored to vs and vm. */
static void int4_scales(sk_enc *c, sk_val c0, sk_val *inv, sk_val *least)
{
    sk_builder *b = c->b;
    const uint32_t n = 16 / c->w;
    sk_val low[4], high[4];
    for (uint32_t x = 0; x < n; x++) {
        low[x] = sk_ir_var(b, SK_LANE, f32(c, INFINITY));
        high[x] = sk_ir_var(b, SK_LANE, f32(c, -INFINITY));
    }
    const sk_val t = sk_ir_for(b, c->zero, c->count, 1);
    const sk_val e = element(c, c0, t);
    for (uint32_t x = 0; x < n; x++) {
        const sk_val v = sk_encode_load_values(c, e, t, x);
        sk_ir_set(b, low[x], sk_op2(c, SK_OP_FMIN, v, sk_ir_get(b, low[x])));
        sk_ir_set(b, high[x], sk_op2(c, SK_OP_FMAX, v, sk_ir_get(b, high[x])));
    }
    sk_ir_end(b);
    const sk_val at = sk_times(c, c0, 4);
    for (uint32_t x = 0; x < n; x++) {
        const sk_val hi = sk_ir_get(b, high[x]), any = sk_op2(c, SK_OP_FLE, sk_ir_get(b, low[x]), hi);
        const sk_val lo = sk_pick(c, any, sk_ir_get(b, low[x]), f32(c, 0.0f));
        const sk_val range = sk_op2(c, SK_OP_FSUB, sk_pick(c, any, hi, f32(c, 0.0f)), lo);
        sk_val bits;
        inv[x] = sk_encode_scale(c, range, I4_TOP, &bits);
        sk_ir_stv(b, c->vs, at, x * c->w * 4, bits);
        bits = sk_op2(c, SK_OP_PACKF16, cut(c, lo, -65504.0f, 65504.0f), f32(c, 0.0f));
        sk_ir_stv(b, c->vm, at, x * c->w * 4, bits);
        least[x] = sk_ir_1(b, SK_OP_F16LO, bits);
    }
}

/* Nibbles [token][16 channels]; none of a slot that is not used. */
static void int4_codes(sk_enc *c, sk_val c0, const sk_val *inv, const sk_val *least)
{
    sk_builder *b = c->b;
    const uint32_t per_token = 16 / c->w;
    const sk_val t0 = sk_ir_for(b, c->zero, sk_u32(c, c->dst.tp), 8 / per_token);
    const sk_val e = element(c, c0, t0);
    sk_val q[8];
    for (uint32_t i = 0; i < 8; i++) {
        const uint32_t x = i % per_token;
        const sk_val t = sk_opk(c, SK_OP_ADD, t0, i / per_token);
        const sk_val v = sk_encode_load_values(c, e, t0, i);
        const sk_val above = sk_op2(c, SK_OP_FSUB, v, least[x]);
        const sk_val code = cut(c, sk_op2(c, SK_OP_FMUL, above, inv[x]), 0.0f, (float)I4_TOP);
        const sk_val used = sk_op2(c, SK_OP_ULT, t, c->count);
        q[i] = sk_pick(c, used, sk_ir_1(b, SK_OP_F2I, code), c->zero);
    }
    sk_ir_stv(b, c->dst_page, sk_opk(c, SK_OP_SHR, e, 1), c->dst.value_off,
              sk_rows_pack4(b, q));
    sk_ir_end(b);
}

static void int4_values(sk_enc *c)
{
    sk_val inv[4], least[4];
    const sk_val c0 = sk_ir_for(c->b, c->zero, sk_u32(c, c->dst.cp), 16);
    int4_scales(c, c0, inv, least);
    int4_codes(c, c0, inv, least);
    sk_ir_end(c->b);
    sk_encode_pack(c, c->vs, c->dst.cp, 16, c->dst.vscale_off);
    sk_encode_pack(c, c->vm, c->dst.cp, 16, c->dst.vmin_off);
}

void sk_encode_coded_values(sk_enc *c)
{
    switch (c->spec->tier[0].value) {
    case SK_VAL_I8: int8_values(c); break;
    case SK_VAL_I4: int4_values(c); break;
    default: sk_encode_float8_values(c); break;
    }
}
