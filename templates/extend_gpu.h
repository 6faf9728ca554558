/* extend_gpu.h - the GPU form of attn_extend: one launch, and all that depends on lengths is
 * read on the device, so that a captured graph follows growing contexts and chunks.
 *   extend_gpu.c    schedules, programs, the host side
 *   extend_deal.c   the items of a block
 *
 * Tiles of query tokens, of all sequences and KV heads, form one row: sequence by
 * sequence, in each the last tokens first, which see the most, and of these head by head.
 * Block b of G takes tiles b, b + G and so on. A tile is its block's alone: nothing is
 * merged. */
#ifndef SK_EXTEND_GPU_H
#define SK_EXTEND_GPU_H

#include "extend.h"

/* The parameters, in this order. Pointers: q_indptr, indptr, refs, codebook, arena, and
 * `room`, scratch of each block in the workspace. u32: flags, batch, kv_heads, kv_first,
 * kv_count, blocks (G). Then those of sk_extend_call. */
#define SK_EXT_WANTS_LSE 1u /* of flags: lse is wanted */
#define SK_EXT_SHARED    2u /* one list for all KV heads of a sequence */
#define SK_EXT_SINKS     4u /* sinks are given */
#define SK_EXT_CAUSAL    8u /* the mask is */

/* Behind the words of the item. */
#define SK_EXT_SHARE SK_EXT_WORDS /* tiles of the block */
#define SK_EXT_ALL_WORDS (SK_EXT_WORDS + 1u)

/* A program under construction. */
typedef struct sk_extend_grid {
    sk_extend *c;      /* its dec.item is scratch, SK_EXT_ALL_WORDS */
    sk_extend_io io;
    sk_val q_indptr, indptr;
    sk_val flags, batch, kv_heads, kv_first, kv_count, blocks;
    sk_val block;
} sk_extend_grid;

/* Begins a loop over the block's tiles: each has its item in scratch. The caller ends it. */
void sk_extend_deal(sk_extend_grid *g);

#endif
