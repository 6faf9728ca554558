/* sphkv-tune - finds the fastest kernels on this machine, proves them, and keeps
 * them in the database.
 *
 * The command is the loop over jobs; what a job is, and how one is searched, is
 * in job.h and search.h. Results go to stdout, everything else to stderr. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "device_option.h"
#include "fault.h"
#include "layouts.h"
#include "pick.h"
#include "progress.h"
#include "report.h"
#include "results.h"
#include "shard.h"
#include "simulate.h"
#include "wish.h"

#define PROGRAM "sphkv-tune"

static const char help_head[] =
    "sphkv-tune - finds the fastest kernels on this machine, proves them, keeps them\n"
    "\n"
    "usage: sphkv-tune [options]\n"
    "\n"
    "With no options: llama-3.1-8b, good:vi8,kf16:vf16, context 8192, batch 1, one\n"
    "thread, all kernels. Running again continues: what was tried is not repeated.\n"
    "\n";
static const char help_tail[] =
    "the run:\n"
    "  --kernels LIST       with commas between them (default all), of\n"
    "   " SK_KERNEL_NAMES "\n"
    "  --device WORD        what to tune for: cpu (default); cpu:NAME, this CPU with no more\n"
    "                       than the instructions of that one (cpu:x86-64-v3); cuda:N; or\n"
    "                       all: the CPU, then every GPU; --threads are of a CPU\n"
    "  --layouts all|LIST   tries rows of the layout table side by side, instead of --layout,\n"
    "                       and says in which an engine should create its cache\n"
    "  --effort WORD        quick, normal (default) or full: samples, and, without --time and\n"
    "                       --trials, 24 schedules per kernel and shape, or what 8 s\n"
    "                       allow (at least 8); 96 or 90 s; all\n"
    "  --time T             for the whole command: 90s, 15m, 2h\n"
    "  --trials N           schedules tried per kernel and shape, at most\n"
    "  --seed N             order of trials and inputs (default 1)\n"
    "  --simulate FILE      instead: searches a space that was recorded in the T4 format (plain\n"
    "                       or gzip), --trials evaluations (100), and prints how far from\n"
    "                       the best it ended; --seeds N: the mean of N runs; --t1 FILE: its\n"
    "                       description in the T1 format: values in their order, and\n"
    "                       constraints, which are known before anything is tried\n"
    "  --strategy WORD      exhaustive, random, local, model or auto (default: exhaustive where\n"
    "                       the trials suffice for the space, else model)\n"
    "  --keep K=V,...       searches only schedules with these values, and the default\n"
    "                       (sphkv-gen --list says what they mean)\n"
    "  --report FILE        an HTML page: progress of the search, every candidate against the\n"
    "                       roofline, the effect of each tunable, ties, rejections\n"
    "  --shard I/N          the I-th of N parts of the work, into a database of its own\n"
    "                       (kernels.I-of-N.db); sphkv-db merge unites them. Without it: what\n"
    "                       SLURM_ARRAY_TASK_ID says, or JOB_COMPLETION_INDEX with\n"
    "                       JOB_COMPLETIONS. 1/1: everything\n"
    "  --fresh              does not count what earlier runs tried\n"
    "  --dry-run            prints the schedules that can run, and runs none\n"
    "  --db FILE            the database (default $SPHKV_DB, or\n"
    "                       $XDG_CACHE_HOME/sphkv/kernels.db)\n"
    "  --json               JSON on stdout\n"
    "  --quiet              no progress\n"
    "  --help               this text\n"
    "\n"
    "--tiers may be given several times, or hold several mixes with ; between them. The\n"
    "key first-class stands for each first-class key in turn: first-class:vi8,kf16:vf16\n"
    "(or just first-class); what no kernel does is left out, with the reason on stderr.\n"
    "\n"
    "examples:\n"
    "  sphkv-tune --effort quick\n"
    "  sphkv-tune --model qwen3-8b --context 8192,32768 --threads 1,2 --time 10m\n"
    "  sphkv-tune --head-dim 64 --heads 14 --kv-heads 2 --tiers 'good:vi8,kf16:vf16;kf16:vf16'\n"
    "\n"
    "exit code: 0 done, 1 something has no verified result or no kernel, memory ran out or\n"
    "the result could not be written, 2 usage, 3 no compiler or device, 4 database,\n"
    "130 interrupted (what was tried is kept)\n";

typedef struct tune {
    sk_options options;
    sk_mixes mixes;
    uint32_t kernels, trials, seed;
    const sk_effort *effort;
    double seconds;
    bool fresh, dry_run, quiet, help;
    sk_simulation_params simulation; /* file NULL: none */
    sk_shard shard;       /* count 0: not said */
    char *shard_db;       /* its database; own memory */
    const char *choice;   /* of the devices */
    const char *keep;     /* as of sk_space_keep; NULL: all */
    const char *strategy; /* NULL: auto */
    const char *report;   /* file of the HTML page; NULL: none */
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

