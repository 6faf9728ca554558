/* ir_rules.h - what is true of one instruction looked at alone: types and
 * scopes of its arguments, ranges of its constants, type and scope of its
 * value. The builder asks when an instruction is made, so that a wrong type is
 * reported where it was written; the verifier asks again, since it trusts no
 * builder. Private to the files of the IR. */
#ifndef SK_IR_RULES_H
#define SK_IR_RULES_H

#include "ir.h"

/* Largest scratch that a block may have: more is a mistake, not a kernel. */
#define SK_IR_MAX_SHARED (1u << 28)
#define SK_IR_MAX_THREADS 1024u
#define SK_IR_MAX_PARAMS 256u
#define SK_IR_MAX_OCCUPANCY 32u

const char *sk_type_text(uint32_t type);
const char *sk_scope_text(uint32_t scope);
const char *sk_ld_text(uint32_t kind);

/* A letter per argument of an op: what it must be (see ir_rules.c). */
const char *sk_ir_arg_rule(uint32_t op);

/* Sets type and scope of the value from op, arguments and constants. The
 * arguments must be indices below `index`. */
void sk_ir_infer(const sk_program *p, sk_instr *in);

/* Every rule that needs no control context. `index` is where the instruction
 * stands or will stand; its arguments must lie before it. */
sk_status sk_ir_check(const sk_program *p, const sk_instr *in, uint32_t index, sk_err *err);

/* The parameter or scratch that an address comes from when that is certain
 * (a chain of PTR_ADD): the instruction PARAM_PTR or SHARED, else SK_NONE. */
sk_val sk_ir_root(const sk_program *p, sk_val address);

/* The value of an integer op on constants; false when it is none that is folded. */
bool sk_ir_fold(uint32_t op, uint32_t x, uint32_t y, uint32_t *out);

/* One instruction as sk_ir_print writes it: no newline, no indentation. */
void sk_ir_print_instr(const sk_program *p, uint32_t index, sk_text *out);

#endif
