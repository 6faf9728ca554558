/* kv_append.h - what the forms of kv_append share on the host side. */
#ifndef SK_KV_APPEND_H
#define SK_KV_APPEND_H

#include "items.h"

/* The caller's rows; the caller vouches for their extent. */
typedef struct sk_append_rows {
    sk_rows k, v;
} sk_append_rows;

/* Whether values are rows of their own. */
static inline bool sk_append_values(const sk_spec *spec)
{
    return spec->tier[0].value != SK_VAL_KEY;
}
/* Whether pages store the positions of their tokens. */
bool sk_append_positions(const sk_spec *spec);
/* Args without what the items say; v is NULL where it is not read. */
sk_status sk_append_args(const sk_image *image, const void *args, sphkv_append_args *a,
                         sk_append_rows *rows, sk_err *err);

#endif
