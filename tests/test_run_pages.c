/* test_run_pages.c - page sizes and the page reader of the public header, the
 * words for status codes, and launch facts as text. */
#include "sk_test.h"

#include <math.h>

#include "case.h"
#include "device.h"
#include "image_load.h"

static const sphkv_spec_params mix = {.size = sizeof(sphkv_spec_params),
                                      .kernel = SPHKV_ATTN_DECODE, .head_dim = 64,
                                      .page_tokens = 64, .tiers = "good:vi8,kf16:vf16"};

static void page_sizes(void **state)
{
    (void)state;
    sphkv_error err = {0};
    sphkv_page_info info = {.size = sizeof info};
    sk_assert_ok(sphkv_page_info_get(&mix, 1, &info, &err), &err);
    assert_int_equal(info.bytes, 64 * (64 + 64) * 2); /* f16 keys and values, nothing else */
    assert_int_equal(info.units, info.bytes / SPHKV_UNIT_BYTES);
    assert_true(info.bytes_per_token == 256.0);
    sk_assert_ok(sphkv_page_info_get(&mix, 0, &info, &err), &err);
    /* 32 codes of 4 bits, a half for the radius, 64 bytes of values; scales of the page */
    assert_int_equal(info.bytes, 64 * (16 + 2 + 64) + 64 * 2);
    assert_true(info.units * SPHKV_UNIT_BYTES >= info.bytes);
    assert_int_equal(sphkv_page_info_get(&mix, 2, &info, &err), SPHKV_EINVAL);
    assert_int_equal(sphkv_page_info_get(&mix, 0, NULL, &err), SPHKV_EINVAL);
    assert_int_equal(sphkv_page_info_get(NULL, 0, &info, &err), SPHKV_EINVAL);
    info = (sphkv_page_info){.size = 3};
    assert_int_equal(sphkv_page_info_get(&mix, 0, &info, &err), SPHKV_EINVAL);
    struct {
        sphkv_page_info known;
        uint64_t newer;
    } more = {.known = {.size = sizeof more}};
    sk_assert_ok(sphkv_page_info_get(&mix, 1, &more.known, &err), &err);
    assert_int_equal(more.known.size, sizeof more);
    assert_int_equal(more.known.units, 128);
    more.newer = 1;
    assert_int_equal(sphkv_page_info_get(&mix, 1, &more.known, &err), SPHKV_EINVAL);
    info = (sphkv_page_info){.size = 12, .bytes_per_token = -1}; /* an older caller */
    sk_assert_ok(sphkv_page_info_get(&mix, 1, &info, &err), &err);
    assert_int_equal(info.units, 128);
    assert_true(info.bytes_per_token == -1);
}

/* Rows into pages by the reference coders, out by the public reader. */
static void pages_read_back(void **state)
{
    (void)state;
    enum { D = 64, N = 5, P = 64 };
    sk_rng rng = sk_test_rng(4);
    sphkv_error err = {0};
    sk_spec spec;
    sk_assert_ok(sk_spec_from_params(&mix, &spec, &err), &err);
    sphkv_page_info info = {.size = sizeof info};
    sk_assert_ok(sphkv_page_info_get(&mix, 1, &info, &err), &err);
    uint8_t *page = sk_calloc(1, (size_t)info.units * SPHKV_UNIT_BYTES);
    float k[N * D], v[N * D];
    double kd[N * D], vd[N * D];
    assert_non_null(page);
    for (int i = 0; i < N * D; i++) {
        k[i] = sk_f16_to_f32(sk_f32_to_f16((float)sk_rng_normal(&rng)));
        v[i] = sk_f16_to_f32(sk_f32_to_f16((float)sk_rng_normal(&rng)));
    }
    for (uint32_t t = 0; t < N; t++)
        sk_append_ref(&spec, 1, k + t * D, v + t * D, t, page);
    sk_assert_ok(sphkv_page_read(&mix, 1, page, N, NULL, kd, vd, &err), &err);
    for (int i = 0; i < N * D; i++) {
        assert_true(kd[i] == (double)k[i]);
        assert_true(vd[i] == (double)v[i]);
    }
    memset(vd, 0, sizeof vd);
    sk_assert_ok(sphkv_page_read(&mix, 1, page, N, NULL, NULL, vd, &err), &err);
    assert_true(vd[N * D - 1] == (double)v[N * D - 1]);
    assert_int_equal(sphkv_page_read(&mix, 1, page, P + 1, NULL, kd, vd, &err), SPHKV_EINVAL);
    assert_int_equal(sphkv_page_read(&mix, 1, NULL, N, NULL, kd, vd, &err), SPHKV_EINVAL);
    assert_int_equal(sphkv_page_read(&mix, 2, page, N, NULL, kd, vd, &err), SPHKV_EINVAL);
    assert_int_equal(sphkv_page_read(&mix, 0, page, N, NULL, kd, vd, &err), SPHKV_EINVAL);
    sk_free(page);
}

