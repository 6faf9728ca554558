/* gpu_cases.c - every spec of the tables of kernels, and of the hand-written ceiling, on
 * the GPU of this machine: compiled by NVRTC, loaded, judged by the double reference
 * in the whole check, with the default schedule and with others by chance. A line of
 * JSON for each, so that a run that is stopped leaves what it has.
 *
 * gpu_cases [--device cuda:N] [--more N] [--most N] [--seconds N] [--seed N]
 *
 * Kernels run in a worker process: one that faults takes the worker's CUDA context
 * along and nothing else. Exit code: 0 all right, 1 something is wrong, 3 no GPU or no
 * compiler. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_compile.h"
#include "device.h"
#include "image_load.h"
#include "json.h"
#include "kernel_tables.h"
#include "progress.h"
#include "rank.h"
#include "worker.h"

#define CASES_MOST 8192u

typedef struct one {
    sk_spec spec;
    sk_schedule schedule;
} one;

/* What a worker says of one; shared memory. */
typedef struct answer {
    uint32_t status;
    char why[400], gpu[64], arch[16];
    double error;
    uint32_t registers, spill_bytes, shared_bytes;
    sk_target target; /* of the probe */
} answer;

typedef struct lab {
    const char *device;
    uint64_t seed;
    one *at;
    uint32_t n;
    answer *answer;
    /* the worker's own */
    sk_cuda *cuda;
    sk_device gpu;
    sk_nvrtc nvrtc;
    const sk_nvrtc_api *api;
} lab;

/* ---- the worker --------------------------------------------------------------------- */

static sk_status open_gpu(lab *l, sk_err *err)
{
    if (l->api) return SPHKV_OK;
    sk_status st = sk_cuda_open(l->device, &l->cuda, err);
    if (st == SPHKV_OK) st = sk_device_cuda(l->cuda, &l->gpu, err);
    if (st != SPHKV_OK) return st;
    sk_nvrtc_init(&l->nvrtc, true, (uint32_t)l->gpu.gpu.driver);
    st = sk_nvrtc_get(&l->nvrtc, &l->api, err);
    snprintf(l->answer->gpu, sizeof l->answer->gpu, "%s", l->gpu.name);
    snprintf(l->answer->arch, sizeof l->answer->arch, "%.15s", l->gpu.arch);
    l->answer->target = l->gpu.target;
    return st;
}

static sk_status prove(lab *l, const one *o, sk_desk *desk, uint32_t index, sk_err *err)
{
    const sphkv_maxima maxima = {.size = sizeof maxima, .batch = 4, .kv_heads = 2,
                                 .pages_per_list = 1024 / o->spec.page + 1, .parts = 1};
    sk_arena mem = {0};
    sk_code_ir ir;
    sk_cuda_built built;
    sk_code *code = NULL;
    sk_image image;
    sk_desk_enter(desk, SK_PHASE_COMPILE, index);
    sk_status st = sk_code_ir_build(&o->spec, &o->schedule, &mem, &ir, err);
    if (st == SPHKV_OK)
        st = sk_cuda_compile(&ir, &o->spec, &o->schedule, l->gpu.arch, l->api, 0, &mem, &built, err);
    if (st == SPHKV_OK) {
        l->answer->registers = built.resources[0].registers;
        l->answer->spill_bytes = sk_cuda_spilled(&built.resources[0]);
        l->answer->shared_bytes = ir.build.program[0]->shared_bytes;
        sk_desk_enter(desk, SK_PHASE_LOAD, index);
        st = sk_code_load_cuda(&built.cubin, &ir, l->cuda, &l->gpu.target, &code, err);
    }
    if (st == SPHKV_OK) {
        sk_desk_enter(desk, SK_PHASE_CHECK, index);
        st = sk_code_image(code, &o->spec, &o->schedule, &maxima, &image, err);
    }
    if (st == SPHKV_OK) st = sk_code_check(code, &image, l->seed, &l->answer->error, err);
    sk_code_release(code);
    sk_arena_free(&mem);
    return st;
}

