/* reference_attn.c - attn_decode in double, from the equations of the design
 * and through sk_page_decode_ref: no tables, no splits, one softmax per row.
 *
 * A list is walked page by page with a running maximum, so that its length
 * costs no memory; in double the rescaling costs no accuracy that matters. */
#include <math.h>
#include <string.h>

#include "case.h"

/* What one query row has gathered so far. */
typedef struct row_state {
    double m, l;   /* running maximum of logits, sum of exp(logit - m) */
    double *acc;   /* [Dv] sum of exp(logit - m) * v */
    double *mag;   /* [Dv] the same with |v| */
} row_state;

typedef struct attn_ref {
    const sk_spec *spec;
    const sphkv_attn_args *args;
    uint32_t kv_heads, heads;
    double scale;
    sk_attn_truth *truth;
    double *k, *v;            /* one decoded page */
    double *q;                /* [heads_per_kv][D] */
    double *sums;             /* acc and mag of the rows of one KV head */
    sk_page_layout at[SK_MAX_TIERS];
} attn_ref;

static double read_number(const void *base, uint32_t dtype, size_t index)
{
    if (dtype == SPHKV_F32) {
        float f;
        memcpy(&f, (const uint8_t *)base + index * 4, 4);
        return (double)f;
    }
    uint16_t h;
    memcpy(&h, (const uint8_t *)base + index * 2, 2);
    return (double)(dtype == SPHKV_F16 ? sk_f16_to_f32(h) : sk_bf16_to_f32(h));
}

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

/* ml: pairs (m, l) of this page, [heads_per_kv][2], or NULL. */
static void page_add(attn_ref *r, row_state *rows, uint32_t tokens, double *ml)
{
    for (uint32_t h = 0; h < r->spec->heads_per_kv; h++) {
        double m = -(double)INFINITY, l = 0;
        for (uint32_t t = 0; t < tokens; t++) {
            const double *q = r->q + (size_t)h * r->spec->d, *k = r->k + (size_t)t * r->spec->d;
            double dot = 0;
            for (uint32_t i = 0; i < r->spec->d; i++)
                dot += q[i] * k[i];
            dot *= r->scale;
            r->truth->max_logit = fmax(r->truth->max_logit, fabs(dot));
            row_add(r, &rows[h], dot, r->v + (size_t)t * r->spec->dv);
            l = dot > m ? l * exp(m - dot) + 1 : l + exp(dot - m);
            m = fmax(m, dot);
        }
        if (!ml) continue;
        ml[2 * h] = m;
        ml[2 * h + 1] = l;
    }
}

static sk_status decode_page(attn_ref *r, uint64_t ref, uint32_t kv_head, sk_err *err)
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
    sk_page_decode_ref(r->spec, tier, (const uint8_t *)a->arena + off, tokens, book, r->k, r->v);
    return SPHKV_OK;
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

/* All query heads of one KV head of one sequence. */
static sk_status one_kv_head(attn_ref *r, uint32_t seq, uint32_t kv_head, sk_err *err)
{
    const sphkv_attn_args *a = r->args;
    uint32_t hpk = r->spec->heads_per_kv, d = r->spec->d, dv = r->spec->dv;
    size_t stride_head = a->q_stride_head ? a->q_stride_head : d;
    size_t stride_seq = a->q_stride_seq ? a->q_stride_seq : (size_t)r->heads * stride_head;
    row_state rows[SPHKV_MAX_HEADS_PER_KV];
    memset(r->sums, 0, (size_t)hpk * dv * 2 * sizeof *r->sums);
    for (uint32_t h = 0; h < hpk; h++) {
        rows[h] = (row_state){.m = -(double)INFINITY, .acc = r->sums + (size_t)h * 2 * dv};
        rows[h].mag = rows[h].acc + dv;
        for (uint32_t i = 0; i < d; i++)
            r->q[(size_t)h * d + i] =
                read_number(a->q, r->spec->q_dtype,
                            seq * stride_seq + (kv_head * hpk + h) * stride_head + i);
    }
    bool shared = a->table.lists_per_seq == 1;
    uint32_t list = shared ? seq : seq * r->kv_heads + kv_head;
    for (uint32_t i = a->table.indptr[list]; i < a->table.indptr[list + 1]; i++) {
        sk_status st = decode_page(r, a->table.refs[i], kv_head, err);
        if (st != SPHKV_OK) return st;
        size_t pair = shared ? (size_t)i * r->kv_heads + kv_head : i;
        page_add(r, rows, sphkv_ref_tokens(a->table.refs[i]),
                 r->truth->page_ml ? r->truth->page_ml + pair * hpk * 2 : NULL);
    }
    for (uint32_t h = 0; h < hpk; h++)
        row_put(r, (size_t)seq * r->heads + kv_head * hpk + h, &rows[h]);
    return SPHKV_OK;
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
        if (r.at[t].pos_off != SK_NO_FIELD)
            return sk_fail(err, SPHKV_EUNSUPPORTED, "the reference does not rotate keys that are "
                                                    "coded before RoPE");
    }
    const uint32_t first = args->kv_head_first;
    const uint32_t end = args->kv_head_count ? first + args->kv_head_count : kv_heads;
    truth->max_logit = 0;
    r.heads = kv_heads * spec->heads_per_kv;
    r.scale = args->scale != 0 ? (double)args->scale : 1 / sqrt((double)spec->d);
    size_t row = spec->d + spec->dv;
    r.k = sk_malloc(spec->page * row * sizeof *r.k);
    r.q = sk_malloc((size_t)spec->heads_per_kv * (spec->d + 2 * spec->dv) * sizeof *r.q);
    sk_status st = SPHKV_OK;
    if (!r.k || !r.q) st = sk_fail(err, SPHKV_ENOMEM, "no memory for the reference");
    if (st == SPHKV_OK) {
        r.v = r.k + (size_t)spec->page * spec->d;
        r.sums = r.q + (size_t)spec->heads_per_kv * spec->d;
    }
    for (uint32_t s = 0; s < args->batch && st == SPHKV_OK; s++)
        for (uint32_t h = first; h < end && st == SPHKV_OK; h++)
            st = one_kv_head(&r, s, h, err);
    sk_free(r.k);
    sk_free(r.q);
    return st;
}
