/* compact.h - the shared state of the parts that build token_compact:
 *   token_compact.c      the contract, the host side of a CPU, a page out of its fields
 *   token_compact_gpu.c  the same for GPUs
 *   compact_tokens.c     tokens of an item as slots and runs; new scales
 *   compact_fields.c     what fields a page has, and how an element finds its source
 *   compact_lanes.c      any field, a word of the destination per lane
 *   compact_rows.c       radii coded anew, 2-bit codes: whole rows in registers
 *   compact_bits.c       codes of any width, a byte each on the way
 *   compact_nibbles.c    4-bit codes, by permutations of bytes
 *   compact_halves.c     radii and scales of 16 bits, by the same
 *   compact_keys.c       dense keys by rows of 16 tokens
 *   compact_values.c     values by tokens of 16 channels
 *   compact_ahead.c      sources of the next page, asked for ahead
 *
 * A run is tokens of one source page that stand together: addresses are uniform, so
 * what lies in several pages takes a pass for each. All from compact_rows on are for
 * CPUs and add to words that are there (zeros at first), run by run, but for compact_bits
 * and compact_values, which store whole rows and vectors and clear what is behind them;
 * compact_lanes makes each word once, of all runs, and stands in where rows do not fit
 * vectors.
 *
 * Scratch of one block:
 *   slots   [Tp]    u32: slot that token t comes from; 0 from count on
 *   slot8   [Tp]    CPU: the same, a byte each
 *   starts  [Tp+1]  u32: first token of each run, and behind the last the count
 *   scales          per field of scales: their new f16 bits, u32 each
 *   places  [2][Tp] CPU: u32: of values, where units of tokens are, which of a pair
 *   bytes           CPU: codes of a field, a byte each
 *   made            CPU: the page, where stores go past the caches */
#ifndef SK_COMPACT_H
#define SK_COMPACT_H

#include "encode.h"
#include "lanes.h"

/* How the elements of a field stand, and what becomes of them. */
enum { SK_AS_ROWS, SK_AS_BLOCKS, SK_AS_DENSE, SK_AS_CHANNELS, SK_AS_PAIRS, SK_AS_SCALES };
enum { SK_KEPT, SK_RADIUS_ANEW, SK_INT8_ANEW, SK_INT4_ANEW, SK_FLOAT8_ANEW };

typedef struct sk_compact_field {
    uint32_t as, anew;
    uint32_t off, bits; /* byte in the page; of an element */
    uint32_t n;         /* rows; dense keys: dims; values: Cp; scales: how many */
    uint32_t scale;     /* anew: number of the field of its scales; scales of vi4: that of minima,
                           which is one more, else 0 */
    uint32_t lg;        /* values: so many elements of a token are side by side, log2 */
} sk_compact_field;
#define SK_COMPACT_FIELDS (3 * SK_MAX_SEGMENTS + 4)

/* Of a page of a tier, in the order of their offsets. */
uint32_t sk_compact_fields(const sk_spec *spec, uint32_t tier_slot, sk_compact_field *out);
/* Elements of it, in memory order. */
uint32_t sk_compact_elements(const sk_spec *spec, const sk_compact_field *f);

typedef struct sk_compact {
    sk_dec dec;           /* the words of lanes.h */
    sk_enc enc;           /* the words of encode.h: turns, packing; dst_page is made */
    uint32_t tier_slot;
    sk_page_layout lay;
    uint32_t n;
    sk_compact_field field[SK_COMPACT_FIELDS];
    uint32_t at[SK_COMPACT_FIELDS]; /* scales: byte in the scratch for them */
    sk_val src;           /* where units of the source count from: the sub-page at work */
    sk_val tokens, count; /* of the item */
    sk_val slots, slot8, starts, scales, places, bytes, made; /* scratch addresses */
    sk_val runs;          /* how many */
    sk_val next_unit[2], next_sub, next_src; /* CPU: sources of the next page (compact_ahead.c) */
    sk_val out;           /* CPU: the page in its arena, where made is one that goes there */
    sk_val sent;          /* bytes of it that did; a variable */
    sk_val asked;         /* byte up to which they were asked for; a variable */
} sk_compact;

