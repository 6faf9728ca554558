/* page_retier.h - what the forms of page_retier share. */
#ifndef SK_PAGE_RETIER_H
#define SK_PAGE_RETIER_H

#include "kv_encode.h"

enum { SK_RETIER_TO, SK_RETIER_FROM }; /* tiers of the mix */

/* Both halves, each with the spec that it shall see: the source's without RoPE, the
 * destination's from kf32:vf32 (no values where it wants none); without mean, permutation
 * and transform where keys stay in the space of codes. */
typedef struct sk_retier_specs {
    sk_spec from, to;
} sk_retier_specs;
void sk_retier_split(const sk_spec *spec, sk_retier_specs *out);

#endif
