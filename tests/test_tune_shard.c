/* test_tune_shard.c - one search on many machines: which part is whose, what a job array
 * says, and that the parts, merged, name the winners of the whole. */
#include <math.h>

#include "shard.h"
#include "tune_case.h"

static void parsed(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "/", "1", "1/", "/1", "0/1", "2/1", "1/0", "-1/2",
                                        "1/2/3", "1 /2", "1/65537", "00000000000000001/2"};
    sk_shard s;
    sk_err err = {0};
    sk_assert_ok(sk_shard_parse("2/4", &s, &err), &err);
    assert_true(s.index == 2 && s.count == 4);
    for (size_t i = 0; i < SK_COUNT(wrong); i++)
        assert_int_equal(sk_shard_parse(wrong[i], &s, &err), SPHKV_EINVAL);
}

static void set(const char *name, const char *value)
{
    assert_int_equal(value ? setenv(name, value, 1) : unsetenv(name), 0);
}

/* What a job array says, and what it must say. */
static void environment(void **state)
{
    (void)state;
    static const char *const name[] = {"SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT",
                                       "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP",
                                       "JOB_COMPLETION_INDEX", "JOB_COMPLETIONS"};
    static const struct {
        const char *value[6], *says; /* says: of the refusal */
        uint32_t index, count;
    } cases[] = {
        {{0}, NULL, 0, 0},
        {{"1", "4", "1", "1"}, NULL, 1, 4},
        {{"4", "4", "1", NULL}, NULL, 4, 4},
        {{"0", "4", "0", "1"}, NULL, 1, 4},
        {{"0", "4", NULL, NULL}, NULL, 1, 4},
        {{"11", "3", "3", "4"}, NULL, 3, 3},
        {{"7", "3", "3", "3"}, "no even range", 0, 0},
        {{"9", "3", "1", "1"}, "no even range", 0, 0},
        {{"1", NULL, "1", "1"}, "SLURM_ARRAY_TASK_COUNT is not set", 0, 0},
        {{"x", "2", "1", "1"}, "SLURM_ARRAY_TASK_ID is no number", 0, 0},
        {{"2", "4", "1", "1", "0", "9"}, NULL, 2, 4},
        {{NULL, NULL, NULL, NULL, "0", "3"}, NULL, 1, 3},
        {{NULL, NULL, NULL, NULL, "2", "3"}, NULL, 3, 3},
        {{NULL, NULL, NULL, NULL, "3", "3"}, "not below", 0, 0},
        {{NULL, NULL, NULL, NULL, "0", NULL}, "JOB_COMPLETIONS is not set", 0, 0},
    };
    for (size_t i = 0; i < SK_COUNT(cases); i++) {
        sk_shard s;
        const char *from;
        sk_err err = {0};
        for (size_t k = 0; k < SK_COUNT(name); k++) set(name[k], cases[i].value[k]);
        const sk_status st = sk_shard_environment(&s, &from, &err);
        for (size_t k = 0; k < SK_COUNT(name); k++) set(name[k], NULL);
        assert_int_equal(st, cases[i].says ? SPHKV_EINVAL : SPHKV_OK);
        if (cases[i].says && !strstr(err.message, cases[i].says)) fail_msg("%s", err.message);
        if (st == SPHKV_OK && (s.index != cases[i].index || s.count != cases[i].count))
            fail_msg("case %zu: %u/%u", i, s.index, s.count);
    }
}

static void names(void **state)
{
    (void)state;
    static const char *const path[][2] = {{"a/kernels.db", "a/kernels.2-of-4.db"},
                                          {"a.db/kernels", "a.db/kernels.2-of-4.db"},
                                          {"db", "db.2-of-4.db"}};
    for (size_t i = 0; i < SK_COUNT(path); i++) {
        const sk_shard s = {2, 4};
        char *out;
        sk_err err = {0};
        sk_assert_ok(sk_shard_path(&s, path[i][0], &out, &err), &err);
        assert_string_equal(out, path[i][1]);
        sk_free(out);
    }
}

