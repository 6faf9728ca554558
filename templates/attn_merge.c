/* attn_merge.c - joins attention over disjoint sets of tokens: our own parts with
 * an engine's, whatever made them. Source i has its output o_i, normalised, and
 * lse_i = ln sum exp(logit); with m = max lse_i and w_i = exp(lse_i - m),
 *   out = sum w_i o_i / sum w_i,   lse = m + ln sum w_i
 * exactly the softmax over all tokens (design, section 3). A source with lse
 * minus infinity has seen no token: nothing of it enters, whatever its out holds.
 *
 * A block is one KV head's query heads of one sequence and one source: entry
 * `add` brings them into a running state in the workspace, entry `end` writes
 * the rows. So the number of sources costs neither registers nor a compile, and
 * f16 sources are added up in f32. Natural logarithms, and differences before
 * they are turned to base 2: a large lse costs no accuracy that way.
 *
 * A sink is a source that has no output: it enters at the end, where all others are.
 *
 * State, f32 words: [H][16] (m, l, padding), then [H][Cp] acc. */
#include <math.h>
#include <string.h>

#include "attn_merge.h"
#include "decode.h"
#include "gpu.h"
#include "items.h"
#include "rows.h"

enum { ADD, END, ENTRIES };

#define LOG2E 1.4426950408889634f

static sk_status supported(const sk_spec *spec, sk_err *err)
{
    if (spec->dv % 16 != 0)
        return sk_fail(err, SPHKV_EUNSUPPORTED, "attn_merge: rows of %u (multiples of 16 only)",
                       spec->dv);
    return sk_variants_supported(spec, SPHKV_VARIANT_SINK, err);
}

/* ---- building ----------------------------------------------------------- */

static void merge_begin(sk_dec *c, sk_builder *b, const sk_spec *spec, const sk_schedule *sched)
{
    *c = (sk_dec){.b = b,
                  .spec = spec,
                  .sched = sched,
                  .h = spec->heads_per_kv,
                  .w = (uint32_t)sched->v[SK_T_w],
                  .dv = spec->dv,
                  .cp = (spec->dv + 15) / 16 * 16};
    c->zero = sk_ir_u32(b, 0);
    c->lane = sk_ir_lane(b);
}

/* Nothing seen yet. */
static void clear_state(sk_dec *c, sk_val state)
{
    sk_builder *b = c->b;
    const sk_val h = sk_ir_for(b, c->zero, sk_k(c, c->h), 1);
    sk_ir_stu(b, state, sk_mul(c, h, 64), 0, sk_ir_f32(b, -INFINITY));
    sk_ir_stu(b, state, sk_mul(c, h, 64), 4, sk_ir_f32(b, 0.0f));
    sk_ir_end(b);
    const sk_val at = sk_mul(c, sk_ir_for(b, c->zero, sk_k(c, c->h * c->cp), c->w), 4);
    sk_ir_stv(b, state, at, c->h * 64, sk_ir_f32(b, 0.0f));
    sk_ir_end(b);
}

sk_val sk_merge_weight(sk_builder *b, sk_val x, sk_val m)
{
    const sk_val gap = sk_ir_2(b, SK_OP_FSUB, x, m);
    return sk_ir_exp2(b, sk_ir_2(b, SK_OP_FMUL, gap, sk_ir_f32(b, LOG2E)), false);
}

sk_val sk_merge_lse(sk_builder *b, sk_val m, sk_val l, sk_val some)
{
    const sk_val seen = sk_ir_3(b, SK_OP_SELECT, some, l, sk_ir_f32(b, 1.0f));
    const sk_val ln = sk_ir_2(b, SK_OP_FMUL, sk_ir_1(b, SK_OP_LOG2, seen), sk_ir_f32(b, 0.69314718f));
    return sk_ir_2(b, SK_OP_FADD, m, ln);
}

