/* test_tune_race.c - simulated devices whose times are known to a formula, with noise of
 * several shapes, drift, slow stretches and outliers: what statistics.h and race.h promise
 * must hold at the rate that they state. No clock is looked at; the seed is printed. */
#include "sk_test.h"

#include <math.h>

#include "race.h"

#define ROUNDS_MOST 200

/* The machine of one round. */
typedef enum shape { QUIET, TAILS, DRIFTING, STRETCHES, SHAPES } shape;
static const char *const shape_name[SHAPES] = {"normal noise", "long tails", "drift",
                                               "slow stretches"};

typedef struct device {
    shape shape;
    double noise;
    sk_rng rng;
    double mood;
} device;

static void begin_round(device *d, uint32_t round)
{
    if (d->shape == DRIFTING) d->mood = 1 + 0.01 * round;
    else if (d->shape == STRETCHES) d->mood = round % 40 > 30 ? 2.5 : 1;
    else d->mood = 1 + 0.1 * sk_rng_unit(&d->rng);
}

/* A time of a kernel that takes `us` in a quiet moment; its median is us times the mood. */
static double take(device *d, double us)
{
    double noise = d->noise * sk_rng_normal(&d->rng);
    if (d->shape == TAILS && sk_rng_below(&d->rng, 5) == 0) noise *= 12;
    return us * d->mood * exp(noise);
}

static void fill(device *d, const double *us, uint32_t n, uint32_t rounds,
                 double (*times)[ROUNDS_MOST])
{
    for (uint32_t r = 0; r < rounds; r++) {
        begin_round(d, r);
        for (uint32_t i = 0; i < n; i++) times[i][r] = take(d, us[i]);
    }
}

/* What happened `seen` times of n may have a chance of p: four deviations are allowed. */
static void at_most(uint32_t seen, uint32_t n, double p, const char *what, shape s)
{
    const double most = n * p + 4 * sqrt(n * p * (1 - p)) + 1;
    print_message("%s, %s: %u of %u, stated %.3f\n", what, shape_name[s], seen, n, p);
    if (seen > most) fail_msg("%s, %s: %u of %u", what, shape_name[s], seen, n);
}

static void intervals_cover(void **state)
{
    static double times[2][ROUNDS_MOST];
    static const double us[2] = {120, 100};
    enum { TIMES = 300, ROUNDS = 41 };
    (void)state;
    for (shape s = 0; s < SHAPES; s++) {
        device d = {.shape = s, .noise = 0.05, .rng = sk_test_rng(100 + s)};
        uint32_t out = 0, below = 0;
        for (uint32_t k = 0; k < TIMES; k++) {
            sk_interval in;
            sk_err err;
            fill(&d, us, 2, ROUNDS, times);
            sk_assert_ok(sk_ratio_interval(times[0], times[1], ROUNDS, k, &in, &err), &err);
            out += in.lo > 1.2 || in.hi < 1.2;
            below += sk_ratio_bound(times[0], times[1], ROUNDS, 0.01) > 1.2;
        }
        at_most(out, TIMES, 0.06, "the bootstrap interval misses", s);
        at_most(below, TIMES, 0.01, "the bound is too high", s);
    }
}

/* All are as fast as the default, or slower: how often another wins. */
static void equals_do_not_win(void **state)
{
    static double times[5][ROUNDS_MOST];
    static const double us[5] = {100, 100, 100, 100, 101};
    enum { TIMES = 120, ROUNDS = 31 };
    (void)state;
    for (shape s = 0; s < SHAPES; s++) {
        device d = {.shape = s, .noise = 0.06, .rng = sk_test_rng(200 + s)};
        uint32_t wrong = 0;
        for (uint32_t k = 0; k < TIMES; k++) {
            sk_entrant entrant[5];
            sk_verdict v;
            sk_err err;
            fill(&d, us, 5, ROUNDS, times);
            for (uint32_t i = 0; i < 5; i++) entrant[i] = (sk_entrant){3 * i, times[i]};
            sk_assert_ok(sk_verdict_find(entrant, 5, ROUNDS, k, &v, &err), &err);
            wrong += v.winner != 0;
        }
        at_most(wrong, TIMES, SK_VERDICT_RISK, "an equal was called faster", s);
    }
}

