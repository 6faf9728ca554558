/* test_tune_strategy.c - strategies on spaces whose costs are a formula: every point once
 * and none twice, the same from the same seed, nothing lost by failures, and that the
 * model is worth its arithmetic. No clock is looked at. */
#include "sk_test.h"

#include <math.h>

#include "coordinates.h"
#include "strategy.h"

enum { DIMS = 5, POINTS = 8 * 5 * 3 * 2 * 1 };

/* A space of five dimensions, the last with one value. */
typedef struct grid {
    uint16_t at[POINTS * DIMS], levels[DIMS];
    sk_points points;
} grid;

static void make_grid(grid *g)
{
    const uint16_t levels[DIMS] = {8, 5, 3, 2, 1};
    memcpy(g->levels, levels, sizeof levels);
    for (uint32_t i = 0; i < POINTS; i++) {
        uint32_t rest = i;
        for (uint32_t d = 0; d < DIMS; d++) {
            g->at[i * DIMS + d] = (uint16_t)(rest % levels[d]);
            rest /= levels[d];
        }
    }
    g->points = (sk_points){POINTS, DIMS, g->at, g->levels, NULL};
}

/* A valley that is not along the axes, a cliff, and a corner that fails. */
static double cost_of(const grid *g, uint32_t i)
{
    const uint16_t *x = g->at + i * DIMS;
    const double a = x[0] / 7.0, b = x[1] / 4.0, c = x[2] / 2.0;
    if (x[0] == 7 && x[1] > 2) return INFINITY;
    const double valley = (a + b - 0.9) * (a + b - 0.9) + 0.3 * (c - a) * (c - a);
    return 1 + 3 * valley + (x[3] ? 0 : 0.5);
}

static double optimum(const grid *g)
{
    double best = INFINITY;
    for (uint32_t i = 0; i < POINTS; i++) best = fmin(best, cost_of(g, i));
    return best;
}

/* The best of `trials`; order[]: the points, may be NULL. */
static double search(const grid *g, const char *name, uint32_t trials, uint64_t seed,
                     uint32_t *order)
{
    sk_strategy *s;
    sk_err err = {0};
    double best = INFINITY;
    uint32_t i;
    sk_assert_ok(sk_strategy_make(name, &g->points, trials, seed, &s, &err), &err);
    for (uint32_t n = 0; n < trials && sk_strategy_next(s, &i); n++) {
        assert_true(i < POINTS);
        if (order) order[n] = i;
        best = fmin(best, cost_of(g, i));
        sk_strategy_tell(s, i, cost_of(g, i));
    }
    sk_strategy_free(s);
    return best;
}

static void every_point_once(void **state)
{
    static grid g;
    static uint32_t order[POINTS + 1], again[POINTS + 1];
    const uint64_t seed = sk_test_seed(3);
    const char *name;
    (void)state;
    make_grid(&g);
    for (uint32_t k = 0; (name = sk_strategy_name(k)) != NULL; k++) {
        bool seen[POINTS] = {0};
        order[POINTS] = 0xffff;
        assert_true(search(&g, name, POINTS + 1, seed, order) == optimum(&g));
        assert_int_equal(order[POINTS], 0xffff); /* the space ends */
        for (uint32_t i = 0; i < POINTS; i++) {
            assert_false(seen[order[i]]);
            seen[order[i]] = true;
        }
        (void)search(&g, name, 60, seed, order);
        (void)search(&g, name, 60, seed, again);
        assert_memory_equal(order, again, 60 * sizeof *order);
    }
}

/* Several at once, before any is told; points that others told of, or ruled out. */
static void never_twice(void **state)
{
    static grid g;
    const char *name;
    (void)state;
    make_grid(&g);
    for (uint32_t k = 0; (name = sk_strategy_name(k)) != NULL; k++) {
        sk_strategy *s;
        sk_err err = {0};
        bool gone[POINTS] = {0};
        uint32_t left = 0, i;
        sk_assert_ok(sk_strategy_make(name, &g.points, 0, 7, &s, &err), &err);
        for (i = 0; i < POINTS; i += 3) {
            if (i % 2) sk_strategy_tell(s, i, cost_of(&g, i));
            else sk_strategy_skip(s, i);
            gone[i] = true;
        }
        for (bool more = true; more;) {
            uint32_t batch[4], n = 0;
            while (n < 4 && (more = sk_strategy_next(s, &batch[n]))) {
                assert_false(gone[batch[n]]);
                gone[batch[n++]] = true;
            }
            left += n;
            for (uint32_t b = 0; b < n; b++) sk_strategy_tell(s, batch[b], cost_of(&g, batch[b]));
        }
        assert_int_equal(left, POINTS - (POINTS + 2) / 3);
        sk_strategy_free(s);
    }
}

