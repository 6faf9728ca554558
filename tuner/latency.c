/* latency.c - see latency.h. */
#define _GNU_SOURCE
#include "latency.h"

#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "command.h"
#include "results.h"
#include "statistics.h"
#include "team.h"

#define CALLS 1000u /* of one round; a quarter of a millisecond or so */
#define SETTLE 3u   /* rounds that do not count */

/* What one thread calls with; its memory is nobody else's. */
typedef struct seat {
    uint8_t *memory;
    sphkv_attn_args args;
    double ns;
    sk_status status;
} seat;

/* What is called. */
typedef struct target {
    sphkv_spec_params spec;
    uint32_t batch;
    sphkv_plan *plan;
    sphkv_codebook *book;
} target;

/* The threads that call at once. */
typedef struct crowd {
    const target *target;
    uint32_t threads;
    seat *seat;
} crowd;

/* Both ways it may be read. */
typedef struct result {
    sk_text table;
    sk_json json;
} result;

/* Aligned blocks out of a seat's memory: pages of their own. */
static void *cut(uint8_t **at, size_t bytes)
{
    uint8_t *p = *at;
    *at += (bytes + 4095) / 4096 * 4096;
    return p;
}

static sk_status seat_make(seat *s, const target *t, const sk_options *o, sk_err *err)
{
    const uint32_t batch = t->batch;
    const uint32_t heads = o->kv_heads * o->heads_per_kv, lists = batch * o->kv_heads;
    const uint32_t dv = o->value_dim ? o->value_dim : o->head_dim;
    const size_t workspace = sphkv_plan_workspace(t->plan);
    const size_t q = (size_t)batch * heads * o->head_dim * 4, out = (size_t)batch * heads * dv * 4;
    const size_t turn = (size_t)o->head_dim * sizeof(float); /* a row of rotations, for p tiers */
    s->memory = sk_calloc(1, workspace + q + out + turn + (lists + 1) * sizeof(uint32_t) + 6 * 4096);
    if (!s->memory) return sk_fail(err, SPHKV_ENOMEM, "no memory for %u lists", lists);
    uint8_t *at = s->memory + (4096 - (uintptr_t)s->memory % 4096);
    s->args = (sphkv_attn_args){.size = sizeof s->args, .batch = batch};
    s->args.workspace = cut(&at, workspace);
    s->args.workspace_bytes = workspace;
    s->args.out = cut(&at, out);
    s->args.q = cut(&at, q);
    s->args.rope = (sphkv_rope){.table = cut(&at, turn), .positions = 1};
    s->args.table = (sphkv_page_table){cut(&at, (lists + 1) * sizeof(uint32_t)), NULL, lists,
                                       o->kv_heads};
    s->args.codebook = sphkv_codebook_data(t->book, NULL, &s->args.codebook_bytes);
    return SPHKV_OK;
}

static void call_many(void *user, uint32_t part, uint32_t parts)
{
    const crowd *c = user;
    seat *s = &c->seat[part];
    const sphkv_attn_args args = s->args; /* on this thread's stack: seats share lines */
    sk_status st = SPHKV_OK;
    (void)parts;
    const double start = sk_clock_us();
    for (uint32_t i = 0; i < CALLS && st == SPHKV_OK; i++)
        st = sphkv_run(c->target->plan, &args, 0, 1);
    s->ns = (sk_clock_us() - start) * 1e3 / CALLS;
    s->status = st;
}

/* ns per call of the slowest thread, round by round. */
static sk_status time_rounds(const sk_latency *ask, crowd *c, double *ns, sk_err *err)
{
    sk_team *team;
    sk_status st = sk_team_start(c->threads, &team, err);
    if (st != SPHKV_OK) return st;
    for (uint32_t r = 0; r < SETTLE + ask->rounds && st == SPHKV_OK; r++) {
        double most = 0;
        sk_team_run(team, call_many, c);
        for (uint32_t i = 0; i < c->threads && st == SPHKV_OK; i++) {
            if (c->seat[i].ns > most) most = c->seat[i].ns;
            st = c->seat[i].status;
        }
        if (st != SPHKV_OK) (void)sk_fail(err, st, "sphkv_run: %s", sphkv_status_text(st));
        if (r >= SETTLE) ns[r - SETTLE] = most;
        if (ask->stop && *ask->stop) st = sk_fail(err, SPHKV_EDEVICE, "interrupted");
    }
    sk_team_stop(team);
    return st;
}

static void report(const sk_latency *ask, const target *t, uint32_t threads, const double *ns,
                   result *to)
{
    const sphkv_spec_params *spec = &t->spec;
    sk_json *j = &to->json;
    const sk_options *o = ask->options;
    double best = ns[0], median = sk_median(ns, ask->rounds);
    for (uint32_t r = 1; r < ask->rounds; r++) best = ns[r] < best ? ns[r] : best;
    sk_text_printf(&to->table, "%7u %8u %10.1f %10.1f  %s\n", t->batch, threads, median, best, spec->tiers);
    sk_json_open(j, NULL, '{');
    sk_json_text(j, "kernel", sk_kernel_name(spec->kernel));
    sk_json_text(j, "tiers", spec->tiers);
    sk_json_text(j, "plan", sphkv_plan_describe(t->plan));
    sk_json_u64(j, "head_dim", spec->head_dim);
    sk_json_u64(j, "heads", o->kv_heads * o->heads_per_kv);
    sk_json_u64(j, "kv_heads", o->kv_heads);
    sk_json_u64(j, "context", 0);
    sk_json_u64(j, "batch", t->batch);
    sk_json_u64(j, "threads", threads);
    sk_json_f64(j, "ns_per_call", median);
    sk_json_f64(j, "best_ns_per_call", best);
    sk_json_close(j, '}');
}

