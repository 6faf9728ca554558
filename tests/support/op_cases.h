/* op_cases.h - one small program per op (and per form of it), so that every
 * execution of the IR is held to the interpreter on the very same programs.
 *
 * All cases have the same frame: slot 0 the input (read-only), slot 1 the
 * output, slot 2 a u32, slot 3 a float; one warp per block. Input and output
 * have fixed sizes for every case and W. An execution that has not all ops asks
 * sk_op_on_cpu, or its own list, of every instruction. Use:
 *
 *     sk_op_case_fits(i, w), else there is none;
 *     sk_op_case_build(i, w, &arena, &program, &err);
 *     sk_op_case_fill(i, w, seed, in);              in[SK_OP_IN_WORDS]
 *     fill out[SK_OP_OUT_WORDS] with SK_OP_POISON, run with SK_OP_PARAM_U32,
 *     SK_OP_PARAM_F32 and the grid of sk_op_case_grid, twice;
 *     sk_op_case_compare(i, want, got, &where) says whether they agree.
 *
 * Buffers must be aligned to 64 bytes. */
#ifndef SK_OP_CASES_H
#define SK_OP_CASES_H

#include "ir.h"

#define SK_OP_PLANE 1024u /* elements of one argument; planes follow one another */
#define SK_OP_IN_WORDS (3u * SK_OP_PLANE + 256u)
#define SK_OP_OUT_WORDS (2u * SK_OP_PLANE)
#define SK_OP_POISON 0xdeadbeefu
#define SK_OP_PARAM_U32 0x80000005u
#define SK_OP_PARAM_F32 (-1.5f)

uint32_t sk_op_case_count(void);
/* "fadd lane", "ldg f16 masked": stable, for messages. */
const char *sk_op_case_name(uint32_t i);
/* Whether the case can be built for a width: some ops have W = 32 only. */
bool sk_op_case_fits(uint32_t i, uint32_t w);
sk_status sk_op_case_build(uint32_t i, uint32_t w, sk_arena *arena, sk_program **out, sk_err *err);
void sk_op_case_grid(uint32_t i, uint32_t grid[3]);
void sk_op_case_fill(uint32_t i, uint32_t w, uint64_t seed, uint32_t *in);
/* True when `got` is as good as `want` in all SK_OP_OUT_WORDS: equal bits,
 * except that all NaNs made by arithmetic are one, and that inexact ops have
 * their bound. Else *where is the first word that differs. */
bool sk_op_case_compare(uint32_t i, const uint32_t *want, const uint32_t *got, uint32_t *where);
/* The interpreter's answer. in, out: as above; out is poisoned first. */
sk_status sk_op_case_interpret(uint32_t i, const sk_program *program, const uint32_t *in,
                               uint32_t *out, sk_err *err);
/* Bit k is set when some case contains op k: tests that none is forgotten. */
void sk_op_case_ops(const sk_program *program, bool seen[SK_OP_COUNT]);

#endif
