/* dl_trained.c - what a tier costs a trained model: text is cut into windows,
 * every window is read byte by byte with the cache under test, and the nats of
 * each next byte are averaged. The first byte has nothing before it and is not
 * predicted; the one behind the window's last is.
 *
 * Windows to measure stand evenly over the text; codebooks are trained on keys
 * of windows evenly over what is left, collected with the dense cache kf32:vf32,
 * so that no measured byte has been seen: before RoPE, and turned for the tiers that
 * code keys after it. */
#include "dl_options.h"

#include "dl_llama.h"
#include "dl_rope.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIDE_BY_SIDE 8u /* sequences that run together */

/* A text and which of its windows are used; a window takes window + 1 bytes,
 * the last being the first of the next. */
typedef struct windows {
    char *text;
    uint32_t window, count;
    uint32_t *at; /* [count] first byte */
} windows;

/* What the keys of the training windows are collected into. */
typedef struct keys {
    float **of;         /* [layers][rows][kv_heads][head_dim] */
    uint32_t *position; /* [rows] */
    size_t rows, row_floats;
} keys;

typedef struct job {
    const dl_options *o;
    dl_team *team;
    cJSON *list; /* of mixes; NULL for text */
    dl_llama m;
    windows test, train;
    keys keys;
    double reference; /* nats per byte, NAN when not asked for */
} job;

/* ---- windows -------------------------------------------------------------------- */

static sphkv_status read_text(const char *path, uint32_t window, uint32_t need, char **text,
                              uint32_t *slots, sphkv_error *err)
{
    size_t bytes = 0;
    sphkv_status st = dl_file_read(path, (size_t)1 << 30, text, &bytes, err);
    if (st != SPHKV_OK)
        return st;
    *slots = bytes ? (uint32_t)((bytes - 1) / window) : 0;
    if (*slots < need)
        return dl_fail(err, SPHKV_EINVAL, "%.300s: %zu bytes are %u windows of %u, not %u", path,
                       bytes, *slots, window, need);
    return SPHKV_OK;
}

/* Evenly `count` of the slots that `other` (may be NULL) does not hold. */
static sphkv_status choose(windows *w, uint32_t slots, const windows *other, sphkv_error *err)
{
    sphkv_status st = SPHKV_OK;
    uint32_t *free_slots = NULL, n = 0;
    dl_new(&w->at, w->count, sizeof *w->at, &st, err);
    if (!dl_new(&free_slots, slots, sizeof *free_slots, &st, err))
        return st;
    for (uint32_t i = 0; i < slots; i++) {
        bool taken = false;
        for (uint32_t j = 0; other && j < other->count; j++)
            taken = taken || other->at[j] == i * w->window;
        if (!taken)
            free_slots[n++] = i;
    }
    for (uint32_t i = 0; i < w->count; i++)
        w->at[i] = free_slots[(uint64_t)i * n / w->count] * w->window;
    free(free_slots);
    return st;
}

static sphkv_status choose_windows(job *j, bool training, sphkv_error *err)
{
    const dl_options *o = j->o;
    const bool apart = o->train_text != NULL;
    uint32_t slots = 0;
    j->test = (windows){.window = o->window, .count = o->windows};
    j->train = (windows){.window = o->window, .count = training ? o->train_windows : 0};
    sphkv_status st = read_text(o->text, o->window, o->windows + (apart ? 0 : j->train.count),
                                &j->test.text, &slots, err);
    if (st == SPHKV_OK)
        st = choose(&j->test, slots, NULL, err);
    if (st != SPHKV_OK || !training)
        return st;
    if (apart)
        st = read_text(o->train_text, o->window, j->train.count, &j->train.text, &slots, err);
    return st == SPHKV_OK ? choose(&j->train, slots, apart ? NULL : &j->test, err) : st;
}

/* ---- running windows --------------------------------------------------------------- */

