/* test_run_cuda_driver.c - NVIDIA's driver found or not, with one clear reason; the
 * device that is meant; who a GPU is; time of captured work. On the driver's double:
 * no GPU is needed. */
#include "sk_test.h"

#include <unistd.h>

#include "cuda_case.h"
#include "cuda_time.h"
#include "device.h"
#include "gpu_target.h"

static sk_cuda *open_device(const char *device)
{
    sk_cuda *cuda = NULL;
    sk_err err = {0};
    sk_assert_ok(sk_cuda_open(device, &cuda, &err), &err);
    return cuda;
}

static void refused(const char *device, sk_status status, const char *reason)
{
    sk_cuda *cuda = (sk_cuda *)1;
    sk_err err = {0};
    assert_int_equal(sk_cuda_open(device, &cuda, &err), status);
    assert_null(cuda);
    if (!strstr(err.message, reason)) fail_msg("'%s' is not in '%s'", reason, err.message);
    assert_null(strchr(err.message, '\n'));
}

/* ---- finding it -------------------------------------------------------------- */

static void no_driver_is_a_reason(void **state)
{
    (void)state;
    setenv("SPHKV_CUDA_DRIVER", "/nowhere/libcuda.so.1", 1);
    refused("cuda:0", SPHKV_EDEVICE, "/nowhere/libcuda.so.1");
    refused("cuda:0", SPHKV_EDEVICE, "no CUDA driver");
    setenv("SPHKV_CUDA_DRIVER", "libm.so.6", 1); /* a library, but no driver */
    refused("cuda:0", SPHKV_EDEVICE, "has no cuInit");
}

static void stubs_and_empty_machines_differ(void **state)
{
    cuda_machine m;
    (void)state;
    cuda_machine_make(&m, "stub", NULL);
    refused("cuda:0", SPHKV_EDEVICE, "toolkit's stub");
    cuda_gpus("none", NULL);
    unsetenv("CUDA_VISIBLE_DEVICES");
    refused("cuda:0", SPHKV_EDEVICE, "sees no device");
    setenv("CUDA_VISIBLE_DEVICES", "", 1);
    refused("cuda:0", SPHKV_EDEVICE, "CUDA_VISIBLE_DEVICES is empty");
    setenv("CUDA_VISIBLE_DEVICES", "7", 1);
    refused("cuda", SPHKV_EDEVICE, "CUDA_VISIBLE_DEVICES is 7");
    unsetenv("CUDA_VISIBLE_DEVICES");
    cuda_gpus("sm_90:132", "11020");
    refused("cuda:0", SPHKV_EDEVICE, "of CUDA 11.2, 11.4 is needed");
    cuda_machine_free(&m);
}

/* The stub that NVIDIA's toolkit brings, where there is a toolkit. */
static void the_toolkits_stub(void **state)
{
    static const char *const homes[] = {"/usr/local/cuda/lib64/stubs/libcuda.so",
                                        "/usr/lib/x86_64-linux-gnu/stubs/libcuda.so"};
    (void)state;
    for (size_t i = 0; i < SK_COUNT(homes); i++)
        if (access(homes[i], R_OK) == 0) {
            setenv("SPHKV_CUDA_DRIVER", homes[i], 1);
            refused("cuda:0", SPHKV_EDEVICE, "toolkit's stub");
            return;
        }
    skip();
}

/* ---- the device that is meant --------------------------------------------------- */

static void names_of_devices(void **state)
{
    static const char *const bad[] = {"", "cpu", "cuda:", "cuda:-1", "cuda:1x", "cuda 0", "gpu:0",
                                      "cuda:99999999999999999999"};
    int ordinal = 0;
    (void)state;
    for (size_t i = 0; i < SK_COUNT(bad); i++) {
        assert_false(sk_cuda_named(bad[i], NULL));
        refused(bad[i], SPHKV_EINVAL, "is no CUDA device");
    }
    assert_true(sk_cuda_named("cuda", &ordinal));
    assert_int_equal(ordinal, -1);
    assert_true(sk_cuda_named("cuda:3", &ordinal));
    assert_int_equal(ordinal, 3);
}

