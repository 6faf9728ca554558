/* emit_llvm_body.h - what the files of the CPU back end share: the state of one
 * program's translation and the few ways to make LLVM values. Private to
 * gen/emit_llvm*.c, which include <llvm-c/Core.h> before it.
 *
 *   emit_llvm.c         module, passes, output
 *   emit_llvm_body.c    functions, control flow, variables, dispatch by op
 *   emit_llvm_facts.c   what is known of a value before code is made
 *   emit_llvm_value.c   the helpers declared at the end
 *   emit_llvm_math.c    integers, floats, conversions
 *   emit_llvm_half.c    f16 and bf16
 *   emit_llvm_pack.c    arithmetic of packed sub-words
 *   emit_llvm_bytes.c   bytes and halves moved about
 *   emit_llvm_cross.c   shuffles and reductions
 *   emit_llvm_mem.c     loads and stores
 *
 * A lane value is a vector of W elements, a uniform value a scalar. Most ops are
 * written once for both: a handler looks at the type of its arguments, which
 * the dispatcher has made all vectors or all scalars. */
#ifndef SK_EMIT_LLVM_BODY_H
#define SK_EMIT_LLVM_BODY_H

#include "emit_llvm.h"

/* An op written for scalars can be asked again for one lane of a vector value:
 * trees deeper than this are read from the vector. */
#define SK_LV_DEPTH 10u
#define SK_LV_NOT_CHEAP 255u

typedef struct sk_lv {
    LLVMContextRef ctx;
    LLVMModuleRef module;
    LLVMBuilderRef b;         /* where code goes */
    LLVMBuilderRef entry;     /* where variables go: the entry block */
    LLVMTypeRef i1, i8, i16, i32, i64, f16, bf, f32, f64, ptr, none;
    const sk_target *target;
    const sk_program *p;
    uint32_t w;
    bool x86, avx2, avx512, ssse3; /* avx2 includes FMA and F16C */
    bool vbmi, bf16;               /* with avx512 */
    bool vnni;                     /* with avx512, or without */
    bool neon, dotprod, i8mm;      /* dotprod, i8mm with neon */
    bool fma, half, round;         /* native llvm.fma, half conversions, llvm.rint */
    LLVMValueRef body;        /* the function being filled */
    LLVMValueRef zero;        /* 4 readable zero bytes, made on demand */
    bool passes_caches;       /* the program has stores that may: it ends with a fence */
    LLVMValueRef *val;        /* by instruction */
    uint32_t *bits;           /* by instruction: bits of a u32 that may be set */
    uint8_t *depth;           /* by instruction: SK_LV_NOT_CHEAP, or height of the tree of
                                 scalar ops that computes any one lane */
    struct sk_lv_open *open;  /* open FOR and IF */
    uint32_t nopen;
    sk_err *err;
} sk_lv;

/* a: arguments, widened to vectors when the value has lane scope, unless the
 * row of the op says raw. Returns NULL for ops without a value. */
typedef LLVMValueRef sk_lv_fn(sk_lv *l, const sk_instr *in, LLVMValueRef const *a);

/* Handlers, by file. */
sk_lv_fn sk_lv_int, sk_lv_shift, sk_lv_divide, sk_lv_minmax, sk_lv_compare, sk_lv_logic,
    sk_lv_select, sk_lv_float, sk_lv_fma, sk_lv_fminmax, sk_lv_sign, sk_lv_sqrt, sk_lv_rint,
    sk_lv_exp2, sk_lv_log2, sk_lv_bitcast, sk_lv_i2f, sk_lv_f2i;
sk_lv_fn sk_lv_f16_part, sk_lv_pack_f16, sk_lv_pack_bf16, sk_lv_bdot2;
sk_lv_fn sk_lv_add16x2, sk_lv_most16x2, sk_lv_hide, sk_lv_mulr16x2, sk_lv_sra16x2, sk_lv_madd8, sk_lv_dot2, sk_lv_dot4us, sk_lv_pack;
sk_lv_fn sk_lv_lut16, sk_lv_zip, sk_lv_sel8, sk_lv_perm, sk_lv_field8;
sk_lv_fn sk_lv_shuffle, sk_lv_extract, sk_lv_reduce, sk_lv_any;
sk_lv_fn sk_lv_ldu, sk_lv_ldv, sk_lv_ldg, sk_lv_ldrows, sk_lv_stu, sk_lv_stv, sk_lv_stn,
    sk_lv_stg, sk_lv_prefetch;

