/* reference_rope.c - rotary embedding in double, from the equation in sphkv.h: of each
 * segment of a key that is kept before RoPE, in pairs of its own dimensions. */
#include <string.h>

#include "case.h"

uint32_t sk_rope_dims_ref(const sk_spec *spec, const sphkv_rope *rope)
{
    uint32_t least = spec->d;
    if (rope->dims) return rope->dims;
    for (uint32_t i = 0; i < spec->ntiers; i++)
        for (uint32_t s = 0; s < spec->tier[i].nseg; s++) {
            const sk_segment *seg = &spec->tier[i].seg[s];
            if (seg->pre_rope && seg->dims && seg->dims < least) least = seg->dims;
        }
    return least;
}

void sk_rope_ref(const sphkv_rope *rope, uint32_t d, uint32_t position, bool back, double *k)
{
    const uint32_t n = rope->dims ? rope->dims : d;
    const float *row = rope->table + (size_t)position * n;
    for (uint32_t i = 0; i < n / 2; i++) {
        const double c = (double)row[i], s = (double)row[i + n / 2] * (back ? -1 : 1);
        const double x = k[i], y = k[i + n / 2];
        k[i] = x * c - y * s;
        k[i + n / 2] = y * c + x * s;
    }
}

void sk_rope_tier_ref(const sk_spec *spec, uint32_t tier_slot, const sphkv_rope *rope, uint32_t position,
                      bool back, double *k)
{
    const sk_tier *tier = &spec->tier[tier_slot];
    const uint32_t n = sk_rope_dims_ref(spec, rope);
    uint32_t dim0 = 0;
    for (uint32_t s = 0; s < tier->nseg; dim0 += tier->seg[s++].dims)
        if (tier->seg[s].pre_rope) sk_rope_ref(rope, n, position, back, k + dim0);
}

uint32_t sk_position_ref(const sk_spec *spec, uint32_t tier_slot, const uint8_t *page, uint32_t token)
{
    sk_page_layout lay;
    uint32_t x;
    sk_page_layout_get(spec, tier_slot, &lay);
    memcpy(&x, page + lay.pos_off + (size_t)token * 4, 4);
    return x;
}

bool sk_rope_page_ref(const sk_spec *spec, uint32_t tier_slot, const uint8_t *page, uint32_t tokens,
                      const sphkv_rope *rope, double *k)
{
    if (!sk_tier_pre_rope(&spec->tier[tier_slot]) || !rope->table) return true;
    for (uint32_t t = 0; t < tokens; t++) {
        const uint32_t x = sk_position_ref(spec, tier_slot, page, t);
        if (x >= rope->positions) return false;
        sk_rope_tier_ref(spec, tier_slot, rope, x, false, k + (size_t)t * spec->d);
    }
    return true;
}
