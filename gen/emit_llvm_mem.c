/* emit_llvm_mem.c - loads and stores.
 *
 * Addresses are 64 bits: base + zero-extended offset + constant. An offset that
 * differs between lanes is taken lane by lane as a scalar (sk_lv_lane), so that
 * offsets made of uniform values become plain addressing. Masked-off lanes of a
 * gather read, and of a scatter write, a place of our own: a select of the
 * address is cheaper than a branch per lane, and nothing foreign is touched. */
#include <llvm-c/Core.h>

#include "emit_llvm_body.h"

/* base + offset + disp, offset a scalar. */
static LLVMValueRef address(sk_lv *l, LLVMValueRef base, LLVMValueRef offset, uint32_t disp)
{
    if (!LLVMIsAConstantInt(offset) || LLVMConstIntGetZExtValue(offset)) {
        LLVMValueRef wide = LLVMBuildZExt(l->b, offset, l->i64, "");
        base = LLVMBuildGEP2(l->b, l->i8, base, &wide, 1, "");
    }
    if (disp) {
        LLVMValueRef by = LLVMConstInt(l->i64, disp, false);
        base = LLVMBuildGEP2(l->b, l->i8, base, &by, 1, "");
    }
    return base;
}

static LLVMValueRef load(sk_lv *l, LLVMTypeRef type, LLVMValueRef at, uint32_t align)
{
    const LLVMValueRef v = LLVMBuildLoad2(l->b, type, at, "");
    LLVMSetAlignment(v, align);
    return v;
}

static void store(sk_lv *l, LLVMValueRef v, LLVMValueRef at)
{
    LLVMSetAlignment(LLVMBuildStore(l->b, v, at), 4);
}

/* n elements of a kind from consecutive memory; n = 1 gives a scalar. */
static LLVMValueRef load_kind(sk_lv *l, uint32_t kind, LLVMValueRef at, uint32_t n)
{
    static const uint8_t align[SK_LD_KINDS] = {
        [SK_LD_U32] = 4, [SK_LD_F32] = 4, [SK_LD_U8] = 1,   [SK_LD_S8] = 1,
        [SK_LD_U16] = 2, [SK_LD_F16] = 2, [SK_LD_BF16] = 2, [SK_LD_S8X2] = 2,
    };
    const LLVMTypeRef element[SK_LD_KINDS] = {
        [SK_LD_U32] = l->i32, [SK_LD_F32] = l->f32, [SK_LD_U8] = l->i8,   [SK_LD_S8] = l->i8,
        [SK_LD_U16] = l->i16, [SK_LD_F16] = l->i16, [SK_LD_BF16] = l->i16, [SK_LD_S8X2] = l->i8,
    };
    if (kind == SK_LD_S8X2) {
        const LLVMValueRef bytes = load(l, LLVMVectorType(l->i8, 2 * n), at, 2);
        const LLVMValueRef wide = LLVMBuildSExt(l->b, bytes, LLVMVectorType(l->i16, 2 * n), "");
        return sk_lv_bits(l, wide, l->i32, n);
    }
    const LLVMTypeRef type = n == 1 ? element[kind] : LLVMVectorType(element[kind], n);
    const LLVMTypeRef words = n == 1 ? l->i32 : LLVMVectorType(l->i32, n);
    const LLVMValueRef v = load(l, type, at, align[kind]);
    switch (kind) {
    case SK_LD_U8:
    case SK_LD_U16: return LLVMBuildZExt(l->b, v, words, "");
    case SK_LD_S8: return LLVMBuildSExt(l->b, v, words, "");
    case SK_LD_F16: return sk_lv_from_f16(l, v);
    case SK_LD_BF16: return sk_lv_from_bf16(l, v);
    default: return v;
    }
}

LLVMValueRef sk_lv_ldu(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    return load_kind(l, in->imm2, address(l, a[0], a[1], in->imm), 1);
}

LLVMValueRef sk_lv_ldv(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    return load_kind(l, in->imm2, address(l, a[0], a[1], in->imm), l->w);
}

/* Four zero bytes that may be read by lanes that load nothing. */
static LLVMValueRef zero_place(sk_lv *l)
{
    if (!l->zero) {
        l->zero = LLVMAddGlobal(l->module, l->i32, "sk_zero");
        LLVMSetInitializer(l->zero, LLVMConstNull(l->i32));
        LLVMSetGlobalConstant(l->zero, true);
        LLVMSetLinkage(l->zero, LLVMPrivateLinkage);
    }
    return l->zero;
}

