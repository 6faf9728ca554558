/* base_rng.c - seeded numbers, the same bits on every machine.
 *
 * xoshiro256** (Blackman, Vigna), its state filled by splitmix64. The normal
 * deviates use a logarithm written out here: libm's differs in the last bit
 * between versions and between CPUs with and without fma, and seeded codebooks
 * and test inputs must not. The polar method's second value is thrown away, so
 * that the state is the four words and nothing else. */
#include "base.h"

#include <math.h>

static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = *x += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

void sk_rng_seed(sk_rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        r->s[i] = splitmix(&seed);
}

static uint64_t rotate_left(uint64_t x, unsigned n) { return x << n | x >> (64 - n); }

uint64_t sk_rng_u64(sk_rng *r)
{
    uint64_t *s = r->s;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

/* Multiply and shift; the few values that would favour some results are drawn
 * again (Lemire). */
uint32_t sk_rng_below(sk_rng *r, uint32_t n)
{
    uint32_t least = (0u - n) % n;
    uint64_t product;
    do
        product = (sk_rng_u64(r) >> 32) * n;
    while ((uint32_t)product < least);
    return (uint32_t)(product >> 32);
}

void sk_rng_order(sk_rng *r, uint32_t *order, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = sk_rng_below(r, i), x = order[i - 1];
        order[i - 1] = order[j];
        order[j] = x;
    }
}

double sk_rng_unit(sk_rng *r) { return (double)(sk_rng_u64(r) >> 11) * 0x1p-53; }

/* Natural logarithm of x in (0, 1], by + * / only: ln m = 2 atanh((m-1)/(m+1))
 * with m in [0.7, 1.42), to about 1e-16. */
static double plain_log(double x)
{
    int e;
    double m = frexp(x, &e);
    if (m < 0.70710678118654752) {
        m *= 2;
        e--;
    }
    double z = (m - 1) / (m + 1), z2 = z * z, sum = 0;
    for (int k = 27; k >= 1; k -= 2)
        sum = sum * z2 + 1.0 / k;
    return 2 * z * sum + e * 0.69314718055994531;
}

double sk_rng_normal(sk_rng *r)
{
    double x, y, s;
    do {
        x = 2 * sk_rng_unit(r) - 1;
        y = 2 * sk_rng_unit(r) - 1;
        s = x * x + y * y;
    } while (s >= 1 || s == 0);
    return x * sqrt(-2 * plain_log(s) / s);
}
