/* reference_rope.c - rotary embedding in double, from the equation in sphkv.h. */
#include <string.h>

#include "case.h"

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
        sk_rope_ref(rope, spec->d, x, false, k + (size_t)t * spec->d);
    }
    return true;
}
