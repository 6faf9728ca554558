/* case_compact.c - inputs of token_compact. Sources are noise, but for their scales,
 * which are sane, and codes that no encoder writes; so every field of every tier is
 * met. Each item has pages of its own that its tokens come from, page after page, or,
 * at the edges, in any order and some more than once. */
#include <math.h>
#include <string.h>

#include "case_impl.h"

#define SOURCES_MOST 4u

/* Pages that the tokens of an item come from. */
static uint32_t sources_of(const sk_case_params *p)
{
    static const uint8_t n[SK_INPUT_COUNT] = {
        [SK_IN_S1] = 2,      [SK_IN_PEAKY] = 1, [SK_IN_CANCEL] = 3,
        [SK_IN_EXTREME] = 4, [SK_IN_SINK] = 2,  [SK_IN_EDGE] = SOURCES_MOST,
    };
    return n[p->input];
}

static uint32_t subs_of(const sk_case *c)
{
    return c->p.lists_per_seq == 1 ? sk_case_state_of(c)->kv_heads : 1;
}

/* ---- tokens --------------------------------------------------------------- */

/* `count` of the slots of all sources of an item, in order. */
static void choose_tokens(sk_case *c, sk_rng *rng, uint32_t i, uint32_t count, sphkv_compact_token *to)
{
    const sk_case_state *s = sk_case_state_of(c);
    const uint32_t n = sources_of(&c->p), page = c->p.spec.page;
    uint32_t left = n * page, want = count;
    const bool free_order = c->p.input == SK_IN_EDGE;
    for (uint32_t k = 0; k < n * page && want > 0; k++, left--) {
        if (!free_order && sk_rng_below(rng, left) >= want) continue;
        const uint32_t at = free_order ? sk_rng_below(rng, n * page) : k;
        *to++ = (sphkv_compact_token){s->page[(size_t)i * n + at / page].unit, at % page};
        want--;
    }
}

static void fill_items(sk_case *c, sk_rng *rng)
{
    sk_case_state *s = sk_case_state_of(c);
    sk_case_buffer *b = s->copy[0].buf;
    const uint32_t n = c->p.shape.batch, sources = sources_of(&c->p), page = c->p.spec.page;
    sphkv_compact_item *items = (sphkv_compact_item *)(void *)b[SK_BUF_LIST].data;
    sphkv_compact_token *tokens = (sphkv_compact_token *)(void *)b[SK_BUF_INDEX].data;
    uint32_t first = c->p.input == SK_IN_EDGE; /* tokens that nobody names: garbage */
    memset(tokens, 0xff, b[SK_BUF_INDEX].bytes);
    for (uint32_t i = 0; i < n; i++) {
        const sk_case_page *to = &s->page[(size_t)n * sources + i];
        uint32_t count = page;
        if (c->p.uneven && i > 0) count = i == 1 ? 1 : sk_rng_below(rng, page + 1);
        if (c->p.input == SK_IN_EDGE && i == 2) count = 0;
        items[i] = (sphkv_compact_item){to->unit, to->tier, first, count};
        choose_tokens(c, rng, i, count, tokens + first);
        first += count;
    }
}

/* ---- pages ---------------------------------------------------------------- */

typedef struct filler {
    sk_case *c;
    sk_rng *rng;
    uint8_t *page;
    double step; /* of scales: from page to page */
} filler;

/* A code that an encoder writes, and its scale, in the place of noise. */
static void sane(void *user, const sk_case_element *e)
{
    const filler *f = user;
    if (e->scale == SK_NO_FIELD) return;
    const uint32_t code = sk_bits_get(f->page + e->off, e->src, e->bits);
    if (e->bits == 8 && !e->radius && code == 0x80 && !e->float8) sk_bits_put(f->page + e->off, e->src, 8, 0);
    if (e->float8 && (code & 0x7f) == 0x7f) sk_bits_put(f->page + e->off, e->src, 8, code & 0xf0);
}

static void put_scale(const filler *f, uint32_t off, bool min)
{
    const sk_input input = f->c->p.input;
    double x = f->step * (input == SK_IN_SINK ? 1 : 0.5 + sk_rng_unit(f->rng));
    if (input == SK_IN_EXTREME) x = ldexp(x, (int)sk_rng_below(f->rng, 36) - 20);
    if (input == SK_IN_EDGE && sk_rng_below(f->rng, 4) == 0) x = 0;
    if (min) x = -4 * x + (input == SK_IN_EXTREME ? 1000 * sk_rng_unit(f->rng) : 0);
    sk_case_put(f->page + off, SPHKV_F16, 0, x < 60000 ? x : 60000);
}