/* ---- options ------------------------------------------------------------------ */

static sk_status take_effort(tune *t, sk_args *a, sk_err *err)
{
    const char *text;
    sk_status st = sk_args_value(a, &text, err);
    if (st != SPHKV_OK) return st;
    t->effort = sk_effort_find(text);
    return t->effort ? SPHKV_OK
                     : sk_fail(err, SPHKV_EINVAL, "--effort: '%.60s' is not quick, normal or full",
                               text);
}

static sk_status take_strategy(tune *t, sk_args *a, sk_err *err)
{
    const char *text, *name;
    sk_status st = sk_args_value(a, &text, err);
    if (st != SPHKV_OK) return st;
    for (uint32_t i = 0; (name = sk_strategy_name(i)) != NULL; i++)
        if (strcmp(name, text) == 0) {
            t->strategy = name;
            return SPHKV_OK;
        }
    return sk_fail(err, SPHKV_EINVAL, "--strategy: '%.60s' is not exhaustive, random, local, model "
                   "or auto", text);
}

static sk_status take_own(tune *t, sk_args *a, bool *taken, sk_err *err)
{
    const char *text;
    *taken = true;
    if (sk_args_is(a, "--kernels")) return sk_args_kernels(a, &t->kernels, err);
    if (sk_args_is(a, "--device")) return sk_device_option(a, true, &t->choice, err);
    if (sk_args_is(a, "--effort")) return take_effort(t, a, err);
    if (sk_args_is(a, "--time")) return sk_args_seconds(a, &t->seconds, err);
    if (sk_args_is(a, "--trials")) return sk_args_u32(a, 1, 1u << 20, &t->trials, err);
    if (sk_args_is(a, "--simulate")) return sk_args_value(a, &t->simulation.file, err);
    if (sk_args_is(a, "--t1")) return sk_args_value(a, &t->simulation.t1, err);
    if (sk_args_is(a, "--strategy")) return take_strategy(t, a, err);
    if (sk_args_is(a, "--keep")) return sk_args_value(a, &t->keep, err);
    if (sk_args_is(a, "--seeds")) return sk_args_u32(a, 1, 10000, &t->simulation.runs, err);
    if (sk_args_is(a, "--layouts")) return sk_layouts_take(a, &t->options.layouts, err);
    if (sk_args_is(a, "--seed")) return sk_args_u32(a, 0, UINT32_MAX, &t->seed, err);
    if (sk_args_is(a, "--tiers") || sk_args_is(a, "--shard")) {
        const bool tiers = sk_args_is(a, "--tiers");
        sk_status st = sk_args_value(a, &text, err);
        if (st != SPHKV_OK) return st;
        return tiers ? sk_mixes_add(&t->mixes, text, err) : sk_shard_parse(text, &t->shard, err);
    }
    if (sk_args_is(a, "--report")) return sk_args_value(a, &t->report, err);
    const struct {
        const char *name;
        bool *at;
    } flags[] = {{"--fresh", &t->fresh},
                 {"--dry-run", &t->dry_run},
                 {"--quiet", &t->quiet},
                 {"--help", &t->help},
                 {"-h", &t->help}};
    for (size_t i = 0; i < SK_COUNT(flags); i++)
        if (sk_args_is(a, flags[i].name)) {
            *flags[i].at = true;
            return SPHKV_OK;
        }
    *taken = false;
    return SPHKV_OK;
}

static void set_default(sk_list *list, uint32_t value)
{
    if (list->n == 0) *list = (sk_list){1, {value}};
}

/* A part of the work has a database of its own. */
static sk_status take_shard(tune *t, sk_err *err)
{
    const char *from = "--shard";
    char *place = NULL;
    sk_status st = SPHKV_OK;
    if (t->shard.count == 0) st = sk_shard_environment(&t->shard, &from, err);
    if (st != SPHKV_OK || t->shard.count <= 1) return st;
    if (!t->options.db) st = sk_db_default_path(&place, err);
    if (st == SPHKV_OK)
        st = sk_shard_path(&t->shard, place ? place : t->options.db, &t->shard_db, err);
    sk_free(place);
    if (st != SPHKV_OK) return st;
    t->options.db = t->shard_db;
    if (!t->quiet)
        fprintf(stderr, "part %u of %u (%s), into %s\n", t->shard.index, t->shard.count, from,
                t->shard_db);
    return SPHKV_OK;
}

