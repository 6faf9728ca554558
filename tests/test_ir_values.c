/* test_ir_values.c - what each op means, as numbers written down by hand: the
 * interpreter is the definition, so these rows are what holds the definition
 * itself. Every row runs in W = 4, 8, 16 and 32, by lanes and uniform. */
#include "sk_test.h"

#include <math.h>

#include "ir.h"

#define NAN_BITS 0x7fc00000u
#define INF_BITS 0x7f800000u

typedef struct value_row {
    sk_op op;
    uint32_t x, y, z, want;
} value_row;

static uint32_t fb(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static float bf(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static bool takes_float(sk_op op)
{
    switch (op) {
    case SK_OP_FADD: case SK_OP_FSUB: case SK_OP_FMUL: case SK_OP_FMA: case SK_OP_FDIV:
    case SK_OP_FSQRT: case SK_OP_FMIN: case SK_OP_FMAX: case SK_OP_FABS: case SK_OP_FNEG:
    case SK_OP_FRINT: case SK_OP_EXP2: case SK_OP_LOG2: case SK_OP_FLT: case SK_OP_FLE:
    case SK_OP_FEQ: case SK_OP_BITS: case SK_OP_F2I: case SK_OP_PACKF16: case SK_OP_PACKBF16:
        return true;
    default: return false;
    }
}

/* Runs op on three words; the result of lane 1 (all lanes hold the same), or
 * of the uniform form. */
static uint32_t run_op(sk_op op, uint32_t imm, const uint32_t xyz[3], uint32_t w, bool lanes)
{
    sk_arena arena = {0};
    sk_builder b;
    sk_program *program = NULL;
    sk_err err = {0};
    uint32_t in[3 * 32], out[32] = {0};
    for (uint32_t k = 0; k < 3 * 32; k++)
        in[k] = xyz[k / 32];
    sk_ir_begin(&b, &arena, "value", w, 1);
    const sk_val src = sk_ir_param_ptr(&b, "in", false), dst = sk_ir_param_ptr(&b, "out", true);
    const sk_val zero = sk_ir_u32(&b, 0);
    const sk_ld_kind kind = takes_float(op) ? SK_LD_F32 : SK_LD_U32;
    const bool pred = op == SK_OP_PAND || op == SK_OP_POR || op == SK_OP_PNOT;
    sk_val a[3];
    for (uint32_t k = 0; k < 3; k++) {
        a[k] = lanes ? sk_ir_ldv(&b, kind, src, zero, k * 128)
                     : sk_ir_ldu(&b, kind, src, zero, k * 128);
        if (pred || (op == SK_OP_SELECT && k == 0))
            a[k] = sk_ir_2(&b, SK_OP_NE, a[k], zero);
        if (op == SK_OP_BDOT2 && k == 0)
            a[k] = sk_ir_1(&b, SK_OP_FLOAT, a[k]);
    }
    sk_val v = sk_ir_emit(&b, op, sk_op_get(op)->nargs, a, imm, 0);
    if (sk_op_get(op)->result == 'P')
        v = sk_ir_3(&b, SK_OP_SELECT, v, sk_ir_u32(&b, 1), zero);
    sk_ir_stv(&b, dst, zero, 0, v);
    sk_assert_ok(sk_ir_finish(&b, &program, &err), &err);
    const sk_interp_buffer buffer[2] = {{.data = in, .bytes = sizeof in},
                                        {.data = out, .bytes = 4 * w}};
    const sk_interp_args args = {.buffer = buffer, .grid = {1, 1, 1}};
    sk_assert_ok(sk_interp_run(program, &args, &err), &err);
    sk_arena_free(&arena);
    for (uint32_t lane = 1; lane < w; lane++)
        assert_int_equal(out[lane], out[0]);
    return out[1];
}

static bool same(sk_op op, uint32_t want, uint32_t got)
{
    if (want == got)
        return true;
    const bool nan = want == NAN_BITS && sk_op_get(op)->result == 'F';
    return nan && bf(got) != bf(got); /* any NaN is as good as another */
}

static void check_rows(const value_row *rows, size_t n)
{
    for (size_t r = 0; r < n; r++)
        for (uint32_t w = 4; w <= 64; w *= 2) { /* 64: the uniform form in W = 8 */
            const uint32_t xyz[3] = {rows[r].x, rows[r].y, rows[r].z};
            const uint32_t got = run_op(rows[r].op, 0, xyz, w == 64 ? 8 : w, w != 64);
            if (!same(rows[r].op, rows[r].want, got))
                fail_msg("row %zu, %s(%08x, %08x, %08x), W %u: %08x, want %08x", r,
                         sk_op_get(rows[r].op)->text, xyz[0], xyz[1], xyz[2], w, got,
                         rows[r].want);
        }
}

static void integers(void **state)
{
    (void)state;
    static const value_row rows[] = {
        {SK_OP_ADD, 0xffffffff, 2, 0, 1},
        {SK_OP_SUB, 1, 2, 0, 0xffffffff},
        {SK_OP_MUL, 0x10001, 0x10001, 0, 0x20001},
        {SK_OP_MUL, 0xffffffff, 0xffffffff, 0, 1},
        {SK_OP_UDIV, 0xffffffff, 2, 0, 0x7fffffff},
        {SK_OP_UDIV, 7, 0, 0, 0xffffffff},
        {SK_OP_UDIV, 0x80000000, 0xffffffff, 0, 0},
        {SK_OP_UREM, 0x80000000, 0xffffffff, 0, 0x80000000},
        {SK_OP_UREM, 17, 5, 0, 2},
        {SK_OP_UREM, 17, 0, 0, 17},
        {SK_OP_AND, 0xf0f0, 0xff00, 0, 0xf000},
        {SK_OP_OR, 0xf0f0, 0xff00, 0, 0xfff0},
        {SK_OP_XOR, 0xf0f0, 0xff00, 0, 0x0ff0},
        {SK_OP_SHL, 0x80000001, 0, 0, 0x80000001},
        {SK_OP_SHL, 3, 31, 0, 0x80000000},
        {SK_OP_SHL, 3, 32, 0, 0},
        {SK_OP_SHL, 3, 99, 0, 0},
        {SK_OP_SHL, 3, 0x80000001, 0, 0},
        {SK_OP_SHR, 0x80000001, 0, 0, 0x80000001},
        {SK_OP_SHR, 0x80000000, 31, 0, 1},
        {SK_OP_SHR, 0xffffffff, 32, 0, 0},
        {SK_OP_SHR, 0xffffffff, 99, 0, 0},
        {SK_OP_SRA, 0x80000000, 0, 0, 0x80000000},
        {SK_OP_SRA, 0x80000000, 4, 0, 0xf8000000},
        {SK_OP_SRA, 0x80000000, 31, 0, 0xffffffff},
        {SK_OP_SRA, 0x80000000, 32, 0, 0xffffffff},
        {SK_OP_SRA, 0x80000000, 99, 0, 0xffffffff},
        {SK_OP_SRA, 0x7fffffff, 99, 0, 0},
        {SK_OP_SRA, 0x40000000, 30, 0, 1},
        {SK_OP_UMIN, 0x80000000, 1, 0, 1},
        {SK_OP_UMAX, 0x80000000, 1, 0, 0x80000000},
        {SK_OP_SMIN, 0x80000000, 1, 0, 0x80000000},
        {SK_OP_SMAX, 0x80000000, 1, 0, 1},
        {SK_OP_EQ, 5, 5, 0, 1},
        {SK_OP_EQ, 5, 0x80000005, 0, 0},
        {SK_OP_NE, 5, 5, 0, 0},
        {SK_OP_ULT, 1, 0xffffffff, 0, 1},
        {SK_OP_ULT, 5, 5, 0, 0},
        {SK_OP_ULE, 5, 5, 0, 1},
        {SK_OP_ULE, 6, 5, 0, 0},
        {SK_OP_SLT, 1, 0xffffffff, 0, 0},
        {SK_OP_SLT, 0x80000000, 0x7fffffff, 0, 1},
        {SK_OP_PAND, 1, 2, 0, 1},
        {SK_OP_PAND, 1, 0, 0, 0},
        {SK_OP_POR, 0, 4, 0, 1},
        {SK_OP_POR, 0, 0, 0, 0},
        {SK_OP_PNOT, 9, 0, 0, 0},
        {SK_OP_PNOT, 0, 0, 0, 1},
        {SK_OP_SELECT, 1, 11, 22, 11},
        {SK_OP_SELECT, 0, 11, 22, 22},
    };
    check_rows(rows, SK_COUNT(rows));
}

static void floats(void **state)
{
    (void)state;
    const float tiny = 0x1p-149f, big = 0x1.fffffep127f, eps = 0x1p-23f;
    const value_row rows[] = {
        {SK_OP_FADD, fb(0.1f), fb(0.2f), 0, 0x3e99999a},
        {SK_OP_FADD, fb(1), fb(0x1p-24f), 0, fb(1)}, /* half way: to even */
        {SK_OP_FADD, fb(1 + eps), fb(0x1p-24f), 0, fb(1 + 2 * eps)},
        {SK_OP_FADD, fb(tiny), fb(tiny), 0, 2}, /* subnormals are kept */
        {SK_OP_FADD, fb(big), fb(big), 0, INF_BITS},
        {SK_OP_FADD, INF_BITS, INF_BITS | 0x80000000, 0, NAN_BITS},
        {SK_OP_FADD, 0x80000000, 0x80000000, 0, 0x80000000},
        {SK_OP_FADD, 0x80000000, 0, 0, 0},
        {SK_OP_FSUB, fb(1), fb(1), 0, 0},
        {SK_OP_FSUB, NAN_BITS, fb(1), 0, NAN_BITS},
        {SK_OP_FMUL, fb(0x1p-100f), fb(0x1p-49f), 0, 1},
        {SK_OP_FMUL, fb(0x1p-100f), fb(0x1p-50f), 0, 0}, /* half of the least: to even */
        {SK_OP_FMUL, fb(0x1.8p-100f), fb(0x1p-50f), 0, 1},
        {SK_OP_FMUL, INF_BITS, 0, 0, NAN_BITS},
        {SK_OP_FMUL, fb(-0.0f), fb(3), 0, 0x80000000},
        {SK_OP_FMA, fb(1 + eps), fb(1 - eps / 2), fb(-1), fb(0x1.fffffcp-25f)}, /* rounded once */
        {SK_OP_FMA, fb(big), fb(2), fb(-big), fb(big)}, /* no overflow in between */
        {SK_OP_FMA, fb(1), fb(0), fb(-0.0f), 0},
        {SK_OP_FMA, INF_BITS, fb(0), fb(1), NAN_BITS},
        {SK_OP_FDIV, fb(1), fb(3), 0, 0x3eaaaaab},
        {SK_OP_FDIV, fb(-1), fb(0), 0, INF_BITS | 0x80000000},
        {SK_OP_FDIV, fb(0), fb(0), 0, NAN_BITS},
        {SK_OP_FDIV, fb(1), fb(big), 0, 0x00200000}, /* a subnormal quotient */
        {SK_OP_FSQRT, fb(2), 0, 0, 0x3fb504f3},
        {SK_OP_FSQRT, fb(-0.0f), 0, 0, 0x80000000},
        {SK_OP_FSQRT, fb(-1), 0, 0, NAN_BITS},
        {SK_OP_FSQRT, 1, 0, 0, fb(0x1.6a09e6p-75f)},
        {SK_OP_FMIN, fb(1), fb(2), 0, fb(1)},
        {SK_OP_FMIN, NAN_BITS, fb(2), 0, fb(2)},
        {SK_OP_FMIN, fb(2), 0xffc12345, 0, 0xffc12345},
        {SK_OP_FMIN, fb(-0.0f), fb(0), 0, 0},
        {SK_OP_FMIN, fb(0), fb(-0.0f), 0, 0x80000000},
        {SK_OP_FMAX, fb(1), fb(2), 0, fb(2)},
        {SK_OP_FMAX, NAN_BITS, fb(2), 0, fb(2)},
        {SK_OP_FMAX, fb(2), 0xffc12345, 0, 0xffc12345},
        {SK_OP_FMAX, fb(0), fb(-0.0f), 0, 0x80000000},
        {SK_OP_FABS, 0xffc00001, 0, 0, 0x7fc00001},
        {SK_OP_FABS, fb(-0.0f), 0, 0, 0},
        {SK_OP_FNEG, 0x7fc00001, 0, 0, 0xffc00001},
        {SK_OP_FNEG, 0, 0, 0, 0x80000000},
        {SK_OP_FRINT, fb(0.5f), 0, 0, 0},
        {SK_OP_FRINT, fb(1.5f), 0, 0, fb(2)},
        {SK_OP_FRINT, fb(2.5f), 0, 0, fb(2)},
        {SK_OP_FRINT, fb(-0.5f), 0, 0, 0x80000000},
        {SK_OP_FRINT, fb(-1.5f), 0, 0, fb(-2)},
        {SK_OP_FRINT, fb(8388609), 0, 0, fb(8388609)},
        {SK_OP_FRINT, INF_BITS, 0, 0, INF_BITS},
        {SK_OP_FLT, fb(-0.0f), fb(0), 0, 0},
        {SK_OP_FLT, fb(-1), fb(1), 0, 1},
        {SK_OP_FLT, NAN_BITS, fb(1), 0, 0},
        {SK_OP_FLE, fb(-0.0f), fb(0), 0, 1},
        {SK_OP_FLE, NAN_BITS, NAN_BITS, 0, 0},
        {SK_OP_FEQ, fb(-0.0f), fb(0), 0, 1},
        {SK_OP_FEQ, NAN_BITS, NAN_BITS, 0, 0},
        {SK_OP_EXP2, fb(0), 0, 0, fb(1)},
        {SK_OP_EXP2, fb(-126), 0, 0, 0x00800000},
        {SK_OP_EXP2, fb(0.5f), 0, 0, 0x3fb504f3},
        {SK_OP_LOG2, fb(8), 0, 0, fb(3)},
        {SK_OP_LOG2, fb(0x1p-126f), 0, 0, fb(-126)},
    };
    check_rows(rows, SK_COUNT(rows));
}

static void conversions(void **state)
{
    (void)state;
    const value_row rows[] = {
        {SK_OP_BITS, 0x7fc12345, 0, 0, 0x7fc12345},
        {SK_OP_FLOAT, 0x3f800000, 0, 0, fb(1)},
        {SK_OP_I2F, 0xffffffff, 0, 0, fb(-1)},
        {SK_OP_I2F, 0x80000000, 0, 0, fb(-0x1p31f)},
        {SK_OP_I2F, 0x01000001, 0, 0, fb(0x1p24f)},      /* half way: to even */
        {SK_OP_I2F, 0x01000003, 0, 0, fb(0x1.000004p24f)},
        {SK_OP_I2F, 0x7fffffff, 0, 0, fb(0x1p31f)},
        {SK_OP_F2I, fb(2.5f), 0, 0, 2},
        {SK_OP_F2I, fb(-2.5f), 0, 0, 0xfffffffe},
        {SK_OP_F2I, fb(0x1p31f), 0, 0, 0x80000000},
        {SK_OP_F2I, fb(-0x1p31f), 0, 0, 0x80000000},
        {SK_OP_F2I, fb(0x1.fffffep30f), 0, 0, 0x7fffff80},
        {SK_OP_F2I, fb(-0x1.000002p31f), 0, 0, 0x80000000},
        {SK_OP_F2I, NAN_BITS, 0, 0, 0x80000000},
        {SK_OP_F2I, INF_BITS, 0, 0, 0x80000000},
        {SK_OP_F2I, INF_BITS | 0x80000000, 0, 0, 0x80000000},
        {SK_OP_F16LO, 0xffff3c00, 0, 0, fb(1)},
        {SK_OP_F16LO, 0x0001, 0, 0, fb(0x1p-24f)},
        {SK_OP_F16LO, 0x83ff, 0, 0, fb(-0x1.ff8p-15f)},
        {SK_OP_F16LO, 0xfc00, 0, 0, INF_BITS | 0x80000000},
        {SK_OP_F16LO, 0x7c01, 0, 0, NAN_BITS},
        {SK_OP_F16HI, 0xc0003c00, 0, 0, fb(-2)},
        {SK_OP_F16HI, 0x7bff0000, 0, 0, fb(65504)},
        {SK_OP_PACKF16, fb(1), fb(-2), 0, 0xc0003c00},
        {SK_OP_PACKF16, fb(65519), fb(65520), 0, 0x7c007bff},
        {SK_OP_PACKF16, fb(0x1p-25f), fb(0x1.000002p-25f), 0, 0x00010000},
        {SK_OP_PACKF16, fb(2049), fb(2051), 0, 0x68026800}, /* half way, both ways to even */
        {SK_OP_PACKBF16, fb(1), fb(-2), 0, 0xc0003f80},
        {SK_OP_PACKBF16, 0x3f808000, 0x3f818000, 0, 0x3f823f80},
        {SK_OP_PACKBF16, 0x7f7fffff, INF_BITS, 0, 0x7f807f80},
        {SK_OP_PACKBF16, 0x7f800001, 0xffc00000, 0, 0xffc07fc0},
    };
    check_rows(rows, SK_COUNT(rows));
}

static void packed(void **state)
{
    (void)state;
    static const value_row rows[] = {
        {SK_OP_ADD16X2, 0xffff0001, 0x00010001, 0, 0x00000002},
        {SK_OP_ADD16X2, 0x0000ffff, 0x00000001, 0, 0x00000000}, /* no carry across */
        {SK_OP_ADD16X2, 0x7fff8000, 0x0001ffff, 0, 0x80007fff},
        {SK_OP_DOT2, 10, 0x00020003, 0x00050007, 10 + 21 + 10},
        {SK_OP_DOT2, 0, 0xffff0000, 0x00020000, 0xfffffffe},
        {SK_OP_DOT2, 0, 0x80008000, 0x80008000, 0x80000000}, /* 2^30 + 2^30 wraps */
        /* the table is 00 11 22 33 four times over: code k finds byte k % 4; the
         * upper four bits of a code are not looked at */
        {SK_OP_LUT16, 0x33221100, 0xff0a0500, 0, 0x33221100},
        {SK_OP_LUT16, 0x33221100, 0x30211203, 0, 0x00112233},
        {SK_OP_DOT4, 10, 0x01020304, 0x05060708, 10 + 5 + 12 + 21 + 32},
        {SK_OP_DOT4, 0xffffffff, 0xff800001, 0x02807f02, 0xffffffff - 2 + 16384 + 2},
        {SK_OP_DOT4, 0x7fffffff, 0x000000ff, 0x000000ff, 0x80000000},
        {SK_OP_UMIN16X2, 0x0001ffff, 0x80007fff, 0, 0x00017fff},
        {SK_OP_UMIN16X2, 0xffff0002, 0xfffe0003, 0, 0xfffe0002},
        {SK_OP_UMAX16X2, 0x0001ffff, 0x80007fff, 0, 0x8000ffff},
        {SK_OP_UMAX16X2, 0xffff0002, 0xfffe0003, 0, 0xffff0003},
        {SK_OP_SMAX16X2, 0x0001ffff, 0x80007fff, 0, 0x00017fff},
        {SK_OP_SMAX16X2, 0xffff8000, 0xfffe8001, 0, 0xffff8001},
        {SK_OP_HIDE, 0x12345678, 0, 0, 0x12345678},
        {SK_OP_MULR16X2, 0x7fff4000, 0x7fff0001, 0, 0x7ffe0001}, /* one half: up */
        {SK_OP_MULR16X2, 0x8000c000, 0x80000001, 0, 0x80000000}, /* wraps; minus a half: up */
        {SK_OP_MADD8, 0x01020304, 0x05060708, 0, 17 << 16 | 53},
        {SK_OP_MADD8, 0xffffffff, 0x7f7f8080, 0, 0x7fff8000}, /* both saturate */
        {SK_OP_MADD8, 0xff80ff01, 0x8001017f, 0, 0x8100017e},
        {SK_OP_DOT4US, 10, 0x01020304, 0x05060708, 10 + 5 + 12 + 21 + 32},
        {SK_OP_DOT4US, 0, 0xff80ff01, 0x80ff7f80, (uint32_t)(-32640 - 128 + 32385 - 128)},
        {SK_OP_DOT4US, 0x7fffffff, 0x000000ff, 0x00000001, 0x800000fe},
        {SK_OP_BDOT2, 0x41200000, 0x40003f80, 0x40404080, 0x41a00000}, /* 10 + 1*4 + 2*3 */
        {SK_OP_BDOT2, 0x3f800000, 0xbf803f80, 0x3f800000, 0},
        {SK_OP_BDOT2, 0, 0x3f80bf80, 0x7f800000, 0x7f800000},
        {SK_OP_BDOT2, 0, 0x7fc00000, 0, NAN_BITS},
        {SK_OP_SEL8, 0x80ff7f00, 0x11223344, 0x55667788, 0x11227788},
        {SK_OP_PRMT, 0x44332211, 0x88776655, 0x3210, 0x44332211},
        {SK_OP_PRMT, 0x44332211, 0x88776655, 0x7654, 0x88776655},
        {SK_OP_PRMT, 0x44332211, 0x88776655, 0x70520416, 0x11552277}, /* low 16 bits only */
        {SK_OP_PRMT, 0x447f80ff, 0x887f8000, 0xfba8, 0xff0000ff},     /* signs */
        {SK_OP_PRMT, 0x447f80ff, 0x887f8000, 0x1c9d, 0x8000ffff},
    };
    check_rows(rows, SK_COUNT(rows));
}

/* Two halves a word; the upper one is 1 + 0, 1 * 1, 1 * 1 + 0 unless it matters. */
static void halves(void **state)
{
    (void)state;
    static const value_row rows[] = {
        {SK_OP_HADD2, 0x3c003c00, 0x00004000, 0, 0x3c004200},
        {SK_OP_HADD2, 0x3c006800, 0x00003c00, 0, 0x3c006800}, /* 2048 + 1: half way, to even */
        {SK_OP_HADD2, 0x3c006801, 0x00003c00, 0, 0x3c006802},
        {SK_OP_HADD2, 0x3c007bff, 0x00004c00, 0, 0x3c007c00}, /* 65504 + 16 */
        {SK_OP_HADD2, 0x3c007bff, 0x00004bff, 0, 0x3c007bff},
        {SK_OP_HADD2, 0x80000001, 0x80000001, 0, 0x80000002}, /* subnormals; -0 + -0 */
        {SK_OP_HADD2, 0x80003c00, 0x0000bc00, 0, 0x00000000},
        {SK_OP_HADD2, 0xfc007c00, 0x3c00fc00, 0, 0xfc007fff}, /* inf - inf */
        {SK_OP_HADD2, 0xfe003c00, 0x3c007c01, 0, 0x7fff7fff}, /* any NaN */
        {SK_OP_HMUL2, 0x3c004000, 0x3c00c200, 0, 0x3c00c600},
        {SK_OP_HMUL2, 0x80001400, 0x3c000200, 0, 0x80000000}, /* 2^-10 * 2^-15: half way */
        {SK_OP_HMUL2, 0x3c001400, 0x3c000201, 0, 0x3c000001}, /* above it */
        {SK_OP_HMUL2, 0x7c007bff, 0x0000fbff, 0, 0x7ffffc00},
        {SK_OP_HFMA2, 0x3c003c01, 0x3c003c01, 0x00000000, 0x3c003c02},
        {SK_OP_HFMA2, 0x3c003c01, 0x3c003c01, 0x0000bc02, 0x3c000010}, /* 2^-20, kept */
        {SK_OP_HFMA2, 0x80003c00, 0x3c00bc00, 0x80003c00, 0x80000000},
        {SK_OP_HFMA2, 0x7c003c00, 0x3c003c00, 0xfc007c00, 0x7fff7c00},
        {SK_OP_HFMA2, 0x3c000001, 0x3c000001, 0x00006801, 0x3c006801}, /* 2^-48 is lost */
        {SK_OP_HFMA2, 0x3c006400, 0x3c003c01, 0x3c006800, 0x40006a00}, /* 3073: half way, to even */
    };
    check_rows(rows, SK_COUNT(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers),
        cmocka_unit_test(floats),
        cmocka_unit_test(conversions),
        cmocka_unit_test(packed),
        cmocka_unit_test(halves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
