/* options.c - the options of options.h that commands share: what each says, and all of them
 * put together and checked. Words are read by option_words.c. */
#include "options.h"

#include <stdio.h>
#include <string.h>

#include "case.h"
#include "command.h"

const char sk_options_spec_help[] =
    "what is computed:\n"
    "  --model NAME|FILE    head_dim, heads and KV heads of a model, by name or from its\n"
    "                       config.json; the options below override it. One that needs a\n"
    "                       variant that no kernel has (sparse attention) is\n"
    "                       refused. list: the models known by name, and which are served\n"
    "  --head-dim N         dimensions of a key (64, 128 ...)\n"
    "  --value-dim N        dimensions of a value (default: as the key)\n"
    "  --heads N            query heads\n"
    "  --kv-heads N         KV heads\n"
    "  --heads-per-kv N     query heads that share a KV head, instead of the two above\n"
    "  --tiers MIX          tiers a kernel can meet (default good:vi8,kf16:vf16)\n"
    "  --book LIST          what codebook sets hold beside codewords: mean, permutation,\n"
    "                       transform or hadamard (a power of two dimensions)\n"
    "                       (default neither)\n"
    "  --variants LIST      what attention does beyond softmax: softcap, sink, headscale,\n"
    "                       window, bias, positions, queries (default none)\n"
    "  --page N             tokens per page (default 128)\n"
    "  --layout auto|N      row of the layout table (default auto: what the device wants)\n"
    "  --accuracy CLASS     exact, tight (default) or fast\n"
    "  --dtype T[,T[,T]]    f32, f16 or bf16 of query, output and input rows (default f32)\n";

const char sk_options_shape_help[] =
    "for which sizes:\n"
    "  --context N,...      tokens per list\n"
    "  --batch N,...        sequences\n"
    "  --threads N,...      threads that share a run\n"
    "  --q-len N            query tokens of a sequence, 1 to 16, with --variants queries\n"
    "                       (default 4)\n";

static sk_status take_dtype(sk_options *o, sk_args *a, sk_err *err)
{
    const char *text;
    sk_status st = sk_args_value(a, &text, err);
    if (st)
        return st;
    uint32_t last = SPHKV_F32;
    const char *at = text;
    for (uint32_t i = 0; i < 3; i++) {
        if (at) {
            char name[8] = "";
            const size_t len = strcspn(at, ",");
            if (len < sizeof name)
                memcpy(name, at, len);
            if (!sk_dtype_parse(name, &last))
                return sk_fail(err, SPHKV_EINVAL, "%s: '%.60s' is not f32, f16 or bf16", a->name,
                               text);
            at = at[len] ? at + len + 1 : NULL;
        }
        o->dtype[i] = last;
    }
    return at ? sk_fail(err, SPHKV_EINVAL, "%s: at most three types", a->name) : SPHKV_OK;
}

static sk_status take_accuracy(sk_options *o, sk_args *a, sk_err *err)
{
    const char *text;
    sk_status st = sk_args_value(a, &text, err);
    if (!st && !sk_accuracy_parse(text, &o->accuracy))
        st = sk_fail(err, SPHKV_EINVAL, "%s: '%.60s' is not exact, tight or fast", a->name, text);
    return st;
}

/* Flags by name, separated by commas. */
static sk_status take_flags(sk_args *a, bool (*parse)(const char *, uint32_t *),
                            const char *there_are, uint32_t *flags, sk_err *err)
{
    const char *text;
    sk_status st = sk_args_value(a, &text, err);
    if (st)
        return st;
    *flags = 0;
    for (const char *at = text; at;) {
        char name[16] = "";
        const size_t len = strcspn(at, ",");
        uint32_t flag;
        if (len < sizeof name)
            memcpy(name, at, len);
        if (!parse(name, &flag))
            return sk_fail(err, SPHKV_EINVAL, "%s: '%.60s' is not %s", a->name, text, there_are);
        *flags |= flag;
        at = at[len] ? at + len + 1 : NULL;
    }
    return SPHKV_OK;
}

static sk_status take_layout(sk_options *o, sk_args *a, sk_err *err)
{
    const char *text;
    uint64_t row = 0;
    sk_status st = sk_args_value(a, &text, err);
    if (st)
        return st;
    if (strcmp(text, "auto") == 0)
        o->layout = 0;
    else if (sk_parse_u64(text, 0, SK_LAYOUT_ROWS - 1, &row))
        o->layout = (uint32_t)row + 1;
    else
        return sk_fail(err, SPHKV_EINVAL, "%s: '%.60s' is neither auto nor a row from 0 to %u",
                       a->name, text, SK_LAYOUT_ROWS - 1);
    return SPHKV_OK;
}

