/* token_compact.h - what the forms of token_compact share. */
#ifndef SK_TOKEN_COMPACT_H
#define SK_TOKEN_COMPACT_H

#include "compact.h"

/* The program: a block is a sub-page of an item. */
sk_status sk_compact_build(const sk_spec *spec, const sk_schedule *sched, sk_arena *arena,
                           sk_build *out, sk_err *err);
/* Args without what the items say, sub_pages at least 1; items_count 0 is fine. */
sk_status sk_compact_args(const sk_image *image, const void *args, sphkv_compact_args *a, sk_err *err);
/* The parameters of a run of the program. */
sk_call sk_compact_call(const sphkv_compact_args *a);

#endif
