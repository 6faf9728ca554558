/* test_db_store - what goes in comes out: records, winners, the order of the
 * look-up, the overlay, migrations, and what the store refuses. */
#include "sk_test.h"

#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "db_case.h"
#include "db_impl.h"

typedef struct state {
    char *dir, *path;
    sk_db *db;
    sk_arena mem;
} state;

static int setup(void **out)
{
    state *s = sk_calloc(1, sizeof *s);
    s->dir = sk_test_dir();
    s->path = sk_test_path(s->dir, "a/b/kernels.db");
    sk_err err = {0};
    sk_assert_ok(sk_db_open(s->path, SK_DB_CREATE, &s->db, &err), &err);
    *out = s;
    return 0;
}

static int teardown(void **in)
{
    state *s = *in;
    sk_db_close(s->db);
    sk_arena_free(&s->mem);
    sk_free(s->path);
    sk_test_dir_remove(s->dir);
    sk_free(s);
    return 0;
}

static void trial_round_trip(void **in)
{
    state *s = *in;
    sk_err err = {0};
    double samples[3] = {1.5, 2.25, 1e-9}, baseline[3] = {3, 4, 5};
    sk_db_artifact code = db_case_code("ir-1", 4000);
    sk_db_trial t = db_case_trial(1, "w=8,lut=rows", "ir-1");
    t.samples = samples, t.sample_count = 3;
    t.baseline = baseline, t.baseline_count = 3;
    t.error = (double)NAN;
    t.seed = UINT64_MAX - 5;
    t.base = "b45e";
    t.key.compiler = "cc 7";
    t.artifact = &code;
    int64_t id = 0, again = 0;
    sk_assert_ok(sk_db_trial_put(s->db, &t, &id, &err), &err);
    assert_true(id > 0);

    sk_db_trial back;
    sk_assert_ok(sk_db_trial_find(s->db, &t.key, &s->mem, &back, &err), &err);
    assert_int_equal(back.id, id);
    assert_string_equal(back.key.device->fingerprint, t.key.device->fingerprint);
    assert_string_equal(back.key.spec, t.key.spec);
    assert_string_equal(back.key.schedule, "w=8,lut=rows");
    assert_int_equal(back.key.shape.context, t.key.shape.context);
    assert_int_equal(back.sample_count, 3);
    assert_memory_equal(back.samples, samples, sizeof samples);
    assert_memory_equal(back.baseline, baseline, sizeof baseline);
    assert_true(isnan(back.error));
    assert_true(back.median_us == t.median_us);
    assert_true(back.seed == t.seed);
    assert_string_equal(back.compiler_version, t.compiler_version);
    assert_string_equal(back.key.compiler, "cc 7");
    assert_string_equal(back.base, "b45e");
    assert_true(back.unix_time > 0);

    sk_db_artifact found;
    sk_assert_ok(sk_db_trial_artifact(s->db, id, &s->mem, &found, &err), &err);
    assert_int_equal(found.size, code.size);
    assert_memory_equal(found.bytes, code.bytes, code.size);
    assert_string_equal(found.entries, code.entries);
    assert_string_equal(found.launch, code.launch);

    /* Putting again replaces, keeps the row, and keeps the code. */
    t.artifact = NULL;
    t.median_us = 77;
    sk_assert_ok(sk_db_trial_put(s->db, &t, &again, &err), &err);
    assert_int_equal(again, id);
    sk_assert_ok(sk_db_trial_find(s->db, &t.key, &s->mem, &back, &err), &err);
    assert_true(back.median_us == 77);
    sk_assert_ok(sk_db_trial_artifact(s->db, id, &s->mem, &found, &err), &err);
}

