/* attn_schedule.c - the work list of attn_decode: which pages of which lists each
 * part takes. Lists of a retention per head differ several-fold in length, and
 * tiers in bytes, so parts are balanced by the bytes they read: a page weighs its
 * tokens times the bytes of one, and a little for being a page. Without a work
 * list every part of a run walks the whole table to find its share, in pages.
 *
 * One warp, since a list is cut where the sum of all before it says so. First the
 * sum of each list, W references at once; then the lists in order: one that lies
 * in one part whole is an item, one that crosses a border is walked page by page.
 * A page belongs to the part that its middle falls into. Sums are f32 and keep what
 * rounding took: a page far back weighs less than half a last place of all before
 * it, and a million of them would add up to nothing. A border may shift by a
 * rounding, never a page be lost.
 *
 * The list, u32 words (attn_work.c reads it):
 *   [16]            SK_WORK_* header
 *   [parts + 1]     first item of each part, the last entry behind the last item;
 *                   rounded up to 8 words
 *   [items][4]      pair, first reference, behind the last one, partial slot or
 *                   SK_ITEM_FINAL (a whole list)
 * Of part k, a list that began in an earlier part has partial slot 2k, one that
 * goes on in a later part 2k + 1 (it began here). */
#include <string.h>

#include "attn_schedule.h"
#include "gpu.h"
#include "items.h"
#include "rows.h"
#include "work.h"

#define PAGE_BYTES 256.0f /* what a page costs beside its tokens */

static sk_status supported(const sk_spec *spec, sk_err *err)
{
    (void)spec;
    (void)err;
    return SPHKV_OK;
}

double sk_work_weight(const sk_spec *spec, uint32_t tier, uint32_t tokens)
{
    sk_page_layout lay;
    sk_page_layout_get(spec, tier, &lay);
    return (double)PAGE_BYTES + tokens * ((double)lay.bytes / spec->page);
}

/* ---- building ----------------------------------------------------------- */

/* A sum in f32: two variables. */
typedef struct long_sum {
    sk_val sum, over; /* over: what rounding has added to it too much */
} long_sum;

typedef struct plan_ir {
    sk_builder *b;
    const sk_spec *spec;
    uint32_t w;
    sk_val indptr, refs, sums, work; /* addresses */
    sk_val batch, first, each, stride, times, parts, items_at; /* see build */
    sk_val scale;                    /* parts per weight */
    long_sum cum;                    /* weight so far */
    sk_val part, items;              /* variables: part, items so far */
    sk_val zero, lane;
} plan_ir;

static sk_val op(plan_ir *c, sk_op o, sk_val x, sk_val y) { return sk_ir_2(c->b, o, x, y); }
static sk_val opk(plan_ir *c, sk_op o, sk_val x, uint32_t y) { return sk_ir_2k(c->b, o, x, y); }
static sk_val get(plan_ir *c, sk_val var) { return sk_ir_get(c->b, var); }

static long_sum sum_begin(plan_ir *c, sk_scope scope)
{
    const sk_val zero = sk_ir_f32(c->b, 0.0f);
    return (long_sum){sk_ir_var(c->b, scope, zero), sk_ir_var(c->b, scope, zero)};
}

static void sum_add(plan_ir *c, long_sum s, sk_val x)
{
    const sk_val old = get(c, s.sum), more = op(c, SK_OP_FSUB, x, get(c, s.over));
    const sk_val sum = op(c, SK_OP_FADD, old, more);
    sk_ir_set(c->b, s.sum, sum);
    sk_ir_set(c->b, s.over, op(c, SK_OP_FSUB, op(c, SK_OP_FSUB, sum, old), more));
}

sk_val sk_work_page_weight(sk_builder *b, const sk_spec *spec, sk_val word)
{
    const sk_val tokens = sk_ir_1(b, SK_OP_I2F, sk_ir_2k(b, SK_OP_AND, word, 0xffff));
    const sk_val tier = sk_ir_2k(b, SK_OP_AND, sk_ir_2k(b, SK_OP_SHR, word, 16), 0xff);
    sk_val each = sk_ir_f32(b, 0.0f);
    for (uint32_t k = 0; k < spec->ntiers; k++) {
        const float bytes = (float)(sk_work_weight(spec, k, 1) - (double)PAGE_BYTES);
        each = sk_ir_3(b, SK_OP_SELECT, sk_ir_2k(b, SK_OP_EQ, tier, k), sk_ir_f32(b, bytes), each);
    }
    return sk_ir_3(b, SK_OP_FMA, tokens, each, sk_ir_f32(b, PAGE_BYTES));
}

