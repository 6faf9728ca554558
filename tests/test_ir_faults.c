/* test_ir_faults.c - what the interpreter must catch, one program each, and
 * that it names the place. Each case has a twin that is sound and must run, so
 * that a check which always fires fails here too. */
#include "sk_test.h"

#include "fault_frame.h"

static void bounds(void **state)
{
    (void)state;
    const uint32_t end = 4 * OUT_WORDS;
    for (uint32_t past = 0; past < 2; past++) { /* past = 0: the last place that fits */
        frame *f = start(1);
        (void)sk_ir_ldv(&f->b, SK_LD_U32, f->in, num(f, end - 4 * W + 4 * past), 0);
        if (past)
            expect_fault(f, "block 0 0 0, warp 0, lane 7, %7: reads 4 bytes at in+256, "
                            "which has 256 bytes [%7 = ldv.u32 lane %0, %6]");
        else
            expect_sound(f);

        f = start(1);
        (void)sk_ir_ldu(&f->b, SK_LD_S8, f->in, num(f, end - 1), past);
        past ? expect_fault(f, "reads 1 bytes at in+256") : expect_sound(f);

        f = start(1);
        const sk_val at = op2(f, SK_OP_MUL, f->lane, num(f, 8));
        const sk_val limit = num(f, 4 * past + end - 8 * (W - 1) - 4);
        const sk_val far = op2(f, SK_OP_ADD, at, limit);
        sk_ir_stg(&f->b, f->out, far, 0, f->lane, SK_NONE);
        past ? expect_fault(f, "lane 7, ") : expect_sound(f);

        f = start(1);
        const sk_val s = sk_ir_shared(&f->b, 64);
        sk_ir_stu(&f->b, s, num(f, 60), 4 * past, f->zero);
        past ? expect_fault(f, "writes 4 bytes at scratch+64, which has 64 bytes")
             : expect_sound(f);
    }
}

/* An address of one piece of scratch does not reach the next one. */
static void pieces_of_scratch(void **state)
{
    (void)state;
    for (uint32_t past = 0; past < 2; past++) {
        frame *f = start(1);
        const sk_val one = sk_ir_shared(&f->b, 64), two = sk_ir_shared(&f->b, 64);
        sk_ir_stu(&f->b, two, num(f, 0), 0, num(f, 1));
        sk_ir_stu(&f->b, sk_ir_ptr_add(&f->b, one, num(f, 15 + past), 4), num(f, 0), 0, num(f, 1));
        past ? expect_fault(f, "writes 4 bytes at scratch+64; its address is of the piece from 0 to 64")
             : expect_sound(f);
    }
}

static void far_away(void **state)
{
    (void)state;
    frame *f = start(1); /* offset and displacement do not wrap at 32 bits */
    (void)sk_ir_ldu(&f->b, SK_LD_U32, f->in, num(f, 0xfffffffc), 8);
    expect_fault(f, "in+4294967300");

    f = start(1); /* nor does an address */
    const sk_val high = sk_ir_ptr_add(&f->b, f->in, num(f, UINT32_MAX), UINT32_MAX);
    (void)sk_ir_ldu(&f->b, SK_LD_U32, high, f->zero, 0);
    expect_fault(f, "reads 4 bytes at");

    f = start(1); /* masked-off lanes make no access, whatever their offset */
    const sk_val off = op2(f, SK_OP_SUB, f->zero, f->lane);
    const sk_val first = op2(f, SK_OP_EQ, f->lane, f->zero);
    (void)sk_ir_ldg(&f->b, SK_LD_U32, f->in, off, 0, first);
    sk_ir_prefetch(&f->b, f->in, num(f, 0xffffff00), 0);
    expect_sound(f);

    f = start(1); /* a buffer that is not there */
    f->buffer[0] = (sk_interp_buffer){.data = NULL, .bytes = 100};
    (void)sk_ir_ldu(&f->b, SK_LD_U8, f->in, f->zero, 0);
    expect_fault(f, "which has 0 bytes");
}

