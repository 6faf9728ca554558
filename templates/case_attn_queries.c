/* case_attn_queries.c - the queries of an attention case, scaled against the keys
 * as they were coded: what a tier forgets also narrows its logits. */
#include <math.h>
#include <string.h>

#include "case_attn.h"

/* Logits of the queries of one KV head over some pages of its list. */
typedef struct logit_stats {
    double n, sum, sum2, most;
    double terms; /* the largest sum of magnitudes that a logit is what is left of */
} logit_stats;

/* Keys of a page as they were coded, into f->k. */
static void decode_keys(sk_attn_fill *f, const sk_case_page *page, uint32_t kv_head)
{
    size_t sub = f->c->p.lists_per_seq == 1 ? kv_head * sk_attn_page_bytes(f, page->tier) : 0;
    const uint8_t *at = f->arena + (size_t)page->unit * SPHKV_UNIT_BYTES + sub;
    const sphkv_rope rope = sk_case_rope(f->c, 0);
    sk_page_decode_ref(&f->c->p.spec, page->tier, at, page->count, sk_attn_head_book(f, kv_head),
                       f->k, NULL);
    (void)sk_rope_page_ref(&f->c->p.spec, page->tier, at, page->count, &rope, f->k);
}

static void add_page_stats(sk_attn_fill *f, const sk_case_page *page, uint32_t kv_head, double scale,
                           logit_stats *stats)
{
    const sk_spec *spec = &f->c->p.spec;
    decode_keys(f, page, kv_head);
    for (uint32_t h = 0; h < spec->heads_per_kv; h++)
        for (uint32_t t = 0; t < page->count; t++) {
            double dot = 0, terms = 0;
            for (uint32_t i = 0; i < spec->d; i++) {
                const double x = f->q[(size_t)h * spec->d + i] * f->k[(size_t)t * spec->d + i];
                dot += x;
                terms += fabs(x);
            }
            dot *= scale;
            stats[h].terms = fmax(stats[h].terms, terms * scale);
            stats[h].n++;
            stats[h].sum += dot;
            stats[h].sum2 += dot * dot;
            stats[h].most = fmax(stats[h].most, fabs(dot));
        }
}

/* The longest key of some pages of a list, into f->v (rows of values are free
 * here); its length is returned, 0 of none. */
static double longest_key(sk_attn_fill *f, size_t at, size_t end, size_t step, uint32_t kv_head,
                          uint32_t *tokens)
{
    const sk_spec *spec = &f->c->p.spec;
    double most = 0;
    *tokens = 0;
    for (size_t i = at; i < end; i += step) {
        decode_keys(f, &f->s->page[i], kv_head);
        *tokens += f->s->page[i].count;
        for (uint32_t t = 0; t < f->s->page[i].count; t++) {
            const double *k = f->k + (size_t)t * spec->d;
            double length = sk_case_norm(k, spec->d);
            if (length <= most) continue;
            most = length;
            memcpy(f->v, k, spec->d * sizeof *f->v);
        }
    }
    return most;
}

/* Queries lean towards the longest key of their list. SK_IN_EXTREME: or away
 * from it; one that is nearly orthogonal to all long keys has logits that are
 * nothing but cancellation, which no bound on logits can account for.
 * SK_IN_SINK: as far as gives that key its share of the weight among others
 * whose logits deviate by about 1. */
static void lean_queries(sk_attn_fill *f, size_t at, size_t end, size_t step, uint32_t kv_head,
                         double scale)
{
    static const double share[] = {0.99, 0.9, 0.999, 0.9999};
    const sk_spec *spec = &f->c->p.spec;
    uint32_t tokens;
    double most = longest_key(f, at, end, step, kv_head, &tokens);
    for (uint32_t h = 0; h < spec->heads_per_kv && most > 0; h++) {
        double *q = f->q + (size_t)h * spec->d, length = sk_case_norm(q, spec->d);
        double lean = (h % 2 ? -6 : 6) / sqrt((double)spec->d) / most, w = share[(h + kv_head) % 4];
        if (f->c->p.input == SK_IN_SINK) {
            double dot = 0, want = log(w / (1 - w)) + log(tokens) + 0.5;
            for (uint32_t i = 0; i < spec->d; i++)
                dot += q[i] * f->v[i];
            lean = (want / scale - dot) / (most * most);
            length = 1;
        }
        for (uint32_t i = 0; i < spec->d; i++)
            q[i] = q[i] / length + lean * f->v[i];
    }
}

