/* attn_merge_gpu.c - attn_merge on a GPU: a warp is one row of the output. It reads
 * the lse of all its sources, then goes over the channels, of all sources at once:
 * nothing is kept in memory between sources, and one launch does it all. The
 * places of sources that are not there are parameters too, never followed. */
#include <math.h>
#include <string.h>

#include "attn_merge.h"
#include "gpu.h"
#include "items.h"
#include "rows.h"

/* Rows are short: several to a block, so that a multiprocessor holds many. */
static void default_schedule(const sk_spec *spec, const sk_target *target, sk_schedule *out)
{
    (void)spec, (void)target;
    out->v[SK_T_warps] = 4;
}

/* ---- building ------------------------------------------------------------- */

/* A tensor of rows as parameters; strides in bytes. */
typedef struct place {
    sk_val out, lse, out_seq, out_head, lse_seq;
} place;

typedef struct merge {
    sk_builder *b;
    const sk_spec *spec;
    sk_val zero, lane, seq, head;
    place from[SPHKV_MAX_SOURCES], to;
    sk_val lse[SPHKV_MAX_SOURCES];   /* minus infinity where there is no source */
    sk_val alive[SPHKV_MAX_SOURCES]; /* it has seen tokens */
    sk_val weight[SPHKV_MAX_SOURCES];
    sk_val sinks, sink_wanted;       /* of the variant */
} merge;

static place place_of(sk_builder *b, bool written)
{
    place p;
    p.out = sk_ir_param_ptr(b, written ? "out" : "source", written);
    p.lse = sk_ir_param_ptr(b, written ? "lse" : "source_lse", written);
    p.out_seq = sk_ir_param_u32(b, written ? "out_seq_bytes" : "source_seq_bytes");
    p.out_head = sk_ir_param_u32(b, written ? "out_head_bytes" : "source_head_bytes");
    p.lse_seq = sk_ir_param_u32(b, written ? "lse_seq_bytes" : "source_lse_seq_bytes");
    return p;
}

/* seq * by_seq + head * by_head, bytes. */
static sk_val row_off(merge *c, sk_val by_seq, sk_val by_head)
{
    return sk_ir_2(c->b, SK_OP_ADD, sk_ir_2(c->b, SK_OP_MUL, c->seq, by_seq),
                   sk_ir_2(c->b, SK_OP_MUL, c->head, by_head));
}

/* The head's sink; minus infinity where there is none. */
static sk_val sink_of(merge *c)
{
    sk_builder *b = c->b;
    const sk_val there = sk_ir_2(b, SK_OP_NE, c->sink_wanted, c->zero);
    const sk_val x =
        sk_ir_ldg(b, SK_LD_F32, c->sinks, sk_ir_2k(b, SK_OP_MUL, c->head, 4), 0, there);
    return sk_ir_3(b, SK_OP_SELECT, there, x, sk_ir_f32(b, -INFINITY));
}

/* Weights of all sources; the row's lse, and one over their sum in *inv. */
static sk_val weigh(merge *c, sk_val count, sk_val *inv)
{
    sk_builder *b = c->b;
    const sk_val none = sk_ir_f32(b, -INFINITY), zero = sk_ir_f32(b, 0.0f), four = sk_ir_u32(b, 4);
    sk_val m = none, l = zero;
    for (uint32_t i = 0; i < SPHKV_MAX_SOURCES; i++) {
        const sk_val there = sk_ir_2(b, SK_OP_ULT, sk_ir_u32(b, i), count);
        const sk_val at = row_off(c, c->from[i].lse_seq, four);
        const sk_val x = sk_ir_ldg(b, SK_LD_F32, c->from[i].lse, at, 0, there);
        c->lse[i] = sk_ir_3(b, SK_OP_SELECT, there, x, none);
    }
    for (uint32_t i = 0; i < SPHKV_MAX_SOURCES; i++) {
        c->alive[i] = sk_ir_2(b, SK_OP_FLT, none, c->lse[i]);
        m = sk_ir_3(b, SK_OP_SELECT, c->alive[i], sk_ir_2(b, SK_OP_FMAX, m, c->lse[i]), m);
    }
    sk_val sink = SK_NONE, sunk = SK_NONE;
    if (c->spec->variants & SPHKV_VARIANT_SINK) {
        sink = sink_of(c);
        sunk = sk_ir_2(b, SK_OP_FLT, none, sink);
        m = sk_ir_3(b, SK_OP_SELECT, sunk, sk_ir_2(b, SK_OP_FMAX, m, sink), m);
    }
    for (uint32_t i = 0; i < SPHKV_MAX_SOURCES; i++) {
        const sk_val w = sk_merge_weight(b, c->lse[i], m);
        c->weight[i] = sk_ir_3(b, SK_OP_SELECT, c->alive[i], w, zero);
        l = sk_ir_2(b, SK_OP_FADD, l, c->weight[i]);
    }
    if (sink != SK_NONE)
        l = sk_ir_2(b, SK_OP_FADD, l,
                    sk_ir_3(b, SK_OP_SELECT, sunk, sk_merge_weight(b, sink, m), zero));
    const sk_val some = sk_ir_2(b, SK_OP_FLT, zero, l);
    *inv = sk_ir_3(b, SK_OP_SELECT, some, sk_ir_2(b, SK_OP_FDIV, sk_ir_f32(b, 1.0f), l), zero);
    return sk_merge_lse(b, m, l, some);
}

