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

/* ---- scales on a GPU ---------------------------------------------------- */

/* The least value, 0 where there is none, of those that variables low and high are
 * the bounds of; *scale (bits) and *inv: of their range. */
static sk_val int4_range(sk_enc *c, sk_val low, sk_val high, sk_val *scale, sk_val *inv)
{
    sk_builder *b = c->b;
    const sk_val hi = sk_ir_get(b, high), any = sk_op2(c, SK_OP_FLE, sk_ir_get(b, low), hi);
    const sk_val lo = sk_pick(c, any, sk_ir_get(b, low), f32(c, 0.0f));
    const sk_val range = sk_op2(c, SK_OP_FSUB, sk_pick(c, any, hi, f32(c, 0.0f)), lo);
    *inv = sk_encode_scale(c, range, I4_TOP, scale);
    return lo;
}

static sk_val int4_minimum(sk_enc *c, sk_val lo)
{
    return sk_op2(c, SK_OP_PACKF16, cut(c, lo, -65504.0f, 65504.0f), f32(c, 0.0f));
}

/* Lanes are channels, each goes over its tokens in order: scales (and minima) to vs
 * (and vm), for all warps. */
static void channel_scales(sk_enc *c)
{
    sk_builder *b = c->b;
    const bool four = c->spec->tier[0].value == SK_VAL_I4;
    const sk_ld_kind from = sk_rows_value_kind(c->spec->tier[1].value);
    const uint32_t es = sk_ld_bytes(from);
    const sk_val channel = sk_op2(c, SK_OP_ADD, sk_enc_turns(c, c->dst.cp, c->w), c->lane);
    const sk_val inside = sk_opk(c, SK_OP_ULT, channel, c->dst.cp);
    const sk_val block = sk_times(c, sk_opk(c, SK_OP_SHR, channel, 4), c->dst.tp * 16);
    const sk_val first = sk_op2(c, SK_OP_ADD, block, sk_opk(c, SK_OP_AND, channel, 15));
    const sk_val low = sk_ir_var(b, SK_LANE, f32(c, INFINITY));
    const sk_val high = sk_ir_var(b, SK_LANE, f32(c, four ? -INFINITY : 0.0f));
    const sk_val t = sk_ir_for(b, c->zero, c->count, 1);
    const sk_val at = sk_times(c, sk_op2(c, SK_OP_ADD, first, sk_times(c, t, 16)), es);
    sk_val v = sk_ir_ldg(b, from, c->src_page, at, c->src.value_off, inside), bits, inv;
    if (four) sk_ir_set(b, low, sk_op2(c, SK_OP_FMIN, v, sk_ir_get(b, low)));
    if (!four) v = sk_ir_1(b, SK_OP_FABS, v);
    sk_ir_set(b, high, sk_op2(c, SK_OP_FMAX, v, sk_ir_get(b, high)));
    sk_ir_end(b);
    if (four)
        sk_ir_stg(b, c->vm, sk_times(c, channel, 4), 0,
                  int4_minimum(c, int4_range(c, low, high, &bits, &inv)), inside);
    else
        inv = sk_encode_scale(c, sk_ir_get(b, high), I8_TOP, &bits);
    sk_ir_stg(b, c->vs, sk_times(c, channel, 4), 0, bits, inside);
    sk_ir_end(b);
    sk_enc_sync(c);
}

/* What channel_scales has left for a vector of the 16 channels from c0. */
static void stored_scales(sk_enc *c, sk_val c0, sk_val *inv, sk_val *least)
{
    sk_builder *b = c->b;
    const sk_val channel = sk_op2(c, SK_OP_ADD, c0, sk_opk(c, SK_OP_AND, c->lane, 15));
    const sk_val at = sk_times(c, channel, 4);
    inv[0] = sk_encode_inverse(c, sk_ir_ldg(b, SK_LD_U32, c->vs, at, 0, SK_NONE), f32(c, 0.0f));
    if (least)
        least[0] = sk_ir_1(b, SK_OP_F16LO, sk_ir_ldg(b, SK_LD_U32, c->vm, at, 0, SK_NONE));
}

/* ---- vi8 ---------------------------------------------------------------- */

#define SCAN 4u /* tokens looked at in a row: each maximum waits for the one before it */

