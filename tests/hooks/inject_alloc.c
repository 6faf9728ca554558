/* inject_alloc.c - see inject.h: the shared counters, and the allocations of the
 * project, which the linker sends here (--wrap). Also part of the hooked compiler
 * module, which has its own copy and maps the same file. */
#include "inject.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static sk_inject *shared; /* NULL: nothing is asked for */

__attribute__((constructor)) static void map_shared(void)
{
    const char *path = getenv(SK_INJECT_VARIABLE);
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *at = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED) shared = at;
}

bool sk_inject_hit(sk_inject_kind kind)
{
    if (!shared || atomic_fetch_add(&shared->seen[kind], 1) + 1 != atomic_load(&shared->at[kind]))
        return false;
    atomic_fetch_add(&shared->hits, 1);
    return true;
}

sk_inject_how sk_inject_manner(void)
{
    return shared ? (sk_inject_how)atomic_load(&shared->how) : SK_INJECT_IOERR;
}

/* ---- what the linker sends here -------------------------------------------- */

void *__real_sk_malloc(size_t bytes);
void *__real_sk_calloc(size_t count, size_t bytes);
void *__real_sk_realloc(void *old, size_t bytes);
char *__real_sk_strdup(const char *s);
void *__wrap_sk_malloc(size_t bytes);
void *__wrap_sk_calloc(size_t count, size_t bytes);
void *__wrap_sk_realloc(void *old, size_t bytes);
char *__wrap_sk_strdup(const char *s);

void *__wrap_sk_malloc(size_t bytes)
{
    return sk_inject_hit(SK_INJECT_ALLOC) ? NULL : __real_sk_malloc(bytes);
}

void *__wrap_sk_calloc(size_t count, size_t bytes)
{
    return sk_inject_hit(SK_INJECT_ALLOC) ? NULL : __real_sk_calloc(count, bytes);
}

void *__wrap_sk_realloc(void *old, size_t bytes)
{
    return sk_inject_hit(SK_INJECT_ALLOC) ? NULL : __real_sk_realloc(old, bytes);
}

char *__wrap_sk_strdup(const char *s)
{
    return sk_inject_hit(SK_INJECT_ALLOC) ? NULL : __real_sk_strdup(s);
}
