/* forge.c - see forge.h. The seat's half runs in a worker; it answers in its slot
 * of shared memory, which the parent copies and checks. */
#include "forge.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "jit.h"
#include "progress.h"
#include "ready.h"

enum { ASK_PROBE, ASK_COMPILE };

#define PROBES 8 /* loading a compiler takes a while, in which memory may run out elsewhere */

/* What one worker needs; its own copy after the fork. One of the compilers is opened. */
typedef struct sk_seat {
    const sk_job *job;
    sk_code_slot *slot;
    sk_jit jit;
    const sk_jit_llvm_api *llvm;
    sk_nvrtc nvrtc;
    const sk_nvrtc_api *cuda;
} sk_seat;

/* ---- the worker ----------------------------------------------------------------- */

static sk_status fill_slot(sk_code_slot *slot, const sk_db_artifact *code, sk_err *err)
{
    if (code->size > SK_CODE_MOST || strlen(code->entries) >= sizeof slot->entries ||
        strlen(code->launch) >= sizeof slot->launch || strlen(code->ir_hash) != 64 ||
        strlen(code->kind) >= sizeof slot->kind)
        return sk_fail(err, SPHKV_EINTERNAL, "code of %zu bytes is too large to keep", code->size);
    snprintf(slot->kind, sizeof slot->kind, "%s", code->kind);
    snprintf(slot->entries, sizeof slot->entries, "%s", code->entries);
    snprintf(slot->launch, sizeof slot->launch, "%s", code->launch);
    memcpy(slot->ir_hash, code->ir_hash, sizeof slot->ir_hash);
    memcpy(slot->code, code->bytes, code->size);
    slot->code_bytes = code->size;
    return SPHKV_OK;
}

/* Opens the compiler, once. */
static sk_status open_compiler(sk_seat *s, sk_err *err)
{
    const sk_device *device = s->job->device;
    if (s->llvm || s->cuda) return SPHKV_OK;
    if (device->target.backend == SK_BACKEND_CUDA) {
        sk_nvrtc_init(&s->nvrtc, true, (uint32_t)device->gpu.driver);
        return sk_nvrtc_get(&s->nvrtc, &s->cuda, err);
    }
    sk_jit_init(&s->jit, true);
    return sk_jit_get(&s->jit, &s->llvm, err);
}

static sk_status compile(sk_seat *s, sk_desk *desk, uint32_t index, uint32_t ordinal, sk_err *err)
{
    sk_ready ready;
    sk_desk_enter(desk, SK_PHASE_COMPILE, index);
    const sk_fault_kind fault = sk_fault_of(ordinal);
    if (fault == SK_FAULT_ABORT) sk_fault_strike(fault);
    const sk_schedule *schedule =
        &s->job->space.candidate[fault == SK_FAULT_TWIN ? 0 : index].schedule;
    sk_status st = sk_ready_start(&s->job->spec, schedule, &ready, err);
    if (st != SPHKV_OK) return st;
    st = s->cuda ? sk_ready_compile_cuda(&ready, s->job->device->arch, s->cuda, err)
                 : sk_ready_compile(&ready, &s->job->device->target, s->llvm, err);
    if (st == SPHKV_OK) st = fill_slot(s->slot, &ready.artifact, err);
    s->slot->index = index;
    sk_ready_free(&ready);
    return st;
}

static void serve(void *user, sk_desk *desk, const uint32_t request[SK_REQUEST_WORDS])
{
    sk_seat *s = user;
    sk_err err = {0};
    sk_desk_enter(desk, SK_PHASE_LOAD, SK_NONE);
    s->slot->code_bytes = 0;
    sk_status st = open_compiler(s, &err);
    if (st == SPHKV_OK && request[0] == ASK_PROBE)
        snprintf(s->slot->entries, sizeof s->slot->entries, "%s",
                 s->cuda ? s->cuda->version : s->llvm->version);
    else if (st == SPHKV_OK)
        st = compile(s, desk, request[1], request[2], &err);
    s->slot->status = st;
    snprintf(s->slot->message, sizeof s->slot->message, "%.399s",
             st == SPHKV_OK ? "" : err.message);
}

/* ---- the parent ----------------------------------------------------------------- */

