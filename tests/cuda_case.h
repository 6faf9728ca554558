/* cuda_case.h - what the tests of the CUDA back end share: a machine with the GPUs
 * that the test wants, made of the driver's double. Static inline. */
#ifndef CUDA_CASE_H
#define CUDA_CASE_H

#include <dlfcn.h>
#include <stdlib.h>

#include "cuda_context.h"
#include "fake_cuda.h"

#define CUDA_CASE_DRIVER SK_BUILD_DIR "/hooked/lib/fake_cuda.so"

/* The double as a test sees it: its state, and what an engine calls by itself. */
typedef struct cuda_machine {
    void *library;
    fake_cuda *state;
    int (*init)(unsigned flags);
    int (*create)(sk_cu_context *context, unsigned flags, sk_cu_device device);
    int (*destroy)(sk_cu_context context);
    int (*retain)(sk_cu_context *context, sk_cu_device device);
    int (*release)(sk_cu_device device);
    int (*push)(sk_cu_context context);
    int (*pop)(sk_cu_context *context);
    int (*current)(sk_cu_context *context);
} cuda_machine;

static inline void cuda_find(const cuda_machine *m, const char *name, void *function, size_t bytes)
{
    void *at = dlsym(m->library, name);
    assert_non_null(at);
    memcpy(function, &at, bytes);
}

/* "sm_90:132,sm_80:108", "none", "stub"; version NULL: the newest. */
static inline void cuda_gpus(const char *gpus, const char *version)
{
    setenv("SPHKV_CUDA_DRIVER", CUDA_CASE_DRIVER, 1);
    setenv("SK_FAKE_GPUS", gpus, 1);
    if (version)
        setenv("SK_FAKE_CUDA", version, 1);
    else
        unsetenv("SK_FAKE_CUDA");
}

static inline void cuda_machine_make(cuda_machine *m, const char *gpus, const char *version)
{
    fake_cuda_state_fn state;
    cuda_gpus(gpus, version);
    memset(m, 0, sizeof *m);
    m->library = dlopen(CUDA_CASE_DRIVER, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(m->library);
    cuda_find(m, "fake_cuda_state", &state, sizeof state);
    cuda_find(m, "cuInit", &m->init, sizeof m->init);
    cuda_find(m, "cuCtxCreate_v2", &m->create, sizeof m->create);
    cuda_find(m, "cuCtxDestroy_v2", &m->destroy, sizeof m->destroy);
    cuda_find(m, "cuDevicePrimaryCtxRetain", &m->retain, sizeof m->retain);
    cuda_find(m, "cuDevicePrimaryCtxRelease_v2", &m->release, sizeof m->release);
    cuda_find(m, "cuCtxPushCurrent_v2", &m->push, sizeof m->push);
    cuda_find(m, "cuCtxPopCurrent_v2", &m->pop, sizeof m->pop);
    cuda_find(m, "cuCtxGetCurrent", &m->current, sizeof m->current);
    m->state = state();
    memset(m->state, 0, sizeof *m->state);
    (void)m->init(0);
}

/* Everything that was made is gone, and nothing was done that must not be. */
static inline void cuda_machine_free(cuda_machine *m)
{
    const fake_cuda *s = m->state;
    sk_cu_context context = NULL;
    assert_string_equal(s->misuse, "");
    assert_string_equal(s->forbidden, "");
    assert_int_equal(s->modules + s->allocations + s->streams + s->events + s->graphs, 0);
    assert_int_equal(s->primaries, 0);
    (void)m->current(&context);
    assert_null(context);
    (void)dlclose(m->library);
}

#endif
