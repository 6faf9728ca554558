/* case_lists.c - which pages an attn case has: lists of lengths that a server
 * would meet (or, for timing, that a context fills), cut into pages of the
 * tiers of the mix; and where pages lie in an arena. */
#include <string.h>

#include "case_impl.h"

/* Pages as they are found; grows by doubling. */
typedef struct page_list {
    sk_case_page *page;
    size_t n, cap;
} page_list;

static sk_status page_push(page_list *l, sk_case_page page, sk_err *err)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 64;
        sk_case_page *grown = sk_realloc(l->page, cap * sizeof *grown);
        if (!grown) return sk_fail(err, SPHKV_ENOMEM, "no memory for %zu pages", cap);
        l->page = grown;
        l->cap = cap;
    }
    l->page[l->n++] = page;
    return SPHKV_OK;
}

/* Tokens of a list. Uneven ones: full length, one token, none, then anything. */
static uint32_t list_tokens(const sk_case_params *p, sk_rng *rng, uint32_t list)
{
    uint32_t context = p->shape.context;
    if (!p->uneven && p->input != SK_IN_EDGE) return context;
    switch (list % 4) {
    case 0: return context;
    case 1: return context ? 1 : 0;
    case 2: return 0;
    default: return context ? 1 + sk_rng_below(rng, context) : 0;
    }
}

/* How `tokens` are shared among the tiers that occur. A timed mix that ends in
 * a dense tier is what an engine runs: everything coded but the tail. */
static void share_tokens(const sk_case_params *p, uint32_t tokens, uint32_t list,
                         uint32_t share[SK_MAX_TIERS])
{
    uint32_t n = 0, slot[SK_MAX_TIERS];
    for (uint32_t t = 0; t < p->spec.ntiers; t++) {
        share[t] = 0;
        if (p->tier_mask == 0 || p->tier_mask >> t & 1) slot[n++] = t;
    }
    if (p->quick_fill && n > 1 && tokens && sk_tier_is_dense(&p->spec.tier[slot[n - 1]])) {
        share[slot[n - 1]] = 1 + (tokens - 1) % p->spec.page;
        tokens -= share[slot[--n]];
    }
    for (uint32_t i = 0; i < n; i++) { /* odd ones go round with the lists */
        uint32_t k = (i + list) % n;
        share[slot[k]] = tokens / (n - i);
        if (p->quick_fill) share[slot[k]] -= share[slot[k]] % p->spec.page;
        if (i == n - 1) share[slot[k]] = tokens;
        tokens -= share[slot[k]];
    }
}

/* Pages of one tier of one list. On SK_IN_EDGE pages are cut anywhere, some
 * hold nothing and some hold rows that their reference does not name. */
static sk_status cut_pages(const sk_case_params *p, sk_rng *rng, uint32_t list, uint32_t tier,
                           uint32_t tokens, page_list *out, sk_err *err)
{
    uint32_t size = p->spec.page;
    bool edge = p->input == SK_IN_EDGE;
    sk_status st = SPHKV_OK;
    if (edge && tokens && sk_rng_below(rng, 4) == 0)
        st = page_push(out, (sk_case_page){.list = list, .tier = tier}, err);
    while (tokens && st == SPHKV_OK) {
        sk_case_page page = {.list = list, .tier = tier, .count = tokens < size ? tokens : size};
        if (edge && out->n % 2) page.count = 1 + sk_rng_below(rng, page.count);
        page.filled = edge && sk_rng_below(rng, 2) ? size : page.count;
        tokens -= page.count;
        st = page_push(out, page, err);
    }
    return st;
}

sk_status sk_case_lists(sk_case *c, sk_rng *rng, sk_err *err)
{
    sk_case_state *s = sk_case_state_of(c);
    const sk_case_params *p = &c->p;
    uint32_t lists = p->shape.batch * p->lists_per_seq, share[SK_MAX_TIERS];
    page_list out = {0};
    sk_status st = SPHKV_OK;
    for (uint32_t l = 0; l < lists && st == SPHKV_OK; l++) {
        size_t first = out.n;
        share_tokens(p, list_tokens(p, rng, l), l, share);
        for (uint32_t t = 0; t < p->spec.ntiers && st == SPHKV_OK; t++)
            st = cut_pages(p, rng, l, t, share[t], &out, err);
        if (out.n - first > s->pages_per_list) s->pages_per_list = (uint32_t)(out.n - first);
    }
    s->page = out.page;
    s->pages = out.n;
    return st;
}