/* Bounds of list j of sequence s. */
static void list_bounds(plan_ir *c, sk_val s, sk_val j, sk_val *lo, sk_val *hi)
{
    const sk_val list = op(c, SK_OP_ADD, op(c, SK_OP_MUL, s, c->stride), op(c, SK_OP_ADD, j, c->first));
    const sk_val at = sk_ir_ptr_add(c->b, c->indptr, list, 4);
    *lo = sk_ir_ldu(c->b, SK_LD_U32, at, c->zero, 0);
    *hi = sk_ir_ldu(c->b, SK_LD_U32, at, c->zero, 4);
}

static sk_val sum_place(plan_ir *c, sk_val s, sk_val j)
{
    return sk_ir_ptr_add(c->b, c->sums, op(c, SK_OP_ADD, op(c, SK_OP_MUL, s, c->each), j), 4);
}

/* The sum of every list into sums; returns the sum of all pairs. */
static sk_val sum_lists(plan_ir *c)
{
    sk_builder *b = c->b;
    const long_sum total = sum_begin(c, SK_WARP);
    const sk_val times = sk_ir_1(b, SK_OP_I2F, c->times);
    const sk_val s = sk_ir_for(b, c->zero, c->batch, 1);
    const sk_val j = sk_ir_for(b, c->zero, c->each, 1);
    sk_val lo, hi;
    list_bounds(c, s, j, &lo, &hi);
    const long_sum sum = sum_begin(c, SK_LANE);
    const sk_val i = sk_ir_for(b, lo, hi, c->w);
    const sk_val inside = op(c, SK_OP_ULT, op(c, SK_OP_ADD, i, c->lane), hi);
    const sk_val word = sk_ir_ldg(b, SK_LD_U32, sk_ir_ptr_add(b, c->refs, i, 8),
                                  opk(c, SK_OP_SHL, c->lane, 3), 4, inside);
    const sk_val weight =
        sk_ir_3(b, SK_OP_SELECT, inside, sk_work_page_weight(b, c->spec, word), sk_ir_f32(b, 0.0f));
    sum_add(c, sum, weight);
    sk_ir_end(b);
    const sk_val all = sk_ir_1(b, SK_OP_RED_FADD, get(c, sum.sum));
    sk_ir_stu(b, sum_place(c, s, j), c->zero, 0, all);
    sum_add(c, total, op(c, SK_OP_FMUL, all, times));
    sk_ir_end(b);
    sk_ir_end(b);
    return get(c, total.sum);
}

/* The part that weight x falls into, never before the present one. */
static sk_val part_of(plan_ir *c, sk_val x)
{
    sk_builder *b = c->b;
    const sk_val at = op(c, SK_OP_FSUB, op(c, SK_OP_FMUL, x, c->scale), sk_ir_f32(b, 0.5f));
    const sk_val k = sk_ir_1(b, SK_OP_F2I, op(c, SK_OP_FMAX, at, sk_ir_f32(b, 0.0f)));
    const sk_val last = op(c, SK_OP_SUB, c->parts, sk_ir_u32(b, 1));
    return op(c, SK_OP_UMAX, get(c, c->part), op(c, SK_OP_UMIN, k, last));
}

/* first[present + 1 .. end - 1] = items so far. */
static void fill_first(plan_ir *c, sk_val end)
{
    const sk_val k = sk_ir_for(c->b, opk(c, SK_OP_ADD, get(c, c->part), 1), end, 1);
    sk_ir_stu(c->b, c->work, opk(c, SK_OP_SHL, k, 2), SK_WORK_HEADER * 4, get(c, c->items));
    sk_ir_end(c->b);
}

static void move_to(plan_ir *c, sk_val part)
{
    fill_first(c, opk(c, SK_OP_ADD, part, 1));
    sk_ir_set(c->b, c->part, part);
}

static void emit(plan_ir *c, sk_val pair, sk_val lo, sk_val hi, sk_val slot)
{
    sk_builder *b = c->b;
    const sk_val item = sk_ir_ptr_add(b, c->work, get(c, c->items), 16);
    sk_ir_stu(b, item, c->items_at, 0, pair);
    sk_ir_stu(b, item, c->items_at, 4, lo);
    sk_ir_stu(b, item, c->items_at, 8, hi);
    sk_ir_stu(b, item, c->items_at, 12, slot);
    sk_ir_set(b, c->items, opk(c, SK_OP_ADD, get(c, c->items), 1));
}

