/* part_dense.c - logits of keys that are not coded: f32, f16, bf16, ki8, ki4, kf8.
 * Lanes are tokens: 16 tokens of one dimension lie together, and what is loaded
 * of K serves all query heads of a tile.
 *
 * ki8 and ki4 have two forms. As floats a key is code times scale, then like
 * any other (exact). With 16-bit queries (query=i16) the codes stay integers:
 * the query becomes 16-bit numbers with one unit per head and block of
 * dimensions, two dimensions of a token share a lane, and one DOT2 does both;
 * a block's sum meets scale and unit once. Bytes and nibbles are taken as
 * unsigned where that is cheaper, and the excess, bias times the sum of the
 * block's queries, is where a sum begins. A unit per block, not per head: in
 * models a few dimensions of a query are far larger than the rest. */
#include "part_dense.h"
#include "rows.h"

static sk_ld_kind float_kind(uint32_t key_kind)
{
    return key_kind == SK_KEY_F32 ? SK_LD_F32 : key_kind == SK_KEY_F16 ? SK_LD_F16 : SK_LD_BF16;
}

static bool has_scales(uint32_t key_kind) { return key_kind == SK_KEY_I8 || key_kind == SK_KEY_I4; }

bool sk_dec_query16(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot)
{
    const sk_segment *seg = sk_dec_seg(spec, tier_slot);
    return has_scales(seg->kind) && !seg->pre_rope && spec->accuracy != SPHKV_EXACT &&
           sched->v[SK_T_query] == SK_QUERY_I16;
}

/* Dimensions of a block of 16-bit queries: those of a key's scale, or half. */
static uint32_t block_dims(const sk_spec *spec) { return spec->d % 32 == 0 ? 32 : 16; }

uint32_t sk_dense_unroll(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot)
{
    return sk_dec_query16(spec, sched, tier_slot) ? block_dims(spec) : 8;
}

/* ---- 16-bit queries ----------------------------------------------------- */

static uint32_t blocks_of(const sk_dec *c) { return c->d / block_dims(c->spec); }

uint32_t sk_query16_bytes(const sk_dec *c)
{
    /* pairs; a last vector of them may be longer than its block; units, sums */
    return (c->h * (c->d / 2 + 2 * blocks_of(c)) + c->w) * 4;
}

/* Where units (k = 0) and sums (k = 1) of head h, from block `block` on, lie. */
static uint32_t unit_at(const sk_dec *c, uint32_t h, uint32_t k)
{
    return (c->h * (c->d / 2) + c->w + (2 * h + k) * blocks_of(c)) * 4;
}

static void query16_block(sk_dec *c, uint32_t h, sk_val i)
{
    sk_builder *b = c->b;
    const uint32_t dims = block_dims(c->spec), n = dims / c->w;
    const sk_val from = sk_mul(c, i, dims * 4), at = sk_mul(c, i, 4);
    sk_val x[8], most = sk_ir_f32(b, 1e-30f), sum = c->zero;
    for (uint32_t v = 0; v < n; v++) {
        x[v] = sk_ir_ldv(b, SK_LD_F32, c->qs, from, (h * c->d + v * c->w) * 4);
        most = sk_ir_2(b, SK_OP_FMAX, most, sk_ir_1(b, SK_OP_FABS, x[v]));
    }
    most = sk_ir_1(b, SK_OP_RED_FMAX, most);
    const sk_val top = sk_ir_f32(b, 32766.0f);
    const sk_val factor = sk_ir_2(b, SK_OP_FDIV, top, most);
    for (uint32_t v = 0; v < n; v++) {
        x[v] = sk_ir_1(b, SK_OP_F2I, sk_ir_2(b, SK_OP_FMUL, x[v], factor));
        sum = sk_add(c, sum, x[v]);
    }
    for (uint32_t v = 0; v < n; v += 2) {
        const sk_val pairs = sk_ir_2(b, SK_OP_PACK16, x[v], v + 1 < n ? x[v + 1] : c->zero);
        sk_ir_stv(b, c->q16, sk_mul(c, i, dims * 2), (h * (c->d / 2) + v / 2 * c->w) * 4, pairs);
    }
    sk_ir_stu(b, c->q16, at, unit_at(c, h, 0), sk_ir_2(b, SK_OP_FDIV, most, top));
    sk_ir_stu(b, c->q16, at, unit_at(c, h, 1), sk_ir_1(b, SK_OP_RED_UADD, sum));
}

