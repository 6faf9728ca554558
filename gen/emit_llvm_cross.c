/* emit_llvm_cross.c - ops across lanes: shuffles and reductions. */
#include <llvm-c/Core.h>

#include "emit_llvm_body.h"

/* ---- shuffle -------------------------------------------------------------------- */

/* The index as constants, when it is one: lane arithmetic folds by itself. */
static bool constant_index(const sk_lv *l, LLVMValueRef index, uint32_t *mask)
{
    if (!LLVMIsConstant(index))
        return false;
    for (uint32_t i = 0; i < l->w; i++) {
        const LLVMValueRef x = LLVMGetAggregateElement(index, i);
        if (!x || !LLVMIsAConstantInt(x))
            return false;
        mask[i] = (uint32_t)LLVMConstIntGetZExtValue(x) & (l->w - 1);
    }
    return true;
}

/* One permute of a table of c lanes by an index of c lanes; bits of the index
 * above the table are ignored by the instruction. */
static LLVMValueRef permute(sk_lv *l, LLVMValueRef table, LLVMValueRef index)
{
    const uint32_t n = sk_lv_count(table);
    const bool is_float = LLVMGetElementType(LLVMTypeOf(table)) == l->f32;
    if (n == 4) { /* only the float form exists */
        LLVMValueRef arg[2] = {sk_lv_bits(l, table, l->f32, 4), index};
        const LLVMValueRef r = sk_lv_call(l, "llvm.x86.avx.vpermilvar.ps", NULL, arg, 2);
        return LLVMBuildBitCast(l->b, r, LLVMTypeOf(table), "");
    }
    LLVMValueRef arg[2] = {table, index};
    if (n == 8)
        return sk_lv_call(l, is_float ? "llvm.x86.avx2.permps" : "llvm.x86.avx2.permd", NULL, arg,
                          2);
    return sk_lv_call(
        l, is_float ? "llvm.x86.avx512.permvar.sf.512" : "llvm.x86.avx512.permvar.si.512", NULL,
        arg, 2);
}

/* Per lane: yes where a bit of x is set. AVX2 blends by the sign, and asked in
 * the plain way LLVM compares first. */
static LLVMValueRef choose_by_bit(sk_lv *l, LLVMValueRef x, uint32_t bit, LLVMValueRef yes,
                                  LLVMValueRef no)
{
    const uint32_t n = sk_lv_count(x);
    if (n != 8) {
        const LLVMValueRef masked = LLVMBuildAnd(l->b, x, sk_lv_u32(l, x, 1u << bit), "");
        const LLVMValueRef set =
            LLVMBuildICmp(l->b, LLVMIntNE, masked, sk_lv_u32(l, x, 0), "");
        return LLVMBuildSelect(l->b, set, yes, no, "");
    }
    const LLVMValueRef sign = LLVMBuildShl(l->b, x, sk_lv_u32(l, x, 31 - bit), "");
    LLVMValueRef arg[3] = {sk_lv_bits(l, no, l->f32, n), sk_lv_bits(l, yes, l->f32, n),
                           sk_lv_bits(l, sign, l->f32, n)};
    const LLVMValueRef r = sk_lv_call(l, "llvm.x86.avx.blendv.ps.256", NULL, arg, 3);
    return LLVMBuildBitCast(l->b, r, LLVMTypeOf(yes), "");
}

/* Permutes of every table, then a tree of choices by the bits above. */
static LLVMValueRef shuffle_by_tables(sk_lv *l, LLVMValueRef a, LLVMValueRef index)
{
    LLVMValueRef part[8], found[8];
    const uint32_t c = sk_lv_chunk(l), n = l->w / c;
    for (uint32_t i = 0; i < n; i++) {
        const LLVMValueRef at = sk_lv_slice(l, index, i * c, c);
        for (uint32_t t = 0; t < n; t++)
            found[t] = permute(l, sk_lv_slice(l, a, t * c, c), at);
        uint32_t bit = (uint32_t)__builtin_ctz(c);
        for (uint32_t left = n; left > 1; left /= 2, bit++) {
            for (uint32_t t = 0; t < left / 2; t++)
                found[t] = choose_by_bit(l, at, bit, found[2 * t + 1], found[2 * t]);
        }
        part[i] = found[0];
    }
    return sk_lv_join(l, part, n);
}

static LLVMValueRef shuffle_by_lane(sk_lv *l, LLVMValueRef a, LLVMValueRef index)
{
    const LLVMValueRef masked = LLVMBuildAnd(l->b, index, sk_lv_u32(l, index, l->w - 1), "");
    LLVMValueRef r = LLVMGetPoison(LLVMTypeOf(a));
    for (uint32_t i = 0; i < l->w; i++) {
        const LLVMValueRef at = LLVMBuildExtractElement(l->b, masked, sk_lv_index(l, i), "");
        r = LLVMBuildInsertElement(l->b, r, LLVMBuildExtractElement(l->b, a, at, ""),
                                   sk_lv_index(l, i), "");
    }
    return r;
}

LLVMValueRef sk_lv_shuffle(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    uint32_t mask[32];
    if (l->p->instr[in->arg[0]].scope != SK_LANE)
        return a[0];
    if (constant_index(l, a[1], mask))
        return sk_lv_pick(l, a[0], NULL, mask, l->w);
    return l->x86 && l->avx2 ? shuffle_by_tables(l, a[0], a[1]) : shuffle_by_lane(l, a[0], a[1]);
}

LLVMValueRef sk_lv_extract(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    (void)a;
    return sk_lv_lane(l, in->arg[0], in->imm);
}

/* ---- reductions --------------------------------------------------------------------- */

static LLVMValueRef combine(sk_lv *l, uint32_t op, LLVMValueRef x, LLVMValueRef y)
{
    LLVMValueRef arg[2] = {x, y};
    switch (op) {
    case SK_OP_RED_FADD: return LLVMBuildFAdd(l->b, x, y, "");
    case SK_OP_RED_FMAX:
        return LLVMBuildSelect(l->b, LLVMBuildFCmp(l->b, LLVMRealOGT, x, y, ""), x, y, "");
    case SK_OP_RED_UADD: return LLVMBuildAdd(l->b, x, y, "");
    case SK_OP_RED_UMIN: return sk_lv_call(l, "llvm.umin", LLVMTypeOf(x), arg, 2);
    default: return sk_lv_call(l, "llvm.umax", LLVMTypeOf(x), arg, 2);
    }
}

/* Lane 0 of the butterfly needs only the lower half of each step. */
LLVMValueRef sk_lv_reduce(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    LLVMValueRef v = sk_lv_splat(l, a[0], l->w);
    for (uint32_t n = l->w / 2; n > 0; n /= 2)
        v = combine(l, in->op, sk_lv_slice(l, v, 0, n), sk_lv_slice(l, v, n, n));
    return LLVMBuildExtractElement(l->b, v, sk_lv_index(l, 0), "");
}

LLVMValueRef sk_lv_any(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    (void)in;
    LLVMTypeRef bits = LLVMIntTypeInContext(l->ctx, l->w);
    LLVMValueRef all = LLVMBuildBitCast(l->b, sk_lv_splat(l, a[0], l->w), bits, "");
    return LLVMBuildICmp(l->b, LLVMIntNE, all, LLVMConstInt(bits, 0, 0), "");
}