/* Scales of a page: every byte of a field of them is one. */
static void put_scales(const filler *f, const sk_page_layout *at, const sk_tier *tier)
{
    for (uint32_t i = 0; i < at->nseg; i++) {
        const sk_seg_layout *seg = &at->seg[i];
        for (uint32_t k = 0; seg->rscale_off != SK_NO_FIELD && k < seg->spans; k++)
            put_scale(f, seg->rscale_off + 2 * k, false);
        if (tier->seg[i].kind == SK_KEY_F8) put_scale(f, seg->kscale_off, false);
    }
    const uint32_t n = tier->value == SK_VAL_F8 ? 1 : at->cp;
    for (uint32_t k = 0; at->vscale_off != SK_NO_FIELD && k < n; k++)
        put_scale(f, at->vscale_off + 2 * k, false);
    for (uint32_t k = 0; at->vmin_off != SK_NO_FIELD && k < n; k++)
        put_scale(f, at->vmin_off + 2 * k, true);
}

static void fill_source(sk_case *c, sk_rng *rng, const sk_case_page *from)
{
    const sk_case_state *s = sk_case_state_of(c);
    const size_t bytes = (size_t)s->at[from->tier].units * SPHKV_UNIT_BYTES;
    uint8_t *page = s->copy[0].buf[SK_BUF_ARENA].data + (size_t)from->unit * SPHKV_UNIT_BYTES;
    for (uint32_t sub = 0; sub < subs_of(c); sub++, page += bytes) {
        filler f = {c, rng, page, 0.25};
        for (size_t i = 0; i < bytes; i += 8) {
            const uint64_t noise = sk_rng_u64(rng);
            memcpy(page + i, &noise, 8);
        }
        put_scales(&f, &s->at[from->tier], &c->p.spec.tier[from->tier]);
        for (uint32_t t = 0; t < c->p.spec.page; t++)
            sk_case_elements(&c->p.spec, from->tier, t, t, sane, &f);
    }
}

/* ---- what must be read: cache lines ----------------------------------------- */

typedef struct toucher {
    uint8_t *line; /* of the arena, a byte each */
    size_t page;   /* byte that the page begins at */
} toucher;

static void touch(void *user, const sk_case_element *e)
{
    const toucher *t = user;
    t->line[(t->page + e->off + e->src / 8) / 64] = 1;
    t->line[(t->page + e->off + (e->src + e->bits - 1) / 8) / 64] = 1;
    if (e->scale != SK_NO_FIELD) t->line[(t->page + e->scale) / 64] = 1;
    if (e->min != SK_NO_FIELD) t->line[(t->page + e->min) / 64] = 1;
}

static sk_status count_bytes(sk_case *c, sk_err *err)
{
    const sk_case_state *s = sk_case_state_of(c);
    const sk_case_buffer *b = s->copy[0].buf;
    const sphkv_compact_item *items = (const sphkv_compact_item *)(const void *)b[SK_BUF_LIST].data;
    const sphkv_compact_token *tokens = (const sphkv_compact_token *)(const void *)b[SK_BUF_INDEX].data;
    const size_t lines = b[SK_BUF_ARENA].bytes / 64;
    toucher t = {.line = sk_calloc(lines, 1)};
    if (!t.line) return sk_fail(err, SPHKV_ENOMEM, "no memory to count lines");
    for (uint32_t i = 0; i < c->p.shape.batch; i++) {
        const size_t bytes = (size_t)s->at[items[i].tier_slot].units * SPHKV_UNIT_BYTES;
        for (uint32_t sub = 0; sub < subs_of(c); sub++)
            for (uint32_t k = items[i].first; k < items[i].first + items[i].count; k++) {
                t.page = (size_t)tokens[k].src_unit * SPHKV_UNIT_BYTES + sub * bytes;
                sk_case_elements(&c->p.spec, items[i].tier_slot, 0, tokens[k].slot, touch, &t);
            }
        c->write_bytes += subs_of(c) * bytes;
        c->read_bytes += items[i].count * sizeof *tokens;
    }
    for (size_t i = 0; i < lines; i++) c->read_bytes += 64 * (size_t)t.line[i];
    sk_free(t.line);
    return SPHKV_OK;
}

