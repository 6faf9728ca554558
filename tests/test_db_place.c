/* test_db_place.c - where a database lies and what time it is: network file
 * systems, names that mean something to SQLite or are too long, a clock that
 * jumps. The system calls that tell are this program's own. */
#define _GNU_SOURCE
#include "sk_test.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "db_case.h"
#include "db_impl.h"

/* ---- what the system says ------------------------------------------------------- */

static uint32_t pretended; /* magic number of every file system; 0: the real one */
static time_t pretended_time;

int statfs(const char *path, struct statfs *out)
{
    int (*real)(const char *, struct statfs *);
    void *symbol = dlsym(RTLD_NEXT, "statfs");
    memcpy(&real, &symbol, sizeof real);
    int rc = real(path, out);
    if (rc == 0 && pretended) out->f_type = (__typeof__(out->f_type))pretended;
    return rc;
}

static const char *locked; /* a folder that is not made */

int mkdir(const char *path, mode_t mode)
{
    int (*real)(const char *, mode_t);
    void *symbol = dlsym(RTLD_NEXT, "mkdir");
    memcpy(&real, &symbol, sizeof real);
    if (!locked || strcmp(path, locked) != 0) return real(path, mode);
    errno = EACCES;
    return -1;
}

time_t time(time_t *at)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    time_t t = pretended_time ? pretended_time : now.tv_sec;
    if (at) *at = t;
    return t;
}

/* ---- network file systems --------------------------------------------------------- */

static const struct {
    uint32_t magic;
    const char *name; /* NULL: a local one */
} systems[] = {
    {0x6969, "NFS"},       {0xff534d42, "CIFS"}, {0xfe534d42, "SMB2"}, {0x517b, "SMB"},
    {0x0bd00bd0, "Lustre"}, {0x47504653, "GPFS"}, {0x00c36400, "Ceph"}, {0xef53, NULL},
    {0x01021994, NULL},
};

static void network_is_refused_for_writing(void **state)
{
    (void)state;
    char *dir = sk_test_dir(), *path = sk_test_path(dir, "kernels.db");
    sk_err err = {0};
    sk_db *db;
    sk_assert_ok(sk_db_open(path, SK_DB_CREATE, &db, &err), &err);
    assert_true(db_case_winner(db, 1, 1024, "w=8", "ir", 3000, 2) > 0);
    sk_db_close(db);
    for (size_t i = 0; i < SK_COUNT(systems); i++) {
        pretended = systems[i].magic;
        for (uint32_t flags = 0; flags <= SK_DB_CREATE; flags += SK_DB_CREATE) {
            sk_status st = sk_db_open(path, flags, &db, &err);
            assert_int_equal(st, systems[i].name ? SPHKV_EIO : SPHKV_OK);
            if (st != SPHKV_OK) {
                assert_non_null(strstr(err.message, path));
                assert_non_null(strstr(err.message, systems[i].name));
                assert_non_null(strstr(err.message, "local path"));
            }
            sk_db_close(db);
        }
        sk_assert_ok(sk_db_open(path, SK_DB_READ_ONLY, &db, &err), &err); /* to read it is fine */
        sk_db_close(db);
    }
    /* The overlay reads it, and keeps what is new in memory. */
    pretended = systems[0].magic;
    sk_db_set *set;
    sk_assert_ok(sk_db_set_open(path, NULL, 0, &set, &err), &err);
    assert_true(set->memory_only && set->system_count == 1);
    assert_non_null(strstr(set->warning, "NFS"));
    sk_db_set_close(set);
    pretended = 0;
    sk_free(path);
    sk_test_dir_remove(dir);
}

/* Why the first of the folders cannot be made is said, not that the last has no place. */
static void folders_are_refused(void **state)
{
    (void)state;
    char *dir = sk_test_dir(), *folder = sk_test_path(dir, "home");
    char *path = sk_test_path(dir, "home/cache/kernels.db");
    sk_err err = {0};
    sk_db *db;
    locked = folder;
    assert_int_equal(sk_db_open(path, SK_DB_CREATE, &db, &err), SPHKV_EIO);
    assert_non_null(strstr(err.message, "/home/cache: Permission denied"));
    locked = NULL;
    sk_assert_ok(sk_db_open(path, SK_DB_CREATE, &db, &err), &err);
    sk_db_close(db);
    assert_int_equal(sk_db_open(folder, SK_DB_READ_ONLY, &db, &err), SPHKV_EIO);
    assert_non_null(strstr(err.message, "/home: a folder, not a kernel database"));
    sk_free(path);
    sk_free(folder);
    sk_test_dir_remove(dir);
}

/* ---- names ------------------------------------------------------------------------ */