/* Who is fastest by far wins, in every final; the flip risk says that it stays so, and no
 * one is tied, but by chance where tails are long. */
static void clear_winners_win(void **state)
{
    static double times[4][ROUNDS_MOST];
    static const double us[4] = {100, 80, 90, 130};
    (void)state;
    for (shape s = 0; s < SHAPES; s++) {
        device d = {.shape = s, .noise = 0.02, .rng = sk_test_rng(300 + s)};
        double risk = 0;
        uint32_t tied = 0;
        for (uint32_t k = 0; k < 40; k++) {
            sk_entrant entrant[4];
            sk_verdict v;
            sk_err err;
            fill(&d, us, 4, 41, times);
            for (uint32_t i = 0; i < 4; i++) entrant[i] = (sk_entrant){i < 3 ? 7 * i : 5, times[i]};
            sk_assert_ok(sk_verdict_find(entrant, 4, 41, k, &v, &err), &err);
            assert_int_equal(v.winner, 1);
            tied += v.tied[0] || v.tied[2] || v.tied[3];
            risk += v.flip_risk / 40;
        }
        assert_true(risk < 0.05);
        at_most(tied, 40, s == TAILS ? 0.02 : 0, "one far behind was tied", s);
    }
}

/* The risk of another winner, as one final states it, and how often the next final does
 * name another; and how often that is neither the winner nor a tie of the first: of devices
 * by chance, whose second candidate is as often slower as faster. */
static void flip_risk_is_true(void **state)
{
    static double times[3][ROUNDS_MOST];
    enum { TIMES = 300, ROUNDS = 31 };
    device d = {.shape = QUIET, .noise = 0.03, .rng = sk_test_rng(400)};
    double stated = 0, differ = 0;
    uint32_t missed = 0;
    (void)state;
    for (uint32_t k = 0; k < TIMES; k++) {
        const double us[3] = {108, 95 + 10 * sk_rng_unit(&d.rng), 100};
        sk_verdict v[2];
        for (uint32_t half = 0; half < 2; half++) {
            sk_err err;
            fill(&d, us, 3, ROUNDS, times);
            const sk_entrant entrant[3] = {{0, times[0]}, {9, times[1]}, {4, times[2]}};
            sk_assert_ok(sk_verdict_find(entrant, 3, ROUNDS, k, &v[half], &err), &err);
            stated += v[half].flip_risk / (2 * TIMES);
        }
        const uint32_t next = v[1].winner;
        differ += v[0].winner != next ? 1.0 / TIMES : 0;
        missed += v[0].winner != next && !v[0].tied[next];
    }
    print_message("flip risk %.3f, finals differ %.3f\n", stated, differ);
    assert_true(fabs(stated - differ) < 0.03 + 4 * sqrt(differ * (1 - differ) / TIMES));
    assert_true(differ > 0.05);
    at_most(missed, TIMES, SK_TIES_MISS, "neither the winner nor a tie", d.shape);
}

/* One that wins by a hair, so that the next final may well name the default: that is among
 * its ties. One that wins clearly has none. */
static void rivals_are_ties(void **state)
{
    static double times[2][ROUNDS_MOST];
    uint32_t won = 0, unsure = 0;
    device d = {.shape = QUIET, .noise = 0.03, .rng = sk_test_rng(450)};
    (void)state;
    for (uint32_t k = 0; k < 200; k++) {
        const double us[2] = {104, k % 2 ? 100 : 80};
        sk_verdict v;
        sk_err err;
        fill(&d, us, 2, 41, times);
        const sk_entrant entrant[2] = {{0, times[0]}, {1, times[1]}};
        sk_assert_ok(sk_verdict_find(entrant, 2, 41, k, &v, &err), &err);
        assert_true(k % 2 || v.winner == 1);
        if (v.winner == 0) continue;
        assert_true(v.speedup.lo > 1 && v.tied[1]);
        assert_int_equal(v.tied[0], v.flip_risk > SK_TIES_MISS);
        assert_true(k % 2 || !v.tied[0]);
        won += k % 2;
        unsure += v.tied[0];
    }
    assert_true(won > 0 && unsure > 0 && unsure <= won);
}

