/* wish.h - what a user asks for, spelled out: the list of specs and shapes that
 * some mixes of tiers, kernels, contexts, batches and thread counts mean.
 *
 * Shapes that mean the same to a kernel stand in the list once: kv_append sees
 * no context, and kv_encode only a piece of a prefill. */
#ifndef SK_WISH_H
#define SK_WISH_H

#include "kernel.h"
#include "options.h"

#define SK_WISH_MIXES 64u

/* Several mixes: --tiers given more than once, or separated by semicolons.
 * "first-class:V,REST" stands for a mix per first-class key K, "K:V,REST" (a tier
 * that would stand there twice, once); "first-class" for "first-class:vi8,kf16:vf16".
 * Mixes are kept once. */
typedef struct sk_mixes {
    uint32_t n;
    char *mix[SK_WISH_MIXES];      /* own memory */
    bool expanded[SK_WISH_MIXES];  /* of first-class: what no kernel does is left out */
} sk_mixes;
sk_status sk_mixes_add(sk_mixes *mixes, const char *text, sk_err *err);
void sk_mixes_free(sk_mixes *mixes);

typedef struct sk_wish_item {
    sk_spec spec;
    sk_shape shape;
    uint32_t mix; /* which of the mixes it is for */
} sk_wish_item;

typedef struct sk_wish {
    sk_wish_item *item;
    uint32_t n, cap;
    sk_text skipped; /* lines: what was left out and why; s may be NULL */
} sk_wish;

/* kernels: a mask of SK_FOR. options: finished; its tiers are not looked at, and
 * its lists of contexts, batches and threads must not be empty. */
sk_status sk_wish_make(const sk_options *options, const sk_mixes *mixes, uint32_t kernels,
                       sk_wish *out, sk_err *err);
void sk_wish_free(sk_wish *wish); /* a zeroed one is fine */

/* "attn_decode good:vi8,kf16:vf16 context 8192 batch 1 threads 1" */
void sk_wish_print(const sk_wish_item *item, sk_text *out);
/* The schedules that would be searched for it, or why it is not supported. keep: as of
 * sk_space_keep, or NULL. */
sk_status sk_wish_space_print(const sk_wish_item *item, const sk_target *target, const char *keep,
                              sk_text *out, sk_err *err);

#endif
