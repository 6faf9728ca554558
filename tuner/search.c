/* search.c - see search.h. */
#include "search_impl.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define NEW_BEST 1.003    /* a gain that makes another the best so far */
#define NEAR_MOST 4u      /* schedules that won elsewhere, to begin with */

void sk_result_free(sk_result *r)
{
    sk_free(r->spec);
    sk_free(r->tiers);
    sk_free(r->schedule);
    sk_free(r->ties);
    memset(r, 0, sizeof *r);
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
            st = sk_walk_first(&s->walk, &index[i], 1, err); /* it is to be tried again */
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
    if (made && right && !t->twin && (first || t->ratio >= FINALIST_LEAST)) {
        s->made[at] = *made;
        memset(made, 0, sizeof *made);
    }
    if (first || (right && !t->twin && t->ratio > NEW_BEST * s->tried[s->best].ratio)) s->best = at;
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
    return s->p->seconds > 0 && s->count > 0 && s->count >= s->p->trials_least && left < final_seconds(s);
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
    uint32_t orders;
    sk_order order[SK_FORGE_MOST]; /* those with IR, to be compiled into made[] */
} batch;

/* What compiling them takes. ordinal: the number of the first one's trial. */
static void order_batch(const sk_search *s, batch *b, uint32_t ordinal)
{
    for (uint32_t i = 0; i < b->n; i++) {
        const sk_candidate *c = &s->job->space.candidate[b->index[i]];
        bool refused = c->built == SPHKV_EUNSUPPORTED || c->built == SPHKV_EINVAL;
        if (c->built == SPHKV_OK) {
            b->order[b->orders++] = (sk_order){b->index[i], ordinal + i, &b->made[i]};
            continue;
        }
        b->made[i].outcome = refused ? SK_OUTCOME_INVALID : SK_OUTCOME_COMPILE_ERROR;
        snprintf(b->made[i].message, sizeof b->made[i].message, "%.399s",
                 c->reason ? c->reason : "no IR");
    }
}

static void drop_batch(sk_search *s, batch *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        sk_store_unlock(s->store, s->job, b->index[i]);
        sk_made_free(&b->made[i]);
    }
    memset(b, 0, sizeof *b);
}

/* Candidates that nobody has tried, as many as are compiled together; those found are
 * counted at once. pending: others that are on their way. The default goes alone: without
 * it nothing else is worth compiling. None: the search is at its end. */
