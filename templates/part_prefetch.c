/* part_prefetch.c - when the lines of a later page are asked for.
 *
 * A core keeps a limited number of requests in flight and drops the prefetches
 * beyond it (a Zen 3 "prefetched" 72 GB/s of 22), so a page streams at full
 * speed only when its lines are asked for evenly over the whole time its
 * predecessor takes. Asked
 * for during the value product alone, memory idles during the logits: high:vf16
 * took 21 ns per token-head that way, its arithmetic alone 16. Lines at the
 * place now read (mirroring) are right for dense keys, whose logits and values
 * take as long as they have bytes. */
#include "decode.h"

#include "part_pair16.h"

/* Steps of the loops over one full page in which the logits can ask. */
uint32_t sk_prefetch_steps(const sk_dec *c, uint32_t tier_slot)
{
    const sk_segment *seg = sk_dec_seg(c->spec, tier_slot);
    switch (sk_dec_form(c->spec, c->sched, tier_slot)) {
    case SK_FORM_DENSE: return 0;
    case SK_FORM_ROWS: return c->p / c->w * (c->d / seg->g / sk_rows_unroll(c->d / seg->g));
    case SK_FORM_PERM: return c->p / (2 * c->w) * (c->d / seg->g);
    case SK_FORM_PAIR16: {
        const uint32_t groups = c->d / seg->g;
        return c->p / 64 * c->h * (groups / sk_pair16_block(c->spec, groups));
    }
    }
    return 0;
}

uint32_t sk_prefetch_share_lines(const sk_dec *c, uint32_t tier_slot)
{
    const uint32_t steps = sk_prefetch_steps(c, tier_slot);
    if (steps == 0) return 0;
    sk_page_layout lay;
    sk_page_layout_get(c->spec, tier_slot, &lay);
    const uint32_t lines = lay.units * (SPHKV_UNIT_BYTES / 64);
    const uint32_t want = lines * (uint32_t)c->sched->v[SK_T_spread] / 100;
    return (want + steps - 1) / steps;
}

void sk_prefetch_share(sk_dec *c, uint32_t tier_slot, sk_val next, sk_val k, uint32_t slice,
                       uint32_t slices)
{
    if (next == SK_NONE) return;
    const uint32_t lines = sk_prefetch_share_lines(c, tier_slot);
    const sk_val at = sk_mul(c, k, lines * 64);
    for (uint32_t i = slice * lines / slices; i < (slice + 1) * lines / slices; i++)
        sk_ir_prefetch(c->b, next, at, i * 64);
}

uint32_t sk_prefetch_values_from(const sk_dec *c, uint32_t tier_slot)
{
    sk_page_layout lay;
    sk_page_layout_get(c->spec, tier_slot, &lay);
    if (sk_prefetch_steps(c, tier_slot) == 0) return lay.value_off;
    return sk_prefetch_share_lines(c, tier_slot) * sk_prefetch_steps(c, tier_slot) * 64;
}
