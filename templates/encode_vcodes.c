/* encode_vcodes.c - values of a dense page as codes: vi8 (symmetric, one f16 scale per page
 * and channel) and vi4 (a scale and a minimum). A first sweep finds the scales as they are
 * stored (on a CPU: encode_vbounds.c), a second one the codes against those. */
#include <math.h>

#include "encode.h"

/* The code of the largest value. */
#define I8_TOP 127u
#define I4_TOP 15u

/* 16 channels under coding, of vectors of their own. */
typedef struct channels {
    sk_val c0;
    sk_val inv[4], least[4];
    sk_val zero[4]; /* what v / scale is added to: the origin, of halves as vi4 with the minimum off */
    bool quick;     /* a full page, values whose codes need not be cut */
} channels;

static sk_val f32(sk_enc *c, float x) { return sk_ir_f32(c->b, x); }

/* Cut to [low, high]; NaN becomes low. */
static sk_val cut(sk_enc *c, sk_val x, float low, float high)
{
    return sk_op2(c, SK_OP_FMIN, sk_op2(c, SK_OP_FMAX, x, f32(c, low)), f32(c, high));
}

/* Of halves the minimum, over the scale, is no more than 2^15, so that it is off by half a
 * step of f32 there at most, 2^-10 of a code: it comes off with the origin. Elsewhere it is
 * taken from the value. */
static bool least_in_zero(const sk_enc *c)
{
    return sk_rows_value_kind(c->spec->tier[1].value) == SK_LD_F16;
}

