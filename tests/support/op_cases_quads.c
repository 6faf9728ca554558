/* op_cases_quads.c - the cases of what GPUs have besides: quads, votes, copies
 * that take their time, matrix products, atomic adds. */
#include "op_cases_impl.h"

static sk_val word(op_frame *f, uint32_t x)
{
    return sk_ir_u32(f->b, x);
}

static sk_val op2k(op_frame *f, sk_op op, sk_val x, uint32_t y)
{
    return sk_ir_2k(f->b, op, x, y);
}

/* ---- quads ------------------------------------------------------------------------------ */

/* off = the place of the warp's i-th 16 bytes a lane; at = that of this lane. */
static sk_val for_quads(op_frame *f, sk_val *at)
{
    const sk_val off =
        sk_ir_for(f->b, word(f, 0), word(f, 4 * SK_OP_PLANE), 16 * f->w);
    *at = sk_ir_2(f->b, SK_OP_ADD, off, op2k(f, SK_OP_MUL, sk_ir_lane(f->b), 16));
    return off;
}

static void quad_words(op_frame *f)
{
    sk_builder *const b = f->b;
    sk_val at, x[4];
    const sk_val off = for_quads(f, &at);
    const sk_val q = sk_ir_ldq(b, f->in, at, 0, SK_NONE);
    for (uint32_t k = 0; k < 4; k++)
        x[k] = sk_ir_word(b, q, 3 - k);
    const sk_val turned = sk_ir_quad(b, x[0], sk_ir_1(b, SK_OP_FLOAT, x[1]), x[2], off);
    sk_ir_stq(b, f->out, at, 0, turned, SK_NONE);
    const sk_val same = sk_ir_quad(b, off, f->n, f->x, word(f, 7)); /* uniform */
    sk_ir_stq(b, f->out, at, 4 * SK_OP_PLANE, same, SK_NONE);
    sk_ir_end(b);
}

/* Some lanes are switched off, by a wild offset. */
static void quads_masked(op_frame *f)
{
    sk_builder *const b = f->b;
    sk_val at;
    (void)for_quads(f, &at);
    const sk_val draw = sk_ir_ldg(b, SK_LD_U32, f->in, at, 0, SK_NONE);
    const sk_val on = sk_ir_2(b, SK_OP_NE, op2k(f, SK_OP_AND, draw, 16), word(f, 0));
    const sk_val inside = op2k(f, SK_OP_AND, draw, 0xff0);
    const sk_val from = sk_ir_3(b, SK_OP_SELECT, on, inside, word(f, 0xfffffff3u));
    const sk_val q = sk_ir_ldq(b, f->in, from, 4096, on);
    sk_ir_stq(b, f->out, at, 0, q, SK_NONE);
    const sk_val to = sk_ir_3(b, SK_OP_SELECT, on, at, draw);
    sk_ir_stq(b, f->out, to, 4 * SK_OP_PLANE, q, on);
    sk_ir_end(b);
}

/* In variables, chosen by lanes and by the whole warp. */
static void quad_variables(op_frame *f)
{
    sk_builder *const b = f->b;
    const sk_val zero = sk_ir_quad(b, word(f, 0), word(f, 1), word(f, 2), word(f, 3));
    const sk_val kept = sk_ir_var(b, SK_LANE, zero), first = sk_ir_var(b, SK_WARP, zero);
    sk_val at;
    const sk_val off = for_quads(f, &at);
    const sk_val q = sk_ir_ldq(b, f->in, at, 0, SK_NONE);
    const sk_val odd = sk_ir_2(b, SK_OP_NE, op2k(f, SK_OP_AND, sk_ir_word(b, q, 1), 1), word(f, 0));
    const sk_val early = sk_ir_2(b, SK_OP_ULT, off, word(f, 32 * f->w));
    sk_ir_set(b, kept, sk_ir_3(b, SK_OP_SELECT, odd, q, sk_ir_get(b, kept)));
    const sk_val some = sk_ir_quad(b, off, f->x, off, f->n);
    sk_ir_set(b, first, sk_ir_3(b, SK_OP_SELECT, early, sk_ir_get(b, first), some));
    sk_ir_stq(b, f->out, at, 0, sk_ir_get(b, kept), SK_NONE);
    sk_ir_stq(b, f->out, at, 4 * SK_OP_PLANE, sk_ir_get(b, first), SK_NONE);
    sk_ir_end(b);
}

static void any_lane(op_frame *f)
{
    sk_builder *const b = f->b;
    const sk_val off = sk_ir_for(b, word(f, 0), word(f, 4 * SK_OP_PLANE), 4 * f->w);
    const sk_val x = sk_ir_ldv(b, SK_LD_U32, f->in, off, 0);
    const sk_val rare = sk_ir_2(b, SK_OP_EQ, op2k(f, SK_OP_AND, x, 31), word(f, 0));
    const sk_val some = sk_ir_any(b, rare);
    const sk_val one = sk_ir_any(b, sk_ir_2(b, SK_OP_ULT, off, word(f, 2048))); /* a splat */
    sk_ir_stv(b, f->out, off, 0, sk_ir_3(b, SK_OP_SELECT, some, x, off));
    sk_ir_stv(b, f->out, off, 4 * SK_OP_PLANE, sk_ir_3(b, SK_OP_SELECT, one, x, off));
    sk_ir_end(b);
}