/* One head h (a value) whose lse x is that of some tokens. */
static void add_head(sk_dec *c, sk_val state, sk_val h, sk_val row, sk_val x)
{
    sk_builder *b = c->b;
    const sk_ld_kind kind = sk_rows_input_kind(c->spec->in_dtype);
    const sk_val pair = sk_mul(c, h, 64), acc = sk_mul(c, h, c->cp * 4);
    const sk_val old = sk_ir_ldu(b, SK_LD_F32, state, pair, 0);
    const sk_val sum = sk_ir_ldu(b, SK_LD_F32, state, pair, 4);
    const sk_val m = sk_ir_2(b, SK_OP_FMAX, old, x);
    const sk_val keep = sk_merge_weight(b, old, m), w = sk_merge_weight(b, x, m);
    sk_ir_stu(b, state, pair, 0, m);
    sk_ir_stu(b, state, pair, 4, sk_fma(c, sum, keep, w));
    const sk_val d0 = sk_ir_for(b, c->zero, sk_k(c, c->dv), c->w);
    const sk_val at = sk_add(c, acc, sk_mul(c, d0, 4));
    const sk_val had = sk_ir_ldv(b, SK_LD_F32, state, at, c->h * 64);
    const sk_val o = sk_ir_ldv(b, kind, row, sk_mul(c, d0, sk_ld_bytes(kind)), 0);
    sk_ir_stv(b, state, at, c->h * 64, sk_fma(c, o, w, sk_ir_2(b, SK_OP_FMUL, had, keep)));
    sk_ir_end(b);
}

static sk_status build_add(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena,
                           sk_program **out, sk_err *err)
{
    sk_builder builder, *b = &builder;
    sk_dec dec, *c = &dec;
    const sk_status st = sk_rows_begin(b, spec, sched, arena, "", err);
    if (st != SPHKV_OK) return st;
    merge_begin(c, b, spec, sched);
    const sk_val state = sk_ir_param_ptr(b, "state", true);
    const sk_val rows = sk_ir_param_ptr(b, "source", false);
    const sk_val lse = sk_ir_param_ptr(b, "source_lse", false);
    const sk_val first = sk_ir_param_u32(b, "first");
    const sk_val row0 = sk_ir_param_u32(b, "source_bytes");
    const sk_val row_stride = sk_ir_param_u32(b, "source_head_bytes");
    const sk_val lse0 = sk_ir_param_u32(b, "source_lse_bytes");
    sk_ir_if(b, sk_ir_2(b, SK_OP_NE, first, c->zero));
    clear_state(c, state);
    sk_ir_end(b);
    const sk_val h = sk_ir_for(b, c->zero, sk_k(c, c->h), 1);
    const sk_val x = sk_ir_ldu(b, SK_LD_F32, lse, sk_add(c, lse0, sk_mul(c, h, 4)), 0);
    sk_ir_if(b, sk_ir_2(b, SK_OP_FLT, sk_ir_f32(b, -INFINITY), x));
    const sk_val off = sk_add(c, row0, sk_ir_2(b, SK_OP_MUL, h, row_stride));
    add_head(c, state, h, sk_ir_ptr_add(b, rows, off, 1), x);
    sk_ir_end(b);
    sk_ir_end(b);
    return sk_ir_finish(b, out, err);
}

/* acc of one head over l. */
typedef struct end_row {
    sk_val state, acc, inv;
} end_row;

static sk_val end_channels(sk_dec *c, const void *of, sk_val at)
{
    const end_row *r = of;
    const sk_val x = sk_ir_ldv(c->b, SK_LD_F32, r->state, sk_add(c, r->acc, at), c->h * 64);
    return sk_ir_2(c->b, SK_OP_FMUL, x, r->inv);
}

/* A head's sum with its sink: m and l become those of both; what is left of acc. */
static sk_val add_sink(sk_dec *c, sk_val sinks, sk_val first, sk_val h, sk_val *m, sk_val *l)
{
    sk_builder *b = c->b;
    const sk_val none = sk_ir_f32(b, -INFINITY), zero = sk_ir_f32(b, 0.0f);
    const sk_val var = sk_ir_var(b, SK_WARP, none);
    sk_ir_if(b, sk_ir_2(b, SK_OP_NE, first, sk_k(c, SK_ITEM_NONE)));
    sk_ir_set(b, var, sk_ir_ldu(b, SK_LD_F32, sinks, sk_add(c, first, sk_mul(c, h, 4)), 0));
    sk_ir_end(b);
    const sk_val x = sk_ir_get(b, var), top = sk_ir_2(b, SK_OP_FMAX, *m, x);
    const sk_val some = sk_ir_2(b, SK_OP_FLT, zero, *l), has = sk_ir_2(b, SK_OP_FLT, none, x);
    const sk_val keep = sk_sel(c, some, sk_merge_weight(b, *m, top), zero);
    *l = sk_fma(c, *l, keep, sk_sel(c, has, sk_merge_weight(b, x, top), zero));
    *m = top;
    return keep;
}

