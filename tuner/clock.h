/* clock.h - the clock that everything here is timed with. */
#ifndef SK_CLOCK_H
#define SK_CLOCK_H

#include <time.h>

/* Microseconds that only grow. The includer defines _GNU_SOURCE. */
static inline double sk_clock_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

#endif