/* A coded page comes back near what went in: codewords are near keys when the
 * keys are codewords. */
static void coded_pages_read_back(void **state)
{
    (void)state;
    enum { D = 64, N = 3 };
    sphkv_error err = {0};
    sk_spec spec;
    sphkv_codebook *cb = NULL;
    size_t stride = 0, bytes = 0;
    sk_assert_ok(sk_spec_from_params(&mix, &spec, &err), &err);
    sk_assert_ok(sphkv_codebook_default(&mix, 2, 1, &cb, &err), &err);
    const uint8_t *book = (const uint8_t *)sphkv_codebook_data(cb, &stride, &bytes) + stride;
    const uint16_t *words =
        (const uint16_t *)(const void *)(book + sk_codebook_tier_off(&spec, 0, 0));
    double k[N * D], v[N * D], kd[N * D], vd[N * D];
    for (uint32_t t = 0; t < N; t++)
        for (uint32_t d = 0; d < D; d++) { /* every group holds codeword t of its 16 */
            k[t * D + d] = (t + 1) * (double)sk_f16_to_f32(words[d * 16 + t]);
            v[t * D + d] = (double)d / 64 - 0.5;
        }
    sphkv_page_info info = {.size = sizeof info};
    sk_assert_ok(sphkv_page_info_get(&mix, 0, &info, &err), &err);
    uint8_t *page = sk_calloc(1, (size_t)info.units * SPHKV_UNIT_BYTES);
    assert_non_null(page);
    sk_encode_page_ref(&spec, 0, k, v, N, book, page);
    sk_assert_ok(sphkv_page_read(&mix, 0, page, N, book, kd, vd, &err), &err);
    double dk = 0, dv = 0;
    for (int i = 0; i < N * D; i++) {
        dk = fmax(dk, fabs(kd[i] - k[i]));
        dv = fmax(dv, fabs(vd[i] - v[i]));
    }
    assert_true(dv < 0.5 / 127);
    if (dk > 0.5) /* codewords are not of unit length together: the span's radius is shared */
        fail_msg("keys differ by %g", dk);
    sk_free(page);
    sphkv_codebook_free(cb);
}

static void words_for_status(void **state)
{
    (void)state;
    for (int a = 0; a <= SPHKV_EINTERNAL; a++)
        for (int b = 0; b < a; b++)
            assert_string_not_equal(sphkv_status_text((sphkv_status)a),
                                    sphkv_status_text((sphkv_status)b));
    assert_string_equal(sphkv_status_text((sphkv_status)99), "unknown status");
    assert_true(strlen(sphkv_version()) >= 5);
}

/* ---- launch facts ------------------------------------------------------------- */

static void launch_facts_round_trip(void **state)
{
    (void)state;
    sk_device device;
    sk_device_host(&device);
    sk_launch in = {.nentry = 3, .shared_bytes = {0, 4294967295u, 64}, .target = device.target};
    sk_launch out;
    sk_text text = {0};
    sk_launch_print(&in, &text);
    assert_false(text.failed);
    assert_true(sk_launch_parse(text.s, &out));
    assert_int_equal(out.nentry, 3);
    assert_memory_equal(out.shared_bytes, in.shared_bytes, sizeof in.shared_bytes);
    assert_string_equal(out.target.feature_text, device.target.feature_text);
    assert_int_equal(out.target.features, device.target.features);
    assert_true(sk_cpu_target_runs(&out.target, &device.target));
    /* Every cut and every changed byte is seen, or means the same. */
    for (size_t i = 0; i < text.len; i++) {
        char *copy = sk_strdup(text.s);
        copy[i] = '\0';
        assert_false(sk_launch_parse(copy, &out));
        copy[i] = (char)(text.s[i] ^ 1);
        if (sk_launch_parse(copy, &out)) {
            sk_text again = {0};
            sk_launch_print(&out, &again);
            assert_string_equal(again.s, copy);
            sk_text_free(&again);
        }
        sk_free(copy);
    }
    sk_text_free(&text);
}

