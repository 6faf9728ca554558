/* codebook_load.c - the loader of codebook sets; codebook_save.c has the format.
 *
 * A file may hold more keys than a mix asks for. All of it is checked, whatever
 * is asked for; a tensor that this version does not know is refused, because it
 * would change what the codes mean. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codebook_file.h"
#include "safetensors.h"

#define FILE_LIMIT ((size_t)1 << 30)

/* ---- loading: the notes ------------------------------------------------------- */

static sk_status check_number(const sk_safetensors *f, const char *key, uint32_t want, sk_err *err)
{
    const char *text = sk_safetensors_note(f, key);
    uint64_t n;
    if (!text || !sk_parse_u64(text, 0, UINT32_MAX, &n))
        return sk_fail(err, SPHKV_EINVAL, "__metadata__ does not say %s", key);
    if (n != want)
        return sk_fail(err, SPHKV_EINVAL, "%s is %.20s, not %u", key, text, want);
    return SPHKV_OK;
}

static sk_status check_notes(const sk_safetensors *f, sphkv_codebook *cb, sk_err *err)
{
    const char *format = sk_safetensors_note(f, "format");
    const char *transform = sk_safetensors_note(f, "transform");
    const char *hash = sk_safetensors_note(f, "data_sha256");
    char hex[65];
    if (!format || strcmp(format, SK_CODEBOOK_FORMAT) != 0)
        return sk_fail(err, SPHKV_EINVAL, "not a codebook set: format is not " SK_CODEBOOK_FORMAT);
    sk_status st = check_number(f, "version", SPHKV_FORMAT_VERSION, err);
    if (st == SPHKV_OK)
        st = check_number(f, "head_dim", cb->spec.d, err);
    if (st == SPHKV_OK)
        st = check_number(f, "kv_heads", cb->kv_heads, err);
    if (st != SPHKV_OK)
        return st;
    if (transform && strcmp(transform, "none") != 0 && strcmp(transform, "folded") != 0)
        return sk_fail(err, SPHKV_EINVAL, "transform is '%.40s': there are none and folded",
                       transform);
    cb->transform_folded = transform && strcmp(transform, "folded") == 0;
    if (!hash)
        return sk_fail(err, SPHKV_EINVAL, "__metadata__ does not say data_sha256");
    sk_sha256_of(f->data, f->data_bytes, hex);
    if (strcmp(hash, hex) != 0)
        return sk_fail(err, SPHKV_EINVAL, "the data do not match data_sha256: the file is damaged");
    return SPHKV_OK;
}

/* ---- loading: tensors ----------------------------------------------------------- */

static sk_status check_form(const sk_tensor *t, uint32_t dtype, uint32_t ndim, const uint64_t *dims,
                            sk_err *err)
{
    bool same = t->dtype == dtype && t->ndim == ndim;
    for (uint32_t i = 0; same && i < ndim; i++)
        same = t->dims[i] == dims[i];
    if (same)
        return SPHKV_OK;
    sk_tensor want = {.ndim = ndim};
    sk_text has = {0}, needs = {0};
    memcpy(want.dims, dims, ndim * sizeof *dims);
    sk_tensor_shape_print(t, &has);
    sk_tensor_shape_print(&want, &needs);
    sk_status st = sk_fail(err, SPHKV_EINVAL, "tensor '%.100s' is %s %s, not %s %s", t->name,
                           sk_tensor_dtype_name(t->dtype), has.s ? has.s : "",
                           sk_tensor_dtype_name(dtype), needs.s ? needs.s : "");
    sk_text_free(&has);
    sk_text_free(&needs);
    return st;
}

/* Finite, and unit vectors where they must be. */
static sk_status check_words(const sk_tensor *t, uint32_t g, bool unit, sk_err *err)
{
    for (uint64_t i = 0; i < t->count; i += g) {
        float word[32];
        double square = 0;
        sk_tensor_to_f32(t, i, g, word);
        for (uint32_t k = 0; k < g; k++)
            square += (double)word[k] * (double)word[k];
        if (!isfinite(square))
            return sk_fail(err, SPHKV_EINVAL, "tensor '%.100s': codeword %llu is not finite",
                           t->name, (unsigned long long)(i / g));
        if (unit && fabs(square - 1) > 0.02)
            return sk_fail(err, SPHKV_EINVAL, "tensor '%.100s': codeword %llu is no unit vector",
                           t->name, (unsigned long long)(i / g));
    }
    return SPHKV_OK;
}

