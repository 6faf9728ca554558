/* test_kernel_gpu_small.c - the GPU forms of the kernels around attention, by the
 * interpreter: right by the reference on every input set, and the same bits as the
 * CPU's forms where nothing but the order of work differs; with few and with many
 * warps, more items than blocks could be at once, and none. */
#include "sk_test.h"

#include "gpu_case.h"

#define E(dims, mix) "kv_encode " dims " qf32 of32 if32 tight " mix
#define C(dims, mix) "token_compact " dims " qf32 of32 if32 tight " mix
#define R(dims, mix) "page_retier " dims " qf32 of32 if32 tight " mix
#define D(dims, out, mix) "page_decode " dims " qf32 " out " if32 tight " mix

static const gpu_row rows[] = {
    {"kv_append d128 v128 h1 p128 l1 qf32 of32 if16 tight kf16:vf16", "", 0},
    {"kv_append d96 v48 h1 p48 l1 qf32 of32 if32 tight kbf16:vf32", "warps=8", 0},
    {"kv_append d80 v16 h1 p16 l0 qf32 of32 ibf16 tight kf32:vbf16", "warps=1", 75},
    {"kv_append d48 v112 h1 p64 l0 qf32 of32 if32 tight kf16:vbf16", "warps=32", 0},
    {"page_gather d128 v128 h1 p128 l1 qf32 of32 if32 tight good:vi8,kf16:vf16", "", 0},
    {"page_gather d64 v64 h1 p64 l0 qf32 of32 if32 tight low:vi4,high:vi8,kf32:vf32",
     "warps=1,flight=1,pieces=16", 75},
    {"page_gather d64 v64 h1 p64 l0 qf32 of32 if32 tight lean:vf8,ki4:vi4",
     "warps=8,flight=8,pieces=1", 0},
    {"page_gather d16 v16 h1 p16 l0 qf32 of32 if32 tight kf16:vi4", "warps=2,flight=2,pieces=4", 0},
    {E("d128 v128 h1 p128 l1", "good:vi8,kf16:vf16"), "", 0},
    {E("d64 v48 h1 p48 l0", "high:vi4,kf32:vf32"), "", 75},
    {E("d64 v64 h1 p64 l1", "fine:vf8,kbf16:vf16"), "warps=2,etok=4", 0},
    {E("d96 v80 h1 p80 l1", "g3b5r4s6:vi8,kf16:vbf16"), "room=tables,warps=1", 0},
    {E("d64 v64 h1 p128 l1", "lean:vi4,kf16:vf16"), "room=global,warps=16", 0},
    {E("d64 v16 h1 p16 l0", "turbo:vf16,kf16:vf32"), "etok=2", 0},
    {E("d32 v32 h1 p64 l1", "g4b2r8:vi8,kf16:vf16"), "warps=32", 0},
    {E("d80 v64 h1 p64 l1", "ki8:vi8,kf16:vf16"), "", 75},
    {E("d96 v96 h1 p48 l0", "ki4:vi4,kf32:vbf16"), "warps=2", 0},
    {E("d80 v48 h1 p80 l0", "kf8:vf8,kf16:vf16"), "room=global", 0},
    {E("d48 v80 h1 p64 l1", "kbf16:vf32,kf32:vf16"), "", 0},
    {E("d64 v64 h1 p64 l1", "low:vbf16,kf16:vf32") " mean permutation", "", 0},
    {R("d128 v128 h1 p128 l1", "low:vi4,good:vi8"), "", 0},
    {R("d64 v48 h1 p48 l0", "high:vi4,fine:vf8"), "room=shared", 90},
    {R("d96 v64 h1 p64 l1", "kf16:vf16,g3b5r4s6:vi8"), "room=global,warps=16", 0},
    {R("d96 v80 h1 p80 l1", "64@good+32@ki8:vi8,kf8:vbf16"), "room=tables,warps=2,etok=2", 75},
    {R("d64 v64 h1 p16 l1", "sharp:vk,kf16p:vk"), "", 0},
    {R("d48 v32 h1 p64 l0", "kf32:vf32,mid:vi4") " mean permutation", "room=tables", 0},
    {R("d64 v16 h1 p32 l1", "ki4:vf8,g4b4x2r16sD:vi8") " mean permutation hadamard", "warps=1", 0},
    {D("d128 v128 h1 p128 l1", "of32", "good:vi8,kf16:vf16"), "", 0},
    {D("d80 v48 h1 p48 l0", "of16", "high:vi4,kf32:vf32,ki4:vf8"), "warps=2", 75},
    {D("d64 v64 h1 p64 l1", "obf16", "fine:vf8,kbf16:vf16,ki8:vi8"), "", 0},
    {D("d96 v80 h1 p80 l1", "of32", "g3b5r4s6:vi8,kf8:vbf16"), "warps=32", 0},
    {D("d16 v16 h1 p16 l0", "of16", "g1b7r8s16:vf32,kf8:vi8"), "warps=1", 0},
    {D("d64 v112 h1 p64 l1", "of16", "lean:vi4,turbo:vi8") " mean permutation", "", 0},
    {D("d48 v32 h1 p64 l1", "of32", "mid:vi4") " permutation", "", 0},
    {C("d128 v128 h1 p128 l1", "good:vi8,kf16:vf16"), "", 0},
    {C("d96 v48 h1 p48 l0", "high:vi4,g3b5r4s6:vi8,kf32:vf32"), "warps=2", 75},
    {C("d64 v64 h1 p64 l1", "fine:vf8,ki4:vi8,kf8:vi4,mid:vbf16"), "warps=32", 0},
    {C("d32 v16 h1 p8 l1", "16@g4b3r8+16@ki8:vi8,sharp:vk"), "warps=1", 0},
    {"page_mass d128 v128 h4 p128 l1 qf32 of32 if32 tight good:vi8,kf16:vf16", "", 0},
    {"page_mass d16 v16 h18 p16 l0 qf32 of32 if32 tight mid:vi4,kf32:vf32", "blocks=1", 75},
    {"page_mass d64 v64 h3 p64 l1 qf16 of32 if32 exact high:vi8,kf32:vf32 softcap sink headscale", "blocks=2", 0},
    {"attn_merge d128 v128 h4 p128 l0 qf32 of32 if32 tight kf16:vf16", "", 0},
    {"attn_merge d128 v80 h3 p128 l0 qf32 of16 if16 tight kf16:vf16", "warps=8", 0},
    {"attn_merge d128 v16 h1 p128 l0 qf32 obf16 if32 tight kf16:vf16", "warps=1", 75},
    {"attn_merge d128 v272 h5 p128 l0 qf32 of32 ibf16 tight kf16:vf16", "warps=32", 0},
    {"attn_schedule d128 v128 h4 p128 l1 qf32 of32 if32 tight good:vi8,kf16:vf16", "", 0},
    {"attn_schedule d64 v64 h1 p16 l1 qf32 of32 if32 tight high:vi4,low:vi4,kf32:vf32", "warps=1", 75},
    {"attn_schedule d64 v64 h1 p64 l1 qf32 of32 if32 tight kf16:vf16", "warps=8", 0},
};

