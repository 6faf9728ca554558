/* sphkv-tune - finds the fastest kernels on this machine, proves them, and keeps
 * them in the database.
 *
 * The command is the loop over jobs; what a job is, how one is searched, and what the
 * user says, is in job.h, search.h and tune_ask.h. Results go to stdout, everything else
 * to stderr. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "fault.h"
#include "layouts.h"
#include "pick.h"
#include "progress.h"
#include "report.h"
#include "results.h"
#include "tune_ask.h"

#define PROGRAM "sphkv-tune"
typedef struct tune {
    sk_tune_ask ask;
    sk_devices devices;
    sk_store store;
    sk_progress progress;
    struct part {         /* one for each device, one after the other */
        const sk_device *device;
        sk_wish wish;
        sk_result *result; /* [wish.n] */
        uint32_t results;
        sk_records records; /* for the report */
        double started, seconds;
    } part[SK_DEVICES_MOST];
    double started;
    const volatile int *stop; /* set by a signal */
} tune;
typedef struct part part;

/* What is wished for on a device. On a GPU the kernels are, unless said, those that
 * run there. */
static sk_status make_wish(const tune *t, const sk_device *device, sk_wish *out, sk_err *err)
{
    const uint32_t backend = device->target.backend;
    sk_options o = t->ask.options;
    uint32_t kernels = t->ask.kernels;
    if (backend == SK_BACKEND_CUDA) o.threads = (sk_list){1, {1}};
    for (uint32_t i = 0; i < SPHKV_KERNEL_COUNT && t->ask.kernels == ~0u; i++)
        if (!sk_kernel_get(i)->form[backend]) kernels &= ~SK_FOR(i);
    return sk_wish_make(&o, &t->ask.mixes, kernels, out, err);
}

/* A bad mix is found before a device is looked for. */
static sk_status check_wish(const tune *t, sk_err *err)
{
    const sk_device any = {.target = {.backend = SK_BACKEND_CPU}};
    sk_wish wish = {0};
    const sk_status st = make_wish(t, &any, &wish, err);
    sk_wish_free(&wish);
    return st;
}

/* ---- the space ------------------------------------------------------------------ */

static int dry_run(tune *t, const part *p, sk_err *err)
{
    int code = SK_EXIT_DONE;
    for (uint32_t i = 0; i < p->wish.n && code == SK_EXIT_DONE; i++) {
        sk_text out = {0};
        if (i == 0 && t->devices.n > 1)
            sk_text_printf(&out, "%s, %s\n", p->device->name, p->device->arch);
        sk_status st = sk_wish_space_print(&p->wish.item[i], &p->device->target, t->ask.keep, &out, err);
        if (*t->stop)
            code = SK_EXIT_STOPPED;
        else
            code = st == SPHKV_OK ? sk_command_print(PROGRAM, &out) : sk_command_fail(PROGRAM, st, err);
        sk_text_free(&out);
    }
    return code;
}

/* ---- jobs ----------------------------------------------------------------------- */

/* The device's time is shared by weight. */
static double job_weight(const sk_wish_item *item)
{
    return sk_kernel_get(item->spec.kernel)->weight;
}

static double job_seconds(const part *p, uint32_t at)
{
    double all = 0, left = p->seconds - (sk_progress_now() - p->started);
    if (p->seconds <= 0) return 0;
    for (uint32_t i = at; i < p->wish.n; i++) all += job_weight(&p->wish.item[i]);
    left *= job_weight(&p->wish.item[at]) / all;
    return left > 0.5 ? left : 0.5;
}

