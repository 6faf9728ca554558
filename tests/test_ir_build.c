/* test_ir_build.c - the builder: errors are latched and name the place, folding
 * keeps what a program means, memory that runs out is reported and not leaked,
 * the print is what it was (golden) and the hash sees what matters only. */
#include "sk_test.h"

#include "ir.h"

/* A small program with a bit of everything; names or not. */
static sk_status build_sample(sk_arena *arena, bool names, uint32_t step, sk_program **out,
                              sk_err *err)
{
    sk_builder b;
    sk_ir_begin(&b, arena, "sample", 8, 2);
    const sk_val in = sk_ir_param_ptr(&b, "in", false);
    const sk_val to = sk_ir_param_ptr(&b, "out", true);
    const sk_val n = sk_ir_param_u32(&b, "n");
    const sk_val scale = sk_ir_param_f32(&b, "scale");
    const sk_val s = sk_ir_shared(&b, 100);
    const sk_val warp = sk_ir_0(&b, SK_OP_WARP, 0);
    const sk_val mine = sk_ir_ptr_add(&b, s, warp, 32);
    const sk_val sum = sk_ir_var(&b, SK_LANE, sk_ir_f32(&b, 1.5f));
    const sk_val i = sk_ir_for(&b, sk_ir_u32(&b, 0), n, step);
    sk_val x = sk_ir_ldv(&b, SK_LD_F16, in, i, 16);
    if (names)
        x = sk_ir_name(&b, x, "key");
    sk_ir_set(&b, sum, sk_ir_3(&b, SK_OP_FMA, x, scale, sk_ir_get(&b, sum)));
    sk_ir_end(&b);
    const sk_val zero = sk_ir_u32(&b, 0);
    sk_ir_stv(&b, mine, zero, 0, sk_ir_get(&b, sum));
    sk_ir_barrier(&b);
    sk_ir_if(&b, sk_ir_2(&b, SK_OP_EQ, warp, sk_ir_u32(&b, 0)));
    const sk_val row = sk_ir_ldrows(&b, SK_LD_F32, s, sk_ir_lane(&b), 32, 1);
    const sk_val lane = sk_ir_lane(&b);
    sk_ir_stg(&b, to, lane, 0, sk_ir_exp2(&b, row, true), SK_NONE);
    sk_ir_else(&b);
    const sk_val at = sk_ir_u32(&b, 64);
    sk_ir_stu(&b, to, at, 4, sk_ir_extract(&b, sk_ir_get(&b, sum), 3));
    sk_ir_end(&b);
    return sk_ir_finish(&b, out, err);
}

static const char golden[] =
    "kernel sample w 8 warps 2 shared 128\n"
    "param 0 ptr   ; in\n"
    "param 1 ptr writable   ; out\n"
    "param 2 u32   ; n\n"
    "param 3 f32   ; scale\n"
    "%0 = param.ptr block 0   ; in\n"
    "%1 = param.ptr block 1   ; out\n"
    "%2 = param.u32 block 2   ; n\n"
    "%3 = param.f32 block 3   ; scale\n"
    "%4 = shared.ptr block 0\n"
    "%5 = warp.u32 warp\n"
    "%6 = ptr.add.ptr warp %4, %5, *32\n"
    "%7 = const.f32 block 0x3fc00000\n"
    "%8 = var.f32 lane %7\n"
    "%9 = const.u32 block 0\n"
    "%10 = for.u32 block %9, %2, step 32\n"
    "  %11 = ldv.f16 lane %0, %10, +16   ; key\n"
    "  %12 = get.f32 lane %8\n"
    "  %13 = fma.f32 lane %11, %3, %12\n"
    "  set %8, %13\n"
    "end\n"
    "%16 = const.u32 block 0\n"
    "%17 = get.f32 lane %8\n"
    "stv %6, %16, %17\n"
    "barrier\n"
    "%20 = const.u32 block 0\n"
    "%21 = eq.pred warp %5, %20\n"
    "if warp %21\n"
    "  %23 = lane.u32 lane\n"
    "  %24 = ldrows.f32 lane %4, %23, +32, run 1\n"
    "  %25 = lane.u32 lane\n"
    "  %26 = exp2.f32 lane %24, 1\n"
    "  stg %1, %25, %26\n"
    "else\n"
    "  %29 = const.u32 block 64\n"
    "  %30 = get.f32 lane %8\n"
    "  %31 = extract.f32 warp %30, 3\n"
    "  stu %1, %29, %31, +4\n"
    "end\n";

static const char golden_hash[] =
    "a14ca40ade9bd199f08ab2d66bb0d0efcad9df1b49e7e920a464a7a4093fc271";