/* What only a simulation has, or only a search on devices. */
static sk_status check_simulation(const tune *t, sk_err *err)
{
    const char *simulated = t->simulation.runs ? "--seeds" : t->simulation.t1 ? "--t1" : NULL;
    const char *real = t->report         ? "--report"
                       : t->keep         ? "--keep"
                       : t->shard.count  ? "--shard"
                       : t->dry_run      ? "--dry-run"
                                         : NULL;
    if (!t->simulation.file && simulated)
        return sk_fail(err, SPHKV_EINVAL, "%s is of a --simulate", simulated);
    if (t->simulation.file && real)
        return sk_fail(err, SPHKV_EINVAL, "%s is of a search on devices, not of a --simulate", real);
    return SPHKV_OK;
}

static sk_status read_options(tune *t, int argc, char **argv, sk_err *err)
{
    sk_args a;
    sk_status st;
    sk_args_begin(&a, argc, argv);
    while ((st = sk_args_next(&a, err)) == SPHKV_OK && a.word) {
        bool taken = false;
        st = take_own(t, &a, &taken, err);
        if (st == SPHKV_OK && !taken) st = sk_options_take(&t->options, &a, &taken, err);
        if (st != SPHKV_OK) return st;
        if (!taken) return sk_fail(err, SPHKV_EINVAL, "unknown option '%.60s'", a.word);
        if (t->help) return SPHKV_OK;
    }
    if (st == SPHKV_OK) st = check_simulation(t, err);
    if (st != SPHKV_OK || t->options.list_models || t->simulation.file) return st;
    if (!t->options.model && !t->options.head_dim) t->options.model = "llama-3.1-8b";
    if (t->options.threads.n && t->choice && sk_cuda_named(t->choice, NULL))
        return sk_fail(err, SPHKV_EINVAL, "--threads: a GPU has none to choose");
    set_default(&t->options.context, 8192);
    set_default(&t->options.batch, 1);
    set_default(&t->options.threads, 1);
    for (uint32_t i = 0; i < t->options.threads.n; i++)
        if (t->options.threads.v[i] > SK_TEAM_MOST)
            return sk_fail(err, SPHKV_EINVAL, "--threads: at most %u", SK_TEAM_MOST);
    if (t->mixes.n == 0) st = sk_mixes_add(&t->mixes, "good:vi8,kf16:vf16", err);
    if (st == SPHKV_OK) st = sk_options_finish(&t->options, err);
    return st == SPHKV_OK ? take_shard(t, err) : st;
}

/* What is wished for on a device. On a GPU the kernels are, unless said, those that
 * run there. */
