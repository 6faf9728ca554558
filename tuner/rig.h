/* rig.h - the worker's side of a job: compile, load, check, measure, as asked.
 * See search.h for who asks. */
#ifndef SK_RIG_H
#define SK_RIG_H

#include "job.h"
#include "worker.h"

typedef enum sk_ask {
    SK_ASK_PROBE, /* is there a compiler: answer.compiler */
    SK_ASK_TRIAL, /* [1] candidate, [2] number of the trial */
    SK_ASK_FINAL, /* answer.entrant[], the default first; [1] rounds, [2] with a sweep */
    SK_ASK_CODE   /* [1] candidate: answer.code and its texts */
} sk_ask;

/* An sk_worker_fn; user is an sk_job. */
void sk_rig_serve(void *user, sk_desk *desk, const uint32_t request[SK_REQUEST_WORDS]);

#endif
