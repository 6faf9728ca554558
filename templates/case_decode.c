/* case_decode.c - inputs of page_decode, and their judgement against
 * sk_page_decode_ref. A row is judged element by element: it must lie between the
 * roundings, to the output's type, of the reference a hair less and a hair more.
 * The hair is 0 for what a f32 holds exactly (dense keys and values, one codeword
 * times a half-precision radius, int8 times a scale), so those are judged to the
 * bit. k and v lie in one buffer, v behind k; what no item names stays poison. */
#include <math.h>
#include <string.h>

#include "case_impl.h"

static bool wants(const sk_case_params *p, bool values)
{
    return p->input != (values ? SK_IN_PEAKY : SK_IN_CANCEL);
}

/* Items with rows of their own, out of order; some rows are nobody's. */
static void make_items(sk_case *c, sk_rng *rng, sphkv_decode_item *items)
{
    sk_case_state *s = sk_case_state_of(c);
    const sk_case_params *p = &c->p;
    const uint32_t n = p->shape.batch;
    uint32_t row = p->input == SK_IN_EDGE;
    for (uint32_t i = n; i-- > 0;) {
        sk_case_page *page = &s->page[i];
        const bool whole = !p->uneven && p->input != SK_IN_EDGE;
        page->filled = p->spec.page;
        page->count = whole || i == 0 ? p->spec.page : sk_rng_below(rng, p->spec.page + 1);
        if (i == 1 && !whole) page->count = 1;
        if (p->input != SK_IN_EDGE) page->filled = page->count;
        items[i] = (sphkv_decode_item){.unit = page->unit, .tier_slot = page->tier,
                                       .count = page->count, .row = row,
                                       .kv_head = i % s->kv_heads};
        /* the KV heads of a sequence share its rows in a timed run */
        if (!whole || i % s->kv_heads == 0) row += page->count + (p->input == SK_IN_EDGE);
    }
    s->rows = row ? row : 1;
}

static void fill_page(sk_case *c, sk_rng *rng, uint32_t i, double *k, double *v)
{
    const sk_case_state *s = sk_case_state_of(c);
    const sk_case_buffer *b = s->copy[0].buf;
    const sk_case_page *page = &s->page[i];
    const sk_spec *spec = &c->p.spec;
    uint8_t *to = b[SK_BUF_ARENA].data + (size_t)page->unit * SPHKV_UNIT_BYTES;
    const uint32_t pool = SK_CASE_POOL * spec->ntiers;
    if (c->p.quick_fill && i >= pool) {
        const sk_case_page *like = &s->page[i % pool];
        memcpy(to, b[SK_BUF_ARENA].data + (size_t)like->unit * SPHKV_UNIT_BYTES,
               (size_t)s->at[page->tier].units * SPHKV_UNIT_BYTES);
        return;
    }
    const uint8_t *book =
        b[SK_BUF_BOOK].base ? b[SK_BUF_BOOK].data + i % s->kv_heads * (size_t)s->book_stride : NULL;
    uint32_t positions[256]; /* the largest page, sk_spec_check */
    const sk_page_layout *at = &s->at[page->tier];
    sk_case_rows_fill(spec, c->p.input, rng, page->filled, NULL, 0, k, v);
    sk_encode_page_ref(spec, page->tier, k, v, page->filled, book, to);
    if (at->pos_off == SK_NO_FIELD) return;
    sk_case_positions(c, rng, 0, page->filled, positions);
    sk_case_positions_put(at, positions, page->filled, to);
}

static size_t elements_of(const sphkv_decode_args *a, bool values)
{
    return (size_t)a->rows * (values ? a->v_stride_row : a->k_stride_row);
}

static void make_strides(sk_case *c)
{
    const sk_case_state *s = sk_case_state_of(c);
    /* not of whole vectors, so that stores past the caches are no choice there */
    const uint32_t gap = c->p.input == SK_IN_CANCEL || c->p.input == SK_IN_PEAKY ? 6 : 0;
    sphkv_decode_args *a = &c->args.decode[0];
    a->rows = s->rows;
    a->k_stride_head = c->p.spec.d + gap;
    a->k_stride_row = a->k_stride_head * s->kv_heads + 2 * gap;
    a->v_stride_head = c->p.spec.dv + gap;
    a->v_stride_row = a->v_stride_head * s->kv_heads + 2 * gap;
}

