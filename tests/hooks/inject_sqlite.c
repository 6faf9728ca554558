/* inject_sqlite.c - see inject.h: SQLite with an allocator that fails on demand,
 * and with a file layer (a VFS over the system's own) whose writes do. */
#include "inject.h"

#include <signal.h>
#include <stdlib.h>

#include "db_impl.h"

static bool installed; /* what SQLite allocates for that is not counted */

/* ---- memory ------------------------------------------------------------------ */

static sqlite3_mem_methods real_memory;

static void *hooked_malloc(int bytes)
{
    return installed && sk_inject_hit(SK_INJECT_SQL_ALLOC) ? NULL : real_memory.xMalloc(bytes);
}

static void *hooked_realloc(void *old, int bytes)
{
    return installed && sk_inject_hit(SK_INJECT_SQL_ALLOC) ? NULL : real_memory.xRealloc(old, bytes);
}

/* ---- files ------------------------------------------------------------------- */

/* An open file: ours in front, the system's behind it. */
typedef struct file {
    sqlite3_file base;
    sqlite3_file *real; /* what lies behind this struct */
} file;

static sqlite3_vfs *system_vfs;

static sqlite3_file *real_of(sqlite3_file *f)
{
    return ((file *)f)->real;
}

/* SQLITE_OK: go on. `half` does the half of the work that a full disk lets pass. */
static int may_fail(int ioerr, int (*half)(sqlite3_file *, const void *, int, sqlite3_int64),
                    sqlite3_file *f, const void *data, int bytes, sqlite3_int64 at)
{
    if (!sk_inject_hit(SK_INJECT_WRITE)) return SQLITE_OK;
    sk_inject_how how = sk_inject_manner();
    if (how != SK_INJECT_IOERR && half && bytes > 1) (void)half(f, data, bytes / 2, at);
    if (how == SK_INJECT_KILL) raise(SIGKILL);
    return how == SK_INJECT_FULL ? SQLITE_FULL : ioerr;
}

static int file_close(sqlite3_file *f)
{
    sqlite3_file *real = real_of(f);
    return real->pMethods->xClose(real);
}

static int file_read(sqlite3_file *f, void *data, int bytes, sqlite3_int64 at)
{
    sqlite3_file *real = real_of(f);
    return real->pMethods->xRead(real, data, bytes, at);
}

static int file_write(sqlite3_file *f, const void *data, int bytes, sqlite3_int64 at)
{
    sqlite3_file *real = real_of(f);
    int rc = may_fail(SQLITE_IOERR_WRITE, real->pMethods->xWrite, real, data, bytes, at);
    return rc == SQLITE_OK ? real->pMethods->xWrite(real, data, bytes, at) : rc;
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    sqlite3_file *real = real_of(f);
    int rc = may_fail(SQLITE_IOERR_TRUNCATE, NULL, NULL, NULL, 0, 0);
    return rc == SQLITE_OK ? real->pMethods->xTruncate(real, size) : rc;
}

static int file_sync(sqlite3_file *f, int flags)
{
    sqlite3_file *real = real_of(f);
    int rc = may_fail(SQLITE_IOERR_FSYNC, NULL, NULL, NULL, 0, 0);
    return rc == SQLITE_OK ? real->pMethods->xSync(real, flags) : rc;
}

static int file_size(sqlite3_file *f, sqlite3_int64 *size)
{
    sqlite3_file *real = real_of(f);
    return real->pMethods->xFileSize(real, size);
}

static int file_lock(sqlite3_file *f, int level)
{
    sqlite3_file *real = real_of(f);
    return real->pMethods->xLock(real, level);
}

static int file_unlock(sqlite3_file *f, int level)
{
    sqlite3_file *real = real_of(f);
    return real->pMethods->xUnlock(real, level);
}

static int file_reserved(sqlite3_file *f, int *held)
{
    sqlite3_file *real = real_of(f);
    return real->pMethods->xCheckReservedLock(real, held);
}

static int file_control(sqlite3_file *f, int op, void *arg)
{
    sqlite3_file *real = real_of(f);
    return real->pMethods->xFileControl(real, op, arg);
}

static int file_sector(sqlite3_file *f)
{
    sqlite3_file *real = real_of(f);
    return real->pMethods->xSectorSize(real);
}

static int file_traits(sqlite3_file *f)
{
    sqlite3_file *real = real_of(f);
    return real->pMethods->xDeviceCharacteristics(real);
}

/* Version 1: no shared memory, no mapping, so every byte passes here. */
static const sqlite3_io_methods methods = {
    1,         file_close,  file_read, file_write,    file_truncate, file_sync,   file_size,
    file_lock, file_unlock, file_reserved, file_control, file_sector, file_traits, NULL,
    NULL,      NULL,        NULL,      NULL,          NULL,
};

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
    (void)vfs;
    file *mine = (file *)f;
    mine->base.pMethods = NULL;
    mine->real = (sqlite3_file *)(mine + 1);
    if (flags & SQLITE_OPEN_CREATE) {
        int rc = may_fail(SQLITE_CANTOPEN, NULL, NULL, NULL, 0, 0);
        if (rc != SQLITE_OK) return rc;
    }
    int rc = system_vfs->xOpen(system_vfs, name, mine->real, flags, out);
    if (mine->real->pMethods) mine->base.pMethods = &methods;
    return rc;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    (void)vfs;
    int rc = may_fail(SQLITE_IOERR_DELETE, NULL, NULL, NULL, 0, 0);
    return rc == SQLITE_OK ? system_vfs->xDelete(system_vfs, name, sync) : rc;
}

/* Before main, and before anything has opened a database. */
__attribute__((constructor)) static void install(void)
{
    static sqlite3_mem_methods memory;
    static sqlite3_vfs vfs;
    if (!getenv(SK_INJECT_VARIABLE)) return;
    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory) != SQLITE_OK) abort();
    memory = real_memory;
    memory.xMalloc = hooked_malloc;
    memory.xRealloc = hooked_realloc;
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &memory) != SQLITE_OK) abort();
    system_vfs = sqlite3_vfs_find(NULL);
    vfs = *system_vfs;
    vfs.zName = "hooked";
    vfs.szOsFile = system_vfs->szOsFile + (int)sizeof(file);
    vfs.xOpen = vfs_open;
    vfs.xDelete = vfs_delete;
    if (sqlite3_vfs_register(&vfs, 1) != SQLITE_OK) abort();
    installed = true;
}
