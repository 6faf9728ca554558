/* page_gather.c - whole pages of any mix copied, within an arena, between
 * arenas, to and from buffers where they lie one behind the other. Applies to
 * every spec: a page is so many units, whatever they hold.
 *
 * A block is a run of items. The first S-th of a page, the second and so on are
 * copied side by side, for a memory serves several streams faster than one, and
 * the source of a later page is prefetched at the same place. Destinations are
 * not read before they are written when stores go past the caches: in random
 * order 128 pages of 21 KB took 306 us with plain stores, 202 that way (Zen 4).
 *
 * That no destination overlaps another, or any source, is checked here, by every
 * part for itself. */
#include <string.h>

#include "gpu.h"
#include "items.h"
#include "page_gather.h"
#include "places.h"
#include "rows.h"

static sk_status supported(const sk_spec *spec, sk_err *err)
{
    (void)spec, (void)err;
    return SPHKV_OK;
}

static void default_schedule(const sk_spec *spec, const sk_target *target, sk_schedule *out)
{
    (void)spec;
    out->v[SK_T_w] = target->vector_bits >= 512 ? 16 : target->vector_bits >= 256 ? 8 : 4;
    out->v[SK_T_streams] = 2;
    out->v[SK_T_prefetch] = 1;
    out->v[SK_T_store] = SK_STORE_PAST;
}

/* ---- building ------------------------------------------------------------- */

typedef struct gather {
    sk_builder *b;
    const sk_spec *spec;
    const sk_schedule *sched;
    uint32_t w;
    sk_val zero, items, src, dst; /* parameters */
} gather;

sk_val sk_gather_units(sk_builder *b, const sk_spec *spec, sk_val item, sk_val zero)
{
    const sk_val tier = sk_ir_ldu(b, SK_LD_U32, item, zero, 8);
    const sk_val subs = sk_ir_ldu(b, SK_LD_U32, item, zero, 12);
    sk_val units = SK_NONE;
    for (uint32_t i = 0; i < spec->ntiers; i++) {
        sk_page_layout lay;
        sk_page_layout_get(spec, i, &lay);
        const sk_val here = sk_ir_u32(b, lay.units);
        units = units == SK_NONE
                    ? here
                    : sk_ir_3(b, SK_OP_SELECT, sk_ir_2k(b, SK_OP_EQ, tier, i), here, units);
    }
    return sk_ir_2(b, SK_OP_MUL, units, sk_ir_2k(b, SK_OP_UMAX, subs, 1));
}

static void copy_unit(const gather *c, sk_val from, sk_val to, sk_val ahead, sk_val i)
{
    sk_builder *b = c->b;
    const uint32_t vectors = SPHKV_UNIT_BYTES / (4 * c->w);
    const bool past = c->sched->v[SK_T_store] == SK_STORE_PAST;
    sk_val x[SPHKV_UNIT_BYTES / 16];
    from = sk_ir_ptr_add(b, from, i, SPHKV_UNIT_BYTES);
    to = sk_ir_ptr_add(b, to, i, SPHKV_UNIT_BYTES);
    if (ahead != SK_NONE) {
        ahead = sk_ir_ptr_add(b, ahead, i, SPHKV_UNIT_BYTES);
        for (uint32_t k = 0; k < SPHKV_UNIT_BYTES; k += 64) sk_ir_prefetch(b, ahead, c->zero, k);
    }
    for (uint32_t k = 0; k < vectors; k++)
        x[k] = sk_ir_ldv(b, SK_LD_U32, from, c->zero, k * 4 * c->w);
    for (uint32_t k = 0; k < vectors; k++)
        (past ? sk_ir_stn : sk_ir_stv)(b, to, c->zero, k * 4 * c->w, x[k]);
}

/* Units 0 .. units-1, in as many streams as the schedule says, and the rest. */
static void copy_page(const gather *c, sk_val from, sk_val to, sk_val ahead, sk_val units)
{
    sk_builder *b = c->b;
    const uint32_t n = (uint32_t)c->sched->v[SK_T_streams];
    const sk_val share = sk_ir_2k(b, SK_OP_SHR, units, (uint32_t)__builtin_ctz(n));
    sk_val at[3][8];
    for (uint32_t s = 0; s < n; s++) {
        const sk_val first = sk_ir_2k(b, SK_OP_MUL, share, s);
        at[0][s] = sk_ir_ptr_add(b, from, first, SPHKV_UNIT_BYTES);
        at[1][s] = sk_ir_ptr_add(b, to, first, SPHKV_UNIT_BYTES);
        at[2][s] = ahead == SK_NONE ? ahead : sk_ir_ptr_add(b, ahead, first, SPHKV_UNIT_BYTES);
    }
    const sk_val i = sk_ir_for(b, c->zero, share, 1);
    for (uint32_t s = 0; s < n; s++) copy_unit(c, at[0][s], at[1][s], at[2][s], i);
    sk_ir_end(b);
    if (n == 1) return;
    const sk_val rest = sk_ir_for(b, sk_ir_2k(b, SK_OP_MUL, share, n), units, 1);
    copy_unit(c, from, to, SK_NONE, rest);
    sk_ir_end(b);
}

