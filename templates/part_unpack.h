/* part_unpack.h - fields of a page as vectors of W tokens in order: angle
 * codes of any width and both orders, radii of any width. */
#ifndef SK_PART_UNPACK_H
#define SK_PART_UNPACK_H

#include "decode.h"

/* What depends on the token only, computed once per W tokens. */
typedef struct sk_unpack {
    sk_val t0;            /* first token, a multiple of W */
    sk_val index, shift;  /* blocked order: word of the block's 32 bytes, bit shift */
    sk_val base;          /* blocked order: byte offset inside the group's codes */
    uint32_t last;        /* where 16 bytes of the field may begin at most; SK_NO_FIELD: anywhere */
    bool blocked;
} sk_unpack;

/* Of codes that are the last field of a page (values are dimensions of keys, and no
 * positions follow): bytes of the field, up to where fields begin. 0 where others follow:
 * there a load may go beyond the field. */
uint32_t sk_unpack_end(const sk_dec *c, uint32_t tier_slot);

sk_unpack sk_unpack_begin(sk_dec *c, uint32_t tier_slot, sk_val t0);
/* Codes of group j (a value) as u32. `codes` is the address of the field. */
sk_val sk_unpack_codes(sk_dec *c, const sk_unpack *u, const sk_segment *seg, sk_val codes,
                       sk_val j);
/* Factors of the stored radii: r_scale / (2^rb - 1) per span into c->rad (rb <
 * 16; else nothing). Once per page. */
void sk_unpack_radius_scales(sk_dec *c, const sk_segment *seg, const sk_seg_layout *lay,
                             sk_val page);
/* Radii of span p (a value) for tokens t0 .. t0+W-1, as f32. */
sk_val sk_unpack_radii(sk_dec *c, const sk_segment *seg, const sk_seg_layout *lay, sk_val page,
                       sk_val span, sk_val t0);
/* n vectors whose lanes are (run, i mod n) become n vectors, one for each i: lane
 * (run, v) of vector i is what lane (run, i) of vector v was. n = W transposes. */
void sk_transpose(sk_dec *c, sk_val *x, uint32_t n);

#endif
