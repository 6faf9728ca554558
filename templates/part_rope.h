/* part_rope.h - rotary embedding in kernels, for keys that are kept before it (p): the
 * parameters, the rotation of rebuilt keys, and the host side of a table of rotations
 * (sphkv_rope). Rows of the table belong to tokens, so a vector of tokens has its
 * cosines side by side only after a transposition, which serves all its dimensions. */
#ifndef SK_PART_ROPE_H
#define SK_PART_ROPE_H

#include "decode.h"

/* Parameters, last of a program's: rope, rope_dims, rope_last. Nothing where no tier is
 * p. With rope_dims 0 keys stay before RoPE. Of a key of several segments those are
 * rotated that are p, each by itself: all of this is of a part then, or of all of the key
 * where that is rebuilt whole (part_segments.h). */
void sk_rope_params(sk_dec *c);
void sk_rope_call(sk_call *call, const sk_spec *spec, const sphkv_rope *rope);

/* Its parts: what the W tokens of the page from t on are rotated by; and dimensions i0 + i
 * and i1 + i of their keys, i1 half of rope_dims behind i0. */
void sk_rope_turns(sk_dec *c, uint32_t pos_off, sk_val page, sk_val t);
void sk_rope_pair(sk_dec *c, sk_val i0, sk_val i1, uint32_t i, sk_val *x, sk_val *y);
/* One pair; with x and y exchanged it is rotated back. */
void sk_rope_by(sk_dec *c, sk_val cosine, sk_val sine, sk_val *x, sk_val *y);
/* Asks for the rows of the table of `tokens` tokens of the page from t on. */
void sk_rope_prefetch(sk_dec *c, uint32_t pos_off, sk_val page, sk_val t, uint32_t tokens);
/* Bytes of scratch `cosines`: what W tokens are rotated by. */
static inline uint32_t sk_rope_bytes(const sk_dec *c) { return c->d * c->w * 4; }
/* Rotates W rebuilt tokens, where the tier, or part, is p: those of the page from slot t
 * on, at token `at` of `keys` (part_rebuild.h). */
void sk_part_rope(sk_dec *c, uint32_t tier_slot, sk_val page, sk_val t, sk_val at);
/* Rotates W tokens of `keys` from t on as the tier of another spec is, which is p, or back,
 * by the positions at byte pos_off of a page. */
void sk_rope_like(sk_dec *c, const sk_spec *spec, uint32_t tier_slot, bool back, uint32_t pos_off,
                  sk_val page, sk_val t);
/* Where the positions of the tier's page are. */
uint32_t sk_rope_positions(const sk_dec *c, uint32_t tier_slot);

/* One token a lane: its row of the table (element offset), the factors of dimension
 * `dim` (uniform) and the dimension it is paired with: k' = k * c + partner * s. */
typedef struct sk_rope_lanes {
    sk_val row, half;
} sk_rope_lanes;
typedef struct sk_rope_turn {
    sk_val partner, c, s;
} sk_rope_turn;
sk_rope_lanes sk_rope_lanes_begin(sk_dec *c, uint32_t pos_off, sk_val page, sk_val token);
sk_rope_turn sk_rope_lanes_turn(sk_dec *c, const sk_rope_lanes *r, sk_val dim);

/* Whether the tiers of the mix are of one model: those that are p rotate the same
 * dimensions, and values from keys (vk) are before RoPE in all or in none. */
sk_status sk_rope_supported(const sk_spec *spec, const char *kernel, sk_err *err);
/* Fills in what may be left out and checks it, where a tier is p. may_lack: no table is
 * fine; then dims are 0. */
sk_status sk_rope_check(const sk_spec *spec, sphkv_rope *rope, bool may_lack, sk_err *err);
/* Whether all of `count` positions of a page are in the table. */
bool sk_rope_inside(const sphkv_rope *rope, const uint8_t *positions, uint32_t count);

#endif
