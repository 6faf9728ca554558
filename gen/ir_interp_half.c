/* ir_interp_half.c - arithmetic of packed halves, rounded once.
 *
 * Sums and products of two halves are exact in double (41 and 22 bits). So is a
 * fused a b + c wherever it matters: it needs more than 53 bits only when a b is
 * beyond 2^29, which is infinity anyway, or below 2^-31 of c, and then the
 * nearest half is c. Every NaN is 0x7fff. */
#include <math.h>

#include "ir_interp.h"

/* Nearest half of a double, ties to even; subnormals have the step 2^-24. */
static uint32_t to_half(double x)
{
    int exponent = 0;
    if (x != x)
        return 0x7fffu;
    (void)frexp(x, &exponent); /* |x| < 2^exponent; 0 for 0 and infinity */
    const int step = exponent - 11 > -24 ? exponent - 11 : -24;
    const double r = isinf(x) ? x : ldexp(rint(ldexp(x, -step)), step);
    return sk_f32_to_f16((float)r); /* exact, or 65536 and more: infinity */
}

static double low(uint32_t x)
{
    return (double)sk_f16_to_f32((uint16_t)x);
}

static uint32_t pack(double lo, double hi)
{
    return to_half(lo) | to_half(hi) << 16;
}

uint32_t sk_interp_hadd2(uint32_t x, uint32_t y)
{
    return pack(low(x) + low(y), low(x >> 16) + low(y >> 16));
}

uint32_t sk_interp_hmul2(uint32_t x, uint32_t y)
{
    return pack(low(x) * low(y), low(x >> 16) * low(y >> 16));
}

uint32_t sk_interp_hfma2(uint32_t x, uint32_t y, uint32_t z)
{
    return pack(low(x) * low(y) + low(z), low(x >> 16) * low(y >> 16) + low(z >> 16));
}