/* ---- copies ----------------------------------------------------------------------------- */

/* Two stages: the copy of the next is under way while one is used. Lanes that
 * copy nothing keep what they have stored there. */
static void copies_staged(op_frame *f)
{
    sk_builder *const b = f->b;
    const uint32_t stage = 16 * f->w, count = 4 * SK_OP_PLANE / stage;
    const sk_val to = sk_ir_shared(b, 2 * stage);
    const sk_val own = op2k(f, SK_OP_MUL, sk_ir_lane(b), 16);
    const sk_val on = sk_ir_2(b, SK_OP_NE, op2k(f, SK_OP_AND, sk_ir_lane(b), 3), word(f, 2));
    const sk_val zero = sk_ir_quad(b, word(f, 0), word(f, 9), own, word(f, 7));
    sk_ir_stq(b, to, own, 0, zero, SK_NONE);
    sk_ir_stq(b, to, own, stage, zero, SK_NONE);
    sk_ir_cp_async(b, to, own, 0, f->in, own, 0, on);
    sk_ir_cp_commit(b);
    const sk_val i = sk_ir_for(b, word(f, 0), word(f, count), 1);
    const sk_val next = sk_ir_2(b, SK_OP_ADD, own,
                                op2k(f, SK_OP_MUL, op2k(f, SK_OP_AND, op2k(f, SK_OP_ADD, i, 1), 1),
                                     stage));
    const sk_val more = sk_ir_2(b, SK_OP_ULT, op2k(f, SK_OP_ADD, i, 1), word(f, count));
    const sk_val off = sk_ir_2(b, SK_OP_ADD, own, op2k(f, SK_OP_MUL, i, stage));
    sk_ir_cp_async(b, to, next, 0, f->in, off, stage, sk_ir_2(b, SK_OP_PAND, on, more));
    sk_ir_cp_commit(b);
    sk_ir_cp_wait(b, 1);
    const sk_val here = op2k(f, SK_OP_MUL, op2k(f, SK_OP_AND, i, 1), stage);
    const sk_val place = sk_ir_2(b, SK_OP_ADD, here, op2k(f, SK_OP_XOR, own, 16));
    const sk_val q = sk_ir_ldq(b, to, place, 0, SK_NONE); /* what the neighbour has copied */
    sk_ir_stq(b, f->out, off, 0, q, SK_NONE);
    sk_ir_end(b);
    sk_ir_cp_wait(b, 0);
}

/* All lanes; displacements on both sides. */
static void copies_plain(op_frame *f)
{
    sk_builder *const b = f->b;
    const sk_val to = sk_ir_shared(b, 16 * f->w + 64);
    const sk_val own = op2k(f, SK_OP_MUL, sk_ir_lane(b), 16);
    sk_val at;
    const sk_val off = for_quads(f, &at);
    sk_ir_cp_async(b, to, own, 64, sk_ir_ptr_add(b, f->in, off, 1), own, 4 * SK_OP_PLANE, SK_NONE);
    sk_ir_cp_commit(b);
    sk_ir_cp_wait(b, 0);
    sk_ir_stv(b, f->out, off, 0, sk_ir_ldv(b, SK_LD_U32, to, word(f, 64), 0));
    sk_ir_stq(b, f->out, at, 4 * SK_OP_PLANE, sk_ir_ldq(b, to, own, 64, SK_NONE), SK_NONE);
    sk_ir_end(b);
}

/* ---- atomic adds ------------------------------------------------------------------------ */

/* Every block leaves a part; the last one adds all parts up and resets the
 * counter. Which block is the last does not show. */
static void last_block_sums(op_frame *f)
{
    sk_builder *const b = f->b;
    const uint32_t blocks = 4, counter = 4 * SK_OP_PLANE;
    const sk_val id = sk_ir_block(b, 0);
    const sk_val own = op2k(f, SK_OP_MUL, id, 4 * f->w);
    sk_ir_stv(b, f->out, own, 0, sk_ir_ldv(b, SK_LD_U32, f->in, own, 0));
    (void)sk_ir_atom_add(b, f->out, word(f, counter), 64, op2k(f, SK_OP_ADD, id, 3));
    sk_ir_barrier(b);
    const sk_val old = sk_ir_atom_add(b, f->out, word(f, counter), 0, word(f, 1));
    sk_ir_if(b, sk_ir_2(b, SK_OP_EQ, old, word(f, SK_OP_POISON + blocks - 1)));
    sk_val sum = word(f, 0);
    for (uint32_t k = 0; k < blocks; k++)
        sum = sk_ir_2(b, SK_OP_ADD, sum,
                      sk_ir_ldv(b, SK_LD_U32, f->out, word(f, 4 * k * f->w), 0));
    sk_ir_stv(b, f->out, word(f, 2048), 0, sum);
    sk_ir_stu(b, f->out, word(f, counter), 0, word(f, 0));
    sk_ir_end(b);
}

