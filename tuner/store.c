/* store.c - see store.h. */
#define _GNU_SOURCE
#include "store.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- opening -------------------------------------------------------------- */

static void make_run_id(sk_store *s)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    snprintf(s->run_id, sizeof s->run_id, "%llx-%x-%lx", (unsigned long long)t.tv_sec,
             (unsigned)getpid() & 0xffffffu, (unsigned long)t.tv_nsec);
}

static sk_status open_at(sk_store *s, const char *path, bool named, sk_err *err)
{
    sk_status st = sk_db_open(path, SK_DB_CREATE, &s->db, err);
    if (st == SPHKV_OK && sk_db_is_read_only(s->db)) {
        sk_db_close(s->db);
        s->db = NULL;
        st = sk_fail(err, SPHKV_EIO, "%s can only be read", path);
    }
    if (st == SPHKV_OK) {
        if (strcmp(path, ":memory:") != 0) sk_lock_open(&s->lock, path); /* else nobody else's */
        return st;
    }
    if (named || st != SPHKV_EIO) return st;
    snprintf(s->warning, sizeof s->warning, "%.180s: results are not kept (--db says where)",
             err ? err->message : path);
    s->memory_only = true;
    return sk_db_open(":memory:", SK_DB_CREATE, &s->db, err);
}

sk_status sk_store_open(const char *path, const sk_device *device, uint64_t seed, bool fresh,
                        sk_store *out, sk_err *err)
{
    char *place = NULL;
    memset(out, 0, sizeof *out);
    out->device = device;
    out->record = sk_device_record(device);
    out->seed = seed;
    out->fresh = fresh;
    out->lock.fd = -1;
    if (device->target.backend == SK_BACKEND_CUDA)
        sk_cuda_version_text(device->gpu.driver, out->driver);
    make_run_id(out);
    if (path) return open_at(out, path, true, err);
    sk_status st = sk_db_default_path(&place, err);
    if (st == SPHKV_OK) {
        st = open_at(out, place, false, err);
    } else if (st == SPHKV_ENOTFOUND) {
        snprintf(out->warning, sizeof out->warning, "no place for a database: results are not kept");
        out->memory_only = true;
        st = sk_db_open(":memory:", SK_DB_CREATE, &out->db, err);
    }
    sk_free(place);
    return st;
}

void sk_store_close(sk_store *s)
{
    if (!s->db) return; /* never opened: the lock means nothing */
    sk_db_close(s->db);
    sk_lock_close(&s->lock);
    s->db = NULL;
}

/* ---- keys ------------------------------------------------------------------- */

/* The schedule's text is made for each key; free it. */
static sk_status make_key(const sk_store *s, const sk_job *job, uint32_t index, sk_text *schedule,
                          sk_db_trial_key *key, sk_err *err)
{
    const sk_candidate *c = &job->space.candidate[index];
    *schedule = (sk_text){0};
    sk_schedule_print(job->spec.kernel, &c->schedule, schedule);
    if (schedule->failed) {
        sk_text_free(schedule);
        return sk_fail(err, SPHKV_ENOMEM, "no memory for a key");
    }
    *key = (sk_db_trial_key){.device = &s->record,
                             .kernel = sk_kernel_name(job->spec.kernel),
                             .spec = job->spec_text,
                             .shape = job->db_shape,
                             .schedule = schedule->s,
                             .ir_hash = c->ir_hash,
                             .accuracy = sk_accuracy_name(job->spec.accuracy),
                             .run_kind = SK_DB_MEASURE,
                             .compiler = c->built == SPHKV_OK ? s->compiler : ""};
    return SPHKV_OK;
}

/* The key of the default's trial, which every candidate is measured against. */
static sk_status base_hash(const sk_store *s, const sk_job *job, char hex[65], sk_err *err)
{
    sk_text schedule;
    sk_db_trial_key key;
    sk_status st = make_key(s, job, 0, &schedule, &key, err);
    if (st != SPHKV_OK) return st;
    sk_db_trial_hash(&key, hex);
    sk_text_free(&schedule);
    return SPHKV_OK;
}

/* ---- trials ----------------------------------------------------------------- */

double sk_tried_ratio(const double *top, const double *bottom, uint32_t n)
{
    double ratio[SK_ROUNDS_MOST];
    uint32_t m = 0;
    for (uint32_t i = 0; i < n && i < SK_ROUNDS_MOST; i++)
        if (top[i] > 0 && bottom[i] > 0) ratio[m++] = top[i] / bottom[i];
    return sk_median(ratio, m);
}

