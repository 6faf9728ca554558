/* op_cases.c - the cases of arithmetic ops from one table, in three forms each
 * (lanes, lanes with the last argument uniform, all uniform), since a compiled
 * back end has vector, splat and scalar code for them; how inputs are filled
 * and results compared. */
#include "op_cases_impl.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Fill letters: f floats, u integers, s shift amounts, h packed halves (of
 * bytes or 16 bits, any bits), p predicates (odd = true), i floats around the
 * limits of integers, e arguments of exp2, l of log2, n no edge: any bits,
 * r finite floats of moderate size. */
typedef struct op_row {
    uint8_t op;
    uint8_t imm;
    const char *fill; /* a letter per argument */
    op_compare compare;
} op_row;

static const op_row row_table[] = {
    {SK_OP_ADD, 0, "uu", CMP_BITS},        {SK_OP_SUB, 0, "uu", CMP_BITS},
    {SK_OP_MUL, 0, "uu", CMP_BITS},        {SK_OP_UDIV, 0, "uu", CMP_BITS},
    {SK_OP_UREM, 0, "uu", CMP_BITS},       {SK_OP_AND, 0, "uu", CMP_BITS},
    {SK_OP_OR, 0, "uu", CMP_BITS},         {SK_OP_XOR, 0, "uu", CMP_BITS},
    {SK_OP_SHL, 0, "us", CMP_BITS},        {SK_OP_SHR, 0, "us", CMP_BITS},
    {SK_OP_SRA, 0, "us", CMP_BITS},        {SK_OP_UMIN, 0, "uu", CMP_BITS},
    {SK_OP_UMAX, 0, "uu", CMP_BITS},       {SK_OP_SMIN, 0, "uu", CMP_BITS},
    {SK_OP_SMAX, 0, "uu", CMP_BITS},       {SK_OP_FADD, 0, "ff", CMP_F32},
    {SK_OP_FSUB, 0, "ff", CMP_F32},        {SK_OP_FMUL, 0, "ff", CMP_F32},
    {SK_OP_FMA, 0, "fff", CMP_F32},        {SK_OP_FDIV, 0, "ff", CMP_F32},
    {SK_OP_FSQRT, 0, "f", CMP_F32},        {SK_OP_FMIN, 0, "ff", CMP_BITS},
    {SK_OP_FMAX, 0, "ff", CMP_BITS},       {SK_OP_FABS, 0, "f", CMP_BITS},
    {SK_OP_FNEG, 0, "f", CMP_BITS},        {SK_OP_FRINT, 0, "f", CMP_F32},
    {SK_OP_EXP2, 0, "e", CMP_EXP2},        {SK_OP_EXP2, 1, "e", CMP_EXP2_FAST},
    {SK_OP_LOG2, 0, "l", CMP_LOG2},        {SK_OP_EQ, 0, "uu", CMP_BITS},
    {SK_OP_NE, 0, "uu", CMP_BITS},         {SK_OP_ULT, 0, "uu", CMP_BITS},
    {SK_OP_ULE, 0, "uu", CMP_BITS},        {SK_OP_SLT, 0, "uu", CMP_BITS},
    {SK_OP_FLT, 0, "ff", CMP_BITS},        {SK_OP_FLE, 0, "ff", CMP_BITS},
    {SK_OP_FEQ, 0, "ff", CMP_BITS},        {SK_OP_PAND, 0, "pp", CMP_BITS},
    {SK_OP_POR, 0, "pp", CMP_BITS},        {SK_OP_PNOT, 0, "p", CMP_BITS},
    {SK_OP_SELECT, 0, "puu", CMP_BITS},    {SK_OP_SELECT, 1, "pff", CMP_BITS},
    {SK_OP_SELECT, 2, "ppp", CMP_BITS},    {SK_OP_BITS, 0, "f", CMP_BITS},
    {SK_OP_FLOAT, 0, "u", CMP_BITS},       {SK_OP_I2F, 0, "u", CMP_BITS},
    {SK_OP_F2I, 0, "i", CMP_BITS},         {SK_OP_F16LO, 0, "h", CMP_F32},
    {SK_OP_F16HI, 0, "h", CMP_F32},        {SK_OP_PACKF16, 0, "ff", CMP_F16X2},
    {SK_OP_PACKBF16, 0, "ff", CMP_BF16X2}, {SK_OP_ADD16X2, 0, "hh", CMP_BITS},
    {SK_OP_DOT2, 0, "uhh", CMP_BITS},      {SK_OP_DOT4, 0, "uhh", CMP_BITS},
    {SK_OP_HADD2, 0, "hh", CMP_BITS},      {SK_OP_HMUL2, 0, "hh", CMP_BITS},
    {SK_OP_HFMA2, 0, "hhh", CMP_BITS},     {SK_OP_PRMT, 0, "nnn", CMP_BITS},
    {SK_OP_MOVM, 0, "n", CMP_BITS},        {SK_OP_PACK16, 0, "uu", CMP_BITS},
    {SK_OP_LUT16, 0, "nn", CMP_BITS},      {SK_OP_ZIP8, 0, "nn", CMP_BITS},
    {SK_OP_ZIP8, 1, "nn", CMP_BITS},       {SK_OP_SHUFFLE, 0, "nn", CMP_BITS},
    {SK_OP_SHUFFLE, 1, "fn", CMP_BITS},    {SK_OP_EXTRACT, 0, "n", CMP_BITS},
    {SK_OP_EXTRACT, 3, "f", CMP_BITS},     {SK_OP_RED_FADD, 0, "r", CMP_F32},
    {SK_OP_RED_FADD, 1, "f", CMP_F32},     {SK_OP_RED_FMAX, 0, "f", CMP_BITS},
    {SK_OP_RED_UADD, 0, "u", CMP_BITS},    {SK_OP_RED_UMIN, 0, "u", CMP_BITS},
    {SK_OP_RED_UMAX, 0, "u", CMP_BITS},    {SK_OP_ANY, 0, "p", CMP_BITS},
    {SK_OP_DOT4US, 0, "uhh", CMP_BITS},
    {SK_OP_SEL8, 0, "nnn", CMP_BITS},      {SK_OP_PACK8, 0, "hh", CMP_BITS},
    {SK_OP_ZIP16, 0, "nn", CMP_BITS},      {SK_OP_ZIP16, 1, "nn", CMP_BITS},
    {SK_OP_PERM8, 0, "nn", CMP_BITS},      {SK_OP_PERM8X2, 0, "nnn", CMP_BITS},
    {SK_OP_PERM16, 0, "nn", CMP_BITS},     {SK_OP_PERM16X2, 0, "nnn", CMP_BITS},
    {SK_OP_FIELD8, 0, "nn", CMP_BITS},     {SK_OP_SRA16X2, 3, "h", CMP_BITS},
    {SK_OP_SRA16X2, 15, "h", CMP_BITS},
    {SK_OP_UMIN16X2, 0, "hh", CMP_BITS},   {SK_OP_UMAX16X2, 0, "hh", CMP_BITS},
    {SK_OP_SMAX16X2, 0, "hh", CMP_BITS},   {SK_OP_HIDE, 0, "u", CMP_BITS},
    {SK_OP_MULR16X2, 0, "hh", CMP_BITS},   {SK_OP_MADD8, 0, "hh", CMP_BITS},
};

