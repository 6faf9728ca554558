/* case_append.c - inputs of kv_append. The arena starts as random bytes, so that
 * a slot, a neighbour or padding that is written by mistake shows. */
#include <string.h>

#include "case_impl.h"

/* Rows of item i, and where they go. Even items are one decode step: one row
 * per KV head of a sequence. */
static void append_item(sk_case *c, sk_rng *rng, uint32_t i, sphkv_append_item *item)
{
    sk_case_state *s = sk_case_state_of(c);
    const sk_case_params *p = &c->p;
    uint32_t most = p->shape.context < p->spec.page ? p->shape.context : p->spec.page;
    *item = (sphkv_append_item){.unit = s->page[i].unit, .count = 1, .kv_head = i % s->kv_heads};
    item->row = i / s->kv_heads;
    if (p->uneven || p->input == SK_IN_EDGE) {
        if (most > 1) item->count = i == 0 ? most : 1 + sk_rng_below(rng, most);
        item->row = s->rows;
    }
    item->slot = sk_rng_below(rng, p->spec.page - item->count + 1);
    if (item->row + item->count > s->rows) s->rows = item->row + item->count;
}

/* Rows of k or v in the strides of the args. */
static void put_rows(const sk_case *c, const double *rows, uint32_t row0, uint32_t count,
                     uint32_t kv_head, bool values)
{
    const sphkv_append_args *a = &c->args.append[0];
    uint32_t dims = values ? c->p.spec.dv : c->p.spec.d;
    size_t stride_row = values ? a->v_stride_row : a->k_stride_row;
    size_t stride_head = values ? a->v_stride_head : a->k_stride_head;
    void *to = sk_case_state_of(c)->copy[0].buf[values ? SK_BUF_V : SK_BUF_Q].data;
    for (uint32_t t = 0; t < count; t++)
        for (uint32_t i = 0; i < dims; i++)
            sk_case_put(to, c->p.spec.in_dtype,
                        (row0 + t) * stride_row + kv_head * stride_head + i,
                        rows[(size_t)t * dims + i]);
}

static void fill_append(sk_case *c, sk_rng *rng, double *k, double *v)
{
    sk_case_state *s = sk_case_state_of(c);
    for (uint32_t row = 0; row < s->rows; row += c->p.spec.page)
        for (uint32_t h = 0; h < s->kv_heads; h++) {
            uint32_t n = s->rows - row < c->p.spec.page ? s->rows - row : c->p.spec.page;
            sk_case_rows_fill(&c->p.spec, c->p.input, rng, n, NULL, 0, k, v);
            put_rows(c, k, row, n, h, false);
            put_rows(c, v, row, n, h, true);
        }
    const sk_case_buffer *positions = &s->copy[0].buf[SK_BUF_ROPE];
    for (size_t i = 0; i < positions->bytes; i++)
        positions->data[i] = (uint8_t)sk_rng_below(rng, 256);
    sk_case_buffer *arena = &s->copy[0].buf[SK_BUF_ARENA];
    for (size_t i = 0; i < arena->bytes; i += 8) {
        uint64_t noise = sk_rng_u64(rng);
        memcpy(arena->data + i, &noise, 8);
    }
}

static size_t written_bytes(const sk_spec *spec, const sphkv_append_item *items, uint32_t n)
{
    const size_t v = spec->tier[0].value == SK_VAL_F32 ? 4 : 2;
    size_t rows = 0, k = 0; /* bytes of a key */
    sk_page_layout lay;
    sk_page_layout_get(spec, 0, &lay);
    for (uint32_t s = 0; s < lay.nseg; s++)
        k += lay.seg[s].dims * (spec->tier[0].seg[s].kind == SK_KEY_F32 ? 4u : 2u);
    for (uint32_t i = 0; i < n; i++)
        rows += items[i].count;
    return rows * (k + (spec->tier[0].value == SK_VAL_KEY ? 0 : spec->dv * v));
}

