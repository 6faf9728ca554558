/* case_input.c - the numbers of the input sets, seeded and the same on every
 * machine. Only shapes of distributions are made here; the queries are scaled
 * afterwards, against the keys as they were coded (case_attn.c), because what a
 * tier forgets also narrows its logits. */
#include <math.h>
#include <string.h>

#include "case_impl.h"

static const char *const input_names[SK_INPUT_COUNT] = {
    [SK_IN_S1] = "S1",           [SK_IN_PEAKY] = "peaky", [SK_IN_CANCEL] = "cancel",
    [SK_IN_EXTREME] = "extreme", [SK_IN_SINK] = "sink",   [SK_IN_EDGE] = "edge",
};

const char *sk_input_name(uint32_t input)
{
    return input < SK_INPUT_COUNT ? input_names[input] : NULL;
}

static void fill_normal(sk_rng *rng, uint32_t n, double *x)
{
    for (uint32_t i = 0; i < n; i++)
        x[i] = sk_rng_normal(rng);
}

double sk_case_norm(const double *x, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sqrt(sum);
}

/* The first half of the dimensions leans up, the other down, so that a query
 * of one sign adds large numbers that cancel; tokens come in pairs of one key
 * and opposite values, which cancel in the output. */
static void fill_cancel(const sk_spec *spec, sk_rng *rng, uint32_t count, double *k, double *v)
{
    for (uint32_t t = 0; t < count; t++) {
        double *kt = k + (size_t)t * spec->d, *vt = v + (size_t)t * spec->dv;
        if (t % 2) {
            memcpy(kt, kt - spec->d, spec->d * sizeof *kt);
            for (uint32_t c = 0; c < spec->dv; c++)
                vt[c] = 0.01 * sk_rng_normal(rng) - vt[(ptrdiff_t)c - (ptrdiff_t)spec->dv];
            continue;
        }
        fill_normal(rng, spec->dv, vt);
        for (uint32_t i = 0; i < spec->d; i++)
            kt[i] = sk_rng_normal(rng) + (i < spec->d / 2 ? 1.5 : -1.5);
    }
}

/* From 2^low over `octaves` octaves, by exact operations only. */
static double spread(sk_rng *rng, int low, uint32_t octaves)
{
    int octave = (int)sk_rng_below(rng, octaves);
    return ldexp(1 + sk_rng_unit(rng), low + octave);
}

/* Class fast takes f16 keys below 2^-14 for 0 (part_short.c). */
static bool drops_small_keys(const sk_spec *spec)
{
    for (uint32_t t = 0; t < spec->ntiers; t++)
        for (uint32_t s = 0; s < spec->tier[t].nseg; s++)
            if (spec->accuracy == SPHKV_FAST && spec->tier[t].seg[s].kind == SK_KEY_F16) return true;
    return false;
}

/* Norms from 2^-20 to 2^14: what f16 radii and f16 elements both hold, with
 * room for a least-squares radius above the norm; from 2^-6 where elements of some tokens
 * would all be dropped. Channels of V differ by 10^6. */
static void fill_extreme(const sk_spec *spec, sk_rng *rng, uint32_t count, double *k, double *v)
{
    double channel[1024];
    for (uint32_t c = 0; c < spec->dv; c++)
        channel[c] = spread(rng, -10, 20);
    for (uint32_t t = 0; t < count; t++) {
        double *kt = k + (size_t)t * spec->d, *vt = v + (size_t)t * spec->dv;
        double radius = drops_small_keys(spec) ? spread(rng, -6, 20) : spread(rng, -20, 34);
        fill_normal(rng, spec->d, kt);
        fill_normal(rng, spec->dv, vt);
        double scale =
            t % 16 == 5 ? 0 : radius / sk_case_norm(kt, spec->d); /* some keys are zero */
        for (uint32_t i = 0; i < spec->d; i++)
            kt[i] *= scale;
        for (uint32_t c = 0; c < spec->dv; c++)
            vt[c] *= c % 32 == 7 ? 0 : channel[c]; /* and some channels */
    }
}

/* Keys from row `first` on, four times as long as the others and nearly the same, with
 * next to no values: up to three, or four to nineteen that are as near as if they were one. */
