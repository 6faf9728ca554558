/* simulate.c - see simulate.h. */
#include "simulate.h"

#include <math.h>

sk_status sk_simulate(const sk_t4 *space, const sk_simulation_params *params, uint64_t seed,
                      sk_simulation *out, sk_err *err)
{
    sk_strategy *s;
    uint32_t point;
    *out = (sk_simulation){.seed = seed, .best = INFINITY};
    sk_status st = sk_strategy_make(params->strategy, &space->points, params->trials, seed, &s, err);
    if (st != SPHKV_OK) return st;
    while (out->evaluations < params->trials && !(params->stop && *params->stop) &&
           sk_strategy_next(s, &point)) {
        out->evaluations++;
        out->best = fmin(out->best, space->cost[point]);
        out->seconds += space->seconds[point];
        sk_strategy_tell(s, point, space->cost[point]);
    }
    sk_strategy_free(s);
    out->regret = out->best / space->best - 1;
    return SPHKV_OK;
}

static void run_json(sk_json *j, const sk_simulation_params *p, const sk_t4 *space,
                     const sk_simulation *run)
{
    sk_json_text(j, "file", p->file);
    sk_json_text(j, "strategy", p->strategy);
    sk_json_u64(j, "seed", run->seed);
    sk_json_u64(j, "evaluations", run->evaluations);
    if (isfinite(run->best)) {
        sk_json_f64(j, "best", run->best);
        sk_json_f64(j, "optimum", space->best);
        sk_json_f64(j, "regret", run->regret);
    } else {
        sk_json_text(j, "best", NULL);
        sk_json_f64(j, "optimum", space->best);
        sk_json_text(j, "regret", NULL);
    }
    sk_json_f64(j, "seconds", run->seconds);
}

static void print_runs(const sk_simulation_params *p, const sk_t4 *space, const sk_simulation *run,
                       uint32_t n, bool json, sk_text *out)
{
    sk_json j = {0};
    double mean = 0, seconds = 0;
    for (uint32_t i = 0; i < n; i++) mean += run[i].regret / n, seconds += run[i].seconds / n;
    if (!json) {
        sk_text_printf(out, "%s: %u configurations, %u fail, best %g", p->file, space->points.n,
                       space->failed, space->best);
        if (p->t1)
            sk_text_printf(out, "; constraints of %s forbid %u more", p->t1, space->forbidden);
        sk_text_printf(out, "\n%s, %u evaluations, %u run%s "
                       "from seed %llu: regret %.2f %%, %.0f s of the device\n", p->strategy,
                       run[0].evaluations, n, n == 1 ? "" : "s", (unsigned long long)p->seed,
                       mean * 100, seconds);
        return;
    }
    sk_json_open(&j, NULL, '{');
    run_json(&j, p, space, &run[0]);
    if (p->t1) sk_json_u64(&j, "forbidden", space->forbidden);
    if (n > 1 && isfinite(mean)) sk_json_f64(&j, "mean_regret", mean);
    if (n > 1) sk_json_open(&j, "runs", '[');
    for (uint32_t i = 0; i < n && n > 1; i++) {
        sk_json_open(&j, NULL, '{');
        run_json(&j, p, space, &run[i]);
        sk_json_close(&j, '}');
    }
    if (n > 1) sk_json_close(&j, ']');
    sk_json_close(&j, '}');
    sk_text_append(&j.text, "\n", 1);
    *out = j.text;
}

sk_status sk_simulate_report(const sk_simulation_params *p, bool json, sk_text *out, bool *stopped,
                             sk_err *err)
{
    sk_t4 space;
    sk_t1 t1 = {0};
    sk_status st = p->t1 ? sk_t1_read(p->t1, &t1, err) : SPHKV_OK;
    *stopped = false;
    if (st == SPHKV_OK) st = sk_t4_read(p->file, p->t1 ? &t1 : NULL, &space, err);
    sk_t1_free(&t1);
    if (st != SPHKV_OK) return st;
    sk_simulation *run = sk_calloc(p->runs, sizeof *run);
    if (!run) st = sk_fail(err, SPHKV_ENOMEM, "no memory for %u runs", p->runs);
    for (uint32_t i = 0; i < p->runs && st == SPHKV_OK && !*stopped; i++) {
        st = sk_simulate(&space, p, p->seed + i, &run[i], err);
        *stopped = p->stop && *p->stop;
    }
    if (st == SPHKV_OK && !*stopped) print_runs(p, &space, run, p->runs, json, out);
    sk_free(run);
    sk_t4_free(&space);
    return st;
}