/* Forms of a row. */
enum { FORM_LANE, FORM_MIXED, FORM_UNIFORM, FORMS };
static const char *const form_text[FORMS] = {"lane", "mixed", "uniform"};
#define TABLE_CASES ((uint32_t)SK_COUNT(row_table) * FORMS)

uint32_t sk_op_case_count(void)
{
    return TABLE_CASES + sk_op_body_count + sk_op_quad_body_count;
}

static const op_body *body_of(uint32_t i)
{
    if (i < TABLE_CASES)
        return NULL;
    const uint32_t at = i - TABLE_CASES;
    return at < sk_op_body_count ? &sk_op_bodies[at] : &sk_op_quad_bodies[at - sk_op_body_count];
}

const char *sk_op_case_name(uint32_t i)
{
    static _Thread_local char name[64];
    if (body_of(i))
        return body_of(i)->name;
    const op_row *const row = &row_table[i / FORMS];
    (void)snprintf(name, sizeof name, "%s (%u) %s", sk_op_get(row->op)->text, row->imm,
                   form_text[i % FORMS]);
    return name;
}

bool sk_op_case_fits(uint32_t i, uint32_t w)
{
    const bool wide = body_of(i) ? body_of(i)->w32 : row_table[i / FORMS].op == SK_OP_MOVM;
    return !wide || w == 32;
}

void sk_op_case_grid(uint32_t i, uint32_t grid[3])
{
    for (uint32_t k = 0; k < 3; k++)
        grid[k] = body_of(i) && body_of(i)->grid[k] ? body_of(i)->grid[k] : 1;
}

