/* kv_append_gpu.c - kv_append on a GPU: a block is one item and owns its page. Lanes
 * are dimensions, so that rows are read side by side; the page has 16 tokens of a
 * dimension side by side. Where two tokens share a word, its lane takes both at
 * once and reads what the page holds only for one that is not of the item. */
#include <string.h>

#include "gpu.h"
#include "items.h"
#include "kv_append.h"
#include "rows.h"

/* 128 dimensions are a load of four warps. */
static void default_schedule(const sk_spec *spec, const sk_target *target, sk_schedule *out)
{
    (void)spec, (void)target;
    out->v[SK_T_warps] = 4;
}

/* ---- building ------------------------------------------------------------- */

typedef struct append {
    sk_builder *b;
    const sk_spec *spec;
    sk_page_layout lay;
    const sk_seg_layout *seg; /* of keys, the one at work */
    sk_val zero, lane;
    sk_val page;              /* address */
    sk_val slot, end;         /* slots of the item */
    sk_val rows, stride;      /* of keys, then of values: row of slot 0, elements to the next */
} append;

static sk_val op(append *c, sk_op o, sk_val x, sk_val y) { return sk_ir_2(c->b, o, x, y); }
static sk_val opk(append *c, sk_op o, sk_val x, uint32_t y) { return sk_ir_2k(c->b, o, x, y); }
static uint32_t element(const append *c) { return sk_ld_bytes(sk_rows_input_kind(c->spec->in_dtype)); }

/* The row of slot t. */
static sk_val row_of(append *c, sk_val t)
{
    return sk_ir_ptr_add(c->b, c->rows, op(c, SK_OP_MUL, op(c, SK_OP_SUB, t, c->slot), c->stride),
                         element(c));
}

static sk_val load(append *c, sk_val row, sk_val at, uint32_t disp, sk_val pred)
{
    return sk_ir_ldg(c->b, sk_rows_input_kind(c->spec->in_dtype), row,
                     opk(c, SK_OP_MUL, at, element(c)), disp, pred);
}

/* Keys of slot t, a word each. */
static void put_whole_keys(append *c, sk_val t)
{
    sk_builder *b = c->b;
    const sk_val column = op(c, SK_OP_ADD, opk(c, SK_OP_MUL, opk(c, SK_OP_SHR, t, 4), c->seg->dims * 64),
                             opk(c, SK_OP_MUL, opk(c, SK_OP_AND, t, 15), 4));
    const sk_val row = row_of(c, t);
    const sk_val dim = op(c, SK_OP_ADD, sk_gpu_turns(b, sk_ir_u32(b, c->seg->dims), 32), c->lane);
    const sk_val inside = opk(c, SK_OP_ULT, dim, c->seg->dims);
    const sk_val x = sk_ir_1(b, SK_OP_BITS, load(c, row, dim, c->seg->dim0 * element(c), inside));
    sk_ir_stg(b, c->page, op(c, SK_OP_ADD, column, opk(c, SK_OP_MUL, dim, 64)),
              c->seg->key_off, x, inside);
    sk_ir_end(b);
}

