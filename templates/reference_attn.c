/* reference_attn.c - attn_decode in double, from the equations of the design
 * and through sk_page_decode_ref: no tables, no splits, one softmax per row.
 *
 * A list is walked page by page with a running maximum, so that its length
 * costs no memory; in double the rescaling costs no accuracy that matters. */
#include <math.h>
#include <string.h>

#include "case_impl.h"

/* What one query row has gathered so far. */
typedef struct row_state {
    double m, l;   /* running maximum of logits, sum of exp(logit - m) */
    double *acc;   /* [Dv] sum of exp(logit - m) * v */
    double *mag;   /* [Dv] the same with |v| */
} row_state;

typedef struct attn_ref {
    const sk_spec *spec;
    const sphkv_attn_args *args;
    uint32_t kv_heads, heads, q_len;
    sk_attn_truth *truth;
    double *k, *v;            /* one decoded page */
    double *q;                /* [q_len][heads_per_kv][D], times what logits are */
    double *sums;             /* acc and mag of the rows of one KV head */
    row_state *row;           /* [q_len][heads_per_kv] */
    sk_page_layout at[SK_MAX_TIERS];
} attn_ref;

/* A page at work. */
typedef struct ref_page {
    uint32_t index, tokens;   /* refs[index] */
    uint64_t before, all;     /* tokens of the list before it, and of the whole list */
    const uint8_t *positions; /* u32 per slot; NULL: places in the list */
    const uint32_t *query;    /* positions of the queries, then */
    double *ml;               /* its pairs (m, l), or NULL */
    double *mass;             /* shares of its slots, or NULL */
} ref_page;

/* One token enters one row. */
static void row_add(const attn_ref *r, row_state *row, double logit, const double *v)
{
    if (logit > row->m) {
        double shrink = exp(row->m - logit); /* 0 for the first */
        row->l *= shrink;
        for (uint32_t c = 0; c < r->spec->dv; c++) {
            row->acc[c] *= shrink;
            row->mag[c] *= shrink;
        }
        row->m = logit;
    }
    double p = exp(logit - row->m);
    row->l += p;
    for (uint32_t c = 0; c < r->spec->dv; c++) {
        row->acc[c] += p * v[c];
        row->mag[c] += p * fabs(v[c]);
    }
}

/* Whether query token i sees token t of the page. */
static bool is_seen(const attn_ref *r, const ref_page *page, uint32_t i, uint32_t t)
{
    int64_t token = (int64_t)(page->before + t), query = (int64_t)(page->all + i) - r->q_len;
    if (page->positions) {
        uint32_t position;
        memcpy(&position, page->positions + (size_t)t * 4, 4);
        token = position;
        query = page->query[i];
    }
    if (token > query) return false;
    return !(r->spec->variants & SPHKV_VARIANT_WINDOW) || query - token < r->args->window;
}

/* What enters the softmax, of x = scale * <q, k>. */
static double logit_of(const attn_ref *r, const ref_page *page, uint32_t t, double x)
{
    const uint32_t variants = r->spec->variants;
    const double cap = (double)r->args->softcap;
    if (variants & SPHKV_VARIANT_SOFTCAP) x = cap * tanh(x / cap);
    if (!(variants & SPHKV_VARIANT_BIAS)) return x;
    const double bias = (double)r->args->bias[(size_t)page->index * r->spec->page + t];
    return x + (bias > -1e30 ? bias : -1e30);
}

/* What of token t enters the softmax of a row of query token i; false: it does not see it. */
static bool row_logit(attn_ref *r, const ref_page *page, uint32_t i, uint32_t row, uint32_t t,
                      double *logit)
{
    const double *q = r->q + (size_t)row * r->spec->d, *k = r->k + (size_t)t * r->spec->d;
    double x = 0, terms = 0;
    for (uint32_t n = 0; n < r->spec->d; n++) {
        x += q[n] * k[n];
        terms += fabs(q[n] * k[n]);
    }
    r->truth->max_logit = fmax(r->truth->max_logit, fabs(x));
    r->truth->max_terms = fmax(r->truth->max_terms, terms);
    *logit = logit_of(r, page, t, x);
    return is_seen(r, page, i, t);
}

/* One row of query token i. */
static void page_row(attn_ref *r, const ref_page *page, uint32_t i, uint32_t row)
{
    double m = -(double)INFINITY, l = 0, x;
    for (uint32_t t = 0; t < page->tokens; t++) {
        if (!row_logit(r, page, i, row, t, &x)) continue;
        row_add(r, &r->row[row], x, r->v + (size_t)t * r->spec->dv);
        l = x > m ? l * exp(m - x) + 1 : l + exp(x - m);
        m = fmax(m, x);
    }
    if (!page->ml) return;
    page->ml[2 * row] = m;
    page->ml[2 * row + 1] = l;
}

