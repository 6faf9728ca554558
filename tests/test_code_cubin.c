/* test_code_cubin.c - what compiled CUDA code says about itself: resources from
 * CUBINs of both container versions, damaged ones, least drivers, and the log. */
#include "sk_test.h"

#include "jit_nvrtc_log.h"
#include "nvrtc_case.h"

static sk_status read_one(const sk_text *cubin, const char *entry, sk_cuda_resources *out, sk_err *err)
{
    return sk_cubin_resources(cubin->s, cubin->len, &entry, 1, out, err);
}

static void test_resources(void **state)
{
    (void)state;
    const nvrtc_fake fakes[] = {
        {7, 75, "k", 32, 0, 0, 0},      {7, 90, "k", 40, 16, 256, 2}, {8, 80, "kernel", 255, 384, 0, 16},
        {8, 90, "k", 12, 0, 49152, 1},  {8, 120, "sk_k", 168, 8, 64, 3},
    };
    for (size_t i = 0; i < SK_COUNT(fakes); i++) {
        sk_text cubin = nvrtc_fake_cubin(&fakes[i]);
        sk_cuda_resources r;
        sk_err err = {0};
        sk_assert_ok(read_one(&cubin, fakes[i].name, &r, &err), &err);
        assert_int_equal(r.registers, fakes[i].registers);
        assert_int_equal(r.stack_bytes, fakes[i].stack);
        assert_int_equal(r.shared_bytes, fakes[i].shared);
        assert_int_equal(r.barriers, fakes[i].barriers);
        assert_int_equal(r.spill_stores, SK_CUDA_UNKNOWN);
        assert_int_equal(r.spill_loads, SK_CUDA_UNKNOWN);
        assert_int_equal(read_one(&cubin, "other", &r, &err), SPHKV_EINVAL);
        assert_non_null(strstr(err.message, "'other'"));
        sk_text_free(&cubin);
    }
}

/* Every byte wrong in turn, every length: refused or read, never followed outside. Each
 * try lies in memory of its own size, so that a sanitizer sees one byte too many. */
static void test_damage(void **state)
{
    (void)state;
    sk_rng rng = sk_test_rng(91);
    sk_text cubin = nvrtc_fake_cubin(&(nvrtc_fake){8, 90, "kernel", 40, 16, 256, 2});
    uint32_t refused = 0;
    for (size_t i = 0; i < cubin.len * 3; i++) {
        const size_t at = i % cubin.len, size = i < cubin.len ? at : cubin.len;
        char *copy = sk_malloc(size + !size);
        sk_text damaged = {copy, size, size, false};
        sk_cuda_resources r;
        assert_non_null(copy);
        memcpy(copy, cubin.s, size);
        if (size == cubin.len)
            copy[at] = (char)(i % 2 ? 0xff : sk_rng_below(&rng, 256));
        const sk_status st = read_one(&damaged, "kernel", &r, NULL);
        assert_true(st == SPHKV_OK || st == SPHKV_EINVAL);
        assert_true(size == cubin.len || st == SPHKV_EINVAL);
        refused += st == SPHKV_EINVAL;
        sk_free(copy);
    }
    assert_true(refused > cubin.len); /* not only what was cut off */
    sk_text_free(&cubin);
}

static void test_drivers(void **state)
{
    (void)state;
    const struct {
        uint32_t release;
        uint32_t sm;
        bool exact;
        uint32_t driver;
    } cubin[] = {
        {11020, 80, false, 11000}, {11080, 86, false, 11010}, {11080, 90, false, 11080},
        {12040, 89, false, 12000}, {12040, 90, true, 12000},  {12080, 100, false, 12080},
        {12090, 103, true, 12090}, {13000, 75, false, 13000}, {13050, 100, true, 13000},
        {13050, 333, false, 13000},
    };
    const struct {
        const char *text;
        uint32_t driver;
    } ptx[] = {
        {"//\n// .version 1.0\n\n.version 9.0\n.target sm_90\n", 13000},
        {".version 7.2\n", 11020}, {".version 8.5\n", 12050}, {"\n.version 8.6\n", 12070},
        {"\n.version 8.8\n", 12090}, {"\n.version 9.5\n", 13050}, {"", 0}, {"\n.version x\n", 0},
        {"\n.version 6.5\n", 0},
    };
    for (size_t i = 0; i < SK_COUNT(cubin); i++)
        assert_int_equal(sk_cubin_least_driver(cubin[i].release, cubin[i].sm, cubin[i].exact),
                         cubin[i].driver);
    for (size_t i = 0; i < SK_COUNT(ptx); i++)
        assert_int_equal(sk_ptx_least_driver(ptx[i].text), ptx[i].driver);
}

/* ---- logs --------------------------------------------------------------------------- */

