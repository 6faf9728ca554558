/* kv_encode_gpu.c - kv_encode on a GPU: a block is one item, several where their
 * scratch does not fit in shared memory: then so many blocks as the workspace has
 * scratch for take them in turns. What a page becomes is in encode.h's parts. What goes
 * around them is page_retier's, too (kv_encode.h). */
#include <string.h>

#include "kv_encode.h"
#include "part_rope.h"

#define BLOCKS_PER_SM 2u /* with scratch in global memory */
#define HELD_MOST 64u    /* keys of a group that a lane holds in registers */

/* ---- schedules -------------------------------------------------------------- */

static bool is_coded(const sk_spec *spec) { return !sk_tier_is_dense(&spec->tier[0]); }

/* Of coded segments, the largest group, and the most spans. */
static uint32_t most_group(const sk_spec *spec)
{
    const sk_tier *tier = &spec->tier[0];
    uint32_t most = 1;
    for (uint32_t s = 0; s < tier->nseg; s++)
        if (tier->seg[s].kind == SK_KEY_CODED && tier->seg[s].g > most) most = tier->seg[s].g;
    return most;
}

static uint32_t most_spans(const sk_spec *spec)
{
    sk_page_layout lay;
    uint32_t most = 1;
    sk_page_layout_get(spec, 0, &lay);
    for (uint32_t s = 0; s < lay.nseg; s++)
        if (lay.seg[s].spans > most) most = lay.seg[s].spans;
    return most;
}

uint32_t sk_encode_scratch_of(const sk_spec *spec, const sk_schedule *s)
{
    sk_enc c;
    sk_encode_init(&c, spec, s);
    return sk_encode_scratch_bytes(&c);
}

sk_status sk_encode_gpu_valid(const sk_spec *spec, const sk_schedule *s, uint32_t shared,
                              const sk_target *target, sk_err *err)
{
    const sk_status st = sk_gpu_valid(spec, s, target, err);
    if (st != SPHKV_OK) return st;
    const uint32_t etok = (uint32_t)s->v[SK_T_etok], g = most_group(spec);
    if (!is_coded(spec) && etok != 1) return sk_fail(err, SPHKV_EINVAL, "etok without coded keys");
    if (etok * g > HELD_MOST)
        return sk_fail(err, SPHKV_EINVAL, "etok=%u: %u keys of a group in a lane's registers", etok,
                       etok * g);
    if (shared > target->shared_block)
        return sk_fail(err, SPHKV_EINVAL, "%u bytes of scratch, a block has %u of shared memory",
                       shared, target->shared_block);
    return SPHKV_OK;
}

/* Warps for as many chunks of tokens and spans as there are, up to 8. */
void sk_encode_gpu_default(const sk_spec *spec, sk_schedule *out)
{
    const uint32_t spans = is_coded(spec) ? most_spans(spec) : 8;
    const uint32_t turns = (spec->page + 31) / 32 * spans;
    out->v[SK_T_etok] = 1;
    out->v[SK_T_warps] = turns >= 8 ? 8 : 4;
    out->v[SK_T_room] = SK_ROOM_SHARED;
}

bool sk_encode_gpu_roomy(const sk_target *target, uint32_t shared)
{
    return shared <= target->shared_sm / 2 - 1024 && shared <= target->shared_block;
}

static uint32_t shared_bytes(const sk_spec *spec, const sk_schedule *s)
{
    return s->v[SK_T_room] == SK_ROOM_GLOBAL ? 0 : sk_encode_scratch_of(spec, s);
}

static sk_status valid(const sk_spec *spec, const sk_schedule *s, const sk_target *target,
                       sk_err *err)
{
    if (!is_coded(spec) && s->v[SK_T_room] == SK_ROOM_TABLES)
        return sk_fail(err, SPHKV_EINVAL, "room=tables without coded keys");
    return sk_encode_gpu_valid(spec, s, shared_bytes(spec, s), target, err);
}

/* Scratch in shared memory as long as two blocks fit side by side; else codewords, which
 * are what is largest and are only read, stay where they are; then all of it. */
static void default_schedule(const sk_spec *spec, const sk_target *target, sk_schedule *out)
{
    sk_encode_gpu_default(spec, out);
    if (sk_encode_gpu_roomy(target, shared_bytes(spec, out))) return;
    out->v[SK_T_room] = SK_ROOM_TABLES;
    if (is_coded(spec) && shared_bytes(spec, out) <= target->shared_block) return;
    out->v[SK_T_room] = SK_ROOM_GLOBAL;
}

/* ---- building ------------------------------------------------------------- */

void sk_encode_grid_begin(sk_encode_grid *g, sk_builder *b, uint32_t room)
{
    g->b = b;
    g->items = sk_ir_param_ptr(b, "items", false);
    g->src = sk_ir_param_ptr(b, "src", false);
    g->dst = sk_ir_param_ptr(b, "dst", true);
    g->book = sk_ir_param_ptr(b, "codebook", false);
    const sk_val rooms = sk_ir_param_ptr(b, "room", true);
    g->count = sk_ir_param_u32(b, "items_count");
    g->blocks = sk_ir_param_u32(b, "blocks");
    g->block = sk_ir_block(b, 0);
    g->room = room ? sk_ir_ptr_add(b, rooms, g->block, room) : SK_NONE;
}

