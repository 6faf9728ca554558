/* jit_nvrtc_log.h - reads what NVRTC and ptxas write about a compilation. */
#ifndef SK_JIT_NVRTC_LOG_H
#define SK_JIT_NVRTC_LOG_H

#include "cuda_code.h"

/* What ptxas -v says of a kernel; unknown stays what it leaves out. False when it
 * does not name the kernel. */
bool sk_nvrtc_log_resources(const char *log, const char *entry, sk_cuda_resources *out);

/* The first error as one line, "line 12: ..." where it has one; what
 * explains the failure else; "" when nothing does. */
void sk_nvrtc_log_error(const char *log, char *out, size_t size);

#endif