/* A list that crosses a border, page by page. */
static void walk(plan_ir *c, sk_val pair, sk_val lo, sk_val hi)
{
    sk_builder *b = c->b;
    const sk_val from = sk_ir_var(b, SK_WARP, lo);
    const sk_val i = sk_ir_for(b, lo, hi, 1);
    const sk_val weight =
        sk_work_page_weight(b, c->spec, sk_ir_ldu(b, SK_LD_U32, sk_ir_ptr_add(b, c->refs, i, 8), c->zero, 4));
    const sk_val middle = sk_ir_3(b, SK_OP_FMA, weight, sk_ir_f32(b, 0.5f), get(c, c->cum.sum));
    const sk_val to = part_of(c, middle), here = get(c, c->part);
    sk_ir_if(b, op(c, SK_OP_ULT, here, to));
    const sk_val begun = get(c, from);
    sk_ir_if(b, op(c, SK_OP_ULT, begun, i));
    const sk_val late = sk_ir_3(b, SK_OP_SELECT, op(c, SK_OP_EQ, begun, lo), sk_ir_u32(b, 1), c->zero);
    emit(c, pair, begun, i, op(c, SK_OP_ADD, opk(c, SK_OP_SHL, here, 1), late));
    sk_ir_end(b);
    sk_ir_set(b, from, i);
    move_to(c, to);
    sk_ir_end(b);
    sum_add(c, c->cum, weight);
    sk_ir_end(b);
    const sk_val begun_last = get(c, from);
    const sk_val slot = sk_ir_3(b, SK_OP_SELECT, op(c, SK_OP_EQ, begun_last, lo),
                                sk_ir_u32(b, SK_ITEM_FINAL), opk(c, SK_OP_SHL, get(c, c->part), 1));
    emit(c, pair, begun_last, hi, slot);
}

static void deal_lists(plan_ir *c)
{
    sk_builder *b = c->b;
    const sk_val s = sk_ir_for(b, c->zero, c->batch, 1);
    const sk_val j = sk_ir_for(b, c->zero, c->each, 1);
    sk_val lo, hi;
    list_bounds(c, s, j, &lo, &hi);
    const sk_val weight = sk_ir_ldu(b, SK_LD_F32, sum_place(c, s, j), c->zero, 0);
    const sk_val row = op(c, SK_OP_ADD, op(c, SK_OP_MUL, s, c->each), j);
    const sk_val t = sk_ir_for(b, c->zero, c->times, 1);
    const sk_val pair = op(c, SK_OP_ADD, op(c, SK_OP_MUL, row, c->times), t);
    const sk_val end = op(c, SK_OP_FADD, get(c, c->cum.sum), weight);
    const sk_val part = part_of(c, get(c, c->cum.sum));
    const sk_val whole = op(c, SK_OP_POR, op(c, SK_OP_EQ, part, part_of(c, end)),
                            op(c, SK_OP_EQ, lo, hi));
    sk_ir_if(b, whole);
    move_to(c, part);
    emit(c, pair, lo, hi, sk_ir_u32(b, SK_ITEM_FINAL));
    sum_add(c, c->cum, weight);
    sk_ir_else(b);
    walk(c, pair, lo, hi);
    sk_ir_end(b);
    sk_ir_end(b);
    sk_ir_end(b);
    sk_ir_end(b);
}

static sk_status build(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena, sk_build *out,
                       sk_err *err)
{
    sk_builder builder, *b = &builder;
    plan_ir plan = {.b = b, .spec = spec, .w = (uint32_t)sched->v[SK_T_w]}, *c = &plan;
    const sk_status st = sk_rows_begin(b, spec, sched, arena, "", err);
    if (st != SPHKV_OK) return st;
    c->indptr = sk_ir_param_ptr(b, "indptr", false);
    c->refs = sk_ir_param_ptr(b, "refs", false);
    c->sums = sk_ir_param_ptr(b, "sums", true);
    c->work = sk_ir_param_ptr(b, "work", true);
    c->batch = sk_ir_param_u32(b, "batch");
    c->first = sk_ir_param_u32(b, "first_list");     /* of a sequence */
    c->each = sk_ir_param_u32(b, "lists");           /* of a sequence that count */
    c->stride = sk_ir_param_u32(b, "lists_per_seq");
    c->times = sk_ir_param_u32(b, "pairs_per_list");
    c->parts = sk_ir_param_u32(b, "parts");
    c->items_at = sk_ir_param_u32(b, "items_bytes");
    c->zero = sk_ir_u32(b, 0);
    c->lane = sk_ir_lane(b);
    const sk_val total = sum_lists(c);
    const sk_val some = op(c, SK_OP_FLT, sk_ir_f32(b, 0.0f), total);
    const sk_val parts = sk_ir_1(b, SK_OP_I2F, c->parts);
    c->scale = sk_ir_3(b, SK_OP_SELECT, some, op(c, SK_OP_FDIV, parts, total), sk_ir_f32(b, 0.0f));
    c->cum = sum_begin(c, SK_WARP);
    c->part = sk_ir_var(b, SK_WARP, c->zero);
    c->items = sk_ir_var(b, SK_WARP, c->zero);
    sk_ir_stu(b, c->work, c->zero, SK_WORK_HEADER * 4, c->zero);
    deal_lists(c);
    fill_first(c, opk(c, SK_OP_ADD, c->parts, 1));
    sk_ir_stu(b, c->work, c->zero, SK_WORK_ITEMS * 4, sk_ir_get(b, c->items));
    memset(out, 0, sizeof *out);
    out->n = 1;
    return sk_ir_finish(b, &out->program[0], err);
}