void sk_part_query16(sk_dec *c)
{
    for (uint32_t h = 0; h < c->h; h++) {
        const sk_val i = sk_ir_for(c->b, c->zero, sk_k(c, blocks_of(c)), 1);
        query16_block(c, h, i);
        sk_ir_end(c->b);
    }
}

/* ---- keys of a block of tokens ------------------------------------------ */

/* Elements (not bytes) between the first dimension of t0 and vector u. */
static uint32_t element_of(const sk_dec *c, uint32_t u, uint32_t dim)
{
    const uint32_t t = u * c->w;
    return (t / 16 * c->d + dim) * 16 + t % 16;
}

/* Tokens of vector u inside their 16, a lane each. */
static sk_val columns(sk_dec *c, const sk_dense_keys *k, uint32_t u)
{
    const sk_val t = sk_add(c, c->lane, sk_k(c, u * c->w % 16));
    return k->column == SK_NONE ? t : sk_add(c, t, k->column);
}

/* Byte offset of dimension d0 of the 16 tokens that t0 is of. */
static sk_val row_of(sk_dec *c, const sk_dense_keys *k, sk_val d0, uint32_t bytes_per_dim)
{
    const sk_val group = sk_mul(c, sk_shr(c, k->t0, 4), c->d);
    return sk_mul(c, sk_add(c, group, d0), bytes_per_dim);
}

sk_val sk_dense_scales(sk_dec *c, const sk_dense_keys *k, sk_val d0, uint32_t u)
{
    if (k->kind == SK_KEY_F8) /* one of the page */
        return sk_ir_ldu(c->b, SK_LD_F16, k->page, c->zero, k->lay->kscale_off);
    if (!has_scales(k->kind)) return SK_NONE;
    const sk_val row = sk_mul(c, sk_shr(c, d0, 5), c->p);
    const sk_val at = sk_mul(c, sk_add(c, row, k->t0), 2);
    return sk_ir_ldv(c->b, SK_LD_F16, k->page, at, k->lay->kscale_off + u * c->w * 2);
}

/* The nibbles of W tokens of dimension d0 + i: a word holds 8 of them. */
static sk_val nibbles(sk_dec *c, const sk_dense_keys *k, sk_val d0, uint32_t i, uint32_t u)
{
    const uint32_t disp = (u * c->w / 16 * c->d + i) * 8;
    const sk_val t = columns(c, k, u);
    sk_val off = row_of(c, k, d0, 8), word;
    if (c->w == 16) {
        const sk_val low = sk_ir_ldu(c->b, SK_LD_U32, k->keys, off, disp);
        const sk_val high = sk_ir_ldu(c->b, SK_LD_U32, k->keys, off, disp + 4);
        word = sk_sel(c, sk_ir_2(c->b, SK_OP_ULT, t, sk_k(c, 8)), low, high);
    } else {
        if (k->column != SK_NONE) off = sk_add(c, off, sk_shl(c, sk_shr(c, k->column, 3), 2));
        word = sk_ir_ldu(c->b, SK_LD_U32, k->keys, off, disp + u * c->w % 16 / 8 * 4);
    }
    const sk_val by = sk_shl(c, sk_and(c, t, 7), 2);
    return sk_and(c, sk_ir_2(c->b, SK_OP_SHR, word, by), 15);
}

