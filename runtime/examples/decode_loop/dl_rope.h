/* dl_rope.h - rotary embedding that turns halves: the table of rotations that the library
 * takes (sphkv_rope), for keys that are kept before RoPE, and the engine's own use of it. */
#ifndef DL_ROPE_H
#define DL_ROPE_H

#include "dl_base.h"

/* [positions][dims]: cosines of dims / 2 pairs, then sines; freed with free(). */
sphkv_status dl_rope_make(uint32_t positions, uint32_t dims, double theta, float **table,
                          sphkv_error *err);
/* Turns `count` rows x [dims] by one row of the table: dimension i with i + dims / 2. */
void dl_rope_turn(const float *row, uint32_t dims, size_t count, float *x);
/* The same in double, of one row. */
void dl_rope_turn_double(const float *row, uint32_t dims, double *x);

#endif
