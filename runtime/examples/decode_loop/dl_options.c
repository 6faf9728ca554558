/* dl_options.c - the command line of decode_loop. */
#define _GNU_SOURCE
#include "dl_options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Shapes of attention that people have; the rest is --head-dim and so on. */
static const struct {
    const char *name;
    uint32_t heads, kv_heads, head_dim, layers;
} models[] = {
    {"llama-2-7b", 32, 32, 128, 32},   {"llama-3.1-8b", 32, 8, 128, 32},
    {"llama-3.1-70b", 64, 8, 128, 80}, {"qwen3-8b", 32, 8, 128, 36},
    {"mistral-7b", 32, 8, 128, 32},
};

static const char *const accuracies[] = {"tight", "exact", "fast"}; /* by sphkv_accuracy */

const char *dl_accuracy_name(uint32_t accuracy)
{
    return accuracy < DL_COUNT(accuracies) ? accuracies[accuracy] : "?";
}

int dl_exit_code(sphkv_status status)
{
    switch (status) {
    case SPHKV_OK:
        return 0;
    case SPHKV_EINVAL:
    case SPHKV_ENOTFOUND:
    case SPHKV_EIO:
    case SPHKV_EUNSUPPORTED:
        return 2;
    case SPHKV_EDEVICE:
    case SPHKV_ECOMPILE:
        return 3;
    case SPHKV_EDB:
        return 4;
    case SPHKV_EVERIFY:
        return 5;
    default:
        return 1;
    }
}

enum { OPT_FIRST = 256, MODEL, HEAD_DIM, HEADS, KV_HEADS, TIERS, LAYERS, CONTEXT, STEPS, BATCH,
       THREADS, PAGE, DB, ACCURACY, SEED, CHECK, NO_JIT, VERBOSE, JSON, SELFTEST, WEIGHTS, TEXT,
       WINDOWS, WINDOW, CODEBOOKS, SAVE, TRAIN_TEXT, TRAIN_WINDOWS, REFERENCE, BOOK, HELP };

static const struct option names[] = {
    {"model", 1, 0, MODEL}, {"head-dim", 1, 0, HEAD_DIM}, {"heads", 1, 0, HEADS},
    {"kv-heads", 1, 0, KV_HEADS}, {"tiers", 1, 0, TIERS}, {"layers", 1, 0, LAYERS},
    {"context", 1, 0, CONTEXT}, {"steps", 1, 0, STEPS}, {"batch", 1, 0, BATCH},
    {"threads", 1, 0, THREADS}, {"page", 1, 0, PAGE}, {"db", 1, 0, DB},
    {"accuracy", 1, 0, ACCURACY}, {"seed", 1, 0, SEED}, {"check", 1, 0, CHECK},
    {"no-jit", 0, 0, NO_JIT}, {"verbose", 0, 0, VERBOSE}, {"json", 0, 0, JSON},
    {"selftest", 0, 0, SELFTEST}, {"weights", 1, 0, WEIGHTS}, {"text", 1, 0, TEXT},
    {"windows", 1, 0, WINDOWS}, {"window", 1, 0, WINDOW}, {"codebooks", 1, 0, CODEBOOKS},
    {"save-codebooks", 1, 0, SAVE}, {"train-text", 1, 0, TRAIN_TEXT},
    {"train-windows", 1, 0, TRAIN_WINDOWS}, {"reference", 1, 0, REFERENCE},
    {"book", 1, 0, BOOK}, {"help", 0, 0, HELP},
    {0, 0, 0, 0}};

