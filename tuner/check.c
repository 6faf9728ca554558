/* check.c - see check.h. Comparisons are written so that a NaN fails them. */
#include "check.h"

#include <math.h>

static double rms(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i] * x[i];
    return sqrt(sum / (double)(n ? n : 1));
}

sk_status sk_check_first_sequence(const sk_case *kase, uint32_t copy, const float *out,
                                  double *magnitude, double *error, sk_err *err)
{
    const sk_spec *spec = &kase->p.spec;
    uint32_t kv_heads = kase->p.shape.kv_heads;
    sk_shape first = kase->p.shape;
    first.batch = 1;
    size_t n = sk_case_outputs(spec, &first);
    double *ref = sk_calloc(2 * n, sizeof *ref), *mag = ref + n;
    if (!ref) return sk_fail(err, SPHKV_ENOMEM, "no memory for a reference");
    sphkv_attn_args one = kase->args.attn[copy];
    one.batch = 1;
    one.table.lists = one.table.lists_per_seq;
    sk_attn_truth truth = {.out = ref, .mag = mag};
    sk_status st = sk_attn_reference(spec, &one, kv_heads, &truth, err);
    for (size_t i = 0; i < n; i++) ref[i] -= (double)out[i];
    double size = rms(mag, n);
    double bound = sk_accuracy_bound(spec->accuracy) + sk_dtype_rounding(spec->out_dtype);
    *error = rms(ref, n) / (size > 0 ? size : 1);
    if (magnitude) *magnitude = size;
    sk_free(ref);
    if (st != SPHKV_OK || *error <= bound) return st;
    return sk_fail(err, SPHKV_EVERIFY, "error %.3g at the timed shape, %.3g allowed", *error, bound);
}

sk_status sk_check_same(const sk_spec *spec, const float *out, const float *right, size_t count,
                        double magnitude, sk_err *err)
{
    /* both were rounded */
    double bound = sk_accuracy_bound(spec->accuracy) + 2 * sk_dtype_rounding(spec->out_dtype);
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        double apart = (double)out[i] - (double)right[i];
        sum += apart * apart;
    }
    double error = sqrt(sum / (double)(count ? count : 1)) / (magnitude > 0 ? magnitude : 1);
    if (error <= bound) return SPHKV_OK;
    return sk_fail(err, SPHKV_EVERIFY,
                   "%.3g from the default's result at the timed shape, %.3g allowed", error, bound);
}
