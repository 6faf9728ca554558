/* ir_hash.c - the hash of programs: what a stored record is keyed by.
 *
 * It must be the same for the same kernel whoever compiled the generator, and
 * C leaves open in which order the arguments of a call are evaluated:
 * f(b, get(b, x), get(b, y)) makes the two in one order with gcc and in the
 * other with clang. So the plain print is not hashed. What has an effect
 * (stores, set, control, barrier, atomic) keeps its place; everything between two
 * effects, which may be made in any order without changing a result, is written
 * when an effect first needs it, arguments first, and numbered in that order. With
 * each value goes the number of effects before it: a value made inside a loop
 * is not one made before it, and a get before a set not one behind it. Values
 * that nobody needs and names do not count.
 *
 * Rejected: forbidding nested calls in templates (nobody would notice a
 * breach), and hashing the result of a value numbering of the whole program
 * (a pass that no other part needs). */
#include <string.h>

#include "ir_rules.h"

typedef struct canon {
    const sk_program *p;
    uint32_t *number; /* per instruction: its number in the text, 0 = not yet written */
    uint32_t *epoch;  /* per instruction: effects before it */
    sk_val *stack;    /* values to write; never deeper than the program is long */
    uint32_t next;
    sk_text *out;
} canon;

static bool is_effect(const sk_instr *in)
{
    return in->op == SK_OP_FOR || in->op == SK_OP_ATOMADD || sk_op_get(in->op)->result == 'V';
}

static void write_line(canon *c, sk_val i)
{
    const sk_instr *const in = &c->p->instr[i];
    c->number[i] = ++c->next;
    sk_text_printf(c->out, "%u %s %u %u %u %u @%u", c->next, sk_op_get(in->op)->text, in->type,
                   in->scope, in->imm, in->imm2, c->epoch[i]);
    for (uint32_t k = 0; k < in->nargs; k++)
        sk_text_printf(c->out, " %u", c->number[in->arg[k]]);
    sk_text_append(c->out, "\n", 1);
}

/* Writes a value behind all that it needs. Every argument has a lower index
 * than what needs it, so indices fall along the stack and it cannot overflow. */
static void write_value(canon *c, sk_val root)
{
    uint32_t depth = 0;
    c->stack[depth++] = root;
    while (depth) {
        const sk_val at = c->stack[depth - 1];
        const sk_instr *const in = &c->p->instr[at];
        uint32_t k = 0;
        while (k < in->nargs && c->number[in->arg[k]])
            k++;
        if (k < in->nargs) {
            c->stack[depth++] = in->arg[k];
            continue;
        }
        if (!c->number[at])
            write_line(c, at);
        depth--;
    }
}

static sk_status canon_print(const sk_program *p, sk_text *out, sk_err *err)
{
    canon c = {.p = p, .out = out};
    const size_t n = p->ninstr + 1u;
    c.number = sk_calloc(n, sizeof *c.number);
    c.epoch = sk_calloc(n, sizeof *c.epoch);
    c.stack = sk_calloc(n, sizeof *c.stack);
    sk_status st = SPHKV_OK;
    if (!c.number || !c.epoch || !c.stack) {
        st = sk_fail(err, SPHKV_ENOMEM, "ir: out of memory to hash");
    } else {
        sk_text_printf(out, "kernel %s %u %u %u %u\n", p->symbol, p->w, p->warps, p->shared_bytes,
                       p->nparams);
        if (p->occupancy) /* else as programs were hashed that could not say it */
            sk_text_printf(out, "occupancy %u\n", p->occupancy);
        for (uint32_t k = 0; k < p->nparams; k++)
            sk_text_printf(out, "param %u %u\n", p->param[k].kind, p->param[k].writable);
        uint32_t effects = 0;
        for (uint32_t i = 0; i < p->ninstr; i++) {
            c.epoch[i] = effects;
            if (!is_effect(&p->instr[i]))
                continue;
            write_value(&c, i);
            effects++;
        }
    }
    sk_free(c.number);
    sk_free(c.epoch);
    sk_free(c.stack);
    return st;
}

sk_status sk_ir_hash(const sk_program *const *programs, uint32_t n, char hex[65], sk_err *err)
{
    sk_text text = {0};
    sk_status st = SPHKV_OK;
    for (uint32_t k = 0; k < n && st == SPHKV_OK; k++)
        st = canon_print(programs[k], &text, err);
    if (st == SPHKV_OK && text.failed)
        st = sk_fail(err, SPHKV_ENOMEM, "ir: out of memory to hash");
    if (st == SPHKV_OK)
        sk_sha256_of(text.s ? text.s : "", text.len, hex);
    sk_text_free(&text);
    return st;
}
