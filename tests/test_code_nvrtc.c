/* test_code_nvrtc.c - the door to NVRTC and compiling through it, with a double of
 * the library (hooks/fake_nvrtc.c) in folders made here: the order of the search,
 * every way of having none, options that a release does not know, errors, limits. */
#define _GNU_SOURCE
#include "sk_test.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "jit_nvrtc.h"
#include "nvrtc_case.h"

static char *root; /* the fake system */

/* ---- folders --------------------------------------------------------------------------- */

static void make_folders(char *path)
{
    for (char *p = strchr(path + strlen(root) + 1, '/'); p; p = strchr(p + 1, '/')) {
        *p = '\0';
        (void)mkdir(path, 0755);
        *p = '/';
    }
}

/* root/FILE as a copy of hooked/lib/DOUBLE, or with these words in it. */
static void put(const char *file, const char *which, const char *words)
{
    char *path = sk_test_path(root, file), *data = NULL;
    size_t size = words ? strlen(words) : 0;
    sk_err err = {0};
    make_folders(path);
    if (which) {
        char *from = sk_test_path(SK_BUILD_DIR "/hooked/lib", which);
        sk_assert_ok(sk_file_read(from, 1 << 22, &data, &size, &err), &err);
        sk_free(from);
    }
    sk_assert_ok(sk_file_write(path, which ? data : words, size, &err), &err);
    sk_free(data);
    sk_free(path);
}

static void put_both(const char *folder, const char *which)
{
    char name[PATH_MAX];
    snprintf(name, sizeof name, "%s/libnvrtc.so.13", folder);
    put(name, which, NULL);
    snprintf(name, sizeof name, "%s/libnvrtc-builtins.so.13.0", folder);
    put(name, "fake_nvrtc_builtins.so", NULL);
}

/* A door that looks at one folder or file only. */
static void door(sk_nvrtc *nvrtc, const char *asked)
{
    sk_nvrtc_init(nvrtc, true, 0);
    nvrtc->places = (sk_nvrtc_places){.asked = asked, .root = root};
}

static const sk_nvrtc_api *must_open(sk_nvrtc *nvrtc, const char *folder)
{
    const sk_nvrtc_api *api;
    sk_err err = {0};
    char *asked = sk_test_path(root, folder);
    door(nvrtc, asked);
    sk_assert_ok(sk_nvrtc_get(nvrtc, &api, &err), &err);
    sk_free(asked);
    return api;
}

/* ---- the order of the search -------------------------------------------------------- */

typedef struct tried {
    char name[64][PATH_MAX]; /* behind root */
    uint32_t n;
    bool stop;               /* at the first file */
} tried;

static bool note(void *user, const char *file)
{
    tried *t = user;
    const size_t before = strlen(root);
    assert_true(t->n < SK_COUNT(t->name));
    snprintf(t->name[t->n++], PATH_MAX, "%s", strncmp(file, root, before) == 0 ? file + before : file);
    return t->stop && strchr(file, '/');
}

static tried all_of, one_of;

/* Where everything is set and every folder holds something, this is the whole order. */
static void test_order(void **state)
{
    (void)state;
    static const char *const order[] = {
        "/home/lib64/libnvrtc.so.12", "/path/lib/libnvrtc.so.13",
        "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2",
        "/usr/local/cuda/lib64/libnvrtc.so.12", "/usr/local/cuda-13.0/lib64/libnvrtc.so.13",
        "/usr/local/cuda-12.10/lib64/libnvrtc.so.12", "/usr/local/cuda-12.9/lib64/libnvrtc.so.12",
        "/opt/cuda/lib64/libnvrtc.so.13",
        "/venv/lib/python3.11/site-packages/nvidia/cu13/lib/libnvrtc.so.13",
        "/venv/lib/python3.11/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12",
        "/venv/lib/python3.9/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.11.2",
        "/conda/lib/libnvrtc.so.12",
        "/me/.local/lib/python3.12/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12",
        "/usr/local/lib/python3.11/dist-packages/nvidia/cu13/lib/libnvrtc.so.13",
        "/usr/lib/python3/dist-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12",
    };
    char place[5][PATH_MAX];
    const char *const below[5] = {"home", "path", "venv", "conda", "me"};
    for (size_t i = 0; i < SK_COUNT(below); i++)
        snprintf(place[i], PATH_MAX, "%s/%s", root, below[i]);
    for (size_t i = 0; i < SK_COUNT(order); i++)
        if (order[i][0] == '/')
            put(order[i] + 1, NULL, "nothing");
    put("usr/local/cuda-old/lib64/libnvrtc.so.13", NULL, "nothing"); /* no version */
    sk_nvrtc_places p = {.toolkit = {place[0], place[1]}, .venv = place[2], .conda = place[3],
                         .home = place[4], .root = root};
    all_of = (tried){.stop = false};
    assert_false(sk_nvrtc_find(&p, note, &all_of));
    assert_int_equal(all_of.n, SK_COUNT(order));
    for (size_t i = 0; i < SK_COUNT(order); i++)
        assert_string_equal(all_of.name[i], order[i]);
    p.newest_major = 12; /* a driver that loads no code of 13 */
    all_of = (tried){.stop = false};
    assert_false(sk_nvrtc_find(&p, note, &all_of));
    for (uint32_t i = 0; i < all_of.n; i++)
        assert_null(strstr(all_of.name[i], "so.13"));
    assert_int_equal(all_of.n, 11);
    p.asked = place[1]; /* what was asked for is taken, and nothing else */
    all_of = (tried){.stop = false};
    assert_false(sk_nvrtc_find(&p, note, &all_of));
    assert_int_equal(all_of.n, 1);
    assert_string_equal(all_of.name[0], "/path/lib/libnvrtc.so.13");
}

