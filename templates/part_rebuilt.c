/* part_rebuilt.c - logits of keys that are rebuilt (lut=rebuild): a block of tokens
 * becomes f32 in scratch, as a kf32 page would hold them, and is multiplied like dense
 * keys. What a look-up per query head and group would cost is paid once a token, so
 * many query heads make it the better form; and it takes any code, for nothing of it
 * depends on queries. Keys kept before RoPE (p), dense ones too, have no other form: a
 * block is rotated before it is multiplied. */
#include "part_dense.h"
#include "part_rebuild.h"
#include "part_rope.h"
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
    if (sk_rebuild_by_halves(c->spec, c->sched, tier_slot))
        sk_halves_load(c, tier_slot, set);
    else
        sk_rebuild_load_words(c, tier_slot, set);
    sk_rebuild_load_order(c, set);
}

uint32_t sk_part_rebuild_bytes(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot)
{
    return sk_rebuild_by_halves(spec, sched, tier_slot)
               ? sk_halves_bytes(spec, tier_slot)
               : sk_rebuild_book_bytes(spec, sched, tier_slot);
}

void sk_part_rebuild_vector(sk_dec *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page,
                            sk_val set, sk_val t, sk_val at, sk_val next)
{
    sk_builder *b = c->b;
    const bool coded = sk_dec_seg(c->spec, tier_slot)->kind == SK_KEY_CODED;
    sk_rebuild_at k = {0};
    sk_dense_keys dense = {0};
    if (sk_turns_back(c->spec, tier_slot)) {
        const uint32_t d = c->keys_d ? c->keys_d : c->d;
        const sk_val first = sk_mul(c, sk_mul(c, sk_shr(c, at, 4), d), 64);
        const sk_val to = sk_add(c, first, sk_mul(c, sk_and(c, at, 15), 4));
        sk_part_turn_back(c, tier_slot, lay, page, set, t, to);
        return;
    }
    if (coded) k = sk_rebuild_begin(c, tier_slot, lay, page, set, t);
    if (coded && lay->spans == 1) k.radius = sk_unpack_radii(c, k.seg, lay, page, c->zero, t);
    if (!coded) dense = sk_dense_begin(c, tier_slot, lay, page, 1, t);
    const sk_val d0 = sk_ir_for(b, c->zero, sk_k(c, c->d), c->w);
    const sk_val turn = sk_mul(c, sk_shr(c, t, (uint32_t)__builtin_ctz(c->w)), c->d / c->w);
    const sk_val step = sk_add(c, turn, sk_shr(c, d0, (uint32_t)__builtin_ctz(c->w)));
    const sk_val row = sk_add(c, sk_mul(c, sk_shr(c, at, 4), c->keys_d ? c->keys_d : c->d), d0);
    const sk_val to = sk_add(c, sk_mul(c, row, 64), sk_mul(c, sk_and(c, at, 15), 4));
    const sk_val scale = coded ? SK_NONE : sk_dense_scales(c, &dense, d0, 0);
    for (uint32_t i = 0; i < c->w; i++) {
        sk_prefetch_share(c, tier_slot, next, step, i, c->w);
        sk_ir_stv(b, c->keys, to, i * 64,
                  coded ? sk_rebuild_dim(c, &k, d0, i, c->w)
                        : sk_dense_floats(c, &dense, d0, i, 0, scale));
    }
    sk_ir_end(b);
}

/* The block of tokens from t0 on into `keys`, rotated where they are kept before RoPE;
 * into `vals`, too, where values are keys. `next`: the page to prefetch, or SK_NONE. */
static void rebuild_block(sk_dec *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page,
                          sk_val t0, sk_val next)
{
    const sk_val set = sk_dec_book(c);
    const bool two = sk_rebuild_by_halves(c->spec, c->sched, tier_slot);
    const uint32_t step = two ? 2 * c->w : c->w;
    const sk_val at = sk_ir_for(c->b, c->zero, sk_k(c, sk_rebuild_tokens(c->sched)), step);
    const sk_val t = sk_add(c, t0, at);
    if (two)
        sk_halves_block(c, tier_slot, lay, page, t, at);
    else
        sk_part_rebuild_vector(c, tier_slot, lay, page, set, t, at, next);
    for (uint32_t i = 0; i < step && sk_dec_vk(c->spec, tier_slot); i += c->w)
        sk_part_vk_vector(c, tier_slot, sk_add(c, t, sk_k(c, i)), sk_add(c, at, sk_k(c, i)));
    if (!two) sk_part_rope(c, tier_slot, page, t, at);
    sk_ir_end(c->b);
}

void sk_part_logits_rebuild(sk_dec *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page,
                            sk_val limit, sk_val next)
{
    const uint32_t tokens = sk_rebuild_tokens(c->sched);
    if (sk_rebuild_by_halves(c->spec, c->sched, tier_slot))
        sk_halves_page(c, tier_slot, lay, page, limit, next);
    const sk_val t0 = sk_ir_for(c->b, c->zero, limit, tokens);
    rebuild_block(c, tier_slot, lay, page, t0, next);
    sk_part_logits_floats(c, tier_slot, c->keys, t0, tokens);
    sk_ir_end(c->b);
}
