/* test_ir_async.c - copies that take their time and atomic adds in the
 * interpreter: what arrives, and what it must catch: each misuse beside a twin
 * that is sound and runs, in both orders of the blocks where blocks meet. */
#include "sk_test.h"

#include "fault_frame.h"

/* ---- copies ------------------------------------------------------------------------------ */

/* Lane i copies 16 bytes of the input (or output) at 16 i to the scratch, where
 * there is room for three times as many. */
typedef struct copier {
    frame *f;
    sk_val to, own;
} copier;

static copier begin(uint32_t warps)
{
    copier c = {.f = start(warps)};
    c.to = sk_ir_shared(&c.f->b, 3 * 16 * W);
    c.own = op2(c.f, SK_OP_MUL, c.f->lane, num(c.f, 16));
    return c;
}

static void copy(const copier *c, uint32_t to)
{
    sk_ir_cp_async(&c->f->b, c->to, c->own, to, c->f->in, c->own, 0, SK_NONE);
}

static void commit(const copier *c) { sk_ir_cp_commit(&c->f->b); }
static void wait(const copier *c, uint32_t groups) { sk_ir_cp_wait(&c->f->b, groups); }
static void look(const copier *c, uint32_t at)
{
    (void)sk_ir_ldv(&c->f->b, SK_LD_U32, c->to, c->f->zero, at);
}
static void if_warp(const copier *c, uint32_t index)
{
    sk_ir_if(&c->f->b, op2(c->f, SK_OP_EQ, c->f->warp, num(c->f, index)));
}
static void end(const copier *c) { sk_ir_end(&c->f->b); }

/* Two groups; `looks` counts how many of them are looked at, `groups` may be
 * under way then. */
static void the_wait_says_what_is_there(void **state)
{
    (void)state;
    for (uint32_t groups = 0; groups < 4; groups++)
        for (uint32_t looks = 0; looks < 3; looks++) {
            const copier c = begin(1);
            copy(&c, 0);
            commit(&c);
            copy(&c, 16 * W);
            commit(&c);
            wait(&c, groups);
            for (uint32_t k = 0; k < looks; k++)
                look(&c, 16 * W * k);
            wait(&c, 0);
            const bool sound = looks + groups <= 2 || looks == 0;
            sound ? expect_sound(c.f) : expect_fault(c.f, "to which a copy is under way");
        }
    for (uint32_t committed = 0; committed < 2; committed++) { /* in no group */
        const copier c = begin(1);
        copy(&c, 0);
        if (committed)
            commit(&c);
        wait(&c, 0);
        look(&c, 0);
        committed ? expect_sound(c.f) : expect_fault(c.f, "to which a copy is under way");
    }
}

static void every_copy_is_waited_for(void **state)
{
    (void)state;
    for (uint32_t how = 0; how < 4; how++) { /* 3: all is well */
        const copier c = begin(1);
        copy(&c, 0);
        if (how != 1)
            commit(&c);
        if (how)
            wait(&c, how == 2 ? 1 : 0);
        how == 3 ? expect_sound(c.f)
                 : expect_fault(c.f, "the block ends with a copy that was not waited for");
    }
}

static void a_target_is_left_alone(void **state)
{
    (void)state;
    for (uint32_t early = 0; early < 2; early++)
        for (uint32_t again = 0; again < 2; again++) {
            const copier c = begin(1);
            copy(&c, 0);
            commit(&c);
            if (!early)
                wait(&c, 0);
            if (again) /* by a copy */
                copy(&c, 0);
            else
                sk_ir_stu(&c.f->b, c.to, c.f->zero, 16 * W - 4, c.f->zero);
            commit(&c);
            wait(&c, 0);
            look(&c, 16 * W - 4 * W);
            early ? expect_fault(c.f, again ? "writes scratch+0, to which a copy is under way"
                                            : "writes scratch+124, to which a copy is under way")
                  : expect_sound(c.f);
        }
    const copier c = begin(1); /* two lanes copy to one place */
    sk_ir_cp_async(&c.f->b, c.to, op2(c.f, SK_OP_AND, c.own, num(c.f, 16)), 0, c.f->in, c.own, 0,
                   SK_NONE);
    expect_fault(c.f, "lane 2, ");
}

