/* safetensors.c - the reader. A file is: u64 header length, a JSON object, the
 * data; every name maps to dtype, shape and a byte range of the data.
 *
 * cJSON is only the tokenizer; what it lets pass is checked here: numbers that
 * are not integers or not exact (2^53), duplicate keys, anything behind the
 * object, \u0000 that would end a name early, keys that differ only in case.
 * Ranges must follow one another and cover the data exactly, as the format
 * demands, so tensors cannot overlap and a cut file is noticed. cJSON takes its
 * memory from malloc: its hooks are global and belong to the program around us. */
#include "safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#define HEADER_MAX ((size_t)16 << 20)
#define EXACT_MAX 9007199254740992.0 /* 2^53 */
#define TENSORS_MAX 200000

static const struct {
    const char *name;
    uint32_t bytes;
} dtypes[] = {
    [SK_TENSOR_BOOL] = {"BOOL", 1},       [SK_TENSOR_U8] = {"U8", 1},
    [SK_TENSOR_I8] = {"I8", 1},           [SK_TENSOR_F8_E4M3] = {"F8_E4M3", 1},
    [SK_TENSOR_F8_E5M2] = {"F8_E5M2", 1}, [SK_TENSOR_U16] = {"U16", 2},
    [SK_TENSOR_I16] = {"I16", 2},         [SK_TENSOR_F16] = {"F16", 2},
    [SK_TENSOR_BF16] = {"BF16", 2},       [SK_TENSOR_U32] = {"U32", 4},
    [SK_TENSOR_I32] = {"I32", 4},         [SK_TENSOR_F32] = {"F32", 4},
    [SK_TENSOR_U64] = {"U64", 8},         [SK_TENSOR_I64] = {"I64", 8},
    [SK_TENSOR_F64] = {"F64", 8},
};

const char *sk_tensor_dtype_name(uint32_t dtype)
{
    return dtype < SK_COUNT(dtypes) ? dtypes[dtype].name : NULL;
}

uint32_t sk_tensor_dtype_bytes(uint32_t dtype)
{
    return dtype < SK_COUNT(dtypes) ? dtypes[dtype].bytes : 0;
}

/* ---- one tensor ------------------------------------------------------------ */

static bool exact_integer(const cJSON *item, uint64_t *out)
{
    double v = item->valuedouble;
    if (!cJSON_IsNumber(item) || !(v >= 0) || v >= EXACT_MAX || v != floor(v))
        return false;
    *out = (uint64_t)v;
    return true;
}

static sk_status parse_dtype(const cJSON *item, sk_tensor *t, sk_err *err)
{
    const char *name = cJSON_IsString(item) ? item->valuestring : "";
    for (uint32_t i = 0; i < SK_COUNT(dtypes); i++)
        if (strcmp(dtypes[i].name, name) == 0) {
            t->dtype = i;
            return SPHKV_OK;
        }
    return sk_fail(err, SPHKV_EINVAL, "tensor '%.100s': dtype '%.20s' is unknown", t->name, name);
}

static sk_status parse_shape(const cJSON *item, sk_tensor *t, sk_err *err)
{
    if (!cJSON_IsArray(item))
        return sk_fail(err, SPHKV_EINVAL, "tensor '%.100s': its shape is no list", t->name);
    t->count = 1;
    for (const cJSON *d = item->child; d; d = d->next) {
        uint64_t dim;
        if (t->ndim == SK_TENSOR_DIMS)
            return sk_fail(err, SPHKV_EINVAL, "tensor '%.100s' has more than %d dimensions",
                           t->name, SK_TENSOR_DIMS);
        if (!exact_integer(d, &dim) || __builtin_mul_overflow(t->count, dim, &t->count))
            return sk_fail(err, SPHKV_EINVAL, "tensor '%.100s': dimension %u is no size", t->name,
                           t->ndim);
        t->dims[t->ndim++] = dim;
    }
    return SPHKV_OK;
}

static sk_status parse_range(const cJSON *item, uint64_t range[2], const char *name, sk_err *err)
{
    if (cJSON_IsArray(item) && cJSON_GetArraySize(item) == 2 &&
        exact_integer(item->child, &range[0]) && exact_integer(item->child->next, &range[1]) &&
        range[0] <= range[1])
        return SPHKV_OK;
    return sk_fail(err, SPHKV_EINVAL, "tensor '%.100s': data_offsets is no byte range", name);
}

