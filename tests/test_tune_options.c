/* test_tune_options.c - the command line that tune, bench and gen share: words
 * and values, models and heads put together, and the specs that a mix means
 * for each kernel. */
#include "sk_test.h"

#include "options.h"

/* Reads a line of words separated by blanks; the error's message in err. */
static sk_status read_line(const char *line, sk_options *o, sk_err *err)
{
    static char words[512]; /* options keep pointers into it */
    char *argv[32] = {"test"}, *save = NULL;
    int argc = 1;
    (void)snprintf(words, sizeof words, "%s", line);
    for (char *word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save))
        argv[argc++] = word;
    sk_args a;
    memset(o, 0, sizeof *o);
    *err = (sk_err){0};
    sk_args_begin(&a, argc, argv);
    sk_status st;
    while (!(st = sk_args_next(&a, err)) && a.word) {
        bool taken = false;
        st = sk_options_take(o, &a, &taken, err);
        if (!st && !taken)
            st = sk_fail(err, SPHKV_EINVAL, "foreign %s", a.word);
        if (st)
            return st;
    }
    return st ? st : sk_options_finish(o, err);
}

static void values_are_read_both_ways(void **state)
{
    (void)state;
    sk_options o;
    sk_err err;
    sk_assert_ok(read_line("--head-dim=96 --heads 32 --kv-heads=8 --page 64 --layout 1 --dtype "
                           "f16,f32 --accuracy fast --tiers low:vi4 --context 1024,8192 --batch=1 "
                           "--threads 1,2 --db x.db --json --value-dim 64 --book permutation,mean",
                           &o, &err),
                 &err);
    assert_true(o.head_dim == 96 && o.value_dim == 64 && o.heads == 32 && o.kv_heads == 8);
    assert_true(o.heads_per_kv == 4 && o.page == 64 && o.layout == 2 && o.json);
    assert_true(o.dtype[0] == SPHKV_F16 && o.dtype[1] == SPHKV_F32 && o.dtype[2] == SPHKV_F32);
    assert_true(o.accuracy == SPHKV_FAST && o.context.n == 2 && o.context.v[1] == 8192);
    assert_true(o.batch.n == 1 && o.threads.v[1] == 2);
    assert_int_equal(o.book, SPHKV_BOOK_MEAN | SPHKV_BOOK_PERMUTATION);
    assert_string_equal(o.tiers, "low:vi4");
    assert_string_equal(o.db, "x.db");
}

static void heads_are_put_together(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        uint32_t heads, kv_heads, per;
    } row[] = {
        {"--head-dim 128", 8, 8, 1},
        {"--head-dim 128 --heads-per-kv 4", 32, 8, 4},
        {"--head-dim 128 --heads 32 --heads-per-kv 4", 32, 8, 4},
        {"--head-dim 128 --kv-heads 2 --heads-per-kv 4", 8, 2, 4},
        {"--head-dim 128 --heads 12 --kv-heads 12", 12, 12, 1},
    };
    for (size_t i = 0; i < SK_COUNT(row); i++) {
        sk_options o;
        sk_err err;
        sk_assert_ok(read_line(row[i].line, &o, &err), &err);
        if (o.heads != row[i].heads || o.kv_heads != row[i].kv_heads ||
            o.heads_per_kv != row[i].per)
            fail_msg("%s: %u %u %u", row[i].line, o.heads, o.kv_heads, o.heads_per_kv);
    }
}

static void wrong_words_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *line, *word;
    } row[] = {
        {"", "--model"},
        {"--head-dim", "--head-dim needs"},
        {"--head-dim=", "--head-dim needs"},
        {"--head-dim x", "'x'"},
        {"--head-dim 0", "'0'"},
        {"--head-dim 1e2", "'1e2'"},
        {"--head-dim 128 --json=1", "--json takes no value"},
        {"--head-dim 128 --heads 30 --kv-heads 8", "30 query heads"},
        {"--head-dim 128 --heads 32 --kv-heads 8 --heads-per-kv 2", "not 2 to one"},
        {"--head-dim 128 --context 1,,2", "--context"},
        {"--head-dim 128 --context 4,4", "4 twice"},
        {"--head-dim 128 --dtype f64", "'f64'"},
        {"--head-dim 128 --dtype f32,f32,f32,f32", "three"},
        {"--head-dim 128 --layout 9", "'9'"},
        {"--head-dim 128 --accuracy great", "'great'"},
        {"--head-dim 128 --book mode", "'mode' is not mean"},
        {"--head-dim 128 --book mean,", "'mean,' is not mean"},
        {"--model no-such-model", "no-such-model"},
        {"--head-dim 128 stray", "stray"},
        {"--headdim 128", "foreign --headdim"},
    };
    for (size_t i = 0; i < SK_COUNT(row); i++) {
        sk_options o;
        sk_err err;
        const sk_status st = read_line(row[i].line, &o, &err);
        if (st != SPHKV_EINVAL || !strstr(err.message, row[i].word))
            fail_msg("'%s': status %d, '%s'", row[i].line, (int)st, err.message);
    }
}