static void whole_check(void **state)
{
    const gpu_row *row = *state;
    const sphkv_maxima maxima = {.size = sizeof maxima, .batch = 1, .kv_heads = 1,
                                 .pages_per_list = 1, .parts = 1};
    gpu_built b;
    sk_image image;
    sk_err err = {0};
    gpu_build(row, &b);
    gpu_image(&b, &maxima, 2, &image);
    sk_assert_ok(sk_image_check(&image, sk_test_seed(7), NULL, &err), &err);
    gpu_built_free(&b);
}

/* ---- the same bits as on a CPU -------------------------------------------------- */

/* With 16 lanes where that can be. */
static void build_for_cpu(const sk_spec *spec, gpu_built *out)
{
    const sk_target target = {.vector_bits = 512};
    const sk_kernel *kernel = sk_kernel_get(spec->kernel);
    sk_schedule first, wide;
    sk_err err = {0};
    sk_kernel_default(kernel, spec, &target, &first);
    wide = first;
    wide.v[SK_T_w] = 16;
    if (spec->kernel == SPHKV_KV_ENCODE) wide.v[SK_T_etok] = 1;
    const bool fits = sk_kernel_valid(kernel, spec, &wide, &target, NULL) == SPHKV_OK;
    sk_assert_ok(gpu_make(spec, fits ? &wide : &first, out, &err), &err);
}

