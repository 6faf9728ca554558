/* part_dense.c - logits of keys that are not coded: f32, f16, bf16, ki8, ki4, kf8.
 * Lanes are tokens: 16 tokens of one dimension lie together, and what is loaded
 * of K serves all query heads of a tile. Here keys become floats (a code of ki8 and
 * ki4 times its scale) and are multiplied as such; products with queries of 16 bits
 * and fewer are part_short.c. */
#include "part_dense.h"
#include "rows.h"

static sk_ld_kind float_kind(uint32_t key_kind)
{
    return key_kind == SK_KEY_F32 ? SK_LD_F32 : key_kind == SK_KEY_F16 ? SK_LD_F16 : SK_LD_BF16;
}

static bool has_scales(uint32_t key_kind) { return key_kind == SK_KEY_I8 || key_kind == SK_KEY_I4; }

uint32_t sk_dense_unroll(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot)
{
    return sk_dec_query16(spec, sched, tier_slot) ? sk_short_unroll(spec, sched) : 8;
}

/* ---- keys of a block of tokens ------------------------------------------ */

uint32_t sk_dense_element(const sk_dec *c, uint32_t u, uint32_t dim)
{
    const uint32_t t = u * c->w;
    return (t / 16 * c->d + dim) * 16 + t % 16;
}

sk_val sk_dense_columns(sk_dec *c, const sk_dense_keys *k, uint32_t u)
{
    const sk_val t = sk_add(c, c->lane, sk_k(c, u * c->w % 16));
    return k->column == SK_NONE ? t : sk_add(c, t, k->column);
}

sk_val sk_dense_row(sk_dec *c, const sk_dense_keys *k, sk_val d0, uint32_t bytes_per_dim)
{
    const sk_val group = sk_mul(c, sk_shr(c, k->t0, 4), c->d);
    return sk_mul(c, sk_add(c, group, d0), bytes_per_dim);
}

sk_val sk_dense_scale_offset(sk_dec *c, const sk_dense_keys *k, sk_val d0)
{
    const sk_val row = sk_mul(c, sk_shr(c, d0, 5), c->p);
    return sk_mul(c, sk_add(c, row, k->t0), 2);
}

sk_val sk_dense_scales(sk_dec *c, const sk_dense_keys *k, sk_val d0, uint32_t u)
{
    if (k->kind == SK_KEY_F8) /* one of the page */
        return sk_ir_ldu(c->b, SK_LD_F16, k->page, c->zero, k->lay->kscale_off);
    if (!has_scales(k->kind)) return SK_NONE;
    const sk_val at = sk_dense_scale_offset(c, k, d0);
    return sk_ir_ldv(c->b, SK_LD_F16, k->page, at, k->lay->kscale_off + u * c->w * 2);
}

/* The nibbles of W tokens of dimension d0 + i: a word holds 8 of them. */
static sk_val nibbles(sk_dec *c, const sk_dense_keys *k, sk_val d0, uint32_t i, uint32_t u)
{
    const uint32_t disp = (u * c->w / 16 * c->d + i) * 8;
    const sk_val t = sk_dense_columns(c, k, u);
    sk_val off = sk_dense_row(c, k, d0, 8), word;
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
    sk_val off = sk_dense_row(c, k, d0, 16 * es);
    if (k->column != SK_NONE) off = sk_add(c, off, sk_mul(c, k->column, es));
    const sk_val x = sk_ir_ldv(b, load, k->keys, off, sk_dense_element(c, u, i) * es);
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

sk_val sk_dense_turn(sk_dec *c, const sk_dense_keys *k, sk_val d0)
{
    const uint32_t unroll = sk_dense_unroll(c->spec, c->sched, k->tier_slot);
    const uint32_t block = k->nu * c->w;
    const sk_val blocks = sk_shr(c, k->t0, (uint32_t)__builtin_ctz(block));
    return sk_add(c, sk_mul(c, blocks, c->d / unroll),
                  sk_shr(c, d0, (uint32_t)__builtin_ctz(unroll)));
}

static void float_block(sk_dec *c, const sk_dense_keys *k, sk_val next, const sk_head_tile *tile)
{
    sk_builder *b = c->b;
    const uint32_t unroll = sk_dense_unroll(c->spec, c->sched, k->tier_slot);
    const sk_val d0 = sk_ir_for(b, c->zero, sk_k(c, c->d), unroll);
    const sk_val qoff = sk_mul(c, d0, 4), turn = sk_dense_turn(c, k, d0);
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

/* ---- a page -------------------------------------------------------------- */

static void dense_tile(sk_dec *c, const sk_dense_keys *k, sk_val next, uint32_t h0, uint32_t hn)
{
    sk_builder *b = c->b;
    sk_head_tile tile = {.h0 = h0, .n = hn};
    for (uint32_t h = 0; h < hn; h++)
        for (uint32_t u = 0; u < k->nu; u++)
            tile.acc[h][u] = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f));
    if (sk_dec_query16(c->spec, c->sched, k->tier_slot))
        sk_short_block(c, k, next, &tile);
    else
        float_block(c, k, next, &tile);
    for (uint32_t h = 0; h < hn; h++) {
        sk_val x[4];
        for (uint32_t u = 0; u < k->nu; u++) x[u] = sk_ir_get(b, tile.acc[h][u]);
        if (sk_dec_query16(c->spec, c->sched, k->tier_slot)) sk_short_order(c, k, x);
        for (uint32_t u = 0; u < k->nu; u++) sk_store_logits(c, h0 + h, k->t0, u, x[u]);
    }
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
