/* dl_cache_step.c - growing and attending: the hot part of the cache. Tables
 * are rebuilt for every call: a copy of a few references per list. */
#include "dl_cache.h"

#include <string.h>

/* One call of sphkv_run by all threads. */
typedef struct launch {
    const sphkv_plan *plan;
    const void *args;
} launch;

static sphkv_status launch_part(void *arg, uint32_t part, uint32_t parts)
{
    const launch *l = arg;
    return sphkv_run(l->plan, l->args, part, parts);
}

static sphkv_status launch_all(dl_cache *c, const char *what, const sphkv_plan *plan,
                               const void *args, double *seconds, sphkv_error *err)
{
    launch job = {plan, args};
    const double start = dl_seconds();
    const sphkv_status st = dl_team_run(c->team, launch_part, &job);
    *seconds += dl_seconds() - start;
    return st == SPHKV_OK ? st : dl_fail(err, st, "%s: %s", what, sphkv_status_text(st));
}

/* ---- pages --------------------------------------------------------------- */

/* A zeroed page. Only tail pages come back, so only they are kept as spares. */
static uint32_t page_take(const dl_cache *c, dl_layer *l, uint32_t tier)
{
    const uint32_t units = c->tier[tier].info.units;
    uint32_t unit;
    if (tier == c->ntiers - 1 && l->spares > 0) {
        unit = l->spare[--l->spares];
        memset(l->arena + (size_t)unit * SPHKV_UNIT_BYTES, 0, (size_t)units * SPHKV_UNIT_BYTES);
    } else {
        unit = l->next_unit;
        l->next_unit += units;
    }
    return unit;
}

/* Behind the last page of its tier or a lower one: lists are sorted. */
static void list_insert(dl_list *list, uint64_t ref)
{
    uint32_t at = list->count;
    while (at > 0 && sphkv_ref_tier(list->refs[at - 1]) > sphkv_ref_tier(ref)) {
        list->refs[at] = list->refs[at - 1];
        at--;
    }
    list->refs[at] = ref;
    list->count++;
}

/* ---- growing ------------------------------------------------------------- */

/* Rows done .. done+n-1 of the call behind `slot` tokens of each tail page. */
static sphkv_status append_rows(dl_cache *c, dl_layer *l, const float *k, const float *v,
                                uint32_t count, uint32_t done, uint32_t n, sphkv_error *err)
{
    const uint32_t slot = l->tokens % c->setup.page, tail = c->ntiers - 1;
    for (uint32_t i = 0; i < c->lists; i++) {
        dl_list *list = &l->list[i];
        if (slot == 0)
            list_insert(list, sphkv_page_ref(page_take(c, l, tail), 0, tail));
        uint64_t *ref = &list->refs[list->count - 1];
        *ref = sphkv_page_ref(sphkv_ref_unit(*ref), slot + n, tail);
        c->append_item[i] = (sphkv_append_item){
            .unit = sphkv_ref_unit(*ref),
            .slot = slot,
            .count = n,
            .row = i / c->setup.kv_heads * count + done,
            .kv_head = i % c->setup.kv_heads,
        };
    }
    const size_t bytes = sphkv_plan_workspace(c->append);
    const sphkv_append_args args = {.size = sizeof args, .items_count = c->lists,
                                    .items = c->append_item, .k = k, .v = v, .arena = l->arena,
                                    .arena_bytes = c->arena_bytes, .workspace = c->append_space,
                                    .workspace_bytes = bytes, .positions = c->positions};
    sphkv_status st = launch_all(c, "kv_append", c->append, &args, &c->clock.append, err);
    l->tokens += n;
    return st;
}

/* Every tail page is full: each becomes a page of the tier whose turn it is. */
static sphkv_status encode_tails(dl_cache *c, dl_layer *l, sphkv_error *err)
{
    const uint32_t page = c->setup.page, tail = c->ntiers - 1;
    const uint32_t tier = (l->tokens / page - 1) % tail;
    dl_tier *t = &c->tier[tier];
    sphkv_encode_args args = {.size = sizeof args, .items_count = c->lists,
                              .items = c->encode_item, .src_arena = l->arena,
                              .src_arena_bytes = c->arena_bytes, .dst_arena = l->arena,
                              .dst_arena_bytes = c->arena_bytes, .workspace = t->workspace,
                              .workspace_bytes = sphkv_plan_workspace(t->encode)};
    const sphkv_codebook *book = l->tier_book[tier] ? l->tier_book[tier] : l->book;
    if (book)
        args.codebook = sphkv_codebook_data(book, NULL, &args.codebook_bytes);
    for (uint32_t i = 0; i < c->lists; i++) {
        dl_list *list = &l->list[i];
        c->encode_item[i] = (sphkv_encode_item){
            .src_unit = sphkv_ref_unit(list->refs[list->count - 1]),
            .dst_unit = page_take(c, l, tier),
            .count = page,
            .kv_head = i % c->setup.kv_heads,
        };
    }
    sphkv_status st = launch_all(c, "kv_encode", t->encode, &args, &c->clock.encode, err);
    for (uint32_t i = 0; st == SPHKV_OK && i < c->lists; i++) {
        dl_list *list = &l->list[i];
        list->count--;
        l->spare[l->spares++] = c->encode_item[i].src_unit;
        list_insert(list, sphkv_page_ref(c->encode_item[i].dst_unit, page, tier));
    }
    return st;
}

sphkv_status dl_cache_append(dl_cache *c, uint32_t layer, const float *k, const float *v,
                             uint32_t count, sphkv_error *err)
{
    dl_layer *l = &c->layer[layer];
    sphkv_status st = SPHKV_OK;
    if (count > c->setup.context - l->tokens)
        return dl_fail(err, SPHKV_EINVAL, "%u tokens after %u: the cache is for %u", count,
                       l->tokens, c->setup.context);
    for (uint32_t row = 0; c->before_rope && row < c->batch * count; row++)
        c->positions[row] = l->tokens + row % count;
    for (uint32_t done = 0, n; st == SPHKV_OK && done < count; done += n) {
        const uint32_t room = c->setup.page - l->tokens % c->setup.page;
        n = count - done < room ? count - done : room;
        st = append_rows(c, l, k, v, count, done, n, err);
        if (st == SPHKV_OK && n == room && c->ntiers > 1)
            st = encode_tails(c, l, err);
    }
    return st;
}

/* ---- attending ----------------------------------------------------------- */

static void build_table(dl_cache *c, const dl_layer *l)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->lists; i++) {
        c->indptr[i] = n;
        memcpy(c->refs + n, l->list[i].refs, l->list[i].count * sizeof *c->refs);
        n += l->list[i].count;
    }
    c->indptr[c->lists] = n;
}

sphkv_status dl_cache_attend(dl_cache *c, uint32_t layer, const float *q, float *out,
                             sphkv_error *err)
{
    const dl_layer *l = &c->layer[layer];
    build_table(c, l);
    sphkv_attn_args args = {
        .size = sizeof args,
        .batch = c->batch,
        .q = q,
        .out = out,
        .arena = l->arena,
        .arena_bytes = c->arena_bytes,
        .table = {c->indptr, c->refs, c->lists, c->setup.kv_heads},
        .workspace = c->attn_space,
        .workspace_bytes = sphkv_plan_workspace(c->attn),
    };
    if (l->book)
        args.codebook = sphkv_codebook_data(l->book, NULL, &args.codebook_bytes);
    if (c->before_rope)
        args.rope = (sphkv_rope){.table = c->rotations, .positions = c->setup.context};
    return launch_all(c, "attn_decode", c->attn, &args, &c->clock.attend, err);
}
