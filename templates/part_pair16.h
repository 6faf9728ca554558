/* part_pair16.h - how many groups the 16-bit look-up form adds before it
 * widens: shared by the tables (which scale for it) and the logits. Fewer
 * groups leave more bits to each entry: the error of a logit is proportional.
 * With 8, radii at the edge of f16 (logits of 32 and more) miss class tight by
 * a tenth, so tight takes 4 and pays for twice as many widenings. */
#ifndef SK_PART_PAIR16_H
#define SK_PART_PAIR16_H

#include "spec.h"

static inline uint32_t sk_pair16_block(const sk_spec *spec, uint32_t groups)
{
    uint32_t block = spec->accuracy == SPHKV_FAST ? 8 : 4;
    while (groups % block != 0) block /= 2;
    return block;
}

#endif