static void alignment(void **state)
{
    (void)state;
    for (uint32_t by = 0; by < 3; by++) {
        frame *f = start(1);
        (void)sk_ir_ldv(&f->b, SK_LD_F16, f->in, f->zero, by);
        by % 2 ? expect_fault(f, "is not aligned to 2 bytes") : expect_sound(f);
        f = start(1);
        sk_ir_stu(&f->b, f->out, f->zero, by, f->zero);
        by % 4 ? expect_fault(f, "is not aligned to 4 bytes") : expect_sound(f);
        f = start(1); /* a vector that may pass the caches: W = 8 */
        sk_ir_stn(&f->b, f->out, num(f, 16), 8 * by, f->lane);
        by % 4 != 2 ? expect_fault(f, "is not aligned to 32 bytes") : expect_sound(f);
        f = start(1);
        sk_ir_stn(&f->b, sk_ir_shared(&f->b, 128), num(f, 32 * by), 0, f->lane);
        expect_sound(f);
    }
}

static void read_only(void **state)
{
    (void)state;
    for (uint32_t wrong = 0; wrong < 2; wrong++) { /* an address that is not known statically */
        frame *f = start(1);
        const sk_val p = sk_ir_var(&f->b, SK_BLOCK, f->out);
        if (wrong)
            sk_ir_set(&f->b, p, f->in);
        sk_ir_stu(&f->b, sk_ir_get(&f->b, p), f->zero, 12, f->zero);
        wrong ? expect_fault(f, "writes in+12, which is read-only") : expect_sound(f);
    }
}

static void uninitialised(void **state)
{
    (void)state;
    for (uint32_t written = 0; written < 2; written++) {
        frame *f = start(1);
        const sk_val s = sk_ir_shared(&f->b, 128);
        sk_ir_stv(&f->b, s, f->zero, 0, f->lane);
        (void)sk_ir_ldv(&f->b, SK_LD_U8, s, num(f, 4 * W - 1 - 7 * written), 0);
        written ? expect_sound(f) : expect_fault(f, "reads scratch+32, which nobody has written");

        f = start(1);
        f->buffer[1].uninitialised = true;
        if (written)
            sk_ir_stu(&f->b, f->out, f->zero, 20, f->zero);
        (void)sk_ir_ldu(&f->b, SK_LD_U16, f->out, f->zero, 22);
        written ? expect_sound(f) : expect_fault(f, "reads out+22, which nobody has written");

        f = start(1); /* a read-only buffer without contents */
        f->buffer[0].uninitialised = !written;
        (void)sk_ir_ldu(&f->b, SK_LD_U8, f->in, f->zero, 0);
        written ? expect_sound(f) : expect_fault(f, "reads in+0, which nobody has written");
    }
    frame *f = start(1); /* the scratch of the next block is new */
    const sk_val s = sk_ir_shared(&f->b, 64);
    sk_ir_if(&f->b, op2(f, SK_OP_EQ, sk_ir_block(&f->b, 1), f->zero));
    sk_ir_stu(&f->b, s, f->zero, 0, f->zero);
    sk_ir_end(&f->b);
    (void)sk_ir_ldu(&f->b, SK_LD_U32, s, f->zero, 0);
    f->args.grid[1] = 2;
    expect_fault(f, "block 0 1 0, warp 0, lane 0");
}

/* Warp k stores its row of the output or the scratch; then every warp reads the row of the
 * other one. */
static frame *exchange(bool scratch, bool barrier, bool again)
{
    frame *f = start(2);
    const sk_val s = scratch ? sk_ir_shared(&f->b, 2 * 4 * W) : f->out;
    const sk_val mine = sk_ir_ptr_add(&f->b, s, f->warp, 4 * W);
    const sk_val other = op2(f, SK_OP_XOR, f->warp, num(f, 1));
    const sk_val theirs = sk_ir_ptr_add(&f->b, s, other, 4 * W);
    sk_ir_stv(&f->b, mine, f->zero, 0, f->lane);
    if (barrier)
        sk_ir_barrier(&f->b);
    const sk_val x = sk_ir_ldv(&f->b, SK_LD_U32, theirs, f->zero, 0);
    if (again)
        sk_ir_stv(&f->b, mine, f->zero, 0, x);
    return f;
}

