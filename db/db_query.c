/* db_query.c - prepared statements, transactions, and what SQLite's result
 * codes mean to a user.
 *
 * Every value is bound, no SQL text is ever put together from data. The query
 * object carries the first failure, so that a function that binds ten values
 * checks once, at the end. Texts are bound without a copy: the caller's
 * memory outlives the step, and ending a query clears its bindings. */
#include <math.h>
#include <string.h>

#include "db_impl.h"

sk_status sk_db_fail(sk_db *db, int rc, sk_err *err, const char *doing)
{
    const char *path = db->path ? db->path : "database";
    const char *detail = db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(rc);
    switch (rc & 0xff) {
    case SQLITE_NOMEM:
        return sk_fail(err, SPHKV_ENOMEM, "%s: out of memory while %s", path, doing);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return sk_fail(err, SPHKV_EIO, "%s: another process held its lock for too long while %s",
                       path, doing);
    case SQLITE_CORRUPT:
        return sk_fail(err, SPHKV_EDB, "%s: damaged (%s); move it away and tune again", path,
                       detail);
    case SQLITE_NOTADB:
        return sk_fail(err, SPHKV_EDB, "%s: not a kernel database; name another file", path);
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
    case SQLITE_FULL:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return sk_fail(err, SPHKV_EIO, "%s: %s while %s", path, detail, doing);
    case SQLITE_CONSTRAINT:
    case SQLITE_TOOBIG:
    case SQLITE_RANGE:
        return sk_fail(err, SPHKV_EINVAL, "%s: %s while %s", path, detail, doing);
    default:
        return sk_fail(err, SPHKV_EDB, "%s: %s while %s; move it away and tune again", path, detail,
                       doing);
    }
}

sk_query sk_query_begin(sk_db *db, sk_stmt slot, const char *sql)
{
    sk_query q = {.db = db, .rc = SQLITE_OK};
    if (!db->stmt[slot])
        q.rc = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &db->stmt[slot],
                                  NULL);
    if (q.rc == SQLITE_OK)
        q.stmt = db->stmt[slot];
    return q;
}

void sk_query_text(sk_query *q, const char *text)
{
    if (q->rc == SQLITE_OK)
        q->rc = sqlite3_bind_text(q->stmt, ++q->param, text ? text : "", -1, SQLITE_STATIC);
}

void sk_query_text_or_null(sk_query *q, const char *text)
{
    if (q->rc == SQLITE_OK)
        q->rc = sqlite3_bind_text(q->stmt, ++q->param, text, -1, SQLITE_STATIC);
}

void sk_query_int(sk_query *q, int64_t value)
{
    if (q->rc == SQLITE_OK)
        q->rc = sqlite3_bind_int64(q->stmt, ++q->param, value);
}

void sk_query_int_or_null(sk_query *q, int64_t value)
{
    if (value)
        sk_query_int(q, value);
    else if (q->rc == SQLITE_OK)
        q->rc = sqlite3_bind_null(q->stmt, ++q->param);
}

void sk_query_real(sk_query *q, double value)
{
    if (q->rc == SQLITE_OK) /* SQLite turns NaN into NULL */
        q->rc = sqlite3_bind_double(q->stmt, ++q->param, value);
}

void sk_query_blob(sk_query *q, const void *bytes, size_t size)
{
    if (q->rc == SQLITE_OK)
        q->rc = sqlite3_bind_blob64(q->stmt, ++q->param, size ? bytes : "", size, SQLITE_STATIC);
}

bool sk_query_step(sk_query *q)
{
    if (q->rc != SQLITE_OK && q->rc != SQLITE_ROW)
        return false;
    q->rc = sqlite3_step(q->stmt);
    q->column = 0;
    return q->rc == SQLITE_ROW;
}

int64_t sk_row_int(sk_query *q) { return sqlite3_column_int64(q->stmt, q->column++); }

double sk_row_real(sk_query *q)
{
    int column = q->column++;
    if (sqlite3_column_type(q->stmt, column) == SQLITE_NULL)
        return (double)NAN;
    return sqlite3_column_double(q->stmt, column);
}

const char *sk_row_text(sk_query *q, sk_arena *mem)
{
    const char *text = (const char *)sqlite3_column_text(q->stmt, q->column++);
    char *copy = sk_arena_strdup(mem, text ? text : "");
    if (!copy) {
        q->rc = SQLITE_NOMEM;
        return "";
    }
    return copy;
}

void sk_row_text_into(sk_query *q, char *text, size_t size)
{
    const char *from = (const char *)sqlite3_column_text(q->stmt, q->column++);
    size_t length = from ? strlen(from) : 0;
    if (length >= size)
        length = size - 1;
    if (length)
        memcpy(text, from, length);
    text[length] = '\0';
}

const void *sk_row_blob(sk_query *q, sk_arena *mem, size_t *size)
{
    int column = q->column++;
    *size = 0;
    if (sqlite3_column_type(q->stmt, column) == SQLITE_NULL)
        return NULL;
    const void *bytes = sqlite3_column_blob(q->stmt, column);
    size_t length = (size_t)sqlite3_column_bytes(q->stmt, column);
    void *copy = sk_arena_alloc(mem, length ? length : 1);
    if (!copy || (length && !bytes)) {
        q->rc = SQLITE_NOMEM;
        return NULL;
    }
    if (length)
        memcpy(copy, bytes, length);
    *size = length;
    return copy;
}

sk_status sk_query_end(sk_query *q, const char *doing, sk_err *err)
{
    sk_status st = SPHKV_OK;
    if (q->rc != SQLITE_OK && q->rc != SQLITE_ROW && q->rc != SQLITE_DONE)
        st = sk_db_fail(q->db, q->rc, err, doing);
    if (q->stmt) {
        sqlite3_reset(q->stmt);
        sqlite3_clear_bindings(q->stmt);
    }
    return st;
}

static sk_status run(sk_db *db, sk_stmt slot, const char *sql, const char *doing, sk_err *err)
{
    sk_query q = sk_query_begin(db, slot, sql);
    sk_query_step(&q);
    return sk_query_end(&q, doing, err);
}

/* IMMEDIATE: two writers queue at the start, none fails half-way. */
sk_status sk_db_begin(sk_db *db, sk_err *err)
{
    return run(db, SK_STMT_BEGIN, "BEGIN IMMEDIATE", "waiting to write", err);
}

sk_status sk_db_finish(sk_db *db, sk_status st, sk_err *err)
{
    if (st == SPHKV_OK)
        st = run(db, SK_STMT_COMMIT, "COMMIT", "committing", err);
    if (st != SPHKV_OK && !sqlite3_get_autocommit(db->handle))
        run(db, SK_STMT_ROLLBACK, "ROLLBACK", "rolling back", NULL);
    return st;
}
