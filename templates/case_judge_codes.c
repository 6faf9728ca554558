/* case_judge_codes.c - codes, radii and scales of a page that kv_encode or page_retier wrote,
 * judged against the numbers that they stand for. It is never asked for
 * equal codes: a chosen codeword may be at most a hair farther than the nearest,
 * the radius must be the least-squares one of the codewords that were chosen,
 * values must be right to the code. */
#include <math.h>
#include <string.h>

#include "case_judge_pages.h"

static double page_f16(const uint8_t *base, uint32_t index)
{
    return sk_case_get(base, SPHKV_F16, index);
}

static void zero_f16(uint8_t *base, uint32_t index)
{
    memset(base + (size_t)index * 2, 0, 2);
}

/* Whether an f16 is the rounded form of x, or a neighbour of it; x may be off by a hair. */
static bool near_f16(double got, double x, double hair)
{
    double rounded = (double)sk_f16_to_f32(sk_f32_to_f16((float)x));
    return fabs(got - rounded) <= fmax(fabs(rounded) * 0x1p-10, 0x1p-24) + hair;
}

static sk_status judge_fail(const sk_encode_judge *j, const char *what, uint32_t token, double got,
                            double want, sk_err *err)
{
    return sk_fail(err, SPHKV_EVERIFY, "%s: %s of item %u, token %u is %.6g, not %.6g",
                   sk_kernel_name(j->spec->kernel), what, j->item, token, got, want);
}

/* Squared distance of x to a codeword, and their inner product. */
static double distance(const uint8_t *book, const sk_segment *seg, uint32_t row, uint32_t code,
                       const double *x, double *product)
{
    double sum = 0;
    for (uint32_t i = 0; i < seg->g; i++) {
        double c = page_f16(book, ((row * seg->g + i) << seg->b) + code);
        sum += (x[i] - c) * (x[i] - c);
        *product += x[i] * c;
    }
    return sum;
}

/* Whether two codewords of a row are the same: then the lower index is the
 * code. Other ties are not decided the same way by every rounding. */
static bool same_word(const uint8_t *book, const sk_segment *seg, uint32_t row, uint32_t a,
                      uint32_t b)
{
    const uint8_t *at = book + (size_t)row * seg->g * 2 * (1u << seg->b);
    for (uint32_t i = 0; i < seg->g; i++, at += 2 * (1u << seg->b))
        if (memcmp(at + 2 * a, at + 2 * b, 2) != 0) return false;
    return true;
}

/* One code of one group of one token against all others; x: what it is for, over the
 * radius of the span. The excess is relative to the best distance, or, where that is
 * nearly none, to a hundredth of a group's share of the span. A unit codeword is chosen
 * by its inner product: distance 2 - 2 <k, c> / r. Where x is off by a hair, two distances
 * are to each other by twice that times what lies between their codewords. */
static uint32_t judge_code(sk_encode_judge *j, uint32_t s, uint32_t row, uint32_t token, const double *x,
                           bool none, double hair)
{
    const sk_segment *seg = &j->spec->tier[0].seg[s];
    const sk_seg_layout *at = &j->at->seg[s];
    const uint8_t *book = j->book + sk_codebook_tier_off(j->spec, 0, s);
    uint32_t bit = sk_layout_code_bit(j->spec, seg, row, token);
    uint32_t code = sk_bits_get(j->page + at->code_off, bit, seg->b);
    double got = 0, best = (double)INFINITY;
    sk_bits_put(j->rest + at->code_off, bit, seg->b, 0);
    if (none) {
        j->worst = fmax(j->worst, code != 0); /* a zero key is code 0 */
        return code;
    }
    for (uint32_t i = 0; i < 1u << seg->b; i++) {
        double product = 0, d = distance(book, seg, row, i, x, &product);
        if (sk_layout_unit(seg, at)) d = 2 - 2 * product;
        best = fmin(best, d);
        if (i < code && same_word(book, seg, row, i, code)) j->worst = fmax(j->worst, 1);
        if (i == code) got = d;
    }
    got -= 2 * hair * (sqrt(fmax(got, 0)) + sqrt(fmax(best, 0)));
    j->worst = fmax(j->worst, (got - best) / (best + 0.01 * seg->g / at->span_dims));
    return code;
}

/* All codes of a group: each is for what the ones before it leave. Adds <k, c> and
 * <c, c> of their codewords' sum. */