/* ---- matrix product ----------------------------------------------------------------------- */

/* Vector k of a plane of floats. */
static sk_val floats(op_frame *f, uint32_t plane, uint32_t k)
{
    return sk_ir_ldv(f->b, SK_LD_F32, f->in, word(f, 4 * (plane * SK_OP_PLANE + k * 32)), 0);
}

static sk_val pairs(op_frame *f, uint32_t plane, uint32_t k, sk_op pack)
{
    return sk_ir_2(f->b, pack, floats(f, plane, k), floats(f, plane, k + 1));
}

/* sign = 0x7fff..: the product of absolute values. */
static sk_val product(op_frame *f, uint32_t step, bool bf16, bool absolute)
{
    sk_builder *const b = f->b;
    const sk_op pack = bf16 ? SK_OP_PACKBF16 : SK_OP_PACKF16;
    sk_val x[6], c[4];
    for (uint32_t k = 0; k < 6; k++) {
        x[k] = pairs(f, k < 4 ? 0 : 1, step * (k < 4 ? 8 : 4) + k % 4 * 2, pack);
        if (absolute)
            x[k] = op2k(f, SK_OP_AND, x[k], 0x7fff7fffu);
    }
    for (uint32_t k = 0; k < 4; k++) {
        c[k] = floats(f, 2, step * 4 + k);
        if (absolute)
            c[k] = sk_ir_1(b, SK_OP_FABS, c[k]);
    }
    const sk_val qa = sk_ir_quad(b, x[0], x[1], x[2], x[3]);
    return sk_ir_mma(b, qa, x[4], x[5], sk_ir_quad(b, c[0], c[1], c[2], c[3]), bf16);
}

static void products(op_frame *f, bool bf16)
{
    for (uint32_t step = 0; step < 4; step++)
        for (uint32_t absolute = 0; absolute < 2; absolute++) {
            const sk_val d = product(f, step, bf16, absolute);
            for (uint32_t k = 0; k < 4; k++) {
                const uint32_t place = absolute * SK_OP_PLANE + (step * 4 + k) * 32;
                sk_ir_stv(f->b, f->out, word(f, 4 * place), 0, sk_ir_word(f->b, d, k));
            }
        }
}

static void mma_f16(op_frame *f) { products(f, false); }
static void mma_bf16(op_frame *f) { products(f, true); }

/* Every element has a number of its own, so that a wrong place shows. */
static void mma_places(op_frame *f)
{
    sk_builder *const b = f->b;
    const sk_val one = word(f, 0x3c003c00), lane = sk_ir_lane(b);
    const sk_val id = sk_ir_1(b, SK_OP_I2F, lane), zero = sk_ir_f32(b, 0);
    sk_val x[4], c[4];
    for (uint32_t k = 0; k < 4; k++) {
        const sk_val at = sk_ir_2(b, SK_OP_FADD, id, sk_ir_f32(b, (float)(32 * k)));
        x[k] = sk_ir_2(b, SK_OP_PACKF16, at, sk_ir_f32(b, k % 2 ? 0.5f : 0.25f));
        c[k] = sk_ir_2(b, SK_OP_FMUL, at, sk_ir_f32(b, 1024));
    }
    const sk_val qa = sk_ir_quad(b, x[0], x[1], x[2], x[3]);
    const sk_val qc = sk_ir_quad(b, c[0], c[1], c[2], c[3]);
    const sk_val none = sk_ir_quad(b, zero, zero, zero, zero);
    const sk_val ones = sk_ir_quad(b, one, one, one, one);
    const sk_val d[] = {sk_ir_mma(b, qa, one, one, qc, false),
                        sk_ir_mma(b, qa, x[0], x[1], none, false),
                        sk_ir_mma(b, ones, x[1], x[2], none, false)};
    for (uint32_t i = 0; i < SK_COUNT(d); i++)
        for (uint32_t k = 0; k < 4; k++)
            sk_ir_stv(b, f->out, word(f, 128 * (4 * i + k)), 0, sk_ir_word(b, d[i], k));
}

const op_body sk_op_quad_bodies[] = {
    {"quad words", quad_words, "n", CMP_BITS, {0}, false},
    {"quads masked", quads_masked, "n", CMP_BITS, {0}, false},
    {"quad variables", quad_variables, "n", CMP_BITS, {0}, false},
    {"any", any_lane, "n", CMP_BITS, {0}, false},
    {"copies in two stages", copies_staged, "n", CMP_BITS, {0}, false},
    {"copies", copies_plain, "nn", CMP_BITS, {0}, false},
    {"the last block sums", last_block_sums, "n", CMP_BITS, {4}, false},
    {"mma f16", mma_f16, "rrr", CMP_DOT, {0}, true},
    {"mma bf16", mma_bf16, "rrr", CMP_DOT, {0}, true},
    {"mma, small integers: exact", mma_places, "n", CMP_BITS, {0}, true},
};
const uint32_t sk_op_quad_body_count = SK_COUNT(sk_op_quad_bodies);
