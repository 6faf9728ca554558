/* simt_kernel.h - kernels in their form for GPUs, emitted, compiled together and run
 * on the harness: what the test_simt_ programs that run whole kernels share. A lot
 * is filled with (spec, schedule) pairs, then compiled at once, then run. */
#ifndef SIMT_KERNEL_H
#define SIMT_KERNEL_H

#include "cuda_build.h"
#include "kernel_cases.h"
#include "simt_case.h"

#define SIMT_LOT 48u /* kernels of a module */
#define SIMT_SMS 2u

typedef struct simt_lot {
    uint32_t n;
    kernel_built built[SIMT_LOT];
    sk_simt_unit unit[SIMT_LOT];
    sk_simt_module *module;
} simt_lot;

static inline sk_status simt_lot_add(simt_lot *lot, const sk_spec *spec,
                                     const sk_schedule *schedule, sk_err *err)
{
    kernel_built *b = &lot->built[lot->n];
    assert_true(lot->n < SIMT_LOT);
    memset(b, 0, sizeof *b);
    b->spec = *spec;
    b->schedule = *schedule;
    sk_text text = {0};
    sk_status st = sk_code_ir_build(spec, schedule, &b->mem, &b->ir, err);
    if (st == SPHKV_OK) st = sk_cuda_unit(&b->ir, spec, schedule, &text, err);
    if (st == SPHKV_OK)
        lot->unit[lot->n++] = (sk_simt_unit){
            .text = sk_arena_strdup(&b->mem, text.s), .n = b->ir.build.n,
            .program = (const sk_program *const *)b->ir.build.program,
            .alone = b->ir.build.source != NULL};
    sk_text_free(&text);
    return st;
}

static inline void simt_lot_compile(simt_lot *lot)
{
    sk_err err = {0};
    sk_assert_ok(sk_simt_compile(lot->unit, lot->n, &lot->module, &err), &err);
}

/* Empties it, for the next kernels. */
static inline void simt_lot_free(simt_lot *lot)
{
    for (uint32_t i = 0; i < lot->n; i++) kernel_built_free(&lot->built[i]);
    sk_simt_free(lot->module);
    memset(lot, 0, sizeof *lot);
}

/* The i-th kernel as an image on `device`, which must live as long, on so many
 * multiprocessors. */
static inline void simt_lot_image(const simt_lot *lot, uint32_t i, uint64_t seed,
                                  const sphkv_maxima *maxima, uint32_t sms,
                                  sk_simt_device *device, sk_image *out)
{
    const kernel_built *b = &lot->built[i];
    uint32_t shared[SK_MAX_ENTRIES];
    sk_err err = {0};
    *device = (sk_simt_device){.module = lot->module, .unit = i, .n = lot->unit[i].n,
                               .program = lot->unit[i].program, .seed = seed,
                               .yields = SK_SIMT_YIELDS};
    for (uint32_t k = 0; k < b->ir.build.n; k++) shared[k] = b->ir.build.program[k]->shared_bytes;
    sk_assert_ok(
        sk_image_init(out, &b->spec, &b->schedule, maxima, shared, b->ir.build.n, sms, &err), &err);
    out->launch = sk_simt_device_launch;
    out->launch_user = device;
}

/* One case of the i-th kernel, run and judged. */
static inline sk_status simt_lot_case(const simt_lot *lot, uint32_t i, const sk_case_params *p,
                                      sk_err *err)
{
    sk_case c;
    sk_image image;
    sk_simt_device device;
    sphkv_maxima maxima;
    sk_err why = {0};
    double error = 0, bound = 0;
    sk_status st = sk_case_make(p, &c, err);
    if (st != SPHKV_OK) return st;
    sk_case_maxima(&c, 1, &maxima);
    simt_lot_image(lot, i, p->seed, &maxima, SIMT_SMS, &device, &image);
    st = kernel_run(&image, sk_case_args(&c, 0), 1, &why);
    if (st == SPHKV_OK) st = sk_case_judge(&c, 0, &error, &bound, &why);
    sk_case_free(&c);
    if (st == SPHKV_OK) return st;
    return sk_fail(err, st, "input %s, %s: %.400s", sk_input_name(p->input),
                   p->lists_per_seq == 1 ? "shared lists" : "lists per head", why.message);
}

/* All that stands between a compiled kernel and its use. */
static inline sk_status simt_lot_check(const simt_lot *lot, uint32_t i, uint64_t seed, sk_err *err)
{
    const sphkv_maxima maxima = {.size = sizeof maxima, .batch = 1, .kv_heads = 1,
                                 .pages_per_list = 1, .parts = 1};
    sk_simt_device device;
    sk_image image;
    simt_lot_image(lot, i, seed, &maxima, SIMT_SMS, &device, &image);
    return sk_image_check(&image, seed, NULL, err);
}

#endif
