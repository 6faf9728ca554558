/* case_merge.c - inputs, reference and judgement of attn_merge: sources that saw
 * tokens or none, logits near and far apart, rows of any stride. A source that
 * saw none holds poison where its out is: nothing of it may enter. */
#include <math.h>
#include <string.h>

#include "case_impl.h"

#define SOURCES 3u /* of a check; timed shapes have two */

static uint32_t sources_of(const sk_case_params *p) { return p->quick_fill ? 2 : SOURCES; }

/* How far apart the lse of two sources may be, and where they lie. */
static double source_lse(const sk_case_params *p, sk_rng *rng)
{
    switch (p->input) {
    case SK_IN_PEAKY: return 100 * sk_rng_unit(rng);
    case SK_IN_EXTREME: return ldexp(sk_rng_unit(rng) - 0.5, (int)sk_rng_below(rng, 13));
    case SK_IN_EDGE: if (sk_rng_below(rng, 3) == 0) return -(double)INFINITY; /* fall through */
    default: return 3 * sk_rng_normal(rng);
    }
}

static void fill_source(sk_case *c, sk_rng *rng, uint32_t i)
{
    const sk_case_state *st = sk_case_state_of(c);
    const sk_spec *spec = &c->p.spec;
    const sphkv_merge_source *s = &((const sphkv_merge_args *)c->args.any)->sources[i];
    uint8_t *out = (uint8_t *)(uintptr_t)s->out;
    float *lse = (float *)(uintptr_t)s->lse;
    for (uint32_t row = 0; row < c->p.shape.batch * st->heads; row++) {
        const uint32_t seq = row / st->heads, head = row % st->heads;
        const size_t to = (size_t)seq * s->out_stride_seq + (size_t)head * s->out_stride_head;
        const double x = source_lse(&c->p, rng);
        lse[(size_t)seq * s->lse_stride_seq + head] = (float)x;
        for (uint32_t d = 0; d < spec->dv && isfinite(x); d++) {
            const double size = c->p.input == SK_IN_EXTREME ? ldexp(1, (int)sk_rng_below(rng, 12)) : 1;
            sk_case_put(out, spec->in_dtype, to + d, size * sk_rng_normal(rng));
        }
    }
}

/* About as heavy as the first sequence; some heads have none. */
static void fill_sinks(sk_case *c, sk_rng *rng)
{
    const sk_case_state *s = sk_case_state_of(c);
    const float *lse = ((const sphkv_merge_args *)c->args.any)->sources[0].lse;
    for (uint32_t h = 0; h < s->heads; h++) {
        const double x = 2 * sk_rng_normal(rng) + (isfinite(lse[h]) ? (double)lse[h] : 0);
        sk_case_put(s->copy[0].buf[SK_BUF_SINK].data, SPHKV_F32, h,
                    h % 4 == 3 ? -(double)INFINITY : x);
    }
}

static void merge_args(sk_case *c, uint32_t copy)
{
    const sk_case_buffer *b = sk_case_state_of(c)->copy[copy].buf;
    sphkv_merge_args *all = c->args.any, *a = &all[copy];
    const size_t batch = c->p.shape.batch, es = sk_case_dtype_bytes(c->p.spec.in_dtype);
    *a = all[0]; /* the strides */
    a->size = sizeof *a;
    a->batch = c->p.shape.batch;
    a->out = b[SK_BUF_OUT].data;
    a->lse = (float *)(void *)b[SK_BUF_LSE].data;
    a->sinks = (const float *)(const void *)b[SK_BUF_SINK].data;
    for (uint32_t i = 0; i < a->sources_count; i++) {
        a->sources[i].out = b[SK_BUF_Q].data + i * batch * a->sources[i].out_stride_seq * es;
        a->sources[i].lse = (const float *)(const void *)b[SK_BUF_V].data +
                            i * batch * a->sources[i].lse_stride_seq;
    }
}

static sk_status merge_make(sk_case *c, sk_err *err)
{
    sk_case_state *s = sk_case_state_of(c);
    const sk_case_params *p = &c->p;
    const sk_spec *spec = &p->spec;
    const uint32_t gap = p->input == SK_IN_CANCEL ? 8 : 0, n = sources_of(p);
    const uint32_t head = spec->dv + gap, seq = s->heads * head + 2 * gap, lse = s->heads + gap;
    const size_t es = sk_case_dtype_bytes(spec->in_dtype), os = sk_case_dtype_bytes(spec->out_dtype);
    sk_case_buffer *b = s->copy[0].buf;
    sphkv_merge_args *a = c->args.any;
    sk_rng rng;
    sk_rng_seed(&rng, p->seed * SK_INPUT_COUNT + p->input);
    *a = (sphkv_merge_args){.out_stride_seq = seq, .out_stride_head = head, .lse_stride_seq = lse};
    const size_t rows = (size_t)p->shape.batch * s->heads;
    sk_status st = sk_case_memory_check((uint64_t)p->shape.batch * seq * (n * es + os), err);
    if (st == SPHKV_OK)
        st = sk_case_buffer_make(&b[SK_BUF_Q], (size_t)n * p->shape.batch * seq * es, err);
    if (st == SPHKV_OK)
        st = sk_case_buffer_make(&b[SK_BUF_V], (size_t)n * p->shape.batch * lse * 4, err);
    if (st == SPHKV_OK)
        st = sk_case_buffer_make(&b[SK_BUF_OUT], (size_t)p->shape.batch * seq * os, err);
    if (st == SPHKV_OK && p->input != SK_IN_CANCEL) /* there it is not asked for */
        st = sk_case_buffer_make(&b[SK_BUF_LSE], (size_t)p->shape.batch * lse * 4, err);
    const bool sink = spec->variants & SPHKV_VARIANT_SINK && p->seed % 4 != 1; /* else not given */
    if (st == SPHKV_OK && sink) st = sk_case_buffer_make(&b[SK_BUF_SINK], s->heads * sizeof(float), err);
    if (st != SPHKV_OK) return st;
    memset(b[SK_BUF_Q].data, SK_CASE_POISON, b[SK_BUF_Q].bytes);
    a->sources_count = n;
    for (uint32_t i = 0; i < n; i++)
        a->sources[i] = (sphkv_merge_source){
            .out_stride_seq = seq, .out_stride_head = head, .lse_stride_seq = lse};
    merge_args(c, 0);
    for (uint32_t i = 0; i < n; i++)
        fill_source(c, &rng, i);
    if (sink) fill_sinks(c, &rng);
    c->read_bytes = rows * n * (spec->dv * es + 4);
    c->write_bytes = rows * (spec->dv * os + (b[SK_BUF_LSE].base ? 4 : 0));
    return SPHKV_OK;
}

