/* attn_gpu.c - the host side of attn_decode on a GPU. It knows the maxima, pointers and
 * strides; how long lists are only the device knows. So the grid, with it the
 * workspace, is the plan's: as many blocks as are at home at once, but no more than
 * there can be pages.
 *
 * Workspace: counters | partials | tables (attn_gpu.h), each from a multiple of 128
 * bytes on. */
#include "attn_gpu.h"

#include <string.h>

#include "attn_run.h"
#include "part_rope.h"
#include "work.h"

typedef struct gpu_space {
    uint32_t blocks;
    uint64_t pages;                 /* of all lists of a run at most */
    size_t partials, tables, total; /* offsets; bytes */
    size_t partials_bytes, tables_bytes;
} gpu_space;

static size_t align128(size_t x) { return (x + 127) & ~(size_t)127; }

static void prepare(sk_image *image)
{
    const sk_spec *spec = &image->spec;
    const sphkv_maxima *m = &image->maxima;
    gpu_space *a = (gpu_space *)(void *)image->own;
    _Static_assert(sizeof *a <= sizeof image->own, "fits");
    const uint64_t home = (uint64_t)image->sms * (uint64_t)image->schedule.v[SK_T_blocks];
    a->pages = (uint64_t)m->batch * m->kv_heads * m->pages_per_list;
    a->blocks = (uint32_t)(home < a->pages ? home : a->pages > 0 ? a->pages : 1);
    a->partials_bytes = 2 * (size_t)a->blocks * m->q_len * sk_dec_partial_bytes(spec);
    if (image->schedule.v[SK_T_form] == SK_ATTN_WARP) {
        const sk_warp_room room = sk_warp_room_of(spec, &image->schedule, 0);
        a->tables_bytes = (size_t)a->blocks * (room.tables + (size_t)m->q_len * room.query);
    }
    a->partials = align128((size_t)a->blocks * 4);
    a->tables = a->partials + align128(a->partials_bytes);
    a->total = a->tables + align128(a->tables_bytes);
}

static size_t workspace(const sk_image *image)
{
    const gpu_space *a = sk_image_own(image);
    return a->total;
}

static uint32_t parts(const sk_image *image)
{
    const gpu_space *a = sk_image_own(image);
    return a->blocks < SPHKV_MAX_PARTS ? a->blocks : SPHKV_MAX_PARTS;
}

static uint32_t flags_of(const sk_attn_run_state *r)
{
    return (r->a.lse ? SK_GPU_LSE : 0) | (r->a.page_ml ? SK_GPU_PAGE_ML : 0) |
           (r->a.schedule ? SK_GPU_LISTED : 0) | (r->shared ? SK_GPU_SHARED : 0) |
           (r->a.sinks ? SK_GPU_SINK : 0);
}

/* The parameters, in the order of attn_gpu.h. */
static void fill(const sk_attn_run_state *r, const gpu_space *space, sk_call *call)
{
    const sphkv_attn_args *a = &r->a;
    uint8_t *at = a->workspace;
    sk_call_ptr(call, a->q, r->q_bytes);
    sk_call_ptr(call, a->codebook, a->codebook_bytes);
    sk_call_ptr(call, a->arena, a->arena_bytes);
    sk_call_ptr(call, a->table.indptr, ((size_t)a->table.lists + 1) * 4);
    sk_call_ptr(call, a->table.refs, r->refs_end * 8);
    sk_call_ptr(call, a->out, r->out_bytes);
    sk_call_ptr(call, a->lse, r->lse_bytes);
    sk_call_ptr(call, a->page_ml, r->ml_bytes);
    sk_call_ptr(call, a->schedule, a->schedule ? a->schedule_bytes : 0);
    sk_call_ptr(call, at, (size_t)space->blocks * 4);
    sk_call_ptr(call, at + space->partials, space->partials_bytes);
    sk_call_ptr(call, at + space->tables, space->tables_bytes);
    sk_call_u32(call, flags_of(r));
    sk_call_u32(call, a->batch);
    sk_call_u32(call, r->image->maxima.kv_heads);
    sk_call_u32(call, r->kv_first);
    sk_call_u32(call, r->kv_count);
    sk_call_u32(call, a->q_stride_seq * r->q_es);
    sk_call_u32(call, a->q_stride_head * r->q_es);
    sk_call_u32(call, a->out_stride_seq * r->out_es);
    sk_call_u32(call, a->out_stride_head * r->out_es);
    sk_call_u32(call, a->lse_stride_seq);
    sk_call_u32(call, space->blocks);
    sk_call_f32(call, (float)(a->scale * 1.4426950408889634));
    sk_attn_variant_slots(r, call);
    sk_rope_call(call, &r->image->spec, &a->rope);
}

static sk_status check_list(const sk_attn_run_state *r, sk_err *err)
{
    if (r->a.schedule == NULL) return SPHKV_OK;
    if ((uintptr_t)r->a.schedule % 64 == 0 && r->a.schedule_bytes >= SK_WORK_LEAST) return SPHKV_OK;
    return sk_fail(err, SPHKV_EINVAL, "schedule: not a work list of attn_schedule");
}

static sk_status run(const sk_image *image, const void *args, uint32_t part, uint32_t of,
                     sk_err *err)
{
    const gpu_space *space = sk_image_own(image);
    sk_attn_run_state r;
    if (part != 0 || of != 1)
        return sk_fail(err, SPHKV_EINVAL, "part %u of %u: a run on a GPU has one", part, of);
    if (space->pages > UINT32_MAX)
        return sk_fail(err, SPHKV_EINVAL, "maxima: more than 2^32 pages in all lists");
    /* what runs on the host is held to bounds that only the table tells */
    const bool device = image->launch && !image->launch_here;
    sk_status st = sk_attn_read(&r, image, args, device, err);
    if (st == SPHKV_OK) st = check_list(&r, err);
    if (st != SPHKV_OK || r.pairs == 0) return st;
    sk_call call = {0};
    fill(&r, space, &call);
    for (uint32_t entry = 0; entry < image->nentry && st == SPHKV_OK; entry++)
        st = sk_image_launch(image, entry, &call, space->blocks, r.a.stream, err);
    return st;
}

const sk_kernel_form sk_gpu_attn = {
    .default_schedule = sk_gpu_attn_default,
    .valid = sk_gpu_attn_valid,
    .build = sk_gpu_attn_build,
    .prepare = prepare,
    .workspace = workspace,
    .parts = parts,
    .run = run,
};
