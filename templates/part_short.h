/* part_short.h - queries of 16 bits and fewer (part_short_query.c) as the products with keys
 * (part_short.c) find them in q16. */
#ifndef SK_PART_SHORT_H
#define SK_PART_SHORT_H

#include "part_dense.h"

/* Whether numbers are bytes, four to a word; else two. */
static inline bool sk_short_of_bytes(sk_query_form form)
{
    return form == SK_QUERY_AS_BYTES || form == SK_QUERY_AS_PAIRS || form == SK_QUERY_AS_SPLIT;
}

static inline bool sk_short_of_integers(sk_query_form form)
{
    return sk_short_of_bytes(form) || form == SK_QUERY_AS_WORDS;
}

/* Bytes of a number; rows of them, the lower ones of all heads first. */
static inline uint32_t sk_short_planes(sk_query_form form)
{
    return form == SK_QUERY_AS_SPLIT ? 2 : 1;
}

/* Where numbers, from dimension 0 of row r on, lie: of head r, and of c->h + r the upper bytes;
 * where units (k = 0) and sums (k = 1) of head h do, from block 0 on. */
uint32_t sk_short_number_at(const sk_dec *c, sk_query_form form, uint32_t r);
uint32_t sk_short_unit_at(const sk_dec *c, sk_query_form form, uint32_t h, uint32_t k);

#endif
