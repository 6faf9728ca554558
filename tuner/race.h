/* race.h - who leaves a final before its end: the bad ones should not take the time of
 * those between which the choice is.
 *
 * Each entrant holds a few bets against each other one. A round that it took more than
 * 1 + SK_TIE_SHARE of the other's time multiplies the bets for "slower", any other round
 * shrinks them, by factors under which nobody who is not slower in at least half of the
 * rounds can expect to gain. So (Ville's inequality) the bets of one who is not slower ever
 * reach 1 / p with a chance of at most p, however often one looks: no plan of looks is
 * needed, and none is spent. With p = risk / (entrants - 1) the fastest one leaves a race,
 * whenever it is stopped, with a chance of at most `risk`. Noise may have any shape that
 * leaves the signs of the rounds independent; what slows a whole round does not count. */
#ifndef SK_RACE_H
#define SK_RACE_H

#include "statistics.h"

#define SK_RACE_RISK 0.01
#define SK_RACE_BETS 3u

typedef struct sk_race {
    uint32_t n, rounds, left;          /* left: who are still in it */
    double bar;                        /* bets that put one out */
    bool out[SK_MAX_ENTRANTS];
    double bet[SK_MAX_ENTRANTS][SK_MAX_ENTRANTS][SK_RACE_BETS];
} sk_race;

/* Entrant 0, the yardstick, never leaves. n at most SK_MAX_ENTRANTS. */
void sk_race_begin(sk_race *race, uint32_t n, double risk);
/* A round of all who are in it: us[i], of the others not looked at. A time that is not
 * positive is no bet. */
void sk_race_round(sk_race *race, const double *us);

/* Whether the rounds so far settle it: everyone who is in it is known to within the tie
 * share of the fastest, or clearly slower; and so is the yardstick's distance. us[i][r]. */
bool sk_race_settled(const sk_race *race, const double *const *us);

#endif