static void make_wish(sk_wish *out)
{
    char word[] = "", option[] = "--model", model[] = "llama-3.1-8b";
    char *argv[] = {word, option, model};
    sk_options o = {.context = {3, {1024, 8192, 32768}}, .batch = {2, {1, 8}}, .threads = {1, {1}}};
    sk_mixes mixes = {0};
    sk_args a;
    bool taken;
    sk_err err = {0};
    sk_args_begin(&a, 3, argv);
    sk_assert_ok(sk_args_next(&a, &err), &err);
    sk_assert_ok(sk_options_take(&o, &a, &taken, &err), &err);
    sk_assert_ok(sk_options_finish(&o, &err), &err);
    sk_assert_ok(sk_mixes_add(&mixes, "first-class;good:vi8,kf16:vf16", &err), &err);
    sk_assert_ok(sk_wish_make(&o, &mixes, ~0u, out, &err), &err);
    sk_mixes_free(&mixes);
}

static double item_weight(const sk_wish_item *item)
{
    return sk_kernel_get(item->spec.kernel)->weight;
}

/* Whether two items are of one unit. */
static bool together(const sk_wish_item *a, const sk_wish_item *b)
{
    sk_text x = {0}, y = {0};
    sk_spec_print(&a->spec, &x);
    sk_spec_print(&b->spec, &y);
    const bool same = strcmp(x.s, y.s) == 0 && a->shape.context == b->shape.context;
    sk_text_free(&x);
    sk_text_free(&y);
    return same;
}

/* Every item is one shard's, units stay whole, and no shard has more than it must. */
static void dealt(void **state)
{
    (void)state;
    for (uint32_t count = 1; count <= 9; count += 2) {
        sk_wish all;
        make_wish(&all);
        uint32_t *owner = sk_calloc(all.n, sizeof *owner), total = 0;
        double load[9] = {0}, heaviest = 0, least = INFINITY, most = 0;
        for (uint32_t k = 1; k <= count; k++) {
            const sk_shard shard = {k, count};
            sk_wish part;
            sk_err err = {0};
            uint32_t at = 0;
            make_wish(&part);
            sk_assert_ok(sk_shard_keep(&shard, &part, &err), &err);
            for (uint32_t i = 0; i < part.n; i++, at++) { /* in the order of the whole */
                while (memcmp(&all.item[at], &part.item[i], sizeof *all.item) != 0)
                    assert_true(++at < all.n);
                assert_int_equal(owner[at], 0);
                owner[at] = k;
                load[k - 1] += item_weight(&part.item[i]);
            }
            total += part.n;
            sk_wish_free(&part);
        }
        assert_int_equal(total, all.n);
        for (uint32_t i = 0; i < all.n; i++) {
            double unit = 0;
            for (uint32_t k = 0; k < all.n; k++) {
                if (!together(&all.item[i], &all.item[k])) continue;
                assert_int_equal(owner[i], owner[k]);
                unit += item_weight(&all.item[k]);
            }
            heaviest = fmax(heaviest, unit);
        }
        for (uint32_t k = 0; k < count; k++) least = fmin(least, load[k]), most = fmax(most, load[k]);
        assert_true(most - least <= heaviest);
        sk_free(owner);
        sk_wish_free(&all);
    }
}

/* All of small spaces: what a search of more does depends on what it finds in its database. */
#define WHOLE "--kernels", "kv_append,kv_encode", "--quiet", "--effort", "quick", "--trials", "9", \
    "--head-dim", "64", "--heads", "2", "--kv-heads", "1", "--context", "512", "--tiers", \
    "mid:vi8,kf16:vf16;kf32:vf32;kbf16:vbf16"