static void count_bytes(sk_case *c, const sphkv_decode_item *items)
{
    const sk_case_state *s = sk_case_state_of(c);
    const sk_spec *spec = &c->p.spec;
    const size_t size = sk_case_dtype_bytes(spec->out_dtype);
    for (uint32_t i = 0; i < c->p.shape.batch; i++) {
        const size_t page = s->at[items[i].tier_slot].bytes;
        c->read_bytes += page * items[i].count / spec->page;
        c->write_bytes += items[i].count * (wants(&c->p, false) ? spec->d : 0) * size;
        c->write_bytes += items[i].count * (wants(&c->p, true) ? spec->dv : 0) * size;
    }
    c->read_bytes += s->copy[0].buf[SK_BUF_BOOK].bytes;
}

static sk_status make_decode(sk_case *c, sk_rng *rng, double *rows, sk_err *err)
{
    sk_case_state *s = sk_case_state_of(c);
    sk_case_buffer *b = s->copy[0].buf;
    const sk_spec *spec = &c->p.spec;
    const uint32_t n = c->p.shape.batch;
    uint64_t units = 0;
    for (uint32_t i = 0; i < n; i++) s->page[i].tier = sk_case_item_tier(&c->p, i / s->kv_heads);
    sk_status st = sk_case_place(s->page, n, s->at, 1, rng, &units, err);
    if (st == SPHKV_OK)
        st = sk_case_buffer_make(&b[SK_BUF_LIST], n * sizeof(sphkv_decode_item), err);
    if (st != SPHKV_OK) return st;
    sphkv_decode_item *items = (sphkv_decode_item *)(void *)b[SK_BUF_LIST].data;
    make_items(c, rng, items);
    make_strides(c);
    const sphkv_decode_args *a = &c->args.decode[0];
    const size_t out = (elements_of(a, false) + elements_of(a, true) + 256) *
                       sk_case_dtype_bytes(spec->out_dtype);
    st = sk_case_memory_check(2 * (units * SPHKV_UNIT_BYTES + out), err);
    if (st == SPHKV_OK) st = sk_case_buffer_make(&b[SK_BUF_ARENA], units * SPHKV_UNIT_BYTES, err);
    if (st == SPHKV_OK) st = sk_case_buffer_make(&b[SK_BUF_OUT], out, err);
    if (st == SPHKV_OK && s->book_stride)
        st = sk_case_buffer_make(&b[SK_BUF_BOOK], (size_t)s->book_stride * s->kv_heads, err);
    if (st == SPHKV_OK) st = sk_case_rope_make(c, err);
    if (st != SPHKV_OK) return st;
    for (uint32_t h = 0; h < s->kv_heads && b[SK_BUF_BOOK].base; h++)
        sk_case_book_fill(spec, rng, b[SK_BUF_BOOK].data + (size_t)h * s->book_stride);
    for (uint32_t i = 0; i < n; i++)
        fill_page(c, rng, i, rows, rows + (size_t)spec->page * spec->d);
    count_bytes(c, items);
    return SPHKV_OK;
}

static sk_status decode_make(sk_case *c, sk_err *err)
{
    sk_case_state *s = sk_case_state_of(c);
    const sk_spec *spec = &c->p.spec;
    sk_rng rng;
    sk_rng_seed(&rng, c->p.seed * SK_INPUT_COUNT + c->p.input);
    s->pages = c->p.shape.batch;
    s->page = sk_calloc(s->pages, sizeof *s->page);
    double *rows = sk_malloc((size_t)spec->page * (spec->d + spec->dv) * sizeof *rows);
    const sk_status st = s->page && rows ? make_decode(c, &rng, rows, err)
                                         : sk_fail(err, SPHKV_ENOMEM, "no memory for rows");
    sk_free(rows);
    return st;
}

static void decode_args(sk_case *c, uint32_t copy)
{
    const sk_case_buffer *b = sk_case_state_of(c)->copy[copy].buf;
    const size_t size = sk_case_dtype_bytes(c->p.spec.out_dtype);
    sphkv_decode_args *a = &c->args.decode[copy];
    *a = c->args.decode[0]; /* rows and strides */
    const size_t k_bytes = (elements_of(a, false) * size + 127) & ~(size_t)127;
    a->size = sizeof *a;
    a->items_count = c->p.shape.batch;
    a->items = (const sphkv_decode_item *)(const void *)b[SK_BUF_LIST].data;
    a->k = wants(&c->p, false) ? b[SK_BUF_OUT].data : NULL;
    a->v = wants(&c->p, true) ? b[SK_BUF_OUT].data + k_bytes : NULL;
    a->arena = b[SK_BUF_ARENA].data;
    a->arena_bytes = b[SK_BUF_ARENA].bytes;
    a->codebook = b[SK_BUF_BOOK].data;
    a->codebook_bytes = b[SK_BUF_BOOK].bytes;
    if (c->p.input != SK_IN_SINK) a->rope = sk_case_rope(c, copy); /* there keys come before RoPE */
}

/* ---- judgement ------------------------------------------------------------ */

