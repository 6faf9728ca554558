/* jit_nvrtc.c - finds and opens NVRTC, once per sk_nvrtc.
 *
 * NVRTC opens its library of built-in functions itself, by bare name, and does not
 * look beside its own file. One that is open under that name is found, so it is
 * opened here first, by full path. */
#define _GNU_SOURCE /* dladdr */
#include "jit_nvrtc_api.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gpu_target.h"

#define OLDEST 11020u

typedef struct sk_nvrtc_opened {
    sk_nvrtc_functions call;
    sk_nvrtc_api api;
    char path[PATH_MAX];
} opened;

void sk_nvrtc_init(sk_nvrtc *nvrtc, bool allowed, uint32_t driver)
{
    memset(nvrtc, 0, sizeof *nvrtc);
    pthread_mutex_init(&nvrtc->lock, NULL);
    nvrtc->allowed = allowed;
    nvrtc->newest_major = driver / 1000;
}

void sk_nvrtc_close(sk_nvrtc *nvrtc)
{
    if (nvrtc->builtins)
        dlclose(nvrtc->builtins); /* RTLD_NODELETE: only the counts go down */
    if (nvrtc->handle)
        dlclose(nvrtc->handle);
    sk_free(nvrtc->opened);
    pthread_mutex_destroy(&nvrtc->lock);
    memset(nvrtc, 0, sizeof *nvrtc);
}

/* ---- what an open library says ------------------------------------------------------- */

static sk_status read_functions(opened *o, void *handle, const char *file, sk_err *err)
{
    static const struct {
        const char *name;
        size_t at;
        bool needed;
    } function[] = {
#define SK_X(field, name, needed, result, parameters)                                             \
    {name, offsetof(sk_nvrtc_functions, field), needed},
        SK_NVRTC_FUNCTIONS(SK_X)
#undef SK_X
    };
    for (size_t i = 0; i < SK_COUNT(function); i++) {
        void *found = dlsym(handle, function[i].name);
        if (!found && function[i].needed)
            return sk_fail(err, SPHKV_ECOMPILE, "%.300s lacks %s: NVRTC 11.2 or later is needed",
                           file, function[i].name);
        memcpy((char *)&o->call + function[i].at, &found, sizeof found);
    }
    return SPHKV_OK;
}

static sk_status read_facts(opened *o, const char *file, sk_err *err)
{
    int major = 0, minor = 0, n = 0;
    if (o->call.version(&major, &minor) != SK_NVRTC_OK || major < 0 || major > 99 || minor < 0 ||
        minor > 99)
        return sk_fail(err, SPHKV_ECOMPILE, "%.300s does not say its version", file);
    o->api.release = (uint32_t)major * 1000 + (uint32_t)minor * 10;
    snprintf(o->api.version, sizeof o->api.version, "NVRTC %d.%d", major, minor);
    if (o->api.release < OLDEST)
        return sk_fail(err, SPHKV_ECOMPILE, "%.300s is %s: 11.2 or later is needed", file,
                       o->api.version);
    if (o->call.arch_count(&n) != SK_NVRTC_OK || n < 1 || n > SK_NVRTC_ARCHS ||
        o->call.archs(o->api.arch) != SK_NVRTC_OK)
        return sk_fail(err, SPHKV_ECOMPILE, "%.300s does not say what it compiles for", file);
    o->api.narch = (uint32_t)n;
    o->api.cancels = o->call.set_flow != NULL;
    return SPHKV_OK;
}

