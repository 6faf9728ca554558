/* spec_random.h - seeded specs, schedules and cases, for tests that try
 * properties over many of them: from everything that the grammar allows, or
 * from what a kernel says that it does. */
#ifndef SK_SPEC_RANDOM_H
#define SK_SPEC_RANDOM_H

#include "case.h"

/* A tier that divides a head of d dimensions (a multiple of 8); the value may
 * be vk when `key_values`. In canonical form. */
sk_tier sk_random_tier(sk_rng *rng, uint32_t d, bool key_values);

/* An attn_decode spec that passes sk_spec_check, with 1 to SK_MAX_TIERS tiers.
 * One in `small` dims when asked, so that brute force stays quick. */
sk_spec sk_random_spec(sk_rng *rng, bool small);

/* A spec of any kernel that passes sk_spec_check, in canonical form; whether
 * its kernel supports it is to be asked. Kernels, key kinds, value kinds, code
 * and radius bits, variants go round with n, so that few of them meet each; the rest is
 * chance. dims: the most that D and Dv have. */
#define SK_RANDOM_ROUND (2u * SPHKV_KERNEL_COUNT - 1) /* n divisible by it: attn_decode */
sk_spec sk_random_kernel_spec(sk_rng *rng, uint32_t n, uint32_t dims);

/* Some valid schedule for the target, of whichever back end: the default with as
 * many tunables drawn as stay valid. Two values, of two tunables, go round with n: false
 * when the first cannot be had. */
bool sk_random_schedule(sk_rng *rng, uint32_t n, const sk_spec *spec, const sk_target *target,
                        sk_schedule *out);

/* Both, such that the kernel runs there and supports the spec; false when what goes
 * round of the schedule was given up, since nothing fitted it. */
bool sk_random_sample(uint64_t seed, uint32_t n, const sk_target *target, uint32_t dims,
                      sk_spec *spec, sk_schedule *schedule);

/* A shape, lists, an input set that a double reference does in milliseconds. */
sk_case_params sk_random_case(sk_rng *rng, const sk_spec *spec);

/* ---- what was met (spec_seen.c) ------------------------------------------------ */

typedef struct sk_seen {
    uint32_t backend; /* of all schedules */
    uint32_t specs, cases;
    uint32_t kernel[SPHKV_KERNEL_COUNT];
    uint32_t key[SPHKV_KERNEL_COUNT][SK_KEY_KINDS], value[SPHKV_KERNEL_COUNT][SK_VAL_KEY + 1];
    uint32_t input[SPHKV_KERNEL_COUNT][SK_INPUT_COUNT];
    uint32_t b[9], rb[17], g[33], ntiers[SK_MAX_TIERS + 1];
    uint32_t span_group, span_head, span_between;
    uint32_t q[SPHKV_KERNEL_COUNT][3], out[SPHKV_KERNEL_COUNT][3], in[SPHKV_KERNEL_COUNT][3];
    uint32_t book[SPHKV_KERNEL_COUNT][SK_BOOKS]; /* by bit of SPHKV_BOOK_* */
    uint32_t variant[SPHKV_KERNEL_COUNT][SK_VARIANTS]; /* by bit of SPHKV_VARIANT_* */
    uint32_t pre_rope[SPHKV_KERNEL_COUNT][2]; /* coded keys before RoPE, and others */
    uint32_t mixed[SPHKV_KERNEL_COUNT][2]; /* segments that a book mixes: of values from keys, or
                                              before RoPE */
    uint32_t accuracy[3], layout[SK_LAYOUT_ROWS];
    uint32_t lists_shared, lists_per_head;
    uint32_t tunable[SPHKV_KERNEL_COUNT][SK_TUNABLE_COUNT][16];
} sk_seen;
void sk_seen_spec(sk_seen *seen, const sk_spec *spec, const sk_schedule *schedule);
void sk_seen_case(sk_seen *seen, const sk_case_params *params);
void sk_seen_print(const sk_seen *seen, sk_text *out);
/* What some kernel supports and was not met, in words; NULL when nothing. */
const char *sk_seen_missing(const sk_seen *seen);

#endif
