/* test_ir_refuse.c - one program per rule of the verifier that breaks just this
 * rule. Programs are written as raw instructions, since the builder would
 * refuse most of them itself. */
#include "sk_test.h"

#include "ir.h"

#define MOST 24

/* A program in the making: every field is in the open. */
typedef struct raw {
    sk_program p;
    sk_param param[3];
    sk_instr instr[MOST];
} raw;

/* Three parameters (read-only, writable, u32), then what `add` appends. */
static void start(raw *r)
{
    memset(r, 0, sizeof *r);
    r->param[0] = (sk_param){.name = "in", .kind = SK_PARAM_PTR};
    r->param[1] = (sk_param){.name = "out", .kind = SK_PARAM_PTR, .writable = true};
    r->param[2] = (sk_param){.name = "n", .kind = SK_PARAM_U32};
    r->p = (sk_program){.symbol = "raw", .w = 8, .warps = 2, .shared_bytes = 128, .nparams = 3,
                        .param = r->param, .instr = r->instr};
}

static sk_val add(raw *r, sk_op op, uint8_t type, uint8_t scope, uint32_t imm, uint8_t nargs,
                  sk_val a, sk_val b, sk_val c, sk_val d)
{
    const sk_instr in = {.op = (uint8_t)op, .type = type, .scope = scope, .nargs = nargs,
                         .arg = {a, b, c, d}, .imm = imm};
    r->instr[r->p.ninstr] = in;
    return r->p.ninstr++;
}

#define NO SK_NONE
static sk_val value(raw *r, sk_op op, uint8_t type, uint8_t scope, uint32_t imm)
{
    return add(r, op, type, scope, imm, 0, NO, NO, NO, NO);
}
static sk_val in_ptr(raw *r) { return value(r, SK_OP_PARAM_PTR, SK_PTR, SK_BLOCK, 0); }
static sk_val out_ptr(raw *r) { return value(r, SK_OP_PARAM_PTR, SK_PTR, SK_BLOCK, 1); }
static sk_val number(raw *r, uint32_t x) { return value(r, SK_OP_CONST_U32, SK_U32, SK_BLOCK, x); }
static sk_val lane(raw *r) { return value(r, SK_OP_LANE, SK_U32, SK_LANE, 0); }
static sk_val warp(raw *r) { return value(r, SK_OP_WARP, SK_U32, SK_WARP, 0); }
static sk_val less(raw *r, sk_val a, sk_val b)
{
    const uint8_t x = r->instr[a].scope, y = r->instr[b].scope;
    return add(r, SK_OP_ULT, SK_PRED, x > y ? x : y, 0, 2, a, b, NO, NO);
}
static void begin_if(raw *r, sk_val p)
{
    (void)add(r, SK_OP_IF, SK_VOID, r->instr[p].scope, 0, 1, p, NO, NO, NO);
}
static sk_val mark(raw *r, sk_op op) { return value(r, op, SK_VOID, SK_BLOCK, 0); }
static void store_v(raw *r, sk_val ptr, sk_val off, sk_val x)
{
    (void)add(r, SK_OP_STV, SK_VOID, r->instr[x].scope, 0, 3, ptr, off, x, NO);
}

static void expect(raw *r, const char *text)
{
    sk_err err = {0};
    const sk_status st = sk_ir_verify(&r->p, &err);
    if (st != SPHKV_EINVAL)
        fail_msg("status %d, expected a refusal: %s", (int)st, text);
    if (!strstr(err.message, text))
        fail_msg("message is: %s; expected: %s", err.message, text);
    const sk_interp_args args = {.grid = {1, 1, 1}}; /* and the interpreter refuses it as well */
    assert_int_equal(sk_interp_run(&r->p, &args, NULL), SPHKV_EINVAL);
}

static void a_sound_program_passes(void **state)
{
    (void)state;
    raw r;
    sk_err err = {0};
    start(&r);
    sk_assert_ok(sk_ir_verify(&r.p, &err), &err); /* nothing at all is a program */
    const sk_val out = out_ptr(&r), n = number(&r, 0), id = warp(&r), l = lane(&r);
    const sk_val p = less(&r, id, n);
    begin_if(&r, p);
    store_v(&r, out, n, l);
    (void)mark(&r, SK_OP_ELSE);
    (void)mark(&r, SK_OP_END);
    (void)mark(&r, SK_OP_BARRIER);
    sk_assert_ok(sk_ir_verify(&r.p, &err), &err);
}

