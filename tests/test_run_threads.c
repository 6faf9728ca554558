/* test_run_threads.c - one context and its plans used from eight threads, and
 * one run shared by several: run under the thread sanitizer to mean anything
 * beyond right results. */
#include "sk_test.h"

#include "run_case.h"

#define THREADS 8

typedef struct worker {
    pthread_t thread;
    sphkv_context *ctx;
    uint32_t index;
    char failure[256]; /* assertions of cmocka belong to the main thread */
} worker;

/* Plans every spec, runs all parts, judges. */
static void plan_and_run(worker *w)
{
    run_spec r;
    for (uint32_t n = 0, i; (r = run_spec_get(n)).params.size && !w->failure[0]; n++) {
        uint32_t count = 0;
        while (run_spec_get(count).params.size)
            count++;
        i = (n + w->index) % count; /* threads meet at different specs */
        r = run_spec_get(i);
        const sphkv_maxima maxima = run_maxima(&r);
        sphkv_plan *plan = NULL;
        sphkv_error err = {0};
        sk_case c = {0};
        double error, bound;
        sphkv_status st = sphkv_plan_create(w->ctx, &r.params, &maxima, &plan, &err);
        sk_case_params p = {.shape = r.shape, .input = SK_IN_S1, .seed = w->index, .copies = 1,
                            .lists_per_seq = r.shape.kv_heads, .uneven = true};
        if (st == SPHKV_OK)
            st = sk_spec_from_params(&r.params, &p.spec, &err);
        if (st == SPHKV_OK)
            st = sk_case_make(&p, &c, &err);
        if (st == SPHKV_OK) {
            run_call call = run_call_make(plan, &c);
            for (uint32_t k = 0; k < r.shape.threads && st == SPHKV_OK; k++)
                st = sphkv_run(plan, &call.args, k, r.shape.threads);
            if (st == SPHKV_OK)
                st = sk_case_judge(&c, 0, &error, &bound, &err);
            run_call_free(&call);
            sk_case_free(&c);
        }
        if (st != SPHKV_OK)
            snprintf(w->failure, sizeof w->failure, "spec %u: status %d: %.200s", i, (int)st,
                     err.message);
        sphkv_plan_destroy(plan);
    }
}

static void *worker_main(void *arg)
{
    plan_and_run(arg);
    return NULL;
}

static void plans_from_many_threads(void **state)
{
    run_place *p = *state;
    sphkv_context *ctx = run_open(p, 0);
    worker w[THREADS] = {0};
    for (uint32_t i = 0; i < THREADS; i++) {
        w[i].ctx = ctx;
        w[i].index = i;
        assert_int_equal(pthread_create(&w[i].thread, NULL, worker_main, &w[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++)
        pthread_join(w[i].thread, NULL);
    for (uint32_t i = 0; i < THREADS; i++)
        if (w[i].failure[0])
            fail_msg("thread %u: %s", i, w[i].failure);
    uint32_t specs = 0;
    while (run_spec_get(specs).params.size)
        specs++;
    assert_int_equal(ctx->codes.count, specs); /* each compiled once */
    sphkv_close(ctx);
    assert_int_equal(p->lines, 0);
}

typedef struct sharer {
    pthread_t thread;
    const sphkv_plan *plan;
    const run_call *call;
    uint32_t part, parts;
    sphkv_status status;
} sharer;

static void *sharer_main(void *arg)
{
    sharer *s = arg;
    s->status = sphkv_run(s->plan, &s->call->args, s->part, s->parts);
    return NULL;
}

/* Parts of one run on threads of their own, with nothing between them. */
static void parts_on_threads(void **state)
{
    run_place *p = *state;
    const uint64_t seed = sk_test_seed(23);
    sphkv_context *ctx = run_open(p, 0);
    run_spec r;
    for (uint32_t i = 0; (r = run_spec_get(i)).params.size; i++) {
        r.shape.threads = THREADS;
        sphkv_plan *plan = run_plan(ctx, &r);
        sk_case c;
        run_case_make(&r, SK_IN_EDGE, i % 2 == 0, seed, &c);
        run_call call = run_call_make(plan, &c);
        for (uint32_t parts = 1; parts <= THREADS; parts++) {
            sharer s[THREADS];
            sk_case_poison(&c, 0);
            for (uint32_t k = 0; k < parts; k++) {
                s[k] = (sharer){.plan = plan, .call = &call, .part = k, .parts = parts};
                assert_int_equal(pthread_create(&s[k].thread, NULL, sharer_main, &s[k]), 0);
            }
            for (uint32_t k = 0; k < parts; k++)
                pthread_join(s[k].thread, NULL);
            for (uint32_t k = 0; k < parts; k++)
                assert_int_equal(s[k].status, SPHKV_OK);
            run_judge(&c);
        }
        run_call_free(&call);
        sk_case_free(&c);
        sphkv_plan_destroy(plan);
    }
    sphkv_close(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(plans_from_many_threads, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(parts_on_threads, run_place_make, run_place_free),
    };
    if (!run_has_compiler())
        return sk_test_skip("no compiler module: nothing can be planned from scratch");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