/* Keys of slots t and t + 1, t even, of which one may not be the item's. */
static void put_key_pairs(append *c, sk_ld_kind kind, sk_val t)
{
    sk_builder *b = c->b;
    const sk_val next = opk(c, SK_OP_ADD, t, 1);
    const sk_val first = op(c, SK_OP_ULE, c->slot, t), second = op(c, SK_OP_ULT, next, c->end);
    const sk_val none = sk_ir_1(b, SK_OP_PNOT, op(c, SK_OP_PAND, first, second));
    const sk_val low = sk_ir_3(b, SK_OP_SELECT, first, c->zero, sk_ir_u32(b, 0x0000ffffu));
    const sk_val high = sk_ir_3(b, SK_OP_SELECT, second, c->zero, sk_ir_u32(b, 0xffff0000u));
    const sk_val keep = op(c, SK_OP_OR, low, high);
    const sk_val column = op(c, SK_OP_ADD, opk(c, SK_OP_MUL, opk(c, SK_OP_SHR, t, 4), c->seg->dims * 32),
                             opk(c, SK_OP_MUL, opk(c, SK_OP_AND, t, 15), 2));
    const sk_val row = row_of(c, t), row1 = row_of(c, next);
    const sk_val dim = op(c, SK_OP_ADD, sk_gpu_turns(b, sk_ir_u32(b, c->seg->dims), 32), c->lane);
    const sk_val inside = opk(c, SK_OP_ULT, dim, c->seg->dims);
    const sk_val at = op(c, SK_OP_ADD, column, opk(c, SK_OP_MUL, dim, 32));
    const uint32_t field = c->seg->key_off, from = c->seg->dim0 * element(c);
    const sk_val x = load(c, row, dim, from, op(c, SK_OP_PAND, first, inside));
    const sk_val y = load(c, row1, dim, from, op(c, SK_OP_PAND, second, inside));
    const sk_val had = sk_ir_ldg(b, SK_LD_U32, c->page, at, field, op(c, SK_OP_PAND, none, inside));
    const sk_val both = op(c, kind == SK_LD_F16 ? SK_OP_PACKF16 : SK_OP_PACKBF16, x, y);
    sk_ir_stg(b, c->page, at, field, op(c, SK_OP_OR, both, op(c, SK_OP_AND, had, keep)), inside);
    sk_ir_end(b);
}

static void put_keys(append *c, uint32_t s)
{
    const sk_ld_kind kind = sk_rows_key_kind(c->spec->tier[0].seg[s].kind);
    c->seg = &c->lay.seg[s];
    if (kind == SK_LD_F32) {
        put_whole_keys(c, sk_ir_for(c->b, c->slot, c->end, 1));
    } else {
        const sk_val even = opk(c, SK_OP_AND, c->slot, ~1u);
        put_key_pairs(c, kind, sk_ir_for(c->b, even, c->end, 2));
    }
    sk_ir_end(c->b);
}

/* Values of one slot: 16 channels of a token lie together. */
static void put_values(append *c)
{
    sk_builder *b = c->b;
    const sk_ld_kind kind = sk_rows_value_kind(c->spec->tier[0].value);
    const uint32_t es = sk_ld_bytes(kind), per = 4 / es, words = c->spec->dv / per;
    const sk_val t = sk_ir_for(b, c->slot, c->end, 1), row = row_of(c, t);
    const sk_val word = op(c, SK_OP_ADD, sk_gpu_turns(b, sk_ir_u32(b, words), 32), c->lane);
    const sk_val inside = opk(c, SK_OP_ULT, word, words);
    const sk_val channel = opk(c, SK_OP_MUL, word, per);
    const sk_val block = opk(c, SK_OP_MUL, opk(c, SK_OP_SHR, channel, 4), c->lay.tp);
    const sk_val at = op(c, SK_OP_ADD, opk(c, SK_OP_MUL, op(c, SK_OP_ADD, block, t), 16 * es),
                         opk(c, SK_OP_MUL, opk(c, SK_OP_AND, channel, 15), es));
    const sk_val x = load(c, row, channel, 0, inside);
    sk_val put;
    if (per == 1)
        put = sk_ir_1(b, SK_OP_BITS, x);
    else
        put = op(c, kind == SK_LD_F16 ? SK_OP_PACKF16 : SK_OP_PACKBF16, x,
                 load(c, row, channel, element(c), inside));
    sk_ir_stg(b, c->page, at, c->lay.value_off, put, inside);
    sk_ir_end(b);
    sk_ir_end(b);
}

/* Positions of the slots, a lane each. */
static void put_positions(append *c, sk_val positions, sk_val row)
{
    sk_builder *b = c->b;
    const sk_val count = op(c, SK_OP_SUB, c->end, c->slot);
    const sk_val i = op(c, SK_OP_ADD, sk_gpu_turns(b, count, 32), c->lane);
    const sk_val inside = op(c, SK_OP_ULT, i, count);
    const sk_val from = sk_ir_ptr_add(b, positions, row, 4);
    const sk_val x = sk_ir_ldg(b, SK_LD_U32, from, opk(c, SK_OP_MUL, i, 4), 0, inside);
    sk_ir_stg(b, c->page, opk(c, SK_OP_MUL, op(c, SK_OP_ADD, c->slot, i), 4), c->lay.pos_off, x,
              inside);
    sk_ir_end(b);
}