/* The shares of its tokens in a row whose sum is known. */
static void mass_row(attn_ref *r, const ref_page *page, uint32_t i, uint32_t row)
{
    double x;
    for (uint32_t t = 0; t < page->tokens; t++)
        if (row_logit(r, page, i, row, t, &x)) page->mass[t] += exp(x - r->row[row].m) / r->row[row].l;
}

static sk_status decode_page(attn_ref *r, uint64_t ref, uint32_t kv_head, ref_page *page, sk_err *err)
{
    const sphkv_attn_args *a = r->args;
    uint32_t tier = sphkv_ref_tier(ref), tokens = sphkv_ref_tokens(ref);
    if (tier >= r->spec->ntiers || tokens > r->spec->page)
        return sk_fail(err, SPHKV_EINVAL, "page reference: tier %u, %u tokens", tier, tokens);
    size_t bytes = (size_t)r->at[tier].units * SPHKV_UNIT_BYTES;
    size_t off = (size_t)sphkv_ref_unit(ref) * SPHKV_UNIT_BYTES;
    if (a->table.lists_per_seq == 1) off += kv_head * bytes;
    if (off > a->arena_bytes || a->arena_bytes - off < bytes)
        return sk_fail(err, SPHKV_EINVAL, "page reference: unit %u lies outside the arena",
                       sphkv_ref_unit(ref));
    const uint8_t *book = a->codebook;
    if (book) book += (size_t)kv_head * sk_codebook_head_bytes(r->spec);
    const uint8_t *at = (const uint8_t *)a->arena + off;
    sk_page_decode_ref(r->spec, tier, at, tokens, book, r->k, r->v);
    if (!sk_rope_page_ref(r->spec, tier, at, tokens, &a->rope, r->k))
        return sk_fail(err, SPHKV_EINVAL, "a position is not in the table of %u", a->rope.positions);
    page->tokens = tokens;
    page->positions = NULL;
    if (r->spec->variants & SPHKV_VARIANT_POSITIONS)
        page->positions = at + r->at[tier].pos_off;
    return SPHKV_OK;
}

/* The sink of the head: a token without a value. */
static void row_sink(const attn_ref *r, uint32_t head, row_state *state)
{
    const float *sinks = r->args->sinks;
    if (!(r->spec->variants & SPHKV_VARIANT_SINK) || !sinks || !(sinks[head] > -INFINITY)) return;
    const double none[1024] = {0}; /* the largest head, sk_spec_check */
    row_add(r, state, (double)sinks[head], none);
}

static void row_put(const attn_ref *r, size_t row, const row_state *state)
{
    const sk_attn_truth *to = r->truth;
    uint32_t dv = r->spec->dv;
    for (uint32_t c = 0; c < dv; c++) {
        if (to->out) to->out[row * dv + c] = state->l > 0 ? state->acc[c] / state->l : 0;
        if (to->mag) to->mag[row * dv + c] = state->l > 0 ? state->mag[c] / state->l : 0;
    }
    if (to->lse) to->lse[row] = state->l > 0 ? state->m + log(state->l) : -(double)INFINITY;
}

/* Queries of one KV head, nothing gathered yet. */
static void begin_rows(attn_ref *r, uint32_t seq, uint32_t kv_head)
{
    const sphkv_attn_args *a = r->args;
    uint32_t hpk = r->spec->heads_per_kv, d = r->spec->d, dv = r->spec->dv;
    const double base = a->scale != 0 ? (double)a->scale : 1 / sqrt((double)d);
    size_t stride_head = a->q_stride_head ? a->q_stride_head : d;
    size_t stride_tok = a->q_stride_tok ? a->q_stride_tok : (size_t)r->heads * d;
    size_t stride_seq = a->q_stride_seq ? a->q_stride_seq : (size_t)r->q_len * r->heads * d;
    memset(r->sums, 0, (size_t)r->q_len * hpk * dv * 2 * sizeof *r->sums);
    for (uint32_t n = 0; n < r->q_len * hpk; n++) {
        const uint32_t head = kv_head * hpk + n % hpk;
        const bool scaled = (r->spec->variants & SPHKV_VARIANT_HEADSCALE) != 0;
        const double scale = scaled ? base * (double)a->head_scale[head] : base;
        r->row[n] = (row_state){.m = -(double)INFINITY, .acc = r->sums + (size_t)n * 2 * dv};
        r->row[n].mag = r->row[n].acc + dv;
        const size_t at = seq * stride_seq + n / hpk * stride_tok + head * stride_head;
        for (uint32_t i = 0; i < d; i++)
            r->q[(size_t)n * d + i] = scale * sk_case_get(a->q, r->spec->q_dtype, at + i);
    }
}