static void print_is_stable(void **state)
{
    (void)state;
    sk_arena arena = {0};
    sk_program *program = NULL;
    sk_err err = {0};
    sk_text text = {0};
    sk_assert_ok(build_sample(&arena, true, 32, &program, &err), &err);
    sk_ir_print(program, &text);
    assert_false(text.failed);
    assert_string_equal(text.s, golden);
    sk_text_free(&text);
    sk_arena_free(&arena);
}

static void hash_of(bool names, uint32_t step, char hex[65])
{
    sk_arena arena = {0};
    sk_program *program = NULL;
    sk_err err = {0};
    sk_assert_ok(build_sample(&arena, names, step, &program, &err), &err);
    const sk_program *const one = program;
    sk_assert_ok(sk_ir_hash(&one, 1, hex, &err), &err);
    sk_arena_free(&arena);
}

static void hash_ignores_names_only(void **state)
{
    (void)state;
    char a[65], b[65], c[65];
    hash_of(true, 32, a);
    hash_of(false, 32, b);
    hash_of(true, 16, c);
    assert_string_equal(a, b);
    assert_string_not_equal(a, c);
    /* Stored records are keyed by this: when it changes, they are all lost. */
    assert_string_equal(a, golden_hash);
}

/* What a test of order builds: the same sums with parts made in two orders. */
typedef enum order { PLAIN, SWAPPED, DEAD, SETS_SWAPPED, MOVED, OTHER_CONST } order;

static sk_val two(sk_builder *b, sk_op op, sk_val x, sk_val y)
{
    return sk_ir_2(b, op, x, y);
}

static void order_hash(order o, char hex[65])
{
    sk_arena arena = {0};
    sk_builder b;
    sk_program *program = NULL;
    sk_err err = {0};
    sk_ir_begin(&b, &arena, "order", 8, 1);
    const sk_val in = sk_ir_param_ptr(&b, "in", false), out = sk_ir_param_ptr(&b, "out", true);
    const sk_val zero = sk_ir_u32(&b, 0);
    const sk_val v = sk_ir_var(&b, SK_LANE, zero), u = sk_ir_var(&b, SK_LANE, zero);
    sk_val x = 0, y = 0, outside = 0;
    if (o == MOVED)
        outside = sk_ir_ldv(&b, SK_LD_U32, in, zero, 8);
    const sk_val i = sk_ir_for(&b, zero, sk_ir_u32(&b, 4), 1);
    if (o == SWAPPED) {
        y = two(&b, SK_OP_XOR, sk_ir_get(&b, u), i);
        x = sk_ir_get(&b, v);
    } else {
        x = sk_ir_get(&b, v);
        y = two(&b, SK_OP_XOR, sk_ir_get(&b, u), i);
    }
    if (o == DEAD)
        (void)two(&b, SK_OP_MUL, x, y);
    const sk_val c = sk_ir_u32(&b, o == OTHER_CONST ? 6 : 5);
    const sk_val sum = two(&b, SK_OP_ADD, x, two(&b, SK_OP_MUL, y, c));
    const sk_val load = o == MOVED ? outside : sk_ir_ldv(&b, SK_LD_U32, in, zero, 8);
    sk_ir_set(&b, o == SETS_SWAPPED ? u : v, sum);
    sk_ir_set(&b, o == SETS_SWAPPED ? v : u, load);
    sk_ir_end(&b);
    sk_ir_stv(&b, out, zero, 0, sk_ir_get(&b, v));
    sk_assert_ok(sk_ir_finish(&b, &program, &err), &err);
    const sk_program *const one = program;
    sk_assert_ok(sk_ir_hash(&one, 1, hex, &err), &err);
    sk_arena_free(&arena);
}

static void hash_ignores_evaluation_order(void **state)
{
    (void)state;
    char plain[65], other[65];
    order_hash(PLAIN, plain);
    order_hash(SWAPPED, other);
    assert_string_equal(plain, other);
    order_hash(DEAD, other);
    assert_string_equal(plain, other);
    for (order o = SETS_SWAPPED; o <= OTHER_CONST; o++) {
        order_hash(o, other);
        assert_string_not_equal(plain, other);
    }
}

/* ---- errors -------------------------------------------------------------------------- */

static sk_builder fresh(sk_arena *arena)
{
    sk_builder b;
    sk_ir_begin(&b, arena, "errors", 8, 1);
    return b;
}

/* The program must be refused with this text; whatever comes later is ignored. */
static void expect_latched(sk_builder *b, const char *text)
{
    sk_program *program = NULL;
    sk_err err = {0};
    for (uint32_t k = 0; b->failed && k < 100; k++) /* values of a failed builder are safe */
        (void)sk_ir_name(b, sk_ir_2(b, SK_OP_FADD, k, 7), "later");
    assert_int_equal(sk_ir_finish(b, &program, &err), SPHKV_EINVAL);
    assert_null(program);
    if (!strstr(err.message, text))
        fail_msg("message is: %s; expected: %s", err.message, text);
}

