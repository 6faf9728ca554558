/* mass_build.c - page_mass: attention's walk over the pages of an item, with steps of its
 * own for a page, to find the sum of a query's softmax, and to give each slot its share;
 * and the program of a CPU, which does both for each query in turn. */
#include <math.h>
#include <string.h>

#include "page_mass.h"
#include "part_rope.h"
#include "rows.h"

#define LOG2E 1.44269504f
#define LEAST (-1024.0f) /* LSE that are given count down to here */

static sk_val in_scratch(sk_dec *c, const sk_dec_area *area, void *user)
{
    (void)user;
    return sk_ir_name(c->b, sk_ir_shared(c->b, area->bytes), area->name);
}

/* Logits of the page as they enter the softmax, where the query sees some of its tokens:
 * begins that. */
static sk_dec_seen logits_of(sk_dec *c, const sk_dec_at *at)
{
    const sk_dec_seen seen = sk_part_seen(c, at->tier_slot, at->page, at->count);
    sk_ir_if(c->b, seen.any);
    sk_part_logits(c, at->tier_slot, at->page, seen.end, at->lut, at->next);
    sk_part_mask(c, at->tier_slot, at->page, &seen, at->bias);
    return seen;
}

/* The first time: running maxima and sums; nobody asks for those of the page. */
static void sum_page(sk_dec *c, const sk_dec_at *at)
{
    sk_dec one = *c;
    one.ml = ((const sk_mass *)c->page_user)->out;
    one.ml_wanted = sk_ir_2k(c->b, SK_OP_NE, c->zero, 0);
    const sk_dec_seen seen = logits_of(c, at);
    sk_part_softmax(&one, at->tier_slot, seen.end, SK_NONE);
    sk_ir_end(c->b);
}

/* Shares of W slots from t0 on, of all heads of the turn; none of what is not seen, for
 * which no logit is finite. */
static sk_val shares(sk_dec *c, const sk_mass *m, sk_val t0, const sk_dec_seen *seen)
{
    sk_builder *b = c->b;
    const bool fast = c->spec->accuracy == SPHKV_FAST;
    sk_val sum = sk_ir_f32(b, 0.0f), in = sk_ir_2(b, SK_OP_ULT, sk_add(c, t0, c->lane), seen->end);
    for (uint32_t h = 0; h < c->h; h++) {
        const sk_val x = sk_ir_ldv(b, SK_LD_F32, c->s, sk_mul(c, t0, 4), h * c->tp * 4);
        const sk_val top = sk_ir_ldu(b, SK_LD_F32, m->top, c->zero, h * 4);
        const sk_val p = sk_ir_exp2(b, sk_ir_2(b, SK_OP_FSUB, x, top), fast);
        if (h == 0 && seen->whole != SK_NONE)
            in = sk_ir_2(b, SK_OP_PAND, in, sk_ir_2(b, SK_OP_FLT, sk_ir_f32(b, -INFINITY), x));
        sum = sk_fma(c, p, sk_ir_ldu(b, SK_LD_F32, m->top, c->zero, (c->h + h) * 4), sum);
    }
    return sk_sel(c, in, sum, sk_ir_f32(b, 0.0f));
}

/* The second time: each slot's share. */
static void share_page(sk_dec *c, const sk_dec_at *at)
{
    const sk_mass *m = c->page_user;
    sk_builder *b = c->b;
    const sk_dec_seen seen = logits_of(c, at);
    const sk_val row = sk_ir_ptr_add(b, m->out, at->row, c->p * 4);
    const sk_val all = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f));
    const sk_val t0 = sk_ir_for(b, c->zero, seen.end, c->w), off = sk_mul(c, t0, 4);
    const sk_val x = shares(c, m, t0, &seen);
    sk_ir_stv(b, row, off, 0, sk_ir_2(b, SK_OP_FADD, sk_ir_ldv(b, SK_LD_F32, row, off, 0), x));
    sk_ir_set(b, all, sk_ir_2(b, SK_OP_FADD, sk_ir_get(b, all), x));
    sk_ir_end(b);
    sk_ir_if(b, sk_ir_2(b, SK_OP_NE, m->sums_wanted, c->zero));
    const sk_val to = sk_ir_ptr_add(b, m->sums, at->row, 4);
    const sk_val sum = sk_ir_1(b, SK_OP_RED_FADD, sk_ir_get(b, all));
    sk_ir_stu(b, to, c->zero, 0, sk_ir_2(b, SK_OP_FADD, sk_ir_ldu(b, SK_LD_F32, to, c->zero, 0), sum));
    sk_ir_end(b);
    sk_ir_end(b);
}

