/* extend_gpu.c - attn_extend on a GPU: schedules, programs, the host side. See extend_gpu.h.
 *
 * Form "warp": a block is one warp, and its tiles go through the parts that a CPU runs
 * (extend_tile.c), with 16 lanes, of which ir_widen.c makes 32. It serves every spec. Form
 * "tile": tensor cores, where they can do the spec (extend_mma.h). */
#include "extend_mma.h"

#include <string.h>

#include "gpu.h"
#include "part_rope.h"
#include "rows.h"

/* ---- schedules ------------------------------------------------------------ */

#define WIDTH 16

/* Tunables of the parts, which follow from the form: sums that fit the registers. */
static void inner_schedule(const sk_schedule *s, sk_schedule *out)
{
    sk_schedule_begin(SK_BACKEND_CPU, out);
    out->v[SK_T_w] = WIDTH;
    out->v[SK_T_qrows] = s->v[SK_T_qrows];
    out->v[SK_T_qvec] = 4;
    out->v[SK_T_qtile] = s->v[SK_T_qtile];
}

static sk_extend_room room_of(const sk_spec *spec, const sk_schedule *s, int32_t rule)
{
    sk_schedule inner;
    inner_schedule(s, &inner);
    sk_extend_room room = sk_extend_room_of(spec, &inner, rule);
    room.inside_bytes += sk_ir_area_bytes(SK_EXT_ALL_WORDS * 4);
    return room;
}

/* Slower memory only for what has no place in the faster. */
static sk_status valid(const sk_spec *spec, const sk_schedule *s, const sk_target *target, sk_err *err)
{
    const int32_t rule = s->v[SK_T_room];
    if (s->v[SK_T_form] == SK_ATTN_TILE) return sk_mma_valid(spec, s, target, err);
    if (s->v[SK_T_form] != SK_ATTN_WARP)
        return sk_fail(err, SPHKV_EINVAL, "attn_extend has form=warp and form=tile");
    if (s->v[SK_T_warps] != 1 || s->v[SK_T_slab] != sk_tunable_value(SK_T_slab, 0) ||
        s->v[SK_T_mrows] != sk_tunable_value(SK_T_mrows, 0))
        return sk_fail(err, SPHKV_EINVAL, "form=warp has one warp, no slabs, and no matrices");
    if (rule == SK_ROOM_GLOBAL && room_of(spec, s, SK_ROOM_TABLES).inside_bytes <= target->shared_block)
        return sk_fail(err, SPHKV_EINVAL, "room=global where a block has room");
    return sk_gpu_home(target, (uint32_t)s->v[SK_T_blocks], room_of(spec, s, rule).inside_bytes, 32, err);
}

/* Rows that share a page as long as blocks are left that hide each other's latencies;
 * what is in shared memory as far as it goes. */
static void default_schedule(const sk_spec *spec, const sk_target *target, sk_schedule *out)
{
    static const struct {
        uint8_t rows, room, blocks;
    } order[] = {{48, SK_ROOM_SHARED, 4}, {48, SK_ROOM_TABLES, 4}, {24, SK_ROOM_TABLES, 4},
                 {24, SK_ROOM_TABLES, 2}, {24, SK_ROOM_TABLES, 1}, {24, SK_ROOM_GLOBAL, 4}};
    if (sk_mma_default(spec, target, out)) return;
    out->v[SK_T_form] = SK_ATTN_WARP;
    out->v[SK_T_warps] = 1;
    out->v[SK_T_slab] = sk_tunable_value(SK_T_slab, 0);
    out->v[SK_T_mrows] = sk_tunable_value(SK_T_mrows, 0);
    out->v[SK_T_qrows] = 6;
    for (uint32_t i = 0; i < SK_COUNT(order); i++) {
        out->v[SK_T_qtile] = order[i].rows;
        out->v[SK_T_room] = order[i].room;
        out->v[SK_T_blocks] = order[i].blocks;
        if (valid(spec, out, target, NULL) == SPHKV_OK) return;
    }
}

/* ---- programs -------------------------------------------------------------- */

static void parameters(sk_extend_grid *g)
{
    sk_extend *c = g->c;
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    g->q_indptr = sk_ir_param_ptr(b, "q_indptr", false);
    g->indptr = sk_ir_param_ptr(b, "indptr", false);
    g->io.refs = sk_ir_param_ptr(b, "refs", false);
    d->codebook = sk_ir_param_ptr(b, "codebook", false);
    d->arena = sk_ir_param_ptr(b, "arena", false);
    c->room.outside = sk_ir_param_ptr(b, "room", true);
    g->flags = sk_ir_param_u32(b, "flags");
    g->batch = sk_ir_param_u32(b, "batch");
    g->kv_heads = sk_ir_param_u32(b, "kv_heads");
    g->kv_first = sk_ir_param_u32(b, "kv_first");
    g->kv_count = sk_ir_param_u32(b, "kv_count");
    g->blocks = sk_ir_param_u32(b, "blocks");
    sk_extend_params(c, &g->io);
}

static void begin_block(sk_extend_grid *g)
{
    sk_builder *b = g->c->dec.b;
    parameters(g);
    g->block = sk_ir_block(b, 0);
    g->c->dec.item = sk_ir_name(b, sk_ir_shared(b, SK_EXT_ALL_WORDS * 4), "item");
}

