/* cpu_host.c - asks this CPU who it is: cpuid for features (with the state that
 * the operating system saves), names and caches; sysconf where there is no
 * cpuid. */
#include "cpu_features.h"

#include <string.h>
#include <unistd.h>

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif
#if defined(__x86_64__)
#include <cpuid.h>

typedef struct cpuid_regs {
    uint32_t a, b, c, d;
} cpuid_regs;

static cpuid_regs cpuid(uint32_t leaf, uint32_t sub)
{
    cpuid_regs r = {0, 0, 0, 0};
    if ((uint32_t)__get_cpuid_max(leaf & 0x80000000u, NULL) >= leaf)
        __cpuid_count(leaf, sub, r.a, r.b, r.c, r.d);
    return r;
}

/* Register state that the operating system saves: XCR0, 0 without XSAVE. */
static uint64_t saved_state(void)
{
    if (!(cpuid(1, 0).c >> 27 & 1))
        return 0;
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

static uint64_t host_set(void)
{
    const cpuid_regs leaf[4] = {cpuid(1, 0), cpuid(7, 0), cpuid(7, 1), cpuid(0x80000001u, 0)};
    const uint64_t xcr0 = saved_state();
    const bool N = true, A = (xcr0 & 0x6) == 0x6, Z = (xcr0 & 0xe6) == 0xe6;
    uint64_t set = 0;
#define SK_X(name, text, index, reg, bit, state) \
    if (state && (leaf[index].reg >> bit & 1))   \
        set |= SK_BIT(name);
    SK_CPU_FEATURES(SK_X)
#undef SK_X
    return set;
}

static void identify(sk_cpu_facts *out)
{
    cpuid_regs r = cpuid(0, 0);
    memcpy(out->vendor, &r.b, 4);
    memcpy(out->vendor + 4, &r.d, 4);
    memcpy(out->vendor + 8, &r.c, 4);
    r = cpuid(1, 0);
    out->stepping = r.a & 15;
    out->model = r.a >> 4 & 15;
    out->family = r.a >> 8 & 15;
    if (out->family == 6 || out->family == 15)
        out->model |= r.a >> 12 & 0xf0;
    if (out->family == 15)
        out->family += r.a >> 20 & 0xff;
    char brand[49] = "";
    for (uint32_t i = 0; i < 3; i++) {
        r = cpuid(0x80000002u + i, 0);
        memcpy(brand + 16 * i, &r, 16);
    }
    const char *from = brand + strspn(brand, " ");
    size_t len = strlen(from);
    while (len && from[len - 1] == ' ')
        len--;
    memcpy(out->brand, from, len);
}

/* Data caches from the deterministic cache leaf: 4, or AMD's 0x8000001d. */
static void caches(sk_cpu_facts *out)
{
    const uint32_t leaf = strcmp(out->vendor, "AuthenticAMD") == 0 ? 0x8000001du : 4;
    for (uint32_t i = 0; i < 8; i++) {
        cpuid_regs r = cpuid(leaf, i);
        uint32_t type = r.a & 31, level = r.a >> 5 & 7;
        if (type == 0)
            break;
        uint64_t bytes = ((uint64_t)(r.b >> 22) + 1) * ((r.b >> 12 & 0x3ff) + 1) *
                         ((r.b & 0xfff) + 1) * ((uint64_t)r.c + 1);
        if (type == 2 || bytes > UINT32_MAX) /* instructions; nonsense */
            continue;
        if (level == 1)
            out->l1_bytes = (uint32_t)bytes;
        else if (level == 2)
            out->l2_bytes = (uint32_t)bytes;
        else if (level == 3)
            out->l3_bytes = (uint32_t)bytes;
    }
}

/* LLVM's name of a model, first row that covers it; set = needed to tell
 * models apart that share a number. */
static const struct model_row {
    char vendor; /* A or I */
    uint32_t family, first, last;
    uint64_t needs;
    const char *cpu;
} model_rows[] = {
    {'A', 0x17, 0x30, 0xff, 0, "znver2"},
    {'A', 0x17, 0x00, 0x2f, 0, "znver1"},
    {'A', 0x19, 0x10, 0x1f, 0, "znver4"},
    {'A', 0x19, 0x60, 0xff, 0, "znver4"},
    {'A', 0x19, 0x00, 0x5f, 0, "znver3"},
    {'A', 0x1a, 0x00, 0xff, 0, "znver5"},
    {'I', 6, 0x3c, 0x3c, 0, "haswell"},
    {'I', 6, 0x3f, 0x3f, 0, "haswell"},
    {'I', 6, 0x45, 0x46, 0, "haswell"},
    {'I', 6, 0x3d, 0x3d, 0, "broadwell"},
    {'I', 6, 0x47, 0x47, 0, "broadwell"},
    {'I', 6, 0x4f, 0x4f, 0, "broadwell"},
    {'I', 6, 0x56, 0x56, 0, "broadwell"},
    {'I', 6, 0x4e, 0x4e, 0, "skylake"},
    {'I', 6, 0x5e, 0x5e, 0, "skylake"},
    {'I', 6, 0x8e, 0x8e, 0, "skylake"},
    {'I', 6, 0x9e, 0x9e, 0, "skylake"},
    {'I', 6, 0xa5, 0xa6, 0, "skylake"},
    {'I', 6, 0x55, 0x55, SK_BIT(Z_BF16), "cooperlake"},
    {'I', 6, 0x55, 0x55, SK_BIT(Z_VNNI), "cascadelake"},
    {'I', 6, 0x55, 0x55, 0, "skylake-avx512"},
    {'I', 6, 0x7d, 0x7e, 0, "icelake-client"},
    {'I', 6, 0x6a, 0x6a, 0, "icelake-server"},
    {'I', 6, 0x6c, 0x6c, 0, "icelake-server"},
    {'I', 6, 0x8c, 0x8d, 0, "tigerlake"},
    {'I', 6, 0x8f, 0x8f, 0, "sapphirerapids"},
    {'I', 6, 0xcf, 0xcf, 0, "emeraldrapids"},
    {'I', 6, 0xad, 0xad, 0, "graniterapids"},
    {'I', 6, 0x97, 0x97, 0, "alderlake"},
    {'I', 6, 0x9a, 0x9a, 0, "alderlake"},
    {'I', 6, 0xb7, 0xb7, 0, "raptorlake"},
    {'I', 6, 0xba, 0xba, 0, "raptorlake"},
    {'I', 6, 0xbf, 0xbf, 0, "raptorlake"},
    {'I', 6, 0xaa, 0xaa, 0, "meteorlake"},
    {'I', 6, 0xac, 0xac, 0, "meteorlake"},
};

static const char *host_name(const sk_cpu_facts *facts, uint64_t set)
{
    const char vendor = strcmp(facts->vendor, "AuthenticAMD") == 0    ? 'A'
                        : strcmp(facts->vendor, "GenuineIntel") == 0 ? 'I'
                                                                     : '?';
    for (size_t i = 0; i < SK_COUNT(model_rows); i++) {
        const struct model_row *row = &model_rows[i];
        if (row->vendor == vendor && row->family == facts->family && row->first <= facts->model &&
            facts->model <= row->last && (set & row->needs) == row->needs)
            return row->cpu;
    }
    if ((set & SK_SET_V4) == SK_SET_V4)
        return "x86-64-v4";
    if ((set & SK_SET_V3) == SK_SET_V3)
        return "x86-64-v3";
    return (set & SK_SET_V2) == SK_SET_V2 ? "x86-64-v2" : "x86-64";
}

static void fill_host(sk_target *out, const sk_cpu_facts *facts)
{
    const uint64_t set = host_set();
    sk_cpu_target_fill(out, host_name(facts, set), set);
}

#else /* not x86-64: generic of the architecture, no object loader yet */

static void identify(sk_cpu_facts *out) { strcpy(out->vendor, "unknown"); }
static void caches(sk_cpu_facts *out) { (void)out; }

static void fill_host(sk_target *out, const sk_cpu_facts *facts)
{
    (void)facts;
    out->vector_bits = 128;
#if defined(__aarch64__)
    uint32_t features = SK_CPU_NEON;
    if (getauxval(AT_HWCAP) & 1ul << 20) /* HWCAP_ASIMDDP */
        features |= SK_CPU_DOTPROD;
    if (features & SK_CPU_DOTPROD && getauxval(AT_HWCAP2) & 1ul << 13) /* HWCAP2_I8MM */
        features |= SK_CPU_I8MM;
    sk_cpu_target_fill_arm(out, "generic", features);
#endif
}

#endif

/* What the C library knows, where the CPU did not say. */
static void caches_fallback(sk_cpu_facts *out)
{
#if defined(_SC_LEVEL1_DCACHE_SIZE)
    const struct {
        uint32_t *field;
        int name;
    } row[] = {{&out->l1_bytes, _SC_LEVEL1_DCACHE_SIZE},
               {&out->l2_bytes, _SC_LEVEL2_CACHE_SIZE},
               {&out->l3_bytes, _SC_LEVEL3_CACHE_SIZE}};
    for (size_t i = 0; i < SK_COUNT(row); i++) {
        long bytes = *row[i].field ? 0 : sysconf(row[i].name);
        if (bytes > 0 && bytes <= INT32_MAX)
            *row[i].field = (uint32_t)bytes;
    }
#endif
}

void sk_cpu_facts_get(sk_cpu_facts *out)
{
    memset(out, 0, sizeof *out);
    identify(out);
    caches(out);
    caches_fallback(out);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    out->logical_cpus = online > 0 ? (uint32_t)online : 1;
}

void sk_cpu_target_host(sk_target *out)
{
    sk_cpu_facts facts;
    sk_cpu_facts_get(&facts);
    memset(out, 0, sizeof *out);
    fill_host(out, &facts);
    /* A default schedule needs a number: the least that anything has. */
    out->l1_bytes = facts.l1_bytes ? facts.l1_bytes : 32u << 10;
    out->l2_bytes = facts.l2_bytes ? facts.l2_bytes : 256u << 10;
}
