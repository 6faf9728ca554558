/* case_impl.h - what the files of a case share; nobody else includes it.
 *
 * case.c owns life and death of a case, case_buffer.c its memory, case_input.c
 * the numbers, case_check.c runs a whole image. What differs from kernel to
 * kernel is an sk_case_kind, in case_KERNEL.c: inputs, and the judgement of outputs
 * (of the large ones in case_judge*.c). */
#ifndef SK_CASE_IMPL_H
#define SK_CASE_IMPL_H

#include "case.h"

/* Memory between two redzones; data is 128-byte aligned. Large ones are mapped
 * with huge pages asked for: with small pages a timed sweep measures the TLB. */
typedef struct sk_case_buffer {
    sk_case_memory memory; /* set before it is made */
    uint8_t *base; /* what was allocated */
    size_t mapped; /* bytes of the mapping; 0 = heap, or memory's */
    uint8_t *data;
    size_t bytes;
} sk_case_buffer;

/* Of b->memory; the rest of *b is overwritten. */
sk_status sk_case_buffer_make(sk_case_buffer *b, size_t bytes, sk_err *err);
void sk_case_buffer_free(sk_case_buffer *b);
bool sk_case_buffer_intact(const sk_case_buffer *b); /* both redzones as made */
uint64_t sk_case_buffer_sum(const sk_case_buffer *b); /* a checksum of the data */
/* OK when `bytes` can be had without driving the machine into swap. */
sk_status sk_case_memory_check(uint64_t bytes, sk_err *err);

/* Every buffer of one copy; a case uses those of its kernel. */
enum {
    SK_BUF_ARENA, /* attn: pages, read; append: pages, written; encode: the source */
    SK_BUF_DST,   /* encode: destination when it is an arena of its own */
    SK_BUF_BOOK,  /* packed codebooks */
    SK_BUF_Q,     /* attn: queries; append: rows of K */
    SK_BUF_V,     /* append: rows of V; extend: q_indptr */
    SK_BUF_OUT,   /* attn */
    SK_BUF_LSE,   /* attn, where asked for */
    SK_BUF_ML,    /* attn, where asked for: page statistics */
    SK_BUF_INDEX, /* attn: indptr; compact: tokens */
    SK_BUF_LIST,  /* attn: refs, with some that no list names; append, encode: items */
    SK_BUF_SCALE, /* attn, extend, mass, of variants: factors of heads, */
    SK_BUF_SINK,  /* sinks, */
    SK_BUF_BIAS,  /* biases of slots, */
    SK_BUF_WHERE, /* positions of queries */
    SK_BUF_ROPE,  /* attn, decode, encode: the table of rotations; append: positions of rows */
    SK_BUF_COUNT
};

typedef struct sk_case_copy {
    sk_case_buffer buf[SK_BUF_COUNT];
} sk_case_copy;

/* A page of an arena that is being built. */
typedef struct sk_case_page {
    uint32_t list;   /* attn: list; append, encode: item */
    uint32_t tier;
    uint32_t count;  /* tokens the reference names */
    uint32_t filled; /* tokens in the page, >= count */
    uint32_t unit;   /* where it starts */
} sk_case_page;

typedef struct sk_case_state {
    sk_page_layout at[SK_MAX_TIERS];
    uint32_t kv_heads, heads;
    uint32_t book_stride;          /* bytes of codebook per KV head */
    uint32_t pages_per_list;       /* attn: longest list */
    sk_case_page *page;            /* attn: by list, then tier slot; append: by item;
                                      encode: sources by item, then destinations */
    size_t pages;
    uint32_t first_ref;            /* attn: indptr[0] */
    uint32_t window;               /* attn, extend, mass, of variants */
    float softcap;
    uint32_t rows;                 /* append: rows of K and V; extend: of queries */
    sk_case_copy *copy;            /* [copies] */
    uint8_t *before;               /* append, encode: the written arena, poisoned */
    uint64_t sum[SK_BUF_COUNT];    /* of what is only read; 0 = not checked */
    double *ref, *mag;             /* attn, after the first judgement */
    double *lse, *page_ml;         /* the same; page_ml: NaN where no list has the page */
    double max_logit, max_terms;
    float *out_f32;                /* attn: sk_case_output */
} sk_case_state;

