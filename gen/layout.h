/* layout.h - page layout, format version 1: the one place that computes an
 * offset inside a page or inside a packed codebook set. Host code, kernels,
 * references, tests and documents use nothing else.
 *
 * A page of one tier for one KV head holds, each starting at a multiple of 16
 * bytes and in this order: per segment of the key: r_scale (f16 per span, when
 * rb < 16), radii, angle codes, or dense keys (ki8, ki4, kf8: their scales first);
 * then value scales (f16 per channel; vi4 also minima), values; then positions
 * (u32 per slot) when a segment is kept before RoPE (p), coded or dense, or the spec
 * has the variant positions. Unused slots are zero.
 * The size is rounded up to arena units.
 *
 * Tp = P rounded up to 16, Cp = Dv rounded up to 16. Element orders:
 *   radius (span p, token t)    bit (p*P + t)*rb                 every row
 *   dense key (dim d, token t)  element ((t/16)*dims + d)*16 + t%16  every row
 *   ki8/ki4 scale (32-dim block k, token t): f16 element k*P + t; kf8 has one
 *                               scale, and never the NaN codes (as vf8)
 *   value (token t, channel c)  element ((c/16)*Tp + t)*16 + c%16    row 0, and
 *                               every row for formats but vi8; vf8 never has
 *                               the NaN codes 0x7f, 0xff (read as +-480)
 * A group of x codes (g16b8x2...) has x rows of codes, one behind the other: row
 * j*x + i is code i of group j, so that everywhere they are what x times as many groups
 * of one code would be. The group is radius * the sum of the x codewords. Codewords are
 * unit vectors only where a span is one group of one code: a sum of them is none.
 * Row 0, plain:  code (row r, token t) at bit (r*P + t)*b, least significant
 *                bit first, little-endian.
 * Row 1, lut:    as row 0, except
 *   4-bit codes, when P is a multiple of 64: nibbles in blocks of 64 tokens =
 *     32 bytes per row; token u of a block: nibble u/32 (0 = low) of byte
 *     16*(i/4) + 8*(q/2) + 2*(i%4) + q%2, where T = u%32, i = T%8, q = T/8.
 *     (A byte table look-up of 32 codes followed by interleaving its low- and
 *     high-byte results inside 16-byte groups then yields 16-bit pairs whose
 *     even and odd halves are runs of 8 tokens in order.)
 *   vi8: tokens in pairs: byte (((c/16)*(Tp/2) + t/2)*16 + c%16)*2 + t%2. */
#ifndef SK_LAYOUT_H
#define SK_LAYOUT_H

#include "spec.h"

#define SK_NO_FIELD 0xffffffffu

typedef struct sk_seg_layout {
    uint32_t dim0, dims;   /* dimensions of the head covered */
    uint32_t groups;       /* coded: dims / g */
    uint32_t codes;        /* coded: rows of codes: groups times codes of a group */
    uint32_t spans;        /* coded: dims / span_dims */
    uint32_t span_dims;    /* coded: span in dimensions, resolved */
    uint32_t rscale_off;   /* f16 per span, or SK_NO_FIELD (rb = 16, dense) */
    uint32_t radius_off;   /* coded, else SK_NO_FIELD */
    uint32_t code_off;     /* coded, else SK_NO_FIELD */
    uint32_t kscale_off;   /* ki8, ki4, kf8, else SK_NO_FIELD */
    uint32_t key_off;      /* dense keys, else SK_NO_FIELD */
} sk_seg_layout;

typedef struct sk_page_layout {
    uint32_t nseg;
    sk_seg_layout seg[SK_MAX_SEGMENTS];
    uint32_t vscale_off;  /* vi8, vi4: f16 per channel; vf8: one f16; else SK_NO_FIELD */
    uint32_t vmin_off;    /* vi4: f16 per channel */
    uint32_t value_off;   /* SK_NO_FIELD for vk */
    uint32_t pos_off;     /* u32 per slot, or SK_NO_FIELD */
    uint32_t tp, cp;      /* Tp, Cp */
    uint32_t bytes;       /* used */
    uint32_t units;       /* allocated, in SPHKV_UNIT_BYTES */
} sk_page_layout;

