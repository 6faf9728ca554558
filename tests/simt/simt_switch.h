/* simt_switch.h - a lane has a stack of its own and runs until it lets another
 * one run: one switch is some ten instructions on x86-64 and AArch64, and
 * ucontext elsewhere. Nothing of floating point but what the callee must keep
 * is saved: no kernel changes the rounding. */
#ifndef SK_SIMT_SWITCH_H
#define SK_SIMT_SWITCH_H

#include <stddef.h>

#if (defined(__x86_64__) && !defined(__ILP32__)) || defined(__aarch64__)
typedef struct simt_context {
    void *sp; /* everything else lies on the stack */
} simt_context;
#else
#include <ucontext.h>
typedef ucontext_t simt_context;
#endif

/* A context that begins `start`, which must not return, on the given stack. */
void simt_context_make(simt_context *context, void *stack, size_t bytes, void (*start)(void));
/* Leaves the running context, to come back when somebody switches to `from`. */
void simt_context_switch(simt_context *from, simt_context *to);

#endif