/* A result for a job that could not begin. */
static sk_status refuse(const sk_wish_item *item, const char *why, sk_result *out, sk_err *err)
{
    sk_text spec = {0}, tiers = {0};
    memset(out, 0, sizeof *out);
    sk_spec_print(&item->spec, &spec);
    sk_spec_mix_print(&item->spec, &tiers);
    out->kernel = sk_kernel_name(item->spec.kernel);
    out->shape = sk_pick_shape(&item->spec, &item->shape);
    out->accuracy = sk_accuracy_name(item->spec.accuracy);
    out->layout = item->spec.layout;
    out->spec = spec.s;
    out->tiers = tiers.s;
    snprintf(out->message, sizeof out->message, "%.399s", why);
    return spec.failed || tiers.failed ? sk_fail(err, SPHKV_ENOMEM, "out of memory") : SPHKV_OK;
}

static void say_job_done(tune *t, const sk_result *r)
{
    if (!r->verified)
        sk_progress_line(&t->progress, "  no verified result: %s", r->message);
    else
        sk_progress_line(&t->progress, "  %.2f us, %.3fx of the default, roofline %.3f, %u trials "
                         "(%u failed, %u of earlier runs), %.1f s",
                         r->median_us, r->speedup.mid, r->roofline, r->trials, r->failed, r->found,
                         r->seconds);
    if (r->busy)
        sk_progress_line(&t->progress, "  %u schedules were left to another tuner", r->busy);
}

static sk_search_params search_params(tune *t, const part *p, uint32_t at)
{
    const bool gpu = p->device->target.backend == SK_BACKEND_CUDA;
    sk_search_params params = {
        .trials = t->ask.trials ? t->ask.trials : t->ask.seconds > 0 ? 0 : t->ask.effort->trials,
        .strategy = t->ask.strategy ? t->ask.strategy : "auto",
        .trials_least = t->ask.seconds > 0 ? 0 : t->ask.effort->trials / 3,
        .seconds = t->ask.seconds > 0 ? job_seconds(p, at) : t->ask.trials ? 0 : t->ask.effort->seconds,
        .limits = gpu ? sk_limits_gpu() : sk_limits_default(),
        .progress = &t->progress,
        .stop = t->stop,
    };
    for (uint32_t i = 0; i < SK_PHASE_COUNT && sk_fault_limit() > 0; i++)
        params.limits.seconds[i] = sk_fault_limit();
    return params;
}

static sk_status run_job(tune *t, part *p, uint32_t at, bool *stopped, sk_err *err)
{
    const sk_wish_item *item = &p->wish.item[at];
    sk_result *r = &p->result[at];
    sk_job job;
    sk_text what = {0};
    sk_wish_print(item, &what);
    const sk_search_params params = search_params(t, p, at);
    sk_progress_job(&t->progress, what.s ? what.s : "?", params.trials);
    sk_progress_line(&t->progress, "%u/%u %s", at + 1, p->wish.n, what.s ? what.s : "?");
    sk_text_free(&what);
    sk_status st = sk_job_make(&item->spec, &item->shape, p->device, t->ask.effort, t->ask.seed, &job, err);
    if (st == SPHKV_OK) {
        if (t->ask.keep) st = sk_space_keep(&job.space, t->ask.keep, err);
        if (st == SPHKV_OK) st = sk_search_run(&job, &t->store, &params, r, stopped, err);
        sk_job_free(&job);
    }
    p->results = at + 1;
    if (st == SPHKV_EUNSUPPORTED || st == SPHKV_ENOMEM) {
        sk_result_free(r);
        st = refuse(item, err->message, r, err);
    }
    if (st == SPHKV_OK && !*stopped) say_job_done(t, r);
    return st;
}

/* With --quiet too: why the exit code is not 0. */
static void say_unverified(const tune *t)
{
    uint32_t n = 0, all = 0;
    const sk_result *first = NULL;
    for (uint32_t k = t->devices.n; k-- > 0;) {
        const part *p = &t->part[k];
        all += p->results;
        for (uint32_t i = p->results; i-- > 0;)
            if (!p->result[i].verified) {
                n++;
                first = &p->result[i];
            }
    }
    if (!first) return;
    char line[500];
    snprintf(line, sizeof line, "%u of %u kernels have no verified result; %s %.100s: %.300s", n,
             all, first->kernel, first->tiers ? first->tiers : "",
             first->message[0] ? first->message : "out of memory");
    sk_command_say(PROGRAM, line);
}

