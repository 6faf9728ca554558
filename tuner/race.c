/* race.c - see race.h. */
#include "race.h"

#include <string.h>

static const double stake[SK_RACE_BETS] = {0.25, 0.5, 0.9};

void sk_race_begin(sk_race *race, uint32_t n, double risk)
{
    memset(race, 0, sizeof *race);
    race->n = race->left = n;
    race->bar = SK_RACE_BETS * (n > 2 ? n - 1 : 1) / risk;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < n; k++)
            for (uint32_t b = 0; b < SK_RACE_BETS; b++) race->bet[i][k][b] = 1;
}

static bool put_out(const sk_race *race, uint32_t i)
{
    for (uint32_t k = 0; k < race->n; k++) {
        double sum = 0;
        for (uint32_t b = 0; b < SK_RACE_BETS; b++) sum += race->bet[i][k][b];
        if (k != i && sum >= race->bar) return true;
    }
    return false;
}

void sk_race_round(sk_race *race, const double *us)
{
    bool in[SK_MAX_ENTRANTS];
    race->rounds++;
    for (uint32_t i = 0; i < race->n; i++) in[i] = !race->out[i] && us[i] > 0;
    for (uint32_t i = 0; i < race->n; i++)
        for (uint32_t k = 0; k < race->n; k++) {
            if (!in[i] || !in[k] || i == k) continue;
            const bool slower = us[i] > (1 + SK_TIE_SHARE) * us[k];
            for (uint32_t b = 0; b < SK_RACE_BETS; b++)
                race->bet[i][k][b] *= slower ? 1 + stake[b] : 1 - stake[b];
        }
    for (uint32_t i = 1; i < race->n; i++) {
        if (!in[i] || !put_out(race, i)) continue;
        race->out[i] = true;
        race->left--;
    }
}

/* Twice the bound of the verdict: the interval of the median of i's times over k's. */
static void interval(const sk_race *race, const double *const *us, uint32_t i, uint32_t k,
                     double *lo, double *hi)
{
    const double alpha = sk_verdict_alpha(race->n);
    const double inverse = sk_ratio_bound(us[k], us[i], race->rounds, alpha);
    *lo = sk_ratio_bound(us[i], us[k], race->rounds, alpha);
    *hi = inverse > 0 ? 1 / inverse : 1e9;
}

bool sk_race_settled(const sk_race *race, const double *const *us)
{
    double lo, hi, least = 1;
    uint32_t first = 0;
    for (uint32_t i = 1; i < race->n; i++) {
        if (race->out[i]) continue;
        interval(race, us, i, 0, &lo, &hi);
        if (hi < least) least = hi, first = i;
    }
    for (uint32_t i = 0; i < race->n; i++) {
        if (race->out[i] || i == first) continue;
        interval(race, us, i, first, &lo, &hi);
        const bool equal = hi <= 1 + 2 * SK_TIE_SHARE && lo >= 1 - 2 * SK_TIE_SHARE;
        const bool apart = lo > 1 + SK_TIE_SHARE && (i != 0 || hi - lo <= 4 * SK_TIE_SHARE);
        if (!equal && !apart) return false;
    }
    return true;
}
