/* fault_frame.h - one small program that the interpreter must stop, or must
 * not: for tests of what it catches. W = 8; slot 0 the input (read-only, word k
 * holds k), slot 1 the output, slot 2 a u32 of 5. Values %0 to %5 are those of
 * the frame. Include sk_test.h first. */
#ifndef SK_FAULT_FRAME_H
#define SK_FAULT_FRAME_H

#include "ir.h"

#define W 8u
#define OUT_WORDS 64u

typedef struct frame {
    sk_builder b;
    sk_arena arena;
    sk_val in, out, zero, lane, warp;
    sk_interp_buffer buffer[3];
    sk_interp_args args;
    _Alignas(64) uint32_t in_word[OUT_WORDS];
    _Alignas(64) uint32_t out_word[OUT_WORDS];
    uint32_t scalar[3];
} frame;

/* There is one frame: it is made new. */
frame *start(uint32_t warps);
/* Finishes the program, runs it, frees it. */
sk_status run(frame *f, sk_err *err);
void expect_fault(frame *f, const char *text);
void expect_sound(frame *f);
/* Each allocation of a run fails once, and is reported as such. */
void expect_memory_errors(frame *(*make)(void));

static inline sk_val num(frame *f, uint32_t x) { return sk_ir_u32(&f->b, x); }
static inline sk_val op2(frame *f, sk_op op, sk_val x, sk_val y)
{
    return sk_ir_2(&f->b, op, x, y);
}

#endif
