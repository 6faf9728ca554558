/* pick.h - which code a plan runs: the record of the database that fits best,
 * or the default schedule.
 *
 * A record is used only when its schedule parses and is valid here, the IR that
 * it gives now hashes to what the record says, and its code loads with all its
 * entries. Otherwise it is a miss with one line of reason, and the default
 * schedule runs. Code comes from the registry, else from the store, else from
 * the compiler; what was compiled here is checked against the reference before
 * its first use and then stored, so that a machine compiles and checks it once.
 *
 * On a GPU code may also be that of an older architecture, or PTX; the order is in
 * pick_cuda.c. Records that were predicted and never ran are proven like what was
 * compiled here.
 *
 * Compiling happens in this process: default schedules and verified winners
 * are known to compile, and an engine with threads cannot be forked safely. */
#ifndef SK_PICK_H
#define SK_PICK_H

#include "context.h"

#define SK_PICK_NOTES 4

typedef struct sk_pick {
    sk_code *code;        /* a reference for the caller */
    sk_schedule schedule;
    sk_match match;       /* SK_MATCH_NONE: the default schedule */
    char how[320];        /* "exact", "same architecture (record of ...)", "default"; of a GPU
                             with another architecture or PTX: "compute_80: predicted (...)" */
    char note[SK_PICK_NOTES][512]; /* lines for the log, once no lock is held */
    uint32_t notes;
} sk_pick;

/* Holds the context's lock inside. SPHKV_ECOMPILE: nothing stored and nothing
 * to compile with; the message says what to do. On failure there is no code,
 * but there may be notes. */
sk_status sk_pick_code(sphkv_context *ctx, const sk_spec *spec, const sk_db_shape *shape,
                       sk_pick *out, sk_err *err);

/* The shape under which records are stored and looked up. context means
 * nothing, and is 0, for kernels that see no lists. */
sk_db_shape sk_pick_shape(const sk_spec *spec, const sk_shape *shape);

#endif
