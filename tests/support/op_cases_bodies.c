/* op_cases_bodies.c - the cases that need a program of their own: memory in
 * every kind, scratch, variables, control, what a block is told. One function
 * builds one case; the table at the end is the list. */
#include <string.h>

#include "op_cases_impl.h"

static sk_val word(op_frame *f, uint32_t x)
{
    return sk_ir_u32(f->b, x);
}

/* off = for i in 0 .. count: i * 4 * W, the place of the i-th vector. */
static sk_val for_vectors(op_frame *f, uint32_t count)
{
    return sk_ir_for(f->b, word(f, 0), word(f, count * 4 * f->w), 4 * f->w);
}

static uint32_t vectors(const op_frame *f)
{
    return SK_OP_PLANE / f->w;
}

/* A predicate of lanes or one value: bit `bit` of x. */
static sk_val bit_of(op_frame *f, sk_val x, uint32_t bit)
{
    const sk_val masked = sk_ir_2(f->b, SK_OP_AND, x, word(f, 1u << bit));
    return sk_ir_2(f->b, SK_OP_NE, masked, word(f, 0));
}

/* ---- loads, for every kind -------------------------------------------------------------- */

static void ldu_kind(op_frame *f, sk_ld_kind kind)
{
    const uint32_t bytes = sk_ld_bytes(kind);
    const sk_val i = sk_ir_for(f->b, word(f, 0), word(f, 200), 1);
    const sk_val at = sk_ir_2(f->b, SK_OP_MUL, i, word(f, bytes));
    const sk_val to = sk_ir_2(f->b, SK_OP_MUL, i, word(f, 8));
    sk_ir_stu(f->b, f->out, to, 0, sk_ir_ldu(f->b, kind, f->in, at, 0));
    sk_ir_stu(f->b, f->out, to, 4, sk_ir_ldu(f->b, kind, f->in, at, 3 * bytes));
    sk_ir_end(f->b);
}

/* Vectors from places that are aligned to one element only. */
static void ldv_kind(op_frame *f, sk_ld_kind kind)
{
    const uint32_t bytes = sk_ld_bytes(kind);
    const sk_val i = sk_ir_for(f->b, word(f, 0), word(f, vectors(f)), 1);
    const sk_val at = sk_ir_2(f->b, SK_OP_MUL, i, word(f, bytes * (f->w + 1)));
    const sk_val to = sk_ir_2(f->b, SK_OP_MUL, i, word(f, 4 * f->w));
    const sk_val x = sk_ir_ldv(f->b, kind, f->in, at, bytes);
    sk_ir_stv(f->b, f->out, to, 0, x);
    sk_ir_end(f->b);
}

/* Random lanes, some switched off; those hold an offset that must not be used. */
static void ldg_kind(op_frame *f, sk_ld_kind kind)
{
    const uint32_t bytes = sk_ld_bytes(kind);
    sk_builder *const b = f->b;
    const sk_val off = for_vectors(f, vectors(f));
    const sk_val draw = sk_ir_ldv(b, SK_LD_U32, f->in, off, 4 * SK_OP_PLANE);
    const sk_val index = sk_ir_2(b, SK_OP_AND, draw, word(f, SK_OP_PLANE - 1));
    const sk_val inside = sk_ir_2(b, SK_OP_MUL, index, word(f, bytes));
    const sk_val on = bit_of(f, draw, 20);
    const sk_val at = sk_ir_3(b, SK_OP_SELECT, on, inside, word(f, 0xfffffff0u));
    sk_ir_stv(b, f->out, off, 0, sk_ir_ldg(b, kind, f->in, at, 0, on));
    const sk_val all = sk_ir_ldg(b, kind, f->in, inside, 2 * bytes, SK_NONE);
    sk_ir_stv(b, f->out, off, SK_OP_PLANE * 4, all);
    sk_ir_end(b);
}

