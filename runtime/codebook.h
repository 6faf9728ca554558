/* codebook.h - codebook sets inside the library: what sphkv_codebook is.
 *
 * A set belongs to one layer and to the sequence of coded keys of one mix; the
 * value formats, the dense tiers, the page size and the layout row do not
 * matter to it, so one set serves kv_encode, attn_decode and any mix with the
 * same coded keys in the same order (sk_codebook_fits).
 *
 * `packed` is what kernels read: per KV head, at a stride of head_bytes, the
 * tables at the offsets of layout.h, f16, [row][dim in group][code], and the
 * permutation and the mean where the spec has them.
 *
 * A group of several codes has as many rows, one codebook each; else a row is a group.
 *
 * In a file the codebooks stand under the text of their key, [kv_heads][rows]
 * [codes][dims], so a file serves every mix whose coded keys it holds. The same
 * holds for seeds: what is made for a key does not depend on its mix. */
#ifndef SK_CODEBOOK_H
#define SK_CODEBOOK_H

#include "layout.h"

#define SK_CODEBOOK_KEY 96 /* the longest key, four segments, has 88 */

struct sphkv_codebook {
    uint32_t kv_heads;
    sk_spec spec;                            /* d, book, and the coded tiers in order, only */
    uint32_t head_bytes;                     /* stride between KV heads in packed */
    char key[SK_MAX_TIERS][SK_CODEBOOK_KEY]; /* text of each tier's key */
    uint8_t *packed; /* 64-byte aligned, inside block; NULL when nothing is coded */
    void *block;
    /* What a set may hold beside its codewords; NULL = does not. */
    float *mean;           /* [kv_heads][d], taken off before coding */
    uint32_t *permutation; /* [d]: coded dimension i is dimension permutation[i] */
    float *transform;      /* [kv_heads][d][d] rows, orthogonal, applied after the permutation */
    float *signs;          /* [kv_heads][d], 1 or -1: a Hadamard transform with these */
    bool transform_folded; /* a transform is already in the model's weights: nothing to do */
};

/* A set with all its codewords zero, for the coded tiers of a checked spec. */
sk_status sk_codebook_new(const sk_spec *spec, uint32_t kv_heads, sphkv_codebook **out,
                          sk_err *err);

/* sphkv_codebook_load, which also gives back a set that does not agree with its
 * spec: for tools that look at files. */
sk_status sk_codebook_load(const char *path, const sk_spec *spec, uint32_t kv_heads,
                           sphkv_codebook **out, sk_err *err);

/* What a kernel of this KV head reads; NULL when nothing is coded. */
const uint8_t *sk_codebook_head(const sphkv_codebook *cb, uint32_t kv_head);

/* Whether kernels of the spec can read the set; else the reason. cb may be
 * NULL, which fits a mix with nothing coded. */
sk_status sk_codebook_fits(const sphkv_codebook *cb, const sk_spec *spec, uint32_t kv_heads,
                           sk_err *err);

/* Whether the set holds the mean, permutation, transform or signs that its spec names,
 * and no others. sphkv_codebook_load refuses any
 * other, and sphkv_codebook_data gives nothing of it. */
sk_status sk_codebook_agrees(const sphkv_codebook *cb, sk_err *err);

/* ---- for what makes, loads and saves sets --------------------------------- */

/* Fills spec and key with the coded tiers of a checked spec. */
sk_status sk_codebook_take_spec(sphkv_codebook *cb, const sk_spec *spec, sk_err *err);

/* The mean (zeros), the permutation (pairs of RoPE side by side: 2i is dimension
 * i, 2i+1 dimension i + D/2), and a transform or signs by chance that the spec asks for;
 * not packed yet. */
sk_status sk_codebook_frame_make(sphkv_codebook *cb, uint64_t seed, sk_err *err);
/* All of that into packed, as far as the spec has it. */
void sk_codebook_frame_pack(sphkv_codebook *cb);
/* The key of a head as it is coded: x[i], i = 0 .. D - 1. */
void sk_codebook_frame_key(const sphkv_codebook *cb, uint32_t kv_head, const float *key, double *x);

/* One coded segment of a set, resolved. */
typedef struct sk_codebook_part {
    uint32_t tier, seg; /* place in cb->spec */
    const sk_segment *format;
    uint32_t dim0;   /* first dimension of the head */
    uint32_t groups; /* dims / g */
    uint32_t times;  /* codes of a group */
    uint32_t rows;   /* groups * times: codebooks */
    uint32_t g, codes;
    uint32_t span_dims;
    bool unit;          /* codewords are unit vectors */
    uint32_t off;       /* of its table in a head */
    const char *key;    /* the text of the tier's key, the set's */
} sk_codebook_part;

/* The i-th coded segment, over all tiers; false when there are no more. */
bool sk_codebook_part_get(const sphkv_codebook *cb, uint32_t i, sk_codebook_part *part);

/* All codewords of one row, [codes][g] f16 bits, out of and into packed. */
void sk_codebook_words_get(const sphkv_codebook *cb, const sk_codebook_part *part, uint32_t kv_head,
                           uint32_t row, uint16_t *words);
void sk_codebook_words_put(sphkv_codebook *cb, const sk_codebook_part *part, uint32_t kv_head,
                           uint32_t row, const uint16_t *words);
/* The same from f32, rounded. */
void sk_codebook_words_round(sphkv_codebook *cb, const sk_codebook_part *part, uint32_t kv_head,
                             uint32_t row, const float *words);

/* The seed of one codebook: from the caller's, the key's text and the place. */
uint64_t sk_codebook_seed(uint64_t seed, const sk_codebook_part *part, uint32_t kv_head,
                          uint32_t group);

/* Data-free codewords [times][codes][g] that suit every group of a part; what one
 * group gets is a variation of them: turned, mirrored, in another order, so
 * that no two groups or heads share a table. The codebooks of a group take the same
 * seed: what is left of a turned key is turned, too. */
sk_status sk_codebook_base(const sk_codebook_part *part, uint64_t seed, float *base);
void sk_codebook_vary(const sk_codebook_part *part, const float *base, uint64_t seed, float *words);

#define SK_CODEBOOK_WORDS_MAX (256u * 32u) /* codes * g, at most */
#define SK_CODEBOOK_BASE_MAX (SK_CODEBOOK_WORDS_MAX * SK_MAX_CODES)

#endif
