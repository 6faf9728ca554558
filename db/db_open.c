/* db_open.c - opening a database, ours or a stranger's.
 *
 * Every file is treated as untrusted: a shipped database comes from somebody
 * else, and one's own may have been damaged. Order matters: connection limits
 * first, then the magic numbers, then quick_check, and only then is anything
 * written (migrations). A file that fails is never changed.
 *
 * One handle, one lock: SQLite's own mutexes are off (NOMUTEX), because the
 * prepared statements of a handle are shared and need a lock around bind, step
 * and reset anyway. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "db_impl.h"

#define BUSY_TIMEOUT_MS 10000

/* A read-only handle reads tables, and nothing else. */
static int only_reading(void *user, int action, const char *a, const char *b, const char *c,
                        const char *d)
{
    (void)user, (void)a, (void)b, (void)c, (void)d;
    return action == SQLITE_SELECT || action == SQLITE_READ ? SQLITE_OK : SQLITE_DENY;
}

/* "file:PATH?mode=ro&immutable=1", with the characters that mean something in
 * a URI escaped. */
static char *read_only_uri(const char *path, bool immutable)
{
    sk_text text = {0};
    sk_text_printf(&text, path[0] == '/' ? "file://" : "file:");
    for (const char *p = path; *p; p++) {
        if (*p == '%' || *p == '?' || *p == '#')
            sk_text_printf(&text, "%%%02X", (unsigned)(unsigned char)*p);
        else
            sk_text_append(&text, p, 1);
    }
    sk_text_printf(&text, "?mode=ro%s", immutable ? "&immutable=1" : "");
    if (text.failed) {
        sk_text_free(&text);
        return NULL;
    }
    return text.s;
}

/* Some builds of SQLite take "file:..." for a URI even when they are not asked to,
 * and with it whatever options a name may hold: here it is a file like others. */
static char *plain_name(const char *path)
{
    sk_text text = {0};
    sk_text_printf(&text, "%s%s", strncmp(path, "file:", 5) == 0 ? "./" : "", path);
    if (text.failed) {
        sk_text_free(&text);
        return NULL;
    }
    return text.s;
}

