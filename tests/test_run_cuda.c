/* test_run_cuda.c - sphkv.h on a GPU: the device that an engine opens, plans, runs on
 * streams, runs that are captured and replayed. On the driver's double, whose kernels
 * are interpreted: no GPU is needed. */
#include "sk_test.h"

#include "cuda_run.h"
#include "cuda_time.h"

static void open_refused(run_place *p, const char *device, sk_status status, const char *reason)
{
    const sphkv_open_params params = cuda_open_params(p, device, 0);
    sphkv_context *ctx = (sphkv_context *)1;
    sphkv_error err = {0};
    assert_int_equal(sphkv_open(&params, &ctx, &err), status);
    assert_null(ctx);
    if (!strstr(err.message, reason)) fail_msg("'%s' is not in '%s'", reason, err.message);
}

static void devices_that_are_not_there(void **state)
{
    cuda_machine m;
    cuda_machine_make(&m, "none", NULL);
    open_refused(*state, "cuda:0", SPHKV_EDEVICE, "sees no device");
    cuda_gpus("sm_90:132", NULL);
    open_refused(*state, "cuda:1", SPHKV_EDEVICE, "no CUDA device 1");
    open_refused(*state, "cuda", SPHKV_EDEVICE, "no CUDA context is current");
    open_refused(*state, "cuda:x", SPHKV_EINVAL, "'cuda:x' is neither cpu, cuda nor cuda:N");
    open_refused(*state, "", SPHKV_EINVAL, "is neither cpu");
    cuda_gpus("sm_70:80", NULL);
    open_refused(*state, "cuda:0", SPHKV_EDEVICE, "7.5 is needed");
    setenv("SPHKV_CUDA_DRIVER", "/nowhere/libcuda.so.1", 1);
    open_refused(*state, "cuda:0", SPHKV_EDEVICE, "no CUDA driver");
    cuda_machine_free(&m);
}

/* A machine without CUDA is as before, and asked for the CPU nothing looks for it. */
static void cpus_are_as_before(void **state)
{
    setenv("SPHKV_CUDA_DRIVER", "/nowhere/libcuda.so.1", 1);
    sphkv_context *ctx = cuda_open(*state, "cpu", 0);
    assert_int_equal(ctx->device.target.backend, SK_BACKEND_CPU);
    assert_null(ctx->cuda);
    sphkv_close(ctx);
    sphkv_open_params old = cuda_open_params(*state, "cuda:0", 0); /* of an engine that knew no device */
    old.size = offsetof(sphkv_open_params, device);
    sphkv_error err = {0};
    sk_assert_ok(sphkv_open(&old, &ctx, &err), &err);
    sphkv_close(ctx);
}

static void the_bound_context_is_taken(void **state)
{
    cuda_machine m;
    sk_cu_context mine;
    cuda_machine_make(&m, "sm_90:132,sm_80:108", NULL);
    assert_int_equal(m.create(&mine, 0, 1), 0);
    sphkv_context *ctx = cuda_open(*state, "cuda", 0);
    assert_string_equal(ctx->device.arch, "sm_80");
    assert_ptr_equal(ctx->cuda->context, mine);
    sphkv_close(ctx);
    ctx = cuda_open(*state, "cuda:0", 0);
    assert_string_equal(ctx->device.arch, "sm_90");
    assert_int_equal(m.state->primaries, 1);
    sphkv_close(ctx);
    assert_int_equal(m.destroy(mine), 0);
    cuda_machine_free(&m);
}

/* ---- running ------------------------------------------------------------------- */

/* A plan on the double, with a case and a workspace in memory of the device. */
typedef struct gpu_run {
    cuda_machine machine;
    cuda_kernel kernel;
    sphkv_plan *plan;
    sk_cuda *cuda;
    sk_case kase;
    void *args, *workspace;
} gpu_run;

