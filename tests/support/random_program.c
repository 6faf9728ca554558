/* random_program.c - see random_program.h. No call draws two random numbers in
 * its arguments: C leaves their order open. A pool holds the values that are
 * visible; it is cut back when a body closes. Statements draw their arguments
 * from it by type and scope. Every address is `in` or the warp's own part of
 * the output or the scratch, every offset is masked, so nothing leaves its
 * place and no two warps meet, except in `exchange`, which puts barriers. */
#include <stdio.h>
#include <string.h>

#include "ir_rules.h"
#include "random_impl.h"

/* ---- drawing arguments ------------------------------------------------------------------ */

static sk_val fresh(gen *g, sk_type type)
{
    static const float value[] = {0, 1, -1, 0.5f, 3.25f, -1e-3f, 1e20f, -1e-40f, 65504};
    switch (type) {
    case SK_F32: return sk_ir_f32(&g->b, value[below(g, SK_COUNT(value))]);
    case SK_PRED: {
        const sk_val x = num(g, below(g, 2));
        return op2(g, SK_OP_EQ, x, num(g, 1));
    }
    case SK_PTR: return g->in;
    case SK_QUAD: {
        const sk_val x = num(g, below(g, 64)), y = num(g, (uint32_t)sk_rng_u64(&g->rng));
        return sk_ir_quad(&g->b, x, y, y, num(g, 7));
    }
    default: return num(g, below(g, 2) ? below(g, 64) : (uint32_t)sk_rng_u64(&g->rng));
    }
}

sk_val gen_draw(gen *g, sk_type type, sk_scope widest)
{
    const uint32_t most = below(g, 12) && g->npool ? 24 : 0;
    for (uint32_t tries = 0; tries < most; tries++) {
        const uint32_t back = below(g, below(g, 2) && g->npool > 12 ? 12 : g->npool);
        const sk_val v = g->pool[g->npool - 1 - back];
        if (at(g, v)->type == type && at(g, v)->scope <= widest)
            return v;
    }
    return fresh(g, type);
}

static sk_val draw_u32(gen *g) { return gen_draw(g, SK_U32, SK_LANE); }

/* x, or one fixed NaN: what may be looked at bit by bit. */
static sk_val plain(gen *g, sk_val x)
{
    const sk_val sound = op2(g, SK_OP_FEQ, x, x);
    return sk_ir_3(&g->b, SK_OP_SELECT, sound, x, sk_ir_0(&g->b, SK_OP_CONST_F32, 0x7fc00000));
}

sk_val gen_offset(gen *g, sk_scope widest, uint32_t bytes)
{
    const sk_val x = gen_draw(g, SK_U32, widest);
    return op2(g, SK_OP_AND, x, num(g, OFFSET_MASK & ~(bytes - 1)));
}

/* ---- values ----------------------------------------------------------------------------- */

/* Ops that make a value of values and nothing else, by the table of ops: a new
 * one takes part as soon as it has its row. */
bool sk_random_is_value_op(uint32_t op)
{
    const sk_op_info *const info = sk_op_get(op);
    return info->exact && info->nargs && strchr("UFPQST", info->result)
           && strspn(sk_ir_arg_rule(op), "ufpqwx=") == info->nargs;
}

/* An argument by its rule. Bits of a float may be looked at where the value is
 * an integer or a quad. */
static sk_val argument(gen *g, sk_op op, uint32_t k, sk_scope widest, sk_type before)
{
    static const sk_type any[] = {SK_U32, SK_U32, SK_F32, SK_F32, SK_PRED, SK_QUAD};
    sk_type type = SK_F32;
    switch (sk_ir_arg_rule(op)[k]) {
    case 'u': type = SK_U32; break;
    case 'p': type = SK_PRED; break;
    case 'q': type = SK_QUAD; break;
    case 'w': type = any[below(g, 4)]; break;
    case 'x': type = any[below(g, g->all_ops ? 6 : 5)]; break;
    case '=': type = before; break;
    default: break;
    }
    const sk_val x = gen_draw(g, type, widest);
    const bool bits = sk_op_get(op)->result == 'U' || sk_op_get(op)->result == 'Q';
    return bits && type == SK_F32 ? plain(g, x) : x;
}

