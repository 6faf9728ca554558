/* test_ir_rules.c - the rules of what GPUs have besides the common ops: each
 * broken once, and the message names it; how they print; what the hash sees of
 * them. */
#include "sk_test.h"

#include "ir.h"

/* Values for the rows below, of a program with W lanes. */
typedef struct frame {
    sk_arena arena;
    sk_builder b;
    sk_val in, out, s;                /* addresses */
    sk_val u, x, lane, pred, on, quad;/* block u32 and f32, lane u32, predicates, lane quad */
} frame;

static frame start(uint32_t w)
{
    frame f = {0};
    sk_ir_begin(&f.b, &f.arena, "rules", w, 1);
    f.in = sk_ir_param_ptr(&f.b, "in", false);
    f.out = sk_ir_param_ptr(&f.b, "out", true);
    f.s = sk_ir_shared(&f.b, 1024);
    f.u = sk_ir_u32(&f.b, 0);
    f.x = sk_ir_f32(&f.b, 0);
    f.lane = sk_ir_lane(&f.b);
    f.pred = sk_ir_2(&f.b, SK_OP_EQ, f.u, f.u);
    f.on = sk_ir_2(&f.b, SK_OP_EQ, f.lane, f.u);
    f.quad = sk_ir_quad(&f.b, f.lane, f.u, f.x, f.u);
    return f;
}

static sk_status finish(frame *f, sk_program **program, sk_err *err)
{
    return sk_ir_finish(&f->b, program, err);
}

/* Builds what a letter per argument says, and expects the text, or NULL: sound.
 * i o s: addresses; u x l p m q: the values of the frame in their order. */
static void expect(uint32_t w, sk_op op, const char *letters, uint32_t imm, uint32_t imm2,
                   const char *text)
{
    frame f = start(w);
    const sk_val of[128] = {['i'] = f.in, ['o'] = f.out, ['s'] = f.s, ['u'] = f.u, ['x'] = f.x,
                            ['l'] = f.lane, ['p'] = f.pred, ['m'] = f.on, ['q'] = f.quad};
    sk_val a[SK_MAX_ARGS] = {0};
    const uint32_t n = (uint32_t)strlen(letters);
    sk_program *program = NULL;
    sk_err err = {0};
    for (uint32_t k = 0; k < n; k++)
        a[k] = of[(uint8_t)letters[k]];
    (void)sk_ir_emit(&f.b, op, n, a, imm, imm2);
    const sk_status st = finish(&f, &program, &err);
    if (st != (text ? SPHKV_EINVAL : SPHKV_OK))
        fail_msg("%s %s: status %d: %s", sk_op_get(op)->text, letters, (int)st, err.message);
    if (text && !strstr(err.message, text))
        fail_msg("%s %s: message is: %s; expected: %s", sk_op_get(op)->text, letters, err.message,
                 text);
    sk_arena_free(&f.arena);
}

static void quads(void **state)
{
    (void)state;
    expect(8, SK_OP_QUAD, "uxlu", 0, 0, NULL);
    expect(8, SK_OP_QUAD, "uxl", 0, 0, "3 arguments, expected 4");
    expect(8, SK_OP_QUAD, "uxlp", 0, 0, "argument 3 (%6, block pred) must be u32 or f32");
    expect(8, SK_OP_QUAD, "uuuq", 0, 0, "must be u32 or f32");
    expect(8, SK_OP_WORD, "q", 3, 0, NULL);
    expect(8, SK_OP_WORD, "q", 4, 0, "a quad has words 0 to 3");
    expect(8, SK_OP_WORD, "u", 0, 0, "must be a quad");
    expect(8, SK_OP_ADD, "qu", 0, 0, "(%8, lane quad) must be u32");
    expect(8, SK_OP_VAR, "q", SK_LANE, 0, NULL);
    expect(8, SK_OP_VAR, "q", SK_WARP, 0, "initial value is wider than the variable");
    expect(8, SK_OP_SELECT, "mqq", 0, 0, NULL);
    expect(8, SK_OP_SELECT, "mqu", 0, 0, "must have the type of the one before");
    expect(8, SK_OP_SHUFFLE, "ql", 0, 0, "must be u32 or f32");
    expect(8, SK_OP_STV, "ouq", 0, 0, "must be u32 or f32");
    expect(8, SK_OP_LDQ, "il", 0, 0, NULL);
    expect(8, SK_OP_LDQ, "iupl", 0, 0, "4 arguments, expected 3");
    expect(8, SK_OP_LDQ, "ilu", 0, 0, "must be a predicate");
    expect(8, SK_OP_LDQ, "il", 0, 1, "wrong load kind 1");
    expect(8, SK_OP_STQ, "olqm", 0, 0, NULL);
    expect(8, SK_OP_STQ, "ouqm", 0, 0, NULL); /* one lane may be left */
    expect(8, SK_OP_STQ, "ouqp", 0, 0, "every lane stores to the same word");
    expect(8, SK_OP_STQ, "ouq", 0, 0, "every lane stores to the same word");
    expect(8, SK_OP_STQ, "ilq", 0, 0, "stores through a read-only parameter");
    expect(8, SK_OP_STQ, "oll", 0, 0, "must be a quad");
}

