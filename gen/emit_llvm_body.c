/* emit_llvm_body.c - one program becomes two functions: the entry, which reads
 * the parameter slots, and behind it an internal function that has them as
 * arguments, because only arguments can be told noalias and readonly, and
 * without that every store would force tables to be loaded again.
 *
 * Variables are allocas in the entry block, which LLVM turns into registers.
 * FOR is emitted as guard and bottom-tested loop, the form that loop passes
 * like. A step never wraps: a program in which it did would not end. */
#include <llvm-c/Core.h>

#include "emit_llvm_body.h"

#include <string.h>

typedef struct sk_lv_open {
    uint32_t op;               /* SK_OP_FOR or SK_OP_IF */
    LLVMBasicBlockRef start;   /* FOR: first block of the body; IF: the else block */
    LLVMBasicBlockRef end;     /* where control continues */
    LLVMValueRef i, hi;        /* FOR: phi and bound */
    uint32_t step;
    bool has_else;
} sk_lv_open;

/* ---- values without arguments ---------------------------------------------------- */

static LLVMValueRef leaf(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    (void)a;
    const uint32_t n = l->p->nparams;
    LLVMValueRef lanes[32];
    switch (in->op) {
    case SK_OP_CONST_U32: return sk_lv_index(l, in->imm);
    case SK_OP_CONST_F32: return sk_lv_f32bits(l, sk_lv_index(l, 0), in->imm);
    case SK_OP_LANE:
        for (uint32_t i = 0; i < l->w; i++)
            lanes[i] = sk_lv_index(l, i);
        return LLVMConstVector(lanes, l->w);
    case SK_OP_WARP: return sk_lv_index(l, 0); /* blocks are of one warp */
    case SK_OP_BLOCK: return LLVMGetParam(l->body, n + 1 + in->imm);
    case SK_OP_SHARED: {
        LLVMValueRef at = LLVMConstInt(l->i64, in->imm, false);
        return LLVMBuildGEP2(l->b, l->i8, LLVMGetParam(l->body, n), &at, 1, "");
    }
    default: return LLVMGetParam(l->body, in->imm); /* PARAM_* */
    }
}

static LLVMValueRef pointer_add(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    LLVMValueRef by = LLVMBuildZExt(l->b, a[1], l->i64, "");
    by = LLVMBuildMul(l->b, by, LLVMConstInt(l->i64, in->imm, false), "");
    return LLVMBuildGEP2(l->b, l->i8, a[0], &by, 1, "");
}

/* ---- variables ---------------------------------------------------------------------- */

static LLVMTypeRef value_type(const sk_lv *l, const sk_instr *in)
{
    const LLVMTypeRef scalar = in->type == SK_U32   ? l->i32
                               : in->type == SK_F32 ? l->f32
                               : in->type == SK_PTR ? l->ptr
                                                    : l->i1;
    return in->scope == SK_LANE ? LLVMVectorType(scalar, l->w) : scalar;
}

static LLVMValueRef variable(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    const LLVMValueRef place = LLVMBuildAlloca(l->entry, value_type(l, in), "");
    const LLVMValueRef first = in->scope == SK_LANE ? sk_lv_splat(l, a[0], l->w) : a[0];
    (void)LLVMBuildStore(l->b, first, place);
    return place;
}

static LLVMValueRef get(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    return LLVMBuildLoad2(l->b, value_type(l, in), a[0], "");
}

static LLVMValueRef set(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    const bool lanes = l->p->instr[in->arg[0]].scope == SK_LANE;
    (void)LLVMBuildStore(l->b, lanes ? sk_lv_splat(l, a[1], l->w) : a[1], a[0]);
    return NULL;
}

/* ---- control ------------------------------------------------------------------------- */

static LLVMBasicBlockRef new_block(sk_lv *l, const char *name)
{
    return LLVMAppendBasicBlockInContext(l->ctx, l->body, name);
}

static LLVMValueRef open_for(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    sk_lv_open *o = &l->open[l->nopen++];
    *o = (sk_lv_open){.op = SK_OP_FOR, .start = new_block(l, "for"), .end = new_block(l, "end"),
                      .hi = a[1], .step = in->imm};
    LLVMBasicBlockRef before = LLVMGetInsertBlock(l->b);
    LLVMValueRef lo = a[0];
    (void)LLVMBuildCondBr(l->b, LLVMBuildICmp(l->b, LLVMIntULT, lo, o->hi, ""), o->start, o->end);
    LLVMPositionBuilderAtEnd(l->b, o->start);
    o->i = LLVMBuildPhi(l->b, l->i32, "");
    LLVMAddIncoming(o->i, &lo, &before, 1);
    return o->i;
}

