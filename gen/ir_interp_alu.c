/* ir_interp_alu.c - what each arithmetic op means, one line each. This file and
 * ir_interp_mem.c are the definition that the compiled back ends are held to,
 * so it is written to be read: no tricks, plain C, contraction off. */
#include <math.h>
#include <string.h>

#include "ir_interp.h"

static inline float as_f(uint32_t x)
{
    float f;
    memcpy(&f, &x, sizeof f);
    return f;
}

static inline uint32_t as_u(float f)
{
    uint32_t x;
    memcpy(&x, &f, sizeof x);
    return x;
}

static uint32_t sra(uint32_t x, uint32_t n)
{
    const uint32_t by = n < 31 ? n : 31;
    const uint32_t fill = x >> 31 ? ~(UINT32_MAX >> by) : 0;
    return x >> by | fill;
}

static uint32_t f2i(float x)
{
    const float r = rintf(x);
    if (!(r >= -2147483648.0f && r < 2147483648.0f))
        return 0x80000000u;
    return (uint32_t)(int32_t)r;
}

static uint32_t pack16(uint32_t lo, uint32_t hi)
{
    return (lo & 0xffffu) | hi << 16;
}

/* A signed 16-bit half, sign-extended. */
static uint32_t s16(uint32_t half)
{
    return (uint32_t)(int32_t)(int16_t)(half & 0xffffu);
}

static uint32_t saturate16(uint32_t x)
{
    const int32_t s = (int32_t)x;
    return (uint32_t)(s < -32768 ? -32768 : s > 32767 ? 32767 : s);
}

static uint32_t add16x2(uint32_t a, uint32_t b)
{
    return pack16(a + b, (a >> 16) + (b >> 16));
}

static uint32_t umin16(uint32_t a, uint32_t b) { return a < b ? a : b; }
static uint32_t umax16(uint32_t a, uint32_t b) { return a < b ? b : a; }
static uint32_t smax16(uint32_t a, uint32_t b) { return (int16_t)a < (int16_t)b ? b : a; }

static uint32_t twice(uint32_t of(uint32_t, uint32_t), uint32_t a, uint32_t b)
{
    return pack16(of(a & 0xffffu, b & 0xffffu), of(a >> 16, b >> 16));
}

static uint32_t mulr16x2(uint32_t a, uint32_t b)
{
    const int32_t lo = (int16_t)a * (int16_t)b, hi = (int16_t)(a >> 16) * (int16_t)(b >> 16);
    return pack16(sra((uint32_t)(lo + 0x4000), 15), sra((uint32_t)(hi + 0x4000), 15));
}

static uint32_t madd8(uint32_t a, uint32_t b)
{
    int32_t sum[2] = {0};
    for (uint32_t k = 0; k < 4; k++)
        sum[k / 2] += (int32_t)(a >> 8 * k & 0xffu) * (int32_t)(int8_t)(b >> 8 * k & 0xffu);
    return pack16(saturate16((uint32_t)sum[0]), saturate16((uint32_t)sum[1]));
}

static uint32_t dot2(uint32_t a, uint32_t b, uint32_t c)
{
    return a + s16(b) * s16(c) + s16(b >> 16) * s16(c >> 16);
}

static uint32_t dot4(uint32_t a, uint32_t b, uint32_t c)
{
    for (uint32_t k = 0; k < 32; k += 8)
        a += (uint32_t)((int32_t)(int8_t)(b >> k & 0xffu) * (int32_t)(int8_t)(c >> k & 0xffu));
    return a;
}

static uint32_t dot4us(uint32_t a, uint32_t b, uint32_t c)
{
    for (uint32_t k = 0; k < 32; k += 8)
        a += (uint32_t)((int32_t)(b >> k & 0xffu) * (int32_t)(int8_t)(c >> k & 0xffu));
    return a;
}

static uint32_t sel8(uint32_t a, uint32_t b, uint32_t c)
{
    const uint32_t yes = (a >> 7 & 0x01010101u) * 0xffu;
    return (b & yes) | (c & ~yes);
}

static uint32_t sra16x2(uint32_t a, uint32_t n)
{
    return pack16(sra(s16(a), n), sra(s16(a >> 16), n));
}

static float bdot2(float a, uint32_t b, uint32_t c)
{
    const double lo = (double)as_f(b << 16) * (double)as_f(c << 16);
    const double hi = (double)as_f(b & 0xffff0000u) * (double)as_f(c & 0xffff0000u);
    return (float)((double)a + lo + hi);
}