static void a_source_stays_as_it_is(void **state)
{
    (void)state;
    for (uint32_t changed = 0; changed < 3; changed++) { /* 2: behind the wait */
        const copier c = begin(1);
        sk_ir_cp_async(&c.f->b, c.to, c.own, 0, c.f->out, c.own, 0, SK_NONE);
        commit(&c);
        if (changed == 2)
            wait(&c, 0);
        if (changed)
            sk_ir_stu(&c.f->b, c.f->out, c.f->zero, 40, num(c.f, 1));
        wait(&c, 0);
        changed == 1 ? expect_fault(c.f, "lane 2, %9: the source has changed") : expect_sound(c.f);
    }
}

static void other_warps_need_a_barrier(void **state)
{
    (void)state;
    for (uint32_t how = 0; how < 4; how++) {
        const copier c = begin(2);
        const uint32_t by = how == 1; /* the warps run by rising index */
        if_warp(&c, by);
        copy(&c, 0);
        commit(&c);
        if (how != 1)
            wait(&c, 0);
        end(&c);
        if (how)
            sk_ir_barrier(&c.f->b);
        if_warp(&c, 1 - by);
        if (how != 3)
            look(&c, 0);
        end(&c);
        wait(&c, 0);
        if (how == 0)
            expect_fault(c.f, "race: reads scratch+0, which warp 0 writes with no barrier");
        else if (how == 1)
            expect_fault(c.f, "warp 0, lane 0, %19: reads scratch+0, to which a copy is under way");
        else
            expect_sound(c.f);
    }
    for (uint32_t barrier = 0; barrier < 2; barrier++) { /* it reads what is copied over then */
        const copier c = begin(2);
        if_warp(&c, 0);
        sk_ir_stq(&c.f->b, c.to, c.own, 0, sk_ir_quad(&c.f->b, c.own, c.own, c.own, c.own), SK_NONE);
        end(&c);
        sk_ir_barrier(&c.f->b);
        if_warp(&c, 0);
        look(&c, 0);
        end(&c);
        if (barrier)
            sk_ir_barrier(&c.f->b);
        if_warp(&c, 1);
        copy(&c, 0);
        commit(&c);
        wait(&c, 0);
        end(&c);
        barrier ? expect_sound(c.f)
                : expect_fault(c.f, "race: writes scratch+0, which another warp reads");
    }
}

static void places_of_copies(void **state)
{
    (void)state;
    static const struct {
        uint32_t to, from;
        const char *text;
    } row[] = {
        {256, 128, NULL},
        {260, 128, "scratch+260 is not aligned to 16 bytes"},
        {256, 120, "in+120 is not aligned to 16 bytes"},
        {272, 128, "lane 7, %9: copies to 16 bytes at scratch+384, which has 384 bytes"},
        {256, 144, "lane 7, %9: reads 16 bytes at in+256, which has 256 bytes"},
    };
    for (uint32_t k = 0; k < SK_COUNT(row); k++) {
        const copier c = begin(1);
        sk_ir_cp_async(&c.f->b, c.to, c.own, row[k].to, c.f->in, c.own, row[k].from, SK_NONE);
        commit(&c);
        wait(&c, 0);
        row[k].text ? expect_fault(c.f, row[k].text) : expect_sound(c.f);
    }
    for (uint32_t wrong = 0; wrong < 3; wrong++) { /* addresses that are not known statically */
        const copier c = begin(1);
        sk_builder *const b = &c.f->b;
        const sk_val to = sk_ir_var(b, SK_BLOCK, c.to), from = sk_ir_var(b, SK_BLOCK, c.f->in);
        if (wrong == 1)
            sk_ir_set(b, to, c.f->out);
        if (wrong == 2)
            sk_ir_set(b, from, c.to);
        sk_ir_cp_async(b, sk_ir_get(b, to), c.own, 0, sk_ir_get(b, from), c.own, 0, SK_NONE);
        commit(&c);
        wait(&c, 0);
        wrong ? expect_fault(c.f, wrong == 1 ? "copies from in to out" : "from scratch to scratch")
              : expect_sound(c.f);
    }
    const copier c = begin(1);
    c.f->buffer[0].uninitialised = true;
    copy(&c, 0);
    expect_fault(c.f, "reads in+0, which nobody has written");
}

