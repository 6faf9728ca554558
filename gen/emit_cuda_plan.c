/* emit_cuda_plan.c - what of a program is written, and where.
 *
 * A value that one place uses is written there, so that text reads like text;
 * but never so that work is repeated (a use in a deeper loop), and never what
 * depends on more than its arguments: loads and all work of the warp stay where
 * they are, as statements. Reading a variable is its name, unless it is set between
 * there and the place where the text stands; then the old value is kept.
 *
 * Four passes over the array: what is around what; what is needed (backwards);
 * what is written inside of what (forwards); which variables must be copied
 * (backwards, since a use comes behind what it uses). */
#include "emit_cuda_impl.h"

static void surroundings(cuda_entry *e)
{
    sk_val loop = SK_NONE;
    for (sk_val i = 0; i < e->p->ninstr; i++) {
        cuda_value *const v = &e->v[i];
        *v = (cuda_value){.user = SK_NONE, .at = i, .loop = loop, .end = SK_NONE};
        const uint32_t op = cuda_at(e, i)->op;
        if (op == SK_OP_FOR || op == SK_OP_IF) {
            e->open[e->depth++] = i;
            loop = op == SK_OP_FOR ? i : loop;
        } else if (op == SK_OP_END) {
            const sk_val head = e->open[--e->depth];
            e->v[head].end = i;
            if (cuda_at(e, head)->op == SK_OP_FOR)
                loop = e->v[head].loop;
        }
    }
}

/* ---- needed -------------------------------------------------------------------- */

/* Written even when nobody uses its value. */
static bool has_effect(const cuda_entry *e, const sk_instr *in)
{
    if (in->op == SK_OP_SET) /* a variable that is read somewhere */
        return e->v[in->arg[0]].last != 0;
    return in->op == SK_OP_FOR || in->op == SK_OP_ATOMADD || sk_op_get(in->op)->result == 'V';
}

static void use(cuda_entry *e, sk_val user)
{
    const sk_instr *const in = cuda_at(e, user);
    for (uint32_t k = 0; k < in->nargs; k++) {
        e->v[in->arg[k]].uses++;
        e->v[in->arg[k]].user = user;
    }
}

/* Counts uses, with `last` of a variable saying whether it is read at all.
 * Returns whether fewer are than were thought to be. */
static bool count_uses(cuda_entry *e)
{
    bool fewer = false;
    for (sk_val i = 0; i < e->p->ninstr; i++)
        e->v[i].uses = 0;
    for (sk_val i = e->p->ninstr; i-- > 0;)
        if (e->v[i].uses || has_effect(e, cuda_at(e, i)))
            use(e, i);
    for (sk_val i = 0; i < e->p->ninstr; i++) {
        if (cuda_at(e, i)->op == SK_OP_VAR) {
            e->v[i].uses = 0;
            continue;
        }
        if (cuda_at(e, i)->op == SK_OP_GET && e->v[i].uses)
            e->v[cuda_at(e, i)->arg[0]].uses++;
    }
    for (sk_val i = 0; i < e->p->ninstr; i++) {
        cuda_value *const v = &e->v[i];
        if (cuda_at(e, i)->op == SK_OP_VAR && v->last && !v->uses) {
            v->last = 0;
            fewer = true;
        }
    }
    return fewer;
}

static void needed(cuda_entry *e)
{
    for (sk_val i = 0; i < e->p->ninstr; i++)
        e->v[i].last = cuda_at(e, i)->op == SK_OP_VAR;
    while (count_uses(e))
        ;
}

/* ---- where it is written ------------------------------------------------------------ */

/* Written by its name or as a constant, wherever it is used. */
static bool is_leaf(const sk_instr *in)
{
    switch (in->op) {
    case SK_OP_CONST_U32:
    case SK_OP_CONST_F32:
    case SK_OP_LANE:
    case SK_OP_WARP:
    case SK_OP_PARAM_U32:
    case SK_OP_PARAM_F32:
    case SK_OP_PARAM_PTR: return true;
    case SK_OP_SHARED: return in->name == NULL;
    default: return false;
    }
}

/* Depends on memory, on other lanes, or on when it is done. */
static bool stays_put(uint32_t op)
{
    _Static_assert(SK_OP_PACK16 < SK_OP_SHUFFLE && SK_OP_SHUFFLE < SK_OP_MMA
                   && SK_OP_MMA + 1 == SK_OP_LDU, "ops of the warp, then of memory, then control");
    return (op >= SK_OP_PACK16 && op <= SK_OP_MMA) || op >= SK_OP_LDU || op == SK_OP_VAR
           || op == SK_OP_BLOCK || op == SK_OP_GET;
}

