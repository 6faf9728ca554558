/* rig.c - see rig.h. Everything here runs in a worker and may die at any line;
 * the desk says which candidate and which phase to blame. Nothing is freed that
 * ends with the process anyway, but what a later request would meet again. */
#include "rig.h"

#include <stdio.h>
#include <string.h>

#include "check.h"
#include "fault.h"
#include "race.h"
#include "ready.h"

#define CHECK_SEED 1 /* of the small shapes: as the runtime's own check */
#define SLOTS (SK_MAX_ENTRANTS + 1)
#define HOPELESS 0.7 /* of the incumbent's speed: no more samples */
#define HOPELESS_AFTER 3
#define TRIAL_RISK 0.05 /* of taking too few samples of one as fast as the incumbent */
#define SETTLE_EVERY 10 /* rounds between two looks whether a final is settled */

/* A candidate that this worker holds. */
typedef struct slot {
    bool used;
    uint32_t index;
    sk_ready ready;
    sk_lane lane;
    bool timed_checked, settled;
} slot;

typedef struct sk_rig {
    sk_executor x;
    sk_check_set *checks; /* made as they are met; NULL: made each time */
    sk_sweep sweep;
    bool sweep_made;
    uint32_t cursor;
    bool walked; /* every copy of the inputs was met */
    slot slots[SLOTS];
} sk_rig;

static sk_status rig_open(sk_job *job, sk_err *err)
{
    if (job->rig) return SPHKV_OK;
    sk_rig *rig = sk_calloc(1, sizeof *rig);
    if (!rig) return sk_fail(err, SPHKV_ENOMEM, "no memory for a worker's tables");
    sk_status st = sk_executor_open(job->device, job->shape.threads, &rig->x, err);
    if (st != SPHKV_OK) {
        sk_free(rig);
        return st;
    }
    job->memory = sk_executor_memory(&rig->x);
    rig->checks = sk_check_set_make(&job->memory);
    if (!rig->checks && rig->x.cuda) { /* without one its cases would lie on the heap */
        sk_executor_close(&rig->x);
        sk_free(rig);
        return sk_fail(err, SPHKV_ENOMEM, "no memory for checks");
    }
    job->rig = rig;
    return SPHKV_OK;
}

static void slot_drop(slot *s)
{
    sk_lane_free(&s->lane);
    sk_ready_free(&s->ready);
    memset(s, 0, sizeof *s);
}

/* Drops what this request does not need: all but the default and those listed. */
static void drop_others(sk_rig *rig, const uint32_t *keep, uint32_t n)
{
    for (uint32_t i = 0; i < SLOTS; i++) {
        bool kept = rig->slots[i].index == 0;
        for (uint32_t k = 0; k < n; k++) kept = kept || rig->slots[i].index == keep[k];
        if (rig->slots[i].used && !kept) slot_drop(&rig->slots[i]);
    }
}

static slot *slot_find(sk_rig *rig, uint32_t index)
{
    for (uint32_t i = 0; i < SLOTS; i++)
        if (rig->slots[i].used && rig->slots[i].index == index) return &rig->slots[i];
    return NULL;
}

static sk_status slot_load(sk_job *job, slot *s, const sk_code_slot *code, sk_err *err)
{
    const sk_db_artifact artifact = {.kind = code->kind,
                                     .entries = code->entries,
                                     .launch = code->launch,
                                     .ir_hash = code->ir_hash,
                                     .format_version = SPHKV_FORMAT_VERSION,
                                     .args_version = SPHKV_ARGS_VERSION,
                                     .bytes = code->code,
                                     .size = (size_t)code->code_bytes};
    const sk_schedule *schedule = &job->space.candidate[s->index].schedule;
    sk_status st = sk_ready_start(&job->spec, schedule, &s->ready, err);
    if (st == SPHKV_OK) st = sk_ready_adopt(&s->ready, &artifact, err);
    if (st == SPHKV_OK) st = sk_job_inputs(job, err);
    if (st == SPHKV_OK)
        st = sk_ready_load(&s->ready, &job->rig->x, &job->maxima, err);
    if (st == SPHKV_OK)
        st = sk_lane_make(&job->rig->x, &s->ready.image, &job->kase, &job->rig->cursor,
                          job->read_bytes + job->write_bytes, &s->lane, err);
    return st;
}

