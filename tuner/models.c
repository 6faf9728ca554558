/* models.c - see models.h. cJSON is lenient where a checker must not be: it
 * takes trailing junk, keeps duplicate keys, rounds big numbers, turns 1e400
 * into infinity, and cuts strings at \u0000. All of that is refused here. */
#include "models.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <cjson/cJSON.h>

#define CONFIG_LIMIT (1u << 20)

static const sk_model known[] = {
    {"llama-2-7b", 32, 32, 128, 32, 4096},
    {"llama-3.1-8b", 32, 8, 128, 32, 131072},
    {"llama-3.1-70b", 64, 8, 128, 80, 131072},
    {"qwen3-8b", 32, 8, 128, 36, 40960},
    {"mistral-7b", 32, 8, 128, 32, 32768},
};

const sk_model *sk_model_get(uint32_t i)
{
    return i < SK_COUNT(known) ? &known[i] : NULL;
}

/* ---- config.json --------------------------------------------------------- */

typedef struct config {
    const cJSON *object; /* where the fields are */
    const char *where;   /* name of the file */
    sk_err *err;
} config;

/* A field, NULL when absent or null. *bad: it stands there twice. */
static const cJSON *field(const config *c, const char *key, bool *bad)
{
    const cJSON *found = NULL, *item;
    cJSON_ArrayForEach(item, c->object) {
        if (!item->string || strcmp(item->string, key) != 0) continue;
        *bad = *bad || found;
        found = item;
    }
    return found && cJSON_IsNull(found) ? NULL : found;
}

/* A whole number within 1 .. most. `fallback` when absent; 0 = it must be there. */
static sk_status number(const config *c, const char *key, uint32_t most, uint32_t fallback,
                        uint32_t *out)
{
    bool twice = false;
    const cJSON *item = field(c, key, &twice);
    if (twice) return sk_fail(c->err, SPHKV_EINVAL, "%s: %s stands there twice", c->where, key);
    if (!item && fallback) {
        *out = fallback;
        return SPHKV_OK;
    }
    if (!item) return sk_fail(c->err, SPHKV_EINVAL, "%s: %s is missing", c->where, key);
    if (!cJSON_IsNumber(item))
        return sk_fail(c->err, SPHKV_EINVAL, "%s: %s is not a number", c->where, key);
    double x = item->valuedouble;
    if (!isfinite(x) || x != floor(x) || x < 1 || x > most)
        return sk_fail(c->err, SPHKV_EINVAL, "%s: %s is %g: must be a whole number from 1 to %u",
                       c->where, key, x, most);
    *out = (uint32_t)x;
    return SPHKV_OK;
}

/* head_dim as given, else hidden_size / heads. */
static sk_status head_dim(const config *c, sk_model *m)
{
    bool twice = false;
    uint32_t hidden = 0;
    sk_status st;
    if (field(c, "head_dim", &twice) || twice) {
        st = number(c, "head_dim", 1024, 0, &m->head_dim);
    } else {
        st = number(c, "hidden_size", 1u << 20, 0, &hidden);
        if (st != SPHKV_OK) return st;
        if (hidden % m->heads != 0)
            return sk_fail(c->err, SPHKV_EINVAL,
                           "%s: hidden_size %u is not a multiple of its %u heads, and there is no "
                           "head_dim", c->where, hidden, m->heads);
        m->head_dim = hidden / m->heads;
    }
    if (st == SPHKV_OK && (m->head_dim < 8 || m->head_dim > 1024 || m->head_dim % 8 != 0))
        return sk_fail(c->err, SPHKV_EINVAL,
                       "%s: heads of %u dimensions: must be a multiple of 8 from 8 to 1024",
                       c->where, m->head_dim);
    return st;
}

static sk_status read_fields(const config *c, sk_model *m)
{
    bool twice = false;
    const cJSON *type = field(c, "model_type", &twice);
    snprintf(m->name, sizeof m->name, "%s",
             type && cJSON_IsString(type) && type->valuestring[0] ? type->valuestring : "config");
    if (field(c, "kv_lora_rank", &twice))
        return sk_fail(c->err, SPHKV_EUNSUPPORTED,
                       "%s: latent attention (kv_lora_rank): give --head-dim, --heads, --kv-heads",
                       c->where);
    sk_status st = number(c, "num_attention_heads", 1024, 0, &m->heads);
    if (st == SPHKV_OK) st = number(c, "num_key_value_heads", 1024, m->heads, &m->kv_heads);
    if (st == SPHKV_OK) st = number(c, "num_hidden_layers", 4096, 0, &m->layers);
    if (st == SPHKV_OK)
        st = number(c, "max_position_embeddings", 1u << 27, 0, &m->max_context);
    if (st == SPHKV_OK) st = head_dim(c, m);
    if (st == SPHKV_OK && m->heads % m->kv_heads != 0)
        return sk_fail(c->err, SPHKV_EINVAL,
                       "%s: %u query heads cannot share %u KV heads evenly", c->where, m->heads,
                       m->kv_heads);
    return st;
}

/* Models of several kinds of input keep the language model's fields inside. */
static const cJSON *language_part(const cJSON *root, const char *where, sk_err *err)
{
    bool twice = false;
    config c = {root, where, err};
    const cJSON *inner = field(&c, "text_config", &twice);
    bool outside = field(&c, "num_attention_heads", &twice) != NULL;
    return inner && cJSON_IsObject(inner) && !outside ? inner : root;
}

sk_status sk_model_parse(const char *text, size_t bytes, const char *where, sk_model *out,
                         sk_err *err)
{
    sk_model m;
    memset(&m, 0, sizeof m);
    if (memchr(text, 0, bytes) || strstr(text, "\\u0000"))
        return sk_fail(err, SPHKV_EINVAL, "%s: holds a NUL character", where);
    cJSON *root = cJSON_ParseWithLengthOpts(text, bytes + 1, NULL, 1);
    if (!root || !cJSON_IsObject(root)) {
        cJSON_Delete(root);
        return sk_fail(err, SPHKV_EINVAL, "%s: not a JSON object", where);
    }
    config c = {language_part(root, where, err), where, err};
    sk_status st = read_fields(&c, &m);
    cJSON_Delete(root);
    if (st == SPHKV_OK) *out = m;
    return st;
}

static sk_status unknown_name(const char *name, sk_err *err)
{
    sk_text list = {0};
    for (uint32_t i = 0; i < SK_COUNT(known); i++)
        sk_text_printf(&list, "%s%s", i ? ", " : "", known[i].name);
    sk_status st = sk_fail(err, SPHKV_EINVAL,
                           "no model is called '%.60s': known are %s, or the path of a config.json",
                           name, list.failed ? "?" : list.s);
    sk_text_free(&list);
    return st;
}

sk_status sk_model_find(const char *name, sk_model *out, sk_err *err)
{
    char *text;
    size_t bytes, len = strlen(name);
    for (uint32_t i = 0; i < SK_COUNT(known); i++)
        if (strcmp(known[i].name, name) == 0) {
            *out = known[i];
            return SPHKV_OK;
        }
    if (!strchr(name, '/') && (len < 5 || strcmp(name + len - 5, ".json") != 0))
        return unknown_name(name, err);
    sk_status st = sk_file_read(name, CONFIG_LIMIT, &text, &bytes, err);
    if (st != SPHKV_OK) return st;
    st = sk_model_parse(text, bytes, name, out, err);
    sk_free(text);
    return st;
}