sk_status sk_options_take(sk_options *o, sk_args *a, bool *taken, sk_err *err)
{
    *taken = true;
    const struct {
        const char *name;
        uint32_t *at, hi;
    } number[] = {
        {"--head-dim", &o->head_dim, 4096}, {"--value-dim", &o->value_dim, 4096},
        {"--heads", &o->heads, 4096},       {"--kv-heads", &o->kv_heads, 4096},
        {"--page", &o->page, 65535},        {"--heads-per-kv", &o->heads_per_kv, 4096},
    };
    for (size_t i = 0; i < SK_COUNT(number); i++)
        if (sk_args_is(a, number[i].name))
            return sk_args_u32(a, 1, number[i].hi, number[i].at, err);
    if (sk_args_is(a, "--q-len"))
        return sk_args_u32(a, 1, SPHKV_MAX_Q_LEN, &o->q_len, err);
    const struct {
        const char *name;
        sk_list *at;
        uint32_t hi;
    } list[] = {
        {"--context", &o->context, SK_CASE_CONTEXT_MOST},
        {"--batch", &o->batch, SK_CASE_BATCH_MOST},
        {"--threads", &o->threads, 4096},
    };
    for (size_t i = 0; i < SK_COUNT(list); i++)
        if (sk_args_is(a, list[i].name))
            return sk_args_list(a, 1, list[i].hi, list[i].at, err);
    if (sk_args_is(a, "--model")) {
        sk_status st = sk_args_value(a, &o->model, err);
        o->list_models = !st && strcmp(o->model, "list") == 0;
        return st;
    }
    if (sk_args_is(a, "--tiers"))
        return sk_args_value(a, &o->tiers, err);
    if (sk_args_is(a, "--db"))
        return sk_args_value(a, &o->db, err);
    if (sk_args_is(a, "--dtype"))
        return take_dtype(o, a, err);
    if (sk_args_is(a, "--accuracy"))
        return take_accuracy(o, a, err);
    if (sk_args_is(a, "--layout"))
        return take_layout(o, a, err);
    if (sk_args_is(a, "--book"))
        return take_flags(a, sk_book_parse, "mean, permutation, transform, hadamard", &o->book, err);
    if (sk_args_is(a, "--variants"))
        return take_flags(a, sk_variant_parse,
                          "a list of softcap, sink, headscale, window, bias, positions, queries",
                          &o->variants, err);
    *taken = sk_args_is(a, "--json");
    o->json |= *taken;
    return SPHKV_OK;
}

/* What is latent coded as the library's default is, the dimensions of RoPE behind it as
 * they are. */
static void latent_tiers(sk_options *o)
{
    if (o->head_dim > o->value_dim)
        snprintf(o->latent, sizeof o->latent, "%u@good+%u@kf16:vk,kf16:vk", o->value_dim,
                 o->head_dim - o->value_dim);
    else
        snprintf(o->latent, sizeof o->latent, "good:vk,kf16:vk");
    o->tiers = o->latent;
}

sk_status sk_options_finish(sk_options *o, sk_err *err)
{
    sk_status st = o->model ? sk_model_find(o->model, &o->about, err) : SPHKV_OK;
    if (st)
        return st;
    const sk_layers *layers = sk_model_main(&o->about);
    o->variants |= sk_model_variants(&o->about);
    if (o->q_len > 1 && !(o->variants & SPHKV_VARIANT_QUERIES))
        return sk_fail(err, SPHKV_EINVAL, "--q-len %u asks for --variants queries", o->q_len);
    if (!o->head_dim) {
        o->head_dim = layers->head_dim;
        if (!o->value_dim)
            o->value_dim = layers->value_dim;
    }
    if (!o->head_dim)
        return sk_fail(err, SPHKV_EINVAL, "say for what: --model, or --head-dim and heads");
    const bool heads_said = o->heads || o->heads_per_kv;
    if (!o->kv_heads)
        o->kv_heads = layers->kv_heads;
    if (!o->heads)
        o->heads = o->heads_per_kv ? 0 : o->about.heads;
    if (!o->kv_heads)
        o->kv_heads = o->heads && o->heads_per_kv && o->heads % o->heads_per_kv == 0
                          ? o->heads / o->heads_per_kv
                          : 8;
    if (!o->heads)
        o->heads = o->kv_heads * (o->heads_per_kv ? o->heads_per_kv : 1);
    if (o->heads % o->kv_heads)
        return sk_fail(err, SPHKV_EINVAL, "%u query heads do not divide among %u KV heads%s",
                       o->heads, o->kv_heads, heads_said ? "" : " (of the model)");
    if (o->heads_per_kv && o->heads_per_kv != o->heads / o->kv_heads)
        return sk_fail(err, SPHKV_EINVAL, "%u query heads and %u KV heads are not %u to one",
                       o->heads, o->kv_heads, o->heads_per_kv);
    o->heads_per_kv = o->heads / o->kv_heads;
    if (o->about.needs & SK_NEED_LATENT && !o->tiers)
        latent_tiers(o);
    return SPHKV_OK;
}

int sk_options_list_models(const sk_options *o, const char *program)
{
    sk_text out = {0};
    sk_models_print(o->json, &out);
    const int code = sk_command_print(program, &out);
    sk_text_free(&out);
    return code;
}

void sk_options_note(const sk_options *o, const char *program)
{
    sk_text out = {0};
    sk_model_note(&o->about, &out);
    if (out.s && !out.failed)
        sk_command_say(program, out.s);
    sk_text_free(&out);
}