static void numbers_are_checked(void **state)
{
    cuda_machine m;
    (void)state;
    cuda_machine_make(&m, "sm_90:132,sm_80:108", NULL);
    refused("cuda:2", SPHKV_EDEVICE, "no CUDA device 2: the driver sees 2");
    refused("cuda", SPHKV_EDEVICE, "no CUDA context is current");
    sk_cuda *cuda = open_device("cuda:1");
    assert_int_equal(cuda->device, 1);
    assert_true(cuda->primary);
    assert_int_equal(m.state->primaries, 1);
    sk_cuda_release(cuda);
    cuda_machine_free(&m);
}

static void the_current_context_wins(void **state)
{
    cuda_machine m;
    sk_cu_context mine;
    (void)state;
    cuda_machine_make(&m, "sm_90:132,sm_80:108", NULL);
    assert_int_equal(m.create(&mine, 0, 1), 0);
    sk_cuda *cuda = open_device("cuda");
    assert_int_equal(cuda->device, 1); /* and not number 0 */
    assert_ptr_equal(cuda->context, mine);
    assert_false(cuda->primary);
    sk_cuda_release(cuda);
    cuda = open_device("cuda:1"); /* the same device: the same context */
    assert_ptr_equal(cuda->context, mine);
    sk_cuda_release(cuda);
    cuda = open_device("cuda:0"); /* another: its primary one */
    assert_int_equal(cuda->device, 0);
    assert_ptr_not_equal(cuda->context, mine);
    assert_true(cuda->primary);
    sk_cuda_release(cuda);
    assert_int_equal(m.destroy(mine), 0);
    cuda_machine_free(&m);
}

/* A primary context that its owner gives up stays while we hold it. */
static void a_current_primary_context_is_held(void **state)
{
    cuda_machine m;
    sk_cu_context primary, popped;
    (void)state;
    cuda_machine_make(&m, "sm_90:132", NULL);
    assert_int_equal(m.retain(&primary, 0), 0);
    assert_int_equal(m.push(primary), 0);
    sk_cuda *cuda = open_device("cuda");
    assert_ptr_equal(cuda->context, primary);
    assert_true(cuda->primary);
    assert_int_equal(m.pop(&popped), 0);
    assert_int_equal(m.release(0), 0);
    assert_int_equal(m.state->primaries, 1);
    bool entered;
    sk_err err = {0};
    sk_assert_ok(sk_cuda_enter(cuda, &entered, &err), &err);
    assert_true(entered);
    sk_cuda_leave(cuda, entered);
    sk_cuda_release(cuda);
    cuda_machine_free(&m);
}

/* ---- who it is ------------------------------------------------------------------- */

static void fingerprints_are_of_the_kind(void **state)
{
    cuda_machine m;
    sk_device first, second, other;
    sk_err err = {0};
    (void)state;
    cuda_machine_make(&m, "sm_90:132,sm_90:132,sm_90:114", NULL);
    sk_device *const out[] = {&first, &second, &other};
    for (int i = 0; i < 3; i++) {
        char name[24];
        snprintf(name, sizeof name, "cuda:%d", i);
        sk_cuda *cuda = open_device(name);
        sk_assert_ok(sk_device_cuda(cuda, out[i], &err), &err);
        sk_cuda_release(cuda);
    }
    assert_string_equal(first.arch, "sm_90");
    assert_string_equal(first.fingerprint, second.fingerprint); /* two cards of a kind */
    assert_string_not_equal(first.gpu.uuid, second.gpu.uuid);
    assert_int_equal(strlen(first.gpu.uuid), 40);
    assert_null(strstr(first.fingerprint, first.gpu.uuid));
    assert_string_not_equal(first.fingerprint, other.fingerprint);
    assert_int_equal(first.target.backend, SK_BACKEND_CUDA);
    assert_int_equal(first.target.sm, 90);
    assert_int_equal(first.target.sms, 132);
    assert_int_equal(other.target.sms, 114);
    assert_int_equal(first.target.shared_block, 232448);
    assert_string_equal(sk_device_record(&first).kind, "cuda");
    sk_device_set_compiler(&first, "NVRTC 12.4");
    assert_non_null(strstr(first.toolchain, "NVRTC 12.4, driver of CUDA 13.0"));
    cuda_machine_free(&m);
}

