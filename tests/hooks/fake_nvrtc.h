/* fake_nvrtc.h - what the files of NVRTC's double share. */
#ifndef SK_FAKE_NVRTC_H
#define SK_FAKE_NVRTC_H

#include <stddef.h>
#include <stdint.h>

/* A CUBIN for the kernels that a text has; free. */
void *fake_nvrtc_cubin(const char *text, unsigned sm, size_t *size);

#endif