/* "tier.<key>.seg<i>.codebook" taken apart into the key of a tier and a segment. */
static bool split_name(const char *name, char key[SK_CODEBOOK_KEY], uint32_t *seg)
{
    static const char head[] = "tier.", tail[] = ".codebook";
    size_t n = strlen(name), h = sizeof head - 1, e = sizeof tail - 1;
    if (n <= h + e + 5 || memcmp(name, head, h) != 0 || strcmp(name + n - e, tail) != 0)
        return false;
    char digit = name[n - e - 1];
    size_t len = n - e - 5 - h;
    if (memcmp(name + n - e - 5, ".seg", 4) != 0 || digit < '0' || digit > '3' ||
        len >= SK_CODEBOOK_KEY)
        return false;
    memcpy(key, name + h, len);
    key[len] = '\0';
    *seg = (uint32_t)(digit - '0');
    return true;
}

/* The set, without memory, of the one key that a tensor names: it knows places
 * and shapes. */
static sk_status set_of_key(const char *key, const sphkv_codebook *cb, sphkv_codebook *one,
                            sk_err *err)
{
    sk_spec spec = {.d = cb->spec.d, .dv = cb->spec.d, .heads_per_kv = 1, .page = 128, .ntiers = 1};
    sk_text tier = {0};
    sk_text_printf(&tier, "%s:vf32", key);
    sk_status st = tier.failed ? sk_fail(err, SPHKV_ENOMEM, "out of memory")
                               : sk_tier_parse(tier.s, &spec.tier[0], err);
    sk_text_free(&tier);
    if (st == SPHKV_OK)
        st = sk_spec_check(&spec, err);
    if (st == SPHKV_OK)
        st = sk_codebook_take_spec(one, &spec, err);
    one->kv_heads = cb->kv_heads;
    return st;
}

static sk_status check_codebook(const sk_tensor *t, const sphkv_codebook *cb, sk_err *err)
{
    char key[SK_CODEBOOK_KEY];
    uint32_t seg, i = 0;
    sk_err why = {0};
    sphkv_codebook one = {0};
    sk_codebook_part part;
    if (!split_name(t->name, key, &seg))
        return sk_fail(err, SPHKV_EINVAL, "tensor '%.100s' is not one that this version knows",
                       t->name);
    sk_status st = set_of_key(key, cb, &one, &why);
    if (st != SPHKV_OK)
        return sk_fail(err, st, "tensor '%.100s': %s", t->name, why.message);
    do {
        if (!sk_codebook_part_get(&one, i++, &part))
            return sk_fail(err, SPHKV_EINVAL, "tensor '%.100s': the key has no such coded segment",
                           t->name);
    } while (part.seg != seg);
    if (strcmp(part.key, key) != 0)
        return sk_fail(err, SPHKV_EINVAL, "tensor '%.100s': its key is spelt %s", t->name,
                       part.key);
    uint64_t dims[4] = {cb->kv_heads, part.rows, part.codes, part.g};
    st = check_form(t, SK_TENSOR_F16, 4, dims, err);
    return st == SPHKV_OK ? check_words(t, part.g, part.unit, err) : st;
}

/* ---- loading: what goes with the codewords -------------------------------------- */

static sk_status load_mean(const sk_tensor *t, sphkv_codebook *cb, sk_err *err)
{
    uint64_t dims[2] = {cb->kv_heads, cb->spec.d};
    sk_status st = check_form(t, SK_TENSOR_F32, 2, dims, err);
    if (st != SPHKV_OK)
        return st;
    cb->mean = sk_malloc(t->bytes);
    if (!cb->mean)
        return sk_fail(err, SPHKV_ENOMEM, "out of memory");
    sk_tensor_to_f32(t, 0, t->count, cb->mean);
    for (uint64_t i = 0; i < t->count; i++)
        if (!isfinite(cb->mean[i]))
            return sk_fail(err, SPHKV_EINVAL, "mean: element %llu is not finite",
                           (unsigned long long)i);
    return SPHKV_OK;
}

