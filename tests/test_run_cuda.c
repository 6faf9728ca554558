/* test_run_cuda.c - sphkv.h on a GPU: the device that an engine opens. On the driver's
 * double (fake_cuda.h): no GPU is needed. */
#include "sk_test.h"

#include "cuda_case.h"
#include "run_case.h"

static sphkv_open_params params_of(run_place *p, const char *device)
{
    return (sphkv_open_params){.size = sizeof(sphkv_open_params), .db_path = p->db,
                               .log = run_log, .log_user = p, .device = device};
}

static void open_refused(run_place *p, const char *device, sk_status status, const char *reason)
{
    const sphkv_open_params params = params_of(p, device);
    sphkv_context *ctx = (sphkv_context *)1;
    sphkv_error err = {0};
    assert_int_equal(sphkv_open(&params, &ctx, &err), status);
    assert_null(ctx);
    if (!strstr(err.message, reason)) fail_msg("'%s' is not in '%s'", reason, err.message);
}

static sphkv_context *open_device(run_place *p, const char *device)
{
    const sphkv_open_params params = params_of(p, device);
    sphkv_context *ctx = NULL;
    sphkv_error err = {0};
    sk_assert_ok(sphkv_open(&params, &ctx, &err), &err);
    return ctx;
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
    sphkv_context *ctx = open_device(*state, "cpu");
    assert_int_equal(ctx->device.target.backend, SK_BACKEND_CPU);
    assert_null(ctx->cuda);
    sphkv_close(ctx);
    sphkv_open_params old = params_of(*state, "cuda:0"); /* of an engine that knew no device */
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
    sphkv_context *ctx = open_device(*state, "cuda");
    assert_string_equal(ctx->device.arch, "sm_80");
    assert_ptr_equal(ctx->cuda->context, mine);
    sphkv_close(ctx);
    ctx = open_device(*state, "cuda:0");
    assert_string_equal(ctx->device.arch, "sm_90");
    assert_int_equal(m.state->primaries, 1);
    sphkv_close(ctx);
    assert_int_equal(m.destroy(mine), 0);
    cuda_machine_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(devices_that_are_not_there, run_place_make,
                                        run_place_free),
        cmocka_unit_test_setup_teardown(cpus_are_as_before, run_place_make, run_place_free),
        cmocka_unit_test_setup_teardown(the_bound_context_is_taken, run_place_make,
                                        run_place_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