static void old_gpus_are_refused(void **state)
{
    cuda_machine m;
    sk_device device;
    sk_err err = {0};
    (void)state;
    cuda_machine_make(&m, "sm_70:80", NULL);
    sk_cuda *cuda = open_device("cuda:0");
    assert_int_equal(sk_device_cuda(cuda, &device, &err), SPHKV_EDEVICE);
    assert_non_null(strstr(err.message, "capability 7.0, 7.5 is needed"));
    sk_cuda_release(cuda);
    cuda_machine_free(&m);
}

static void architectures_by_name(void **state)
{
    static const char *const good[] = {"sm_75", "sm_80", "sm_90", "sm_90a", "sm_100a", "sm_120"};
    static const char *const bad[] = {"",   "sm",         "sm_",     "sm_90b", "sm_090", "sm_9",
                                      "90", "compute_90", "sm_90aa", "sm_99999"};
    static const char *const unknown[] = {"sm_70", "sm_75a"};
    sk_target target;
    sk_err err = {0};
    char text[16];
    (void)state;
    for (uint32_t i = 0; i < SK_COUNT(good); i++) {
        sk_assert_ok(sk_gpu_target_named(good[i], &target, &err), &err);
        sk_gpu_arch_text(&target, text);
        assert_string_equal(text, good[i]);
        assert_int_equal(target.backend, SK_BACKEND_CUDA);
    }
    for (size_t i = 0; i < SK_COUNT(bad); i++)
        assert_int_equal(sk_gpu_target_named(bad[i], &target, &err), SPHKV_EINVAL);
    for (size_t i = 0; i < SK_COUNT(unknown); i++)
        assert_int_equal(sk_gpu_target_named(unknown[i], &target, &err), SPHKV_EUNSUPPORTED);
}

static void what_runs_where(void **state)
{
    static const struct {
        uint32_t code;
        bool exact, ptx;
        uint32_t device;
        bool runs;
    } row[] = {
        {80, false, false, 80, true},   {80, false, false, 89, true},  {89, false, false, 80, false},
        {80, false, false, 90, false},  {80, false, true, 90, true},   {90, false, true, 80, false},
        {90, true, false, 90, true},    {90, true, true, 100, false},  {100, false, false, 103, true},
        {100, true, false, 103, false}, {100, false, false, 120, false}, {75, false, true, 120, true},
    };
    (void)state;
    for (size_t i = 0; i < SK_COUNT(row); i++) {
        const sk_target code = {.sm = row[i].code, .sm_exact = row[i].exact};
        const sk_target device = {.sm = row[i].device};
        if (sk_gpu_target_runs(&code, row[i].ptx, &device) != row[i].runs)
            fail_msg("row %zu: sm_%u on sm_%u", i, row[i].code, row[i].device);
    }
}

/* ---- memory and time --------------------------------------------------------------- */

typedef struct work {
    const sk_cuda *cuda;
    uint32_t calls;
    bool wait, fail;
} work;

static sk_status enqueue(void *user, void *stream, sk_err *err)
{
    work *w = user;
    assert_non_null(stream);
    w->calls++;
    if (w->fail) return sk_fail(err, SPHKV_EINVAL, "no work");
    return w->wait ? sk_cuda_wait(w->cuda, err) : SPHKV_OK;
}