static void the_frame(void **state)
{
    (void)state;
    static const struct {
        uint32_t w, warps, shared;
        const char *symbol, *text;
    } row[] = {
        {2, 1, 0, "ok", "W = 2"},          {64, 1, 0, "ok", "W = 64"},
        {12, 1, 0, "ok", "W = 12"},        {8, 0, 0, "ok", "0 warps"},
        {32, 33, 0, "ok", "33 warps"},     {8, 1, 32, "ok", "scratch of 32"},
        {8, 1, 0x80000000, "ok", "scratch"}, {8, 1, 0, "", "symbol"},
        {8, 1, 0, "3x", "symbol"},         {8, 1, 0, "a b", "symbol"},
        {8, 1, 0, NULL, "symbol"},
    };
    for (uint32_t k = 0; k < SK_COUNT(row); k++) {
        raw r;
        start(&r);
        r.p.symbol = row[k].symbol;
        r.p.w = row[k].w;
        r.p.warps = row[k].warps;
        r.p.shared_bytes = row[k].shared;
        expect(&r, row[k].text);
    }
    raw r;
    start(&r);
    r.param[2].kind = 9;
    expect(&r, "parameter 2 has no name or kind");
    start(&r);
    r.param[0].name = NULL;
    expect(&r, "parameter 0 has no name or kind");
    start(&r);
    r.param[2].writable = true;
    expect(&r, "parameter 2 is no pointer");
    start(&r);
    r.p.nparams = 1000;
    expect(&r, "1000 parameters");
    start(&r);
    r.p.ninstr = 1;
    r.p.instr = NULL;
    expect(&r, "1 instructions");
}

static void arguments(void **state)
{
    (void)state;
    raw r;
    start(&r);
    (void)value(&r, (sk_op)250, SK_U32, SK_BLOCK, 0);
    expect(&r, "no such op: 250");

    start(&r);
    const sk_val one = number(&r, 1);
    (void)add(&r, SK_OP_ADD, SK_U32, SK_BLOCK, 0, 1, one, NO, NO, NO);
    expect(&r, "1 arguments, expected 2");

    start(&r);
    (void)add(&r, SK_OP_PNOT, SK_PRED, SK_BLOCK, 0, 1, 0, NO, NO, NO);
    expect(&r, "argument 0 is no earlier value"); /* itself */

    start(&r);
    (void)add(&r, SK_OP_PNOT, SK_PRED, SK_BLOCK, 0, 1, 7, NO, NO, NO);
    expect(&r, "argument 0 is no earlier value");

    start(&r);
    const sk_val n = number(&r, 1);
    (void)add(&r, SK_OP_FADD, SK_F32, SK_BLOCK, 0, 2, n, n, NO, NO);
    expect(&r, "must be f32");

    start(&r);
    const sk_val m = number(&r, 1), l = lane(&r), out = out_ptr(&r);
    r.p.warps = 1;
    store_v(&r, out, m, l);
    (void)add(&r, SK_OP_ADD, SK_U32, SK_LANE, 0, 2, m, 3, NO, NO);
    expect(&r, "must be u32"); /* a store has no value */

    start(&r);
    const sk_val k = number(&r, 1), p = less(&r, k, k);
    const sk_val x = value(&r, SK_OP_CONST_F32, SK_F32, SK_BLOCK, 0);
    (void)add(&r, SK_OP_SELECT, SK_U32, SK_BLOCK, 0, 3, p, k, x, NO);
    expect(&r, "must have the type of the one before");
}