static void judge_group(sk_encode_judge *j, uint32_t s, uint32_t group, uint32_t token, double r,
                        double hair, double *kc, double *cc)
{
    const sk_segment *seg = &j->spec->tier[0].seg[s];
    const sk_seg_layout *at = &j->at->seg[s];
    const uint8_t *book = j->book + sk_codebook_tier_off(j->spec, 0, s);
    const double *k = j->k + (size_t)token * j->spec->d + at->dim0 + (size_t)group * seg->g;
    double sum[32] = {0}, left[32]; /* the largest group */
    for (uint32_t n = 0; n < sk_segment_codes(seg); n++) {
        uint32_t row = group * sk_segment_codes(seg) + n;
        for (uint32_t i = 0; i < seg->g; i++)
            left[i] = r > 0 ? k[i] / r - sum[i] : 0;
        uint32_t code = judge_code(j, s, row, token, left, r == 0, r > 0 ? 2 * hair / r : 0);
        for (uint32_t i = 0; i < seg->g; i++)
            sum[i] += page_f16(book, ((row * seg->g + i) << seg->b) + code);
    }
    for (uint32_t i = 0; i < seg->g; i++) {
        *kc += k[i] * sum[i];
        *cc += sum[i] * sum[i];
    }
}

/* Radius codes of a span against the least-squares radii in j->best. */
static sk_status judge_radii(sk_encode_judge *j, uint32_t s, uint32_t span, sk_err *err)
{
    const sk_segment *seg = &j->spec->tier[0].seg[s];
    const sk_seg_layout *at = &j->at->seg[s];
    double most = 0, off = 0, scale = 0, top = (double)((1u << seg->rb) - 1);
    for (uint32_t t = 0; t < j->count; t++) {
        most = fmax(most, j->best[t]);
        off = fmax(off, j->off[t]);
    }
    if (seg->rb < 16) {
        scale = page_f16(j->page + at->rscale_off, span);
        zero_f16(j->rest + at->rscale_off, span);
        if (!near_f16(scale, most, off)) return judge_fail(j, "radius scale", 0, scale, most, err);
    }
    for (uint32_t t = 0; t < j->count; t++) {
        uint32_t slot = span * j->spec->page + t;
        double got, allowed;
        if (seg->rb == 16) {
            got = page_f16(j->page + at->radius_off, slot);
            allowed = 1e-3 * j->best[t];
            zero_f16(j->rest + at->radius_off, slot);
        } else {
            got = sk_bits_get(j->page + at->radius_off, slot * seg->rb, seg->rb) / top * scale;
            allowed = 0.51 * scale / top + 0x1p-11 * most; /* half a code; the scale was rounded */
            sk_bits_put(j->rest + at->radius_off, slot * seg->rb, seg->rb, 0);
        }
        if (!(fabs(got - j->best[t]) <= allowed + j->off[t] + 0x1p-24))
            return judge_fail(j, "radius", t, got, j->best[t], err);
    }
    return SPHKV_OK;
}

/* What a span may be off: as much as the key, where its dimensions are made of any. */
static double span_hair(const sk_encode_judge *j, uint32_t token, uint32_t dim0, uint32_t dims)
{
    const double *hair = j->hair + (size_t)token * j->spec->d;
    const bool mixed = j->spec->book & SPHKV_BOOK_PERMUTATION || sk_spec_turned(j->spec);
    return mixed ? sk_case_norm(hair, j->spec->d) : sk_case_norm(hair + dim0, dims);
}

static sk_status judge_coded(sk_encode_judge *j, uint32_t s, sk_err *err)
{
    const sk_segment *seg = &j->spec->tier[0].seg[s];
    const sk_seg_layout *at = &j->at->seg[s];
    uint32_t per_span = at->span_dims / seg->g;
    for (uint32_t p = 0; p < at->spans; p++) {
        for (uint32_t t = 0; t < j->count; t++) {
            const double *k = j->k + (size_t)t * j->spec->d + at->dim0 + (size_t)p * at->span_dims;
            const double hair = span_hair(j, t, at->dim0 + p * at->span_dims, at->span_dims);
            double sum = 0, kc = 0, cc = 0;
            for (uint32_t i = 0; i < at->span_dims; i++)
                sum += k[i] * k[i];
            for (uint32_t g = p * per_span; g < (p + 1) * per_span; g++)
                judge_group(j, s, g, t, sqrt(sum), hair, &kc, &cc);
            j->best[t] = sum > 0 && cc > 0 ? fmax(0, kc / cc) : 0;
            j->off[t] = cc > 0 ? hair / sqrt(cc) : 0;
        }
        sk_status st = judge_radii(j, s, p, err);
        if (st != SPHKV_OK) return st;
    }
    return SPHKV_OK;
}