/* request[0]: 0 probes, i + 1 proves the i-th. */
static void serve(void *user, sk_desk *desk, const uint32_t request[SK_REQUEST_WORDS])
{
    lab *l = user;
    sk_err err = {0};
    sk_desk_enter(desk, SK_PHASE_LOAD, request[0]);
    sk_status st = open_gpu(l, &err);
    if (st == SPHKV_OK && request[0])
        st = prove(l, &l->at[request[0] - 1], desk, request[0] - 1, &err);
    l->answer->status = st;
    snprintf(l->answer->why, sizeof l->answer->why, "%.399s", st == SPHKV_OK ? "" : err.message);
}

/* ---- what is tried --------------------------------------------------------------------- */

static void add(lab *l, const sk_spec *spec, const sk_schedule *s, const sk_target *target)
{
    const sk_kernel *kernel = sk_kernel_get(spec->kernel);
    if (l->n == CASES_MOST || sk_kernel_valid(kernel, spec, s, target, NULL) != SPHKV_OK) return;
    for (uint32_t i = 0; i < l->n; i++)
        if (memcmp(&l->at[i].spec, spec, sizeof *spec) == 0 &&
            memcmp(l->at[i].schedule.v, s->v, sizeof s->v) == 0)
            return;
    l->at[l->n++] = (one){*spec, *s};
}

/* The default, and up to `more` that differ in some tunables. */
static void add_spec(lab *l, const char *text, uint32_t more, sk_rng *rng, const sk_target *target)
{
    sk_spec spec;
    sk_schedule first;
    if (sk_spec_parse(text, &spec, NULL) != SPHKV_OK) return;
    const sk_kernel *kernel = sk_kernel_get(spec.kernel);
    if (!kernel->form[SK_BACKEND_CUDA] || kernel->supported(&spec, NULL) != SPHKV_OK) return;
    sk_kernel_default(kernel, &spec, target, &first);
    add(l, &spec, &first, target);
    const uint32_t want = l->n + more;
    for (uint32_t tries = 0; tries < 64 * more && l->n < want; tries++) {
        sk_schedule s = first;
        for (uint32_t t = 0; t < SK_TUNABLE_COUNT; t++)
            if (sk_tunable_tunes(t, spec.kernel, SK_BACKEND_CUDA) && sk_rng_below(rng, 2))
                s.v[t] = sk_tunable_value(t, sk_rng_below(rng, sk_tunable_count(t)));
        add(l, &spec, &s, target);
    }
}

static void add_raw(lab *l, const sk_target *target)
{
    static const char *const heads[] = {"4", "5", "8"};
    for (uint32_t i = 0; i < SK_COUNT(heads); i++) {
        char text[120];
        sk_spec spec;
        sk_schedule s;
        snprintf(text, sizeof text,
                 "attn_decode d128 v128 h%s p128 l1 qf16 of16 if32 tight good:vi8", heads[i]);
        if (sk_spec_parse(text, &spec, NULL) != SPHKV_OK) continue;
        sk_kernel_default(sk_kernel_get(spec.kernel), &spec, target, &s);
        if (sk_schedule_parse(spec.kernel, "form=raw,warps=4,slab=64,stages=0,room=shared,blocks=1", &s, NULL) ==
            SPHKV_OK)
            add(l, &spec, &s, target);
    }
}

/* ---- the parent --------------------------------------------------------------------------- */

static void print_one(const lab *l, uint32_t i, const char *state, const char *why)
{
    sk_json j = {0};
    sk_text spec = {0}, schedule = {0};
    const answer *a = l->answer;
    sk_spec_print(&l->at[i].spec, &spec);
    sk_schedule_print(l->at[i].spec.kernel, &l->at[i].schedule, &schedule);
    sk_json_open(&j, NULL, '{');
    sk_json_text(&j, "spec", spec.s);
    sk_json_text(&j, "schedule", schedule.s);
    sk_json_text(&j, "state", state);
    if (why[0]) sk_json_text(&j, "why", why);
    if (!why[0]) sk_json_f64(&j, "error", a->error);
    sk_json_u64(&j, "registers", a->registers);
    sk_json_u64(&j, "spill_bytes", a->spill_bytes);
    sk_json_u64(&j, "shared_bytes", a->shared_bytes);
    sk_json_close(&j, '}');
    if (j.text.s) printf("%s\n", j.text.s);
    fflush(stdout);
    sk_text_free(&j.text);
    sk_text_free(&spec);
    sk_text_free(&schedule);
}

