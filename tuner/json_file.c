/* json_file.c - see json_file.h. */
#include "json_file.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <string.h>
#include <zlib.h>

#define BYTES_MOST (1u << 30)

/* Why no more comes; NULL: everything was read. A file that was cut ends like a whole one,
 * with what it held so far. */
static const char *what_ended(gzFile file, int got)
{
    int code;
    (void)gzerror(file, &code);
    if (code == Z_ERRNO) return strerror(errno);
    if (code == Z_BUF_ERROR) return "cut or damaged: its compressed data do not end";
    return got < 0 || code < 0 ? "damaged, or not readable" : NULL;
}

static sk_status read_all(gzFile file, const char *path, char **text, sk_err *err)
{
    size_t size = 0, cap = 1u << 20;
    char *bytes = sk_malloc(cap);
    int got = 1;
    while (bytes && got > 0 && size < BYTES_MOST) {
        got = gzread(file, bytes + size, (unsigned)(cap - size - 1));
        if (got > 0) size += (size_t)got;
        if (size + 1 < cap) continue;
        char *more = sk_realloc(bytes, cap *= 2);
        if (!more) sk_free(bytes);
        bytes = more;
    }
    if (!bytes) return sk_fail(err, SPHKV_ENOMEM, "no memory for %.200s", path);
    const char *wrong = size >= BYTES_MOST ? "larger than 1 GiB" : what_ended(file, got);
    if (wrong) {
        sk_free(bytes);
        return sk_fail(err, SPHKV_EIO, "%.200s: %s", path, wrong);
    }
    bytes[size] = '\0';
    *text = bytes;
    return SPHKV_OK;
}

static sk_status read_text(const char *path, char **text, sk_err *err)
{
    errno = 0; /* gzopen sets it for what the system says alone */
    gzFile file = gzopen(path, "rb");
    if (!file)
        return sk_fail(err, SPHKV_EIO, "%.200s cannot be opened: %s", path,
                       errno ? strerror(errno) : "no memory");
    sk_status st = read_all(file, path, text, err);
    (void)gzclose(file);
    return st;
}

sk_status sk_json_file_read(const char *path, cJSON **out, sk_err *err)
{
    char *text = NULL;
    const sk_status st = read_text(path, &text, err);
    if (st != SPHKV_OK) return st;
    *out = cJSON_ParseWithOpts(text, NULL, true);
    sk_free(text);
    return *out ? SPHKV_OK : sk_fail(err, SPHKV_EINVAL, "%.200s: not JSON", path);
}
