/* test_tune_models.c - the models that are known by name: their shapes divide,
 * their sizes give the parameters that were published, what a step reads of
 * them, and whether kernels serve them. */
#include <math.h>

#include "sk_test.h"

#include "models.h"

static void models_by_name(void **state)
{
    (void)state;
    sk_model m;
    sk_err err = {0};
    sk_assert_ok(sk_model_find("llama-3.1-8b", &m, &err), &err);
    assert_int_equal(m.heads, 32);
    assert_int_equal(m.full.kv_heads, 8);
    assert_int_equal(m.full.head_dim, 128);
    assert_ptr_equal(sk_model_main(&m), &m.full);
    sk_assert_ok(sk_model_find("mistral-7b-v0.1", &m, &err), &err);
    assert_ptr_equal(sk_model_main(&m), &m.local);
    assert_int_equal(sk_model_find("qwen9-8b", &m, &err), SPHKV_EINVAL);
    assert_non_null(strstr(err.message, "qwen3-8b")); /* the family's others */
    assert_null(strstr(err.message, "llama"));
    assert_int_equal(sk_model_find("zz", &m, &err), SPHKV_EINVAL);
    assert_non_null(strstr(err.message, "--model list"));
    assert_int_equal(sk_model_find("/nowhere/config.json", &m, &err), SPHKV_ENOTFOUND);
}

static void check_layers(const sk_model *m, const sk_layers *l)
{
    if (!l->n) return;
    if (m->heads % l->kv_heads || l->owners > l->n || !l->owners || l->head_dim % 8 ||
        l->value_dim > l->head_dim || l->span >= m->max_context)
        fail_msg("%s: a row that cannot be", m->name);
}

static void rows_are_possible(void **state)
{
    (void)state;
    const sk_model *m, *k;
    for (uint32_t i = 0; (m = sk_model_get(i)) != NULL; i++) {
        check_layers(m, &m->full);
        check_layers(m, &m->local);
        assert_true(m->full.n + m->local.n > 0 && m->max_context >= 2048);
        assert_true(m->full.span == 0 && (m->local.n == 0 || m->local.span > 0));
        const sk_weights *w = &m->weights;
        if (w->hidden)
            assert_int_equal(w->dense_layers + w->moe_layers,
                             m->full.n + m->local.n + m->cacheless);
        for (uint32_t n = 0; n < i; n++) {
            k = sk_model_get(n);
            assert_string_not_equal(k->name, m->name);
        }
    }
}

/* Parameters as published, in billions: of the whole model, and those that are
 * active for a token where the makers say so. A wrong width, depth, vocabulary
 * or number of KV heads does not come within three thousandths. */