/* Mean regret of searches with 25 of 240 points. */
static double mean_regret(const grid *g, const char *name, uint64_t seed)
{
    enum { SEEDS = 12 };
    double sum = 0;
    for (uint64_t k = 0; k < SEEDS; k++)
        sum += search(g, name, 25, seed + k, NULL) / optimum(g) - 1;
    return sum / SEEDS;
}

static void the_model_finds_more(void **state)
{
    static grid g;
    const uint64_t seed = sk_test_seed(40);
    (void)state;
    make_grid(&g);
    const double by_chance = mean_regret(&g, "random", seed), model = mean_regret(&g, "model", seed);
    print_message("random %.4f, local %.4f, model %.4f\n", by_chance, mean_regret(&g, "local", seed),
                  model);
    assert_true(model < 0.5 * by_chance);
    assert_true(mean_regret(&g, "auto", seed) == model); /* 25 trials do not cover 240 points */
}

/* Whether two divides a number matters to a machine: 16 to 256 in steps of 16, and all but
 * powers of two are slow. */
static void numbers_say_more_than_ranks(void **state)
{
    enum { X = 16, Y = 6, Z = 6, N = X * Y * Z, TRIALS = 25, SEEDS = 12 };
    static uint16_t at[N * 3];
    static double number[N * 3], cost[N];
    const uint16_t levels[3] = {X, Y, Z};
    const uint64_t seed = sk_test_seed(11);
    double regret[2] = {0};
    (void)state;
    for (uint32_t i = 0; i < N; i++) {
        const uint32_t x = i % X, y = i / X % Y, z = i / X / Y, size = 16 * (x + 1);
        at[i * 3] = (uint16_t)x, at[i * 3 + 1] = (uint16_t)y, at[i * 3 + 2] = (uint16_t)z;
        number[i * 3] = size;
        number[i * 3 + 1] = number[i * 3 + 2] = NAN;
        cost[i] = (size & (size - 1) ? 3 : 1) *
                  (1 + fabs(x / 15.0 - 0.45) + 0.2 * fabs(y - 2.0) + 0.1 * fabs(z - 3.0));
    }
    for (uint32_t known = 0; known < 2; known++)
        for (uint64_t k = 0; k < SEEDS; k++) {
            const sk_points points = {N, 3, at, levels, known ? number : NULL};
            sk_strategy *s;
            sk_err err = {0};
            double best = INFINITY, least = INFINITY;
            for (uint32_t i = 0; i < N; i++) least = fmin(least, cost[i]);
            sk_assert_ok(sk_strategy_make("model", &points, TRIALS, seed + k, &s, &err), &err);
            for (uint32_t n = 0, i; n < TRIALS && sk_strategy_next(s, &i); n++) {
                best = fmin(best, cost[i]);
                sk_strategy_tell(s, i, cost[i]);
            }
            sk_strategy_free(s);
            regret[known] += (best / least - 1) / SEEDS;
        }
    print_message("ranks %.4f, numbers %.4f\n", regret[0], regret[1]);
    assert_true(regret[1] < 0.5 * regret[0]);
}

