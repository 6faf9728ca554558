/* cuda_time.h - work captured in a graph, and how long its replays take. Time on a
 * GPU is taken as an engine spends it: replays of a captured run, one behind the
 * other on one stream, between two events. A single launch would measure the
 * driver's and the host's part of it.
 *
 * A clock has a stream of its own and belongs to one thread at a time. What is
 * compared is captured on the same clock. The clock keeps its context alive. */
#ifndef SK_CUDA_TIME_H
#define SK_CUDA_TIME_H

#include "cuda_context.h"

typedef struct sk_cuda_clock {
    sk_cuda *cuda; /* a reference of its own */
    sk_cu_stream stream;
    sk_cu_event begin, end;
} sk_cuda_clock;

typedef struct sk_cuda_graph {
    sk_cu_graph graph;
    sk_cu_exec exec;
} sk_cuda_graph;

/* Enqueues work on the stream; nothing in it may wait or allocate. */
typedef sk_status (*sk_cuda_enqueue)(void *user, void *stream, sk_err *err);

sk_status sk_cuda_clock_make(sk_cuda *cuda, sk_cuda_clock *out, sk_err *err);
void sk_cuda_clock_free(sk_cuda_clock *clock); /* one of zeros is fine */

/* What `work` enqueues, once; nothing runs yet. */
sk_status sk_cuda_graph_capture(const sk_cuda_clock *clock, sk_cuda_enqueue work, void *user,
                                sk_cuda_graph *out, sk_err *err);
void sk_cuda_graph_free(const sk_cuda_clock *clock, sk_cuda_graph *graph); /* zeros are fine */

/* Enqueues `times` replays. */
sk_status sk_cuda_graph_launch(const sk_cuda_clock *clock, const sk_cuda_graph *graph,
                               uint32_t times, sk_err *err);
/* Waits for everything on the clock's stream. */
sk_status sk_cuda_clock_wait(const sk_cuda_clock *clock, sk_err *err);
/* Replays, waits, and gives the time of one replay in microseconds. times > 0. */
sk_status sk_cuda_graph_time(const sk_cuda_clock *clock, const sk_cuda_graph *graph,
                             uint32_t times, double *us, sk_err *err);

#endif
