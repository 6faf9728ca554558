/* predict.c - see predict.h: two small runs of the interpreter are counted, then
 * arithmetic. */
#include "predict.h"

#include <math.h>
#include <string.h>

/* ---- what an instruction costs ------------------------------------------------- */

/* Warp instructions that an op becomes, and the unit most of them go to. Counted
 * in SASS of emitted kernels where it is not one. */
typedef struct op_price {
    uint8_t slots, unit, of_unit; /* of_unit: how many go there */
} op_price;

static const op_price price[SK_OP_COUNT] = {
    [SK_OP_PTR_ADD] = {2, SK_UNIT_INT, 2},   [SK_OP_ADD] = {1, SK_UNIT_INT, 1},
    [SK_OP_SUB] = {1, SK_UNIT_INT, 1},       [SK_OP_MUL] = {1, SK_UNIT_INT, 1},
    [SK_OP_UDIV] = {20, SK_UNIT_INT, 16},    [SK_OP_UREM] = {22, SK_UNIT_INT, 18},
    [SK_OP_AND] = {1, SK_UNIT_INT, 1},       [SK_OP_OR] = {1, SK_UNIT_INT, 1},
    [SK_OP_XOR] = {1, SK_UNIT_INT, 1},       [SK_OP_SHL] = {1, SK_UNIT_INT, 1},
    [SK_OP_SHR] = {1, SK_UNIT_INT, 1},       [SK_OP_SRA] = {1, SK_UNIT_INT, 1},
    [SK_OP_UMIN] = {1, SK_UNIT_INT, 1},      [SK_OP_UMAX] = {1, SK_UNIT_INT, 1},
    [SK_OP_SMIN] = {1, SK_UNIT_INT, 1},      [SK_OP_SMAX] = {1, SK_UNIT_INT, 1},
    [SK_OP_FADD] = {1, SK_UNIT_F32, 1},      [SK_OP_FSUB] = {1, SK_UNIT_F32, 1},
    [SK_OP_FMUL] = {1, SK_UNIT_F32, 1},      [SK_OP_FMA] = {1, SK_UNIT_F32, 1},
    [SK_OP_FDIV] = {10, SK_UNIT_F32, 8},     [SK_OP_FSQRT] = {8, SK_UNIT_F32, 6},
    [SK_OP_FMIN] = {2, SK_UNIT_F32, 2},      [SK_OP_FMAX] = {2, SK_UNIT_F32, 2},
    [SK_OP_FABS] = {1, SK_UNIT_INT, 1},      [SK_OP_FNEG] = {1, SK_UNIT_INT, 1},
    [SK_OP_FRINT] = {1, SK_UNIT_SPECIAL, 1}, [SK_OP_EXP2] = {1, SK_UNIT_SPECIAL, 1},
    [SK_OP_LOG2] = {1, SK_UNIT_SPECIAL, 1},  [SK_OP_EQ] = {1, SK_UNIT_INT, 1},
    [SK_OP_NE] = {1, SK_UNIT_INT, 1},        [SK_OP_ULT] = {1, SK_UNIT_INT, 1},
    [SK_OP_ULE] = {1, SK_UNIT_INT, 1},       [SK_OP_SLT] = {1, SK_UNIT_INT, 1},
    [SK_OP_FLT] = {1, SK_UNIT_F32, 1},       [SK_OP_FLE] = {1, SK_UNIT_F32, 1},
    [SK_OP_FEQ] = {1, SK_UNIT_F32, 1},       [SK_OP_SELECT] = {1, SK_UNIT_INT, 1},
    [SK_OP_I2F] = {1, SK_UNIT_SPECIAL, 1},   [SK_OP_F2I] = {3, SK_UNIT_SPECIAL, 1},
    [SK_OP_F16LO] = {1, SK_UNIT_HALF, 1},    [SK_OP_F16HI] = {1, SK_UNIT_HALF, 1},
    [SK_OP_PACKF16] = {1, SK_UNIT_INT, 1},   [SK_OP_PACKBF16] = {1, SK_UNIT_INT, 1},
    [SK_OP_ADD16X2] = {4, SK_UNIT_INT, 4},   [SK_OP_DOT2] = {6, SK_UNIT_INT, 6},
    [SK_OP_PACK16] = {8, SK_UNIT_SHUFFLE, 4},[SK_OP_LUT16] = {14, SK_UNIT_SHUFFLE, 4},
    [SK_OP_ZIP8] = {6, SK_UNIT_SHUFFLE, 2},  [SK_OP_SHUFFLE] = {1, SK_UNIT_SHUFFLE, 1},
    [SK_OP_EXTRACT] = {1, SK_UNIT_SHUFFLE, 1},
    [SK_OP_RED_FADD] = {10, SK_UNIT_SHUFFLE, 5}, [SK_OP_RED_FMAX] = {15, SK_UNIT_SHUFFLE, 5},
    [SK_OP_RED_UADD] = {10, SK_UNIT_SHUFFLE, 5}, [SK_OP_RED_UMIN] = {10, SK_UNIT_SHUFFLE, 5},
    [SK_OP_RED_UMAX] = {10, SK_UNIT_SHUFFLE, 5}, [SK_OP_LDU] = {1, SK_UNIT_ISSUE, 0},
    [SK_OP_LDV] = {1, SK_UNIT_ISSUE, 0},     [SK_OP_LDG] = {2, SK_UNIT_ISSUE, 0},
    [SK_OP_LDROWS] = {3, SK_UNIT_INT, 2},    [SK_OP_STU] = {1, SK_UNIT_ISSUE, 0},
    [SK_OP_STV] = {1, SK_UNIT_ISSUE, 0},     [SK_OP_STN] = {1, SK_UNIT_ISSUE, 0},
    [SK_OP_STG] = {2, SK_UNIT_ISSUE, 0},     [SK_OP_PREFETCH] = {1, SK_UNIT_ISSUE, 0},
    [SK_OP_BARRIER] = {2, SK_UNIT_ISSUE, 0}, [SK_OP_FOR] = {2, SK_UNIT_INT, 1},
    [SK_OP_END] = {3, SK_UNIT_INT, 2},       [SK_OP_IF] = {2, SK_UNIT_ISSUE, 0},
    [SK_OP_LDQ] = {1, SK_UNIT_ISSUE, 0},     [SK_OP_STQ] = {1, SK_UNIT_ISSUE, 0},
    [SK_OP_CPASYNC] = {2, SK_UNIT_INT, 1},   [SK_OP_CPCOMMIT] = {1, SK_UNIT_ISSUE, 0},
    [SK_OP_CPWAIT] = {2, SK_UNIT_ISSUE, 0},  [SK_OP_MMA] = {1, SK_UNIT_MMA, 1},
    [SK_OP_MOVM] = {1, SK_UNIT_SHUFFLE, 1},  [SK_OP_PRMT] = {1, SK_UNIT_INT, 1},
    [SK_OP_DOT4] = {1, SK_UNIT_INT, 1},      [SK_OP_HADD2] = {1, SK_UNIT_HALF, 1},
    [SK_OP_DOT4US] = {1, SK_UNIT_INT, 1},    [SK_OP_SEL8] = {2, SK_UNIT_INT, 2},
    [SK_OP_ZIP16] = {6, SK_UNIT_SHUFFLE, 2}, [SK_OP_PACK8] = {20, SK_UNIT_SHUFFLE, 4},
    [SK_OP_PERM8] = {16, SK_UNIT_SHUFFLE, 4},[SK_OP_PERM8X2] = {34, SK_UNIT_SHUFFLE, 8},
    [SK_OP_PERM16] = {9, SK_UNIT_SHUFFLE, 2},[SK_OP_PERM16X2] = {21, SK_UNIT_SHUFFLE, 4},
    [SK_OP_FIELD8] = {20, SK_UNIT_SHUFFLE, 2},[SK_OP_SRA16X2] = {4, SK_UNIT_INT, 4},
    [SK_OP_BDOT2] = {6, SK_UNIT_INT, 6},
    [SK_OP_UMIN16X2] = {4, SK_UNIT_INT, 4},  [SK_OP_UMAX16X2] = {4, SK_UNIT_INT, 4},
    [SK_OP_SMAX16X2] = {6, SK_UNIT_INT, 6},  [SK_OP_HIDE] = {0, SK_UNIT_ISSUE, 0},
    [SK_OP_MULR16X2] = {11, SK_UNIT_INT, 11},[SK_OP_MADD8] = {8, SK_UNIT_INT, 8},
    [SK_OP_HMUL2] = {1, SK_UNIT_HALF, 1},    [SK_OP_HFMA2] = {1, SK_UNIT_HALF, 1},
    [SK_OP_ANY] = {1, SK_UNIT_ISSUE, 0},     [SK_OP_ATOMADD] = {4, SK_UNIT_ISSUE, 0},
};

