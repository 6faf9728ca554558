/* token_compact.c - tokens that stay, gathered into full pages of their tier. Applies
 * to every spec, positions included: fields are moved or coded anew, no key is
 * computed. The program is in compact_build.c, here is the rest of the contract. */
#include <string.h>

#include "items.h"
#include "places.h"
#include "token_compact.h"

static sk_status supported(const sk_spec *spec, sk_err *err)
{
    return sk_variants_supported(spec, SPHKV_VARIANT_POSITIONS, err);
}

static void default_schedule(const sk_spec *spec, const sk_target *target, sk_schedule *out)
{
    (void)spec;
    out->v[SK_T_w] = target->vector_bits >= 512 ? 16 : sk_rows_default_width(target);
    out->v[SK_T_store] = SK_STORE_PAST;
}

/* ---- host side ------------------------------------------------------------ */

static size_t part_bytes(const sk_image *image)
{
    return sk_items_scratch(image) + sk_places_bytes(image->maxima.batch);
}

static size_t workspace(const sk_image *image) { return image->maxima.parts * part_bytes(image); }

static uint64_t units_of(const sk_image *image, const sphkv_compact_args *a, const sphkv_compact_item *it)
{
    return (uint64_t)image->units[it->tier_slot] * a->sub_pages;
}

static sk_status check_tokens(const sk_image *image, const sphkv_compact_args *a, uint32_t i, sk_err *err)
{
    const sphkv_compact_item *it = &a->items[i];
    const uint64_t units = units_of(image, a, it), have = a->src_arena_bytes / SPHKV_UNIT_BYTES;
    const uint64_t units_fit = units > have ? 0 : have - units + 1; /* pages may begin there */
    for (uint32_t t = it->first; t < it->first + it->count; t++) {
        const sphkv_compact_token *from = &a->tokens[t];
        if (from->slot >= image->spec.page)
            return sk_fail(err, SPHKV_EINVAL, "items[%u]: tokens[%u] is slot %u in a page of %u", i, t,
                           from->slot, image->spec.page);
        if (from->src_unit >= units_fit)
            return sk_fail(err, SPHKV_EINVAL,
                           "items[%u]: the page of tokens[%u] at unit %u ends beyond its arena", i, t,
                           from->src_unit);
    }
    return SPHKV_OK;
}

static sk_status check_item(const sk_image *image, const sphkv_compact_args *a, uint32_t i, sk_err *err)
{
    const sphkv_compact_item *it = &a->items[i];
    if (it->tier_slot >= image->spec.ntiers)
        return sk_fail(err, SPHKV_EINVAL, "items[%u]: tier slot %u of a mix of %u", i, it->tier_slot,
                       image->spec.ntiers);
    if (it->first > a->tokens_count || it->count > a->tokens_count - it->first)
        return sk_fail(err, SPHKV_EINVAL, "items[%u]: tokens %u+%u of %u", i, it->first, it->count,
                       a->tokens_count);
    sk_status st = sk_items_tokens(image, i, 0, it->count, err);
    if (st == SPHKV_OK)
        st = sk_items_page(i, "destination page", it->dst_unit, units_of(image, a, it),
                           a->dst_arena_bytes, err);
    return st == SPHKV_OK ? check_tokens(image, a, i, err) : st;
}

static sk_status check_overlap(const sk_image *image, const sphkv_compact_args *a, void *space, sk_err *err)
{
    sk_places p = sk_places_begin(space, image->maxima.batch);
    for (uint32_t i = 0; i < a->items_count; i++)
        sk_places_add(&p, a->items[i].dst_unit, units_of(image, a, &a->items[i]));
    sk_status st = sk_places_apart(&p, err);
    if (st != SPHKV_OK ||
        !sk_places_arenas(&p, a->src_arena, a->src_arena_bytes, a->dst_arena, a->dst_arena_bytes))
        return st;
    for (uint32_t i = 0; i < a->items_count; i++) {
        const sphkv_compact_item *it = &a->items[i];
        for (uint32_t t = it->first; t < it->first + it->count; t++) {
            if (t > it->first && a->tokens[t].src_unit == a->tokens[t - 1].src_unit) continue;
            const sk_place *at = sk_places_touched(&p, a->tokens[t].src_unit, units_of(image, a, it));
            if (at != NULL)
                return sk_fail(err, SPHKV_EINVAL,
                               "items[%u]: its destination overlaps the page of tokens[%u]", at->item, t);
        }
    }
    return SPHKV_OK;
}

