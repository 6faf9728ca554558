/* models.c - see models.h: names, what is served and how, tables and notes. */
#include "models.h"

#include <string.h>

#include "json.h"
#include "kernel.h"

#define CONFIG_LIMIT (1u << 20)
#define SERVED_RING "kf16:vf16" /* rows of a ring are replaced one by one */
#define SERVED ((uint32_t)(SK_NEED_SINK /* also by the LSE alone */ | SK_NEED_SOFTCAP | SK_NEED_LATENT))
#define SERVED_LATENT "kf16:vk" /* values are dimensions of the keys */

static const struct {
    sk_need need;
    const char *text;
} needs[SK_NEEDS] = {
    {SK_NEED_SOFTCAP, "soft-capped logits"},
    {SK_NEED_SINK, "learned attention sinks"},
    {SK_NEED_LATENT, "latent attention"},
    {SK_NEED_BIAS, "biases by distance (ALiBi and the like)"},
    {SK_NEED_SPARSE, "sparse attention"},
    {SK_NEED_DUAL_CHUNK, "dual chunk attention"},
    {SK_NEED_CROSS, "attention to an encoder"},
};

const char *sk_need_text(sk_need need)
{
    for (uint32_t i = 0; i < SK_NEEDS; i++)
        if (needs[i].need == need) return needs[i].text;
    return "?";
}

uint32_t sk_model_variants(const sk_model *m)
{
    return m->needs & SK_NEED_SOFTCAP ? SPHKV_VARIANT_SOFTCAP : 0;
}

const sk_layers *sk_model_main(const sk_model *m) { return m->full.n ? &m->full : &m->local; }

/* ---- what is served ----------------------------------------------------------- */

/* Whether attn_decode has the shape of these layers. */
static sk_status shape_served(const sk_model *m, const sk_layers *layers, const char *tiers,
                              sk_err *err)
{
    sk_spec spec;
    const sphkv_spec_params params = {
        .size = sizeof params,
        .kernel = SPHKV_ATTN_DECODE,
        .head_dim = layers->head_dim,
        .value_dim = layers->value_dim,
        .heads_per_kv = m->heads / layers->kv_heads,
        .tiers = tiers,
        .variants = sk_model_variants(m),
    };
    sk_status st = sk_spec_from_params(&params, &spec, err);
    return st == SPHKV_OK ? sk_kernel_get(SPHKV_ATTN_DECODE)->supported(&spec, err) : st;
}

sk_status sk_model_served(const sk_model *m, sk_err *err)
{
    sk_text list = {0};
    sk_err why = {0};
    for (uint32_t i = 0; i < SK_NEEDS; i++)
        if (m->needs & (uint32_t)needs[i].need & ~SERVED)
            sk_text_printf(&list, "%s%s", list.len ? ", " : "", needs[i].text);
    if (list.len) {
        sk_status st = sk_fail(err, SPHKV_EUNSUPPORTED, "%.95s: no kernel does %s", m->name,
                               list.failed ? "what it needs" : list.s);
        sk_text_free(&list);
        return st;
    }
    const char *tiers = m->needs & SK_NEED_LATENT ? SERVED_LATENT : NULL;
    sk_status st = m->full.n ? shape_served(m, &m->full, tiers, &why) : SPHKV_OK;
    if (st == SPHKV_OK && m->local.n)
        st = shape_served(m, &m->local, m->chunked ? NULL : SERVED_RING, &why);
    return st == SPHKV_OK
               ? st
               : sk_fail(err, SPHKV_EUNSUPPORTED, "%.95s: %.300s", m->name, why.message);
}

/* ---- names ---------------------------------------------------------------------- */

/* The first letters of a family: "qwen", of "qwen3-8b". */
static size_t family_length(const char *name) { return strcspn(name, "-.0123456789_ "); }

static sk_status unknown_name(const char *name, sk_err *err)
{
    sk_text list = {0};
    const size_t n = family_length(name);
    const sk_model *m;
    for (uint32_t i = 0; (m = sk_model_get(i)) != NULL; i++)
        if (n && family_length(m->name) == n && strncmp(m->name, name, n) == 0)
            sk_text_printf(&list, "%s%s", list.len ? ", " : "; there are ", m->name);
    sk_status st = sk_fail(err, SPHKV_EINVAL,
                           "no model is called '%.60s'%.500s; --model list shows all, or give the "
                           "path of a config.json", name, list.failed || !list.s ? "" : list.s);
    sk_text_free(&list);
    return st;
}

sk_status sk_model_find(const char *name, sk_model *out, sk_err *err)
{
    char *text;
    size_t bytes, len = strlen(name);
    const sk_model *m;
    for (uint32_t i = 0; (m = sk_model_get(i)) != NULL; i++)
        if (strcmp(m->name, name) == 0) {
            *out = *m;
            return sk_model_served(out, err);
        }
    if (!strchr(name, '/') && (len < 5 || strcmp(name + len - 5, ".json") != 0))
        return unknown_name(name, err);
    sk_status st = sk_file_read(name, CONFIG_LIMIT, &text, &bytes, err);
    if (st != SPHKV_OK) return st;
    st = sk_model_parse(text, bytes, name, out, err);
    sk_free(text);
    return st == SPHKV_OK ? sk_model_served(out, err) : st;
}