static void words(void **state)
{
    (void)state;
    expect(4, SK_OP_ANY, "m", 0, 0, NULL);
    expect(4, SK_OP_ANY, "l", 0, 0, "must be a predicate");
    expect(4, SK_OP_PRMT, "lu", 0, 0, "2 arguments, expected 3");
    expect(4, SK_OP_HFMA2, "lux", 0, 0, "must be u32");
    expect(32, SK_OP_MOVM, "l", 0, 0, NULL);
    expect(32, SK_OP_MOVM, "u", 0, 0, NULL);
    expect(16, SK_OP_MOVM, "l", 0, 0, "needs W = 32");
    expect(32, SK_OP_MMA, "qulq", 1, 0, NULL);
    expect(16, SK_OP_MMA, "qulq", 0, 0, "needs W = 32");
    expect(32, SK_OP_MMA, "qulq", 2, 0, "factors must be");
    expect(32, SK_OP_MMA, "qxlq", 0, 0, "must be u32");
    expect(32, SK_OP_MMA, "qulu", 0, 0, "must be a quad");
}

static void copies_and_adds(void **state)
{
    (void)state;
    expect(8, SK_OP_CPASYNC, "slilm", 16, 0x10000000, NULL);
    expect(8, SK_OP_CPASYNC, "slil", 0, 0, NULL);
    expect(8, SK_OP_CPASYNC, "suium", 0, 0, NULL);
    expect(8, SK_OP_CPASYNC, "suiup", 0, 0, "every lane stores to the same word");
    expect(8, SK_OP_CPASYNC, "suil", 0, 0, "every lane stores to the same word");
    expect(8, SK_OP_CPASYNC, "olil", 0, 0, "the target of a copy lies in the scratch");
    expect(8, SK_OP_CPASYNC, "slsl", 0, 0, "the source of a copy does not lie in the scratch");
    expect(8, SK_OP_CPASYNC, "sli", 0, 0, "3 arguments, expected 5");
    expect(8, SK_OP_CPASYNC, "slilu", 0, 0, "must be a predicate");
    expect(8, SK_OP_PREFETCH, "iu", 64, 1, NULL);
    expect(8, SK_OP_PREFETCH, "iu", 64, 2, "wrong load kind 2");
    expect(8, SK_OP_CPWAIT, "", 7, 0, NULL);
    expect(8, SK_OP_CPWAIT, "", 7, 1, "wrong load kind 1");
    expect(8, SK_OP_ATOMADD, "ouu", 12, 0, NULL);
    expect(8, SK_OP_ATOMADD, "olu", 0, 0, "argument 1 (%5, lane u32) must be uniform");
    expect(8, SK_OP_ATOMADD, "oul", 0, 0, "must be uniform");
    expect(8, SK_OP_ATOMADD, "oux", 0, 0, "must be u32");
    expect(8, SK_OP_ATOMADD, "iuu", 0, 0, "stores through a read-only parameter");
    expect(8, SK_OP_ATOMADD, "suu", 0, 0, "adds to words of buffers, not of the scratch");
}

static void what_they_give(void **state)
{
    (void)state;
    frame f = start(32);
    sk_program *program = NULL;
    sk_err err = {0};
    const sk_val uniform = sk_ir_quad(&f.b, f.u, f.x, f.u, f.x);
    const struct {
        sk_val v;
        uint8_t type, scope;
    } row[] = {
        {uniform, SK_QUAD, SK_BLOCK},
        {sk_ir_word(&f.b, uniform, 1), SK_U32, SK_BLOCK},
        {sk_ir_word(&f.b, f.quad, 1), SK_U32, SK_LANE},
        {sk_ir_ldq(&f.b, f.in, f.u, 0, SK_NONE), SK_QUAD, SK_LANE},
        {sk_ir_mma(&f.b, uniform, f.u, f.u, uniform, false), SK_QUAD, SK_LANE},
        {sk_ir_movm(&f.b, f.u), SK_U32, SK_LANE},
        {sk_ir_any(&f.b, f.pred), SK_PRED, SK_WARP},
        {sk_ir_atom_add(&f.b, f.out, f.u, 0, f.u), SK_U32, SK_WARP},
        {sk_ir_hfma2(&f.b, f.u, f.u, f.u), SK_U32, SK_BLOCK},
        {sk_ir_prmt(&f.b, f.u, f.lane, f.u), SK_U32, SK_LANE},
        {sk_ir_dot4(&f.b, f.u, f.lane, f.u), SK_U32, SK_LANE},
        {sk_ir_hadd2(&f.b, f.u, f.lane), SK_U32, SK_LANE},
        {sk_ir_hmul2(&f.b, f.u, f.u), SK_U32, SK_BLOCK},
    };
    sk_assert_ok(finish(&f, &program, &err), &err);
    for (uint32_t k = 0; k < SK_COUNT(row); k++)
        if (program->instr[row[k].v].type != row[k].type
            || program->instr[row[k].v].scope != row[k].scope)
            fail_msg("row %u: type %u, scope %u", k, program->instr[row[k].v].type,
                     program->instr[row[k].v].scope);
    sk_arena_free(&f.arena);
}

