/* transform.h - the orthogonal transform of a codebook set (layout.h), as kernels apply
 * it: to numbers in scratch, T for queries and for keys that are coded, its inverse, which
 * is T transposed, for keys that are read back. */
#ifndef SK_TRANSFORM_H
#define SK_TRANSFORM_H

#include "ir.h"
#include "layout.h"

/* H x in place, unscaled, by the fast Walsh-Hadamard transform, in ascending strides: n, a
 * power of two, vectors of W lanes from `base` on, each lane a transform of its own. */
void sk_hadamard_vectors(sk_builder *b, sk_val base, uint32_t n, uint32_t w);
/* The same of `apart` transforms, a power of two up to W, whose numbers stand in rows: number
 * i of transform k is word i * apart + k. All of them are a multiple of W. */
void sk_hadamard_rows(sk_builder *b, sk_val base, uint32_t n, uint32_t w, uint32_t apart);

/* SK_TRANSFORM_ROWS sums over the D vectors of W lanes from `base` on: sum r is of
 * vector i times the f32 at row[r] + i * step. */
#define SK_TRANSFORM_ROWS 8u
void sk_transform_sums(sk_builder *b, sk_val base, uint32_t d, uint32_t w, const sk_val *row,
                       uint32_t step, sk_val *sum);

#endif
