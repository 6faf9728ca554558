/* test_run_memory.c - memory that runs out at every allocation of open and of
 * plan_create. Leaks are for the address sanitizer to see. */
#include "sk_test.h"

#include "run_case.h"

static sphkv_status open_once(run_place *p, uint32_t flags, sphkv_context **ctx)
{
    sphkv_open_params params = {.size = sizeof params, .flags = flags, .db_path = p->db,
                                .log = run_log, .log_user = p};
    return sphkv_open(&params, ctx, NULL);
}

/* Opening fails with ENOMEM or works; it works when nothing fails any more. */
static void open_survives_every_failure(void **state)
{
    run_place *p = *state;
    for (uint64_t n = 1;; n++) {
        assert_true(n < 10000);
        sphkv_context *ctx = NULL;
        (void)sk_alloc_fault(n, true);
        sphkv_status st = open_once(p, SPHKV_OPEN_NO_JIT, &ctx);
        uint64_t seen = sk_alloc_fault(0, false);
        if (st == SPHKV_OK) {
            sphkv_close(ctx);
        } else {
            assert_int_equal(st, SPHKV_ENOMEM);
            assert_null(ctx);
        }
        if (seen < n) {
            assert_int_equal(st, SPHKV_OK);
            break;
        }
    }
}

/* One failing allocation in plan_create: ENOMEM and no plan, or, where the
 * failure only cost an optional step, a plan that is right. */
static void plan_fails_cleanly(run_place *p, uint32_t spec, uint32_t flags, bool fresh,
                               uint64_t step)
{
    const run_spec r = run_spec_get(spec);
    const sphkv_maxima maxima = run_maxima(&r);
    uint64_t done = 0;
    for (uint64_t n = 1; !done; n += step) {
        assert_true(n < 1000000);
        sphkv_context *ctx = NULL;
        sphkv_plan *plan = NULL;
        sphkv_error err = {0};
        if (fresh)
            (void)unlink(p->db);
        sk_assert_ok(open_once(p, flags, &ctx), NULL);
        (void)sk_alloc_fault(n, false);
        sphkv_status st = sphkv_plan_create(ctx, &r.params, &maxima, &plan, &err);
        done = sk_alloc_fault(0, false) < n;
        if (st == SPHKV_OK) {
            assert_non_null(plan);
        } else {
            if (st != SPHKV_ENOMEM || done)
                fail_msg("allocation %llu: status %d: %s", (unsigned long long)n, (int)st,
                         err.message);
            assert_null(plan);
            sk_assert_ok(sphkv_plan_create(ctx, &r.params, &maxima, &plan, &err), &err);
        }
        sphkv_plan_destroy(plan);
        sphkv_close(ctx);
    }
}

static void plan_survives_every_failure(void **state)
{
    run_place *p = *state;
    for (uint32_t spec = 0; run_spec_get(spec).params.size; spec++) {
        sphkv_context *ctx = run_open(p, 0);
        const run_spec r = run_spec_get(spec);
        sphkv_plan_destroy(run_plan(ctx, &r)); /* stores the object */
        sphkv_close(ctx);
        plan_fails_cleanly(p, spec, SPHKV_OPEN_NO_JIT, false, 1);
    }
}

static void compile_survives_failures(void **state)
{
    plan_fails_cleanly(*state, 3, 0, true, 29); /* a compile each: not every one */
}

int main(void)
{
    const struct CMUnitTest no_compiler[] = {
        cmocka_unit_test_setup_teardown(open_survives_every_failure, run_place_make,
                                        run_place_free),
    };
    const struct CMUnitTest compiler[] = {
        cmocka_unit_test_setup_teardown(plan_survives_every_failure, run_place_make,
                                        run_place_free),
        cmocka_unit_test_setup_teardown(compile_survives_failures, run_place_make,
                                        run_place_free),
    };
    int failed = cmocka_run_group_tests(no_compiler, NULL, NULL);
    if (failed || !run_has_compiler())
        return failed ? failed : sk_test_skip("no compiler module: nothing can be planned");
    return cmocka_run_group_tests(compiler, NULL, NULL);
}
