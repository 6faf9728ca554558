/* test_code_nvrtc_ops.c - every op of the IR, as the CUDA back end writes it, is taken
 * by the NVRTC of this machine and spills nothing, for one architecture, or for all
 * (SK_CASES=8), which takes a minute or two; errors name the line of the unit. Skipped where
 * there is none. */
#include "sk_test.h"

#include "cuda_build.h"
#include "op_cases.h"

static sk_nvrtc nvrtc;
static const sk_nvrtc_api *api;

/* Of bf16 factors only sm_80 and later have products. */
static bool has_mma_bf16(const sk_program *p)
{
    for (uint32_t i = 0; i < p->ninstr; i++)
        if (p->instr[i].op == SK_OP_MMA && p->instr[i].imm == 1)
            return true;
    return false;
}

/* All cases of W = 32 that the architecture has, in one text. */
static void test_ops(void **state)
{
    const char *arch = *state;
    sk_arena mem = {0};
    sk_err err = {0};
    sk_text text = {0};
    uint32_t n = 0;
    if (sk_nvrtc_has_arch(api, arch, &err)) {
        printf("%s\n", err.message);
        skip();
    }
    const uint32_t cases = sk_op_case_count();
    sk_program **programs = sk_arena_alloc(&mem, cases * sizeof *programs);
    const char **names = sk_arena_alloc(&mem, cases * sizeof *names);
    assert_true(programs && names);
    for (uint32_t i = 0; i < cases; i++) {
        char symbol[40];
        if (!sk_op_case_fits(i, 32))
            continue;
        sk_assert_ok(sk_op_case_build(i, 32, &mem, &programs[n], &err), &err);
        if (strcmp(arch, "sm_75") == 0 && has_mma_bf16(programs[n]))
            continue;
        snprintf(symbol, sizeof symbol, "sk_case_%u", i);
        names[n] = programs[n]->symbol = sk_arena_strdup(&mem, symbol);
        assert_non_null(names[n]);
        n++;
    }
    sk_text_printf(&text, "%s", sk_cuda_prelude());
    sk_assert_ok(sk_emit_cuda((const sk_program *const *)programs, n, NULL, &text, &err), &err);
    assert_false(text.failed);
    const sk_nvrtc_job job = {.text = text.s, .arch = arch, .entries = names, .nentry = n};
    sk_nvrtc_code code;
    sk_cuda_resources *r = sk_arena_alloc(&mem, n * sizeof *r);
    assert_non_null(r);
    sk_assert_ok(sk_nvrtc_compile(api, &job, &code, r, &err), &err);
    for (uint32_t i = 0; i < n; i++)
        if (sk_cuda_spilled(&r[i]))
            fail_msg("%s spills %u bytes for %s", names[i], sk_cuda_spilled(&r[i]), arch);
    printf("%s: %u programs, CUBIN of %zu bytes\n", arch, n, code.cubin_size);
    sk_nvrtc_code_free(&code);
    sk_text_free(&text);
    sk_arena_free(&mem);
}

/* Text of a kernel that was written by hand, and a mistake in its second line. */
static void test_source(void **state)
{
    (void)state;
    static const char *const text[] = {
        "EXTERN_C SK_HERE_NOT void sk_mine(u8 *out)\n{\n    out[0] = (u8)lane_index();\n}\n",
        "extern \"C\" __global__ void sk_mine(u8 *out)\n{ st_u32(out, 0, what); }\n",
        "extern \"C\" __global__ void sk_mine(u32 *out)\n{\n    out[lane_index()] = warp_index();\n}\n",
    };
    sk_program stub = {.symbol = "sk_mine", .w = 32, .warps = 1};
    sk_code_ir ir = {.build = {.n = 1, .program = {&stub}}};
    sk_spec spec = {0};
    sk_schedule schedule;
    sk_nvrtc_code code;
    sk_cuda_resources r[SK_MAX_ENTRIES];
    sk_err err = {0};
    sk_schedule_begin(SK_BACKEND_CUDA, &schedule);
    for (uint32_t i = 0; i < 2; i++) {
        ir.build.source = text[i];
        assert_int_equal(sk_cuda_build(&ir, &spec, &schedule, api, "sm_80", 0, &code, r, &err),
                         SPHKV_ECOMPILE);
        if (!strstr(err.message, i ? "line 2: " : "line 1: ")) fail_msg("%s", err.message);
    }
    ir.build.source = text[2];
    sk_assert_ok(sk_cuda_build(&ir, &spec, &schedule, api, "sm_80", 0, &code, r, &err), &err);
    assert_true(r[0].registers > 0 && sk_cuda_spilled(&r[0]) == 0);
    assert_true(code.cubin_driver && code.ptx_driver);
    sk_nvrtc_code_free(&code);
}

int main(void)
{
    static const char *const archs[] = {"sm_75", "sm_90", "sm_80", "sm_86",
                                        "sm_89", "sm_90a", "sm_100", "sm_120"};
    struct CMUnitTest tests[1 + SK_COUNT(archs)] = {cmocka_unit_test(test_source)};
    sk_err err = {0};
    sk_nvrtc_init(&nvrtc, true, 0);
    int failed = sk_nvrtc_get(&nvrtc, &api, &err) ? sk_test_skip(err.message) : 0;
    if (!failed) {
        const uint32_t asked = sk_test_cases(1);
        const uint32_t n = asked < SK_COUNT(archs) ? asked : SK_COUNT(archs);
        for (uint32_t i = 0; i < n; i++)
            tests[1 + i] = (struct CMUnitTest){archs[i], test_ops, NULL, NULL, (void *)(uintptr_t)archs[i]};
        failed = _cmocka_run_group_tests("code_nvrtc_ops", tests, 1 + n, NULL, NULL);
    }
    sk_nvrtc_close(&nvrtc);
    return failed;
}