static sk_status build_warp(const sk_spec *spec, const sk_schedule *sched, sk_builder *b, sk_arena *arena,
                            sk_program **out, sk_err *err)
{
    sk_extend extend, *c = &extend;
    sk_schedule inner;
    sk_extend_grid grid = {.c = c};
    sk_program *narrow;
    inner_schedule(sched, &inner);
    sk_status st = sk_rows_begin(b, spec, &inner, arena, "", err);
    if (st != SPHKV_OK) return st;
    sk_ir_occupancy(b, (uint32_t)sched->v[SK_T_blocks]);
    sk_extend_init(c, b, spec, &inner);
    c->room.rule = sched->v[SK_T_room];
    begin_block(&grid);
    const uint32_t outside = room_of(spec, sched, sched->v[SK_T_room]).outside_bytes;
    c->room.outside = sk_ir_ptr_add(b, c->room.outside, grid.block, outside);
    sk_extend_begin(c);
    sk_extend_deal(&grid);
    sk_extend_tile(c, &grid.io);
    sk_ir_end(b);
    st = sk_ir_finish(b, &narrow, err);
    return st == SPHKV_OK ? sk_ir_widen(narrow, arena, out, err) : st;
}

static sk_status build_tile(const sk_spec *spec, const sk_schedule *sched, sk_builder *b, sk_arena *arena,
                            sk_program **out, sk_err *err)
{
    sk_extend extend;
    sk_mma mma;
    sk_extend_grid grid = {.c = &extend};
    const sk_status st = sk_rows_begin(b, spec, sched, arena, "", err);
    if (st != SPHKV_OK) return st;
    sk_ir_occupancy(b, (uint32_t)sched->v[SK_T_blocks]);
    sk_mma_init(&mma, &extend, b, spec, sched);
    begin_block(&grid);
    sk_mma_begin(&mma);
    sk_extend_deal(&grid);
    sk_mma_tile(&mma, &grid.io);
    sk_ir_end(b);
    return sk_ir_finish(b, out, err);
}

static sk_status build(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena, sk_build *out,
                       sk_err *err)
{
    sk_builder builder;
    memset(out, 0, sizeof *out);
    out->n = 1;
    return (sched->v[SK_T_form] == SK_ATTN_TILE ? build_tile : build_warp)(spec, sched, &builder, arena,
                                                                           &out->program[0], err);
}

/* ---- host side ------------------------------------------------------------ */

typedef struct space {
    uint32_t blocks;
    size_t bytes; /* of all of them */
} space;

static uint32_t tile_tokens(const sk_spec *spec, const sk_schedule *s)
{
    if (s->v[SK_T_form] == SK_ATTN_WARP) return sk_extend_tokens(spec, s);
    return (uint32_t)(s->v[SK_T_mrows] * s->v[SK_T_warps]) / spec->heads_per_kv;
}

/* As many blocks as are at home at once, but no more than a run has tiles that is as
 * typical as the maxima say. */
static void prepare(sk_image *image)
{
    const sphkv_maxima *m = &image->maxima;
    space *a = (space *)(void *)image->own;
    const uint32_t tokens = tile_tokens(&image->spec, &image->schedule);
    const uint64_t home = (uint64_t)image->sms * (uint64_t)image->schedule.v[SK_T_blocks];
    const uint64_t tiles = (uint64_t)m->batch * m->kv_heads * ((m->q_len + tokens - 1) / tokens);
    a->blocks = (uint32_t)(home < tiles ? home : tiles > 0 ? tiles : 1);
    if (image->schedule.v[SK_T_form] != SK_ATTN_WARP) return;
    a->bytes = (size_t)a->blocks *
               room_of(&image->spec, &image->schedule, image->schedule.v[SK_T_room]).outside_bytes;
}

static size_t workspace(const sk_image *image)
{
    const space *a = sk_image_own(image);
    return a->bytes;
}

static uint32_t flags_of(const sk_extend_run_state *r)
{
    return (r->a.lse ? SK_EXT_WANTS_LSE : 0) | (r->look.shared ? SK_EXT_SHARED : 0) |
           (r->a.sinks ? SK_EXT_SINKS : 0) | (r->a.mask == SPHKV_MASK_CAUSAL ? SK_EXT_CAUSAL : 0);
}

static sk_status run(const sk_image *image, const void *args, uint32_t part, uint32_t of, sk_err *err)
{
    const space *a = sk_image_own(image);
    sk_extend_run_state r;
    sk_call call = {0};
    sk_status st = sk_items_part(image, part, of, err);
    /* what runs on the host is held to bounds that only the table tells */
    const bool device = image->launch && !image->launch_here;
    if (st == SPHKV_OK) st = sk_extend_read(&r, image, args, device, err);
    if (st != SPHKV_OK || r.a.batch == 0) return st;
    sk_call_ptr(&call, r.a.q_indptr, ((size_t)r.a.batch + 1) * 4);
    sk_call_ptr(&call, r.a.table.indptr, ((size_t)r.a.table.lists + 1) * 4);
    sk_call_ptr(&call, r.a.table.refs, r.look.refs_end * 8);
    sk_call_ptr(&call, r.a.codebook, r.a.codebook_bytes);
    sk_call_ptr(&call, r.a.arena, r.a.arena_bytes);
    sk_call_ptr(&call, r.a.workspace, a->bytes);
    sk_call_u32(&call, flags_of(&r));
    sk_call_u32(&call, r.a.batch);
    sk_call_u32(&call, image->maxima.kv_heads);
    sk_call_u32(&call, r.look.kv_first);
    sk_call_u32(&call, r.look.kv_count);
    sk_call_u32(&call, a->blocks);
    sk_extend_call(&r, &call);
    return sk_image_launch(image, 0, &call, a->blocks, r.a.stream, err);
}

const sk_kernel_form sk_extend_on_gpu = {
    .default_schedule = default_schedule,
    .valid = valid,
    .build = build,
    .prepare = prepare,
    .workspace = workspace,
    .run = run,
};
