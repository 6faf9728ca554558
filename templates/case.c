/* case.c - the life of a case: made, copied for cold timing, poisoned, freed.
 * What is in it is the business of its kind (case_impl.h). */
#include <string.h>

#include "case_impl.h"

#define COPIES_MOST 1024u

#define SK_X(id, name, mix, reads) extern const sk_case_kind sk_case_##name;
SPHKV_KERNELS(SK_X)
#undef SK_X

static const sk_case_kind *const kinds[] = {
#define SK_X(id, name, mix, reads) [SPHKV_##id] = &sk_case_##name,
    SPHKV_KERNELS(SK_X)
#undef SK_X
};

const sk_case_kind *sk_case_kind_of(uint32_t kernel)
{
    return kinds[kernel];
}

static sk_status check_params(const sk_case_params *p, sk_err *err)
{
    sk_status st = sk_spec_check(&p->spec, err);
    if (st != SPHKV_OK) return st;
    if (p->shape.batch == 0 || p->shape.kv_heads == 0 || (p->copies == 0) != (p->cold > 0))
        return sk_fail(err, SPHKV_EINVAL, "a case of batch %u, %u KV heads, %u copies",
                       p->shape.batch, p->shape.kv_heads, p->copies);
    if (p->shape.batch > SK_CASE_BATCH_MOST)
        return sk_fail(err, SPHKV_EINVAL, "%u sequences, rows or pages: inputs are made of at most %u; "
                       "a smaller batch has fewer", p->shape.batch, SK_CASE_BATCH_MOST);
    if (p->shape.kv_heads > 1024 || p->shape.context > SK_CASE_CONTEXT_MOST || p->copies > 4096)
        return sk_fail(err, SPHKV_EINVAL, "%u KV heads, context %u, %u copies: inputs are made of at "
                       "most 1024, %u, 4096", p->shape.kv_heads, p->shape.context, p->copies,
                       SK_CASE_CONTEXT_MOST);
    if (!sk_input_name(p->input)) return sk_fail(err, SPHKV_EINVAL, "input set %d", (int)p->input);
    if (p->tier_mask && p->tier_mask >> p->spec.ntiers)
        return sk_fail(err, SPHKV_EINVAL, "tier mask %#x of %u tiers", p->tier_mask,
                       p->spec.ntiers);
    return SPHKV_OK;
}

uint32_t sk_case_written(const sk_case *c)
{
    const sk_case_buffer *b = sk_case_state_of(c)->copy[0].buf;
    return b[SK_BUF_OUT].base ? SK_BUF_OUT : b[SK_BUF_DST].base ? SK_BUF_DST : SK_BUF_ARENA;
}

static bool is_written(const sk_case *c, uint32_t buffer)
{
    return buffer == sk_case_written(c) || buffer == SK_BUF_LSE || buffer == SK_BUF_ML;
}

sk_status sk_case_remember(sk_case *c, sk_err *err)
{
    sk_case_state *s = sk_case_state_of(c);
    const sk_case_buffer *b = &s->copy[0].buf[sk_case_written(c)];
    s->before = sk_malloc(b->bytes);
    if (!s->before) return sk_fail(err, SPHKV_ENOMEM, "no memory for %zu bytes", b->bytes);
    memcpy(s->before, b->data, b->bytes);
    return SPHKV_OK;
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
        if (s->copy[0].buf[i].base && !is_written(c, i))
            s->sum[i] = sk_case_buffer_sum(&s->copy[0].buf[i]);
}

static void set_memory(const sk_case *c, sk_case_copy *copy)
{
    for (uint32_t i = 0; i < SK_BUF_COUNT; i++) copy->buf[i].memory = c->p.memory;
}

static sk_status allocate(sk_case *c, sk_err *err)
{
    sk_case_state *s = sk_calloc(1, sizeof *s);
    c->internal = s;
    c->args_size = sk_kernel_get(c->p.spec.kernel)->args_size;
    c->args.any = sk_calloc(1, c->args_size);
    if (s) s->copy = sk_calloc(1, sizeof *s->copy);
    if (!s || !s->copy || !c->args.any) return sk_fail(err, SPHKV_ENOMEM, "no memory for a case");
    set_memory(c, s->copy);
    for (uint32_t t = 0; t < c->p.spec.ntiers; t++)
        sk_page_layout_get(&c->p.spec, t, &s->at[t]);
    s->kv_heads = c->p.shape.kv_heads;
    s->heads = s->kv_heads * c->p.spec.heads_per_kv;
    s->book_stride = sk_codebook_head_bytes(&c->p.spec);
    return SPHKV_OK;
}

static size_t copy_bytes(const sk_case *c)
{
    size_t total = 0;
    for (uint32_t i = 0; i < SK_BUF_COUNT; i++)
        total += sk_case_state_of(c)->copy[0].buf[i].bytes;
    return total;
}