/* sphkv_page_layout of the design. spec must have passed sk_spec_check. */
void sk_page_layout_get(const sk_spec *spec, uint32_t tier_slot, sk_page_layout *out);

/* Bit offset of a code inside the code field; row j*x + i is code i of group j. */
uint32_t sk_layout_code_bit(const sk_spec *spec, const sk_segment *seg, uint32_t row,
                            uint32_t token);
/* Whether 4-bit codes of this segment stand in row 1's blocks of 64. */
bool sk_layout_codes_blocked(const sk_spec *spec, const sk_segment *seg);
/* Whether vi8 values stand in pairs. */
bool sk_layout_values_paired(const sk_spec *spec, uint32_t value_kind);
/* Whether pages of two specs that differ in the row alone lie alike, tier by tier. */
bool sk_layout_same(const sk_spec *a, const sk_spec *b);
/* Element (not byte) index of a dense key / of a value. */
uint32_t sk_layout_key_index(const sk_seg_layout *seg, uint32_t dim, uint32_t token);
uint32_t sk_layout_value_index(const sk_spec *spec, uint32_t value_kind,
                               const sk_page_layout *layout, uint32_t token, uint32_t channel);
/* Reads or writes `bits` (1..16) at a bit offset. */
uint32_t sk_bits_get(const uint8_t *base, uint32_t bit, uint32_t bits);
void sk_bits_put(uint8_t *base, uint32_t bit, uint32_t bits, uint32_t value);

/* Whether the codewords of a segment are unit vectors, else they are free. */
static inline bool sk_layout_unit(const sk_segment *seg, const sk_seg_layout *at)
{
    return at->span_dims == seg->g && seg->more == 0;
}

/* Packed codebook set, what kernels read, of one KV head: f16 tables per tier and
 * coded segment, [group][code of the group][dim in group][code]: codewords transposed,
 * so that lanes are codes. Behind them, where the spec's book flags say so, the permutation (u32
 * [D]: coded dimension i is dimension perm[i] of the model's key), then the mean (f32
 * [D], in the model's order), then the transform, by columns (f32 [D][D]: element [j][i]
 * is T[i][j], what coded dimension i has of dimension j of the permuted key), or of a
 * Hadamard transform one number for each column (f32 [D]: sign[j] / sqrt(D), T[i][j] = that
 * times (-1)^popcount(i & j)). Offsets in bytes, multiples of 64. */
uint32_t sk_codebook_tier_off(const sk_spec *spec, uint32_t tier_slot, uint32_t seg);
uint32_t sk_codebook_permutation_off(const sk_spec *spec); /* or SK_NO_FIELD */
uint32_t sk_codebook_mean_off(const sk_spec *spec);        /* or SK_NO_FIELD */
uint32_t sk_codebook_transform_off(const sk_spec *spec);   /* of either; or SK_NO_FIELD */
uint32_t sk_codebook_head_bytes(const sk_spec *spec); /* stride between KV heads; 0 = all dense */

/* The first element that is out of range or stands there twice; d = there is none. */
uint32_t sk_permutation_flaw(const uint32_t *permutation, uint32_t d);

/* Dimensions dim .. dim+dims-1 of a key as coded tiers hold it, plain scalar:
 * x = T y, y[i] = k[perm[i]] - mean[perm[i]]. k: all D of them. */
void sk_coded_key_ref(const sk_spec *spec, const uint8_t *head_codebook, const double *k,
                      uint32_t dim, uint32_t dims, double *x);

/* Decoded key and value rows of one page in double, plain scalar: the
 * reference every decoder is judged by. Keys are the model's: transform and
 * permutation undone, the mean added. head_codebook: packed set of this KV head, NULL when the
 * tier is dense. k: [tokens][D], v: [tokens][Dv], either may be NULL. */
void sk_page_decode_ref(const sk_spec *spec, uint32_t tier_slot, const uint8_t *page,
                        uint32_t tokens, const uint8_t *head_codebook, double *k, double *v);

#endif
