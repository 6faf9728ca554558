/* cpu_features.h - the features of x86-64 that code generation could use, once:
 * LLVM's name, where cpuid says it, and which register state the operating
 * system must save. Private to cpu_target.c (names) and cpu_host.c (cpuid). */
#ifndef SK_CPU_FEATURES_H
#define SK_CPU_FEATURES_H

#include <stdint.h>

#include "cpu_target.h"

/* X(NAME, LLVM's text, cpuid leaf index, register a b c d, bit, state)
 * leaf index: see SK_LEAF_*; state: N none, A the AVX half, Z AVX-512's. */
#define SK_LEAF_1 0    /* 1 */
#define SK_LEAF_7 1    /* 7, 0 */
#define SK_LEAF_7_1 2  /* 7, 1 */
#define SK_LEAF_EXT 3  /* 0x80000001 */
#define SK_CPU_FEATURES(X)                            \
    X(SSE3, "sse3", SK_LEAF_1, c, 0, N)               \
    X(SSSE3, "ssse3", SK_LEAF_1, c, 9, N)             \
    X(SSE41, "sse4.1", SK_LEAF_1, c, 19, N)           \
    X(SSE42, "sse4.2", SK_LEAF_1, c, 20, N)           \
    X(POPCNT, "popcnt", SK_LEAF_1, c, 23, N)          \
    X(MOVBE, "movbe", SK_LEAF_1, c, 22, N)            \
    X(LZCNT, "lzcnt", SK_LEAF_EXT, c, 5, N)           \
    X(BMI, "bmi", SK_LEAF_7, b, 3, N)                 \
    X(BMI2, "bmi2", SK_LEAF_7, b, 8, N)               \
    X(ADX, "adx", SK_LEAF_7, b, 19, N)                \
    X(SSE4A, "sse4a", SK_LEAF_EXT, c, 6, N)           \
    X(GFNI, "gfni", SK_LEAF_7, c, 8, N)               \
    X(AVX, "avx", SK_LEAF_1, c, 28, A)                \
    X(F16C, "f16c", SK_LEAF_1, c, 29, A)              \
    X(FMA, "fma", SK_LEAF_1, c, 12, A)                \
    X(AVX2, "avx2", SK_LEAF_7, b, 5, A)               \
    X(VAES, "vaes", SK_LEAF_7, c, 9, A)               \
    X(VPCLMUL, "vpclmulqdq", SK_LEAF_7, c, 10, A)     \
    X(AVXVNNI, "avxvnni", SK_LEAF_7_1, a, 4, A)       \
    X(AVXIFMA, "avxifma", SK_LEAF_7_1, a, 23, A)      \
    X(AVXVNNI8, "avxvnniint8", SK_LEAF_7_1, d, 4, A)  \
    X(AVXVNNI16, "avxvnniint16", SK_LEAF_7_1, d, 10, A) \
    X(AVXNECV, "avxneconvert", SK_LEAF_7_1, d, 5, A)  \
    X(FMA4, "fma4", SK_LEAF_EXT, c, 16, A)            \
    X(XOP, "xop", SK_LEAF_EXT, c, 11, A)              \
    X(TBM, "tbm", SK_LEAF_EXT, c, 21, N)              \
    X(Z_F, "avx512f", SK_LEAF_7, b, 16, Z)            \
    X(Z_CD, "avx512cd", SK_LEAF_7, b, 28, Z)          \
    X(Z_BW, "avx512bw", SK_LEAF_7, b, 30, Z)          \
    X(Z_DQ, "avx512dq", SK_LEAF_7, b, 17, Z)          \
    X(Z_VL, "avx512vl", SK_LEAF_7, b, 31, Z)          \
    X(Z_IFMA, "avx512ifma", SK_LEAF_7, b, 21, Z)      \
    X(Z_VBMI, "avx512vbmi", SK_LEAF_7, c, 1, Z)       \
    X(Z_VBMI2, "avx512vbmi2", SK_LEAF_7, c, 6, Z)     \
    X(Z_VNNI, "avx512vnni", SK_LEAF_7, c, 11, Z)      \
    X(Z_BITALG, "avx512bitalg", SK_LEAF_7, c, 12, Z)  \
    X(Z_VPOPCNT, "avx512vpopcntdq", SK_LEAF_7, c, 14, Z) \
    X(Z_VP2I, "avx512vp2intersect", SK_LEAF_7, d, 8, Z) \
    X(Z_BF16, "avx512bf16", SK_LEAF_7_1, a, 5, Z)     \
    X(Z_FP16, "avx512fp16", SK_LEAF_7, d, 23, Z)

enum {
#define SK_X(name, text, leaf, reg, bit, state) SK_F_##name,
    SK_CPU_FEATURES(SK_X)
#undef SK_X
    SK_F_COUNT
};
#define SK_BIT(name) (1ull << SK_F_##name)

/* Sets of the named levels; each contains the one before. */
#define SK_SET_V2 (SK_BIT(SSE3) | SK_BIT(SSSE3) | SK_BIT(SSE41) | SK_BIT(SSE42) | SK_BIT(POPCNT))
#define SK_SET_V3                                                                             \
    (SK_SET_V2 | SK_BIT(MOVBE) | SK_BIT(LZCNT) | SK_BIT(BMI) | SK_BIT(BMI2) | SK_BIT(AVX) |   \
     SK_BIT(F16C) | SK_BIT(FMA) | SK_BIT(AVX2))
#define SK_SET_V4 \
    (SK_SET_V3 | SK_BIT(Z_F) | SK_BIT(Z_CD) | SK_BIT(Z_BW) | SK_BIT(Z_DQ) | SK_BIT(Z_VL))

/* Fills features, feature_text, vector_bits, triple from the set. */
void sk_cpu_target_fill(sk_target *out, const char *cpu, uint64_t set);
/* The same of an AArch64 CPU, from SK_CPU_* of NEON. */
void sk_cpu_target_fill_arm(sk_target *out, const char *cpu, uint32_t features);

#endif