static sk_status make_wish(const tune *t, const sk_device *device, sk_wish *out, sk_err *err)
{
    const uint32_t backend = device->target.backend;
    sk_options o = t->options;
    uint32_t kernels = t->kernels;
    if (backend == SK_BACKEND_CUDA) o.threads = (sk_list){1, {1}};
    for (uint32_t i = 0; i < SPHKV_KERNEL_COUNT && t->kernels == ~0u; i++)
        if (!sk_kernel_get(i)->form[backend]) kernels &= ~SK_FOR(i);
    return sk_wish_make(&o, &t->mixes, kernels, out, err);
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
        sk_status st = sk_wish_space_print(&p->wish.item[i], &p->device->target, t->keep, &out, err);
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
        .trials = t->trials ? t->trials : t->seconds > 0 ? 0 : t->effort->trials,
        .strategy = t->strategy ? t->strategy : "auto",
        .trials_least = t->seconds > 0 ? 0 : t->effort->trials / 3,
        .seconds = t->seconds > 0 ? job_seconds(p, at) : t->trials ? 0 : t->effort->seconds,
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
    sk_status st = sk_job_make(&item->spec, &item->shape, p->device, t->effort, t->seed, &job, err);
    if (st == SPHKV_OK) {
        if (t->keep) st = sk_space_keep(&job.space, t->keep, err);
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
    if (t->options.json)
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
    if (t->seconds > 0)
        p->seconds = (t->seconds - (p->started - t->started)) / (t->devices.n - number);
    sk_status st = sk_store_open(t->options.db, p->device, t->seed, t->fresh, &t->store, err);
    if (st != SPHKV_OK) return st == SPHKV_ENOTFOUND ? SPHKV_EIO : st;
    if (t->store.warning[0] && number == 0) sk_command_say(PROGRAM, t->store.warning);
    sk_progress_start(&t->progress, p->wish.n, p->seconds, t->quiet);
    if (t->devices.n > 1)
        sk_progress_line(&t->progress, "%s, %s", p->device->name, p->device->arch);
    for (uint32_t i = 0; i < p->wish.n && st == SPHKV_OK && !*stopped; i++)
        st = run_job(t, p, i, stopped, err);
    const sk_results found = {p->device, p->result, p->results};
    if (st == SPHKV_OK && t->report) st = sk_report_collect(&t->store, &found, &p->records, err);
    sk_store_close(&t->store);
    return st;
}

/* The exit code, or `code` when it was written. */
static int write_report(const tune *t, int code, sk_err *err)
{
    sk_records list[SK_DEVICES_MOST];
    if (!t->report) return code;
    for (uint32_t k = 0; k < t->devices.n; k++) list[k] = t->part[k].records;
    if (sk_report_write(t->report, list, t->devices.n, err) == SPHKV_OK) return code;
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
    sk_text_printf(&out, "%s%s\n%s\n%s", help_head, sk_options_spec_help, sk_options_shape_help,
                   help_tail);
    int code = sk_command_print(PROGRAM, &out);
    sk_text_free(&out);
    return code;
}

static int simulate(tune *t, sk_err *err)
{
    sk_simulation_params *p = &t->simulation;
    sk_text out = {0};
    bool stopped;
    p->trials = t->trials ? t->trials : 100;
    p->seed = t->seed;
    p->runs = p->runs ? p->runs : 1;
    p->strategy = t->strategy ? t->strategy : "auto";
    p->stop = sk_command_stop();
    sk_status st = sk_simulate_report(p, t->options.json, &out, &stopped, err);
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
    for (uint32_t i = 0; i < p->wish.n && t->keep; i++) {
        sk_schedule s;
        sk_schedule_begin(p->device->target.backend, &s);
        sk_status st = sk_schedule_parse(p->wish.item[i].spec.kernel, t->keep, &s, err);
        if (st != SPHKV_OK) return st;
    }
    return SPHKV_OK;
}

static sk_status make_part(tune *t, uint32_t number, sk_err *err)
{
    part *p = &t->part[number];
    p->device = &t->devices.device[number];
    sk_status st = make_wish(t, p->device, &p->wish, err);
    if (st == SPHKV_OK) st = sk_shard_keep(&t->shard, &p->wish, err);
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
    sk_status st = sk_devices_find(t->choice, &t->devices, err);
    for (uint32_t i = 0; i < t->devices.n && st == SPHKV_OK; i++) st = make_part(t, i, err);
    if (st != SPHKV_OK) return sk_command_fail(PROGRAM, st, err);
    if (!t->quiet) sk_options_note(&t->options, PROGRAM);
    if (!t->dry_run) return run_all(t, err);
    for (uint32_t i = 0; i < t->devices.n && code == SK_EXIT_DONE; i++)
        code = dry_run(t, &t->part[i], err);
    return code;
}

int main(int argc, char **argv)
{
    static tune t; /* large */
    sk_err err = {0};
    int code;
    t.kernels = ~0u;
    t.seed = 1;
    t.effort = sk_effort_find("normal");
    sk_command_begin();
    t.started = sk_progress_now();
    sk_status st = read_options(&t, argc, argv, &err);
    const bool wishes = !t.help && !t.options.list_models && !t.simulation.file;
    if (st == SPHKV_OK && wishes) st = check_wish(&t, &err);
    if (st == SPHKV_ENOTFOUND || st == SPHKV_EIO) st = SPHKV_EINVAL;
    if (st != SPHKV_OK)
        code = sk_command_fail(PROGRAM, st, &err);
    else
        code = t.help                  ? print_help()
               : t.simulation.file     ? simulate(&t, &err)
               : t.options.list_models ? sk_options_list_models(&t.options, PROGRAM)
                                       : begin(&t, &err);
    for (uint32_t k = 0; k < t.devices.n; k++) {
        part *p = &t.part[k];
        for (uint32_t i = 0; i < p->results; i++) sk_result_free(&p->result[i]);
        sk_free(p->result);
        sk_records_free(&p->records);
        sk_wish_free(&p->wish);
    }
    sk_mixes_free(&t.mixes);
    sk_store_close(&t.store);
    sk_free(t.shard_db);
    return code;
}
