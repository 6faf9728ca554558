/* pages.c - the public view of pages: their size, and a plain reader. Both ask
 * layout.h and know nothing of offsets themselves. */
#include "layout.h"

#include <string.h>

static sk_status tier_of(const sphkv_spec_params *params, uint32_t tier_slot, sk_spec *spec,
                         sk_err *err)
{
    sk_status st = sk_spec_from_params(params, spec, err);
    if (st != SPHKV_OK)
        return st;
    if (tier_slot >= spec->ntiers)
        return sk_fail(err, SPHKV_EINVAL, "tier slot %u: the mix has %u tiers", tier_slot,
                       spec->ntiers);
    return SPHKV_OK;
}

sphkv_status sphkv_page_info_get(const sphkv_spec_params *spec, uint32_t tier_slot,
                                 sphkv_page_info *info, sphkv_error *err)
{
    sk_spec s;
    sphkv_page_info given;
    sk_status st = sk_struct_read(info, &given, sizeof given, "sphkv_page_info", err);
    if (st == SPHKV_OK)
        st = tier_of(spec, tier_slot, &s, err);
    if (st != SPHKV_OK)
        return st;
    sk_page_layout layout;
    sk_page_layout_get(&s, tier_slot, &layout);
    const sphkv_page_info full = {
        .size = given.size,
        .bytes = layout.bytes,
        .units = layout.units,
        .bytes_per_token = (double)layout.bytes / (double)s.page,
        .positions = layout.pos_off == SK_NO_FIELD ? 0 : layout.pos_off,
    };
    memcpy(info, &full, given.size < sizeof full ? given.size : sizeof full);
    return SPHKV_OK;
}

static bool needs_codebook(const sk_tier *tier, bool keys)
{
    bool coded = false;
    for (uint32_t i = 0; i < tier->nseg; i++)
        coded = coded || tier->seg[i].kind == SK_KEY_CODED;
    return coded && (keys || tier->value == SK_VAL_KEY);
}

/* Keys of a tier that is coded before RoPE come back unrotated: a page holds
 * what was coded. */
sphkv_status sphkv_page_read(const sphkv_spec_params *spec, uint32_t tier_slot, const void *page,
                             uint32_t tokens, const void *head_codebook, double *k, double *v,
                             sphkv_error *err)
{
    sk_spec s;
    sk_status st = tier_of(spec, tier_slot, &s, err);
    if (st != SPHKV_OK)
        return st;
    if (!page)
        return sk_fail(err, SPHKV_EINVAL, "no page given");
    if (tokens > s.page)
        return sk_fail(err, SPHKV_EINVAL, "%u tokens: a page has %u slots", tokens, s.page);
    if (needs_codebook(&s.tier[tier_slot], k != NULL) && !head_codebook)
        return sk_fail(err, SPHKV_EINVAL, "tier slot %u is coded: it needs its codebook",
                       tier_slot);
    if (head_codebook && s.book & SPHKV_BOOK_PERMUTATION) {
        uint32_t order[1024]; /* the largest head, sk_spec_check */
        memcpy(order, (const uint8_t *)head_codebook + sk_codebook_permutation_off(&s),
               s.d * sizeof *order);
        uint32_t flaw = sk_permutation_flaw(order, s.d);
        if (flaw < s.d)
            return sk_fail(err, SPHKV_EINVAL,
                           "head_codebook: element %u of its permutation is out of range or twice",
                           flaw);
    }
    sk_page_decode_ref(&s, tier_slot, page, tokens, head_codebook, k, v);
    return SPHKV_OK;
}
