/* emit_llvm_pack.c - arithmetic of packed sub-words. On x86 the instruction is asked for
 * by its intrinsic, chunk by chunk of what the machine has, because LLVM finds
 * pmaddwd and packssdw in generic code only sometimes; every op has a
 * generic form for the rest. */
#include <llvm-c/Core.h>

#include "emit_llvm_body.h"

#include <stdio.h>

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

/* UMIN16X2, UMAX16X2, SMAX16X2. */
LLVMValueRef sk_lv_most16x2(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    LLVMValueRef arg[2] = {halves(l, a[0]), halves(l, a[1])};
    const char *name = in->op == SK_OP_UMIN16X2   ? "llvm.umin"
                       : in->op == SK_OP_UMAX16X2 ? "llvm.umax"
                                                  : "llvm.smax";
    return words(l, sk_lv_call(l, name, LLVMTypeOf(arg[0]), arg, 2), sk_lv_count(a[0]));
}

LLVMValueRef sk_lv_sra16x2(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    const LLVMValueRef x = halves(l, a[0]), by = sk_lv_u32(l, a[0], in->imm * 0x00010001u);
    return words(l, LLVMBuildAShr(l->b, x, halves(l, by), ""), sk_lv_count(a[0]));
}

/* One 16-bit half of each word as a signed 32-bit number. */
static LLVMValueRef signed_half(sk_lv *l, LLVMValueRef v, bool high)
{
    const LLVMValueRef by = sk_lv_u32(l, v, 16);
    return LLVMBuildAShr(l->b, high ? v : LLVMBuildShl(l->b, v, by, ""), by, "");
}

static LLVMValueRef chunk_mulr(sk_lv *l, LLVMValueRef a, LLVMValueRef b)
{
    const uint32_t n = sk_lv_count(a);
    LLVMValueRef arg[2] = {halves(l, a), halves(l, b)};
    return words(l, sk_lv_call(l,
                               n == 4   ? "llvm.x86.ssse3.pmul.hr.sw.128"
                               : n == 8 ? "llvm.x86.avx2.pmul.hr.sw"
                                        : "llvm.x86.avx512.pmul.hr.sw.512",
                               NULL, arg, 2), n);
}

