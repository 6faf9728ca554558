/* db_best.c - the look-up: which kernel, and how sure.
 *
 * Two steps. First every winner of the spec, in every database, that could
 * serve at all is listed with how it matches: this device and shape, this
 * device and another shape, another device of the same kind and arch, one that
 * a model predicted. The list is sorted (match, distance of shapes, user before system, row), so the
 * answer is the same on every machine. Then records are loaded in that order
 * until one passes its checks; the first that does not is named in `reason`.
 *
 * The list is short (devices times shapes of one spec), which is why distance
 * is computed here and not in SQL. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db_impl.h"

typedef struct candidate {
    int64_t winner_id;
    double distance;
    size_t place; /* 0 = user, then system databases */
    sk_match match;
} candidate;

typedef struct candidates {
    candidate *at;
    size_t count, room;
} candidates;

static double log_ratio(uint32_t a, uint32_t b)
{
    return fabs(log2((double)(a ? a : 1)) - log2((double)(b ? b : 1)));
}

static double shape_distance(const sk_db_shape *a, const sk_db_shape *b)
{
    return log_ratio(a->context, b->context) + log_ratio(a->batch, b->batch) +
           log_ratio(a->threads, b->threads) + log_ratio(a->q_len, b->q_len) +
           log_ratio(a->kv_heads, b->kv_heads) + log_ratio(a->q_heads, b->q_heads);
}

static int candidate_order(const void *pa, const void *pb)
{
    const candidate *a = pa, *b = pb;
    if (a->match != b->match)
        return a->match < b->match ? -1 : 1;
    if (a->distance < b->distance || a->distance > b->distance)
        return a->distance < b->distance ? -1 : 1;
    if (a->place != b->place)
        return a->place < b->place ? -1 : 1;
    return a->winner_id < b->winner_id ? -1 : a->winner_id > b->winner_id;
}

static bool candidates_add(candidates *list, candidate item)
{
    if (list->count == list->room) {
        size_t want = list->room ? list->room * 2 : 16;
        candidate *bigger = sk_realloc(list->at, want * sizeof *bigger);
        if (!bigger)
            return false;
        list->at = bigger;
        list->room = want;
    }
    list->at[list->count++] = item;
    return true;
}

static sk_status list_candidates(sk_db *db, size_t place, const sk_db_device *device,
                                 const char *spec_key, const sk_db_shape *shape, candidates *list,
                                 sk_err *err)
{
    char device_key[65], row_key[65], wanted[SK_DB_SHAPE_TEXT], text[SK_DB_SHAPE_TEXT];
    sk_db_device_key(device, device_key);
    sk_db_shape_text(shape, wanted);
    sk_query q = sk_query_begin(
        db, SK_STMT_BEST_LIST,
        "SELECT w.id, d.key, h.batch, h.context, h.kv_heads, h.q_heads, h.q_len, h.threads,"
        " t.run_kind IS '" SK_DB_PREDICT "'"
        " FROM spec s JOIN winner w ON w.spec_id = s.id JOIN device d ON d.id = w.device_id"
        " JOIN shape h ON h.id = w.shape_id LEFT JOIN trial t ON t.id = w.trial_id"
        " WHERE s.key = ?1 AND (d.key = ?2 OR (d.kind = ?3 AND d.arch = ?4))");
    sk_query_text(&q, spec_key);
    sk_query_text(&q, device_key);
    sk_query_text(&q, device->kind);
    sk_query_text(&q, device->arch);
    while (sk_query_step(&q)) {
        candidate item = {.winner_id = sk_row_int(&q), .place = place};
        sk_row_text_into(&q, row_key, sizeof row_key);
        uint32_t number[6];
        for (int i = 0; i < 6; i++)
            number[i] = (uint32_t)sk_row_int(&q);
        sk_db_shape found = {number[0], number[1], number[2], number[3], number[4], number[5]};
        sk_db_shape_text(&found, text);
        item.distance = shape_distance(shape, &found);
        if (sk_row_int(&q))
            item.match = SK_MATCH_PREDICTED;
        else if (strcmp(row_key, device_key) != 0)
            item.match = SK_MATCH_ARCH;
        else
            item.match = strcmp(text, wanted) == 0 ? SK_MATCH_EXACT : SK_MATCH_NEAR_SHAPE;
        if (!candidates_add(list, item))
            q.rc = SQLITE_NOMEM;
    }
    return sk_query_end(&q, "looking up a kernel", err);
}

