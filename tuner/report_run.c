/* report_run.c - the records a run is about: those of its device, kernels, specs and
 * shapes, out of all that its database holds. */
#include <string.h>

#include "report.h"

typedef struct run_of {
    const char *fingerprint;
    const sk_results *results;
} run_of;

static bool is_of_run(const sk_record *record, const void *user)
{
    const run_of *run = user;
    const sk_db_trial_key *key = &record->trial[0]->key;
    char shape[SK_DB_SHAPE_TEXT], wanted[SK_DB_SHAPE_TEXT];
    if (strcmp(key->device->fingerprint, run->fingerprint) != 0) return false;
    sk_db_shape_text(&key->shape, shape);
    for (uint32_t i = 0; i < run->results->n; i++) {
        const sk_result *r = &run->results->result[i];
        sk_db_shape_text(&r->shape, wanted);
        if (strcmp(r->kernel, key->kernel) == 0 && r->spec && strcmp(r->spec, key->spec) == 0 &&
            strcmp(shape, wanted) == 0)
            return true;
    }
    return false;
}

sk_status sk_report_collect(const sk_store *store, const sk_results *results, sk_records *out,
                            sk_err *err)
{
    const run_of run = {store->record.fingerprint, results};
    sk_status st = sk_records_add(out, store->db, &store->record, err);
    if (st == SPHKV_OK) sk_records_keep(out, is_of_run, &run);
    return st;
}
