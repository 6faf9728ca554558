/* case_attn.c - inputs of attn_decode: an arena of pages coded by the reference
 * (case_attn_pages.c), a page table, queries (case_attn_queries.c). Pages are
 * shuffled in the arena, as they are after an hour of serving; each page is
 * contiguous. */
#include <math.h>
#include <string.h>

#include "case_attn.h"

float sk_attn_case_scale(const sk_case_params *p)
{
    switch (p->input) {
    case SK_IN_PEAKY: return 0.5f;
    case SK_IN_CANCEL: return 0.1f;
    case SK_IN_EXTREME: return 1;
    default: return 0; /* 1 / sqrt(D) */
    }
}

/* What is asked for beside the output changes with the input; timed runs ask for
 * nothing, as most calls of an engine do. */
bool sk_attn_asks_lse(const sk_case_params *p)
{
    return !p->quick_fill && p->input != SK_IN_EXTREME;
}

static bool asks_page_ml(const sk_case_params *p)
{
    return sk_attn_asks_lse(p) && p->input != SK_IN_PEAKY;
}

size_t sk_case_ml_bytes(const sk_case *c)
{
    const sk_case_state *s = sk_case_state_of(c);
    const size_t rows = c->p.lists_per_seq == 1 ? s->kv_heads : 1;
    return (s->pages + 2 * s->first_ref) * rows * sk_case_q_len(&c->p) * c->p.spec.heads_per_kv * 2 *
           sizeof(float);
}

/* Strides between sequences and, where there are some, between query tokens. */
static void token_strides(sk_case *c, uint32_t gap)
{
    const uint32_t heads = sk_case_state_of(c)->heads, n = sk_case_q_len(&c->p);
    sphkv_attn_args *a = &c->args.attn[0];
    const uint32_t q = heads * a->q_stride_head + gap, out = heads * a->out_stride_head + gap;
    a->q_stride_seq = n * q + gap;
    a->out_stride_seq = n * out + gap;
    a->lse_stride_seq = n * (heads + gap / 2) + gap / 2;
    if (!(c->p.spec.variants & SPHKV_VARIANT_QUERIES)) return;
    a->q_len = n;
    a->q_stride_tok = q;
    a->out_stride_tok = out;
    a->lse_stride_tok = heads + gap / 2;
}

sk_status sk_attn_case_buffers(sk_case *c, uint64_t units, uint64_t *bytes, sk_err *err)
{
    sk_case_state *s = sk_case_state_of(c);
    const uint64_t lists = (uint64_t)c->p.shape.batch * c->p.lists_per_seq;
    bytes[SK_BUF_ARENA] = units * SPHKV_UNIT_BYTES;
    bytes[SK_BUF_BOOK] = (uint64_t)s->book_stride * s->kv_heads;
    bytes[SK_BUF_INDEX] = (lists + 1) * sizeof(uint32_t);
    bytes[SK_BUF_LIST] = (s->pages + 2 * s->first_ref) * sizeof(uint64_t);
    uint64_t total = 0;
    for (uint32_t i = 0; i < SK_BUF_COUNT; i++)
        total += bytes[i];
    sk_status st = sk_case_memory_check(total, err);
    for (uint32_t i = 0; i < SK_BUF_COUNT && st == SPHKV_OK; i++)
        if (bytes[i]) st = sk_case_buffer_make(&s->copy[0].buf[i], bytes[i], err);
    return st;
}

static sk_status attn_buffers(sk_attn_fill *f, uint64_t units, sk_err *err)
{
    sk_case *c = f->c;
    const sk_case_params *p = &c->p;
    const sk_spec *spec = &p->spec;
    sphkv_attn_args *a = &c->args.attn[0];
    uint32_t gap = p->input == SK_IN_CANCEL ? 8 : 0;
    a->q_stride_head = spec->d + gap;
    a->out_stride_head = spec->dv + gap;
    token_strides(c, gap);
    a->scale = sk_attn_case_scale(p);
    f->q_stride_seq = a->q_stride_seq;
    f->q_stride_tok = a->q_stride_tok;
    f->q_stride_head = a->q_stride_head;
    f->scale = (double)a->scale;
    uint64_t bytes[SK_BUF_COUNT] = {
        [SK_BUF_Q] =
            (uint64_t)p->shape.batch * a->q_stride_seq * sk_case_dtype_bytes(spec->q_dtype),
        [SK_BUF_OUT] =
            (uint64_t)p->shape.batch * a->out_stride_seq * sk_case_dtype_bytes(spec->out_dtype),
        [SK_BUF_LSE] = sk_attn_asks_lse(p) ? (uint64_t)p->shape.batch * a->lse_stride_seq * 4 : 0,
        [SK_BUF_ML] = asks_page_ml(p) ? sk_case_ml_bytes(c) : 0,
    };
    sk_case_variant_bytes(c, bytes);
    return sk_attn_case_buffers(c, units, bytes, err);
}

