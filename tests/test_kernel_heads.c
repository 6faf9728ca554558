/* test_kernel_heads.c - runs over some of the KV heads, as tensor parallel does:
 * they give what a run over all gives, bit for bit where shares are the same, and
 * touch nothing of other heads. To see that, everything of the others is spoilt
 * first: their queries and codebooks become NaN, their lists senseless, their
 * pages ones; and what was poison in their outputs must still be. */
#include "sk_test.h"

#include "kernel_cases.h"

#define HEADS 3u /* KV heads */

typedef struct world {
    kernel_built b;
    sk_case c;               /* copy 0: the run over all heads; copy 1: spoilt */
    const sphkv_attn_args *all;
    sphkv_attn_args a;       /* of the run over some */
    uint32_t first, count, rows; /* rows: query heads of all */
} world;

static bool mine(const world *w, uint32_t kv_head)
{
    return kv_head >= w->first && kv_head < w->first + w->count;
}

static void ones(const void *p, size_t bytes)
{
    memset((void *)(uintptr_t)p, 0xff, bytes);
}

static void spoil_pages(const world *w)
{
    const sphkv_page_table *t = &w->all->table;
    const bool shared = t->lists_per_seq == 1;
    for (uint32_t list = 0; list < t->lists; list++)
        for (uint32_t i = t->indptr[list]; i < t->indptr[list + 1]; i++) {
            sk_page_layout at;
            sk_page_layout_get(&w->b.spec, sphkv_ref_tier(t->refs[i]), &at);
            const size_t bytes = (size_t)at.units * SPHKV_UNIT_BYTES;
            const uint8_t *page =
                (const uint8_t *)w->a.arena + (size_t)sphkv_ref_unit(t->refs[i]) * SPHKV_UNIT_BYTES;
            for (uint32_t h = 0; h < HEADS; h++) {
                if (mine(w, h) || (!shared && list % HEADS != h)) continue;
                ones(page + (shared ? h * bytes : 0), bytes);
            }
            if (!shared && !mine(w, list % HEADS)) ones(&w->a.table.refs[i], 8);
        }
    for (uint32_t i = 0; i <= t->lists && !shared; i++) {
        const uint32_t h = i % HEADS; /* the border behind the last list is ours too */
        const bool border = mine(w, h) || (i > 0 && mine(w, (i - 1) % HEADS));
        if (!border) ones(&w->a.table.indptr[i], 4);
    }
}

static void spoil(const world *w)
{
    const size_t es = w->b.spec.q_dtype == SPHKV_F32 ? 4 : 2, book = sk_codebook_head_bytes(&w->b.spec);
    const uint32_t hpk = w->b.spec.heads_per_kv;
    for (uint32_t h = 0; h < HEADS; h++) {
        if (mine(w, h)) continue;
        ones((const uint8_t *)w->a.codebook + h * book, book);
        for (uint32_t seq = 0; seq < w->a.batch; seq++)
            for (uint32_t row = h * hpk; row < (h + 1) * hpk; row++)
                ones((const uint8_t *)w->a.q +
                         ((size_t)seq * w->a.q_stride_seq + (size_t)row * w->a.q_stride_head) * es,
                     w->b.spec.d * es);
    }
    spoil_pages(w);
}

/* ---- what came of it -------------------------------------------------------------- */

/* Element `i` of rows with a stride: a row, and one of ours, or what lies between. */
static void compare_out(const world *w, bool same_shares)
{
    const size_t es = w->b.spec.out_dtype == SPHKV_F32 ? 4 : 2;
    const uint32_t dv = w->b.spec.dv, hpk = w->b.spec.heads_per_kv;
    for (uint32_t seq = 0; seq < w->a.batch; seq++)
        for (uint32_t i = 0; i < w->a.out_stride_seq; i++) {
            const uint32_t row = i / w->a.out_stride_head;
            const bool ours = row < w->rows && mine(w, row / hpk) && i % w->a.out_stride_head < dv;
            const size_t at = ((size_t)seq * w->a.out_stride_seq + i) * es;
            const uint8_t *got = (const uint8_t *)w->a.out + at;
            const uint8_t poison[4] = {0xff, 0xff, 0xff, 0xff};
            if (ours && !same_shares) continue; /* the judge of the whole has seen such */
            if (memcmp(got, ours ? (const uint8_t *)w->all->out + at : poison, es) != 0)
                fail_msg("sequence %u, element %u: %s", seq, i, ours ? "another result" : "written");
        }
}

