/* decode_lanes_rows.c - pages as numbers on a GPU (decode_lanes.h): keys to rows, through a
 * transposition of a warp's registers, and values, whose words lie as lanes want them. */
#include "decode_lanes.h"

#include "lanes.h"
#include "part_unpack.h"

sk_val sk_numbers_row(sk_numbers *c, const sk_number_rows *to, sk_val t, uint32_t dim)
{
    sk_builder *b = c->dec.b;
    sk_val rows = to->rows;
    if (dim > 0) rows = sk_ir_ptr_add(b, rows, sk_k(&c->dec, dim), to->es);
    return sk_ir_ptr_add(b, rows, sk_ir_2(b, SK_OP_MUL, t, to->stride), to->es);
}

void sk_numbers_put_rows(sk_numbers *c, const sk_number_rows *to, sk_val *x, sk_val t0, sk_val d0)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const uint32_t words = c->step * to->es / 4;
    sk_transpose(d, x, words);
    const sk_val run = sk_and(d, d->lane, 32 - words); /* its token is that of lane 0, and so much */
    const sk_val w0 = to->es == 2 ? sk_shr(d, d0, 1) : d0;
    const sk_val word = sk_add(d, w0, sk_and(d, d->lane, words - 1));
    const sk_val inside = sk_ir_2k(b, SK_OP_ULT, word, d->vdims * to->es / 4);
    const sk_val far = sk_mul(d, sk_ir_2(b, SK_OP_MUL, run, to->stride), to->es);
    const sk_val off = sk_add(d, far, sk_mul(d, word, 4));
    for (uint32_t i = 0; i < words; i++) {
        const sk_val t = sk_add(d, t0, sk_k(d, i));
        const sk_val used = sk_ir_2(b, SK_OP_ULT, sk_add(d, t, run), c->count);
        sk_ir_stg(b, sk_numbers_row(c, to, t, d->vdim0), off, 0, x[i],
                  sk_ir_2(b, SK_OP_PAND, used, inside));
    }
}

void sk_numbers_values(sk_numbers *c, uint32_t tier_slot, const sk_page_layout *lay, sk_val page,
                       uint32_t per)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const uint32_t words = d->dv / per;
    const sk_val w0 = sk_ir_for(b, d->zero, sk_k(d, words), 32), word = sk_add(d, w0, d->lane);
    const sk_val inside = sk_ir_2k(b, SK_OP_ULT, word, words), channel = sk_mul(d, word, per);
    sk_lane_values v[2];
    for (uint32_t k = 0; k < per; k++)
        v[k] = sk_lane_values_begin(d, tier_slot, lay, page, sk_add(d, channel, sk_k(d, k)), inside);
    const sk_val t = sk_gpu_turns(b, c->count, 1);
    sk_val x[2] = {SK_NONE, SK_NONE};
    for (uint32_t k = 0; k < per; k++) x[k] = sk_lane_value(&v[k], t, inside);
    c->put_values(c, x, t, word, inside);
    sk_ir_end(b);
    sk_ir_end(b);
}
