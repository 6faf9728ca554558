/* layouts.h - which layout of pages a device prefers: advice for an engine before it
 * creates its cache, from winners of the same tiers in several rows of the layout
 * table (sphkv-tune --layouts). */
#ifndef SK_LAYOUTS_H
#define SK_LAYOUTS_H

#include "json.h"
#include "options.h"
#include "search.h"

/* "all", or rows "0,1": the list, each row once. */
sk_status sk_layouts_take(sk_args *a, sk_list *out, sk_err *err);

/* What attention says about the layouts of one mix. */
typedef struct sk_layout_advice {
    const char *tiers, *accuracy; /* a result's */
    uint32_t rows, row[SK_LIST_MAX];
    double speed[SK_LIST_MAX];    /* geometric mean of the rooflines over the shapes that every
                                     row has a winner for; 0: there is none */
    uint32_t best;                /* index into row: the fastest; the row that is the default
                                     unless another is at least 2 % faster */
} sk_layout_advice;
/* The next mix of attn_decode with several rows from result *at on; false: no more. */
bool sk_layouts_next(const sk_result *result, uint32_t n, uint32_t *at, sk_layout_advice *out);

/* A line for each of them, under a heading; nothing when there is none. */
void sk_layouts_print(const sk_result *result, uint32_t n, sk_text *out);
/* The member "layouts" of an open object; nothing when there is none. */
void sk_layouts_json(sk_json *j, const sk_result *result, uint32_t n);

#endif