/* Nothing has fallen on any slot yet. */
void sk_mass_clear(sk_dec *c, const sk_mass *m)
{
    sk_builder *b = c->b;
    const sk_val zero = sk_ir_f32(b, 0.0f);
    const sk_val first = sk_ir_ldu(b, SK_LD_U32, c->item, c->zero, SK_ITEM_TIER * 4);
    const sk_val end = sk_ir_ldu(b, SK_LD_U32, c->item, c->zero, (SK_ITEM_TIER + c->spec->ntiers) * 4);
    const sk_val step = sk_ir_ldu(b, SK_LD_U32, c->item, c->zero, SK_ITEM_ML_STEP * 4);
    const sk_val add = sk_ir_ldu(b, SK_LD_U32, c->item, c->zero, SK_ITEM_ML_ADD * 4);
    const sk_val i = sk_ir_for(b, first, end, 1), row = sk_add(c, sk_ir_2(b, SK_OP_MUL, i, step), add);
    const sk_val to = sk_ir_ptr_add(b, m->out, row, c->p * 4);
    const sk_val t0 = sk_ir_for(b, c->zero, sk_k(c, c->p), c->w);
    sk_ir_stv(b, to, sk_mul(c, t0, 4), 0, zero);
    sk_ir_end(b);
    sk_ir_if(b, sk_ir_2(b, SK_OP_NE, m->sums_wanted, c->zero));
    sk_ir_stu(b, sk_ir_ptr_add(b, m->sums, row, 4), c->zero, 0, zero);
    sk_ir_end(b);
    sk_ir_end(b);
}

/* Heads that the turn before has had count no second time: nothing is near infinity. */
void sk_mass_top(sk_dec *c, const sk_mass *m, const sk_dec_sum sum[SK_HEAD_TILE], sk_val had)
{
    sk_builder *b = c->b;
    for (uint32_t h = 0; h < c->h; h++) {
        const sk_val factor = sk_ir_2(b, SK_OP_FDIV, sk_ir_f32(b, 1.0f), sum[h].l);
        sk_val top = sum[h].m;
        if (c->turns > 1) {
            const sk_val twice = sk_ir_2(b, SK_OP_ULT, sk_add(c, c->h0, sk_k(c, h)), had);
            top = sk_sel(c, twice, sk_ir_f32(b, INFINITY), top);
        }
        sk_ir_stu(b, m->top, c->zero, h * 4, top);
        sk_ir_stu(b, m->top, c->zero, (c->h + h) * 4, factor);
    }
}

/* The running pair of a head, its sink in it. */
static sk_dec_sum sum_of(sk_dec *c, uint32_t h)
{
    sk_builder *b = c->b;
    sk_dec_sum all = {.m = sk_ir_ldu(b, SK_LD_F32, c->stat, c->zero, c->stat_m + h * 4),
                      .l = sk_ir_ldu(b, SK_LD_F32, c->stat, c->zero, c->stat_l + h * 4)};
    if (sk_dec_has(c, SPHKV_VARIANT_SINK))
        all = sk_part_sink(c, sk_ir_ldu(b, SK_LD_U32, c->item, c->zero, SK_ITEM_SINK * 4), h, all.m, all.l);
    return all;
}

void sk_mass_query(sk_dec *c, const sk_mass *m, sk_val q, sk_val query)
{
    c->var.q_len = m->q_len;
    c->var.query = query;
    c->q = sk_ir_ptr_add(c->b, q, sk_ir_2(c->b, SK_OP_MUL, query, m->q_tok), 1);
    sk_dec_start(c);
}