/* Rows under judgement. */
typedef struct decode_judge {
    const sk_case *c;
    const uint8_t *out;  /* all outputs */
    uint8_t *rest;       /* the same, with poison where an element was judged */
    double excess;       /* the largest beyond what rounding allows, as a share */
} decode_judge;

static double rounded(double x, uint32_t dtype)
{
    const float f = (float)x;
    if (dtype == SPHKV_F16) return (double)sk_f16_to_f32(sk_f32_to_f16(f));
    if (dtype == SPHKV_BF16) return (double)sk_bf16_to_f32(sk_f32_to_bf16(f));
    return (double)f;
}

bool sk_case_near(double got, double want, double hair, uint32_t dtype)
{
    return rounded(want - hair, dtype) <= got && got <= rounded(want + hair, dtype);
}

/* Element `at` of rows `data`; hair: what f32 arithmetic may be off before the
 * last rounding. */
static void judge_element(decode_judge *j, const void *data, size_t at, double want, double hair)
{
    const uint32_t dtype = j->c->p.spec.out_dtype;
    const size_t size = sk_case_dtype_bytes(dtype);
    const double got = sk_case_get(data, dtype, at);
    if (isnan(want) ? !isnan(got) : !sk_case_near(got, want, hair, dtype)) {
        const double off = fabs(got - want) / fmax(fabs(want), 0x1p-24);
        j->excess = fmax(j->excess, isfinite(off) ? off : 1);
    }
    memset(j->rest + ((const uint8_t *)data - j->out) + at * size, SK_CASE_POISON, size);
}

/* The segment of a dimension. */
static const sk_segment *segment_of(const sk_tier *tier, uint32_t d)
{
    uint32_t s = 0;
    while (s + 1 < tier->nseg && d >= tier->seg[s].dims) d -= tier->seg[s++].dims;
    return &tier->seg[s];
}

/* A mean, as far as it is added to element d of a key, else 0. */
static double mean_of(const sk_spec *spec, const sk_tier *tier, const uint8_t *book, uint32_t d)
{
    if (segment_of(tier, d)->kind != SK_KEY_CODED || !(spec->book & SPHKV_BOOK_MEAN)) return 0;
    return sk_case_get(book + sk_codebook_mean_off(spec), SPHKV_F32, d);
}

/* A segment like the one that element d of a key comes from: of all that it may come
 * from, where they are mixed, radii are stored in fewer bits when some are, and several
 * codes are added up when some have them. */
static sk_segment source_of(const sk_spec *spec, const sk_tier *tier, uint32_t d)
{
    sk_segment like = *segment_of(tier, d);
    const bool mixed = spec->book & SPHKV_BOOK_PERMUTATION || sk_spec_turned(spec);
    for (uint32_t s = 0; s < tier->nseg && mixed && like.kind == SK_KEY_CODED; s++) {
        if (tier->seg[s].rb < like.rb) like.rb = tier->seg[s].rb;
        if (tier->seg[s].more > like.more) like.more = tier->seg[s].more;
    }
    return like;
}

double sk_case_key_hair(const sk_spec *spec, uint32_t tier_slot, const uint8_t *book,
                        const double *key, uint32_t dims, uint32_t d, double turn)
{
    const sk_tier *tier = &spec->tier[tier_slot];
    const sk_segment seg = source_of(spec, tier, d);
    const bool apart = tier->nseg > 1 && spec->book & SPHKV_BOOK_PERMUTATION; /* of the mean */
    const bool scaled = seg.kind == SK_KEY_CODED && (seg.rb < 16 || apart);
    const double mean = mean_of(spec, tier, book, d), x = fabs(key[d]);
    double hair = mean != 0 ? x * 0x1p-23 : 0;
    hair = fmax(hair, turn);
    if (scaled) hair += (x + fabs(mean)) * 0x1p-22; /* four roundings */
    if (sk_spec_turned(spec) && seg.kind == SK_KEY_CODED) { /* a sum over the key without its mean */
        hair += sk_case_norm(key, dims) * 0x1p-18;
        for (uint32_t i = 0; i < spec->d; i++) hair += fabs(mean_of(spec, tier, book, i)) * 0x1p-20;
    }
    /* several codes: what adds up may be longer than the sum, but hardly than the key */
    return seg.more ? hair + sk_case_norm(key, dims) * 0x1p-21 : hair;
}

double sk_case_value_hair(const sk_spec *spec, uint32_t tier_slot, double value)
{
    return spec->tier[tier_slot].value == SK_VAL_I4 ? fabs(value) * 0x1p-23 : 0; /* one fma */
}