static LLVMValueRef open_if(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    (void)in;
    sk_lv_open *o = &l->open[l->nopen++];
    const LLVMBasicBlockRef then = new_block(l, "then");
    *o = (sk_lv_open){.op = SK_OP_IF, .start = new_block(l, "else"), .end = new_block(l, "end")};
    (void)LLVMBuildCondBr(l->b, a[0], then, o->start);
    LLVMPositionBuilderAtEnd(l->b, then);
    return NULL;
}

static LLVMValueRef open_else(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    (void)in;
    (void)a;
    sk_lv_open *o = &l->open[l->nopen - 1];
    o->has_else = true;
    (void)LLVMBuildBr(l->b, o->end);
    LLVMPositionBuilderAtEnd(l->b, o->start);
    return NULL;
}

static LLVMValueRef close(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    (void)in;
    (void)a;
    sk_lv_open *o = &l->open[--l->nopen];
    if (o->op == SK_OP_FOR) {
        LLVMValueRef next = LLVMBuildAdd(l->b, o->i, sk_lv_index(l, o->step), "");
        LLVMSetNUW(next, true);
        LLVMBasicBlockRef last = LLVMGetInsertBlock(l->b);
        LLVMAddIncoming(o->i, &next, &last, 1);
        (void)LLVMBuildCondBr(l->b, LLVMBuildICmp(l->b, LLVMIntULT, next, o->hi, ""), o->start,
                              o->end);
    } else {
        (void)LLVMBuildBr(l->b, o->end);
        if (!o->has_else) {
            LLVMPositionBuilderAtEnd(l->b, o->start);
            (void)LLVMBuildBr(l->b, o->end);
        }
    }
    LLVMPositionBuilderAtEnd(l->b, o->end);
    return NULL;
}

static LLVMValueRef nothing(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    (void)l;
    (void)in;
    (void)a;
    return NULL; /* a barrier among one warp is order, and order is kept */
}

/* ---- dispatch -------------------------------------------------------------------------- */

