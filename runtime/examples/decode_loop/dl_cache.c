/* dl_cache.c - opening: specs, plans, arenas. All that may be slow or fail for
 * want of a kernel happens here; a step is in dl_cache_step.c. */
#include "dl_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dl_rope.h"

static void log_line(void *user, const char *line)
{
    (void)user;
    fprintf(stderr, "%s\n", line);
}

static sphkv_spec_params spec_of(const dl_setup *s, uint32_t kernel, const char *tiers)
{
    return (sphkv_spec_params){.size = sizeof(sphkv_spec_params), .kernel = kernel,
                               .head_dim = s->head_dim, .heads_per_kv = s->heads / s->kv_heads,
                               .page_tokens = s->page, .tiers = tiers, .accuracy = s->accuracy,
                               .book = s->book};
}

/* Cuts the mix at its commas. What a tier may be, the library says. */
static sphkv_status split_mix(dl_cache *c, sphkv_error *err)
{
    const char *at = c->setup.tiers;
    for (;;) {
        size_t n = strcspn(at, ",");
        if (c->ntiers == SPHKV_MAX_TIERS)
            return dl_fail(err, SPHKV_EINVAL, "mix '%.200s': more than %u tiers", c->setup.tiers,
                           SPHKV_MAX_TIERS);
        dl_tier *t = &c->tier[c->ntiers++];
        if (n == 0 || n >= sizeof t->text)
            return dl_fail(err, SPHKV_EINVAL, "mix '%.200s': a tier of %zu characters",
                           c->setup.tiers, n);
        memcpy(t->text, at, n);
        if (at[n] == 0)
            return SPHKV_OK;
        at += n + 1;
    }
}

static dl_tier *tail_of(dl_cache *c) { return &c->tier[c->ntiers - 1]; }

static sphkv_status check_tail(dl_cache *c, sphkv_error *err)
{
    sphkv_error why = {0};
    sphkv_spec_params spec = spec_of(&c->setup, SPHKV_KV_APPEND, tail_of(c)->text);
    sphkv_status st = sphkv_supported(c->ctx, &spec, &why);
    if (st == SPHKV_OK)
        return st;
    return dl_fail(err, st, "mix '%.150s': its last tier must be one that new tokens go to: %.300s",
                   c->setup.tiers, why.message);
}

/* One of the plans, its workspace, and room for its error with its name. */
static sphkv_status make_plan(dl_cache *c, const char *what, const sphkv_spec_params *spec,
                              sphkv_plan **plan, void **space, sphkv_error *err)
{
    const dl_setup *s = &c->setup;
    sphkv_error why = {0};
    const bool attn = spec->kernel == SPHKV_ATTN_DECODE;
    const sphkv_maxima most = {
        .size = sizeof most,
        .batch = attn ? s->batch : s->batch * s->kv_heads,
        .kv_heads = s->kv_heads,
        .pages_per_list = c->pages_per_list,
        .parts = dl_team_size(c->team),
        .context = s->context,
    };
    sphkv_status st = sphkv_plan_create(c->ctx, spec, &most, plan, &why);
    if (st != SPHKV_OK)
        return dl_fail(err, st, "%s: %.450s", what, why.message);
    *space = dl_workspace(sphkv_plan_workspace(*plan));
    return *space ? SPHKV_OK : dl_fail(err, SPHKV_ENOMEM, "%s: out of memory", what);
}

static sphkv_status make_plans(dl_cache *c, sphkv_error *err)
{
    const sphkv_spec_params append = spec_of(&c->setup, SPHKV_KV_APPEND, tail_of(c)->text);
    sphkv_status st = make_plan(c, "attn_decode", &c->attn_spec, &c->attn, &c->attn_space, err);
    if (st == SPHKV_OK)
        st = make_plan(c, "kv_append", &append, &c->append, &c->append_space, err);
    for (uint32_t i = 0; st == SPHKV_OK && i + 1 < c->ntiers; i++) {
        dl_tier *t = &c->tier[i];
        const size_t n = strlen(t->text);
        memcpy(t->pair, t->text, n);
        t->pair[n] = ',';
        memcpy(t->pair + n + 1, append.tiers, strlen(append.tiers) + 1);
        t->spec = spec_of(&c->setup, SPHKV_KV_ENCODE, t->pair);
        st = make_plan(c, "kv_encode", &t->spec, &t->encode, &t->workspace, err);
    }
    return st;
}

/* Bytes that hold the longest lists, whatever page comes when. */
static sphkv_status size_arena(dl_cache *c, sphkv_error *err)
{
    const uint32_t tail = c->ntiers - 1;
    uint64_t units = 0;
    sphkv_status st = SPHKV_OK;
    for (uint32_t i = 0; st == SPHKV_OK && i < c->ntiers; i++) {
        c->tier[i].info.size = sizeof c->tier[i].info;
        st = sphkv_page_info_get(&c->attn_spec, i, &c->tier[i].info, err);
    }
    for (uint32_t p = 0; p < c->pages_per_list; p++)
        units += c->tier[tail > 0 ? p % tail : 0].info.units;
    units = (units + c->tier[tail].info.units) * c->setup.batch * c->setup.kv_heads;
    if (st == SPHKV_OK && units > UINT32_MAX)
        return dl_fail(err, SPHKV_EINVAL, "a layer would need %llu units: fewer tokens, please",
                       (unsigned long long)units);
    c->arena_bytes = (size_t)units * SPHKV_UNIT_BYTES;
    return st;
}

