/* bench_wish.c - see bench_wish.h. */
#include "bench_wish.h"

#include <stdio.h>
#include <string.h>

#include "command.h"

static bool same_shape(const sk_wish_item *item, const sk_shape *shape)
{
    return memcmp(&item->shape, shape, sizeof *shape) == 0;
}

static bool is_mix(const sk_wish_item *item, const char *text)
{
    sk_text mix = {0};
    sk_spec_mix_print(&item->spec, &mix);
    const bool is = !mix.failed && strcmp(mix.s, text) == 0;
    sk_text_free(&mix);
    return is;
}

static bool is_dense(const sk_wish_item *item) { return is_mix(item, SK_BENCH_DENSE); }

/* The kernel of an item, or why there is none; how it was found is said. */
static sk_status add_lane(const sk_bench_ask *ask, const sk_wish_item *item, sk_bench *b,
                          sk_err *err)
{
    sk_bench_lane *lane = &b->lane[b->lanes];
    sk_status st = sk_bench_pick(ask->set, ask->device, &item->spec, &b->shape, ask->schedule,
                                 lane, err);
    const bool ours = (ask->yardstick && is_dense(item)) || (ask->fp8 && is_mix(item, SK_BENCH_FP8));
    if (st == SPHKV_EINVAL && ours)
        st = sk_bench_pick(ask->set, ask->device, &item->spec, &b->shape, "default", lane, err);
    if (st != SPHKV_OK) return st;
    lane->dense = strcmp(lane->tiers, SK_BENCH_DENSE) == 0;
    if (lane->dense) b->dense = b->lanes;
    if (strcmp(lane->tiers, SK_BENCH_FP8) == 0 && ask->device->target.backend == SK_BACKEND_CUDA)
        b->fp8 = b->lanes;
    b->lanes++;
    if (strncmp(lane->how, "default", 7) == 0 && !ask->schedule && ask->program) {
        char line[400];
        snprintf(line, sizeof line, "%.150s: no winner in the database%.160s: its default schedule",
                 lane->tiers, lane->how + 7);
        sk_command_say(ask->program, line);
    }
    return SPHKV_OK;
}

/* Beside the best of the generated kernels the one that was written by hand, where
 * there is one and place for it. */
static sk_status add_ceiling(const sk_bench_ask *ask, const sk_wish_item *item, sk_bench *b,
                             double *left, sk_err *err)
{
    const double need = sk_bench_memory(&item->spec, &b->shape, ask->device);
    if (ask->schedule || b->lanes + 1 >= SK_BENCH_LANES || need > *left) return SPHKV_OK;
    sk_status st = sk_bench_pick_ceiling(ask->device, &item->spec, &b->shape, &b->lane[b->lanes], err);
    if (st == SPHKV_EUNSUPPORTED) return SPHKV_OK;
    if (st != SPHKV_OK) return st;
    *left -= need;
    b->lanes++;
    return SPHKV_OK;
}

/* Items of this shape from *at on become lanes, as many as fit in places and in
 * memory; dense f16 is always among them. *at: where the next group begins. */
static sk_status fill_lanes(const sk_bench_ask *ask, const sk_wish *wish, uint32_t *at, sk_bench *b,
                            sk_err *err)
{
    const sk_wish_item *dense = NULL;
    double left = sk_bench_memory_limit(ask->device);
    bool has_dense = false;
    sk_status st = SPHKV_OK;
    for (uint32_t i = 0; i < wish->n; i++)
        if (same_shape(&wish->item[i], &b->shape) && is_dense(&wish->item[i]))
            dense = &wish->item[i];
    if (dense) left -= sk_bench_memory(&dense->spec, &b->shape, ask->device);
    for (; *at < wish->n && st == SPHKV_OK; ++*at) {
        const sk_wish_item *item = &wish->item[*at];
        if (!same_shape(item, &b->shape)) continue;
        if (item != dense) {
            const double need = sk_bench_memory(&item->spec, &b->shape, ask->device);
            const bool full = b->lanes + (dense && !has_dense) == SK_BENCH_LANES;
            if (full || (need > left && b->lanes > (has_dense ? 1u : 0u))) break;
            left -= need;
        }
        has_dense = has_dense || item == dense;
        st = add_lane(ask, item, b, err);
        if (st == SPHKV_OK) st = add_ceiling(ask, item, b, &left, err);
    }
    return st == SPHKV_OK && dense && !has_dense ? add_lane(ask, dense, b, err) : st;
}

