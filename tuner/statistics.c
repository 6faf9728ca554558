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

/* Marks who is tied with the fastest. */
static sk_status find_ties(const sk_entrant *entrant, uint32_t n, size_t rounds, uint64_t seed,
                           sk_verdict *out, sk_err *err)
{
    for (uint32_t i = 0; i < n; i++) {
        sk_interval slower = {1, 1, 1};
        out->tied[i] = true;
        if (i == out->fastest) continue;
        sk_status st = sk_ratio_interval(entrant[i].samples, entrant[out->fastest].samples, rounds,
                                         seed, &slower, err);
        if (st != SPHKV_OK) return st;
        out->tied[i] = slower.lo <= 1 || slower.mid <= 1 + SK_TIE_SHARE;
    }
    return SPHKV_OK;
}

/* The largest median of paired ratios to the default: medians of the times
 * themselves would compare different moods of the machine. */
static sk_status find_fastest(const sk_entrant *entrant, uint32_t n, uint32_t base, size_t rounds,
                              uint64_t seed, sk_verdict *out, sk_err *err)
{
    double most = 1;
    out->fastest = base;
    for (uint32_t i = 0; i < n; i++) {
        sk_interval gain;
        if (i == base) continue;
        sk_status st = sk_ratio_interval(entrant[base].samples, entrant[i].samples, rounds, seed,
                                         &gain, err);
        if (st != SPHKV_OK) return st;
        if (gain.mid <= most) continue;
        most = gain.mid;
        out->fastest = i;
    }
    return SPHKV_OK;
}

sk_status sk_verdict_find(const sk_entrant *entrant, uint32_t n, size_t rounds, uint64_t seed,
                          sk_verdict *out, sk_err *err)
{
    uint32_t base = n;
    memset(out, 0, sizeof *out);
    if (n < 1 || n > SK_MAX_ENTRANTS || rounds == 0)
        return sk_fail(err, SPHKV_EINVAL, "a final of %u entrants and %zu rounds", n, rounds);
    for (uint32_t i = 0; i < n; i++)
        if (entrant[i].rank == 0) base = i;
    if (base == n) return sk_fail(err, SPHKV_EINVAL, "a final without the default schedule");
    sk_status st = find_fastest(entrant, n, base, rounds, seed, out, err);
    if (st == SPHKV_OK) st = find_ties(entrant, n, rounds, seed, out, err);
    out->winner = base;
    out->speedup = (sk_interval){1, 1, 1};
    if (st != SPHKV_OK || out->tied[base]) return st;
    for (uint32_t i = 0; i < n; i++) {
        sk_interval gain;
        bool earlier = out->winner == base || entrant[i].rank < entrant[out->winner].rank;
        if (i == base || !out->tied[i] || !earlier) continue;
        st = sk_ratio_interval(entrant[base].samples, entrant[i].samples, rounds, seed, &gain, err);
        if (st != SPHKV_OK) return st;
        if (gain.lo <= 1) continue;
        out->winner = i;
        out->speedup = gain;
    }
    return SPHKV_OK;
}
