/* coordinates.c - see coordinates.h. */
#include "coordinates.h"

#include <math.h>

#define WHOLE_MOST 1e15 /* numbers above are not told apart by halving */

/* How often two divides a whole number; of zero, which means "none": not at all. */
static uint32_t halvings(double number)
{
    uint32_t n = 0;
    if (number <= 0) return 0;
    for (; fmod(number, 2) == 0; number /= 2) n++;
    return n;
}

static bool power_of_two(double number)
{
    return number == 0 || ldexp(1, (int)halvings(number)) == number;
}

/* The largest number of halvings in a dimension, or 0 when they say nothing. */
static uint32_t most_halvings(const sk_points *p, uint32_t dim)
{
    uint32_t most = 0, least = UINT32_MAX;
    bool others = false;
    for (uint32_t i = 0; i < p->n && p->number; i++) {
        const double x = p->number[(size_t)i * p->dims + dim];
        if (!(x >= 0 && x <= WHOLE_MOST) || x != floor(x)) return 0;
        const uint32_t n = halvings(x);
        most = n > most ? n : most;
        least = n < least ? n : least;
        others = others || !power_of_two(x);
    }
    return others && most > least ? most : 0;
}

static void fill(const sk_points *p, const uint32_t *most, double *to)
{
    for (uint32_t i = 0; i < p->n; i++)
        for (uint32_t d = 0; d < p->dims; d++) {
            const size_t k = (size_t)i * p->dims + d;
            if (p->levels[d] > 1) *to++ = (double)p->at[k] / (p->levels[d] - 1);
            if (most[d] > 0) *to++ = (double)halvings(p->number[k]) / most[d];
        }
}

sk_status sk_coordinates_make(const sk_points *points, double **out, uint32_t *dims, sk_err *err)
{
    uint32_t *most = sk_calloc(points->dims + 1, sizeof *most);
    *dims = 0;
    *out = NULL;
    for (uint32_t d = 0; d < points->dims && most; d++) {
        most[d] = points->levels[d] > 1 ? most_halvings(points, d) : 0;
        *dims += (points->levels[d] > 1 ? 1u : 0u) + (most[d] > 0 ? 1u : 0u);
    }
    const bool none = *dims == 0;
    if (none) *dims = 1;
    if (most) *out = sk_calloc((size_t)points->n * *dims, sizeof **out);
    if (*out && !none) fill(points, most, *out);
    sk_free(most);
    return *out ? SPHKV_OK
                : sk_fail(err, SPHKV_ENOMEM, "no memory for a model of %u points", points->n);
}