static bool takes_imm(const gen *g, sk_instr in, uint32_t imm)
{
    if (g->b.failed)
        return true;
    in.imm = imm;
    sk_ir_infer(g->b.program, &in);
    return sk_ir_check(g->b.program, &in, g->b.program->ninstr, NULL) == SPHKV_OK;
}

static sk_val op_value(gen *g)
{
    const sk_op op = (sk_op)g->value_op[below(g, g->nvalue_op)];
    const sk_scope widest = below(g, 4) ? SK_LANE : SK_WARP;
    sk_instr in = {.op = (uint8_t)op, .nargs = (uint8_t)sk_op_get(op)->nargs};
    uint32_t imm = 0;
    for (uint32_t k = 0; k < in.nargs; k++)
        in.arg[k] = argument(g, op, k, widest, k ? (sk_type)at(g, in.arg[k - 1])->type : SK_VOID);
    for (uint32_t tries = 0; tries < 8 && !takes_imm(g, in, SK_NONE); tries++) {
        const uint32_t any = below(g, g->w); /* the constant has a meaning */
        imm = takes_imm(g, in, any) ? any : imm;
    }
    return sk_ir_emit(&g->b, op, in.nargs, in.arg, imm, 0);
}

/* ---- memory ----------------------------------------------------------------------------- */

static sk_val address_value(gen *g)
{
    const sk_val p = gen_draw(g, SK_PTR, SK_WARP);
    if (below(g, 2)) {
        const sk_val step = op2(g, SK_OP_AND, gen_draw(g, SK_U32, SK_WARP), num(g, 63));
        return sk_ir_ptr_add(&g->b, g->in, step, 4);
    }
    const sk_val which = gen_draw(g, SK_PRED, SK_WARP);
    return sk_ir_3(&g->b, SK_OP_SELECT, which, p, gen_draw(g, SK_PTR, SK_WARP));
}

static sk_val rows_value(gen *g, sk_val p, sk_ld_kind kind, uint32_t disp)
{
    uint32_t shift = 0;
    while ((2u << shift) <= g->w && below(g, 3))
        shift++;
    const sk_val run = op2(g, SK_OP_SHR, g->lane, num(g, shift));
    const sk_val spread = op2(g, SK_OP_MUL, run, num(g, 4 * below(g, 100)));
    const sk_val sum = op2(g, SK_OP_ADD, spread, gen_draw(g, SK_U32, SK_WARP));
    const sk_val off = op2(g, SK_OP_AND, sum, num(g, OFFSET_MASK & ~3u));
    return sk_ir_ldrows(&g->b, kind, p, off, disp, 1u << shift);
}

static sk_val loaded_value(gen *g)
{
    const sk_ld_kind kind = (sk_ld_kind)below(g, SK_LD_KINDS);
    const uint32_t bytes = sk_ld_bytes(kind), disp = bytes * below(g, 16);
    const bool own = below(g, 4) == 0; /* what the warp stores itself */
    const sk_val p = own ? g->mine : gen_draw(g, SK_PTR, SK_WARP);
    switch (below(g, 5)) {
    case 0: return sk_ir_ldu(&g->b, kind, p, gen_offset(g, SK_WARP, bytes), disp);
    case 1: return sk_ir_ldv(&g->b, kind, p, gen_offset(g, SK_WARP, bytes), disp);
    case 2: {
        const sk_val on = gen_draw(g, SK_PRED, SK_LANE), inside = gen_offset(g, SK_LANE, bytes);
        const sk_val off = sk_ir_3(&g->b, SK_OP_SELECT, on, inside, draw_u32(g));
        return sk_ir_ldg(&g->b, kind, p, off, disp, on);
    }
    case 3: return sk_ir_ldg(&g->b, kind, p, gen_offset(g, SK_LANE, bytes), disp, SK_NONE);
    default: return rows_value(g, p, kind % 2 ? SK_LD_U32 : SK_LD_F32, disp / bytes * 4);
    }
}