#define KIND_BODIES(X) X(U32) X(F32) X(U8) X(S8) X(U16) X(F16) X(BF16) X(S8X2)
#define SK_X(K)                                                                                    \
    static void ldu_##K(op_frame *f) { ldu_kind(f, SK_LD_##K); }                                   \
    static void ldv_##K(op_frame *f) { ldv_kind(f, SK_LD_##K); }                                   \
    static void ldg_##K(op_frame *f) { ldg_kind(f, SK_LD_##K); }
KIND_BODIES(SK_X)
#undef SK_X

/* The whole warp switched off or on by one uniform predicate. */
static void ldg_uniform_mask(op_frame *f)
{
    sk_builder *const b = f->b;
    const sk_val off = for_vectors(f, vectors(f));
    const sk_val draw = sk_ir_ldu(b, SK_LD_U32, f->in, off, 0);
    const sk_val on = bit_of(f, draw, 3);
    const sk_val spread = sk_ir_2(b, SK_OP_MUL, sk_ir_lane(b), word(f, 12));
    const sk_val at = sk_ir_3(b, SK_OP_SELECT, on, spread, word(f, 0x80000000u));
    sk_ir_stv(b, f->out, off, 0, sk_ir_ldg(b, SK_LD_U32, f->in, at, 8, on));
    /* one offset for all lanes */
    const sk_val same = sk_ir_2(b, SK_OP_AND, draw, word(f, 0xffc));
    sk_ir_stv(b, f->out, off, SK_OP_PLANE * 4, sk_ir_ldg(b, SK_LD_F32, f->in, same, 0, SK_NONE));
    sk_ir_end(b);
}

static void ldrows_run(op_frame *f, uint32_t n, sk_ld_kind kind)
{
    sk_builder *const b = f->b;
    const uint32_t run = n < f->w ? n : f->w;
    const sk_val off = for_vectors(f, vectors(f));
    /* the same draw in all lanes of a run: plane 1 at (lane / run) */
    const sk_val row = sk_ir_2(b, SK_OP_UDIV, sk_ir_lane(b), word(f, run));
    const sk_val place = sk_ir_2(b, SK_OP_ADD, off, sk_ir_2(b, SK_OP_MUL, row, word(f, 4)));
    const sk_val draw = sk_ir_ldg(b, SK_LD_U32, f->in, place, SK_OP_PLANE * 4, SK_NONE);
    const sk_val at = sk_ir_2(b, SK_OP_AND, draw, word(f, 0x7fc));
    sk_ir_stv(b, f->out, off, 0, sk_ir_ldrows(b, kind, f->in, at, 20, run));
    const sk_val uniform = sk_ir_2(b, SK_OP_SHR, off, word(f, 3));
    const sk_val aligned = sk_ir_2(b, SK_OP_AND, uniform, word(f, 0xffc));
    sk_ir_stv(b, f->out, off, SK_OP_PLANE * 4, sk_ir_ldrows(b, kind, f->in, aligned, 0, run));
    sk_ir_end(b);
}

static void ldrows_1(op_frame *f) { ldrows_run(f, 1, SK_LD_U32); }
static void ldrows_2(op_frame *f) { ldrows_run(f, 2, SK_LD_F32); }
static void ldrows_4(op_frame *f) { ldrows_run(f, 4, SK_LD_U32); }
static void ldrows_8(op_frame *f) { ldrows_run(f, 8, SK_LD_F32); }
static void ldrows_16(op_frame *f) { ldrows_run(f, 16, SK_LD_U32); }
static void ldrows_w(op_frame *f) { ldrows_run(f, 32, SK_LD_F32); }

/* ---- stores, addresses, scratch --------------------------------------------------------- */

static void store_uniform(op_frame *f)
{
    sk_builder *const b = f->b;
    sk_ir_stu(b, f->out, word(f, 4), 8, sk_ir_f32(b, 1.25f));
    sk_ir_stu(b, f->out, word(f, 0), 0, word(f, 77));
    sk_ir_stv(b, f->out, word(f, 64), 4, word(f, 5));
    sk_ir_stv(b, f->out, word(f, 1028), 0, sk_ir_1(b, SK_OP_I2F, sk_ir_lane(b)));
}

