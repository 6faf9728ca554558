/* worker_outcome.c - what a worker may take, and what it means for a trial when it took more
 * or died (worker.h). */
#define _GNU_SOURCE
#include "worker.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

const char *sk_phase_text(uint32_t phase)
{
    static const char *const text[] = {"start", "compile", "load", "check", "measure"};
    return phase < SK_COUNT(text) ? text[phase] : "?";
}

sk_limits sk_limits_default(void)
{
    return (sk_limits){.seconds = {[SK_PHASE_IDLE] = 30,
                                   [SK_PHASE_COMPILE] = 30,
                                   [SK_PHASE_LOAD] = 10,
                                   [SK_PHASE_CHECK] = 120,
                                   [SK_PHASE_MEASURE] = 60},
                       .memory = (size_t)8 << 30};
}

sk_limits sk_limits_gpu(void)
{
    sk_limits limits = sk_limits_default();
    limits.seconds[SK_PHASE_LOAD] = 60;
    limits.memory = 0;
    return limits;
}

static sk_db_outcome death_outcome(const sk_report *r)
{
    bool memory = strstr(r->said, "out of memory") || strstr(r->said, "bad_alloc");
    if (memory || (r->fate == SK_FATE_SIGNAL && r->code == SIGKILL)) return SK_OUTCOME_OOM;
    if (r->phase == SK_PHASE_COMPILE) return SK_OUTCOME_COMPILE_ERROR;
    if (r->fate == SK_FATE_SIGNAL && r->code == SIGILL) return SK_OUTCOME_ILLEGAL;
    return SK_OUTCOME_CRASH;
}

sk_db_outcome sk_report_outcome(const sk_report *r, const sk_limits *limits, char *message,
                                size_t size)
{
    const char *colon = r->said[0] ? ": " : "", *phase = sk_phase_text(r->phase);
    uint32_t p = r->phase < SK_PHASE_COUNT ? r->phase : SK_PHASE_IDLE;
    switch (r->fate) {
    case SK_FATE_HANG:
        snprintf(message, size, "over its limit of %g s in %s", limits->seconds[p], phase);
        return SK_OUTCOME_HANG;
    case SK_FATE_SIGNAL:
        snprintf(message, size, "%s in %s%s%s", strsignal(r->code), phase, colon, r->said);
        return death_outcome(r);
    case SK_FATE_EXIT:
        snprintf(message, size, "exit %d in %s%s%s", r->code, phase, colon, r->said);
        return death_outcome(r);
    default:
        snprintf(message, size, "no worker: %s", strerror(r->code));
        return SK_OUTCOME_OOM;
    }
}