static void test_log_resources(void **state)
{
    (void)state;
    static const char *const logs[] = {
        /* as 11.8 and 12.4 write: nothing of barriers, constants behind */
        "ptxas info    : 0 bytes gmem\n"
        "ptxas info    : Compiling entry function 'wide' for 'sm_80'\n"
        "ptxas info    : Function properties for wide\n"
        "ptxas         .     24 bytes stack frame, 20 bytes spill stores, 28 bytes spill loads\n"
        "ptxas info    : Used 32 registers, 384 bytes cumulative stack size, 372 bytes cmem[0]\n"
        "ptxas info    : Compiling entry function 'wider' for 'sm_80'\n"
        "ptxas info    : Function properties for wider\n"
        "ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
        "ptxas info    : Used 12 registers, 256 bytes smem, 372 bytes cmem[0]\n",
        /* as 13 writes; a device function of its own, no indentation, a warning between */
        "ptxas info    : Compiling entry function 'wider' for 'sm_90a'\n"
        "ptxas info    : Function properties for wider\n"
        "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
        "ptxas info    : Used 12 registers, used 1 barriers, 256 bytes smem\n"
        "ptxas info    : Compile time = 3.249 ms\n"
        "ptxas info    : Compiling entry function 'wide' for 'sm_90a'\n"
        "ptxas warning : Value of threads per SM for entry wide is out of range\n"
        "ptxas info    : Function properties for wide\n"
        "    16 bytes stack frame, 12 bytes spill stores, 20 bytes spill loads\n"
        "ptxas info    : Function properties for helper\n"
        "    8 bytes stack frame, 8 bytes spill stores, 8 bytes spill loads\n"
        "ptxas info    : Used 32 registers, used 0 barriers, 24 bytes cumulative stack size\n",
    };
    for (size_t i = 0; i < SK_COUNT(logs); i++) {
        sk_cuda_resources r;
        assert_true(sk_nvrtc_log_resources(logs[i], "wide", &r));
        assert_true(r.registers == 32 && r.stack_bytes == 24 && r.spill_stores == 20);
        assert_true(r.spill_loads == 28 && r.shared_bytes == 0);
        assert_int_equal(r.barriers, i ? 0 : SK_CUDA_UNKNOWN);
        assert_true(sk_nvrtc_log_resources(logs[i], "wider", &r));
        assert_true(r.registers == 12 && r.stack_bytes == 0 && r.spill_stores == 0);
        assert_true(r.spill_loads == 0 && r.shared_bytes == 256);
        assert_false(sk_nvrtc_log_resources(logs[i], "wid", &r));
        assert_true(r.registers == SK_CUDA_UNKNOWN && r.spill_loads == SK_CUDA_UNKNOWN);
    }
}

static void test_log_errors(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"sphkv.cu(7): warning #177-D: variable \"x\" was declared but never referenced\n"
         "sphkv.cu(12): error: identifier \"y\" is undefined\n\nsphkv.cu(13): error: later\n",
         "line 12: identifier \"y\" is undefined"},
        {"sphkv.cu(3): error #20: identifier \"z\" is undefined\n", "line 3: identifier \"z\" is undefined"},
        {"nvrtc: error: invalid value for --gpu-architecture (-arch)\n",
         "invalid value for --gpu-architecture (-arch)"},
        {"ptxas info    : 0 bytes gmem\n"
         "ptxas error   : Entry function 'k' uses too much shared data (0x10000 bytes, 0xc000 max)\n",
         "Entry function 'k' uses too much shared data (0x10000 bytes, 0xc000 max)"},
        {"ptxas application ptx input, line 30; error   : Unknown symbol 'w'\n"
         "ptxas fatal   : Ptx assembly aborted due to errors\n", "PTX line 30: Unknown symbol 'w'"},
        {"ptxas fatal   : Unresolved extern function 'f'\n", "Unresolved extern function 'f'"},
        {"ptxas info    : Compiling entry function 'k' for 'sm_80'\n"
         "ptxas info    : Used 10 registers, 65536 bytes smem, 360 bytes cmem[0]\n",
         "65536 bytes of static shared memory, of which 49152 is the most"},
        {"ptxas info    : Used 10 registers, 4096 bytes smem\n", ""},
        {"something else went wrong\nsecond\n", "something else went wrong"},
        {"", ""},
    };
    for (size_t i = 0; i < SK_COUNT(rows); i++) {
        char line[300], small[12];
        sk_nvrtc_log_error(rows[i][0], line, sizeof line);
        assert_string_equal(line, rows[i][1]);
        sk_nvrtc_log_error(rows[i][0], small, sizeof small);
        assert_true(strncmp(small, line, strlen(small)) == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resources),     cmocka_unit_test(test_damage),
        cmocka_unit_test(test_drivers),       cmocka_unit_test(test_log_resources),
        cmocka_unit_test(test_log_errors),
    };
    return cmocka_run_group_tests_name("code_cubin", tests, NULL, NULL);
}
