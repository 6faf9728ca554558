/* test_prop_attn.c - what attention must obey whatever its numbers are: order
 * of pages and tokens, number of parts, linearity in V, a rotation of queries
 * and keys, empty pages, pages twice, one token, heads together or alone, scale
 * in q or in the scale. No reference takes part: a mistake that the reference
 * shares would show here.
 *
 * Numbers are chosen so that storing them rounds nothing where that would break
 * the law (small integers in f16); what is left is the rounding of f32 sums. */
#include "sk_test.h"

#include "prop_world.h"

/* ---- laws ------------------------------------------------------------------------- */

static void check_parts(kernel_lab *lab, const char *spec, double tolerance)
{
    world w;
    float one[MAX_H][MAX_D];
    world_start(lab, &w, spec);
    memcpy(one, w.out, sizeof one);
    for (w.parts = 2; w.parts <= PAGES + 2; w.parts++) {
        world_run(&w);
        assert_rows(&w, one, tolerance);
    }
    world_free(&w);
}

static void test_parts(void **state)
{
    check_parts(*state, MIX("exact"), 2e-6);
    check_parts(*state, MIX("tight"), 5e-4);
    check_parts(*state, DENSE, 2e-6);
}

static void test_page_order(void **state)
{
    world w;
    float want[MAX_H][MAX_D];
    world_start(*state, &w, MIX("exact"));
    memcpy(want, w.out, sizeof want);
    for (uint32_t t = 0; t < 2; t++) { /* refs stay sorted by tier */
        uint64_t swap = w.refs[t * 3];
        w.refs[t * 3] = w.refs[t * 3 + 2];
        w.refs[t * 3 + 2] = swap;
    }
    world_run(&w);
    assert_rows(&w, want, 2e-6);
    world_free(&w);
}

static void test_token_order(void **state)
{
    kernel_lab *lab = *state;
    world w;
    uint32_t order[TOKENS];
    float want[MAX_H][MAX_D];
    world_start(lab, &w, MIX("exact")); /* vi8 has a scale per page: inside pages */
    memcpy(want, w.out, sizeof want);
    in_order(order);
    for (uint32_t p = 0; p < PAGES - 1; p++)
        shuffle(order + (size_t)p * PAGE, PAGE, lab->seed + p);
    put_all(&w, order);
    world_run(&w);
    assert_rows(&w, want, 2e-6);
    world_free(&w);
    world_start(lab, &w, CODED_F16); /* f16 values: over all pages */
    memcpy(want, w.out, sizeof want);
    in_order(order);
    shuffle(order, TOKENS, lab->seed);
    put_all(&w, order);
    world_run(&w);
    assert_rows(&w, want, 2e-6);
    world_free(&w);
}

static void check_linear(kernel_lab *lab, const char *spec)
{
    world w;
    uint32_t order[TOKENS];
    float sum[MAX_H][MAX_D];
    world_start(lab, &w, spec);
    rows first = data, second;
    in_order(order);
    memcpy(sum, w.out, sizeof sum);
    data_fill(lab->seed + 4);
    second = data;
    memcpy(data.k, first.k, sizeof data.k);
    put_all(&w, order);
    world_run(&w);
    for (uint32_t h = 0; h < MAX_H; h++)
        for (uint32_t c = 0; c < MAX_D; c++)
            sum[h][c] = 2 * sum[h][c] - 3 * w.out[h][c];
    for (uint32_t t = 0; t < TOKENS; t++)
        for (uint32_t c = 0; c < MAX_D; c++)
            data.v[t][c] = 2 * first.v[t][c] - 3 * second.v[t][c];
    put_all(&w, order);
    world_run(&w);
    assert_rows(&w, sum, 5e-6);
    world_free(&w);
}

static void test_linear_in_v(void **state)
{
    check_linear(*state, DENSE);
    check_linear(*state, CODED_F16);
}

/* By the angle of the triangle 3, 4, 5 in every plane (i, i + D/2): multiples
 * of 5 stay whole numbers. */
static void test_rotation(void **state)
{
    kernel_lab *lab = *state;
    world w;
    uint32_t order[TOKENS];
    float want[MAX_H][MAX_D];
    world_start(lab, &w, DENSE);
    uint32_t half = w.built.spec.d / 2;
    in_order(order);
    for (uint32_t t = 0; t < TOKENS; t++)
        for (uint32_t i = 0; i < 2 * half; i++)
            data.k[t][i] *= 5;
    w.scale = 0.006f;
    put_all(&w, order);
    world_run(&w);
    memcpy(want, w.out, sizeof want);
    for (uint32_t t = 0; t < TOKENS; t++)
        for (uint32_t i = 0; i < half; i++) {
            double x = data.k[t][i], y = data.k[t][i + half];
            data.k[t][i] = (3 * x - 4 * y) / 5;
            data.k[t][i + half] = (4 * x + 3 * y) / 5;
        }
    for (uint32_t h = 0; h < w.built.spec.heads_per_kv; h++)
        for (uint32_t i = 0; i < half; i++) {
            float x = w.q[h][i], y = w.q[h][i + half];
            w.q[h][i] = (3 * x - 4 * y) / 5;
            w.q[h][i + half] = (4 * x + 3 * y) / 5;
        }
    put_all(&w, order);
    world_run(&w);
    assert_rows(&w, want, 1e-5);
    world_free(&w);
}

