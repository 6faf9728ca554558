/* cuda_driver.h - NVIDIA's driver, found at run time: a table of the functions
 * that are used, or one clear reason why there are none. Nothing links CUDA and
 * nobody sees its headers: the few types are written here, and functions are
 * asked for by the exact names of their binary interface ("cuMemFree_v2"), which
 * the driver keeps for ever, while the headers rename them from version to
 * version.
 *
 * Where it looks: $SPHKV_CUDA_DRIVER (then nowhere else), else libcuda.so.1 by
 * the loader's rules. The library stays mapped once opened: it keeps threads. */
#ifndef SK_CUDA_DRIVER_H
#define SK_CUDA_DRIVER_H

#include "base.h"

typedef int sk_cu_result; /* 0 = success */
typedef int sk_cu_device; /* the driver's handle of a device */
typedef uint64_t sk_cu_address;
typedef struct sk_cu_context_opaque *sk_cu_context;
typedef struct sk_cu_module_opaque *sk_cu_module;
typedef struct sk_cu_function_opaque *sk_cu_function;
typedef struct sk_cu_stream_opaque *sk_cu_stream;
typedef struct sk_cu_event_opaque *sk_cu_event;
typedef struct sk_cu_graph_opaque *sk_cu_graph;
typedef struct sk_cu_exec_opaque *sk_cu_exec; /* a graph made ready to launch */
typedef struct sk_cu_uuid {
    uint8_t byte[16];
} sk_cu_uuid;

/* X(field, name of the symbol, parameters, 1 when there is no going without it). */
#define SK_CUDA_FUNCTIONS(X)                                                                   \
    X(init, "cuInit", (unsigned flags), 1)                                                     \
    X(version, "cuDriverGetVersion", (int *version), 1)                                        \
    X(error_name, "cuGetErrorName", (sk_cu_result error, const char **text), 1)                \
    X(error_text, "cuGetErrorString", (sk_cu_result error, const char **text), 1)              \
    X(device_count, "cuDeviceGetCount", (int *count), 1)                                       \
    X(device_get, "cuDeviceGet", (sk_cu_device * device, int ordinal), 1)                      \
    X(device_name, "cuDeviceGetName", (char *name, int size, sk_cu_device device), 1)          \
    X(device_uuid, "cuDeviceGetUuid_v2", (sk_cu_uuid * uuid, sk_cu_device device), 1)          \
    X(device_memory, "cuDeviceTotalMem_v2", (size_t *bytes, sk_cu_device device), 1)           \
    X(device_attribute, "cuDeviceGetAttribute",                                                \
      (int *value, int attribute, sk_cu_device device), 1)                                     \
    X(primary_state, "cuDevicePrimaryCtxGetState",                                             \
      (sk_cu_device device, unsigned *flags, int *active), 1)                                  \
    X(primary_retain, "cuDevicePrimaryCtxRetain",                                              \
      (sk_cu_context * context, sk_cu_device device), 1)                                       \
    X(primary_release, "cuDevicePrimaryCtxRelease_v2", (sk_cu_device device), 1)               \
    X(context_current, "cuCtxGetCurrent", (sk_cu_context * context), 1)                        \
    X(context_device, "cuCtxGetDevice", (sk_cu_device * device), 1)                            \
    X(context_push, "cuCtxPushCurrent_v2", (sk_cu_context context), 1)                         \
    X(context_pop, "cuCtxPopCurrent_v2", (sk_cu_context * context), 1)                         \
    X(context_wait, "cuCtxSynchronize", (void), 1)                                             \
    X(module_load, "cuModuleLoadDataEx",                                                       \
      (sk_cu_module * module, const void *image, unsigned options, int *option, void **value), \
      1)                                                                                       \
    X(module_unload, "cuModuleUnload", (sk_cu_module module), 1)                               \
    X(module_function, "cuModuleGetFunction",                                                  \
      (sk_cu_function * function, sk_cu_module module, const char *name), 1)                   \
    X(function_load, "cuFuncLoad", (sk_cu_function function), 0)                               \
    X(function_get, "cuFuncGetAttribute",                                                      \
      (int *value, int attribute, sk_cu_function function), 1)                                 \
    X(function_set, "cuFuncSetAttribute",                                                      \
      (sk_cu_function function, int attribute, int value), 1)                                  \
    X(launch, "cuLaunchKernel",                                                                \
      (sk_cu_function function, unsigned grid_x, unsigned grid_y, unsigned grid_z,             \
       unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,            \
       sk_cu_stream stream, void **parameters, void **extra),                                  \
      1)                                                                                       \
    X(memory_managed, "cuMemAllocManaged",                                                     \
      (sk_cu_address * at, size_t bytes, unsigned flags), 1)                                   \
    X(memory_free, "cuMemFree_v2", (sk_cu_address at), 1)                                      \
    X(memory_info, "cuMemGetInfo_v2", (size_t *free, size_t *total), 1)                        \
    X(memory_prefetch, "cuMemPrefetchAsync",                                                   \
      (sk_cu_address at, size_t bytes, sk_cu_device device, sk_cu_stream stream), 0)           \
    X(stream_make, "cuStreamCreate", (sk_cu_stream * stream, unsigned flags), 1)               \
    X(stream_free, "cuStreamDestroy_v2", (sk_cu_stream stream), 1)                             \
    X(stream_wait, "cuStreamSynchronize", (sk_cu_stream stream), 1)                            \
    X(capture_begin, "cuStreamBeginCapture_v2", (sk_cu_stream stream, int mode), 1)            \
    X(capture_end, "cuStreamEndCapture", (sk_cu_stream stream, sk_cu_graph *graph), 1)         \
    X(graph_free, "cuGraphDestroy", (sk_cu_graph graph), 1)                                    \
    X(exec_make, "cuGraphInstantiateWithFlags",                                                \
      (sk_cu_exec * exec, sk_cu_graph graph, unsigned long long flags), 1)                     \
    X(exec_free, "cuGraphExecDestroy", (sk_cu_exec exec), 1)                                   \
    X(exec_launch, "cuGraphLaunch", (sk_cu_exec exec, sk_cu_stream stream), 1)                 \
    X(event_make, "cuEventCreate", (sk_cu_event * event, unsigned flags), 1)                   \
    X(event_free, "cuEventDestroy_v2", (sk_cu_event event), 1)                                 \
    X(event_record, "cuEventRecord", (sk_cu_event event, sk_cu_stream stream), 1)              \
    X(event_wait, "cuEventSynchronize", (sk_cu_event event), 1)                                \
    X(event_elapsed, "cuEventElapsedTime",                                                     \
      (float *milliseconds, sk_cu_event begin, sk_cu_event end), 1)

