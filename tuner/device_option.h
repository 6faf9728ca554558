/* device_option.h - what stands behind --device, for the programs that measure, and the
 * devices that it means. A program itself never opens CUDA: its workers are forked, and
 * CUDA does not survive a fork; a GPU is asked who it is in a process of its own. */
#ifndef SK_DEVICE_OPTION_H
#define SK_DEVICE_OPTION_H

#include "device.h"
#include "options.h"

#define SK_DEVICES_MOST 33u

typedef struct sk_devices {
    uint32_t n;
    sk_device device[SK_DEVICES_MOST]; /* with their places */
} sk_devices;

/* The value of the current option: cpu, cpu:NAME, cuda:N, or, when `all` is true, all. Other
 * words are SPHKV_EINVAL. */
sk_status sk_device_option(sk_args *a, bool all, const char **choice, sk_err *err);

/* choice: of sk_device_option; NULL: cpu. "all": this machine's CPU and every GPU that
 * the driver sees, none where there is no driver. SPHKV_EDEVICE with the reason when a
 * GPU that was named cannot be had. */
sk_status sk_devices_find(const char *choice, sk_devices *out, sk_err *err);

#endif
