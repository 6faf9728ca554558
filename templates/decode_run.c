/* decode_run.c - the host side of page_decode: checks the arguments, puts the items
 * in order, by tier and KV head, and gives each part an equal run of them. */
#include <string.h>

#include "decode_rows.h"
#include "items.h"
#include "part_rope.h"

static size_t groups_of(const sk_image *image)
{
    return (size_t)image->spec.ntiers * image->maxima.kv_heads;
}

size_t sk_decode_workspace(const sk_image *image)
{
    return sk_items_run_workspace(image, groups_of(image));
}

/* Of keys that are to be rotated; unknown where none are. */
static bool positions_inside(const sk_decode_call *r, const sphkv_decode_item *it)
{
    sk_page_layout lay;
    if (r->a.rope.dims == 0 || !r->a.k || !sk_tier_pre_rope(&r->image->spec.tier[it->tier_slot]))
        return true;
    sk_page_layout_get(&r->image->spec, it->tier_slot, &lay);
    const uint8_t *page = (const uint8_t *)r->a.arena + (size_t)it->unit * SPHKV_UNIT_BYTES;
    return sk_rope_inside(&r->a.rope, page + lay.pos_off, it->count);
}

static sk_status check_items(const sk_decode_call *r, sk_err *err)
{
    uint32_t units[SK_MAX_TIERS];
    for (uint32_t i = 0; i < r->image->spec.ntiers; i++) {
        sk_page_layout lay;
        sk_page_layout_get(&r->image->spec, i, &lay);
        units[i] = lay.units;
    }
    for (uint32_t i = 0; i < r->a.items_count; i++) {
        const sphkv_decode_item *it = &r->a.items[i];
        if (it->tier_slot >= r->image->spec.ntiers)
            return sk_fail(err, SPHKV_EINVAL, "items[%u]: tier slot %u of a mix of %u", i,
                           it->tier_slot, r->image->spec.ntiers);
        sk_status st = sk_items_tokens(r->image, i, 0, it->count, err);
        if (st == SPHKV_OK) st = sk_items_reserved(i, it->reserved, err);
        if (st == SPHKV_OK) st = sk_items_head(r->image, i, it->kv_head, err);
        if (st == SPHKV_OK)
            st = sk_items_page(i, "page", it->unit, units[it->tier_slot], r->a.arena_bytes, err);
        if (st != SPHKV_OK) return st;
        if (!positions_inside(r, it))
            return sk_fail(err, SPHKV_EINVAL, "items[%u]: a position is not in the table of %u", i,
                           r->a.rope.positions);
        if (it->count > r->a.rows || it->row > r->a.rows - it->count)
            return sk_fail(err, SPHKV_EINVAL, "items[%u]: rows %u+%u of %u", i, it->row, it->count,
                           r->a.rows);
    }
    return SPHKV_OK;
}

/* Rows that are wanted; 16-bit ones begin at 4 bytes, for words are stored. */
static sk_status check_rows(const sk_decode_call *r, sk_rows *rows, sk_err *err)
{
    if (rows->data == NULL) return SPHKV_OK;
    const sk_status st = sk_items_rows(r->image, rows, err);
    if (st != SPHKV_OK) return st;
    if (rows->dtype != SPHKV_F32 && ((uintptr_t)rows->data % 4 != 0 || rows->stride_row % 2 != 0 ||
                                     rows->stride_head % 2 != 0))
        return sk_fail(err, SPHKV_EINVAL,
                       "16-bit rows of k and v begin at multiples of 4 bytes: even strides");
    return sk_items_reach(r->image, rows, r->a.rows, err);
}

/* Of any tier. */
static bool values_are_keys(const sk_spec *spec)
{
    for (uint32_t i = 0; i < spec->ntiers; i++)
        if (spec->tier[i].value == SK_VAL_KEY) return true;
    return false;
}

