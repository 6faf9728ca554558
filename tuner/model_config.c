/* model_config.c - a config.json becomes an sk_model: see models.h. Layers by
 * kind are model_layers.c's. */
#include "model_fields.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define CONTEXT_MOST (1u << 27)

/* What the classes of these model types leave out of a config when it is their
 * default, and what they do without saying it. */
static const sk_family families[] = {
    /* type, heads, KV heads, D, pattern, window, chunk, context, needs, gates */
    {"", 0, 0, 0, 0, 0, 0, 0, 0, 0}, /* any other */
    {"llama", 0, 0, 0, 0, 0, 0, 0, 0, 3},
    {"llama4_text", 40, 8, 128, 0, 0, 8192, 131072, 0, 3},
    {"mistral", 0, 8, 0, 0, 4096, 0, 0, 0, 3},
    {"mixtral", 0, 8, 0, 0, 0, 0, 0, 0, 3},
    {"qwen2", 0, 0, 0, 0, 4096, 0, 0, 0, 3},
    {"qwen2_moe", 0, 0, 0, 0, 4096, 0, 0, 0, 3},
    {"qwen3", 0, 0, 128, 0, 4096, 0, 0, 0, 3},
    {"qwen3_moe", 0, 0, 0, 0, 4096, 0, 0, 0, 3},
    {"qwen3_next", 16, 2, 256, 0, 0, 0, 0, 0, 0},
    {"gemma", 0, 0, 256, 0, 0, 0, 0, 0, 3},
    {"gemma2", 8, 4, 256, 2, 4096, 0, 0, SK_NEED_SOFTCAP, 3},
    {"gemma3_text", 8, 4, 256, 6, 4096, 0, 131072, 0, 3},
    {"gemma3n_text", 8, 2, 256, 5, 512, 0, 32768, 0, 0},
    {"gemma4_text", 8, 4, 256, 6, 512, 0, 131072, 0, 0},
    {"gpt_oss", 64, 8, 64, 2, 128, 0, 131072, SK_NEED_SINK, 3},
    {"cohere", 0, 0, 0, 0, 0, 0, 0, 0, 3},
    {"cohere2", 0, 0, 0, 4, 4096, 0, 0, 0, 3},
    {"phi", 0, 0, 0, 0, 0, 0, 0, 0, 2},
    {"phi3", 0, 0, 0, 0, 0, 0, 0, 0, 3},
    {"phimoe", 0, 0, 0, 0, 0, 0, 0, 0, 3},
    {"olmo", 0, 0, 0, 0, 0, 0, 0, 0, 3},
    {"olmo2", 0, 0, 0, 0, 0, 0, 0, 0, 3},
    {"olmo3", 0, 0, 0, 4, 4096, 0, 0, 0, 3},
    {"granite", 0, 0, 0, 0, 0, 0, 0, 0, 3},
    {"granitemoe", 0, 0, 0, 0, 0, 0, 0, 0, 3},
    {"smollm3", 0, 4, 0, 0, 0, 0, 0, 0, 3},
    {"starcoder2", 0, 2, 0, 0, 0, 0, 0, 0, 2},
    {"glm", 0, 0, 0, 0, 0, 0, 0, 0, 3},
    {"glm4", 0, 0, 0, 0, 0, 0, 0, 0, 3},
    {"glm4_moe", 0, 0, 0, 0, 0, 0, 0, 0, 3},
    {"bloom", 0, 0, 0, 0, 0, 0, 2048, SK_NEED_BIAS, 0},
    {"phi3small", 0, 0, 0, 0, 0, 0, 0, SK_NEED_SPARSE, 0},
};

static const sk_family *find_family(const char *type)
{
    for (size_t i = 1; i < SK_COUNT(families); i++)
        if (strcmp(families[i].type, type) == 0) return &families[i];
    return &families[0];
}

/* ---- heads and dimensions ---------------------------------------------------------- */

static sk_status heads_divide(const sk_config *c, uint32_t heads, uint32_t kv)
{
    return heads % kv == 0
               ? SPHKV_OK
               : sk_fail(c->err, SPHKV_EINVAL,
                         "%s: %u query heads cannot share %u KV heads evenly", c->where, heads, kv);
}

static sk_status read_kv_heads(const sk_config *c, uint32_t heads, uint32_t *kv)
{
    bool one = false, wide = false;
    uint32_t fallback = c->family->kv_heads ? c->family->kv_heads : heads;
    sk_status st = sk_config_flag(c, "new_decoder_architecture", false, &wide);
    if (st == SPHKV_OK && !wide) st = sk_config_flag(c, "multi_query", false, &one);
    if (st != SPHKV_OK) return st;
    if (one) { /* one KV head, whatever num_kv_heads says */
        *kv = 1;
        return SPHKV_OK;
    }
    st = sk_config_number(c, "num_key_value_heads|num_kv_heads|n_head_kv|multi_query_group_num", 1,
                          1024, fallback, kv);
    return st == SPHKV_OK ? heads_divide(c, heads, *kv) : st;
}

