/* ir.h - the lane IR: kernels are written once in it by ordinary C functions
 * (the templates) and executed three ways: interpreter, CPU (LLVM), CUDA.
 *
 * A program is a flat array of instructions with structured control markers
 * (FOR/IF .. ELSE .. END). A value is the index of the instruction that made
 * it. Values are immutable; sk_ir_var makes a mutable cell. There are no
 * blocks, phis or passes beyond verify and fold: schedule decisions are `if`s
 * in the C code that builds, and NVRTC or LLVM do the rest.
 *
 * The builder never fails in the middle: an error (memory, a wrong type) is
 * latched and sk_ir_finish reports it, so that templates read straight. */
#ifndef SK_IR_H
#define SK_IR_H

#include "base.h"
#include "ir_ops.h"

typedef enum sk_op {
#define SK_X(name, text, nargs, result, exact, doc) SK_OP_##name,
    SK_OPS(SK_X)
#undef SK_X
    SK_OP_COUNT
} sk_op;

typedef enum sk_type { SK_VOID, SK_U32, SK_F32, SK_PRED, SK_PTR, SK_QUAD } sk_type;
typedef enum sk_scope { SK_BLOCK, SK_WARP, SK_LANE } sk_scope;

/* Element kinds of loads: bytes in memory -> value. */
typedef enum sk_ld_kind {
    SK_LD_U32,  /* 4 bytes -> u32 */
    SK_LD_F32,  /* 4 -> f32 */
    SK_LD_U8,   /* 1 -> u32, zero-extended */
    SK_LD_S8,   /* 1 -> u32, sign-extended */
    SK_LD_U16,  /* 2 -> u32 */
    SK_LD_F16,  /* 2 -> f32 */
    SK_LD_BF16, /* 2 -> f32 */
    SK_LD_S8X2, /* 2 -> two 16-bit sign-extended bytes (low, high) */
    SK_LD_KINDS
} sk_ld_kind;
uint32_t sk_ld_bytes(uint32_t kind);
sk_type sk_ld_type(uint32_t kind);

typedef uint32_t sk_val; /* index of an instruction; SK_NONE = absent */
#define SK_NONE 0xffffffffu
#define SK_MAX_ARGS 5

typedef struct sk_instr {
    uint8_t op;     /* sk_op */
    uint8_t type;   /* sk_type of the value */
    uint8_t scope;  /* sk_scope of the value (for VAR: of the variable) */
    uint8_t nargs;  /* arguments present */
    sk_val arg[SK_MAX_ARGS];
    uint32_t imm;   /* see ir_ops.h */
    uint32_t imm2;  /* load kind; CPASYNC: displacement of the target */
    const char *name; /* for print and emission; may be NULL */
} sk_instr;

typedef enum sk_param_kind { SK_PARAM_PTR, SK_PARAM_U32, SK_PARAM_F32 } sk_param_kind;
typedef struct sk_param {
    const char *name;
    uint8_t kind;    /* sk_param_kind */
    bool writable;   /* pointers: the program may store through it */
} sk_param;

typedef struct sk_program {
    const char *symbol;   /* C symbol of the entry */
    uint32_t w;           /* lanes per warp: a power of two, 4..32 */
    uint32_t warps;       /* warps per block */
    uint32_t shared_bytes;/* block scratch, 64-byte aligned */
    uint32_t occupancy;   /* blocks wanted at once per multiprocessor of a GPU; 0 = nothing said */
    uint32_t nparams;
    sk_param *param;      /* in slot order; a slot is 8 bytes */
    uint32_t ninstr;
    sk_instr *instr;
} sk_program;             /* everything lives in the arena it was built in */

/* The compiled form on a CPU. params: 8-byte slots (pointer, or u32/f32 in the
 * low 4 bytes); shared: scratch of shared_bytes, 64-byte aligned, contents
 * undefined. Runs one block. */
typedef void (*sk_cpu_entry)(const uint64_t *params, void *shared, uint32_t bx, uint32_t by,
                             uint32_t bz);

