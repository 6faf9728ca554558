/* db_put.c - everything that writes.
 *
 * One put is one IMMEDIATE transaction: rows of the side tables (device, spec,
 * shape, schedule, artifact) are found or added, then the record itself is
 * inserted or replaced by its natural key. Rolling back on any failure keeps
 * "a failed put changed nothing" true. */
#include <string.h>
#include <time.h>

#include "db_impl.h"

sk_status sk_db_need_write(const sk_db *db, sk_err *err)
{
    if (db->read_only)
        return sk_fail(err, SPHKV_EIO, "%s: opened for reading only", db->path);
    return SPHKV_OK;
}

/* Ends a query that answers with one id; *id stays 0 when there was no row. */
static sk_status take_id(sk_query *q, int64_t *id, const char *doing, sk_err *err)
{
    *id = 0;
    if (sk_query_step(q))
        *id = sk_row_int(q);
    return sk_query_end(q, doing, err);
}

static sk_status device_id(sk_db *db, const sk_db_device *device, int64_t *id, sk_err *err)
{
    char key[65];
    sk_db_device_key(device, key);
    sk_query q = sk_query_begin(db, SK_STMT_DEVICE_FIND, "SELECT id FROM device WHERE key = ?");
    sk_query_text(&q, key);
    sk_status st = take_id(&q, id, "looking up a device", err);
    if (st != SPHKV_OK || *id)
        return st;
    q = sk_query_begin(db, SK_STMT_DEVICE_ADD,
                       "INSERT INTO device (key, kind, name, arch, fingerprint, toolchain)"
                       " VALUES (?, ?, ?, ?, ?, ?) RETURNING id");
    sk_query_text(&q, key);
    sk_query_text(&q, device->kind);
    sk_query_text(&q, device->name);
    sk_query_text(&q, device->arch);
    sk_query_text(&q, device->fingerprint);
    sk_query_text(&q, device->toolchain);
    return take_id(&q, id, "storing a device", err);
}

sk_status sk_db_spec_id(sk_db *db, const char *kernel, const char *spec, int64_t *id, sk_err *err)
{
    char key[65];
    sk_db_spec_key(kernel, spec, key);
    sk_query q = sk_query_begin(db, SK_STMT_SPEC_FIND, "SELECT id FROM spec WHERE key = ?");
    sk_query_text(&q, key);
    sk_status st = take_id(&q, id, "looking up a spec", err);
    if (st != SPHKV_OK || *id)
        return st;
    q = sk_query_begin(db, SK_STMT_SPEC_ADD,
                       "INSERT INTO spec (key, kernel, text) VALUES (?, ?, ?) RETURNING id");
    sk_query_text(&q, key);
    sk_query_text(&q, kernel);
    sk_query_text(&q, spec);
    return take_id(&q, id, "storing a spec", err);
}

static sk_status shape_id(sk_db *db, const sk_db_shape *shape, int64_t *id, sk_err *err)
{
    char text[SK_DB_SHAPE_TEXT];
    sk_db_shape_text(shape, text);
    sk_query q = sk_query_begin(db, SK_STMT_SHAPE_FIND, "SELECT id FROM shape WHERE text = ?");
    sk_query_text(&q, text);
    sk_status st = take_id(&q, id, "looking up a shape", err);
    if (st != SPHKV_OK || *id)
        return st;
    q = sk_query_begin(db, SK_STMT_SHAPE_ADD,
                       "INSERT INTO shape (text, batch, context, kv_heads, q_heads, q_len, threads)"
                       " VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id");
    sk_query_text(&q, text);
    sk_query_int(&q, shape->batch);
    sk_query_int(&q, shape->context);
    sk_query_int(&q, shape->kv_heads);
    sk_query_int(&q, shape->q_heads);
    sk_query_int(&q, shape->q_len ? shape->q_len : 1);
    sk_query_int(&q, shape->threads);
    return take_id(&q, id, "storing a shape", err);
}

sk_status sk_db_schedule_id(sk_db *db, const char *schedule, int64_t *id, sk_err *err)
{
    sk_query q =
        sk_query_begin(db, SK_STMT_SCHEDULE_FIND, "SELECT id FROM schedule WHERE text = ?");
    sk_query_text(&q, schedule);
    sk_status st = take_id(&q, id, "looking up a schedule", err);
    if (st != SPHKV_OK || *id)
        return st;
    q = sk_query_begin(db, SK_STMT_SCHEDULE_ADD,
                       "INSERT INTO schedule (text) VALUES (?) RETURNING id");
    sk_query_text(&q, schedule);
    return take_id(&q, id, "storing a schedule", err);
}

