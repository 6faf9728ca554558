/* emit_llvm_math.c - integers, floats, predicates and conversions, for scalars
 * and vectors alike. No fast-math flag is ever set; what LLVM would turn into
 * a library call on some machine (fma, rint, exp2) is written out for it. */
#include <llvm-c/Core.h>

#include "emit_llvm_body.h"

#include <string.h>

/* ---- integers ---------------------------------------------------------------- */

LLVMValueRef sk_lv_int(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    switch (in->op) {
    case SK_OP_ADD: return LLVMBuildAdd(l->b, a[0], a[1], "");
    case SK_OP_SUB: return LLVMBuildSub(l->b, a[0], a[1], "");
    case SK_OP_MUL: return LLVMBuildMul(l->b, a[0], a[1], "");
    case SK_OP_AND: return LLVMBuildAnd(l->b, a[0], a[1], "");
    case SK_OP_OR: return LLVMBuildOr(l->b, a[0], a[1], "");
    default: return LLVMBuildXor(l->b, a[0], a[1], "");
    }
}

/* By a constant: one plain shift. Else, where the machine has shifts that give
 * 0 (or the sign) past 31, those; else a select around the plain one. */
LLVMValueRef sk_lv_shift(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    const sk_instr *by = &l->p->instr[in->arg[1]];
    const LLVMValueRef limit = sk_lv_u32(l, a[0], 32);
    LLVMValueRef n = a[1];
    if (in->op == SK_OP_SRA) {
        if (by->op == SK_OP_CONST_U32)
            n = sk_lv_u32(l, a[0], by->imm < 32 ? by->imm : 31);
        else
            n = LLVMBuildSelect(l->b, LLVMBuildICmp(l->b, LLVMIntULT, n, limit, ""), n,
                                sk_lv_u32(l, a[0], 31), "");
        return LLVMBuildAShr(l->b, a[0], n, "");
    }
    if (by->op == SK_OP_CONST_U32 && by->imm >= 32)
        return sk_lv_u32(l, a[0], 0);
    const LLVMValueRef shifted = in->op == SK_OP_SHL ? LLVMBuildShl(l->b, a[0], n, "")
                                                     : LLVMBuildLShr(l->b, a[0], n, "");
    if (by->op == SK_OP_CONST_U32)
        return shifted;
    return LLVMBuildSelect(l->b, LLVMBuildICmp(l->b, LLVMIntULT, n, limit, ""), shifted,
                           sk_lv_u32(l, a[0], 0), "");
}

LLVMValueRef sk_lv_divide(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    const LLVMValueRef zero = sk_lv_u32(l, a[0], 0);
    const LLVMValueRef none = LLVMBuildICmp(l->b, LLVMIntEQ, a[1], zero, "");
    const LLVMValueRef by = LLVMBuildSelect(l->b, none, sk_lv_u32(l, a[0], 1), a[1], "");
    if (in->op == SK_OP_UDIV)
        return LLVMBuildSelect(l->b, none, sk_lv_u32(l, a[0], ~0u),
                               LLVMBuildUDiv(l->b, a[0], by, ""), "");
    return LLVMBuildSelect(l->b, none, a[0], LLVMBuildURem(l->b, a[0], by, ""), "");
}

LLVMValueRef sk_lv_minmax(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    const char *name = in->op == SK_OP_UMIN   ? "llvm.umin"
                       : in->op == SK_OP_UMAX ? "llvm.umax"
                       : in->op == SK_OP_SMIN ? "llvm.smin"
                                              : "llvm.smax";
    LLVMValueRef arg[2] = {a[0], a[1]};
    return sk_lv_call(l, name, LLVMTypeOf(a[0]), arg, 2);
}

/* ---- predicates ---------------------------------------------------------------- */

LLVMValueRef sk_lv_compare(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    switch (in->op) {
    case SK_OP_EQ: return LLVMBuildICmp(l->b, LLVMIntEQ, a[0], a[1], "");
    case SK_OP_NE: return LLVMBuildICmp(l->b, LLVMIntNE, a[0], a[1], "");
    case SK_OP_ULT: return LLVMBuildICmp(l->b, LLVMIntULT, a[0], a[1], "");
    case SK_OP_ULE: return LLVMBuildICmp(l->b, LLVMIntULE, a[0], a[1], "");
    case SK_OP_SLT: return LLVMBuildICmp(l->b, LLVMIntSLT, a[0], a[1], "");
    case SK_OP_FLT: return LLVMBuildFCmp(l->b, LLVMRealOLT, a[0], a[1], "");
    case SK_OP_FLE: return LLVMBuildFCmp(l->b, LLVMRealOLE, a[0], a[1], "");
    default: return LLVMBuildFCmp(l->b, LLVMRealOEQ, a[0], a[1], "");
    }
}