/* Loads a candidate, unless this worker holds it already. */
static sk_status slot_take(sk_job *job, sk_desk *desk, uint32_t index, const sk_code_slot *code,
                           slot **out, sk_err *err)
{
    sk_rig *rig = job->rig;
    slot *s = *out = slot_find(rig, index);
    if (s) return SPHKV_OK;
    for (uint32_t i = 0; i < SLOTS && !s; i++)
        if (!rig->slots[i].used) s = &rig->slots[i];
    if (!s) return sk_fail(err, SPHKV_EINTERNAL, "a worker is full");
    sk_desk_enter(desk, SK_PHASE_LOAD, index);
    if (code->index != index) return sk_fail(err, SPHKV_EINTERNAL, "the code of another candidate");
    s->used = true;
    s->index = index;
    sk_status st = slot_load(job, s, code, err);
    if (st != SPHKV_OK)
        slot_drop(s);
    else
        *out = s;
    return st;
}

/* ---- the check ------------------------------------------------------------- */

/* The first byte that the run has written, and how many follow in its buffer,
 * for the fault hooks. */
static uint8_t *written(const sk_job *job, size_t *left)
{
    const uint8_t *before = sk_case_before(&job->kase);
    uint8_t *now = sk_case_result(&job->kase, 0, left), *end = now + *left;
    for (; now < end; now++, before += before != NULL)
        if (*now != (before ? *before : SK_CASE_POISON)) break;
    *left = (size_t)(end - now);
    return now;
}

/* The default's result at the timed shape becomes the yardstick of all others,
 * once its first sequence equals the double reference. */
static sk_status check_output(sk_job *job, const float *out, size_t count, sk_err *err)
{
    sk_answer *a = job->answer;
    double error;
    if (count != job->base_count) return sk_fail(err, SPHKV_EINTERNAL, "%zu outputs", count);
    if (a->base_ready)
        return sk_check_same(&job->spec, out, job->base, count, a->magnitude, err);
    sk_status st = sk_check_first_sequence(&job->kase, 0, out, &a->magnitude, &error, err);
    if (st != SPHKV_OK) return st;
    memcpy(job->base, out, count * sizeof *out);
    a->base_ready = 1;
    return SPHKV_OK;
}

/* One run at the timed shape, all threads, and its judgement. */
static sk_status check_timed(sk_job *job, slot *s, sk_fault_kind fault, sk_err *err)
{
    double error, bound;
    size_t count = 0, left;
    sk_case_poison(&job->kase, 0);
    sk_status st = sk_lane_run(&s->lane, 0, err);
    if (st != SPHKV_OK) return st;
    uint8_t *out = written(job, &left);
    sk_fault_spoil(fault, out, left);
    st = sk_case_intact(&job->kase, 0, err);
    if (st != SPHKV_OK) return st;
    if (job->base_count == 0)
        return sk_case_judge(&job->kase, 0, &error, &bound, err);
    const float *values = sk_case_output(&job->kase, 0, &count);
    if (!values) return sk_fail(err, SPHKV_ENOMEM, "no memory for outputs");
    return check_output(job, values, count, err);
}

static sk_status slot_check(sk_job *job, sk_desk *desk, slot *s, sk_fault_kind fault, sk_err *err)
{
    sk_status st = SPHKV_OK;
    sk_desk_enter(desk, SK_PHASE_CHECK, s->index);
    sk_fault_strike(fault);
    if (!s->ready.checked) st = sk_ready_check(&s->ready, CHECK_SEED, job->rig->checks, err);
    sk_desk_enter(desk, SK_PHASE_CHECK, s->index);
    if (st == SPHKV_OK && !s->timed_checked) st = check_timed(job, s, fault, err);
    s->timed_checked = st == SPHKV_OK;
    return st;
}

/* ---- requests ------------------------------------------------------------- */

/* A GPU that was opened and then refuses a call has met an illegal address, or its
 * like, in a kernel; one that could not be opened says nothing of a candidate. */
static sk_db_outcome outcome_of(sk_status st, bool opened, sk_desk *desk, const char *message)
{
    bool outside = strstr(message, "wrote outside") != NULL; /* words of sk_case_intact */
    if (!opened) return SK_OUTCOME_SKIPPED;
    if (st == SPHKV_EDEVICE && atomic_load(&desk->phase) > SK_PHASE_LOAD)
        return SK_OUTCOME_ILLEGAL;
    switch (st) {
    case SPHKV_OK: return SK_OUTCOME_OK;
    case SPHKV_ENOMEM: return SK_OUTCOME_OOM;
    case SPHKV_EVERIFY: return outside ? SK_OUTCOME_ILLEGAL : SK_OUTCOME_WRONG;
    default:
        return atomic_load(&desk->phase) <= SK_PHASE_LOAD ? SK_OUTCOME_COMPILE_ERROR
                                                          : SK_OUTCOME_WRONG;
    }
}

