/* part_vk.h - values that are the first Dv dimensions of keys (vk, latent attention):
 * of each page they are brought to scratch, `vals`, in the order of a vf32 page, and
 * multiplied like those. Keys that are rebuilt for their logits are taken from there. */
#ifndef SK_PART_VK_H
#define SK_PART_VK_H

#include "decode.h"

/* Whether a tier's values are its keys. */
static inline bool sk_dec_vk(const sk_spec *spec, uint32_t tier_slot)
{
    return spec->tier[tier_slot].value == SK_VAL_KEY;
}
/* The codewords that a tier's values want in scratch beside those of its logits. */
bool sk_vk_rebuilds(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot);
/* Of a key, or a part of one: its tokens 0 .. limit-1; or, where they are in `keys`,
 * the W of the page from t on, from token `at` of `keys` on, where they are not rotated
 * yet: values of keys that are kept before RoPE (p) are before it, too. */
void sk_part_vk(sk_dec *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page, sk_val limit);
void sk_part_vk_vector(sk_dec *c, uint32_t tier_slot, sk_val t, sk_val at);

#endif