sk_status sk_decode_args(sk_decode_call *r, const void *args, sk_err *err)
{
    sphkv_decode_args *a = &r->a;
    const sk_spec *spec = &r->image->spec;
    sk_status st = sk_args_copy(a, sizeof *a, args, err);
    if (st == SPHKV_OK) st = sk_args_reserved(a->reserved, err);
    if (st == SPHKV_OK) st = sk_items_count(r->image, a->items_count, err);
    if (st != SPHKV_OK || a->items_count == 0) return st;
    if (!a->items || !a->arena || (!a->k && !a->v))
        return sk_fail(err, SPHKV_EINVAL, "items, arena, or k and v are NULL");
    r->k = (sk_rows){a->k, a->k_stride_row, a->k_stride_head, spec->d, spec->out_dtype};
    r->v = (sk_rows){a->v, a->v_stride_row, a->v_stride_head, spec->dv, spec->out_dtype};
    st = sk_items_aligned(a->arena, err);
    if (st == SPHKV_OK) st = sk_rope_check(spec, &a->rope, true, err);
    if (st == SPHKV_OK) st = check_rows(r, &r->k, err);
    if (st == SPHKV_OK) st = check_rows(r, &r->v, err);
    if (st == SPHKV_OK && (a->k || values_are_keys(spec)))
        st = sk_items_books(r->image, r->image->maxima.kv_heads, a->codebook, a->codebook_bytes, err);
    if (st == SPHKV_OK) st = sk_items_workspace(r->image, a->workspace, a->workspace_bytes, err);
    return st;
}

/* Items are ordered by tier, then by KV head. */
static size_t group_of(const sk_image *image, const void *items, uint32_t i)
{
    const sphkv_decode_item *it = &((const sphkv_decode_item *)items)[i];
    return (size_t)it->tier_slot * image->maxima.kv_heads + it->kv_head;
}

/* Whether every piece of a row begins where a store past the caches may. */
static bool whole_vectors(const sk_decode_call *r, const sk_rows *rows)
{
    const size_t align = 4 * (size_t)r->image->schedule.v[SK_T_w];
    const size_t es = rows->dtype == SPHKV_F32 ? 4 : 2;
    return (uintptr_t)rows->data % align == 0 && rows->stride_row * es % align == 0 &&
           rows->stride_head * es % align == 0;
}

void sk_decode_call_rows(sk_call *call, const sk_decode_call *r, const sk_rows *rows)
{
    sk_call_ptr(call, rows->data,
                rows->data ? sk_items_extent(r->image, rows, r->a.rows) : 0);
    sk_call_u32(call, rows->data != NULL);
    sk_call_u32(call, rows->stride_row);
    sk_call_u32(call, rows->stride_head);
}

sk_status sk_decode_run(const sk_image *image, const void *args, uint32_t part, uint32_t parts,
                        sk_err *err)
{
    sk_decode_call r = {.image = image};
    sk_status st = sk_items_part(image, part, parts, err);
    if (st == SPHKV_OK) st = sk_decode_args(&r, args, err);
    if (st == SPHKV_OK) st = check_items(&r, err);
    if (st != SPHKV_OK) return st;
    const uint32_t n = r.a.items_count;
    const sk_item_run run = sk_items_run(image, r.a.workspace, r.a.items, n, group_of,
                                         groups_of(image), part, parts);
    if (run.first == run.end) return SPHKV_OK;
    sk_call call = {.shared = run.scratch};
    sk_call_ptr(&call, r.a.items, n * sizeof *r.a.items);
    sk_call_ptr(&call, run.order, n * sizeof *run.order);
    sk_call_ptr(&call, r.a.arena, r.a.arena_bytes);
    sk_call_ptr(&call, r.a.codebook, r.a.codebook_bytes);
    sk_decode_call_rows(&call, &r, &r.k);
    sk_decode_call_rows(&call, &r, &r.v);
    sk_call_u32(&call, run.first);
    sk_call_u32(&call, run.end);
    sk_rope_call(&call, &image->spec, &r.a.rope);
    const bool past = image->nentry > 1 && whole_vectors(&r, &r.k) && whole_vectors(&r, &r.v);
    return sk_image_call(image, past ? SK_UNROW_PAST : SK_UNROW_PLAIN, &call, 0, err);
}
