/* test_prop_books.c - laws of codebook sets with a mean and a permutation that need
 * no reference: over the same pages a permuted set gives what a plain one gives to a
 * permuted query, bit for bit; a mean moves every logit by <q, mean> and nothing
 * else; and a set whose permutation is damaged never leads a kernel astray. */
#include "sk_test.h"

#include <math.h>

#include "kernel_cases.h"

#define SPEC(h, tiers, book) "attn_decode d64 v64 h" h " p64 l1 qf32 of32 if32 exact " tiers book

enum { BATCH = 2, MAX_HEADS = 6, D = 64 };

typedef struct answer {
    float out[BATCH * MAX_HEADS * D], lse[BATCH * MAX_HEADS];
} answer;

static void build(kernel_lab *lab, const char *spec, kernel_built *b)
{
    const kernel_row row = {spec, "", 0};
    kernel_build(lab, &row, b);
}

static void ask(const kernel_built *b, const sk_case *c, sphkv_attn_args *a, answer *to)
{
    sphkv_maxima maxima;
    sk_image image;
    sk_err err = {0};
    a->out = to->out;
    a->out_stride_head = a->out_stride_seq = 0;
    a->lse = to->lse;
    sk_case_maxima(c, 1, &maxima);
    kernel_image(b, b->code != NULL, &maxima, &image);
    sk_assert_ok(kernel_run(&image, a, 1, &err), &err);
}

/* Dimension i of what a coded tier sees of a key, and of a query. */
static uint32_t from_of(const sk_spec *spec, const uint8_t *book, uint32_t i)
{
    uint32_t from = i;
    if (spec->book & SPHKV_BOOK_PERMUTATION)
        memcpy(&from, book + sk_codebook_permutation_off(spec) + i * 4, 4);
    return from;
}

static double mean_of(const sk_spec *spec, const uint8_t *book, uint32_t i)
{
    float mean = 0;
    if (spec->book & SPHKV_BOOK_MEAN)
        memcpy(&mean, book + sk_codebook_mean_off(spec) + i * 4, 4);
    return (double)mean;
}

/* The framed set against its plain tables, with queries permuted for those. */
static void check_law(kernel_lab *lab, const char *framed_text, const char *plain_text)
{
    kernel_built framed, plain;
    sk_case c;
    sk_err err = {0};
    build(lab, framed_text, &framed);
    build(lab, plain_text, &plain);
    const uint32_t hpk = framed.spec.heads_per_kv, heads = KERNEL_HEADS * hpk;
    const uint32_t stride = sk_codebook_head_bytes(&framed.spec);
    const uint32_t bare = sk_codebook_head_bytes(&plain.spec);
    const sk_case_params p = {.spec = framed.spec, .shape = {BATCH, KERNEL_HEADS, 150, 1},
                              .lists_per_seq = 1, .input = SK_IN_S1, .seed = lab->seed,
                              .copies = 1};
    sk_assert_ok(sk_case_make(&p, &c, &err), &err);
    sphkv_attn_args a = c.args.attn[0];
    const float *q = a.q;
    const uint8_t *books = a.codebook;
    static answer with, without;
    static float turned[BATCH * MAX_HEADS * D];
    uint8_t *tables = sk_malloc((size_t)bare * KERNEL_HEADS);
    assert_non_null(tables);
    ask(&framed, &c, &a, &with);
    for (uint32_t h = 0; h < KERNEL_HEADS; h++)
        memcpy(tables + h * bare, books + h * stride, bare);
    for (uint32_t row = 0; row < BATCH * heads; row++)
        for (uint32_t i = 0; i < D; i++) {
            uint32_t at = row / heads * a.q_stride_seq + row % heads * a.q_stride_head;
            turned[row * D + i] =
                q[at + from_of(&framed.spec, books + row % heads / hpk * stride, i)];
        }
    a.codebook = tables;
    a.codebook_bytes = (size_t)bare * KERNEL_HEADS;
    a.q = turned;
    a.q_stride_head = a.q_stride_seq = 0;
    ask(&plain, &c, &a, &without);
    for (uint32_t row = 0; row < BATCH * heads; row++) {
        const uint8_t *book = books + row % heads / hpk * stride;
        double moved = 0;
        for (uint32_t i = 0; i < D; i++)
            moved += (double)turned[row * D + i] *
                     mean_of(&framed.spec, book, from_of(&framed.spec, book, i)) / sqrt(D);
        assert_true(fabs((double)with.lse[row] - (double)without.lse[row] - moved) < 1e-4);
        if (framed.spec.book & SPHKV_BOOK_MEAN)
            assert_true(fabs(moved) > 1e-3); /* or the law says nothing */
    }
    if (framed.spec.book & SPHKV_BOOK_MEAN) {
        assert_true(kernel_difference(with.out, without.out, BATCH * heads * D) < 1e-5);
    } else {
        assert_memory_equal(with.out, without.out, BATCH * heads * D * sizeof(float));
        assert_memory_equal(with.lse, without.lse, BATCH * heads * sizeof(float));
    }
    sk_free(tables);
    sk_case_free(&c);
    kernel_built_free(&plain);
    kernel_built_free(&framed);
}

