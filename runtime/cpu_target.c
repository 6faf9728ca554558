/* cpu_target.c - targets by name, and the texts made of a feature set.
 *
 * The table holds what LLVM's names promise, for the CPUs people tune on or
 * ship for. feature_text is always complete (every known feature, on or off),
 * so that equal sets give equal text and equal code wherever it is made. */
#include "cpu_features.h"

#include <string.h>

static const char *const feature_name[SK_F_COUNT] = {
#define SK_X(name, text, leaf, reg, bit, state) text,
    SK_CPU_FEATURES(SK_X)
#undef SK_X
};

/* What Intel's Ice Lake and AMD's Zen 4 brought, on top of level 4. */
#define SET_ICELAKE                                                                            \
    (SK_SET_V4 | SK_BIT(ADX) | SK_BIT(GFNI) | SK_BIT(VAES) | SK_BIT(VPCLMUL) |                 \
     SK_BIT(Z_IFMA) | SK_BIT(Z_VBMI) | SK_BIT(Z_VBMI2) | SK_BIT(Z_VNNI) | SK_BIT(Z_BITALG) |   \
     SK_BIT(Z_VPOPCNT))
#define SET_SAPPHIRE (SET_ICELAKE | SK_BIT(Z_BF16) | SK_BIT(Z_FP16) | SK_BIT(AVXVNNI))
#define SET_ALDERLAKE                                                                  \
    (SK_SET_V3 | SK_BIT(ADX) | SK_BIT(GFNI) | SK_BIT(VAES) | SK_BIT(VPCLMUL) | SK_BIT(AVXVNNI))
#define SET_ZEN1 (SK_SET_V3 | SK_BIT(ADX) | SK_BIT(SSE4A))
#define SET_ZEN3 (SET_ZEN1 | SK_BIT(VAES) | SK_BIT(VPCLMUL))
#define SET_ZEN4 (SET_ICELAKE | SK_BIT(SSE4A) | SK_BIT(Z_BF16))

static const struct cpu_row {
    const char *name;      /* LLVM's */
    uint64_t set;          /* features the name promises */
    uint32_t l1_kb, l2_kb; /* per core */
} cpu_rows[] = {
    {"x86-64", 0, 32, 256},
    {"x86-64-v2", SK_SET_V2, 32, 256},
    {"x86-64-v3", SK_SET_V3, 32, 256},
    {"x86-64-v4", SK_SET_V4, 32, 1024},
    {"haswell", SK_SET_V3, 32, 256},
    {"broadwell", SK_SET_V3 | SK_BIT(ADX), 32, 256},
    {"skylake", SK_SET_V3 | SK_BIT(ADX), 32, 256},
    {"skylake-avx512", SK_SET_V4 | SK_BIT(ADX), 32, 1024},
    {"cascadelake", SK_SET_V4 | SK_BIT(ADX) | SK_BIT(Z_VNNI), 32, 1024},
    {"cooperlake", SK_SET_V4 | SK_BIT(ADX) | SK_BIT(Z_VNNI) | SK_BIT(Z_BF16), 32, 1024},
    {"icelake-client", SET_ICELAKE, 48, 512},
    {"icelake-server", SET_ICELAKE, 48, 1280},
    {"tigerlake", SET_ICELAKE | SK_BIT(Z_VP2I), 48, 1280},
    {"sapphirerapids", SET_SAPPHIRE, 48, 2048},
    {"emeraldrapids", SET_SAPPHIRE, 48, 2048},
    {"graniterapids", SET_SAPPHIRE, 48, 2048},
    {"alderlake", SET_ALDERLAKE, 48, 1280},
    {"raptorlake", SET_ALDERLAKE, 48, 2048},
    {"meteorlake", SET_ALDERLAKE, 48, 2048},
    {"znver1", SET_ZEN1, 32, 512},
    {"znver2", SET_ZEN1, 32, 512},
    {"znver3", SET_ZEN3, 32, 512},
    {"znver4", SET_ZEN4, 32, 1024},
    {"znver5", SET_ZEN4 | SK_BIT(AVXVNNI) | SK_BIT(Z_VP2I), 48, 1024},
};

static const struct arm_row {
    const char *name; /* LLVM's */
    uint32_t features;
    uint32_t l1_kb, l2_kb;
} arm_rows[] = {
    {"cortex-a72", SK_CPU_NEON, 32, 1024},
    {"cortex-a76", SK_CPU_NEON | SK_CPU_DOTPROD, 64, 512},
    {"neoverse-n1", SK_CPU_NEON | SK_CPU_DOTPROD, 64, 1024},
    {"neoverse-v1", SK_CPU_NEON | SK_CPU_DOTPROD | SK_CPU_I8MM, 64, 1024},
    {"neoverse-n2", SK_CPU_NEON | SK_CPU_DOTPROD | SK_CPU_I8MM, 64, 1024},
};

const char *sk_cpu_target_name(uint32_t i)
{
    const size_t arm = i - SK_COUNT(cpu_rows);
    if (i < SK_COUNT(cpu_rows))
        return cpu_rows[i].name;
    return arm < SK_COUNT(arm_rows) ? arm_rows[arm].name : NULL;
}

