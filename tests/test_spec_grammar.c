/* test_spec_grammar.c - tiers, mixes and specs as text: what is accepted, that
 * there is one spelling, what is refused and with which words. */
#include "sk_test.h"

#include "spec.h"
#include "spec_random.h"

static void assert_tier_text(const char *text, const char *canonical)
{
    sk_tier tier, again;
    sk_err err = {0};
    sk_text out = {0};
    sk_assert_ok(sk_tier_parse(text, &tier, &err), &err);
    sk_tier_print(&tier, &out);
    assert_false(out.failed);
    assert_string_equal(out.s, canonical);
    sk_assert_ok(sk_tier_parse(out.s, &again, &err), &err);
    assert_true(sk_tier_equal(&tier, &again));
    sk_text_free(&out);
}

static void test_names(void **state)
{
    static const struct {
        const char *name, *spelt;
        uint32_t g, b, rb, span;
        bool p;
    } coded[] = {
        {"high", "g16b6r8", 16, 6, 8, 16, false},
        {"mid", "g16b4r8", 16, 4, 8, 16, false},
        {"low", "g32b3r8", 32, 3, 8, 32, false},
        {"lean", "g8b8r16sD", 8, 8, 16, SK_SPAN_ALL, false},
        {"good", "g2b4r16sD", 2, 4, 16, SK_SPAN_ALL, false},
        {"fine", "g2b6r16sD", 2, 6, 16, SK_SPAN_ALL, false},
        {"turbo", "g1b4r16sD", 1, 4, 16, SK_SPAN_ALL, false},
        {"sharp", "g4b8r16sDp", 4, 8, 16, SK_SPAN_ALL, true},
        {"thin", "g16b8r16sDp", 16, 8, 16, SK_SPAN_ALL, true},
    };
    (void)state;
    for (size_t i = 0; i < SK_COUNT(coded); i++) {
        char text[64], canonical[64];
        sk_tier tier;
        snprintf(text, sizeof text, "%s:vi8", coded[i].spelt);
        snprintf(canonical, sizeof canonical, "%s:vi8", coded[i].name);
        assert_tier_text(text, canonical);
        assert_tier_text(canonical, canonical);
        assert_int_equal(sk_tier_parse(canonical, &tier, NULL), SPHKV_OK);
        const sk_segment *seg = &tier.seg[0];
        assert_int_equal(tier.nseg, 1);
        assert_int_equal(tier.value, SK_VAL_I8);
        assert_int_equal(seg->kind, SK_KEY_CODED);
        assert_int_equal(seg->dims, 0);
        assert_int_equal(seg->g, coded[i].g);
        assert_int_equal(seg->b, coded[i].b);
        assert_int_equal(seg->rb, coded[i].rb);
        assert_int_equal(seg->span, coded[i].span);
        assert_int_equal(seg->pre_rope, coded[i].p);
        assert_false(sk_tier_is_dense(&tier));
    }
    static const char *const dense[] = {"kf32", "kf16", "kbf16", "ki8", "ki4", "kf8"};
    static const char *const values[] = {"vf32", "vf16", "vbf16", "vf8", "vi8", "vi4", "vk"};
    for (size_t i = 0; i < SK_COUNT(dense); i++)
        for (uint32_t v = 0; v < SK_COUNT(values); v++) {
            char text[64];
            sk_tier tier;
            snprintf(text, sizeof text, "%s:%s", dense[i], values[v]);
            assert_tier_text(text, text);
            assert_int_equal(sk_tier_parse(text, &tier, NULL), SPHKV_OK);
            assert_int_equal(tier.seg[0].kind, SK_KEY_F32 + i);
            assert_int_equal(tier.value, v);
            assert_string_equal(sk_value_name(v), values[v]);
            assert_true(sk_tier_is_dense(&tier));
        }
    assert_null(sk_value_name(7));
}

