/* base_alloc.c - every allocation of the project, so that tests can fail it.
 *
 * A file of its own, with nothing else in it, because test programs link it a
 * second time with the hook compiled in (SK_ALLOC_HOOK) whatever the build
 * type; the linker then never takes the plain one out of the library. The
 * counters are the one global state of the project, and exist only with the
 * hook. Zero bytes are one byte: NULL always means failure. Sizes that no object
 * can have are refused here, since sanitizers abort on them. */
#include "base.h"

#include <stdlib.h>
#include <string.h>

#ifdef SK_ALLOC_HOOK

#include <stdatomic.h>

static _Atomic uint64_t alloc_seen;    /* allocations since the hook was set */
static _Atomic uint64_t alloc_fail_at; /* the one to fail, from 1; 0 = none */
static _Atomic bool alloc_sticky;      /* and all after it */

static bool alloc_fails(void)
{
    uint64_t now = atomic_fetch_add(&alloc_seen, 1) + 1;
    uint64_t at = atomic_load(&alloc_fail_at);
    return at != 0 && (now == at || (now > at && atomic_load(&alloc_sticky)));
}

uint64_t sk_alloc_fault(uint64_t nth, bool sticky)
{
    atomic_store(&alloc_fail_at, 0);
    uint64_t seen = atomic_exchange(&alloc_seen, 0);
    atomic_store(&alloc_sticky, sticky);
    atomic_store(&alloc_fail_at, nth);
    return seen;
}

#else

static bool alloc_fails(void) { return false; }

uint64_t sk_alloc_fault(uint64_t nth, bool sticky)
{
    (void)nth;
    (void)sticky;
    return 0;
}

#endif

void *sk_malloc(size_t bytes)
{
    if (alloc_fails() || bytes > PTRDIFF_MAX)
        return NULL;
    return malloc(bytes ? bytes : 1);
}

void *sk_calloc(size_t count, size_t bytes)
{
    if (alloc_fails() || (bytes && count > PTRDIFF_MAX / bytes))
        return NULL;
    return count && bytes ? calloc(count, bytes) : calloc(1, 1);
}

void *sk_realloc(void *old, size_t bytes)
{
    if (alloc_fails() || bytes > PTRDIFF_MAX)
        return NULL;
    return realloc(old, bytes ? bytes : 1);
}

void sk_free(void *p) { free(p); }

char *sk_strdup(const char *s)
{
    size_t bytes = strlen(s) + 1;
    char *copy = sk_malloc(bytes);
    if (copy)
        memcpy(copy, s, bytes);
    return copy;
}