/* What a query row is multiplied by. */
static double query_factor(const sk_attn_fill *f, const logit_stats *s, uint32_t row, double nominal)
{
    if (f->c->p.input == SK_IN_SINK) return 1;
    double want = f->c->p.input == SK_IN_CANCEL ? 2 : 1 + 3 * (row % 7) / 6.0, have = nominal;
    if (f->c->p.input == SK_IN_PEAKY || f->c->p.input == SK_IN_EXTREME) {
        want = f->c->p.input == SK_IN_EXTREME ? 32 : row % 2 ? 12 : 40; /* others count, or not */
        have = fmax(s->most, s->terms / 256); /* not nothing but cancellation */
    } else if (s->n >= 8) {
        double mean = s->sum / s->n;
        have = sqrt(fmax(0, s->sum2 / s->n - mean * mean));
    }
    return have > 0 ? want / have : 1;
}

/* The factor as far as the queries' dtype holds the product: keys of a tiny
 * radius ask for more than f16 has. */
static double held_factor(const sk_spec *spec, const double *q, double factor)
{
    double most = 0, top = spec->q_dtype == SPHKV_F16 ? 60000 : 1e30;
    for (uint32_t i = 0; i < spec->d; i++)
        most = fmax(most, fabs(q[i]));
    return most * factor > top ? top / most : factor;
}

/* What the kernel multiplies the logits of a query head by beside the scale. */
static double head_scale(const sk_attn_fill *f, uint32_t head)
{
    const sk_case_buffer *b = &f->s->copy[0].buf[SK_BUF_SCALE];
    return b->base ? sk_case_get(b->data, SPHKV_F32, head) : 1;
}

/* The pages of a list, as far as queries are scaled against them: every step-th. */
typedef struct list_pages {
    size_t at, end, step;
    uint32_t kv_head;
} list_pages;

/* The query heads of one KV head of a token, whose first head's row begins at element
 * `place`. number: of the token. stats: of each head, taken unless `known`. */
static void fill_token(sk_attn_fill *f, const list_pages *l, const double *peak, size_t place,
                       uint32_t number, logit_stats *stats, bool known)
{
    const sk_case_params *p = &f->c->p;
    const sk_spec *spec = &p->spec;
    const uint32_t hpk = spec->heads_per_kv, kv_head = l->kv_head;
    const double scale = f->scale != 0 ? f->scale : 1 / sqrt((double)spec->d);
    for (uint32_t h = 0; h < hpk; h++)
        sk_case_query_fill(spec, p->input, &f->rng, peak, f->q + (size_t)h * spec->d);
    if (p->input == SK_IN_EXTREME || p->input == SK_IN_SINK)
        lean_queries(f, l->at, l->end, l->step, kv_head, scale);
    for (size_t i = l->at; i < l->end && !known; i += l->step)
        add_page_stats(f, &f->s->page[i], kv_head, scale, stats);
    for (uint32_t h = 0; h < hpk; h++) {
        const double *q = f->q + (size_t)h * spec->d;
        const uint32_t head = kv_head * hpk + h, row = number * f->s->heads + head;
        double factor = query_factor(f, &stats[h], row, scale * sqrt((double)spec->d));
        factor = held_factor(spec, q, factor / head_scale(f, head));
        const size_t to = place + (size_t)head * f->q_stride_head;
        for (uint32_t i = 0; i < spec->d; i++)
            sk_case_put(f->s->copy[0].buf[SK_BUF_Q].data, spec->q_dtype, to + i, factor * q[i]);
    }
}

void sk_attn_fill_queries(sk_attn_fill *f)
{
    const sk_case_params *p = &f->c->p;
    const uint32_t kvh = f->s->kv_heads;
    size_t at = 0, end = 0;
    for (uint32_t n = 0; n < p->shape.batch * kvh; n++) {
        const uint32_t seq = n / kvh;
        const double *peak = f->peak ? f->peak + (size_t)n * p->spec.d : NULL;
        sk_case_list_range(f->s, p->lists_per_seq == 1 ? seq : n, &at, &end);
        const size_t most = p->quick_fill ? 2 : 64;
        const list_pages l = {at, end, (end - at) / most + 1, n % kvh};
        const size_t first = f->q_indptr ? f->q_indptr[seq] * f->q_stride_tok : seq * f->q_stride_seq;
        const uint32_t tokens =
            f->q_indptr ? f->q_indptr[seq + 1] - f->q_indptr[seq] : sk_case_q_len(p);
        logit_stats stats[SPHKV_MAX_HEADS_PER_KV] = {0};
        for (uint32_t i = 0; i < tokens; i++) {
            const bool known = p->quick_fill && i > 0; /* like the first one's */
            if (!known) memset(stats, 0, sizeof stats);
            fill_token(f, &l, peak, first + i * f->q_stride_tok, seq + i, stats, known);
        }
    }
}