/* An integer code against x / scale: half a code, and a hair for the division. */
static bool code_ok(int code, double x, double scale, double lo, double hi, double hair)
{
    double want = scale > 0 ? fmin(fmax(x / scale, lo), hi) : 0;
    return fabs(code - want) <= 0.5 + 1e-3 + (scale > 0 ? hair / scale : 0);
}

/* ki8, ki4: the scale of 32 dimensions of a token, then their codes. */
static sk_status judge_int_keys(sk_encode_judge *j, uint32_t s, sk_err *err)
{
    const sk_seg_layout *at = &j->at->seg[s];
    const uint32_t bits = j->spec->tier[0].seg[s].kind == SK_KEY_I8 ? 8 : 4;
    const int top = bits == 8 ? 127 : 7;
    for (uint32_t t = 0; t < j->count; t++)
        for (uint32_t d = 0; d < at->dims; d++) {
            const double *k = j->k + (size_t)t * j->spec->d + at->dim0;
            const uint32_t e = sk_layout_key_index(at, d, t) * bits;
            const uint32_t slot = d / 32 * j->spec->page + t;
            const double scale = page_f16(j->page + at->kscale_off, slot);
            const double *hair = j->hair + (size_t)t * j->spec->d + at->dim0;
            double most = 0, off = 0;
            for (uint32_t i = d / 32 * 32; i < at->dims && i < d / 32 * 32 + 32; i++) {
                most = fmax(most, fabs(k[i]));
                off = fmax(off, hair[i]);
            }
            most = fmin(most / top, 65504);
            if (!near_f16(scale, most, off / top))
                return judge_fail(j, "key scale", t, scale, most, err);
            int code = (int)sk_bits_get(j->page + at->key_off, e, bits);
            code = bits == 8 ? (int8_t)code : code - 8;
            if (!code_ok(code, k[d], scale, -top, top, hair[d]))
                return judge_fail(j, "key code", t, code, k[d] / scale, err);
            sk_bits_put(j->rest + at->key_off, e, bits, 0);
            if (d % 32 == 31 || d + 1 == at->dims) zero_f16(j->rest + at->kscale_off, slot);
        }
    return SPHKV_OK;
}

/* vi8, vi4: scale, minimum and codes of one channel. */
static sk_status judge_channel(sk_encode_judge *j, uint32_t c, sk_err *err)
{
    const sk_spec *spec = j->spec;
    const uint32_t kind = spec->tier[0].value, dv = spec->dv;
    const bool four = kind == SK_VAL_I4;
    const uint8_t *values = j->page + j->at->value_off;
    double lo = j->count ? j->v[c] : 0, hi = lo, least = 0, top = four ? 15 : 127;
    for (uint32_t t = 1; t < j->count; t++) {
        lo = fmin(lo, j->v[(size_t)t * dv + c]);
        hi = fmax(hi, j->v[(size_t)t * dv + c]);
    }
    double scale = page_f16(j->page + j->at->vscale_off, c);
    double want = fmin((four ? hi - lo : fmax(fabs(lo), fabs(hi))) / top, 65504);
    if (!near_f16(scale, want, 0)) return judge_fail(j, "value scale", 0, scale, want, err);
    zero_f16(j->rest + j->at->vscale_off, c);
    if (four) {
        least = page_f16(j->page + j->at->vmin_off, c);
        want = fmax(fmin(lo, 65504), -65504);
        if (!near_f16(least, want, 0)) return judge_fail(j, "value minimum", 0, least, want, err);
        zero_f16(j->rest + j->at->vmin_off, c);
    }
    for (uint32_t t = 0; t < j->count; t++) {
        uint32_t e = sk_layout_value_index(spec, kind, j->at, t, c);
        int code = four ? (int)sk_bits_get(values, e * 4, 4) : (int8_t)values[e];
        double x = j->v[(size_t)t * dv + c] - least;
        if (!code_ok(code, x, scale, four ? 0 : -top, top, 0))
            return judge_fail(j, "value code", t, code, x / scale, err);
        sk_bits_put(j->rest + j->at->value_off, e * (four ? 4 : 8), four ? 4 : 8, 0);
    }
    return SPHKV_OK;
}

