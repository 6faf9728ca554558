/* extend_mma.h - form "tile" of attn_extend on a GPU: products by tensor cores. Parts:
 *   extend_mma.c          where things lie, queries, the walk, the end
 *   extend_mma_page.c     keys and values of a slab of a page as factors
 *   extend_mma_product.c  queries times keys, softmax, times values
 *
 * Applies where the class is not `exact`, D and Dv are at most 256 and values are not keys,
 * to GPUs of compute capability 8.0 and up; keys of any tier, whatever the codebook set.
 *
 * A tile is as many query rows as the block's warps have register tiles for: 16 or 32 of each
 * (tunable mrows). A slab of 32 or 64 tokens of a page (slab) is rebuilt by all warps, once
 * for all rows, between two barriers; then each warp goes through it with its rows, 32
 * tokens a step, and keeps their output in registers until the item ends.
 *
 * Factors are bfloat16s, whose exponents are those of f32, so that radii and values need no
 * scaling. In class tight a number is two of them, what rounding leaves of the first one
 * being the second, and a product is three: 2^-16 is lost of it.
 *
 * Scratch: rows of words, each two factors side by side; of two parts, one behind the other.
 *   queries [R][row]       row = D rounded up to 32 dimensions, and so much more that rows
 *   keys    [slab][row]    begin in turns in one and the other half of the banks
 *   values  [Dv][slab]     channel by channel; its 16 bytes of 8 tokens stand at places that
 *                          sk_mma_turn tells, so that neighbours meet in no bank
 * and at the end, in their place, acc [R][Cp], sums [R]. A lane takes 16 bytes of a row of
 * keys or queries: dimensions 8t .. 8t + 7 of 32, factors of two products; and of values:
 * tokens 8t .. 8t + 7 of 32. So column g of columns i (0 .. 3) of logits is token
 * 8 (g / 2) + 2i + g % 2 of a step, and a lane's 8 logits of a row are those of the 8
 * tokens whose values it takes. */
#ifndef SK_EXTEND_MMA_H
#define SK_EXTEND_MMA_H

#include "decode_lanes.h"
#include "extend_gpu.h"

#define SK_MMA_STEP 32u /* tokens */
#define SK_MMA_ROWS 2u  /* register tiles of 16 rows of a warp, at most */
#define SK_MMA_MOST 256u /* dimensions of a head */

typedef struct sk_mma {
    sk_extend *c;
    sk_numbers numbers;  /* of keys */
    uint32_t parts;      /* of a number: 1 or 2 */
    uint32_t rows;       /* register tiles of a warp */
    uint32_t slab, row;  /* tokens; words of a row of keys and queries */
    sk_val q[2], k[2], v[2]; /* by part */
    sk_val g, t;         /* lane = 4 g + t */
    sk_val first;        /* row of the tile: the warp's first */
    /* variables */
    sk_val base[SK_MMA_ROWS][2], sum[SK_MMA_ROWS][2]; /* of rows g, g + 8: what logits are
                            relative to; sums of probabilities, the lane's share */
    sk_val acc[SK_MMA_ROWS][SK_MMA_MOST / 8]; /* quads, by 8 channels */
} sk_mma;

/* Where a channel's tokens 8j .. 8j + 7 of a slab stand: place j ^ sk_mma_turn. */
sk_val sk_mma_turn(const sk_mma *x, sk_val channel);

/* A slab: tokens first .. first + slab - 1 of a page, those of them that count. */
typedef struct sk_mma_slab {
    sk_val first, before, count; /* before: tokens of the list before the first one */
    sk_val bias;      /* address of the first one's; SK_NONE */
    sk_val positions; /* of theirs; with positions */
} sk_mma_slab;
void sk_mma_page_scratch(sk_mma *x);
void sk_mma_rebuild(sk_mma *x, sk_val tier, sk_val page, const sk_mma_slab *slab);
void sk_mma_products(sk_mma *x, const sk_mma_slab *slab);

/* OK, or why form=tile cannot run it. */
sk_status sk_mma_valid(const sk_spec *spec, const sk_schedule *s, const sk_target *target, sk_err *err);
bool sk_mma_default(const sk_spec *spec, const sk_target *target, sk_schedule *out); /* false: none */
/* Sizes for a builder; then scratch, when there are parameters; then an item. */
void sk_mma_init(sk_mma *x, sk_extend *c, sk_builder *b, const sk_spec *spec, const sk_schedule *s);
void sk_mma_begin(sk_mma *x);
void sk_mma_tile(sk_mma *x, const sk_extend_io *io);

#endif
