/* attn_schedule_gpu.c - attn_schedule on a GPU: one block whose warps share the
 * work. The list is that of attn_schedule.c, found from its borders: where part k
 * begins follows from the sums alone, so borders are looked for side by side, and
 * an item's place in the list is how many lists and borders lie before it.
 *
 *   1. the sum of each list, W references at once; their prefix sums
 *   2. for each border the pair that it falls into, by a search over the prefix
 *      sums, W places at once, and there the page, W pages at once
 *   3. how many borders before each cut a list (those that fall together count once)
 *   4. the items: one for each pair, one for each border that cuts
 *
 * Weights are whole numbers, in bytes or in as small units as keep their sum in 31
 * bits, so that sums do not depend on an order and places never run backwards. */
#include <string.h>

#include "attn_schedule_gpu.h"
#include "gpu.h"
#include "items.h"
#include "rows.h"
#include "work.h"

#define CUTS (SPHKV_MAX_PARTS + 1) /* borders, with both ends */
#define MOST 0x1p30f               /* sum of all weights, before they are rounded */

/* The block is alone: as many warps as it can have. */
static void default_schedule(const sk_spec *spec, const sk_target *target, sk_schedule *out)
{
    (void)spec, (void)target;
    out->v[SK_T_warps] = 32;
}

/* ---- building ------------------------------------------------------------- */

static sk_val op(sk_plan *c, sk_op o, sk_val x, sk_val y) { return sk_ir_2(c->b, o, x, y); }
static sk_val opk(sk_plan *c, sk_op o, sk_val x, uint32_t y) { return sk_ir_2k(c->b, o, x, y); }
static sk_val pick(sk_plan *c, sk_val p, sk_val x, sk_val y) { return sk_ir_3(c->b, SK_OP_SELECT, p, x, y); }
static sk_val get(sk_plan *c, sk_val var) { return sk_ir_get(c->b, var); }

sk_val sk_plan_list(sk_plan *c, sk_val row)
{
    const sk_val seq = op(c, SK_OP_UDIV, row, c->each), j = op(c, SK_OP_UREM, row, c->each);
    return op(c, SK_OP_ADD, op(c, SK_OP_MUL, seq, c->stride), op(c, SK_OP_ADD, j, c->first));
}

sk_val sk_plan_weights(sk_plan *c, sk_val i, sk_val hi)
{
    sk_builder *b = c->b;
    const sk_val inside = op(c, SK_OP_ULT, op(c, SK_OP_ADD, i, c->lane), hi);
    const sk_val word = sk_ir_ldg(b, SK_LD_U32, sk_ir_ptr_add(b, c->refs, i, 8),
                                  opk(c, SK_OP_SHL, c->lane, 3), 4, inside);
    const sk_val bytes = sk_work_page_weight(b, c->spec, word);
    return pick(c, inside, sk_ir_1(b, SK_OP_F2I, op(c, SK_OP_FMUL, bytes, c->unit)), c->zero);
}

/* ---- 1: sums ---- */

/* No table of this many references, each a full page of the heaviest tier, is
 * heavier than MOST. */
static sk_val unit_of(sk_plan *c, sk_val lists)
{
    sk_builder *b = c->b;
    double most = 0;
    for (uint32_t i = 0; i < c->spec->ntiers; i++) {
        const double w = sk_work_weight(c->spec, i, c->spec->page);
        if (w > most) most = w;
    }
    const sk_val end = sk_plan_word(c, c->indptr, lists), begin = sk_plan_word(c, c->indptr, c->zero);
    const sk_val pages = sk_ir_1(b, SK_OP_I2F, op(c, SK_OP_SUB, end, begin));
    const sk_val all = op(c, SK_OP_FMUL, pages, sk_ir_1(b, SK_OP_I2F, c->times));
    const sk_val bytes = op(c, SK_OP_FMUL, all, sk_ir_f32(b, (float)most));
    return op(c, SK_OP_FMIN, op(c, SK_OP_FDIV, sk_ir_f32(b, MOST), bytes), sk_ir_f32(b, 1.0f));
}

