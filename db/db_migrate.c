/* db_migrate.c - the list of schema versions, and the way from any of them to
 * the present one.
 *
 * user_version counts the migrations that a file has seen. Each one is plain
 * SQL text, run with the version's new number in one transaction, so a file is
 * either of the old version or of the new one. The list is a parameter: tests
 * bring a future one. */
#include <stdio.h>

#include "db_impl.h"

/* 1: db/schema.sql, turned into numbers by the build. */
static const char schema_1[] = {
#include "schema_sql.inc"
};

/* 2: db/schema_2.sql. */
static const char schema_2[] = {
#include "schema_2_sql.inc"
};

/* 3: db/schema_3.sql. */
static const char schema_3[] = {
#include "schema_3_sql.inc"
};

static const char *const migration_sql[] = {schema_1, schema_2, schema_3};
const sk_migrations sk_db_migrations = {migration_sql, (int)SK_COUNT(migration_sql)};

static sk_status execute(sk_db *db, const char *sql, const char *doing, sk_err *err)
{
    int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? SPHKV_OK : sk_db_fail(db, rc, err, doing);
}

sk_status sk_db_pragma_int(sk_db *db, const char *sql, int64_t *value, sk_err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db->handle, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        *value = sqlite3_column_int64(stmt, 0);
    sk_status st = rc == SQLITE_ROW ? SPHKV_OK
                                    : sk_db_fail(db, rc == SQLITE_DONE ? SQLITE_CORRUPT : rc, err,
                                                 "reading its header");
    sqlite3_finalize(stmt);
    return st;
}

static sk_status migrate_one(sk_db *db, const sk_migrations *migrations, int version, sk_err *err)
{
    char sql[96];
    snprintf(sql, sizeof sql, "PRAGMA application_id=%d; PRAGMA user_version=%d",
             SK_DB_APPLICATION_ID, version + 1);
    sk_status st = execute(db, migrations->sql[version], "bringing it up to date", err);
    return st == SPHKV_OK ? execute(db, sql, "bringing it up to date", err) : st;
}

sk_status sk_db_migrate(sk_db *db, const sk_migrations *migrations, sk_err *err)
{
    for (;;) {
        sk_status st = execute(db, "BEGIN IMMEDIATE", "waiting to write", err);
        if (st != SPHKV_OK)
            return st;
        /* Read again under the lock: another process may have migrated. */
        int64_t version = 0;
        st = sk_db_pragma_int(db, "PRAGMA user_version", &version, err);
        bool done = st == SPHKV_OK && version >= migrations->count;
        if (st == SPHKV_OK && !done)
            st = migrate_one(db, migrations, (int)version, err);
        if (st == SPHKV_OK)
            st = execute(db, "COMMIT", "committing", err);
        if (st != SPHKV_OK && !sqlite3_get_autocommit(db->handle))
            sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
        if (st != SPHKV_OK || done)
            return st;
    }
}
