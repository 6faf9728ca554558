/* page_retier.h - what the forms of page_retier share. */
#ifndef SK_PAGE_RETIER_H
#define SK_PAGE_RETIER_H

#include "decode.h"
#include "kv_encode.h"

enum { SK_RETIER_TO, SK_RETIER_FROM }; /* tiers of the mix */

/* Both halves, each with the spec that it shall see: the source's without RoPE, the
 * destination's from kf32:vf32 (no values where it wants none); without mean, permutation
 * and transform where keys stay in the space of codes; and both tiers as sets are packed for
 * them. */
typedef struct sk_retier_specs {
    sk_spec from, to, set;
} sk_retier_specs;
void sk_retier_split(const sk_spec *spec, sk_retier_specs *out);

/* How rebuilt keys, which are the source's, become the destination's where one tier keeps
 * them before RoPE (p) and the other does not: rotated as `tier`, the one that is p, says, or
 * back. Nothing where both are alike. Then: the parameters of RoPE, of the whole spec. */
typedef struct sk_retier_turn {
    bool any, back;
    uint32_t tier;
} sk_retier_turn;
sk_retier_turn sk_retier_turn_of(const sk_spec *spec);
void sk_retier_rope_params(sk_dec *d, const sk_spec *spec);

#endif