/* A vector of lanes and one of copies, and what lies between them stays. */
static void store_past_caches(op_frame *f)
{
    sk_builder *const b = f->b;
    const sk_val off = for_vectors(f, vectors(f));
    sk_ir_stn(b, f->out, off, 0, sk_ir_ldv(b, SK_LD_U32, f->in, off, 4));
    sk_ir_end(b);
    sk_ir_stn(b, f->out, word(f, SK_OP_PLANE * 4), 256, sk_ir_f32(b, 2.5f));
    sk_ir_stv(b, f->out, word(f, SK_OP_PLANE * 4 + 512), 0, sk_ir_ldv(b, SK_LD_U32, f->out, word(f, 0), 0));
}

/* A permutation of lanes within a vector, some switched off. */
static void store_scatter(op_frame *f)
{
    sk_builder *const b = f->b;
    const sk_val off = for_vectors(f, vectors(f));
    const sk_val draw = sk_ir_ldu(b, SK_LD_U32, f->in, off, 0);
    const sk_val x = sk_ir_ldv(b, SK_LD_U32, f->in, off, 4 * SK_OP_PLANE);
    const sk_val turned = sk_ir_2(b, SK_OP_ADD, sk_ir_lane(b), draw);
    const sk_val slot = sk_ir_2(b, SK_OP_AND, turned, word(f, f->w - 1));
    const sk_val at = sk_ir_2(b, SK_OP_ADD, off, sk_ir_2(b, SK_OP_SHL, slot, word(f, 2)));
    const sk_val on = bit_of(f, x, 0);
    const sk_val unused = sk_ir_3(b, SK_OP_SELECT, on, at, word(f, 0xfffffffcu));
    sk_ir_stg(b, f->out, unused, 0, x, on);
    sk_ir_stg(b, f->out, at, SK_OP_PLANE * 4, sk_ir_1(b, SK_OP_FLOAT, x), SK_NONE);
    sk_ir_end(b);
}

/* Stores with a splat, and a mask that is one value for all lanes. */
static void store_scatter_uniform(op_frame *f)
{
    sk_builder *const b = f->b;
    const sk_val off = for_vectors(f, vectors(f));
    const sk_val draw = sk_ir_ldu(b, SK_LD_U32, f->in, off, 0);
    const sk_val bytes = sk_ir_2(b, SK_OP_SHL, sk_ir_lane(b), word(f, 2));
    const sk_val at = sk_ir_2(b, SK_OP_ADD, bytes, off);
    sk_ir_stg(b, f->out, at, 0, draw, bit_of(f, draw, 9));
    const sk_val mine = sk_ir_2(b, SK_OP_AND, draw, word(f, f->w - 1));
    const sk_val only = sk_ir_2(b, SK_OP_EQ, sk_ir_lane(b), mine);
    sk_ir_stg(b, f->out, off, SK_OP_PLANE * 4, at, only); /* one offset, one lane */
    sk_ir_end(b);
}

static void prefetch_anywhere(op_frame *f)
{
    sk_builder *const b = f->b;
    sk_ir_prefetch(b, f->in, word(f, 0), 0);
    sk_ir_prefetch(b, f->in, word(f, 0xffffff00u), 64);
    sk_ir_prefetch_near(b, f->in, word(f, 0xffffff00u), 64);
    sk_ir_stv(b, f->out, word(f, 0), 0, sk_ir_lane(b));
}