sk_status sk_case_place(sk_case_page *page, size_t pages, const sk_page_layout *at, uint32_t sub,
                        sk_rng *rng, uint64_t *units, sk_err *err)
{
    *units = 1;
    if (pages == 0) return SPHKV_OK;
    uint32_t *order = pages < UINT32_MAX ? sk_malloc(pages * sizeof *order) : NULL;
    if (!order) return sk_fail(err, SPHKV_ENOMEM, "no memory for the order of %zu pages", pages);
    sk_rng_order(rng, order, (uint32_t)pages);
    for (uint32_t i = 0; i < pages && *units <= UINT32_MAX; i++) {
        sk_case_page *one = &page[order[i]];
        one->unit = (uint32_t)*units;
        *units += (uint64_t)at[one->tier].units * sub;
    }
    sk_free(order);
    if (*units > UINT32_MAX)
        return sk_fail(err, SPHKV_EINVAL, "an arena of more than 2^32 units");
    return SPHKV_OK;
}

void sk_case_stack(sk_case_page *page, size_t pages, const sk_page_layout *at, uint32_t sub,
                   uint32_t lists, size_t bytes, uint64_t *units)
{
    size_t first = 0, all = 0;
    for (size_t i = 0; i < pages; i++) /* of the first list, a page of each tier that it has */
        if (page[i].list == page[0].list && (i == 0 || page[i].tier != page[i - 1].tier))
            all += (size_t)at[page[i].tier].units * sub * SPHKV_UNIT_BYTES;
    const size_t fit = all ? bytes / lists / all : 1, places = fit ? fit : 1;
    *units = 1;
    for (size_t i = 0; i < pages; i++) {
        if (page[i].list != page[first].list || page[i].tier != page[first].tier) first = i;
        const size_t size = (size_t)at[page[i].tier].units * sub, k = i - first;
        page[i].unit = k < places ? (uint32_t)*units : page[first + k % places].unit;
        if (k < places) *units += size;
    }
}

/* ---- the table ------------------------------------------------------------------ */

/* Pages of a list: first and behind the last, in the order of s->page. */
void sk_case_list_range(const sk_case_state *s, uint32_t list, size_t *at, size_t *end)
{
    while (*at < s->pages && s->page[*at].list < list)
        (*at)++;
    for (*end = *at; *end < s->pages && s->page[*end].list == list;)
        (*end)++;
}

/* References nobody names stand before and behind the lists when first_ref is
 * not 0: they are garbage, as in a table with an unused tail. */
void sk_case_table_fill(sk_case *c)
{
    sk_case_state *s = sk_case_state_of(c);
    uint32_t *indptr = (uint32_t *)(void *)s->copy[0].buf[SK_BUF_INDEX].data;
    uint64_t *refs = (uint64_t *)(void *)s->copy[0].buf[SK_BUF_LIST].data;
    uint32_t lists = c->p.shape.batch * c->p.lists_per_seq;
    size_t at = 0, end = 0;
    if (refs) memset(refs, 0xff, s->copy[0].buf[SK_BUF_LIST].bytes); /* NULL: lists are all empty */
    for (size_t i = 0; i < s->pages; i++)
        refs[s->first_ref + i] =
            sphkv_page_ref(s->page[i].unit, s->page[i].count, s->page[i].tier);
    for (uint32_t l = 0; l < lists; l++, at = end) {
        sk_case_list_range(s, l, &at, &end);
        indptr[l] = s->first_ref + (uint32_t)at;
    }
    indptr[lists] = s->first_ref + (uint32_t)s->pages;
}

sphkv_page_table sk_case_table(const sk_case *c, uint32_t copy)
{
    const sk_case_buffer *b = sk_case_state_of(c)->copy[copy].buf;
    return (sphkv_page_table){
        .indptr = (const uint32_t *)(const void *)b[SK_BUF_INDEX].data,
        .refs = (const uint64_t *)(const void *)b[SK_BUF_LIST].data,
        .lists = c->p.shape.batch * c->p.lists_per_seq,
        .lists_per_seq = c->p.lists_per_seq,
    };
}
