/* spec.h - what is compiled into a kernel: kernel, dims, GQA, page size, tier
 * mix, dtypes, accuracy class. The tier grammar (design: "Words") is parsed
 * and printed here and nowhere else; whether a kernel does a spec is said by
 * the kernel's `supported`, not here. Parsing accepts everything the grammar
 * allows. */
#ifndef SK_SPEC_H
#define SK_SPEC_H

#include "base.h"

#define SK_MAX_TIERS SPHKV_MAX_TIERS
#define SK_MAX_SEGMENTS 4
#define SK_LAYOUT_ROWS 2 /* rows of the layout table, see layout.h */
#define SK_LAYOUT_DEFAULT 1u /* what the CPU kernels want: the row when nobody says */

typedef enum sk_key_kind {
    SK_KEY_CODED, SK_KEY_F32, SK_KEY_F16, SK_KEY_BF16, SK_KEY_I8, SK_KEY_I4,
    SK_KEY_F8, /* e4m3fn, one scale per page */
    SK_KEY_KINDS
} sk_key_kind;

typedef enum sk_value_kind {
    SK_VAL_F32, SK_VAL_F16, SK_VAL_BF16, SK_VAL_F8, SK_VAL_I8, SK_VAL_I4, SK_VAL_KEY
} sk_value_kind;

/* Dimensions dim0 .. dim0+dims-1 of a head, stored one way. A key written
 * without segments is one segment of dims = 0, meaning the whole head. */
typedef struct sk_segment {
    uint16_t dims;  /* 0 = the whole head (single segment only) */
    uint8_t kind;   /* sk_key_kind */
    uint8_t g;      /* group: dimensions per angle code, 1..32 (coded) */
    uint8_t b;      /* bits per angle code, 2..8 (coded) */
    uint8_t rb;     /* bits per radius, 4, 8 or 16 (coded) */
    uint8_t more;   /* angle codes per group beyond the first, 0..3 (coded): x2 is 1 */
    uint16_t span;  /* dimensions per radius; g = the paper's form; SK_SPAN_ALL = segment */
    bool pre_rope;  /* trailing p: coded before RoPE */
} sk_segment;
#define SK_SPAN_ALL 0xffffu
#define SK_MAX_CODES 4u /* additive codes of a group */
/* Angle codes of a group: it is the sum of as many codewords, one of a codebook each. */
static inline uint32_t sk_segment_codes(const sk_segment *seg) { return 1u + seg->more; }

typedef struct sk_tier {
    uint8_t nseg;
    uint8_t value; /* sk_value_kind */
    sk_segment seg[SK_MAX_SEGMENTS];
} sk_tier;

typedef struct sk_spec {
    uint32_t kernel;        /* sphkv_kernel */
    uint32_t d, dv;         /* head_dim of keys, of values */
    uint32_t heads_per_kv;  /* query heads that share a KV head */
    uint32_t page;          /* P, tokens per page */
    uint32_t ntiers;
    sk_tier tier[SK_MAX_TIERS];
    uint32_t layout;        /* row of the layout table */
    uint32_t q_dtype, out_dtype, in_dtype; /* sphkv_dtype */
    uint32_t accuracy;      /* sphkv_accuracy */
    uint32_t book;          /* SPHKV_BOOK_*; 0 where nothing is coded */
    uint32_t variants;      /* SPHKV_VARIANT_*, those that the kernel reads */
} sk_spec;

/* One tier, "good:vi8". Reasons for refusal name the offending part. */
sk_status sk_tier_parse(const char *text, sk_tier *out, sk_err *err);
/* Canonical text, the first-class name where there is one. */
void sk_tier_print(const sk_tier *tier, sk_text *out);
/* Key part only / value part only ("good", "vi8"). */
void sk_key_print(const sk_tier *tier, sk_text *out);
const char *sk_value_name(uint32_t value_kind);
/* The i-th first-class key ("high"), NULL behind the last. */
const char *sk_first_class_key(uint32_t i);
/* A comma-separated mix; at most SK_MAX_TIERS; duplicates are refused. */
sk_status sk_mix_parse(const char *text, sk_tier tier[SK_MAX_TIERS], uint32_t *ntiers, sk_err *err);
void sk_mix_print(const sk_tier *tier, uint32_t ntiers, sk_text *out);