static void run(const tune_case *c, const char *program, const char *const *words, bool with_db)
{
    const pid_t pid = tune_case_start_in(c, program, words, with_db, NULL, NULL);
    tune_case_expect(c, tune_case_wait(pid), 0);
}

/* The same winners, with the same numbers. */
static void same_winners(const tune_case *a, const tune_case *b)
{
    sk_arena mem = {0};
    sk_db_winner *x, *y;
    const size_t n = tune_case_winners(a, &mem, &x);
    assert_int_equal(tune_case_winners(b, &mem, &y), n);
    assert_int_equal(n, 4);
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(x[i].trial.trial_hash, y[i].trial.trial_hash);
        assert_string_equal(x[i].state, "ready");
        assert_string_equal(y[i].state, "ready");
        assert_true(x[i].speedup == y[i].speedup && x[i].default_us == y[i].default_us);
    }
    sk_arena_free(&mem);
}

/* Of a device whose times are known: four parts merged are the whole, trial by trial. */
static void parts_are_the_whole(void **state)
{
    tune_case *c = *state;
    static const char *const whole[] = {WHOLE, NULL};
    char *path[4], *merged = sk_test_path(c->dir, "merged.db");
    setenv("SPHKV_TIMES", "1", 1);
    run(c, TUNE_HOOKED, whole, true);
    for (uint32_t k = 0; k < 4; k++) {
        char name[32], shard[8];
        snprintf(shard, sizeof shard, "%u/4", k + 1);
        snprintf(name, sizeof name, "parts.%u-of-4.db", k + 1);
        path[k] = sk_test_path(c->dir, name);
        tune_case part = *c;
        part.db = sk_test_path(c->dir, "parts.db");
        const char *const words[] = {WHOLE, "--shard", shard, NULL};
        run(&part, TUNE_HOOKED, words, true);
        assert_int_equal(access(path[k], R_OK), 0);
        assert_int_not_equal(access(part.db, R_OK), 0);
        sk_free(part.db);
    }
    unsetenv("SPHKV_TIMES");
    const char *const merge[] = {"merge", merged, path[2], path[0], path[3], path[1], NULL};
    run(c, DB_PROGRAM, merge, false);
    tune_case other = *c;
    other.db = merged;
    tune_case_sound(&other);
    same_winners(c, &other);
    size_t trials, parts;
    (void)tune_case_count(c, SK_OUTCOME_OK, &trials);
    (void)tune_case_count(&other, SK_OUTCOME_OK, &parts);
    assert_int_equal(trials, parts);
    for (uint32_t k = 0; k < 4; k++) sk_free(path[k]);
    sk_free(merged);
}

/* A part of an array that is told by its environment; more parts than there is work. */
static void by_environment(void **state)
{
    tune_case *c = *state;
    static const char *const words[] = {TUNE_TINY, NULL};
    size_t winners = 0;
    for (uint32_t k = 0; k < 2; k++) {
        char id[8], name[32];
        snprintf(id, sizeof id, "%u", k);
        snprintf(name, sizeof name, "kernels.%u-of-2.db", k + 1);
        setenv("JOB_COMPLETION_INDEX", id, 1);
        setenv("JOB_COMPLETIONS", "2", 1);
        run(c, TUNE_PROGRAM, words, true);
        unsetenv("JOB_COMPLETION_INDEX");
        unsetenv("JOB_COMPLETIONS");
        tune_case part = *c;
        sk_arena mem = {0};
        sk_db_winner *list;
        part.db = sk_test_path(c->dir, name);
        winners += tune_case_winners(&part, &mem, &list);
        sk_arena_free(&mem);
        sk_free(part.db);
    }
    assert_int_equal(winners, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TUNE_CASE(parsed),  TUNE_CASE(environment), TUNE_CASE(names),
        TUNE_CASE(dealt),   TUNE_CASE(parts_are_the_whole), TUNE_CASE(by_environment),
    };
    const char *missing = tune_case_missing();
    if (missing) return sk_test_skip(missing);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