/* False: this kernel does not run on GPUs. */
static bool gpu_run_make(gpu_run *g, run_place *p, const run_spec *given, sk_input input)
{
    sk_err err = {0};
    run_spec r = *given;
    sk_target target;
    sk_spec spec;
    memset(g, 0, sizeof *g);
    r.shape.threads = 1;
    sk_assert_ok(sk_target_cuda(90, false, &target, &err), &err);
    sk_assert_ok(sk_spec_from_params(&r.params, &spec, &err), &err);
    if (!sk_kernel_get(spec.kernel)->form[SK_BACKEND_CUDA]) return false;
    cuda_machine_make(&g->machine, "sm_90:4", NULL);
    cuda_kernel_make(&g->kernel, &r.params, 90);
    cuda_machine_runs(&g->machine, &g->kernel);
    cuda_keep_default(p, &g->kernel, "sm_90", 12000);
    sphkv_context *ctx = cuda_open(p, "cuda:0", 0);
    g->plan = run_plan(ctx, &r);
    sphkv_close(ctx); /* plans do without it */
    g->cuda = g->plan->code->cuda;
    sk_case_params params = {.spec = spec, .shape = r.shape, .input = input, .seed = 5,
                             .copies = 1, .uneven = true, .lists_per_seq = r.shape.kv_heads,
                             .memory = sk_code_memory(g->plan->code)};
    sk_assert_ok(sk_case_make(&params, &g->kase, &err), &err);
    const size_t bytes = sphkv_plan_workspace(g->plan);
    sk_assert_ok(sk_cuda_memory_make(g->cuda, bytes, &g->workspace, &err), &err);
    memset(g->workspace, 0, bytes);
    g->args = g->kase.args.any;
    sk_kernel_workspace(g->plan->image.kernel, g->args, g->workspace, bytes);
    return true;
}

static void gpu_run_free(gpu_run *g)
{
    sk_case_free(&g->kase);
    sk_cuda_memory_free(g->cuda, g->workspace);
    sphkv_plan_destroy(g->plan);
    cuda_kernel_free(&g->kernel);
    cuda_machine_free(&g->machine);
}

/* A refusal fails the test with the reason that sphkv_run keeps to itself. */
static void enqueue(const gpu_run *g)
{
    sk_err err = {0};
    if (sphkv_run(g->plan, g->args, 0, 1) == SPHKV_OK) return;
    (void)g->plan->image.form->run(&g->plan->image, g->args, 0, 1, &err);
    fail_msg("%s: %s", sphkv_plan_describe(g->plan), err.message);
}

/* Every kernel that runs on GPUs: right, twice in a row with one workspace, and
 * nothing in a run waits or allocates. */
static void runs_only_enqueue(void **state)
{
    uint32_t kernels = 0;
    for (uint32_t i = 0;; i++) {
        gpu_run g;
        const run_spec r = run_spec_get(i);
        if (r.params.size == 0) break;
        if (!gpu_run_make(&g, *state, &r, SK_IN_S1)) continue;
        for (int round = 0; round < 2; round++) {
            sk_case_poison(&g.kase, 0);
            g.machine.state->forbid = true;
            enqueue(&g);
            g.machine.state->forbid = false;
            assert_string_equal(g.machine.state->forbidden, "");
            run_judge(&g.kase);
        }
        assert_true(g.machine.state->launches >= 2);
        gpu_run_free(&g);
        kernels++;
    }
    assert_true(kernels > 0);
}

static sk_status run_on_stream(void *user, void *stream, sk_err *err)
{
    gpu_run *g = user;
    sk_kernel_stream(g->plan->image.kernel, g->args, stream);
    return g->plan->image.form->run(&g->plan->image, g->args, 0, 1, err);
}

/* A captured run computes at every replay, and only then. */
static void captured_runs_are_replayed(void **state)
{
    for (uint32_t i = 0;; i++) {
        gpu_run g;
        sk_cuda_clock clock;
        sk_cuda_graph graph;
        sk_err err = {0};
        double us = 0;
        const run_spec r = run_spec_get(i);
        if (r.params.size == 0) break;
        if (!gpu_run_make(&g, *state, &r, SK_IN_S1)) continue;
        sk_assert_ok(sk_cuda_clock_make(g.cuda, &clock, &err), &err);
        sk_assert_ok(sk_cuda_graph_capture(&clock, run_on_stream, &g, &graph, &err), &err);
        assert_int_equal(g.kernel.interpreted, 0);
        const uint32_t launches = g.machine.state->launches;
        for (int round = 0; round < 2; round++) {
            sk_case_poison(&g.kase, 0);
            sk_assert_ok(sk_cuda_graph_time(&clock, &graph, 1, &us, &err), &err);
            run_judge(&g.kase);
        }
        assert_int_equal(g.kernel.interpreted, 2 * launches);
        assert_true(us > 10.0 * launches - 1 && us < 10.0 * launches + 1); /* the double's time */
        sk_cuda_graph_free(&clock, &graph);
        sk_cuda_clock_free(&clock);
        gpu_run_free(&g);
    }
}

