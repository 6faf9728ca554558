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

sk_status sk_surrogate_make(uint32_t dims, sk_surrogate *out, sk_err *err)
{
    const size_t n = SK_SURROGATE_POINTS;
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
    out->alpha = sk_malloc(n * sizeof *out->alpha);
    out->work = sk_malloc(n * sizeof *out->work);
    if (out->x && out->y && out->factor && out->alpha && out->work) return SPHKV_OK;
    sk_surrogate_free(out);
    return sk_fail(err, SPHKV_ENOMEM, "no memory for a model of the space");
}

void sk_surrogate_free(sk_surrogate *s)
{
    sk_free(s->x);
    sk_free(s->y);
    sk_free(s->factor);
    sk_free(s->alpha);
    sk_free(s->work);
    memset(s, 0, sizeof *s);
}

static double covariance(const sk_surrogate *s, const double *a, const double *b)
{
    double sum = 0;
    for (uint32_t d = 0; d < s->dims; d++) {
        const double z = (a[d] - b[d]) / s->length[d];
        sum += z * z;
    }
    const double r = sqrt(5 * sum);
    return (1 + r + r * r / 3) * exp(-r);
}

static void factorise(sk_surrogate *s)
{
    for (uint32_t i = 0; i < s->n; i++) {
        double *row = s->factor + (size_t)i * s->n;
        for (uint32_t j = 0; j <= i; j++) {
            const double *other = s->factor + (size_t)j * s->n;
            double sum = covariance(s, s->x + (size_t)i * s->dims, s->x + (size_t)j * s->dims);
            if (i == j) sum += s->noise;
            for (uint32_t k = 0; k < j; k++) sum -= row[k] * other[k];
            row[j] = i == j ? sqrt(fmax(sum, PIVOT_LEAST)) : sum / other[j];
        }
    }
}

/* v = factor^-1 b for what is lower triangular. */
static void solve_lower(const sk_surrogate *s, const double *b, double *v)
{
    for (uint32_t i = 0; i < s->n; i++) {
        const double *row = s->factor + (size_t)i * s->n;
        double sum = b[i];
        for (uint32_t k = 0; k < i; k++) sum -= row[k] * v[k];
        v[i] = sum / row[i];
    }
}

/* Factor, alpha and signal for the points held; the logarithm of their likelihood, the
 * signal's variance being the likeliest, up to a constant. */
static double refit(sk_surrogate *s)
{
    double square = 0, log_det = 0;
    factorise(s);
    solve_lower(s, s->y, s->alpha);
    for (uint32_t i = 0; i < s->n; i++) {
        square += s->alpha[i] * s->alpha[i];
        log_det += log(s->factor[(size_t)i * s->n + i]);
    }
    for (uint32_t i = s->n; i-- > 0;) {
        double sum = s->alpha[i];
        for (uint32_t k = i + 1; k < s->n; k++) sum -= s->factor[(size_t)k * s->n + i] * s->alpha[k];
        s->alpha[i] = sum / s->factor[(size_t)i * s->n + i];
    }
    s->signal = fmax(square / s->n, 1e-12);
    return -log_det - 0.5 * s->n * log(s->signal);
}

void sk_surrogate_fit(sk_surrogate *s, const double *x, const double *y, uint32_t n)
{
    double mean = 0, square = 0;
    s->n = n;
    memcpy(s->x, x, (size_t)n * s->dims * sizeof *x);
    for (uint32_t i = 0; i < n; i++) mean += y[i] / n;
    for (uint32_t i = 0; i < n; i++) square += (y[i] - mean) * (y[i] - mean) / n;
    const double scale = 1 / (sqrt(square) + 1e-12);
    s->least = INFINITY;
    for (uint32_t i = 0; i < n; i++) {
        s->y[i] = (y[i] - mean) * scale;
        s->least = fmin(s->least, s->y[i]);
    }
    (void)refit(s);
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
    double kept[SK_SURROGATE_DIMS], noise, best = refit(s) + log_prior(s);
    for (uint32_t i = 0; i < tries; i++) {
        memcpy(kept, s->length, sizeof kept);
        noise = s->noise;
        step(s, i, rng);
        const double likely = refit(s) + log_prior(s);
        if (likely > best) {
            best = likely;
            continue;
        }
        memcpy(s->length, kept, sizeof kept);
        s->noise = noise;
    }
    (void)refit(s);
}

static double improvement(double below, double deviation)
{
    const double z = below / deviation;
    return deviation * (z * 0.5 * erfc(-z * 0.70710678118654752) +
                        0.39894228040143268 * exp(-0.5 * z * z));
}

double sk_surrogate_improvement(const sk_surrogate *s, const double *at, double least_wanted)
{
    double mean = 0, known = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        s->work[i] = covariance(s, at, s->x + (size_t)i * s->dims);
        mean += s->work[i] * s->alpha[i];
    }
    const double most = improvement(s->least - mean, sqrt(s->signal));
    if (most <= least_wanted) return most;
    for (uint32_t i = 0; i < s->n; i++) { /* factor^-1 k, in place */
        const double *row = s->factor + (size_t)i * s->n;
        double sum = s->work[i];
        for (uint32_t k = 0; k < i; k++) sum -= row[k] * s->work[k];
        s->work[i] = sum / row[i];
        known += s->work[i] * s->work[i];
    }
    return improvement(s->least - mean, sqrt(fmax(1 - known, 1e-9) * s->signal));
}
