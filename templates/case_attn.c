/* case_attn.c - inputs of attn_decode: an arena of pages coded by the
 * reference, a page table, queries scaled against the keys as they were coded.
 *
 * Big timed shapes (quick_fill) draw their pages from a small pool per tier:
 * coding 100 MB in double would take minutes, and what is timed does not look
 * at the numbers. Pages are shuffled in the arena, as they are after an hour of
 * serving; each page is contiguous. */
#include <math.h>
#include <string.h>

#include "case_impl.h"

/* What filling needs beside the case. */
typedef struct attn_fill {
    sk_case *c;
    sk_case_state *s;
    sk_rng rng;
    uint8_t *arena, *book;
    double *k, *v;      /* rows of one page */
    double *q;          /* queries of one KV head */
    double *peak;       /* SK_IN_PEAKY: [sequence][KV head][D] of length 1 */
    uint8_t *pool[SK_MAX_TIERS]; /* quick_fill: pages coded for KV head i % kv_heads */
    uint32_t pool_pages;
} attn_fill;

static uint32_t page_seq(const attn_fill *f, const sk_case_page *page)
{
    return page->list / f->c->p.lists_per_seq;
}

static size_t page_bytes(const attn_fill *f, uint32_t tier)
{
    return (size_t)f->s->at[tier].units * SPHKV_UNIT_BYTES;
}

static const uint8_t *head_book(const attn_fill *f, uint32_t kv_head)
{
    return f->book ? f->book + (size_t)kv_head * f->s->book_stride : NULL;
}

static float case_scale(const sk_case_params *p)
{
    switch (p->input) {
    case SK_IN_PEAKY: return 0.5f;
    case SK_IN_CANCEL: return 0.1f;
    case SK_IN_EXTREME: return 1;
    default: return 0; /* 1 / sqrt(D) */
    }
}

/* ---- pages ----------------------------------------------------------------- */

static sk_status fill_pool(attn_fill *f, uint32_t tier, sk_err *err)
{
    const sk_spec *spec = &f->c->p.spec;
    f->pool[tier] = sk_malloc(f->pool_pages * page_bytes(f, tier));
    if (!f->pool[tier]) return sk_fail(err, SPHKV_ENOMEM, "no memory for a pool of pages");
    for (uint32_t i = 0; i < f->pool_pages; i++) {
        const uint8_t *book = head_book(f, i % f->s->kv_heads);
        sk_case_rows_fill(spec, f->c->p.input, &f->rng, spec->page, NULL, 0, f->k, f->v);
        sk_case_mean_add(spec, book, spec->page, f->k);
        sk_encode_page_ref(spec, tier, f->k, f->v, spec->page, book,
                           f->pool[tier] + i * page_bytes(f, tier));
    }
    return SPHKV_OK;
}

/* Slots that nothing was written to, in a page that grows by kv_append: whatever
 * the memory held before, here NaN. Only pages that are coded whole hold zeros. */
static void poison_slots(const attn_fill *f, const sk_case_page *page, uint8_t *to)
{
    const sk_spec *spec = &f->c->p.spec;
    const sk_page_layout *at = &f->s->at[page->tier];
    const sk_tier *tier = &spec->tier[page->tier];
    const uint32_t ks = tier->seg[0].kind == SK_KEY_F32 ? 4 : 2;
    const uint32_t vs = tier->value == SK_VAL_F32 ? 4 : 2;
    bool grows = at->nseg == 1 && tier->value <= SK_VAL_BF16;
    if (tier->seg[0].kind != SK_KEY_F32 && tier->seg[0].kind != SK_KEY_F16 &&
        tier->seg[0].kind != SK_KEY_BF16)
        grows = false;
    for (uint32_t t = page->filled; t < spec->page && grows; t++) {
        for (uint32_t d = 0; d < spec->d; d++)
            memset(to + at->seg[0].key_off + (size_t)sk_layout_key_index(&at->seg[0], d, t) * ks,
                   SK_CASE_POISON, ks);
        for (uint32_t c = 0; c < spec->dv; c++)
            memset(to + at->value_off +
                       (size_t)sk_layout_value_index(spec, tier->value, at, t, c) * vs,
                   SK_CASE_POISON, vs);
    }
}

/* One sub-page, from the pool or coded from rows of its own. peaked: the page
 * that holds its list's dominating key. */
