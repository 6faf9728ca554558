/* layout_ref.c - one page back to dense rows in double, plain scalar code: the
 * reference that every decoder and every attention kernel is judged by. It
 * shares nothing with the kernels but the offsets of layout.c. Mean,
 * permutation and transform of a codebook set are undone here; keys coded before RoPE come back
 * unrotated. */
#include <math.h>
#include <string.h>

#include "layout.h"

static double get_f16(const uint8_t *base, uint32_t index)
{
    uint16_t h;
    memcpy(&h, base + (size_t)index * 2, 2);
    return (double)sk_f16_to_f32(h);
}

static double get_bf16(const uint8_t *base, uint32_t index)
{
    uint16_t h;
    memcpy(&h, base + (size_t)index * 2, 2);
    return (double)sk_bf16_to_f32(h);
}

static double get_f32(const uint8_t *base, uint32_t index)
{
    float f;
    memcpy(&f, base + (size_t)index * 4, 4);
    return (double)f;
}

/* One span's radius of one token. */
static double get_radius(const sk_segment *seg, const sk_seg_layout *at, const uint8_t *page,
                         uint32_t p, uint32_t span, uint32_t token)
{
    uint32_t slot = span * p + token;
    if (seg->rb == 16)
        return get_f16(page + at->radius_off, slot);
    uint32_t code = sk_bits_get(page + at->radius_off, slot * seg->rb, seg->rb);
    double top = (double)((1u << seg->rb) - 1);
    return code / top * get_f16(page + at->rscale_off, span);
}

/* Coded dimension i: dimension `from` of the key, less its mean. */
typedef struct coded_dim {
    uint32_t from;
    double mean;
} coded_dim;

static coded_dim coded_dim_get(const sk_spec *spec, const uint8_t *books, uint32_t i)
{
    coded_dim dim = {.from = i};
    if (spec->book & SPHKV_BOOK_PERMUTATION)
        memcpy(&dim.from, books + sk_codebook_permutation_off(spec) + (size_t)i * 4, 4);
    if (spec->book & SPHKV_BOOK_MEAN)
        dim.mean = get_f32(books + sk_codebook_mean_off(spec), dim.from);
    return dim;
}

/* sum_n T[i][n] x[n] of the set's transform T, or sum_n T[n][i] x[n] for the way back. */
static double turned(const sk_spec *spec, const uint8_t *books, uint32_t i, bool back,
                     const double *x)
{
    const uint8_t *turn = books + sk_codebook_transform_off(spec);
    double sum = 0;
    for (uint32_t n = 0; n < spec->d; n++) {
        const uint32_t row = back ? n : i, column = back ? i : n;
        double t;
        if (spec->book & SPHKV_BOOK_TRANSFORM)
            t = get_f32(turn, column * spec->d + row);
        else
            t = __builtin_popcount(i & n) % 2 ? -get_f32(turn, column) : get_f32(turn, column);
        sum += t * x[n];
    }
    return sum;
}

void sk_coded_key_ref(const sk_spec *spec, const uint8_t *head_codebook, const double *k,
                      uint32_t dim, uint32_t dims, double *x)
{
    double y[1024]; /* the largest head, sk_spec_check */
    uint32_t first = sk_spec_turned(spec) ? 0 : dim, end = sk_spec_turned(spec) ? spec->d : dim + dims;
    for (uint32_t i = first; i < end; i++) {
        coded_dim at = coded_dim_get(spec, head_codebook, i);
        y[i] = k[at.from] - at.mean;
    }
    for (uint32_t i = 0; i < dims; i++)
        x[i] = sk_spec_turned(spec) ? turned(spec, head_codebook, dim + i, false, y) : y[dim + i];
}

/* The sum of the codewords of one group of one token. book: [group][code of the
 * group][dim][code]. */
static void group_word(const sk_spec *spec, const sk_segment *seg, const sk_seg_layout *at,
                       const uint8_t *page, const uint8_t *book, uint32_t group, uint32_t token,
                       double *c)
{
    memset(c, 0, seg->g * sizeof *c);
    for (uint32_t x = 0; x < sk_segment_codes(seg); x++) {
        uint32_t row = group * sk_segment_codes(seg) + x;
        uint32_t bit = sk_layout_code_bit(spec, seg, row, token);
        uint32_t code = sk_bits_get(page + at->code_off, bit, seg->b);
        for (uint32_t i = 0; i < seg->g; i++)
            c[i] += get_f16(book, ((row * seg->g + i) << seg->b) + code);
    }
}

/* The dimensions of coded segment s of one token, as they are coded, into their places in
 * x. */