static void test_spellings(void **state)
{
    (void)state;
    assert_tier_text("g16b6r8s16:vf16", "high:vf16");
    assert_tier_text("g4b8r16sDp:vi8", "sharp:vi8");
    assert_tier_text("g4b8r4s32:vi4", "g4b8r4s32:vi4");
    assert_tier_text("g32b8r16p:vi8", "g32b8r16p:vi8");
    assert_tier_text("kf16p:vf16", "kf16p:vf16");
    assert_tier_text("96@g4b8r16s96+32@kf16:vi8", "96@g4b8r16s96+32@kf16:vi8");
    assert_tier_text("96@g4b8r16sD+32@kf16:vi8", "96@g4b8r16s96+32@kf16:vi8");
    assert_tier_text("64@g2b4r16s64+64@ki4:vk", "64@good+64@ki4:vk");
    assert_tier_text("64@sharp+64@g32b2r4s64p:vi8", "64@sharp+64@g32b2r4s64p:vi8");
    assert_tier_text("g16b8x2r16sD:vi8", "g16b8x2r16sD:vi8");
    assert_tier_text("g16b6x4r8s16:vf16", "g16b6x4r8:vf16");
    assert_tier_text("64@g4b4x3r16sDp+64@good:vi8", "64@g4b4x3r16s64p+64@good:vi8");
    assert_tier_text("32@g32b8r16sD+32@kf32:vi8", "32@g32b8r16+32@kf32:vi8");
    assert_tier_text("8@kf32+8@kf16+8@ki8+8@kbf16p:vk", "8@kf32+8@kf16+8@ki8+8@kbf16p:vk");
}

static void assert_refused(const char *text, const char *reason)
{
    sk_tier tier[SK_MAX_TIERS];
    uint32_t n;
    sk_err err = {0};
    if (sk_mix_parse(text, tier, &n, &err) == SPHKV_OK)
        fail_msg("'%s' was accepted", text);
    assert_int_equal(err.status, SPHKV_EINVAL);
    if (!strstr(err.message, reason))
        fail_msg("'%s': \"%s\" does not say \"%s\"", text, err.message, reason);
}

static void test_refusals(void **state)
{
    (void)state;
    assert_refused("", "empty");
    assert_refused("good", "needs a key and a value");
    assert_refused(":vi8", "key format ''");
    assert_refused("good:", "value format ''");
    assert_refused("good:vi9", "value format 'vi9'");
    assert_refused("good:vi8:vi8", "value format 'vi8:vi8'");
    assert_refused("goood:vi8", "key format 'goood'");
    assert_refused("GOOD:vi8", "key format 'GOOD'");
    assert_refused("goodp:vi8", "key format 'goodp'");
    assert_refused(" good:vi8", "key format ' good'");
    assert_refused("g0b4r16sD:vi8", "g0");
    assert_refused("g2b4x0r16sD:vi8", "[x2|x3|x4]");
    assert_refused("g2b4x1r16sD:vi8", "[x2|x3|x4]");
    assert_refused("g2b4xr16sD:vi8", "[x2|x3|x4]");
    assert_refused("g2b4r16x2sD:vi8", "left over");
    assert_refused("g2b4x5r16sD:vi8", "x5: a group has 1 to 4 angle codes");
    assert_refused("g2b4x258r16sD:vi8", "x258");
    assert_refused("g1b4x2r16:vi8", "single dimensions need a longer span");
    assert_refused("g33b4r16sD:vi8", "g33");
    assert_refused("g2b1r16sD:vi8", "b1");
    assert_refused("g2b9r16sD:vi8", "b9");
    assert_refused("g2b4r5sD:vi8", "r5");
    assert_refused("g2b4r32sD:vi8", "r32");
    assert_refused("g2b4:vi8", "is written g<dims>b<bits>[x2|x3|x4]r<bits>");
    assert_refused("g02b4r8:vi8", "is written");
    assert_refused("g2b4r8s3:vi8", "s3");
    assert_refused("g2b4r8s0:vi8", "s0");
    assert_refused("g2b4r8s:vi8", "s needs a number");
    assert_refused("g2b4r8s65535:vi8", "s needs a number");
    assert_refused("g2b4r8s99999999:vi8", "s needs a number");
    assert_refused("g2b4r8sDpp:vi8", "'p' is left over");
    assert_refused("g2b4r8sDx:vi8", "'x' is left over");
    assert_refused("g1b4r16:vi8", "longer span");
    assert_refused("g1b4r16s1:vi8", "longer span");
    assert_refused("96@good+kf16:vi8", "needs its dimensions");
    assert_refused("good+32@kf16:vi8", "needs its dimensions");
    assert_refused("96@good+:vi8", "needs its dimensions");
    assert_refused("@good:vi8", "before @");
    assert_refused("0@good:vi8", "before @");
    assert_refused("9x@good:vi8", "before @");
    assert_refused("96@g5b4r8:vi8", "groups of 5 do not divide 96");
    assert_refused("96@g4b4r8s64:vi8", "spans of 64 do not divide 96");
    assert_refused("8@kf16+8@kf16+8@kf16+8@kf16+8@kf16:vi8", "more than 4 segments");
    assert_refused("good:vi8,", "needs a key and a value");
    assert_refused("good:vi8,,mid:vi8", "needs a key and a value");
    assert_refused("good:vi8,g2b4r16sD:vi8", "stands twice");
    assert_refused("good:vi8,mid:vi8,low:vi8,fine:vi8,kf16:vf16", "at most 4 tiers");
}

