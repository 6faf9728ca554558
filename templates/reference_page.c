/* reference_page.c - rows into pages, plain scalar C in double: what kv_encode
 * and kv_append mean. The kernels are judged by it, and the cases fill their
 * pages with it; it shares nothing with them but the offsets of layout.h.
 *
 * The order of loops is span, group, token, so that a group's codewords are
 * turned into doubles once and no buffer grows with the head: the stack holds
 * one group's codewords and one number per token. */
#include <math.h>
#include <string.h>

#include "case.h"

#define MAX_CODES 256
#define MAX_GROUP 32
#define MAX_PAGE 256

/* Codewords of one code of one group, as kernels store them: [dim][code]. */
typedef struct codewords {
    uint32_t g, codes;
    double c[MAX_GROUP * MAX_CODES];
    double norm2[MAX_CODES]; /* <c, c> */
} codewords;

/* One span of all tokens of a page while its groups are coded. */
typedef struct span_sums {
    double r[MAX_PAGE];  /* norm of the span */
    double kc[MAX_PAGE]; /* <k, c> over the groups so far */
    double cc[MAX_PAGE]; /* <c, c> */
} span_sums;

static void put_f16(uint8_t *base, uint32_t index, double x)
{
    uint16_t h = sk_f32_to_f16((float)x);
    memcpy(base + (size_t)index * 2, &h, 2);
}

/* Radii and scales end at the largest finite half: infinity times a code of 0
 * would be NaN. */
static void put_scale(uint8_t *base, uint32_t index, double x)
{
    put_f16(base, index, fmin(x, 65504));
}

static double get_f16(const uint8_t *base, uint32_t index)
{
    uint16_t h;
    memcpy(&h, base + (size_t)index * 2, 2);
    return (double)sk_f16_to_f32(h);
}

static void put_bf16(uint8_t *base, uint32_t index, double x)
{
    uint16_t h = sk_f32_to_bf16((float)x);
    memcpy(base + (size_t)index * 2, &h, 2);
}

static void put_f32(uint8_t *base, uint32_t index, double x)
{
    float f = (float)x;
    memcpy(base + (size_t)index * 4, &f, 4);
}

/* Round to nearest even (the default mode) and clamp. */
static double round_clamp(double x, double lo, double hi)
{
    double r = nearbyint(x);
    return r < lo ? lo : r > hi ? hi : r;
}

/* e4m3fn, round to nearest even, saturating at 448. */
static uint8_t f8_bits(double x)
{
    uint8_t sign = signbit(x) ? 128 : 0;
    double a = fmin(fabs(x), 448);
    int e = a > 0 ? ilogb(a) : -6;
    if (e < -6) e = -6;
    int q = (int)nearbyint(ldexp(a, 3 - e)); /* 8..16 when normal, below 8 when not */
    if (q == 16) {
        q = 8;
        e++;
    }
    return (uint8_t)(sign | (q < 8 ? q : (e + 7) << 3 | (q - 8)));
}

/* ---- coded keys ----------------------------------------------------------- */

static void read_codewords(const sk_segment *seg, const uint8_t *book, uint32_t row,
                           codewords *out)
{
    out->g = seg->g;
    out->codes = 1u << seg->b;
    memset(out->norm2, 0, sizeof out->norm2);
    for (uint32_t i = 0; i < out->g; i++)
        for (uint32_t c = 0; c < out->codes; c++) {
            double x = get_f16(book, (row * out->g + i) * out->codes + c);
            out->c[i * out->codes + c] = x;
            out->norm2[c] += x * x;
        }
}

/* The code of one group: the largest inner product where codewords are unit vectors,
 * else the nearest to k / r; the lowest index of equals. */
static uint32_t choose_code(const codewords *w, const double *k, double r, bool unit)
{
    double product[MAX_CODES] = {0}, best = 0;
    uint32_t chosen = 0;
    for (uint32_t i = 0; i < w->g; i++)
        for (uint32_t c = 0; c < w->codes; c++)
            product[c] += k[i] * w->c[i * w->codes + c];
    for (uint32_t c = 0; c < w->codes; c++) {
        /* ||k/r - c||^2 less its constant part, times r, negated */
        double score = unit ? product[c] : 2 * product[c] - r * w->norm2[c];
        if (c == 0 || score > best) {
            best = score;
            chosen = c;
        }
    }
    return r == 0 ? 0 : chosen;
}

