/* emit_cuda_value.c - the text of values: operators, calls of the vocabulary,
 * addresses, loads.
 *
 * Ops that are the same in C are written as operators; parentheses stand where a
 * reader would want them and gcc's -Wall asks for them, not only where C needs
 * them. Addresses are sums in 64 bits of a pointer and 32-bit words, so a sum of
 * words keeps its parentheses: it wraps before it is added. */
#include <string.h>

#include "emit_cuda_impl.h"

typedef enum text_as { AS_OTHER, AS_OPERATOR, AS_CALL } text_as;

static const struct {
    uint8_t as;      /* text_as */
    uint8_t kind;    /* cuda_kind of an operator */
    const char *text;
} op_text[SK_OP_COUNT] = {
    [SK_OP_ADD] = {AS_OPERATOR, CUDA_ADD, "+"},      [SK_OP_SUB] = {AS_OPERATOR, CUDA_ADD, "-"},
    [SK_OP_MUL] = {AS_OPERATOR, CUDA_MUL, "*"},      [SK_OP_UDIV] = {AS_CALL, 0, "div_u32"},
    [SK_OP_UREM] = {AS_CALL, 0, "rem_u32"},          [SK_OP_AND] = {AS_OPERATOR, CUDA_AND, "&"},
    [SK_OP_OR] = {AS_OPERATOR, CUDA_OR, "|"},        [SK_OP_XOR] = {AS_OPERATOR, CUDA_XOR, "^"},
    [SK_OP_SHL] = {AS_CALL, 0, "shl_u32"},           [SK_OP_SHR] = {AS_CALL, 0, "shr_u32"},
    [SK_OP_SRA] = {AS_CALL, 0, "sra_u32"},           [SK_OP_UMIN] = {AS_CALL, 0, "min_u32"},
    [SK_OP_UMAX] = {AS_CALL, 0, "max_u32"},          [SK_OP_SMIN] = {AS_CALL, 0, "min_s32"},
    [SK_OP_SMAX] = {AS_CALL, 0, "max_s32"},          [SK_OP_FADD] = {AS_OPERATOR, CUDA_ADD, "+"},
    [SK_OP_FSUB] = {AS_OPERATOR, CUDA_ADD, "-"},     [SK_OP_FMUL] = {AS_CALL, 0, "mul_rn"},
    [SK_OP_FMA] = {AS_CALL, 0, "fma_rn"},            [SK_OP_FDIV] = {AS_CALL, 0, "div_rn"},
    [SK_OP_FSQRT] = {AS_CALL, 0, "sqrt_rn"},         [SK_OP_FMIN] = {AS_CALL, 0, "min_f32"},
    [SK_OP_FMAX] = {AS_CALL, 0, "max_f32"},          [SK_OP_FABS] = {AS_CALL, 0, "abs_f32"},
    [SK_OP_FNEG] = {AS_CALL, 0, "neg_f32"},          [SK_OP_FRINT] = {AS_CALL, 0, "rint_f32"},
    [SK_OP_EXP2] = {AS_CALL, 0, "exp2_f32"},         [SK_OP_LOG2] = {AS_CALL, 0, "log2_f32"},
    [SK_OP_EQ] = {AS_OPERATOR, CUDA_REL, "=="},      [SK_OP_NE] = {AS_OPERATOR, CUDA_REL, "!="},
    [SK_OP_ULT] = {AS_OPERATOR, CUDA_REL, "<"},      [SK_OP_ULE] = {AS_OPERATOR, CUDA_REL, "<="},
    [SK_OP_SLT] = {AS_CALL, 0, "lt_s32"},            [SK_OP_FLT] = {AS_OPERATOR, CUDA_REL, "<"},
    [SK_OP_FLE] = {AS_OPERATOR, CUDA_REL, "<="},     [SK_OP_FEQ] = {AS_OPERATOR, CUDA_REL, "=="},
    [SK_OP_PAND] = {AS_OPERATOR, CUDA_BOTH, "&&"},   [SK_OP_POR] = {AS_OPERATOR, CUDA_EITHER, "||"},
    [SK_OP_BITS] = {AS_CALL, 0, "bits_of"},          [SK_OP_FLOAT] = {AS_CALL, 0, "float_of"},
    [SK_OP_I2F] = {AS_CALL, 0, "s32_to_f32"},        [SK_OP_F2I] = {AS_CALL, 0, "f32_to_s32"},
    [SK_OP_F16LO] = {AS_CALL, 0, "f16_lo"},          [SK_OP_F16HI] = {AS_CALL, 0, "f16_hi"},
    [SK_OP_PACKF16] = {AS_CALL, 0, "pack_f16"},      [SK_OP_PACKBF16] = {AS_CALL, 0, "pack_bf16"},
    [SK_OP_ADD16X2] = {AS_CALL, 0, "add_16x2"},      [SK_OP_DOT2] = {AS_CALL, 0, "dot2"},
    [SK_OP_DOT4] = {AS_CALL, 0, "dot4"},             [SK_OP_HADD2] = {AS_CALL, 0, "add_f16x2"},
    [SK_OP_BDOT2] = {AS_CALL, 0, "dot2_bf16"},
    [SK_OP_UMIN16X2] = {AS_CALL, 0, "umin_16x2"},    [SK_OP_UMAX16X2] = {AS_CALL, 0, "umax_16x2"},
    [SK_OP_SMAX16X2] = {AS_CALL, 0, "smax_16x2"},    [SK_OP_HIDE] = {AS_CALL, 0, ""},
    [SK_OP_MULR16X2] = {AS_CALL, 0, "mulr_16x2"},    [SK_OP_MADD8] = {AS_CALL, 0, "madd_8"},
    [SK_OP_DOT4US] = {AS_CALL, 0, "dot4_us"},        [SK_OP_SEL8] = {AS_CALL, 0, "sel8"},
    [SK_OP_PACK8] = {AS_CALL, 0, "pack_u8"},         [SK_OP_FIELD8] = {AS_CALL, 0, "field8"},
    [SK_OP_PERM8] = {AS_CALL, 0, "perm8"},           [SK_OP_PERM8X2] = {AS_CALL, 0, "perm8x2"},
    [SK_OP_PERM16] = {AS_CALL, 0, "perm16"},         [SK_OP_PERM16X2] = {AS_CALL, 0, "perm16x2"},
    [SK_OP_HMUL2] = {AS_CALL, 0, "mul_f16x2"},       [SK_OP_HFMA2] = {AS_CALL, 0, "fma_f16x2"},
    [SK_OP_PRMT] = {AS_CALL, 0, "prmt"},             [SK_OP_PACK16] = {AS_CALL, 0, "pack_s16"},
    [SK_OP_LUT16] = {AS_CALL, 0, "lut16"},           [SK_OP_MOVM] = {AS_CALL, 0, "movm"},
    [SK_OP_RED_FADD] = {AS_CALL, 0, "warp_sum_f32"}, [SK_OP_ANY] = {AS_CALL, 0, "warp_any"},
    [SK_OP_RED_FMAX] = {AS_CALL, 0, "warp_max_f32"},
    [SK_OP_RED_UADD] = {AS_CALL, 0, "warp_sum_u32"},
    [SK_OP_RED_UMIN] = {AS_CALL, 0, "warp_min_u32"},
    [SK_OP_RED_UMAX] = {AS_CALL, 0, "warp_max_u32"},
};

