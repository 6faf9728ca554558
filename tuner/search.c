/* search.c - see search.h. */
#include "search_impl.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define STRATEGY "local"  /* a good default has good neighbours */
#define FINAL_SHARE 0.25  /* of the job's time, at most kept for the final round */
#define NEW_BEST 1.003    /* a gain that makes another the best so far */
#define DRIFT_LAST 7u     /* trials of late that say what the default usually takes */
#define DRIFT_LEAST 3u


void sk_result_free(sk_result *r)
{
    sk_free(r->spec);
    sk_free(r->tiers);
    sk_free(r->schedule);
    sk_free(r->ties);
    memset(r, 0, sizeof *r);
}

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

/* What is known is known of a compiler, so it comes first. Where there is none, what the
 * last one left may be all that is asked for. */
static sk_status learn_compiler(sk_search *s, sk_err *err)
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

/* Tries it; in a noisy stretch once more, and marks what that does not help. Its pairs
 * stand either way: what slows both sides does not show in their ratio. */
static void try_steady(sk_search *s, uint32_t index, uint32_t ordinal, sk_tried *t)
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

/* One that never came to be run: refused by its builder or by the compiler. */
static void tried_unmade(uint32_t index, const sk_made *made, sk_tried *t)
{
    memset(t, 0, sizeof *t);
    t->index = index;
    t->error = -1;
    t->outcome = made->outcome;
    memcpy(t->message, made->message, sizeof t->message);
    t->seconds = made->seconds;
}

/* Room for one more in tried and made. */
static sk_tried *next_tried(sk_search *s, sk_err *err)
{
    if (s->count == s->cap) {
        uint32_t cap = s->cap ? 2 * s->cap : 32;
        sk_tried *tried = sk_realloc(s->tried, cap * sizeof *tried);
        if (tried) s->tried = tried;
        sk_made *made = sk_realloc(s->made, cap * sizeof *made);
        if (made) s->made = made;
        if (!tried || !made) {
            (void)sk_fail(err, SPHKV_ENOMEM, "no memory for %u trials", cap);
            return NULL;
        }
        s->cap = cap;
    }
    memset(&s->made[s->count], 0, sizeof *s->made);
    return &s->tried[s->count];
}

/* Its share of the default's time. */
static double walk_cost(const sk_tried *t)
{
    return t->outcome == SK_OUTCOME_OK && t->ratio > 0 ? 1 / t->ratio : INFINITY;
}

/* Everything that is known already, the default first. */
static sk_status recall(sk_search *s, sk_err *err)
{
    sk_arena mem = {0};
    uint32_t *index;
    size_t n;
    sk_status st = sk_store_known(s->store, s->job, &mem, &index, &n, err);
    for (size_t i = 0; i < n && st == SPHKV_OK; i++) {
        sk_tried *t = next_tried(s, err);
        if (!t || s->walk.gone[index[i]]) {
            st = t ? SPHKV_OK : SPHKV_ENOMEM;
            continue;
        }
        st = sk_store_find(s->store, s->job, index[i], t, err);
        if (st == SPHKV_ENOTFOUND) {
            st = SPHKV_OK;
            if (i == 0) break; /* no default, nothing to compare with: start anew */
            continue;
        }
        sk_walk_tell(&s->walk, index[i], walk_cost(t));
        s->count++;
        s->out->found++;
        s->out->failed += t->outcome != SK_OUTCOME_OK;
        if (t->outcome == SK_OUTCOME_OK && t->ratio > NEW_BEST * s->tried[s->best].ratio)
            s->best = s->count - 1;
    }
    sk_arena_free(&mem);
    return st;
}

/* ---- the search --------------------------------------------------------------- */

static void show(sk_search *s, const sk_tried *t)
{
    sk_progress *p = s->progress;
    if (!p) return;
    p->done = s->count;
    p->failed = s->out->failed;
    p->all_done += !t->found;
    p->best_us = s->tried[s->best].median_us;
    p->best_ratio = s->tried[s->best].ratio;
    sk_progress_draw(p);
    if (t->outcome == SK_OUTCOME_OK || t->found || p->quiet) return;
    sk_text text = {0};
    sk_schedule_print(s->job->spec.kernel, &s->job->space.candidate[t->index].schedule, &text);
    sk_progress_line(p, "  %s: %s: %s", sk_db_outcome_text(t->outcome), text.s ? text.s : "?",
                     t->message);
    sk_text_free(&text);
}

