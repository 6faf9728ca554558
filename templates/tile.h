/* tile.h - attention over the pages of one list by tensor cores: the main loop of
 * the GPU form of attn_decode that is made to win. Parts, one file each:
 *   tile.c          what a kernel needs: validity, defaults, scratch, the whole
 *   tile_query.c    queries as factors of products; <q, mean>
 *   tile_book.c     codewords in scratch
 *   tile_slab.c     where a slab's numbers lie; copies of slabs to come
 *   tile_keys.c     logits of a slab: keys of coded tiers, rebuilt
 *   tile_dense.c    the same for keys that are not coded
 *   tile_softmax.c  probabilities, the running pair, statistics of pages
 *   tile_values.c   probabilities times values
 *   tile_halves.c   small numbers as halves
 *   tile_end.c      the warps of a block become one
 *
 * A slab is 16, 32 or 64 tokens of a page. The warps of a block take the slabs of its
 * references in turn; each is a stream of its own with its (m, l, acc) in registers,
 * and they meet once, at the end. Only then, and around what the whole block
 * prepares, is there a barrier.
 *
 * Products, m16n8k16: tokens (logits) or channels (values) are the 16 rows, query
 * heads the 8 columns (two products for 9 to 16 heads). Lane i of a warp has g = i/4,
 * t = i%4; the tokens of the 16 rows of a tile are told by sk_tile_base (tile_impl.h). */
#ifndef SK_TILE_H
#define SK_TILE_H

#include "decode.h"

/* What a block is given: values of block scope. */
typedef struct sk_tile_work {
    sk_val q;        /* address of the row of the first query head */
    sk_val q_stride; /* bytes between the rows of query heads */
    sk_val scale;    /* of logits, times log2(e): f32 */
    sk_val book;     /* address of the packed codebook set of the KV head */
    sk_val arena;    /* address */
    sk_val refs;     /* address of the references */
    sk_val lo, hi;   /* which: [lo, hi) of them, all of one list */
    sk_val unit_add[SK_MAX_TIERS]; /* arena units to add to a page, per tier slot */
    sk_val ml;       /* address of page statistics, as in decode_page (attn_decode.c): */
    sk_val ml_step;  /* reference i has row i * ml_step + ml_add of H pairs; */
    sk_val ml_add;   /* ml_step 0: not wanted */
} sk_tile_work;

typedef struct sk_tile sk_tile;

/* Warps of a block: what sk_ir_begin is to be told. */
uint32_t sk_tile_warps(const sk_schedule *sched);
/* Whether tiles can do the spec at all (some schedule is valid on this target). */
sk_status sk_tile_supported(const sk_spec *spec, const sk_target *target, sk_err *err);
/* OK, or why the tunables of tiles cannot run this spec on this target. */
sk_status sk_tile_valid(const sk_spec *spec, const sk_schedule *sched, const sk_target *target,
                        sk_err *err);
/* Sets the tunables of tiles; sk_tile_supported said yes. */
void sk_tile_default(const sk_spec *spec, const sk_target *target, sk_schedule *out);
/* Bytes of scratch that it takes. */
uint32_t sk_tile_scratch(const sk_spec *spec, const sk_schedule *sched);

/* In a program of W = 32 and sk_tile_warps: reserves scratch. *c has its builder, spec,
 * schedule, sizes, zero, lane, and stat_m and stat_l; this sets c->acc and c->stat,
 * f32 in scratch as sk_part_finish reads them: acc [H][Cp], stat as in decode.h.
 * NULL, with the builder's error latched, when there is no memory. */
sk_tile *sk_tile_begin(sk_dec *c);
/* Attention over a work's pages: c->acc, and of c->stat m (log2) and l. Begins and
 * ends with a barrier of the block; may be built once only, but may stand in a loop of
 * block scope. An empty range gives l = 0. */
void sk_tile_decode(sk_tile *t, const sk_tile_work *work);

#endif
