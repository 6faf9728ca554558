/* test_tune_merge.c - sphkv-db merge: the union does not depend on order, repetition or
 * steps; winners are named by the rule of a final; a merge that fails changed nothing. */
#include "merge.h"

#include <math.h>

#include "db_case.h"
#include "statistics.h"
#include "tune_case.h"

#define PAIRS 32 /* a final */

static const char *const schedules[] = {"w=16,etok=1", "w=4,etok=1", "w=8,etok=2", "w=16,etok=4"};

/* ---- records ------------------------------------------------------------------- */

/* A trial of kv_encode; schedule 0 is the default. */
static sk_db_trial trial_of(int device, uint32_t schedule, const char *compiler, const char *run)
{
    sk_db_trial t = db_case_trial(device, schedules[schedule], "ir");
    t.key.kernel = "kv_encode";
    t.key.spec = "a spec";
    t.key.compiler = compiler;
    t.run_id = run;
    return t;
}

typedef struct times {
    double sample[PAIRS], baseline[PAIRS];
    char base[65];
} times;

/* The finalist takes `us` where the default takes `default_us`, each with some noise. */
static void put_finalist(sk_db *db, sk_db_trial *t, double us, double default_us, uint64_t seed,
                         bool code, int64_t *id)
{
    times x;
    sk_rng rng;
    sk_err err = {0};
    sk_db_trial base = *t;
    const sk_db_artifact artifact = db_case_code(t->key.ir_hash, 100);
    sk_rng_seed(&rng, seed);
    for (int i = 0; i < PAIRS; i++) {
        x.baseline[i] = default_us * (1 + 0.002 * sk_rng_unit(&rng));
        x.sample[i] = strcmp(t->key.schedule, schedules[0]) == 0
                          ? x.baseline[i]
                          : us * (1 + 0.002 * sk_rng_unit(&rng));
    }
    base.key.schedule = schedules[0];
    sk_db_trial_hash(&base.key, x.base);
    t->samples = x.sample, t->baseline = x.baseline;
    t->sample_count = t->baseline_count = PAIRS;
    t->median_us = sk_median(x.sample, PAIRS);
    t->base = x.base;
    t->artifact = code ? &artifact : NULL;
    sk_assert_ok(sk_db_trial_put(db, t, id, &err), &err);
}

/* A final of the default and two others, of which `winner` won. */
static void put_final(sk_db *db, const char *compiler, const char *run, int64_t when,
                      const double us[4], uint32_t winner, uint64_t seed)
{
    int64_t id[4] = {0};
    sk_err err = {0};
    for (uint32_t i = 0; i < 4; i++) {
        sk_db_trial t = trial_of(1, i, compiler, run);
        if (!(us[i] > 0)) continue;
        t.unix_time = when;
        put_finalist(db, &t, us[i], us[0], seed + i, i == winner, &id[i]);
    }
    const sk_db_winner w = {.trial_id = id[winner], .default_trial_id = id[0],
                            .speedup = us[0] / us[winner], .speedup_lo = 1, .speedup_hi = 9,
                            .run_id = run, .unix_time = when + 1, .noisy = 0.25, .drift = 1.5};
    sk_assert_ok(sk_db_winner_put(db, &w, NULL, &err), &err);
}

static sk_db *open_new(const tune_case *c, const char *name, char **path)
{
    sk_db *db;
    sk_err err = {0};
    *path = sk_test_path(c->dir, name);
    sk_assert_ok(sk_db_open(*path, SK_DB_CREATE, &db, &err), &err);
    return db;
}

static sk_db_merged merge_into(sk_db *db, sk_db *const *from, size_t n)
{
    sk_db_merged m;
    sk_err err = {0};
    sk_assert_ok(sk_db_merge(db, from, n, sk_merge_judge, NULL, &m, &err), &err);
    return m;
}

