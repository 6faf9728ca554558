/* sphkv-bench - measures kernels of attention against the dense f16 kernel of
 * the same generator and against the memory's bandwidth, in one run.
 *
 * Speeds of different moments are not compared: everything that stands in one
 * table took turns. Results go to stdout, everything else to stderr. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "command.h"
#include "install_path.h"
#include "results.h"
#include "wish.h"

#define PROGRAM "sphkv-bench"
#define DENSE "kf16:vf16"

static const char help_head[] =
    "sphkv-bench - measures kernels of attention side by side\n"
    "\n"
    "usage: sphkv-bench [options]\n"
    "\n"
    "Winners of the database (the default schedule where there is none) for each mix of\n"
    "--tiers, always with dense " DENSE " and a sweep over as many bytes.\n"
    "\n";
static const char help_tail[] =
    "the run:\n"
    "  --schedule S         default, or k=v,... over the default, instead of winners\n"
    "  --effort WORD        quick, normal (default) or full: rounds of a run\n"
    "  --repeat N           runs; the best by roofline is shown (default 3)\n"
    "  --seed N             inputs and turns (default 1)\n"
    "  --device cpu         what to measure\n"
    "  --db FILE            the database (default $SPHKV_DB, or\n"
    "                       $XDG_CACHE_HOME/sphkv/kernels.db, over the installed ones)\n"
    "  --json               JSON on stdout\n"
    "  --quiet              no progress\n"
    "  --help               this text\n"
    "\n"
    "--tiers may be given several times, or hold several mixes with ; between them.\n"
    "\n"
    "examples:\n"
    "  sphkv-bench --model llama-3.1-8b --context 8192,32768 --threads 2\n"
    "  sphkv-bench --tiers 'good:vi8,kf16:vf16;lean:vi8,kf16:vf16' --json\n"
    "  sphkv-bench --head-dim 64 --heads 8 --kv-heads 2 --schedule w=8,lut=perm\n"
    "\n"
    "exit code: 0 done, 1 something has no verified result, 2 usage, 3 no compiler or\n"
    "device, 4 database, 130 interrupted\n";

typedef struct command {
    sk_options options;
    sk_mixes mixes;
    const char *schedule;
    const sk_effort *effort;
    uint32_t repeat, seed;
    bool quiet, help;
    sk_device device;
    sk_db_set *set;
    bool unverified;
    sk_text table; /* for people */
    sk_json json;
    const volatile int *stop; /* set by a signal */
} command;

/* ---- options ------------------------------------------------------------------ */

static sk_status take_word(command *c, sk_args *a, sk_err *err)
{
    const char *text;
    sk_status st = sk_args_value(a, &text, err);
    if (st != SPHKV_OK) return st;
    if (sk_args_is(a, "--tiers")) return sk_mixes_add(&c->mixes, text, err);
    if (sk_args_is(a, "--schedule")) {
        c->schedule = text;
        return SPHKV_OK;
    }
    if (sk_args_is(a, "--effort")) {
        c->effort = sk_effort_find(text);
        if (c->effort) return SPHKV_OK;
        return sk_fail(err, SPHKV_EINVAL, "--effort: '%.60s' is not quick, normal or full", text);
    }
    if (strcmp(text, "cpu") == 0) return SPHKV_OK;
    if (strncmp(text, "cuda", 4) == 0)
        return sk_fail(err, SPHKV_EDEVICE, "--device %.40s: this build has no CUDA back end yet",
                       text);
    return sk_fail(err, SPHKV_EINVAL, "--device: '%.60s' is neither cpu nor cuda:N", text);
}

static sk_status take_own(command *c, sk_args *a, bool *taken, sk_err *err)
{
    static const char *const words[] = {"--tiers", "--schedule", "--effort", "--device"};
    *taken = true;
    for (size_t i = 0; i < SK_COUNT(words); i++)
        if (sk_args_is(a, words[i])) return take_word(c, a, err);
    if (sk_args_is(a, "--repeat")) return sk_args_u32(a, 1, SK_BENCH_RUNS, &c->repeat, err);
    if (sk_args_is(a, "--seed")) return sk_args_u32(a, 0, UINT32_MAX, &c->seed, err);
    c->quiet |= sk_args_is(a, "--quiet");
    c->help |= sk_args_is(a, "--help");
    *taken = sk_args_is(a, "--quiet") || sk_args_is(a, "--help");
    return SPHKV_OK;
}

