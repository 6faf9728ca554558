/* fake_cuda_stream.c - launches, streams, graphs and events of the double. A launch is
 * done when it is called, or at every replay of a graph that captured it, so waiting
 * is nothing; time is counted in launches, ten microseconds each unless the test says. */
#include "fake_cuda_impl.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GRAPH_LAUNCHES 256
#define SHARED_PLAIN 49152u /* without asking for more */
#define LAUNCH_MS 0.01f

typedef struct fake_stream {
    bool capturing;
    struct fake_graph *graph;
} fake_stream;
typedef struct fake_graph {
    uint32_t n;
    fake_cuda_launch launch[GRAPH_LAUNCHES];
} fake_graph;
typedef struct fake_event {
    bool recorded;
    float at; /* milliseconds */
} fake_event;

static fake_stream *capturing; /* one at a time will do */
static float now_ms;

bool fake_cuda_refused(const char *name)
{
    fake_cuda *s = fake_cuda_get();
    if (!s->forbid && !capturing) return false;
    if (!s->forbidden[0]) snprintf(s->forbidden, sizeof s->forbidden, "%s", name);
    return true;
}

/* ---- launches -------------------------------------------------------------------- */

static void perform(const fake_cuda_launch *l)
{
    const fake_cuda *s = fake_cuda_get();
    now_ms += s->launch_ms > 0 ? s->launch_ms : LAUNCH_MS;
    if (s->run) s->run(s->user, l);
}

static bool launch_fits(const fake_function *f, const fake_cuda_launch *l)
{
    const uint32_t most = f->max_shared ? (uint32_t)f->max_shared : SHARED_PLAIN;
    const uint32_t threads = l->block[0] * l->block[1] * l->block[2];
    return threads >= 1 && threads <= 1024 && l->grid[0] >= 1 && l->grid[1] >= 1 &&
           l->grid[2] >= 1 && l->grid[1] <= 65535 && l->grid[2] <= 65535 && l->shared_bytes <= most;
}

FAKE_EXPORT int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                               unsigned by, unsigned bz, unsigned shared, fake_stream *stream,
                               void **parameters, void **extra)
{
    const int fault = fake_cuda_fault("cuLaunchKernel");
    if (fault) return fault;
    const fake_function *f = fake_cuda_function(function);
    if (!f || extra) return FAKE_INVALID_HANDLE;
    fake_cuda_launch l = {.grid = {gx, gy, gz}, .block = {bx, by, bz}, .shared_bytes = shared,
                          .stream = stream};
    snprintf(l.name, sizeof l.name, "%s", f->name);
    if (!launch_fits(f, &l)) return FAKE_INVALID_VALUE;
    fake_cuda *s = fake_cuda_get();
    l.unit = f->unit;
    l.slots = s->slots ? s->slots(s->user, f->name, f->unit) : 0;
    for (uint32_t i = 0; i < l.slots && i < FAKE_CUDA_SLOTS; i++)
        memcpy(&l.slot[i], parameters[i], sizeof l.slot[i]);
    s->launches++;
    s->last = l;
    if (stream == NULL || !stream->capturing) {
        perform(&l);
        return FAKE_OK;
    }
    if (stream->graph->n == GRAPH_LAUNCHES) return FAKE_NO_MEMORY;
    stream->graph->launch[stream->graph->n++] = l;
    return FAKE_OK;
}

/* ---- streams, graphs, events ------------------------------------------------------- */

FAKE_EXPORT int cuStreamCreate(fake_stream **stream, unsigned flags)
{
    (void)flags;
    const int fault = fake_cuda_fault("cuStreamCreate");
    if (fault) return fault;
    if (fake_cuda_refused("cuStreamCreate")) return FAKE_CAPTURE;
    if (!fake_cuda_current()) return FAKE_INVALID_CONTEXT;
    *stream = calloc(1, sizeof **stream);
    fake_cuda_get()->streams += *stream != NULL;
    return *stream ? FAKE_OK : FAKE_NO_MEMORY;
}