/* Everything but "is there a kernel": ranges of D, Dv, P (multiple of 8,
 * 8..256), groups and spans dividing, segments adding up, layout row known. */
sk_status sk_spec_check(const sk_spec *spec, sk_err *err);
/* From the public struct (defaults filled in, checked). */
sk_status sk_spec_from_params(const sphkv_spec_params *params, sk_spec *out, sk_err *err);
/* Canonical one-line text, and its exact inverse. The text is the database
 * key: "attn_decode d128 v128 h4 p128 l1 qf32 of32 if32 tight good:vi8,kf16:vf16",
 * behind it "mean", "permutation", "transform" or "hadamard" where the codebook set holds
 * them, then the names
 * of variants. */
void sk_spec_print(const sk_spec *spec, sk_text *out);
/* The end of that text: what people tell specs of a model apart by. */
void sk_spec_mix_print(const sk_spec *spec, sk_text *out);
sk_status sk_spec_parse(const char *text, sk_spec *out, sk_err *err);
/* A C symbol that spells the spec: sk_attn_decode_d128_h4_p128_good_vi8;
 * characters outside [a-z0-9_] become _. Not unique across layouts. */
void sk_spec_symbol(const sk_spec *spec, sk_text *out);

/* A row of SPHKV_KERNELS, NULL when unknown: what the spec of a kernel is like. */
typedef struct sk_kernel_row {
    const char *name; /* "attn_decode" */
    uint32_t mix;     /* sphkv_mix */
    uint32_t reads;   /* SPHKV_READS_* */
} sk_kernel_row;
const sk_kernel_row *sk_kernel_row_get(uint32_t kernel);
const char *sk_kernel_name(uint32_t kernel); /* "attn_decode", or NULL */
bool sk_kernel_parse(const char *name, uint32_t *kernel);
const char *sk_dtype_name(uint32_t dtype);   /* "f32" "f16" "bf16" */
bool sk_dtype_parse(const char *name, uint32_t *dtype);
const char *sk_accuracy_name(uint32_t accuracy); /* "tight" "exact" "fast" */
bool sk_accuracy_parse(const char *name, uint32_t *accuracy);
double sk_accuracy_bound(uint32_t accuracy); /* 1e-3, 1e-5, 5e-2 */
double sk_dtype_rounding(uint32_t dtype); /* of a normal number, relative: 0, 2^-11, 2^-8 */

/* "mean", "permutation", "transform", "hadamard": bit i of sk_spec.book, or NULL. */
#define SK_BOOKS 4u /* how many there are */
const char *sk_book_name(uint32_t bit);
/* Whether the set holds a transform, of either kind. */
static inline bool sk_spec_turned(const sk_spec *spec)
{
    return (spec->book & (SPHKV_BOOK_TRANSFORM | SPHKV_BOOK_HADAMARD)) != 0;
}
/* The bit of a name; false when there is none. */
bool sk_book_parse(const char *name, uint32_t *flag);
/* "softcap", "sink" ...: the same of sk_spec.variants. */
const char *sk_variant_name(uint32_t bit);
bool sk_variant_parse(const char *name, uint32_t *flag);
#define SK_VARIANTS 7u /* how many there are */
/* OK where the spec has variants of `done` only; else SPHKV_EUNSUPPORTED with the first
 * other one named. */
sk_status sk_variants_supported(const sk_spec *spec, uint32_t done, sk_err *err);

bool sk_segment_equal(const sk_segment *a, const sk_segment *b);
bool sk_tier_equal(const sk_tier *a, const sk_tier *b);

/* The rule of every struct that crosses the public border: copies what the
 * caller's struct (its first field is a u32 size) and ours have in common and
 * zero-fills the rest; non-zero bytes beyond ours, or a size that is not one of
 * a struct, are SPHKV_EINVAL. `what` names the struct in the message. */
sk_status sk_struct_read(const void *src, void *dst, size_t known, const char *what, sk_err *err);

/* A tier with a key that is not coded (a tail may live in it). */
bool sk_tier_is_dense(const sk_tier *tier);
/* Whether keys of the tier, of any tier, are kept before RoPE. */
bool sk_tier_pre_rope(const sk_tier *tier);
bool sk_spec_pre_rope(const sk_spec *spec);

#endif