static void same_bits(void **state)
{
    const gpu_row *row = *state;
    gpu_built gpu, cpu;
    sk_err err = {0};
    gpu_build(row, &gpu);
    build_for_cpu(&gpu.spec, &cpu);
    for (uint32_t i = 0; i < SK_INPUT_COUNT; i++) {
        sk_case_params p = {.spec = gpu.spec, .copies = 1, .input = (sk_input)i,
                            .seed = sk_test_seed(11) + i, .uneven = i % 2 == 0,
                            .lists_per_seq = 1};
        p.shape = (sk_shape){.batch = 3, .kv_heads = 2, .context = gpu.spec.page, .threads = 1};
        sk_assert_ok(gpu_same_bits(&cpu, &gpu, &p, &err), &err);
    }
    gpu_built_free(&gpu);
    gpu_built_free(&cpu);
}

/* ---- edges --------------------------------------------------------------------------- */

static sk_status run_one(const gpu_built *b, const void *args, uint32_t part, uint32_t parts,
                         sk_err *err)
{
    const sphkv_maxima maxima = {.size = sizeof maxima, .batch = 8, .kv_heads = 1,
                                 .pages_per_list = 1, .parts = parts};
    sk_image image;
    gpu_image(b, &maxima, 2, &image);
    return image.form->run(&image, args, part, parts, err);
}

static void no_items(void **state)
{
    (void)state;
    sk_err err = {0};
    gpu_built b;
    gpu_build(&rows[0], &b);
    sk_assert_ok(run_one(&b, &(sphkv_append_args){.size = sizeof(sphkv_append_args)}, 0, 1, &err), &err);
    gpu_built_free(&b);
    gpu_build(&rows[4], &b);
    sk_assert_ok(run_one(&b, &(sphkv_gather_args){.size = sizeof(sphkv_gather_args)}, 0, 1, &err), &err);
    gpu_built_free(&b);
    gpu_build(&(gpu_row){C("d64 v64 h1 p64 l1", "good:vi8"), "", 0}, &b);
    sk_assert_ok(run_one(&b, &(sphkv_compact_args){.size = sizeof(sphkv_compact_args)}, 0, 1, &err), &err);
    gpu_built_free(&b);
}

/* The host reads nothing behind a pointer: these lead nowhere. */
static void refusals(void **state)
{
    (void)state;
    gpu_built b;
    sk_err err = {0};
    const void *const far = (const void *)(uintptr_t)0x7000;
    gpu_build(&rows[4], &b);
    const sphkv_gather_args good = {.size = sizeof good, .items_count = 9, .items = far,
                                    .src_arena = far, .src_arena_bytes = 1 << 20,
                                    .dst_arena = (void *)(uintptr_t)0x7000,
                                    .dst_arena_bytes = 1 << 20};
    sphkv_gather_args a = good;
    assert_int_equal(run_one(&b, &a, 0, 1, &err), SPHKV_EINVAL); /* more than the plan's */
    a.items_count = 3;
    assert_int_equal(run_one(&b, &a, 0, 2, &err), SPHKV_EINVAL);
    assert_non_null(strstr(err.message, "one part"));
    a.items = (const void *)(uintptr_t)0x7002;
    assert_int_equal(run_one(&b, &a, 0, 1, &err), SPHKV_EINVAL);
    a.items = far;
    a.dst_arena = (void *)(uintptr_t)0x7010;
    assert_int_equal(run_one(&b, &a, 0, 1, &err), SPHKV_EINVAL);
    a.dst_arena = NULL;
    assert_int_equal(run_one(&b, &a, 0, 1, &err), SPHKV_EINVAL);
    gpu_built_free(&b);
}

int main(void)
{
    struct CMUnitTest tests[2 * SK_COUNT(rows) + 2];
    char name[2 * SK_COUNT(rows)][160];
    size_t n = 0;
    for (size_t i = 0; i < SK_COUNT(rows); i++) {
        const bool exact = strncmp(rows[i].spec, "attn", 4) != 0 && strncmp(rows[i].spec, "page_mass", 9) != 0;
        for (uint32_t k = 0; k < (exact ? 2u : 1u); k++, n++) {
            snprintf(name[n], sizeof name[n], "%s%s %s", k ? "as on a CPU: " : "", rows[i].spec,
                     rows[i].schedule);
            tests[n] = (struct CMUnitTest){.name = name[n],
                                           .test_func = k ? same_bits : whole_check,
                                           .initial_state = (void *)(uintptr_t)&rows[i]};
        }
    }
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(no_items);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(refusals);
    return _cmocka_run_group_tests("gpu_small", tests, n, NULL, NULL);
}