static void make_zero(sk_enc *c, channels *of, uint32_t x)
{
    const bool four = c->spec->tier[0].value == SK_VAL_I4;
    of->zero[x] = f32(c, four ? SK_CODE4_ORIGIN : SK_CODE8_ORIGIN);
    if (four && least_in_zero(c))
        of->zero[x] = sk_ir_3(c->b, SK_OP_FMA, sk_ir_1(c->b, SK_OP_FNEG, of->least[x]), of->inv[x], of->zero[x]);
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

/* Zero has no sign: which of two is the least depends on how they are compared. */
static sk_val int4_minimum(sk_enc *c, sk_val lo)
{
    const sk_val half = sk_op2(c, SK_OP_PACKF16, cut(c, lo, -65504.0f, 65504.0f), f32(c, 0.0f));
    return sk_pick(c, sk_opk(c, SK_OP_EQ, half, 0x8000), c->zero, half);
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

/* What channel_scales has left for a vector of the 16 channels. */
static void stored_scales(sk_enc *c, channels *of)
{
    sk_builder *b = c->b;
    const sk_val channel = sk_op2(c, SK_OP_ADD, of->c0, sk_opk(c, SK_OP_AND, c->lane, 15));
    const sk_val at = sk_times(c, channel, 4);
    of->inv[0] = sk_encode_inverse(c, sk_ir_ldg(b, SK_LD_U32, c->vs, at, 0, SK_NONE), f32(c, 0.0f));
    if (c->spec->tier[0].value == SK_VAL_I4)
        of->least[0] = sk_ir_1(b, SK_OP_F16LO, sk_ir_ldg(b, SK_LD_U32, c->vm, at, 0, SK_NONE));
    make_zero(c, of, 0);
}

/* ---- scales on a CPU ------------------------------------------------------ */

/* Whether all is as `quick` wants it, a value or SK_NONE: a scale that is no normal half can
 * be so much smaller than the exact one that the largest value is beyond the largest code. */
static sk_val is_quick(sk_enc *c, sk_val finite, const sk_val *bits)
{
    if (finite == SK_NONE) return SK_NONE;
    sk_val small = SK_NONE;
    for (uint32_t x = 0; x < 16 / c->w; x++) {
        const sk_val here = sk_opk(c, SK_OP_ULT, sk_opk(c, SK_OP_SUB, bits[x], 1), 0x3ff);
        small = small == SK_NONE ? here : sk_op2(c, SK_OP_POR, small, here);
    }
    return sk_op2(c, SK_OP_PAND, sk_opk(c, SK_OP_NE, finite, 0),
                  sk_ir_1(c->b, SK_OP_PNOT, sk_ir_any(c->b, small)));
}

/* Scales of the channels from to->c0, stored to vs, and, of vi4, minima to vm. */
static sk_val make_scales(sk_enc *c, channels *to)
{
    sk_builder *b = c->b;
    const bool four = c->spec->tier[0].value == SK_VAL_I4;
    const sk_val at = sk_times(c, to->c0, 4);
    sk_val low[4], high[4], bits[4];
    const sk_val finite = sk_encode_channel_bounds(c, to->c0, four ? low : NULL, high);
    for (uint32_t x = 0; x < 16 / c->w; x++) {
        if (four) {
            const sk_val lo = int4_range(c, low[x], high[x], &bits[x], &to->inv[x]);
            const sk_val least = int4_minimum(c, lo);
            sk_ir_stv(b, c->vm, at, x * c->w * 4, least);
            to->least[x] = sk_ir_1(b, SK_OP_F16LO, least);
        } else {
            to->inv[x] = sk_encode_scale(c, high[x], I8_TOP, &bits[x]);
        }
        sk_ir_stv(b, c->vs, at, x * c->w * 4, bits[x]);
        make_zero(c, to, x);
    }
    return is_quick(c, finite, bits);
}

/* ---- codes ---------------------------------------------------------------- */

/* Vector x of the values from token t0 on, whose first element is e. */
static sk_val load_value(sk_enc *c, const channels *of, sk_val e, sk_val t0, uint32_t x)
{
    return of->quick ? sk_encode_source_values(c, e, x) : sk_encode_load_values(c, e, t0, x);
}

/* The nearest code of v, of vector x of the channels, in the bits of a number. */
static sk_val code_bits(sk_enc *c, const channels *of, sk_val v, uint32_t x)
{
    const bool four = c->spec->tier[0].value == SK_VAL_I4;
    const float low = four ? SK_CODE4_ORIGIN - 0.5f : SK_CODE8_ORIGIN - I8_TOP;
    const float high = four ? SK_CODE4_ORIGIN + I4_TOP : SK_CODE8_ORIGIN + I8_TOP;
    if (four && !least_in_zero(c)) v = sk_op2(c, SK_OP_FSUB, v, of->least[x]);
    v = sk_ir_3(c->b, SK_OP_FMA, v, of->inv[x], of->zero[x]);
    return sk_ir_1(c->b, SK_OP_BITS, of->quick ? v : cut(c, v, low, high));
}

/* Zeros for the channels of tokens that are not coded; `bits` a code. */
static void zero_rest(sk_enc *c, const channels *of, uint32_t bits)
{
    const sk_val t = sk_ir_for(c->b, sk_encode_coded_tokens(c), sk_u32(c, c->dst.tp), SK_ENCODE_STEP);
    const sk_val at = sk_opk(c, SK_OP_SHR, sk_times(c, sk_encode_element(c, of->c0, t), bits), 3);
    for (uint32_t x = 0; x < SK_ENCODE_STEP * 16 * bits / 8; x += c->w * 4)
        sk_ir_stv(c->b, c->dst_page, at, c->dst.value_off + x, c->zero);
    sk_ir_end(c->b);
}

/* Vectors of a token's 16 channels, and tokens of a vector: one of them is 1. */
static uint32_t per_token(const sk_enc *c) { return c->w < 16 ? 16 / c->w : 1; }
static uint32_t per_vector(const sk_enc *c) { return c->w > 16 ? c->w / 16 : 1; }

/* vi8 of row 0: bytes [token][16 channels]; 4 vectors from t0 on. */
static void int8_plain(sk_enc *c, const channels *of, sk_val t0)
{
    const sk_val e = sk_encode_element(c, of->c0, t0);
    sk_val q[4];
    for (uint32_t x = 0; x < 4; x++)
        q[x] = code_bits(c, of, load_value(c, of, e, t0, x), x % per_token(c));
    sk_ir_stv(c->b, c->dst_page, e, c->dst.value_off, sk_encode_pack8(c, q));
}

/* Vectors of pairs at once. */
static uint32_t pair_vectors(const sk_enc *c) { return per_token(c) > 2 ? per_token(c) : 2; }

/* The first (k = 0) or second token of each pair of vector i of pairs. */
static sk_val load_pairs(sk_enc *c, const channels *of, sk_val e, sk_val t0, uint32_t i, uint32_t k)
{
    const uint32_t n = per_token(c), first = i / n * 2 * n + i % n;
    if (c->w <= 16) return load_value(c, of, e, t0, first + k * n);
    const sk_ld_kind from = sk_rows_value_kind(c->spec->tier[1].value); /* two pairs, lane by lane */
    const uint32_t es = sk_ld_bytes(from), token = 4 * i + k;
    const sk_val pair = sk_times(c, sk_opk(c, SK_OP_SHR, c->lane, 4), 2);
    const sk_val at = sk_op2(c, SK_OP_ADD, sk_times(c, pair, 16), sk_opk(c, SK_OP_AND, c->lane, 15));
    const sk_val v = sk_ir_ldg(c->b, from, c->src_page, sk_times(c, sk_op2(c, SK_OP_ADD, e, at), es),
                               c->src.value_off + token * 16 * es, SK_NONE);
    return sk_encode_masked(c, sk_op2(c, SK_OP_ADD, sk_opk(c, SK_OP_ADD, t0, token), pair), v);
}

/* vi8 of row 1: bytes [token pair][16 channels][2]. */
static void int8_pairs(sk_enc *c, const channels *of, sk_val t0)
{
    const uint32_t n = pair_vectors(c);
    const sk_val e = sk_encode_element(c, of->c0, t0);
    sk_val even[4], odd[4];
    for (uint32_t i = 0; i < n; i++) {
        even[i] = code_bits(c, of, load_pairs(c, of, e, t0, i, 0), i % per_token(c));
        odd[i] = code_bits(c, of, load_pairs(c, of, e, t0, i, 1), i % per_token(c));
    }
    for (uint32_t i = 0; i < n; i += 2)
        sk_ir_stv(c->b, c->dst_page, e, c->dst.value_off + i * c->w * 2,
                  sk_encode_pack8_pairs(c, even + i, odd + i));
}

/* vi4: nibbles [token][16 channels], 8 vectors from t0 on; none of a slot that is not used. */
static void int4_codes(sk_enc *c, const channels *of, sk_val t0)
{
    sk_builder *b = c->b;
    const sk_val e = sk_encode_element(c, of->c0, t0);
    sk_val q[8];
    for (uint32_t i = 0; i < 8; i++) {
        const uint32_t x = i % per_token(c);
        sk_val t = sk_opk(c, SK_OP_ADD, t0, i * per_vector(c) / per_token(c));
        if (c->w > 16) t = sk_op2(c, SK_OP_ADD, t, sk_opk(c, SK_OP_SHR, c->lane, 4));
        const sk_val code = code_bits(c, of, load_value(c, of, e, t0, i), x);
        q[i] = of->quick ? code : sk_pick(c, sk_op2(c, SK_OP_ULT, t, c->count), code, c->zero);
    }
    sk_ir_stv(b, c->dst_page, sk_opk(c, SK_OP_SHR, e, 1), c->dst.value_off,
              sk_encode_pack4(c, q));
}

static bool paired(const sk_enc *c) { return sk_layout_values_paired(c->spec, SK_VAL_I8); }

/* Tokens of a step, and its codes. */
static uint32_t step_tokens(const sk_enc *c)
{
    const uint32_t eight = paired(c) ? 2 * pair_vectors(c) : 4;
    return (c->spec->tier[0].value == SK_VAL_I4 ? 8 : eight) * per_vector(c) / per_token(c);
}

static void step_codes(sk_enc *c, const channels *of, sk_val t0)
{
    if (c->spec->tier[0].value == SK_VAL_I4)
        int4_codes(c, of, t0);
    else if (paired(c))
        int8_pairs(c, of, t0);
    else
        int8_plain(c, of, t0);
}

/* ---- both ----------------------------------------------------------------- */

static void all_codes(sk_enc *c, channels *of, bool quick)
{
    of->quick = quick;
    const sk_val t0 = sk_ir_for(c->b, c->zero, sk_encode_coded_tokens(c), step_tokens(c));
    step_codes(c, of, t0);
    sk_ir_end(c->b);
}

static void values_on_cpu(sk_enc *c)
{
    channels of = {.c0 = sk_ir_for(c->b, c->zero, sk_u32(c, c->dst.cp), 16)};
    const sk_val quick = make_scales(c, &of);
    zero_rest(c, &of, c->spec->tier[0].value == SK_VAL_I4 ? 4 : 8);
    if (quick != SK_NONE) {
        sk_ir_if(c->b, quick);
        all_codes(c, &of, true);
        sk_ir_else(c->b);
    }
    all_codes(c, &of, false);
    if (quick != SK_NONE) sk_ir_end(c->b);
    sk_ir_end(c->b);
}

static void values_on_gpu(sk_enc *c)
{
    channels of = {.quick = false};
    sk_val t0;
    channel_scales(c);
    sk_enc_nest(c, c->dst.cp, 16, c->dst.tp, step_tokens(c), &of.c0, &t0);
    stored_scales(c, &of);
    step_codes(c, &of, t0);
    sk_enc_nest_end(c);
}

void sk_encode_coded_values(sk_enc *c)
{
    if (c->spec->tier[0].value == SK_VAL_F8) {
        sk_encode_float8_values(c);
        return;
    }
    if (c->gpu)
        values_on_gpu(c);
    else
        values_on_cpu(c);
    sk_encode_pack(c, c->vs, c->dst.cp, 16, c->dst.vscale_off);
    if (c->spec->tier[0].value == SK_VAL_I4) sk_encode_pack(c, c->vm, c->dst.cp, 16, c->dst.vmin_off);
}
