/* test_simt_ops.c - every op of the IR as CUDA text on the harness, held against the
 * interpreter on the very same programs: exact ops bit for bit, the others by
 * their bound. All cases are one module; each runs in several orders of lanes. */
#include "sk_test.h"

#include "op_cases.h"
#include "simt_case.h"

static _Alignas(64) uint32_t in[SK_OP_IN_WORDS], want[SK_OP_OUT_WORDS], got[SK_OP_OUT_WORDS];

static void run(const sk_simt_module *module, uint32_t unit, const sk_program *program, uint32_t i,
                uint64_t seed)
{
    sk_err err = {0};
    uint64_t slot[4] = {(uintptr_t)in, (uintptr_t)got, SK_OP_PARAM_U32, 0};
    const size_t bytes[4] = {sizeof in, sizeof got, 0, 0};
    const float x = SK_OP_PARAM_F32;
    memcpy(&slot[3], &x, sizeof x);
    sk_simt_launch launch = {.module = module, .unit = unit, .program = program, .slot = slot,
                             .bytes = bytes, .seed = seed, .yields = SK_SIMT_YIELDS};
    sk_op_case_grid(i, launch.grid);
    for (uint32_t k = 0; k < SK_OP_OUT_WORDS; k++)
        got[k] = SK_OP_POISON;
    if (sk_simt_run(&launch, &err) != SPHKV_OK)
        fail_msg("%s, seed %llu: %s", sk_op_case_name(i), (unsigned long long)seed, err.message);
}

static void every_op(void **state)
{
    (void)state;
    const uint32_t n = sk_op_case_count();
    const uint64_t seed = sk_test_seed(3);
    sk_arena arena = {0};
    sk_err err = {0};
    sk_simt_module *module = NULL;
    sk_program **const program = sk_arena_alloc(&arena, n * sizeof *program);
    sk_simt_unit *const unit = sk_arena_alloc(&arena, n * sizeof *unit);
    for (uint32_t i = 0; i < n; i++) {
        assert_true(sk_op_case_fits(i, 32));
        sk_assert_ok(sk_op_case_build(i, 32, &arena, &program[i], &err), &err);
        unit[i] = simt_unit((const sk_program *const *)&program[i], 1, &arena);
    }
    sk_assert_ok(sk_simt_compile(unit, n, &module, &err), &err);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t round = 0; round < 3; round++) {
            uint32_t where = 0;
            sk_op_case_fill(i, 32, seed + round, in);
            sk_assert_ok(sk_op_case_interpret(i, program[i], in, want, &err), &err);
            run(module, i, program[i], i, seed + round);
            if (!sk_op_case_compare(i, want, got, &where))
                fail_msg("%s, round %u: word %u is %08x, defined as %08x", sk_op_case_name(i),
                         round, where, got[where], want[where]);
        }
    sk_simt_free(module);
    sk_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_op)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
