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
/* Where those of t0 lie in their field. */
sk_val sk_dense_scale_offset(sk_dec *c, const sk_dense_keys *k, sk_val d0);
/* Dimension d0 + i of vector u, with its scale. */
sk_val sk_dense_floats(sk_dec *c, const sk_dense_keys *k, sk_val d0, uint32_t i, uint32_t u,
                       sk_val scale);
/* Elements (not bytes) between dimension 0 of t0 and dimension `dim` of vector u. */
uint32_t sk_dense_element(const sk_dec *c, uint32_t u, uint32_t dim);
/* Tokens of vector u inside their 16, a lane each. */
sk_val sk_dense_columns(sk_dec *c, const sk_dense_keys *k, uint32_t u);
/* Byte offset of dimension d0 of the 16 tokens that t0 is of. */
sk_val sk_dense_row(sk_dec *c, const sk_dense_keys *k, sk_val d0, uint32_t bytes_per_dim);
/* Step of the loops over one full page, for the prefetch. */
sk_val sk_dense_turn(sk_dec *c, const sk_dense_keys *k, sk_val d0);

/* Heads whose sums stay in registers. */
typedef struct sk_head_tile {
    uint32_t h0, n;
    sk_val acc[SK_HEAD_TILE][4]; /* variables */
} sk_head_tile;

/* Products with short queries (part_short.c): over all dimensions, added to the tile. */
void sk_short_block(sk_dec *c, const sk_dense_keys *k, sk_val next, const sk_head_tile *tile);
/* Its logits x of one head to tokens in order. */
void sk_short_order(sk_dec *c, const sk_dense_keys *k, sk_val x[4]);
/* Codes of the dimensions d0 + i .. d0 + i + 3 as unsigned bytes, a token a lane, of all nu
 * vectors, which are whole 16s of tokens; whether vectors 2n and 2n + 1 are the even and the
 * odd ones of their tokens; scales in that order (part_quads.c). */
void sk_dense_quads(sk_dec *c, const sk_dense_keys *k, sk_val d0, uint32_t i, sk_val quad[4]);
bool sk_dense_quads_apart(const sk_dec *c, const sk_dense_keys *k);
sk_val sk_dense_quad_scales(sk_dec *c, const sk_dense_keys *k, sk_val d0, uint32_t u);
/* Dimensions that it takes together. */
uint32_t sk_short_dims(const sk_spec *spec);
/* And of a step of its loop. */
uint32_t sk_short_unroll(const sk_spec *spec, const sk_schedule *sched);

#endif
