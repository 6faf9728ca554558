/* model_layers.c - which layers of a config see everything, which a window or a
 * chunk, and which keep no keys that grow. The field layer_types says it layer by
 * layer; older configs say it by a period, a list of indices or a string, each
 * family in its own words. One of them is read, in the order of sort_layers. */
#include "model_fields.h"

#include <stdio.h>
#include <string.h>

typedef enum layer_kind { FULL, WINDOW, CHUNK, NO_CACHE, LAYER_KINDS } layer_kind;

typedef struct sorted {
    const sk_config *config;
    uint32_t n;
    uint8_t kind[SK_CONFIG_LAYERS]; /* layer_kind */
} sorted;

/* ---- layer by layer --------------------------------------------------------------- */

static bool kind_of(const char *name, uint8_t *kind)
{
    static const struct {
        const char *name;
        layer_kind kind;
    } names[] = {
        {"full_attention", FULL},       {"attention", FULL},
        {"global_attention", FULL},     {"sliding_attention", WINDOW},
        {"chunked_attention", CHUNK},   {"linear_attention", NO_CACHE},
        {"mamba", NO_CACHE},            {"mamba2", NO_CACHE},
        {"conv", NO_CACHE},             {"recurrent", NO_CACHE},
        {"hybrid", FULL}, /* attention and a recurrent part, side by side */
    };
    for (size_t i = 0; i < SK_COUNT(names); i++)
        if (strcmp(names[i].name, name) == 0) {
            *kind = (uint8_t)names[i].kind;
            return true;
        }
    return false;
}

/* A list of names, one a layer. */
static sk_status by_names(sorted *s, const cJSON *list)
{
    const sk_config *c = s->config;
    const cJSON *item;
    uint32_t i = 0;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != (int)s->n)
        return sk_fail(c->err, SPHKV_EINVAL, "%s: %s must name each of the %u layers", c->where,
                       list->string, s->n);
    cJSON_ArrayForEach(item, list) {
        if (!cJSON_IsString(item))
            return sk_fail(c->err, SPHKV_EINVAL, "%s: %s[%u] is not a name", c->where,
                           list->string, i);
        if (!kind_of(item->valuestring, &s->kind[i]))
            return sk_fail(c->err, SPHKV_EUNSUPPORTED,
                           "%s: %s[%u] is '%.60s': no kernel does such layers", c->where,
                           list->string, i, item->valuestring);
        i++;
    }
    return SPHKV_OK;
}

/* Zeros and ones, one a layer. */
static sk_status by_bits(sorted *s, const cJSON *list, layer_kind zero, layer_kind one)
{
    const sk_config *c = s->config;
    const cJSON *item;
    uint32_t i = 0;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) < (int)s->n)
        return sk_fail(c->err, SPHKV_EINVAL, "%s: %s must hold 0 or 1 for each of the %u layers",
                       c->where, list->string, s->n);
    cJSON_ArrayForEach(item, list) {
        if (i == s->n) break;
        if (!cJSON_IsNumber(item) || (item->valuedouble != 0 && item->valuedouble != 1))
            return sk_fail(c->err, SPHKV_EINVAL, "%s: %s[%u] is neither 0 nor 1", c->where,
                           list->string, i);
        s->kind[i++] = (uint8_t)(item->valuedouble == 0 ? zero : one);
    }
    return SPHKV_OK;
}

/* The layers of a list are of one kind, all others of another. */
static sk_status by_indices(sorted *s, const cJSON *list, layer_kind listed, layer_kind other)
{
    const sk_config *c = s->config;
    const cJSON *item;
    memset(s->kind, other, s->n);
    if (!cJSON_IsArray(list))
        return sk_fail(c->err, SPHKV_EINVAL, "%s: %s is not a list of layers", c->where,
                       list->string);
    cJSON_ArrayForEach(item, list) {
        const double x = cJSON_IsNumber(item) ? item->valuedouble : -1;
        if (!(x >= 0 && x < s->n) || x != (double)(uint32_t)x)
            return sk_fail(c->err, SPHKV_EINVAL, "%s: %s holds what is no layer of %u", c->where,
                           list->string, s->n);
        s->kind[(uint32_t)x] = (uint8_t)listed;
    }
    return SPHKV_OK;
}

