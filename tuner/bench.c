/* bench.c - see bench.h: measuring. The worker's half is at the top, the parent's
 * below; which kernel a lane runs is bench_pick.c's. */
#include "bench.h"

#include <stdio.h>
#include <string.h>

#include "check.h"
#include "jit.h"
#include "ready.h"
#include "scatter.h"
#include "worker.h"

#define CHECK_SEED 1
#define ROUNDS_MOST SK_ROUNDS_MOST

enum { ASK_PREPARE, ASK_RUN };

/* Shared memory: what the worker answers. */
typedef struct answer {
    uint32_t status;
    uint32_t opened; /* the device, or the threads */
    char message[400];
    double bytes, error;                                /* of a lane that was prepared */
    double time[SK_BENCH_LANES][ROUNDS_MOST], sweep[SK_BENCH_LANES][ROUNDS_MOST];
    double cached[SK_BENCH_LANES][ROUNDS_MOST], pages[SK_BENCH_LANES][ROUNDS_MOST];
    sk_peak peak;
} answer;

/* One lane in the worker. */
typedef struct stand {
    bool ready;
    sk_ready code;
    sk_case kase;
    sk_lane lane;
    sk_sweep sweep;
    uint32_t cursor;
    double read, write;
    sk_case cached_kase;
    sk_lane cached; /* the same on pages that stay in the cache */
    sk_scatter pages; /* its pages, read plainly */
} stand;

typedef struct field {
    sk_bench *bench;
    answer *answer;
    /* the worker's own */
    sk_jit jit;
    sk_executor x;
    sk_case_memory memory;
    size_t cold;
    bool opened;
    stand stand[SK_BENCH_LANES];
} field;

/* ---- the worker -------------------------------------------------------------- */

static sk_status field_open(field *f, sk_err *err)
{
    if (f->opened) return SPHKV_OK;
    sk_jit_init(&f->jit, true);
    f->cold = sk_device_cold_bytes(f->bench->device);
    sk_status st = sk_executor_open(f->bench->device, f->bench->shape.threads, &f->x, err);
    f->memory = sk_executor_memory(&f->x);
    f->opened = st == SPHKV_OK;
    return st;
}

static sk_status compile(field *f, sk_ready *code, sk_err *err)
{
    const sk_jit_llvm_api *llvm;
    const sk_nvrtc_api *cuda;
    if (f->x.cuda) {
        sk_status st = sk_executor_compiler(&f->x, &cuda, err);
        return st == SPHKV_OK ? sk_ready_compile_cuda(code, f->x.arch, cuda, err) : st;
    }
    sk_status st = sk_jit_get(&f->jit, &llvm, err);
    return st == SPHKV_OK ? sk_ready_compile(code, &f->x.target, llvm, err) : st;
}

/* Stored code when it loads, else compiled here. */
static sk_status stand_code(field *f, stand *s, const sk_bench_lane *b,
                            const sphkv_maxima *maxima, sk_desk *desk, uint32_t i, sk_err *err)
{
    sk_status st = sk_ready_start(&b->spec, &b->schedule, &s->code, err);
    if (st != SPHKV_OK) return st;
    if (b->artifact.bytes && sk_ready_adopt(&s->code, &b->artifact, err) == SPHKV_OK &&
        sk_ready_load(&s->code, &f->x, maxima, err) == SPHKV_OK)
        return SPHKV_OK;
    sk_desk_enter(desk, SK_PHASE_COMPILE, i);
    st = compile(f, &s->code, err);
    sk_desk_enter(desk, SK_PHASE_LOAD, i);
    return st == SPHKV_OK ? sk_ready_load(&s->code, &f->x, maxima, err) : st;
}

