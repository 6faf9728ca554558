/* extend.h - the shared state of the parts that build attn_extend:
 *   attn_extend.c     what it does; schedules and program on a CPU
 *   extend_tile.c     a block: queries, walk over the pages, output; where scratch lies
 *   extend_page.c     keys and values of one page rebuilt, all tiers
 *   extend_product.c  query rows times keys, softmax, times values
 *   extend_mask.c     which tokens a row sees
 *   extend_run.c      the host side
 *   extend_gpu.c, extend_deal.c  the forms for GPUs: host side and programs; items,
 *                     which blocks find on the device
 *   extend_mma.h      of these the one of tensor cores
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
 *   sums  [R][W]              sums of probabilities, a lane each (tensor cores: one)
 *   top   [R]                 largest logit so far
 *   sees  [R]                 u32: how many tokens of the list a row sees, from its
 *                             beginning
 *   begins [R]                with a window: the place of the first token that it sees
 *   where [R]                 with positions, instead of both: where the query stands,
 *   places [P]                and the tokens of the page
 *   alpha [rows of a register tile] what a row's sums so far are multiplied by
 *   book, where, rad, keys, turned, cosines  of keys that are rebuilt (part_rebuild.h); vals of
 *                             values that are keys (part_vk.h) */
#ifndef SK_EXTEND_H
#define SK_EXTEND_H

#include "items.h"
#include "page_table.h"
#include "part_rebuild.h"
#include "part_value.h"

/* The work item, written by the host side (extend_run.c), on a GPU by its block
 * (extend_deal.c). */
enum {
    SK_EXT_Q,      /* byte offset of the first token's query of the first head */
    SK_EXT_OUT,    /* the same of its output row */
    SK_EXT_LSE,    /* the same of its LSE, or SK_ITEM_NONE */
    SK_EXT_HEAD,   /* KV head, selects the codebook */
    SK_EXT_TOKENS, /* query tokens of the tile, at least 1 */
    SK_EXT_SEES,   /* signed: tokens that the first of them sees; less than 1: none */
    SK_EXT_STEP,   /* how many more the next one sees */
    SK_EXT_BEGIN,  /* with a window, signed: the place of the first token that the first
                      query token sees; the next one's is one further */
    SK_EXT_TOKEN,  /* index of the first query token among all */
    SK_EXT_SINK,   /* byte offset of the first head's sink, or SK_ITEM_NONE */
    SK_EXT_LO,     /* references */
    SK_EXT_HI,
    SK_EXT_BEFORE, /* tokens of the list before them */
    SK_EXT_UNITS,  /* per tier, arena units to add to a page: the sub-page of shared lists */
    SK_EXT_WORDS = SK_EXT_UNITS + SPHKV_MAX_TIERS
};

/* Tokens of a list at most: places are signed words, also those of a tile behind it. */
#define SK_EXT_MOST_TOKENS (INT32_MAX - 1024u)

/* Where areas of scratch lie (tunable room; on a CPU all in it): in it, or, `tables` what
 * makes the page and `global` all, in the workspace. */
typedef struct sk_extend_room {
    int32_t rule;       /* SK_ROOM_* */
    sk_val outside;     /* address of those in the workspace */
    uint32_t inside_bytes, outside_bytes;
} sk_extend_room;

typedef struct sk_extend {
    sk_dec dec;         /* the words of all parts, and of variants */
    uint32_t tokens;    /* query tokens of a tile at most */
    uint32_t rows;      /* R */
    uint32_t group;     /* rows of a register tile */
    uint32_t each;      /* factors in a word: 2 with product=bf16, else 1 */
    uint32_t q_words;   /* of a row of qs */
    uint32_t sum_words; /* of a row of sums: W, or 1 */
    uint32_t tokens_panel, channels_panel; /* elements */
    sk_val kx, vx, sums, top, sees, alpha;
    sk_val begins, where, places; /* of variants, where they are */
    sk_val held;        /* variable: 1 + the tier whose codewords `book` holds */
    sk_extend_room room;
} sk_extend;

/* Sizes from spec and schedule; everything else is empty. */
void sk_extend_init(sk_extend *c, sk_builder *b, const sk_spec *spec, const sk_schedule *sched);
/* What scratch takes by a rule. */
sk_extend_room sk_extend_room_of(const sk_spec *spec, const sk_schedule *sched, int32_t rule);
/* Finds room for an area; page: of what makes the page. Without a builder it only adds up. */
sk_val sk_extend_area(sk_extend *c, const char *name, uint32_t words, bool page);

/* A tensor with a row for each query token and head. */
typedef struct sk_extend_tensor {
    sk_val data, tok_bytes, head_bytes;
} sk_extend_tensor;
typedef struct sk_extend_io {
    sk_val refs;
    sk_extend_tensor q, out, lse;
} sk_extend_io;
/* The parameters that every form has, at the end: what sk_extend_call fills. */
void sk_extend_params(sk_extend *c, sk_extend_io *io);
/* A word of the item; where row (i, h) of a tensor begins, `word` being the item's place in
 * it, `i` the byte offset of the token; what the logits of query head h are multiplied by. */
