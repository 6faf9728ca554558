/* ir_print.c - a program as text, for people and for goldens.
 *
 * One instruction a line, indented by what is open; %n is the index of the
 * instruction, as in every message. The text says everything that an execution
 * depends on; names stand behind `;`. Float constants are printed as bits. The
 * hash has a form of its own (ir_hash.c): this one depends on the order in which
 * a template's nested calls were evaluated. */
#include <string.h>

#include "ir_rules.h"

static void print_suffix(const sk_instr *in, const sk_op_info *op, sk_text *out)
{
    const char *const type = sk_type_text(in->type);
    const char *const dot = strrchr(op->text, '.');
    if (op->result == 'K')
        sk_text_printf(out, ".%s", sk_ld_text(in->imm2));
    else if (in->type != SK_VOID && !(dot && strcmp(dot + 1, type) == 0))
        sk_text_printf(out, ".%s", type);
}

/* The constants, as far as the op has some. */
static void print_imm(const sk_instr *in, const char *comma, sk_text *out)
{
    switch (in->op) {
    case SK_OP_CONST_F32: sk_text_printf(out, "%s 0x%08x", comma, in->imm); break;
    case SK_OP_CONST_U32:
    case SK_OP_BLOCK:
    case SK_OP_PARAM_U32:
    case SK_OP_PARAM_F32:
    case SK_OP_PARAM_PTR:
    case SK_OP_SHARED:
    case SK_OP_EXP2:
    case SK_OP_ZIP8:
    case SK_OP_ZIP16:
    case SK_OP_SRA16X2:
    case SK_OP_WORD:
    case SK_OP_MMA:
    case SK_OP_CPWAIT:
    case SK_OP_EXTRACT: sk_text_printf(out, "%s %u", comma, in->imm); break;
    case SK_OP_PTR_ADD: sk_text_printf(out, "%s *%u", comma, in->imm); break;
    case SK_OP_FOR: sk_text_printf(out, "%s step %u", comma, in->imm); break;
    case SK_OP_LDROWS:
        sk_text_printf(out, "%s +%u, run %u", comma, in->imm & 0xffffffu, in->imm >> 24);
        break;
    case SK_OP_CPASYNC: sk_text_printf(out, "%s from +%u, to +%u", comma, in->imm, in->imm2); break;
    case SK_OP_LDU:
    case SK_OP_LDV:
    case SK_OP_LDG:
    case SK_OP_STU:
    case SK_OP_STV:
    case SK_OP_STN:
    case SK_OP_STG:
    case SK_OP_LDQ:
    case SK_OP_STQ:
    case SK_OP_ATOMADD:
        if (in->imm)
            sk_text_printf(out, "%s +%u", comma, in->imm);
        break;
    case SK_OP_PREFETCH:
        if (in->imm) sk_text_printf(out, "%s +%u", comma, in->imm);
        if (in->imm2) sk_text_printf(out, ", near");
        break;
    default: break;
    }
}

void sk_ir_print_instr(const sk_program *p, uint32_t index, sk_text *out)
{
    const sk_instr *const in = &p->instr[index];
    const sk_op_info *const op = sk_op_get(in->op);
    if (!op) {
        sk_text_printf(out, "%%%u = op %u?", index, in->op);
        return;
    }
    const bool value = op->result != 'V';
    if (value)
        sk_text_printf(out, "%%%u = ", index);
    sk_text_printf(out, "%s", op->text);
    print_suffix(in, op, out);
    if (value || in->op == SK_OP_IF)
        sk_text_printf(out, " %s", sk_scope_text(in->scope));
    for (uint32_t k = 0; k < in->nargs && k < SK_COUNT(in->arg); k++)
        sk_text_printf(out, "%s %%%u", k ? "," : "", in->arg[k]);
    print_imm(in, in->nargs ? "," : "", out);
    if (in->name)
        sk_text_printf(out, "   ; %s", in->name);
}

void sk_ir_print(const sk_program *p, sk_text *out)
{
    static const char *const kind[] = {"ptr", "u32", "f32"};
    sk_text_printf(out, "kernel %s w %u warps %u shared %u", p->symbol, p->w, p->warps,
                   p->shared_bytes);
    if (p->occupancy)
        sk_text_printf(out, " occupancy %u", p->occupancy);
    sk_text_append(out, "\n", 1);
    for (uint32_t k = 0; k < p->nparams; k++) {
        const sk_param *const param = &p->param[k];
        sk_text_printf(out, "param %u %s%s   ; %s\n", k,
                       param->kind < SK_COUNT(kind) ? kind[param->kind] : "?",
                       param->writable ? " writable" : "", param->name);
    }
    uint32_t depth = 0;
    for (uint32_t i = 0; i < p->ninstr; i++) {
        const uint8_t op = p->instr[i].op;
        if ((op == SK_OP_ELSE || op == SK_OP_END) && depth)
            depth--;
        for (uint32_t k = 0; k < depth; k++)
            sk_text_append(out, "  ", 2);
        sk_ir_print_instr(p, i, out);
        sk_text_append(out, "\n", 1);
        if (op == SK_OP_FOR || op == SK_OP_IF || op == SK_OP_ELSE)
            depth++;
    }
}
