/* test_simt_raw.c - kernels written by hand as whole text: the ceiling is judged by
 * the whole check of its spec, with each number of heads and each type that it is
 * written for, as its generated competitors are; other specs are refused. */
#include "sk_test.h"

#include "simt_kernel.h"

#define RAW(h, q, o) "attn_decode d128 v128 h" h " p128 l1 q" q " o" o " if32 tight good:vi8"

static void schedule_of(const sk_spec *spec, const sk_target *target, sk_schedule *out)
{
    sk_err err = {0};
    sk_kernel_default(sk_kernel_get(spec->kernel), spec, target, out);
    sk_assert_ok(sk_schedule_parse(spec->kernel, "form=raw,warps=4,slab=64,stages=0,room=shared,blocks=1", out,
                                   &err),
                 &err);
}

static void is_right(void **state)
{
    static const char *const specs[] = {RAW("4", "f32", "f32"), RAW("5", "f16", "bf16"),
                                        RAW("8", "bf16", "f16"), RAW("7", "f16", "f32")};
    (void)state;
    const uint64_t seed = sk_test_seed(17);
    simt_lot lot = {0};
    sk_target target;
    sk_err err = {0};
    sk_assert_ok(sk_target_cuda(90, false, &target, &err), &err);
    for (uint32_t i = 0; i < SK_COUNT(specs); i++) {
        sk_spec spec;
        sk_schedule s;
        sk_assert_ok(sk_spec_parse(specs[i], &spec, &err), &err);
        schedule_of(&spec, &target, &s);
        sk_assert_ok(sk_kernel_valid(sk_kernel_get(spec.kernel), &spec, &s, &target, &err), &err);
        sk_assert_ok(simt_lot_add(&lot, &spec, &s, &err), &err);
    }
    simt_lot_compile(&lot);
    for (uint32_t i = 0; i < lot.n; i++)
        if (simt_lot_check(&lot, i, seed + i, &err) != SPHKV_OK)
            fail_msg("%s: %s (SK_TEST_SEED=%llu)", specs[i], err.message, (unsigned long long)seed);
    simt_lot_free(&lot);
}

static void refuses_others(void **state)
{
    static const char *const specs[] = {
        "attn_decode d128 v128 h4 p128 l0 qf32 of32 if32 tight good:vi8",
        "attn_decode d64 v128 h4 p128 l1 qf32 of32 if32 tight good:vi8",
        "attn_decode d128 v128 h3 p128 l1 qf32 of32 if32 tight good:vi8",
        "attn_decode d128 v128 h4 p64 l1 qf32 of32 if32 tight good:vi8",
        "attn_decode d128 v128 h4 p128 l1 qf32 of32 if32 exact good:vi8",
        "attn_decode d128 v128 h4 p128 l1 qf32 of32 if32 tight good:vi8,kf16:vf16",
        "attn_decode d128 v128 h4 p128 l1 qf32 of32 if32 tight fine:vi8",
        "attn_decode d128 v128 h4 p128 l1 qf32 of32 if32 tight good:vi4",
        "attn_decode d128 v128 h4 p128 l1 qf32 of32 if32 tight good:vi8 mean"};
    (void)state;
    sk_target target;
    sk_err err = {0};
    sk_assert_ok(sk_target_cuda(90, false, &target, &err), &err);
    for (uint32_t i = 0; i < SK_COUNT(specs); i++) {
        sk_spec spec;
        sk_schedule s;
        sk_assert_ok(sk_spec_parse(specs[i], &spec, &err), &err);
        schedule_of(&spec, &target, &s);
        assert_int_equal(sk_kernel_valid(sk_kernel_get(spec.kernel), &spec, &s, &target, &err),
                         SPHKV_EINVAL);
        assert_non_null(strstr(err.message, "form=raw"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_others),
        cmocka_unit_test(is_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