/* Layers at `offset` of each period are of one kind, all others of another. */
static void by_period(sorted *s, uint32_t period, uint32_t offset, layer_kind at, layer_kind other)
{
    for (uint32_t i = 0; i < s->n; i++)
        s->kind[i] = (uint8_t)(i % period == offset ? at : other);
}

/* A character a layer ("M-M*-"), or a period of them ("LLLG"). */
static sk_status by_letters(sorted *s, const cJSON *field, const char *letters,
                            const layer_kind *kinds, bool repeats)
{
    const sk_config *c = s->config;
    const char *text = cJSON_IsString(field) ? field->valuestring : "";
    const size_t len = strlen(text);
    if (len == 0 || (!repeats && len != s->n))
        return sk_fail(c->err, SPHKV_EINVAL, "%s: %s must have a letter for each of the %u layers",
                       c->where, field->string, s->n);
    for (uint32_t i = 0; i < s->n; i++) {
        const char *at = strchr(letters, text[i % len]);
        if (!at)
            return sk_fail(c->err, SPHKV_EUNSUPPORTED, "%s: %s holds '%c': no kernel does such "
                           "layers", c->where, field->string, text[i % len]);
        s->kind[i] = (uint8_t)kinds[at - letters];
    }
    return SPHKV_OK;
}

/* ---- windows by rule ---------------------------------------------------------------- */

/* Without layer_types: which layers have the window, when there is one. */
static sk_status by_window(sorted *s)
{
    const sk_config *c = s->config;
    const cJSON *pattern;
    uint32_t first = 0;
    bool used, gated = strncmp(c->family->type, "qwen", 4) == 0 ||
                       strcmp(c->family->type, "smollm3") == 0;
    sk_status st = sk_config_flag(c, "use_sliding_window", !gated, &used);
    if (st == SPHKV_OK) st = sk_config_field(c, "sliding_window_pattern", &pattern);
    if (st == SPHKV_OK) st = sk_config_optional(c, "max_window_layers", SK_CONFIG_LAYERS, &first);
    if (st != SPHKV_OK || !used) return st;
    if (strcmp(c->family->type, "smollm3") == 0)
        return sk_fail(c->err, SPHKV_EUNSUPPORTED,
                       "%s: use_sliding_window without layer_types: which layers is not known",
                       c->where);
    static const layer_kind kinds[] = {WINDOW, FULL};
    if (pattern && cJSON_IsString(pattern)) return by_letters(s, pattern, "LG", kinds, true);
    uint32_t period = c->family->pattern;
    if (pattern) st = sk_config_number(c, "sliding_window_pattern", 1, SK_CONFIG_LAYERS, 0, &period);
    if (st != SPHKV_OK) return st;
    if (period)
        by_period(s, period, period - 1, FULL, WINDOW);
    else
        for (uint32_t i = 0; i < s->n; i++) s->kind[i] = (uint8_t)(i < first ? FULL : WINDOW);
    return SPHKV_OK;
}

/* Llama 4: layers with RoPE see chunks, those without see everything. */
static sk_status by_chunk(sorted *s)
{
    const sk_config *c = s->config;
    const cJSON *list;
    uint32_t period;
    sk_status st = sk_config_field(c, "no_rope_layers", &list);
    if (st == SPHKV_OK && list && cJSON_GetArraySize(list) > 0)
        return by_bits(s, list, FULL, CHUNK);
    if (st == SPHKV_OK)
        st = sk_config_number(c, "no_rope_layer_interval", 1, UINT32_MAX, 4, &period);
    if (st == SPHKV_OK) by_period(s, period, period - 1, FULL, CHUNK);
    return st;
}

/* ---- the whole ----------------------------------------------------------------------- */

