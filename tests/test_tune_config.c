/* test_tune_config.c - config.json files good and bad: what each says of layers,
 * heads and variants, and for each bad one a line that names what is wrong. */
#include "sk_test.h"

#include "models.h"

#define SIZES "\"num_hidden_layers\":4,\"max_position_embeddings\":4096,"
#define HEADS "\"num_attention_heads\":8,\"num_key_value_heads\":2,\"head_dim\":64,"
#define GOOD                                                                                    \
    "{\"model_type\":\"llama\",\"hidden_size\":4096,\"num_attention_heads\":32,"                \
    "\"num_key_value_heads\":8,\"num_hidden_layers\":32,\"max_position_embeddings\":131072}"

static sk_status parse(const char *text, sk_model *m, sk_err *err)
{
    memset(err, 0, sizeof *err);
    memset(m, 0, sizeof *m);
    return sk_model_parse(text, strlen(text), "config.json", m, err);
}

/* A config with HEADS and SIZES and some more, of a model type. */
static sk_status parse_more(const char *type, const char *more, sk_model *m, sk_err *err)
{
    sk_text t = {0};
    sk_text_printf(&t, "{" HEADS SIZES "\"model_type\":\"%s\"%s%s}", type, more[0] ? "," : "", more);
    assert_false(t.failed);
    sk_status st = parse(t.s, m, err);
    sk_text_free(&t);
    return st;
}

static void heads_and_dims(void **state)
{
    (void)state;
    static const struct {
        const char *fields;
        uint32_t heads, kv, dim, value;
    } row[] = {
        {"\"num_attention_heads\":32,\"num_key_value_heads\":8,\"hidden_size\":4096", 32, 8, 128, 128},
        {"\"num_attention_heads\":16,\"head_dim\":256,\"hidden_size\":100", 16, 16, 256, 256},
        {"\"num_attention_heads\":8,\"head_dim\":null,\"hidden_size\":512", 8, 8, 64, 64},
        {"\"num_attention_heads\":64,\"num_key_value_heads\":4,\"head_dim\":192,\"v_head_dim\":128",
         64, 4, 192, 128},
        {"\"n_head\":12,\"n_embd\":768", 12, 12, 64, 64},
        {"\"num_attention_heads\":71,\"hidden_size\":4544,\"multi_query\":true,\"num_kv_heads\":71",
         71, 1, 64, 64},
        {"\"num_attention_heads\":128,\"hidden_size\":8192,\"multi_query\":true,\"num_kv_heads\":8,"
         "\"new_decoder_architecture\":true", 128, 8, 64, 64},
        {"\"num_attention_heads\":32,\"kv_channels\":128,\"multi_query_group_num\":2", 32, 2, 128, 128},
        {"\"model_type\":\"mistral\",\"num_attention_heads\":32,\"hidden_size\":4096", 32, 8, 128, 128},
        {"\"model_type\":\"gemma3_text\",\"hidden_size\":2560", 8, 4, 256, 256},
    };
    for (size_t i = 0; i < SK_COUNT(row); i++) {
        sk_text t = {0};
        sk_model m;
        sk_err err;
        sk_text_printf(&t, "{" SIZES "%s}", row[i].fields);
        sk_assert_ok(parse(t.s, &m, &err), &err);
        const sk_layers *l = sk_model_main(&m);
        if (m.heads != row[i].heads || l->kv_heads != row[i].kv || l->head_dim != row[i].dim ||
            l->value_dim != row[i].value)
            fail_msg("%s: %u/%u of %u/%u", row[i].fields, m.heads, l->kv_heads, l->head_dim,
                     l->value_dim);
        sk_text_free(&t);
    }
}