/* A code of kf8 or vf8 at byte e for x: within half a step of the last place, and a
 * hair for the division. */
static sk_status judge_f8_code(sk_encode_judge *j, const char *what, uint32_t t, uint32_t e, double x,
                               double hair, double scale, sk_err *err)
{
    const double got = (double)sk_e4m3_to_f32(j->page[e]);
    const double want = scale > 0 ? fmax(fmin(x / scale, 448), -448) : 0, size = fabs(want);
    const double step = size < 0x1p-6 ? 0x1p-9 : ldexp(1, ilogb(size) - 3);
    if (!(fabs(got - want) <= 0.5 * step + 1e-5 * size + (scale > 0 ? hair / scale : 0)))
        return judge_fail(j, what, t, got, want, err);
    j->rest[e] = 0;
    return SPHKV_OK;
}

/* The one scale of a page, for numbers up to `most`. */
static sk_status judge_f8_scale(sk_encode_judge *j, const char *what, uint32_t off, double most,
                                double hair, double *scale, sk_err *err)
{
    *scale = page_f16(j->page + off, 0);
    if (!near_f16(*scale, fmin(most / 448, 65504), hair / 448))
        return judge_fail(j, what, 0, *scale, most / 448, err);
    zero_f16(j->rest + off, 0);
    return SPHKV_OK;
}

static sk_status judge_f8_keys(sk_encode_judge *j, uint32_t s, sk_err *err)
{
    const sk_seg_layout *at = &j->at->seg[s];
    double most = 0, off = 0, scale;
    for (uint32_t t = 0; t < j->count; t++)
        for (uint32_t d = 0; d < at->dims; d++) {
            const size_t i = (size_t)t * j->spec->d + at->dim0 + d;
            most = fmax(most, fabs(j->k[i]));
            off = fmax(off, j->hair[i]);
        }
    sk_status st = judge_f8_scale(j, "key scale", at->kscale_off, most, off, &scale, err);
    for (uint32_t t = 0; t < j->count; t++)
        for (uint32_t d = 0; d < at->dims && st == SPHKV_OK; d++) {
            const size_t i = (size_t)t * j->spec->d + at->dim0 + d;
            st = judge_f8_code(j, "key code", t, at->key_off + sk_layout_key_index(at, d, t), j->k[i],
                               j->hair[i], scale, err);
        }
    return st;
}

static sk_status judge_f8_values(sk_encode_judge *j, sk_err *err)
{
    const sk_spec *spec = j->spec;
    double most = 0, scale;
    for (size_t i = 0; i < (size_t)j->count * spec->dv; i++)
        most = fmax(most, fabs(j->v[i]));
    sk_status st = judge_f8_scale(j, "value scale", j->at->vscale_off, most, 0, &scale, err);
    for (uint32_t t = 0; t < j->count; t++)
        for (uint32_t c = 0; c < spec->dv && st == SPHKV_OK; c++) {
            uint32_t e = j->at->value_off + sk_layout_value_index(spec, SK_VAL_F8, j->at, t, c);
            st = judge_f8_code(j, "value code", t, e, j->v[(size_t)t * spec->dv + c], 0, scale, err);
        }
    return st;
}

sk_status sk_judge_values(sk_encode_judge *j, sk_err *err)
{
    uint32_t kind = j->spec->tier[0].value;
    if (kind == SK_VAL_F8) return judge_f8_values(j, err);
    sk_status st = SPHKV_OK; /* floats: bit for bit (case_judge_pages.c) */
    for (uint32_t c = 0; c < j->spec->dv && st == SPHKV_OK; c++)
        if (kind == SK_VAL_I8 || kind == SK_VAL_I4) st = judge_channel(j, c, err);
    return st;
}

sk_status sk_judge_key(sk_encode_judge *j, uint32_t s, sk_err *err)
{
    if (j->at->seg[s].code_off != SK_NO_FIELD) return judge_coded(j, s, err);
    if (j->spec->tier[0].seg[s].kind == SK_KEY_F8) return judge_f8_keys(j, s, err);
    return j->at->seg[s].kscale_off != SK_NO_FIELD ? judge_int_keys(j, s, err) : SPHKV_OK;
}