/* The rows that are this warp's. */
static void share(sk_plan *c, sk_val *lo, sk_val *hi)
{
    const uint32_t warps = c->b->program->warps;
    const sk_val each = opk(c, SK_OP_UDIV, opk(c, SK_OP_ADD, c->rows, warps - 1), warps);
    *lo = op(c, SK_OP_UMIN, op(c, SK_OP_MUL, c->warp, each), c->rows);
    *hi = op(c, SK_OP_UMIN, op(c, SK_OP_ADD, *lo, each), c->rows);
}

static void sum_lists(sk_plan *c)
{
    sk_builder *b = c->b;
    sk_val lo, hi;
    share(c, &lo, &hi);
    const sk_val all = sk_ir_var(b, SK_WARP, c->zero);
    const sk_val row = sk_ir_for(b, lo, hi, 1), list = sk_plan_list(c, row);
    const sk_val begin = sk_plan_word(c, c->indptr, list);
    const sk_val end = sk_plan_word(c, c->indptr, opk(c, SK_OP_ADD, list, 1));
    const sk_val sum = sk_ir_var(b, SK_LANE, c->zero);
    const sk_val i = sk_ir_for(b, begin, end, 32);
    sk_ir_set(b, sum, op(c, SK_OP_ADD, get(c, sum), sk_plan_weights(c, i, end)));
    sk_ir_end(b);
    const sk_val total = sk_ir_1(b, SK_OP_RED_UADD, get(c, sum));
    sk_ir_stu(b, sk_ir_ptr_add(b, c->sums, row, 4), c->zero, 0, total);
    sk_ir_set(b, all, op(c, SK_OP_ADD, get(c, all), op(c, SK_OP_MUL, total, c->times)));
    sk_ir_end(b);
    sk_ir_stu(b, sk_ir_ptr_add(b, c->warp_sum, c->warp, 4), c->zero, 0, get(c, all));
    sk_ir_barrier(b);
}

/* bases[row]: the sum of all pairs before the row; sets the scale. */
static void scan_rows(sk_plan *c)
{
    sk_builder *b = c->b;
    sk_val lo, hi;
    const sk_val there = opk(c, SK_OP_ULT, c->lane, b->program->warps);
    const sk_val each = sk_plan_words(c, c->warp_sum, c->lane, there);
    const sk_val before = pick(c, op(c, SK_OP_ULT, c->lane, c->warp), each, c->zero);
    const sk_val total = sk_ir_1(b, SK_OP_I2F, sk_ir_1(b, SK_OP_RED_UADD, each));
    const sk_val some = op(c, SK_OP_FLT, sk_ir_f32(b, 0.0f), total);
    const sk_val parts = sk_ir_1(b, SK_OP_I2F, c->parts);
    c->scale = pick(c, some, op(c, SK_OP_FDIV, parts, total), sk_ir_f32(b, 0.0f));
    share(c, &lo, &hi);
    const sk_val run = sk_ir_var(b, SK_WARP, sk_ir_1(b, SK_OP_RED_UADD, before));
    const sk_val r0 = sk_ir_for(b, lo, hi, 32);
    const sk_val row = op(c, SK_OP_ADD, r0, c->lane), inside = op(c, SK_OP_ULT, row, hi);
    const sk_val x = op(c, SK_OP_MUL, sk_plan_words(c, c->sums, row, inside), c->times);
    const sk_val upto = sk_gpu_scan(c->b, 32, x), base = op(c, SK_OP_SUB, op(c, SK_OP_ADD, get(c, run), upto), x);
    sk_ir_stg(b, c->bases, opk(c, SK_OP_SHL, row, 2), 0, base, inside);
    sk_ir_set(b, run, op(c, SK_OP_ADD, get(c, run), sk_ir_extract(b, upto, 31)));
    sk_ir_end(b);
    sk_ir_barrier(b);
}

/* ---- 3: ranks ---- */

