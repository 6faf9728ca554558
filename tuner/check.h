/* check.h - is a result at the timed shape right? The small shapes of
 * sk_image_check cover every path; these say that nothing goes wrong at full
 * size either: the first sequence against the double reference, all of it
 * against a result that is known to be right. Errors are RMS over the rows,
 * as shares of the RMS of sum p |v|. attn_decode only. */
#ifndef SK_CHECK_H
#define SK_CHECK_H

#include "case.h"

/* out: sk_case_output of the copy. *magnitude (may be NULL): RMS of sum p |v|. */
sk_status sk_check_first_sequence(const sk_case *kase, uint32_t copy, const float *out,
                                  double *magnitude, double *error, sk_err *err);
sk_status sk_check_same(const sk_spec *spec, const float *out, const float *right, size_t count,
                        double magnitude, sk_err *err);

#endif
