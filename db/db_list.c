/* db_list.c - arrays of trials and winners, for the tuner, ls, show, explain.
 *
 * One query each with a parameter per filter, NULL meaning any; rows are read
 * into a growing array in the heap and copied to the caller's arena at the
 * end, because an arena cannot grow its last block. */
#include <stdlib.h>
#include <string.h>

#include "db_impl.h"

static int compare_u32(uint32_t a, uint32_t b) { return a < b ? -1 : a > b; }

static int compare_shape(const sk_db_shape *a, const sk_db_shape *b)
{
    int c = compare_u32(a->batch, b->batch);
    if (!c)
        c = compare_u32(a->context, b->context);
    if (!c)
        c = compare_u32(a->kv_heads, b->kv_heads);
    if (!c)
        c = compare_u32(a->q_heads, b->q_heads);
    if (!c)
        c = compare_u32(a->q_len, b->q_len);
    if (!c)
        c = compare_u32(a->threads, b->threads);
    return c;
}

int sk_db_problem_order(const sk_db_trial *a, const sk_db_trial *b)
{
    int c = strcmp(a->key.kernel, b->key.kernel);
    if (!c)
        c = strcmp(a->key.spec, b->key.spec);
    if (!c)
        c = compare_shape(&a->key.shape, &b->key.shape);
    if (!c)
        c = strcmp(a->key.device->fingerprint, b->key.device->fingerprint);
    return c;
}

#define FILTER                                                                                     \
    " WHERE (?1 IS NULL OR d.key = ?1) AND (?2 IS NULL OR s.kernel = ?2)"                          \
    " AND (?3 IS NULL OR s.text = ?3) AND (?4 IS NULL OR h.text = ?4)"

/* Binds the parameters that FILTER names, then run and id. */
typedef struct filter_texts {
    char device[65], shape[SK_DB_SHAPE_TEXT];
} filter_texts;

static void bind_filter(sk_query *q, const sk_db_filter *filter, filter_texts *texts)
{
    static const sk_db_filter any;
    if (!filter)
        filter = &any;
    if (filter->device)
        sk_db_device_key(filter->device, texts->device);
    if (filter->shape)
        sk_db_shape_text(filter->shape, texts->shape);
    sk_query_text_or_null(q, filter->device ? texts->device : NULL);
    sk_query_text_or_null(q, filter->kernel);
    sk_query_text_or_null(q, filter->spec);
    sk_query_text_or_null(q, filter->shape ? texts->shape : NULL);
    sk_query_text_or_null(q, filter->run_id);
    sk_query_int_or_null(q, filter->id);
}

/* Room for one more element behind `count`, zeroed; NULL when out of memory. */
static void *array_grow(void **array, size_t count, size_t *room, size_t element)
{
    if (count == *room) {
        size_t want = *room ? *room * 2 : 16;
        void *bigger = sk_realloc(*array, want * element);
        if (!bigger)
            return NULL;
        *array = bigger;
        *room = want;
    }
    void *at = (char *)*array + count * element;
    memset(at, 0, element);
    return at;
}

/* Moves the array into the arena. */
static sk_status array_take(void *array, size_t count, size_t element, sk_arena *mem, void **out,
                            sk_err *err)
{
    if (count) {
        *out = sk_arena_alloc(mem, count * element);
        if (!*out)
            return sk_fail(err, SPHKV_ENOMEM, "out of memory");
        memcpy(*out, array, count * element);
    }
    return SPHKV_OK;
}

sk_status sk_db_trials_read(sk_db *db, const sk_db_filter *filter, sk_arena *mem,
                            sk_db_trial **out, size_t *count, sk_err *err)
{
    filter_texts texts;
    void *array = NULL, *taken = NULL;
    size_t room = 0, n = 0;
    *out = NULL;
    *count = 0;
    sk_query q = sk_query_begin(db, SK_STMT_TRIALS,
                                "SELECT " SK_TRIAL_COLUMNS " FROM trial t" SK_TRIAL_JOINS FILTER
                                " AND (?5 IS NULL OR t.run_id = ?5) AND (?6 IS NULL OR t.id = ?6)"
                                " ORDER BY t.id");
    bind_filter(&q, filter, &texts);
    while (sk_query_step(&q)) {
        sk_db_trial *trial = array_grow(&array, n, &room, sizeof *trial);
        if (trial) {
            sk_row_trial(&q, mem, trial);
            n++;
        } else {
            q.rc = SQLITE_NOMEM;
        }
    }
    sk_status st = sk_query_end(&q, "listing trials", err);
    if (st == SPHKV_OK)
        st = array_take(array, n, sizeof **out, mem, &taken, err);
    sk_free(array);
    if (st == SPHKV_OK) {
        *out = taken;
        *count = n;
    }
    return st;
}