/* ---- programs --------------------------------------------------------------------------- */

static bool is_float(char fill)
{
    return strchr("fielr", fill) != NULL;
}

/* Argument k of a table case as a value of the right type: at `off` of its
 * plane, by lanes or uniform. */
static sk_val argument(op_frame *f, const op_row *row, uint32_t k, bool lanes, sk_val off)
{
    sk_builder *const b = f->b;
    const char fill = row->fill[k];
    const sk_ld_kind kind = is_float(fill) ? SK_LD_F32 : SK_LD_U32;
    const uint32_t disp = k * SK_OP_PLANE * 4;
    const sk_val x = lanes ? sk_ir_ldv(b, kind, f->in, off, disp)
                           : sk_ir_ldu(b, kind, f->in, off, disp);
    if (fill != 'p')
        return x;
    return sk_ir_2(b, SK_OP_NE, sk_ir_2(b, SK_OP_AND, x, sk_ir_u32(b, 1)), sk_ir_u32(b, 0));
}

/* for (off = 0; off < plane bytes; off += step) store op(arguments at off). */
static void build_row(op_frame *f, const op_row *row, uint32_t form)
{
    sk_builder *const b = f->b;
    const uint32_t nargs = (uint32_t)strlen(row->fill);
    const uint32_t step = form == FORM_UNIFORM ? 4 : 4 * f->w;
    const sk_val off = sk_ir_for(b, sk_ir_u32(b, 0), sk_ir_u32(b, SK_OP_PLANE * 4), step);
    sk_val a[3] = {0};
    for (uint32_t k = 0; k < nargs; k++) {
        const bool last = k + 1 == nargs;
        a[k] = argument(f, row, k, form == FORM_LANE || (form == FORM_MIXED && !last), off);
    }
    const bool has_imm = row->op == SK_OP_EXP2 || row->op == SK_OP_ZIP8 || row->op == SK_OP_ZIP16
                         || row->op == SK_OP_EXTRACT || row->op == SK_OP_SRA16X2;
    sk_val v = sk_ir_emit(b, (sk_op)row->op, nargs, a, has_imm ? row->imm : 0, 0);
    if (b->failed)
        return;
    if (b->program->instr[v].type == SK_PRED)
        v = sk_ir_3(b, SK_OP_SELECT, v, sk_ir_u32(b, 1), sk_ir_u32(b, 0));
    if (b->failed)
        return;
    if (form == FORM_UNIFORM && b->program->instr[v].scope != SK_LANE) {
        sk_ir_stu(b, f->out, off, 0, v);
    } else if (form == FORM_UNIFORM) { /* one word per step, so that stores stay inside */
        const sk_val turn = sk_ir_2(b, SK_OP_AND, sk_ir_2(b, SK_OP_SHR, off, sk_ir_u32(b, 2)),
                                    sk_ir_u32(b, f->w - 1));
        sk_ir_stg(b, f->out, off, 0, v, sk_ir_2(b, SK_OP_EQ, sk_ir_lane(b), turn));
    } else {
        sk_ir_stv(b, f->out, off, 0, v);
    }
    sk_ir_end(b);
}

sk_status sk_op_case_build(uint32_t i, uint32_t w, sk_arena *arena, sk_program **out, sk_err *err)
{
    sk_builder b;
    char symbol[32];
    (void)snprintf(symbol, sizeof symbol, "sk_op_case_%u_w%u", i, w);
    sk_ir_begin(&b, arena, symbol, w, 1);
    op_frame f = {.b = &b, .w = w};
    f.in = sk_ir_param_ptr(&b, "in", false);
    f.out = sk_ir_param_ptr(&b, "out", true);
    f.n = sk_ir_param_u32(&b, "n");
    f.x = sk_ir_param_f32(&b, "x");
    if (body_of(i))
        body_of(i)->build(&f);
    else
        build_row(&f, &row_table[i / FORMS], i % FORMS);
    return sk_ir_finish(&b, out, err);
}

void sk_op_case_ops(const sk_program *program, bool seen[SK_OP_COUNT])
{
    for (uint32_t i = 0; i < program->ninstr; i++)
        seen[program->instr[i].op] = true;
}

/* ---- inputs ------------------------------------------------------------------------------- */

