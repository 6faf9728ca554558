/* extend.h - the shared state of the parts that build attn_extend:
 *   attn_extend.c     what it does, schedules, walk over the pages, output
 *   extend_page.c     keys and values of one page rebuilt, all tiers
 *   extend_product.c  query rows times keys, softmax, times values
 *   extend_run.c      the host side
 *
 * A row is a query head of a query token; row i * heads_per_kv + h is head h of the
 * i-th token of the tile. R = rows of a tile, rounded up to whole register tiles.
 *
 * Scratch of one block (f32 unless said otherwise); a panel is what the vectors of a
 * register tile cover:
 *   qs    [R][D]              q * scale * log2(e); rows that the tile lacks are zeros
 *   kx    [P/panel][D][panel] keys of the page at work
 *   vx    [Cp/panel][Tp][panel] its values
 *   s     [rows of a register tile][Tp] logits, then probabilities
 * With product=bf16 factors are pairs of bfloat16s, a word each: qs (rows of whole
 * vectors) and kx hold dimensions 2i and 2i + 1 in word i; of 2W tokens, those of vx and
 * of the probabilities hold tokens i and i + W, which two vectors of probabilities
 * are without any shuffle.
 *   acc   [R][Cp]             unnormalised output
 *   sums  [R][W]              sums of probabilities, a lane each
 *   top   [R]                 largest logit so far
 *   sees  [R]                 u32: how many tokens of the list a row sees, from its
 *                             beginning
 *   alpha [rows of a register tile] what a row's sums so far are multiplied by
 *   book, where, rad, keys, cosines  of keys that are rebuilt (part_rebuild.h); vals of
 *                             values that are keys (part_vk.h) */
#ifndef SK_EXTEND_H
#define SK_EXTEND_H

#include "items.h"
#include "part_rebuild.h"
#include "part_value.h"

/* The work item, written by the host side (extend_run.c). */
enum {
    SK_EXT_Q,      /* byte offset of the first token's query of the first head */
    SK_EXT_OUT,    /* the same of its output row */
    SK_EXT_LSE,    /* the same of its LSE, or SK_ITEM_NONE */
    SK_EXT_HEAD,   /* KV head, selects the codebook */
    SK_EXT_TOKENS, /* query tokens of the tile, at least 1 */
    SK_EXT_SEES,   /* signed: tokens that the first of them sees; less than 1: none */
    SK_EXT_STEP,   /* how many more the next one sees */
    SK_EXT_LO,     /* references */
    SK_EXT_HI,
    SK_EXT_UNITS,  /* per tier, arena units to add to a page: the sub-page of shared lists */
    SK_EXT_WORDS = SK_EXT_UNITS + SPHKV_MAX_TIERS
};

typedef struct sk_extend {
    sk_dec dec;         /* the words of all parts */
    uint32_t tokens;    /* query tokens of a tile at most */
    uint32_t rows;      /* R */
    uint32_t group;     /* rows of a register tile */
    uint32_t each;      /* factors in a word: 2 with product=bf16, else 1 */
    uint32_t q_words;   /* of a row of qs */
    uint32_t tokens_panel, channels_panel; /* elements */
    sk_val kx, vx, sums, top, sees, alpha;
    sk_val held;        /* variable: 1 + the tier whose codewords `book` holds */
} sk_extend;

/* Words of factors that `tokens` tokens of a page are, from its beginning. */
sk_val sk_extend_words(sk_extend *c, sk_val tokens);

/* Query tokens of a tile. */
uint32_t sk_extend_tokens(const sk_spec *spec, const sk_schedule *sched);

/* Keys of all tokens up to a whole panel, and values of `count` tokens, of a page of
 * a tier (extend_page.c). */
void sk_extend_scratch(sk_extend *c); /* what rebuilding wants */
void sk_extend_rebuild(sk_extend *c, uint32_t tier_slot, sk_val page, sk_val count, sk_val head);
/* One page for the rows r0 .. r0 + group - 1; `before`: tokens of the list that stand
 * before it. */
void sk_extend_rows(sk_extend *c, sk_val r0, sk_val before, sk_val count);

size_t sk_extend_workspace(const sk_image *image);
sk_status sk_extend_run(const sk_image *image, const void *args, uint32_t part, uint32_t parts,
                        sk_err *err);

#endif
