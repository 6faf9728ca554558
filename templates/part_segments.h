/* part_segments.h - keys in parts: what the forms of logits see of a segment is a head
 * of its own, a spec with as many dimensions and one tier, queries cut to match; the
 * logits of further segments are added to those of the first. A key of one segment is
 * the spec as it is: nothing changes for it.
 *
 * A key of several codes per group is looked up as a part, too: one with as many groups
 * as there are codes, of one code each, whose queries are those of its group once more.
 * That is what its codes, codewords and radii lie like (layout.h), so no form of look-up
 * knows of it. Where keys are rebuilt, codewords are added up instead and the key stays
 * as it is (part_rebuild.h). Where the set has a transform, a key that is rebuilt to be
 * multiplied, and for nothing else, is a part, so that it meets transformed queries.
 *
 * A part has neither mean nor permutation: its queries are those of coded tiers
 * already, and <q, mean>, over the dimensions of the tier that are coded, enters with
 * the first part that is. A part that is kept before RoPE (p) is rebuilt with its mean,
 * and rotated in its own pairs of dimensions.
 *
 * Where a permutation or a transform makes each coded dimension of dimensions of several
 * segments, no segment is a key's: one that must become the model's, since it is rotated
 * or values are, is rebuilt whole, as a key of one segment is (part_turn.c). */
#ifndef SK_PART_SEGMENTS_H
#define SK_PART_SEGMENTS_H

#include "decode.h"

/* A key, or a segment of one. Zeros before the first. */
typedef struct sk_key_part {
    sk_spec spec;       /* whose tier `slot` it is */
    uint32_t slot;
    bool cut;           /* a part: the spec is its own */
    uint32_t times;     /* groups that it has for each of the key's */
    uint32_t tier, seg; /* of the kernel's spec */
    uint32_t next_tier, next_seg;
} sk_key_part;

/* Whether a tier's key is taken in parts. sched: of attention; NULL: keys are rebuilt. */
bool sk_key_parted(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot);
bool sk_key_any_parted(const sk_spec *spec, const sk_schedule *sched);
/* The next part of a tier, of all tiers; false behind the last. */
bool sk_key_next_of(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot,
                    sk_key_part *at);
bool sk_key_next(const sk_spec *spec, const sk_schedule *sched, sk_key_part *at);
/* Its fields in a page of the kernel's spec. */
sk_seg_layout sk_key_fields(const sk_key_part *at, const sk_page_layout *lay);

/* The same of keys that become the model's numbers, mean included: of a tier; and its
 * decode, without queries: out->vdims of its dimensions, from out->vdim0 of the key on, are
 * among the key's first `dims`. */
bool sk_rebuilt_next(const sk_spec *spec, uint32_t tier_slot, sk_key_part *at);
void sk_rebuilt_open(const sk_dec *c, const sk_key_part *part, uint32_t dims, sk_dec *out);
/* The same of coded keys as they are coded, a segment at a time: without mean, permutation
 * and transform; its codewords and radii among those of the key, its fields. lay: of a
 * key of one segment, or a part that is like one. */
bool sk_coded_next(const sk_spec *spec, uint32_t tier_slot, sk_key_part *at);
sk_seg_layout sk_coded_open(const sk_dec *c, const sk_key_part *part, const sk_seg_layout *lay,
                            sk_dec *out);
/* Whether codewords of a key, or a part, are in scratch for rebuilding. */
bool sk_part_rebuilds(const sk_spec *spec, const sk_schedule *sched, uint32_t slot);
/* The decode of a part; tables at `lut` + *lut_off. */
void sk_part_open(const sk_dec *c, const sk_key_part *part, sk_dec *out, uint32_t *lut_off);
/* Moves the areas of parts by i * bytes, to those of a query token. */
void sk_part_shift(sk_dec *c, sk_val i, uint32_t bytes);
/* What parts need of scratch, and their queries from qs and qc. */
void sk_part_areas(sk_dec *c, sk_dec_place *place, void *user);
void sk_part_queries(sk_dec *c);

#endif
