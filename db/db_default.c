/* db_default.c - verified default schedules: what runs when nothing was tuned.
 *
 * They depend on what code must match (kind and arch), not on one machine, and
 * on the IR: a changed generator makes a new row, and the old one is simply
 * not found any more. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "db_impl.h"

static sk_status write_default(sk_db *db, const sk_db_device *device, const char *kernel,
                               const char *spec, const char *schedule,
                               const sk_db_artifact *artifact, sk_err *err)
{
    char key[65];
    int64_t spec_id = 0, schedule_id = 0, artifact_id = 0;
    sk_status st = sk_db_spec_id(db, kernel, spec, &spec_id, err);
    if (st == SPHKV_OK)
        st = sk_db_schedule_id(db, schedule, &schedule_id, err);
    if (st == SPHKV_OK)
        st = sk_db_artifact_id(db, artifact, &artifact_id, key, err);
    if (st != SPHKV_OK)
        return st;
    sk_query q = sk_query_begin(
        db, SK_STMT_DEFAULT_PUT,
        "INSERT INTO default_code (kind, arch, spec_id, ir_hash, schedule_id, artifact_id,"
        " unix_time) VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (spec_id, ir_hash, kind, arch) DO UPDATE SET"
        " schedule_id = excluded.schedule_id, artifact_id = excluded.artifact_id,"
        " unix_time = excluded.unix_time");
    sk_query_text(&q, device->kind);
    sk_query_text(&q, device->arch);
    sk_query_int(&q, spec_id);
    sk_query_text(&q, artifact->ir_hash);
    sk_query_int(&q, schedule_id);
    sk_query_int(&q, artifact_id);
    sk_query_int(&q, (int64_t)time(NULL));
    sk_query_step(&q);
    return sk_query_end(&q, "storing a default kernel", err);
}

sk_status sk_db_default_put(sk_db_set *set, const sk_db_device *device, const char *kernel,
                            const char *spec, const char *schedule, const sk_db_artifact *artifact,
                            sk_err *err)
{
    if (!device || !kernel || !spec || !artifact->ir_hash || !*artifact->ir_hash)
        return sk_fail(err, SPHKV_EINVAL, "a default kernel needs device, spec and ir_hash");
    sk_db *db = set->user;
    sk_status st = sk_db_need_write(db, err);
    if (st != SPHKV_OK)
        return st;
    pthread_mutex_lock(&db->lock);
    st = sk_db_begin(db, err);
    if (st == SPHKV_OK)
        st =
            sk_db_finish(db, write_default(db, device, kernel, spec, schedule, artifact, err), err);
    pthread_mutex_unlock(&db->lock);
    return st;
}

/* ENOTFOUND without a row; EDB when the row does not pass its checks. */
static sk_status read_default(sk_db *db, const sk_db_device *device, const char *spec_key,
                              const char *ir_hash, sk_arena *mem, sk_db_artifact *out, sk_err *err)
{
    char key[65] = "";
    sk_query q = sk_query_begin(db, SK_STMT_DEFAULT_GET,
                                "SELECT " SK_ARTIFACT_COLUMNS
                                " FROM spec s JOIN default_code f ON f.spec_id = s.id"
                                " JOIN artifact a ON a.id = f.artifact_id WHERE s.key = ?"
                                " AND f.ir_hash = ? AND f.kind = ? AND f.arch = ?");
    sk_query_text(&q, spec_key);
    sk_query_text(&q, ir_hash);
    sk_query_text(&q, device->kind);
    sk_query_text(&q, device->arch);
    bool found = sk_query_step(&q);
    if (found)
        sk_row_artifact(&q, mem, key, out);
    sk_status st = sk_query_end(&q, "looking up a default kernel", err);
    if (st != SPHKV_OK)
        return st;
    if (!found || !out->bytes)
        return sk_fail(err, SPHKV_ENOTFOUND, SK_DB_NO_DEFAULT);
    const char *fault = sk_db_artifact_fault(key, out, ir_hash);
    if (fault)
        return sk_fail(err, SPHKV_EDB, "%s: a default kernel is %s", db->path, fault);
    return SPHKV_OK;
}

