/* spec_random.c - see spec_random.h. Candidates are drawn freely and kept when
 * the checks take them; the text round trip brings them to canonical form, so a
 * test of that round trip draws its own. */
#include "spec_random.h"

#include <string.h>

static sk_segment random_segment(sk_rng *rng, uint32_t dims)
{
    static const uint8_t radius_bits[] = {4, 8, 16};
    sk_segment seg = {.kind = (uint8_t)(sk_rng_below(rng, 3) ? 0 : sk_rng_below(rng, 6))};
    seg.pre_rope = sk_rng_below(rng, 4) == 0;
    if (seg.kind != SK_KEY_CODED)
        return seg;
    do
        seg.g = (uint8_t)(1 + sk_rng_below(rng, 32));
    while (dims % seg.g || (seg.g == 1 && dims == 1));
    seg.b = (uint8_t)(2 + sk_rng_below(rng, 7));
    seg.rb = radius_bits[sk_rng_below(rng, 3)];
    uint32_t groups = dims / seg.g, per_span;
    do
        per_span = 1 + sk_rng_below(rng, groups);
    while (groups % per_span || per_span * seg.g == 1);
    seg.span = (uint16_t)(per_span * seg.g);
    if (seg.span == dims && seg.span != seg.g)
        seg.span = SK_SPAN_ALL;
    return seg;
}

sk_tier sk_random_tier(sk_rng *rng, uint32_t d, bool key_values)
{
    sk_tier tier;
    memset(&tier, 0, sizeof tier);
    tier.value = (uint8_t)sk_rng_below(rng, key_values ? 7 : 6);
    tier.nseg = (uint8_t)(sk_rng_below(rng, 3) ? 1 : 1 + sk_rng_below(rng, SK_MAX_SEGMENTS));
    if (d < 8u * tier.nseg)
        tier.nseg = 1;
    uint32_t left = d;
    for (uint32_t i = 0; i < tier.nseg; i++) {
        uint32_t after = tier.nseg - 1u - i;
        uint32_t dims = after ? 8 * (1 + sk_rng_below(rng, left / 8 - after)) : left;
        tier.seg[i] = random_segment(rng, dims);
        tier.seg[i].dims = (uint16_t)(tier.nseg == 1 ? 0 : dims);
        left -= dims;
    }
    return tier;
}

uint32_t sk_random_book(sk_rng *rng, const sk_spec *spec)
{
    bool coded = false;
    for (uint32_t t = 0; t < spec->ntiers; t++)
        coded |= !sk_tier_is_dense(&spec->tier[t]);
    sk_spec with = *spec;
    with.book = sk_rng_below(rng, 2) ? sk_rng_below(rng, 4) : 0;
    return coded && sk_spec_check(&with, NULL) == SPHKV_OK ? with.book : 0;
}

sk_spec sk_random_spec(sk_rng *rng, bool small)
{
    for (;;) {
        sk_spec spec;
        memset(&spec, 0, sizeof spec);
        spec.kernel = SPHKV_ATTN_DECODE;
        spec.d = 8 * (1 + sk_rng_below(rng, small ? 8 : 72));
        spec.dv = 8 * (1 + sk_rng_below(rng, small ? 8 : 72));
        spec.heads_per_kv = 1 + sk_rng_below(rng, SPHKV_MAX_HEADS_PER_KV);
        spec.page = sk_rng_below(rng, 2) ? 64 * (1 + sk_rng_below(rng, 4))
                                         : 8 * (1 + sk_rng_below(rng, 32));
        spec.layout = sk_rng_below(rng, SK_LAYOUT_ROWS);
        spec.q_dtype = sk_rng_below(rng, 3);
        spec.out_dtype = sk_rng_below(rng, 3);
        spec.accuracy = sk_rng_below(rng, 3);
        spec.ntiers = 1 + sk_rng_below(rng, SK_MAX_TIERS);
        for (uint32_t t = 0; t < spec.ntiers; t++)
            spec.tier[t] = sk_random_tier(rng, spec.d, spec.dv <= spec.d);
        spec.book = sk_random_book(rng, &spec);
        if (sk_spec_check(&spec, NULL) == SPHKV_OK)
            return spec;
    }
}
