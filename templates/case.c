/* case.c - the life of a case: made, copied for cold timing, poisoned, freed.
 * What is in it is the business of case_attn.c and case_rows.c. */
#include <string.h>

#include "case_impl.h"

static sk_status check_params(const sk_case_params *p, sk_err *err)
{
    sk_status st = sk_spec_check(&p->spec, err);
    if (st != SPHKV_OK) return st;
    if (p->shape.batch == 0 || p->shape.kv_heads == 0 || p->copies == 0)
        return sk_fail(err, SPHKV_EINVAL, "a case of batch %u, %u KV heads, %u copies",
                       p->shape.batch, p->shape.kv_heads, p->copies);
    if (p->shape.batch > 1u << 20 || p->shape.kv_heads > 1024 || p->shape.context > 1u << 26 ||
        p->copies > 4096)
        return sk_fail(err, SPHKV_EINVAL, "a case of batch %u, %u KV heads, context %u, %u copies",
                       p->shape.batch, p->shape.kv_heads, p->shape.context, p->copies);
    if (!sk_input_name(p->input)) return sk_fail(err, SPHKV_EINVAL, "input set %d", (int)p->input);
    if (p->tier_mask && p->tier_mask >> p->spec.ntiers)
        return sk_fail(err, SPHKV_EINVAL, "tier mask %#x of %u tiers", p->tier_mask,
                       p->spec.ntiers);
    return SPHKV_OK;
}

static size_t args_size(uint32_t kernel)
{
    switch (kernel) {
    case SPHKV_KV_APPEND: return sizeof(sphkv_append_args);
    case SPHKV_KV_ENCODE: return sizeof(sphkv_encode_args);
    default: return sizeof(sphkv_attn_args);
    }
}

uint32_t sk_case_written(const sk_case *c)
{
    if (c->p.spec.kernel == SPHKV_ATTN_DECODE) return SK_BUF_OUT;
    return sk_case_state_of(c)->copy[0].buf[SK_BUF_DST].base ? SK_BUF_DST : SK_BUF_ARENA;
}

static void point_args(sk_case *c, uint32_t copy)
{
    if (c->p.spec.kernel == SPHKV_ATTN_DECODE)
        sk_case_attn_args(c, copy);
    else
        sk_case_rows_args(c, copy);
}

/* Copy `copy` becomes what copy 0 is, at other addresses. */
static sk_status clone(sk_case *c, uint32_t copy, sk_err *err)
{
    sk_case_state *s = sk_case_state_of(c);
    for (uint32_t i = 0; i < SK_BUF_COUNT; i++) {
        const sk_case_buffer *from = &s->copy[0].buf[i];
        sk_case_buffer *to = &s->copy[copy].buf[i];
        if (!from->base) continue;
        sk_status st = sk_case_buffer_make(to, from->bytes, err);
        if (st != SPHKV_OK) return st;
        memcpy(to->data, from->data, from->bytes);
    }
    return SPHKV_OK;
}

/* Checksums of what a run must not change; big shapes are timed, not checked. */
static void remember_inputs(sk_case *c)
{
    sk_case_state *s = sk_case_state_of(c);
    for (uint32_t i = 0; i < SK_BUF_COUNT; i++)
        if (s->copy[0].buf[i].base && i != sk_case_written(c))
            s->sum[i] = sk_case_buffer_sum(&s->copy[0].buf[i]);
}

static sk_status allocate(sk_case *c, sk_err *err)
{
    sk_case_state *s = sk_calloc(1, sizeof *s);
    c->internal = s;
    c->args_size = args_size(c->p.spec.kernel);
    c->args.attn = sk_calloc(c->copies, c->args_size);
    if (s) s->copy = sk_calloc(c->copies, sizeof *s->copy);
    if (!s || !s->copy || !c->args.attn) return sk_fail(err, SPHKV_ENOMEM, "no memory for a case");
    for (uint32_t t = 0; t < c->p.spec.ntiers; t++)
        sk_page_layout_get(&c->p.spec, t, &s->at[t]);
    s->kv_heads = c->p.shape.kv_heads;
    s->heads = s->kv_heads * c->p.spec.heads_per_kv;
    s->book_stride = sk_codebook_head_bytes(&c->p.spec);
    return SPHKV_OK;
}

