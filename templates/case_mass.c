/* case_mass.c - inputs of page_mass: those of attention over the same pages, taken out
 * of a case of attn_decode with several query tokens; and the judgement: masses and their
 * sums against a softmax in double over what the pages hold. Of some inputs the LSE is
 * given, by attention's reference. Masses and sums lie in one buffer; rows of references
 * that no list has stay poison. */
#include <math.h>
#include <string.h>

#include "case_impl.h"
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
    static const uint32_t taken[] = {SK_BUF_ARENA, SK_BUF_BOOK, SK_BUF_Q, SK_BUF_INDEX, SK_BUF_LIST};
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
    *a = c->args.mass[0];
    a->size = sizeof *a;
    a->batch = c->p.shape.batch;
    a->q = b[SK_BUF_Q].data;
    a->arena = b[SK_BUF_ARENA].data;
    a->arena_bytes = b[SK_BUF_ARENA].bytes;
    a->codebook = b[SK_BUF_BOOK].data;
    a->codebook_bytes = b[SK_BUF_BOOK].bytes;
    a->table = sk_case_table(c, copy);
    a->lse = (const float *)(const void *)b[SK_BUF_V].data;
    a->mass = (float *)(void *)b[SK_BUF_OUT].data;
    a->page_mass = c->p.input == SK_IN_CANCEL ? NULL : a->mass + rows_of(c) * c->p.spec.page;
}

/* ---- judgement ------------------------------------------------------------------ */

/* A list for one KV head. */
typedef struct mass_judge {
    const sk_case *c;
    const sphkv_mass_args *a;
    uint32_t seq, kv_head, first, end; /* references */
    uint32_t tokens;
    double *k;     /* [tokens][D] */
    double *want;  /* [tokens] */
    double *p;     /* [tokens] of a query */
    double most;   /* largest logit */
    double off;    /* sum of what masses are off */
    float *rest;   /* all that was written, poison where it was judged */
} mass_judge;

static void read_keys(mass_judge *j)
{
    const sk_case_state *s = sk_case_state_of(j->c);
    const sk_spec *spec = &j->c->p.spec;
    double *k = j->k;
    for (uint32_t i = j->first; i < j->end; i++) {
        const uint64_t ref = j->a->table.refs[i];
        const uint32_t tier = sphkv_ref_tier(ref), n = sphkv_ref_tokens(ref);
        size_t unit = sphkv_ref_unit(ref);
        if (j->c->p.lists_per_seq == 1) unit += (size_t)j->kv_head * s->at[tier].units;
        const uint8_t *book = j->a->codebook;
        if (book) book += (size_t)j->kv_head * s->book_stride;
        sk_page_decode_ref(spec, tier, (const uint8_t *)j->a->arena + unit * SPHKV_UNIT_BYTES, n, book, k,
                           NULL);
        k += (size_t)n * spec->d;
    }
}

/* One query row: its softmax over the first `seen` tokens. */
static void add_query(mass_judge *j, uint32_t token, uint32_t head, uint32_t seen)
{
    const sk_spec *spec = &j->c->p.spec;
    const sphkv_mass_args *a = j->a;
    const double scale = a->scale != 0 ? (double)a->scale : 1 / sqrt((double)spec->d);
    const size_t q = (size_t)j->seq * a->q_stride_seq + (size_t)token * a->q_stride_tok +
                     (size_t)head * a->q_stride_head;
    double most = -(double)INFINITY, sum = 0;
    for (uint32_t t = 0; t < seen; t++) {
        double x = 0;
        for (uint32_t i = 0; i < spec->d; i++)
            x += sk_case_get(a->q, spec->q_dtype, q + i) * j->k[(size_t)t * spec->d + i];
        j->p[t] = x * scale;
        most = fmax(most, j->p[t]);
        j->most = fmax(j->most, fabs(j->p[t]));
    }
    for (uint32_t t = 0; t < seen; t++) sum += exp(j->p[t] - most);
    for (uint32_t t = 0; t < seen; t++) j->want[t] += exp(j->p[t] - most) / sum;
}