static void addresses(op_frame *f)
{
    sk_builder *const b = f->b;
    const sk_val i = sk_ir_for(b, word(f, 0), word(f, 64), 1);
    const sk_val from = sk_ir_ptr_add(b, f->in, i, 4);
    const sk_val to = sk_ir_ptr_add(b, sk_ir_ptr_add(b, f->out, i, 4), i, 4);
    const sk_val draw = sk_ir_ldu(b, SK_LD_U32, from, word(f, 4), 8);
    const sk_val pick = bit_of(f, draw, 0);
    const sk_val either = sk_ir_3(b, SK_OP_SELECT, pick, from, sk_ir_ptr_add(b, f->in, i, 16));
    sk_ir_stu(b, to, word(f, 0), 0, draw);
    sk_ir_stu(b, to, word(f, 0), 4, sk_ir_ldu(b, SK_LD_U32, either, word(f, 0), 256));
    sk_ir_end(b);
}

/* Offset and displacement add up in 64 bits, not in 32: an address before the
 * buffer's start cannot be made, so this goes up and uses a large step. */
static void address_steps(op_frame *f)
{
    sk_builder *const b = f->b;
    const sk_val var = sk_ir_var(b, SK_WARP, f->in);
    const sk_val off = for_vectors(f, vectors(f));
    const sk_val at = sk_ir_get(b, var);
    sk_ir_stv(b, f->out, off, 0, sk_ir_ldv(b, SK_LD_U32, at, word(f, 0), 0));
    sk_ir_set(b, var, sk_ir_ptr_add(b, at, word(f, 1), 4 * f->w + 4));
    sk_ir_end(b);
}

static void scratch(op_frame *f)
{
    sk_builder *const b = f->b;
    const sk_val one = sk_ir_shared(b, 4 * f->w * 2 + 4), two = sk_ir_shared(b, 4 * f->w);
    const sk_val off = for_vectors(f, vectors(f) / 2);
    const sk_val x = sk_ir_ldv(b, SK_LD_U32, f->in, off, 0);
    sk_ir_stv(b, one, word(f, 4), 0, x);
    sk_ir_stv(b, two, word(f, 0), 0, sk_ir_1(b, SK_OP_I2F, x));
    sk_ir_barrier(b);
    const sk_val back = sk_ir_2(b, SK_OP_SUB, word(f, f->w), sk_ir_lane(b));
    const sk_val at = sk_ir_2(b, SK_OP_SHL, back, word(f, 2));
    const sk_val turned = sk_ir_ldg(b, SK_LD_U32, one, at, 0, SK_NONE);
    const sk_val y = sk_ir_ldv(b, SK_LD_F32, two, word(f, 0), 0);
    sk_ir_stv(b, f->out, off, 0, turned);
    sk_ir_stv(b, f->out, off, SK_OP_PLANE * 4, y);
    sk_ir_barrier(b);
    sk_ir_end(b);
}

/* Sub-word loads from words that were stored. */
static void scratch_bytes(op_frame *f)
{
    sk_builder *const b = f->b;
    const sk_val s = sk_ir_shared(b, 4 * f->w);
    const sk_val off = for_vectors(f, vectors(f));
    sk_ir_stv(b, s, word(f, 0), 0, sk_ir_ldv(b, SK_LD_U32, f->in, off, 0));
    const sk_val bytes = sk_ir_ldv(b, SK_LD_S8, s, word(f, 0), 2);
    const sk_val halves = sk_ir_ldv(b, SK_LD_S8X2, s, word(f, f->w), 0);
    sk_ir_stv(b, f->out, off, 0, sk_ir_2(b, SK_OP_XOR, bytes, halves));
    sk_ir_end(b);
}

/* ---- variables and control -------------------------------------------------------------- */