/* What becomes a coordinate, and what does not. */
static void places_in_the_cube(void **state)
{
    enum { N = 4, IN = 6 };
    /* mixed sizes, powers of two and none, words, fractions, one value, not whole */
    const double number[N][IN] = {{16, 0, NAN, 0.5, 7, 2}, {48, 1, NAN, 1, 7, 6},
                                  {64, 2, NAN, 3, 7, 10}, {96, 4, NAN, 6, 7, 18}};
    const uint16_t at[N][IN] = {{0, 0, 1, 0, 0, 0}, {1, 1, 0, 1, 0, 1},
                                {2, 2, 1, 2, 0, 2}, {3, 3, 0, 3, 0, 3}};
    const uint16_t levels[IN] = {4, 4, 2, 4, 1, 4};
    const double expected[N][6] = {{0, 4 / 6.0, 0, 1, 0, 0},
                                   {1 / 3.0, 4 / 6.0, 1 / 3.0, 0, 1 / 3.0, 1 / 3.0},
                                   {2 / 3.0, 1, 2 / 3.0, 1, 2 / 3.0, 2 / 3.0},
                                   {1, 5 / 6.0, 1, 0, 1, 1}};
    const sk_points points = {N, IN, at[0], levels, number[0]};
    uint32_t dims;
    double *unit;
    sk_err err = {0};
    (void)state;
    sk_assert_ok(sk_coordinates_make(&points, &unit, &dims, &err), &err);
    assert_int_equal(dims, 6);
    for (uint32_t i = 0; i < N; i++)
        for (uint32_t d = 0; d < dims; d++)
            if (fabs(unit[i * dims + d] - expected[i][d]) > 1e-12)
                fail_msg("point %u, coordinate %u: %g", i, d, unit[i * dims + d]);
    sk_free(unit);
}

/* More was seen than a model holds: it takes the best and the newest. */
static void more_than_a_model_holds(void **state)
{
    enum { N = 1200 };
    static uint16_t at[N * 2];
    static const uint16_t levels[2] = {40, 30};
    const sk_points points = {N, 2, at, levels, NULL};
    sk_strategy *s;
    sk_err err = {0};
    uint32_t next, near = 0;
    (void)state;
    for (uint32_t i = 0; i < N; i++) at[2 * i] = (uint16_t)(i % 40), at[2 * i + 1] = (uint16_t)(i / 40);
    sk_assert_ok(sk_strategy_make("model", &points, 0, sk_test_seed(5), &s, &err), &err);
    for (uint32_t k = 0; k < 500; k++) { /* every second one of the first thousand */
        const double x = at[4 * k] / 39.0 - 0.6, y = at[4 * k + 1] / 29.0 - 0.4;
        sk_strategy_tell(s, 2 * k, 1 + x * x + y * y);
    }
    for (uint32_t k = 0; k < 3; k++) {
        assert_true(sk_strategy_next(s, &next));
        near += fabs(at[2 * next] / 39.0 - 0.6) < 0.15 && fabs(at[2 * next + 1] / 29.0 - 0.4) < 0.15;
        sk_strategy_tell(s, next, 2);
    }
    assert_true(near >= 1); /* a twentieth of the space, by chance 1 in 8 */
    sk_strategy_free(s);
}

static void nothing_but_failures(void **state)
{
    static grid g;
    const char *name;
    (void)state;
    make_grid(&g);
    for (uint32_t k = 0; (name = sk_strategy_name(k)) != NULL; k++) {
        sk_strategy *s;
        sk_err err = {0};
        uint32_t i, n = 0;
        sk_assert_ok(sk_strategy_make(name, &g.points, 100, 7, &s, &err), &err);
        for (; n < 100 && sk_strategy_next(s, &i); n++) sk_strategy_tell(s, i, INFINITY);
        assert_int_equal(n, 100);
        sk_strategy_free(s);
    }
}

static void one_point(void **state)
{
    (void)state;
    const uint16_t at[1] = {0}, levels[1] = {1};
    const sk_points points = {1, 1, at, levels, NULL};
    const char *name;
    for (uint32_t k = 0; (name = sk_strategy_name(k)) != NULL; k++) {
        sk_strategy *s;
        sk_err err = {0};
        uint32_t i = 9;
        sk_assert_ok(sk_strategy_make(name, &points, 5, 7, &s, &err), &err);
        assert_true(sk_strategy_next(s, &i) && i == 0);
        assert_false(sk_strategy_next(s, &i));
        sk_strategy_free(s);
    }
}

static void unknown_names(void **state)
{
    static grid g;
    sk_strategy *s;
    sk_err err = {0};
    (void)state;
    make_grid(&g);
    assert_int_equal(sk_strategy_make("magic", &g.points, 5, 7, &s, &err), SPHKV_EINVAL);
    assert_non_null(strstr(err.message, "'magic'"));
    assert_null(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_point_once),    cmocka_unit_test(never_twice),
        cmocka_unit_test(the_model_finds_more), cmocka_unit_test(nothing_but_failures),
        cmocka_unit_test(more_than_a_model_holds), cmocka_unit_test(places_in_the_cube),
        cmocka_unit_test(numbers_say_more_than_ranks),
        cmocka_unit_test(one_point),           cmocka_unit_test(unknown_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
