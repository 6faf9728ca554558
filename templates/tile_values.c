/* tile_values.c - probabilities times values: acc[channel][head] += V^T P of a slab,
 * 16 channels by 16 tokens at a time. Rows g and g + 8 of a block of channels are
 * its channels 2g and 2g + 1, so that a lane's word of a pair of tokens (vi8 in
 * pairs) or of two channels of a token (16-bit values) is what it needs.
 *
 * Values with scales (vi8, vi4 per channel, vf8 per page) become halves that are exact,
 * are summed by themselves over the slab, and meet their scale once per slab; vi4's
 * minimum enters times the slab's sum of probabilities. What nobody wrote may be NaN in the float
 * formats: tokens beyond the last are not loaded there. */
#include "tile_impl.h"

/* How values of a kind are read. */
typedef struct product {
    sk_tile *t;
    const sk_slab *s;
    uint32_t kind;
    bool paired;
    uint32_t token_bytes; /* of 16 channels of a token (of a pair: where paired) */
    sk_val lane;          /* byte offset of the lane's tokens and channels in a tile */
    sk_val pick;          /* bytes: what picks the lane's of two tokens' words */
    sk_val valid[2][2];   /* floats: which tokens of the tile at work are, by half, y */
} product;

static bool is_float(uint32_t kind) { return kind == SK_VAL_F16 || kind == SK_VAL_BF16; }

static product product_begin(sk_tile *t, const sk_slab *s)
{
    sk_dec *c = t->c;
    product v = {.t = t, .s = s, .kind = c->spec->tier[s->tier].value, .pick = SK_NONE};
    v.paired = sk_layout_values_paired(c->spec, v.kind);
    v.token_bytes = sk_tile_value_bytes(v.kind);
    /* the lane's first token is 2t; its channels 2g, 2g + 1 */
    sk_val at = sk_mul(c, t->t, 2 * v.token_bytes);
    if (v.paired || is_float(v.kind)) {
        at = sk_add(c, at, sk_mul(c, t->g, 4));
    } else if (v.kind == SK_VAL_I4) {
        at = sk_add(c, at, t->g); /* a byte is two channels */
    } else {
        at = sk_add(c, at, sk_mul(c, sk_shr(c, t->g, 1), 4));
        v.pick = sk_add(c, sk_k(c, 0x5140), sk_mul(c, sk_and(c, t->g, 1), 0x2222));
    }
    v.lane = at;
    return v;
}

/* Byte of the lane's token 2t + y of half h of tile i, block `block`. */
static uint32_t value_disp(const product *v, uint32_t block, uint32_t i, uint32_t h, uint32_t y)
{
    const uint32_t token = sk_tile_base(v->t, v->s, i) + h * sk_tile_step(v->s) + y;
    return block * v->s->field[SK_FIELD_VALUE].stride + token * v->token_bytes;
}

static sk_val load_token(const product *v, sk_ld_kind kind, uint32_t block, uint32_t i, uint32_t h,
                         uint32_t y)
{
    const sk_val some = is_float(v->kind) ? v->valid[h][y] : SK_NONE;
    return sk_ir_ldg(v->t->c->b, kind, v->s->field[SK_FIELD_VALUE].at, v->lane, value_disp(v, block, i, h, y), some);
}

/* Four bytes: channel 2g of two tokens, then channel 2g + 1 of them. */
static sk_val four_bytes(const product *v, uint32_t block, uint32_t i, uint32_t h)
{
    sk_builder *b = v->t->c->b;
    const sk_val x = load_token(v, SK_LD_U32, block, i, h, 0);
    if (v->paired) return x;
    return sk_ir_prmt(b, x, load_token(v, SK_LD_U32, block, i, h, 1), v->pick);
}

/* Factors of rows g and g + 8, two tokens each. */
static void half_factors(const product *v, uint32_t block, uint32_t i, uint32_t h, sk_val out[2])
{
    sk_tile *t = v->t;
    sk_dec *c = t->c;
    if (is_float(v->kind)) {
        const sk_val x = load_token(v, SK_LD_U32, block, i, h, 0);
        const sk_val y = load_token(v, SK_LD_U32, block, i, h, 1);
        out[0] = sk_prmt(t, x, y, 0x5410);
        out[1] = sk_prmt(t, x, y, 0x7632);
        return;
    }
    if (v->kind == SK_VAL_I4) {
        const sk_val x = load_token(v, SK_LD_U8, block, i, h, 0);
        const sk_val both = sk_or(c, x, sk_shl(c, load_token(v, SK_LD_U8, block, i, h, 1), 16));
        for (uint32_t r = 0; r < 2; r++) out[r] = sk_tile_int4(t, both, r, 0);
        return;
    }
    const sk_val bytes = four_bytes(v, block, i, h);
    for (uint32_t r = 0; r < 2; r++)
        out[r] = v->kind == SK_VAL_I8 ? sk_tile_int8(t, bytes, r) : sk_tile_float8(t, bytes, r);
}

