/* db_set.c - the overlay: what this user tuned, over what was installed.
 *
 * Opening never fails for a bad database: sphkv must run without one. What
 * cannot be used is left out and named in one warning. A user database that
 * can be read but not written still serves look-ups: it is put first among the
 * system ones, and new records go to memory. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db_impl.h"

static void warn(sk_db_set *set, size_t *faults, const char *text)
{
    if ((*faults)++ == 0)
        snprintf(set->warning, sizeof set->warning, "%.400s", text);
}

static sk_status add_system(sk_db_set *set, sk_db *db, sk_err *err)
{
    sk_db **bigger = sk_realloc(set->system, (set->system_count + 1) * sizeof *bigger);
    if (!bigger) {
        sk_db_close(db);
        return sk_fail(err, SPHKV_ENOMEM, "out of memory");
    }
    set->system = bigger;
    set->system[set->system_count++] = db;
    return SPHKV_OK;
}

/* Tries path; leaves set->user NULL with a warning when that does not work. */
static sk_status open_user(sk_db_set *set, const char *path, uint32_t flags, size_t *faults,
                           sk_err *err)
{
    sk_err local = {0};
    bool read_only = (flags & SK_DB_SET_READ_ONLY) != 0;
    sk_status st = sk_db_open(path, read_only ? SK_DB_READ_ONLY : SK_DB_CREATE, &set->user, &local);
    if (st == SPHKV_OK || (st == SPHKV_ENOTFOUND && read_only))
        return SPHKV_OK; /* nothing there to read is no reason to warn */
    if (st == SPHKV_ENOMEM)
        return sk_fail(err, st, "%s", local.message);
    char text[512];
    snprintf(text, sizeof text, "%.380s%s", local.message,
             read_only ? "" : "; results stay in memory");
    warn(set, faults, text);
    sk_db *readable = NULL;
    if (st == SPHKV_EIO && !read_only &&
        sk_db_open(path, SK_DB_READ_ONLY, &readable, NULL) == SPHKV_OK)
        return add_system(set, readable, err);
    return SPHKV_OK;
}

static int is_database(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return entry->d_name[0] != '.' && length > 3 && strcmp(entry->d_name + length - 3, ".db") == 0;
}

static sk_status open_system_file(sk_db_set *set, const char *dir, const char *name, size_t *faults,
                                  sk_err *err)
{
    sk_text path = {0};
    sk_text_printf(&path, "%s/%s", dir, name);
    if (path.failed) {
        sk_text_free(&path);
        return sk_fail(err, SPHKV_ENOMEM, "out of memory");
    }
    sk_db *db = NULL;
    sk_err local = {0};
    sk_status st = sk_db_open(path.s, SK_DB_IMMUTABLE, &db, &local);
    sk_text_free(&path);
    if (st == SPHKV_OK)
        return add_system(set, db, err);
    if (st == SPHKV_ENOMEM)
        return sk_fail(err, st, "%s", local.message);
    warn(set, faults, local.message);
    return SPHKV_OK;
}

/* By name, so that the search order is the same everywhere. No folder is fine. */
static sk_status open_system(sk_db_set *set, const char *dir, size_t *faults, sk_err *err)
{
    struct dirent **entries = NULL;
    int count = scandir(dir, &entries, is_database, alphasort);
    sk_status st = SPHKV_OK;
    for (int i = 0; i < count; i++) {
        if (st == SPHKV_OK)
            st = open_system_file(set, dir, entries[i]->d_name, faults, err);
        free(entries[i]); /* scandir's own */
    }
    free(entries);
    return st;
}

static sk_status open_all(sk_db_set *set, const char *user_path, const char *system_dir,
                          uint32_t flags, size_t *faults, sk_err *err)
{
    char *default_path = NULL;
    sk_err local = {0};
    sk_status st = SPHKV_OK;
    if (!user_path) {
        st = sk_db_default_path(&default_path, &local);
        if (st == SPHKV_ENOMEM)
            return sk_fail(err, st, "%s", local.message);
        if (st != SPHKV_OK)
            warn(set, faults, local.message);
        user_path = default_path;
    }
    st = user_path ? open_user(set, user_path, flags, faults, err) : SPHKV_OK;
    sk_free(default_path);
    if (st == SPHKV_OK && system_dir)
        st = open_system(set, system_dir, faults, err);
    if (st == SPHKV_OK && !set->user) {
        set->memory_only = true;
        st = sk_db_open(":memory:", SK_DB_CREATE, &set->user, err);
    }
    return st;
}

sk_status sk_db_set_open(const char *user_path, const char *system_dir, uint32_t flags,
                         sk_db_set **out, sk_err *err)
{
    *out = NULL;
    sk_db_set *set = sk_calloc(1, sizeof *set);
    if (!set)
        return sk_fail(err, SPHKV_ENOMEM, "out of memory");
    size_t faults = 0;
    sk_status st = open_all(set, user_path, system_dir, flags, &faults, err);
    if (st != SPHKV_OK) {
        sk_db_set_close(set);
        return st;
    }
    size_t length = strlen(set->warning);
    if (faults > 1)
        snprintf(set->warning + length, sizeof set->warning - length, " (and %zu more)",
                 faults - 1);
    *out = set;
    return SPHKV_OK;
}

void sk_db_set_close(sk_db_set *set)
{
    if (!set)
        return;
    sk_db_close(set->user);
    for (size_t i = 0; i < set->system_count; i++)
        sk_db_close(set->system[i]);
    sk_free(set->system);
    sk_free(set);
}
