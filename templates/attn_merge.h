/* attn_merge.h - what the forms of attn_merge share. */
#ifndef SK_ATTN_MERGE_H
#define SK_ATTN_MERGE_H

#include "kernel.h"

/* exp(x - m) for x <= m, both natural: the difference is turned to base 2. */
sk_val sk_merge_weight(sk_builder *b, sk_val x, sk_val m);
/* m + ln l, with l replaced by 1 where not `some`. */
sk_val sk_merge_lse(sk_builder *b, sk_val m, sk_val l, sk_val some);

/* A tensor of rows [batch][heads][Dv], strides filled in. */
typedef struct sk_merge_rows {
    uint64_t seq, head; /* strides, elements */
    uint32_t es;        /* bytes of an element */
} sk_merge_rows;
sk_merge_rows sk_merge_rows_make(const sk_image *image, uint32_t seq, uint32_t head, uint32_t dtype);
/* Bytes of all rows, and of all lse. */
uint64_t sk_merge_rows_bytes(const sk_image *image, const sk_merge_rows *r, uint32_t batch);
uint64_t sk_merge_lse_bytes(const sk_image *image, uint64_t stride, uint32_t batch);

sk_status sk_merge_args(const sk_image *image, const void *args, sphkv_merge_args *a, sk_err *err);

#endif
