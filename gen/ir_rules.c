/* ir_rules.c - the table of ops and the rules of one instruction.
 *
 * Argument rules are one letter per argument, beside the op, because forty
 * switch cases with the same three checks hide the one that differs:
 *   u f p   type u32, f32, predicate, any scope
 *   U P W   the same (W: u32 or f32), uniform only: never lane scope
 *   a       address (addresses are always uniform)
 *   w       a word: u32 or f32
 *   n       what a variable can hold: u32, f32, quad or address
 *   v       a variable (the VAR instruction itself)
 *   s       same type as argument 0, scope not wider than it
 *   q       a quad
 *   x       any type
 *   =       same type as the argument before it */
#include "ir_rules.h"

#include <string.h>

static const sk_op_info op_table[SK_OP_COUNT] = {
#define SK_LETTER_V 'V'
#define SK_LETTER_U 'U'
#define SK_LETTER_F 'F'
#define SK_LETTER_P 'P'
#define SK_LETTER_A 'A'
#define SK_LETTER_Q 'Q'
#define SK_LETTER_S 'S'
#define SK_LETTER_T 'T'
#define SK_LETTER_K 'K'
#define SK_X(name, text, nargs, result, exact, doc)                                                \
    [SK_OP_##name] = {text, nargs, SK_LETTER_##result, (exact) != 0, doc},
    SK_OPS(SK_X)
#undef SK_X
};

static const char *const arg_rule[SK_OP_COUNT] = {
    [SK_OP_CONST_U32] = "",     [SK_OP_CONST_F32] = "", [SK_OP_LANE] = "",
    [SK_OP_WARP] = "",          [SK_OP_BLOCK] = "",     [SK_OP_PARAM_U32] = "",
    [SK_OP_PARAM_F32] = "",     [SK_OP_PARAM_PTR] = "", [SK_OP_SHARED] = "",
    [SK_OP_PTR_ADD] = "aU",     [SK_OP_VAR] = "n",      [SK_OP_GET] = "v",
    [SK_OP_SET] = "vs",         [SK_OP_ADD] = "uu",     [SK_OP_SUB] = "uu",
    [SK_OP_MUL] = "uu",         [SK_OP_UDIV] = "uu",    [SK_OP_UREM] = "uu",
    [SK_OP_AND] = "uu",         [SK_OP_OR] = "uu",      [SK_OP_XOR] = "uu",
    [SK_OP_SHL] = "uu",         [SK_OP_SHR] = "uu",     [SK_OP_SRA] = "uu",
    [SK_OP_UMIN] = "uu",        [SK_OP_UMAX] = "uu",    [SK_OP_SMIN] = "uu",
    [SK_OP_SMAX] = "uu",        [SK_OP_FADD] = "ff",    [SK_OP_FSUB] = "ff",
    [SK_OP_FMUL] = "ff",        [SK_OP_FMA] = "fff",    [SK_OP_FDIV] = "ff",
    [SK_OP_FSQRT] = "f",        [SK_OP_FMIN] = "ff",    [SK_OP_FMAX] = "ff",
    [SK_OP_FABS] = "f",         [SK_OP_FNEG] = "f",     [SK_OP_FRINT] = "f",
    [SK_OP_EXP2] = "f",         [SK_OP_LOG2] = "f",     [SK_OP_EQ] = "uu",
    [SK_OP_NE] = "uu",          [SK_OP_ULT] = "uu",     [SK_OP_ULE] = "uu",
    [SK_OP_SLT] = "uu",         [SK_OP_FLT] = "ff",     [SK_OP_FLE] = "ff",
    [SK_OP_FEQ] = "ff",         [SK_OP_PAND] = "pp",    [SK_OP_POR] = "pp",
    [SK_OP_PNOT] = "p",         [SK_OP_SELECT] = "px=", [SK_OP_BITS] = "f",
    [SK_OP_FLOAT] = "u",        [SK_OP_I2F] = "u",      [SK_OP_F2I] = "f",
    [SK_OP_F16LO] = "u",        [SK_OP_F16HI] = "u",    [SK_OP_PACKF16] = "ff",
    [SK_OP_PACKBF16] = "ff",    [SK_OP_ADD16X2] = "uu", [SK_OP_DOT2] = "uuu",
    [SK_OP_PACK16] = "uu",      [SK_OP_LUT16] = "uu",   [SK_OP_ZIP8] = "uu",
    [SK_OP_SHUFFLE] = "wu",     [SK_OP_EXTRACT] = "w",  [SK_OP_RED_FADD] = "f",
    [SK_OP_RED_FMAX] = "f",     [SK_OP_RED_UADD] = "u", [SK_OP_RED_UMIN] = "u",
    [SK_OP_RED_UMAX] = "u",     [SK_OP_LDU] = "aU",     [SK_OP_LDV] = "aU",
    [SK_OP_LDG] = "aup",        [SK_OP_LDROWS] = "au",  [SK_OP_STU] = "aUW",
    [SK_OP_STV] = "aUw",        [SK_OP_STN] = "aUw",    [SK_OP_STG] = "auwp",
    [SK_OP_PREFETCH] = "aU",    [SK_OP_BARRIER] = "",   [SK_OP_FOR] = "UU",
    [SK_OP_IF] = "P",           [SK_OP_ELSE] = "",      [SK_OP_END] = "",
    [SK_OP_QUAD] = "wwww",      [SK_OP_WORD] = "q",     [SK_OP_DOT4] = "uuu",
    [SK_OP_HADD2] = "uu",       [SK_OP_HMUL2] = "uu",   [SK_OP_HFMA2] = "uuu",
    [SK_OP_PRMT] = "uuu",       [SK_OP_ANY] = "p",      [SK_OP_MOVM] = "u",
    [SK_OP_MMA] = "quuq",       [SK_OP_LDQ] = "aup",    [SK_OP_STQ] = "auqp",
    [SK_OP_CPASYNC] = "auaup",  [SK_OP_CPCOMMIT] = "",  [SK_OP_CPWAIT] = "",
    [SK_OP_ATOMADD] = "aUU",    [SK_OP_DOT4US] = "uuu", [SK_OP_SEL8] = "uuu",
    [SK_OP_PACK8] = "uu",       [SK_OP_ZIP16] = "uu",   [SK_OP_PERM8] = "uu",
    [SK_OP_PERM8X2] = "uuu",    [SK_OP_PERM16] = "uu",  [SK_OP_PERM16X2] = "uuu",
    [SK_OP_FIELD8] = "uu",      [SK_OP_SRA16X2] = "u",  [SK_OP_BDOT2] = "fuu",
    [SK_OP_UMIN16X2] = "uu",    [SK_OP_UMAX16X2] = "uu", [SK_OP_SMAX16X2] = "uu",
    [SK_OP_HIDE] = "u",
    [SK_OP_MULR16X2] = "uu",    [SK_OP_MADD8] = "uu",
};

static const bool gpu_only[SK_OP_COUNT] = {
    [SK_OP_QUAD] = true,  [SK_OP_WORD] = true,    [SK_OP_LDQ] = true,      [SK_OP_STQ] = true,
    [SK_OP_PRMT] = true,  [SK_OP_DOT4] = true,    [SK_OP_MMA] = true,      [SK_OP_HADD2] = true,
    [SK_OP_HMUL2] = true, [SK_OP_HFMA2] = true,   [SK_OP_MOVM] = true,
    [SK_OP_CPASYNC] = true, [SK_OP_CPCOMMIT] = true, [SK_OP_CPWAIT] = true, [SK_OP_ATOMADD] = true,
};

const sk_op_info *sk_op_get(uint32_t op)
{
    return op < SK_OP_COUNT ? &op_table[op] : NULL;
}

bool sk_op_on_cpu(uint32_t op)
{
    return op < SK_OP_COUNT && !gpu_only[op];
}

const char *sk_ir_arg_rule(uint32_t op)
{
    return op < SK_OP_COUNT ? arg_rule[op] : "";
}

static const struct {
    uint8_t bytes, type;
    const char *text;
} ld_table[SK_LD_KINDS] = {
    [SK_LD_U32] = {4, SK_U32, "u32"},   [SK_LD_F32] = {4, SK_F32, "f32"},
    [SK_LD_U8] = {1, SK_U32, "u8"},     [SK_LD_S8] = {1, SK_U32, "s8"},
    [SK_LD_U16] = {2, SK_U32, "u16"},   [SK_LD_F16] = {2, SK_F32, "f16"},
    [SK_LD_BF16] = {2, SK_F32, "bf16"}, [SK_LD_S8X2] = {2, SK_U32, "s8x2"},
};

uint32_t sk_ld_bytes(uint32_t kind)
{
    return kind < SK_LD_KINDS ? ld_table[kind].bytes : 0;
}

sk_type sk_ld_type(uint32_t kind)
{
    return kind < SK_LD_KINDS ? (sk_type)ld_table[kind].type : SK_VOID;
}

const char *sk_ld_text(uint32_t kind)
{
    return kind < SK_LD_KINDS ? ld_table[kind].text : "?";
}

const char *sk_type_text(uint32_t type)
{
    static const char *const text[] = {"void", "u32", "f32", "pred", "ptr", "quad"};
    return type < SK_COUNT(text) ? text[type] : "?";
}

const char *sk_scope_text(uint32_t scope)
{
    static const char *const text[] = {"block", "warp", "lane"};
    return scope < SK_COUNT(text) ? text[scope] : "?";
}

static bool is_load(uint32_t op)
{
    return op == SK_OP_LDU || op == SK_OP_LDV || op == SK_OP_LDG || op == SK_OP_LDROWS;
}

static bool is_store(uint32_t op)
{
    return op == SK_OP_STU || op == SK_OP_STV || op == SK_OP_STN || op == SK_OP_STG
           || op == SK_OP_STQ || op == SK_OP_ATOMADD;
}

/* The last argument of these, a predicate, may be left out. */
static bool may_be_masked(uint32_t op)
{
    return op == SK_OP_LDG || op == SK_OP_STG || op == SK_OP_LDQ || op == SK_OP_STQ
           || op == SK_OP_CPASYNC;
}

sk_val sk_ir_root(const sk_program *p, sk_val address)
{
    while (address < p->ninstr && p->instr[address].op == SK_OP_PTR_ADD)
        address = p->instr[address].arg[0];
    if (address >= p->ninstr)
        return SK_NONE;
    const uint32_t op = p->instr[address].op;
    return op == SK_OP_PARAM_PTR || op == SK_OP_SHARED ? address : SK_NONE;
}

/* ---- the value -------------------------------------------------------------- */

static uint8_t infer_scope(const sk_program *p, const sk_instr *in)
{
    switch (in->op) {
    case SK_OP_LANE:
    case SK_OP_PACK16:
    case SK_OP_LUT16:
    case SK_OP_ZIP8:
    case SK_OP_PACK8:
    case SK_OP_ZIP16:
    case SK_OP_PERM8:
    case SK_OP_PERM8X2:
    case SK_OP_PERM16:
    case SK_OP_PERM16X2:
    case SK_OP_FIELD8:
    case SK_OP_SHUFFLE:
    case SK_OP_LDV:
    case SK_OP_LDG:
    case SK_OP_LDROWS:
    case SK_OP_LDQ:
    case SK_OP_MOVM:
    case SK_OP_MMA:
        return SK_LANE;
    case SK_OP_WARP:
    case SK_OP_EXTRACT:
    case SK_OP_RED_FADD:
    case SK_OP_RED_FMAX:
    case SK_OP_RED_UADD:
    case SK_OP_RED_UMIN:
    case SK_OP_RED_UMAX:
    case SK_OP_ANY:
    case SK_OP_ATOMADD:
        return SK_WARP;
    case SK_OP_VAR:
        return in->imm <= SK_LANE ? (uint8_t)in->imm : SK_LANE;
    default:
        break;
    }
    uint8_t scope = SK_BLOCK;
    for (uint32_t k = 0; k < in->nargs; k++)
        if (p->instr[in->arg[k]].scope > scope)
            scope = p->instr[in->arg[k]].scope;
    return scope;
}

void sk_ir_infer(const sk_program *p, sk_instr *in)
{
    switch (op_table[in->op].result) {
    case 'U': in->type = SK_U32; break;
    case 'F': in->type = SK_F32; break;
    case 'P': in->type = SK_PRED; break;
    case 'A': in->type = SK_PTR; break;
    case 'Q': in->type = SK_QUAD; break;
    case 'S': in->type = in->nargs > 0 ? p->instr[in->arg[0]].type : SK_VOID; break;
    case 'T': in->type = in->nargs > 1 ? p->instr[in->arg[1]].type : SK_VOID; break;
    case 'K': in->type = (uint8_t)sk_ld_type(in->imm2); break;
    default: in->type = SK_VOID; break;
    }
    in->scope = infer_scope(p, in);
}

/* ---- the rules ---------------------------------------------------------------- */

/* NULL, or what argument k would have to be. */
static const char *arg_fault(const sk_program *p, const sk_instr *in, uint32_t k)
{
    const sk_instr *a = &p->instr[in->arg[k]];
    const bool word = a->type == SK_U32 || a->type == SK_F32;
    const char rule = arg_rule[in->op][k];
    if (rule == 'v')
        return a->op == SK_OP_VAR ? NULL : "must be a variable";
    if (a->op == SK_OP_VAR)
        return "is a variable: read it with get";
    if ((rule == 'U' || rule == 'P' || rule == 'W') && a->scope == SK_LANE)
        return "must be uniform (block or warp scope)";
    switch (rule) {
    case 'u':
    case 'U': return a->type == SK_U32 ? NULL : "must be u32";
    case 'f': return a->type == SK_F32 ? NULL : "must be f32";
    case 'p':
    case 'P': return a->type == SK_PRED ? NULL : "must be a predicate";
    case 'a': return a->type == SK_PTR ? NULL : "must be an address";
    case 'w':
    case 'W': return word ? NULL : "must be u32 or f32";
    case 'n':
        return word || a->type == SK_PTR || a->type == SK_QUAD
                   ? NULL
                   : "must be u32, f32, a quad or an address";
    case 'q': return a->type == SK_QUAD ? NULL : "must be a quad";
    case 'x': return a->type != SK_VOID ? NULL : "has no value";
    case 's':
        if (a->type != p->instr[in->arg[0]].type)
            return "must have the variable's type";
        return a->scope <= p->instr[in->arg[0]].scope ? NULL : "is wider than the variable";
    case '=':
        return a->type == p->instr[in->arg[k - 1]].type ? NULL
                                                        : "must have the type of the one before";
    default: return "is not expected";
    }
}

/* NULL, or what is wrong with the constants of the instruction. */
static const char *imm_fault(const sk_program *p, const sk_instr *in)
{
    static const uint8_t kind_of[SK_OP_COUNT] = {
        [SK_OP_PARAM_U32] = SK_PARAM_U32,
        [SK_OP_PARAM_F32] = SK_PARAM_F32,
        [SK_OP_PARAM_PTR] = SK_PARAM_PTR,
    };
    const uint32_t n = in->imm >> 24;
    switch (in->op) {
    case SK_OP_BLOCK: return in->imm <= 2 ? NULL : "dimension must be 0, 1 or 2";
    case SK_OP_PARAM_U32:
    case SK_OP_PARAM_F32:
    case SK_OP_PARAM_PTR:
        if (in->imm >= p->nparams)
            return "no such parameter";
        return p->param[in->imm].kind == kind_of[in->op] ? NULL : "parameter of another kind";
    case SK_OP_SHARED: return in->imm <= p->shared_bytes ? NULL : "outside of the scratch";
    case SK_OP_VAR: return in->imm <= SK_LANE ? NULL : "no such scope";
    case SK_OP_EXP2: return in->imm <= 1 ? NULL : "accuracy must be 0 or 1";
    case SK_OP_ZIP8:
    case SK_OP_ZIP16: return in->imm <= 1 ? NULL : "half must be 0 or 1";
    case SK_OP_SRA16X2: return in->imm <= 15 ? NULL : "shifts by 0 to 15";
    case SK_OP_EXTRACT: return in->imm < p->w ? NULL : "no such lane";
    case SK_OP_WORD: return in->imm < 4 ? NULL : "a quad has words 0 to 3";
    case SK_OP_MOVM: return p->w == 32 ? NULL : "needs W = 32";
    case SK_OP_MMA:
        if (p->w != 32)
            return "needs W = 32";
        return in->imm <= 1 ? NULL : "factors must be 0 (f16) or 1 (bf16)";
    case SK_OP_FOR: return in->imm > 0 ? NULL : "step must not be 0";
    case SK_OP_LDROWS:
        if (n == 0 || n > p->w || (n & (n - 1)) != 0)
            return "run length must be a power of two, at most W";
        return sk_ld_bytes(in->imm2) == 4 ? NULL : "32-bit kinds only";
    default: return NULL;
    }
}

/* NULL, or what is wrong with where the addresses of a memory op come from, as
 * far as that is certain. */
static const char *place_fault(const sk_program *p, const sk_instr *in)
{
    if (!is_store(in->op) && in->op != SK_OP_CPASYNC)
        return NULL;
    const sk_val to = sk_ir_root(p, in->arg[0]);
    const sk_instr *const root = to == SK_NONE ? NULL : &p->instr[to];
    if (in->op == SK_OP_CPASYNC) {
        const sk_val from = sk_ir_root(p, in->arg[2]);
        if (root && root->op != SK_OP_SHARED)
            return "the target of a copy lies in the scratch";
        return from != SK_NONE && p->instr[from].op == SK_OP_SHARED
                   ? "the source of a copy does not lie in the scratch"
                   : NULL;
    }
    if (root && root->op == SK_OP_PARAM_PTR && !p->param[root->imm].writable)
        return "stores through a read-only parameter";
    return root && root->op == SK_OP_SHARED && in->op == SK_OP_ATOMADD
               ? "adds to words of buffers, not of the scratch"
               : NULL;
}

/* NULL, or a rule that ties arguments together. */
static const char *joint_fault(const sk_program *p, const sk_instr *in)
{
    static const uint8_t full[SK_OP_COUNT] = {
        [SK_OP_STG] = 4, [SK_OP_STQ] = 4, [SK_OP_CPASYNC] = 5};
    const sk_instr *const a = in->nargs ? &p->instr[in->arg[0]] : NULL;
    if (in->type == SK_PTR && in->scope == SK_LANE)
        return "an address must be uniform (block or warp scope)";
    if (in->op == SK_OP_VAR && a->scope > in->imm)
        return "initial value is wider than the variable";
    if (full[in->op] && p->instr[in->arg[1]].scope != SK_LANE
        && (in->nargs < full[in->op] || p->instr[in->arg[in->nargs - 1]].scope != SK_LANE))
        return "every lane stores to the same word";
    return place_fault(p, in);
}

/* What imm2 may say: kinds of loads, places of a prefetch. */
static uint32_t kinds_of(uint32_t op)
{
    return is_load(op) ? SK_LD_KINDS : op == SK_OP_PREFETCH ? 2 : 1;
}

sk_status sk_ir_check(const sk_program *p, const sk_instr *in, uint32_t index, sk_err *err)
{
    if (in->op >= SK_OP_COUNT)
        return sk_fail(err, SPHKV_EINVAL, "ir: %%%u: no such op: %u", index, in->op);
    const sk_op_info *const op = &op_table[in->op];
    if (in->nargs != op->nargs && !(may_be_masked(in->op) && in->nargs + 1u == op->nargs))
        return sk_fail(err, SPHKV_EINVAL, "ir: %%%u %s: %u arguments, expected %u", index, op->text,
                       in->nargs, op->nargs);
    for (uint32_t k = 0; k < in->nargs; k++)
        if (in->arg[k] >= index || in->arg[k] >= p->ninstr)
            return sk_fail(err, SPHKV_EINVAL, "ir: %%%u %s: argument %u is no earlier value", index,
                           op->text, k);
    if (in->imm2 >= kinds_of(in->op) && in->op != SK_OP_CPASYNC)
        return sk_fail(err, SPHKV_EINVAL, "ir: %%%u %s: wrong load kind %u", index, op->text,
                       in->imm2);
    for (uint32_t k = 0; k < in->nargs; k++) {
        const sk_instr *const a = &p->instr[in->arg[k]];
        const char *const fault = arg_fault(p, in, k);
        if (fault)
            return sk_fail(err, SPHKV_EINVAL, "ir: %%%u %s: argument %u (%%%u, %s %s) %s", index,
                           op->text, k, in->arg[k], sk_scope_text(a->scope), sk_type_text(a->type),
                           fault);
    }
    const char *fault = imm_fault(p, in);
    if (!fault) {
        sk_instr fresh = *in;
        sk_ir_infer(p, &fresh);
        if (fresh.type != in->type || fresh.scope != in->scope)
            fault = "type or scope of the value is not what the op gives";
    }
    if (!fault)
        fault = joint_fault(p, in);
    if (fault)
        return sk_fail(err, SPHKV_EINVAL, "ir: %%%u %s: %s (%u)", index, op->text, fault, in->imm);
    return SPHKV_OK;
}
