/* coordinates.h - the points of a space as places in a unit cube, for a model of it.
 *
 * A dimension with more than one value gives the rank of the value, evenly spaced. Where
 * values are whole numbers, not all of them powers of two, it gives a second coordinate:
 * how often two divides the number. Numbers of a schedule are sizes of blocks, tiles and
 * vectors, which fit a machine whose own sizes are powers of two, or do not: 96 is nearer
 * to 112 than to 64 by its rank, and behaves like 64. */
#ifndef SK_COORDINATES_H
#define SK_COORDINATES_H

#include "strategy.h"

/* *out: [n][*dims], freed by sk_free; at least one dimension, in which all points of a space
 * of one point are 0. */
sk_status sk_coordinates_make(const sk_points *points, double **out, uint32_t *dims, sk_err *err);

#endif
