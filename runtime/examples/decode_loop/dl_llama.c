/* dl_llama.c - reading a model: config.json, model.safetensors. Whatever this
 * program cannot do is refused with the field's name, never guessed. */
#include "dl_llama.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dl_rope.h"
#include "dl_tensors.h"

/* ---- config.json ---------------------------------------------------------- */

typedef struct config {
    const cJSON *json;
    const char *path;
    sphkv_error *err;
} config;

static const cJSON *field(const config *c, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(c->json, name);
    return cJSON_IsNull(item) ? NULL : item;
}

/* A whole number; `fallback` when absent, 0 = it must be there. */
static sphkv_status count_of(const config *c, const char *name, uint32_t most, uint32_t fallback,
                             uint32_t *out)
{
    const cJSON *item = field(c, name);
    const double x = cJSON_IsNumber(item) ? item->valuedouble : -1;
    if (!item && fallback) {
        *out = fallback;
        return SPHKV_OK;
    }
    if (!item)
        return dl_fail(c->err, SPHKV_EINVAL, "%.300s: %s is missing", c->path, name);
    if (!(x >= 1) || x > most || x != floor(x))
        return dl_fail(c->err, SPHKV_EINVAL, "%.300s: %s must be a whole number from 1 to %u",
                       c->path, name, most);
    *out = (uint32_t)x;
    return SPHKV_OK;
}

static sphkv_status real_of(const config *c, const char *name, double fallback, double *out)
{
    const cJSON *item = field(c, name);
    *out = cJSON_IsNumber(item) ? item->valuedouble : fallback;
    if (!item && fallback > 0)
        return SPHKV_OK;
    if (!item)
        return dl_fail(c->err, SPHKV_EINVAL, "%.300s: %s is missing", c->path, name);
    if (!cJSON_IsNumber(item) || !(*out > 0) || !isfinite(*out))
        return dl_fail(c->err, SPHKV_EINVAL, "%.300s: %s must be a number above 0", c->path, name);
    return SPHKV_OK;
}

/* What would change the forward pass and is not done here. */
static sphkv_status refuse_others(const config *c)
{
    static const struct {
        const char *name, *wanted;
    } texts[] = {{"model_type", "llama"}, {"hidden_act", "silu"}};
    static const char *const absent[] = {"attention_bias", "mlp_bias", "rope_scaling",
                                         "sliding_window"};
    for (size_t i = 0; i < DL_COUNT(texts); i++) {
        const cJSON *item = field(c, texts[i].name);
        if (!item)
            return dl_fail(c->err, SPHKV_EINVAL, "%.300s: %s is missing", c->path, texts[i].name);
        if (!cJSON_IsString(item) || strcmp(item->valuestring, texts[i].wanted) != 0)
            return dl_fail(c->err, SPHKV_EINVAL, "%.300s: %s is not '%s', which is all that is "
                           "done here", c->path, texts[i].name, texts[i].wanted);
    }
    for (size_t i = 0; i < DL_COUNT(absent); i++) {
        const cJSON *item = field(c, absent[i]);
        if (item && !cJSON_IsFalse(item))
            return dl_fail(c->err, SPHKV_EINVAL, "%.300s: %s is not done here", c->path, absent[i]);
    }
    return SPHKV_OK;
}

static sphkv_status read_config(const config *c, dl_llama *m, bool *tied)
{
    uint32_t words = 0;
    sphkv_status st = refuse_others(c);
    if (st == SPHKV_OK) st = count_of(c, "hidden_size", 1u << 16, 0, &m->hidden);
    if (st == SPHKV_OK) st = count_of(c, "intermediate_size", 1u << 18, 0, &m->inner);
    if (st == SPHKV_OK) st = count_of(c, "num_hidden_layers", 1024, 0, &m->layers);
    if (st == SPHKV_OK) st = count_of(c, "num_attention_heads", 1024, 0, &m->heads);
    if (st == SPHKV_OK) st = count_of(c, "num_key_value_heads", 1024, m->heads, &m->kv_heads);
    if (st == SPHKV_OK) st = count_of(c, "max_position_embeddings", 1u << 20, 0, &m->positions);
    if (st == SPHKV_OK) st = count_of(c, "vocab_size", 1u << 24, 0, &words);
    if (st == SPHKV_OK) st = real_of(c, "rms_norm_eps", 0, &m->epsilon);
    if (st == SPHKV_OK) st = real_of(c, "rope_theta", 10000, &m->theta);
    if (st == SPHKV_OK)
        st = count_of(c, "head_dim", 1024, m->hidden % m->heads ? 0 : m->hidden / m->heads,
                      &m->head_dim);
    if (st != SPHKV_OK)
        return st;
    if (words != DL_VOCABULARY)
        return dl_fail(c->err, SPHKV_EINVAL, "%.300s: vocab_size is %u: only models of bytes, 256",
                       c->path, words);
    if (m->heads % m->kv_heads != 0 || m->head_dim % 2 != 0)
        return dl_fail(c->err, SPHKV_EINVAL, "%.300s: %u query heads, %u KV heads of %u dimensions "
                       "do not fit together", c->path, m->heads, m->kv_heads, m->head_dim);
    *tied = !cJSON_IsFalse(field(c, "tie_word_embeddings"));
    return SPHKV_OK;
}

