/* test_kernel_merge.c - attn_merge: rows of every dtype and width against the
 * reference, what it refuses, and the law it exists for: attention over two
 * halves of a list, merged, is attention over the list. */
#include "sk_test.h"

#include "kernel_cases.h"

#define M(v, h, q) "attn_merge d" v " v" v " h" h " p128 l1 qf32 " q " tight kf16:vf16"

static kernel_lab lab;

static void every_row(void **state)
{
    (void)state;
    const kernel_table *t = kernel_table_get("merge");
    for (uint32_t i = 0; i < t->n; i++) kernel_row_run(&lab, &t->row[i], true);
}

/* ---- the law ------------------------------------------------------------------------ */

enum { HEADS = 4, D = 64, PAGE = 32 };

/* Attention of a case over pages lo .. hi-1 of its only list. */
static void attend(const kernel_built *b, const sk_case *c, uint32_t lo, uint32_t hi, float *out,
                   float *lse)
{
    sphkv_attn_args a = c->args.attn[0];
    const uint32_t indptr[2] = {a.table.indptr[0] + lo, a.table.indptr[0] + hi};
    sphkv_maxima maxima;
    sk_image image;
    sk_err err = {0};
    sk_case_maxima(c, 1, &maxima);
    kernel_image(b, b->code != NULL, &maxima, &image);
    a.table.indptr = indptr;
    a.out = out;
    a.out_stride_head = a.out_stride_seq = 0;
    a.lse = lse;
    a.lse_stride_seq = 0;
    a.page_ml = NULL;
    sk_assert_ok(kernel_run(&image, &a, 1, &err), &err);
}

static void halves_make_the_whole(void **state)
{
    (void)state;
    static const kernel_row attn = {
        "attn_decode d64 v64 h4 p32 l1 qf32 of32 if32 exact good:vf16,kf16:vf16", "", 0};
    static const kernel_row merge = {M("64", "4", "of32 if32"), "", 0};
    float out[3][HEADS * D], lse[3][HEADS], joined[HEADS * D], joined_lse[HEADS];
    kernel_built a, m;
    sk_case c;
    sk_image image;
    sk_err err = {0};
    kernel_build(&lab, &attn, &a);
    kernel_build(&lab, &merge, &m);
    const sk_case_params p = {.spec = a.spec, .shape = {1, 1, 7 * PAGE - 5, 1}, .lists_per_seq = 1,
                              .seed = lab.seed, .copies = 1};
    sk_assert_ok(sk_case_make(&p, &c, &err), &err);
    const uint32_t n = c.args.attn[0].table.indptr[1] - c.args.attn[0].table.indptr[0];
    for (uint32_t cut = 0; cut <= n; cut++) {
        attend(&a, &c, 0, n, out[0], lse[0]);
        attend(&a, &c, 0, cut, out[1], lse[1]);
        attend(&a, &c, cut, n, out[2], lse[2]);
        const sphkv_maxima maxima = {.batch = 1, .kv_heads = 1, .pages_per_list = 1, .parts = 1};
        kernel_image(&m, m.code != NULL, &maxima, &image);
        const sphkv_merge_args args = {
            .size = sizeof args, .batch = 1, .sources_count = 2, .out = joined, .lse = joined_lse,
            .sources = {{.out = out[1], .lse = lse[1]}, {.out = out[2], .lse = lse[2]}}};
        sk_assert_ok(kernel_run(&image, &args, 1, &err), &err);
        const double apart = kernel_difference(joined, out[0], HEADS * D);
        if (!(apart <= 1e-5)) fail_msg("cut at page %u of %u: %.3g apart", cut, n, apart);
        for (uint32_t h = 0; h < HEADS; h++)
            assert_true(fabs((double)joined_lse[h] - (double)lse[0][h]) <= 1e-5 * (1 + fabs((double)lse[0][h])));
    }
    sk_case_free(&c);
    kernel_built_free(&a);
    kernel_built_free(&m);
}

/* ---- where rows may lie ------------------------------------------------------------- */

enum { BATCH = 3, KV = 2, ROW = 64, ROWS = BATCH * KV * 2 };

typedef struct two {
    float out[2][ROWS * ROW], lse[2][ROWS];
} two;

static void two_fill(two *t)
{
    sk_rng rng;
    sk_rng_seed(&rng, lab.seed);
    for (uint32_t i = 0; i < 2; i++) {
        for (uint32_t k = 0; k < ROWS * ROW; k++) t->out[i][k] = (float)sk_rng_normal(&rng);
        for (uint32_t k = 0; k < ROWS; k++) t->lse[i][k] = (float)sk_rng_normal(&rng);
    }
}

static sphkv_merge_args two_args(const two *t, float *out, float *lse)
{
    return (sphkv_merge_args){.size = sizeof(sphkv_merge_args), .batch = BATCH, .sources_count = 2,
                              .out = out, .lse = lse,
                              .sources = {{.out = t->out[0], .lse = t->lse[0]},
                                          {.out = t->out[1], .lse = t->lse[1]}}};
}