/* Translates one program into the module. */
sk_status sk_lv_program(sk_lv *l, const sk_program *p);
/* What a program with such stores ends with. */
void sk_lv_fence(sk_lv *l);
/* Fills l->bits and l->depth. */
void sk_lv_facts(sk_lv *l);
/* The value of one lane as a scalar: without a vector where that is possible. */
LLVMValueRef sk_lv_lane(sk_lv *l, sk_val v, uint32_t lane);

/* f32 from half or bfloat bits in i16 elements (scalar or vector), and back:
 * the low 16 bits of i32 elements. */
LLVMValueRef sk_lv_from_f16(sk_lv *l, LLVMValueRef bits16);
LLVMValueRef sk_lv_from_bf16(sk_lv *l, LLVMValueRef bits16);
/* llvm.fma, or exactly its value on a machine without it. */
LLVMValueRef sk_lv_fused(sk_lv *l, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c);

/* ---- helpers --------------------------------------------------------------- */

bool sk_lv_is_vector(LLVMValueRef v);
uint32_t sk_lv_count(LLVMValueRef v); /* elements; 1 for a scalar */
/* Type with elements `element` and as many of them as v has (or scalar). */
LLVMTypeRef sk_lv_like(LLVMValueRef v, LLVMTypeRef element);
/* Constants in the shape of v. */
LLVMValueRef sk_lv_u32(sk_lv *l, LLVMValueRef like, uint32_t x);
LLVMValueRef sk_lv_f32bits(sk_lv *l, LLVMValueRef like, uint32_t bits);
LLVMValueRef sk_lv_f32(sk_lv *l, LLVMValueRef like, float x);
LLVMValueRef sk_lv_index(sk_lv *l, uint32_t x); /* i32 scalar */
/* A vector of W copies; a vector stays what it is. */
LLVMValueRef sk_lv_splat(sk_lv *l, LLVMValueRef v, uint32_t n);
/* Elements mask[0..n) of a and b side by side. b may be NULL. */
LLVMValueRef sk_lv_pick(sk_lv *l, LLVMValueRef a, LLVMValueRef b, const uint32_t *mask, uint32_t n);
LLVMValueRef sk_lv_slice(sk_lv *l, LLVMValueRef v, uint32_t first, uint32_t n);
/* n vectors (a power of two) side by side; destroys part[]. */
LLVMValueRef sk_lv_join(sk_lv *l, LLVMValueRef *part, uint32_t n);
/* Bits of v as n elements of a type; n = 1: a scalar. */
LLVMValueRef sk_lv_bits(sk_lv *l, LLVMValueRef v, LLVMTypeRef element, uint32_t n);
/* Calls an intrinsic; type: what it is overloaded on, or NULL. */
LLVMValueRef sk_lv_call(sk_lv *l, const char *name, LLVMTypeRef type, LLVMValueRef *arg, uint32_t n);
/* The same of one that is overloaded on up to two types. */
LLVMValueRef sk_lv_call_of(sk_lv *l, const char *name, LLVMTypeRef const *type, uint32_t types,
                           LLVMValueRef *arg, uint32_t n);
/* The widest chunk, in lanes, that native integer vector ops take here. */
uint32_t sk_lv_chunk(const sk_lv *l);
/* op over chunks of two vectors of l->w i32 lanes, results side by side. */
typedef LLVMValueRef sk_lv_chunk_fn(sk_lv *l, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef sk_lv_chunked(sk_lv *l, LLVMValueRef a, LLVMValueRef b, sk_lv_chunk_fn *op);
/* A dot product added to a[0], chunk by chunk: intrinsics of 4, 8 and 16 lanes whose
 * factors are `each` elements a lane; NEON's are overloaded on sum and factors. */
LLVMValueRef sk_lv_chunked_dot(sk_lv *l, LLVMValueRef const *a, LLVMTypeRef element, uint32_t each,
                               const char *const name[3]);

#endif
