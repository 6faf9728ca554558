/* bandwidth.c - see bandwidth.h. Vectors are GCC's, 32 bytes wide; on x86 the
 * AVX2 form is chosen at run time (target_clones was rejected: its resolvers
 * run before the sanitizers are up). The sums are integer, one per stream, so
 * nothing but the loads can limit. */
#define _GNU_SOURCE
#include "bandwidth.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "bandwidth_gpu.h"
#include "clock.h"
#include "statistics.h"

typedef uint64_t vec __attribute__((vector_size(32), aligned(32), may_alias));

#define ALIGN 4096u     /* parts and passes begin on a page */
#define SAMPLE_US 200.0 /* a sample lasts at least about this long */
#define INLINE static inline __attribute__((always_inline))

/* Streams run through equal shares of [p, p + bytes), four vectors at a time. */
INLINE uint64_t read_streams(const uint8_t *p, size_t bytes, uint32_t streams)
{
    vec sum[8] = {0};
    size_t share = bytes / streams / 128 * 128;
    for (size_t i = 0; i < share; i += 128)
        for (uint32_t s = 0; s < streams; s++) {
            const vec *v = (const vec *)(const void *)(p + s * share + i);
            sum[s] += (v[0] ^ v[1]) + (v[2] ^ v[3]);
        }
    for (uint32_t s = 1; s < 8; s++) sum[0] += sum[s];
    return sum[0][0] + sum[0][1] + sum[0][2] + sum[0][3];
}

/* The first half of each share is read and written to the second. */
INLINE uint64_t copy_streams(uint8_t *p, size_t bytes, uint32_t streams)
{
    size_t half = bytes / streams / 256 * 128;
    for (size_t i = 0; i < half; i += 128)
        for (uint32_t s = 0; s < streams; s++) {
            const vec *v = (const vec *)(const void *)(p + 2 * s * half + i);
            vec *to = (vec *)(void *)(p + 2 * s * half + half + i);
            to[0] = v[0];
            to[1] = v[1];
            to[2] = v[2];
            to[3] = v[3];
        }
    return p[0];
}

/* The number of streams is a constant in each call, so that the loops unroll. */
INLINE uint64_t sweep_body(uint8_t *p, size_t bytes, uint32_t streams, bool copy)
{
    switch (streams) {
    case 1: return copy ? copy_streams(p, bytes, 1) : read_streams(p, bytes, 1);
    case 2: return copy ? copy_streams(p, bytes, 2) : read_streams(p, bytes, 2);
    case 4: return copy ? copy_streams(p, bytes, 4) : read_streams(p, bytes, 4);
    default: return copy ? copy_streams(p, bytes, 8) : read_streams(p, bytes, 8);
    }
}

static uint64_t sweep_plain(uint8_t *p, size_t bytes, uint32_t streams, bool copy)
{
    return sweep_body(p, bytes, streams, copy);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static uint64_t sweep_avx2(uint8_t *p, size_t bytes,
                                                           uint32_t streams, bool copy)
{
    return sweep_body(p, bytes, streams, copy);
}
#endif

static uint64_t sweep_range(uint8_t *p, size_t bytes, uint32_t streams, bool copy)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) return sweep_avx2(p, bytes, streams, copy);
#endif
    return sweep_plain(p, bytes, streams, copy);
}

static void sweep_part(void *user, uint32_t part, uint32_t parts)
{
    sk_sweep *s = user;
    size_t share = s->bytes / parts / 64 * 64, from = share * part;
    size_t bytes = part + 1 == parts ? s->bytes - from : share;
    uint64_t sum = sweep_range(s->buffer + s->offset + from, bytes, s->streams, s->copy);
    atomic_fetch_add_explicit(&s->sink, sum, memory_order_relaxed);
}

static double time_passes(sk_sweep *s)
{
    size_t step = (s->bytes + ALIGN - 1) / ALIGN * ALIGN;
    double t0 = sk_clock_us();
    for (uint32_t r = 0; r < s->reps; r++) {
        if (s->offset + s->bytes > s->size) s->offset = 0;
        sk_team_run(s->x->team, sweep_part, s);
        s->offset += step;
    }
    return (sk_clock_us() - t0) / s->reps;
}

sk_status sk_sweep_time(sk_sweep *s, double *us, sk_err *err)
{
    if (s->x->cuda) return sk_gpu_sweep_time(s, us, err);
    *us = time_passes(s);
    return SPHKV_OK;
}

uint32_t sk_sweep_best(double us[SK_SWEEP_FORMS][SK_SWEEP_ROUNDS])
{
    double best = 0;
    uint32_t chosen = 0;
    for (uint32_t k = 0; k < SK_SWEEP_FORMS; k++) {
        double mid = sk_median(us[k], SK_SWEEP_ROUNDS);
        if (best == 0 || mid < best) {
            best = mid;
            chosen = k;
        }
    }
    return chosen;
}

sk_status sk_sweep_choose(sk_sweep *s, sk_err *err)
{
    double us[SK_SWEEP_FORMS][SK_SWEEP_ROUNDS];
    if (s->x->cuda) return sk_gpu_sweep_choose(s, err);
    s->reps = 1;
    s->streams = 4;
    (void)time_passes(s);
    double once = time_passes(s);
    if (once < SAMPLE_US) s->reps = once > 0.2 ? (uint32_t)(SAMPLE_US / once) + 1 : 1000;
    for (uint32_t i = 0; i < SK_SWEEP_ROUNDS; i++) /* rounds, so that a slow stretch hits all */
        for (uint32_t k = 0; k < SK_SWEEP_FORMS; k++) {
            s->streams = 1u << k;
            us[k][i] = time_passes(s);
        }
    s->streams = 1u << sk_sweep_best(us);
    return SPHKV_OK;
}

sk_status sk_sweep_make(sk_executor *x, size_t bytes, size_t cold, bool copy, sk_sweep *out,
                        sk_err *err)
{
    memset(out, 0, sizeof *out);
    out->x = x;
    out->bytes = bytes < 4096 ? 4096 : bytes; /* less says nothing about memory */
    out->copy = copy;
    out->streams = 4;
    out->reps = 1;
    if (x->cuda) return sk_gpu_sweep_make(out, cold, err);
    size_t size = 2 * out->bytes > cold ? 2 * out->bytes : cold;
    size = (size + (2u << 20) - 1) >> 21 << 21;
    out->buffer =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (out->buffer == MAP_FAILED) {
        out->buffer = NULL;
        return sk_fail(err, SPHKV_ENOMEM, "no memory for a sweep over %zu bytes", size);
    }
    (void)madvise(out->buffer, size, MADV_HUGEPAGE); /* refused: ordinary pages */
    for (size_t i = 0; i < size; i += 64) out->buffer[i] = (uint8_t)(i >> 6 | 1);
    out->size = size;
    return SPHKV_OK;
}

void sk_sweep_free(sk_sweep *s)
{
    if (s->x && s->x->cuda)
        sk_gpu_sweep_free(s);
    else if (s->buffer)
        munmap(s->buffer, s->size);
    s->buffer = NULL;
}
