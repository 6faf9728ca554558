/* statistics.c - see statistics.h. The bootstrap resamples the paired ratios
 * and takes the 2.5 and 97.5 percentiles of their medians: no assumption about
 * the shape of the noise, which on a shared machine is a long tail. */
#include "statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RESAMPLES 1000u

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts x. */
static double median_in_place(double *x, size_t n)
{
    if (n == 0) return 0;
    qsort(x, n, sizeof *x, by_value);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

double sk_median(const double *x, size_t n)
{
    double few[64], *copy = few, mid;
    if (n == 0) return 0;
    if (n > SK_COUNT(few) && !(copy = sk_malloc(n * sizeof *copy))) return x[n / 2];
    memcpy(copy, x, n * sizeof *copy);
    mid = median_in_place(copy, n);
    if (copy != few) sk_free(copy);
    return mid;
}

static bool usable(double x)
{
    return isfinite(x) && x > 0;
}

/* lo and hi of the median of `ratio`; `work` holds n, `medians` RESAMPLES. */
static void bootstrap(const double *ratio, size_t n, uint64_t seed, double *work, double *medians,
                      sk_interval *out)
{
    sk_rng rng;
    sk_rng_seed(&rng, seed);
    for (uint32_t r = 0; r < RESAMPLES; r++) {
        for (size_t i = 0; i < n; i++) work[i] = ratio[sk_rng_below(&rng, (uint32_t)n)];
        medians[r] = median_in_place(work, n);
    }
    qsort(medians, RESAMPLES, sizeof *medians, by_value);
    out->lo = medians[RESAMPLES / 40];
    out->hi = medians[RESAMPLES - 1 - RESAMPLES / 40];
}

sk_status sk_ratio_interval(const double *top, const double *bottom, size_t n, uint64_t seed,
                            sk_interval *out, sk_err *err)
{
    size_t m = 0;
    if (n > 1000000) return sk_fail(err, SPHKV_EINVAL, "%zu samples are too many", n);
    double *ratio = sk_malloc((2 * n + RESAMPLES) * sizeof *ratio);
    if (!ratio) return sk_fail(err, SPHKV_ENOMEM, "no memory for %zu ratios", n);
    for (size_t i = 0; i < n; i++)
        if (usable(top[i]) && usable(bottom[i])) ratio[m++] = top[i] / bottom[i];
    if (m == 0) {
        sk_free(ratio);
        return sk_fail(err, SPHKV_EINVAL, "no usable pair of times");
    }
    out->mid = sk_median(ratio, m);
    bootstrap(ratio, m, seed, ratio + n, ratio + 2 * n, out);
    sk_free(ratio);
    return SPHKV_OK;
}

/* How many of n fair coins may fall on one side at a chance of at most alpha; -1: none. */
static int fair_coins(size_t n, double alpha)
{
    double log_choose = 0, sum = 0;
    for (int k = 0; (size_t)k <= n; k++) {
        sum += exp(log_choose - (double)n * log(2));
        if (sum > alpha) return k - 1;
        log_choose += log((double)(n - (size_t)k)) - log(k + 1.0);
    }
    return -1;
}

double sk_ratio_bound(const double *top, const double *bottom, size_t n, double alpha)
{
    double few[256], *ratio = few, bound = 0;
    size_t m = 0;
    if (n > SK_COUNT(few) && !(ratio = sk_malloc(n * sizeof *ratio))) return 0;
    for (size_t i = 0; i < n; i++)
        if (usable(top[i]) && usable(bottom[i])) ratio[m++] = top[i] / bottom[i];
    const int at = fair_coins(m, alpha);
    qsort(ratio, m, sizeof *ratio, by_value);
    if (at >= 0) bound = ratio[at];
    if (ratio != few) sk_free(ratio);
    return bound;
}
