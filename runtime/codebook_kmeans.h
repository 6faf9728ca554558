/* codebook_kmeans.h - Lloyd's algorithm, the workshop of codebook sets. */
#ifndef SK_CODEBOOK_KMEANS_H
#define SK_CODEBOOK_KMEANS_H

#include "base.h"

typedef struct sk_kmeans {
    uint32_t g;          /* dimensions of a point, 1..32 */
    uint32_t codes;      /* clusters, 2..256 */
    bool unit;           /* spherical: points and codewords are unit vectors */
    uint32_t iterations; /* at most; ends early when nothing moves */
    uint64_t seed;
} sk_kmeans;

/* Codewords [codes][g] for the points [n][g]. In: what to use where there are
 * fewer distinct points than codes. The same bits for the same input on every
 * machine, whatever its vectors. */
sk_status sk_kmeans_run(const sk_kmeans *job, const float *points, size_t n, float *words);
/* Takes the nearest codeword off every point: what is left for a further code. */
sk_status sk_kmeans_rest(const sk_kmeans *job, const float *words, float *points, size_t n);

#endif
