/* places.h - whether pages that are written overlap each other or what is read: the
 * destinations are sorted, in memory of the caller's, then looked up. */
#ifndef SK_PLACES_H
#define SK_PLACES_H

#include "kernel.h"

/* A destination: units `at` .. `at` + `units` - 1 of its arena. */
typedef struct sk_place {
    uint32_t at, item;
    uint64_t units;
} sk_place;

typedef struct sk_places {
    sk_place *at, *spare;
    uint32_t n;
    int64_t apart; /* units from the destinations' arena to the sources' */
} sk_places;

/* Bytes for `most` destinations, a multiple of 64. */
size_t sk_places_bytes(uint32_t most);
sk_places sk_places_begin(void *space, uint32_t most);
/* The destination of the next item. */
void sk_places_add(sk_places *p, uint32_t at, uint64_t units);
/* Sorts them; SPHKV_EINVAL when two overlap. */
sk_status sk_places_apart(sk_places *p, sk_err *err);
/* Where sources are counted from; false when the arenas do not meet: nothing can be
 * touched. */
bool sk_places_arenas(sk_places *p, const void *src, size_t src_bytes, const void *dst,
                      size_t dst_bytes);
/* A place that source units at .. at+units-1 touch, or NULL. */
const sk_place *sk_places_touched(const sk_places *p, uint32_t at, uint64_t units);

#endif
