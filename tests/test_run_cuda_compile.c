/* test_run_cuda_compile.c - kernels compiled here, by NVRTC, for a GPU of the driver's
 * double: checked on it, kept, and found by the next process; the artifacts that
 * are made. Without NVRTC there is one reason, and the rest is skipped. */
#include "sk_test.h"

#include "cuda_compile.h"
#include "cuda_run.h"

static run_spec spec_of(void)
{
    run_spec r = run_spec_get(3);
    r.shape.threads = 1;
    return r;
}

static bool has_nvrtc(void)
{
    sk_nvrtc nvrtc;
    const sk_nvrtc_api *api;
    sk_nvrtc_init(&nvrtc, true, 0);
    const bool there = sk_nvrtc_get(&nvrtc, &api, NULL) == SPHKV_OK;
    sk_nvrtc_close(&nvrtc);
    return there;
}

static void no_compiler_is_a_reason(void **state)
{
    cuda_machine m;
    const run_spec r = spec_of();
    const sphkv_maxima maxima = run_maxima(&r);
    sphkv_plan *plan = NULL;
    sphkv_error err = {0};
    cuda_machine_make(&m, "sm_90:8", NULL);
    setenv("SPHKV_NVRTC", "/nowhere/libnvrtc.so", 1);
    sphkv_context *ctx = cuda_open(*state, "cuda:0", 0);
    assert_int_equal(sphkv_plan_create(ctx, &r.params, &maxima, &plan, &err), SPHKV_ECOMPILE);
    assert_non_null(strstr(err.message, "none compiled here ("));
    assert_non_null(strstr(err.message, "/nowhere/libnvrtc.so"));
    sphkv_close(ctx);
    unsetenv("SPHKV_NVRTC");
    cuda_machine_free(&m);
}

static void compiled_checked_and_kept(void **state)
{
    run_place *p = *state;
    cuda_machine m;
    cuda_kernel k;
    const run_spec r = spec_of();
    cuda_machine_make(&m, "sm_90:8", NULL);
    cuda_kernel_make(&k, &r.params, 90);
    cuda_machine_runs(&m, &k);
    sphkv_context *ctx = cuda_open(p, "cuda:0", 0);
    sphkv_plan *plan = run_plan(ctx, &r);
    assert_string_equal(m.state->loaded, "cubin sm_90");
    assert_true(k.interpreted > 4); /* the check */
    sphkv_plan_destroy(plan);
    sphkv_close(ctx);
    const uint32_t launches = k.interpreted, loads = m.state->loads;
    ctx = cuda_open(p, "cuda:0", SPHKV_OPEN_NO_JIT);
    plan = run_plan(ctx, &r);
    assert_int_equal(m.state->loads, loads + 1);
    assert_int_equal(k.interpreted, launches);
    sphkv_plan_destroy(plan);
    sphkv_close(ctx);
    assert_int_equal(p->lines, 0);
    cuda_kernel_free(&k);
    cuda_machine_free(&m);
}

/* What is compiled and then found wrong is neither used nor kept. */
static void wrong_is_not_kept(void **state)
{
    cuda_machine m;
    cuda_kernel k;
    const run_spec r = spec_of();
    const sphkv_maxima maxima = run_maxima(&r);
    sphkv_plan *plan = NULL;
    sphkv_error err = {0};
    cuda_machine_make(&m, "sm_90:8", NULL);
    cuda_kernel_make(&k, &r.params, 90);
    cuda_machine_runs(&m, &k);
    k.idle = true;
    sphkv_context *ctx = cuda_open(*state, "cuda:0", 0);
    assert_int_equal(sphkv_plan_create(ctx, &r.params, &maxima, &plan, &err), SPHKV_EVERIFY);
    assert_non_null(strstr(err.message, "check of input S1"));
    sphkv_close(ctx);
    ctx = cuda_open(*state, "cuda:0", SPHKV_OPEN_NO_JIT);
    assert_int_equal(sphkv_plan_create(ctx, &r.params, &maxima, &plan, &err), SPHKV_ECOMPILE);
    assert_non_null(strstr(err.message, "no stored CUBIN (none is kept)"));
    sphkv_close(ctx);
    cuda_kernel_free(&k);
    cuda_machine_free(&m);
}

/* Both artifacts load where they say, and their facts are those of the programs. */
static void artifacts_say_what_they_are(void **state)
{
    cuda_machine m;
    cuda_kernel k;
    sk_nvrtc nvrtc;
    const sk_nvrtc_api *api;
    sk_cuda_built built;
    sk_launch cubin, ptx;
    sk_cuda *cuda = NULL;
    sk_code *code = NULL;
    sk_err err = {0};
    const run_spec r = spec_of();
    (void)state;
    cuda_kernel_make(&k, &r.params, 80);
    sk_nvrtc_init(&nvrtc, true, 0);
    sk_assert_ok(sk_nvrtc_get(&nvrtc, &api, &err), &err);
    sk_assert_ok(sk_cuda_compile(&k.ir, &k.spec, &k.schedule, "sm_80", api, 0, &k.mem, &built, &err),
                 &err);
    assert_true(sk_launch_parse(built.cubin.launch, &cubin));
    assert_true(sk_launch_parse(built.ptx.launch, &ptx));
    assert_int_equal(cubin.nentry, k.ir.build.n);
    assert_int_equal(cubin.warps[0], k.ir.build.program[0]->warps);
    assert_int_equal(cubin.registers[0], built.resources[0].registers);
    assert_true(cubin.registers[0] > 0 && ptx.registers[0] == 0);
    assert_true(cubin.target.sm == 80 && cubin.driver >= 11000 && ptx.driver >= 11000);
    assert_string_equal(built.cubin.ir_hash, k.ir.hash);
    cuda_machine_make(&m, "sm_86:84,sm_120:170", NULL);
    const sk_db_artifact *const artifact[] = {&built.cubin, &built.ptx};
    const char *const device[] = {"cuda:0", "cuda:1"}, *const loaded[] = {"cubin sm_80", "ptx sm_80"};
    for (int i = 0; i < 2; i++) {
        sk_device at;
        sk_assert_ok(sk_cuda_open(device[i], &cuda, &err), &err);
        sk_assert_ok(sk_device_cuda(cuda, &at, &err), &err);
        sk_assert_ok(sk_code_load_cuda(artifact[i], &k.ir, cuda, &at.target, &code, &err), &err);
        assert_string_equal(m.state->loaded, loaded[i]);
        sk_code_release(code);
        sk_cuda_release(cuda);
    }
    assert_int_equal(sk_cuda_compile(&k.ir, &k.spec, &k.schedule, "avx2", api, 0, &k.mem, &built,
                                     &err), SPHKV_EINVAL);
    sk_nvrtc_close(&nvrtc);
    cuda_kernel_free(&k);
    cuda_machine_free(&m);
}

int main(void)
{
    const struct CMUnitTest without[] = {
        cmocka_unit_test_setup_teardown(no_compiler_is_a_reason, run_place_make, run_place_free),
    };
    const struct CMUnitTest with[] = {
        cmocka_unit_test_setup_teardown(compiled_checked_and_kept, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(wrong_is_not_kept, run_place_make, run_place_free),
        cmocka_unit_test(artifacts_say_what_they_are),
    };
    const int failed = cmocka_run_group_tests(without, NULL, NULL);
    if (failed || !has_nvrtc())
        return failed ? failed : sk_test_skip("no NVRTC: nothing can be compiled for GPUs");
    return cmocka_run_group_tests(with, NULL, NULL);
}