/* Everything that a database says, in an order of its own; free with sk_text_free. */
static sk_text dump(const char *path)
{
    static const char *const queries[] = {
        "SELECT * FROM device ORDER BY key", "SELECT key FROM spec ORDER BY 1",
        "SELECT t.key, t.outcome, t.message, hex(t.samples), hex(t.baseline), t.median_us,"
        " t.seed, t.unix_time, t.run_id, t.compiler, t.base, a.key FROM trial t"
        " LEFT JOIN artifact a ON a.id = t.artifact_id ORDER BY 1",
        "SELECT t.key, b.key, w.speedup, w.speedup_lo, w.ties, w.default_us, w.unix_time,"
        " w.run_id, w.flip_risk, w.noisy, w.drift FROM winner w JOIN trial t ON t.id = w.trial_id"
        " LEFT JOIN trial b ON b.id = w.default_trial_id ORDER BY 1",
        "SELECT f.kind, f.arch, f.ir_hash, a.key FROM default_code f"
        " JOIN artifact a ON a.id = f.artifact_id ORDER BY 1, 2, 3"};
    sk_text out = {0};
    sqlite3 *raw;
    assert_int_equal(sqlite3_open(path, &raw), SQLITE_OK);
    for (size_t i = 0; i < SK_COUNT(queries); i++) {
        sqlite3_stmt *stmt;
        assert_int_equal(sqlite3_prepare_v2(raw, queries[i], -1, &stmt, NULL), SQLITE_OK);
        while (sqlite3_step(stmt) == SQLITE_ROW)
            for (int k = i == 0; k < sqlite3_column_count(stmt); k++) { /* but the row's number */
                const char *text = (const char *)sqlite3_column_text(stmt, k);
                sk_text_printf(&out, "%s%s", text ? text : "-",
                               k + 1 < sqlite3_column_count(stmt) ? "|" : "\n");
            }
        sqlite3_finalize(stmt);
    }
    sqlite3_close(raw);
    assert_false(out.failed);
    return out;
}

/* ---- the union ------------------------------------------------------------------- */

/* Records by chance, of a few keys, so that databases meet in them. */
static void put_by_chance(sk_db *db, sk_rng *rng, int which)
{
    static const char *const compiler[] = {"", "cc 1", "cc 2"};
    static const char *const run[] = {"run a", "run b", "run c"};
    sk_err err = {0};
    for (int i = 0; i < 12; i++) {
        sk_db_trial t = trial_of(1 + (int)sk_rng_below(rng, 2), sk_rng_below(rng, 4),
                                 compiler[sk_rng_below(rng, 3)], run[which]);
        sk_db_device device = *t.key.device;
        device.toolchain = run[which];
        t.key.device = &device;
        t.key.shape.context = 1024 << sk_rng_below(rng, 2);
        t.unix_time = 100 + sk_rng_below(rng, 3);
        if (sk_rng_below(rng, 3) == 0) {
            t.outcome = sk_rng_below(rng, 2) ? SK_OUTCOME_CRASH : SK_OUTCOME_WRONG;
            sk_assert_ok(sk_db_trial_put(db, &t, NULL, &err), &err);
        } else {
            int64_t id;
            put_finalist(db, &t, 50 + sk_rng_below(rng, 20), 60, sk_rng_u64(rng),
                         sk_rng_below(rng, 2), &id);
        }
    }
    const sk_db_artifact code = db_case_code("ir", 50 + (size_t)sk_rng_below(rng, 3));
    sk_db_set set = {.user = db};
    sk_assert_ok(sk_db_default_put(&set, db_case_device(1), "kv_encode", "a spec", "w=8", &code,
                                   &err), &err);
}

static void same_dump(const tune_case *c, const char *a, const char *b)
{
    sk_text x = dump(a), y = dump(b);
    assert_true(x.len > 1000);
    if (strcmp(x.s, y.s) != 0) fail_msg("%s: %s\n---\n%s", c->dir, x.s, y.s);
    sk_text_free(&x);
    sk_text_free(&y);
}