static void test_tier_round_trip(void **state)
{
    (void)state;
    sk_rng rng = sk_test_rng(1);
    for (int i = 0; i < 4000; i++) {
        sk_tier tier = sk_random_tier(&rng, 8 * (1 + sk_rng_below(&rng, 72)), true), again;
        sk_text text = {0};
        sk_err err = {0};
        sk_tier_print(&tier, &text);
        if (sk_tier_parse(text.s, &again, &err) != SPHKV_OK)
            fail_msg("'%s': %s", text.s, err.message);
        if (!sk_tier_equal(&tier, &again))
            fail_msg("'%s' comes back as another tier", text.s);
        sk_text_free(&text);
    }
}

/* Any text is either refused with a reason, or printed and read back. */
static void test_any_text(void **state)
{
    static const char letters[] = "gbrsDpkvif0123468@+:,x";
    (void)state;
    sk_rng rng = sk_test_rng(2);
    for (int i = 0; i < 50000; i++) {
        char text[64];
        sk_text base = {0}, out = {0};
        sk_tier tier = sk_random_tier(&rng, 64, true), again;
        sk_err err = {0};
        sk_tier_print(&tier, &base);
        snprintf(text, sizeof text, "%s", base.s);
        size_t n = strlen(text);
        for (uint32_t k = 1 + sk_rng_below(&rng, 2); k; k--)
            text[sk_rng_below(&rng, (uint32_t)n)] = letters[sk_rng_below(&rng, sizeof letters - 1)];
        if (sk_tier_parse(text, &tier, &err) != SPHKV_OK) {
            assert_int_not_equal(err.message[0], 0);
        } else {
            sk_tier_print(&tier, &out);
            sk_assert_ok(sk_tier_parse(out.s, &again, &err), &err);
            assert_true(sk_tier_equal(&tier, &again));
        }
        sk_text_free(&base);
        sk_text_free(&out);
    }
}

static void test_spec_text(void **state)
{
    static const char canonical[] =
        "attn_decode d128 v128 h4 p128 l1 qf32 of32 if32 tight good:vi8,kf16:vf16";
    (void)state;
    sphkv_spec_params params = {.size = sizeof params, .head_dim = 128, .heads_per_kv = 4};
    sk_spec spec, again;
    sk_err err = {0};
    sk_text text = {0}, symbol = {0};
    sk_assert_ok(sk_spec_from_params(&params, &spec, &err), &err);
    sk_spec_print(&spec, &text);
    assert_string_equal(text.s, canonical);
    sk_assert_ok(sk_spec_parse(canonical, &again, &err), &err);
    assert_memory_equal(&spec, &again, sizeof spec);
    spec.ntiers = 1;
    sk_spec_symbol(&spec, &symbol);
    assert_string_equal(symbol.s, "sk_attn_decode_d128_h4_p128_good_vi8");
    sk_text_free(&symbol);
    spec.book = SPHKV_BOOK_MEAN | SPHKV_BOOK_PERMUTATION;
    sk_spec_symbol(&spec, &symbol);
    assert_string_equal(symbol.s, "sk_attn_decode_d128_h4_p128_good_vi8_mean_permutation");
    sk_text_free(&text);
    sk_text_free(&symbol);

    sk_rng rng = sk_test_rng(3);
    for (int i = 0; i < 1000; i++) {
        spec = sk_random_spec(&rng, false);
        sk_spec_print(&spec, &text);
        if (sk_spec_parse(text.s, &again, &err) != SPHKV_OK)
            fail_msg("'%s': %s", text.s, err.message);
        sk_spec_print(&again, &symbol);
        assert_string_equal(symbol.s, text.s);
        for (size_t cut = 0; cut < text.len; cut++) { /* never read as another spec */
            char *part = sk_strdup(text.s);
            part[cut] = '\0';
            if (sk_spec_parse(part, &again, NULL) == SPHKV_OK) {
                sk_text t = {0};
                sk_spec_print(&again, &t);
                assert_string_equal(t.s, part);
                sk_text_free(&t);
            }
            sk_free(part);
        }
        sk_text_free(&text);
        sk_text_free(&symbol);
    }
}