void dl_options_help(void)
{
    puts("decode_loop: an engine in miniature on sphkv.h\n"
         "\n"
         "Generated keys and values, timed and checked against attention in double:\n"
         "  decode_loop --model llama-3.1-8b --layers 4 --context 4096 --steps 16\n"
         "  decode_loop --head-dim 64 --heads 8 --kv-heads 2 --tiers high:vf16,kf16:vf16 "
         "--selftest\n"
         "A trained model of bytes over text, nats per byte:\n"
         "  decode_loop --weights DIR --text FILE --tiers kf32:vf32 --tiers good:vi8,kf16:vf16 \\\n"
         "              --reference double\n"
         "\n"
         "  --model NAME       llama-2-7b llama-3.1-8b llama-3.1-70b qwen3-8b mistral-7b, or\n"
         "  --head-dim N --heads N --kv-heads N --layers N\n"
         "  --tiers MIX        good:vi8,kf16:vf16; the last tier is where new tokens go\n"
         "  --context N        tokens before the first step (2048)   --steps N (16)\n"
         "  --batch N          sequences (1)      --threads N (cores)      --page N (128)\n"
         "  --accuracy CLASS   tight, exact or fast (tight)          --seed N (1)\n"
         "  --book LIST        codebook sets with any of mean, permutation, and transform or\n"
         "                     hadamard (none)\n"
         "  --check N          compare every N-th step, 0 = never (1)\n"
         "  --db FILE          database of kernels   --no-jit  never load a compiler\n"
         "  --selftest         prefill and token by token must give the same pages\n"
         "  --json             results as one object --verbose  the library's warnings\n"
         "\n"
         "  --weights DIR      config.json and model.safetensors, Llama form, 256 bytes\n"
         "  --text FILE        cut into windows      --windows N (4)  --window N (1024)\n"
         "  --tiers MIX        may be given up to 16 times: one line each (kf32:vf32)\n"
         "  --codebooks HOW    train: k-means on other windows (default); default: data-free;\n"
         "                     or a folder that --save-codebooks DIR wrote\n"
         "  --train-windows N  (8)   --train-text FILE  train on windows of this instead\n"
         "  --reference double also runs the model in double with dense attention\n"
         "\n"
         "Exit: 0 done, 1 out of memory or nothing could be written, 2 bad usage or input,\n"
         "3 no kernel and no compiler, 4 database, 5 a check failed.");
}

static sphkv_status number(const char *name, const char *text, uint64_t least, uint64_t most,
                           uint64_t *out, sphkv_error *err)
{
    char *end = NULL;
    unsigned long long x = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || strlen(text) > 19 || x < least || x > most)
        return dl_fail(err, SPHKV_EINVAL, "--%s %.60s: must be a number from %llu to %llu", name,
                       text, (unsigned long long)least, (unsigned long long)most);
    *out = x;
    return SPHKV_OK;
}

static sphkv_status read_model(dl_options *o, sphkv_error *err)
{
    for (size_t i = 0; i < DL_COUNT(models); i++)
        if (strcmp(o->model, models[i].name) == 0) {
            o->setup.heads = models[i].heads;
            o->setup.kv_heads = models[i].kv_heads;
            o->setup.head_dim = models[i].head_dim;
            o->setup.layers = models[i].layers;
            return SPHKV_OK;
        }
    return dl_fail(err, SPHKV_EINVAL, "--model %.60s: known are llama-2-7b, llama-3.1-8b, "
                   "llama-3.1-70b, qwen3-8b, mistral-7b", o->model);
}

/* Options whose value is a number: where it goes and what it may be. */
static sphkv_status read_number(int id, const char *name, const char *value, dl_options *o,
                                sphkv_error *err)
{
    const struct {
        int id;
        uint32_t *to;
        uint32_t least, most;
    } rows[] = {
        {HEAD_DIM, &o->setup.head_dim, 8, 1024},  {HEADS, &o->setup.heads, 1, 1024},
        {KV_HEADS, &o->setup.kv_heads, 1, 1024},  {LAYERS, &o->setup.layers, 1, 4096},
        {CONTEXT, &o->prefill, 0, 1u << 24},      {STEPS, &o->steps, 1, 1u << 20},
        {BATCH, &o->setup.batch, 1, 4096},        {THREADS, &o->threads, 1, 1024},
        {PAGE, &o->setup.page, 8, 256},           {CHECK, &o->check, 0, 1u << 20},
        {WINDOWS, &o->windows, 1, 1u << 20},      {WINDOW, &o->window, 2, 1u << 20},
        {TRAIN_WINDOWS, &o->train_windows, 1, 1u << 20},
    };
    uint64_t x = 0;
    for (size_t i = 0; i < DL_COUNT(rows); i++)
        if (rows[i].id == id) {
            sphkv_status st = number(name, value, rows[i].least, rows[i].most, &x, err);
            *rows[i].to = (uint32_t)x;
            return st;
        }
    return number(name, value, 0, UINT64_MAX, &o->seed, err);
}

static sphkv_status read_book(const char *value, dl_options *o, sphkv_error *err)
{
    static const char *const names[] = {"mean", "permutation", "transform", "hadamard"}; /* by bit
                                                                          of SPHKV_BOOK_* */
    for (const char *at = value; at;) {
        size_t n = strcspn(at, ","), bit = 0;
        while (bit < DL_COUNT(names) && (strlen(names[bit]) != n || memcmp(at, names[bit], n) != 0))
            bit++;
        if (bit == DL_COUNT(names))
            return dl_fail(err, SPHKV_EINVAL,
                           "--book %.60s: there are mean, permutation, transform and hadamard",
                           value);
        o->setup.book |= 1u << bit;
        at = at[n] ? at + n + 1 : NULL;
    }
    return SPHKV_OK;
}

