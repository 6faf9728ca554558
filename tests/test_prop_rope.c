/* test_prop_rope.c - laws of keys that are kept before RoPE, without a reference:
 * logits depend on the distance between query and key only; at position 0 such a tier
 * is the same tier after RoPE, bit for bit; dimensions that are not rotated know of no
 * position. */
#include "sk_test.h"

#include <math.h>

#include "prop_world.h"

#define SPEC(tiers) "attn_decode d64 v64 h2 p32 l1 qf32 of32 if32 exact " tiers
#define CODED SPEC("g8b8r16sDp:vf16,kf16p:vf16")

/* Rows of n numbers, close together, for positions from 0 on. */
static void rope_fill(world *w, uint32_t n)
{
    float *row = &w->rope[0][0];
    w->rope_dims = n;
    for (uint32_t x = 0; x < ROPE_ROWS; x++, row += n)
        for (uint32_t i = 0; i < n / 2; i++) {
            const double angle = x * pow(500, -2.0 * i / n);
            row[i] = (float)cos(angle);
            row[i + n / 2] = (float)sin(angle);
        }
}

/* Positions in no order, all below `most`, and `by` more. */
static void positions_fill(world *w, uint64_t seed, uint32_t most, uint32_t by)
{
    sk_rng rng;
    sk_rng_seed(&rng, seed);
    for (uint32_t t = 0; t < PAGES * PAGE; t++) w->positions[t] = by + sk_rng_below(&rng, most);
}

static void turn_queries(world *w, const float q[MAX_H][MAX_D], uint32_t position)
{
    const sphkv_rope rope = {&w->rope[0][0], ROPE_ROWS, w->rope_dims};
    for (uint32_t h = 0; h < w->built.spec.heads_per_kv; h++) {
        double x[MAX_D];
        for (uint32_t i = 0; i < w->built.spec.d; i++) x[i] = (double)q[h][i];
        sk_rope_tier_ref(&w->built.spec, 0, &rope, position, false, x);
        for (uint32_t i = 0; i < w->built.spec.d; i++) w->q[h][i] = (float)x[i];
    }
}

static void check_shift(kernel_lab *lab, const char *spec, uint32_t dims)
{
    static const uint32_t by[] = {1, 17, 300, 800};
    world w;
    uint32_t order[TOKENS];
    float q[MAX_H][MAX_D], want[MAX_H][MAX_D];
    world_make(lab, &w, spec);
    data_fill(lab->seed + 3);
    in_order(order);
    rope_fill(&w, dims);
    w.scale = 0.03f;
    memcpy(q, w.q, sizeof q);
    for (uint32_t i = 0; i <= SK_COUNT(by); i++) {
        const uint32_t shift = i == 0 ? 0 : by[i - 1];
        positions_fill(&w, lab->seed, 200, shift);
        put_all(&w, order);
        turn_queries(&w, (const float(*)[MAX_D])q, shift);
        world_run(&w);
        if (i == 0)
            memcpy(want, w.out, sizeof want);
        else
            assert_rows(&w, want, 2e-5);
    }
    world_free(&w);
}

static void test_shift(void **state)
{
    check_shift(*state, CODED, 64);
    check_shift(*state, CODED, 24);
    check_shift(*state, SPEC("32@kf16+32@g8b8r16s32p:vf16,32@lean+32@kf16p:vk"), 32);
    check_shift(*state, SPEC("32@kf32p+32@g8b8r16s32p:vk"), 16);
}

/* Positions must matter, or the laws above are empty. */
static void test_positions_matter(void **state)
{
    kernel_lab *lab = *state;
    world w;
    uint32_t order[TOKENS];
    float other[MAX_H][MAX_D];
    world_make(lab, &w, CODED);
    data_fill(lab->seed + 3);
    in_order(order);
    rope_fill(&w, 64);
    w.scale = 0.03f;
    for (uint32_t i = 0; i < 2; i++) {
        positions_fill(&w, lab->seed + i, 900, 0);
        put_all(&w, order);
        world_run(&w);
        if (i == 0) memcpy(other, w.out, sizeof other);
    }
    assert_true(kernel_difference(w.out[0], other[0], w.built.spec.dv) > 1e-2);
    world_free(&w);
}

static void run_plain(kernel_lab *lab, const char *spec, const char *schedule, world *w)
{
    uint32_t order[TOKENS];
    const kernel_row row = {spec, schedule, 0};
    world_make(lab, w, spec);
    kernel_built_free(&w->built);
    kernel_build(lab, &row, &w->built);
    data_fill(lab->seed + 3);
    in_order(order);
    rope_fill(w, 64);
    put_all(w, order); /* all at position 0 */
    w->scale = 0.03f;
    world_run(w);
}

static void test_position_zero(void **state)
{
    static world before, after;
    run_plain(*state, SPEC("g8b8r16sDp:vf16"), "ktok=1", &before);
    run_plain(*state, SPEC("lean:vf16"), "lut=rebuild,ktok=1", &after);
    for (uint32_t h = 0; h < 2; h++)
        assert_memory_equal(before.out[h], after.out[h], 64 * sizeof(float));
    world_free(&before);
    world_free(&after);
}

static void test_rest_stays(void **state)
{
    kernel_lab *lab = *state;
    world w;
    uint32_t order[TOKENS];
    float want[MAX_H][MAX_D];
    world_make(lab, &w, CODED);
    data_fill(lab->seed + 3);
    in_order(order);
    rope_fill(&w, 16);
    for (uint32_t h = 0; h < MAX_H; h++)
        for (uint32_t i = 0; i < 16; i++) w.q[h][i] = 0;
    w.scale = 0.03f;
    for (uint32_t i = 0; i < 3; i++) {
        positions_fill(&w, lab->seed + i, ROPE_ROWS, 0);
        put_all(&w, order);
        world_run(&w);
        if (i == 0) memcpy(want, w.out, sizeof want);
        for (uint32_t h = 0; h < 2; h++) assert_memory_equal(want[h], w.out[h], 64 * sizeof(float));
    }
    world_free(&w);
}

int main(void)
{
    kernel_lab lab;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_shift, &lab),
        cmocka_unit_test_prestate(test_positions_matter, &lab),
        cmocka_unit_test_prestate(test_position_zero, &lab),
        cmocka_unit_test_prestate(test_rest_stays, &lab),
    };
    kernel_lab_open(&lab);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kernel_lab_close(&lab);
    return failed;
}
