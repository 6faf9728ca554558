/* page_gather_gpu.c - page_gather on a GPU: a block is a piece of an item's page; a
 * lane copies 16 bytes at a time and has several of them under way. Pieces go
 * round: what the blocks of a page ask for at one time lies side by side. */
#include <string.h>

#include "gpu.h"
#include "items.h"
#include "page_gather.h"
#include "rows.h"

#define QUAD 16u /* bytes */

/* Four loads in each lane of four warps, 8 KiB, are in the range of what a block
 * must have under way when a multiprocessor holds a few of them; pieces of a page
 * about as long, so that few pages are enough to fill a GPU. */
static void default_schedule(const sk_spec *spec, const sk_target *target, sk_schedule *out)
{
    uint32_t most = 0, pieces = 1;
    (void)target;
    for (uint32_t i = 0; i < spec->ntiers; i++) {
        sk_page_layout lay;
        sk_page_layout_get(spec, i, &lay);
        if (lay.units > most) most = lay.units;
    }
    while (pieces < 16 && most * SPHKV_UNIT_BYTES > pieces * 2 * 8192) pieces *= 2;
    out->v[SK_T_warps] = 4;
    out->v[SK_T_flight] = 4;
    out->v[SK_T_pieces] = (int32_t)pieces;
}

static sk_status build(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena, sk_build *out,
                       sk_err *err)
{
    sk_builder builder, *b = &builder;
    const uint32_t flight = (uint32_t)sched->v[SK_T_flight], pieces = (uint32_t)sched->v[SK_T_pieces];
    const sk_status st = sk_rows_begin(b, spec, sched, arena, "", err);
    if (st != SPHKV_OK) return st;
    const sk_val items = sk_ir_param_ptr(b, "items", false);
    const sk_val src = sk_ir_param_ptr(b, "src", false);
    const sk_val dst = sk_ir_param_ptr(b, "dst", true);
    const sk_val zero = sk_ir_u32(b, 0), block = sk_ir_block(b, 0), lane = sk_ir_lane(b);
    const sk_val index = sk_ir_2k(b, SK_OP_SHR, block, (uint32_t)__builtin_ctz(pieces));
    const sk_val piece = sk_ir_2k(b, SK_OP_AND, block, pieces - 1);
    const sk_val item = sk_ir_ptr_add(b, items, index, sizeof(sphkv_gather_item));
    sk_val from = sk_ir_ldu(b, SK_LD_U32, item, zero, 0), to = sk_ir_ldu(b, SK_LD_U32, item, zero, 4);
    from = sk_ir_name(b, sk_ir_ptr_add(b, src, from, SPHKV_UNIT_BYTES), "from");
    to = sk_ir_name(b, sk_ir_ptr_add(b, dst, to, SPHKV_UNIT_BYTES), "to");
    const sk_val quads = sk_ir_name(
        b, sk_ir_2k(b, SK_OP_MUL, sk_gather_units(b, spec, item, zero), SPHKV_UNIT_BYTES / QUAD), "quads");
    const uint32_t step = 32 * flight, turn = step * b->program->warps;
    const sk_val mine = sk_ir_2k(b, SK_OP_MUL, sk_ir_0(b, SK_OP_WARP, 0), step);
    const sk_val first = sk_ir_2(b, SK_OP_ADD, mine, sk_ir_2k(b, SK_OP_MUL, piece, turn));
    const sk_val q = sk_ir_for(b, first, quads, turn * pieces);
    const sk_val off = sk_ir_2k(b, SK_OP_MUL, lane, QUAD), left = sk_ir_2(b, SK_OP_SUB, quads, q);
    from = sk_ir_ptr_add(b, from, q, QUAD);
    to = sk_ir_ptr_add(b, to, q, QUAD);
    sk_val x[8], inside[8];
    for (uint32_t k = 0; k < flight; k++) {
        inside[k] = sk_ir_2(b, SK_OP_ULT, sk_ir_2k(b, SK_OP_ADD, lane, k * 32), left);
        x[k] = sk_ir_ldq(b, from, off, k * 32 * QUAD, inside[k]);
    }
    for (uint32_t k = 0; k < flight; k++) sk_ir_stq(b, to, off, k * 32 * QUAD, x[k], inside[k]);
    sk_ir_end(b);
    memset(out, 0, sizeof *out);
    out->n = 1;
    return sk_ir_finish(b, &out->program[0], err);
}

static sk_status run(const sk_image *image, const void *args, uint32_t part, uint32_t parts,
                     sk_err *err)
{
    sphkv_gather_args a;
    sk_status st = sk_items_part(image, part, parts, err);
    if (st == SPHKV_OK) st = sk_gather_args(image, args, &a, err);
    if (st == SPHKV_OK) st = sk_gpu_items(a.items, a.items_count, err);
    if (st != SPHKV_OK) return st;
    sk_call call = {0};
    sk_call_ptr(&call, a.items, a.items_count * sizeof *a.items);
    sk_call_ptr(&call, a.src_arena, a.src_arena_bytes);
    sk_call_ptr(&call, a.dst_arena, a.dst_arena_bytes);
    const uint32_t blocks = a.items_count * (uint32_t)image->schedule.v[SK_T_pieces];
    return sk_image_launch(image, 0, &call, blocks, a.stream, err);
}

const sk_kernel_form sk_gather_on_gpu = {
    .default_schedule = default_schedule,
    .valid = sk_gpu_valid,
    .build = build,
    .workspace = sk_gpu_no_workspace,
    .run = run,
};
