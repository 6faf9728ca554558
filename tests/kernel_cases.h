/* kernel_cases.h - runs a (spec, schedule) through the interpreter and through
 * the compiler on the same inputs, judges both by the double reference and
 * holds them against each other. Shared by the test_kernel_ and test_prop_
 * programs, which are several so that they run side by side; static inline for
 * that reason.
 *
 * Cases are rows of tables (kernel_tables.h): a spec's text, and a schedule's text
 * that overrides the default. Each row is a test of its own, named by its texts. */
#ifndef KERNEL_CASES_H
#define KERNEL_CASES_H

#include <math.h>

#include "case.h"
#include "cpu_target.h"
#include "image_load.h"
#include "jit.h"
#include "kernel_tables.h"

#define KERNEL_HEADS 2u
#define KERNEL_PARTS 3u

/* What a test program has: the compiler, when there is one. */
typedef struct kernel_lab {
    uint64_t seed;
    sk_target host;
    sk_jit jit;
    const sk_jit_llvm_api *api; /* NULL: no compiler */
} kernel_lab;

/* One (spec, schedule), made executable both ways. */
typedef struct kernel_built {
    sk_spec spec;
    sk_schedule schedule;
    sk_arena mem;
    sk_code_ir ir;
    sk_code *code; /* NULL: not compiled here */
} kernel_built;

static inline void kernel_lab_open(kernel_lab *lab)
{
    sk_err err = {0};
    memset(lab, 0, sizeof *lab);
    lab->seed = sk_test_seed(20240611);
    sk_cpu_target_host(&lab->host);
    sk_jit_init(&lab->jit, true);
    if (sk_jit_get(&lab->jit, &lab->api, &err) != SPHKV_OK) {
        lab->api = NULL;
        fprintf(stderr, "compiled half left out: %s\n", err.message);
    }
}

static inline void kernel_lab_close(kernel_lab *lab)
{
    sk_jit_close(&lab->jit);
}

/* This machine with vectors of so many bits, of 256 and 512 with all that such CPUs have. */
static inline sk_target kernel_target(const kernel_lab *lab, uint32_t vector_bits)
{
    sk_target target = lab->host;
    if (vector_bits) target.vector_bits = vector_bits;
    if (vector_bits >= 256) target.features |= SK_CPU_SSE41 | SK_CPU_AVX2;
    if (vector_bits == 512)
        target.features |= SK_CPU_AVX512 | SK_CPU_VBMI | SK_CPU_VNNI | SK_CPU_BF16;
    return target;
}

/* Builds, and compiles for `target` when that and the schedule run here. */
static inline sk_status kernel_make(const kernel_lab *lab, const sk_spec *spec,
                                    const sk_schedule *schedule, const sk_target *target,
                                    kernel_built *out, sk_err *err)
{
    sk_db_artifact artifact;
    memset(out, 0, sizeof *out);
    out->spec = *spec;
    out->schedule = *schedule;
    sk_status st = sk_code_ir_build(spec, schedule, &out->mem, &out->ir, err);
    if (st != SPHKV_OK || !lab->api || !sk_cpu_target_runs(target, &lab->host) ||
        sk_kernel_valid(sk_kernel_get(spec->kernel), spec, schedule, &lab->host, NULL) != SPHKV_OK)
        return st;
    st = sk_code_compile(&out->ir, target, lab->api, &out->mem, &artifact, err);
    if (st == SPHKV_OK) st = sk_code_load(&artifact, &out->ir, &lab->host, &out->code, err);
    return st;
}

static inline void kernel_build(kernel_lab *lab, const kernel_row *row, kernel_built *out)
{
    sk_err err = {0};
    sk_spec spec;
    sk_schedule schedule;
    const sk_target target = kernel_target(lab, row->vector_bits);
    sk_assert_ok(sk_spec_parse(row->spec, &spec, &err), &err);
    const sk_kernel *kernel = sk_kernel_get(spec.kernel);
    assert_non_null(kernel);
    sk_assert_ok(kernel->supported(&spec, &err), &err);
    sk_kernel_default(kernel, &spec, &target, &schedule);
    sk_assert_ok(sk_schedule_parse(spec.kernel, row->schedule, &schedule, &err), &err);
    sk_assert_ok(sk_kernel_valid(kernel, &spec, &schedule, &target, &err), &err);
    sk_assert_ok(kernel_make(lab, &spec, &schedule, &lab->host, out, &err), &err);
}

static inline void kernel_built_free(kernel_built *b)
{
    sk_code_release(b->code);
    sk_arena_free(&b->mem);
}

/* Instructions of all programs of a kernel. */
static inline uint32_t kernel_length(const sk_spec *spec, const sk_schedule *schedule)
{
    sk_arena mem = {0};
    sk_build build;
    uint32_t n = 0;
    const sk_kernel *kernel = sk_kernel_get(spec->kernel);
    if (sk_kernel_build(kernel, spec, schedule, &mem, &build, NULL) == SPHKV_OK)
        for (uint32_t i = 0; i < build.n; i++)
            n += build.program[i]->ninstr;
    sk_arena_free(&mem);
    return n;
}