static sk_status build_end(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena,
                           sk_program **out, sk_err *err)
{
    sk_builder builder, *b = &builder;
    sk_dec dec, *c = &dec;
    const sk_status st = sk_rows_begin(b, spec, sched, arena, "end", err);
    if (st != SPHKV_OK) return st;
    merge_begin(c, b, spec, sched);
    const sk_val state = sk_ir_param_ptr(b, "state", false);
    const sk_val to = sk_ir_param_ptr(b, "out", true);
    const sk_val lse = sk_ir_param_ptr(b, "lse", true);
    const sk_val row0 = sk_ir_param_u32(b, "out_bytes");
    const sk_val row_stride = sk_ir_param_u32(b, "out_head_bytes");
    const sk_val lse0 = sk_ir_param_u32(b, "lse_bytes"); /* SK_ITEM_NONE: not wanted */
    const bool sink = (spec->variants & SPHKV_VARIANT_SINK) != 0;
    const sk_val sinks = sink ? sk_ir_param_ptr(b, "sinks", false) : SK_NONE;
    const sk_val first = sink ? sk_ir_param_u32(b, "sink_bytes") : SK_NONE; /* the same */
    const sk_val zero = sk_ir_f32(b, 0.0f);
    const sk_val h = sk_ir_for(b, c->zero, sk_k(c, c->h), 1);
    sk_val m = sk_ir_ldu(b, SK_LD_F32, state, sk_mul(c, h, 64), 0);
    sk_val l = sk_ir_ldu(b, SK_LD_F32, state, sk_mul(c, h, 64), 4);
    const sk_val keep = sink ? add_sink(c, sinks, first, h, &m, &l) : SK_NONE;
    const sk_val some = sk_ir_2(b, SK_OP_FLT, zero, l);
    const sk_val inv = sk_sel(
        c, some, sk_ir_2(b, SK_OP_FDIV, sink ? keep : sk_ir_f32(b, 1.0f), l), zero);
    const sk_val row = sk_ir_ptr_add(b, to, sk_add(c, row0, sk_ir_2(b, SK_OP_MUL, h, row_stride)), 1);
    sk_part_out(c, row, end_channels, &(end_row){state, sk_mul(c, h, c->cp * 4), inv});
    sk_ir_if(b, sk_ir_2(b, SK_OP_NE, lse0, sk_k(c, SK_ITEM_NONE)));
    sk_ir_stu(b, lse, sk_add(c, lse0, sk_mul(c, h, 4)), 0, sk_merge_lse(b, m, l, some));
    sk_ir_end(b);
    sk_ir_end(b);
    return sk_ir_finish(b, out, err);
}

static sk_status build(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena, sk_build *out,
                       sk_err *err)
{
    memset(out, 0, sizeof *out);
    out->n = ENTRIES;
    const sk_status st = build_add(spec, sched, arena, &out->program[ADD], err);
    return st == SPHKV_OK ? build_end(spec, sched, arena, &out->program[END], err) : st;
}

/* ---- host side ---------------------------------------------------------- */

static size_t state_bytes(const sk_image *image)
{
    return (size_t)image->spec.heads_per_kv * (16 + (image->spec.dv + 15) / 16 * 16) * 4;
}

static size_t workspace(const sk_image *image) { return image->maxima.parts * state_bytes(image); }

sk_merge_rows sk_merge_rows_make(const sk_image *image, uint32_t seq, uint32_t head, uint32_t dtype)
{
    const uint32_t heads = image->maxima.kv_heads * image->spec.heads_per_kv;
    return (sk_merge_rows){.seq = seq ? seq : (uint64_t)heads * image->spec.dv,
                     .head = head ? head : image->spec.dv,
                     .es = dtype == SPHKV_F32 ? 4 : 2};
}

uint64_t sk_merge_rows_bytes(const sk_image *image, const sk_merge_rows *r, uint32_t batch)
{
    const uint64_t heads = (uint64_t)image->maxima.kv_heads * image->spec.heads_per_kv;
    return batch ? ((batch - 1) * r->seq + (heads - 1) * r->head + image->spec.dv) * r->es : 0;
}

