/* cuda_context.c - see cuda_context.h. */
#include "cuda_context.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define ATTACH_GLOBAL 1u /* managed memory that every stream may use */

bool sk_cuda_named(const char *device, int *ordinal)
{
    uint64_t number = 0;
    if (strncmp(device, "cuda", 4) != 0) return false;
    if (device[4] != '\0' && (device[4] != ':' || !sk_parse_u64(device + 5, 0, 1023, &number)))
        return false;
    if (ordinal) *ordinal = device[4] ? (int)number : -1;
    return true;
}

/* ---- opening ---------------------------------------------------------------- */

/* The device of the current context; *context NULL: none is current. */
static sk_status current(const sk_cuda_driver *d, sk_cu_context *context, sk_cu_device *device,
                         sk_err *err)
{
    sk_status st = sk_cuda_check(d, d->context_current(context), "the current CUDA context", err);
    if (st != SPHKV_OK || *context == NULL) return st;
    return sk_cuda_check(d, d->context_device(device), "the device of the current CUDA context",
                         err);
}

static sk_status numbered(const sk_cuda_driver *d, int ordinal, sk_cu_device *device, sk_err *err)
{
    int count = 0;
    sk_status st = sk_cuda_check(d, d->device_count(&count), "counting CUDA devices", err);
    if (st != SPHKV_OK) return st;
    if (ordinal >= count)
        return sk_fail(err, SPHKV_EDEVICE, "there is no CUDA device %d: the driver sees %d%s",
                       ordinal, count, count > 0 ? ", from 0 on" : "");
    return sk_cuda_check(d, d->device_get(device, ordinal), "finding a CUDA device", err);
}

static sk_status retain_primary(sk_cuda *cuda, sk_err *err)
{
    const sk_cuda_driver *d = &cuda->driver;
    sk_status st = sk_cuda_check(d, d->primary_retain(&cuda->context, cuda->device),
                                 "the primary context of a CUDA device", err);
    cuda->primary = st == SPHKV_OK;
    return st;
}

/* A current context that is its device's primary one is held, too: then it stays
 * until our code is unloaded, whatever its owner does. Asking costs nothing: an
 * active one is not made. */
static void hold_primary(sk_cuda *cuda)
{
    const sk_cuda_driver *d = &cuda->driver;
    const sk_cu_context mine = cuda->context;
    unsigned flags;
    int active = 0;
    if (d->primary_state(cuda->device, &flags, &active) != 0 || !active ||
        retain_primary(cuda, NULL) != SPHKV_OK || cuda->context == mine)
        return;
    (void)d->primary_release(cuda->device);
    cuda->primary = false;
    cuda->context = mine;
}

static sk_status choose(sk_cuda *cuda, int ordinal, sk_err *err)
{
    const sk_cuda_driver *d = &cuda->driver;
    sk_cu_context context = NULL;
    sk_cu_device device = 0;
    sk_status st = current(d, &context, &device, err);
    if (st == SPHKV_OK && ordinal >= 0) st = numbered(d, ordinal, &cuda->device, err);
    if (st != SPHKV_OK) return st;
    if (context != NULL && (ordinal < 0 || device == cuda->device)) {
        cuda->device = device;
        cuda->context = context;
        hold_primary(cuda);
        return SPHKV_OK;
    }
    if (ordinal < 0)
        return sk_fail(err, SPHKV_EDEVICE, "no CUDA context is current in this thread: make one "
                       "current, or name the device (cuda:0)");
    return retain_primary(cuda, err);
}

sk_status sk_cuda_open(const char *device, sk_cuda **out, sk_err *err)
{
    int ordinal;
    *out = NULL;
    if (!sk_cuda_named(device, &ordinal))
        return sk_fail(err, SPHKV_EINVAL, "'%.60s' is no CUDA device: cuda, or cuda:N", device);
    sk_cuda *cuda = sk_calloc(1, sizeof *cuda);
    if (!cuda) return sk_fail(err, SPHKV_ENOMEM, "out of memory for a CUDA device");
    atomic_init(&cuda->refs, 1);
    sk_status st = sk_cuda_driver_open(&cuda->driver, err);
    if (st == SPHKV_OK) st = choose(cuda, ordinal, err);
    if (st == SPHKV_OK)
        *out = cuda;
    else
        sk_free(cuda);
    return st;
}

