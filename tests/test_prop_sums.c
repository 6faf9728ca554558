/* test_prop_sums.c - what LSE and the statistics of pages must obey whatever the
 * numbers are: asking for them changes nothing; a page's pair is its own, wherever
 * it stands and whoever runs it; shares of a list add up to 1; two lists make one
 * by their LSE; every page twice is ln 2 more; one token is its logit, of the largest
 * products, too; lists that heads share say what lists per head say. No reference takes part. */
#include "sk_test.h"

#include "prop_world.h"

static const char *const mixes[] = {MIX("exact"), MIX("tight"), DENSE, CODED_F16};

static void sums_start(kernel_lab *lab, world *w, const char *spec)
{
    world_start(lab, w, spec);
    w->sums = true;
    world_run(w);
}

/* The pair of a reference and a head. */
static const float *pair(const world *w, uint32_t ref, uint32_t head)
{
    return w->ml + ((size_t)ref * w->built.spec.heads_per_kv + head) * 2;
}

static size_t pair_bytes(const world *w)
{
    return (size_t)w->built.spec.heads_per_kv * 2 * sizeof(float);
}

static void assert_close(double got, double want, double tolerance, const char *what)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("%s: %.9g, not %.9g", what, got, want);
}

/* Bits of the output do not change by asking, pairs not by sharing the work. */
static void test_parts(void **state)
{
    for (uint32_t i = 0; i < SK_COUNT(mixes); i++) {
        world w, one;
        world_start(*state, &w, mixes[i]);
        one = w;
        w.sums = true;
        world_run(&w);
        assert_memory_equal(w.out, one.out, sizeof w.out);
        one = w;
        for (w.parts = 2; w.parts <= PAGES + 2; w.parts++) {
            world_run(&w);
            assert_memory_equal(w.ml, one.ml, sizeof w.ml);
            for (uint32_t h = 0; h < w.built.spec.heads_per_kv; h++)
                assert_close((double)w.lse[h], (double)one.lse[h], 4e-6, "lse in parts");
        }
        world_free(&w);
    }
}

static void test_shares(void **state)
{
    for (uint32_t i = 0; i < SK_COUNT(mixes); i++) {
        world w;
        sums_start(*state, &w, mixes[i]);
        for (w.parts = 1; w.parts <= 4; w.parts += 3) {
            world_run(&w);
            for (uint32_t h = 0; h < w.built.spec.heads_per_kv; h++) {
                double sum = 0;
                for (uint32_t p = 0; p < PAGES; p++)
                    sum += (double)pair(&w, p, h)[1] * exp((double)(pair(&w, p, h)[0] - w.lse[h]));
                assert_close(sum, 1, 2e-5, "shares of the pages");
            }
        }
        world_free(&w);
    }
}

/* The pages before and behind `cut` as lists of their own. */
static void check_split(world *w, const world *all, uint32_t cut)
{
    w->indptr[0] = 0;
    w->indptr[1] = cut;
    world_run(w);
    const world first = *w;
    w->indptr[0] = cut;
    w->indptr[1] = PAGES;
    world_run(w);
    assert_memory_equal(first.ml, all->ml, cut * pair_bytes(w));
    assert_memory_equal(pair(w, cut, 0), pair(all, cut, 0), (PAGES - cut) * pair_bytes(w));
    assert_true(isnan(pair(&first, cut, 0)[0]) && isnan(pair(w, cut - 1, 0)[1]));
    for (uint32_t h = 0; h < w->built.spec.heads_per_kv; h++) {
        const double whole = (double)all->lse[h];
        const double a = exp((double)first.lse[h] - whole), b = exp((double)w->lse[h] - whole);
        assert_close(a + b, 1, 1e-5, "weights of two lists");
        for (uint32_t c = 0; c < w->built.spec.dv; c++)
            w->out[h][c] = (float)(a * (double)first.out[h][c] + b * (double)w->out[h][c]);
    }
    float want[MAX_H][MAX_D];
    memcpy(want, all->out, sizeof want);
    assert_rows(w, want, 1e-5);
}

static void test_split(void **state)
{
    for (uint32_t i = 0; i < SK_COUNT(mixes); i++) {
        world w, all;
        sums_start(*state, &w, mixes[i]);
        all = w;
        for (uint32_t cut = 1; cut < PAGES; cut++) check_split(&w, &all, cut);
        world_free(&w);
    }
}

static void test_page_order(void **state)
{
    world w, before;
    sums_start(*state, &w, MIX("exact"));
    before = w;
    for (uint32_t t = 0; t < 2; t++) { /* refs stay sorted by tier */
        w.refs[t * 3] = before.refs[t * 3 + 2];
        w.refs[t * 3 + 2] = before.refs[t * 3];
    }
    world_run(&w);
    for (uint32_t p = 0; p < PAGES; p++) {
        const uint32_t from = p % 3 == 1 ? p : p / 3 * 3 + 2 - p % 3;
        assert_memory_equal(pair(&w, p, 0), pair(&before, from, 0), pair_bytes(&w));
    }
    for (uint32_t h = 0; h < MAX_H; h++)
        assert_close((double)w.lse[h], (double)before.lse[h], 4e-6, "lse in another order");
    world_free(&w);
}