/* Each field of the key alone makes another trial. */
static void trial_key_covers_every_field(void **in)
{
    state *s = *in;
    sk_err err = {0};
    sk_db_trial base = db_case_trial(1, "w=8", "ir"), t;
    sk_assert_ok(sk_db_trial_put(s->db, &base, NULL, &err), &err);
    sk_db_device other = *base.key.device;
    other.fingerprint = "another machine";
    for (int field = 0; field < 10; field++) {
        t = base;
        if (field == 0)
            t.key.device = &other;
        if (field == 1)
            t.key.kernel = "kv_encode";
        if (field == 2)
            t.key.spec = "another spec";
        if (field == 3)
            t.key.shape.context++;
        if (field == 4)
            t.key.shape.threads++;
        if (field == 5)
            t.key.schedule = "w=4";
        if (field == 6)
            t.key.ir_hash = "ri";
        if (field == 7)
            t.key.accuracy = "exact";
        if (field == 8)
            t.key.run_kind = "simulate";
        if (field == 9)
            t.key.compiler = "cc 2";
        sk_db_trial back;
        assert_int_equal(sk_db_trial_find(s->db, &t.key, &s->mem, &back, &err), SPHKV_ENOTFOUND);
        sk_assert_ok(sk_db_trial_put(s->db, &t, NULL, &err), &err);
    }
    sk_db_trial *all;
    size_t count;
    sk_assert_ok(sk_db_trials(s->db, NULL, &s->mem, &all, &count, &err), &err);
    assert_int_equal(count, 11);
    /* What does not identify a device is not part of the key. */
    other = *base.key.device;
    other.name = "renamed", other.toolchain = "newer";
    t = base;
    t.key.device = &other;
    sk_assert_ok(sk_db_trial_find(s->db, &t.key, &s->mem, &t, &err), &err);
}

static void lists_filter(void **in)
{
    state *s = *in;
    sk_err err = {0};
    for (int device = 1; device <= 2; device++)
        for (uint32_t context = 1024; context <= 4096; context *= 2) {
            int64_t id = db_case_winner(s->db, device, context, "w=8", "ir", 64, 2.0);
            assert_true(id > 0);
            sk_db_trial bad = db_case_trial(device, "w=4", "ir");
            bad.key.shape.context = context;
            bad.outcome = SK_OUTCOME_CRASH;
            sk_assert_ok(sk_db_trial_put(s->db, &bad, NULL, &err), &err);
        }
    sk_db_trial *trials, like = db_case_trial(2, "", "");
    sk_db_winner *winners;
    size_t count;
    sk_db_filter by_device = {.device = like.key.device};
    sk_assert_ok(sk_db_trials(s->db, &by_device, &s->mem, &trials, &count, &err), &err);
    assert_int_equal(count, 6);
    sk_db_shape shape = like.key.shape;
    shape.context = 2048;
    sk_db_filter exact = {like.key.device, like.key.kernel, like.key.spec, &shape, NULL, 0};
    sk_assert_ok(sk_db_trials(s->db, &exact, &s->mem, &trials, &count, &err), &err);
    assert_int_equal(count, 2);
    assert_int_equal(trials[1].outcome, SK_OUTCOME_CRASH);
    sk_assert_ok(sk_db_winners(s->db, NULL, &s->mem, &winners, &count, &err), &err);
    assert_int_equal(count, 6);
    assert_int_equal(winners[0].trial.key.shape.context, 1024);
    assert_int_equal(winners[5].trial.key.shape.context, 4096);
    assert_string_equal(winners[0].state, "ready");
    sk_assert_ok(sk_db_winners(s->db, &exact, &s->mem, &winners, &count, &err), &err);
    assert_int_equal(count, 1);
    assert_true(winners[0].speedup == 2.0);
    sk_db_filter nothing = {.kernel = "no such kernel"};
    sk_assert_ok(sk_db_winners(s->db, &nothing, &s->mem, &winners, &count, &err), &err);
    assert_int_equal(count, 0);
    assert_null(winners);
}