void sk_made_free(sk_made *m)
{
    sk_free(m->entries);
    sk_free(m->launch);
    sk_free(m->bytes);
    memset(m, 0, sizeof *m);
}

sk_db_artifact sk_made_artifact(const sk_made *m)
{
    return (sk_db_artifact){.kind = m->kind,
                            .entries = m->entries,
                            .launch = m->launch,
                            .ir_hash = m->ir_hash,
                            .format_version = SPHKV_FORMAT_VERSION,
                            .args_version = SPHKV_ARGS_VERSION,
                            .bytes = m->bytes,
                            .size = m->size};
}

sk_status sk_made_show(const sk_made *m, uint32_t index, sk_code_slot *slot, sk_err *err)
{
    const sk_db_artifact code = sk_made_artifact(m);
    if (!m->bytes) return sk_fail(err, SPHKV_EINTERNAL, "there is no code to show");
    slot->index = index;
    return fill_slot(slot, &code, err);
}

/* Copies what a worker left in its slot, trusting nothing. */
static sk_status take_slot(sk_code_slot *slot, uint32_t index, sk_made *m, sk_err *err)
{
    uint64_t bytes = slot->code_bytes;
    slot->message[sizeof slot->message - 1] = '\0';
    slot->kind[sizeof slot->kind - 1] = '\0';
    slot->entries[sizeof slot->entries - 1] = '\0';
    slot->launch[sizeof slot->launch - 1] = '\0';
    slot->ir_hash[sizeof slot->ir_hash - 1] = '\0';
    if (slot->status != SPHKV_OK || bytes == 0 || bytes > SK_CODE_MOST || slot->index != index) {
        bool refused = slot->status == SPHKV_EINVAL || slot->status == SPHKV_EUNSUPPORTED;
        m->outcome = slot->status == SPHKV_ENOMEM ? SK_OUTCOME_OOM
                     : refused                    ? SK_OUTCOME_INVALID
                                                  : SK_OUTCOME_COMPILE_ERROR;
        memcpy(m->message, slot->message, sizeof m->message);
        return SPHKV_OK;
    }
    m->outcome = SK_OUTCOME_OK;
    m->entries = sk_strdup(slot->entries);
    m->launch = sk_strdup(slot->launch);
    memcpy(m->kind, slot->kind, sizeof m->kind);
    memcpy(m->ir_hash, slot->ir_hash, sizeof m->ir_hash);
    m->bytes = sk_malloc((size_t)bytes);
    if (!m->entries || !m->launch || !m->bytes) {
        sk_made_free(m);
        return sk_fail(err, SPHKV_ENOMEM, "no memory for code");
    }
    memcpy(m->bytes, slot->code, (size_t)bytes);
    m->size = (size_t)bytes;
    return SPHKV_OK;
}

sk_status sk_forge_make(const sk_job *job, const sk_limits *limits, uint32_t seats, sk_forge *out,
                        sk_err *err)
{
    int cpu[SK_FORGE_MOST];
    memset(out, 0, sizeof *out);
    if (seats == 0) seats = sk_team_cpus(cpu, SK_FORGE_MOST);
    if (seats == 0) seats = 1;
    if (seats > SK_FORGE_MOST) seats = SK_FORGE_MOST;
    out->job = job;
    out->limits = *limits;
    out->seats = seats;
    const uint32_t threads = job->shape.threads ? job->shape.threads : 1;
    out->ahead = seats > threads ? seats - threads : 0;
    out->seat = sk_calloc(seats, sizeof *out->seat);
    out->slot = sk_shared_alloc(seats * sizeof *out->slot);
    sk_status st = out->seat && out->slot ? SPHKV_OK
                                          : sk_fail(err, SPHKV_ENOMEM, "no memory for compilers");
    for (uint32_t i = 0; i < seats && st == SPHKV_OK; i++) {
        out->seat[i].job = job;
        out->seat[i].slot = &out->slot[i];
        st = sk_worker_init(&out->worker[i], serve, &out->seat[i], limits, err);
    }
    if (st != SPHKV_OK) sk_forge_free(out);
    return st;
}

void sk_forge_free(sk_forge *f)
{
    for (uint32_t i = 0; i < f->seats; i++) sk_worker_free(&f->worker[i]);
    sk_shared_free(f->slot, f->seats * sizeof *f->slot);
    sk_free(f->seat);
    memset(f, 0, sizeof *f);
}