/* In units of sk_gpu_model.per_clock: lanes, multiply-adds of an mma, or slots. */
static double unit_scale(uint32_t unit)
{
    switch (unit) {
    case SK_UNIT_ISSUE:
    case SK_UNIT_SHARED:
    case SK_UNIT_L1: return 1;
    case SK_UNIT_MMA: return 16 * 8 * 16;
    default: return 32;
    }
}

/* ---- counting --------------------------------------------------------------------- */

/* One counted run: what was launched, and the sums. */
typedef struct tally {
    const sk_image *image;
    double unit[SK_UNIT_COUNT];
    double ahead;
    uint32_t blocks; /* of the first entry */
} tally;

static void add_up(tally *t, const sk_program *p, const sk_interp_profile *seen)
{
    for (uint32_t i = 0; i < p->ninstr; i++) {
        const op_price *of = &price[p->instr[i].op];
        const double runs = (double)seen->runs[i];
        t->unit[SK_UNIT_ISSUE] += runs * of->slots;
        if (of->of_unit) t->unit[of->unit] += runs * of->of_unit * unit_scale(of->unit);
        t->unit[SK_UNIT_SHARED] += (double)seen->wavefronts[i];
        t->unit[SK_UNIT_L1] += (double)seen->sectors[i];
    }
    t->ahead = fmax(t->ahead, (double)seen->ahead);
}