static sk_status build(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena, sk_build *out,
                       sk_err *err)
{
    sk_builder builder, *b = &builder;
    gather gathering = {.b = b, .spec = spec, .sched = sched}, *c = &gathering;
    const sk_status st = sk_rows_begin(b, spec, sched, arena, "", err);
    if (st != SPHKV_OK) return st;
    c->w = (uint32_t)sched->v[SK_T_w];
    c->items = sk_ir_param_ptr(b, "items", false);
    c->src = sk_ir_param_ptr(b, "src", false);
    c->dst = sk_ir_param_ptr(b, "dst", true);
    const sk_val first = sk_ir_param_u32(b, "first");
    const sk_val end = sk_ir_param_u32(b, "end");
    c->zero = sk_ir_u32(b, 0);
    const uint32_t ahead = (uint32_t)sched->v[SK_T_prefetch];
    const sk_val last = sk_ir_2(b, SK_OP_SUB, end, sk_ir_u32(b, 1));
    const sk_val i = sk_ir_for(b, first, end, 1);
    const sk_val item = sk_ir_ptr_add(b, c->items, i, sizeof(sphkv_gather_item));
    const sk_val from = sk_ir_ldu(b, SK_LD_U32, item, c->zero, 0);
    const sk_val to = sk_ir_ldu(b, SK_LD_U32, item, c->zero, 4);
    sk_val next = SK_NONE;
    if (ahead > 0) {
        const sk_val j = sk_ir_2(b, SK_OP_UMIN, sk_ir_2k(b, SK_OP_ADD, i, ahead), last);
        const sk_val far = sk_ir_ptr_add(b, c->items, j, sizeof(sphkv_gather_item));
        next = sk_ir_ptr_add(b, c->src, sk_ir_ldu(b, SK_LD_U32, far, c->zero, 0), SPHKV_UNIT_BYTES);
    }
    copy_page(c, sk_ir_ptr_add(b, c->src, from, SPHKV_UNIT_BYTES),
              sk_ir_ptr_add(b, c->dst, to, SPHKV_UNIT_BYTES), next, sk_gather_units(b, c->spec, item, c->zero));
    sk_ir_end(b);
    memset(out, 0, sizeof *out);
    out->n = 1;
    return sk_ir_finish(b, &out->program[0], err);
}

/* ---- host side ------------------------------------------------------------ */

/* Per part: the destinations, and room to sort them. */
static size_t part_bytes(const sk_image *image) { return sk_places_bytes(image->maxima.batch); }

static size_t workspace(const sk_image *image)
{
    return image->maxima.parts * part_bytes(image);
}

/* One run: arguments, and the pages' sizes. */
typedef struct gather_run {
    const sk_image *image;
    sphkv_gather_args a;
    uint64_t units[SK_MAX_TIERS];
    uint64_t total; /* units of all items */
} gather_run;

static uint64_t units_of(const gather_run *r, const sphkv_gather_item *item)
{
    return r->units[item->tier_slot] * (item->sub_pages ? item->sub_pages : 1);
}

static sk_status check_items(gather_run *r, sk_err *err)
{
    for (uint32_t i = 0; i < r->a.items_count; i++) {
        const sphkv_gather_item *it = &r->a.items[i];
        if (it->tier_slot >= r->image->spec.ntiers)
            return sk_fail(err, SPHKV_EINVAL, "items[%u]: tier slot %u of a mix of %u", i,
                           it->tier_slot, r->image->spec.ntiers);
        const uint64_t units = units_of(r, it);
        if (units > UINT32_MAX)
            return sk_fail(err, SPHKV_EINVAL, "items[%u]: %u sub-pages", i, it->sub_pages);
        sk_status st =
            sk_items_page(i, "source page", it->src_unit, units, r->a.src_arena_bytes, err);
        if (st == SPHKV_OK)
            st = sk_items_page(i, "destination page", it->dst_unit, units, r->a.dst_arena_bytes,
                               err);
        if (st != SPHKV_OK) return st;
        r->total += units;
    }
    return SPHKV_OK;
}