static sk_status load_permutation(const sk_tensor *t, sphkv_codebook *cb, sk_err *err)
{
    uint64_t d = cb->spec.d;
    sk_status st = check_form(t, SK_TENSOR_I32, 1, &d, err);
    if (st != SPHKV_OK)
        return st;
    cb->permutation = sk_malloc(t->bytes);
    if (!cb->permutation)
        return sk_fail(err, SPHKV_ENOMEM, "out of memory");
    memcpy(cb->permutation, t->data, t->bytes);
    uint32_t flaw = sk_permutation_flaw(cb->permutation, cb->spec.d);
    if (flaw < d)
        return sk_fail(err, SPHKV_EINVAL, "permutation: element %u is out of range or twice", flaw);
    return SPHKV_OK;
}

/* Rows of one matrix, checked. */
static sk_status check_rotation(const float *rows, uint32_t d, sk_err *err)
{
    for (uint32_t i = 0; i < d; i++)
        for (uint32_t j = 0; j <= i; j++) {
            const float *a = rows + (size_t)i * d, *b = rows + (size_t)j * d;
            double sum = 0;
            for (uint32_t k = 0; k < d; k++)
                sum += (double)a[k] * (double)b[k];
            if (!(fabs(sum - (i == j)) <= 1e-3))
                return sk_fail(err, SPHKV_EINVAL,
                               "transform: rows %u and %u are not orthonormal: their product is %.4g",
                               j, i, sum);
        }
    return SPHKV_OK;
}

/* [d, d] for all KV heads, or [kv_heads, d, d]. */
static sk_status load_transform(const sk_tensor *t, sphkv_codebook *cb, sk_err *err)
{
    uint32_t d = cb->spec.d, own = t->ndim == 3 ? cb->kv_heads : 1;
    size_t each = (size_t)d * d;
    uint64_t dims[3] = {cb->kv_heads, d, d};
    sk_status st = check_form(t, SK_TENSOR_F32, t->ndim == 3 ? 3 : 2, t->ndim == 3 ? dims : dims + 1, err);
    if (st != SPHKV_OK)
        return st;
    cb->transform = sk_malloc(each * cb->kv_heads * sizeof *cb->transform);
    if (!cb->transform)
        return sk_fail(err, SPHKV_ENOMEM, "out of memory");
    sk_tensor_to_f32(t, 0, t->count, cb->transform);
    for (uint32_t h = 0; st == SPHKV_OK && h < own; h++)
        st = check_rotation(cb->transform + h * each, d, err);
    for (uint32_t h = own; h < cb->kv_heads; h++)
        memcpy(cb->transform + h * each, cb->transform, each * sizeof *cb->transform);
    return st;
}

static sk_status load_signs(const sk_tensor *t, sphkv_codebook *cb, sk_err *err)
{
    uint32_t d = cb->spec.d;
    uint64_t dims[2] = {cb->kv_heads, d};
    sk_status st = check_form(t, SK_TENSOR_F32, 2, dims, err);
    if (st != SPHKV_OK)
        return st;
    if ((d & (d - 1)) != 0)
        return sk_fail(err, SPHKV_EINVAL, "hadamard: %u dimensions are no power of two", d);
    cb->signs = sk_malloc(t->bytes);
    if (!cb->signs)
        return sk_fail(err, SPHKV_ENOMEM, "out of memory");
    sk_tensor_to_f32(t, 0, t->count, cb->signs);
    for (uint64_t i = 0; i < t->count; i++)
        if (!(fabsf(cb->signs[i]) == 1))
            return sk_fail(err, SPHKV_EINVAL, "hadamard: element %llu is %.4g, not 1 or -1",
                           (unsigned long long)i, (double)cb->signs[i]);
    return SPHKV_OK;
}