/* One group of lanes of a shape. */
static sk_status bench_group(const sk_bench_ask *ask, const sk_wish *wish, const sk_shape *shape,
                             bool local, uint32_t *at, sk_bench_report *report, bool *stopped,
                             sk_err *err)
{
    sk_bench_lane lane[SK_BENCH_LANES];
    sk_bench *b = sk_calloc(1, sizeof *b);
    if (!b) return sk_fail(err, SPHKV_ENOMEM, "no memory for a bench");
    memset(lane, 0, sizeof lane);
    b->shape = *shape;
    b->lane = lane;
    b->dense = b->fp8 = SK_NONE;
    b->device = ask->device;
    b->rounds = ask->rounds;
    b->repeat = ask->repeat;
    b->seed = ask->seed;
    b->cached = ask->cached;
    sk_status st = fill_lanes(ask, wish, at, b, err);
    if (st == SPHKV_OK) st = sk_bench_measure(b, ask->stop, stopped, err);
    if (st == SPHKV_OK) st = sk_report_add(report, b, local, err);
    for (uint32_t i = 0; i < SK_BENCH_LANES; i++) sk_bench_lane_free(&lane[i]);
    sk_free(b);
    return st;
}

/* Whether items from `at` on, dense f16 aside, are of this shape. */
static bool more_of(const sk_wish *wish, uint32_t at, const sk_shape *shape)
{
    for (uint32_t i = at; i < wish->n; i++)
        if (same_shape(&wish->item[i], shape) && !is_dense(&wish->item[i])) return true;
    return false;
}

static sk_status bench_shape(const sk_bench_ask *ask, const sk_wish *wish, uint32_t first,
                             bool local, sk_bench_report *report, bool *stopped, sk_err *err)
{
    const sk_shape shape = wish->item[first].shape;
    uint32_t at = first;
    if (ask->program) {
        char line[160];
        snprintf(line, sizeof line, "context %u batch %u threads %u%s", shape.context, shape.batch,
                 shape.threads, local ? ", layers that see a part" : "");
        sk_command_say(ask->program, line);
    }
    sk_status st = bench_group(ask, wish, &shape, local, &at, report, stopped, err);
    while (st == SPHKV_OK && more_of(wish, at, &shape))
        st = bench_group(ask, wish, &shape, local, &at, report, stopped, err);
    return st;
}

sk_status sk_bench_wish(const sk_bench_ask *ask, const sk_wish *wish, bool local,
                        sk_bench_report *report, bool *stopped, sk_err *err)
{
    sk_status st = SPHKV_OK;
    for (uint32_t i = 0; i < wish->n && st == SPHKV_OK; i++) {
        bool done = false;
        for (uint32_t k = 0; k < i; k++)
            done = done || same_shape(&wish->item[k], &wish->item[i].shape);
        if (!done) st = bench_shape(ask, wish, i, local, report, stopped, err);
    }
    return st;
}

sk_status sk_bench_local(const sk_bench_ask *ask, const sk_options *options, const sk_mixes *mixes,
                         sk_bench_report *report, bool *stopped, sk_err *err)
{
    sk_options o = *options;
    const sk_layers *l = &o.about.local;
    const sk_mixes ring = {.n = 1, .mix = {(char[]){SK_BENCH_DENSE}}};
    sk_wish wish = {0};
    o.head_dim = l->head_dim, o.value_dim = l->value_dim;
    o.kv_heads = l->kv_heads, o.heads_per_kv = o.about.heads / l->kv_heads;
    o.context.n = 0;
    for (uint32_t i = 0; i < options->context.n; i++) {
        const uint32_t said = options->context.v[i], seen = said < l->span ? said : l->span;
        bool known = false;
        for (uint32_t k = 0; k < o.context.n; k++) known = known || o.context.v[k] == seen;
        if (!known) o.context.v[o.context.n++] = seen;
    }
    sk_status st = sk_wish_make(&o, o.about.chunked ? mixes : &ring, SK_FOR(SPHKV_ATTN_DECODE),
                                &wish, err);
    if (st == SPHKV_OK) st = sk_bench_wish(ask, &wish, true, report, stopped, err);
    sk_wish_free(&wish);
    return st;
}