static void from_record(const sk_db_trial *t, uint32_t index, sk_tried *out)
{
    size_t n = t->sample_count < t->baseline_count ? t->sample_count : t->baseline_count;
    memset(out, 0, sizeof *out);
    out->index = index;
    out->outcome = t->outcome;
    snprintf(out->message, sizeof out->message, "%.399s", t->message);
    out->error = t->error;
    snprintf(out->error_kind, sizeof out->error_kind, "%.23s", t->error_kind);
    out->median_us = t->median_us;
    out->samples = (uint32_t)(n < SK_ROUNDS_MOST ? n : SK_ROUNDS_MOST);
    for (uint32_t i = 0; i < out->samples; i++) {
        out->sample[i] = t->samples[i];
        out->baseline[i] = t->baseline[i];
    }
    out->ratio = sk_tried_ratio(out->baseline, out->sample, out->samples);
    out->bandwidth_gbps = t->bandwidth_gbps;
    out->roofline = t->roofline;
    out->seconds = t->seconds;
    out->id = t->id;
    out->found = true;
}

sk_status sk_store_find(sk_store *s, const sk_job *job, uint32_t index, sk_tried *out, sk_err *err)
{
    sk_text schedule;
    sk_db_trial_key key;
    sk_db_trial trial;
    sk_arena mem = {0};
    sk_status st = make_key(s, job, index, &schedule, &key, err);
    if (st != SPHKV_OK) return st;
    st = sk_db_trial_find(s->db, &key, &mem, &trial, err);
    if (st == SPHKV_OK && s->fresh && strcmp(trial.run_id, s->run_id) != 0) st = SPHKV_ENOTFOUND;
    /* Memory is a matter of the moment: what it ended is tried again. */
    if (st == SPHKV_OK &&
        (trial.outcome == SK_OUTCOME_SKIPPED || trial.outcome == SK_OUTCOME_OOM))
        st = SPHKV_ENOTFOUND;
    if (st == SPHKV_OK) from_record(&trial, index, out);
    sk_arena_free(&mem);
    sk_text_free(&schedule);
    return st;
}

/* A record of a generator that had fewer tunables, whose code is this candidate's: its
 * trial is known by today's name, too. */
static sk_status rename_known(sk_store *s, const sk_job *job, const sk_db_trial *old,
                              uint32_t index, sk_arena *mem, sk_err *err)
{
    sk_text schedule;
    sk_db_trial_key key;
    char base[65];
    sk_db_trial trial = *old, found;
    sk_status st = base_hash(s, job, base, err);
    if (st == SPHKV_OK) st = make_key(s, job, index, &schedule, &key, err);
    if (st != SPHKV_OK) return st;
    trial.key.schedule = key.schedule;
    trial.base = old->base[0] ? base : "";
    if (strcmp(key.schedule, old->key.schedule) != 0 &&
        strcmp(key.compiler, old->key.compiler) == 0 &&
        sk_db_trial_find(s->db, &key, mem, &found, NULL) == SPHKV_ENOTFOUND)
        st = sk_db_trial_put(s->db, &trial, NULL, err);
    sk_text_free(&schedule);
    return st;
}

sk_status sk_store_known(sk_store *s, sk_job *job, sk_arena *mem, uint32_t **index, size_t *count,
                         sk_err *err)
{
    sk_db_trial *list;
    size_t n;
    const sk_db_filter filter = {.device = &s->record,
                                 .kernel = sk_kernel_name(job->spec.kernel),
                                 .spec = job->spec_text,
                                 .shape = &job->db_shape};
    *count = 0;
    sk_status st = sk_db_trials(s->db, &filter, mem, &list, &n, err);
    if (st != SPHKV_OK) return st;
    *index = sk_arena_alloc(mem, (n + 1) * sizeof **index);
    if (!*index) return sk_fail(err, SPHKV_ENOMEM, "no memory for known trials");
    for (size_t i = n; i > 0 && !s->compiler[0]; i--)
        snprintf(s->compiler, sizeof s->compiler, "%.95s", list[i - 1].key.compiler);
    st = sk_space_resolve(&job->space, 0, err);
    (*index)[(*count)++] = 0;
    for (size_t i = 0; i < n && st == SPHKV_OK; i++) {
        sk_schedule schedule = job->space.candidate[0].schedule; /* a new tunable is its default */
        if (strcmp(list[i].key.run_kind, SK_DB_MEASURE) != 0) continue;
        if (sk_schedule_parse(job->spec.kernel, list[i].key.schedule, &schedule, NULL) != SPHKV_OK)
            continue; /* of another generator */
        uint32_t at = sk_space_find(&job->space, &schedule);
        if (at == SK_NONE) continue;
        st = sk_space_resolve(&job->space, at, err);
        if (st != SPHKV_OK || job->space.candidate[at].same_as != at) continue;
        if (strcmp(job->space.candidate[at].ir_hash, list[i].key.ir_hash) != 0) continue;
        st = rename_known(s, job, &list[i], at, mem, err);
        if (at) (*index)[(*count)++] = at;
    }
    return st;
}

