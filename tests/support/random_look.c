/* random_look.c - what random programs hold, so that a test can say that none
 * of the ops was forgotten; and cutting down a program that fails, so that a
 * person can read it. */
#include "random_program.h"

#include <stdio.h>
#include <string.h>

#include "ir_rules.h"

void sk_random_look(sk_random_seen *seen, const sk_program *program)
{
    for (uint32_t i = 0; i < program->ninstr; i++) {
        const sk_instr *const in = &program->instr[i];
        bool lanes = false;
        for (uint32_t k = 0; k < in->nargs; k++)
            lanes |= program->instr[in->arg[k]].scope == SK_LANE;
        seen->op[in->op][lanes]++;
        if (sk_op_get(in->op)->result == 'K')
            seen->load[in->op][in->imm2]++;
    }
}

const char *sk_random_missing(const sk_random_seen *seen, bool all_ops)
{
    static _Thread_local char text[80];
    for (uint32_t op = 0; op < SK_OP_COUNT; op++) {
        const sk_op_info *const info = sk_op_get(op);
        const uint32_t *const n = seen->op[op];
        const bool value = sk_random_is_value_op(op);
        if (info->exact && (all_ops || sk_op_on_cpu(op))
            && (value ? !n[0] || !n[1] : !n[0] && !n[1])) {
            (void)snprintf(text, sizeof text, "%s%s", info->text,
                           !value ? "" : n[1] ? " of scalars" : n[0] ? " of vectors" : "");
            return text;
        }
        for (uint32_t kind = 0; info->result == 'K' && kind < SK_LD_KINDS; kind++)
            if (!seen->load[op][kind] && (op != SK_OP_LDROWS || sk_ld_bytes(kind) == 4)) {
                (void)snprintf(text, sizeof text, "%s of %s", info->text, sk_ld_text(kind));
                return text;
            }
    }
    return NULL;
}

static bool fails_without(const sk_random_params *params,
                          bool (*fails)(const sk_program *program, void *context), void *context,
                          sk_text *out)
{
    sk_arena arena = {0};
    sk_program *program = NULL;
    const bool failed = sk_random_program(params, &arena, &program, NULL) == SPHKV_OK
                        && fails(program, context);
    if (failed && out)
        sk_ir_print(program, out);
    sk_arena_free(&arena);
    return failed;
}

void sk_random_shrink(const sk_random_params *params,
                      bool (*fails)(const sk_program *program, void *context), void *context,
                      sk_text *out)
{
    static sk_random_names met, without;
    sk_random_params p = *params;
    bool smaller = true;
    without.n = 0;
    p.without = &without;
    while (smaller && without.n < SK_RANDOM_NAMES) {
        smaller = false;
        p.met = &met;
        (void)fails_without(&p, fails, context, NULL);
        p.met = NULL;
        for (uint32_t k = met.n; k-- > 0 && without.n < SK_RANDOM_NAMES;) { /* the last first */
            without.name[without.n++] = met.name[k];
            if (fails_without(&p, fails, context, NULL))
                smaller = true;
            else
                without.n--;
        }
    }
    (void)fails_without(&p, fails, context, out);
}
