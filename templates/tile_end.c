/* tile_end.c - the warps of a block meet: their streams (base, sum, acc), relative to
 * bases of their own, become one in scratch:
 *   M = max base,  l = sum_w sum_w 2^(base_w - M),  acc likewise.
 * Scratch: acc of every warp, [warps][H][Cp], and their pairs. Element by element the
 * sum takes the place of the first warp's, so that c->acc is where that was; its
 * space is also that of queries and codewords, which nobody needs any more. */
#include "tile_impl.h"

#include <math.h>

uint32_t sk_tile_end_bytes(const sk_spec *spec, const sk_schedule *sched)
{
    return sk_tile_warps(sched) * spec->heads_per_kv * spec->dv * 4;
}

/* What a lane holds, to the warp's part. */
static void store_stream(sk_tile *t)
{
    sk_dec *c = t->c;
    sk_builder *b = c->b;
    const sk_val to = sk_ir_ptr_add(b, c->acc, t->warp, c->h * c->cp * 4);
    const sk_val pairs = sk_ir_ptr_add(b, t->pairs, t->warp, 64);
    const sk_val first = sk_ir_2k(b, SK_OP_ULT, c->lane, 4); /* g = 0 */
    for (uint32_t n = 0; n < t->nt; n++)
        for (uint32_t e = 0; e < 2; e++) {
            const sk_val head = sk_add(c, sk_shl(c, t->t, 1), sk_k(c, 8 * n + e));
            const sk_val is_head = sk_ir_2k(b, SK_OP_ULT, head, c->h), at = sk_mul(c, head, 4);
            const sk_val some = sk_ir_2(b, SK_OP_PAND, first, is_head);
            sk_ir_stg(b, pairs, at, 0, sk_ir_get(b, t->base[n][e]), some);
            sk_ir_stg(b, pairs, at, t->warps * 64, sk_quad_float(t, sk_ir_get(b, t->sum[n]), e), some);
            const sk_val row = sk_add(c, sk_mul(c, head, c->cp * 4), sk_mul(c, t->g, 8));
            for (uint32_t i = 0; i < t->blocks; i++)
                for (uint32_t y = 0; y < 2; y++) {
                    const sk_val x = sk_quad_float(t, sk_ir_get(b, t->acc[n][i]), 2 * y + e);
                    sk_ir_stg(b, to, row, (i * 16 + y) * 4, x, is_head);
                }
        }
}

/* Factors of the warps for head h, which c->stat gets the pair of. */
static void join_pairs(sk_tile *t, sk_val h, sk_val *factor)
{
    sk_dec *c = t->c;
    sk_builder *b = c->b;
    const sk_val at = sk_mul(c, h, 4), never = sk_ir_f32(b, -INFINITY);
    sk_val base[SK_TILE_WARPS], m = SK_NONE, l = SK_NONE;
    for (uint32_t w = 0; w < t->warps; w++) {
        base[w] = sk_ir_ldu(b, SK_LD_F32, t->pairs, at, w * 64);
        m = w == 0 ? base[w] : sk_ir_2(b, SK_OP_FMAX, m, base[w]);
    }
    /* no token at all: anything finite will do */
    const sk_val some = sk_ir_2(b, SK_OP_FLT, never, m);
    const sk_val from = sk_sel(c, some, m, sk_ir_f32(b, 0.0f));
    for (uint32_t w = 0; w < t->warps; w++) {
        factor[w] = sk_ir_exp2(b, sk_ir_2(b, SK_OP_FSUB, base[w], from), false);
        const sk_val sum = sk_ir_ldu(b, SK_LD_F32, t->pairs, at, (t->warps + w) * 64);
        const sk_val part = sk_ir_2(b, SK_OP_FMUL, sum, factor[w]);
        l = w == 0 ? part : sk_ir_2(b, SK_OP_FADD, l, part);
    }
    sk_ir_stu(b, c->stat, at, c->stat_m, m);
    sk_ir_stu(b, c->stat, at, c->stat_l, l);
}

/* Warps take heads in turn. */
static void join(sk_tile *t)
{
    sk_dec *c = t->c;
    sk_builder *b = c->b;
    sk_val factor[SK_TILE_WARPS];
    const sk_val h = sk_ir_for(b, t->warp, sk_k(c, c->h), t->warps);
    join_pairs(t, h, factor);
    const sk_val row = sk_mul(c, h, c->cp * 4);
    const sk_val channel = sk_add(c, sk_ir_for(b, c->zero, sk_k(c, c->cp), 32), c->lane);
    const sk_val is_channel = sk_ir_2k(b, SK_OP_ULT, channel, c->cp);
    const sk_val at = sk_add(c, row, sk_mul(c, channel, 4));
    sk_val all = SK_NONE;
    for (uint32_t w = 0; w < t->warps; w++) {
        const sk_val x = sk_ir_ldg(b, SK_LD_F32, c->acc, at, w * c->h * c->cp * 4, is_channel);
        const sk_val part = sk_ir_2(b, SK_OP_FMUL, x, factor[w]);
        all = w == 0 ? part : sk_ir_2(b, SK_OP_FADD, all, part);
    }
    sk_ir_stg(b, c->acc, at, 0, all, is_channel);
    sk_ir_end(b);
    sk_ir_end(b);
}

void sk_tile_end(sk_tile *t)
{
    sk_ir_barrier(t->c->b);
    store_stream(t);
    sk_ir_barrier(t->c->b);
    join(t);
    sk_ir_barrier(t->c->b);
}