/* The language model's fields inside; a copy outside does not count. */
static void nested(void **state)
{
    (void)state;
    sk_model m;
    sk_err err;
    sk_assert_ok(parse("{\"model_type\":\"llava\",\"text_config\":" GOOD "}", &m, &err), &err);
    assert_int_equal(m.heads, 32);
    assert_string_equal(m.name, "llama");
    sk_assert_ok(parse("{\"num_attention_heads\":16,\"hidden_size\":1,\"text_config\":" GOOD
                       ",\"vision_config\":{\"num_attention_heads\":3}}", &m, &err), &err);
    assert_int_equal(m.heads, 32);
    sk_assert_ok(parse("{\"text_config\":null," HEADS SIZES "\"model_type\":\"qwen2\"}", &m, &err),
                 &err);
    assert_int_equal(m.heads, 8);
    sk_assert_ok(parse("{\"text_config\":{}," HEADS SIZES "\"model_type\":\"qwen2\"}", &m, &err), &err);
    assert_int_equal(m.heads, 8);
    assert_int_equal(parse("{\"text_config\":" GOOD ",\"text_config\":" GOOD "}", &m, &err),
                     SPHKV_EINVAL);
    assert_non_null(strstr(err.message, "text_config stands there twice"));
}

/* type, fields, how many layers of each kind, the span, how many share keys */
static void kinds_of_layers(void **state)
{
    (void)state;
    static const struct {
        const char *type, *more;
        uint32_t full, local, span, cacheless, shared;
    } row[] = {
        {"llama", "", 4, 0, 0, 0, 0},
        {"llama", "\"sliding_window\":null", 4, 0, 0, 0, 0},
        {"mistral", "", 4, 0, 0, 0, 0}, /* the class's 4096 is all there is */
        {"mistral", "\"sliding_window\":1024", 0, 4, 1024, 0, 0},
        {"mistral", "\"sliding_window\":null", 4, 0, 0, 0, 0},
        {"phi3", "\"sliding_window\":2047", 0, 4, 2047, 0, 0},
        {"phi3", "\"sliding_window\":262144", 4, 0, 0, 0, 0},
        {"qwen2", "\"sliding_window\":1024", 4, 0, 0, 0, 0}, /* off unless used */
        {"qwen2", "\"sliding_window\":1024,\"use_sliding_window\":false", 4, 0, 0, 0, 0},
        {"qwen2", "\"sliding_window\":1024,\"use_sliding_window\":true,\"max_window_layers\":3",
         3, 1, 1024, 0, 0},
        {"gemma2", "\"sliding_window\":512", 2, 2, 512, 0, 0},
        {"gemma3_text", "\"sliding_window\":512,\"sliding_window_pattern\":4", 1, 3, 512, 0, 0},
        {"gpt_oss", "", 2, 2, 128, 0, 0},
        {"exaone4", "\"sliding_window\":512,\"sliding_window_pattern\":\"LLLG\"", 1, 3, 512, 0, 0},
        {"any", "\"sliding_window\":64,\"layer_types\":[\"sliding_attention\",\"full_attention\","
         "\"full_attention\",\"sliding_attention\"]", 2, 2, 64, 0, 0},
        {"any", "\"layer_types\":[\"mamba\",\"attention\",\"mamba\",\"mamba\"]", 1, 0, 0, 3, 0},
        {"qwen3_next", "\"full_attention_interval\":4", 1, 0, 0, 3, 0},
        {"jamba", "\"attn_layer_period\":4,\"attn_layer_offset\":2", 1, 0, 0, 3, 0},
        {"bamba", "\"attn_layer_indices\":[1,3]", 2, 0, 0, 2, 0},
        {"mllama_text_model", "\"cross_attention_layers\":[3]", 3, 0, 0, 1, 0},
        {"nemotron_h", "\"hybrid_override_pattern\":\"M-*E\"", 1, 0, 0, 3, 0},
        {"minimax", "\"attn_type_list\":[0,0,0,1]", 1, 0, 0, 3, 0},
        {"llama4_text", "\"attention_chunk_size\":1024", 1, 3, 1024, 0, 0},
        {"llama4_text", "\"attention_chunk_size\":1024,\"no_rope_layers\":[]", 1, 3, 1024, 0, 0},
        {"llama4_text", "\"attention_chunk_size\":1024,\"no_rope_layers\":[0,1,0,1]", 2, 2, 1024, 0, 0},
        {"llama4_text", "\"attention_chunk_size\":null", 4, 0, 0, 0, 0},
        {"gemma3n_text", "\"num_kv_shared_layers\":2,\"sliding_window\":512,\"layer_types\":"
         "[\"sliding_attention\",\"full_attention\",\"sliding_attention\",\"full_attention\"]",
         2, 2, 512, 0, 2},
        {"hunyuan", "\"use_cla\":true,\"cla_share_factor\":2", 4, 0, 0, 0, 2},
        {"hunyuan", "\"use_cla\":false,\"cla_share_factor\":2", 4, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < SK_COUNT(row); i++) {
        sk_model m;
        sk_err err;
        sk_status st = parse_more(row[i].type, row[i].more, &m, &err);
        if (st != SPHKV_OK) fail_msg("%s %s: %s", row[i].type, row[i].more, err.message);
        uint32_t shared = m.full.n + m.local.n - m.full.owners - m.local.owners;
        if (m.full.n != row[i].full || m.local.n != row[i].local || m.local.span != row[i].span ||
            m.cacheless != row[i].cacheless || shared != row[i].shared)
            fail_msg("%s %s: %u full, %u of %u, %u without, %u shared", row[i].type, row[i].more,
                     m.full.n, m.local.n, m.local.span, m.cacheless, shared);
        assert_true(m.chunked == (m.local.n > 0 && strcmp(row[i].type, "llama4_text") == 0));
    }
    sk_model m;
    sk_err err;
    sk_assert_ok(parse("{\"model_type\":\"gemma4_text\",\"num_hidden_layers\":6,"
                       "\"num_attention_heads\":32,\"num_key_value_heads\":16,"
                       "\"num_global_key_value_heads\":4,\"attention_k_eq_v\":true,"
                       "\"sliding_window\":1024}", &m, &err), &err);
    assert_true(m.full.n == 1 && m.full.kv_heads == 4 && m.full.head_dim == 512);
    assert_true(m.local.n == 5 && m.local.kv_heads == 16 && m.local.head_dim == 256);
}

static void variants(void **state)
{
    (void)state;
    static const struct {
        const char *type, *more;
        uint32_t needs;
    } row[] = {
        {"llama", "\"attention_bias\":true,\"partial_rotary_factor\":0.5,\"alibi\":false", 0},
        {"gemma2", "", SK_NEED_SOFTCAP}, /* the class's default */
        {"gemma2", "\"attn_logit_softcapping\":null", 0},
        {"gemma3_text", "\"attn_logit_softcapping\":50.0", SK_NEED_SOFTCAP},
        {"gpt_oss", "", SK_NEED_SINK},
        {"deepseek_v3", "\"kv_lora_rank\":512,\"qk_rope_head_dim\":64", SK_NEED_LATENT},
        {"deepseek_v32", "\"kv_lora_rank\":512,\"qk_rope_head_dim\":64,\"index_topk\":2048",
         SK_NEED_LATENT | SK_NEED_SPARSE},
        {"falcon", "\"alibi\":true", SK_NEED_BIAS},
        {"bloom", "", SK_NEED_BIAS},
        {"mpt", "\"attn_config\":{\"alibi\":true}", SK_NEED_BIAS},
        {"mpt", "\"attn_config\":{\"alibi\":false}", 0},
        {"phi3small", "", SK_NEED_SPARSE},
        {"qwen2", "\"dual_chunk_attention_config\":{\"chunk_size\":262144}", SK_NEED_DUAL_CHUNK},
        {"t5", "\"is_encoder_decoder\":true", SK_NEED_CROSS},
    };
    for (size_t i = 0; i < SK_COUNT(row); i++) {
        sk_model m;
        sk_err err;
        sk_status st = parse_more(row[i].type, row[i].more, &m, &err);
        if (st != SPHKV_OK || m.needs != row[i].needs)
            fail_msg("%s %s: needs %x, %s", row[i].type, row[i].more, m.needs, err.message);
        assert_int_equal(sk_model_served(&m, &err),
                         m.needs & ~(uint32_t)(SK_NEED_SINK | SK_NEED_SOFTCAP | SK_NEED_LATENT)
                             ? SPHKV_EUNSUPPORTED
                             : SPHKV_OK);
        assert_int_equal(sk_model_variants(&m),
                         m.needs & SK_NEED_SOFTCAP ? SPHKV_VARIANT_SOFTCAP : 0);
    }
    sk_model m;
    sk_err err;
    sk_assert_ok(parse_more("deepseek_v3", "\"kv_lora_rank\":512,\"qk_rope_head_dim\":64", &m, &err),
                 &err);
    assert_true(m.full.kv_heads == 1 && m.full.head_dim == 576 && m.full.value_dim == 512);
    sk_assert_ok(parse_more("gemma3_text", "\"query_pre_attn_scalar\":16", &m, &err), &err);
    assert_true(m.scale == 0.25);
    sk_assert_ok(parse_more("gemma3_text", "\"query_pre_attn_scalar\":64", &m, &err), &err);
    assert_true(m.scale == 0); /* as usual */
    sk_assert_ok(parse_more("granite", "\"attention_multiplier\":0.0078125", &m, &err), &err);
    assert_true(m.scale == 0.0078125);
}

/* Sizes of weights: those of a known form are counted as the tables' are. */
static void weights(void **state)
{
    (void)state;
    static const struct {
        const char *type, *more, *name; /* a known model of the same weights */
    } row[] = {
        {"qwen3_moe", "\"num_hidden_layers\":48,\"num_attention_heads\":32,\"num_key_value_heads\":4,"
         "\"head_dim\":128,\"hidden_size\":2048,\"intermediate_size\":6144,\"vocab_size\":151936,"
         "\"moe_intermediate_size\":768,\"num_experts\":128,\"num_experts_per_tok\":8,"
         "\"decoder_sparse_step\":1,\"mlp_only_layers\":[]", "qwen3-30b-a3b"},
        {"mixtral", "\"num_hidden_layers\":32,\"num_attention_heads\":32,\"num_key_value_heads\":8,"
         "\"hidden_size\":4096,\"intermediate_size\":14336,\"vocab_size\":32000,"
         "\"num_local_experts\":8,\"num_experts_per_tok\":2", "mixtral-8x7b"},
        {"llama4_text", "\"num_hidden_layers\":48,\"hidden_size\":5120,\"intermediate_size\":8192,"
         "\"intermediate_size_mlp\":16384,\"vocab_size\":202048,\"num_local_experts\":128,"
         "\"num_experts_per_tok\":1,\"interleave_moe_layer_step\":2", "llama-4-maverick"},
        {"glm4_moe", "\"num_hidden_layers\":46,\"num_attention_heads\":96,\"num_key_value_heads\":8,"
         "\"head_dim\":128,\"hidden_size\":4096,\"intermediate_size\":10944,\"vocab_size\":151552,"
         "\"moe_intermediate_size\":1408,\"n_routed_experts\":128,\"n_shared_experts\":1,"
         "\"num_experts_per_tok\":8,\"first_k_dense_replace\":1", "glm-4.5-air"},
        {"gemma3_text", "\"num_hidden_layers\":34,\"hidden_size\":2560,\"intermediate_size\":10240,"
         "\"vocab_size\":262208,\"sliding_window\":1024", "gemma-3-4b"},
        {"llama", "\"num_hidden_layers\":16,\"num_attention_heads\":32,\"num_key_value_heads\":8,"
         "\"hidden_size\":2048,\"intermediate_size\":8192,\"vocab_size\":128256,"
         "\"tie_word_embeddings\":true", "llama-3.2-1b"},
    };
    for (size_t i = 0; i < SK_COUNT(row); i++) {
        sk_text t = {0};
        sk_model m, known;
        sk_err err;
        double a, b, c, d;
        sk_text_printf(&t, "{\"model_type\":\"%s\",\"max_position_embeddings\":131072,%s}",
                       row[i].type, row[i].more);
        sk_assert_ok(parse(t.s, &m, &err), &err);
        sk_assert_ok(sk_model_find(row[i].name, &known, &err), &err);
        assert_true(sk_model_parameters(&m, &a) && sk_model_parameters(&known, &b));
        assert_true(sk_model_parameters_read(&m, 3, &c) && sk_model_parameters_read(&known, 3, &d));
        if (a != b || c != d) fail_msg("%s: %.0f, not %.0f", row[i].name, a, b);
        sk_text_free(&t);
    }
    static const char *const unknown[] = {"", "\"hidden_size\":512,\"vocab_size\":100",
                                          "\"hidden_size\":512,\"vocab_size\":-1,\"intermediate_size\":9",
                                          "\"hidden_size\":512,\"vocab_size\":9,\"intermediate_size\":[9]"};
    for (size_t i = 0; i < SK_COUNT(unknown); i++) {
        sk_model m;
        sk_err err;
        double n;
        sk_assert_ok(parse_more("llama", unknown[i], &m, &err), &err);
        assert_false(sk_model_parameters(&m, &n));
    }
}

/* What is put in for the number of heads, and what the message must name. */
static void bad_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *value, *says;
    } bad[] = {{"0", "num_attention_heads"},    {"-8", "num_attention_heads"},
               {"32.5", "num_attention_heads"}, {"1e400", "num_attention_heads"},
               {"\"32\"", "not a number"},      {"true", "not a number"},
               {"null", "missing"},             {"99999999999", "num_attention_heads"},
               {"24", "hidden_size"},           {"9007199254740993", "num_attention_heads"},
               {"4,\"num_attention_heads\":8", "twice"}, {"null,\"num_attention_heads\":8", "twice"},
               {"-1e400", "num_attention_heads"}, {"1e-400", "num_attention_heads"}};
    for (size_t i = 0; i < SK_COUNT(bad); i++) {
        sk_text t = {0};
        sk_model m;
        sk_err err;
        sk_text_printf(&t, "{\"num_attention_heads\":%s,\"hidden_size\":4096,"
                           "\"num_hidden_layers\":2,\"max_position_embeddings\":64}",
                       bad[i].value);
        assert_int_equal(parse(t.s, &m, &err), SPHKV_EINVAL);
        if (!strstr(err.message, bad[i].says))
            fail_msg("%s: said %s", bad[i].value, err.message);
        sk_text_free(&t);
    }
}