static sk_status check_overlap(const gather_run *r, void *space, sk_err *err)
{
    const sphkv_gather_args *a = &r->a;
    sk_places p = sk_places_begin(space, r->image->maxima.batch);
    for (uint32_t i = 0; i < a->items_count; i++)
        sk_places_add(&p, a->items[i].dst_unit, units_of(r, &a->items[i]));
    sk_status st = sk_places_apart(&p, err);
    if (st != SPHKV_OK ||
        !sk_places_arenas(&p, a->src_arena, a->src_arena_bytes, a->dst_arena, a->dst_arena_bytes))
        return st;
    for (uint32_t i = 0; i < a->items_count; i++) {
        const sk_place *at = sk_places_touched(&p, a->items[i].src_unit, units_of(r, &a->items[i]));
        if (at != NULL)
            return sk_fail(err, SPHKV_EINVAL,
                           "items[%u]: its destination overlaps the source of items[%u]", at->item,
                           i);
    }
    return SPHKV_OK;
}

sk_status sk_gather_args(const sk_image *image, const void *args, sphkv_gather_args *a, sk_err *err)
{
    sk_status st = sk_args_copy(a, sizeof *a, args, err);
    if (st == SPHKV_OK) st = sk_items_count(image, a->items_count, err);
    if (st != SPHKV_OK || a->items_count == 0) return st;
    if (!a->items || !a->src_arena || !a->dst_arena)
        return sk_fail(err, SPHKV_EINVAL, "items, src_arena or dst_arena is NULL");
    st = sk_items_aligned(a->src_arena, err);
    if (st == SPHKV_OK) st = sk_items_aligned(a->dst_arena, err);
    if (st == SPHKV_OK) st = sk_items_workspace(image, a->workspace, a->workspace_bytes, err);
    return st;
}

static sk_status gather_begin(gather_run *r, const void *args, uint32_t part, sk_err *err)
{
    sk_status st = sk_gather_args(r->image, args, &r->a, err);
    if (st != SPHKV_OK || r->a.items_count == 0) return st;
    st = check_items(r, err);
    if (st != SPHKV_OK) return st;
    return check_overlap(r, (uint8_t *)r->a.workspace + part * part_bytes(r->image), err);
}

/* The first item of a part: shares of units, whole items. */
static uint32_t first_item(const gather_run *r, uint32_t part, uint32_t parts)
{
    const uint64_t before = r->total * part / parts;
    uint64_t sum = 0;
    uint32_t i = 0;
    while (i < r->a.items_count && sum < before) sum += units_of(r, &r->a.items[i++]);
    return i;
}

static sk_status run(const sk_image *image, const void *args, uint32_t part, uint32_t parts,
                     sk_err *err)
{
    gather_run r = {.image = image};
    sk_status st = sk_items_part(image, part, parts, err);
    for (uint32_t i = 0; i < image->spec.ntiers; i++) {
        sk_page_layout lay;
        sk_page_layout_get(&image->spec, i, &lay);
        r.units[i] = lay.units;
    }
    if (st == SPHKV_OK) st = gather_begin(&r, args, part, err);
    if (st != SPHKV_OK) return st;
    const uint32_t first = first_item(&r, part, parts);
    const uint32_t end = first_item(&r, part + 1, parts);
    if (first == end) return SPHKV_OK;
    sk_call call = {0};
    sk_call_ptr(&call, r.a.items, r.a.items_count * sizeof *r.a.items);
    sk_call_ptr(&call, r.a.src_arena, r.a.src_arena_bytes);
    sk_call_ptr(&call, r.a.dst_arena, r.a.dst_arena_bytes);
    sk_call_u32(&call, first);
    sk_call_u32(&call, end);
    return sk_image_call(image, 0, &call, 0, err);
}

static void cost(const sk_spec *spec, const sk_shape *shape, sk_cost *out)
{
    sk_page_layout lay;
    sk_page_layout_get(spec, 0, &lay);
    memset(out, 0, sizeof *out);
    out->token_heads = (double)shape->batch * spec->page;
    out->read_bytes = (double)shape->batch * lay.units * SPHKV_UNIT_BYTES;
    out->write_bytes = out->read_bytes;
}

static const sk_kernel_form on_cpu = {
    .default_schedule = default_schedule,
    .valid = sk_rows_valid,
    .build = build,
    .workspace = workspace,
    .run = run,
};

const sk_kernel sk_kernel_page_gather = {
    .args_size = sizeof(sphkv_gather_args),
    .workspace_at = offsetof(sphkv_gather_args, workspace),
    .weight = 1,
    .supported = supported,
    .form = {[SK_BACKEND_CPU] = &on_cpu, [SK_BACKEND_CUDA] = &sk_gather_on_gpu},
    .cost = cost,
    .shape = sk_items_prefill,
};
