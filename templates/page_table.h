/* page_table.h - the page table of a run, checked: what kernels that walk lists
 * share on the host side. */
#ifndef SK_PAGE_TABLE_H
#define SK_PAGE_TABLE_H

#include "kernel.h"

/* What is looked at, and what is found. */
typedef struct sk_table_look {
    const sk_image *image;         /* its spec, maxima and units */
    const sphkv_page_table *table;
    uint32_t batch;                /* of the run */
    uint32_t kv_first, kv_count;   /* KV heads of the run; count 0 = all from first on */
    const void *arena;             /* NULL: nothing is read from pages */
    size_t arena_bytes;
    bool no_arena;                 /* pages are not read: only counts and tiers matter */
    uint64_t most_tokens;          /* of a list, where places in it are counted; 0: any */
    const sphkv_rope *rope;        /* positions of p tiers are in its table; NULL: not looked at */
    /* found: */
    bool shared;                   /* one list for all KV heads */
    uint64_t pages;                /* over all pairs of sequence and KV head */
    uint64_t refs_end;             /* behind the last reference of any list */
} sk_table_look;

/* Batch and KV heads within the plan's; completes kv_count. */
sk_status sk_table_heads(sk_table_look *look, sk_err *err);
/* How many lists there are, and whose: sets `shared`, reads nothing of them. */
sk_status sk_table_frame(sk_table_look *look, sk_err *err);
/* Beyond that every list of the run: order, length, tiers, tokens, places in the arena,
 * positions of p tiers, tokens in all. Reads nothing of other KV heads. SPHKV_EINVAL names the list or reference. */
sk_status sk_table_check(sk_table_look *look, sk_err *err);

#endif
