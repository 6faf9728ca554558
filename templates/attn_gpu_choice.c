/* attn_gpu_choice.c - schedules of attn_decode on GPUs: which ones can run a spec on
 * a target, and which one is taken when nothing has been measured. */
#include "attn_gpu.h"
#include "gpu.h"

static bool fits(const sk_spec *spec, int32_t room, uint32_t own, const sk_target *target)
{
    sk_schedule s = {.backend = SK_BACKEND_CUDA};
    s.v[SK_T_room] = room;
    return sk_warp_room_of(spec, &s, own).scratch <= target->shared_block;
}

/* Slower memory only for what has no place in the faster. */
static sk_status check_room(const sk_spec *spec, int32_t rule, uint32_t own, const sk_target *target,
                            sk_err *err)
{
    sk_schedule s = {.backend = SK_BACKEND_CUDA};
    s.v[SK_T_room] = SK_ROOM_TABLES;
    if (rule == SK_ROOM_TABLES && sk_warp_room_of(spec, &s, own).tables == 0)
        return sk_fail(err, SPHKV_EINVAL, "room=tables without tables");
    if (rule == SK_ROOM_GLOBAL && fits(spec, SK_ROOM_TABLES, own, target))
        return sk_fail(err, SPHKV_EINVAL, "room=global where a block has room");
    return SPHKV_OK;
}

sk_status sk_warp_valid(const sk_spec *spec, const sk_schedule *s, uint32_t own,
                        const sk_target *target, sk_err *err)
{
    const uint32_t scratch = sk_warp_room_of(spec, s, own).scratch;
    const sk_status st = check_room(spec, s->v[SK_T_room], own, target, err);
    return st == SPHKV_OK ? sk_gpu_home(target, (uint32_t)s->v[SK_T_blocks], scratch, 32, err) : st;
}

void sk_warp_default(const sk_spec *spec, uint32_t own, const sk_target *target, sk_schedule *out)
{
    out->v[SK_T_room] = SK_ROOM_SHARED;
    while (out->v[SK_T_room] < SK_ROOM_GLOBAL && !fits(spec, out->v[SK_T_room], own, target))
        out->v[SK_T_room]++;
    for (out->v[SK_T_blocks] = 8; out->v[SK_T_blocks] > 1; out->v[SK_T_blocks] /= 2)
        if (sk_warp_valid(spec, out, own, target, NULL) == SPHKV_OK) return;
}

/* A block is one warp, and takes a page whole. */
static sk_status check_warp(const sk_spec *spec, const sk_schedule *s, const sk_target *target,
                            sk_err *err)
{
    if (s->v[SK_T_warps] != 1 || s->v[SK_T_slab] != sk_tunable_value(SK_T_slab, 0) ||
        s->v[SK_T_stages] != 0)
        return sk_fail(err, SPHKV_EINVAL, "form=warp has one warp and no slabs");
    return sk_warp_valid(spec, s, sk_grid_scratch(spec), target, err);
}

/* Tiles end as all forms do, so a sink is theirs too; between their logits and their
 * softmax, which stay in registers, nothing stands. */
static sk_status tile_variants(const sk_spec *spec, sk_err *err)
{
    const uint32_t other = spec->variants & ~SPHKV_VARIANT_SINK;
    if (other == 0) return SPHKV_OK;
    return sk_fail(err, SPHKV_EINVAL, "form=tile has no variant %s",
                   sk_variant_name((uint32_t)__builtin_ctz(other)));
}

static sk_status check_tile(const sk_spec *spec, const sk_schedule *s, const sk_target *target,
                            sk_err *err)
{
    const uint32_t words = (SK_DEAL_WORDS + sk_item_words(spec)) * 4 + 128; /* and their alignment */
    if (s->v[SK_T_room] != SK_ROOM_SHARED)
        return sk_fail(err, SPHKV_EINVAL, "form=tile has all scratch in shared memory");
    sk_status st = tile_variants(spec, err);
    if (st == SPHKV_OK) st = sk_tile_valid(spec, s, target, err);
    if (st != SPHKV_OK) return st;
    return sk_gpu_home(target, (uint32_t)s->v[SK_T_blocks], sk_tile_scratch(spec, s) + words,
                      32 * sk_tile_warps(s), err);
}

static sk_status check_raw(const sk_spec *spec, const sk_schedule *s, const sk_target *target,
                           sk_err *err)
{
    if (s->v[SK_T_room] != SK_ROOM_SHARED || s->v[SK_T_warps] != (int32_t)SK_RAW_WARPS ||
        s->v[SK_T_slab] != 64 || s->v[SK_T_stages] != 0 || s->v[SK_T_merge] != SK_MERGE_LAST)
        return sk_fail(err, SPHKV_EINVAL,
                       "form=raw has room=shared, merge=last, warps=%u, slab=64, stages=0",
                       SK_RAW_WARPS);
    const sk_status st = sk_raw_valid(spec, err);
    if (st != SPHKV_OK) return st;
    return sk_gpu_home(target, (uint32_t)s->v[SK_T_blocks], sk_raw_scratch(), 32 * SK_RAW_WARPS, err);
}

sk_status sk_gpu_attn_valid(const sk_spec *spec, const sk_schedule *s, const sk_target *target,
                            sk_err *err)
{
    switch (s->v[SK_T_form]) {
    case SK_ATTN_RAW: return check_raw(spec, s, target, err);
    case SK_ATTN_TILE: return check_tile(spec, s, target, err);
    default: return check_warp(spec, s, target, err);
    }
}

void sk_gpu_attn_default(const sk_spec *spec, const sk_target *target, sk_schedule *out)
{
    out->v[SK_T_form] = SK_ATTN_TILE;
    out->v[SK_T_room] = SK_ROOM_SHARED;
    if (sk_tile_supported(spec, target, NULL) == SPHKV_OK) {
        sk_tile_default(spec, target, out);
        if (sk_gpu_attn_valid(spec, out, target, NULL) == SPHKV_OK) return;
    }
    out->v[SK_T_form] = SK_ATTN_WARP;
    out->v[SK_T_warps] = 1;
    out->v[SK_T_stages] = 0;
    out->v[SK_T_slab] = sk_tunable_value(SK_T_slab, 0);
    sk_warp_default(spec, sk_grid_scratch(spec), target, out);
}