/* Results that mean something to us; the rest are the driver's words. */
enum {
    SK_CU_OUT_OF_MEMORY = 2,
    SK_CU_STUB = 34,
    SK_CU_NO_DEVICE = 100,
};

/* Attributes of devices and functions. */
enum {
    SK_CU_CLOCK_KHZ = 13,
    SK_CU_SMS = 16,
    SK_CU_MEMORY_CLOCK_KHZ = 36,
    SK_CU_MEMORY_BUS_BITS = 37,
    SK_CU_L2_BYTES = 38,
    SK_CU_THREADS_PER_SM = 39,
    SK_CU_MAJOR = 75,
    SK_CU_MINOR = 76,
    SK_CU_SHARED_PER_SM = 81,
    SK_CU_REGISTERS_PER_SM = 82,
    SK_CU_SHARED_PER_BLOCK = 97, /* when asked for: 48 KiB without */
    SK_CU_FUNCTION_REGISTERS = 4,
    SK_CU_FUNCTION_SHARED = 8,   /* dynamic, at most; may be set */
};

#define SK_CUDA_LEAST_VERSION 11040 /* CUDA 11.4, of which all the above are */

typedef struct sk_cuda_driver {
#define SK_X(field, symbol, parameters, needed) sk_cu_result(*field) parameters;
    SK_CUDA_FUNCTIONS(SK_X)
#undef SK_X
    int version_number; /* 12040: CUDA 12.4 */
} sk_cuda_driver;

/* Opens and initialises. SPHKV_EDEVICE with the reason: no library, a library
 * that is no driver, no device, a driver that is too old. */
sk_status sk_cuda_driver_open(sk_cuda_driver *out, sk_err *err);

/* SPHKV_OK when result is 0; else "WHAT: CUDA_ERROR_NAME, text", with
 * SPHKV_ENOMEM when memory ran out and SPHKV_EDEVICE for all else. */
sk_status sk_cuda_check(const sk_cuda_driver *driver, sk_cu_result result, const char *what,
                        sk_err *err);

/* "12.4" of 12040. */
void sk_cuda_version_text(int version, char text[16]);

#endif