static void errors_name_op_and_place(void **state)
{
    (void)state;
    sk_arena arena = {0};
    sk_builder b = fresh(&arena);
    const sk_val x = sk_ir_f32(&b, 1);
    (void)sk_ir_2(&b, SK_OP_ADD, sk_ir_u32(&b, 1), x);
    expect_latched(&b, "%2 add: argument 1 (%0, block f32) must be u32");

    b = fresh(&arena);
    (void)sk_ir_1(&b, SK_OP_FNEG, 5);
    expect_latched(&b, "%0 fneg: argument 0 is no value");

    b = fresh(&arena);
    const sk_val p = sk_ir_param_ptr(&b, "p", false);
    (void)sk_ir_ldu(&b, SK_LD_U32, p, sk_ir_lane(&b), 0);
    expect_latched(&b, "ldu: argument 1 (%1, lane u32) must be uniform");

    b = fresh(&arena);
    const sk_val var = sk_ir_var(&b, SK_BLOCK, sk_ir_u32(&b, 0));
    sk_ir_set(&b, var, sk_ir_lane(&b));
    expect_latched(&b, "set: argument 1 (%2, lane u32) is wider than the variable");

    b = fresh(&arena);
    sk_ir_end(&b);
    expect_latched(&b, "%0 end: nothing is open");

    b = fresh(&arena);
    (void)sk_ir_for(&b, sk_ir_u32(&b, 0), sk_ir_u32(&b, 1), 1);
    expect_latched(&b, "1 for or if without end");

    b = fresh(&arena);
    (void)sk_ir_shared(&b, 1u << 30);
    expect_latched(&b, "too large");

    b = fresh(&arena);
    (void)sk_ir_emit(&b, SK_OP_COUNT, 0, NULL, 0, 0);
    expect_latched(&b, "no such op");

    b = fresh(&arena);
    (void)sk_ir_name(&b, 3, "nobody");
    expect_latched(&b, "nobody");
    sk_arena_free(&arena);
}

/* ---- folding --------------------------------------------------------------------------- */

static void constants_fold(void **state)
{
    (void)state;
    static const struct {
        sk_op op;
        uint32_t x, y, want;
    } row[] = {
        {SK_OP_ADD, 0xffffffff, 3, 2},    {SK_OP_SUB, 1, 2, 0xffffffff},
        {SK_OP_MUL, 0x10000, 0x10001, 0x10000}, {SK_OP_UDIV, 9, 0, 0xffffffff},
        {SK_OP_UDIV, 9, 2, 4},            {SK_OP_UREM, 9, 0, 9},
        {SK_OP_UREM, 9, 4, 1},            {SK_OP_AND, 12, 10, 8},
        {SK_OP_OR, 12, 10, 14},           {SK_OP_XOR, 12, 10, 6},
        {SK_OP_SHL, 1, 31, 0x80000000},   {SK_OP_SHL, 1, 32, 0},
        {SK_OP_SHR, 0x80000000, 31, 1},   {SK_OP_SHR, 1, 99, 0},
        {SK_OP_UMIN, 3, 0xffffffff, 3},   {SK_OP_UMAX, 3, 0xffffffff, 0xffffffff},
    };
    for (uint32_t k = 0; k < SK_COUNT(row); k++) {
        sk_arena arena = {0};
        sk_builder b = fresh(&arena);
        const sk_val v = sk_ir_2(&b, row[k].op, sk_ir_u32(&b, row[k].x), sk_ir_u32(&b, row[k].y));
        assert_int_equal(b.program->instr[v].op, SK_OP_CONST_U32);
        assert_int_equal(b.program->instr[v].imm, row[k].want);
        sk_arena_free(&arena);
    }
}

