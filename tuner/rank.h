/* rank.h - the schedules of a spec that look best for a card nobody has at hand:
 * from the default on, one tunable at a time goes to the value whose predicted time
 * (predict.h) is least, until none helps. The default is always among them. What was
 * counted for one card serves all, since a program is the same on each. */
#ifndef SK_RANK_H
#define SK_RANK_H

#include "predict.h"

#define SK_RANK_COUNTED 48u /* schedules that are counted, for one spec, at most */
#define SK_RANK_KEPT 8u
#define SK_RANK_SHAPES 64u

/* A card to rank for. */
typedef struct sk_card {
    const sk_gpu_model *model;
    sk_target target;
    char arch[16]; /* "sm_90a" */
} sk_card;
/* "sm_90", "sm_90a": SPHKV_EINVAL or SPHKV_EUNSUPPORTED when there is none. */
sk_status sk_card_parse(const char *arch, sk_card *out, sk_err *err);

typedef struct sk_counted {
    sk_schedule schedule;
    sk_work work;
    sk_status status; /* of counting */
} sk_counted;

/* One spec at some shapes. */
typedef struct sk_ranking {
    const sk_kernel *kernel;
    sk_spec spec;
    uint32_t nshape;
    sk_predict_at at[SK_RANK_SHAPES];
    uint32_t ncounted;
    sk_counted counted[SK_RANK_COUNTED];
} sk_ranking;
sk_status sk_ranking_make(const sk_spec *spec, const sk_shape *shape, uint32_t n, sk_ranking *out,
                          sk_err *err);
void sk_ranking_free(sk_ranking *r); /* a zeroed one is fine */

/* Up to `keep` entries of r->counted, the default first, then by predicted time over
 * all shapes. SPHKV_EUNSUPPORTED: no kernel does the spec on this card. */
sk_status sk_rank(sk_ranking *r, const sk_card *card, uint32_t keep, uint32_t kept[SK_RANK_KEPT],
                  uint32_t *n, sk_err *err);

#endif