static uint32_t coarse_features(uint64_t set)
{
    static const struct {
        uint64_t needs; /* all of these */
        uint32_t gives;
    } rule[] = {
        {SK_SET_V2, SK_CPU_SSE41},
        {SK_BIT(AVX) | SK_BIT(AVX2) | SK_BIT(FMA) | SK_BIT(F16C), SK_CPU_AVX2},
        {SK_SET_V4, SK_CPU_AVX512},
        {SK_SET_V4 | SK_BIT(Z_VBMI), SK_CPU_VBMI},
        {SK_SET_V4 | SK_BIT(Z_VNNI), SK_CPU_VNNI},
        {SK_SET_V4 | SK_BIT(Z_BF16), SK_CPU_BF16},
        {SK_SET_V3 | SK_BIT(AVXVNNI), SK_CPU_AVXVNNI},
    };
    uint32_t out = 0;
    for (size_t i = 0; i < SK_COUNT(rule); i++)
        if ((set & rule[i].needs) == rule[i].needs)
            out |= rule[i].gives;
    return out;
}

void sk_cpu_target_fill(sk_target *out, const char *cpu, uint64_t set)
{
    out->features = coarse_features(set);
    out->vector_bits = out->features & SK_CPU_AVX512 ? 512
                       : out->features & SK_CPU_AVX2 ? 256
                                                     : 128;
    strncpy(out->cpu, cpu, sizeof out->cpu - 1);
    strcpy(out->triple, "x86_64-unknown-linux-gnu");
    char *at = out->feature_text;
    for (uint32_t f = 0; f < SK_F_COUNT; f++) { /* about 450 of the 1024 bytes */
        *at++ = set >> f & 1 ? '+' : '-';
        at = stpcpy(at, feature_name[f]);
        *at++ = f + 1 < SK_F_COUNT ? ',' : '\0';
    }
}

void sk_cpu_target_fill_arm(sk_target *out, const char *cpu, uint32_t features)
{
    const bool dots = features & SK_CPU_DOTPROD, mixed = features & SK_CPU_I8MM;
    out->features = features;
    out->vector_bits = 128;
    strncpy(out->cpu, cpu, sizeof out->cpu - 1);
    strcpy(out->triple, "aarch64-unknown-linux-gnu");
    char *at = stpcpy(out->feature_text, "+neon");
    at = stpcpy(at, dots ? ",+dotprod" : ",-dotprod");
    strcpy(at, mixed ? ",+i8mm" : ",-i8mm");
}

sk_status sk_cpu_target_named(const char *cpu, sk_target *out, sk_err *err)
{
    if (strcmp(cpu, "host") == 0 || strcmp(cpu, "native") == 0) {
        sk_cpu_target_host(out);
        return SPHKV_OK;
    }
    if (strcmp(cpu, "generic") == 0)
        cpu = "x86-64";
    for (size_t i = 0; i < SK_COUNT(cpu_rows); i++)
        if (strcmp(cpu_rows[i].name, cpu) == 0) {
            memset(out, 0, sizeof *out);
            sk_cpu_target_fill(out, cpu, cpu_rows[i].set);
            out->l1_bytes = cpu_rows[i].l1_kb << 10;
            out->l2_bytes = cpu_rows[i].l2_kb << 10;
            return SPHKV_OK;
        }
    for (size_t i = 0; i < SK_COUNT(arm_rows); i++)
        if (strcmp(arm_rows[i].name, cpu) == 0) {
            memset(out, 0, sizeof *out);
            sk_cpu_target_fill_arm(out, cpu, arm_rows[i].features);
            out->l1_bytes = arm_rows[i].l1_kb << 10;
            out->l2_bytes = arm_rows[i].l2_kb << 10;
            return SPHKV_OK;
        }
    char list[480] = "";
    char *at = list;
    for (uint32_t i = 0; sk_cpu_target_name(i); i++) /* 29 names of at most 14 characters */
        at = stpcpy(stpcpy(at, " "), sk_cpu_target_name(i));
    return sk_fail(err, SPHKV_EINVAL, "unknown CPU '%s'; known: host%s", cpu, list);
}

/* Whether "+name" is one of the comma-separated items of text. */
static bool has_feature(const char *text, const char *name, size_t len)
{
    for (const char *at = text; at && *at;) {
        if (*at == '+' && strncmp(at + 1, name, len) == 0 && (at[1 + len] == ',' || !at[1 + len]))
            return true;
        at = strchr(at, ',');
        at = at ? at + 1 : NULL;
    }
    return false;
}

bool sk_cpu_target_runs(const sk_target *code, const sk_target *host)
{
    if (strcmp(code->triple, host->triple) != 0 || (code->features & ~host->features))
        return false;
    for (const char *at = code->feature_text; at && *at;) {
        size_t len = strcspn(at, ",");
        if (*at == '+' && !has_feature(host->feature_text, at + 1, len - 1))
            return false;
        at += len;
        at += *at == ',';
    }
    return true;
}

void sk_cpu_arch_text(const sk_target *target, char text[96])
{
    /* Kernels are told apart by these only; the rest rides along. */
    static const struct {
        const char *feature, *shown;
    } part[] = {
        {"sse4.1", "sse41"}, {"avx2", "avx2"},       {"fma", "fma"},
        {"f16c", "f16c"},    {"avx512bw", "avx512"}, {"avx512vbmi", "vbmi"},
        {"avx512vnni", "vnni"}, {"avx512bf16", "bf16"}, {"avxvnni", "avxvnni"},
        {"dotprod", "dotprod"}, {"i8mm", "i8mm"},
    };
    const size_t name = strcspn(target->triple, "-") & 31u;
    memcpy(text, target->triple, name);
    char *at = text + name;
    *at = '\0';
    bool avx2 = has_feature(target->feature_text, "avx2", 4);
    for (size_t i = 0; i < SK_COUNT(part); i++) {
        if (i == 0 && avx2) /* implied, and not worth a word */
            continue;
        if (has_feature(target->feature_text, part[i].feature, strlen(part[i].feature)))
            at = stpcpy(stpcpy(at, "+"), part[i].shown);
    }
}