/* A u32 or f32 to store. */
static sk_val storable(gen *g, sk_scope widest)
{
    return below(g, 2) ? gen_draw(g, SK_U32, widest) : plain(g, gen_draw(g, SK_F32, widest));
}

static void store(gen *g)
{
    const bool scratch = below(g, 3) == 0;
    const sk_val p = scratch ? g->scratch : g->mine;
    const uint32_t disp = scratch ? 0 : 4 * below(g, 16);
    const uint32_t mask = scratch ? 4 * g->w - 4 : OFFSET_MASK & ~3u; /* scratch: two vectors */
    const sk_val off = op2(g, SK_OP_AND, gen_draw(g, SK_U32, SK_WARP), num(g, mask));
    switch (below(g, 4)) {
    case 0: sk_ir_stu(&g->b, p, off, disp, storable(g, SK_WARP)); break;
    case 1: sk_ir_stv(&g->b, p, off, disp, storable(g, SK_LANE)); break;
    case 2: { /* whole vectors */
        const sk_val whole = op2(g, SK_OP_AND, off, num(g, ~(4 * g->w - 1)));
        sk_ir_stn(&g->b, p, whole, scratch ? 0 : 128, storable(g, SK_LANE));
        break;
    }
    default: { /* lanes change places; some stay away, with any offset */
        const sk_val turn = op2(g, SK_OP_XOR, g->lane, num(g, below(g, g->w)));
        const sk_val place = op2(g, SK_OP_ADD, op2(g, SK_OP_SHL, turn, num(g, 2)), off);
        const sk_val on = gen_draw(g, SK_PRED, SK_LANE), x = storable(g, SK_LANE);
        const sk_val any = sk_ir_3(&g->b, SK_OP_SELECT, on, place, draw_u32(g));
        if (below(g, 2))
            sk_ir_stg(&g->b, p, any, disp, x, on);
        else
            sk_ir_stg(&g->b, p, place, disp, x, SK_NONE);
    }
    }
}

static sk_val scratch_value(gen *g)
{
    const sk_ld_kind kind = (sk_ld_kind)below(g, SK_LD_KINDS);
    const uint32_t bytes = sk_ld_bytes(kind);
    const sk_val mask = num(g, (4 * g->w - 4) & ~(bytes - 1));
    const sk_val off = op2(g, SK_OP_AND, gen_draw(g, SK_U32, SK_WARP), mask);
    return sk_ir_ldv(&g->b, kind, g->scratch, off, 0);
}

/* Of anything: a hint has no effect. */
static void hint(gen *g)
{
    const sk_val p = gen_draw(g, SK_PTR, SK_WARP);
    const uint32_t disp = 64 * below(g, 8);
    const sk_val off = gen_draw(g, SK_U32, SK_WARP);
    if (below(g, 2) == 0)
        sk_ir_prefetch(&g->b, p, off, disp);
    else
        sk_ir_prefetch_near(&g->b, p, off, disp);
}

/* Every warp reads what its neighbour has in the scratch. */
static void exchange(gen *g)
{
    for (uint32_t d = 0; d < g->depth; d++)
        if (g->control[d] != SK_BLOCK)
            return;
    sk_ir_barrier(&g->b);
    const sk_val turn = op2(g, SK_OP_ADD, sk_ir_0(&g->b, SK_OP_WARP, 0), num(g, 1));
    const sk_val other = op2(g, SK_OP_UREM, turn, num(g, g->warps));
    const sk_val theirs = sk_ir_ptr_add(&g->b, g->all_scratch, other, 8 * g->w);
    keep(g, sk_ir_ldv(&g->b, SK_LD_U32, theirs, num(g, 0), 4));
    if (g->all_ops)
        gen_gpu_exchange(g, other);
    sk_ir_barrier(&g->b);
}

/* ---- variables and control -------------------------------------------------------------- */