static sk_status dims_ok(const sk_config *c, const char *what, uint32_t dims)
{
    if (dims >= 8 && dims <= 1024 && dims % 8 == 0) return SPHKV_OK;
    return sk_fail(c->err, SPHKV_EINVAL,
                   "%s: %s of %u dimensions: must be a multiple of 8 from 8 to 1024", c->where,
                   what, dims);
}

/* head_dim as given, else the class's, else hidden_size / heads. */
static sk_status read_head_dim(const sk_config *c, uint32_t heads, uint32_t *dims)
{
    uint32_t hidden = 0;
    sk_status st = sk_config_optional(c, "head_dim|kv_channels", 1024, dims);
    if (st == SPHKV_OK && *dims == 0) {
        const cJSON *said;
        st = sk_config_field(c, "head_dim|kv_channels", &said);
        if (st == SPHKV_OK && said) return dims_ok(c, "heads", 0);
        *dims = c->family->head_dim;
    }
    if (st == SPHKV_OK && *dims == 0) {
        st = sk_config_number(c, "hidden_size|n_embd|d_model", 1, 1u << 20, 0, &hidden);
        if (st == SPHKV_OK && hidden % heads != 0)
            return sk_fail(c->err, SPHKV_EINVAL,
                           "%s: hidden_size %u is not a multiple of its %u heads, and there is no "
                           "head_dim", c->where, hidden, heads);
        *dims = st == SPHKV_OK ? hidden / heads : 0;
    }
    return st == SPHKV_OK ? dims_ok(c, "heads", *dims) : st;
}

/* The cache of latent attention: one row of rank + rotary dimensions, whose first
 * rank dimensions are also the values. */
static sk_status read_latent(const sk_config *c, uint32_t rank, sk_layers *l)
{
    uint32_t rope = 0;
    sk_status st = sk_config_optional(c, "qk_rope_head_dim", 1024, &rope);
    l->kv_heads = 1;
    l->head_dim = rank + rope;
    l->value_dim = rank;
    return st == SPHKV_OK ? dims_ok(c, "latent keys", rank + rope) : st;
}

/* Gemma 4: the layers that see everything have heads of their own. */
static sk_status read_global(const sk_config *c, sk_model *m)
{
    uint32_t kv = 0;
    bool counts = false;
    sk_status st = sk_config_number(c, "global_head_dim", 8, 1024, 512, &m->full.head_dim);
    m->full.value_dim = m->full.head_dim;
    if (st == SPHKV_OK) st = dims_ok(c, "global heads", m->full.head_dim);
    if (st == SPHKV_OK) st = sk_config_flag(c, "attention_k_eq_v", false, &counts);
    if (st == SPHKV_OK) st = sk_config_optional(c, "num_global_key_value_heads", m->heads, &kv);
    if (st == SPHKV_OK && counts && kv) m->full.kv_heads = kv;
    return st == SPHKV_OK ? heads_divide(c, m->heads, m->full.kv_heads) : st;
}

static sk_status read_shape(const sk_config *c, sk_model *m)
{
    uint32_t rank = 0, value = 0;
    sk_layers l = {0};
    sk_status st = sk_config_number(c, "num_attention_heads|n_head|num_heads", 1, 1024,
                                    c->family->heads, &m->heads);
    if (st == SPHKV_OK) st = sk_config_optional(c, "kv_lora_rank", 1024, &rank);
    if (st == SPHKV_OK && rank) {
        m->needs |= SK_NEED_LATENT;
        st = read_latent(c, rank, &l);
    } else if (st == SPHKV_OK) {
        st = read_kv_heads(c, m->heads, &l.kv_heads);
        if (st == SPHKV_OK) st = read_head_dim(c, m->heads, &l.head_dim);
        if (st == SPHKV_OK) st = sk_config_optional(c, "v_head_dim", 1024, &value);
        l.value_dim = value ? value : l.head_dim;
        if (st == SPHKV_OK) st = dims_ok(c, "values", l.value_dim);
    }
    m->full = m->local = l;
    if (st == SPHKV_OK && strcmp(c->family->type, "gemma4_text") == 0) st = read_global(c, m);
    return st;
}

/* ---- variants -------------------------------------------------------------------------- */

/* A positive number, or absent. */
static sk_status read_positive(const sk_config *c, const char *name, double *out)
{
    const cJSON *item;
    sk_status st = sk_config_field(c, name, &item);
    *out = 0;
    if (st != SPHKV_OK || !item) return st;
    if (!cJSON_IsNumber(item) || !isfinite(item->valuedouble) || item->valuedouble <= 0)
        return sk_fail(c->err, SPHKV_EINVAL, "%s: %s is no positive number", c->where, name);
    *out = item->valuedouble;
    return SPHKV_OK;
}

