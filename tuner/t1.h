/* t1.h - the description of a tuning space, in the T1 format of the auto-tuning community: the
 * tunables with their types and values, in an order that means something, and constraints
 * that are known before anything is compiled. */
#ifndef SK_T1_H
#define SK_T1_H

#include "t1_value.h"

#define SK_T1_PARAMS 64u

typedef struct sk_t1_param {
    const char *name;
    sk_t1_value *value; /* [n], as described */
    uint32_t n;
} sk_t1_param;

typedef struct sk_t1 {
    const char *path;
    struct cJSON *root; /* names and words lie in it */
    uint32_t params, rules;
    sk_t1_param param[SK_T1_PARAMS];
    const char **rule;
} sk_t1;

/* The path outlives it. SPHKV_EIO: it cannot be read; SPHKV_EINVAL: it is no such file, or
 * contradicts itself, with the tunable or constraint that is wrong. */
sk_status sk_t1_read(const char *path, sk_t1 *out, sk_err *err);
void sk_t1_free(sk_t1 *t); /* a zeroed one is fine */

/* The place of a tunable; SK_T1_PARAMS: it is not described. */
uint32_t sk_t1_find(const sk_t1 *t, const char *name);
/* The place of a value; n: it is not described. */
uint32_t sk_t1_place(const sk_t1_param *p, const sk_t1_value *value);
/* The first constraint that values [params] break; NULL: none. SPHKV_EINVAL: one that cannot
 * be evaluated. */
sk_status sk_t1_check(const sk_t1 *t, const sk_t1_value *value, const char **broken, sk_err *err);

#endif
