/* sphkv-bench - measures kernels of attention against the dense f16 kernel of
 * the same generator and against the memory's bandwidth, in one run.
 *
 * Speeds of different moments are not compared: everything that stands in one
 * table took turns. Results go to stdout, everything else to stderr. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "bench_wish.h"
#include "command.h"
#include "device_option.h"
#include "install_path.h"
#include "latency.h"
#include "results.h"
#include "wish.h"

#define PROGRAM "sphkv-bench"
#define DENSE SK_BENCH_DENSE

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
    "  --latency            instead: ns per call of sphkv_run when all lists are empty,\n"
    "                       from --threads threads at once, each with its own workspace\n"
    "  --kernels LIST       kernels that take tiers (default attn_decode); page_gather and\n"
    "                       page_decode move the pages of a prefill of up to 2048 tokens,\n"
    "                       their sweep copies; attn_extend takes 512 query tokens at the end\n"
    "                       of the context, beside a plain loop of multiply-adds; kv_encode\n"
    "                       codes the pages of such a prefill, beside that loop, too. With\n"
    "                       kv_append,kv_encode also what both cost a step of decoding, as a\n"
    "                       share of its attention, which is then measured with them\n"
    "  --limits             also what a token costs by its bytes at the sweep's bandwidth; by\n"
    "                       its pages: a plain read of the very pages, in the kernel's order;\n"
    "                       and by its instructions: the same kernel on pages that stay in\n"
    "                       the cache\n"
    "  --schedule S         default, or k=v,... and the rest by default, instead of winners\n"
    "  --effort WORD        quick, normal (default) or full: rounds of a run\n"
    "  --weights FORMAT     also the time of a whole token of --model: attention of all layers\n"
    "                       and one reading of the weights at the sweep's bandwidth. f16 q8_0\n"
    "                       q6_k q5_k q4_k ... or bits per weight; contexts of 8192, 32768\n"
    "                       and 131072 then, unless said, as far as the model goes\n"
    "  --parameters N       how many weights a step reads, instead of the model's own sizes\n"
    "  --markdown           tables in Markdown: a row for each tier, columns for each number\n"
    "                       of threads\n"
    "  --repeat N           runs; the best by roofline is shown (default 3)\n"
    "  --seed N             inputs and turns (default 1)\n"
    "  --device WORD        what to measure: cpu (default); cpu:NAME, with no more than the\n"
    "                       instructions of that CPU (cpu:x86-64-v3); or cuda:N, where dense kf8:vf8\n"
    "                       stands beside dense " DENSE ", and the kernel written by hand\n"
    "                       where there is one; --threads are of a CPU\n"
    "  --db FILE            the database (default $SPHKV_DB, or\n"
    "                       $XDG_CACHE_HOME/sphkv/kernels.db, over the installed ones)\n"
    "  --json               JSON on stdout\n"
    "  --quiet              no progress\n"
    "  --help               this text\n"
    "\n"
    "--tiers may be given several times, or hold several mixes with ; between them. The\n"
    "key first-class stands for each first-class key in turn: first-class:vi8,kf16:vf16\n"
    "(or just first-class); what no kernel does is left out, with the reason on stderr.\n"
    "\n"
    "examples:\n"
    "  sphkv-bench --model llama-3.1-8b --context 8192,32768 --threads 2\n"
    "  sphkv-bench --tiers 'good:vi8,kf16:vf16;lean:vi8,kf16:vf16' --json\n"
    "  sphkv-bench --tiers 'first-class;first-class:vf16,kf16:vf16' --threads 1,2 --markdown\n"
    "  sphkv-bench --model llama-3.1-8b --weights q8_0 --threads 2 --markdown\n"
    "  sphkv-bench --latency --threads 1,2\n"
    "  sphkv-bench --kernels page_gather,page_decode --tiers first-class\n"
    "  sphkv-bench --kernels kv_append,kv_encode --tiers first-class\n"
    "  sphkv-bench --head-dim 64 --heads 8 --kv-heads 2 --schedule w=8,lut=perm\n"
    "\n"
    "exit code: 0 done, 1 something has no verified result or no kernel, memory ran out or\n"
    "the result could not be written, 2 usage, 3 no compiler or device, 4 database,\n"
    "130 interrupted\n";

typedef struct command {
    sk_options options;
    sk_mixes mixes;
    const char *schedule;
    const sk_effort *effort;
    uint32_t kernels; /* mask of SK_FOR */
    uint32_t repeat, seed;
    bool quiet, help, markdown, latency, cached;
    const char *weights; /* format; NULL: no whole tokens */
    double parameters;   /* as said; 0 = from the model */
    const char *choice;  /* of the device */
    sk_device device;
    sk_db_set *set;
    sk_bench_report report;
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
    if (sk_args_is(a, "--weights")) {
        c->weights = text;
        return sk_weight_bits(text, &c->report.bits, err);
    }
    c->effort = sk_effort_find(text);
    if (c->effort) return SPHKV_OK;
    return sk_fail(err, SPHKV_EINVAL, "--effort: '%.60s' is not quick, normal or full", text);
}

