/* tile_dense.c - logits of a slab from keys that are not coded: f16, bf16, kf8, ki8, ki4.
 *
 * Sixteen tokens of one dimension lie together (layout.h), factors want two
 * dimensions of one token: so a lane loads the words of four dimensions that stand 4
 * apart for its pair of tokens, and byte permutations pair them up. A warp then
 * reads whole runs of rows. Scales meet sums: of integers one per 32 dimensions of a
 * token, of kf8 one per page. */
#include "tile_impl.h"

typedef struct dense {
    sk_tile *t;
    const sk_slab *s;
    uint32_t kind;
    sk_val lane; /* byte offset of the lane's tokens, in its first dimension's row */
    sk_val pick; /* small ones: what picks the lane's tokens of two words */
} dense;

static dense dense_begin(sk_tile *t, const sk_slab *s)
{
    sk_dec *c = t->c;
    dense k = {.t = t, .s = s, .kind = s->seg->kind, .pick = SK_NONE};
    const sk_val pair = sk_shr(c, sk_tile_row(t, s), 1); /* 0..7 */
    const bool bytes = sk_tile_key_bytes(k.kind) == 16;
    const uint32_t per_word = k.kind == SK_KEY_I4 ? 2 : bytes ? 1 : 0; /* log2 */
    k.lane = sk_add(c, sk_mul(c, t->t, sk_tile_key_bytes(k.kind)), sk_shl(c, sk_shr(c, pair, per_word), 2));
    if (bytes) /* 0 4 1 5 or 2 6 3 7 */
        k.pick = sk_add(c, sk_k(c, 0x5140), sk_mul(c, sk_and(c, pair, 1), 0x2222));
    if (k.kind == SK_KEY_I4) /* the lane's byte of either word, twice */
        k.pick = sk_add(c, sk_k(c, 0x4400), sk_mul(c, sk_and(c, pair, 3), 0x1111));
    return k;
}

/* Words of dimensions d and d + 4 as factors of rows g and g + 8. */
static void factors(const dense *k, sk_val x, sk_val y, sk_val out[2])
{
    sk_tile *t = k->t;
    if (k->pick == SK_NONE) {
        out[0] = sk_prmt(t, x, y, 0x5410);
        out[1] = sk_prmt(t, x, y, 0x7632);
        return;
    }
    const sk_val both = sk_ir_prmt(t->c->b, x, y, k->pick);
    for (uint32_t r = 0; r < 2; r++)
        out[r] = k->kind == SK_KEY_I8   ? sk_tile_int8(t, both, r)
                 : k->kind == SK_KEY_F8 ? sk_tile_float8(t, both, r)
                                        : sk_tile_int4(t, both, r, 8);
}

static sk_val key_factors(const dense *k, uint32_t step, uint32_t tile)
{
    sk_tile *t = k->t;
    const uint32_t row = sk_tile_key_bytes(k->kind);
    sk_val word[4], a[2][2];
    for (uint32_t i = 0; i < 4; i++) {
        const uint32_t disp = (tile * t->c->d + 16 * step + 4 * i) * row;
        word[i] = sk_tile_load(t, SK_LD_U32, k->s->field[SK_FIELD_KEY].at, k->lane, disp);
    }
    for (uint32_t h = 0; h < 2; h++) factors(k, word[2 * h], word[2 * h + 1], a[h]);
    return sk_ir_quad(t->c->b, a[0][0], a[0][1], a[1][0], a[1][1]);
}

/* Scales of block `block` of 32 dimensions for rows g, g + 8 of a tile. */
static void scales(const dense *k, uint32_t block, uint32_t tile, sk_val r[2])
{
    sk_tile *t = k->t;
    sk_builder *b = t->c->b;
    const sk_tile_field *scale = &k->s->field[SK_FIELD_KSCALE];
    if (k->kind == SK_KEY_F8) {
        const sk_val page = sk_ir_ldu(b, SK_LD_F16, scale->at, t->c->zero, 0);
        r[0] = r[1] = sk_ir_2(b, SK_OP_FMUL, page, sk_ir_f32(b, 256.0f));
        return;
    }
    const sk_val at = sk_mul(t->c, sk_tile_row(t, k->s), 2);
    const sk_val both = sk_tile_load(t, SK_LD_U32, scale->at, at,
                                     block * scale->stride + tile * 32);
    r[0] = sk_ir_1(b, SK_OP_F16LO, both);
    r[1] = sk_ir_1(b, SK_OP_F16HI, both);
}

/* Sums of one tile, in variables. */
static void tile_logits(const dense *k, uint32_t tile, sk_val x[2][4])
{
    sk_tile *t = k->t;
    const bool scaled = k->pick != SK_NONE;
    const uint32_t span = scaled && k->kind != SK_KEY_F8 ? 2 : t->steps;
    const sk_tile_query query = sk_tile_query_of(t->c->spec, k->s->tier);
    sk_val sum[2], y[2][4];
    for (uint32_t step = 0; step < t->steps; step++) {
        const sk_val a = key_factors(k, step, tile);
        const bool ends = (step + 1) % span == 0 || step + 1 == t->steps;
        sk_val r[2];
        if (scaled && ends) scales(k, step / 2, tile, r);
        for (uint32_t n = 0; n < t->nt; n++) {
            const sk_tile_factor f = sk_tile_factors(t, query, step, n);
            if (step % span == 0) sum[n] = sk_zero_quad(t);
            sum[n] = sk_tile_multiply(t, a, &f, sum[n], k->kind == SK_KEY_BF16);
            if (scaled && ends) sk_tile_fold(t, sum[n], r, step < span, y[n]);
        }
    }
    for (uint32_t n = 0; n < t->nt; n++)
        for (uint32_t e = 0; e < 4; e++)
            sk_ir_set(t->c->b, x[n][e], scaled ? y[n][e] : sk_quad_float(t, sum[n], e));
}

/* Tile by tile, those that have tokens: so what one loads does not crowd the registers
 * while another is at work. */
void sk_tile_logits_dense(sk_tile *t, const sk_slab *s, sk_tile_logit x)
{
    sk_builder *b = t->c->b;
    const dense k = dense_begin(t, s);
    for (uint32_t i = 0; i < t->tiles; i++) {
        sk_val one[2][4];
        for (uint32_t n = 0; n < t->nt; n++)
            for (uint32_t e = 0; e < 4; e++) one[n][e] = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f));
        sk_ir_if(b, sk_ir_2(b, SK_OP_ULT, sk_k(t->c, sk_tile_base(t, s, i)), s->left));
        tile_logits(&k, i, one);
        sk_ir_end(b);
        for (uint32_t n = 0; n < t->nt; n++)
            for (uint32_t e = 0; e < 4; e++) x[n][i][e] = sk_ir_get(b, one[n][e]);
    }
}
