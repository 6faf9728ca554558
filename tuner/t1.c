/* t1.c - see t1.h. */
#include "t1.h"

#include <math.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "json_file.h"

#define VALUES_MOST 65535u
#define RULES_MOST 1024

void sk_t1_free(sk_t1 *t)
{
    for (uint32_t i = 0; i < t->params; i++) sk_free(t->param[i].value);
    sk_free(t->rule);
    cJSON_Delete(t->root);
    memset(t, 0, sizeof *t);
}

static const char *word_in(const cJSON *object, const char *name)
{
    const cJSON *x = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(x) && x->valuestring[0] ? x->valuestring : NULL;
}

static sk_status wrong(const sk_t1 *t, const char *name, const char *what, sk_err *err)
{
    return sk_fail(err, SPHKV_EINVAL, "%.200s: tunable %.60s: %.200s", t->path, name, what);
}

/* ---- values ------------------------------------------------------------------------ */

typedef enum type { WHOLE, REAL, TRUTH, WORD, TYPES } type;

static type type_of(const char *text)
{
    static const struct {
        const char *name;
        type type;
    } known[] = {{"int", WHOLE}, {"uint", WHOLE}, {"integer", WHOLE}, {"float", REAL},
                 {"double", REAL}, {"real", REAL}, {"bool", TRUTH}, {"boolean", TRUTH},
                 {"string", WORD}, {"str", WORD}};
    for (size_t i = 0; text && i < SK_COUNT(known); i++)
        if (strcmp(text, known[i].name) == 0) return known[i].type;
    return TYPES;
}

static bool is_of(const sk_t1_value *v, type type)
{
    if (v->word || type == WORD) return v->word && type == WORD;
    if (type == TRUTH) return v->number == 0 || v->number == 1;
    return type == REAL || v->number == floor(v->number);
}

/* A list in text, or one of JSON. */
static sk_status list_values(const sk_t1 *t, const cJSON *list, sk_t1_param *p, sk_err *err)
{
    const cJSON *item;
    sk_err why = {0};
    if (cJSON_IsString(list)) {
        const uint32_t most = (uint32_t)strlen(list->valuestring) / 2 + 1;
        p->value = sk_calloc(most < VALUES_MOST ? most : VALUES_MOST, sizeof *p->value);
        if (!p->value) return sk_fail(err, SPHKV_ENOMEM, "no memory for values");
        const sk_status st = sk_t1_list(list->valuestring, p->value,
                                        most < VALUES_MOST ? most : VALUES_MOST, &p->n, &why);
        if (st != SPHKV_OK) return wrong(t, p->name, why.message, err);
        return p->n ? SPHKV_OK : wrong(t, p->name, "no values", err);
    }
    const int n = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    if (n < 1 || n > (int)VALUES_MOST) return wrong(t, p->name, "no list \"Values\"", err);
    p->value = sk_calloc((size_t)n, sizeof *p->value);
    if (!p->value) return sk_fail(err, SPHKV_ENOMEM, "no memory for values");
    cJSON_ArrayForEach(item, list)
        if (!sk_t1_value_take(item, &p->value[p->n++]))
            return wrong(t, p->name, "a value that is neither a number nor a word", err);
    return SPHKV_OK;
}

static sk_status read_values(const sk_t1 *t, const cJSON *item, sk_t1_param *p, sk_err *err)
{
    const char *name = word_in(item, "Type");
    const type type = type_of(name);
    if (type == TYPES)
        return wrong(t, p->name, name ? "its \"Type\" is not int, float, bool or string"
                                      : "no \"Type\"", err);
    const sk_status st =
        list_values(t, cJSON_GetObjectItemCaseSensitive(item, "Values"), p, err);
    for (uint32_t i = 0; i < p->n && st == SPHKV_OK; i++) {
        if (!is_of(&p->value[i], type)) return wrong(t, p->name, "a value of another type", err);
        if (sk_t1_place(p, &p->value[i]) != i)
            return wrong(t, p->name, "a value stands there twice", err);
    }
    return st;
}

