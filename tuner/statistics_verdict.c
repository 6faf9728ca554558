/* statistics_verdict.c - the verdict of a final (see statistics.h). The rule itself is one
 * function over plain times without a seed, so that the bootstrap of the flip risk applies
 * just what named the winner. */
#include <string.h>

#include "statistics.h"

#define FLIP_DRAWS 200u
#define FLIP_ROUNDS 256u /* of a longer final the first ones are drawn from */

typedef struct table {
    const double *const *us; /* [n][rounds] */
    uint32_t n, base;        /* base: the entrant of rank 0 */
    const uint32_t *rank;
    size_t rounds;
    double *ratio;           /* [rounds], scratch */
} table;

/* Median of top / bottom, pair by pair. */
static double middle(const table *t, uint32_t top, uint32_t bottom)
{
    size_t m = 0;
    for (size_t r = 0; r < t->rounds; r++)
        if (t->us[top][r] > 0 && t->us[bottom][r] > 0)
            t->ratio[m++] = t->us[top][r] / t->us[bottom][r];
    return sk_median(t->ratio, m);
}

double sk_verdict_alpha(uint32_t n)
{
    return SK_VERDICT_RISK / (n > 2 ? n - 1 : 1);
}

static bool faster(const table *t, uint32_t a, uint32_t b)
{
    return sk_ratio_bound(t->us[b], t->us[a], t->rounds, sk_verdict_alpha(t->n)) >
           1 + SK_TIE_SHARE;
}

/* The largest median of paired ratios to the default: medians of the times themselves
 * would compare different moods of the machine. */
static uint32_t find_fastest(const table *t)
{
    uint32_t best = t->base;
    double most = 1;
    for (uint32_t i = 0; i < t->n; i++) {
        const double gain = i == t->base ? 1 : middle(t, t->base, i);
        if (gain > most) most = gain, best = i;
    }
    return best;
}

static void judge(const table *t, sk_verdict *v)
{
    v->fastest = find_fastest(t);
    for (uint32_t i = 0; i < t->n; i++)
        v->tied[i] = i == v->fastest || !faster(t, v->fastest, i);
    v->winner = t->base;
    for (uint32_t i = 0; i < t->n && !v->tied[t->base]; i++) {
        const bool earlier = v->winner == t->base || t->rank[i] < t->rank[v->winner];
        if (i != t->base && v->tied[i] && earlier && faster(t, i, t->base)) v->winner = i;
    }
}

/* How many finals to come name whom. What the truth may be is drawn from the rounds of this
 * final, and the next final from that: with one draw alone the winner of this one would look
 * safer than it is. */
static sk_status draw_finals(const table *t, uint64_t seed, uint32_t named[SK_MAX_ENTRANTS],
                             sk_err *err)
{
    const size_t rounds = t->rounds < FLIP_ROUNDS ? t->rounds : FLIP_ROUNDS;
    double *drawn = sk_malloc(t->n * rounds * sizeof *drawn);
    const double *us[SK_MAX_ENTRANTS];
    uint32_t truth[FLIP_ROUNDS];
    sk_rng rng;
    if (!drawn) return sk_fail(err, SPHKV_ENOMEM, "no memory for %zu rounds", rounds);
    for (uint32_t i = 0; i < t->n; i++) us[i] = drawn + i * rounds;
    const table draw = {us, t->n, t->base, t->rank, rounds, t->ratio};
    sk_rng_seed(&rng, seed);
    for (uint32_t d = 0; d < FLIP_DRAWS; d++) {
        sk_verdict v;
        for (size_t r = 0; r < rounds; r++) truth[r] = sk_rng_below(&rng, (uint32_t)rounds);
        for (size_t r = 0; r < rounds; r++) {
            const uint32_t from = truth[sk_rng_below(&rng, (uint32_t)rounds)];
            for (uint32_t i = 0; i < t->n; i++) drawn[i * rounds + r] = t->us[i][from];
        }
        judge(&draw, &v);
        named[v.winner]++;
    }
    sk_free(drawn);
    return SPHKV_OK;
}

/* Whoever the next final may well name is tied. */
static void add_rivals(const table *t, const uint32_t *named, sk_verdict *v)
{
    for (;;) {
        uint32_t missed = 0, most = SK_MAX_ENTRANTS;
        for (uint32_t i = 0; i < t->n; i++) {
            if (i == v->winner || v->tied[i]) continue;
            missed += named[i];
            if (most == SK_MAX_ENTRANTS || named[i] > named[most]) most = i;
        }
        if (missed <= SK_TIES_MISS * FLIP_DRAWS) return;
        v->tied[most] = true;
    }
}

/* Of those who may win, whoever is named most often. */
static void choose_winner(const table *t, const uint32_t *named, sk_verdict *v)
{
    for (uint32_t i = 0; i < t->n; i++)
        if (named[i] > named[v->winner] && (i == t->base || faster(t, i, t->base))) v->winner = i;
}

static sk_status find_flips(const table *t, uint64_t seed, sk_verdict *v, sk_err *err)
{
    uint32_t named[SK_MAX_ENTRANTS] = {0};
    sk_status st = draw_finals(t, seed, named, err);
    if (st != SPHKV_OK) return st;
    choose_winner(t, named, v);
    v->flip_risk = (double)(FLIP_DRAWS - named[v->winner]) / FLIP_DRAWS;
    add_rivals(t, named, v);
    return st;
}

sk_status sk_verdict_find(const sk_entrant *entrant, uint32_t n, size_t rounds, uint64_t seed,
                          sk_verdict *out, sk_err *err)
{
    const double *us[SK_MAX_ENTRANTS];
    uint32_t rank[SK_MAX_ENTRANTS], base = n;
    memset(out, 0, sizeof *out);
    if (n < 1 || n > SK_MAX_ENTRANTS || rounds == 0)
        return sk_fail(err, SPHKV_EINVAL, "a final of %u entrants and %zu rounds", n, rounds);
    for (uint32_t i = 0; i < n; i++) {
        us[i] = entrant[i].samples;
        rank[i] = entrant[i].rank;
        if (rank[i] == 0) base = i;
    }
    if (base == n) return sk_fail(err, SPHKV_EINVAL, "a final without the default schedule");
    table t = {us, n, base, rank, rounds, sk_malloc(rounds * sizeof *t.ratio)};
    if (!t.ratio) return sk_fail(err, SPHKV_ENOMEM, "no memory for %zu ratios", rounds);
    judge(&t, out);
    out->speedup = (sk_interval){1, 1, 1};
    sk_status st = n > 1 ? find_flips(&t, seed, out, err) : SPHKV_OK;
    sk_free(t.ratio);
    if (st != SPHKV_OK || out->winner == base) return st;
    return sk_ratio_interval(us[base], us[out->winner], rounds, seed, &out->speedup, err);
}

void sk_round_moods(const double *const *us, uint32_t n, size_t rounds, double *mood)
{
    double usual[SK_MAX_ENTRANTS], share[SK_MAX_ENTRANTS];
    for (uint32_t i = 0; i < n; i++) {
        size_t m = 0;
        for (size_t r = 0; r < rounds; r++)
            if (us[i][r] > 0) mood[m++] = us[i][r];
        usual[i] = sk_median(mood, m);
    }
    for (size_t r = 0; r < rounds; r++) {
        uint32_t m = 0;
        for (uint32_t i = 0; i < n; i++)
            if (us[i][r] > 0 && usual[i] > 0) share[m++] = us[i][r] / usual[i];
        mood[r] = m ? sk_median(share, m) : 1;
    }
}
