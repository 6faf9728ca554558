/* emit_llvm_half.c - f16 and bf16, and dot products of the latter. Where the machine converts halves, plain
 * fpext and fptrunc become its instructions. Elsewhere LLVM would call the
 * compiler's runtime, which an object without undefined symbols cannot: there
 * the conversions are integer arithmetic, exact, subnormals included. bf16 is
 * always integer arithmetic: vcvtneps2bf16 takes subnormals for zero. */
#include <llvm-c/Core.h>

#include "emit_llvm_body.h"

/* Short forms for the arithmetic below: x op constant, and a choice. */
static LLVMValueRef and_c(sk_lv *l, LLVMValueRef x, uint32_t c)
{
    return LLVMBuildAnd(l->b, x, sk_lv_u32(l, x, c), "");
}

static LLVMValueRef add_c(sk_lv *l, LLVMValueRef x, uint32_t c)
{
    return LLVMBuildAdd(l->b, x, sk_lv_u32(l, x, c), "");
}

static LLVMValueRef shl_c(sk_lv *l, LLVMValueRef x, uint32_t n)
{
    return LLVMBuildShl(l->b, x, sk_lv_u32(l, x, n), "");
}

static LLVMValueRef shr_c(sk_lv *l, LLVMValueRef x, uint32_t n)
{
    return LLVMBuildLShr(l->b, x, sk_lv_u32(l, x, n), "");
}

static LLVMValueRef or_v(sk_lv *l, LLVMValueRef x, LLVMValueRef y)
{
    return LLVMBuildOr(l->b, x, y, "");
}

static LLVMValueRef above(sk_lv *l, LLVMValueRef x, uint32_t c, LLVMValueRef yes, LLVMValueRef no)
{
    return LLVMBuildSelect(l->b, LLVMBuildICmp(l->b, LLVMIntUGT, x, sk_lv_u32(l, x, c), ""), yes,
                           no, "");
}

static LLVMValueRef as_f32(sk_lv *l, LLVMValueRef bits)
{
    return LLVMBuildBitCast(l->b, bits, sk_lv_like(bits, l->f32), "");
}

static LLVMValueRef as_u32(sk_lv *l, LLVMValueRef x)
{
    return LLVMBuildBitCast(l->b, x, sk_lv_like(x, l->i32), "");
}

/* Bits of an f32 from half bits in i32 elements; base_half.c in vectors. A
 * subnormal is its fraction, as an integer, times 2^-24. */
static LLVMValueRef widen_by_hand(sk_lv *l, LLVMValueRef h)
{
    const LLVMValueRef m = and_c(l, h, 0x7fff);
    const LLVMValueRef sign = shl_c(l, and_c(l, h, 0x8000), 16);
    const LLVMValueRef shifted = shl_c(l, m, 13);
    const LLVMValueRef normal = add_c(l, shifted, 112u << 23);
    const LLVMValueRef inf = LLVMBuildOr(l->b, shifted, sk_lv_u32(l, h, 0x7f800000u), "");
    const LLVMValueRef nan = LLVMBuildOr(l->b, inf, sk_lv_u32(l, h, 0x00400000u), "");
    const LLVMValueRef tiny = as_u32(
        l, LLVMBuildFMul(l->b, LLVMBuildSIToFP(l->b, m, sk_lv_like(h, l->f32), ""),
                         sk_lv_f32(l, h, 0x1p-24f), ""));
    LLVMValueRef r = above(l, m, 0x3ff, normal, tiny);
    r = above(l, m, 0x7bff, inf, r);
    return or_v(l, above(l, m, 0x7c00, nan, r), sign);
}

LLVMValueRef sk_lv_from_f16(sk_lv *l, LLVMValueRef bits16)
{
    if (!l->half)
        return as_f32(l, widen_by_hand(l, LLVMBuildZExt(l->b, bits16, sk_lv_like(bits16, l->i32),
                                                        "")));
    const LLVMValueRef h = LLVMBuildBitCast(l->b, bits16, sk_lv_like(bits16, l->f16), "");
    return LLVMBuildFPExt(l->b, h, sk_lv_like(bits16, l->f32), "");
}

LLVMValueRef sk_lv_from_bf16(sk_lv *l, LLVMValueRef bits16)
{
    return as_f32(l, shl_c(l, LLVMBuildZExt(l->b, bits16, sk_lv_like(bits16, l->i32), ""), 16));
}

LLVMValueRef sk_lv_f16_part(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    const LLVMValueRef x = in->op == SK_OP_F16HI ? shr_c(l, a[0], 16) : a[0];
    return sk_lv_from_f16(l, LLVMBuildTrunc(l->b, x, sk_lv_like(x, l->i16), ""));
}

/* u >> 13 or so, rounded to nearest even, n per element. */
static LLVMValueRef shift_round(sk_lv *l, LLVMValueRef u, LLVMValueRef n)
{
    const LLVMValueRef one = sk_lv_u32(l, u, 1);
    const LLVMValueRef last = LLVMBuildAnd(l->b, LLVMBuildLShr(l->b, u, n, ""), one, "");
    const LLVMValueRef below = LLVMBuildSub(
        l->b, LLVMBuildShl(l->b, one, LLVMBuildSub(l->b, n, one, ""), ""), one, "");
    const LLVMValueRef up = LLVMBuildAdd(l->b, u, LLVMBuildAdd(l->b, below, last, ""), "");
    return LLVMBuildLShr(l->b, up, n, "");
}

