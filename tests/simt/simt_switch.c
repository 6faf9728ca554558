/* simt_switch.c - see simt_switch.h. The callee-saved registers are pushed, the
 * stack pointer changes hands, and the return is into the other context. */
#include "simt_switch.h"

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && !defined(__ILP32__)

__asm__(".text\n"
        ".p2align 4\n"
        ".globl simt_context_swap\n"
        ".hidden simt_context_swap\n"
        ".type simt_context_swap, @function\n"
        "simt_context_swap:\n" /* rdi: where the old sp goes, rsi: the new one */
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size simt_context_swap, . - simt_context_swap\n");
#define SAVED_WORDS 6u /* then the address to return to */
#define START_WORD 6u

#elif defined(__aarch64__)

__asm__(".text\n"
        ".p2align 4\n"
        ".globl simt_context_swap\n"
        ".hidden simt_context_swap\n"
        ".type simt_context_swap, %function\n"
        "simt_context_swap:\n" /* x0: where the old sp goes, x1: the new one */
        "    sub sp, sp, #160\n"
        "    stp x19, x20, [sp]\n"
        "    stp x21, x22, [sp, #16]\n"
        "    stp x23, x24, [sp, #32]\n"
        "    stp x25, x26, [sp, #48]\n"
        "    stp x27, x28, [sp, #64]\n"
        "    stp x29, x30, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n"
        "    stp d10, d11, [sp, #112]\n"
        "    stp d12, d13, [sp, #128]\n"
        "    stp d14, d15, [sp, #144]\n"
        "    mov x9, sp\n"
        "    str x9, [x0]\n"
        "    mov sp, x1\n"
        "    ldp x19, x20, [sp]\n"
        "    ldp x21, x22, [sp, #16]\n"
        "    ldp x23, x24, [sp, #32]\n"
        "    ldp x25, x26, [sp, #48]\n"
        "    ldp x27, x28, [sp, #64]\n"
        "    ldp x29, x30, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n"
        "    ldp d10, d11, [sp, #112]\n"
        "    ldp d12, d13, [sp, #128]\n"
        "    ldp d14, d15, [sp, #144]\n"
        "    add sp, sp, #160\n"
        "    ret\n"
        ".size simt_context_swap, . - simt_context_swap\n");
#define SAVED_WORDS 20u
#define START_WORD 11u /* x30 */

#endif

#ifdef SAVED_WORDS

void simt_context_swap(void **old_sp, void *new_sp);

void simt_context_make(simt_context *context, void *stack, size_t bytes, void (*start)(void))
{
    const uintptr_t top = ((uintptr_t)stack + bytes) & ~(uintptr_t)15;
    /* an even number of words: at its entry `start` finds the sp that the ABI wants */
    uint64_t *const at = (uint64_t *)(top - 64) - SAVED_WORDS;
    memset(at, 0, (SAVED_WORDS + 1) * sizeof *at);
    at[START_WORD] = (uintptr_t)start;
    context->sp = at;
}

void simt_context_switch(simt_context *from, simt_context *to)
{
    simt_context_swap(&from->sp, to->sp);
}

#else

void simt_context_make(simt_context *context, void *stack, size_t bytes, void (*start)(void))
{
    (void)getcontext(context);
    context->uc_stack.ss_sp = stack;
    context->uc_stack.ss_size = bytes;
    context->uc_link = NULL;
    makecontext(context, start, 0);
}

void simt_context_switch(simt_context *from, simt_context *to)
{
    (void)swapcontext(from, to);
}

#endif
