/* fake_cuda.c - devices, contexts and memory of the double; see fake_cuda.h. */
#include "fake_cuda_impl.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GPUS 8
#define CONTEXTS 64
#define DEPTH 16
#define ALLOCATIONS 4096
#define MEMORY ((size_t)16 << 30) /* of every device */

typedef struct fake_allocation {
    uint64_t at;
    size_t bytes; /* 0: a free place */
} fake_allocation;

static fake_cuda state;
static fake_allocation allocation[ALLOCATIONS];
static fake_gpu gpus[GPUS];
static uint32_t ngpus;
static fake_context contexts[CONTEXTS]; /* handles are never used again */
static uint32_t ncontexts;
static fake_context *primary[GPUS];
static _Thread_local fake_context *stack[DEPTH];
static _Thread_local uint32_t depth;

FAKE_EXPORT fake_cuda *fake_cuda_state(void) { return &state; }
fake_cuda *fake_cuda_get(void) { return &state; }
fake_context *fake_cuda_current(void) { return depth ? stack[depth - 1] : NULL; }
const fake_gpu *fake_cuda_gpu(uint32_t device) { return &gpus[device]; }

int fake_cuda_misuse(const char *what, int result)
{
    if (!state.misuse[0]) snprintf(state.misuse, sizeof state.misuse, "%s", what);
    return result;
}

int fake_cuda_fault(const char *name)
{
    static bool poisoned;
    static unsigned calls;
    const char *said = getenv("SK_FAKE_FAULT");
    unsigned nth = 0;
    int error = 0;
    const size_t len = said ? strcspn(said, ":") : 0;
    if (poisoned) return FAKE_ILLEGAL;
    if (!len || strncmp(said, name, len) != 0 || name[len] ||
        sscanf(said + len, ":%u:%d", &nth, &error) != 2 || ++calls != nth)
        return FAKE_OK;
    poisoned = error == FAKE_ILLEGAL;
    return error;
}

/* ---- the machine ------------------------------------------------------------ */

static const fake_gpu kinds[] = {
    {70, 98304, 98304, 2048, 0},
    {75, 65536, 65536, 1024, 0},    {80, 166912, 167936, 2048, 0}, {86, 101376, 102400, 1536, 0},
    {89, 101376, 102400, 1536, 0},  {90, 232448, 233472, 2048, 0}, {100, 232448, 233472, 2048, 0},
    {120, 101376, 102400, 1536, 0},
};

static void add_gpu(uint32_t sm, uint32_t sms)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && ngpus < GPUS; i++)
        if (kinds[i].sm == sm) {
            gpus[ngpus] = kinds[i];
            gpus[ngpus++].sms = sms;
        }
}

FAKE_EXPORT int cuInit(unsigned flags)
{
    const char *said = getenv("SK_FAKE_GPUS");
    const char *at = said ? said : "none";
    ngpus = 0;
    if (flags) return FAKE_INVALID_VALUE;
    if (strcmp(at, "stub") == 0) return FAKE_STUB;
    for (unsigned sm, sms; sscanf(at, "sm_%u:%u", &sm, &sms) == 2; at++) {
        add_gpu(sm, sms);
        at = strchr(at, ',');
        if (!at) break;
    }
    return ngpus ? FAKE_OK : FAKE_NO_DEVICE;
}

int fake_cuda_version(void)
{
    const char *said = getenv("SK_FAKE_CUDA");
    return said ? atoi(said) : 13000;
}

FAKE_EXPORT int cuDriverGetVersion(int *version)
{
    *version = fake_cuda_version();
    return FAKE_OK;
}