static int print_results(const tune *t)
{
    sk_text out = {0};
    sk_results of[SK_DEVICES_MOST];
    for (uint32_t k = 0; k < t->devices.n; k++)
        of[k] = (sk_results){t->part[k].device, t->part[k].result, t->part[k].results};
    if (t->ask.options.json)
        sk_results_json(of, t->devices.n, &out);
    else
        sk_results_print(of, t->devices.n, &out);
    int code = sk_command_print(PROGRAM, &out);
    sk_text_free(&out);
    if (code == SK_EXIT_DONE) say_unverified(t);
    for (uint32_t k = 0; k < t->devices.n; k++)
        for (uint32_t i = 0; i < t->part[k].results; i++)
            if (!t->part[k].result[i].verified) code = SK_EXIT_UNVERIFIED;
    return code;
}

/* All jobs of a device, within its share of the command's time. */
static sk_status run_part(tune *t, uint32_t number, bool *stopped, sk_err *err)
{
    part *p = &t->part[number];
    p->started = sk_progress_now();
    if (t->ask.seconds > 0)
        p->seconds = (t->ask.seconds - (p->started - t->started)) / (t->devices.n - number);
    sk_status st = sk_store_open(t->ask.options.db, p->device, t->ask.seed, t->ask.fresh, &t->store, err);
    if (st != SPHKV_OK) return st == SPHKV_ENOTFOUND ? SPHKV_EIO : st;
    if (t->store.warning[0] && number == 0) sk_command_say(PROGRAM, t->store.warning);
    sk_progress_start(&t->progress, p->wish.n, p->seconds, t->ask.quiet);
    if (t->devices.n > 1)
        sk_progress_line(&t->progress, "%s, %s", p->device->name, p->device->arch);
    for (uint32_t i = 0; i < p->wish.n && st == SPHKV_OK && !*stopped; i++)
        st = run_job(t, p, i, stopped, err);
    const sk_results found = {p->device, p->result, p->results};
    if (st == SPHKV_OK && t->ask.report) st = sk_report_collect(&t->store, &found, &p->records, err);
    sk_store_close(&t->store);
    return st;
}

/* The exit code, or `code` when it was written. */
static int write_report(const tune *t, int code, sk_err *err)
{
    sk_records list[SK_DEVICES_MOST];
    if (!t->ask.report) return code;
    for (uint32_t k = 0; k < t->devices.n; k++) list[k] = t->part[k].records;
    if (sk_report_write(t->ask.report, list, t->devices.n, err) == SPHKV_OK) return code;
    sk_command_say(PROGRAM, err->message);
    return SK_EXIT_UNVERIFIED;
}

static int run_all(tune *t, sk_err *err)
{
    bool stopped = false;
    sk_status st = SPHKV_OK;
    for (uint32_t i = 0; i < t->devices.n && st == SPHKV_OK && !stopped; i++)
        st = run_part(t, i, &stopped, err);
    if (stopped) {
        sk_command_say(PROGRAM, "interrupted; what was tried is kept, run again to go on");
        return write_report(t, SK_EXIT_STOPPED, err);
    }
    return st == SPHKV_OK ? write_report(t, print_results(t), err)
                          : sk_command_fail(PROGRAM, st, err);
}

static int print_help(void)
{
    sk_text out = {0};
    sk_tune_help(&out);
    int code = sk_command_print(PROGRAM, &out);
    sk_text_free(&out);
    return code;
}