static void set_default(sk_list *list, uint32_t value)
{
    if (list->n == 0) *list = (sk_list){1, {value}};
}

static sk_status read_options(command *c, int argc, char **argv, sk_err *err)
{
    sk_args a;
    sk_status st;
    sk_args_begin(&a, argc, argv);
    while ((st = sk_args_next(&a, err)) == SPHKV_OK && a.word) {
        bool taken = false;
        st = take_own(c, &a, &taken, err);
        if (st == SPHKV_OK && !taken) st = sk_options_take(&c->options, &a, &taken, err);
        if (st != SPHKV_OK) return st;
        if (!taken) return sk_fail(err, SPHKV_EINVAL, "unknown option '%.60s'", a.word);
        if (c->help) return SPHKV_OK;
    }
    if (st != SPHKV_OK || c->options.list_models) return st;
    if (!c->options.model && !c->options.head_dim) c->options.model = "llama-3.1-8b";
    set_default(&c->options.context, 8192);
    set_default(&c->options.batch, 1);
    set_default(&c->options.threads, 1);
    for (uint32_t i = 0; i < c->options.threads.n; i++)
        if (c->options.threads.v[i] > SK_TEAM_MOST)
            return sk_fail(err, SPHKV_EINVAL, "--threads: at most %u", SK_TEAM_MOST);
    if (c->mixes.n == 0) st = sk_mixes_add(&c->mixes, "good:vi8,kf16:vf16", err);
    return st == SPHKV_OK ? sk_options_finish(&c->options, err) : st;
}

/* ---- one shape ------------------------------------------------------------------ */

static void print_table(command *c, const sk_bench *b)
{
    sk_text *t = &c->table;
    sk_text_printf(t, "attn_decode d%u heads %u/%u page %u context %u batch %u threads %u %s\n",
                   c->options.head_dim, c->options.heads, c->options.kv_heads,
                   b->lane[0].spec.page, b->shape.context, b->shape.batch, b->shape.threads,
                   sk_accuracy_name(c->options.accuracy));
    sk_text_printf(t, "%10s %9s %9s %7s %9s %7s %8s  %s\n", "median us", "ns/tok-hd", "B/tok-hd",
                   "GB/s", "sweep", "roofl.", "vs f16", "tiers");
    for (uint32_t i = 0; i < b->lanes; i++) {
        const sk_bench_lane *lane = &b->lane[i];
        const sk_bench_run *r = &b->run[i][sk_bench_best(b, i)];
        if (lane->failed[0]) {
            sk_text_printf(t, "%s: no verified result: %s\n", lane->tiers, lane->failed);
            continue;
        }
        sk_text_printf(t, "%10.2f %9.3f %9.1f %7.2f %9.2f %7.3f %7.2fx  %s\n", r->median_us,
                       r->median_us * 1e3 / b->token_heads, b->bytes[i] / b->token_heads,
                       b->bytes[i] / r->median_us * 1e-3, b->bytes[i] / r->sweep_us * 1e-3,
                       r->roofline, r->vs_dense, lane->tiers);
        sk_text_printf(t, "%10s %s (%s)\n", "", lane->schedule_text, lane->how);
    }
}

static void run_json(sk_json *j, const sk_bench *b, uint32_t lane, const sk_bench_run *r)
{
    sk_json_f64(j, "median_us", r->median_us);
    sk_json_f64(j, "ns_per_token_head", r->median_us * 1e3 / b->token_heads);
    sk_json_f64(j, "gbps", b->bytes[lane] / r->median_us * 1e-3);
    sk_json_f64(j, "bandwidth_gbps", b->bytes[lane] / r->sweep_us * 1e-3);
    sk_json_f64(j, "roofline", r->roofline);
    if (r->vs_dense > 0)
        sk_json_f64(j, "vs_dense_f16", r->vs_dense);
    else
        sk_json_text(j, "vs_dense_f16", NULL);
}

