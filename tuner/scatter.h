/* scatter.h - a second yardstick of attention on a CPU: a plain read of the very pages
 * that a kernel reads, in its order (lists per KV head), by the same threads.
 *
 * The sweep (bandwidth.h) runs through memory in order, as no cache of pages lies. Where
 * a page begins, address translation and the prefetchers of the hardware begin anew, so
 * pages that lie anywhere come slower, whoever reads them. What a kernel loses against the
 * sweep is then either its own or its pages', and this says which. It reads a word of each
 * line, in the best of some forms: as the loads come; or with the lines of the next page
 * asked for meanwhile and both ends of the eight pages behind it touched ahead, plain and
 * at two paces (asked for faster than memory answers, prefetches are dropped). */
#ifndef SK_SCATTER_H
#define SK_SCATTER_H

#include "bandwidth.h"

typedef struct sk_scatter {
    sk_executor *x;
    const sk_case *kase; /* of attn_decode, on a CPU; outlives this */
    uint32_t *cursor;    /* of its copies: they take turns, as the kernel's runs do */
    uint32_t page_bytes[SK_MAX_TIERS];
    uint32_t form;       /* below SK_SWEEP_FORMS */
    uint32_t reps;       /* passes per sample */
    _Atomic uint64_t sink;
} sk_scatter;

/* Chooses form and reps by trying them. Every tier of the case's pages is read whole. */
void sk_scatter_make(sk_executor *x, const sk_case *kase, uint32_t *cursor, sk_scatter *out);
/* Microseconds of one pass over the pages of a copy, averaged over reps. */
double sk_scatter_time(sk_scatter *s);

#endif
