/* ir_verify.c - is this a program? Everything behind it (interpreter, emitters)
 * relies on a yes and checks nothing again.
 *
 * The rules of one instruction are in ir_rules.c. Here is what needs the
 * surroundings: the frame (symbol, W, parameters), matched control, values
 * used only where they are visible, variables not set under control wider than
 * they are, barriers under block control, stores that every warp would repeat.
 *
 * A region is the body of a FOR, IF or ELSE, named by that instruction's
 * index; SK_NONE is the program itself. A value is visible while its region is
 * open. That is all of dominance that structured control needs. */
#include <ctype.h>
#include <string.h>

#include "ir_rules.h"

typedef struct region {
    sk_val home;  /* the region that the instruction's value belongs to */
    sk_val outer; /* control: the region around it */
    uint8_t scope;/* control: scope of the condition */
    bool open;    /* control: its body is being read */
} region;

typedef struct verifier {
    const sk_program *p;
    region *r;   /* one per instruction */
    sk_val here; /* the innermost open region */
    sk_err *err;
} verifier;

static sk_status fail_at(const verifier *v, uint32_t i, const char *what)
{
    return sk_fail(v->err, SPHKV_EINVAL, "ir: %s: %%%u %s: %s", v->p->symbol, i,
                   sk_op_get(v->p->instr[i].op)->text, what);
}

/* ---- the frame ------------------------------------------------------------------- */

static bool is_identifier(const char *s)
{
    if (!s || !(isalpha((unsigned char)*s) || *s == '_'))
        return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && *s != '_')
            return false;
    return true;
}

static sk_status check_frame(const sk_program *p, sk_err *err)
{
    if (!is_identifier(p->symbol))
        return sk_fail(err, SPHKV_EINVAL, "ir: the symbol is no C identifier");
    const char *const s = p->symbol;
    if (p->w < 4 || p->w > 32 || (p->w & (p->w - 1)) != 0)
        return sk_fail(err, SPHKV_EINVAL, "ir: %s: W = %u is not 4, 8, 16 or 32", s, p->w);
    if (p->warps == 0 || p->warps > SK_IR_MAX_THREADS / p->w)
        return sk_fail(err, SPHKV_EINVAL, "ir: %s: %u warps of %u lanes", s, p->warps, p->w);
    if (p->shared_bytes % 64 != 0 || p->shared_bytes > SK_IR_MAX_SHARED)
        return sk_fail(err, SPHKV_EINVAL, "ir: %s: scratch of %u bytes", s, p->shared_bytes);
    if (p->occupancy > SK_IR_MAX_OCCUPANCY)
        return sk_fail(err, SPHKV_EINVAL, "ir: %s: %u blocks at once, the most is %u", s,
                       p->occupancy, SK_IR_MAX_OCCUPANCY);
    if (p->nparams > SK_IR_MAX_PARAMS || (p->nparams && !p->param))
        return sk_fail(err, SPHKV_EINVAL, "ir: %s: %u parameters", s, p->nparams);
    if (p->ninstr == SK_NONE || (p->ninstr && !p->instr))
        return sk_fail(err, SPHKV_EINVAL, "ir: %s: %u instructions", s, p->ninstr);
    for (uint32_t k = 0; k < p->nparams; k++) {
        const sk_param *const param = &p->param[k];
        if (!param->name || param->kind > SK_PARAM_F32)
            return sk_fail(err, SPHKV_EINVAL, "ir: %s: parameter %u has no name or kind", s, k);
        if (param->writable && param->kind != SK_PARAM_PTR)
            return sk_fail(err, SPHKV_EINVAL, "ir: %s: parameter %u is no pointer, yet writable",
                           s, k);
    }
    return SPHKV_OK;
}

/* ---- surroundings ------------------------------------------------------------------ */

/* The widest scope of the control between here and `stop`, which is around. */
static uint8_t control_scope(const verifier *v, sk_val stop)
{
    uint8_t scope = SK_BLOCK;
    for (sk_val at = v->here; at != stop && at != SK_NONE; at = v->r[at].outer)
        if (v->r[at].scope > scope)
            scope = v->r[at].scope;
    return scope;
}