sk_val sk_dense_floats(sk_dec *c, const sk_dense_keys *k, sk_val d0, uint32_t i, uint32_t u,
                       sk_val scale)
{
    sk_builder *b = c->b;
    if (k->kind == SK_KEY_I4) {
        const sk_val code = sk_ir_1(b, SK_OP_I2F, nibbles(c, k, d0, i, u));
        return sk_fma(c, code, scale, sk_ir_2(b, SK_OP_FMUL, scale, sk_ir_f32(b, -8.0f)));
    }
    const bool byte = k->kind == SK_KEY_I8 || k->kind == SK_KEY_F8;
    const sk_ld_kind load = byte ? SK_LD_S8 : float_kind(k->kind);
    const uint32_t es = sk_ld_bytes(load);
    sk_val off = row_of(c, k, d0, 16 * es);
    if (k->column != SK_NONE) off = sk_add(c, off, sk_mul(c, k->column, es));
    const sk_val x = sk_ir_ldv(b, load, k->keys, off, element_of(c, u, i) * es);
    if (scale == SK_NONE) return x;
    const sk_val code = k->kind == SK_KEY_F8 ? sk_rows_float8(b, x) : sk_ir_1(b, SK_OP_I2F, x);
    return sk_ir_2(b, SK_OP_FMUL, code, scale);
}

sk_dense_keys sk_dense_begin(sk_dec *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page,
                             uint32_t nu, sk_val t0)
{
    sk_dense_keys k = {.tier_slot = tier_slot, .nu = nu, .lay = lay, .page = page, .t0 = t0};
    k.kind = sk_dec_seg(c->spec, tier_slot)->kind;
    k.keys = sk_ir_ptr_add(c->b, page, sk_k(c, lay->key_off), 1);
    k.column = nu * c->w % 16 == 0 ? SK_NONE : sk_and(c, t0, 15);
    return k;
}

/* ---- the product, as floats --------------------------------------------- */

/* Step of the loops over one full page, for the prefetch. */
static sk_val turn_of(sk_dec *c, const sk_dense_keys *k, sk_val d0)
{
    const uint32_t unroll = sk_dense_unroll(c->spec, c->sched, k->tier_slot);
    const uint32_t block = k->nu * c->w;
    const sk_val blocks = sk_shr(c, k->t0, (uint32_t)__builtin_ctz(block));
    return sk_add(c, sk_mul(c, blocks, c->d / unroll),
                  sk_shr(c, d0, (uint32_t)__builtin_ctz(unroll)));
}

typedef struct head_tile {
    uint32_t h0, n;
    sk_val acc[SK_HEAD_TILE][4]; /* variables */
} head_tile;

static void float_block(sk_dec *c, const sk_dense_keys *k, sk_val next, const head_tile *tile)
{
    sk_builder *b = c->b;
    const uint32_t unroll = sk_dense_unroll(c->spec, c->sched, k->tier_slot);
    const sk_val d0 = sk_ir_for(b, c->zero, sk_k(c, c->d), unroll);
    const sk_val qoff = sk_mul(c, d0, 4), turn = turn_of(c, k, d0);
    sk_val scale[4];
    for (uint32_t u = 0; u < k->nu; u++)
        scale[u] = sk_dense_scales(c, k, d0, u);
    for (uint32_t i = 0; i < unroll; i++) {
        sk_val x[4];
        for (uint32_t u = 0; u < k->nu; u++) x[u] = sk_dense_floats(c, k, d0, i, u, scale[u]);
        if (tile->h0 == 0) sk_prefetch_share(c, k->tier_slot, next, turn, i, unroll);
        for (uint32_t h = 0; h < tile->n; h++) {
            const uint32_t row = (tile->h0 + h) * c->d + i;
            const sk_val q = sk_ir_ldu(b, SK_LD_F32, c->qs, qoff, row * 4);
            for (uint32_t u = 0; u < k->nu; u++) {
                const sk_val acc = tile->acc[h][u];
                sk_ir_set(b, acc, sk_fma(c, x[u], q, sk_ir_get(b, acc)));
            }
        }
    }
    sk_ir_end(b);
}

/* ---- the product, as integers ------------------------------------------- */