static void attn_args(sk_case *c, uint32_t copy)
{
    const sk_case_buffer *b = sk_case_state_of(c)->copy[copy].buf;
    sphkv_attn_args *a = &c->args.attn[copy];
    SK_ATTN_CASE_ARGS(a, c->args.attn[0], c, copy);
    a->out = b[SK_BUF_OUT].data;
    a->lse = (float *)(void *)b[SK_BUF_LSE].data;
    a->page_ml = (float *)(void *)b[SK_BUF_ML].data;
}

static sk_status check_params(const sk_case_params *p, sk_err *err)
{
    if (p->lists_per_seq != 1 && p->lists_per_seq != p->shape.kv_heads)
        return sk_fail(err, SPHKV_EINVAL, "%u lists per sequence of %u KV heads", p->lists_per_seq,
                       p->shape.kv_heads);
    if (p->quick_fill && p->input == SK_IN_PEAKY)
        return sk_fail(err, SPHKV_EINVAL, "quick_fill has no peaky pages");
    if ((uint64_t)p->shape.batch * p->shape.kv_heads * (p->shape.context / p->spec.page + 1) >
        (uint64_t)1 << 26)
        return sk_fail(err, SPHKV_EINVAL, "batch %u, %u KV heads, context %u: too many pages",
                       p->shape.batch, p->shape.kv_heads, p->shape.context);
    if (sk_case_q_len(p) > SPHKV_MAX_Q_LEN)
        return sk_fail(err, SPHKV_EINVAL, "%u query tokens", p->shape.q_len);
    return SPHKV_OK;
}

static sk_status attn_scratch(sk_attn_fill *f, sk_err *err)
{
    const sk_case_params *p = &f->c->p;
    uint32_t d = p->spec.d, rows = p->shape.batch * f->s->kv_heads;
    f->k = sk_malloc((size_t)p->spec.page * (d + p->spec.dv) * sizeof *f->k);
    f->q = sk_malloc((size_t)p->spec.heads_per_kv * d * sizeof *f->q);
    if (p->input == SK_IN_PEAKY) f->peak = sk_malloc((size_t)rows * d * sizeof *f->peak);
    if (!f->k || !f->q || (p->input == SK_IN_PEAKY && !f->peak))
        return sk_fail(err, SPHKV_ENOMEM, "no memory for rows");
    f->v = f->k + (size_t)p->spec.page * d;
    for (uint32_t n = 0; n < rows && f->peak; n++) {
        double *x = f->peak + (size_t)n * d, sum = 0;
        for (uint32_t i = 0; i < d; i++) {
            x[i] = sk_rng_normal(&f->rng);
            sum += x[i] * x[i];
        }
        for (uint32_t i = 0; i < d; i++)
            x[i] /= sqrt(sum);
    }
    return SPHKV_OK;
}

static size_t attn_outputs(const sk_spec *spec, const sk_shape *shape)
{
    const bool many = (spec->variants & SPHKV_VARIANT_QUERIES) != 0 && shape->q_len > 1;
    return (size_t)shape->batch * shape->kv_heads * spec->heads_per_kv * spec->dv *
           (many ? shape->q_len : 1);
}

