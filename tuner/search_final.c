/* search_final.c - the end of a search: the best of the trials and the default
 * take turns in one worker, with a sweep among them, many more rounds than a
 * trial has; the verdict over those times names the winner, which is stored with
 * its code. A finalist that breaks the round is put out of it. */
#include "search_impl.h"

#include <stdio.h>
#include <string.h>

/* The default and as many as there is time for; of a kernel that takes long one. */
static uint32_t most_entrants(const sk_search *s)
{
    const double round = 1e-6 * s->tried[0].median_us * s->job->effort->rounds;
    uint32_t most = s->job->effort->finalists + 1;
    while (most > 2 && s->p->seconds > 0 && most * round > FINAL_SHARE * s->p->seconds) most--;
    return most;
}

/* Places in tried: the default, then the fastest trials, at most `most`. */
static uint32_t pick_finalists(const sk_search *s, uint32_t most, uint32_t *place)
{
    uint32_t n = 1;
    place[0] = 0;
    if (most > SK_MAX_ENTRANTS) most = SK_MAX_ENTRANTS;
    while (n < most) {
        uint32_t best = 0;
        double ratio = FINALIST_LEAST;
        for (uint32_t i = 1; i < s->count; i++) {
            const sk_tried *t = &s->tried[i];
            bool in = false;
            for (uint32_t k = 0; k < n; k++) in = in || place[k] == i;
            if (in || t->twin || t->outcome != SK_OUTCOME_OK || t->ratio <= ratio) continue;
            best = i;
            ratio = t->ratio;
        }
        if (!best) break;
        place[n++] = best;
    }
    return n;
}

/* Code of all finalists into their slots; compiled again when it was not kept.
 * One that does not compile now leaves the final. */
static sk_status show_finalists(sk_search *s, uint32_t *place, uint32_t *n, sk_err *err)
{
    sk_order order[SK_MAX_ENTRANTS];
    uint32_t orders = 0, kept = 0;
    for (uint32_t i = 0; i < *n; i++)
        if (!s->made[place[i]].bytes)
            order[orders++] = (sk_order){s->tried[place[i]].index, 0, &s->made[place[i]]};
    sk_status st = sk_search_forge(s, order, orders, err);
    for (uint32_t i = 0; i < *n && st == SPHKV_OK && !s->stopped; i++) {
        sk_made *made = &s->made[place[i]];
        if (!made->bytes && i == 0)
            return sk_fail(err, SPHKV_ECOMPILE, "the default schedule: %.400s", made->message);
        if (!made->bytes) continue;
        place[kept] = place[i];
        st = sk_made_show(made, s->tried[place[i]].index, &s->job->code[kept++], err);
    }
    if (st == SPHKV_OK && !s->stopped) *n = kept;
    return st;
}

/* The worker measures them; one who breaks the final is put out of it. */
static sk_status run_final(sk_search *s, uint32_t *place, uint32_t *n, sk_err *err)
{
    const uint32_t request[SK_REQUEST_WORDS] = {SK_ASK_FINAL, s->job->effort->rounds,
                                                s->job->effort->rounds_most};
    sk_answer *a = s->job->answer;
    if (s->progress) s->progress->phase = "final";
    for (;;) {
        sk_report report;
        sk_status st = show_finalists(s, place, n, err);
        if (st != SPHKV_OK || s->stopped) return st;
        a->entrants = *n;
        for (uint32_t i = 0; i < *n; i++) a->entrant[i] = s->tried[place[i]].index;
        st = sk_search_ask(s, request, &report, err);
        if (st == SPHKV_OK || s->stopped) return st;
        uint32_t blamed = *n - 1; /* when nobody can be named: the slowest */
        for (uint32_t i = 1; i < *n; i++)
            if (s->tried[place[i]].index == report.subject) blamed = i;
        sk_worker_kill(&s->worker);
        if (*n == 1) return st;
        memmove(place + blamed, place + blamed + 1, (*n - blamed - 1) * sizeof *place);
        --*n;
    }
}

static sk_status add_ties(sk_search *s, const uint32_t *place, uint32_t n, const sk_verdict *v,
                          sk_text *out, sk_err *err)
{
    for (uint32_t i = 0; i < n; i++) {
        if (!v->tied[i] || i == v->winner) continue;
        if (out->len) sk_text_append(out, ";", 1);
        sk_schedule_print(s->job->spec.kernel,
                          &s->job->space.candidate[s->tried[place[i]].index].schedule, out);
    }
    sk_text_append(out, "", 0);
    return out->failed ? sk_fail(err, SPHKV_ENOMEM, "no memory for ties") : SPHKV_OK;
}

