/* base_half.c - f16 and bf16 bits to and from float, e4m3 to float, in plain C.
 *
 * Bit for bit what vcvtps2ph and vcvtph2ps do under round to nearest even, with
 * subnormals kept: the interpreter, host code and every back end must agree. A
 * NaN keeps its sign and the upper bits of its payload and becomes quiet; bf16
 * to float is a shift, so there a signalling NaN stays one. */
#include "base.h"

#include <string.h>

static uint32_t bits_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static float float_of(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* u >> n, rounded to nearest even; 1 <= n <= 31. */
static uint32_t shift_round(uint32_t u, unsigned n)
{
    uint32_t half = 1u << (n - 1), rest = u & (half * 2 - 1), q = u >> n;
    return q + (rest > half || (rest == half && (q & 1)));
}

uint16_t sk_f32_to_f16(float x)
{
    uint32_t u = bits_of(x);
    uint32_t sign = u >> 16 & 0x8000u, magnitude = u & 0x7fffffffu;
    uint32_t h;
    if (magnitude > 0x7f800000u) /* NaN */
        h = 0x7e00u | (magnitude >> 13 & 0x3ffu);
    else if (magnitude >= 0x477ff000u) /* 65520 and more round to infinity */
        h = 0x7c00u;
    else if (magnitude >= 0x38800000u) /* 2^-14: normal; a carry moves the exponent */
        h = shift_round(magnitude - 0x38000000u, 13);
    else if (magnitude > 0x33000000u) { /* above 2^-25: subnormal, in units of 2^-24 */
        unsigned exponent = magnitude >> 23;
        h = shift_round((magnitude & 0x7fffffu) | 0x800000u, 126 - exponent);
    } else
        h = 0;
    return (uint16_t)(sign | h);
}

float sk_f16_to_f32(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000u) << 16;
    uint32_t exponent = bits >> 10 & 31u, fraction = bits & 0x3ffu;
    if (exponent == 31)
        return float_of(sign | 0x7f800000u | (fraction ? 0x400000u : 0) | fraction << 13);
    if (exponent)
        return float_of(sign | (exponent + 112) << 23 | fraction << 13);
    float magnitude = (float)fraction * 0x1p-24f; /* exact */
    return float_of(sign | bits_of(magnitude));
}

uint16_t sk_f32_to_bf16(float x)
{
    uint32_t u = bits_of(x);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(u >> 16 | 0x40u);
    return (uint16_t)shift_round(u, 16);
}

float sk_bf16_to_f32(uint16_t h) { return float_of((uint32_t)h << 16); }

/* Sign, 4 bits of exponent (bias 7), 3 of mantissa. */
float sk_e4m3_to_f32(uint8_t x)
{
    uint32_t sign = (uint32_t)(x & 0x80u) << 24, exponent = x >> 3 & 15u, fraction = x & 7u;
    if (exponent == 15 && fraction == 7)
        return float_of(sign | 0x7fc00000u);
    if (exponent)
        return float_of(sign | (exponent + 120) << 23 | fraction << 20);
    return float_of(sign | bits_of((float)fraction * 0x1p-9f)); /* exact */
}
