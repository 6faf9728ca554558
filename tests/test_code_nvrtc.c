/* test_code_nvrtc.c - compiling by a double of NVRTC (hooks/fake_nvrtc.c): what comes of
 * a text, options that a release does not know, errors, limits, threads, memory. */
#define _GNU_SOURCE
#include "sk_test.h"

#include <pthread.h>
#include <stdlib.h>

#include "nvrtc_case.h"

/* ---- compiling -------------------------------------------------------------------------- */

static sk_status compile(const sk_nvrtc_api *api, const char *text, const char *arch,
                         uint32_t limit_ms, sk_nvrtc_code *code, sk_err *err)
{
    const sk_nvrtc_job job = {.text = text, .arch = arch, .limit_ms = limit_ms};
    memset(err, 0, sizeof *err);
    return sk_nvrtc_compile(api, &job, code, NULL, err);
}

static void expect_error(const sk_nvrtc_api *api, const char *text, const char *arch, sk_status st,
                         const char *words)
{
    sk_nvrtc_code code;
    sk_err err;
    assert_int_equal(compile(api, text, arch, 0, &code, &err), st);
    assert_true(!code.cubin && !code.ptx && !code.stopped);
    if (!strstr(err.message, words)) fail_msg("'%s' lacks '%s'", err.message, words);
    assert_null(strchr(err.message, '\n'));
}

/* First of all: what is open once stays open in this process, by its name. */
static void test_no_builtins(void **state)
{
    (void)state;
    sk_nvrtc nvrtc;
    nvrtc_put("bare/libnvrtc.so.13", "fake_nvrtc.so", NULL);
    const sk_nvrtc_api *api = nvrtc_must_open(&nvrtc, "bare");
    assert_false(api->builtins);
    expect_error(api, "", "sm_90", SPHKV_ECOMPILE, "libnvrtc-builtins.so.13.0 belongs beside");
    sk_nvrtc_close(&nvrtc);
}

static char *cubin_text; /* of a text whose CUBIN is a small one */

static void make_cubin(void)
{
    const nvrtc_fake fake = {8, 90, "sk_k", 40, 16, 256, 2};
    sk_text cubin = nvrtc_fake_cubin(&fake), text = {0};
    char *path = sk_test_path(nvrtc_root, "fake.cubin");
    sk_err err = {0};
    sk_assert_ok(sk_file_write(path, cubin.s, cubin.len, &err), &err);
    sk_text_printf(&text,
                   "//! cubin %s\n"
                   "//! log ptxas info    : Compiling entry function 'sk_k' for 'sm_90'\n"
                   "//! log     16 bytes stack frame, 12 bytes spill stores, 20 bytes spill loads\n"
                   "//! log ptxas info    : Used 40 registers, used 2 barriers, 256 bytes smem\n",
                   path);
    cubin_text = text.s;
    sk_text_free(&cubin);
    sk_free(path);
}

static void test_code(void **state)
{
    (void)state;
    static const char *const entries[] = {"sk_k"};
    sk_nvrtc nvrtc;
    sk_nvrtc_code code;
    sk_cuda_resources r;
    sk_err err = {0};
    nvrtc_put_both("good", "fake_nvrtc.so");
    make_cubin();
    const sk_nvrtc_api *api = nvrtc_must_open(&nvrtc, "good");
    const sk_nvrtc_job job = {.text = cubin_text, .arch = "sm_90a", .entries = entries, .nentry = 1};
    sk_assert_ok(sk_nvrtc_compile(api, &job, &code, &r, &err), &err);
    assert_true(code.cubin && memcmp(code.cubin, ELFMAG, SELFMAG) == 0);
    assert_int_equal(code.cubin_driver, 13000);
    assert_int_equal(code.ptx_driver, 13000);
    assert_int_equal(code.ptx_size, strlen(code.ptx));
    assert_true(r.registers == 40 && r.stack_bytes == 16 && r.shared_bytes == 256 && r.barriers == 2);
    assert_true(r.spill_stores == 12 && r.spill_loads == 20);
    static const char *const options[] = {"--gpu-architecture=sm_90a", "--fmad=false", "--no-cache",
                                          "--ptxas-options=-v", "--std=c++17"};
    for (size_t i = 0; i < SK_COUNT(options); i++)
        assert_non_null(strstr(code.ptx, options[i]));
    assert_null(strstr(code.ptx, "lineinfo"));
    sk_nvrtc_code_free(&code);
    sk_nvrtc_close(&nvrtc);
}

