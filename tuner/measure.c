/* measure.c - see measure.h. */
#define _GNU_SOURCE
#include "measure.h"

#include <stdatomic.h>
#include <string.h>

#include "clock.h"
#include "measure_gpu.h"

#define SETTLE_US 2e6    /* no warm-up lasts longer */
#define SETTLE_LATER 3u  /* runs, where the inputs have been met */
#define REPS_MOST 4096u
#define LANES_MOST 64u
#define COLD_MOST ((size_t)2 << 30)
#define ROOM ((size_t)2 << 20) /* beside a workspace, to move in */

size_t sk_measure_cold_bytes(uint32_t last_level_bytes)
{
    size_t cache = last_level_bytes ? last_level_bytes : (size_t)32 << 20;
    return 4 * cache < COLD_MOST ? 4 * cache : COLD_MOST;
}

static sk_status make_workspace(sk_lane *lane, sk_err *err)
{
    const sk_case_memory memory = sk_executor_memory(lane->x);
    if (!memory.make) {
        lane->memory = sk_calloc(1, lane->work + 128 + ROOM);
        if (lane->memory) return SPHKV_OK;
        return sk_fail(err, SPHKV_ENOMEM, "no memory for a workspace of %zu bytes", lane->work);
    }
    const sk_status st = memory.make(memory.user, lane->work + 128, &lane->memory, err);
    if (st == SPHKV_OK) memset(lane->memory, 0, lane->work + 128);
    return st;
}

/* The workspace lies so many bytes into its memory. */
static void place_workspace(sk_lane *lane, size_t at)
{
    lane->workspace = (void *)((((uintptr_t)lane->memory + 63) & ~(uintptr_t)63) + at);
    for (uint32_t i = 0; i < lane->copies; i++)
        sk_kernel_workspace(lane->image->kernel, lane->args + i * lane->args_size, lane->workspace,
                            lane->work);
}

void sk_lane_move(sk_lane *lane, sk_rng *rng)
{
    if (lane->x->cuda || lane->work == 0) return;
    place_workspace(lane, (size_t)64 * sk_rng_below(rng, ROOM / 64));
    memset(lane->workspace, 0, lane->work);
}

sk_status sk_lane_make(sk_executor *x, const sk_image *image, const sk_case *kase,
                       uint32_t *cursor, double bytes, sk_lane *out, sk_err *err)
{
    memset(out, 0, sizeof *out);
    out->x = x;
    out->image = image;
    out->args_size = kase->args_size;
    out->copies = kase->copies;
    out->cursor = cursor;
    out->reps = 1;
    out->bytes = bytes;
    out->work = (image->workspace + 63) / 64 * 64;
    sk_status st = make_workspace(out, err);
    if (st == SPHKV_OK) {
        out->args = sk_calloc(kase->copies, kase->args_size);
        if (!out->args) st = sk_fail(err, SPHKV_ENOMEM, "no memory for args");
    }
    if (st != SPHKV_OK) {
        sk_lane_free(out);
        return st;
    }
    for (uint32_t i = 0; i < kase->copies; i++) {
        void *args = out->args + i * out->args_size;
        memcpy(args, sk_case_args(kase, i), out->args_size);
        if (x->cuda) sk_kernel_stream(image->kernel, args, x->clock.stream);
    }
    place_workspace(out, 0);
    return SPHKV_OK;
}

void sk_lane_free(sk_lane *lane)
{
    sk_executor *x = lane->x;
    if (x && x->cuda) {
        const sk_case_memory memory = sk_executor_memory(x);
        sk_cuda_graph_free(&x->clock, &lane->graph);
        if (lane->memory) memory.free(memory.user, lane->memory);
    } else {
        sk_free(lane->memory);
    }
    sk_free(lane->args);
    lane->args = NULL;
    lane->memory = NULL;
}

typedef struct one_run {
    sk_lane *lane;
    const void *args;
} one_run;

static void run_part(void *user, uint32_t part, uint32_t parts)
{
    one_run *run = user;
    const sk_image *image = run->lane->image;
    sk_status st = image->form->run(image, run->args, part, parts, NULL);
    if (st != SPHKV_OK) atomic_store(&run->lane->fail, (uint32_t)st);
}

