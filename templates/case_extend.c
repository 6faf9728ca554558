/* case_extend.c - inputs and judgement of attn_extend. Pages, lists and queries are
 * those of attention cases, with several query tokens per sequence: uneven ones have
 * as many as there are, one, none, anything, whatever their lists hold. Every row is
 * judged as a row of attn_decode; of timed shapes, whose reference would take minutes,
 * a few are. */
#include <string.h>

#include "case_attn.h"

#define SAMPLES 4u /* query tokens of a timed shape that are judged */

static uint32_t query_tokens(const sk_case_params *p, sk_rng *rng, uint32_t seq)
{
    const uint32_t n = p->shape.q_len ? p->shape.q_len : 1;
    if (!p->uneven || seq == 0) return n;
    switch (sk_rng_below(rng, 4)) {
    case 0: return n;
    case 1: return 1;
    case 2: return 0;
    default: return 1 + sk_rng_below(rng, n);
    }
}

/* Rows before the first sequence's belong to nobody. */
static uint32_t first_row(const sk_case_params *p) { return p->input == SK_IN_EDGE ? 2 : 0; }

static void set_strides(sk_attn_fill *f, sphkv_extend_args *a)
{
    const sk_case_params *p = &f->c->p;
    const uint32_t gap = p->input == SK_IN_CANCEL ? 8 : 0;
    a->q_stride_head = p->spec.d + gap;
    a->q_stride_tok = f->s->heads * a->q_stride_head + 2 * gap;
    a->out_stride_head = p->spec.dv + gap;
    a->out_stride_tok = f->s->heads * a->out_stride_head + 2 * gap;
    a->lse_stride_tok = f->s->heads + gap;
    a->scale = sk_attn_case_scale(p);
    const bool placed = !(p->spec.variants & SPHKV_VARIANT_POSITIONS);
    a->mask = p->input == SK_IN_SINK && placed ? SPHKV_MASK_NONE : SPHKV_MASK_CAUSAL;
    f->q_stride_tok = a->q_stride_tok;
    f->q_stride_head = a->q_stride_head;
    f->scale = (double)a->scale;
}

static sk_status extend_buffers(sk_attn_fill *f, uint64_t units, sk_err *err)
{
    sk_case *c = f->c;
    const sk_case_params *p = &c->p;
    sphkv_extend_args *a = &c->args.extend[0];
    uint32_t *indptr = sk_malloc((p->shape.batch + (size_t)1) * sizeof *indptr);
    if (!indptr) return sk_fail(err, SPHKV_ENOMEM, "no memory for query tokens");
    indptr[0] = first_row(p);
    for (uint32_t i = 0; i < p->shape.batch; i++)
        indptr[i + 1] = indptr[i] + query_tokens(p, &f->rng, i);
    const uint64_t rows = f->s->rows = indptr[p->shape.batch];
    set_strides(f, a);
    uint64_t bytes[SK_BUF_COUNT] = {
        [SK_BUF_Q] = rows * a->q_stride_tok * sk_case_dtype_bytes(p->spec.q_dtype),
        [SK_BUF_OUT] = rows * a->out_stride_tok * sk_case_dtype_bytes(p->spec.out_dtype),
        [SK_BUF_LSE] = sk_attn_asks_lse(p) ? rows * a->lse_stride_tok * 4 : 0,
        [SK_BUF_V] = (p->shape.batch + (uint64_t)1) * sizeof *indptr,
    };
    sk_case_variant_bytes(c, bytes);
    if (bytes[SK_BUF_WHERE]) bytes[SK_BUF_WHERE] = (rows + 1) * 4;
    const sk_status st = sk_attn_case_buffers(c, units, bytes, err);
    if (st == SPHKV_OK) {
        uint8_t *to = f->s->copy[0].buf[SK_BUF_V].data;
        memcpy(to, indptr, bytes[SK_BUF_V]);
        f->q_indptr = (const uint32_t *)(const void *)to;
        memset(f->s->copy[0].buf[SK_BUF_Q].data, SK_CASE_POISON, bytes[SK_BUF_Q]);
    }
    sk_free(indptr);
    return st;
}

static sk_status extend_make(sk_case *c, sk_err *err)
{
    return sk_attn_case_make(c, extend_buffers, err);
}

static void extend_args(sk_case *c, uint32_t copy)
{
    const sk_case_buffer *b = sk_case_state_of(c)->copy[copy].buf;
    sphkv_extend_args *a = &c->args.extend[copy];
    SK_ATTN_CASE_ARGS(a, c->args.extend[0], c, copy);
    a->q_indptr = (const uint32_t *)(const void *)b[SK_BUF_V].data;
    a->out = b[SK_BUF_OUT].data;
    a->lse = (float *)(void *)b[SK_BUF_LSE].data;
}

/* ---- judgement ------------------------------------------------------------ */

/* The rows that are judged, as runs of some that follow each other: all of them, or
 * samples from the first to the last. */
typedef struct judged_rows {
    uint32_t runs, each, first, all;
} judged_rows;