static void launch_facts_are_strict(void **state)
{
    (void)state;
    static const char tail[] = "],\"triple\":\"t\",\"cpu\":\"c\",\"bits\":1,\"features\":\"+a\"}";
    static const struct {
        const char *numbers;
        bool fine;
    } row[] = {{"1", true},          {"1,2,3,4", true},  {"1,2,3,4,5", false}, {"", false},
               {"01", false},        {"-1", false},      {"4294967296", false}, {"1,", false},
               {" 1", false},        {"99999999999", false}, {"0", true},      {"1.0", false}};
    sk_launch out;
    for (size_t i = 0; i < SK_COUNT(row); i++) {
        char text[256];
        snprintf(text, sizeof text, "{\"shared_bytes\":[%s%s", row[i].numbers, tail);
        if (sk_launch_parse(text, &out) != row[i].fine)
            fail_msg("%s", text);
    }
    assert_false(sk_launch_parse(NULL, &out));
    assert_false(sk_launch_parse("", &out));
    assert_false(sk_launch_parse("{\"shared_bytes\":[1],\"triple\":\"t\",\"cpu\":\"c\",\"bits\":1,"
                                 "\"features\":\"+a\"} ", &out));
    assert_false(sk_launch_parse("{\"shared_bytes\":[1],\"triple\":\"t\",\"cpu\":\"c\\\"\","
                                 "\"bits\":1,\"features\":\"+a\"}", &out));
}

static void device_is_stable(void **state)
{
    (void)state;
    sk_device a, b;
    sk_device_host(&a);
    sk_device_host(&b);
    assert_string_equal(a.fingerprint, b.fingerprint);
    assert_string_equal(sk_device_record(&a).arch, a.arch);
    assert_ptr_equal(sk_device_record(&b).fingerprint, b.fingerprint);
    assert_true(strlen(a.name) > 3);
    assert_non_null(strstr(a.fingerprint, a.arch)); /* not only a name, and not cut */
    assert_non_null(strstr(a.fingerprint, ";cpus="));
    sk_device_set_compiler(&a, "LLVM 19.1.7");
    assert_non_null(strstr(a.toolchain, "LLVM 19.1.7"));
    assert_string_equal(a.fingerprint, b.fingerprint); /* with and without a compiler */
}

static void a_lesser_cpu_is_a_device(void **state)
{
    (void)state;
    sk_device host, lesser;
    sk_err err = {0};
    sk_device_host(&host);
    sk_assert_ok(sk_device_cpu("cpu", &lesser, &err), &err);
    assert_string_equal(lesser.fingerprint, host.fingerprint);
    assert_int_equal(sk_device_cpu("cpu:i8080", &lesser, &err), SPHKV_EINVAL);
    assert_int_equal(sk_device_cpu("gpu", &lesser, &err), SPHKV_EINVAL);
    for (uint32_t i = 0; sk_cpu_target_name(i); i++) {
        char name[80];
        sk_target target;
        snprintf(name, sizeof name, "cpu:%s", sk_cpu_target_name(i));
        sk_assert_ok(sk_cpu_target_named(name + 4, &target, &err), &err);
        const sk_status st = sk_device_cpu(name, &lesser, &err);
        assert_int_equal(st, sk_cpu_target_runs(&target, &host.target) ? SPHKV_OK : SPHKV_EDEVICE);
        if (st == SPHKV_OK)
            assert_non_null(strstr(lesser.fingerprint, lesser.arch));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_sizes),
        cmocka_unit_test(pages_read_back),
        cmocka_unit_test(coded_pages_read_back),
        cmocka_unit_test(words_for_status),
        cmocka_unit_test(launch_facts_round_trip),
        cmocka_unit_test(launch_facts_are_strict),
        cmocka_unit_test(device_is_stable),
        cmocka_unit_test(a_lesser_cpu_is_a_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
