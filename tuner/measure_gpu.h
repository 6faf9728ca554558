/* measure_gpu.h - lanes on a GPU: what measure.c does by threads, done by a stream. Their
 * own file because nothing of it is shared but the struct. Only measure.c calls these. */
#ifndef SK_MEASURE_GPU_H
#define SK_MEASURE_GPU_H

#include "measure.h"

sk_status sk_gpu_lane_run(sk_lane *lane, const void *args, sk_err *err);
sk_status sk_gpu_lane_time(sk_lane *lane, double *us, sk_err *err);
sk_status sk_gpu_lane_settle(sk_lane *lane, sk_err *err);

#endif