/* ---- builder ------------------------------------------------------------ */

typedef struct sk_builder {
    sk_arena *arena;
    sk_program *program;
    uint32_t cap, param_cap, depth;
    uint32_t shared_top;
    bool failed;         /* latched; message in err */
    sk_err err;
} sk_builder;

void sk_ir_begin(sk_builder *b, sk_arena *arena, const char *symbol, uint32_t w, uint32_t warps);
/* Folds, verifies, hands out the program. */
sk_status sk_ir_finish(sk_builder *b, sk_program **out, sk_err *err);
/* How many blocks a multiprocessor of a GPU should hold at once: bounds the
 * registers of a lane. */
void sk_ir_occupancy(sk_builder *b, uint32_t blocks);

/* The general form all others use. Computes type and scope of the result,
 * folds constants of plain integer ops where that is trivial. */
sk_val sk_ir_emit(sk_builder *b, sk_op op, uint32_t nargs, const sk_val *args, uint32_t imm,
                  uint32_t imm2);

/* Declares the next parameter and gives its value. */
sk_val sk_ir_param_ptr(sk_builder *b, const char *name, bool writable);
sk_val sk_ir_param_u32(sk_builder *b, const char *name);
sk_val sk_ir_param_f32(sk_builder *b, const char *name);
/* Reserves scratch, aligned to 64 bytes, and gives its address. */
sk_val sk_ir_shared(sk_builder *b, uint32_t bytes);
/* What an area of so many bytes takes of scratch: each begins on 64. */
static inline uint32_t sk_ir_area_bytes(uint32_t bytes) { return (bytes + 63u) & ~63u; }
sk_val sk_ir_u32(sk_builder *b, uint32_t x);
sk_val sk_ir_f32(sk_builder *b, float x);
/* Attaches a name (copied) to a value; returns the value. */
sk_val sk_ir_name(sk_builder *b, sk_val v, const char *name);

