/* schedule.c - the table of tunables and its text. Everything is derived from
 * SK_TUNABLES in schedule.h; nothing here knows a tunable by name. A list
 * whose first value is a number is numeric throughout. */
#include "schedule.h"

#include <string.h>

static const sk_tunable_info tunables[SK_TUNABLE_COUNT] = {
#define SK_X(name, kernels, values, doc) [SK_T_##name] = {#name, kernels, values, doc},
    SK_TUNABLES(SK_X)
#undef SK_X
};

const sk_tunable_info *sk_tunable_get(uint32_t tunable)
{
    return tunable < SK_TUNABLE_COUNT ? &tunables[tunable] : NULL;
}

bool sk_tunable_tunes(uint32_t tunable, uint32_t kernel, uint32_t backend)
{
    if (tunable >= SK_TUNABLE_COUNT || kernel >= 16)
        return false;
    return tunables[tunable].kernels &
           (backend == SK_BACKEND_CUDA ? SK_ON_GPU(kernel) : SK_FOR(kernel));
}

void sk_schedule_begin(uint32_t backend, sk_schedule *out)
{
    memset(out, 0, sizeof *out);
    out->backend = backend;
    if (backend == SK_BACKEND_CUDA)
        out->v[SK_T_w] = 32;
}

static bool is_numeric(const sk_tunable_info *info)
{
    return info->values[0] >= '0' && info->values[0] <= '9';
}

uint32_t sk_tunable_count(uint32_t tunable)
{
    const sk_tunable_info *info = sk_tunable_get(tunable);
    uint32_t n = 1;
    if (!info)
        return 0;
    for (const char *s = info->values; *s; s++)
        n += *s == '|';
    return n;
}

/* The i-th word of "a|b|c": its start, and its length in *len. */
static const char *value_word(const sk_tunable_info *info, uint32_t i, size_t *len)
{
    const char *s = info->values;
    for (; i && *s; s++)
        i -= *s == '|';
    *len = strcspn(s, "|");
    return s;
}

int32_t sk_tunable_value(uint32_t tunable, uint32_t i)
{
    const sk_tunable_info *info = sk_tunable_get(tunable);
    size_t len;
    int32_t value = 0;
    if (!info || i >= sk_tunable_count(tunable))
        return 0;
    if (!is_numeric(info))
        return (int32_t)i;
    const char *s = value_word(info, i, &len);
    for (size_t k = 0; k < len; k++)
        value = value * 10 + (s[k] - '0');
    return value;
}

uint32_t sk_tunable_find(const char *name, size_t len)
{
    uint32_t t = 0;
    while (t < SK_TUNABLE_COUNT &&
           (strlen(tunables[t].name) != len || memcmp(tunables[t].name, name, len) != 0))
        t++;
    return t;
}

uint32_t sk_tunable_place(uint32_t tunable, const char *text)
{
    const sk_tunable_info *info = sk_tunable_get(tunable);
    const uint32_t count = sk_tunable_count(tunable);
    for (uint32_t i = 0; i < count; i++) {
        size_t len;
        const char *s = value_word(info, i, &len);
        if (strlen(text) == len && memcmp(s, text, len) == 0)
            return i;
    }
    return count;
}

bool sk_tunable_parse(uint32_t tunable, const char *text, int32_t *value)
{
    const uint32_t count = sk_tunable_count(tunable), i = text ? sk_tunable_place(tunable, text) : count;
    if (i < count)
        *value = sk_tunable_value(tunable, i);
    return i < count;
}

void sk_schedule_print(uint32_t kernel, const sk_schedule *schedule, sk_text *out)
{
    bool first = true;
    sk_text_append(out, "", 0);
    for (uint32_t t = 0; t < SK_TUNABLE_COUNT; t++) {
        const sk_tunable_info *info = &tunables[t];
        int32_t v = schedule->v[t];
        if (!sk_tunable_tunes(t, kernel, schedule->backend))
            continue;
        sk_text_printf(out, "%s%s=", first ? "" : ",", info->name);
        first = false;
        if (is_numeric(info) || v < 0 || (uint32_t)v >= sk_tunable_count(t)) {
            sk_text_printf(out, "%d", v);
            continue;
        }
        size_t len;
        const char *s = value_word(info, (uint32_t)v, &len);
        sk_text_append(out, s, len);
    }
}

/* One "name=value" of `len` characters into the schedule. */
static sk_status parse_one(uint32_t kernel, const char *text, size_t len, sk_schedule *schedule,
                           uint64_t *seen, sk_err *err)
{
    char item[64];
    if (len >= sizeof item)
        return sk_fail(err, SPHKV_EINVAL, "schedule: '%.40s...' is too long", text);
    memcpy(item, text, len);
    item[len] = '\0';
    char *eq = strchr(item, '=');
    if (!eq)
        return sk_fail(err, SPHKV_EINVAL, "schedule: '%s' is not name=value", item);
    *eq = '\0';
    const uint32_t t = sk_tunable_find(item, strlen(item));
    if (t == SK_TUNABLE_COUNT)
        return sk_fail(err, SPHKV_EINVAL, "schedule: no tunable is called '%s'", item);
    if (!sk_tunable_tunes(t, kernel, schedule->backend))
        return sk_fail(err, SPHKV_EINVAL, "schedule: %s is not a tunable of this kernel%s",
                       item, schedule->backend == SK_BACKEND_CUDA ? " on GPUs" : "");
    if (*seen >> t & 1)
        return sk_fail(err, SPHKV_EINVAL, "schedule: %s is given twice", item);
    *seen |= UINT64_C(1) << t;
    if (!sk_tunable_parse(t, eq + 1, &schedule->v[t]))
        return sk_fail(err, SPHKV_EINVAL, "schedule: %s=%s, but it takes %s", item, eq + 1,
                       tunables[t].values);
    return SPHKV_OK;
}

sk_status sk_schedule_parse(uint32_t kernel, const char *text, sk_schedule *schedule, sk_err *err)
{
    sk_schedule s = *schedule;
    uint64_t seen = 0;
    _Static_assert(SK_TUNABLE_COUNT <= 64, "seen is one bit per tunable");
    while (text && *text) {
        size_t len = strcspn(text, ",");
        sk_status st = parse_one(kernel, text, len, &s, &seen, err);
        if (st != SPHKV_OK)
            return st;
        text += len;
        if (*text == ',' && *++text == '\0')
            return sk_fail(err, SPHKV_EINVAL, "schedule: a comma at the end");
    }
    *schedule = s;
    return SPHKV_OK;
}