/* One absurd field beside good ones. */
static void bad_fields(void **state)
{
    (void)state;
    static const struct {
        const char *type, *more;
        sk_status status;
        const char *says;
    } bad[] = {
        {"llama", "\"sliding_window\":-1", SPHKV_EINVAL, "sliding_window"},
        {"llama", "\"sliding_window\":1e400", SPHKV_EINVAL, "sliding_window"},
        {"llama", "\"sliding_window\":\"wide\"", SPHKV_EINVAL, "sliding_window is not a number"},
        {"llama", "\"sliding_window\":8,\"sliding_window\":9", SPHKV_EINVAL, "twice"},
        {"qwen2", "\"use_sliding_window\":1", SPHKV_EINVAL, "neither true nor false"},
        {"qwen2", "\"use_sliding_window\":true,\"max_window_layers\":-2", SPHKV_EINVAL,
         "max_window_layers"},
        {"gemma3_text", "\"sliding_window\":9,\"sliding_window_pattern\":0", SPHKV_EINVAL,
         "sliding_window_pattern"},
        {"exaone4", "\"sliding_window\":9,\"sliding_window_pattern\":\"\"", SPHKV_EINVAL, "letter"},
        {"exaone4", "\"sliding_window\":9,\"sliding_window_pattern\":\"LXG\"", SPHKV_EUNSUPPORTED,
         "'X'"},
        {"any", "\"layer_types\":[\"full_attention\"]", SPHKV_EINVAL, "each of the 4 layers"},
        {"any", "\"layer_types\":\"full_attention\"", SPHKV_EINVAL, "each of the 4 layers"},
        {"any", "\"layer_types\":[1,2,3,4]", SPHKV_EINVAL, "layer_types[0] is not a name"},
        {"any", "\"layer_types\":[\"attention\",\"attention\",\"attention\",\"telepathy\"]",
         SPHKV_EUNSUPPORTED, "layer_types[3] is 'telepathy'"},
        {"any", "\"layer_types\":[\"attention\",\"sliding_attention\",\"mamba\",\"mamba\"]",
         SPHKV_EINVAL, "sliding_window is missing"},
        {"any", "\"layer_types\":[\"mamba\",\"mamba\",\"mamba\",\"mamba\"]", SPHKV_EUNSUPPORTED,
         "no layer"},
        {"llama4_text", "\"no_rope_layers\":[2,1,1,1]", SPHKV_EINVAL, "no_rope_layers[0]"},
        {"llama4_text", "\"no_rope_layers\":[1]", SPHKV_EINVAL, "no_rope_layers"},
        {"llama4_text", "\"no_rope_layer_interval\":0", SPHKV_EINVAL, "no_rope_layer_interval"},
        {"bamba", "\"attn_layer_indices\":[4]", SPHKV_EINVAL, "attn_layer_indices"},
        {"bamba", "\"attn_layer_indices\":[1.5]", SPHKV_EINVAL, "attn_layer_indices"},
        {"bamba", "\"attn_layer_indices\":7", SPHKV_EINVAL, "attn_layer_indices"},
        {"jamba", "\"attn_layer_period\":4,\"attn_layer_offset\":4", SPHKV_EINVAL,
         "attn_layer_offset"},
        {"nemotron_h", "\"hybrid_override_pattern\":\"M*\"", SPHKV_EINVAL, "letter"},
        {"nemotron_h", "\"hybrid_override_pattern\":\"M*?M\"", SPHKV_EUNSUPPORTED, "'?'"},
        {"gemma3n_text", "\"num_kv_shared_layers\":4", SPHKV_EINVAL, "num_kv_shared_layers"},
        {"hunyuan", "\"use_cla\":true", SPHKV_EINVAL, "cla_share_factor is missing"},
        {"gemma3_text", "\"query_pre_attn_scalar\":0", SPHKV_EINVAL, "query_pre_attn_scalar"},
        {"granite", "\"attention_multiplier\":-1", SPHKV_EINVAL, "attention_multiplier"},
        {"granite", "\"attention_multiplier\":1e999", SPHKV_EINVAL, "attention_multiplier"},
        {"deepseek_v3", "\"kv_lora_rank\":511", SPHKV_EINVAL, "latent keys of 511"},
        {"any", "\"v_head_dim\":100", SPHKV_EINVAL, "values of 100"},
        {"any", "\"is_encoder_decoder\":\"no\"", SPHKV_EINVAL, "is_encoder_decoder"},
        {"gemma4_text", "\"global_head_dim\":-1", SPHKV_EINVAL, "global_head_dim"},
        {"deci", "\"block_configs\":[]", SPHKV_EUNSUPPORTED, "block_configs"},
        {"mimo", "\"swa_num_key_value_heads\":8", SPHKV_EUNSUPPORTED, "swa_num_key_value_heads"},
        {"openelm", "\"num_query_heads\":[12,12,16,16]", SPHKV_EUNSUPPORTED, "num_query_heads"},
    };
    for (size_t i = 0; i < SK_COUNT(bad); i++) {
        sk_model m;
        sk_err err;
        sk_status st = parse_more(bad[i].type, bad[i].more, &m, &err);
        if (st != bad[i].status || !strstr(err.message, bad[i].says) ||
            !strstr(err.message, "config.json") || strchr(err.message, '\n'))
            fail_msg("%s %s: status %d, %s", bad[i].type, bad[i].more, (int)st, err.message);
        assert_int_equal(m.heads, 0); /* nothing was filled in */
    }
}