/* Two pairs of dimensions, d0 + i .. d0 + i + 3, of vector u. */
static void key_pairs(sk_dec *c, const sk_dense_keys *k, sk_val d0, uint32_t i, uint32_t u,
                      sk_val *pair)
{
    sk_builder *b = c->b;
    if (k->kind == SK_KEY_I4) { /* 16 bytes: 16 tokens of two dimensions */
        const sk_val t = columns(c, k, u), off = row_of(c, k, d0, 8);
        const sk_val quad = sk_mul(c, sk_shr(c, t, 2), 0x02020202u);
        const sk_val bytes = sk_add(c, quad, sk_k(c, 0x09080100u));
        const sk_val by = sk_shl(c, sk_and(c, t, 3), 2);
        for (uint32_t n = 0; n < 2; n++) {
            const uint32_t disp = (u * c->w / 16 * c->d + i + 2 * n) * 8;
            const sk_val all = sk_ir_ldrows(b, SK_LD_U32, k->keys, off, disp, 4);
            const sk_val halves = sk_ir_2(b, SK_OP_LUT16, all, bytes);
            pair[n] = sk_and(c, sk_ir_2(b, SK_OP_SHR, halves, by), 0x000f000fu);
        }
        return;
    }
    sk_val off = row_of(c, k, d0, 16);
    if (c->w == 16) { /* 64 bytes: 16 tokens of four dimensions, transposed */
        const sk_val four = sk_ir_ldv(b, SK_LD_U32, k->keys, off, element_of(c, u, i));
        const sk_val row = sk_mul(c, sk_and(c, c->lane, 3), 4);
        const sk_val words = sk_shuf(c, four, sk_add(c, row, sk_shr(c, c->lane, 2)));
        const sk_val token = sk_mul(c, sk_and(c, c->lane, 3), 0x01010101u);
        const sk_val order = sk_add(c, token, sk_k(c, 0x0c040800u)); /* dims 0 2 1 3 */
        const sk_val bytes = sk_ir_2(b, SK_OP_LUT16, words, order);
        const sk_val up = sk_ir_2k(b, SK_OP_XOR, bytes, 0x80808080u);
        pair[0] = sk_and(c, up, 0x00ff00ffu);
        pair[1] = sk_and(c, sk_shr(c, up, 8), 0x00ff00ffu);
        return;
    }
    if (k->column != SK_NONE) off = sk_add(c, off, k->column);
    for (uint32_t n = 0; n < 2; n++) {
        const uint32_t at = element_of(c, u, i + 2 * n);
        const sk_val low = sk_and(c, sk_ir_ldv(b, SK_LD_S8, k->keys, off, at), 0xffff);
        const sk_val high = sk_ir_ldv(b, SK_LD_S8, k->keys, off, at + 16);
        pair[n] = sk_or(c, low, sk_shl(c, high, 16));
    }
}

/* What key_pairs adds to every code. */
static uint32_t key_bias(const sk_dec *c, uint32_t kind)
{
    return kind == SK_KEY_I4 ? 8 : c->w == 16 ? 128 : 0;
}

