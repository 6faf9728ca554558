/* test_prop_variants.c - laws of the variants of attention, which need no reference:
 * several query tokens are single runs over lists that end earlier; a window is a list
 * that begins later; stored places are places; a sink is one more source of a merge; a
 * factor of heads is a scale, a constant bias a shift; soft-cap is tanh, near and far. */
#include "sk_test.h"

#include <math.h>

#include "kernel_cases.h"

enum { HEADS = 4, D = 64, PAGE = 32, QUERIES = 4, PAGES = 7 };

/* Class exact: what is rounded to integers in others depends on the pages before it, and
 * with it on the number of parts. */
#define SPEC "attn_decode d64 v64 h4 p32 l1 qf32 of32 if32 exact good:vi8,kf16:vf16"

static kernel_lab lab;

/* A case of one list, and what a run gives. */
typedef struct bench {
    kernel_built b;
    sk_case c;
    uint64_t refs[PAGES + 2];
    uint32_t indptr[2], n;
} bench;

typedef struct result {
    float out[QUERIES][HEADS * D], lse[QUERIES][HEADS];
} result;

static void bench_make(bench *t, const char *spec)
{
    const kernel_row row = {spec, "", 0};
    sk_err err = {0};
    kernel_build(&lab, &row, &t->b);
    const sk_case_params p = {.spec = t->b.spec, .shape = {1, 1, PAGES * PAGE - 5, 1, QUERIES},
                              .lists_per_seq = 1, .seed = lab.seed, .copies = 1};
    sk_assert_ok(sk_case_make(&p, &t->c, &err), &err);
    const sphkv_page_table *table = &t->c.args.attn[0].table;
    t->n = table->indptr[1] - table->indptr[0];
    assert_true(t->n <= SK_COUNT(t->refs));
    memcpy(t->refs, table->refs + table->indptr[0], t->n * sizeof *t->refs);
    t->indptr[0] = 0;
    t->indptr[1] = t->n;
}

static void bench_free(bench *t)
{
    sk_case_free(&t->c);
    kernel_built_free(&t->b);
}

/* Arguments of the case over the bench's own table. */
static sphkv_attn_args args_of(const bench *t, result *to)
{
    sphkv_attn_args a = t->c.args.attn[0];
    a.table.refs = t->refs;
    a.table.indptr = t->indptr;
    a.out = to->out;
    a.lse = to->lse[0];
    a.out_stride_head = a.out_stride_tok = a.out_stride_seq = 0;
    a.lse_stride_tok = a.lse_stride_seq = 0;
    a.page_ml = NULL;
    return a;
}

/* The pages and queries of another bench. */
static void borrow(bench *t, sphkv_attn_args *a, const bench *from, const sphkv_attn_args *other)
{
    memcpy(t->refs, from->refs, sizeof t->refs);
    a->arena = other->arena;
    a->arena_bytes = other->arena_bytes;
    a->codebook = other->codebook;
    a->q = other->q;
}

static void run(const bench *t, const sphkv_attn_args *a, uint32_t parts)
{
    const sphkv_maxima maxima = {.batch = 1, .kv_heads = 1, .pages_per_list = PAGES + 2,
                                 .parts = parts, .q_len = a->q_len ? a->q_len : 1};
    sk_image image;
    sk_err err = {0};
    kernel_image(&t->b, t->b.code != NULL, &maxima, &image);
    sk_assert_ok(kernel_run(&image, a, parts, &err), &err);
}

static void same(const result *a, const result *b, uint32_t queries, double far, const char *what)
{
    for (uint32_t i = 0; i < queries; i++) {
        const double apart = kernel_difference(a->out[i], b->out[i], HEADS * D);
        if (!(apart <= far)) fail_msg("%s: query %u: %.3g apart", what, i, apart);
        for (uint32_t h = 0; h < HEADS; h++)
            if (!(fabs((double)a->lse[i][h] - (double)b->lse[i][h]) <= far * (1 + fabs((double)b->lse[i][h]))))
                fail_msg("%s: query %u head %u: lse %.7g, not %.7g", what, i, h, (double)a->lse[i][h],
                         (double)b->lse[i][h]);
    }
}