/* The same content is stored once. It is written even when its key is there
 * already: should the stored row be damaged, a put heals it. */
sk_status sk_db_artifact_id(sk_db *db, const sk_db_artifact *artifact, int64_t *id, char key[65],
                            sk_err *err)
{
    if (!artifact->bytes || artifact->size == 0)
        return sk_fail(err, SPHKV_EINVAL, "an artifact without bytes");
    sk_db_artifact_key(artifact, key);
    sk_query q = sk_query_begin(
        db, SK_STMT_ARTIFACT_ADD,
        "INSERT INTO artifact (key, kind, entries, launch, ir_hash, format_version, args_version,"
        " bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET"
        " kind = excluded.kind, entries = excluded.entries, launch = excluded.launch,"
        " ir_hash = excluded.ir_hash, format_version = excluded.format_version,"
        " args_version = excluded.args_version, bytes = excluded.bytes RETURNING id");
    sk_query_text(&q, key);
    sk_query_text(&q, artifact->kind);
    sk_query_text(&q, artifact->entries);
    sk_query_text(&q, artifact->launch);
    sk_query_text(&q, artifact->ir_hash);
    sk_query_int(&q, artifact->format_version ? artifact->format_version : SPHKV_FORMAT_VERSION);
    sk_query_int(&q, artifact->args_version ? artifact->args_version : SPHKV_ARGS_VERSION);
    sk_query_blob(&q, artifact->bytes, artifact->size);
    return take_id(&q, id, "storing code", err);
}

/* Rows of the side tables that a trial points at. */
typedef struct links {
    int64_t device, spec, shape, schedule, artifact;
} links;

static sk_status find_links(sk_db *db, const sk_db_trial *trial, links *to, sk_err *err)
{
    char key[65];
    const sk_db_trial_key *k = &trial->key;
    sk_status st = device_id(db, k->device, &to->device, err);
    if (st == SPHKV_OK)
        st = sk_db_spec_id(db, k->kernel, k->spec, &to->spec, err);
    if (st == SPHKV_OK)
        st = shape_id(db, &k->shape, &to->shape, err);
    if (st == SPHKV_OK)
        st = sk_db_schedule_id(db, k->schedule, &to->schedule, err);
    if (st == SPHKV_OK && trial->artifact)
        st = sk_db_artifact_id(db, trial->artifact, &to->artifact, key, err);
    return st;
}

sk_status sk_db_trial_write(sk_db *db, const sk_db_trial *t, int64_t *id, sk_err *err)
{
    char key[65];
    links to = {0};
    sk_status st = find_links(db, t, &to, err);
    if (st != SPHKV_OK)
        return st;
    sk_db_trial_hash(&t->key, key);
    sk_query q = sk_query_begin(
        db, SK_STMT_TRIAL_PUT,
        "INSERT INTO trial (key, device_id, spec_id, shape_id, schedule_id, ir_hash, accuracy,"
        " run_kind, artifact_id, outcome, message, samples, baseline, median_us, error,"
        " error_kind, bytes, bandwidth_gbps, roofline, seed, tool_version, compiler_version,"
        " driver_version, unix_time, seconds, run_id, compiler, base)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
        " ?, ?)"
        " ON CONFLICT (key) DO UPDATE SET"
        " device_id = excluded.device_id, spec_id = excluded.spec_id,"
        " shape_id = excluded.shape_id, schedule_id = excluded.schedule_id,"
        " artifact_id = coalesce(excluded.artifact_id, artifact_id),"
        " outcome = excluded.outcome, message = excluded.message, samples = excluded.samples,"
        " baseline = excluded.baseline, median_us = excluded.median_us, error = excluded.error,"
        " error_kind = excluded.error_kind, bytes = excluded.bytes,"
        " bandwidth_gbps = excluded.bandwidth_gbps, roofline = excluded.roofline,"
        " seed = excluded.seed, tool_version = excluded.tool_version,"
        " compiler_version = excluded.compiler_version, driver_version = excluded.driver_version,"
        " unix_time = excluded.unix_time, seconds = excluded.seconds, run_id = excluded.run_id,"
        " compiler = excluded.compiler, base = excluded.base"
        " RETURNING id");
    sk_query_text(&q, key);
    sk_query_int(&q, to.device);
    sk_query_int(&q, to.spec);
    sk_query_int(&q, to.shape);
    sk_query_int(&q, to.schedule);
    sk_query_text(&q, t->key.ir_hash);
    sk_query_text(&q, t->key.accuracy);
    sk_query_text(&q, t->key.run_kind);
    sk_query_int_or_null(&q, to.artifact);
    sk_query_text(&q, sk_db_outcome_text(t->outcome));
    sk_query_text(&q, t->message);
    sk_query_blob(&q, t->samples, t->sample_count * sizeof(double));
    sk_query_blob(&q, t->baseline, t->baseline_count * sizeof(double));
    sk_query_real(&q, t->median_us);
    sk_query_real(&q, t->error);
    sk_query_text(&q, t->error_kind);
    sk_query_int(&q, (int64_t)t->bytes);
    sk_query_real(&q, t->bandwidth_gbps);
    sk_query_real(&q, t->roofline);
    sk_query_int(&q, (int64_t)t->seed);
    sk_query_text(&q, t->tool_version);
    sk_query_text(&q, t->compiler_version);
    sk_query_text(&q, t->driver_version);
    sk_query_int(&q, t->unix_time ? t->unix_time : (int64_t)time(NULL));
    sk_query_real(&q, t->seconds);
    sk_query_text(&q, t->run_id);
    sk_query_text(&q, t->key.compiler);
    sk_query_text(&q, t->base);
    return take_id(&q, id, "storing a trial", err);
}

