/* compact_bits.c - rows of codes of any width on a CPU, a byte a code on the way: a row of
 * the source is one or two vectors, a permutation brings to each code the two bytes that
 * it lies in, and fields of bits cut it out. All runs leave their bytes in scratch; then
 * each row is packed once. What is found once serves all rows. */
#include "compact.h"

static uint32_t row_bytes(const sk_compact *c, const sk_compact_field *f) { return c->dec.p * f->bits / 8; }
/* Vectors of a row: of the page, and of a byte a code. */
static uint32_t row_vectors(const sk_compact *c, const sk_compact_field *f)
{
    return row_bytes(c, f) > 4 * c->dec.w ? 2 : 1;
}
static uint32_t byte_vectors(const sk_compact *c) { return c->dec.p / (4 * c->dec.w); }

/* Vectors may reach beyond the field, but not beyond the page. */
bool sk_compact_bits_fit(const sk_compact *c, const sk_compact_field *f)
{
    const uint32_t w = c->dec.w, last = f->off + (f->n - 1) * row_bytes(c, f);
    return !c->enc.gpu && w >= 8 && f->as == SK_AS_ROWS && f->anew == SK_KEPT && f->bits <= 8 &&
           c->dec.p % (4 * w) == 0 && row_bytes(c, f) <= 8 * w && byte_vectors(c) <= 2 &&
           last + row_vectors(c, f) * 4 * w <= c->lay.units * SPHKV_UNIT_BYTES;
}

/* Of a vector of bytes: codes at even, and at odd places; what a run has of them. */
typedef struct places {
    sk_val index[2], fields[2], mask[2];
} places;

/* Token of code 2 * k + side of each word. */
static sk_val token_of(sk_compact *c, uint32_t t0, uint32_t k, uint32_t side)
{
    sk_dec *d = &c->dec;
    return sk_add(d, sk_shl(d, d->lane, 2), sk_k(d, t0 + 2 * k + side));
}

/* Of the 4 W codes from token t0 on. */
static void find(sk_compact *c, const sk_compact_field *f, uint32_t t0, places *x)
{
    sk_dec *d = &c->dec;
    const sk_val four = sk_compact_by_bytes(c) ? sk_ir_ldv(d->b, SK_LD_U32, c->slot8, d->zero, t0) : SK_NONE;
    for (uint32_t side = 0; side < 2; side++) {
        x->index[side] = x->fields[side] = d->zero;
        for (uint32_t k = 0; k < 2; k++) { /* 16 bits of a word */
            const sk_val at = sk_mul(d, token_of(c, t0, k, side), 4);
            const sk_val slot = four != SK_NONE ? sk_and(d, sk_shr(d, four, 8 * (2 * k + side)), 255)
                                                : sk_ir_ldg(d->b, SK_LD_U32, c->slots, at, 0, SK_NONE);
            const sk_val bit = sk_mul(d, slot, f->bits), byte = sk_shr(d, bit, 3);
            const sk_val two = sk_and(d, sk_add(d, sk_mul(d, byte, 0x0101), sk_k(d, 0x0100)), 0xffff);
            const sk_val cell = sk_add(d, sk_shl(d, sk_and(d, d->lane, 1), 1), sk_k(d, k)); /* of 64 bits */
            const sk_val first = sk_add(d, sk_shl(d, cell, 4), sk_and(d, bit, 7));
            x->index[side] = sk_or(d, x->index[side], sk_shl(d, two, 16 * k));
            x->fields[side] = sk_or(d, x->fields[side], sk_shl(d, first, 16 * k + 8 * side));
        }
    }
}

static void find_masks(sk_compact *c, const sk_compact_field *f, const sk_compact_run *run, uint32_t t0, places *x)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const uint32_t all = (1u << f->bits) - 1;
    for (uint32_t side = 0; side < 2; side++) {
        x->mask[side] = d->zero;
        for (uint32_t k = 0; k < 2; k++) {
            const sk_val t = token_of(c, t0, k, side);
            const sk_val in = sk_ir_2(b, SK_OP_ULT, sk_ir_2(b, SK_OP_SUB, t, run->begin), run->n);
            const sk_val bits = sk_sel(d, in, sk_k(d, all << (16 * k + 8 * side)), d->zero);
            x->mask[side] = sk_or(d, x->mask[side], bits);
        }
    }
}

