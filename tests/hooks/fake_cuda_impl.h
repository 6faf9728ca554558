/* fake_cuda_impl.h - what the files of the driver's double share: fake_cuda.c has
 * devices, contexts and memory, fake_cuda_stream.c launches, streams, graphs and events,
 * fake_cuda_module.c code. */
#ifndef SK_FAKE_CUDA_IMPL_H
#define SK_FAKE_CUDA_IMPL_H

#include "fake_cuda.h"

#define FAKE_EXPORT __attribute__((visibility("default")))

enum fake_cuda_result {
    FAKE_OK = 0,
    FAKE_INVALID_VALUE = 1,
    FAKE_NO_MEMORY = 2,
    FAKE_STUB = 34,
    FAKE_NO_DEVICE = 100,
    FAKE_INVALID_DEVICE = 101,
    FAKE_INVALID_IMAGE = 200,
    FAKE_INVALID_CONTEXT = 201,
    FAKE_NO_BINARY = 209,
    FAKE_INVALID_PTX = 218,
    FAKE_PTX_VERSION = 222,
    FAKE_INVALID_HANDLE = 400,
    FAKE_NOT_FOUND = 500,
    FAKE_ILLEGAL = 700,
    FAKE_CAPTURE = 900
};

/* What an architecture has, as NVIDIA's tables say. */
typedef struct fake_gpu {
    uint32_t sm, shared_block, shared_sm, threads;
    uint32_t sms; /* of this device */
} fake_gpu;

typedef struct fake_context {
    uint32_t device;
    uint32_t refs; /* 0: destroyed */
} fake_context;

typedef struct fake_module fake_module;
typedef struct fake_function {
    fake_module *module;
    char name[128];
    const char *unit; /* in the module; or NULL */
    int max_shared;
} fake_function;

fake_cuda *fake_cuda_get(void);
int fake_cuda_version(void);
/* The current context's device; NULL when there is none. */
fake_context *fake_cuda_current(void);
const fake_gpu *fake_cuda_gpu(uint32_t device);
/* The error that this call is to return, by SK_FAKE_FAULT; else FAKE_OK. */
int fake_cuda_fault(const char *name);
/* Notes a call that is not allowed now; true: it is to fail. */
bool fake_cuda_refused(const char *name);
int fake_cuda_misuse(const char *what, int result);
/* A function that may be launched in the current context; else NULL. */
fake_function *fake_cuda_function(void *handle);

#endif