static const char *missing_part(const sk_db_trial *t)
{
    const sk_db_trial_key *k = &t->key;
    if (!k->device || !k->device->kind || !k->device->arch || !k->device->fingerprint ||
        !*k->device->fingerprint)
        return "device";
    if (!k->kernel || !*k->kernel)
        return "kernel";
    if (!k->spec || !*k->spec)
        return "spec";
    if ((unsigned)t->outcome >= SK_OUTCOME_COUNT)
        return "outcome";
    if (t->artifact &&
        strcmp(t->artifact->ir_hash ? t->artifact->ir_hash : "", k->ir_hash ? k->ir_hash : "") != 0)
        return "code of the same ir_hash";
    return NULL;
}

sk_status sk_db_trial_put(sk_db *db, const sk_db_trial *trial, int64_t *id, sk_err *err)
{
    const char *missing = missing_part(trial);
    if (missing)
        return sk_fail(err, SPHKV_EINVAL, "a trial without its %s", missing);
    sk_status st = sk_db_need_write(db, err);
    if (st != SPHKV_OK)
        return st;
    int64_t row = 0;
    pthread_mutex_lock(&db->lock);
    st = sk_db_begin(db, err);
    if (st == SPHKV_OK)
        st = sk_db_finish(db, sk_db_trial_write(db, trial, &row, err), err);
    pthread_mutex_unlock(&db->lock);
    if (st == SPHKV_OK && id)
        *id = row;
    return st;
}

sk_status sk_db_link_write(sk_db *db, int64_t trial_id, const sk_db_artifact *artifact,
                            sk_err *err)
{
    char key[65];
    int64_t artifact_id = 0, row = 0;
    sk_status st = sk_db_artifact_id(db, artifact, &artifact_id, key, err);
    if (st != SPHKV_OK)
        return st;
    sk_query q = sk_query_begin(
        db, SK_STMT_TRIAL_LINK,
        "UPDATE trial SET artifact_id = ? WHERE id = ? AND ir_hash = ? RETURNING id");
    sk_query_int(&q, artifact_id);
    sk_query_int(&q, trial_id);
    sk_query_text(&q, artifact->ir_hash);
    st = take_id(&q, &row, "storing code", err);
    if (st == SPHKV_OK && row == 0)
        return sk_fail(err, SPHKV_EINVAL, "no trial of this row and ir_hash to keep code for");
    return st;
}

sk_status sk_db_trial_link(sk_db *db, int64_t trial_id, const sk_db_artifact *artifact, sk_err *err)
{
    sk_status st = sk_db_need_write(db, err);
    if (st != SPHKV_OK)
        return st;
    pthread_mutex_lock(&db->lock);
    st = sk_db_begin(db, err);
    if (st == SPHKV_OK)
        st = sk_db_finish(db, sk_db_link_write(db, trial_id, artifact, err), err);
    pthread_mutex_unlock(&db->lock);
    return st;
}

