/* prebuild_impl.h - between the parent of a prebuild (prebuild.c) and its workers
 * (prebuild_item.c); nobody else includes it. */
#ifndef SK_PREBUILD_IMPL_H
#define SK_PREBUILD_IMPL_H

#include "prebuild.h"

/* An sk_worker_fn; user is the sk_prebuild, request[0] the item. */
void sk_prebuild_serve(void *user, sk_desk *desk, const uint32_t request[SK_REQUEST_WORDS]);

#endif