/* Scales of the 16 channels from c0: stored to vs, inverses returned. */
static void int8_scales(sk_enc *c, sk_val c0, sk_val *inv)
{
    sk_builder *b = c->b;
    const uint32_t n = 16 / c->w;
    sk_val most[16];
    for (uint32_t x = 0; x < SCAN * n; x++) most[x] = sk_ir_var(b, SK_LANE, f32(c, 0.0f));
    const sk_val t = sk_ir_for(b, c->zero, c->count, SCAN);
    const sk_val e = element(c, c0, t);
    for (uint32_t x = 0; x < SCAN * n; x++) {
        const sk_val v = sk_ir_1(b, SK_OP_FABS, sk_encode_load_values(c, e, t, x));
        sk_ir_set(b, most[x], sk_op2(c, SK_OP_FMAX, v, sk_ir_get(b, most[x])));
    }
    sk_ir_end(b);
    for (uint32_t x = 0; x < n; x++)
        for (uint32_t k = 1; k < SCAN; k++) {
            const sk_val more = sk_ir_get(b, most[k * n + x]);
            sk_ir_set(b, most[x], sk_op2(c, SK_OP_FMAX, more, sk_ir_get(b, most[x])));
        }
    for (uint32_t x = 0; x < n; x++) {
        sk_val bits;
        inv[x] = sk_encode_scale(c, sk_ir_get(b, most[x]), I8_TOP, &bits);
        sk_ir_stv(b, c->vs, sk_times(c, c0, 4), x * c->w * 4, bits);
    }
}

/* Vectors of a token's 16 channels, and tokens of a vector: one of them is 1. */
static uint32_t per_token(const sk_enc *c) { return c->w < 16 ? 16 / c->w : 1; }
static uint32_t per_vector(const sk_enc *c) { return c->w > 16 ? c->w / 16 : 1; }

/* Row 0: bytes [token][16 channels]; 4 vectors from t0 on. */
static void int8_plain(sk_enc *c, sk_val c0, sk_val t0, const sk_val *inv)
{
    const sk_val e = element(c, c0, t0);
    sk_val q[4];
    for (uint32_t x = 0; x < 4; x++)
        q[x] = sk_encode_code(c, sk_encode_load_values(c, e, t0, x), inv[x % per_token(c)], I8_TOP);
    sk_ir_stv(c->b, c->dst_page, e, c->dst.value_off, sk_rows_pack8(c->b, q));
}

/* Vectors of pairs at once. */
static uint32_t pair_vectors(const sk_enc *c) { return per_token(c) > 2 ? per_token(c) : 2; }

/* The first (k = 0) or second token of each pair of vector i of pairs. */
static sk_val load_pairs(sk_enc *c, sk_val e, sk_val t0, uint32_t i, uint32_t k)
{
    const uint32_t n = per_token(c), first = i / n * 2 * n + i % n;
    if (c->w <= 16) return sk_encode_load_values(c, e, t0, first + k * n);
    const sk_ld_kind from = sk_rows_value_kind(c->spec->tier[1].value); /* two pairs, lane by lane */
    const uint32_t es = sk_ld_bytes(from), token = 4 * i + k;
    const sk_val pair = sk_times(c, sk_opk(c, SK_OP_SHR, c->lane, 4), 2);
    const sk_val at = sk_op2(c, SK_OP_ADD, sk_times(c, pair, 16), sk_opk(c, SK_OP_AND, c->lane, 15));
    const sk_val v = sk_ir_ldg(c->b, from, c->src_page, sk_times(c, sk_op2(c, SK_OP_ADD, e, at), es),
                               c->src.value_off + token * 16 * es, SK_NONE);
    return sk_encode_masked(c, sk_op2(c, SK_OP_ADD, sk_opk(c, SK_OP_ADD, t0, token), pair), v);
}