static void put_sinks(const sk_spec *spec, sk_rng *rng, uint32_t first, uint32_t count, double *k,
                      double *v)
{
    const bool many = sk_rng_below(rng, 4) == 0;
    const uint32_t end = first + (many ? 4 + sk_rng_below(rng, 16) : 1 + sk_rng_below(rng, 3));
    const double less = many ? 0.0005 : 0.04;
    double *sink = k + (size_t)first * spec->d;
    for (uint32_t t = first; t < end && t < count; t++)
        for (uint32_t c = 0; c < spec->dv; c++)
            v[(size_t)t * spec->dv + c] *= 1e-3;
    for (uint32_t i = 0; i < spec->d; i++)
        sink[i] *= 4;
    for (uint32_t t = first + 1; t < end && t < count; t++)
        for (uint32_t i = 0; i < spec->d; i++)
            k[(size_t)t * spec->d + i] = (1 - less * (t - first)) * sink[i];
}

void sk_case_rows_fill(const sk_spec *spec, uint32_t input, sk_rng *rng, uint32_t count,
                       const double *peak, uint32_t peak_row, double *k, double *v)
{
    if (input == SK_IN_CANCEL) {
        fill_cancel(spec, rng, count, k, v);
        return;
    }
    if (input == SK_IN_EXTREME) {
        fill_extreme(spec, rng, count, k, v);
        return;
    }
    fill_normal(rng, count * spec->d, k);
    fill_normal(rng, count * spec->dv, v);
    if (input == SK_IN_SINK && peak_row < count) put_sinks(spec, rng, peak_row, count, k, v);
    if (input == SK_IN_PEAKY && peak && peak_row < count)
        for (uint32_t i = 0; i < spec->d; i++)
            k[(size_t)peak_row * spec->d + i] = 4 * sqrt((double)spec->d) * peak[i];
}

/* Keys of the set become keys around the mean of their head: what is left when it
 * is taken off is the input set again. */
void sk_case_mean_add(const sk_spec *spec, const uint8_t *book, uint32_t count, double *k)
{
    uint32_t mean = sk_codebook_mean_off(spec);
    if (mean == SK_NO_FIELD) return;
    for (uint32_t t = 0; t < count; t++)
        for (uint32_t i = 0; i < spec->d; i++)
            k[(size_t)t * spec->d + i] += sk_case_get(book + mean, SPHKV_F32, i);
}

void sk_case_query_fill(const sk_spec *spec, uint32_t input, sk_rng *rng, const double *peak,
                        double *q)
{
    fill_normal(rng, spec->d, q);
    double length = sk_case_norm(q, spec->d);
    for (uint32_t i = 0; i < spec->d; i++) {
        if (input == SK_IN_PEAKY) q[i] = peak[i] + 0.3 * q[i] / length;
        if (input == SK_IN_CANCEL) q[i] = 1 + 0.1 * q[i];
    }
}

/* Unit codewords where the span is the group; else free ones that make a span
 * of about norm 1 together. In every other group the last codeword is a twin of
 * the first, so that it shows who breaks ties wrongly. */
static void fill_tables(const sk_spec *spec, sk_rng *rng, uint8_t *book)
{
    double word[32]; /* the largest group */
    for (uint32_t tier = 0; tier < spec->ntiers; tier++) {
        sk_page_layout at;
        sk_page_layout_get(spec, tier, &at);
        for (uint32_t s = 0; s < at.nseg; s++) {
            const sk_segment *seg = &spec->tier[tier].seg[s];
            if (seg->kind != SK_KEY_CODED) continue;
            uint8_t *to = book + sk_codebook_tier_off(spec, tier, s);
            uint32_t codes = 1u << seg->b;
            bool unit = sk_layout_unit(seg, &at.seg[s]);
            for (uint32_t j = 0; j < at.seg[s].codes * codes; j++) {
                uint32_t group = j / codes, code = j % codes; /* of x codes: x times as many */
                size_t row = (size_t)group * seg->g * codes;
                fill_normal(rng, seg->g, word);
                double scale =
                    unit ? 1 / sk_case_norm(word, seg->g) : 1 / sqrt(at.seg[s].span_dims);
                bool twin = code == codes - 1 && group % 2 == 0;
                for (uint32_t i = 0; i < seg->g; i++)
                    sk_case_put(to, SPHKV_F16, row + i * codes + code,
                                twin ? sk_case_get(to, SPHKV_F16, row + i * codes)
                                     : word[i] * scale);
            }
        }
    }
}