static void test_spec_text_refusals(void **state)
{
    static const struct {
        const char *text, *reason;
    } bad[] = {
        {"", "0 characters"},
        {"attn_decode", "11 fields"},
        {"attn_decode d128 v128 h4 p128 l1 qf32 of32 if32 tight", "11 fields"},
        {"attn_decode d128 v128 h4 p128 l1 qf32 of32 if32 tight good:vi8 x", "'x' behind the mix"},
        {"attn_decode d128 v128 h4 p128 l1 qf32 of32 if32 tight good:vi8 ", "'' behind the mix"},
        {"attn_decode d128 v128 h4 p128 l1 qf32 of32 if32 tight good:vi8 mean mean", "'mean'"},
        {"attn_decode d128 v128 h4 p128 l1 qf32 of32 if32 tight good:vi8 permutation mean",
         "in this order"},
        {"attn_decode d128 v128 h4 p128 l1 qf32 of32 if32 tight good:vi8 window softcap",
         "in this order"},
        {"attn_decode d128 v128 h4 p128 l1 qf32 of32 if32 tight good:vi8 sink mean",
         "in this order"},
        {"attn_decode d128 v128 h4 p128 l1 qf32 of32 if32 tight good:vi8 queries queries",
         "'queries' behind the mix"},
        {"attn_decode d128 v128 h4 p128 l1 qf32 of32 if32 tight 64@good+64@kf16:vi8 permutation",
         "coded whole"},
        {"attn d128 v128 h4 p128 l1 qf32 of32 if32 tight good:vi8", "field 1"},
        {"attn_decode v128 v128 h4 p128 l1 qf32 of32 if32 tight good:vi8", "field 2"},
        {"attn_decode d v128 h4 p128 l1 qf32 of32 if32 tight good:vi8", "field 2"},
        {"attn_decode d128  h4 p128 l1 qf32 of32 if32 tight good:vi8", "field 3"},
        {"attn_decode d128 v128 h-4 p128 l1 qf32 of32 if32 tight good:vi8", "field 4"},
        {"attn_decode d128 v128 h4 p128x l1 qf32 of32 if32 tight good:vi8", "field 5"},
        {"attn_decode d128 v128 h4 p128 1 qf32 of32 if32 tight good:vi8", "field 6"},
        {"attn_decode d128 v128 h4 p128 l1 qf64 of32 if32 tight good:vi8", "field 7"},
        {"attn_decode d128 v128 h4 p128 l1 qf32 if32 if32 tight good:vi8", "field 8"},
        {"attn_decode d128 v128 h4 p128 l1 qf32 of32 i32 tight good:vi8", "field 9"},
        {"attn_decode d128 v128 h4 p128 l1 qf32 of32 if32 loose good:vi8", "field 10"},
        {"attn_decode d128 v128 h4 p128 l1 qf32 of32 if32 tight good", "value format"},
        {"attn_decode d128 v128 h4 p128 l2 qf32 of32 if32 tight good:vi8", "layout row 2"},
        {"attn_decode d128 v128 h4 p12 l1 qf32 of32 if32 tight good:vi8", "page of 12"},
    };
    (void)state;
    for (size_t i = 0; i < SK_COUNT(bad); i++) {
        sk_spec spec;
        sk_err err = {0};
        assert_int_equal(sk_spec_parse(bad[i].text, &spec, &err), SPHKV_EINVAL);
        if (!strstr(err.message, bad[i].reason))
            fail_msg("'%s': \"%s\"", bad[i].text, err.message);
    }
}

