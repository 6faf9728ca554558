/* variants.h - the host side of the variants of attention, the same for every kernel that
 * has them: what an args struct says of them, checked, and handed to the program. */
#ifndef SK_VARIANTS_H
#define SK_VARIANTS_H

#include "kernel.h"

/* Fields that these args structs of sphkv.h have under the same names. */
typedef struct sk_variant_args {
    uint32_t window;
    float softcap;
    const float *head_scale, *sinks, *bias;
    const uint32_t *q_positions;
} sk_variant_args;
#define SK_VARIANTS_OF(a)                                                                    \
    ((sk_variant_args){.window = (a)->window, .softcap = (a)->softcap,                       \
                       .head_scale = (a)->head_scale, .sinks = (a)->sinks, .bias = (a)->bias, \
                       .q_positions = (a)->q_positions})
#define SK_VARIANTS_PUT(a, v)                                                                 \
    ((a)->window = (v).window, (a)->softcap = (v).softcap, (a)->head_scale = (v).head_scale,  \
     (a)->sinks = (v).sinks, (a)->bias = (v).bias, (a)->q_positions = (v).q_positions)

/* What a variant of the spec reads is there; what none reads is 0. empty: nothing is
 * run over, so that pointers may lack. */
sk_status sk_variants_check(const sk_spec *spec, const sk_variant_args *a, bool empty, sk_err *err);

/* The parameters of sk_dec_variant_params behind those of query tokens. How many there
 * are: query heads, references, query positions. */
typedef struct sk_variant_counts {
    uint64_t heads, refs, positions;
} sk_variant_counts;
void sk_variants_call(sk_call *call, const sk_spec *spec, const sk_variant_args *a,
                      const sk_variant_counts *n);

#endif
