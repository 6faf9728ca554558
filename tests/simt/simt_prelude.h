/* simt_prelude.h - the twin of gen/prelude.cuh: its first part, the words that are
 * one instruction on a GPU, in C17 on the machine; its second part is included as
 * it is. Emitted text is compiled behind this, one module's files all together.
 *
 * Behind the functions stand macros of the same names for what meets, or touches
 * memory: they note the line of the text, for messages and so that lanes which
 * meet at different lines are seen. */
#ifndef SK_SIMT_PRELUDE_H
#define SK_SIMT_PRELUDE_H

#include <math.h>
#include <string.h>

#include "simt_machine.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef int32_t s32;
typedef unsigned long long u64;
typedef struct quad {
    u32 x, y, z, w;
} quad;

#define SK_TWIN 1
#define SK_HERE static inline
#define EXTERN_C static
#define SCRATCH(name) u8 *const name = simt->now->shared
#define SIMT_SEEN __attribute__((visibility("default")))
#define __global__
#define __launch_bounds__(...)

extern simt_machine *simt; /* of the module */

/* ---- where we are ----------------------------------------------------------------- */

static inline u32 lane_index(void) { return simt->now->lane; }
static inline u32 warp_index(void) { return simt->now->warp; }
static inline u32 block_index(u32 dimension) { return simt->now->block[dimension]; }
static inline void __syncwarp(void) { (void)simt->meet(SIMT_SYNCWARP, NULL, 0); }
static inline void __syncthreads(void) { (void)simt->meet(SIMT_BARRIER, NULL, 0); }

/* ---- floats ------------------------------------------------------------------------ */

