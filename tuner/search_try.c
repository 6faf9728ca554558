/* search_try.c - the questions of a search to its workers: compilers, inputs, one trial.
 *
 * A candidate gets one more try in a fresh worker when something else may be to blame, and
 * one more when the machine was in a noisy stretch. */
#include "search_impl.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define DRIFT_LAST 7u     /* trials of late that say what the default usually takes */
#define DRIFT_LEAST 3u

/* ---- asking ------------------------------------------------------------------ */

bool sk_search_tick(void *user)
{
    sk_search *s = user;
    if (s->progress) {
        s->progress->phase = s->forging ? "compile"
                                        : sk_phase_text(atomic_load(&s->worker.desk->phase));
        sk_progress_draw(s->progress);
    }
    return !(s->p->stop && *s->p->stop);
}

sk_status sk_search_ask(sk_search *s, const uint32_t request[SK_REQUEST_WORDS], sk_report *report,
                        sk_err *err)
{
    char said[400];
    sk_worker_ask(&s->worker, request, sk_search_tick, s, report);
    s->stopped = s->stopped || report->fate == SK_FATE_STOPPED;
    if (report->fate == SK_FATE_STOPPED) return sk_fail(err, SPHKV_EDEVICE, "interrupted");
    if (report->fate != SK_FATE_DONE) {
        (void)sk_report_outcome(report, &s->p->limits, said, sizeof said);
        return sk_fail(err, SPHKV_EDEVICE, "%s", said);
    }
    sk_answer *a = s->job->answer;
    a->message[sizeof a->message - 1] = '\0';
    return a->status == SPHKV_OK ? SPHKV_OK : sk_fail(err, a->status, "%s", a->message);
}

static bool plausible(double bytes)
{
    return bytes >= 0 && bytes < 1e15;
}

sk_status sk_search_forge(sk_search *s, const sk_order *order, uint32_t n, sk_err *err)
{
    s->forging = true;
    sk_status st = sk_forge_run(&s->forge, order, n, sk_search_tick, s, &s->stopped, err);
    s->forging = false;
    return st;
}

/* The compiler's name, once; its workers stay for what follows. */
static sk_status probe(sk_search *s, sk_err *err)
{
    sk_status st = SPHKV_OK;
    if (s->probed) return st;
    if (!s->forge.seats)
        st = sk_forge_make(s->job, &s->p->limits, s->p->compilers, &s->forge, err);
    s->forging = true;
    if (st == SPHKV_OK)
        st = sk_forge_probe(&s->forge, sk_search_tick, s, s->store->compiler, &s->stopped, err);
    s->forging = false;
    s->probed = st == SPHKV_OK;
    return st;
}

sk_status sk_search_compiler(sk_search *s, sk_err *err)
{
    sk_err why = {0};
    if (s->store->compiler[0]) return SPHKV_OK;
    const sk_status st = probe(s, &why);
    return st == SPHKV_ENOMEM ? sk_fail(err, st, "%s", why.message) : SPHKV_OK;
}

sk_status sk_search_prepare(sk_search *s, sk_err *err)
{
    const uint32_t request[SK_REQUEST_WORDS] = {SK_ASK_PROBE};
    sk_report report;
    const sk_answer *a = s->job->answer;
    if (s->prepared) return SPHKV_OK;
    sk_status st = probe(s, err);
    if (st == SPHKV_OK && !s->job->case_by_worker) st = sk_job_inputs(s->job, err);
    if (st == SPHKV_OK) st = sk_search_ask(s, request, &report, err);
    if (st != SPHKV_OK) return st;
    if (!plausible(a->read_bytes) || !plausible(a->write_bytes))
        return sk_fail(err, SPHKV_EINTERNAL, "a worker counts %g bytes", a->read_bytes);
    s->job->read_bytes = a->read_bytes;
    s->job->write_bytes = a->write_bytes;
    s->prepared = true;
    return SPHKV_OK;
}

/* ---- one trial --------------------------------------------------------------- */

