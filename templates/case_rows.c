/* case_rows.c - inputs of kv_append and kv_encode.
 *
 * kv_append: the arena starts as random bytes, so that a slot, a neighbour or
 * padding that is written by mistake shows. kv_encode: sources are pages coded
 * by the reference, destinations are poison; they lie in one arena or in two,
 * in a shuffled order with nothing between them. */
#include <string.h>

#include "case_impl.h"

/* ---- kv_append --------------------------------------------------------------- */

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
    sk_case_buffer *arena = &s->copy[0].buf[SK_BUF_ARENA];
    for (size_t i = 0; i < arena->bytes; i += 8) {
        uint64_t noise = sk_rng_u64(rng);
        memcpy(arena->data + i, &noise, 8);
    }
}

static sk_status make_append(sk_case *c, sk_rng *rng, double *k, double *v, sk_err *err)
{
    sk_case_state *s = sk_case_state_of(c);
    const sk_spec *spec = &c->p.spec;
    uint32_t n = c->p.shape.batch, gap = c->p.input == SK_IN_CANCEL ? 8 : 0;
    uint64_t units;
    uint8_t value = spec->tier[0].value;
    if (value != SK_VAL_F32 && value != SK_VAL_F16 && value != SK_VAL_BF16)
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
    st = sk_case_memory_check((size * (a->k_stride_row + a->v_stride_row) +
                               units * SPHKV_UNIT_BYTES) *
                                  (c->copies + 1),
                              err);
    if (st == SPHKV_OK) st = sk_case_buffer_make(&b[SK_BUF_ARENA], units * SPHKV_UNIT_BYTES, err);
    if (st == SPHKV_OK) st = sk_case_buffer_make(&b[SK_BUF_Q], size * a->k_stride_row, err);
    if (st == SPHKV_OK) st = sk_case_buffer_make(&b[SK_BUF_V], size * a->v_stride_row, err);
    if (st == SPHKV_OK) st = sk_case_buffer_make(&b[SK_BUF_LIST], n * sizeof *items, err);
    if (st == SPHKV_OK) {
        memcpy(b[SK_BUF_LIST].data, items, n * sizeof *items);
        fill_append(c, rng, k, v);
        c->read_bytes = size * (spec->d + spec->dv) * s->kv_heads;
    }
    sk_free(items);
    return st;
}

/* ---- kv_encode --------------------------------------------------------------- */

static void encode_pages(sk_case *c, sk_rng *rng)
{
    sk_case_state *s = sk_case_state_of(c);
    uint32_t n = c->p.shape.batch, size = c->p.spec.page;
    bool edge = c->p.input == SK_IN_EDGE;
    for (uint32_t i = 0; i < n; i++) {
        sk_case_page page = {.list = i, .tier = 1, .count = size, .filled = size};
        if ((c->p.uneven || edge) && i) page.count = i == 1 ? 1 : 1 + sk_rng_below(rng, size);
        if (!edge || i % 2) page.filled = page.count;
        s->page[i] = page;
        page.tier = 0;
        s->page[n + i] = page;
    }
}

static void fill_sources(sk_case *c, sk_rng *rng, double *k, double *v)
{
    sk_case_state *s = sk_case_state_of(c);
    const sk_spec *spec = &c->p.spec;
    sk_case_buffer *b = s->copy[0].buf;
    uint32_t n = c->p.shape.batch;
    size_t bytes = (size_t)s->at[1].units * SPHKV_UNIT_BYTES;
    sphkv_encode_item *items = (sphkv_encode_item *)(void *)b[SK_BUF_LIST].data;
    for (uint32_t i = 0; i < n; i++) {
        const sk_case_page *page = &s->page[i];
        uint8_t *to = b[SK_BUF_ARENA].data + (size_t)page->unit * SPHKV_UNIT_BYTES;
        items[i] = (sphkv_encode_item){.src_unit = page->unit,
                                       .dst_unit = s->page[n + i].unit,
                                       .count = page->count,
                                       .kv_head = i % s->kv_heads};
        if (c->p.quick_fill && i >= SK_CASE_POOL) {
            const sk_case_page *like = &s->page[i % SK_CASE_POOL];
            memcpy(to, b[SK_BUF_ARENA].data + (size_t)like->unit * SPHKV_UNIT_BYTES, bytes);
        } else {
            sk_case_rows_fill(spec, c->p.input, rng, page->filled, NULL, 0, k, v);
            sk_encode_page_ref(spec, 1, k, v, page->filled, NULL, to);
        }
        c->read_bytes += (size_t)s->at[1].bytes * page->count / spec->page;
    }
    uint8_t *dst = b[b[SK_BUF_DST].base ? SK_BUF_DST : SK_BUF_ARENA].data;
    for (uint32_t i = 0; i < n; i++)
        memset(dst + (size_t)s->page[n + i].unit * SPHKV_UNIT_BYTES, SK_CASE_POISON,
               (size_t)s->at[0].units * SPHKV_UNIT_BYTES);
    for (uint32_t h = 0; h < s->kv_heads && b[SK_BUF_BOOK].base; h++)
        sk_case_book_fill(spec, rng, b[SK_BUF_BOOK].data + (size_t)h * s->book_stride);
    c->read_bytes += b[SK_BUF_BOOK].bytes;
}

