/* prelude.cuh - the vocabulary of emitted kernels on NVIDIA GPUs, sm_75 and up.
 *
 * Text that sk_emit_cuda writes is C that uses these names and nothing else, so
 * the same text runs in two surroundings: behind this prelude on a GPU (NVRTC with
 * no include path, or nvcc), and behind a twin of it on a CPU, where the lanes of
 * a warp take turns (tests/simt). Hence functions with plain names and plain
 * arguments, and no header. Each does what the op of the lane IR of that kind
 * does (ir_ops.h), bit for bit except where the op is inexact.
 *
 * First come the words that are one instruction, an intrinsic or an access: the
 * twin has its own and defines SK_TWIN. What can be said in C by those comes behind
 * them and is the same text for both.
 *
 * A block is one row of threads; 32 lanes are a warp. What says "the warp" must
 * be reached by all 32 lanes. Addresses are bytes; words are naturally aligned.
 *
 * Plain C in emitted text: + - & | ^ and * / % of u32 (a constant divisor), << >>
 * by constants below 32, comparison of u32 and of float, + and - of float.
 * Products of floats are calls: a compiler may contract a * b + c, but never
 * __fmul_rn, so no flag is needed for that. --use_fast_math is never right. */

#ifndef SK_TWIN

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef int s32;
typedef unsigned long long u64;
typedef uint4 quad; /* four words: x y z w */

#define EXTERN_C extern "C"
#define SK_HERE __device__ __forceinline__
#define SK_ALL_LANES 0xffffffffu

/* The block's scratch under that name: u8 *, 128-byte aligned, its size given at
 * the launch. A declaration, first in a kernel. */
#define SCRATCH(name) extern __shared__ __align__(128) u8 name[]

/* ---- where we are ------------------------------------------------------------- */

SK_HERE u32 lane_index() { return threadIdx.x % 32; }

/* From lane 0, so that the compiler knows it to be the same in the warp. */
SK_HERE u32 warp_index() { return __shfl_sync(SK_ALL_LANES, threadIdx.x / 32, 0); }

SK_HERE u32 block_index(u32 dimension)
{
    return dimension == 0 ? blockIdx.x : dimension == 1 ? blockIdx.y : blockIdx.z;
}

/* __syncthreads(): all warps of the block. __syncwarp(): what lanes of the warp
 * stored is seen by its other lanes. Both under these names everywhere. */

/* ---- words and floats ------------------------------------------------------------ */

SK_HERE u32 bits_of(float x) { return __float_as_uint(x); }
SK_HERE float float_of(u32 x) { return __uint_as_float(x); }

SK_HERE float mul_rn(float a, float b) { return __fmul_rn(a, b); }
SK_HERE float fma_rn(float a, float b, float c) { return __fmaf_rn(a, b, c); }
SK_HERE float div_rn(float a, float b) { return __fdiv_rn(a, b); }
SK_HERE float sqrt_rn(float a) { return __fsqrt_rn(a); }

SK_HERE float rint_f32(float a)
{
    float d;
    asm("cvt.rni.f32.f32 %0, %1;" : "=f"(d) : "f"(a));
    return d;
}

/* One instruction each; subnormal results of exp2 may be 0. */
SK_HERE float exp2_f32(float a)
{
    float d;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(d) : "f"(a));
    return d;
}

SK_HERE float log2_f32(float a)
{
    float d;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(d) : "f"(a));
    return d;
}

/* ---- conversions ------------------------------------------------------------------ */

SK_HERE float s32_to_f32(u32 a) { return __int2float_rn((s32)a); }

SK_HERE float f16_to_f32(u16 h)
{
    float d;
    asm("cvt.f32.f16 %0, %1;" : "=f"(d) : "h"(h));
    return d;
}

/* Halves of a word: a low, b high. */
SK_HERE u32 pack_f16(float a, float b)
{
#if __CUDA_ARCH__ >= 800
    u32 d;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(d) : "f"(b), "f"(a));
    return d;