static void winner_replaces_and_refuses(void **in)
{
    state *s = *in;
    sk_err err = {0};
    int64_t first = db_case_winner(s->db, 1, 1024, "w=8", "ir", 64, 1.5);
    int64_t second = db_case_winner(s->db, 1, 1024, "w=16", "ir2", 64, 2.5);
    assert_int_equal(first, second);
    sk_db_winner *winners;
    size_t count;
    sk_assert_ok(sk_db_winners(s->db, NULL, &s->mem, &winners, &count, &err), &err);
    assert_int_equal(count, 1);
    assert_string_equal(winners[0].trial.key.schedule, "w=16");

    sk_db_trial bad = db_case_trial(1, "w=4", "ir");
    bad.outcome = SK_OUTCOME_WRONG;
    int64_t bad_id = 0, other_id = 0;
    sk_assert_ok(sk_db_trial_put(s->db, &bad, &bad_id, &err), &err);
    sk_db_winner w = {.trial_id = bad_id, .speedup = 9};
    assert_int_equal(sk_db_winner_put(s->db, &w, NULL, &err), SPHKV_EINVAL);
    w.trial_id = 12345;
    assert_int_equal(sk_db_winner_put(s->db, &w, NULL, &err), SPHKV_EINVAL);
    /* A default of another shape. */
    bad.key.shape.context = 99;
    sk_assert_ok(sk_db_trial_put(s->db, &bad, &other_id, &err), &err);
    w.trial_id = winners[0].trial_id;
    w.default_trial_id = other_id;
    assert_int_equal(sk_db_winner_put(s->db, &w, NULL, &err), SPHKV_EINVAL);
    w.default_trial_id = bad_id;
    w.flip_risk = 0.25, w.noisy = 0.125, w.drift = (double)NAN;
    sk_assert_ok(sk_db_winner_put(s->db, &w, NULL, &err), &err);
    sk_assert_ok(sk_db_winners(s->db, NULL, &s->mem, &winners, &count, &err), &err);
    assert_true(winners[0].flip_risk == 0.25 && winners[0].noisy == 0.125);
    assert_true(isnan(winners[0].drift));
}

static void incomplete_records_are_refused(void **in)
{
    state *s = *in;
    sk_err err = {0};
    sk_db_trial t = db_case_trial(1, "w=8", "ir");
    t.key.device = NULL;
    assert_int_equal(sk_db_trial_put(s->db, &t, NULL, &err), SPHKV_EINVAL);
    t = db_case_trial(1, "w=8", "ir");
    t.key.spec = "";
    assert_int_equal(sk_db_trial_put(s->db, &t, NULL, &err), SPHKV_EINVAL);
    t = db_case_trial(1, "w=8", "ir");
    sk_db_artifact code = db_case_code("another ir", 10);
    t.artifact = &code;
    assert_int_equal(sk_db_trial_put(s->db, &t, NULL, &err), SPHKV_EINVAL);
    code = db_case_code("ir", 10);
    code.bytes = NULL;
    t.artifact = &code;
    assert_int_equal(sk_db_trial_put(s->db, &t, NULL, &err), SPHKV_EINVAL);
    /* Nothing of it stayed: the trial failed after its device was added. */
    sk_db_trial *all;
    size_t count;
    sk_assert_ok(sk_db_trials(s->db, NULL, &s->mem, &all, &count, &err), &err);
    assert_int_equal(count, 0);
    int64_t devices = -1;
    sk_assert_ok(sk_db_pragma_int(s->db, "SELECT count(*) FROM device", &devices, &err), &err);
    assert_int_equal(devices, 0);
}

static sk_db_best_result best(sk_db_set *set, int device, uint32_t context, uint32_t flags,
                              sk_arena *mem)
{
    sk_err err = {0};
    sk_db_best_result r;
    sk_db_trial like = db_case_trial(device, "", "");
    like.key.shape.context = context;
    sk_assert_ok(sk_db_best(set, like.key.device, like.key.kernel, like.key.spec, &like.key.shape,
                            flags, mem, &r, &err),
                 &err);
    return r;
}