double sk_case_rope_hair(const sk_spec *spec, uint32_t turned, uint32_t source, const sphkv_rope *rope,
                         const uint8_t *book, const double *k, uint32_t d)
{
    const sk_tier *tier = &spec->tier[turned], *from = &spec->tier[source];
    const uint32_t n = sk_rope_dims_ref(spec, rope);
    const sk_segment *seg = segment_of(tier, d);
    uint32_t dim0 = 0;
    for (const sk_segment *s = tier->seg; s < seg; s++) dim0 += s->dims;
    if (!seg->pre_rope || !rope->table || d - dim0 >= n) return 0;
    const uint32_t pair = d - dim0 < n / 2 ? d + n / 2 : d - n / 2;
    return (fabs(k[d]) + fabs(k[pair]) + fabs(mean_of(spec, from, book, d)) +
            fabs(mean_of(spec, from, book, pair))) * 0x1p-20;
}

static void judge_item(decode_judge *j, const sphkv_decode_args *a, const sphkv_decode_item *it,
                       double *k, double *v)
{
    const sk_spec *spec = &j->c->p.spec;
    const sk_tier *tier = &spec->tier[it->tier_slot];
    const uint8_t *book = a->codebook;
    if (book) book += (size_t)it->kv_head * sk_case_state_of(j->c)->book_stride;
    sk_page_decode_ref(spec, it->tier_slot,
                       (const uint8_t *)a->arena + (size_t)it->unit * SPHKV_UNIT_BYTES, it->count,
                       book, a->k ? k : NULL, a->v ? v : NULL);
    if (a->k)
        (void)sk_rope_page_ref(spec, it->tier_slot,
                               (const uint8_t *)a->arena + (size_t)it->unit * SPHKV_UNIT_BYTES,
                               it->count, &a->rope, k);
    for (uint32_t t = 0; t < it->count; t++) {
        const size_t row = it->row + t;
        for (uint32_t d = 0; a->k && d < spec->d; d++) {
            const double *key = k + (size_t)t * spec->d, want = key[d];
            const double turn = sk_case_rope_hair(spec, it->tier_slot, it->tier_slot, &a->rope, book, key, d);
            const double hair = sk_case_key_hair(spec, it->tier_slot, book, key, spec->d, d, turn);
            judge_element(j, a->k, row * a->k_stride_row + it->kv_head * a->k_stride_head + d, want,
                          hair);
        }
        for (uint32_t d = 0; a->v && d < spec->dv; d++) {
            const double *from = v + (size_t)t * spec->dv, want = from[d];
            const bool key = tier->value == SK_VAL_KEY;
            const double hair = key ? sk_case_key_hair(spec, it->tier_slot, book, from, spec->dv, d, 0)
                                    : sk_case_value_hair(spec, it->tier_slot, want);
            judge_element(j, a->v, row * a->v_stride_row + it->kv_head * a->v_stride_head + d, want,
                          hair);
        }
    }
}

static sk_status decode_judge_rows(const sk_case *c, uint32_t copy, double *error, double *bound,
                                   sk_err *err)
{
    const sk_spec *spec = &c->p.spec;
    const sphkv_decode_args *a = &c->args.decode[copy];
    const sk_case_buffer *out = &sk_case_state_of(c)->copy[copy].buf[SK_BUF_OUT];
    decode_judge j = {.c = c, .out = out->data, .rest = sk_malloc(out->bytes)};
    double *rows = sk_malloc((size_t)spec->page * (spec->d + spec->dv) * sizeof *rows);
    sk_status st = j.rest && rows ? SPHKV_OK : sk_fail(err, SPHKV_ENOMEM, "no memory to judge");
    *bound = 0;
    if (st == SPHKV_OK) memcpy(j.rest, out->data, out->bytes);
    for (uint32_t i = 0; st == SPHKV_OK && i < a->items_count; i++) {
        judge_item(&j, a, &a->items[i], rows, rows + (size_t)spec->page * spec->d);
        if (j.excess > 0)
            st = sk_fail(err, SPHKV_EVERIFY,
                         "page_decode: an element of item %u (tier %u) is off by %.3g of it", i,
                         a->items[i].tier_slot, j.excess);
    }
    for (size_t i = 0; st == SPHKV_OK && i < out->bytes; i++)
        if (j.rest[i] != SK_CASE_POISON)
            st = sk_fail(err, SPHKV_EVERIFY, "page_decode: wrote byte %zu, which no item names", i);
    *error = j.excess;
    sk_free(j.rest);
    sk_free(rows);
    return st;
}

const sk_case_kind sk_case_page_decode = {
    .make = decode_make,
    .args = decode_args,
    .judge = decode_judge_rows,
    .check = sk_case_check_items,
    .bound = sk_case_bound_exact,
};
