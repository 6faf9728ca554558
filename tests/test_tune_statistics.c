/* test_tune_statistics.c - verdicts over made-up times: whoever is slower than
 * the default never wins, noise makes ties and not winners, ties fall to the
 * fixed order, and the same samples give the same verdict. */
#include "sk_test.h"

#include <math.h>

#include "statistics.h"

#define ROUNDS 41

static sk_rng rng;

/* Times around `us`, with the machine's mood of the round and a long tail. */
static void fill(double *x, const double *mood, double us, double noise)
{
    for (int i = 0; i < ROUNDS; i++) {
        double spike = sk_rng_below(&rng, 12) == 0 ? 1 + sk_rng_unit(&rng) : 1;
        x[i] = us * mood[i] * (1 + noise * fabs(sk_rng_normal(&rng))) * spike;
    }
}

static void make_mood(double *mood)
{
    for (int i = 0; i < ROUNDS; i++) mood[i] = i > ROUNDS / 2 ? 1.6 : 1 + 0.1 * sk_rng_unit(&rng);
}

static void medians(void **state)
{
    (void)state;
    const double odd[] = {9, 1, 5}, even[] = {4, 1, 3, 2};
    assert_true(sk_median(odd, 3) == 5);
    assert_true(sk_median(even, 4) == 2.5);
    assert_true(sk_median(odd, 0) == 0);
    assert_true(odd[0] == 9); /* not sorted in place */
}

static void intervals(void **state)
{
    (void)state;
    double a[ROUNDS], b[ROUNDS], mood[ROUNDS];
    sk_interval one, two;
    sk_err err;
    make_mood(mood);
    fill(a, mood, 20, 0.02);
    fill(b, mood, 10, 0.02);
    sk_assert_ok(sk_ratio_interval(a, b, ROUNDS, 7, &one, &err), &err);
    sk_assert_ok(sk_ratio_interval(a, b, ROUNDS, 7, &two, &err), &err);
    assert_memory_equal(&one, &two, sizeof one);
    assert_true(one.lo <= one.mid && one.mid <= one.hi);
    assert_true(one.lo > 1.8 && one.hi < 2.2);
    a[0] = NAN;
    a[1] = 0;
    sk_assert_ok(sk_ratio_interval(a, b, ROUNDS, 7, &one, &err), &err);
    assert_true(isfinite(one.mid));
    for (int i = 0; i < ROUNDS; i++) a[i] = 0;
    assert_int_equal(sk_ratio_interval(a, b, ROUNDS, 7, &one, &err), SPHKV_EINVAL);
}

/* Many rounds of luck: five schedules that are as fast as the default or slower
 * must never be called winners. */
static void noise_never_wins(void **state)
{
    (void)state;
    static const double us[6] = {100, 100, 101, 103, 110, 150};
    double times[6][ROUNDS], mood[ROUNDS];
    int wrong = 0;
    for (int trial = 0; trial < 60; trial++) {
        sk_entrant entrant[6];
        sk_verdict v;
        sk_err err;
        make_mood(mood);
        for (uint32_t i = 0; i < 6; i++) {
            fill(times[i], mood, us[i], 0.05);
            entrant[i] = (sk_entrant){i * 3, times[i]};
        }
        sk_assert_ok(sk_verdict_find(entrant, 6, ROUNDS, (uint64_t)trial, &v, &err), &err);
        if (v.winner == 0) {
            assert_true(v.speedup.mid == 1 && v.speedup.lo == 1 && v.speedup.hi == 1);
            continue;
        }
        assert_true(v.winner < 2); /* 1 is an equal; the slower ones never */
        wrong++;
    }
    assert_true(wrong <= 3); /* a test at 95 % may err now and then */
}

static void slower_default_loses(void **state)
{
    (void)state;
    double times[3][ROUNDS], mood[ROUNDS];
    make_mood(mood);
    fill(times[0], mood, 100, 0.03);
    fill(times[1], mood, 70, 0.03);
    fill(times[2], mood, 85, 0.03);
    const sk_entrant entrant[3] = {{0, times[0]}, {5, times[1]}, {2, times[2]}};
    sk_verdict v;
    sk_err err;
    sk_assert_ok(sk_verdict_find(entrant, 3, ROUNDS, 1, &v, &err), &err);
    assert_int_equal(v.winner, 1);
    assert_int_equal(v.fastest, 1);
    assert_false(v.tied[0]);
    assert_false(v.tied[2]);
    assert_true(v.speedup.lo > 1.3 && v.speedup.hi < 1.6);
}

/* Equals: the lowest rank, whoever happens to be fastest. */
static void ties_by_order(void **state)
{
    (void)state;
    double times[4][ROUNDS], mood[ROUNDS];
    make_mood(mood);
    fill(times[0], mood, 100, 0.02);
    for (int i = 0; i < ROUNDS; i++) {
        times[1][i] = times[0][i] * 0.700;
        times[2][i] = times[0][i] * 0.704;
        times[3][i] = times[0][i] * 0.703;
    }
    const sk_entrant entrant[4] = {{0, times[0]}, {9, times[1]}, {4, times[2]}, {6, times[3]}};
    sk_verdict v;
    sk_err err;
    sk_assert_ok(sk_verdict_find(entrant, 4, ROUNDS, 1, &v, &err), &err);
    assert_int_equal(v.fastest, 1);
    assert_int_equal(v.winner, 2);
    assert_true(v.tied[1] && v.tied[2] && v.tied[3] && !v.tied[0]);
    assert_true(fabs(v.speedup.mid - 1 / 0.704) < 1e-9);
}

/* Half a per cent is not a win. */
static void default_keeps_ties(void **state)
{
    (void)state;
    double times[2][ROUNDS], mood[ROUNDS];
    make_mood(mood);
    fill(times[0], mood, 100, 0.02);
    for (int i = 0; i < ROUNDS; i++) times[1][i] = times[0][i] * 0.995;
    const sk_entrant entrant[2] = {{0, times[0]}, {1, times[1]}};
    sk_verdict v;
    sk_err err;
    sk_assert_ok(sk_verdict_find(entrant, 2, ROUNDS, 1, &v, &err), &err);
    assert_int_equal(v.winner, 0);
    assert_true(v.tied[0] && v.tied[1]);
    assert_true(v.speedup.mid == 1);
}

static void refusals(void **state)
{
    (void)state;
    double x[ROUNDS] = {0};
    const sk_entrant nobody[1] = {{1, x}};
    sk_verdict v;
    sk_err err;
    assert_int_equal(sk_verdict_find(nobody, 1, ROUNDS, 1, &v, &err), SPHKV_EINVAL);
    assert_int_equal(sk_verdict_find(nobody, 0, ROUNDS, 1, &v, &err), SPHKV_EINVAL);
    assert_int_equal(sk_verdict_find(nobody, 1, 0, 1, &v, &err), SPHKV_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(medians),          cmocka_unit_test(intervals),
        cmocka_unit_test(noise_never_wins), cmocka_unit_test(slower_default_loses),
        cmocka_unit_test(ties_by_order),    cmocka_unit_test(default_keeps_ties),
        cmocka_unit_test(refusals),
    };
    rng = sk_test_rng(20260105);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
