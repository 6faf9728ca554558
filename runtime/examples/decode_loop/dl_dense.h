/* dl_dense.h - attention as it is written in a book, in double: the check. */
#ifndef DL_DENSE_H
#define DL_DENSE_H

#include "dl_cache.h"

/* Errors ||o - ref|| / ||sum p |v| || of output rows. */
typedef struct dl_error {
    double squares; /* sum of */
    double worst;
    uint64_t rows;
} dl_error;

double dl_error_rms(const dl_error *e);
double dl_accuracy_bound(uint32_t accuracy); /* what the RMS may be */

double dl_dense_dot(const double *a, const double *b, uint32_t n);

/* o = softmax(scale q.k) v over tokens; weight (may be NULL) = sum p |v|.
 * p: room for `tokens`. */
void dl_dense_attend(const double *q, const double *k, const double *v, size_t stride,
                     uint32_t tokens, uint32_t d, double *p, double *o, double *weight);

/* Compares out with attention over the decoded tokens of the layer, adds to e.
 * q, out [batch][heads][head_dim]. */
sphkv_status dl_check(const dl_cache *cache, uint32_t layer, const float *q, const float *out,
                      dl_error *e, sphkv_error *err);

#endif
