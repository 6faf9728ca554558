/* case.h - inputs for a kernel, and the judgement of its outputs: what the
 * runtime's self-check, the tuner's check and measurement, the tests and the
 * bench all share. References are plain scalar C in double, independent of
 * the IR: from the equations of the design (section 3), through layout.h. */
#ifndef SK_CASE_H
#define SK_CASE_H

#include "kernel.h"

/* The largest inputs that are made. */
#define SK_CASE_BATCH_MOST (1u << 20)
#define SK_CASE_CONTEXT_MOST (1u << 26)
/* The bytes poison is made of: a NaN in f32, f16 and bf16. */
#define SK_CASE_POISON 0xffu

typedef enum sk_input {
    SK_IN_S1,         /* logits of standard deviation 1 to 4 (the named set S1) */
    SK_IN_PEAKY,      /* one key dominates */
    SK_IN_CANCEL,     /* values and logits that cancel */
    SK_IN_EXTREME,    /* radii over the whole f16 range that stays finite */
    SK_IN_SINK,       /* a few keys take 0.9 to 0.9999 of the weight, their values are near zero */
    SK_IN_EDGE,       /* S1 with empty and one-token lists, partly filled pages */
    SK_INPUT_COUNT
} sk_input;

/* Where the buffers of a case come from; of zeros: the heap, and mapped memory. On a
 * GPU it is memory that both see at one address, so that args and judgement are as
 * on a CPU. `make` gives memory aligned to 128 bytes, of any contents. */
typedef struct sk_case_memory {
    sk_status (*make)(void *user, size_t bytes, void **out, sk_err *err);
    void (*free)(void *user, void *at);
    void *user; /* lives longer than the case */
} sk_case_memory;

typedef struct sk_case_params {
    sk_spec spec;
    sk_shape shape;         /* attn: context = longest list; encode, append: batch items */
    uint32_t lists_per_seq; /* kv_heads, or 1 */
    sk_input input;
    uint64_t seed;
    uint32_t copies;        /* of everything that is read, for cold timing; 1 for checks */
    size_t cold;            /* instead of copies: as many as touch these bytes together */
    size_t cached;          /* attn, quick_fill: not 0: lists name the same few pages over and
                               over, all of them within so many bytes where that is at least a
                               page of each tier and list: timing without memory */
    bool uneven;            /* lists of different lengths, down to empty */
    bool quick_fill;        /* big timed shapes: distinct pages from a small pool */
    uint32_t tier_mask;     /* attn: tiers that occur, a bit per tier slot; 0 = all */
    sk_case_memory memory;
} sk_case_params;

const char *sk_input_name(uint32_t input); /* "S1" "peaky" ..., or NULL */

typedef struct sk_case {
    sk_case_params p;
    uint32_t copies;
    size_t read_bytes;      /* what a run on one copy must read once: the used part of
                               its pages, codebooks, queries or rows */
    size_t write_bytes;     /* what it must write once */
    union {                 /* [copies]; workspace is NULL: the caller's */
        void *any;
        sphkv_attn_args *attn;
        sphkv_append_args *append;
        sphkv_encode_args *encode;
        sphkv_gather_args *gather;
        sphkv_decode_args *decode;
        sphkv_compact_args *compact;
        sphkv_extend_args *extend;
        sphkv_mass_args *mass;
    } args;
    size_t args_size;       /* sizeof of the args struct */
    void *internal;         /* buffers, owned by the case */
} sk_case;

/* Builds inputs; outputs are poisoned and lie between redzones; the args lack
 * only the workspace, which is the caller's. Shapes: attn: lists of up to
 * `context` tokens (with a dense last tier in a mix of several: a tail of at
 * most one page there, when quick_fill); append: `batch` items of 1, or when
 * uneven up to `context`, rows; encode: `batch` pages, full or when uneven of
 * any length. All copies hold the same bytes at other addresses. SPHKV_ENOMEM when the machine does not have it. */
sk_status sk_case_make(const sk_case_params *params, sk_case *out, sk_err *err);
void sk_case_free(sk_case *c);
/* The least maxima a plan or image needs to run this case. */
void sk_case_maxima(const sk_case *c, uint32_t parts, sphkv_maxima *out);
const void *sk_case_args(const sk_case *c, uint32_t copy);
/* Poisons the outputs of a copy again (before a run). */
void sk_case_poison(sk_case *c, uint32_t copy);
/* Judges the outputs of a copy after a run. *error: attn: ||o - ref|| /
 * ||sum p|v| || over all rows, the largest of any row with a bound of its
 * own, over what a learned sink leaves it more; encode: largest excess of a chosen distance over the best, relative;
 * append: 0 or 1 (bit-exact). *bound: what the accuracy class allows for this
 * input. SPHKV_EVERIFY when error > bound, a redzone was touched, poison was
 * left in an output, or an unused slot is not zero. */
