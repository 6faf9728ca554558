/* random_program.h - random programs of exact ops only, the same for a seed on
 * every machine: scopes, variables, loops, branches, lanes, scratch, memory in
 * bounds by masking, barriers between warps that read each other's scratch. The
 * interpreter accepts every one of them (no fault, no
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

/* Statements of a program, each by the number that it is drawn from. */
#define SK_RANDOM_NAMES 2048u
typedef struct sk_random_names {
    uint32_t n;
    uint64_t name[SK_RANDOM_NAMES];
} sk_random_names;

typedef struct sk_random_params {
    uint64_t seed;
    uint32_t w, warps;
    uint32_t size;                  /* statements; two or three times as many with their bodies */
    bool all_ops;                   /* every exact op, not only those of sk_op_on_cpu */
    const sk_random_names *without; /* these are left out; NULL = none */
    sk_random_names *met;           /* the others are listed here; may be NULL */
} sk_random_params;

sk_status sk_random_program(const sk_random_params *params, sk_arena *arena, sk_program **out,
                            sk_err *err);
/* Whether an op makes a value of values, and nothing else: all that do, and are
 * exact, occur by themselves. */
bool sk_random_is_value_op(uint32_t op);

/* What the programs so far hold. */
typedef struct sk_random_seen {
    uint32_t op[SK_OP_COUNT][2];             /* with uniform arguments, with a lane value */
    uint32_t load[SK_OP_COUNT][SK_LD_KINDS]; /* by op of the load */
} sk_random_seen;
void sk_random_look(sk_random_seen *seen, const sk_program *program);
/* Something that they should hold by now and do not, in words; NULL when all
 * exact ops (or all that the CPU has) are there, ops of values both as scalars
 * and as vectors, loads of every kind. */
const char *sk_random_missing(const sk_random_seen *seen, bool all_ops);

/* Leaves out statements as long as the rest still fails, and writes what is
 * left as text. `fails` judges a program; it must not stop the test. */
void sk_random_shrink(const sk_random_params *params,
                      bool (*fails)(const sk_program *program, void *context), void *context,
                      sk_text *out);

/* Words for the input: floats of all kinds, small and large integers. */
void sk_random_input(uint64_t seed, uint32_t in[SK_RANDOM_IN_WORDS]);
/* The interpreter's answer; out has SK_RANDOM_OUT_WORDS(warps) words and is the
 * initial content, too. n and x: slots 2 and 3. */
sk_status sk_random_interpret(const sk_program *program, const uint32_t *in, uint32_t *out,
                              uint32_t n, float x, sk_err *err);

#endif