sk_val sk_encode_grid_item(const sk_encode_grid *g)
{
    sk_builder *b = g->b;
    const sk_val left = sk_ir_2(b, SK_OP_SUB, sk_ir_2(b, SK_OP_ADD, g->count, g->blocks),
                                sk_ir_2k(b, SK_OP_ADD, g->block, 1));
    const sk_val turn = sk_ir_for(b, sk_ir_u32(b, 0), sk_ir_2(b, SK_OP_UDIV, left, g->blocks), 1);
    const sk_val index = sk_ir_2(b, SK_OP_ADD, g->block, sk_ir_2(b, SK_OP_MUL, turn, g->blocks));
    sk_ir_barrier(b); /* scratch of the last item is free */
    return sk_ir_ptr_add(b, g->items, index, sizeof(sphkv_encode_item));
}

/* Bytes of scratch that a block has in the workspace. */
static uint32_t room_bytes(const sk_spec *spec, const sk_schedule *s)
{
    return s->v[SK_T_room] == SK_ROOM_GLOBAL ? sk_encode_scratch_of(spec, s) : 0;
}

void sk_encode_gpu_occupancy(sk_builder *b, const sk_spec *spec, const sk_schedule *s)
{
    const uint32_t warps = (uint32_t)s->v[SK_T_warps];
    bool several = false;
    for (uint32_t i = 0; i < spec->tier[0].nseg; i++) several |= spec->tier[0].seg[i].more > 0;
    if (several) sk_ir_occupancy(b, warps < 8 ? 8 / warps : 1);
}

static sk_status build(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena, sk_build *out,
                       sk_err *err)
{
    sk_builder builder, *b = &builder;
    sk_encode_grid grid;
    sk_enc enc, *c = &enc;
    const sk_status st = sk_rows_begin(b, spec, sched, arena, "", err);
    if (st != SPHKV_OK) return st;
    sk_encode_gpu_occupancy(b, spec, sched);
    sk_encode_init(c, spec, sched);
    c->b = b;
    sk_encode_grid_begin(&grid, b, room_bytes(spec, sched));
    c->zero = sk_ir_u32(b, 0);
    c->lane = sk_ir_lane(b);
    c->room = grid.room;
    sk_encode_scratch(c);
    sk_encode_page(c, sk_encode_grid_item(&grid), grid.src, grid.dst, grid.book);
    sk_ir_end(b);
    memset(out, 0, sizeof *out);
    out->n = 1;
    return sk_ir_finish(b, &out->program[0], err);
}

/* ---- host side ------------------------------------------------------------ */

static uint32_t blocks_of(const sk_image *image, uint32_t items, uint32_t room)
{
    const uint32_t most = BLOCKS_PER_SM * image->sms;
    return room > 0 && items > most ? most : items;
}

size_t sk_encode_gpu_rooms(const sk_image *image, uint32_t room)
{
    return (size_t)blocks_of(image, image->maxima.batch, room) * room;
}

sk_status sk_encode_gpu_run(const sk_image *image, uint32_t room, const void *args, uint32_t part,
                            uint32_t parts, sk_err *err)
{
    sphkv_encode_args a;
    sk_status st = sk_items_part(image, part, parts, err);
    if (st == SPHKV_OK) st = sk_encode_args(image, args, &a, err);
    if (st == SPHKV_OK) st = sk_gpu_items(a.items, a.items_count, err);
    if (st != SPHKV_OK) return st;
    const uint32_t blocks = blocks_of(image, a.items_count, room);
    sk_call call = {0};
    sk_call_ptr(&call, a.items, a.items_count * sizeof *a.items);
    sk_call_ptr(&call, a.src_arena, a.src_arena_bytes);
    sk_call_ptr(&call, a.dst_arena, a.dst_arena_bytes);
    sk_call_ptr(&call, a.codebook, a.codebook_bytes);
    sk_call_ptr(&call, image->workspace ? a.workspace : NULL, image->workspace);
    sk_call_u32(&call, a.items_count);
    sk_call_u32(&call, blocks);
    if (sk_encode_turns(&image->spec)) sk_rope_call(&call, &image->spec, &a.rope);
    return sk_image_launch(image, 0, &call, blocks, a.stream, err);
}

static size_t workspace(const sk_image *image)
{
    return sk_encode_gpu_rooms(image, room_bytes(&image->spec, &image->schedule));
}

static sk_status run(const sk_image *image, const void *args, uint32_t part, uint32_t parts,
                     sk_err *err)
{
    return sk_encode_gpu_run(image, room_bytes(&image->spec, &image->schedule), args, part, parts, err);
}

const sk_kernel_form sk_encode_on_gpu = {
    .default_schedule = default_schedule,
    .valid = valid,
    .build = build,
    .workspace = workspace,
    .run = run,
};
