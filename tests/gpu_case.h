/* gpu_case.h - builds (spec, schedule) for a GPU and runs its programs by the
 * interpreter, as sk_image_launch does where there is no device; judged by the
 * double reference, and held against the CPU's form where both must give the same
 * bits. Static inline: shared by the test_kernel_gpu_ programs. */
#ifndef GPU_CASE_H
#define GPU_CASE_H

#include "case.h"

typedef struct gpu_row {
    const char *spec;     /* text of a spec */
    const char *schedule; /* overrides of the default, or "" */
    uint32_t sm;          /* 0 = 80 */
} gpu_row;

typedef struct gpu_built {
    sk_spec spec;
    sk_schedule schedule;
    sk_arena mem;
    sk_build build;
} gpu_built;

static inline sk_status gpu_make(const sk_spec *spec, const sk_schedule *schedule, gpu_built *out,
                                 sk_err *err)
{
    memset(out, 0, sizeof *out);
    out->spec = *spec;
    out->schedule = *schedule;
    return sk_kernel_build(sk_kernel_get(spec->kernel), spec, schedule, &out->mem, &out->build, err);
}

/* With `schedule` over the default of a target. */
static inline void gpu_build_for(const char *spec_text, const char *schedule_text,
                                 const sk_target *target, gpu_built *out)
{
    sk_err err = {0};
    sk_spec spec;
    sk_schedule schedule;
    sk_assert_ok(sk_spec_parse(spec_text, &spec, &err), &err);
    const sk_kernel *kernel = sk_kernel_get(spec.kernel);
    sk_assert_ok(kernel->supported(&spec, &err), &err);
    sk_kernel_default(kernel, &spec, target, &schedule);
    sk_assert_ok(sk_schedule_parse(spec.kernel, schedule_text, &schedule, &err), &err);
    sk_assert_ok(sk_kernel_valid(kernel, &spec, &schedule, target, &err), &err);
    sk_assert_ok(gpu_make(&spec, &schedule, out, &err), &err);
}

static inline void gpu_build(const gpu_row *row, gpu_built *out)
{
    sk_target target;
    sk_err err = {0};
    sk_assert_ok(sk_target_cuda(row->sm ? row->sm : 80, false, &target, &err), &err);
    gpu_build_for(row->spec, row->schedule, &target, out);
}

static inline void gpu_built_free(gpu_built *b) { sk_arena_free(&b->mem); }

static inline void gpu_image(const gpu_built *b, const sphkv_maxima *maxima, uint32_t sms,
                             sk_image *out)
{
    sk_err err = {0};
    uint32_t shared[SK_MAX_ENTRIES];
    for (uint32_t i = 0; i < b->build.n; i++) shared[i] = b->build.program[i]->shared_bytes;
    sk_assert_ok(sk_image_init(out, &b->spec, &b->schedule, maxima, shared, b->build.n, sms, &err),
                 &err);
    for (uint32_t i = 0; i < b->build.n; i++) out->program[i] = b->build.program[i];
}

/* One run of a case, twice with the same workspace: a run leaves it fit. */
static inline sk_status gpu_run_case(const gpu_built *b, sk_case *c, uint32_t sms, sk_err *err)
{
    sphkv_maxima maxima;
    sk_image image;
    sk_case_maxima(c, 1, &maxima);
    gpu_image(b, &maxima, sms, &image);
    uint8_t *raw = sk_calloc(1, image.workspace + 64);
    assert_non_null(raw);
    uint8_t *space = raw + (64 - (uintptr_t)raw % 64) % 64;
    sk_kernel_workspace(image.kernel, c->args.any, space, image.workspace);
    sk_status st = SPHKV_OK;
    for (uint32_t i = 0; i < 2 && st == SPHKV_OK; i++) {
        sk_case_poison(c, 0);
        st = image.form->run(&image, sk_case_args(c, 0), 0, 1, err);
    }
    sk_free(raw);
    return st;
}

static inline sk_status gpu_case(const gpu_built *b, const sk_case_params *p, uint32_t sms,
                                 sk_err *err)
{
    sk_case c;
    double error, bound;
    sk_status st = sk_case_make(p, &c, err);
    if (st != SPHKV_OK) return st;
    st = gpu_run_case(b, &c, sms, err);
    if (st == SPHKV_OK) st = sk_case_judge(&c, 0, &error, &bound, err);
    sk_case_free(&c);
    return st;
}

/* The CPU's form at w=16 and the GPU's write the same bytes. */
static inline sk_status gpu_same_bits(const gpu_built *cpu, const gpu_built *gpu,
                                      const sk_case_params *p, sk_err *err)
{
    sk_case c;
    size_t bytes;
    sk_status st = sk_case_make(p, &c, err);
    if (st != SPHKV_OK) return st;
    uint8_t *want = sk_malloc(sk_case_result(&c, 0, &bytes) ? bytes : 1);
    assert_non_null(want);
    st = gpu_run_case(cpu, &c, 1, err);
    memcpy(want, sk_case_result(&c, 0, &bytes), bytes);
    if (st == SPHKV_OK) st = gpu_run_case(gpu, &c, 2, err);
    const uint8_t *got = sk_case_result(&c, 0, &bytes);
    for (size_t i = 0; st == SPHKV_OK && i < bytes; i++)
        if (got[i] != want[i])
            st = sk_fail(err, SPHKV_EVERIFY, "input %s: byte %zu is %#x on a CPU, %#x on a GPU",
                         sk_input_name(p->input), i, want[i], got[i]);
    sk_free(want);
    sk_case_free(&c);
    return st;
}

#endif
