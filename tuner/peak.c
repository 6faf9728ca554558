/* peak.c - see peak.h. Twelve sums that do not depend on each other cover the latency
 * of two pipes; intrinsics, because contraction is off everywhere and a product and a
 * sum would stay two instructions. */
#define _GNU_SOURCE
#include "peak.h"

#include <string.h>

#include "clock.h"
#include "statistics.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define SUMS 12u
#define ROUNDS 7u
#define TURNS 40000u /* of a sample: some hundred microseconds */

/* A loop of TURNS times SUMS vector operations, each `wide` multiply-adds; what it
 * returns keeps it from being left out. */
typedef struct peak_form {
    float (*loop)(void);
    uint32_t wide;
} peak_form;

#define UNROLLED _Pragma("GCC unroll 12") for (uint32_t k = 0; k < SUMS; k++) /* registers */
#define PEAK_LOOP(name, type, zero, step, last)                    \
    static float name(void)                                        \
    {                                                              \
        type sum[SUMS];                                            \
        UNROLLED sum[k] = zero;                                    \
        for (uint32_t i = 0; i < TURNS; i++) UNROLLED sum[k] = step; \
        float all = 0;                                             \
        UNROLLED all += last;                                      \
        return all;                                                \
    }

#if defined(__x86_64__)
#define FOR_CPU(features) __attribute__((target(features)))
FOR_CPU("avx512f")
PEAK_LOOP(fma_512, __m512, _mm512_set1_ps((float)k),
          _mm512_fmadd_ps(sum[k], _mm512_set1_ps(0.5f), _mm512_set1_ps(1.0f)),
          _mm512_cvtss_f32(sum[k]))
FOR_CPU("avx2,fma")
PEAK_LOOP(fma_256, __m256, _mm256_set1_ps((float)k),
          _mm256_fmadd_ps(sum[k], _mm256_set1_ps(0.5f), _mm256_set1_ps(1.0f)),
          _mm256_cvtss_f32(sum[k]))
PEAK_LOOP(mul_add_128, __m128, _mm_set1_ps((float)k),
          _mm_add_ps(_mm_mul_ps(sum[k], _mm_set1_ps(0.5f)), _mm_set1_ps(1.0f)),
          _mm_cvtss_f32(sum[k]))
FOR_CPU("avx512f,avx512bf16")
PEAK_LOOP(dots_512, __m512, _mm512_set1_ps((float)k),
          _mm512_dpbf16_ps(sum[k], (__m512bh)_mm512_set1_epi32(0x3f803f80),
                           (__m512bh)_mm512_set1_epi32(0x3e803e80)),
          _mm512_cvtss_f32(sum[k]))

static peak_form fma_form(const sk_target *t)
{
    if (t->features & SK_CPU_AVX512 && t->vector_bits >= 512) return (peak_form){fma_512, 16};
    if (t->features & SK_CPU_AVX2) return (peak_form){fma_256, 8};
    return (peak_form){mul_add_128, 4};
}

static peak_form dots_form(const sk_target *t)
{
    return t->features & SK_CPU_BF16 ? (peak_form){dots_512, 32} : (peak_form){NULL, 0};
}
#else
#if defined(__aarch64__)
PEAK_LOOP(fma_128, float32x4_t, vdupq_n_f32((float)k),
          vfmaq_f32(vdupq_n_f32(1.0f), sum[k], vdupq_n_f32(0.5f)), vgetq_lane_f32(sum[k], 0))
#define PEAK_WIDE 4
#else
PEAK_LOOP(fma_128, float, (float)k, __builtin_fmaf(sum[k], 0.5f, 1.0f), sum[k])
#define PEAK_WIDE 1
#endif

static peak_form fma_form(const sk_target *t)
{
    (void)t;
    return (peak_form){fma_128, PEAK_WIDE};
}

static peak_form dots_form(const sk_target *t)
{
    (void)t;
    return (peak_form){NULL, 0};
}
#endif

static void run_part(void *user, uint32_t part, uint32_t parts)
{
    const peak_form *form = user;
    volatile float sink = form->loop();
    (void)sink;
    (void)part;
    (void)parts;
}

static double measure(sk_executor *x, peak_form form)
{
    double rate[ROUNDS];
    if (!form.loop) return 0;
    sk_team_run(x->team, run_part, &form); /* the clock rises, the threads wake */
    for (uint32_t i = 0; i < ROUNDS; i++) {
        const double t0 = sk_clock_us();
        sk_team_run(x->team, run_part, &form);
        const double ns = (sk_clock_us() - t0) * 1e3;
        rate[i] = (double)SUMS * TURNS * form.wide * sk_team_size(x->team) / ns;
    }
    return sk_median(rate, ROUNDS);
}

void sk_peak_measure(sk_executor *x, sk_peak *out)
{
    memset(out, 0, sizeof *out);
    if (x->cuda) return;
    out->fma = measure(x, fma_form(&x->target));
    out->dots = measure(x, dots_form(&x->target));
}
