/* items.c - see items.h. */
#include "items.h"

#include <string.h>

sk_status sk_items_part(const sk_image *image, uint32_t part, uint32_t parts, sk_err *err)
{
    if (image->schedule.backend == SK_BACKEND_CUDA && parts != 1)
        return sk_fail(err, SPHKV_EINVAL, "part %u of %u: on a GPU a run is one part", part, parts);
    if (parts != 0 && parts <= image->maxima.parts && part < parts) return SPHKV_OK;
    return sk_fail(err, SPHKV_EINVAL, "part %u of %u, the plan is for %u", part, parts,
                   image->maxima.parts);
}

sk_status sk_items_count(const sk_image *image, uint32_t count, sk_err *err)
{
    if (count <= image->maxima.batch) return SPHKV_OK;
    return sk_fail(err, SPHKV_EINVAL, "%u items, the plan is for %u", count, image->maxima.batch);
}

sk_status sk_items_aligned(const void *arena, sk_err *err)
{
    if ((uintptr_t)arena % SPHKV_UNIT_BYTES == 0) return SPHKV_OK;
    return sk_fail(err, SPHKV_EINVAL, "an arena is not aligned to %u bytes", SPHKV_UNIT_BYTES);
}

sk_status sk_items_page(uint32_t i, const char *what, uint32_t unit, uint64_t units, size_t bytes,
                        sk_err *err)
{
    if (units <= bytes / SPHKV_UNIT_BYTES && unit <= bytes / SPHKV_UNIT_BYTES - units)
        return SPHKV_OK;
    return sk_fail(err, SPHKV_EINVAL, "items[%u]: %s at unit %u ends beyond its arena", i, what,
                   unit);
}

sk_status sk_items_tokens(const sk_image *image, uint32_t i, uint32_t slot, uint32_t count,
                          sk_err *err)
{
    const uint32_t page = image->spec.page;
    if (count <= page && slot <= page - count) return SPHKV_OK;
    return sk_fail(err, SPHKV_EINVAL, "items[%u]: slots %u+%u in a page of %u", i, slot, count,
                   page);
}

sk_status sk_items_head(const sk_image *image, uint32_t i, uint32_t kv_head, sk_err *err)
{
    if (kv_head < image->maxima.kv_heads) return SPHKV_OK;
    return sk_fail(err, SPHKV_EINVAL, "items[%u]: KV head %u of %u", i, kv_head,
                   image->maxima.kv_heads);
}

sk_status sk_items_reserved(uint32_t i, uint32_t word, sk_err *err)
{
    if (word == 0) return SPHKV_OK;
    return sk_fail(err, SPHKV_EINVAL, "items[%u]: the reserved word is %#x: set it to 0", i, word);
}

sk_status sk_items_books(const sk_image *image, uint32_t heads, const void *codebook, size_t bytes,
                         sk_err *err)
{
    const size_t books = (size_t)heads * image->book_stride;
    if (books == 0) return SPHKV_OK;
    if (codebook == NULL || bytes < books)
        return sk_fail(err, SPHKV_EINVAL, "codebook has %zu bytes, %zu needed for %u KV heads",
                       codebook == NULL ? (size_t)0 : bytes, books, heads);
    if ((uintptr_t)codebook % 4 == 0) return SPHKV_OK;
    return sk_fail(err, SPHKV_EINVAL, "codebook is not aligned to 4 bytes");
}

sk_status sk_items_workspace(const sk_image *image, const void *workspace, size_t bytes,
                             sk_err *err)
{
    if (image->workspace == 0 || (workspace != NULL && bytes >= image->workspace &&
                                  (uintptr_t)workspace % 64 == 0))
        return SPHKV_OK;
    return sk_fail(err, SPHKV_EINVAL, "workspace: %zu bytes aligned to 64 needed",
                   image->workspace);
}

static uint32_t element_bytes(uint32_t dtype) { return dtype == SPHKV_F32 ? 4 : 2; }

sk_status sk_items_rows(const sk_image *image, sk_rows *rows, sk_err *err)
{
    if (rows->stride_head == 0) rows->stride_head = rows->dims;
    if (rows->stride_row == 0) rows->stride_row = image->maxima.kv_heads * rows->dims;
    if ((uintptr_t)rows->data % element_bytes(rows->dtype) == 0) return SPHKV_OK;
    return sk_fail(err, SPHKV_EINVAL, "k or v is not aligned to its elements");
}

sk_status sk_items_reach(const sk_image *image, const sk_rows *rows, uint32_t count, sk_err *err)
{
    if ((uint64_t)count * rows->stride_row <= UINT32_MAX &&
        (uint64_t)image->maxima.kv_heads * rows->stride_head <= UINT32_MAX)
        return SPHKV_OK;
    return sk_fail(err, SPHKV_EINVAL, "rows or KV heads of k or v span more than 2^32 elements");
}

size_t sk_items_extent(const sk_image *image, const sk_rows *rows, uint32_t count)
{
    if (count == 0) return 0;
    return ((size_t)(count - 1) * rows->stride_row +
            (size_t)(image->maxima.kv_heads - 1) * rows->stride_head + rows->dims) *
           element_bytes(rows->dtype);
}

size_t sk_items_scratch(const sk_image *image)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < image->nentry; i++)
        if (image->shared_bytes[i] > most) most = image->shared_bytes[i];
    return ((size_t)most + 63) & ~(size_t)63;
}

/* Scratch and order, for as many items as the plan allows. */
static size_t run_bytes(const sk_image *image, size_t groups)
{
    const size_t order = ((image->maxima.batch + groups) * 4 + 63) & ~(size_t)63;
    return sk_items_scratch(image) + order;
}

size_t sk_items_run_workspace(const sk_image *image, size_t groups)
{
    return image->maxima.parts * run_bytes(image, groups);
}

/* Behind order[] there is room for where groups start. */
static void put_in_order(const sk_image *image, const void *items, uint32_t n,
                         sk_item_group *group_of, size_t groups, uint32_t *order)
{
    uint32_t *start = order + image->maxima.batch, sum = 0;
    memset(start, 0, groups * sizeof *start);
    for (uint32_t i = 0; i < n; i++) start[group_of(image, items, i)]++;
    for (size_t g = 0; g < groups; g++) {
        const uint32_t here = start[g];
        start[g] = sum;
        sum += here;
    }
    for (uint32_t i = 0; i < n; i++) order[start[group_of(image, items, i)]++] = i;
}

sk_item_run sk_items_run(const sk_image *image, void *workspace, const void *items, uint32_t n,
                         sk_item_group *group_of, size_t groups, uint32_t part, uint32_t parts)
{
    uint8_t *mine = (uint8_t *)workspace + part * run_bytes(image, groups);
    const sk_item_run run = {.scratch = mine,
                             .order = (uint32_t *)(void *)(mine + sk_items_scratch(image)),
                             .first = sk_items_share(n, part, parts),
                             .end = sk_items_share(n, part + 1, parts)};
    if (run.first < run.end) put_in_order(image, items, n, group_of, groups, run.order);
    return run;
}

sk_shape sk_items_prefill(const sk_spec *spec, const sk_shape *step)
{
    sk_shape s = *step;
    const uint32_t tokens = s.context < 2048 ? s.context : 2048, pages = tokens / spec->page;
    s.batch *= s.kv_heads * (pages ? pages : 1);
    return s;
}