static void neutral_elements_fold(void **state)
{
    (void)state;
    sk_arena arena = {0};
    sk_builder b = fresh(&arena);
    const sk_val x = sk_ir_lane(&b), p = sk_ir_param_ptr(&b, "p", false);
    const sk_val zero = sk_ir_u32(&b, 0), one = sk_ir_u32(&b, 1), all = sk_ir_u32(&b, UINT32_MAX);
    static const sk_op right_zero[] = {SK_OP_ADD, SK_OP_SUB, SK_OP_OR,  SK_OP_XOR,
                                       SK_OP_SHL, SK_OP_SHR, SK_OP_SRA};
    for (uint32_t k = 0; k < SK_COUNT(right_zero); k++)
        assert_int_equal(sk_ir_2(&b, right_zero[k], x, zero), x);
    assert_int_equal(sk_ir_2(&b, SK_OP_ADD, zero, x), x);
    assert_int_equal(sk_ir_2(&b, SK_OP_MUL, x, one), x);
    assert_int_equal(sk_ir_2(&b, SK_OP_MUL, one, x), x);
    assert_int_equal(sk_ir_2(&b, SK_OP_AND, all, x), x);
    assert_int_equal(sk_ir_2(&b, SK_OP_UDIV, x, one), x);
    assert_int_equal(sk_ir_ptr_add(&b, p, zero, 64), p);
    assert_int_equal(sk_ir_ptr_add(&b, p, one, 0), p);
    assert_int_equal(b.program->instr[sk_ir_2(&b, SK_OP_MUL, x, zero)].op, SK_OP_CONST_U32);
    /* and what must stay */
    assert_int_not_equal(sk_ir_2(&b, SK_OP_SUB, zero, x), x);
    assert_int_not_equal(sk_ir_2(&b, SK_OP_SHL, zero, x), x);
    assert_int_not_equal(sk_ir_2(&b, SK_OP_UMIN, x, zero), x);
    assert_int_not_equal(sk_ir_ptr_add(&b, p, one, 1), p);
    assert_int_equal(b.program->instr[sk_ir_2(&b, SK_OP_EQ, zero, zero)].op, SK_OP_EQ);
    const sk_val f = sk_ir_f32(&b, 0);
    assert_int_not_equal(sk_ir_2(&b, SK_OP_FADD, f, f), f); /* floats are left alone */
    assert_false(b.failed);
    sk_arena_free(&arena);
}

static void scratch_is_aligned_and_counted(void **state)
{
    (void)state;
    sk_arena arena = {0};
    sk_builder b = fresh(&arena);
    sk_program *program = NULL;
    sk_err err = {0};
    const sk_val one = sk_ir_shared(&b, 1), two = sk_ir_shared(&b, 65), end = sk_ir_shared(&b, 0);
    assert_int_equal(b.program->instr[one].imm, 0);
    assert_int_equal(b.program->instr[two].imm, 64);
    assert_int_equal(b.program->instr[end].imm, 192);
    sk_assert_ok(sk_ir_finish(&b, &program, &err), &err);
    assert_int_equal(program->shared_bytes, 192);
    sk_arena_free(&arena);
}

/* ---- memory ----------------------------------------------------------------------------- */

/* Every allocation fails once: reported as such, the arena is all that is to
 * free (the address sanitizer watches). */
static void memory_runs_out(void **state)
{
    (void)state;
    char hex[65];
    uint64_t n = 1;
    for (bool done = false; !done; n++) {
        sk_arena arena = {0};
        sk_program *program = NULL;
        sk_err err = {0};
        (void)sk_alloc_fault(n, true);
        sk_status st = build_sample(&arena, true, 32, &program, &err);
        if (st == SPHKV_OK) {
            const sk_program *const one = program;
            st = sk_ir_hash(&one, 1, hex, &err);
        } else {
            assert_null(program);
        }
        const uint64_t seen = sk_alloc_fault(0, false);
        done = seen < n;
        if (done)
            sk_assert_ok(st, &err);
        else
            assert_int_equal(st, SPHKV_ENOMEM);
        assert_true(done || err.message[0]);
        sk_arena_free(&arena);
        assert_true(n < 1000);
    }
    assert_true(n > 4); /* it did fail a few times */
}

/* Many instructions: the arrays grow and stay whole. */
static void programs_grow(void **state)
{
    (void)state;
    sk_arena arena = {0};
    sk_builder b = fresh(&arena);
    sk_program *program = NULL;
    sk_err err = {0};
    sk_val x = sk_ir_lane(&b);
    for (uint32_t k = 0; k < 20000; k++)
        x = sk_ir_2(&b, SK_OP_XOR, x, sk_ir_u32(&b, k + 1));
    for (uint32_t k = 0; k < 200; k++)
        (void)sk_ir_param_u32(&b, "p");
    sk_assert_ok(sk_ir_finish(&b, &program, &err), &err);
    assert_int_equal(program->ninstr, 1 + 40000 + 200);
    assert_int_equal(program->nparams, 200);
    assert_int_equal(program->instr[39999].imm, 20000);
    sk_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(print_is_stable),
        cmocka_unit_test(hash_ignores_names_only),
        cmocka_unit_test(hash_ignores_evaluation_order),
        cmocka_unit_test(errors_name_op_and_place),
        cmocka_unit_test(constants_fold),
        cmocka_unit_test(neutral_elements_fold),
        cmocka_unit_test(scratch_is_aligned_and_counted),
        cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(programs_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