static void what_must_be_uniform(void **state)
{
    (void)state;
    raw r;
    start(&r);
    sk_val p = in_ptr(&r), l = lane(&r);
    (void)add(&r, SK_OP_PTR_ADD, SK_PTR, SK_LANE, 4, 2, p, l, NO, NO);
    expect(&r, "must be uniform");

    static const sk_op two[] = {SK_OP_LDU, SK_OP_LDV, SK_OP_PREFETCH};
    for (uint32_t k = 0; k < SK_COUNT(two); k++) {
        start(&r);
        p = in_ptr(&r), l = lane(&r);
        (void)add(&r, two[k], two[k] == SK_OP_PREFETCH ? SK_VOID : SK_U32, SK_LANE, 0, 2, p, l, NO,
                  NO);
        expect(&r, "must be uniform");
    }
    start(&r);
    p = out_ptr(&r), l = lane(&r);
    store_v(&r, p, l, l);
    expect(&r, "must be uniform");

    start(&r);
    p = out_ptr(&r), l = lane(&r);
    sk_val zero = number(&r, 0);
    (void)add(&r, SK_OP_STU, SK_VOID, SK_LANE, 0, 3, p, zero, l, NO);
    expect(&r, "must be uniform");

    start(&r);
    l = lane(&r), zero = number(&r, 0);
    begin_if(&r, less(&r, l, zero));
    expect(&r, "must be uniform");

    start(&r);
    l = lane(&r);
    (void)add(&r, SK_OP_FOR, SK_U32, SK_LANE, 1, 2, l, l, NO, NO);
    expect(&r, "must be uniform");

    start(&r); /* an address that lanes choose */
    p = in_ptr(&r), l = lane(&r);
    const sk_val n = number(&r, 3), cond = less(&r, l, n), q = out_ptr(&r);
    (void)add(&r, SK_OP_SELECT, SK_PTR, SK_LANE, 0, 3, cond, p, q, NO);
    expect(&r, "an address must be uniform");
}

static void constants(void **state)
{
    (void)state;
    static const struct {
        sk_op op;
        uint8_t type;
        uint8_t scope;
        uint32_t imm;
        const char *text;
    } row[] = {
        {SK_OP_BLOCK, SK_U32, SK_BLOCK, 3, "dimension"},
        {SK_OP_PARAM_U32, SK_U32, SK_BLOCK, 3, "no such parameter"},
        {SK_OP_PARAM_U32, SK_U32, SK_BLOCK, 0, "another kind"},
        {SK_OP_PARAM_F32, SK_F32, SK_BLOCK, 2, "another kind"},
        {SK_OP_PARAM_PTR, SK_PTR, SK_BLOCK, 2, "another kind"},
        {SK_OP_SHARED, SK_PTR, SK_BLOCK, 129, "outside of the scratch"},
        {SK_OP_CONST_U32, SK_F32, SK_BLOCK, 0, "not what the op gives"},
        {SK_OP_CONST_U32, SK_U32, SK_LANE, 0, "not what the op gives"},
    };
    for (uint32_t k = 0; k < SK_COUNT(row); k++) {
        raw r;
        start(&r);
        (void)value(&r, row[k].op, row[k].type, row[k].scope, row[k].imm);
        expect(&r, row[k].text);
    }
    static const struct {
        sk_op op;
        uint8_t nargs;
        uint8_t type;
        uint32_t imm, imm2;
        const char *text;
    } on_lanes[] = {
        {SK_OP_EXTRACT, 1, SK_U32, 8, 0, "no such lane"},
        {SK_OP_ZIP8, 2, SK_U32, 2, 0, "half must be"},
        {SK_OP_ZIP16, 2, SK_U32, 2, 0, "half must be"},
        {SK_OP_VAR, 1, SK_U32, 3, 0, "no such scope"},
        {SK_OP_ADD, 2, SK_U32, 0, 1, "wrong load kind"},
    };
    for (uint32_t k = 0; k < SK_COUNT(on_lanes); k++) {
        raw r;
        start(&r);
        const sk_val l = lane(&r);
        const sk_val v = add(&r, on_lanes[k].op, on_lanes[k].type, SK_LANE, on_lanes[k].imm,
                             on_lanes[k].nargs, l, l, NO, NO);
        r.instr[v].imm2 = on_lanes[k].imm2;
        expect(&r, on_lanes[k].text);
    }
}

