/* spec_tier.h - what the tier grammar and the spec share about one segment,
 * of no use to anybody else: hence not in spec.h. */
#ifndef SK_SPEC_TIER_H
#define SK_SPEC_TIER_H

#include "spec.h"

/* Ranges of one segment; dims = 0 when not known yet. */
sk_status sk_segment_check(const sk_segment *seg, uint32_t dims, sk_err *err);
/* Brings the span to its one spelling for a segment of `dims` dimensions. */
void sk_segment_normalise(sk_segment *seg, uint32_t dims);

#endif