static sk_status take_own(command *c, sk_args *a, bool *taken, sk_err *err)
{
    static const char *const words[] = {"--tiers", "--schedule", "--weights", "--effort"};
    *taken = true;
    for (size_t i = 0; i < SK_COUNT(words); i++)
        if (sk_args_is(a, words[i])) return take_word(c, a, err);
    if (sk_args_is(a, "--kernels")) return sk_args_kernels(a, &c->kernels, err);
    if (sk_args_is(a, "--device")) return sk_device_option(a, false, &c->choice, err);
    if (sk_args_is(a, "--repeat")) return sk_args_u32(a, 1, SK_BENCH_RUNS, &c->repeat, err);
    if (sk_args_is(a, "--seed")) return sk_args_u32(a, 0, UINT32_MAX, &c->seed, err);
    if (sk_args_is(a, "--parameters")) return sk_args_f64(a, 1e6, 1e14, &c->parameters, err);
    const sk_flag flags[] = {{"--markdown", &c->markdown}, {"--quiet", &c->quiet},
                             {"--help", &c->help},         {"-h", &c->help},
                             {"--latency", &c->latency},   {"--limits", &c->cached}};
    *taken = sk_args_flag(a, flags, SK_COUNT(flags));
    return SPHKV_OK;
}

/* --weights: a whole token is of a model, all of it. */
static sk_status set_whole_token(command *c, sk_err *err)
{
    double read;
    const sk_model *m = &c->options.about;
    if (!c->weights)
        return c->parameters > 0
                   ? sk_fail(err, SPHKV_EINVAL, "--parameters: only with --weights FORMAT")
                   : SPHKV_OK;
    if (!c->options.model) return sk_fail(err, SPHKV_EINVAL, "--weights: say of which --model");
    const sk_layers *l = sk_model_main(m);
    if (c->options.head_dim != l->head_dim || c->options.heads != m->heads ||
        c->options.kv_heads != l->kv_heads)
        return sk_fail(err, SPHKV_EINVAL, "--weights: heads of another shape are not %.60s", m->name);
    if (c->parameters <= 0 && !sk_model_parameters_read(m, 1, &read))
        return sk_fail(err, SPHKV_EINVAL, "--weights: the sizes of %.60s are not known: give "
                       "--parameters, how many a step reads", m->name);
    c->report.model = m;
    c->report.weights = c->weights;
    c->report.parameters = c->parameters;
    return SPHKV_OK;
}

/* --kernels: side by side stand mixes, so a kernel must take tiers. */
static sk_status check_kernels(const command *c, sk_err *err)
{
    for (uint32_t i = 0; i < SPHKV_KERNEL_COUNT; i++)
        if (c->kernels & SK_FOR(i) &&
            (sk_kernel_row_get(i)->mix == SPHKV_MIX_NONE || i == SPHKV_ATTN_SCHEDULE))
            return sk_fail(err, SPHKV_EINVAL, "--kernels: %s has no tiers to compare",
                           sk_kernel_name(i));
    if (c->kernels != SK_FOR(SPHKV_ATTN_DECODE) && (c->weights || c->markdown || c->latency))
        return sk_fail(err, SPHKV_EINVAL,
                       "--weights, --markdown and --latency are of attn_decode alone");
    if (c->cached && (c->kernels != SK_FOR(SPHKV_ATTN_DECODE) || c->latency ||
                      (c->choice && sk_cuda_named(c->choice, NULL))))
        return sk_fail(err, SPHKV_EINVAL, "--limits: of attn_decode on a CPU alone");
    if (c->latency && c->choice && sk_cuda_named(c->choice, NULL))
        return sk_fail(err, SPHKV_EINVAL, "--latency: of the calls of a CPU, not of a GPU");
    if (c->latency && c->options.variants)
        return sk_fail(err, SPHKV_EINVAL, "--latency: of attention without --variants");
    if (c->latency && (c->weights || c->markdown || c->schedule))
        return sk_fail(err, SPHKV_EINVAL,
                       "--latency is a run of its own: without --weights, --markdown, --schedule");
    return SPHKV_OK;
}

