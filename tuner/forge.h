/* forge.h - compiles candidates, several at once, each in a worker of its own.
 *
 * Why apart from measuring: a compile takes longer than all the measuring of a
 * candidate, runs on every CPU without harm as long as nothing is being timed
 * (while something is, on the CPUs that are left), and may abort. The worker that measures then needs no compiler at all. Code is
 * kept by the parent as plain bytes, so a finalist is not compiled again. */
#ifndef SK_FORGE_H
#define SK_FORGE_H

#include "job.h"
#include "worker.h"

#define SK_FORGE_MOST 16u /* compilers at once */

/* What became of one candidate. Own memory; zeroed = not tried. */
typedef struct sk_made {
    sk_db_outcome outcome; /* OK: there is code */
    char message[400];
    char *entries, *launch;
    char kind[8], ir_hash[65];
    void *bytes;
    size_t size;
    double seconds;
} sk_made;
void sk_made_free(sk_made *made);
/* The view of the database; points into made. */
sk_db_artifact sk_made_artifact(const sk_made *made);
/* Into a slot that a measuring worker reads. SPHKV_EINTERNAL: too large. */
sk_status sk_made_show(const sk_made *made, uint32_t index, sk_code_slot *slot, sk_err *err);

typedef struct sk_forge {
    const sk_job *job;
    sk_limits limits;
    uint32_t seats;               /* workers that may run at once */
    uint32_t ahead;               /* those that may while a candidate is measured */
    uint32_t begun[SK_FORGE_MOST]; /* what a worker was asked for ahead, where it was */
    struct sk_seat *seat;         /* [seats] */
    sk_worker worker[SK_FORGE_MOST];
    sk_code_slot *slot;           /* [seats], shared: where they answer */
} sk_forge;

/* seats 0: one per CPU. */
sk_status sk_forge_make(const sk_job *job, const sk_limits *limits, uint32_t seats, sk_forge *out,
                        sk_err *err);
void sk_forge_free(sk_forge *forge); /* a zeroed one is fine */

/* Is there a compiler, and which. SPHKV_ECOMPILE with the reason when not;
 * SPHKV_EDEVICE with *stopped when tick said stop. */
sk_status sk_forge_probe(sk_forge *forge, sk_tick_fn tick, void *user, char compiler[96],
                         bool *stopped, sk_err *err);

/* One candidate to compile. */
typedef struct sk_order {
    uint32_t index;   /* in the space */
    uint32_t ordinal; /* number of its trial; 0 = none (for the fault hooks) */
    sk_made *made;    /* where the result goes */
} sk_order;
/* Begins with the first of what sk_forge_run will be called for next, on the CPUs that the
 * measuring leaves idle. What it is not called for then is lost. */
void sk_forge_ahead(sk_forge *forge, const sk_order *order, uint32_t n);
/* Compiles all; *stopped when tick said stop (then some have no result). */
sk_status sk_forge_run(sk_forge *forge, const sk_order *order, uint32_t n, sk_tick_fn tick,
                       void *user, bool *stopped, sk_err *err);

#endif