uint64_t sk_merge_lse_bytes(const sk_image *image, uint64_t stride, uint32_t batch)
{
    const uint64_t heads = (uint64_t)image->maxima.kv_heads * image->spec.heads_per_kv;
    return batch ? ((batch - 1) * (stride ? stride : heads) + heads) * 4 : 0;
}

static sk_status check_source(const sk_image *image, const sphkv_merge_args *a, uint32_t i,
                              sk_err *err)
{
    const sphkv_merge_source *s = &a->sources[i];
    const sk_merge_rows r =
        sk_merge_rows_make(image, s->out_stride_seq, s->out_stride_head, image->spec.in_dtype);
    if (!s->out || !s->lse)
        return sk_fail(err, SPHKV_EINVAL, "sources[%u]: out or lse is NULL", i);
    if ((uintptr_t)s->out % r.es != 0 || (uintptr_t)s->lse % 4 != 0)
        return sk_fail(err, SPHKV_EINVAL, "sources[%u]: not aligned to its elements", i);
    if (sk_merge_rows_bytes(image, &r, a->batch) > UINT32_MAX ||
        sk_merge_lse_bytes(image, s->lse_stride_seq, a->batch) > UINT32_MAX)
        return sk_fail(err, SPHKV_EINVAL, "sources[%u] spans 4 GiB or more", i);
    return sk_args_reserved(s->reserved, err);
}

sk_status sk_merge_args(const sk_image *image, const void *args, sphkv_merge_args *a, sk_err *err)
{
    sk_status st = sk_args_copy(a, sizeof *a, args, err);
    if (st == SPHKV_OK) st = sk_args_reserved(a->reserved | a->reserved2, err);
    if (st != SPHKV_OK) return st;
    const sk_merge_rows r =
        sk_merge_rows_make(image, a->out_stride_seq, a->out_stride_head, image->spec.out_dtype);
    if (a->batch > image->maxima.batch)
        return sk_fail(err, SPHKV_EINVAL, "batch %u, the plan is for %u", a->batch,
                       image->maxima.batch);
    if (a->sources_count == 0 || a->sources_count > SPHKV_MAX_SOURCES)
        return sk_fail(err, SPHKV_EINVAL, "sources_count is %u: 1 to %u", a->sources_count,
                       SPHKV_MAX_SOURCES);
    if (a->batch > 0 && !a->out) return sk_fail(err, SPHKV_EINVAL, "out is NULL");
    if (((uintptr_t)a->out | (uintptr_t)a->lse | (uintptr_t)a->sinks) % 4 != 0)
        return sk_fail(err, SPHKV_EINVAL, "out, lse or sinks is not aligned to 4 bytes");
    if (a->sinks && !(image->spec.variants & SPHKV_VARIANT_SINK))
        return sk_fail(err, SPHKV_EINVAL, "sinks is set: the spec lacks the variant sink");
    if (r.es == 2 && (r.seq % 2 != 0 || r.head % 2 != 0))
        return sk_fail(err, SPHKV_EINVAL, "out: strides %u, %u: even in a 16-bit dtype",
                       a->out_stride_seq, a->out_stride_head);
    if (sk_merge_rows_bytes(image, &r, a->batch) > UINT32_MAX ||
        sk_merge_lse_bytes(image, a->lse_stride_seq, a->batch) > UINT32_MAX)
        return sk_fail(err, SPHKV_EINVAL, "out or lse spans 4 GiB or more");
    st = sk_items_workspace(image, a->workspace, a->workspace_bytes, err);
    for (uint32_t i = 0; i < a->sources_count && a->batch > 0 && st == SPHKV_OK; i++)
        st = check_source(image, a, i, err);
    return st;
}

static sk_status add_source(const sk_image *image, const sphkv_merge_args *a, uint32_t i,
                            uint32_t seq, uint32_t head, uint8_t *state, sk_err *err)
{
    const sphkv_merge_source *s = &a->sources[i];
    const sk_merge_rows r =
        sk_merge_rows_make(image, s->out_stride_seq, s->out_stride_head, image->spec.in_dtype);
    const uint32_t heads = image->maxima.kv_heads * image->spec.heads_per_kv;
    const uint32_t row = head * image->spec.heads_per_kv;
    sk_call call = {0};
    sk_call_ptr(&call, state, state_bytes(image));
    sk_call_ptr(&call, s->out, sk_merge_rows_bytes(image, &r, a->batch));
    sk_call_ptr(&call, s->lse, sk_merge_lse_bytes(image, s->lse_stride_seq, a->batch));
    sk_call_u32(&call, i == 0);
    sk_call_u32(&call, (uint32_t)((seq * r.seq + row * r.head) * r.es));
    sk_call_u32(&call, (uint32_t)(r.head * r.es));
    sk_call_u32(&call, (seq * (s->lse_stride_seq ? s->lse_stride_seq : heads) + row) * 4);
    return sk_image_call(image, ADD, &call, 0, err);
}