/* One kernel of another database; what is here and damaged is as good as absent. */
static sk_status merge_default(sk_db *db, const sk_db_device *device, const char *kernel,
                               const char *spec, const char *schedule, const sk_db_artifact *code,
                               sk_err *err)
{
    char spec_key[65], key[65], had[65] = "";
    sk_arena mem = {0};
    sk_db_artifact old;
    sk_err why = {0};
    sk_db_spec_key(kernel, spec, spec_key);
    sk_db_artifact_key(code, key);
    sk_status st = read_default(db, device, spec_key, code->ir_hash, &mem, &old, &why);
    if (st == SPHKV_OK)
        sk_db_artifact_key(&old, had);
    sk_arena_free(&mem);
    if (st != SPHKV_OK && st != SPHKV_ENOTFOUND && st != SPHKV_EDB)
        return sk_fail(err, st, "%s", why.message);
    return strcmp(key, had) > 0 ? write_default(db, device, kernel, spec, schedule, code, err)
                                : SPHKV_OK;
}

sk_status sk_db_defaults_merge(sk_db *into, sk_db *from, size_t *damaged, sk_err *err)
{
    sk_status st = SPHKV_OK;
    pthread_mutex_lock(&from->lock);
    sk_query q = sk_query_begin(from, SK_STMT_MERGE_DEFAULTS,
                                "SELECT f.kind, f.arch, s.kernel, s.text, c.text, f.ir_hash,"
                                " " SK_ARTIFACT_COLUMNS " FROM default_code f"
                                " JOIN spec s ON s.id = f.spec_id"
                                " JOIN artifact a ON a.id = f.artifact_id"
                                " JOIN schedule c ON c.id = f.schedule_id");
    while (st == SPHKV_OK && sk_query_step(&q)) {
        sk_arena mem = {0};
        sk_db_artifact code;
        char key[65];
        sk_db_device device = {.kind = sk_row_text(&q, &mem)};
        device.arch = sk_row_text(&q, &mem);
        const char *kernel = sk_row_text(&q, &mem), *spec = sk_row_text(&q, &mem);
        const char *schedule = sk_row_text(&q, &mem), *ir_hash = sk_row_text(&q, &mem);
        sk_row_artifact(&q, &mem, key, &code);
        const bool read = q.rc == SQLITE_ROW;
        const bool good = read && code.bytes && !sk_db_artifact_fault(key, &code, ir_hash);
        if (good)
            st = merge_default(into, &device, kernel, spec, schedule, &code, err);
        *damaged += read && !good;
        sk_arena_free(&mem);
    }
    sk_status read = sk_query_end(&q, "listing default kernels", st == SPHKV_OK ? err : NULL);
    pthread_mutex_unlock(&from->lock);
    return st == SPHKV_OK ? read : st;
}

sk_status sk_db_default_get(sk_db_set *set, const sk_db_device *device, const char *kernel,
                            const char *spec, const char *ir_hash, sk_arena *mem,
                            sk_db_artifact *out, sk_err *err)
{
    if (!device || !kernel || !spec || !ir_hash)
        return sk_fail(err, SPHKV_EINVAL, "a default kernel needs device, spec and ir_hash");
    char spec_key[65];
    sk_db_spec_key(kernel, spec, spec_key);
    sk_err first = {0};
    for (size_t place = 0; place <= set->system_count; place++) {
        sk_db *db = place == 0 ? set->user : set->system[place - 1];
        sk_err local = {0};
        pthread_mutex_lock(&db->lock);
        sk_status st = read_default(db, device, spec_key, ir_hash, mem, out, &local);
        pthread_mutex_unlock(&db->lock);
        if (st == SPHKV_OK)
            return st;
        if (st == SPHKV_ENOMEM)
            return sk_fail(err, st, "%s", local.message);
        if (st != SPHKV_ENOTFOUND && first.status == SPHKV_OK)
            first = local;
    }
    memset(out, 0, sizeof *out);
    return sk_fail(err, SPHKV_ENOTFOUND, "%s", first.status ? first.message : SK_DB_NO_DEFAULT);
}