static void store_radii(const sk_spec *spec, const sk_segment *seg, const sk_seg_layout *at,
                        uint32_t span, const span_sums *s, uint32_t count, uint8_t *page)
{
    double r[MAX_PAGE], most = 0;
    for (uint32_t t = 0; t < count; t++) {
        r[t] = s->r[t] > 0 && s->cc[t] > 0 ? fmax(0, s->kc[t] / s->cc[t]) : 0;
        most = fmax(most, r[t]);
    }
    if (seg->rb == 16) {
        for (uint32_t t = 0; t < count; t++)
            put_scale(page + at->radius_off, span * spec->page + t, r[t]);
        return;
    }
    put_scale(page + at->rscale_off, span, most);
    double scale = get_f16(page + at->rscale_off, span), top = (double)((1u << seg->rb) - 1);
    for (uint32_t t = 0; t < count; t++) {
        double code = scale > 0 ? round_clamp(r[t] / scale * top, 0, top) : 0;
        sk_bits_put(page + at->radius_off, (span * spec->page + t) * seg->rb, seg->rb,
                    (uint32_t)code);
    }
}

/* One group of all tokens: x[token][dim] are its keys, which each code takes its
 * codeword, times the radius, off: the next is for what is left. */
static void encode_group(const sk_spec *spec, const sk_segment *seg, const sk_seg_layout *at,
                         uint32_t group, double (*x)[MAX_GROUP], uint32_t count, const uint8_t *book,
                         span_sums *s, uint8_t *page)
{
    static const double none[MAX_GROUP] = {0};
    codewords w;
    double sum[MAX_PAGE][MAX_GROUP];
    for (uint32_t i = 0; i < sk_segment_codes(seg); i++) {
        uint32_t row = group * sk_segment_codes(seg) + i;
        read_codewords(seg, book, row, &w);
        for (uint32_t t = 0; t < count; t++) {
            double left[MAX_GROUP];
            const double *taken = i > 0 ? sum[t] : none;
            for (uint32_t d = 0; d < seg->g; d++)
                left[d] = x[t][d] - s->r[t] * taken[d];
            uint32_t code = choose_code(&w, left, s->r[t], sk_layout_unit(seg, at));
            for (uint32_t d = 0; d < seg->g; d++)
                sum[t][d] = taken[d] + w.c[d * w.codes + code];
            sk_bits_put(page + at->code_off, sk_layout_code_bit(spec, seg, row, t), seg->b, code);
        }
    }
    for (uint32_t t = 0; t < count; t++)
        for (uint32_t d = 0; d < seg->g; d++) {
            s->kc[t] += x[t][d] * sum[t][d];
            s->cc[t] += sum[t][d] * sum[t][d];
        }
}

/* k: rows of the model's keys; books: the head's set, of which book is the table
 * of this segment. */
static void encode_span(const sk_spec *spec, const sk_segment *seg, const sk_seg_layout *at,
                        uint32_t span, const double *k, uint32_t count, const uint8_t *books,
                        const uint8_t *book, uint8_t *page)
{
    span_sums s = {.kc = {0}};
    double x[1024], group[MAX_PAGE][MAX_GROUP]; /* the largest head, sk_spec_check */
    uint32_t dim = at->dim0 + span * at->span_dims, per_span = at->span_dims / seg->g;
    for (uint32_t t = 0; t < count; t++) {
        double sum = 0;
        sk_coded_key_ref(spec, books, k + (size_t)t * spec->d, dim, at->span_dims, x);
        for (uint32_t i = 0; i < at->span_dims; i++)
            sum += x[i] * x[i];
        s.r[t] = sqrt(sum);
    }
    for (uint32_t j = span * per_span; j < (span + 1) * per_span; j++) {
        for (uint32_t t = 0; t < count; t++)
            sk_coded_key_ref(spec, books, k + (size_t)t * spec->d, at->dim0 + j * seg->g, seg->g,
                             group[t]);
        encode_group(spec, seg, at, j, group, count, book, &s, page);
    }
    store_radii(spec, seg, at, span, &s, count, page);
}