static void put(cuda_entry *e, const char *text)
{
    sk_text_append(&e->line, text, strlen(text));
}

/* ---- operators ---------------------------------------------------------------------- */

static bool is_shift_or_division(const cuda_entry *e, const sk_instr *in)
{
    uint32_t x;
    if (in->op == SK_OP_SHL || in->op == SK_OP_SHR)
        return cuda_const(e, in->arg[1], &x) && x < 32;
    return (in->op == SK_OP_UDIV || in->op == SK_OP_UREM) && cuda_const(e, in->arg[1], &x) && x > 0;
}

static cuda_kind kind_of(const cuda_entry *e, sk_val v)
{
    const sk_instr *const in = cuda_at(e, v);
    if (e->v[v].form != CUDA_INSIDE || in->op == SK_OP_GET)
        return CUDA_ATOM;
    switch (in->op) {
    case SK_OP_CONST_F32: return in->imm >> 31 ? CUDA_UNARY : CUDA_ATOM;
    case SK_OP_SHARED: return in->imm ? CUDA_ADD : CUDA_ATOM;
    case SK_OP_PTR_ADD: return CUDA_ADD;
    case SK_OP_PNOT: return CUDA_UNARY;
    case SK_OP_SELECT: return CUDA_COND;
    case SK_OP_UDIV:
    case SK_OP_UREM: return is_shift_or_division(e, in) ? CUDA_MUL : CUDA_ATOM;
    case SK_OP_SHL:
    case SK_OP_SHR: return is_shift_or_division(e, in) ? CUDA_SHIFT : CUDA_ATOM;
    default: return op_text[in->op].as == AS_OPERATOR ? op_text[in->op].kind : CUDA_ATOM;
    }
}

