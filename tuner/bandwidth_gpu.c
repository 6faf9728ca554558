/* bandwidth_gpu.c - see bandwidth_gpu.h. A pass is one launch; a graph holds as many as
 * lead once through the buffer, so that none meets what is still in the L2. */
#include "bandwidth_gpu.h"

#include <stdio.h>
#include <string.h>

#include "cuda_compile.h"
#include "measure.h"

#define WORD 16u                        /* bytes of a load */
#define MOST_BYTES ((size_t)16 << 30)   /* of a pass: words are counted in 32 bits */
#define ALIGN 4096u
#define NO_SUM 0x5ca1ab1eu              /* lanes leave a sum of just this value */

static const struct form {
    uint32_t warps, flight; /* of a block; loads under way in a lane */
    uint32_t blocks;        /* per multiprocessor */
} forms[SK_SWEEP_FORMS] = {{8, 4, 4}, {8, 4, 8}, {16, 4, 4}, {8, 8, 4}};

/* ---- programs --------------------------------------------------------------------- */

static void add_words(sk_builder *b, sk_val sum, sk_val quad)
{
    sk_val s = sk_ir_get(b, sum);
    for (uint32_t i = 0; i < 4; i++) s = sk_ir_2(b, SK_OP_ADD, s, sk_ir_word(b, quad, i));
    sk_ir_set(b, sum, s);
}

/* All blocks go side by side through what is there, a turn of theirs at a time. */
static sk_status build_form(const struct form *f, uint32_t number, uint32_t sms, bool copy,
                            sk_arena *arena, sk_program **out, sk_err *err)
{
    sk_builder builder, *b = &builder;
    sk_val inside[8], x[8];
    char symbol[40];
    const uint32_t step = 32 * f->flight, turn = step * f->warps;
    snprintf(symbol, sizeof symbol, "sweep_%s_%u", copy ? "copy" : "read", number);
    sk_ir_begin(b, arena, symbol, 32, f->warps);
    const sk_val src = sk_ir_param_ptr(b, "src", false), dst = sk_ir_param_ptr(b, "dst", true);
    const sk_val words = sk_ir_param_u32(b, "words");
    const sk_val key = copy ? words : sk_ir_param_u32(b, "key");
    const sk_val block = sk_ir_block(b, 0), warp = sk_ir_0(b, SK_OP_WARP, 0);
    const sk_val off = sk_ir_2k(b, SK_OP_MUL, sk_ir_lane(b), WORD);
    const sk_val sum = sk_ir_var(b, SK_LANE, sk_ir_u32(b, 0));
    const sk_val first = sk_ir_2(b, SK_OP_ADD, sk_ir_2k(b, SK_OP_MUL, block, turn),
                                 sk_ir_2k(b, SK_OP_MUL, warp, step));
    const sk_val at = sk_ir_for(b, first, words, turn * f->blocks * sms);
    const sk_val left = sk_ir_2(b, SK_OP_SUB, words, at), from = sk_ir_ptr_add(b, src, at, WORD);
    for (uint32_t k = 0; k < f->flight; k++) {
        inside[k] = sk_ir_2(b, SK_OP_ULT, sk_ir_2k(b, SK_OP_ADD, sk_ir_lane(b), k * 32), left);
        x[k] = sk_ir_ldq(b, from, off, k * 32 * WORD, inside[k]);
    }
    const sk_val to = copy ? sk_ir_ptr_add(b, dst, at, WORD) : dst;
    for (uint32_t k = 0; k < f->flight; k++) {
        if (copy)
            sk_ir_stq(b, to, off, k * 32 * WORD, x[k], inside[k]);
        else
            add_words(b, sum, x[k]);
    }
    sk_ir_end(b);
    if (!copy) {
        const sk_val me = sk_ir_2(b, SK_OP_ADD, sk_ir_2k(b, SK_OP_MUL, block, f->warps), warp);
        const sk_val total = sk_ir_get(b, sum);
        sk_ir_stg(b, sk_ir_ptr_add(b, dst, me, 32 * 4), sk_ir_2k(b, SK_OP_MUL, sk_ir_lane(b), 4), 0,
                  total, sk_ir_2(b, SK_OP_EQ, total, key));
    }
    return sk_ir_finish(b, out, err);
}