static void decode_coded(const sk_spec *spec, uint32_t tier_slot, uint32_t s,
                         const sk_seg_layout *at, const uint8_t *page, const uint8_t *books,
                         uint32_t token, double *x)
{
    const sk_segment *seg = &spec->tier[tier_slot].seg[s];
    const uint8_t *book = books + sk_codebook_tier_off(spec, tier_slot, s);
    for (uint32_t j = 0; j < at->groups; j++) {
        double r = get_radius(seg, at, page, spec->page, j * seg->g / at->span_dims, token), c[32];
        group_word(spec, seg, at, page, book, j, token, c);
        for (uint32_t i = 0; i < seg->g; i++)
            x[at->dim0 + j * seg->g + i] = r * c[i];
    }
}

/* Coded dimensions dim .. dim + dims - 1 back to their places in the model's key. */
static void undo_frame(const sk_spec *spec, const uint8_t *books, const double *x, uint32_t dim,
                       uint32_t dims, double *k)
{
    for (uint32_t j = dim; j < dim + dims; j++) {
        coded_dim at = coded_dim_get(spec, books, j);
        k[at.from] = (sk_spec_turned(spec) ? turned(spec, books, j, true, x) : x[j]) + at.mean;
    }
}

static double dense_key(const sk_spec *spec, uint32_t kind, const sk_seg_layout *at,
                        const uint8_t *page, uint32_t dim, uint32_t token)
{
    const uint8_t *keys = page + at->key_off;
    uint32_t e = sk_layout_key_index(at, dim, token);
    switch (kind) {
    case SK_KEY_F32:
        return get_f32(keys, e);
    case SK_KEY_F16:
        return get_f16(keys, e);
    case SK_KEY_BF16:
        return get_bf16(keys, e);
    case SK_KEY_F8:
        return (double)sk_e4m3_to_f32(keys[e]) * get_f16(page + at->kscale_off, 0);
    default:
        break;
    }
    double scale = get_f16(page + at->kscale_off, dim / 32 * spec->page + token);
    if (kind == SK_KEY_I8)
        return (int8_t)keys[e] * scale;
    return ((int)sk_bits_get(keys, e * 4, 4) - 8) * scale;
}

static double dense_value(const sk_spec *spec, uint32_t kind, const sk_page_layout *at,
                          const uint8_t *page, uint32_t token, uint32_t channel)
{
    const uint8_t *values = page + at->value_off;
    uint32_t e = sk_layout_value_index(spec, kind, at, token, channel);
    switch (kind) {
    case SK_VAL_F32:
        return get_f32(values, e);
    case SK_VAL_F16:
        return get_f16(values, e);
    case SK_VAL_BF16:
        return get_bf16(values, e);
    case SK_VAL_F8:
        return (double)sk_e4m3_to_f32(values[e]) * get_f16(page + at->vscale_off, 0);
    case SK_VAL_I8:
        return (int8_t)values[e] * get_f16(page + at->vscale_off, channel);
    default:
        break;
    }
    return sk_bits_get(values, e * 4, 4) * get_f16(page + at->vscale_off, channel) +
           get_f16(page + at->vmin_off, channel);
}

/* One token's whole key. */
static void decode_key(const sk_spec *spec, uint32_t tier_slot, const sk_page_layout *at,
                       const uint8_t *page, const uint8_t *books, uint32_t token, double *k)
{
    double x[1024]; /* the largest head, sk_spec_check */
    for (uint32_t s = 0; s < at->nseg; s++)
        if (spec->tier[tier_slot].seg[s].kind == SK_KEY_CODED)
            decode_coded(spec, tier_slot, s, &at->seg[s], page, books, token, x);
    for (uint32_t s = 0; s < at->nseg; s++) {
        const sk_seg_layout *seg = &at->seg[s];
        uint32_t kind = spec->tier[tier_slot].seg[s].kind;
        if (kind == SK_KEY_CODED)
            undo_frame(spec, books, x, seg->dim0, seg->dims, k);
        for (uint32_t d = 0; d < seg->dims && kind != SK_KEY_CODED; d++)
            k[seg->dim0 + d] = dense_key(spec, kind, seg, page, d, token);
    }
}

void sk_page_decode_ref(const sk_spec *spec, uint32_t tier_slot, const uint8_t *page,
                        uint32_t tokens, const uint8_t *head_codebook, double *k, double *v)
{
    const sk_tier *tier = &spec->tier[tier_slot];
    sk_page_layout at;
    sk_page_layout_get(spec, tier_slot, &at);
    for (uint32_t t = 0; t < tokens; t++) {
        double key[1024]; /* the largest head, sk_spec_check */
        double *row = v ? v + (size_t)t * spec->dv : NULL;
        if (k)
            decode_key(spec, tier_slot, &at, page, head_codebook, t, k + (size_t)t * spec->d);
        if (v && tier->value == SK_VAL_KEY) { /* the key's first Dv dimensions */
            decode_key(spec, tier_slot, &at, page, head_codebook, t, key);
            memcpy(row, key, spec->dv * sizeof *row);
        }
        for (uint32_t c = 0; v && tier->value != SK_VAL_KEY && c < spec->dv; c++)
            row[c] = dense_value(spec, tier->value, &at, page, t, c);
    }
}