static sk_status fill_sub_page(attn_fill *f, const sk_case_page *page, uint32_t sub,
                               uint32_t kv_head, bool peaked, sk_err *err)
{
    const sk_spec *spec = &f->c->p.spec;
    size_t bytes = page_bytes(f, page->tier);
    uint8_t *to = f->arena + (size_t)page->unit * SPHKV_UNIT_BYTES + sub * bytes;
    if (f->c->p.quick_fill) {
        if (!f->pool[page->tier]) {
            sk_status st = fill_pool(f, page->tier, err);
            if (st != SPHKV_OK) return st;
        }
        uint32_t pick = sk_rng_below(&f->rng, f->pool_pages / f->s->kv_heads);
        memcpy(to, f->pool[page->tier] + (pick * f->s->kv_heads + kv_head) * bytes, bytes);
        return SPHKV_OK;
    }
    const double *peak = NULL;
    if (f->peak && peaked)
        peak = f->peak + ((size_t)page_seq(f, page) * f->s->kv_heads + kv_head) * spec->d;
    uint32_t row = page->count ? sk_rng_below(&f->rng, page->count) : 0;
    if (!peaked) row = spec->page;
    sk_case_rows_fill(spec, f->c->p.input, &f->rng, page->filled, peak, row, f->k, f->v);
    sk_case_mean_add(spec, head_book(f, kv_head), page->filled, f->k);
    sk_encode_page_ref(spec, page->tier, f->k, f->v, page->filled, head_book(f, kv_head), to);
    if (f->c->p.input == SK_IN_EDGE) poison_slots(f, page, to);
    return SPHKV_OK;
}

static sk_status fill_pages(attn_fill *f, sk_err *err)
{
    uint32_t peaked_list = UINT32_MAX;
    for (size_t i = 0; i < f->s->pages; i++) {
        const sk_case_page *page = &f->s->page[i];
        bool shared = f->c->p.lists_per_seq == 1, peaked = page->list != peaked_list && page->count;
        uint32_t subs = shared ? f->s->kv_heads : 1;
        if (peaked) peaked_list = page->list;
        for (uint32_t sub = 0; sub < subs; sub++) {
            uint32_t kv_head = shared ? sub : page->list % f->s->kv_heads;
            sk_status st = fill_sub_page(f, page, sub, kv_head, peaked, err);
            if (st != SPHKV_OK) return st;
        }
        f->c->read_bytes += (size_t)f->s->at[page->tier].bytes * page->count / f->c->p.spec.page *
                            subs;
    }
    return SPHKV_OK;
}

/* ---- queries --------------------------------------------------------------- */

/* Logits of the queries of one KV head over some pages of its list. */
typedef struct logit_stats {
    double n, sum, sum2, most;
} logit_stats;

/* Keys of a page as they were coded, into f->k. */
static void decode_keys(attn_fill *f, const sk_case_page *page, uint32_t kv_head)
{
    size_t sub = f->c->p.lists_per_seq == 1 ? kv_head * page_bytes(f, page->tier) : 0;
    sk_page_decode_ref(&f->c->p.spec, page->tier,
                       f->arena + (size_t)page->unit * SPHKV_UNIT_BYTES + sub, page->count,
                       head_book(f, kv_head), f->k, NULL);
}

static void add_page_stats(attn_fill *f, const sk_case_page *page, uint32_t kv_head, double scale,
                           logit_stats *stats)
{
    const sk_spec *spec = &f->c->p.spec;
    decode_keys(f, page, kv_head);
    for (uint32_t h = 0; h < spec->heads_per_kv; h++)
        for (uint32_t t = 0; t < page->count; t++) {
            double dot = 0;
            for (uint32_t i = 0; i < spec->d; i++)
                dot += f->q[(size_t)h * spec->d + i] * f->k[(size_t)t * spec->d + i];
            dot *= scale;
            stats[h].n++;
            stats[h].sum += dot;
            stats[h].sum2 += dot * dot;
            stats[h].most = fmax(stats[h].most, fabs(dot));
        }
}

/* The longest key of some pages of a list, into f->v (rows of values are free
 * here); its length is returned, 0 of none. */
