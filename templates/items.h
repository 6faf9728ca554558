/* items.h - the host side that kernels with lists of items share: the checks of
 * parts, arenas, pages, rows and codebooks, each in one wording. All give
 * SPHKV_EINVAL with what is wrong and where. */
#ifndef SK_ITEMS_H
#define SK_ITEMS_H

#include "kernel.h"

sk_status sk_items_part(const sk_image *image, uint32_t part, uint32_t parts, sk_err *err);
sk_status sk_items_count(const sk_image *image, uint32_t count, sk_err *err);
sk_status sk_items_aligned(const void *arena, sk_err *err); /* an arena, to its units */
/* Page of item i: `units` from `unit` on lie inside an arena of `bytes`; `what`
 * names the page ("page", "source page"). */
sk_status sk_items_page(uint32_t i, const char *what, uint32_t unit, uint64_t units, size_t bytes,
                        sk_err *err);
sk_status sk_items_tokens(const sk_image *image, uint32_t i, uint32_t slot, uint32_t count,
                          sk_err *err);
sk_status sk_items_head(const sk_image *image, uint32_t i, uint32_t kv_head, sk_err *err);
sk_status sk_items_reserved(uint32_t i, uint32_t word, sk_err *err);
/* The set of a run over KV heads 0 .. heads-1; where nothing is coded it is not looked at. */
sk_status sk_items_books(const sk_image *image, uint32_t heads, const void *codebook, size_t bytes,
                         sk_err *err);
sk_status sk_items_workspace(const sk_image *image, const void *workspace, size_t bytes,
                             sk_err *err);

/* Rows [rows][kv_heads][dims] of a caller, k or v. */
typedef struct sk_rows {
    const void *data;
    uint32_t stride_row, stride_head; /* elements */
    uint32_t dims, dtype;
} sk_rows;
/* Fills in strides that are 0 and checks alignment to elements. */
sk_status sk_items_rows(const sk_image *image, sk_rows *rows, sk_err *err);
/* Products of 32 bits reach the first `count` rows of all KV heads. */
sk_status sk_items_reach(const sk_image *image, const sk_rows *rows, uint32_t count, sk_err *err);
/* Bytes from the first to behind the last of `count` rows; 0 for none. */
size_t sk_items_extent(const sk_image *image, const sk_rows *rows, uint32_t count);

/* The stride of what lies without gaps, in elements; one beyond 32 bits stays too large. */
static inline uint32_t sk_items_dense(uint64_t elements)
{
    return elements < UINT32_MAX ? (uint32_t)elements : UINT32_MAX;
}
/* So many strides, in elements; 2^32 of more, so that sums and bytes of it stay exact. */
static inline uint64_t sk_items_steps(uint32_t count, uint32_t stride)
{
    const uint64_t all = (uint64_t)count * stride, most = (uint64_t)UINT32_MAX + 1;
    return all < most ? all : most;
}

/* The shape kernels over whole pages are tuned at: the pages of a prefill. */
sk_shape sk_items_prefill(const sk_spec *spec, const sk_shape *step);

/* Where the run of a part begins, of n items that are dealt in equal runs. */
static inline uint32_t sk_items_share(uint32_t n, uint32_t part, uint32_t parts)
{
    return (uint32_t)((uint64_t)n * part / parts);
}

/* Scratch of a part, whose shares begin at the workspace. */
size_t sk_items_scratch(const sk_image *image);

/* Items by group (`group_of` item i, less than `groups`), else as they came: a part's run of
 * that order. In the workspace each part has its scratch and, behind it, the order. */
typedef size_t sk_item_group(const sk_image *image, const void *items, uint32_t i);
typedef struct sk_item_run {
    void *scratch;
    uint32_t *order; /* of all items; not made where the run is empty */
    uint32_t first, end;
} sk_item_run;
size_t sk_items_run_workspace(const sk_image *image, size_t groups); /* of all parts */
sk_item_run sk_items_run(const sk_image *image, void *workspace, const void *items, uint32_t n,
                         sk_item_group *group_of, size_t groups, uint32_t part, uint32_t parts);

#endif