static void races_between_warps(void **state)
{
    (void)state;
    expect_fault(exchange(false, false, false), "warp 1, lane 0, %10: race: writes out+32, which "
                                                "another warp reads with no barrier between");
    expect_fault(exchange(true, false, false), "reads scratch+32, which nobody has written");
    for (uint32_t scratch = 0; scratch < 2; scratch++) {
        expect_sound(exchange(scratch, true, false));
        expect_fault(exchange(scratch, true, true), "race: reads ");
    }

    frame *f = start(2); /* both warps write a word */
    const sk_val at = op2(f, SK_OP_MUL, op2(f, SK_OP_AND, f->warp, f->zero), num(f, 4));
    const sk_val low = op2(f, SK_OP_EQ, op2(f, SK_OP_UMIN, f->warp, f->zero), at);
    sk_ir_if(&f->b, low);
    sk_ir_stu(&f->b, f->out, f->zero, 8, f->zero);
    sk_ir_end(&f->b);
    expect_fault(f, "warp 1, lane 0, ");

    f = start(2); /* one of them only, and the other reads after a barrier */
    sk_ir_if(&f->b, op2(f, SK_OP_EQ, f->warp, num(f, 1)));
    sk_ir_stu(&f->b, f->out, f->zero, 8, f->zero);
    sk_ir_end(&f->b);
    sk_ir_barrier(&f->b);
    (void)sk_ir_ldu(&f->b, SK_LD_U32, f->out, f->zero, 8);
    expect_sound(f);

    f = start(2); /* bytes of one word count as that word */
    sk_ir_if(&f->b, op2(f, SK_OP_EQ, f->warp, num(f, 1)));
    sk_ir_stu(&f->b, f->out, f->zero, 8, f->zero);
    sk_ir_else(&f->b);
    (void)sk_ir_ldu(&f->b, SK_LD_U8, f->out, f->zero, 11);
    sk_ir_end(&f->b);
    expect_fault(f, "race: writes out+8, which another warp reads");
}

static void races_between_lanes(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < 2; n++) {
        frame *f = start(1);
        const sk_val at = op2(f, SK_OP_MUL, op2(f, SK_OP_SHR, f->lane, num(f, n)), num(f, 4));
        sk_ir_stg(&f->b, f->out, at, 0, f->zero, SK_NONE);
        n ? expect_fault(f, "lane 1, %10: race: two lanes write out+0") : expect_sound(f);
    }
    frame *f = start(1); /* one after the other is order, not a race */
    sk_ir_stv(&f->b, f->out, f->zero, 0, f->lane);
    sk_ir_stv(&f->b, f->out, f->zero, 4, f->lane);
    (void)sk_ir_ldv(&f->b, SK_LD_U32, f->out, f->zero, 8);
    sk_ir_stv(&f->b, f->out, f->zero, 8, f->lane);
    expect_sound(f);
}

static void races_between_blocks(void **state)
{
    (void)state;
    for (uint32_t apart = 0; apart < 2; apart++) {
        frame *f = start(1);
        const sk_val x = sk_ir_block(&f->b, 0);
        const sk_val mine = sk_ir_ptr_add(&f->b, f->out, x, apart ? 4 * W : 4 * W - 4);
        sk_ir_stv(&f->b, mine, f->zero, 0, f->lane);
        f->args.grid[0] = 3;
        apart ? expect_sound(f) : expect_fault(f, "block 1 0 0, warp 0, lane 0");

        f = start(1); /* the second block reads what the first one wrote */
        const sk_val y = sk_ir_block(&f->b, 2);
        const sk_val own = sk_ir_ptr_add(&f->b, f->out, y, 4 * W);
        sk_ir_stv(&f->b, own, f->zero, 0, f->lane);
        (void)sk_ir_ldu(&f->b, SK_LD_U32, apart ? own : f->out, f->zero, 0);
        f->args.grid[2] = 2;
        apart ? expect_sound(f)
              : expect_fault(f, "block 0 0 1, warp 0, lane 0, %9: race: reads out+0");

        f = start(1); /* the same memory under another name */
        f->buffer[0] = f->buffer[1];
        sk_ir_stv(&f->b, sk_ir_ptr_add(&f->b, f->out, sk_ir_block(&f->b, 0), 4 * W), f->zero, 0,
                  f->lane);
        (void)sk_ir_ldu(&f->b, SK_LD_U32, f->in, f->zero, 4 * 3 * W * apart);
        f->args.grid[0] = 2;
        apart ? expect_sound(f) : expect_fault(f, "reads in+0, which another block has written");
    }
}

