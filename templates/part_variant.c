/* part_variant.c - what variants of attention add around the pages: their parameters,
 * the loop over query tokens, the learned sink.
 *
 * Query tokens go through a page one after the other, the page being in a cache from
 * the first on: the parts are those of one query, registers and scratch as they were.
 * Rows of several tokens side by side would load keys once for all of them; where heads
 * share a KV head that is done already (Zen 4, ns per token-head: four tokens of 4 heads
 * 55.7 with good:vi8 and 91 with kf16:vf16, one token of 16 heads 55.2 and 84; but four
 * tokens of one head 23.7 and 52, one token of 4 heads 15.0 and 25). */
#include "part_segments.h"

#include <math.h>

#define LOG2E 1.44269504f

void sk_dec_variant_params(sk_dec *c)
{
    sk_builder *b = c->b;
    sk_dec_variants *v = &c->var;
    if (sk_dec_has(c, SPHKV_VARIANT_QUERIES)) {
        v->q_len = sk_ir_param_u32(b, "q_len");
        v->q_tok = sk_ir_param_u32(b, "q_token_bytes");
        v->out_tok = sk_ir_param_u32(b, "out_token_bytes");
        v->lse_tok = sk_ir_param_u32(b, "lse_token_bytes");
    }
    if (sk_dec_has(c, SPHKV_VARIANT_WINDOW)) v->window = sk_ir_param_u32(b, "window");
    if (sk_dec_has(c, SPHKV_VARIANT_SOFTCAP)) {
        v->cap_down = sk_ir_param_f32(b, "cap_down");
        v->cap_up = sk_ir_param_f32(b, "cap_up");
    }
    if (sk_dec_has(c, SPHKV_VARIANT_HEADSCALE))
        v->head_scale = sk_ir_param_ptr(b, "head_scale", false);
    if (sk_dec_has(c, SPHKV_VARIANT_SINK)) v->sinks = sk_ir_param_ptr(b, "sinks", false);
    if (sk_dec_has(c, SPHKV_VARIANT_BIAS)) v->bias = sk_ir_param_ptr(b, "bias", false);
    if (sk_dec_has(c, SPHKV_VARIANT_POSITIONS))
        v->q_positions = sk_ir_param_ptr(b, "q_positions", false);
}

/* ---- query tokens ------------------------------------------------------------------ */

/* Adds up areas of a query token. */
static sk_val measure(sk_dec *c, const sk_dec_area *area, void *user)
{
    (void)c;
    if (area->query) *(uint32_t *)user += sk_ir_area_bytes(area->bytes);
    return 0;
}

uint32_t sk_dec_query_bytes(const sk_spec *spec, const sk_schedule *sched)
{
    sk_dec dec;
    uint32_t bytes = 0;
    if (!(spec->variants & SPHKV_VARIANT_QUERIES)) return 0;
    sk_dec_init(&dec, NULL, spec, sched);
    sk_dec_areas(&dec, measure, &bytes);
    return bytes;
}

void sk_dec_tokens_begin(sk_dec *c, sk_dec *one)
{
    *one = *c;
    if (sk_dec_has(c, SPHKV_VARIANT_QUERIES))
        one->var.query = sk_ir_for(c->b, c->zero, c->var.q_len, 1);
}

void sk_dec_queries_begin(sk_dec *c, sk_dec *one)
{
    sk_dec_tokens_begin(c, one);
    if (!sk_dec_has(c, SPHKV_VARIANT_QUERIES)) return;
    const uint32_t bytes = sk_dec_query_bytes(c->spec, c->sched);
    const sk_val i = one->var.query;
    sk_val *area[] = {&one->qs,  &one->qc,  &one->qt,  &one->qm,
                      &one->q16, &one->lut, &one->acc, &one->stat};
    for (uint32_t k = 0; k < SK_COUNT(area); k++)
        if (*area[k] != SK_NONE) *area[k] = sk_ir_ptr_add(c->b, *area[k], i, bytes);
    if (c->qc == c->qs) one->qc = one->qs;
    sk_part_shift(one, i, bytes);
}

void sk_dec_queries_end(sk_dec *c)
{
    if (sk_dec_has(c, SPHKV_VARIANT_QUERIES)) sk_ir_end(c->b);
}

sk_val sk_dec_query_index(sk_dec *c, sk_val i)
{
    if (!sk_dec_has(c, SPHKV_VARIANT_QUERIES)) return i;
    return sk_add(c, sk_ir_2(c->b, SK_OP_MUL, i, c->var.q_len), c->var.query);
}

sk_val sk_dec_query_row(sk_dec *c, sk_val row, sk_val bytes)
{
    if (!sk_dec_has(c, SPHKV_VARIANT_QUERIES)) return row;
    return sk_ir_ptr_add(c->b, row, sk_ir_2(c->b, SK_OP_MUL, c->var.query, bytes), 1);
}

/* ---- the sink ------------------------------------------------------------------------ */

sk_dec_sum sk_part_sink(sk_dec *c, sk_val at, uint32_t h, sk_val m, sk_val l)
{
    sk_builder *b = c->b;
    const sk_val none = sk_ir_f32(b, -INFINITY), zero = sk_ir_f32(b, 0.0f);
    const sk_val sink = sk_ir_var(b, SK_WARP, none);
    sk_ir_if(b, sk_ir_2(b, SK_OP_NE, at, sk_k(c, SK_ITEM_NONE)));
    const sk_val x = sk_ir_ldu(b, SK_LD_F32, sk_dec_turn_row(c, c->var.sinks, 4), at, h * 4);
    sk_ir_set(b, sink, sk_ir_2(b, SK_OP_FMUL, x, sk_ir_f32(b, LOG2E)));
    sk_ir_end(b);
    const sk_val there = sk_ir_get(b, sink);
    const sk_val some = sk_ir_2(b, SK_OP_FLT, zero, l), has = sk_ir_2(b, SK_OP_FLT, none, there);
    sk_dec_sum sum = {.m = sk_ir_2(b, SK_OP_FMAX, m, there)};
    /* the gap of what is not there may be no number */
    const sk_val gap = sk_ir_2(b, SK_OP_FSUB, m, sum.m);
    const sk_val more = sk_ir_exp2(b, sk_ir_2(b, SK_OP_FSUB, there, sum.m), false);
    const sk_val far = sk_ir_2(b, SK_OP_FLT, gap, sk_ir_f32(b, -126.0f)); /* exp2 may not be 0 */
    const sk_val keep = sk_sel(c, far, zero, sk_ir_exp2(b, gap, false));
    sum.keep = sk_sel(c, some, keep, zero);
    sum.l = sk_fma(c, l, sum.keep, sk_sel(c, has, more, zero));
    return sum;
}