sk_status sk_gpu_sweep_build(uint32_t sms, bool copy, sk_arena *arena, sk_code_ir *out,
                             sk_err *err)
{
    sk_text text = {0};
    sk_status st = SPHKV_OK;
    memset(out, 0, sizeof *out);
    out->build.n = SK_SWEEP_FORMS;
    for (uint32_t i = 0; i < SK_SWEEP_FORMS && st == SPHKV_OK; i++)
        st = build_form(&forms[i], i, sms, copy, arena, &out->build.program[i], err);
    if (st == SPHKV_OK)
        st = sk_emit_cuda((const sk_program *const *)out->build.program, out->build.n, NULL, &text,
                          err);
    if (st == SPHKV_OK) {
        out->build.source = text.failed ? NULL : sk_arena_strdup(arena, text.s);
        if (!out->build.source) st = sk_fail(err, SPHKV_ENOMEM, "no memory for a sweep's text");
        if (st == SPHKV_OK) sk_sha256_of(text.s, text.len, out->hash);
    }
    sk_text_free(&text);
    return st;
}

uint32_t sk_gpu_sweep_blocks(uint32_t form, uint32_t sms, uint32_t words)
{
    const struct form *f = &forms[form];
    const uint32_t turn = 32 * f->flight * f->warps, need = (words + turn - 1) / turn;
    return need < f->blocks * sms ? need : f->blocks * sms;
}

size_t sk_gpu_sweep_lanes(uint32_t sms)
{
    size_t most = 0;
    for (uint32_t i = 0; i < SK_SWEEP_FORMS; i++) {
        const size_t lanes = (size_t)forms[i].blocks * sms * forms[i].warps * 32;
        if (lanes > most) most = lanes;
    }
    return most * sizeof(uint32_t);
}

/* ---- code ---------------------------------------------------------------------------- */

static sk_status load(sk_executor *x, bool copy, sk_err *err)
{
    sk_arena mem = {0};
    sk_code_ir ir;
    sk_cuda_built built;
    const sk_nvrtc_api *api;
    if (x->sweep[copy]) return SPHKV_OK;
    sk_status st = sk_executor_compiler(x, &api, err);
    if (st == SPHKV_OK) st = sk_gpu_sweep_build(x->target.sms, copy, &mem, &ir, err);
    if (st == SPHKV_OK) st = sk_cuda_compile(&ir, NULL, NULL, x->arch, api, 0, &mem, &built, err);
    if (st == SPHKV_OK)
        st = sk_code_load_cuda(&built.cubin, &ir, x->cuda, &x->target, &x->sweep[copy], err);
    sk_arena_free(&mem);
    return st;
}

/* ---- passes -------------------------------------------------------------------------- */

/* Which form of which sweep is captured. */
typedef struct capture {
    const sk_sweep *sweep;
    uint32_t form;
} capture;

static size_t pass_step(const sk_sweep *s) { return (s->bytes + ALIGN - 1) / ALIGN * ALIGN; }

static sk_status enqueue(void *user, void *stream, sk_err *err)
{
    const capture *c = user;
    const sk_sweep *s = c->sweep;
    sk_image image = {.nentry = SK_SWEEP_FORMS};
    sk_code_launches(s->x->sweep[s->copy], &image);
    const size_t half = pass_step(s) / 2;
    const uint32_t words = (uint32_t)(s->bytes / (s->copy ? 2 : 1) / WORD);
    sk_status st = SPHKV_OK;
    for (uint32_t i = 0; i < s->passes && st == SPHKV_OK; i++) {
        uint8_t *from = s->buffer + i * pass_step(s);
        sk_call call = {0};
        sk_call_ptr(&call, from, s->bytes);
        sk_call_ptr(&call, s->copy ? from + half : s->lanes, half);
        sk_call_u32(&call, words);
        if (!s->copy) sk_call_u32(&call, NO_SUM);
        st = sk_image_launch(&image, c->form, &call,
                             sk_gpu_sweep_blocks(c->form, s->x->target.sms, words), stream, err);
    }
    return st;
}