static uint32_t prmt(uint32_t a, uint32_t b, uint32_t sel)
{
    uint32_t r = 0;
    for (uint32_t k = 0; k < 4; k++) {
        const uint32_t nibble = sel >> (4 * k) & 15u, n = nibble & 3u;
        const uint32_t byte = (nibble & 4u ? b : a) >> (8 * n) & 0xffu;
        const uint32_t sign = byte >> 7 ? 0xffu : 0;
        r |= (nibble & 8u ? sign : byte) << (8 * k);
    }
    return r;
}

/* One case: x, y, z are the arguments of lane i as bits, X, Y, Z as floats. */
#define ONE(NAME, value)                                                                           \
    case SK_OP_##NAME:                                                                             \
        for (uint32_t i = 0; i < n; i++) {                                                         \
            const uint32_t x = a[i * sa];                                                          \
            d[i] = (value);                                                                        \
        }                                                                                          \
        return true;
#define TWO(NAME, value)                                                                           \
    case SK_OP_##NAME:                                                                             \
        for (uint32_t i = 0; i < n; i++) {                                                         \
            const uint32_t x = a[i * sa], y = b[i * sb];                                           \
            d[i] = (value);                                                                        \
        }                                                                                          \
        return true;
#define THREE(NAME, value)                                                                         \
    case SK_OP_##NAME:                                                                             \
        for (uint32_t i = 0; i < n; i++) {                                                         \
            const uint32_t x = a[i * sa], y = b[i * sb], z = c[i * sc];                            \
            d[i] = (value);                                                                        \
        }                                                                                          \
        return true;
#define X as_f(x)
#define Y as_f(y)
#define Z as_f(z)

/* Arguments and destination, spelled once for all functions below. */
#define OPERANDS                                                                                   \
    const uint32_t n = in->n;                                                                      \
    uint32_t *const d = word + in->dst;                                                            \
    const uint32_t *const a = word + in->src[0], *const b = word + in->src[1];                     \
    const uint32_t sa = in->stride[0], sb = in->stride[1]

static bool integers(const interp_instr *in, uint32_t *word)
{
    OPERANDS;
    switch (in->op) {
        TWO(ADD, x + y)
        TWO(SUB, x - y)
        TWO(MUL, x *y)
        TWO(UDIV, y ? x / y : UINT32_MAX)
        TWO(UREM, y ? x % y : x)
        TWO(AND, x &y)
        TWO(OR, x | y)
        TWO(XOR, x ^ y)
        TWO(SHL, y < 32 ? x << y : 0)
        TWO(SHR, y < 32 ? x >> y : 0)
        TWO(SRA, sra(x, y))
        TWO(UMIN, x < y ? x : y)
        TWO(UMAX, x > y ? x : y)
        TWO(SMIN, (int32_t)x < (int32_t)y ? x : y)
        TWO(SMAX, (int32_t)x > (int32_t)y ? x : y)
        TWO(EQ, x == y)
        TWO(NE, x != y)
        TWO(ULT, x < y)
        TWO(ULE, x <= y)
        TWO(SLT, (int32_t)x < (int32_t)y)
        TWO(PAND, x &y)
        TWO(POR, x | y)
        ONE(PNOT, !x)
        TWO(ADD16X2, add16x2(x, y))
        ONE(HIDE, x)
        TWO(UMIN16X2, twice(umin16, x, y))
        TWO(UMAX16X2, twice(umax16, x, y))
        TWO(SMAX16X2, twice(smax16, x, y))
        TWO(MULR16X2, mulr16x2(x, y))
        TWO(MADD8, madd8(x, y))
        TWO(HADD2, sk_interp_hadd2(x, y))
        TWO(HMUL2, sk_interp_hmul2(x, y))
    default: return false;
    }
}

static bool floats(const interp_instr *in, uint32_t *word)
{
    OPERANDS;
    switch (in->op) {
        TWO(FADD, as_u(X + Y))
        TWO(FSUB, as_u(X - Y))
        TWO(FMUL, as_u(X *Y))
        TWO(FDIV, as_u(X / Y))
        ONE(FSQRT, as_u(sqrtf(X)))
        TWO(FMIN, X < Y ? x : y)
        TWO(FMAX, X > Y ? x : y)
        ONE(FABS, x & 0x7fffffffu)
        ONE(FNEG, x ^ 0x80000000u)
        ONE(FRINT, as_u(rintf(X)))
        ONE(EXP2, as_u((float)exp2((double)X)))
        ONE(LOG2, as_u((float)log2((double)X)))
        TWO(FLT, X < Y)
        TWO(FLE, X <= Y)
        TWO(FEQ, X == Y)
    default: return false;
    }
}