/* The failed run again, on this thread alone, for its message. */
static sk_status explain(const one_run *run, uint32_t parts, sk_err *err)
{
    const sk_image *image = run->lane->image;
    sk_status st = SPHKV_OK;
    for (uint32_t part = 0; part < parts && st == SPHKV_OK; part++)
        st = image->form->run(image, run->args, part, parts, err);
    return st != SPHKV_OK ? st : sk_fail(err, SPHKV_EINTERNAL, "a part of a run failed, once");
}

sk_status sk_lane_run(sk_lane *lane, uint32_t copy, sk_err *err)
{
    one_run run = {lane, lane->args + copy * lane->args_size};
    sk_team *team = lane->x->team;
    if (lane->x->cuda) return sk_gpu_lane_run(lane, run.args, err);
    atomic_store(&lane->fail, SPHKV_OK);
    sk_team_run(team, run_part, &run);
    return atomic_load(&lane->fail) == SPHKV_OK ? SPHKV_OK
                                                : explain(&run, sk_team_size(team), err);
}

sk_status sk_lane_time(sk_lane *lane, double *us, sk_err *err)
{
    if (lane->x->cuda) return sk_gpu_lane_time(lane, us, err);
    double t0 = sk_clock_us();
    for (uint32_t r = 0; r < lane->reps; r++) {
        uint32_t copy = *lane->cursor % lane->copies;
        *lane->cursor = copy + 1;
        sk_status st = sk_lane_run(lane, copy, err);
        if (st != SPHKV_OK) return st;
    }
    *us = (sk_clock_us() - t0) / lane->reps;
    return SPHKV_OK;
}

uint32_t sk_measure_reps(double us, double least)
{
    double reps = us > 0 ? least / us + 1 : REPS_MOST;
    return us >= least ? 1 : reps > REPS_MOST ? REPS_MOST : (uint32_t)reps;
}

sk_status sk_lane_settle(sk_lane *lane, bool walked, sk_err *err)
{
    if (lane->x->cuda) return sk_gpu_lane_settle(lane, err);
    const uint32_t runs = walked ? SETTLE_LATER : lane->copies + 2;
    double start = sk_clock_us(), best = 0;
    lane->reps = 1;
    for (uint32_t i = 0; i < runs; i++) {
        double us;
        sk_status st = sk_lane_time(lane, &us, err);
        if (st != SPHKV_OK) return st;
        if (i == 0 || us < best) best = us;
        if (i >= 2 && sk_clock_us() - start > SETTLE_US) break;
    }
    lane->reps = sk_measure_reps(best, SK_SAMPLE_US);
    return SPHKV_OK;
}

sk_status sk_measure_rounds(sk_lane *const *lane, sk_sweep *const *sweep, uint32_t n,
                            uint32_t rounds, uint64_t seed, double *const *us,
                            double *const *sweep_us, sk_err *err)
{
    uint32_t order[LANES_MOST];
    sk_rng rng;
    if (n > LANES_MOST) return sk_fail(err, SPHKV_EINVAL, "%u lanes at once", n);
    sk_rng_seed(&rng, seed);
    for (uint32_t i = 0; i < n; i++) order[i] = i;
    for (uint32_t r = 0; r < rounds; r++) {
        for (uint32_t i = 0; i < n; i++) sk_lane_move(lane[i], &rng);
        for (uint32_t i = n; i > 1; i--) {
            uint32_t k = sk_rng_below(&rng, i), t = order[i - 1];
            order[i - 1] = order[k];
            order[k] = t;
        }
        for (uint32_t i = 0; i < n; i++) {
            uint32_t k = order[i];
            sk_status st = sk_lane_time(lane[k], &us[k][r], err);
            if (st == SPHKV_OK && sweep && sweep[k])
                st = sk_sweep_time(sweep[k], &sweep_us[k][r], err);
            if (st != SPHKV_OK) return st;
        }
    }
    return SPHKV_OK;
}