sk_status sk_case_make(const sk_case_params *params, sk_case *out, sk_err *err)
{
    *out = (sk_case){.p = *params, .copies = params->copies};
    sk_status st = check_params(params, err);
    if (st != SPHKV_OK) return st;
    st = allocate(out, err);
    if (st == SPHKV_OK)
        st = params->spec.kernel == SPHKV_ATTN_DECODE ? sk_case_attn_make(out, err)
                                                      : sk_case_rows_make(out, err);
    if (st == SPHKV_OK && !params->quick_fill) remember_inputs(out);
    for (uint32_t i = 1; i < out->copies && st == SPHKV_OK; i++)
        st = clone(out, i, err);
    for (uint32_t i = 0; i < out->copies && st == SPHKV_OK; i++) {
        point_args(out, i);
        sk_case_poison(out, i);
    }
    if (st != SPHKV_OK) sk_case_free(out);
    return st;
}

void sk_case_free(sk_case *c)
{
    sk_case_state *s = sk_case_state_of(c);
    for (uint32_t i = 0; s && s->copy && i < c->copies; i++)
        for (uint32_t b = 0; b < SK_BUF_COUNT; b++)
            sk_case_buffer_free(&s->copy[i].buf[b]);
    if (s) {
        sk_free(s->copy);
        sk_free(s->page);
        sk_free(s->before);
        sk_free(s->ref);
        sk_free(s->mag);
        sk_free(s->out_f32);
    }
    sk_free(s);
    sk_free(c->args.attn);
    *c = (sk_case){0};
}

void sk_case_maxima(const sk_case *c, uint32_t parts, sphkv_maxima *out)
{
    const sk_case_state *s = sk_case_state_of(c);
    *out = (sphkv_maxima){
        .size = sizeof *out,
        .batch = c->p.shape.batch,
        .kv_heads = s->kv_heads,
        .pages_per_list = s->pages_per_list ? s->pages_per_list : 1,
        .parts = parts,
        .context = c->p.shape.context,
    };
}

const void *sk_case_args(const sk_case *c, uint32_t copy)
{
    return (const uint8_t *)c->args.attn + copy * c->args_size;
}

void sk_case_poison(sk_case *c, uint32_t copy)
{
    const sk_case_state *s = sk_case_state_of(c);
    sk_case_buffer *b = &s->copy[copy].buf[sk_case_written(c)];
    if (s->before)
        memcpy(b->data, s->before, b->bytes);
    else
        memset(b->data, SK_CASE_POISON, b->bytes);
}

const float *sk_case_output(const sk_case *c, uint32_t copy, size_t *count)
{
    sk_case_state *s = sk_case_state_of(c);
    const sk_spec *spec = &c->p.spec;
    *count = 0;
    if (spec->kernel != SPHKV_ATTN_DECODE) return NULL;
    const sphkv_attn_args *a = &c->args.attn[copy];
    size_t n = (size_t)a->batch * s->heads * spec->dv;
    if (!s->out_f32) s->out_f32 = sk_malloc(n * sizeof *s->out_f32);
    if (!s->out_f32) return NULL;
    for (size_t row = 0; row < (size_t)a->batch * s->heads; row++)
        for (uint32_t i = 0; i < spec->dv; i++)
            s->out_f32[row * spec->dv + i] = (float)sk_case_get(
                a->out, spec->out_dtype,
                row / s->heads * a->out_stride_seq + row % s->heads * a->out_stride_head + i);
    *count = n;
    return s->out_f32;
}

sk_status sk_case_intact(const sk_case *c, uint32_t copy, sk_err *err)
{
    static const char *const names[SK_BUF_COUNT] = {
        "arena", "destination arena", "codebook", "q or k", "v", "out", "index", "list"};
    const sk_case_state *s = sk_case_state_of(c);
    for (uint32_t i = 0; i < SK_BUF_COUNT; i++) {
        const sk_case_buffer *b = &s->copy[copy].buf[i];
        if (!sk_case_buffer_intact(b))
            return sk_fail(err, SPHKV_EVERIFY, "wrote outside of: %s", names[i]);
        if (s->sum[i] && s->sum[i] != sk_case_buffer_sum(b))
            return sk_fail(err, SPHKV_EVERIFY, "wrote into what is only read: %s", names[i]);
    }
    return SPHKV_OK;
}

sk_status sk_case_judge(const sk_case *c, uint32_t copy, double *error, double *bound, sk_err *err)
{
    double e = 0, b = 0;
    sk_status st = sk_case_intact(c, copy, err);
    if (st == SPHKV_OK) {
        switch (c->p.spec.kernel) {
        case SPHKV_KV_APPEND: st = sk_case_judge_append(c, copy, &e, &b, err); break;
        case SPHKV_KV_ENCODE: st = sk_case_judge_encode(c, copy, &e, &b, err); break;
        default: st = sk_case_judge_attn(c, copy, &e, &b, err); break;
        }
    }
    if (error) *error = e;
    if (bound) *bound = b;
    return st;
}
