/* strategy_impl.h - what strategies share: the points that are gone, what was told. */
#ifndef SK_STRATEGY_IMPL_H
#define SK_STRATEGY_IMPL_H

#include "ir.h" /* SK_NONE */
#include "strategy.h"

typedef enum sk_point_state {
    SK_POINT_FREE, SK_POINT_GIVEN, SK_POINT_TOLD, SK_POINT_SKIPPED
} sk_point_state;

/* A strategy: NULL functions have nothing to do. */
typedef struct sk_strategy_kind {
    const char *name;
    sk_status (*make)(sk_strategy *s, sk_err *err);
    void (*free)(sk_strategy *s);
    uint32_t (*next)(sk_strategy *s); /* a free point; SK_NONE: let the order say */
} sk_strategy_kind;

struct sk_strategy {
    const sk_strategy_kind *kind;
    sk_points points;
    uint32_t trials;
    sk_rng rng;
    uint8_t *state;    /* [n]: sk_point_state */
    double *cost;      /* [n]: of points that were told */
    uint32_t *order;   /* [n]: the seeded order; `at`: how far it is used up */
    uint32_t *told;    /* [n]: in the order of telling */
    uint32_t at, tolds, best; /* best: point, or SK_NONE */
    void *own;
};

extern const sk_strategy_kind sk_strategy_local, sk_strategy_model;

/* Dimensions in which two points differ. */
uint32_t sk_points_apart(const sk_points *p, uint32_t a, uint32_t b);

#endif