static dl_setup setup_of(const job *j, const char *mix, uint32_t count)
{
    dl_setup s = j->o->setup;
    s.tiers = mix;
    s.layers = j->m.layers;
    s.heads = j->m.heads;
    s.kv_heads = j->m.kv_heads;
    s.head_dim = j->m.head_dim;
    s.context = j->o->window;
    s.theta = j->m.theta;
    s.batch = count < SIDE_BY_SIDE ? count : SIDE_BY_SIDE;
    return s;
}

/* Windows first .. first+batch-1 from an empty cache to their end. */
static sphkv_status run_group(dl_stepper *s, const windows *w, const char *text, uint32_t first,
                              double *nats, double *coded, sphkv_error *err)
{
    const uint32_t batch = s->cache->batch;
    uint8_t bytes[SIDE_BY_SIDE];
    sphkv_status st = SPHKV_OK;
    for (uint32_t t = 0; st == SPHKV_OK && t < w->window; t++) {
        for (uint32_t b = 0; b < batch; b++)
            bytes[b] = (uint8_t)text[w->at[first + b] + t];
        st = dl_stepper_run(s, bytes, t, err);
        for (uint32_t b = 0; b < batch; b++)
            *nats += dl_nats(s->logits + (size_t)b * DL_VOCABULARY,
                             (uint8_t)text[w->at[first + b] + t + 1]);
        if (s->cache->ntiers > 1) {
            const uint32_t page = s->cache->setup.page;
            *coded += batch * (double)((t + 1) / page * page) / (t + 1);
        }
    }
    return st;
}

/* What a mix did over all windows. */
typedef struct outcome {
    double nats;         /* per byte */
    double coded;        /* share of the tokens attended to, averaged over steps */
    double bytes;        /* of a token of the coded tiers (of the tail when there is none) */
    double seconds;
} outcome;

static sphkv_status run_windows(const job *j, dl_cache *c, const windows *w, const char *text,
                                keys *sink_to, dl_key_sink sink, outcome *out, sphkv_error *err)
{
    dl_stepper s;
    const double start = dl_seconds();
    sphkv_status st = dl_stepper_open(&j->m, c, j->team, c->setup.batch, &s, err);
    s.sink = sink;
    s.user = sink_to;
    for (uint32_t i = 0; st == SPHKV_OK && i < w->count; i += c->setup.batch) {
        dl_cache_reset(c, w->count - i < c->setup.batch ? w->count - i : c->setup.batch);
        st = run_group(&s, w, text, i, &out->nats, &out->coded, err);
        if (sink_to)
            sink_to->rows += (size_t)c->batch * w->window;
    }
    dl_stepper_close(&s);
    out->nats /= (double)w->count * w->window;
    out->coded /= (double)w->count * w->window;
    for (uint32_t i = 0; i < c->ntiers; i++)
        if (i + 1 < c->ntiers || c->ntiers == 1)
            out->bytes += c->tier[i].info.bytes_per_token / (c->ntiers > 1 ? c->ntiers - 1 : 1);
    out->seconds = dl_seconds() - start;
    return st;
}

/* ---- keys to train on ----------------------------------------------------------------- */

static void keep_keys(void *user, uint32_t layer, uint32_t position, uint32_t batch,
                      const float *k)
{
    keys *to = user;
    const size_t row = to->rows + (size_t)position * batch;
    memcpy(to->of[layer] + row * to->row_floats, k, batch * to->row_floats * sizeof *k);
    for (uint32_t b = 0; b < batch; b++)
        to->position[row + b] = position;
}