/* Whether an operand of this kind stands without parentheses. */
static bool stands_bare(cuda_kind inner, cuda_kind within, bool right)
{
    if (inner == CUDA_ATOM || within == CUDA_ANY)
        return true;
    if (inner == CUDA_UNARY)
        return within != CUDA_POSTFIX;
    const bool sum = inner == CUDA_MUL || inner == CUDA_ADD;
    switch (within) {
    case CUDA_ADD: return inner == CUDA_MUL || (inner == CUDA_ADD && !right);
    case CUDA_REL: return sum;
    case CUDA_COND: return sum || inner == CUDA_REL;
    case CUDA_BOTH:
    case CUDA_EITHER: return sum || inner == CUDA_REL || (inner == within && !right);
    case CUDA_MUL:
    case CUDA_AND:
    case CUDA_XOR:
    case CUDA_OR: return inner == within && !right;
    default: return false;
    }
}

void sk_emit_cuda_value(cuda_entry *e, sk_val v, cuda_kind within, bool right)
{
    const sk_instr *const in = cuda_at(e, v);
    if (e->v[v].form == CUDA_STATEMENT) {
        put(e, e->v[v].name);
        return;
    }
    const bool bare = stands_bare(kind_of(e, v), within, right);
    put(e, bare ? "" : "(");
    if (in->op == SK_OP_CONST_U32)
        sk_emit_cuda_u32(e, in->imm, false, false);
    else
        sk_emit_cuda_text(e, v);
    put(e, bare ? "" : ")");
}

static bool is_bit_op(uint32_t op)
{
    return op == SK_OP_AND || op == SK_OP_OR || op == SK_OP_XOR || op == SK_OP_PRMT;
}

/* An argument, a constant in the form that suits the op. */
static void put_arg(cuda_entry *e, const sk_instr *in, uint32_t k, cuda_kind within, bool sign)
{
    uint32_t x;
    if (cuda_const(e, in->arg[k], &x))
        sk_emit_cuda_u32(e, x, is_bit_op(in->op), sign);
    else
        sk_emit_cuda_value(e, in->arg[k], within, k > 0);
}

/* Two constants: the first one must say that it is unsigned. */
static bool both_constant(const cuda_entry *e, const sk_instr *in, uint32_t k)
{
    uint32_t x;
    return cuda_const(e, in->arg[k], &x) && cuda_const(e, in->arg[k + 1], &x);
}

static void put_operator(cuda_entry *e, const sk_instr *in, const char *text, cuda_kind kind)
{
    put_arg(e, in, 0, kind, both_constant(e, in, 0));
    sk_text_printf(&e->line, " %s ", text);
    put_arg(e, in, 1, kind, false);
}

static void put_call(cuda_entry *e, const sk_instr *in, const char *name)
{
    sk_text_printf(&e->line, "%s(", name);
    for (uint32_t k = 0; k < in->nargs; k++) {
        put(e, k ? ", " : "");
        put_arg(e, in, k, CUDA_ANY, false);
    }
    put(e, ")");
}

/* ---- addresses and loads -------------------------------------------------------------- */

/* A constant added to a pointer. */
static void put_distance(cuda_entry *e, uint64_t bytes)
{
    if (bytes)
        sk_text_printf(&e->line, bytes > INT32_MAX ? " + %lluull" : " + %llu",
                       (unsigned long long)bytes);
}