static sk_status parse_tensor(const cJSON *item, const sk_safetensors *st, sk_tensor *t,
                              sk_err *err)
{
    const cJSON *dtype = NULL, *shape = NULL, *offsets = NULL;
    if (!cJSON_IsObject(item))
        return sk_fail(err, SPHKV_EINVAL, "tensor '%.100s' is no object", t->name);
    for (const cJSON *f = item->child; f; f = f->next) {
        const cJSON **slot = strcmp(f->string, "dtype") == 0          ? &dtype
                             : strcmp(f->string, "shape") == 0        ? &shape
                             : strcmp(f->string, "data_offsets") == 0 ? &offsets
                                                                      : NULL;
        if (!slot || *slot)
            return sk_fail(err, SPHKV_EINVAL, "tensor '%.100s': field '%.40s' is %s", t->name,
                           f->string, slot ? "given twice" : "unknown");
        *slot = f;
    }
    if (!dtype || !shape || !offsets)
        return sk_fail(err, SPHKV_EINVAL, "tensor '%.100s' lacks its %s", t->name,
                       !dtype   ? "dtype"
                       : !shape ? "shape"
                                : "data_offsets");
    uint64_t range[2] = {0, 0}, bytes;
    sk_status status = parse_dtype(dtype, t, err);
    if (status == SPHKV_OK)
        status = parse_shape(shape, t, err);
    if (status == SPHKV_OK)
        status = parse_range(offsets, range, t->name, err);
    if (status != SPHKV_OK)
        return status;
    if (range[1] > st->data_bytes)
        return sk_fail(err, SPHKV_EINVAL, "tensor '%.100s' reaches beyond the end of the file",
                       t->name);
    if (__builtin_mul_overflow(t->count, (uint64_t)dtypes[t->dtype].bytes, &bytes) ||
        bytes != range[1] - range[0])
        return sk_fail(err, SPHKV_EINVAL, "tensor '%.100s': its shape does not match its bytes",
                       t->name);
    t->data = st->data + range[0];
    t->bytes = bytes;
    return SPHKV_OK;
}

/* ---- the header -------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int by_place(const void *a, const void *b)
{
    const sk_tensor *x = a, *y = b;
    if (x->data != y->data)
        return x->data < y->data ? -1 : 1;
    if (x->bytes != y->bytes) /* an empty one stands before its neighbour */
        return x->bytes < y->bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Fails when two of the object's keys are the same. */