static void lane_json(command *c, const sk_bench *b, uint32_t i)
{
    sk_json *j = &c->json;
    const sk_bench_lane *lane = &b->lane[i];
    sk_json_open(j, NULL, '{');
    sk_json_text(j, "kernel", sk_kernel_name(lane->spec.kernel));
    sk_json_text(j, "tiers", lane->tiers);
    sk_json_u64(j, "head_dim", lane->spec.d);
    sk_json_u64(j, "heads", b->shape.kv_heads * lane->spec.heads_per_kv);
    sk_json_u64(j, "kv_heads", b->shape.kv_heads);
    sk_json_u64(j, "context", b->shape.context);
    sk_json_u64(j, "batch", b->shape.batch);
    sk_json_u64(j, "threads", b->shape.threads);
    sk_json_text(j, "accuracy", sk_accuracy_name(lane->spec.accuracy));
    sk_json_text(j, "schedule", lane->schedule_text);
    sk_json_text(j, "match", lane->how);
    sk_json_bool(j, "verified", !lane->failed[0]);
    if (lane->failed[0]) {
        sk_json_text(j, "message", lane->failed);
    } else {
        sk_json_f64(j, "bytes_per_token_head", b->bytes[i] / b->token_heads);
        sk_json_f64(j, "max_rel_err", b->error[i]);
        run_json(j, b, i, &b->run[i][sk_bench_best(b, i)]);
        sk_json_open(j, "runs", '[');
        for (uint32_t r = 0; r < b->repeat; r++) {
            sk_json_open(j, NULL, '{');
            run_json(j, b, i, &b->run[i][r]);
            sk_json_close(j, '}');
        }
        sk_json_close(j, ']');
    }
    sk_json_close(j, '}');
}

/* The items of a wish that are of this shape become lanes; dense f16 is one of
 * them already. */
static sk_status fill_lanes(command *c, const sk_wish *wish, sk_bench *b, sk_err *err)
{
    for (uint32_t i = 0; i < wish->n; i++) {
        const sk_wish_item *item = &wish->item[i];
        if (memcmp(&item->shape, &b->shape, sizeof b->shape) != 0) continue;
        if (b->lanes == SK_BENCH_LANES)
            return sk_fail(err, SPHKV_EINVAL, "more than %u mixes at once", SK_BENCH_LANES - 1);
        sk_bench_lane *lane = &b->lane[b->lanes];
        sk_status st = sk_bench_pick(c->set, &c->device, &item->spec, &b->shape, c->schedule, lane,
                                     err);
        if (st == SPHKV_EUNSUPPORTED) {
            snprintf(lane->failed, sizeof lane->failed, "%.399s", err->message);
            sk_text tiers = {0};
            sk_mix_print(item->spec.tier, item->spec.ntiers, &tiers);
            lane->tiers = tiers.s;
            lane->schedule_text = sk_strdup("");
            if (tiers.failed || !lane->schedule_text)
                return sk_fail(err, SPHKV_ENOMEM, "no memory for a lane");
        } else if (st != SPHKV_OK) {
            return st;
        }
        lane->dense = strcmp(lane->tiers, DENSE) == 0;
        if (lane->dense) b->dense = b->lanes;
        if (strncmp(lane->how, "default", 7) == 0 && !c->schedule && !c->quiet)
            fprintf(stderr, "sphkv-bench: %s: no winner in the database%s: its default schedule\n",
                    lane->tiers, lane->how + 7);
        b->lanes++;
    }
    return SPHKV_OK;
}

static sk_status bench_shape(command *c, const sk_wish *wish, const sk_shape *shape, bool *stopped,
                             sk_err *err)
{
    sk_bench_lane lane[SK_BENCH_LANES];
    sk_bench *b = sk_calloc(1, sizeof *b);
    if (!b) return sk_fail(err, SPHKV_ENOMEM, "no memory for a bench");
    memset(lane, 0, sizeof lane);
    b->shape = *shape;
    b->lane = lane;
    b->device = &c->device;
    b->rounds = c->effort->rounds;
    b->repeat = c->repeat;
    b->seed = c->seed;
    if (!c->quiet)
        fprintf(stderr, "context %u batch %u threads %u\n", shape->context, shape->batch,
                shape->threads);
    sk_status st = fill_lanes(c, wish, b, err);
    if (st == SPHKV_OK) st = sk_bench_measure(b, c->stop, stopped, err);
    if (st == SPHKV_OK) {
        print_table(c, b);
        for (uint32_t i = 0; i < b->lanes; i++) {
            c->unverified = c->unverified || lane[i].failed[0];
            lane_json(c, b, i);
        }
    }
    for (uint32_t i = 0; i < SK_BENCH_LANES; i++) sk_bench_lane_free(&lane[i]);
    sk_free(b);
    return st;
}