static void bad_files(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "[]", "{", "nonsense", GOOD " trailing", GOOD GOOD, "{}", "null", "\"llama\"", "42",
        "{\"model_type\":\"a\\u0000b\",\"num_attention_heads\":8}",
        "{\"Num_Attention_Heads\":32,\"hidden_size\":4096}", /* case counts */
        "{\"num_attention_heads\":32,\"num_key_value_heads\":5,\"head_dim\":128,"
        "\"num_hidden_layers\":1,\"max_position_embeddings\":9}",
        "{\"num_attention_heads\":32,\"num_key_value_heads\":64,\"head_dim\":128,"
        "\"num_hidden_layers\":1,\"max_position_embeddings\":9}",
        "{\"num_attention_heads\":32,\"head_dim\":12,\"num_hidden_layers\":1,"
        "\"max_position_embeddings\":9}",
        "{\"num_attention_heads\":32,\"head_dim\":0,\"hidden_size\":4096,\"num_hidden_layers\":1,"
        "\"max_position_embeddings\":9}",
        "{" HEADS "\"num_hidden_layers\":100000,\"max_position_embeddings\":9}",
        "{" HEADS "\"num_hidden_layers\":2}", "{" HEADS "\"max_position_embeddings\":2}",
        "{" HEADS "\"num_hidden_layers\":2,\"max_position_embeddings\":-5}",
    };
    sk_model m;
    sk_err err;
    for (size_t i = 0; i < SK_COUNT(bad); i++) {
        sk_status st = parse(bad[i], &m, &err);
        if (st != SPHKV_EINVAL || !strstr(err.message, "config.json"))
            fail_msg("%s: status %d, %s", bad[i], (int)st, err.message);
    }
    static const char nul[] = "{\"model_type\":\"a\0b\"}";
    assert_int_equal(sk_model_parse(nul, sizeof nul - 1, "config.json", &m, &err), SPHKV_EINVAL);
    assert_non_null(strstr(err.message, "NUL"));
}

