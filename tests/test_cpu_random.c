/* test_cpu_random.c - random programs of exact ops: interpreter and compiled
 * code agree on every word, for this CPU, for the least x86-64 and for one with
 * AVX2 and no more. Which W, size and CPU a program has follows from its seed. */
#include "sk_test.h"

#include "cpu_target.h"
#include "jit.h"
#include "object.h"
#include "random_program.h"

#define PROGRAMS 1000u
#define ROUNDS 2u /* inputs per program */

static sk_jit jit;
static const sk_jit_llvm_api *api;
static sk_target target[3];
static uint32_t targets;

static _Alignas(64) uint32_t in[SK_RANDOM_IN_WORDS], start[SK_RANDOM_OUT_WORDS(1)],
    want[SK_RANDOM_OUT_WORDS(1)], got[SK_RANDOM_OUT_WORDS(1)];
static _Alignas(64) uint8_t scratch[1 << 12];

/* One program and how it is compiled. */
typedef struct trial {
    sk_random_params p;
    const sk_target *target;
} trial;

static trial trial_of(uint64_t seed)
{
    static const uint8_t widths[] = {4, 4, 4, 4, 8, 8, 8, 8, 8, 16, 16, 16, 16, 16, 32};
    sk_rng rng;
    sk_rng_seed(&rng, ~seed);
    const uint32_t w = widths[sk_rng_below(&rng, SK_COUNT(widths))];
    const uint32_t size = 2 + sk_rng_below(&rng, sk_rng_below(&rng, 10) ? 7 : 30);
    return (trial){.p = {.seed = seed, .w = w, .warps = 1, .size = size},
                   .target = &target[sk_rng_below(&rng, targets)]};
}

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

static sk_status same_words(const trial *t, const sk_program *program, sk_cpu_entry entry,
                            sk_err *err)
{
    for (uint32_t round = 0; round < ROUNDS; round++) {
        sk_random_input(t->p.seed + round, in);
        for (uint32_t k = 0; k < SK_COUNT(start); k++)
            start[k] = k * 2654435761u + round;
        memcpy(want, start, sizeof want);
        memcpy(got, start, sizeof got);
        const sk_status st = sk_random_interpret(program, in, want, 5 + round, -1.5f, err);
        if (st != SPHKV_OK)
            return st;
        run(program, entry, 5 + round, -1.5f);
        for (uint32_t k = 0; k < SK_COUNT(want); k++)
            if (want[k] != got[k])
                return sk_fail(err, SPHKV_EVERIFY, "round %u: word %u is %08x, defined as %08x",
                               round, k, got[k], want[k]);
    }
    return SPHKV_OK;
}

/* Compiles a program and runs it both ways. */
static sk_status both_ways(const trial *t, const sk_program *program, sk_err *err)
{
    sk_object *object = NULL;
    char *bytes = NULL;
    size_t size = 0;
    sk_status st = api->emit(&program, 1, t->target, SK_EMIT_OBJ, &bytes, &size, err);
    if (st == SPHKV_OK)
        st = sk_object_load(bytes, size, &object, err);
    if (st == SPHKV_OK)
        st = same_words(t, program, sk_object_entry(object, program->symbol), err);
    sk_object_free(object);
    sk_free(bytes);
    return st;
}

static bool differs(const sk_program *program, void *context)
{
    return both_ways(context, program, NULL) != SPHKV_OK;
}

static void report(trial *t, const sk_err *err)
{
    sk_text text = {0};
    sk_random_shrink(&t->p, differs, t, &text);
    fprintf(stderr, "%s\nW %u, for %s: %s; the least that fails:\n%s\n", /* cmocka cuts it */
            sk_test_repeat(t->p.seed), t->p.w, t->target->cpu, err->message,
            text.s ? text.s : "(no memory)");
    sk_text_free(&text);
    fail();
}

static void check_one(uint64_t seed, sk_random_seen *seen)
{
    trial t = trial_of(seed);
    sk_arena arena = {0};
    sk_program *program = NULL;
    sk_err err = {0};
    (void)sk_test_repeat(seed);
    if (sk_random_program(&t.p, &arena, &program, &err) != SPHKV_OK
        || both_ways(&t, program, &err) != SPHKV_OK)
        report(&t, &err);
    sk_random_look(seen, program);
    sk_arena_free(&arena);
}

static void random_programs(void **state)
{
    (void)state;
    const uint64_t seed = sk_test_seed(1000);
    const uint32_t cases = sk_test_cases(PROGRAMS);
    uint32_t first, step, done = 0;
    sk_random_seen seen = {0};
    sk_test_shard(&first, &step);
    for (uint32_t k = first; k < cases; k += step, done++)
        check_one(seed + k, &seen);
    const char *const missing = sk_random_missing(&seen, false);
    print_message("%u programs, for %u kinds of CPU; not met: %s\n", done, targets,
                  missing ? missing : "nothing");
    assert_true(!missing || done < PROGRAMS);
}

/* This CPU, and what else runs on it. */
static void find_targets(void)
{
    static const char *const names[] = {"host", "x86-64", "x86-64-v3"};
    sk_target host;
    sk_cpu_target_host(&host);
    for (uint32_t i = 0; i < SK_COUNT(names); i++)
        if (sk_cpu_target_named(names[i], &target[targets], NULL) == SPHKV_OK
            && sk_cpu_target_runs(&target[targets], &host))
            targets++;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_programs)};
    sk_err err = {0};
    sk_jit_init(&jit, true);
    if (sk_jit_get(&jit, &api, &err) != SPHKV_OK)
        return sk_test_skip(err.message);
    find_targets();
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sk_jit_close(&jit);
    return failed;
}
