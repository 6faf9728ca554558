/* db_read.c - rows into structs, and the checks that a row is what it claims.
 *
 * A file that passes quick_check may still hold flipped bits in its cells, or
 * what somebody else wrote. A trial proves itself by its key, which covers
 * every text that identifies it; code proves itself by the hash of all its
 * fields and is only taken with the trial's ir_hash. Both are checked before a
 * look-up answers. */
#include <string.h>

#include "db_impl.h"

static const sk_db_device *row_device(sk_query *q, sk_arena *mem)
{
    sk_db_device none, *device = sk_arena_alloc(mem, sizeof *device);
    if (!device) {
        q->rc = SQLITE_NOMEM;
        device = &none; /* the columns are read past, the struct is dropped */
    }
    device->kind = sk_row_text(q, mem);
    device->name = sk_row_text(q, mem);
    device->arch = sk_row_text(q, mem);
    device->fingerprint = sk_row_text(q, mem);
    device->toolchain = sk_row_text(q, mem);
    return device == &none ? NULL : device;
}

static uint32_t row_u32(sk_query *q)
{
    int64_t value = sk_row_int(q);
    return value < 0 || value > UINT32_MAX ? 0 : (uint32_t)value;
}

static const double *row_samples(sk_query *q, sk_arena *mem, size_t *count)
{
    size_t size = 0;
    const double *samples = sk_row_blob(q, mem, &size);
    *count = samples ? size / sizeof(double) : 0;
    return *count ? samples : NULL;
}

static void row_key(sk_query *q, sk_arena *mem, sk_db_trial_key *key)
{
    key->device = row_device(q, mem);
    key->kernel = sk_row_text(q, mem);
    key->spec = sk_row_text(q, mem);
    key->shape.batch = row_u32(q);
    key->shape.context = row_u32(q);
    key->shape.kv_heads = row_u32(q);
    key->shape.q_heads = row_u32(q);
    key->shape.q_len = row_u32(q);
    key->shape.threads = row_u32(q);
    key->schedule = sk_row_text(q, mem);
    key->ir_hash = sk_row_text(q, mem);
    key->accuracy = sk_row_text(q, mem);
    key->run_kind = sk_row_text(q, mem);
}

void sk_row_trial(sk_query *q, sk_arena *mem, sk_db_trial *out)
{
    char outcome[32];
    memset(out, 0, sizeof *out);
    out->id = sk_row_int(q);
    sk_row_text_into(q, out->trial_hash, sizeof out->trial_hash);
    row_key(q, mem, &out->key);
    sk_row_text_into(q, outcome, sizeof outcome);
    if (!sk_db_outcome_parse(outcome, &out->outcome))
        out->outcome = SK_OUTCOME_INVALID; /* the CHECK was circumvented */
    out->message = sk_row_text(q, mem);
    out->samples = row_samples(q, mem, &out->sample_count);
    out->baseline = row_samples(q, mem, &out->baseline_count);
    out->median_us = sk_row_real(q);
    out->error = sk_row_real(q);
    out->error_kind = sk_row_text(q, mem);
    out->bytes = (uint64_t)sk_row_int(q);
    out->bandwidth_gbps = sk_row_real(q);
    out->roofline = sk_row_real(q);
    out->seed = (uint64_t)sk_row_int(q);
    out->tool_version = sk_row_text(q, mem);
    out->compiler_version = sk_row_text(q, mem);
    out->driver_version = sk_row_text(q, mem);
    out->unix_time = sk_row_int(q);
    out->seconds = sk_row_real(q);
    out->run_id = sk_row_text(q, mem);
    sk_row_text_into(q, out->artifact_key, sizeof out->artifact_key);
    out->key.compiler = sk_row_text(q, mem);
    out->base = sk_row_text(q, mem);
}

void sk_row_artifact(sk_query *q, sk_arena *mem, char key[65], sk_db_artifact *out)
{
    memset(out, 0, sizeof *out);
    sk_row_text_into(q, key, 65);
    out->kind = sk_row_text(q, mem);
    out->entries = sk_row_text(q, mem);
    out->launch = sk_row_text(q, mem);
    out->ir_hash = sk_row_text(q, mem);
    out->format_version = row_u32(q);
    out->args_version = row_u32(q);
    out->bytes = sk_row_blob(q, mem, &out->size);
}

