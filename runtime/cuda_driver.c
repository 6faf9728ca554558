/* cuda_driver.c - opens NVIDIA's driver and says why not; see cuda_driver.h.
 *
 * The toolkit brings a library of the driver's name to link against, whose
 * functions all fail: found by a wrong search path it is told apart from a
 * machine without a device, since what to do differs. */
#include "cuda_driver.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIBRARY "libcuda.so.1"
#define VARIABLE "SPHKV_CUDA_DRIVER"

/* Every function with its place in the table. */
static const struct cuda_symbol {
    const char *name;
    size_t at;
    bool needed;
} symbols[] = {
#define SK_X(field, symbol, parameters, needed) {symbol, offsetof(sk_cuda_driver, field), needed},
    SK_CUDA_FUNCTIONS(SK_X)
#undef SK_X
};

void sk_cuda_version_text(int version, char text[16])
{
    snprintf(text, 16, "%d.%d", version / 1000 % 1000, version % 1000 / 10);
}

sk_status sk_cuda_check(const sk_cuda_driver *driver, sk_cu_result result, const char *what,
                        sk_err *err)
{
    if (result == 0) return SPHKV_OK;
    const char *name = NULL, *text = NULL;
    (void)driver->error_name(result, &name);
    (void)driver->error_text(result, &text);
    return sk_fail(err, result == SK_CU_OUT_OF_MEMORY ? SPHKV_ENOMEM : SPHKV_EDEVICE,
                   "%s: %s, %s", what, name ? name : "an error that the driver has no name for",
                   text ? text : "no explanation");
}

/* Fills the table. A driver that lacks a needed function is too old, or no driver. */
static sk_status find_symbols(void *library, const char *file, sk_cuda_driver *out, sk_err *err)
{
    for (size_t i = 0; i < SK_COUNT(symbols); i++) {
        void *at = dlsym(library, symbols[i].name);
        if (at == NULL && symbols[i].needed)
            return sk_fail(err, SPHKV_EDEVICE,
                           "the CUDA driver %.200s has no %s: it is no driver, or older than "
                           "CUDA 11.4", file, symbols[i].name);
        memcpy((uint8_t *)out + symbols[i].at, &at, sizeof at);
    }
    return SPHKV_OK;
}

/* cuInit, and what its refusals mean for who reads them. */
static sk_status initialise(const sk_cuda_driver *driver, const char *file, sk_err *err)
{
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    const sk_cu_result result = driver->init(0);
    if (result == SK_CU_STUB)
        return sk_fail(err, SPHKV_EDEVICE,
                       "%.200s is the toolkit's stub and not a CUDA driver: install NVIDIA's "
                       "driver, or name its " LIBRARY " in " VARIABLE, file);
    if (result == SK_CU_NO_DEVICE)
        return sk_fail(err, SPHKV_EDEVICE, "the CUDA driver sees no device%s%.60s",
                       visible ? ": CUDA_VISIBLE_DEVICES is " : "",
                       visible && *visible ? visible : visible ? "empty" : "");
    return sk_cuda_check(driver, result, "the CUDA driver does not start", err);
}

static sk_status check_version(sk_cuda_driver *driver, sk_err *err)
{
    char have[16], least[16];
    sk_status st = sk_cuda_check(driver, driver->version(&driver->version_number),
                                 "the version of the CUDA driver", err);
    if (st != SPHKV_OK || driver->version_number >= SK_CUDA_LEAST_VERSION) return st;
    sk_cuda_version_text(driver->version_number, have);
    sk_cuda_version_text(SK_CUDA_LEAST_VERSION, least);
    return sk_fail(err, SPHKV_EDEVICE, "the CUDA driver is of CUDA %s, %s is needed: install a "
                   "newer one", have, least);
}

sk_status sk_cuda_driver_open(sk_cuda_driver *out, sk_err *err)
{
    const char *asked = getenv(VARIABLE);
    const char *file = asked && *asked ? asked : LIBRARY;
    memset(out, 0, sizeof *out);
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (library == NULL) {
        const char *why = dlerror();
        return sk_fail(err, SPHKV_EDEVICE, "no CUDA driver: %.300s (" VARIABLE " names another file)",
                       why ? why : file);
    }
    sk_status st = find_symbols(library, file, out, err);
    if (st == SPHKV_OK) st = initialise(out, file, err);
    if (st == SPHKV_OK) st = check_version(out, err);
    (void)dlclose(library); /* RTLD_NODELETE: only the count goes down */
    return st;
}
