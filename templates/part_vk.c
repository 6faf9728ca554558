/* part_vk.c - see part_vk.h. Lanes of keys are tokens, those of values channels: W
 * dimensions of W tokens are transposed in registers. */
#include "part_vk.h"

#include "part_dense.h"
#include "part_rebuild.h"

bool sk_vk_rebuilds(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot)
{
    return sk_dec_vk(spec, tier_slot) && sk_dec_seg(spec, tier_slot)->kind == SK_KEY_CODED &&
           sk_dec_form(spec, sched, tier_slot) != SK_FORM_REBUILD;
}

/* W channels from dimension d0 of the part on, of W tokens from t on. Of a part that was
 * looked up the numbers lack the mean. */
static void put_channels(sk_dec *c, uint32_t tier_slot, sk_val *x, sk_val d0, sk_val t)
{
    sk_builder *b = c->b;
    const bool coded = sk_dec_seg(c->spec, tier_slot)->kind == SK_KEY_CODED;
    if (c->whole && coded && c->whole->book & ~c->spec->book & SPHKV_BOOK_MEAN) {
        const uint32_t mean = sk_dec_mean_off(c);
        const sk_val at = sk_ir_ptr_add(b, sk_dec_book(c), d0, 4);
        for (uint32_t i = 0; i < c->w; i++)
            x[i] = sk_ir_2(b, SK_OP_FADD, x[i], sk_ir_ldu(b, SK_LD_F32, at, c->zero, mean + i * 4));
    }
    sk_transpose(c, x, c->w);
    const sk_val channel = sk_add(c, d0, sk_k(c, c->vdim0));
    const sk_val row = sk_add(c, sk_mul(c, sk_shr(c, channel, 4), c->tp), t);
    const sk_val to = sk_add(c, sk_mul(c, row, 64), sk_mul(c, sk_and(c, channel, 15), 4));
    for (uint32_t i = 0; i < c->w; i++) sk_ir_stv(b, c->vals, to, i * 64, x[i]);
}

void sk_part_vk(sk_dec *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page, sk_val limit)
{
    sk_builder *b = c->b;
    const bool coded = sk_dec_seg(c->spec, tier_slot)->kind == SK_KEY_CODED;
    sk_rebuild_at k;
    sk_dense_keys dense;
    sk_val x[16], scale = SK_NONE;
    if (c->vdims == 0) return;
    const sk_val t0 = sk_ir_for(b, c->zero, limit, c->w);
    if (coded) {
        k = sk_rebuild_begin(c, tier_slot, lay, page, sk_dec_book(c), t0);
        if (lay->spans == 1) k.radius = sk_unpack_radii(c, k.seg, lay, page, c->zero, t0);
    } else {
        dense = sk_dense_begin(c, tier_slot, lay, page, 1, t0);
    }
    const sk_val d0 = sk_ir_for(b, c->zero, sk_k(c, c->vdims), c->w);
    if (!coded) scale = sk_dense_scales(c, &dense, d0, 0);
    for (uint32_t i = 0; i < c->w; i++)
        x[i] = coded ? sk_rebuild_dim(c, &k, d0, i, c->w) : sk_dense_floats(c, &dense, d0, i, 0, scale);
    put_channels(c, tier_slot, x, d0, t0);
    sk_ir_end(b);
    sk_ir_end(b);
}

void sk_part_vk_vector(sk_dec *c, uint32_t tier_slot, sk_val t, sk_val at)
{
    sk_builder *b = c->b;
    sk_val x[16];
    if (c->vdims == 0) return;
    const sk_val d0 = sk_ir_for(b, c->zero, sk_k(c, c->vdims), c->w);
    const sk_val row = sk_add(c, sk_mul(c, sk_shr(c, at, 4), c->d), d0);
    const sk_val from = sk_add(c, sk_mul(c, row, 64), sk_mul(c, sk_and(c, at, 15), 4));
    for (uint32_t i = 0; i < c->w; i++) x[i] = sk_ir_ldv(b, SK_LD_F32, c->keys, from, i * 64);
    put_channels(c, tier_slot, x, d0, t);
    sk_ir_end(b);
}
