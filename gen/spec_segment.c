/* spec_segment.c - facts of segments and tiers, whoever wrote them down: which are equal,
 * which can be, and the one form of those that mean the same. */
#include "spec.h"
#include "spec_tier.h"

bool sk_segment_equal(const sk_segment *a, const sk_segment *b)
{
    if (a->kind != b->kind || a->dims != b->dims || a->pre_rope != b->pre_rope)
        return false;
    if (a->kind != SK_KEY_CODED)
        return true;
    return a->g == b->g && a->b == b->b && a->more == b->more && a->rb == b->rb &&
           a->span == b->span;
}

bool sk_tier_equal(const sk_tier *a, const sk_tier *b)
{
    if (a->nseg != b->nseg || a->value != b->value)
        return false;
    for (uint32_t i = 0; i < a->nseg && i < SK_MAX_SEGMENTS; i++)
        if (!sk_segment_equal(&a->seg[i], &b->seg[i]))
            return false;
    return true;
}

sk_status sk_segment_check(const sk_segment *seg, uint32_t dims, sk_err *err)
{
    if (seg->kind >= SK_KEY_KINDS)
        return sk_fail(err, SPHKV_EINVAL, "key format: unknown kind %u", seg->kind);
    if (seg->kind != SK_KEY_CODED)
        return SPHKV_OK;
    if (seg->g < 1 || seg->g > 32)
        return sk_fail(err, SPHKV_EINVAL, "g%u: a group has 1 to 32 dimensions", seg->g);
    if (seg->b < 2 || seg->b > 8)
        return sk_fail(err, SPHKV_EINVAL, "b%u: an angle code has 2 to 8 bits", seg->b);
    if (sk_segment_codes(seg) > SK_MAX_CODES)
        return sk_fail(err, SPHKV_EINVAL, "x%u: a group has 1 to %u angle codes",
                       sk_segment_codes(seg), SK_MAX_CODES);
    if (seg->rb != 4 && seg->rb != 8 && seg->rb != 16)
        return sk_fail(err, SPHKV_EINVAL, "r%u: a radius has 4, 8 or 16 bits", seg->rb);
    if (seg->g == 1 && seg->span == 1)
        return sk_fail(err, SPHKV_EINVAL,
                       "g1: single dimensions need a longer span, as in g1b4r16sD");
    if (seg->span == 0 || (seg->span != SK_SPAN_ALL && seg->span % seg->g != 0))
        return sk_fail(err, SPHKV_EINVAL, "s%u: a span is a multiple of its group, here %u",
                       seg->span, seg->g);
    if (dims == 0)
        return SPHKV_OK;
    if (dims % seg->g != 0)
        return sk_fail(err, SPHKV_EINVAL, "g%u: groups of %u do not divide %u dimensions", seg->g,
                       seg->g, dims);
    if (seg->span != SK_SPAN_ALL && dims % seg->span != 0)
        return sk_fail(err, SPHKV_EINVAL, "s%u: spans of %u do not divide %u dimensions", seg->span,
                       seg->span, dims);
    return SPHKV_OK;
}

void sk_segment_normalise(sk_segment *seg, uint32_t dims)
{
    if (seg->kind != SK_KEY_CODED || dims == 0)
        return;
    if (seg->span == SK_SPAN_ALL && seg->g == dims && seg->g > 1)
        seg->span = seg->g;
    else if (seg->span == dims && seg->span != seg->g)
        seg->span = SK_SPAN_ALL;
}

bool sk_tier_is_dense(const sk_tier *tier)
{
    for (uint32_t i = 0; i < tier->nseg && i < SK_MAX_SEGMENTS; i++)
        if (tier->seg[i].kind == SK_KEY_CODED)
            return false;
    return true;
}

bool sk_tier_pre_rope(const sk_tier *tier)
{
    for (uint32_t i = 0; i < tier->nseg && i < SK_MAX_SEGMENTS; i++)
        if (tier->seg[i].pre_rope)
            return true;
    return false;
}

bool sk_spec_pre_rope(const sk_spec *spec)
{
    for (uint32_t i = 0; i < spec->ntiers; i++)
        if (sk_tier_pre_rope(&spec->tier[i]))
            return true;
    return false;
}
