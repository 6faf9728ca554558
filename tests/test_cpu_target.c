/* test_cpu_target.c - CPU detection: names, feature texts and the rule of what
 * runs where; and, where the compiler is at hand, that LLVM sees the same CPU. */
#include "sk_test.h"

#include "cpu_target.h"
#include "jit.h"

static sk_target named(const char *cpu)
{
    sk_target t;
    sk_err err = {0};
    sk_assert_ok(sk_cpu_target_named(cpu, &t, &err), &err);
    return t;
}

static void levels_contain_each_other(void **state)
{
    (void)state;
    static const char *const level[] = {"x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4", "znver4"};
    for (size_t i = 0; i < SK_COUNT(level); i++)
        for (size_t k = 0; k < SK_COUNT(level); k++) {
            const sk_target code = named(level[i]), host = named(level[k]);
            assert_int_equal(sk_cpu_target_runs(&code, &host), i <= k);
        }
}

static void names_have_what_they_promise(void **state)
{
    (void)state;
    static const struct {
        const char *cpu, *arch;
        uint32_t bits, features;
    } row[] = {
        {"x86-64", "x86_64", 128, 0},
        {"x86-64-v2", "x86_64+sse41", 128, SK_CPU_SSE41},
        {"znver3", "x86_64+avx2+fma+f16c", 256, SK_CPU_SSE41 | SK_CPU_AVX2},
        {"skylake-avx512", "x86_64+avx2+fma+f16c+avx512", 512,
         SK_CPU_SSE41 | SK_CPU_AVX2 | SK_CPU_AVX512},
        {"alderlake", "x86_64+avx2+fma+f16c+avxvnni", 256,
         SK_CPU_SSE41 | SK_CPU_AVX2 | SK_CPU_AVXVNNI},
        {"znver4", "x86_64+avx2+fma+f16c+avx512+vbmi+vnni+bf16", 512,
         SK_CPU_SSE41 | SK_CPU_AVX2 | SK_CPU_AVX512 | SK_CPU_VBMI | SK_CPU_VNNI | SK_CPU_BF16},
    };
    for (size_t i = 0; i < SK_COUNT(row); i++) {
        const sk_target t = named(row[i].cpu);
        char arch[96];
        sk_cpu_arch_text(&t, arch);
        assert_string_equal(arch, row[i].arch);
        assert_string_equal(t.cpu, row[i].cpu);
        assert_int_equal(t.vector_bits, row[i].bits);
        assert_int_equal(t.features, row[i].features);
        assert_string_equal(t.triple, "x86_64-unknown-linux-gnu");
        assert_true(t.l1_bytes >= 16384 && t.l2_bytes > t.l1_bytes);
    }
}

static void every_name_is_found_and_others_are_not(void **state)
{
    (void)state;
    uint32_t n = 0;
    for (; sk_cpu_target_name(n); n++)
        assert_string_equal(named(sk_cpu_target_name(n)).cpu, sk_cpu_target_name(n));
    assert_true(n > 10);
    sk_target t;
    sk_err err = {0};
    assert_int_equal(sk_cpu_target_named("znver33", &t, &err), SPHKV_EINVAL);
    assert_non_null(strstr(err.message, "znver33"));
    assert_non_null(strstr(err.message, "znver5")); /* the list is whole */
    assert_int_equal(sk_cpu_target_named("", &t, &err), SPHKV_EINVAL); /* "cpu:", cut off */
    assert_non_null(strstr(err.message, "unknown CPU ''"));
    assert_string_equal(named("generic").cpu, "x86-64");
}

static void the_host_is_plausible(void **state)
{
    (void)state;
    sk_target host = named("host"), again;
    sk_cpu_facts facts;
    sk_cpu_target_host(&again);
    sk_cpu_facts_get(&facts);
    assert_memory_equal(&host, &again, sizeof host);
    assert_true(sk_cpu_target_runs(&host, &host));
    assert_true(facts.logical_cpus >= 1);
    assert_true(host.vector_bits == 128 || host.vector_bits == 256 || host.vector_bits == 512);
#if defined(__x86_64__)
    const sk_target least = named("x86-64");
    assert_true(sk_cpu_target_runs(&least, &host));
    assert_true(facts.vendor[0] != '\0');
    assert_true(!!(host.features & SK_CPU_AVX2) ==
                (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")));
    assert_true(!!(host.features & SK_CPU_AVX512) ==
                (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                 __builtin_cpu_supports("avx512cd")));
#endif
}

/* Every feature that we say is there or not, LLVM says alike. */
static void llvm_sees_the_same(void **state)
{
    (void)state;
    sk_jit jit;
    const sk_jit_llvm_api *api;
    sk_target ours = named("host"), theirs = {0};
    sk_err err = {0};
    sk_jit_init(&jit, true);
    if (sk_jit_get(&jit, &api, &err) != SPHKV_OK) {
        print_message("%s\n", err.message);
        sk_jit_close(&jit);
        skip();
    }
    sk_assert_ok(api->host(&theirs, &err), &err);
    sk_jit_close(&jit);
    if (strncmp(ours.cpu, "x86-64", 6) != 0) /* else a family that we do not know by name */
        assert_string_equal(ours.cpu, theirs.cpu);
    char text[sizeof theirs.feature_text + 2];
    (void)snprintf(text, sizeof text, ",%s", theirs.feature_text);
    for (const char *at = ours.feature_text; *at;) {
        const size_t len = strcspn(at, ",");
        char item[64], other[64];
        (void)snprintf(item, sizeof item, ",%.*s", (int)len, at);
        (void)snprintf(other, sizeof other, ",%c%.*s", at[0] == '+' ? '-' : '+', (int)len - 1,
                       at + 1);
        const char *found = strstr(text, other);
        if (found && (found[strlen(other)] == ',' || !found[strlen(other)]))
            fail_msg("we say %s, LLVM says %s", item + 1, other + 1);
        at += len;
        at += *at == ',';
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_contain_each_other),
        cmocka_unit_test(names_have_what_they_promise),
        cmocka_unit_test(every_name_is_found_and_others_are_not),
        cmocka_unit_test(the_host_is_plausible),
        cmocka_unit_test(llvm_sees_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
