/* sphkv-gen - prints a kernel as the generator makes it, for any CPU or GPU, with any
 * schedule: lane IR, or what comes of it on the way to machine code.
 *
 * Reads no database: what the tuner chose is said by sphkv-db show, and its
 * schedule can be given here. The kernel goes to stdout (or --out), what it is
 * to stderr, so that the output can be piped. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "gen.h"
#include "json.h"
#include "options.h"

#define PROGRAM "sphkv-gen"

static const char help_head[] =
    "sphkv-gen - prints a kernel as the generator makes it\n"
    "\n"
    "usage: sphkv-gen --kernel NAME [--emit FORM] [options]\n"
    "       sphkv-gen --list [--json]\n"
    "\n"
    "  --kernel NAME        which; --list shows them (default attn_decode)\n"
    "  --emit FORM          ir (default); for a CPU llvm, asm or obj, which need the compiler\n"
    "                       module; for a GPU cuda, and by NVRTC ptx, cubin or resources\n"
    "                       (registers, spills, shared memory)\n"
    "  --arch NAME          for which CPU, in LLVM's words (default host), or GPU (default\n"
    "                       sm_90); --cpu is the same\n"
    "  --schedule K=V,...   values of tunables; the rest by the kernel's default, or the\n"
    "                       nearest that goes with them\n"
    "  --out FILE           write there instead of stdout\n"
    "  --json               facts and text as JSON; with --list, the list\n"
    "  --list               kernels, tunables, CPUs and GPUs\n"
    "  --help               this text\n"
    "\n";

static const char help_tail[] =
    "\n"
    "examples:\n"
    "  sphkv-gen --kernel attn_decode --head-dim 128 --heads-per-kv 4\n"
    "  sphkv-gen --heads-per-kv 4 --tiers good:vi8 --emit asm --cpu znver3\n"
    "  sphkv-gen --heads-per-kv 4 --schedule w=16,lut=perm --emit llvm --cpu x86-64-v4\n"
    "  sphkv-gen --kernel kv_encode --tiers low:vi8,kf16:vf16 --emit obj --out low.o\n"
    "  sphkv-gen --heads-per-kv 4 --tiers good:vi8,low:vi4 --emit cuda\n"
    "  sphkv-gen --heads-per-kv 4 --emit resources --arch sm_80\n"
    "\n"
    "exit code: 0 done, 1 no kernel does this or the result cannot be written, 2 usage,\n"
    "3 no compiler\n";

typedef struct gen_options {
    sk_options shared;
    uint32_t kernel;
    const char *emit;     /* "ir" ... */
    const sk_gen_form *form; /* which that is */
    const char *arch;     /* or NULL */
    const char *schedule; /* differences, or NULL */
    const char *out;      /* file, or NULL */
    bool list, help;
} gen_options;

/* ---- command line ----------------------------------------------------------------- */

static sk_status take_kernel(gen_options *o, sk_args *a, sk_err *err)
{
    const char *name;
    sk_status st = sk_args_value(a, &name, err);
    if (!st && !sk_kernel_parse(name, &o->kernel))
        st = sk_fail(err, SPHKV_EINVAL, "no kernel is called '%.60s'; --list shows them", name);
    return st;
}

static sk_status take_word(gen_options *o, sk_args *a, sk_err *err)
{
    const struct {
        const char *name;
        const char **at;
    } text[] = {
        {"--emit", &o->emit}, {"--cpu", &o->arch}, {"--arch", &o->arch},
        {"--schedule", &o->schedule}, {"--out", &o->out},
    };
    for (size_t i = 0; i < SK_COUNT(text); i++)
        if (sk_args_is(a, text[i].name))
            return sk_args_value(a, text[i].at, err);
    if (sk_args_is(a, "--kernel"))
        return take_kernel(o, a, err);
    bool taken = true;
    if (sk_args_is(a, "--list"))
        o->list = true;
    else if (sk_args_is(a, "--help") || sk_args_is(a, "-h"))
        o->help = true;
    else {
        sk_status st = sk_options_take(&o->shared, a, &taken, err);
        if (st)
            return st;
    }
    return taken ? SPHKV_OK
                 : sk_fail(err, SPHKV_EINVAL, "'%.100s' is no option of this command", a->word);
}