/* The line that repeats a number alone, the kernel, what was wrong with it. */
static inline void kernel_say(const kernel_built *b, uint64_t number, const sk_err *err)
{
    sk_text text = {0};
    sk_spec_print(&b->spec, &text);
    sk_text_printf(&text, " ");
    sk_schedule_print(b->spec.kernel, &b->schedule, &text);
    print_error("%s\n    %s\n    %s\n", sk_test_repeat(number), text.s ? text.s : "", err->message);
    sk_text_free(&text);
}

/* ---- images and runs ---------------------------------------------------------- */

static inline void kernel_image(const kernel_built *b, bool compiled, const sphkv_maxima *maxima,
                                sk_image *out)
{
    sk_err err = {0};
    if (compiled) {
        sk_assert_ok(sk_code_image(b->code, &b->spec, &b->schedule, maxima, out, &err), &err);
        return;
    }
    uint32_t shared[SK_MAX_ENTRIES];
    for (uint32_t i = 0; i < b->ir.build.n; i++)
        shared[i] = b->ir.build.program[i]->shared_bytes;
    sk_assert_ok(sk_image_init(out, &b->spec, &b->schedule, maxima, shared, b->ir.build.n, 2, &err),
                 &err);
    for (uint32_t i = 0; i < b->ir.build.n; i++)
        out->program[i] = b->ir.build.program[i];
}

/* 64-byte aligned zeros inside *raw, which the caller frees. */
static inline void *kernel_workspace(size_t bytes, void **raw)
{
    *raw = sk_calloc(1, bytes + 64);
    assert_non_null(*raw);
    return (void *)(((uintptr_t)*raw + 63) & ~(uintptr_t)63);
}

/* Runs an args struct whose workspace is not set yet, in `parts` parts. */
static inline sk_status kernel_run(const sk_image *image, const void *args, uint32_t parts,
                                   sk_err *err)
{
    _Alignas(8) uint8_t a[512];
    void *raw;
    assert_true(image->kernel->args_size <= sizeof a);
    memcpy(a, args, image->kernel->args_size);
    void *space = kernel_workspace(image->workspace, &raw);
    sk_kernel_workspace(image->kernel, a, space, image->workspace);
    sk_status st = SPHKV_OK;
    for (uint32_t i = parts; i-- > 0 && st == SPHKV_OK;)
        st = image->form->run(image, a, i, parts, err);
    sk_free(raw);
    return st;
}

/* ---- one case, both ways -------------------------------------------------------- */

static inline sk_status kernel_run_case(const kernel_built *b, bool compiled, sk_case *c,
                                        uint32_t parts, sk_err *err)
{
    sphkv_maxima maxima;
    sk_image image;
    sk_err why = {0};
    double error = 0, bound = 0;
    sk_case_maxima(c, parts, &maxima);
    kernel_image(b, compiled, &maxima, &image);
    sk_case_poison(c, 0);
    sk_status st = kernel_run(&image, sk_case_args(c, 0), parts, &why);
    if (st == SPHKV_OK) st = sk_case_judge(c, 0, &error, &bound, &why);
    if (st == SPHKV_OK) return st;
    return sk_fail(err, st, "%s, input %s, %s, %u parts: %.300s",
                   compiled ? "compiled" : "interpreted", sk_input_name(c->p.input),
                   c->p.lists_per_seq == 1 ? "shared lists" : "lists per head", parts, why.message);
}

/* ||a - b|| over ||b||. */
static inline double kernel_difference(const float *a, const float *b, size_t n)
{
    double diff = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        diff += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        norm += (double)b[i] * (double)b[i];
    }
    return diff == 0 ? 0 : sqrt(diff / norm);
}

/* Whether every op of every program must give the same bits everywhere. */
static inline bool kernel_is_exact(const kernel_built *b)
{
    for (uint32_t k = 0; k < b->ir.build.n; k++)
        for (uint32_t i = 0; i < b->ir.build.program[k]->ninstr; i++)
            if (!sk_op_get(b->ir.build.program[k]->instr[i].op)->exact) return false;
    return true;
}

/* Interpreter and machine code agree: bit for bit where all ops are exact;
 * attention has exp2, and 16-bit probabilities that a last bit of it can flip.
 * Looser where outputs cancel on purpose: there the judgement stands alone. */