/* Three databases in every order, at once and one after the other, and again. */
static void order_does_not_matter(void **state)
{
    tune_case *c = *state;
    static const int order[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    const uint64_t seed = sk_test_seed(61);
    for (uint32_t round = 0; round < 4; round++) {
        sk_db *from[3];
        char *path[3], *first = NULL, name[40];
        sk_rng rng;
        sk_rng_seed(&rng, seed + round);
        for (int i = 0; i < 3; i++) {
            snprintf(name, sizeof name, "in%u-%d.db", round, i);
            from[i] = open_new(c, name, &path[i]);
            put_by_chance(from[i], &rng, i);
        }
        for (int i = 0; i < 12; i++) {
            char *to;
            sk_db *db, *in[3];
            for (int k = 0; k < 3; k++) in[k] = from[order[i % 6][k]];
            snprintf(name, sizeof name, "out%u-%d.db", round, i);
            db = open_new(c, name, &to);
            if (i < 6) /* at once, or each alone */
                merge_into(db, in, 3);
            else
                for (int k = 0; k < 3; k++) merge_into(db, &in[k], 1);
            if (first) same_dump(c, first, to);
            const sk_db_merged again = merge_into(db, in, 3);
            assert_true(again.added == 0 && again.replaced == 0 && again.trials > 12);
            if (first) same_dump(c, first, to);
            sk_db_close(db);
            tune_case one = *c;
            one.db = to;
            tune_case_sound(&one);
            if (first)
                sk_free(to);
            else
                first = to;
        }
        for (int i = 0; i < 3; i++) sk_db_close(from[i]), sk_free(path[i]);
        sk_free(first);
    }
}

/* ---- who wins ---------------------------------------------------------------------- */

/* The winner of what two finals give, by its schedule; NULL: none. */
typedef struct finals {
    double us[2][4];     /* 0: not in it */
    uint32_t winner[2];
    const char *compiler[2];
    const char *expect;
    const char *ties;    /* or NULL: whatever */
} finals;

static void who_wins(void **state)
{
    tune_case *c = *state;
    static const finals cases[] = {
        /* one of two is clearly faster, whatever the machines' speeds */
        {{{60, 50}, {120, 0, 110}}, {1, 2}, {"cc 1", "cc 1"}, "w=4,etok=1", NULL},
        {{{60, 50}, {120, 0, 80}}, {1, 2}, {"cc 1", "cc 1"}, "w=8,etok=2", ""},
        /* within noise: the first in the fixed order */
        {{{60, 50}, {120, 0, 100.2}}, {1, 2}, {"cc 1", "cc 1"}, "w=4,etok=1", "w=8,etok=2"},
        {{{60, 0, 50}, {120, 99.8}}, {2, 1}, {"cc 1", "cc 1"}, "w=4,etok=1", "w=8,etok=2"},
        /* a finalist without code gives way to one that has it */
        {{{60, 50.1, 50}, {120, 0, 0, 130}}, {2, 0}, {"cc 1", "cc 1"}, "w=8,etok=2", "w=4,etok=1"},
        /* what the default beats */
        {{{60, 61}, {120, 0, 125}}, {0, 0}, {"cc 1", "cc 1"}, "w=16,etok=1", ""},
        /* finals of two compilers: the later one's */
        {{{60, 30}, {60, 0, 50}}, {1, 2}, {"cc 1", "cc 2"}, "w=8,etok=2", ""},
    };
    for (size_t i = 0; i < SK_COUNT(cases); i++) {
        sk_db *from[2], *into;
        char *path[3], name[24];
        for (int k = 0; k < 2; k++) {
            snprintf(name, sizeof name, "who%zu-%d.db", i, k);
            from[k] = open_new(c, name, &path[k]);
            put_final(from[k], cases[i].compiler[k], k ? "later" : "sooner", 1000 + 10 * k,
                      cases[i].us[k], cases[i].winner[k], 1 + i);
        }
        snprintf(name, sizeof name, "who%zu.db", i);
        into = open_new(c, name, &path[2]);
        merge_into(into, from, 2);
        sk_db_winner *w;
        sk_arena mem = {0};
        size_t n;
        sk_err err = {0};
        sk_assert_ok(sk_db_winners(into, NULL, &mem, &w, &n, &err), &err);
        assert_int_equal(n, 1);
        if (strcmp(w->trial.key.schedule, cases[i].expect) != 0)
            fail_msg("case %zu: %s", i, w->trial.key.schedule);
        assert_string_equal(w->state, "ready");
        if (cases[i].ties) assert_string_equal(w->ties, cases[i].ties);
        assert_true(w->speedup_lo > 1 || w->speedup == 1);
        sk_arena_free(&mem);
        sk_db_close(into);
        for (int k = 0; k < 3; k++) sk_free(path[k]);
        for (int k = 0; k < 2; k++) sk_db_close(from[k]);
    }
}

/* One database alone keeps its winner and what is known of its final; a disproof of it
 * that another one brings takes it away. */
static void alone_and_disproved(void **state)
{
    tune_case *c = *state;
    char *path[3];
    static const double us[4] = {60, 50, 55, 0};
    sk_db *a = open_new(c, "a.db", &path[0]), *b = open_new(c, "b.db", &path[1]);
    sk_db *into = open_new(c, "into.db", &path[2]);
    sk_db_winner *w;
    sk_arena mem = {0};
    size_t n;
    sk_err err = {0};
    put_final(a, "cc 1", "run", 1000, us, 1, 3);
    merge_into(into, &a, 1);
    sk_assert_ok(sk_db_winners(into, NULL, &mem, &w, &n, &err), &err);
    assert_int_equal(n, 1);
    assert_string_equal(w->trial.key.schedule, "w=4,etok=1");
    assert_true(w->noisy == 0.25 && w->drift == 1.5 && w->speedup > 1.19 && w->speedup < 1.21);
    sk_db_trial t = trial_of(1, 1, "cc 1", "other");
    t.outcome = SK_OUTCOME_WRONG;
    t.unix_time = 5; /* long ago, but wrong is wrong */
    sk_assert_ok(sk_db_trial_put(b, &t, NULL, &err), &err);
    merge_into(into, &b, 1);
    sk_assert_ok(sk_db_winners(into, NULL, &mem, &w, &n, &err), &err);
    assert_int_equal(n, 1);
    assert_string_equal(w->trial.key.schedule, "w=8,etok=2");
    assert_true(isnan(w->noisy));
    t = trial_of(1, 0, "cc 1", "other"); /* and with a wrong default nothing is left */
    t.outcome = SK_OUTCOME_WRONG;
    sk_assert_ok(sk_db_trial_put(b, &t, NULL, &err), &err);
    merge_into(into, &b, 1);
    sk_assert_ok(sk_db_winners(into, NULL, &mem, &w, &n, &err), &err);
    assert_int_equal(n, 0);
    sk_arena_free(&mem);
    sk_db_close(a), sk_db_close(b), sk_db_close(into);
    for (int k = 0; k < 3; k++) sk_free(path[k]);
}

/* ---- failures ------------------------------------------------------------------------ */

static sk_status no_judge(void *user, const sk_db_trial *const *trial, size_t count, sk_arena *mem,
                          sk_db_winner *out, sk_err *err)
{
    (void)user, (void)trial, (void)count, (void)mem, (void)out;
    return sk_fail(err, SPHKV_ENOMEM, "no judge");
}

static void all_or_nothing(void **state)
{
    tune_case *c = *state;
    char *path[2];
    static const double us[4] = {60, 50, 0, 0}, more[4] = {60, 0, 0, 40};
    sk_db *a = open_new(c, "a.db", &path[0]), *into = open_new(c, "into.db", &path[1]);
    sk_db_merged m;
    sk_err err = {0};
    put_final(into, "cc 1", "run", 1000, us, 1, 3);
    put_final(a, "cc 2", "run 2", 2000, more, 3, 4);
    sk_text before = dump(path[1]);
    assert_int_equal(sk_db_merge(into, &a, 1, no_judge, NULL, &m, &err), SPHKV_ENOMEM);
    sk_text after = dump(path[1]);
    assert_string_equal(before.s, after.s);
    sk_text_free(&before);
    sk_text_free(&after);
    for (uint64_t nth = 1;; nth++) { /* every allocation fails once: all of it, or nothing */
        assert_true(nth < 5000);
        before = dump(path[1]);
        sk_alloc_fault(nth, false);
        const sk_status st = sk_db_merge(into, &a, 1, sk_merge_judge, NULL, &m, &err);
        const uint64_t seen = sk_alloc_fault(0, false);
        after = dump(path[1]);
        if (st != SPHKV_OK) assert_string_equal(before.s, after.s);
        sk_text_free(&before);
        sk_text_free(&after);
        if (seen >= nth) continue;
        assert_int_equal(st, SPHKV_OK);
        break;
    }
    sk_db_close(a), sk_db_close(into);
    sk_free(path[0]), sk_free(path[1]);
}

static int run_db(const tune_case *c, const char *const *words)
{
    return tune_case_wait(tune_case_start_in(c, DB_PROGRAM, words, false, NULL, NULL));
}

static void the_command(void **state)
{
    tune_case *c = *state;
    char *path, *out = sk_test_path(c->dir, "out.db"), *junk = sk_test_path(c->dir, "junk.db");
    static const double us[4] = {60, 50, 0, 0};
    sk_db *a = open_new(c, "a.db", &path);
    sk_err err = {0};
    put_final(a, "cc 1", "run", 1000, us, 1, 3);
    sk_db_close(a);
    sk_assert_ok(sk_file_write(junk, "no database", 11, &err), &err);
    const struct {
        const char *words[6];
        int code;
        const char *says;
    } cases[] = {
        {{"merge", NULL}, 2, "merge OUT IN..."},
        {{"merge", out, NULL}, 2, "merge OUT IN..."},
        {{"merge", out, path, "--fast", NULL}, 2, "--fast"},
        {{"merge", out, path, "/nowhere/b.db", NULL}, 4, "/nowhere/b.db"},
        {{"merge", out, path, junk, NULL}, 4, "junk.db"},
    };
    for (size_t i = 0; i < SK_COUNT(cases); i++) {
        tune_case_expect(c, run_db(c, cases[i].words), cases[i].code);
        tune_case_said(c, cases[i].says, true);
        assert_int_not_equal(access(out, F_OK), 0); /* nothing was made */
    }
    const char *const good[2][8] = {{"merge", out, path, path, "--json", NULL},
                                    {"merge", out, path, out, "--json", NULL}};
    for (int i = 0; i < 2; i++) {
        tune_case_expect(c, run_db(c, good[i]), 0);
        char *said = tune_case_read(c->out);
        const char *const words = i ? "\"trials\":2,\"added\":0,\"replaced\":0,\"winners\":1"
                                    : "\"trials\":2,\"added\":2,\"replaced\":0,\"winners\":1";
        if (!strstr(said, words)) fail_msg("%s", said);
        sk_free(said);
    }
    sk_free(path);
    sk_free(out);
    sk_free(junk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TUNE_CASE(order_does_not_matter), TUNE_CASE(who_wins), TUNE_CASE(alone_and_disproved),
        TUNE_CASE(all_or_nothing), TUNE_CASE(the_command),
    };
    if (access(DB_PROGRAM, X_OK) != 0) return sk_test_skip("sphkv-db is not built");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
