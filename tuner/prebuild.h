/* prebuild.h - kernels for GPUs that are not here: of each spec and card the default
 * schedule and the best ranked ones (rank.h) are compiled and kept in a database,
 * with the PTX of the default beside them for cards that nobody compiled for.
 * Nothing of it has run: trials and winners are marked as predictions (db.h).
 *
 * Each spec is one piece of work, done by a worker process that ranks, compiles
 * (NVRTC may abort or hang) and stores on its own, card by card; what is stored
 * already, from this generator, is left alone. So it may be interrupted anywhere. */
#ifndef SK_PREBUILD_H
#define SK_PREBUILD_H

#include "progress.h"
#include "rank.h"
#include "wish.h"
#include "worker.h"

#define SK_PREBUILD_CARDS 16u

/* One spec at the shapes that are asked for. */
typedef struct sk_prebuild_item {
    sk_spec spec;
    uint32_t nshape;
    sk_shape shape[SK_RANK_SHAPES];
} sk_prebuild_item;

/* What became of a spec on a card. */
typedef struct sk_prebuild_card {
    bool done, found;       /* found: of an earlier run */
    uint32_t kept, dropped; /* schedules; dropped: spilled or not compiled */
    uint32_t registers, shared_bytes, spill_bytes; /* of the default */
    uint64_t code_bytes;
    double us[SK_RANK_SHAPES]; /* predicted, of the winner */
    double speedup[SK_RANK_SHAPES];
    char schedule[256];     /* of the winner at the first shape */
    char why[256];          /* not done */
} sk_prebuild_card;

typedef struct sk_prebuild_result {
    sk_prebuild_card card[SK_PREBUILD_CARDS];
    double seconds;
    uint32_t counted; /* schedules */
    sk_status status; /* SPHKV_OK, or what the whole item ended with; see why */
    char why[400];
} sk_prebuild_result;

typedef struct sk_prebuild {
    sk_card card[SK_PREBUILD_CARDS];
    uint32_t cards;
    sk_prebuild_item *item;
    uint32_t items, cap;
    sk_prebuild_result *result; /* shared, [items]; made by run */
    const char *db_path;
    uint32_t keep;              /* schedules per spec and card, the default among them */
    uint32_t seats;             /* workers at once; 0: one per CPU */
    char run_id[40];
} sk_prebuild;

/* SPHKV_ECOMPILE with the reason when there is nothing to compile with. Asked in a
 * process of its own: NVRTC must not be opened before the workers are forked. */
sk_status sk_prebuild_compiler(sk_err *err);
/* "sm_80,sm_90a": cards to build for. */
sk_status sk_prebuild_archs(sk_prebuild *p, const char *list, sk_err *err);
/* Adds the specs and shapes of a wish, each once. */
sk_status sk_prebuild_add(sk_prebuild *p, const sk_wish *wish, sk_err *err);
/* Does it all; *stopped when tick said stop. Lines about items go to progress. */
sk_status sk_prebuild_run(sk_prebuild *p, sk_progress *progress, sk_tick_fn tick, void *user,
                          bool *stopped, sk_err *err);
void sk_prebuild_free(sk_prebuild *p); /* a zeroed one is fine */

#endif
