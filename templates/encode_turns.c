/* encode_turns.c - how the parts of kv_encode go over a page: on a CPU in loops, on a
 * GPU in turns that the warps of a block take; rows of scratch as vectors; zeros. */
#include "encode.h"

void sk_enc_nest(sk_enc *c, uint32_t end, uint32_t step, uint32_t inner_end, uint32_t inner_step,
                 sk_val *outer, sk_val *inner)
{
    if (!c->gpu) {
        *outer = sk_ir_for(c->b, c->zero, sk_u32(c, end), step);
        *inner = sk_ir_for(c->b, c->zero, sk_u32(c, inner_end), inner_step);
        return;
    }
    const uint32_t n = (end + step - 1) / step, m = (inner_end + inner_step - 1) / inner_step;
    const sk_val turn = sk_enc_turns(c, n * m, 1);
    *outer = sk_times(c, sk_opk(c, SK_OP_UDIV, turn, m), step);
    *inner = sk_times(c, sk_opk(c, SK_OP_UREM, turn, m), inner_step);
}

void sk_enc_nest_end(sk_enc *c)
{
    sk_ir_end(c->b);
    if (!c->gpu) sk_ir_end(c->b);
}

/* Whether vectors of tokens end where rows do. */
static bool whole(const sk_enc *c) { return c->spec->page % c->t == 0; }

static sk_val in_row(sk_enc *c, sk_val t0, uint32_t u)
{
    const sk_val t = sk_op2(c, SK_OP_ADD, sk_opk(c, SK_OP_ADD, t0, u * c->w), c->lane);
    return sk_opk(c, SK_OP_ULT, t, c->spec->page);
}

void sk_enc_put_tokens(sk_enc *c, sk_val base, sk_val at, sk_val t0, uint32_t u, sk_val x)
{
    if (whole(c)) {
        sk_ir_stv(c->b, base, at, u * c->w * 4, x);
        return;
    }
    const sk_val off = sk_op2(c, SK_OP_ADD, at, sk_times(c, c->lane, 4));
    sk_ir_stg(c->b, base, off, u * c->w * 4, x, in_row(c, t0, u));
}

sk_val sk_enc_get_tokens(sk_enc *c, sk_val base, sk_val at, sk_val t0)
{
    if (whole(c)) return sk_ir_ldv(c->b, SK_LD_F32, base, at, 0);
    const sk_val off = sk_op2(c, SK_OP_ADD, at, sk_times(c, c->lane, 4));
    return sk_ir_ldg(c->b, SK_LD_F32, base, off, 0, in_row(c, t0, 0));
}

void sk_enc_zero(sk_enc *c, uint32_t from, uint32_t to)
{
    if (from >= to) return;
    sk_builder *b = c->b;
    const uint32_t step = c->w * 4, whole = from + (to - from) / step * step;
    if (c->gpu) {
        const sk_val i = sk_op2(c, SK_OP_ADD, sk_enc_turns(c, (to - from) / 4, c->w), c->lane);
        sk_ir_stg(b, c->dst_page, sk_times(c, i, 4), from, c->zero,
                  sk_opk(c, SK_OP_ULT, i, (to - from) / 4));
        sk_ir_end(b);
        return;
    }
    if (whole > from) {
        const sk_val at = sk_ir_for(b, sk_ir_u32(b, from), sk_ir_u32(b, whole), step);
        sk_ir_stv(b, c->dst_page, at, 0, c->zero);
        sk_ir_end(b);
    }
    for (uint32_t at = whole; at < to; at += 4) sk_ir_stu(b, c->dst_page, c->zero, at, c->zero);
}
