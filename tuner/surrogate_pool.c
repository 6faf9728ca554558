/* surrogate_pool.c - what a process says of its candidates (see surrogate.h). For each of
 * them the vector factor^-T k, k being its covariance with the points, is kept: a further
 * point adds one number to it, and mean and variance are products with it. */
#include "surrogate.h"

#include <math.h>

#define TILE SK_SURROGATE_TILE

static double *tile_x(const sk_surrogate *s, uint32_t tile)
{
    return s->pool.x + (size_t)tile * s->dims * TILE;
}

static double *tile_v(const sk_surrogate *s, uint32_t tile)
{
    return s->pool.v + (size_t)tile * SK_SURROGATE_POINTS * TILE;
}

void sk_surrogate_pool_clear(sk_surrogate *s)
{
    s->pool.n = s->pool.rows = 0;
}

bool sk_surrogate_pool_add(sk_surrogate *s, const double *at)
{
    if (s->pool.n == s->pool.most) return false;
    double *x = tile_x(s, s->pool.n / TILE) + s->pool.n % TILE;
    for (uint32_t d = 0; d < s->dims; d++) x[d * TILE] = at[d];
    s->pool.n++;
    s->pool.rows = 0;
    return true;
}

static void extend(const sk_surrogate *s, uint32_t tile)
{
    double *v = tile_v(s, tile);
    for (uint32_t k = s->pool.rows; k < s->n; k++) {
        double *to = v + (size_t)k * TILE;
        sk_surrogate_covariance(s, s->x + (size_t)k * s->dims, tile_x(s, tile), TILE, to);
        for (uint32_t i = 0; i < k; i++) {
            const double by = s->factor[(size_t)i * SK_SURROGATE_POINTS + k], *from = v + i * TILE;
            for (uint32_t c = 0; c < TILE; c++) to[c] -= by * from[c];
        }
        const double pivot = 1 / s->factor[(size_t)k * SK_SURROGATE_POINTS + k];
        for (uint32_t c = 0; c < TILE; c++) to[c] *= pivot;
    }
}

static double improvement(double below, double deviation)
{
    const double z = below / deviation;
    return deviation * (z * 0.5 * erfc(-z * 0.70710678118654752) +
                        0.39894228040143268 * exp(-0.5 * z * z));
}

void sk_surrogate_improvements(sk_surrogate *s, double *gain)
{
    for (uint32_t tile = 0; tile * TILE < s->pool.n; tile++) {
        double mean[TILE] = {0}, known[TILE] = {0};
        extend(s, tile);
        for (uint32_t k = 0; k < s->n; k++) {
            const double *v = tile_v(s, tile) + (size_t)k * TILE, z = s->z[k];
            for (uint32_t c = 0; c < TILE; c++) {
                mean[c] += v[c] * z;
                known[c] += v[c] * v[c];
            }
        }
        for (uint32_t c = 0; c < TILE && tile * TILE + c < s->pool.n; c++)
            gain[tile * TILE + c] = improvement(s->least - mean[c],
                                                sqrt(fmax(1 - known[c], 1e-9) * s->signal));
    }
    s->pool.rows = s->n;
}
