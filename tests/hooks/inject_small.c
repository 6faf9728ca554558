/* inject_small.c - see inject.h: a run in which things are made to fail keeps one
 * copy of its inputs instead of thousands, so that its allocations can all be
 * tried. Its times mean nothing. */
#include <stddef.h>
#include <stdlib.h>

#include "inject.h"

size_t __real_sk_measure_cold_bytes(uint32_t last_level_bytes);
size_t __wrap_sk_measure_cold_bytes(uint32_t last_level_bytes);

size_t __wrap_sk_measure_cold_bytes(uint32_t last_level_bytes)
{
    return getenv(SK_INJECT_VARIABLE) ? 1 : __real_sk_measure_cold_bytes(last_level_bytes);
}