/* What the worker answered, copied out of shared memory. */
static void read_answer(const sk_job *job, sk_tried *t)
{
    const sk_answer *a = job->answer;
    uint32_t outcome = a->outcome, n = a->samples;
    t->outcome = outcome < SK_OUTCOME_COUNT ? (sk_db_outcome)outcome : SK_OUTCOME_CRASH;
    snprintf(t->message, sizeof t->message, "%.399s", a->message);
    if (t->outcome != SK_OUTCOME_OK) return;
    t->error = a->error;
    snprintf(t->error_kind, sizeof t->error_kind, "%.23s", a->error_kind);
    t->samples = n < SK_SAMPLES_MOST ? n : SK_SAMPLES_MOST;
    memcpy(t->sample, a->sample, t->samples * sizeof *t->sample);
    memcpy(t->baseline, a->baseline, t->samples * sizeof *t->baseline);
    t->median_us = sk_median(t->sample, t->samples);
    t->ratio = sk_tried_ratio(t->baseline, t->sample, t->samples);
    if (t->median_us > 0)
        t->bandwidth_gbps =
            (job->read_bytes + job->write_bytes) / t->median_us * 1e-3;
}

/* Tries a candidate in the present worker, and once more in a fresh one when
 * something else may be to blame. */
static void try_candidate(sk_search *s, uint32_t index, uint32_t ordinal, sk_tried *t)
{
    const double best = index && s->count ? s->tried[s->best].ratio : 1;
    const uint32_t request[SK_REQUEST_WORDS] = {SK_ASK_TRIAL, index, ordinal,
                                                (uint32_t)(best * SK_ASK_UNIT)};
    double t0 = sk_progress_now();
    for (int attempt = 0; attempt < 2; attempt++) {
        bool fresh = s->worker.pid == 0 || s->worker.served == 0;
        sk_report report;
        memset(t, 0, sizeof *t);
        t->index = index;
        t->error = -1;
        sk_worker_ask(&s->worker, request, sk_search_tick, s, &report);
        if (report.fate == SK_FATE_STOPPED) {
            s->stopped = true;
            return;
        }
        if (report.fate == SK_FATE_DONE)
            read_answer(s->job, t);
        else
            t->outcome = sk_report_outcome(&report, &s->p->limits, t->message, sizeof t->message);
        t->seconds = sk_progress_now() - t0;
        s->lost = t->outcome == SK_OUTCOME_SKIPPED;
        bool spoiled = t->outcome == SK_OUTCOME_WRONG || t->outcome == SK_OUTCOME_ILLEGAL ||
                       t->outcome == SK_OUTCOME_OOM;
        if (spoiled) sk_worker_kill(&s->worker);
        if (t->outcome == SK_OUTCOME_OK || fresh) return;
        if (!spoiled && report.fate == SK_FATE_DONE) return; /* refused in order */
    }
}

/* The default's time with this trial, as a share of what it usually took of late: how the
 * machine has changed. 1 where that is not known. */
static double drift_of(const sk_search *s, const sk_tried *now)
{
    double usual[DRIFT_LAST];
    uint32_t n = 0;
    for (uint32_t i = s->count; i-- > 0 && n < DRIFT_LAST;) {
        const sk_tried *t = &s->tried[i];
        if (t->outcome == SK_OUTCOME_OK && !t->found)
            usual[n++] = sk_median(t->baseline, t->samples);
    }
    const double base = sk_median(now->baseline, now->samples), us = sk_median(usual, n);
    return n >= DRIFT_LEAST && base > 0 && us > 0 ? base / us : 1;
}

static bool drifted(double drift)
{
    return drift > SK_NOISY || drift < 1 / SK_NOISY;
}

void sk_search_try(sk_search *s, uint32_t index, uint32_t ordinal, sk_tried *t)
{
    double drift = 1, seconds = 0;
    for (int attempt = 0; attempt < 2; attempt++) {
        seconds += attempt ? t->seconds : 0;
        try_candidate(s, index, ordinal, t);
        if (s->stopped || s->lost) return;
        drift = t->outcome == SK_OUTCOME_OK && index ? drift_of(s, t) : 1;
        if (!drifted(drift)) break;
    }
    t->seconds += seconds;
    if (drifted(drift))
        snprintf(t->message, sizeof t->message,
                 "in a noisy stretch: the default took %.2f of its usual time", drift);
}