sk_status sk_store_put(sk_store *s, const sk_job *job, sk_tried *tried,
                       const sk_db_artifact *code, sk_err *err)
{
    sk_text schedule;
    sk_db_trial_key key;
    char base[65];
    sk_status st = base_hash(s, job, base, err);
    if (st == SPHKV_OK) st = make_key(s, job, tried->index, &schedule, &key, err);
    if (st != SPHKV_OK) return st;
    const sk_db_trial trial = {
        .key = key,
        .outcome = tried->outcome,
        .message = tried->message,
        .samples = tried->sample,
        .sample_count = tried->samples,
        .baseline = tried->baseline,
        .baseline_count = tried->samples,
        .base = tried->samples ? base : "",
        .median_us = tried->median_us,
        .error = tried->error,
        .error_kind = tried->error_kind,
        .bytes = (uint64_t)(job->read_bytes + job->write_bytes),
        .bandwidth_gbps = tried->bandwidth_gbps,
        .roofline = tried->roofline,
        .seed = s->seed,
        .tool_version = sphkv_version(),
        .compiler_version = s->compiler,
        .driver_version = s->driver,
        .seconds = tried->seconds,
        .run_id = s->run_id,
        .artifact = code,
    };
    st = sk_db_trial_put(s->db, &trial, &tried->id, err);
    sk_text_free(&schedule);
    return st;
}

/* ---- winners ---------------------------------------------------------------- */

sk_status sk_store_win(sk_store *s, const sk_win *win, sk_err *err)
{
    const sk_db_winner winner = {
        .trial_id = win->winner->id,
        .default_trial_id = win->base->id,
        .speedup = win->speedup.mid,
        .speedup_lo = win->speedup.lo,
        .speedup_hi = win->speedup.hi,
        .ties = win->ties,
        .default_us = win->default_us,
        .roofline = win->winner->roofline,
        .flip_risk = win->flip_risk,
        .noisy = win->noisy,
        .drift = win->drift,
        .run_id = s->run_id,
    };
    return sk_db_winner_put(s->db, &winner, NULL, err);
}

sk_status sk_store_winner(sk_store *s, const sk_job *job, sk_arena *mem, sk_db_winner *out,
                          sk_err *err)
{
    sk_db_winner *list;
    size_t count;
    const sk_db_filter filter = {.device = &s->record,
                                 .kernel = sk_kernel_name(job->spec.kernel),
                                 .spec = job->spec_text,
                                 .shape = &job->db_shape};
    if (s->fresh) return SPHKV_ENOTFOUND;
    sk_status st = sk_db_winners(s->db, &filter, mem, &list, &count, err);
    if (st != SPHKV_OK) return st;
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].state, "ready") == 0) {
            *out = list[i];
            return SPHKV_OK;
        }
    return SPHKV_ENOTFOUND;
}

/* ---- one tuner per trial ----------------------------------------------------- */

/* A place for each key, far apart. */
static uint64_t place_of(const sk_store *s, const sk_job *job, uint32_t index)
{
    sk_text schedule;
    sk_db_trial_key key;
    char text[SK_DB_SHAPE_TEXT];
    sk_sha256 sha;
    uint64_t place = 0;
    sk_sha256_init(&sha);
    if (make_key(s, job, index, &schedule, &key, NULL) == SPHKV_OK) {
        sk_db_shape_text(&key.shape, text);
        sk_sha256_add(&sha, key.spec, strlen(key.spec));
        sk_sha256_add(&sha, text, strlen(text));
        sk_sha256_add(&sha, key.schedule, strlen(key.schedule));
        sk_sha256_add(&sha, key.ir_hash, strlen(key.ir_hash));
        sk_text_free(&schedule);
    }
    char hex[65];
    sk_sha256_hex(&sha, hex);
    for (int i = 0; i < 15; i++)
        place = place << 4 | (uint64_t)(hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10);
    return place;
}

bool sk_store_lock(sk_store *s, const sk_job *job, uint32_t index)
{
    return sk_lock_take(&s->lock, place_of(s, job, index));
}

void sk_store_unlock(sk_store *s, const sk_job *job, uint32_t index)
{
    sk_lock_drop(&s->lock, place_of(s, job, index));
}
