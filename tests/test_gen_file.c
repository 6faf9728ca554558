/* test_gen_file.c - files whose writing fails, at each of its steps in turn: the
 * old file is as it was, or the new one is whole; no temporary name is left, and
 * the message says which file and why. write, fsync, close and rename are this
 * program's own, since a test may not fill a disk. */
#define _GNU_SOURCE
#include "sk_test.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <unistd.h>

static int fail_at, steps, fail_code; /* step to fail, from 1; 0 = none */
static bool armed;

static bool fails(void)
{
    if (!armed || ++steps != fail_at) return false;
    errno = fail_code;
    return true;
}

static void *real(const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    assert_non_null(symbol);
    return symbol;
}

ssize_t write(int fd, const void *data, size_t bytes)
{
    ssize_t (*next)(int, const void *, size_t);
    void *symbol = real("write");
    memcpy(&next, &symbol, sizeof next);
    if (fails()) { /* a disk that fills up takes a part first */
        int code = errno;
        if (bytes > 1) (void)!next(fd, data, bytes / 2);
        errno = code;
        return -1;
    }
    /* short writes are ordinary */
    return next(fd, data, armed && bytes > 1000 ? 1000 : bytes);
}

int fsync(int fd)
{
    int (*next)(int);
    void *symbol = real("fsync");
    memcpy(&next, &symbol, sizeof next);
    return fails() ? -1 : next(fd);
}

int close(int fd)
{
    int (*next)(int);
    void *symbol = real("close");
    memcpy(&next, &symbol, sizeof next);
    bool bad = fails();
    int rc = next(fd);
    if (bad) errno = fail_code;
    return bad ? -1 : rc;
}

int rename(const char *from, const char *to)
{
    int (*next)(const char *, const char *);
    void *symbol = real("rename");
    memcpy(&next, &symbol, sizeof next);
    return fails() ? -1 : next(from, to);
}

static int entries(const char *dir)
{
    DIR *d = opendir(dir);
    int n = 0;
    assert_non_null(d);
    while (readdir(d)) n++;
    closedir(d);
    return n - 2; /* . and .. */
}

static void each_step_fails(void **state)
{
    (void)state;
    static const int codes[] = {ENOSPC, EIO, EDQUOT, EFBIG};
    char *dir = sk_test_dir(), *path = sk_test_path(dir, "file"), now[5000];
    char *data;
    size_t bytes;
    int failed = 0;
    sk_err err = {0};
    memset(now, 'n', sizeof now);
    for (size_t c = 0; c < SK_COUNT(codes); c++)
        for (fail_at = 1;; fail_at++) {
            sk_assert_ok(sk_file_write(path, "old", 3, &err), &err);
            fail_code = codes[c], steps = 0, armed = true;
            sk_status st = sk_file_write(path, now, sizeof now, &err);
            armed = false;
            bool reached = steps >= fail_at;
            sk_assert_ok(sk_file_read(path, 1 << 20, &data, &bytes, NULL), NULL);
            assert_int_equal(entries(dir), 1);
            assert_int_equal(bytes, st == SPHKV_OK ? sizeof now : 3);
            assert_memory_equal(data, st == SPHKV_OK ? now : "old", bytes);
            sk_free(data);
            if (st != SPHKV_OK) {
                failed++;
                assert_int_equal(st, SPHKV_EIO);
                assert_non_null(strstr(err.message, path));
                assert_non_null(strstr(err.message, strerror(codes[c])));
            }
            if (!reached) break;
        }
    /* five writes, fsync, close, rename; the folder's own flush is a wish */
    assert_int_equal(failed, 8 * (int)SK_COUNT(codes));
    sk_free(path);
    sk_test_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_step_fails)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