/* ---- a case ------------------------------------------------------------------ */

static sk_status compact_make(sk_case *c, sk_err *err)
{
    sk_case_state *s = sk_case_state_of(c);
    const uint32_t n = c->p.shape.batch, sources = sources_of(&c->p), subs = subs_of(c);
    const size_t from = (size_t)n * sources;
    const bool one_arena = c->p.input == SK_IN_EDGE || c->p.input == SK_IN_CANCEL;
    sk_case_buffer *b = s->copy[0].buf;
    uint64_t src = 0, dst = 0;
    sk_rng rng;
    sk_rng_seed(&rng, c->p.seed * SK_INPUT_COUNT + c->p.input);
    s->pages = from + n;
    s->page = sk_calloc(s->pages, sizeof *s->page);
    if (!s->page) return sk_fail(err, SPHKV_ENOMEM, "no memory for pages");
    for (size_t i = 0; i < s->pages; i++)
        s->page[i].tier = sk_case_item_tier(&c->p, (uint32_t)(i < from ? i / sources : i - from));
    sk_status st = sk_case_place(s->page, one_arena ? s->pages : from, s->at, subs, &rng, &src, err);
    if (st == SPHKV_OK && !one_arena) st = sk_case_place(s->page + from, n, s->at, subs, &rng, &dst, err);
    if (st == SPHKV_OK) st = sk_case_memory_check(2 * (src + dst) * SPHKV_UNIT_BYTES, err);
    if (st == SPHKV_OK) st = sk_case_buffer_make(&b[SK_BUF_ARENA], src * SPHKV_UNIT_BYTES, err);
    if (st == SPHKV_OK && dst) st = sk_case_buffer_make(&b[SK_BUF_DST], dst * SPHKV_UNIT_BYTES, err);
    if (st == SPHKV_OK) st = sk_case_buffer_make(&b[SK_BUF_LIST], n * sizeof(sphkv_compact_item), err);
    if (st == SPHKV_OK)
        st = sk_case_buffer_make(&b[SK_BUF_INDEX],
                                 ((size_t)n * c->p.spec.page + 2) * sizeof(sphkv_compact_token), err);
    if (st != SPHKV_OK) return st;
    memset(b[SK_BUF_ARENA].data, SK_CASE_POISON, b[SK_BUF_ARENA].bytes);
    if (dst) memset(b[SK_BUF_DST].data, SK_CASE_POISON, b[SK_BUF_DST].bytes);
    for (size_t i = 0; i < from; i++) fill_source(c, &rng, &s->page[i]);
    fill_items(c, &rng);
    st = count_bytes(c, err);
    return st == SPHKV_OK ? sk_case_remember(c, err) : st;
}

static void compact_args(sk_case *c, uint32_t copy)
{
    const sk_case_buffer *b = sk_case_state_of(c)->copy[copy].buf;
    const sk_case_buffer *dst = &b[sk_case_written(c)];
    c->args.compact[copy] = (sphkv_compact_args){
        .size = sizeof(sphkv_compact_args),
        .items_count = c->p.shape.batch,
        .items = (const sphkv_compact_item *)(const void *)b[SK_BUF_LIST].data,
        .tokens = (const sphkv_compact_token *)(const void *)b[SK_BUF_INDEX].data,
        .tokens_count = (uint32_t)(b[SK_BUF_INDEX].bytes / sizeof(sphkv_compact_token)),
        .sub_pages = subs_of(c) == 1 ? 0 : subs_of(c),
        .src_arena = b[SK_BUF_ARENA].data,
        .src_arena_bytes = b[SK_BUF_ARENA].bytes,
        .dst_arena = dst->data,
        .dst_arena_bytes = dst->bytes,
    };
}

/* Every input, with pages of one and of several sub-pages. */
static bool compact_check(const sk_spec *spec, uint32_t i, sk_case_params *params)
{
    if (!sk_case_check_items(spec, i / 2, params)) return false;
    params->lists_per_seq = i % 2 ? 1 : SK_CHECK_HEADS;
    return true;
}

const sk_case_kind sk_case_token_compact = {
    .make = compact_make,
    .args = compact_args,
    .judge = sk_case_judge_compact,
    .check = compact_check,
    .bound = sk_case_bound_exact,
};
