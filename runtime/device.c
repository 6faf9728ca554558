/* device.c - see device.h. */
#include "device.h"

#include <stdio.h>
#include <string.h>

/* Copies printable text, runs of blanks as one, no blanks at the ends: brands
 * come padded, and the text is a key. */
static void tidy(const char *from, char *to, size_t size)
{
    size_t n = 0;
    for (; *from && n + 1 < size; from++) {
        bool blank = *from <= ' ' || *from > '~';
        if (!blank)
            to[n++] = *from;
        else if (n && to[n - 1] != ' ')
            to[n++] = ' ';
    }
    while (n && to[n - 1] == ' ')
        n--;
    to[n] = '\0';
}

/* Names and the fingerprint, once the target is known. */
static void identify(sk_device *out)
{
    sk_cpu_facts_get(&out->facts);
    sk_cpu_arch_text(&out->target, out->arch);
    const sk_cpu_facts *f = &out->facts;
    char vendor[sizeof f->vendor];
    tidy(f->vendor, vendor, sizeof vendor);
    tidy(f->brand, out->name, sizeof out->name);
    if (!out->name[0])
        snprintf(out->name, sizeof out->name, "%s family %u model %u",
                 vendor[0] ? vendor : "unknown CPU", f->family, f->model);
    snprintf(out->fingerprint, sizeof out->fingerprint,
             "cpu;%s;family=%u;model=%u;%s;%s;l1=%u;l2=%u;l3=%u;cpus=%u", vendor, f->family,
             f->model, out->name, out->arch, f->l1_bytes, f->l2_bytes, f->l3_bytes,
             f->logical_cpus);
}

void sk_device_host(sk_device *out)
{
    memset(out, 0, sizeof *out);
    sk_cpu_target_host(&out->target);
    identify(out);
}

sk_status sk_device_cpu(const char *name, sk_device *out, sk_err *err)
{
    sk_target host;
    sk_device_host(out);
    if (strcmp(name, "cpu") == 0)
        return SPHKV_OK;
    if (strncmp(name, "cpu:", 4) != 0)
        return sk_fail(err, SPHKV_EINVAL, "'%.60s' is no CPU", name);
    host = out->target;
    sk_status st = sk_cpu_target_named(name + 4, &out->target, err);
    if (st != SPHKV_OK)
        return st;
    out->target.l1_bytes = host.l1_bytes;
    out->target.l2_bytes = host.l2_bytes;
    if (!sk_cpu_target_runs(&out->target, &host))
        return sk_fail(err, SPHKV_EDEVICE, "this CPU lacks instructions of %.60s", name + 4);
    identify(out);
    return SPHKV_OK;
}

void sk_device_set_compiler(sk_device *device, const char *compiler)
{
    char driver[40] = "", version[16];
    if (device->target.backend == SK_BACKEND_CUDA) {
        sk_cuda_version_text(device->gpu.driver, version);
        snprintf(driver, sizeof driver, ", driver of CUDA %s", version);
    }
    snprintf(device->toolchain, sizeof device->toolchain, "sphkv %s, %.40s%s", sphkv_version(),
             compiler ? compiler : "no compiler", driver);
}

sk_db_device sk_device_record(const sk_device *device)
{
    return (sk_db_device){
        .kind = device->target.backend == SK_BACKEND_CUDA ? "cuda" : "cpu",
        .name = device->name,
        .arch = device->arch,
        .fingerprint = device->fingerprint,
        .toolchain = device->toolchain,
    };
}