static LLVMValueRef choose(sk_lv *l, LLVMValueRef pred, LLVMValueRef yes, LLVMValueRef no)
{
    if (LLVMIsAConstantInt(pred))
        return LLVMConstIntGetZExtValue(pred) ? yes : no;
    return LLVMBuildSelect(l->b, pred, yes, no, "");
}

/* Lanes are loaded as they lie in memory and widened together. */
LLVMValueRef sk_lv_ldg(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    const LLVMTypeRef type = in->type == SK_F32 ? l->f32 : l->i32;
    LLVMValueRef r = LLVMGetPoison(LLVMVectorType(type, l->w));
    for (uint32_t i = 0; i < l->w; i++) {
        LLVMValueRef at = address(l, a[0], sk_lv_lane(l, in->arg[1], i), in->imm);
        if (in->nargs > 2)
            at = choose(l, sk_lv_lane(l, in->arg[2], i), at, zero_place(l));
        r = LLVMBuildInsertElement(l->b, r, load_kind(l, in->imm2, at, 1), sk_lv_index(l, i), "");
    }
    return r;
}

LLVMValueRef sk_lv_ldrows(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    LLVMValueRef part[32];
    const uint32_t n = in->imm >> 24, disp = in->imm & 0xffffffu;
    for (uint32_t i = 0; i < l->w / n; i++) {
        const LLVMValueRef at = address(l, a[0], sk_lv_lane(l, in->arg[1], i * n), disp);
        part[i] = load_kind(l, in->imm2, at, n);
    }
    if (n > 1)
        return sk_lv_join(l, part, l->w / n);
    LLVMValueRef r = LLVMGetPoison(LLVMVectorType(LLVMTypeOf(part[0]), l->w));
    for (uint32_t i = 0; i < l->w; i++)
        r = LLVMBuildInsertElement(l->b, r, part[i], sk_lv_index(l, i), "");
    return r;
}

LLVMValueRef sk_lv_stu(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    store(l, a[2], address(l, a[0], a[1], in->imm));
    return NULL;
}

LLVMValueRef sk_lv_stv(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    store(l, sk_lv_splat(l, a[2], l->w), address(l, a[0], a[1], in->imm));
    return NULL;
}

LLVMValueRef sk_lv_stn(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    const LLVMValueRef v =
        LLVMBuildStore(l->b, sk_lv_splat(l, a[2], l->w), address(l, a[0], a[1], in->imm));
    LLVMMetadataRef one = LLVMValueAsMetadata(sk_lv_index(l, 1));
    const LLVMMetadataRef node = LLVMMDNodeInContext2(l->ctx, &one, 1);
    const unsigned kind = LLVMGetMDKindIDInContext(l->ctx, "nontemporal", 11);
    LLVMSetAlignment(v, l->w < 16 ? 4 * l->w : 64);
    LLVMSetMetadata(v, kind, LLVMMetadataAsValue(l->ctx, node));
    l->passes_caches = true;
    return NULL;
}

/* x86 orders such stores by a fence alone; elsewhere whatever hands the data to
 * another thread orders them too. */
void sk_lv_fence(sk_lv *l)
{
    if (l->passes_caches && l->x86)
        (void)sk_lv_call(l, "llvm.x86.sse.sfence", NULL, NULL, 0);
}

/* In lane order, as the definition has it. */
LLVMValueRef sk_lv_stg(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    LLVMValueRef nowhere = NULL;
    if (in->nargs > 3)
        nowhere = LLVMBuildAlloca(l->entry, l->i32, "");
    for (uint32_t i = 0; i < l->w; i++) {
        LLVMValueRef at = address(l, a[0], sk_lv_lane(l, in->arg[1], i), in->imm);
        if (nowhere)
            at = choose(l, sk_lv_lane(l, in->arg[3], i), at, nowhere);
        store(l, sk_lv_lane(l, in->arg[2], i), at);
    }
    return NULL;
}

LLVMValueRef sk_lv_prefetch(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    /* address; read; into all caches but the nearest, or that one, too; data */
    LLVMValueRef arg[4] = {address(l, a[0], a[1], in->imm), sk_lv_index(l, 0),
                           sk_lv_index(l, 2 + in->imm2), sk_lv_index(l, 1)};
    (void)sk_lv_call(l, "llvm.prefetch", l->ptr, arg, 4);
    return NULL;
}
