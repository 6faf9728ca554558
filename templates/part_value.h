/* part_value.h - values of a page as vectors of channels, every format: what the
 * value product and page_decode load them by. */
#ifndef SK_PART_VALUE_H
#define SK_PART_VALUE_H

#include "part_probs.h"

/* Squares that the walk over a page's channels adds up where integer probabilities are
 * judged by them (part_sinks.c): variables of lane sums, uniform totals in the end. */
typedef struct sk_value_sizes {
    bool known;               /* values are added up */
    sk_val values;            /* V^2, of what the page's scales stand for */
    sk_val out[SK_HEAD_TILE]; /* |acc|^2 of each head, with this page */
} sk_value_sizes;

typedef struct sk_value_form {
    uint32_t value;    /* sk_value_kind */
    sk_ld_kind kind;   /* of a load of W channels; vi4: of words */
    bool pairs, i16;
    bool dots;         /* sums come of dot products, with their own order (part_dots.c) */
    bool rest;         /* adds to what the page gave one head so far, in f32 */
    uint32_t step;     /* bytes from a token (pair) to the next */
    uint32_t nv;       /* vectors per block of channels */
    uint32_t es;       /* bytes per channel of a token (pair); vi4: 0 */
    /* of the block of channels at work, a vector each */
    sk_val pick[8];    /* vi4: indices of the look-up */
    sk_val nibble;     /* vi4: its mask */
    sk_val scale[8], least[8]; /* vi8, vi4, vf8; vi4 */
    sk_value_sizes *sizes;     /* NULL: nobody asks */
} sk_value_form;

/* With blocks of `channels` of them; i16: pairs stay integers. */
sk_value_form sk_value_form_of(const sk_dec *c, uint32_t tier_slot, uint32_t channels, bool i16);
/* What belongs to the channels from c0 on, and where their block begins. */
void sk_value_channels(sk_dec *c, sk_value_form *f, const sk_page_layout *lay, sk_val page,
                       sk_val c0);
sk_val sk_value_block(sk_dec *c, const sk_value_form *f, sk_val c0);
/* Values of token (pair) i of a step at byte `off` of v0: lo, and hi of a pair that
 * is split. vi8 and vf8 want their scale still. */
void sk_value_load(sk_dec *c, const sk_value_form *f, sk_val v0, sk_val off, uint32_t i, sk_val *lo,
                   sk_val *hi);
/* Adds a block's sums of a tile of heads, f32, to acc, with the factors of page and
 * channels. */
void sk_value_fold(sk_dec *c, const sk_value_form *f, sk_val c0, uint32_t h0, uint32_t hn,
                   sk_val sum[][8]);
/* The rest of the next page in even steps over all blocks of `vch` channels and
 * `full` steps of a page, `unroll` at once. */
void sk_value_prefetch(sk_dec *c, uint32_t tier_slot, sk_val next, sk_val c0, sk_val t0,
                       uint32_t full, uint32_t unroll);
/* The product in dot products of bytes or bfloat16s, for a tile of heads. */
void sk_part_dots(sk_dec *c, uint32_t tier_slot, sk_probs form, sk_value_sizes *sizes, sk_val page,
                  sk_val count, sk_val next);

/* What integer probabilities of a page lack is added, to the heads that lack too much of it
 * (part_sinks.c). */
void sk_part_sinks(sk_dec *c, uint32_t tier_slot, sk_probs form, const sk_page_layout *lay,
                   const sk_value_sizes *sizes, sk_val page, sk_val count);
/* f->sizes, where it is asked for: before the walk over the channels of a tile of heads, at
 * the scales of vector x, at what acc becomes of a head, and after the walk. */
void sk_sizes_begin(sk_dec *c, const sk_value_form *f, uint32_t h0, uint32_t hn);
void sk_sizes_channels(sk_dec *c, const sk_value_form *f, uint32_t x);
void sk_sizes_out(sk_dec *c, const sk_value_form *f, uint32_t h, sk_val acc);
void sk_sizes_end(sk_dec *c, const sk_value_form *f, uint32_t h0, uint32_t hn);
/* Of one head, whose s, stat and acc are c's: adds s times values, times the factor
 * stat_rest. */
void sk_part_values_rest(sk_dec *c, uint32_t tier_slot, const sk_page_layout *lay, sk_val page,
                         sk_val count);

/* The same, scaled: numbers. Tokens of a step at byte `off`: one, or the pair lo, hi. */
void sk_value_floats(sk_dec *c, const sk_value_form *f, sk_val v0, sk_val off, sk_val *lo,
                     sk_val *hi);

#endif
