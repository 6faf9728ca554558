/* test_ir_adds.c - atomic adds in the interpreter: what they give, and which
 * order of blocks they make: each flaw in a sum by the last block beside the
 * sound one, in both orders of the blocks. */
#include "sk_test.h"

#include "fault_frame.h"

static void old_values(void **state)
{
    (void)state;
    for (uint32_t backwards = 0; backwards < 2; backwards++) {
        frame *f = start(1);
        const sk_val id = sk_ir_block(&f->b, 0);
        const sk_val x = op2(f, SK_OP_ADD, id, num(f, 0x7fffffff));
        const sk_val old = sk_ir_atom_add(&f->b, f->out, num(f, 8), 4, x);
        sk_ir_stu(&f->b, sk_ir_ptr_add(&f->b, f->out, id, 4), num(f, 32), 0, old);
        f->args.grid[0] = 3;
        f->args.backwards = backwards;
        f->out_word[3] = 5;
        sk_err err = {0};
        sk_assert_ok(run(f, &err), &err);
        const uint32_t add[3] = {0x7fffffff, 0x80000000, 0x80000001};
        for (uint32_t k = 0, sum = 5; k < 3; k++) {
            const uint32_t block = backwards ? 2 - k : k;
            assert_int_equal(f->out_word[8 + block], sum);
            sum += add[block];
            if (k == 2)
                assert_int_equal(f->out_word[3], sum);
        }
    }
}

/* What goes wrong in a sum of parts of all blocks by the last one. */
typedef enum flaw {
    NONE,
    NO_ADD,            /* the last one by its index */
    ADD_FIRST,         /* before the parts are stored */
    NO_BARRIER_BEFORE, /* between the parts and the add */
    NO_BARRIER_AFTER,  /* between the add and the sum */
    OTHER_COUNTER,     /* one for each block */
    NOT_THE_LAST,      /* all sum, whatever the count */
    FLAWS
} flaw;

#define BLOCKS 2u
#define COUNTER 240u
#define SUM 128u

/* Warp k stores its part, warp 0 adds, both sum up what they have of all. */
static frame *reduction(flaw flaw, bool reset)
{
    frame *f = start(2);
    sk_builder *const b = &f->b;
    const sk_val note = sk_ir_shared(b, 64), block = sk_ir_block(b, 0);
    const sk_val first = sk_ir_2(b, SK_OP_EQ, f->warp, f->zero);
    const sk_val counter = flaw == OTHER_COUNTER ? op2(f, SK_OP_MUL, block, num(f, 4)) : f->zero;
    const sk_val row = sk_ir_ptr_add(b, f->out, f->warp, 4 * W);
    const sk_val mine = sk_ir_ptr_add(b, row, block, 8 * W);
    for (uint32_t step = 0; step < 2; step++) {
        if (step == (flaw == ADD_FIRST))
            sk_ir_stv(b, mine, f->zero, 0, op2(f, SK_OP_ADD, f->lane, block));
        if (step == 0 && flaw != NO_BARRIER_BEFORE)
            sk_ir_barrier(b);
        if (step == (flaw != ADD_FIRST)) {
            sk_ir_if(b, first);
            sk_val old = block;
            if (flaw != NO_ADD)
                old = sk_ir_atom_add(b, f->out, counter, COUNTER, num(f, 1));
            sk_ir_stu(b, note, f->zero, 0, old);
            sk_ir_end(b);
        }
    }
    if (flaw != NO_BARRIER_AFTER)
        sk_ir_barrier(b);
    const bool by_index = flaw == NO_BARRIER_AFTER || flaw == OTHER_COUNTER;
    const sk_val count = by_index ? block : sk_ir_ldu(b, SK_LD_U32, note, f->zero, 0);
    const sk_val limit = num(f, flaw == NOT_THE_LAST ? 0 : BLOCKS - 1);
    sk_ir_if(b, op2(f, SK_OP_ULE, limit, count));
    const sk_val x = sk_ir_ldv(b, SK_LD_U32, row, f->zero, 0);
    const sk_val y = sk_ir_ldv(b, SK_LD_U32, row, f->zero, 8 * W);
    if (flaw != NOT_THE_LAST)
        sk_ir_stv(b, row, f->zero, SUM, op2(f, SK_OP_ADD, x, y));
    if (reset) {
        sk_ir_if(b, first);
        sk_ir_stu(b, f->out, counter, COUNTER, f->zero);
        sk_ir_end(b);
    }
    sk_ir_end(b);
    f->args.grid[0] = BLOCKS;
    return f;
}

static void the_last_block_sums(void **state)
{
    (void)state;
    static const char *const text[FLAWS] = {
        [NO_ADD] = ", which another block has written",
        [ADD_FIRST] = ", which another block has written",
        [NO_BARRIER_BEFORE] = "warp 1, ",
        [NO_BARRIER_AFTER] = "warp 1, ",
        [OTHER_COUNTER] = ", which another block has written",
        [NOT_THE_LAST] = "race: writes out+",
    };
    for (flaw k = NO_ADD; k < FLAWS; k++)
        expect_fault(reduction(k, false), text[k]);
    for (uint32_t way = 0; way < 4; way++) {
        frame *f = reduction(NONE, way & 1);
        sk_err err = {0};
        f->args.backwards = way & 2;
        sk_assert_ok(run(f, &err), &err);
        for (uint32_t i = 0; i < 2 * W; i++)
            assert_int_equal(f->out_word[SUM / 4 + i], 2 * (i % W) + 1);
        assert_int_equal(f->out_word[COUNTER / 4], way & 1 ? 0 : BLOCKS);
    }
}