static const uint32_t float_edges[] = {
    0x00000000, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000,
    0xffc12345, 0x7fa00001, 0x00000001, 0x80000001, 0x007fffff, 0x00800000, 0x7f7fffff,
    0xff7fffff, 0x3f000000, 0x3fc00000, 0xbf000000, 0x40200000, 0x3effffff, 0x4b000001,
    0x4affffff, 0x33000000, 0x33000001, 0x387fc000, 0x387fe000, 0x477fefff, 0x477ff000,
    0x3f808000, 0x3f818000, 0x34000000,
};
static const uint32_t word_edges[] = {
    0, 1, 2, 3, 7, 31, 32, 33, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 0x7fffffff,
    0x80000000, 0x80000001, 0xffffffff, 0xfffffffe, 0xffff8000, 0xffff7fff, 0x0000ffff,
    0xffff0000, 0x80008000, 0x7fff7fff, 0x12345678, 0x01000001, 0x00ffffff,
};
static const uint32_t shift_edges[] = {0, 1, 4, 15, 16, 30, 31, 32, 33, 63, 64, 99, 0x80000000,
                                       0xffffffff};
static const uint32_t half_edges[] = {
    0, 0x00010001, 0x03ff0400, 0x3c00bc00, 0x7bfffbff, 0x7c00fc00, 0x7e007c01, 0xfe01fd00,
    0x80008000, 0x7fff7fff, 0xffffffff, 0x80007fff, 0x00018000, 0x00ff0100,
};

