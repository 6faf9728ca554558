/* simulate.h - a search in a recorded space, as if it were a device: what a strategy would
 * have found, and how long it would have taken. */
#ifndef SK_SIMULATE_H
#define SK_SIMULATE_H

#include "json.h"
#include "t4.h"

typedef struct sk_simulation_params {
    const char *file;            /* T4 */
    const char *t1;              /* its description; NULL: none */
    const char *strategy;        /* a name of strategy.h */
    uint32_t trials;             /* evaluations of a run; a failure costs one */
    uint64_t seed;               /* of the first run */
    uint32_t runs;               /* seeds one after the other */
    const volatile int *stop;    /* set by a signal; may be NULL */
} sk_simulation_params;

/* One run. */
typedef struct sk_simulation {
    uint64_t seed;
    uint32_t evaluations;
    double best, regret; /* regret: best / optimum - 1; INFINITY: nothing was right */
    double seconds;      /* of the device that was recorded: compiling and running */
} sk_simulation;

sk_status sk_simulate(const sk_t4 *space, const sk_simulation_params *params, uint64_t seed,
                      sk_simulation *out, sk_err *err);

/* All runs of the params, as a line of text, or as JSON: one object of a run, with several
 * also "runs" and their mean. *stopped: params->stop was set. */
sk_status sk_simulate_report(const sk_simulation_params *params, bool json, sk_text *out,
                             bool *stopped, sk_err *err);

#endif