static const struct {
    int error;
    const char *name, *text;
} errors[] = {
    {FAKE_OK, "CUDA_SUCCESS", "no error"},
    {FAKE_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {FAKE_NO_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {FAKE_NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {FAKE_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {FAKE_INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {FAKE_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {FAKE_NO_BINARY, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available"},
    {FAKE_INVALID_PTX, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {FAKE_PTX_VERSION, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "an unsupported toolchain"},
    {FAKE_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {FAKE_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {FAKE_ILLEGAL, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {FAKE_CAPTURE, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "not permitted in a capture"},
};

static int error_word(int error, bool name, const char **text)
{
    *text = NULL;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].error == error) *text = name ? errors[i].name : errors[i].text;
    return *text ? FAKE_OK : FAKE_INVALID_VALUE;
}

FAKE_EXPORT int cuGetErrorName(int error, const char **text)
{
    return error_word(error, true, text);
}

FAKE_EXPORT int cuGetErrorString(int error, const char **text)
{
    return error_word(error, false, text);
}

FAKE_EXPORT int cuDeviceGetCount(int *count)
{
    *count = (int)ngpus;
    return FAKE_OK;
}

FAKE_EXPORT int cuDeviceGet(int *device, int ordinal)
{
    if (ordinal < 0 || (uint32_t)ordinal >= ngpus) return FAKE_INVALID_DEVICE;
    *device = ordinal;
    return FAKE_OK;
}

FAKE_EXPORT int cuDeviceGetName(char *name, int size, int device)
{
    if ((uint32_t)device >= ngpus) return FAKE_INVALID_DEVICE;
    snprintf(name, (size_t)size, "Double of sm_%u", gpus[device].sm);
    return FAKE_OK;
}

FAKE_EXPORT int cuDeviceGetUuid_v2(uint8_t uuid[16], int device)
{
    if ((uint32_t)device >= ngpus) return FAKE_INVALID_DEVICE;
    memset(uuid, 0xa0 + device, 16);
    return FAKE_OK;
}

FAKE_EXPORT int cuDeviceTotalMem_v2(size_t *bytes, int device)
{
    *bytes = MEMORY;
    return (uint32_t)device < ngpus ? FAKE_OK : FAKE_INVALID_DEVICE;
}

FAKE_EXPORT int cuDeviceGetAttribute(int *value, int attribute, int device)
{
    if ((uint32_t)device >= ngpus) return FAKE_INVALID_DEVICE;
    const fake_gpu *g = &gpus[device];
    const char *said = getenv("SK_FAKE_L2");
    const uint32_t l2 = said ? (uint32_t)atoi(said) : 40u << 20;
    const struct {
        int attribute;
        uint32_t value;
    } known[] = {
        {13, 1500000},   {16, g->sms},     {36, 1200000},    {37, 5120},
        {38, l2},        {39, g->threads}, {75, g->sm / 10}, {76, g->sm % 10},
        {81, g->shared_sm}, {82, 65536},   {97, g->shared_block},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].attribute == attribute) {
            *value = (int)known[i].value;
            return FAKE_OK;
        }
    return FAKE_INVALID_VALUE;
}

/* ---- contexts ------------------------------------------------------------------ */

static fake_context *context_make(uint32_t device)
{
    if (ncontexts == CONTEXTS) return NULL;
    fake_context *c = &contexts[ncontexts++];
    *c = (fake_context){.device = device, .refs = 1};
    return c;
}

FAKE_EXPORT int cuCtxCreate_v2(fake_context **context, unsigned flags, int device)
{
    (void)flags;
    if ((uint32_t)device >= ngpus) return FAKE_INVALID_DEVICE;
    *context = context_make((uint32_t)device);
    if (!*context || depth == DEPTH) return FAKE_NO_MEMORY;
    stack[depth++] = *context;
    return FAKE_OK;
}

FAKE_EXPORT int cuCtxDestroy_v2(fake_context *context)
{
    if (!context || !context->refs) return FAKE_INVALID_CONTEXT;
    context->refs = 0;
    if (depth && stack[depth - 1] == context) depth--;
    return FAKE_OK;
}

FAKE_EXPORT int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active)
{
    if ((uint32_t)device >= ngpus) return FAKE_INVALID_DEVICE;
    *flags = 0;
    *active = primary[device] && primary[device]->refs;
    return FAKE_OK;
}

FAKE_EXPORT int cuDevicePrimaryCtxRetain(fake_context **context, int device)
{
    const int fault = fake_cuda_fault("cuDevicePrimaryCtxRetain");
    if (fault) return fault;
    if (fake_cuda_refused("cuDevicePrimaryCtxRetain")) return FAKE_CAPTURE;
    if ((uint32_t)device >= ngpus) return FAKE_INVALID_DEVICE;
    if (primary[device] && primary[device]->refs)
        primary[device]->refs++;
    else if (!(primary[device] = context_make((uint32_t)device)))
        return FAKE_NO_MEMORY;
    state.primaries++;
    *context = primary[device];
    return FAKE_OK;
}

FAKE_EXPORT int cuDevicePrimaryCtxRelease_v2(int device)
{
    if ((uint32_t)device >= GPUS || !primary[device] || !primary[device]->refs)
        return fake_cuda_misuse("a primary context is released that nobody holds",
                                FAKE_INVALID_CONTEXT);
    primary[device]->refs--;
    state.primaries--;
    return FAKE_OK;
}

FAKE_EXPORT int cuCtxGetCurrent(fake_context **context)
{
    *context = fake_cuda_current();
    return FAKE_OK;
}

FAKE_EXPORT int cuCtxGetDevice(int *device)
{
    const fake_context *c = fake_cuda_current();
    if (!c) return FAKE_INVALID_CONTEXT;
    *device = (int)c->device;
    return FAKE_OK;
}

FAKE_EXPORT int cuCtxPushCurrent_v2(fake_context *context)
{
    if (!context || !context->refs)
        return fake_cuda_misuse("a context is made current that is gone", FAKE_INVALID_CONTEXT);
    if (depth == DEPTH) return fake_cuda_misuse("contexts are not popped", FAKE_NO_MEMORY);
    stack[depth++] = context;
    return FAKE_OK;
}

FAKE_EXPORT int cuCtxPopCurrent_v2(fake_context **context)
{
    if (!depth) return fake_cuda_misuse("a context is popped that is not there",
                                        FAKE_INVALID_CONTEXT);
    *context = stack[--depth];
    return FAKE_OK;
}

FAKE_EXPORT int cuCtxSynchronize(void)
{
    if (fake_cuda_refused("cuCtxSynchronize")) return FAKE_CAPTURE;
    return fake_cuda_current() ? FAKE_OK : FAKE_INVALID_CONTEXT;
}

/* ---- memory --------------------------------------------------------------------- */

FAKE_EXPORT size_t fake_cuda_extent(uint64_t at)
{
    for (uint32_t i = 0; i < ALLOCATIONS; i++)
        if (allocation[i].bytes && at >= allocation[i].at &&
            at - allocation[i].at < allocation[i].bytes)
            return allocation[i].bytes - (size_t)(at - allocation[i].at);
    return 0;
}

static fake_allocation *free_place(void)
{
    for (uint32_t i = 0; i < ALLOCATIONS; i++)
        if (!allocation[i].bytes) return &allocation[i];
    return NULL;
}

FAKE_EXPORT int cuMemAllocManaged(uint64_t *at, size_t bytes, unsigned flags)
{
    const int fault = fake_cuda_fault("cuMemAllocManaged");
    if (fault) return fault;
    void *p = NULL;
    if (fake_cuda_refused("cuMemAllocManaged")) return FAKE_CAPTURE;
    if (!fake_cuda_current()) return FAKE_INVALID_CONTEXT;
    if (!bytes || flags != 1) return FAKE_INVALID_VALUE;
    fake_allocation *place = free_place();
    if (!place || bytes > MEMORY || posix_memalign(&p, 512, bytes) != 0) return FAKE_NO_MEMORY;
    state.allocations++;
    *at = (uint64_t)(uintptr_t)p;
    *place = (fake_allocation){*at, bytes};
    return FAKE_OK;
}

FAKE_EXPORT int cuMemFree_v2(uint64_t at)
{
    if (fake_cuda_refused("cuMemFree")) return FAKE_CAPTURE;
    if (!fake_cuda_current()) return FAKE_INVALID_CONTEXT;
    if (!at) return FAKE_OK;
    for (uint32_t i = 0; i < ALLOCATIONS; i++)
        if (allocation[i].bytes && allocation[i].at == at) {
            allocation[i].bytes = 0;
            state.allocations--;
            free((void *)(uintptr_t)at);
            return FAKE_OK;
        }
    return fake_cuda_misuse("memory is freed that is not the driver's", FAKE_INVALID_VALUE);
}

FAKE_EXPORT int cuMemGetInfo_v2(size_t *left, size_t *total)
{
    if (!fake_cuda_current()) return FAKE_INVALID_CONTEXT;
    *left = (size_t)15 << 30;
    *total = (size_t)16 << 30;
    return FAKE_OK;
}

FAKE_EXPORT int cuMemPrefetchAsync(uint64_t at, size_t bytes, int device, void *stream)
{
    (void)stream;
    if ((uint32_t)device >= ngpus || fake_cuda_extent(at) < bytes || !bytes)
        return fake_cuda_misuse("memory is fetched that is not the driver's", FAKE_INVALID_VALUE);
    state.fetched += bytes;
    return FAKE_OK;
}