/* ---- the whole -------------------------------------------------------------------- */

static sk_status open_set(command *c, sk_err *err)
{
    char *installed = NULL;
    (void)sk_install_db_dir(&installed, NULL);
    sk_status st = sk_db_set_open(c->options.db, installed, SK_DB_SET_READ_ONLY, &c->set, err);
    sk_free(installed);
    if (st != SPHKV_OK) return st;
    if (c->set->memory_only && c->options.db)
        return sk_fail(err, SPHKV_EDB, "%s%.400s", c->set->warning[0] ? "" : "no database at ",
                       c->set->warning[0] ? c->set->warning : c->options.db);
    if (c->set->warning[0]) sk_command_say(PROGRAM, c->set->warning);
    return SPHKV_OK;
}

/* Every shape once, in the order they were asked for. */
static sk_status bench_all(command *c, const sk_wish *wish, bool *stopped, sk_err *err)
{
    sk_status st = SPHKV_OK;
    sk_json_open(&c->json, NULL, '{');
    sk_results_device_json(&c->json, &c->device);
    sk_json_open(&c->json, "results", '[');
    for (uint32_t i = 0; i < wish->n && st == SPHKV_OK; i++) {
        bool done = false;
        for (uint32_t k = 0; k < i; k++)
            done = done || memcmp(&wish->item[k].shape, &wish->item[i].shape, sizeof(sk_shape)) == 0;
        if (!done) st = bench_shape(c, wish, &wish->item[i].shape, stopped, err);
    }
    sk_json_close(&c->json, ']');
    sk_json_close(&c->json, '}');
    sk_text_append(&c->json.text, "\n", 1);
    return st;
}

static int run_all(command *c, sk_err *err)
{
    sk_wish wish = {0};
    bool stopped = false, dense = false;
    for (uint32_t i = 0; i < c->mixes.n; i++) dense = dense || !strcmp(c->mixes.mix[i], DENSE);
    sk_status st = dense ? SPHKV_OK : sk_mixes_add(&c->mixes, DENSE, err);
    if (st == SPHKV_OK)
        st = sk_wish_make(&c->options, &c->mixes, SK_FOR(SPHKV_ATTN_DECODE), &wish, err);
    if (st == SPHKV_OK) st = open_set(c, err);
    if (st == SPHKV_OK) st = bench_all(c, &wish, &stopped, err);
    sk_wish_free(&wish);
    if (stopped) {
        sk_command_say(PROGRAM, "interrupted");
        return SK_EXIT_STOPPED;
    }
    if (st != SPHKV_OK) return sk_command_fail(PROGRAM, st, err);
    int code = sk_command_print(PROGRAM, c->options.json ? &c->json.text : &c->table);
    return c->unverified ? SK_EXIT_UNVERIFIED : code;
}

int main(int argc, char **argv)
{
    command c = {.repeat = 3, .seed = 1, .effort = sk_effort_find("normal")};
    sk_err err = {0};
    int code;
    sk_command_begin();
    sk_status st = read_options(&c, argc, argv, &err);
    if (st == SPHKV_ENOTFOUND || st == SPHKV_EIO) st = SPHKV_EINVAL;
    if (st != SPHKV_OK) {
        code = sk_command_fail(PROGRAM, st, &err);
    } else if (c.help) {
        sk_text_printf(&c.table, "%s%s\n%s\n%s", help_head, sk_options_spec_help,
                       sk_options_shape_help, help_tail);
        code = sk_command_print(PROGRAM, &c.table);
    } else if (c.options.list_models) {
        code = sk_options_list_models(&c.options, PROGRAM);
    } else {
        c.stop = sk_command_stop();
        sk_device_host(&c.device);
        if (!c.quiet) sk_options_note(&c.options, PROGRAM);
        code = run_all(&c, &err);
    }
    sk_db_set_close(c.set);
    sk_mixes_free(&c.mixes);
    sk_text_free(&c.table);
    sk_text_free(&c.json.text);
    return code;
}
