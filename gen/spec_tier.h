/* spec_tier.h - what the tier grammar, the spec and its text share, of no use to
 * anybody else: hence not in spec.h. */
#ifndef SK_SPEC_TIER_H
#define SK_SPEC_TIER_H

#include "spec.h"

/* Ranges of one segment; dims = 0 when not known yet. */
sk_status sk_segment_check(const sk_segment *seg, uint32_t dims, sk_err *err);
/* Brings the span to its one spelling for a segment of `dims` dimensions. */
void sk_segment_normalise(sk_segment *seg, uint32_t dims);

/* What every way in ends with: checks, and one form (spec.c says which). */
sk_status sk_spec_finish(sk_spec *spec, sk_err *err);

#endif
