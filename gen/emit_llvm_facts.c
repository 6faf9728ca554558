/* emit_llvm_facts.c - what is known of a value before code is made: which bits
 * of a u32 can be set (a byte look-up whose index is known small needs no
 * mask), and whether one lane can be computed with scalar ops alone (an offset
 * such as lane < 4 ? row0 : row1 must become scalar addressing, not a trip
 * through a vector register). LLVM finds neither by itself. */
#include <llvm-c/Core.h>

#include "emit_llvm_body.h"

/* Ops that act on each lane by itself and whose handler takes scalars too. */
static bool elementwise(uint32_t op)
{
    switch (op) {
    case SK_OP_ADD:
    case SK_OP_SUB:
    case SK_OP_MUL:
    case SK_OP_UDIV:
    case SK_OP_UREM:
    case SK_OP_AND:
    case SK_OP_OR:
    case SK_OP_XOR:
    case SK_OP_SHL:
    case SK_OP_SHR:
    case SK_OP_SRA:
    case SK_OP_UMIN:
    case SK_OP_UMAX:
    case SK_OP_SMIN:
    case SK_OP_SMAX:
    case SK_OP_EQ:
    case SK_OP_NE:
    case SK_OP_ULT:
    case SK_OP_ULE:
    case SK_OP_SLT:
    case SK_OP_PAND:
    case SK_OP_POR:
    case SK_OP_PNOT:
    case SK_OP_SELECT: return true;
    default: return false;
    }
}

static uint8_t depth_of(const sk_lv *l, const sk_instr *in)
{
    if (in->scope != SK_LANE || in->op == SK_OP_LANE)
        return 0;
    if (!elementwise(in->op))
        return SK_LV_NOT_CHEAP;
    uint32_t deepest = 0;
    for (uint32_t k = 0; k < in->nargs; k++)
        if (l->depth[in->arg[k]] > deepest)
            deepest = l->depth[in->arg[k]];
    return deepest >= SK_LV_DEPTH ? SK_LV_NOT_CHEAP : (uint8_t)(deepest + 1);
}

/* Any byte of x in every byte. */
static uint32_t spread(uint32_t x)
{
    x |= x >> 16;
    x |= x >> 8;
    return (x & 0xff) * 0x01010101u;
}

static uint32_t load_bits(uint32_t kind)
{
    return kind == SK_LD_U8 ? 0xffu : kind == SK_LD_U16 ? 0xffffu : ~0u;
}

static uint32_t bits_of(const sk_lv *l, const sk_instr *in)
{
    const uint32_t a = in->nargs > 0 ? l->bits[in->arg[0]] : 0;
    const uint32_t b = in->nargs > 1 ? l->bits[in->arg[1]] : 0;
    const sk_instr *by = in->nargs > 1 ? &l->p->instr[in->arg[1]] : NULL;
    const bool shift = by && by->op == SK_OP_CONST_U32 && by->imm < 32;
    switch (in->op) {
    case SK_OP_CONST_U32: return in->imm;
    case SK_OP_LANE: return l->w - 1;
    case SK_OP_AND: return a & b;
    case SK_OP_OR:
    case SK_OP_XOR: return a | b;
    case SK_OP_SHL: return shift ? a << by->imm : ~0u;
    case SK_OP_SHR: return shift ? a >> by->imm : ~0u;
    case SK_OP_SELECT: return b | l->bits[in->arg[2]];
    case SK_OP_EXTRACT:
    case SK_OP_SHUFFLE:
    case SK_OP_HIDE: return a;
    case SK_OP_LUT16: return spread(a);
    case SK_OP_ZIP8: return spread(a | b);
    case SK_OP_PERM8: return spread(a);
    case SK_OP_PERM8X2: return spread(a | b);
    case SK_OP_LDU:
    case SK_OP_LDV:
    case SK_OP_LDG:
    case SK_OP_LDROWS: return load_bits(in->imm2);
    default: return ~0u;
    }
}

void sk_lv_facts(sk_lv *l)
{
    for (uint32_t i = 0; i < l->p->ninstr; i++) {
        const sk_instr *in = &l->p->instr[i];
        l->depth[i] = depth_of(l, in);
        l->bits[i] = in->type == SK_U32 ? bits_of(l, in) : ~0u;
    }
}
