/* db_build.c - see db_build.h. Results go to stdout: a table, or JSON; a line for
 * each spec goes to stderr as it is done. */
#include "db_build.h"

#include <stdio.h>
#include <string.h>

#include "command.h"
#include "json.h"
#include "prebuild.h"

#define PROGRAM "sphkv-db build"
#define MODELS_MOST 32u

static const char help_head[] =
    "sphkv-db build - fills a database with kernels for GPUs that are not here\n"
    "\n"
    "usage: sphkv-db build --arch LIST --db FILE [options]\n"
    "\n"
    "Compiles, for each spec and architecture, the default schedule and the ones that a\n"
    "model of a card of that architecture ranks best, with NVRTC: no GPU, no driver. What\n"
    "it stores is marked as predicted; what sphkv-tune measures comes before it. Run\n"
    "again, it leaves alone what is there already.\n"
    "\n"
    "  --arch LIST          sm_75, sm_80, sm_86, sm_89, sm_90, sm_90a, sm_100, sm_120 ...\n"
    "  --db FILE            where to; made when absent\n"
    "  --model NAME|FILE    may be given several times, or hold several with commas\n"
    "  --kernels LIST       which kernels (default attn_decode):" SK_KERNEL_NAMES "\n"
    "  --keep N             schedules per spec and architecture, the default among them\n"
    "                       (default 3, at most 8)\n"
    "  --jobs N             compilers at once (default: one per CPU)\n"
    "  --json               JSON on stdout\n"
    "  --quiet              no progress\n"
    "  --help               this text\n"
    "\n";

static const char help_tail[] =
    "\n"
    "examples:\n"
    "  sphkv-db build --arch sm_80,sm_90 --model llama-3.1-8b --db gpus.db\n"
    "  sphkv-db build --arch sm_86 --model qwen3-8b --model llama-3.2-1b --db gpus.db \\\n"
    "      --tiers 'good:vi8,kf16:vf16' --context 8192,32768 --batch 1,32\n"
    "\n"
    "exit code: 0 done, 1 something could not be built, 2 usage, 3 no compiler,\n"
    "4 database, 130 interrupted (what was built is kept)\n";

typedef struct build_command {
    sk_options options;
    sk_mixes mixes;
    const char *model[MODELS_MOST];
    uint32_t nmodel, kernels, keep, jobs;
    const char *arch;
    bool help, quiet;
    sk_prebuild prebuild;
    const volatile int *stop;
} build_command;

/* ---- command line ------------------------------------------------------------------- */

/* Cuts at commas, in a copy that the command keeps; several of these make a list. */
static sk_status take_models(build_command *c, const char *text, sk_err *err)
{
    char *copy = sk_strdup(text);
    if (!copy) return sk_fail(err, SPHKV_ENOMEM, "no memory");
    for (char *word = copy; word; ) {
        char *comma = strchr(word, ',');
        if (comma) *comma = '\0';
        if (c->nmodel == MODELS_MOST)
            return sk_fail(err, SPHKV_EINVAL, "--model: at most %u", MODELS_MOST);
        c->model[c->nmodel] = sk_strdup(word);
        if (!c->model[c->nmodel++]) break;
        word = comma ? comma + 1 : NULL;
    }
    sk_free(copy);
    return c->nmodel && c->model[c->nmodel - 1] ? SPHKV_OK
                                                : sk_fail(err, SPHKV_ENOMEM, "no memory");
}

static sk_status take_word(build_command *c, sk_args *a, sk_err *err)
{
    const char *text;
    bool taken = true;
    if (sk_args_is(a, "--kernels")) return sk_args_kernels(a, &c->kernels, err);
    if (sk_args_is(a, "--keep")) return sk_args_u32(a, 1, SK_RANK_KEPT, &c->keep, err);
    if (sk_args_is(a, "--jobs")) return sk_args_u32(a, 1, SK_WORKERS_MOST, &c->jobs, err);
    if (sk_args_is(a, "--arch")) return sk_args_value(a, &c->arch, err);
    if (sk_args_is(a, "--model") || sk_args_is(a, "--tiers")) {
        const bool model = sk_args_is(a, "--model");
        const sk_status st = sk_args_value(a, &text, err);
        if (st != SPHKV_OK) return st;
        return model ? take_models(c, text, err) : sk_mixes_add(&c->mixes, text, err);
    }
    if (sk_args_is(a, "--help") || sk_args_is(a, "-h"))
        c->help = true;
    else if (sk_args_is(a, "--quiet"))
        c->quiet = true;
    else {
        const sk_status st = sk_options_take(&c->options, a, &taken, err);
        if (st != SPHKV_OK) return st;
    }
    return taken ? SPHKV_OK : sk_fail(err, SPHKV_EINVAL, "unknown option '%.60s'", a->word);
}

