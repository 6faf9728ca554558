/* jit_nvrtc.h - the compiler of CUDA text: finds NVIDIA's NVRTC (11.2 to 13) on
 * the first use, opens it, and compiles header-free text to a CUBIN with its PTX.
 * Needs no GPU and no driver. Nothing links CUDA: a machine without it gets one
 * clear reason here and loses nothing else.
 *
 * The library stays mapped once opened: NVRTC keeps process-wide state. */
#ifndef SK_JIT_NVRTC_H
#define SK_JIT_NVRTC_H

#include <pthread.h>

#include "cuda_code.h"
#include "jit_nvrtc_find.h"

/* ---- the door --------------------------------------------------------------------- */

#define SK_NVRTC_ARCHS 64

typedef struct sk_nvrtc_functions sk_nvrtc_functions;

/* An NVRTC that is open. Never changes; any number of threads may compile. */
typedef struct sk_nvrtc_api {
    const sk_nvrtc_functions *call;
    uint32_t release;          /* 13000 for 13.0, as in cuda_code.h */
    char version[24];          /* "NVRTC 13.0" */
    const char *path;          /* the file it came from */
    uint32_t narch;
    int arch[SK_NVRTC_ARCHS];  /* 75, 80 ... that it compiles for, ascending */
    bool cancels;              /* limit_ms of a job is kept; else only killing helps */
    bool builtins;             /* the library of built-in functions was found */
} sk_nvrtc_api;

/* Caller-owned (a context has one); thread-safe between init and close. */
typedef struct sk_nvrtc {
    pthread_mutex_t lock;
    bool tried;                /* the search was made; its result stands */
    bool allowed;              /* false: never look */
    uint32_t newest_major;     /* of a release that may be picked; 0: any */
    const sk_nvrtc_places *places; /* where; NULL: as the environment says at the search */
    void *handle, *builtins;   /* of dlopen */
    struct sk_nvrtc_opened *opened; /* NULL = not available, reason in err */
    sk_err err;
} sk_nvrtc;

/* driver: what cuDriverGetVersion says, so that no compiler is picked whose code it
 * cannot load; 0: none to mind. */
void sk_nvrtc_init(sk_nvrtc *nvrtc, bool allowed, uint32_t driver);
void sk_nvrtc_close(sk_nvrtc *nvrtc);

/* The api, opened on the first call; it lives until close. SPHKV_ECOMPILE with the
 * reason when there is none, and the same answer ever after. */
sk_status sk_nvrtc_get(sk_nvrtc *nvrtc, const sk_nvrtc_api **api, sk_err *err);

/* Can it compile for "sm_90"? Else SPHKV_EUNSUPPORTED, with what it can; SPHKV_EINVAL
 * when that is no architecture. */
sk_status sk_nvrtc_has_arch(const sk_nvrtc_api *api, const char *arch, sk_err *err);

/* ---- compiling -------------------------------------------------------------------- */

typedef struct sk_nvrtc_job {
    const char *text;           /* CUDA C without includes */
    const char *arch;           /* "sm_90", "sm_90a" */
    const char *const *entries; /* the kernels of it whose resources are wanted */
    uint32_t nentry;
    uint32_t limit_ms;          /* given up after that; 0: never. Needs api->cancels */
} sk_nvrtc_job;

typedef struct sk_nvrtc_code {
    void *cubin;                /* sk_free */
    size_t cubin_size;
    uint32_t cubin_driver;      /* the least that loads it */
    char *ptx;                  /* sk_free */
    size_t ptx_size;            /* without the NUL behind it */
    uint32_t ptx_driver;        /* the least that compiles it */
    char *log;                  /* what the compilers said; sk_free */
    bool stopped;               /* nothing else: it took longer than limit_ms */
} sk_nvrtc_code;

/* Floating-point contraction is off, line information too, caches are not used: the
 * same text and release give the same bytes. resources: nentry of them, or NULL.
 * SPHKV_EINVAL: the arch is none, or an entry is not in the text;
 * SPHKV_EUNSUPPORTED: this release does not know the arch; SPHKV_ECOMPILE: the text
 * was refused, with the first error and its line, or its limit was reached;
 * SPHKV_ENOMEM. On failure *out holds no memory. */
sk_status sk_nvrtc_compile(const sk_nvrtc_api *api, const sk_nvrtc_job *job, sk_nvrtc_code *out,
                           sk_cuda_resources *resources, sk_err *err);
void sk_nvrtc_code_free(sk_nvrtc_code *code);

#endif
