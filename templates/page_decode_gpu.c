/* page_decode_gpu.c - page_decode on a GPU: a block is one item. Keys come in pieces of 32
 * tokens and 64 bytes of their rows, 16 or 32 dimensions (decode_lanes.h); 16-bit outputs
 * are packed in pairs, and a transposition in registers makes of 16 words of 32 rows 16
 * vectors, a piece of two rows each. All of a row's 128 bytes at once would take twice the
 * registers. Values: a lane is a word of a row. */
#include <string.h>

#include "decode_lanes.h"
#include "decode_rows.h"
#include "items.h"
#include "part_rope.h"
#include "part_unpack.h"
#include "rows.h"

#define WORDS 16u /* of a row, at once */

/* A page of 128 tokens and dimensions is 16 or 32 pieces. */
static void default_schedule(const sk_spec *spec, const sk_target *target, sk_schedule *out)
{
    (void)spec, (void)target;
    out->v[SK_T_warps] = 8;
}

/* ---- building ------------------------------------------------------------- */

enum { ITEM_UNIT, ITEM_TIER, ITEM_COUNT, ITEM_ROW, ITEM_HEAD, ITEM_WORDS };

static sk_op pack_op(const sk_numbers *c)
{
    return c->dec.spec->out_dtype == SPHKV_F16 ? SK_OP_PACKF16 : SK_OP_PACKBF16;
}

static void put_keys(sk_numbers *c, sk_val *x, sk_val t0, sk_val d0)
{
    const sk_number_rows *to = c->user;
    for (uint32_t i = 0; to->es == 2 && i < WORDS; i++)
        x[i] = sk_ir_2(c->dec.b, pack_op(c), x[2 * i], x[2 * i + 1]);
    sk_numbers_put_rows(c, to, x, t0, d0);
}

static void put_values(sk_numbers *c, const sk_val *x, sk_val t, sk_val word, sk_val inside)
{
    sk_dec *d = &c->dec;
    const sk_number_rows *to = c->user;
    const sk_val put = to->es == 4 ? sk_ir_1(d->b, SK_OP_BITS, x[0])
                                   : sk_ir_2(d->b, pack_op(c), x[0], x[1]);
    sk_ir_stg(d->b, sk_numbers_row(c, to, t, 0), sk_mul(d, word, 4), 0, put, inside);
}

/* The parameters of rows of keys (0) and values (1). */
typedef struct row_params {
    sk_val data, wanted, stride_row, stride_head;
} row_params;

static row_params row_params_of(sk_builder *b, bool values)
{
    row_params r;
    r.data = sk_ir_param_ptr(b, values ? "v" : "k", true);
    r.wanted = sk_ir_param_u32(b, values ? "v_wanted" : "k_wanted");
    r.stride_row = sk_ir_param_u32(b, values ? "v_row_stride" : "k_row_stride");
    r.stride_head = sk_ir_param_u32(b, values ? "v_head_stride" : "k_head_stride");
    return r;
}

static void decode_item(sk_numbers *c, uint32_t tier_slot, const sk_val f[ITEM_WORDS],
                        const row_params rows[2])
{
    sk_builder *b = c->dec.b;
    sk_number_rows *to = c->user;
    sk_page_layout lay;
    sk_page_layout_get(c->dec.spec, tier_slot, &lay);
    const sk_val page = sk_ir_ptr_add(b, c->dec.arena, f[ITEM_UNIT], SPHKV_UNIT_BYTES);
    for (uint32_t k = 0; k < 2; k++) {
        sk_ir_if(b, sk_ir_2(b, SK_OP_NE, rows[k].wanted, c->dec.zero));
        const sk_val head = sk_ir_2(b, SK_OP_MUL, f[ITEM_HEAD], rows[k].stride_head);
        const sk_val row = sk_ir_2(b, SK_OP_MUL, f[ITEM_ROW], rows[k].stride_row);
        to->rows = sk_ir_ptr_add(b, sk_ir_ptr_add(b, rows[k].data, head, to->es), row, to->es);
        to->stride = rows[k].stride_row;
        c->turned = k == 0; /* values are keys as they are stored */
        if (k == 0)
            sk_numbers_keys(c, tier_slot, &lay, page, c->dec.d);
        else if (c->dec.spec->tier[tier_slot].value == SK_VAL_KEY) {
            sk_ir_barrier(b); /* what keys have read of scratch is made anew */
            sk_numbers_keys(c, tier_slot, &lay, page, c->dec.dv);
        } else
            sk_numbers_values(c, tier_slot, &lay, page, 4 / to->es);
        sk_ir_end(b);
    }
}

