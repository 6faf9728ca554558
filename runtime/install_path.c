/* install_path.c - see install_path.h. */
#define _GNU_SOURCE
#include "install_path.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* The file this code was loaded from. For a program, dladdr gives argv[0],
 * which may be a bare name: then the kernel knows better. */
static bool own_file(char path[PATH_MAX])
{
    static const char here = 0; /* any address of ours */
    Dl_info info;
    if (dladdr(&here, &info) && info.dli_fname && strchr(info.dli_fname, '/') &&
        realpath(info.dli_fname, path))
        return true;
    return realpath("/proc/self/exe", path) != NULL;
}

sk_status sk_install_db_dir(char **path, sk_err *err)
{
    char file[PATH_MAX];
    *path = NULL;
    if (!own_file(file))
        return sk_fail(err, SPHKV_ENOTFOUND, "cannot tell where sphkv is installed");
    for (int up = 0; up < 2; up++) { /* the file's name, then lib or bin */
        char *slash = strrchr(file, '/');
        if (!slash)
            return sk_fail(err, SPHKV_ENOTFOUND, "sphkv is not installed in a folder");
        *slash = '\0';
    }
    sk_text text = {0};
    sk_text_printf(&text, "%s/share/sphkv/db", file);
    if (text.failed) {
        sk_text_free(&text);
        return sk_fail(err, SPHKV_ENOMEM, "out of memory");
    }
    *path = text.s;
    return SPHKV_OK;
}