/* ---- model.safetensors ------------------------------------------------------ */

/* Hands out places in weights, and fills them. */
typedef struct filler {
    const dl_tensors *t;
    float *next;
    sphkv_status status;
    sphkv_error *err;
} filler;

static const float *take(filler *f, const char *name, uint32_t rows, uint32_t cols)
{
    float *at = f->next;
    if (f->status == SPHKV_OK)
        f->status = dl_tensors_read(f->t, name, rows, cols, at, f->err);
    f->next += (size_t)rows * (cols ? cols : 1);
    return at;
}

static const float *take_layer(filler *f, uint32_t layer, const char *name, uint32_t rows,
                               uint32_t cols)
{
    char full[96];
    snprintf(full, sizeof full, "model.layers.%u.%s.weight", layer, name);
    return take(f, full, rows, cols);
}

static size_t count_weights(const dl_llama *m, bool tied)
{
    const size_t h = m->hidden, q = (size_t)m->heads * m->head_dim;
    const size_t kv = (size_t)m->kv_heads * m->head_dim;
    return (tied ? 1 : 2) * DL_VOCABULARY * h + h +
           m->layers * (2 * h + 2 * q * h + 2 * kv * h + 3 * (size_t)m->inner * h);
}

static sphkv_status read_weights(dl_llama *m, const dl_tensors *t, bool tied, sphkv_error *err)
{
    const uint32_t h = m->hidden, q = m->heads * m->head_dim, kv = m->kv_heads * m->head_dim;
    filler f = {.t = t, .err = err};
    /* Believed only as far as the file could hold it: half a number each. */
    if (count_weights(m, tied) > t->data_bytes / 2)
        return dl_fail(err, SPHKV_EINVAL, "%.300s: %zu bytes cannot hold the %zu weights of its "
                       "config.json", t->path, t->data_bytes, count_weights(m, tied));
    dl_new(&m->weights, count_weights(m, tied), sizeof *m->weights, &f.status, err);
    dl_new(&m->layer, m->layers, sizeof *m->layer, &f.status, err);
    if (f.status != SPHKV_OK)
        return f.status;
    f.next = m->weights;
    m->embed = take(&f, "model.embed_tokens.weight", DL_VOCABULARY, h);
    for (uint32_t i = 0; i < m->layers; i++)
        m->layer[i] = (dl_llama_layer){
            .norm1 = take_layer(&f, i, "input_layernorm", h, 0),
            .q = take_layer(&f, i, "self_attn.q_proj", q, h),
            .k = take_layer(&f, i, "self_attn.k_proj", kv, h),
            .v = take_layer(&f, i, "self_attn.v_proj", kv, h),
            .o = take_layer(&f, i, "self_attn.o_proj", h, q),
            .norm2 = take_layer(&f, i, "post_attention_layernorm", h, 0),
            .gate = take_layer(&f, i, "mlp.gate_proj", m->inner, h),
            .up = take_layer(&f, i, "mlp.up_proj", m->inner, h),
            .down = take_layer(&f, i, "mlp.down_proj", h, m->inner),
        };
    m->norm = take(&f, "model.norm.weight", h, 0);
    m->head = tied ? m->embed : take(&f, "lm_head.weight", DL_VOCABULARY, h);
    return f.status;
}

sphkv_status dl_llama_open(const char *dir, dl_llama *m, sphkv_error *err)
{
    char config_path[1024], weights_path[1024];
    dl_tensors t;
    cJSON *json = NULL;
    bool tied = true;
    memset(m, 0, sizeof *m);
    if (snprintf(config_path, sizeof config_path, "%s/config.json", dir) >= 1024 ||
        snprintf(weights_path, sizeof weights_path, "%s/model.safetensors", dir) >= 1024)
        return dl_fail(err, SPHKV_EINVAL, "%.200s...: too long", dir);
    sphkv_status st = dl_json_read(config_path, &json, err);
    if (st != SPHKV_OK)
        return st;
    st = read_config(&(config){json, config_path, err}, m, &tied);
    cJSON_Delete(json);
    if (st == SPHKV_OK)
        st = dl_tensors_open(weights_path, &t, err);
    if (st != SPHKV_OK)
        return st;
    st = read_weights(m, &t, tied, err);
    dl_tensors_close(&t);
    return st == SPHKV_OK ? dl_rope_make(m->positions, m->head_dim, m->theta, &m->rotations, err) : st;
}

void dl_llama_close(dl_llama *m)
{
    free(m->weights);
    free(m->layer);
    free(m->rotations);
    memset(m, 0, sizeof *m);
}