/* Does the record say what was asked? Text by text: the keys have matched
 * already, so a difference is damage. */
static const char *request_fault(const sk_db_trial *trial, const candidate *item,
                                 const sk_db_device *device, const char *kernel, const char *spec)
{
    const sk_db_trial_key *key = &trial->key;
    if (strcmp(key->kernel, kernel) != 0 || strcmp(key->spec, spec) != 0)
        return "damaged: it is of another spec";
    if (item->match >= SK_MATCH_ARCH ? strcmp(key->device->kind, device->kind) != 0 ||
                                           strcmp(key->device->arch, device->arch) != 0
                                     : strcmp(key->device->fingerprint, device->fingerprint) != 0)
        return "damaged: it is of another device";
    if (strcmp(key->run_kind, "simulate") == 0)
        return "simulated, not measured";
    return NULL;
}

static void fill_result(const sk_db *db, const candidate *item, const sk_db_trial *trial,
                        double speedup, double roofline, sk_db_best_result *out)
{
    out->match = item->match;
    out->schedule = trial->key.schedule;
    out->ir_hash = trial->key.ir_hash;
    out->accuracy = trial->key.accuracy;
    out->shape = trial->key.shape;
    out->distance = item->distance;
    out->device_name = trial->key.device->name;
    out->source = db->path;
    out->median_us = trial->median_us;
    out->speedup = speedup;
    out->roofline = roofline;
    out->error = trial->error;
    out->trial_id = trial->id;
    out->winner_id = item->winner_id;
}

/* *fault: why this record cannot be used, NULL when out is filled. */
static sk_status load_candidate(sk_db *db, const candidate *item, const sk_db_device *device,
                                const char *kernel, const char *spec, uint32_t flags, sk_arena *mem,
                                sk_db_best_result *out, const char **fault, sk_err *err)
{
    char key[65] = "";
    sk_db_trial trial;
    sk_db_artifact artifact;
    double speedup = 0, roofline = 0;
    sk_query q = sk_query_begin(
        db, SK_STMT_BEST_LOAD,
        "SELECT w.speedup, w.roofline, " SK_ARTIFACT_COLUMNS ", " SK_TRIAL_COLUMNS
        " FROM winner w JOIN trial t ON t.id = w.trial_id AND t.device_id = w.device_id"
        " AND t.spec_id = w.spec_id AND t.shape_id = w.shape_id" SK_TRIAL_JOINS " WHERE w.id = ?");
    sk_query_int(&q, item->winner_id);
    bool found = sk_query_step(&q);
    if (found) {
        speedup = sk_row_real(&q);
        roofline = sk_row_real(&q);
        sk_row_artifact(&q, mem, key, &artifact);
        sk_row_trial(&q, mem, &trial);
    }
    sk_status st = sk_query_end(&q, "reading a record", err);
    if (st != SPHKV_OK)
        return st;
    *fault = found ? sk_db_trial_fault(&trial) : "damaged: its links disagree";
    if (!*fault)
        *fault = request_fault(&trial, item, device, kernel, spec);
    if (!*fault)
        *fault = sk_db_artifact_fault(key, &artifact, trial.key.ir_hash);
    if (!*fault && (flags & SK_BEST_NEED_CODE) && !artifact.bytes)
        *fault = "a schedule without code";
    if (!*fault) {
        fill_result(db, item, &trial, speedup, roofline, out);
        out->artifact = artifact;
    }
    return SPHKV_OK;
}

