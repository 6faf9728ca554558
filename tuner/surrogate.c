/* surrogate.c - see surrogate.h. */
#include "surrogate.h"

#include <math.h>
#include <string.h>

#define LENGTH_USUAL 0.7 /* of the unit cube's side; the prior's middle */
#define LENGTH_SPREAD 0.8 /* standard deviation of its logarithm */
#define LENGTH_LEAST 0.05
#define LENGTH_MOST 10.0
#define NOISE_USUAL 0.02
#define NOISE_SPREAD 1.0
#define NOISE_LEAST 1e-4
#define NOISE_MOST 0.5
#define PIVOT_LEAST 1e-10

sk_status sk_surrogate_make(uint32_t dims, uint32_t pool, sk_surrogate *out, sk_err *err)
{
    const size_t n = SK_SURROGATE_POINTS, tile = SK_SURROGATE_TILE;
    const size_t tiles = (pool + tile - 1) / tile;
    memset(out, 0, sizeof *out);
    if (dims == 0 || dims > SK_SURROGATE_DIMS)
        return sk_fail(err, SPHKV_EUNSUPPORTED, "a model of %u dimensions (at most %u)", dims,
                       SK_SURROGATE_DIMS);
    out->dims = dims;
    out->noise = NOISE_USUAL;
    for (uint32_t d = 0; d < dims; d++) out->length[d] = LENGTH_USUAL;
    out->x = sk_malloc(n * dims * sizeof *out->x);
    out->y = sk_malloc(n * sizeof *out->y);
    out->factor = sk_malloc(n * n * sizeof *out->factor);
    out->z = sk_malloc(n * sizeof *out->z);
    out->pool.most = (uint32_t)(tiles * tile);
    out->pool.x = sk_calloc(tiles * dims * tile, sizeof *out->pool.x);
    out->pool.v = sk_malloc(tiles * n * tile * sizeof *out->pool.v);
    if (out->x && out->y && out->factor && out->z && out->pool.x && out->pool.v) return SPHKV_OK;
    sk_surrogate_free(out);
    return sk_fail(err, SPHKV_ENOMEM, "no memory for a model of the space");
}

void sk_surrogate_free(sk_surrogate *s)
{
    sk_free(s->x);
    sk_free(s->y);
    sk_free(s->factor);
    sk_free(s->z);
    sk_free(s->pool.x);
    sk_free(s->pool.v);
    memset(s, 0, sizeof *s);
}

void sk_surrogate_covariance(const sk_surrogate *s, const double *point, const double *others,
                             uint32_t n, double *out)
{
    for (uint32_t i = 0; i < n; i++) out[i] = 0;
    for (uint32_t d = 0; d < s->dims; d++) {
        const double *x = others + (size_t)d * SK_SURROGATE_TILE, at = point[d];
        const double scale = 1 / s->length[d];
        for (uint32_t i = 0; i < n; i++) out[i] += (x[i] - at) * scale * ((x[i] - at) * scale);
    }
    for (uint32_t i = 0; i < n; i++) {
        const double r = sqrt(5 * out[i]);
        out[i] = (1 + r + r * r / 3) * exp(-r);
    }
}

/* ---- the factor ------------------------------------------------------------------ */

/* Covariance of point i with those that begin at `from`. */
static void covariance_row(const sk_surrogate *s, uint32_t i, uint32_t from, double *row)
{
    double others[SK_SURROGATE_DIMS * SK_SURROGATE_TILE];
    for (; from < s->n; from += SK_SURROGATE_TILE) {
        const uint32_t left = s->n - from, k = left < SK_SURROGATE_TILE ? left : SK_SURROGATE_TILE;
        for (uint32_t d = 0; d < s->dims; d++)
            for (uint32_t j = 0; j < k; j++)
                others[d * SK_SURROGATE_TILE + j] = s->x[(size_t)(from + j) * s->dims + d];
        sk_surrogate_covariance(s, s->x + (size_t)i * s->dims, others, k, row + from);
    }
}