static void compare_lse(const world *w, double tolerance)
{
    for (uint32_t seq = 0; seq < w->a.batch && w->a.lse; seq++)
        for (uint32_t row = 0; row < w->a.lse_stride_seq; row++) {
            const size_t at = (size_t)seq * w->a.lse_stride_seq + row;
            const double got = (double)w->a.lse[at], want = (double)w->all->lse[at];
            const bool ours = row < w->rows && mine(w, row / w->b.spec.heads_per_kv);
            if (ours ? !(got == want || fabs(got - want) <= tolerance) : !isnan(got))
                fail_msg("lse of sequence %u, head %u is %.8g, not %.8g", seq, row, got, want);
        }
}

/* Statistics of a page do not know about parts: the same bits. */
static void compare_pairs(const world *w)
{
    const sphkv_page_table *t = &w->all->table;
    const bool shared = t->lists_per_seq == 1;
    const uint32_t hpk = w->b.spec.heads_per_kv;
    for (uint32_t list = 0; list < t->lists && w->a.page_ml; list++)
        for (uint32_t i = t->indptr[list]; i < t->indptr[list + 1]; i++)
            for (uint32_t h = 0; h < (shared ? HEADS : 1); h++) {
                const size_t at = ((size_t)i * (shared ? HEADS : 1) + h) * hpk * 2;
                const bool ours = mine(w, shared ? h : list % HEADS);
                for (uint32_t k = 0; k < 2 * hpk; k++)
                    if (ours ? w->a.page_ml[at + k] != w->all->page_ml[at + k]
                             : !isnan(w->a.page_ml[at + k]))
                        fail_msg("page_ml of reference %u, KV head %u: %g", i, h,
                                 (double)w->a.page_ml[at + k]);
            }
}

/* Against double, for our rows only. */
static void compare_truth(const world *w)
{
    const size_t rows = (size_t)w->a.batch * w->rows;
    sk_attn_truth t = {.out = sk_calloc(rows * w->b.spec.dv, sizeof *t.out)};
    sk_err err = {0};
    assert_non_null(t.out);
    sk_assert_ok(sk_attn_reference(&w->b.spec, &w->a, HEADS, &t, &err), &err);
    for (size_t row = 0; row < rows; row++)
        for (uint32_t i = 0; i < w->b.spec.dv; i++) {
            const size_t at = row / w->rows * w->a.out_stride_seq + row % w->rows * w->a.out_stride_head + i;
            const double want = t.out[row * w->b.spec.dv + i];
            if (!mine(w, (uint32_t)(row % w->rows) / w->b.spec.heads_per_kv)) {
                assert_true(want == 0); /* not computed there either */
                continue;
            }
            double got = w->b.spec.out_dtype == SPHKV_F32
                             ? (double)((const float *)w->a.out)[at]
                             : (double)sk_bf16_to_f32(((const uint16_t *)w->a.out)[at]);
            if (!(fabs(got - want) <= 0.02 * (1 + fabs(want))))
                fail_msg("row %zu, channel %u: %g, not %g", row, i, got, want);
        }
    sk_free(t.out);
}

/* ---- the cases ------------------------------------------------------------------ */

static void run(world *w, bool compiled, const sphkv_attn_args *a, uint32_t parts)
{
    sphkv_maxima maxima;
    sk_image image;
    sk_err err = {0};
    sk_case_maxima(&w->c, parts, &maxima);
    kernel_image(&w->b, compiled, &maxima, &image);
    sk_assert_ok(kernel_run(&image, a, parts, &err), &err);
}

