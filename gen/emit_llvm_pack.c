/* emit_llvm_pack.c - packed sub-word ops. On x86 the instruction is asked for
 * by its intrinsic, chunk by chunk of what the machine has, because LLVM finds
 * pshufb, pmaddwd and packssdw in generic code only sometimes; every op has a
 * generic form for the rest. */
#include <llvm-c/Core.h>

#include "emit_llvm_body.h"

static LLVMValueRef halves(sk_lv *l, LLVMValueRef v)
{
    return sk_lv_bits(l, v, l->i16, 2 * sk_lv_count(v));
}

static LLVMValueRef words(sk_lv *l, LLVMValueRef v, uint32_t lanes)
{
    return sk_lv_bits(l, v, l->i32, lanes);
}

LLVMValueRef sk_lv_add16x2(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    (void)in;
    const LLVMValueRef sum = LLVMBuildAdd(l->b, halves(l, a[0]), halves(l, a[1]), "");
    return words(l, sum, sk_lv_count(a[0]));
}

/* ---- dot ------------------------------------------------------------------------ */

static LLVMValueRef chunk_madd(sk_lv *l, LLVMValueRef a, LLVMValueRef b)
{
    const uint32_t n = sk_lv_count(a);
    LLVMValueRef arg[2] = {halves(l, a), halves(l, b)};
    return sk_lv_call(l,
                      n == 4   ? "llvm.x86.sse2.pmadd.wd"
                      : n == 8 ? "llvm.x86.avx2.pmadd.wd"
                               : "llvm.x86.avx512.pmaddw.d.512",
                      NULL, arg, 2);
}

/* One 16-bit half of each word as a signed 32-bit number. */
static LLVMValueRef signed_half(sk_lv *l, LLVMValueRef v, bool high)
{
    const LLVMValueRef by = sk_lv_u32(l, v, 16);
    return LLVMBuildAShr(l->b, high ? v : LLVMBuildShl(l->b, v, by, ""), by, "");
}

LLVMValueRef sk_lv_dot2(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    (void)in;
    if (l->x86 && sk_lv_is_vector(a[0]))
        return LLVMBuildAdd(l->b, a[0], sk_lv_chunked(l, a[1], a[2], chunk_madd), "");
    LLVMValueRef sum = a[0];
    for (int high = 0; high < 2; high++)
        sum = LLVMBuildAdd(l->b, sum,
                           LLVMBuildMul(l->b, signed_half(l, a[1], high),
                                        signed_half(l, a[2], high), ""),
                           "");
    return sum;
}

/* ---- pack -------------------------------------------------------------------------- */

/* packssdw works on 16-byte pieces: [a0 b0 a1 b1 ...] must become [a0 a1 ..
 * b0 b1 ..]. Pieces are 64 bits wide here. */
static LLVMValueRef chunk_pack(sk_lv *l, LLVMValueRef a, LLVMValueRef b)
{
    const uint32_t n = sk_lv_count(a), pieces = n / 2;
    LLVMValueRef arg[2] = {a, b};
    LLVMValueRef r = sk_lv_call(l,
                                n == 4   ? "llvm.x86.sse2.packssdw.128"
                                : n == 8 ? "llvm.x86.avx2.packssdw"
                                         : "llvm.x86.avx512.packssdw.512",
                                NULL, arg, 2);
    if (n > 4) {
        uint32_t mask[8];
        for (uint32_t i = 0; i < pieces; i++)
            mask[i] = i < pieces / 2 ? 2 * i : 2 * (i - pieces / 2) + 1;
        r = sk_lv_pick(l, sk_lv_bits(l, r, l->i64, pieces), NULL, mask, pieces);
    }
    return words(l, r, n);
}

static LLVMValueRef saturated(sk_lv *l, LLVMValueRef v)
{
    LLVMValueRef arg[2] = {v, sk_lv_u32(l, v, 0x7fff)};
    arg[0] = sk_lv_call(l, "llvm.smin", LLVMTypeOf(v), arg, 2);
    arg[1] = sk_lv_u32(l, v, 0xffff8000u);
    arg[0] = sk_lv_call(l, "llvm.smax", LLVMTypeOf(v), arg, 2);
    return LLVMBuildTrunc(l->b, arg[0], sk_lv_like(v, l->i16), "");
}