static sk_status settle(sk_rig *rig, sk_desk *desk, slot *s, sk_err *err)
{
    sk_desk_enter(desk, SK_PHASE_MEASURE, s->index);
    sk_status st = s->settled ? SPHKV_OK : sk_lane_settle(&s->lane, rig->walked, err);
    s->settled = st == SPHKV_OK;
    rig->walked = rig->walked || s->settled;
    return st;
}

/* Pairs of candidate and default in turns; few when the candidate will not beat the
 * incumbent, which is so many times as fast as the default: when it is far from it, or
 * left the race against it. */
static sk_status take_pairs(sk_job *job, slot *s, slot *base, double incumbent, sk_err *err)
{
    sk_answer *a = job->answer;
    uint32_t pairs = job->effort->pairs;
    sk_lane *const lane[2] = {&s->lane, &base->lane};
    sk_race race;
    sk_race_begin(&race, 2, TRIAL_RISK);
    for (uint32_t i = 0; i < pairs && i < SK_SAMPLES_MOST; i++) {
        double *const us[2] = {&a->sample[i], &a->baseline[i]};
        uint32_t n = s == base ? 1 : 2;
        sk_status st = sk_measure_rounds(lane, NULL, n, 1, job->seed + i, us, NULL, err);
        if (st != SPHKV_OK) return st;
        if (s == base) a->baseline[i] = a->sample[i];
        a->samples = i + 1;
        const double now[2] = {a->baseline[i] / incumbent, a->sample[i]};
        sk_race_round(&race, now);
        const double gain = sk_median(a->baseline, a->samples) / sk_median(a->sample, a->samples);
        if (race.out[1] || (a->samples >= HOPELESS_AFTER && gain < HOPELESS * incumbent)) break;
    }
    return SPHKV_OK;
}

static sk_status serve_probe(sk_job *job, sk_desk *desk, sk_err *err)
{
    sk_answer *a = job->answer;
    sk_desk_enter(desk, SK_PHASE_LOAD, SK_NONE);
    sk_status st = sk_job_inputs(job, err);
    a->read_bytes = job->read_bytes;
    a->write_bytes = job->write_bytes;
    return st;
}

static sk_status serve_trial(sk_job *job, sk_desk *desk, const uint32_t *request, sk_err *err)
{
    slot *s, *base;
    sk_answer *a = job->answer;
    const uint32_t index = request[1];
    const double incumbent = request[3] / (double)SK_ASK_UNIT;
    sk_fault_kind fault = sk_fault_of(request[2]);
    a->error = -1;
    a->samples = 0;
    drop_others(job->rig, &index, 1);
    sk_status st = slot_take(job, desk, 0, &job->code[0], &base, err);
    if (st == SPHKV_OK && index && !a->base_ready) /* of an earlier run: check it here */
        st = slot_check(job, desk, base, SK_FAULT_NONE, err);
    if (st == SPHKV_OK && index) st = settle(job->rig, desk, base, err);
    if (st == SPHKV_OK) st = slot_take(job, desk, index, &job->code[1], &s, err);
    if (st == SPHKV_OK) st = slot_check(job, desk, s, fault, err);
    if (st != SPHKV_OK) return st;
    a->error = s->ready.error;
    snprintf(a->error_kind, sizeof a->error_kind, "worst of the input sets");
    st = settle(job->rig, desk, s, err);
    return st == SPHKV_OK ? take_pairs(job, s, base, incumbent, err) : st;
}

static sk_status make_sweep(sk_job *job, sk_err *err)
{
    sk_rig *rig = job->rig;
    double read = job->read_bytes, write = job->write_bytes;
    if (rig->sweep_made) return SPHKV_OK;
    sk_status st = sk_sweep_make(&rig->x, (size_t)(read + write), job->cold,
                                 sk_sweep_copies(read, write), &rig->sweep, err);
    if (st != SPHKV_OK) return st;
    rig->sweep_made = true;
    return sk_sweep_choose(&rig->sweep, err);
}

/* One round of those who are in; the others' times are 0. */
static sk_status final_round(sk_job *job, sk_desk *desk, sk_lane *const *lane, uint32_t n,
                             const bool *out, uint32_t r, sk_err *err)
{
    sk_answer *a = job->answer;
    sk_lane *in[SK_MAX_ENTRANTS];
    sk_sweep *sweep[SK_MAX_ENTRANTS] = {&job->rig->sweep};
    double *at[SK_MAX_ENTRANTS], *sweep_at[SK_MAX_ENTRANTS] = {a->sweep + r};
    uint32_t m = 0;
    for (uint32_t i = 0; i < n; i++) {
        a->time[i][r] = 0;
        if (out[i]) continue;
        in[m] = lane[i];
        at[m++] = &a->time[i][r];
    }
    sk_desk_enter(desk, SK_PHASE_MEASURE, SK_NONE);
    return sk_measure_rounds(in, sweep, m, 1, job->seed + r, at, sweep_at, err);
}

