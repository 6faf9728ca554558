/* random_program.h - random programs of exact ops only, the same for a seed on
 * every machine: scopes, variables, loops, branches, lanes, scratch, memory in
 * bounds by masking. The interpreter accepts every one of them (no fault, no
 * race), and every execution must give the same bits.
 *
 * Frame: slot 0 the input (read-only), slot 1 the output, slot 2 a u32, slot 3
 * a float; grid {2, 1, 1}. NaNs are made plain before their bits can be seen,
 * since arithmetic leaves open which NaN it gives. */
#ifndef SK_RANDOM_PROGRAM_H
#define SK_RANDOM_PROGRAM_H

#include "ir.h"

#define SK_RANDOM_BLOCKS 2u
#define SK_RANDOM_IN_WORDS 1024u
#define SK_RANDOM_AREA_WORDS 1024u /* of the output, per warp and block */
#define SK_RANDOM_OUT_WORDS(warps) (SK_RANDOM_AREA_WORDS * SK_RANDOM_BLOCKS * (warps))

/* size: about how many statements. */
sk_status sk_random_program(uint64_t seed, uint32_t w, uint32_t warps, uint32_t size,
                            sk_arena *arena, sk_program **out, sk_err *err);
/* Words for the input: floats of all kinds, small and large integers. */
void sk_random_input(uint64_t seed, uint32_t in[SK_RANDOM_IN_WORDS]);
/* The interpreter's answer; out has SK_RANDOM_OUT_WORDS(warps) words and is the
 * initial content, too. n and x: slots 2 and 3. */
sk_status sk_random_interpret(const sk_program *program, const uint32_t *in, uint32_t *out,
                              uint32_t n, float x, sk_err *err);

#endif