/* Takes `tokens` off the end of the list. */
static void shorten(bench *t, uint32_t tokens)
{
    for (uint32_t i = t->n; i-- > 0 && tokens > 0;) {
        const uint32_t have = sphkv_ref_tokens(t->refs[i]), off = have < tokens ? have : tokens;
        t->refs[i] = sphkv_page_ref(sphkv_ref_unit(t->refs[i]), have - off, sphkv_ref_tier(t->refs[i]));
        tokens -= off;
    }
}

/* ---- query tokens, windows, positions ---------------------------------------------- */

static void queries_are_single_runs(void **state)
{
    (void)state;
    bench many, one;
    static result all, single;
    bench_make(&many, SPEC " queries");
    bench_make(&one, SPEC);
    sphkv_attn_args a = args_of(&many, &all), b = args_of(&one, &single);
    run(&many, &a, 3);
    for (uint32_t i = 0; i < QUERIES; i++) {
        borrow(&one, &b, &many, &a);
        shorten(&one, QUERIES - 1 - i);
        b.q = (const float *)a.q + (size_t)i * a.q_stride_tok;
        b.out = single.out[i];
        b.lse = single.lse[i];
        run(&one, &b, 1);
    }
    same(&all, &single, QUERIES, 2e-6, "queries");
    bench_free(&many);
    bench_free(&one);
}

static void a_window_cuts_the_list(void **state)
{
    (void)state;
    bench part, whole;
    static result seen, want;
    bench_make(&part, SPEC " window");
    bench_make(&whole, SPEC);
    sphkv_attn_args a = args_of(&part, &seen), b = args_of(&whole, &want);
    borrow(&whole, &b, &part, &a);
    a.window = 0;
    for (uint32_t lo = part.n; lo-- > 0;) {
        a.window += sphkv_ref_tokens(part.refs[lo]);
        whole.indptr[0] = lo;
        run(&part, &a, 1 + lo % 3);
        run(&whole, &b, 1);
        same(&seen, &want, 1, 2e-6, "window");
    }
    a.window += 1000;
    run(&part, &a, 2);
    same(&seen, &want, 1, 2e-6, "a window over all");
    bench_free(&part);
    bench_free(&whole);
}

/* Places written as positions give what places give. */
static void positions_of_places(void **state)
{
    (void)state;
    bench stored, counted;
    static result a, b;
    bench_make(&stored, SPEC " window positions queries");
    bench_make(&counted, SPEC " window queries");
    sphkv_attn_args x = args_of(&stored, &a), y = args_of(&counted, &b);
    uint32_t place = 0, where[QUERIES];
    for (uint32_t i = 0; i < stored.n; i++) {
        sk_page_layout lay;
        const uint64_t ref = stored.refs[i];
        sk_page_layout_get(&stored.b.spec, sphkv_ref_tier(ref), &lay);
        uint8_t *page = (uint8_t *)(uintptr_t)x.arena + (size_t)sphkv_ref_unit(ref) * SPHKV_UNIT_BYTES;
        for (uint32_t t = 0; t < sphkv_ref_tokens(ref); t++, place++)
            memcpy(page + lay.pos_off + t * 4, &place, 4);
    }
    for (uint32_t i = 0; i < QUERIES; i++) where[i] = place - QUERIES + i;
    x.q_positions = where;
    for (uint32_t window = 1; window < 2 * place; window = 3 * window + 1) {
        x.window = y.window = window;
        run(&stored, &x, 2);
        run(&counted, &y, 3);
        same(&a, &b, QUERIES, 2e-6, "positions");
    }
    bench_free(&stored);
    bench_free(&counted);
}

/* ---- sinks, factors, biases ---------------------------------------------------------- */

