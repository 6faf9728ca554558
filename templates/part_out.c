/* part_out.c - one row of the output, in the spec's dtype. Stores are of 32-bit
 * words, so that two channels of a 16-bit row go together; a row of an odd number
 * of vectors (W = 16 only: channels come in sixteens) ends with half a vector. */
#include "decode.h"

#include "rows.h"

static void out_row_f32(sk_dec *c, sk_val row, sk_out_channels *channels, const void *of)
{
    const sk_val at = sk_mul(c, sk_ir_for(c->b, c->zero, sk_k(c, c->dv), c->w), 4);
    sk_ir_stv(c->b, row, at, 0, channels(c, of, at));
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
    const sk_val x = channels(c, of, sk_k(c, whole * 4));
    const sk_val half = sk_ir_2k(b, SK_OP_ULT, c->lane, c->w / 2);
    sk_ir_stg(b, row, sk_mul(c, c->lane, 4), whole * 2, sk_rows_pack16(b, kind, c->w, x, x), half);
}
