/* kv_encode.h - what the forms of kv_encode share on the host side, and page_retier with
 * them: items, args and schedules are alike. */
#ifndef SK_KV_ENCODE_H
#define SK_KV_ENCODE_H

#include "encode.h"
#include "items.h"

/* Args without what the items say. */
sk_status sk_encode_args(const sk_image *image, const void *args, sphkv_encode_args *a, sk_err *err);

/* On a CPU, for any two tiers: schedules, and runs of an entry that takes item, source,
 * destination and codebook set. */
void sk_encode_default(const sk_spec *spec, const sk_target *target, sk_schedule *out);
sk_status sk_encode_valid(const sk_spec *spec, const sk_schedule *s, const sk_target *target,
                          sk_err *err);
size_t sk_encode_workspace(const sk_image *image);
sk_status sk_encode_run(const sk_image *image, const void *args, uint32_t part, uint32_t parts,
                        sk_err *err);
void sk_encode_cost(const sk_spec *spec, const sk_shape *shape, sk_cost *out);

#endif
