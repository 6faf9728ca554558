/* cuda_time.c - see cuda_time.h. */
#include "cuda_time.h"

#include <string.h>

#define STREAM_NON_BLOCKING 1u /* does not wait for the default stream */
#define CAPTURE_THREAD_LOCAL 1 /* what other threads do does not spoil it */

/* ---- clocks -------------------------------------------------------------------- */

static sk_status make_parts(sk_cuda_clock *clock, sk_err *err)
{
    const sk_cuda_driver *d = &clock->cuda->driver;
    sk_status st = sk_cuda_check(d, d->stream_make(&clock->stream, STREAM_NON_BLOCKING),
                                 "a stream", err);
    if (st == SPHKV_OK) st = sk_cuda_check(d, d->event_make(&clock->begin, 0), "an event", err);
    if (st == SPHKV_OK) st = sk_cuda_check(d, d->event_make(&clock->end, 0), "an event", err);
    return st;
}

sk_status sk_cuda_clock_make(sk_cuda *cuda, sk_cuda_clock *out, sk_err *err)
{
    bool entered;
    memset(out, 0, sizeof *out);
    sk_status st = sk_cuda_enter(cuda, &entered, err);
    if (st != SPHKV_OK) return st;
    out->cuda = sk_cuda_retain(cuda);
    st = make_parts(out, err);
    sk_cuda_leave(cuda, entered);
    if (st != SPHKV_OK) sk_cuda_clock_free(out);
    return st;
}

void sk_cuda_clock_free(sk_cuda_clock *clock)
{
    bool entered;
    if (!clock->cuda) return;
    const sk_cuda_driver *d = &clock->cuda->driver;
    if (sk_cuda_enter(clock->cuda, &entered, NULL) == SPHKV_OK) {
        if (clock->end) (void)d->event_free(clock->end);
        if (clock->begin) (void)d->event_free(clock->begin);
        if (clock->stream) (void)d->stream_free(clock->stream);
        sk_cuda_leave(clock->cuda, entered);
    }
    sk_cuda_release(clock->cuda);
    memset(clock, 0, sizeof *clock);
}

sk_status sk_cuda_clock_wait(const sk_cuda_clock *clock, sk_err *err)
{
    const sk_cuda_driver *d = &clock->cuda->driver;
    bool entered;
    sk_status st = sk_cuda_enter(clock->cuda, &entered, err);
    if (st != SPHKV_OK) return st;
    st = sk_cuda_check(d, d->stream_wait(clock->stream), "waiting for the GPU", err);
    sk_cuda_leave(clock->cuda, entered);
    return st;
}

/* ---- graphs -------------------------------------------------------------------- */

/* A capture that began must end, also when the work fails in between. */
static sk_status capture(const sk_cuda_clock *clock, sk_cuda_enqueue work, void *user,
                         sk_cuda_graph *out, sk_err *err)
{
    const sk_cuda_driver *d = &clock->cuda->driver;
    sk_status st = sk_cuda_check(d, d->capture_begin(clock->stream, CAPTURE_THREAD_LOCAL),
                                 "capturing a graph", err);
    if (st != SPHKV_OK) return st;
    st = work(user, clock->stream, err);
    const sk_cu_result ended = d->capture_end(clock->stream, &out->graph);
    if (st == SPHKV_OK) st = sk_cuda_check(d, ended, "capturing a graph", err);
    if (st == SPHKV_OK)
        st = sk_cuda_check(d, d->exec_make(&out->exec, out->graph, 0), "making a graph ready", err);
    return st;
}

sk_status sk_cuda_graph_capture(const sk_cuda_clock *clock, sk_cuda_enqueue work, void *user,
                                sk_cuda_graph *out, sk_err *err)
{
    bool entered;
    memset(out, 0, sizeof *out);
    sk_status st = sk_cuda_enter(clock->cuda, &entered, err);
    if (st != SPHKV_OK) return st;
    st = capture(clock, work, user, out, err);
    sk_cuda_leave(clock->cuda, entered);
    if (st != SPHKV_OK) sk_cuda_graph_free(clock, out);
    return st;
}

void sk_cuda_graph_free(const sk_cuda_clock *clock, sk_cuda_graph *graph)
{
    bool entered;
    if (!graph->graph && !graph->exec) return;
    const sk_cuda_driver *d = &clock->cuda->driver;
    if (sk_cuda_enter(clock->cuda, &entered, NULL) != SPHKV_OK) return;
    if (graph->exec) (void)d->exec_free(graph->exec);
    if (graph->graph) (void)d->graph_free(graph->graph);
    sk_cuda_leave(clock->cuda, entered);
    memset(graph, 0, sizeof *graph);
}

static sk_status launch(const sk_cuda_clock *clock, const sk_cuda_graph *graph, uint32_t times,
                        sk_err *err)
{
    const sk_cuda_driver *d = &clock->cuda->driver;
    sk_status st = SPHKV_OK;
    for (uint32_t i = 0; i < times && st == SPHKV_OK; i++)
        st = sk_cuda_check(d, d->exec_launch(graph->exec, clock->stream), "launching a graph", err);
    return st;
}

sk_status sk_cuda_graph_launch(const sk_cuda_clock *clock, const sk_cuda_graph *graph,
                               uint32_t times, sk_err *err)
{
    bool entered;
    sk_status st = sk_cuda_enter(clock->cuda, &entered, err);
    if (st != SPHKV_OK) return st;
    st = launch(clock, graph, times, err);
    sk_cuda_leave(clock->cuda, entered);
    return st;
}

static sk_status timed(const sk_cuda_clock *clock, const sk_cuda_graph *graph, uint32_t times,
                       float *ms, sk_err *err)
{
    const sk_cuda_driver *d = &clock->cuda->driver;
    sk_status st =
        sk_cuda_check(d, d->event_record(clock->begin, clock->stream), "recording an event", err);
    if (st == SPHKV_OK) st = launch(clock, graph, times, err);
    if (st == SPHKV_OK)
        st = sk_cuda_check(d, d->event_record(clock->end, clock->stream), "recording an event",
                           err);
    if (st == SPHKV_OK)
        st = sk_cuda_check(d, d->event_wait(clock->end), "waiting for the GPU", err);
    if (st == SPHKV_OK)
        st = sk_cuda_check(d, d->event_elapsed(ms, clock->begin, clock->end),
                           "the time between two events", err);
    return st;
}

sk_status sk_cuda_graph_time(const sk_cuda_clock *clock, const sk_cuda_graph *graph,
                             uint32_t times, double *us, sk_err *err)
{
    bool entered;
    float ms = 0;
    sk_status st = sk_cuda_enter(clock->cuda, &entered, err);
    if (st != SPHKV_OK) return st;
    st = timed(clock, graph, times, &ms, err);
    sk_cuda_leave(clock->cuda, entered);
    *us = (double)ms * 1e3 / times;
    return st;
}
