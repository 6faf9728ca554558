/* cuda_run.h - kernels of the driver's double that compute: a launch of the double is
 * handed to the interpreter, which runs the program of that name on the same memory.
 * And databases with code for it. Static inline, for the test_run_cuda_ programs. */
#ifndef CUDA_RUN_H
#define CUDA_RUN_H

#include "cuda_case.h"
#include "gpu_target.h"
#include "run_case.h"

static inline sphkv_open_params cuda_open_params(run_place *p, const char *device, uint32_t flags)
{
    return (sphkv_open_params){.size = sizeof(sphkv_open_params), .flags = flags,
                               .db_path = p->db, .log = run_log, .log_user = p, .device = device};
}

static inline sphkv_context *cuda_open(run_place *p, const char *device, uint32_t flags)
{
    const sphkv_open_params params = cuda_open_params(p, device, flags);
    sphkv_context *ctx = NULL;
    sphkv_error err = {0};
    sk_assert_ok(sphkv_open(&params, &ctx, &err), &err);
    return ctx;
}

/* A spec's default schedule for an architecture, and its programs. */
typedef struct cuda_kernel {
    sk_spec spec;
    sk_target target;
    sk_schedule schedule;
    sk_arena mem;
    sk_code_ir ir;
    sk_text spec_text, schedule_text;
    char entries[512];
    fake_cuda_extent_fn extent;
    uint32_t interpreted; /* launches */
    bool idle;            /* launches compute nothing */
} cuda_kernel;

static inline void cuda_kernel_make(cuda_kernel *k, const sphkv_spec_params *params, uint32_t sm)
{
    sk_err err = {0};
    memset(k, 0, sizeof *k);
    sk_assert_ok(sk_spec_from_params(params, &k->spec, &err), &err);
    sk_assert_ok(sk_target_cuda(sm, false, &k->target, &err), &err);
    sk_kernel_default(sk_kernel_get(k->spec.kernel), &k->spec, &k->target, &k->schedule);
    sk_assert_ok(sk_code_ir_build(&k->spec, &k->schedule, &k->mem, &k->ir, &err), &err);
    sk_spec_print(&k->spec, &k->spec_text);
    sk_schedule_print(k->spec.kernel, &k->schedule, &k->schedule_text);
    for (uint32_t i = 0; i < k->ir.build.n; i++)
        snprintf(k->entries + strlen(k->entries), sizeof k->entries - strlen(k->entries), "%s%s",
                 i ? "," : "", k->ir.build.program[i]->symbol);
}

static inline void cuda_kernel_free(cuda_kernel *k)
{
    sk_text_free(&k->spec_text);
    sk_text_free(&k->schedule_text);
    sk_arena_free(&k->mem);
}

/* ---- launches ----------------------------------------------------------------- */

static inline const sk_program *cuda_program(const cuda_kernel *k, const char *name)
{
    for (uint32_t i = 0; i < k->ir.build.n; i++)
        if (strcmp(k->ir.build.program[i]->symbol, name) == 0) return k->ir.build.program[i];
    fail_msg("a launch of %s, which nobody knows", name);
    return NULL;
}

static inline uint32_t cuda_slots(void *user, const char *name, const char *unit)
{
    (void)unit;
    return cuda_program(user, name)->nparams;
}

static inline void cuda_interpret(void *user, const fake_cuda_launch *l)
{
    cuda_kernel *k = user;
    const sk_program *program = cuda_program(k, l->name);
    sk_interp_buffer buffer[SK_MAX_SLOTS] = {0};
    uint32_t scalar[SK_MAX_SLOTS] = {0};
    sk_err err = {0};
    k->interpreted++;
    if (k->idle) return;
    assert_int_equal(l->block[0], 32 * program->warps);
    assert_int_equal(l->shared_bytes, program->shared_bytes);
    for (uint32_t i = 0; i < l->slots; i++) {
        scalar[i] = (uint32_t)l->slot[i];
        if (program->param[i].kind == SK_PARAM_PTR)
            buffer[i] = (sk_interp_buffer){.data = (void *)(uintptr_t)l->slot[i],
                                           .bytes = k->extent(l->slot[i])};
    }
    const sk_interp_args args = {.buffer = buffer, .scalar = scalar,
                                 .grid = {l->grid[0], l->grid[1], l->grid[2]}};
    sk_assert_ok(sk_interp_run(program, &args, &err), &err);
}

