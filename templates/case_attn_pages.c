/* case_attn_pages.c - the pages of an attention case, coded by the reference.
 *
 * Big timed shapes (quick_fill) draw their pages from a small pool per tier:
 * coding 100 MB in double would take minutes, and what is timed does not look at
 * the numbers. */
#include <string.h>

#include "case_attn.h"

static sk_status fill_pool(sk_attn_fill *f, uint32_t tier, sk_err *err)
{
    const sk_spec *spec = &f->c->p.spec;
    f->pool[tier] = sk_malloc(f->pool_pages * sk_attn_page_bytes(f, tier));
    if (!f->pool[tier]) return sk_fail(err, SPHKV_ENOMEM, "no memory for a pool of pages");
    for (uint32_t i = 0; i < f->pool_pages; i++) {
        const uint8_t *book = sk_attn_head_book(f, i % f->s->kv_heads);
        uint8_t *to = f->pool[tier] + i * sk_attn_page_bytes(f, tier);
        sk_case_rows_fill(spec, f->c->p.input, &f->rng, spec->page, NULL, 0, f->k, f->v);
        sk_case_mean_add(spec, book, spec->page, f->k);
        sk_encode_page_ref(spec, tier, f->k, f->v, spec->page, book, to);
    }
    return SPHKV_OK;
}

/* Slots that nothing was written to, in a page that grows by kv_append: whatever
 * the memory held before, here NaN. Only pages that are coded whole hold zeros. */
static void poison_slots(const sk_attn_fill *f, const sk_case_page *page, uint8_t *to)
{
    const sk_spec *spec = &f->c->p.spec;
    const sk_page_layout *at = &f->s->at[page->tier];
    const sk_tier *tier = &spec->tier[page->tier];
    const uint32_t ks = tier->seg[0].kind == SK_KEY_F32 ? 4 : 2;
    const uint32_t vs = tier->value == SK_VAL_F32 ? 4 : 2;
    if (sk_tier_is_dense(tier) && at->pos_off != SK_NO_FIELD)
        memset(to + at->pos_off + (size_t)page->filled * 4, SK_CASE_POISON,
               (size_t)(spec->page - page->filled) * 4);
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

/* Positions of the page's tokens, the first of which stands at `place` of its list. Sinks
 * of keys before RoPE are nearly one key only where they are at one position. */
static void page_positions(sk_attn_fill *f, const sk_case_page *page, uint32_t place, uint32_t *to)
{
    const sk_case_params *p = &f->c->p;
    const bool one = p->input == SK_IN_SINK && sk_tier_pre_rope(&p->spec.tier[page->tier]);
    if (!(p->spec.variants & SPHKV_VARIANT_POSITIONS)) {
        sk_case_positions(f->c, &f->rng, place, page->filled, to);
        return;
    }
    for (uint32_t t = 0; t < page->filled; t++)
        to[t] = sk_case_position(f->c, page->list, place + (one ? 0 : t));
}

static void put_positions(sk_attn_fill *f, const sk_case_page *page, uint32_t place, uint8_t *to)
{
    uint32_t positions[256]; /* the largest page, sk_spec_check */
    const sk_page_layout *at = &f->s->at[page->tier];
    if (at->pos_off == SK_NO_FIELD) return;
    page_positions(f, page, place, positions);
    sk_case_positions_put(at, positions, page->filled, to);
}

/* One sub-page, from the pool or coded from rows of its own. peaked: the page
 * that holds its list's dominating key; place: tokens of the list before it. */
static sk_status fill_sub_page(sk_attn_fill *f, const sk_case_page *page, uint32_t sub,
                               uint32_t kv_head, bool peaked, uint32_t place, sk_err *err)
{
    uint32_t positions[256]; /* the largest page, sk_spec_check */
    const sk_page_layout *at = &f->s->at[page->tier];
    const sk_spec *spec = &f->c->p.spec;
    size_t bytes = sk_attn_page_bytes(f, page->tier);
    uint8_t *to = f->arena + (size_t)page->unit * SPHKV_UNIT_BYTES + sub * bytes;
    if (f->c->p.quick_fill) {
        if (!f->pool[page->tier]) {
            sk_status st = fill_pool(f, page->tier, err);
            if (st != SPHKV_OK) return st;
        }
        uint32_t pick = sk_rng_below(&f->rng, f->pool_pages / f->s->kv_heads);
        memcpy(to, f->pool[page->tier] + (pick * f->s->kv_heads + kv_head) * bytes, bytes);
        put_positions(f, page, place, to);
        return SPHKV_OK;
    }
    if (page->filled == 0 && f->c->p.input == SK_IN_EDGE) { /* it may hold anything */
        memset(to, SK_CASE_POISON, bytes);
        return SPHKV_OK;
    }
    const double *peak = NULL;
    if (f->peak && peaked)
        peak = f->peak + ((size_t)sk_attn_page_seq(f, page) * f->s->kv_heads + kv_head) * spec->d;
    uint32_t row = page->count ? sk_rng_below(&f->rng, page->count) : 0;
    if (!peaked) row = spec->page;
    sk_case_rows_fill(spec, f->c->p.input, &f->rng, page->filled, peak, row, f->k, f->v);
    if (at->pos_off != SK_NO_FIELD)
        page_positions(f, page, place, positions);
    sk_case_rotate_back(f->c, page->tier, positions, page->filled, f->k);
    sk_case_mean_add(spec, sk_attn_head_book(f, kv_head), page->filled, f->k);
    sk_encode_page_ref(spec, page->tier, f->k, f->v, page->filled, sk_attn_head_book(f, kv_head), to);
    sk_case_positions_put(at, positions, page->filled, to);
    if (f->c->p.input == SK_IN_EDGE) poison_slots(f, page, to);
    return SPHKV_OK;
}

sk_status sk_attn_fill_pages(sk_attn_fill *f, sk_err *err)
{
    uint32_t peaked_list = UINT32_MAX, place = 0;
    for (size_t i = 0; i < f->s->pages; i++) {
        const sk_case_page *page = &f->s->page[i];
        if (i > 0 && page->list != page[-1].list) place = 0;
        bool shared = f->c->p.lists_per_seq == 1, peaked = page->list != peaked_list && page->count;
        uint32_t subs = shared ? f->s->kv_heads : 1;
        if (peaked) peaked_list = page->list;
        for (uint32_t sub = 0; sub < subs; sub++) {
            uint32_t kv_head = shared ? sub : page->list % f->s->kv_heads;
            sk_status st = fill_sub_page(f, page, sub, kv_head, peaked, place, err);
            if (st != SPHKV_OK) return st;
        }
        place += page->count;
        f->c->read_bytes += (size_t)f->s->at[page->tier].bytes * page->count / f->c->p.spec.page *
                            subs;
    }
    return SPHKV_OK;
}