static void test_pages_twice(void **state)
{
    for (uint32_t i = 0; i < SK_COUNT(mixes); i++) {
        world w, once;
        sums_start(*state, &w, mixes[i]);
        once = w;
        for (uint32_t p = 0; p < PAGES; p++)
            w.refs[2 * p] = w.refs[2 * p + 1] = once.refs[p];
        w.indptr[1] = 2 * PAGES;
        world_run(&w);
        for (uint32_t p = 0; p < 2 * PAGES; p++)
            assert_memory_equal(pair(&w, p, 0), pair(&once, p / 2, 0), pair_bytes(&w));
        for (uint32_t h = 0; h < w.built.spec.heads_per_kv; h++)
            assert_close((double)w.lse[h], (double)once.lse[h] + log(2), 4e-6, "lse of all twice");
        world_free(&w);
    }
}

/* One token is its logit, which follows the scale. */
static void test_one_token(void **state)
{
    for (uint32_t i = 0; i < SK_COUNT(mixes); i++) {
        world w;
        float once[MAX_H];
        const uint32_t token = 41;
        sums_start(*state, &w, mixes[i]);
        w.refs[0] = put_page(&w, 1, 0, &token, 1);
        w.indptr[1] = 1;
        world_run(&w);
        memcpy(once, w.lse, sizeof once);
        for (uint32_t h = 0; h < w.built.spec.heads_per_kv; h++) {
            assert_close((double)pair(&w, 0, h)[1], 1, 1e-6, "l of one token");
            assert_close((double)w.lse[h], (double)pair(&w, 0, h)[0], 2e-6, "lse of one token");
        }
        w.scale *= 2;
        world_run(&w);
        for (uint32_t h = 0; h < w.built.spec.heads_per_kv; h++)
            assert_close((double)w.lse[h], 2 * (double)once[h], 1e-5 * (1 + fabs((double)once[h])),
                         "lse at twice the scale");
        world_free(&w);
    }
}

/* Products of bytes whose pairs fill 16 bits to the last step (query=i7): keys of the largest
 * code, queries that are all of one size, or every other one 0, of any signs. */
static void test_largest_pairs(void **state)
{
    static const char *const schedules[] = {"w=4,ktok=4,query=i7", "w=8,ktok=2,query=i7", "w=16,query=i7"};
    const uint32_t token = 0;
    for (uint32_t i = 0; i < 3 * SK_COUNT(schedules); i++) {
        world w;
        world_make_with(*state, &w,
                        &(kernel_row){"attn_decode d64 v64 h2 p32 l1 qf32 of32 if32 fast ki8:vi8",
                                      schedules[i / 3], 512});
        double want = 0;
        for (uint32_t d = 0; d < 64; d++) {
            data.k[token][d] = i % 3 == 1 && d % 3 ? -1 : 1;
            data.v[token][d] = 1;
            w.q[0][d] = w.q[1][d] = i % 3 == 2 && d % 2 ? 0 : (float)data.k[token][d];
            want += (double)w.q[0][d] * data.k[token][d];
        }
        w.refs[0] = put_page(&w, 0, 0, &token, 1);
        w.indptr[1] = 1;
        w.scale = 0.25f;
        w.sums = true;
        world_run(&w);
        assert_close((double)w.lse[0], want / 4, 0.01 * want / 4, schedules[i / 3]);
        world_free(&w);
    }
}

/* Empty pages weigh nothing, and nothing else is all there is of a list of them. */
static void test_empty_pages(void **state)
{
    world w, before;
    sums_start(*state, &w, MIX("tight"));
    before = w;
    for (uint32_t p = 0; p < PAGES; p++) { /* an empty one before each, of its tier */
        const uint64_t ref = before.refs[p];
        w.refs[2 * p] = sphkv_page_ref(sphkv_ref_unit(ref), 0, sphkv_ref_tier(ref));
        w.refs[2 * p + 1] = ref;
    }
    w.indptr[1] = 2 * PAGES;
    for (w.parts = 1; w.parts <= 5; w.parts += 2) {
        world_run(&w);
        for (uint32_t p = 0; p < PAGES; p++) {
            assert_memory_equal(pair(&w, 2 * p + 1, 0), pair(&before, p, 0), pair_bytes(&w));
            for (uint32_t h = 0; h < MAX_H; h++)
                assert_true(pair(&w, 2 * p, h)[0] == -INFINITY && pair(&w, 2 * p, h)[1] == 0);
        }
        for (uint32_t h = 0; h < MAX_H; h++)
            assert_close((double)w.lse[h], (double)before.lse[h], 4e-6, "lse with empty pages");
    }
    for (uint32_t p = 0; p < PAGES; p++)
        w.refs[2 * p + 1] = w.refs[2 * p];
    for (w.parts = 1; w.parts <= 5; w.parts += 2) {
        world_run(&w);
        for (uint32_t h = 0; h < MAX_H; h++)
            assert_true(w.lse[h] == -INFINITY && w.out[h][0] == 0);
    }
    world_free(&w);
}