/* ---- host side ---------------------------------------------------------- */

/* One sum per list. */
static size_t workspace(const sk_image *image)
{
    const size_t lists = (size_t)image->maxima.batch * image->maxima.kv_heads;
    return (lists * 4 + 63) / 64 * 64;
}

sk_status sk_schedule_args(const sk_image *image, const void *args, sphkv_schedule_args *a,
                           sk_table_look *look, sk_err *err)
{
    sk_status st = sk_args_copy(a, sizeof *a, args, err);
    if (st == SPHKV_OK) st = sk_args_reserved(a->reserved, err);
    if (st != SPHKV_OK) return st;
    *look = (sk_table_look){.image = image,
                            .table = &a->table,
                            .batch = a->batch,
                            .kv_first = a->kv_head_first,
                            .kv_count = a->kv_head_count,
                            .no_arena = true};
    if (a->parts == 0 || a->parts > SPHKV_MAX_PARTS)
        return sk_fail(err, SPHKV_EINVAL, "parts is %u: 1 to %u", a->parts, SPHKV_MAX_PARTS);
    st = sk_table_heads(look, err);
    if (st != SPHKV_OK) return st;
    const size_t bytes = sphkv_schedule_bytes(a->batch, look->kv_count, a->parts);
    if (a->schedule == NULL || a->schedule_bytes < bytes || (uintptr_t)a->schedule % 64 != 0)
        return sk_fail(err, SPHKV_EINVAL, "schedule: %zu bytes aligned to 64 needed", bytes);
    return sk_items_workspace(image, a->workspace, a->workspace_bytes, err);
}

static void write_header(const sphkv_schedule_args *a, const sk_table_look *look)
{
    uint32_t *word = a->schedule;
    memset(word, 0, SK_WORK_HEADER * 4);
    word[SK_WORK_MAGIC] = SK_WORK_MAGIC_WORD;
    word[SK_WORK_PARTS] = a->parts;
    word[SK_WORK_BATCH] = a->batch;
    word[SK_WORK_FIRST_HEAD] = look->kv_first;
    word[SK_WORK_HEADS] = look->kv_count;
    word[SK_WORK_SHARED] = look->shared;
}

/* Part 0 does it all: what there is to do is less than handing it out. */
static sk_status run(const sk_image *image, const void *args, uint32_t part, uint32_t parts,
                     sk_err *err)
{
    sphkv_schedule_args a;
    sk_table_look look;
    sk_status st = sk_items_part(image, part, parts, err);
    if (st == SPHKV_OK) st = sk_schedule_args(image, args, &a, &look, err);
    if (st == SPHKV_OK) st = sk_table_check(&look, err);
    if (st != SPHKV_OK || part != 0) return st;
    sk_call call = {0};
    write_header(&a, &look);
    sk_call_ptr(&call, a.table.indptr, ((size_t)a.table.lists + 1) * 4);
    sk_call_ptr(&call, a.table.refs, look.refs_end * 8);
    sk_call_ptr(&call, a.workspace, image->workspace);
    sk_call_ptr(&call, a.schedule, a.schedule_bytes);
    sk_call_u32(&call, a.batch);
    sk_call_u32(&call, look.shared ? 0 : look.kv_first);
    sk_call_u32(&call, look.shared ? 1 : look.kv_count);
    sk_call_u32(&call, a.table.lists_per_seq);
    sk_call_u32(&call, look.shared ? look.kv_count : 1);
    sk_call_u32(&call, a.parts);
    sk_call_u32(&call, sk_work_items_at(a.parts) * 4);
    return sk_image_call(image, 0, &call, 0, err);
}

static void cost(const sk_spec *spec, const sk_shape *shape, sk_cost *out)
{
    const double lists = (double)shape->batch * shape->kv_heads;
    memset(out, 0, sizeof *out);
    out->token_heads = lists * shape->context;
    out->read_bytes = lists * (4 + 8.0 * shape->context / spec->page);
    out->write_bytes = lists * 16;
}

static const sk_kernel_form on_cpu = {
    .default_schedule = sk_rows_only_width,
    .valid = sk_rows_valid,
    .build = build,
    .workspace = workspace,
    .run = run,
};

const sk_kernel sk_kernel_attn_schedule = {
    .args_size = sizeof(sphkv_schedule_args),
    .workspace_at = offsetof(sphkv_schedule_args, workspace),
    .over_lists = true,
    .weight = 1,
    .supported = supported,
    .form = {[SK_BACKEND_CPU] = &on_cpu, [SK_BACKEND_CUDA] = &sk_plan_on_gpu},
    .cost = cost,
};