/* libnvrtc-builtins.so.13.0 in the folder of `file`. */
static void *open_builtins(const opened *o, const char *file)
{
    char path[PATH_MAX];
    const char *slash = strrchr(file, '/');
    const int folder = slash ? (int)(slash - file) : -1;
    const int n = snprintf(path, sizeof path, "%.*s/libnvrtc-builtins.so.%u.%u",
                           folder > 0 ? folder : 0, file, o->api.release / 1000,
                           o->api.release % 1000 / 10);
    if (folder < 0 || n <= 0 || (size_t)n >= sizeof path)
        return NULL;
    return dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

/* The file of an open library: what the loader took for a bare name, too. The
 * built-in functions lie beside the name it was opened by, or where a link leads. */
static void read_place(sk_nvrtc *nvrtc, opened *o)
{
    Dl_info info;
    void *code;
    char real[PATH_MAX];
    memcpy(&code, &o->call.version, sizeof code);
    if (!dladdr(code, &info) || !info.dli_fname || strlen(info.dli_fname) >= sizeof o->path)
        return;
    strcpy(o->path, info.dli_fname);
    nvrtc->builtins = open_builtins(o, o->path);
    if (!nvrtc->builtins && realpath(o->path, real))
        nvrtc->builtins = open_builtins(o, real);
}

/* ---- the search ------------------------------------------------------------------------ */

static bool try_file(void *user, const char *file)
{
    sk_nvrtc *nvrtc = user;
    nvrtc->handle = dlopen(file, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!nvrtc->handle) {
        const char *why = dlerror();
        if (strchr(file, '/')) /* it is there, or was asked for */
            (void)sk_fail(&nvrtc->err, SPHKV_ECOMPILE, "NVRTC: %.400s", why ? why : file);
        return nvrtc->err.status != SPHKV_OK;
    }
    opened *o = sk_calloc(1, sizeof *o);
    if (!o) {
        (void)sk_fail(&nvrtc->err, SPHKV_ENOMEM, "out of memory for NVRTC");
        return true;
    }
    sk_status st = read_functions(o, nvrtc->handle, file, &nvrtc->err);
    if (!st)
        st = read_facts(o, file, &nvrtc->err);
    if (st) {
        sk_free(o);
        return true;
    }
    read_place(nvrtc, o);
    o->api.call = &o->call;
    o->api.path = o->path;
    o->api.builtins = nvrtc->builtins != NULL;
    nvrtc->opened = o;
    return true;
}

static void search(sk_nvrtc *nvrtc)
{
    sk_nvrtc_places here;
    sk_nvrtc_places_read(&here);
    here.newest_major = nvrtc->newest_major;
    const sk_nvrtc_places *places = nvrtc->places ? nvrtc->places : &here;
    if (sk_nvrtc_find(places, try_file, nvrtc))
        return;
    if (places->asked && *places->asked)
        (void)sk_fail(&nvrtc->err, SPHKV_ECOMPILE,
                      "no NVRTC: the folder SPHKV_NVRTC=%.300s holds no libnvrtc", places->asked);
    else
        (void)sk_fail(&nvrtc->err, SPHKV_ECOMPILE,
                      "no NVRTC: libnvrtc (11.2 to %u) is not under CUDA_HOME, on the loader's "
                      "path, in /usr/local/cuda* or a Python package (SPHKV_NVRTC names it)",
                      places->newest_major ? places->newest_major : 13);
}

sk_status sk_nvrtc_get(sk_nvrtc *nvrtc, const sk_nvrtc_api **api, sk_err *err)
{
    pthread_mutex_lock(&nvrtc->lock);
    if (!nvrtc->tried) {
        nvrtc->tried = true;
        if (nvrtc->allowed)
            search(nvrtc);
        else
            (void)sk_fail(&nvrtc->err, SPHKV_ECOMPILE, "compiling was switched off by the caller");
    }
    *api = nvrtc->opened ? &nvrtc->opened->api : NULL;
    sk_status st = *api ? SPHKV_OK : sk_fail(err, nvrtc->err.status, "%s", nvrtc->err.message);
    pthread_mutex_unlock(&nvrtc->lock);
    return st;
}

sk_status sk_nvrtc_has_arch(const sk_nvrtc_api *api, const char *arch, sk_err *err)
{
    sk_target wanted;
    char list[300] = "";
    size_t len = 0;
    if (!sk_gpu_arch_parse(arch, &wanted))
        return sk_fail(err, SPHKV_EINVAL, "'%.40s' is no GPU architecture, such as sm_90", arch);
    for (uint32_t i = 0; i < api->narch; i++) {
        if (api->arch[i] == (int)wanted.sm)
            return SPHKV_OK;
        const int n = snprintf(list + len, sizeof list - len, " %d", api->arch[i]);
        if (n > 0 && (size_t)n < sizeof list - len)
            len += (size_t)n;
    }
    return sk_fail(err, SPHKV_EUNSUPPORTED, "%s does not compile for %s, only for%s", api->version,
                   arch, list);
}