/* ---- text ----------------------------------------------------------------------- */

void sk_model_kinds(const sk_model *m, sk_text *out)
{
    const char *between = "";
    if (m->full.n && (m->local.n || m->cacheless)) {
        sk_text_printf(out, "%u full", m->full.n);
        between = ", ";
    } else if (m->full.n) {
        sk_text_printf(out, "full");
    }
    if (m->local.n)
        sk_text_printf(out, "%s%u %s %u", between, m->local.n, m->chunked ? "chunks" : "window",
                       m->local.span);
    if (m->cacheless) sk_text_printf(out, ", %u without a cache", m->cacheless);
    const uint32_t all = m->full.n + m->local.n, own = m->full.owners + m->local.owners;
    if (own < all) sk_text_printf(out, ", %u share keys", all - own);
}

void sk_model_note(const sk_model *m, sk_text *out)
{
    const bool sinks = (m->needs & SK_NEED_SINK) != 0, latent = (m->needs & SK_NEED_LATENT) != 0;
    if (!m->local.n && !sinks && !latent) return;
    sk_text_printf(out, "%s: ", m->name);
    if (m->local.n)
        sk_text_printf(out, "%u of %u layers see ", m->local.n, m->full.n + m->local.n);
    if (m->local.n && m->chunked)
        sk_text_printf(out, "chunks of %u tokens: exact by lists that begin at the chunk's first "
                       "page", m->local.span);
    else if (m->local.n)
        sk_text_printf(out, "a window of %u tokens: exact by a ring of %u slots in pages of "
                       SERVED_RING "%s", m->local.span, m->local.span,
                       m->full.n ? "; tiers are for the others" : "");
    if (latent)
        sk_text_printf(out, "%slatent attention: values are the first %u of %u dimensions of the keys "
                       "(vk)", m->local.n ? "; " : "", m->full.value_dim, m->full.head_dim);
    if (sinks)
        sk_text_printf(out, "%slearned sinks: exact by the LSE, out / (1 + exp(sink - lse))",
                       m->local.n ? "; " : "");
}

static void print_table(sk_text *out)
{
    const sk_model *m;
    sk_text_printf(out, "%-29s %6s %5s %3s %4s %8s  %-37s %s\n", "model", "layers", "heads", "KV",
                   "dims", "context", "layers see", "served");
    for (uint32_t i = 0; (m = sk_model_get(i)) != NULL; i++) {
        const sk_layers *main = sk_model_main(m);
        sk_text kinds = {0};
        sk_err err = {0};
        sk_model_kinds(m, &kinds);
        const bool served = sk_model_served(m, &err) == SPHKV_OK;
        sk_text_printf(out, "%-29s %6u %5u %3u %4u %8u  %-37s %s%s\n", m->name,
                       m->full.n + m->local.n + m->cacheless, m->heads, main->kv_heads,
                       main->head_dim, m->max_context, kinds.s ? kinds.s : "",
                       served ? "yes" : "no", served ? "" : err.message + strlen(m->name));
        sk_text_free(&kinds);
    }
}

static void layers_json(sk_json *j, const char *name, const sk_layers *l)
{
    if (!l->n) return;
    sk_json_open(j, name, '{');
    sk_json_u64(j, "layers", l->n);
    sk_json_u64(j, "with_keys", l->owners);
    sk_json_u64(j, "kv_heads", l->kv_heads);
    sk_json_u64(j, "head_dim", l->head_dim);
    sk_json_u64(j, "value_dim", l->value_dim);
    if (l->span) sk_json_u64(j, "tokens", l->span);
    sk_json_close(j, '}');
}

static void print_json(sk_json *j)
{
    const sk_model *m;
    sk_json_open(j, NULL, '{');
    sk_json_open(j, "models", '[');
    for (uint32_t i = 0; (m = sk_model_get(i)) != NULL; i++) {
        sk_err err = {0};
        double parameters;
        const bool served = sk_model_served(m, &err) == SPHKV_OK;
        sk_json_open(j, NULL, '{');
        sk_json_text(j, "name", m->name);
        sk_json_u64(j, "heads", m->heads);
        layers_json(j, "full", &m->full);
        layers_json(j, m->chunked ? "chunks" : "window", &m->local);
        sk_json_u64(j, "layers_without_cache", m->cacheless);
        sk_json_u64(j, "max_context", m->max_context);
        if (sk_model_parameters(m, &parameters)) sk_json_f64(j, "parameters", parameters);
        sk_json_bool(j, "served", served);
        if (!served) sk_json_text(j, "message", err.message);
        sk_json_close(j, '}');
    }
    sk_json_close(j, ']');
    sk_json_close(j, '}');
}

void sk_models_print(bool json, sk_text *out)
{
    sk_json j = {0};
    if (!json) {
        print_table(out);
        return;
    }
    print_json(&j);
    sk_text_append(&j.text, "\n", 1);
    *out = j.text;
}