/* Both kernels that keep a cache: what they cost a step is a share of its attention. */
static void want_coding(command *c)
{
    const uint32_t both = SK_FOR(SPHKV_KV_APPEND) | SK_FOR(SPHKV_KV_ENCODE);
    c->report.coding = (c->kernels & both) == both;
    if (c->report.coding) c->kernels |= SK_FOR(SPHKV_ATTN_DECODE);
}

/* Unless said: 8K, and for whole tokens what else the model was made for of 32K
 * and 128K. */
static void set_contexts(command *c)
{
    static const uint32_t longer[] = {32768, 131072};
    if (c->options.context.n) return;
    sk_list_default(&c->options.context, (sk_list){1, {8192}});
    for (size_t i = 0; i < SK_COUNT(longer) && c->weights; i++)
        if (longer[i] <= c->options.about.max_context)
            c->options.context.v[c->options.context.n++] = longer[i];
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
    if (c->options.threads.n && c->choice && sk_cuda_named(c->choice, NULL))
        return sk_fail(err, SPHKV_EINVAL, "--threads: a GPU has none to choose");
    sk_list_default(&c->options.batch, (sk_list){1, {1}});
    sk_list_default(&c->options.threads, (sk_list){1, {1}});
    for (uint32_t i = 0; i < c->options.threads.n; i++)
        if (c->options.threads.v[i] > SK_TEAM_MOST)
            return sk_fail(err, SPHKV_EINVAL, "--threads: at most %u", SK_TEAM_MOST);
    if (c->mixes.n == 0) st = sk_mixes_add(&c->mixes, "good:vi8,kf16:vf16", err);
    if (st == SPHKV_OK) st = sk_options_finish(&c->options, err);
    if (st == SPHKV_OK) st = set_whole_token(c, err);
    if (st == SPHKV_OK) st = check_kernels(c, err);
    want_coding(c);
    set_contexts(c);
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

static int print(command *c)
{
    sk_text out = {0};
    sk_json j = {0};
    if (c->options.json) {
        sk_json_open(&j, NULL, '{');
        sk_results_device_json(&j, &c->device);
        sk_report_json(&c->report, &j);
        sk_json_close(&j, '}');
        sk_text_append(&j.text, "\n", 1);
        out = j.text;
    } else if (c->markdown) {
        sk_report_markdown(&c->report, &out);
    } else {
        if (c->device.target.backend == SK_BACKEND_CUDA)
            sk_text_printf(&out, "%s, %s\n", c->device.name, c->device.arch);
        sk_report_text(&c->report, &out);
    }
    int code = sk_command_print(PROGRAM, &out);
    sk_text_free(&out);
    return code;
}

static int run_latency(command *c, sk_err *err)
{
    const sk_latency ask = {&c->options, &c->mixes, &c->device, c->quiet ? NULL : PROGRAM,
                            c->effort->rounds, c->stop};
    sk_text out = {0};
    sk_status st = sk_latency_measure(&ask, &out, err);
    int code = *c->stop         ? SK_EXIT_STOPPED
               : st != SPHKV_OK ? sk_command_fail(PROGRAM, st, err)
                                : sk_command_print(PROGRAM, &out);
    if (*c->stop) sk_command_say(PROGRAM, "interrupted");
    sk_text_free(&out);
    return code;
}

/* kv_encode of a step: a page of each KV head, beside those of a prefill. */
static void add_tail_pages(const command *c, uint32_t kernel, sk_options *o)
{
    const uint32_t page = o->page ? o->page : 128;
    if (!c->report.coding || kernel != SPHKV_KV_ENCODE || o->context.n == SK_LIST_MAX) return;
    memmove(&o->context.v[1], &o->context.v[0], o->context.n * sizeof o->context.v[0]);
    o->context.v[0] = page;
    o->context.n++;
}

/* What to measure, a wish for each kernel; a mix that is none is found here. Kernels that
 * take tiers of a mix have no yardstick but what was asked for: `asked` mixes. */
static sk_status make_wishes(const command *c, uint32_t asked, sk_wish *wish, sk_err *err)
{
    sk_status st = SPHKV_OK;
    for (uint32_t i = 0; i < SPHKV_KERNEL_COUNT && st == SPHKV_OK; i++) {
        if (!(c->kernels & SK_FOR(i))) continue;
        sk_mixes mixes = c->mixes;
        sk_options options = c->options;
        if (sk_kernel_row_get(i)->mix != SPHKV_MIX_ANY) mixes.n = asked;
        add_tail_pages(c, i, &options);
        st = sk_wish_make(&options, &mixes, SK_FOR(i), &wish[i], err);
        if (st == SPHKV_OK && wish[i].skipped.s) fputs(wish[i].skipped.s, stderr);
    }
    return st;
}

/* A yardstick is the last mix, unless somebody asked for it; *ours: nobody did. */
static sk_status add_yardstick(command *c, const char *mix, bool *ours, sk_err *err)
{
    *ours = true;
    for (uint32_t i = 0; i < c->mixes.n; i++) *ours = *ours && strcmp(c->mixes.mix[i], mix) != 0;
    return *ours ? sk_mixes_add(&c->mixes, mix, err) : SPHKV_OK;
}

static int run_all(command *c, sk_err *err)
{
    sk_wish wish[SPHKV_KERNEL_COUNT] = {0};
    bool stopped = false, dense, fp8 = false;
    const uint32_t asked = c->mixes.n;
    sk_status st = add_yardstick(c, DENSE, &dense, err);
    if (st == SPHKV_OK && c->device.target.backend == SK_BACKEND_CUDA)
        st = add_yardstick(c, SK_BENCH_FP8, &fp8, err);
    if (st == SPHKV_OK) st = make_wishes(c, asked, wish, err);
    if (st == SPHKV_OK) st = open_set(c, err);
    const sk_bench_ask ask = {c->set, &c->device, c->schedule, c->effort->rounds, c->repeat,
                              c->seed, c->quiet ? NULL : PROGRAM, c->stop, dense, fp8,
                              c->cached};
    for (uint32_t i = 0; i < SPHKV_KERNEL_COUNT && st == SPHKV_OK && !stopped; i++)
        st = sk_bench_wish(&ask, &wish[i], false, &c->report, &stopped, err);
    if (st == SPHKV_OK && c->report.model && c->report.model->local.n)
        st = sk_bench_local(&ask, &c->options, &c->mixes, &c->report, &stopped, err);
    for (uint32_t i = 0; i < SPHKV_KERNEL_COUNT; i++) sk_wish_free(&wish[i]);
    if (stopped) {
        sk_command_say(PROGRAM, "interrupted");
        return SK_EXIT_STOPPED;
    }
    if (st != SPHKV_OK) return sk_command_fail(PROGRAM, st, err);
    const int code = print(c);
    for (uint32_t i = 0; i < c->report.n; i++)
        if (c->report.row[i].failed[0]) return SK_EXIT_UNVERIFIED;
    return code;
}

static int begin(command *c, sk_err *err)
{
    static sk_devices found; /* large */
    const sk_status st = sk_devices_find(c->choice, &found, err);
    if (st != SPHKV_OK) return sk_command_fail(PROGRAM, st, err);
    c->device = found.device[0];
    if (!c->quiet) sk_options_note(&c->options, PROGRAM);
    return c->latency ? run_latency(c, err) : run_all(c, err);
}

int main(int argc, char **argv)
{
    command c = {.kernels = SK_FOR(SPHKV_ATTN_DECODE), .repeat = 3, .seed = 1,
                 .effort = sk_effort_find("normal")};
    sk_err err = {0};
    int code;
    sk_command_begin();
    sk_status st = read_options(&c, argc, argv, &err);
    if (st == SPHKV_ENOTFOUND || st == SPHKV_EIO) st = SPHKV_EINVAL;
    if (st != SPHKV_OK) {
        code = sk_command_fail(PROGRAM, st, &err);
    } else if (c.help) {
        sk_text out = {0};
        sk_text_printf(&out, "%s%s\n%s\n%s", help_head, sk_options_spec_help,
                       sk_options_shape_help, help_tail);
        code = sk_command_print(PROGRAM, &out);
        sk_text_free(&out);
    } else if (c.options.list_models) {
        code = sk_options_list_models(&c.options, PROGRAM);
    } else {
        c.stop = sk_command_stop();
        code = begin(&c, &err);
    }
    sk_db_set_close(c.set);
    sk_mixes_free(&c.mixes);
    sk_report_free(&c.report);
    return code;
}
