/* codebook.h - codebook sets inside the library: what sphkv_codebook is.
 *
 * A set belongs to one layer and to the sequence of coded keys of one mix; the
 * value formats, the dense tiers, the page size and the layout row do not
 * matter to it, so one set serves kv_encode, attn_decode and any mix with the
 * same coded keys in the same order (sk_codebook_fits).
 *
 * `packed` is what kernels read: per KV head, at a stride of head_bytes, the
 * tables at the offsets of layout.h, f16, [group][dim in group][code].
 *
 * In a file the codebooks stand under the text of their key, [kv_heads][groups]
 * [codes][dims], so a file serves every mix whose coded keys it holds. The same
 * holds for seeds: what is made for a key does not depend on its mix. */
#ifndef SK_CODEBOOK_H
#define SK_CODEBOOK_H

#include "layout.h"

struct sphkv_codebook {
    uint32_t kv_heads;
    uint32_t d;                 /* head dimension of keys */
    uint32_t ntiers;            /* coded tiers only */
    sk_tier tier[SK_MAX_TIERS]; /* their keys; the value part means nothing */
    uint32_t head_bytes;        /* stride between KV heads in packed */
    uint8_t *packed;            /* 64-byte aligned, inside block */
    void *block;
    /* What a set may ask for beyond its codewords; NULL = not asked for. */
    float *mean;           /* [kv_heads][d], taken off before coding */
    uint32_t *permutation; /* [d]: coded dimension i is dimension permutation[i] */
    float *transform;      /* [d][d] rows, orthogonal, applied after the permutation */
    bool transform_folded; /* a transform is already in the model's weights: nothing to do */
};

/* A set with all its codewords zero, for the coded tiers of a checked spec. */
sk_status sk_codebook_new(const sk_spec *spec, uint32_t kv_heads, sphkv_codebook **out,
                          sk_err *err);

/* What a kernel of this KV head reads; NULL when nothing is coded. */
const uint8_t *sk_codebook_head(const sphkv_codebook *cb, uint32_t kv_head);

/* Whether kernels of the spec can read the set; else the reason. cb may be
 * NULL, which fits a mix with nothing coded. */
sk_status sk_codebook_fits(const sphkv_codebook *cb, const sk_spec *spec, uint32_t kv_heads,
                           sk_err *err);

/* Whether codewords are all there is to it. Kernels do not apply a mean, a
 * permutation or a transform yet: whoever plans or runs refuses such a set. */
sk_status sk_codebook_is_plain(const sphkv_codebook *cb, sk_err *err);

/* Codeword `code` of a group of tier `tier` (of the set), as stored: g values.
 * For makers, files and tests; kernels read packed. */
void sk_codebook_word_get(const sphkv_codebook *cb, uint32_t kv_head, uint32_t tier, uint32_t seg,
                          uint32_t group, uint32_t code, uint16_t *word);
void sk_codebook_word_put(sphkv_codebook *cb, uint32_t kv_head, uint32_t tier, uint32_t seg,
                          uint32_t group, uint32_t code, const uint16_t *word);
uint32_t sk_codebook_groups(const sphkv_codebook *cb, uint32_t tier, uint32_t seg);

/* The seed of one codebook: from the caller's, the key's text and the place. */
uint64_t sk_codebook_seed(uint64_t seed, const char *key, uint32_t kv_head, uint32_t seg,
                          uint32_t group);

/* Fills one codebook [codes][g] with data-free codewords: unit vectors where
 * span = group (span_dims == g), else vectors of the scale of k_j / ||span||.
 * base: from sk_codebook_base, the same for all groups of a segment. */
sk_status sk_codebook_base(const sk_segment *seg, uint32_t span_dims, uint64_t seed, float *base);
void sk_codebook_vary(const sk_segment *seg, const float *base, uint64_t seed, float *words);

#endif
