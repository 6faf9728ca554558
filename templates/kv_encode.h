/* kv_encode.h - what the forms of kv_encode share on the host side. */
#ifndef SK_KV_ENCODE_H
#define SK_KV_ENCODE_H

#include "encode.h"
#include "items.h"

/* Args without what the items say. */
sk_status sk_encode_args(const sk_image *image, const void *args, sphkv_encode_args *a, sk_err *err);

#endif