/* Numbers that no compression of the memory's makes small. */
static void fill(uint8_t *at, size_t bytes)
{
    uint64_t x = 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i + 8 <= bytes; i += 8) {
        x = x * 0xd1342543de82ef95u + 1;
        memcpy(at + i, &x, 8);
    }
}

sk_status sk_gpu_sweep_make(sk_sweep *s, size_t cold, sk_err *err)
{
    const sk_case_memory memory = sk_executor_memory(s->x);
    const size_t lanes = sk_gpu_sweep_lanes(s->x->target.sms);
    void *buffer = NULL;
    if (s->bytes > MOST_BYTES) s->bytes = MOST_BYTES;
    s->streams = 0;
    s->passes = (uint32_t)(cold / pass_step(s)) + 1;
    s->size = s->passes * pass_step(s);
    sk_status st = load(s->x, s->copy, err);
    if (st == SPHKV_OK) st = memory.make(memory.user, s->size, &buffer, err);
    s->buffer = buffer;
    if (st == SPHKV_OK) st = memory.make(memory.user, lanes, &s->lanes, err);
    if (st == SPHKV_OK) fill(s->buffer, s->size);
    if (st != SPHKV_OK) sk_gpu_sweep_free(s);
    return st;
}

void sk_gpu_sweep_free(sk_sweep *s)
{
    const sk_case_memory memory = sk_executor_memory(s->x);
    for (uint32_t i = 0; i < SK_SWEEP_FORMS; i++) sk_cuda_graph_free(&s->x->clock, &s->graph[i]);
    if (s->buffer) memory.free(memory.user, s->buffer);
    if (s->lanes) memory.free(memory.user, s->lanes);
    s->buffer = s->lanes = NULL;
}

sk_status sk_gpu_sweep_time(sk_sweep *s, double *us, sk_err *err)
{
    const sk_status st =
        sk_cuda_graph_time(&s->x->clock, &s->graph[s->streams], s->reps, us, err);
    *us /= s->passes;
    return st;
}

/* Captures all forms, and replays each once that nobody times. */
static sk_status warm_up(sk_sweep *s, sk_err *err)
{
    sk_status st = SPHKV_OK;
    sk_executor_fetch(s->x);
    for (uint32_t k = 0; k < SK_SWEEP_FORMS && st == SPHKV_OK; k++) {
        capture c = {s, k};
        if (!s->graph[k].exec)
            st = sk_cuda_graph_capture(&s->x->clock, enqueue, &c, &s->graph[k], err);
        if (st == SPHKV_OK) st = sk_cuda_graph_launch(&s->x->clock, &s->graph[k], 1, err);
    }
    return st == SPHKV_OK ? sk_cuda_clock_wait(&s->x->clock, err) : st;
}

sk_status sk_gpu_sweep_choose(sk_sweep *s, sk_err *err)
{
    double us[SK_SWEEP_FORMS][SK_SWEEP_ROUNDS] = {{0}}, once = 0;
    s->reps = 1;
    sk_status st = warm_up(s, err);
    if (st == SPHKV_OK) st = sk_gpu_sweep_time(s, &once, err);
    s->reps = sk_measure_reps(once * s->passes, SK_SAMPLE_GPU_US);
    for (uint32_t i = 0; i < SK_SWEEP_ROUNDS; i++)
        for (uint32_t k = 0; k < SK_SWEEP_FORMS && st == SPHKV_OK; k++) {
            s->streams = k;
            st = sk_gpu_sweep_time(s, &us[k][i], err);
        }
    if (st == SPHKV_OK) s->streams = sk_sweep_best(us);
    return st;
}
