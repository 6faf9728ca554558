/* test_ir_random.c - random programs: the builder's own are accepted and run
 * without a fault, the same each time; programs with damage are refused or run,
 * and never crash (the address sanitizer watches). */
#include "sk_test.h"

#include "random_program.h"

#define MOST_WARPS 3u
static _Alignas(64) uint32_t in[SK_RANDOM_IN_WORDS];
static _Alignas(64) uint32_t out[SK_RANDOM_OUT_WORDS(MOST_WARPS)];
static _Alignas(64) uint32_t again[SK_RANDOM_OUT_WORDS(MOST_WARPS)];

static void clean(uint32_t *words)
{
    for (uint32_t k = 0; k < SK_COUNT(out); k++)
        words[k] = k * 0x9e3779b9u;
}

static void check_programs(bool all_ops, uint32_t turns)
{
    const uint64_t seed = sk_test_seed(1);
    sk_random_seen seen = {0};
    uint32_t changed = 0;
    for (uint32_t turn = 0; turn < turns; turn++) {
        const sk_random_params p = {.seed = seed + turn, .w = 4u << turn % 4,
                                    .warps = 1 + turn % MOST_WARPS, .size = 10 + turn % 80,
                                    .all_ops = all_ops};
        sk_arena arena = {0};
        sk_program *program = NULL;
        sk_err err = {0};
        if (sk_random_program(&p, &arena, &program, &err) != SPHKV_OK)
            fail_msg("seed %llu + %u: %s", (unsigned long long)seed, turn, err.message);
        sk_random_input(seed + turn, in);
        clean(out);
        clean(again);
        if (sk_random_interpret(program, in, out, turn, 0.75f, &err) != SPHKV_OK)
            fail_msg("seed %llu + %u: %s", (unsigned long long)seed, turn, err.message);
        for (uint32_t k = 0; k < SK_COUNT(out); k++)
            changed += out[k] != again[k];
        sk_assert_ok(sk_random_interpret(program, in, again, turn, 0.75f, &err), &err);
        assert_memory_equal(out, again, sizeof out);
        sk_random_look(&seen, program);
        sk_arena_free(&arena);
    }
    assert_true(changed > turns * 100);
    if (sk_random_missing(&seen, all_ops))
        fail_msg("no random program has %s", sk_random_missing(&seen, all_ops));
}

static void programs_run(void **state)
{
    (void)state;
    check_programs(false, 400);
}

static void programs_of_all_ops_run(void **state)
{
    (void)state;
    check_programs(true, 400);
}

/* Narrow programs as ones of 32 lanes: the same words, whatever the warps. */
static void wide_programs_do_the_same(void **state)
{
    (void)state;
    const uint64_t seed = sk_test_seed(5);
    for (uint32_t turn = 0; turn < 300; turn++) {
        const sk_random_params p = {.seed = seed + turn, .w = 4u << turn % 3,
                                    .warps = 1 + turn % MOST_WARPS, .size = 10 + turn % 80};
        sk_arena arena = {0};
        sk_program *narrow = NULL, *wide = NULL;
        sk_err err = {0};
        sk_assert_ok(sk_random_program(&p, &arena, &narrow, &err), &err);
        narrow->occupancy = turn % 3;
        sk_assert_ok(sk_ir_widen(narrow, &arena, &wide, &err), &err);
        assert_true(wide->w == 32 && wide->warps == p.warps);
        assert_true(wide->occupancy == narrow->occupancy && wide->nparams == narrow->nparams);
        sk_random_input(seed + turn, in);
        clean(out);
        clean(again);
        sk_assert_ok(sk_random_interpret(narrow, in, out, turn, 0.75f, &err), &err);
        if (sk_random_interpret(wide, in, again, turn, 0.75f, &err) != SPHKV_OK)
            fail_msg("seed %llu + %u: %s", (unsigned long long)seed, turn, err.message);
        if (memcmp(out, again, sizeof out) != 0)
            fail_msg("seed %llu + %u: other words with 32 lanes than with %u",
                     (unsigned long long)seed, turn, p.w);
        sk_arena_free(&arena);
    }
}

/* A failure that is easily told: a warp-wide sum inside of a loop. */
static bool sums_in_a_loop(const sk_program *program, void *context)
{
    uint32_t open = 0, loops[8] = {0};
    ++*(uint32_t *)context;
    for (uint32_t i = 0; i < program->ninstr; i++) {
        const uint32_t op = program->instr[i].op;
        if (op == SK_OP_FOR || op == SK_OP_IF) {
            loops[open + 1] = loops[open] + (op == SK_OP_FOR);
            open++;
        }
        open -= op == SK_OP_END;
        if (op == SK_OP_RED_UADD && loops[open])
            return true;
    }
    return false;
}