/* The specs of one model, or of the options alone (name NULL). */
static sk_status add_model(build_command *c, const char *name, sk_err *err)
{
    sk_options o = c->options;
    sk_wish wish = {0};
    char option[] = "--model", program[] = "";
    char *argv[] = {program, option, (char *)(uintptr_t)name};
    sk_args a;
    bool taken = true;
    sk_status st = SPHKV_OK;
    if (name) {
        sk_args_begin(&a, 3, argv);
        st = sk_args_next(&a, err);
        if (st == SPHKV_OK) st = sk_options_take(&o, &a, &taken, err);
    }
    if (st == SPHKV_OK) st = sk_options_finish(&o, err);
    if (st == SPHKV_OK) st = sk_wish_make(&o, &c->mixes, c->kernels, &wish, err);
    if (st == SPHKV_OK) st = sk_prebuild_add(&c->prebuild, &wish, err);
    if (wish.skipped.s && !c->quiet) fputs(wish.skipped.s, stderr);
    sk_wish_free(&wish);
    return st;
}

static sk_status read_options(build_command *c, int argc, char **argv, sk_err *err)
{
    sk_args a;
    sk_status st;
    sk_args_begin(&a, argc, argv);
    while ((st = sk_args_next(&a, err)) == SPHKV_OK && a.word && !c->help)
        if ((st = take_word(c, &a, err)) != SPHKV_OK) return st;
    if (st != SPHKV_OK || c->help) return st;
    if (!c->arch) return sk_fail(err, SPHKV_EINVAL, "--arch: which architectures?");
    if (!c->options.db) return sk_fail(err, SPHKV_EINVAL, "--db: into which database?");
    sk_list_default(&c->options.context, (sk_list){2, {8192, 32768}});
    sk_list_default(&c->options.batch, (sk_list){2, {1, 32}});
    sk_list_default(&c->options.threads, (sk_list){1, {1}});
    if (c->mixes.n == 0) st = sk_mixes_add(&c->mixes, "good:vi8,kf16:vf16", err);
    if (st == SPHKV_OK) st = sk_prebuild_archs(&c->prebuild, c->arch, err);
    if (st == SPHKV_OK && c->nmodel == 0 && !c->options.head_dim)
        return sk_fail(err, SPHKV_EINVAL, "--model or --head-dim: which specs?");
    if (st == SPHKV_OK && c->nmodel == 0) st = add_model(c, NULL, err);
    for (uint32_t i = 0; i < c->nmodel && st == SPHKV_OK; i++) st = add_model(c, c->model[i], err);
    return st;
}

/* ---- result -------------------------------------------------------------------------- */

static void json_card(const build_command *c, uint32_t item, uint32_t card, sk_json *j)
{
    const sk_prebuild_item *it = &c->prebuild.item[item];
    const sk_prebuild_card *r = &c->prebuild.result[item].card[card];
    sk_json_open(j, NULL, '{');
    sk_json_text(j, "arch", c->prebuild.card[card].arch);
    sk_json_text(j, "card", c->prebuild.card[card].model->card);
    sk_json_text(j, "state", r->found ? "found" : r->done ? "built" : "failed");
    if (r->why[0]) sk_json_text(j, "why", r->why);
    if (r->done) sk_json_text(j, "schedule", r->schedule);
    if (r->done && !r->found) {
        sk_json_u64(j, "kept", r->kept);
        sk_json_u64(j, "dropped", r->dropped);
        sk_json_u64(j, "code_bytes", r->code_bytes);
        sk_json_u64(j, "default_registers", r->registers);
        sk_json_u64(j, "default_shared_bytes", r->shared_bytes);
        sk_json_u64(j, "default_spill_bytes", r->spill_bytes);
    }
    sk_json_open(j, "shapes", '[');
    for (uint32_t i = 0; r->done && i < it->nshape; i++) {
        sk_json_open(j, NULL, '{');
        sk_json_u64(j, "batch", it->shape[i].batch);
        sk_json_u64(j, "context", it->shape[i].context);
        sk_json_f64(j, "predicted_us", r->us[i]);
        sk_json_f64(j, "predicted_speedup", r->speedup[i]);
        sk_json_close(j, '}');
    }
    sk_json_close(j, ']');
    sk_json_close(j, '}');
}

static void print_json(const build_command *c, sk_text *out)
{
    sk_json j = {0};
    sk_json_open(&j, NULL, '[');
    for (uint32_t i = 0; i < c->prebuild.items; i++) {
        sk_text spec = {0};
        sk_spec_print(&c->prebuild.item[i].spec, &spec);
        sk_json_open(&j, NULL, '{');
        sk_json_text(&j, "kernel", sk_kernel_name(c->prebuild.item[i].spec.kernel));
        sk_json_text(&j, "spec", spec.s);
        sk_json_open(&j, "cards", '[');
        for (uint32_t k = 0; k < c->prebuild.cards; k++) json_card(c, i, k, &j);
        sk_json_close(&j, ']');
        sk_json_close(&j, '}');
        sk_text_free(&spec);
    }
    sk_json_close(&j, ']');
    *out = j.text;
    sk_text_append(out, "\n", 1);
}