sk_status sk_compact_args(const sk_image *image, const void *args, sphkv_compact_args *a, sk_err *err)
{
    sk_status st = sk_args_copy(a, sizeof *a, args, err);
    if (st == SPHKV_OK) st = sk_items_count(image, a->items_count, err);
    if (st != SPHKV_OK || a->items_count == 0) return st;
    if (!a->items || !a->src_arena || !a->dst_arena || (!a->tokens && a->tokens_count))
        return sk_fail(err, SPHKV_EINVAL, "items, tokens, src_arena or dst_arena is NULL");
    if (a->sub_pages == 0) a->sub_pages = 1;
    if ((uint64_t)a->items_count * a->sub_pages > INT32_MAX)
        return sk_fail(err, SPHKV_EINVAL, "%u items of %u sub-pages", a->items_count, a->sub_pages);
    st = sk_items_aligned(a->src_arena, err);
    if (st == SPHKV_OK) st = sk_items_aligned(a->dst_arena, err);
    if (st == SPHKV_OK) st = sk_items_workspace(image, a->workspace, a->workspace_bytes, err);
    return st;
}

sk_call sk_compact_call(const sphkv_compact_args *a)
{
    sk_call call = {0};
    sk_call_ptr(&call, a->items, a->items_count * sizeof *a->items);
    sk_call_ptr(&call, a->tokens, a->tokens_count * sizeof *a->tokens);
    sk_call_ptr(&call, a->src_arena, a->src_arena_bytes);
    sk_call_ptr(&call, a->dst_arena, a->dst_arena_bytes);
    sk_call_u32(&call, a->sub_pages);
    sk_call_u32(&call, a->items_count * a->sub_pages - 1);
    return call;
}

static sk_status run(const sk_image *image, const void *args, uint32_t part, uint32_t parts,
                     sk_err *err)
{
    sphkv_compact_args a;
    sk_status st = sk_items_part(image, part, parts, err);
    if (st == SPHKV_OK) st = sk_compact_args(image, args, &a, err);
    if (st != SPHKV_OK || a.items_count == 0) return st;
    uint8_t *mine = (uint8_t *)a.workspace + part * part_bytes(image);
    for (uint32_t i = 0; st == SPHKV_OK && i < a.items_count; i++) st = check_item(image, &a, i, err);
    if (st == SPHKV_OK) st = check_overlap(image, &a, mine + sk_items_scratch(image), err);
    sk_call call = sk_compact_call(&a);
    call.shared = mine;
    const uint32_t pages = a.items_count * a.sub_pages;
    const uint32_t end = sk_items_share(pages, part + 1, parts);
    for (uint32_t i = sk_items_share(pages, part, parts); st == SPHKV_OK && i < end; i++) st = sk_image_call(image, 0, &call, i, err);
    return st;
}

/* Every second token stays. */
static void cost(const sk_spec *spec, const sk_shape *shape, sk_cost *out)
{
    sk_page_layout lay;
    sk_page_layout_get(spec, 0, &lay);
    memset(out, 0, sizeof *out);
    out->token_heads = (double)shape->batch * spec->page;
    out->write_bytes = (double)shape->batch * lay.units * SPHKV_UNIT_BYTES;
    out->read_bytes = 2 * out->write_bytes;
}

static const sk_kernel_form on_cpu = {
    .default_schedule = default_schedule,
    .valid = sk_rows_valid,
    .build = sk_compact_build,
    .workspace = workspace,
    .run = run,
};

const sk_kernel sk_kernel_token_compact = {
    .args_size = sizeof(sphkv_compact_args),
    .workspace_at = offsetof(sphkv_compact_args, workspace),
    .weight = 1,
    .supported = supported,
    .form = {[SK_BACKEND_CPU] = &on_cpu, [SK_BACKEND_CUDA] = &sk_compact_on_gpu},
    .cost = cost,
    .shape = sk_items_prefill,
};
