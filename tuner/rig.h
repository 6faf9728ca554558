/* rig.h - the worker's side of a job: load, check, measure, as asked. Code comes
 * in the job's slots (see forge.h): there is no compiler here. See search.h for
 * who asks. */
#ifndef SK_RIG_H
#define SK_RIG_H

#include "job.h"
#include "worker.h"

typedef enum sk_ask {
    SK_ASK_PROBE, /* makes the inputs: answer.read_bytes, write_bytes */
    SK_ASK_TRIAL, /* [1] candidate, [2] number of the trial, [3] the incumbent's speed, a share
                     of the default's in SK_ASK_UNIT; code in slots 0 and 1 */
    SK_ASK_FINAL  /* answer.entrant[], the default first, code in their slots; [1] rounds at
                     least, [2] at most */
} sk_ask;
#define SK_ASK_UNIT 1000000u

/* An sk_worker_fn; user is an sk_job. */
void sk_rig_serve(void *user, sk_desk *desk, const uint32_t request[SK_REQUEST_WORDS]);

#endif
