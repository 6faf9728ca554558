/* codebook_default.c - codebooks without any data, so that everything runs
 * before anything is trained.
 *
 * Keys are taken to have no preferred direction. Then one codebook serves all
 * groups of a segment: pairs with span = group get equal angles, the rest comes
 * from k-means on gaussian samples, scaled as k_j / ||span|| is. Each group gets
 * it turned or mirrored and in an order of its own: equal in quality, yet a
 * kernel that reads the table of another group or head is found out. */
#include <math.h>
#include <string.h>

#include "codebook.h"
#include "codebook_kmeans.h"

#define PI 3.14159265358979323846

/* Effort: samples and rounds. Groups of one or two are cheap and are the tiers
 * that people run untrained, so they get the better ones. */
static uint32_t sample_count(const sk_codebook_part *part)
{
    uint32_t n = part->codes * 32, least = part->g <= 2 ? 8192 : 1024;
    return n < least ? least : n > 8192 ? 8192 : n;
}

static uint32_t round_count(const sk_codebook_part *part) { return part->g <= 2 ? 40 : 10; }

/* One group of a random span of unit norm. The other dimensions enter only by
 * their squared length, a chi-square number (Wilson and Hilferty's form). */
static void sample_group(const sk_codebook_part *part, sk_rng *rng, float *x)
{
    double v[32], square = 0;
    for (uint32_t i = 0; i < part->g; i++) {
        v[i] = sk_rng_normal(rng);
        square += v[i] * v[i];
    }
    if (part->span_dims > part->g) {
        double rest = part->span_dims - part->g, a = 2 / (9 * rest);
        double root = 1 - a + sk_rng_normal(rng) * sqrt(a);
        if (root > 0)
            square += rest * root * root * root;
    }
    double scale = square > 0 ? 1 / sqrt(square) : 0;
    for (uint32_t i = 0; i < part->g; i++)
        x[i] = (float)(v[i] * scale);
}

/* The codebook behind the one at `words`: of what that leaves of the points. */
static sk_status next_base(const sk_kmeans *job, float *points, size_t n, float *words)
{
    size_t table = (size_t)job->codes * job->g;
    sk_status st = sk_kmeans_rest(job, words, points, n);
    memcpy(words + table, points, table * sizeof *words); /* n is at least as many */
    return st == SPHKV_OK ? sk_kmeans_run(job, points, n, words + table) : st;
}

sk_status sk_codebook_base(const sk_codebook_part *part, uint64_t seed, float *base)
{
    if (part->unit && part->g == 2) {
        for (uint32_t c = 0; c < part->codes; c++) {
            base[c * 2] = (float)cos(2 * PI * c / part->codes);
            base[c * 2 + 1] = (float)sin(2 * PI * c / part->codes);
        }
        return SPHKV_OK;
    }
    sk_rng rng;
    sk_rng_seed(&rng, seed);
    uint32_t n = sample_count(part);
    float *points = sk_malloc((size_t)n * part->g * sizeof *points);
    if (!points)
        return SPHKV_ENOMEM;
    for (uint32_t i = 0; i < n; i++)
        sample_group(part, &rng, points + (size_t)i * part->g);
    for (uint32_t c = 0; c < part->codes; c++)
        sample_group(part, &rng, base + (size_t)c * part->g);
    sk_kmeans job = {part->g, part->codes, part->unit, round_count(part), seed};
    sk_status st = sk_kmeans_run(&job, points, n, base);
    for (uint32_t i = 1; st == SPHKV_OK && i < part->times; i++)
        st = next_base(&job, points, n, base + (size_t)(i - 1) * part->codes * part->g);
    sk_free(points);
    return st;
}

void sk_codebook_vary(const sk_codebook_part *part, const float *base, uint64_t seed, float *words)
{
    uint32_t order[256], dim[32], g = part->g;
    float sign[32];
    sk_rng rng;
    sk_rng_seed(&rng, seed);
    double turn = 2 * PI * sk_rng_unit(&rng);
    sk_rng_order(&rng, order, part->codes);
    sk_rng_order(&rng, dim, g);
    for (uint32_t i = 0; i < g; i++)
        sign[i] = sk_rng_below(&rng, 2) ? 1.0f : -1.0f;
    float co = (float)cos(turn), si = (float)sin(turn);
    for (uint32_t c = 0; c < part->codes; c++) {
        const float *from = base + (size_t)order[c] * g;
        float *to = words + (size_t)c * g;
        for (uint32_t i = 0; i < g; i++)
            to[i] = sign[i] * from[dim[i]];
        if (g == 2) {
            float x = to[0], y = to[1];
            to[0] = co * x - si * y;
            to[1] = si * x + co * y;
        }
    }
}

/* All heads and groups of one part. */
static sk_status fill_part(sphkv_codebook *cb, const sk_codebook_part *part, uint64_t seed,
                           float *base, float *words)
{
    sk_status st = sk_codebook_base(part, sk_codebook_seed(seed, part, UINT32_MAX, 0), base);
    if (st != SPHKV_OK)
        return st;
    for (uint32_t h = 0; h < cb->kv_heads; h++)
        for (uint32_t row = 0; row < part->rows; row++) {
            uint32_t j = row / part->times, i = row % part->times;
            sk_codebook_vary(part, base + (size_t)i * part->codes * part->g,
                             sk_codebook_seed(seed, part, h, j), words);
            sk_codebook_words_round(cb, part, h, row, words);
        }
    return SPHKV_OK;
}

sphkv_status sphkv_codebook_default(const sphkv_spec_params *params, uint32_t kv_heads,
                                    uint64_t seed, sphkv_codebook **out, sphkv_error *err)
{
    sk_spec spec;
    sk_codebook_part part;
    sphkv_codebook *cb = NULL;
    if (!out)
        return sk_fail(err, SPHKV_EINVAL, "no place for the codebook set");
    *out = NULL;
    sk_status st = sk_spec_from_params(params, &spec, err);
    if (st == SPHKV_OK)
        st = sk_codebook_new(&spec, kv_heads, &cb, err);
    if (st != SPHKV_OK)
        return st;
    st = sk_codebook_frame_make(cb, seed, err);
    float *scratch = sk_malloc((SK_CODEBOOK_BASE_MAX + SK_CODEBOOK_WORDS_MAX) * sizeof *scratch);
    if (!scratch)
        st = SPHKV_ENOMEM;
    if (st == SPHKV_OK)
        sk_codebook_frame_pack(cb);
    for (uint32_t i = 0; st == SPHKV_OK && sk_codebook_part_get(cb, i, &part); i++)
        st = fill_part(cb, &part, seed, scratch, scratch + SK_CODEBOOK_BASE_MAX);
    sk_free(scratch);
    if (st == SPHKV_OK)
        *out = cb;
    else {
        sphkv_codebook_free(cb);
        sk_fail(err, st, "out of memory making codebooks");
    }
    return st;
}