/* A run touches what it reads and writes, in whole cache lines; a quarter of
 * all bytes stands for rows that are scattered over their pages. */
static uint32_t cold_copies(const sk_case *c)
{
    size_t touched = c->read_bytes + c->write_bytes, quarter = copy_bytes(c) / 4;
    if (touched < quarter) touched = quarter;
    size_t n = touched ? c->p.cold / touched + 1 : 1;
    return n > COPIES_MOST ? COPIES_MOST : (uint32_t)n;
}

/* All copies but the first. */
static sk_status make_copies(sk_case *c, sk_err *err)
{
    sk_case_state *s = sk_case_state_of(c);
    uint32_t n = c->p.cold ? cold_copies(c) : c->p.copies;
    sk_status st = sk_case_memory_check((uint64_t)copy_bytes(c) * (n - 1), err);
    if (st != SPHKV_OK || n == 1) return st;
    sk_case_copy *copy = sk_realloc(s->copy, n * sizeof *copy);
    if (copy) s->copy = copy;
    void *args = sk_realloc(c->args.any, n * c->args_size);
    if (args) c->args.any = args;
    if (!copy || !args) return sk_fail(err, SPHKV_ENOMEM, "no memory for %u copies", n);
    memset(s->copy + 1, 0, (n - 1) * sizeof *copy);
    memset((uint8_t *)args + c->args_size, 0, (n - 1) * c->args_size);
    c->copies = n;
    for (uint32_t i = 1; i < n; i++) set_memory(c, &s->copy[i]);
    for (uint32_t i = 1; i < n && st == SPHKV_OK; i++)
        st = clone(c, i, err);
    return st;
}

sk_status sk_case_make(const sk_case_params *params, sk_case *out, sk_err *err)
{
    *out = (sk_case){.p = *params, .copies = 1};
    sk_status st = check_params(params, err);
    if (st != SPHKV_OK) return st;
    st = allocate(out, err);
    if (st == SPHKV_OK) st = kinds[params->spec.kernel]->make(out, err);
    if (st == SPHKV_OK && !params->quick_fill) remember_inputs(out);
    if (st == SPHKV_OK) st = make_copies(out, err);
    for (uint32_t i = 0; i < out->copies && st == SPHKV_OK; i++) {
        kinds[params->spec.kernel]->args(out, i);
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
        sk_free(s->lse);
        sk_free(s->page_ml);
        sk_free(s->out_f32);
    }
    sk_free(s);
    sk_free(c->args.any);
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
        .q_len = sk_case_q_len(&c->p),
    };
}

const void *sk_case_args(const sk_case *c, uint32_t copy)
{
    return (const uint8_t *)c->args.any + copy * c->args_size;
}

void sk_case_poison(sk_case *c, uint32_t copy)
{
    const sk_case_state *s = sk_case_state_of(c);
    for (uint32_t i = 0; i < SK_BUF_COUNT; i++) {
        sk_case_buffer *b = &s->copy[copy].buf[i];
        if (!is_written(c, i) || !b->base) continue;
        if (s->before)
            memcpy(b->data, s->before, b->bytes);
        else
            memset(b->data, SK_CASE_POISON, b->bytes);
    }
}

uint8_t *sk_case_result(const sk_case *c, uint32_t copy, size_t *bytes)
{
    const sk_case_buffer *b = &sk_case_state_of(c)->copy[copy].buf[sk_case_written(c)];
    *bytes = b->bytes;
    return b->data;
}

const uint8_t *sk_case_before(const sk_case *c)
{
    return sk_case_state_of(c)->before;
}

size_t sk_case_outputs(const sk_spec *spec, const sk_shape *shape)
{
    const sk_case_kind *kind = kinds[spec->kernel];
    return kind->outputs ? kind->outputs(spec, shape) : 0;
}

const float *sk_case_output(const sk_case *c, uint32_t copy, size_t *count)
{
    sk_case_state *s = sk_case_state_of(c);
    const size_t n = sk_case_outputs(&c->p.spec, &c->p.shape);
    *count = 0;
    if (n && !s->out_f32) s->out_f32 = sk_malloc(n * sizeof *s->out_f32);
    if (!n || !s->out_f32) return NULL;
    kinds[c->p.spec.kernel]->output(c, copy, s->out_f32);
    *count = n;
    return s->out_f32;
}

sk_status sk_case_intact(const sk_case *c, uint32_t copy, sk_err *err)
{
    static const char *const names[SK_BUF_COUNT] = {
        "arena", "destination arena", "codebook", "q or k", "v",
        "out",   "lse",               "page_ml",  "index",  "list",
        "head_scale", "sinks", "bias", "q_positions", "rope or positions"};
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
    if (st == SPHKV_OK) st = kinds[c->p.spec.kernel]->judge(c, copy, &e, &b, err);
    if (error) *error = e;
    if (bound) *bound = b;
    return st;
}
