/* kv_append.h - what the forms of kv_append share on the host side. */
#ifndef SK_KV_APPEND_H
#define SK_KV_APPEND_H

#include "items.h"

/* The caller's rows; the caller vouches for their extent. */
typedef struct sk_append_rows {
    sk_rows k, v;
} sk_append_rows;

/* Args without what the items say. */
sk_status sk_append_args(const sk_image *image, const void *args, sphkv_append_args *a,
                         sk_append_rows *rows, sk_err *err);

#endif