static sk_status make_encode(sk_case *c, sk_rng *rng, double *k, double *v, sk_err *err)
{
    sk_case_state *s = sk_case_state_of(c);
    sk_case_buffer *b = s->copy[0].buf;
    uint32_t n = c->p.shape.batch;
    bool one_arena = c->p.input == SK_IN_EDGE || c->p.input == SK_IN_CANCEL;
    uint64_t src = 0, dst = 0;
    encode_pages(c, rng);
    sk_status st = sk_case_place(s->page, one_arena ? 2 * (size_t)n : n, s->at, 1, rng, &src, err);
    if (st == SPHKV_OK && !one_arena)
        st = sk_case_place(s->page + n, n, s->at, 1, rng, &dst, err);
    if (st == SPHKV_OK)
        st = sk_case_memory_check((src + dst) * SPHKV_UNIT_BYTES * (c->copies + 1), err);
    if (st == SPHKV_OK) st = sk_case_buffer_make(&b[SK_BUF_ARENA], src * SPHKV_UNIT_BYTES, err);
    if (st == SPHKV_OK && dst)
        st = sk_case_buffer_make(&b[SK_BUF_DST], dst * SPHKV_UNIT_BYTES, err);
    if (st == SPHKV_OK && s->book_stride)
        st = sk_case_buffer_make(&b[SK_BUF_BOOK], (size_t)s->book_stride * s->kv_heads, err);
    if (st == SPHKV_OK)
        st = sk_case_buffer_make(&b[SK_BUF_LIST], n * sizeof(sphkv_encode_item), err);
    if (st == SPHKV_OK) fill_sources(c, rng, k, v);
    return st;
}

/* ---- both ---------------------------------------------------------------------- */

static void encode_args(const sk_case *c, const sk_case_buffer *b, sphkv_encode_args *a)
{
    const sk_case_buffer *dst = &b[b[SK_BUF_DST].base ? SK_BUF_DST : SK_BUF_ARENA];
    *a = (sphkv_encode_args){
        .size = sizeof *a,
        .items_count = c->p.shape.batch,
        .items = (const sphkv_encode_item *)(const void *)b[SK_BUF_LIST].data,
        .src_arena = b[SK_BUF_ARENA].data,
        .src_arena_bytes = b[SK_BUF_ARENA].bytes,
        .dst_arena = dst->data,
        .dst_arena_bytes = dst->bytes,
        .codebook = b[SK_BUF_BOOK].data,
        .codebook_bytes = b[SK_BUF_BOOK].bytes,
    };
}

void sk_case_rows_args(sk_case *c, uint32_t copy)
{
    const sk_case_buffer *b = sk_case_state_of(c)->copy[copy].buf;
    if (c->p.spec.kernel == SPHKV_KV_ENCODE) {
        encode_args(c, b, &c->args.encode[copy]);
        return;
    }
    sphkv_append_args *a = &c->args.append[copy];
    *a = c->args.append[0]; /* the strides */
    a->size = sizeof *a;
    a->items_count = c->p.shape.batch;
    a->items = (const sphkv_append_item *)(const void *)b[SK_BUF_LIST].data;
    a->k = b[SK_BUF_Q].data;
    a->v = b[SK_BUF_V].data;
    a->arena = b[SK_BUF_ARENA].data;
    a->arena_bytes = b[SK_BUF_ARENA].bytes;
}

sk_status sk_case_rows_make(sk_case *c, sk_err *err)
{
    sk_case_state *s = sk_case_state_of(c);
    const sk_spec *spec = &c->p.spec;
    bool encode = spec->kernel == SPHKV_KV_ENCODE;
    sk_rng rng;
    sk_rng_seed(&rng, c->p.seed * SK_INPUT_COUNT + c->p.input);
    s->pages = (size_t)c->p.shape.batch * (encode ? 2 : 1);
    s->page = sk_calloc(s->pages, sizeof *s->page);
    double *k = sk_malloc((size_t)spec->page * (spec->d + spec->dv) * sizeof *k);
    sk_status st = s->page && k ? SPHKV_OK : sk_fail(err, SPHKV_ENOMEM, "no memory for rows");
    if (st == SPHKV_OK) {
        double *v = k + (size_t)spec->page * spec->d;
        st = encode ? make_encode(c, &rng, k, v, err) : make_append(c, &rng, k, v, err);
    }
    sk_free(k);
    if (st != SPHKV_OK) return st;
    const sk_case_buffer *written = &s->copy[0].buf[sk_case_written(c)];
    s->before = sk_malloc(written->bytes);
    if (!s->before) return sk_fail(err, SPHKV_ENOMEM, "no memory for %zu bytes", written->bytes);
    memcpy(s->before, written->data, written->bytes);
    return SPHKV_OK;
}