static void loads(void **state)
{
    (void)state;
    static const struct {
        sk_op op;
        uint32_t imm, kind;
        const char *text;
    } row[] = {
        {SK_OP_LDU, 0, SK_LD_KINDS, "wrong load kind"},
        {SK_OP_LDROWS, 0, SK_LD_U32, "power of two"},
        {SK_OP_LDROWS, 3u << 24, SK_LD_U32, "power of two"},
        {SK_OP_LDROWS, 16u << 24, SK_LD_U32, "power of two"},
        {SK_OP_LDROWS, 4u << 24, SK_LD_F16, "32-bit kinds only"},
    };
    for (uint32_t k = 0; k < SK_COUNT(row); k++) {
        raw r;
        start(&r);
        const sk_val p = in_ptr(&r), n = number(&r, 0);
        const sk_val v = add(&r, row[k].op, SK_U32, SK_LANE, row[k].imm, 2, p, n, NO, NO);
        r.instr[v].imm2 = row[k].kind;
        expect(&r, row[k].text);
    }
    raw r;
    start(&r);
    const sk_val n = number(&r, 0), x = value(&r, SK_OP_CONST_F32, SK_F32, SK_BLOCK, 0);
    (void)add(&r, SK_OP_EXP2, SK_F32, SK_BLOCK, 2, 1, x, NO, NO, NO);
    expect(&r, "accuracy must be");
    start(&r);
    (void)number(&r, 0);
    (void)add(&r, SK_OP_FOR, SK_U32, SK_BLOCK, 0, 2, n, n, NO, NO);
    expect(&r, "step must not be 0");
}

static void variables(void **state)
{
    (void)state;
    raw r;
    start(&r);
    sk_val l = lane(&r);
    (void)add(&r, SK_OP_VAR, SK_U32, SK_WARP, SK_WARP, 1, l, NO, NO, NO);
    expect(&r, "initial value is wider");

    start(&r);
    sk_val n = number(&r, 0);
    (void)add(&r, SK_OP_GET, SK_U32, SK_BLOCK, 0, 1, n, NO, NO, NO);
    expect(&r, "must be a variable");

    start(&r);
    n = number(&r, 0);
    sk_val v = add(&r, SK_OP_VAR, SK_U32, SK_BLOCK, SK_BLOCK, 1, n, NO, NO, NO);
    (void)add(&r, SK_OP_ADD, SK_U32, SK_BLOCK, 0, 2, v, n, NO, NO);
    expect(&r, "is a variable");

    start(&r);
    n = number(&r, 0), l = lane(&r);
    v = add(&r, SK_OP_VAR, SK_U32, SK_WARP, SK_WARP, 1, n, NO, NO, NO);
    (void)add(&r, SK_OP_SET, SK_VOID, SK_LANE, 0, 2, v, l, NO, NO);
    expect(&r, "is wider than the variable");

    start(&r);
    n = number(&r, 0);
    v = add(&r, SK_OP_VAR, SK_U32, SK_WARP, SK_WARP, 1, n, NO, NO, NO);
    const sk_val x = value(&r, SK_OP_CONST_F32, SK_F32, SK_BLOCK, 0);
    (void)add(&r, SK_OP_SET, SK_VOID, SK_WARP, 0, 2, v, x, NO, NO);
    expect(&r, "must have the variable's type");

    start(&r); /* block variables cannot be set by some warps only */
    n = number(&r, 1);
    v = add(&r, SK_OP_VAR, SK_U32, SK_BLOCK, SK_BLOCK, 1, n, NO, NO, NO);
    const sk_val id = warp(&r);
    begin_if(&r, less(&r, id, n));
    (void)add(&r, SK_OP_SET, SK_VOID, SK_BLOCK, 0, 2, v, n, NO, NO);
    (void)mark(&r, SK_OP_END);
    expect(&r, "the control around it is wider than the variable");

    start(&r); /* a predicate in a variable */
    n = number(&r, 1);
    const sk_val p = less(&r, n, n);
    (void)add(&r, SK_OP_VAR, SK_PRED, SK_BLOCK, SK_BLOCK, 1, p, NO, NO, NO);
    expect(&r, "must be u32, f32, a quad or an address");
}

