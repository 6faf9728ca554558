/* test_code_nvrtc_real.c - compiling with the NVRTC of this machine: for every
 * architecture we ship for, from several threads, in a forked child, given up at its
 * limit. Skipped where there is none; no GPU is needed. */
#include "sk_test.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "jit_nvrtc.h"
#include "jit_nvrtc_log.h"

static sk_nvrtc nvrtc;
static const sk_nvrtc_api *api;

/* One kernel with static shared memory and a barrier; one that has to spill: more
 * values at once than its registers hold. */
static const char text[] =
    "extern \"C\" __global__ void __launch_bounds__(128) sk_plain(float *a, const float *b)\n"
    "{\n"
    "    __shared__ float s[128];\n"
    "    s[threadIdx.x] = b[threadIdx.x];\n"
    "    __syncthreads();\n"
    "    a[threadIdx.x] = s[threadIdx.x * 7 & 127] * 2.0f + 1.0f;\n"
    "}\n"
    "extern \"C\" __global__ void __launch_bounds__(1024, 1) sk_spill(float *a, const float *b, int n)\n"
    "{\n"
    "    float x[80];\n"
    "#pragma unroll\n"
    "    for (int i = 0; i < 80; i++) x[i] = b[i * 1024 + threadIdx.x];\n"
    "    for (int k = 0; k < n; k++)\n"
    "#pragma unroll\n"
    "        for (int i = 0; i < 80; i++) x[i] = x[i] * x[(i + 7) % 80] + 1.0f;\n"
    "#pragma unroll\n"
    "    for (int i = 0; i < 80; i++) a[i * 1024 + threadIdx.x] = x[i];\n"
    "}\n";
static const char *const entries[] = {"sk_plain", "sk_spill"};

static sk_status compile(const char *arch, sk_nvrtc_code *code, sk_cuda_resources r[2], sk_err *err)
{
    const sk_nvrtc_job job = {.text = text, .arch = arch, .entries = entries, .nentry = 2};
    return sk_nvrtc_compile(api, &job, code, r, err);
}

static void check_arch(const char *arch)
{
    sk_nvrtc_code code, again;
    sk_cuda_resources r[2], said;
    sk_err err = {0};
    sk_assert_ok(compile(arch, &code, r, &err), &err);
    for (uint32_t i = 0; i < 2; i++) {
        assert_true(sk_nvrtc_log_resources(code.log, entries[i], &said));
        assert_int_equal(said.registers, r[i].registers);
        assert_int_equal(said.stack_bytes, r[i].stack_bytes);
        assert_int_equal(said.shared_bytes, r[i].shared_bytes);
        if (said.barriers != SK_CUDA_UNKNOWN) assert_int_equal(said.barriers, r[i].barriers);
    }
    assert_true(r[0].spill_stores == 0 && r[0].shared_bytes == 512 && r[0].barriers == 1);
    assert_true(r[1].spill_stores > 0 && r[1].spill_loads > 0 && r[1].stack_bytes > 0);
    assert_true(r[1].registers > 32 && r[1].registers <= 64 && r[1].barriers == 0);
    assert_non_null(strstr(code.ptx, ".entry sk_plain"));
    assert_null(strstr(code.ptx, "fma.")); /* nothing is contracted */
    assert_true(code.ptx_driver >= 11020 && code.cubin_driver <= code.ptx_driver);
    sk_assert_ok(compile(arch, &again, NULL, &err), &err);
    assert_int_equal(code.cubin_size, again.cubin_size);
    assert_memory_equal(code.cubin, again.cubin, code.cubin_size);
    assert_string_equal(code.ptx, again.ptx);
    printf("%-8s %u and %u registers, spills %u, CUBIN from driver %u, PTX from %u\n", arch,
           r[0].registers, r[1].registers, r[1].spill_stores, code.cubin_driver, code.ptx_driver);
    sk_nvrtc_code_free(&code);
    sk_nvrtc_code_free(&again);
}