void sk_emit_cuda_address(cuda_entry *e, sk_val base, sk_val off, uint32_t disp, uint32_t stride,
                     bool store)
{
    uint32_t fixed = 0;
    const bool cast = store && e->v[base].read_only;
    put(e, cast ? "(u8 *)(" : "");
    sk_emit_cuda_value(e, base, CUDA_ADD, false);
    if (!cuda_const(e, off, &fixed)) {
        put(e, " + ");
        sk_emit_cuda_value(e, off, CUDA_ADD, true);
    }
    put_distance(e, (uint64_t)fixed + disp);
    if (stride)
        sk_text_printf(&e->line, stride == 1 ? " + lane" : " + %u * lane", stride);
    put(e, cast ? ")" : "");
}

static void put_load(cuda_entry *e, const sk_instr *in)
{
    const bool quad = in->op == SK_OP_LDQ;
    const char *const kind = quad ? "quad" : sk_ld_text(in->imm2);
    if (in->nargs > 2) {
        sk_emit_cuda_value(e, in->arg[2], CUDA_COND, false);
        put(e, " ? ");
    }
    sk_text_printf(&e->line, "ld_%s(", kind);
    const bool rows = in->op == SK_OP_LDROWS;
    const uint32_t disp = rows ? in->imm & 0xffffffu : in->imm;
    sk_emit_cuda_address(e, in->arg[0], in->arg[1], disp,
                    in->op == SK_OP_LDV ? sk_ld_bytes(in->imm2) : 0, false);
    if (rows && in->imm >> 24 > 1)
        sk_text_printf(&e->line, " + 4 * (lane %% %u)", in->imm >> 24);
    put(e, ")");
    if (in->nargs > 2)
        put(e, quad ? " : make_quad(0, 0, 0, 0)" : in->type == SK_F32 ? " : 0.0f" : " : 0");
}

/* a + (u64)b * scale */
static void put_ptr_add(cuda_entry *e, const sk_instr *in)
{
    uint32_t x;
    sk_emit_cuda_value(e, in->arg[0], CUDA_ADD, false);
    if (cuda_const(e, in->arg[1], &x)) {
        put_distance(e, (uint64_t)x * in->imm);
        return;
    }
    put(e, in->imm == 1 ? " + " : " + (u64)");
    sk_emit_cuda_value(e, in->arg[1], in->imm == 1 ? CUDA_ADD : CUDA_UNARY, true);
    if (in->imm != 1)
        sk_text_printf(&e->line, " * %u", in->imm);
}

/* ---- all together ----------------------------------------------------------------------- */

static void put_quad(cuda_entry *e, const sk_instr *in)
{
    put(e, "make_quad(");
    for (uint32_t k = 0; k < in->nargs; k++) {
        const sk_instr *const word = cuda_at(e, in->arg[k]);
        const bool bits = word->type == SK_F32 && word->op != SK_OP_CONST_F32;
        put(e, k ? ", " : "");
        put(e, bits ? "bits_of(" : "");
        if (word->op == SK_OP_CONST_F32)
            sk_emit_cuda_u32(e, word->imm, true, false);
        else
            sk_emit_cuda_value(e, in->arg[k], CUDA_ANY, false);
        put(e, bits ? ")" : "");
    }
    put(e, ")");
}

static void put_select(cuda_entry *e, const sk_instr *in)
{
    sk_emit_cuda_value(e, in->arg[0], CUDA_COND, false);
    put(e, " ? ");
    put_arg(e, in, 1, CUDA_COND, both_constant(e, in, 1));
    put(e, " : ");
    put_arg(e, in, 2, CUDA_COND, false);
}

/* f(a, constant) with an f by the type of the first argument. */
static void put_lane_of(cuda_entry *e, const sk_instr *in)
{
    put(e, in->type == SK_F32 ? "shfl_f32(" : "shfl_u32(");
    sk_emit_cuda_value(e, in->arg[0], CUDA_ANY, false);
    put(e, ", ");
    if (in->op == SK_OP_EXTRACT)
        sk_emit_cuda_u32(e, in->imm, false, false);
    else
        sk_emit_cuda_value(e, in->arg[1], CUDA_ANY, false);
    put(e, ")");
}

