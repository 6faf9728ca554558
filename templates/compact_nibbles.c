/* compact_nibbles.c - rows of 4-bit codes on a CPU, in blocks or plain: a permutation
 * brings to each byte the one that its low code is in, another that of its high code;
 * which, and which half of it, is the same in all rows. */
#include "compact.h"

static uint32_t row_words(const sk_compact *c) { return c->dec.p / 8; }

bool sk_compact_nibbles_fit(const sk_compact *c, const sk_compact_field *f)
{
    return sk_compact_rows_fit(c, f) && f->bits == 4 && f->anew == SK_KEPT;
}

/* Of W words of a row: the bytes that low (0) and high codes come from, bit 7 where it is
 * their high half; and what a run has. */
typedef struct places {
    sk_val index[2], odd[2], mask[2];
} places;

static sk_val token_of(sk_compact *c, const sk_compact_field *f, uint32_t first, uint32_t k)
{
    sk_dec *d = &c->dec;
    const sk_val word = sk_add(d, d->lane, sk_k(d, first));
    return f->as == SK_AS_BLOCKS ? sk_compact_block_token(d, word, k) : sk_add(d, sk_mul(d, word, 8), sk_k(d, k));
}

/* Of rows in blocks, from slots as bytes: sk_compact_block_place of four at a time. */
static void find_bytes(sk_compact *c, const sk_compact_field *f, uint32_t first, places *x)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_val low = sk_ir_ldv(b, SK_LD_U32, c->slot8, d->zero, first * 8);
    const sk_val high = sk_ir_ldv(b, SK_LD_U32, c->slot8, d->zero, first * 8 + 64);
    for (uint32_t s = 0; s < 2; s++) {
        sk_val which = d->zero;
        for (uint32_t k = s; k < 8; k += 2)
            which = sk_or(d, which, sk_shl(d, sk_and(d, token_of(c, f, first, k), 127), k / 2 * 8));
        const sk_val slot = sk_ir_3(b, SK_OP_PERM8X2, low, high, which);
        const sk_val up1 = sk_and(d, sk_shl(d, slot, 1), 0x06060606u), up2 = sk_shl(d, slot, 2);
        const sk_val down1 = sk_and(d, sk_shr(d, slot, 1), 0x68686868u);
        const sk_val down3 = sk_and(d, sk_shr(d, slot, 3), 0x01010101u);
        x->index[s] = sk_or(d, sk_or(d, up1, sk_and(d, up2, 0x10101010u)), sk_or(d, down1, down3));
        x->odd[s] = up2;
    }
}

static void find(sk_compact *c, const sk_compact_field *f, uint32_t first, places *x)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    if (f->as == SK_AS_BLOCKS && sk_compact_by_bytes(c)) {
        find_bytes(c, f, first, x);
        return;
    }
    for (uint32_t s = 0; s < 2; s++) x->index[s] = x->odd[s] = d->zero;
    for (uint32_t k = 0; k < 8; k++) {
        const uint32_t s = k % 2, up = k / 2 * 8;
        const sk_val at = sk_mul(d, token_of(c, f, first, k), 4);
        const sk_val slot = sk_ir_ldg(b, SK_LD_U32, c->slots, at, 0, SK_NONE);
        const sk_val place = f->as == SK_AS_BLOCKS ? sk_compact_block_place(d, slot) : slot;
        x->index[s] = sk_or(d, x->index[s], sk_shl(d, sk_shr(d, place, 1), up));
        x->odd[s] = sk_or(d, x->odd[s], sk_shl(d, sk_and(d, place, 1), up + 7));
    }
}

static void find_masks(sk_compact *c, const sk_compact_field *f, const sk_compact_run *run, uint32_t first, places *x)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    for (uint32_t s = 0; s < 2; s++) {
        x->mask[s] = d->zero;
        for (uint32_t k = s; k < 8; k += 2) {
            const sk_val t = token_of(c, f, first, k);
            const sk_val in = sk_ir_2(b, SK_OP_ULT, sk_ir_2(b, SK_OP_SUB, t, run->begin), run->n);
            x->mask[s] = sk_or(d, x->mask[s], sk_sel(d, in, sk_k(d, 15u << (k / 2 * 8)), d->zero));
        }
    }
}

static void add_row(sk_compact *c, const sk_compact_field *f, const sk_compact_run *run, const places *at,
                    sk_val j, uint32_t first)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_val row = sk_mul(d, j, row_words(c) * 4);
    sk_val x[2] = {SK_NONE, SK_NONE}, y[2];
    for (uint32_t i = 0; i * d->w < row_words(c); i++)
        x[i] = sk_ir_ldv(b, SK_LD_U32, run->page, row, f->off + i * d->w * 4);
    for (uint32_t s = 0; s < 2; s++) {
        y[s] = x[1] == SK_NONE ? sk_ir_2(b, SK_OP_PERM8, x[0], at->index[s])
                               : sk_ir_3(b, SK_OP_PERM8X2, x[0], x[1], at->index[s]);
        y[s] = sk_ir_3(b, SK_OP_SEL8, at->odd[s], sk_shr(d, y[s], 4), y[s]);
        y[s] = sk_ir_2(b, SK_OP_AND, y[s], at->mask[s]);
    }
    const uint32_t to = f->off + first * 4;
    const sk_val old = sk_ir_ldv(b, SK_LD_U32, c->enc.dst_page, row, to);
    sk_ir_stv(b, c->enc.dst_page, row, to, sk_or(d, old, sk_or(d, y[0], sk_shl(d, y[1], 4))));
}

void sk_compact_nibbles(sk_compact *c, const sk_compact_field *f)
{
    sk_builder *b = c->dec.b;
    for (uint32_t first = 0; first < row_words(c); first += c->dec.w) {
        places at;
        find(c, f, first, &at);
        const sk_compact_run run = sk_compact_each_run(c);
        find_masks(c, f, &run, first, &at);
        const sk_val j = sk_ir_for(b, c->dec.zero, sk_k(&c->dec, f->n), 1);
        sk_compact_ask(c, f, 2 * f->n * row_words(c) / c->dec.w);
        add_row(c, f, &run, &at, j, first);
        sk_ir_end(b);
        sk_ir_end(b);
    }
}