static void integer_block(sk_dec *c, const sk_dense_keys *k, sk_val next, const head_tile *tile)
{
    sk_builder *b = c->b;
    const uint32_t dims = block_dims(c->spec);
    const sk_val d0 = sk_ir_for(b, c->zero, sk_k(c, c->d), dims);
    const sk_val qoff = sk_mul(c, d0, 2), turn = turn_of(c, k, d0);
    const sk_val block = sk_mul(c, sk_shr(c, d0, (uint32_t)__builtin_ctz(dims)), 4);
    sk_val sum[SK_HEAD_TILE][4];
    for (uint32_t h = 0; h < tile->n; h++) {
        const sk_val all = sk_ir_ldu(b, SK_LD_U32, c->q16, block, unit_at(c, tile->h0 + h, 1));
        const sk_val excess = sk_mul(c, all, key_bias(c, k->kind));
        for (uint32_t u = 0; u < k->nu; u++) sum[h][u] = sk_ir_2(b, SK_OP_SUB, c->zero, excess);
    }
    for (uint32_t i = 0; i < dims; i += 4) {
        sk_val pair[4][2];
        for (uint32_t u = 0; u < k->nu; u++) key_pairs(c, k, d0, i, u, pair[u]);
        if (tile->h0 == 0) sk_prefetch_share(c, k->tier_slot, next, turn, i / 4, dims / 4);
        for (uint32_t n = 0; n < 2; n++)
            for (uint32_t h = 0; h < tile->n; h++) {
                const uint32_t row = (tile->h0 + h) * (c->d / 2) + i / 2 + n;
                const sk_val q = sk_ir_ldu(b, SK_LD_U32, c->q16, qoff, row * 4);
                for (uint32_t u = 0; u < k->nu; u++)
                    sum[h][u] = sk_ir_3(b, SK_OP_DOT2, sum[h][u], pair[u][n], q);
            }
    }
    for (uint32_t u = 0; u < k->nu; u++) {
        const sk_val scale = sk_dense_scales(c, k, d0, u);
        for (uint32_t h = 0; h < tile->n; h++) {
            const sk_val unit = sk_ir_ldu(b, SK_LD_F32, c->q16, block, unit_at(c, tile->h0 + h, 0));
            const sk_val x = sk_ir_1(b, SK_OP_I2F, sum[h][u]), acc = tile->acc[h][u];
            const sk_val each = sk_ir_2(b, SK_OP_FMUL, scale, unit);
            sk_ir_set(b, acc, sk_fma(c, x, each, sk_ir_get(b, acc)));
        }
    }
    sk_ir_end(b);
}

/* ---- a page -------------------------------------------------------------- */

static void dense_tile(sk_dec *c, const sk_dense_keys *k, sk_val next, uint32_t h0, uint32_t hn)
{
    sk_builder *b = c->b;
    head_tile tile = {.h0 = h0, .n = hn};
    for (uint32_t h = 0; h < hn; h++)
        for (uint32_t u = 0; u < k->nu; u++)
            tile.acc[h][u] = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f));
    if (sk_dec_query16(c->spec, c->sched, k->tier_slot))
        integer_block(c, k, next, &tile);
    else
        float_block(c, k, next, &tile);
    for (uint32_t h = 0; h < hn; h++)
        for (uint32_t u = 0; u < k->nu; u++)
            sk_store_logits(c, h0 + h, k->t0, u, sk_ir_get(b, tile.acc[h][u]));
}

/* All heads, in tiles whose sums stay in registers. */
static void dense_heads(sk_dec *c, const sk_dense_keys *k, sk_val next)
{
    const uint32_t tile = k->nu >= 4 ? 3 : k->nu == 2 ? 6 : 8;
    const uint32_t tiles = (c->h + tile - 1) / tile, even = (c->h + tiles - 1) / tiles;
    for (uint32_t h = 0; h < c->h; h += even)
        dense_tile(c, k, next, h, c->h - h < even ? c->h - h : even);
}

void sk_part_logits_dense(sk_dec *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page,
                          sk_val limit, sk_val next)
{
    const uint32_t nu = (uint32_t)c->sched->v[SK_T_ktok];
    const sk_val t0 = sk_ir_for(c->b, c->zero, limit, nu * c->w);
    const sk_dense_keys k = sk_dense_begin(c, tier_slot, lay, page, nu, t0);
    dense_heads(c, &k, next);
    sk_ir_end(c->b);
}

void sk_part_logits_floats(sk_dec *c, uint32_t tier_slot, sk_val keys, sk_val t0, uint32_t tokens)
{
    const uint32_t nu = (uint32_t)c->sched->v[SK_T_ktok];
    sk_dec at = *c; /* logits of the block begin at t0 */
    at.s = sk_ir_ptr_add(c->b, c->s, t0, 4);
    const sk_val u0 = sk_ir_for(c->b, c->zero, sk_k(c, tokens), nu * c->w);
    sk_dense_keys k = {.tier_slot = tier_slot, .kind = SK_KEY_F32, .nu = nu, .keys = keys, .t0 = u0};
    k.column = nu * c->w % 16 == 0 ? SK_NONE : sk_and(c, u0, 15);
    dense_heads(&at, &k, SK_NONE);
    sk_ir_end(c->b);
}