/* Pages of the tail that have positions are those of keys before RoPE. */
static sphkv_status make_rope(dl_cache *c, sphkv_error *err)
{
    const dl_setup *s = &c->setup;
    sphkv_status st = SPHKV_OK;
    c->before_rope = tail_of(c)->info.positions > 0;
    if (!c->before_rope)
        return st;
    dl_new(&c->positions, (size_t)s->batch * s->context, sizeof *c->positions, &st, err);
    if (st == SPHKV_OK)
        st = dl_rope_make(s->context, s->head_dim, s->theta > 0 ? s->theta : 10000, &c->rotations, err);
    return st;
}

static sphkv_status make_layer(dl_cache *c, dl_layer *l, sphkv_error *err)
{
    const uint32_t lists = c->setup.batch * c->setup.kv_heads;
    sphkv_status st = SPHKV_OK;
    uint64_t *refs = NULL;
    dl_new(&l->spare, lists, sizeof *l->spare, &st, err);
    dl_new(&l->list, lists, sizeof *l->list, &st, err);
    if (dl_new(&refs, (size_t)lists * c->pages_per_list, sizeof *refs, &st, err))
        for (uint32_t i = 0; i < lists; i++)
            l->list[i].refs = refs + (size_t)i * c->pages_per_list;
    l->arena = dl_pages_map(c->arena_bytes);
    if (st == SPHKV_OK && !l->arena)
        st = dl_fail(err, SPHKV_ENOMEM, "out of memory for an arena of %zu bytes", c->arena_bytes);
    return st;
}

static sphkv_status make_layers(dl_cache *c, sphkv_error *err)
{
    const uint32_t lists = c->setup.batch * c->setup.kv_heads;
    sphkv_status st = SPHKV_OK;
    dl_new(&c->indptr, (size_t)lists + 1, sizeof *c->indptr, &st, err);
    dl_new(&c->refs, (size_t)lists * c->pages_per_list, sizeof *c->refs, &st, err);
    dl_new(&c->append_item, lists, sizeof *c->append_item, &st, err);
    dl_new(&c->encode_item, lists, sizeof *c->encode_item, &st, err);
    dl_new(&c->layer, c->setup.layers, sizeof *c->layer, &st, err);
    for (uint32_t i = 0; st == SPHKV_OK && i < c->setup.layers; i++)
        st = make_layer(c, &c->layer[i], err);
    return st;
}

sphkv_status dl_cache_open(const dl_setup *setup, dl_team *team, dl_cache *c, sphkv_error *err)
{
    memset(c, 0, sizeof *c);
    c->setup = *setup;
    c->team = team;
    c->pages_per_list = (setup->context + setup->page - 1) / setup->page + 1;
    c->attn_spec = spec_of(setup, SPHKV_ATTN_DECODE, setup->tiers);
    const sphkv_open_params open = {.size = sizeof open,
                                    .flags = setup->no_jit ? SPHKV_OPEN_NO_JIT : 0,
                                    .db_path = setup->db,
                                    .log = setup->verbose ? log_line : NULL};
    sphkv_status st = split_mix(c, err);
    if (st == SPHKV_OK)
        st = sphkv_open(&open, &c->ctx, err);
    if (st == SPHKV_OK)
        st = check_tail(c, err);
    if (st == SPHKV_OK)
        st = make_plans(c, err);
    if (st == SPHKV_OK)
        st = size_arena(c, err);
    if (st == SPHKV_OK)
        st = make_rope(c, err);
    if (st == SPHKV_OK)
        st = make_layers(c, err);
    if (st == SPHKV_OK)
        dl_cache_reset(c, setup->batch);
    return st;
}

static void close_layer(const dl_cache *c, dl_layer *l)
{
    if (l->list)
        free(l->list[0].refs);
    free(l->list);
    free(l->spare);
    dl_pages_unmap(l->arena, c->arena_bytes);
    sphkv_codebook_free(l->book);
    for (uint32_t i = 0; i < SPHKV_MAX_TIERS; i++)
        sphkv_codebook_free(l->tier_book[i]);
}

void dl_cache_close(dl_cache *c)
{
    for (uint32_t i = 0; c->layer && i < c->setup.layers; i++)
        close_layer(c, &c->layer[i]);
    free(c->layer);
    free(c->indptr);
    free(c->refs);
    free(c->append_item);
    free(c->encode_item);
    free(c->rotations);
    free(c->positions);
    for (uint32_t i = 0; i < c->ntiers; i++) {
        sphkv_plan_destroy(c->tier[i].encode);
        free(c->tier[i].workspace);
    }
    sphkv_plan_destroy(c->attn);
    sphkv_plan_destroy(c->append);
    free(c->attn_space);
    free(c->append_space);
    sphkv_close(c->ctx);
    memset(c, 0, sizeof *c);
}

void dl_cache_reset(dl_cache *c, uint32_t batch)
{
    const uint32_t most = c->setup.batch * c->setup.kv_heads;
    c->batch = batch;
    c->lists = batch * c->setup.kv_heads;
    for (uint32_t i = 0; i < c->setup.layers; i++) {
        dl_layer *l = &c->layer[i];
        for (uint32_t j = 0; j < most; j++)
            l->list[j].count = 0;
        memset(l->arena, 0, (size_t)l->next_unit * SPHKV_UNIT_BYTES);
        l->next_unit = l->spares = l->tokens = 0;
    }
}
