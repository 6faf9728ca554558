/* case_mass.c - inputs of page_mass: those of attention over the same pages, taken out
 * of a case of attn_decode with several query tokens; and the judgement: masses and their
 * sums against the probabilities of attention's reference. Of some inputs the LSE is
 * given, by that, too. Masses and sums lie in one buffer; rows of references
 * that no list has stay poison. */
#include <math.h>
#include <string.h>

#include "case_attn.h"
#include "page_mass.h"

static uint32_t q_len_of(const sk_case_params *p) { return p->quick_fill ? 1 : 1 + p->input * 3 % 5; }
static bool gives_lse(const sk_case_params *p)
{
    return !p->quick_fill && (p->input == SK_IN_SINK || p->input == SK_IN_EDGE);
}

/* Rows of masses: references, those in no list too, times KV heads where lists are shared. */
static size_t rows_of(const sk_case *c)
{
    const sk_case_state *s = sk_case_state_of(c);
    return (s->pages + 2 * s->first_ref) * (c->p.lists_per_seq == 1 ? s->kv_heads : 1);
}

static sk_spec attention_of(const sk_spec *spec)
{
    sk_spec attn = *spec;
    attn.kernel = SPHKV_ATTN_DECODE;
    attn.variants |= SPHKV_VARIANT_QUERIES;
    return attn;
}

/* Buffers and pages of `from` become those of c. */
static void take(sk_case *c, sk_case *from)
{
    static const uint32_t taken[] = {SK_BUF_ARENA, SK_BUF_BOOK, SK_BUF_Q, SK_BUF_INDEX, SK_BUF_LIST,
                                     SK_BUF_SCALE, SK_BUF_SINK, SK_BUF_BIAS, SK_BUF_WHERE, SK_BUF_ROPE};
    sk_case_state *s = sk_case_state_of(c), *f = sk_case_state_of(from);
    for (uint32_t i = 0; i < SK_COUNT(taken); i++) {
        s->copy[0].buf[taken[i]] = f->copy[0].buf[taken[i]];
        f->copy[0].buf[taken[i]] = (sk_case_buffer){.memory = c->p.memory};
    }
    s->page = f->page;
    f->page = NULL;
    s->pages = f->pages;
    s->pages_per_list = f->pages_per_list;
    s->first_ref = f->first_ref;
    s->window = f->window;
    s->softcap = f->softcap;
    const sphkv_attn_args *a = &from->args.attn[0];
    c->args.mass[0] = (sphkv_mass_args){.q_stride_seq = a->q_stride_seq, .q_stride_tok = a->q_stride_tok,
                                        .q_stride_head = a->q_stride_head, .scale = a->scale,
                                        .q_len = q_len_of(&c->p),
                                        .lse_stride_tok = s->heads, .lse_stride_seq = s->heads * q_len_of(&c->p)};
}

/* LSE of attention's reference, where it is given. */
static sk_status give_lse(sk_case *c, sk_case *from, sk_err *err)
{
    const sk_case_state *s = sk_case_state_of(c);
    const size_t n = (size_t)c->p.shape.batch * q_len_of(&c->p) * s->heads;
    const sk_spec attn = attention_of(&c->p.spec);
    sk_case_buffer *lse = &s->copy[0].buf[SK_BUF_V];
    sk_attn_truth truth = {.lse = sk_malloc(n * sizeof(double))};
    sk_status st = truth.lse ? sk_case_buffer_make(lse, n * 4, err) : sk_fail(err, SPHKV_ENOMEM, "no memory for LSE");
    if (st == SPHKV_OK) st = sk_attn_reference(&attn, &from->args.attn[0], s->kv_heads, &truth, err);
    for (size_t i = 0; st == SPHKV_OK && i < n; i++) sk_case_put(lse->data, SPHKV_F32, i, truth.lse[i]);
    sk_free(truth.lse);
    return st;
}

static sk_status mass_make(sk_case *c, sk_err *err)
{
    sk_case_params p = c->p;
    sk_case attn;
    p.spec = attention_of(&c->p.spec);
    p.shape.q_len = q_len_of(&c->p);
    p.copies = 1;
    p.cold = 0;
    sk_status st = sk_case_make(&p, &attn, err);
    if (st != SPHKV_OK) return st;
    sk_case_state *s = sk_case_state_of(c);
    if (gives_lse(&c->p)) st = give_lse(c, &attn, err);
    take(c, &attn);
    sk_case_free(&attn);
    const size_t rows = rows_of(c);
    if (st == SPHKV_OK)
        st = sk_case_buffer_make(&s->copy[0].buf[SK_BUF_OUT], rows * (c->p.spec.page + 1) * 4, err);
    for (size_t i = 0; i < s->pages; i++) {
        const sk_page_layout *at = &s->at[s->page[i].tier];
        c->read_bytes += (size_t)sk_mass_key_bytes(at) * s->page[i].count / c->p.spec.page;
    }
    c->read_bytes *= c->p.lists_per_seq == 1 ? s->kv_heads : 1;
    c->read_bytes += s->copy[0].buf[SK_BUF_Q].bytes + s->copy[0].buf[SK_BUF_BOOK].bytes;
    c->write_bytes = rows * (c->p.spec.page + 1) * 4;
    return st;
}

static void mass_args(sk_case *c, uint32_t copy)
{
    const sk_case_buffer *b = sk_case_state_of(c)->copy[copy].buf;
    sphkv_mass_args *a = &c->args.mass[copy];
    SK_ATTN_CASE_ARGS(a, c->args.mass[0], c, copy);
    a->lse = (const float *)(const void *)b[SK_BUF_V].data;
    a->mass = (float *)(void *)b[SK_BUF_OUT].data;
    a->page_mass = c->p.input == SK_IN_CANCEL ? NULL : a->mass + rows_of(c) * c->p.spec.page;
}

