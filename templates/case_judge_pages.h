/* case_judge_pages.h - what the files of the judgement of kv_encode and page_retier share:
 *   case_judge_pages.c  pages, copies in them, what must be zero or as it was
 *   case_judge_codes.c  fields that hold codes, radii and scales */
#ifndef SK_CASE_JUDGE_PAGES_H
#define SK_CASE_JUDGE_PAGES_H

#include "case_impl.h"

/* One destination page under judgement. */
typedef struct sk_encode_judge {
    const sk_spec *spec;
    const sk_page_layout *at;
    const uint8_t *page;
    const uint8_t *book;   /* of its KV head */
    uint8_t *rest;         /* the page with all that was judged set to zero */
    double *k, *v;         /* source rows; k becomes what coded tiers hold */
    double *best;          /* radii of a span, */
    double *off;           /* and what they may be off */
    const sphkv_rope *rope; /* of keys that are rotated on their way; then: */
    double *hair;          /* what f32 arithmetic may be off, like k */
    uint32_t item, count;
    double worst;          /* largest relative excess of a distance */
} sk_encode_judge;

/* A segment of the keys, the values; floats, which are copies, are not looked at. */
sk_status sk_judge_key(sk_encode_judge *j, uint32_t s, sk_err *err);
sk_status sk_judge_values(sk_encode_judge *j, sk_err *err);

#endif