LLVMValueRef sk_lv_pack16(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    (void)in;
    LLVMValueRef part[8];
    if (!l->x86) {
        part[0] = saturated(l, a[0]);
        part[1] = saturated(l, a[1]);
        return words(l, sk_lv_join(l, part, 2), l->w);
    }
    const uint32_t c = sk_lv_chunk(l), n = l->w / c;
    if (n == 1)
        return chunk_pack(l, a[0], a[1]);
    for (uint32_t i = 0; i < n; i++) { /* words 2ic .. of a and b side by side */
        const LLVMValueRef from = a[2 * i / n];
        const uint32_t first = 2 * i * c % l->w;
        part[i] = chunk_pack(l, sk_lv_slice(l, from, first, c),
                             sk_lv_slice(l, from, first + c, c));
    }
    return sk_lv_join(l, part, n);
}

/* ---- bytes --------------------------------------------------------------------------- */

static LLVMValueRef chunk_pshufb(sk_lv *l, LLVMValueRef table, LLVMValueRef index)
{
    const uint32_t n = sk_lv_count(table);
    LLVMValueRef arg[2] = {sk_lv_bits(l, table, l->i8, 4 * n), sk_lv_bits(l, index, l->i8, 4 * n)};
    const LLVMValueRef r = sk_lv_call(l,
                                      n == 4   ? "llvm.x86.ssse3.pshuf.b.128"
                                      : n == 8 ? "llvm.x86.avx2.pshuf.b"
                                               : "llvm.x86.avx512.pshuf.b.512",
                                      NULL, arg, 2);
    return words(l, r, n);
}

/* Byte by byte; becomes tbl on AArch64, a table on the stack on old x86. */
static LLVMValueRef lut16_by_byte(sk_lv *l, LLVMValueRef table, LLVMValueRef index)
{
    LLVMValueRef part[8];
    const uint32_t n = l->w / 4;
    for (uint32_t k = 0; k < n; k++) {
        const LLVMValueRef t = sk_lv_bits(l, sk_lv_slice(l, table, 4 * k, 4), l->i8, 16);
        const LLVMValueRef x = sk_lv_bits(l, sk_lv_slice(l, index, 4 * k, 4), l->i8, 16);
        LLVMValueRef r = LLVMGetPoison(LLVMTypeOf(t));
        for (uint32_t i = 0; i < 16; i++) {
            const LLVMValueRef at = LLVMBuildExtractElement(l->b, x, sk_lv_index(l, i), "");
            r = LLVMBuildInsertElement(l->b, r, LLVMBuildExtractElement(l->b, t, at, ""),
                                       sk_lv_index(l, i), "");
        }
        part[k] = words(l, r, 4);
    }
    return sk_lv_join(l, part, n);
}

LLVMValueRef sk_lv_lut16(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    LLVMValueRef index = a[1];
    const uint32_t may = l->bits[in->arg[1]];
    const bool fast = l->x86 && l->ssse3;
    /* pshufb gives 0 where bit 7 is set and ignores bits 4 to 6. */
    if (may & (fast ? 0x80808080u : 0xf0f0f0f0u))
        index = LLVMBuildAnd(l->b, index, sk_lv_u32(l, index, 0x0f0f0f0fu), "");
    return fast ? sk_lv_chunked(l, a[0], index, chunk_pshufb) : lut16_by_byte(l, a[0], index);
}

LLVMValueRef sk_lv_zip8(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    uint32_t mask[128];
    const uint32_t bytes = 4 * l->w;
    for (uint32_t i = 0; i < bytes; i++)
        mask[i] = (i & ~15u) + 8 * in->imm + (i & 15) / 2 + (i & 1) * bytes;
    const LLVMValueRef r = sk_lv_pick(l, sk_lv_bits(l, a[0], l->i8, bytes),
                                      sk_lv_bits(l, a[1], l->i8, bytes), mask, bytes);
    return words(l, r, l->w);
}