static void make_var(gen *g)
{
    if (g->nvar == SK_COUNT(g->var))
        return;
    const sk_scope scope = (sk_scope)below(g, 3);
    const uint32_t kind = below(g, 8);
    const bool quad = g->all_ops && kind > 5;
    const sk_type type = quad ? SK_QUAD : kind == 0 ? SK_PTR : kind % 2 ? SK_U32 : SK_F32;
    const sk_scope own = type == SK_PTR && scope == SK_LANE ? SK_WARP : scope;
    g->var_depth[g->nvar] = g->depth;
    g->var[g->nvar++] = sk_ir_var(&g->b, own, gen_draw(g, type, own));
}

static void use_var(gen *g)
{
    if (g->nvar == 0)
        return;
    const uint32_t k = below(g, g->nvar);
    const sk_instr *const var = at(g, g->var[k]);
    uint8_t around = SK_BLOCK;
    for (uint32_t d = g->var_depth[k]; d < g->depth; d++)
        around = g->control[d] > around ? g->control[d] : around;
    if (around <= var->scope && below(g, 3))
        sk_ir_set(&g->b, g->var[k], gen_draw(g, (sk_type)var->type, (sk_scope)var->scope));
    else
        keep(g, sk_ir_get(&g->b, g->var[k]));
}

static void statements(gen *g, uint32_t n);

/* What a body adds to the pool and the variables is gone behind it. */
static void body(gen *g, uint8_t scope)
{
    const uint32_t npool = g->npool, nvar = g->nvar;
    g->control[g->depth++] = scope;
    statements(g, 2 + below(g, 8));
    g->depth--;
    g->npool = npool;
    g->nvar = nvar;
}

static void loop(gen *g)
{
    const sk_scope widest = below(g, 2) ? SK_BLOCK : SK_WARP;
    const sk_val lo = op2(g, SK_OP_AND, gen_draw(g, SK_U32, widest), num(g, 3));
    const sk_val hi = op2(g, SK_OP_AND, gen_draw(g, SK_U32, widest), num(g, 7));
    const uint32_t npool = g->npool;
    const sk_val i = sk_ir_for(&g->b, lo, hi, 1 + below(g, 3));
    keep(g, i);
    body(g, at(g, i)->scope);
    g->npool = npool;
    sk_ir_end(&g->b);
}

static void branch(gen *g)
{
    const sk_val p = gen_draw(g, SK_PRED, below(g, 2) ? SK_BLOCK : SK_WARP);
    const uint8_t scope = at(g, p)->scope;
    sk_ir_if(&g->b, p);
    body(g, scope);
    if (below(g, 2)) {
        sk_ir_else(&g->b);
        body(g, scope);
    }
    sk_ir_end(&g->b);
}

static void statement(gen *g)
{
    static sk_val (*const value[])(gen *) = {op_value,     op_value,     op_value,     op_value,
                                             op_value,     op_value,     op_value,     op_value,
                                             loaded_value, loaded_value, address_value, scratch_value};
    const uint32_t kind = below(g, g->all_ops ? 40 : 32);
    if (kind >= 32)
        gen_gpu_statement(g);
    else if (kind < 3)
        store(g);
    else if (kind < 4)
        make_var(g);
    else if (kind < 8)
        use_var(g);
    else if (kind < 9)
        exchange(g);
    else if (kind < 10 && g->depth < DEEPEST)
        loop(g);
    else if (kind < 12 && g->depth < DEEPEST)
        branch(g);
    else if (kind < 13)
        hint(g);
    else
        keep(g, value[below(g, SK_COUNT(value))](g));
}

static bool left_out(const gen *g, uint64_t name)
{
    for (uint32_t k = 0; g->without && k < g->without->n; k++)
        if (g->without->name[k] == name)
            return true;
    return false;
}

/* Each from numbers of its own, which start from its name: what stays does not
 * change when another is left out, except that it may draw another argument. */
static void statements(gen *g, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        const uint64_t name = sk_rng_u64(&g->rng);
        const sk_rng rest = g->rng;
        if (left_out(g, name))
            continue;
        if (g->met && g->met->n < SK_RANDOM_NAMES)
            g->met->name[g->met->n++] = name;
        sk_rng_seed(&g->rng, name);
        statement(g);
        g->rng = rest;
    }
}