static judged_rows rows_of(const sk_case *c)
{
    const uint32_t first = first_row(&c->p), all = sk_case_state_of(c)->rows - first;
    if (!c->p.quick_fill || all < SAMPLES) return (judged_rows){all > 0, all, first, all};
    return (judged_rows){SAMPLES, 1, first, all};
}

static uint32_t run_begin(const judged_rows *j, uint32_t run)
{
    return j->runs == 1 ? j->first : j->first + (uint32_t)((uint64_t)(j->all - 1) * run / (j->runs - 1));
}

static sk_status make_reference(const sk_case *c, const judged_rows *j, sk_err *err)
{
    sk_case_state *s = sk_case_state_of(c);
    const size_t rows = (size_t)j->runs * j->each, n = rows * s->heads * c->p.spec.dv;
    if (s->ref) return SPHKV_OK;
    sk_attn_truth t = {.out = sk_malloc((n + 1) * sizeof *t.out), .mag = sk_malloc((n + 1) * sizeof *t.mag),
                       .lse = sk_malloc((rows * s->heads + 1) * sizeof *t.lse)};
    sk_status st = t.out && t.mag && t.lse ? SPHKV_OK : sk_fail(err, SPHKV_ENOMEM, "no memory for a reference");
    for (uint32_t k = 0; k < j->runs && st == SPHKV_OK; k++) {
        const size_t at = (size_t)k * j->each * s->heads;
        sk_attn_truth run = {.out = t.out + at * c->p.spec.dv, .mag = t.mag + at * c->p.spec.dv,
                             .lse = t.lse + at};
        st = sk_extend_reference(&c->p.spec, &c->args.extend[0], s->kv_heads, run_begin(j, k), j->each,
                                 &run, err);
        if (run.max_logit > t.max_logit) t.max_logit = run.max_logit;
        if (run.max_terms > t.max_terms) t.max_terms = run.max_terms;
    }
    return sk_case_keep_truth(s, &t, st);
}

/* A run of rows as a case of attn_decode, a row a sequence. */
static sk_status judge_run(const sk_case *c, uint32_t copy, const judged_rows *j, uint32_t run,
                           double *error, double *bound, sk_err *err)
{
    const sphkv_extend_args *a = &c->args.extend[copy];
    const sk_spec *spec = &c->p.spec;
    const size_t row = run_begin(j, run), at = (size_t)run * j->each * sk_case_state_of(c)->heads;
    sk_case_state part = *sk_case_state_of(c);
    part.ref += at * spec->dv;
    part.mag += at * spec->dv;
    part.lse += at;
    sphkv_attn_args rows = {
        .size = sizeof rows, .batch = j->each, .out_stride_head = a->out_stride_head,
        .out_stride_seq = a->out_stride_tok, .lse_stride_seq = a->lse_stride_tok,
        .out = (uint8_t *)a->out + row * a->out_stride_tok * sk_case_dtype_bytes(spec->out_dtype),
        .lse = a->lse ? a->lse + row * a->lse_stride_tok : NULL,
        .sinks = a->sinks};
    sk_case view = *c;
    view.args.attn = &rows;
    view.internal = &part;
    view.p.shape.batch = j->each;
    view.p.shape.q_len = 1;
    return sk_case_judge_attn(&view, 0, error, bound, err);
}

/* Rows before the first sequence's are as they were. */
static sk_status judge_strangers(const sk_case *c, uint32_t copy, sk_err *err)
{
    const sphkv_extend_args *a = &c->args.extend[copy];
    const size_t bytes = (size_t)first_row(&c->p) * a->out_stride_tok * sk_case_dtype_bytes(c->p.spec.out_dtype);
    for (size_t i = 0; i < bytes; i++)
        if (((const uint8_t *)a->out)[i] != SK_CASE_POISON)
            return sk_fail(err, SPHKV_EVERIFY, "attn_extend wrote byte %zu, which is no sequence's", i);
    return SPHKV_OK;
}

static sk_status extend_judge(const sk_case *c, uint32_t copy, double *error, double *bound, sk_err *err)
{
    const judged_rows j = rows_of(c);
    double one;
    *error = *bound = 0;
    sk_status st = make_reference(c, &j, err);
    if (st == SPHKV_OK) st = judge_strangers(c, copy, err);
    for (uint32_t k = 0; k < j.runs && st == SPHKV_OK; k++) {
        st = judge_run(c, copy, &j, k, &one, bound, err);
        if (one > *error) *error = one;
    }
    return st;
}

/* Those of attn_decode, with a few query tokens each; and one with more than are in a
 * tile of most schedules. */
static bool extend_check(const sk_spec *spec, uint32_t i, sk_case_params *p)
{
    if (!sk_attn_check(spec, i, p)) return false;
    p->shape.q_len = 7;
    if (i != 1) return true;
    const uint32_t tile = 192 / spec->heads_per_kv;
    p->shape.q_len = tile + 3;
    if (p->shape.context > tile) p->shape.context = tile;
    return true;
}

const sk_case_kind sk_case_attn_extend = {
    .make = extend_make,
    .args = extend_args,
    .judge = extend_judge,
    .check = extend_check,
    .bound = sk_attn_class_bound,
};