/* The LSE of a query for the first head of the turn. */
static sk_val lse_row(sk_dec *c, const sk_mass *m, sk_val query)
{
    sk_builder *b = c->b;
    const sk_val at = sk_ir_ldu(b, SK_LD_U32, c->item, c->zero, SK_ITEM_LSE * 4);
    const sk_val row = sk_ir_ptr_add(b, m->lse, at, 1);
    return sk_dec_turn_row(c, sk_ir_ptr_add(b, row, sk_ir_2(b, SK_OP_MUL, query, m->lse_tok), 1), 4);
}

/* An LSE, and the sum that it says. */
static sk_val lse_of(sk_dec *c, sk_val row, uint32_t h)
{
    return sk_ir_ldu(c->b, SK_LD_F32, row, c->zero, h * 4);
}
static sk_dec_sum sum_of_lse(sk_dec *c, sk_val lse)
{
    const sk_val m = sk_ir_2(c->b, SK_OP_FMUL, lse, sk_ir_f32(c->b, LOG2E));
    return (sk_dec_sum){.m = m, .l = sk_ir_f32(c->b, 1.0f)};
}

/* Far below 0 only by biases; down to LEAST the rounding of an LSE is 2^-15 at most. */
static sk_val says_it(sk_dec *c, sk_val lse)
{
    return sk_ir_2(c->b, SK_OP_FLE, sk_ir_f32(c->b, LEAST), lse);
}

sk_val sk_mass_knows(sk_dec *c, const sk_mass *m, sk_val query)
{
    sk_builder *b = c->b;
    const sk_val given = sk_ir_2(b, SK_OP_NE, m->lse_given, c->zero);
    if (!sk_dec_has(c, SPHKV_VARIANT_BIAS)) return given;
    const sk_val least = sk_ir_var(b, SK_WARP, sk_ir_f32(b, -INFINITY));
    sk_ir_if(b, given);
    const sk_val row = lse_row(c, m, query);
    sk_val x = lse_of(c, row, 0);
    for (uint32_t h = 1; h < c->h; h++) x = sk_ir_2(b, SK_OP_FMIN, x, lse_of(c, row, h));
    sk_ir_set(b, least, x);
    sk_ir_end(b);
    return says_it(c, sk_ir_get(b, least));
}

void sk_mass_given(sk_dec *c, const sk_mass *m, sk_val query, sk_dec_sum sum[SK_HEAD_TILE])
{
    const sk_val row = lse_row(c, m, query);
    for (uint32_t h = 0; h < c->h; h++) sum[h] = sum_of_lse(c, lse_of(c, row, h));
}

/* The heads whose LSE are given and say it keep them: those have their sinks. */
static void keep_given(sk_dec *c, const sk_mass *m, sk_val query, sk_dec_sum sum[SK_HEAD_TILE])
{
    sk_builder *b = c->b;
    sk_val top[SK_HEAD_TILE], l[SK_HEAD_TILE];
    for (uint32_t h = 0; h < c->h; h++) {
        top[h] = sk_ir_var(b, SK_WARP, sum[h].m);
        l[h] = sk_ir_var(b, SK_WARP, sum[h].l);
    }
    sk_ir_if(b, sk_ir_2(b, SK_OP_NE, m->lse_given, c->zero));
    const sk_val row = lse_row(c, m, query);
    for (uint32_t h = 0; h < c->h; h++) {
        const sk_val lse = lse_of(c, row, h), kept = says_it(c, lse);
        const sk_dec_sum given = sum_of_lse(c, lse);
        sk_ir_set(b, top[h], sk_sel(c, kept, given.m, sum[h].m));
        sk_ir_set(b, l[h], sk_sel(c, kept, given.l, sum[h].l));
    }
    sk_ir_end(b);
    for (uint32_t h = 0; h < c->h; h++)
        sum[h] = (sk_dec_sum){.m = sk_ir_get(b, top[h]), .l = sk_ir_get(b, l[h])};
}

