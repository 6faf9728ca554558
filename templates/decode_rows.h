/* decode_rows.h - the shared state of the parts that build page_decode:
 *   page_decode.c   items, values
 *   decode_keys.c   keys of one page to rows, lanes = tokens
 *   decode_words.c  coded keys by whole codewords, lanes = dimensions
 *   decode_run.c    the host side
 *
 * Scratch of one block:
 *   book   [D * 2^b]  f32 codewords of the tier and KV head at work: as in the
 *                     packed set, or as decode_words.c has them
 *   offs   [W][W]     where the codewords of W tokens are, by group of a step
 *   radii  [W][W]     their radii
 *   where  [D]        see part_rebuild.h
 *   rad    [spans]    what a radius code of the page is multiplied by */
#ifndef SK_DECODE_ROWS_H
#define SK_DECODE_ROWS_H

#include "items.h"
#include "part_rebuild.h"
#include "part_segments.h"
#include "part_value.h"

/* The entries: for any rows, and one that stores past the caches. */
enum { SK_UNROW_PLAIN, SK_UNROW_PAST };

typedef struct sk_unrow {
    sk_dec dec;          /* the words and parts of attn_decode; no query in it */
    uint32_t es;         /* bytes of an output element */
    bool past;           /* stores go past the caches: rows begin at whole vectors */
    bool turned;         /* keys before RoPE are rotated */
    uint32_t step;       /* dimensions or channels that are written at once */
    sk_val rows, stride; /* of the item at work: first row, elements to the next */
    sk_val offs, radii;  /* scratch addresses; `book` and `where` are in dec */
    sk_val held;         /* variable: 1 + the (tier, KV head) that scratch holds */
} sk_unrow;

/* W words of a row: what a step has of it, `at` bytes in. */
static inline void sk_unrow_store(sk_unrow *c, sk_val row, sk_val at, sk_val x)
{
    (c->past ? sk_ir_stn : sk_ir_stv)(c->dec.b, row, at, 0, x);
}

/* Whether a tier's keys are decoded by whole codewords. */
bool sk_unrow_by_words(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot);
/* Whether they are looked up in registers. */
bool sk_unrow_in_registers(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot);
/* The tier's codewords of a set into `book`. */
void sk_unrow_load_words(sk_unrow *c, uint32_t tier_slot, sk_val set);
/* Rows of W tokens; count: SK_NONE where all of them are rows. */
void sk_unrow_words(sk_unrow *c, const sk_rebuild_at *k, sk_val count, sk_val next);
/* Lines of the page `next`, even over the steps of a full page. */
void sk_unrow_prefetch(sk_unrow *c, uint32_t tier_slot, sk_val next, sk_val t0, sk_val d0);

void sk_unrow_scratch(sk_unrow *c);
/* The first `dims` dimensions of the keys of `count` tokens of a page. `next`: the page to
 * prefetch, or SK_NONE. */
void sk_unrow_keys(sk_unrow *c, uint32_t tier_slot, const sk_page_layout *lay, sk_val page,
                   sk_val count, sk_val head, sk_val next, uint32_t dims);

/* One run: arguments, and the rows they describe. */
typedef struct sk_decode_call {
    const sk_image *image;
    sphkv_decode_args a;
    sk_rows k, v;
} sk_decode_call;
/* Args without what the items say. */
sk_status sk_decode_args(sk_decode_call *r, const void *args, sk_err *err);
/* Parameters of rows: where, whether they are wanted, strides. */
void sk_decode_call_rows(sk_call *call, const sk_decode_call *r, const sk_rows *rows);

size_t sk_decode_workspace(const sk_image *image);
sk_status sk_decode_run(const sk_image *image, const void *args, uint32_t part, uint32_t parts,
                        sk_err *err);

#endif