static void put_leaf(cuda_entry *e, const sk_instr *in)
{
    switch (in->op) {
    case SK_OP_CONST_U32: sk_emit_cuda_u32(e, in->imm, false, false); break;
    case SK_OP_CONST_F32: sk_emit_cuda_f32(e, in->imm); break;
    case SK_OP_LANE: put(e, "lane"); break;
    case SK_OP_WARP: put(e, "warp"); break;
    case SK_OP_BLOCK: sk_text_printf(&e->line, "block_index(%u)", in->imm); break;
    case SK_OP_SHARED:
        put(e, "scratch");
        if (in->imm)
            sk_text_printf(&e->line, " + %u", in->imm);
        break;
    case SK_OP_PARAM_U32:
    case SK_OP_PARAM_F32:
    case SK_OP_PARAM_PTR: put(e, e->param[in->imm]); break;
    default: put(e, "/* no text */ ?"); break; /* compiles nowhere */
    }
}

static void put_other(cuda_entry *e, const sk_instr *in)
{
    switch (in->op) {
    case SK_OP_PTR_ADD: put_ptr_add(e, in); break;
    case SK_OP_VAR: sk_emit_cuda_value(e, in->arg[0], CUDA_ANY, false); break;
    case SK_OP_GET: put(e, e->v[in->arg[0]].name); break;
    case SK_OP_PNOT:
        put(e, "!");
        sk_emit_cuda_value(e, in->arg[0], CUDA_UNARY, false);
        break;
    case SK_OP_SELECT: put_select(e, in); break;
    case SK_OP_QUAD: put_quad(e, in); break;
    case SK_OP_WORD:
        sk_emit_cuda_value(e, in->arg[0], CUDA_POSTFIX, false);
        sk_text_printf(&e->line, ".%c", "xyzw"[in->imm]);
        break;
    case SK_OP_SRA16X2:
        put_call(e, in, "sra_16x2");
        e->line.len--;
        sk_text_printf(&e->line, ", %u)", in->imm);
        break;
    case SK_OP_ZIP8:
    case SK_OP_ZIP16:
        put_call(e, in, in->op == SK_OP_ZIP8 ? "zip8" : "zip16");
        e->line.len--; /* the closing parenthesis: one more argument */
        sk_text_printf(&e->line, ", %u)", in->imm);
        break;
    case SK_OP_SHUFFLE:
    case SK_OP_EXTRACT: put_lane_of(e, in); break;
    case SK_OP_MMA: put_call(e, in, in->imm ? "mma_bf16" : "mma_f16"); break;
    case SK_OP_LDU:
    case SK_OP_LDV:
    case SK_OP_LDG:
    case SK_OP_LDQ:
    case SK_OP_LDROWS: put_load(e, in); break;
    case SK_OP_ATOMADD:
        put(e, "atom_add(");
        sk_emit_cuda_address(e, in->arg[0], in->arg[1], in->imm, 0, true);
        put(e, ", ");
        sk_emit_cuda_value(e, in->arg[2], CUDA_ANY, false);
        put(e, ")");
        break;
    default: put_leaf(e, in); break;
    }
}

void sk_emit_cuda_text(cuda_entry *e, sk_val v)
{
    const sk_instr *const in = cuda_at(e, v);
    if (is_shift_or_division(e, in)) {
        static const char *const text[SK_OP_COUNT] = {[SK_OP_SHL] = "<<", [SK_OP_SHR] = ">>",
                                                      [SK_OP_UDIV] = "/", [SK_OP_UREM] = "%"};
        const bool shift = in->op == SK_OP_SHL || in->op == SK_OP_SHR;
        put_operator(e, in, text[in->op], shift ? CUDA_SHIFT : CUDA_MUL);
    } else if (op_text[in->op].as == AS_OPERATOR) {
        put_operator(e, in, op_text[in->op].text, (cuda_kind)op_text[in->op].kind);
    } else if (op_text[in->op].as == AS_CALL) {
        put_call(e, in, op_text[in->op].text);
    } else {
        put_other(e, in);
    }
}

void sk_emit_cuda_type(cuda_entry *e, sk_val v, bool constant)
{
    static const char *const text[] = {[SK_U32] = "u32 ", [SK_F32] = "float ", [SK_PRED] = "bool ",
                                       [SK_QUAD] = "quad "};
    const uint32_t type = cuda_at(e, v)->type;
    if (type == SK_PTR) {
        put(e, e->v[v].read_only ? "const u8 *" : "u8 *");
        put(e, constant ? "const " : "");
        return;
    }
    put(e, constant ? "const " : "");
    put(e, text[type]);
}
