/* layout_ref.c - one page back to dense rows in double, plain scalar code: the
 * reference that every decoder and every attention kernel is judged by. It
 * shares nothing with the kernels but the offsets of layout.c. Mean,
 * permutation and transform of a codebook set are not undone here, and keys
 * coded before RoPE come back unrotated: a page holds what was coded. */
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

/* Dimensions of a coded segment of one token; book: [group][dim][code] f16. */
static void decode_coded(const sk_spec *spec, const sk_segment *seg, const sk_seg_layout *at,
                         const uint8_t *page, const uint8_t *book, uint32_t token, double *k)
{
    uint32_t codes = 1u << seg->b;
    for (uint32_t j = 0; j < at->groups; j++) {
        double r = get_radius(seg, at, page, spec->page, j * seg->g / at->span_dims, token);
        uint32_t bit = sk_layout_code_bit(spec, seg, j, token);
        uint32_t code = sk_bits_get(page + at->code_off, bit, seg->b);
        for (uint32_t i = 0; i < seg->g; i++)
            k[j * seg->g + i] = r * get_f16(book, (j * seg->g + i) * codes + code);
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

/* Dimensions dim .. of segment s of one token. */
static void decode_segment(const sk_spec *spec, uint32_t tier_slot, uint32_t s,
                           const sk_page_layout *at, const uint8_t *page, const uint8_t *books,
                           uint32_t token, double *k)
{
    const sk_segment *seg = &spec->tier[tier_slot].seg[s];
    if (seg->kind == SK_KEY_CODED) {
        const uint8_t *book = books + sk_codebook_tier_off(spec, tier_slot, s);
        decode_coded(spec, seg, &at->seg[s], page, book, token, k);
        return;
    }
    for (uint32_t d = 0; d < at->seg[s].dims; d++)
        k[d] = dense_key(spec, seg->kind, &at->seg[s], page, d, token);
}

/* The values of a vk tier: the key's first Dv dimensions, segment by segment,
 * through a buffer that holds one segment at its largest. */
static void values_of_key(const sk_spec *spec, uint32_t tier_slot, const sk_page_layout *at,
                          const uint8_t *page, const uint8_t *books, uint32_t token, double *v)
{
    double row[1024]; /* the largest head, sk_spec_check */
    for (uint32_t s = 0; s < at->nseg && at->seg[s].dim0 < spec->dv; s++)
        decode_segment(spec, tier_slot, s, at, page, books, token, row + at->seg[s].dim0);
    memcpy(v, row, spec->dv * sizeof *v);
}

void sk_page_decode_ref(const sk_spec *spec, uint32_t tier_slot, const uint8_t *page,
                        uint32_t tokens, const uint8_t *head_codebook, double *k, double *v)
{
    const sk_tier *tier = &spec->tier[tier_slot];
    sk_page_layout at;
    sk_page_layout_get(spec, tier_slot, &at);
    for (uint32_t t = 0; t < tokens; t++) {
        for (uint32_t s = 0; k && s < at.nseg; s++)
            decode_segment(spec, tier_slot, s, &at, page, head_codebook, t,
                           k + (size_t)t * spec->d + at.seg[s].dim0);
        if (!v)
            continue;
        double *row = v + (size_t)t * spec->dv;
        if (tier->value == SK_VAL_KEY) {
            values_of_key(spec, tier_slot, &at, page, head_codebook, t, row);
            continue;
        }
        for (uint32_t c = 0; c < spec->dv; c++)
            row[c] = dense_value(spec, tier->value, &at, page, t, c);
    }
}