LLVMValueRef sk_lv_logic(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    switch (in->op) {
    case SK_OP_PAND: return LLVMBuildAnd(l->b, a[0], a[1], "");
    case SK_OP_POR: return LLVMBuildOr(l->b, a[0], a[1], "");
    default: return LLVMBuildNot(l->b, a[0], "");
    }
}

LLVMValueRef sk_lv_select(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    (void)in;
    if (LLVMIsAConstantInt(a[0])) /* one lane of a pattern of lanes */
        return LLVMConstIntGetZExtValue(a[0]) ? a[1] : a[2];
    return LLVMBuildSelect(l->b, a[0], a[1], a[2], "");
}

/* ---- floats ---------------------------------------------------------------------- */

LLVMValueRef sk_lv_float(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    switch (in->op) {
    case SK_OP_FADD: return LLVMBuildFAdd(l->b, a[0], a[1], "");
    case SK_OP_FSUB: return LLVMBuildFSub(l->b, a[0], a[1], "");
    case SK_OP_FMUL: return LLVMBuildFMul(l->b, a[0], a[1], "");
    default: return LLVMBuildFDiv(l->b, a[0], a[1], "");
    }
}

/* Without the instruction: the product is exact in double; the sum is rounded
 * to odd there (the last bit says that something was cut off), so that the
 * second rounding, to float, is the only one that counts. */
static LLVMValueRef fused_by_double(sk_lv *l, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c)
{
    const LLVMTypeRef wide = sk_lv_like(a, l->f64), bits = sk_lv_like(a, l->i64);
    const LLVMValueRef p = LLVMBuildFMul(l->b, LLVMBuildFPExt(l->b, a, wide, ""),
                                         LLVMBuildFPExt(l->b, b, wide, ""), "");
    const LLVMValueRef q = LLVMBuildFPExt(l->b, c, wide, "");
    const LLVMValueRef s = LLVMBuildFAdd(l->b, p, q, "");
    /* The error of the sum, exact (two-sum). */
    const LLVMValueRef q2 = LLVMBuildFSub(l->b, s, p, "");
    const LLVMValueRef p2 = LLVMBuildFSub(l->b, s, q2, "");
    const LLVMValueRef e = LLVMBuildFAdd(l->b, LLVMBuildFSub(l->b, p, p2, ""),
                                         LLVMBuildFSub(l->b, q, q2, ""), "");
    const LLVMValueRef none = LLVMConstNull(wide), one = LLVMConstInt(l->i64, 1, false);
    LLVMValueRef ones = one;
    if (sk_lv_is_vector(a))
        ones = sk_lv_splat(l, one, sk_lv_count(a));
    /* Inexact and even: one step towards the error. NaN and infinities have a
     * NaN as their error and stay. */
    const LLVMValueRef si = LLVMBuildBitCast(l->b, s, bits, "");
    const LLVMValueRef even = LLVMBuildICmp(
        l->b, LLVMIntEQ, LLVMBuildAnd(l->b, si, ones, ""), LLVMConstNull(bits), "");
    const LLVMValueRef cut = LLVMBuildFCmp(l->b, LLVMRealONE, e, none, "");
    const LLVMValueRef out = LLVMBuildICmp(
        l->b, LLVMIntEQ, LLVMBuildFCmp(l->b, LLVMRealOGT, e, none, ""),
        LLVMBuildFCmp(l->b, LLVMRealOGT, s, none, ""), "");
    const LLVMValueRef step = LLVMBuildSelect(l->b, out, ones, LLVMConstAllOnes(bits), "");
    const LLVMValueRef odd =
        LLVMBuildSelect(l->b, LLVMBuildAnd(l->b, even, cut, ""),
                        LLVMBuildAdd(l->b, si, step, ""), si, "");
    return LLVMBuildFPTrunc(l->b, LLVMBuildBitCast(l->b, odd, wide, ""), sk_lv_like(a, l->f32),
                            "");
}

LLVMValueRef sk_lv_fused(sk_lv *l, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c)
{
    if (!l->fma)
        return fused_by_double(l, a, b, c);
    LLVMValueRef arg[3] = {a, b, c};
    return sk_lv_call(l, "llvm.fma", LLVMTypeOf(a), arg, 3);
}