static sk_status unique_keys(const cJSON *object, uint32_t n, sk_arena *arena, sk_err *err)
{
    const char **names = sk_arena_alloc(arena, (size_t)n * sizeof *names);
    uint32_t i = 0;
    if (!names)
        return sk_fail(err, SPHKV_ENOMEM, "out of memory");
    for (const cJSON *c = object->child; c; c = c->next)
        names[i++] = c->string;
    qsort(names, n, sizeof *names, by_name);
    for (i = 1; i < n; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            return sk_fail(err, SPHKV_EINVAL, "the header names '%.100s' twice", names[i]);
    return SPHKV_OK;
}

static sk_status parse_notes(const cJSON *object, sk_safetensors *st, sk_err *err)
{
    if (!cJSON_IsObject(object))
        return sk_fail(err, SPHKV_EINVAL, "__metadata__ is no object");
    uint32_t n = (uint32_t)cJSON_GetArraySize(object);
    sk_status status = unique_keys(object, n, &st->arena, err);
    if (status != SPHKV_OK)
        return status;
    st->note = sk_arena_alloc(&st->arena, n * sizeof *st->note);
    for (const cJSON *c = object->child; st->note && c; c = c->next) {
        sk_tensor_note *note = &st->note[st->notes];
        if (!cJSON_IsString(c))
            return sk_fail(err, SPHKV_EINVAL, "__metadata__: '%.100s' is no text", c->string);
        note->key = sk_arena_strdup(&st->arena, c->string);
        note->value = sk_arena_strdup(&st->arena, c->valuestring);
        if (!note->key || !note->value)
            break;
        st->notes++;
    }
    if (st->notes != n)
        return sk_fail(err, SPHKV_ENOMEM, "out of memory");
    return SPHKV_OK;
}

/* Ranges in order, without gaps, up to the last byte. */
static sk_status check_cover(sk_safetensors *st, sk_err *err)
{
    const uint8_t *at = st->data;
    qsort(st->tensor, st->tensors, sizeof *st->tensor, by_place);
    for (uint32_t i = 0; i < st->tensors; i++) {
        const sk_tensor *t = &st->tensor[i];
        if (t->data != at)
            return sk_fail(err, SPHKV_EINVAL, "tensor '%.100s' %s", t->name,
                           t->data < at ? "overlaps another one" : "leaves a gap before it");
        at += t->bytes;
    }
    if (at != st->data + st->data_bytes)
        return sk_fail(err, SPHKV_EINVAL, "%zu bytes behind the last tensor belong to none",
                       (size_t)(st->data + st->data_bytes - at));
    return SPHKV_OK;
}

static sk_status parse_root(const cJSON *root, sk_safetensors *st, sk_err *err)
{
    uint32_t n = (uint32_t)cJSON_GetArraySize(root);
    if (!cJSON_IsObject(root))
        return sk_fail(err, SPHKV_EINVAL, "the header is no object");
    if (n > TENSORS_MAX)
        return sk_fail(err, SPHKV_EINVAL, "the header names %u tensors", n);
    sk_status status = unique_keys(root, n, &st->arena, err);
    if (status != SPHKV_OK)
        return status;
    st->tensor = sk_arena_alloc(&st->arena, n * sizeof *st->tensor);
    if (!st->tensor)
        return sk_fail(err, SPHKV_ENOMEM, "out of memory");
    for (const cJSON *c = root->child; c; c = c->next) {
        if (strcmp(c->string, "__metadata__") == 0) {
            status = parse_notes(c, st, err);
        } else {
            sk_tensor *t = &st->tensor[st->tensors++];
            t->name = sk_arena_strdup(&st->arena, c->string);
            status =
                t->name ? parse_tensor(c, st, t, err) : sk_fail(err, SPHKV_ENOMEM, "out of memory");
        }
        if (status != SPHKV_OK)
            return status;
    }
    return check_cover(st, err);
}

/* What cJSON would swallow: an embedded NUL, written out or as an escape. */
static bool has_nul(const char *s, size_t n)
{
    if (memchr(s, 0, n))
        return true;
    for (size_t i = 0; i < n; i++) {
        if (s[i] != '\\')
            continue;
        if (n - i >= 6 && memcmp(s + i, "\\u0000", 6) == 0)
            return true;
        i++; /* an escaped backslash is no beginning */
    }
    return false;
}

static sk_status parse_header(const char *header, size_t n, sk_safetensors *st, sk_err *err)
{
    const char *end = NULL;
    if (n == 0 || header[0] != '{')
        return sk_fail(err, SPHKV_EINVAL, "not a .safetensors file: no header");
    if (has_nul(header, n))
        return sk_fail(err, SPHKV_EINVAL, "the header has a NUL in it");
    cJSON *root = cJSON_ParseWithLengthOpts(header, n, &end, 0);
    if (!root)
        return sk_fail(err, SPHKV_EINVAL, "the header is no JSON, from byte %zu on",
                       end ? (size_t)(end - header) : 0);
    sk_status status = SPHKV_OK;
    for (; end < header + n; end++)
        if (*end != ' ') {
            status = sk_fail(err, SPHKV_EINVAL, "the header has something behind its object");
            break;
        }
    if (status == SPHKV_OK)
        status = parse_root(root, st, err);
    cJSON_Delete(root);
    return status;
}

sk_status sk_safetensors_parse(const void *bytes, size_t size, sk_safetensors *out, sk_err *err)
{
    const uint8_t *p = bytes;
    uint64_t n = 0;
    memset(out, 0, sizeof *out);
    if (size < 8)
        return sk_fail(err, SPHKV_EINVAL, "not a .safetensors file: %zu bytes", size);
    for (uint32_t i = 0; i < 8; i++)
        n |= (uint64_t)p[i] << 8 * i;
    if (n > HEADER_MAX)
        return sk_fail(err, SPHKV_EINVAL, "not a .safetensors file: its header would be too long");
    if (n > size - 8)
        return sk_fail(err, SPHKV_EINVAL, "the file ends inside its header");
    out->data = p + 8 + n;
    out->data_bytes = size - 8 - n;
    sk_status status = parse_header((const char *)p + 8, n, out, err);
    if (status != SPHKV_OK)
        sk_safetensors_free(out);
    return status;
}

sk_status sk_safetensors_read(const char *path, size_t limit, sk_safetensors *out, sk_err *err)
{
    char *file;
    size_t bytes;
    sk_err why = {0};
    memset(out, 0, sizeof *out);
    sk_status status = sk_file_read(path, limit, &file, &bytes, err);
    if (status != SPHKV_OK)
        return status;
    status = sk_safetensors_parse(file, bytes, out, &why);
    if (status != SPHKV_OK) {
        sk_free(file);
        return sk_fail(err, status, "%.150s: %s", path, why.message);
    }
    out->file = file;
    return SPHKV_OK;
}

void sk_safetensors_free(sk_safetensors *st)
{
    sk_arena_free(&st->arena);
    sk_free(st->file);
    memset(st, 0, sizeof *st);
}

const sk_tensor *sk_safetensors_find(const sk_safetensors *st, const char *name)
{
    for (uint32_t i = 0; i < st->tensors; i++)
        if (strcmp(st->tensor[i].name, name) == 0)
            return &st->tensor[i];
    return NULL;
}

const char *sk_safetensors_note(const sk_safetensors *st, const char *key)
{
    for (uint32_t i = 0; i < st->notes; i++)
        if (strcmp(st->note[i].key, key) == 0)
            return st->note[i].value;
    return NULL;
}