static void lane_variables(op_frame *f)
{
    sk_builder *const b = f->b;
    const sk_val sum = sk_ir_var(b, SK_LANE, word(f, 0));
    const sk_val most = sk_ir_var(b, SK_LANE, sk_ir_f32(b, -1e30f));
    const sk_val off = for_vectors(f, vectors(f));
    const sk_val x = sk_ir_ldv(b, SK_LD_U32, f->in, off, 0);
    const sk_val before = sk_ir_get(b, sum); /* stays what it was */
    sk_ir_set(b, sum, sk_ir_2(b, SK_OP_ADD, before, x));
    const sk_val y = sk_ir_1(b, SK_OP_I2F, x);
    sk_ir_set(b, most, sk_ir_2(b, SK_OP_FMAX, sk_ir_get(b, most), y));
    sk_ir_stv(b, f->out, off, 0, sk_ir_2(b, SK_OP_SUB, sk_ir_get(b, sum), before));
    sk_ir_end(b);
    sk_ir_stv(b, f->out, word(f, SK_OP_PLANE * 4), 0, sk_ir_get(b, sum));
    sk_ir_stv(b, f->out, word(f, SK_OP_PLANE * 4 + 256), 0, sk_ir_get(b, most));
}

static void uniform_variables(op_frame *f)
{
    sk_builder *const b = f->b;
    const sk_val count = sk_ir_var(b, SK_BLOCK, word(f, 0));
    const sk_val sum = sk_ir_var(b, SK_WARP, sk_ir_f32(b, 0));
    const sk_val off = for_vectors(f, vectors(f));
    const sk_val fresh = sk_ir_var(b, SK_BLOCK, word(f, 3)); /* new in each turn */
    const sk_val x = sk_ir_ldv(b, SK_LD_F32, f->in, off, 0);
    const sk_val lane = sk_ir_extract(b, x, f->w / 2);
    sk_ir_set(b, sum, sk_ir_2(b, SK_OP_FADD, sk_ir_get(b, sum), lane));
    sk_ir_set(b, count, sk_ir_2(b, SK_OP_ADD, sk_ir_get(b, count), sk_ir_get(b, fresh)));
    sk_ir_set(b, fresh, word(f, 9));
    sk_ir_stu(b, f->out, off, 0, sk_ir_get(b, count));
    sk_ir_stu(b, f->out, off, SK_OP_PLANE * 4, sk_ir_get(b, sum));
    sk_ir_stu(b, f->out, off, 4, sk_ir_get(b, fresh));
    sk_ir_end(b);
}

static void loops(op_frame *f)
{
    sk_builder *const b = f->b;
    const sk_val at = sk_ir_var(b, SK_BLOCK, word(f, 0));
    const sk_val i = sk_ir_for(b, word(f, 3), word(f, 20), 4); /* 3 7 11 15 19 */
    const sk_val j = sk_ir_for(b, i, word(f, 17), 3);          /* none for 19 */
    const sk_val to = sk_ir_get(b, at);
    sk_ir_stu(b, f->out, to, 0, sk_ir_2(b, SK_OP_ADD, sk_ir_2(b, SK_OP_MUL, i, word(f, 100)), j));
    sk_ir_set(b, at, sk_ir_2(b, SK_OP_ADD, to, word(f, 4)));
    sk_ir_end(b);
    sk_ir_end(b);
    sk_ir_for(b, word(f, 5), word(f, 5), 1); /* not once */
    sk_ir_stu(b, f->out, word(f, 1024), 0, word(f, 1));
    sk_ir_end(b);
    const sk_val n = sk_ir_2(b, SK_OP_AND, f->n, word(f, 15)); /* a bound of the caller's: 5 */
    const sk_val k = sk_ir_for(b, word(f, 0), n, 2);
    sk_ir_stu(b, f->out, sk_ir_2(b, SK_OP_SHL, k, word(f, 2)), 2048, k);
    sk_ir_end(b);
    const sk_val high = sk_ir_for(b, word(f, 0x7ffffff0u), word(f, 0x80000010u), 8); /* unsigned */
    const sk_val place = sk_ir_2(b, SK_OP_SUB, high, word(f, 0x7ffffff0u));
    sk_ir_stu(b, f->out, sk_ir_2(b, SK_OP_SHR, place, word(f, 1)), 3072, high);
    sk_ir_end(b);
}