static sk_status end_rows(const sk_image *image, const sphkv_merge_args *a, uint32_t seq,
                          uint32_t head, uint8_t *state, sk_err *err)
{
    const sk_merge_rows r =
        sk_merge_rows_make(image, a->out_stride_seq, a->out_stride_head, image->spec.out_dtype);
    const uint32_t heads = image->maxima.kv_heads * image->spec.heads_per_kv;
    const uint32_t row = head * image->spec.heads_per_kv;
    const uint32_t lse = (seq * (a->lse_stride_seq ? a->lse_stride_seq : heads) + row) * 4;
    sk_call call = {0};
    sk_call_ptr(&call, state, state_bytes(image));
    sk_call_ptr(&call, a->out, sk_merge_rows_bytes(image, &r, a->batch));
    sk_call_ptr(&call, a->lse, a->lse ? sk_merge_lse_bytes(image, a->lse_stride_seq, a->batch) : 0);
    sk_call_u32(&call, (uint32_t)((seq * r.seq + row * r.head) * r.es));
    sk_call_u32(&call, (uint32_t)(r.head * r.es));
    sk_call_u32(&call, a->lse ? lse : SK_ITEM_NONE);
    if (image->spec.variants & SPHKV_VARIANT_SINK) {
        sk_call_ptr(&call, a->sinks, a->sinks ? heads * sizeof *a->sinks : 0);
        sk_call_u32(&call, a->sinks ? row * 4 : SK_ITEM_NONE);
    }
    return sk_image_call(image, END, &call, 0, err);
}

static sk_status run(const sk_image *image, const void *args, uint32_t part, uint32_t parts,
                     sk_err *err)
{
    sphkv_merge_args a;
    sk_status st = sk_items_part(image, part, parts, err);
    if (st == SPHKV_OK) st = sk_merge_args(image, args, &a, err);
    const uint32_t heads = image->maxima.kv_heads;
    for (uint64_t v = part; st == SPHKV_OK && v < (uint64_t)a.batch * heads; v += parts) {
        const uint32_t seq = (uint32_t)(v / heads), head = (uint32_t)(v % heads);
        uint8_t *state = (uint8_t *)a.workspace + part * state_bytes(image);
        for (uint32_t i = 0; i < a.sources_count && st == SPHKV_OK; i++)
            st = add_source(image, &a, i, seq, head, state, err);
        if (st == SPHKV_OK) st = end_rows(image, &a, seq, head, state, err);
    }
    return st;
}

/* Two sources, as where an engine's own attention meets ours. */
static void cost(const sk_spec *spec, const sk_shape *shape, sk_cost *out)
{
    const double rows = (double)shape->batch * shape->kv_heads * spec->heads_per_kv;
    memset(out, 0, sizeof *out);
    out->token_heads = rows;
    out->read_bytes = 2 * rows * (spec->dv * (spec->in_dtype == SPHKV_F32 ? 4 : 2) + 4);
    out->write_bytes = rows * (spec->dv * (spec->out_dtype == SPHKV_F32 ? 4 : 2) + 4);
    out->operations = 2 * rows * spec->dv;
}

static const sk_kernel_form on_cpu = {
    .default_schedule = sk_rows_only_width,
    .valid = sk_rows_valid,
    .build = build,
    .workspace = workspace,
    .run = run,
};

const sk_kernel sk_kernel_attn_merge = {
    .args_size = sizeof(sphkv_merge_args),
    .workspace_at = offsetof(sphkv_merge_args, workspace),
    .weight = 1,
    .supported = supported,
    .form = {[SK_BACKEND_CPU] = &on_cpu, [SK_BACKEND_CUDA] = &sk_merge_on_gpu},
    .cost = cost,
};
