/* test_simt_random.c - random programs of exact ops: interpreter and the emitted CUDA
 * text on the harness agree on every word, for one warp and for several. Many
 * programs are one module; what follows from a seed does not depend on which. */
#include "sk_test.h"

#include "random_program.h"
#include "simt_case.h"

#define PROGRAMS 400u
#define TOGETHER 100u /* programs of a module */
#define ROUNDS 3u    /* inputs and orders of lanes per program */
#define WARPS 4u

static _Alignas(64) uint32_t in[SK_RANDOM_IN_WORDS], start[SK_RANDOM_OUT_WORDS(WARPS)],
    want[SK_RANDOM_OUT_WORDS(WARPS)], got[SK_RANDOM_OUT_WORDS(WARPS)];

typedef struct trial {
    sk_random_params p;
    sk_program *program;
} trial;

static sk_random_params params_of(uint64_t seed)
{
    static const uint8_t warps[] = {1, 1, 2, 3, 4};
    sk_rng rng;
    sk_rng_seed(&rng, ~seed);
    const uint32_t most = sk_rng_below(&rng, 10) ? 12 : 40;
    sk_random_params p = {.seed = seed, .w = 32, .all_ops = true};
    p.size = 3 + sk_rng_below(&rng, most);
    p.warps = warps[sk_rng_below(&rng, SK_COUNT(warps))];
    return p;
}

static sk_status run(const sk_simt_module *module, uint32_t unit, const sk_program *program,
                     uint32_t n, float x, uint64_t seed, sk_err *err)
{
    uint64_t slot[4] = {(uintptr_t)in, (uintptr_t)got, n, 0};
    const size_t bytes[4] = {sizeof in, 4 * SK_RANDOM_OUT_WORDS(program->warps), 0, 0};
    memcpy(&slot[3], &x, sizeof x);
    const sk_simt_launch launch = {.module = module, .unit = unit, .program = program,
                                   .slot = slot, .bytes = bytes, .grid = {SK_RANDOM_BLOCKS, 1, 1},
                                   .seed = seed, .yields = SK_SIMT_YIELDS};
    return sk_simt_run(&launch, err);
}

static sk_status same_words(const sk_random_params *p, const sk_program *program,
                            const sk_simt_module *module, uint32_t unit, sk_err *err)
{
    const uint32_t words = SK_RANDOM_OUT_WORDS(program->warps);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        sk_random_input(p->seed + round, in);
        for (uint32_t k = 0; k < words; k++)
            start[k] = k * 2654435761u + round;
        memcpy(want, start, sizeof want);
        memcpy(got, start, sizeof got);
        sk_status st = sk_random_interpret(program, in, want, 5 + round, -1.5f, err);
        if (st == SPHKV_OK)
            st = run(module, unit, program, 5 + round, -1.5f, p->seed + round, err);
        for (uint32_t k = 0; k < words && st == SPHKV_OK; k++)
            if (want[k] != got[k])
                st = sk_fail(err, SPHKV_EVERIFY, "round %u: word %u is %08x, defined as %08x",
                             round, k, got[k], want[k]);
        if (st != SPHKV_OK)
            return st;
    }
    return SPHKV_OK;
}

/* One program alone: for cutting down what fails. */
static bool differs(const sk_program *program, void *context)
{
    sk_arena arena = {0};
    sk_simt_module *module = NULL;
    const sk_simt_unit unit = simt_unit(&program, 1, &arena);
    sk_status st = sk_simt_compile(&unit, 1, &module, NULL);
    if (st == SPHKV_OK)
        st = same_words(context, program, module, 0, NULL);
    sk_simt_free(module);
    sk_arena_free(&arena);
    return st != SPHKV_OK;
}

static void report(sk_random_params *p, const sk_err *err)
{
    sk_text text = {0};
    sk_random_shrink(p, differs, p, &text);
    fprintf(stderr, "%s\n%u warps: %s; the least that fails:\n%s\n", /* cmocka cuts it */
            sk_test_repeat(p->seed), p->warps, err->message, text.s ? text.s : "(no memory)");
    sk_text_free(&text);
    fail();
}

/* Programs of n seeds: built, emitted, compiled together, run. */
static void check_some(const uint64_t *seed, uint32_t n, sk_random_seen *seen)
{
    trial t[TOGETHER];
    sk_simt_unit unit[TOGETHER];
    sk_simt_module *module = NULL;
    sk_arena arena = {0};
    sk_err err = {0};
    for (uint32_t i = 0; i < n; i++) {
        t[i] = (trial){.p = params_of(seed[i])};
        (void)sk_test_repeat(seed[i]);
        sk_assert_ok(sk_random_program(&t[i].p, &arena, &t[i].program, &err), &err);
        unit[i] = simt_unit((const sk_program *const *)&t[i].program, 1, &arena);
        sk_random_look(seen, t[i].program);
    }
    sk_assert_ok(sk_simt_compile(unit, n, &module, &err), &err);
    for (uint32_t i = 0; i < n; i++) {
        (void)sk_test_repeat(seed[i]);
        if (same_words(&t[i].p, t[i].program, module, i, &err) != SPHKV_OK)
            report(&t[i].p, &err);
    }
    sk_simt_free(module);
    sk_arena_free(&arena);
}

static void random_programs(void **state)
{
    (void)state;
    const uint64_t seed = sk_test_seed(1000);
    const uint32_t cases = sk_test_cases(PROGRAMS);
    uint64_t some[TOGETHER];
    uint32_t first, step, done = 0, n = 0;
    sk_random_seen seen = {0};
    sk_test_shard(&first, &step);
    for (uint32_t k = first; k < cases; k += step, done++) {
        some[n++] = seed + k;
        if (n == TOGETHER || k + step >= cases) {
            check_some(some, n, &seen);
            n = 0;
        }
    }
    const char *const missing = sk_random_missing(&seen, true);
    print_message("%u programs; not met: %s\n", done, missing ? missing : "nothing");
    assert_true(!missing || done < PROGRAMS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_programs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
