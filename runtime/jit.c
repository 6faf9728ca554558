/* jit.c - finds and opens the LLVM module, once per sk_jit.
 *
 * Where there are several candidates the first file that exists decides: a
 * module that is there but broken is reported and not passed over, or a stale
 * one elsewhere would answer in its place. */
#define _GNU_SOURCE /* dladdr */
#include "jit.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODULE "sphkv_llvm.so"

void sk_jit_init(sk_jit *jit, bool allowed)
{
    memset(jit, 0, sizeof *jit);
    pthread_mutex_init(&jit->lock, NULL);
    jit->allowed = allowed;
}

void sk_jit_close(sk_jit *jit)
{
    if (jit->handle)
        dlclose(jit->handle); /* RTLD_NODELETE: only the count goes down */
    pthread_mutex_destroy(&jit->lock);
    memset(jit, 0, sizeof *jit);
}

static void open_module(sk_jit *jit, const char *path)
{
    jit->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!jit->handle) {
        const char *why = dlerror();
        (void)sk_fail(&jit->err, SPHKV_ECOMPILE, "compiler module: %s", why ? why : path);
        return;
    }
    const sk_jit_llvm_api *api = dlsym(jit->handle, "sk_jit_llvm_api");
    if (api && api->abi == SK_JIT_LLVM_ABI)
        jit->api = api;
    else
        (void)sk_fail(&jit->err, SPHKV_ECOMPILE, "compiler module %s is of another version", path);
}

/* Opens FOLDER/sphkv_llvm.so or FOLDER/../lib/sphkv_llvm.so, where `file` lies
 * in FOLDER. True when one was there, whatever came of it. */
static bool try_beside(sk_jit *jit, const char *file)
{
    static const char *const place[] = {"/" MODULE, "/../lib/" MODULE};
    char path[PATH_MAX];
    const char *slash = strrchr(file, '/');
    const size_t folder = slash ? (size_t)(slash - file) : 0;
    for (size_t i = 0; slash && i < SK_COUNT(place); i++) {
        if (folder + strlen(place[i]) >= sizeof path)
            continue;
        memcpy(path, file, folder);
        strcpy(path + folder, place[i]);
        if (access(path, F_OK) == 0) {
            open_module(jit, path);
            return true;
        }
    }
    return false;
}

static void search(sk_jit *jit)
{
    const char *asked = getenv("SPHKV_LLVM_MODULE");
    if (asked && *asked) {
        open_module(jit, asked);
        return;
    }
    /* The shared library or program with this code. dli_fname of a program is
     * its argv[0], which may be relative or a link: resolve it. */
    Dl_info here;
    char real[PATH_MAX];
    if (dladdr(MODULE, &here) && here.dli_fname && realpath(here.dli_fname, real) &&
        try_beside(jit, real))
        return;
    const ssize_t len = readlink("/proc/self/exe", real, sizeof real - 1);
    if (len > 0) {
        real[len] = '\0';
        if (try_beside(jit, real))
            return;
    }
    (void)sk_fail(&jit->err, SPHKV_ECOMPILE,
                  "no compiler: " MODULE " is not beside the library or program, nor in ../lib "
                  "(SPHKV_LLVM_MODULE names it)");
}

sk_status sk_jit_get(sk_jit *jit, const sk_jit_llvm_api **api, sk_err *err)
{
    pthread_mutex_lock(&jit->lock);
    if (!jit->tried) {
        jit->tried = true;
        if (jit->allowed)
            search(jit);
        else
            (void)sk_fail(&jit->err, SPHKV_ECOMPILE, "compiling was switched off by the caller");
    }
    *api = jit->api;
    sk_status st = jit->api ? SPHKV_OK : sk_fail(err, jit->err.status, "%s", jit->err.message);
    pthread_mutex_unlock(&jit->lock);
    return st;
}