static sk_status read_scale(const sk_config *c, sk_model *m)
{
    double scalar, factor;
    sk_status st = read_positive(c, "query_pre_attn_scalar", &scalar);
    if (st == SPHKV_OK) st = read_positive(c, "attention_multiplier", &factor);
    if (st != SPHKV_OK) return st;
    if (factor > 0)
        m->scale = factor;
    else if (scalar > 0 && scalar != sk_model_main(m)->head_dim)
        m->scale = 1 / sqrt(scalar);
    return SPHKV_OK;
}

static sk_status read_alibi(const sk_config *c, sk_model *m)
{
    const cJSON *inner;
    bool alibi = false;
    sk_status st = sk_config_flag(c, "alibi|use_alibi", false, &alibi);
    if (st == SPHKV_OK && !alibi) st = sk_config_field(c, "attn_config", &inner);
    if (st == SPHKV_OK && !alibi && cJSON_IsObject(inner)) {
        sk_config nested = *c;
        nested.object = inner;
        st = sk_config_flag(&nested, "alibi", false, &alibi);
    }
    if (alibi) m->needs |= SK_NEED_BIAS;
    return st;
}

static sk_status read_needs(const sk_config *c, sk_model *m)
{
    static const struct {
        const char *fields;
        sk_need need;
    } said[] = {
        {"attn_logit_softcapping", SK_NEED_SOFTCAP},
        {"blocksparse_block_size|index_topk|sparse_attention_config", SK_NEED_SPARSE},
        {"dual_chunk_attention_config", SK_NEED_DUAL_CHUNK},
    };
    bool encoder = false;
    m->needs |= c->family->needs;
    for (size_t i = 0; i < SK_COUNT(said); i++) {
        const cJSON *item;
        sk_status st = sk_config_field(c, said[i].fields, &item);
        if (st != SPHKV_OK) return st;
        if (item) m->needs |= (uint32_t)said[i].need;
    }
    if (cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(c->object, "attn_logit_softcapping")))
        m->needs &= ~(uint32_t)SK_NEED_SOFTCAP; /* the class's default, taken back */
    sk_status st = sk_config_flag(c, "is_encoder_decoder", false, &encoder);
    if (encoder) m->needs |= SK_NEED_CROSS;
    if (st == SPHKV_OK) st = read_alibi(c, m);
    return st == SPHKV_OK ? read_scale(c, m) : st;
}

/* Fields that change the heads of some layers in ways not known here. */
static sk_status refuse_strange(const sk_config *c)
{
    static const char *const strange[] = {
        "block_configs",     "per_layer_config",        "num_query_heads",
        "swa_head_dim",      "swa_num_attention_heads", "swa_num_key_value_heads",
        "block_types",       "attention_types",         "linear_attn_config",
        "attn_module_list",
    };
    for (size_t i = 0; i < SK_COUNT(strange); i++) {
        const cJSON *item;
        sk_status st = sk_config_field(c, strange[i], &item);
        if (st != SPHKV_OK) return st;
        if (item)
            return sk_fail(c->err, SPHKV_EUNSUPPORTED,
                           "%s: %s: layers that differ in this way are not known here; give "
                           "--head-dim, --heads and --kv-heads of those that matter", c->where,
                           strange[i]);
    }
    return SPHKV_OK;
}

/* ---- weights ---------------------------------------------------------------------------- */

/* Sizes are a help, not a need: 0 for what is absent or no plain number. */
static uint32_t size_of(const sk_config *c, const char *names)
{
    sk_config quiet = *c;
    uint32_t x = 0;
    quiet.err = NULL;
    return sk_config_optional(&quiet, names, 1u << 24, &x) == SPHKV_OK ? x : 0;
}

static void read_experts(const sk_config *c, uint32_t layers, sk_weights *w)
{
    const bool llama4 = strcmp(c->family->type, "llama4_text") == 0;
    uint32_t step = size_of(c, "interleave_moe_layer_step|decoder_sparse_step");
    uint32_t first = size_of(c, "first_k_dense_replace"), inter = size_of(c, "moe_intermediate_size");
    w->experts = size_of(c, "num_local_experts|num_experts|n_routed_experts");
    w->active = size_of(c, "num_experts_per_tok");
    if (!w->experts) return;
    w->moe_intermediate = inter ? inter : w->intermediate;
    w->shared_intermediate = llama4 ? w->intermediate : size_of(c, "shared_expert_intermediate_size");
    if (!w->shared_intermediate)
        w->shared_intermediate = size_of(c, "n_shared_experts") * w->moe_intermediate;
    w->moe_layers = (layers - (first < layers ? first : layers)) / (step ? step : 1);
    if (llama4) w->intermediate = size_of(c, "intermediate_size_mlp");
}