/* What a replay reads of tables is what they hold then, not at the capture. */
static void contexts_grow_between_replays(void **state)
{
    gpu_run g;
    sk_cuda_clock clock;
    sk_cuda_graph graph;
    sk_err err = {0};
    double us = 0;
    const run_spec r = run_spec_get(0); /* attn_decode */
    assert_true(gpu_run_make(&g, *state, &r, SK_IN_S1));
    const sphkv_attn_args *a = g.args;
    const size_t bytes = (a->table.lists + 1) * sizeof *a->table.indptr;
    uint32_t *indptr = (uint32_t *)(uintptr_t)a->table.indptr, *full = sk_malloc(bytes);
    assert_non_null(full);
    memcpy(full, indptr, bytes);
    for (uint32_t i = 1; i <= a->table.lists; i++) indptr[i] = indptr[0]; /* empty lists */
    sk_assert_ok(sk_cuda_clock_make(g.cuda, &clock, &err), &err);
    sk_assert_ok(sk_cuda_graph_capture(&clock, run_on_stream, &g, &graph, &err), &err);
    sk_assert_ok(sk_cuda_graph_time(&clock, &graph, 1, &us, &err), &err);
    size_t outputs = 0;
    const float *out = sk_case_output(&g.kase, 0, &outputs);
    assert_true(outputs > 0);
    for (size_t i = 0; i < outputs; i++) assert_true(out[i] == 0);
    memcpy(indptr, full, bytes);
    sk_case_poison(&g.kase, 0);
    sk_assert_ok(sk_cuda_graph_time(&clock, &graph, 1, &us, &err), &err);
    run_judge(&g.kase);
    sk_free(full);
    sk_cuda_graph_free(&clock, &graph);
    sk_cuda_clock_free(&clock);
    gpu_run_free(&g);
}

/* The engine's threads may have another context current, or none. */
static void runs_find_their_context(void **state)
{
    gpu_run g;
    sk_cu_context other, now;
    const run_spec r = run_spec_get(3);
    assert_true(gpu_run_make(&g, *state, &r, SK_IN_EDGE));
    assert_int_equal(g.machine.create(&other, 0, 0), 0);
    enqueue(&g);
    run_judge(&g.kase);
    assert_int_equal(g.machine.current(&now), 0);
    assert_ptr_equal(now, other);
    assert_int_equal(g.machine.destroy(other), 0);
    gpu_run_free(&g);
}

static void a_run_has_one_part(void **state)
{
    gpu_run g;
    const run_spec r = run_spec_get(3);
    sphkv_maxima maxima = run_maxima(&r);
    sphkv_plan *plan = NULL;
    sphkv_error err = {0};
    assert_true(gpu_run_make(&g, *state, &r, SK_IN_S1));
    assert_int_equal(sphkv_run(g.plan, g.args, 0, 2), SPHKV_EINVAL);
    assert_int_equal(sphkv_run(g.plan, g.args, 1, 1), SPHKV_EINVAL);
    assert_int_equal(g.machine.state->launches, 0);
    sphkv_context *ctx = cuda_open(*state, "cuda:0", 0);
    maxima.parts = 2;
    assert_int_equal(sphkv_plan_create(ctx, &r.params, &maxima, &plan, &err), SPHKV_EINVAL);
    assert_non_null(strstr(err.message, "parts is 2: a run on a GPU has one"));
    sphkv_close(ctx);
    gpu_run_free(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(devices_that_are_not_there, run_place_make,
                                        run_place_free),
        cmocka_unit_test_setup_teardown(cpus_are_as_before, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(the_bound_context_is_taken, run_place_make,
                                        run_place_free),
        cmocka_unit_test_setup_teardown(runs_only_enqueue, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(captured_runs_are_replayed, run_place_make,
                                        run_place_free),
        cmocka_unit_test_setup_teardown(contexts_grow_between_replays, run_place_make,
                                        run_place_free),
        cmocka_unit_test_setup_teardown(runs_find_their_context, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(a_run_has_one_part, run_place_make, run_place_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
