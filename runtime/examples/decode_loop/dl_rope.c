/* dl_rope.c - see dl_rope.h. */
#include "dl_rope.h"

#include <math.h>

sphkv_status dl_rope_make(uint32_t positions, uint32_t dims, double theta, float **table,
                          sphkv_error *err)
{
    const uint32_t half = dims / 2;
    sphkv_status st = SPHKV_OK;
    dl_new(table, (size_t)positions * dims, sizeof **table, &st, err);
    for (uint32_t i = 0; st == SPHKV_OK && i < half; i++) {
        const double speed = pow(theta, -2.0 * i / dims);
        for (uint32_t p = 0; p < positions; p++) {
            (*table)[(size_t)p * dims + i] = (float)cos(p * speed);
            (*table)[(size_t)p * dims + half + i] = (float)sin(p * speed);
        }
    }
    return st;
}

void dl_rope_turn(const float *row, uint32_t dims, size_t count, float *x)
{
    const uint32_t half = dims / 2;
    const float *c = row, *s = row + half;
    for (size_t r = 0; r < count; r++, x += dims)
        for (uint32_t i = 0; i < half; i++) {
            const float a = x[i], b = x[i + half];
            x[i] = a * c[i] - b * s[i];
            x[i + half] = b * c[i] + a * s[i];
        }
}

void dl_rope_turn_double(const float *row, uint32_t dims, double *x)
{
    const uint32_t half = dims / 2;
    for (uint32_t i = 0; i < half; i++) {
        const double a = x[i], b = x[i + half], c = (double)row[i], s = (double)row[i + half];
        x[i] = a * c - b * s;
        x[i + half] = b * c + a * s;
    }
}