static void test_archs(void **state)
{
    (void)state;
    static const char *const archs[] = {"sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_90a",
                                        "sm_100", "sm_120"};
    uint32_t tried = 0;
    printf("%s, %s\n", api->version, api->path);
    for (size_t i = 0; i < SK_COUNT(archs); i++) {
        sk_err err = {0};
        sk_nvrtc_code code;
        if (sk_nvrtc_has_arch(api, archs[i], &err) ||
            (api->release < 12000 && strchr(archs[i], 'a'))) {
            const sk_status st = compile(archs[i], &code, NULL, &err);
            assert_int_equal(st, SPHKV_EUNSUPPORTED);
            printf("%-8s %s\n", archs[i], err.message);
            continue;
        }
        check_arch(archs[i]);
        tried++;
    }
    assert_true(tried >= 4);
}

static void test_errors(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"extern \"C\" __global__ void k(float *a)\n{\n    a[0] = what;\n}\n", "line 3: "},
        {"#include <stdint.h>\n", "line 1: "},
        {"extern \"C\" __global__ void k(float *a)\n{\n    asm volatile(\"nonsense;\");\n}\n", "nonsense"},
    };
    for (size_t i = 0; i < SK_COUNT(rows); i++) {
        const sk_nvrtc_job job = {.text = rows[i][0], .arch = "sm_80"};
        sk_nvrtc_code code;
        sk_err err = {0};
        assert_int_equal(sk_nvrtc_compile(api, &job, &code, NULL, &err), SPHKV_ECOMPILE);
        printf("%s\n", err.message);
        if (!strstr(err.message, rows[i][1])) fail_msg("lacks '%s'", rows[i][1]);
        assert_null(strchr(err.message, '\n'));
    }
}

/* A kernel that keeps a compiler busy for many seconds. */
static void test_limit(void **state)
{
    (void)state;
    sk_text long_text = {0};
    if (!api->cancels) {
        printf("%s keeps no limit\n", api->version);
        skip();
    }
    sk_text_printf(&long_text, "extern \"C\" __global__ void k(float *a)\n{\n    float x = a[0];\n");
    for (int i = 0; i < 40000; i++)
        sk_text_printf(&long_text, "    x = x * a[%d] + a[threadIdx.x + %d];\n", i, i * 3);
    sk_text_printf(&long_text, "    a[0] = x;\n}\n");
    const sk_nvrtc_job job = {.text = long_text.s, .arch = "sm_90", .limit_ms = 200};
    sk_nvrtc_code code;
    sk_err err = {0};
    assert_int_equal(sk_nvrtc_compile(api, &job, &code, NULL, &err), SPHKV_ECOMPILE);
    assert_true(code.stopped);
    assert_non_null(strstr(err.message, "not done within 200 ms for sm_90"));
    sk_text_free(&long_text);
}

static void *in_thread(void *arch)
{
    sk_nvrtc_code code;
    sk_cuda_resources r[2];
    sk_err err = {0};
    for (int i = 0; i < 2; i++) {
        if (compile(arch, &code, r, &err))
            return sk_strdup(err.message);
        sk_nvrtc_code_free(&code);
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    char arch[2][8] = {"sm_75", "sm_80"};
    pthread_t thread[2];
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, in_thread, arch[i]), 0);
    for (size_t i = 0; i < 2; i++) {
        void *said;
        assert_int_equal(pthread_join(thread[i], &said), 0);
        if (said) fail_msg("%s", (char *)said);
    }
}

/* A child of a process that has compiled compiles, too. */
static void test_fork(void **state)
{
    (void)state;
    int status = 0;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char arch[] = "sm_86";
        char *said = in_thread(arch);
        if (said)
            fprintf(stderr, "%s\n", said);
        _exit(said ? 1 : 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    char arch[] = "sm_80";
    assert_null(in_thread(arch)); /* and the parent as before */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_archs),   cmocka_unit_test(test_errors), cmocka_unit_test(test_limit),
        cmocka_unit_test(test_threads), cmocka_unit_test(test_fork),
    };
    sk_err err = {0};
    sk_nvrtc_init(&nvrtc, true, 0);
    const int failed = sk_nvrtc_get(&nvrtc, &api, &err)
                           ? sk_test_skip(err.message)
                           : cmocka_run_group_tests_name("code_nvrtc_real", tests, NULL, NULL);
    sk_nvrtc_close(&nvrtc);
    return failed;
}