static inline void cuda_machine_runs(cuda_machine *m, cuda_kernel *k)
{
    m->state->slots = cuda_slots;
    m->state->run = cuda_interpret;
    m->state->user = k;
    k->extent = m->extent;
}

/* ---- databases ------------------------------------------------------------------ */

/* An artifact of the kernel; *bytes is the caller's to free. */
static inline sk_db_artifact cuda_artifact(cuda_kernel *k, const char *kind, const char *arch,
                                           uint32_t driver, char **bytes)
{
    sk_text facts = {0};
    sk_db_artifact a = {.kind = kind, .entries = k->entries, .ir_hash = k->ir.hash,
                        .format_version = SPHKV_FORMAT_VERSION,
                        .args_version = SPHKV_ARGS_VERSION};
    sk_launch launch = {.nentry = k->ir.build.n, .driver = driver};
    launch.target.backend = SK_BACKEND_CUDA;
    assert_true(sk_gpu_arch_parse(arch, &launch.target));
    for (uint32_t i = 0; i < launch.nentry; i++) {
        launch.shared_bytes[i] = k->ir.build.program[i]->shared_bytes;
        launch.warps[i] = k->ir.build.program[i]->warps;
    }
    sk_launch_print(&launch, &facts);
    a.launch = sk_arena_strdup(&k->mem, facts.s);
    sk_text_free(&facts);
    *bytes = strcmp(kind, "ptx") == 0 ? cuda_ptx("8.0", arch, k->entries, &a.size)
                                      : cuda_cubin(arch, k->entries, &a.size);
    a.bytes = *bytes;
    return a;
}

static inline sk_db_set *cuda_set(const run_place *p)
{
    sk_db_set *set = NULL;
    sk_err err = {0};
    sk_assert_ok(sk_db_set_open(p->db, NULL, 0, &set, &err), &err);
    return set;
}

/* What one process leaves to the next: a proven default. */
static inline void cuda_keep_default(const run_place *p, cuda_kernel *k, const char *arch,
                                     uint32_t driver)
{
    const sk_db_device device = {.kind = "cuda", .name = "another", .arch = arch,
                                 .fingerprint = "another", .toolchain = ""};
    sk_err err = {0};
    char *bytes;
    const sk_db_artifact a = cuda_artifact(k, "cubin", arch, driver, &bytes);
    sk_db_set *set = cuda_set(p);
    sk_assert_ok(sk_db_default_put(set, &device, sk_kernel_name(k->spec.kernel), k->spec_text.s,
                                   k->schedule_text.s, &a, &err), &err);
    sk_db_set_close(set);
    sk_free(bytes);
}

/* What is built where there is no GPU: predicted, never run. kind "ptx" for "sm_80" is
 * kept under compute_80. */
static inline void cuda_keep_predicted(const run_place *p, cuda_kernel *k, const char *kind,
                                       const char *arch, uint32_t driver)
{
    char place[24];
    snprintf(place, sizeof place, "%s%s", strcmp(kind, "ptx") == 0 ? "compute_" : "sm_", arch + 3);
    const sk_db_device device = {.kind = "cuda", .name = "predicted", .arch = place,
                                 .fingerprint = place, .toolchain = ""};
    sk_err err = {0};
    char *bytes;
    const sk_db_artifact a = cuda_artifact(k, kind, arch, driver, &bytes);
    const sk_db_trial trial = {
        .key = {.device = &device, .kernel = sk_kernel_name(k->spec.kernel),
                .spec = k->spec_text.s, .shape = {.batch = 4, .kv_heads = 2, .q_heads = 2, .q_len = 1,
                                                  .threads = 1},
                .schedule = k->schedule_text.s, .ir_hash = k->ir.hash,
                .accuracy = sk_accuracy_name(k->spec.accuracy), .run_kind = SK_DB_PREDICT},
        .outcome = SK_OUTCOME_SKIPPED, .median_us = 1, .error = -1, .run_id = "test",
        .artifact = &a};
    sk_db_winner winner = {.speedup = 1, .speedup_lo = 1, .speedup_hi = 1, .run_id = "test"};
    sk_db_set *set = cuda_set(p);
    sk_assert_ok(sk_db_trial_put(set->user, &trial, &winner.trial_id, &err), &err);
    winner.default_trial_id = winner.trial_id;
    sk_assert_ok(sk_db_winner_put(set->user, &winner, NULL, &err), &err);
    sk_db_set_close(set);
    sk_free(bytes);
}

#endif
