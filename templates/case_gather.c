/* case_gather.c - inputs of page_gather, and their judgement: every byte of the
 * destination's arena is what a plain copy would leave there. Both arenas start
 * as random bytes, so that a byte too many or too few shows wherever it falls.
 * Sources and destinations lie in one arena or in two, in a shuffled order with
 * nothing between them; some items share a source. */
#include <string.h>

#include "case_impl.h"

static void fill_noise(sk_case_buffer *b, sk_rng *rng)
{
    for (size_t i = 0; i < b->bytes; i += 8) {
        const uint64_t noise = sk_rng_u64(rng);
        memcpy(b->data + i, &noise, 8);
    }
}

static void fill_items(sk_case *c, uint32_t subs)
{
    const sk_case_state *s = sk_case_state_of(c);
    const uint32_t n = c->p.shape.batch;
    sphkv_gather_item *items =
        (sphkv_gather_item *)(void *)s->copy[0].buf[SK_BUF_LIST].data;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t tier = s->page[i].tier, like = c->p.spec.ntiers;
        const bool shared = c->p.input == SK_IN_EDGE && i % 3 == 2 && i >= like &&
                            s->page[i - like].tier == tier;
        items[i] = (sphkv_gather_item){.src_unit = s->page[shared ? i - like : i].unit,
                                       .dst_unit = s->page[n + i].unit,
                                       .tier_slot = tier,
                                       .sub_pages = subs == 1 ? i % 2 : subs}; /* 0 is 1 */
        c->write_bytes += (size_t)s->at[tier].units * subs * SPHKV_UNIT_BYTES;
    }
    c->read_bytes = c->write_bytes;
}

static sk_status gather_make(sk_case *c, sk_err *err)
{
    sk_case_state *s = sk_case_state_of(c);
    const uint32_t n = c->p.shape.batch, subs = c->p.lists_per_seq == 1 ? s->kv_heads : 1;
    const bool one_arena = c->p.input == SK_IN_EDGE || c->p.input == SK_IN_CANCEL;
    sk_case_buffer *b = s->copy[0].buf;
    uint64_t src = 0, dst = 0;
    sk_rng rng;
    sk_rng_seed(&rng, c->p.seed * SK_INPUT_COUNT + c->p.input);
    s->pages = 2 * (size_t)n;
    s->page = sk_calloc(s->pages, sizeof *s->page);
    if (!s->page) return sk_fail(err, SPHKV_ENOMEM, "no memory for pages");
    for (uint32_t i = 0; i < n; i++) s->page[i].tier = s->page[n + i].tier = sk_case_item_tier(&c->p, i);
    sk_status st =
        sk_case_place(s->page, one_arena ? s->pages : n, s->at, subs, &rng, &src, err);
    if (st == SPHKV_OK && !one_arena)
        st = sk_case_place(s->page + n, n, s->at, subs, &rng, &dst, err);
    if (st == SPHKV_OK) st = sk_case_memory_check(2 * (src + dst) * SPHKV_UNIT_BYTES, err);
    if (st == SPHKV_OK) st = sk_case_buffer_make(&b[SK_BUF_ARENA], src * SPHKV_UNIT_BYTES, err);
    if (st == SPHKV_OK && dst)
        st = sk_case_buffer_make(&b[SK_BUF_DST], dst * SPHKV_UNIT_BYTES, err);
    if (st == SPHKV_OK)
        st = sk_case_buffer_make(&b[SK_BUF_LIST], n * sizeof(sphkv_gather_item), err);
    if (st != SPHKV_OK) return st;
    fill_noise(&b[SK_BUF_ARENA], &rng);
    if (dst) fill_noise(&b[SK_BUF_DST], &rng);
    fill_items(c, subs);
    return sk_case_remember(c, err);
}

static void gather_args(sk_case *c, uint32_t copy)
{
    const sk_case_buffer *b = sk_case_state_of(c)->copy[copy].buf;
    const sk_case_buffer *dst = &b[sk_case_written(c)];
    c->args.gather[copy] = (sphkv_gather_args){
        .size = sizeof(sphkv_gather_args),
        .items_count = c->p.shape.batch,
        .items = (const sphkv_gather_item *)(const void *)b[SK_BUF_LIST].data,
        .src_arena = b[SK_BUF_ARENA].data,
        .src_arena_bytes = b[SK_BUF_ARENA].bytes,
        .dst_arena = dst->data,
        .dst_arena_bytes = dst->bytes,
    };
}

static sk_status gather_judge(const sk_case *c, uint32_t copy, double *error, double *bound,
                              sk_err *err)
{
    const sk_case_state *s = sk_case_state_of(c);
    const sphkv_gather_args *a = &c->args.gather[copy];
    const uint8_t *got = a->dst_arena;
    const uint8_t *src = a->src_arena == a->dst_arena ? s->before : a->src_arena;
    uint8_t *want = sk_malloc(a->dst_arena_bytes);
    *bound = 0;
    if (!want) return sk_fail(err, SPHKV_ENOMEM, "no memory to judge");
    memcpy(want, s->before, a->dst_arena_bytes);
    for (uint32_t i = 0; i < a->items_count; i++) {
        const sphkv_gather_item *it = &a->items[i];
        const size_t units = (size_t)s->at[it->tier_slot].units * (it->sub_pages ? it->sub_pages : 1);
        memcpy(want + (size_t)it->dst_unit * SPHKV_UNIT_BYTES,
               src + (size_t)it->src_unit * SPHKV_UNIT_BYTES, units * SPHKV_UNIT_BYTES);
    }
    size_t at = 0;
    while (at < a->dst_arena_bytes && want[at] == got[at]) at++;
    *error = at < a->dst_arena_bytes;
    sk_status st = SPHKV_OK;
    if (at < a->dst_arena_bytes)
        st = sk_fail(err, SPHKV_EVERIFY, "page_gather: byte %zu of unit %zu is %#x, not %#x",
                     at % SPHKV_UNIT_BYTES, at / SPHKV_UNIT_BYTES, got[at], want[at]);
    sk_free(want);
    return st;
}

/* Every input, with pages of one and of several sub-pages. */
static bool gather_check(const sk_spec *spec, uint32_t i, sk_case_params *params)
{
    if (!sk_case_check_items(spec, i / 2, params)) return false;
    params->lists_per_seq = i % 2 ? 1 : SK_CHECK_HEADS;
    return true;
}

const sk_case_kind sk_case_page_gather = {
    .make = gather_make,
    .args = gather_args,
    .judge = gather_judge,
    .check = gather_check,
    .bound = sk_case_bound_exact,
};