static sk_status read_options(int argc, char **argv, gen_options *o, sk_err *err)
{
    *o = (gen_options){.emit = "ir", .kernel = SPHKV_ATTN_DECODE};
    sk_args a;
    sk_args_begin(&a, argc, argv);
    sk_status st;
    while (!(st = sk_args_next(&a, err)) && a.word)
        if ((st = take_word(o, &a, err)))
            return st;
    if (st || o->list || o->help || o->shared.list_models)
        return st;
    if (o->shared.db)
        return sk_fail(err, SPHKV_EINVAL, "sphkv-gen reads no database; give --schedule");
    st = sk_gen_form_find(o->emit, &o->form, err);
    if (st)
        return st;
    if (o->form->binary && (o->shared.json || isatty(STDOUT_FILENO)) && !o->out)
        return sk_fail(err, SPHKV_EINVAL, "--emit %s is not for a terminal: give --out", o->emit);
    if (!o->shared.head_dim && !o->shared.model)
        o->shared.head_dim = 128;
    return sk_options_finish(&o->shared, err);
}

/* ---- one kernel ------------------------------------------------------------------------ */

/* The first of the specs that the options ask for; the others are named. */
static sk_status choose_spec(const gen_options *o, sk_spec *out, sk_err *err)
{
    sk_spec spec[SK_MAX_TIERS];
    uint32_t n = 0;
    sk_status st = sk_options_specs(&o->shared, o->kernel, spec, &n, err);
    if (!st && n == 0)
        st = sk_fail(err, SPHKV_EUNSUPPORTED, "%s: no tier of this mix is for it",
                     sk_kernel_name(o->kernel));
    if (st)
        return st;
    *out = spec[0];
    for (uint32_t i = 1; i < n; i++) {
        sk_text line = {0};
        sk_spec_print(&spec[i], &line);
        fprintf(stderr, "not shown: %s\n", line.s ? line.s : "");
        sk_text_free(&line);
    }
    return SPHKV_OK;
}

static void resources_json(const sk_gen *g, sk_json *j)
{
    sk_json_u64(j, "least_driver", g->least_driver);
    sk_json_open(j, "resources", '[');
    for (uint32_t i = 0; i < g->ir.build.n; i++) {
        const sk_program *p = g->ir.build.program[i];
        const sk_cuda_resources *r = &g->resources[i];
        sk_json_open(j, NULL, '{');
        sk_json_text(j, "entry", p->symbol);
        sk_json_u64(j, "threads", p->warps * 32);
        sk_json_u64(j, "registers", r->registers);
        sk_json_u64(j, "stack_bytes", r->stack_bytes);
        sk_json_u64(j, "spilled_bytes", sk_cuda_spilled(r));
        sk_json_u64(j, "shared_bytes", p->shared_bytes + r->shared_bytes);
        sk_json_u64(j, "barriers", r->barriers);
        sk_json_close(j, '}');
    }
    sk_json_close(j, ']');
}

/* The output with its facts around it, as JSON. */
static sk_status wrap_json(const gen_options *o, sk_gen *g, const char *spec,
                           const char *schedule, sk_err *err)
{
    sk_json j = {0};
    sk_json_open(&j, NULL, '{');
    sk_json_text(&j, "kernel", sk_kernel_name(o->kernel));
    sk_json_text(&j, "spec", spec);
    sk_json_text(&j, "schedule", schedule);
    sk_json_text(&j, g->target.backend == SK_BACKEND_CPU ? "cpu" : "gpu", g->arch);
    sk_json_text(&j, "ir_hash", g->ir.hash);
    sk_json_text(&j, "form", o->emit);
    sk_json_u64(&j, "bytes", g->bytes);
    if (g->compiled)
        resources_json(g, &j);
    if (!o->form->binary)
        sk_json_text(&j, "text", g->data);
    sk_json_close(&j, '}');
    sk_text_printf(&j.text, "\n");
    if (j.text.failed) {
        sk_text_free(&j.text);
        return sk_fail(err, SPHKV_ENOMEM, "out of memory");
    }
    sk_free(g->data);
    g->data = j.text.s;
    g->bytes = j.text.len;
    return SPHKV_OK;
}

