/* executor.c - see executor.h. */
#include "executor.h"

#include <string.h>

#define SLAB ((size_t)64 << 20) /* small buffers share one: there may be thousands */

typedef struct sk_executor_piece {
    struct sk_executor_piece *next;
    void *at;
    size_t bytes, used;
    uint32_t live; /* buffers in it */
} piece;

/* ---- memory ---------------------------------------------------------------------- */

/* More than the device holds would be moved to and fro while it is timed. */
static sk_status piece_make(sk_executor *x, size_t bytes, piece **out, sk_err *err)
{
    if (bytes > x->most - x->bytes)
        return sk_fail(err, SPHKV_ENOMEM, "%zu MiB more do not fit on the GPU: %zu of %zu MiB are "
                       "taken", bytes >> 20, x->bytes >> 20, x->most >> 20);
    piece *p = sk_calloc(1, sizeof *p);
    if (!p) return sk_fail(err, SPHKV_ENOMEM, "no memory to keep account of memory");
    const sk_status st = sk_cuda_memory_make(x->cuda, bytes, &p->at, err);
    if (st != SPHKV_OK) {
        sk_free(p);
        return st;
    }
    p->bytes = bytes;
    p->next = x->piece;
    x->piece = p;
    x->bytes += bytes;
    *out = p;
    return SPHKV_OK;
}

static sk_status memory_make(void *user, size_t bytes, void **out, sk_err *err)
{
    sk_executor *x = user;
    const size_t rounded = (bytes + 255) / 256 * 256;
    piece *p = x->piece;
    *out = NULL;
    if (rounded < bytes) return sk_fail(err, SPHKV_ENOMEM, "a buffer of %zu bytes", bytes);
    while (p && p->bytes - p->used < rounded) p = p->next;
    if (!p) {
        const sk_status st = piece_make(x, rounded > SLAB ? rounded : SLAB, &p, err);
        if (st != SPHKV_OK) return st;
    }
    *out = (uint8_t *)p->at + p->used;
    p->used += rounded;
    p->live++;
    return SPHKV_OK;
}

/* A piece goes with the last buffer in it. */
static void memory_free(void *user, void *at)
{
    sk_executor *x = user;
    for (piece **link = &x->piece; *link; link = &(*link)->next) {
        piece *p = *link;
        const uintptr_t into = (uintptr_t)at - (uintptr_t)p->at;
        if (into >= p->bytes) continue;
        if (--p->live) return;
        *link = p->next;
        x->bytes -= p->bytes;
        sk_cuda_memory_free(x->cuda, p->at);
        sk_free(p);
        return;
    }
}

sk_case_memory sk_executor_memory(sk_executor *x)
{
    return x->cuda ? (sk_case_memory){memory_make, memory_free, x} : (sk_case_memory){0};
}

void sk_executor_fetch(sk_executor *x)
{
    for (const piece *p = x->piece; p; p = p->next)
        sk_cuda_memory_fetch(x->cuda, p->at, p->bytes, x->clock.stream);
}

/* ---- life -------------------------------------------------------------------------- */

static sk_status open_gpu(const sk_device *device, sk_executor *x, sk_err *err)
{
    size_t left = 0;
    sk_status st = sk_cuda_open(device->place, &x->cuda, err);
    if (st == SPHKV_OK) st = sk_cuda_clock_make(x->cuda, &x->clock, err);
    if (st == SPHKV_OK) st = sk_cuda_memory_left(x->cuda, &left, err);
    x->most = left - left / 8;
    if (st == SPHKV_OK || st == SPHKV_EDEVICE) return st;
    return sk_fail(err, SPHKV_EDEVICE, "%s", err ? err->message : "the GPU");
}

sk_status sk_executor_open(const sk_device *device, uint32_t threads, sk_executor *out,
                           sk_err *err)
{
    memset(out, 0, sizeof *out);
    out->target = device->target;
    memcpy(out->arch, device->arch, sizeof out->arch - 1);
    sk_status st = device->target.backend == SK_BACKEND_CUDA
                       ? open_gpu(device, out, err)
                       : sk_team_start(threads, &out->team, err);
    if (st != SPHKV_OK) sk_executor_close(out);
    return st;
}

void sk_executor_close(sk_executor *x)
{
    for (size_t i = 0; i < SK_COUNT(x->sweep); i++) sk_code_release(x->sweep[i]);
    while (x->piece) memory_free(x, x->piece->at);
    if (x->compiles) sk_nvrtc_close(&x->nvrtc);
    sk_cuda_clock_free(&x->clock);
    sk_cuda_release(x->cuda);
    sk_team_stop(x->team);
    memset(x, 0, sizeof *x);
}

sk_status sk_executor_compiler(sk_executor *x, const sk_nvrtc_api **api, sk_err *err)
{
    if (!x->compiles) sk_nvrtc_init(&x->nvrtc, true, (uint32_t)x->cuda->driver.version_number);
    x->compiles = true;
    return sk_nvrtc_get(&x->nvrtc, api, err);
}