static void failures_shrink(void **state)
{
    (void)state;
    uint32_t found = 0, asked = 0;
    for (uint64_t seed = sk_test_seed(3); found < 5; seed++) {
        const sk_random_params p = {.seed = seed, .w = 8, .warps = 1, .size = 40};
        sk_arena arena = {0};
        sk_program *program = NULL;
        sk_text before = {0}, after = {0};
        sk_err err = {0};
        sk_assert_ok(sk_random_program(&p, &arena, &program, &err), &err);
        if (sums_in_a_loop(program, &asked)) {
            found++;
            sk_ir_print(program, &before);
            sk_random_shrink(&p, sums_in_a_loop, &asked, &after);
            assert_true(after.len * 2 < before.len); /* the frame is half of it */
            assert_non_null(strstr(after.s, "red.uadd"));
        }
        sk_text_free(&before);
        sk_text_free(&after);
        sk_arena_free(&arena);
    }
    print_message("%u programs looked at\n", asked);
}

/* Changes one thing of one instruction, or of the frame. */
static void damage(sk_rng *rng, sk_program *p)
{
    sk_instr *const in_ = &p->instr[sk_rng_below(rng, p->ninstr)];
    const uint32_t any = (uint32_t)sk_rng_u64(rng);
    switch (sk_rng_below(rng, 10)) {
    case 0: in_->op = (uint8_t)sk_rng_below(rng, SK_OP_COUNT + 2); break;
    case 1: in_->type = (uint8_t)sk_rng_below(rng, 7); break;
    case 2: in_->scope = (uint8_t)sk_rng_below(rng, 4); break;
    case 3: in_->nargs = (uint8_t)sk_rng_below(rng, SK_MAX_ARGS + 2); break;
    case 4: in_->imm = any; break;
    case 5: in_->imm = any >> 24; break;
    case 6: in_->imm2 = sk_rng_below(rng, SK_LD_KINDS + 1); break;
    case 7: p->shared_bytes = 64 * sk_rng_below(rng, 16); break;
    default: in_->arg[any % SK_MAX_ARGS] = sk_rng_below(rng, p->ninstr + 1); break;
    }
}

/* Returns 0 refused, 1 ran, 2 stopped with a fault. */
static uint32_t run_damaged(const sk_program *program, const char *where)
{
    uint32_t scalar[4] = {0, 0, 7, 0};
    sk_err err = {0};
    const sk_interp_buffer buffer[4] = {{.data = in, .bytes = sizeof in},
                                        {.data = out, .bytes = sizeof out}};
    const sk_interp_args args = {
        .buffer = buffer, .scalar = scalar, .grid = {2, 1, 1}, .max_steps = 20000};
    const sk_status verdict = sk_ir_verify(program, &err);
    const sk_status st = sk_interp_run(program, &args, &err);
    if (verdict != SPHKV_OK && st != verdict)
        fail_msg("%s: refused with %d, but run gives %d", where, (int)verdict, (int)st);
    if (verdict == SPHKV_OK && st != SPHKV_OK && st != SPHKV_EVERIFY)
        fail_msg("%s: status %d: %s", where, (int)st, err.message);
    sk_text text = {0};
    char hex[65];
    sk_ir_print(program, &text); /* printing must survive anything that was built */
    if (verdict == SPHKV_OK)
        sk_assert_ok(sk_ir_hash(&program, 1, hex, &err), &err);
    sk_text_free(&text);
    return verdict != SPHKV_OK ? 0 : st == SPHKV_OK ? 1 : 2;
}

static void damaged_programs_do_no_harm(void **state)
{
    (void)state;
    sk_rng rng = sk_test_rng(2);
    uint32_t count[3] = {0};
    for (uint32_t turn = 0; turn < 3000; turn++) {
        sk_arena arena = {0};
        sk_program *program = NULL;
        sk_err err = {0};
        char where[64];
        (void)snprintf(where, sizeof where, "turn %u", turn);
        const sk_random_params p = {.seed = turn, .w = 4u << turn % 4, .warps = 1 + turn % 2,
                                    .size = 16, .all_ops = turn % 4 > 1};
        sk_assert_ok(sk_random_program(&p, &arena, &program, &err), &err);
        for (uint32_t k = 0; k <= turn % 3; k++)
            damage(&rng, program);
        count[run_damaged(program, where)]++;
        sk_arena_free(&arena);
    }
    print_message("refused %u, ran %u, stopped %u\n", count[0], count[1], count[2]);
    assert_true(count[0] > 100 && count[1] > 100 && count[2] > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_run),
        cmocka_unit_test(programs_of_all_ops_run),
        cmocka_unit_test(wide_programs_do_the_same),
        cmocka_unit_test(failures_shrink),
        cmocka_unit_test(damaged_programs_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