static void test_empty_pages(void **state)
{
    world w;
    float want[MAX_H][MAX_D];
    uint64_t refs[PAGES];
    world_start(*state, &w, MIX("exact"));
    memcpy(want, w.out, sizeof want);
    memcpy(refs, w.refs, sizeof refs);
    for (uint32_t p = 0; p < PAGES; p++) { /* an empty one before each, of its tier */
        w.refs[2 * p] = sphkv_page_ref(sphkv_ref_unit(refs[p]), 0, sphkv_ref_tier(refs[p]));
        w.refs[2 * p + 1] = refs[p];
    }
    w.indptr[1] = 2 * PAGES;
    for (w.parts = 1; w.parts <= 5; w.parts += 2) {
        world_run(&w);
        assert_rows(&w, want, 2e-6);
    }
    for (uint32_t p = 0; p < PAGES; p++) /* nothing but empty ones: zeros */
        w.refs[2 * p + 1] = w.refs[2 * p];
    for (w.parts = 1; w.parts <= 5; w.parts += 2) {
        world_run(&w);
        for (uint32_t i = 0; i < w.built.spec.heads_per_kv * MAX_D; i++)
            assert_true(w.out[i / MAX_D][i % MAX_D] == 0);
    }
    world_free(&w);
}

/* Every page twice: all weights halve, the output stays. */
static void test_pages_twice(void **state)
{
    world w;
    float want[MAX_H][MAX_D];
    uint64_t refs[PAGES];
    world_start(*state, &w, MIX("exact"));
    memcpy(want, w.out, sizeof want);
    memcpy(refs, w.refs, sizeof refs);
    for (uint32_t p = 0; p < PAGES; p++)
        w.refs[2 * p] = w.refs[2 * p + 1] = refs[p];
    w.indptr[1] = 2 * PAGES;
    world_run(&w);
    assert_rows(&w, want, 2e-6);
    world_free(&w);
}

static void test_one_token(void **state)
{
    static const char *const specs[] = {DENSE, CODED_F16, MIX("tight")};
    for (uint32_t i = 0; i < SK_COUNT(specs); i++) {
        world w;
        float want[MAX_H][MAX_D];
        double v[MAX_D];
        world_start(*state, &w, specs[i]);
        for (uint32_t tier = 0; tier < w.built.spec.ntiers; tier++) {
            const uint32_t token = 77;
            w.refs[0] = put_page(&w, 1, tier, &token, 1);
            w.indptr[1] = 1;
            sk_page_decode_ref(&w.built.spec, tier,
                               w.arena + (size_t)sphkv_ref_unit(w.refs[0]) * SPHKV_UNIT_BYTES, 1,
                               w.book, NULL, v);
            for (uint32_t h = 0; h < MAX_H; h++)
                for (uint32_t c = 0; c < MAX_D; c++)
                    want[h][c] = (float)v[c];
            world_run(&w);
            assert_rows(&w, want, tier == 0 && i == 2 ? 1e-4 : 1e-6);
        }
        world_free(&w);
    }
}

/* A query head alone gives what it gives among others. */
static void test_one_head(void **state)
{
    world all, one;
    world_start(*state, &all, MIX("exact"));
    world_start(*state, &one,
                "attn_decode d64 v64 h1 p32 l1 qf32 of32 if32 exact good:vi8,kf16:vf16");
    for (uint32_t h = 0; h < MAX_H; h++) {
        float want[MAX_H][MAX_D];
        memcpy(want[0], all.out[h], sizeof want[0]);
        memcpy(one.q[0], all.q[h], sizeof one.q[0]);
        world_run(&one);
        assert_rows(&one, want, 2e-6);
    }
    world_free(&all);
    world_free(&one);
}

/* 8 q at scale / 8, and the default scale by its number. */
static void test_scale(void **state)
{
    world w;
    float want[MAX_H][MAX_D];
    world_start(*state, &w, MIX("exact"));
    memcpy(want, w.out, sizeof want);
    for (uint32_t i = 0; i < MAX_H * MAX_D; i++)
        w.q[i / MAX_D][i % MAX_D] *= 8;
    w.scale /= 8;
    world_run(&w);
    assert_rows(&w, want, 2e-6);
    w.scale = 0;
    world_run(&w);
    memcpy(want, w.out, sizeof want);
    w.scale = 0.125f; /* 1 / sqrt(64) */
    world_run(&w);
    assert_rows(&w, want, 2e-6);
    world_free(&w);
}

int main(void)
{
    kernel_lab lab;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_parts, &lab),
        cmocka_unit_test_prestate(test_page_order, &lab),
        cmocka_unit_test_prestate(test_token_order, &lab),
        cmocka_unit_test_prestate(test_linear_in_v, &lab),
        cmocka_unit_test_prestate(test_rotation, &lab),
        cmocka_unit_test_prestate(test_empty_pages, &lab),
        cmocka_unit_test_prestate(test_pages_twice, &lab),
        cmocka_unit_test_prestate(test_one_token, &lab),
        cmocka_unit_test_prestate(test_one_head, &lab),
        cmocka_unit_test_prestate(test_scale, &lab),
    };
    kernel_lab_open(&lab);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kernel_lab_close(&lab);
    return failed;
}