static void check_range(const kernel_built *b, sk_input input, bool shared, uint32_t first,
                        uint32_t count, bool compiled)
{
    world w = {.b = *b, .first = first, .count = count ? count : HEADS - first,
               .rows = HEADS * b->spec.heads_per_kv};
    sk_err err = {0};
    sk_case_params p = {.spec = b->spec, .shape = {2, HEADS, 3 * b->spec.page, 1}, .uneven = true,
                        .lists_per_seq = shared ? 1 : HEADS, .input = input, .seed = 5, .copies = 2};
    sk_assert_ok(sk_case_make(&p, &w.c, &err), &err);
    w.all = &w.c.args.attn[0];
    run(&w, compiled, w.all, 1);
    sk_assert_ok(sk_case_judge(&w.c, 0, NULL, NULL, &err), &err);
    w.a = w.c.args.attn[1];
    w.a.kv_head_first = first;
    w.a.kv_head_count = count;
    spoil(&w);
    for (uint32_t parts = 1; parts <= 5; parts += 2) {
        sk_case_poison(&w.c, 1);
        run(&w, compiled, &w.a, parts);
        compare_out(&w, parts == 1);
        compare_lse(&w, parts == 1 ? 0 : 1e-3);
        compare_pairs(&w);
        compare_truth(&w);
    }
    sk_case_free(&w.c);
}

static void check_spec(kernel_lab *lab, const char *spec)
{
    static const uint32_t ranges[][2] = {{0, 1}, {1, 1}, {1, 2}, {2, 0}, {0, 2}, {0, 3}};
    static const sk_input inputs[] = {SK_IN_EDGE, SK_IN_CANCEL}; /* CANCEL: with strides */
    const kernel_row row = {spec, "", 0};
    kernel_built b;
    kernel_build(lab, &row, &b);
    for (uint32_t i = 0; i < SK_COUNT(ranges); i++)
        for (uint32_t k = 0; k < 2 * SK_COUNT(inputs); k++)
            for (uint32_t compiled = 0; compiled < (b.code ? 2u : 1u); compiled++)
                check_range(&b, inputs[k / 2], k % 2 != 0, ranges[i][0], ranges[i][1], compiled != 0);
    kernel_built_free(&b);
}

static void test_coded(void **state)
{
    check_spec(*state, "attn_decode d32 v32 h2 p16 l1 qf32 of32 if32 exact good:vi8,kf16:vf16");
}

static void test_half(void **state)
{
    check_spec(*state, "attn_decode d32 v16 h3 p16 l0 qf16 obf16 if32 tight high:vf16");
}

static void test_refuses(void **state)
{
    static const uint32_t wrong[][2] = {{HEADS, 0}, {HEADS, 1}, {0, HEADS + 1}, {2, 2},
                                        {1, UINT32_MAX}, {UINT32_MAX, 2}};
    kernel_built b;
    const kernel_row row = {"attn_decode d16 v16 h1 p16 l1 qf32 of32 if32 tight kf16:vf16", "", 0};
    sk_image image;
    float x[HEADS * 16] = {0};
    const uint32_t empty[HEADS + 1] = {0};
    const sphkv_maxima maxima = {.size = sizeof maxima, .batch = 1, .kv_heads = HEADS,
                                 .pages_per_list = 1, .parts = 1};
    sphkv_attn_args a = {.size = sizeof a, .batch = 1, .q = x, .out = x,
                         .table = {empty, NULL, HEADS, HEADS}};
    kernel_build(*state, &row, &b);
    kernel_image(&b, false, &maxima, &image);
    for (uint32_t i = 0; i < SK_COUNT(wrong); i++) {
        sk_err err = {0};
        a.kv_head_first = wrong[i][0];
        a.kv_head_count = wrong[i][1];
        assert_int_equal(kernel_run(&image, &a, 1, &err), SPHKV_EINVAL);
        assert_non_null(strstr(err.message, "KV heads from"));
    }
    kernel_built_free(&b);
}

int main(void)
{
    kernel_lab lab;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_coded, &lab),
        cmocka_unit_test_prestate(test_half, &lab),
        cmocka_unit_test_prestate(test_refuses, &lab),
    };
    kernel_lab_open(&lab);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kernel_lab_close(&lab);
    return failed;
}