LLVMValueRef sk_lv_fma(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    (void)in;
    return sk_lv_fused(l, a[0], a[1], a[2]);
}

LLVMValueRef sk_lv_fminmax(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    const LLVMRealPredicate order = in->op == SK_OP_FMIN ? LLVMRealOLT : LLVMRealOGT;
    return LLVMBuildSelect(l->b, LLVMBuildFCmp(l->b, order, a[0], a[1], ""), a[0], a[1], "");
}

LLVMValueRef sk_lv_sign(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    LLVMValueRef arg[1] = {a[0]};
    if (in->op == SK_OP_FNEG)
        return LLVMBuildFNeg(l->b, a[0], "");
    return sk_lv_call(l, "llvm.fabs", LLVMTypeOf(a[0]), arg, 1);
}

LLVMValueRef sk_lv_sqrt(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    (void)in;
    LLVMValueRef arg[1] = {a[0]};
    return sk_lv_call(l, "llvm.sqrt", LLVMTypeOf(a[0]), arg, 1);
}

LLVMValueRef sk_lv_rint(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    (void)in;
    LLVMValueRef arg[2] = {a[0], a[0]};
    const LLVMTypeRef type = LLVMTypeOf(a[0]);
    if (l->round)
        return sk_lv_call(l, "llvm.rint", type, arg, 1);
    /* Adding 2^23 to a smaller magnitude leaves no room for a fraction. */
    const LLVMValueRef magnitude = sk_lv_call(l, "llvm.fabs", type, arg, 1);
    const LLVMValueRef big = sk_lv_f32(l, a[0], 8388608.0f);
    arg[0] = LLVMBuildFSub(l->b, LLVMBuildFAdd(l->b, magnitude, big, ""), big, "");
    const LLVMValueRef rounded = sk_lv_call(l, "llvm.copysign", type, arg, 2);
    return LLVMBuildSelect(l->b, LLVMBuildFCmp(l->b, LLVMRealOLT, magnitude, big, ""), rounded,
                           a[0], "");
}

/* c[0] + x * (c[1] + x * ...) in n coefficients, by fma where there is one. */
static LLVMValueRef polynomial(sk_lv *l, LLVMValueRef x, const float *c, uint32_t n)
{
    LLVMValueRef sum = sk_lv_f32(l, x, c[n - 1]);
    for (uint32_t i = n - 1; i-- > 0;) {
        const LLVMValueRef next = sk_lv_f32(l, x, c[i]);
        sum = l->fma ? sk_lv_fused(l, sum, x, next)
                     : LLVMBuildFAdd(l->b, LLVMBuildFMul(l->b, sum, x, ""), next, "");
    }
    return sum;
}

/* 2^x = 2^n 2^f, n the nearest integer: added to the exponent of a minimax
 * polynomial for 2^f (relative error 7.5e-8, or 7.5e-5 with imm 1, before
 * rounding). n comes from the low bits of x + 1.5 * 2^23, which need no
 * conversion. Below -126 x counts as -126, so the exponent never wraps; the
 * coarse polynomial reaches 1 only 1e-4 above, hence its clamp. */
LLVMValueRef sk_lv_exp2(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    static const float fine[] = {0x1.000002p+0f, 0x1.62e428p-1f, 0x1.ebf918p-3f,
                                 0x1.c6b6e4p-5f, 0x1.3d0c52p-7f, 0x1.5c08e6p-10f};
    static const float coarse[] = {0x1.fff692p-1f, 0x1.62f31ap-1f, 0x1.f0de1ap-3f,
                                   0x1.c3f760p-5f};
    const LLVMValueRef least = sk_lv_f32(l, a[0], in->imm ? -126.0f + 14 * 0x1p-17f : -126.0f);
    const LLVMValueRef magic = sk_lv_f32(l, a[0], 12582912.0f);
    const LLVMValueRef x = LLVMBuildSelect(
        l->b, LLVMBuildFCmp(l->b, LLVMRealOGT, a[0], least, ""), a[0], least, "");
    const LLVMValueRef t = LLVMBuildFAdd(l->b, x, magic, "");
    const LLVMValueRef f =
        LLVMBuildFSub(l->b, x, LLVMBuildFSub(l->b, t, magic, ""), "");
    const LLVMValueRef p = in->imm ? polynomial(l, f, coarse, SK_COUNT(coarse))
                                   : polynomial(l, f, fine, SK_COUNT(fine));
    const LLVMTypeRef bits = sk_lv_like(x, l->i32);
    const LLVMValueRef n = LLVMBuildShl(l->b, LLVMBuildBitCast(l->b, t, bits, ""),
                                        sk_lv_u32(l, x, 23), "");
    const LLVMValueRef r = LLVMBuildAdd(l->b, LLVMBuildBitCast(l->b, p, bits, ""), n, "");
    return LLVMBuildBitCast(l->b, r, LLVMTypeOf(x), "");
}

