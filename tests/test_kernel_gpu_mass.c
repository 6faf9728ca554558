/* test_kernel_gpu_mass.c - page_mass on a GPU, by the interpreter, with few and many blocks:
 * more queries than one launch has sums for, held against the form of a CPU; LSE that are
 * given and do not know the sum, as those of lists of nothing but masked tokens. */
#include "sk_test.h"

#include <math.h>

#include "gpu_case.h"

#define G(dims, mix) "page_mass " dims " qf32 of32 if32 tight " mix
#define MANY 150u /* queries: three launches of each kind */

static const gpu_row rows[] = {
    {G("d32 v32 h2 p32 l1", "good:vi8,kf16:vf16"), "", 0},
    {G("d16 v16 h18 p16 l0", "mid:vi4,kf32:vf32"), "blocks=1", 75},
    {G("d32 v32 h3 p16 l1", "lean:vi8,ki8:vf16") " mean sink bias positions", "blocks=4", 90},
};

/* Masses of a run, all rows that lists have. */
static float *masses(const gpu_built *b, sk_case *c, sphkv_mass_args *a, size_t n)
{
    const size_t row = b->spec.page + 1u;
    sphkv_maxima maxima;
    sk_image image;
    sk_err err = {0};
    sk_case_maxima(c, 1, &maxima);
    gpu_image(b, &maxima, 3, &image);
    float *out = sk_calloc(n * row, sizeof *out);
    uint8_t *raw = sk_malloc(image.workspace + 64);
    assert_true(out && raw);
    uint8_t *space = raw + (64 - (uintptr_t)raw % 64) % 64;
    memset(space, 0xa5, image.workspace);
    a->mass = out;
    a->page_mass = out + n * b->spec.page;
    a->workspace = space;
    a->workspace_bytes = image.workspace;
    sk_assert_ok(image.form->run(&image, a, 0, 1, &err), &err);
    sk_free(raw);
    return out;
}

/* On a GPU as on a CPU, with LSE given or not. */
static void same_masses(const gpu_built *gpu, const gpu_built *cpu, sk_case *c, sphkv_mass_args *a,
                        const float *lse, const float *on_cpu)
{
    const size_t n = a->table.indptr[a->table.lists];
    a->lse = on_cpu;
    float *want = masses(cpu, c, a, n);
    a->lse = lse;
    float *got = masses(gpu, c, a, n);
    double sum = 0, off = 0;
    for (size_t i = 0; i < n * (gpu->spec.page + 1u); i++) {
        sum += (double)want[i];
        off += fabs((double)want[i] - (double)got[i]);
    }
    if (!(off <= 1e-4 * sum) || sum < 1) fail_msg("off by %.3g of %.3g", off, sum);
    a->lse = NULL;
    sk_free(want);
    sk_free(got);
}

/* All biases of the first list minus infinity. */
static void masked_list(const gpu_built *gpu, const gpu_built *cpu, sk_case *c, sphkv_mass_args *a)
{
    const uint32_t page = gpu->spec.page;
    const size_t n = (size_t)a->table.indptr[a->table.lists] * page;
    const size_t rows = (size_t)a->batch * MANY * 2 * gpu->spec.heads_per_kv;
    float *bias = sk_calloc(n, sizeof *bias), *lse = sk_malloc(rows * sizeof *lse);
    assert_true(bias && lse && a->table.indptr[1] > a->table.indptr[0]);
    for (size_t i = 0; i < (size_t)a->table.indptr[1] * page; i++) bias[i] = -INFINITY;
    for (size_t i = 0; i < rows; i++) lse[i] = -1e30f;
    a->bias = bias;
    a->sinks = NULL;
    same_masses(gpu, cpu, c, a, NULL, NULL);
    same_masses(gpu, cpu, c, a, lse, NULL);
    for (size_t i = 0; i < rows; i += 2) lse[i] = 3;
    same_masses(gpu, cpu, c, a, lse, lse);
    sk_free(bias);
    sk_free(lse);
}

/* A case's lists under MANY queries. */
static void many_queries(void **state)
{
    const gpu_row *row = *state;
    const sk_target here = {.vector_bits = 256};
    gpu_built gpu, cpu;
    sk_case c;
    sk_rng rng;
    sk_err err = {0};
    gpu_build(row, &gpu);
    gpu_build_for(row->spec, "", &here, &cpu);
    sk_case_params p = {.spec = gpu.spec, .copies = 1, .input = SK_IN_S1, .seed = sk_test_seed(5),
                        .lists_per_seq = 2};
    p.shape = (sk_shape){.batch = 2, .kv_heads = 2, .context = 3 * gpu.spec.page, .threads = 1};
    sk_assert_ok(sk_case_make(&p, &c, &err), &err);
    sphkv_mass_args a = c.args.mass[0];
    const uint32_t heads = 2 * gpu.spec.heads_per_kv;
    const size_t all = (size_t)2 * MANY * heads * gpu.spec.d;
    float *q = sk_malloc(all * sizeof *q);
    uint32_t *where = sk_malloc(2 * MANY * sizeof *where);
    assert_true(q && where);
    sk_rng_seed(&rng, p.seed);
    for (size_t i = 0; i < all; i++) q[i] = (float)sk_rng_below(&rng, 2000) / 500.0f - 2.0f;
    for (uint32_t i = 0; i < 2 * MANY; i++) where[i] = sk_rng_below(&rng, 4 * gpu.spec.page);
    a.q = q;
    a.q_len = MANY;
    a.q_stride_seq = a.q_stride_tok = a.q_stride_head = a.lse_stride_seq = a.lse_stride_tok = 0;
    a.lse = NULL;
    if (a.q_positions) a.q_positions = where;
    same_masses(&gpu, &cpu, &c, &a, NULL, NULL);
    if (a.bias) masked_list(&gpu, &cpu, &c, &a);
    sk_free(q);
    sk_free(where);
    sk_case_free(&c);
    gpu_built_free(&gpu);
    gpu_built_free(&cpu);
}

int main(void)
{
    struct CMUnitTest tests[SK_COUNT(rows)];
    char name[SK_COUNT(rows)][160];
    for (size_t i = 0; i < SK_COUNT(rows); i++) {
        snprintf(name[i], sizeof name[i], "many queries: %s %s", rows[i].spec, rows[i].schedule);
        tests[i] = (struct CMUnitTest){.name = name[i], .test_func = many_queries,
                                       .initial_state = (void *)(uintptr_t)&rows[i]};
    }
    return _cmocka_run_group_tests("gpu_mass", tests, SK_COUNT(tests), NULL, NULL);
}