/* Half bits, in i32 elements, of f32 elements. */
static LLVMValueRef narrow_by_hand(sk_lv *l, LLVMValueRef x)
{
    const LLVMValueRef u = as_u32(l, x);
    const LLVMValueRef m = and_c(l, u, 0x7fffffffu);
    const LLVMValueRef sign = and_c(l, shr_c(l, u, 16), 0x8000);
    const LLVMValueRef nan = LLVMBuildOr(l->b, and_c(l, shr_c(l, m, 13), 0x3ff),
                                         sk_lv_u32(l, u, 0x7e00), "");
    const LLVMValueRef normal = shift_round(l, add_c(l, m, 0u - 0x38000000u), sk_lv_u32(l, u, 13));
    /* Subnormal, in units of 2^-24: the shift is 126 - exponent, kept in range
     * where the result is not used. */
    const LLVMValueRef by = LLVMBuildSub(l->b, sk_lv_u32(l, u, 126), shr_c(l, m, 23), "");
    const LLVMValueRef fraction =
        LLVMBuildOr(l->b, and_c(l, m, 0x7fffff), sk_lv_u32(l, u, 0x800000), "");
    const LLVMValueRef n = add_c(l, and_c(l, add_c(l, by, 0u - 1), 31), 1);
    const LLVMValueRef safe = above(l, n, 31, sk_lv_u32(l, u, 31), n);
    LLVMValueRef r = above(l, m, 0x33000000u, shift_round(l, fraction, safe), sk_lv_u32(l, u, 0));
    r = above(l, m, 0x387fffffu, normal, r);
    r = above(l, m, 0x477fefffu, sk_lv_u32(l, u, 0x7c00), r);
    return or_v(l, above(l, m, 0x7f800000u, nan, r), sign);
}

/* Low and high halves, side by side in the words of the result. */
static LLVMValueRef interleave16(sk_lv *l, LLVMValueRef low, LLVMValueRef high)
{
    uint32_t mask[64];
    const uint32_t n = sk_lv_count(low);
    for (uint32_t i = 0; i < n; i++) {
        mask[2 * i] = i;
        mask[2 * i + 1] = n + i;
    }
    return sk_lv_bits(l, sk_lv_pick(l, low, high, mask, 2 * n), l->i32, n);
}

LLVMValueRef sk_lv_pack_f16(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    (void)in;
    if (!l->half)
        return or_v(l, narrow_by_hand(l, a[0]), shl_c(l, narrow_by_hand(l, a[1]), 16));
    LLVMValueRef h[2];
    for (uint32_t k = 0; k < 2; k++) {
        h[k] = LLVMBuildFPTrunc(l->b, a[k], sk_lv_like(a[k], l->f16), "");
        h[k] = LLVMBuildBitCast(l->b, h[k], sk_lv_like(a[k], l->i16), "");
    }
    if (sk_lv_is_vector(a[0]))
        return interleave16(l, h[0], h[1]);
    return or_v(l, LLVMBuildZExt(l->b, h[0], l->i32, ""),
                shl_c(l, LLVMBuildZExt(l->b, h[1], l->i32, ""), 16));
}

/* bfloat bits in the upper half of each word, rubbish below. */
static LLVMValueRef bf16_high(sk_lv *l, LLVMValueRef x)
{
    const LLVMValueRef u = as_u32(l, x);
    const LLVMValueRef last = and_c(l, shr_c(l, u, 16), 1);
    const LLVMValueRef rounded = LLVMBuildAdd(l->b, add_c(l, u, 0x7fff), last, "");
    const LLVMValueRef quiet = LLVMBuildOr(l->b, u, sk_lv_u32(l, u, 0x400000), "");
    return above(l, and_c(l, u, 0x7fffffffu), 0x7f800000u, quiet, rounded);
}

LLVMValueRef sk_lv_pack_bf16(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    (void)in;
    return or_v(l, shr_c(l, bf16_high(l, a[0]), 16), and_c(l, bf16_high(l, a[1]), 0xffff0000u));
}

/* ---- dot ------------------------------------------------------------------------------- */

/* Without the instruction the factors are widened, which is exact, and added one by one. */
LLVMValueRef sk_lv_bdot2(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    static const char *const native[] = {"llvm.x86.avx512bf16.dpbf16ps.128",
                                         "llvm.x86.avx512bf16.dpbf16ps.256",
                                         "llvm.x86.avx512bf16.dpbf16ps.512"};
    (void)in;
    if (l->bf16 && sk_lv_is_vector(a[0]))
        return sk_lv_chunked_dot(l, a, l->bf, 2, native);
    const LLVMValueRef lo = sk_lv_fused(l, as_f32(l, shl_c(l, a[1], 16)),
                                        as_f32(l, shl_c(l, a[2], 16)), a[0]);
    return sk_lv_fused(l, as_f32(l, and_c(l, a[1], 0xffff0000u)),
                       as_f32(l, and_c(l, a[2], 0xffff0000u)), lo);
}