sk_status sk_case_judge(const sk_case *c, uint32_t copy, double *error, double *bound, sk_err *err);
/* The part of the judgement that needs no reference: redzones of a copy and what
 * is only read are as they were made; else SPHKV_EVERIFY. */
sk_status sk_case_intact(const sk_case *c, uint32_t copy, sk_err *err);
/* Outputs of a copy as f32, to compare two schedules where the reference would
 * take too long (attn_decode at timed shapes: [batch][heads][Dv]); valid until
 * the next call. NULL, and 0 outputs, for kernels whose judgement does at any
 * shape. */
const float *sk_case_output(const sk_case *c, uint32_t copy, size_t *count);
size_t sk_case_outputs(const sk_spec *spec, const sk_shape *shape);
/* What the kernel writes: the buffer as it is, and how it was before the run
 * (NULL: poison all over). */
uint8_t *sk_case_result(const sk_case *c, uint32_t copy, size_t *bytes);
const uint8_t *sk_case_before(const sk_case *c);

/* What the double reference of attn_decode fills, for the KV heads of the run;
 * each array may be NULL. */
typedef struct sk_attn_truth {
    double *out;      /* [batch][heads][Dv] */
    double *mag;      /* the same: sum over tokens of p |v| */
    double *lse;      /* [batch][heads] */
    double *page_ml;  /* as in sphkv.h; only pairs of pages that are in a list */
    double *mass;     /* added to: what page_mass says of these queries */
    double max_logit; /* of |logit| */
    double max_terms; /* of the sum of |q k| of a logit */
} sk_attn_truth;

/* A key rotated by its position, or back; the table must have it. */
void sk_rope_ref(const sphkv_rope *rope, uint32_t d, uint32_t position, bool back, double *k);
/* The same of a tier's key: of the segments that are p, each by itself, in pairs of its
 * first sk_rope_dims_ref dimensions. */
void sk_rope_tier_ref(const sk_spec *spec, uint32_t tier_slot, const sphkv_rope *rope, uint32_t position,
                      bool back, double *k);
uint32_t sk_rope_dims_ref(const sk_spec *spec, const sphkv_rope *rope);
/* The position of a slot of a page that stores them. */
uint32_t sk_position_ref(const sk_spec *spec, uint32_t tier_slot, const uint8_t *page, uint32_t token);
/* Rows of a page after RoPE, if its tier keeps them before it and there is a table;
 * false: a position is not in the table. */
bool sk_rope_page_ref(const sk_spec *spec, uint32_t tier_slot, const uint8_t *page, uint32_t tokens,
                      const sphkv_rope *rope, double *k);
/* Double references, on the same args structs. */
sk_status sk_attn_reference(const sk_spec *spec, const sphkv_attn_args *args, uint32_t kv_heads,
                            sk_attn_truth *truth, sk_err *err);
/* attn_extend, from the reference of attn_decode: rows row .. row + rows - 1 of q_indptr,
 * each against the tokens that it sees, into out, mag [rows][heads][Dv] and lse
 * [rows][heads]. */
sk_status sk_extend_reference(const sk_spec *spec, const sphkv_extend_args *args, uint32_t kv_heads,
                              uint32_t row, uint32_t rows, sk_attn_truth *truth, sk_err *err);
/* One page coded in double (ties to the lowest index), the plain meaning of
 * kv_encode but for positions: k [count][D], v [count][Dv] already rounded to the dense
 * source. */
void sk_encode_page_ref(const sk_spec *spec, uint32_t tier_slot, const double *k, const double *v,
                        uint32_t count, const uint8_t *head_codebook, uint8_t *page);
/* Dense rows into slots of a dense page (kv_append). */
void sk_append_ref(const sk_spec *spec, uint32_t tier_slot, const float *k, const float *v,
                   uint32_t slot, uint8_t *page);

/* A check on small shapes that cover every path (<= 1,024 tokens): all inputs,
 * both list modes, several parts, each tier alone and all mixed. Stops at the
 * first failure. *error (may be NULL): the worst error as a share of its bound,
 * times the plain bound of the class (S1's error where S1 is the worst). */
sk_status sk_image_check(const sk_image *image, uint64_t seed, double *error, sk_err *err);

/* For many images of one spec: their cases and references are made once. A set
 * belongs to one spec and one seed, and has its buffers from `memory` (NULL: as of
 * zeros); it fills itself. NULL set: as above. */
typedef struct sk_check_set sk_check_set;
sk_check_set *sk_check_set_make(const sk_case_memory *memory); /* NULL: no memory */
void sk_check_set_free(sk_check_set *set); /* NULL is fine */
sk_status sk_image_check_with(const sk_image *image, uint64_t seed, sk_check_set *set,
                              double *error, sk_err *err);

#endif