/* RAW: the handler takes arguments as they are. */
#define RAW true
static const struct {
    sk_lv_fn *fn;
    bool raw;
} row[SK_OP_COUNT] = {
    [SK_OP_CONST_U32] = {leaf, RAW},     [SK_OP_CONST_F32] = {leaf, RAW},
    [SK_OP_LANE] = {leaf, RAW},          [SK_OP_WARP] = {leaf, RAW},
    [SK_OP_BLOCK] = {leaf, RAW},         [SK_OP_PARAM_U32] = {leaf, RAW},
    [SK_OP_PARAM_F32] = {leaf, RAW},     [SK_OP_PARAM_PTR] = {leaf, RAW},
    [SK_OP_SHARED] = {leaf, RAW},        [SK_OP_PTR_ADD] = {pointer_add, RAW},
    [SK_OP_VAR] = {variable, RAW},       [SK_OP_GET] = {get, RAW},
    [SK_OP_SET] = {set, RAW},            [SK_OP_ADD] = {sk_lv_int, false},
    [SK_OP_SUB] = {sk_lv_int, false},    [SK_OP_MUL] = {sk_lv_int, false},
    [SK_OP_UDIV] = {sk_lv_divide, false}, [SK_OP_UREM] = {sk_lv_divide, false},
    [SK_OP_AND] = {sk_lv_int, false},    [SK_OP_OR] = {sk_lv_int, false},
    [SK_OP_XOR] = {sk_lv_int, false},    [SK_OP_SHL] = {sk_lv_shift, false},
    [SK_OP_SHR] = {sk_lv_shift, false},  [SK_OP_SRA] = {sk_lv_shift, false},
    [SK_OP_UMIN] = {sk_lv_minmax, false}, [SK_OP_UMAX] = {sk_lv_minmax, false},
    [SK_OP_SMIN] = {sk_lv_minmax, false}, [SK_OP_SMAX] = {sk_lv_minmax, false},
    [SK_OP_FADD] = {sk_lv_float, false}, [SK_OP_FSUB] = {sk_lv_float, false},
    [SK_OP_FMUL] = {sk_lv_float, false}, [SK_OP_FMA] = {sk_lv_fma, false},
    [SK_OP_FDIV] = {sk_lv_float, false}, [SK_OP_FSQRT] = {sk_lv_sqrt, false},
    [SK_OP_FMIN] = {sk_lv_fminmax, false}, [SK_OP_FMAX] = {sk_lv_fminmax, false},
    [SK_OP_FABS] = {sk_lv_sign, false},  [SK_OP_FNEG] = {sk_lv_sign, false},
    [SK_OP_FRINT] = {sk_lv_rint, false}, [SK_OP_EXP2] = {sk_lv_exp2, false},
    [SK_OP_LOG2] = {sk_lv_log2, false},  [SK_OP_EQ] = {sk_lv_compare, false},
    [SK_OP_NE] = {sk_lv_compare, false}, [SK_OP_ULT] = {sk_lv_compare, false},
    [SK_OP_ULE] = {sk_lv_compare, false}, [SK_OP_SLT] = {sk_lv_compare, false},
    [SK_OP_FLT] = {sk_lv_compare, false}, [SK_OP_FLE] = {sk_lv_compare, false},
    [SK_OP_FEQ] = {sk_lv_compare, false}, [SK_OP_PAND] = {sk_lv_logic, false},
    [SK_OP_POR] = {sk_lv_logic, false},  [SK_OP_PNOT] = {sk_lv_logic, false},
    [SK_OP_SELECT] = {sk_lv_select, false}, [SK_OP_BITS] = {sk_lv_bitcast, false},
    [SK_OP_FLOAT] = {sk_lv_bitcast, false}, [SK_OP_I2F] = {sk_lv_i2f, false},
    [SK_OP_F2I] = {sk_lv_f2i, false},    [SK_OP_F16LO] = {sk_lv_f16_part, false},
    [SK_OP_F16HI] = {sk_lv_f16_part, false}, [SK_OP_PACKF16] = {sk_lv_pack_f16, false},
    [SK_OP_PACKBF16] = {sk_lv_pack_bf16, false}, [SK_OP_ADD16X2] = {sk_lv_add16x2, false},
    [SK_OP_DOT2] = {sk_lv_dot2, false},  [SK_OP_PACK16] = {sk_lv_pack, false},
    [SK_OP_UMIN16X2] = {sk_lv_most16x2, false}, [SK_OP_UMAX16X2] = {sk_lv_most16x2, false},
    [SK_OP_SMAX16X2] = {sk_lv_most16x2, false}, [SK_OP_HIDE] = {sk_lv_hide, false},
    [SK_OP_MULR16X2] = {sk_lv_mulr16x2, false}, [SK_OP_MADD8] = {sk_lv_madd8, false},
    [SK_OP_DOT4US] = {sk_lv_dot4us, false}, [SK_OP_SEL8] = {sk_lv_sel8, false},
    [SK_OP_PACK8] = {sk_lv_pack, false}, [SK_OP_ZIP16] = {sk_lv_zip, false},
    [SK_OP_PERM8] = {sk_lv_perm, false}, [SK_OP_PERM8X2] = {sk_lv_perm, false},
    [SK_OP_PERM16] = {sk_lv_perm, false}, [SK_OP_PERM16X2] = {sk_lv_perm, false},
    [SK_OP_FIELD8] = {sk_lv_field8, false}, [SK_OP_SRA16X2] = {sk_lv_sra16x2, false},
    [SK_OP_BDOT2] = {sk_lv_bdot2, false},
    [SK_OP_LUT16] = {sk_lv_lut16, false}, [SK_OP_ZIP8] = {sk_lv_zip, false},
    [SK_OP_SHUFFLE] = {sk_lv_shuffle, false}, [SK_OP_EXTRACT] = {sk_lv_extract, RAW},
    [SK_OP_RED_FADD] = {sk_lv_reduce, RAW}, [SK_OP_RED_FMAX] = {sk_lv_reduce, RAW},
    [SK_OP_RED_UADD] = {sk_lv_reduce, RAW}, [SK_OP_RED_UMIN] = {sk_lv_reduce, RAW},
    [SK_OP_RED_UMAX] = {sk_lv_reduce, RAW}, [SK_OP_ANY] = {sk_lv_any, RAW},
    [SK_OP_LDU] = {sk_lv_ldu, RAW},
    [SK_OP_LDV] = {sk_lv_ldv, RAW},      [SK_OP_LDG] = {sk_lv_ldg, RAW},
    [SK_OP_LDROWS] = {sk_lv_ldrows, RAW}, [SK_OP_STU] = {sk_lv_stu, RAW},
    [SK_OP_STV] = {sk_lv_stv, RAW},      [SK_OP_STN] = {sk_lv_stn, RAW},
    [SK_OP_STG] = {sk_lv_stg, RAW},
    [SK_OP_PREFETCH] = {sk_lv_prefetch, RAW}, [SK_OP_BARRIER] = {nothing, RAW},
    [SK_OP_FOR] = {open_for, RAW},       [SK_OP_IF] = {open_if, RAW},
    [SK_OP_ELSE] = {open_else, RAW},     [SK_OP_END] = {close, RAW},
};