/* What is a kernel's own: sk_case_NAME for each row of SPHKV_KERNELS. */
typedef struct sk_case_kind {
    /* Fills the state and copy 0, read_bytes and write_bytes. */
    sk_status (*make)(sk_case *c, sk_err *err);
    /* Points the args at the buffers of a copy. */
    void (*args)(sk_case *c, uint32_t copy);
    sk_status (*judge)(const sk_case *c, uint32_t copy, double *error, double *bound, sk_err *err);
    /* Case i of a whole check; false: there are no more. */
    bool (*check)(const sk_spec *spec, uint32_t i, sk_case_params *params);
    double (*bound)(const sk_spec *spec); /* the plain bound of its errors */
    /* See sk_case_output; NULL where the judgement does at any shape. */
    size_t (*outputs)(const sk_spec *spec, const sk_shape *shape);
    void (*output)(const sk_case *c, uint32_t copy, float *to);
} sk_case_kind;
/* Tiers of items in turns, those of the mask. */
uint32_t sk_case_item_tier(const sk_case_params *params, uint32_t i);
double sk_case_bound_exact(const sk_spec *spec); /* of kernels that are right to the bit: 1 */
const sk_case_kind *sk_case_kind_of(uint32_t kernel);

#define SK_CHECK_TOKENS 1024u /* of a case of a whole check */
#define SK_CHECK_HEADS  2u
/* Checks of kernels that take items: every input set, few items of a page. */
bool sk_case_check_items(const sk_spec *spec, uint32_t i, sk_case_params *params);

#define SK_CASE_POOL 32u /* distinct pages per tier of a quick_fill */

static inline sk_case_state *sk_case_state_of(const sk_case *c) { return c->internal; }
/* The buffer a kernel writes: outputs of their own, a destination, or the arena. */
uint32_t sk_case_written(const sk_case *c);
/* Remembers what is written as it is before the run. */
sk_status sk_case_remember(sk_case *c, sk_err *err);

/* The pages of an attn case, without places (case_lists.c). */
sk_status sk_case_lists(sk_case *c, sk_rng *rng, sk_err *err);
/* Pages of a list: first and behind the last, in the order of s->page, from *at on. */
void sk_case_list_range(const sk_case_state *s, uint32_t list, size_t *at, size_t *end);
/* Writes indptr and refs of placed pages into their buffers of copy 0. */
void sk_case_table_fill(sk_case *c);
sphkv_page_table sk_case_table(const sk_case *c, uint32_t copy);
/* Places pages one behind the other in a shuffled order, from unit 1; sub:
 * sub-pages per page. *units: the arena's, with one unit before; it ends with the last
 * page, so that who reads beyond it is found out. */
sk_status sk_case_place(sk_case_page *page, size_t pages, const sk_page_layout *at, uint32_t sub,
                        sk_rng *rng, uint64_t *units, sk_err *err);
/* The same, but pages of one list and tier lie on each other, in as many places as
 * `bytes` hold for all lists. */
void sk_case_stack(sk_case_page *page, size_t pages, const sk_page_layout *at, uint32_t sub,
                   uint32_t lists, size_t bytes, uint64_t *units);

/* ---- numbers (case_input.c) ---------------------------------------------- */

/* K and V rows of a page of an input set: k [count][D], v [count][Dv]. peak: a
 * unit vector that row `peak_row` follows (SK_IN_PEAKY), or NULL; sinks begin at
 * that row, too (SK_IN_SINK), none when it is not below count. */
void sk_case_rows_fill(const sk_spec *spec, uint32_t input, sk_rng *rng, uint32_t count,
                       const double *peak, uint32_t peak_row, double *k, double *v);
/* Adds the mean of the head to keys, where its set has one. */
void sk_case_mean_add(const sk_spec *spec, const uint8_t *book, uint32_t count, double *k);
/* A query row before it is scaled; `peak` as above, of length 1. */
void sk_case_query_fill(const sk_spec *spec, uint32_t input, sk_rng *rng, const double *peak,
                        double *q);
/* A seeded packed codebook set of one KV head. */
void sk_case_book_fill(const sk_spec *spec, sk_rng *rng, uint8_t *book);
double sk_case_norm(const double *x, uint32_t n);
/* Stores and reads numbers of an sphkv_dtype. */
void sk_case_put(void *base, uint32_t dtype, size_t index, double x);
double sk_case_get(const void *base, uint32_t dtype, size_t index);
/* Half a step of a dtype at x: what rounding may move it by. Below 2^-14 the steps
 * of f16 shrink no more. */
double sk_case_half_step(uint32_t dtype, double x);
static inline uint32_t sk_case_dtype_bytes(uint32_t dtype) { return dtype == SPHKV_F32 ? 4 : 2; }

/* ---- keys before RoPE (case_rope.c) ----------------------------------------- */