static sphkv_status collect_keys(job *j, sphkv_error *err)
{
    const dl_setup setup = setup_of(j, "kf32:vf32", j->train.count);
    dl_cache c;
    outcome out = {0};
    sphkv_status st = SPHKV_OK;
    j->keys.row_floats = (size_t)j->m.kv_heads * j->m.head_dim;
    dl_new(&j->keys.of, j->m.layers, sizeof *j->keys.of, &st, err);
    dl_new(&j->keys.position, (size_t)j->train.count * j->train.window, sizeof *j->keys.position, &st, err);
    for (uint32_t i = 0; st == SPHKV_OK && i < j->m.layers; i++)
        dl_new(&j->keys.of[i], (size_t)j->train.count * j->train.window,
               j->keys.row_floats * sizeof(float), &st, err);
    if (st != SPHKV_OK)
        return st;
    st = dl_cache_open(&setup, j->team, &c, err);
    if (st == SPHKV_OK)
        st = run_windows(j, &c, &j->train, j->train.text ? j->train.text : j->test.text, &j->keys,
                         keep_keys, &out, err);
    dl_cache_close(&c);
    return st;
}

/* Keys as the tiers of a cache code them. */
static sphkv_status train_books(const job *j, dl_cache *c, uint32_t layer, sphkv_error *err)
{
    const dl_llama *m = &j->m;
    const keys *from = &j->keys;
    float *turned = NULL;
    sphkv_status st = SPHKV_OK;
    if (c->before_rope)
        return dl_books_train(c, layer, from->of[layer], from->rows, j->o->seed, err);
    if (!dl_new(&turned, from->rows * from->row_floats, sizeof *turned, &st, err))
        return st;
    memcpy(turned, from->of[layer], from->rows * from->row_floats * sizeof *turned);
    for (size_t r = 0; r < from->rows; r++)
        dl_rope_turn(m->rotations + (size_t)from->position[r] * m->head_dim, m->head_dim, m->kv_heads,
                     turned + r * from->row_floats);
    st = dl_books_train(c, layer, turned, from->rows, j->o->seed, err);
    free(turned);
    return st;
}

static sphkv_status make_books(const job *j, dl_cache *c, sphkv_error *err)
{
    const dl_options *o = j->o;
    sphkv_status st = SPHKV_OK;
    if (!dl_cache_is_coded(c))
        return st;
    if (strcmp(o->codebooks, "default") == 0)
        st = dl_books_default(c, o->seed, err);
    else if (strcmp(o->codebooks, "train") != 0)
        st = dl_books_load(c, o->codebooks, err);
    else
        for (uint32_t i = 0; st == SPHKV_OK && i < j->m.layers; i++)
            st = train_books(j, c, i, err);
    if (st == SPHKV_OK && o->save)
        st = dl_books_save(c, o->save, err);
    return st;
}

/* ---- one line per mix -------------------------------------------------------------------- */

static void tell_mix(const job *j, const char *mix, const dl_cache *c, const outcome *out)
{
    const double off = out->nats - j->reference;
    if (j->list) {
        cJSON *row = cJSON_CreateObject();
        cJSON_AddItemToArray(j->list, row);
        cJSON_AddStringToObject(row, "tiers", mix);
        cJSON_AddNumberToObject(row, "nats_per_byte", out->nats);
        if (!isnan(off))
            cJSON_AddNumberToObject(row, "difference", off);
        cJSON_AddNumberToObject(row, "bytes_per_token_head", out->bytes);
        cJSON_AddNumberToObject(row, "coded_share", out->coded);
        cJSON_AddNumberToObject(row, "windows", j->test.count);
        cJSON_AddNumberToObject(row, "page", c->setup.page);
        cJSON_AddNumberToObject(row, "seconds", out->seconds);
        dl_tell_plans(c, row);
        return;
    }
    printf("%-32s %8.4f ", mix, out->nats);
    if (isnan(off))
        printf("%10s", "-");
    else
        printf("%+10.5f", off);
    printf(" %12.1f %8.1f %8u %5u %8.1f\n", out->bytes, 100 * out->coded, j->test.count,
           c->setup.page, out->seconds);
    fflush(stdout);
}