/* Lanes 2 and 5 copy nothing, from and to nowhere; what they have stays. */
static void what_arrives(void **state)
{
    (void)state;
    const copier c = begin(1);
    sk_builder *const b = &c.f->b;
    const sk_val two = op2(c.f, SK_OP_EQ, c.f->lane, num(c.f, 2));
    const sk_val off = op2(c.f, SK_OP_POR, two, op2(c.f, SK_OP_EQ, c.f->lane, num(c.f, 5)));
    const sk_val at = sk_ir_3(b, SK_OP_SELECT, off, num(c.f, 0x80000001), c.own);
    const sk_val old = sk_ir_quad(b, c.f->lane, c.f->zero, c.f->zero, num(c.f, 99));
    sk_ir_stq(b, c.to, c.own, 0, old, SK_NONE);
    sk_ir_cp_async(b, c.to, at, 0, c.f->in, at, 128, sk_ir_1(b, SK_OP_PNOT, off));
    commit(&c);
    wait(&c, 0);
    sk_ir_stq(b, c.f->out, c.own, 0, sk_ir_ldq(b, c.to, c.own, 0, SK_NONE), SK_NONE);
    sk_err err = {0};
    sk_assert_ok(run(c.f, &err), &err);
    for (uint32_t i = 0; i < W; i++) {
        const uint32_t kept[4] = {i, 0, 0, 99};
        const bool copied = i != 2 && i != 5;
        assert_memory_equal(&c.f->out_word[4 * i], copied ? &c.f->in_word[32 + 4 * i] : kept, 16);
    }
}

/* ---- atomic adds -------------------------------------------------------------------------- */

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
            const sk_val old = flaw == NO_ADD ? block
                                              : sk_ir_atom_add(b, f->out, counter, COUNTER, num(f, 1));
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
        for (uint32_t load = 0; load < 2; load++) { /* both warps add, then warp 1 looks or stores */
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
            /* the last add to it is warp 1's own, or warp 1 adds to what warp 0 has stored */
            barrier || load ? expect_sound(f)
                            : expect_fault(f, "warp 1, lane 0, %7: race: writes out+0");
        }
    for (uint32_t ordered = 0; ordered < 2; ordered++) { /* a reset that another block counts from */
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
        static const char *const text[] = {NULL, "out+2 is not aligned", "adds to 4 bytes at out+256",
                                           "adds to out+0, which nobody has written",
                                           "writes in+0, which is read-only", "adds to the scratch"};
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

/* More copies and adds than the first allocation holds. */
static frame *many(void)
{
    const copier c = begin(1);
    const sk_val i = sk_ir_for(&c.f->b, c.f->zero, num(c.f, 100), 1);
    (void)sk_ir_atom_add(&c.f->b, c.f->out, c.f->zero, 0, i);
    end(&c);
    for (uint32_t k = 0; k < 3; k++)
        copy(&c, 16 * W * k);
    const sk_val more = sk_ir_shared(&c.f->b, 8 * 16 * W);
    for (uint32_t k = 0; k < 8; k++)
        sk_ir_cp_async(&c.f->b, more, c.own, 16 * W * k, c.f->in, c.own, 128, SK_NONE);
    commit(&c);
    wait(&c, 0);
    return c.f;
}

static void many_at_once(void **state)
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
        cmocka_unit_test(the_wait_says_what_is_there),
        cmocka_unit_test(every_copy_is_waited_for),
        cmocka_unit_test(a_target_is_left_alone),
        cmocka_unit_test(a_source_stays_as_it_is),
        cmocka_unit_test(other_warps_need_a_barrier),
        cmocka_unit_test(places_of_copies),
        cmocka_unit_test(what_arrives),
        cmocka_unit_test(old_values),
        cmocka_unit_test(the_last_block_sums),
        cmocka_unit_test(writes_after_reads),
        cmocka_unit_test(counters),
        cmocka_unit_test(places_of_adds),
        cmocka_unit_test(many_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
