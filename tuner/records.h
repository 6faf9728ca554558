/* records.h - the databases as a person looks at them: one record per tuning
 * problem (device, kernel, spec, shape) with its trials and, when one passed,
 * its winner. sphkv-db prints these as a list, in full, or in words.
 *
 * Everything lies in the arena of sk_records; texts may come from a stranger's
 * database, so what is printed for a terminal goes through sk_record_clean. */
#ifndef SK_RECORDS_H
#define SK_RECORDS_H

#include "db.h"

typedef struct sk_record {
    const sk_db_winner *winner;       /* NULL: nothing passed */
    const sk_db_trial *const *trial;  /* all trials of the problem, at least one, by row */
    size_t trial_count;
    const char *source;               /* path of the database */
    const char *tiers;                /* the mix, or the whole spec when it does not parse */
    const char *match;                /* to this machine: "exact", "same arch", "other device" */
} sk_record;

typedef struct sk_records {
    sk_arena mem;
    sk_record *at; /* by kernel, spec, shape, device; databases one after the other */
    size_t count;
} sk_records;

/* Reads all of db and appends to *records (zeroed before the first call);
 * host: this machine, for `match`. */
sk_status sk_records_add(sk_records *records, sk_db *db, const sk_db_device *host, sk_err *err);
void sk_records_free(sk_records *records);

/* Drops the records that `what` does not name: the beginning (4 digits or
 * more) of the hash of one of its trials, or a part of its spec or tiers. */
void sk_records_select(sk_records *records, const char *what);
/* Drops those that `keep` does not want. */
void sk_records_keep(sk_records *records, bool (*keep)(const sk_record *record, const void *user),
                     const void *user);

/* What the trials of one record add up to. */
typedef struct sk_record_sum {
    size_t outcome[SK_OUTCOME_COUNT];
    size_t tried;           /* all but skipped and invalid */
    size_t failed;          /* tried and not ok */
    size_t ties;            /* schedules in the winner's list of ties */
    double seconds;         /* spent on all of them */
    double bound;           /* error allowed by the accuracy class; 0 when unknown */
    const char *default_schedule; /* NULL when its trial is not known */
} sk_record_sum;
void sk_record_add_up(const sk_record *record, sk_record_sum *sum);

/* ---- printing (records_text.c, records_json.c) ---------------------------- */

typedef enum sk_records_form { SK_RECORDS_LS, SK_RECORDS_SHOW, SK_RECORDS_EXPLAIN } sk_records_form;

void sk_records_text(const sk_records *records, sk_records_form form, bool color, sk_text *out);
/* One JSON array. False when memory ran out. */
bool sk_records_json(const sk_records *records, sk_records_form form, sk_text *out);

/* Appends text with control characters as '?'. */
void sk_record_clean(sk_text *out, const char *text);

#endif
