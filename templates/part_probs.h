/* part_probs.h - the forms that probabilities have in the product with values. Rows
 * of `probs` hold one head each, tokens in order:
 *   i16   0..32767, 16 bits a token (vi8, vi4)
 *   u8    0..255, a byte a token (vi8, vi4; class fast)
 *   u7    0..127, the same (vi8): two products with values add up to 16 bits
 *   u16   0..32767, two planes of bytes: the high ones of all heads, then the low ones
 *   bf16  truncated to bfloat16, 16 bits a token (vf16, vbf16; class fast)
 * f32 ones are in `s`, and with any other form the logits stay there. */
#ifndef SK_PART_PROBS_H
#define SK_PART_PROBS_H

#include "decode.h"

typedef enum sk_probs { SK_PROBS_F32, SK_PROBS_I16, SK_PROBS_U8, SK_PROBS_U7, SK_PROBS_U16, SK_PROBS_BF16 } sk_probs;

/* The form of a tier. */
sk_probs sk_probs_of(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot);
/* Whether values are multiplied in dot products of bytes or bfloat16s (part_dots.c). */
bool sk_probs_dots(sk_probs form);
/* Whether the target has what is multiplied then. */
bool sk_probs_run(const sk_spec *spec, const sk_schedule *sched, uint32_t tier_slot,
                  const sk_target *target);
/* Whether probabilities come of logits without floats between (part_exps.c). */
bool sk_probs_of_logits(const sk_dec *c, sk_probs form);
/* What stands for a probability of 1; 0 of floats. */
uint32_t sk_probs_one(sk_probs form);
/* log2 of what stands for a probability of 1 in floats: products with vf16 values,
 * which come as 2^-112 of themselves, must stay normal numbers. */
int32_t sk_probs_scale(const sk_spec *spec, uint32_t tier_slot, sk_probs form);
/* What sums of products with values are multiplied by. */
float sk_probs_unit(const sk_spec *spec, uint32_t tier_slot, sk_probs form);
/* Tokens of one step of the value product. */
uint32_t sk_probs_step(const sk_spec *spec, uint32_t tier_slot, sk_probs form);
/* Vectors of W tokens that are packed together, and bytes of a row. */
uint32_t sk_probs_vectors(sk_probs form);
uint32_t sk_probs_row_bytes(const sk_dec *c, sk_probs form);
uint32_t sk_probs_planes(sk_probs form);

/* Integers or floats p[0 .. vectors-1] of tokens in order as words: one vector of
 * them, of u16 one a plane; and the sum of all that a lane has so far, an integer or
 * of bf16 a float. */
typedef struct sk_probs_packed {
    sk_val plane[2];
} sk_probs_packed;
sk_probs_packed sk_probs_pack(sk_dec *c, sk_probs form, const sk_val *p);
/* Of u8: words whose byte v is of vector v, to bytes in order of tokens. Of u16: words whose
 * halves are of vectors 0 and 1, and of 2 and 3. */
sk_probs_packed sk_probs_bytes(sk_dec *c, sk_val words);
sk_probs_packed sk_probs_halves(sk_dec *c, sk_val low, sk_val high);
/* Integers of four vectors of logits, of which m is the largest (part_exps.c); W = 16. */
typedef struct sk_exps {
    sk_probs form;
    sk_val fraction[2], power; /* tables */
} sk_exps;
sk_exps sk_exps_begin(sk_dec *c, sk_probs form);
sk_probs_packed sk_exps_pack(sk_dec *c, const sk_exps *x, const sk_val logit[4], sk_val m);
/* Stores them for the tokens from t0 on, into the row at rows + disp. */
void sk_probs_put(sk_dec *c, sk_probs form, const sk_probs_packed *x, sk_val rows, sk_val t0,
                  uint32_t disp);
/* Adds them to sum[plane], variables that begin as zeros of the form; the total. */
void sk_probs_sum_begin(sk_dec *c, sk_probs form, sk_val sum[2]);
void sk_probs_sum(sk_dec *c, sk_probs form, const sk_probs_packed *x, const sk_val sum[2]);
sk_val sk_probs_sum_end(sk_dec *c, sk_probs form, const sk_val sum[2]);

#endif