sk_status sk_forge_probe(sk_forge *f, sk_tick_fn tick, void *user, char compiler[96],
                         bool *stopped, sk_err *err)
{
    const uint32_t request[SK_REQUEST_WORDS] = {ASK_PROBE};
    sk_report report;
    char said[400];
    for (int attempt = 0; attempt < PROBES; attempt++) { /* others may kill it */
        sk_worker_ask(&f->worker[0], request, tick, user, &report);
        if (report.fate != SK_FATE_SIGNAL) break;
    }
    *stopped = report.fate == SK_FATE_STOPPED;
    if (*stopped) return sk_fail(err, SPHKV_EDEVICE, "interrupted");
    if (report.fate != SK_FATE_DONE) {
        (void)sk_report_outcome(&report, &f->limits, said, sizeof said);
        return sk_fail(err, SPHKV_ECOMPILE, "the compiler: %s", said);
    }
    f->slot[0].message[sizeof f->slot[0].message - 1] = '\0';
    if (f->slot[0].status != SPHKV_OK)
        return sk_fail(err, f->slot[0].status, "%s", f->slot[0].message);
    snprintf(compiler, 96, "%.95s", f->slot[0].entries);
    return SPHKV_OK;
}

static void fill_request(const sk_order *order, uint32_t request[SK_REQUEST_WORDS])
{
    request[0] = ASK_COMPILE;
    request[1] = order->index;
    request[2] = order->ordinal;
}

void sk_forge_ahead(sk_forge *f, const sk_order *order, uint32_t n)
{
    for (uint32_t i = 0; i < n && i < f->ahead; i++) {
        uint32_t request[SK_REQUEST_WORDS] = {0};
        fill_request(&order[i], request);
        f->begun[i] = order[i].index;
        sk_worker_begin(&f->worker[i], request);
    }
}

/* One round: each seat compiles at most one. again[i]: a worker that had served
 * others before died with order i; it deserves a fresh one. */
static sk_status run_round(sk_forge *f, const sk_order *order, uint32_t n, bool *again,
                           sk_tick_fn tick, void *user, bool *stopped, sk_err *err)
{
    sk_worker *worker[SK_FORGE_MOST];
    uint32_t request[SK_FORGE_MOST][SK_REQUEST_WORDS] = {{0}};
    sk_report report[SK_FORGE_MOST];
    bool served[SK_FORGE_MOST];
    sk_status st = SPHKV_OK;
    double t0 = sk_progress_now();
    for (uint32_t i = 0; i < n; i++) {
        worker[i] = &f->worker[i];
        if (worker[i]->begun && f->begun[i] != order[i].index) sk_worker_kill(worker[i]);
        served[i] = worker[i]->pid != 0 && worker[i]->served > 0;
        fill_request(&order[i], request[i]);
    }
    sk_worker_ask_all(worker, request, n, tick, user, report);
    for (uint32_t i = 0; i < n && st == SPHKV_OK; i++) {
        sk_made *m = order[i].made;
        sk_made_free(m);
        again[i] = false;
        *stopped = *stopped || report[i].fate == SK_FATE_STOPPED;
        if (report[i].fate == SK_FATE_DONE)
            st = take_slot(&f->slot[i], order[i].index, m, err);
        else
            m->outcome = sk_report_outcome(&report[i], &f->limits, m->message, sizeof m->message);
        if (report[i].fate != SK_FATE_DONE) again[i] = served[i];
        m->seconds = sk_progress_now() - t0;
    }
    return st;
}

sk_status sk_forge_run(sk_forge *f, const sk_order *order, uint32_t n, sk_tick_fn tick, void *user,
                       bool *stopped, sk_err *err)
{
    sk_status st = SPHKV_OK;
    for (uint32_t at = 0; at < n && st == SPHKV_OK && !*stopped; at += f->seats) {
        uint32_t count = n - at < f->seats ? n - at : f->seats;
        bool again[SK_FORGE_MOST];
        st = run_round(f, order + at, count, again, tick, user, stopped, err);
        for (uint32_t i = 0; i < count && st == SPHKV_OK && !*stopped; i++) {
            bool once;
            if (again[i]) st = run_round(f, order + at + i, 1, &once, tick, user, stopped, err);
        }
    }
    return st;
}