static sk_db *database_at(const sk_db_set *set, size_t place)
{
    return place == 0 ? set->user : set->system[place - 1];
}

/* Keeps the first reason only. */
static void note(sk_db_best_result *out, const char *path, const char *what)
{
    if (!out->reason[0])
        snprintf(out->reason, sizeof out->reason, "%.120s: %.120s", path, what);
}

/* Shows a loaded candidate to the caller; without `use` it is taken. A refusal
 * is a fault; only a lack of memory is a failure. */
static sk_status offer(sk_db_use use, void *user, sk_db_best_result *out, const char **fault,
                       sk_err *why)
{
    sk_status st = use ? use(user, out, why) : SPHKV_OK;
    if (st == SPHKV_OK)
        return st;
    out->match = SK_MATCH_NONE;
    *fault = why->message;
    return st == SPHKV_ENOMEM ? st : SPHKV_OK;
}

static sk_status try_candidates(sk_db_set *set, const candidates *list, const sk_db_device *device,
                                const char *kernel, const char *spec, uint32_t flags, sk_db_use use,
                                void *user, sk_arena *mem, sk_db_best_result *out, sk_err *err)
{
    for (size_t i = 0; i < list->count && out->match == SK_MATCH_NONE; i++) {
        const candidate *item = &list->at[i];
        sk_db *db = database_at(set, item->place);
        const char *fault = NULL;
        sk_err local = {0};
        char what[160];
        pthread_mutex_lock(&db->lock);
        sk_status st =
            load_candidate(db, item, device, kernel, spec, flags, mem, out, &fault, &local);
        pthread_mutex_unlock(&db->lock);
        if (st == SPHKV_OK && !fault)
            st = offer(use, user, out, &fault, &local);
        if (st == SPHKV_ENOMEM)
            return sk_fail(err, st, "%s", local.message);
        if (st != SPHKV_OK)
            note(out, "skipped", local.message);
        else if (fault) {
            snprintf(what, sizeof what, "winner %lld skipped: %.120s", (long long)item->winner_id,
                     fault);
            note(out, db->path, what);
        }
    }
    return SPHKV_OK;
}

sk_status sk_db_best(sk_db_set *set, const sk_db_device *device, const char *kernel,
                     const char *spec, const sk_db_shape *shape, uint32_t flags, sk_arena *mem,
                     sk_db_best_result *out, sk_err *err)
{
    return sk_db_best_use(set, device, kernel, spec, shape, flags, NULL, NULL, mem, out, err);
}

sk_status sk_db_best_use(sk_db_set *set, const sk_db_device *device, const char *kernel,
                         const char *spec, const sk_db_shape *shape, uint32_t flags, sk_db_use use,
                         void *user, sk_arena *mem, sk_db_best_result *out, sk_err *err)
{
    memset(out, 0, sizeof *out);
    if (!device || !device->kind || !device->arch || !device->fingerprint || !kernel || !spec ||
        !shape)
        return sk_fail(err, SPHKV_EINVAL, "a look-up needs device, kernel, spec and shape");
    char spec_key[65];
    sk_db_spec_key(kernel, spec, spec_key);
    candidates list = {0};
    sk_status st = SPHKV_OK;
    for (size_t place = 0; place <= set->system_count && st != SPHKV_ENOMEM; place++) {
        sk_db *db = database_at(set, place);
        sk_err local = {0};
        pthread_mutex_lock(&db->lock);
        st = list_candidates(db, place, device, spec_key, shape, &list, &local);
        pthread_mutex_unlock(&db->lock);
        if (st == SPHKV_ENOMEM)
            sk_fail(err, st, "%s", local.message);
        else if (st != SPHKV_OK)
            note(out, "skipped", local.message);
    }
    if (st != SPHKV_ENOMEM) {
        if (list.count)
            qsort(list.at, list.count, sizeof *list.at, candidate_order);
        st = try_candidates(set, &list, device, kernel, spec, flags, use, user, mem, out, err);
    }
    sk_free(list.at);
    return st;
}
