/* case_judge_sums.c - LSE and page statistics of attn_decode against the double
 * reference. They are logarithms, so an error is absolute: what relative error
 * a weight exp(lse) has. What has no tokens is exact. */
#include <math.h>
#include <string.h>

#include "case_impl.h"

/* Where the terms of a logit cancel, what f32 rounds of them goes with their size and not
 * with the logit's; the terms of S1 come to 20 to 40. Coarser classes hold without. */
double sk_case_logit_size(const sk_case *c)
{
    const sk_case_state *s = sk_case_state_of(c);
    const double size = fmax(1, s->max_logit / 8);
    const bool terms = c->p.input == SK_IN_CANCEL && c->p.spec.accuracy == SPHKV_EXACT;
    return terms ? fmax(size, s->max_terms / 32) : size;
}

/* Allowed for a logarithm of this size. The class bounds the root mean square of
 * a row, in which errors of logits average; here one logit may be all there is,
 * and the worst of all is judged. */
static double sums_bound(const sk_case *c, double log_sum)
{
    const double class = sk_accuracy_bound(c->p.spec.accuracy);
    const double rounding = 0x1p-21 * (1 + fabs(log_sum));
    return SK_CASE_LSE_ROOM * class * sk_case_logit_size(c) + rounding;
}

static bool is_poison(const float *x)
{
    uint32_t bits;
    memcpy(&bits, x, sizeof bits);
    return bits == SK_CASE_POISON * 0x01010101u;
}

static sk_status judge_lse(const sk_case *c, uint32_t copy, sk_err *err)
{
    const sk_case_state *s = sk_case_state_of(c);
    const sphkv_attn_args *a = &c->args.attn[copy];
    const uint32_t q_len = sk_case_q_len(&c->p);
    for (uint32_t seq = 0; seq < a->batch; seq++)
        for (uint32_t h = 0; h < a->lse_stride_seq; h++) {
            const float *x = a->lse + (size_t)seq * a->lse_stride_seq + h;
            const uint32_t tok = a->lse_stride_tok ? a->lse_stride_tok : a->lse_stride_seq;
            if (h / tok >= q_len || h % tok >= s->heads) {
                if (is_poison(x)) continue;
                return sk_fail(err, SPHKV_EVERIFY, "%s wrote between rows of lse, sequence %u",
                               sk_kernel_name(c->p.spec.kernel), seq);
            }
            const double want = s->lse[((size_t)seq * q_len + h / tok) * s->heads + h % tok];
            const double bound = isinf(want) ? 0 : sums_bound(c, want);
            if ((double)*x == want || fabs((double)*x - want) <= bound) continue;
            return sk_fail(err, SPHKV_EVERIFY,
                           "%s: lse of sequence %u, place %u is %.8g, not %.8g (within %.3g)",
                           sk_kernel_name(c->p.spec.kernel), seq, h, (double)*x, want, bound);
        }
    return SPHKV_OK;
}

static bool pair_right(const sk_case *c, const float *x, const double *want)
{
    const double m = (double)x[0], l = (double)x[1];
    if (isnan(want[0])) return is_poison(&x[0]) && is_poison(&x[1]);
    if (want[1] == 0) return m == want[0] && l == 0;
    const double log_sum = want[0] + log(want[1]), bound = sums_bound(c, log_sum);
    return fabs(m - want[0]) <= bound && fabs(m + log(l) - log_sum) <= bound;
}

static sk_status judge_pages(const sk_case *c, uint32_t copy, sk_err *err)
{
    const sk_case_state *s = sk_case_state_of(c);
    const float *x = c->args.attn[copy].page_ml;
    const uint32_t hpk = c->p.spec.heads_per_kv;
    const size_t rows = c->p.lists_per_seq == 1 ? s->kv_heads : 1;
    const size_t pairs = sk_case_ml_bytes(c) / (2 * sizeof *x);
    for (size_t i = 0; i < pairs; i++) {
        if (pair_right(c, x + 2 * i, s->page_ml + 2 * i)) continue;
        return sk_fail(err, SPHKV_EVERIFY,
                       "attn_decode: page_ml of reference %zu, row %zu, head %zu is %.8g, %.8g, not "
                       "%.8g, %.8g",
                       i / hpk / rows, i / hpk % rows, i % hpk, (double)x[2 * i],
                       (double)x[2 * i + 1], s->page_ml[2 * i], s->page_ml[2 * i + 1]);
    }
    return SPHKV_OK;
}

sk_status sk_case_judge_sums(const sk_case *c, uint32_t copy, sk_err *err)
{
    const sphkv_attn_args *a = &c->args.attn[copy];
    sk_status st = a->lse ? judge_lse(c, copy, err) : SPHKV_OK;
    return st == SPHKV_OK && a->page_ml ? judge_pages(c, copy, err) : st;
}
