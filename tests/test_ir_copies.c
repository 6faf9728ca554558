/* test_ir_copies.c - copies that take their time in the interpreter: what
 * arrives, and what it must catch: each misuse beside a twin that is sound and
 * runs. */
#include "sk_test.h"

#include "fault_frame.h"

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
    for (uint32_t barrier = 0; barrier < 2; barrier++) { /* it counts from the wait on */
        const copier c = begin(2);
        if_warp(&c, 0);
        copy(&c, 0);
        commit(&c);
        end(&c);
        sk_ir_barrier(&c.f->b);
        wait(&c, 0);
        if (barrier)
            sk_ir_barrier(&c.f->b);
        if_warp(&c, 1);
        look(&c, 0);
        end(&c);
        barrier ? expect_sound(c.f)
                : expect_fault(c.f, "race: reads scratch+0, which warp 0 writes with no barrier");
    }
    for (uint32_t barrier = 0; barrier < 2; barrier++) { /* it reads what is copied over then */
        const copier c = begin(2);
        if_warp(&c, 0);
        const sk_val x = sk_ir_quad(&c.f->b, c.own, c.own, c.own, c.own);
        sk_ir_stq(&c.f->b, c.to, c.own, 0, x, SK_NONE);
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

/* More copies than the first allocation holds. */
static frame *many(void)
{
    const copier c = begin(1);
    const sk_val more = sk_ir_shared(&c.f->b, 10 * 16 * W);
    for (uint32_t k = 0; k < 10; k++)
        sk_ir_cp_async(&c.f->b, more, c.own, 16 * W * k, c.f->in, c.own, 128, SK_NONE);
    commit(&c);
    wait(&c, 0);
    sk_ir_stv(&c.f->b, c.f->out, c.f->zero, 0,
              sk_ir_ldv(&c.f->b, SK_LD_U32, more, c.f->zero, 10 * 16 * W - 4 * W));
    return c.f;
}

static void many_at_once(void **state)
{
    (void)state;
    frame *const f = many();
    sk_err err = {0};
    sk_assert_ok(run(f, &err), &err);
    assert_memory_equal(f->out_word, &f->in_word[OUT_WORDS - W], 4 * W);
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
        cmocka_unit_test(many_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