/* The table of copy 0, where the mix has such keys; and as arguments, or zeros. */
sk_status sk_case_rope_make(sk_case *c, sk_err *err);
sphkv_rope sk_case_rope(const sk_case *c, uint32_t copy);
/* Positions of the tokens of a page; first: how many are in the list before it. */
void sk_case_positions(const sk_case *c, sk_rng *rng, uint32_t first, uint32_t count, uint32_t *to);
/* Into a page, where it stores them. */
void sk_case_positions_put(const sk_page_layout *at, const uint32_t *positions, uint32_t count,
                           uint8_t *page);
/* Keys of a source page (tier 1) as a destination (tier 0) on the other side of RoPE shall
 * have them, and what f32 arithmetic may be off then: both [count][D]. */
void sk_case_turn_keys(const sk_spec *spec, const sphkv_rope *rope, const uint8_t *book,
                       const uint8_t *page, uint32_t count, double *k, double *hair);
/* Keys that shall be k after RoPE, as such a tier holds them. */
void sk_case_rotate_back(const sk_case *c, uint32_t tier, const uint32_t *positions, uint32_t count,
                         double *k);

/* ---- judgement ------------------------------------------------------------ */

#define SK_CASE_LSE_ROOM 4 /* times the class: standard deviations of the worst logit */
#define SK_CASE_CODE_BOUND 1e-4 /* kv_encode: relative excess of a chosen distance */

/* What the reference gave (not its masses) becomes the case's; where st is no success, nobody's.
 * st again. */
sk_status sk_case_keep_truth(sk_case_state *s, const sk_attn_truth *t, sk_status st);
sk_status sk_case_judge_attn(const sk_case *c, uint32_t copy, double *error, double *bound,
                             sk_err *err);
/* How many times the bound of its class what follows from logits may be off, once the
 * reference is made. */
double sk_case_logit_size(const sk_case *c);
/* LSE and page statistics, those that the case asks for, after the reference is
 * made. Each by its worst element: an error of a logarithm is absolute. */
sk_status sk_case_judge_sums(const sk_case *c, uint32_t copy, sk_err *err);
/* First element of row [batch][q_len][heads] of the output. */
size_t sk_case_out_row(const sk_case *c, const sphkv_attn_args *a, size_t row);
/* Query tokens of a sequence: 1 where the spec has one. */
uint32_t sk_case_q_len(const sk_case_params *p);
/* Bytes of page statistics of a case (those nobody asks for too). */
size_t sk_case_ml_bytes(const sk_case *c);
sk_status sk_case_judge_append(const sk_case *c, uint32_t copy, double *error, double *bound,
                               sk_err *err);
sk_status sk_case_judge_encode(const sk_case *c, uint32_t copy, double *error, double *bound,
                               sk_err *err);
sk_status sk_case_judge_compact(const sk_case *c, uint32_t copy, double *error, double *bound,
                                sk_err *err);

/* What the f32 arithmetic of a number that a page of a tier holds may be off, before it is
 * rounded to what it is stored in: dimension d of a key, a value, in double. 0 for what an
 * f32 holds exactly. turn: what a rotation adds. book: of the head. key: its first `dims`
 * dimensions. */
double sk_case_key_hair(const sk_spec *spec, uint32_t tier_slot, const uint8_t *book,
                        const double *key, uint32_t dims, uint32_t d, double turn);
/* That: of the dimension that this one is paired with, too, where keys of a tier are rotated
 * as another tier's (or their own) are; k after it. */
double sk_case_rope_hair(const sk_spec *spec, uint32_t turned, uint32_t source, const sphkv_rope *rope,
                         const uint8_t *book, const double *k, uint32_t d);
double sk_case_value_hair(const sk_spec *spec, uint32_t tier_slot, double value);
/* Whether `got` lies between the roundings of a hair less and a hair more. */
bool sk_case_near(double got, double want, double hair, uint32_t dtype);

/* One number of a token as pages of a tier have it, and that of another slot. */
typedef struct sk_case_element {
    uint32_t off, bits;  /* of its field, of the number */
    uint32_t dst, src;   /* bits from off on */
    uint32_t scale, min; /* bytes in the page of its f16 scale and minimum, or SK_NO_FIELD:
                            it is moved as it is */
    bool radius, float8; /* what a code is, if not a signed integer or from a minimum on */
} sk_case_element;
typedef void sk_case_visit(void *user, const sk_case_element *e);
/* All numbers of the token in slot src that becomes slot dst. */
void sk_case_elements(const sk_spec *spec, uint32_t tier_slot, uint32_t dst, uint32_t src,
                      sk_case_visit *visit, void *user);

#endif
