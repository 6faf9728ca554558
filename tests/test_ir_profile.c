/* The profile of the interpreter: how often, bank conflicts, sectors, copies. */
#include "ir.h"
#include "sk_test.h"

typedef struct counts {
    uint64_t runs[64], wavefronts[64], sectors[64];
    sk_interp_profile profile;
    const sk_program *program;
} counts;

static _Alignas(128) uint8_t memory[8192];

/* The program built so far, run in `blocks` blocks from block `first` on. */
static void run(sk_builder *b, uint32_t first, uint32_t blocks, counts *c)
{
    sk_err err = {0};
    sk_program *p;
    sk_assert_ok(sk_ir_finish(b, &p, &err), &err);
    assert_true(p->ninstr <= 64);
    memset(c, 0, sizeof *c);
    c->profile = (sk_interp_profile){c->runs, c->wavefronts, c->sectors, 0};
    c->program = p;
    const sk_interp_buffer buffer = {.data = memory, .bytes = sizeof memory};
    const sk_interp_args args = {.buffer = &buffer,
                                 .scalar = &(uint32_t){0},
                                 .first = {first, 0, 0},
                                 .grid = {blocks, 1, 1},
                                 .profile = &c->profile};
    sk_assert_ok(sk_interp_run(p, &args, &err), &err);
}

static uint32_t at_op(const counts *c, uint32_t op, uint32_t nth)
{
    for (uint32_t i = 0; i < c->program->ninstr; i++)
        if (c->program->instr[i].op == op && nth-- == 0) return i;
    fail_msg("no such op");
    return 0;
}

/* Lane i reads the word at i * step bytes of scratch, and of memory. */
static void strided(uint32_t step, uint32_t wavefronts, uint32_t sectors)
{
    sk_arena arena = {0};
    sk_builder b;
    counts c;
    sk_ir_begin(&b, &arena, "strided", 32, 1);
    const sk_val mem = sk_ir_param_ptr(&b, "mem", false);
    const sk_val scratch = sk_ir_shared(&b, 8192), zero = sk_ir_u32(&b, 0);
    const sk_val i = sk_ir_for(&b, zero, sk_ir_u32(&b, 2048), 32);
    sk_ir_stv(&b, scratch, sk_ir_2k(&b, SK_OP_SHL, i, 2), 0, zero);
    sk_ir_end(&b);
    const sk_val at = sk_ir_2k(&b, SK_OP_MUL, sk_ir_lane(&b), step);
    (void)sk_ir_ldg(&b, SK_LD_U32, scratch, at, 0, SK_NONE);
    (void)sk_ir_ldg(&b, SK_LD_U32, mem, at, 0, SK_NONE);
    run(&b, 0, 3, &c);
    const uint32_t store = at_op(&c, SK_OP_STV, 0), near = at_op(&c, SK_OP_LDG, 0);
    const uint32_t far = at_op(&c, SK_OP_LDG, 1);
    assert_int_equal(c.runs[store], 3 * 64);
    assert_int_equal(c.wavefronts[store], 3 * 64);
    assert_int_equal(c.sectors[store], 0);
    assert_int_equal(c.wavefronts[near], 3 * wavefronts);
    assert_int_equal(c.sectors[far], 3 * sectors);
    assert_int_equal(c.wavefronts[far] + c.sectors[near], 0);
    sk_arena_free(&arena);
}

static void conflicts_and_sectors(void **state)
{
    (void)state;
    strided(4, 1, 4);    /* a row */
    strided(0, 1, 1);    /* one word for all */
    strided(8, 2, 8);
    strided(128, 32, 32);
    strided(132, 1, 32); /* padded */
}

static void quads_and_copies(void **state)
{
    (void)state;
    sk_arena arena = {0};
    sk_builder b;
    counts c;
    sk_ir_begin(&b, &arena, "quads", 32, 1);
    const sk_val mem = sk_ir_param_ptr(&b, "mem", false);
    const sk_val scratch = sk_ir_shared(&b, 4096);
    const sk_val all = sk_ir_2k(&b, SK_OP_EQ, sk_ir_u32(&b, 0), 0);
    const sk_val at = sk_ir_2k(&b, SK_OP_MUL, sk_ir_lane(&b), 16);
    sk_ir_cp_async(&b, scratch, at, 0, mem, at, 0, all);
    sk_ir_cp_async(&b, scratch, at, 512, mem, at, 512, all);
    sk_ir_cp_commit(&b);
    sk_ir_cp_wait(&b, 0);
    (void)sk_ir_ldq(&b, scratch, at, 0, all);
    run(&b, 5, 1, &c);
    const uint32_t copy = at_op(&c, SK_OP_CPASYNC, 0), load = at_op(&c, SK_OP_LDQ, 0);
    assert_int_equal(c.sectors[copy], 16);
    assert_int_equal(c.wavefronts[copy], 4);
    assert_int_equal(c.wavefronts[load], 4);
    assert_int_equal(c.profile.ahead, 1024);
    sk_arena_free(&arena);
}

/* A grid that begins at another block than the first. */
static void first_block(void **state)
{
    (void)state;
    sk_arena arena = {0};
    sk_builder b;
    counts c;
    sk_ir_begin(&b, &arena, "first", 32, 1);
    (void)sk_ir_param_ptr(&b, "mem", false);
    const sk_val block = sk_ir_block(&b, 0), zero = sk_ir_u32(&b, 0);
    (void)sk_ir_for(&b, zero, block, 1);
    sk_ir_barrier(&b);
    sk_ir_end(&b);
    run(&b, 5, 2, &c);
    assert_int_equal(c.runs[at_op(&c, SK_OP_BARRIER, 0)], 5 + 6);
    sk_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conflicts_and_sectors),
        cmocka_unit_test(quads_and_copies),
        cmocka_unit_test(first_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