static sk_status load_tensor(const sk_tensor *t, sphkv_codebook *cb, sk_err *err)
{
    if (strcmp(t->name, "mean") == 0)
        return load_mean(t, cb, err);
    if (strcmp(t->name, "permutation") == 0)
        return load_permutation(t, cb, err);
    if (strcmp(t->name, "transform") == 0)
        return load_transform(t, cb, err);
    if (strcmp(t->name, "hadamard") == 0)
        return load_signs(t, cb, err);
    return check_codebook(t, cb, err);
}

/* ---- loading: the whole --------------------------------------------------------- */

/* Copies the codewords of one part out of its tensor, checked before. */
static sk_status load_part(const sk_safetensors *f, sphkv_codebook *cb,
                           const sk_codebook_part *part, sk_err *err)
{
    char name[SK_CODEBOOK_NAME];
    if (!sk_codebook_part_name(part, name))
        return sk_fail(err, SPHKV_ENOMEM, "out of memory");
    const sk_tensor *t = sk_safetensors_find(f, name);
    if (!t)
        return sk_fail(err, SPHKV_ENOTFOUND, "no codebook for segment %u of the key %s", part->seg,
                       part->key);
    size_t table = (size_t)part->codes * part->g * 2;
    uint16_t words[SK_CODEBOOK_WORDS_MAX];
    for (uint32_t h = 0; h < cb->kv_heads; h++)
        for (uint32_t j = 0; j < part->rows; j++) {
            memcpy(words, t->data + table * (h * part->rows + j), table);
            sk_codebook_words_put(cb, part, h, j, words);
        }
    return SPHKV_OK;
}

static sk_status load_all(const sk_safetensors *f, sphkv_codebook *cb, sk_err *err)
{
    sk_codebook_part part;
    sk_status st = check_notes(f, cb, err);
    for (uint32_t i = 0; st == SPHKV_OK && i < f->tensors; i++)
        st = load_tensor(&f->tensor[i], cb, err);
    for (uint32_t i = 0; st == SPHKV_OK && sk_codebook_part_get(cb, i, &part); i++)
        st = load_part(f, cb, &part, err);
    if (st == SPHKV_OK && sk_codebook_agrees(cb, NULL) == SPHKV_OK)
        sk_codebook_frame_pack(cb);
    return st;
}

sk_status sk_codebook_load(const char *path, const sk_spec *spec, uint32_t kv_heads,
                           sphkv_codebook **out, sk_err *err)
{
    sk_safetensors f;
    sk_err why = {0};
    sphkv_codebook *cb = NULL;
    *out = NULL;
    sk_status st = sk_safetensors_read(path, FILE_LIMIT, &f, err);
    if (st != SPHKV_OK)
        return st;
    st = sk_codebook_new(spec, kv_heads, &cb, &why);
    if (st == SPHKV_OK)
        st = load_all(&f, cb, &why);
    sk_safetensors_free(&f);
    if (st == SPHKV_OK) {
        *out = cb;
        return SPHKV_OK;
    }
    sphkv_codebook_free(cb);
    return sk_fail(err, st, "%.150s: %s", path, why.message);
}

/* What the public calls hand out must be right for the kernels: they never see
 * the set, only its packed bytes, so one that asks for more is refused here. */
sphkv_status sphkv_codebook_load(const char *path, const sphkv_spec_params *params,
                                 uint32_t kv_heads, sphkv_codebook **out, sphkv_error *err)
{
    sk_spec spec;
    sk_err why = {0};
    sphkv_codebook *cb;
    if (!out || !path)
        return sk_fail(err, SPHKV_EINVAL, "no path, or no place for the codebook set");
    *out = NULL;
    sk_status st = sk_spec_from_params(params, &spec, err);
    if (st == SPHKV_OK)
        st = sk_codebook_load(path, &spec, kv_heads, &cb, err);
    if (st != SPHKV_OK)
        return st;
    st = sk_codebook_agrees(cb, &why);
    if (st == SPHKV_OK) {
        *out = cb;
        return SPHKV_OK;
    }
    sphkv_codebook_free(cb);
    return sk_fail(err, st, "%.150s: %s", path, why.message);
}
