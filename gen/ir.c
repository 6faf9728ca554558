/* ir.c - the builder of the lane IR.
 *
 * A program grows as one array in the caller's arena (doubling, the old copy
 * stays behind until the arena goes). The builder never fails in the middle:
 * the first error is latched, later calls do nothing and return value 0, and
 * sk_ir_finish reports it. So a template reads straight.
 *
 * Folding happens as instructions are made and is deliberately small: integer
 * constants and neutral elements. It keeps offsets readable in the print and
 * keeps the hash the same for the same arithmetic; NVRTC and LLVM do the rest.
 * Constants are not shared between uses: a value made inside an IF or FOR may
 * not be used outside, and no emitter gains anything from sharing. */
#include "ir.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ir_rules.h"

static void latch(sk_builder *b, sk_status st, const char *fmt, ...) SK_PRINTF(3, 4);
static void latch(sk_builder *b, sk_status st, const char *fmt, ...)
{
    if (b->failed)
        return;
    b->failed = true;
    b->err.status = st;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(b->err.message, sizeof b->err.message, fmt, args);
    va_end(args);
}

static void latch_memory(sk_builder *b)
{
    latch(b, SPHKV_ENOMEM, "ir: out of memory");
}

/* Room for one more element in an array of the arena; NULL when there is none. */
static void *grow(sk_builder *b, void *old, uint32_t used, uint32_t *cap, size_t element)
{
    if (used < *cap)
        return old;
    const uint32_t want = *cap ? *cap * 2 : 64;
    void *const bigger = want > *cap ? sk_arena_alloc(b->arena, want * element) : NULL;
    if (!bigger) {
        latch_memory(b);
        return NULL;
    }
    if (used)
        memcpy(bigger, old, used * element);
    *cap = want;
    return bigger;
}

void sk_ir_begin(sk_builder *b, sk_arena *arena, const char *symbol, uint32_t w, uint32_t warps)
{
    *b = (sk_builder){.arena = arena};
    b->program = sk_arena_alloc(arena, sizeof *b->program);
    if (!b->program) {
        latch_memory(b);
        return;
    }
    b->program->symbol = sk_arena_strdup(arena, symbol ? symbol : "");
    b->program->w = w;
    b->program->warps = warps;
    if (!b->program->symbol)
        latch_memory(b);
}

sk_status sk_ir_finish(sk_builder *b, sk_program **out, sk_err *err)
{
    *out = NULL;
    if (!b->failed && b->depth)
        latch(b, SPHKV_EINVAL, "ir: %u for or if without end", b->depth);
    if (b->failed)
        return sk_fail(err, b->err.status, "%s", b->err.message);
    b->program->shared_bytes = b->shared_top;
    const sk_status st = sk_ir_verify(b->program, err);
    if (st == SPHKV_OK)
        *out = b->program;
    return st;
}

void sk_ir_occupancy(sk_builder *b, uint32_t blocks)
{
    if (!b->failed)
        b->program->occupancy = blocks;
}

/* ---- fold ---------------------------------------------------------------------- */

static bool constant(const sk_program *p, sk_val v, uint32_t *x)
{
    if (p->instr[v].op != SK_OP_CONST_U32)
        return false;
    *x = p->instr[v].imm;
    return true;
}

bool sk_ir_fold(uint32_t op, uint32_t x, uint32_t y, uint32_t *out)
{
    switch (op) {
    case SK_OP_ADD: *out = x + y; return true;
    case SK_OP_SUB: *out = x - y; return true;
    case SK_OP_MUL: *out = x * y; return true;
    case SK_OP_UDIV: *out = y ? x / y : UINT32_MAX; return true;
    case SK_OP_UREM: *out = y ? x % y : x; return true;
    case SK_OP_AND: *out = x & y; return true;
    case SK_OP_OR: *out = x | y; return true;
    case SK_OP_XOR: *out = x ^ y; return true;
    case SK_OP_SHL: *out = y < 32 ? x << y : 0; return true;
    case SK_OP_SHR: *out = y < 32 ? x >> y : 0; return true;
    case SK_OP_UMIN: *out = x < y ? x : y; return true;
    case SK_OP_UMAX: *out = x > y ? x : y; return true;
    default: return false;
    }
}

/* An integer op with one constant that does nothing: the argument that the
 * result equals, else SK_NONE. Sets *zero when the result is 0. */