static sk_status stand_check(field *f, stand *s, double *error, sk_err *err)
{
    size_t count;
    double first;
    sk_check_set *set = sk_check_set_make(&f->memory);
    if (!set) return sk_fail(err, SPHKV_ENOMEM, "no memory for a check");
    sk_status st = sk_ready_check(&s->code, CHECK_SEED, set, err);
    sk_check_set_free(set);
    *error = s->code.error;
    if (st != SPHKV_OK) return st;
    sk_case_poison(&s->kase, 0);
    st = sk_lane_run(&s->lane, 0, err);
    if (st == SPHKV_OK) st = sk_case_intact(&s->kase, 0, err);
    if (st != SPHKV_OK) return st;
    if (sk_case_outputs(&s->kase.p.spec, &s->kase.p.shape) == 0)
        return sk_case_judge(&s->kase, 0, &first, NULL, err);
    const float *out = sk_case_output(&s->kase, 0, &count);
    if (!out) return sk_fail(err, SPHKV_ENOMEM, "no memory for outputs");
    return sk_check_first_sequence(&s->kase, 0, out, NULL, &first, err);
}

/* Half of a core's second level: room for queries, codebooks and scratch beside the
 * pages. */
static sk_status prepare_limits(field *f, stand *s, const sk_bench_lane *b, sk_err *err)
{
    sk_status st = sk_job_case(&b->spec, &f->bench->shape, 0, f->x.target.l2_bytes / 2,
                               f->bench->seed, &f->memory, &s->cached_kase, err);
    if (st == SPHKV_OK)
        st = sk_lane_make(&f->x, &s->code.image, &s->cached_kase, &s->cursor, s->read + s->write,
                          &s->cached, err);
    if (st == SPHKV_OK) st = sk_lane_settle(&s->cached, false, err);
    if (st == SPHKV_OK) sk_scatter_make(&f->x, &s->kase, &s->cursor, &s->pages);
    return st;
}

static sk_status prepare(field *f, sk_desk *desk, uint32_t i, sk_err *err)
{
    stand *s = &f->stand[i];
    const sk_bench_lane *b = &f->bench->lane[i];
    sphkv_maxima maxima;
    sk_desk_enter(desk, SK_PHASE_LOAD, i);
    sk_status st = sk_job_case(&b->spec, &f->bench->shape, f->cold, 0, f->bench->seed, &f->memory,
                               &s->kase, err);
    if (st != SPHKV_OK) return st;
    sk_case_maxima(&s->kase, f->bench->shape.threads, &maxima);
    s->read = (double)s->kase.read_bytes;
    s->write = (double)s->kase.write_bytes;
    st = stand_code(f, s, b, &maxima, desk, i, err);
    if (st == SPHKV_OK)
        st = sk_lane_make(&f->x, &s->code.image, &s->kase, &s->cursor, s->read + s->write, &s->lane,
                          err);
    sk_desk_enter(desk, SK_PHASE_CHECK, i);
    if (st == SPHKV_OK) st = stand_check(f, s, &f->answer->error, err);
    sk_desk_enter(desk, SK_PHASE_MEASURE, i);
    if (st == SPHKV_OK) st = sk_lane_settle(&s->lane, false, err);
    if (st == SPHKV_OK)
        st = sk_sweep_make(&f->x, (size_t)(s->read + s->write), f->cold,
                           sk_sweep_copies(s->read, s->write), &s->sweep, err);
    if (st == SPHKV_OK) st = sk_sweep_choose(&s->sweep, err);
    if (st == SPHKV_OK && f->bench->cached) st = prepare_limits(f, s, b, err);
    f->answer->bytes = s->read + s->write;
    s->ready = st == SPHKV_OK;
    return st;
}

/* Lane by lane, not in turns: another would take the cache. */
static sk_status run_cached(field *f, sk_desk *desk, sk_err *err)
{
    sk_status st = SPHKV_OK;
    for (uint32_t i = 0; i < f->bench->lanes && st == SPHKV_OK; i++) {
        double once;
        if (!f->stand[i].ready) continue;
        sk_desk_enter(desk, SK_PHASE_MEASURE, SK_NONE);
        st = sk_lane_time(&f->stand[i].cached, &once, err); /* brings it in */
        for (uint32_t r = 0; r < f->bench->rounds && st == SPHKV_OK; r++)
            st = sk_lane_time(&f->stand[i].cached, &f->answer->cached[i][r], err);
    }
    return st;
}