static double longest_key(attn_fill *f, size_t at, size_t end, size_t step, uint32_t kv_head,
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
static void lean_queries(attn_fill *f, size_t at, size_t end, size_t step, uint32_t kv_head,
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
static double query_factor(const attn_fill *f, const logit_stats *s, uint32_t row, double nominal)
{
    if (f->c->p.input == SK_IN_SINK) return 1;
    double want = f->c->p.input == SK_IN_CANCEL ? 2 : 1 + 3 * (row % 7) / 6.0, have = nominal;
    if (f->c->p.input == SK_IN_PEAKY || f->c->p.input == SK_IN_EXTREME) {
        want = f->c->p.input == SK_IN_EXTREME ? 32 : row % 2 ? 12 : 40; /* others count, or not */
        have = s->most;
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

static void fill_queries(attn_fill *f)
{
    const sk_case_params *p = &f->c->p;
    const sk_spec *spec = &p->spec;
    const sphkv_attn_args *a = &f->c->args.attn[0];
    uint32_t kvh = f->s->kv_heads, hpk = spec->heads_per_kv;
    double scale = a->scale != 0 ? (double)a->scale : 1 / sqrt((double)spec->d);
    size_t at = 0, end = 0;
    for (uint32_t n = 0; n < p->shape.batch * kvh; n++) {
        uint32_t seq = n / kvh, kv_head = n % kvh;
        logit_stats stats[SPHKV_MAX_HEADS_PER_KV] = {0};
        for (uint32_t h = 0; h < hpk; h++)
            sk_case_query_fill(spec, p->input, &f->rng,
                               f->peak ? f->peak + (size_t)n * spec->d : NULL,
                               f->q + (size_t)h * spec->d);
        sk_case_list_range(f->s, p->lists_per_seq == 1 ? seq : n, &at, &end);
        size_t most = p->quick_fill ? 2 : 64, step = (end - at) / most + 1;
        if (p->input == SK_IN_EXTREME || p->input == SK_IN_SINK)
            lean_queries(f, at, end, step, kv_head, scale);
        for (size_t i = at; i < end; i += step)
            add_page_stats(f, &f->s->page[i], kv_head, scale, stats);
        for (uint32_t h = 0; h < hpk; h++) {
            const double *q = f->q + (size_t)h * spec->d;
            uint32_t row = seq * f->s->heads + kv_head * hpk + h;
            double factor = query_factor(f, &stats[h], row, scale * sqrt((double)spec->d));
            factor = held_factor(spec, q, factor);
            size_t to =
                (size_t)seq * a->q_stride_seq + (size_t)(kv_head * hpk + h) * a->q_stride_head;
            for (uint32_t i = 0; i < spec->d; i++)
                sk_case_put(f->s->copy[0].buf[SK_BUF_Q].data, spec->q_dtype, to + i, factor * q[i]);
        }
    }
}

/* What is asked for beside the output changes with the input; timed runs ask for
 * nothing, as most calls of an engine do. */
static bool asks_lse(const sk_case_params *p)
{
    return !p->quick_fill && p->input != SK_IN_EXTREME;
}

static bool asks_page_ml(const sk_case_params *p)
{
    return asks_lse(p) && p->input != SK_IN_PEAKY;
}

size_t sk_case_ml_bytes(const sk_case *c)
{
    const sk_case_state *s = sk_case_state_of(c);
    const size_t rows = c->p.lists_per_seq == 1 ? s->kv_heads : 1;
    return (s->pages + 2 * s->first_ref) * rows * c->p.spec.heads_per_kv * 2 * sizeof(float);
}

/* ---- the whole --------------------------------------------------------------- */

static sk_status attn_buffers(sk_case *c, uint64_t units, sk_err *err)
{
    sk_case_state *s = sk_case_state_of(c);
    const sk_case_params *p = &c->p;
    const sk_spec *spec = &p->spec;
    sphkv_attn_args *a = &c->args.attn[0];
    uint32_t gap = p->input == SK_IN_CANCEL ? 8 : 0;
    a->q_stride_head = spec->d + gap;
    a->q_stride_seq = s->heads * a->q_stride_head + 2 * gap;
    a->out_stride_head = spec->dv + gap;
    a->out_stride_seq = s->heads * a->out_stride_head + 2 * gap;
    a->lse_stride_seq = s->heads + gap;
    a->scale = case_scale(p);
    uint64_t lists = (uint64_t)p->shape.batch * p->lists_per_seq;
    const uint64_t bytes[SK_BUF_COUNT] = {
        [SK_BUF_ARENA] = units * SPHKV_UNIT_BYTES,
        [SK_BUF_BOOK] = (uint64_t)s->book_stride * s->kv_heads,
        [SK_BUF_Q] =
            (uint64_t)p->shape.batch * a->q_stride_seq * sk_case_dtype_bytes(spec->q_dtype),
        [SK_BUF_OUT] =
            (uint64_t)p->shape.batch * a->out_stride_seq * sk_case_dtype_bytes(spec->out_dtype),
        [SK_BUF_LSE] = asks_lse(p) ? (uint64_t)p->shape.batch * a->lse_stride_seq * 4 : 0,
        [SK_BUF_ML] = asks_page_ml(p) ? sk_case_ml_bytes(c) : 0,
        [SK_BUF_INDEX] = (lists + 1) * sizeof(uint32_t),
        [SK_BUF_LIST] = (s->pages + 2 * s->first_ref) * sizeof(uint64_t),
    };
    uint64_t total = 0;
    for (uint32_t i = 0; i < SK_BUF_COUNT; i++)
        total += bytes[i];
    sk_status st = sk_case_memory_check(total, err);
    for (uint32_t i = 0; i < SK_BUF_COUNT && st == SPHKV_OK; i++)
        if (bytes[i]) st = sk_case_buffer_make(&s->copy[0].buf[i], bytes[i], err);
    return st;
}

static void attn_args(sk_case *c, uint32_t copy)
{
    const sk_case_buffer *b = sk_case_state_of(c)->copy[copy].buf;
    sphkv_attn_args *a = &c->args.attn[copy];
    *a = c->args.attn[0];
    a->size = sizeof *a;
    a->batch = c->p.shape.batch;
    a->q = b[SK_BUF_Q].data;
    a->out = b[SK_BUF_OUT].data;
    a->lse = (float *)(void *)b[SK_BUF_LSE].data;
    a->page_ml = (float *)(void *)b[SK_BUF_ML].data;
    a->arena = b[SK_BUF_ARENA].data;
    a->arena_bytes = b[SK_BUF_ARENA].bytes;
    a->codebook = b[SK_BUF_BOOK].data;
    a->codebook_bytes = b[SK_BUF_BOOK].bytes;
    a->table = sk_case_table(c, copy);
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
    for (uint32_t t = 0; t < p->spec.ntiers; t++)
        for (uint32_t i = 0; i < p->spec.tier[t].nseg; i++)
            if (p->spec.tier[t].seg[i].pre_rope)
                return sk_fail(err, SPHKV_EUNSUPPORTED, "no cases for keys coded before RoPE yet");
    return SPHKV_OK;
}

static sk_status attn_scratch(attn_fill *f, sk_err *err)
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
    return (size_t)shape->batch * shape->kv_heads * spec->heads_per_kv * spec->dv;
}

static sk_status attn_make(sk_case *c, sk_err *err)
{
    sk_case_state *s = sk_case_state_of(c);
    attn_fill f = {.c = c, .s = s, .pool_pages = SK_CASE_POOL};
    uint64_t units = 0;
    f.pool_pages += (s->kv_heads - SK_CASE_POOL % s->kv_heads) % s->kv_heads;
    sk_rng_seed(&f.rng, c->p.seed * SK_INPUT_COUNT + c->p.input);
    s->first_ref = c->p.input == SK_IN_EDGE ? 1 : 0;
    sk_status st = check_params(&c->p, err);
    if (st == SPHKV_OK) st = sk_case_lists(c, &f.rng, err);
    if (st == SPHKV_OK)
        st = sk_case_place(s->page, s->pages, s->at, c->p.lists_per_seq == 1 ? s->kv_heads : 1,
                           &f.rng, &units, err);
    if (st == SPHKV_OK) st = attn_buffers(c, units, err);
    if (st == SPHKV_OK) st = attn_scratch(&f, err);
    if (st == SPHKV_OK) {
        f.arena = s->copy[0].buf[SK_BUF_ARENA].data;
        f.book = s->copy[0].buf[SK_BUF_BOOK].data;
        for (uint32_t h = 0; h < s->kv_heads && f.book; h++)
            sk_case_book_fill(&c->p.spec, &f.rng, f.book + (size_t)h * s->book_stride);
        st = fill_pages(&f, err);
    }
    if (st == SPHKV_OK) {
        sk_case_table_fill(c);
        fill_queries(&f);
        c->read_bytes += s->copy[0].buf[SK_BUF_BOOK].bytes + s->copy[0].buf[SK_BUF_Q].bytes;
        c->write_bytes = attn_outputs(&c->p.spec, &c->p.shape) *
                         sk_case_dtype_bytes(c->p.spec.out_dtype);
    }
    for (uint32_t t = 0; t < SK_MAX_TIERS; t++)
        sk_free(f.pool[t]);
    sk_free(f.peak);
    sk_free(f.q);
    sk_free(f.k);
    return st;
}

static void attn_output(const sk_case *c, uint32_t copy, float *to)
{
    const sk_case_state *s = sk_case_state_of(c);
    const sk_spec *spec = &c->p.spec;
    const sphkv_attn_args *a = &c->args.attn[copy];
    for (size_t row = 0; row < (size_t)a->batch * s->heads; row++)
        for (uint32_t i = 0; i < spec->dv; i++)
            to[row * spec->dv + i] = (float)sk_case_get(
                a->out, spec->out_dtype,
                row / s->heads * a->out_stride_seq + row % s->heads * a->out_stride_head + i);
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

/* Every input in both list modes, then each tier of a mix alone. */
static bool attn_check(const sk_spec *spec, uint32_t i, sk_case_params *p)
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
    check_shape(spec, shared, p->uneven, &p->shape);
    return true;
}

static double attn_bound(const sk_spec *spec)
{
    return sk_accuracy_bound(spec->accuracy);
}

const sk_case_kind sk_case_attn_decode = {
    .make = attn_make,
    .args = attn_args,
    .judge = sk_case_judge_attn,
    .check = attn_check,
    .bound = attn_bound,
    .outputs = attn_outputs,
    .output = attn_output,
};
