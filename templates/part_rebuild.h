/* part_rebuild.h - coded keys rebuilt as numbers, lanes = tokens: a vector is one
 * dimension, in the order of the model's key, of W tokens; of several codes per group the
 * codewords' sum. What page_decode writes as
 * rows, and what attention multiplies where it looks nothing up (lut=rebuild).
 *
 * Scratch (sk_dec): `book` the codewords of the tier at work in f32, as the packed set
 * has them, where they do not fit in registers; `where` u32 [D], the coded dimension
 * that a dimension of the model's key is, where the set has a permutation; `keys` a
 * block of sk_rebuild_tokens tokens in the order of a kf32 page: [16 tokens][D][16]. */
#ifndef SK_PART_REBUILD_H
#define SK_PART_REBUILD_H

#include "part_unpack.h"

/* W tokens of a coded tier. */
typedef struct sk_rebuild_at {
    uint32_t tier_slot;
    const sk_segment *seg;
    const sk_seg_layout *lay;
    sk_val page, field, set, t0;
    sk_unpack un;
    sk_val code[SK_MAX_CODES], radius; /* lanes = tokens: of the group at work */
    sk_val apart; /* of several codes: rows of codewords between a dimension and its first */
} sk_rebuild_at;

/* Whether a tier's codewords are looked up in registers. */
bool sk_rebuild_in_registers(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot);
/* Bytes of `book` that a key, or a part, wants, and factors of `rad`: of all its segments
 * where it is rebuilt whole (part_segments.h). */
uint32_t sk_rebuild_book_bytes(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot);
uint32_t sk_rebuild_spans(const sk_spec *spec, uint32_t tier_slot);
/* Fill `book` and `where` (nothing without a permutation) from the packed set of a head,
 * and `rad` from a page; nothing where they are not wanted. */
void sk_rebuild_load_words(sk_dec *d, uint32_t tier_slot, sk_val set);
void sk_rebuild_load_order(sk_dec *d, sk_val set);
void sk_rebuild_scales(sk_dec *d, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page);

/* Tokens t0 .. t0+W-1, a multiple of W. Where the head has one radius the caller takes
 * it next (sk_unpack_radii); the factors of stored radii are in `rad`. */
sk_rebuild_at sk_rebuild_begin(sk_dec *d, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page,
                               sk_val set, sk_val t0);
/* Whether the groups of a step can be told apart while building. */
bool sk_rebuild_groups_fit(const sk_dec *d, const sk_segment *seg, uint32_t step);
/* Codes and radius of group j, a value. */
void sk_rebuild_group(sk_dec *d, sk_rebuild_at *k, sk_val j);
/* Dimension d0 + i of the model's key, i = 0 .. step - 1 in this order; d0 a multiple
 * of step. */
sk_val sk_rebuild_dim(sk_dec *d, sk_rebuild_at *k, sk_val d0, uint32_t i, uint32_t step);

/* The same of W tokens, where all of a key is needed for a dimension, or where its segments
 * are rebuilt together: all dimensions of the model's key, 64 bytes apart from byte `to` of
 * `keys` on (part_turn.c). `turned`: [D][W] f32. */
bool sk_turns_back(const sk_spec *spec, uint32_t tier_slot);
void sk_part_turn_back(sk_dec *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page,
                       sk_val set, sk_val t, sk_val to);

/* ---- attention ---- */

/* 32 tokens at once where lanes are 16 (part_halves.c): whether a tier is; bytes of
 * `book` it wants; its tables. Then `limit` tokens of a page, a half each, to `halves`
 * ([P/32][D][32]), and 32 of these from t on, as numbers and rotated, to `keys` from `at`
 * on. */
bool sk_rebuild_by_halves(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot);
uint32_t sk_halves_bytes(const sk_spec *spec, uint32_t tier_slot);
void sk_halves_load(sk_dec *c, uint32_t tier_slot, sk_val set);
void sk_halves_page(sk_dec *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page,
                    sk_val limit, sk_val next);
void sk_halves_block(sk_dec *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page, sk_val t,
                     sk_val at);

/* W tokens of the page from t on, coded or dense, to the tokens of `keys` from `at` on,
 * not rotated (sk_part_rope). `set`: of the head. `next`: the page to prefetch, or SK_NONE. */
void sk_part_rebuild_vector(sk_dec *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page,
                            sk_val set, sk_val t, sk_val at, sk_val next);
/* Tokens of a block, a multiple of 16. */
uint32_t sk_rebuild_tokens(const sk_schedule *sched);
/* Bytes of `book` that a tier wants; its codewords, once an item. */
uint32_t sk_part_rebuild_bytes(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot);
void sk_part_rebuild_begin(sk_dec *c, uint32_t tier_slot);
void sk_part_logits_rebuild(sk_dec *c, uint32_t tier_slot, const sk_seg_layout *lay, sk_val page,
                            sk_val limit, sk_val next);

#endif
