/* test_run_cuda_pick.c - which code a plan gets on a GPU of each architecture: a CUBIN,
 * else PTX, else the reason of each; and what never ran is proven first. On the
 * driver's double, whose kernels are interpreted: no GPU, no NVRTC is needed. */
#include "sk_test.h"

#include "cuda_run.h"

/* kv_append: small, and bit-exact on every device. */
static run_spec spec_of(void)
{
    run_spec r = run_spec_get(3);
    r.shape.threads = 1;
    return r;
}

/* A plan, or the reason that there is none. */
static sphkv_plan *plan_of(sphkv_context *ctx, sphkv_status *status, char *why, size_t size)
{
    const run_spec r = spec_of();
    const sphkv_maxima maxima = run_maxima(&r);
    sphkv_plan *plan = NULL;
    sphkv_error err = {0};
    *status = sphkv_plan_create(ctx, &r.params, &maxima, &plan, &err);
    snprintf(why, size, "%s", err.message);
    return plan;
}

/* What a new process gets from the database: the code that was loaded, in `loaded`. */
static void picks(run_place *p, cuda_machine *m, const char *loaded, const char *described)
{
    char why[512];
    sphkv_status st;
    sphkv_context *ctx = cuda_open(p, "cuda:0", SPHKV_OPEN_NO_JIT);
    m->state->loaded[0] = '\0';
    sphkv_plan *plan = plan_of(ctx, &st, why, sizeof why);
    if (!plan) fail_msg("no plan: %s", why);
    assert_string_equal(m->state->loaded, loaded);
    if (!strstr(sphkv_plan_describe(plan), described))
        fail_msg("'%s' is not in '%s'", described, sphkv_plan_describe(plan));
    sphkv_close(ctx); /* before its plan */
    sphkv_plan_destroy(plan);
}

static void picks_nothing(run_place *p, const char *const reason[], size_t n)
{
    char why[512];
    sphkv_status st;
    sphkv_context *ctx = cuda_open(p, "cuda:0", SPHKV_OPEN_NO_JIT);
    assert_null(plan_of(ctx, &st, why, sizeof why));
    assert_int_equal(st, SPHKV_ECOMPILE);
    for (size_t i = 0; i < n; i++)
        if (!strstr(why, reason[i])) fail_msg("'%s' is not in '%s'", reason[i], why);
    sphkv_close(ctx);
}

/* Every architecture: its own CUBIN; that of an older one of its generation; PTX; and
 * with none of them the reason of each. */
static void every_architecture(void **state)
{
    static const struct {
        uint32_t sm, same; /* an older one whose CUBIN runs there, 0: none */
    } row[] = {{75, 0}, {80, 0}, {86, 80}, {89, 86}, {90, 0}, {100, 0}, {120, 0}};
    const run_spec r = spec_of();
    for (size_t i = 0; i < SK_COUNT(row); i++) {
        run_place *p = *state;
        cuda_machine m;
        cuda_kernel k;
        char gpu[24], own[16], older[16], loaded[32];
        snprintf(gpu, sizeof gpu, "sm_%u:20", row[i].sm);
        snprintf(own, sizeof own, "sm_%u", row[i].sm);
        snprintf(older, sizeof older, "sm_%u", row[i].same);
        cuda_machine_make(&m, gpu, NULL);
        cuda_kernel_make(&k, &r.params, row[i].sm);
        cuda_machine_runs(&m, &k);
        static const char *const none[] = {"no stored CUBIN (none is kept)",
                                           "no stored PTX (none is kept)", "none compiled here ("};
        picks_nothing(p, none, SK_COUNT(none));
        cuda_keep_predicted(p, &k, "ptx", "sm_75", 11040);
        picks(p, &m, "ptx sm_75", row[i].sm == 75 ? "predicted" : "compute_75: predicted");
        if (row[i].same) { /* what PTX proved is kept, under this architecture: begin anew */
            assert_int_equal(unlink(p->db), 0);
            cuda_keep_predicted(p, &k, "ptx", "sm_75", 11040);
            cuda_keep_default(p, &k, older, 11040);
            snprintf(loaded, sizeof loaded, "cubin %s", older);
            picks(p, &m, loaded, "| default");
        }
        cuda_keep_default(p, &k, own, 11040);
        snprintf(loaded, sizeof loaded, "cubin %s", own);
        picks(p, &m, loaded, "| default");
        cuda_kernel_free(&k);
        cuda_machine_free(&m);
        assert_int_equal(unlink(p->db), 0);
    }
}