/* Channels c0 + lane (16-bit outputs: 2 * lane and the next) of the row. */
static void put_channels(merge *c, const sk_val *row, sk_val to, sk_val inv)
{
    sk_builder *b = c->b;
    const bool wide = c->spec->out_dtype == SPHKV_F32;
    const sk_ld_kind kind = sk_rows_input_kind(c->spec->in_dtype);
    const uint32_t es = sk_ld_bytes(kind), per = wide ? 1 : 2;
    const sk_val c0 = sk_ir_for(b, c->zero, sk_ir_u32(b, c->spec->dv), 32 * per);
    const sk_val mine = sk_ir_2(b, SK_OP_ADD, c0, sk_ir_2k(b, SK_OP_MUL, c->lane, per));
    const sk_val inside = sk_ir_2k(b, SK_OP_ULT, mine, c->spec->dv);
    const sk_val off = sk_ir_2k(b, SK_OP_MUL, mine, es);
    sk_val x[2][SPHKV_MAX_SOURCES], sum[2];
    for (uint32_t i = 0; i < SPHKV_MAX_SOURCES; i++) {
        const sk_val there = sk_ir_2(b, SK_OP_PAND, c->alive[i], inside);
        for (uint32_t k = 0; k < per; k++)
            x[k][i] = sk_ir_ldg(b, kind, row[i], off, k * es, there);
    }
    for (uint32_t k = 0; k < per; k++) {
        sum[k] = sk_ir_f32(b, 0.0f);
        for (uint32_t i = 0; i < SPHKV_MAX_SOURCES; i++)
            sum[k] = sk_ir_3(b, SK_OP_FMA, x[k][i], c->weight[i], sum[k]);
        sum[k] = sk_ir_2(b, SK_OP_FMUL, sum[k], inv);
    }
    const sk_op pack = c->spec->out_dtype == SPHKV_F16 ? SK_OP_PACKF16 : SK_OP_PACKBF16;
    const sk_val word = wide ? sk_ir_1(b, SK_OP_BITS, sum[0]) : sk_ir_2(b, pack, sum[0], sum[1]);
    sk_ir_stg(b, to, sk_ir_2k(b, SK_OP_MUL, mine, wide ? 4 : 2), 0, word, inside);
    sk_ir_end(b);
}

static void put_row(merge *c, sk_val count, sk_val lse_wanted)
{
    sk_builder *b = c->b;
    sk_val row[SPHKV_MAX_SOURCES], inv;
    const sk_val lse = weigh(c, count, &inv);
    for (uint32_t i = 0; i < SPHKV_MAX_SOURCES; i++)
        row[i] = sk_ir_ptr_add(b, c->from[i].out,
                               row_off(c, c->from[i].out_seq, c->from[i].out_head), 1);
    const sk_val to = sk_ir_ptr_add(b, c->to.out, row_off(c, c->to.out_seq, c->to.out_head), 1);
    put_channels(c, row, to, inv);
    sk_ir_if(b, sk_ir_2(b, SK_OP_NE, lse_wanted, c->zero));
    sk_ir_stu(b, c->to.lse, row_off(c, c->to.lse_seq, sk_ir_u32(b, 4)), 0, sk_ir_extract(b, lse, 0));
    sk_ir_end(b);
}

