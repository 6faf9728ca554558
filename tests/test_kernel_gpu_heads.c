/* test_kernel_gpu_heads.c - ranges of KV heads in the GPU forms of attn_extend and page_mass,
 * by the interpreter: a run of some heads leaves the rows of others alone, and runs of all of
 * them, a range each, write what one run writes. */
#include "sk_test.h"

#include "gpu_case.h"

#define E(dims, rest) "attn_extend " dims " l1 qf32 of32 if32 " rest
#define M(dims, rest) "page_mass " dims " l1 qf32 of32 if32 " rest
#define HEADS 3u

static const gpu_row rows[] = {
    {E("d32 v32 h2 p32", "tight good:vi8,kf16:vf16"), "form=tile", 0},
    {E("d32 v16 h3 p16", "fast kf16:vf16 sink window"), "form=tile", 90},
    {E("d32 v32 h2 p16", "exact good:vi8,kf16:vf16 headscale"), "", 75},
    {M("d32 v32 h2 p16", "tight good:vi8,kf16:vf16"), "", 0},
    {M("d16 v16 h18 p16", "tight kf16:vf16 sink"), "", 75},
};

static void set_range(sk_case *c, uint32_t first, uint32_t count)
{
    if (c->p.spec.kernel == SPHKV_ATTN_EXTEND) {
        c->args.extend[0].kv_head_first = first;
        c->args.extend[0].kv_head_count = count;
    } else {
        c->args.mass[0].kv_head_first = first;
        c->args.mass[0].kv_head_count = count;
    }
}

static void check_ranges(const gpu_built *b, bool shared, uint64_t seed)
{
    static const uint32_t range[][2] = {{1, 2}, {0, 1}};
    sk_case_params p = {.spec = b->spec, .copies = 1, .input = SK_IN_S1, .seed = seed, .uneven = true,
                        .lists_per_seq = shared ? 1 : HEADS};
    p.shape = (sk_shape){.batch = 3, .kv_heads = HEADS, .context = 3 * b->spec.page, .threads = 1};
    if (b->spec.kernel == SPHKV_ATTN_EXTEND) p.shape.q_len = 7;
    sphkv_maxima maxima;
    sk_image image;
    sk_case c;
    sk_err err = {0};
    double error, bound;
    size_t bytes;
    sk_assert_ok(sk_case_make(&p, &c, &err), &err);
    sk_assert_ok(gpu_run_case(b, &c, 2, &err), &err);
    sk_assert_ok(sk_case_judge(&c, 0, &error, &bound, &err), &err);
    const uint8_t *now = sk_case_result(&c, 0, &bytes);
    uint8_t *want = sk_malloc(bytes);
    assert_non_null(want);
    memcpy(want, now, bytes);
    sk_case_maxima(&c, 1, &maxima);
    gpu_image(b, &maxima, 2, &image);
    uint8_t *raw = sk_calloc(1, image.workspace + 64);
    assert_non_null(raw);
    sk_kernel_workspace(image.kernel, c.args.any, raw + (64 - (uintptr_t)raw % 64) % 64, image.workspace);
    sk_case_poison(&c, 0);
    for (uint32_t i = 0; i < SK_COUNT(range); i++) {
        set_range(&c, range[i][0], range[i][1]);
        sk_assert_ok(image.form->run(&image, sk_case_args(&c, 0), 0, 1, &err), &err);
        sk_assert_ok(sk_case_intact(&c, 0, &err), &err);
        assert_int_equal(memcmp(want, sk_case_result(&c, 0, &bytes), bytes) == 0, i + 1 == SK_COUNT(range));
    }
    sk_free(want);
    sk_free(raw);
    sk_case_free(&c);
}

static void ranges_of_heads(void **state)
{
    gpu_built b;
    gpu_build(*state, &b);
    for (uint32_t shared = 0; shared < 2; shared++) check_ranges(&b, shared, sk_test_seed(5) + shared);
    gpu_built_free(&b);
}

int main(void)
{
    struct CMUnitTest tests[SK_COUNT(rows)];
    char name[SK_COUNT(rows)][160];
    for (size_t i = 0; i < SK_COUNT(rows); i++) {
        snprintf(name[i], sizeof name[i], "%s %s", rows[i].spec, rows[i].schedule);
        tests[i] = (struct CMUnitTest){.name = name[i], .test_func = ranges_of_heads,
                                       .initial_state = (void *)(uintptr_t)&rows[i]};
    }
    return _cmocka_run_group_tests("gpu_heads", tests, SK_COUNT(tests), NULL, NULL);
}