/* ---- judgement ----------------------------------------------------------------- */

/* One row in double, from what the sources hold. Weights are of the largest source, so
 * that a sink far above them leaves the measure of the error what it is without one. */
static double merge_row(const sk_case *c, uint32_t seq, uint32_t head, double *out, double *mag)
{
    const sphkv_merge_args *a = c->args.any;
    const sk_spec *spec = &c->p.spec;
    double m = -(double)INFINITY, l = 0;
    memset(out, 0, spec->dv * sizeof *out);
    memset(mag, 0, spec->dv * sizeof *mag);
    for (uint32_t i = 0; i < a->sources_count; i++)
        m = fmax(m, (double)a->sources[i].lse[(size_t)seq * a->sources[i].lse_stride_seq + head]);
    for (uint32_t i = 0; i < a->sources_count && isfinite(m); i++) {
        const sphkv_merge_source *s = &a->sources[i];
        const double w = exp((double)s->lse[(size_t)seq * s->lse_stride_seq + head] - m);
        const size_t from = (size_t)seq * s->out_stride_seq + (size_t)head * s->out_stride_head;
        l += w;
        for (uint32_t d = 0; d < spec->dv && w > 0; d++) {
            const double x = sk_case_get(s->out, spec->in_dtype, from + d);
            out[d] += w * x;
            mag[d] += w * fabs(x);
        }
    }
    const double sink = a->sinks ? (double)a->sinks[head] : -(double)INFINITY, top = fmax(m, sink);
    if (!isfinite(top)) return top; /* of nothing */
    const double keep = exp(m - top), all = l * keep + exp(sink - top);
    for (uint32_t d = 0; d < spec->dv && l > 0; d++) {
        out[d] *= keep / all;
        mag[d] /= l; /* what a sink takes away is no error's measure */
    }
    return top + log(all);
}

/* ||o - ref|| / ||sum w |o_i| ||, less rounding to out's dtype, and the lse against its bound. */
static sk_status judge_row(const sk_case *c, const sphkv_merge_args *a, uint32_t seq, uint32_t head,
                           double *ref, double *error, sk_err *err)
{
    const sk_spec *spec = &c->p.spec;
    double *mag = ref + spec->dv, diff = 0, size = 0, rounding = 0;
    const double lse = merge_row(c, seq, head, ref, mag);
    const size_t from = (size_t)seq * a->out_stride_seq + (size_t)head * a->out_stride_head;
    for (uint32_t d = 0; d < spec->dv; d++) {
        const double x = sk_case_get(a->out, spec->out_dtype, from + d) - ref[d];
        const double step = sk_case_half_step(spec->out_dtype, ref[d]);
        diff += x * x;
        rounding += step * step;
        size += mag[d] * mag[d];
    }
    if (isnan(diff))
        return sk_fail(err, SPHKV_EVERIFY, "attn_merge: not written: sequence %u, head %u", seq,
                       head);
    const double e = diff == 0  ? 0
                     : size > 0 ? fmax(0, sqrt(diff / size) - sqrt(rounding / size))
                                : (double)INFINITY;
    *error = fmax(*error, e);
    if (!a->lse) return SPHKV_OK;
    const double got = (double)a->lse[(size_t)seq * a->lse_stride_seq + head];
    if (got == lse || fabs(got - lse) <= 1e-5 + 1e-6 * fabs(lse)) return SPHKV_OK;
    return sk_fail(err, SPHKV_EVERIFY, "attn_merge: lse %.7g, not %.7g: sequence %u, head %u", got,
                   lse, seq, head);
}

static double merge_bound(const sk_spec *spec)
{
    (void)spec;
    return 1e-5;
}

static sk_status merge_judge(const sk_case *c, uint32_t copy, double *error, double *bound,
                             sk_err *err)
{
    const sphkv_merge_args *a = (const sphkv_merge_args *)c->args.any + copy;
    const sk_case_state *s = sk_case_state_of(c);
    double *ref = sk_malloc(2 * c->p.spec.dv * sizeof *ref);
    sk_status st = ref ? SPHKV_OK : sk_fail(err, SPHKV_ENOMEM, "no memory to judge");
    *error = 0;
    *bound = merge_bound(&c->p.spec);
    for (uint32_t row = 0; row < c->p.shape.batch * s->heads && st == SPHKV_OK; row++)
        st = judge_row(c, a, row / s->heads, row % s->heads, ref, error, err);
    sk_free(ref);
    if (st != SPHKV_OK || *error <= *bound) return st;
    return sk_fail(err, SPHKV_EVERIFY, "attn_merge: error %.3g over %.3g", *error, *bound);
}

const sk_case_kind sk_case_attn_merge = {
    .make = merge_make,
    .args = merge_args,
    .judge = merge_judge,
    .check = sk_case_check_items,
    .bound = merge_bound,
};
