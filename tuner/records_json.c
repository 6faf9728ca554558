/* records_json.c - records for machines.
 *
 * Numbers that JSON readers round (seeds) are texts, numbers that are not
 * known are null. Whatever cJSON could not allocate makes the whole answer
 * fail: half an answer is worse than none. */
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "records.h"

/* A tree under construction; failed: some node could not be made. */
typedef struct tree {
    bool failed;
} tree;

static void text(tree *t, cJSON *to, const char *name, const char *value)
{
    t->failed |= !cJSON_AddStringToObject(to, name, value);
}

static void number(tree *t, cJSON *to, const char *name, double value)
{
    t->failed |= isfinite(value) ? !cJSON_AddNumberToObject(to, name, value)
                                 : !cJSON_AddNullToObject(to, name);
}

static cJSON *object(tree *t, cJSON *to, const char *name)
{
    cJSON *made = cJSON_AddObjectToObject(to, name);
    t->failed |= !made;
    return made;
}

static void array_add(tree *t, cJSON *array, cJSON *item)
{
    if (!item || !cJSON_AddItemToArray(array, item)) {
        t->failed = true;
        cJSON_Delete(item);
    }
}

static void add_samples(tree *t, cJSON *to, const char *name, const double *samples, size_t count)
{
    cJSON *array = cJSON_AddArrayToObject(to, name);
    t->failed |= !array;
    for (size_t i = 0; i < count && !t->failed; i++)
        array_add(t, array,
                  isfinite(samples[i]) ? cJSON_CreateNumber(samples[i]) : cJSON_CreateNull());
}

static void add_problem(tree *t, cJSON *to, const sk_record *record)
{
    const sk_db_trial_key *key = &record->trial[0]->key;
    const sk_db_shape *h = &key->shape;
    text(t, to, "kernel", key->kernel);
    text(t, to, "spec", key->spec);
    text(t, to, "tiers", record->tiers);
    cJSON *shape = object(t, to, "shape");
    number(t, shape, "batch", h->batch);
    number(t, shape, "context", h->context);
    number(t, shape, "kv_heads", h->kv_heads);
    number(t, shape, "q_heads", h->q_heads);
    number(t, shape, "q_len", h->q_len);
    number(t, shape, "threads", h->threads);
    cJSON *device = object(t, to, "device");
    text(t, device, "kind", key->device->kind);
    text(t, device, "name", key->device->name);
    text(t, device, "arch", key->device->arch);
    text(t, device, "fingerprint", key->device->fingerprint);
    text(t, to, "match", record->match);
    text(t, to, "database", record->source);
}

static void add_trial(tree *t, cJSON *to, const sk_db_trial *trial, bool samples)
{
    char seed[24];
    snprintf(seed, sizeof seed, "%" PRIu64, trial->seed);
    text(t, to, "id", trial->trial_hash);
    text(t, to, "schedule", trial->key.schedule);
    text(t, to, "ir_hash", trial->key.ir_hash);
    text(t, to, "accuracy", trial->key.accuracy);
    text(t, to, "run_kind", trial->key.run_kind);
    text(t, to, "outcome", sk_db_outcome_text(trial->outcome));
    text(t, to, "message", trial->message);
    number(t, to, "median_us", trial->median_us);
    number(t, to, "error", trial->error >= 0 ? trial->error : (double)NAN);
    text(t, to, "error_kind", trial->error_kind);
    number(t, to, "bytes", (double)trial->bytes);
    number(t, to, "bandwidth_gbps", trial->bandwidth_gbps);
    number(t, to, "roofline", trial->roofline);
    text(t, to, "seed", seed);
    text(t, to, "tool_version", trial->tool_version);
    text(t, to, "compiler_version", trial->compiler_version);
    text(t, to, "driver_version", trial->driver_version);
    number(t, to, "unix_time", (double)trial->unix_time);
    number(t, to, "seconds", trial->seconds);
    text(t, to, "run_id", trial->run_id);
    text(t, to, "artifact", trial->artifact_key);
    if (samples) {
        add_samples(t, to, "samples_us", trial->samples, trial->sample_count);
        add_samples(t, to, "baseline_us", trial->baseline, trial->baseline_count);
    }
}

static void add_winner(tree *t, cJSON *record_object, const sk_record *record)
{
    const sk_db_winner *w = record->winner;
    if (!w) {
        t->failed |= !cJSON_AddNullToObject(record_object, "winner");
        return;
    }
    cJSON *to = object(t, record_object, "winner");
    if (t->failed)
        return;
    number(t, to, "speedup", w->speedup);
    number(t, to, "speedup_lo", w->speedup_lo);
    number(t, to, "speedup_hi", w->speedup_hi);
    number(t, to, "default_us", w->default_us);
    number(t, to, "flip_risk", w->flip_risk);
    number(t, to, "noisy_rounds", w->noisy);
    number(t, to, "drift", w->drift);
    text(t, to, "ties", w->ties);
    text(t, to, "state", w->state);
    add_trial(t, to, &w->trial, false);
}

static void add_sum(tree *t, cJSON *record_object, const sk_record *record)
{
    sk_record_sum sum;
    sk_record_add_up(record, &sum);
    cJSON *to = object(t, record_object, "sum");
    if (t->failed)
        return;
    number(t, to, "trials", (double)record->trial_count);
    number(t, to, "tried", (double)sum.tried);
    number(t, to, "failed", (double)sum.failed);
    cJSON *outcomes = object(t, to, "outcomes");
    for (int o = 0; o < SK_OUTCOME_COUNT; o++)
        number(t, outcomes, sk_db_outcome_text((sk_db_outcome)o), (double)sum.outcome[o]);
    number(t, to, "ties", (double)sum.ties);
    number(t, to, "seconds", sum.seconds);
    number(t, to, "error_bound", sum.bound > 0 ? sum.bound : (double)NAN);
    if (sum.default_schedule)
        text(t, to, "default_schedule", sum.default_schedule);
}

static cJSON *record_json(tree *t, const sk_record *record, sk_records_form form)
{
    cJSON *to = cJSON_CreateObject();
    if (!to) {
        t->failed = true;
        return NULL;
    }
    add_problem(t, to, record);
    add_winner(t, to, record);
    if (form == SK_RECORDS_EXPLAIN)
        add_sum(t, to, record);
    if (form == SK_RECORDS_SHOW) {
        cJSON *trials = cJSON_AddArrayToObject(to, "trials");
        t->failed |= !trials;
        for (size_t i = 0; i < record->trial_count && !t->failed; i++) {
            cJSON *item = cJSON_CreateObject();
            if (item)
                add_trial(t, item, record->trial[i], true);
            array_add(t, trials, item);
        }
    }
    return to;
}

bool sk_records_json(const sk_records *records, sk_records_form form, sk_text *out)
{
    tree t = {0};
    cJSON *root = cJSON_CreateArray();
    t.failed = !root;
    for (size_t i = 0; i < records->count && !t.failed; i++)
        if (form != SK_RECORDS_LS || records->at[i].winner)
            array_add(&t, root, record_json(&t, &records->at[i], form));
    char *printed = t.failed ? NULL : cJSON_Print(root);
    if (printed)
        sk_text_printf(out, "%s\n", printed);
    cJSON_free(printed);
    cJSON_Delete(root);
    return printed && !out->failed;
}