/* Columns from `first` on. */
static void factorise(sk_surrogate *s, uint32_t first)
{
    const size_t stride = SK_SURROGATE_POINTS;
    for (uint32_t i = 0; i < s->n; i++) {
        double *row = s->factor + i * stride;
        const uint32_t from = i > first ? i : first;
        covariance_row(s, i, from, row);
        for (uint32_t k = 0; k < i; k++) {
            const double *above = s->factor + k * stride, by = above[i];
            for (uint32_t j = from; j < s->n; j++) row[j] -= by * above[j];
        }
        if (from == i) row[i] = sqrt(fmax(row[i] + s->noise, PIVOT_LEAST));
        const double pivot = row[i];
        for (uint32_t j = from > i ? from : i + 1; j < s->n; j++) row[j] /= pivot;
    }
    s->rows = s->n;
}

/* Factor, z and signal for the points held; the logarithm of their likelihood, the
 * signal's variance being the likeliest, up to a constant. */
static double refit(sk_surrogate *s, uint32_t first)
{
    double square = 0, log_det = 0;
    factorise(s, first);
    memcpy(s->z, s->y, s->n * sizeof *s->z);
    for (uint32_t i = 0; i < s->n; i++) {
        const double *row = s->factor + (size_t)i * SK_SURROGATE_POINTS;
        s->z[i] /= row[i];
        for (uint32_t j = i + 1; j < s->n; j++) s->z[j] -= row[j] * s->z[i];
        square += s->z[i] * s->z[i];
        log_det += log(row[i]);
    }
    s->signal = fmax(square / s->n, 1e-12);
    return -log_det - 0.5 * s->n * log(s->signal);
}

/* Lengths or noise are others: nothing of the factor holds. */
static double refit_all(sk_surrogate *s)
{
    s->pool.rows = 0;
    return refit(s, 0);
}

void sk_surrogate_fit(sk_surrogate *s, const double *x, const double *y, uint32_t n)
{
    const size_t point = s->dims * sizeof *x;
    double mean = 0, square = 0;
    uint32_t same = 0;
    while (same < n && same < s->rows &&
           memcmp(s->x + (size_t)same * s->dims, x + (size_t)same * s->dims, point) == 0)
        same++;
    s->n = n;
    if (s->pool.rows > same) s->pool.rows = same;
    memcpy(s->x, x, n * point);
    for (uint32_t i = 0; i < n; i++) mean += y[i] / n;
    for (uint32_t i = 0; i < n; i++) square += (y[i] - mean) * (y[i] - mean) / n;
    const double scale = 1 / (sqrt(square) + 1e-12);
    s->least = INFINITY;
    for (uint32_t i = 0; i < n; i++) {
        s->y[i] = (y[i] - mean) * scale;
        s->least = fmin(s->least, s->y[i]);
    }
    (void)refit(s, same);
}

static double log_normal(double x, double usual, double spread)
{
    const double z = log(x / usual) / spread;
    return -0.5 * z * z;
}

static double log_prior(const sk_surrogate *s)
{
    double sum = log_normal(s->noise, NOISE_USUAL, NOISE_SPREAD);
    for (uint32_t d = 0; d < s->dims; d++) sum += log_normal(s->length[d], LENGTH_USUAL, LENGTH_SPREAD);
    return sum;
}

/* Every third step moves all of them a little, the others one of them far. */
static void step(sk_surrogate *s, uint32_t number, sk_rng *rng)
{
    const uint32_t one = sk_rng_below(rng, s->dims + 1);
    const bool all = number % 3 == 0;
    for (uint32_t d = 0; d < s->dims; d++)
        if (all || one == d) s->length[d] *= exp((all ? 0.25 : 0.7) * sk_rng_normal(rng));
    if (all || one == s->dims) s->noise *= exp((all ? 0.3 : 0.8) * sk_rng_normal(rng));
    for (uint32_t d = 0; d < s->dims; d++)
        s->length[d] = fmin(fmax(s->length[d], LENGTH_LEAST), LENGTH_MOST);
    s->noise = fmin(fmax(s->noise, NOISE_LEAST), NOISE_MOST);
}

void sk_surrogate_learn(sk_surrogate *s, uint32_t tries, sk_rng *rng)
{
    double kept[SK_SURROGATE_DIMS], noise, best = refit_all(s) + log_prior(s);
    for (uint32_t i = 0; i < tries; i++) {
        memcpy(kept, s->length, sizeof kept);
        noise = s->noise;
        step(s, i, rng);
        const double likely = refit_all(s) + log_prior(s);
        if (likely > best) {
            best = likely;
            continue;
        }
        memcpy(s->length, kept, sizeof kept);
        s->noise = noise;
    }
    (void)refit_all(s);
}