static void runs_of_lanes(void **state)
{
    (void)state;
    for (uint32_t wrong = 0; wrong < 2; wrong++) {
        frame *f = start(1);
        const sk_val row = op2(f, SK_OP_SHR, f->lane, num(f, wrong ? 1 : 2)); /* 2 or 4 lanes */
        const sk_val at = op2(f, SK_OP_MUL, row, num(f, 16));
        (void)sk_ir_ldrows(&f->b, SK_LD_U32, f->in, at, 0, 4);
        wrong ? expect_fault(f, "lane 2, %10: offset 16, but 0 in the first lane of its run")
              : expect_sound(f);
    }
}

static void runaway_loops(void **state)
{
    (void)state;
    /* the counter wraps at 32 bits: past the limit by one, it never meets it */
    for (uint32_t wrong = 0; wrong < 2; wrong++) {
        frame *f = start(1);
        f->args.max_steps = 10000;
        (void)sk_ir_for(&f->b, f->zero, num(f, wrong ? 0xfff00001 : 0xfff00000),
                        1u << 20);
        sk_ir_end(&f->b);
        wrong ? expect_fault(f, "more than 10000 instructions") : expect_sound(f);
    }
}

static void lost_at_a_barrier(void **state)
{
    (void)state;
    /* A block-scope value that differs between warps: only memory can do that,
     * and only when the program races; then the warps part. Here the race is
     * hidden from the shadow by partly overlapping buffers. */
    frame *f = start(2);
    f->buffer[0] = (sk_interp_buffer){.data = f->out_word, .bytes = 4};
    const sk_val x = sk_ir_ldu(&f->b, SK_LD_U32, f->in, f->zero, 0);
    sk_ir_if(&f->b, op2(f, SK_OP_EQ, f->warp, f->zero));
    sk_ir_stu(&f->b, f->out, f->zero, 0, num(f, 1));
    sk_ir_end(&f->b);
    sk_ir_if(&f->b, op2(f, SK_OP_EQ, x, f->zero));
    sk_ir_barrier(&f->b);
    sk_ir_end(&f->b);
    expect_fault(f, "not all warps reach the same barrier");
}

static void arguments(void **state)
{
    (void)state;
    sk_err err = {0};
    frame *f = start(1);
    f->args.buffer = NULL;
    assert_int_equal(run(f, &err), SPHKV_EINVAL);
    f = start(1);
    f->args.scalar = NULL;
    assert_int_equal(run(f, &err), SPHKV_EINVAL);
    assert_non_null(strstr(err.message, "parameter n"));
    f = start(1); /* no blocks, nothing happens */
    (void)sk_ir_ldu(&f->b, SK_LD_U32, f->in, num(f, 1u << 30), 0);
    f->args.grid[1] = 0;
    expect_sound(f);
}

static frame *exchange_soundly(void)
{
    return exchange(true, true, false);
}

static void memory_runs_out(void **state)
{
    (void)state;
    expect_memory_errors(exchange_soundly);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds),
        cmocka_unit_test(pieces_of_scratch),
        cmocka_unit_test(far_away),
        cmocka_unit_test(alignment),
        cmocka_unit_test(read_only),
        cmocka_unit_test(uninitialised),
        cmocka_unit_test(races_between_warps),
        cmocka_unit_test(races_between_lanes),
        cmocka_unit_test(races_between_blocks),
        cmocka_unit_test(runs_of_lanes),
        cmocka_unit_test(runaway_loops),
        cmocka_unit_test(lost_at_a_barrier),
        cmocka_unit_test(arguments),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