static sk_status build(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena, sk_build *out,
                       sk_err *err)
{
    sk_builder builder, *b = &builder;
    append appending = {.b = b, .spec = spec}, *c = &appending;
    const sk_status st = sk_rows_begin(b, spec, sched, arena, "", err);
    if (st != SPHKV_OK) return st;
    sk_page_layout_get(spec, 0, &c->lay);
    const sk_val items = sk_ir_param_ptr(b, "items", false);
    const sk_val data[2] = {sk_ir_param_ptr(b, "k", false), sk_ir_param_ptr(b, "v", false)};
    const sk_val pages = sk_ir_param_ptr(b, "arena", true);
    sk_val stride[2][2]; /* row, head */
    stride[0][0] = sk_ir_param_u32(b, "k_row_stride");
    stride[0][1] = sk_ir_param_u32(b, "k_head_stride");
    stride[1][0] = sk_ir_param_u32(b, "v_row_stride");
    stride[1][1] = sk_ir_param_u32(b, "v_head_stride");
    sk_val positions = SK_NONE;
    if (c->lay.pos_off != SK_NO_FIELD) positions = sk_ir_param_ptr(b, "positions", false);
    c->zero = sk_ir_u32(b, 0);
    c->lane = sk_ir_lane(b);
    const sk_val item = sk_ir_ptr_add(b, items, sk_ir_block(b, 0), sizeof(sphkv_append_item));
    sk_val f[5]; /* unit, slot, count, row, kv_head */
    for (uint32_t i = 0; i < 5; i++) f[i] = sk_ir_ldu(b, SK_LD_U32, item, c->zero, i * 4);
    c->page = sk_ir_name(b, sk_ir_ptr_add(b, pages, f[0], SPHKV_UNIT_BYTES), "page");
    c->slot = sk_ir_name(b, f[1], "slot");
    c->end = sk_ir_name(b, op(c, SK_OP_ADD, f[1], f[2]), "end");
    for (uint32_t k = 0; k < 2; k++) {
        const sk_val head = sk_ir_ptr_add(b, data[k], op(c, SK_OP_MUL, f[4], stride[k][1]), element(c));
        c->rows = sk_ir_ptr_add(b, head, op(c, SK_OP_MUL, f[3], stride[k][0]), element(c));
        c->stride = stride[k][0];
        for (uint32_t s = 0; k == 0 && s < c->lay.nseg; s++) put_keys(c, s);
        if (k == 1 && sk_append_values(spec)) put_values(c);
    }
    if (positions != SK_NONE) put_positions(c, positions, f[3]);
    memset(out, 0, sizeof *out);
    out->n = 1;
    return sk_ir_finish(b, &out->program[0], err);
}

/* ---- host side ------------------------------------------------------------ */

static sk_status run(const sk_image *image, const void *args, uint32_t part, uint32_t parts,
                     sk_err *err)
{
    sphkv_append_args a;
    sk_append_rows rows;
    sk_status st = sk_items_part(image, part, parts, err);
    if (st == SPHKV_OK) st = sk_append_args(image, args, &a, &rows, err);
    if (st == SPHKV_OK) st = sk_gpu_items(a.items, a.items_count, err);
    if (st != SPHKV_OK) return st;
    sk_call call = {0};
    sk_call_ptr(&call, a.items, a.items_count * sizeof *a.items);
    sk_call_ptr(&call, a.k, SK_GPU_OPEN);
    sk_call_ptr(&call, a.v, a.v ? SK_GPU_OPEN : 0);
    sk_call_ptr(&call, a.arena, a.arena_bytes);
    sk_call_u32(&call, rows.k.stride_row);
    sk_call_u32(&call, rows.k.stride_head);
    sk_call_u32(&call, rows.v.stride_row);
    sk_call_u32(&call, rows.v.stride_head);
    if (sk_append_positions(&image->spec)) sk_call_ptr(&call, a.positions, SK_GPU_OPEN);
    return sk_image_launch(image, 0, &call, a.items_count, a.stream, err);
}

const sk_kernel_form sk_append_on_gpu = {
    .default_schedule = default_schedule,
    .valid = sk_gpu_valid,
    .build = build,
    .workspace = sk_gpu_no_workspace,
    .run = run,
};