/* log2 x = n + log2 m, m in [sqrt(1/2), sqrt(2)): (m - 1) times a polynomial. */
LLVMValueRef sk_lv_log2(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    (void)in;
    static const float c[] = {1.44269479f,   -0.721356648f, 0.48093847f,  -0.360103827f,
                              0.286727338f,  -0.249923663f, 0.236746047f, -0.145990619f};
    const LLVMTypeRef bits = sk_lv_like(a[0], l->i32), type = LLVMTypeOf(a[0]);
    const LLVMValueRef u = LLVMBuildBitCast(l->b, a[0], bits, "");
    const LLVMValueRef n =
        LLVMBuildAShr(l->b, LLVMBuildSub(l->b, u, sk_lv_u32(l, a[0], 0x3f3504f3u), ""),
                      sk_lv_u32(l, a[0], 23), "");
    const LLVMValueRef m = LLVMBuildBitCast(
        l->b, LLVMBuildSub(l->b, u, LLVMBuildShl(l->b, n, sk_lv_u32(l, a[0], 23), ""), ""), type,
        "");
    const LLVMValueRef f = LLVMBuildFSub(l->b, m, sk_lv_f32(l, a[0], 1.0f), "");
    const LLVMValueRef p = LLVMBuildFMul(l->b, f, polynomial(l, f, c, SK_COUNT(c)), "");
    return LLVMBuildFAdd(l->b, LLVMBuildSIToFP(l->b, n, type, ""), p, "");
}

/* ---- conversions -------------------------------------------------------------------- */

LLVMValueRef sk_lv_bitcast(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    return LLVMBuildBitCast(l->b, a[0], sk_lv_like(a[0], in->op == SK_OP_BITS ? l->i32 : l->f32),
                            "");
}

LLVMValueRef sk_lv_i2f(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    (void)in;
    return LLVMBuildSIToFP(l->b, a[0], sk_lv_like(a[0], l->f32), "");
}

/* cvtps2dq is exactly the op: nearest even, 0x80000000 for what does not fit. */
static LLVMValueRef chunk_f2i(sk_lv *l, LLVMValueRef a, LLVMValueRef b)
{
    (void)b;
    const uint32_t n = sk_lv_count(a);
    LLVMValueRef arg[4] = {a};
    if (n == 4)
        return sk_lv_call(l, "llvm.x86.sse2.cvtps2dq", NULL, arg, 1);
    if (n == 8)
        return sk_lv_call(l, "llvm.x86.avx.cvt.ps2dq.256", NULL, arg, 1);
    arg[1] = LLVMGetPoison(LLVMVectorType(l->i32, n));
    arg[2] = LLVMConstAllOnes(l->i16);
    arg[3] = sk_lv_index(l, 4); /* rounding as the control register says */
    return sk_lv_call(l, "llvm.x86.avx512.mask.cvtps2dq.512", NULL, arg, 4);
}

LLVMValueRef sk_lv_f2i(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    if (l->x86 && sk_lv_is_vector(a[0]))
        return sk_lv_chunked(l, a[0], a[0], chunk_f2i);
    if (l->x86) {
        LLVMValueRef one = LLVMBuildInsertElement(
            l->b, LLVMGetPoison(LLVMVectorType(l->f32, 4)), a[0], sk_lv_index(l, 0), "");
        return sk_lv_call(l, "llvm.x86.sse.cvtss2si", NULL, &one, 1);
    }
    const LLVMValueRef r = sk_lv_rint(l, in, a);
    const LLVMValueRef low = sk_lv_f32(l, r, -2147483648.0f), high = sk_lv_f32(l, r, 2147483648.0f);
    const LLVMValueRef fits =
        LLVMBuildAnd(l->b, LLVMBuildFCmp(l->b, LLVMRealOGE, r, low, ""),
                     LLVMBuildFCmp(l->b, LLVMRealOLT, r, high, ""), "");
    const LLVMValueRef safe = LLVMBuildSelect(l->b, fits, r, low, "");
    return LLVMBuildFPToSI(l->b, safe, sk_lv_like(r, l->i32), "");
}