sk_status sk_db_trials(sk_db *db, const sk_db_filter *filter, sk_arena *mem, sk_db_trial **out,
                       size_t *count, sk_err *err)
{
    pthread_mutex_lock(&db->lock);
    sk_status st = sk_db_trials_read(db, filter, mem, out, count, err);
    pthread_mutex_unlock(&db->lock);
    return st;
}

/* A winner row starts with its own columns, then its artifact's, then its
 * trial's. Code is read into a scratch arena: lists only need its state. */
#define WINNER_COLUMNS                                                                             \
    "w.id, w.trial_id, w.default_trial_id, w.speedup, w.speedup_lo, w.speedup_hi, w.ties,"         \
    " w.default_us, w.roofline, w.flip_risk, w.noisy, w.drift, w.run_id, w.unix_time,"             \
    " w.device_id = t.device_id AND w.spec_id = t.spec_id AND w.shape_id = t.shape_id, "

static void row_winner(sk_query *q, sk_arena *mem, sk_db_winner *out)
{
    out->id = sk_row_int(q);
    out->trial_id = sk_row_int(q);
    out->default_trial_id = sk_row_int(q);
    out->speedup = sk_row_real(q);
    out->speedup_lo = sk_row_real(q);
    out->speedup_hi = sk_row_real(q);
    out->ties = sk_row_text(q, mem);
    out->default_us = sk_row_real(q);
    out->roofline = sk_row_real(q);
    out->flip_risk = sk_row_real(q);
    out->noisy = sk_row_real(q);
    out->drift = sk_row_real(q);
    out->run_id = sk_row_text(q, mem);
    out->unix_time = sk_row_int(q);
    bool linked = sk_row_int(q) == 1;

    char key[65];
    sk_arena scratch = {0};
    sk_db_artifact artifact;
    sk_row_artifact(q, &scratch, key, &artifact);
    sk_row_trial(q, mem, &out->trial);
    const char *fault = NULL;
    if (q->rc != SQLITE_NOMEM) {
        fault = linked ? sk_db_trial_fault(&out->trial) : "damaged: its links disagree";
        if (!fault)
            fault = sk_db_artifact_fault(key, &artifact, out->trial.key.ir_hash);
    }
    out->state = fault ? fault : artifact.bytes ? "ready" : "recipe";
    sk_arena_free(&scratch);
}

sk_status sk_db_winners(sk_db *db, const sk_db_filter *filter, sk_arena *mem, sk_db_winner **out,
                        size_t *count, sk_err *err)
{
    filter_texts texts;
    void *array = NULL, *taken = NULL;
    size_t room = 0, n = 0;
    *out = NULL;
    *count = 0;
    pthread_mutex_lock(&db->lock);
    sk_query q =
        sk_query_begin(db, SK_STMT_WINNERS,
                       "SELECT " WINNER_COLUMNS SK_ARTIFACT_COLUMNS ", " SK_TRIAL_COLUMNS
                       " FROM winner w JOIN trial t ON t.id = w.trial_id" SK_TRIAL_JOINS FILTER
                       " AND (?5 IS NULL OR w.run_id = ?5) AND (?6 IS NULL OR w.id = ?6)"
                       " ORDER BY s.kernel, s.text, h.batch, h.context, h.text, d.name, d.key");
    bind_filter(&q, filter, &texts);
    while (sk_query_step(&q)) {
        sk_db_winner *winner = array_grow(&array, n, &room, sizeof *winner);
        if (winner) {
            row_winner(&q, mem, winner);
            n++;
        } else {
            q.rc = SQLITE_NOMEM;
        }
    }
    sk_status st = sk_query_end(&q, "listing winners", err);
    pthread_mutex_unlock(&db->lock);
    if (st == SPHKV_OK)
        st = array_take(array, n, sizeof **out, mem, &taken, err);
    sk_free(array);
    if (st == SPHKV_OK) {
        *out = taken;
        *count = n;
    }
    return st;
}
