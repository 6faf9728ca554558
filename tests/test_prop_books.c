/* test_prop_books.c - laws of codebook sets with a mean, a permutation and a transform that
 * need no reference: over the same pages a permuted set gives what a plain one gives to a
 * permuted query, bit for bit, and a transformed one what a plain one gives to a transformed
 * query; a mean moves every logit by <q, mean> and nothing else; the identity as a transform
 * changes no bit, and a Hadamard transform is what its matrix is; and a set whose permutation
 * is damaged never leads a kernel astray. */
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

static double transform_of(const sk_spec *spec, const uint8_t *book, uint32_t i, uint32_t j)
{
    const bool matrix = (spec->book & SPHKV_BOOK_TRANSFORM) != 0;
    float x;
    if (!sk_spec_turned(spec)) return i == j;
    memcpy(&x, book + sk_codebook_transform_off(spec) + (matrix ? j * D + i : j) * 4, 4);
    return !matrix && __builtin_popcount(i & j) % 2 ? -(double)x : (double)x;
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
            const uint8_t *book = books + row % heads / hpk * stride;
            double x = 0;
            for (uint32_t j = 0; j < D; j++)
                x += transform_of(&framed.spec, book, i, j) *
                     (double)q[at + from_of(&framed.spec, book, j)];
            turned[row * D + i] = (float)x;
        }
    a.codebook = tables;
    a.codebook_bytes = (size_t)bare * KERNEL_HEADS;
    sphkv_attn_args bare_args = a;
    bare_args.q = turned;
    bare_args.q_stride_head = bare_args.q_stride_seq = 0;
    ask(&plain, &c, &bare_args, &without);
    for (uint32_t row = 0; row < BATCH * heads; row++) {
        const uint8_t *book = books + row % heads / hpk * stride;
        double moved = 0;
        const uint32_t at = row / heads * a.q_stride_seq + row % heads * a.q_stride_head;
        for (uint32_t i = 0; i < D; i++)
            moved += (double)q[at + i] * mean_of(&framed.spec, book, i) / sqrt(D);
        assert_true(fabs((double)with.lse[row] - (double)without.lse[row] - moved) < 1e-4);
        if (framed.spec.book & SPHKV_BOOK_MEAN)
            assert_true(fabs(moved) > 1e-3); /* or the law says nothing */
    }
    if (framed.spec.book & ~SPHKV_BOOK_PERMUTATION) {
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
    check_law(*state, SPEC("3", "good:vf32", " transform"), SPEC("3", "good:vf32", ""));
    check_law(*state, SPEC("2", "high:vf32", " mean permutation hadamard"),
              SPEC("2", "high:vf32", ""));
    check_law(*state, SPEC("2", "g4b4x2r16sD:vf32", " mean transform"),
              SPEC("2", "g4b4x2r16sD:vf32", ""));
}

/* ---- transforms -------------------------------------------------------------------- */

typedef double entry_fn(const uint8_t *signs, uint32_t i, uint32_t j);

static double identity(const uint8_t *signs, uint32_t i, uint32_t j)
{
    (void)signs;
    return i == j;
}

static double hadamard(const uint8_t *signs, uint32_t i, uint32_t j)
{
    float x;
    memcpy(&x, signs + j * 4, 4);
    return __builtin_popcount(i & j) % 2 ? -(double)x : (double)x;
}

/* A case of `text`, its books again with a matrix in place of their transform, or behind
 * all else, for the same kernel of sets with a matrix. */
static uint8_t *with_matrix(const sk_spec *from, const sk_spec *to, const uint8_t *books, entry_fn *entry)
{
    const uint32_t stride = sk_codebook_head_bytes(from), wide = sk_codebook_head_bytes(to);
    const uint32_t at = sk_codebook_transform_off(to), old = sk_codebook_transform_off(from);
    uint8_t *out = sk_calloc(KERNEL_HEADS, wide);
    assert_non_null(out);
    for (uint32_t h = 0; h < KERNEL_HEADS; h++) {
        const uint8_t *book = books + h * stride;
        memcpy(out + h * wide, book, old == SK_NO_FIELD ? stride : old);
        for (uint32_t n = 0; n < D * D; n++) {
            const float x = (float)entry(old == SK_NO_FIELD ? NULL : book + old, n % D, n / D);
            memcpy(out + h * wide + at + n * 4, &x, 4);
        }
    }
    return out;
}

