/* attn_schedule_cuts.c - where each part of a work list begins: for each border the
 * pair that it falls into, by a search over the prefix sums of lists, W places at
 * once, and there the page, W pages at once. Borders are the warps' in turns. */
#include "attn_schedule_gpu.h"
#include "gpu.h"

static sk_val op(sk_plan *c, sk_op o, sk_val x, sk_val y) { return sk_ir_2(c->b, o, x, y); }
static sk_val opk(sk_plan *c, sk_op o, sk_val x, uint32_t y) { return sk_ir_2k(c->b, o, x, y); }
static sk_val pick(sk_plan *c, sk_val p, sk_val x, sk_val y) { return sk_ir_3(c->b, SK_OP_SELECT, p, x, y); }
static sk_val get(sk_plan *c, sk_val var) { return sk_ir_get(c->b, var); }

/* Whether the part that weight x falls into is k or a later one. */
static sk_val reaches(sk_plan *c, sk_val x, sk_val k)
{
    sk_builder *b = c->b;
    const sk_val at = op(c, SK_OP_FMUL, sk_ir_1(b, SK_OP_I2F, x), c->scale);
    const sk_val part = sk_ir_1(b, SK_OP_F2I, op(c, SK_OP_FMAX, op(c, SK_OP_FSUB, at, sk_ir_f32(b, 0.5f)),
                                                 sk_ir_f32(b, 0.0f)));
    return op(c, SK_OP_ULE, k, part);
}

/* Whether the end of a row does, any scope; false where not `there`. */
static sk_val row_reaches(sk_plan *c, sk_val row, sk_val k, sk_val there)
{
    const sk_val sum = op(c, SK_OP_MUL, sk_plan_words(c, c->sums, row, there), c->times);
    const sk_val end = op(c, SK_OP_ADD, sk_plan_words(c, c->bases, row, there), sum);
    return op(c, SK_OP_PAND, there, reaches(c, end, k));
}

/* The lane that is the first of those of a predicate, 32 when there is none. */
static sk_val first_lane(sk_plan *c, sk_val p)
{
    return sk_ir_1(c->b, SK_OP_RED_UMIN, pick(c, p, c->lane, sk_ir_u32(c->b, 32)));
}

/* The first row whose end reaches part k, or one that does not when none does. */
static sk_val find_row(sk_plan *c, sk_val k)
{
    sk_builder *b = c->b;
    const sk_val lo = sk_ir_var(b, SK_WARP, c->zero), len = sk_ir_var(b, SK_WARP, c->rows);
    (void)sk_ir_for(b, c->zero, sk_ir_u32(b, 6), 1); /* 32^6 rows */
    sk_ir_if(b, op(c, SK_OP_ULT, c->one, get(c, len)));
    const sk_val step = opk(c, SK_OP_SHR, opk(c, SK_OP_ADD, get(c, len), 31), 5);
    const sk_val last = op(c, SK_OP_SUB, op(c, SK_OP_ADD, get(c, lo), get(c, len)), c->one);
    const sk_val ends = op(c, SK_OP_MUL, opk(c, SK_OP_ADD, c->lane, 1), step);
    const sk_val probe =
        op(c, SK_OP_UMIN, op(c, SK_OP_SUB, op(c, SK_OP_ADD, get(c, lo), ends), c->one), last);
    const sk_val there = op(c, SK_OP_ULT, probe, c->rows);
    const sk_val f = opk(c, SK_OP_UMIN, first_lane(c, row_reaches(c, probe, k, there)), 31);
    const sk_val from = op(c, SK_OP_UMIN, op(c, SK_OP_ADD, get(c, lo), op(c, SK_OP_MUL, f, step)), last);
    const sk_val left = opk(c, SK_OP_ADD, op(c, SK_OP_SUB, last, from), 1);
    sk_ir_set(b, lo, from);
    sk_ir_set(b, len, op(c, SK_OP_UMIN, step, left));
    sk_ir_end(b);
    sk_ir_end(b);
    return get(c, lo);
}

/* The first pair of a row whose end reaches part k. */
static sk_val find_turn(sk_plan *c, sk_val base, sk_val sum, sk_val k)
{
    sk_builder *b = c->b;
    const sk_val best = sk_ir_var(b, SK_WARP, c->none);
    const sk_val t = op(c, SK_OP_ADD, sk_ir_for(b, c->zero, c->times, 32), c->lane);
    const sk_val end = op(c, SK_OP_ADD, base, op(c, SK_OP_MUL, opk(c, SK_OP_ADD, t, 1), sum));
    const sk_val ok = op(c, SK_OP_PAND, op(c, SK_OP_ULT, t, c->times), reaches(c, end, k));
    const sk_val least = sk_ir_1(b, SK_OP_RED_UMIN, pick(c, ok, t, c->none));
    sk_ir_set(b, best, op(c, SK_OP_UMIN, get(c, best), least));
    sk_ir_end(b);
    return get(c, best);
}

