/* simt_fault.c - faults end a run from wherever they are seen: the lane's stack is
 * simply left. What the vocabulary does not see (a plain pointer that goes astray,
 * a stack that is used up) the processor does: its signals become messages, too. */
#define _GNU_SOURCE
#include "simt_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static void say(const char *fmt, va_list args)
{
    simt_run *const r = simt_now;
    const simt_lane *const lane = r->face.now;
    char what[240];
    (void)vsnprintf(what, sizeof what, fmt, args);
    r->failed = true;
    (void)sk_fail(r->err, SPHKV_EVERIFY, "%s: block %u %u %u, warp %u, lane %u, line %u: %s",
                  r->launch->program->symbol, lane->block[0], lane->block[1], lane->block[2],
                  lane->warp, lane->lane, lane->line, what);
}

void simt_fault(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say(fmt, args);
    va_end(args);
    for (;;) /* nobody comes back */
        simt_context_switch(&simt_self()->context, &simt_now->main);
}

sigjmp_buf simt_escape;

static const int caught[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
static struct sigaction before[SK_COUNT(caught)];

static void say_signal(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say(fmt, args);
    va_end(args);
}

/* What a lane did without the vocabulary, or a stack that is too small. */
static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)context;
    const simt_run *const r = simt_now;
    if (!r->face.now) { /* not a lane's doing: it happens again, for the handler before */
        for (size_t i = 0; i < SK_COUNT(caught); i++)
            (void)sigaction(caught[i], &before[i], NULL);
        return;
    }
    const uint8_t *const at = info->si_addr;
    const simt_thread *const self = simt_self();
    if (number == SIGSEGV && at >= self->stack &&
        at < self->stack + 2 * (size_t)sysconf(_SC_PAGESIZE))
        say_signal("its stack of %zu bytes is too small", SIMT_STACK);
    else if (number == SIGSEGV || number == SIGBUS)
        say_signal("touches %p, where there is no memory", (const void *)at);
    else
        say_signal("ends with signal %d", number);
    siglongjmp(simt_escape, 1);
}

/* A stack of its own for the handler: the lane's may be what is used up. */
void simt_catch(void *stack, size_t bytes, stack_t *old)
{
    const stack_t ours = {.ss_sp = stack, .ss_size = bytes};
    struct sigaction act = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    (void)sigaltstack(&ours, old);
    for (size_t i = 0; i < SK_COUNT(caught); i++)
        (void)sigaction(caught[i], &act, &before[i]);
}

void simt_release(const stack_t *old)
{
    for (size_t i = 0; i < SK_COUNT(caught); i++)
        (void)sigaction(caught[i], &before[i], NULL);
    (void)sigaltstack(old, NULL);
}