/* Rounds of a noisy stretch are taken again, once, when it may be over; at most a quarter
 * of them, since a machine that is always noisy has no quiet rounds. */
static sk_status retake_noisy(sk_job *job, sk_desk *desk, sk_lane *const *lane, uint32_t n,
                              const sk_race *race, const double *const *us, sk_err *err)
{
    double mood[SK_ROUNDS_MOST];
    uint32_t left = race->rounds / 4;
    sk_status st = SPHKV_OK;
    sk_round_moods(us, n, race->rounds, mood);
    for (uint32_t r = 0; r < race->rounds && left > 0 && st == SPHKV_OK; r++) {
        if (mood[r] <= SK_NOISY) continue;
        st = final_round(job, desk, lane, n, race->out, r, err);
        left--;
    }
    return st;
}

/* At least `rounds`, then until it is settled who is faster, or there were enough. */
static sk_status final_rounds(sk_job *job, sk_desk *desk, sk_lane *const *lane, uint32_t n,
                              uint32_t rounds, uint32_t most, sk_err *err)
{
    sk_answer *a = job->answer;
    sk_race race;
    const double *us[SK_MAX_ENTRANTS];
    sk_status st = SPHKV_OK;
    for (uint32_t i = 0; i < n; i++) us[i] = a->time[i];
    sk_race_begin(&race, n, SK_RACE_RISK);
    while (st == SPHKV_OK && race.rounds < most) {
        double now[SK_MAX_ENTRANTS];
        const uint32_t r = race.rounds;
        if (r >= rounds && (r - rounds) % SETTLE_EVERY == 0 && sk_race_settled(&race, us)) break;
        st = final_round(job, desk, lane, n, race.out, r, err);
        for (uint32_t i = 0; i < n; i++) now[i] = us[i][r];
        sk_race_round(&race, now);
    }
    if (st == SPHKV_OK) st = retake_noisy(job, desk, lane, n, &race, us, err);
    a->rounds = race.rounds;
    return st;
}

static sk_status serve_final(sk_job *job, sk_desk *desk, uint32_t rounds, uint32_t most,
                             sk_err *err)
{
    sk_answer *a = job->answer;
    uint32_t n = a->entrants;
    sk_lane *lane[SK_MAX_ENTRANTS];
    if (n < 1 || n > SK_MAX_ENTRANTS || rounds < 1 || most < rounds || most > SK_ROUNDS_MOST)
        return sk_fail(err, SPHKV_EINTERNAL, "a final of %u in %u to %u rounds", n, rounds, most);
    drop_others(job->rig, a->entrant, n);
    for (uint32_t i = 0; i < n; i++) {
        slot *s;
        sk_status st = slot_take(job, desk, a->entrant[i], &job->code[i], &s, err);
        if (st == SPHKV_OK) st = slot_check(job, desk, s, SK_FAULT_NONE, err);
        if (st == SPHKV_OK) st = settle(job->rig, desk, s, err);
        if (st != SPHKV_OK) return st;
        lane[i] = &s->lane;
    }
    sk_desk_enter(desk, SK_PHASE_MEASURE, SK_NONE);
    sk_status st = make_sweep(job, err);
    if (st != SPHKV_OK) return st;
    st = final_rounds(job, desk, lane, n, rounds, most, err);
    a->streams = job->rig->sweep.streams;
    return st;
}

void sk_rig_serve(void *user, sk_desk *desk, const uint32_t request[SK_REQUEST_WORDS])
{
    sk_job *job = user;
    sk_err err = {0};
    sk_status st = rig_open(job, &err);
    if (st == SPHKV_OK) switch (request[0]) {
        case SK_ASK_PROBE:
            st = serve_probe(job, desk, &err);
            break;
        case SK_ASK_TRIAL: st = serve_trial(job, desk, request, &err); break;
        case SK_ASK_FINAL: st = serve_final(job, desk, request[1], request[2], &err); break;
        default: st = sk_fail(&err, SPHKV_EINTERNAL, "request %u", request[0]);
        }
    job->answer->status = st;
    job->answer->outcome = outcome_of(st, job->rig != NULL, desk, err.message);
    snprintf(job->answer->message, sizeof job->answer->message, "%.399s",
             st == SPHKV_OK ? "" : err.message);
}