static inline sk_val sk_ir_0(sk_builder *b, sk_op op, uint32_t imm)
{
    return sk_ir_emit(b, op, 0, NULL, imm, 0);
}
static inline sk_val sk_ir_1(sk_builder *b, sk_op op, sk_val x)
{
    return sk_ir_emit(b, op, 1, &x, 0, 0);
}
static inline sk_val sk_ir_2(sk_builder *b, sk_op op, sk_val x, sk_val y)
{
    const sk_val a[2] = {x, y};
    return sk_ir_emit(b, op, 2, a, 0, 0);
}
/* The second argument is a constant. */
static inline sk_val sk_ir_2k(sk_builder *b, sk_op op, sk_val x, uint32_t y)
{
    return sk_ir_2(b, op, x, sk_ir_u32(b, y));
}
static inline sk_val sk_ir_3(sk_builder *b, sk_op op, sk_val x, sk_val y, sk_val z)
{
    const sk_val a[3] = {x, y, z};
    return sk_ir_emit(b, op, 3, a, 0, 0);
}
static inline sk_val sk_ir_lane(sk_builder *b) { return sk_ir_0(b, SK_OP_LANE, 0); }
static inline sk_val sk_ir_block(sk_builder *b, uint32_t dim) { return sk_ir_0(b, SK_OP_BLOCK, dim); }
static inline sk_val sk_ir_ptr_add(sk_builder *b, sk_val ptr, sk_val index, uint32_t scale)
{
    const sk_val a[2] = {ptr, index};
    return sk_ir_emit(b, SK_OP_PTR_ADD, 2, a, scale, 0);
}
static inline sk_val sk_ir_var(sk_builder *b, sk_scope scope, sk_val init)
{
    return sk_ir_emit(b, SK_OP_VAR, 1, &init, (uint32_t)scope, 0);
}
static inline sk_val sk_ir_get(sk_builder *b, sk_val var) { return sk_ir_1(b, SK_OP_GET, var); }
static inline void sk_ir_set(sk_builder *b, sk_val var, sk_val x) { (void)sk_ir_2(b, SK_OP_SET, var, x); }
static inline sk_val sk_ir_exp2(sk_builder *b, sk_val x, bool fast)
{
    return sk_ir_emit(b, SK_OP_EXP2, 1, &x, fast ? 1 : 0, 0);
}
static inline sk_val sk_ir_extract(sk_builder *b, sk_val x, uint32_t lane)
{
    return sk_ir_emit(b, SK_OP_EXTRACT, 1, &x, lane, 0);
}
static inline sk_val sk_ir_zip8(sk_builder *b, sk_val x, sk_val y, bool high)
{
    const sk_val a[2] = {x, y};
    return sk_ir_emit(b, SK_OP_ZIP8, 2, a, high ? 1 : 0, 0);
}
static inline sk_val sk_ir_zip16(sk_builder *b, sk_val x, sk_val y, bool high)
{
    const sk_val a[2] = {x, y};
    return sk_ir_emit(b, SK_OP_ZIP16, 2, a, high ? 1 : 0, 0);
}
static inline sk_val sk_ir_quad(sk_builder *b, sk_val x, sk_val y, sk_val z, sk_val w)
{
    const sk_val a[4] = {x, y, z, w};
    return sk_ir_emit(b, SK_OP_QUAD, 4, a, 0, 0);
}
static inline sk_val sk_ir_word(sk_builder *b, sk_val quad, uint32_t index)
{
    return sk_ir_emit(b, SK_OP_WORD, 1, &quad, index, 0);
}
static inline sk_val sk_ir_prmt(sk_builder *b, sk_val low, sk_val high, sk_val sel)
{
    return sk_ir_3(b, SK_OP_PRMT, low, high, sel);
}
static inline sk_val sk_ir_dot4(sk_builder *b, sk_val sum, sk_val x, sk_val y)
{
    return sk_ir_3(b, SK_OP_DOT4, sum, x, y);
}
static inline sk_val sk_ir_dot4us(sk_builder *b, sk_val sum, sk_val x, sk_val y)
{
    return sk_ir_3(b, SK_OP_DOT4US, sum, x, y);
}
static inline sk_val sk_ir_bdot2(sk_builder *b, sk_val sum, sk_val x, sk_val y)
{
    return sk_ir_3(b, SK_OP_BDOT2, sum, x, y);
}
static inline sk_val sk_ir_sra16x2(sk_builder *b, sk_val x, uint32_t by)
{
    return sk_ir_emit(b, SK_OP_SRA16X2, 1, &x, by, 0);
}
static inline sk_val sk_ir_hadd2(sk_builder *b, sk_val x, sk_val y)
{
    return sk_ir_2(b, SK_OP_HADD2, x, y);
}
static inline sk_val sk_ir_hmul2(sk_builder *b, sk_val x, sk_val y)
{
    return sk_ir_2(b, SK_OP_HMUL2, x, y);
}
static inline sk_val sk_ir_hfma2(sk_builder *b, sk_val x, sk_val y, sk_val z)
{
    return sk_ir_3(b, SK_OP_HFMA2, x, y, z);
}
static inline sk_val sk_ir_any(sk_builder *b, sk_val pred) { return sk_ir_1(b, SK_OP_ANY, pred); }
static inline sk_val sk_ir_movm(sk_builder *b, sk_val x) { return sk_ir_1(b, SK_OP_MOVM, x); }
/* bf16: the factors are bfloat16s, else halves. */
static inline sk_val sk_ir_mma(sk_builder *b, sk_val qa, sk_val b0, sk_val b1, sk_val qc, bool bf16)
{
    const sk_val a[4] = {qa, b0, b1, qc};
    return sk_ir_emit(b, SK_OP_MMA, 4, a, bf16 ? 1 : 0, 0);
}
/* Loads: offset is a byte offset value, disp a constant byte displacement. */
static inline sk_val sk_ir_ldu(sk_builder *b, sk_ld_kind kind, sk_val ptr, sk_val off, uint32_t disp)
{
    const sk_val a[2] = {ptr, off};
    return sk_ir_emit(b, SK_OP_LDU, 2, a, disp, (uint32_t)kind);
}
static inline sk_val sk_ir_ldv(sk_builder *b, sk_ld_kind kind, sk_val ptr, sk_val off, uint32_t disp)
{
    const sk_val a[2] = {ptr, off};
    return sk_ir_emit(b, SK_OP_LDV, 2, a, disp, (uint32_t)kind);
}
/* pred = SK_NONE: all lanes. */
sk_val sk_ir_ldg(sk_builder *b, sk_ld_kind kind, sk_val ptr, sk_val off, uint32_t disp, sk_val pred);
static inline sk_val sk_ir_ldrows(sk_builder *b, sk_ld_kind kind, sk_val ptr, sk_val off,
                                  uint32_t disp, uint32_t n)
{
    const sk_val a[2] = {ptr, off};
    return sk_ir_emit(b, SK_OP_LDROWS, 2, a, disp | n << 24, (uint32_t)kind);
}
static inline void sk_ir_stu(sk_builder *b, sk_val ptr, sk_val off, uint32_t disp, sk_val x)
{
    const sk_val a[3] = {ptr, off, x};
    (void)sk_ir_emit(b, SK_OP_STU, 3, a, disp, 0);
}
static inline void sk_ir_stv(sk_builder *b, sk_val ptr, sk_val off, uint32_t disp, sk_val x)
{
    const sk_val a[3] = {ptr, off, x};
    (void)sk_ir_emit(b, SK_OP_STV, 3, a, disp, 0);
}
static inline void sk_ir_stn(sk_builder *b, sk_val ptr, sk_val off, uint32_t disp, sk_val x)
{
    const sk_val a[3] = {ptr, off, x};
    (void)sk_ir_emit(b, SK_OP_STN, 3, a, disp, 0);
}
/* pred = SK_NONE: all lanes. */
void sk_ir_stg(sk_builder *b, sk_val ptr, sk_val off, uint32_t disp, sk_val x, sk_val pred);
/* pred = SK_NONE: all lanes, here and in the two below. */
sk_val sk_ir_ldq(sk_builder *b, sk_val ptr, sk_val off, uint32_t disp, sk_val pred);
void sk_ir_stq(sk_builder *b, sk_val ptr, sk_val off, uint32_t disp, sk_val quad, sk_val pred);
void sk_ir_cp_async(sk_builder *b, sk_val dst, sk_val dst_off, uint32_t dst_disp, sk_val src,
                    sk_val src_off, uint32_t src_disp, sk_val pred);