static sk_val scratch(sk_builder *b, uint32_t bytes, const char *name)
{
    return bytes ? sk_ir_name(b, sk_ir_shared(b, bytes), name) : SK_NONE;
}

static sk_status build(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena, sk_build *out,
                       sk_err *err)
{
    sk_builder builder, *b = &builder;
    sk_numbers c;
    sk_number_rows to = {.es = spec->out_dtype == SPHKV_F32 ? 4 : 2};
    const sk_status st = sk_rows_begin(b, spec, sched, arena, "", err);
    if (st != SPHKV_OK) return st;
    /* steps that fit no group hold many codes at once: 255 registers, if they ask for them */
    sk_ir_occupancy(b, sched->v[SK_T_warps] < 8 ? 8 / (uint32_t)sched->v[SK_T_warps] : 1);
    sk_numbers_init(&c, b, spec, sched, WORDS * 4 / to.es);
    c.put_keys = put_keys;
    c.put_values = put_values;
    c.user = &to;
    const sk_val items = sk_ir_param_ptr(b, "items", false);
    c.dec.arena = sk_ir_param_ptr(b, "arena", false);
    c.dec.codebook = sk_ir_param_ptr(b, "codebook", false);
    row_params rows[2];
    for (uint32_t k = 0; k < 2; k++) rows[k] = row_params_of(b, k == 1);
    c.dec.zero = sk_ir_u32(b, 0);
    c.dec.lane = sk_ir_lane(b);
    c.where = scratch(b, sk_numbers_where_bytes(spec), "where");
    c.framed = scratch(b, sk_numbers_framed_bytes(spec), "framed");
    sk_rope_params(&c.dec);
    const sk_val item = sk_ir_ptr_add(b, items, sk_ir_block(b, 0), sizeof(sphkv_decode_item));
    sk_val f[ITEM_WORDS];
    for (uint32_t k = 0; k < ITEM_WORDS; k++) f[k] = sk_ir_ldu(b, SK_LD_U32, item, c.dec.zero, k * 4);
    c.count = f[ITEM_COUNT];
    c.set = sk_ir_ptr_add(b, c.dec.codebook, f[ITEM_HEAD], sk_codebook_head_bytes(spec));
    for (uint32_t k = 0; k < spec->ntiers; k++) {
        sk_ir_if(b, sk_ir_2k(b, SK_OP_EQ, f[ITEM_TIER], k));
        decode_item(&c, k, f, rows);
        sk_ir_end(b);
    }
    memset(out, 0, sizeof *out);
    out->n = 1;
    return sk_ir_finish(b, &out->program[0], err);
}

/* ---- host side ------------------------------------------------------------ */

/* Offsets of 32 bits reach the rows of 32 tokens. */
static sk_status check_stride(const sk_rows *rows, sk_err *err)
{
    if (rows->data == NULL || rows->stride_row <= UINT32_MAX / 128) return SPHKV_OK;
    return sk_fail(err, SPHKV_EINVAL, "rows of k or v are %u elements apart: at most %u on a GPU",
                   rows->stride_row, UINT32_MAX / 128);
}

static sk_status run(const sk_image *image, const void *args, uint32_t part, uint32_t parts,
                     sk_err *err)
{
    sk_decode_call r = {.image = image};
    sk_status st = sk_items_part(image, part, parts, err);
    if (st == SPHKV_OK) st = sk_decode_args(&r, args, err);
    if (st == SPHKV_OK) st = sk_gpu_items(r.a.items, r.a.items_count, err);
    if (st == SPHKV_OK) st = check_stride(&r.k, err);
    if (st == SPHKV_OK) st = check_stride(&r.v, err);
    if (st != SPHKV_OK || r.a.items_count == 0) return st;
    sk_call call = {0};
    sk_call_ptr(&call, r.a.items, r.a.items_count * sizeof *r.a.items);
    sk_call_ptr(&call, r.a.arena, r.a.arena_bytes);
    sk_call_ptr(&call, r.a.codebook, r.a.codebook_bytes);
    sk_decode_call_rows(&call, &r, &r.k);
    sk_decode_call_rows(&call, &r, &r.v);
    sk_rope_call(&call, &image->spec, &r.a.rope);
    return sk_image_launch(image, 0, &call, r.a.items_count, r.a.stream, err);
}

const sk_kernel_form sk_unrow_on_gpu = {
    .default_schedule = default_schedule,
    .valid = sk_gpu_valid,
    .build = build,
    .workspace = sk_gpu_no_workspace,
    .run = run,
};