/* Adds the codes that a run has of row j to its bytes. */
static void add_row(sk_compact *c, const sk_compact_field *f, const sk_compact_run *run, const places *at,
                    sk_val j)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_val row = sk_mul(d, j, row_bytes(c, f)), to = sk_mul(d, j, d->p);
    sk_val x[2] = {SK_NONE, SK_NONE};
    for (uint32_t i = 0; i < row_vectors(c, f); i++)
        x[i] = sk_ir_ldv(b, SK_LD_U32, run->page, row, f->off + i * 4 * d->w);
    for (uint32_t v = 0; v < byte_vectors(c); v++) {
        sk_val all = sk_ir_ldv(b, SK_LD_U32, c->bytes, to, v * 4 * d->w);
        for (uint32_t side = 0; side < 2; side++) {
            const places *p = &at[v];
            sk_val y = x[1] == SK_NONE ? sk_ir_2(b, SK_OP_PERM8, x[0], p->index[side])
                                       : sk_ir_3(b, SK_OP_PERM8X2, x[0], x[1], p->index[side]);
            y = sk_ir_2(b, SK_OP_FIELD8, y, p->fields[side]);
            all = sk_or(d, all, sk_ir_2(b, SK_OP_AND, y, p->mask[side]));
        }
        sk_ir_stv(b, c->bytes, to, v * 4 * d->w, all);
    }
}

/* The four bytes of a word, of `bits` each, side by side in 8 of them: those of a pair of
 * words, where they do not end with a byte in one. */
static sk_val side_by_side(sk_compact *c, sk_val x, uint32_t bits)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    if (bits == 8) return x;
    x = sk_or(d, sk_and(d, x, 0x00ff00ff), sk_shr(d, sk_and(d, x, 0xff00ff00), 8 - bits));
    x = sk_or(d, sk_and(d, x, 0xffff), sk_shr(d, sk_and(d, x, 0xffff0000), 16 - 2 * bits));
    if (bits % 2 == 0) return x;
    const sk_val odd = sk_ir_2k(b, SK_OP_EQ, sk_and(d, d->lane, 1), 1);
    const sk_val other = sk_shuf(d, x, sk_ir_2k(b, SK_OP_XOR, d->lane, 1));
    const sk_val own = sk_sel(d, odd, sk_shr(d, x, 32 - 4 * bits), x);
    return sk_sel(d, odd, own, sk_or(d, own, sk_shl(d, other, 4 * bits)));
}

/* Where byte `byte` of a row is among such words: of a word, or a pair, some are used. */
static sk_val packed_byte(sk_dec *d, sk_val byte, uint32_t bits)
{
    const uint32_t of = bits % 2 ? 8 : 4, used = of * bits / 8;
    return sk_add(d, sk_mul(d, sk_ir_2k(d->b, SK_OP_UDIV, byte, used), of),
                  sk_ir_2k(d->b, SK_OP_UREM, byte, used));
}

/* Row j packed. What a vector has behind the row are zeros: of rows and fields that are
 * stored later, or of the end of the page. */
static void put_row(sk_compact *c, const sk_compact_field *f, sk_val j)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    const sk_val row = sk_mul(d, j, row_bytes(c, f)), from = sk_mul(d, j, d->p);
    sk_val x[2] = {SK_NONE, SK_NONE};
    for (uint32_t v = 0; v < byte_vectors(c); v++)
        x[v] = side_by_side(c, sk_ir_ldv(b, SK_LD_U32, c->bytes, from, v * 4 * d->w), f->bits);
    for (uint32_t i = 0; i < row_vectors(c, f); i++) {
        sk_val index = d->zero;
        for (uint32_t k = 0; k < 4; k++) {
            const sk_val byte = sk_add(d, sk_shl(d, d->lane, 2), sk_k(d, i * 4 * d->w + k));
            index = sk_or(d, index, sk_shl(d, packed_byte(d, byte, f->bits), 8 * k));
        }
        const sk_val y = x[1] == SK_NONE ? sk_ir_2(b, SK_OP_PERM8, x[0], index)
                                         : sk_ir_3(b, SK_OP_PERM8X2, x[0], x[1], index);
        const sk_val inside = sk_ir_2k(b, SK_OP_ULT, d->lane, row_bytes(c, f) / 4 - i * d->w);
        sk_ir_stv(b, c->enc.dst_page, row, f->off + i * 4 * d->w, sk_sel(d, inside, y, d->zero));
    }
}

void sk_compact_bits(sk_compact *c, const sk_compact_field *f)
{
    sk_dec *d = &c->dec;
    sk_builder *b = d->b;
    places at[2];
    const sk_val z = sk_ir_for(b, d->zero, sk_k(d, f->n * d->p), 4 * d->w);
    sk_ir_stv(b, c->bytes, z, 0, d->zero);
    sk_ir_end(b);
    for (uint32_t v = 0; v < byte_vectors(c); v++) find(c, f, v * 4 * d->w, &at[v]);
    const sk_compact_run run = sk_compact_each_run(c);
    for (uint32_t v = 0; v < byte_vectors(c); v++) find_masks(c, f, &run, v * 4 * d->w, &at[v]);
    sk_val j = sk_ir_for(b, d->zero, sk_k(d, f->n), 1);
    sk_compact_ask(c, f, 2 * f->n);
    add_row(c, f, &run, at, j);
    sk_ir_end(b);
    sk_ir_end(b);
    j = sk_ir_for(b, d->zero, sk_k(d, f->n), 1);
    put_row(c, f, j);
    sk_ir_end(b);
}