static void test_plain_set(void **state)
{
    check_law(*state, SPEC("3", "good:vf32", " permutation"), SPEC("3", "good:vf32", ""));
    check_law(*state, SPEC("2", "mid:vi8,good:vi8", " permutation"),
              SPEC("2", "mid:vi8,good:vi8", ""));
    check_law(*state, SPEC("3", "high:vf32", " mean"), SPEC("3", "high:vf32", ""));
    check_law(*state, SPEC("1", "good:vi8", " mean permutation"), SPEC("1", "good:vi8", ""));
}

/* Indices beyond the head: interpreted, where a stray access is a fault, and compiled. */
static void test_damaged_permutation(void **state)
{
    static const char *const specs[] = {
        SPEC("2", "good:vi8,kf16:vf16", " mean permutation"),
        "kv_encode d64 v64 h1 p64 l1 qf32 of32 if32 tight good:vi8,kf16:vf16 mean permutation",
        "page_decode d64 v64 h1 p64 l1 qf32 of32 if32 tight good:vi8,kf16:vf16 mean permutation"};
    for (uint32_t n = 0; n < SK_COUNT(specs); n++) {
        kernel_built b;
        sk_case c;
        sk_err err = {0};
        build(*state, specs[n], &b);
        const sk_case_params p = kernel_params(&b, SK_IN_S1, true, 5);
        sk_assert_ok(sk_case_make(&p, &c, &err), &err);
        const void *books = n == 0   ? c.args.attn[0].codebook
                            : n == 1 ? c.args.encode[0].codebook
                                     : c.args.decode[0].codebook;
        uint8_t *at = (uint8_t *)(uintptr_t)books + sk_codebook_permutation_off(&b.spec);
        for (uint32_t i = 0; i < D; i++) {
            const uint32_t wild[] = {0xffffffff, D, 0x40000000, 0x80000001};
            memcpy(at + i * 4, &wild[i % 4], 4);
        }
        for (uint32_t compiled = 0; compiled < (b.code ? 2u : 1u); compiled++) {
            sphkv_maxima maxima;
            sk_image image;
            sk_case_maxima(&c, 1, &maxima);
            kernel_image(&b, compiled, &maxima, &image);
            sk_assert_ok(kernel_run(&image, sk_case_args(&c, 0), 1, &err), &err);
        }
        sk_case_free(&c);
        kernel_built_free(&b);
    }
}

int main(void)
{
    kernel_lab lab;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_plain_set, &lab),
        cmocka_unit_test_prestate(test_damaged_permutation, &lab),
    };
    kernel_lab_open(&lab);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kernel_lab_close(&lab);
    return failed;
}
