/* device_option.h - what stands behind --device, for the programs that measure. */
#ifndef SK_DEVICE_OPTION_H
#define SK_DEVICE_OPTION_H

#include "options.h"

/* The value of the current option: cpu, cuda:N, or, when `all` is true, all. Other
 * words are SPHKV_EINVAL; a GPU is looked for at once: SPHKV_EDEVICE with the reason
 * when it cannot be had, or not be measured on. */
sk_status sk_device_option(sk_args *a, bool all, sk_err *err);

#endif