static bool ask(lab *l, sk_worker *w, const sk_limits *limits, uint32_t what, char why[400])
{
    const uint32_t request[SK_REQUEST_WORDS] = {what};
    sk_report report;
    l->answer->registers = l->answer->spill_bytes = l->answer->shared_bytes = 0;
    l->answer->error = -1;
    sk_worker_ask(w, request, NULL, NULL, &report);
    if (report.fate != SK_FATE_DONE)
        (void)sk_report_outcome(&report, limits, why, 400);
    else
        snprintf(why, 400, "%s", l->answer->status == SPHKV_OK ? "" : l->answer->why);
    /* after a fault of the device nothing that this worker says counts */
    if (report.fate == SK_FATE_DONE && l->answer->status == SPHKV_EDEVICE) sk_worker_kill(w);
    return why[0] == '\0';
}

static uint32_t option(int argc, char **argv, const char *name, uint32_t otherwise)
{
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0) return (uint32_t)strtoul(argv[i + 1], NULL, 10);
    return otherwise;
}

static int run(lab *l, sk_worker *w, const sk_limits *limits, uint32_t most, double seconds)
{
    uint32_t wrong = 0, done = 0;
    char why[400];
    const double t0 = sk_progress_now();
    for (uint32_t i = 0; i < l->n && i < most; i++, done++) {
        if (sk_progress_now() - t0 > seconds) break;
        const bool right = ask(l, w, limits, i + 1, why);
        wrong += !right;
        print_one(l, i, right ? "ok" : "wrong", why);
    }
    fprintf(stderr, "gpu_cases: %u of %u kernels on %s (%s), %u wrong; seed %llu\n", done, l->n,
            l->answer->gpu, l->answer->arch, wrong, (unsigned long long)l->seed);
    return wrong ? 1 : 0;
}

int main(int argc, char **argv)
{
    lab l = {.device = "cuda:0", .seed = option(argc, argv, "--seed", 20260101)};
    const uint32_t more = option(argc, argv, "--more", 2);
    sk_rng rng = {0};
    sk_limits limits = sk_limits_default();
    sk_worker worker;
    char why[400];
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], "--device") == 0) l.device = argv[i + 1];
    limits.seconds[SK_PHASE_COMPILE] = 120;
    limits.memory = 0; /* a GPU's driver maps far more than it uses */
    l.answer = sk_shared_alloc(sizeof *l.answer);
    l.at = sk_calloc(CASES_MOST, sizeof *l.at);
    if (!l.answer || !l.at || sk_worker_init(&worker, serve, &l, &limits, NULL) != SPHKV_OK) return 1;
    if (!ask(&l, &worker, &limits, 0, why)) {
        fprintf(stderr, "gpu_cases: %s\n", why);
        sk_worker_free(&worker);
        sk_free(l.at);
        return 3;
    }
    const sk_target target = l.answer->target;
    sk_worker_kill(&worker); /* the next one sees the list */
    sk_rng_seed(&rng, l.seed);
    add_raw(&l, &target);
    for (uint32_t pass = 0; pass < 2; pass++) /* defaults before what is drawn */
        for (uint32_t t = 0; t < kernel_ntables; t++)
            for (uint32_t i = 0; i < kernel_tables[t].n; i++)
                add_spec(&l, kernel_tables[t].row[i].spec, pass ? more : 0, &rng, &target);
    const int code = run(&l, &worker, &limits, option(argc, argv, "--most", CASES_MOST),
                         option(argc, argv, "--seconds", 86400));
    sk_worker_free(&worker);
    sk_free(l.at);
    return code;
}
