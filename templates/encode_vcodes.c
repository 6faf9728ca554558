/* encode_vcodes.c - values of a dense page as codes: vi8 (symmetric, one f16 scale per page
 * and channel) and vi4 (a scale and a minimum). A first sweep finds the scales as they are
 * stored, a second one the codes against those. Largest and smallest values are found with
 * the new one first: a NaN then counts for nothing, and its token alone suffers. */
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

/* The least value, 0 where there is none, of those that low and high are
 * the bounds of; *scale (bits) and *inv: of their range. */
static sk_val int4_range(sk_enc *c, sk_val low, sk_val high, sk_val *scale, sk_val *inv)
{
    const sk_val any = sk_op2(c, SK_OP_FLE, low, high);
    const sk_val lo = sk_pick(c, any, low, f32(c, 0.0f));
    const sk_val range = sk_op2(c, SK_OP_FSUB, sk_pick(c, any, high, f32(c, 0.0f)), lo);
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
                  int4_minimum(c, int4_range(c, sk_ir_get(b, low), sk_ir_get(b, high), &bits, &inv)), inside);
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

#define STEP_MOST 8u /* tokens that are coded at once, at most */

/* Tokens looked at in a row: each maximum waits for the one before it. */
static uint32_t scanned(const sk_enc *c) { return c->w == 16 ? 4 : 2; }

/* Vector i of the values of tokens from t on, whose first element is e; `masked`: from count
 * on what no bound heeds, and what becomes the code 0. */
static sk_val scan_values(sk_enc *c, sk_val e, sk_val t, uint32_t i, bool masked)
{
    const sk_ld_kind from = sk_rows_value_kind(c->spec->tier[1].value);
    const uint32_t es = sk_ld_bytes(from);
    const sk_val v = sk_ir_ldv(c->b, from, c->src_page, sk_times(c, e, es),
                               c->src.value_off + i * c->w * es);
    if (!masked) return v;
    const sk_val none = f32(c, c->spec->tier[0].value == SK_VAL_I4 ? NAN : 0.0f);
    const sk_val token = sk_opk(c, SK_OP_ADD, t, i * c->w / 16);
    return sk_pick(c, sk_op2(c, SK_OP_ULT, token, c->count), v, none);
}

/* Tokens that are coded, in whole steps of any kind; the rest of the page is zeros. */
static sk_val coded_tokens(sk_enc *c)
{
    return sk_opk(c, SK_OP_AND, sk_opk(c, SK_OP_ADD, c->count, STEP_MOST - 1), ~(STEP_MOST - 1));
}

/* Bounds of the 16 channels, of `rows` tokens side by side: variables. */
typedef struct bounds {
    sk_val least[8], most[8];
    bool magnitudes; /* largest of these alone */
} bounds;

/* Tokens from .. end - 1 into the bounds. The values are kept as f32, where the codes are
 * made of them. */
static void scan_tokens(sk_enc *c, sk_val c0, sk_val from, sk_val end, bool masked, const bounds *to)
{
    sk_builder *b = c->b;
    const uint32_t rows = scanned(c);
    const sk_val t = sk_ir_for(b, from, end, rows), e = element(c, c0, t);
    for (uint32_t i = 0; i < rows * 16 / c->w; i++) {
        sk_val v = scan_values(c, e, t, i, masked);
        sk_ir_stv(b, c->val, sk_times(c, t, 64), i * c->w * 4, v);
        if (to->magnitudes) v = sk_ir_1(b, SK_OP_FABS, v);
        if (!to->magnitudes)
            sk_ir_set(b, to->least[i], sk_op2(c, SK_OP_FMIN, v, sk_ir_get(b, to->least[i])));
        sk_ir_set(b, to->most[i], sk_op2(c, SK_OP_FMAX, v, sk_ir_get(b, to->most[i])));
    }
    sk_ir_end(b);
}

/* Largest values of the 16 channels from c0, of magnitudes without `low`; in low the smallest.
 * Where a page ends is asked for the last tokens alone. */