/* The result over either source is the one beside them. */
static void in_place(void **state)
{
    (void)state;
    static const kernel_row row = {M("64", "2", "of32 if32"), "", 0};
    static two beside, over;
    static float out[ROWS * ROW], lse[ROWS];
    const sphkv_maxima maxima = {.batch = BATCH, .kv_heads = KV, .pages_per_list = 1, .parts = 2};
    kernel_built b;
    sk_image image;
    sk_err err = {0};
    kernel_build(&lab, &row, &b);
    two_fill(&beside);
    for (uint32_t n = 0; n < 4; n++) {
        const uint32_t source = n % 2, parts = 1 + n / 2;
        kernel_image(&b, b.code != NULL, &maxima, &image);
        sphkv_merge_args args = two_args(&beside, out, lse);
        sk_assert_ok(kernel_run(&image, &args, parts, &err), &err);
        over = beside;
        args = two_args(&over, over.out[source], over.lse[source]);
        sk_assert_ok(kernel_run(&image, &args, parts, &err), &err);
        assert_memory_equal(over.out[source], out, sizeof out);
        assert_memory_equal(over.lse[source], lse, sizeof lse);
        assert_memory_equal(over.out[1 - source], beside.out[1 - source], sizeof out);
    }
    kernel_built_free(&b);
}

/* A stride between sequences that is 0 does not depend on the one between heads:
 * with one head that is never used. */
static void strides_of_zero(void **state)
{
    (void)state;
    static const kernel_row row = {M("64", "1", "of32 if32"), "", 0};
    static two t;
    static float out[2][ROWS * ROW], lse[2][ROWS];
    const sphkv_maxima maxima = {.batch = BATCH, .kv_heads = 1, .pages_per_list = 1, .parts = 1};
    kernel_built b;
    sk_image image;
    sk_err err = {0};
    kernel_build(&lab, &row, &b);
    kernel_image(&b, b.code != NULL, &maxima, &image);
    two_fill(&t);
    for (uint32_t n = 0; n < 2; n++) {
        sphkv_merge_args args = two_args(&t, out[n], lse[n]);
        args.out_stride_head = args.sources[0].out_stride_head = n * 2 * ROW;
        sk_assert_ok(kernel_run(&image, &args, 1, &err), &err);
    }
    assert_memory_equal(out[0], out[1], sizeof out[0]);
    assert_memory_equal(lse[0], lse[1], sizeof lse[0]);
    kernel_built_free(&b);
}

/* ---- what is refused ---------------------------------------------------------------- */

static void bad_args(void **state)
{
    (void)state;
    static const kernel_row row = {M("64", "2", "of16 if16"), "", 0};
    _Alignas(8) static uint16_t from[2 * 2 * 64 + 8], to[2 * 2 * 64 + 8];
    static float lse[8];
    const sphkv_maxima maxima = {.batch = 2, .kv_heads = 1, .pages_per_list = 1, .parts = 2};
    kernel_built b;
    sk_image image;
    sk_err err = {0};
    kernel_build(&lab, &row, &b);
    kernel_image(&b, false, &maxima, &image);
    const sphkv_merge_args good = {.size = sizeof good, .batch = 2, .sources_count = 1, .out = to,
                                   .sources = {{.out = from, .lse = lse}}};
    sk_assert_ok(kernel_run(&image, &good, 2, &err), &err);
#define REFUSED(change, word)                                                                      \
    do {                                                                                           \
        sphkv_merge_args a = good;                                                                 \
        change;                                                                                    \
        memset(to, 0x5a, sizeof to);                                                               \
        assert_int_equal(kernel_run(&image, &a, 2, &err), SPHKV_EINVAL);                           \
        if (!strstr(err.message, word)) fail_msg("%s: %s", #change, err.message);                  \
        for (size_t i = 0; i < SK_COUNT(to); i++) assert_int_equal(to[i], 0x5a5a);                 \
    } while (0)
    REFUSED(a.batch = 3, "batch 3");
    REFUSED(a.sources_count = 0, "sources_count");
    REFUSED(a.sources_count = SPHKV_MAX_SOURCES + 1, "sources_count");
    REFUSED(a.sources_count = 2, "sources[1]");
    REFUSED(a.out = NULL, "out is NULL");
    REFUSED(a.out = to + 1, "aligned");
    REFUSED(a.out_stride_head = 65, "even");
    REFUSED(a.sources[0].lse = NULL, "sources[0]");
    REFUSED(a.sources[0].out = (const char *)from + 1, "aligned");
    REFUSED(a.sources[0].out_stride_seq = UINT32_MAX, "4 GiB");
    REFUSED(a.out_stride_seq = UINT32_MAX - 1, "4 GiB");
    REFUSED(a.size = 12, "size");
    REFUSED(a.reserved = 1, "reserved");
    REFUSED(a.reserved2 = 1, "reserved");
    REFUSED(a.sources[0].reserved = 1, "reserved");
    kernel_built_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row),
        cmocka_unit_test(halves_make_the_whole),
        cmocka_unit_test(in_place),
        cmocka_unit_test(strides_of_zero),
        cmocka_unit_test(bad_args),
    };
    kernel_lab_open(&lab);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kernel_lab_close(&lab);
    return failed;
}