/* The trial that next_tried gave is complete. */
static void count_tried(sk_search *s, sk_made *made)
{
    uint32_t at = s->count++;
    const sk_tried *t = &s->tried[at];
    bool first = at == 0, right = t->outcome == SK_OUTCOME_OK;
    s->out->failed += !right;
    s->out->found += t->found;
    if (made && right && (first || t->ratio >= FINALIST_LEAST)) {
        s->made[at] = *made;
        memset(made, 0, sizeof *made);
    }
    if (first || (right && t->ratio > NEW_BEST * s->tried[s->best].ratio)) s->best = at;
    sk_walk_tell(&s->walk, t->index, walk_cost(t));
    show(s, t);
}

/* What the final round will take, from the default's time: its rounds, and the
 * warm-up of each finalist. Twice that, since machines have moods. */
static double final_seconds(const sk_search *s)
{
    double most = FINAL_SHARE * s->p->seconds, us = s->tried[0].median_us;
    double entrants = s->job->effort->finalists + 2;
    double runs = s->job->effort->rounds + (s->job->case_made ? s->job->kase.copies : 64);
    double guess = 1 + 2e-6 * entrants * runs * (us < 300 ? 300 : us);
    return guess < most ? guess : most;
}

static bool enough(const sk_search *s, uint32_t ahead)
{
    double left = s->p->seconds - (sk_progress_now() - s->started);
    if (s->stopped || (s->p->trials && s->count + ahead >= s->p->trials)) return true;
    return s->p->seconds > 0 && s->count > 0 && left < final_seconds(s);
}

/* A wrong default: nothing can be compared. */
static bool default_failed(sk_search *s)
{
    const sk_tried *t = &s->tried[0];
    if (s->count == 0 || t->outcome == SK_OUTCOME_OK) return false;
    snprintf(s->out->message, sizeof s->out->message, "the default schedule: %s: %.300s%s",
             sk_db_outcome_text(t->outcome), t->message,
             t->found ? " (of an earlier run; --fresh tries again)" : "");
    return true;
}

/* Candidates that are compiled together, each under its lock. */
typedef struct batch {
    uint32_t n, index[SK_FORGE_MOST];
    sk_made made[SK_FORGE_MOST];
    bool end; /* the space is exhausted */
} batch;

/* Up to `most` candidates that nobody has tried; those found are counted at
 * once. The default goes alone: without it nothing else is worth compiling. */
static sk_status collect(sk_search *s, uint32_t most, batch *b, sk_err *err)
{
    memset(b, 0, sizeof *b);
    while (b->n < most && !enough(s, b->n)) {
        uint32_t index;
        bool more;
        sk_status st = sk_walk_next(&s->walk, &index, &more, err);
        b->end = st == SPHKV_OK && !more;
        if (st != SPHKV_OK || !more) return st;
        if (!sk_store_lock(s->store, s->job, index) && index != 0) {
            s->out->busy++;
            continue;
        }
        sk_tried *t = next_tried(s, err);
        st = t ? sk_store_find(s->store, s->job, index, t, err) : SPHKV_ENOMEM;
        if (st == SPHKV_OK) {
            count_tried(s, NULL);
            sk_store_unlock(s->store, s->job, index);
            continue;
        }
        if (st != SPHKV_ENOTFOUND) return st;
        b->index[b->n++] = index;
        if (index == 0) break;
    }
    return SPHKV_OK;
}

static sk_status compile_batch(sk_search *s, batch *b, sk_err *err)
{
    sk_order order[SK_FORGE_MOST];
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        const sk_candidate *c = &s->job->space.candidate[b->index[i]];
        bool refused = c->built == SPHKV_EUNSUPPORTED || c->built == SPHKV_EINVAL;
        if (c->built == SPHKV_OK) {
            order[n++] = (sk_order){b->index[i], s->count + 1 + i, &b->made[i]};
            continue;
        }
        b->made[i].outcome = refused ? SK_OUTCOME_INVALID : SK_OUTCOME_COMPILE_ERROR;
        snprintf(b->made[i].message, sizeof b->made[i].message, "%.399s",
                 c->reason ? c->reason : "no IR");
    }
    return sk_search_forge(s, order, n, err);
}

