/* decode_lanes.h - a page as numbers on a GPU, for page_decode, which writes them as rows,
 * and page_retier, which codes them anew. Keys: a warp takes 32 tokens, a lane each, and a
 * piece of so many dimensions of theirs as the user says; a codeword's element is read where
 * the packed set has it, for its row is short and lanes share it. Where a dimension of the
 * model's is made of others (a transform, segments that a permutation mixes) 32 tokens, of
 * more than 256 dimensions 16 or 8, are rebuilt in scratch by all warps, as they are coded,
 * before dimensions are made of all of them. Values: a lane is a word of a row. */
#ifndef SK_DECODE_LANES_H
#define SK_DECODE_LANES_H

#include "gpu.h"
#include "part_segments.h"

struct sk_numbers;
/* x[0 .. step-1] of dec are dimensions d0, d0 + 1 .. of the part at work, which is
 * dec.vdim0 on of the key, of tokens t0 + lane; something behind the last dimension
 * (dec.vdims), in lanes behind the page and, where sk_numbers_fewer, behind `count`. It may
 * write to x. */
typedef void sk_put_keys(struct sk_numbers *c, sk_val *x, sk_val t0, sk_val d0);
/* Channels per * word on of token t, where `inside`. */
typedef void sk_put_values(struct sk_numbers *c, const sk_val *x, sk_val t, sk_val word, sk_val inside);

typedef struct sk_numbers {
    sk_dec dec;          /* the words and parts of attn_decode; no query in it */
    uint32_t step;       /* dimensions of a piece, at most SK_NUMBERS_STEP, a multiple of 16 */
    bool turned;         /* keys before RoPE are rotated */
    sk_val where;        /* scratch: the coded dimension that one of the model's is */
    sk_val framed;       /* scratch: [D][tokens] f32: of keys that are made of it, */
    uint32_t tokens;     /* so many as they are coded */
    bool back;           /* whether keys at work are; then: */
    uint32_t seg;        /* the segment at work */
    sk_val set, count;   /* the packed set of the KV head; tokens that are wanted: of the keys */
    sk_val first;        /* those from this slot on, a multiple of 32, SK_NONE: 0; */
    uint32_t most;       /* so many at most, 0: P */
    sk_put_keys *put_keys;
    sk_put_values *put_values;
    void *user;
} sk_numbers;
#define SK_NUMBERS_STEP 32u
/* Whether a piece is of fewer tokens than lanes. */
static inline bool sk_numbers_fewer(const sk_numbers *c) { return c->back && c->tokens < 32; }

/* 32 lanes, of a spec; no builder's values. */
void sk_numbers_init(sk_numbers *c, sk_builder *b, const sk_spec *spec, const sk_schedule *sched,
                     uint32_t step);
/* Bytes of scratch that `where` and `framed` take for keys of a spec, or tier of it; 0: none. */
uint32_t sk_numbers_where_bytes(const sk_spec *spec);
uint32_t sk_numbers_framed_bytes(const sk_spec *spec);
/* The first `dims` dimensions of the keys of a page. Scratch is free behind a barrier. */
void sk_numbers_keys(sk_numbers *c, uint32_t tier_slot, const sk_page_layout *lay, sk_val page,
                     uint32_t dims);
/* Rows of numbers: 2 or 4 bytes each, so many numbers from a row to the next. */
typedef struct sk_number_rows {
    uint32_t es;
    sk_val rows, stride;
} sk_number_rows;
/* The row of token t, from dimension `dim` on. */
sk_val sk_numbers_row(sk_numbers *c, const sk_number_rows *to, sk_val t, uint32_t dim);
/* For put_keys: the 8 or 16 words of a piece, numbers or pairs of them, to the rows of
 * tokens below `count`, through a transposition in registers. */
void sk_numbers_put_rows(sk_numbers *c, const sk_number_rows *to, sk_val *x, sk_val t0, sk_val d0);
/* Values of a page, `per` channels a word (1 or 2). */
void sk_numbers_values(sk_numbers *c, uint32_t tier_slot, const sk_page_layout *lay, sk_val page,
                       uint32_t per);

#endif