/* Models with layers that are no attention, in their own words. *done: they were said. */
static sk_status by_hybrid(sorted *s, bool *done)
{
    static const layer_kind letters[] = {NO_CACHE, NO_CACHE, NO_CACHE, FULL};
    const sk_config *c = s->config;
    const cJSON *field;
    uint32_t period = 0, offset = 0;
    *done = true;
    sk_status st = sk_config_field(c, "attn_layer_indices|full_attn_idxs", &field);
    if (st != SPHKV_OK || field) return st ? st : by_indices(s, field, FULL, NO_CACHE);
    st = sk_config_field(c, "cross_attention_layers", &field);
    if (st != SPHKV_OK || field) return st ? st : by_indices(s, field, NO_CACHE, FULL);
    st = sk_config_field(c, "hybrid_override_pattern", &field);
    if (st != SPHKV_OK || field) return st ? st : by_letters(s, field, "M-E*", letters, false);
    st = sk_config_field(c, "attn_type_list", &field);
    if (st != SPHKV_OK || field) return st ? st : by_bits(s, field, NO_CACHE, FULL);
    st = sk_config_optional(c, "full_attention_interval|attn_layer_period", s->n, &period);
    if (st == SPHKV_OK && period) {
        if (period > 1)
            st = sk_config_number(c, "attn_layer_offset", 0, period - 1, period - 1, &offset);
        if (st == SPHKV_OK) by_period(s, period, offset, FULL, NO_CACHE);
        return st;
    }
    *done = false;
    return st;
}

static sk_status sort_layers(sorted *s, uint32_t chunk, uint32_t window)
{
    const sk_config *c = s->config;
    const cJSON *list;
    bool done = false;
    sk_status st = sk_config_field(c, "layer_types|layers_block_type", &list);
    if (st == SPHKV_OK && list) return by_names(s, list);
    if (st == SPHKV_OK) st = by_hybrid(s, &done);
    if (st != SPHKV_OK || done) return st;
    return chunk ? by_chunk(s) : window ? by_window(s) : SPHKV_OK;
}

/* Layers whose keys are another layer's: the last ones, or all but every n-th. */
static sk_status find_owners(const sorted *s, bool *owner)
{
    const sk_config *c = s->config;
    uint32_t shared = 0, factor = 1;
    bool used = false;
    sk_status st = sk_config_optional(c, "num_kv_shared_layers", s->n - 1, &shared);
    if (st == SPHKV_OK) st = sk_config_flag(c, "use_cla", false, &used);
    if (st == SPHKV_OK && used) st = sk_config_number(c, "cla_share_factor", 1, s->n, 0, &factor);
    if (st != SPHKV_OK) return st;
    for (uint32_t i = 0; i < s->n; i++) owner[i] = i < s->n - shared && i % factor == 0;
    return SPHKV_OK;
}

/* Absent is the class's default, null is none. */
static sk_status read_span(const sk_config *c, const char *name, uint32_t fallback, uint32_t *span)
{
    sk_status st = sk_config_optional(c, name, UINT32_MAX, span);
    if (st == SPHKV_OK && !cJSON_GetObjectItemCaseSensitive(c->object, name)) *span = fallback;
    return st;
}

sk_status sk_config_layers(const sk_config *c, uint32_t layers, sk_model *m)
{
    sorted s = {.config = c, .n = layers};
    bool owner[SK_CONFIG_LAYERS];
    uint32_t window = 0, chunk = 0, n[LAYER_KINDS] = {0}, own[LAYER_KINDS] = {0};
    sk_status st = read_span(c, "attention_chunk_size", c->family->chunk, &chunk);
    if (st == SPHKV_OK) st = read_span(c, "sliding_window", c->family->window, &window);
    if (st == SPHKV_OK) st = sort_layers(&s, chunk, window);
    if (st == SPHKV_OK) st = find_owners(&s, owner);
    if (st != SPHKV_OK) return st;
    for (uint32_t i = 0; i < layers; i++) {
        const uint32_t span = s.kind[i] == CHUNK ? chunk : window;
        const bool local = s.kind[i] == CHUNK || s.kind[i] == WINDOW;
        if (local && !span)
            return sk_fail(c->err, SPHKV_EINVAL, "%s: layer %u has a %s, but %s is missing",
                           c->where, i, s.kind[i] == CHUNK ? "chunk" : "window",
                           s.kind[i] == CHUNK ? "attention_chunk_size" : "sliding_window");
        n[s.kind[i]]++;
        own[s.kind[i]] += owner[i];
    }
    if (n[WINDOW] && n[CHUNK])
        return sk_fail(c->err, SPHKV_EUNSUPPORTED, "%s: layers with windows and layers with chunks",
                       c->where);
    m->chunked = n[CHUNK] > 0;
    const layer_kind kind = m->chunked ? CHUNK : WINDOW;
    m->full.n = n[FULL], m->full.owners = own[FULL];
    m->local.n = n[kind], m->local.owners = own[kind];
    m->local.span = m->chunked ? chunk : window;
    m->cacheless = n[NO_CACHE];
    return SPHKV_OK;
}