FAKE_EXPORT int cuStreamDestroy_v2(fake_stream *stream)
{
    fake_cuda_get()->streams--;
    free(stream);
    return FAKE_OK;
}

FAKE_EXPORT int cuStreamSynchronize(fake_stream *stream)
{
    const int fault = fake_cuda_fault("cuStreamSynchronize");
    if (fault) return fault;
    (void)stream;
    return fake_cuda_refused("cuStreamSynchronize") ? FAKE_CAPTURE : FAKE_OK;
}

FAKE_EXPORT int cuStreamBeginCapture_v2(fake_stream *stream, int mode)
{
    (void)mode;
    if (!stream || capturing) return FAKE_INVALID_VALUE;
    stream->graph = calloc(1, sizeof *stream->graph);
    if (!stream->graph) return FAKE_NO_MEMORY;
    stream->capturing = true;
    capturing = stream;
    fake_cuda_get()->graphs++;
    return FAKE_OK;
}

FAKE_EXPORT int cuStreamEndCapture(fake_stream *stream, fake_graph **graph)
{
    if (!stream || stream != capturing) return FAKE_INVALID_VALUE;
    capturing = NULL;
    stream->capturing = false;
    *graph = stream->graph;
    stream->graph = NULL;
    return FAKE_OK;
}

FAKE_EXPORT int cuGraphDestroy(fake_graph *graph)
{
    fake_cuda_get()->graphs--;
    free(graph);
    return FAKE_OK;
}

FAKE_EXPORT int cuGraphInstantiateWithFlags(fake_graph **exec, const fake_graph *graph,
                                            unsigned long long flags)
{
    const int fault = fake_cuda_fault("cuGraphInstantiateWithFlags");
    if (fault) return fault;
    (void)flags;
    *exec = malloc(sizeof **exec);
    if (!*exec) return FAKE_NO_MEMORY;
    memcpy(*exec, graph, sizeof **exec);
    fake_cuda_get()->graphs++;
    return FAKE_OK;
}

FAKE_EXPORT int cuGraphExecDestroy(fake_graph *exec) { return cuGraphDestroy(exec); }

FAKE_EXPORT int cuGraphLaunch(const fake_graph *exec, fake_stream *stream)
{
    const int fault = fake_cuda_fault("cuGraphLaunch");
    if (fault) return fault;
    (void)stream;
    fake_cuda_get()->replays++;
    for (uint32_t i = 0; i < exec->n; i++) perform(&exec->launch[i]);
    return FAKE_OK;
}

FAKE_EXPORT int cuEventCreate(fake_event **event, unsigned flags)
{
    (void)flags;
    if (!fake_cuda_current()) return FAKE_INVALID_CONTEXT;
    *event = calloc(1, sizeof **event);
    fake_cuda_get()->events += *event != NULL;
    return *event ? FAKE_OK : FAKE_NO_MEMORY;
}

FAKE_EXPORT int cuEventDestroy_v2(fake_event *event)
{
    fake_cuda_get()->events--;
    free(event);
    return FAKE_OK;
}

FAKE_EXPORT int cuEventRecord(fake_event *event, fake_stream *stream)
{
    (void)stream;
    event->recorded = true;
    event->at = now_ms;
    return FAKE_OK;
}

FAKE_EXPORT int cuEventSynchronize(fake_event *event)
{
    const int fault = fake_cuda_fault("cuEventSynchronize");
    if (fault) return fault;
    (void)event;
    return fake_cuda_refused("cuEventSynchronize") ? FAKE_CAPTURE : FAKE_OK;
}

FAKE_EXPORT int cuEventElapsedTime(float *ms, const fake_event *begin, const fake_event *end)
{
    if (!begin->recorded || !end->recorded) return FAKE_INVALID_HANDLE;
    *ms = end->at - begin->at;
    return FAKE_OK;
}
