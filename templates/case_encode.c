/* case_encode.c - inputs of kv_encode and page_retier. Sources are pages coded by the reference,
 * destinations are poison; they lie in one arena or in two, in a shuffled order
 * with nothing between them. */
#include <string.h>

#include "case_impl.h"
#include "kv_encode.h"

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

static void put_positions(const sk_case *c, sk_rng *rng, uint32_t count, uint8_t *page)
{
    uint32_t positions[256]; /* of the largest page, sk_spec_check */
    const sk_page_layout *at = &sk_case_state_of(c)->at[1];
    if (at->pos_off == SK_NO_FIELD) return;
    sk_case_positions(c, rng, 0, count, positions);
    sk_case_positions_put(at, positions, count, page);
}

static void fill_sources(sk_case *c, sk_rng *rng, double *k, double *v)
{
    sk_case_state *s = sk_case_state_of(c);
    const sk_spec *spec = &c->p.spec;
    sk_case_buffer *b = s->copy[0].buf;
    uint32_t n = c->p.shape.batch;
    size_t bytes = (size_t)s->at[1].units * SPHKV_UNIT_BYTES;
    sphkv_encode_item *items = (sphkv_encode_item *)(void *)b[SK_BUF_LIST].data;
    for (uint32_t h = 0; h < s->kv_heads && b[SK_BUF_BOOK].base; h++)
        sk_case_book_fill(spec, rng, b[SK_BUF_BOOK].data + (size_t)h * s->book_stride);
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
            const uint8_t *book = NULL;
            if (s->book_stride) book = b[SK_BUF_BOOK].data + (size_t)items[i].kv_head * s->book_stride;
            if (book) sk_case_mean_add(spec, book, page->filled, k);
            sk_encode_page_ref(spec, 1, k, v, page->filled, book, to);
            put_positions(c, rng, page->filled, to);
        }
        c->read_bytes += (size_t)s->at[1].bytes * page->count / spec->page;
    }
    uint8_t *dst = b[b[SK_BUF_DST].base ? SK_BUF_DST : SK_BUF_ARENA].data;
    for (uint32_t i = 0; i < n; i++)
        memset(dst + (size_t)s->page[n + i].unit * SPHKV_UNIT_BYTES, SK_CASE_POISON,
               (size_t)s->at[0].units * SPHKV_UNIT_BYTES);
    c->read_bytes += b[SK_BUF_BOOK].bytes + b[SK_BUF_ROPE].bytes;
    c->write_bytes = (size_t)n * s->at[0].bytes;
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
        st = sk_case_memory_check(2 * (src + dst) * SPHKV_UNIT_BYTES, err);
    if (st == SPHKV_OK) st = sk_case_buffer_make(&b[SK_BUF_ARENA], src * SPHKV_UNIT_BYTES, err);
    if (st == SPHKV_OK && dst)
        st = sk_case_buffer_make(&b[SK_BUF_DST], dst * SPHKV_UNIT_BYTES, err);
    if (st == SPHKV_OK && s->book_stride)
        st = sk_case_buffer_make(&b[SK_BUF_BOOK], (size_t)s->book_stride * s->kv_heads, err);
    if (st == SPHKV_OK)
        st = sk_case_buffer_make(&b[SK_BUF_LIST], n * sizeof(sphkv_encode_item), err);
    if (st == SPHKV_OK && sk_encode_turns(&c->p.spec)) st = sk_case_rope_make(c, err);
    if (st == SPHKV_OK) fill_sources(c, rng, k, v);
    return st;
}

static void encode_args(sk_case *c, uint32_t copy)
{
    const sk_case_buffer *b = sk_case_state_of(c)->copy[copy].buf;
    const sk_case_buffer *dst = &b[b[SK_BUF_DST].base ? SK_BUF_DST : SK_BUF_ARENA];
    c->args.encode[copy] = (sphkv_encode_args){
        .size = sizeof(sphkv_encode_args),
        .items_count = c->p.shape.batch,
        .items = (const sphkv_encode_item *)(const void *)b[SK_BUF_LIST].data,
        .src_arena = b[SK_BUF_ARENA].data,
        .src_arena_bytes = b[SK_BUF_ARENA].bytes,
        .dst_arena = dst->data,
        .dst_arena_bytes = dst->bytes,
        .codebook = b[SK_BUF_BOOK].data,
        .codebook_bytes = b[SK_BUF_BOOK].bytes,
        .rope = sk_case_rope(c, copy),
    };
}

static sk_status encode_make(sk_case *c, sk_err *err)
{
    sk_case_state *s = sk_case_state_of(c);
    const sk_spec *spec = &c->p.spec;
    sk_rng rng;
    sk_rng_seed(&rng, c->p.seed * SK_INPUT_COUNT + c->p.input);
    s->pages = (size_t)c->p.shape.batch * 2;
    s->page = sk_calloc(s->pages, sizeof *s->page);
    double *k = sk_malloc((size_t)spec->page * (spec->d + spec->dv) * sizeof *k);
    sk_status st = s->page && k ? SPHKV_OK : sk_fail(err, SPHKV_ENOMEM, "no memory for rows");
    if (st == SPHKV_OK) st = make_encode(c, &rng, k, k + (size_t)spec->page * spec->d, err);
    sk_free(k);
    return st == SPHKV_OK ? sk_case_remember(c, err) : st;
}

static double encode_bound(const sk_spec *spec)
{
    (void)spec;
    return SK_CASE_CODE_BOUND;
}

#define KIND {.make = encode_make, .args = encode_args, .judge = sk_case_judge_encode, \
              .check = sk_case_check_items, .bound = encode_bound}
const sk_case_kind sk_case_kv_encode = KIND;
const sk_case_kind sk_case_page_retier = KIND;