static const struct {
    const char *name;
    double all, active;
} published[] = {
    {"llama-2-7b", 6.738, 0},      {"llama-2-13b", 13.016, 0},    {"llama-2-70b", 68.977, 0},
    {"codellama-34b", 33.744, 0},  {"tinyllama-1.1b", 1.100, 0},  {"llama-3-8b", 8.030, 0},
    {"llama-3-70b", 70.554, 0},    {"llama-3.1-8b", 8.030, 0},    {"llama-3.1-70b", 70.554, 0},
    {"llama-3.1-405b", 405.853, 0}, {"llama-3.2-1b", 1.236, 0},   {"llama-3.2-3b", 3.213, 0},
    {"llama-3.3-70b", 70.554, 0},  {"llama-4-scout", 107.77, 0},  {"llama-4-maverick", 400.71, 0},
    {"qwen2.5-0.5b", 0.494, 0},    {"qwen2.5-1.5b", 1.544, 0},    {"qwen2.5-3b", 3.086, 0},
    {"qwen2.5-7b", 7.616, 0},      {"qwen2.5-14b", 14.770, 0},    {"qwen2.5-32b", 32.764, 0},
    {"qwen2.5-72b", 72.706, 0},    {"qwq-32b", 32.764, 0},        {"qwen3-0.6b", 0.596, 0},
    {"qwen3-1.7b", 1.721, 0},      {"qwen3-4b", 4.022, 0},        {"qwen3-8b", 8.191, 0},
    {"qwen3-14b", 14.768, 0},      {"qwen3-32b", 32.762, 0},      {"qwen3-30b-a3b", 30.532, 0},
    {"qwen3-235b-a22b", 235.09, 0}, {"mistral-7b-v0.1", 7.242, 0}, {"mistral-7b", 7.248, 0},
    {"mistral-nemo-12b", 12.248, 0}, {"codestral-22b", 22.247, 0},
    {"mistral-small-24b", 23.572, 0}, {"mistral-small-3.1-24b", 23.572, 0},
    {"mistral-large-123b", 122.61, 0}, {"mixtral-8x7b", 46.703, 12.88},
    {"mixtral-8x22b", 140.62, 39.1}, {"gemma-2b", 2.506, 0},      {"gemma-7b", 8.538, 0},
    {"gemma-2-2b", 2.614, 0},      {"gemma-2-9b", 9.242, 0},      {"gemma-2-27b", 27.227, 0},
    {"gemma-3-270m", 0.268, 0},    {"gemma-3-1b", 1.000, 0},      {"gemma-3-4b", 3.880, 0},
    {"gemma-3-12b", 11.766, 0},    {"gemma-3-27b", 27.009, 0},    {"phi-2", 2.780, 0},
    {"phi-3-mini", 3.821, 0},      {"phi-3-medium", 13.960, 0},   {"phi-3.5-moe", 41.873, 6.6},
    {"phi-4", 14.660, 0},          {"phi-4-mini", 3.836, 0},
    {"deepseek-r1-distill-qwen-1.5b", 1.777, 0}, {"deepseek-r1-distill-qwen-7b", 7.616, 0},
    {"deepseek-r1-distill-qwen-14b", 14.770, 0}, {"deepseek-r1-distill-qwen-32b", 32.764, 0},
    {"deepseek-r1-distill-llama-8b", 8.030, 0},  {"deepseek-r1-distill-llama-70b", 70.554, 0},
    {"gpt-oss-20b", 20.9, 0},      {"gpt-oss-120b", 116.8, 0},    {"smollm2-135m", 0.1345, 0},
    {"smollm2-360m", 0.3618, 0},   {"smollm2-1.7b", 1.711, 0},    {"smollm3-3b", 3.075, 0},
    {"olmo-2-1b", 1.485, 0},       {"olmo-2-7b", 7.299, 0},       {"olmo-2-13b", 13.716, 0},
    {"olmo-2-32b", 32.234, 0},     {"falcon3-1b", 1.669, 0},      {"falcon3-3b", 3.228, 0},
    {"falcon3-7b", 7.456, 0},      {"falcon3-10b", 10.306, 0},    {"granite-3.1-2b", 2.534, 0},
    {"granite-3.1-8b", 8.171, 0},  {"yi-6b", 6.061, 0},           {"yi-1.5-9b", 8.829, 0},
    {"yi-34b", 34.389, 0},         {"glm-4-9b", 9.400, 0},        {"glm-4-32b", 32.566, 0},
    {"glm-4.5-air", 106.85, 0},
};

static void parameters_as_published(void **state)
{
    (void)state;
    const sk_model *m;
    for (uint32_t i = 0; (m = sk_model_get(i)) != NULL; i++) {
        double all, want = 0, active = 0, read;
        for (size_t k = 0; k < SK_COUNT(published); k++)
            if (strcmp(published[k].name, m->name) == 0)
                want = published[k].all * 1e9, active = published[k].active * 1e9;
        if (!sk_model_parameters(m, &all)) {
            if (want > 0) fail_msg("%s has no sizes", m->name);
            assert_false(sk_model_parameters_read(m, 1, &read));
            continue;
        }
        if (want == 0) fail_msg("%s: what was published?", m->name);
        if (!(all > want * 0.997 && all < want * 1.003))
            fail_msg("%s: %.4f billion, published are %.4f", m->name, all * 1e-9, want * 1e-9);
        assert_true(sk_model_parameters_read(m, 1, &read) && read < all * 1.0001);
        if (active > 0) { /* the makers count the embedding */
            read += (double)m->weights.hidden * m->weights.vocab;
            if (!(read > active * 0.98 && read < active * 1.02))
                fail_msg("%s: %.3f billion active, published are %.3f", m->name, read * 1e-9,
                         active * 1e-9);
        }
    }
}

/* By hand for a model that is small enough to count. */
static void parameters_by_hand(void **state)
{
    (void)state;
    sk_model m = {.heads = 4,
                  .full = {2, 2, 2, 8, 8, 0},
                  .local = {1, 0, 1, 16, 8, 32},
                  .weights = {10, 100, true, 3, 1, 7, 2, 8, 2, 5, 3}};
    double all, read;
    const double attention = 2 * 10 * (4 + 2) * 16 + 10 * 4 * 24; /* a local layer has no keys */
    const double dense = 3 * 10 * 7, router = 2 * 10 * 8, shared = 2 * 3 * 10 * 3;
    const double expert = 2 * 3 * 10 * 5, head = 1000;
    assert_true(sk_model_parameters(&m, &all) && sk_model_parameters_read(&m, 1, &read));
    assert_true(all == attention + dense + router + shared + 8 * expert + head);
    assert_true(fabs(read - (attention + dense + router + shared + 2 * expert + head)) < 1e-6);
    m.weights.tied = false;
    assert_true(sk_model_parameters(&m, &all));
    assert_true(all == attention + dense + router + shared + 8 * expert + 2 * head);
    /* two tokens choose 2 of 8 each: 8 (1 - (3/4)^2) = 3.5 different ones on average */
    assert_true(sk_model_parameters_read(&m, 2, &read));
    assert_true(fabs(read - (attention + dense + router + shared + 3.5 * expert + head)) < 1e-6);
    m.weights.experts = m.weights.active = m.weights.moe_layers = 0;
    assert_true(sk_model_parameters_read(&m, 7, &read));
    assert_true(read == attention + dense + head);
}

