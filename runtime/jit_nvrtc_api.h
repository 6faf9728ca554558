/* jit_nvrtc_api.h - the functions of NVRTC as they are called here, between the
 * door (jit_nvrtc.c) and the compiling (jit_nvrtc_compile.c). One table, so that
 * a name, its type and whether it must be there stand in one place. */
#ifndef SK_JIT_NVRTC_API_H
#define SK_JIT_NVRTC_API_H

#include "jit_nvrtc.h"

typedef void *sk_nvrtc_program;
typedef int (*sk_nvrtc_flow)(void *user, void *reserved);

/* What they return; other numbers are told by error_string. */
enum {
    SK_NVRTC_OK = 0,
    SK_NVRTC_NO_MEMORY = 1,
    SK_NVRTC_BAD_OPTION = 5,
    SK_NVRTC_REFUSED = 6,
    SK_NVRTC_NO_BUILTINS = 7,
    SK_NVRTC_CANCELLED = 16
};

/* X(field, name, must be there, result, parameters) */
#define SK_NVRTC_FUNCTIONS(X)                                                                     \
    X(version, "nvrtcVersion", 1, int, (int *major, int *minor))                                  \
    X(arch_count, "nvrtcGetNumSupportedArchs", 1, int, (int *n))                                  \
    X(archs, "nvrtcGetSupportedArchs", 1, int, (int *archs))                                      \
    X(create, "nvrtcCreateProgram", 1, int,                                                       \
      (sk_nvrtc_program * program, const char *text, const char *name, int nheaders,              \
       const char *const *headers, const char *const *names))                                     \
    X(destroy, "nvrtcDestroyProgram", 1, int, (sk_nvrtc_program * program))                       \
    X(compile, "nvrtcCompileProgram", 1, int,                                                     \
      (sk_nvrtc_program program, int noptions, const char *const *options))                       \
    X(log_size, "nvrtcGetProgramLogSize", 1, int, (sk_nvrtc_program program, size_t *size))       \
    X(log, "nvrtcGetProgramLog", 1, int, (sk_nvrtc_program program, char *log))                   \
    X(ptx_size, "nvrtcGetPTXSize", 1, int, (sk_nvrtc_program program, size_t *size))              \
    X(ptx, "nvrtcGetPTX", 1, int, (sk_nvrtc_program program, char *ptx))                          \
    X(cubin_size, "nvrtcGetCUBINSize", 1, int, (sk_nvrtc_program program, size_t *size))          \
    X(cubin, "nvrtcGetCUBIN", 1, int, (sk_nvrtc_program program, char *cubin))                    \
    X(error_string, "nvrtcGetErrorString", 1, const char *, (int result))                         \
    X(set_flow, "nvrtcSetFlowCallback", 0, int,                                                   \
      (sk_nvrtc_program program, sk_nvrtc_flow flow, void *user))

struct sk_nvrtc_functions {
#define SK_X(field, name, needed, result, parameters) result(*field) parameters;
    SK_NVRTC_FUNCTIONS(SK_X)
#undef SK_X
};

#endif
