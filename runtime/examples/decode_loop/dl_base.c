/* dl_base.c - see dl_base.h. */
#define _GNU_SOURCE
#include "dl_base.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

sphkv_status dl_fail(sphkv_error *err, sphkv_status status, const char *format, ...)
{
    va_list args;
    if (!err)
        return status;
    err->status = status;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    for (char *p = err->message; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 127)
            *p = '?'; /* names and options may hold anything; a message is one line */
    return status;
}

void dl_begin(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0) { /* no file of ours shall get its number */
            int null = open("/dev/null", O_RDONLY);
            if (null > fd)
                close(null);
        }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

sphkv_status dl_written(sphkv_error *err)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return SPHKV_OK;
    return dl_fail(err, SPHKV_EINTERNAL, "the result cannot be written: %s",
                   errno ? strerror(errno) : "an earlier part was lost");
}

/* ---- memory ------------------------------------------------------------- */

bool dl_new(void *place, size_t count, size_t size, sphkv_status *status, sphkv_error *err)
{
    if (*status != SPHKV_OK)
        return false;
    void *p = calloc(count ? count : 1, size ? size : 1);
    if (!p)
        *status = dl_fail(err, SPHKV_ENOMEM, "out of memory (%zu times %zu bytes)", count, size);
    else
        memcpy(place, &p, sizeof p);
    return p != NULL;
}

void *dl_pages_map(size_t bytes)
{
    void *at = mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                    -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    madvise(at, bytes, MADV_HUGEPAGE); /* a wish: refused is fine */
    return at;
}

void dl_pages_unmap(void *at, size_t bytes)
{
    if (at)
        munmap(at, bytes ? bytes : 1);
}

void *dl_workspace(size_t bytes)
{
    size_t rounded = (bytes + 64) / 64 * 64;
    void *at = aligned_alloc(64, rounded);
    return at ? memset(at, 0, rounded) : NULL;
}

double dl_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- numbers ------------------------------------------------------------ */

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

uint64_t dl_key(uint64_t seed, uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t key = mix(seed + 0x9e3779b97f4a7c15u);
    key = mix(key ^ (a + 0x9e3779b97f4a7c15u));
    key = mix(key ^ (b + 0xd1b54a32d192ed03u));
    return mix(key ^ (c + 0x8cb92ba72f3d8dd7u));
}

/* The sum of four uniform numbers of 16 bits, centred: near enough to normal
 * for keys and values, and it costs one multiply-mix per number. */
void dl_normal(uint64_t key, float scale, size_t n, float *out)
{
    const float unit = scale * 1.7320508f / 65536.0f;
    for (size_t i = 0; i < n; i++) {
        uint64_t r = mix(key += 0x9e3779b97f4a7c15u);
        int sum = (int)(r & 0xffff) + (int)(r >> 16 & 0xffff) + (int)(r >> 32 & 0xffff) +
                  (int)(r >> 48) - 2 * 65535;
        out[i] = (float)sum * unit;
    }
}

float dl_half(uint16_t bits)
{
    int exponent = bits >> 10 & 31;
    float mantissa = (float)(bits & 1023);
    float x = exponent == 0    ? ldexpf(mantissa, -24)
              : exponent == 31 ? (mantissa > 0 ? NAN : INFINITY)
                               : ldexpf(mantissa + 1024, exponent - 25);
    return bits & 0x8000 ? -x : x;
}

/* ---- files -------------------------------------------------------------- */

static sphkv_status read_all(FILE *f, const char *path, size_t limit, char **text, size_t *bytes,
                             sphkv_error *err)
{
    long size = fseek(f, 0, SEEK_END) == 0 ? ftell(f) : -1;
    if (size < 0 || fseek(f, 0, SEEK_SET) != 0)
        return dl_fail(err, SPHKV_EIO, "%s: %s", path, strerror(errno));
    if ((unsigned long)size > limit)
        return dl_fail(err, SPHKV_EINVAL, "%s: %ld bytes, at most %zu are read", path, size, limit);
    char *at = malloc((size_t)size + 1);
    if (!at)
        return dl_fail(err, SPHKV_ENOMEM, "%s: out of memory for %ld bytes", path, size);
    if (fread(at, 1, (size_t)size, f) != (size_t)size) {
        free(at);
        return dl_fail(err, SPHKV_EIO, "%s: cannot be read to its end", path);
    }
    at[size] = 0;
    *text = at;
    *bytes = (size_t)size;
    return SPHKV_OK;
}

sphkv_status dl_file_read(const char *path, size_t limit, char **text, size_t *bytes,
                          sphkv_error *err)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return dl_fail(err, SPHKV_ENOTFOUND, "%s: %s", path, strerror(errno));
    sphkv_status st = read_all(f, path, limit, text, bytes, err);
    fclose(f);
    return st;
}

int dl_library_mapped(const char *part)
{
    FILE *f = fopen("/proc/self/maps", "r");
    char line[4096];
    int found = 0;
    if (!f)
        return -1;
    while (!found && fgets(line, sizeof line, f)) {
        const char *name = strrchr(line, '/');
        found = name && strstr(name, part) != NULL;
    }
    fclose(f);
    return found;
}