LLVMValueRef sk_lv_lane(sk_lv *l, sk_val v, uint32_t lane)
{
    const sk_instr *in = &l->p->instr[v];
    if (in->scope != SK_LANE)
        return l->val[v];
    if (in->op == SK_OP_LANE)
        return sk_lv_index(l, lane);
    if (l->depth[v] == SK_LV_NOT_CHEAP)
        return LLVMBuildExtractElement(l->b, l->val[v], sk_lv_index(l, lane), "");
    LLVMValueRef a[SK_MAX_ARGS] = {NULL};
    for (uint32_t k = 0; k < in->nargs; k++)
        a[k] = sk_lv_lane(l, in->arg[k], lane);
    return row[in->op].fn(l, in, a);
}

static void translate(sk_lv *l, uint32_t i)
{
    const sk_instr *in = &l->p->instr[i];
    LLVMValueRef a[SK_MAX_ARGS] = {NULL};
    for (uint32_t k = 0; k < in->nargs; k++) {
        a[k] = l->val[in->arg[k]];
        if (in->scope == SK_LANE && !row[in->op].raw)
            a[k] = sk_lv_splat(l, a[k], l->w);
    }
    const LLVMValueRef v = row[in->op].fn(l, in, a);
    l->val[i] = v;
    if (v && in->name && LLVMIsAInstruction(v))
        LLVMSetValueName2(v, in->name, strlen(in->name));
}

#define FUNCTION ((LLVMAttributeIndex)LLVMAttributeFunctionIndex)

/* ---- functions --------------------------------------------------------------------------- */

static void add_attribute(sk_lv *l, LLVMValueRef fn, LLVMAttributeIndex at, const char *name)
{
    const unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    LLVMAddAttributeAtIndex(fn, at, LLVMCreateEnumAttribute(l->ctx, kind, 0));
}

static void add_text(sk_lv *l, LLVMValueRef fn, const char *name, const char *value)
{
    LLVMAddAttributeAtIndex(fn, FUNCTION,
                            LLVMCreateStringAttribute(l->ctx, name, (unsigned)strlen(name), value,
                                                      (unsigned)strlen(value)));
}

static void describe(sk_lv *l, LLVMValueRef fn)
{
    static const char *const bits[] = {"128", "256", "512"};
    const uint32_t wide = l->target->vector_bits < 32 * l->w ? l->target->vector_bits : 32 * l->w;
    const char *vector = bits[wide >= 512 ? 2 : wide >= 256 ? 1 : 0];
    add_attribute(l, fn, FUNCTION, "nounwind");
    add_text(l, fn, "no-builtins", ""); /* no loop becomes a call to memset */
    add_text(l, fn, "min-legal-vector-width", vector);
    add_text(l, fn, "prefer-vector-width", vector);
}

static LLVMTypeRef param_type(const sk_lv *l, const sk_param *param)
{
    return param->kind == SK_PARAM_PTR ? l->ptr : param->kind == SK_PARAM_F32 ? l->f32 : l->i32;
}