static sphkv_status run_mix(const job *j, const char *mix, sphkv_error *err)
{
    const dl_setup setup = setup_of(j, mix, j->test.count);
    dl_cache c;
    outcome out = {0};
    sphkv_status st = dl_cache_open(&setup, j->team, &c, err);
    if (st == SPHKV_OK)
        st = make_books(j, &c, err);
    if (st == SPHKV_OK)
        st = run_windows(j, &c, &j->test, j->test.text, NULL, NULL, &out, err);
    if (st == SPHKV_OK)
        tell_mix(j, mix, &c, &out);
    dl_cache_close(&c);
    return st;
}

static sphkv_status run_reference(job *j, cJSON *json, sphkv_error *err)
{
    const double start = dl_seconds();
    double sum = 0;
    sphkv_status st = SPHKV_OK;
    for (uint32_t i = 0; st == SPHKV_OK && i < j->test.count; i++) {
        double nats = 0;
        st = dl_llama_reference(&j->m, j->team, (const uint8_t *)j->test.text + j->test.at[i],
                                j->test.window, &nats, err);
        sum += nats;
    }
    j->reference = sum / ((double)j->test.count * j->test.window);
    if (st == SPHKV_OK && json)
        cJSON_AddNumberToObject(json, "reference_nats_per_byte", j->reference);
    else if (st == SPHKV_OK)
        printf("%-32s %8.4f %10s %12s %8s %8u %5s %8.1f\n", "double, dense", j->reference, "", "",
               "", j->test.count, "", dl_seconds() - start);
    return st;
}

/* Whether some mix has a tier beside its tail, and training was asked for. */
static bool wants_training(const dl_options *o)
{
    bool coded = false;
    for (uint32_t i = 0; i < o->mixes; i++)
        coded = coded || strchr(o->mix[i], ',') != NULL;
    return coded && strcmp(o->codebooks, "train") == 0;
}

static void job_close(job *j)
{
    for (uint32_t i = 0; j->keys.of && i < j->m.layers; i++)
        free(j->keys.of[i]);
    free(j->keys.of);
    free(j->keys.position);
    free(j->test.text);
    free(j->test.at);
    free(j->train.text);
    free(j->train.at);
    dl_llama_close(&j->m);
}

static void tell_head(const job *j, cJSON *json)
{
    if (json) {
        cJSON_AddNumberToObject(json, "window", j->test.window);
        cJSON_AddNumberToObject(json, "train_windows", j->train.count);
        return;
    }
    printf("%u layers, %u query and %u KV heads of %u; %u windows of %u bytes", j->m.layers,
           j->m.heads, j->m.kv_heads, j->m.head_dim, j->test.count, j->test.window);
    if (j->train.count)
        printf("; codebooks from %u other windows", j->train.count);
    printf("\n%-32s %8s %10s %12s %8s %8s %5s %8s\n", "tiers", "nats/B", "to double",
           "bytes/tok-hd", "coded %", "windows", "page", "seconds");
}

sphkv_status dl_trained(const dl_options *o, dl_team *team, cJSON *json, sphkv_error *err)
{
    job j = {.o = o, .team = team, .reference = NAN};
    const bool training = wants_training(o);
    sphkv_status st = dl_llama_open(o->weights, &j.m, err);
    if (st == SPHKV_OK && o->window > j.m.positions)
        st = dl_fail(err, SPHKV_EINVAL, "--window %u: the model knows %u positions", o->window,
                     j.m.positions);
    if (st == SPHKV_OK)
        st = choose_windows(&j, training, err);
    if (st == SPHKV_OK)
        tell_head(&j, json);
    if (st == SPHKV_OK && o->reference)
        st = run_reference(&j, json, err);
    if (st == SPHKV_OK && training)
        st = collect_keys(&j, err);
    if (json)
        j.list = cJSON_AddArrayToObject(json, "mixes");
    for (uint32_t i = 0; st == SPHKV_OK && i < o->mixes; i++)
        st = run_mix(&j, o->mix[i], err);
    job_close(&j);
    return st;
}