/* A launch function: interprets and counts. */
static sk_status launch_counted(void *user, uint32_t entry, const sk_call *call, uint32_t blocks,
                                void *stream, sk_err *err)
{
    tally *t = user;
    const sk_program *p = t->image->program[entry];
    sk_interp_profile seen = {0};
    sk_status st = SPHKV_OK;
    (void)stream;
    if (entry == 0) t->blocks = blocks;
    seen.runs = sk_calloc(3 * (size_t)p->ninstr + 1, sizeof *seen.runs);
    if (!seen.runs) return sk_fail(err, SPHKV_ENOMEM, "no memory to count instructions");
    seen.wavefronts = seen.runs + p->ninstr;
    seen.sectors = seen.wavefronts + p->ninstr;
    st = sk_image_interpret(t->image, entry, call, 0, blocks, &seen, err);
    if (st == SPHKV_OK) add_up(t, p, &seen);
    sk_free(seen.runs);
    return st;
}

/* Keeps the grid and runs nothing. */
static sk_status launch_noted(void *user, uint32_t entry, const sk_call *call, uint32_t blocks,
                              void *stream, sk_err *err)
{
    (void)call, (void)stream, (void)err;
    if (entry == 0) ((tally *)user)->blocks = blocks;
    return SPHKV_OK;
}