/* Whether cuts k and k + 1 fall together; k + 1 may be the end of all. */
static sk_val same_cut(sk_plan *c, sk_val k, sk_val there)
{
    const sk_val next = opk(c, SK_OP_ADD, k, 1);
    return op(c, SK_OP_PAND,
              op(c, SK_OP_EQ, sk_plan_words(c, c->key, k, there), sk_plan_words(c, c->key, next, there)),
              op(c, SK_OP_EQ, sk_plan_words(c, c->ref, k, there), sk_plan_words(c, c->ref, next, there)));
}

/* rank: how many different cuts inside of lists there are up to this one; with it
 * the first item of each part. One warp. */
static void rank_cuts(sk_plan *c, sk_val head_first, sk_val heads, sk_val shared, sk_val batch)
{
    sk_builder *b = c->b;
    const sk_val run = sk_ir_var(b, SK_WARP, c->zero);
    sk_ir_if(b, op(c, SK_OP_EQ, c->warp, c->zero));
    const sk_val k = op(c, SK_OP_ADD, sk_ir_for(b, c->zero, c->parts, 32), c->lane);
    const sk_val there = op(c, SK_OP_ULT, k, c->parts), key = sk_plan_words(c, c->key, k, there);
    const sk_val before = op(c, SK_OP_PAND, there, op(c, SK_OP_ULT, c->zero, k));
    const sk_val again = same_cut(c, op(c, SK_OP_SUB, k, c->one), before);
    const sk_val inner = op(c, SK_OP_PAND, before, op(c, SK_OP_NE, opk(c, SK_OP_AND, key, 1), c->zero));
    const sk_val fresh = op(c, SK_OP_PAND, inner, sk_ir_1(b, SK_OP_PNOT, again));
    const sk_val upto = sk_gpu_scan(c->b, 32, pick(c, fresh, c->one, c->zero));
    const sk_val rank = op(c, SK_OP_ADD, get(c, run), upto), at = opk(c, SK_OP_SHL, k, 2);
    sk_ir_stg(b, c->rank, at, 0, rank, there);
    sk_ir_stg(b, c->work, at, SK_WORK_HEADER * 4, op(c, SK_OP_ADD, opk(c, SK_OP_SHR, key, 1), rank), there);
    sk_ir_set(b, run, op(c, SK_OP_ADD, get(c, run), sk_ir_extract(b, upto, 31)));
    sk_ir_end(b);
    const sk_val items = op(c, SK_OP_ADD, c->pairs, get(c, run));
    sk_ir_stu(b, c->work, opk(c, SK_OP_SHL, c->parts, 2), SK_WORK_HEADER * 4, items);
    const sk_val magic = sk_ir_u32(b, SK_WORK_MAGIC_WORD);
    const sk_val word[SK_WORK_HEADER] = {
        [SK_WORK_MAGIC] = magic, [SK_WORK_PARTS] = c->parts,        [SK_WORK_BATCH] = batch,
        [SK_WORK_FIRST_HEAD] = head_first, [SK_WORK_HEADS] = heads, [SK_WORK_SHARED] = shared,
        [SK_WORK_ITEMS] = items};
    for (uint32_t i = 0; i < SK_WORK_HEADER; i++)
        sk_ir_stu(b, c->work, c->zero, i * 4, i <= SK_WORK_ITEMS ? word[i] : c->zero);
    sk_ir_end(b);
    sk_ir_barrier(b);
}

/* ---- 4: items ---- */

static void put_item(sk_plan *c, sk_val index, const sk_val word[4], sk_val pred)
{
    const sk_val at = op(c, SK_OP_ADD, c->items_at, opk(c, SK_OP_SHL, index, 4));
    for (uint32_t i = 0; i < 4; i++) sk_ir_stg(c->b, c->work, at, i * 4, word[i], pred);
}

/* Where the list of a pair ends; *lo: where it begins. */
static sk_val pair_list(sk_plan *c, sk_val pair, sk_val there, sk_val *lo)
{
    const sk_val list = sk_plan_list(c, op(c, SK_OP_UDIV, pair, c->times));
    *lo = sk_plan_words(c, c->indptr, list, there);
    return sk_plan_words(c, c->indptr, opk(c, SK_OP_ADD, list, 1), there);
}