#else
    u16 lo, hi;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(lo) : "f"(a));
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(hi) : "f"(b));
    return lo | (u32)hi << 16;
#endif
}

/* ---- packed words -------------------------------------------------------------------- */

/* Four bytes of b:a, one picked by each of the low nibbles of sel; bit 3 of a
 * nibble: eight times the sign of that byte. */
SK_HERE u32 prmt(u32 a, u32 b, u32 sel)
{
    u32 d;
    asm("prmt.b32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(sel));
    return d;
}

/* a + the products of the signed bytes. */
SK_HERE u32 dot4(u32 a, u32 b, u32 c)
{
    u32 d;
    asm("dp4a.s32.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(b), "r"(c), "r"(a));
    return d;
}

/* The same with unsigned bytes of b. */
SK_HERE u32 dot4_us(u32 a, u32 b, u32 c)
{
    u32 d;
    asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(b), "r"(c), "r"(a));
    return d;
}

/* Pairs of halves, each rounded once. */
SK_HERE u32 add_f16x2(u32 a, u32 b)
{
    u32 d;
    asm("add.rn.f16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
    return d;
}

SK_HERE u32 mul_f16x2(u32 a, u32 b)
{
    u32 d;
    asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
    return d;
}

SK_HERE u32 fma_f16x2(u32 a, u32 b, u32 c)
{
    u32 d;
    asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
    return d;
}

/* ---- across the warp ------------------------------------------------------------------- */

/* v of lane `from` modulo 32. None of these orders memory. */
SK_HERE u32 shfl_u32(u32 v, u32 from) { return __shfl_sync(SK_ALL_LANES, v, (s32)from); }
SK_HERE u32 shfl_xor_u32(u32 v, u32 mask) { return __shfl_xor_sync(SK_ALL_LANES, v, (s32)mask); }

SK_HERE bool warp_any(bool p) { return __any_sync(SK_ALL_LANES, p); }

/* An 8x8 matrix of 16-bit elements, two a lane in rows, transposed. */
SK_HERE u32 movm(u32 a)
{
    u32 d;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(d) : "r"(a));
    return d;
}

/* ---- quads and tensor cores ------------------------------------------------------------ */

SK_HERE quad make_quad(u32 x, u32 y, u32 z, u32 w) { return make_uint4(x, y, z, w); }

/* a * b + c by mma.m16n8k16; fragments lie as PTX says, c and the result are
 * bits of f32. Half of it per instruction on sm_75. Volatile, so that it is not
 * moved to where only some lanes come. */
SK_HERE quad mma_f16(quad a, u32 b0, u32 b1, quad c)
{
    float x = float_of(c.x), y = float_of(c.y), z = float_of(c.z), w = float_of(c.w);
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(x), "+f"(y), "+f"(z), "+f"(w)
        : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
#else
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+f"(x), "+f"(y), "+f"(z), "+f"(w) : "r"(a.x), "r"(a.y), "r"(b0));
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+f"(x), "+f"(y), "+f"(z), "+f"(w) : "r"(a.z), "r"(a.w), "r"(b1));
#endif
    return make_quad(bits_of(x), bits_of(y), bits_of(z), bits_of(w));
}

#if __CUDA_ARCH__ >= 800 /* nothing older has it: an entry that needs it does not compile */
SK_HERE quad mma_bf16(quad a, u32 b0, u32 b1, quad c)
{
    float x = float_of(c.x), y = float_of(c.y), z = float_of(c.z), w = float_of(c.w);
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(x), "+f"(y), "+f"(z), "+f"(w)
        : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
    return make_quad(bits_of(x), bits_of(y), bits_of(z), bits_of(w));
}
#endif

/* ---- memory ----------------------------------------------------------------------------- */

SK_HERE u32 ld_u32(const void *p) { return *(const u32 *)p; }
SK_HERE u32 ld_u8(const void *p) { return *(const u8 *)p; }
SK_HERE u32 ld_s8(const void *p) { return (u32)(s32) * (const signed char *)p; }
SK_HERE u32 ld_u16(const void *p) { return *(const u16 *)p; }
SK_HERE quad ld_quad(const void *p) { return *(const quad *)p; }

SK_HERE void st_u32(void *p, u32 x) { *(u32 *)p = x; }
SK_HERE void st_quad(void *p, quad x) { *(quad *)p = x; }

/* For what nobody reads soon: first out of the caches. */
SK_HERE void stream_u32(void *p, u32 x)
{
    asm volatile("st.cs.u32 [%0], %1;" : : "l"(p), "r"(x) : "memory");
}

/* A hint, and no access: p may point anywhere. Once for the warp. */
SK_HERE void prefetch(const void *p)
{
    if (lane_index() == 0)
        asm volatile("prefetch.L2 [%0];" : : "l"(p));
}

/* 16 bytes of this lane, from global memory into scratch. What was copied is seen
 * by the warp behind cp_async_wait(n), n: committed groups that may still be
 * under way; by others behind a barrier after that. */
#if __CUDA_ARCH__ >= 800
SK_HERE void cp_async(void *to, const void *from)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;"
                 : : "r"((u32)__cvta_generic_to_shared(to)), "l"(__cvta_generic_to_global(from))
                 : "memory");
}

