/* fault_frame.c - see fault_frame.h. */
#include "sk_test.h"

#include "fault_frame.h"

frame *start(uint32_t warps)
{
    static _Alignas(64) frame f;
    memset(&f, 0, sizeof f);
    for (uint32_t k = 0; k < OUT_WORDS; k++)
        f.in_word[k] = k;
    sk_ir_begin(&f.b, &f.arena, "faulty", W, warps);
    f.in = sk_ir_param_ptr(&f.b, "in", false);
    f.out = sk_ir_param_ptr(&f.b, "out", true);
    (void)sk_ir_param_u32(&f.b, "n");
    f.zero = sk_ir_u32(&f.b, 0);
    f.lane = sk_ir_lane(&f.b);
    f.warp = sk_ir_0(&f.b, SK_OP_WARP, 0);
    f.scalar[2] = 5;
    f.buffer[0] = (sk_interp_buffer){.data = f.in_word, .bytes = sizeof f.in_word};
    f.buffer[1] = (sk_interp_buffer){.data = f.out_word, .bytes = sizeof f.out_word};
    f.args = (sk_interp_args){.buffer = f.buffer, .scalar = f.scalar, .grid = {1, 1, 1}};
    return &f;
}

sk_status run(frame *f, sk_err *err)
{
    sk_program *program = NULL;
    sk_assert_ok(sk_ir_finish(&f->b, &program, err), err);
    const sk_status st = sk_interp_run(program, &f->args, err);
    sk_arena_free(&f->arena);
    return st;
}

void expect_fault(frame *f, const char *text)
{
    sk_err err = {0};
    const sk_status st = run(f, &err);
    if (st != SPHKV_EVERIFY)
        fail_msg("status %d (%s), expected: %s", (int)st, err.message, text);
    if (!strstr(err.message, text))
        fail_msg("message is: %s; expected: %s", err.message, text);
}

void expect_sound(frame *f)
{
    sk_err err = {0};
    sk_assert_ok(run(f, &err), &err);
}

void expect_memory_errors(frame *(*make)(void))
{
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        frame *f = make();
        sk_program *program = NULL;
        sk_err err = {0};
        sk_assert_ok(sk_ir_finish(&f->b, &program, &err), &err);
        (void)sk_alloc_fault(n, true);
        const sk_status st = sk_interp_run(program, &f->args, &err);
        done = sk_alloc_fault(0, false) < n;
        assert_int_equal(st, done ? SPHKV_OK : SPHKV_ENOMEM);
        sk_arena_free(&f->arena);
        assert_true(n < 100);
    }
}