/* A whole race of the given times: rounds run until `most`; true: entrant i left. */
static uint32_t run_race(device *d, const double *us, uint32_t n, uint32_t most, sk_race *race)
{
    uint32_t gone = 0;
    sk_race_begin(race, n, SK_RACE_RISK);
    for (uint32_t r = 0; r < most; r++) {
        double at[SK_MAX_ENTRANTS];
        begin_round(d, r);
        for (uint32_t i = 0; i < n; i++) at[i] = race->out[i] ? 0 : take(d, us[i]);
        sk_race_round(race, at);
    }
    for (uint32_t i = 0; i < n; i++) gone += race->out[i];
    assert_int_equal(race->left + gone, n);
    assert_false(race->out[0]);
    return gone;
}

static void the_best_stays(void **state)
{
    /* the last one is at the edge: slower than all others by just the tie share */
    static const double us[8] = {100, 100, 100, 100, 100, 100, 100, 101};
    static sk_race race;
    enum { TIMES = 2000 };
    (void)state;
    for (shape s = 0; s < SHAPES; s++) {
        device d = {.shape = s, .noise = 0.04, .rng = sk_test_rng(500 + s)};
        uint32_t lost = 0;
        for (uint32_t k = 0; k < TIMES; k++) {
            (void)run_race(&d, us, 8, ROUNDS_MOST, &race);
            lost += race.out[7];
        }
        at_most(lost, TIMES, SK_RACE_RISK, "one that is not slower left", s);
    }
}

static void the_bad_leave(void **state)
{
    static const double us[6] = {100, 80, 115, 120, 160, 80.4};
    static sk_race race;
    (void)state;
    for (shape s = 0; s < SHAPES; s++) {
        device d = {.shape = s, .noise = 0.04, .rng = sk_test_rng(600 + s)};
        uint32_t lost = 0;
        for (uint32_t k = 0; k < 50; k++) {
            (void)run_race(&d, us, 6, 41, &race);
            assert_true(race.out[2] && race.out[3] && race.out[4]);
            lost += race.out[1] || race.out[5];
        }
        at_most(lost, 50, SK_RACE_RISK, "the best, or a tie of it, left", s);
    }
}

/* A race is settled when what is left is known well, and not before. */
static void settled(void **state)
{
    static double times[3][ROUNDS_MOST];
    static const double us[3] = {100, 80, 80.2};
    static sk_race race;
    const double *const at[3] = {times[0], times[1], times[2]};
    (void)state;
    for (uint32_t noisy = 0; noisy < 2; noisy++) {
        device d = {.shape = QUIET, .noise = noisy ? 0.2 : 0.004, .rng = sk_test_rng(700)};
        fill(&d, us, 3, 41, times);
        sk_race_begin(&race, 3, SK_RACE_RISK);
        for (uint32_t r = 0; r < 41; r++) {
            const double round[3] = {times[0][r], times[1][r], times[2][r]};
            sk_race_round(&race, round);
            if (r < 4) assert_false(sk_race_settled(&race, at));
        }
        assert_int_equal(sk_race_settled(&race, at), !noisy);
    }
}

/* What slows all is a mood of the round; what one of them met is not. */
static void moods(void **state)
{
    static double times[3][ROUNDS_MOST];
    static const double us[3] = {100, 80, 70};
    const double *const at[3] = {times[0], times[1], times[2]};
    double mood[ROUNDS_MOST];
    device d = {.shape = STRETCHES, .noise = 0.01, .rng = sk_test_rng(800)};
    (void)state;
    fill(&d, us, 3, 120, times);
    times[1][7] *= 9;
    times[2][8] = 0; /* not taken */
    sk_round_moods(at, 3, 120, mood);
    for (uint32_t r = 0; r < 120; r++) {
        assert_int_equal(mood[r] > SK_NOISY, r % 40 > 30);
        assert_true(fabs(mood[r] - (r % 40 > 30 ? 2.5 : 1)) < 0.1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intervals_cover), cmocka_unit_test(equals_do_not_win),
        cmocka_unit_test(clear_winners_win), cmocka_unit_test(flip_risk_is_true),
        cmocka_unit_test(rivals_are_ties),
        cmocka_unit_test(the_best_stays), cmocka_unit_test(the_bad_leave),
        cmocka_unit_test(settled), cmocka_unit_test(moods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