static void text_card(const build_command *c, uint32_t item, uint32_t card, sk_text *out)
{
    const sk_prebuild_card *r = &c->prebuild.result[item].card[card];
    sk_text_printf(out, "  %-8s ", c->prebuild.card[card].arch);
    if (!r->done) {
        sk_text_printf(out, "not built: %s\n", r->why[0] ? r->why : "interrupted");
        return;
    }
    sk_text_printf(out, "predicted %8.1f us, %5.2f of the default  %s", r->us[0],
                   r->speedup[0] > 0 ? 1 / r->speedup[0] : 0, r->schedule);
    if (r->found)
        sk_text_printf(out, "  (found)\n");
    else
        sk_text_printf(out, "  (%u kept, %u dropped; default: %u registers, %u bytes shared, %u "
                       "spilled)\n", r->kept, r->dropped, r->registers, r->shared_bytes,
                       r->spill_bytes);
}

static void print_text(const build_command *c, sk_text *out)
{
    for (uint32_t i = 0; i < c->prebuild.items; i++) {
        const sk_prebuild_item *it = &c->prebuild.item[i];
        sk_text_printf(out, "%s ", sk_kernel_name(it->spec.kernel));
        sk_spec_mix_print(&it->spec, out);
        sk_text_printf(out, " d%u h%u, batch %u, context %u\n", it->spec.d, it->spec.heads_per_kv,
                       it->shape[0].batch, it->shape[0].context);
        for (uint32_t k = 0; k < c->prebuild.cards; k++) text_card(c, i, k, out);
    }
}

/* ---- running --------------------------------------------------------------------------- */

static bool go_on(void *user)
{
    return !*((const build_command *)user)->stop;
}

static int result_code(const build_command *c)
{
    int code = SK_EXIT_DONE;
    for (uint32_t i = 0; i < c->prebuild.items; i++) {
        const sk_prebuild_result *r = &c->prebuild.result[i];
        if (r->status == SPHKV_EDB || r->status == SPHKV_EIO) return SK_EXIT_DB;
        for (uint32_t k = 0; k < c->prebuild.cards; k++)
            if (!r->card[k].done) code = SK_EXIT_UNVERIFIED;
    }
    return code;
}

/* The database is made, and the compiler looked for, before anything begins. */
static sk_status prepare(build_command *c, sk_err *err)
{
    sk_db *db = NULL;
    sk_status st = sk_prebuild_compiler(err);
    if (st == SPHKV_OK) {
        st = sk_db_open(c->options.db, SK_DB_CREATE, &db, err);
        if (st != SPHKV_OK && st != SPHKV_ENOMEM) st = SPHKV_EDB;
    }
    sk_db_close(db);
    return st;
}

static int run(build_command *c)
{
    sk_err err = {0};
    sk_progress progress;
    sk_text out = {0};
    bool stopped = false;
    sk_status st = prepare(c, &err);
    if (st == SPHKV_ECOMPILE) st = SPHKV_EDEVICE;
    if (st != SPHKV_OK) return sk_command_fail(PROGRAM, st, &err);
    c->prebuild.db_path = c->options.db;
    c->prebuild.keep = c->keep;
    c->prebuild.seats = c->jobs;
    sk_progress_start(&progress, c->prebuild.items, 0, c->quiet);
    st = sk_prebuild_run(&c->prebuild, &progress, go_on, c, &stopped, &err);
    if (st != SPHKV_OK) return sk_command_fail(PROGRAM, st, &err);
    (c->options.json ? print_json : print_text)(c, &out);
    const int printed = sk_command_print(PROGRAM, &out);
    sk_text_free(&out);
    if (stopped) return SK_EXIT_STOPPED;
    const int code = result_code(c);
    return code ? code : printed;
}

static int print_help(void)
{
    sk_text out = {0};
    sk_text_printf(&out, "%s%s\n%s%s", help_head, sk_options_spec_help, sk_options_shape_help,
                   help_tail);
    const int code = sk_command_print(PROGRAM, &out);
    sk_text_free(&out);
    return code;
}

int sk_db_build(int argc, char **argv)
{
    build_command c = {.kernels = SK_FOR(SPHKV_ATTN_DECODE), .keep = 3};
    sk_err err = {0};
    c.stop = sk_command_stop();
    const sk_status st = read_options(&c, argc - 1, argv + 1, &err);
    const int code = st != SPHKV_OK ? sk_command_fail(PROGRAM, st, &err)
                     : c.help       ? print_help()
                                    : run(&c);
    for (uint32_t i = 0; i < c.nmodel; i++) sk_free((void *)(uintptr_t)c.model[i]);
    sk_mixes_free(&c.mixes);
    sk_prebuild_free(&c.prebuild);
    return code;
}