static void times_have_units(void **state)
{
    (void)state;
    static const struct {
        char *text;
        double seconds; /* 0 = refused */
    } row[] = {{"90", 90}, {"90s", 90}, {"15m", 900}, {"2h", 7200},
               {"0.5m", 30}, {"0", 0}, {"-1", 0}, {"s", 0}, {"1d", 0}};
    for (size_t i = 0; i < SK_COUNT(row); i++) {
        char *argv[] = {"test", "--time", row[i].text};
        sk_args a;
        sk_err err = {0};
        double seconds = -1;
        sk_args_begin(&a, 3, argv);
        sk_assert_ok(sk_args_next(&a, &err), &err);
        assert_true(sk_args_is(&a, "--time"));
        const sk_status st = sk_args_seconds(&a, &seconds, &err);
        assert_int_equal(st, row[i].seconds > 0 ? SPHKV_OK : SPHKV_EINVAL);
        assert_true(st || seconds == row[i].seconds);
    }
}

static void check_specs(const sk_options *o, uint32_t kernel, const char *const *mix, uint32_t want)
{
    sk_spec spec[SK_MAX_TIERS];
    uint32_t n = 99;
    sk_err err = {0};
    sk_assert_ok(sk_options_specs(o, kernel, spec, &n, &err), &err);
    assert_int_equal(n, want);
    for (uint32_t i = 0; i < n; i++) {
        sk_text text = {0};
        assert_int_equal(spec[i].kernel, kernel);
        assert_int_equal(spec[i].d, 128);
        sk_spec_mix_print(&spec[i], &text);
        assert_string_equal(text.s, mix[i]);
        sk_text_free(&text);
    }
}

static void a_mix_means_specs_of_every_kernel(void **state)
{
    (void)state;
    sk_options o;
    sk_err err;
    sk_assert_ok(read_line("--head-dim 128 --tiers good:vi8,low:vi4,kf16:vf16", &o, &err), &err);
    check_specs(&o, SPHKV_ATTN_DECODE, (const char *[]){"good:vi8,low:vi4,kf16:vf16"}, 1);
    check_specs(&o, SPHKV_KV_APPEND, (const char *[]){"kf16:vf16"}, 1);
    check_specs(&o, SPHKV_KV_ENCODE, (const char *[]){"good:vi8,kf16:vf16", "low:vi4,kf16:vf16"},
                2);
    check_specs(&o, SPHKV_PAGE_RETIER, (const char *[]){"low:vi4,good:vi8"}, 1);
    sk_assert_ok(read_line("--head-dim 128 --book mean", &o, &err), &err);
    check_specs(&o, SPHKV_ATTN_DECODE, (const char *[]){"good:vi8,kf16:vf16 mean"}, 1);
    check_specs(&o, SPHKV_KV_APPEND, (const char *[]){"kf16:vf16"}, 1);
    check_specs(&o, SPHKV_KV_ENCODE, (const char *[]){"good:vi8,kf16:vf16 mean"}, 1);
    check_specs(&o, SPHKV_PAGE_RETIER, NULL, 0);
    sk_assert_ok(read_line("--head-dim 128 --tiers high:vi8,sharp:vi8,fine:vi8,good:vi8", &o, &err), &err);
    /* keys before RoPE from keys after it take positions */
    check_specs(&o, SPHKV_PAGE_RETIER,
                (const char *[]){"good:vi8,sharp:vi8", "good:vi8,fine:vi8", "high:vi8,good:vi8"}, 3);
    sk_assert_ok(read_line("--head-dim 128 --tiers sharp:vi8,fine:vi8,lean:vi8 --variants positions", &o, &err), &err);
    check_specs(&o, SPHKV_PAGE_RETIER,
                (const char *[]){"lean:vi8,sharp:vi8 positions", "sharp:vi8,fine:vi8 positions"}, 2);
    sk_assert_ok(read_line("--head-dim 128 --tiers sharp:vi8,lean:vi8,thin:vi8 --book mean", &o, &err), &err);
    check_specs(&o, SPHKV_PAGE_RETIER, (const char *[]){"thin:vi8,sharp:vi8 mean"}, 1);
    sk_assert_ok(read_line("--head-dim 128", &o, &err), &err);
    check_specs(&o, SPHKV_ATTN_DECODE, (const char *[]){"good:vi8,kf16:vf16"}, 1);
    sk_assert_ok(read_line("--head-dim 128 --tiers good:vi8", &o, &err), &err);
    check_specs(&o, SPHKV_KV_APPEND, NULL, 0);
    check_specs(&o, SPHKV_KV_ENCODE, NULL, 0);
    sk_assert_ok(read_line("--head-dim 128 --tiers good:vi8,bad", &o, &err), &err);
    sk_spec spec[SK_MAX_TIERS];
    uint32_t n;
    assert_int_equal(sk_options_specs(&o, SPHKV_KV_APPEND, spec, &n, &err), SPHKV_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_read_both_ways),
        cmocka_unit_test(heads_are_put_together),
        cmocka_unit_test(wrong_words_are_named),
        cmocka_unit_test(times_have_units),
        cmocka_unit_test(a_mix_means_specs_of_every_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