static inline void sk_ir_cp_commit(sk_builder *b) { (void)sk_ir_0(b, SK_OP_CPCOMMIT, 0); }
static inline void sk_ir_cp_wait(sk_builder *b, uint32_t groups)
{
    (void)sk_ir_0(b, SK_OP_CPWAIT, groups);
}
static inline sk_val sk_ir_atom_add(sk_builder *b, sk_val ptr, sk_val off, uint32_t disp, sk_val x)
{
    const sk_val a[3] = {ptr, off, x};
    return sk_ir_emit(b, SK_OP_ATOMADD, 3, a, disp, 0);
}
static inline void sk_ir_prefetch(sk_builder *b, sk_val ptr, sk_val off, uint32_t disp)
{
    const sk_val a[2] = {ptr, off};
    (void)sk_ir_emit(b, SK_OP_PREFETCH, 2, a, disp, 0);
}
/* Into the nearest cache; before, into the second. */
static inline void sk_ir_prefetch_near(sk_builder *b, sk_val ptr, sk_val off, uint32_t disp)
{
    const sk_val a[2] = {ptr, off};
    (void)sk_ir_emit(b, SK_OP_PREFETCH, 2, a, disp, 1);
}
static inline void sk_ir_barrier(sk_builder *b) { (void)sk_ir_0(b, SK_OP_BARRIER, 0); }
/* for (i = lo; i < hi; i += step); returns i. */
static inline sk_val sk_ir_for(sk_builder *b, sk_val lo, sk_val hi, uint32_t step)
{
    const sk_val a[2] = {lo, hi};
    return sk_ir_emit(b, SK_OP_FOR, 2, a, step, 0);
}
static inline void sk_ir_if(sk_builder *b, sk_val pred) { (void)sk_ir_1(b, SK_OP_IF, pred); }
static inline void sk_ir_else(sk_builder *b) { (void)sk_ir_0(b, SK_OP_ELSE, 0); }
static inline void sk_ir_end(sk_builder *b) { (void)sk_ir_0(b, SK_OP_END, 0); }