static void best_says_how_it_matched(void **in)
{
    state *s = *in;
    sk_db_set set = {.user = s->db};
    assert_int_equal(best(&set, 1, 1024, 0, &s->mem).match, SK_MATCH_NONE);
    db_case_winner(s->db, 1, 1024, "w=8,a=1", "ir1", 100, 1.5);
    db_case_winner(s->db, 1, 65536, "w=8,a=2", "ir2", 200, 2.5);
    sk_db_best_result r = best(&set, 1, 1024, 0, &s->mem);
    assert_int_equal(r.match, SK_MATCH_EXACT);
    assert_string_equal(r.schedule, "w=8,a=1");
    assert_string_equal(r.ir_hash, "ir1");
    assert_int_equal(r.artifact.size, 100);
    assert_true(r.distance == 0 && r.speedup == 1.5);
    assert_string_equal(r.source, s->path);
    assert_string_equal(r.reason, "");
    r = best(&set, 1, 4096, 0, &s->mem);
    assert_int_equal(r.match, SK_MATCH_NEAR_SHAPE);
    assert_string_equal(r.schedule, "w=8,a=1");
    assert_true(r.distance == 2);
    r = best(&set, 1, 32768, 0, &s->mem);
    assert_string_equal(r.schedule, "w=8,a=2");
    assert_int_equal(r.shape.context, 65536);
    /* 2 has the arch of 1, 3 has not. */
    r = best(&set, 2, 65536, 0, &s->mem);
    assert_int_equal(r.match, SK_MATCH_ARCH);
    assert_string_equal(r.schedule, "w=8,a=2");
    assert_int_equal(best(&set, 3, 1024, 0, &s->mem).match, SK_MATCH_NONE);
}

/* A prediction never ran: it may win while nobody has tuned, and not after. */
static void best_takes_predictions_last(void **in)
{
    state *s = *in;
    sk_err err = {0};
    sk_db_set set = {.user = s->db};
    sk_db_device model = *db_case_device(1);
    const sk_db_artifact code = db_case_code("ir9", 77);
    sk_db_trial t = db_case_trial(1, "w=16", "ir9");
    model.name = "a model";
    model.fingerprint = "predicted";
    t.key.device = &model;
    t.key.run_kind = SK_DB_PREDICT;
    t.artifact = &code;
    int64_t id;
    sk_assert_ok(sk_db_trial_put(s->db, &t, &id, &err), &err); /* as if it had run */
    sk_db_winner w = {.trial_id = id, .default_trial_id = id, .speedup = 1};
    sk_assert_ok(sk_db_winner_put(s->db, &w, NULL, &err), &err);
    sk_db_best_result r = best(&set, 1, 1024, 0, &s->mem);
    assert_int_equal(r.match, SK_MATCH_NONE);
    assert_non_null(strstr(r.reason, "did not go well"));
    t.outcome = SK_OUTCOME_SKIPPED;
    sk_assert_ok(sk_db_trial_put(s->db, &t, &id, &err), &err);
    r = best(&set, 1, 1024, 0, &s->mem);
    assert_int_equal(r.match, SK_MATCH_PREDICTED);
    assert_string_equal(sk_match_text(r.match), "predicted");
    assert_string_equal(r.schedule, "w=16");
    assert_int_equal(r.artifact.size, 77);
    db_case_winner(s->db, 2, 65536, "w=4", "ir4", 50, 1.1); /* tuned, of another shape and device */
    r = best(&set, 1, 1024, 0, &s->mem);
    assert_int_equal(r.match, SK_MATCH_ARCH);
    assert_string_equal(r.schedule, "w=4");
    t.key.run_kind = "measure"; /* one that was only left out wins nothing */
    sk_assert_ok(sk_db_trial_put(s->db, &t, &id, &err), &err);
    w.trial_id = w.default_trial_id = id;
    assert_int_equal(sk_db_winner_put(s->db, &w, NULL, &err), SPHKV_EINVAL);
}

static void best_passes_over_recipes_and_simulation(void **in)
{
    state *s = *in;
    sk_err err = {0};
    sk_db_set set = {.user = s->db};
    db_case_winner(s->db, 1, 1024, "w=8", "ir", 0, 1.5); /* no code */
    assert_null(best(&set, 1, 1024, 0, &s->mem).artifact.bytes);
    sk_db_best_result r = best(&set, 1, 1024, SK_BEST_NEED_CODE, &s->mem);
    assert_int_equal(r.match, SK_MATCH_NONE);
    assert_non_null(strstr(r.reason, "without code"));
    sk_db_winner *winners;
    size_t count;
    sk_assert_ok(sk_db_winners(s->db, NULL, &s->mem, &winners, &count, &err), &err);
    assert_string_equal(winners[0].state, "recipe");
    db_case_winner(s->db, 1, 2048, "w=4", "ir4", 50, 1.1);
    r = best(&set, 1, 1024, SK_BEST_NEED_CODE, &s->mem);
    assert_int_equal(r.match, SK_MATCH_NEAR_SHAPE);
    assert_string_equal(r.schedule, "w=4");

    sk_db_trial t = db_case_trial(3, "w=8", "ir");
    t.key.run_kind = "simulate";
    int64_t id;
    sk_assert_ok(sk_db_trial_put(s->db, &t, &id, &err), &err);
    sk_db_winner w = {.trial_id = id, .speedup = 2};
    sk_assert_ok(sk_db_winner_put(s->db, &w, NULL, &err), &err);
    r = best(&set, 3, t.key.shape.context, 0, &s->mem);
    assert_int_equal(r.match, SK_MATCH_NONE);
    assert_non_null(strstr(r.reason, "simulated"));
}