/* What begins with a list: in the last part that begins there or before. */
static void items_of_pairs(sk_plan *c)
{
    sk_builder *b = c->b;
    const sk_val pair = op(c, SK_OP_ADD, sk_gpu_turns(b, c->pairs, 32), c->lane);
    const sk_val there = op(c, SK_OP_ULT, pair, c->pairs), twice = opk(c, SK_OP_SHL, pair, 1);
    sk_val part = c->zero, lo;
    for (uint32_t bit = 512; bit > 0; bit /= 2) {
        const sk_val next = opk(c, SK_OP_ADD, part, bit), in = op(c, SK_OP_ULT, next, c->parts);
        const sk_val begun = op(c, SK_OP_ULE, sk_plan_words(c, c->key, next, in), twice);
        part = pick(c, op(c, SK_OP_PAND, in, begun), next, part);
    }
    const sk_val end = pair_list(c, pair, there, &lo), next = opk(c, SK_OP_ADD, part, 1);
    const sk_val cut = op(c, SK_OP_EQ, sk_plan_words(c, c->key, next, there), opk(c, SK_OP_ADD, twice, 1));
    const sk_val hi = pick(c, cut, sk_plan_words(c, c->ref, next, there), end);
    const sk_val slot = pick(c, cut, opk(c, SK_OP_ADD, opk(c, SK_OP_SHL, part, 1), 1),
                             sk_ir_u32(b, SK_ITEM_FINAL));
    put_item(c, op(c, SK_OP_ADD, pair, sk_plan_words(c, c->rank, part, there)),
             (const sk_val[4]){pair, lo, hi, slot}, there);
    sk_ir_end(b);
}

/* What begins with a part inside of a list: of parts that begin together the last. */
static void items_of_cuts(sk_plan *c)
{
    sk_builder *b = c->b;
    const sk_val k = op(c, SK_OP_ADD, sk_gpu_turns(b, c->parts, 32), c->lane);
    const sk_val inside = op(c, SK_OP_ULT, k, c->parts), key = sk_plan_words(c, c->key, k, inside);
    const sk_val inner = op(c, SK_OP_NE, opk(c, SK_OP_AND, key, 1), c->zero);
    const sk_val last = sk_ir_1(b, SK_OP_PNOT, same_cut(c, k, inside));
    const sk_val there = op(c, SK_OP_PAND, op(c, SK_OP_PAND, inside, inner), last);
    const sk_val pair = opk(c, SK_OP_SHR, key, 1), next = opk(c, SK_OP_ADD, k, 1);
    sk_val begin;
    const sk_val end = pair_list(c, pair, there, &begin);
    const sk_val cut = op(c, SK_OP_EQ, sk_plan_words(c, c->key, next, there), key);
    const sk_val hi = pick(c, cut, sk_plan_words(c, c->ref, next, there), end);
    put_item(c, op(c, SK_OP_ADD, pair, sk_plan_words(c, c->rank, k, there)),
             (const sk_val[4]){pair, sk_plan_words(c, c->ref, k, there), hi, opk(c, SK_OP_SHL, k, 1)}, there);
    sk_ir_end(b);
}

/* ---- all ---- */

static void scratch(sk_plan *c)
{
    sk_builder *b = c->b;
    c->warp_sum = sk_ir_name(b, sk_ir_shared(b, b->program->warps * 4), "warp_sum");
    c->key = sk_ir_name(b, sk_ir_shared(b, CUTS * 4), "key");
    c->ref = sk_ir_name(b, sk_ir_shared(b, CUTS * 4), "ref");
    c->rank = sk_ir_name(b, sk_ir_shared(b, CUTS * 4), "rank");
    c->zero = sk_ir_u32(b, 0);
    c->one = sk_ir_u32(b, 1);
    c->none = sk_ir_u32(b, 0xffffffffu);
    c->lane = sk_ir_lane(b);
    c->warp = sk_ir_0(b, SK_OP_WARP, 0);
}

