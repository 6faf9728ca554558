/* space.h - the schedules that may run a spec on a target.
 *
 * All combinations of the kernel's tunables that `valid` accepts, in one fixed
 * order: the default first, then as the table of tunables counts. The place in
 * that order (rank) breaks ties, so machines of a kind agree. Which of them is
 * tried when is another matter: a walk through the space, the default first,
 * then in a seeded order, neighbours of the best so far mixed in.
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

/* Builds and hashes the IR of a candidate, once. A build that fails is in
 * `built`; the return is SPHKV_ENOMEM or SPHKV_OK. */
sk_status sk_space_resolve(sk_space *space, uint32_t index, sk_err *err);
/* Resolves all; how many differ in their code. */
sk_status sk_space_resolve_all(sk_space *space, uint32_t *distinct, sk_err *err);

/* Index of the candidate with that schedule, or SK_NONE. */
uint32_t sk_space_find(const sk_space *space, const sk_schedule *schedule);

/* ---- the order of trials --------------------------------------------------- */

/* Deterministic for a seed and the sequence of bests it is told. */
typedef struct sk_walk {
    sk_space *space;
    uint32_t *order;  /* [count]: 0, then the rest shuffled */
    bool *taken;      /* [count]: handed out, or passed over */
    uint32_t next;    /* place in order */
    uint32_t *near;   /* [count]: neighbours of the best, to be tried */
    uint32_t nears, turn;
    sk_rng rng;
} sk_walk;
sk_status sk_walk_start(sk_space *space, uint64_t seed, sk_walk *out, sk_err *err);
void sk_walk_free(sk_walk *walk);
/* The best so far changed: its neighbours (one tunable apart) come next, two of
 * them to one of the seeded order. */
void sk_walk_best(sk_walk *walk, uint32_t index);
/* The next candidate, resolved and with code of its own (or without IR); false
 * when the space is exhausted. */
sk_status sk_walk_next(sk_walk *walk, uint32_t *index, bool *more, sk_err *err);

#endif
