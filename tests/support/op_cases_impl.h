/* op_cases_impl.h - what op_cases.c (arithmetic, from a table) and
 * op_cases_bodies.c (memory, lanes, control: one function each) and
 * op_cases_quads.c (what GPUs have besides: quads, copies, matrices) share. */
#ifndef SK_OP_CASES_IMPL_H
#define SK_OP_CASES_IMPL_H

#include "op_cases.h"

/* The frame of a case while it is built. */
typedef struct op_frame {
    sk_builder *b;
    uint32_t w;
    sk_val in, out, n, x; /* the four parameters */
} op_frame;

/* How results are compared: bits; floats or packed halves with one NaN; the
 * bounds of inexact ops. */
typedef enum op_compare {
    CMP_BITS,
    CMP_F32,
    CMP_F16X2,
    CMP_BF16X2,
    CMP_EXP2,
    CMP_EXP2_FAST,
    CMP_LOG2,
    CMP_DOT /* plane 1 is the same of absolute values: the bound of plane 0 */
} op_compare;

typedef struct op_body {
    const char *name;
    void (*build)(op_frame *f);
    const char *fill; /* a letter per plane, see op_cases.c */
    op_compare compare;
    uint32_t grid[3];
    bool w32; /* W = 32 only */
} op_body;

extern const op_body sk_op_bodies[];
extern const uint32_t sk_op_body_count;
extern const op_body sk_op_quad_bodies[];
extern const uint32_t sk_op_quad_body_count;

#endif