static int simulate(tune *t, sk_err *err)
{
    sk_simulation_params *p = &t->ask.simulation;
    sk_text out = {0};
    bool stopped;
    p->trials = t->ask.trials ? t->ask.trials : 100;
    p->seed = t->ask.seed;
    p->runs = p->runs ? p->runs : 1;
    p->strategy = t->ask.strategy ? t->ask.strategy : "auto";
    p->stop = sk_command_stop();
    sk_status st = sk_simulate_report(p, t->ask.options.json, &out, &stopped, err);
    if (st == SPHKV_EIO) st = SPHKV_EINVAL; /* a file that the user named */
    int code = st != SPHKV_OK ? sk_command_fail(PROGRAM, st, err)
               : stopped      ? SK_EXIT_STOPPED
                              : sk_command_print(PROGRAM, &out);
    if (stopped) sk_command_say(PROGRAM, "interrupted");
    sk_text_free(&out);
    return code;
}

/* Whether --keep is of every kernel that is wished for. */
static sk_status check_keep(const tune *t, const part *p, sk_err *err)
{
    for (uint32_t i = 0; i < p->wish.n && t->ask.keep; i++) {
        sk_schedule s;
        sk_schedule_begin(p->device->target.backend, &s);
        sk_status st = sk_schedule_parse(p->wish.item[i].spec.kernel, t->ask.keep, &s, err);
        if (st != SPHKV_OK) return st;
    }
    return SPHKV_OK;
}

static sk_status make_part(tune *t, uint32_t number, sk_err *err)
{
    part *p = &t->part[number];
    p->device = &t->devices.device[number];
    sk_status st = make_wish(t, p->device, &p->wish, err);
    if (st == SPHKV_OK) st = sk_shard_keep(&t->ask.shard, &p->wish, err);
    if (st != SPHKV_OK) return st;
    st = check_keep(t, p, err);
    if (st != SPHKV_OK) return st;
    if (p->wish.skipped.s) fputs(p->wish.skipped.s, stderr);
    p->result = sk_calloc(p->wish.n + 1, sizeof *p->result);
    return p->result ? SPHKV_OK : sk_fail(err, SPHKV_ENOMEM, "out of memory");
}

static int begin(tune *t, sk_err *err)
{
    int code = SK_EXIT_DONE;
    t->stop = sk_command_stop();
    sk_status st = sk_devices_find(t->ask.choice, &t->devices, err);
    for (uint32_t i = 0; i < t->devices.n && st == SPHKV_OK; i++) st = make_part(t, i, err);
    if (st != SPHKV_OK) return sk_command_fail(PROGRAM, st, err);
    if (!t->ask.quiet) sk_options_note(&t->ask.options, PROGRAM);
    if (!t->ask.dry_run) return run_all(t, err);
    for (uint32_t i = 0; i < t->devices.n && code == SK_EXIT_DONE; i++)
        code = dry_run(t, &t->part[i], err);
    return code;
}

int main(int argc, char **argv)
{
    static tune t; /* large */
    sk_err err = {0};
    int code;
    sk_command_begin();
    t.started = sk_progress_now();
    sk_status st = sk_tune_ask_read(&t.ask, argc, argv, &err);
    const bool wishes = !t.ask.help && !t.ask.options.list_models && !t.ask.simulation.file;
    if (st == SPHKV_OK && wishes) st = check_wish(&t, &err);
    if (st == SPHKV_ENOTFOUND || st == SPHKV_EIO) st = SPHKV_EINVAL;
    if (st != SPHKV_OK)
        code = sk_command_fail(PROGRAM, st, &err);
    else
        code = t.ask.help                  ? print_help()
               : t.ask.simulation.file     ? simulate(&t, &err)
               : t.ask.options.list_models ? sk_options_list_models(&t.ask.options, PROGRAM)
                                       : begin(&t, &err);
    for (uint32_t k = 0; k < t.devices.n; k++) {
        part *p = &t.part[k];
        for (uint32_t i = 0; i < p->results; i++) sk_result_free(&p->result[i]);
        sk_free(p->result);
        sk_records_free(&p->records);
        sk_wish_free(&p->wish);
    }
    sk_store_close(&t.store);
    sk_tune_ask_free(&t.ask);
    return code;
}