static sk_status build(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena, sk_build *out,
                       sk_err *err)
{
    sk_builder builder, *b = &builder;
    sk_plan planning = {.b = b, .spec = spec}, *c = &planning;
    const sk_status st = sk_rows_begin(b, spec, sched, arena, "", err);
    if (st != SPHKV_OK) return st;
    c->indptr = sk_ir_param_ptr(b, "indptr", false);
    c->refs = sk_ir_param_ptr(b, "refs", false);
    c->sums = sk_ir_param_ptr(b, "sums", true);
    c->work = sk_ir_param_ptr(b, "work", true);
    const sk_val batch = sk_ir_param_u32(b, "batch"), lists = sk_ir_param_u32(b, "all_lists");
    c->first = sk_ir_param_u32(b, "first_list");
    c->each = sk_ir_param_u32(b, "lists");
    c->stride = sk_ir_param_u32(b, "lists_per_seq");
    c->times = sk_ir_param_u32(b, "pairs_per_list");
    c->parts = sk_ir_param_u32(b, "parts");
    c->items_at = sk_ir_param_u32(b, "items_bytes");
    const sk_val head_first = sk_ir_param_u32(b, "first_head"), heads = sk_ir_param_u32(b, "heads");
    const sk_val shared = sk_ir_param_u32(b, "shared");
    scratch(c);
    c->rows = sk_ir_name(b, op(c, SK_OP_MUL, batch, c->each), "rows");
    c->pairs = sk_ir_name(b, op(c, SK_OP_MUL, c->rows, c->times), "pairs");
    c->bases = sk_ir_name(b, sk_ir_ptr_add(b, c->sums, c->rows, 4), "bases");
    c->unit = sk_ir_name(b, unit_of(c, lists), "unit");
    sum_lists(c);
    scan_rows(c);
    sk_plan_cuts(c);
    rank_cuts(c, head_first, heads, shared, batch);
    items_of_pairs(c);
    items_of_cuts(c);
    memset(out, 0, sizeof *out);
    out->n = 1;
    return sk_ir_finish(b, &out->program[0], err);
}

/* ---- host side ------------------------------------------------------------ */

/* Two sums per list. */
static size_t workspace(const sk_image *image)
{
    const size_t lists = (size_t)image->maxima.batch * image->maxima.kv_heads;
    return (lists * 8 + 63) / 64 * 64;
}

static sk_status run(const sk_image *image, const void *args, uint32_t part, uint32_t parts,
                     sk_err *err)
{
    sphkv_schedule_args a;
    sk_table_look look;
    sk_status st = sk_items_part(image, part, parts, err);
    if (st == SPHKV_OK) st = sk_schedule_args(image, args, &a, &look, err);
    if (st == SPHKV_OK) st = sk_table_frame(&look, err);
    if (st != SPHKV_OK) return st;
    sk_call call = {0};
    sk_call_ptr(&call, a.table.indptr, ((size_t)a.table.lists + 1) * 4);
    sk_call_ptr(&call, a.table.refs, SK_GPU_OPEN);
    sk_call_ptr(&call, a.workspace, image->workspace);
    sk_call_ptr(&call, a.schedule, a.schedule_bytes);
    sk_call_u32(&call, a.batch);
    sk_call_u32(&call, a.table.lists);
    sk_call_u32(&call, look.shared ? 0 : look.kv_first);
    sk_call_u32(&call, look.shared ? 1 : look.kv_count);
    sk_call_u32(&call, a.table.lists_per_seq);
    sk_call_u32(&call, look.shared ? look.kv_count : 1);
    sk_call_u32(&call, a.parts);
    sk_call_u32(&call, sk_work_items_at(a.parts) * 4);
    sk_call_u32(&call, look.kv_first);
    sk_call_u32(&call, look.kv_count);
    sk_call_u32(&call, look.shared);
    return sk_image_launch(image, 0, &call, 1, a.stream, err);
}

const sk_kernel_form sk_plan_on_gpu = {
    .default_schedule = default_schedule,
    .valid = sk_gpu_valid,
    .build = build,
    .workspace = workspace,
    .run = run,
};