/* ---- the whole -------------------------------------------------------------------------- */

static void prologue(gen *g)
{
    sk_builder *const b = &g->b;
    for (uint32_t op = 0; op < SK_OP_COUNT; op++)
        if (sk_random_is_value_op(op) && (g->all_ops || sk_op_on_cpu(op))
            && (g->w == 32 || op != SK_OP_MOVM))
            g->value_op[g->nvalue_op++] = (uint8_t)op;
    g->in = sk_ir_param_ptr(b, "in", false);
    const sk_val out = sk_ir_param_ptr(b, "out", true);
    const sk_val n = sk_ir_param_u32(b, "n"), x = sk_ir_param_f32(b, "x");
    const sk_val block = sk_ir_block(b, 0), warp = sk_ir_0(b, SK_OP_WARP, 0);
    const sk_val first = op2(g, SK_OP_MUL, block, num(g, g->warps));
    const sk_val area = op2(g, SK_OP_ADD, first, warp);
    g->mine = sk_ir_ptr_add(b, out, area, 4 * SK_RANDOM_AREA_WORDS);
    g->all_scratch = sk_ir_shared(b, 8 * g->w * g->warps);
    g->scratch = sk_ir_ptr_add(b, g->all_scratch, warp, 8 * g->w);
    g->lane = sk_ir_lane(b);
    sk_ir_stv(b, g->scratch, num(g, 0), 0, g->lane);
    sk_ir_stv(b, g->scratch, num(g, 4 * g->w), 0, warp);
    if (g->all_ops)
        gen_gpu_prologue(g);
    const sk_val seeds[] = {n, x, block, warp, g->lane, g->in};
    for (uint32_t k = 0; k < SK_COUNT(seeds); k++)
        keep(g, seeds[k]);
    for (uint32_t k = 0; k < 2; k++) {
        const sk_val zero = num(g, 0);
        keep(g, sk_ir_ldv(b, SK_LD_U32, g->in, zero, 512 * k));
        keep(g, sk_ir_ldv(b, SK_LD_F32, g->in, zero, 512 * k + 256));
        keep(g, sk_ir_ldu(b, SK_LD_F32, g->in, zero, 1024 + 4 * k));
    }
}

/* Lays variables and the newest values open, a vector each. */
static void epilogue(gen *g)
{
    for (uint32_t k = 0; k < g->nvar; k++)
        keep(g, sk_ir_get(&g->b, g->var[k]));
    uint32_t place = FINAL_AT;
    const uint32_t end = 4 * SK_RANDOM_AREA_WORDS;
    for (uint32_t k = g->npool; k-- > 0 && place + 4 * g->w <= end;) {
        sk_val v = g->pool[k];
        if (at(g, v)->type == SK_PTR)
            v = sk_ir_ldu(&g->b, SK_LD_U32, v, num(g, 0), 0);
        else if (at(g, v)->type == SK_QUAD)
            v = sk_ir_word(&g->b, v, k % 4);
        else if (at(g, v)->type == SK_PRED)
            v = sk_ir_3(&g->b, SK_OP_SELECT, v, num(g, 1), num(g, 0));
        else if (at(g, v)->type == SK_F32)
            v = plain(g, v);
        sk_ir_stv(&g->b, g->mine, num(g, place), 0, v);
        place += 4 * g->w;
    }
}

sk_status sk_random_program(const sk_random_params *p, sk_arena *arena, sk_program **out,
                            sk_err *err)
{
    gen g = {.w = p->w, .warps = p->warps, .all_ops = p->all_ops, .without = p->without, .met = p->met};
    char symbol[40];
    (void)snprintf(symbol, sizeof symbol, "sk_random_%llu", (unsigned long long)p->seed);
    sk_rng_seed(&g.rng, p->seed);
    sk_ir_begin(&g.b, arena, symbol, p->w, p->warps);
    if (g.met)
        g.met->n = 0;
    prologue(&g);
    statements(&g, p->size);
    epilogue(&g);
    return sk_ir_finish(&g.b, out, err);
}