static void version_and_outcome_make_it_stale(void **in)
{
    state *s = *in;
    sk_err err = {0};
    sk_db_set set = {.user = s->db};
    sk_db_artifact code = db_case_code("ir", 64);
    sk_db_trial t = db_case_trial(1, "w=8", "ir");
    int64_t id;
    for (int which = 0; which < 2; which++) {
        code.format_version = SPHKV_FORMAT_VERSION + (which == 0);
        code.args_version = SPHKV_ARGS_VERSION + (which == 1);
        t.artifact = &code;
        sk_assert_ok(sk_db_trial_put(s->db, &t, &id, &err), &err);
        sk_db_winner w = {.trial_id = id, .speedup = 2};
        sk_assert_ok(sk_db_winner_put(s->db, &w, NULL, &err), &err);
        sk_db_best_result r = best(&set, 1, t.key.shape.context, 0, &s->mem);
        assert_int_equal(r.match, SK_MATCH_NONE);
        assert_non_null(strstr(r.reason, which == 0 ? "format version" : "arguments"));
    }
    code = db_case_code("ir", 64);
    sk_assert_ok(sk_db_trial_link(s->db, id, &code, &err), &err);
    assert_int_equal(best(&set, 1, t.key.shape.context, 0, &s->mem).match, SK_MATCH_EXACT);
    t.outcome = SK_OUTCOME_HANG; /* tried again, and it hung */
    sk_assert_ok(sk_db_trial_put(s->db, &t, NULL, &err), &err);
    sk_db_best_result r = best(&set, 1, t.key.shape.context, 0, &s->mem);
    assert_int_equal(r.match, SK_MATCH_NONE);
    assert_non_null(strstr(r.reason, "did not go well"));
    code.ir_hash = "else";
    assert_int_equal(sk_db_trial_link(s->db, id, &code, &err), SPHKV_EINVAL);
}

static void defaults_round_trip(void **in)
{
    state *s = *in;
    sk_err err = {0};
    sk_db_set set = {.user = s->db};
    sk_db_trial like = db_case_trial(1, "", "");
    sk_db_artifact code = db_case_code("ir-d", 500), back;
    const sk_db_device *one = like.key.device, *two = db_case_device(2), *three = db_case_device(3);
    const char *kernel = like.key.kernel, *spec = like.key.spec;
    for (int twice = 0; twice < 2; twice++)
        sk_assert_ok(sk_db_default_put(&set, one, kernel, spec, "w=8", &code, &err), &err);
    sk_assert_ok(sk_db_default_get(&set, two, kernel, spec, "ir-d", &s->mem, &back, &err), &err);
    assert_int_equal(back.size, 500);
    assert_memory_equal(back.bytes, code.bytes, 500);
    assert_int_equal(sk_db_default_get(&set, three, kernel, spec, "ir-d", &s->mem, &back, &err),
                     SPHKV_ENOTFOUND);
    assert_int_equal(sk_db_default_get(&set, one, kernel, spec, "ir-e", &s->mem, &back, &err),
                     SPHKV_ENOTFOUND);
    assert_int_equal(sk_db_default_get(&set, one, kernel, "spec", "ir-d", &s->mem, &back, &err),
                     SPHKV_ENOTFOUND);
}

