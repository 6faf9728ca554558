/* test_cpu_ops.c - every op through the interpreter, which defines it, and
 * through compiled code, on the very same programs: for this CPU, for the least
 * x86-64 (where halves, fma and byte look-ups are emulated) and for level 3,
 * in every width. Exact ops bit for bit, the others by their bound. All cases
 * of a width are one module, as the kernels of a plan are. */
#include "sk_test.h"

#include "cpu_target.h"
#include "jit.h"
#include "object.h"
#include "op_cases.h"

static sk_jit jit;
static const sk_jit_llvm_api *api;

static _Alignas(64) uint32_t in[SK_OP_IN_WORDS], want[SK_OP_OUT_WORDS], got[SK_OP_OUT_WORDS];
static _Alignas(64) uint8_t scratch[1 << 20];

static void run(const sk_program *program, uint32_t i, sk_cpu_entry entry)
{
    uint64_t params[4] = {(uint64_t)(uintptr_t)in, (uint64_t)(uintptr_t)got, SK_OP_PARAM_U32, 0};
    const float f = SK_OP_PARAM_F32;
    memcpy(&params[3], &f, sizeof f);
    uint32_t grid[3];
    sk_op_case_grid(i, grid);
    assert_true(program->shared_bytes <= sizeof scratch);
    for (uint32_t k = 0; k < SK_OP_OUT_WORDS; k++)
        got[k] = SK_OP_POISON;
    for (uint32_t z = 0; z < grid[2]; z++)
        for (uint32_t y = 0; y < grid[1]; y++)
            for (uint32_t x = 0; x < grid[0]; x++) {
                memset(scratch, 0xa5, program->shared_bytes);
                entry(params, scratch, x, y, z);
            }
}

static void check_case(const sk_program *program, uint32_t i, const sk_object *object,
                       uint64_t seed, const char *cpu)
{
    sk_err err = {0};
    uint32_t where = 0;
    const sk_cpu_entry entry = sk_object_entry(object, program->symbol);
    if (!entry)
        fail_msg("no entry %s", program->symbol);
    for (uint32_t round = 0; round < 3; round++) {
        sk_op_case_fill(i, program->w, seed + round, in);
        sk_assert_ok(sk_op_case_interpret(i, program, in, want, &err), &err);
        run(program, i, entry);
        if (!sk_op_case_compare(i, want, got, &where))
            fail_msg("%s, W %u, %s, round %u: word %u is %08x, defined as %08x",
                     sk_op_case_name(i), program->w, cpu, round, where, got[where], want[where]);
    }
}

static bool on_cpu(const sk_program *program)
{
    bool all = program != NULL;
    for (uint32_t i = 0; all && i < program->ninstr; i++)
        all = sk_op_on_cpu(program->instr[i].op);
    return all;
}

/* Object code of all cases of a width; in program[] what it was made of, NULL
 * or ops that the CPU does not have where there is none. */
static void compile_width(const sk_target *target, uint32_t w, sk_arena *arena,
                          sk_program ***programs, char **bytes, size_t *size)
{
    sk_err err = {0};
    const uint32_t count = sk_op_case_count();
    uint32_t n = 0;
    sk_program **program = sk_arena_alloc(arena, count * sizeof *program);
    sk_program **emitted = sk_arena_alloc(arena, count * sizeof *emitted);
    assert_non_null(program);
    assert_non_null(emitted);
    for (uint32_t i = 0; i < count; i++) {
        if (sk_op_case_fits(i, w))
            sk_assert_ok(sk_op_case_build(i, w, arena, &program[i], &err), &err);
        if (on_cpu(program[i]))
            emitted[n++] = program[i];
    }
    sk_assert_ok(api->emit((const sk_program *const *)emitted, n, target, SK_EMIT_OBJ, bytes, size,
                           &err),
                 &err);
    *programs = program;
}

static void check_width(const sk_target *target, uint32_t w, uint64_t seed)
{
    sk_arena arena = {0};
    sk_err err = {0};
    sk_program **program;
    char *bytes = NULL;
    size_t size = 0;
    sk_object *object = NULL;
    compile_width(target, w, &arena, &program, &bytes, &size);
    sk_assert_ok(sk_object_load(bytes, size, &object, &err), &err);
    for (uint32_t i = 0; i < sk_op_case_count(); i++)
        if (on_cpu(program[i]))
            check_case(program[i], i, object, seed, target->cpu);
    sk_object_free(object);
    sk_free(bytes);
    sk_arena_free(&arena);
}