/* An orthogonal matrix by columns: reflections by a few vectors, one after the other. */
static void fill_transform(const sk_spec *spec, sk_rng *rng, uint8_t *at)
{
    const uint32_t d = spec->d;
    double v[1024]; /* the largest head, sk_spec_check */
    for (uint32_t i = 0; i < d * d; i++) sk_case_put(at, SPHKV_F32, i, i % (d + 1) == 0);
    for (uint32_t n = 0; n < 3; n++) {
        fill_normal(rng, d, v);
        const double scale = 2 / (sk_case_norm(v, d) * sk_case_norm(v, d));
        for (uint32_t j = 0; j < d; j++) {
            double dot = 0;
            for (uint32_t i = 0; i < d; i++)
                dot += v[i] * sk_case_get(at, SPHKV_F32, (size_t)j * d + i);
            for (uint32_t i = 0; i < d; i++) {
                const size_t e = (size_t)j * d + i;
                sk_case_put(at, SPHKV_F32, e, sk_case_get(at, SPHKV_F32, e) - scale * dot * v[i]);
            }
        }
    }
}

static void fill_signs(const sk_spec *spec, sk_rng *rng, uint8_t *at)
{
    for (uint32_t j = 0; j < spec->d; j++)
        sk_case_put(at, SPHKV_F32, j, (sk_rng_below(rng, 2) ? 1 : -1) / sqrt(spec->d));
}

/* Each head has a permutation of its own here, so that it shows who reads another's.
 * Means are half as large as keys, and exact in every dense format: a key can be one. */
void sk_case_book_fill(const sk_spec *spec, sk_rng *rng, uint8_t *book)
{
    const uint32_t permutation = sk_codebook_permutation_off(spec);
    const uint32_t mean = sk_codebook_mean_off(spec);
    uint32_t order[1024]; /* the largest head, sk_spec_check */
    fill_tables(spec, rng, book);
    if (permutation != SK_NO_FIELD) {
        sk_rng_order(rng, order, spec->d);
        memcpy(book + permutation, order, spec->d * sizeof *order);
    }
    for (uint32_t i = 0; i < spec->d && mean != SK_NO_FIELD; i++)
        sk_case_put(book + mean, SPHKV_F32, i, ldexp(rint(8 * sk_rng_normal(rng)), -4));
    if (spec->book & SPHKV_BOOK_TRANSFORM)
        fill_transform(spec, rng, book + sk_codebook_transform_off(spec));
    if (spec->book & SPHKV_BOOK_HADAMARD)
        fill_signs(spec, rng, book + sk_codebook_transform_off(spec));
}

double sk_case_half_step(uint32_t dtype, double x)
{
    const double step = sk_dtype_rounding(dtype) * fabs(x);
    return dtype == SPHKV_F16 ? fmax(step, 0x1p-25) : step;
}

void sk_case_put(void *base, uint32_t dtype, size_t index, double x)
{
    float f = (float)x;
    if (dtype == SPHKV_F32) {
        memcpy((uint8_t *)base + index * 4, &f, 4);
        return;
    }
    uint16_t h = dtype == SPHKV_F16 ? sk_f32_to_f16(f) : sk_f32_to_bf16(f);
    memcpy((uint8_t *)base + index * 2, &h, 2);
}

double sk_case_get(const void *base, uint32_t dtype, size_t index)
{
    if (dtype == SPHKV_F32) {
        float f;
        memcpy(&f, (const uint8_t *)base + index * 4, 4);
        return (double)f;
    }
    uint16_t h;
    memcpy(&h, (const uint8_t *)base + index * 2, 2);
    return (double)(dtype == SPHKV_F16 ? sk_f16_to_f32(h) : sk_bf16_to_f32(h));
}