static uint32_t float_bits(double x)
{
    const float f = (float)x;
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static uint32_t pick(sk_rng *rng, const uint32_t *edges, uint32_t n, uint32_t order)
{
    return order < n ? edges[order] : sk_rng_below(rng, 4) ? (uint32_t)sk_rng_u64(rng)
                                                           : edges[sk_rng_below(rng, n)];
}

/* Element of a plane: `order` walks the edges first, then numbers are drawn. */
static uint32_t element(sk_rng *rng, char fill, uint32_t order)
{
    static const float exp2_edges[] = {0,       -0.0f,  1,      -1,    127, -126,     -126.5f,
                                       -149,    -1000,  0.5f,   -0.5f, 1e-8f, -1e-8f, -INFINITY,
                                       126.99f, -125.9f, 0.9999f, -3e38f};
    static const float int_edges[] = {0,     -0.0f, 0.5f, 1.5f,  2.5f,        -0.5f,       -1.5f,
                                      -2.5f, 1e10f, -1e10f, 2147483648.0f, -2147483648.0f,
                                      2147483520.0f, -2147483904.0f, 0.49999997f, 8388607.5f,
                                      NAN,   INFINITY, -INFINITY, 1e-40f};
    const uint32_t edges = fill == 'e' ? (uint32_t)SK_COUNT(exp2_edges)
                                       : (uint32_t)SK_COUNT(int_edges);
    switch (fill) {
    case 'f':
        if (order >= SK_COUNT(float_edges) && sk_rng_below(rng, 2))
            return float_bits(ldexp(sk_rng_normal(rng), (int)sk_rng_below(rng, 20) - 10));
        return pick(rng, float_edges, SK_COUNT(float_edges), order);
    case 'u': return pick(rng, word_edges, SK_COUNT(word_edges), order);
    case 's':
        return order < SK_COUNT(shift_edges) ? shift_edges[order] : sk_rng_below(rng, 40);
    case 'h': return pick(rng, half_edges, SK_COUNT(half_edges), order);
    case 'e':
        return order < edges ? float_bits((double)exp2_edges[order])
                             : float_bits(sk_rng_unit(rng) * 253 - 126);
    case 'i':
        return order < edges ? float_bits((double)int_edges[order])
                             : float_bits(ldexp(sk_rng_normal(rng), (int)sk_rng_below(rng, 34)));
    case 'l': return 0x00800000u + sk_rng_below(rng, 0x7f000000u);
    case 'r': return float_bits(ldexp(sk_rng_normal(rng), (int)sk_rng_below(rng, 24) - 12));
    default: return (uint32_t)sk_rng_u64(rng); /* n, p */
    }
}

static uint32_t edge_count(char fill)
{
    switch (fill) {
    case 'f': return SK_COUNT(float_edges);
    case 'u': return SK_COUNT(word_edges);
    case 's': return SK_COUNT(shift_edges);
    case 'h': return SK_COUNT(half_edges);
    default: return 1;
    }
}

void sk_op_case_fill(uint32_t i, uint32_t w, uint64_t seed, uint32_t *in)
{
    const char *const fill = body_of(i) ? body_of(i)->fill : row_table[i / FORMS].fill;
    const uint32_t planes = (uint32_t)strlen(fill);
    sk_rng rng;
    sk_rng_seed(&rng, seed + i * 64u + w);
    for (uint32_t k = 0; k < SK_OP_IN_WORDS; k++)
        in[k] = (uint32_t)sk_rng_u64(&rng);
    /* Two planes: every pair of edges; the first walks fast, the second slowly. */
    const uint32_t fast = planes == 2 ? edge_count(fill[0]) : UINT32_MAX;
    for (uint32_t e = 0; e < SK_OP_PLANE; e++)
        for (uint32_t k = 0; k < planes; k++) {
            uint32_t order = e;
            if (planes == 2)
                order = e / fast >= edge_count(fill[1]) ? UINT32_MAX : k ? e / fast : e % fast;
            else if (planes == 3)
                order = sk_rng_below(&rng, 2) ? UINT32_MAX : sk_rng_below(&rng, 32);
            in[k * SK_OP_PLANE + e] = element(&rng, fill[k], order);
        }
}

/* ---- results ------------------------------------------------------------------------------ */

static float as_float(uint32_t x)
{
    float f;
    memcpy(&f, &x, sizeof f);
    return f;
}

static bool nan_half(uint32_t half, uint32_t infinity)
{
    return (half & 0x7fffu) > infinity;
}

static bool same_halves(uint32_t want, uint32_t got, uint32_t infinity)
{
    for (uint32_t shift = 0; shift < 32; shift += 16) {
        const uint32_t x = want >> shift & 0xffffu, y = got >> shift & 0xffffu;
        if (x != y && !(nan_half(x, infinity) && nan_half(y, infinity)))
            return false;
    }
    return true;
}

static bool same_exp2(double want, double got, double bound)
{
    if (want < 0x1p-126 * (1 + 1e-6))
        return got >= 0 && got <= 0x1p-125;
    return fabs(got - want) <= bound * want;
}

/* limit: the word that bounds the error, where one does. */
static bool same_word(op_compare compare, uint32_t want, uint32_t got, uint32_t limit)
{
    const float x = as_float(want), y = as_float(got);
    if (want == got)
        return true;
    if (want == SK_OP_POISON || got == SK_OP_POISON)
        return false;
    switch (compare) {
    case CMP_F32: return x != x && y != y;
    case CMP_F16X2: return same_halves(want, got, 0x7c00);
    case CMP_BF16X2: return same_halves(want, got, 0x7f80);
    case CMP_EXP2: return same_exp2((double)x, (double)y, 4.6e-7); /* want is rounded too */
    case CMP_EXP2_FAST: return same_exp2((double)x, (double)y, 1.001e-4);
    case CMP_LOG2: return fabs((double)y - (double)x) <= 2e-6 + fabs((double)x) * 0x1p-23;
    case CMP_DOT: return fabs((double)y - (double)x) <= (double)as_float(limit) * 0x1.01p-20;
    default: return false;
    }
}

bool sk_op_case_compare(uint32_t i, const uint32_t *want, const uint32_t *got, uint32_t *where)
{
    const op_compare compare = body_of(i) ? body_of(i)->compare : row_table[i / FORMS].compare;
    for (uint32_t k = 0; k < SK_OP_OUT_WORDS; k++) {
        if (same_word(compare, want[k], got[k], want[k | SK_OP_PLANE]))
            continue;
        *where = k;
        return false;
    }
    return true;
}

sk_status sk_op_case_interpret(uint32_t i, const sk_program *program, const uint32_t *in,
                               uint32_t *out, sk_err *err)
{
    uint32_t scalar[4] = {[2] = SK_OP_PARAM_U32};
    const float x = SK_OP_PARAM_F32;
    memcpy(&scalar[3], &x, sizeof x);
    for (uint32_t k = 0; k < SK_OP_OUT_WORDS; k++)
        out[k] = SK_OP_POISON;
    const sk_interp_buffer buffer[4] = {
        {.data = (void *)(uintptr_t)in, .bytes = SK_OP_IN_WORDS * 4},
        {.data = out, .bytes = SK_OP_OUT_WORDS * 4, .uninitialised = false},
    };
    sk_interp_args args = {.buffer = buffer, .scalar = scalar, .max_steps = 1u << 24};
    sk_op_case_grid(i, args.grid);
    return sk_interp_run(program, &args, err);
}
