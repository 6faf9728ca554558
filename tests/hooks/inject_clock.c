/* inject_clock.c - a wall clock that somebody sets while a run goes on: with
 * SPHKV_CLOCK=jumps every look at it finds it ten years before or after the last one.
 * What only grows (CLOCK_MONOTONIC) is left alone, as it is when a clock is set. */
#include <stdlib.h>
#include <time.h>

#define TEN_YEARS 315360000

int __real_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t);
time_t __real_time(time_t *t);
time_t __wrap_time(time_t *t);

static time_t jump(void)
{
    static _Thread_local int looks;
    return !getenv("SPHKV_CLOCK") ? 0 : looks++ % 2 ? TEN_YEARS : -TEN_YEARS;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
    const int code = __real_clock_gettime(clock, t);
    if (code == 0 && clock == CLOCK_REALTIME) t->tv_sec += jump();
    return code;
}

time_t __wrap_time(time_t *t)
{
    const time_t now = __real_time(NULL) + jump();
    if (t) *t = now;
    return now;
}
