/* cpu_target.h - what this CPU is and can do, asked of the CPU itself and not
 * of LLVM: a machine without the compiler must still pick the right record and
 * the right default schedule.
 *
 * cpu and feature_text are in LLVM's words. feature_text switches every
 * feature that code generation could use explicitly on or off: a hypervisor or
 * kernel may hide what the CPU's name promises. */
#ifndef SK_CPU_TARGET_H
#define SK_CPU_TARGET_H

#include "schedule.h"

/* The machine this runs on. Never fails: what is not known is generic. */
void sk_cpu_target_host(sk_target *out);

/* A target by LLVM's CPU name: "znver3", "skylake-avx512", "x86-64-v3", "cortex-a76", ...;
 * "generic" is the least x86-64, "host" or "native" is this machine.
 * SPHKV_EINVAL with the known names when it is not one of them. */
sk_status sk_cpu_target_named(const char *cpu, sk_target *out, sk_err *err);
/* The i-th name that sk_cpu_target_named knows, NULL behind the last. */
const char *sk_cpu_target_name(uint32_t i);

/* Whether code for `code` runs on `host`: its features are a subset. */
bool sk_cpu_target_runs(const sk_target *code, const sk_target *host);

/* "x86_64+avx2+fma+f16c": architecture and the features that matter, in a
 * fixed order; equal text = same architecture in the look-up's sense. */
void sk_cpu_arch_text(const sk_target *target, char text[96]);

/* Who the CPU says it is; for fingerprints and reports. */
typedef struct sk_cpu_facts {
    char vendor[16];  /* "AuthenticAMD" */
    char brand[52];   /* "AMD EPYC 7763 64-Core Processor", may be empty */
    uint32_t family, model, stepping;
    uint32_t l1_bytes, l2_bytes, l3_bytes; /* data caches, 0 = not known; l3 as one core sees it */
    uint32_t logical_cpus;                 /* online */
} sk_cpu_facts;
void sk_cpu_facts_get(sk_cpu_facts *out);

#endif