/* The first reference from lo on whose page's middle reaches part k, weights from
 * `base` on; none: 0xffffffff. */
static sk_val find_page(sk_plan *c, sk_val base, sk_val lo, sk_val hi, sk_val k)
{
    sk_builder *b = c->b;
    const sk_val best = sk_ir_var(b, SK_WARP, c->none), run = sk_ir_var(b, SK_WARP, base);
    const sk_val i = sk_ir_for(b, lo, hi, 32);
    sk_ir_if(b, op(c, SK_OP_EQ, get(c, best), c->none));
    const sk_val w = sk_plan_weights(c, i, hi), upto = sk_gpu_scan(c->b, 32, w);
    const sk_val before = op(c, SK_OP_SUB, op(c, SK_OP_ADD, get(c, run), upto), w);
    const sk_val middle = op(c, SK_OP_ADD, before, opk(c, SK_OP_SHR, w, 1));
    const sk_val at = op(c, SK_OP_ADD, i, c->lane);
    const sk_val ok = op(c, SK_OP_PAND, op(c, SK_OP_ULT, at, hi), reaches(c, middle, k));
    sk_ir_set(b, best, sk_ir_1(b, SK_OP_RED_UMIN, pick(c, ok, at, c->none)));
    sk_ir_set(b, run, op(c, SK_OP_ADD, get(c, run), sk_ir_extract(b, upto, 31)));
    sk_ir_end(b);
    sk_ir_end(b);
    return get(c, best);
}

static void put_cut(sk_plan *c, sk_val k, sk_val key, sk_val ref)
{
    sk_ir_stu(c->b, sk_ir_ptr_add(c->b, c->key, k, 4), c->zero, 0, key);
    sk_ir_stu(c->b, sk_ir_ptr_add(c->b, c->ref, k, 4), c->zero, 0, ref);
}

/* key: twice the pair in which part k begins, one more where it begins inside of its
 * list, at reference `ref`. */
static void find_cut(sk_plan *c, sk_val k)
{
    sk_builder *b = c->b;
    const sk_val row = find_row(c, k), there = op(c, SK_OP_ULT, row, c->rows);
    const sk_val key = sk_ir_var(b, SK_WARP, opk(c, SK_OP_SHL, c->pairs, 1));
    const sk_val ref = sk_ir_var(b, SK_WARP, c->zero);
    sk_ir_if(b, sk_ir_any(b, row_reaches(c, row, k, op(c, SK_OP_PAND, there,
                                                        op(c, SK_OP_ULT, c->lane, c->one)))));
    const sk_val list = sk_plan_list(c, row), sum = sk_plan_word(c, c->sums, row);
    const sk_val base = sk_plan_word(c, c->bases, row);
    const sk_val lo = sk_plan_word(c, c->indptr, list);
    const sk_val hi = sk_plan_word(c, c->indptr, opk(c, SK_OP_ADD, list, 1));
    const sk_val turn = find_turn(c, base, sum, k);
    const sk_val pair = op(c, SK_OP_ADD, op(c, SK_OP_MUL, row, c->times), turn);
    const sk_val page = find_page(c, op(c, SK_OP_ADD, base, op(c, SK_OP_MUL, turn, sum)), lo, hi, k);
    const sk_val twice = opk(c, SK_OP_SHL, pair, 1), next = opk(c, SK_OP_ADD, twice, 2);
    const sk_val inner = pick(c, op(c, SK_OP_EQ, page, lo), twice, opk(c, SK_OP_ADD, twice, 1));
    sk_ir_set(b, key, pick(c, op(c, SK_OP_EQ, page, c->none), next, inner));
    sk_ir_set(b, ref, page);
    sk_ir_end(b);
    put_cut(c, k, get(c, key), get(c, ref));
}

void sk_plan_cuts(sk_plan *c)
{
    sk_builder *b = c->b;
    const sk_val k = sk_ir_for(b, opk(c, SK_OP_ADD, c->warp, 1), c->parts, b->program->warps);
    find_cut(c, k);
    sk_ir_end(b);
    sk_ir_if(b, op(c, SK_OP_EQ, c->warp, c->zero));
    put_cut(c, c->zero, c->zero, c->zero);
    put_cut(c, c->parts, opk(c, SK_OP_SHL, c->pairs, 1), c->zero);
    sk_ir_end(b);
    sk_ir_barrier(b);
}