static sk_status measure_one(const sk_latency *ask, const target *t, uint32_t threads, result *to,
                             sk_err *err)
{
    crowd c = {.target = t, .threads = threads, .seat = sk_calloc(threads, sizeof *c.seat)};
    double *ns = sk_calloc(ask->rounds, sizeof *ns);
    sk_status st = c.seat && ns ? SPHKV_OK : sk_fail(err, SPHKV_ENOMEM, "no memory for times");
    for (uint32_t i = 0; i < threads && st == SPHKV_OK; i++)
        st = seat_make(&c.seat[i], t, ask->options, err);
    if (st == SPHKV_OK) st = time_rounds(ask, &c, ns, err);
    if (st == SPHKV_OK) report(ask, t, threads, ns, to);
    for (uint32_t i = 0; i < threads && c.seat; i++) sk_free(c.seat[i].memory);
    sk_free(c.seat);
    sk_free(ns);
    return st;
}

/* One mix at one batch, by all numbers of threads. */
static sk_status measure_plan(const sk_latency *ask, sphkv_context *ctx, const char *tiers,
                              uint32_t batch, result *to, sk_err *err)
{
    const sk_options *o = ask->options;
    target t = {.spec = sk_options_params(o, SPHKV_ATTN_DECODE, tiers), .batch = batch};
    const sphkv_maxima maxima = {.size = sizeof maxima, .batch = batch, .kv_heads = o->kv_heads,
                                 .pages_per_list = 1, .parts = 1};
    sk_status st = sphkv_plan_create(ctx, &t.spec, &maxima, &t.plan, err);
    if (st == SPHKV_OK) st = sphkv_codebook_default(&t.spec, o->kv_heads, 1, &t.book, err);
    for (uint32_t i = 0; i < o->threads.n && st == SPHKV_OK; i++)
        st = measure_one(ask, &t, o->threads.v[i], to, err);
    sphkv_codebook_free(t.book);
    sphkv_plan_destroy(t.plan);
    return st;
}

static void say(void *user, const char *line)
{
    sk_command_say(user, line);
}

/* One mix at all batches. One that nobody wrote out and that no kernel does is left
 * out. */
static sk_status measure_mix(const sk_latency *ask, sphkv_context *ctx, uint32_t mix, result *to,
                             sk_err *err)
{
    const char *tiers = ask->mixes->mix[mix];
    sk_status st = SPHKV_OK;
    for (uint32_t b = 0; b < ask->options->batch.n && st == SPHKV_OK; b++)
        st = measure_plan(ask, ctx, tiers, ask->options->batch.v[b], to, err);
    if (st != SPHKV_EUNSUPPORTED || !ask->mixes->expanded[mix]) return st;
    if (ask->program) {
        char line[500];
        snprintf(line, sizeof line, "%.100s is left out: %.380s", tiers, err->message);
        sk_command_say(ask->program, line);
    }
    return SPHKV_OK;
}

/* All mixes. */
static sk_status measure_all(const sk_latency *ask, result *to, sk_err *err)
{
    const sphkv_open_params open = {.size = sizeof open, .flags = SPHKV_OPEN_READ_ONLY,
                                    .db_path = ask->options->db, .log = ask->program ? say : NULL,
                                    .log_user = (void *)(uintptr_t)ask->program};
    sphkv_context *ctx;
    sk_status st = sphkv_open(&open, &ctx, err);
    for (uint32_t m = 0; m < ask->mixes->n && st == SPHKV_OK; m++)
        st = measure_mix(ask, ctx, m, to, err);
    sphkv_close(ctx);
    return st;
}

sk_status sk_latency_measure(const sk_latency *ask, sk_text *out, sk_err *err)
{
    const sk_options *o = ask->options;
    result to = {0};
    sk_text_printf(&to.table, "sphkv_run on empty lists, d%u heads %u/%u\n%7s %8s %10s %10s  %s\n",
                   o->head_dim, o->kv_heads * o->heads_per_kv, o->kv_heads, "batch", "threads",
                   "ns/call", "best", "tiers");
    sk_json_open(&to.json, NULL, '{');
    sk_results_device_json(&to.json, ask->device);
    sk_json_open(&to.json, "results", '[');
    const sk_status st = measure_all(ask, &to, err);
    sk_json_close(&to.json, ']');
    sk_json_close(&to.json, '}');
    sk_text_append(&to.json.text, "\n", 1);
    *out = o->json ? to.json.text : to.table;
    sk_text_free(o->json ? &to.table : &to.json.text);
    return st;
}
