/* test_cpu_random.c - random programs of exact ops: interpreter and compiled
 * code agree on every word, for this CPU and for the least x86-64. */
#include "sk_test.h"

#include "cpu_target.h"
#include "jit.h"
#include "object.h"
#include "random_program.h"

enum { PROGRAMS = 60, STATEMENTS = 60 };

static sk_jit jit;
static const sk_jit_llvm_api *api;

static _Alignas(64) uint32_t in[SK_RANDOM_IN_WORDS], start[SK_RANDOM_OUT_WORDS(1)],
    want[SK_RANDOM_OUT_WORDS(1)], got[SK_RANDOM_OUT_WORDS(1)];
static _Alignas(64) uint8_t scratch[1 << 20];

static void run(const sk_program *program, sk_cpu_entry entry, uint32_t n, float x)
{
    uint64_t params[4] = {(uint64_t)(uintptr_t)in, (uint64_t)(uintptr_t)got, n, 0};
    memcpy(&params[3], &x, sizeof x);
    assert_true(program->shared_bytes <= sizeof scratch);
    for (uint32_t block = 0; block < SK_RANDOM_BLOCKS; block++) {
        memset(scratch, 0xa5, program->shared_bytes);
        entry(params, scratch, block, 0, 0);
    }
}

static void check_one(uint64_t seed, uint32_t w, const sk_target *target)
{
    sk_arena arena = {0};
    sk_program *program = NULL;
    sk_object *object = NULL;
    sk_err err = {0};
    char *bytes = NULL;
    size_t size = 0;
    sk_assert_ok(sk_random_program(seed, w, 1, STATEMENTS, &arena, &program, &err), &err);
    const sk_program *one = program;
    sk_assert_ok(api->emit(&one, 1, target, SK_EMIT_OBJ, &bytes, &size, &err), &err);
    sk_assert_ok(sk_object_load(bytes, size, &object, &err), &err);
    for (uint32_t round = 0; round < 3; round++) {
        sk_random_input(seed + round, in);
        for (uint32_t k = 0; k < SK_COUNT(start); k++)
            start[k] = k * 2654435761u + round;
        memcpy(want, start, sizeof want);
        memcpy(got, start, sizeof got);
        sk_assert_ok(sk_random_interpret(program, in, want, 5 + round, -1.5f, &err), &err);
        run(program, sk_object_entry(object, program->symbol), 5 + round, -1.5f);
        for (uint32_t k = 0; k < SK_COUNT(want); k++)
            if (want[k] != got[k])
                fail_msg("seed %llu, W %u, %s, round %u: word %u is %08x, defined as %08x",
                         (unsigned long long)seed, w, target->cpu, round, k, got[k], want[k]);
    }
    sk_object_free(object);
    sk_free(bytes);
    sk_arena_free(&arena);
}

static void check_target(const char *cpu)
{
    sk_target target;
    sk_err err = {0};
    const uint64_t seed = sk_test_seed(1000);
    sk_assert_ok(sk_cpu_target_named(cpu, &target, &err), &err);
    for (uint32_t i = 0; i < PROGRAMS; i++)
        check_one(seed + i, 4u << i % 4, &target);
}

static void random_programs_for_this_cpu(void **state)
{
    (void)state;
    check_target("host");
}

static void random_programs_for_any_cpu(void **state)
{
    (void)state;
    check_target("x86-64");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_programs_for_this_cpu),
        cmocka_unit_test(random_programs_for_any_cpu),
    };
    sk_err err = {0};
    sk_jit_init(&jit, true);
    if (sk_jit_get(&jit, &api, &err) != SPHKV_OK)
        return sk_test_skip(err.message);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sk_jit_close(&jit);
    return failed;
}
