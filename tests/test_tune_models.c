/* test_tune_models.c - known models, and config.json files good and bad: each
 * bad one gets one line that names what is wrong with it. */
#include "sk_test.h"

#include "models.h"

#define GOOD                                                                                    \
    "{\"model_type\":\"llama\",\"hidden_size\":4096,\"num_attention_heads\":32,"                \
    "\"num_key_value_heads\":8,\"num_hidden_layers\":32,\"max_position_embeddings\":131072}"

static sk_status parse(const char *text, sk_model *m, sk_err *err)
{
    memset(err, 0, sizeof *err);
    return sk_model_parse(text, strlen(text), "config.json", m, err);
}

static void known_models(void **state)
{
    (void)state;
    sk_model m;
    sk_err err;
    sk_assert_ok(sk_model_find("llama-3.1-8b", &m, &err), &err);
    assert_int_equal(m.heads, 32);
    assert_int_equal(m.kv_heads, 8);
    assert_int_equal(m.head_dim, 128);
    for (uint32_t i = 0; sk_model_get(i); i++) {
        const sk_model *k = sk_model_get(i);
        assert_int_equal(k->heads % k->kv_heads, 0);
        assert_true(k->layers && k->max_context >= 4096);
    }
    assert_int_equal(sk_model_find("llama-9", &m, &err), SPHKV_EINVAL);
    assert_non_null(strstr(err.message, "qwen3-8b"));
    assert_int_equal(sk_model_find("/nowhere/config.json", &m, &err), SPHKV_ENOTFOUND);
}

static void configs(void **state)
{
    (void)state;
    sk_model m;
    sk_err err;
    sk_assert_ok(parse(GOOD, &m, &err), &err);
    assert_string_equal(m.name, "llama");
    assert_int_equal(m.head_dim, 128);
    assert_int_equal(m.max_context, 131072);
    sk_assert_ok(parse("{\"num_attention_heads\":16,\"head_dim\":256,\"hidden_size\":100,"
                       "\"num_hidden_layers\":2,\"max_position_embeddings\":64}", &m, &err), &err);
    assert_int_equal(m.kv_heads, 16); /* not given: every head its own */
    assert_int_equal(m.head_dim, 256);
    sk_assert_ok(parse("{\"model_type\":\"gemma3\",\"text_config\":" GOOD "}", &m, &err), &err);
    assert_int_equal(m.heads, 32);
    sk_assert_ok(parse("{\"num_attention_heads\":8,\"head_dim\":null,\"hidden_size\":512,"
                       "\"num_hidden_layers\":2,\"max_position_embeddings\":64}", &m, &err), &err);
    assert_int_equal(m.head_dim, 64);
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
               {"4,\"num_attention_heads\":8", "twice"}};
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

static void bad_files(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "[]", "{", "nonsense", GOOD " trailing", "{}",
        "{\"model_type\":\"a\\u0000b\",\"num_attention_heads\":8}",
        "{\"Num_Attention_Heads\":32,\"hidden_size\":4096}", /* case counts */
        "{\"num_attention_heads\":32,\"num_key_value_heads\":5,\"head_dim\":128,"
        "\"num_hidden_layers\":1,\"max_position_embeddings\":9}",
        "{\"num_attention_heads\":32,\"head_dim\":12,\"num_hidden_layers\":1,"
        "\"max_position_embeddings\":9}",
    };
    for (size_t i = 0; i < SK_COUNT(bad); i++) {
        sk_model m;
        sk_err err;
        assert_int_equal(parse(bad[i], &m, &err), SPHKV_EINVAL);
        assert_non_null(strstr(err.message, "config.json"));
    }
    sk_model m;
    sk_err err;
    assert_int_equal(parse("{\"num_attention_heads\":128,\"kv_lora_rank\":512}", &m, &err),
                     SPHKV_EUNSUPPORTED);
    assert_non_null(strstr(err.message, "kv_lora_rank"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_models),
        cmocka_unit_test(configs),
        cmocka_unit_test(bad_numbers),
        cmocka_unit_test(bad_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