static void names_are_files(void **state)
{
    (void)state;
    static const char *const names[] = {"file:x.db?mode=memory", "file:y.db", "file:///z",
                                        "a b.db", "-db", "%41.db", "x.db?cache=shared"};
    char *dir = sk_test_dir(), *home = getcwd(NULL, 0);
    sk_err err = {0};
    sk_db *db;
    assert_int_equal(chdir(dir), 0);
    for (size_t i = 0; i < SK_COUNT(names); i++) {
        sk_assert_ok(sk_db_open(names[i], SK_DB_CREATE, &db, &err), &err);
        assert_true(db_case_winner(db, 1, 1024, "w=8", "ir", 3000, 2) > 0);
        sk_db_close(db);
        if (access(names[i], R_OK) != 0) fail_msg("%s is no file", names[i]);
        sk_assert_ok(sk_db_open(names[i], SK_DB_READ_ONLY, &db, &err), &err);
        sk_db_set set = {.user = db};
        sk_arena mem = {0};
        sk_db_winner *list;
        size_t n;
        sk_assert_ok(sk_db_winners(set.user, NULL, &mem, &list, &n, &err), &err);
        assert_int_equal(n, 1);
        sk_arena_free(&mem);
        sk_db_close(db);
    }
    assert_int_equal(chdir(home), 0);
    free(home);
    sk_test_dir_remove(dir);
}

static void long_names_say_so(void **state)
{
    (void)state;
    static char name[PATH_MAX + 100];
    sk_err err = {0};
    sk_db *db;
    memset(name, 'a', sizeof name - 1);
    for (size_t length = PATH_MAX + 99; length >= PATH_MAX - 16; length -= 23) {
        name[length] = '\0';
        assert_int_equal(sk_db_open(name, SK_DB_CREATE, &db, &err), SPHKV_EIO);
        name[length] = 'a';
    }
    assert_non_null(strstr(err.message, "too long"));
}

static void default_places(void **state)
{
    (void)state;
    static const struct {
        const char *chosen, *cache, *home, *want; /* NULL: no place */
    } row[] = {
        {"/a/b.db", "/c", "/h", "/a/b.db"}, {"", "/c", "/h", "/c/sphkv/kernels.db"},
        {NULL, "", "/h", "/h/.cache/sphkv/kernels.db"},
        {NULL, "relative", "/h", "/h/.cache/sphkv/kernels.db"},
        {NULL, NULL, "", NULL}, {NULL, NULL, NULL, NULL}, {NULL, NULL, "relative", NULL},
    };
    static const char *const variable[] = {"SPHKV_DB", "XDG_CACHE_HOME", "HOME"};
    for (size_t i = 0; i < SK_COUNT(row); i++) {
        const char *const value[] = {row[i].chosen, row[i].cache, row[i].home};
        for (size_t k = 0; k < SK_COUNT(variable); k++)
            assert_int_equal(value[k] ? setenv(variable[k], value[k], 1) : unsetenv(variable[k]), 0);
        char *path;
        sk_err err = {0};
        sk_status st = sk_db_default_path(&path, &err);
        assert_int_equal(st, row[i].want ? SPHKV_OK : SPHKV_ENOTFOUND);
        if (row[i].want) assert_string_equal(path, row[i].want);
        if (!row[i].want) assert_non_null(strstr(err.message, "set SPHKV_DB"));
        sk_free(path);
    }
}

/* ---- time ------------------------------------------------------------------------- */

/* Records put while the clock stands anywhere are all there, each with its time,
 * and a later one of a key replaces an earlier one whatever the clock says. */
static void clock_jumps(void **state)
{
    (void)state;
    static const time_t jump[] = {1700000000, 1, 4102444800, -5, 1700000000, 253402300800};
    char *dir = sk_test_dir(), *path = sk_test_path(dir, "kernels.db");
    sk_err err = {0};
    sk_db *db;
    sk_assert_ok(sk_db_open(path, SK_DB_CREATE, &db, &err), &err);
    for (size_t i = 0; i < SK_COUNT(jump); i++) {
        char schedule[32];
        snprintf(schedule, sizeof schedule, "w=%zu", i + 1);
        pretended_time = jump[i];
        assert_true(db_case_winner(db, 1, 1024, schedule, "ir", 3000, 2) > 0);
        sk_arena mem = {0};
        sk_db_winner *list;
        size_t n;
        sk_assert_ok(sk_db_winners(db, NULL, &mem, &list, &n, &err), &err);
        assert_int_equal(n, 1);
        assert_string_equal(list[0].trial.key.schedule, schedule);
        assert_true(list[0].unix_time == jump[i]);
        sk_arena_free(&mem);
    }
    pretended_time = 0;
    sk_db_close(db);
    sk_free(path);
    sk_test_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(network_is_refused_for_writing),
        cmocka_unit_test(folders_are_refused),
        cmocka_unit_test(names_are_files),
        cmocka_unit_test(long_names_say_so),
        cmocka_unit_test(default_places),
        cmocka_unit_test(clock_jumps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
