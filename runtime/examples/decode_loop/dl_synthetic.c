/* dl_synthetic.c - generated keys, values and queries: how fast the attention
 * part of a step is, and whether it is right. Rows depend on seed, layer,
 * sequence and position only, so that a prefill and single steps see the same
 * ones. Such keys say nothing of a tier's fidelity: that is what --weights is
 * for. */
#include "dl_options.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct rows_job {
    const dl_cache *c;
    uint64_t seed;
    uint32_t layer, first, count;
    float *k, *v; /* [batch][count][kv_heads][head_dim] */
} rows_job;

static sphkv_status rows_part(void *arg, uint32_t part, uint32_t parts)
{
    const rows_job *j = arg;
    const size_t n = (size_t)j->c->setup.kv_heads * j->c->setup.head_dim;
    for (uint32_t r = part; r < j->c->batch * j->count; r += parts) {
        const uint32_t seq = r / j->count, at = j->first + r % j->count;
        const uint64_t key = dl_key(j->seed, j->layer, seq, at);
        dl_normal(dl_key(key, 1, 0, 0), 1, n, j->k + r * n);
        dl_normal(dl_key(key, 2, 0, 0), 1, n, j->v + r * n);
    }
    return SPHKV_OK;
}

void dl_synthetic_rows(const dl_cache *c, uint64_t seed, uint32_t layer, uint32_t first,
                       uint32_t count, float *k, float *v)
{
    rows_job job = {c, seed, layer, first, count, k, v};
    dl_team_run(c->team, rows_part, &job);
}

/* Logits of standard deviation 1, 2, 3, 4, by query head. */
void dl_synthetic_query(const dl_cache *c, uint64_t seed, uint32_t layer, uint32_t at, float *q)
{
    const size_t d = c->setup.head_dim, heads = c->setup.heads;
    for (size_t i = 0; i < c->batch * heads; i++)
        dl_normal(dl_key(seed ^ 0x71, layer, at, i), (float)(i % heads % 4 + 1), d, q + i * d);
}

void dl_tell_plans(const dl_cache *c, cJSON *json)
{
    cJSON *list = json ? cJSON_AddArrayToObject(json, "plans") : NULL;
    for (uint32_t i = 0; i < c->ntiers + 1; i++) {
        const sphkv_plan *plan = i == 0 ? c->attn : i == 1 ? c->append : c->tier[i - 2].encode;
        if (json)
            cJSON_AddItemToArray(list, cJSON_CreateString(sphkv_plan_describe(plan)));
        else
            printf("plan: %s\n", sphkv_plan_describe(plan));
    }
}

/* ---- the loop ------------------------------------------------------------ */

typedef struct loop {
    const dl_options *o;
    dl_cache *c;
    float *k, *v, *q, *out;
    double prefill_append, prefill_encode; /* seconds */
    double *attend;                        /* [steps] seconds of each step's attention */
    dl_error error;
    uint32_t checked; /* steps */
} loop;

static sphkv_status loop_open(loop *l, sphkv_error *err)
{
    const dl_setup *s = &l->o->setup;
    const size_t rows = (size_t)s->batch * s->page * s->kv_heads * s->head_dim;
    const size_t heads = (size_t)s->batch * s->heads * s->head_dim;
    sphkv_status st = SPHKV_OK;
    dl_new(&l->k, rows, sizeof *l->k, &st, err);
    dl_new(&l->v, rows, sizeof *l->v, &st, err);
    dl_new(&l->q, heads, sizeof *l->q, &st, err);
    dl_new(&l->out, heads, sizeof *l->out, &st, err);
    dl_new(&l->attend, l->o->steps, sizeof *l->attend, &st, err);
    return st;
}

static void loop_close(loop *l)
{
    free(l->k);
    free(l->v);
    free(l->q);
    free(l->out);
    free(l->attend);
}

static sphkv_status prefill(loop *l, sphkv_error *err)
{
    dl_cache *c = l->c;
    sphkv_status st = SPHKV_OK;
    for (uint32_t i = 0; i < c->setup.layers; i++)
        for (uint32_t at = 0, n; st == SPHKV_OK && at < l->o->prefill; at += n) {
            n = l->o->prefill - at < c->setup.page ? l->o->prefill - at : c->setup.page;
            dl_synthetic_rows(c, l->o->seed, i, at, n, l->k, l->v);
            st = dl_cache_append(c, i, l->k, l->v, n, err);
        }
    l->prefill_append = c->clock.append;
    l->prefill_encode = c->clock.encode;
    c->clock = (dl_clock){0};
    return st;
}

static sphkv_status step(loop *l, uint32_t at, bool check, sphkv_error *err)
{
    dl_cache *c = l->c;
    const double before = c->clock.attend;
    sphkv_status st = SPHKV_OK;
    for (uint32_t i = 0; st == SPHKV_OK && i < c->setup.layers; i++) {
        dl_synthetic_rows(c, l->o->seed, i, at, 1, l->k, l->v);
        dl_synthetic_query(c, l->o->seed, i, at, l->q);
        st = dl_cache_append(c, i, l->k, l->v, 1, err);
        if (st == SPHKV_OK)
            st = dl_cache_attend(c, i, l->q, l->out, err);
        if (st == SPHKV_OK && check)
            st = dl_check(c, i, l->q, l->out, &l->error, err);
    }
    l->attend[at - l->o->prefill] = c->clock.attend - before;
    l->checked += check;
    return st;
}

/* ---- what came out -------------------------------------------------------- */

