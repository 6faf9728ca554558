/* ir_interp_half.c - arithmetic of packed halves, rounded once.
 *
 * Sums and products of two halves are exact in double (41 and 22 bits). A fused
 * a b + c can need 63 bits, so there the double is rounded to odd: its last bit
 * says that something was cut off, and 53 bits are enough more than the 11 of a
 * half for the second rounding to be right. Every NaN is 0x7fff. */
#include <math.h>
#include <string.h>

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

/* a + b, and when that is not exact the neighbour with an odd last bit. */
static double add_to_odd(double a, double b)
{
    const double s = a + b, part = s - a;
    const double rest = (a - (s - part)) + (b - part); /* a + b = s + rest */
    uint64_t bits;
    memcpy(&bits, &s, sizeof bits);
    if (isinf(s) || s != s || rest == 0 || (bits & 1))
        return s;
    return nextafter(s, rest > 0 ? INFINITY : -INFINITY);
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
    return pack(add_to_odd(low(x) * low(y), low(z)),
                add_to_odd(low(x >> 16) * low(y >> 16), low(z >> 16)));
}
