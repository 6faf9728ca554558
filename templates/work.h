/* work.h - the work list that attn_schedule writes and attn_decode reads; its
 * form is described in attn_schedule.c. */
#ifndef SK_WORK_H
#define SK_WORK_H

#include "decode.h"

#define SK_WORK_MAGIC_WORD 0x31574b53u /* "SKW1" */

enum {
    SK_WORK_MAGIC,
    SK_WORK_PARTS,
    SK_WORK_BATCH,
    SK_WORK_FIRST_HEAD, /* KV heads of the run */
    SK_WORK_HEADS,
    SK_WORK_SHARED,     /* whether all KV heads share a list */
    SK_WORK_ITEMS,      /* how many there are */
    SK_WORK_HEADER = 16
};

#define SK_WORK_LEAST ((SK_WORK_HEADER + 8) * 4u) /* bytes: of one part, without items */

/* An item. */
typedef struct sk_work_item {
    uint32_t pair;
    uint32_t lo, hi; /* references */
    uint32_t slot;   /* of its partial, or SK_ITEM_FINAL */
} sk_work_item;

/* Word at which the items begin. */
static inline uint32_t sk_work_items_at(uint32_t parts)
{
    return SK_WORK_HEADER + (parts + 1 + 7) / 8 * 8;
}

/* What a page of a tier weighs; the double of what the kernel adds up. */
double sk_work_weight(const sk_spec *spec, uint32_t tier, uint32_t tokens);

#endif