static void a_sink_is_a_source(void **state)
{
    (void)state;
    static const kernel_row rows[2] = {
        {"attn_merge d64 v64 h4 p128 l1 qf32 of32 if32 tight kf16:vf16", "", 0},
        {"attn_merge d64 v64 h4 p128 l1 qf32 of32 if32 tight kf16:vf16 sink", "", 0}};
    static const float sinks[HEADS] = {3, -2, 9, -INFINITY};
    static const float nothing[HEADS * D];
    static result with, without, joined;
    bench t;
    bench_make(&t, SPEC " sink");
    sphkv_attn_args a = args_of(&t, &with), b = args_of(&t, &without);
    a.sinks = sinks;
    b.sinks = NULL;
    run(&t, &a, 2);
    run(&t, &b, 3);
    for (uint32_t k = 0; k < 2; k++) {
        const sphkv_maxima maxima = {.batch = 1, .kv_heads = 1, .pages_per_list = 1, .parts = 1};
        sphkv_merge_args m = {.size = sizeof m, .batch = 1, .sources_count = k ? 1 : 2,
                              .out = joined.out, .lse = joined.lse[0], .sinks = k ? sinks : NULL};
        m.sources[0] = (sphkv_merge_source){.out = without.out, .lse = without.lse[0]};
        if (k == 0) m.sources[1] = (sphkv_merge_source){.out = nothing, .lse = sinks};
        kernel_built merge;
        sk_image image;
        sk_err err = {0};
        kernel_build(&lab, &rows[k], &merge);
        kernel_image(&merge, merge.code != NULL, &maxima, &image);
        sk_assert_ok(kernel_run(&image, &m, 1, &err), &err);
        same(&joined, &with, 1, 2e-6, k ? "merged with sinks" : "merged with a source");
        kernel_built_free(&merge);
    }
    bench_free(&t);
}

static void factors_and_shifts(void **state)
{
    (void)state;
    static const float twice[HEADS] = {2, 2, 2, 2};
    static float bias[(PAGES + 2) * PAGE];
    static result a, b;
    bench scaled, shifted, plain;
    bench_make(&scaled, SPEC " headscale");
    bench_make(&shifted, SPEC " bias");
    bench_make(&plain, SPEC);
    sphkv_attn_args x = args_of(&scaled, &a), y = args_of(&plain, &b);
    borrow(&plain, &y, &scaled, &x);
    x.head_scale = twice;
    y.scale = 2 / 8.0f;
    run(&scaled, &x, 1);
    run(&plain, &y, 1);
    same(&a, &b, 1, 0, "factors of heads");
    for (size_t i = 0; i < SK_COUNT(bias); i++) bias[i] = 1.5f;
    x = args_of(&shifted, &a);
    x.bias = bias;
    borrow(&plain, &y, &shifted, &x);
    y.scale = 0;
    run(&shifted, &x, 1);
    run(&plain, &y, 1);
    for (uint32_t h = 0; h < HEADS; h++) b.lse[0][h] += 1.5f;
    same(&a, &b, 1, 5e-4, "a constant bias"); /* 16-bit probabilities fall otherwise */
    bench_free(&scaled);
    bench_free(&shifted);
    bench_free(&plain);
}

/* ---- soft-cap ------------------------------------------------------------------------- */

/* The LSE of a list of one token is its logit. */
static void soft_cap_is_tanh(void **state)
{
    (void)state;
    bench capped, plain;
    static result a, b;
    bench_make(&capped, SPEC " softcap");
    bench_make(&plain, SPEC);
    sphkv_attn_args x = args_of(&capped, &a), y = args_of(&plain, &b);
    capped.indptr[1] = plain.indptr[1] = 1;
    capped.refs[0] = sphkv_page_ref(sphkv_ref_unit(capped.refs[0]), 1, sphkv_ref_tier(capped.refs[0]));
    borrow(&plain, &y, &capped, &x);
    double worst = 0;
    for (double scale = 1e-4; scale < 1e5; scale *= 1.37) {
        x.scale = y.scale = (float)scale;
        x.softcap = 20;
        run(&capped, &x, 1);
        run(&plain, &y, 1);
        for (uint32_t h = 0; h < HEADS; h++) {
            const double want = 20 * tanh((double)b.lse[0][h] / 20);
            worst = fmax(worst, fabs((double)a.lse[0][h] / want - 1));
        }
    }
    if (!(worst <= 0x1p-20)) fail_msg("tanh is wrong by %.3g", worst);
    bench_free(&capped);
    bench_free(&plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queries_are_single_runs), cmocka_unit_test(a_window_cuts_the_list),
        cmocka_unit_test(positions_of_places),     cmocka_unit_test(a_sink_is_a_source),
        cmocka_unit_test(factors_and_shifts),      cmocka_unit_test(soft_cap_is_tanh),
    };
    kernel_lab_open(&lab);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kernel_lab_close(&lab);
    return failed;
}
