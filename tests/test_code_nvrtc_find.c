/* test_code_nvrtc_find.c - where NVRTC is looked for, in folders made here: the whole
 * order, every way of having none, what the environment says. */
#define _GNU_SOURCE
#include "sk_test.h"

#include <stdlib.h>
#include <unistd.h>

#include "nvrtc_case.h"

/* ---- the order of the search -------------------------------------------------------- */

typedef struct tried {
    char name[64][PATH_MAX]; /* behind nvrtc_root */
    uint32_t n;
    bool stop;               /* at the first file */
} tried;

static bool note(void *user, const char *file)
{
    tried *t = user;
    const size_t before = strlen(nvrtc_root);
    assert_true(t->n < SK_COUNT(t->name));
    snprintf(t->name[t->n++], PATH_MAX, "%s", strncmp(file, nvrtc_root, before) == 0 ? file + before : file);
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
        snprintf(place[i], PATH_MAX, "%s/%s", nvrtc_root, below[i]);
    for (size_t i = 0; i < SK_COUNT(order); i++)
        if (order[i][0] == '/')
            nvrtc_put(order[i] + 1, NULL, "nothing");
    nvrtc_put("usr/local/cuda-old/lib64/libnvrtc.so.13", NULL, "nothing"); /* no version */
    sk_nvrtc_places p = {.toolkit = {place[0], place[1]}, .venv = place[2], .conda = place[3],
                         .home = place[4], .root = nvrtc_root};
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
    nvrtc_put("many/libnvrtc.so.12", NULL, "nothing");
    nvrtc_put("many/libnvrtc.so.13", NULL, "nothing");
    char *asked = sk_test_path(nvrtc_root, "many");
    const sk_nvrtc_places p = {.asked = asked, .root = nvrtc_root};
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
    sk_nvrtc_places p = {"", {"", big}, "", big, "", big, nvrtc_root, 0};
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
    nvrtc_put("empty/readme", NULL, "nothing");
    nvrtc_put("broken/libnvrtc.so.13", NULL, "no library");
    nvrtc_put("strange/libnvrtc.so.13", "fake_nvrtc_builtins.so", NULL);
    char *empty = sk_test_path(nvrtc_root, "empty"), *gone = sk_test_path(nvrtc_root, "gone/libnvrtc.so.13");
    char *broken = sk_test_path(nvrtc_root, "broken"), *strange = sk_test_path(nvrtc_root, "strange");
    nvrtc_door(&nvrtc, empty);
    expect_none(&nvrtc, "SPHKV_NVRTC");
    nvrtc_door(&nvrtc, gone);
    expect_none(&nvrtc, "gone/libnvrtc.so.13");
    nvrtc_door(&nvrtc, broken);
    expect_none(&nvrtc, "broken/libnvrtc.so.13");
    sk_nvrtc_init(&nvrtc, false, 0);
    expect_none(&nvrtc, "switched off");
    setenv("FAKE_NVRTC", "11.1", 1);
    nvrtc_door(&nvrtc, strange);
    expect_none(&nvrtc, "11.2 or later");
    setenv("FAKE_NVRTC", "what", 1);
    nvrtc_door(&nvrtc, strange);
    expect_none(&nvrtc, "version");
    unsetenv("FAKE_NVRTC");
    nvrtc_door(&nvrtc, SK_BUILD_DIR "/bin/test_code_nvrtc"); /* ELF, and not that */
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
    nvrtc_put_both("env/lib64", "fake_nvrtc.so");
    char *folder = sk_test_path(nvrtc_root, "env");
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

/* A link to the library from elsewhere: the built-in functions are where it leads. */
static void test_linked(void **state)
{
    (void)state;
    sk_nvrtc nvrtc;
    nvrtc_put_both("real", "fake_nvrtc.so");
    nvrtc_put("linked/readme", NULL, "nothing");
    char *to = sk_test_path(nvrtc_root, "real/libnvrtc.so.13");
    char *link = sk_test_path(nvrtc_root, "linked/libnvrtc.so.13");
    assert_int_equal(symlink(to, link), 0);
    const sk_nvrtc_api *api = nvrtc_must_open(&nvrtc, "linked");
    assert_true(api->builtins);
    sk_nvrtc_close(&nvrtc);
    sk_free(to);
    sk_free(link);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order), cmocka_unit_test(test_first),
        cmocka_unit_test(test_odd_places), cmocka_unit_test(test_none),
        cmocka_unit_test(test_environment), cmocka_unit_test(test_linked),
    };
    unsetenv("FAKE_NVRTC");
    nvrtc_root = sk_test_dir();
    const int failed = cmocka_run_group_tests_name("code_nvrtc_find", tests, NULL, NULL);
    sk_test_dir_remove(nvrtc_root);
    return failed;
}