static inline sk_status kernel_compare(const kernel_built *b, sk_case *c, uint32_t parts,
                                       sk_err *err)
{
    size_t n = 0, bytes = 0;
    bool exact = kernel_is_exact(b), outputs = sk_case_outputs(&c->p.spec, &c->p.shape) > 0;
    const void *now =
        outputs ? (const void *)sk_case_output(c, 0, &n) : sk_case_result(c, 0, &bytes);
    if (outputs) bytes = n * sizeof(float);
    void *interpreted = sk_malloc(bytes);
    assert_non_null(interpreted);
    memcpy(interpreted, now, bytes);
    sk_status st = kernel_run_case(b, true, c, parts, err);
    if (st == SPHKV_OK && exact && !outputs &&
        memcmp(interpreted, sk_case_result(c, 0, &bytes), bytes) != 0)
        st = sk_fail(err, SPHKV_EVERIFY, "input %s: interpreter and machine code write other bytes",
                     sk_input_name(c->p.input));
    else if (st == SPHKV_OK && outputs &&
             (c->p.input == SK_IN_S1 || c->p.input == SK_IN_EDGE)) {
        double diff = kernel_difference(sk_case_output(c, 0, &n), interpreted, n);
        /* exp2 of class fast is free to 1e-4 of sum p|v|, of which an output is a
         * part; and what is nearly equal may be rounded apart, of probabilities in
         * 8 bits by 2^-8 of them, in 7 by 2^-7 */
        const int32_t prob = b->schedule.v[SK_T_prob];
        const double step = prob == SK_PROB_U7 ? 2e-2 : prob == SK_PROB_U8 ? 1e-2 : 1e-3;
        double near = b->spec.accuracy == SPHKV_FAST ? step : 1e-4;
        near += 2 * sk_dtype_rounding(b->spec.out_dtype);
        if (!(diff <= near))
            st = sk_fail(err, SPHKV_EVERIFY, "input %s: interpreter and machine code differ by %.3g",
                         sk_input_name(c->p.input), diff);
    }
    sk_free(interpreted);
    return st;
}

static inline sk_status kernel_case_both(const kernel_built *b, const sk_case_params *p,
                                         uint32_t parts, sk_err *err)
{
    sk_case c;
    sk_status st = sk_case_make(p, &c, err);
    if (st != SPHKV_OK) return st;
    st = kernel_run_case(b, false, &c, parts, err);
    if (st == SPHKV_OK && b->code) st = kernel_compare(b, &c, parts, err);
    sk_case_free(&c);
    return st;
}

static inline sk_case_params kernel_params(const kernel_built *b, sk_input input, bool shared,
                                           uint64_t seed)
{
    sk_case_params p = {.spec = b->spec, .lists_per_seq = shared ? 1 : KERNEL_HEADS, .input = input,
                        .seed = seed, .copies = 1, .uneven = input != SK_IN_S1};
    p.shape = (sk_shape){.batch = 2, .kv_heads = KERNEL_HEADS, .threads = KERNEL_PARTS};
    p.shape.context = b->spec.page;
    p.shape.q_len = b->spec.kernel == SPHKV_ATTN_EXTEND ? 13 : 0;
    if (sk_kernel_get(b->spec.kernel)->over_lists) {
        p.shape.batch = p.uneven ? (shared ? 4 : 2) : 1;
        p.shape.context = (b->spec.ntiers + 1) * b->spec.page - 3;
        p.shape.q_len = b->spec.variants & SPHKV_VARIANT_QUERIES ? 1 + seed % 4 : 1;
    }
    return p;
}

/* A row: the interpreter on few inputs, and machine code on the same; with
 * `whole`, machine code on the whole check too. */
static inline void kernel_row_run(kernel_lab *lab, const kernel_row *row, bool whole)
{
    kernel_built b;
    sk_err err = {0};
    kernel_build(lab, row, &b);
    sk_case_params p = kernel_params(&b, SK_IN_S1, false, lab->seed);
    sk_assert_ok(kernel_case_both(&b, &p, 1, &err), &err);
    p = kernel_params(&b, SK_IN_EDGE, true, lab->seed + 1);
    sk_assert_ok(kernel_case_both(&b, &p, KERNEL_PARTS, &err), &err);
    if (b.code && whole) {
        const sphkv_maxima maxima = {.size = sizeof maxima, .batch = 1, .kv_heads = 1,
                                     .pages_per_list = 1, .parts = 1};
        sk_image image;
        kernel_image(&b, true, &maxima, &image);
        sk_assert_ok(sk_image_check(&image, lab->seed, NULL, &err), &err);
    }
    kernel_built_free(&b);
}

/* ---- rows as tests ------------------------------------------------------------------ */

typedef struct kernel_test {
    kernel_lab *lab;
    kernel_row row;
    char name[240];
} kernel_test;

static inline void kernel_test_run(void **state)
{
    kernel_test *t = *state;
    kernel_row_run(t->lab, &t->row, true);
}

/* Runs every row of a table as a test of its own. */
static inline int kernel_table_run(const char *name)
{
    kernel_lab lab;
    struct CMUnitTest tests[256];
    const kernel_table *t = kernel_table_get(name);
    kernel_test *each = t ? sk_calloc(t->n, sizeof *each) : NULL;
    if (!each || t->n > SK_COUNT(tests)) return 1;
    kernel_lab_open(&lab);
    for (uint32_t i = 0; i < t->n; i++) {
        each[i].lab = &lab;
        each[i].row = t->row[i];
        snprintf(each[i].name, sizeof each[i].name, "%s %s", t->row[i].spec, t->row[i].schedule);
        tests[i] = (struct CMUnitTest){.name = each[i].name, .test_func = kernel_test_run,
                                       .initial_state = &each[i]};
    }
    int failed = _cmocka_run_group_tests(name, tests, t->n, NULL, NULL);
    kernel_lab_close(&lab);
    sk_free(each);
    return failed;
}

#endif