SK_HERE void cp_async_commit() { asm volatile("cp.async.commit_group;" : : : "memory"); }
/* A wait is for the lane's own copies: the warp meets behind it. */
#define cp_async_wait(n)                                                                           \
    do {                                                                                           \
        asm volatile("cp.async.wait_group %0;" : : "n"(n) : "memory");                             \
        __syncwarp();                                                                              \
    } while (0)
#else
SK_HERE void cp_async(void *to, const void *from) { st_quad(to, ld_quad(from)); }
SK_HERE void cp_async_commit() {}
#define cp_async_wait(n) __syncwarp()
#endif

/* *p += x by the lane that calls it; the old value. */
SK_HERE u32 atom_add_here(void *p, u32 x)
{
    u32 old;
    asm volatile("atom.acq_rel.gpu.add.u32 %0, [%1], %2;" : "=r"(old) : "l"(p), "r"(x) : "memory");
    return old;
}

#endif /* SK_TWIN */

/* ==== the same on a GPU and in the twin ============================================== */

/* ---- words and floats, in C ---------------------------------------------------------- */

SK_HERE u32 div_u32(u32 a, u32 b) { return b ? a / b : 0xffffffffu; }
SK_HERE u32 rem_u32(u32 a, u32 b) { return b ? a % b : a; }
SK_HERE u32 shl_u32(u32 a, u32 b) { return b < 32 ? a << b : 0; }
SK_HERE u32 shr_u32(u32 a, u32 b) { return b < 32 ? a >> b : 0; }
SK_HERE u32 sra_u32(u32 a, u32 b) { return (u32)((s32)a >> (b < 31 ? b : 31)); }
SK_HERE u32 min_u32(u32 a, u32 b) { return a < b ? a : b; }
SK_HERE u32 max_u32(u32 a, u32 b) { return a > b ? a : b; }
SK_HERE u32 min_s32(u32 a, u32 b) { return (s32)a < (s32)b ? a : b; }
SK_HERE u32 max_s32(u32 a, u32 b) { return (s32)a > (s32)b ? a : b; }
SK_HERE bool lt_s32(u32 a, u32 b) { return (s32)a < (s32)b; }

/* Products of signed 16-bit fractions, rounded. */
SK_HERE u32 mulr_16x2(u32 a, u32 b)
{
    const u32 lo = sra_u32(a << 16, 16) * sra_u32(b << 16, 16);
    const u32 hi = sra_u32(a, 16) * sra_u32(b, 16);
    return (sra_u32(lo + 0x4000u, 15) & 0xffffu) | sra_u32(hi + 0x4000u, 15) << 16;
}

/* b when either is NaN. */
SK_HERE float min_f32(float a, float b) { return a < b ? a : b; }
SK_HERE float max_f32(float a, float b) { return a > b ? a : b; }

