/* part_bytes_page.c - 8-bit and 16-bit tables of a page (part_bytes.h): where groups have
 * radii of their own, what the page scales them by is multiplied into the tables. */
#include "part_bytes.h"

/* Factors of the page's tables as 16-bit fractions, twice in a word, rows of heads side
 * by side; what the sums of a head are to be multiplied by goes behind the tables. */
static void page_factors(sk_dec *c, const sk_bytes *t, const sk_seg_layout *lay, uint32_t per_span,
                         sk_val page, sk_val lut, sk_val *factors)
{
    sk_builder *b = c->b;
    const sk_val group = sk_ir_2(b, SK_OP_UMIN, sk_and(c, c->lane, t->row - 1), sk_k(c, t->groups - 1));
    const sk_val span = sk_ir_2(b, SK_OP_UDIV, group, sk_k(c, per_span));
    const sk_val scale = sk_shuf(c, sk_ir_ldv(b, SK_LD_F16, page, c->zero, lay->rscale_off), span);
    for (uint32_t v = 0; v * c->w < t->heads * t->row; v++) {
        const sk_val norm = sk_ir_ldv(b, SK_LD_F32, lut, c->zero, t->norms + v * c->w * 4);
        const sk_val x = sk_ir_2(b, SK_OP_FMUL, norm, scale);
        sk_val most = x;
        for (uint32_t far = 1; far < t->row; far *= 2)
            most = sk_ir_2(b, SK_OP_FMAX, most,
                           sk_shuf(c, most, sk_ir_2(b, SK_OP_XOR, c->lane, sk_k(c, far))));
        most = sk_ir_2(b, SK_OP_FMAX, most, sk_ir_f32(b, 1e-30f));
        sk_ir_stv(b, c->bytes, c->zero, sk_bytes_page_units(t) + v * c->w * 4,
                  sk_ir_2(b, SK_OP_FMUL, most, sk_ir_f32(b, 1.0f / (255 * t->full))));
        const sk_val part = sk_ir_2(b, SK_OP_FDIV, x, most);
        const sk_val f = sk_ir_1(b, SK_OP_F2I, sk_ir_2(b, SK_OP_FMUL, part, sk_ir_f32(b, 32767.0f)));
        factors[v] = sk_or(c, sk_and(c, f, 0xffff), sk_shl(c, f, 16));
    }
}

/* Halves of even and of odd places to bytes: as they are where entries are bytes; else
 * the lower bytes, signed, and the upper ones of what is left. */
static sk_val join_halves(sk_dec *c, const sk_val half[2], uint32_t plane)
{
    sk_builder *b = c->b;
    if (plane == 0)
        return sk_or(c, sk_and(c, half[0], 0x00ff00ffu), sk_and(c, sk_shl(c, half[1], 8), 0xff00ff00u));
    sk_val x[2];
    for (uint32_t odd = 0; odd < 2; odd++)
        x[odd] = sk_ir_2k(b, SK_OP_ADD16X2, half[odd], 0x00800080u);
    return sk_or(c, sk_and(c, sk_shr(c, x[0], 8), 0x00ff00ffu), sk_and(c, x[1], 0xff00ff00u));
}

void sk_bytes_page_tables(sk_dec *c, const sk_bytes *t, const sk_segment *seg,
                          const sk_seg_layout *lay, sk_val page, sk_val lut)
{
    sk_builder *b = c->b;
    const uint32_t size = sk_bytes_plane(t), table = sk_bytes_table(t);
    sk_val factors[SPHKV_MAX_HEADS_PER_KV];
    page_factors(c, t, lay, lay->span_dims / seg->g, page, lut, factors);
    const sk_val word = sk_ir_for(b, c->zero, sk_k(c, t->words), 1);
    const sk_val from = sk_mul(c, word, t->heads * size * 2), to = sk_mul(c, word, t->heads * table);
    for (uint32_t h = 0; h < t->heads; h++)
        for (uint32_t at = 0; at < size; at += 4 * c->w) {
            const sk_val entry = sk_add(c, sk_shl(c, c->lane, 2), sk_k(c, at));
            const sk_val group = sk_add(c, sk_mul(c, word, 4),
                                        sk_shr(c, entry, (uint32_t)__builtin_ctz(t->slots)));
            const sk_val f = sk_shuf(c, factors[h * t->row / c->w],
                                     sk_add(c, group, sk_k(c, h * t->row % c->w)));
            sk_val half[2];
            for (uint32_t odd = 0; odd < 2; odd++) {
                const uint32_t disp = (h * size + at) * 2 + odd * 4 * c->w;
                half[odd] = sk_ir_2(b, SK_OP_MULR16X2, sk_ir_ldv(b, SK_LD_U32, lut, from, disp), f);
            }
            for (uint32_t p = 0; p < t->planes; p++)
                sk_ir_stv(b, c->bytes, to, h * table + p * size + at, join_halves(c, half, p));
        }
    sk_ir_end(b);
}