void sk_mass_sum(sk_dec *c, const sk_mass *m, sk_dec_pages *pages, sk_val query,
                 sk_dec_sum sum[SK_HEAD_TILE])
{
    c->page_user = (void *)(uintptr_t)m;
    c->page_step = sum_page;
    sk_dec_walk(c, pages);
    for (uint32_t h = 0; h < c->h; h++) sum[h] = sum_of(c, h);
    if (sk_dec_has(c, SPHKV_VARIANT_BIAS)) keep_given(c, m, query, sum);
}

void sk_mass_share(sk_dec *c, const sk_mass *m, sk_dec_pages *pages)
{
    c->page_user = (void *)(uintptr_t)m;
    c->page_step = share_page;
    sk_dec_walk(c, pages);
}

/* ---- on a CPU ----------------------------------------------------------------- */

static void params(sk_dec *c, sk_mass *m, sk_dec_pages *pages)
{
    sk_builder *b = c->b;
    c->item = sk_ir_param_ptr(b, "item", false);
    c->q = sk_ir_param_ptr(b, "q", false);
    c->codebook = sk_ir_param_ptr(b, "codebook", false);
    c->scale = sk_ir_param_f32(b, "scale_log2e");
    c->q_stride = sk_ir_param_u32(b, "q_head_bytes");
    m->q_tok = sk_ir_param_u32(b, "q_token_bytes");
    m->q_len = sk_ir_param_u32(b, "q_len");
    c->arena = sk_ir_param_ptr(b, "arena", false);
    pages->refs = sk_ir_param_ptr(b, "refs", false);
    m->lse = sk_ir_param_ptr(b, "lse", false);
    m->lse_given = sk_ir_param_u32(b, "lse_given");
    m->lse_tok = sk_ir_param_u32(b, "lse_token_bytes");
    m->out = sk_ir_param_ptr(b, "mass", true);
    m->sums = sk_ir_param_ptr(b, "page_mass", true);
    m->sums_wanted = sk_ir_param_u32(b, "page_mass_wanted");
    pages->ml = m->out; /* no statistics: none are asked for */
    sk_dec_variant_params(c);
    sk_rope_params(c);
}

/* All queries, for the heads of a turn; had: heads that turns before have had. */
static void each_query(sk_dec *c, const sk_mass *m, sk_dec_pages *pages, sk_val had)
{
    sk_builder *b = c->b;
    const sk_val q = c->q, query = sk_ir_for(b, c->zero, m->q_len, 1);
    sk_dec_sum sum[SK_HEAD_TILE];
    sk_mass_query(c, m, q, query);
    sk_ir_if(b, sk_mass_knows(c, m, query));
    sk_mass_given(c, m, query, sum);
    sk_mass_top(c, m, sum, had);
    sk_ir_else(b);
    sk_mass_sum(c, m, pages, query, sum);
    sk_mass_top(c, m, sum, had);
    sk_ir_end(b);
    sk_mass_share(c, m, pages);
    sk_ir_end(b);
    c->q = q;
}

sk_status sk_mass_build(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena, sk_build *out,
                        sk_err *err)
{
    sk_builder builder, *b = &builder;
    sk_dec dec, *c = &dec;
    sk_mass masses, *m = &masses;
    sk_dec_pages pages = {.refs = SK_NONE};
    const sk_schedule full = sk_mass_attention(sched);
    const sk_status st = sk_rows_begin(b, spec, sched, arena, "", err);
    if (st != SPHKV_OK) return st;
    sk_dec_init(c, b, spec, &full);
    params(c, m, &pages);
    c->zero = sk_ir_u32(b, 0);
    c->lane = sk_ir_lane(b);
    sk_dec_areas(c, in_scratch, NULL);
    m->top = sk_ir_name(b, sk_ir_shared(b, sk_mass_top_bytes(c->h)), "top");
    const sk_val had = sk_ir_var(b, SK_BLOCK, c->zero);
    sk_mass_clear(c, m);
    sk_dec_turns_begin(c);
    each_query(c, m, &pages, sk_ir_get(b, had));
    if (c->turns > 1) sk_ir_set(b, had, sk_add(c, c->h0, sk_k(c, c->h)));
    sk_dec_turns_end(c);
    memset(out, 0, sizeof *out);
    out->n = 1;
    return sk_ir_finish(b, &out->program[0], err);
}
