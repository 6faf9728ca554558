/* search_impl.h - what the parts of a search share: search.c says which candidates,
 * search_try.c asks the workers, search_final.c lets the best of them meet and keeps the winner.
 * Nobody else includes it. */
#ifndef SK_SEARCH_IMPL_H
#define SK_SEARCH_IMPL_H

#include "forge.h"
#include "progress.h"
#include "rig.h"
#include "search.h"
#include "walk.h"

#define FINAL_SHARE 0.25   /* of the job's time, at most kept for the final round */
#define FINALIST_LEAST 0.9 /* of the default's speed in its trial, to get into the final */

typedef struct sk_search {
    sk_job *job;
    sk_store *store;
    const sk_search_params *p;
    sk_progress *progress;   /* may be NULL */
    sk_worker worker;        /* measures */
    sk_forge forge;          /* compiles */
    sk_walk walk;
    sk_tried *tried;         /* [count] */
    sk_made *made;           /* [count]: code at hand, of those that may get into the final */
    uint32_t count, cap;
    uint32_t best;           /* place in tried of the fastest so far */
    uint32_t now;            /* trials run by this command */
    double started;
    bool stopped, probed, prepared, forging;
    bool lost;               /* the device could not be opened again */
    sk_result *out;
} sk_search;

/* Inputs, compilers, the measuring worker; once per job, before the first
 * question. A job that finds all it wants in the database never comes here. */
sk_status sk_search_prepare(sk_search *s, sk_err *err);
/* An sk_tick_fn; user is the search. */
bool sk_search_tick(void *user);
/* The measuring worker's answer: SPHKV_OK, its own status with the message in
 * err, or, for one that died, SPHKV_EDEVICE with what happened. */
sk_status sk_search_ask(sk_search *s, const uint32_t request[SK_REQUEST_WORDS], sk_report *report,
                        sk_err *err);
/* The compiler's name: what is known is known of a compiler, so it comes first. Where there
 * is none, what the last one left may be all that is asked for. */
sk_status sk_search_compiler(sk_search *s, sk_err *err);
/* Tries a candidate whose code is in the slots; in a noisy stretch once more, and marks what
 * that does not help. Its pairs stand either way: what slows both sides does not show in
 * their ratio. */
void sk_search_try(sk_search *s, uint32_t index, uint32_t ordinal, sk_tried *t);
/* Compiles, with the progress saying so. */
sk_status sk_search_forge(sk_search *s, const sk_order *order, uint32_t n, sk_err *err);

/* The final round, its verdict, the records; or the winner that is stored when
 * this run tried nothing. Fills the result. */
sk_status sk_search_finish(sk_search *s, sk_err *err);

#endif
