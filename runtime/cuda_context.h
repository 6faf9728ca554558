/* cuda_context.h - the CUDA context that code is loaded into and launched in: the
 * caller's own where one is current, so that an engine with several GPUs, or
 * with a context made by another library, gets the device it is working on and
 * not number 0; else the primary context of a device, held while we need it.
 *
 * sk_cuda is reference-counted: an sphkv_context and every piece of loaded code
 * hold one each, so code can be unloaded in its context whoever goes last. A
 * context that is the caller's own, and not a primary one, must outlive them: that
 * is the caller's promise (sphkv.h). */
#ifndef SK_CUDA_CONTEXT_H
#define SK_CUDA_CONTEXT_H

#include "cuda_driver.h"

typedef struct sk_cuda {
    _Atomic uint32_t refs;
    sk_cuda_driver driver;
    sk_cu_device device;
    sk_cu_context context;
    bool primary; /* it is the device's, and retained */
} sk_cuda;

/* device: "cuda": that of the context which is current in this thread; "cuda:N":
 * number N, in the current context when it is of that device. SPHKV_EINVAL: neither;
 * SPHKV_EDEVICE: no driver, no such device, no current context, with the reason. */
sk_status sk_cuda_open(const char *device, sk_cuda **out, sk_err *err);
sk_cuda *sk_cuda_retain(sk_cuda *cuda);
void sk_cuda_release(sk_cuda *cuda); /* NULL is fine */

/* Whether a text names a device for sk_cuda_open: "cuda" or "cuda:N". ordinal may
 * be NULL; it is -1 for "cuda". */
bool sk_cuda_named(const char *device, int *ordinal);

/* Makes the context current in this thread for calls that need it, and back.
 * Costs next to nothing when it is current already; neither waits. */
sk_status sk_cuda_enter(const sk_cuda *cuda, bool *entered, sk_err *err);
void sk_cuda_leave(const sk_cuda *cuda, bool entered);

/* Memory that host and device both see at the same address; for checks. */
sk_status sk_cuda_memory_make(const sk_cuda *cuda, size_t bytes, void **out, sk_err *err);
void sk_cuda_memory_free(const sk_cuda *cuda, void *at); /* NULL is fine */
/* Bytes that the device has left. */
sk_status sk_cuda_memory_left(const sk_cuda *cuda, size_t *bytes, sk_err *err);
/* Asks that such memory lie on the device when the stream comes to it; a wish: what it
 * cannot have comes when it is touched. */
void sk_cuda_memory_fetch(const sk_cuda *cuda, const void *at, size_t bytes, sk_cu_stream stream);

/* Waits for all that was enqueued in the context. */
sk_status sk_cuda_wait(const sk_cuda *cuda, sk_err *err);

#endif
