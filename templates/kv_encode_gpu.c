/* kv_encode_gpu.c - kv_encode on a GPU: a block is one item, several where their
 * scratch does not fit in shared memory: then so many blocks as the workspace has
 * scratch for take them in turns. What a page becomes is in encode.h's parts. */
#include <string.h>

#include "kv_encode.h"

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

static uint32_t scratch_bytes(const sk_spec *spec, const sk_schedule *s)
{
    sk_enc c;
    sk_encode_init(&c, spec, s);
    return sk_encode_scratch_bytes(&c);
}

static sk_status valid(const sk_spec *spec, const sk_schedule *s, const sk_target *target,
                       sk_err *err)
{
    const sk_status st = sk_gpu_valid(spec, s, target, err);
    if (st != SPHKV_OK) return st;
    const uint32_t etok = (uint32_t)s->v[SK_T_etok], g = most_group(spec);
    if (!is_coded(spec) && (etok != 1 || s->v[SK_T_room] == SK_ROOM_TABLES))
        return sk_fail(err, SPHKV_EINVAL, "etok, or room=tables, without coded keys");
    if (etok * g > HELD_MOST)
        return sk_fail(err, SPHKV_EINVAL, "etok=%u: %u keys of a group in a lane's registers", etok,
                       etok * g);
    const uint32_t bytes = scratch_bytes(spec, s);
    if (s->v[SK_T_room] != SK_ROOM_GLOBAL && bytes > target->shared_block)
        return sk_fail(err, SPHKV_EINVAL, "%u bytes of scratch, a block has %u of shared memory",
                       bytes, target->shared_block);
    return SPHKV_OK;
}

/* Warps for as many chunks of tokens and spans as there are, up to 8. Scratch in
 * shared memory as long as two blocks fit side by side; else codewords, which are
 * what is largest and are only read, stay where they are; then all of it. */
static void default_schedule(const sk_spec *spec, const sk_target *target, sk_schedule *out)
{
    const uint32_t spans = is_coded(spec) ? most_spans(spec) : 8;
    const uint32_t turns = (spec->page + 31) / 32 * spans;
    out->v[SK_T_etok] = 1;
    out->v[SK_T_warps] = turns >= 8 ? 8 : 4;
    out->v[SK_T_room] = SK_ROOM_SHARED;
    if (scratch_bytes(spec, out) <= target->shared_sm / 2 - 1024 &&
        scratch_bytes(spec, out) <= target->shared_block)
        return;
    out->v[SK_T_room] = SK_ROOM_TABLES;
    if (is_coded(spec) && scratch_bytes(spec, out) <= target->shared_block) return;
    out->v[SK_T_room] = SK_ROOM_GLOBAL;
}

/* ---- building ------------------------------------------------------------- */

static sk_status build(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena, sk_build *out,
                       sk_err *err)
{
    sk_builder builder, *b = &builder;
    sk_enc enc, *c = &enc;
    const sk_status st = sk_rows_begin(b, spec, sched, arena, "", err);
    if (st != SPHKV_OK) return st;
    sk_encode_init(c, spec, sched);
    c->b = b;
    const sk_val items = sk_ir_param_ptr(b, "items", false);
    const sk_val src = sk_ir_param_ptr(b, "src", false);
    const sk_val dst = sk_ir_param_ptr(b, "dst", true);
    const sk_val book = sk_ir_param_ptr(b, "codebook", false);
    const sk_val room = sk_ir_param_ptr(b, "room", true);
    const sk_val count = sk_ir_param_u32(b, "items_count"), blocks = sk_ir_param_u32(b, "blocks");
    const sk_val block = sk_ir_block(b, 0);
    c->zero = sk_ir_u32(b, 0);
    c->lane = sk_ir_lane(b);
    if (sched->v[SK_T_room] == SK_ROOM_GLOBAL)
        c->room = sk_ir_ptr_add(b, room, block, sk_encode_scratch_bytes(c));
    sk_encode_scratch(c);
    const sk_val left = sk_op2(c, SK_OP_SUB, sk_op2(c, SK_OP_ADD, count, blocks),
                               sk_opk(c, SK_OP_ADD, block, 1));
    const sk_val turn = sk_ir_for(b, c->zero, sk_op2(c, SK_OP_UDIV, left, blocks), 1);
    const sk_val index = sk_op2(c, SK_OP_ADD, block, sk_op2(c, SK_OP_MUL, turn, blocks));
    sk_enc_sync(c); /* scratch of the last item is free */
    sk_encode_page(c, sk_ir_ptr_add(b, items, index, sizeof(sphkv_encode_item)), src, dst, book);
    sk_ir_end(b);
    memset(out, 0, sizeof *out);
    out->n = 1;
    return sk_ir_finish(b, &out->program[0], err);
}

/* ---- host side ------------------------------------------------------------ */

static uint32_t blocks_of(const sk_image *image, uint32_t items)
{
    const uint32_t most = BLOCKS_PER_SM * image->sms;
    return image->schedule.v[SK_T_room] == SK_ROOM_GLOBAL && items > most ? most : items;
}

static size_t workspace(const sk_image *image)
{
    if (image->schedule.v[SK_T_room] != SK_ROOM_GLOBAL) return 0;
    return (size_t)blocks_of(image, image->maxima.batch) *
           scratch_bytes(&image->spec, &image->schedule);
}

static sk_status run(const sk_image *image, const void *args, uint32_t part, uint32_t parts,
                     sk_err *err)
{
    sphkv_encode_args a;
    sk_status st = sk_items_part(image, part, parts, err);
    if (st == SPHKV_OK) st = sk_encode_args(image, args, &a, err);
    if (st == SPHKV_OK) st = sk_gpu_items(a.items, a.items_count, err);
    if (st != SPHKV_OK) return st;
    const uint32_t blocks = blocks_of(image, a.items_count);
    sk_call call = {0};
    sk_call_ptr(&call, a.items, a.items_count * sizeof *a.items);
    sk_call_ptr(&call, a.src_arena, a.src_arena_bytes);
    sk_call_ptr(&call, a.dst_arena, a.dst_arena_bytes);
    sk_call_ptr(&call, a.codebook, a.codebook_bytes);
    sk_call_ptr(&call, image->workspace ? a.workspace : NULL, image->workspace);
    sk_call_u32(&call, a.items_count);
    sk_call_u32(&call, blocks);
    return sk_image_launch(image, 0, &call, blocks, a.stream, err);
}

const sk_kernel_form sk_encode_on_gpu = {
    .default_schedule = default_schedule,
    .valid = valid,
    .build = build,
    .workspace = workspace,
    .run = run,
};