/* The first file ends the search; the newest of a folder comes first. */
static void test_first(void **state)
{
    (void)state;
    put("many/libnvrtc.so.12", NULL, "nothing");
    put("many/libnvrtc.so.13", NULL, "nothing");
    char *asked = sk_test_path(root, "many");
    const sk_nvrtc_places p = {.asked = asked, .root = root};
    one_of = (tried){.stop = true};
    assert_true(sk_nvrtc_find(&p, note, &one_of));
    assert_int_equal(one_of.n, 1);
    assert_string_equal(one_of.name[0], "/many/libnvrtc.so.13");
    sk_free(asked);
}

/* Names of the longest kind and values that are empty: passed over. */
static void test_odd_places(void **state)
{
    (void)state;
    static char big[PATH_MAX + 50];
    memset(big, 'x', sizeof big - 1);
    big[0] = '/';
    sk_nvrtc_places p = {"", {"", big}, "", big, "", big, root, 0};
    all_of = (tried){.stop = false};
    assert_false(sk_nvrtc_find(&p, note, &all_of));
    for (uint32_t i = 0; i < all_of.n; i++)
        assert_true(strlen(all_of.name[i]) < 200);
    p.root = big;
    assert_false(sk_nvrtc_find(&p, note, &all_of));
}

/* ---- the door ------------------------------------------------------------------------- */

static void expect_none(sk_nvrtc *nvrtc, const char *words)
{
    const sk_nvrtc_api *api;
    for (int again = 0; again < 2; again++) {
        sk_err err = {0};
        assert_int_equal(sk_nvrtc_get(nvrtc, &api, &err), SPHKV_ECOMPILE);
        assert_null(api);
        if (!strstr(err.message, words)) fail_msg("'%s' lacks '%s'", err.message, words);
        assert_null(strchr(err.message, '\n'));
    }
    sk_nvrtc_close(nvrtc);
}

static void test_none(void **state)
{
    (void)state;
    sk_nvrtc nvrtc;
    put("empty/readme", NULL, "nothing");
    put("broken/libnvrtc.so.13", NULL, "no library");
    put("strange/libnvrtc.so.13", "fake_nvrtc_builtins.so", NULL);
    char *empty = sk_test_path(root, "empty"), *gone = sk_test_path(root, "gone/libnvrtc.so.13");
    char *broken = sk_test_path(root, "broken"), *strange = sk_test_path(root, "strange");
    door(&nvrtc, empty);
    expect_none(&nvrtc, "SPHKV_NVRTC");
    door(&nvrtc, gone);
    expect_none(&nvrtc, "gone/libnvrtc.so.13");
    door(&nvrtc, broken);
    expect_none(&nvrtc, "broken/libnvrtc.so.13");
    sk_nvrtc_init(&nvrtc, false, 0);
    expect_none(&nvrtc, "switched off");
    setenv("FAKE_NVRTC", "11.1", 1);
    door(&nvrtc, strange);
    expect_none(&nvrtc, "11.2 or later");
    setenv("FAKE_NVRTC", "what", 1);
    door(&nvrtc, strange);
    expect_none(&nvrtc, "version");
    unsetenv("FAKE_NVRTC");
    door(&nvrtc, SK_BUILD_DIR "/bin/test_code_nvrtc"); /* ELF, and not that */
    expect_none(&nvrtc, "test_code_nvrtc");
    sk_free(empty);
    sk_free(gone);
    sk_free(broken);
    sk_free(strange);
}

