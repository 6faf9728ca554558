/* part_pair16.h - how many groups the 16-bit look-up form adds before it
 * widens: shared by the tables (which scale for it) and the logits. Fewer
 * groups leave more bits to each entry; 8 keep the rms error of the logits
 * near 3e-4 of their spread at a cost of one widening in eight additions. */
#ifndef SK_PART_PAIR16_H
#define SK_PART_PAIR16_H

#include <stdint.h>

static inline uint32_t sk_pair16_block(uint32_t groups)
{
    uint32_t block = 8;
    while (groups % block != 0) block /= 2;
    return block;
}

#endif