LLVMValueRef sk_lv_mulr16x2(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    (void)in;
    if (l->ssse3 && sk_lv_is_vector(a[0]))
        return sk_lv_chunked(l, a[0], a[1], chunk_mulr);
    LLVMValueRef half[2];
    for (int high = 0; high < 2; high++) {
        half[high] = LLVMBuildMul(l->b, signed_half(l, a[0], high), signed_half(l, a[1], high), "");
        half[high] = LLVMBuildAdd(l->b, half[high], sk_lv_u32(l, a[0], 0x4000), "");
        half[high] = LLVMBuildAShr(l->b, half[high], sk_lv_u32(l, a[0], 15), "");
    }
    half[0] = LLVMBuildAnd(l->b, half[0], sk_lv_u32(l, a[0], 0xffff), "");
    half[1] = LLVMBuildShl(l->b, half[1], sk_lv_u32(l, a[0], 16), "");
    return LLVMBuildOr(l->b, half[0], half[1], "");
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

/* Bytes as halves: those in even or odd places, signed or not. */
static LLVMValueRef byte_halves(sk_lv *l, LLVMValueRef v, bool odd, bool sign)
{
    LLVMValueRef x = halves(l, v), lanes[64];
    const uint32_t n = sk_lv_count(x);
    for (uint32_t i = 0; i < n; i++)
        lanes[i] = LLVMConstInt(l->i16, 8, false);
    const LLVMValueRef by = LLVMConstVector(lanes, n);
    if (!odd)
        x = LLVMBuildShl(l->b, x, by, "");
    x = sign ? LLVMBuildAShr(l->b, x, by, "") : LLVMBuildLShr(l->b, x, by, "");
    return words(l, x, sk_lv_count(v));
}

static LLVMValueRef chunk_madd8(sk_lv *l, LLVMValueRef a, LLVMValueRef b)
{
    const uint32_t n = sk_lv_count(a);
    LLVMValueRef arg[2] = {sk_lv_bits(l, a, l->i8, 4 * n), sk_lv_bits(l, b, l->i8, 4 * n)};
    return words(l, sk_lv_call(l,
                               n == 4   ? "llvm.x86.ssse3.pmadd.ub.sw.128"
                               : n == 8 ? "llvm.x86.avx2.pmadd.ub.sw"
                                        : "llvm.x86.avx512.pmaddubs.w.512",
                               NULL, arg, 2), n);
}

/* Products of bytes of b, unsigned, and of c, those in even or in odd places: they fit. */
static LLVMValueRef byte_products(sk_lv *l, LLVMValueRef b, LLVMValueRef c, bool odd)
{
    return LLVMBuildMul(l->b, halves(l, byte_halves(l, b, odd, false)),
                        halves(l, byte_halves(l, c, odd, true)), "");
}

LLVMValueRef sk_lv_madd8(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    (void)in;
    if (l->ssse3 && sk_lv_is_vector(a[0]))
        return sk_lv_chunked(l, a[0], a[1], chunk_madd8);
    LLVMValueRef arg[2] = {byte_products(l, a[0], a[1], false), byte_products(l, a[0], a[1], true)};
    return words(l, sk_lv_call(l, "llvm.sadd.sat", LLVMTypeOf(arg[0]), arg, 2), sk_lv_count(a[0]));
}

/* Products of all halves, and pairs of them added. */
static LLVMValueRef chunk_neon_dot2(sk_lv *l, LLVMValueRef a, LLVMValueRef b)
{
    const LLVMTypeRef wide = LLVMVectorType(l->i32, 8);
    const LLVMValueRef p = LLVMBuildMul(l->b, LLVMBuildSExt(l->b, halves(l, a), wide, ""),
                                        LLVMBuildSExt(l->b, halves(l, b), wide, ""), "");
    LLVMValueRef arg[2] = {sk_lv_slice(l, p, 0, 4), sk_lv_slice(l, p, 4, 4)};
    return sk_lv_call(l, "llvm.aarch64.neon.addp", LLVMTypeOf(a), arg, 2);
}

LLVMValueRef sk_lv_dot2(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    (void)in;
    if (l->x86 && sk_lv_is_vector(a[0]))
        return LLVMBuildAdd(l->b, a[0], sk_lv_chunked(l, a[1], a[2], chunk_madd), "");
    if (l->neon && sk_lv_is_vector(a[0]))
        return LLVMBuildAdd(l->b, a[0], sk_lv_chunked(l, a[1], a[2], chunk_neon_dot2), "");
    LLVMValueRef sum = a[0];
    for (int high = 0; high < 2; high++)
        sum = LLVMBuildAdd(l->b, sum,
                           LLVMBuildMul(l->b, signed_half(l, a[1], high),
                                        signed_half(l, a[2], high), ""),
                           "");
    return sum;
}

/* Whether two products of bytes with no other bits set than these always fit 16 bits. */
static bool pairs_fit(uint32_t unsigned_bits, uint32_t signed_bits)
{
    uint32_t b = 0, c = 0;
    for (uint32_t k = 0; k < 32; k += 8) {
        b |= unsigned_bits >> k & 0xffu;
        c |= signed_bits >> k & 0xffu;
    }
    return 2 * b * (c < 128 ? c : 128) <= 32767u + (c >= 128); /* down to -32768 */
}

static LLVMValueRef chunk_madd_pairs(sk_lv *l, LLVMValueRef b, LLVMValueRef c)
{
    return chunk_madd(l, chunk_madd8(l, b, c), sk_lv_u32(l, b, 0x00010001u));
}

/* pmaddubsw would saturate. */
static LLVMValueRef chunk_madd_bytes(sk_lv *l, LLVMValueRef b, LLVMValueRef c)
{
    LLVMValueRef sum[2];
    for (int odd = 0; odd < 2; odd++)
        sum[odd] = chunk_madd(l, byte_halves(l, b, odd, false), byte_halves(l, c, odd, true));
    return LLVMBuildAdd(l->b, sum[0], sum[1], "");
}

LLVMValueRef sk_lv_chunked_dot(sk_lv *l, LLVMValueRef const *a, LLVMTypeRef element, uint32_t each,
                               const char *const name[3])
{
    LLVMValueRef part[8];
    const uint32_t c = sk_lv_chunk(l), n = l->w / c;
    for (uint32_t i = 0; i < n; i++) {
        LLVMValueRef arg[3] = {sk_lv_slice(l, a[0], i * c, c)};
        for (uint32_t k = 1; k < 3; k++)
            arg[k] = sk_lv_bits(l, sk_lv_slice(l, a[k], i * c, c), element, each * c);
        const LLVMTypeRef type[2] = {LLVMTypeOf(arg[0]), LLVMTypeOf(arg[1])};
        part[i] = sk_lv_call_of(l, name[c / 8], type, l->neon ? 2 : 0, arg, 3);
    }
    return sk_lv_join(l, part, n);
}

/* One of NEON's, which add four products of bytes: s or u both signed or both not. */
static LLVMValueRef neon_dot(sk_lv *l, const char *kind, LLVMValueRef sum, LLVMValueRef b,
                             LLVMValueRef c)
{
    char text[40];
    const LLVMValueRef arg[3] = {sum, b, c};
    (void)snprintf(text, sizeof text, "llvm.aarch64.neon.%s", kind);
    const char *const name[3] = {text};
    return sk_lv_chunked_dot(l, arg, l->i8, 4, name);
}

/* Unsigned times signed, of a machine that has it or not: there b - 128 is signed, and
 * 128 c is added, twice 64, which heads that share c share. */
static LLVMValueRef neon_dot4us(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    const uint32_t sign = 0x80808080u;
    if (l->i8mm) return neon_dot(l, "usdot", a[0], a[1], a[2]);
    if (!(l->bits[in->arg[2]] & sign)) return neon_dot(l, "udot", a[0], a[1], a[2]);
    if (!(l->bits[in->arg[1]] & sign)) return neon_dot(l, "sdot", a[0], a[1], a[2]);
    const LLVMValueRef less = LLVMBuildXor(l->b, a[1], sk_lv_u32(l, a[1], sign), "");
    const LLVMValueRef half = neon_dot(l, "sdot", sk_lv_u32(l, a[0], 0),
                                       sk_lv_u32(l, a[0], 0x40404040u), a[2]);
    return LLVMBuildAdd(l->b, neon_dot(l, "sdot", a[0], less, a[2]),
                        LLVMBuildShl(l->b, half, sk_lv_u32(l, a[0], 1), ""), "");
}

/* Without such: pairs of 16-bit products are added as words. */
static LLVMValueRef chunk_neon_bytes(sk_lv *l, LLVMValueRef b, LLVMValueRef c)
{
    LLVMValueRef sum[2];
    for (int odd = 0; odd < 2; odd++) {
        const LLVMTypeRef type[2] = {LLVMTypeOf(b), LLVMTypeOf(halves(l, b))};
        LLVMValueRef p = byte_products(l, b, c, odd);
        sum[odd] = sk_lv_call_of(l, "llvm.aarch64.neon.saddlp", type, 2, &p, 1);
    }
    return LLVMBuildAdd(l->b, sum[0], sum[1], "");
}

LLVMValueRef sk_lv_dot4us(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    static const char *const native[] = {"llvm.x86.avx512.vpdpbusd.128",
                                         "llvm.x86.avx512.vpdpbusd.256",
                                         "llvm.x86.avx512.vpdpbusd.512"};
    if (l->vnni && sk_lv_is_vector(a[0]))
        return sk_lv_chunked_dot(l, a, l->i32, 1, native);
    if (l->dotprod && sk_lv_is_vector(a[0]))
        return neon_dot4us(l, in, a);
    if (l->neon && sk_lv_is_vector(a[0]))
        return LLVMBuildAdd(l->b, a[0], sk_lv_chunked(l, a[1], a[2], chunk_neon_bytes), "");
    sk_lv_chunk_fn *const two =
        l->ssse3 && pairs_fit(l->bits[in->arg[1]], l->bits[in->arg[2]]) ? chunk_madd_pairs
                                                                         : chunk_madd_bytes;
    if (l->x86 && sk_lv_is_vector(a[0]))
        return LLVMBuildAdd(l->b, a[0], sk_lv_chunked(l, a[1], a[2], two), "");
    LLVMValueRef sum = a[0];
    const LLVMValueRef top = sk_lv_u32(l, a[0], 24);
    for (uint32_t k = 0; k < 4; k++) {
        const LLVMValueRef up = sk_lv_u32(l, a[0], 24 - 8 * k);
        const LLVMValueRef x = LLVMBuildLShr(l->b, LLVMBuildShl(l->b, a[1], up, ""), top, "");
        const LLVMValueRef y = LLVMBuildAShr(l->b, LLVMBuildShl(l->b, a[2], up, ""), top, "");
        sum = LLVMBuildAdd(l->b, sum, LLVMBuildMul(l->b, x, y, ""), "");
    }
    return sum;
}

/* ---- pack -------------------------------------------------------------------------- */

/* Instructions that pack work on 16-byte pieces: [a0 b0 a1 b1 ...] must become
 * [a0 a1 .. b0 b1 ..]. Pieces are 64 bits wide here. */
static LLVMValueRef in_order(sk_lv *l, LLVMValueRef r, uint32_t n)
{
    const uint32_t pieces = n / 2;
    uint32_t mask[8];
    if (n == 4)
        return words(l, r, n);
    for (uint32_t i = 0; i < pieces; i++)
        mask[i] = i < pieces / 2 ? 2 * i : 2 * (i - pieces / 2) + 1;
    return words(l, sk_lv_pick(l, sk_lv_bits(l, r, l->i64, pieces), NULL, mask, pieces), n);
}

static LLVMValueRef chunk_pack16(sk_lv *l, LLVMValueRef a, LLVMValueRef b)
{
    const uint32_t n = sk_lv_count(a);
    LLVMValueRef arg[2] = {a, b};
    return in_order(l, sk_lv_call(l,
                                  n == 4   ? "llvm.x86.sse2.packssdw.128"
                                  : n == 8 ? "llvm.x86.avx2.packssdw"
                                           : "llvm.x86.avx512.packssdw.512",
                                  NULL, arg, 2), n);
}

static LLVMValueRef chunk_pack8(sk_lv *l, LLVMValueRef a, LLVMValueRef b)
{
    const uint32_t n = sk_lv_count(a);
    LLVMValueRef arg[2] = {halves(l, a), halves(l, b)};
    return in_order(l, sk_lv_call(l,
                                  n == 4   ? "llvm.x86.sse2.packuswb.128"
                                  : n == 8 ? "llvm.x86.avx2.packuswb"
                                           : "llvm.x86.avx512.packuswb.512",
                                  NULL, arg, 2), n);
}

/* Signed elements of v within lo .. hi, as elements of half the size. */
static LLVMValueRef saturated(sk_lv *l, LLVMValueRef v, int32_t lo, int32_t hi, LLVMTypeRef half)
{
    LLVMValueRef bound[64];
    const LLVMTypeRef element = LLVMGetElementType(LLVMTypeOf(v));
    for (int high = 1; high >= 0; high--) {
        for (uint32_t i = 0; i < sk_lv_count(v); i++)
            bound[i] = LLVMConstInt(element, (unsigned long long)(high ? hi : lo), true);
        LLVMValueRef arg[2] = {v, LLVMConstVector(bound, sk_lv_count(v))};
        v = sk_lv_call(l, high ? "llvm.smin" : "llvm.smax", LLVMTypeOf(v), arg, 2);
    }
    return LLVMBuildTrunc(l->b, v, sk_lv_like(v, half), "");
}

/* PACK16 and PACK8. */
LLVMValueRef sk_lv_pack(sk_lv *l, const sk_instr *in, LLVMValueRef const *a)
{
    LLVMValueRef part[8];
    const bool bytes = in->op == SK_OP_PACK8;
    sk_lv_chunk_fn *const chunk_pack = bytes ? chunk_pack8 : chunk_pack16;
    if (!l->x86) {
        for (uint32_t k = 0; k < 2; k++)
            part[k] = bytes ? saturated(l, halves(l, a[k]), 0, 255, l->i8)
                            : saturated(l, a[k], -32768, 32767, l->i16);
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