static bool goes_inside(const cuda_entry *e, sk_val i, uint32_t nodes)
{
    const sk_instr *const in = cuda_at(e, i);
    const cuda_value *const v = &e->v[i];
    if (stays_put(in->op) || in->name || v->uses != 1)
        return false;
    const sk_instr *const user = cuda_at(e, v->user);
    if (nodes > (user->op == SK_OP_SET ? 2 * CUDA_MOST_NODES : CUDA_MOST_NODES))
        return false;
    if (user->op == SK_OP_FOR && user->arg[1] == i) /* asked again in every turn */
        return false;
    if (in->op == SK_OP_FMA && user->op == SK_OP_FMA) /* a sum is read line by line */
        return false;
    return e->v[v->user].loop == v->loop;
}

static void forms(cuda_entry *e)
{
    for (sk_val i = 0; i < e->p->ninstr; i++) {
        const sk_instr *const in = cuda_at(e, i);
        cuda_value *const v = &e->v[i];
        if (!v->uses && !has_effect(e, in)) {
            v->form = CUDA_SILENT;
            continue;
        }
        v->form = CUDA_STATEMENT;
        if (is_leaf(in)) {
            v->form = CUDA_INSIDE;
            continue;
        }
        v->nodes = 1;
        for (uint32_t k = 0; k < in->nargs; k++)
            if (e->v[in->arg[k]].form == CUDA_INSIDE)
                v->nodes += e->v[in->arg[k]].nodes;
        if (goes_inside(e, i, v->nodes))
            v->form = CUDA_INSIDE;
    }
}

/* ---- variables -------------------------------------------------------------------- */

/* The last place in the array at which something that stands at `at` may be
 * computed, for a value made at `from`: the end of the loops that are between. */
static sk_val reach(const cuda_entry *e, sk_val at, sk_val from)
{
    sk_val last = at;
    for (sk_val loop = e->v[at].loop; loop != SK_NONE && loop > from; loop = e->v[loop].loop)
        last = e->v[loop].end;
    return last;
}

/* Sets v[].at and v[].last, and lets a GET be the variable's name when nothing sets
 * the variable before the last place. `next` of a variable: the first SET behind
 * the place that the scan has come to. */
static void variables(cuda_entry *e, sk_val *next)
{
    for (sk_val i = 0; i < e->p->ninstr; i++) {
        e->v[i].last = i;
        next[i] = SK_NONE;
    }
    for (sk_val i = e->p->ninstr; i-- > 0;) {
        const sk_instr *const in = cuda_at(e, i);
        cuda_value *const v = &e->v[i];
        if (v->form == CUDA_SILENT)
            continue;
        if (in->op == SK_OP_SET)
            next[in->arg[0]] = i;
        if (in->op == SK_OP_GET && (next[in->arg[0]] == SK_NONE || next[in->arg[0]] >= v->last))
            v->form = CUDA_INSIDE;
        if (v->form == CUDA_INSIDE && !is_leaf(in) && in->op != SK_OP_GET)
            v->at = e->v[v->user].at;
        for (uint32_t k = 0; k < in->nargs; k++) {
            cuda_value *const a = &e->v[in->arg[k]];
            const bool bound = in->op == SK_OP_FOR && k == 1;
            const sk_val last = bound ? v->end : reach(e, v->at, in->arg[k]);
            a->last = last > a->last ? last : a->last;
        }
    }
}

/* ---- addresses --------------------------------------------------------------------- */

static bool take_place(cuda_value *v, const cuda_value *from)
{
    const uint8_t places = v->places | from->places;
    const bool read_only = v->read_only || from->read_only;
    const bool changed = places != v->places || read_only != v->read_only;
    v->places = places;
    v->read_only = read_only;
    return changed;
}

static bool addresses_once(cuda_entry *e)
{
    bool changed = false;
    for (sk_val i = 0; i < e->p->ninstr; i++) {
        const sk_instr *const in = cuda_at(e, i);
        cuda_value *const v = &e->v[i];
        if (in->op == SK_OP_SET) {
            changed |= take_place(&e->v[in->arg[0]], &e->v[in->arg[1]]);
        } else if (in->op == SK_OP_PARAM_PTR) {
            v->places = CUDA_MEMORY;
            v->read_only = !e->p->param[in->imm].writable;
        } else if (in->op == SK_OP_SHARED) {
            v->places = CUDA_SCRATCH;
        } else if (in->type == SK_PTR) {
            for (uint32_t k = 0; k < in->nargs; k++)
                if (cuda_at(e, in->arg[k])->type == SK_PTR)
                    changed |= take_place(v, &e->v[in->arg[k]]);
        }
    }
    return changed;
}

bool sk_emit_cuda_plan(cuda_entry *e)
{
    sk_val *const next = sk_arena_alloc(&e->arena, (e->p->ninstr + 1u) * sizeof *next);
    if (!next)
        return false;
    surroundings(e);
    needed(e);
    forms(e);
    variables(e, next);
    while (addresses_once(e))
        ;
    return true;
}