/* On bits: neg and abs of PTX leave open what becomes of a NaN. */
SK_HERE float abs_f32(float a) { return float_of(bits_of(a) & 0x7fffffffu); }
SK_HERE float neg_f32(float a) { return float_of(bits_of(a) ^ 0x80000000u); }

/* ---- conversions, in C ------------------------------------------------------------------ */

/* 0x80000000 for NaN and what no s32 holds (cvt gives 0 and the nearest). */
SK_HERE u32 f32_to_s32(float a)
{
    const float r = rint_f32(a);
    return r >= -2147483648.0f && r < 2147483648.0f ? (u32)(s32)r : 0x80000000u;
}

SK_HERE float f16_lo(u32 a) { return f16_to_f32((u16)a); }
SK_HERE float f16_hi(u32 a) { return f16_to_f32((u16)(a >> 16)); }

#if __CUDA_ARCH__ >= 800
SK_HERE u32 pack_bf16(float a, float b)
{
    u32 d;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(d) : "f"(b), "f"(a));
    return d;
}
#else
SK_HERE u32 to_bf16(float a)
{
    const u32 u = bits_of(a);
    return (u & 0x7fffffffu) > 0x7f800000u ? u >> 16 | 0x40u
                                           : (u + 0x7fffu + (u >> 16 & 1u)) >> 16;
}

SK_HERE u32 pack_bf16(float a, float b) { return to_bf16(a) | to_bf16(b) << 16; }
#endif

/* ---- packed words, in C ---------------------------------------------------------------- */

SK_HERE u32 sra_16x2(u32 a, u32 by)
{
    return (sra_u32(a << 16, by) >> 16) | (sra_u32(a, by) & 0xffff0000u);
}

SK_HERE float dot2_bf16(float a, u32 b, u32 c)
{
    const float lo = fma_rn(float_of(b << 16), float_of(c << 16), a);
    return fma_rn(float_of(b & 0xffff0000u), float_of(c & 0xffff0000u), lo);
}

SK_HERE u32 umin_16x2(u32 a, u32 b)
{
    const u32 x = a & 0xffffu, y = b & 0xffffu;
    return (x < y ? x : y) | ((a < b ? a : b) & 0xffff0000u);
}
SK_HERE u32 umax_16x2(u32 a, u32 b)
{
    const u32 x = a & 0xffffu, y = b & 0xffffu;
    return (x < y ? y : x) | ((a < b ? b : a) & 0xffff0000u);
}
SK_HERE u32 smax_16x2(u32 a, u32 b)
{
    return umax_16x2(a ^ 0x80008000u, b ^ 0x80008000u) ^ 0x80008000u;
}

SK_HERE u32 add_16x2(u32 a, u32 b)
{
    return ((a & 0x7fff7fffu) + (b & 0x7fff7fffu)) ^ ((a ^ b) & 0x80008000u);
}

/* a + the products of the signed 16-bit halves. */
SK_HERE u32 dot2(u32 a, u32 b, u32 c)
{
    const s32 lo = (s32)(short)b * (s32)(short)c;
    const s32 hi = ((s32)b >> 16) * ((s32)c >> 16);
    return a + (u32)lo + (u32)hi;
}

/* ---- across the warp, in C --------------------------------------------------------------- */

SK_HERE float shfl_f32(float v, u32 from) { return float_of(shfl_u32(bits_of(v), from)); }

SK_HERE float shfl_xor_f32(float v, u32 mask) { return float_of(shfl_xor_u32(bits_of(v), mask)); }

/* The butterfly 16, 8, 4, 2, 1: the order of the sum is fixed. */
SK_HERE float warp_sum_f32(float v)
{
    for (u32 s = 16; s; s /= 2)
        v = v + shfl_xor_f32(v, s);
    return shfl_f32(v, 0);
}

/* max_f32 is not symmetric (NaN, zeros): what counts is lane 0. */
SK_HERE float warp_max_f32(float v)
{
    for (u32 s = 16; s; s /= 2)
        v = max_f32(v, shfl_xor_f32(v, s));
    return shfl_f32(v, 0);
}

