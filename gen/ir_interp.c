/* ir_interp.c - runs any program, plainly, with every check: the definition of
 * the IR (with the other files named in ir_interp.h).
 *
 * A program is decoded once per run: values get registers, arguments become
 * register numbers with a stride, control gets jump targets, and what never
 * changes in a block (constants, lane, parameters) is written into the
 * registers once and leaves no instruction. Blocks run one after the other; a
 * warp runs until a barrier or its end, then the next one: program order inside
 * a warp is real order, and everything between warps is judged by the shadow
 * of memory, not by what this order happens to give. */
#include "ir_interp.h"

#include <string.h>

#include "ir_rules.h"

/* ---- decode ---------------------------------------------------------------------------- */

static bool is_preset(uint32_t op)
{
    return op <= SK_OP_SHARED;
}

/* Registers for all values. */
static sk_status assign(interp *t)
{
    const sk_program *const p = t->p;
    uint64_t words = 0, addrs = 0;
    for (uint32_t i = 0; i < p->ninstr; i++) {
        const sk_instr *const in = &p->instr[i];
        if (in->type == SK_VOID)
            continue;
        t->reg[i] = (uint32_t)(in->type == SK_PTR ? addrs : words);
        if (in->type == SK_PTR)
            addrs++;
        else
            words += (in->scope == SK_LANE ? p->w : 1) * (in->type == SK_QUAD ? 4u : 1u);
        if (words > UINT32_MAX || addrs > UINT32_MAX)
            return sk_fail(t->err, SPHKV_ENOMEM, "interpreter: too many values");
    }
    t->nword = (uint32_t)words;
    t->naddr = (uint32_t)addrs;
    return SPHKV_OK;
}

/* Links control: while a body is read, `jump` of its head holds the head
 * around it; then it becomes the place to go on. A FOR jumps behind its END,
 * its END back behind the FOR; a false IF jumps behind ELSE or END; an ELSE
 * that is reached jumps behind its END. The END of an IF leaves no code. */
static void link_control(interp *t, uint32_t i, uint32_t *here)
{
    interp_instr *const code = t->code, *const at = &code[t->ncode];
    if (t->p->instr[i].op == SK_OP_FOR || t->p->instr[i].op == SK_OP_IF) {
        at->jump = *here;
        *here = t->ncode++;
        return;
    }
    interp_instr *const head = &code[*here];
    const uint32_t outer = head->jump;
    if (at->op == SK_OP_ELSE) {
        head->jump = t->ncode + 1;
        at->jump = outer;
        *here = t->ncode++;
        return;
    }
    if (head->op == SK_OP_FOR) {
        at->jump = *here + 1;
        at->dst = head->dst;
        at->src[0] = head->src[1];
        at->imm = head->imm;
        t->ncode++;
    }
    head->jump = t->ncode;
    *here = outer;
}

static void decode_one(const interp *t, uint32_t i, interp_instr *out)
{
    const sk_instr *const in = &t->p->instr[i];
    *out = (interp_instr){.op = in->op,
                          .n = (uint8_t)(in->scope == SK_LANE ? t->p->w : 1),
                          .nargs = in->nargs,
                          .is_ptr = in->type == SK_PTR,
                          .is_quad = in->type == SK_QUAD,
                          .dst = t->reg[i],
                          .imm = in->imm,
                          .imm2 = in->imm2,
                          .origin = i};
    for (uint32_t k = 0; k < in->nargs; k++) {
        out->src[k] = t->reg[in->arg[k]];
        out->stride[k] = t->p->instr[in->arg[k]].scope == SK_LANE;
    }
    if (in->op == SK_OP_SET) { /* a move into the variable */
        const sk_instr *const var = &t->p->instr[in->arg[0]];
        out->is_ptr = var->type == SK_PTR;
        out->is_quad = var->type == SK_QUAD;
        out->n = (uint8_t)(var->scope == SK_LANE ? t->p->w : 1);
        out->dst = out->src[0];
        out->src[0] = out->src[1];
        out->stride[0] = out->stride[1];
        out->op = SK_OP_GET;
        out->nargs = 1;
    }
}

/* A piece of scratch goes to where the next one begins. */
static void pieces(interp *t)
{
    const sk_program *const p = t->p;
    for (uint32_t i = 0; i < p->ninstr; i++) {
        if (p->instr[i].op != SK_OP_SHARED)
            continue;
        t->piece_end[i] = p->shared_bytes;
        for (uint32_t k = 0; k < i; k++) { /* few, and the first of a program */
            if (p->instr[k].op != SK_OP_SHARED)
                continue;
            const uint32_t here = p->instr[i].imm, there = p->instr[k].imm;
            if (there > here && there < t->piece_end[i])
                t->piece_end[i] = there;
            if (here > there && here < t->piece_end[k])
                t->piece_end[k] = here;
        }
    }
}

