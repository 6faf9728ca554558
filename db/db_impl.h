/* db_impl.h - what the files of db/ share and nobody else sees: the handle,
 * queries, transactions, keys and row readers.
 *
 * Functions here expect the handle's lock to be held; the public ones of db.h
 * take it. A statement is prepared once per handle (its slot) and reset after
 * every use, so a look-up costs microseconds. */
#ifndef SK_DB_IMPL_H
#define SK_DB_IMPL_H

#include <pthread.h>
#include <sqlite3.h>

#include "db.h"

typedef enum sk_stmt {
    SK_STMT_BEGIN, SK_STMT_COMMIT, SK_STMT_ROLLBACK,
    SK_STMT_DEVICE_FIND, SK_STMT_DEVICE_ADD, SK_STMT_SPEC_FIND, SK_STMT_SPEC_ADD,
    SK_STMT_SHAPE_FIND, SK_STMT_SHAPE_ADD, SK_STMT_SCHEDULE_FIND, SK_STMT_SCHEDULE_ADD,
    SK_STMT_ARTIFACT_ADD,
    SK_STMT_TRIAL_PUT, SK_STMT_TRIAL_LINK, SK_STMT_TRIAL_RETIRE, SK_STMT_WINNER_PUT, SK_STMT_DEFAULT_PUT,
    SK_STMT_TRIAL_FIND, SK_STMT_TRIAL_ARTIFACT, SK_STMT_TRIALS, SK_STMT_WINNERS,
    SK_STMT_BEST_LIST, SK_STMT_BEST_LOAD, SK_STMT_DEFAULT_GET,
    SK_STMT_MERGE_DEVICE, SK_STMT_MERGE_DROP, SK_STMT_MERGE_DEFAULTS,
    SK_STMT_COUNT
} sk_stmt;

struct sk_db {
    sqlite3 *handle;
    char *path;
    bool read_only;
    pthread_mutex_t lock;               /* one user of the handle at a time */
    sqlite3_stmt *stmt[SK_STMT_COUNT];  /* NULL until first used */
};

/* ---- migrations (db_migrate.c) ------------------------------------------- */

/* sql[i] takes a database from version i to i + 1. */
typedef struct sk_migrations {
    const char *const *sql;
    int count; /* = the present version */
} sk_migrations;
extern const sk_migrations sk_db_migrations;
/* sk_db_open for a given list: tests bring their own future. */
sk_status sk_db_open_with(const char *path, uint32_t flags, const sk_migrations *migrations,
                          sk_db **out, sk_err *err);
/* In one transaction; another process may have been faster. */
sk_status sk_db_migrate(sk_db *db, const sk_migrations *migrations, sk_err *err);
sk_status sk_db_pragma_int(sk_db *db, const char *sql, int64_t *value, sk_err *err);

/* ---- places (db_path.c) ---------------------------------------------------- */

/* Makes the folders above path; refuses places where SQLite cannot be trusted
 * (network file systems) and folders that cannot be written. */
sk_status sk_db_place_prepare(const char *path, bool create, sk_err *err);

/* ---- queries (db_query.c) -------------------------------------------------- */

/* The status and message for an SQLite result code. */
sk_status sk_db_fail(sk_db *db, int rc, sk_err *err, const char *doing);

typedef struct sk_query {
    sk_db *db;
    sqlite3_stmt *stmt;
    int rc;     /* the first failure sticks; else the last step's answer */
    int param;  /* parameters bound so far */
    int column; /* columns read so far, of this row */
} sk_query;

/* Begin, bind in order, step while true, read columns in order, end. After a
 * failure everything but end does nothing. */
sk_query sk_query_begin(sk_db *db, sk_stmt slot, const char *sql);
void sk_query_text(sk_query *q, const char *text); /* NULL = "" */
void sk_query_text_or_null(sk_query *q, const char *text);
void sk_query_int(sk_query *q, int64_t value);
void sk_query_int_or_null(sk_query *q, int64_t value); /* 0 = NULL */
void sk_query_real(sk_query *q, double value);
void sk_query_blob(sk_query *q, const void *bytes, size_t size); /* NULL, 0 = empty */
bool sk_query_step(sk_query *q);
int64_t sk_row_int(sk_query *q);
double sk_row_real(sk_query *q);
const char *sk_row_text(sk_query *q, sk_arena *mem);
void sk_row_text_into(sk_query *q, char *text, size_t size); /* cut to fit */
const void *sk_row_blob(sk_query *q, sk_arena *mem, size_t *size); /* NULL for NULL */
sk_status sk_query_end(sk_query *q, const char *doing, sk_err *err);

