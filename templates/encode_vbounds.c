/* encode_vbounds.c - the largest and the smallest values of 16 channels of a dense page, on a
 * CPU. Of a full page of halves they are found by integers (encode_halves.c), else by floats,
 * with the new value first: a NaN then counts for nothing, and its token alone suffers. */
#include <math.h>

#include "encode.h"

static sk_val f32(sk_enc *c, float x) { return sk_ir_f32(c->b, x); }

sk_val sk_encode_coded_tokens(sk_enc *c)
{
    return sk_opk(c, SK_OP_AND, sk_opk(c, SK_OP_ADD, c->count, SK_ENCODE_STEP - 1), ~(SK_ENCODE_STEP - 1));
}

sk_val sk_encode_source_values(sk_enc *c, sk_val e, uint32_t x)
{
    const sk_ld_kind from = sk_rows_value_kind(c->spec->tier[1].value);
    const uint32_t es = sk_ld_bytes(from);
    return sk_ir_ldv(c->b, from, c->src_page, sk_times(c, e, es), c->src.value_off + x * c->w * es);
}

/* ---- by floats ------------------------------------------------------------ */

/* Tokens looked at in a row: each maximum waits for the one before it. */
static uint32_t scanned(const sk_enc *c) { return c->w == 16 ? 4 : 2; }

/* Vector i of the values of tokens from t on, whose first element is e; `masked`: from count
 * on what no bound heeds. */
static sk_val scan_values(sk_enc *c, sk_val e, sk_val t, uint32_t i, bool masked)
{
    const sk_val v = sk_encode_source_values(c, e, i);
    if (!masked) return v;
    const sk_val none = f32(c, c->spec->tier[0].value == SK_VAL_I4 ? NAN : 0.0f);
    const sk_val token = sk_opk(c, SK_OP_ADD, t, i * c->w / 16);
    return sk_pick(c, sk_op2(c, SK_OP_ULT, token, c->count), v, none);
}

/* Bounds of the 16 channels, of `rows` tokens side by side: variables. */
typedef struct bounds {
    sk_val least[8], most[8];
    bool magnitudes; /* largest of these alone */
} bounds;

/* Tokens from .. end - 1 into the bounds. */
static void scan_tokens(sk_enc *c, sk_val c0, sk_val from, sk_val end, bool masked, const bounds *to)
{
    sk_builder *b = c->b;
    const uint32_t rows = scanned(c);
    const sk_val t = sk_ir_for(b, from, end, rows), e = sk_encode_element(c, c0, t);
    for (uint32_t i = 0; i < rows * 16 / c->w; i++) {
        sk_val v = scan_values(c, e, t, i, masked);
        if (to->magnitudes) v = sk_ir_1(b, SK_OP_FABS, v);
        if (!to->magnitudes)
            sk_ir_set(b, to->least[i], sk_op2(c, SK_OP_FMIN, v, sk_ir_get(b, to->least[i])));
        sk_ir_set(b, to->most[i], sk_op2(c, SK_OP_FMAX, v, sk_ir_get(b, to->most[i])));
    }
    sk_ir_end(b);
}

/* Where a page ends is asked for the last tokens alone. */
static void scan_channels(sk_enc *c, sk_val c0, sk_val *low, sk_val *high)
{
    sk_builder *b = c->b;
    const uint32_t n = 16 / c->w, rows = scanned(c);
    bounds all = {.magnitudes = !low};
    for (uint32_t i = 0; i < rows * n; i++) {
        if (low) all.least[i] = sk_ir_var(b, SK_LANE, f32(c, INFINITY));
        all.most[i] = sk_ir_var(b, SK_LANE, f32(c, low ? -INFINITY : 0.0f));
    }
    const sk_val whole = sk_opk(c, SK_OP_AND, c->count, ~(SK_ENCODE_STEP - 1));
    scan_tokens(c, c0, c->zero, whole, false, &all);
    scan_tokens(c, c0, whole, sk_encode_coded_tokens(c), true, &all);
    for (uint32_t i = 0; i < rows * n; i++) {
        const uint32_t x = i % n;
        const sk_val most = sk_ir_get(b, all.most[i]);
        high[x] = i < n ? most : sk_op2(c, SK_OP_FMAX, most, high[x]);
        if (!low) continue;
        const sk_val least = sk_ir_get(b, all.least[i]);
        low[x] = i < n ? least : sk_op2(c, SK_OP_FMIN, least, low[x]);
    }
}

/* ---- either --------------------------------------------------------------- */

/* n vectors of bounds into variables. */
static void keep(sk_enc *c, const sk_val *to, const sk_val *x)
{
    for (uint32_t i = 0; i < 16 / c->w; i++) sk_ir_set(c->b, to[i], x[i]);
}

sk_val sk_encode_channel_bounds(sk_enc *c, sk_val c0, sk_val *low, sk_val *high)
{
    sk_builder *b = c->b;
    const uint32_t n = 16 / c->w;
    sk_val least[4], most[4], x[4], y[4];
    if (!sk_encode_in_halves(c)) {
        scan_channels(c, c0, low, high);
        return SK_NONE;
    }
    for (uint32_t i = 0; i < n; i++) {
        most[i] = sk_ir_var(b, SK_LANE, f32(c, 0.0f));
        least[i] = low ? sk_ir_var(b, SK_LANE, f32(c, 0.0f)) : SK_NONE;
    }
    const sk_val quick = sk_ir_var(b, SK_WARP, c->zero);
    sk_ir_if(b, sk_opk(c, SK_OP_EQ, c->count, c->spec->page));
    const sk_val odd = sk_encode_half_bounds(c, c0, low ? x : NULL, y);
    sk_ir_set(b, quick, sk_pick(c, odd, c->zero, sk_u32(c, 1)));
    if (low) keep(c, least, x);
    keep(c, most, y);
    sk_ir_end(b);
    sk_ir_if(b, sk_opk(c, SK_OP_EQ, sk_ir_get(b, quick), 0));
    scan_channels(c, c0, low ? x : NULL, y);
    if (low) keep(c, least, x);
    keep(c, most, y);
    sk_ir_end(b);
    for (uint32_t i = 0; i < n; i++) {
        if (low) low[i] = sk_ir_get(b, least[i]);
        high[i] = sk_ir_get(b, most[i]);
    }
    return sk_ir_get(b, quick);
}
