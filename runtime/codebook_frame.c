/* codebook_frame.c - what a codebook set holds beside its codewords: the frame that keys
 * are coded in. */
#include <math.h>
#include <string.h>

#include "codebook.h"

/* ---- by chance ------------------------------------------------------------------ */

/* Rows of an orthogonal matrix: gaussian ones, what earlier ones have of each taken off
 * twice, since once leaves roundings that add up. */
static void random_rotation(sk_rng *rng, uint32_t d, float *rows, double *work)
{
    for (uint32_t i = 0; i < d; i++) {
        double *row = work + (size_t)i * d, norm = 0;
        for (uint32_t k = 0; k < d; k++)
            row[k] = sk_rng_normal(rng);
        for (uint32_t n = 0; n < 2 * i; n++) {
            const double *other = work + (size_t)(n % i) * d;
            double dot = 0;
            for (uint32_t k = 0; k < d; k++)
                dot += row[k] * other[k];
            for (uint32_t k = 0; k < d; k++)
                row[k] -= dot * other[k];
        }
        for (uint32_t k = 0; k < d; k++)
            norm += row[k] * row[k];
        for (uint32_t k = 0; k < d; k++) {
            row[k] /= sqrt(norm);
            rows[(size_t)i * d + k] = (float)row[k];
        }
    }
}

static sk_status make_transform(sphkv_codebook *cb, uint64_t seed, sk_err *err)
{
    uint32_t d = cb->spec.d;
    sk_rng rng;
    double *work = sk_malloc((size_t)d * d * sizeof *work);
    cb->transform = sk_malloc((size_t)cb->kv_heads * d * d * sizeof *cb->transform);
    if (!work || !cb->transform) {
        sk_free(work);
        return sk_fail(err, SPHKV_ENOMEM, "out of memory for a codebook set");
    }
    sk_rng_seed(&rng, seed ^ UINT64_C(0x7472616e73666f72));
    for (uint32_t h = 0; h < cb->kv_heads; h++)
        random_rotation(&rng, d, cb->transform + (size_t)h * d * d, work);
    sk_free(work);
    return SPHKV_OK;
}

static sk_status make_signs(sphkv_codebook *cb, uint64_t seed, sk_err *err)
{
    size_t n = (size_t)cb->kv_heads * cb->spec.d;
    sk_rng rng;
    cb->signs = sk_malloc(n * sizeof *cb->signs);
    if (!cb->signs)
        return sk_fail(err, SPHKV_ENOMEM, "out of memory for a codebook set");
    sk_rng_seed(&rng, seed ^ UINT64_C(0x6861646d61726400));
    for (size_t i = 0; i < n; i++)
        cb->signs[i] = sk_rng_below(&rng, 2) ? 1.0f : -1.0f;
    return SPHKV_OK;
}

sk_status sk_codebook_frame_make(sphkv_codebook *cb, uint64_t seed, sk_err *err)
{
    uint32_t d = cb->spec.d, flags = cb->spec.ntiers ? cb->spec.book : 0;
    sk_status st = SPHKV_OK;
    if (flags & SPHKV_BOOK_MEAN)
        cb->mean = sk_calloc((size_t)cb->kv_heads * d, sizeof *cb->mean);
    if (flags & SPHKV_BOOK_PERMUTATION)
        cb->permutation = sk_malloc(d * sizeof *cb->permutation);
    if (!cb->mean != !(flags & SPHKV_BOOK_MEAN) ||
        !cb->permutation != !(flags & SPHKV_BOOK_PERMUTATION))
        return sk_fail(err, SPHKV_ENOMEM, "out of memory for a codebook set");
    for (uint32_t i = 0; i < d && cb->permutation; i++)
        cb->permutation[i] = i / 2 + i % 2 * (d / 2);
    if (flags & SPHKV_BOOK_TRANSFORM)
        st = make_transform(cb, seed, err);
    if (st == SPHKV_OK && flags & SPHKV_BOOK_HADAMARD)
        st = make_signs(cb, seed, err);
    return st;
}

/* ---- as kernels read it, and as it is applied ------------------------------------- */

/* Columns of a transform, or what those of a Hadamard matrix are multiplied by. */
static void pack_transform(const sphkv_codebook *cb, uint32_t h, uint8_t *at)
{
    uint32_t d = cb->spec.d;
    const float *rows = cb->transform ? cb->transform + (size_t)h * d * d : NULL;
    for (uint32_t j = 0; j < d; j++) {
        for (uint32_t i = 0; rows && i < d; i++)
            memcpy(at + ((size_t)j * d + i) * 4, &rows[(size_t)i * d + j], 4);
        float sign = rows ? 0 : (float)((double)cb->signs[(size_t)h * d + j] / sqrt(d));
        if (!rows)
            memcpy(at + (size_t)j * 4, &sign, 4);
    }
}

void sk_codebook_frame_pack(sphkv_codebook *cb)
{
    uint32_t d = cb->spec.d, flags = cb->spec.book;
    for (uint32_t h = 0; h < cb->kv_heads && cb->packed; h++) {
        uint8_t *head = cb->packed + (size_t)cb->head_bytes * h;
        if (flags & SPHKV_BOOK_PERMUTATION)
            memcpy(head + sk_codebook_permutation_off(&cb->spec), cb->permutation,
                   d * sizeof *cb->permutation);
        if (flags & SPHKV_BOOK_MEAN)
            memcpy(head + sk_codebook_mean_off(&cb->spec), cb->mean + (size_t)h * d,
                   d * sizeof *cb->mean);
        if (sk_spec_turned(&cb->spec))
            pack_transform(cb, h, head + sk_codebook_transform_off(&cb->spec));
    }
}

/* H x in place. */
static void hadamard(double *x, uint32_t d)
{
    for (uint32_t s = 1; s < d; s *= 2)
        for (uint32_t i = 0; i < d; i++) {
            double a = x[i], b = x[i | s];
            if (i & s)
                continue;
            x[i] = a + b;
            x[i | s] = a - b;
        }
}

void sk_codebook_frame_key(const sphkv_codebook *cb, uint32_t kv_head, const float *key, double *x)
{
    uint32_t d = cb->spec.d;
    double y[1024]; /* the largest head, sk_spec_check */
    const float *signs = cb->signs ? cb->signs + (size_t)kv_head * d : NULL;
    const float *rows = cb->transform ? cb->transform + (size_t)kv_head * d * d : NULL;
    for (uint32_t i = 0; i < d; i++) {
        uint32_t from = cb->permutation ? cb->permutation[i] : i;
        double mean = cb->mean ? (double)cb->mean[(size_t)kv_head * d + from] : 0;
        y[i] = (double)key[from] - mean;
        x[i] = signs ? y[i] * (double)signs[i] / sqrt(d) : y[i];
    }
    if (signs)
        hadamard(x, d);
    for (uint32_t i = 0; i < d && rows; i++) {
        x[i] = 0;
        for (uint32_t j = 0; j < d; j++)
            x[i] += (double)rows[(size_t)i * d + j] * y[j];
    }
}