/* ---- dense keys and values ------------------------------------------------ */

/* One token of a dense segment; k points at its first dimension. */
static void put_dense_key(const sk_spec *spec, const sk_segment *seg, const sk_seg_layout *at,
                          const double *k, uint32_t slot, uint8_t *page)
{
    uint8_t *keys = page + at->key_off;
    double top = seg->kind == SK_KEY_I8 ? 127 : 7;
    for (uint32_t d = 0; d < at->dims; d++) {
        uint32_t e = sk_layout_key_index(at, d, slot);
        if (seg->kind == SK_KEY_F32) put_f32(keys, e, k[d]);
        if (seg->kind == SK_KEY_F16) put_f16(keys, e, k[d]);
        if (seg->kind == SK_KEY_BF16) put_bf16(keys, e, k[d]);
        if (seg->kind != SK_KEY_I8 && seg->kind != SK_KEY_I4) continue;
        uint32_t block = d / 32, at_scale = block * spec->page + slot;
        if (d % 32 == 0) {
            double most = 0;
            for (uint32_t i = d; i < d + 32 && i < at->dims; i++)
                most = fmax(most, fabs(k[i]));
            put_scale(page + at->kscale_off, at_scale, most / top);
        }
        double scale = get_f16(page + at->kscale_off, at_scale);
        int code = scale > 0 ? (int)round_clamp(k[d] / scale, -top, top) : 0;
        if (seg->kind == SK_KEY_I8)
            keys[e] = (uint8_t)code;
        else
            sk_bits_put(keys, e * 4, 4, (uint32_t)(code + 8));
    }
}

/* kf8: one scale per page, f16(max|k| / 448). k: [count][D], at the segment. */
static void put_f8_keys(const sk_spec *spec, const sk_seg_layout *at, const double *k,
                        uint32_t count, uint8_t *page)
{
    double most = 0;
    for (uint32_t t = 0; t < count; t++)
        for (uint32_t d = 0; d < at->dims; d++)
            most = fmax(most, fabs(k[(size_t)t * spec->d + d]));
    put_scale(page + at->kscale_off, 0, most / 448);
    double scale = get_f16(page + at->kscale_off, 0);
    for (uint32_t t = 0; t < count && scale > 0; t++)
        for (uint32_t d = 0; d < at->dims; d++)
            page[at->key_off + sk_layout_key_index(at, d, t)] =
                f8_bits(k[(size_t)t * spec->d + d] / scale);
}

/* Values that need nothing of the other tokens of the page. */
static void put_float_value(const sk_spec *spec, uint32_t kind, const sk_page_layout *at,
                            const double *v, uint32_t slot, uint8_t *page)
{
    for (uint32_t c = 0; c < spec->dv; c++) {
        uint32_t e = sk_layout_value_index(spec, kind, at, slot, c);
        if (kind == SK_VAL_F32) put_f32(page + at->value_off, e, v[c]);
        if (kind == SK_VAL_F16) put_f16(page + at->value_off, e, v[c]);
        if (kind == SK_VAL_BF16) put_bf16(page + at->value_off, e, v[c]);
    }
}

/* Largest and smallest value of a channel; (0, 0) of none. */
static void channel_range(const sk_spec *spec, const double *v, uint32_t count, uint32_t channel,
                          double *lo, double *hi)
{
    *lo = *hi = count ? v[channel] : 0;
    for (uint32_t t = 1; t < count; t++) {
        double x = v[(size_t)t * spec->dv + channel];
        *lo = fmin(*lo, x);
        *hi = fmax(*hi, x);
    }
}

/* vi8: f16(max|v| / 127) and round(v / scale); vi4: f16 minimum, f16((max -
 * min) / 15) and round((v - min) / scale). */