/* One change of valid params, and the reason it must give. */
static void assert_params(sphkv_spec_params params, const char *reason)
{
    sk_spec spec;
    sk_err err = {0};
    sk_status st = sk_spec_from_params(&params, &spec, &err);
    if (!reason) {
        sk_assert_ok(st, &err);
        return;
    }
    assert_int_equal(st, SPHKV_EINVAL);
    if (!strstr(err.message, reason))
        fail_msg("\"%s\" does not say \"%s\"", err.message, reason);
}

#define WITH(dim, ...)                                                                             \
    {                                                                                              \
        .size = sizeof(sphkv_spec_params), .head_dim = dim, __VA_ARGS__                            \
    }

static void test_params(void **state)
{
    (void)state;
    assert_params((sphkv_spec_params)WITH(128, .value_dim = 0), NULL);
    assert_params((sphkv_spec_params)WITH(0, .value_dim = 0), "head dimension 0");
    assert_params((sphkv_spec_params)WITH(12, .value_dim = 0), "head dimension 12");
    assert_params((sphkv_spec_params)WITH(1032, .value_dim = 0), "head dimension 1032");
    assert_params((sphkv_spec_params)WITH(128, .value_dim = 4), "value dimension 4");
    assert_params((sphkv_spec_params)WITH(128, .kernel = 77), "kernel 77");
    assert_params((sphkv_spec_params)WITH(128, .heads_per_kv = 129), "129 query heads");
    assert_params((sphkv_spec_params)WITH(128, .page_tokens = 4), "page of 4");
    assert_params((sphkv_spec_params)WITH(128, .page_tokens = 260), "page of 260");
    assert_params((sphkv_spec_params)WITH(128, .layout = 3), "layout row 2");
    assert_params((sphkv_spec_params)WITH(128, .q_dtype = 3), "dtypes 3");
    assert_params((sphkv_spec_params)WITH(128, .accuracy = 3), "accuracy class 3");
    assert_params((sphkv_spec_params)WITH(128, .book = 3), NULL);
    assert_params((sphkv_spec_params)WITH(128, .book = 16), "book flags 0x10");
    assert_params((sphkv_spec_params)WITH(128, .book = 7), NULL);
    assert_params((sphkv_spec_params)WITH(128, .book = 9), NULL);
    assert_params((sphkv_spec_params)WITH(128, .book = 12), "transform or hadamard, not both");
    assert_params((sphkv_spec_params)WITH(96, .book = 8), "a power of two, not 96 dimensions");
    assert_params((sphkv_spec_params)WITH(128, .book = 4, .tiers = "96@good+32@kf16:vi8"),
                  "a transform asks for keys that are coded whole");
    assert_params((sphkv_spec_params)WITH(128, .variants = 128), "variants 0x80");
    assert_params((sphkv_spec_params)WITH(128, .reserved = 1), NULL); /* once padding */
    assert_params((sphkv_spec_params)WITH(128, .book = 1, .tiers = "96@good+32@kf16:vi8"), NULL);
    assert_params((sphkv_spec_params)WITH(128, .book = 2, .tiers = "96@good+32@kf16:vi8"),
                  "coded whole");
    assert_params((sphkv_spec_params)WITH(128, .book = 2, .tiers = "96@good+32@high:vi8,kf16:vf16"),
                  NULL);
    assert_params((sphkv_spec_params)WITH(128, .tiers = "g3b4r8:vi8"),
                  "groups of 3 do not divide 128");
    assert_params((sphkv_spec_params)WITH(128, .tiers = "g4b4r8s48:vi8"),
                  "spans of 48 do not divide 128");
    assert_params((sphkv_spec_params)WITH(128, .tiers = "64@good:vi8"), "do not add up");
    assert_params((sphkv_spec_params)WITH(128, .tiers = "96@good+64@kf16:vi8"), "do not add up");
    assert_params((sphkv_spec_params)WITH(128, .tiers = "g2b4r16s128:vi8,good:vi8"),
                  "stands twice");
    assert_params((sphkv_spec_params)WITH(128, .tiers = "128@good:vi8,good:vi8"), "stands twice");
    assert_params((sphkv_spec_params)WITH(128, .value_dim = 136, .tiers = "good:vk"), "vk");
    assert_params((sphkv_spec_params)WITH(128, .value_dim = 64, .tiers = "good:vk"), NULL);
    assert_params((sphkv_spec_params)WITH(128, .kernel = SPHKV_KV_APPEND), NULL);
    assert_params((sphkv_spec_params)WITH(128, .kernel = SPHKV_KV_APPEND, .tiers = "good:vi8"),
                  "dense tier");
    assert_params(
        (sphkv_spec_params)WITH(128, .kernel = SPHKV_KV_APPEND, .tiers = "kf16:vf16,kf32:vf32"),
        "one dense");
    assert_params((sphkv_spec_params)WITH(128, .kernel = SPHKV_KV_ENCODE), NULL);
    assert_params((sphkv_spec_params)WITH(128, .kernel = SPHKV_KV_ENCODE, .tiers = "good:vi8"),
                  "two tiers");
    assert_params(
        (sphkv_spec_params)WITH(128, .kernel = SPHKV_KV_ENCODE, .tiers = "kf16:vf16,good:vi8"),
        "dense tier");
    assert_params(
        (sphkv_spec_params)WITH(128, .kernel = SPHKV_PAGE_RETIER, .tiers = "kf16:vf16,good:vi8"), NULL);
    assert_params((sphkv_spec_params)WITH(128, .kernel = SPHKV_PAGE_RETIER, .tiers = "good:vi8"),
                  "page_retier takes two tiers (destination, source), not 1");
}

