/* db_path.c - where databases live, and where they must not.
 *
 * Folders are made for the owner only: what lies in them is loaded and run.
 * Network file systems are refused for writing, since their locks are not to
 * be trusted; the message names the way out. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "db_impl.h"

sk_status sk_db_default_path(char **path, sk_err *err)
{
    *path = NULL;
    const char *chosen = getenv("SPHKV_DB"), *cache = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
    sk_text text = {0};
    if (chosen && *chosen)
        sk_text_printf(&text, "%s", chosen);
    else if (cache && cache[0] == '/') /* the XDG rule: relative ones are ignored */
        sk_text_printf(&text, "%s/sphkv/kernels.db", cache);
    else if (home && home[0] == '/')
        sk_text_printf(&text, "%s/.cache/sphkv/kernels.db", home);
    else
        return sk_fail(err, SPHKV_ENOTFOUND,
                       "no place for the database: set SPHKV_DB, XDG_CACHE_HOME or HOME");
    if (text.failed) {
        sk_text_free(&text);
        return sk_fail(err, SPHKV_ENOMEM, "out of memory");
    }
    *path = text.s;
    return SPHKV_OK;
}

/* Magic numbers of statfs(2) for file systems on other machines. */
static const char *network_name(const char *folder)
{
    static const struct {
        uint32_t magic;
        const char *name;
    } table[] = {
        {0x00006969u, "NFS"},      {0x0000517bu, "SMB"},    {0xff534d42u, "CIFS"},
        {0xfe534d42u, "SMB2"},     {0x0bd00bd0u, "Lustre"}, {0x47504653u, "GPFS"},
        {0x00c36400u, "Ceph"},     {0x5346414fu, "AFS"},    {0x19830326u, "BeeGFS"},
        {0x20030528u, "OrangeFS"}, {0x01161970u, "GFS2"},
    };
    struct statfs fs;
    if (statfs(folder, &fs) != 0)
        return NULL;
    for (size_t i = 0; i < SK_COUNT(table); i++)
        if ((uint32_t)fs.f_type == table[i].magic)
            return table[i].name;
    return NULL;
}

/* mkdir -p; `folder` is written to and restored. One that cannot be made may be there all
 * the same, out of sight; where it is not, that is why the last one cannot be made. */
static int make_folders(char *folder)
{
    int refused = 0;
    for (char *p = folder + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        int rc = mkdir(folder, 0700);
        int why = errno;
        *p = '/';
        if (rc == 0 || why == EEXIST || why == EISDIR)
            continue;
        if (why != EROFS && why != EACCES)
            return why;
        refused = why;
    }
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return errno == ENOENT && refused ? refused : errno;
    return 0;
}

sk_status sk_db_place_prepare(const char *path, bool create, sk_err *err)
{
    if (strlen(path) >= PATH_MAX - 16) /* SQLite adds "-journal" */
        return sk_fail(err, SPHKV_EIO, "%.40s...: a path of %zu bytes is too long", path,
                       strlen(path));
    const char *slash = strrchr(path, '/');
    char *folder = sk_strdup(slash ? path : ".");
    if (!folder)
        return sk_fail(err, SPHKV_ENOMEM, "out of memory");
    if (slash)
        folder[slash == path ? 1 : slash - path] = '\0';
    sk_status st = SPHKV_OK;
    int why = create ? make_folders(folder) : 0;
    if (why) {
        st = sk_fail(err, SPHKV_EIO, "cannot make the folder %s: %s", folder, strerror(why));
    } else {
        const char *network = network_name(folder);
        if (network)
            st = sk_fail(err, SPHKV_EIO,
                         "%s: databases do not live on a network file system (%s); set SPHKV_DB "
                         "or --db to a local path",
                         path, network);
        else if (access(folder, W_OK) != 0)
            st = sk_fail(err, SPHKV_EIO, "%s: cannot write in its folder: %s", path,
                         strerror(errno));
    }
    sk_free(folder);
    return st;
}
