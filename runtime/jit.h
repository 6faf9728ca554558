/* jit.h - the core's side of the compiler: finds and opens the module
 * sphkv_llvm.so on the first use, and answers with its api or with one clear
 * reason why there is none. A process that only loads finished objects never
 * maps LLVM (16 ms and 49 MB when it is linked).
 *
 * Where it looks, in this order: $SPHKV_LLVM_MODULE (then nowhere else), beside
 * the library or program that holds this code and in ../lib of it, the same for
 * /proc/self/exe. RTLD_LOCAL, so that a host with an LLVM of its own keeps it;
 * the module stays mapped once opened, since LLVM keeps process-wide state. */
#ifndef SK_JIT_H
#define SK_JIT_H

#include <pthread.h>

#include "emit_llvm.h"

/* Caller-owned (a context has one); thread-safe between init and close. */
typedef struct sk_jit {
    pthread_mutex_t lock;
    bool tried;                  /* the search was made; its result stands */
    bool allowed;                /* false: never look (SPHKV_OPEN_NO_JIT) */
    void *handle;                /* of dlopen */
    const sk_jit_llvm_api *api;  /* NULL = not available, reason in err */
    sk_err err;                  /* why not, with its status */
} sk_jit;

void sk_jit_init(sk_jit *jit, bool allowed);
void sk_jit_close(sk_jit *jit);

/* The api, opened on the first call. SPHKV_ECOMPILE with the reason when there
 * is none; later calls repeat the same answer at the price of a lock. */
sk_status sk_jit_get(sk_jit *jit, const sk_jit_llvm_api **api, sk_err *err);

#endif