static sk_status decode(interp *t)
{
    const sk_program *const p = t->p;
    t->reg = sk_calloc(p->ninstr + 1u, sizeof *t->reg);
    t->code = sk_calloc(p->ninstr + 1u, sizeof *t->code);
    t->piece_end = sk_calloc(p->ninstr + 1u, sizeof *t->piece_end);
    if (!t->reg || !t->code || !t->piece_end)
        return sk_fail(t->err, SPHKV_ENOMEM, "interpreter: out of memory");
    pieces(t);
    const sk_status st = assign(t);
    if (st != SPHKV_OK)
        return st;
    uint32_t here = SK_NONE;
    for (uint32_t i = 0; i < p->ninstr; i++) {
        const uint32_t op = p->instr[i].op;
        if (is_preset(op))
            continue;
        decode_one(t, i, &t->code[t->ncode]);
        if (op == SK_OP_FOR || op == SK_OP_IF || op == SK_OP_ELSE || op == SK_OP_END)
            link_control(t, i, &here);
        else
            t->ncode++;
    }
    return SPHKV_OK;
}

static sk_status make_warps(interp *t)
{
    t->warp = sk_calloc(t->p->warps, sizeof *t->warp);
    if (!t->warp)
        return sk_fail(t->err, SPHKV_ENOMEM, "interpreter: out of memory");
    for (uint32_t k = 0; k < t->p->warps; k++) {
        t->warp[k].word = sk_calloc(t->nword + 1u, sizeof *t->warp[k].word);
        t->warp[k].addr = sk_calloc(t->naddr + 1u, sizeof *t->warp[k].addr);
        if (!t->warp[k].word || !t->warp[k].addr)
            return sk_fail(t->err, SPHKV_ENOMEM, "interpreter: out of memory for registers");
    }
    return SPHKV_OK;
}

/* ---- run --------------------------------------------------------------------------------- */

/* What is the same for a whole block, into the registers of one warp. */
static void preset(const interp *t, uint32_t index, interp_warp *warp)
{
    const sk_program *const p = t->p;
    for (uint32_t i = 0; i < p->ninstr; i++) {
        const sk_instr *const in = &p->instr[i];
        const uint32_t r = t->reg[i];
        switch (in->op) {
        case SK_OP_CONST_U32:
        case SK_OP_CONST_F32: warp->word[r] = in->imm; break;
        case SK_OP_LANE:
            for (uint32_t lane = 0; lane < p->w; lane++)
                warp->word[r + lane] = lane;
            break;
        case SK_OP_WARP: warp->word[r] = index; break;
        case SK_OP_BLOCK: warp->word[r] = t->args->first[in->imm] + t->block[in->imm]; break;
        case SK_OP_PARAM_U32:
        case SK_OP_PARAM_F32: warp->word[r] = t->args->scalar[in->imm]; break;
        case SK_OP_PARAM_PTR: warp->addr[r] = (interp_addr){.place = in->imm}; break;
        case SK_OP_SHARED:
            warp->addr[r] = (interp_addr){.place = p->nparams, .offset = in->imm,
                                          .from = in->imm, .to = t->piece_end[i]};
            break;
        default: break;
        }
    }
}

/* Moves and sums of addresses; false when the instruction is none. */
static bool address_op(const interp_instr *in, interp_warp *warp)
{
    interp_addr *const addr = warp->addr;
    if (!in->is_ptr)
        return false;
    switch (in->op) {
    case SK_OP_PTR_ADD:
        addr[in->dst] = addr[in->src[0]];
        addr[in->dst].offset += (uint64_t)warp->word[in->src[1]] * in->imm;
        break;
    case SK_OP_SELECT: addr[in->dst] = addr[in->src[warp->word[in->src[0]] ? 1 : 2]]; break;
    default: addr[in->dst] = addr[in->src[0]]; break; /* VAR, GET, SET */
    }
    return true;
}

/* Control; sets pc. False when the instruction is none. */
static bool control_op(const interp_instr *in, interp_warp *warp)
{
    uint32_t *const word = warp->word;
    bool leap;
    switch (in->op) {
    case SK_OP_FOR:
        word[in->dst] = word[in->src[0]];
        leap = !(word[in->dst] < word[in->src[1]]);
        break;
    case SK_OP_END:
        word[in->dst] += in->imm;
        leap = word[in->dst] < word[in->src[0]];
        break;
    case SK_OP_IF: leap = !word[in->src[0]]; break;
    case SK_OP_ELSE: leap = true; break;
    default: return false;
    }
    warp->pc = leap ? in->jump : warp->pc + 1;
    return true;
}

