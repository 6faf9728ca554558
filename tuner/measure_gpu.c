/* measure_gpu.c - see measure_gpu.h. A graph holds a run on each copy of the inputs, so
 * that what a replay meets first has been driven out of the L2 by what followed it in
 * the replay before. */
#include "measure_gpu.h"

#define WARM_REPLAYS 3u /* timed to set reps; the first replay is not timed at all */

sk_status sk_gpu_lane_run(sk_lane *lane, const void *args, sk_err *err)
{
    const sk_image *image = lane->image;
    const sk_status st = image->form->run(image, args, 0, 1, err);
    return st == SPHKV_OK ? sk_cuda_clock_wait(&lane->x->clock, err) : st;
}

static sk_status enqueue(void *user, void *stream, sk_err *err)
{
    const sk_lane *lane = user;
    sk_status st = SPHKV_OK;
    (void)stream; /* the args name it */
    for (uint32_t i = 0; i < lane->copies && st == SPHKV_OK; i++)
        st = lane->image->form->run(lane->image, lane->args + i * lane->args_size, 0, 1, err);
    return st;
}

sk_status sk_gpu_lane_time(sk_lane *lane, double *us, sk_err *err)
{
    const sk_status st =
        sk_cuda_graph_time(&lane->x->clock, &lane->graph, lane->reps, us, err);
    *us /= lane->copies;
    return st;
}

/* A check reads and poisons a copy on the host: the fetch brings it back. */
sk_status sk_gpu_lane_settle(sk_lane *lane, sk_err *err)
{
    const sk_cuda_clock *clock = &lane->x->clock;
    double best = 0;
    sk_status st = SPHKV_OK;
    sk_executor_fetch(lane->x);
    if (!lane->graph.exec)
        st = sk_cuda_graph_capture(clock, enqueue, lane, &lane->graph, err);
    if (st == SPHKV_OK) st = sk_cuda_graph_launch(clock, &lane->graph, 1, err);
    if (st == SPHKV_OK) st = sk_cuda_clock_wait(clock, err);
    lane->reps = 1;
    for (uint32_t i = 0; i < WARM_REPLAYS && st == SPHKV_OK; i++) {
        double us = 0;
        st = sk_cuda_graph_time(clock, &lane->graph, 1, &us, err);
        if (i == 0 || us < best) best = us;
    }
    lane->reps = sk_measure_reps(best, SK_SAMPLE_GPU_US);
    return st;
}
