/* codebook_save.c - codebook sets as .safetensors files, format version 1.
 *
 *   tier.<key>.seg<i>.codebook  F16 [kv_heads, rows, codes, g], rows = groups times
 *                               codes of a group (those of a group side by side), one for every
 *                               coded segment; <key> is the text of the tier's
 *                               key, so tiers that share a key share a table
 *   mean         F32 [kv_heads, d]   optional
 *   permutation  I32 [d]             optional
 *   transform    F32 [d, d]          optional, orthogonal rows; [kv_heads, d, d] where heads
 *                                    have their own
 *   hadamard     F32 [kv_heads, d]   optional, signs (1 or -1) of the permuted dimensions
 *   __metadata__ format = sphkv.codebook, version, head_dim, kv_heads;
 *                transform = none | folded; data_sha256 (hex, over all data)
 *
 * Written at once and renamed into place. */
#include <string.h>

#include "codebook_file.h"
#include "safetensors.h"

/* A file in the making. */
typedef struct writing {
    sk_arena arena;
    sk_tensor tensor[SK_MAX_TIERS * SK_MAX_SEGMENTS + 4];
    uint32_t tensors;
    bool failed; /* out of memory */
} writing;

static void write_tensor(writing *w, const char *name, uint32_t dtype, const void *data,
                         uint32_t ndim, const uint64_t *dims)
{
    sk_tensor *t = &w->tensor[w->tensors++];
    *t = (sk_tensor){.name = name, .dtype = dtype, .ndim = ndim, .count = 1, .data = data};
    for (uint32_t i = 0; i < ndim; i++) {
        t->dims[i] = dims[i];
        t->count *= dims[i];
    }
    t->bytes = t->count * sk_tensor_dtype_bytes(dtype);
}

/* One segment's codebooks, unless an earlier tier with this key wrote them. */
static void write_part(writing *w, const sphkv_codebook *cb, const sk_codebook_part *part)
{
    char text[SK_CODEBOOK_NAME];
    if (!sk_codebook_part_name(part, text)) {
        w->failed = true;
        return;
    }
    for (uint32_t i = 0; i < w->tensors; i++)
        if (strcmp(w->tensor[i].name, text) == 0)
            return;
    size_t table = (size_t)part->codes * part->g;
    char *name = sk_arena_strdup(&w->arena, text);
    uint16_t *words = sk_arena_alloc(&w->arena, table * part->rows * cb->kv_heads * 2);
    if (!name || !*name || !words) {
        w->failed = true;
        return;
    }
    for (uint32_t h = 0; h < cb->kv_heads; h++)
        for (uint32_t j = 0; j < part->rows; j++)
            sk_codebook_words_get(cb, part, h, j, words + table * (h * part->rows + j));
    uint64_t dims[4] = {cb->kv_heads, part->rows, part->codes, part->g};
    write_tensor(w, name, SK_TENSOR_F16, words, 4, dims);
}

static const char *number_text(sk_arena *arena, uint32_t n)
{
    sk_text t = {0};
    sk_text_printf(&t, "%u", n);
    const char *s = t.failed ? NULL : sk_arena_strdup(arena, t.s);
    sk_text_free(&t);
    return s;
}

static sk_status write_file(writing *w, const sphkv_codebook *cb, const char *path, sk_err *err)
{
    char hex[65];
    sk_sha256 sha;
    sk_sha256_init(&sha);
    for (uint32_t i = 0; i < w->tensors; i++)
        sk_sha256_add(&sha, w->tensor[i].data, w->tensor[i].bytes);
    sk_sha256_hex(&sha, hex);
    sk_tensor_note notes[] = {
        {"format", SK_CODEBOOK_FORMAT},
        {"version", number_text(&w->arena, SPHKV_FORMAT_VERSION)},
        {"head_dim", number_text(&w->arena, cb->spec.d)},
        {"kv_heads", number_text(&w->arena, cb->kv_heads)},
        {"transform", cb->transform_folded ? "folded" : "none"},
        {"data_sha256", hex},
    };
    for (uint32_t i = 0; i < SK_COUNT(notes); i++)
        w->failed |= !notes[i].value;
    if (w->failed)
        return sk_fail(err, SPHKV_ENOMEM, "out of memory writing %s", path);
    return sk_safetensors_write(path, w->tensor, w->tensors, notes, SK_COUNT(notes), err);
}

/* Whether not all heads have the same. */
static bool own_transforms(const sphkv_codebook *cb)
{
    const size_t each = (size_t)cb->spec.d * cb->spec.d;
    for (uint32_t h = 1; h < cb->kv_heads; h++)
        if (memcmp(cb->transform + h * each, cb->transform, each * sizeof *cb->transform) != 0)
            return true;
    return false;
}

sphkv_status sphkv_codebook_save(const sphkv_codebook *cb, const char *path, sphkv_error *err)
{
    writing w = {.tensors = 0};
    sk_codebook_part part;
    if (!cb || !path)
        return sk_fail(err, SPHKV_EINVAL, "no codebook set, or no path, to save");
    uint64_t d = cb->spec.d, heads[2] = {cb->kv_heads, d}, square[3] = {cb->kv_heads, d, d};
    for (uint32_t i = 0; sk_codebook_part_get(cb, i, &part); i++)
        write_part(&w, cb, &part);
    if (cb->mean)
        write_tensor(&w, "mean", SK_TENSOR_F32, cb->mean, 2, heads);
    if (cb->permutation)
        write_tensor(&w, "permutation", SK_TENSOR_I32, cb->permutation, 1, &d);
    if (cb->transform && own_transforms(cb))
        write_tensor(&w, "transform", SK_TENSOR_F32, cb->transform, 3, square);
    else if (cb->transform)
        write_tensor(&w, "transform", SK_TENSOR_F32, cb->transform, 2, square + 1);
    if (cb->signs)
        write_tensor(&w, "hadamard", SK_TENSOR_F32, cb->signs, 2, heads);
    sk_status st = write_file(&w, cb, path, err);
    sk_arena_free(&w.arena);
    return st;
}
