/* dl_tensors.c - see dl_tensors.h. cJSON keeps duplicate keys and takes
 * trailing junk: duplicates of what is asked for are refused, and so is
 * anything but blanks behind the object. */
#include "dl_tensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FILE_LIMIT ((size_t)4 << 30)
#define JSON_LIMIT ((size_t)64 << 20)

static cJSON *parse_object(const char *text, size_t bytes)
{
    const char *end = NULL;
    cJSON *json = memchr(text, 0, bytes) ? NULL
                                         : cJSON_ParseWithLengthOpts(text, bytes, &end, 0);
    while (json && end < text + bytes && strchr(" \t\r\n", *end))
        end++;
    if (json && cJSON_IsObject(json) && end == text + bytes)
        return json;
    cJSON_Delete(json);
    return NULL;
}

sphkv_status dl_json_read(const char *path, cJSON **out, sphkv_error *err)
{
    char *text = NULL;
    size_t bytes = 0;
    sphkv_status st = dl_file_read(path, JSON_LIMIT, &text, &bytes, err);
    if (st != SPHKV_OK)
        return st;
    *out = parse_object(text, bytes);
    free(text);
    return *out ? SPHKV_OK : dl_fail(err, SPHKV_EINVAL, "%.300s: not a JSON object", path);
}

static uint64_t little64(const uint8_t *at)
{
    uint64_t x = 0;
    for (int i = 7; i >= 0; i--)
        x = x << 8 | at[i];
    return x;
}

sphkv_status dl_tensors_open(const char *path, dl_tensors *t, sphkv_error *err)
{
    memset(t, 0, sizeof *t);
    t->path = path;
    sphkv_status st = dl_file_read(path, FILE_LIMIT, &t->file, &t->bytes, err);
    if (st != SPHKV_OK)
        return st;
    const uint64_t header = t->bytes < 8 ? UINT64_MAX : little64((const uint8_t *)t->file);
    if (t->bytes < 8 || header > t->bytes - 8 || header > JSON_LIMIT) {
        st = dl_fail(err, SPHKV_EINVAL, "%.300s: not a safetensors file: its header would end "
                     "behind the file", path);
    } else {
        t->header = parse_object(t->file + 8, (size_t)header);
        t->data = (const uint8_t *)t->file + 8 + header;
        t->data_bytes = t->bytes - 8 - (size_t)header;
        if (!t->header)
            st = dl_fail(err, SPHKV_EINVAL, "%.300s: its header is not a JSON object", path);
    }
    if (st != SPHKV_OK)
        dl_tensors_close(t);
    return st;
}

void dl_tensors_close(dl_tensors *t)
{
    free(t->file);
    cJSON_Delete(t->header);
    memset(t, 0, sizeof *t);
}

/* NULL when absent or there twice. */
static const cJSON *find(const cJSON *object, const char *name)
{
    const cJSON *found = NULL, *item;
    cJSON_ArrayForEach(item, object) {
        if (!item->string || strcmp(item->string, name) != 0)
            continue;
        if (found)
            return NULL;
        found = item;
    }
    return found;
}

/* Element i of an array of whole numbers; false when it is none. */
static bool whole(const cJSON *array, int i, size_t *out)
{
    const cJSON *item = cJSON_IsArray(array) ? cJSON_GetArrayItem(array, i) : NULL;
    const double x = cJSON_IsNumber(item) ? item->valuedouble : -1;
    if (!(x >= 0) || x > 9e15 || x != floor(x))
        return false;
    *out = (size_t)x;
    return true;
}

static bool has_shape(const cJSON *tensor, uint32_t rows, uint32_t cols)
{
    const cJSON *shape = find(tensor, "shape");
    size_t a = 0, b = 0;
    if (!cJSON_IsArray(shape) || cJSON_GetArraySize(shape) != (cols ? 2 : 1))
        return false;
    return whole(shape, 0, &a) && a == rows && (!cols || (whole(shape, 1, &b) && b == cols));
}

static float element(const uint8_t *at, char kind, size_t i)
{
    uint16_t half;
    uint32_t bits;
    float x;
    if (kind == 'f') {
        memcpy(&x, at + 4 * i, sizeof x);
        return x;
    }
    memcpy(&half, at + 2 * i, sizeof half);
    if (kind == 'h')
        return dl_half(half);
    bits = (uint32_t)half << 16;
    memcpy(&x, &bits, sizeof x);
    return x;
}

sphkv_status dl_tensors_read(const dl_tensors *t, const char *name, uint32_t rows, uint32_t cols,
                             float *out, sphkv_error *err)
{
    const cJSON *tensor = find(t->header, name);
    if (!cJSON_IsObject(tensor))
        return dl_fail(err, SPHKV_EINVAL, "%.300s: tensor %s is missing", t->path, name);
    if (!has_shape(tensor, rows, cols))
        return cols ? dl_fail(err, SPHKV_EINVAL, "%.300s: tensor %s: its shape is not [%u, %u]",
                              t->path, name, rows, cols)
                    : dl_fail(err, SPHKV_EINVAL, "%.300s: tensor %s: its shape is not [%u]",
                              t->path, name, rows);
    const cJSON *dtype = find(tensor, "dtype");
    const char *type = cJSON_IsString(dtype) ? dtype->valuestring : "?";
    const char kind = strcmp(type, "F32") == 0    ? 'f'
                      : strcmp(type, "F16") == 0  ? 'h'
                      : strcmp(type, "BF16") == 0 ? 'b'
                                                  : 0;
    if (!kind)
        return dl_fail(err, SPHKV_EINVAL, "%.300s: tensor %s is in %.20s: F32, F16 and BF16 are "
                       "read", t->path, name, type);
    const cJSON *place = find(tensor, "data_offsets");
    const size_t count = (size_t)rows * (cols ? cols : 1);
    size_t from = 0, to = 0;
    if (!whole(place, 0, &from) || !whole(place, 1, &to) || from > to || to > t->data_bytes ||
        to - from != count * (kind == 'f' ? 4 : 2))
        return dl_fail(err, SPHKV_EINVAL, "%.300s: tensor %s: its data are not where it says",
                       t->path, name);
    for (size_t i = 0; i < count; i++) {
        out[i] = element(t->data + from, kind, i);
        if (!isfinite(out[i]))
            return dl_fail(err, SPHKV_EINVAL, "%.300s: tensor %s: element %zu is not finite",
                           t->path, name, i);
    }
    return SPHKV_OK;
}