static bool conversions(const interp_instr *in, uint32_t *word)
{
    OPERANDS;
    switch (in->op) {
        ONE(GET, x)
        ONE(VAR, x)
        ONE(BITS, x)
        ONE(SRA16X2, sra16x2(x, in->imm))
        ONE(FLOAT, x)
        ONE(I2F, as_u((float)(int32_t)x))
        ONE(F2I, f2i(X))
        ONE(F16LO, as_u(sk_f16_to_f32((uint16_t)x)))
        ONE(F16HI, as_u(sk_f16_to_f32((uint16_t)(x >> 16))))
        TWO(PACKF16, pack16(sk_f32_to_f16(X), sk_f32_to_f16(Y)))
        TWO(PACKBF16, pack16(sk_f32_to_bf16(X), sk_f32_to_bf16(Y)))
    default: return false;
    }
}

static bool of_three(const interp_instr *in, uint32_t *word)
{
    OPERANDS;
    const uint32_t *const c = word + in->src[2];
    const uint32_t sc = in->stride[2];
    switch (in->op) {
        THREE(FMA, as_u(fmaf(X, Y, Z)))
        THREE(SELECT, x ? y : z)
        THREE(DOT2, dot2(x, y, z))
        THREE(DOT4, dot4(x, y, z))
        THREE(DOT4US, dot4us(x, y, z))
        THREE(SEL8, sel8(x, y, z))
        THREE(BDOT2, as_u(bdot2(X, y, z)))
        THREE(PRMT, prmt(x, y, z))
        THREE(HFMA2, sk_interp_hfma2(x, y, z))
    default: return false;
    }
}

/* ---- across lanes ------------------------------------------------------------------ */

static uint32_t reduce_pair(uint32_t op, uint32_t x, uint32_t y)
{
    switch (op) {
    case SK_OP_RED_FADD: return as_u(X + Y);
    case SK_OP_RED_FMAX: return X > Y ? x : y;
    case SK_OP_RED_UADD: return x + y;
    case SK_OP_RED_UMIN: return x < y ? x : y;
    default: return x > y ? x : y; /* RED_UMAX */
    }
}

static uint32_t reduce(uint32_t op, uint32_t w, const uint32_t *a)
{
    uint32_t v[SK_INTERP_LANES], next[SK_INTERP_LANES];
    memcpy(v, a, w * sizeof *v);
    for (uint32_t s = w / 2; s; s /= 2) {
        for (uint32_t i = 0; i < w; i++)
            next[i] = reduce_pair(op, v[i], v[i ^ s]);
        memcpy(v, next, w * sizeof *v);
    }
    return v[0];
}

/* Two elements a lane: the one at (row, column) goes to (column, row). */
static void movm(const uint32_t *a, uint32_t *d)
{
    for (uint32_t i = 0; i < 32; i++) {
        const uint32_t row = i / 4, low = 2 * (i % 4);
        const uint32_t from = low * 4 + row / 2, shift = 16 * (row % 2);
        d[i] = pack16(a[from] >> shift, a[from + 4] >> shift);
    }
}

/* Of ops that look at other lanes. */
static bool across(const interp_instr *in, uint32_t w, uint32_t *word)
{
    uint32_t a[SK_INTERP_LANES], b[SK_INTERP_LANES];
    uint32_t *const d = word + in->dst;
    for (uint32_t i = 0; i < w && in->nargs > 0; i++)
        a[i] = word[in->src[0] + i * in->stride[0]];
    for (uint32_t i = 0; i < w && in->nargs > 1; i++)
        b[i] = word[in->src[1] + i * in->stride[1]];
    switch (in->op) {
    case SK_OP_PACK16:
        for (uint32_t i = 0; i < w; i++) {
            const uint32_t *const from = (i < w / 2 ? a : b) + i % (w / 2) * 2;
            d[i] = pack16(saturate16(from[0]), saturate16(from[1]));
        }
        return true;
    case SK_OP_SHUFFLE:
        for (uint32_t i = 0; i < w; i++)
            d[i] = a[b[i] % w];
        return true;
    case SK_OP_EXTRACT: *d = a[in->imm]; return true;
    case SK_OP_MOVM: movm(a, d); return true;
    case SK_OP_ANY:
        *d = 0;
        for (uint32_t i = 0; i < w; i++)
            *d |= a[i];
        return true;
    case SK_OP_RED_FADD:
    case SK_OP_RED_FMAX:
    case SK_OP_RED_UADD:
    case SK_OP_RED_UMIN:
    case SK_OP_RED_UMAX: *d = reduce(in->op, w, a); return true;
    default: return false;
    }
}

/* ---- all of them ------------------------------------------------------------------- */

bool sk_interp_alu(const interp_instr *in, uint32_t w, uint32_t *word)
{
    if (in->nargs == 3)
        return of_three(in, word) || sk_interp_bytes(in, w, word);
    return integers(in, word) || floats(in, word) || conversions(in, word)
           || across(in, w, word) || sk_interp_bytes(in, w, word);
}