static sk_status make_append(sk_case *c, sk_rng *rng, double *k, double *v, sk_err *err)
{
    sk_case_state *s = sk_case_state_of(c);
    const sk_spec *spec = &c->p.spec;
    uint32_t n = c->p.shape.batch, gap = c->p.input == SK_IN_CANCEL ? 8 : 0;
    uint64_t units;
    uint8_t value = spec->tier[0].value;
    if (value != SK_VAL_F32 && value != SK_VAL_F16 && value != SK_VAL_BF16 && value != SK_VAL_KEY)
        return sk_fail(err, SPHKV_EUNSUPPORTED,
                       "kv_append: %s needs all tokens of its page at once", sk_value_name(value));
    sk_status st = sk_case_place(s->page, s->pages, s->at, 1, rng, &units, err);
    sphkv_append_item *items = st == SPHKV_OK ? sk_malloc(n * sizeof *items) : NULL;
    if (!items) return st != SPHKV_OK ? st : sk_fail(err, SPHKV_ENOMEM, "no memory for items");
    for (uint32_t i = 0; i < n; i++)
        append_item(c, rng, i, &items[i]);
    sphkv_append_args *a = &c->args.append[0];
    a->k_stride_head = spec->d + gap;
    a->k_stride_row = a->k_stride_head * s->kv_heads + 2 * gap;
    a->v_stride_head = spec->dv + gap;
    a->v_stride_row = a->v_stride_head * s->kv_heads + 2 * gap;
    uint64_t size = (uint64_t)s->rows * sk_case_dtype_bytes(spec->in_dtype);
    sk_case_buffer *b = s->copy[0].buf;
    st = sk_case_memory_check(
        size * (a->k_stride_row + a->v_stride_row) + 2 * units * SPHKV_UNIT_BYTES, err);
    if (st == SPHKV_OK) st = sk_case_buffer_make(&b[SK_BUF_ARENA], units * SPHKV_UNIT_BYTES, err);
    if (st == SPHKV_OK) st = sk_case_buffer_make(&b[SK_BUF_Q], size * a->k_stride_row, err);
    if (st == SPHKV_OK) st = sk_case_buffer_make(&b[SK_BUF_V], size * a->v_stride_row, err);
    if (st == SPHKV_OK) st = sk_case_buffer_make(&b[SK_BUF_LIST], n * sizeof *items, err);
    if (st == SPHKV_OK && s->at[0].pos_off != SK_NO_FIELD)
        st = sk_case_buffer_make(&b[SK_BUF_ROPE], (size_t)s->rows * 4, err);
    if (st == SPHKV_OK) {
        memcpy(b[SK_BUF_LIST].data, items, n * sizeof *items);
        fill_append(c, rng, k, v);
        c->read_bytes = size * (spec->d + (value == SK_VAL_KEY ? 0 : spec->dv)) * s->kv_heads;
        c->write_bytes = written_bytes(spec, items, n);
    }
    sk_free(items);
    return st;
}

static void append_args(sk_case *c, uint32_t copy)
{
    const sk_case_buffer *b = sk_case_state_of(c)->copy[copy].buf;
    sphkv_append_args *a = &c->args.append[copy];
    *a = c->args.append[0]; /* the strides */
    a->size = sizeof *a;
    a->items_count = c->p.shape.batch;
    a->items = (const sphkv_append_item *)(const void *)b[SK_BUF_LIST].data;
    a->k = b[SK_BUF_Q].data;
    if (c->p.spec.tier[0].value != SK_VAL_KEY) a->v = b[SK_BUF_V].data;
    a->arena = b[SK_BUF_ARENA].data;
    a->arena_bytes = b[SK_BUF_ARENA].bytes;
    a->positions = (const uint32_t *)(const void *)b[SK_BUF_ROPE].data;
}

static sk_status append_make(sk_case *c, sk_err *err)
{
    sk_case_state *s = sk_case_state_of(c);
    const sk_spec *spec = &c->p.spec;
    sk_rng rng;
    sk_rng_seed(&rng, c->p.seed * SK_INPUT_COUNT + c->p.input);
    s->pages = c->p.shape.batch;
    s->page = sk_calloc(s->pages, sizeof *s->page);
    double *k = sk_malloc((size_t)spec->page * (spec->d + spec->dv) * sizeof *k);
    sk_status st = s->page && k ? SPHKV_OK : sk_fail(err, SPHKV_ENOMEM, "no memory for rows");
    if (st == SPHKV_OK) st = make_append(c, &rng, k, k + (size_t)spec->page * spec->d, err);
    sk_free(k);
    return st == SPHKV_OK ? sk_case_remember(c, err) : st;
}

const sk_case_kind sk_case_kv_append = {
    .make = append_make,
    .args = append_args,
    .judge = sk_case_judge_append,
    .check = sk_case_check_items,
    .bound = sk_case_bound_exact,
};