static sk_val fold_neutral(const sk_program *p, const sk_instr *in, bool *zero)
{
    uint32_t x = 0, y = 0;
    const bool left = constant(p, in->arg[0], &x), right = constant(p, in->arg[1], &y);
    switch (in->op) {
    case SK_OP_ADD:
    case SK_OP_OR:
    case SK_OP_XOR:
        if (left && x == 0)
            return in->arg[1];
        return right && y == 0 ? in->arg[0] : SK_NONE;
    case SK_OP_SUB:
    case SK_OP_SHL:
    case SK_OP_SHR:
    case SK_OP_SRA: return right && y == 0 ? in->arg[0] : SK_NONE;
    case SK_OP_UDIV: return right && y == 1 ? in->arg[0] : SK_NONE;
    case SK_OP_MUL:
    case SK_OP_AND:
        *zero = (left && x == 0) || (right && y == 0);
        if (left && x == (in->op == SK_OP_MUL ? 1 : UINT32_MAX))
            return in->arg[1];
        return right && y == (in->op == SK_OP_MUL ? 1 : UINT32_MAX) ? in->arg[0] : SK_NONE;
    case SK_OP_PTR_ADD:
        return (right && y == 0) || in->imm == 0 ? in->arg[0] : SK_NONE;
    default: return SK_NONE;
    }
}

/* The folded value of a checked instruction, or SK_NONE to emit it as it is. */
static sk_val fold(sk_builder *b, const sk_instr *in)
{
    if (in->nargs != 2 || in->op == SK_OP_SET)
        return SK_NONE;
    uint32_t x, y, folded;
    if (constant(b->program, in->arg[0], &x) && constant(b->program, in->arg[1], &y)
        && sk_ir_fold(in->op, x, y, &folded))
        return sk_ir_u32(b, folded);
    bool zero = false;
    const sk_val same = fold_neutral(b->program, in, &zero);
    return zero ? sk_ir_u32(b, 0) : same;
}

/* ---- emit ---------------------------------------------------------------------- */

static sk_val append(sk_builder *b, const sk_instr *in)
{
    sk_program *const p = b->program;
    sk_instr *const instr = grow(b, p->instr, p->ninstr, &b->cap, sizeof *instr);
    if (!instr)
        return 0;
    p->instr = instr;
    p->instr[p->ninstr] = *in;
    return p->ninstr++;
}

/* Keeps count of what is open, so that the message names the place. */
static void track(sk_builder *b, const sk_instr *in)
{
    if (in->op == SK_OP_FOR || in->op == SK_OP_IF)
        b->depth++;
    if (in->op != SK_OP_END)
        return;
    if (b->depth == 0)
        latch(b, SPHKV_EINVAL, "ir: %%%u end: nothing is open", b->program->ninstr);
    else
        b->depth--;
}

sk_val sk_ir_emit(sk_builder *b, sk_op op, uint32_t nargs, const sk_val *args, uint32_t imm,
                  uint32_t imm2)
{
    if (b->failed)
        return 0;
    sk_program *const p = b->program;
    const sk_op_info *const info = sk_op_get(op);
    if (!info || nargs > SK_COUNT(((sk_instr *)0)->arg)) {
        latch(b, SPHKV_EINVAL, "ir: %%%u: no such op or too many arguments: %u, %u", p->ninstr,
              (unsigned)op, nargs);
        return 0;
    }
    sk_instr in = {.op = (uint8_t)op, .nargs = (uint8_t)nargs, .imm = imm, .imm2 = imm2};
    for (uint32_t k = 0; k < SK_COUNT(in.arg); k++)
        in.arg[k] = k < nargs ? args[k] : SK_NONE;
    for (uint32_t k = 0; k < nargs; k++) {
        if (in.arg[k] < p->ninstr)
            continue;
        latch(b, SPHKV_EINVAL, "ir: %%%u %s: argument %u is no value", p->ninstr, info->text, k);
        return 0;
    }
    p->shared_bytes = b->shared_top;
    sk_ir_infer(p, &in);
    sk_err err = {0};
    const sk_status st = sk_ir_check(p, &in, p->ninstr, &err);
    if (st != SPHKV_OK) {
        latch(b, st, "%s", err.message);
        return 0;
    }
    const sk_val folded = fold(b, &in);
    if (folded != SK_NONE)
        return folded;
    track(b, &in);
    return b->failed ? 0 : append(b, &in);
}

