/* case_judge.c - attn_decode against the double reference. The error of a row
 * is ||o - ref|| / ||sum p |v| ||: what cancels in the output does not excuse
 * or inflate an error, and it is 0 / 0 only where nothing may be written but
 * zeros. S1 is judged by the root mean square over its rows, every other set
 * by its worst row. */
#include <math.h>
#include <string.h>

#include "case_impl.h"

sk_status sk_case_keep_truth(sk_case_state *s, const sk_attn_truth *t, sk_status st)
{
    if (st != SPHKV_OK) {
        sk_free(t->out);
        sk_free(t->mag);
        sk_free(t->lse);
        sk_free(t->page_ml);
        return st;
    }
    s->max_logit = t->max_logit;
    s->max_terms = t->max_terms;
    s->ref = t->out;
    s->mag = t->mag;
    s->lse = t->lse;
    s->page_ml = t->page_ml;
    return SPHKV_OK;
}

static sk_status make_reference(const sk_case *c, sk_err *err)
{
    sk_case_state *s = sk_case_state_of(c);
    size_t n = (size_t)c->p.shape.batch * sk_case_q_len(&c->p) * s->heads * c->p.spec.dv;
    if (s->ref) return SPHKV_OK;
    size_t ml = sk_case_ml_bytes(c) / sizeof(float);
    sk_attn_truth t = {.out = sk_malloc(n * sizeof *t.out), .mag = sk_malloc(n * sizeof *t.mag)};
    t.lse = sk_malloc(n / c->p.spec.dv * sizeof *t.lse);
    t.page_ml = sk_malloc((ml + 1) * sizeof *t.page_ml);
    sk_status st = SPHKV_OK;
    if (!t.out || !t.mag || !t.lse || !t.page_ml)
        st = sk_fail(err, SPHKV_ENOMEM, "no memory for a reference");
    for (size_t i = 0; i < ml && st == SPHKV_OK; i++)
        t.page_ml[i] = (double)NAN;
    if (st == SPHKV_OK)
        st = sk_attn_reference(&c->p.spec, &c->args.attn[0], s->kv_heads, &t, err);
    return sk_case_keep_truth(s, &t, st);
}

/* Elements between strided rows belong to the caller. */
static sk_status check_gaps(const sk_case *c, uint32_t copy, sk_err *err)
{
    const sphkv_attn_args *a = &c->args.attn[copy];
    const sk_case_state *s = sk_case_state_of(c);
    const uint8_t *out = a->out;
    uint32_t size = sk_case_dtype_bytes(c->p.spec.out_dtype);
    for (uint32_t seq = 0; seq < a->batch; seq++)
        for (uint32_t i = 0; i < a->out_stride_seq; i++) {
            const uint32_t tok = a->out_stride_tok ? a->out_stride_tok : a->out_stride_seq;
            if (i / tok < sk_case_q_len(&c->p) && i % tok < s->heads * a->out_stride_head &&
                i % tok % a->out_stride_head < c->p.spec.dv)
                continue;
            const uint8_t *gap = out + ((size_t)seq * a->out_stride_seq + i) * size;
            for (uint32_t b = 0; b < size; b++)
                if (gap[b] != SK_CASE_POISON)
                    return sk_fail(err, SPHKV_EVERIFY,
                                   "%s wrote between the rows of its output, sequence %u",
                                   sk_kernel_name(c->p.spec.kernel), seq);
        }
    return SPHKV_OK;
}

/* ||o - ref|| / ||mag|| of one row, less what rounding to the output's dtype may
 * have added; NaN where an output is NaN. */
static double row_error(const sk_case *c, uint32_t copy, uint32_t row)
{
    const sphkv_attn_args *a = &c->args.attn[copy];
    const sk_case_state *s = sk_case_state_of(c);
    uint32_t dv = c->p.spec.dv;
    size_t at = (size_t)row * dv, from = sk_case_out_row(c, a, row);
    double diff = 0, mag = 0, rounding = 0;
    for (uint32_t i = 0; i < dv; i++) {
        double o = sk_case_get(a->out, c->p.spec.out_dtype, from + i) - s->ref[at + i];
        double step = sk_case_half_step(c->p.spec.out_dtype, s->ref[at + i]);
        diff += o * o;
        rounding += step * step;
        mag += s->mag[at + i] * s->mag[at + i];
    }
    if (diff == 0) return 0;
    /* Weights that are zero in double are 2^-126 at most in f32 (exp2 ends there); values
     * are far below 2^20. */
    if (mag == 0 && diff <= dv * 0x1p-212) return 0;
    if (isnan(diff) || mag == 0) return isnan(diff) ? diff : (double)INFINITY;
    return fmax(0, sqrt(diff / mag) - sqrt(rounding / mag));
}

/* How many times the bound of the others a row may be off. A learned sink has its share s of the weight
 * and no value: the tokens' is 1 / (1 + exp(sink - lse)), off by s times what lse is, in
 * which errors of logits need not average (one token is a list, too). So as much of the bound
 * is that of an LSE. */
static double row_room(const sk_case *c, uint32_t copy, uint32_t row)
{
    const sk_case_state *s = sk_case_state_of(c);
    const float *sinks = c->args.attn[copy].sinks;
    if (!(c->p.spec.variants & SPHKV_VARIANT_SINK) || !sinks) return 1;
    const double sink = (double)sinks[row % s->heads];
    return sink > -(double)INFINITY ? 1 + (SK_CASE_LSE_ROOM - 1) * exp(sink - s->lse[row]) : 1;
}

static double attn_bound(const sk_case *c)
{
    const double bound = sk_accuracy_bound(c->p.spec.accuracy);
    return c->p.input == SK_IN_S1 ? bound : bound * sk_case_logit_size(c);
}

sk_status sk_case_judge_attn(const sk_case *c, uint32_t copy, double *error, double *bound,
                             sk_err *err)
{
    const sk_case_state *s = sk_case_state_of(c);
    double sum2 = 0, most = -1;
    const uint32_t q_len = sk_case_q_len(&c->p);
    uint32_t worst = 0, rows = c->p.shape.batch * q_len * s->heads;
    sk_status st = make_reference(c, err);
    if (st == SPHKV_OK) st = check_gaps(c, copy, err);
    if (st == SPHKV_OK) st = sk_case_judge_sums(c, copy, err);
    if (st != SPHKV_OK) return st;
    for (uint32_t r = 0; r < rows; r++) {
        double e = row_error(c, copy, r);
        if (isnan(e))
            return sk_fail(err, SPHKV_EVERIFY,
                           "%s: not written, or not a number: sequence %u, query %u, head %u",
                           sk_kernel_name(c->p.spec.kernel), r / s->heads / q_len, r / s->heads % q_len, r % s->heads);
        sum2 += e * e;
        e /= row_room(c, copy, r);
        if (e > most) {
            most = e;
            worst = r;
        }
    }
    *error = c->p.input == SK_IN_S1 ? sqrt(sum2 / rows) : most;
    *bound = attn_bound(c);
    if (*error <= *bound) return SPHKV_OK;
    return sk_fail(err, SPHKV_EVERIFY,
                   "%s: error %.3g over %.3g, worst at sequence %u, query %u, head %u "
                   "(%.3g)",
                   sk_kernel_name(c->p.spec.kernel), *error, *bound, worst / s->heads / q_len, worst / s->heads % q_len,
                   worst % s->heads, most);
}
