/* emit_llvm_value.c - the few ways to make LLVM values that all handlers use. */
#include <llvm-c/Core.h>

#include "emit_llvm_body.h"

#include <string.h>

bool sk_lv_is_vector(LLVMValueRef v)
{
    return LLVMGetTypeKind(LLVMTypeOf(v)) == LLVMVectorTypeKind;
}

uint32_t sk_lv_count(LLVMValueRef v)
{
    return sk_lv_is_vector(v) ? LLVMGetVectorSize(LLVMTypeOf(v)) : 1;
}

LLVMTypeRef sk_lv_like(LLVMValueRef v, LLVMTypeRef element)
{
    return sk_lv_is_vector(v) ? LLVMVectorType(element, sk_lv_count(v)) : element;
}

/* x in every element of a value shaped like `like`. */
static LLVMValueRef constant_like(LLVMValueRef like, LLVMValueRef x)
{
    LLVMValueRef lanes[128];
    const uint32_t n = sk_lv_count(like);
    if (!sk_lv_is_vector(like) || n > SK_COUNT(lanes))
        return x;
    for (uint32_t i = 0; i < n; i++)
        lanes[i] = x;
    return LLVMConstVector(lanes, n);
}

LLVMValueRef sk_lv_u32(sk_lv *l, LLVMValueRef like, uint32_t x)
{
    return constant_like(like, LLVMConstInt(l->i32, x, false));
}

LLVMValueRef sk_lv_f32bits(sk_lv *l, LLVMValueRef like, uint32_t bits)
{
    /* By bits: a double would quieten NaN. */
    const LLVMValueRef x = LLVMConstBitCast(LLVMConstInt(l->i32, bits, false), l->f32);
    return constant_like(like, x);
}

LLVMValueRef sk_lv_f32(sk_lv *l, LLVMValueRef like, float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return sk_lv_f32bits(l, like, bits);
}

LLVMValueRef sk_lv_index(sk_lv *l, uint32_t x)
{
    return LLVMConstInt(l->i32, x, false);
}

LLVMValueRef sk_lv_pick(sk_lv *l, LLVMValueRef a, LLVMValueRef b, const uint32_t *mask, uint32_t n)
{
    LLVMValueRef at[128];
    for (uint32_t i = 0; i < n; i++)
        at[i] = sk_lv_index(l, mask[i]);
    if (!b)
        b = LLVMGetPoison(LLVMTypeOf(a));
    return LLVMBuildShuffleVector(l->b, a, b, LLVMConstVector(at, n), "");
}

LLVMValueRef sk_lv_splat(sk_lv *l, LLVMValueRef v, uint32_t n)
{
    if (sk_lv_is_vector(v))
        return v;
    if (LLVMIsConstant(v)) {
        LLVMValueRef lanes[32];
        for (uint32_t i = 0; i < n; i++)
            lanes[i] = v;
        return LLVMConstVector(lanes, n);
    }
    static const uint32_t first[32] = {0};
    const LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(v), n);
    const LLVMValueRef one =
        LLVMBuildInsertElement(l->b, LLVMGetPoison(type), v, sk_lv_index(l, 0), "");
    return sk_lv_pick(l, one, NULL, first, n);
}

LLVMValueRef sk_lv_slice(sk_lv *l, LLVMValueRef v, uint32_t first, uint32_t n)
{
    if (first == 0 && n == sk_lv_count(v))
        return v;
    uint32_t mask[128];
    for (uint32_t i = 0; i < n; i++)
        mask[i] = first + i;
    return sk_lv_pick(l, v, NULL, mask, n);
}

LLVMValueRef sk_lv_join(sk_lv *l, LLVMValueRef *part, uint32_t n)
{
    uint32_t mask[128];
    for (uint32_t i = 0; i < SK_COUNT(mask); i++)
        mask[i] = i;
    for (; n > 1; n /= 2)
        for (uint32_t i = 0; i < n / 2; i++)
            part[i] = sk_lv_pick(l, part[2 * i], part[2 * i + 1], mask,
                                 2 * sk_lv_count(part[2 * i]));
    return part[0];
}

LLVMValueRef sk_lv_bits(sk_lv *l, LLVMValueRef v, LLVMTypeRef element, uint32_t n)
{
    return LLVMBuildBitCast(l->b, v, n == 1 ? element : LLVMVectorType(element, n), "");
}

LLVMValueRef sk_lv_call_of(sk_lv *l, const char *name, LLVMTypeRef const *type, uint32_t types,
                           LLVMValueRef *arg, uint32_t n)
{
    LLVMTypeRef of[2] = {NULL, NULL};
    const unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    for (uint32_t i = 0; i < types; i++)
        of[i] = type[i];
    const LLVMValueRef fn = LLVMGetIntrinsicDeclaration(l->module, id, of, types);
    return LLVMBuildCall2(l->b, LLVMGlobalGetValueType(fn), fn, arg, n, "");
}

LLVMValueRef sk_lv_call(sk_lv *l, const char *name, LLVMTypeRef type, LLVMValueRef *arg, uint32_t n)
{
    return sk_lv_call_of(l, name, &type, type ? 1 : 0, arg, n);
}

uint32_t sk_lv_chunk(const sk_lv *l)
{
    const uint32_t widest = l->avx512 ? 16 : l->avx2 ? 8 : 4;
    return l->w < widest ? l->w : widest;
}

LLVMValueRef sk_lv_chunked(sk_lv *l, LLVMValueRef a, LLVMValueRef b, sk_lv_chunk_fn *op)
{
    LLVMValueRef part[8];
    const uint32_t c = sk_lv_chunk(l), n = l->w / c;
    for (uint32_t i = 0; i < n; i++)
        part[i] = op(l, sk_lv_slice(l, a, i * c, c), sk_lv_slice(l, b, i * c, c));
    return sk_lv_join(l, part, n);
}