/* Runs the kernel on a case with a launch function in place of a device. */
static sk_status run_with(const sk_work *work, sk_program *const *program, const sk_schedule *schedule,
                          const sk_case *kase, uint32_t sms, uint32_t pages_per_list,
                          sk_launch_fn launch, tally *t, sk_err *err)
{
    sphkv_maxima maxima;
    sk_image image;
    sk_case_maxima(kase, 1, &maxima);
    if (pages_per_list > maxima.pages_per_list) maxima.pages_per_list = pages_per_list;
    sk_status st = sk_image_init(&image, &kase->p.spec, schedule, &maxima, work->shared,
                                 work->nentry, sms, err);
    if (st != SPHKV_OK) return st;
    for (uint32_t i = 0; program && i < work->nentry; i++) image.program[i] = program[i];
    image.launch = launch;
    image.launch_user = t;
    image.launch_here = program != NULL; /* what is interpreted may be looked at */
    t->image = &image;
    void *memory = sk_calloc(1, program ? image.workspace + 64 : 64);
    if (!memory) return sk_fail(err, SPHKV_ENOMEM, "no memory for a workspace");
    void *workspace = (void *)(((uintptr_t)memory + 63) & ~(uintptr_t)63);
    sk_kernel_workspace(image.kernel, kase->args.any, workspace, image.workspace);
    st = image.form->run(&image, sk_case_args(kase, 0), 0, 1, err);
    sk_free(memory);
    return st;
}

static sk_status make_case(const sk_spec *spec, const sk_shape *shape, sk_case *out, sk_err *err)
{
    const sk_case_params params = {.spec = *spec,
                                   .shape = *shape,
                                   .lists_per_seq = shape->kv_heads,
                                   .input = SK_IN_S1,
                                   .seed = 1,
                                   .copies = 1,
                                   .quick_fill = true};
    return sk_case_make(&params, out, err);
}

static sk_status count_pages(const sk_work *work, sk_program *const *program, const sk_spec *spec,
                             const sk_schedule *schedule, uint32_t pages, tally *t, double *tokens,
                             sk_err *err)
{
    sk_case kase;
    sk_cost cost;
    memset(t, 0, sizeof *t);
    const sk_kernel *kernel = sk_kernel_get(spec->kernel);
    const sk_shape shape = {.batch = kernel->over_lists ? 1 : pages,
                            .kv_heads = 1,
                            .context = kernel->over_lists ? pages * spec->page : spec->page,
                            .threads = 1};
    sk_status st = make_case(spec, &shape, &kase, err);
    if (st != SPHKV_OK) return st;
    kernel->cost(spec, &shape, &cost);
    *tokens = cost.token_heads;
    st = run_with(work, program, schedule, &kase, 1, 0, launch_counted, t, err);
    sk_case_free(&kase);
    return st;
}

static void split_counts(const tally *few, double few_tokens, const tally *more, double more_tokens,
                         sk_work *out)
{
    const double tokens = more_tokens - few_tokens;
    for (uint32_t u = 0; u < SK_UNIT_COUNT; u++) {
        out->per_token[u] = tokens > 0 ? fmax(0, (more->unit[u] - few->unit[u]) / tokens) : 0;
        const double rest = few->unit[u] - out->per_token[u] * few_tokens;
        out->fixed[u] = few->blocks ? fmax(0, rest) / few->blocks : 0;
    }
    out->ahead = more->ahead;
}

sk_status sk_work_count(const sk_spec *spec, const sk_schedule *schedule, sk_work *out, sk_err *err)
{
    sk_arena mem = {0};
    sk_build build;
    tally few, more;
    double few_tokens = 0, more_tokens = 0;
    memset(out, 0, sizeof *out);
    sk_status st = sk_kernel_build(sk_kernel_get(spec->kernel), spec, schedule, &mem, &build, err);
    if (st == SPHKV_OK && build.source)
        st = sk_fail(err, SPHKV_EUNSUPPORTED, "text written by hand cannot be counted");
    for (uint32_t i = 0; st == SPHKV_OK && i < build.n; i++) {
        out->shared[i] = build.program[i]->shared_bytes;
        out->warps[i] = build.program[i]->warps;
        out->nentry = build.n;
    }
    if (st == SPHKV_OK)
        st = count_pages(out, build.program, spec, schedule, 4, &few, &few_tokens, err);
    if (st == SPHKV_OK)
        st = count_pages(out, build.program, spec, schedule, 8, &more, &more_tokens, err);
    if (st == SPHKV_OK) split_counts(&few, few_tokens, &more, more_tokens, out);
    sk_arena_free(&mem);
    return st;
}