static sk_status run_rounds(field *f, sk_desk *desk, uint32_t number, sk_err *err)
{
    sk_lane *lane[SK_BENCH_LANES];
    sk_sweep *sweep[SK_BENCH_LANES];
    uint32_t which[SK_BENCH_LANES], n = 0;
    for (uint32_t i = 0; i < f->bench->lanes; i++) {
        if (!f->stand[i].ready) continue;
        which[n] = i;
        lane[n] = &f->stand[i].lane;
        sweep[n++] = &f->stand[i].sweep;
    }
    for (uint32_t r = 0; r < f->bench->rounds; r++) {
        double *us[SK_BENCH_LANES], *sweep_us[SK_BENCH_LANES];
        for (uint32_t i = 0; i < n; i++) {
            us[i] = &f->answer->time[which[i]][r];
            sweep_us[i] = &f->answer->sweep[which[i]][r];
        }
        sk_desk_enter(desk, SK_PHASE_MEASURE, SK_NONE);
        sk_status st = sk_measure_rounds(lane, sweep, n, 1, f->bench->seed + number * 1000 + r, us,
                                         sweep_us, err);
        if (st != SPHKV_OK) return st;
        for (uint32_t i = 0; i < n && f->bench->cached; i++)
            f->answer->pages[which[i]][r] = sk_scatter_time(&f->stand[which[i]].pages);
    }
    if (f->bench->multiplies) sk_peak_measure(&f->x, &f->answer->peak);
    return f->bench->cached ? run_cached(f, desk, err) : SPHKV_OK;
}

static void serve(void *user, sk_desk *desk, const uint32_t request[SK_REQUEST_WORDS])
{
    field *f = user;
    sk_err err = {0};
    sk_status st = field_open(f, &err);
    if (st == SPHKV_OK)
        st = request[0] == ASK_PREPARE ? prepare(f, desk, request[1], &err)
                                       : run_rounds(f, desk, request[1], &err);
    f->answer->status = st;
    f->answer->opened = f->opened;
    snprintf(f->answer->message, sizeof f->answer->message, "%.399s",
             st == SPHKV_OK ? "" : err.message);
}

/* ---- the parent ---------------------------------------------------------------- */

typedef struct host {
    sk_bench *bench;
    answer *answer;
    sk_worker worker;
    sk_limits limits;
    const volatile int *stop;
    bool *stopped;
} host;

static bool tick(void *user)
{
    const host *h = user;
    return !(h->stop && *h->stop);
}

/* died: the worker is gone, and with it all that was prepared. */
static sk_status ask(host *h, uint32_t what, uint32_t which, bool *died, sk_err *err)
{
    const uint32_t request[SK_REQUEST_WORDS] = {what, which};
    sk_report report;
    char said[400];
    sk_worker_ask(&h->worker, request, tick, h, &report);
    *died = report.fate != SK_FATE_DONE;
    if (report.fate == SK_FATE_STOPPED) {
        *h->stopped = true;
        return sk_fail(err, SPHKV_EDEVICE, "interrupted");
    }
    if (*died) {
        (void)sk_report_outcome(&report, &h->limits, said, sizeof said);
        return sk_fail(err, SPHKV_EVERIFY, "%s", said);
    }
    h->answer->message[sizeof h->answer->message - 1] = '\0';
    return h->answer->status == SPHKV_OK
               ? SPHKV_OK
               : sk_fail(err, h->answer->status, "%s", h->answer->message);
}

/* Brings all lanes that can be into one worker. */
static sk_status prepare_all(host *h, sk_err *err)
{
    sk_bench *b = h->bench;
    for (uint32_t i = 0; i < b->lanes; i++) {
        bool died;
        sk_err why = {0};
        if (b->lane[i].failed[0]) continue;
        sk_status st = ask(h, ASK_PREPARE, i, &died, &why);
        if (*h->stopped || st == SPHKV_ECOMPILE || (!died && !h->answer->opened))
            return sk_fail(err, st, "%s", why.message);
        b->bytes[i] = h->answer->bytes;
        b->error[i] = h->answer->error;
        if (st == SPHKV_OK) continue;
        snprintf(b->lane[i].failed, sizeof b->lane[i].failed, "%.399s", why.message);
        sk_worker_kill(&h->worker); /* whatever it was may have spoiled the others */
        i = (uint32_t)-1;           /* from the start, in a fresh worker */
    }
    return SPHKV_OK;
}

