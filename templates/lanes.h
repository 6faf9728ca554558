/* lanes.h - elements of a page lane by lane: what each lane wants lies where its own
 * token or channel says, so that vectors need not fit the order of a field. The same
 * numbers, from the same arithmetic, as part_unpack.h, part_dense.h and part_value.h
 * give in order; what a GPU takes where lanes are as many as two rows of 16. */
#ifndef SK_LANES_H
#define SK_LANES_H

#include "decode.h"

/* Tokens of a page of one tier, a lane each: any of 0 .. P-1. */
typedef struct sk_lanes {
    sk_dec *d;
    uint32_t tier_slot;
    const sk_page_layout *lay;
    const sk_segment *seg;
    sk_val page, set;    /* addresses: the page, the packed set of its KV head */
    sk_val token;
    sk_val blocked, shift; /* 4-bit codes of row 1: byte inside a group, bit in it */
} sk_lanes;

sk_lanes sk_lanes_begin(sk_dec *d, uint32_t tier_slot, const sk_page_layout *lay, sk_val page,
                        sk_val set, sk_val token);
/* Numbers of 2 to 8, or 16, bits at bit offsets of the field at byte `field` of a page;
 * inside: the lanes that want one, SK_NONE: all. */
sk_val sk_lanes_numbers(sk_dec *d, sk_val page, uint32_t field, sk_val bit, uint32_t bits,
                        sk_val inside);
/* Codes of row j, radii of span p, uniform values. */
sk_val sk_lanes_codes(const sk_lanes *c, sk_val j);
sk_val sk_lanes_radii(const sk_lanes *c, sk_val p);
/* Row `dim` (uniform) + `plus` of codewords, before the radius; dimensions of keys not
 * coded, with the scales of the 32 dimensions that dim is one of, SK_NONE where there
 * are none. */
sk_val sk_lanes_codewords(const sk_lanes *c, sk_val dim, uint32_t plus, sk_val code);
sk_val sk_lanes_scales(const sk_lanes *c, sk_val dim);
sk_val sk_lanes_dense(const sk_lanes *c, sk_val dim, uint32_t plus, sk_val scale);

/* Channels of the values of a page, a lane each; scale, least: as they are stored. */
typedef struct sk_lane_values {
    sk_dec *d;
    uint32_t kind;
    const sk_page_layout *lay;
    sk_val page, channel, scale, least;
} sk_lane_values;
sk_lane_values sk_lane_values_begin(sk_dec *d, uint32_t tier_slot, const sk_page_layout *lay,
                                    sk_val page, sk_val channel, sk_val inside);
/* Values of token t (uniform); 0 where not `inside`. */
sk_val sk_lane_value(const sk_lane_values *c, sk_val t, sk_val inside);

#endif