static void overlay_prefers_user(void **in)
{
    state *s = *in;
    sk_err err = {0};
    char *system_dir = sk_test_path(s->dir, "share");
    assert_int_equal(mkdir(system_dir, 0755), 0);
    for (int i = 0; i < 2; i++) {
        char *path = sk_test_path(system_dir, i ? "20.db" : "10.db");
        sk_db *db;
        sk_assert_ok(sk_db_open(path, SK_DB_CREATE, &db, &err), &err);
        db_case_winner(db, 1, 1024, i ? "w=8,from=20" : "w=8,from=10", "ir", 10, 1);
        if (i)
            db_case_winner(db, 1, 4096, "w=8,from=20", "ir", 10, 1);
        sk_db_close(db);
        sk_free(path);
    }
    sk_db_set *set;
    sk_assert_ok(sk_db_set_open(s->path, system_dir, 0, &set, &err), &err);
    assert_string_equal(set->warning, "");
    assert_false(set->memory_only);
    assert_int_equal(set->system_count, 2);
    assert_string_equal(best(set, 1, 1024, 0, &s->mem).schedule, "w=8,from=10");
    assert_string_equal(best(set, 1, 4096, 0, &s->mem).schedule, "w=8,from=20");
    db_case_winner(set->user, 1, 2048, "w=8,from=user", "ir", 10, 1);
    /* Exact in a system database is better than near in the user's. */
    assert_string_equal(best(set, 1, 1024, 0, &s->mem).schedule, "w=8,from=10");
    db_case_winner(set->user, 1, 1024, "w=8,from=user", "ir", 10, 1);
    assert_string_equal(best(set, 1, 1024, 0, &s->mem).schedule, "w=8,from=user");
    sk_db_trial t = db_case_trial(1, "w=8", "ir");
    assert_int_equal(sk_db_trial_put(set->system[0], &t, NULL, &err), SPHKV_EIO);
    sk_db_set_close(set);
    sk_free(system_dir);
}

static void default_path_follows_environment(void **in)
{
    (void)in;
    sk_err err = {0};
    char *path;
    char *home = getenv("HOME") ? sk_strdup(getenv("HOME")) : NULL;
    unsetenv("XDG_CACHE_HOME");
    setenv("HOME", "/home/x", 1);
    setenv("SPHKV_DB", "", 1);
    sk_assert_ok(sk_db_default_path(&path, &err), &err);
    assert_string_equal(path, "/home/x/.cache/sphkv/kernels.db");
    sk_free(path);
    setenv("XDG_CACHE_HOME", "/c", 1);
    sk_assert_ok(sk_db_default_path(&path, &err), &err);
    assert_string_equal(path, "/c/sphkv/kernels.db");
    sk_free(path);
    setenv("SPHKV_DB", "k.db", 1);
    sk_assert_ok(sk_db_default_path(&path, &err), &err);
    assert_string_equal(path, "k.db");
    sk_free(path);
    unsetenv("SPHKV_DB");
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    assert_int_equal(sk_db_default_path(&path, &err), SPHKV_ENOTFOUND);
    assert_null(path);
    if (home)
        setenv("HOME", home, 1);
    sk_free(home);
}

static void migrates_to_tomorrow(void **in)
{
    state *s = *in;
    sk_err err = {0};
    int64_t id = db_case_winner(s->db, 1, 1024, "w=8", "ir", 64, 1.5), value = 0;
    sk_db_close(s->db);
    s->db = NULL;
    assert_int_equal(sk_db_migrations.count, 3);
    const char *broken[] = {sk_db_migrations.sql[0], sk_db_migrations.sql[1], sk_db_migrations.sql[2],
                            "CREATE TABLE extra (x INTEGER) STRICT; CREATE TABLE winner (y TEXT)"};
    const char *future[] = {sk_db_migrations.sql[0], sk_db_migrations.sql[1], sk_db_migrations.sql[2],
                            "ALTER TABLE winner ADD COLUMN note TEXT NOT NULL DEFAULT 'none'"};
    sk_migrations next_broken = {broken, 4}, next = {future, 4};
    sk_db *db;
    /* A migration that fails leaves the version that was, whole. */
    assert_int_equal(sk_db_open_with(s->path, 0, &next_broken, &db, &err), SPHKV_EDB);
    sk_assert_ok(sk_db_open(s->path, 0, &db, &err), &err);
    sk_assert_ok(sk_db_pragma_int(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'extra'",
                                  &value, &err),
                 &err);
    assert_int_equal(value, 0);
    sk_db_close(db);
    /* Reading cannot migrate. */
    assert_int_equal(sk_db_open_with(s->path, SK_DB_READ_ONLY, &next, &db, &err), SPHKV_EDB);
    assert_non_null(strstr(err.message, "older"));
    sk_assert_ok(sk_db_open_with(s->path, 0, &next, &db, &err), &err);
    sk_assert_ok(sk_db_pragma_int(db, "PRAGMA user_version", &value, &err), &err);
    assert_int_equal(value, 4);
    sk_assert_ok(sk_db_pragma_int(db, "SELECT id FROM winner WHERE note = 'none'", &value, &err),
                 &err);
    assert_int_equal(value, id);
    sk_db_close(db);
    /* And today's program refuses tomorrow's file, in words. */
    assert_int_equal(sk_db_open(s->path, 0, &db, &err), SPHKV_EDB);
    assert_non_null(strstr(err.message, "newer"));
    assert_non_null(strstr(err.message, s->path));
}