/* Median of a yardstick's time over this one's, round by round; 0: it failed. */
static double against(const sk_bench *b, const answer *a, uint32_t yardstick, uint32_t lane)
{
    double ratio[ROUNDS_MOST];
    if (yardstick >= b->lanes || b->lane[yardstick].failed[0]) return 0;
    for (uint32_t k = 0; k < b->rounds; k++) ratio[k] = a->time[yardstick][k] / a->time[lane][k];
    return sk_median(ratio, b->rounds);
}

static void take_run(host *h, uint32_t number)
{
    sk_bench *b = h->bench;
    const answer *a = h->answer;
    for (uint32_t i = 0; i < b->lanes; i++) {
        sk_bench_run *r = &b->run[i][number];
        if (b->lane[i].failed[0]) continue;
        r->median_us = sk_median(a->time[i], b->rounds);
        r->sweep_us = sk_median(a->sweep[i], b->rounds);
        double ratio[ROUNDS_MOST];
        for (uint32_t k = 0; k < b->rounds; k++) ratio[k] = a->sweep[i][k] / a->time[i][k];
        r->roofline = sk_median(ratio, b->rounds);
        r->vs_dense = against(b, a, b->dense, i);
        r->vs_fp8 = against(b, a, b->fp8, i);
        r->peak = a->peak;
        r->cached_us = b->cached ? sk_median(a->cached[i], b->rounds) : 0;
        r->pages_us = b->cached ? sk_median(a->pages[i], b->rounds) : 0;
    }
}

uint32_t sk_bench_best(const sk_bench *b, uint32_t lane)
{
    uint32_t best = 0;
    for (uint32_t r = 1; r < b->repeat; r++)
        if (b->run[lane][r].roofline > b->run[lane][best].roofline) best = r;
    return best;
}

static sk_status measure_all(host *h, sk_err *err)
{
    bool died;
    sk_status st = prepare_all(h, err);
    for (uint32_t r = 0; r < h->bench->repeat && st == SPHKV_OK; r++) {
        st = ask(h, ASK_RUN, r, &died, err);
        if (st == SPHKV_OK) take_run(h, r);
    }
    return st;
}

/* What the equations say of every lane; multiply-adds are counted where they limit. */
static void count_work(sk_bench *b)
{
    const bool cpu = b->device->target.backend == SK_BACKEND_CPU;
    b->multiplies = false;
    for (uint32_t i = 0; i < b->lanes; i++) {
        const sk_kernel *kernel = sk_kernel_get(b->lane[i].spec.kernel);
        sk_cost cost;
        kernel->cost(&b->lane[i].spec, &b->shape, &cost);
        b->token_heads = cost.token_heads; /* of all alike */
        b->operations[i] = kernel->multiplies && cpu ? cost.operations : 0;
        b->multiplies = b->multiplies || b->operations[i] > 0;
    }
}

sk_status sk_bench_measure(sk_bench *b, const volatile int *stop, bool *stopped, sk_err *err)
{
    const bool gpu = b->device->target.backend == SK_BACKEND_CUDA;
    host h = {.bench = b, .limits = gpu ? sk_limits_gpu() : sk_limits_default(), .stop = stop,
              .stopped = stopped};
    *stopped = false;
    if (b->lanes > SK_BENCH_LANES || b->repeat > SK_BENCH_RUNS || b->rounds > ROUNDS_MOST)
        return sk_fail(err, SPHKV_EINVAL, "a bench of %u lanes, %u runs, %u rounds", b->lanes,
                       b->repeat, b->rounds);
    field *f = sk_calloc(1, sizeof *f);
    h.answer = sk_shared_alloc(sizeof *h.answer);
    if (!f || !h.answer) {
        sk_free(f);
        sk_shared_free(h.answer, sizeof *h.answer);
        return sk_fail(err, SPHKV_ENOMEM, "no memory for a bench");
    }
    f->bench = b;
    f->answer = h.answer;
    count_work(b);
    sk_status st = sk_worker_init(&h.worker, serve, f, &h.limits, err);
    if (st == SPHKV_OK) st = measure_all(&h, err);
    sk_worker_free(&h.worker);
    sk_shared_free(h.answer, sizeof *h.answer);
    sk_free(f);
    return st;
}