/* To the file, or to stdout; the exit code. */
static int write_out(const char *file, const char *data, size_t bytes, sk_err *err)
{
    if (!file) {
        const sk_text text = {.s = (char *)(uintptr_t)data, .len = bytes};
        return sk_command_print(PROGRAM, &text);
    }
    sk_status st = sk_file_write(file, data, bytes, err);
    if (st == SPHKV_OK) return SK_EXIT_DONE;
    (void)sk_command_fail(PROGRAM, st, err);
    return st == SPHKV_ENOTFOUND ? SK_EXIT_USAGE : SK_EXIT_UNVERIFIED;
}

/* What was made, to where it was asked for; the exit code. An object goes to its
 * file, and then its facts, when they are asked for, to stdout. */
static int deliver(const gen_options *o, sk_gen *g, sk_err *err)
{
    const bool object = o->out && o->form->binary;
    sk_text spec = {0}, schedule = {0};
    sk_spec_print(&g->spec, &spec);
    sk_schedule_print(o->kernel, &g->schedule, &schedule);
    sk_status st = SPHKV_OK;
    int code = SK_EXIT_DONE;
    if (spec.failed || schedule.failed)
        st = sk_fail(err, SPHKV_ENOMEM, "out of memory");
    else
        fprintf(stderr, "%s\n%s, %s, IR %.12s\n", spec.s, schedule.s, g->arch, g->ir.hash);
    if (!st && object)
        code = write_out(o->out, g->data, g->bytes, err);
    if (!st && o->shared.json && code == SK_EXIT_DONE)
        st = wrap_json(o, g, spec.s, schedule.s, err);
    if (!st && code == SK_EXIT_DONE && (!object || o->shared.json))
        code = write_out(object ? NULL : o->out, g->data, g->bytes, err);
    sk_text_free(&spec);
    sk_text_free(&schedule);
    return st ? sk_command_fail(PROGRAM, st, err) : code;
}

static int generate(const gen_options *o, sk_err *err)
{
    sk_gen g = {0};
    sk_status st = choose_spec(o, &g.spec, err);
    if (!st)
        st = sk_gen_choose(&g, o->form, o->arch, o->schedule, err);
    if (!st)
        st = o->form->emit(&g, err);
    int code = st ? sk_command_fail(PROGRAM, st, err) : deliver(o, &g, err);
    sk_gen_free(&g);
    return code;
}

static int list_or_help(const gen_options *o, sk_err *err)
{
    sk_text out = {0};
    if (o->help)
        sk_text_printf(&out, "%s%s%s", help_head, sk_options_spec_help, help_tail);
    else if (o->shared.json)
        sk_gen_list_json(&out);
    else
        sk_gen_list_text(&out);
    int code = out.failed ? sk_command_print(PROGRAM, &out)
                          : write_out(o->help ? NULL : o->out, out.s, out.len, err);
    sk_text_free(&out);
    return code;
}

int main(int argc, char **argv)
{
    gen_options o;
    sk_err err = {0};
    sk_command_begin();
    sk_status st = read_options(argc, argv, &o, &err);
    if (st) /* a file that was named */
        return sk_command_fail(PROGRAM, st == SPHKV_EIO ? SPHKV_EINVAL : st, &err);
    if (o.shared.list_models && !o.help)
        return sk_options_list_models(&o.shared, PROGRAM);
    return o.help || o.list ? list_or_help(&o, &err) : generate(&o, &err);
}