/* ---- the file -------------------------------------------------------------------------- */

static sk_status read_params(sk_t1 *t, const cJSON *list, sk_err *err)
{
    const cJSON *item;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) == 0)
        return sk_fail(err, SPHKV_EINVAL, "%.200s: no list \"TuningParameters\" in a "
                       "\"ConfigurationSpace\": no T1 file", t->path);
    cJSON_ArrayForEach(item, list) {
        const char *name = word_in(item, "Name");
        if (!name || t->params == SK_T1_PARAMS)
            return sk_fail(err, SPHKV_EINVAL, "%.200s: tunable %u: %s", t->path, t->params,
                           name ? "more than 64" : "no \"Name\"");
        if (sk_t1_find(t, name) != SK_T1_PARAMS) return wrong(t, name, "it stands there twice", err);
        sk_t1_param *p = &t->param[t->params++];
        p->name = name;
        const sk_status st = read_values(t, item, p, err);
        if (st != SPHKV_OK) return st;
    }
    return SPHKV_OK;
}

static sk_status read_rules(sk_t1 *t, const cJSON *list, sk_err *err)
{
    const cJSON *item;
    const int n = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    if (n > RULES_MOST || (list && !cJSON_IsArray(list)))
        return sk_fail(err, SPHKV_EINVAL, "%.200s: \"Conditions\" is no list, or longer than %d",
                       t->path, RULES_MOST);
    t->rule = sk_calloc((size_t)n + 1, sizeof *t->rule);
    if (!t->rule) return sk_fail(err, SPHKV_ENOMEM, "no memory for constraints");
    cJSON_ArrayForEach(item, list) {
        const char *text = word_in(item, "Expression");
        if (!text)
            return sk_fail(err, SPHKV_EINVAL, "%.200s: constraint %u: no \"Expression\"", t->path,
                           t->rules);
        t->rule[t->rules++] = text;
    }
    return SPHKV_OK;
}

sk_status sk_t1_read(const char *path, sk_t1 *out, sk_err *err)
{
    memset(out, 0, sizeof *out);
    out->path = path;
    sk_status st = sk_json_file_read(path, &out->root, err);
    if (st != SPHKV_OK) return st;
    const cJSON *space = cJSON_GetObjectItemCaseSensitive(out->root, "ConfigurationSpace");
    st = read_params(out, cJSON_GetObjectItemCaseSensitive(space, "TuningParameters"), err);
    if (st == SPHKV_OK)
        st = read_rules(out, cJSON_GetObjectItemCaseSensitive(space, "Conditions"), err);
    if (st != SPHKV_OK) sk_t1_free(out);
    return st;
}

uint32_t sk_t1_find(const sk_t1 *t, const char *name)
{
    for (uint32_t i = 0; i < t->params; i++)
        if (strcmp(t->param[i].name, name) == 0) return i;
    return SK_T1_PARAMS;
}

uint32_t sk_t1_place(const sk_t1_param *p, const sk_t1_value *value)
{
    uint32_t i = 0;
    while (i < p->n && sk_t1_value_order(&p->value[i], value) != 0) i++;
    return i;
}

sk_status sk_t1_check(const sk_t1 *t, const sk_t1_value *value, const char **broken, sk_err *err)
{
    const char *name[SK_T1_PARAMS];
    sk_err why = {0};
    for (uint32_t i = 0; i < t->params; i++) name[i] = t->param[i].name;
    const sk_t1_scope scope = {t->params, name, value};
    *broken = NULL;
    for (uint32_t i = 0; i < t->rules; i++) {
        bool holds;
        if (sk_t1_evaluate(t->rule[i], &scope, &holds, &why) != SPHKV_OK)
            return sk_fail(err, SPHKV_EINVAL, "%.200s: constraint %u: %.280s", t->path, i,
                           why.message);
        if (holds) continue;
        *broken = t->rule[i];
        break;
    }
    return SPHKV_OK;
}