sk_val sk_extend_word(sk_dec *d, uint32_t word);
sk_val sk_extend_row_at(sk_dec *d, const sk_extend_tensor *p, uint32_t word, sk_val i, sk_val h);
sk_val sk_extend_head_scale(sk_dec *d, sk_val h);
/* Constants and scratch, when parameters are there; then the item at dec.item, which may
 * be done in a loop of block scope. */
void sk_extend_begin(sk_extend *c);
void sk_extend_tile(sk_extend *c, const sk_extend_io *io);

/* Words of factors that `tokens` tokens of a page are, from its beginning. */
sk_val sk_extend_words(sk_extend *c, sk_val tokens);

/* Query tokens of a tile. */
uint32_t sk_extend_tokens(const sk_spec *spec, const sk_schedule *sched);
/* What a register tile covers of n elements: at most qvec vectors, and whole ones. */
uint32_t sk_extend_panel(const sk_schedule *sched, uint32_t n);

/* Keys of all tokens up to a whole panel, and values of `count` tokens, of a page of
 * a tier (extend_page.c). */
void sk_extend_scratch(sk_extend *c); /* what rebuilding wants */
void sk_extend_rebuild(sk_extend *c, uint32_t tier_slot, sk_val page, sk_val count, sk_val head);
/* A rebuilt page. */
typedef struct sk_extend_page {
    sk_val before, count; /* tokens of the list that stand before it, and in it */
    sk_val bias;          /* address of its biases; SK_NONE */
    sk_val least, most;   /* with positions: those of its tokens */
} sk_extend_page;
/* The walk over the pages of the item that hold tokens; the page's address. */
typedef struct sk_extend_ref {
    sk_val unit, tier;
    sk_extend_page page; /* without least and most */
} sk_extend_ref;
typedef void sk_extend_visit(sk_extend *c, void *user, const sk_extend_ref *ref);
void sk_extend_walk(sk_extend *c, sk_val refs, sk_extend_visit *visit, void *user);
sk_val sk_extend_page_at(sk_extend *c, const sk_extend_ref *ref);
/* Rows of the output and LSE from acc, sums, top. */
void sk_extend_outputs(sk_extend *c, const sk_extend_tensor *out, const sk_extend_tensor *lse);
/* With positions: those of a page of a tier into `places`, and the least and the most. */
void sk_extend_places(sk_extend *c, uint32_t tier_slot, sk_val page, sk_val count, sk_val least,
                      sk_val most);
/* The page for the rows r0 .. r0 + group - 1 (extend_product.c). */
void sk_extend_rows(sk_extend *c, sk_val r0, const sk_extend_page *page);
/* What rows see (extend_mask.c). */
static inline bool sk_extend_by_position(const sk_extend *c)
{
    return sk_dec_has(&c->dec, SPHKV_VARIANT_POSITIONS);
}
static inline bool sk_extend_windowed(const sk_extend *c) /* by places */
{
    return sk_dec_has(&c->dec, SPHKV_VARIANT_WINDOW) && !sk_extend_by_position(c);
}
/* Of a page: the slots begin .. end - 1, of these the ones whose position a query at `query`
 * sees; each SK_NONE: not so. */
typedef struct sk_extend_seen {
    sk_val begin, end, query;
} sk_extend_seen;
sk_extend_seen sk_extend_row_seen(sk_extend *c, const sk_extend_page *page, sk_val r0, uint32_t j);
/* Of W slots from t0 on, which are seen. */
sk_val sk_extend_is_seen(sk_extend *c, const sk_extend_seen *seen, sk_val t0);
/* Of the rows of a register tile: slots behind the last one that any of them sees, 0 where
 * they see none; and whether all of them see all P slots. */
sk_val sk_extend_tile_end(sk_extend *c, const sk_extend_page *page, sk_val r0);
sk_val sk_extend_tile_whole(sk_extend *c, const sk_extend_page *page, sk_val r0);
void sk_extend_mask_scratch(sk_extend *c);
/* Row r is one of the tile's query token `token`. */
void sk_extend_mask_row(sk_extend *c, sk_val r, sk_val token);

/* Arguments with defaults filled in, and what follows from them (extend_run.c). */
typedef struct sk_extend_run_state {
    const sk_image *image;
    sphkv_extend_args a;
    bool device;            /* pointers are a device's: nothing behind them is read, and how
                               far they reach is not known */
    sk_table_look look;
    uint32_t heads;         /* query heads of the plan */
    uint32_t q_es, out_es;  /* bytes of an element */
    uint32_t tokens;        /* query tokens of a tile */
    uint64_t q_bytes, out_bytes, lse_bytes;
} sk_extend_run_state;
sk_status sk_extend_read(sk_extend_run_state *r, const sk_image *image, const void *args, bool device,
                         sk_err *err);
/* The parameters of scale, tensors, variants and RoPE. */
void sk_extend_call(const sk_extend_run_state *r, sk_call *call);

size_t sk_extend_workspace(const sk_image *image);
sk_status sk_extend_run(const sk_image *image, const void *args, uint32_t part, uint32_t parts,
                        sk_err *err);

#endif