/* Code that never ran is checked on the device, once, and then kept as proven. */
static void predictions_are_proven_once(void **state)
{
    static const char *const kinds[] = {"cubin", "ptx"};
    const run_spec r = spec_of();
    for (size_t i = 0; i < SK_COUNT(kinds); i++) {
        run_place *p = *state;
        cuda_machine m;
        cuda_kernel k;
        char loaded[32];
        cuda_machine_make(&m, "sm_90:8", NULL);
        cuda_kernel_make(&k, &r.params, 90);
        cuda_machine_runs(&m, &k);
        cuda_keep_predicted(p, &k, kinds[i], "sm_90", 12000);
        snprintf(loaded, sizeof loaded, "%s sm_90", kinds[i]);
        picks(p, &m, loaded, "predicted");
        assert_true(k.interpreted > 4); /* every input of the check */
        const uint32_t launches = k.interpreted;
        picks(p, &m, loaded, i == 0 ? "predicted" : "| default");
        assert_int_equal(k.interpreted, launches);
        cuda_kernel_free(&k);
        cuda_machine_free(&m);
        assert_int_equal(unlink(p->db), 0);
    }
}

/* A kernel whose result is wrong is never used, and said to be. */
static void wrong_results_are_not_used(void **state)
{
    static const char *const reason[] = {"check of input S1", "no stored PTX (none is kept)"};
    run_place *p = *state;
    const run_spec r = spec_of();
    cuda_machine m;
    cuda_kernel k;
    cuda_machine_make(&m, "sm_90:8", NULL);
    cuda_kernel_make(&k, &r.params, 90);
    cuda_machine_runs(&m, &k);
    k.idle = true;
    cuda_keep_predicted(p, &k, "cubin", "sm_90", 12000);
    picks_nothing(p, reason, SK_COUNT(reason));
    run_assert_logged(p, "a record is not used");
    assert_true(k.interpreted > 0);
    cuda_kernel_free(&k);
    cuda_machine_free(&m);
}

static void drivers_that_are_too_old(void **state)
{
    static const char *const reason[] = {
        "no stored CUBIN (its CUBIN needs a driver of CUDA 13.0, this one is of 12.4",
        "no stored PTX (its PTX needs a driver of CUDA 12.8, this one is of 12.4"};
    run_place *p = *state;
    const run_spec r = spec_of();
    cuda_machine m;
    cuda_kernel k;
    cuda_machine_make(&m, "sm_90:8", "12040");
    cuda_kernel_make(&k, &r.params, 90);
    cuda_machine_runs(&m, &k);
    cuda_keep_default(p, &k, "sm_90", 13000);
    cuda_keep_predicted(p, &k, "ptx", "sm_80", 12080);
    picks_nothing(p, reason, SK_COUNT(reason));
    cuda_kernel_free(&k);
    cuda_machine_free(&m);
}

/* Every allocation of opening and planning fails in turn: no memory is said, nothing is
 * left, and the next try works. */
static void no_memory_leaves_nothing(void **state)
{
    run_place *p = *state;
    const run_spec r = spec_of();
    const sphkv_maxima maxima = run_maxima(&r);
    const sphkv_open_params params = cuda_open_params(p, "cuda:0", SPHKV_OPEN_NO_JIT);
    cuda_machine m;
    cuda_kernel k;
    uint64_t n = 0;
    cuda_machine_make(&m, "sm_90:8", NULL);
    cuda_kernel_make(&k, &r.params, 90);
    cuda_machine_runs(&m, &k);
    cuda_keep_default(p, &k, "sm_90", 12000);
    for (sphkv_status st = SPHKV_ENOMEM; st != SPHKV_OK;) {
        sphkv_context *ctx = NULL;
        sphkv_plan *plan = NULL;
        sphkv_error err = {0};
        sk_alloc_fault(++n, false);
        st = sphkv_open(&params, &ctx, &err);
        if (st == SPHKV_OK) st = sphkv_plan_create(ctx, &r.params, &maxima, &plan, &err);
        const bool reached = sk_alloc_fault(0, false) >= n;
        if (st != SPHKV_OK) assert_int_equal(st, SPHKV_ENOMEM);
        if (st == SPHKV_OK && reached) st = SPHKV_ENOMEM; /* it could do without */
        sphkv_plan_destroy(plan);
        sphkv_close(ctx);
        assert_int_equal(m.state->modules + m.state->primaries, 0);
    }
    assert_true(n > 10);
    cuda_kernel_free(&k);
    cuda_machine_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_architecture, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(predictions_are_proven_once, run_place_make,
                                        run_place_free),
        cmocka_unit_test_setup_teardown(wrong_results_are_not_used, run_place_make,
                                        run_place_free),
        cmocka_unit_test_setup_teardown(drivers_that_are_too_old, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(no_memory_leaves_nothing, run_place_make, run_place_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
