/* tune_ask.c - see tune_ask.h. */
#include "tune_ask.h"

#include <stdio.h>
#include <string.h>

#include "layouts.h"
#include "pick.h"
#include "strategy.h"

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

static sk_status take_effort(sk_tune_ask *t, sk_args *a, sk_err *err)
{
    const char *text;
    sk_status st = sk_args_value(a, &text, err);
    if (st != SPHKV_OK) return st;
    t->effort = sk_effort_find(text);
    return t->effort ? SPHKV_OK
                     : sk_fail(err, SPHKV_EINVAL, "--effort: '%.60s' is not quick, normal or full",
                               text);
}

static sk_status take_strategy(sk_tune_ask *t, sk_args *a, sk_err *err)
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

static sk_status take_own(sk_tune_ask *t, sk_args *a, bool *taken, sk_err *err)
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
    const sk_flag flags[] = {{"--fresh", &t->fresh},
                             {"--dry-run", &t->dry_run},
                             {"--quiet", &t->quiet},
                             {"--help", &t->help},
                             {"-h", &t->help}};
    *taken = sk_args_flag(a, flags, SK_COUNT(flags));
    return SPHKV_OK;
}

/* A part of the work has a database of its own. */
static sk_status take_shard(sk_tune_ask *t, sk_err *err)
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
static sk_status check_simulation(const sk_tune_ask *t, sk_err *err)
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

/* A report that cannot be written is said before the search, not behind it. */
static sk_status try_report(const sk_tune_ask *t, sk_err *err)
{
    sk_err why = {0};
    if (!t->report || sk_file_try(t->report, &why) == SPHKV_OK) return SPHKV_OK;
    return sk_fail(err, SPHKV_EINVAL, "--report: %s; name a file in a folder that can be written",
                   why.message);
}

sk_status sk_tune_ask_read(sk_tune_ask *t, int argc, char **argv, sk_err *err)
{
    sk_args a;
    sk_status st;
    t->kernels = ~0u;
    t->seed = 1;
    t->effort = sk_effort_find("normal");
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
    sk_list_default(&t->options.context, (sk_list){1, {8192}});
    sk_list_default(&t->options.batch, (sk_list){1, {1}});
    sk_list_default(&t->options.threads, (sk_list){1, {1}});
    for (uint32_t i = 0; i < t->options.threads.n; i++)
        if (t->options.threads.v[i] > SK_TEAM_MOST)
            return sk_fail(err, SPHKV_EINVAL, "--threads: at most %u", SK_TEAM_MOST);
    if (t->mixes.n == 0) st = sk_mixes_add(&t->mixes, "good:vi8,kf16:vf16", err);
    if (st == SPHKV_OK) st = sk_options_finish(&t->options, err);
    if (st == SPHKV_OK) st = try_report(t, err);
    return st == SPHKV_OK ? take_shard(t, err) : st;
}

void sk_tune_ask_free(sk_tune_ask *t)
{
    sk_mixes_free(&t->mixes);
    sk_free(t->shard_db);
}

void sk_tune_help(sk_text *out)
{
    sk_text_printf(out, "%s%s\n%s\n%s", help_head, sk_options_spec_help, sk_options_shape_help,
                   help_tail);
}