sk_cuda *sk_cuda_retain(sk_cuda *cuda)
{
    atomic_fetch_add_explicit(&cuda->refs, 1, memory_order_relaxed);
    return cuda;
}

void sk_cuda_release(sk_cuda *cuda)
{
    if (!cuda || atomic_fetch_sub_explicit(&cuda->refs, 1, memory_order_acq_rel) != 1) return;
    if (cuda->primary) (void)cuda->driver.primary_release(cuda->device);
    sk_free(cuda);
}

/* ---- working in it ------------------------------------------------------------ */

sk_status sk_cuda_enter(const sk_cuda *cuda, bool *entered, sk_err *err)
{
    const sk_cuda_driver *d = &cuda->driver;
    sk_cu_context now = NULL;
    *entered = false;
    if (d->context_current(&now) == 0 && now == cuda->context) return SPHKV_OK;
    sk_status st = sk_cuda_check(d, d->context_push(cuda->context), "entering a CUDA context", err);
    *entered = st == SPHKV_OK;
    return st;
}

void sk_cuda_leave(const sk_cuda *cuda, bool entered)
{
    sk_cu_context popped;
    if (entered) (void)cuda->driver.context_pop(&popped);
}

sk_status sk_cuda_memory_make(const sk_cuda *cuda, size_t bytes, void **out, sk_err *err)
{
    const sk_cuda_driver *d = &cuda->driver;
    sk_cu_address at = 0;
    bool entered;
    char what[64];
    *out = NULL;
    snprintf(what, sizeof what, "managed memory, %zu bytes", bytes);
    sk_status st = sk_cuda_enter(cuda, &entered, err);
    if (st != SPHKV_OK) return st;
    st = sk_cuda_check(d, d->memory_managed(&at, bytes ? bytes : 1, ATTACH_GLOBAL), what, err);
    sk_cuda_leave(cuda, entered);
    *out = (void *)(uintptr_t)at;
    return st;
}

void sk_cuda_memory_free(const sk_cuda *cuda, void *at)
{
    bool entered;
    if (!at || sk_cuda_enter(cuda, &entered, NULL) != SPHKV_OK) return;
    (void)cuda->driver.memory_free((sk_cu_address)(uintptr_t)at);
    sk_cuda_leave(cuda, entered);
}

sk_status sk_cuda_memory_left(const sk_cuda *cuda, size_t *bytes, sk_err *err)
{
    bool entered;
    size_t total = 0;
    *bytes = 0;
    sk_status st = sk_cuda_enter(cuda, &entered, err);
    if (st != SPHKV_OK) return st;
    st = sk_cuda_check(&cuda->driver, cuda->driver.memory_info(bytes, &total),
                       "the memory that a GPU has left", err);
    sk_cuda_leave(cuda, entered);
    return st;
}

void sk_cuda_memory_fetch(const sk_cuda *cuda, const void *at, size_t bytes, sk_cu_stream stream)
{
    bool entered;
    if (!cuda->driver.memory_prefetch || sk_cuda_enter(cuda, &entered, NULL) != SPHKV_OK) return;
    (void)cuda->driver.memory_prefetch((sk_cu_address)(uintptr_t)at, bytes, cuda->device, stream);
    sk_cuda_leave(cuda, entered);
}

sk_status sk_cuda_wait(const sk_cuda *cuda, sk_err *err)
{
    bool entered;
    sk_status st = sk_cuda_enter(cuda, &entered, err);
    if (st != SPHKV_OK) return st;
    st = sk_cuda_check(&cuda->driver, cuda->driver.context_wait(), "waiting for the GPU", err);
    sk_cuda_leave(cuda, entered);
    return st;
}