static sk_status collect(sk_search *s, uint32_t pending, batch *b, sk_err *err)
{
    const uint32_t most = !s->prepared ? 1 : s->forge.ahead ? s->forge.ahead : s->forge.seats;
    memset(b, 0, sizeof *b);
    while (b->n < most && !enough(s, pending + b->n)) {
        uint32_t index;
        bool more;
        sk_status st = sk_walk_next(&s->walk, &index, &more, err);
        if (st != SPHKV_OK) return st;
        if (!more) break;
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
    order_batch(s, b, s->count + pending + 1);
    return SPHKV_OK;
}

/* Another one that was compiled to the same code gave the times already. */
static bool take_twin(sk_search *s, uint32_t index, const sk_made *made, const char *code,
                      sk_tried *t)
{
    for (uint32_t i = 0; i < s->count; i++) {
        const sk_tried *other = &s->tried[i];
        if (strcmp(other->code, code) != 0) continue;
        sk_text text = {0};
        sk_schedule_print(s->job->spec.kernel, &s->job->space.candidate[other->index].schedule,
                          &text);
        *t = *other;
        t->index = index;
        t->twin = true;
        t->seconds = made->seconds;
        snprintf(t->message, sizeof t->message, "its code is that of %.360s",
                 text.s ? text.s : "another");
        sk_text_free(&text);
        return true;
    }
    return false;
}

/* Measures what was compiled: loads the default and the candidate, and asks. */
static sk_status try_made(sk_search *s, uint32_t index, const sk_made *made, sk_tried *t,
                          sk_err *err)
{
    const sk_made *base = index == 0 ? made : &s->made[0];
    char code[65];
    sk_sha256 sha;
    sk_sha256_init(&sha);
    sk_sha256_add(&sha, made->bytes, made->size);
    sk_sha256_add(&sha, made->entries, strlen(made->entries) + 1);
    sk_sha256_add(&sha, made->launch, strlen(made->launch) + 1);
    sk_sha256_hex(&sha, code);
    if (take_twin(s, index, made, code, t)) return SPHKV_OK;
    sk_status st = sk_made_show(base, 0, &s->job->code[0], err);
    if (st == SPHKV_OK) st = sk_made_show(made, index, &s->job->code[1], err);
    if (st != SPHKV_OK) return st;
    sk_search_try(s, index, s->count + 1, t);
    t->seconds += made->seconds;
    memcpy(t->code, code, sizeof t->code);
    return SPHKV_OK;
}

/* Measures what was compiled, one after the other. */
static sk_status try_batch(sk_search *s, batch *b, sk_err *err)
{
    sk_status st = SPHKV_OK;
    for (uint32_t i = 0; i < b->n && st == SPHKV_OK && !s->stopped; i++) {
        sk_made *made = &b->made[i];
        sk_tried *t = next_tried(s, err);
        if (!t) return SPHKV_ENOMEM;
        if (made->outcome == SK_OUTCOME_OK)
            st = try_made(s, b->index[i], made, t, err);
        else
            tried_unmade(b->index[i], made, t);
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

/* What won in similar jobs comes first, while there are trials enough for more than that. */
static sk_status begin_near(sk_search *s, sk_err *err)
{
    uint32_t index[NEAR_MOST], n = 0;
    const uint32_t most = s->p->trials && s->p->trials / 4 < NEAR_MOST ? s->p->trials / 4 : NEAR_MOST;
    sk_status st = sk_store_similar(s->store, s->job, most, index, &n, err);
    return st == SPHKV_OK ? sk_walk_first(&s->walk, index, n, err) : st;
}

/* A batch is measured while the next is compiled, as far as there are CPUs for it. */
static sk_status try_all(sk_search *s, sk_err *err)
{
    batch two[2], *now = &two[0], *next = &two[1];
    memset(two, 0, sizeof two);
    sk_status st = collect(s, 0, now, err);
    while (st == SPHKV_OK && now->n && !s->stopped) {
        st = sk_search_prepare(s, err);
        if (st == SPHKV_OK) st = need_default(s, err);
        if (st == SPHKV_OK && !s->stopped) st = sk_search_forge(s, now->order, now->orders, err);
        const bool alone = s->count == 0; /* the default is the first of all */
        if (st == SPHKV_OK && !s->stopped && !alone) st = collect(s, now->n, next, err);
        if (st == SPHKV_OK && !s->stopped) {
            sk_forge_ahead(&s->forge, next->order, next->orders);
            st = try_batch(s, now, err);
        }
        drop_batch(s, now);
        if (default_failed(s) || enough(s, 0)) break;
        if (st == SPHKV_OK && !s->stopped && alone) st = collect(s, 0, next, err);
        batch *done = now;
        now = next;
        next = done;
    }
    drop_batch(s, now);
    drop_batch(s, next);
    return s->stopped ? SPHKV_OK : st;
}

static sk_status explore(sk_search *s, sk_err *err)
{
    sk_status st = sk_search_compiler(s, err);
    if (st == SPHKV_OK && !s->stopped) st = recall(s, err);
    if (s->stopped) return SPHKV_OK;
    if (st == SPHKV_OK) st = begin_near(s, err);
    if (st == SPHKV_OK && s->count && s->progress) s->progress->done = s->count;
    return st == SPHKV_OK && !default_failed(s) ? try_all(s, err) : st;
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
    if (st == SPHKV_OK) st = sk_walk_start(&s->job->space, s->p->strategy, s->p->trials, s->job->seed, &s->walk, err);
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