static void scan_channels(sk_enc *c, sk_val c0, sk_val *low, sk_val *high)
{
    sk_builder *b = c->b;
    const uint32_t n = 16 / c->w, rows = scanned(c);
    bounds all = {.magnitudes = !low};
    for (uint32_t i = 0; i < rows * n; i++) {
        if (low) all.least[i] = sk_ir_var(b, SK_LANE, f32(c, INFINITY));
        all.most[i] = sk_ir_var(b, SK_LANE, f32(c, low ? -INFINITY : 0.0f));
    }
    const sk_val whole = sk_opk(c, SK_OP_AND, c->count, ~(STEP_MOST - 1));
    scan_tokens(c, c0, c->zero, whole, false, &all);
    scan_tokens(c, c0, whole, coded_tokens(c), true, &all);
    for (uint32_t i = 0; i < rows * n; i++) {
        const uint32_t x = i % n;
        const sk_val most = sk_ir_get(b, all.most[i]);
        high[x] = i < n ? most : sk_op2(c, SK_OP_FMAX, most, high[x]);
        if (!low) continue;
        const sk_val least = sk_ir_get(b, all.least[i]);
        low[x] = i < n ? least : sk_op2(c, SK_OP_FMIN, least, low[x]);
    }
}

/* Scales of the 16 channels from c0: stored to vs, inverses returned. */
static void int8_scales(sk_enc *c, sk_val c0, sk_val *inv)
{
    sk_val most[4], bits;
    scan_channels(c, c0, NULL, most);
    for (uint32_t x = 0; x < 16 / c->w; x++) {
        inv[x] = sk_encode_scale(c, most[x], I8_TOP, &bits);
        sk_ir_stv(c->b, c->vs, sk_times(c, c0, 4), x * c->w * 4, bits);
    }
}

/* Vector x of the values from token t0 on, whose first element is e. */
static sk_val load_value(sk_enc *c, sk_val e, sk_val t0, uint32_t x)
{
    if (c->gpu) return sk_encode_load_values(c, e, t0, x);
    return sk_ir_ldv(c->b, SK_LD_F32, c->val, sk_times(c, t0, 64), x * c->w * 4);
}

/* Zeros for the 16 channels from c0 of tokens that are not coded; `bits` a code. */
static void zero_rest(sk_enc *c, sk_val c0, uint32_t bits)
{
    const sk_val t = sk_ir_for(c->b, coded_tokens(c), sk_u32(c, c->dst.tp), STEP_MOST);
    const sk_val at = sk_opk(c, SK_OP_SHR, sk_times(c, element(c, c0, t), bits), 3);
    for (uint32_t x = 0; x < STEP_MOST * 16 * bits / 8; x += c->w * 4)
        sk_ir_stv(c->b, c->dst_page, at, c->dst.value_off + x, c->zero);
    sk_ir_end(c->b);
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
        q[x] = sk_encode_code(c, load_value(c, e, t0, x), inv[x % per_token(c)], I8_TOP);
    sk_ir_stv(c->b, c->dst_page, e, c->dst.value_off, sk_rows_pack8(c->b, q));
}

/* Vectors of pairs at once. */
static uint32_t pair_vectors(const sk_enc *c) { return per_token(c) > 2 ? per_token(c) : 2; }

/* The first (k = 0) or second token of each pair of vector i of pairs. */
static sk_val load_pairs(sk_enc *c, sk_val e, sk_val t0, uint32_t i, uint32_t k)
{
    const uint32_t n = per_token(c), first = i / n * 2 * n + i % n;
    if (c->w <= 16) return load_value(c, e, t0, first + k * n);
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
        zero_rest(c, c0, 8);
        t0 = sk_ir_for(c->b, c->zero, coded_tokens(c), step);
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
    scan_channels(c, c0, low, high);
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
        const sk_val above = sk_op2(c, SK_OP_FSUB, load_value(c, e, t0, i), least[x]);
        const sk_val code = sk_encode_nearest(c, sk_op2(c, SK_OP_FMUL, above, inv[x]), 0, I4_TOP);
        q[i] = c->gpu ? sk_pick(c, sk_op2(c, SK_OP_ULT, t, c->count), code, c->zero) : code;
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
        zero_rest(c, c0, 4);
        t0 = sk_ir_for(c->b, c->zero, coded_tokens(c), step);
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
