/* part_dense.h - keys that are not coded as floats, lanes = tokens: what the
 * logits and page_decode load them by. */
#ifndef SK_PART_DENSE_H
#define SK_PART_DENSE_H

#include "decode.h"

/* What the loops know of a tier's keys. Offsets are values. */
typedef struct sk_dense_keys {
    uint32_t tier_slot, kind;
    uint32_t nu;          /* vectors of tokens */
    const sk_seg_layout *lay;
    sk_val page, keys;    /* addresses */
    sk_val t0;
    sk_val column;        /* t0 % 16, or SK_NONE where it is always 0 */
} sk_dense_keys;

/* Keys of the tokens t0 .. t0 + nu*W - 1; t0 a multiple of that. */
sk_dense_keys sk_dense_begin(sk_dec *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page,
                             uint32_t nu, sk_val t0);
/* Scales of vector u for the dimensions around d0; SK_NONE where there are none. */
sk_val sk_dense_scales(sk_dec *c, const sk_dense_keys *k, sk_val d0, uint32_t u);
/* Dimension d0 + i of vector u, with its scale. */
sk_val sk_dense_floats(sk_dec *c, const sk_dense_keys *k, sk_val d0, uint32_t i, uint32_t u,
                       sk_val scale);

#endif