const char *sk_db_artifact_fault(const char key[65], const sk_db_artifact *artifact,
                                 const char *ir_hash)
{
    if (!key[0] || !artifact->bytes)
        return NULL;
    if (artifact->format_version != SPHKV_FORMAT_VERSION)
        return "stale: another format version";
    if (artifact->args_version != SPHKV_ARGS_VERSION)
        return "stale: another version of the arguments";
    if (artifact->size == 0)
        return "damaged: its code is empty";
    char hex[65];
    sk_db_artifact_key(artifact, hex);
    if (strcmp(hex, key) != 0)
        return "damaged: its code does not match its hash";
    if (strcmp(artifact->ir_hash, ir_hash) != 0)
        return "damaged: its code is of another IR";
    return NULL;
}

const char *sk_db_trial_fault(const sk_db_trial *trial)
{
    char hex[65];
    if (!trial->key.device)
        return "damaged: no device";
    sk_db_trial_hash(&trial->key, hex);
    if (strcmp(hex, trial->trial_hash) != 0)
        return "damaged: its texts do not match its key";
    const bool predicted = strcmp(trial->key.run_kind, SK_DB_PREDICT) == 0;
    if (trial->outcome != (predicted ? SK_OUTCOME_SKIPPED : SK_OUTCOME_OK))
        return "stale: its trial did not go well";
    return NULL;
}

sk_status sk_db_trial_read(sk_db *db, const char hash[65], sk_arena *mem, sk_db_trial *out,
                           sk_err *err)
{
    sk_query q = sk_query_begin(db, SK_STMT_TRIAL_FIND,
                                "SELECT " SK_TRIAL_COLUMNS " FROM trial t" SK_TRIAL_JOINS
                                " WHERE t.key = ?");
    sk_query_text(&q, hash);
    bool found = sk_query_step(&q);
    if (found)
        sk_row_trial(&q, mem, out);
    sk_status st = sk_query_end(&q, "looking up a trial", err);
    if (st == SPHKV_OK && !found)
        return sk_fail(err, SPHKV_ENOTFOUND, "no such trial yet");
    return st;
}

sk_status sk_db_trial_find(sk_db *db, const sk_db_trial_key *key, sk_arena *mem, sk_db_trial *out,
                           sk_err *err)
{
    if (!key->device)
        return sk_fail(err, SPHKV_EINVAL, "a trial without its device");
    char hex[65];
    sk_db_trial_hash(key, hex);
    pthread_mutex_lock(&db->lock);
    sk_status st = sk_db_trial_read(db, hex, mem, out, err);
    pthread_mutex_unlock(&db->lock);
    return st;
}

sk_status sk_db_code_read(sk_db *db, int64_t trial_id, sk_arena *mem, sk_db_artifact *out,
                          sk_err *err)
{
    char key[65] = "", ir_hash[80] = "";
    sk_query q = sk_query_begin(db, SK_STMT_TRIAL_ARTIFACT,
                                "SELECT t.ir_hash, " SK_ARTIFACT_COLUMNS
                                " FROM trial t JOIN artifact a ON a.id = t.artifact_id"
                                " WHERE t.id = ?");
    sk_query_int(&q, trial_id);
    bool found = sk_query_step(&q);
    if (found) {
        sk_row_text_into(&q, ir_hash, sizeof ir_hash);
        sk_row_artifact(&q, mem, key, out);
    }
    sk_status st = sk_query_end(&q, "reading code", err);
    if (st != SPHKV_OK)
        return st;
    if (!found || !out->bytes)
        return sk_fail(err, SPHKV_ENOTFOUND, "no code is kept for this trial");
    const char *fault = sk_db_artifact_fault(key, out, ir_hash);
    if (fault)
        return sk_fail(err, SPHKV_EDB, "%s: the code of trial %lld is %s", db->path,
                       (long long)trial_id, fault);
    return SPHKV_OK;
}

sk_status sk_db_trial_artifact(sk_db *db, int64_t trial_id, sk_arena *mem, sk_db_artifact *out,
                               sk_err *err)
{
    pthread_mutex_lock(&db->lock);
    sk_status st = sk_db_code_read(db, trial_id, mem, out, err);
    pthread_mutex_unlock(&db->lock);
    return st;
}
