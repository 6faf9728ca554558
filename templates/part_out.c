/* part_out.c - rows of f32 words in vectors, and one row of the output in the spec's
 * dtype. Stores are of 32-bit words, so that two channels of a 16-bit row go
 * together. Channels come in sixteens: a row may end inside of a vector. */
#include "decode.h"

#include "rows.h"

/* Whether the word at byte `at` of this lane is one of the row's. */
static sk_val inside(sk_dec *c, sk_val at, uint32_t words)
{
    const sk_val i = sk_add(c, sk_shr(c, at, 2), c->lane);
    return sk_ir_2(c->b, SK_OP_ULT, i, sk_k(c, words));
}

static sk_val lane_at(sk_dec *c, sk_val at) { return sk_add(c, at, sk_mul(c, c->lane, 4)); }

sk_val sk_part_row(sk_dec *c, sk_val row, sk_val at, uint32_t disp, uint32_t words)
{
    if (words % c->w == 0) return sk_ir_ldv(c->b, SK_LD_F32, row, at, disp);
    return sk_ir_ldg(c->b, SK_LD_F32, row, lane_at(c, at), disp, inside(c, at, words));
}

void sk_part_row_put(sk_dec *c, sk_val row, sk_val at, uint32_t disp, uint32_t words, sk_val x)
{
    if (words % c->w == 0)
        sk_ir_stv(c->b, row, at, disp, x);
    else
        sk_ir_stg(c->b, row, lane_at(c, at), disp, x, inside(c, at, words));
}

static void out_row_f32(sk_dec *c, sk_val row, sk_out_channels *channels, const void *of)
{
    const sk_val at = sk_mul(c, sk_ir_for(c->b, c->zero, sk_k(c, c->dv), c->w), 4);
    sk_part_row_put(c, row, at, 0, c->dv, channels(c, of, at));
    sk_ir_end(c->b);
}

void sk_part_out(sk_dec *c, sk_val row, sk_out_channels *channels, const void *of)
{
    sk_builder *b = c->b;
    if (c->spec->out_dtype == SPHKV_F32) {
        out_row_f32(c, row, channels, of);
        return;
    }
    const sk_ld_kind kind = sk_rows_input_kind(c->spec->out_dtype);
    const uint32_t both = 2 * c->w, whole = c->dv / both * both;
    if (whole > 0) {
        const sk_val c0 = sk_ir_for(b, c->zero, sk_k(c, whole), both);
        const sk_val at = sk_mul(c, c0, 4);
        const sk_val x = channels(c, of, at);
        const sk_val y = channels(c, of, sk_add(c, at, sk_k(c, c->w * 4)));
        sk_ir_stv(b, row, sk_mul(c, c0, 2), 0, sk_rows_pack16(b, kind, c->w, x, y));
        sk_ir_end(b);
    }
    if (whole == c->dv) return;
    const uint32_t rest = c->dv - whole;
    const sk_val x = channels(c, of, sk_k(c, whole * 4));
    const sk_val y = rest > c->w ? channels(c, of, sk_k(c, (whole + c->w) * 4)) : x;
    const sk_val here = sk_ir_2k(b, SK_OP_ULT, c->lane, rest / 2);
    sk_ir_stg(b, row, sk_mul(c, c->lane, 4), whole * 2, sk_rows_pack16(b, kind, c->w, x, y), here);
}
