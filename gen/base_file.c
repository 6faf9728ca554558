/* base_file.c - whole files in and out.
 *
 * A reader never sees half a file: writing goes to a name of its own in the same
 * folder, is flushed to the disk, and takes the final name by rename. After a
 * failure the old file is as it was and the temporary name is gone. Reading does
 * not trust the size that the system reports: pipes and /proc files say 0. */
#define _GNU_SOURCE
#include "base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static sk_status fail_errno(sk_err *err, const char *doing, const char *path)
{
    int code = errno;
    char buffer[128];
    const char *why = strerror_r(code, buffer, sizeof buffer);
    sk_status st = code == ENOENT || code == ENOTDIR ? SPHKV_ENOTFOUND : SPHKV_EIO;
    return sk_fail(err, st, "%s %s: %s", doing, path, why);
}

/* read() until the end of the file or `limit` + 1 bytes, growing as it goes. */
static sk_status read_all(int fd, const char *path, size_t first, size_t limit, char **data,
                          size_t *bytes, sk_err *err)
{
    size_t len = 0, cap = first;
    char *s = sk_malloc(cap + 1);
    if (!s)
        return sk_fail(err, SPHKV_ENOMEM, "out of memory reading %s", path);
    for (;;) {
        if (len == cap) {
            cap = cap < 4096 ? 4096 : cap * 2;
            char *more = sk_realloc(s, cap + 1);
            if (!more) {
                sk_free(s);
                return sk_fail(err, SPHKV_ENOMEM, "out of memory reading %s", path);
            }
            s = more;
        }
        ssize_t n = read(fd, s + len, cap - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            sk_status st = fail_errno(err, "cannot read", path);
            sk_free(s);
            return st;
        }
        len += (size_t)n;
        if (len > limit) {
            sk_free(s);
            return sk_fail(err, SPHKV_EINVAL, "%s is larger than %zu bytes", path, limit);
        }
        if (n == 0)
            break;
    }
    s[len] = '\0';
    *data = s;
    *bytes = len;
    return SPHKV_OK;
}

sk_status sk_file_read(const char *path, size_t limit, char **data, size_t *bytes, sk_err *err)
{
    *data = NULL;
    *bytes = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(err, "cannot open", path);
    struct stat facts;
    sk_status st;
    if (fstat(fd, &facts) != 0)
        st = fail_errno(err, "cannot read", path);
    else if (S_ISREG(facts.st_mode) && (uint64_t)facts.st_size > limit)
        st = sk_fail(err, SPHKV_EINVAL, "%s is larger than %zu bytes", path, limit);
    else /* one more than the size: the end is then seen without growing */
        st = read_all(fd, path, S_ISREG(facts.st_mode) ? (size_t)facts.st_size + 1 : 4096, limit,
                      data, bytes, err);
    close(fd);
    return st;
}

static bool write_all(int fd, const char *data, size_t bytes)
{
    while (bytes) {
        ssize_t n = write(fd, data, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        bytes -= (size_t)n;
    }
    return true;
}

/* Opens path.PID.N.tmp for a free N; the name is left in `name`. The mode is
 * that of any new file, which mkstemp would not give. */
static int open_temporary(const char *path, sk_text *name)
{
    for (unsigned n = 0; n < 1000; n++) {
        name->len = 0;
        sk_text_printf(name, "%s.%ld.%u.tmp", path, (long)getpid(), n);
        if (name->failed) {
            errno = ENOMEM;
            return -1;
        }
        int fd = open(name->s, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

/* Makes the rename itself last. Some file systems refuse this: not an error,
 * the content is safe already. */
static void flush_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    sk_text folder = {0};
    if (!slash)
        sk_text_append(&folder, ".", 1);
    else
        sk_text_append(&folder, path, slash == path ? 1 : (size_t)(slash - path));
    if (!folder.failed) {
        int fd = open(folder.s, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0) {
            fsync(fd);
            close(fd);
        }
    }
    sk_text_free(&folder);
}

/* The file under a temporary name; -1: it cannot be. */
static int create(const char *path, sk_text *name, sk_status *st, sk_err *err)
{
    const int fd = open_temporary(path, name);
    *st = SPHKV_OK;
    if (fd < 0)
        *st = name->failed ? sk_fail(err, SPHKV_ENOMEM, "out of memory writing %s", path)
                           : fail_errno(err, "cannot create", path);
    return fd;
}

sk_status sk_file_try(const char *path, sk_err *err)
{
    struct stat facts;
    sk_text name = {0};
    sk_status st;
    const int fd = create(path, &name, &st, err);
    if (fd >= 0) {
        close(fd);
        unlink(name.s);
        if (stat(path, &facts) == 0 && S_ISDIR(facts.st_mode)) {
            errno = EISDIR; /* what the rename would end with */
            st = fail_errno(err, "cannot write", path);
        }
    }
    sk_text_free(&name);
    return st;
}

sk_status sk_file_write(const char *path, const void *data, size_t bytes, sk_err *err)
{
    sk_text name = {0};
    sk_status st;
    const int fd = create(path, &name, &st, err);
    if (fd < 0) {
        sk_text_free(&name);
        return st;
    }
    bool good = write_all(fd, data, bytes) && fsync(fd) == 0;
    int code = errno;
    if (close(fd) != 0 && good) {
        good = false;
        code = errno;
    }
    if (good && rename(name.s, path) != 0) {
        good = false;
        code = errno;
    }
    if (good) {
        flush_folder(path);
    } else {
        unlink(name.s);
        errno = code;
        st = fail_errno(err, "cannot write", path);
    }
    sk_text_free(&name);
    return st;
}