static sk_status connect(sk_db *db, uint32_t flags, sk_err *err)
{
    int how = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int rc;
    if (db->read_only) {
        char *uri = read_only_uri(db->path, (flags & SK_DB_IMMUTABLE) != 0);
        if (!uri)
            return sk_fail(err, SPHKV_ENOMEM, "out of memory");
        rc = sqlite3_open_v2(uri, &db->handle, how | SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
        sk_free(uri);
    } else {
        char *name = plain_name(db->path);
        if (!name)
            return sk_fail(err, SPHKV_ENOMEM, "out of memory");
        if (flags & SK_DB_CREATE)
            how |= SQLITE_OPEN_CREATE;
        rc = sqlite3_open_v2(name, &db->handle, how | SQLITE_OPEN_READWRITE, NULL);
        sk_free(name);
    }
    if (rc != SQLITE_OK)
        return sk_db_fail(db, rc, err, "opening it");
    /* SQLite opens a file it may not write for reading, without a word. */
    if (!db->read_only && sqlite3_db_readonly(db->handle, "main") == 1)
        return sk_fail(err, SPHKV_EIO, "%s: not writable", db->path);
    return SPHKV_OK;
}

static sk_status harden(sk_db *db, sk_err *err)
{
    static const struct {
        int option, value;
    } config[] = {
        {SQLITE_DBCONFIG_DEFENSIVE, 1},
        {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
        {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
        {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
        {SQLITE_DBCONFIG_DQS_DML, 0},
        {SQLITE_DBCONFIG_DQS_DDL, 0},
        {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
    };
    static const struct {
        int id, value;
    } limit[] = {
        {SQLITE_LIMIT_LENGTH, 256 << 20},
        {SQLITE_LIMIT_SQL_LENGTH, 100000},
        {SQLITE_LIMIT_COLUMN, 100},
        {SQLITE_LIMIT_EXPR_DEPTH, 30},
        {SQLITE_LIMIT_COMPOUND_SELECT, 3},
        {SQLITE_LIMIT_VDBE_OP, 25000},
        {SQLITE_LIMIT_FUNCTION_ARG, 8},
        {SQLITE_LIMIT_ATTACHED, 0},
        {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50},
        {SQLITE_LIMIT_VARIABLE_NUMBER, 40},
        {SQLITE_LIMIT_TRIGGER_DEPTH, 10},
        {SQLITE_LIMIT_WORKER_THREADS, 0},
    };
    for (size_t i = 0; i < SK_COUNT(config); i++)
        sqlite3_db_config(db->handle, config[i].option, config[i].value, NULL);
    for (size_t i = 0; i < SK_COUNT(limit); i++)
        sqlite3_limit(db->handle, limit[i].id, limit[i].value);
    sqlite3_busy_timeout(db->handle, BUSY_TIMEOUT_MS);
    int rc = sqlite3_exec(db->handle,
                          "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0;"
                          "PRAGMA foreign_keys=ON; PRAGMA synchronous=FULL",
                          NULL, NULL, NULL);
    if (rc == SQLITE_OK && db->read_only)
        rc = sqlite3_exec(db->handle, "PRAGMA query_only=ON", NULL, NULL, NULL);
    return rc == SQLITE_OK ? SPHKV_OK : sk_db_fail(db, rc, err, "opening it");
}

/* *fresh: nothing in it yet. */
static sk_status check_header(sk_db *db, const sk_migrations *migrations, bool *fresh, sk_err *err)
{
    int64_t id = 0, version = 0, objects = 0;
    /* One transaction: another process may be creating the file. */
    int rc = sqlite3_exec(db->handle, "BEGIN", NULL, NULL, NULL);
    sk_status st = rc == SQLITE_OK ? sk_db_pragma_int(db, "PRAGMA application_id", &id, err)
                                   : sk_db_fail(db, rc, err, "reading its header");
    if (st == SPHKV_OK)
        st = sk_db_pragma_int(db, "PRAGMA user_version", &version, err);
    if (st == SPHKV_OK)
        st = sk_db_pragma_int(db, "SELECT count(*) FROM sqlite_schema", &objects, err);
    rc = sqlite3_exec(db->handle, "COMMIT", NULL, NULL, NULL);
    if (st == SPHKV_OK && rc != SQLITE_OK)
        st = sk_db_fail(db, rc, err, "reading its header");
    if (st != SPHKV_OK)
        return st;
    *fresh = id == 0 && version == 0 && objects == 0;
    if (*fresh && !db->read_only)
        return SPHKV_OK;
    if (*fresh)
        return sk_fail(err, SPHKV_EDB, "%s: empty, not a kernel database; name another file",
                       db->path);
    if (id != SK_DB_APPLICATION_ID)
        return sk_fail(err, SPHKV_EDB, "%s: a database of another program; name another file",
                       db->path);
    if (version > migrations->count)
        return sk_fail(err, SPHKV_EDB,
                       "%s: version %" PRId64 " is newer than this program knows (%d); update "
                       "sphkv or name another file",
                       db->path, version, migrations->count);
    if (version < 1)
        return sk_fail(err, SPHKV_EDB,
                       "%s: damaged (version %" PRId64 "); move it away and tune "
                       "again",
                       db->path, version);
    if (version < migrations->count && db->read_only)
        return sk_fail(err, SPHKV_EDB,
                       "%s: version %" PRId64 " is older than this program reads (%d); open it "
                       "once for writing",
                       db->path, version, migrations->count);
    return SPHKV_OK;
}

static sk_status quick_check(sk_db *db, sk_err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db->handle, "PRAGMA quick_check(1)", -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    sk_status st = SPHKV_OK;
    if (rc != SQLITE_ROW) {
        st = sk_db_fail(db, rc == SQLITE_DONE ? SQLITE_CORRUPT : rc, err, "checking it");
    } else {
        const char *answer = (const char *)sqlite3_column_text(stmt, 0);
        if (!answer || strcmp(answer, "ok") != 0)
            st = sk_fail(err, SPHKV_EDB, "%s: damaged (%.200s); move it away and tune again",
                         db->path, answer ? answer : "no answer");
    }
    sqlite3_finalize(stmt);
    return st;
}

static sk_status open_checked(sk_db *db, uint32_t flags, const sk_migrations *migrations,
                              sk_err *err)
{
    bool fresh = false;
    sk_status st = connect(db, flags, err);
    if (st == SPHKV_OK)
        st = harden(db, err);
    if (st == SPHKV_OK)
        st = check_header(db, migrations, &fresh, err);
    if (st == SPHKV_OK && !fresh)
        st = quick_check(db, err);
    if (st == SPHKV_OK && !db->read_only) {
        int64_t mode_row;
        /* Also turns a file that somebody put into WAL mode back. */
        st = sk_db_pragma_int(db, "PRAGMA journal_mode=DELETE", &mode_row, err);
        if (st == SPHKV_OK)
            st = sk_db_migrate(db, migrations, err);
    }
    if (st == SPHKV_OK && db->read_only)
        sqlite3_set_authorizer(db->handle, only_reading, NULL);
    return st;
}

sk_status sk_db_open_with(const char *path, uint32_t flags, const sk_migrations *migrations,
                          sk_db **out, sk_err *err)
{
    *out = NULL;
    if (!path || !*path)
        return sk_fail(err, SPHKV_EINVAL, "no path for the database");
    bool memory = strcmp(path, ":memory:") == 0;
    bool read_only = (flags & (SK_DB_READ_ONLY | SK_DB_IMMUTABLE)) != 0;
    if (!memory && (read_only || !(flags & SK_DB_CREATE)) && access(path, F_OK) != 0 &&
        errno == ENOENT)
        return sk_fail(err, SPHKV_ENOTFOUND, "%s: there is no such database", path);
    struct stat facts;
    if (!memory && stat(path, &facts) == 0 && S_ISDIR(facts.st_mode))
        return sk_fail(err, SPHKV_EIO, "%s: a folder, not a kernel database; name a file", path);
    if (!memory && !read_only) {
        sk_status st = sk_db_place_prepare(path, (flags & SK_DB_CREATE) != 0, err);
        if (st != SPHKV_OK)
            return st;
    }
    sk_db *db = sk_calloc(1, sizeof *db);
    if (!db)
        return sk_fail(err, SPHKV_ENOMEM, "out of memory");
    db->read_only = read_only;
    db->path = sk_strdup(path);
    if (!db->path || pthread_mutex_init(&db->lock, NULL) != 0) {
        sk_free(db->path);
        sk_free(db);
        return sk_fail(err, SPHKV_ENOMEM, "out of memory");
    }
    sk_status st = open_checked(db, flags, migrations, err);
    if (st != SPHKV_OK) {
        sk_db_close(db);
        return st;
    }
    *out = db;
    return SPHKV_OK;
}

sk_status sk_db_open(const char *path, uint32_t flags, sk_db **out, sk_err *err)
{
    return sk_db_open_with(path, flags, &sk_db_migrations, out, err);
}

void sk_db_close(sk_db *db)
{
    if (!db)
        return;
    for (int i = 0; i < SK_STMT_COUNT; i++)
        sqlite3_finalize(db->stmt[i]);
    sqlite3_close(db->handle);
    pthread_mutex_destroy(&db->lock);
    sk_free(db->path);
    sk_free(db);
}

const char *sk_db_path(const sk_db *db) { return db->path; }

bool sk_db_is_read_only(const sk_db *db) { return db->read_only; }
