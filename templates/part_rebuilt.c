/* part_rebuilt.c - logits of keys that are rebuilt (lut=rebuild): a block of tokens
 * becomes f32 in scratch, as a kf32 page would hold them, and is multiplied like dense
 * keys. What a look-up per query head and group would cost is paid once a token, so
 * many query heads make it the better form; and it takes any code, for nothing of it
 * depends on queries. */
#include "part_dense.h"
#include "part_rebuild.h"
#include "part_vk.h"

uint32_t sk_rebuild_tokens(const sk_schedule *sched)
{
    const uint32_t tokens = (uint32_t)(sched->v[SK_T_w] * sched->v[SK_T_ktok]);
    return tokens < 16 ? 16 : tokens;
}

void sk_part_rebuild_begin(sk_dec *c, uint32_t tier_slot)
{
    if (sk_dec_seg(c->spec, tier_slot)->kind != SK_KEY_CODED) return;
    const sk_val set = sk_dec_book(c);
    if (sk_rebuild_book_bytes(c->spec, c->sched, tier_slot) > 0)
        sk_rebuild_load_words(c, tier_slot, set);
    sk_rebuild_load_order(c, set);
}

/* W tokens of the page from t on, to the block's tokens from `at` on. */
static void rebuild_vector(sk_dec *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page,
                           sk_val set, sk_val t, sk_val at, sk_val next)
{
    sk_builder *b = c->b;
    sk_rebuild_at k = sk_rebuild_begin(c, tier_slot, lay, page, set, t);
    if (lay->spans == 1) k.radius = sk_unpack_radii(c, k.seg, lay, page, c->zero, t);
    const sk_val d0 = sk_ir_for(b, c->zero, sk_k(c, c->d), c->w);
    const sk_val turn = sk_mul(c, sk_shr(c, t, (uint32_t)__builtin_ctz(c->w)), c->d / c->w);
    const sk_val step = sk_add(c, turn, sk_shr(c, d0, (uint32_t)__builtin_ctz(c->w)));
    const sk_val row = sk_add(c, sk_mul(c, sk_shr(c, at, 4), c->d), d0);
    const sk_val to = sk_add(c, sk_mul(c, row, 64), sk_mul(c, sk_and(c, at, 15), 4));
    for (uint32_t i = 0; i < c->w; i++) {
        sk_prefetch_share(c, tier_slot, next, step, i, c->w);
        sk_ir_stv(b, c->keys, to, i * 64, sk_rebuild_dim(c, &k, d0, i, c->w));
    }
    sk_ir_end(b);
}

void sk_part_rebuild(sk_dec *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page, sk_val t0,
                     sk_val next)
{
    const sk_val set = sk_dec_book(c);
    const sk_val at = sk_ir_for(c->b, c->zero, sk_k(c, sk_rebuild_tokens(c->sched)), c->w);
    rebuild_vector(c, tier_slot, lay, page, set, sk_add(c, t0, at), at, next);
    sk_ir_end(c->b);
}

void sk_part_logits_rebuild(sk_dec *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page,
                            sk_val limit, sk_val next)
{
    const uint32_t tokens = sk_rebuild_tokens(c->sched);
    const sk_val t0 = sk_ir_for(c->b, c->zero, limit, tokens);
    sk_part_rebuild(c, tier_slot, lay, page, t0, next);
    sk_part_logits_floats(c, tier_slot, c->keys, t0, tokens);
    if (sk_dec_vk(c->spec, tier_slot)) sk_part_vk_block(c, tier_slot, t0, tokens);
    sk_ir_end(c->b);
}
