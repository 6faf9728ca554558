/* dl_cache_facts.c - looking into a cache from outside the hot path: its weight,
 * its tokens in double, and whether two caches are the same. */
#include "dl_cache.h"

#include <string.h>

#include "dl_rope.h"

/* Keys of a page turned by the positions that it holds. */
static void turn_keys(const dl_cache *c, const uint8_t *page, const sphkv_page_info *info, uint32_t n,
                      double *k)
{
    const size_t d = c->setup.head_dim;
    for (uint32_t t = 0; c->before_rope && t < n; t++) {
        uint32_t position;
        memcpy(&position, page + info->positions + (size_t)t * sizeof position, sizeof position);
        dl_rope_turn_double(c->rotations + position * d, c->setup.head_dim, k + t * d);
    }
}

void dl_cache_weigh(const dl_cache *c, double *bytes_per_token_head, double *coded_share)
{
    double bytes = 0, tokens = 0, coded = 0;
    for (uint32_t i = 0; i < c->setup.layers; i++)
        for (uint32_t j = 0; j < c->lists; j++) {
            const dl_list *list = &c->layer[i].list[j];
            for (uint32_t r = 0; r < list->count; r++) {
                const uint32_t tier = sphkv_ref_tier(list->refs[r]);
                const uint32_t n = sphkv_ref_tokens(list->refs[r]);
                bytes += (double)c->tier[tier].info.units * SPHKV_UNIT_BYTES;
                tokens += n;
                coded += tier + 1 < c->ntiers ? n : 0;
            }
        }
    *bytes_per_token_head = tokens > 0 ? bytes / tokens : 0;
    *coded_share = tokens > 0 ? coded / tokens : 0;
}

sphkv_status dl_cache_read(const dl_cache *c, uint32_t layer, uint32_t list, double *k, double *v,
                           uint32_t *tokens, sphkv_error *err)
{
    const dl_layer *l = &c->layer[layer];
    const size_t d = c->setup.head_dim;
    const uint8_t *book = NULL;
    size_t stride = 0;
    sphkv_status st = SPHKV_OK;
    if (l->book)
        book = sphkv_codebook_data(l->book, &stride, NULL);
    if (book)
        book += list % c->setup.kv_heads * stride;
    *tokens = 0;
    for (uint32_t r = 0; st == SPHKV_OK && r < l->list[list].count; r++) {
        const uint64_t ref = l->list[list].refs[r];
        const uint32_t n = sphkv_ref_tokens(ref), tier = sphkv_ref_tier(ref);
        const uint8_t *page = l->arena + (size_t)sphkv_ref_unit(ref) * SPHKV_UNIT_BYTES;
        st = sphkv_page_read(&c->attn_spec, tier, page, n, book, k + *tokens * d, v + *tokens * d, err);
        if (st == SPHKV_OK)
            turn_keys(c, page, &c->tier[tier].info, n, k + *tokens * d);
        *tokens += n;
    }
    return st;
}

static sphkv_status list_equal(const dl_cache *a, const dl_cache *b, uint32_t layer, uint32_t list,
                               sphkv_error *err)
{
    const dl_layer *la = &a->layer[layer], *lb = &b->layer[layer];
    const dl_list *x = &la->list[list], *y = &lb->list[list];
    if (x->count != y->count)
        return dl_fail(err, SPHKV_EVERIFY, "layer %u, list %u: %u pages against %u", layer, list,
                       x->count, y->count);
    for (uint32_t r = 0; r < x->count; r++) {
        const uint32_t tier = sphkv_ref_tier(x->refs[r]);
        const uint8_t *p = la->arena + (size_t)sphkv_ref_unit(x->refs[r]) * SPHKV_UNIT_BYTES;
        const uint8_t *q = lb->arena + (size_t)sphkv_ref_unit(y->refs[r]) * SPHKV_UNIT_BYTES;
        const size_t bytes = (size_t)a->tier[tier].info.units * SPHKV_UNIT_BYTES;
        if (x->refs[r] >> 32 != y->refs[r] >> 32)
            return dl_fail(err, SPHKV_EVERIFY, "layer %u, list %u, page %u: another tier or count",
                           layer, list, r);
        for (size_t i = 0; i < bytes; i++)
            if (p[i] != q[i])
                return dl_fail(err, SPHKV_EVERIFY,
                               "layer %u, list %u, page %u (%s, %u tokens): byte %zu is %02x "
                               "against %02x", layer, list, r, a->tier[tier].text,
                               sphkv_ref_tokens(x->refs[r]), i, p[i], q[i]);
    }
    return SPHKV_OK;
}

sphkv_status dl_cache_equal(const dl_cache *a, const dl_cache *b, sphkv_error *err)
{
    sphkv_status st = SPHKV_OK;
    if (a->lists != b->lists || a->setup.layers != b->setup.layers)
        return dl_fail(err, SPHKV_EVERIFY, "caches of different shapes");
    for (uint32_t i = 0; st == SPHKV_OK && i < a->setup.layers; i++)
        for (uint32_t j = 0; st == SPHKV_OK && j < a->lists; j++)
            st = list_equal(a, b, i, j, err);
    return st;
}