#if __CUDA_ARCH__ >= 800
SK_HERE u32 warp_sum_u32(u32 v) { return __reduce_add_sync(SK_ALL_LANES, v); }
SK_HERE u32 warp_min_u32(u32 v) { return __reduce_min_sync(SK_ALL_LANES, v); }
SK_HERE u32 warp_max_u32(u32 v) { return __reduce_max_sync(SK_ALL_LANES, v); }
#else
SK_HERE u32 warp_sum_u32(u32 v)
{
    for (u32 s = 16; s; s /= 2)
        v += shfl_xor_u32(v, s);
    return v;
}

SK_HERE u32 warp_min_u32(u32 v)
{
    for (u32 s = 16; s; s /= 2)
        v = min_u32(v, shfl_xor_u32(v, s));
    return v;
}

SK_HERE u32 warp_max_u32(u32 v)
{
    for (u32 s = 16; s; s /= 2)
        v = max_u32(v, shfl_xor_u32(v, s));
    return v;
}
#endif

SK_HERE u32 saturate_s16(u32 a) { return max_s32(min_s32(a, 32767u), 0xffff8000u) & 0xffffu; }

/* Two sums of two products of unsigned bytes of a and signed ones of b. */
SK_HERE u32 madd_8(u32 a, u32 b)
{
    const u32 low = dot4_us(0, a, b & 0xffffu), high = dot4_us(0, a, b & 0xffff0000u);
    return saturate_s16(low) | saturate_s16(high) << 16;
}

/* Lane i of the lower half: a[2i], a[2i + 1] as signed 16 bits; the upper half
 * the same of b. */
SK_HERE u32 pack_s16(u32 a, u32 b)
{
    const u32 from = lane_index() * 2;
    const u32 a0 = shfl_u32(a, from), a1 = shfl_u32(a, from + 1);
    const u32 b0 = shfl_u32(b, from), b1 = shfl_u32(b, from + 1);
    const bool low = lane_index() < 16;
    return saturate_s16(low ? a0 : b0) | saturate_s16(low ? a1 : b1) << 16;
}

/* The low 4 bits of each byte of codes pick one of the 16 bytes that table has in
 * the lane's aligned group of 4. */
SK_HERE u32 lut16(u32 table, u32 codes)
{
    const u32 first = lane_index() & ~3u;
    const u32 t0 = shfl_u32(table, first), t1 = shfl_u32(table, first + 1);
    const u32 t2 = shfl_u32(table, first + 2), t3 = shfl_u32(table, first + 3);
    const u32 sel = (codes & 7u) | (codes >> 4 & 0x70u) | (codes >> 8 & 0x700u)
                    | (codes >> 12 & 0x7000u);
    const u32 upper = (codes >> 3 & 0x01010101u) * 255u;
    return (prmt(t0, t1, sel) & ~upper) | (prmt(t2, t3, sel) & upper);
}

/* In each aligned group of 4 lanes: bytes of a and b in turn, of the first or the
 * second 8 bytes of the group. */
SK_HERE u32 zip8(u32 a, u32 b, u32 second)
{
    const u32 at = lane_index() % 4, from = (lane_index() & ~3u) + second * 2 + at / 2;
    return prmt(shfl_u32(a, from), shfl_u32(b, from), at % 2 ? 0x7362u : 0x5140u);
}

/* The same with halves. */
SK_HERE u32 zip16(u32 a, u32 b, u32 second)
{
    const u32 at = lane_index() % 4, from = (lane_index() & ~3u) + second * 2 + at / 2;
    return prmt(shfl_u32(a, from), shfl_u32(b, from), at % 2 ? 0x7632u : 0x5410u);
}

/* Bytes of b where bit 7 of those of a is set, else of c. */
SK_HERE u32 sel8(u32 a, u32 b, u32 c)
{
    const u32 yes = prmt(a, 0, 0xba98u);
    return (b & yes) | (c & ~yes);
}

