/* case_buffer.c - memory of a case: redzones, huge pages, and a refusal in time
 * when the machine has too little. Small buffers are heap (and fail in tests
 * like all heap); large ones are mapped, because only a mapping of its own can
 * be asked to use huge pages and goes back to the system at once. Who needs memory
 * of another kind (a GPU's) says where it comes from. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "case_impl.h"

#define REDZONE     256u
#define REDZONE_FILL 0xc3u
#define HUGE        ((size_t)2 << 20)

sk_status sk_case_buffer_make(sk_case_buffer *b, size_t bytes, sk_err *err)
{
    size_t total = bytes + 2 * REDZONE + HUGE;
    *b = (sk_case_buffer){.memory = b->memory};
    if (total < bytes) return sk_fail(err, SPHKV_ENOMEM, "a buffer of %zu bytes", bytes);
    if (b->memory.make) {
        void *p = NULL;
        sk_status st = b->memory.make(b->memory.user, bytes + 2 * REDZONE + 128, &p, err);
        if (st != SPHKV_OK) return st;
        b->base = p;
        memset(p, 0, bytes + 2 * REDZONE + 128);
    } else if (bytes >= HUGE) {
        void *p = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) return sk_fail(err, SPHKV_ENOMEM, "cannot map %zu bytes", total);
        b->base = p;
        b->mapped = total;
        (void)madvise(p, total, MADV_HUGEPAGE); /* a wish: not every kernel has it */
    } else {
        b->base = sk_calloc(1, bytes + 2 * REDZONE + 128);
        if (!b->base) return sk_fail(err, SPHKV_ENOMEM, "no memory for %zu bytes", bytes);
    }
    b->data = (uint8_t *)(((uintptr_t)b->base + REDZONE + 127) & ~(uintptr_t)127);
    b->bytes = bytes;
    memset(b->data - REDZONE, REDZONE_FILL, REDZONE);
    memset(b->data + bytes, REDZONE_FILL, REDZONE);
    return SPHKV_OK;
}

void sk_case_buffer_free(sk_case_buffer *b)
{
    if (b->mapped)
        (void)munmap(b->base, b->mapped);
    else if (b->memory.free)
        b->memory.free(b->memory.user, b->base);
    else
        sk_free(b->base);
    *b = (sk_case_buffer){.memory = b->memory};
}

bool sk_case_buffer_intact(const sk_case_buffer *b)
{
    if (!b->base) return true;
    for (uint32_t i = 0; i < REDZONE; i++)
        if (b->data[(ptrdiff_t)i - (ptrdiff_t)REDZONE] != REDZONE_FILL ||
            b->data[b->bytes + i] != REDZONE_FILL)
            return false;
    return true;
}

/* Eight bytes a step: any single changed word changes the sum. */
uint64_t sk_case_buffer_sum(const sk_case_buffer *b)
{
    uint64_t sum = 0x9e3779b97f4a7c15u ^ b->bytes;
    for (size_t i = 0; i < b->bytes; i += 8) {
        uint64_t x = 0;
        memcpy(&x, b->data + i, b->bytes - i < 8 ? b->bytes - i : 8);
        sum = (sum ^ x) * 0xd1342543de82ef95u;
        sum ^= sum >> 29;
    }
    return sum;
}

sk_status sk_case_memory_check(uint64_t bytes, sk_err *err)
{
    unsigned long long kib = 0;
    char line[128];
    FILE *f = bytes < (uint64_t)64 << 20 ? NULL : fopen("/proc/meminfo", "r");
    if (!f) return SPHKV_OK; /* too small to matter, or nobody to ask */
    while (kib == 0 && fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %llu kB", &kib) != 1) kib = 0;
    (void)fclose(f);
    if (kib && bytes / 1024 > kib - kib / 8)
        return sk_fail(err, SPHKV_ENOMEM, "the inputs take %llu MiB, %llu MiB are available",
                       (unsigned long long)(bytes >> 20), kib >> 10);
    return SPHKV_OK;
}
