/* space.h - the schedules that may run a spec on a target.
 *
 * All combinations of the kernel's tunables that `valid` accepts, in one fixed
 * order: the default first, then as the table of tunables counts. The place in
 * that order (rank) breaks ties, so machines of a kind agree. Which of them is
 * tried when is another matter (walk.h).
 *
 * Schedules that make the same code are one candidate: IR is built and hashed
 * when a candidate's turn comes (its hash is the key of its record anyway), and
 * one whose code was seen before is passed over. */
#ifndef SK_SPACE_H
#define SK_SPACE_H

#include "image_load.h"

typedef struct sk_candidate {
    sk_schedule schedule;
    char ir_hash[65];   /* "" until resolved, or when no IR could be built */
    uint32_t same_as;   /* index of the first candidate with this code; itself when new */
    bool resolved;
    sk_status built;    /* why there is no IR, when not OK; message below */
    const char *reason; /* in the space's arena, or NULL */
} sk_candidate;

typedef struct sk_space {
    sk_spec spec;
    sk_target target;
    uint64_t combinations;   /* of all tunables, valid or not */
    uint32_t count;          /* valid ones; index = rank, 0 = the default schedule */
    sk_candidate *candidate; /* [count] */
    sk_arena arena;
} sk_space;

/* SPHKV_EUNSUPPORTED when the kernel does not do the spec. */
sk_status sk_space_make(const sk_spec *spec, const sk_target *target, sk_space *out, sk_err *err);
void sk_space_free(sk_space *space); /* a zeroed one is fine */

/* Leaves the candidates whose tunables have the values of a text like "w=16,prefetch=1",
 * and the default. Before anything is resolved. SPHKV_EINVAL: not a text of this kernel's
 * tunables. */
sk_status sk_space_keep(sk_space *space, const char *values, sk_err *err);

/* Builds and hashes the IR of a candidate, once. A build that fails is in
 * `built`; the return is SPHKV_ENOMEM or SPHKV_OK. */
sk_status sk_space_resolve(sk_space *space, uint32_t index, sk_err *err);

/* Index of the candidate with that schedule, or SK_NONE. */
uint32_t sk_space_find(const sk_space *space, const sk_schedule *schedule);

#endif