static void test_refused(void **state)
{
    (void)state;
    sk_nvrtc nvrtc;
    const sk_nvrtc_api *api = nvrtc_must_open(&nvrtc, "good");
    expect_error(api, "", "gpu", SPHKV_EINVAL, "'gpu' is no GPU architecture");
    expect_error(api, "", "compute_90", SPHKV_EINVAL, "'compute_90' is no GPU");
    expect_error(api, "", "sm_70", SPHKV_EUNSUPPORTED, "only for 75 80 90");
    expect_error(api, "//! result 6\n//! log sphkv.cu(12): error: no such thing\n//! log more\n",
                 "sm_90", SPHKV_ECOMPILE, "NVRTC 13.0 for sm_90: line 12: no such thing");
    expect_error(api, "//! result 6\n", "sm_90", SPHKV_ECOMPILE, "NVRTC_ERROR unknown");
    expect_error(api, "//! result 1\n", "sm_90", SPHKV_ENOMEM, "out of memory");
    expect_error(api, "//! result 5\n//! log nvrtc: error: invalid value for --gpu-architecture (-arch)\n",
                 "sm_90a", SPHKV_EUNSUPPORTED, "does not compile for sm_90a");
    expect_error(api, "//! nothing\n", "sm_90", SPHKV_ECOMPILE, "CREATION_FAILURE");
    expect_error(api, "", "sm_90", SPHKV_ECOMPILE, "made no CUBIN");
    sk_nvrtc_close(&nvrtc);
}

/* Options that a release does not know are left out, the others stay. */
static void test_unknown_options(void **state)
{
    (void)state;
    static const char *const unknown[] = {"--no-cache", "--ptxas-options"};
    sk_nvrtc nvrtc;
    const sk_nvrtc_api *api = nvrtc_must_open(&nvrtc, "good");
    for (uint32_t i = 0; i < 4; i++) {
        sk_nvrtc_code code;
        sk_err err;
        setenv("FAKE_NVRTC_REJECTS", unknown[i % 2], 1);
        if (i >= 2) setenv("FAKE_NVRTC_QUIET", "1", 1);
        sk_assert_ok(compile(api, cubin_text, "sm_90", 0, &code, &err), &err);
        assert_null(strstr(code.ptx, unknown[i % 2]));
        if (i < 2) assert_non_null(strstr(code.ptx, unknown[1 - i]));
        assert_non_null(strstr(code.ptx, "--fmad=false"));
        sk_nvrtc_code_free(&code);
    }
    setenv("FAKE_NVRTC_REJECTS", "--fmad", 1); /* without that there is no code */
    unsetenv("FAKE_NVRTC_QUIET");
    expect_error(api, cubin_text, "sm_90", SPHKV_ECOMPILE, "--fmad");
    unsetenv("FAKE_NVRTC_REJECTS");
    sk_nvrtc_close(&nvrtc);
}

/* ---- limits, threads, memory --------------------------------------------------------- */

