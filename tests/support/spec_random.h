/* spec_random.h - seeded specs from everything that the grammar allows, for
 * tests that try properties over many of them. */
#ifndef SK_SPEC_RANDOM_H
#define SK_SPEC_RANDOM_H

#include "spec.h"

/* A tier that divides a head of d dimensions (a multiple of 8); the value may
 * be vk when `key_values`. In canonical form. */
sk_tier sk_random_tier(sk_rng *rng, uint32_t d, bool key_values);

/* Book flags that the spec's mix can have: most often none, 0 where nothing is coded. */
uint32_t sk_random_book(sk_rng *rng, const sk_spec *spec);

/* An attn_decode spec that passes sk_spec_check, with 1 to SK_MAX_TIERS tiers.
 * One in `small` dims when asked, so that brute force stays quick. */
sk_spec sk_random_spec(sk_rng *rng, bool small);

#endif