typedef struct figures {
    double tokens;               /* of all steps and sequences */
    double attend_us;            /* per token, all layers: the median step */
    double mean_us;              /* the same over all steps */
    double grow_us;              /* appending and coding, over all steps */
    double bytes, coded;         /* per token-head, share */
    double rms, bound;
} figures;

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static figures figures_of(const loop *l)
{
    const dl_clock *t = &l->c->clock;
    figures f = {.tokens = (double)l->o->steps * l->c->batch};
    qsort(l->attend, l->o->steps, sizeof *l->attend, by_size);
    f.attend_us = 1e6 * l->attend[l->o->steps / 2] / l->c->batch;
    f.mean_us = 1e6 * t->attend / f.tokens;
    f.grow_us = 1e6 * (t->append + t->encode) / f.tokens;
    f.rms = dl_error_rms(&l->error);
    f.bound = dl_accuracy_bound(l->o->setup.accuracy);
    dl_cache_weigh(l->c, &f.bytes, &f.coded);
    return f;
}

static void tell_text(const loop *l, const figures *f)
{
    const dl_setup *s = &l->c->setup;
    printf("%u layers, %u query and %u KV heads of %u, %s, pages of %u, %u sequence%s, %u tokens "
           "and %u steps, %u threads\n",
           s->layers, s->heads, s->kv_heads, s->head_dim, s->tiers, s->page, s->batch,
           s->batch == 1 ? "" : "s", l->o->prefill, l->o->steps, dl_team_size(l->c->team));
    dl_tell_plans(l->c, NULL);
    printf("cache: %.1f bytes per token and KV head with page padding, %.1f %% of tokens coded\n",
           f->bytes, 100 * f->coded);
    printf("attention: %.0f tokens/s of this part alone, %.1f us a token, %.2f us a token and "
           "layer (median step; mean %.1f us)\n", 1e6 / f->attend_us, f->attend_us,
           f->attend_us / s->layers, f->mean_us);
    printf("append and encode: %.1f us a token, %.2f us a token and layer; prefill %.3f s + %.3f "
           "s\n", f->grow_us, f->grow_us / s->layers, l->prefill_append, l->prefill_encode);
    if (l->checked)
        printf("check: %u steps, %llu rows, rms error %.3g, largest %.3g; class %s allows %.0e: "
               "%s\n", l->checked, (unsigned long long)l->error.rows, f->rms, l->error.worst,
               dl_accuracy_name(s->accuracy), f->bound, f->rms <= f->bound ? "ok" : "FAILED");
    else
        printf("check: none\n");
}

static void tell_json(const loop *l, const figures *f, cJSON *json)
{
    const dl_setup *s = &l->c->setup;
    cJSON_AddStringToObject(json, "tiers", s->tiers);
    cJSON_AddNumberToObject(json, "layers", s->layers);
    cJSON_AddNumberToObject(json, "heads", s->heads);
    cJSON_AddNumberToObject(json, "kv_heads", s->kv_heads);
    cJSON_AddNumberToObject(json, "head_dim", s->head_dim);
    cJSON_AddNumberToObject(json, "page", s->page);
    cJSON_AddNumberToObject(json, "batch", s->batch);
    cJSON_AddNumberToObject(json, "context", l->o->prefill);
    cJSON_AddNumberToObject(json, "steps", l->o->steps);
    cJSON_AddNumberToObject(json, "threads", dl_team_size(l->c->team));
    dl_tell_plans(l->c, json);
    cJSON_AddNumberToObject(json, "bytes_per_token_head", f->bytes);
    cJSON_AddNumberToObject(json, "coded_share", f->coded);
    cJSON_AddNumberToObject(json, "attend_us_per_token", f->attend_us);
    cJSON_AddNumberToObject(json, "attend_us_per_token_mean", f->mean_us);
    cJSON_AddNumberToObject(json, "attend_tokens_per_s", 1e6 / f->attend_us);
    cJSON_AddNumberToObject(json, "grow_us_per_token", f->grow_us);
    cJSON_AddNumberToObject(json, "prefill_append_s", l->prefill_append);
    cJSON_AddNumberToObject(json, "prefill_encode_s", l->prefill_encode);
    cJSON_AddNumberToObject(json, "checked_steps", l->checked);
    cJSON_AddStringToObject(json, "accuracy", dl_accuracy_name(s->accuracy));
    cJSON_AddNumberToObject(json, "error_bound", f->bound);
    if (l->checked) {
        cJSON_AddNumberToObject(json, "error_rms", f->rms);
        cJSON_AddNumberToObject(json, "error_largest", l->error.worst);
    }
}

sphkv_status dl_synthetic(const dl_options *o, dl_team *team, cJSON *json, sphkv_error *err)
{
    dl_cache c;
    loop l = {.o = o, .c = &c};
    sphkv_status st = dl_cache_open(&o->setup, team, &c, err);
    if (st == SPHKV_OK)
        st = dl_books_default(&c, o->seed, err);
    if (st == SPHKV_OK)
        st = loop_open(&l, err);
    if (st == SPHKV_OK)
        st = prefill(&l, err);
    for (uint32_t i = 0; st == SPHKV_OK && i < o->steps; i++)
        st = step(&l, o->prefill + i, o->check && (i + 1) % o->check == 0, err);
    if (st == SPHKV_OK) {
        const figures f = figures_of(&l);
        if (json)
            tell_json(&l, &f, json);
        else
            tell_text(&l, &f);
        if (!(f.rms <= f.bound))
            st = dl_fail(err, SPHKV_EVERIFY, "rms error %.3g is over %.0e, class %s", f.rms,
                         f.bound, dl_accuracy_name(o->setup.accuracy));
    }
    loop_close(&l);
    dl_cache_close(&c);
    return st;
}