static void test_limit(void **state)
{
    (void)state;
    sk_nvrtc nvrtc;
    sk_nvrtc_code code;
    sk_err err;
    char slow_text[4096];
    snprintf(slow_text, sizeof slow_text, "%s//! slow 20\n", cubin_text);
    const sk_nvrtc_api *api = nvrtc_must_open(&nvrtc, "good");
    assert_int_equal(compile(api, "//! slow 600000\n", "sm_90", 5, &code, &err), SPHKV_ECOMPILE);
    assert_true(code.stopped && !code.cubin);
    assert_non_null(strstr(err.message, "not done within 5 ms"));
    sk_assert_ok(compile(api, slow_text, "sm_90", 600000, &code, &err), &err);
    assert_false(code.stopped);
    sk_nvrtc_code_free(&code);
    sk_nvrtc_close(&nvrtc);
    nvrtc_put_both("old", "fake_nvrtc_old.so"); /* it says that it keeps no limit */
    api = nvrtc_must_open(&nvrtc, "old");
    assert_false(api->cancels);
    sk_assert_ok(compile(api, slow_text, "sm_90", 1, &code, &err), &err);
    assert_false(code.stopped);
    sk_nvrtc_code_free(&code);
    sk_nvrtc_close(&nvrtc);
}

static void *open_and_compile(void *user)
{
    sk_nvrtc *nvrtc = user;
    const sk_nvrtc_api *api;
    for (int i = 0; i < 20; i++) {
        sk_nvrtc_code code;
        sk_err err;
        if (sk_nvrtc_get(nvrtc, &api, &err) || compile(api, cubin_text, "sm_90", 1000, &code, &err))
            return err.message[0] ? sk_strdup(err.message) : sk_strdup("?");
        sk_nvrtc_code_free(&code);
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    sk_nvrtc nvrtc;
    pthread_t thread[4];
    char *asked = sk_test_path(nvrtc_root, "good");
    nvrtc_door(&nvrtc, asked);
    for (size_t i = 0; i < SK_COUNT(thread); i++)
        assert_int_equal(pthread_create(&thread[i], NULL, open_and_compile, &nvrtc), 0);
    for (size_t i = 0; i < SK_COUNT(thread); i++) {
        void *said;
        assert_int_equal(pthread_join(thread[i], &said), 0);
        if (said) fail_msg("%s", (char *)said);
    }
    sk_nvrtc_close(&nvrtc);
    sk_free(asked);
}

/* Every allocation of opening and compiling may fail. */
static void test_out_of_memory(void **state)
{
    (void)state;
    char *asked = sk_test_path(nvrtc_root, "good");
    for (uint64_t n = 1;; n++) {
        const char *const entry = "sk_k";
        const sk_nvrtc_job job = {.text = cubin_text, .arch = "sm_90", .entries = &entry, .nentry = 1};
        sk_cuda_resources r;
        sk_nvrtc nvrtc;
        sk_nvrtc_code code = {0};
        const sk_nvrtc_api *api;
        sk_err err = {0};
        nvrtc_door(&nvrtc, asked);
        sk_alloc_fault(n, n % 2);
        sk_status st = sk_nvrtc_get(&nvrtc, &api, &err);
        if (!st)
            st = sk_nvrtc_compile(api, &job, &code, &r, &err);
        const bool reached = sk_alloc_fault(0, false) >= n;
        assert_int_equal(st, reached ? SPHKV_ENOMEM : SPHKV_OK);
        assert_true(!code.ptx == (st != SPHKV_OK));
        sk_nvrtc_code_free(&code);
        sk_nvrtc_close(&nvrtc);
        if (!reached)
            break;
    }
    sk_free(asked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_builtins),     cmocka_unit_test(test_code),
        cmocka_unit_test(test_refused),         cmocka_unit_test(test_unknown_options),
        cmocka_unit_test(test_limit),           cmocka_unit_test(test_threads),
        cmocka_unit_test(test_out_of_memory),
    };
    unsetenv("FAKE_NVRTC");
    nvrtc_root = sk_test_dir();
    const int failed = cmocka_run_group_tests_name("code_nvrtc", tests, NULL, NULL);
    sk_free(cubin_text);
    sk_test_dir_remove(nvrtc_root);
    return failed;
}
