/* device_cuda.c - a GPU asked who it is; see device.h. Everything in the fingerprint
 * is the same for two cards of a kind under any driver: memory is counted in whole
 * GiB, since drivers keep a little of it for themselves. */
#include <stdio.h>
#include <string.h>

#include "device.h"
#include "gpu_target.h"

#define LEAST_SM 75 /* nothing older is emitted for */

/* Attributes that are asked for, and where they go. */
typedef struct gpu_asked {
    int clock, sms, memory_clock, bus, l2, threads, major, minor, shared_sm, registers,
        shared_block;
} gpu_asked;
static const struct gpu_question {
    int attribute;
    size_t at;
} questions[] = {
    {SK_CU_CLOCK_KHZ, offsetof(gpu_asked, clock)},
    {SK_CU_SMS, offsetof(gpu_asked, sms)},
    {SK_CU_MEMORY_CLOCK_KHZ, offsetof(gpu_asked, memory_clock)},
    {SK_CU_MEMORY_BUS_BITS, offsetof(gpu_asked, bus)},
    {SK_CU_L2_BYTES, offsetof(gpu_asked, l2)},
    {SK_CU_THREADS_PER_SM, offsetof(gpu_asked, threads)},
    {SK_CU_MAJOR, offsetof(gpu_asked, major)},
    {SK_CU_MINOR, offsetof(gpu_asked, minor)},
    {SK_CU_SHARED_PER_SM, offsetof(gpu_asked, shared_sm)},
    {SK_CU_REGISTERS_PER_SM, offsetof(gpu_asked, registers)},
    {SK_CU_SHARED_PER_BLOCK, offsetof(gpu_asked, shared_block)},
};

static sk_status ask(const sk_cuda *cuda, gpu_asked *out, sk_err *err)
{
    const sk_cuda_driver *d = &cuda->driver;
    for (size_t i = 0; i < SK_COUNT(questions); i++) {
        int *at = (int *)((uint8_t *)out + questions[i].at);
        sk_status st = sk_cuda_check(d, d->device_attribute(at, questions[i].attribute, cuda->device),
                                     "an attribute of the GPU", err);
        if (st != SPHKV_OK) return st;
        if (*at < 0) *at = 0;
    }
    if (out->major * 10 + out->minor >= LEAST_SM) return SPHKV_OK;
    return sk_fail(err, SPHKV_EDEVICE, "the GPU has compute capability %d.%d, %d.%d is needed",
                   out->major, out->minor, LEAST_SM / 10, LEAST_SM % 10);
}

static void uuid_text(const sk_cu_uuid *uuid, bool mig, char text[48])
{
    static const uint8_t dash_before[16] = {[4] = 1, [6] = 1, [8] = 1, [10] = 1};
    size_t n = (size_t)snprintf(text, 48, "%s", mig ? "MIG-" : "GPU-");
    for (uint32_t i = 0; i < 16; i++)
        n += (size_t)snprintf(text + n, 48 - n, "%s%02x", dash_before[i] ? "-" : "", uuid->byte[i]);
}

/* Names that would need quoting in a text, or are too long, are cut. */
static void take_name(const char *from, char to[64])
{
    size_t n = 0;
    for (; *from && n + 1 < 64; from++)
        if (*from >= ' ' && *from <= '~' && *from != ';') to[n++] = *from;
    to[n] = '\0';
}

static void fill(const gpu_asked *g, sk_device *out)
{
    out->target = (sk_target){.backend = SK_BACKEND_CUDA,
                              .sm = (uint32_t)(g->major * 10 + g->minor),
                              .sms = (uint32_t)g->sms,
                              .shared_block = (uint32_t)g->shared_block,
                              .shared_sm = (uint32_t)g->shared_sm,
                              .regs_sm = (uint32_t)g->registers,
                              .threads_sm = (uint32_t)g->threads};
    out->gpu.clock_mhz = (uint32_t)g->clock / 1000;
    out->gpu.memory_mhz = (uint32_t)g->memory_clock / 1000;
    out->gpu.bus_bits = (uint32_t)g->bus;
    out->gpu.l2_bytes = (uint32_t)g->l2;
}

static void fingerprint(sk_device *out)
{
    const sk_target *t = &out->target;
    const sk_gpu_facts *g = &out->gpu;
    snprintf(out->fingerprint, sizeof out->fingerprint,
             "cuda;%s;%s;sms=%u;shared=%u/%u;regs=%u;threads=%u;l2=%u;mhz=%u;mem_mhz=%u;bus=%u;"
             "gib=%u;mig=%u",
             out->name, out->arch, t->sms, t->shared_block, t->shared_sm, t->regs_sm, t->threads_sm,
             g->l2_bytes, g->clock_mhz, g->memory_mhz, g->bus_bits,
             (uint32_t)((g->memory_bytes + (UINT64_C(1) << 29)) >> 30), g->mig ? 1u : 0u);
}

sk_status sk_device_cuda(const sk_cuda *cuda, sk_device *out, sk_err *err)
{
    const sk_cuda_driver *d = &cuda->driver;
    char name[256] = "";
    size_t memory = 0;
    gpu_asked asked = {0};
    sk_cu_uuid uuid = {{0}};
    memset(out, 0, sizeof *out);
    sk_status st = sk_cuda_check(d, d->device_name(name, sizeof name, cuda->device),
                                 "the name of the GPU", err);
    if (st == SPHKV_OK)
        st = sk_cuda_check(d, d->device_memory(&memory, cuda->device), "the memory of the GPU", err);
    if (st == SPHKV_OK)
        st = sk_cuda_check(d, d->device_uuid(&uuid, cuda->device), "the UUID of the GPU", err);
    if (st == SPHKV_OK) st = ask(cuda, &asked, err);
    if (st != SPHKV_OK) return st;
    name[sizeof name - 1] = '\0';
    fill(&asked, out);
    take_name(name, out->name);
    sk_gpu_arch_text(&out->target, out->arch);
    out->gpu.memory_bytes = memory;
    out->gpu.mig = strstr(name, " MIG ") != NULL; /* "NVIDIA A100-SXM4-40GB MIG 1g.5gb" */
    out->gpu.driver = d->version_number;
    uuid_text(&uuid, out->gpu.mig, out->gpu.uuid);
    fingerprint(out);
    return SPHKV_OK;
}
