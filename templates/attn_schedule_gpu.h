/* attn_schedule_gpu.h - a work list under construction on a GPU, and the words of the
 * parts that build the program:
 *   attn_schedule_gpu.c   sums, ranks, items, the host side
 *   attn_schedule_cuts.c  where parts begin */
#ifndef SK_ATTN_SCHEDULE_GPU_H
#define SK_ATTN_SCHEDULE_GPU_H

#include "attn_schedule.h"

typedef struct sk_plan {
    sk_builder *b;
    const sk_spec *spec;
    sk_val indptr, refs, sums, bases, work;                     /* addresses; sums, bases [rows] */
    sk_val first, each, stride, times, parts, items_at;         /* as in attn_schedule.c */
    sk_val rows, pairs;                                         /* lists; times pairs_per_list */
    sk_val unit;                                                /* weight of a byte */
    sk_val scale;                                               /* parts per weight */
    sk_val warp_sum, key, ref, rank;                            /* scratch */
    sk_val zero, one, lane, warp, none;
} sk_plan;

/* Word index[i] of an array, lane by lane; of all lanes alike. */
static inline sk_val sk_plan_words(sk_plan *c, sk_val array, sk_val index, sk_val pred)
{
    return sk_ir_ldg(c->b, SK_LD_U32, array, sk_ir_2k(c->b, SK_OP_SHL, index, 2), 0, pred);
}
static inline sk_val sk_plan_word(sk_plan *c, sk_val array, sk_val index)
{
    return sk_ir_ldu(c->b, SK_LD_U32, sk_ir_ptr_add(c->b, array, index, 4), c->zero, 0);
}

/* The list of a row. */
sk_val sk_plan_list(sk_plan *c, sk_val row);
/* Weights of the references i + lane, 0 from hi on. */
sk_val sk_plan_weights(sk_plan *c, sk_val i, sk_val hi);

/* Fills key and ref for every part, behind a barrier; sums, bases and scale are
 * there. */
void sk_plan_cuts(sk_plan *c);

#endif
