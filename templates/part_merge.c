/* part_merge.c - joins the partials of one list: with m = max m_i and w_i =
 * exp2(m_i - m), out = sum w_i acc_i / sum w_i l_i, exactly the softmax over
 * all tokens (design, section 3), and its LSE where it is asked for. Partial
 * layout: attn_finish.c. */
#include <math.h>

#include "decode.h"
#include "rows.h"

static sk_val job_partial(sk_dec *c, sk_val job, sk_val partials, sk_val i)
{
    const sk_val slot = sk_ir_ldu(c->b, SK_LD_U32, job, sk_mul(c, i, 4), SK_JOB_SLOTS * 4);
    return sk_ir_ptr_add(c->b, partials, slot, sk_dec_partial_bytes(c->spec));
}

/* What the rows of one head are made of. */
typedef struct merge_row {
    sk_val job, n, partials, inv;
    uint32_t h;
} merge_row;

static sk_val merge_channels(sk_dec *c, const void *of, sk_val at)
{
    const merge_row *r = of;
    sk_builder *b = c->b;
    const sk_val acc = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0.0f));
    const sk_val i = sk_ir_for(b, c->zero, r->n, 1);
    const sk_val wi = sk_ir_ldu(b, SK_LD_F32, c->s, sk_mul(c, i, 4), 0);
    const uint32_t disp = (c->heads * 16 + r->h * c->cp) * 4;
    const sk_val from = sk_dec_turn_row(c, job_partial(c, r->job, r->partials, i), c->cp * 4);
    const sk_val x = sk_ir_ldv(b, SK_LD_F32, from, at, disp);
    sk_ir_set(b, acc, sk_fma(c, x, wi, sk_ir_get(b, acc)));
    sk_ir_end(b);
    return sk_ir_2(b, SK_OP_FMUL, sk_ir_get(b, acc), r->inv);
}

/* Sum of a head's weights; largest logit into *top, weights into c->s. */
static sk_val merge_weights(sk_dec *c, sk_val job, sk_val n, sk_val partials, uint32_t h, sk_val *top)
{
    sk_builder *b = c->b;
    const sk_val m = sk_ir_var(b, SK_WARP, sk_ir_f32(b, -INFINITY));
    const sk_val l = sk_ir_var(b, SK_WARP, sk_ir_f32(b, 0.0f));
    sk_val i = sk_ir_for(b, c->zero, n, 1);
    sk_val from = sk_dec_turn_row(c, job_partial(c, job, partials, i), 64);
    sk_val mi = sk_ir_ldu(b, SK_LD_F32, from, c->zero, h * 64);
    sk_ir_set(b, m, sk_ir_2(b, SK_OP_FMAX, sk_ir_get(b, m), mi));
    sk_ir_end(b);
    i = sk_ir_for(b, c->zero, n, 1);
    from = sk_dec_turn_row(c, job_partial(c, job, partials, i), 64);
    mi = sk_ir_ldu(b, SK_LD_F32, from, c->zero, h * 64);
    const sk_val li = sk_ir_ldu(b, SK_LD_F32, from, c->zero, h * 64 + 4);
    /* a part without tokens has m = -inf: its weight is 0, also when all are */
    const sk_val some = sk_ir_2(b, SK_OP_FLT, sk_ir_f32(b, 0.0f), li);
    const sk_val gap = sk_ir_2(b, SK_OP_FSUB, mi, sk_ir_get(b, m));
    const sk_val w = sk_sel(c, some, sk_ir_exp2(b, gap, false), sk_ir_f32(b, 0.0f));
    sk_ir_stu(b, c->s, sk_mul(c, i, 4), 0, w);
    sk_ir_set(b, l, sk_fma(c, w, li, sk_ir_get(b, l)));
    sk_ir_end(b);
    *top = sk_ir_get(b, m);
    return sk_ir_get(b, l);
}

static void merge_head(sk_dec *c, sk_val job, sk_val n, sk_val partials, sk_val row, sk_val lse,
                       uint32_t h)
{
    sk_builder *b = c->b;
    sk_val m, keep = SK_NONE;
    sk_val sum = merge_weights(c, job, n, partials, h, &m);
    if (sk_dec_has(c, SPHKV_VARIANT_SINK)) {
        const sk_dec_sum all = sk_part_sink(c, c->var.sink_at, h, m, sum);
        m = all.m;
        sum = all.l;
        keep = all.keep;
    }
    const sk_val lse_at = sk_ir_ldu(b, SK_LD_U32, job, c->zero, SK_JOB_LSE * 4);
    sk_ir_if(b, sk_ir_2(b, SK_OP_NE, lse_at, sk_k(c, SK_ITEM_NONE)));
    sk_ir_stu(b, lse, lse_at, h * 4, sk_part_lse(c, m, sum));
    sk_ir_end(b);
    const sk_val any = sk_ir_2(b, SK_OP_FLT, sk_ir_f32(b, 0.0f), sum);
    const sk_val inv =
        sk_sel(c, any, sk_ir_2(b, SK_OP_FDIV, keep == SK_NONE ? sk_ir_f32(b, 1.0f) : keep, sum),
               sk_ir_f32(b, 0.0f));
    sk_part_out(c, row, merge_channels, &(merge_row){job, n, partials, inv, h});
}

sk_status sk_build_merge(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena,
                         sk_program **out, sk_err *err)
{
    sk_builder builder, *b = &builder;
    sk_dec dec = {.b = b, .spec = spec, .sched = sched}, *c = &dec;
    const sk_status st = sk_rows_begin(b, spec, sched, arena, "merge", err);
    if (st != SPHKV_OK) return st;
    c->h = sk_dec_turn_heads(spec);
    c->heads = spec->heads_per_kv;
    c->turns = sk_dec_turns(spec);
    c->h0 = SK_NONE;
    c->w = (uint32_t)sched->v[SK_T_w];
    c->dv = spec->dv;
    c->cp = (spec->dv + 15) / 16 * 16;
    const sk_val job = sk_ir_param_ptr(b, "job", false);
    const sk_val partials = sk_ir_param_ptr(b, "partials", false);
    const sk_val to = sk_ir_param_ptr(b, "out", true);
    const sk_val out_stride = sk_ir_param_u32(b, "out_head_bytes");
    const sk_val lse = sk_ir_param_ptr(b, "lse", true);
    if (sk_dec_has(c, SPHKV_VARIANT_SINK)) {
        c->var.sinks = sk_ir_param_ptr(b, "sinks", false);
        c->var.sink_at = sk_ir_param_u32(b, "sink_at");
    }
    c->zero = sk_ir_u32(b, 0);
    c->lane = sk_ir_lane(b);
    c->s = sk_ir_name(b, sk_ir_shared(b, SPHKV_MAX_PARTS * 4), "weights");
    const sk_val n = sk_ir_ldu(b, SK_LD_U32, job, c->zero, SK_JOB_COUNT * 4);
    const sk_val rows = sk_ir_ptr_add(b, to, sk_ir_ldu(b, SK_LD_U32, job, c->zero, SK_JOB_OUT * 4), 1);
    sk_dec_turns_begin(c);
    sk_val row = sk_dec_turn_row_by(c, rows, out_stride);
    const sk_val lses = sk_dec_turn_row(c, lse, 4);
    for (uint32_t h = 0; h < c->h; h++) {
        merge_head(c, job, n, partials, row, lses, h);
        if (h + 1 < c->h) row = sk_ir_ptr_add(b, row, out_stride, 1);
    }
    sk_dec_turns_end(c);
    return sk_ir_finish(b, out, err);
}