/* Device, spec and shape are taken from the trial, so they cannot disagree. */
sk_status sk_db_winner_write(sk_db *db, const sk_db_winner *w, int64_t *id, sk_err *err)
{
    sk_query q = sk_query_begin(
        db, SK_STMT_WINNER_PUT,
        "INSERT INTO winner (device_id, spec_id, shape_id, trial_id, default_trial_id, speedup,"
        " speedup_lo, speedup_hi, ties, default_us, roofline, unix_time, run_id, flip_risk, noisy,"
        " drift)"
        " SELECT t.device_id, t.spec_id, t.shape_id, t.id, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?11,"
        " ?12, ?13"
        " FROM trial t WHERE t.id = ?10 AND (t.outcome = 'ok' OR (t.outcome = 'skipped'"
        " AND t.run_kind = '" SK_DB_PREDICT "')) AND (?1 IS NULL OR EXISTS"
        " (SELECT 1 FROM trial b WHERE b.id = ?1 AND b.device_id = t.device_id"
        " AND b.spec_id = t.spec_id AND b.shape_id = t.shape_id))"
        " ON CONFLICT (spec_id, device_id, shape_id) DO UPDATE SET"
        " trial_id = excluded.trial_id, default_trial_id = excluded.default_trial_id,"
        " speedup = excluded.speedup, speedup_lo = excluded.speedup_lo,"
        " speedup_hi = excluded.speedup_hi, ties = excluded.ties,"
        " default_us = excluded.default_us, roofline = excluded.roofline,"
        " unix_time = excluded.unix_time, run_id = excluded.run_id,"
        " flip_risk = excluded.flip_risk, noisy = excluded.noisy, drift = excluded.drift"
        " RETURNING id");
    sk_query_int_or_null(&q, w->default_trial_id);
    sk_query_real(&q, w->speedup);
    sk_query_real(&q, w->speedup_lo);
    sk_query_real(&q, w->speedup_hi);
    sk_query_text(&q, w->ties);
    sk_query_real(&q, w->default_us);
    sk_query_real(&q, w->roofline);
    sk_query_int(&q, w->unix_time ? w->unix_time : (int64_t)time(NULL));
    sk_query_text(&q, w->run_id);
    sk_query_int(&q, w->trial_id);
    sk_query_real(&q, w->flip_risk);
    sk_query_real(&q, w->noisy);
    sk_query_real(&q, w->drift);
    sk_status st = take_id(&q, id, "storing a winner", err);
    if (st == SPHKV_OK && *id == 0)
        return sk_fail(err, SPHKV_EINVAL,
                       "a winner needs a trial that went well or is predicted, and a default "
                       "trial of the same device, spec and shape");
    return st;
}

/* A final that another one has replaced says nothing any more, when databases are united. */
static sk_status retire_finals(sk_db *db, const sk_db_winner *w, sk_err *err)
{
    sk_query q = sk_query_begin(db, SK_STMT_TRIAL_RETIRE,
                                "UPDATE trial SET base = '' WHERE base <> '' AND run_id <> ?1"
                                " AND (spec_id, shape_id, device_id) IN"
                                " (SELECT spec_id, shape_id, device_id FROM trial WHERE id = ?2)");
    sk_query_text(&q, w->run_id);
    sk_query_int(&q, w->trial_id);
    sk_query_step(&q);
    return sk_query_end(&q, "storing a winner", err);
}

sk_status sk_db_winner_put(sk_db *db, const sk_db_winner *winner, int64_t *id, sk_err *err)
{
    int64_t row = 0;
    sk_status st = sk_db_need_write(db, err);
    if (st != SPHKV_OK)
        return st;
    pthread_mutex_lock(&db->lock);
    st = sk_db_begin(db, err);
    if (st == SPHKV_OK) {
        st = sk_db_winner_write(db, winner, &row, err);
        if (st == SPHKV_OK)
            st = retire_finals(db, winner, err);
        st = sk_db_finish(db, st, err);
    }
    pthread_mutex_unlock(&db->lock);
    if (st == SPHKV_OK && id)
        *id = row;
    return st;
}