/* Masses and sums of the list's pages against want. */
static void judge_rows(mass_judge *j)
{
    const uint32_t page = j->c->p.spec.page, step = j->c->p.lists_per_seq == 1 ? sk_case_state_of(j->c)->kv_heads : 1;
    const size_t sums = rows_of(j->c) * page;
    const double *want = j->want;
    for (uint32_t i = j->first; i < j->end; i++) {
        const size_t row = (size_t)i * step + (step > 1 || j->c->p.lists_per_seq == 1 ? j->kv_head : 0);
        const uint32_t n = sphkv_ref_tokens(j->a->table.refs[i]);
        double sum = 0, off = 0;
        for (uint32_t t = 0; t < page; t++) {
            const double x = (double)j->a->mass[row * page + t], y = t < n ? want[t] : 0;
            off += t < n ? fabs(x - y) : x != 0 ? (double)INFINITY : 0;
            sum += y;
        }
        if (j->a->page_mass) off += fabs((double)j->a->page_mass[row] - sum);
        j->off += isnan(off) ? (double)INFINITY : off;
        memset(j->rest + row * page, SK_CASE_POISON, page * 4);
        if (j->a->page_mass) memset(j->rest + sums + row, SK_CASE_POISON, 4);
        want += n;
    }
}

/* *error: what masses are off, of all that there is. */
static void judge_list(mass_judge *j, double *error)
{
    const sk_spec *spec = &j->c->p.spec;
    const uint32_t w = j->a->q_len;
    memset(j->want, 0, (size_t)j->tokens * sizeof *j->want);
    read_keys(j);
    uint32_t queries = 0;
    for (uint32_t i = 0; i < w; i++) {
        const uint32_t hidden = w - 1 - i, seen = hidden < j->tokens ? j->tokens - hidden : 0;
        queries += seen > 0;
        for (uint32_t h = 0; seen > 0 && h < spec->heads_per_kv; h++)
            add_query(j, i, j->kv_head * spec->heads_per_kv + h, seen);
    }
    j->off = 0;
    judge_rows(j);
    if (j->off > 0) *error = fmax(*error, j->off / fmax(1, (double)queries * spec->heads_per_kv));
}

/* The list of sequence seq and a KV head. */
static void list_of(mass_judge *j, uint32_t seq, uint32_t kv_head)
{
    const uint32_t list = j->c->p.lists_per_seq == 1 ? seq : seq * sk_case_state_of(j->c)->kv_heads + kv_head;
    j->seq = seq;
    j->kv_head = kv_head;
    j->first = j->a->table.indptr[list];
    j->end = j->a->table.indptr[list + 1];
    j->tokens = 0;
    for (uint32_t i = j->first; i < j->end; i++) j->tokens += sphkv_ref_tokens(j->a->table.refs[i]);
}

static sk_status judge_all(mass_judge *j, double *error, sk_err *err)
{
    const sk_case *c = j->c;
    const uint32_t kv_heads = sk_case_state_of(c)->kv_heads;
    for (uint32_t n = 0; n < c->p.shape.batch * kv_heads; n++) {
        list_of(j, n / kv_heads, n % kv_heads);
        j->k = sk_malloc((size_t)(j->tokens + 1) * c->p.spec.d * sizeof *j->k);
        j->want = sk_malloc((size_t)(j->tokens + 1) * 2 * sizeof *j->want);
        j->p = j->want + j->tokens + 1;
        const bool ok = j->k && j->want;
        if (ok) judge_list(j, error);
        sk_free(j->k);
        sk_free(j->want);
        if (!ok) return sk_fail(err, SPHKV_ENOMEM, "no memory to judge");
    }
    return SPHKV_OK;
}

static sk_status mass_judge_all(const sk_case *c, uint32_t copy, double *error, double *bound, sk_err *err)
{
    const sk_case_buffer *out = &sk_case_state_of(c)->copy[copy].buf[SK_BUF_OUT];
    mass_judge j = {.c = c, .a = &c->args.mass[copy], .rest = sk_malloc(out->bytes)};
    if (!j.rest) return sk_fail(err, SPHKV_ENOMEM, "no memory to judge");
    memcpy(j.rest, out->data, out->bytes);
    sk_status st = judge_all(&j, error, err);
    /* a share is off by what its logit is, and by that of the sum; so is the sum of a page */
    *bound = 4 * sk_accuracy_bound(c->p.spec.accuracy);
    if (c->p.input != SK_IN_S1) *bound *= fmax(1, j.most / 8);
    if (st == SPHKV_OK && !(*error <= *bound))
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