/* What is in the environment is looked at. */
static void test_environment(void **state)
{
    (void)state;
    sk_nvrtc nvrtc;
    const sk_nvrtc_api *api;
    sk_err err = {0};
    put_both("env/lib64", "fake_nvrtc.so");
    char *folder = sk_test_path(root, "env");
    setenv("SPHKV_NVRTC", folder, 1);
    sk_nvrtc_init(&nvrtc, true, 12040); /* asked for in spite of the driver */
    sk_assert_ok(sk_nvrtc_get(&nvrtc, &api, &err), &err);
    assert_non_null(strstr(api->path, "/env/lib64/libnvrtc.so.13"));
    assert_int_equal(api->release, 13000);
    assert_string_equal(api->version, "NVRTC 13.0");
    assert_true(api->narch == 3 && api->arch[0] == 75 && api->arch[2] == 90);
    assert_true(api->builtins && api->cancels);
    sk_nvrtc_close(&nvrtc);
    unsetenv("SPHKV_NVRTC");
    sk_free(folder);
}

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
    put("bare/libnvrtc.so.13", "fake_nvrtc.so", NULL);
    const sk_nvrtc_api *api = must_open(&nvrtc, "bare");
    assert_false(api->builtins);
    expect_error(api, "", "sm_90", SPHKV_ECOMPILE, "libnvrtc-builtins.so.13.0 belongs beside");
    sk_nvrtc_close(&nvrtc);
}

/* A link to the library from elsewhere: the built-in functions are where it leads. */
static void test_linked(void **state)
{
    (void)state;
    sk_nvrtc nvrtc;
    put_both("real", "fake_nvrtc.so");
    put("linked/readme", NULL, "nothing");
    char *to = sk_test_path(root, "real/libnvrtc.so.13");
    char *link = sk_test_path(root, "linked/libnvrtc.so.13");
    assert_int_equal(symlink(to, link), 0);
    const sk_nvrtc_api *api = must_open(&nvrtc, "linked");
    assert_true(api->builtins);
    sk_nvrtc_close(&nvrtc);
    sk_free(to);
    sk_free(link);
}

static char *cubin_text; /* of a text whose CUBIN is a small one */

static void make_cubin(void)
{
    const nvrtc_fake fake = {8, 90, "sk_k", 40, 16, 256, 2};
    sk_text cubin = nvrtc_fake_cubin(&fake), text = {0};
    char *path = sk_test_path(root, "fake.cubin");
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
    put_both("good", "fake_nvrtc.so");
    make_cubin();
    const sk_nvrtc_api *api = must_open(&nvrtc, "good");
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
    const sk_nvrtc_api *api = must_open(&nvrtc, "good");
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
    const sk_nvrtc_api *api = must_open(&nvrtc, "good");
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
    const sk_nvrtc_api *api = must_open(&nvrtc, "good");
    assert_int_equal(compile(api, "//! slow 600000\n", "sm_90", 5, &code, &err), SPHKV_ECOMPILE);
    assert_true(code.stopped && !code.cubin);
    assert_non_null(strstr(err.message, "not done within 5 ms"));
    sk_assert_ok(compile(api, slow_text, "sm_90", 600000, &code, &err), &err);
    assert_false(code.stopped);
    sk_nvrtc_code_free(&code);
    sk_nvrtc_close(&nvrtc);
    put_both("old", "fake_nvrtc_old.so"); /* it says that it keeps no limit */
    api = must_open(&nvrtc, "old");
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
    char *asked = sk_test_path(root, "good");
    door(&nvrtc, asked);
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
    char *asked = sk_test_path(root, "good");
    for (uint64_t n = 1;; n++) {
        const char *const entry = "sk_k";
        const sk_nvrtc_job job = {.text = cubin_text, .arch = "sm_90", .entries = &entry, .nentry = 1};
        sk_cuda_resources r;
        sk_nvrtc nvrtc;
        sk_nvrtc_code code = {0};
        const sk_nvrtc_api *api;
        sk_err err = {0};
        door(&nvrtc, asked);
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
        cmocka_unit_test(test_no_builtins),     cmocka_unit_test(test_order),
        cmocka_unit_test(test_first),           cmocka_unit_test(test_odd_places),
        cmocka_unit_test(test_none),            cmocka_unit_test(test_environment),
        cmocka_unit_test(test_linked),          cmocka_unit_test(test_code),
        cmocka_unit_test(test_refused),         cmocka_unit_test(test_unknown_options),
        cmocka_unit_test(test_limit),           cmocka_unit_test(test_threads),
        cmocka_unit_test(test_out_of_memory),
    };
    unsetenv("FAKE_NVRTC");
    root = sk_test_dir();
    const int failed = cmocka_run_group_tests_name("code_nvrtc", tests, NULL, NULL);
    sk_free(cubin_text);
    sk_test_dir_remove(root);
    return failed;
}