/* A word that one block has read may be written by another that knows of it. */
static void writes_after_reads(void **state)
{
    (void)state;
    for (uint32_t how = 0; how < 3; how++) { /* 0 no add, 1 add before the read, 2 behind it */
        frame *f = start(1);
        sk_builder *const b = &f->b;
        const sk_val second = op2(f, SK_OP_EQ, sk_ir_block(b, 0), num(f, 1));
        sk_ir_if(b, second);
        if (how)
            (void)sk_ir_atom_add(b, f->out, f->zero, COUNTER, num(f, 1));
        sk_ir_stv(b, f->out, f->zero, 0, f->lane);
        sk_ir_else(b);
        if (how == 1)
            (void)sk_ir_atom_add(b, f->out, f->zero, COUNTER, num(f, 1));
        (void)sk_ir_ldv(b, SK_LD_U32, f->out, f->zero, 0);
        if (how == 2)
            (void)sk_ir_atom_add(b, f->out, f->zero, COUNTER, num(f, 1));
        sk_ir_end(b);
        f->args.grid[0] = 2;
        how == 2 ? expect_sound(f)
                 : expect_fault(f, "race: writes out+0, which another block has touched");
    }
}

/* What else touches the counter. */
static void counters(void **state)
{
    (void)state;
    for (uint32_t barrier = 0; barrier < 2; barrier++)
        for (uint32_t load = 0; load < 2; load++) {
            /* Both warps add; then warp 1, whose add was the last, looks, or
             * warp 0 stores, and the add of warp 1 follows. */
            frame *f = start(2);
            (void)sk_ir_atom_add(&f->b, f->out, f->zero, 0, num(f, 1));
            if (barrier)
                sk_ir_barrier(&f->b);
            sk_ir_if(&f->b, op2(f, SK_OP_EQ, f->warp, num(f, load ? 1 : 0)));
            if (load)
                (void)sk_ir_ldu(&f->b, SK_LD_U32, f->out, f->zero, 0);
            else
                sk_ir_stu(&f->b, f->out, f->zero, 0, f->zero);
            sk_ir_end(&f->b);
            (void)sk_ir_atom_add(&f->b, f->out, f->zero, 4, num(f, 1));
            barrier || load ? expect_sound(f)
                            : expect_fault(f, "warp 1, lane 0, %7: race: writes out+0");
        }
    for (uint32_t ordered = 0; ordered < 2; ordered++) { /* another block counts from a reset */
        frame *f = start(1);
        sk_ir_if(&f->b, op2(f, SK_OP_EQ, sk_ir_block(&f->b, 0), f->zero));
        sk_ir_stu(&f->b, f->out, f->zero, 0, f->zero);
        (void)sk_ir_atom_add(&f->b, f->out, f->zero, 8, num(f, 1));
        sk_ir_else(&f->b);
        if (ordered)
            (void)sk_ir_atom_add(&f->b, f->out, f->zero, 8, num(f, 1));
        (void)sk_ir_atom_add(&f->b, f->out, f->zero, 0, num(f, 1));
        sk_ir_end(&f->b);
        f->args.grid[0] = 2;
        ordered ? expect_sound(f) : expect_fault(f, "race: writes out+0, which another block");
    }
    frame *f = start(1); /* a block that only reads it */
    sk_ir_if(&f->b, op2(f, SK_OP_EQ, sk_ir_block(&f->b, 0), f->zero));
    (void)sk_ir_atom_add(&f->b, f->out, f->zero, 0, num(f, 1));
    sk_ir_else(&f->b);
    (void)sk_ir_ldu(&f->b, SK_LD_U32, f->out, f->zero, 0);
    sk_ir_end(&f->b);
    f->args.grid[0] = 2;
    expect_fault(f, "race: reads out+0, which another block has written");
}

static void places_of_adds(void **state)
{
    (void)state;
    for (uint32_t wrong = 0; wrong < 6; wrong++) {
        static const char *const text[] = {
            NULL, "out+2 is not aligned", "adds to 4 bytes at out+256",
            "adds to out+0, which nobody has written", "writes in+0, which is read-only",
            "adds to the scratch"};
        static const uint32_t at[] = {252, 2, 256, 0, 0, 0};
        frame *f = start(1);
        const sk_val s = sk_ir_shared(&f->b, 64), p = sk_ir_var(&f->b, SK_BLOCK, f->out);
        f->buffer[1].uninitialised = wrong == 3;
        if (wrong > 3)
            sk_ir_set(&f->b, p, wrong == 4 ? f->in : s);
        (void)sk_ir_atom_add(&f->b, sk_ir_get(&f->b, p), f->zero, at[wrong], num(f, 1));
        wrong ? expect_fault(f, text[wrong]) : expect_sound(f);
    }
}

/* More adds than the first allocation holds. */
static frame *many(void)
{
    frame *f = start(1);
    const sk_val i = sk_ir_for(&f->b, f->zero, num(f, 100), 1);
    (void)sk_ir_atom_add(&f->b, f->out, f->zero, 0, i);
    sk_ir_end(&f->b);
    return f;
}

static void many_of_them(void **state)
{
    (void)state;
    frame *const f = many();
    sk_err err = {0};
    sk_assert_ok(run(f, &err), &err);
    assert_int_equal(f->out_word[0], 99 * 100 / 2);
    expect_memory_errors(many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_values),
        cmocka_unit_test(the_last_block_sums),
        cmocka_unit_test(writes_after_reads),
        cmocka_unit_test(counters),
        cmocka_unit_test(places_of_adds),
        cmocka_unit_test(many_of_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