sk_status sk_db_begin(sk_db *db, sk_err *err);
/* Commits when st is SPHKV_OK, else rolls back; returns what came of it. */
sk_status sk_db_finish(sk_db *db, sk_status st, sk_err *err);

/* ---- keys (db_key.c) -------------------------------------------------------- */

void sk_db_device_key(const sk_db_device *device, char hex[65]);
void sk_db_spec_key(const char *kernel, const char *spec, char hex[65]);

/* ---- rows (db_read.c) --------------------------------------------------------- */

#define SK_TRIAL_COLUMNS                                                                          \
    "t.id, t.key, d.kind, d.name, d.arch, d.fingerprint, d.toolchain, s.kernel, s.text,"          \
    " h.batch, h.context, h.kv_heads, h.q_heads, h.q_len, h.threads, c.text, t.ir_hash,"          \
    " t.accuracy, t.run_kind, t.outcome, t.message, t.samples, t.baseline, t.median_us, t.error," \
    " t.error_kind, t.bytes, t.bandwidth_gbps, t.roofline, t.seed, t.tool_version,"               \
    " t.compiler_version, t.driver_version, t.unix_time, t.seconds, t.run_id, a.key,"              \
    " t.compiler, t.base"
#define SK_TRIAL_JOINS                                                                      \
    " JOIN device d ON d.id = t.device_id JOIN spec s ON s.id = t.spec_id"                  \
    " JOIN shape h ON h.id = t.shape_id JOIN schedule c ON c.id = t.schedule_id"            \
    " LEFT JOIN artifact a ON a.id = t.artifact_id"
void sk_row_trial(sk_query *q, sk_arena *mem, sk_db_trial *out);

#define SK_ARTIFACT_COLUMNS \
    "a.key, a.kind, a.entries, a.launch, a.ir_hash, a.format_version, a.args_version, a.bytes"
/* key: as stored, "" when the LEFT JOIN found none. */
void sk_row_artifact(sk_query *q, sk_arena *mem, char key[65], sk_db_artifact *out);

/* Why the record cannot be used, or NULL. key "" and bytes NULL are a recipe,
 * which is fine. The text is constant. */
const char *sk_db_artifact_fault(const char key[65], const sk_db_artifact *artifact,
                                 const char *ir_hash);
const char *sk_db_trial_fault(const sk_db_trial *trial);

/* Reading with the lock held, as the public ones do without. */
sk_status sk_db_trial_read(sk_db *db, const char hash[65], sk_arena *mem, sk_db_trial *out,
                           sk_err *err);
sk_status sk_db_code_read(sk_db *db, int64_t trial_id, sk_arena *mem, sk_db_artifact *out,
                          sk_err *err);
sk_status sk_db_trials_read(sk_db *db, const sk_db_filter *filter, sk_arena *mem,
                            sk_db_trial **out, size_t *count, sk_err *err);

/* Writing within a transaction (db_put.c, db_default.c). */
sk_status sk_db_trial_write(sk_db *db, const sk_db_trial *trial, int64_t *id, sk_err *err);
sk_status sk_db_link_write(sk_db *db, int64_t trial_id, const sk_db_artifact *artifact,
                           sk_err *err);
sk_status sk_db_winner_write(sk_db *db, const sk_db_winner *winner, int64_t *id, sk_err *err);

/* Default kernels of another database into one (db_default.c); of two for one place the
 * greater key stays. damaged: counts those left out. */
sk_status sk_db_defaults_merge(sk_db *into, sk_db *from, size_t *damaged, sk_err *err);

/* One column more than an id: ids of rows of the side tables (db_put.c). */
sk_status sk_db_spec_id(sk_db *db, const char *kernel, const char *spec, int64_t *id, sk_err *err);
sk_status sk_db_schedule_id(sk_db *db, const char *schedule, int64_t *id, sk_err *err);
sk_status sk_db_artifact_id(sk_db *db, const sk_db_artifact *artifact, int64_t *id, char key[65],
                            sk_err *err);
sk_status sk_db_need_write(const sk_db *db, sk_err *err);

#endif