/* Loops whose bounds come from lanes. */
static void loops_by_lanes(op_frame *f)
{
    sk_builder *const b = f->b;
    const sk_val off = for_vectors(f, vectors(f));
    const sk_val draw = sk_ir_ldv(b, SK_LD_U8, f->in, off, 0);
    const sk_val few = sk_ir_2(b, SK_OP_AND, draw, word(f, 7));
    const sk_val hi = sk_ir_1(b, SK_OP_RED_UMAX, few), lo = sk_ir_1(b, SK_OP_RED_UMIN, few);
    const sk_val sum = sk_ir_var(b, SK_LANE, draw);
    const sk_val i = sk_ir_for(b, lo, hi, 1);
    sk_ir_set(b, sum, sk_ir_2(b, SK_OP_ADD, sk_ir_get(b, sum), sk_ir_2(b, SK_OP_MUL, i, i)));
    sk_ir_end(b);
    sk_ir_stv(b, f->out, off, 0, sk_ir_get(b, sum));
    sk_ir_end(b);
}

static void branches(op_frame *f)
{
    sk_builder *const b = f->b;
    const sk_val off = for_vectors(f, vectors(f));
    const sk_val x = sk_ir_ldu(b, SK_LD_U32, f->in, off, 0);
    const sk_val out = sk_ir_var(b, SK_WARP, word(f, 1));
    sk_ir_if(b, bit_of(f, x, 0));
    sk_ir_set(b, out, sk_ir_2(b, SK_OP_ADD, sk_ir_get(b, out), word(f, 10)));
    sk_ir_if(b, bit_of(f, x, 1));
    sk_ir_set(b, out, x);
    sk_ir_else(b);
    sk_ir_if(b, sk_ir_1(b, SK_OP_PNOT, bit_of(f, x, 2)));
    sk_ir_set(b, out, sk_ir_2(b, SK_OP_MUL, sk_ir_get(b, out), word(f, 7)));
    sk_ir_end(b);
    sk_ir_end(b);
    sk_ir_else(b);
    const sk_val last = sk_ir_extract(b, sk_ir_ldv(b, SK_LD_U32, f->in, off, 0), f->w - 1);
    sk_ir_if(b, sk_ir_2(b, SK_OP_POR, bit_of(f, last, 3), bit_of(f, x, 4)));
    sk_ir_set(b, out, last);
    sk_ir_end(b);
    sk_ir_end(b);
    sk_ir_stv(b, f->out, off, 0, sk_ir_get(b, out));
    sk_ir_if(b, bit_of(f, x, 5)); /* an empty then */
    sk_ir_else(b);
    sk_ir_stv(b, f->out, off, SK_OP_PLANE * 4, sk_ir_lane(b));
    sk_ir_end(b);
    sk_ir_end(b);
}

static void told(op_frame *f)
{
    sk_builder *const b = f->b;
    const sk_val x = sk_ir_block(b, 0), y = sk_ir_block(b, 1), z = sk_ir_block(b, 2);
    const sk_val yz = sk_ir_2(b, SK_OP_ADD, sk_ir_2(b, SK_OP_MUL, z, word(f, 3)), y);
    const sk_val index = sk_ir_2(b, SK_OP_ADD, sk_ir_2(b, SK_OP_MUL, yz, word(f, 2)), x);
    const sk_val mine = sk_ir_ptr_add(b, f->out, index, 4 * (f->w + 8));
    const sk_val zero = word(f, 0);
    sk_ir_stv(b, mine, zero, 0, sk_ir_lane(b));
    const sk_val tail = sk_ir_ptr_add(b, mine, word(f, 1), 4 * f->w);
    sk_ir_stu(b, tail, zero, 0, sk_ir_0(b, SK_OP_WARP, 0));
    sk_ir_stu(b, tail, zero, 4, x);
    sk_ir_stu(b, tail, zero, 8, y);
    sk_ir_stu(b, tail, zero, 12, z);
    sk_ir_stu(b, tail, zero, 16, f->n);
    sk_ir_stu(b, tail, zero, 20, f->x);
    sk_ir_stu(b, tail, zero, 24, sk_ir_2(b, SK_OP_FMUL, f->x, sk_ir_f32(b, 3)));
}