static sphkv_status read_choice(int id, const char *value, dl_options *o, sphkv_error *err)
{
    if (id == REFERENCE) {
        o->reference = true;
        return strcmp(value, "double") == 0
                   ? SPHKV_OK
                   : dl_fail(err, SPHKV_EINVAL, "--reference %.60s: there is 'double'", value);
    }
    for (uint32_t i = 0; i < DL_COUNT(accuracies); i++)
        if (strcmp(value, accuracies[i]) == 0) {
            o->setup.accuracy = i;
            return SPHKV_OK;
        }
    return dl_fail(err, SPHKV_EINVAL, "--accuracy %.60s: there are tight, exact, fast", value);
}

static sphkv_status read_option(int id, const char *name, const char *value, dl_options *o,
                                sphkv_error *err)
{
    switch (id) {
    case MODEL: o->model = value; return read_model(o, err);
    case DB: o->setup.db = value; return SPHKV_OK;
    case NO_JIT: o->setup.no_jit = true; return SPHKV_OK;
    case VERBOSE: o->setup.verbose = true; return SPHKV_OK;
    case JSON: o->json = true; return SPHKV_OK;
    case SELFTEST: o->selftest = true; return SPHKV_OK;
    case WEIGHTS: o->weights = value; return SPHKV_OK;
    case TEXT: o->text = value; return SPHKV_OK;
    case CODEBOOKS: o->codebooks = value; return SPHKV_OK;
    case SAVE: o->save = value; return SPHKV_OK;
    case TRAIN_TEXT: o->train_text = value; return SPHKV_OK;
    case BOOK: return read_book(value, o, err);
    case HELP: o->help = true; return SPHKV_OK;
    case ACCURACY:
    case REFERENCE: return read_choice(id, value, o, err);
    case TIERS:
        if (o->mixes == DL_MIXES)
            return dl_fail(err, SPHKV_EINVAL, "--tiers: given more than %d times", DL_MIXES);
        o->mix[o->mixes++] = value;
        return SPHKV_OK;
    default: return read_number(id, name, value, o, err);
    }
}

static sphkv_status check_options(dl_options *o, sphkv_error *err)
{
    if (o->weights && !o->text)
        return dl_fail(err, SPHKV_EINVAL, "--weights needs --text FILE");
    if (!o->weights && (o->text || o->reference || o->save || o->train_text))
        return dl_fail(err, SPHKV_EINVAL, "--text, --reference, --save-codebooks and --train-text "
                       "go with --weights DIR");
    if (o->weights && (o->model || o->selftest))
        return dl_fail(err, SPHKV_EINVAL, "--weights brings its own model: no --model, no "
                       "--selftest");
    if (!o->weights && o->mixes > 1)
        return dl_fail(err, SPHKV_EINVAL, "--tiers twice goes with --weights only");
    if (o->save && o->mixes > 1)
        return dl_fail(err, SPHKV_EINVAL, "--save-codebooks goes with one --tiers");
    if (!o->weights && o->setup.heads % o->setup.kv_heads != 0)
        return dl_fail(err, SPHKV_EINVAL, "%u query heads cannot share %u KV heads evenly",
                       o->setup.heads, o->setup.kv_heads);
    if (o->mixes == 0)
        o->mix[o->mixes++] = o->weights ? "kf32:vf32" : "good:vi8,kf16:vf16";
    o->setup.tiers = o->mix[0];
    o->setup.context = o->prefill + o->steps;
    return SPHKV_OK;
}

sphkv_status dl_options_read(int argc, char **argv, dl_options *o, sphkv_error *err)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    *o = (dl_options){.setup = {.layers = 2, .heads = 32, .kv_heads = 8, .head_dim = 128,
                                .page = 128, .batch = 1},
                      .threads = cores < 1 ? 1 : cores > 64 ? 64 : (uint32_t)cores,
                      .prefill = 2048, .steps = 16, .check = 1, .seed = 1, .codebooks = "train",
                      .windows = 4, .window = 1024, .train_windows = 8};
    int id;
    opterr = 0;
    while ((id = getopt_long(argc, argv, "", names, NULL)) != -1) {
        const char *name = "?";
        if (id == '?')
            return dl_fail(err, SPHKV_EINVAL, "'%.60s': unknown, or its value is missing; --help "
                           "lists the options", argv[optind - 1]);
        for (const struct option *n = names; n->name; n++)
            if (n->val == id)
                name = n->name;
        sphkv_status st = read_option(id, name, optarg, o, err);
        if (st != SPHKV_OK)
            return st;
    }
    if (optind < argc)
        return dl_fail(err, SPHKV_EINVAL, "'%.60s' is no option", argv[optind]);
    return o->help ? SPHKV_OK : check_options(o, err);
}