static void plain_op(interp *t, const interp_instr *in, interp_warp *warp)
{
    if (address_op(in, warp) || sk_interp_memory(t, in, warp) || sk_interp_async(t, in, warp)
        || sk_interp_quad(in, t->p->w, warp->word) || sk_interp_alu(in, t->p->w, warp->word))
        return;
    t->st = sk_fail(t->err, SPHKV_EINTERNAL, "interpreter: no meaning for op %u", in->op);
}

/* Runs a warp to the next barrier or its end. True at a barrier. */
static bool run_warp(interp *t, interp_warp *warp)
{
    while (warp->pc < t->ncode && t->st == SPHKV_OK) {
        const interp_instr *const in = &t->code[warp->pc];
        if (++warp->steps > t->max_steps) {
            sk_interp_fault(t, in, 0, "more than %llu instructions: a loop that never ends?",
                            (unsigned long long)t->max_steps);
            return false;
        }
        if (in->op == SK_OP_BARRIER) {
            if (t->args->profile)
                sk_interp_profile_instr(t, in, warp);
            return true;
        }
        if (!control_op(in, warp)) {
            warp->pc++;
            plain_op(t, in, warp);
        }
        if (t->args->profile)
            sk_interp_profile_instr(t, in, warp);
    }
    return false;
}

static void next_interval(interp *t)
{
    if (t->interval == UINT32_MAX)
        t->st = sk_fail(t->err, SPHKV_EVERIFY, "%s: more barriers and blocks than can be counted",
                        t->p->symbol);
    t->interval++;
}

static void run_block(interp *t)
{
    next_interval(t);
    t->first = t->interval;
    t->own_add = t->nadd;
    for (uint32_t k = 0; k < t->p->warps; k++) {
        preset(t, k, &t->warp[k]);
        t->warp[k].pc = 0;
        t->warp[k].steps = 0;
        t->warp[k].commits = 0;
    }
    for (bool more = true; more && t->st == SPHKV_OK;) {
        for (uint32_t k = 0; k < t->p->warps && t->st == SPHKV_OK; k++) {
            t->at_warp = k;
            const bool waits = run_warp(t, &t->warp[k]);
            more = k == 0 ? waits : more;
            if (t->st == SPHKV_OK && t->warp[k].pc != t->warp[0].pc) {
                const uint32_t lost = waits ? t->warp[k].pc : t->warp[0].pc;
                sk_interp_fault(t, &t->code[lost], 0, "not all warps reach the same barrier");
            }
        }
        for (uint32_t k = 0; more && k < t->p->warps; k++)
            t->warp[k].pc++;
        if (more)
            next_interval(t);
    }
    for (uint32_t k = 0; k < t->p->warps && t->st == SPHKV_OK; k++) {
        t->at_warp = k;
        sk_interp_async_end(t, &t->warp[k]);
    }
}

static void run_grid(interp *t)
{
    const uint32_t *const n = t->args->grid;
    const uint64_t row = (uint64_t)n[0] * n[1], all = row * n[2];
    for (uint64_t k = 0; t->st == SPHKV_OK && k < all; k++) {
        const uint64_t block = t->args->backwards ? all - 1 - k : k;
        t->block[0] = (uint32_t)(block % n[0]);
        t->block[1] = (uint32_t)(block / n[0] % n[1]);
        t->block[2] = (uint32_t)(block / row);
        run_block(t);
    }
}

static sk_status check_args(const sk_program *p, const sk_interp_args *args, sk_err *err)
{
    for (uint32_t k = 0; k < p->nparams; k++)
        if (p->param[k].kind == SK_PARAM_PTR ? !args->buffer : !args->scalar)
            return sk_fail(err, SPHKV_EINVAL, "interpreter: %s: no argument for parameter %s",
                           p->symbol, p->param[k].name);
    return SPHKV_OK;
}

static void release(interp *t)
{
    for (uint32_t k = 0; t->warp && k < t->p->warps; k++) {
        sk_free(t->warp[k].word);
        sk_free(t->warp[k].addr);
        sk_free(t->warp[k].copy);
    }
    sk_free(t->warp);
    sk_free(t->reg);
    sk_free(t->piece_end);
    sk_free(t->code);
    sk_free(t->add);
    sk_interp_places_free(t);
}

sk_status sk_interp_run(const sk_program *program, const sk_interp_args *args, sk_err *err)
{
    interp t = {.p = program,
                .args = args,
                .max_steps = args->max_steps ? args->max_steps : UINT64_C(1) << 40,
                .err = err};
    t.st = sk_ir_verify(program, err);
    if (t.st == SPHKV_OK)
        t.st = check_args(program, args, err);
    if (t.st == SPHKV_OK)
        t.st = decode(&t);
    if (t.st == SPHKV_OK)
        t.st = make_warps(&t);
    if (t.st == SPHKV_OK)
        t.st = sk_interp_places(&t);
    if (t.st == SPHKV_OK)
        run_grid(&t);
    release(&t);
    return t.st;
}