static void check_matrix(kernel_lab *lab, const char *text, const char *matrix_text, entry_fn *entry,
                         double near)
{
    kernel_built one, other;
    sk_case c;
    sk_err err = {0};
    static answer with, without;
    build(lab, text, &one);
    build(lab, matrix_text, &other);
    const sk_case_params p = {.spec = one.spec, .shape = {BATCH, KERNEL_HEADS, 150, 1},
                              .lists_per_seq = 1, .input = SK_IN_S1, .seed = lab->seed,
                              .copies = 1};
    const size_t n = BATCH * KERNEL_HEADS * one.spec.heads_per_kv;
    sk_assert_ok(sk_case_make(&p, &c, &err), &err);
    sphkv_attn_args a = c.args.attn[0];
    ask(&one, &c, &a, &without);
    uint8_t *books = with_matrix(&one.spec, &other.spec, a.codebook, entry);
    a.codebook = books;
    a.codebook_bytes = (size_t)sk_codebook_head_bytes(&other.spec) * KERNEL_HEADS;
    ask(&other, &c, &a, &with);
    assert_true(kernel_difference(with.out, without.out, n * D) <= near);
    assert_true(kernel_difference(with.lse, without.lse, n) <= near);
    sk_free(books);
    sk_case_free(&c);
    kernel_built_free(&one);
    kernel_built_free(&other);
}

static void test_identity(void **state)
{
    check_matrix(*state, SPEC("3", "good:vf32,kf16:vf16", ""),
                 SPEC("3", "good:vf32,kf16:vf16", " transform"), identity, 0);
    check_matrix(*state, SPEC("2", "high:vi8", " mean permutation"),
                 SPEC("2", "high:vi8", " mean permutation transform"), identity, 0);
    check_matrix(*state, SPEC("2", "lean:vk", ""), SPEC("2", "lean:vk", " transform"), identity, 1e-6);
}

static void test_hadamard(void **state)
{
    check_matrix(*state, SPEC("3", "good:vf32,kf16:vf16", " hadamard"),
                 SPEC("3", "good:vf32,kf16:vf16", " transform"), hadamard, 1e-5);
    check_matrix(*state, SPEC("2", "high:vf32", " mean permutation hadamard"),
                 SPEC("2", "high:vf32", " mean permutation transform"), hadamard, 1e-5);
}

/* Indices beyond the head: interpreted, where a stray access is a fault, and compiled. */
static void test_damaged_permutation(void **state)
{
    static const char *const specs[] = {
        SPEC("2", "good:vi8,kf16:vf16", " mean permutation"),
        SPEC("2", "good:vi8,kf16:vf16", " permutation transform"),
        "kv_encode d64 v64 h1 p64 l1 qf32 of32 if32 tight good:vi8,kf16:vf16 mean permutation",
        "kv_encode d64 v64 h1 p64 l1 qf32 of32 if32 tight good:vi8,kf16:vf16 permutation hadamard",
        "page_decode d64 v64 h1 p64 l1 qf32 of32 if32 tight good:vi8,kf16:vf16 mean permutation",
        "page_decode d64 v64 h1 p64 l1 qf32 of32 if32 tight good:vi8,kf16:vf16 permutation hadamard"};
    for (uint32_t n = 0; n < SK_COUNT(specs); n++) {
        kernel_built b;
        sk_case c;
        sk_err err = {0};
        build(*state, specs[n], &b);
        const sk_case_params p = kernel_params(&b, SK_IN_S1, true, 5);
        sk_assert_ok(sk_case_make(&p, &c, &err), &err);
        const void *books = n < 2   ? c.args.attn[0].codebook
                            : n < 4 ? c.args.encode[0].codebook
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
        cmocka_unit_test_prestate(test_identity, &lab),
        cmocka_unit_test_prestate(test_hadamard, &lab),
        cmocka_unit_test_prestate(test_damaged_permutation, &lab),
    };
    kernel_lab_open(&lab);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kernel_lab_close(&lab);
    return failed;
}