/* ---- print and hash ---------------------------------------------------------------------- */

static const char golden[] =
    "kernel rules w 32 warps 1 shared 1024 occupancy 3\n"
    "param 0 ptr   ; in\n"
    "param 1 ptr writable   ; out\n"
    "%0 = param.ptr block 0   ; in\n"
    "%1 = param.ptr block 1   ; out\n"
    "%2 = shared.ptr block 0\n"
    "%3 = const.u32 block 0\n"
    "%4 = const.f32 block 0x00000000\n"
    "%5 = lane.u32 lane\n"
    "%6 = eq.pred block %3, %3\n"
    "%7 = eq.pred lane %5, %3\n"
    "%8 = quad.quad lane %5, %3, %4, %3\n"
    "cp.async %2, %5, %0, %3, %7, from +16, to +32\n"
    "cp.commit\n"
    "cp.wait 0\n"
    "%12 = ldq.quad lane %2, %5, %7, +48\n"
    "%13 = word.u32 lane %12, 2\n"
    "%14 = mma.quad lane %8, %13, %13, %12, 1\n"
    "stq %1, %5, %14, +64\n"
    "%16 = atom.add.u32 warp %1, %3, %3, +4\n"
    "%17 = any.pred warp %7\n";

typedef enum change { PLAIN, OCCUPANCY, SOURCE, TARGET, WAIT, UNUSED_LOAD, ONE_MORE_ADD } change;

static void build(frame *f, change c)
{
    *f = start(32);
    sk_ir_occupancy(&f->b, c == OCCUPANCY ? 0 : 3);
    sk_ir_cp_async(&f->b, f->s, f->lane, c == TARGET ? 48 : 32, f->in, f->u, c == SOURCE ? 32 : 16,
                   f->on);
    sk_ir_cp_commit(&f->b);
    sk_ir_cp_wait(&f->b, c == WAIT ? 1 : 0);
    const sk_val q = sk_ir_ldq(&f->b, f->s, f->lane, 48, f->on);
    const sk_val word = sk_ir_word(&f->b, q, 2);
    const sk_val d = sk_ir_mma(&f->b, f->quad, word, word, q, true);
    sk_ir_stq(&f->b, f->out, f->lane, 64, d, SK_NONE);
    (void)sk_ir_atom_add(&f->b, f->out, f->u, 4, f->u);
    if (c == ONE_MORE_ADD) /* nobody needs its value, and yet it counts */
        (void)sk_ir_atom_add(&f->b, f->out, f->u, 4, f->u);
    if (c == UNUSED_LOAD)
        (void)sk_ir_ldq(&f->b, f->in, f->u, 0, SK_NONE);
    (void)sk_ir_any(&f->b, f->on);
}

static void print(void **state)
{
    (void)state;
    frame f;
    sk_program *program = NULL;
    sk_err err = {0};
    sk_text text = {0};
    build(&f, PLAIN);
    sk_assert_ok(finish(&f, &program, &err), &err);
    sk_ir_print(program, &text);
    assert_string_equal(text.s, golden);
    sk_text_free(&text);
    sk_arena_free(&f.arena);
}

static void hash(void **state)
{
    (void)state;
    char plain[65], other[65];
    for (change c = PLAIN; c <= ONE_MORE_ADD; c++) {
        frame f;
        sk_program *program = NULL;
        sk_err err = {0};
        build(&f, c);
        sk_assert_ok(finish(&f, &program, &err), &err);
        const sk_program *const one = program;
        sk_assert_ok(sk_ir_hash(&one, 1, c == PLAIN ? plain : other, &err), &err);
        if (c != PLAIN && (strcmp(plain, other) == 0) != (c == UNUSED_LOAD))
            fail_msg("change %u: hash %s, was %s", c, other, plain);
        sk_arena_free(&f.arena);
    }
}

static void occupancy_has_a_limit(void **state)
{
    (void)state;
    for (uint32_t n = 32; n < 34; n++) {
        frame f = start(32);
        sk_program *program = NULL;
        sk_err err = {0};
        sk_ir_occupancy(&f.b, n);
        assert_int_equal(finish(&f, &program, &err), n == 32 ? SPHKV_OK : SPHKV_EINVAL);
        assert_true(n == 32 || strstr(err.message, "33 blocks at once, the most is 32"));
        sk_arena_free(&f.arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quads),          cmocka_unit_test(words),
        cmocka_unit_test(copies_and_adds), cmocka_unit_test(what_they_give),
        cmocka_unit_test(print),          cmocka_unit_test(hash),
        cmocka_unit_test(occupancy_has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