/* Adds tile i of one block of channels. */
static void multiply(const product *v, const sk_tile_probs *p, uint32_t block, uint32_t i, sk_val sum[2])
{
    sk_tile *t = v->t;
    sk_builder *b = t->c->b;
    const bool bf16 = v->kind == SK_VAL_BF16;
    sk_val a[2][2];
    for (uint32_t h = 0; h < 2; h++) half_factors(v, block, i, h, a[h]);
    const sk_val factors = sk_ir_quad(b, a[0][0], a[0][1], a[1][0], a[1][1]);
    for (uint32_t n = 0; n < t->nt; n++) {
        if (bf16) sum[n] = sk_ir_mma(b, factors, p->low[n][i][0], p->low[n][i][1], sum[n], true);
        sum[n] = sk_ir_mma(b, factors, p->b[n][i][0], p->b[n][i][1], sum[n], bf16);
    }
}

/* A number per channel, of rows g and g + 8: two halves. */
static void channel_pair(sk_tile *t, const sk_tile_field *of, uint32_t block, sk_val out[2])
{
    sk_dec *c = t->c;
    const sk_val both = sk_tile_load(t, SK_LD_U32, of->at, sk_mul(c, t->g, 4), block * 32);
    out[0] = sk_ir_1(c->b, SK_OP_F16LO, both);
    out[1] = sk_ir_1(c->b, SK_OP_F16HI, both);
}

/* acc + scale * sum (+ minimum * the slab's probabilities). */
static sk_val add_scaled(const product *v, const sk_tile_probs *p, uint32_t block, uint32_t n,
                         const sk_val scale[2], sk_val sum)
{
    sk_tile *t = v->t;
    sk_val w[4], least[2] = {SK_NONE, SK_NONE};
    const sk_val old = sk_ir_get(t->c->b, t->acc[n][block]);
    if (v->kind == SK_VAL_I4) channel_pair(t, &v->s->field[SK_FIELD_VMIN], block, least);
    for (uint32_t k = 0; k < 4; k++) {
        w[k] = sk_quad_float(t, old, k);
        if (v->kind == SK_VAL_I4)
            w[k] = sk_fma(t->c, sk_quad_float(t, p->slab_sum[n], k), least[k / 2], w[k]);
        w[k] = sk_fma(t->c, sk_quad_float(t, sum, k), scale[k / 2], w[k]);
    }
    return sk_ir_quad(t->c->b, w[0], w[1], w[2], w[3]);
}

/* Floats: straight into acc, tile by tile, those that have tokens. */
static void float_values(product *v, const sk_tile_probs *p)
{
    sk_tile *t = v->t;
    sk_dec *c = t->c;
    sk_builder *b = c->b;
    for (uint32_t i = 0; i < t->tiles; i++) {
        const uint32_t base = sk_tile_base(t, v->s, i);
        sk_ir_if(b, sk_ir_2(b, SK_OP_ULT, sk_k(c, base), v->s->left));
        for (uint32_t k = 0; k < 4; k++) {
            const uint32_t from = base + k / 2 * sk_tile_step(v->s) + k % 2;
            const sk_val token = sk_add(c, sk_shl(c, t->t, 1), sk_k(c, from));
            v->valid[k / 2][k % 2] = sk_ir_2(b, SK_OP_ULT, token, v->s->left);
        }
        for (uint32_t block = 0; block < t->blocks; block++) {
            sk_val sum[2];
            for (uint32_t n = 0; n < t->nt; n++) sum[n] = sk_ir_get(b, t->acc[n][block]);
            multiply(v, p, block, i, sum);
            for (uint32_t n = 0; n < t->nt; n++) sk_ir_set(b, t->acc[n][block], sum[n]);
        }
        sk_ir_end(b);
    }
}

/* Others: summed over the slab, then scaled. */
static void scaled_values(const product *v, const sk_tile_probs *p)
{
    sk_tile *t = v->t;
    sk_builder *b = t->c->b;
    const sk_tile_field *scales = &v->s->field[SK_FIELD_VSCALE];
    sk_val scale[2] = {SK_NONE, SK_NONE};
    if (v->kind == SK_VAL_F8) {
        const sk_val page = sk_ir_ldu(b, SK_LD_F16, scales->at, t->c->zero, 0);
        scale[0] = scale[1] = sk_ir_2(b, SK_OP_FMUL, page, sk_ir_f32(b, 256.0f));
    }
    for (uint32_t block = 0; block < t->blocks; block++) {
        sk_val sum[2] = {sk_zero_quad(t), sk_zero_quad(t)};
        if (v->kind != SK_VAL_F8) channel_pair(t, scales, block, scale);
        for (uint32_t i = 0; i < t->tiles; i++) multiply(v, p, block, i, sum);
        for (uint32_t n = 0; n < t->nt; n++)
            sk_ir_set(b, t->acc[n][block], add_scaled(v, p, block, n, scale, sum[n]));
    }
}

void sk_tile_values(sk_tile *t, const sk_slab *s, const sk_tile_probs *p)
{
    product v = product_begin(t, s);
    if (is_float(v.kind))
        float_values(&v, p);
    else
        scaled_values(&v, p);
}