static sk_status check_visible(const verifier *v, uint32_t i)
{
    const sk_instr *const in = &v->p->instr[i];
    for (uint32_t k = 0; k < in->nargs; k++) {
        const sk_val home = v->r[in->arg[k]].home;
        if (home != SK_NONE && !v->r[home].open)
            return sk_fail(v->err, SPHKV_EINVAL,
                           "ir: %s: %%%u %s: argument %u (%%%u) was made inside a body that is "
                           "closed here",
                           v->p->symbol, i, sk_op_get(in->op)->text, k, in->arg[k]);
    }
    return SPHKV_OK;
}

static void enter(verifier *v, uint32_t i, uint8_t scope)
{
    v->r[i] = (region){.home = i, .outer = v->here, .scope = scope, .open = true};
    v->here = i;
}

static void leave(verifier *v)
{
    v->r[v->here].open = false;
    v->here = v->r[v->here].outer;
}

static sk_status check_control(verifier *v, uint32_t i)
{
    const sk_instr *const in = &v->p->instr[i];
    switch (in->op) {
    case SK_OP_FOR:
    case SK_OP_IF: enter(v, i, in->scope); break;
    case SK_OP_ELSE: {
        if (v->here == SK_NONE || v->p->instr[v->here].op != SK_OP_IF)
            return fail_at(v, i, "no if is open");
        const uint8_t scope = v->r[v->here].scope;
        leave(v);
        enter(v, i, scope);
        break;
    }
    case SK_OP_END:
        if (v->here == SK_NONE)
            return fail_at(v, i, "nothing is open");
        leave(v);
        break;
    default: break;
    }
    return SPHKV_OK;
}

/* A store whose address is the same for every warp, reached by all of them. */
static bool every_warp_stores(const verifier *v, const sk_instr *in)
{
    const sk_program *const p = v->p;
    return (in->op == SK_OP_STU || in->op == SK_OP_STV || in->op == SK_OP_STN) && p->warps > 1
           && p->instr[in->arg[0]].scope == SK_BLOCK && p->instr[in->arg[1]].scope == SK_BLOCK
           && control_scope(v, SK_NONE) == SK_BLOCK;
}

static sk_status check_place(const verifier *v, uint32_t i)
{
    const sk_instr *const in = &v->p->instr[i];
    if (in->op == SK_OP_BARRIER && control_scope(v, SK_NONE) != SK_BLOCK)
        return fail_at(v, i, "a barrier stands under block-scope control only");
    if (in->op == SK_OP_SET) {
        const sk_val home = v->r[in->arg[0]].home;
        if (control_scope(v, home) > v->p->instr[in->arg[0]].scope)
            return fail_at(v, i, "the control around it is wider than the variable");
    }
    if (every_warp_stores(v, in))
        return fail_at(v, i, "every warp of the block stores to the same words");
    return SPHKV_OK;
}

static sk_status check_body(verifier *v)
{
    const sk_program *const p = v->p;
    for (uint32_t i = 0; i < p->ninstr; i++) {
        sk_status st = sk_ir_check(p, &p->instr[i], i, v->err);
        v->r[i] = (region){.home = v->here};
        if (st == SPHKV_OK)
            st = check_visible(v, i);
        if (st == SPHKV_OK)
            st = check_place(v, i);
        if (st == SPHKV_OK)
            st = check_control(v, i);
        if (st != SPHKV_OK)
            return st;
    }
    if (v->here != SK_NONE)
        return fail_at(v, v->here, "is never closed");
    return SPHKV_OK;
}

sk_status sk_ir_verify(const sk_program *program, sk_err *err)
{
    sk_status st = check_frame(program, err);
    if (st != SPHKV_OK || program->ninstr == 0)
        return st;
    verifier v = {.p = program, .here = SK_NONE, .err = err};
    v.r = sk_calloc(program->ninstr, sizeof *v.r);
    if (!v.r)
        return sk_fail(err, SPHKV_ENOMEM, "ir: %s: out of memory to verify", program->symbol);
    st = check_body(&v);
    sk_free(v.r);
    return st;
}