static inline u32 bits_of(float x)
{
    u32 u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float float_of(u32 u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}
static inline float simt_f32(u32 u) { return float_of(u); }

static inline float mul_rn(float a, float b) { return a * b; }
static inline float fma_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline float div_rn(float a, float b) { return a / b; }
static inline float sqrt_rn(float a) { return sqrtf(a); }
static inline float rint_f32(float a) { return rintf(a); }

/* Subnormal results are zero, as those of the instruction are. */
static inline float exp2_f32(float a)
{
    const float r = exp2f(a);
    return r < 0x1p-126f ? 0 : r;
}
static inline float log2_f32(float a) { return log2f(a); }

static inline float s32_to_f32(u32 a) { return (float)(s32)a; }
static inline float f16_to_f32(u16 h) { return simt->f16_to_f32(h); }
static inline u32 pack_f16(float a, float b)
{
    return simt->f32_to_f16(a) | (u32)simt->f32_to_f16(b) << 16;
}

/* ---- packed words -------------------------------------------------------------------- */

static inline u32 prmt(u32 a, u32 b, u32 sel)
{
    const unsigned long long bytes = a | (unsigned long long)b << 32;
    u32 d = 0;
    for (u32 k = 0; k < 4; k++) {
        const u32 pick = sel >> 4 * k & 15, byte = (u32)(bytes >> 8 * (pick & 7)) & 255;
        d |= (pick & 8 ? byte >> 7 ? 255u : 0 : byte) << 8 * k;
    }
    return d;
}

static inline u32 dot4(u32 a, u32 b, u32 c)
{
    for (u32 k = 0; k < 32; k += 8)
        a += (u32)((int8_t)(b >> k) * (int8_t)(c >> k));
    return a;
}

static inline u32 dot4_us(u32 a, u32 b, u32 c)
{
    for (u32 k = 0; k < 32; k += 8)
        a += (u32)((int)(b >> k & 255) * (int8_t)(c >> k));
    return a;
}

static inline u32 add_f16x2(u32 a, u32 b) { return simt->add_f16x2(a, b); }
static inline u32 mul_f16x2(u32 a, u32 b) { return simt->mul_f16x2(a, b); }
static inline u32 fma_f16x2(u32 a, u32 b, u32 c) { return simt->fma_f16x2(a, b, c); }

/* ---- across the warp ------------------------------------------------------------------- */

static inline u32 shfl_u32(u32 v, u32 from)
{
    return (*simt->meet(SIMT_SHUFFLE, &v, 1))[from % SIMT_LANES][0];
}

static inline u32 shfl_xor_u32(u32 v, u32 mask) { return shfl_u32(v, lane_index() ^ mask); }

static inline bool warp_any(bool p)
{
    const u32 mine = p;
    const simt_words *const all = simt->meet(SIMT_VOTE, &mine, 1);
    for (u32 i = 0; i < SIMT_LANES; i++)
        p |= (*all)[i][0] != 0;
    return p;
}

/* Row r of the matrix is in lanes 4r .. 4r + 3; the result's row is a column. */
static inline u32 movm(u32 a)
{
    const simt_words *const all = simt->meet(SIMT_MOVMATRIX, &a, 1);
    const u32 column = lane_index() / 4, row = lane_index() % 4 * 2, half = column % 2 * 16;
    const u32 lo = (*all)[4 * row + column / 2][0] >> half & 0xffff;
    const u32 hi = (*all)[4 * row + 4 + column / 2][0] >> half & 0xffff;
    return lo | hi << 16;
}

/* ---- quads and tensor cores ------------------------------------------------------------ */

static inline quad make_quad(u32 x, u32 y, u32 z, u32 w) { return (quad){x, y, z, w}; }

/* Element (row, k) of a and (k, column) of b, from the fragments of all lanes: words
 * 0 to 3 are a's, 4 and 5 b's. */
static inline double simt_a(const simt_words *all, u32 row, u32 k, bool bf16)
{
    const u32 word = (*all)[row % 8 * 4 + k % 8 / 2][row / 8 + k / 8 * 2];
    const u16 bits = (u16)(word >> k % 2 * 16);
    return (double)(bf16 ? float_of((u32)bits << 16) : f16_to_f32(bits));
}

static inline double simt_b(const simt_words *all, u32 k, u32 column, bool bf16)
{
    const u32 word = (*all)[column * 4 + k % 8 / 2][4 + k / 8];
    const u16 bits = (u16)(word >> k % 2 * 16);
    return (double)(bf16 ? float_of((u32)bits << 16) : f16_to_f32(bits));
}

/* The lane's four elements: rows g and g + 8, columns 2t and 2t + 1. */
static inline quad simt_mma(quad a, u32 b0, u32 b1, quad c, bool bf16)
{
    const u32 words[] = {a.x, a.y, a.z, a.w, b0, b1};
    const simt_words *const all = simt->meet(SIMT_MMA, words, 6);
    u32 d[4] = {c.x, c.y, c.z, c.w};
    for (u32 j = 0; j < 4; j++) {
        const u32 row = lane_index() / 4 + j / 2 * 8, column = lane_index() % 4 * 2 + j % 2;
        double sum = (double)float_of(d[j]);
        for (u32 k = 0; k < 16; k++)
            sum += simt_a(all, row, k, bf16) * simt_b(all, k, column, bf16);
        d[j] = bits_of((float)sum);
    }
    return make_quad(d[0], d[1], d[2], d[3]);
}

static inline quad mma_f16(quad a, u32 b0, u32 b1, quad c) { return simt_mma(a, b0, b1, c, false); }
static inline quad mma_bf16(quad a, u32 b0, u32 b1, quad c) { return simt_mma(a, b0, b1, c, true); }

/* ---- memory ----------------------------------------------------------------------------- */

static inline u32 ld_u32(const void *p)
{
    u32 x;
    memcpy(&x, simt->load(p, sizeof x), sizeof x);
    return x;
}

static inline u32 ld_u16(const void *p)
{
    u16 x;
    memcpy(&x, simt->load(p, sizeof x), sizeof x);
    return x;
}

static inline u32 ld_u8(const void *p) { return *(const u8 *)simt->load(p, 1); }
static inline u32 ld_s8(const void *p) { return (u32)(s32) * (const int8_t *)simt->load(p, 1); }

static inline quad ld_quad(const void *p)
{
    quad x;
    memcpy(&x, simt->load(p, sizeof x), sizeof x);
    return x;
}

static inline void st_u32(void *p, u32 x) { memcpy(simt->store(p, sizeof x), &x, sizeof x); }
static inline void st_quad(void *p, quad x) { memcpy(simt->store(p, sizeof x), &x, sizeof x); }
static inline void stream_u32(void *p, u32 x) { st_u32(p, x); }
static inline void prefetch(const void *p) { (void)p; }

static inline void cp_async(void *to, const void *from) { simt->copy(to, from); }
static inline void cp_async_commit(void) { simt->copy_commit(); }
static inline void cp_async_wait(u32 under_way)
{
    simt->copy_wait(under_way);
    __syncwarp();
}

static inline u32 atom_add_here(void *p, u32 x) { return simt->atomic_add(p, x); }

#include "prelude.cuh"

/* ---- the same with the line of the text ---------------------------------------------------- */

#define SIMT_AT(call) (simt->now->line = __LINE__, call)
#define __syncwarp() SIMT_AT(__syncwarp())
#define __syncthreads() SIMT_AT(__syncthreads())
#define shfl_u32(v, from) SIMT_AT(shfl_u32(v, from))
#define shfl_f32(v, from) SIMT_AT(shfl_f32(v, from))
#define shfl_xor_u32(v, mask) SIMT_AT(shfl_xor_u32(v, mask))
#define shfl_xor_f32(v, mask) SIMT_AT(shfl_xor_f32(v, mask))
#define warp_sum_f32(v) SIMT_AT(warp_sum_f32(v))
#define warp_max_f32(v) SIMT_AT(warp_max_f32(v))
#define warp_sum_u32(v) SIMT_AT(warp_sum_u32(v))
#define warp_min_u32(v) SIMT_AT(warp_min_u32(v))
#define warp_max_u32(v) SIMT_AT(warp_max_u32(v))
#define warp_any(p) SIMT_AT(warp_any(p))
#define pack_s16(a, b) SIMT_AT(pack_s16(a, b))
#define lut16(table, codes) SIMT_AT(lut16(table, codes))
#define zip8(a, b, second) SIMT_AT(zip8(a, b, second))
#define zip16(a, b, second) SIMT_AT(zip16(a, b, second))
#define pack_u8(a, b) SIMT_AT(pack_u8(a, b))
#define perm8(a, which) SIMT_AT(perm8(a, which))
#define perm8x2(a, b, which) SIMT_AT(perm8x2(a, b, which))
#define perm16(a, which) SIMT_AT(perm16(a, which))
#define perm16x2(a, b, which) SIMT_AT(perm16x2(a, b, which))
#define field8(a, from) SIMT_AT(field8(a, from))
#define movm(a) SIMT_AT(movm(a))
#define mma_f16(a, b0, b1, c) SIMT_AT(mma_f16(a, b0, b1, c))
#define mma_bf16(a, b0, b1, c) SIMT_AT(mma_bf16(a, b0, b1, c))
#define ld_u32(p) SIMT_AT(ld_u32(p))
#define ld_f32(p) SIMT_AT(ld_f32(p))
#define ld_u8(p) SIMT_AT(ld_u8(p))
#define ld_s8(p) SIMT_AT(ld_s8(p))
#define ld_u16(p) SIMT_AT(ld_u16(p))
#define ld_f16(p) SIMT_AT(ld_f16(p))
#define ld_bf16(p) SIMT_AT(ld_bf16(p))
#define ld_s8x2(p) SIMT_AT(ld_s8x2(p))
#define ld_quad(p) SIMT_AT(ld_quad(p))
#define st_u32(p, x) SIMT_AT(st_u32(p, x))
#define st_f32(p, x) SIMT_AT(st_f32(p, x))
#define st_quad(p, x) SIMT_AT(st_quad(p, x))
#define stream_u32(p, x) SIMT_AT(stream_u32(p, x))
#define stream_f32(p, x) SIMT_AT(stream_f32(p, x))
#define cp_async(to, from) SIMT_AT(cp_async(to, from))
#define cp_async_wait(n) SIMT_AT(cp_async_wait(n))
#define atom_add_here(p, x) SIMT_AT(atom_add_here(p, x))
#define atom_add(p, x) SIMT_AT(atom_add(p, x))

#endif