/* Measures what was compiled, one after the other. */
static sk_status try_batch(sk_search *s, batch *b, sk_err *err)
{
    sk_status st = SPHKV_OK;
    for (uint32_t i = 0; i < b->n && st == SPHKV_OK && !s->stopped; i++) {
        sk_made *made = &b->made[i];
        sk_tried *t = next_tried(s, err);
        if (!t) return SPHKV_ENOMEM;
        if (made->outcome == SK_OUTCOME_OK) {
            const sk_made *base = b->index[i] == 0 ? made : &s->made[0];
            st = sk_made_show(base, 0, &s->job->code[0], err);
            if (st == SPHKV_OK) st = sk_made_show(made, b->index[i], &s->job->code[1], err);
            if (st == SPHKV_OK) try_steady(s, b->index[i], s->count + 1, t);
            t->seconds += made->seconds;
        } else {
            tried_unmade(b->index[i], made, t);
        }
        if (st == SPHKV_OK && s->lost) st = sk_fail(err, SPHKV_EDEVICE, "%s", t->message);
        if (st != SPHKV_OK || s->stopped) break;
        st = sk_store_put(s->store, s->job, t, NULL, err);
        s->now++;
        if (st == SPHKV_OK) count_tried(s, made);
    }
    return st;
}

/* The default's code, when its trial was found and not made. */
static sk_status need_default(sk_search *s, sk_err *err)
{
    if (s->count == 0 || s->made[0].bytes) return SPHKV_OK;
    const sk_order order = {0, 0, &s->made[0]};
    sk_status st = sk_search_forge(s, &order, 1, err);
    if (st != SPHKV_OK || s->stopped || s->made[0].outcome == SK_OUTCOME_OK) return st;
    return sk_fail(err, SPHKV_ECOMPILE, "the default schedule: %.400s", s->made[0].message);
}

static sk_status explore(sk_search *s, sk_err *err)
{
    bool end = false;
    sk_status st = learn_compiler(s, err);
    if (st == SPHKV_OK && !s->stopped) st = recall(s, err);
    if (s->stopped) return SPHKV_OK;
    if (st == SPHKV_OK && s->count && s->progress) s->progress->done = s->count;
    while (st == SPHKV_OK && !end && !default_failed(s) && !enough(s, 0)) {
        batch b;
        st = collect(s, s->prepared ? s->forge.seats : 1, &b, err);
        end = b.end;
        if (st == SPHKV_OK && b.n) st = sk_search_prepare(s, err);
        if (st == SPHKV_OK && b.n) st = need_default(s, err);
        if (st == SPHKV_OK && b.n && !s->stopped) st = compile_batch(s, &b, err);
        if (st == SPHKV_OK && !s->stopped) st = try_batch(s, &b, err);
        for (uint32_t i = 0; i < b.n; i++) {
            sk_store_unlock(s->store, s->job, b.index[i]);
            sk_made_free(&b.made[i]);
        }
        if (s->stopped) return SPHKV_OK;
    }
    return st;
}

static sk_status describe(const sk_job *job, sk_result *out, sk_err *err)
{
    sk_text mix = {0};
    sk_spec_mix_print(&job->spec, &mix);
    out->kernel = sk_kernel_name(job->spec.kernel);
    out->accuracy = sk_accuracy_name(job->spec.accuracy);
    out->layout = job->spec.layout;
    out->shape = job->db_shape;
    out->spec = sk_strdup(job->spec_text);
    out->tiers = mix.s;
    if (out->spec && out->tiers && !mix.failed) return SPHKV_OK;
    return sk_fail(err, SPHKV_ENOMEM, "no memory for a result");
}

static sk_status search_all(sk_search *s, sk_err *err)
{
    sk_status st = describe(s->job, s->out, err);
    if (st == SPHKV_OK) st = sk_worker_init(&s->worker, sk_rig_serve, s->job, &s->p->limits, err);
    if (st == SPHKV_OK) st = sk_walk_start(&s->job->space, STRATEGY, s->p->trials, s->job->seed, &s->walk, err);
    if (st == SPHKV_OK) st = explore(s, err);
    if (st != SPHKV_OK || s->stopped || s->out->message[0]) return st;
    if (s->count == 0) {
        snprintf(s->out->message, sizeof s->out->message, "nothing was tried");
        return SPHKV_OK;
    }
    return sk_search_finish(s, err);
}

sk_status sk_search_run(sk_job *job, sk_store *store, const sk_search_params *params,
                        sk_result *out, bool *stopped, sk_err *err)
{
    sk_search s = {.job = job,
                   .store = store,
                   .p = params,
                   .progress = params->progress,
                   .started = sk_progress_now(),
                   .out = out};
    memset(out, 0, sizeof *out);
    sk_status st = search_all(&s, err);
    out->trials = s.count;
    out->seconds = sk_progress_now() - s.started;
    *stopped = s.stopped;
    if (s.progress) sk_progress_clear(s.progress);
    sk_worker_free(&s.worker);
    sk_forge_free(&s.forge);
    for (uint32_t i = 0; i < s.count; i++) sk_made_free(&s.made[i]);
    sk_free(s.made);
    sk_walk_free(&s.walk);
    sk_free(s.tried);
    return st;
}