static void weight_formats(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double bits; /* 0 = refused */
    } row[] = {{"f16", 16}, {"q8_0", 8.5}, {"q4_k", 4.5}, {"q6_k", 6.5625}, {"q4_0", 4.5},
               {"4.85", 4.85}, {"16", 16}, {"0", 0}, {"-4", 0}, {"q9_k", 0}, {"1e9", 0},
               {"nan", 0}, {"", 0}};
    for (size_t i = 0; i < SK_COUNT(row); i++) {
        double bits = 0;
        sk_err err = {0};
        sk_status st = sk_weight_bits(row[i].text, &bits, &err);
        assert_int_equal(st, row[i].bits > 0 ? SPHKV_OK : SPHKV_EINVAL);
        if (st == SPHKV_OK) assert_true(bits == row[i].bits);
    }
}

static void served_or_named(void **state)
{
    (void)state;
    static const struct {
        const char *name, *says; /* NULL: served */
    } row[] = {{"llama-3.1-8b", NULL}, {"gemma-3-27b", NULL},   {"llama-4-scout", NULL},
               {"mistral-7b-v0.1", NULL}, {"qwen3-next-80b-a3b", NULL},
               {"gpt-oss-20b", NULL}, {"gemma-2-9b", NULL},
               {"deepseek-v3", NULL}, {"phi-3-small", "sparse"}, {"glm-4-32b", NULL}};
    for (size_t i = 0; i < SK_COUNT(row); i++) {
        sk_model m;
        sk_err err = {0};
        sk_status st = sk_model_find(row[i].name, &m, &err);
        assert_int_equal(st, row[i].says ? SPHKV_EUNSUPPORTED : SPHKV_OK);
        if (row[i].says && (!strstr(err.message, row[i].says) || !strstr(err.message, row[i].name)))
            fail_msg("%s: said %s", row[i].name, err.message);
        assert_string_equal(m.name, row[i].name);
    }
    sk_model m = {.name = "both", .heads = 8, .full = {1, 1, 8, 64, 64, 0},
                  .needs = SK_NEED_SPARSE | SK_NEED_SINK | SK_NEED_SOFTCAP | SK_NEED_BIAS};
    sk_err err = {0};
    assert_int_equal(sk_model_served(&m, &err), SPHKV_EUNSUPPORTED);
    assert_true(strstr(err.message, sk_need_text(SK_NEED_SPARSE)) &&
                strstr(err.message, sk_need_text(SK_NEED_BIAS)) &&
                !strstr(err.message, sk_need_text(SK_NEED_SOFTCAP)) &&
                !strstr(err.message, sk_need_text(SK_NEED_SINK)));
}

static void expect_note(const char *name, const char *kinds, const char *note)
{
    sk_model m;
    sk_err err = {0};
    sk_text text = {0};
    (void)sk_model_find(name, &m, &err);
    sk_model_kinds(&m, &text);
    assert_string_equal(text.s, kinds);
    sk_text_free(&text);
    sk_model_note(&m, &text);
    if (!note)
        assert_null(text.s);
    else if (!text.s || !strstr(text.s, note))
        fail_msg("%s: noted %s", name, text.s ? text.s : "nothing");
    sk_text_free(&text);
}

static void notes_on_layers(void **state)
{
    (void)state;
    expect_note("llama-3.1-8b", "full", NULL);
    expect_note("gemma-3-4b", "5 full, 29 window 1024", "29 of 34 layers see a window of 1024");
    expect_note("llama-4-scout", "12 full, 36 chunks 8192", "chunks of 8192");
    expect_note("gpt-oss-20b", "12 full, 12 window 128", "exp(sink - lse)");
    expect_note("mistral-7b-v0.1", "32 window 4096", "ring of 4096 slots");
    expect_note("qwen3-next-80b-a3b", "12 full, 36 without a cache", NULL);
    expect_note("deepseek-v3", "full", "first 512 of 576 dimensions");
    expect_note("gemma-3n-e2b", "6 full, 24 window 512, 10 share keys", "24 of 30 layers");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_by_name),      cmocka_unit_test(rows_are_possible),
        cmocka_unit_test(parameters_as_published), cmocka_unit_test(parameters_by_hand),
        cmocka_unit_test(weight_formats),      cmocka_unit_test(served_or_named),
        cmocka_unit_test(notes_on_layers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