static void read_weights(const sk_config *c, uint32_t layers, sk_model *m)
{
    sk_weights *w = &m->weights;
    const cJSON *list;
    sk_config outer = *c;
    outer.err = NULL;
    const bool tied_class = strncmp(c->family->type, "gemma", 5) == 0 ||
                            strncmp(c->family->type, "cohere", 6) == 0 ||
                            strncmp(c->family->type, "granite", 7) == 0;
    w->gates = c->family->gates;
    w->vocab = size_of(c, "vocab_size|padded_vocab_size");
    w->intermediate = size_of(c, "intermediate_size|ffn_hidden_size");
    if (sk_config_flag(&outer, "tie_word_embeddings", tied_class, &w->tied) != SPHKV_OK) return;
    read_experts(c, layers, w);
    w->dense_layers = layers - w->moe_layers;
    bool known = w->gates && w->vocab && !m->cacheless && !(m->needs & SK_NEED_LATENT) &&
                 (!w->dense_layers || w->intermediate) && w->active <= w->experts &&
                 (!w->experts || w->active) &&
                 sk_config_field(&outer, "mlp_only_layers|moe_layers", &list) == SPHKV_OK &&
                 cJSON_GetArraySize(list) == 0;
    if (known) w->hidden = size_of(c, "hidden_size");
    if (!w->hidden) *w = (sk_weights){0};
}

/* ---- the file ------------------------------------------------------------------------------ */

static sk_status read_fields(const sk_config *c, sk_model *m)
{
    uint32_t layers;
    sk_status st = refuse_strange(c);
    if (st == SPHKV_OK)
        st = sk_config_number(c, "num_hidden_layers|n_layer|num_layers", 1, SK_CONFIG_LAYERS, 0,
                              &layers);
    if (st == SPHKV_OK)
        st = sk_config_number(c, "max_position_embeddings|n_positions|max_sequence_length|"
                              "seq_length|max_seq_len", 1, CONTEXT_MOST, c->family->context,
                              &m->max_context);
    if (st == SPHKV_OK) st = read_shape(c, m);
    if (st == SPHKV_OK) st = sk_config_layers(c, layers, m);
    if (st != SPHKV_OK) return st;
    if (!m->full.n && !m->local.n)
        return sk_fail(c->err, SPHKV_EUNSUPPORTED, "%s: no layer of it keeps keys", c->where);
    if (m->local.n && m->local.span >= m->max_context &&
        m->local.head_dim == m->full.head_dim && m->local.kv_heads == m->full.kv_heads) {
        m->full.n += m->local.n; /* a window that nothing ever leaves */
        m->full.owners += m->local.owners;
        m->local.n = 0;
    }
    if (!m->local.n) m->local = (sk_layers){0}, m->chunked = false;
    if (!m->full.n) m->full = (sk_layers){0};
    st = read_needs(c, m);
    if (st == SPHKV_OK) read_weights(c, layers, m);
    return st;
}

static const char *type_of(const sk_config *c)
{
    const cJSON *type = NULL;
    return sk_config_field(c, "model_type", &type) == SPHKV_OK && cJSON_IsString(type)
               ? type->valuestring
               : "";
}

/* Models of several kinds of input keep the language model's fields inside,
 * sometimes with a copy of them outside. */
static sk_status enter_language_part(sk_config *c)
{
    const cJSON *inner;
    sk_status st = sk_config_field(c, "text_config|llm_config|language_config", &inner);
    if (st == SPHKV_OK && cJSON_IsObject(inner) && inner->child) c->object = inner;
    return st;
}

sk_status sk_model_parse(const char *text, size_t bytes, const char *where, sk_model *out,
                         sk_err *err)
{
    sk_model m;
    memset(&m, 0, sizeof m);
    if (memchr(text, 0, bytes) || strstr(text, "\\u0000"))
        return sk_fail(err, SPHKV_EINVAL, "%s: holds a NUL character", where);
    cJSON *root = cJSON_ParseWithLengthOpts(text, bytes + 1, NULL, 1);
    if (!root || !cJSON_IsObject(root)) {
        cJSON_Delete(root);
        return sk_fail(err, SPHKV_EINVAL, "%s: not a JSON object", where);
    }
    sk_config c = {root, where, &families[0], err};
    const char *outside = type_of(&c);
    sk_status st = enter_language_part(&c);
    const char *type = type_of(&c)[0] ? type_of(&c) : outside;
    c.family = find_family(type);
    snprintf(m.name, sizeof m.name, "%s", type[0] ? type : "config");
    if (st == SPHKV_OK) st = read_fields(&c, &m);
    cJSON_Delete(root);
    if (st == SPHKV_OK) *out = m;
    return st;
}
