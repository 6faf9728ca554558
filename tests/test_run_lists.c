/* test_run_lists.c - lists whose tokens are more than places can be counted in: refused by
 * every kernel that goes by places, with the same arguments that run where the pages are
 * empty. All references name one page. */
#include "sk_test.h"

#include "run_case.h"

enum { D = 64, P = 256 };

static const struct {
    uint32_t kernel, variants;
    uint64_t most; /* tokens */
} kinds[] = {
    {SPHKV_ATTN_DECODE, SPHKV_VARIANT_WINDOW, UINT32_MAX},
    {SPHKV_PAGE_MASS, 0, UINT32_MAX},
    {SPHKV_ATTN_EXTEND, 0, INT32_MAX},
};

typedef union any_args {
    sphkv_attn_args attn;
    sphkv_mass_args mass;
    sphkv_extend_args extend;
} any_args;

/* One query over one list. */
static void fill(uint32_t kernel, const sphkv_page_table *table, const float *q, float *out,
                 const void *arena, any_args *a)
{
    static const uint32_t q_indptr[] = {0, 1};
    if (kernel == SPHKV_ATTN_DECODE)
        a->attn = (sphkv_attn_args){.size = sizeof a->attn, .batch = 1, .q = q, .out = out, .arena = arena,
                                    .arena_bytes = P * D * 4, .table = *table, .window = 1};
    else if (kernel == SPHKV_PAGE_MASS)
        a->mass = (sphkv_mass_args){.size = sizeof a->mass, .batch = 1, .q = q, .mass = out, .arena = arena,
                                    .arena_bytes = P * D * 4, .table = *table};
    else
        a->extend = (sphkv_extend_args){.size = sizeof a->extend, .batch = 1, .q_indptr = q_indptr, .q = q,
                                        .out = out, .arena = arena, .arena_bytes = P * D * 4,
                                        .table = *table};
}

static void check(sphkv_context *ctx, uint32_t kernel, uint32_t variants, uint64_t most)
{
    const uint32_t n = (uint32_t)(most / P) + 1;
    const uint32_t indptr[] = {0, n};
    const sphkv_spec_params spec = {.size = sizeof spec, .kernel = kernel, .head_dim = D, .page_tokens = P,
                                    .tiers = "kf16:vf16", .variants = variants};
    const sphkv_maxima maxima = {.size = sizeof maxima, .batch = 1, .kv_heads = 1, .pages_per_list = n};
    const size_t outputs = kernel == SPHKV_PAGE_MASS ? (size_t)n * P : D;
    uint64_t *refs = calloc(n, sizeof *refs);
    float q[D] = {0}, *out = calloc(outputs, sizeof *out);
    uint8_t *arena = aligned_alloc(128, P * D * 4);
    sphkv_plan *plan = NULL;
    sphkv_error err = {0};
    any_args args;
    assert_true(refs && out && arena);
    memset(arena, 0, P * D * 4);
    sk_assert_ok(sphkv_plan_create(ctx, &spec, &maxima, &plan, &err), &err);
    const size_t bytes = (sphkv_plan_workspace(plan) + 127) / 128 * 128;
    void *work = aligned_alloc(128, bytes + 128);
    assert_non_null(work);
    memset(work, 0, bytes);
    fill(kernel, &(sphkv_page_table){indptr, refs, 1, 1}, q, out, arena, &args);
    sk_kernel_workspace(sk_kernel_get(kernel), &args, work, bytes);
    if (kernel != SPHKV_PAGE_MASS) /* whose rows of zeros would be 16 GiB */
        assert_int_equal(sphkv_run(plan, &args, 0, 1), SPHKV_OK);
    for (uint32_t i = 0; i < n; i++) refs[i] = sphkv_page_ref(0, P, 0);
    assert_int_equal(sphkv_run(plan, &args, 0, 1), SPHKV_EINVAL);
    sphkv_plan_destroy(plan);
    free(refs);
    free(out);
    free(arena);
    free(work);
}

static void too_many_tokens(void **state)
{
    sphkv_context *ctx = run_open(*state, 0);
    for (uint32_t i = 0; i < SK_COUNT(kinds); i++)
        check(ctx, kinds[i].kernel, kinds[i].variants, kinds[i].most);
    sphkv_close(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(too_many_tokens, run_place_make, run_place_free)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