static void constants(op_frame *f)
{
    static const uint32_t bits[] = {0x80000000, 0x7fc12345, 0x7fa00001, 0xff800000, 1, 0x3f800001};
    for (uint32_t k = 0; k < SK_COUNT(bits); k++) {
        const sk_val x = sk_ir_0(f->b, SK_OP_CONST_F32, bits[k]);
        sk_ir_stu(f->b, f->out, word(f, 4 * k), 0, x);
        sk_ir_stv(f->b, f->out, word(f, 256 * (k + 1)), 0, x);
    }
    sk_ir_stv(f->b, f->out, word(f, 4096), 0, word(f, 0xffffffffu));
}

/* Predicates of all scopes together. */
static void predicates(op_frame *f)
{
    sk_builder *const b = f->b;
    const sk_val off = for_vectors(f, vectors(f));
    const sk_val lanes = sk_ir_ldv(b, SK_LD_U32, f->in, off, 0);
    const sk_val one = sk_ir_ldu(b, SK_LD_U32, f->in, off, SK_OP_PLANE * 4);
    const sk_val p = bit_of(f, lanes, 0), q = bit_of(f, one, 0);
    const sk_val both = sk_ir_2(b, SK_OP_PAND, p, q), any = sk_ir_2(b, SK_OP_POR, q, p);
    const sk_val turned = sk_ir_3(b, SK_OP_SELECT, q, both, sk_ir_1(b, SK_OP_PNOT, any));
    sk_ir_stv(b, f->out, off, 0, sk_ir_3(b, SK_OP_SELECT, turned, lanes, one));
    sk_ir_stv(b, f->out, off, SK_OP_PLANE * 4, sk_ir_3(b, SK_OP_SELECT, q, lanes, one));
    sk_ir_end(b);
}

/* The shape of an online softmax: loads, exp-free rescale, reductions. */
static void running_sum(op_frame *f)
{
    sk_builder *const b = f->b;
    const sk_val most = sk_ir_var(b, SK_WARP, sk_ir_f32(b, -1e30f));
    const sk_val sum = sk_ir_var(b, SK_LANE, sk_ir_f32(b, 0));
    const sk_val off = for_vectors(f, vectors(f));
    const sk_val x = sk_ir_ldv(b, SK_LD_F32, f->in, off, 0);
    const sk_val top = sk_ir_2(b, SK_OP_FMAX, sk_ir_1(b, SK_OP_RED_FMAX, x), sk_ir_get(b, most));
    sk_ir_if(b, sk_ir_2(b, SK_OP_FLT, sk_ir_get(b, most), top));
    sk_ir_set(b, sum, sk_ir_2(b, SK_OP_FMUL, sk_ir_get(b, sum), sk_ir_f32(b, 0.5f)));
    sk_ir_set(b, most, top);
    sk_ir_end(b);
    sk_ir_set(b, sum, sk_ir_3(b, SK_OP_FMA, x, sk_ir_f32(b, 0.25f), sk_ir_get(b, sum)));
    sk_ir_stu(b, f->out, off, 0, sk_ir_1(b, SK_OP_RED_FADD, sk_ir_get(b, sum)));
    sk_ir_end(b);
}

/* Plane 0 the dot products, plane 1 those of absolute values; once with a uniform
 * factor. */
