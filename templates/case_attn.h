/* case_attn.h - what the files of an attention case share while it is filled:
 * case_attn.c puts it together, case_attn_pages.c codes its pages,
 * case_attn_queries.c scales queries against them. */
#ifndef SK_CASE_ATTN_H
#define SK_CASE_ATTN_H

#include "case_impl.h"
#include "variants.h"

/* What filling needs beside the case. */
typedef struct sk_attn_fill {
    sk_case *c;
    sk_case_state *s;
    sk_rng rng;
    uint8_t *arena, *book;
    double *k, *v;      /* rows of one page */
    double *q;          /* queries of one KV head */
    double *peak;       /* SK_IN_PEAKY: [sequence][KV head][D] of length 1 */
    uint8_t *pool[SK_MAX_TIERS]; /* quick_fill: pages coded for KV head i % kv_heads */
    uint32_t pool_pages;
    /* queries: rows of SK_BUF_Q */
    const uint32_t *q_indptr;    /* [batch + 1]: tokens of a sequence; NULL: as many each */
    size_t q_stride_seq, q_stride_tok, q_stride_head; /* elements; without q_indptr: seq */
    double scale;                /* on logits, of the args: 0 = 1 / sqrt(D) */
} sk_attn_fill;

static inline uint32_t sk_attn_page_seq(const sk_attn_fill *f, const sk_case_page *page)
{
    return page->list / f->c->p.lists_per_seq;
}

static inline size_t sk_attn_page_bytes(const sk_attn_fill *f, uint32_t tier)
{
    return (size_t)f->s->at[tier].units * SPHKV_UNIT_BYTES;
}

static inline const uint8_t *sk_attn_head_book(const sk_attn_fill *f, uint32_t kv_head)
{
    return f->book ? f->book + (size_t)kv_head * f->s->book_stride : NULL;
}

/* Inputs of a case of attention. `buffers` sets strides and scale in the args, says
 * where queries lie and makes every buffer of copy 0: an arena of `units`. */
sk_status sk_attn_case_make(sk_case *c,
                            sk_status (*buffers)(sk_attn_fill *f, uint64_t units, sk_err *err),
                            sk_err *err);
/* The buffers that every case of attention has, beside those whose bytes are given;
 * bytes: [SK_BUF_COUNT], completed. */
sk_status sk_attn_case_buffers(sk_case *c, uint64_t units, uint64_t *bytes, sk_err *err);
float sk_attn_case_scale(const sk_case_params *p);
/* Whether a case asks for LSE. */
bool sk_attn_asks_lse(const sk_case_params *p);
/* Case i of a whole check: every input in both list modes, then each tier of a mix
 * alone. */
bool sk_attn_check(const sk_spec *spec, uint32_t i, sk_case_params *p);
double sk_attn_class_bound(const sk_spec *spec);

/* Codes every page of every list; counts what a run reads of them. */
sk_status sk_attn_fill_pages(sk_attn_fill *f, sk_err *err);
/* What variants read (case_variants.c): buffers, numbers, arguments of a copy. */
void sk_case_variant_bytes(const sk_case *c, uint64_t bytes[SK_BUF_COUNT]);
void sk_case_variant_fill(sk_case *c);
sk_variant_args sk_case_variant_args(const sk_case *c, uint32_t copy);
/* What the args of every kernel of attention have, a copy's: from those of copy 0. */
#define SK_ATTN_CASE_ARGS(a, first, c, copy)                                                  \
    do {                                                                                      \
        const sk_case_buffer *b_ = sk_case_state_of(c)->copy[copy].buf;                       \
        const sk_variant_args v_ = sk_case_variant_args(c, copy);                             \
        *(a) = (first);                                                                       \
        (a)->size = sizeof *(a);                                                              \
        (a)->batch = (c)->p.shape.batch;                                                      \
        (a)->q = b_[SK_BUF_Q].data;                                                           \
        (a)->arena = b_[SK_BUF_ARENA].data;                                                   \
        (a)->arena_bytes = b_[SK_BUF_ARENA].bytes;                                            \
        (a)->codebook = b_[SK_BUF_BOOK].data;                                                 \
        (a)->codebook_bytes = b_[SK_BUF_BOOK].bytes;                                          \
        (a)->table = sk_case_table(c, copy);                                                  \
        (a)->rope = sk_case_rope(c, copy);                                                    \
        SK_VARIANTS_PUT(a, v_);                                                               \
    } while (0)
/* Position of a token of a list at a place of it. */
uint32_t sk_case_position(const sk_case *c, uint32_t list, uint32_t place);
/* All queries, scaled so that logits are what the input set says. */
void sk_attn_fill_queries(sk_attn_fill *f);

#endif
