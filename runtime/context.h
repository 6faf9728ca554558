/* context.h - what sphkv_open makes: the device, the databases, the door to the
 * compiler, and the code loaded so far.
 *
 * Threads: device, log and flags never change after opening; the databases and
 * the compiler's door have locks of their own; the registry, and the making of
 * code, stand under `lock`, so that what several threads ask for at once is
 * compiled once. sphkv_run comes nowhere near a context.
 *
 * Lifetime: plans hold references to code and none to the context. Closing a
 * context before its plans is therefore harmless: they stay fit to run and are
 * destroyed as ever. What must not happen is closing it while another thread
 * is still inside a call that was given it. */
#ifndef SK_CONTEXT_H
#define SK_CONTEXT_H

#include <pthread.h>

#include "device.h"
#include "jit.h"
#include "jit_nvrtc.h"
#include "registry.h"

struct sphkv_context {
    sk_device device;      /* this machine, or its GPU */
    sk_cuda *cuda;         /* a reference; NULL on a CPU */
    sk_db_set *dbs;        /* user database over installed ones */
    sk_jit jit;            /* LLVM, for CPUs; opened on the first compile */
    sk_nvrtc nvrtc;        /* NVRTC, for GPUs; the same */
    pthread_mutex_t lock;  /* building only */
    sk_registry codes;     /* under lock */
    uint32_t flags;        /* SPHKV_OPEN_* */
    sphkv_log_fn log;      /* may be NULL */
    void *log_user;
};

/* One line to the engine's log. No lock of ours may be held: the engine may
 * call back into the library. */
void sk_context_log(const sphkv_context *ctx, const char *line);

#endif