sk_status sk_attn_case_make(sk_case *c,
                            sk_status (*buffers)(sk_attn_fill *f, uint64_t units, sk_err *err),
                            sk_err *err)
{
    sk_case_state *s = sk_case_state_of(c);
    sk_attn_fill f = {.c = c, .s = s, .pool_pages = SK_CASE_POOL};
    uint64_t units = 0;
    f.pool_pages += (s->kv_heads - SK_CASE_POOL % s->kv_heads) % s->kv_heads;
    sk_rng_seed(&f.rng, c->p.seed * SK_INPUT_COUNT + c->p.input);
    s->first_ref = c->p.input == SK_IN_EDGE ? 1 : 0;
    sk_status st = check_params(&c->p, err);
    if (st == SPHKV_OK) st = sk_case_lists(c, &f.rng, err);
    const uint32_t sub = c->p.lists_per_seq == 1 ? s->kv_heads : 1;
    if (st == SPHKV_OK && c->p.cached)
        sk_case_stack(s->page, s->pages, s->at, sub, c->p.shape.batch * c->p.lists_per_seq,
                      c->p.cached, &units);
    else if (st == SPHKV_OK)
        st = sk_case_place(s->page, s->pages, s->at, sub, &f.rng, &units, err);
    if (st == SPHKV_OK) st = buffers(&f, units, err);
    if (st == SPHKV_OK) st = sk_case_rope_make(c, err);
    if (st == SPHKV_OK) st = attn_scratch(&f, err);
    if (st == SPHKV_OK) {
        f.arena = s->copy[0].buf[SK_BUF_ARENA].data;
        f.book = s->copy[0].buf[SK_BUF_BOOK].data;
        for (uint32_t h = 0; h < s->kv_heads && f.book; h++)
            sk_case_book_fill(&c->p.spec, &f.rng, f.book + (size_t)h * s->book_stride);
        st = sk_attn_fill_pages(&f, err);
    }
    if (st == SPHKV_OK) {
        sk_case_table_fill(c);
        sk_case_variant_fill(c);
        sk_attn_fill_queries(&f);
        c->read_bytes += s->copy[0].buf[SK_BUF_BOOK].bytes + s->copy[0].buf[SK_BUF_Q].bytes;
        c->write_bytes = s->copy[0].buf[SK_BUF_OUT].bytes;
    }
    for (uint32_t t = 0; t < SK_MAX_TIERS; t++)
        sk_free(f.pool[t]);
    sk_free(f.peak);
    sk_free(f.q);
    sk_free(f.k);
    return st;
}

size_t sk_case_out_row(const sk_case *c, const sphkv_attn_args *a, size_t row)
{
    const uint32_t heads = sk_case_state_of(c)->heads, n = sk_case_q_len(&c->p);
    return row / heads / n * a->out_stride_seq + row / heads % n * a->out_stride_tok +
           row % heads * a->out_stride_head;
}

static sk_status attn_make(sk_case *c, sk_err *err)
{
    const sk_status st = sk_attn_case_make(c, attn_buffers, err);
    c->write_bytes =
        attn_outputs(&c->p.spec, &c->p.shape) * sk_case_dtype_bytes(c->p.spec.out_dtype);
    return st;
}

static void attn_output(const sk_case *c, uint32_t copy, float *to)
{
    const sk_case_state *s = sk_case_state_of(c);
    const sk_spec *spec = &c->p.spec;
    const sphkv_attn_args *a = &c->args.attn[copy];
    for (size_t row = 0; row < (size_t)a->batch * sk_case_q_len(&c->p) * s->heads; row++)
        for (uint32_t i = 0; i < spec->dv; i++)
            to[row * spec->dv + i] =
                (float)sk_case_get(a->out, spec->out_dtype, sk_case_out_row(c, a, row) + i);
}

/* ---- the whole check ----------------------------------------------------------- */

/* Lists of several partly filled pages per tier; uneven ones are four: long,
 * one token, empty, anything. */
static void check_shape(const sk_spec *spec, bool shared, bool uneven, sk_shape *shape)
{
    const uint32_t tokens = (2 * spec->ntiers + 1) * spec->page - 3;
    const uint32_t most = SK_CHECK_TOKENS / 2 / (uneven && shared ? 2 : 1) - 3;
    shape->kv_heads = SK_CHECK_HEADS;
    shape->batch = !uneven ? 1 : shared ? 4 : 2;
    shape->context = tokens < most ? tokens : most;
}

bool sk_attn_check(const sk_spec *spec, uint32_t i, sk_case_params *p)
{
    bool shared = i % 2;
    uint32_t input = i / 2;
    if (i >= 2 * SK_INPUT_COUNT) {
        const uint32_t tier = i - 2 * SK_INPUT_COUNT;
        if (spec->ntiers == 1 || tier >= spec->ntiers) return false;
        input = SK_IN_S1;
        shared = tier % 2;
        p->tier_mask = 1u << tier;
    }
    p->input = (sk_input)input;
    p->lists_per_seq = shared ? 1 : SK_CHECK_HEADS;
    p->seed += 2 * input + shared + 16 * p->tier_mask;
    p->uneven = input != SK_IN_S1;
    if (spec->variants & SPHKV_VARIANT_QUERIES) p->shape.q_len = 1 + (i + 2) % 4;
    check_shape(spec, shared, p->uneven, &p->shape);
    return true;
}

double sk_attn_class_bound(const sk_spec *spec)
{
    return sk_accuracy_bound(spec->accuracy);
}

const sk_case_kind sk_case_attn_decode = {
    .make = attn_make,
    .args = attn_args,
    .judge = sk_case_judge_attn,
    .check = sk_attn_check,
    .bound = sk_attn_class_bound,
    .outputs = attn_outputs,
    .output = attn_output,
};