/* Nested far deeper than any model, and more bytes than a config has. */
static void huge_files(void **state)
{
    (void)state;
    sk_text deep = {0}, big = {0};
    sk_model m;
    sk_err err = {0};
    for (uint32_t i = 0; i < 100000; i++) sk_text_append(&deep, "[", 1);
    assert_int_equal(parse(deep.s, &m, &err), SPHKV_EINVAL);
    sk_text_free(&deep);
    char *dir = sk_test_dir(), *path = sk_test_path(dir, "config.json");
    sk_text_printf(&big, "{\"model_type\":\"");
    for (uint32_t i = 0; i < 20000; i++) sk_text_printf(&big, "%0100u", i);
    sk_text_printf(&big, "\"}");
    assert_false(big.failed);
    sk_assert_ok(sk_file_write(path, big.s, big.len, &err), &err);
    assert_int_not_equal(sk_model_find(path, &m, &err), SPHKV_OK);
    assert_non_null(strstr(err.message, "config.json"));
    sk_assert_ok(sk_file_write(path, GOOD, strlen(GOOD), &err), &err);
    sk_assert_ok(sk_model_find(path, &m, &err), &err);
    assert_int_equal(m.full.n, 32);
    sk_text_free(&big);
    sk_free(path);
    sk_test_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_and_dims), cmocka_unit_test(nested),
        cmocka_unit_test(kinds_of_layers), cmocka_unit_test(variants),
        cmocka_unit_test(weights),        cmocka_unit_test(bad_numbers),
        cmocka_unit_test(bad_fields),     cmocka_unit_test(bad_files),
        cmocka_unit_test(huge_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