/* The internal function: parameters, scratch, block indices. */
static bool declare_body(sk_lv *l)
{
    const sk_program *p = l->p;
    LLVMTypeRef *type = sk_calloc(p->nparams + 4, sizeof *type);
    sk_text name = {0};
    sk_text_printf(&name, "%s.body", p->symbol);
    const bool ok = type && !name.failed;
    if (ok) {
        for (uint32_t i = 0; i < p->nparams; i++)
            type[i] = param_type(l, &p->param[i]);
        type[p->nparams] = l->ptr;
        for (uint32_t i = 1; i <= 3; i++)
            type[p->nparams + i] = l->i32;
        l->body = LLVMAddFunction(l->module, name.s,
                                  LLVMFunctionType(l->none, type, p->nparams + 4, false));
        LLVMSetLinkage(l->body, LLVMInternalLinkage);
        describe(l, l->body);
        add_attribute(l, l->body, FUNCTION, "noinline");
        for (uint32_t i = 0; i < p->nparams; i++) {
            LLVMSetValueName2(LLVMGetParam(l->body, i), p->param[i].name,
                              strlen(p->param[i].name));
            if (p->param[i].kind != SK_PARAM_PTR || p->param[i].writable)
                continue;
            add_attribute(l, l->body, i + 1, "noalias");
            add_attribute(l, l->body, i + 1, "readonly");
        }
        add_attribute(l, l->body, p->nparams + 1, "noalias");
        LLVMSetValueName2(LLVMGetParam(l->body, p->nparams), "shared", 6);
    }
    sk_text_free(&name);
    sk_free(type);
    return ok;
}

/* The exported function: sk_cpu_entry. */
static bool define_entry(sk_lv *l)
{
    const sk_program *p = l->p;
    LLVMTypeRef type[5] = {l->ptr, l->ptr, l->i32, l->i32, l->i32};
    LLVMValueRef *arg = sk_calloc(p->nparams + 4, sizeof *arg);
    if (!arg)
        return false;
    const LLVMValueRef fn =
        LLVMAddFunction(l->module, p->symbol, LLVMFunctionType(l->none, type, 5, false));
    describe(l, fn);
    LLVMPositionBuilderAtEnd(l->b, LLVMAppendBasicBlockInContext(l->ctx, fn, ""));
    for (uint32_t i = 0; i < p->nparams; i++) {
        LLVMValueRef at = LLVMConstInt(l->i64, 8ull * i, false);
        at = LLVMBuildGEP2(l->b, l->i8, LLVMGetParam(fn, 0), &at, 1, "");
        arg[i] = LLVMBuildLoad2(l->b, param_type(l, &p->param[i]), at, p->param[i].name);
    }
    for (uint32_t i = 0; i < 4; i++)
        arg[p->nparams + i] = LLVMGetParam(fn, i + 1);
    const LLVMValueRef call = LLVMBuildCall2(l->b, LLVMGlobalGetValueType(l->body), l->body, arg,
                                             p->nparams + 4, "");
    LLVMSetTailCall(call, true);
    (void)LLVMBuildRetVoid(l->b);
    sk_free(arg);
    return true;
}

static bool prepare(sk_lv *l, sk_arena *arena)
{
    const uint32_t n = l->p->ninstr;
    uint32_t opens = 1;
    for (uint32_t i = 0; i < n; i++)
        opens += l->p->instr[i].op == SK_OP_FOR || l->p->instr[i].op == SK_OP_IF;
    l->val = sk_arena_alloc(arena, (size_t)n * sizeof *l->val + 1);
    l->bits = sk_arena_alloc(arena, (size_t)n * sizeof *l->bits + 1);
    l->depth = sk_arena_alloc(arena, (size_t)n + 1);
    l->open = sk_arena_alloc(arena, (size_t)opens * sizeof *l->open);
    l->nopen = 0;
    return l->val && l->bits && l->depth && l->open;
}

sk_status sk_lv_program(sk_lv *l, const sk_program *p)
{
    sk_arena arena = {0};
    l->p = p;
    l->w = p->w;
    l->passes_caches = false;
    if (!prepare(l, &arena) || !declare_body(l)) {
        sk_arena_free(&arena);
        return sk_fail(l->err, SPHKV_ENOMEM, "compile: out of memory");
    }
    /* Allocas stand in a block of their own, closed at the end. */
    const LLVMBasicBlockRef variables = new_block(l, "");
    const LLVMBasicBlockRef first = new_block(l, "start");
    LLVMPositionBuilderAtEnd(l->entry, variables);
    LLVMPositionBuilderAtEnd(l->b, first);
    sk_lv_facts(l);
    for (uint32_t i = 0; i < p->ninstr; i++)
        translate(l, i);
    sk_lv_fence(l);
    (void)LLVMBuildRetVoid(l->b);
    (void)LLVMBuildBr(l->entry, first);
    const bool ok = define_entry(l);
    sk_arena_free(&arena);
    return ok ? SPHKV_OK : sk_fail(l->err, SPHKV_ENOMEM, "compile: out of memory");
}