/* Fields that a kernel does not read do not make another spec. */
static void test_params_normalised(void **state)
{
    static const struct {
        sphkv_spec_params params;
        const char *text;
    } cases[] = {
        {WITH(128, .kernel = SPHKV_KV_APPEND, .heads_per_kv = 4, .q_dtype = 2, .in_dtype = 1),
         "kv_append d128 v128 h1 p128 l1 qf32 of32 if16 tight kf16:vf16"},
        {WITH(128, .kernel = SPHKV_KV_ENCODE, .heads_per_kv = 4, .in_dtype = 1),
         "kv_encode d128 v128 h1 p128 l1 qf32 of32 if32 tight good:vi8,kf16:vf16"},
        {WITH(128, .in_dtype = 1, .layout = 1, .tiers = "128@g2b4r16s128:vi4"),
         "attn_decode d128 v128 h1 p128 l0 qf32 of32 if32 tight good:vi4"},
        {WITH(128, .kernel = SPHKV_KV_APPEND, .book = 3),
         "kv_append d128 v128 h1 p128 l1 qf32 of32 if32 tight kf16:vf16"},
        {WITH(128, .tiers = "kf16:vf16", .book = 3),
         "attn_decode d128 v128 h1 p128 l1 qf32 of32 if32 tight kf16:vf16"},
        {WITH(128, .kernel = SPHKV_KV_ENCODE, .book = 1),
         "kv_encode d128 v128 h1 p128 l1 qf32 of32 if32 tight good:vi8,kf16:vf16 mean"},
        {WITH(128, .book = 3), "attn_decode d128 v128 h1 p128 l1 qf32 of32 if32 tight "
                               "good:vi8,kf16:vf16 mean permutation"},
        {WITH(128, .variants = 127, .book = 1),
         "attn_decode d128 v128 h1 p128 l1 qf32 of32 if32 tight good:vi8,kf16:vf16 mean softcap "
         "sink headscale window bias positions queries"},
        {WITH(128, .kernel = SPHKV_KV_ENCODE, .variants = 127),
         "kv_encode d128 v128 h1 p128 l1 qf32 of32 if32 tight good:vi8,kf16:vf16 positions"},
        {WITH(128, .kernel = SPHKV_ATTN_MERGE, .variants = 127),
         "attn_merge d128 v128 h1 p128 l1 qf32 of32 if32 tight kf16:vf16 sink"},
        {WITH(32, .tiers = "g32b3r8sD:vi4"),
         "attn_decode d32 v32 h1 p128 l1 qf32 of32 if32 tight low:vi4"},
    };
    (void)state;
    for (size_t i = 0; i < SK_COUNT(cases); i++) {
        sk_spec spec;
        sk_err err = {0};
        sk_text text = {0};
        sk_assert_ok(sk_spec_from_params(&cases[i].params, &spec, &err), &err);
        sk_spec_print(&spec, &text);
        assert_string_equal(text.s, cases[i].text);
        sk_text_free(&text);
    }
}

