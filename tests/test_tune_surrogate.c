/* test_tune_surrogate.c - the Gaussian process against its own definition: the covariance
 * matrix inverted by elimination, in double, with nothing kept from one point to the next. */
#include "sk_test.h"

#include <math.h>

#include "surrogate.h"

enum { DIMS = 3, POINTS = 60, POOL = 150 };

static double matern(const sk_surrogate *s, const double *a, const double *b)
{
    double sum = 0;
    for (uint32_t d = 0; d < DIMS; d++) sum += pow((a[d] - b[d]) / s->length[d], 2);
    const double r = sqrt(5 * sum);
    return (1 + r + r * r / 3) * exp(-r);
}

/* out = K^-1 b, K being the covariance of the points held; by Gauss and Jordan. */
static void solve(const sk_surrogate *s, const double *b, double *out)
{
    static double m[POINTS][POINTS + 1];
    const uint32_t n = s->n;
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t j = 0; j < n; j++)
            m[i][j] = matern(s, s->x + i * DIMS, s->x + j * DIMS) + (i == j ? s->noise : 0);
        m[i][n] = b[i];
    }
    for (uint32_t p = 0; p < n; p++)
        for (uint32_t i = 0; i < n; i++) {
            if (i == p) continue;
            const double by = m[i][p] / m[p][p];
            for (uint32_t j = p; j <= n; j++) m[i][j] -= by * m[p][j];
        }
    for (uint32_t i = 0; i < n; i++) out[i] = m[i][n] / m[i][i];
}

static double expected_gain(const sk_surrogate *s, const double *at)
{
    double k[POINTS], alpha[POINTS], inner[POINTS], mean = 0, left = 1, square = 0;
    for (uint32_t i = 0; i < s->n; i++) k[i] = matern(s, at, s->x + i * DIMS);
    solve(s, s->y, alpha);
    solve(s, k, inner);
    for (uint32_t i = 0; i < s->n; i++) {
        mean += k[i] * alpha[i];
        left -= k[i] * inner[i];
        square += s->y[i] * alpha[i] / s->n;
    }
    const double deviation = sqrt(fmax(left, 1e-9) * square), z = (s->least - mean) / deviation;
    return deviation * (z * 0.5 * erfc(-z / sqrt(2)) + exp(-0.5 * z * z) / sqrt(2 * acos(-1)));
}

static void check(sk_surrogate *s, const double pool[POOL][DIMS])
{
    double gain[POOL];
    sk_surrogate_improvements(s, gain);
    for (uint32_t i = 0; i < POOL; i += 7) {
        const double expected = expected_gain(s, pool[i]);
        if (fabs(gain[i] - expected) > 1e-7 * (1 + expected))
            fail_msg("%u points, candidate %u: gain %g, not %g", s->n, i, gain[i], expected);
    }
}

static void as_defined(void **state)
{
    static double x[POINTS * DIMS], y[POINTS], pool[POOL][DIMS];
    sk_surrogate s;
    sk_err err = {0};
    sk_rng rng;
    (void)state;
    sk_rng_seed(&rng, sk_test_seed(5));
    sk_assert_ok(sk_surrogate_make(DIMS, POOL, &s, &err), &err);
    for (uint32_t i = 0; i < POINTS; i++) {
        for (uint32_t d = 0; d < DIMS; d++) x[i * DIMS + d] = sk_rng_unit(&rng);
        y[i] = 3 + sin(5 * x[i * DIMS]) + x[i * DIMS + 1] * x[i * DIMS + 2];
    }
    for (uint32_t i = 0; i < POOL; i++) {
        for (uint32_t d = 0; d < DIMS; d++) pool[i][d] = sk_rng_unit(&rng);
        assert_true(sk_surrogate_pool_add(&s, pool[i]));
    }
    for (uint32_t n = 5; n <= POINTS; n += 1 + n / 12) { /* points come, one or some at a time */
        sk_surrogate_fit(&s, x, y, n);
        if (n > 20 && n < 30) sk_surrogate_learn(&s, 12, &rng);
        check(&s, pool);
        if (n > 40) x[(n - 1) * DIMS] = sk_rng_unit(&rng); /* the last one is replaced */
    }
    sk_surrogate_fit(&s, x, y, 10); /* and points go */
    check(&s, pool);
    assert_true(s.length[0] != s.length[1]); /* something was learned */
    sk_surrogate_free(&s);
}

/* No more than it was made for. */
static void full(void **state)
{
    const double at[DIMS] = {0};
    sk_surrogate s;
    sk_err err = {0};
    uint32_t n = 0;
    (void)state;
    sk_assert_ok(sk_surrogate_make(DIMS, POOL, &s, &err), &err);
    while (sk_surrogate_pool_add(&s, at)) n++;
    assert_true(n >= POOL && n == s.pool.most);
    sk_surrogate_pool_clear(&s);
    assert_true(sk_surrogate_pool_add(&s, at));
    sk_surrogate_free(&s);
    assert_int_equal(sk_surrogate_make(0, POOL, &s, &err), SPHKV_EUNSUPPORTED);
    assert_int_equal(sk_surrogate_make(SK_SURROGATE_DIMS + 1, POOL, &s, &err), SPHKV_EUNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_defined), cmocka_unit_test(full)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