/* The times of the final, as far as it was in it, become those of the trial. */
static void take_final(const sk_search *s, sk_tried *t, uint32_t i)
{
    const sk_answer *a = s->job->answer;
    t->samples = 0;
    for (uint32_t r = 0; r < a->rounds; r++) {
        if (!(a->time[i][r] > 0)) continue;
        t->sample[t->samples] = a->time[i][r];
        t->baseline[t->samples++] = a->time[0][r];
    }
    t->median_us = sk_median(t->sample, t->samples);
    t->ratio = sk_tried_ratio(t->baseline, t->sample, t->samples);
    t->roofline = sk_tried_ratio(a->sweep, a->time[i], a->rounds);
    t->bandwidth_gbps =
        (s->job->read_bytes + s->job->write_bytes) / t->median_us * 1e-3;
}

static sk_status fill_result(sk_search *s, const sk_win *record, char *ties, sk_err *err)
{
    sk_result *r = s->out;
    const sk_tried *win = record->winner;
    sk_text text = {0};
    sk_schedule_print(s->job->spec.kernel, &s->job->space.candidate[win->index].schedule, &text);
    r->ties = ties;
    r->bytes = s->job->read_bytes + s->job->write_bytes;
    r->schedule = text.s;
    r->verified = !text.failed;
    r->median_us = win->median_us;
    r->default_us = record->default_us;
    r->speedup = record->speedup;
    r->flip_risk = record->flip_risk;
    r->noisy = record->noisy;
    r->drift = record->drift;
    r->gbps = win->bandwidth_gbps;
    r->roofline = win->roofline;
    r->bandwidth_gbps = win->roofline > 0 ? r->gbps / win->roofline : 0;
    r->error = win->error;
    return text.failed ? sk_fail(err, SPHKV_ENOMEM, "no memory for a result") : SPHKV_OK;
}

/* The final's times become those of all who took part, so that records of several finals
 * can be compared later (merge.h); the winner's with its code, as the last. */
static sk_status keep_final(sk_search *s, const uint32_t *place, uint32_t n, uint32_t winner,
                            sk_err *err)
{
    const sk_db_artifact code = sk_made_artifact(&s->made[place[winner]]);
    sk_status st = SPHKV_OK;
    for (uint32_t i = 0; i < n && st == SPHKV_OK; i++) {
        take_final(s, &s->tried[place[i]], i);
        if (i != winner) st = sk_store_put(s->store, s->job, &s->tried[place[i]], NULL, err);
    }
    return st == SPHKV_OK ? sk_store_put(s->store, s->job, &s->tried[place[winner]], &code, err)
                          : st;
}

/* The verdict over those who were in it to the end; places as in `place`. */
static sk_status find_verdict(const sk_search *s, const uint32_t *place, uint32_t n,
                              sk_verdict *out, sk_err *err)
{
    const sk_answer *a = s->job->answer;
    sk_entrant entrant[SK_MAX_ENTRANTS];
    sk_verdict v;
    uint32_t at[SK_MAX_ENTRANTS] = {0}, m = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (i > 0 && !(a->time[i][a->rounds - 1] > 0)) continue;
        at[m] = i;
        entrant[m++] = (sk_entrant){s->tried[place[i]].index, a->time[i]};
    }
    sk_status st = sk_verdict_find(entrant, m, a->rounds, s->job->seed, &v, err);
    if (st != SPHKV_OK) return st;
    *out = v;
    memset(out->tied, 0, sizeof out->tied);
    for (uint32_t k = 0; k < m; k++) out->tied[at[k]] = v.tied[k];
    out->winner = at[v.winner];
    out->fastest = at[v.fastest];
    return SPHKV_OK;
}

/* What the rounds say of the machine: the share of noisy ones, and how the default's time
 * changed from the first third to the last. */