/* ---- judgement ------------------------------------------------------------------ */

/* The masses that the reference gives, once per case. */
static sk_status make_reference(const sk_case *c, sk_err *err)
{
    sk_case_state *s = sk_case_state_of(c);
    const sphkv_mass_args *m = &c->args.mass[0];
    const size_t n = rows_of(c) * c->p.spec.page;
    if (s->ref) return SPHKV_OK;
    sk_attn_truth truth = {.mass = sk_calloc(n + 1, sizeof(double))};
    sphkv_attn_args a = {.size = sizeof a, .batch = m->batch, .q = m->q, .q_stride_seq = m->q_stride_seq,
                         .q_stride_tok = m->q_stride_tok, .q_stride_head = m->q_stride_head,
                         .q_len = m->q_len, .arena = m->arena, .arena_bytes = m->arena_bytes,
                         .table = m->table, .codebook = m->codebook,
                         .codebook_bytes = m->codebook_bytes, .scale = m->scale, .rope = m->rope};
    const sk_variant_args v = SK_VARIANTS_OF(m);
    const sk_spec attn = attention_of(&c->p.spec);
    if (!truth.mass) return sk_fail(err, SPHKV_ENOMEM, "no memory for a reference");
    SK_VARIANTS_PUT(&a, v);
    const sk_status st = sk_attn_reference(&attn, &a, s->kv_heads, &truth, err);
    if (st != SPHKV_OK) {
        sk_free(truth.mass);
        return st;
    }
    s->ref = truth.mass;
    s->max_logit = truth.max_logit;
    s->max_terms = truth.max_terms;
    return SPHKV_OK;
}

/* A list for one KV head. */
typedef struct mass_judge {
    const sk_case *c;
    const sphkv_mass_args *a;
    double off, all; /* sum of what its masses are off; of the masses */
    float *rest;     /* all that was written, poison where it was judged */
} mass_judge;

/* The row of a reference: its masses and their sum. */
static void judge_row(mass_judge *j, size_t row, uint32_t tokens)
{
    const uint32_t page = j->c->p.spec.page;
    const double *want = sk_case_state_of(j->c)->ref + row * page;
    double sum = 0, off = 0;
    for (uint32_t t = 0; t < page; t++) {
        const double x = (double)j->a->mass[row * page + t];
        off += t < tokens ? fabs(x - want[t]) : x != 0 ? (double)INFINITY : 0;
        sum += want[t];
    }
    if (j->a->page_mass) off += fabs((double)j->a->page_mass[row] - sum);
    j->off += isnan(off) ? (double)INFINITY : off;
    j->all += sum;
    memset(j->rest + row * page, SK_CASE_POISON, page * 4);
    if (j->a->page_mass) memset(j->rest + rows_of(j->c) * page + row, SK_CASE_POISON, 4);
}

/* The largest share that the masses of a list are off. */
static double judge_lists(mass_judge *j)
{
    const uint32_t kv_heads = sk_case_state_of(j->c)->kv_heads;
    const bool shared = j->c->p.lists_per_seq == 1;
    const sphkv_page_table *t = &j->a->table;
    double error = 0;
    for (uint32_t n = 0; n < j->a->batch * kv_heads; n++) {
        const uint32_t list = shared ? n / kv_heads : n;
        j->off = j->all = 0;
        for (uint32_t i = t->indptr[list]; i < t->indptr[list + 1]; i++)
            judge_row(j, shared ? (size_t)i * kv_heads + n % kv_heads : i, sphkv_ref_tokens(t->refs[i]));
        if (j->off > 0) error = fmax(error, j->off / fmax(1e-3, j->all));
    }
    return error;
}

static sk_status mass_judge_all(const sk_case *c, uint32_t copy, double *error, double *bound, sk_err *err)
{
    const sk_case_state *s = sk_case_state_of(c);
    const sk_case_buffer *out = &s->copy[copy].buf[SK_BUF_OUT];
    mass_judge j = {.c = c, .a = &c->args.mass[copy]};
    sk_status st = make_reference(c, err);
    if (st != SPHKV_OK) return st;
    j.rest = sk_malloc(out->bytes);
    if (!j.rest) return sk_fail(err, SPHKV_ENOMEM, "no memory to judge");
    memcpy(j.rest, out->data, out->bytes);
    *error = judge_lists(&j);
    /* a share is off by what its logit is, and by that of the sum; so is the sum of a page */
    *bound = SK_CASE_LSE_ROOM * sk_accuracy_bound(c->p.spec.accuracy);
    if (c->p.input != SK_IN_S1) *bound *= sk_case_logit_size(c);
    if (!(*error <= *bound))
        st = sk_fail(err, SPHKV_EVERIFY, "page_mass: off by %.3g of all, at most %.3g", *error, *bound);
    for (size_t i = 0; st == SPHKV_OK && i < out->bytes; i++)
        if (((const uint8_t *)j.rest)[i] != SK_CASE_POISON)
            st = sk_fail(err, SPHKV_EVERIFY, "page_mass: wrote byte %zu, which no list has", i);
    sk_free(j.rest);
    return st;
}

static bool mass_check(const sk_spec *spec, uint32_t i, sk_case_params *params)
{
    return sk_case_kind_of(SPHKV_ATTN_DECODE)->check(spec, i, params);
}

static double mass_bound(const sk_spec *spec) { return 4 * sk_accuracy_bound(spec->accuracy); }

const sk_case_kind sk_case_page_mass = {
    .make = mass_make,
    .args = mass_args,
    .judge = mass_judge_all,
    .check = mass_check,
    .bound = mass_bound,
};
