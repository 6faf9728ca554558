/* records.c - reading a database into tuning problems.
 *
 * All trials of a database are sorted by problem and cut where the problem
 * changes; winners are attached by the row of their trial. A database holds
 * thousands of trials at most, so reading everything is simpler than a query
 * per question, and fast enough. */
#include "records.h"

#include <stdlib.h>
#include <string.h>

#include "spec.h"

static int trial_order(const void *pa, const void *pb)
{
    const sk_db_trial *a = *(const sk_db_trial *const *)pa, *b = *(const sk_db_trial *const *)pb;
    int c = sk_db_problem_order(a, b);
    return c ? c : a->id < b->id ? -1 : a->id > b->id;
}

static const char *tiers_of(sk_arena *mem, const char *spec_text)
{
    sk_spec spec;
    sk_text mix = {0};
    if (sk_spec_parse(spec_text, &spec, NULL) != SPHKV_OK)
        return spec_text;
    sk_spec_mix_print(&spec, &mix);
    const char *tiers = mix.failed ? NULL : sk_arena_strdup(mem, mix.s);
    sk_text_free(&mix);
    return tiers ? tiers : spec_text;
}

static const char *match_of(const sk_db_device *device, const sk_db_device *host)
{
    if (strcmp(device->fingerprint, host->fingerprint) == 0)
        return "exact";
    if (strcmp(device->kind, host->kind) == 0 && strcmp(device->arch, host->arch) == 0)
        return "same arch";
    return "other device";
}

/* What one database holds, before it is cut into records. */
typedef struct contents {
    const sk_db_trial **trial; /* sorted by problem */
    size_t trial_count;
    sk_db_winner *winner;
    size_t winner_count;
} contents;

static sk_status read_contents(sk_db *db, sk_arena *mem, contents *out, sk_err *err)
{
    sk_db_trial *trials = NULL;
    sk_status st = sk_db_trials(db, NULL, mem, &trials, &out->trial_count, err);
    if (st == SPHKV_OK)
        st = sk_db_winners(db, NULL, mem, &out->winner, &out->winner_count, err);
    if (st != SPHKV_OK || out->trial_count == 0)
        return st;
    out->trial = sk_arena_alloc(mem, out->trial_count * sizeof *out->trial);
    if (!out->trial)
        return sk_fail(err, SPHKV_ENOMEM, "out of memory");
    for (size_t i = 0; i < out->trial_count; i++)
        out->trial[i] = &trials[i];
    qsort(out->trial, out->trial_count, sizeof *out->trial, trial_order);
    return SPHKV_OK;
}

static const sk_db_winner *winner_of(const contents *from, const sk_db_trial *problem)
{
    for (size_t i = 0; i < from->winner_count; i++)
        if (sk_db_problem_order(&from->winner[i].trial, problem) == 0)
            return &from->winner[i];
    return NULL;
}

sk_status sk_records_add(sk_records *records, sk_db *db, const sk_db_device *host, sk_err *err)
{
    contents all = {0};
    sk_arena *mem = &records->mem;
    sk_status st = read_contents(db, mem, &all, err);
    if (st != SPHKV_OK || all.trial_count == 0)
        return st;
    size_t problems = 1;
    for (size_t i = 1; i < all.trial_count; i++)
        problems += sk_db_problem_order(all.trial[i - 1], all.trial[i]) != 0;
    sk_record *grown = sk_arena_alloc(mem, (records->count + problems) * sizeof *grown);
    const char *source = sk_arena_strdup(mem, sk_db_path(db));
    if (!grown || !source)
        return sk_fail(err, SPHKV_ENOMEM, "out of memory");
    if (records->count)
        memcpy(grown, records->at, records->count * sizeof *grown);
    records->at = grown;
    for (size_t i = 0, end; i < all.trial_count; i = end) {
        const sk_db_trial *first = all.trial[i];
        for (end = i + 1; end < all.trial_count; end++)
            if (sk_db_problem_order(first, all.trial[end]) != 0)
                break;
        grown[records->count++] = (sk_record){.winner = winner_of(&all, first),
                                              .trial = &all.trial[i],
                                              .trial_count = end - i,
                                              .source = source,
                                              .tiers = tiers_of(mem, first->key.spec),
                                              .match = match_of(first->key.device, host)};
    }
    return SPHKV_OK;
}

void sk_records_free(sk_records *records)
{
    sk_arena_free(&records->mem);
    memset(records, 0, sizeof *records);
}

static bool is_named(const sk_record *record, const void *user)
{
    const char *what = user;
    size_t length = strlen(what);
    if (strstr(record->trial[0]->key.spec, what) || strstr(record->tiers, what))
        return true;
    if (length < 4 || strspn(what, "0123456789abcdef") != length)
        return false;
    for (size_t i = 0; i < record->trial_count; i++)
        if (strncmp(record->trial[i]->trial_hash, what, length) == 0)
            return true;
    return false;
}

void sk_records_keep(sk_records *records, bool (*keep)(const sk_record *record, const void *user),
                     const void *user)
{
    size_t kept = 0;
    for (size_t i = 0; i < records->count; i++)
        if (keep(&records->at[i], user))
            records->at[kept++] = records->at[i];
    records->count = kept;
}

void sk_records_select(sk_records *records, const char *what)
{
    sk_records_keep(records, is_named, what);
}

void sk_record_add_up(const sk_record *record, sk_record_sum *sum)
{
    memset(sum, 0, sizeof *sum);
    const sk_db_winner *winner = record->winner;
    for (size_t i = 0; i < record->trial_count; i++) {
        const sk_db_trial *t = record->trial[i];
        sum->outcome[t->outcome]++;
        if (t->seconds > 0)
            sum->seconds += t->seconds;
        if (winner && t->id == winner->default_trial_id)
            sum->default_schedule = t->key.schedule;
    }
    sum->tried =
        record->trial_count - sum->outcome[SK_OUTCOME_SKIPPED] - sum->outcome[SK_OUTCOME_INVALID];
    sum->failed = sum->tried - sum->outcome[SK_OUTCOME_OK];
    if (winner && winner->ties[0]) {
        sum->ties = 1;
        for (const char *p = winner->ties; *p; p++)
            sum->ties += *p == ';';
    }
    uint32_t accuracy;
    if (sk_accuracy_parse(record->trial[0]->key.accuracy, &accuracy))
        sum->bound = sk_accuracy_bound(accuracy);
}

void sk_record_clean(sk_text *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p;
        sk_text_append(out, c < 0x20 || c == 0x7f ? "?" : p, 1);
    }
}
