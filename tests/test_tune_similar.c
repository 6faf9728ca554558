/* test_tune_similar.c - what won elsewhere: the most similar problem first, each schedule
 * once, only what the space has; and a walk hands it out right after the default. */
#include "sk_test.h"

#include "device.h"
#include "store.h"
#include "walk.h"

static const char spec_here[] = "attn_decode d64 v64 h2 p32 l0 qf32 of32 if32 tight good:vi8,kf16:vf16";
static const char spec_other[] = "attn_decode d64 v64 h2 p32 l0 qf32 of32 if32 tight high:vi8,kf16:vf16";
static sk_device device;

static void make_job(const char *text, uint32_t context, sk_job *job)
{
    sk_spec spec;
    sk_err err;
    memset(&spec, 0, sizeof spec);
    sk_assert_ok(sk_spec_parse(text, &spec, &err), &err);
    const sk_shape shape = sk_job_shape(&spec, 1, context, 1, 1);
    sk_assert_ok(sk_job_make(&spec, &shape, &device, sk_effort_find("quick"), 1, job, &err), &err);
}

/* Candidate `index` of the problem wins it. */
static void win(sk_store *store, const char *spec, uint32_t context, uint32_t index)
{
    sk_job job;
    sk_err err;
    make_job(spec, context, &job);
    sk_tried tried[2] = {{.index = 0, .outcome = SK_OUTCOME_OK, .median_us = 10, .error = 0},
                         {.index = index, .outcome = SK_OUTCOME_OK, .median_us = 5, .error = 0}};
    for (int i = 0; i < 2; i++) {
        sk_assert_ok(sk_space_resolve(&job.space, tried[i].index, &err), &err);
        sk_assert_ok(sk_store_put(store, &job, &tried[i], NULL, &err), &err);
    }
    const sk_win record = {.winner = &tried[1], .base = &tried[0], .speedup = {2, 1.9, 2.1},
                           .ties = "", .default_us = 10};
    sk_assert_ok(sk_store_win(store, &record, &err), &err);
    sk_job_free(&job);
}

static void nearest_first(void **state)
{
    sk_store store;
    sk_job job;
    sk_err err;
    uint32_t index[4], n;
    (void)state;
    sk_assert_ok(sk_store_open(":memory:", &device, 1, false, &store, &err), &err);
    make_job(spec_here, 1024, &job);
    assert_true(job.space.count > 9);
    sk_assert_ok(sk_store_similar(&store, &job, 4, index, &n, &err), &err);
    assert_int_equal(n, 0);
    win(&store, spec_here, 8192, 4);  /* three doublings away */
    win(&store, spec_here, 2048, 7);  /* one */
    win(&store, spec_here, 4096, 7);  /* the same schedule again */
    win(&store, spec_here, 16384, 0); /* the default needs no advice */
    win(&store, spec_other, 1024, 5); /* one word of the spec */
    sk_assert_ok(sk_store_similar(&store, &job, 4, index, &n, &err), &err);
    sk_job other;
    make_job(spec_other, 1024, &other);
    assert_int_equal(n, 3);
    assert_int_equal(index[0], 7);
    assert_int_equal(index[1],
                     sk_space_find(&job.space, &other.space.candidate[5].schedule));
    assert_int_equal(index[2], 4);
    sk_assert_ok(sk_store_similar(&store, &job, 1, index, &n, &err), &err);
    assert_int_equal(n, 1);
    assert_int_equal(index[0], 7);
    /* a space that is held to some values has only those */
    char keep[32];
    snprintf(keep, sizeof keep, "w=%d", (int)job.space.candidate[7].schedule.v[SK_T_w] == 4 ? 8 : 4);
    sk_assert_ok(sk_space_keep(&job.space, keep, &err), &err);
    sk_assert_ok(sk_store_similar(&store, &job, 4, index, &n, &err), &err);
    for (uint32_t i = 0; i < n; i++) assert_true(index[i] > 0 && index[i] < job.space.count);
    sk_job_free(&job);
    sk_job_free(&other);
    sk_store_close(&store);
}

static void first_in_the_walk(void **state)
{
    uint32_t first[3], distinct = 0;
    sk_job job;
    sk_walk walk;
    sk_err err;
    uint32_t index, seen[5];
    bool more;
    (void)state;
    make_job(spec_here, 1024, &job);
    sk_assert_ok(sk_walk_start(&job.space, "random", 0, 1, &walk, &err), &err);
    for (uint32_t i = 1; distinct < 3; i++) { /* three whose code is their own */
        sk_assert_ok(sk_space_resolve(&job.space, i, &err), &err);
        if (job.space.candidate[i].same_as == i) first[2 - distinct++] = i;
    }
    sk_assert_ok(sk_walk_first(&walk, first, 2, &err), &err);
    sk_assert_ok(sk_walk_first(&walk, first + 2, 1, &err), &err);
    sk_walk_tell(&walk, first[1], 1.5); /* known of an earlier run */
    for (uint32_t i = 0; i < 5; i++) {
        sk_assert_ok(sk_walk_next(&walk, &index, &more, &err), &err);
        assert_true(more);
        seen[i] = index;
        for (uint32_t k = 0; k < i; k++) assert_int_not_equal(seen[k], index);
        sk_walk_tell(&walk, index, 1 + 0.1 * i);
    }
    const uint32_t want[3] = {0, first[0], first[2]};
    assert_memory_equal(seen, want, sizeof want);
    sk_walk_free(&walk);
    sk_job_free(&job);
}

/* The default stays, whatever its values; a word that is no tunable is refused. */
static void spaces_held(void **state)
{
    sk_job job;
    sk_err err = {0};
    (void)state;
    make_job(spec_here, 1024, &job);
    const uint32_t all = job.space.count;
    const sk_schedule base = job.space.candidate[0].schedule;
    assert_int_equal(sk_space_keep(&job.space, "speed=11", &err), SPHKV_EINVAL);
    assert_int_equal(job.space.count, all);
    sk_assert_ok(sk_space_keep(&job.space, "w=4,lut_build=fused", &err), &err);
    assert_true(job.space.count > 1 && job.space.count < all);
    assert_memory_equal(&base, &job.space.candidate[0].schedule, sizeof base);
    for (uint32_t i = 1; i < job.space.count; i++) {
        assert_int_equal(job.space.candidate[i].schedule.v[SK_T_w], 4);
        assert_int_equal(job.space.candidate[i].schedule.v[SK_T_lut_build], SK_LUT_FUSED);
    }
    sk_job_free(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nearest_first),
        cmocka_unit_test(first_in_the_walk),
        cmocka_unit_test(spaces_held),
    };
    sk_device_host(&device);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