/* Byte k of the warp's a, one for each byte of `which`; perm8x2: of a, then b. */
SK_HERE u32 perm8(u32 a, u32 which)
{
    u32 d = 0;
    for (u32 k = 0; k < 32; k += 8) {
        const u32 at = which >> k & 127u;
        d |= (shfl_u32(a, at / 4) >> at % 4 * 8 & 0xffu) << k;
    }
    return d;
}

SK_HERE u32 perm8x2(u32 a, u32 b, u32 which)
{
    const u32 x = perm8(b, which), y = perm8(a, which);
    return sel8(which, x, y);
}

/* The same with halves. */
SK_HERE u32 perm16(u32 a, u32 which)
{
    const u32 lo = which & 63u, hi = which >> 16 & 63u;
    const u32 x = shfl_u32(a, lo / 2) >> lo % 2 * 16, y = shfl_u32(a, hi / 2) >> hi % 2 * 16;
    return (x & 0xffffu) | y << 16;
}

SK_HERE u32 perm16x2(u32 a, u32 b, u32 which)
{
    const u32 x = perm16(b, which), y = perm16(a, which);
    const u32 yes = (which >> 6 & 0x00010001u) * 0xffffu;
    return (x & yes) | (y & ~yes);
}

/* 8 bits of the 64 in a pair of lanes, for each byte of `from` those that begin at
 * that bit. */
SK_HERE u32 field8(u32 a, u32 from)
{
    const u32 lo = shfl_u32(a, lane_index() & ~1u), hi = shfl_u32(a, lane_index() | 1u);
    u32 d = 0;
    for (u32 k = 0; k < 32; k += 8) {
        const u32 s = from >> k & 63u;
        const u64 both = s < 32 ? lo | (u64)hi << 32 : hi | (u64)lo << 32;
        d |= ((u32)(both >> s % 32) & 0xffu) << k;
    }
    return d;
}

SK_HERE u32 saturate_u8(u32 half) { return max_s32(min_s32(sra_u32(half << 16, 16), 255u), 0); }

/* As pack_s16, of signed halves to bytes. */
SK_HERE u32 pack_u8(u32 a, u32 b)
{
    const u32 from = lane_index() * 2;
    const u32 a0 = shfl_u32(a, from), a1 = shfl_u32(a, from + 1);
    const u32 b0 = shfl_u32(b, from), b1 = shfl_u32(b, from + 1);
    const bool low = lane_index() < 16;
    const u32 x = low ? a0 : b0, y = low ? a1 : b1;
    return saturate_u8(x) | saturate_u8(x >> 16) << 8 | saturate_u8(y) << 16 | saturate_u8(y >> 16) << 24;
}

/* ---- memory, in C -------------------------------------------------------------------------- */

SK_HERE float ld_f32(const void *p) { return float_of(ld_u32(p)); }
SK_HERE float ld_f16(const void *p) { return f16_to_f32((u16)ld_u16(p)); }
SK_HERE float ld_bf16(const void *p) { return float_of(ld_u16(p) << 16); }
/* Two signed bytes as 16-bit halves. */
SK_HERE u32 ld_s8x2(const void *p) { return prmt(ld_u16(p), 0, 0x9180u); }
SK_HERE void st_f32(void *p, float x) { st_u32(p, bits_of(x)); }
SK_HERE void stream_f32(void *p, float x) { stream_u32(p, bits_of(x)); }

/* *p += x for the whole warp, once; the old value. Acquire and release at the
 * scope of the device. What every lane stored goes before it (the __syncwarp in
 * front hands it to lane 0), what other warps of the block stored does when a
 * block barrier lies between: both barriers and this operation are links of the
 * causality order of PTX, in which a release is cumulative, so lane 0 releases
 * what others wrote before it met them and no __threadfence by each is needed.
 * Behind it the same holds for the acquire, for the warp at once, for others
 * behind the next barrier. */
SK_HERE u32 atom_add(void *p, u32 x)
{
    u32 old = 0;
    __syncwarp();
    if (lane_index() == 0)
        old = atom_add_here(p, x);
    __syncwarp();
    return shfl_u32(old, 0);
}