static sk_status build(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena, sk_build *out,
                       sk_err *err)
{
    sk_builder builder, *b = &builder;
    merge merging = {.b = b, .spec = spec}, *c = &merging;
    const sk_status st = sk_rows_begin(b, spec, sched, arena, "", err);
    if (st != SPHKV_OK) return st;
    for (uint32_t i = 0; i < SPHKV_MAX_SOURCES; i++) c->from[i] = place_of(b, false);
    c->to = place_of(b, true);
    const sk_val count = sk_ir_param_u32(b, "sources");
    const sk_val rows = sk_ir_param_u32(b, "rows"), heads = sk_ir_param_u32(b, "heads");
    const sk_val lse_wanted = sk_ir_param_u32(b, "lse_wanted");
    if (spec->variants & SPHKV_VARIANT_SINK) {
        c->sinks = sk_ir_param_ptr(b, "sinks", false);
        c->sink_wanted = sk_ir_param_u32(b, "sink_wanted");
    }
    c->zero = sk_ir_u32(b, 0);
    c->lane = sk_ir_lane(b);
    const sk_val first = sk_ir_2k(b, SK_OP_MUL, sk_ir_block(b, 0), b->program->warps);
    const sk_val row = sk_ir_2(b, SK_OP_ADD, first, sk_ir_0(b, SK_OP_WARP, 0));
    sk_ir_if(b, sk_ir_2(b, SK_OP_ULT, row, rows));
    c->seq = sk_ir_name(b, sk_ir_2(b, SK_OP_UDIV, row, heads), "seq");
    c->head = sk_ir_name(b, sk_ir_2(b, SK_OP_UREM, row, heads), "head");
    put_row(c, count, lse_wanted);
    sk_ir_end(b);
    memset(out, 0, sizeof *out);
    out->n = 1;
    return sk_ir_finish(b, &out->program[0], err);
}

/* ---- host side ------------------------------------------------------------ */

/* Offsets of 32 bits reach every row: sk_merge_args has seen to it. */
static void call_place(sk_call *call, const sk_image *image, const void *out, const sk_merge_rows *r,
                       const float *lse, uint32_t lse_stride, uint32_t batch)
{
    const uint32_t heads = image->maxima.kv_heads * image->spec.heads_per_kv;
    sk_call_ptr(call, out, out ? sk_merge_rows_bytes(image, r, batch) : 0);
    sk_call_ptr(call, lse, lse ? sk_merge_lse_bytes(image, lse_stride, batch) : 0);
    sk_call_u32(call, (uint32_t)(r->seq * r->es));
    sk_call_u32(call, (uint32_t)(r->head * r->es));
    sk_call_u32(call, (lse_stride ? lse_stride : heads) * 4);
}

static sk_status run(const sk_image *image, const void *args, uint32_t part, uint32_t parts,
                     sk_err *err)
{
    sphkv_merge_args a;
    sk_status st = sk_items_part(image, part, parts, err);
    if (st == SPHKV_OK) st = sk_merge_args(image, args, &a, err);
    if (st != SPHKV_OK) return st;
    const sk_spec *spec = &image->spec;
    const uint32_t heads = image->maxima.kv_heads * spec->heads_per_kv, rows = a.batch * heads;
    const uint32_t warps = (uint32_t)image->schedule.v[SK_T_warps];
    sk_call call = {0};
    for (uint32_t i = 0; i < SPHKV_MAX_SOURCES; i++) {
        const bool there = i < a.sources_count;
        const sphkv_merge_source s = there ? a.sources[i] : (sphkv_merge_source){0};
        const sk_merge_rows r =
            sk_merge_rows_make(image, s.out_stride_seq, s.out_stride_head, spec->in_dtype);
        call_place(&call, image, s.out, &r, s.lse, s.lse_stride_seq, a.batch);
    }
    const sk_merge_rows to =
        sk_merge_rows_make(image, a.out_stride_seq, a.out_stride_head, spec->out_dtype);
    call_place(&call, image, a.out, &to, a.lse, a.lse_stride_seq, a.batch);
    sk_call_u32(&call, a.sources_count);
    sk_call_u32(&call, rows);
    sk_call_u32(&call, heads);
    sk_call_u32(&call, a.lse != NULL);
    if (spec->variants & SPHKV_VARIANT_SINK) {
        sk_call_ptr(&call, a.sinks, a.sinks ? heads * sizeof *a.sinks : 0);
        sk_call_u32(&call, a.sinks != NULL);
    }
    return sk_image_launch(image, 0, &call, (rows + warps - 1) / warps, a.stream, err);
}

const sk_kernel_form sk_merge_on_gpu = {
    .default_schedule = default_schedule,
    .valid = sk_gpu_valid,
    .build = build,
    .workspace = sk_gpu_no_workspace,
    .run = run,
};
