/* search.h - the tuner's main loop for one job: which candidate next, ask a
 * worker, record, until the space, the trials or the time are used up; then the
 * final round and the winner.
 *
 * Running again continues: a trial in the database is taken as tried and counts
 * as one of the run. A worker that did anything but answer is replaced, and its
 * candidate gets one more try in a fresh one, because memory may have been
 * spoiled by the one before. */
#ifndef SK_SEARCH_H
#define SK_SEARCH_H

#include "store.h"
#include "worker.h"

/* What a user sees while it runs; see progress.h. May be NULL. */
struct sk_progress;

typedef struct sk_search_params {
    const char *strategy; /* a name of strategy.h */
    uint32_t trials;     /* most, those of earlier runs included; 0 = all */
    uint32_t trials_least; /* before the time counts */
    double seconds;      /* for this job, final round included; 0 = any */
    uint32_t compilers;  /* at once, at most; 0 = one per CPU */
    sk_limits limits;
    struct sk_progress *progress;
    const volatile int *stop; /* set by a signal; may be NULL */
} sk_search_params;

/* One row of the table of winners. Texts are the result's own. */
typedef struct sk_result {
    const char *kernel;      /* static */
    char *spec, *tiers, *schedule;
    sk_db_shape shape;
    const char *accuracy;    /* static */
    uint32_t layout;         /* row of the layout table */
    bool verified;           /* there is a winner */
    bool stored_before;      /* it was found, not measured now */
    char message[400];       /* why not verified */
    double median_us, default_us;
    sk_interval speedup;
    double flip_risk, noisy, drift; /* of the final, see db.h; NAN = not known */
    char *ties;              /* "a=1,b=2;a=2,b=2", winner not included; may be "" */
    double bytes, gbps, bandwidth_gbps, roofline, error;
    uint32_t trials, failed, found; /* found: of earlier runs */
    uint32_t busy;           /* left to another tuner */
    double seconds;
} sk_result;
void sk_result_free(sk_result *result); /* a zeroed one is fine */

/* SPHKV_OK also when nothing could be verified (see the result); an error is one
 * of the machine or the database: SPHKV_ECOMPILE no compiler, SPHKV_EDB,
 * SPHKV_EIO, SPHKV_ENOMEM. *stopped: params->stop was set; what is known is
 * stored. */
sk_status sk_search_run(sk_job *job, sk_store *store, const sk_search_params *params,
                        sk_result *out, bool *stopped, sk_err *err);

#endif