/* widths: a mask of W. All of them, for every target, would take a minute. */
static void check_target(const char *cpu, uint32_t widths)
{
    sk_target target, host;
    sk_err err = {0};
    const uint64_t seed = sk_test_seed(7);
    sk_assert_ok(sk_cpu_target_named(cpu, &target, &err), &err);
    sk_cpu_target_host(&host);
    if (!sk_cpu_target_runs(&target, &host)) {
        print_message("this CPU does not run %s\n", cpu);
        skip();
    }
    for (uint32_t w = 4; w <= 32; w *= 2)
        if (widths & w)
            check_width(&target, w, seed);
}

static void ops_for_this_cpu(void **state)
{
    (void)state;
    check_target("host", 4 | 8 | 16 | 32);
}

static void ops_for_any_cpu(void **state)
{
    (void)state;
    check_target("x86-64", 4 | 16);
}

static void ops_for_level_2(void **state)
{
    (void)state;
    check_target("x86-64-v2", 4);
}

static void ops_for_level_3(void **state)
{
    (void)state;
    check_target("x86-64-v3", 8);
}

static void ops_for_level_4(void **state)
{
    (void)state;
    check_target("x86-64-v4", 8 | 16 | 32);
}

/* Compiled and not run: an intrinsic that the CPU lacks aborts, a call into a
 * library is an error. */
static void ops_compile_for_other_cpus(void **state)
{
    (void)state;
    static const struct {
        const char *cpu;
        uint32_t w;
    } row[] = {{"znver5", 16}, {"aarch64", 4}, {"alderlake", 8}, {"cortex-a76", 4}, {"neoverse-v1", 8}};
    for (size_t i = 0; i < SK_COUNT(row); i++) {
        sk_arena arena = {0};
        sk_program **program;
        sk_target target = {.vector_bits = 128, .features = SK_CPU_NEON, .cpu = "generic",
                            .feature_text = "+neon", .triple = "aarch64-unknown-linux-gnu"};
        sk_err err = {0};
        char *bytes = NULL;
        size_t size = 0;
        if (strcmp(row[i].cpu, "aarch64") != 0)
            sk_assert_ok(sk_cpu_target_named(row[i].cpu, &target, &err), &err);
        compile_width(&target, row[i].w, &arena, &program, &bytes, &size);
        assert_true(size > 1000);
        sk_free(bytes);
        sk_arena_free(&arena);
    }
}

/* A program with an op of GPUs is refused, and the op named. */
static void other_ops_are_refused(void **state)
{
    (void)state;
    uint32_t refused = 0;
    sk_target host;
    sk_cpu_target_host(&host);
    for (uint32_t i = 0; i < sk_op_case_count(); i++) {
        sk_arena arena = {0};
        sk_program *program = NULL;
        sk_err err = {0};
        char *bytes = NULL;
        size_t size = 0;
        sk_assert_ok(sk_op_case_build(i, 32, &arena, &program, &err), &err);
        if (!on_cpu(program)) {
            const sk_program *const one = program;
            assert_int_equal(api->emit(&one, 1, &host, SK_EMIT_OBJ, &bytes, &size, &err),
                             SPHKV_EUNSUPPORTED);
            assert_non_null(strstr(err.message, "the CPU has no "));
            assert_null(bytes);
            refused++;
        }
        sk_arena_free(&arena);
    }
    assert_true(refused > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ops_for_this_cpu), cmocka_unit_test(ops_for_any_cpu),
        cmocka_unit_test(ops_for_level_2),  cmocka_unit_test(ops_for_level_3),
        cmocka_unit_test(ops_for_level_4),  cmocka_unit_test(ops_compile_for_other_cpus),
        cmocka_unit_test(other_ops_are_refused),
    };
    sk_err err = {0};
    sk_jit_init(&jit, true);
    if (sk_jit_get(&jit, &api, &err) != SPHKV_OK)
        return sk_test_skip(err.message);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sk_jit_close(&jit);
    return failed;
}