static void test_params_size(void **state)
{
    (void)state;
    struct {
        sphkv_spec_params params;
        uint8_t tail[16];
    } later;
    sk_spec spec;
    sk_err err = {0};
    memset(&later, 0, sizeof later);
    later.params = (sphkv_spec_params)WITH(128, .heads_per_kv = 4);
    later.params.size = sizeof later;
    sk_assert_ok(sk_spec_from_params(&later.params, &spec, &err), &err);
    later.tail[15] = 1;
    assert_int_equal(sk_spec_from_params(&later.params, &spec, &err), SPHKV_EINVAL);
    assert_non_null(strstr(err.message, "byte"));
    /* An older caller: what it does not have counts as zero, whatever lies there. */
    memset(&later, 0xff, sizeof later);
    later.params.size = 32;
    later.params.kernel = SPHKV_ATTN_DECODE;
    later.params.head_dim = later.params.value_dim = later.params.page_tokens = 64;
    later.params.heads_per_kv = 2;
    later.params.tiers = "mid:vi8";
    assert_int_equal(offsetof(sphkv_spec_params, layout), 32);
    sk_assert_ok(sk_spec_from_params(&later.params, &spec, &err), &err);
    assert_int_equal(spec.layout, 1);
    assert_int_equal(spec.accuracy, SPHKV_TIGHT);
    static const uint32_t wrong[] = {0, 3, 28, 33, 1u << 20};
    for (size_t i = 0; i < SK_COUNT(wrong); i++) {
        later.params.size = wrong[i];
        assert_int_equal(sk_spec_from_params(&later.params, &spec, &err), SPHKV_EINVAL);
    }
    assert_int_equal(sk_spec_from_params(NULL, &spec, &err), SPHKV_EINVAL);
}

static void test_small_names(void **state)
{
    (void)state;
    uint32_t x = 9;
    assert_string_equal(sk_kernel_name(SPHKV_KV_ENCODE), "kv_encode");
    assert_null(sk_kernel_name(SPHKV_KERNEL_COUNT));
    assert_true(sk_kernel_parse("attn_decode", &x));
    assert_int_equal(x, SPHKV_ATTN_DECODE);
    assert_false(sk_kernel_parse("attn", &x));
    assert_true(sk_dtype_parse("bf16", &x));
    assert_int_equal(x, SPHKV_BF16);
    assert_false(sk_dtype_parse(NULL, &x));
    assert_true(sk_accuracy_parse("exact", &x));
    assert_int_equal(x, SPHKV_EXACT);
    assert_true(sk_accuracy_bound(SPHKV_EXACT) < sk_accuracy_bound(SPHKV_TIGHT));
    assert_true(sk_accuracy_bound(SPHKV_TIGHT) < sk_accuracy_bound(SPHKV_FAST));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_spellings),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_tier_round_trip),
        cmocka_unit_test(test_any_text),
        cmocka_unit_test(test_spec_text),
        cmocka_unit_test(test_spec_text_refusals),
        cmocka_unit_test(test_params),
        cmocka_unit_test(test_params_normalised),
        cmocka_unit_test(test_params_size),
        cmocka_unit_test(test_small_names),
    };
    return cmocka_run_group_tests_name("spec_grammar", tests, NULL, NULL);
}