/* ---- forms with more than one step ------------------------------------------------ */

static sk_val param(sk_builder *b, const char *name, sk_param_kind kind, bool writable, sk_op op)
{
    if (b->failed)
        return 0;
    sk_program *const p = b->program;
    sk_param *const params = grow(b, p->param, p->nparams, &b->param_cap, sizeof *params);
    const char *const copy = sk_arena_strdup(b->arena, name ? name : "");
    if (!params || !copy) {
        latch_memory(b);
        return 0;
    }
    p->param = params;
    p->param[p->nparams] = (sk_param){.name = copy, .kind = (uint8_t)kind, .writable = writable};
    const sk_val v = sk_ir_emit(b, op, 0, NULL, p->nparams++, 0);
    return sk_ir_name(b, v, name);
}

sk_val sk_ir_param_ptr(sk_builder *b, const char *name, bool writable)
{
    return param(b, name, SK_PARAM_PTR, writable, SK_OP_PARAM_PTR);
}

sk_val sk_ir_param_u32(sk_builder *b, const char *name)
{
    return param(b, name, SK_PARAM_U32, false, SK_OP_PARAM_U32);
}

sk_val sk_ir_param_f32(sk_builder *b, const char *name)
{
    return param(b, name, SK_PARAM_F32, false, SK_OP_PARAM_F32);
}

sk_val sk_ir_shared(sk_builder *b, uint32_t bytes)
{
    if (b->failed)
        return 0;
    const uint32_t at = b->shared_top;
    if (bytes > SK_IR_MAX_SHARED - at) {
        latch(b, SPHKV_EINVAL, "ir: scratch of %u bytes on top of %u is too large", bytes, at);
        return 0;
    }
    b->shared_top = sk_ir_area_bytes(at + bytes);
    return sk_ir_0(b, SK_OP_SHARED, at);
}

sk_val sk_ir_u32(sk_builder *b, uint32_t x)
{
    return sk_ir_0(b, SK_OP_CONST_U32, x);
}

sk_val sk_ir_f32(sk_builder *b, float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return sk_ir_0(b, SK_OP_CONST_F32, bits);
}

sk_val sk_ir_name(sk_builder *b, sk_val v, const char *name)
{
    if (b->failed || !name)
        return v;
    if (v >= b->program->ninstr) {
        latch(b, SPHKV_EINVAL, "ir: name %s for a value that is not there", name);
        return 0;
    }
    b->program->instr[v].name = sk_arena_strdup(b->arena, name);
    if (!b->program->instr[v].name)
        latch_memory(b);
    return v;
}

sk_val sk_ir_ldg(sk_builder *b, sk_ld_kind kind, sk_val ptr, sk_val off, uint32_t disp, sk_val pred)
{
    const sk_val a[3] = {ptr, off, pred};
    return sk_ir_emit(b, SK_OP_LDG, pred == SK_NONE ? 2 : 3, a, disp, (uint32_t)kind);
}

void sk_ir_stg(sk_builder *b, sk_val ptr, sk_val off, uint32_t disp, sk_val x, sk_val pred)
{
    const sk_val a[4] = {ptr, off, x, pred};
    (void)sk_ir_emit(b, SK_OP_STG, pred == SK_NONE ? 3 : 4, a, disp, 0);
}

sk_val sk_ir_ldq(sk_builder *b, sk_val ptr, sk_val off, uint32_t disp, sk_val pred)
{
    const sk_val a[3] = {ptr, off, pred};
    return sk_ir_emit(b, SK_OP_LDQ, pred == SK_NONE ? 2 : 3, a, disp, 0);
}

void sk_ir_stq(sk_builder *b, sk_val ptr, sk_val off, uint32_t disp, sk_val quad, sk_val pred)
{
    const sk_val a[4] = {ptr, off, quad, pred};
    (void)sk_ir_emit(b, SK_OP_STQ, pred == SK_NONE ? 3 : 4, a, disp, 0);
}

void sk_ir_cp_async(sk_builder *b, sk_val dst, sk_val dst_off, uint32_t dst_disp, sk_val src,
                    sk_val src_off, uint32_t src_disp, sk_val pred)
{
    const sk_val a[5] = {dst, dst_off, src, src_off, pred};
    (void)sk_ir_emit(b, SK_OP_CPASYNC, pred == SK_NONE ? 4 : 5, a, src_disp, dst_disp);
}