/* A file of version 1 as it was: its records keep their keys and stay good. */
static void migrates_version_1(void **in)
{
    state *s = *in;
    sk_err err = {0};
    sqlite3 *raw;
    sk_db *db;
    assert_true(db_case_winner(s->db, 1, 1024, "w=8", "ir", 64, 1.5) > 0);
    sk_db_close(s->db);
    s->db = NULL;
    assert_int_equal(sqlite3_open(s->path, &raw), SQLITE_OK);
    assert_int_equal(sqlite3_exec(raw, "ALTER TABLE trial DROP COLUMN compiler;"
                                  "ALTER TABLE trial DROP COLUMN base;"
                                  "ALTER TABLE winner DROP COLUMN flip_risk;"
                                  "ALTER TABLE winner DROP COLUMN noisy;"
                                  "ALTER TABLE winner DROP COLUMN drift; PRAGMA user_version=1",
                                  NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(raw);
    assert_int_equal(sk_db_open(s->path, SK_DB_READ_ONLY, &db, &err), SPHKV_EDB);
    sk_assert_ok(sk_db_open(s->path, 0, &s->db, &err), &err);
    sk_db_set set = {.user = s->db};
    const sk_db_best_result r = best(&set, 1, 1024, SK_BEST_NEED_CODE, &s->mem);
    assert_int_equal(r.match, SK_MATCH_EXACT);
    assert_string_equal(r.reason, "");
    sk_db_winner *list;
    size_t count;
    sk_assert_ok(sk_db_winners(s->db, NULL, &s->mem, &list, &count, &err), &err);
    assert_int_equal(count, 1);
    assert_true(isnan(list[0].flip_risk) && isnan(list[0].noisy) && isnan(list[0].drift));
}

static void memory_database(void **in)
{
    state *s = *in;
    sk_err err = {0};
    sk_db *db;
    sk_assert_ok(sk_db_open(":memory:", SK_DB_CREATE, &db, &err), &err);
    assert_true(db_case_winner(db, 1, 1024, "w=8", "ir", 64, 1.5) > 0);
    sk_db_set set = {.user = db};
    assert_int_equal(best(&set, 1, 1024, 0, &s->mem).match, SK_MATCH_EXACT);
    sk_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(trial_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(trial_key_covers_every_field, setup, teardown),
        cmocka_unit_test_setup_teardown(lists_filter, setup, teardown),
        cmocka_unit_test_setup_teardown(winner_replaces_and_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(incomplete_records_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(best_says_how_it_matched, setup, teardown),
        cmocka_unit_test_setup_teardown(best_takes_predictions_last, setup, teardown),
        cmocka_unit_test_setup_teardown(best_passes_over_recipes_and_simulation, setup, teardown),
        cmocka_unit_test_setup_teardown(version_and_outcome_make_it_stale, setup, teardown),
        cmocka_unit_test_setup_teardown(defaults_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(overlay_prefers_user, setup, teardown),
        cmocka_unit_test_setup_teardown(migrates_to_tomorrow, setup, teardown),
        cmocka_unit_test_setup_teardown(migrates_version_1, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_database, setup, teardown),
        cmocka_unit_test(default_path_follows_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
