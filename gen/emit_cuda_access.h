/* emit_cuda_access.h - what memory an instruction touches, by lane, as far as the
 * text of the program tells; for emit_cuda_sync.c. */
#ifndef SK_EMIT_CUDA_ACCESS_H
#define SK_EMIT_CUDA_ACCESS_H

#include "emit_cuda_impl.h"

#define CUDA_MOST_TERMS 4u
#define CUDA_ALL_LANES 0xffffffffu

/* Lane i touches `bytes` bytes at base + sum of factor * value + first + lane[i]; the
 * offset, which is all but base, wraps at 32 bits. */
typedef struct cuda_access {
    sk_val piece;     /* PARAM_PTR or SHARED that it surely comes from, or SK_NONE */
    sk_val base;      /* SK_NONE: the piece's begin */
    sk_val mask;      /* predicate, or SK_NONE: all lanes */
    uint32_t lanes;   /* a bit for each lane that may do it */
    uint32_t nterms;
    struct {
        sk_val value; /* ascending */
        int32_t factor;
    } term[CUDA_MOST_TERMS];
    int64_t first;
    int32_t lane[32];
    int64_t low, high; /* of first + lane[], from the lowest byte to behind the highest */
    uint32_t bytes;
    uint8_t places;   /* CUDA_SCRATCH, CUDA_MEMORY */
    bool store;
    bool scattered;   /* a term is different in each lane, nobody knows how */
} cuda_access;

/* The accesses of an instruction: 0, 1 or 2. */
uint32_t sk_emit_cuda_accesses(const cuda_entry *e, sk_val i, cuda_access out[2]);

/* What is known of when the earlier one of two was. */
typedef enum cuda_when {
    CUDA_NOW,    /* all values that it stands on are still the same */
    CUDA_TURN,   /* the same but for the counter of the loop sk_emit_cuda_turns says */
    CUDA_BEFORE  /* they are others by now */
} cuda_when;

/* The FOR whose turns move the access by a distance that is known, so that those of
 * different turns can be told apart; else SK_NONE. */
sk_val sk_emit_cuda_turns(const cuda_entry *e, const cuda_access *a);

/* Whether a lane may touch in `late` what another lane touched in `early`, and one
 * of the two stores. */
bool sk_emit_cuda_conflict(const cuda_entry *e, const cuda_access *early, cuda_when when,
                           const cuda_access *late);

#endif