/* Bytes of `scales` that any tier of the spec needs. */
uint32_t sk_compact_scale_bytes(const sk_spec *spec);
/* All that follows from a tier. */
void sk_compact_tier(sk_compact *c, uint32_t tier_slot);

/* Of two vectors of W words every second, from `first` (0 or 1) on. */
sk_val sk_compact_every_second(sk_dec *d, const sk_val x[2], uint32_t first);
/* Whether there is slot8: with 16 lanes, where pages fit. */
bool sk_compact_by_bytes(const sk_compact *c);
/* slots, starts and runs of the item. */
void sk_compact_tokens(sk_compact *c);
/* W of the halves at byte `off` of a page, which are as many as f has, from i0 on. */
sk_val sk_compact_halves(sk_compact *c, const sk_compact_field *f, sk_val page, uint32_t off, sk_val i0);
/* The new scales of a field of them. */
void sk_compact_scales(sk_compact *c, uint32_t field);

/* A run: its page, its first token, how many. */
typedef struct sk_compact_run {
    sk_val page, begin, n;
} sk_compact_run;
/* Begins a loop over all runs; the caller ends it. */
sk_compact_run sk_compact_each_run(sk_compact *c);

/* The factor of codes whose scale was `from` and is now `to`: 0 where that is 0. */
sk_val sk_compact_ratio(sk_compact *c, sk_val from, sk_val to);
/* A code anew: x as it was stored, u32; what is added is for vi4. */
sk_val sk_compact_code(sk_compact *c, const sk_compact_field *f, sk_val x, sk_val ratio, sk_val add);
/* Factor, and for vi4 what is added, of scales `which` (a lane each), of a run's page. */
sk_val sk_compact_ratios(sk_compact *c, const sk_compact_field *f, sk_val page, sk_val which,
                         sk_val inside, sk_val *add);

/* Token of nibble nib of a word of a row of 4-bit codes in blocks; nibble of a slot. */
sk_val sk_compact_block_token(sk_dec *d, sk_val word, uint32_t nib);
sk_val sk_compact_block_place(sk_dec *d, sk_val slot);

/* Of the page that is made next, block `next`; a field begins, and what lies from byte
 * `from` on before it is asked for with it: gives where it ends; in one of `turns` turns that
 * a field takes, a share of its lines. */
void sk_compact_ahead(sk_compact *c, sk_val items, sk_val tokens, sk_val subs, sk_val next);
uint32_t sk_compact_ahead_field(sk_compact *c, const sk_compact_field *f, uint32_t from);
void sk_compact_ask(sk_compact *c, const sk_compact_field *f, uint32_t turns);

/* The bytes of the page before `end` are as they stay: whole vectors of them go out; or the
 * next of these. */
void sk_compact_out(sk_compact *c, sk_val end);
void sk_compact_out_one(sk_compact *c, sk_val end);

/* A field by words of the destination. */
void sk_compact_lanes(sk_compact *c, const sk_compact_field *f);
/* By whole rows or tokens, where these fit vectors of a CPU; onto zeros. */
bool sk_compact_rows_fit(const sk_compact *c, const sk_compact_field *f);
void sk_compact_rows(sk_compact *c, const sk_compact_field *f);
bool sk_compact_bits_fit(const sk_compact *c, const sk_compact_field *f);
void sk_compact_bits(sk_compact *c, const sk_compact_field *f);
bool sk_compact_nibbles_fit(const sk_compact *c, const sk_compact_field *f);
void sk_compact_nibbles(sk_compact *c, const sk_compact_field *f);
bool sk_compact_half_rows_fit(const sk_compact *c, const sk_compact_field *f);
void sk_compact_half_rows(sk_compact *c, const sk_compact_field *f);
bool sk_compact_keys_fit(const sk_compact *c, const sk_compact_field *f);
void sk_compact_keys(sk_compact *c, const sk_compact_field *f);
bool sk_compact_values_fit(const sk_compact *c, const sk_compact_field *f);
void sk_compact_values(sk_compact *c, const sk_compact_field *f);

#endif