static void graphs_are_captured_once(void **state)
{
    cuda_machine m;
    sk_cuda_clock clock;
    sk_cuda_graph graph;
    sk_err err = {0};
    double us = -1;
    (void)state;
    cuda_machine_make(&m, "sm_90:132", NULL);
    sk_cuda *cuda = open_device("cuda:0");
    work w = {.cuda = cuda};
    sk_assert_ok(sk_cuda_clock_make(cuda, &clock, &err), &err);
    sk_cuda_release(cuda); /* the clock holds it */
    sk_assert_ok(sk_cuda_graph_capture(&clock, enqueue, &w, &graph, &err), &err);
    sk_assert_ok(sk_cuda_graph_time(&clock, &graph, 5, &us, &err), &err);
    sk_assert_ok(sk_cuda_graph_launch(&clock, &graph, 2, &err), &err);
    sk_assert_ok(sk_cuda_clock_wait(&clock, &err), &err);
    assert_int_equal(w.calls, 1);
    assert_int_equal(m.state->replays, 7);
    assert_true(us == 0); /* nothing was in it */
    sk_cuda_graph_free(&clock, &graph);
    sk_cuda_clock_free(&clock);
    cuda_machine_free(&m);
}

/* Work that fails or waits in a capture ends it, and the next one works. */
static void captures_end_whatever_happens(void **state)
{
    cuda_machine m;
    sk_cuda_clock clock;
    sk_cuda_graph graph;
    sk_err err = {0};
    (void)state;
    cuda_machine_make(&m, "sm_90:132", NULL);
    sk_cuda *cuda = open_device("cuda:0");
    work w = {.cuda = cuda, .fail = true};
    sk_assert_ok(sk_cuda_clock_make(cuda, &clock, &err), &err);
    assert_int_equal(sk_cuda_graph_capture(&clock, enqueue, &w, &graph, &err), SPHKV_EINVAL);
    w = (work){.cuda = cuda, .wait = true};
    assert_int_equal(sk_cuda_graph_capture(&clock, enqueue, &w, &graph, &err), SPHKV_EDEVICE);
    assert_string_equal(m.state->forbidden, "cuCtxSynchronize");
    m.state->forbidden[0] = '\0';
    w = (work){.cuda = cuda};
    sk_assert_ok(sk_cuda_graph_capture(&clock, enqueue, &w, &graph, &err), &err);
    sk_cuda_graph_free(&clock, &graph);
    sk_cuda_clock_free(&clock);
    sk_cuda_release(cuda);
    cuda_machine_free(&m);
}

static void memory_is_shared(void **state)
{
    cuda_machine m;
    void *at = NULL, *none = NULL;
    sk_err err = {0};
    (void)state;
    cuda_machine_make(&m, "sm_90:132", NULL);
    sk_cuda *cuda = open_device("cuda:0");
    sk_assert_ok(sk_cuda_memory_make(cuda, 1000, &at, &err), &err);
    memset(at, 1, 1000);
    assert_int_equal(sk_cuda_memory_make(cuda, SIZE_MAX / 2, &none, &err), SPHKV_ENOMEM);
    assert_null(none);
    assert_int_equal(m.state->allocations, 1);
    sk_cuda_memory_free(cuda, at);
    sk_cuda_memory_free(cuda, NULL);
    sk_cuda_release(cuda);
    cuda_machine_free(&m);
}

static void no_memory_leaves_nothing(void **state)
{
    cuda_machine m;
    sk_cuda *cuda = NULL;
    sk_err err = {0};
    (void)state;
    cuda_machine_make(&m, "sm_90:132", NULL);
    sk_alloc_fault(1, false);
    assert_int_equal(sk_cuda_open("cuda:0", &cuda, &err), SPHKV_ENOMEM);
    sk_alloc_fault(0, false);
    assert_null(cuda);
    cuda_machine_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_driver_is_a_reason),
        cmocka_unit_test(stubs_and_empty_machines_differ),
        cmocka_unit_test(the_toolkits_stub),
        cmocka_unit_test(names_of_devices),
        cmocka_unit_test(numbers_are_checked),
        cmocka_unit_test(the_current_context_wins),
        cmocka_unit_test(a_current_primary_context_is_held),
        cmocka_unit_test(fingerprints_are_of_the_kind),
        cmocka_unit_test(old_gpus_are_refused),
        cmocka_unit_test(architectures_by_name),
        cmocka_unit_test(what_runs_where),
        cmocka_unit_test(graphs_are_captured_once),
        cmocka_unit_test(captures_end_whatever_happens),
        cmocka_unit_test(memory_is_shared),
        cmocka_unit_test(no_memory_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