static void structure(void **state)
{
    (void)state;
    raw r;
    start(&r);
    (void)mark(&r, SK_OP_END);
    expect(&r, "nothing is open");

    start(&r);
    (void)mark(&r, SK_OP_ELSE);
    expect(&r, "no if is open");

    start(&r);
    sk_val n = number(&r, 1), p = less(&r, n, n);
    begin_if(&r, p);
    (void)mark(&r, SK_OP_ELSE);
    (void)mark(&r, SK_OP_ELSE);
    expect(&r, "no if is open");

    start(&r);
    n = number(&r, 1);
    (void)add(&r, SK_OP_FOR, SK_U32, SK_BLOCK, 1, 2, n, n, NO, NO);
    (void)mark(&r, SK_OP_ELSE);
    expect(&r, "no if is open");

    start(&r);
    n = number(&r, 1);
    (void)add(&r, SK_OP_FOR, SK_U32, SK_BLOCK, 1, 2, n, n, NO, NO);
    expect(&r, "is never closed");

    start(&r); /* the counter behind its loop */
    n = number(&r, 1);
    const sk_val i = add(&r, SK_OP_FOR, SK_U32, SK_BLOCK, 1, 2, n, n, NO, NO);
    (void)mark(&r, SK_OP_END);
    (void)add(&r, SK_OP_ADD, SK_U32, SK_BLOCK, 0, 2, i, n, NO, NO);
    expect(&r, "was made inside a body that is closed");

    start(&r); /* a value of the then-part in the else-part */
    n = number(&r, 1), p = less(&r, n, n);
    begin_if(&r, p);
    const sk_val m = number(&r, 2);
    (void)mark(&r, SK_OP_ELSE);
    (void)add(&r, SK_OP_ADD, SK_U32, SK_BLOCK, 0, 2, n, m, NO, NO);
    (void)mark(&r, SK_OP_END);
    expect(&r, "was made inside a body that is closed");

    start(&r);
    n = number(&r, 1);
    const sk_val id = warp(&r);
    begin_if(&r, less(&r, id, n));
    (void)add(&r, SK_OP_FOR, SK_U32, SK_BLOCK, 1, 2, n, n, NO, NO);
    (void)mark(&r, SK_OP_BARRIER);
    expect(&r, "a barrier stands under block-scope control only");
}

static void ownership(void **state)
{
    (void)state;
    raw r;
    start(&r);
    sk_val in = in_ptr(&r), n = number(&r, 0), l = lane(&r);
    store_v(&r, in, n, l);
    expect(&r, "stores through a read-only parameter");

    start(&r);
    in = in_ptr(&r), n = number(&r, 0), l = lane(&r);
    const sk_val q = add(&r, SK_OP_PTR_ADD, SK_PTR, SK_BLOCK, 8, 2, in, n, NO, NO);
    (void)add(&r, SK_OP_STG, SK_VOID, SK_LANE, 0, 3, q, l, l, NO);
    expect(&r, "stores through a read-only parameter");

    start(&r);
    sk_val out = out_ptr(&r);
    n = number(&r, 0);
    (void)add(&r, SK_OP_STG, SK_VOID, SK_BLOCK, 0, 3, out, n, n, NO);
    expect(&r, "every lane stores to the same word");

    start(&r);
    out = out_ptr(&r), n = number(&r, 0);
    const sk_val cond = less(&r, n, n);
    (void)add(&r, SK_OP_STG, SK_VOID, SK_BLOCK, 0, 4, out, n, n, cond);
    expect(&r, "every lane stores to the same word");

    start(&r);
    out = out_ptr(&r), n = number(&r, 0), l = lane(&r);
    store_v(&r, out, n, l);
    expect(&r, "every warp of the block stores to the same words");
    r.p.warps = 1; /* with one warp it is fine */
    sk_err err = {0};
    sk_assert_ok(sk_ir_verify(&r.p, &err), &err);
}

/* Memory for the verifier itself. */
static void no_memory(void **state)
{
    (void)state;
    raw r;
    sk_err err = {0};
    start(&r);
    (void)number(&r, 0);
    (void)sk_alloc_fault(1, true);
    const sk_status st = sk_ir_verify(&r.p, &err);
    (void)sk_alloc_fault(0, false);
    assert_int_equal(st, SPHKV_ENOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_program_passes),
        cmocka_unit_test(the_frame),
        cmocka_unit_test(arguments),
        cmocka_unit_test(what_must_be_uniform),
        cmocka_unit_test(constants),
        cmocka_unit_test(loads),
        cmocka_unit_test(variables),
        cmocka_unit_test(structure),
        cmocka_unit_test(ownership),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
