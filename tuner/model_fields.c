/* model_fields.c - see model_fields.h. */
#include "model_fields.h"

#include <math.h>
#include <string.h>

sk_status sk_config_field(const sk_config *c, const char *names, const cJSON **out)
{
    *out = NULL;
    for (const char *at = names; *at && !*out; at += *at == '|') {
        const size_t n = strcspn(at, "|");
        const cJSON *item;
        bool found = false;
        cJSON_ArrayForEach(item, c->object) {
            if (!item->string || strlen(item->string) != n || memcmp(item->string, at, n) != 0)
                continue;
            if (found)
                return sk_fail(c->err, SPHKV_EINVAL, "%s: %s stands there twice", c->where,
                               item->string);
            found = true;
            if (!cJSON_IsNull(item)) *out = item;
        }
        at += n;
    }
    return SPHKV_OK;
}

static sk_status check_number(const sk_config *c, const cJSON *item, uint32_t least, uint32_t most,
                              uint32_t *out)
{
    if (cJSON_IsArray(item) || cJSON_IsObject(item))
        return sk_fail(c->err, SPHKV_EUNSUPPORTED,
                       "%s: %s is a list: layers that differ in it are not known here", c->where,
                       item->string);
    if (!cJSON_IsNumber(item))
        return sk_fail(c->err, SPHKV_EINVAL, "%s: %s is not a number", c->where, item->string);
    const double x = item->valuedouble;
    if (!isfinite(x) || x != floor(x) || x < least || x > most)
        return sk_fail(c->err, SPHKV_EINVAL, "%s: %s is %g: must be a whole number from %u to %u",
                       c->where, item->string, x, least, most);
    *out = (uint32_t)x;
    return SPHKV_OK;
}

sk_status sk_config_number(const sk_config *c, const char *names, uint32_t least, uint32_t most,
                           uint32_t fallback, uint32_t *out)
{
    const cJSON *item;
    sk_status st = sk_config_field(c, names, &item);
    if (st != SPHKV_OK) return st;
    *out = fallback;
    if (item) return check_number(c, item, least, most, out);
    return fallback ? SPHKV_OK
                    : sk_fail(c->err, SPHKV_EINVAL, "%s: %.*s is missing", c->where,
                              (int)strcspn(names, "|"), names);
}

sk_status sk_config_optional(const sk_config *c, const char *names, uint32_t most, uint32_t *out)
{
    const cJSON *item;
    sk_status st = sk_config_field(c, names, &item);
    *out = 0;
    return st == SPHKV_OK && item ? check_number(c, item, 0, most, out) : st;
}

sk_status sk_config_flag(const sk_config *c, const char *names, bool fallback, bool *out)
{
    const cJSON *item;
    sk_status st = sk_config_field(c, names, &item);
    *out = fallback;
    if (st != SPHKV_OK || !item) return st;
    if (!cJSON_IsBool(item))
        return sk_fail(c->err, SPHKV_EINVAL, "%s: %s is neither true nor false", c->where,
                       item->string);
    *out = cJSON_IsTrue(item);
    return SPHKV_OK;
}
