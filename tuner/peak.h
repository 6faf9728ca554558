/* peak.h - the yardstick of kernels that arithmetic limits: how many multiply-adds the
 * same threads do in a plain loop that does nothing else. */
#ifndef SK_PEAK_H
#define SK_PEAK_H

#include "executor.h"

/* Multiply-adds per nanosecond, of all threads together; medians of a few samples. */
typedef struct sk_peak {
    double fma;  /* of f32, in the widest vectors of the target */
    double dots; /* of bfloat16s in dot products with sums of f32; 0: the target has none */
} sk_peak;

/* Of a CPU's executor; on a GPU all zeros. */
void sk_peak_measure(sk_executor *x, sk_peak *out);

#endif