static void put_int_channel(const sk_spec *spec, uint32_t kind, const sk_page_layout *at,
                            const double *v, uint32_t count, uint32_t channel, uint8_t *page)
{
    double lo, hi, least = 0, top = 127, bottom = -127;
    channel_range(spec, v, count, channel, &lo, &hi);
    if (kind == SK_VAL_I4) {
        put_f16(page + at->vmin_off, channel, fmax(fmin(lo, 65504), -65504));
        least = get_f16(page + at->vmin_off, channel);
        top = 15;
        bottom = 0;
    }
    put_scale(page + at->vscale_off, channel,
              (kind == SK_VAL_I4 ? hi - lo : fmax(fabs(lo), fabs(hi))) / top);
    double scale = get_f16(page + at->vscale_off, channel);
    for (uint32_t t = 0; t < count && scale > 0; t++) {
        double x = (v[(size_t)t * spec->dv + channel] - least) / scale;
        int code = (int)round_clamp(x, bottom, top);
        uint32_t e = sk_layout_value_index(spec, kind, at, t, channel);
        if (kind == SK_VAL_I8)
            page[at->value_off + e] = (uint8_t)code;
        else
            sk_bits_put(page + at->value_off, e * 4, 4, (uint32_t)code);
    }
}

/* vf8: one scale per page, f16(max|v| / 448). */
static void put_f8_values(const sk_spec *spec, const sk_page_layout *at, const double *v,
                          uint32_t count, uint8_t *page)
{
    double most = 0;
    for (size_t i = 0; i < (size_t)count * spec->dv; i++)
        most = fmax(most, fabs(v[i]));
    put_scale(page + at->vscale_off, 0, most / 448);
    double scale = get_f16(page + at->vscale_off, 0);
    for (uint32_t t = 0; t < count && scale > 0; t++)
        for (uint32_t c = 0; c < spec->dv; c++)
            page[at->value_off + sk_layout_value_index(spec, SK_VAL_F8, at, t, c)] =
                f8_bits(v[(size_t)t * spec->dv + c] / scale);
}

/* ---- whole pages, single rows --------------------------------------------- */

void sk_encode_page_ref(const sk_spec *spec, uint32_t tier_slot, const double *k, const double *v,
                        uint32_t count, const uint8_t *head_codebook, uint8_t *page)
{
    const sk_tier *tier = &spec->tier[tier_slot];
    sk_page_layout at;
    sk_page_layout_get(spec, tier_slot, &at);
    memset(page, 0, (size_t)at.units * SPHKV_UNIT_BYTES);
    for (uint32_t i = 0; i < at.nseg; i++) {
        const sk_segment *seg = &tier->seg[i];
        if (seg->kind == SK_KEY_F8) {
            put_f8_keys(spec, &at.seg[i], k + at.seg[i].dim0, count, page);
            continue;
        }
        if (seg->kind != SK_KEY_CODED) {
            for (uint32_t t = 0; t < count; t++)
                put_dense_key(spec, seg, &at.seg[i], k + (size_t)t * spec->d + at.seg[i].dim0, t,
                              page);
            continue;
        }
        const uint8_t *book = head_codebook + sk_codebook_tier_off(spec, tier_slot, i);
        for (uint32_t p = 0; p < at.seg[i].spans; p++)
            encode_span(spec, seg, &at.seg[i], p, k, count, head_codebook, book, page);
    }
    if (tier->value == SK_VAL_F8) put_f8_values(spec, &at, v, count, page);
    for (uint32_t c = 0; c < spec->dv; c++)
        if (tier->value == SK_VAL_I8 || tier->value == SK_VAL_I4)
            put_int_channel(spec, tier->value, &at, v, count, c, page);
    for (uint32_t t = 0; t < count; t++)
        put_float_value(spec, tier->value, &at, v + (size_t)t * spec->dv, t, page);
}

void sk_append_ref(const sk_spec *spec, uint32_t tier_slot, const float *k, const float *v,
                   uint32_t slot, uint8_t *page)
{
    const sk_tier *tier = &spec->tier[tier_slot];
    double row[1024]; /* the largest head, sk_spec_check */
    sk_page_layout at;
    sk_page_layout_get(spec, tier_slot, &at);
    for (uint32_t i = 0; i < spec->d; i++)
        row[i] = (double)k[i];
    for (uint32_t i = 0; i < at.nseg; i++)
        put_dense_key(spec, &tier->seg[i], &at.seg[i], row + at.seg[i].dim0, slot, page);
    for (uint32_t c = 0; c < spec->dv; c++)
        row[c] = (double)v[c];
    put_float_value(spec, tier->value, &at, row, slot, page);
}