/* ---- predicting ------------------------------------------------------------------ */

/* Blocks of the first entry that a multiprocessor holds at once. */
static uint32_t fit(const sk_gpu_model *model, const sk_target *t, const sk_work *w,
                    uint32_t registers)
{
    const uint32_t threads = 32 * w->warps[0];
    uint32_t n = t->threads_sm / threads;
    const uint32_t shared = w->shared[0] + (t->sm < 80 ? 0 : 1024); /* a block's share is kept */
    if (shared && t->shared_sm / shared < n) n = t->shared_sm / shared;
    if (registers) { /* given out in steps of 8 a thread */
        const uint32_t by_registers = t->regs_sm / ((registers + 7) / 8 * 8 * threads);
        if (by_registers < n) n = by_registers;
    }
    if (n > model->blocks_sm) n = model->blocks_sm;
    return n ? n : 1;
}

sk_status sk_predict_at_make(const sk_spec *spec, const sk_shape *shape, sk_predict_at *out,
                             sk_err *err)
{
    const sk_shape begun = {
        .batch = shape->batch, .kv_heads = shape->kv_heads, .context = spec->page, .threads = 1};
    memset(out, 0, sizeof *out);
    out->spec = *spec;
    out->shape = *shape;
    sk_kernel_get(spec->kernel)->cost(spec, shape, &out->cost);
    return make_case(spec, &begun, &out->kase, err);
}

void sk_predict_at_free(sk_predict_at *at)
{
    if (at->kase.internal) sk_case_free(&at->kase);
    memset(at, 0, sizeof *at);
}

/* The time of each unit, and of memory, into *out. */
static void spell_out(const sk_gpu_model *model, const sk_cost *cost, const sk_work *work,
                      sk_prediction *out)
{
    const double blocks = out->blocks, busy = fmin(model->sms, fmax(1, blocks));
    const double warps = fmin(out->blocks_per_sm, ceil(blocks / model->sms)) * work->warps[0];
    const double under_way = warps * (work->ahead > 0 ? work->ahead : SK_PREDICT_WARP_BYTES);
    const double needed = model->gbps * 1e3 * SK_PREDICT_LATENCY_US / model->sms;
    const double share = fmin(1, under_way / needed) * busy / model->sms;
    out->memory_us = (cost->read_bytes + cost->write_bytes) / (model->gbps * 1e3 * share);
    for (uint32_t u = 0; u < SK_UNIT_COUNT; u++) {
        const double all = blocks * work->fixed[u] + cost->token_heads * work->per_token[u];
        double rate = model->per_clock[u];
        if (u == SK_UNIT_ISSUE) rate = fmin(rate, warps * SK_PREDICT_WARP_ISSUE);
        out->unit_us[u] = all / (rate * model->ghz * 1e3 * busy);
    }
}

sk_status sk_predict(const sk_gpu_model *model, const sk_target *target, const sk_predict_at *at,
                     const sk_schedule *schedule, const sk_work *work, uint32_t registers,
                     sk_prediction *out, sk_err *err)
{
    tally grid = {0};
    const uint32_t pages = (at->shape.context + at->spec.page - 1) / at->spec.page;
    memset(out, 0, sizeof *out);
    const sk_status st = run_with(work, NULL, schedule, &at->kase, model->sms, pages, launch_noted,
                                  &grid, err);
    if (st != SPHKV_OK) return st;
    out->blocks = grid.blocks;
    out->blocks_per_sm = fit(model, target, work, registers);
    spell_out(model, &at->cost, work, out);
    double sum = pow(out->memory_us, 4), longest = out->memory_us;
    out->limit = SK_UNIT_COUNT;
    for (uint32_t u = 0; u < SK_UNIT_COUNT; u++) {
        sum += pow(out->unit_us[u], 4);
        if (out->unit_us[u] > longest) out->limit = u;
        longest = fmax(longest, out->unit_us[u]);
    }
    out->us = SK_PREDICT_LAUNCH_US + pow(sum, 0.25);
    return SPHKV_OK;
}