static void bfloat_dots(op_frame *f)
{
    sk_builder *const b = f->b;
    const sk_val off = for_vectors(f, vectors(f));
    const sk_val x = sk_ir_ldv(b, SK_LD_F32, f->in, off, 0);
    const sk_val y = sk_ir_ldv(b, SK_LD_F32, f->in, off, SK_OP_PLANE * 4);
    const sk_val one = sk_ir_ldu(b, SK_LD_F32, f->in, off, SK_OP_PLANE * 4);
    const sk_val xy = sk_ir_2(b, SK_OP_PACKBF16, x, y), yx = sk_ir_2(b, SK_OP_PACKBF16, y, one);
    const sk_val u = sk_ir_2(b, SK_OP_PACKBF16, one, one), no = sk_ir_u32(b, 0x7fff7fff);
    const sk_val sum = sk_ir_bdot2(b, sk_ir_bdot2(b, x, xy, yx), xy, u);
    const sk_val ax = sk_ir_1(b, SK_OP_FABS, x), axy = sk_ir_2(b, SK_OP_AND, xy, no);
    const sk_val some = sk_ir_bdot2(b, ax, axy, sk_ir_2(b, SK_OP_AND, yx, no));
    sk_ir_stv(b, f->out, off, 0, sum);
    sk_ir_stv(b, f->out, off, SK_OP_PLANE * 4, sk_ir_bdot2(b, some, axy, sk_ir_2(b, SK_OP_AND, u, no)));
    sk_ir_end(b);
}

const op_body sk_op_bodies[] = {
#define SK_X(K)                                                                                    \
    {"ldu " #K, ldu_##K, "n", CMP_F32, {0}, false}, {"ldv " #K, ldv_##K, "n", CMP_F32, {0}, false},              \
    {"ldg " #K " masked", ldg_##K, "nn", CMP_F32, {0}, false},
    KIND_BODIES(SK_X)
#undef SK_X
    {"ldg uniform mask and offset", ldg_uniform_mask, "nn", CMP_BITS, {0}, false},
    {"ldrows run 1", ldrows_1, "nn", CMP_BITS, {0}, false},
    {"ldrows run 2", ldrows_2, "nn", CMP_BITS, {0}, false},
    {"ldrows run 4", ldrows_4, "nn", CMP_BITS, {0}, false},
    {"ldrows run 8", ldrows_8, "nn", CMP_BITS, {0}, false},
    {"ldrows run 16", ldrows_16, "nn", CMP_BITS, {0}, false},
    {"ldrows run W", ldrows_w, "nn", CMP_BITS, {0}, false},
    {"stores of one value", store_uniform, "n", CMP_BITS, {0}, false},
    {"stn", store_past_caches, "n", CMP_BITS, {0}, false},
    {"stg masked", store_scatter, "nn", CMP_BITS, {0}, false},
    {"stg uniform mask and offset", store_scatter_uniform, "n", CMP_BITS, {0}, false},
    {"prefetch anywhere", prefetch_anywhere, "n", CMP_BITS, {0}, false},
    {"ptr.add and select of addresses", addresses, "n", CMP_BITS, {0}, false},
    {"address in a variable", address_steps, "n", CMP_BITS, {0}, false},
    {"scratch and barrier", scratch, "n", CMP_BITS, {0}, false},
    {"scratch by bytes", scratch_bytes, "n", CMP_BITS, {0}, false},
    {"lane variables", lane_variables, "n", CMP_BITS, {0}, false},
    {"uniform variables", uniform_variables, "r", CMP_BITS, {0}, false},
    {"loops", loops, "n", CMP_BITS, {0}, false},
    {"loops by lanes", loops_by_lanes, "n", CMP_BITS, {0}, false},
    {"branches", branches, "n", CMP_BITS, {0}, false},
    {"block, warp, lane, parameters", told, "n", CMP_BITS, {2, 3, 2}, false},
    {"constants", constants, "n", CMP_BITS, {0}, false},
    {"predicates", predicates, "nn", CMP_BITS, {0}, false},
    {"running sum", running_sum, "r", CMP_F32, {0}, false},
    {"bdot2", bfloat_dots, "rr", CMP_DOT, {0}, false},
};
const uint32_t sk_op_body_count = SK_COUNT(sk_op_bodies);