/* Row 1: bytes [token pair][16 channels][2]. */
static void int8_pairs(sk_enc *c, sk_val c0, sk_val t0, const sk_val *inv)
{
    sk_builder *b = c->b;
    const uint32_t n = pair_vectors(c);
    const sk_val e = element(c, c0, t0);
    sk_val both[4];
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t x = i % per_token(c);
        const sk_val v0 = load_pairs(c, e, t0, i, 0), v1 = load_pairs(c, e, t0, i, 1);
        const sk_val even = sk_encode_code(c, v0, inv[x], I8_TOP);
        const sk_val odd = sk_encode_code(c, v1, inv[x], I8_TOP);
        const sk_val low = sk_opk(c, SK_OP_AND, even, 0xff);
        both[i] = sk_op2(c, SK_OP_OR, low, sk_opk(c, SK_OP_SHL, odd, 8));
        /* of 16 bits with a sign, which a pack leaves as they are */
    }
    for (uint32_t i = 0; i < n; i += 2)
        sk_ir_stv(b, c->dst_page, e, c->dst.value_off + i * c->w * 2,
                  sk_op2(c, SK_OP_PACK16, both[i], both[i + 1]));
}

static void int8_values(sk_enc *c)
{
    const bool pairs = sk_layout_values_paired(c->spec, SK_VAL_I8);
    const uint32_t step = (pairs ? 2 * pair_vectors(c) : 4) * per_vector(c) / per_token(c);
    sk_val inv[4], c0, t0;
    if (c->gpu) {
        channel_scales(c);
        sk_enc_nest(c, c->dst.cp, 16, c->dst.tp, step, &c0, &t0);
        stored_scales(c, c0, inv, NULL);
    } else {
        c0 = sk_ir_for(c->b, c->zero, sk_u32(c, c->dst.cp), 16);
        int8_scales(c, c0, inv);
        t0 = sk_ir_for(c->b, c->zero, sk_u32(c, c->dst.tp), step);
    }
    if (pairs)
        int8_pairs(c, c0, t0, inv);
    else
        int8_plain(c, c0, t0, inv);
    sk_enc_nest_end(c);
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
        sk_val bits;
        const sk_val lo = int4_range(c, low[x], high[x], &bits, &inv[x]);
        sk_ir_stv(b, c->vs, at, x * c->w * 4, bits);
        bits = int4_minimum(c, lo);
        sk_ir_stv(b, c->vm, at, x * c->w * 4, bits);
        least[x] = sk_ir_1(b, SK_OP_F16LO, bits);
    }
}

/* Nibbles [token][16 channels], 8 vectors from t0 on; none of a slot that is not used. */
static void int4_codes(sk_enc *c, sk_val c0, sk_val t0, const sk_val *inv, const sk_val *least)
{
    sk_builder *b = c->b;
    const sk_val e = element(c, c0, t0);
    sk_val q[8];
    for (uint32_t i = 0; i < 8; i++) {
        const uint32_t x = i % per_token(c);
        sk_val t = sk_opk(c, SK_OP_ADD, t0, i * per_vector(c) / per_token(c));
        if (c->w > 16) t = sk_op2(c, SK_OP_ADD, t, sk_opk(c, SK_OP_SHR, c->lane, 4));
        const sk_val v = sk_encode_load_values(c, e, t0, i);
        const sk_val above = sk_op2(c, SK_OP_FSUB, v, least[x]);
        const sk_val code = cut(c, sk_op2(c, SK_OP_FMUL, above, inv[x]), 0.0f, (float)I4_TOP);
        const sk_val used = sk_op2(c, SK_OP_ULT, t, c->count);
        q[i] = sk_pick(c, used, sk_ir_1(b, SK_OP_F2I, code), c->zero);
    }
    sk_ir_stv(b, c->dst_page, sk_opk(c, SK_OP_SHR, e, 1), c->dst.value_off,
              sk_rows_pack4(b, q));
}

static void int4_values(sk_enc *c)
{
    const uint32_t step = 8 * per_vector(c) / per_token(c);
    sk_val inv[4], least[4], c0, t0;
    if (c->gpu) {
        channel_scales(c);
        sk_enc_nest(c, c->dst.cp, 16, c->dst.tp, step, &c0, &t0);
        stored_scales(c, c0, inv, least);
    } else {
        c0 = sk_ir_for(c->b, c->zero, sk_u32(c, c->dst.cp), 16);
        int4_scales(c, c0, inv, least);
        t0 = sk_ir_for(c->b, c->zero, sk_u32(c, c->dst.tp), step);
    }
    int4_codes(c, c0, t0, inv, least);
    sk_enc_nest_end(c);
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