/* The same program with warps of 32 lanes (ir_widen.c): the same stores, bit for
 * bit, for any program of fewer. */
sk_status sk_ir_widen(const sk_program *narrow, sk_arena *arena, sk_program **out, sk_err *err);

/* ---- looking at programs ------------------------------------------------ */

typedef struct sk_op_info {
    const char *text;   /* "fadd" */
    uint32_t nargs;
    char result;        /* V U F P A Q S T K, see ir_ops.h */
    bool exact;
    const char *doc;
} sk_op_info;
const sk_op_info *sk_op_get(uint32_t op);
/* Whether the CPU back end emits the op; it refuses a program with others by
 * name. */
bool sk_op_on_cpu(uint32_t op);

/* Every rule of ir_ops.h: types, scopes, structure, loads in range of their
 * kind, barriers under block control, one-lane ownership where it is static. */
sk_status sk_ir_verify(const sk_program *program, sk_err *err);
/* One instruction a line, readable; %n is the instruction's index. */
void sk_ir_print(const sk_program *program, sk_text *out);
/* SHA-256 of all programs of a kernel, without names and independent of the
 * order in which a template's nested calls were evaluated (ir_hash.c). */
sk_status sk_ir_hash(const sk_program *const *programs, uint32_t n, char hex[65], sk_err *err);

/* ---- interpreter: the definition ---------------------------------------- */

/* What a pointer parameter points at. */
typedef struct sk_interp_buffer {
    void *data;
    size_t bytes;
    bool uninitialised; /* reading a byte before the program wrote it is an error */
} sk_interp_buffer;

/* What a run did, by instruction of the program; the caller's arrays, added to. */
typedef struct sk_interp_profile {
    uint64_t *runs;       /* how often a warp ran it */
    uint64_t *wavefronts; /* of shared memory: an access and its bank conflicts */
    uint64_t *sectors;    /* of 32 bytes of the buffers' memory */
    uint64_t ahead;       /* most bytes of one warp that copies had under way */
} sk_interp_profile;

typedef struct sk_interp_args {
    const sk_interp_buffer *buffer; /* by slot; only pointer slots are looked at */
    const uint32_t *scalar;         /* by slot; u32, or bits of f32 */
    uint32_t first[3];              /* index of the first block per dimension */
    uint32_t grid[3];               /* blocks run per dimension, from first on */
    uint64_t max_steps;             /* instructions per warp; 0 = 2^40 */
    sk_interp_profile *profile;     /* NULL: not counted */
    bool backwards;                 /* blocks in falling order */
} sk_interp_args;

/* Runs all blocks one after the other, with checks of bounds, stores through
 * read-only parameters, uninitialised reads (scratch always starts
 * uninitialised), races inside a block between barriers and between blocks,
 * copies not waited for, unequal offsets in LDROWS, runaway loops.
 * SPHKV_EVERIFY names block, instruction and lane.
 *
 * Races between blocks are found in the order in which the blocks ran. A
 * program whose blocks meet must pass in both orders: one that relies on being
 * the last passes in one of them. */
sk_status sk_interp_run(const sk_program *program, const sk_interp_args *args, sk_err *err);

#endif