/* The pages of a list, for the rows of a KV head: gathered, or, the second time, shared out. */
static sk_status walk_pages(attn_ref *r, uint32_t lo, uint32_t hi, uint32_t kv_head, ref_page page,
                            bool again, sk_err *err)
{
    const sphkv_page_table *table = &r->args->table;
    const uint32_t hpk = r->spec->heads_per_kv, rows = r->q_len * hpk;
    const sk_attn_truth *to = r->truth;
    for (page.index = lo; page.index < hi; page.index++) {
        const sk_status st = decode_page(r, table->refs[page.index], kv_head, &page, err);
        if (st != SPHKV_OK) return st;
        const size_t row = table->lists_per_seq == 1 ? (size_t)page.index * r->kv_heads + kv_head : page.index;
        page.ml = to->page_ml ? to->page_ml + row * rows * 2 : NULL;
        page.mass = to->mass ? to->mass + row * r->spec->page : NULL;
        for (uint32_t n = 0; n < rows; n++)
            if (again)
                mass_row(r, &page, n / hpk, n);
            else
                page_row(r, &page, n / hpk, n);
        page.before += page.tokens;
    }
    return SPHKV_OK;
}

/* All query tokens and heads of one KV head of one sequence. */
static sk_status one_kv_head(attn_ref *r, uint32_t seq, uint32_t kv_head, sk_err *err)
{
    const sphkv_attn_args *a = r->args;
    const uint32_t hpk = r->spec->heads_per_kv, rows = r->q_len * hpk;
    const bool shared = a->table.lists_per_seq == 1;
    const uint32_t list = shared ? seq : seq * r->kv_heads + kv_head;
    const uint32_t lo = a->table.indptr[list], hi = a->table.indptr[list + 1];
    ref_page page = {0};
    if (a->q_positions) page.query = a->q_positions + (size_t)seq * r->q_len;
    for (uint32_t i = lo; i < hi; i++) page.all += sphkv_ref_tokens(a->table.refs[i]);
    begin_rows(r, seq, kv_head);
    sk_status st = walk_pages(r, lo, hi, kv_head, page, false, err);
    for (uint32_t n = 0; n < rows; n++) {
        const uint32_t head = kv_head * hpk + n % hpk;
        row_sink(r, head, &r->row[n]);
        row_put(r, ((size_t)seq * r->q_len + n / hpk) * r->heads + head, &r->row[n]);
    }
    if (st == SPHKV_OK && r->truth->mass) st = walk_pages(r, lo, hi, kv_head, page, true, err);
    return st;
}

sk_status sk_attn_reference(const sk_spec *spec, const sphkv_attn_args *args, uint32_t kv_heads,
                            sk_attn_truth *truth, sk_err *err)
{
    attn_ref r = {.spec = spec, .args = args, .kv_heads = kv_heads, .truth = truth};
    const sphkv_page_table *table = &args->table;
    if (kv_heads == 0 || (table->lists_per_seq != 1 && table->lists_per_seq != kv_heads) ||
        table->lists != (uint64_t)args->batch * table->lists_per_seq)
        return sk_fail(err, SPHKV_EINVAL,
                       "%u lists, %u per sequence, for %u sequences and %u heads", table->lists,
                       table->lists_per_seq, args->batch, kv_heads);
    for (uint32_t t = 0; t < spec->ntiers; t++) {
        sk_page_layout_get(spec, t, &r.at[t]);
    }
    const uint32_t first = args->kv_head_first;
    const uint32_t end = args->kv_head_count ? first + args->kv_head_count : kv_heads;
    truth->max_logit = truth->max_terms = 0;
    r.heads = kv_heads * spec->heads_per_kv;
    r.q_len = args->q_len ? args->q_len : 1;
    size_t row = spec->d + spec->dv, rows = (size_t)r.q_len * spec->heads_per_kv;
    r.k = sk_malloc(spec->page * row * sizeof *r.k);
    r.q = sk_malloc(rows * (spec->d + 2 * spec->dv) * sizeof *r.q);
    r.row = sk_malloc(rows * sizeof *r.row);
    sk_status st = SPHKV_OK;
    if (!r.k || !r.q || !r.row) st = sk_fail(err, SPHKV_ENOMEM, "no memory for the reference");
    if (st == SPHKV_OK) {
        r.v = r.k + (size_t)spec->page * spec->d;
        r.sums = r.q + rows * spec->d;
    }
    for (uint32_t s = 0; s < args->batch && st == SPHKV_OK; s++)
        for (uint32_t h = first; h < end && st == SPHKV_OK; h++)
            st = one_kv_head(&r, s, h, err);
    sk_free(r.k);
    sk_free(r.q);
    sk_free(r.row);
    return st;
}
