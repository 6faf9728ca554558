/* compact_halves.c - rows of halves, one a token, on a CPU: radii of 16 bits, scales of
 * 32 dimensions. A vector of the destination takes its halves from two vectors of the
 * source at a time, each pair of which has some. */
#include "compact.h"

#define PAIRS 4u /* of vectors that a row may have */

static uint32_t row_bytes(const sk_compact *c) { return c->dec.p * 2; }
static uint32_t pair_bytes(const sk_compact *c) { return 8 * c->dec.w; }
static uint32_t pairs(const sk_compact *c) { return row_bytes(c) / pair_bytes(c); }

bool sk_compact_half_rows_fit(const sk_compact *c, const sk_compact_field *f)
{
    return !c->enc.gpu && f->as == SK_AS_ROWS && f->anew == SK_KEPT && f->bits == 16 &&
           row_bytes(c) % pair_bytes(c) == 0 && pairs(c) <= PAIRS;
}

/* Of the 2 W tokens from t0 on: where in a pair of vectors they are, and the bits that
 * each pair has of them. */
typedef struct places {
    sk_val index, mask[PAIRS];
} places;

static places find(sk_compact *c, const sk_compact_run *run, sk_val t0)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const uint32_t lg = (uint32_t)__builtin_ctz(pair_bytes(c) / 2);
    places x = {.index = d->zero};
    sk_val slots[2];
    for (uint32_t i = 0; i < 2; i++)
        slots[i] = sk_ir_ldv(b, SK_LD_U32, c->slots, sk_mul(d, t0, 4), i * 4 * d->w);
    for (uint32_t i = 0; i < pairs(c); i++) x.mask[i] = d->zero;
    for (uint32_t k = 0; k < 2; k++) {
        const sk_val t = sk_add(d, t0, sk_add(d, sk_shl(d, d->lane, 1), sk_k(d, k)));
        const sk_val slot = sk_compact_every_second(d, slots, k);
        const sk_val in = sk_ir_2(b, SK_OP_ULT, sk_ir_2(b, SK_OP_SUB, t, run->begin), run->n);
        const sk_val pair = sk_sel(d, in, sk_shr(d, slot, lg), sk_k(d, PAIRS));
        x.index = sk_or(d, x.index, sk_shl(d, sk_and(d, slot, (1u << lg) - 1), 16 * k));
        for (uint32_t i = 0; i < pairs(c); i++)
            x.mask[i] = sk_or(d, x.mask[i], sk_sel(d, sk_ir_2k(b, SK_OP_EQ, pair, i),
                                                   sk_k(d, 0xffffu << (16 * k)), d->zero));
    }
    return x;
}

void sk_compact_half_rows(sk_compact *c, const sk_compact_field *f)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_compact_run run = sk_compact_each_run(c);
    const sk_val t0 = sk_ir_for(b, d->zero, sk_k(d, d->p), 2 * d->w);
    const places at = find(c, &run, t0);
    const sk_val j = sk_ir_for(b, d->zero, sk_k(d, f->n), 1), row = sk_mul(d, j, row_bytes(c));
    const sk_val to = sk_add(d, row, sk_mul(d, t0, 2));
    sk_compact_ask(c, f, 2 * f->n * 2 * pairs(c));
    sk_val all = sk_ir_ldv(b, SK_LD_U32, c->enc.dst_page, to, f->off);
    for (uint32_t i = 0; i < pairs(c); i++) {
        sk_val x[2];
        for (uint32_t k = 0; k < 2; k++)
            x[k] = sk_ir_ldv(b, SK_LD_U32, run.page, row, f->off + i * pair_bytes(c) + k * 4 * d->w);
        const sk_val y = sk_ir_3(b, SK_OP_PERM16X2, x[0], x[1], at.index);
        all = sk_or(d, all, sk_ir_2(b, SK_OP_AND, y, at.mask[i]));
    }
    sk_ir_stv(b, c->enc.dst_page, to, f->off, all);
    sk_ir_end(b);
    sk_ir_end(b);
    sk_ir_end(b);
}