/* ---- lists that heads share ------------------------------------------------------- */

/* Results of a run over two KV heads. */
typedef struct two_heads {
    float out[2][MAX_H][MAX_D], lse[2][MAX_H];
    float ml[2 * PAGES * MAX_H * 2];
} two_heads;

static void run_two(const world *w, bool shared, uint32_t parts, two_heads *to)
{
    const sk_spec *s = &w->built.spec;
    const size_t book = sk_codebook_head_bytes(s);
    const sphkv_maxima maxima = {.size = sizeof maxima, .batch = 1, .kv_heads = 2,
                                 .pages_per_list = PAGES, .parts = parts};
    const uint32_t h = s->heads_per_kv, per_head[3] = {0, PAGES, 2 * PAGES};
    float q[2][MAX_H][MAX_D];
    uint8_t *books = sk_malloc(2 * book + 16);
    sk_image image;
    sk_err err = {0};
    assert_non_null(books);
    memcpy(books, w->book, book);
    memcpy(books + book, w->book, book);
    memcpy(q[0], w->q, sizeof q[0]);
    for (uint32_t i = 0; i < MAX_H * MAX_D; i++)
        q[1][i / MAX_D][i % MAX_D] = -w->q[i / MAX_D][i % MAX_D];
    memmove(&q[0][h], q[1], h * sizeof q[0][0]); /* [2 * heads_per_kv][MAX_D] */
    sphkv_attn_args a = {.size = sizeof a, .batch = 1, .q = q, .out = to->out, .scale = w->scale,
                         .arena = w->arena, .arena_bytes = w->bytes, .codebook = books,
                         .codebook_bytes = 2 * book, .lse = to->lse[0], .page_ml = to->ml};
    a.q_stride_head = a.out_stride_head = MAX_D;
    a.table = (sphkv_page_table){shared ? w->indptr : per_head, w->refs + (shared ? 2 * PAGES : 0),
                                 shared ? 1 : 2, shared ? 1 : 2};
    memset(to, 0xff, sizeof *to);
    kernel_image(&w->built, w->built.code != NULL, &maxima, &image);
    sk_assert_ok(kernel_run(&image, &a, parts, &err), &err);
    sk_free(books);
}

/* refs: lists per head, head by head; then the shared list. */
static void put_two(world *w, uint64_t seed)
{
    for (uint32_t head = 0; head < 2; head++) {
        uint32_t order[TOKENS];
        in_order(order);
        shuffle(order, TOKENS, seed + head);
        for (uint32_t p = 0; p < PAGES; p++) {
            const uint32_t n = (p + 1) * PAGE <= TOKENS ? PAGE : TOKENS - p * PAGE;
            const uint64_t ref = put_page(w, 2 * p + head, 0, order + (size_t)p * PAGE, n);
            w->refs[head * PAGES + p] = ref;
            if (head == 0) w->refs[2 * PAGES + p] = ref;
        }
    }
}

static void check_shared(const world *w, uint32_t parts)
{
    static two_heads each, both;
    const uint32_t h = w->built.spec.heads_per_kv;
    run_two(w, false, parts, &each);
    run_two(w, true, parts, &both);
    assert_memory_equal(each.out, both.out, sizeof each.out); /* shares are the same */
    assert_memory_equal(each.lse, both.lse, sizeof each.lse);
    for (uint32_t p = 0; p < PAGES; p++)
        for (uint32_t head = 0; head < 2; head++)
            assert_memory_equal(each.ml + (size_t)(head * PAGES + p) * h * 2,
                                both.ml + (size_t)(2 * p + head) * h * 2, h * 2 * sizeof(float));
    assert_true(isfinite(each.lse[0][0]) && isfinite(each.ml[0]));
}

static void test_shared_lists(void **state)
{
    static const char *const specs[] = {DENSE, CODED_F16};
    for (uint32_t i = 0; i < SK_COUNT(specs); i++) {
        world w;
        world_start(*state, &w, specs[i]);
        put_two(&w, ((kernel_lab *)*state)->seed);
        for (uint32_t parts = 1; parts <= 5; parts++) check_shared(&w, parts);
        world_free(&w);
    }
}

int main(void)
{
    kernel_lab lab;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_parts, &lab),
        cmocka_unit_test_prestate(test_shares, &lab),
        cmocka_unit_test_prestate(test_split, &lab),
        cmocka_unit_test_prestate(test_page_order, &lab),
        cmocka_unit_test_prestate(test_pages_twice, &lab),
        cmocka_unit_test_prestate(test_one_token, &lab),
        cmocka_unit_test_prestate(test_largest_pairs, &lab),
        cmocka_unit_test_prestate(test_empty_pages, &lab),
        cmocka_unit_test_prestate(test_shared_lists, &lab),
    };
    kernel_lab_open(&lab);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kernel_lab_close(&lab);
    return failed;
}