static void find_moods(const sk_answer *a, uint32_t n, sk_win *out)
{
    const double *us[SK_MAX_ENTRANTS];
    double mood[SK_ROUNDS_MOST];
    const uint32_t third = a->rounds / 3;
    for (uint32_t i = 0; i < n; i++) us[i] = a->time[i];
    sk_round_moods(us, n, a->rounds, mood);
    out->noisy = 0;
    for (uint32_t r = 0; r < a->rounds; r++) out->noisy += mood[r] > SK_NOISY ? 1.0 / a->rounds : 0;
    const double first = sk_median(us[0], third), last = sk_median(us[0] + a->rounds - third, third);
    out->drift = first > 0 ? last / first : 1;
}

/* Winner, ties, and the trials with the final's times into the database. */
static sk_status conclude(sk_search *s, const uint32_t *place, uint32_t n, sk_err *err)
{
    sk_answer *a = s->job->answer;
    sk_verdict v;
    sk_text ties = {0};
    if (a->rounds < 1 || a->rounds > SK_ROUNDS_MOST)
        return sk_fail(err, SPHKV_EINTERNAL, "a final of %u rounds", a->rounds);
    sk_status st = find_verdict(s, place, n, &v, err);
    if (st == SPHKV_OK) st = add_ties(s, place, n, &v, &ties, err);
    if (st != SPHKV_OK) goto out;
    sk_tried *base = &s->tried[place[0]], *win = &s->tried[place[v.winner]];
    st = keep_final(s, place, n, v.winner, err);
    sk_win record = {win, base, v.speedup, ties.s, base->median_us, v.flip_risk, 0, 1};
    find_moods(a, n, &record);
    if (st == SPHKV_OK) st = sk_store_win(s->store, &record, err);
    if (st == SPHKV_OK) {
        st = fill_result(s, &record, ties.s, err);
        ties.s = NULL;
    }
out:
    sk_text_free(&ties);
    return st;
}

static sk_status run_and_conclude(sk_search *s, sk_err *err)
{
    uint32_t place[SK_MAX_ENTRANTS];
    sk_err why = {0};
    uint32_t n = pick_finalists(s, most_entrants(s), place);
    sk_status st = sk_search_prepare(s, err);
    if (st != SPHKV_OK) return s->stopped ? SPHKV_OK : st;
    st = run_final(s, place, &n, &why);
    if (st == SPHKV_ENOMEM || st == SPHKV_ECOMPILE) return sk_fail(err, st, "%s", why.message);
    if (s->stopped) return SPHKV_OK;
    if (st != SPHKV_OK) {
        snprintf(s->out->message, sizeof s->out->message, "the final round: %.360s", why.message);
        return SPHKV_OK;
    }
    st = conclude(s, place, n, err);
    return s->stopped ? SPHKV_OK : st;
}

/* A run that found everything done answers with the winner that is stored. */
static sk_status stored_winner(sk_search *s, bool *have, sk_err *err)
{
    sk_arena mem = {0};
    sk_db_winner w;
    sk_result *r = s->out;
    *have = false;
    sk_status st = s->now ? SPHKV_ENOTFOUND : sk_store_winner(s->store, s->job, &mem, &w, err);
    for (uint32_t i = 0; st == SPHKV_OK && i < s->count; i++) {
        const sk_tried *t = &s->tried[i];
        if (t->id != w.trial_id) continue;
        *have = true;
        r->verified = r->stored_before = true;
        r->schedule = sk_strdup(w.trial.key.schedule);
        r->ties = sk_strdup(w.ties);
        r->median_us = t->median_us;
        r->default_us = w.default_us;
        r->speedup = (sk_interval){w.speedup, w.speedup_lo, w.speedup_hi};
        r->flip_risk = w.flip_risk;
        r->noisy = w.noisy;
        r->drift = w.drift;
        r->gbps = t->bandwidth_gbps;
        r->bytes = (double)w.trial.bytes;
        r->roofline = t->roofline;
        r->bandwidth_gbps = t->roofline > 0 ? t->bandwidth_gbps / t->roofline : 0;
        r->error = t->error;
        if (!r->schedule || !r->ties) st = sk_fail(err, SPHKV_ENOMEM, "no memory for a result");
    }
    sk_arena_free(&mem);
    return st == SPHKV_ENOTFOUND ? SPHKV_OK : st;
}

sk_status sk_search_finish(sk_search *s, sk_err *err)
{
    bool have = false;
    sk_status st = stored_winner(s, &have, err);
    return st == SPHKV_OK && !have ? run_and_conclude(s, err) : st;
}
